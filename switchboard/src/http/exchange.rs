//! What the parts of one HTTP connection share: how far it is with its requests, and what comes after them.

mod held;
mod underway;

pub(super) use underway::{Underway, Unfinished};

use held::Held;

use super::body::Body;
use super::heads::Heads;
use super::response::{Response, ResponseKind};
use super::tunnel;
use super::{Begin, Handling, Site};
use crate::connection::serve_beside;
use crate::link::{Envelope, Link, Protocol, Source};
use crate::transport::Stream as _;
use crate::transport::memory::End;
use bytes::{Bytes, BytesMut};
use http::header::{
    CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue, RETRY_AFTER, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_PROTOCOL,
    TRANSFER_ENCODING, UPGRADE,
};
use http::{StatusCode, Version};
use hyper::upgrade::OnUpgrade;
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll, Waker};
use switchboard_proto::CloseReason;
use tokio::time::Instant;

/// Bytes of a streamed answer of HTTP/2 that hyper has not taken yet; the stream's own outbox comes before them.
const PIPE_BYTES: usize = 16 << 10;

/// Bytes of pages that the answers of one connection hold. At this many, none of them makes another page: so a hundred
/// requests for long answers cost no more than their client reads.
const PAGED_BYTES: usize = 64 << 10;

/// Requests that one connection may have answered before others have their turn: the rest lies in hyper's buffer, which may hold 250,
/// and costs nothing there.
const TURN_REQUESTS: u8 = 4;

pub(super) struct Exchange {
    pub(super) link: Arc<Link>,
    pub(super) site: Arc<Site>,
    /// Requests that were begun in this turn.
    turn: AtomicU8,
    state: Mutex<State>,
}

struct State {
    stage: Stage,
    /// When the first byte of the current request came.
    began: Instant,
    heads: Heads,
    /// The number of the request that gives two lengths.
    doubtful: Option<u32>,
    /// Requests that have begun.
    asked: u32,
    /// Those of HTTP/2 that the service has not answered yet.
    unanswered: u32,
    /// The next read asks the kernel itself, whatever the event loop has reported.
    looks: bool,
    /// Nothing more is read after the current answer.
    is_last: bool,
    /// hyper has something to write that is not in the outbox.
    is_writing: bool,
    /// What the connection becomes once what hyper writes has left.
    next: Option<Next>,
    /// Requests under way.
    open: usize,
    held: Held,
    /// Bytes of pages that their answers hold, and which answers wait until there are fewer.
    paged: usize,
    paging: Vec<Waker>,
    /// The request that came last, whose task hyper is about to start.
    latest: Option<Arc<Underway>>,
}

/// What decides how a request is answered.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked {
    pub(super) version: Version,
    /// For the headers alone.
    pub(super) for_head: bool,
}

/// What follows the last request.
pub(super) enum Next {
    WebSocket(Begin),
    /// hyper has written the head of the answer; the body is the handler's.
    Stream(Begin, Envelope),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// No byte of a request has arrived.
    Waiting,
    /// Part of its head has.
    Head,
    /// The service has it, or is answering.
    Unfinished,
    /// hyper has all of the answer, and not all of that has left.
    Answered,
    /// HTTP/2: requests come and go beside each other.
    Streams,
}

impl Exchange {
    pub(super) fn new(link: Arc<Link>, site: Arc<Site>) -> Arc<Self> {
        let state = State {
            stage: Stage::Waiting,
            began: Instant::now(),
            heads: Heads::default(),
            doubtful: None,
            asked: 0,
            unanswered: 0,
            looks: false,
            is_last: false,
            is_writing: false,
            next: None,
            open: 0,
            held: Held::default(),
            paged: 0,
            paging: Vec::new(),
            latest: None,
        };
        Arc::new(Self { link, site, turn: AtomicU8::new(0), state: Mutex::new(state) })
    }

    /// hyper is polled.
    pub(super) fn begin_turn(&self) {
        // Relaxed: one task polls it.
        self.turn.store(0, Ordering::Relaxed);
    }

    /// One more request was begun. Says whether it waits for the next turn.
    pub(super) fn rests(&self) -> bool {
        let begun = self.turn.load(Ordering::Relaxed).saturating_add(1);
        self.turn.store(begun, Ordering::Relaxed);
        begun > TURN_REQUESTS && !self.is_multiplexed()
    }

