//! Who somebody is: whose a token is, for lines and requests; what `/auth` shows, and what is done before that where it has to be shown.

use super::Listener;
use super::commands::refused;
use super::member::{Member, ended};
use super::strangers::{trimmed, unmarked};
use crate::endpoint::Options;
use crate::live::Replaceable;
use crate::policy::configured::FilePolicy;
use crate::policy::peers::KnownBy;
use crate::services::received;
use bytes::Bytes;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;
use switchboard::grammar::{Authenticated, Command, ErrorCode, Failure, Input, Notice, Reply, Token, parse};
use switchboard::policy::{Claimant, Credentials, NotAllowed, Policy, Principal, Refusal};
use switchboard::{
    CloseReason, Codec, Connection, ConnectionError, Format, FrameError, Result, Rights, RoomName, TlsInfo, UnixUser,
    UserName,
};
use tokio::time::timeout;

/// How long whoever has to present a token has for it, and a policy to find out whose one is.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// What whoever has shown none may send until then, and how long each is at most.
const MOST_FRAMES: usize = 8;
const MOST_BYTES: usize = 8 * 1024;

/// Wrong tokens on one connection.
pub(super) const MOST_WRONG: u8 = 3;

/// Whom a listener lets in.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) enum Admission {
    /// Everybody; whoever presents a token may do more.
    #[default]
    Optional,
    /// Whoever presents a token.
    Required,
    /// Everybody, to do everything.
    Off,
    /// Everybody, as this one.
    As(UserName),
}

/// Whether a connection has had its place where its listener puts everybody, or could not before it was known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum FirstSeat {
    #[default]
    Had,
    Refused,
    /// Its certificate names nobody here, so that it gets none.
    TurnedAway,
}

impl Admission {
    /// Of a listener.
    pub(super) fn parse(options: &mut Options, is_local: bool) -> Replaceable<Self> {
        let auth = options.value("auth", |text| match text {
            "optional" => Ok(Self::Optional),
            "required" => Ok(Self::Required),
            "off" if is_local => Ok(Self::Off),
            "off" => Err("for loopback and Unix sockets only".to_owned()),
            _ => Err("not optional, required or off".to_owned()),
        });
        let name = options.value("as", |text| match UserName::parse(text) {
            Ok(name) if is_local => Ok(name),
            Ok(_) => Err("for loopback and Unix sockets only".to_owned()),
            Err(error) => Err(format!("not a name: {error}")),
        });
        if auth.is_some() && name.is_some() {
            options.refuse("as", "says who everybody is, so that there is no auth");
        }
        let admission = name.map(Self::As).or(auth).unwrap_or_default();
        options.live.admission.insert(Replaceable::new(admission)).clone()
    }
}

impl Listener {
    /// Tells of something that `who` may not do, if that is why it was not done. `action` is a command, or what a request asks for.
    pub(super) fn note(
        &self,
        failure: &Failure,
        who: &Principal,
        claimant: impl FnOnce() -> Claimant,
        (action, room): (&str, Option<&RoomName>),
    ) {
        if let Some(policy) = self.policy.as_ref().filter(|_| failure.code == ErrorCode::NotAllowed) {
            policy.audit.denied(who, &claimant(), action, room);
        }
    }

    /// Whose a token is. Without a policy it is nobody's, and no less than none.
    async fn shown(
        &self,
        token: Token,
        claimant: impl FnOnce() -> Claimant,
    ) -> Result<Option<Arc<Principal>>, Failure> {
        match self.hub.policy() {
            // Nobody is asked there.
            Some(_) if self.admission.now() == Admission::Off => Ok(None),
            Some(policy) => authenticate(&**policy, token, claimant()).await.map(Some),
            None if self.admission.now() == Admission::Required => Err(unshown(Refusal::Wrong)),
            None => Ok(None),
        }
    }

    /// Whether somebody may do this in a room, whether or not it is there.
    pub(super) fn may(&self, who: &Principal, room: &RoomName, right: Rights) -> Result<(), Failure> {
        let Some(policy) = self.hub.policy() else { return Ok(()) };
        let may = policy.stands(who) && policy.rights(who, room).contains(right);
        if may { Ok(()) } else { Err(refused(NotAllowed)) }
    }

    /// Who somebody is by coming here, whatever it shows: nobody in particular, unless the listener says who everybody is.
    pub(super) fn everybody(&self) -> Option<Principal> {
        match self.admission.now() {
            Admission::Off if self.hub.policy().is_some() => Some(FilePolicy::unasked()),
            Admission::As(name) => Some(FilePolicy::by_listener(name)),
            _ => None,
        }
    }

