//! Who somebody is and what it may do, as the user of the library says. `door.rs` asks.

use crate::link::PeerAddr;
use crate::sync::AtomicUsize;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::SystemTime;
use switchboard_proto::{Rights, RoomName, Token, UserName};

/// The answer to who somebody is, once it is found out.
pub type Authenticating<'a> = Pin<Box<dyn Future<Output = Result<Arc<Principal>, Refusal>> + Send + 'a>>;

/// Who somebody is, and what it may do: a hub that has one ([`Hub::with_policy`](crate::Hub::with_policy)) asks it for every act in its
/// rooms that a [`Session`](crate::Session) or a member does. What the program does by the [`Hub`](crate::Hub) and by a
/// [`Room`](crate::Room) is not asked for, nor is what happens in a room without a name: whoever has that [`Room`](crate::Room) may do
/// everything there.
///
/// Deliveries are not checked: whoever may not get what is published is no member.
///
/// # Examples
/// Everybody reads, and whoever knows the token publishes:
/// ```
/// use std::sync::Arc;
/// use switchboard::policy::{Claimant, Authenticating, Credentials, Policy, Principal, Refusal, Rights};
/// use switchboard::{Hub, HubLimits, RoomName, UserName};
///
/// struct OneToken(switchboard::grammar::Token);
///
/// impl Policy for OneToken {
///     fn authenticate(&self, credentials: Credentials, _: Claimant) -> Authenticating<'_> {
///         let editor = UserName::parse("editor").map(Principal::named);
///         let shown = matches!(credentials, Credentials::Token(token) if token == self.0);
///         Box::pin(async move { editor.ok().filter(|_| shown).map(Arc::new).ok_or(Refusal::Wrong) })
///     }
///     fn rights(&self, who: &Principal, _: &RoomName) -> Rights {
///         if who.is_anonymous() { Rights::READ } else { Rights::ALL }
///     }
/// }
///
/// # let token = switchboard::grammar::Token::new("correct horse");
/// let hub = Hub::with_policy(HubLimits::default(), Arc::new(OneToken(token)));
/// ```
pub trait Policy: Send + Sync + 'static {
    /// Whom these credentials show. May wait; how long, is for whoever asks to say.
    ///
    /// # Errors
    /// They show nobody, or it cannot be found out now. Nobody is taken for anonymous by that.
    fn authenticate(&self, credentials: Credentials, claimant: Claimant) -> Authenticating<'_>;

    /// What `principal` may do in `room`, whether or not there is such a room. Takes a few µs at most, and waits for nothing: it is asked
    /// at a join, for each act without a membership, and when [`generation`](Self::generation) has grown.
    fn rights(&self, principal: &Principal, room: &RoomName) -> Rights;

    /// Grows whenever an answer may have changed. By default none ever does.
    ///
    /// It is asked with each publication of a member: an atomic number, which is only read.
    fn generation(&self) -> u64 {
        0
    }

    /// Whether `principal` may say something to whoever is called `to`, by
    /// [`Session::tell`](crate::Session::tell). By default everybody may.
    fn may_tell(&self, principal: &Principal, to: &UserName) -> bool {
        let _ = (principal, to);
        true
    }

    /// Whether `principal` may take `name`. By default everybody may take any.
    fn may_be_called(&self, principal: &Principal, name: &UserName) -> bool {
        let _ = (principal, name);
        true
    }

    /// Whether `principal` is still who it was shown to be: no longer if its credential was taken back. Who does not stand may do nothing.
    /// By default everybody stands.
    fn stands(&self, principal: &Principal) -> bool {
        let _ = principal;
        true
    }
}

/// Whom somebody is shown to be.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Principal {
    name: Option<UserName>,
    groups: Vec<Box<str>>,
    expires: Option<SystemTime>,
    credential: Option<Box<str>>,
}

pub(super) static ANONYMOUS: Principal = Principal::anonymous();

impl Principal {
    /// Nobody in particular.
    pub const fn anonymous() -> Self {
        Self { name: None, groups: Vec::new(), expires: None, credential: None }
    }

    /// Who is called `name`.
    pub fn named(name: UserName) -> Self {
        Self { name: Some(name), ..Self::anonymous() }
    }

