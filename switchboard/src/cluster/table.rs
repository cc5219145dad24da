//! Who has how many members in which room: what this node tells the others of its own, and what it knows of theirs.
//!
//! Each node owns what it says of itself: it tells changes, and in each beat what all of them come to. Whoever has missed something finds
//! another sum, and asks for everything. Knows no clock and no bus: it is told what came and when, and says what is to be said.

use super::bus::NodeId;
use super::words::{self, NodeWord, RoomCount};
use crate::hub::elsewhere::RoomNews;
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::ops::Bound::{Excluded, Included, Unbounded};
use std::time::Duration;
use switchboard_proto::{RoomName, RoomSummary};

/// Between two beats.
pub(super) const BEAT: Duration = Duration::from_secs(2);

/// A node that has not been heard for so long is gone, and so are its members.
const SILENCE: Duration = Duration::from_secs(10);

/// Another node is asked for everything at most this often.
const AGAIN: Duration = Duration::from_secs(2);

/// This node tells everything at most twice in this time, once to one node and once to all: whoever then lacks something asks again.
const TOLD_EVERY: Duration = Duration::from_secs(1);

/// Nodes that are known; what others say is passed over.
const MOST_NODES: usize = 64;

/// Rooms that all other nodes together are known to have, a room of two nodes twice: about 190 MB. What is beyond is passed over.
const MOST_ENTRIES: usize = 1 << 20;

/// Rooms of a node that are forgotten at once: a node may have had a million, and whoever asks for a room waits meanwhile.
const FORGOTTEN_AT_ONCE: usize = 1024;

/// What is to be said, and what has changed here by what was heard. There may be [more to forget](NodeTable::forget_more) then.
#[derive(Debug, Default)]
pub(super) struct Effects {
    /// To this node, or to all.
    pub(super) said: Vec<(Option<NodeId>, Bytes)>,
    pub(super) changes: Vec<CountChange>,
}

/// Other nodes have so many members of a room now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct CountChange {
    pub(super) room: RoomName,
    pub(super) members: usize,
    pub(super) news: RoomNews,
}

struct Peer {
    heard: Duration,
    version: u64,
    digest: u64,
    /// Where it is counted.
    rooms: BTreeSet<RoomName>,
    /// As of which version all of that was as it has it itself.
    agreed: Option<u64>,
    /// When it was asked for everything.
    asked: Option<Duration>,
    /// It is no peer any more once its rooms are forgotten.
    is_gone: bool,
}

impl Peer {
    /// Whether a list as of this version may say anything new of it.
    fn lacks(&self, version: u64) -> bool {
        version >= self.version && self.agreed != Some(version)
    }
}

/// Rooms that a node has no more: those between two names that are not among `kept`.
struct Forgetting {
    node: NodeId,
    after: Option<RoomName>,
    until: Option<RoomName>,
    kept: BTreeSet<RoomName>,
}

pub(super) struct NodeTable {
    own: NodeId,
    version: u64,
    digest: u64,
    /// This node's rooms, as the others were told.
    here: BTreeMap<RoomName, u32>,
    /// Those of other nodes, and how many members each of these has.
    there: BTreeMap<RoomName, Vec<(NodeId, u32)>>,
    /// Rooms that this node has not.
    only_there: usize,
    entries: usize,
    peers: HashMap<NodeId, Peer>,
    forgetting: VecDeque<Forgetting>,
    /// When everything was told to one node, and when to all.
    told_one: Option<Duration>,
    told_all: Option<Duration>,
}

fn sum(there: &[(NodeId, u32)]) -> usize {
    there.iter().map(|(_, members)| *members as usize).sum()
}

