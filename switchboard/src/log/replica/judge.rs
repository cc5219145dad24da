//! Judges what nodes have shown and told their publishers. The log gives the order, so all of it is linear.
//!
//! Knows no replica and no log: what has happened is told to it, and what must hold is asked at the end. It collects what is wrong in words.

use std::collections::{BTreeMap, HashMap, HashSet};
use switchboard_proto::{Epoch, MessageId, RoomName};

/// Whoever sees a room from one node, from when it is opened there until the node ends.
pub(super) type Observer = usize;

/// A payload, which is published once.
pub(super) type Payload = u64;

#[derive(Default)]
struct Seen {
    shown: Vec<(MessageId, Payload)>,
    begun: Vec<MessageId>,
    /// Numbers that it was told are gone: behind the first, up to before the second.
    holes: Vec<(MessageId, u64)>,
    last: Option<MessageId>,
}

struct Published {
    room: RoomName,
    node: usize,
    /// When, in the order of all events.
    invoked: u64,
    acknowledged: Option<(u64, MessageId)>,
    failed: bool,
}

#[derive(Default)]
pub(super) struct Judge {
    clock: u64,
    seen: BTreeMap<(Observer, RoomName), Seen>,
    published: HashMap<Payload, Published>,
    pub(super) faults: Vec<String>,
}

impl Judge {
    pub(super) fn publishes(&mut self, room: &RoomName, node: usize, payload: Payload) {
        self.clock += 1;
        let one = Published { room: room.clone(), node, invoked: self.clock, acknowledged: None, failed: false };
        self.published.insert(payload, one);
    }

    pub(super) fn acknowledged(&mut self, payload: Payload, id: MessageId) {
        self.clock += 1;
        let Some(one) = self.published.get_mut(&payload) else { return };
        if one.acknowledged.replace((self.clock, id)).is_some() || one.failed {
            self.faults.push(format!("{payload} was answered twice"));
        }
    }

    pub(super) fn failed(&mut self, payload: Payload) {
        let Some(one) = self.published.get_mut(&payload) else { return };
        if one.acknowledged.is_some() || std::mem::replace(&mut one.failed, true) {
            self.faults.push(format!("{payload} was answered twice"));
        }
    }

    pub(super) fn begins(&mut self, who: Observer, room: &RoomName, at: MessageId) {
        let seen = self.seen.entry((who, room.clone())).or_default();
        seen.begun.push(at);
        seen.last = Some(at);
    }

    /// What is up to there is forgotten: nothing of it is shown any more.
    pub(super) fn purges(&mut self, who: Observer, room: &RoomName, upto: MessageId) {
        let seen = self.seen.entry((who, room.clone())).or_default();
        match seen.last {
            Some(last) if last.epoch == upto.epoch && last.seq < upto.seq => seen.last = Some(upto),
            Some(last) if last == upto => {}
            last => self.faults.push(format!("{who} was to forget what is up to {upto} behind {last:?}")),
        }
    }

    /// `gone` says whether message `seq` is not in the log any more.
    pub(super) fn shows(
        &mut self,
        who: Observer,
        room: &RoomName,
        id: MessageId,
        payload: Payload,
        gone: impl Fn(u64) -> bool,
    ) {
        let seen = self.seen.entry((who, room.clone())).or_default();
        match seen.last {
            Some(last) if last.epoch == id.epoch && id.seq == last.seq + 1 => {}
            Some(last) if last.epoch == id.epoch && id.seq > last.seq => {
                if !(last.seq + 1..id.seq).all(gone) {
                    self.faults.push(format!("{who} missed what is behind {last}, before {id}, though the log has it"));
                }
                seen.holes.push((last, id.seq));
            }
            last => self.faults.push(format!("{who} was shown {id} behind {last:?}")),
        }
        seen.last = Some(id);
        seen.shown.push((id, payload));
    }

    /// What holds whatever the log does: nobody is shown what was not published, or an id with two contents.
    pub(super) fn of_each(&mut self) {
        for ((who, room), seen) in &self.seen {
            let mut contents = HashMap::new();
            for (id, payload) in &seen.shown {
                if contents.insert(*id, *payload).is_some_and(|other| other != *payload) {
                    self.faults.push(format!("{who} was shown two messages {id}"));
                }
                if self.published.get(payload).is_none_or(|one| one.room != *room) {
                    self.faults.push(format!("{who} was shown {payload} in {room}, which nobody published there"));
                }
            }
        }
    }

