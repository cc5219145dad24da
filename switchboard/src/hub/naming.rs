//! Who takes which name, and from whom.
//!
//! A name belongs to the session that took it first, until that one leaves; a principal's names belong to the principal, and the policy says
//! which those are. A session that is shown to be the same, by its principal or by a secret, takes its name over from another connection,
//! which gets another name and is told so. The policy is user code: it is asked without a lock, and what was found is checked again.

use super::door;
use super::policy::{ANONYMOUS, Principal};
use super::session::{NameRefused, SessionInner};
use super::{Hub, HubInner};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use switchboard_proto::{NameSecret, UserName};

/// How many numbers to try after a name, where lower ones belong to principals of their own.
pub(super) const NUMBERS_TRIED: usize = 64;

/// Why a session may take a name that another one has.
#[derive(Clone, Copy, PartialEq, Eq)]
enum TakenFrom {
    /// The other one may not have it.
    Usurper,
    /// They are the same: another connection of the same principal, or one with the same secret.
    Itself,
}

/// The result of a change of names.
struct Taken {
    /// Its name until now.
    from: UserName,
    /// Who had the new one, as that session wrote it, and now has another name.
    displaced: Option<(Arc<SessionInner>, UserName)>,
}

impl Hub {
    /// Gives `session` another name; `secret` proves that it had it before, and will prove it next time. Returns its name until now.
    pub(super) fn rename(
        &self,
        session: &Arc<SessionInner>,
        to: &UserName,
        secret: Option<NameSecret>,
    ) -> Result<UserName, NameRefused> {
        let is_own = *to == session.name();
        // A session without a link may have the name of a part of the server.
        let is_servers = to.is_reserved() && (session.is_entered() || to.guest_number().is_some());
        if !is_own && (is_servers || !self.may_be_called(session, to)) {
            return Err(NameRefused::Reserved(to.clone()));
        }
        let from = self.take(session, to, secret, TakenFrom::Itself)?;
        session.keep_by(secret);
        Ok(from)
    }

    /// Gives `session` the name of its principal, or that name with a number. Returns its name until now, if that has changed. A session
    /// that finds no name it may have keeps its own.
    pub(super) fn name_as_shown(&self, session: &Arc<SessionInner>) -> Option<UserName> {
        let principal = session.principal()?;
        let owner = principal.name().filter(|name| !name.is_reserved())?;
        if session.name().is_of(owner) && self.may_be_called(session, &session.name()) {
            return None;
        }
        if self.elsewhere().is_some() && session.is_entered() {
            // It is claimed before it is taken.
            return None;
        }
        if !session.is_entered() {
            // In addition to those that have a connection.
            return self.take(session, owner, None, TakenFrom::Itself).ok();
        }
        if let Ok(from) = self.take(session, owner, None, TakenFrom::Usurper) {
            return Some(from);
        }
        loop {
            let name = self.numbered(session, owner)?;
            match self.take(session, &name, None, TakenFrom::Usurper) {
                Ok(from) => return Some(from),
                // Somebody has taken it in the meantime.
                Err(_) => self.0.names.lock().give_back(Some(name)),
            }
        }
    }

    /// Gives `session` a name of its principal's that is this node's. Returns its name until now.
    pub(super) fn take_as_shown(&self, session: &Arc<SessionInner>, name: &UserName) -> Option<UserName> {
        self.take(session, name, None, TakenFrom::Usurper).ok()
    }

    /// Takes from `session` a name that the policy no longer lets it have. It gets one of its principal's, or is a guest again, and is told
    /// so.
    pub(super) fn check_name(&self, session: &Arc<SessionInner>) {
        let name = session.name();
        if name.is_reserved() || self.may_be_called(session, &name) {
            return;
        }
        let from = self.name_as_shown(session).or_else(|| self.0.make_guest(session, &name));
        if let Some(from) = from {
            session.displaced(session, &from);
        }
    }

    /// Whether the policy lets `session` have `name`.
    fn may_be_called(&self, session: &SessionInner, name: &UserName) -> bool {
        self.may_be_named(session.principal().as_deref(), name)
    }

    /// Whether the policy lets a session of `principal` have `name`. It is not asked about names of the server's parts.
    pub(super) fn may_be_named(&self, principal: Option<&Principal>, name: &UserName) -> bool {
        let Some(governance) = self.governance() else { return true };
        name.is_reserved() || governance.policy().may_be_called(principal.unwrap_or(&ANONYMOUS), name)
    }

    fn take(
        &self,
        session: &Arc<SessionInner>,
        to: &UserName,
        secret: Option<NameSecret>,
        by: TakenFrom,
    ) -> Result<UserName, NameRefused> {
        loop {
            if session.is_entered() && !to.is_reserved() && !self.0.may_be_given(to) {
                return Err(NameRefused::Unavailable(to.clone()));
            }
            let holder = self.0.called(to).filter(|holder| !Arc::ptr_eq(holder, session));
            let mut other = None;
            if let Some(holder) = &holder {
                if !self.gives_up(holder, session, to, secret, by) {
                    return Err(NameRefused::Taken(to.clone()));
                }
                other = session.is_entered().then(|| self.another(holder, session)).flatten();
            }
            let Some(taken) = self.0.swap(session, to, holder.as_ref(), other.as_ref()) else {
                self.0.names.lock().give_back(other);
                continue;
            };
            self.0.give_up(&taken.from);
            if let Some((displaced, from)) = taken.displaced {
                displaced.displaced(session, &from);
                door::check_standing(&displaced);
            }
            // A review may have passed the place of the new name already, and not yet come to that of the old one. It comes to nobody
            // without a connection.
            if session.is_entered() {
                door::check_standing(session);
            }
            return Ok(taken.from);
        }
    }

