//! Rooms over HTTP: the page, requests that publish and list, and the streams and WebSockets that are members.
//!
//! A WebSocket, a stream of events and a stream of messages are connections like any other, and served by the same
//! [`Member`]. What has no connection in the hub is answered here.

mod messages;
mod page;
mod route;
mod streams;

use super::commands::refused;
use super::member::Member;
use super::{Listener, MemberOptions};
use crate::services::received;
use crate::web::Front;
use crate::web::answer::{self, EVENTS, OBJECTS, bodiless, endless, link, paged};
use crate::web::guard::{self, Asker, Guard};
use crate::web::work::{Account, source};
use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, Method, StatusCode};
use messages::Pages;
use parking_lot::Mutex;
use route::{Route, Socket, SocketKind, route};
use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use streams::beginning;
use switchboard::grammar::{ErrorCode, Failure, Reply};
use switchboard::http::{BodyError, Request, Response};
use switchboard::{
    Buckets, Connection, Format, PeerAddr, Published, Rate, Result, Room, RoomList, RoomName, Session, UserName,
    WebSocket,
};

/// What a client may agree on in `Sec-WebSocket-Protocol`. The one thing that there is to speak needs no name.
const SUBPROTOCOLS: &[&str] = &["switchboard"];

/// Addresses whose requests are counted: 32 KiB for a listener. Two that share a bucket share their rate.
const BUCKETS: usize = 4096;

/// One listener's side of HTTP.
pub(super) struct Web {
    listener: Arc<Listener>,
    front: Front,
    /// The longest body: as long as a frame may be elsewhere.
    frame_bytes: usize,
    /// What each address may still publish by requests.
    publications: Option<Mutex<Buckets>>,
    hasher: RandomState,
}

