//! What was seen, in the order in which it was seen.

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// A message's id: `EPOCH-SEQ`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Id {
    /// The incarnation of its room.
    pub epoch: String,
    /// Its place there, from 1. Place 0 is before the first.
    pub seq: u64,
}

impl Id {
    pub fn new(epoch: impl Into<String>, seq: u64) -> Self {
        Self { epoch: epoch.into(), seq }
    }
}

impl FromStr for Id {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (epoch, seq) = text.split_once('-').ok_or_else(|| format!("no id: {text}"))?;
        Ok(Self::new(epoch, seq.parse().map_err(|error| format!("no id: {text}: {error}"))?))
    }
}

impl TryFrom<String> for Id {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Id> for String {
    fn from(id: Id) -> Self {
        id.to_string()
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.epoch, self.seq)
    }
}

/// Something that was seen. What happens at the same time may stand in any order, but an invocation is recorded before it is made, and an
/// outcome once it is known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "kebab-case")]
pub enum Event {
    /// `client`, which is one connection, is about to publish a text that nobody else publishes, ever. Calls are numbered by the test.
    Invoke {
        call: u64,
        client: String,
        room: String,
        text: String,
        /// As which member, if that one does not get its own messages.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        stay: Option<String>,
    },
    /// It was acknowledged.
    Ok { call: u64, id: Id },
    /// It was refused: nobody is shown it, ever.
    Fail { call: u64 },
    /// Nobody knows. So it is with whatever has no outcome.
    Unknown { call: u64 },
    /// A member joined: a name for this one stay in one room. Behind `since`, if it knows that; `last` was the room's last message then.
    Join {
        stay: String,
        room: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        since: Option<Id>,
        last: Id,
    },
    /// A member was told something.
    Told {
        stay: String,
        #[serde(flatten)]
        told: Told,
    },
    /// It is no member any more, of its own will or not.
    Leave { stay: String },
    /// Somebody read what there was behind a message, or all, and nothing else.
    Read {
        room: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        since: Option<Id>,
        told: Vec<Told>,
        /// The last message that was known to be there before it was asked for, if all up to that was asked for.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        known: Option<Id>,
    },
    /// Nothing is under way any more: whoever is there has been told all that there is.
    Quiet,
    /// What is kept of a room in the end; the messages up to number `gone` are gone, since nobody wanted more to be kept.
    Final { room: String, gone: u64, kept: Vec<Kept> },
    /// `holder`, which is one connection, was given a name.
    Hold { name: String, holder: String },
    /// It may lose it from now on: it is about to go, or its node is about to be cut off.
    Release { name: String, holder: String },
    /// Somebody by a name that nobody takes again, ever, has gone. Times are milliseconds of one clock.
    Gone { name: String, at: u64 },
    /// Who is in a room, as `by` says.
    Listed { by: String, room: String, names: Vec<String>, at: u64 },
    /// How much there is of something that is bounded.
    Bounded { what: String, value: u64, most: u64 },
}

/// What a room tells.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Told {
    Message { id: Id, text: String },
    Gap { from_seq: u64, lost: u64 },
    Reset { epoch: String },
}

/// A message that is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    pub id: Id,
    pub text: String,
}

/// Takes down what several threads see, in one order.
#[derive(Debug, Default)]
pub struct Recorder(Mutex<Vec<Event>>);

impl Recorder {
    pub fn note(&self, event: Event) {
        self.0.lock().push(event);
    }

    /// What has been seen so far.
    pub fn events(&self) -> Vec<Event> {
        self.0.lock().clone()
    }

    /// The same, a line each.
    pub fn to_ndjson(&self) -> String {
        let line =
            |event: &Event| serde_json::to_string(event).map_or_else(|error| error.to_string(), |line| line + "\n");
        self.0.lock().iter().map(line).collect()
    }
}

/// Reads a history of one event a line.
///
/// # Errors
/// Which line is none, and why.
pub fn read(text: &str) -> Result<Vec<Event>, String> {
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let event =
        |(at, line): (usize, &str)| serde_json::from_str(line).map_err(|error| format!("line {}: {error}", at + 1));
    lines.map(event).collect()
}
