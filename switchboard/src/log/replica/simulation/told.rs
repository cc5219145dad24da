//! What a step of the simulation was, in words, and to a replica; and what the log ever took, as the judge asks for it.

use super::world::LogReply;
use crate::log::replica::model_log::ModelLog;
use crate::log::replica::{EngineError, LogEntry, LogEnvelope, Replica, ReplicaAction, Stored};
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
    let payloads: Vec<_> = entries.iter().map(payload).collect();
    Some(format!("{epoch}-{first} #{token} behind #{prev} {payloads:?}"))
}

/// Which publication an entry is.
pub(super) fn payload(entry: &LogEntry) -> u64 {
    u64::from_be_bytes(entry.payload[..].try_into().unwrap())
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
    taken(log).map(|(room, id, payload, _)| ((room.clone(), id), payload)).collect()
}

/// In which envelope each message was, and behind which.
pub(super) fn links(log: &ModelLog) -> HashMap<(RoomName, MessageId, u64), (u64, Option<u64>)> {
    let purges = log.taken.iter().filter(|(_, envelope)| envelope.purges());
    let purges: HashMap<_, _> = purges.map(|(_, envelope)| (envelope.token, envelope.prev)).collect();
    let link = |envelope: &LogEnvelope| {
        let mut prev = envelope.prev;
        // One that purges has no messages: what is behind it is behind what it is behind.
        while let Some(before) = prev.and_then(|prev| purges.get(&prev)) {
            prev = *before;
        }
        (envelope.token.0, prev.map(|prev| prev.0))
    };
    taken(log).map(|(room, id, payload, envelope)| ((room.clone(), id, payload), link(envelope))).collect()
}

/// Each message that the log ever took, in the order in which it did, and its envelope.
fn taken(log: &ModelLog) -> impl Iterator<Item = (&RoomName, MessageId, u64, &LogEnvelope)> {
    log.taken.iter().flat_map(|(room, envelope)| {
        let ids = (envelope.first..).map(|seq| MessageId { epoch: envelope.epoch, seq });
        envelope.entries.iter().zip(ids).map(move |(entry, id)| (room, id, payload(entry), envelope))
    })
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
