//! What a room's members may do, if there is a policy: what is known of it, under the room's lock. The door does the asking.

use super::door::Pass;
use super::fanout::Operation;
use super::policy::{Governance, Principal, Ruling};
use super::posting::MembershipId;
use super::room::{RoomInner, RoomState, Unjoined};
use super::session::SessionInner;
use super::shown::Byline;
use super::standing::{Objection, Seat, Settled};
use crate::link::Link;
use std::sync::Arc;
use switchboard_proto::Rights;

/// A member without a name.
pub(super) struct Stranger {
    link: Arc<Link>,
    seat: Seat,
}

impl RoomInner {
    /// The policy that decides about this room, if there is one.
    #[inline]
    pub(super) fn governance(&self) -> Option<&Governance> {
        if self.is_governed { self.holding.governance.as_ref() } else { None }
    }

    /// Who a member is shown to be; `None`: nobody in particular.
    pub(super) fn principal(&self, _: Pass, member: MembershipId) -> Result<Option<Arc<Principal>>, Objection> {
        let state = self.state.lock();
        match state.named.get(member) {
            Some(session) => Ok(session.principal()),
            None if state.has(member) => Ok(None),
            None => Err(Objection::Gone),
        }
    }

    /// What a member may do, if the policy was asked in its `generation`.
    pub(super) fn rights(&self, _: Pass, member: MembershipId, generation: u32) -> Result<Rights, Objection> {
        self.state.lock().rights(member, generation)
    }

    /// Makes a member follow what the policy says about it now.
    ///
    /// One that may no longer be in the room is removed. Returns the generation of what it follows.
    pub(super) fn settle(self: &Arc<Self>, _: Pass, member: MembershipId, ruling: &Ruling) -> Result<u32, Objection> {
        let mut state = self.state.lock();
        let (settled, link) = state.settle(member, ruling)?;
        match settled {
            Settled::Mistaken => return Err(Objection::Outdated),
            Settled::Changed { to, .. } if !to.contains(Rights::JOIN) => self.remove(&mut state, member, &link),
            Settled::Changed { from, to } if from.contains(Rights::PRESENCE) != to.contains(Rights::PRESENCE) => {
                let hear = Operation::Hear { room: self.id, member, rights: to };
                state.inbox(&link.tick).post(&link.tick, hear);
            }
            Settled::Late(generation) => return Ok(generation),
            Settled::Changed { .. } => {}
        }
        Ok(ruling.generation)
    }
}

/// Some members, and who they are shown to be.
type SomeMembers = Vec<(MembershipId, Option<Arc<Principal>>)>;

impl RoomInner {
    /// At most `limit` members after the given one, by number.
    pub(super) fn members_behind(&self, member: Option<MembershipId>, limit: usize) -> SomeMembers {
        let state = self.state.lock();
        let named = state.named.entries_behind(member).map(|(id, session)| (id, session.principal()));
        let strangers = state.strangers.iter().flat_map(|strangers| strangers.entries_behind(member));
        let mut members: Vec<_> = named.take(limit).chain(strangers.take(limit).map(|(id, _)| (id, None))).collect();
        members.sort_unstable_by_key(|(id, _)| *id);
        members.truncate(limit);
        members
    }
}

impl RoomState {
    /// Notes what a new member may do.
    pub(super) fn sit(
        &mut self,
        session: Option<&SessionInner>,
        ruling: &Ruling,
        seat: Seat,
        link: &Arc<Link>,
    ) -> Result<(), Unjoined> {
        if let Some(session) = session {
            return session.sit(ruling, seat).map_err(|_| Unjoined::Outdated);
        }
        let stranger = Stranger { link: Arc::clone(link), seat };
        self.strangers.get_or_insert_default().insert(stranger.seat.id(), stranger);
        Ok(())
    }

    pub(super) fn has(&self, member: MembershipId) -> bool {
        self.named.get(member).is_some() || self.stranger(member).is_some()
    }

    fn stranger(&self, member: MembershipId) -> Option<&Stranger> {
        self.strangers.as_ref()?.get(member)
    }

    /// Returns whether it was there.
    pub(super) fn forget_stranger(&mut self, member: MembershipId) -> bool {
        self.strangers.as_mut().is_some_and(|strangers| strangers.remove(member).is_some())
    }

    fn rights(&self, member: MembershipId, generation: u32) -> Result<Rights, Objection> {
        match self.named.get(member) {
            Some(session) => session.rights(member, generation),
            None => self.stranger(member).ok_or(Objection::Gone)?.seat.rights(generation),
        }
    }

    /// What the member's messages say about it, if it has a name; and the right to publish, if the policy was asked in its `generation`.
    #[inline]
    pub(super) fn byline(&self, member: MembershipId, generation: Option<u32>) -> Result<Option<Byline>, Objection> {
        if let Some(session) = self.named.get(member) {
            return session.byline_of(member, generation);
        }
        if self.has_removed(member) {
            return Err(Objection::Gone);
        }
        match generation {
            Some(generation) if !self.rights(member, generation)?.contains(Rights::PUBLISH) => Err(Objection::Refused),
            _ => Ok(None),
        }
    }

    /// Notes what a member may do now. Also returns where it is written to.
    fn settle(&mut self, member: MembershipId, ruling: &Ruling) -> Result<(Settled, Arc<Link>), Objection> {
        if let Some(session) = self.named.get(member) {
            let link = session.link().ok_or(Objection::Gone)?;
            return Ok((session.settle(member, ruling)?, Arc::clone(link)));
        }
        let stranger =
            self.strangers.as_mut().and_then(|strangers| strangers.get_mut(member)).ok_or(Objection::Gone)?;
        Ok((stranger.seat.settle(ruling), Arc::clone(&stranger.link)))
    }
}