impl Web {
    pub(super) fn new(listener: Arc<Listener>, guard: Guard, frame_bytes: usize) -> Self {
        let publications = listener.rate.map(|rate: Rate| Mutex::new(Buckets::new(BUCKETS, rate)));
        let front = Front::new(guard, listener.work.clone(), route::allowed);
        Self { listener, front, frame_bytes, publications, hasher: RandomState::new() }
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
        let route = route(request.method(), uri.path(), uri.query())?;
        if uri.path() == "/" && !self.listener.options.commands {
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
        self.handle(route, request).await
    }

    async fn handle(&self, route: Route, request: Request) -> Result<Response, Failure> {
        let is_head = request.method() == Method::HEAD;
        let account = self.front.work().account(request.peer());
        let session = || self.session(None);
        match route {
            Route::Asset(asset) => Ok(answer::asset(asset, request.headers()).into()),
            Route::Options { allow } => Ok(answer::options(allow).into()),
            Route::Publish { room, name } => self.publish(&room, name, request).await,
            Route::Rooms { after, limit } => Ok(rooms(&session()?, after.as_ref(), limit, &account)),
            Route::Members { room, skip, limit } => members(&session()?, &room, skip, limit, &account),
            Route::Messages { room, since, limit } => {
                let session = session()?;
                let room = find(&session, &room)?;
                let pages = Pages::new(session, room, since, limit, account)?;
                let mut head = answer::stream(OBJECTS);
                link(head.headers_mut(), Some(pages.next_path()));
                if is_head {
                    return Ok(bodiless(head));
                }
                Ok(Response::pages(head, pages))
            }
            Route::Follow { .. } if is_head => Ok(bodiless(endless(OBJECTS))),
            Route::Events { .. } if is_head => Ok(bodiless(endless(EVENTS))),
            Route::Follow { room, begin } => self.follow(&session()?, &room, begin, request.peer()),
            Route::Events { room, since } => self.events(&session()?, &room, since, &request),
            Route::Socket(socket) => Ok(self.socket(socket, request)),
        }
    }

    async fn publish(
        &self,
        room: &RoomName,
        name: Option<UserName>,
        mut request: Request,
    ) -> Result<Response, Failure> {
        let taken = self.take(request.peer());
        let body = request.body(self.frame_bytes).await;
        // Refused behind its body, so that the connection may go on.
        taken?;
        let body = body.map_err(|error| self.without_body(error))?;
        received::log(request.peer(), &body);
        let session = self.session(name)?;
        let room = self.listener.make(&session, room, request.peer())?;
        // As a connection that publishes is not read meanwhile.
        room.ready().await;
        let Published { id, time, .. } = session.publish(&room, &body).map_err(refused)?;
        Ok(answer::reply(&Reply::Published { room: room.name().clone(), id, time }).into())
    }

    fn without_body(&self, error: BodyError) -> Failure {
        let code = match error {
            BodyError::TooLong => {
                let text = format!("body is longer than {} bytes", self.frame_bytes);
                return Failure::new(ErrorCode::FrameTooLong, text);
            }
            BodyError::Slow => ErrorCode::TooSlow,
            _ => ErrorCode::BadArgument,
        };
        Failure::new(code, error.to_string())
    }

    fn socket(&self, socket: Socket, request: Request) -> Response {
        let listener = Arc::clone(&self.listener);
        let mut response = request.upgrade(SUBPROTOCOLS, move |conn| {
            // Boxed, since it is over soon, and the member stays.
            let arriving = Box::pin(arrive(conn, listener, socket));
            async move {
                let Some(member) = arriving.await? else { return Ok(()) };
                member.serve().await
            }
        });
        match response.status() {
            StatusCode::SWITCHING_PROTOCOLS => response,
            status => answer::no_websocket(response.headers_mut(), status).into(),
        }
    }

    /// Whoever asks, without a connection in the hub.
    fn session(&self, name: Option<UserName>) -> Result<Session, Failure> {
        let session = self.listener.hub.session(name.unwrap_or_else(UserName::http), Format::Json);
        session.map_err(|error| Failure::new(ErrorCode::NameTaken, error.to_string()))
    }

    /// Counts a publication.
    fn take(&self, peer: &PeerAddr) -> Result<(), Failure> {
        let (Some(publications), Some(address)) = (&self.publications, peer.ip()) else { return Ok(()) };
        let hash = self.hasher.hash_one(source(address.ip()));
        let taken = publications.lock().take(hash, self.listener.started.elapsed());
        if taken {
            Ok(())
        } else {
            Err(Failure::new(ErrorCode::RateLimited, "too many publications from this address"))
        }
    }
}

/// Gives a WebSocket its name and its room, or tells it why not.
async fn arrive(
    conn: Connection<WebSocket>,
    listener: Arc<Listener>,
    socket: Socket,
) -> Result<Option<Box<Member<WebSocket>>>> {
    let Socket { kind, name, since, format, echo } = socket;
    let options = MemberOptions {
        format: format.unwrap_or(listener.options.format),
        commands: listener.options.commands && matches!(kind, SocketKind::Grammar(_)),
        echo: echo.unwrap_or(listener.options.echo),
    };
    let mut member = Box::new(Member::enter(conn, Arc::clone(&listener), options));
    let named = name.map_or(Ok(()), |name| member.take_name(name));
    if let Err(failure) = named {
        member.refuse(&failure).await?;
        if !options.commands {
            // It would take part under another name than it wants.
            return Ok(turned_away(&member));
        }
    }
    let room = match &kind {
        SocketKind::Room(name) | SocketKind::Grammar(Some(name)) => member.room(name),
        SocketKind::Grammar(None) => Ok(listener.room.clone()),
    };
    let seated = match (room, &kind) {
        (Err(failure), _) => Err(failure),
        // Whoever gives no commands cannot ask where it is.
        (Ok(room), SocketKind::Room(_)) if member.session.format() != Format::Raw => {
            let (since, joined) = beginning(&room, since);
            member.reply(&joined).await?;
            member.sit(&room, Some(since))
        }
        (Ok(room), _) => member.sit(&room, since),
    };
    if let Err(failure) = seated {
        member.refuse(&failure).await?;
        if !options.commands {
            return Ok(turned_away(&member));
        }
    }
    Ok(Some(member))
}

/// Ends a WebSocket that does not get what it came for, in a way that does not look as if it had.
fn turned_away(member: &Member<WebSocket>) -> Option<Box<Member<WebSocket>>> {
    member.listener.hub.close(&member.session.name());
    None
}

fn rooms(session: &Session, after: Option<&RoomName>, limit: usize, account: &Account) -> Response {
    let RoomList { rooms, total, next, .. } = session.rooms(after, limit);
    let next = next.map(|last| format!("/rooms?after={last}&limit={limit}"));
    listed(paged(&Reply::Rooms { rooms, total }, next), account)
}

fn members(
    session: &Session,
    name: &RoomName,
    skip: usize,
    limit: usize,
    account: &Account,
) -> Result<Response, Failure> {
    let room = find(session, name)?;
    let members = session.members(&room, skip, limit).map_err(refused)?;
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
#[path = "../../../../fuzz/bodies/seeds.rs"]
mod seeds;
#[cfg(test)]
mod served;
#[cfg(test)]
mod tests;
