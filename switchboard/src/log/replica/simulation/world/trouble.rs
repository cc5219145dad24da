//! What goes wrong with the log and with nodes, and how a node finds out.

use super::{Event, NodeHere, World};
use crate::log::replica::simulation::{Losses, Mutant};
use std::time::Duration;

impl World {
    /// What a node does every ten seconds, and when its connection is there again.
    pub(super) fn check(&mut self, node: usize) {
        if self.mutant == Some(Mutant::NoTailCheck) || self.nodes[node].replicas.is_empty() {
            return;
        }
        self.at(self.now + 10_000, Event::Check(node));
        if self.log.is_away {
            return;
        }
        let (log, last) = self.log.identity();
        let (known, before) = std::mem::replace(&mut self.nodes[node].checked, (log, last));
        let since = Duration::from_millis(std::mem::replace(&mut self.nodes[node].checked_at, self.now));
        for room in self.rooms.clone() {
            if known != log || last < before {
                self.with(node, &room, |replica, now| replica.suspect(since, now));
            } else if let Some(stored) = self.log.last(&room).filter(|stored| stored.position.0 > before).cloned() {
                self.with(node, &room, |replica, now| replica.checked(&stored, now));
            }
        }
    }

    pub(super) fn trouble(&mut self) {
        let most = if self.losses == Losses::Some { 8 } else { 5 };
        let which = self.dice.below(most);
        if self.is_told {
            println!("{} trouble {which}", self.now);
        }
        match which {
            0 | 1 => self.log.is_away = !self.log.is_away,
            2 => {
                // A node is killed, and another one comes.
                let node = self.dice.below(self.nodes.len() as u64) as usize;
                if !self.nodes[node].replicas.is_empty() {
                    self.nodes[node].replicas.clear();
                    self.gone.push(node as u64);
                    self.start_node();
                }
            }
            3 => self.log.remember(),
            4 => self.empty(),
            5 => self.log.truncate(1 + self.dice.below(3), self.dice.happens(50)),
            6 => self.log.go_back(),
            _ => self.log.swap(self.dice.roll().into()),
        }
    }

    /// Retention takes a room that has been quiet for so long that everybody has it.
    fn empty(&mut self) {
        let room = self.rooms[0].clone();
        let Some(last) = self.log.last(&room).map(|last| last.position) else { return };
        let is_quiet =
            |node: &NodeHere| node.replicas.get(&room).is_none_or(|one| one.position() == last && one.is_settled());
        if self.nodes.iter().all(is_quiet) && !self.what.values().any(|event| matches!(event, Event::Asked(..))) {
            self.log.empty(&room);
            self.emptied = true;
        }
    }
}
