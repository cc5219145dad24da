//! Rooms over HTTP: the page, requests that publish and list, and the streams and WebSockets that are members.
//!
//! A WebSocket, a stream of events and a stream of messages are connections like any other, and served by the same
//! [`Member`]. What has no connection in the hub is answered here.

mod asking;
mod messages;
mod page;
mod route;
mod streams;
mod tickets;

use super::commands::{refused, there, unpublished};
use super::credentials::{Admission, PATIENCE, is_nobody, needed, shown_first};
use super::listing;
use super::member::Member;
use super::{Listener, MemberOptions};
use crate::live::Replaceable;
use crate::policy::bans::Banned;
use crate::running::Run;
use crate::services::admin::Health;
use crate::services::received;
use crate::web::access::{AccessLog, note_name};
use crate::web::answer::{self, EVENTS, OBJECTS, bodiless, endless, paged};
use crate::web::credential::{self, Presented};
use crate::web::guard::{self, Asker, Guard};
use crate::web::work::{Account, source};
use crate::web::{Front, body};
use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, Method, StatusCode};
use parking_lot::Mutex;
use route::{Route, Socket, SocketKind, route};
use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use streams::beginning;
use switchboard::grammar::{ErrorCode, Failure, Reply};
use switchboard::http::{Request, Response};
use switchboard::policy::Principal;
use switchboard::{
    Buckets, Codec, Connection, ConnectionError, Format, PeerAddr, Published, Result, Room, RoomList, RoomName,
    Session, WebSocket,
};
use tickets::Tickets;

/// What a client may agree on in `Sec-WebSocket-Protocol`. The one thing that there is to speak needs no name.
const SUBPROTOCOLS: &[&str] = &["switchboard"];

/// Addresses whose requests are counted: 32 KiB for a listener. Two that share a bucket share their rate.
const BUCKETS: usize = 4096;

/// Where the page shows a room, from the path of that: a proxy may have put both below a path of its own.
fn room_on_page(room: &RoomName) -> String {
    format!("../#{room}")
}

/// One listener's side of HTTP.
pub(super) struct Web {
    listener: Arc<Listener>,
    front: Front,
    /// The longest body: as long as a frame may be elsewhere.
    frame_bytes: Replaceable<usize>,
    /// What each address may still publish, or have of tickets, by requests.
    publications: Mutex<Option<Buckets>>,
    hasher: RandomState,
    access: Access,
    /// Those that it gave for tokens, and that nobody has used.
    tickets: Mutex<Tickets>,
    /// What probes are told here, if they are.
    health: Option<Health>,
}

/// What a listener wants to be shown.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Access {
    /// Whether streams and WebSockets may present a token in their URL, which ends up in logs and histories.
    pub(super) is_in_urls: bool,
}

impl Web {
    /// Tells probes how the server is.
    pub(super) fn probed(self, health: Option<Health>) -> Self {
        Self { health, ..self }
    }

    /// Counts its requests.
    pub(super) fn counted(self, running: &Run) -> Self {
        Self { front: self.front.counted(running.requests_of(route::PATHS)), ..self }
    }

    pub(super) fn new(
        listener: Arc<Listener>,
        guard: Replaceable<Arc<Guard>>,
        frame_bytes: Replaceable<usize>,
        access: Access,
    ) -> Self {
        let front = Front::new(guard, listener.work.clone(), route::allowed);
        let (publications, hasher, tickets) = Default::default();
        Self { listener, front, frame_bytes, publications, hasher, access, tickets, health: None }
    }

    /// Answers nobody who is banned, and tells of requests.
    pub(super) fn but(self, banned: Banned, access: Arc<AccessLog>) -> Self {
        Self { front: self.front.but(banned).told_in(access), ..self }
    }

    /// Answers a request.
    pub(super) async fn serve(self: Arc<Self>, request: Request) -> Response {
        self.front.answer(request, |asker, request| self.respond(asker, request)).await
    }

    /// What is said to browsers where the library answers without asking.
    pub(super) fn unasked(&self, head: Option<&Parts>, headers: &mut HeaderMap) {
        self.front.unasked(head, headers);
    }

