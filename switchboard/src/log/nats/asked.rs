//! What has been asked of a server and is not answered yet: a bounded table, with a deadline for each.
//!
//! One inbox takes all answers; the last part of an answer's subject is the number of what was asked. Knows no sockets.
//!
//! The log has a share of what may be in flight, and other nodes have another: one that is frozen answers nothing for as long as its questions may
//! take, and rooms are not to wait for that.

use super::wire::Received;
use crate::cluster::NodeId;
use bytes::Bytes;
use std::collections::VecDeque;
use std::collections::hash_map::{Entry, HashMap};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// The most bytes that may be asked of the log and not be answered, with what each takes beside its payload.
pub(super) const IN_FLIGHT_BYTES: usize = 16 << 20;
const BESIDE: usize = 256;

/// The same of one other node, which is three of the longest messages to somebody, and of all of them.
const NODE_BYTES: usize = 1 << 20;
pub(super) const NODES_BYTES: usize = 8 << 20;

/// The most bytes that one question's answers may have together.
const ANSWER_BYTES: usize = 16 << 20;

/// What comes of something that was asked.
#[derive(Debug)]
pub(super) enum Outcome {
    /// One message, or several up to the one that says that there are no more, which is left out.
    Answered(Vec<Received>),
    /// Nobody is there who answers such questions.
    NobodyThere,
    /// Nobody has answered, or the connection was lost: what was asked for may have happened.
    Unanswered(Arc<str>),
}

impl Outcome {
    /// All messages; or why there are none, which is `nobody` where nobody is there.
    pub(super) fn answers(self, nobody: &str) -> Result<Vec<Received>, Arc<str>> {
        match self {
            Self::Answered(answers) => Ok(answers),
            Self::NobodyThere => Err(nobody.into()),
            Self::Unanswered(reason) => Err(reason),
        }
    }

    /// What one message says.
    pub(super) fn answer(self, nobody: &str) -> Result<Bytes, Arc<str>> {
        self.answers(nobody)?.pop().map(|answer| answer.payload).ok_or_else(|| "it answers nothing".into())
    }
}

pub(super) type OnOutcome = Box<dyn FnOnce(Outcome) + Send>;

/// How many messages answer a question, and whose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answers {
    One,
    /// Several, until one says that there are no more.
    Several,
    /// One, another node's.
    Node(NodeId),
}

struct Question {
    answers: Answers,
    got: Vec<Received>,
    got_bytes: usize,
    bytes: usize,
    until: Instant,
    done: OnOutcome,
}

/// What is over, and what is to be called for it without any lock held.
pub(super) type Over = (OnOutcome, Outcome);

#[derive(Default)]
pub(super) struct Questions {
    next: u64,
    open: HashMap<u64, Question>,
    /// In the order of their deadlines, for each time that one may take.
    deadlines: HashMap<Duration, VecDeque<(Instant, u64)>>,
    /// Of the log.
    bytes: usize,
    /// Of other nodes: of all, and of each that has any.
    nodes_bytes: usize,
    nodes: HashMap<NodeId, usize>,
}

impl Questions {
    /// Enters a question of `bytes`, and gives its number; or gives `done` back, where too much is in flight.
    pub(super) fn enter(
        &mut self,
        bytes: usize,
        answers: Answers,
        now: Instant,
        time: Duration,
        done: OnOutcome,
    ) -> Result<u64, OnOutcome> {
        let bytes = bytes + BESIDE;
        if !self.take(bytes, answers) {
            return Err(done);
        }
        self.next += 1;
        let until = now + time;
        self.deadlines.entry(time).or_default().push_back((until, self.next));
        let question = Question { answers, got: Vec::new(), got_bytes: 0, bytes, until, done };
        self.open.insert(self.next, question);
        Ok(self.next)
    }

    /// Takes so much of a share, if it has that.
    fn take(&mut self, bytes: usize, answers: Answers) -> bool {
        let Answers::Node(node) = answers else {
            let has_room = self.bytes + bytes <= IN_FLIGHT_BYTES;
            self.bytes += if has_room { bytes } else { 0 };
            return has_room;
        };
        let its = self.nodes.get(&node).copied().unwrap_or_default() + bytes;
        let all = self.nodes_bytes + bytes;
        let has_room = its <= NODE_BYTES && all <= NODES_BYTES;
        if has_room {
            self.nodes.insert(node, its);
            self.nodes_bytes = all;
        }
        has_room
    }

