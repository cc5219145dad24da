//! The log's questions as messages to JetStream, and its answers as the log's.

use super::asked::{Answers, OnOutcome, Outcome};
use super::shared::Shared;
use super::wire::Received;
use super::{NatsEngine, api, stream, subjects};
use crate::hub::log::answered;
use crate::log::replica::{
    AppendError, CheckedRooms, Engine, EngineAnswer, EngineError, EngineEvents, LogIdentity, Position, Stored,
};
use bytes::Bytes;
use serde_json::Value;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use switchboard_proto::{Message, RoomName};
use tokio::time::Instant;

/// How long an append may take until nobody knows what became of it, and how long an answer about what is kept.
const APPEND_TIME: Duration = Duration::from_secs(2);
const READ_TIME: Duration = Duration::from_secs(5);

const INFO: &str = "$JS.API.STREAM.INFO.SB";
const CREATE: &str = "$JS.API.STREAM.CREATE.SB";
const LAST: &str = "$JS.API.STREAM.MSG.GET.SB";
const READ: &str = "$JS.API.DIRECT.GET.SB";
const PURGE: &str = "$JS.API.STREAM.PURGE.SB";

/// The stream with its state: made, if it is not there.
pub(super) async fn stream(shared: &Arc<Shared>) -> Result<Value, EngineError> {
    let (done, told) = answered();
    look(shared, done);
    told.await.unwrap_or_else(|_| Err(EngineError("it is closed".into())))
}

fn look(shared: &Arc<Shared>, done: EngineAnswer<Value>) {
    let making = Arc::clone(shared);
    let looked = move |outcome| match one(outcome).map(|payload| api::answer(&payload)) {
        Ok(Err(refusal)) if refusal.is_no_stream() => make(&making, done),
        Ok(Err(refusal)) => done(Err(EngineError(refusal.text.into()))),
        Ok(Ok(info)) => done(Ok(info)),
        Err(error) => done(Err(error)),
    };
    shared.ask(INFO, "", b"", Answers::One, READ_TIME, Box::new(looked));
}

/// Makes the stream. Another node may have been faster: then it is there at the next look.
fn make(shared: &Arc<Shared>, done: EngineAnswer<Value>) {
    let Ok(identity) = getrandom::u64().and_then(|high| Ok(u128::from(high) << 64 | u128::from(getrandom::u64()?)))
    else {
        done(Err(EngineError("this machine has no random numbers".into())));
        return;
    };
    let made = move |outcome| {
        let made =
            one(outcome).and_then(|payload| api::answer(&payload).map_err(|refusal| EngineError(refusal.text.into())));
        done(made);
    };
    let configuration = stream::configuration(shared.options.profile, shared.options.retention, identity);
    shared.ask(CREATE, "", configuration.to_string().as_bytes(), Answers::One, READ_TIME, Box::new(made));
}

const NO_LEADER: &str = "the stream has no leader";

/// What one message answers.
fn one(outcome: Outcome) -> Result<Bytes, EngineError> {
    outcome.answer(NO_LEADER).map_err(EngineError)
}

fn several(outcome: Outcome) -> Result<Vec<Received>, EngineError> {
    outcome.answers(NO_LEADER).map_err(EngineError)
}

impl NatsEngine {
    /// Asks a copy of the stream for envelopes of one room.
    fn read(&self, question: Bytes, done: EngineAnswer<Vec<Stored>>) {
        let answered = move |outcome| {
            let read = several(outcome).and_then(api::read);
            done(read.map(|read| read.into_iter().map(|(_, stored)| stored).collect()));
        };
        self.shared.ask(READ, "", &question, Answers::Several, READ_TIME, Box::new(answered));
    }
}

impl Engine for NatsEngine {
    fn watch(&self, events: Arc<dyn EngineEvents>) {
        // It is called once.
        let _ = self.shared.events.set(events);
    }