    /// From now on HTTP/2 is spoken.
    pub(super) fn multiplex(&self) {
        self.state.lock().stage = Stage::Streams;
    }

    /// Whether no request is whole.
    pub(super) fn is_waiting(&self) -> bool {
        matches!(self.state.lock().stage, Stage::Waiting | Stage::Head)
    }

    /// Whether no byte of a request has arrived, and nothing follows the last one.
    pub(super) fn is_idle(&self) -> bool {
        let state = self.state.lock();
        state.stage == Stage::Waiting && state.next.is_none() && !state.is_last
    }

    /// This many bytes of the next request arrived together with the one before it: its time begins now.
    pub(super) fn begun(&self, bytes: usize) {
        let mut state = self.state.lock();
        if state.stage == Stage::Waiting {
            let before = state.held_bytes();
            (state.stage, state.began) = (Stage::Head, Instant::now());
            state.add_partial(bytes);
            self.count(&state, before);
            self.link.opening();
        }
    }

    pub(super) fn is_reading_head(&self) -> bool {
        self.state.lock().stage == Stage::Head
    }

    /// Whether the service is answering the only request, or one of several at once.
    pub(super) fn is_answering(&self) -> bool {
        let state = self.state.lock();
        state.stage == Stage::Unfinished || state.unanswered > 0
    }

    /// How many HTTP/2 requests have begun.
    pub(super) fn streams(&self) -> Option<u32> {
        let state = self.state.lock();
        (state.stage == Stage::Streams).then_some(state.asked)
    }

    /// Whether only the client can keep the current answer from finishing.
    pub(super) fn is_answered(&self) -> bool {
        self.state.lock().stage == Stage::Answered
    }

    pub(super) fn is_multiplexed(&self) -> bool {
        self.state.lock().stage == Stage::Streams
    }

    /// Whether the client owes nothing, and is owed nothing.
    pub(super) fn is_between(&self) -> bool {
        let state = self.state.lock();
        state.open == 0 && state.stage != Stage::Head
    }

    /// How many requests are under way.
    pub(super) fn open(&self) -> usize {
        self.state.lock().open
    }

    /// Bytes have arrived. The first ones of a request start its deadline.
    pub(super) fn received(&self, bytes: &[u8]) {
        let mut state = self.state.lock();
        if state.stage == Stage::Streams {
            // Not every frame is a request: a client that only acknowledges is idle.
            return self.link.heard(bytes.len());
        }
        self.link.received(bytes.len());
        let before = state.held_bytes();
        let doubtful = state.heads.read(bytes);
        state.doubtful = state.doubtful.or(doubtful);
        if state.stage == Stage::Waiting {
            (state.stage, state.began) = (Stage::Head, Instant::now());
            self.link.opening();
        }
        if state.stage == Stage::Head {
            state.add_partial(bytes.len());
            self.count(&state, before);
        }
    }

    /// The head is whole; whoever waits for the rest keeps its deadline.
    pub(super) fn begin(self: &Arc<Self>) -> Unfinished {
        let mut state = self.state.lock();
        let before = state.held_bytes();
        if state.stage != Stage::Head {
            // It arrived together with the one before it, or next to others.
            state.began = Instant::now();
        }
        if state.stage != Stage::Streams {
            state.stage = Stage::Unfinished;
        }
        state.end_partial();
        state.heads.forget_origin();
        state.open += 1;
        if state.stage == Stage::Streams {
            state.begin_stream();
        }
        self.count(&state, before);
        state.asked = state.asked.saturating_add(1);
        state.unanswered += u32::from(state.stage == Stage::Streams);
        let underway = Underway::new(self, state.began);
        state.latest = Some(Arc::clone(&underway)).filter(|_| state.stage == Stage::Streams);
        drop(state);
        self.link.opened();
        self.link.handling(1);
        Unfinished(underway)
    }

    /// Whether the latest request gives the length of its body in two ways, of which hyper reports one.
    pub(super) fn is_doubtful(&self) -> bool {
        let state = self.state.lock();
        state.stage != Stage::Streams && state.doubtful == Some(state.asked)
    }