    async fn respond(&self, asker: Asker, request: Request) -> Result<Response, Failure> {
        let uri = request.uri();
        if let Some(told) = self.health.as_ref().and_then(|health| health.answer(request.method(), uri.path())) {
            return Ok(told.into());
        }
        let query = uri.query().map(|query| credential::from_query(query, self.access.is_in_urls)).transpose()?;
        let (in_url, query) = query.unzip();
        let (in_url, method) = (in_url.flatten(), request.method());
        let has_page = self.listener.options.commands;
        if has_page
            && answer::is_for_people(request.headers())
            && let Some(room) = route::room_to_see(method, uri.path())
        {
            return Ok(answer::elsewhere(&room_on_page(&room)).into());
        }
        let route = route(method, uri.path(), query.as_deref())?;
        // Whoever asks for the head alone would have used a ticket up.
        let is_used_up = matches!(in_url, Some(Presented::Ticket(_))) && method == Method::HEAD;
        if in_url.is_some() && (is_used_up || !route.is_lasting()) {
            let text = "a token or a ticket may be in the URL of streams and WebSockets, and of nothing else";
            return Err(Failure::new(ErrorCode::BadArgument, text));
        }
        if uri.path() == "/" && !has_page {
            // It would publish them.
            return Err(Failure::new(
                ErrorCode::CommandsOff,
                "there is no page here: it needs commands, which this listener does not take; /openapi.json lists the paths",
            ));
        }
        if asker == Asker::Visitor && !matches!(route, Route::Asset(_)) {
            return Err(guard::forbidden_page());
        }
        if matches!(route, Route::Follow { .. } | Route::Events { .. }) {
            self.front.guard().may_join(request.head())?;
        }
        match route {
            Route::Asset(asset) => Ok(answer::asset(asset, request.headers()).into()),
            Route::Options { allow } => Ok(answer::options(allow).into()),
            route => self.identify(route, in_url, request).await,
        }
    }

    /// Finds out who asks before anything of rooms is looked at.
    async fn identify(&self, route: Route, in_url: Option<Presented>, request: Request) -> Result<Response, Failure> {
        let is_handshake = matches!(route, Route::Socket(_));
        let presented = credential::presented(request.headers(), is_handshake, in_url)?;
        if let Admission::As(name) = &self.listener.admission.now()
            && presented != Presented::Nothing
        {
            return Err(Failure::new(ErrorCode::BadArgument, format!("everybody is {name} here, without a token")));
        }
        let is_by_token = matches!(presented, Presented::Token(_));
        let who = match self.known(&presented, &request) {
            Ok(Some(known)) => Ok(Arc::new(known)),
            Ok(None) => self.authenticate(presented, &request).await,
            Err(failure) => Err(failure),
        };
        let who = match who {
            Ok(who) => who,
            Err(failure) => {
                let apart = self.listener.policy.as_ref().and_then(|policy| policy.failures_apart());
                return Ok(answer::unauthenticated(&failure, apart).into());
            }
        };
        note_name(who.name());
        // A WebSocket may show one by its first frame.
        if self.needs_token(&who) && !is_handshake {
            return Err(needed(Format::Json));
        }
        if route == Route::Ticket && (!is_by_token || who.is_anonymous()) {
            return Err(needed(Format::Json));
        }
        let (claimant, method) = (request.claimant(), request.method().clone());
        let room = route.needs().map(|(room, _)| room.clone());
        let handled = self.handle(route, &who, request).await;
        let handled = handled.inspect_err(|failure| {
            self.listener.note(failure, &who, || claimant, (method.as_str(), room.as_ref()));
        });
        handled.map_err(|failure| asking::told(failure, &who))
    }