    /// What holds if the log loses nothing; `kept` is all that it ever took.
    pub(super) fn of_all(&mut self, kept: &HashMap<(RoomName, MessageId), Payload>) {
        self.of_each();
        let mut places: HashMap<Payload, MessageId> = HashMap::new();
        for ((room, id), payload) in kept {
            if places.insert(*payload, *id).is_some() {
                self.faults.push(format!("{payload} is in the log of {room} twice"));
            }
        }
        for ((who, room), seen) in &self.seen {
            if seen.begun.len() > 1 {
                self.faults.push(format!("{who} was told that {room} began anew: {:?}", seen.begun));
            }
            let mut known = HashSet::new();
            for (id, payload) in &seen.shown {
                if kept.get(&(room.clone(), *id)) != Some(payload) {
                    self.faults
                        .push(format!("{who} was shown {payload} as {id} in {room}, and the log has another one"));
                }
                if !known.insert(payload) {
                    self.faults.push(format!("{who} was shown {payload} twice"));
                }
            }
        }
        for (payload, one) in &self.published {
            if let Some((_, id)) = one.acknowledged
                && kept.get(&(one.room.clone(), id)) != Some(payload)
            {
                self.faults.push(format!("{payload} was acknowledged as {id}, and the log has it not"));
            }
        }
        self.orders(&places);
    }

    /// What was acknowledged before something was published is before it; and what one node publishes keeps its order.
    fn orders(&mut self, places: &HashMap<Payload, MessageId>) {
        let mut by_room: BTreeMap<&RoomName, Vec<(&Payload, &Published)>> = BTreeMap::new();
        for (payload, one) in &self.published {
            by_room.entry(&one.room).or_default().push((payload, one));
        }
        let mut faults = Vec::new();
        for all in by_room.values_mut() {
            all.sort_by_key(|(_, one)| one.invoked);
            let mut acknowledged: Vec<_> = all.iter().filter_map(|(_, one)| one.acknowledged).collect();
            acknowledged.sort_by_key(|(when, _)| *when);
            let (mut before, mut highest) = (acknowledged.into_iter().peekable(), 0);
            let mut last_of: HashMap<usize, u64> = HashMap::new();
            for (payload, one) in all {
                while let Some((_, id)) = before.next_if(|(when, _)| *when < one.invoked) {
                    highest = highest.max(id.seq);
                }
                let Some(place) = places.get(payload) else { continue };
                if place.seq <= highest {
                    faults
                        .push(format!("{payload} is {place}, and {highest} was acknowledged before it was published"));
                }
                if last_of.insert(one.node, place.seq).is_some_and(|last| last > place.seq) {
                    faults.push(format!("{payload} is before what its node published before it"));
                }
            }
        }
        self.faults.append(&mut faults);
    }

    /// What each was shown of one incarnation is one history that the log has had, not the beginning of one and the end of another.
    pub(super) fn of_branches(&mut self, links: &HashMap<(RoomName, MessageId, Payload), (u64, Option<u64>)>) {
        for ((who, room), seen) in &self.seen {
            for pair in seen.shown.windows(2) {
                let [(one, first), (next, second)] = *pair else { unreachable!("two") };
                let link = |id, payload| links.get(&(room.clone(), id, payload));
                let (Some((token, _)), Some((following, prev))) = (link(one, first), link(next, second)) else {
                    continue;
                };
                let is_next = one.epoch == next.epoch && one.seq + 1 == next.seq;
                if is_next && token != following && *prev != Some(*token) {
                    self.faults.push(format!("{who} was shown {next} behind {one}, of another history"));
                }
            }
        }
    }

    /// These were shown the same messages of an incarnation, as far as each was shown any.
    pub(super) fn agree(&mut self, observers: &[Observer], room: &RoomName, epoch: Epoch) {
        let mut contents: HashMap<MessageId, Payload> = HashMap::new();
        for who in observers {
            let Some(seen) = self.seen.get(&(*who, room.clone())) else { continue };
            for (id, payload) in seen.shown.iter().filter(|(id, _)| id.epoch == epoch) {
                if contents.insert(*id, *payload).is_some_and(|other| other != *payload) {
                    self.faults.push(format!("{who} was shown another {id} than others"));
                }
            }
        }
    }

    /// How many messages were shown, and acknowledged: a run in which nothing happens shows nothing.
    pub(super) fn counts(&self) -> (usize, usize) {
        let shown = self.seen.values().map(|seen| seen.shown.len()).sum();
        (shown, self.published.values().filter(|one| one.acknowledged.is_some()).count())
    }

    /// How many holes were told.
    pub(super) fn holes(&self) -> usize {
        self.seen.values().map(|seen| seen.holes.len()).sum()
    }

    /// Whose publication has had no answer.
    pub(super) fn unanswered(&self, is_gone: impl Fn(usize) -> bool) -> Vec<Payload> {
        let waits = |one: &&Published| one.acknowledged.is_none() && !one.failed && !is_gone(one.node);
        self.published.iter().filter(|(_, one)| waits(one)).map(|(payload, _)| *payload).collect()
    }
}
