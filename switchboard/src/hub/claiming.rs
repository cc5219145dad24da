//! Names that are unique among several nodes: a name is claimed first, and then taken as on one node.
//!
//! What is claimed is this node's until nobody here has it. Without other nodes nothing is claimed, and nobody waits.

use super::door;
use super::elsewhere::{Elsewhere, HubHere, NameProof, NotClaimed};
use super::naming::NUMBERS_TRIED;
use super::policy::Principal;
use super::session::{NameRefused, Session, SessionInner};
use super::{Hub, HubInner};
use std::sync::Arc;
use switchboard_proto::{NameSecret, UserName};

/// A name that is this node's while somebody is about to take it.
pub(super) struct Claim {
    hub: Arc<HubInner>,
    elsewhere: Arc<dyn Elsewhere>,
    name: UserName,
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.elsewhere.unguard(&self.name);
        self.hub.give_up(&self.name);
    }
}

impl HubInner {
    /// Tells other nodes that the name is free, if nobody has it here.
    pub(super) fn give_up(&self, name: &UserName) {
        let Some(elsewhere) = self.holding.elsewhere.get().filter(|_| !name.is_reserved()) else { return };
        // Under the lock: nobody takes it meanwhile.
        let names = self.names.lock();
        if names.get(name).is_none() {
            elsewhere.release(name);
        }
    }

    /// Whether nobody on another node has it.
    pub(super) fn may_be_given(&self, name: &UserName) -> bool {
        self.holding.elsewhere.get().is_none_or(|elsewhere| elsewhere.holds(name))
    }
}

impl Hub {
    /// Makes a name this node's, if it may have to be; `proof` is shown to the node that has it.
    async fn claim(&self, name: &UserName, proof: Option<NameProof>) -> Result<Option<Claim>, NameRefused> {
        let Some(elsewhere) = self.elsewhere().filter(|_| !name.is_reserved()) else { return Ok(None) };
        match elsewhere.claim(name.clone(), proof).await {
            Ok(()) => {
                let (hub, elsewhere) = (Arc::clone(&self.0), Arc::clone(elsewhere));
                Ok(Some(Claim { hub, elsewhere, name: name.clone() }))
            }
            Err(NotClaimed::Taken) => Err(NameRefused::Taken(name.clone())),
            Err(NotClaimed::Unavailable) => Err(NameRefused::Unavailable(name.clone())),
        }
    }

    async fn rename_anywhere(
        &self,
        session: &Arc<SessionInner>,
        to: &UserName,
        secret: Option<NameSecret>,
    ) -> Result<UserName, NameRefused> {
        if !session.is_entered() {
            return self.rename(session, to, secret);
        }
        // The policy is asked before anybody else is.
        if !self.may_be_named(session.principal().as_deref(), to) {
            return Err(NameRefused::Reserved(to.clone()));
        }
        let owner = session.principal().and_then(|principal| principal.name().cloned());
        let proof = owner.map(NameProof::Principal).or(secret.map(NameProof::Secret));
        let _claim = self.claim(to, proof).await?;
        self.rename(session, to, secret)
    }

    /// Has `session` named as its principal is, over all nodes.
    async fn name_as_shown_anywhere(&self, session: &Arc<SessionInner>) -> Option<UserName> {
        let principal = session.principal()?;
        let owner = principal.name().filter(|name| !name.is_reserved())?;
        if session.name().is_of(owner) && self.may_be_named(Some(&principal), &session.name()) {
            return None;
        }
        let numbered = (2..2 + NUMBERS_TRIED as u64).map_while(|number| owner.numbered(number));
        for name in std::iter::once(owner.clone()).chain(numbered) {
            if !self.may_be_named(Some(&principal), &name) {
                continue;
            }
            match self.claim(&name, None).await {
                Ok(_claim) => {
                    if let Some(from) = self.take_as_shown(session, &name) {
                        return Some(from);
                    }
                }
                Err(NameRefused::Unavailable(_)) => return None,
                Err(_) => {}
            }
        }
        None
    }

    /// Whether a connection of another node has the name, for somebody without one.
    ///
    /// # Errors
    /// It does, or nobody can say.
    pub async fn is_free_elsewhere(&self, name: &UserName) -> Result<(), NameRefused> {
        let Some(elsewhere) = self.elsewhere().filter(|_| !name.is_reserved()) else { return Ok(()) };
        match elsewhere.has(name.clone()).await {
            Ok(false) => Ok(()),
            Ok(true) => Err(NameRefused::Taken(name.clone())),
            Err(_) => Err(NameRefused::Unavailable(name.clone())),
        }
    }
}

impl Session {
    /// As [`authorize`](Self::authorize), where [other nodes](crate::HubBuilder::elsewhere) may have names of the principal's: numbers go on
    /// behind theirs. While those cannot be asked, it keeps its name.
    ///
    /// # Cancel safety
    /// Safe: it may be shown to be the principal already, and not have its name.
    pub async fn authorize_anywhere(&self, principal: Arc<Principal>) -> Option<UserName> {
        let before = self.authorize(principal);
        let (hub, session) = (self.0.hub(), &self.0);
        if hub.elsewhere().is_none() || !session.is_entered() {
            return before;
        }
        hub.name_as_shown_anywhere(session).await.or(before)
    }

    /// As [`rename`](Self::rename) and, with a `secret`, [`rename_by`](Self::rename_by), where [other nodes](crate::HubBuilder::elsewhere) may have
    /// the name. From a connection of another node it is taken over as from one of this.
    ///
    /// # Errors
    /// As there; or the other nodes cannot be asked.
    ///
    /// # Cancel safety
    /// Safe: it has the name by then, or not.
    pub async fn rename_anywhere(&self, to: UserName, secret: Option<NameSecret>) -> Result<UserName, NameRefused> {
        self.0.hub().rename_anywhere(&self.0, &to, secret).await
    }
}

impl HubHere {
    /// Whoever claimed the name does not want it any more.
    pub(crate) fn give_up(&self, name: &UserName) {
        if let Some(hub) = self.hub() {
            hub.0.give_up(name);
        }
    }

    /// Another node has taken the name: whoever has it here has lost it.
    pub(crate) fn lose(&self, name: &UserName) {
        let Some(hub) = self.hub() else { return };
        if let Some(session) = hub.0.called(name)
            && let Some(from) = hub.0.make_guest(&session, name)
        {
            session.displaced(&session, &from);
            door::check_standing(&session);
        }
    }

    /// Has whoever is called `name` here give it up, if that one is the same as whoever shows `proof`. Says whether nobody here has it then.
    pub(crate) fn yields(&self, name: &UserName, proof: &NameProof) -> bool {
        let Some(hub) = self.hub() else { return true };
        let Some(session) = hub.0.called(name) else { return true };
        let owner = session.principal().and_then(|principal| principal.name().cloned());
        let is_same = match (&owner, proof) {
            (Some(owner), NameProof::Principal(name)) => owner == name,
            (None, NameProof::Secret(secret)) => session.is_kept_by(*secret),
            _ => false,
        };
        if is_same {
            self.lose(name);
        }
        is_same
    }

    /// Whether a guest has one of these numbers.
    pub(crate) fn has_guests(&self, from: u64, to: u64) -> bool {
        self.hub().is_some_and(|hub| hub.0.names.lock().has_guests(from, to))
    }
}