    /// The `Origin` of a request that hyper has not begun.
    pub(super) fn origin(&self) -> Option<HeaderValue> {
        HeaderValue::from_bytes(self.state.lock().heads.origin()?).ok()
    }

    /// Makes the next read that would wait ask the kernel itself: a deadline has passed.
    pub(super) fn look(&self) {
        self.state.lock().looks = true;
    }

    pub(super) fn takes_look(&self) -> bool {
        std::mem::take(&mut self.state.lock().looks)
    }

    /// The request whose task is about to be started.
    pub(super) fn latest(&self) -> Option<Arc<Underway>> {
        self.state.lock().latest.clone()
    }

    pub(super) fn forget_latest(&self) {
        self.state.lock().latest = None;
    }

    /// Reads nothing after the current answer: nobody knows where the next request begins, except over HTTP/2.
    pub(super) fn end_after_answer(&self) {
        let mut state = self.state.lock();
        state.is_last = state.stage != Stage::Streams;
    }

    fn is_last(&self) -> bool {
        let state = self.state.lock();
        state.is_last || (self.link.is_draining() && state.stage != Stage::Streams && state.next.is_none())
    }

    /// Takes what the service has answered, as hyper sends it.
    pub(super) fn answer(&self, response: Response, asked: Asked, answering: Unfinished) -> http::Response<Body> {
        answering.answered(&mut self.state.lock());
        let kind = if asked.for_head { response.0 } else { self.for_client(response.0, asked.version, &answering) };
        let mut sent = match kind {
            ResponseKind::Whole(mut response) => {
                if asked.for_head {
                    // Over HTTP/2 hyper sends whatever body there is.
                    let length = std::mem::take(response.body_mut()).len();
                    if length > 0 {
                        response.headers_mut().entry(CONTENT_LENGTH).or_insert(length.into());
                    }
                }
                answering.holding(response.body().len());
                response.map(|bytes| Body::whole(bytes, answering))
            }
            ResponseKind::Upgrade(head, ..) | ResponseKind::Stream(head, _) if self.link.is_draining() => {
                full(head, CloseReason::Drained).map(|()| Body::whole(Bytes::new(), answering))
            }
            ResponseKind::Pages(head, _) | ResponseKind::Stream(head, _) if asked.for_head => {
                head.map(|()| Body::whole(Bytes::new(), answering))
            }
            ResponseKind::Pages(mut head, pages) => {
                head.headers_mut().remove(CONTENT_LENGTH);
                head.headers_mut().remove(TRANSFER_ENCODING);
                head.map(|()| Body::paged(pages, answering))
            }
            ResponseKind::Upgrade(head, begin, Some(tunnel)) => self.tunnel(head, begin, tunnel, answering),
            ResponseKind::Stream(head, begin) if asked.version == Version::HTTP_2 => self.pipe(head, begin, answering),
            ResponseKind::Upgrade(head, begin, None) => {
                self.become_next(Next::WebSocket(begin));
                head.map(|()| Body::whole(Bytes::new(), answering))
            }
            ResponseKind::Stream(mut head, begin) => {
                self.end_after_answer();
                // hyper frames it like a body of unknown length, and so does what follows hyper.
                let envelope = if asked.version == Version::HTTP_11 { Envelope::Chunks } else { Envelope::Bare };
                head.headers_mut().remove(CONTENT_LENGTH);
                head.headers_mut().remove(TRANSFER_ENCODING);
                head.map(|()| Body::stream(Next::Stream(begin, envelope), answering))
            }
        };
        if self.is_last() {
            let is_upgrade = sent.headers().get(CONNECTION).is_some_and(|value| value == "Upgrade");
            let close = HeaderValue::from_static(if is_upgrade { "Upgrade, close" } else { "close" });
            sent.headers_mut().insert(CONNECTION, close);
        }
        sent
    }

    /// A connection that goes on as a WebSocket or a stream is its client's, of whom there may be too many.
    fn for_client(&self, kind: ResponseKind, version: Version, answering: &Underway) -> ResponseKind {
        let becomes = matches!(kind, ResponseKind::Upgrade(_, _, None) | ResponseKind::Stream(..));
        if !becomes || version >= Version::HTTP_2 || self.link.is_draining() {
            return kind;
        }
        match (answering.hand_to_client(), kind) {
            (Err(reason), ResponseKind::Upgrade(head, ..) | ResponseKind::Stream(head, _)) => {
                ResponseKind::Whole(full(head, reason).map(|()| Bytes::new()))
            }
            (_, kind) => kind,
        }
    }

