//! A hub whose members come, go, talk, rename themselves, fall behind and are closed: all the time it holds what a simple
//! model holds, and in the end everybody was told what they should have been, or of what they lost.
//!
//! Through the public API, over memory, under a clock that stands still.

use crate::hub_model::{HISTORY, Hearing, OUTBOX_FRAMES, Room, Seat};
use bytes::Bytes;
use std::sync::Arc;
use std::time::Duration;
use switchboard::grammar::{Epoch, Message, MessageId, Notice, Reply};
use switchboard::prelude::*;
use switchboard::testing::Peer;
use switchboard::{
    BoxError, Format, HubLimits, Join, JoinError, Membership, Memory, Overflow, PresenceNotices, RoomError, RoomList,
    RoomName, RoomOptions, Session, TellError, UserName,
};
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

const ROOMS: [&str; 4] = ["north", "east", "south", "west"];
const ROOMS_AT_ONCE: usize = 3;
const ROOMS_OF_ONE: usize = 2;
const NAMES: [&str; 4] = ["ann", "Ann", "bob", "cid"];
const SLOTS: usize = 6;
/// Of what is told alone in one tick, so much comes before what is published behind it.
const TOLD_IN_PLACE: usize = 8;
const OVERFLOWS: [Overflow; 4] = [Overflow::Disconnect, Overflow::DropOldest, Overflow::DropNewest, Overflow::Latest];
/// A line or a few, more than a socket takes at once, and much of an outbox.
const SIZES: [usize; 5] = [0, 300, 9_000, 30_000, 70_000];
/// Of which each takes less than 2 s: none of them makes a room be forgotten.
const MOST_STEPS: usize = 256;

/// Panics if the hub and the model part on the steps in `data`, three bytes each: what is done, by whom, and how. Blanks
/// between them do not count. See [`World::step`].
pub(crate) fn run(data: &[u8]) {
    let bytes: Vec<u8> = data.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let mut world = World::open().await;
        for step in bytes.chunks_exact(3).take(MOST_STEPS) {
            world.step(step[0], usize::from(step[1]), usize::from(step[2].wrapping_sub(b'0'))).await;
            world.check();
        }
        world.close().await;
    });
}

/// The hub with everybody in it, and the model of it.
struct World {
    hub: Hub,
    memory: Memory,
    accepted: mpsc::Receiver<Connection<Lines>>,
    slots: [Option<Member>; SLOTS],
    /// By its place in [`ROOMS`].
    rooms: [Option<Room>; ROOMS.len()],
    guests: u64,
    published: u64,
    /// What somebody was told alone since everything arrived.
    told: usize,
}

/// Both sides of a connection.
struct Member {
    peer: Peer,
    /// Held: without it the connection ends.
    _conn: Connection<Lines>,
    me: Session,
    name: UserName,
    format: Format,
    seats: Vec<(usize, Membership)>,
    /// How far behind its next join says that it is.
    since: usize,
    hearing: Hearing,
}

impl World {
    async fn open() -> Self {
        let hub = Hub::with_limits(HubLimits {
            rooms: ROOMS_AT_ONCE,
            rooms_per_connection: ROOMS_OF_ONE,
            history_messages: HISTORY,
            history_bytes: 1 << 20,
            ..HubLimits::default()
        });
        let memory = Memory::new();
        let (hand_over, accepted) = mpsc::channel(1);
        // Nobody is closed for silence, nor for not reading.
        let timeouts = Timeouts { idle: None, write: None, ..Timeouts::default() };
        let limits = Limits { outbox_frames: OUTBOX_FRAMES, outbox_bytes: 200_000, ..Limits::default() };
        let server = Server::new().workers(0).limits(limits).timeouts(timeouts);
        let server = server.memory(&memory, move |conn: Connection<Lines>| {
            let hand_over = hand_over.clone();
            async move { hand_over.send(conn).await.map_err(|_| BoxError::from("it is over")) }
        });
        let bound = server.bind().await.unwrap();
        // It ends with the runtime.
        drop(tokio::task::spawn(bound.serve_until(std::future::pending())));
        let (slots, rooms) = ([const { None }; SLOTS], [const { None }; ROOMS.len()]);
        Self { hub, memory, accepted, slots, rooms, guests: 0, published: 0, told: 0 }
    }