    fn give_back(&mut self, bytes: usize, answers: Answers) {
        let Answers::Node(node) = answers else { return self.bytes -= bytes };
        self.nodes_bytes -= bytes;
        if let Entry::Occupied(mut its) = self.nodes.entry(node) {
            *its.get_mut() -= bytes;
            if *its.get() == 0 {
                its.remove();
            }
        }
    }

    /// An answer has come to question `number`.
    pub(super) fn answered(&mut self, number: u64, answer: Received) -> Option<Over> {
        let question = self.open.get_mut(&number)?;
        let status = answer.headers.status();
        if status == Some(503) {
            return self.over(number, |_| Outcome::NobodyThere);
        }
        if question.answers != Answers::Several {
            return self.over(number, |_| Outcome::Answered(vec![answer]));
        }
        match status {
            // There are no more, or there is none.
            Some(204 | 404) => self.over(number, Outcome::Answered),
            Some(status) => {
                let fault = format!("it answers {status}");
                self.over(number, |_| Outcome::Unanswered(fault.into()))
            }
            None => {
                question.got_bytes += answer.bytes() + BESIDE;
                question.got.push(answer);
                if question.got_bytes <= ANSWER_BYTES {
                    return None;
                }
                self.over(number, |_| Outcome::Unanswered("it answers with more than was asked for".into()))
            }
        }
    }

    /// Those that nobody has answered until `now`.
    pub(super) fn expired(&mut self, now: Instant) -> Vec<Over> {
        let mut late = Vec::new();
        for deadlines in self.deadlines.values_mut() {
            while let Some((_, number)) = deadlines.pop_front_if(|(until, _)| *until <= now) {
                late.push(number);
            }
        }
        // One that was answered is in the list still.
        let is_late = |number: &u64| self.open.get(number).is_some_and(|question| question.until <= now);
        late.retain(is_late);
        late.into_iter()
            .filter_map(|number| self.over(number, |_| Outcome::Unanswered("it has not answered in time".into())))
            .collect()
    }

    /// The connection is lost: nothing of it will be answered.
    pub(super) fn lost(&mut self, reason: &Arc<str>) -> Vec<Over> {
        self.deadlines.clear();
        self.nodes.clear();
        (self.bytes, self.nodes_bytes) = (0, 0);
        self.open.drain().map(|(_, question)| (question.done, Outcome::Unanswered(Arc::clone(reason)))).collect()
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes + self.nodes_bytes
    }

    fn over(&mut self, number: u64, outcome: impl FnOnce(Vec<Received>) -> Outcome) -> Option<Over> {
        let question = self.open.remove(&number)?;
        self.give_back(question.bytes, question.answers);
        Some((question.done, outcome(question.got)))
    }
}

#[cfg(test)]
mod tests {
    use super::super::wire::{ServerLine, decode};
    use super::*;
    use bytes::BytesMut;
    use parking_lot::Mutex;
    use switchboard_proto::Escaped;

    const TIME: Duration = Duration::from_secs(2);

    fn delivery(status: &str, payload: &str) -> Received {
        let headers = format!("NATS/1.0{status}\r\n\r\n");
        let text = format!("HMSG s 1 {} {}\r\n{headers}{payload}\r\n", headers.len(), headers.len() + payload.len());
        let Ok(Some(ServerLine::Message(delivery))) = decode(&mut BytesMut::from(text.as_bytes())) else {
            panic!("a message")
        };
        delivery
    }

    #[derive(Clone, Default)]
    struct Told(Arc<Mutex<Vec<String>>>);

    impl Told {
        fn done(&self, name: &'static str) -> OnOutcome {
            let told = Arc::clone(&self.0);
            Box::new(move |outcome| {
                told.lock().push(match outcome {
                    Outcome::Answered(got) => {
                        let got: Vec<_> = got.iter().map(|one| Escaped(&one.payload).to_string()).collect();
                        format!("{name}: {}", got.join(","))
                    }
                    Outcome::NobodyThere => format!("{name}: nobody"),
                    Outcome::Unanswered(reason) => format!("{name}: {reason}"),
                });
            })
        }

        fn after(&self, over: impl IntoIterator<Item = Over>) -> Vec<String> {
            over.into_iter().for_each(|(done, outcome)| done(outcome));
            std::mem::take(&mut self.0.lock())
        }
    }

