//! Messages that came from groups in `json`: each is published once, by whichever way it comes, and none that began here.
//!
//! In `text` and `raw` nothing tells two datagrams apart.

use parking_lot::Mutex;
use serde::Deserialize;
use std::borrow::Cow;
use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use switchboard::{MessageId, Room, RoomName};

/// Ids that are remembered for each room.
const REMEMBERED: usize = 4096;

/// The rooms that groups are members of, and what came to them. All listeners of the process share one.
#[derive(Debug, Default)]
pub(crate) struct Relays(Mutex<Vec<(Room, Arc<Seen>)>>);

/// What came to one room.
#[derive(Debug, Default)]
pub(crate) struct Seen(Mutex<Ids>);

#[derive(Debug, Default)]
struct Ids {
    known: HashSet<MessageId>,
    /// The oldest first.
    order: VecDeque<MessageId>,
}

/// What a datagram of `json` is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Came {
    /// Another server's message, for the first time; or nothing that says where it comes from.
    New,
    /// It begins like another server's object, and cannot be read as one: it is published as it is.
    Unreadable,
    /// A message that began here, or was here before.
    Again,
    /// What another server says of a room; not for the people in ours.
    Notice,
}

impl Came {
    pub(super) const ALL: [Self; 4] = [Self::New, Self::Unreadable, Self::Again, Self::Notice];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Unreadable => "unreadable",
            Self::Again => "again",
            Self::Notice => "notice",
        }
    }
}

/// The members of another server's object that matter here.
#[derive(Deserialize)]
struct Object<'a> {
    #[serde(borrow)]
    event: Option<Cow<'a, str>>,
    #[serde(borrow)]
    room: Option<Cow<'a, str>>,
    #[serde(borrow)]
    id: Option<Cow<'a, str>>,
}

impl Relays {
    /// What came to this room, which one more group is a member of.
    pub(super) fn seen(&self, room: &Room) -> Arc<Seen> {
        let mut rooms = self.0.lock();
        if let Some((_, seen)) = rooms.iter().find(|(known, _)| known.name() == room.name()) {
            return Arc::clone(seen);
        }
        let seen = Arc::<Seen>::default();
        rooms.push((room.clone(), Arc::clone(&seen)));
        seen
    }

    /// What this datagram is to a room of groups, and notes it.
    pub(super) fn look(&self, datagram: &[u8], seen: &Seen) -> Came {
        let Some(object) = object(datagram) else {
            return if datagram.starts_with(b"{") { Came::Unreadable } else { Came::New };
        };
        if object.event.is_some() {
            return Came::Notice;
        }
        let Some(id) = message_id(&object) else { return Came::New };
        let began_here = || self.0.lock().iter().any(|(room, _)| room.last_id().epoch == id.epoch);
        if began_here() || !seen.note(id) { Came::Again } else { Came::New }
    }
}

impl Seen {
    /// Whether a payload is another server's message that came here: as which it goes on.
    pub(super) fn is_relayed(&self, payload: &[u8]) -> bool {
        let id = object(payload).as_ref().and_then(message_id);
        id.is_some_and(|id| self.0.lock().known.contains(&id))
    }

    /// Says whether it is new.
    fn note(&self, id: MessageId) -> bool {
        let mut ids = self.0.lock();
        if !ids.known.insert(id) {
            return false;
        }
        ids.order.push_back(id);
        if ids.order.len() > REMEMBERED
            && let Some(oldest) = ids.order.pop_front()
        {
            ids.known.remove(&oldest);
        }
        true
    }
}

fn object(datagram: &[u8]) -> Option<Object<'_>> {
    datagram.starts_with(b"{").then(|| serde_json::from_slice(datagram).ok()).flatten()
}

fn message_id(object: &Object<'_>) -> Option<MessageId> {
    RoomName::parse(object.room.as_deref()?).ok()?;
    object.id.as_deref()?.parse().ok()
}