    /// A WebSocket within a connection of HTTP/2 (RFC 8441): a connection of its own, whose stream this is.
    fn tunnel(
        &self,
        mut head: http::Response<()>,
        begin: Begin,
        tunnel: OnUpgrade,
        answering: Unfinished,
    ) -> http::Response<Body> {
        let origin = answering.origin();
        match serve_beside(
            &self.link,
            &self.site.node,
            origin,
            tunnel::sides(tunnel, answering),
            Protocol::WebSocket,
            bare(begin),
        ) {
            Ok(()) => {
                *head.status_mut() = StatusCode::OK;
                head.map(|()| Body::empty())
            }
            Err(reason) => full(head, reason).map(|()| Body::empty()),
        }
    }

    /// An answer that is streamed within a connection of HTTP/2: a connection of its own, whose frames are the body.
    fn pipe(&self, mut head: http::Response<()>, begin: Begin, answering: Unfinished) -> http::Response<Body> {
        let (here, there) = End::pair(PIPE_BYTES);
        head.headers_mut().remove(CONTENT_LENGTH);
        match serve_beside(
            &self.link,
            &self.site.node,
            answering.origin(),
            there.split(),
            Protocol::Stream,
            bare(begin),
        ) {
            Ok(()) => head.map(|()| Body::piped(here, answering)),
            Err(reason) => full(head, reason).map(|()| Body::whole(Bytes::new(), answering)),
        }
    }

    /// Continues with `next` once everything that hyper has written has left.
    fn become_next(&self, next: Next) {
        let mut state = self.state.lock();
        (state.next, state.is_writing) = (Some(next), true);
    }

    /// All that hyper has written is in the outbox.
    pub(super) fn flushed(&self) {
        let mut state = self.state.lock();
        state.is_writing = false;
        if state.stage == Stage::Answered {
            let before = state.held_bytes();
            (state.stage, state.open) = (Stage::Waiting, 0);
            state.end_requests();
            self.count(&state, before);
            // hyper may have looked for the next request already, and then does not look again until it arrives.
            self.link.idle();
        }
    }

    /// What comes next, if it is time for it.
    pub(super) fn take_next(&self) -> Option<Next> {
        let mut state = self.state.lock();
        if state.is_writing { None } else { state.next.take() }
    }

    pub(super) fn has_next(&self) -> bool {
        self.state.lock().next.is_some()
    }

    /// Waits until one more page may be made.
    pub(super) fn poll_paging(&self, cx: &Context<'_>) -> Poll<()> {
        let mut state = self.state.lock();
        if state.paged < PAGED_BYTES {
            return Poll::Ready(());
        }
        if !state.paging.iter().any(|waker| waker.will_wake(cx.waker())) {
            state.paging.push(cx.waker().clone());
        }
        Poll::Pending
    }

    /// The pages that one answer holds have changed from `before` to `now` bytes.
    pub(super) fn paged(&self, before: usize, now: usize) {
        let mut state = self.state.lock();
        state.paged = (state.paged + now).saturating_sub(before);
        if state.paged < PAGED_BYTES {
            state.paging.drain(..).for_each(Waker::wake);
        }
    }
}

/// On a stream of its own, from which nothing has been read yet.
fn bare(begin: Begin) -> impl FnOnce(Arc<Link>, Box<dyn Source>) -> Handling {
    |link, source| begin(link, source, BytesMut::new(), Envelope::Bare)
}

/// In place of an answer that would be a connection, with what that says to browsers.
fn full(mut head: http::Response<()>, reason: CloseReason) -> http::Response<()> {
    *head.status_mut() = match reason {
        CloseReason::TooManyFromAddress => StatusCode::TOO_MANY_REQUESTS,
        _ => StatusCode::SERVICE_UNAVAILABLE,
    };
    for name in [CONTENT_TYPE, CONNECTION, UPGRADE, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_PROTOCOL] {
        head.headers_mut().remove(name);
    }
    head.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
    head
}
