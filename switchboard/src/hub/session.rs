//! Who a connection is in a hub: a name of its own, and how it is written to.

use super::HubInner;
use super::fanout::Entry;
use super::inbox::Inbox;
use super::membership::{Join, JoinError, Membership};
use super::posting::Form;
use super::room::Room;
use crate::link::{Peer, Untold};
use crate::sync::Mutex;
use bytes::Bytes;
use std::sync::Arc;
use switchboard_proto::{CloseReason, Format, Notice, Reply, UserName};

/// The name that somebody else has.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("somebody else is called {0}")]
pub struct NameTaken(pub UserName);

/// Why somebody was not told.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TellError {
    /// Nobody has that name.
    #[error("nobody is called {0}")]
    NoSuchMember(UserName),
    /// It does not read what it is sent.
    #[error("{0} takes no more for now")]
    Full(UserName),
    /// It is on a line transport and gets raw payloads, and this one holds a line end.
    #[error("{0} cannot be sent more than one line")]
    Uncarried(UserName),
}

/// A connection's name in a hub, until it is dropped. Memberships that it made keep the name.
pub struct Session(Arc<SessionInner>);

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Session").field(&self.name()).finish()
    }
}

/// A connection as others in the hub know it.
pub(crate) struct SessionInner {
    pub(super) peer: Arc<Peer>,
    hub: Arc<HubInner>,
    state: Mutex<(Called, Form)>,
}

enum Called {
    /// By its number, which is made a name when somebody asks: most of those who only listen are guests for good.
    Guest(u64),
    Name(UserName),
}

impl Called {
    fn name(&self) -> UserName {
        match self {
            Self::Guest(number) => UserName::guest(*number),
            Self::Name(name) => name.clone(),
        }
    }
}

impl SessionInner {
    pub(super) fn name(&self) -> UserName {
        self.state.lock().0.name()
    }

    /// Returns the name until now.
    pub(super) fn take_name(&self, to: UserName) -> UserName {
        std::mem::replace(&mut self.state.lock().0, Called::Name(to)).name()
    }

    pub(super) fn form(&self) -> Form {
        self.state.lock().1
    }
}

impl Session {
    pub(super) fn new(hub: Arc<HubInner>, peer: Arc<Peer>, form: Form) -> Self {
        let entered = Arc::clone(&hub);
        let called = |number| Mutex::new((Called::Guest(number), form));
        let session = entered.enter_guest(|number| Arc::new(SessionInner { peer, hub, state: called(number) }));
        Self(session)
    }

    /// The name now: `guest-N` at first.
    pub fn name(&self) -> UserName {
        self.0.name()
    }

    /// How this connection is told what is published.
    pub fn format(&self) -> Format {
        self.0.form().format
    }

    /// Takes another name, and returns the one until now. [`Membership::renamed`] tells a room.
    ///
    /// # Errors
    /// Somebody else has it, or it is a guest's.
    pub fn rename(&self, to: UserName) -> Result<UserName, NameTaken> {
        self.0.hub.rename(&self.0, &to).ok_or(NameTaken(to))
    }

    /// Changes the format of memberships made from now on. [`Membership::reformed`] changes one that is there.
    pub fn set_format(&self, format: Format) {
        self.0.state.lock().1.format = format;
    }

    /// Becomes a member of `room`.
    ///
    /// # Errors
    /// The connection is in as many rooms as it may, or gets raw payloads and could not be told what is gone of those behind
    /// [`Join::since`].
    pub fn join(&self, room: &Room, join: Join) -> Result<Membership, JoinError> {
        Membership::new(&room.0, Arc::clone(&self.0.peer), Some(Arc::clone(&self.0)), self.0.form(), join)
    }

    /// Sends `text` to whoever is called `to`, and to nobody else. Never waits.
    ///
    /// # Errors
    /// Nobody has that name, it has not read as much of this one's as it keeps, or its transport cannot carry `text` as one
    /// frame.
    pub fn tell(&self, to: &UserName, text: Bytes) -> Result<(), TellError> {
        let session = self.0.hub.called(to).ok_or_else(|| TellError::NoSuchMember(to.clone()))?;
        let form = session.form();
        let payloads = form.format.reply(&Reply::Direct { from: self.name(), text });
        let payloads: Vec<_> = payloads.into_iter().map(|payload| form.ended(payload)).collect();
        if !payloads.iter().all(|payload| form.carries(payload)) {
            return Err(TellError::Uncarried(to.clone()));
        }
        let told = payloads.into_iter().try_for_each(|payload| self.send_to(&session.peer, form.frame(payload)));
        told.map_err(|untold| match untold {
            Untold::Closing => TellError::NoSuchMember(to.clone()),
            Untold::Full => TellError::Full(to.clone()),
        })
    }

    /// Sends one frame to another connection alone, behind what was published before it.
    fn send_to(&self, peer: &Arc<Peer>, frame: Bytes) -> Result<(), Untold> {
        let from = self.0.peer.id;
        peer.expect(from, frame.len())?;
        Inbox::of(&peer.tick).post(&peer.tick, Entry::Direct { peer: Arc::clone(peer), from, frame });
        Ok(())
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // That the memory which it holds is needed.
        let (form, reason) = (self.0.form(), CloseReason::OutOfMemory);
        self.0.peer.tell_reset(reason, || form.notice(&Notice::Closed { reason }));
        self.0.hub.forget(&self.0.name());
    }
}