    async fn handle(&self, route: Route, who: &Arc<Principal>, request: Request) -> Result<Response, Failure> {
        let is_head = request.method() == Method::HEAD;
        let account = self.front.work().account(request.peer());
        let session = || self.session(who, None);
        if let Some(name) = route.name() {
            self.listener.may_be_called(who, name)?;
        }
        if let Some((room, right)) = route.needs() {
            self.listener.may(who, room, right)?;
        }
        match route {
            Route::Asset(_) | Route::Options { .. } => unreachable!("answered whoever asks"),
            Route::Me => Ok(answer::reply(&asking::you(who)).into()),
            Route::Ticket => self.ticket(who, request.peer()),
            Route::Publish { room, name } => {
                self.publish(&room, &self.session_anywhere(who, name).await?, request).await
            }
            Route::Rooms { after, limit } => {
                let list = listing::rooms(&self.listener.hub, &session()?, after.as_ref(), limit).await;
                Ok(rooms(list, limit, &account))
            }
            Route::Members { room, skip, limit } => members(&session()?, &room, skip, limit, &account).await,
            Route::Messages { room, span } => {
                let session = session()?;
                let room = if self.listener.hub.is_shared() {
                    // Another node may have it.
                    self.listener.make(&session, &room, request.peer())?
                } else {
                    find(&session, &room)?
                };
                there(&room, None).await?;
                messages::answer((session, room), span, account, is_head).await
            }
            Route::Follow { .. } if is_head => Ok(bodiless(endless(OBJECTS))),
            Route::Events { .. } if is_head => Ok(bodiless(endless(EVENTS))),
            Route::Follow { room, begin } => self.follow(who, &room, begin, request.peer()).await,
            Route::Events { room, since } => self.events(who, &room, since, &request).await,
            Route::Socket(socket) => self.socket(socket, Arc::clone(who), request),
        }
    }

    async fn publish(&self, room: &RoomName, session: &Session, mut request: Request) -> Result<Response, Failure> {
        let taken = self.take(request.peer());
        let body = body(&mut request, self.frame_bytes.now()).await;
        // Refused behind its body, so that the connection may go on.
        taken?;
        let body = body?;
        received::log(request.peer(), &body);
        let room = self.listener.make(session, room, request.peer())?;
        // As a connection that publishes is not read meanwhile.
        room.ready().await;
        let Published { id, time, .. } =
            session.publish(&room, &body).map_err(unpublished)?.await.map_err(unpublished)?;
        Ok(answer::reply(&Reply::Published { room: room.name().clone(), id, time }).into())
    }

    fn socket(&self, socket: Socket, who: Arc<Principal>, request: Request) -> Result<Response, Failure> {
        let (listener, needs_token) = (Arc::clone(&self.listener), self.needs_token(&who));
        let who = (!needs_token).then_some(who);
        let mut response = request.upgrade(SUBPROTOCOLS, move |conn| {
            // Boxed, since it is over soon, and the member stays.
            let arriving = Box::pin(arrive(conn, listener, socket, who));
            async move {
                let Some(member) = arriving.await? else { return Ok(()) };
                member.serve().await
            }
        });
        match response.status() {
            StatusCode::SWITCHING_PROTOCOLS => Ok(response),
            _ if needs_token => Err(needed(Format::Json)),
            status => Ok(answer::no_websocket(response.headers_mut(), status).into()),
        }
    }

    /// Counts a publication, or a ticket.
    fn take(&self, peer: &PeerAddr) -> Result<(), Failure> {
        let (Some(rate), Some(address)) = (self.listener.rate.now(), peer.ip()) else { return Ok(()) };
        let hash = self.hasher.hash_one(source(address.ip()));
        let mut publications = self.publications.lock();
        // With another rate everybody begins anew.
        publications.take_if(|buckets| buckets.rate() != rate);
        let buckets = publications.get_or_insert_with(|| Buckets::new(BUCKETS, rate));
        let taken = buckets.take(hash, self.listener.started.elapsed());
        drop(publications);
        if taken {
            Ok(())
        } else {
            Err(Failure::new(ErrorCode::RateLimited, "too many publications or tickets from this address"))
        }
    }
}

