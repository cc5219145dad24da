//! A small language for members, and what a member that speaks it must be told: everything behind its join in one order,
//! which is everybody's.

use super::account::Account;
use super::node::shown;
use parking_lot::Mutex;
use serde_json::Value;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use switchboard::grammar::Epoch;
use switchboard::prelude::*;
use switchboard::{Format, Join, Membership, MessageId, Overflow, Session};

/// Serves one member. `join [ID] [OVERFLOW]` and `leave` are answered with numbers; anything else is published, and
/// answered with its number if no copy comes back.
pub(crate) async fn seat(mut conn: Connection<Lines>, hub: Hub, room: Room) -> Result {
    let me: Session = hub.enter(&conn, Format::Json);
    let mut seat: Option<Membership> = None;
    let mut echo = false;
    while let Some(line) = conn.recv().await? {
        let line = line.to_string();
        let mut words = line.split(' ');
        match words.next() {
            Some("join") => {
                let wish = wish(words);
                echo = wish.echo;
                let joined = me.join(&room, wish)?;
                conn.send(format!(r#"{{"joined_at":{}}}"#, joined.joined_at().seq)).await?;
                seat = Some(joined);
            }
            Some("leave") => {
                // Others publish meanwhile: it left somewhere between the two.
                let before = room.last_id().seq;
                seat = None;
                conn.send(format!(r#"{{"left_within":[{before},{}]}}"#, room.last_id().seq)).await?;
            }
            _ => {
                let Some(seat) = &seat else { return Err("only members publish".into()) };
                let published = shown(seat.publish(&line).unwrap()).seq;
                if !echo {
                    conn.send(format!(r#"{{"published":{published}}}"#)).await?;
                }
            }
        }
    }
    Ok(())
}

/// Who names an overflow gets its own copies: an answer may stand behind a gap that goes past what it answers.
fn wish<'a>(words: impl Iterator<Item = &'a str>) -> Join {
    let mut join = Join::default();
    for word in words {
        match word {
            "drop-oldest" => join.overflow = Some(Overflow::DropOldest),
            "drop-newest" => join.overflow = Some(Overflow::DropNewest),
            "latest" => join.overflow = Some(Overflow::Latest),
            id => join.since = Some(id.parse::<MessageId>().unwrap()),
        }
    }
    join.echo = join.overflow.is_some();
    join
}

/// The start of each message by its number, as the first who heard it did.
pub(crate) type Order = Arc<Mutex<HashMap<u64, String>>>;

/// What one member is told, checked line by line. Messages are `TALKER:NUMBER:…`, each talker's in rising order.
#[derive(Default)]
pub(crate) struct Hearing {
    pub(crate) account: Account,
    /// Stays before this one, of which something may still come: an answer may overtake messages.
    past: VecDeque<Past>,
    /// Whether its last command was answered.
    pub(crate) answered: bool,
    /// How many of its own were answered.
    pub(crate) published: u64,
    /// How far each talker was heard.
    talkers: HashMap<u64, u64>,
    /// Whether it joins to go on where it was.
    resumes: bool,
    /// In stays before this one.
    pub(crate) got: u64,
    order: Order,
}

/// A stay that ended somewhere between two messages.
struct Past {
    account: Account,
    left: (u64, u64),
}

impl Hearing {
    pub(crate) fn new(order: &Order) -> Self {
        Self { order: Arc::clone(order), ..Self::default() }
    }

    /// It is about to join as somebody who knows nothing.
    pub(crate) fn forget(&mut self) {
        (self.resumes, self.answered) = (false, false);
    }

    /// It is about to join on another connection, to go on behind the last one that it was told of.
    pub(crate) fn resume(&mut self, epoch: Epoch) -> MessageId {
        self.break_off();
        (self.resumes, self.answered) = (true, false);
        let id = MessageId { epoch, seq: self.account.up_to() };
        // Those of its own that it knows of, and not of those before, come again.
        self.account.disown();
        id
    }

    /// Its connection broke: what was to come of a stay before is lost.
    pub(crate) fn break_off(&mut self) {
        self.past.clear();
    }

    /// Takes in one line from the server.
    #[track_caller]
    pub(crate) fn hear(&mut self, line: &str) {
        let object: Value = serde_json::from_str(line).unwrap();
        if let Some(joined) = object["joined_at"].as_u64() {
            if !self.resumes {
                self.account = Account::behind(joined);
            }
            self.answered = true;
        } else if let Some(left) = object["left_within"].as_array() {
            let left = (left[0].as_u64().unwrap(), left[1].as_u64().unwrap());
            self.past.push_back(Past { account: std::mem::take(&mut self.account), left });
            self.answered = true;
        } else if let Some(published) = object["published"].as_u64() {
            self.account.publish(published);
            self.published += 1;
        } else {
            self.hear_room(&object);
        }
    }

    #[track_caller]
    fn hear_room(&mut self, object: &Value) {
        assert_ne!(object["event"], "reset", "the room was there all the time");
        let number = object["seq"].as_u64().or_else(|| object["from_seq"].as_u64());
        let Some(number) = number else { return };
        // Messages come in order, so what is of a later stay ends those before it.
        while self.past.front().is_some_and(|past| number > past.left.1) {
            self.close_first();
        }
        let account = self.past.front_mut().map_or(&mut self.account, |past| &mut past.account);
        account.hear(object);
        if object["seq"].is_u64() {
            self.agree(number, object["text"].as_str().unwrap());
        }
    }

    /// Everybody hears the same under each number, and each talker's in its own order.
    #[track_caller]
    fn agree(&mut self, number: u64, text: &str) {
        let mut parts = text.split(':').map(str::parse::<u64>);
        let (Some(Ok(talker)), Some(Ok(said))) = (parts.next(), parts.next()) else { panic!("{text}") };
        let text = &text[..text.len().min(20)];
        let before = self.talkers.insert(talker, said);
        assert!(before.is_none_or(|before| before < said), "{talker} said {said} behind {before:?}");
        let mut order = self.order.lock();
        let first = order.entry(number).or_insert_with(|| text.to_owned());
        assert_eq!(first, text, "two orders at {number}");
    }

    /// It was told everything of its stays before this one, and nothing behind that.
    #[track_caller]
    pub(crate) fn close_past(&mut self) {
        while !self.past.is_empty() {
            self.close_first();
        }
    }

    #[track_caller]
    fn close_first(&mut self) {
        let Some(mut past) = self.past.pop_front() else { return };
        let (told, (before, after)) = (past.account.up_to(), past.left);
        assert!((before..=after).contains(&told), "told up to {told} of a stay that ended within {before} to {after}");
        self.got += past.account.got;
    }
}
