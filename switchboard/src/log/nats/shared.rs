//! What the connection's task and whoever asks it share: what is to be said, what was asked, and whose rooms are followed.
//!
//! One short lock. Nothing is called back while it is held.

use super::asked::{Answers, IN_FLIGHT_BYTES, NODES_BYTES, OnOutcome, Outcome, Over, Questions};
use super::bus::NodeVoice;
use super::plain::Requests;
use super::servers::NatsServer;
use super::wire::{self, Received};
use super::{NatsError, NatsOptions, api, subjects};
use crate::hub::log::answered;
use crate::log::replica::{EngineAnswer, EngineError, EngineEvents, Position, Stored};
use crate::metrics::Histogram;
use parking_lot::Mutex;
use std::collections::{HashSet, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use switchboard_proto::RoomName;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::warn;

/// The number of the subscription that takes answers; those of buckets follow.
const INBOX: u64 = 1;
/// Behind those, how far nodes know the log, and what else they say.
const REPORTS: u64 = INBOX + 1 + subjects::BUCKETS as u64;
const NODES: u64 = REPORTS + 1;

/// And behind those, what programs that are no nodes ask to be published, each of one node of this group.
pub(super) const REQUESTS: u64 = NODES + 2;
const REQUESTED_OF: &str = "sb";

/// What may wait to be written: all that may be in flight, and what nobody answers. A server that does not read it gets no more.
const OUTPUT_BYTES: usize = 2 * IN_FLIGHT_BYTES + NODES_BYTES;

/// Trouble is told where it lasts: an engine that is restarted, or a leader that is elected, takes less.
const TOLD_AFTER: Duration = Duration::from_secs(5);

/// Failed attempts to connect are logged this often: each outage once, and again while it lasts.
const LOGGED_EVERY: Duration = Duration::from_secs(30);

/// What the server does not allow is logged: a text once in this time, and so many texts.
const DENIED_EVERY: Duration = Duration::from_mins(1);
const DENIED_TEXTS: usize = 8;

/// How long an append takes, from a server in the same machine to three that are in trouble.
const APPEND_BOUNDS: &[Duration] = &[
    Duration::from_micros(100),
    Duration::from_micros(250),
    Duration::from_micros(500),
    Duration::from_millis(1),
    Duration::from_micros(2500),
    Duration::from_millis(5),
    Duration::from_millis(10),
    Duration::from_millis(25),
    Duration::from_millis(50),
    Duration::from_millis(100),
    Duration::from_millis(500),
    Duration::from_secs(2),
];

/// Which server a node is connected to.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct NatsStanding {
    /// Its address, as it was given.
    pub server: String,
    /// The version that it says.
    pub version: String,
}

/// How far a connection is.
pub(super) enum Progress {
    /// There is none, and this was the reason of the last attempt, if there was one.
    Away(Option<Arc<NatsError>>),
    There(NatsStanding),
}

pub(super) struct Shared {
    pub(super) options: NatsOptions,
    /// `_INBOX.sb.` and what no other node has.
    inbox: String,
    state: Mutex<State>,
    /// There is something to say, or somebody to be refused.
    pub(super) wake: Notify,
    pub(super) closed: CancellationToken,
    pub(super) progress: watch::Sender<Progress>,
    pub(super) events: OnceLock<Arc<dyn EngineEvents>>,
    pub(super) voice: OnceLock<NodeVoice>,
    pub(super) counts: Counts,
}

pub(super) struct Counts {
    pub(super) appended: AtomicU64,
    pub(super) conflicts: AtomicU64,
    pub(super) unknown: AtomicU64,
    pub(super) connections: AtomicU64,
    pub(super) appends: Histogram,
}

#[derive(Default)]
struct State {
    is_connected: bool,
    output: Vec<u8>,
    asked: Questions,
    /// Whom to tell that nothing comes of what it has asked.
    refused: Vec<Box<dyn FnOnce() + Send>>,
    followed: HashSet<RoomName>,
    /// Rooms that are followed of each bucket that has any.
    buckets: Vec<u32>,
    /// Those who wait for the server to have understood all that was said before; none where only its life was asked for.
    pongs: VecDeque<Option<EngineAnswer<()>>>,
    /// Since when nothing is kept, and why; until something is again.
    trouble: Option<(Instant, Arc<str>)>,
    logged: Option<Instant>,
    /// What was not allowed lately, and when it was logged.
    denied: Vec<(Instant, String)>,
    /// Who takes requests to publish, if anybody does.
    requests: Option<Arc<Requests>>,
}