/// Gives a WebSocket its name and its room, or tells it why not. `who`: none has to show a token first.
async fn arrive(
    mut conn: Connection<WebSocket>,
    listener: Arc<Listener>,
    socket: Socket,
    who: Option<Arc<Principal>>,
) -> Result<Option<Box<Member<WebSocket>>>> {
    let Socket { kind, name, since, format, echo } = socket;
    let options = MemberOptions {
        format: format.unwrap_or(listener.options.format),
        commands: listener.options.commands && matches!(kind, SocketKind::Grammar(_)),
        echo: echo.unwrap_or(listener.options.echo),
    };
    let mut shown = None;
    if who.is_none() {
        shown = shown_first(&mut conn, &listener, options.format, PATIENCE).await?;
        if shown.is_none() {
            return Ok(None);
        }
    }
    let mut member = Box::new(Member::enter(conn, Arc::clone(&listener), options));
    match (who, shown) {
        (_, Some(shown)) => member.admit(shown).await?,
        (Some(who), None) if !is_nobody(&who) => _ = member.session.authorize_anywhere(who).await,
        _ => {}
    }
    // Told behind which message it begins, and by then what it may do there.
    let may = match &kind {
        SocketKind::Room(room) => listener.told_rights(&member.session.principal(), room),
        SocketKind::Grammar(_) => None,
    };
    let named = match name {
        Some(name) => member.take_name(name).await,
        None => Ok(()),
    };
    if let Err(failure) = named {
        if !options.commands {
            // It would take part under another name than it wants.
            turn_away(&mut member, failure).await?;
            return Ok(None);
        }
        member.refuse(&failure).await?;
    }
    let mut room = match &kind {
        SocketKind::Room(name) | SocketKind::Grammar(Some(name)) => member.room_to_join(name),
        SocketKind::Grammar(None) => Ok(listener.room.clone()),
    };
    if let Ok(joined) = &room
        && let Err(failure) = there(joined, since).await
    {
        room = Err(failure);
    }
    let seated = match (room, &kind) {
        (Err(failure), _) => Err(failure),
        // Whoever gives no commands cannot ask where it is.
        (Ok(room), SocketKind::Room(_)) if member.session.format() != Format::Raw => {
            let (since, joined) = beginning(&room, since, may);
            member.reply(&joined).await?;
            member.sit(&room, Some(since))
        }
        (Ok(room), _) => member.sit(&room, since),
    };
    if let Err(failure) = seated {
        if !options.commands {
            turn_away(&mut member, failure).await?;
            return Ok(None);
        }
        member.refuse(&failure).await?;
    }
    Ok(Some(member))
}

/// Ends a WebSocket or a stream that does not get what it came for, in a way that does not look as if it had. It is told why as any request
/// is: it can give no command by which to show a token.
async fn turn_away<C>(member: &mut Member<C>, failure: Failure) -> Result<(), ConnectionError>
where
    C: Codec,
    C::Frame: From<Bytes> + Into<Bytes>,
{
    member.refuse(&asking::told(failure, &member.session.principal())).await?;
    member.listener.hub.close(&member.session.name());
    Ok(())
}

fn rooms(list: RoomList, limit: usize, account: &Account) -> Response {
    let RoomList { rooms, total, next, .. } = list;
    let next = next.map(|last| format!("/rooms?after={last}&limit={limit}"));
    listed(paged(&Reply::Rooms { rooms, total }, next), account)
}

async fn members(
    session: &Session,
    name: &RoomName,
    skip: usize,
    limit: usize,
    account: &Account,
) -> Result<Response, Failure> {
    let room = find(session, name)?;
    let members = session.members_anywhere(&room, skip, limit).await.map_err(refused)?;
    let end = skip + members.len();
    let next = (members.len() == limit).then(|| format!("/rooms/{name}/members?skip={end}&limit={limit}"));
    // Some may have left meanwhile.
    let total = room.member_count().max(if members.is_empty() { 0 } else { end });
    Ok(listed(paged(&Reply::Who { room: room.name().clone(), members, total }, next), account))
}

fn find(session: &Session, name: &RoomName) -> Result<Room, Failure> {
    let none = || Failure::new(ErrorCode::NoSuchRoom, format!("there is no room {name}; publishing creates it"));
    session.find(name).ok_or_else(none)
}

/// A list, which counts by its length.
fn listed(list: http::Response<Bytes>, account: &Account) -> Response {
    account.owe(list.body().len());
    list.into()
}

#[cfg(test)]
#[path = "../../../../fuzz/bodies/request.rs"]
mod body;
#[cfg(test)]
mod guarded;
#[cfg(test)]
mod removed;
#[cfg(test)]
mod served;
#[cfg(test)]
mod tests;
