//! The stream that keeps all rooms: how it is made, and whether one that is there is what is needed.
//!
//! JSON in and out; knows no connection.

use super::subjects::{BUCKETS, KEPT, LIVE};
use crate::log::replica::{LogIdentity, Position};
use serde_json::{Value, json};
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// The stream's name.
pub(super) const STREAM: &str = "SB";

/// What is written in it, and how; a node that does not know it leaves it alone.
const FORMAT: &str = "1";

/// An envelope and its headers.
pub(super) const MESSAGE_BYTES: u64 = 320 << 10;

/// What the log of rooms survives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum NatsProfile {
    /// One nats-server keeps it in memory: what it had is gone when it is restarted, and all rooms are told.
    #[default]
    Memory,
    /// One nats-server keeps it in a file: it survives a kill of that one; a power loss only as far as that server syncs.
    File,
    /// Three nats-servers keep it in files: it survives the loss of one, and a power loss of all if they sync always, which no node can see.
    Durable,
}

/// What a profile is called, for whoever lists them.
pub const NATS_PROFILES: [&str; 3] = ["memory", "file", "durable"];

impl NatsProfile {
    pub(super) fn storage(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::File | Self::Durable => "file",
        }
    }

    pub(super) fn replicas(self) -> u64 {
        if self == Self::Durable { 3 } else { 1 }
    }

    /// The first version of nats-server that it may rest on: before 2.11 nothing reads several envelopes at once, and before 2.15 syncing
    /// always had holes.
    pub(super) fn oldest_server(self) -> (u64, u64) {
        if self == Self::Durable { (2, 15) } else { (2, 11) }
    }
}

impl fmt::Display for NatsProfile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(NATS_PROFILES[*self as usize])
    }
}

/// Why a text is no profile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a profile is memory, file or durable")]
pub struct NatsProfileError;

impl FromStr for NatsProfile {
    type Err = NatsProfileError;

    fn from_str(text: &str) -> Result<Self, NatsProfileError> {
        [Self::Memory, Self::File, Self::Durable]
            .into_iter()
            .find(|profile| profile.to_string() == text)
            .ok_or(NatsProfileError)
    }
}

/// How much of rooms' pasts the stream keeps. Holds when it is made: of one that is there, what it has been given since.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NatsRetention {
    /// Envelopes of one room: each has what one node published at once. Default 256.
    pub envelopes: u64,
    /// How long an envelope is kept. Without it: for as long as there is room. Default none.
    pub age: Option<Duration>,
    /// Bytes of all rooms. Default 1 GiB.
    pub bytes: u64,
}

impl Default for NatsRetention {
    fn default() -> Self {
        Self { envelopes: 256, age: None, bytes: 1 << 30 }
    }
}

/// A stream as it is made: `identity` is drawn at random.
pub(super) fn configuration(profile: NatsProfile, retention: NatsRetention, identity: u128) -> Value {
    json!({
        "name": STREAM,
        "subjects": [KEPT],
        "storage": profile.storage(),
        "num_replicas": profile.replicas(),
        "retention": "limits",
        "discard": "old",
        "max_msgs_per_subject": retention.envelopes,
        "max_age": retention.age.map_or(0, |age| age.as_nanos() as u64),
        "max_bytes": retention.bytes,
        "max_msg_size": MESSAGE_BYTES,
        "allow_direct": true,
        "deny_delete": true,
        "republish": { "src": KEPT, "dest": LIVE },
        "metadata": { "switchboard": format!("{identity:032x}"), "buckets": BUCKETS.to_string(), "format": FORMAT },
    })
}