impl Shared {
    pub(super) fn new(options: NatsOptions) -> Result<Self, NatsError> {
        let random = getrandom::u64().map_err(|error| NatsError::Start(error.to_string()))?;
        let state = State { buckets: vec![0; usize::from(subjects::BUCKETS)], ..State::default() };
        let counts = Counts {
            appended: AtomicU64::default(),
            conflicts: AtomicU64::default(),
            unknown: AtomicU64::default(),
            connections: AtomicU64::default(),
            appends: Histogram::new(APPEND_BOUNDS),
        };
        Ok(Self {
            options,
            inbox: format!("_INBOX.sb.{random:016x}"),
            state: Mutex::new(state),
            wake: Notify::new(),
            closed: CancellationToken::new(),
            progress: watch::Sender::new(Progress::Away(None)),
            events: OnceLock::new(),
            voice: OnceLock::new(),
            counts,
        })
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed.is_cancelled()
    }

    /// Asks `subject` for one message.
    ///
    /// # Cancel safety
    /// Nobody is told what comes of it; it is asked all the same.
    pub(super) async fn asked(&self, subject: &str, payload: &[u8], time: Duration) -> Outcome {
        let (done, told) = answered();
        self.ask(subject, "", payload, Answers::One, time, done);
        told.await.unwrap_or_else(|_| Outcome::Unanswered("it is closed".into()))
    }

    /// Asks `subject`; `done` is called once, on the connection's task.
    pub(super) fn ask(
        &self,
        subject: &str,
        headers: &str,
        payload: &[u8],
        answers: Answers,
        time: Duration,
        done: OnOutcome,
    ) {
        let mut state = self.state.lock();
        if state.is_connected && state.output.len() >= OUTPUT_BYTES {
            state.refuse(done, "the server reads too slowly");
        } else if state.is_connected {
            match state.asked.enter(payload.len(), answers, Instant::now(), time, done) {
                Ok(number) => {
                    let reply = format!("{}.{number}", self.inbox);
                    wire::publish(subject, &reply, headers, payload, &mut state.output);
                }
                Err(done) => state.refuse(done, "too much is in flight"),
            }
        } else {
            state.refuse(done, "it is not connected");
        }
        drop(state);
        self.wake.notify_one();
    }

    /// Says something that nobody answers, and that is lost where there is no connection.
    pub(super) fn say(&self, subject: &str, headers: &str, payload: &[u8]) {
        let mut state = self.state.lock();
        if state.is_connected && state.output.len() < IN_FLIGHT_BYTES {
            wire::publish(subject, "", headers, payload, &mut state.output);
            drop(state);
            self.wake.notify_one();
        }
    }

    /// Has the room's bucket subscribed to, if it is not, and calls `done` once the server has understood that.
    pub(super) fn follow(&self, room: &RoomName, done: EngineAnswer<()>) {
        let bucket = subjects::bucket(room);
        let mut state = self.state.lock();
        if state.followed.insert(room.clone()) {
            let count = &mut state.buckets[usize::from(bucket)];
            *count += 1;
            if *count == 1 && state.is_connected {
                wire::subscribe(&subjects::lives(bucket), number(bucket), &mut state.output);
            }
        }
        if state.is_connected {
            state.output.extend_from_slice(wire::PING);
            state.pongs.push_back(Some(done));
        } else {
            state.refused.push(Box::new(|| done(Err(EngineError("it is not connected".into())))));
        }
        drop(state);
        self.wake.notify_one();
    }

    /// Hears what nodes say from now on. Called once.
    pub(super) fn take_part(&self, voice: NodeVoice) {
        let mut state = self.state.lock();
        if self.voice.set(voice).is_ok() && state.is_connected {
            self.hear_nodes(&mut state.output);
            drop(state);
            self.wake.notify_one();
        }
    }

    fn hear_nodes(&self, output: &mut Vec<u8>) {
        for (number, subject) in (NODES..).zip(self.voice.get().iter().flat_map(|voice| voice.subjects())) {
            wire::subscribe(&subject, number, output);
        }
    }

    /// Has `requests` get what is asked to be published, from now on.
    pub(super) fn take_requests(&self, requests: Option<Arc<Requests>>) {
        let mut state = self.state.lock();
        state.requests = requests;
        if state.is_connected {
            match state.requests {
                Some(_) => hear_requests(&mut state.output),
                None => wire::unsubscribe(REQUESTS, &mut state.output),
            }
            drop(state);
            self.wake.notify_one();
        }
    }

