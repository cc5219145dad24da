//! What a hub needs of the other nodes whose rooms it shares, and what those are told of its own: who has members where.
//!
//! The contract is [`Elsewhere`]. A hub without other nodes has none, and asks nobody.

use super::room::{PresenceNotices, Room, RoomInner, RoomState};
use super::{Hub, HubInner};
use bytes::Bytes;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use switchboard_proto::{NameSecret, Notice, RoomName, RoomSummary, UserName};
use tokio::time::Instant;

/// What comes of a question to other nodes.
pub type FromElsewhere<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// The other nodes of a cluster, as a hub asks for them. Nothing here waits, and nothing of the hub is called back within a call.
pub trait Elsewhere: NamesElsewhere + PeopleElsewhere {
    /// How many members the room has on other nodes; `None` if none of them has it.
    fn members(&self, room: &RoomName) -> Option<usize>;

    /// At most `limit` rooms of other nodes behind `after`, by name, with their members there.
    fn rooms(&self, after: Option<&RoomName>, limit: usize) -> Vec<RoomSummary>;

    /// How many rooms other nodes have that this one has not, as far as it has told them.
    fn count(&self) -> usize;

    /// Who is in a room of this node, or that there is such a room, has changed: other nodes are to be told.
    fn changed(&self, room: &RoomName);
}

/// Whose names are, among all nodes. A name that is claimed is this node's until it is released.
pub trait NamesElsewhere: Send + Sync + 'static {
    /// A number that no guest of any node has.
    fn next_guest(&self) -> u64;

    /// Whether the name is this node's.
    fn holds(&self, name: &UserName) -> bool;

    /// Makes the name this node's, and guards it: `proof` is shown to the node that has it, which may give it up for that. Dropping it gives the
    /// name back.
    fn claim(&self, name: UserName, proof: Option<NameProof>) -> FromElsewhere<Result<(), NotClaimed>>;

    /// Whoever has claimed it has taken it, or not. Called once for each claim.
    fn unguard(&self, name: &UserName);

    /// Nobody on this node has it: it is given back, unless it is guarded.
    fn release(&self, name: &UserName);

    /// Whether another node has it.
    fn has(&self, name: UserName) -> FromElsewhere<Result<bool, Unanswered>>;
}

/// Who is on other nodes.
pub trait PeopleElsewhere: Send + Sync + 'static {
    /// Says `text` to whoever is called `to` on another node, from somebody called `from`.
    fn tell(&self, to: UserName, from: UserName, text: Bytes) -> FromElsewhere<Result<(), NotTold>>;

    /// The names of at most `most` members of a room on each node that answers: those of nodes before this one in the order of all, and those behind.
    fn who(&self, room: RoomName, most: usize) -> FromElsewhere<(Vec<UserName>, Vec<UserName>)>;
}

/// By what somebody shows that a name is its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NameProof {
    /// It is shown to be the principal of this name.
    Principal(UserName),
    /// It knows what the name is kept by.
    Secret(NameSecret),
}

/// Why a name was not claimed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotClaimed {
    /// Somebody on another node has it.
    #[error("somebody on another node has it")]
    Taken,
    /// It is not known whether anybody has it.
    #[error("other nodes cannot be asked")]
    Unavailable,
}

/// Why somebody on another node was not told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotTold {
    /// Nobody has that name.
    #[error("nobody has that name")]
    NoSuchMember,
    /// It does not read what it is sent.
    #[error("it does not read what it is sent")]
    Full,
    /// Its protocol cannot carry it.
    #[error("it cannot be sent this")]
    Uncarried,
    /// Its node does not answer.
    #[error("its node does not answer")]
    Unavailable,
}

/// Other nodes, or their records, do not say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("other nodes cannot be asked")]
pub struct Unanswered;

/// What has changed in a room since its other nodes were last told.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct RoomNews {
    pub(crate) joined: usize,
    pub(crate) left: usize,
    pub(crate) renamed: usize,
    /// The only one, where it was one, and its name may be told.
    pub(crate) only: Option<Only>,
}

/// One who came, went, or took another name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Only {
    Joined(UserName),
    Left(UserName),
    Renamed(UserName, UserName),
}

impl RoomNews {
    pub(crate) fn count(&self) -> usize {
        self.joined.saturating_add(self.left).saturating_add(self.renamed)
    }

    fn note(&mut self, notice: &Notice) {
        let only = match notice {
            Notice::Joined { name, .. } => Only::Joined(name.clone()),
            Notice::Left { name, .. } => Only::Left(name.clone()),
            Notice::Renamed { from, to, .. } => Only::Renamed(from.clone(), to.clone()),
            _ => return,
        };
        let count = match &only {
            Only::Joined(_) => &mut self.joined,
            Only::Left(_) => &mut self.left,
            Only::Renamed(..) => &mut self.renamed,
        };
        *count += 1;
        self.only = (self.count() == 1).then_some(only);
    }

    /// As members are told it.
    fn notice(self, room: RoomName, members: usize) -> Notice {
        match self.only {
            Some(Only::Joined(name)) => Notice::Joined { room, name },
            Some(Only::Left(name)) => Notice::Left { room, name },
            Some(Only::Renamed(from, to)) => Notice::Renamed { room, from, to },
            None => Notice::Presence { room, joined: self.joined, left: self.left, renamed: self.renamed, members },
        }
    }
}