    /// Who somebody is without a token: whoever the listener says that everybody is; or nobody in particular, unless it knows its peers
    /// by their transport.
    ///
    /// # Errors
    /// It has a certificate, and that names nobody here.
    pub(super) fn known(
        &self,
        tls: impl FnOnce() -> Option<TlsInfo>,
        user: impl FnOnce() -> Option<UnixUser>,
        claimant: impl FnOnce() -> Claimant,
    ) -> Result<Option<Principal>, Failure> {
        if let Some(everybody) = self.everybody() {
            return Ok(Some(everybody));
        }
        let Some(policy) = &self.policy else { return Ok(None) };
        let known = match &self.known_by {
            KnownBy::Nothing => return Ok(None),
            KnownBy::User => Ok(user().and_then(|user| policy.by_user(user))),
            KnownBy::Certificate(rule) => {
                let shown = tls().and_then(|tls| tls.peer_certificates.into_iter().next());
                shown.map(|certificate| policy.by_certificate(&certificate, rule)).transpose()
            }
        };
        match &known {
            Ok(Some(principal)) => policy.audit.authenticated(principal, &claimant()),
            Ok(None) => {}
            Err(refused) => policy.audit.refused(*refused, None, &claimant()),
        }
        known.map_err(|_| unnamed())
    }

    /// What somebody is told that it may do in a room, under a policy.
    pub(super) fn told_rights(&self, who: &Principal, room: &RoomName) -> Option<Rights> {
        self.hub.policy().map(|policy| policy.rights(who, room))
    }

    /// Whether somebody may call itself so.
    pub(super) fn may_be_called(&self, who: &Principal, name: &UserName) -> Result<(), Failure> {
        if self.hub.policy().is_none_or(|policy| policy.may_be_called(who, name)) {
            return Ok(());
        }
        Err(Failure::new(
            ErrorCode::NameReserved,
            format!("the name {name} belongs to somebody, who has to present a token"),
        ))
    }
}

/// Who somebody is who has presented a token, according to the policy.
pub(in crate::services) async fn authenticate(
    policy: &dyn Policy,
    token: Token,
    claimant: Claimant,
) -> Result<Arc<Principal>, Failure> {
    let shown = policy.authenticate(Credentials::Token(token), claimant);
    timeout(PATIENCE, shown).await.unwrap_or(Err(Refusal::Unavailable)).map_err(unshown)
}

/// What is told of a token that is nobody's.
pub(in crate::services) fn unshown(refusal: Refusal) -> Failure {
    let code = match refusal {
        Refusal::Expired => ErrorCode::TokenExpired,
        Refusal::Unavailable => ErrorCode::AuthUnavailable,
        Refusal::Throttled => ErrorCode::RateLimited,
        _ => ErrorCode::NotAuthorized,
    };
    Failure::new(code, refusal.to_string())
}

/// Whether a token was looked at, and is nobody's.
fn is_wrong(failure: &Failure) -> bool {
    !matches!(failure.code, ErrorCode::AuthUnavailable | ErrorCode::RateLimited)
}

/// The answer to who one is.
pub(super) fn you(name: UserName, who: &Principal) -> Reply {
    let groups = who.in_groups().filter_map(|group| group.parse().ok()).collect();
    let authenticated = (!who.is_anonymous()).then(|| Authenticated { groups, expires: who.expires() });
    Reply::You { name, authenticated }
}

/// Whether somebody is nobody in particular, to whom nothing else is given either.
pub(super) fn is_nobody(who: &Principal) -> bool {
    who.is_anonymous() && who.credential().is_none()
}

/// Takes a connection in that has to present a token first, or nobody: nothing is made for it until then. Or one whose name other nodes may have
/// to be asked for.
pub(super) async fn arrive<C>(mut conn: Connection<C>, listener: Arc<Listener>) -> Result<Option<Box<Member<C>>>>
where
    C: Codec,
    C::Frame: From<Bytes> + Into<Bytes>,
{
    if listener.admission.now() != Admission::Required {
        let options = listener.options;
        let mut member = Box::new(Member::enter(conn, listener, options));
        if member.be_admitted_anywhere().await.is_ok() {
            member.take_first_seat();
        }
        return Ok(Some(member));
    }
    // What came before, as a handshake does, is part of it.
    let patience = PATIENCE.saturating_sub(conn.info().age);
    let format = listener.options.format;
    let principal = match listener.known(|| conn.tls(), || conn.unix_user(), || conn.claimant()) {
        Ok(Some(principal)) => Arc::new(principal),
        Ok(None) => {
            let shown = shown_first(&mut conn, &listener, format, patience).await?;
            let Some(principal) = shown else { return Ok(None) };
            principal
        }
        Err(failure) => {
            tell(&mut conn, format, format.failure(&failure)).await?;
            return fail(&mut conn, format).await;
        }
    };
    let mut member = Box::new(Member::enter(conn, Arc::clone(&listener), listener.options));
    member.admit(principal).await?;
    member.take_first_seat();
    Ok(Some(member))
}