    #[test]
    fn each_question_is_answered_once() {
        let (told, now, mut asked) = (Told::default(), Instant::now(), Questions::default());
        let mut enter = |name, answers| asked.enter(9, answers, now, TIME, told.done(name)).ok().expect("room");
        let (one, several, nobody) =
            (enter("one", Answers::One), enter("several", Answers::Several), enter("nobody", Answers::Several));
        assert_eq!(told.after(asked.answered(one, delivery("", "yes"))), ["one: yes"]);
        assert!(asked.answered(one, delivery("", "again")).is_none());
        for part in ["a", "b"] {
            assert!(asked.answered(several, delivery("", part)).is_none());
        }
        assert_eq!(told.after(asked.answered(several, delivery(" 204 EOB", ""))), ["several: a,b"]);
        assert_eq!(told.after(asked.answered(nobody, delivery(" 503", ""))), ["nobody: nobody"]);
        assert_eq!((asked.bytes(), asked.expired(now + TIME).len()), (0, 0));
    }

    #[test]
    fn what_is_not_answered_is_over_at_its_time_or_with_the_connection() {
        let (told, now, mut asked) = (Told::default(), Instant::now(), Questions::default());
        for (name, time) in [("long", TIME * 2), ("short", TIME)] {
            asked.enter(9, Answers::One, now, time, told.done(name)).ok().expect("room");
        }
        assert!(asked.expired(now + TIME / 2).is_empty());
        assert_eq!(told.after(asked.expired(now + TIME)), ["short: it has not answered in time"]);
        assert_eq!(told.after(asked.lost(&"gone".into())), ["long: gone"]);
        assert_eq!(asked.bytes(), 0);
    }

    #[test]
    fn what_answers_take_is_bounded_whatever_they_consist_of() {
        let long = "x".repeat(60 << 10);
        for (status, payload) in [("", long.as_str()), (&format!("\r\nk: {long}"), "")] {
            let (told, now, mut asked) = (Told::default(), Instant::now(), Questions::default());
            let number = asked.enter(9, Answers::Several, now, TIME, told.done("x")).ok().expect("room");
            let most = ANSWER_BYTES / long.len();
            for _ in 0..most - 3 {
                assert!(asked.answered(number, delivery(status, payload)).is_none());
            }
            let over = (0..4).find_map(|_| asked.answered(number, delivery(status, payload)));
            assert_eq!(told.after(over), ["x: it answers with more than was asked for"]);
        }
    }

    #[test]
    fn what_is_in_flight_is_bounded() {
        let (told, now, mut asked) = (Told::default(), Instant::now(), Questions::default());
        let mut enter = |bytes| asked.enter(bytes, Answers::One, now, TIME, told.done("x")).is_ok();
        assert!(enter(IN_FLIGHT_BYTES - 2 * BESIDE) && enter(0) && !enter(0));
    }

    #[test]
    fn what_other_nodes_are_asked_takes_nothing_of_the_log_and_of_each_other_only_where_they_are_many() {
        let (told, now, mut asked) = (Told::default(), Instant::now(), Questions::default());
        let long = NODE_BYTES / 4 - BESIDE;
        let mut enter = |bytes, answers| asked.enter(bytes, answers, now, TIME, told.done("x"));
        for node in 0..NODES_BYTES / NODE_BYTES {
            let node = Answers::Node(NodeId(node as u64));
            assert!((0..4).all(|_| enter(long, node).is_ok()) && enter(0, node).is_err(), "{node:?}");
        }
        assert!(enter(0, Answers::Node(NodeId(99))).is_err(), "all of them have their share");
        assert!(enter(IN_FLIGHT_BYTES - BESIDE, Answers::One).is_ok(), "the log has its own");
        assert_eq!((told.after(asked.answered(4, delivery("", "yes"))).len(), asked.expired(now).len()), (1, 0));
        let mut enter = |bytes, node| asked.enter(bytes, Answers::Node(NodeId(node)), now, TIME, told.done("x"));
        assert!(enter(0, 1).is_err() && enter(long, 0).is_ok(), "only the one that has answered may be asked more");
        assert_eq!(told.after(asked.expired(now + TIME)).len(), NODES_BYTES / NODE_BYTES * 4 + 1);
        assert_eq!((asked.bytes(), asked.nodes.len()), (0, 0));
    }
}