    async fn step(&mut self, what: u8, who: usize, how: usize) {
        const STEPS: &[u8] = b"cjslpntfurwxdky";
        let slot = who % SLOTS;
        let what = if STEPS.contains(&what) { what } else { STEPS[usize::from(what) % STEPS.len()] };
        match (what, self.slots[slot].is_some()) {
            (b'c', false) => self.connect(slot).await,
            (b'p', _) => self.publish(slot, how % ROOMS.len(), how / ROOMS.len()),
            (b'w', _) => self.settle().await,
            (b'y', _) => self.wait_for_empty_rooms().await,
            (_, false) | (b'c', true) => {}
            (b'j', _) => self.join(slot, how % ROOMS.len(), how / ROOMS.len()),
            (b's', _) => self.member(slot).since = how % 13,
            (b'l', _) => self.leave(slot, how % ROOMS.len()),
            (b'n', _) => self.rename(slot, NAMES[how % NAMES.len()]),
            (b't', _) => self.tell(slot, how % SLOTS),
            (b'f', _) => self.reform(slot, [Format::Text, Format::Json, Format::Raw][how % 3]),
            (b'u', _) => self.resume(slot, how % ROOMS.len()),
            (b'r', _) => self.read(slot).await,
            (b'x', _) => self.empty(slot).0.reset(),
            (b'd', _) => self.end(slot, CloseReason::Finished).await,
            (b'k', _) => self.kick(slot).await,
            _ => unreachable!("every step is there"),
        }
    }

    fn member(&mut self, slot: usize) -> &mut Member {
        self.slots[slot].as_mut().unwrap()
    }

    async fn connect(&mut self, slot: usize) {
        let peer = Peer::connect(&self.memory);
        let conn = self.accepted.recv().await.unwrap();
        let format = Format::Text;
        let me = self.hub.enter(&conn, format);
        self.guests += 1;
        let name = me.name();
        assert_eq!(name, UserName::guest(self.guests));
        let (seats, hearing) = (Vec::new(), Hearing::default());
        self.slots[slot] = Some(Member { peer, _conn: conn, me, name, format, seats, since: 0, hearing });
        // Others may have been told of something meanwhile.
        self.settle().await;
    }

    /// Joins, or resumes where it is in the room already.
    fn join(&mut self, slot: usize, place: usize, how: usize) {
        let name: RoomName = ROOMS[place].parse().unwrap();
        let options =
            RoomOptions { overflow: OVERFLOWS[place], presence: PresenceNotices::Off, ..RoomOptions::default() };
        let there = self.rooms.iter().flatten().count();
        let room = match self.hub.room_with(&name, options) {
            Ok(room) => room,
            Err(error) => {
                assert_eq!(error, RoomError::TooManyRooms { limit: ROOMS_AT_ONCE });
                assert!(self.rooms[place].is_none() && there == ROOMS_AT_ONCE);
                return;
            }
        };
        let model = self.rooms[place].get_or_insert_with(|| Room::new(name, room.last_id()));
        let member = self.slots[slot].as_mut().unwrap();
        if member.seats.iter().any(|(seated, _)| *seated == place) {
            drop(room);
            return self.resume(slot, place);
        }
        let since = std::mem::take(&mut member.since);
        let since = (since > 0).then(|| behind(model.last, since));
        let overflow = OVERFLOWS.get(how % 5).copied();
        let echo = how / 5 % 2 == 1;
        let joined = member.me.join(&room, Join { since, echo, overflow, alone: false });
        if member.seats.len() == ROOMS_OF_ONE {
            assert_eq!(joined.unwrap_err(), JoinError::TooManyRooms { limit: ROOMS_OF_ONE });
            return;
        }
        if let Some(since) = since.filter(|since| is_gone(model, *since, member.format)) {
            return assert_eq!(joined.unwrap_err(), JoinError::Gone { since });
        }
        let mut seat = joined.unwrap();
        assert_eq!(seat.joined_at(), model.last);
        if let Some(since) = since {
            member.hearing.repeat(model.missed(since), &model.name, member.format);
        }
        // Unlike any other line, in whatever room.
        self.published += 1;
        let will = (how / 10 % 2 == 1).then(|| format!("{}: no more", self.published));
        if let Some(will) = &will {
            seat = seat.will(will.clone());
        }
        member.seats.push((place, seat));
        model.seats.push(Seat { slot, overflow: overflow.unwrap_or(options.overflow), echo, will });
    }