    /// Whether `holder` gives `name` up to `session`.
    fn gives_up(
        &self,
        holder: &SessionInner,
        session: &SessionInner,
        name: &UserName,
        secret: Option<NameSecret>,
        by: TakenFrom,
    ) -> bool {
        let (held_by, taken_by) = (holder.principal(), session.principal());
        let same = |one: &Option<Arc<Principal>>| one.as_ref().and_then(|one| one.name().cloned());
        let is_itself = match (same(&held_by), same(&taken_by)) {
            (Some(holder), Some(taker)) => holder == taker,
            (Some(_), None) => false,
            (None, _) => secret.is_some_and(|secret| holder.is_kept_by(secret)),
        };
        (is_itself && by == TakenFrom::Itself) || !self.may_be_named(held_by.as_deref(), name)
    }

    /// The name of `holder` once `session` has its current one: that of `session`, if it is a numbered name of both, or another one of its
    /// principal's. `None`: a guest's.
    fn another(&self, holder: &SessionInner, session: &SessionInner) -> Option<UserName> {
        let principal = holder.principal()?;
        let owner = principal.name().filter(|name| !name.is_reserved())?;
        let left = session.name();
        let is_left = left.owner_and_number().is_some_and(|(name, _)| name == *owner);
        if is_left && self.may_be_called(holder, &left) {
            return Some(left);
        }
        if self.elsewhere().is_some() {
            return None;
        }
        self.numbered(holder, owner)
    }

    /// A name of `owner` with a number that is free, and that the policy lets `session` have.
    fn numbered(&self, session: &SessionInner, owner: &UserName) -> Option<UserName> {
        let mut refused = Vec::new();
        let mut numbers = (0..NUMBERS_TRIED).map_while(|_| self.0.names.lock().number(owner));
        let found = numbers.find(|name| {
            let may = self.may_be_called(session, name);
            refused.extend((!may).then(|| name.clone()));
            may
        });
        self.0.names.lock().give_back(refused);
        found
    }
}

impl HubInner {
    /// Gives `session` the name `to`, and its holder the name `other`, or a guest's. `None` if it is no longer `holder`'s, or `other` is no
    /// longer free.
    fn swap(
        &self,
        session: &Arc<SessionInner>,
        to: &UserName,
        holder: Option<&Arc<SessionInner>>,
        other: Option<&UserName>,
    ) -> Option<Taken> {
        let mut names = self.names.lock();
        if session.is_entered() && !to.is_reserved() && !self.may_be_given(to) {
            return None;
        }
        let found = names.get(to).filter(|found| !Arc::ptr_eq(found, session));
        if found.map(Arc::as_ptr) != holder.map(Arc::as_ptr) {
            return None;
        }
        if !session.is_entered() {
            return Some(Taken { from: session.take_name(to.clone()), displaced: None });
        }
        // Under the same lock: if two take a name at once, one gets it, and none is entered twice.
        let own = session.name();
        if other.is_some_and(|other| *other != own && !names.is_free(other)) {
            return None;
        }
        names.remove(&own);
        let from = session.take_name(to.clone());
        let displaced = holder.map(|holder| {
            names.remove(to);
            let other = other.cloned().unwrap_or_else(|| UserName::guest(self.next_guest()));
            names.insert(other.clone(), Arc::clone(holder));
            (Arc::clone(holder), holder.take_name(other))
        });
        names.insert(to.clone(), Arc::clone(session));
        Some(Taken { from, displaced })
    }

    /// Makes `session` a guest, unless its name is no longer `name`.
    pub(super) fn make_guest(&self, session: &Arc<SessionInner>, name: &UserName) -> Option<UserName> {
        let mut names = self.names.lock();
        if !names.get(name).is_some_and(|found| Arc::ptr_eq(found, session)) {
            return None;
        }
        names.remove(name);
        let guest = UserName::guest(self.next_guest());
        names.insert(guest.clone(), Arc::clone(session));
        drop(names);
        self.give_up(name);
        Some(session.take_name(guest))
    }

    /// A number that no guest has had.
    pub(super) fn next_guest(&self) -> u64 {
        if let Some(elsewhere) = self.holding.elsewhere.get() {
            return elsewhere.next_guest();
        }
        // Relaxed: only uniqueness matters. Nobody can take a guest's name.
        self.next_guest.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// A session that leaves gives up the name that it has at that point.
    pub(super) fn forget(&self, session: &Arc<SessionInner>) {
        let mut names = self.names.lock();
        // Read under the lock: it may have been taken over just now.
        let name = session.name();
        if names.get(&name).is_some_and(|found| Arc::ptr_eq(found, session)) {
            names.remove(&name);
        }
        drop(names);
        self.give_up(&name);
    }
}