    /// In these groups too.
    #[must_use]
    pub fn groups<G: Into<Box<str>>>(mut self, groups: impl IntoIterator<Item = G>) -> Self {
        self.groups.extend(groups.into_iter().map(Into::into));
        self
    }

    /// Until then, as its credential says.
    #[must_use]
    pub fn until(self, expires: SystemTime) -> Self {
        Self { expires: Some(expires), ..self }
    }

    /// By the credential of that id, which is no secret: it is logged.
    #[must_use]
    pub fn by(self, credential: impl Into<Box<str>>) -> Self {
        Self { credential: Some(credential.into()), ..self }
    }

    /// Whether it is nobody in particular.
    pub fn is_anonymous(&self) -> bool {
        self.name.is_none()
    }

    /// What it is called, if it is somebody.
    pub fn name(&self) -> Option<&UserName> {
        self.name.as_ref()
    }

    /// The groups that it is in.
    pub fn in_groups(&self) -> impl Iterator<Item = &str> {
        self.groups.iter().map(|group| &**group)
    }

    /// When it ends to be shown, if it does.
    pub fn expires(&self) -> Option<SystemTime> {
        self.expires
    }

    /// The id of the credential that shows it.
    pub fn credential(&self) -> Option<&str> {
        self.credential.as_deref()
    }
}

/// What somebody shows, to be taken for whom it says.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Credentials {
    /// A secret that nobody else knows.
    Token(Token),
}

/// Who shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Claimant {
    /// Where it comes from.
    pub address: PeerAddr,
}

impl Claimant {
    /// Whoever comes from there.
    pub fn new(address: PeerAddr) -> Self {
        Self { address }
    }
}

/// Why nobody is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// Nobody has such a credential.
    #[error("nobody has this credential")]
    Wrong,
    /// It was good, and is over.
    #[error("this credential has expired")]
    Expired,
    /// It cannot be found out now.
    #[error("whose credential this is cannot be found out now")]
    Unavailable,
}

/// The policy says no.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not allowed")]
pub struct NotAllowed;

/// A hub's policy.
pub(super) struct Governance {
    policy: Arc<dyn Policy>,
    /// How often everybody was looked at again, or is being: whoever comes in asks behind the last one.
    reviews: AtomicUsize,
}

/// What the policy says of somebody in one room, and when it was asked.
#[derive(Clone)]
pub(super) struct Ruling {
    pub(super) principal: Option<Arc<Principal>>,
    pub(super) rights: Rights,
    pub(super) generation: u32,
    reviews: usize,
}

impl Ruling {
    /// Whether it is about `principal`.
    pub(super) fn is_of(&self, principal: Option<&Arc<Principal>>) -> bool {
        self.principal.as_ref().map(Arc::as_ptr) == principal.map(Arc::as_ptr)
    }
}

impl Governance {
    pub(super) fn new(policy: Arc<dyn Policy>) -> Self {
        Self { policy, reviews: AtomicUsize::new(0) }
    }

    pub(super) fn policy(&self) -> &Arc<dyn Policy> {
        &self.policy
    }

    /// Of which only a change matters.
    pub(super) fn generation(&self) -> u32 {
        self.policy.generation() as u32
    }

    /// What is answered from now on is what a review would find.
    pub(super) fn begin_review(&self) {
        // Release: whoever sees it sees the policy as it is by now.
        self.reviews.fetch_add(1, Ordering::Release);
    }

    /// Whether no review has begun since this was answered; asked under the lock of the room that the review comes to, so that
    /// either of the two finds the other.
    pub(super) fn holds(&self, ruling: &Ruling) -> bool {
        self.reviews.load(Ordering::Acquire) == ruling.reviews
    }

    /// What `principal` may do in `room` now.
    pub(super) fn ask(&self, principal: Option<Arc<Principal>>, room: &RoomName) -> Ruling {
        // Read first: an answer that is newer than its number is asked for once more.
        let (reviews, generation) = (self.reviews.load(Ordering::Acquire), self.generation());
        let who = principal.as_deref().unwrap_or(&ANONYMOUS);
        let rights = if self.policy.stands(who) { self.policy.rights(who, room) } else { Rights::NONE };
        Ruling { principal, rights, generation, reviews }
    }
}
