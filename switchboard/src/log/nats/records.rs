//! Records of nodes and of names, in a stream of its own beside the log's: `SBN`, which keeps the last value of each.

use super::NatsEngine;
use super::api::{self, EXPECTED};
use super::asked::{Answers, Outcome};
use super::shared::Shared;
use super::stream::NatsProfile;
use crate::cluster::{BusAnswer, NodeRecord, NodeRecords, PutError, RecordsAway};
use crate::log::replica::AppendError;
use bytes::Bytes;
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

const INFO: &str = "$JS.API.STREAM.INFO.SBN";
const CREATE: &str = "$JS.API.STREAM.CREATE.SBN";
const LAST: &str = "$JS.API.STREAM.MSG.GET.SBN";

const PUT_TIME: Duration = Duration::from_secs(2);
const READ_TIME: Duration = Duration::from_secs(2);

/// How long a value stays.
const LIVES: &str = "Nats-TTL";

/// Bytes of a value, with its headers.
const VALUE_BYTES: u64 = 1024;

fn subject(key: &str) -> String {
    format!("sb.k.{key}")
}

fn configuration(profile: NatsProfile) -> Value {
    json!({
        "name": "SBN",
        "subjects": ["sb.k.>"],
        "storage": profile.storage(),
        "num_replicas": profile.replicas(),
        "retention": "limits",
        "discard": "old",
        "max_msgs_per_subject": 1,
        "max_msg_size": VALUE_BYTES,
        "allow_direct": true,
        "deny_delete": true,
        "allow_msg_ttl": true,
    })
}

/// Everything in which the stream that is there differs from what is needed, a sentence each.
pub(super) fn differences(info: &Value, profile: NatsProfile) -> Vec<String> {
    let (has, wanted) = (&info["config"], configuration(profile));
    let keys = ["subjects", "storage", "num_replicas", "retention", "max_msgs_per_subject", "allow_msg_ttl"];
    let differing = keys.iter().filter(|key| has[**key] != wanted[**key]);
    differing.map(|key| format!("the {key} of the stream SBN is {}, and not {}", has[*key], wanted[*key])).collect()
}

/// The stream as it is: made, if it is not there.
pub(super) async fn stream(shared: &Shared) -> Result<Value, Arc<str>> {
    let looked = one(shared, INFO, b"").await?;
    match api::answer(&looked) {
        Ok(info) => Ok(info),
        Err(refusal) if refusal.is_no_stream() => {
            let configuration = configuration(shared.options.profile).to_string();
            let made = one(shared, CREATE, configuration.as_bytes()).await?;
            api::answer(&made).map_err(|refusal| refusal.text.into())
        }
        Err(refusal) => Err(refusal.text.into()),
    }
}

async fn one(shared: &Shared, subject: &str, question: &[u8]) -> Result<Bytes, Arc<str>> {
    payload(shared.asked(subject, question, READ_TIME).await)
}

/// What one message answers.
fn payload(outcome: Outcome) -> Result<Bytes, Arc<str>> {
    outcome.answer("the stream of names has no leader")
}

/// The stream is gone, as one in memory is when its server was restarted: it is made again, for whoever asks next.
fn make(shared: &Shared) {
    let configuration = configuration(shared.options.profile).to_string();
    // Whoever asks next finds out.
    shared.ask(CREATE, "", configuration.as_bytes(), Answers::One, READ_TIME, Box::new(drop));
}

impl NodeRecords for NatsEngine {
    fn put(&self, key: &str, expected: u64, value: Bytes, lives: Option<Duration>, done: BusAnswer<u64, PutError>) {
        let mut headers = format!("{EXPECTED}: {expected}\r\n");
        if let Some(lives) = lives {
            // Writing to memory does not fail.
            let _ = write!(headers, "{LIVES}: {}s\r\n", lives.as_secs().max(1));
        }
        let shared = Arc::clone(&self.shared);
        let answered = move |outcome| {
            let is_nobody = matches!(outcome, Outcome::NobodyThere);
            let put = match payload(outcome).map(|answer| api::appended(&answer)) {
                Ok(Ok(position)) => Ok(position.0),
                Ok(Err(AppendError::Stale { .. } | AppendError::Busy)) => Err(PutError::Stale),
                Ok(Err(AppendError::Unknown(reason) | AppendError::Refused(reason))) | Err(reason) => {
                    Err(PutError::Unknown(reason))
                }
            };
            if is_nobody {
                make(&shared);
            }
            done(put);
        };
        self.shared.ask(&subject(key), &headers, &value, Answers::One, PUT_TIME, Box::new(answered));
    }

    fn record(&self, key: &str, done: BusAnswer<Option<NodeRecord>, RecordsAway>) {
        let shared = Arc::clone(&self.shared);
        let answered = move |outcome| {
            let record = payload(outcome).and_then(|answer| {
                if api::answer(&answer).is_err_and(|refusal| refusal.is_no_stream()) {
                    make(&shared);
                }
                let last = api::last_answer(&answer).map_err(|error| error.0)?;
                Ok(last.map(|last| NodeRecord { revision: last.position.0, value: last.envelope }))
            });
            done(record.map_err(RecordsAway));
        };
        self.shared.ask(LAST, "", &api::last(&subject(key)), Answers::One, READ_TIME, Box::new(answered));
    }
}