/// A room's members on other nodes, and what those are to be told of it.
#[derive(Default)]
pub(super) struct Abroad {
    pub(super) members: usize,
    news: RoomNews,
    /// Others will be told.
    is_noted: bool,
}

impl RoomInner {
    /// The room is open: what other nodes have told of it until now holds.
    pub(super) fn begin_abroad(&self) {
        let Some(elsewhere) = self.holding.elsewhere.get() else { return };
        let members = elsewhere.members(&self.name).unwrap_or_default();
        if let Some(abroad) = self.state.lock().abroad() {
            abroad.members = members;
            abroad.is_noted = true;
        }
        elsewhere.changed(&self.name);
    }

    /// Has other nodes told that somebody came, went, or took another name; `None`: that nobody is told of.
    pub(super) fn tell_abroad(&self, state: &mut RoomState, notice: Option<&Notice>) {
        let (Some(abroad), Some(elsewhere)) = (state.abroad(), self.holding.elsewhere.get()) else { return };
        if let Some(notice) = notice {
            abroad.news.note(notice);
        }
        if !std::mem::replace(&mut abroad.is_noted, true) {
            elsewhere.changed(&self.name);
        }
    }

    /// Members of this node, and what has changed since it was asked last.
    fn take_news(&self) -> Option<(usize, RoomNews)> {
        let mut state = self.state.lock();
        let (here, presence) = (state.members_here(), state.options().presence);
        let crowd = presence.crowd(state.member_count());
        let abroad = state.abroad()?;
        abroad.is_noted = false;
        let mut news = std::mem::take(&mut abroad.news);
        if presence == PresenceNotices::Off {
            news = RoomNews::default();
        }
        news.only = news.only.filter(|_| crowd.is_named());
        Some((here, news))
    }

    /// Other nodes have so many members now: who is here is told what has changed.
    fn changes_abroad(self: &Arc<Self>, members: usize, mut news: RoomNews) {
        let mut state = self.state.lock();
        let Some(abroad) = state.abroad() else { return };
        abroad.members = members;
        let presence = state.options().presence;
        if news.count() == 0 || presence == PresenceNotices::Off || state.members_here() == 0 {
            return;
        }
        let all = state.member_count();
        let crowd = presence.crowd(all);
        // Whoever says that it was one says how.
        news.only = news.only.filter(|_| crowd.is_named());
        let (joined, left, renamed) = (news.joined, news.left, news.renamed);
        let notice = news.notice(self.name.clone(), all);
        self.present_abroad(&mut state, notice, (joined, left, renamed), crowd, Instant::now());
    }
}

/// What a cluster does with its hub.
#[derive(Clone)]
pub(crate) struct HubHere(Weak<HubInner>);

impl HubHere {
    pub(super) fn hub(&self) -> Option<Hub> {
        self.0.upgrade().map(Hub)
    }

    pub(super) fn room(&self, name: &RoomName) -> Option<Room> {
        self.hub()?.0.rooms.lock().get(name).cloned().map(Room)
    }

    /// Members that the room has here, and what has changed since this was asked last; `None` if it is not here, or not shared.
    pub(crate) fn news(&self, room: &RoomName) -> Option<(usize, RoomNews)> {
        self.room(room)?.0.take_news()
    }

    /// Other nodes have so many members of the room now.
    pub(crate) fn changed(&self, room: &RoomName, members: usize, news: RoomNews) {
        if let Some(room) = self.room(room) {
            room.0.changes_abroad(members, news);
        }
    }
}

impl Hub {
    /// For a cluster, which the hub has: it must not have the hub.
    pub(crate) fn here(&self) -> HubHere {
        HubHere(Arc::downgrade(&self.0))
    }

    pub(super) fn elsewhere(&self) -> Option<&Arc<dyn Elsewhere>> {
        self.0.holding.elsewhere.get()
    }

    /// At most `limit` rooms behind `after`, of all nodes.
    pub(super) fn summaries(&self, here: &[Room], after: Option<&RoomName>, limit: usize) -> Vec<RoomSummary> {
        let summary = |room: &Room| RoomSummary { name: room.name().clone(), members: room.member_count() };
        let mut all: Vec<_> = here.iter().map(summary).collect();
        if let Some(elsewhere) = self.elsewhere() {
            let mut there = elsewhere.rooms(after, limit);
            if here.len() == limit {
                // Behind the last one here there may be more here too.
                let last = here.last().map(Room::name);
                there.retain(|room| last.is_none_or(|last| room.name <= *last));
            }
            there.retain(|room| all.binary_search_by(|known| known.name.cmp(&room.name)).is_err());
            all.extend(there);
            all.sort_by(|one, other| one.name.cmp(&other.name));
            all.truncate(limit);
        }
        all
    }

    /// How many rooms there are, of all nodes.
    pub(super) fn room_count(&self, here: usize) -> usize {
        here + self.elsewhere().map_or(0, |elsewhere| elsewhere.count())
    }
}
