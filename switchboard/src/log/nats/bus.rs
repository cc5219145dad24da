//! What nodes say to each other, on subjects that no stream keeps: `sb.beat` is for all, `sb.n.NODE` for one.

use super::NatsEngine;
use super::asked::{Answers, Outcome};
use super::shared::Shared;
use super::wire::Received;
use crate::cluster::{AskError, Bus, BusAnswer, BusEvents, NodeId, ReplyTo};
use bytes::Bytes;
use std::sync::Arc;
use std::time::Duration;

const ALL: &str = "sb.beat";

pub(super) fn one(node: NodeId) -> String {
    format!("sb.n.{node}")
}

/// Who takes part in what nodes say.
pub(super) struct NodeVoice {
    own: NodeId,
    pub(super) events: Arc<dyn BusEvents>,
}

impl NodeVoice {
    /// What it is to hear.
    pub(super) fn subjects(&self) -> [String; 2] {
        [ALL.to_owned(), one(self.own)]
    }
}

impl Bus for NatsEngine {
    fn watch(&self, own: NodeId, events: Arc<dyn BusEvents>) {
        self.shared.take_part(NodeVoice { own, events });
    }

    fn tell_all(&self, word: Bytes) {
        self.shared.say(ALL, "", &word);
    }

    fn tell(&self, node: NodeId, word: Bytes) {
        self.shared.say(&one(node), "", &word);
    }

    fn ask(&self, node: NodeId, word: Bytes, time: Duration, done: BusAnswer<Bytes, AskError>) {
        let answered = move |outcome| {
            done(match outcome {
                Outcome::Answered(mut answers) => {
                    answers.pop().map(|answer| answer.payload).ok_or(AskError::Unanswered)
                }
                Outcome::NobodyThere => Err(AskError::NobodyThere),
                Outcome::Unanswered(_) => Err(AskError::Unanswered),
            });
        };
        self.shared.ask(&one(node), "", &word, Answers::Node(node), time, Box::new(answered));
    }

    fn answer(&self, to: &ReplyTo, word: Bytes) {
        self.shared.answer(&to.0, &word);
    }
}

impl Shared {
    /// Answers somebody who has asked.
    pub(super) fn answer(&self, to: &Bytes, word: &[u8]) {
        // It is written into a line as it is.
        let is_subject = |byte: &u8| byte.is_ascii_graphic() && !matches!(byte, b'*' | b'>');
        if let Ok(subject) = std::str::from_utf8(to)
            && to.iter().all(is_subject)
        {
            self.say(subject, "", word);
        }
    }

    /// Somebody has said something to nodes.
    pub(super) fn told(&self, said: Received) {
        if let Some(voice) = self.voice.get() {
            voice.events.told(said.payload, said.reply.map(ReplyTo));
        }
    }
}