    fn resume(&mut self, slot: usize, place: usize) {
        let member = self.slots[slot].as_mut().unwrap();
        let Some((_, seat)) = member.seats.iter().find(|(seated, _)| *seated == place) else { return };
        let model = self.rooms[place].as_ref().unwrap();
        let since = behind(model.last, std::mem::take(&mut member.since));
        if is_gone(model, since, member.format) {
            return assert_eq!(seat.resume(since), Err(JoinError::Gone { since }));
        }
        assert_eq!(seat.resume(since), Ok(model.last));
        member.hearing.repeat(model.missed(since), &model.name, member.format);
    }

    /// In the member's name, or in nobody's where it is not a member.
    fn publish(&mut self, slot: usize, place: usize, size: usize) {
        let Some(room) = self.hub.find(&ROOMS[place].parse().unwrap()) else {
            return assert!(self.rooms[place].is_none());
        };
        self.published += 1;
        let payload = format!("{}:{}", self.published, "x".repeat(SIZES[size % SIZES.len()]));
        let member = self.slots[slot].as_ref();
        let seat = member.and_then(|member| member.seats.iter().find(|(seated, _)| *seated == place));
        let id = match seat {
            Some((_, seat)) => seat.publish(&payload).unwrap(),
            None => room.publish(&payload),
        };
        let id = id.published().unwrap().id;
        drop(room);
        let from = seat.map(|_| member.unwrap().name.clone());
        let seats = &self.rooms[place].as_ref().unwrap().seats;
        let own = seats.iter().find(|seat| seat.slot == slot && !seat.echo).map(|seat| seat.slot);
        self.posted(place, id, from, &payload, own);
    }

    /// A message has its number: everybody is to be told but `own`.
    fn posted(&mut self, place: usize, id: MessageId, from: Option<UserName>, payload: &str, own: Option<usize>) {
        let model = self.rooms[place].as_mut().unwrap();
        assert_eq!(id, MessageId { seq: model.last.seq + 1, ..model.last });
        let message = self.hub.find(&model.name).unwrap().history(1).pop().unwrap();
        let expected = Message {
            room: model.name.clone(),
            id,
            time: message.time,
            from,
            user: None,
            payload: Bytes::copy_from_slice(payload.as_bytes()),
        };
        assert_eq!(*message, expected);
        model.keep(Arc::clone(&message));
        for seat in model.seats.iter().filter(|seat| Some(seat.slot) != own) {
            let member = self.slots[seat.slot].as_mut().unwrap();
            member.hearing.message(&message, member.format, seat.overflow);
        }
    }

    fn leave(&mut self, slot: usize, place: usize) {
        let member = self.member(slot);
        let Some(seat) = member.seats.iter().position(|(seated, _)| *seated == place) else { return };
        let name = member.name.clone();
        drop(member.seats.remove(seat));
        self.left(slot, place, name);
    }

    fn left(&mut self, slot: usize, place: usize, name: UserName) {
        let model = self.rooms[place].as_mut().unwrap();
        let seat = model.seats.iter().position(|seat| seat.slot == slot).unwrap();
        if let Some(will) = model.seats.remove(seat).will {
            let id = self.hub.find(&model.name).unwrap().last_id();
            self.posted(place, id, Some(name), &will, None);
        }
    }