/// Whom it shows to be within `patience`, before anything else; nobody if it leaves.
pub(super) async fn shown_first<C>(
    conn: &mut Connection<C>,
    listener: &Listener,
    format: Format,
    patience: Duration,
) -> Result<Option<Arc<Principal>>>
where
    C: Codec,
    C::Frame: From<Bytes> + Into<Bytes>,
{
    conn.limit_frames(MOST_BYTES);
    let Ok(shown) = timeout(patience, show(conn, listener, format)).await else {
        return Err(CloseReason::HandshakeTimeout.into());
    };
    conn.limit_frames(usize::MAX);
    shown
}

/// Waits until it has presented a token that is somebody's.
async fn show<C>(conn: &mut Connection<C>, listener: &Listener, format: Format) -> Result<Option<Arc<Principal>>>
where
    C: Codec,
    C::Frame: From<Bytes> + Into<Bytes>,
{
    let mut wrong = 0;
    tell(conn, format, format.failure(&needed(format))).await?;
    for _ in 0..MOST_FRAMES {
        let frame: Bytes = match conn.recv().await {
            Ok(Some(frame)) => frame.into(),
            Ok(None) => return Ok(None),
            Err(error) => {
                if let ConnectionError::Frame(FrameError::TooLong { .. }) = error {
                    let failure = Failure::new(ErrorCode::FrameTooLong, error.to_string());
                    if let Some(word) = format.failure(&failure) {
                        conn.last_word(ended::<C>(format, word));
                    }
                }
                return Err(error.into());
            }
        };
        received::log(conn.peer(), &frame);
        let reply = match parse(unmarked(trimmed(frame))) {
            Ok(Input::Command(Command::Auth(token))) => match listener.shown(token, || conn.claimant()).await {
                Ok(Some(principal)) => return Ok(Some(principal)),
                Ok(None) => Err(needed(format)),
                Err(failure) => {
                    wrong += u8::from(is_wrong(&failure));
                    Err(failure)
                }
            },
            Ok(Input::Command(Command::Ping)) => Ok(Reply::Pong),
            Ok(Input::Command(Command::Help)) => Ok(Reply::Help),
            Ok(Input::Command(Command::Quit)) => {
                tell(conn, format, format.reply(&Reply::Bye)).await?;
                return Ok(None);
            }
            Ok(_) => Err(needed(format)),
            Err(failure) => Err(failure),
        };
        match reply {
            Ok(reply) => tell(conn, format, format.reply(&reply)).await?,
            Err(failure) => tell(conn, format, format.failure(&failure)).await?,
        }
        if wrong == MOST_WRONG {
            break;
        }
    }
    fail(conn, format).await
}

/// Ends it for not having shown who it is, and tells it so.
async fn fail<C, T>(conn: &mut Connection<C>, format: Format) -> Result<T>
where
    C: Codec,
    C::Frame: From<Bytes> + Into<Bytes>,
{
    tell(conn, format, format.notice(&Notice::Closed { reason: CloseReason::AuthFailed })).await?;
    Err(CloseReason::AuthFailed.into())
}

async fn tell<C>(conn: &mut Connection<C>, format: Format, frames: impl IntoIterator<Item = Bytes>) -> Result
where
    C: Codec,
    C::Frame: From<Bytes> + Into<Bytes>,
{
    for frame in frames {
        conn.send(ended::<C>(format, frame)).await?;
    }
    Ok(())
}

/// What is told of a certificate that was verified and is of no use; why, the log has.
pub(super) fn unnamed() -> Failure {
    Failure::new(ErrorCode::NotAuthorized, "your certificate names nobody here")
}

