//! Members of one worker to whom their room's past is about to be told, by the worker's tick: what was published before they asked
//! is part of it, and reaches them in no other way. Else it would come before what it stands behind.

use super::posting::MembershipId;
use super::room::RoomId;
use crate::link::ConnectionId;
use crate::sync::Mutex;
use std::collections::{BTreeSet, HashMap};

#[derive(Default)]
pub(super) struct Repeats(Mutex<UnderWay>);

#[derive(Default)]
struct UnderWay {
    /// Who is told nothing else of its room until the tick comes to the past, and how often that is still to be told.
    members: HashMap<MembershipId, usize>,
    /// Memberships that have ended, which the tick has not come to yet.
    leaving: BTreeSet<(RoomId, ConnectionId, MembershipId)>,
}

impl Repeats {
    /// A member asks for the past.
    pub(super) fn resumes(&self, member: MembershipId) {
        *self.0.lock().members.entry(member).or_default() += 1;
    }

    /// Somebody joins and asks for it, who may just have been a member already: of that membership it is told no more.
    pub(super) fn rejoins(&self, room: RoomId, connection: ConnectionId) {
        let UnderWay { members, leaving } = &mut *self.0.lock();
        let own = (room, connection, MembershipId(0))..=(room, connection, MembershipId(u64::MAX));
        members.extend(leaving.range(own).map(|(.., member)| (*member, 1)));
    }

    pub(super) fn leaves(&self, room: RoomId, connection: ConnectionId, member: MembershipId) {
        self.0.lock().leaving.insert((room, connection, member));
    }

    /// The tick has come to what a member asked for.
    pub(super) fn resumed(&self, member: MembershipId) {
        let members = &mut self.0.lock().members;
        if let Some(times) = members.get_mut(&member) {
            *times -= 1;
            if *times == 0 {
                members.remove(&member);
            }
        }
    }

    /// The tick has come to the end of a membership.
    pub(super) fn left(&self, room: RoomId, connection: ConnectionId, member: MembershipId) {
        let UnderWay { members, leaving } = &mut *self.0.lock();
        leaving.remove(&(room, connection, member));
        members.remove(&member);
    }

    /// Whether what is delivered to a member now is part of what it is about to be told.
    pub(super) fn covers(&self, member: MembershipId) -> bool {
        self.0.lock().members.contains_key(&member)
    }
}