/// Everything in which the stream that is there differs from what is needed, a sentence each.
pub(super) fn differences(info: &Value, profile: NatsProfile) -> Vec<String> {
    let has = &info["config"];
    let wanted = configuration(profile, NatsRetention::default(), 0);
    let mut differences = Vec::new();
    let mut differ = |what: &str, has: &Value, wanted: &Value| {
        if has != wanted {
            differences.push(format!("its {what} is {has}, and not {wanted}"));
        }
    };
    for key in ["subjects", "storage", "num_replicas", "retention", "discard", "allow_direct"] {
        differ(key, &has[key], &wanted[key]);
    }
    for key in ["src", "dest"] {
        differ(&format!("republish.{key}"), &has["republish"][key], &wanted["republish"][key]);
    }
    differ("republish.headers_only", &Value::Bool(has["republish"]["headers_only"] == true), &Value::Bool(false));
    for key in ["buckets", "format"] {
        differ(&format!("metadata.{key}"), &has["metadata"][key], &wanted["metadata"][key]);
    }
    for key in ["no_ack", "sealed", "allow_msg_ttl", "allow_rollup_hdrs", "mirror"] {
        if !matches!(&has[key], Value::Null | Value::Bool(false)) {
            differences.push(format!("it has {key}, which hides or changes what rooms rest on"));
        }
    }
    if has["max_msg_size"].as_i64().is_some_and(|most| most >= 0 && most.cast_unsigned() < MESSAGE_BYTES) {
        differences.push(format!("its max_msg_size is {}, and not {MESSAGE_BYTES}", has["max_msg_size"]));
    }
    if log(info).is_none() {
        differences.push("its metadata do not say which log it is".to_owned());
    }
    differences
}

/// Which log the stream is, and where it ends. None of that is known where several servers have it and none of them leads: then somebody answers
/// who does not know what it has.
pub(super) fn identity(info: &Value) -> Option<LogIdentity> {
    if info["cluster"].is_object() && info["cluster"]["leader"].as_str().is_none_or(str::is_empty) {
        return None;
    }
    Some(LogIdentity { log: log(info)?, last: Position(info["state"]["last_seq"].as_u64()?) })
}

fn log(info: &Value) -> Option<u128> {
    u128::from_str_radix(info["config"]["metadata"]["switchboard"].as_str()?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(change: impl FnOnce(&mut Value)) -> Value {
        let mut config = configuration(NatsProfile::File, NatsRetention::default(), 0xab);
        change(&mut config);
        json!({ "config": config, "state": { "last_seq": 7 } })
    }

    #[test]
    fn what_was_made_so_is_taken_and_says_which_it_is() {
        let made = info(|config| config["metadata"]["_nats.ver"] = "2.15.1".into());
        assert_eq!(differences(&made, NatsProfile::File), Vec::<String>::new());
        assert_eq!(identity(&made), Some(LogIdentity { log: 0xab, last: Position(7) }));
        let of_cluster =
            |cluster| identity(&json!({ "config": made["config"], "state": made["state"], "cluster": cluster }));
        assert!(of_cluster(json!({ "name": "sb" })).is_none() && of_cluster(json!({ "leader": "s1" })).is_some());
        let kept_longer = info(|config| config["max_msgs_per_subject"] = 1000.into());
        assert_eq!(differences(&kept_longer, NatsProfile::File), Vec::<String>::new(), "an operator's to choose");
    }

    type Change = fn(&mut Value);

    #[test]
    fn what_differs_is_told() {
        let told = |profile, change: fn(&mut Value)| differences(&info(change), profile).join("; ");
        let durable = told(NatsProfile::Durable, |_| {});
        assert_eq!(durable, "its num_replicas is 1, and not 3");
        let memory = told(NatsProfile::Memory, |_| {});
        assert_eq!(memory, "its storage is \"file\", and not \"memory\"");
        let cases: [(&str, Change); 6] = [
            ("its subjects is [\"a\"], and not [\"sb.r.>\"]", |config| config["subjects"] = json!(["a"])),
            ("its republish.src is null", |config| config["republish"] = Value::Null),
            ("its metadata.buckets is \"512\", and not \"1024\"", |config| {
                config["metadata"]["buckets"] = "512".into();
            }),
            ("its max_msg_size is 100,", |config| config["max_msg_size"] = 100.into()),
            ("it has allow_msg_ttl", |config| config["allow_msg_ttl"] = true.into()),
            ("its metadata do not say which log it is", |config| config["metadata"]["switchboard"] = Value::Null),
        ];
        for (expected, change) in cases {
            let told = told(NatsProfile::File, change);
            assert!(told.starts_with(expected), "{told}");
        }
    }

    #[test]
    fn profiles_have_words() {
        for profile in [NatsProfile::Memory, NatsProfile::File, NatsProfile::Durable] {
            assert_eq!(profile.to_string().parse(), Ok(profile));
        }
        assert_eq!("disk".parse::<NatsProfile>(), Err(NatsProfileError));
    }
}