/// What is told where nobody in particular is served. Programs know how to show one; people are told.
pub(super) fn needed(format: Format) -> Failure {
    let text = match format {
        Format::Json => "a token is needed here",
        _ => "a token is needed here: /auth TOKEN (`switchboard token new NAME` makes one)",
    };
    Failure::new(ErrorCode::NotAuthorized, text)
}

fn authorized(principal: &Principal) -> Reply {
    Reply::Authorized { name: principal.name().cloned(), expires: principal.expires() }
}

impl<C> Member<C>
where
    C: Codec,
    C::Frame: From<Bytes> + Into<Bytes>,
{
    /// Is who its listener knows it to be.
    pub(super) fn be_admitted(&mut self) -> Result<(), Failure> {
        if let Some(principal) = self.known()? {
            self.session.authorize(principal);
        }
        Ok(())
    }

    /// The same, where other nodes may have its name.
    async fn be_admitted_anywhere(&mut self) -> Result<(), Failure> {
        if let Some(principal) = self.known()? {
            self.session.authorize_anywhere(principal).await;
        }
        Ok(())
    }

    fn known(&mut self) -> Result<Option<Arc<Principal>>, Failure> {
        let known = self.listener.known(|| self.conn.tls(), || self.conn.unix_user(), || self.conn.claimant());
        let known = known.inspect_err(|_| self.first_seat = FirstSeat::TurnedAway)?;
        Ok(known.map(Arc::new))
    }

    /// Tells whoever comes with a certificate that names nobody here, and ends it: that is no anonymous visitor.
    pub(super) async fn be_refused(&mut self) -> Result {
        self.refuse(&unnamed()).await?;
        fail(&mut self.conn, self.session.format()).await
    }

    /// Is whose token it has shown, and is told so.
    pub(super) async fn admit(&mut self, principal: Arc<Principal>) -> Result {
        let reply = authorized(&principal);
        self.session.authorize_anywhere(principal).await;
        Ok(self.reply(&reply).await?)
    }

    /// Is whose token it shows, from now on; or is told that it is nobody's, and in the end closed for it.
    pub(super) async fn show(&mut self, token: Token) -> Result<ControlFlow<()>> {
        let failure = match self.authorize(token).await {
            Ok(reply) => {
                self.reply(&reply).await?;
                self.be_seated().await?;
                return Ok(ControlFlow::Continue(()));
            }
            Err(failure) => failure,
        };
        self.refuse(&failure).await?;
        if self.wrong_tokens < MOST_WRONG {
            return Ok(ControlFlow::Continue(()));
        }
        fail(&mut self.conn, self.session.format()).await
    }

    async fn authorize(&mut self, token: Token) -> Result<Reply, Failure> {
        if self.listener.cookies.is_some() && self.listener.hub.policy().is_some() {
            // Whoever can forge its address would be it as well.
            return Err(Failure::new(ErrorCode::NotAuthorized, "nobody can present a token over UDP"));
        }
        let shown = self.listener.shown(token, || self.conn.claimant()).await.inspect_err(|failure| {
            self.wrong_tokens += u8::from(is_wrong(failure));
        })?;
        let Some(principal) = shown else { return Ok(Reply::Authorized { name: None, expires: None }) };
        let now = self.session.principal();
        if let Some(name) = now.name().filter(|name| Some(*name) != principal.name()) {
            return Err(Failure::new(ErrorCode::NotAuthorized, format!("you are {name}; connect anew to be another")));
        }
        let reply = authorized(&principal);
        if let Some(before) = self.session.authorize_anywhere(principal).await {
            for seat in self.seats.all() {
                seat.renamed(before.clone());
            }
        }
        Ok(reply)
    }

    /// Takes the place where its listener puts everybody. A limit of no room at all leaves it in none, and so does a policy.
    pub(super) fn take_first_seat(&mut self) {
        let room = self.listener.room.clone();
        if self.sit(&room, None).is_err() {
            self.first_seat = FirstSeat::Refused;
        }
    }

    /// Takes the place that it could not have before it was known.
    async fn be_seated(&mut self) -> Result {
        let room = self.listener.room.clone();
        if std::mem::take(&mut self.first_seat) == FirstSeat::Refused
            && self.seats.current().is_none()
            && let Ok(seat) = self.session.join(&room, self.joining(None))
        {
            let joined = self.joined(&seat, seat.joined_at());
            self.seats.sit(seat);
            self.reply(&joined).await?;
        }
        Ok(())
    }
}

impl<C: Codec> Member<C> {
    /// Who it is.
    pub(super) fn you(&self) -> Reply {
        you(self.session.name(), &self.session.principal())
    }
}