    fn rename(&mut self, slot: usize, to: &str) {
        let to = UserName::parse(to).unwrap();
        let taken = self
            .slots
            .iter()
            .enumerate()
            .any(|(other, member)| other != slot && member.as_ref().is_some_and(|member| member.name == to));
        let member = self.slots[slot].as_mut().unwrap();
        for (place, _) in &member.seats {
            if !self.rooms[*place].as_mut().unwrap().names() {
                return;
            }
        }
        let renamed = member.me.rename(to.clone());
        assert_eq!(renamed.is_err(), taken);
        let Ok(from) = renamed else { return };
        assert_eq!(from, std::mem::replace(&mut member.name, to.clone()));
        let seats: Vec<usize> = member.seats.iter().map(|(place, _)| *place).collect();
        member.seats.iter().for_each(|(_, seat)| seat.renamed(from.clone()));
        if from.as_str() == to.as_str() {
            // Nothing has changed.
            return;
        }
        for place in seats {
            let model = self.rooms[place].as_ref().unwrap();
            let notice = Notice::Renamed { room: model.name.clone(), from: from.clone(), to: to.clone() };
            for seat in model.seats.iter().filter(|seat| seat.slot != slot) {
                let other = self.slots[seat.slot].as_mut().unwrap();
                other.hearing.notice(&notice, &model.name, other.format);
            }
        }
    }

    fn tell(&mut self, slot: usize, to: usize) {
        self.published += 1;
        let text = format!("{}: psst", self.published);
        let from = self.member(slot).name.clone();
        let nobody = UserName::parse("nobody").unwrap();
        let name = self.slots[to].as_ref().map_or(nobody, |member| member.name.clone());
        self.told += 1;
        let keeps_place = self.told <= TOLD_IN_PLACE;
        let told = self.member(slot).me.tell(&name, Bytes::from(text.clone()));
        let Some(member) = &mut self.slots[to] else {
            return assert_eq!(told, Err(TellError::NoSuchMember(name)));
        };
        match told {
            Ok(()) => {
                let reply = Reply::Direct { from, text: Bytes::from(text) };
                for line in member.format.reply(&reply) {
                    member.hearing.alone(String::from_utf8(line.to_vec()).unwrap(), keeps_place);
                }
            }
            Err(error) => {
                // If it was disconnected for that, and does not know yet, it is as good as gone.
                assert!([TellError::Full(name.clone()), TellError::NoSuchMember(name)].contains(&error), "{error}");
                assert!(member.hearing.is_crowded(), "it was not behind");
            }
        }
    }

    fn reform(&mut self, slot: usize, format: Format) {
        let member = self.member(slot);
        member.format = format;
        member.me.set_format(format);
        member.seats.iter().for_each(|(_, seat)| seat.set_format(format));
    }

    /// Everything that is on its way arrives, as far as it is read.
    async fn settle(&mut self) {
        sleep(Duration::from_millis(1)).await;
        self.told = 0;
        self.slots.iter_mut().flatten().for_each(|member| member.hearing.settle());
    }

    /// Rooms that have been empty for so long are no more.
    async fn wait_for_empty_rooms(&mut self) {
        self.settle().await;
        sleep(Duration::from_mins(11)).await;
        // Whoever lists or makes rooms forgets them.
        self.hub.rooms(None, 0);
        for room in &mut self.rooms {
            room.take_if(|room| room.seats.is_empty());
        }
    }

    /// Reads all there is. Who has not been told everything by then has been disconnected.
    async fn read(&mut self, slot: usize) {
        self.settle().await;
        let member = self.member(slot);
        while let Ok(line) = timeout(Duration::from_millis(1), member.peer.line()).await {
            let Some(line) = line.strip_suffix('\n') else { break };
            member.hearing.hear(line);
        }
        if !member.hearing.is_complete() {
            self.end(slot, CloseReason::SlowConsumer).await;
        }
    }