/// What one room adds to a sum of all.
fn digest(room: &RoomName, members: u32) -> u64 {
    let bytes = room.as_str().bytes().map(|byte| byte.to_ascii_lowercase()).chain(members.to_le_bytes());
    // FNV-1a: nobody gains by making two that are alike.
    bytes.fold(0xcbf2_9ce4_8422_2325, |sum: u64, byte| (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

impl NodeTable {
    pub(super) fn new(own: NodeId) -> Self {
        let (version, digest, only_there, entries) = Default::default();
        let (here, there, peers, forgetting, told_one, told_all) = Default::default();
        Self { own, version, digest, here, there, only_there, entries, peers, forgetting, told_one, told_all }
    }

    /// Members of a room on other nodes.
    pub(super) fn members(&self, room: &RoomName) -> Option<usize> {
        self.there.get(room).map(|there| sum(there))
    }

    /// Other nodes that have members in a room, in order.
    pub(super) fn nodes_of(&self, room: &RoomName) -> Vec<NodeId> {
        let there = self.there.get(room).map(|there| &there[..]).unwrap_or_default();
        let mut nodes: Vec<_> = there.iter().filter(|(_, members)| *members > 0).map(|(node, _)| *node).collect();
        nodes.sort_unstable();
        nodes
    }

    pub(super) fn only_there(&self) -> usize {
        self.only_there
    }

    pub(super) fn peers(&self) -> usize {
        self.peers.values().filter(|peer| !peer.is_gone).count()
    }

    /// Rooms of other nodes behind `after`.
    pub(super) fn behind(&self, after: Option<&RoomName>, limit: usize) -> Vec<RoomSummary> {
        let behind = self.there.range::<RoomName, _>((after.map_or(Unbounded, Excluded), Unbounded));
        behind.take(limit).map(|(name, there)| RoomSummary { name: name.clone(), members: sum(there) }).collect()
    }

    pub(super) fn beat(&self) -> Bytes {
        words::beat(self.own, self.version, self.digest)
    }

    pub(super) fn bye(&self) -> Bytes {
        words::bye(self.own)
    }

    /// This node's rooms are so now: what the others are told of that.
    pub(super) fn tell(&mut self, news: Vec<(RoomCount, RoomNews)>) -> Vec<Bytes> {
        let told: Vec<_> = news.into_iter().filter(|((name, members), news)| self.has(name, *members, news)).collect();
        words::news(self.own, &mut self.version, &told)
    }

    /// Notes what this node has of a room. Says whether that is anything new.
    fn has(&mut self, name: &RoomName, members: Option<u32>, news: &RoomNews) -> bool {
        let was = match members {
            Some(members) => self.here.insert(name.clone(), members),
            None => self.here.remove(name),
        };
        if self.there.contains_key(name) {
            self.only_there = self.only_there + usize::from(was.is_some()) - usize::from(members.is_some());
        }
        for members in [was, members].into_iter().flatten() {
            self.digest ^= digest(name, members);
        }
        was != members || news.count() > 0
    }

    /// Something was said at `now`.
    pub(super) fn hear(&mut self, word: &[u8], now: Duration) -> Effects {
        let mut outcome = Effects::default();
        match words::read(word) {
            Some(NodeWord::Want { node }) if node != self.own => self.tell_all(node, now, &mut outcome),
            Some(NodeWord::Bye { node }) => self.forget(node),
            Some(NodeWord::Beat { node, version, digest }) if self.knows(node, now) => {
                let Some(peer) = self.peers.get_mut(&node) else { return outcome };
                let is_same = version == peer.version && digest == peer.digest;
                if is_same {
                    peer.agreed = Some(version);
                // A beat that is late says nothing of what came behind it.
                } else if version >= peer.version {
                    self.ask(node, now, &mut outcome);
                }
            }
            Some(NodeWord::News { node, version, rooms }) if self.knows(node, now) => {
                let Some(peer) = self.peers.get_mut(&node).filter(|peer| version > peer.version) else {
                    return outcome;
                };
                let is_next = version == peer.version + 1;
                if is_next {
                    peer.version = version;
                }
                for ((room, members), news) in rooms {
                    self.set(node, &room, members, Some(news), &mut outcome);
                }
                // What came between is in neither: the version stays, so that all that is told later counts.
                if !is_next {
                    self.ask(node, now, &mut outcome);
                }
            }
            Some(NodeWord::Rooms { node, version, after, until, rooms })
                if self.knows(node, now) && self.peers.get(&node).is_some_and(|peer| peer.lacks(version)) =>
            {
                self.replace(node, (after, until.clone()), rooms, &mut outcome);
                if let Some(peer) = self.peers.get_mut(&node).filter(|_| until.is_none()) {
                    peer.version = version;
                }
            }
            _ => {}
        }
        outcome
    }

    /// Whether that is another node, which is known from now on. One that is being forgotten is not until it is.
    fn knows(&mut self, node: NodeId, now: Duration) -> bool {
        if node == self.own || self.peers.len() >= MOST_NODES && !self.peers.contains_key(&node) {
            return false;
        }
        let (version, digest, rooms, agreed, asked, is_gone) = Default::default();
        let new = || Peer { heard: now, version, digest, rooms, agreed, asked, is_gone };
        let peer = self.peers.entry(node).or_insert_with(new);
        peer.heard = now;
        !peer.is_gone
    }

    fn ask(&mut self, node: NodeId, now: Duration, outcome: &mut Effects) {
        if let Some(peer) = self.peers.get_mut(&node)
            && peer.asked.is_none_or(|asked| now.saturating_sub(asked) >= AGAIN)
        {
            peer.asked = Some(now);
            outcome.said.push((Some(node), words::want(self.own)));
        }
    }

    /// Tells everything: the node that asks alone, or all of them where another one was told just now. However many ask, it is written twice in a
    /// while.
    fn tell_all(&mut self, node: NodeId, now: Duration, outcome: &mut Effects) {
        let is_recent = |told: Option<Duration>| told.is_some_and(|told| now.saturating_sub(told) < TOLD_EVERY);
        let to = match (is_recent(self.told_one), is_recent(self.told_all)) {
            _ if !self.knows(node, now) => return,
            (false, _) => {
                self.told_one = Some(now);
                Some(node)
            }
            (true, false) => {
                self.told_all = Some(now);
                None
            }
            (true, true) => return,
        };
        let here = self.here.iter().map(|(name, members)| (name.clone(), *members));
        let pieces = words::rooms(self.own, self.version, here);
        outcome.said.extend(pieces.into_iter().map(|piece| (to, piece)));
    }

    /// A node has these rooms between two names, and no others.
    fn replace(
        &mut self,
        node: NodeId,
        (after, until): (Option<RoomName>, Option<RoomName>),
        rooms: Vec<RoomCount>,
        outcome: &mut Effects,
    ) {
        if let (Some(after), Some(until)) = (&after, &until)
            && after >= until
        {
            return;
        }
        let told: BTreeMap<_, _> = rooms.into_iter().collect();
        self.forget_some(Forgetting { node, after, until, kept: told.keys().cloned().collect() }, outcome);
        for (name, members) in told {
            self.set(node, &name, members, None, outcome);
        }
    }

    /// A node has so many members of a room. What is not told as `news` is counted by the difference.
    fn set(
        &mut self,
        node: NodeId,
        name: &RoomName,
        members: Option<u32>,
        news: Option<RoomNews>,
        outcome: &mut Effects,
    ) {
        let Some(peer) = self.peers.get_mut(&node) else { return };
        if members.is_none() && !self.there.contains_key(name) {
            return;
        }
        // Most rooms are on one other node: a vector that grows would begin with four places.
        let there = self.there.entry(name.clone()).or_insert_with(|| Vec::with_capacity(1));
        let was_there = !there.is_empty();
        let place = there.iter().position(|(known, _)| *known == node);
        let was = place.map(|place| there[place].1);
        match (place, members) {
            (Some(place), Some(members)) => there[place].1 = members,
            (Some(place), None) => _ = there.swap_remove(place),
            (None, Some(members)) if self.entries < MOST_ENTRIES => there.push((node, members)),
            (None, _) => {
                if there.is_empty() {
                    self.there.remove(name);
                }
                return;
            }
        }
        let (is_there, all) = (!there.is_empty(), sum(there));
        if !is_there {
            self.there.remove(name);
        }
        if !self.here.contains_key(name) {
            self.only_there = self.only_there + usize::from(is_there) - usize::from(was_there);
        }
        for members in [was, members].into_iter().flatten() {
            peer.digest ^= digest(name, members);
        }
        match members {
            Some(_) => _ = peer.rooms.insert(name.clone()),
            None => _ = peer.rooms.remove(name),
        }
        self.entries = self.entries + usize::from(members.is_some()) - usize::from(was.is_some());
        let (was, is) = (was.unwrap_or_default() as usize, members.unwrap_or_default() as usize);
        let difference =
            || RoomNews { joined: is.saturating_sub(was), left: was.saturating_sub(is), ..RoomNews::default() };
        let news = news.unwrap_or_else(difference);
        if was != is || news.count() > 0 {
            outcome.changes.push(CountChange { room: name.clone(), members: all, news });
        }
    }

    /// A node is gone: its members have left as far as its rooms are forgotten.
    fn forget(&mut self, node: NodeId) {
        if let Some(peer) = self.peers.get_mut(&node).filter(|peer| !peer.is_gone) {
            peer.is_gone = true;
            self.forgetting.push_back(Forgetting { node, after: None, until: None, kept: BTreeSet::new() });
        }
    }

    /// Forgets more of what nodes have no more; none once there is nothing of it left. Is called until then behind what was heard, before
    /// anything else is.
    pub(super) fn forget_more(&mut self) -> Option<Effects> {
        let forgetting = self.forgetting.pop_front()?;
        let mut outcome = Effects::default();
        self.forget_some(forgetting, &mut outcome);
        Some(outcome)
    }

    fn forget_some(&mut self, mut forgetting: Forgetting, outcome: &mut Effects) {
        let Forgetting { node, after, until, kept } = &forgetting;
        let node = *node;
        let Some(peer) = self.peers.get(&node) else { return };
        let between = (after.as_ref().map_or(Unbounded, Excluded), until.as_ref().map_or(Unbounded, Included));
        let some: Vec<_> = peer.rooms.range::<RoomName, _>(between).take(FORGOTTEN_AT_ONCE).cloned().collect();
        for name in some.iter().filter(|name| !kept.contains(*name)) {
            self.set(node, name, None, None, outcome);
        }
        if some.len() == FORGOTTEN_AT_ONCE {
            forgetting.after = some.last().cloned();
            self.forgetting.push_back(forgetting);
        } else if self.peers.get(&node).is_some_and(|peer| peer.is_gone && peer.rooms.is_empty()) {
            self.peers.remove(&node);
        }
    }

    /// Nodes that have said nothing for long are gone.
    pub(super) fn expire(&mut self, now: Duration) {
        let silent = self.peers.iter().filter(|(_, peer)| now.saturating_sub(peer.heard) >= SILENCE);
        for node in silent.map(|(node, _)| *node).collect::<Vec<_>>() {
            self.forget(node);
        }
    }
}
