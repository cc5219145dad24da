//! Who somebody is and what it may do: decided by the library's user, asked by `door.rs`.

use crate::link::{ConnectionId, Link, ListenerSettings, PeerAddr};
use crate::sync::{self, AtomicUsize};
use std::fmt;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;
use switchboard_proto::{Glob, Grants, Rights, RoomName, Token, UserName};

/// The answer to who somebody is, once it is known.
pub type Authenticating<'a> = Pin<Box<dyn Future<Output = Result<Arc<Principal>, Refusal>> + Send + 'a>>;

/// Decides who somebody is, and what it may do. A hub that has one ([`Hub::with_policy`](crate::Hub::with_policy)) asks
/// it about every act of a [`Session`](crate::Session) or a member in its rooms. It is not asked about what the program
/// does through the [`Hub`](crate::Hub) or a [`Room`](crate::Room), nor about rooms without a name: whoever has such a
/// [`Room`](crate::Room) may do everything there.
///
/// Deliveries are not checked: somebody who may not get what is published cannot be a member.
///
/// # Examples
/// Everybody may read, and whoever knows the token may publish:
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
    /// The principal that these credentials prove. May wait; the caller sets a time limit.
    ///
    /// # Errors
    /// The credentials prove nothing, or cannot be checked now. An error never makes somebody anonymous.
    fn authenticate(&self, credentials: Credentials, claimant: Claimant) -> Authenticating<'_>;

    /// What `principal` may do in `room`, whether or not the room exists. Must take a few µs at most and wait for
    /// nothing: it is asked at a join, for each act without a membership, and when [`generation`](Self::generation) has
    /// grown.
    fn rights(&self, principal: &Principal, room: &RoomName) -> Rights;

    /// The counter that the policy [grows](PolicyGeneration::grow) whenever an answer may have changed. Asked for once, when the hub is
    /// made; each publication of a member reads it. By default answers never change.
    fn generation(&self) -> PolicyGeneration {
        PolicyGeneration::default()
    }

    /// Whether `principal` may send a private message to `to`, by [`Session::tell`](crate::Session::tell). By default
    /// everybody may.
    fn may_tell(&self, principal: &Principal, to: &UserName) -> bool {
        let _ = (principal, to);
        true
    }

    /// Whether `principal` may take `name`. By default everybody may take any.
    fn may_be_called(&self, principal: &Principal, name: &UserName) -> bool {
        let _ = (principal, name);
        true
    }

    /// Whether `principal` is still valid: not if its credential was revoked. One that is not may do nothing. By default
    /// everybody is.
    fn stands(&self, principal: &Principal) -> bool {
        let _ = principal;
        true
    }

    /// Whether `principal` may connect from `address`. Asked about each connection in a [`review`](crate::Hub::review). By default everybody may
    /// connect from anywhere.
    fn may_come_from(&self, principal: &Principal, address: &PeerAddr) -> bool {
        let _ = (principal, address);
        true
    }

    /// The principal as it is now, with the same name but perhaps other groups or another end, which its connections then get. Asked in a
    /// [`review`](crate::Hub::review). By default a principal does not change.
    fn updated(&self, principal: &Principal) -> Option<Arc<Principal>> {
        let _ = principal;
        None
    }
}

/// How often a [`Policy`]'s answers have changed. Clones count together.
#[derive(Debug, Clone, Default)]
pub struct PolicyGeneration(Arc<sync::AtomicU64>);

impl PolicyGeneration {
    /// Answers have changed: those given before are asked for again.
    pub fn grow(&self) {
        // Release: whoever reads the number sees what has changed, or asks once more.
        self.0.fetch_add(1, Ordering::Release);
    }

    /// How often they have changed, from 0.
    #[inline]
    pub fn number(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }
}

/// Who somebody is, as proven by a credential; or nobody in particular, [anonymous](Self::anonymous).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Principal {
    name: Option<UserName>,
    groups: Vec<Box<str>>,
    expires: Option<SystemTime>,
    credential: Option<Box<str>>,
    /// Boxed, since most credentials say who somebody is and no more.
    own: Option<Box<Own>>,
    mark: Mark,
}

/// What a policy has noted of a principal. Two that are marked otherwise are the same.
#[derive(Default)]
struct Mark(AtomicU64);

impl Clone for Mark {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl PartialEq for Mark {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Mark {}

impl fmt::Debug for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What a credential itself gives.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Own {
    grants: Grants,
    direct: Vec<Glob>,
}

pub(super) static ANONYMOUS: Principal = Principal::anonymous();

impl Principal {
    /// Nobody in particular.
    pub const fn anonymous() -> Self {
        Self {
            name: None,
            groups: Vec::new(),
            expires: None,
            credential: None,
            own: None,
            mark: Mark(AtomicU64::new(0)),
        }
    }

    /// The principal named `name`.
    pub fn named(name: UserName) -> Self {
        Self { name: Some(name), ..Self::anonymous() }
    }

    /// Adds these groups.
    #[must_use]
    pub fn groups<G: Into<Box<str>>>(mut self, groups: impl IntoIterator<Item = G>) -> Self {
        self.groups.extend(groups.into_iter().map(Into::into));
        self
    }

    /// Valid until then, as its credential says.
    #[must_use]
    pub fn until(self, expires: SystemTime) -> Self {
        Self { expires: Some(expires), ..self }
    }

    /// Proven by the credential with this id, which is not secret: it is logged.
    #[must_use]
    pub fn by(self, credential: impl Into<Box<str>>) -> Self {
        Self { credential: Some(credential.into()), ..self }
    }

