//! Who is in a room: each comes and goes at a point in the order of its messages, and the others are told.

use super::{PresenceNotices, Reached, RoomInner, RoomOptions, RoomState, Unjoined};
use crate::hub::door::{EVERYTHING, Pass};
use crate::hub::encoding::{MemberEncoding, Tells};
use crate::hub::fanout::{Operation, Subscriber};
use crate::hub::inbox::Inbox;
use crate::hub::membership::{Join, JoinError};
use crate::hub::policy::Ruling;
use crate::hub::posting::{Except, MembershipId, News, Posting};
use crate::hub::presence::{Crowd, When};
use crate::hub::session::SessionInner;
use crate::hub::shown::Byline;
use crate::hub::standing::{Objection, Seat};
use crate::link::Link;
use crate::link::tick::Tick;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use switchboard_proto::{MessageId, Notice, Rights, UserName};
use tokio::time::Instant;

impl RoomInner {
    /// Adds a member at this point in the order, with what it missed since the point it knows. Returns the
    /// last message before it.
    pub(in super::super) fn join(
        self: &Arc<Self>,
        _: Pass,
        link: &Arc<Link>,
        mut encoding: MemberEncoding,
        session: Option<Arc<SessionInner>>,
        join: Join,
        ruling: Option<&Ruling>,
    ) -> Result<(MembershipId, MessageId), Unjoined> {
        // Unique in the process: a worker may serve several hubs.
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let tick = &link.tick;
        let mut state = self.state.lock();
        state.has_place()?;
        state.is_ready_for(join.since)?;
        self.forget_old(&mut state);
        // Under the lock, so that a room's members come in the order of their numbers.
        let id = MembershipId::new(NEXT.fetch_add(1, Ordering::Relaxed), link.listener.horizon);
        let rights = ruling.map_or(EVERYTHING, |ruling| ruling.rights);
        let missed =
            join.since.map(|since| self.replay(&state, link, since, Some(&encoding), encoding.tells(), rights));
        let missed = missed.transpose()?.map(Box::new);
        if let Some(ruling) = ruling {
            if !self.governance().is_some_and(|governance| governance.holds(ruling)) {
                return Err(Unjoined::Outdated);
            }
            let seat = Seat::new(id, Arc::downgrade(self), ruling);
            state.sit(session.as_deref(), ruling, seat, link)?;
            encoding.hear(rights);
        } else if let Some(session) = &session {
            session.sit_unasked(id, self);
        }
        let inbox = state.inbox(tick);
        if missed.is_some() {
            inbox.repeats.rejoins(self.id, link.id);
        }
        if let Some(session) = &session {
            self.present(&mut state, Notice::Joined { room: self.name.clone(), name: session.name() }, id, &inbox);
        } else {
            self.tell_abroad(&mut state, None);
        }
        match session {
            Some(session) => state.named.insert(id, session),
            None => state.unnamed += 1,
        }
        match state.workers.iter_mut().find(|worker| Arc::ptr_eq(&worker.tick, tick)) {
            Some(worker) => worker.members += 1,
            None => state.workers.push(Reached { tick: Arc::clone(tick), inbox: Arc::clone(&inbox), members: 1 }),
        }
        let overflow = join.overflow.unwrap_or(state.options.overflow);
        let member = Subscriber { id, link: Arc::clone(link), encoding, overflow, alone: join.alone, has_left: false };
        self.holding.counts.joined(state.options.class);
        inbox.post(tick, Operation::Join { room: self.id, name: self.name.clone(), member, missed });
        Ok((id, state.shown.last()))
    }

    /// Repeats to a member what came behind `since`, at this point in the order.
    pub(in super::super) fn resume(
        self: &Arc<Self>,
        _: Pass,
        (member, tells): (MembershipId, Tells),
        link: &Arc<Link>,
        since: MessageId,
        rights: Rights,
    ) -> Result<MessageId, JoinError> {
        let mut state = self.state.lock();
        if self.is_governed && !state.has(member) || state.has_removed(member) {
            return Err(JoinError::NotAllowed);
        }
        state.is_ready_for(Some(since))?;
        self.forget_old(&mut state);
        // A member without a name has its encoding for good.
        let encoding = state.named.get(member).map(|session| session.encoding());
        let tells = encoding.as_ref().map_or(tells, MemberEncoding::tells);
        let missed = Box::new(self.replay(&state, link, since, encoding.as_ref(), tells, rights)?);
        let inbox = state.inbox(&link.tick);
        inbox.repeats.resumes(member);
        inbox.post(&link.tick, Operation::Resume { room: self.id, member, missed });
        Ok(state.shown.last())
    }