    fn append(&self, room: &RoomName, after: Position, envelope: Bytes, done: EngineAnswer<Position, AppendError>) {
        let (shared, asked) = (Arc::clone(&self.shared), Instant::now());
        let answered: OnOutcome = Box::new(move |outcome| {
            let appended = match one(outcome) {
                Ok(payload) => api::appended(&payload),
                Err(EngineError(reason)) => Err(AppendError::Unknown(reason)),
            };
            let (counts, mut trouble) = (&shared.counts, None);
            // Relaxed: statistics, which guard no other memory.
            match &appended {
                Ok(_) => {
                    counts.appended.fetch_add(1, Ordering::Relaxed);
                    counts.appends.record(asked.elapsed());
                }
                Err(AppendError::Stale { .. } | AppendError::Busy) => {
                    counts.conflicts.fetch_add(1, Ordering::Relaxed);
                }
                Err(AppendError::Unknown(reason) | AppendError::Refused(reason)) => {
                    counts.unknown.fetch_add(1, Ordering::Relaxed);
                    trouble = Some(Arc::clone(reason));
                }
            }
            shared.went(trouble);
            done(appended);
        });
        let headers = format!("{}: {}\r\n", api::EXPECTED, after.0);
        self.shared.ask(&subjects::kept(room), &headers, &envelope, Answers::One, APPEND_TIME, answered);
    }

    fn last(&self, room: &RoomName, done: EngineAnswer<Option<Stored>>) {
        let question = api::last(&subjects::kept(room));
        let answered = move |outcome| done(one(outcome).and_then(|payload| api::last_answer(&payload)));
        self.shared.ask(LAST, "", &question, Answers::One, READ_TIME, Box::new(answered));
    }

    fn fetch(&self, room: &RoomName, from: Position, done: EngineAnswer<Vec<Stored>>) {
        self.read(api::fetch(&subjects::kept(room), from), done);
    }

    fn next(&self, room: &RoomName, from: Position, done: EngineAnswer<Option<Stored>>) {
        let question = api::next(&subjects::kept(room), from);
        self.read(question, Box::new(move |read| done(read.map(|read| read.into_iter().next()))));
    }

    fn purge(&self, room: &RoomName, before: Position, done: EngineAnswer<()>) {
        let question = api::purge(&subjects::kept(room), before);
        let answered = move |outcome| done(one(outcome).and_then(|payload| api::purged(&payload)));
        self.shared.ask(PURGE, "", &question, Answers::One, READ_TIME, Box::new(answered));
    }

    fn follow(&self, room: &RoomName, done: EngineAnswer<()>) {
        self.shared.follow(room, done);
    }

    fn unfollow(&self, room: &RoomName) {
        self.shared.unfollow(room);
    }

    fn tell_tail(&self, room: &RoomName, tail: Bytes) {
        self.shared.say(&subjects::live(room), &format!("{}: 1\r\n", api::TAIL), &tail);
    }

    fn tell_nodes(&self, report: Bytes) {
        self.shared.say(subjects::REPORTS, "", &report);
    }

    fn shown(&self, message: &Message) {
        self.shared.tell_plainly(message);
    }

    fn identity(&self, done: EngineAnswer<LogIdentity>) {
        let shared = Arc::clone(&self.shared);
        let looked = move |info: Result<Value, EngineError>| {
            let unknown = || EngineError("the stream has no leader, or does not say which log it is".into());
            let identity = info.and_then(|info| stream::identity(&info).ok_or_else(unknown));
            shared.went(identity.as_ref().err().map(|EngineError(reason)| Arc::clone(reason)));
            done(identity);
        };
        look(&self.shared, Box::new(looked));
    }

    fn check(&self, rooms: Vec<RoomName>, after: Position, done: EngineAnswer<CheckedRooms>) {
        let subjects: Vec<_> = rooms.iter().map(subjects::kept).collect();
        let question = api::check(&subjects, after);
        let answered = move |outcome| {
            let room = |(subject, stored): (Bytes, Stored)| Some((subjects::room(&subject)?, stored));
            done(several(outcome).and_then(|answers| {
                let has_more = api::has_more(&answers);
                let found = api::read(answers)?.into_iter().filter_map(room).collect();
                Ok(CheckedRooms { found, has_more })
            }));
        };
        self.shared.ask(READ, "", &question, Answers::Several, READ_TIME, Box::new(answered));
    }

    /// Where there is one copy, that is the log.
    fn checks_are_exact(&self) -> bool {
        self.shared.options.profile.replicas() == 1
    }

    fn health(&self) -> Result<(), EngineError> {
        self.shared.trouble().map_or(Ok(()), |reason| Err(EngineError(reason)))
    }
}
