//! What nodes say to each other, on subjects that no stream keeps: `sb.beat` is for all, `sb.n.NODE` for one.

use super::NatsEngine;
use super::shared::Shared;
use crate::cluster::{Bus, BusEvents, NodeId};
use bytes::Bytes;
use std::sync::Arc;

const ALL: &str = "sb.beat";

fn one(node: NodeId) -> String {
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
}

impl Shared {
    /// Somebody has said something to nodes.
    pub(super) fn told(&self, word: Bytes) {
        if let Some(voice) = self.voice.get() {
            voice.events.told(word);
        }
    }
}
