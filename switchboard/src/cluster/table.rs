//! Who has how many members in which room: what this node tells the others of its own, and what it knows of theirs.
//!
//! Each node owns what it says of itself: it tells changes, and in each beat what all of them come to. Whoever has missed something finds
//! another sum, and asks for everything. Knows no clock and no bus: it is told what came and when, and says what is to be said.

use super::bus::NodeId;
use super::words::{self, NodeWord, RoomCount};
use crate::hub::elsewhere::RoomNews;
use bytes::Bytes;
use std::collections::{BTreeMap, HashMap};
use std::ops::Bound::{Excluded, Included, Unbounded};
use std::time::Duration;
use switchboard_proto::{RoomName, RoomSummary};

/// Between two beats.
pub(super) const BEAT: Duration = Duration::from_secs(2);

/// A node that has not been heard for so long is gone, and so are its members.
const SILENCE: Duration = Duration::from_secs(10);

/// A node is asked for everything this often, and tells it to each other one this often.
const AGAIN: Duration = Duration::from_secs(2);

/// Nodes that are known; what others say is passed over.
const MOST_NODES: usize = 64;

/// Rooms that all other nodes together are known to have, a room of two nodes twice: about 150 MB. What is beyond is passed over.
const MOST_ENTRIES: usize = 1 << 20;

/// What is to be said, and what has changed here by what was heard.
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
    rooms: usize,
    /// When it was asked for everything, and when it was told everything.
    asked: Option<Duration>,
    told: Option<Duration>,
}

#[derive(Default)]
struct Room {
    /// As the others were told.
    here: Option<u32>,
    there: Vec<(NodeId, u32)>,
}

impl Room {
    fn members(&self) -> usize {
        self.there.iter().map(|(_, members)| *members as usize).sum()
    }

    fn is_only_there(&self) -> bool {
        self.here.is_none() && !self.there.is_empty()
    }
}

