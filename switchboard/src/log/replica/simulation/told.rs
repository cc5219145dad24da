//! What a step of the simulation was, in words, and to a replica; and what the log ever took, as the judge asks for it.

use super::world::LogReply;
use crate::log::replica::model_log::ModelLog;
use crate::log::replica::{EngineError, LogEnvelope, Replica, ReplicaAction, Stored};
use bytes::Bytes;
use std::collections::HashMap;
use std::time::Duration;
use switchboard_proto::{MessageId, RoomName};

/// Where, which, behind which, and what numbers.
pub(super) fn one(stored: &Stored) -> String {
    let at = stored.position.0;
    bytes(&stored.envelope).map_or_else(|| format!("@{at}?"), |envelope| format!("@{at} {envelope}"))
}

fn bytes(envelope: &Bytes) -> Option<String> {
    let LogEnvelope { epoch, first, token, prev, entries, .. } = LogEnvelope::parse(envelope).ok()?;
    let (token, prev) = (token.0 % 9973, prev.map_or(0, |prev| prev.0 % 9973));
    let payloads: Vec<_> = entries.iter().map(|one| u64::from_be_bytes(one.payload[..].try_into().unwrap())).collect();
    Some(format!("{epoch}-{first} #{token} behind #{prev} {payloads:?}"))
}

pub(super) fn told(action: &ReplicaAction) -> String {
    match action {
        ReplicaAction::Append { after, envelope, .. } => format!("append behind {}: {:?}", after.0, bytes(envelope)),
        ReplicaAction::Show(entries) => {
            let ids: Vec<_> = entries.iter().map(|one| one.id.to_string()).collect();
            format!("shows {ids:?}")
        }
        other => format!("{other:?}"),
    }
}

pub(super) fn answer(reply: &LogReply) -> String {
    match reply {
        LogReply::Ended(end) => format!("log {} ends {:?}", end.log, end.last.as_ref().map(one)),
        LogReply::Fetched(envelopes) => format!("fetched {:?}", envelopes.iter().map(one).collect::<Vec<_>>()),
        LogReply::Appended(token, result) => format!("append #{} {result:?}", token.0 % 9973),
        other => format!("{other:?}"),
    }
}

/// All messages that the log ever took.
pub(super) fn kept(log: &ModelLog) -> HashMap<(RoomName, MessageId), u64> {
    let mut kept = HashMap::new();
    for (room, envelope) in &log.taken {
        for (entry, seq) in envelope.entries.iter().zip(envelope.first..) {
            let payload = u64::from_be_bytes(entry.payload[..].try_into().unwrap());
            kept.insert((room.clone(), MessageId { epoch: envelope.epoch, seq }), payload);
        }
    }
    kept
}

/// In which envelope each message was, and behind which.
pub(super) fn links(log: &ModelLog) -> HashMap<(RoomName, MessageId, u64), (u64, Option<u64>)> {
    let mut links = HashMap::new();
    for (room, envelope) in &log.taken {
        for (entry, seq) in envelope.entries.iter().zip(envelope.first..) {
            let payload = u64::from_be_bytes(entry.payload[..].try_into().unwrap());
            let id = MessageId { epoch: envelope.epoch, seq };
            links.insert((room.clone(), id, payload), (envelope.token.0, envelope.prev.map(|prev| prev.0)));
        }
    }
    links
}

pub(super) fn tell(replica: &mut Replica, reply: LogReply, now: Duration) {
    let failed = || EngineError("nobody answers".into());
    match reply {
        LogReply::Followed => replica.followed(Ok(()), now),
        LogReply::Ended(end) => replica.ended(Ok(end), now),
        LogReply::Fetched(envelopes) => replica.fetched(Ok(envelopes), now),
        LogReply::Appended(token, result) => replica.appended(token, result, now),
        LogReply::ReadFailed(ReplicaAction::Follow) => replica.followed(Err(failed()), now),
        LogReply::ReadFailed(ReplicaAction::AskLast) => replica.ended(Err(failed()), now),
        LogReply::ReadFailed(_) => replica.fetched(Err(failed()), now),
    }
}
