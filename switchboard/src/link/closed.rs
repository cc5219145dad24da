//! The last connections of a worker that have ended, for whoever asks why.

use super::{ConnectionId, Link, ListenerSettings, PeerAddr};
use crate::metrics::TransportTraffic;
use parking_lot::Mutex;
use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use switchboard_proto::CloseReason;

/// How many one worker remembers of those that ended in an orderly way, and of all others: below 384 KiB each. So whoever asks each second how the server
/// is pushes nobody out who was dropped.
const KEPT: usize = 1000;

/// Of how many that have not ended yet it is known what they were called. Of others it is not told.
const PARTING: usize = 4096;

/// What a connection was called, and whom it was shown to be.
#[derive(Debug, Clone, Default)]
pub(crate) struct Called {
    pub(crate) name: Option<Box<str>>,
    pub(crate) user: Option<Box<str>>,
}

/// A connection that has ended.
#[derive(Debug, Clone)]
struct Ended {
    id: ConnectionId,
    peer: PeerAddr,
    via: Option<SocketAddr>,
    transport: &'static str,
    listener: Arc<ListenerSettings>,
    called: Called,
    reason: CloseReason,
    time: SystemTime,
    age: Duration,
    traffic: TransportTraffic,
    lost: u32,
    unwritten: usize,
}

/// A connection that has ended, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClosedInfo {
    /// The number that it had.
    pub id: ConnectionId,
    /// Where the peer was; behind a proxy that said so, its client.
    pub peer: PeerAddr,
    /// The proxy that said who the peer was, if there was one.
    pub via: Option<SocketAddr>,
    /// As in [`ConnectionInfo`](crate::ConnectionInfo).
    pub transport: &'static str,
    /// The listener that it came to.
    pub listener: String,
    /// Its last name, if it had one.
    pub name: Option<String>,
    /// Whom it was shown to be, if it was shown to be somebody.
    pub user: Option<String>,
    /// Why it ended.
    pub reason: CloseReason,
    /// When.
    pub time: SystemTime,
    /// How long it was open.
    pub age: Duration,
    /// Bytes received.
    pub bytes_in: u64,
    /// Bytes that the socket took.
    pub bytes_out: u64,
    /// Frames given to the handler.
    pub frames_in: u64,
    /// Frames queued.
    pub frames_out: u64,
    /// Messages that it lost.
    pub lost: u64,
    /// Bytes that were queued and not written.
    pub unwritten: usize,
}

/// The last of one worker.
#[derive(Debug, Default)]
pub(crate) struct ClosedRing {
    orderly: Mutex<VecDeque<Ended>>,
    otherwise: Mutex<VecDeque<Ended>>,
    /// What those are called that are about to end.
    parting: Mutex<HashMap<ConnectionId, Called>>,
}

impl ClosedRing {
    /// A connection that is about to end, or is not called so any more, was called so.
    pub(crate) fn was_called(&self, id: ConnectionId, called: Called) {
        let mut parting = self.parting.lock();
        if parting.len() < PARTING || parting.contains_key(&id) {
            parting.insert(id, called);
        }
    }

    /// Remembers one, in place of one that ended like it and longest ago if there are too many.
    pub(crate) fn push(&self, link: &Link, reason: CloseReason, age: Duration, unwritten: usize) {
        let ended = Ended {
            id: link.id,
            peer: link.client().clone(),
            via: link.via(),
            transport: link.transport(),
            listener: Arc::clone(&link.listener),
            called: self.parting.lock().remove(&link.id).unwrap_or_default(),
            reason,
            time: SystemTime::now(),
            age,
            traffic: link.traffic.now(),
            lost: link.lost_count(),
            unwritten,
        };
        let mut ring = if reason.is_orderly() { self.orderly.lock() } else { self.otherwise.lock() };
        let oldest = if ring.len() == KEPT { ring.pop_front() } else { None };
        ring.push_back(ended);
        drop(ring);
        // It may be the last that has its listener's settings.
        drop(oldest);
    }

    /// The newest, at most `limit` of those that ended in an orderly way and as many others, in no order.
    pub(crate) fn newest(&self, limit: usize) -> Vec<ClosedInfo> {
        // Copied, so that who closes waits for no text to be made.
        let newest = |ring: &Mutex<VecDeque<Ended>>| ring.lock().iter().rev().take(limit).cloned().collect::<Vec<_>>();
        [newest(&self.orderly), newest(&self.otherwise)].into_iter().flatten().map(ClosedInfo::from).collect()
    }
}

impl From<Ended> for ClosedInfo {
    fn from(ended: Ended) -> Self {
        let TransportTraffic { bytes_in, bytes_out, frames_in, frames_out } = ended.traffic;
        Self {
            id: ended.id,
            peer: ended.peer,
            via: ended.via,
            transport: ended.transport,
            listener: ended.listener.name.clone(),
            name: ended.called.name.map(String::from),
            user: ended.called.user.map(String::from),
            reason: ended.reason,
            time: ended.time,
            age: ended.age,
            bytes_in,
            bytes_out,
            frames_in,
            frames_out,
            lost: ended.lost.into(),
            unwritten: ended.unwritten,
        }
    }
}