pub(super) struct NodeTable {
    own: NodeId,
    version: u64,
    digest: u64,
    rooms: BTreeMap<RoomName, Room>,
    /// Rooms that this node has not.
    only_there: usize,
    entries: usize,
    peers: HashMap<NodeId, Peer>,
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
        Self { own, version, digest, rooms: BTreeMap::new(), only_there, entries, peers: HashMap::new() }
    }

    /// Members of a room on other nodes.
    pub(super) fn members(&self, room: &RoomName) -> Option<usize> {
        self.rooms.get(room).filter(|room| !room.there.is_empty()).map(Room::members)
    }

    /// Other nodes that have members in a room, in order.
    pub(super) fn nodes_of(&self, room: &RoomName) -> Vec<NodeId> {
        let there = self.rooms.get(room).map(|room| &room.there[..]).unwrap_or_default();
        let mut nodes: Vec<_> = there.iter().filter(|(_, members)| *members > 0).map(|(node, _)| *node).collect();
        nodes.sort_unstable();
        nodes
    }

    pub(super) fn only_there(&self) -> usize {
        self.only_there
    }

    pub(super) fn peers(&self) -> usize {
        self.peers.len()
    }

    /// Rooms of other nodes behind `after`.
    pub(super) fn behind(&self, after: Option<&RoomName>, limit: usize) -> Vec<RoomSummary> {
        let behind = self.rooms.range::<RoomName, _>((after.map_or(Unbounded, Excluded), Unbounded));
        let there = behind.filter(|(_, room)| !room.there.is_empty());
        there.take(limit).map(|(name, room)| RoomSummary { name: name.clone(), members: room.members() }).collect()
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
        let room = self.rooms.entry(name.clone()).or_default();
        let before = room.is_only_there();
        let was = std::mem::replace(&mut room.here, members);
        self.only_there = self.only_there + usize::from(room.is_only_there()) - usize::from(before);
        if room.here.is_none() && room.there.is_empty() {
            self.rooms.remove(name);
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
            Some(NodeWord::Bye { node }) => self.forget(node, &mut outcome),
            Some(NodeWord::Beat { node, version, digest }) if self.knows(node, now) => {
                let Some(peer) = self.peers.get(&node) else { return outcome };
                // A beat that is late says nothing of what came behind it.
                if version > peer.version || version == peer.version && digest != peer.digest {
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
                if self.knows(node, now) && self.peers.get(&node).is_some_and(|peer| version >= peer.version) =>
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

    /// Whether that is another node, which is known from now on.
    fn knows(&mut self, node: NodeId, now: Duration) -> bool {
        if node == self.own || self.peers.len() >= MOST_NODES && !self.peers.contains_key(&node) {
            return false;
        }
        let new = || Peer { heard: now, version: 0, digest: 0, rooms: 0, asked: None, told: None };
        self.peers.entry(node).or_insert_with(new).heard = now;
        true
    }

    fn ask(&mut self, node: NodeId, now: Duration, outcome: &mut Effects) {
        if let Some(peer) = self.peers.get_mut(&node)
            && peer.asked.is_none_or(|asked| now.saturating_sub(asked) >= AGAIN)
        {
            peer.asked = Some(now);
            outcome.said.push((Some(node), words::want(self.own)));
        }
    }

    /// Tells a node everything, if it was not told just now.
    fn tell_all(&mut self, node: NodeId, now: Duration, outcome: &mut Effects) {
        if self.knows(node, now)
            && let Some(peer) = self.peers.get_mut(&node)
            && peer.told.is_none_or(|told| now.saturating_sub(told) >= AGAIN / 2)
        {
            peer.told = Some(now);
            let here = self.rooms.iter().filter_map(|(name, room)| Some((name.clone(), room.here?)));
            let pieces = words::rooms(self.own, self.version, here);
            outcome.said.extend(pieces.into_iter().map(|piece| (Some(node), piece)));
        }
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
        let known = (after.as_ref().map_or(Unbounded, Excluded), until.as_ref().map_or(Unbounded, Included));
        let known = self.rooms.range::<RoomName, _>(known);
        let its = known.filter(|(_, room)| room.there.iter().any(|(known, _)| *known == node));
        let told: BTreeMap<_, _> = rooms.into_iter().collect();
        let gone: Vec<_> = its.map(|(name, _)| name.clone()).filter(|name| !told.contains_key(name)).collect();
        for (name, members) in gone.into_iter().map(|name| (name, None)).chain(told) {
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
        if members.is_none() && !self.rooms.contains_key(name) {
            return;
        }
        let room = self.rooms.entry(name.clone()).or_default();
        let before = room.is_only_there();
        let place = room.there.iter().position(|(known, _)| *known == node);
        let was = place.map(|place| room.there[place].1);
        match (place, members) {
            (Some(place), Some(members)) => room.there[place].1 = members,
            (Some(place), None) => _ = room.there.swap_remove(place),
            (None, Some(members)) if self.entries < MOST_ENTRIES => room.there.push((node, members)),
            (None, _) => {
                if room.here.is_none() && room.there.is_empty() {
                    self.rooms.remove(name);
                }
                return;
            }
        }
        self.only_there = self.only_there + usize::from(room.is_only_there()) - usize::from(before);
        let all = room.members();
        if room.here.is_none() && room.there.is_empty() {
            self.rooms.remove(name);
        }
        for members in [was, members].into_iter().flatten() {
            peer.digest ^= digest(name, members);
        }
        let more = usize::from(members.is_some());
        let fewer = usize::from(was.is_some());
        (peer.rooms, self.entries) = (peer.rooms + more - fewer, self.entries + more - fewer);
        let (was, is) = (was.unwrap_or_default() as usize, members.unwrap_or_default() as usize);
        let difference =
            || RoomNews { joined: is.saturating_sub(was), left: was.saturating_sub(is), ..RoomNews::default() };
        let news = news.unwrap_or_else(difference);
        if was != is || news.count() > 0 {
            outcome.changes.push(CountChange { room: name.clone(), members: all, news });
        }
    }

    /// The members of a node that is gone have left.
    fn forget(&mut self, node: NodeId, outcome: &mut Effects) {
        if self.peers.get(&node).is_some_and(|peer| peer.rooms > 0) {
            self.replace(node, (None, None), Vec::new(), outcome);
        }
        self.peers.remove(&node);
    }

    /// Forgets nodes that have said nothing for long.
    pub(super) fn expire(&mut self, now: Duration) -> Effects {
        let mut outcome = Effects::default();
        let silent = self.peers.iter().filter(|(_, peer)| now.saturating_sub(peer.heard) >= SILENCE);
        for node in silent.map(|(node, _)| *node).collect::<Vec<_>>() {
            self.forget(node, &mut outcome);
        }
        outcome
    }
}