    pub(super) fn unfollow(&self, room: &RoomName) {
        let bucket = subjects::bucket(room);
        let mut state = self.state.lock();
        if state.followed.remove(room) {
            let count = &mut state.buckets[usize::from(bucket)];
            *count -= 1;
            if *count == 0 && state.is_connected {
                wire::unsubscribe(number(bucket), &mut state.output);
                drop(state);
                self.wake.notify_one();
            }
        }
    }

    /// The server has let this node in: it is told first what is followed.
    pub(super) fn connected(&self, standing: NatsStanding) {
        let mut state = self.state.lock();
        let State { output, buckets, requests, .. } = &mut *state;
        output.clear();
        wire::subscribe(&format!("{}.>", self.inbox), INBOX, output);
        wire::subscribe(subjects::REPORTS, REPORTS, output);
        self.hear_nodes(output);
        if requests.is_some() {
            hear_requests(output);
        }
        for (bucket, count) in (0..).zip(buckets) {
            if *count > 0 {
                wire::subscribe(&subjects::lives(bucket), number(bucket), output);
            }
        }
        state.is_connected = true;
        state.logged = None;
        // Under the lock, which nothing is asked without: nobody asks by this connection who has not been told of it.
        if let Some(events) = self.events.get() {
            events.reconnected();
        }
        drop(state);
        // Relaxed: statistics, which guard no other memory.
        self.counts.connections.fetch_add(1, Ordering::Relaxed);
        self.progress.send_replace(Progress::There(standing));
        if let Some(voice) = self.voice.get() {
            voice.events.reconnected();
        }
    }

    /// A server has not let this node in.
    pub(super) fn not_admitted(&self, server: &NatsServer, error: NatsError) {
        let now = Instant::now();
        let mut state = self.state.lock();
        let is_told = state.logged.is_some_and(|logged| now - logged < LOGGED_EVERY);
        if !is_told {
            state.logged = Some(now);
            warn!(server = %server, error = %error.chain(), "not connected to the nats-server");
        }
        drop(state);
        self.progress.send_replace(Progress::Away(Some(Arc::new(error))));
    }

    /// The server does not allow something. Says whether that is to be logged.
    pub(super) fn is_denied(&self, reason: &str) -> bool {
        let (now, denied) = (Instant::now(), &mut self.state.lock().denied);
        denied.retain(|(logged, _)| now - *logged < DENIED_EVERY);
        let is_news = denied.len() < DENIED_TEXTS && denied.iter().all(|(_, known)| known != reason);
        if is_news {
            denied.push((now, reason.to_owned()));
        }
        is_news
    }

    /// There is no connection any more, for this reason.
    pub(super) fn lost(&self, reason: &Arc<str>) {
        let mut state = self.state.lock();
        state.is_connected = false;
        state.output = Vec::new();
        let over = state.asked.lost(reason);
        let pongs = std::mem::take(&mut state.pongs);
        state.trouble.get_or_insert_with(|| (Instant::now(), Arc::clone(reason)));
        drop(state);
        self.progress.send_if_modified(|progress| {
            let was_there = matches!(progress, Progress::There(_));
            if was_there {
                *progress = Progress::Away(None);
            }
            was_there
        });
        call(over);
        for done in pongs.into_iter().flatten() {
            done(Err(EngineError(Arc::clone(reason))));
        }
        self.refuse();
    }

    /// Tells those whose questions were not even sent.
    pub(super) fn refuse(&self) {
        let refused = std::mem::take(&mut self.state.lock().refused);
        for tell in refused {
            tell();
        }
    }

    /// All that is to be said now.
    pub(super) fn said(&self) -> Vec<u8> {
        std::mem::take(&mut self.state.lock().output)
    }

    pub(super) fn expire(&self, now: Instant) {
        let over = self.state.lock().asked.expired(now);
        call(over);
    }

    /// Asks the server whether it is there. Says how many such questions are open.
    pub(super) fn ping(&self) -> usize {
        let mut state = self.state.lock();
        state.output.extend_from_slice(wire::PING);
        state.pongs.push_back(None);
        state.pongs.iter().filter(|pong| pong.is_none()).count()
    }

    /// Answers the server. Says whether there is room for that: one that asks and does not read is given up.
    pub(super) fn pong(&self) -> bool {
        let output = &mut self.state.lock().output;
        let has_room = output.len() < OUTPUT_BYTES;
        if has_room {
            output.extend_from_slice(wire::PONG);
        }
        has_room
    }

    pub(super) fn ponged(&self) {
        let pong = self.state.lock().pongs.pop_front();
        if let Some(Some(done)) = pong {
            done(Ok(()));
        }
    }