    /// Adds grants from its credential, and globs of names that it may send private messages to. They are only kept for the policy, which
    /// decides what they mean.
    #[must_use]
    pub fn granting(self, grants: Grants, direct: Vec<Glob>) -> Self {
        let own = Own { grants, direct };
        Self { own: (own != Own::default()).then(|| Box::new(own)), ..self }
    }

    /// Stores a number for its policy, such as the generation in which it was last found valid.
    pub fn set_mark(&self, mark: u64) {
        // Relaxed: the number is all that there is to see.
        self.mark.0.store(mark, Ordering::Relaxed);
    }

    /// The number stored last, or 0. A clone begins with 0.
    pub fn mark(&self) -> u64 {
        self.mark.0.load(Ordering::Relaxed)
    }

    /// Whether it is anonymous.
    pub fn is_anonymous(&self) -> bool {
        self.name.is_none()
    }

    /// Its name, unless it is anonymous.
    pub fn name(&self) -> Option<&UserName> {
        self.name.as_ref()
    }

    /// The groups that it is in.
    pub fn in_groups(&self) -> impl Iterator<Item = &str> {
        self.groups.iter().map(|group| &**group)
    }

    /// When it expires, if it does.
    pub fn expires(&self) -> Option<SystemTime> {
        self.expires
    }

    /// The id of the credential that proves it.
    pub fn credential(&self) -> Option<&str> {
        self.credential.as_deref()
    }

    /// The grants that it has by its credential.
    pub fn grants(&self) -> &Grants {
        static NONE: Grants = Grants::new();
        self.own.as_ref().map_or(&NONE, |own| &own.grants)
    }

    /// Globs of names that its credential lets it send private messages to.
    pub fn direct(&self) -> &[Glob] {
        self.own.as_ref().map_or(&[], |own| &own.direct)
    }
}

/// What somebody presents to prove who it is.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Credentials {
    /// A secret that nobody else knows.
    Token(Token),
}

/// Who presents the credentials: [`Connection::claimant`](crate::Connection::claimant), or whoever sends a request
/// ([`Request::claimant`](crate::http::Request::claimant)).
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Claimant {
    /// Its address; behind a proxy that says so, its client's.
    pub address: PeerAddr,
    /// The proxy that has said so, if there was one.
    pub via: Option<SocketAddr>,
    /// As [`ConnectionInfo::transport`](crate::ConnectionInfo::transport), if that is known.
    pub transport: Option<&'static str>,
    /// The connection on which they came, if that is known.
    pub connection: Option<ConnectionId>,
    listener: Option<Arc<ListenerSettings>>,
}

impl Claimant {
    /// A claimant at this address, of whom nothing else is known.
    pub fn new(address: PeerAddr) -> Self {
        Self { address, via: None, transport: None, connection: None, listener: None }
    }

    /// Whoever has come from `address`, by `via`, on a connection.
    pub(crate) fn on(link: &Link, address: PeerAddr, via: Option<SocketAddr>) -> Self {
        let (transport, listener) = (Some(link.transport()), Some(Arc::clone(&link.listener)));
        Self { address, via, transport, connection: Some(link.id), listener }
    }

    /// As [`ConnectionInfo::listener`](crate::ConnectionInfo::listener), if that is known.
    pub fn listener(&self) -> Option<&str> {
        self.listener.as_ref().map(|listener| listener.name.as_str())
    }
}

/// Why credentials prove nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// The credential is unknown.
    #[error("unknown credential")]
    Wrong,
    /// The credential has expired.
    #[error("expired credential")]
    Expired,
    /// It is known, but its holder is not let in, for this reason, which it is told.
    #[error("{0}")]
    Denied(Box<str>),
    /// It cannot be checked now.
    #[error("the credential cannot be checked right now")]
    Unavailable,
    /// It was not checked: too many wrong ones came from the same address.
    #[error("too many wrong credentials from this address")]
    Throttled,
}

/// The policy says no.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no right to do this")]
pub struct NotAllowed;

/// A hub's policy.
pub(super) struct Governance {
    policy: Arc<dyn Policy>,
    /// The policy's: read for each publication, where a call would cost a third of what the policy does.
    generation: PolicyGeneration,
    /// Counts the reviews, including one under way: a session that comes in asks after the latest began.
    reviews: AtomicUsize,
}

/// What the policy says about somebody in one room, and when it was asked.
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
        Self { generation: policy.generation(), policy, reviews: AtomicUsize::new(0) }
    }

    pub(super) fn policy(&self) -> &Arc<dyn Policy> {
        &self.policy
    }

    /// Only a change of it matters.
    #[inline]
    pub(super) fn generation(&self) -> u32 {
        self.generation.number() as u32
    }

    /// Whatever is answered from now on is what a review would find.
    pub(super) fn begin_review(&self) {
        // Release: a thread that sees it sees the policy as it is by now.
        self.reviews.fetch_add(1, Ordering::Release);
    }

    /// Whether no review has begun since this was answered. To be asked under the lock of the room, which the review takes too, so that
    /// one of the two finds the other.
    pub(super) fn holds(&self, ruling: &Ruling) -> bool {
        self.reviews.load(Ordering::Acquire) == ruling.reviews
    }

    /// What `principal` may do in `room` now.
    pub(super) fn ask(&self, principal: Option<Arc<Principal>>, room: &RoomName) -> Ruling {
        // Read first: an answer newer than its number is only asked for once more.
        let (reviews, generation) = (self.reviews.load(Ordering::Acquire), self.generation());
        let who = principal.as_deref().unwrap_or(&ANONYMOUS);
        let rights = if self.policy.stands(who) { self.policy.rights(who, room) } else { Rights::NONE };
        Ruling { principal, rights, generation, reviews }
    }
}