    /// Removes a member at this point in the order; `silent` tells nobody. Returns what its messages said of it, unless it was removed before.
    pub(in super::super) fn leave(
        self: &Arc<Self>,
        id: MembershipId,
        link: &Link,
        silent: bool,
    ) -> Result<Option<Byline>, Objection> {
        self.take_out(&mut self.state.lock(), (id, link), silent, false)
    }

    /// Removes a member that may not be here any more, and tells it so behind what was published before.
    pub(in super::super) fn remove(self: &Arc<Self>, state: &mut RoomState, id: MembershipId, link: &Link) {
        // Whoever has left meanwhile needs no removal.
        let _ = self.take_out(state, (id, link), false, true);
    }

    /// Removes somebody from the room, who is told so behind what was published before. Says whether it was there.
    pub(in super::super) fn expel(self: &Arc<Self>, _: Pass, session: &Arc<SessionInner>) -> bool {
        let Some(link) = session.link() else { return false };
        let mut state = self.state.lock();
        let its = state.named.entries_behind(None).filter(|(_, named)| Arc::ptr_eq(named, session));
        let seats: Vec<_> = its.map(|(id, _)| id).collect();
        for id in &seats {
            self.remove(&mut state, *id, link);
            // With a policy it is known by having no seat.
            if !self.is_governed {
                state.removed.insert(*id);
            }
        }
        !seats.is_empty()
    }

    /// Whether a member was removed, and has not left by itself.
    pub(in super::super) fn has_lost(&self, member: MembershipId) -> bool {
        let state = self.state.lock();
        if self.is_governed { !state.has(member) } else { state.has_removed(member) }
    }

    fn take_out(
        self: &Arc<Self>,
        state: &mut RoomState,
        (id, link): (MembershipId, &Link),
        silent: bool,
        is_removed: bool,
    ) -> Result<Option<Byline>, Objection> {
        let tick = &link.tick;
        let by = match state.named.remove(id) {
            Some(session) => {
                session.rise(id);
                Some(session.byline())
            }
            None if state.removed.remove(&id) => return Err(Objection::Gone),
            None if self.is_governed && !state.forget_stranger(id) => return Err(Objection::Gone),
            None => None,
        };
        state.unnamed -= usize::from(by.is_none());
        self.holding.counts.left(state.options.class);
        // Before the tick hears of it, which counts it down again.
        link.unsubscribe();
        let inbox = state.inbox(tick);
        if let Some(place) = state.workers.iter().position(|worker| Arc::ptr_eq(&worker.tick, tick)) {
            state.workers[place].members -= 1;
            if state.workers[place].members == 0 {
                state.workers.swap_remove(place);
            }
        }
        inbox.repeats.leaves(self.id, link.id, id);
        inbox.post(tick, Operation::Leave { room: self.id, member: id, is_removed });
        if state.members_here() == 0 {
            state.emptied = Instant::now();
        }
        if let Some(by) = &by
            && !silent
        {
            self.present(state, Notice::Left { room: self.name.clone(), name: by.from.clone() }, id, &inbox);
        } else {
            self.tell_abroad(state, None);
        }
        Ok(by)
    }

    /// Tells the members at once that somebody came or went, or notes it for the next sweep.
    fn present(self: &Arc<Self>, state: &mut RoomState, notice: Notice, member: MembershipId, inbox: &Inbox) {
        self.tell_abroad(state, Some(&notice));
        if state.options.presence == PresenceNotices::Off {
            return;
        }
        let members = state.member_count();
        let crowd = state.options.presence.crowd(members);
        match state.presence.note(notice, member, crowd, Instant::now()) {
            When::Now(notice) => {
                self.post(state, &Posting::new(News::Notice(notice, members), Except::Nobody));
            }
            When::AtSweep => inbox.present_later(Arc::downgrade(self)),
            When::Later => {}
        }
    }