    /// A message has come.
    pub(super) fn delivered(&self, delivery: Received) {
        if delivery.subscription == INBOX {
            let number = delivery.subject.rsplit(|byte| *byte == b'.').next();
            let number = number.and_then(|number| std::str::from_utf8(number).ok()?.parse().ok());
            let over = number.and_then(|number| self.state.lock().asked.answered(number, delivery));
            call(over);
            return;
        }
        if delivery.subscription == REQUESTS {
            let requests = self.state.lock().requests.clone();
            return self.requested(requests.as_deref(), delivery);
        }
        if delivery.subscription >= NODES {
            return self.told(delivery);
        }
        let Some(events) = self.events.get() else { return };
        if delivery.subscription == REPORTS {
            return events.reported(&delivery.payload);
        }
        let Some(room) = subjects::room(&delivery.subject) else { return };
        if !self.state.lock().followed.contains(&room) {
            return;
        }
        if delivery.headers.value(api::TAIL).is_some() {
            events.tail(&room, &delivery.payload);
        } else if let Some(position) = delivery.headers.number(api::SEQUENCE) {
            events.live(&room, Stored { position: Position(position), envelope: delivery.payload });
        }
    }

    /// Something that was asked for has happened, or has not.
    pub(super) fn went(&self, trouble: Option<Arc<str>>) {
        let mut state = self.state.lock();
        match trouble {
            None => state.trouble = None,
            Some(reason) => {
                state.trouble.get_or_insert_with(|| (Instant::now(), reason));
            }
        }
    }

    /// Why nothing is kept, if that has been so for long.
    pub(super) fn trouble(&self) -> Option<Arc<str>> {
        let state = self.state.lock();
        let (since, reason) = state.trouble.as_ref()?;
        (since.elapsed() >= TOLD_AFTER).then(|| Arc::clone(reason))
    }

    pub(super) fn in_flight_bytes(&self) -> usize {
        self.state.lock().asked.bytes()
    }

    /// Rooms that are followed.
    pub(super) fn followed(&self) -> usize {
        self.state.lock().followed.len()
    }
}

impl State {
    fn refuse(&mut self, done: OnOutcome, reason: &'static str) {
        self.refused.push(Box::new(move || done(Outcome::Unanswered(reason.into()))));
    }
}

fn hear_requests(output: &mut Vec<u8>) {
    wire::subscribe_among(REQUESTED_OF, subjects::REQUESTS, REQUESTS, output);
}

/// The subscription of a bucket.
fn number(bucket: u16) -> u64 {
    INBOX + 1 + u64::from(bucket)
}

fn call(over: impl IntoIterator<Item = Over>) {
    over.into_iter().for_each(|(done, outcome)| done(outcome));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shared() -> Shared {
        let server = "nats://127.0.0.1:1".parse().expect("an address");
        let shared = Shared::new(NatsOptions::new([server])).expect("random numbers");
        shared.connected(NatsStanding { server: String::new(), version: String::new() });
        shared
    }

    #[test]
    fn a_server_that_asks_and_does_not_read_is_given_up() {
        let shared = shared();
        let answers = (0..OUTPUT_BYTES).take_while(|_| shared.pong()).count();
        assert!(answers > 1000);
        let waiting = shared.said().len();
        assert!((OUTPUT_BYTES..OUTPUT_BYTES + wire::PONG.len()).contains(&waiting), "{waiting}");
        assert!(shared.pong(), "it has read");
    }

    #[test]
    fn nothing_is_asked_of_a_server_that_does_not_read() {
        let shared = shared();
        while shared.pong() {}
        let refused = Arc::new(Mutex::new(String::new()));
        let told = Arc::clone(&refused);
        let done = move |outcome| *told.lock() = format!("{outcome:?}");
        shared.ask("s", "", b"x", Answers::One, Duration::from_secs(1), Box::new(done));
        shared.refuse();
        assert_eq!((&**refused.lock(), shared.in_flight_bytes()), ("Unanswered(\"the server reads too slowly\")", 0));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_not_allowed_is_logged_once_a_minute() {
        let shared = shared();
        assert_eq!(["a", "b", "a", "b"].map(|reason| shared.is_denied(reason)), [true, true, false, false]);
        assert_eq!((0..100).filter(|number| shared.is_denied(&number.to_string())).count(), DENIED_TEXTS - 2);
        tokio::time::advance(DENIED_EVERY).await;
        assert!(shared.is_denied("a"));
    }
}