    /// Closes a member's connection by its name.
    async fn kick(&mut self, slot: usize) {
        self.settle().await;
        let name = self.member(slot).name.clone();
        assert!(self.hub.close(&name));
        self.end(slot, CloseReason::Closed).await;
        assert!(!self.hub.close(&name));
    }

    /// A handler ends: its peer is told everything from before that, and then why it is closed.
    async fn end(&mut self, slot: usize, reason: CloseReason) {
        let (mut peer, mut hearing) = self.empty(slot);
        hearing.leave();
        loop {
            let line = peer.line().await;
            let Some(line) = line.strip_suffix('\n') else { break };
            hearing.hear(line);
        }
        peer.finish();
        let (was_pressed, is_complete) = (hearing.is_pressed(), hearing.is_complete());
        let ended = peer.closed().await;
        self.settle().await;
        if is_complete && ended == reason {
            return;
        }
        assert_eq!(ended, CloseReason::SlowConsumer, "not told: {}", hearing.describe());
        assert!(was_pressed, "not behind, and disconnected");
    }

    /// Drops a member's side of the server, and its places in rooms first.
    fn empty(&mut self, slot: usize) -> (Peer, Hearing) {
        while let Some((place, _)) = self.member(slot).seats.first() {
            let place = *place;
            self.leave(slot, place);
        }
        let Member { peer, hearing, .. } = self.slots[slot].take().unwrap();
        (peer, hearing)
    }

    /// The hub holds what the model holds.
    fn check(&self) {
        let mut listed: Vec<(&str, usize)> = Vec::new();
        for (place, name) in ROOMS.iter().enumerate() {
            let found = self.hub.find(&name.parse().unwrap());
            assert_eq!(found.is_some(), self.rooms[place].is_some(), "{name}");
            let (Some(found), Some(model)) = (found, &self.rooms[place]) else { continue };
            listed.push((name, model.seats.len()));
            assert_eq!(found.last_id(), model.last);
            assert_eq!(found.history(usize::MAX), Vec::from(model.history.clone()));
            assert_eq!(found.member_count(), model.seats.len());
            let names: Vec<&str> =
                model.seats.iter().map(|seat| self.slots[seat.slot].as_ref().unwrap().name.as_str()).collect();
            let page = |skip, limit| {
                found.members(skip, limit).iter().map(|name| name.as_str().to_owned()).collect::<Vec<_>>()
            };
            assert_eq!(page(0, SLOTS), names);
            assert_eq!(page(1, 2), names.iter().skip(1).take(2).copied().collect::<Vec<_>>());
        }
        listed.sort_unstable();
        let RoomList { mut rooms, total, .. } = self.hub.rooms(None, 2);
        assert_eq!(total, listed.len());
        if let Some(last) = rooms.last().cloned() {
            rooms.extend(self.hub.rooms(Some(&last.name), SLOTS).rooms);
        }
        assert_eq!(rooms.iter().map(|room| (room.name.as_str(), room.members)).collect::<Vec<_>>(), listed);
    }

    async fn close(mut self) {
        for slot in 0..SLOTS {
            if self.slots[slot].is_some() {
                self.end(slot, CloseReason::Finished).await;
                self.check();
            }
        }
    }
}

/// An id so far behind `last`: none is the last itself, the two most are of the future and of another incarnation.
/// Whether somebody misses what it cannot be told.
fn is_gone(room: &Room, since: MessageId, format: Format) -> bool {
    format == Format::Raw && since.seq > 0 && room.missed(since).0.is_some()
}

fn behind(last: MessageId, since: usize) -> MessageId {
    match since {
        11 => MessageId { seq: last.seq + 5, ..last },
        12 => MessageId { epoch: Epoch::new(u32::from(last.epoch == Epoch::new(0))), ..last },
        _ => MessageId { seq: last.seq.saturating_sub(since.saturating_sub(1) as u64), ..last },
    }
}