    /// The same of members of other nodes, which counts so many who came, went and took other names.
    pub(in super::super) fn present_abroad(
        self: &Arc<Self>,
        state: &mut RoomState,
        notice: Notice,
        counts: (usize, usize, usize),
        crowd: Crowd,
        now: Instant,
    ) {
        let members = state.member_count();
        match state.presence.note_abroad(notice, counts, crowd, now) {
            When::Now(notice) => _ = self.post(state, &Posting::new(News::Notice(notice, members), Except::Nobody)),
            When::AtSweep => {
                if let Some(worker) = state.workers.first() {
                    worker.inbox.present_later(Arc::downgrade(self));
                }
            }
            When::Later => {}
        }
    }

    /// Tells the members who came and went; called by a sweep, a second or less after it was noted.
    pub(crate) fn tell_presence(&self) {
        let mut state = self.state.lock();
        let members = state.member_count();
        let crowd = state.options.presence.crowd(members);
        let Some(summary) = state.presence.take(&self.name, crowd, Instant::now()) else { return };
        let posting = |notice| Posting::new(News::Notice(notice, members), Except::Nobody);
        let (joined, to_others) = (Arc::new(summary.joined), posting(summary.to_others));
        let to_joined = summary.to_joined.map(posting);
        for worker in &state.workers {
            let (joined, to_others, to_joined) = (Arc::clone(&joined), Arc::clone(&to_others), to_joined.clone());
            worker.post(Operation::Presence { room: self.id, joined, to_others, to_joined });
        }
    }

    /// Tells the others that a member has another name, if they know it by the one until now.
    pub(in super::super) fn renamed(self: &Arc<Self>, member: MembershipId, from: UserName, tick: &Tick) {
        let mut state = self.state.lock();
        let Some(session) = state.named.get(member) else { return };
        let to = session.name();
        session.sit_unasked(member, self);
        if from.as_str() == to.as_str() {
            return;
        }
        let (members, now) = (state.member_count(), Instant::now());
        let crowd = state.options.presence.crowd(members);
        let notice = Notice::Renamed { room: self.name.clone(), from, to: to.clone() };
        self.tell_abroad(&mut state, Some(&notice));
        match state.presence.rename(notice, &to, member, crowd, now) {
            Some(When::Now(notice)) => {
                self.post(&state, &Posting::new(News::Notice(notice, members), Except::Member(member)));
            }
            Some(When::AtSweep) => state.inbox(tick).present_later(Arc::downgrade(self)),
            Some(When::Later) | None => {}
        }
    }

    /// The names of at most `limit` members, past the first `skip`, in the order in which they came.
    pub(in super::super) fn members(&self, _: Pass, skip: usize, limit: usize) -> Vec<UserName> {
        let state = self.state.lock();
        state.named.values_past(skip).take(limit).map(|session| session.name()).collect()
    }

    /// The next `limit` of them at most, behind the one that `after` is left at.
    pub(in super::super) fn sessions_behind(
        &self,
        after: &mut Option<MembershipId>,
        limit: usize,
    ) -> Vec<Arc<SessionInner>> {
        let state = self.state.lock();
        let behind = state.named.entries_behind(*after).take(limit);
        let mut sessions = Vec::new();
        for (id, session) in behind {
            *after = Some(id);
            sessions.push(Arc::clone(session));
        }
        sessions
    }
}

impl RoomState {
    /// Members of this node.
    pub(in super::super) fn members_here(&self) -> usize {
        self.named.len() + self.unnamed
    }

    /// Members of all nodes.
    pub(in super::super) fn member_count(&self) -> usize {
        let abroad = self.durable.as_ref().and_then(|durable| durable.sharing.as_ref());
        self.members_here() + abroad.map_or(0, |sharing| sharing.abroad.members)
    }

    pub(in super::super) fn options(&self) -> &RoomOptions {
        &self.options
    }

    /// Whether it was removed where there is no policy.
    #[inline]
    pub(in super::super) fn has_removed(&self, member: MembershipId) -> bool {
        !self.removed.is_empty() && self.removed.contains(&member)
    }
}
