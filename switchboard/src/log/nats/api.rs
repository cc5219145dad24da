//! What is asked of JetStream, and what it answers: seven questions, in JSON.
//!
//! Texts in, values out; who asks and when is `engine.rs`.

use super::wire::Received;
use crate::log::replica::{AppendError, EngineError, Position, Stored};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde_json::{Value, json};

/// What an append to a room expects to be its last envelope.
pub(super) const EXPECTED: &str = "Nats-Expected-Last-Subject-Sequence";
/// Where an envelope is, of one that comes live or was read.
pub(super) const SEQUENCE: &str = "Nats-Sequence";
/// How many more there are behind one that was read.
const PENDING: &str = "Nats-Num-Pending";
/// The subject of one that was read.
pub(super) const SUBJECT: &str = "Nats-Subject";
/// Says of what comes live that it is no envelope, but where the room's log ends.
pub(super) const TAIL: &str = "Switchboard-Tail";

/// Envelopes that are read at once, and their bytes.
const BATCH: usize = 256;
const BATCH_BYTES: usize = 1 << 20;
/// The most bytes that a check reads at once.
const CHECK_BYTES: usize = 8 << 20;

/// The expected envelope is not the last.
const WRONG_LAST: u64 = 10071;
/// Another append to the room is under way, of which nobody knows yet whether it is kept.
const UNDER_WAY: u64 = 10164;
const NO_MESSAGE: u64 = 10037;
const NO_STREAM: u64 = 10059;

/// What JetStream says that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ApiFault {
    pub(super) code: u64,
    pub(super) text: String,
}

impl ApiFault {
    /// There is no such stream.
    pub(super) fn is_no_stream(&self) -> bool {
        self.code == NO_STREAM
    }
}

/// An answer as JSON, or what it says that is wrong.
pub(super) fn answer(payload: &[u8]) -> Result<Value, ApiFault> {
    let Ok(answer) = serde_json::from_slice::<Value>(payload) else {
        return Err(ApiFault { code: 0, text: "its answer is not JSON".to_owned() });
    };
    match answer.get("error") {
        Some(error) => {
            let code = error["err_code"].as_u64().or_else(|| error["code"].as_u64()).unwrap_or_default();
            Err(ApiFault { code, text: error["description"].as_str().unwrap_or("no reason").to_owned() })
        }
        None => Ok(answer),
    }
}

/// Where an envelope was kept.
pub(super) fn appended(payload: &[u8]) -> Result<Position, AppendError> {
    match answer(payload) {
        Ok(answer) => match answer["seq"].as_u64() {
            Some(seq) => Ok(Position(seq)),
            None => Err(AppendError::Unknown("its answer does not say where".into())),
        },
        Err(refusal) => Err(refused(&refusal)),
    }
}

fn refused(ApiFault { code, text }: &ApiFault) -> AppendError {
    match *code {
        WRONG_LAST => match text.rsplit_once(' ').and_then(|(_, last)| last.parse().ok()) {
            Some(last) => AppendError::Stale { last: Position(last) },
            None => AppendError::Busy,
        },
        UNDER_WAY => AppendError::Busy,
        // Those of 503 say that it cannot now: no leader, too little space, too many requests.
        503 | 10008 | 10023 | 10025 | 10074 | 10077 | 10108 | 10123 | 10167 => {
            AppendError::Unknown(text.as_str().into())
        }
        _ => AppendError::Refused(text.as_str().into()),
    }
}

/// Asks the leader for a room's last envelope.
pub(super) fn last(subject: &str) -> Bytes {
    json!({ "last_by_subj": subject }).to_string().into()
}

pub(super) fn last_answer(payload: &[u8]) -> Result<Option<Stored>, EngineError> {
    let answer = match answer(payload) {
        Ok(answer) => answer,
        Err(ApiFault { code: NO_MESSAGE, .. }) => return Ok(None),
        Err(ApiFault { text, .. }) => return Err(EngineError(text.into())),
    };
    let message = &answer["message"];
    let data = message["data"].as_str().unwrap_or_default();
    match (message["seq"].as_u64(), STANDARD.decode(data)) {
        (Some(seq), Ok(data)) => Ok(Some(Stored { position: Position(seq), envelope: data.into() })),
        _ => Err(EngineError("its answer has no message".into())),
    }
}

/// Asks for a room's envelopes from one position on.
pub(super) fn fetch(subject: &str, from: Position) -> Bytes {
    let from = from.0.max(1);
    json!({ "next_by_subj": subject, "seq": from, "batch": BATCH, "max_bytes": BATCH_BYTES }).to_string().into()
}

/// Asks for a room's first envelope from one position on.
pub(super) fn next(subject: &str, from: Position) -> Bytes {
    json!({ "next_by_subj": subject, "seq": from.0.max(1), "batch": 1 }).to_string().into()
}

/// Has a room's envelopes dropped that are before a position.
pub(super) fn purge(subject: &str, before: Position) -> Bytes {
    json!({ "filter": subject, "seq": before.0 }).to_string().into()
}

pub(super) fn purged(payload: &[u8]) -> Result<(), EngineError> {
    match answer(payload) {
        Ok(answer) if answer["success"] == true => Ok(()),
        Ok(_) => Err(EngineError("its answer does not say that they are gone".into())),
        Err(ApiFault { text, .. }) => Err(EngineError(text.into())),
    }
}

/// Asks for the last envelopes of rooms behind a position.
pub(super) fn check(subjects: &[String], after: Position) -> Bytes {
    json!({ "multi_last": subjects, "seq": after.0.saturating_add(1), "batch": subjects.len(), "max_bytes": CHECK_BYTES })
        .to_string()
        .into()
}

/// Whether there are more than these. The message behind the last one says so too, but counts one too few where they were too many bytes
/// (`getDirectMulti` of nats-server, as of 2.11).
pub(super) fn has_more(answers: &[Received]) -> bool {
    answers.last().and_then(|last| last.headers.number(PENDING)).is_some_and(|pending| pending > 0)
}

/// Envelopes as they are read, with their subjects; none of them where one cannot be understood.
pub(super) fn read(answers: Vec<Received>) -> Result<Vec<(Bytes, Stored)>, EngineError> {
    let stored = |delivery: Received| {
        let position = Position(delivery.headers.number(SEQUENCE)?);
        let subject = delivery.headers.value(SUBJECT)?.as_bytes();
        Some((Bytes::copy_from_slice(subject), Stored { position, envelope: delivery.payload }))
    };
    let read: Option<Vec<_>> = answers.into_iter().map(stored).collect();
    read.ok_or_else(|| EngineError("its answer does not say where an envelope is".into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_that_says_it_ends_at_the_last_number_there_is_can_be_asked() {
        let question: Value = serde_json::from_slice(&check(&[], Position(u64::MAX))).expect("JSON");
        assert_eq!(question["seq"], u64::MAX);
    }
}
