//! A request: its head, who sent it, and its body within a limit and a time.

use super::exchange::{Exchange, Underway};
use super::response::Response;
use crate::hub::policy::Claimant;
use crate::link::{ConnectionId, PeerAddr, TlsInfo, UnixUser};
use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, Method, StatusCode, Uri, Version};
use hyper::body::{Body as _, Incoming};
use hyper::upgrade::OnUpgrade;
use std::fmt;
use std::future::{Future, pending, poll_fn};
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker, ready};
use tokio::task::yield_now;
use tokio::time::{Sleep, sleep, sleep_until};

/// Bytes of an unwanted body that are read and discarded. A client that sends more is not waited for.
const UNWANTED_BYTES: usize = 1 << 20;

/// How often the event loop is polled once the time for a body is over: it reports up to 1,024 sockets each time.
const LOOKS: usize = 16;

/// A request. Its head is complete; its body may still be arriving.
pub struct Request {
    /// Boxed: whoever answers moves the request from future to future, and each of them would have room for a head.
    pub(super) head: Box<Parts>,
    /// Until it has been received, or the request is dropped.
    pub(super) body: Option<Incoming>,
    pub(super) underway: Arc<Underway>,
    /// Where it asks for a WebSocket over HTTP/2, what its stream becomes.
    pub(super) tunnel: Option<OnUpgrade>,
}

impl Request {
    /// Method, URI, version and headers.
    pub fn head(&self) -> &Parts {
        &self.head
    }

    /// The method. `GET` for a WebSocket, even where HTTP/2 says `CONNECT`.
    pub fn method(&self) -> &Method {
        &self.head.method
    }

    /// The target as the client wrote it, usually a path and a query.
    pub fn uri(&self) -> &Uri {
        &self.head.uri
    }

    /// The headers: at most 100, and 16 KiB in total.
    pub fn headers(&self) -> &HeaderMap {
        &self.head.headers
    }

    /// The client's address; behind proxies, the one that it was [forwarded for](Self::forwarded_for).
    pub fn peer(&self) -> &PeerAddr {
        self.underway.client()
    }

    /// Takes the request for one of whoever is at `client`, as proxies in front of the server say
    /// ([`ForwardedBy`](crate::ForwardedBy)); the first call counts. Only the caller knows whether they are to be believed.
    ///
    /// A WebSocket or a stream that the connection becomes is then `client`'s, and is limited as others from that address: if
    /// it has too many, the answer is 429. The listener should leave the proxies' own connections uncounted
    /// ([`Transport::forwarded_from`](crate::Transport::forwarded_from)).
    pub fn forwarded_for(&mut self, client: IpAddr) {
        self.underway.forwarded_for(client);
    }

    /// What a [`Policy`](crate::policy::Policy) may want to know of whoever sends it.
    pub fn claimant(&self) -> Claimant {
        self.underway.claimant()
    }

    /// The number of the connection that it came on.
    pub fn id(&self) -> ConnectionId {
        self.underway.exchange.link.id
    }

    /// Whether it came over TLS.
    pub fn is_secure(&self) -> bool {
        self.underway.exchange.link.listener.is_secure
    }

    /// Who the client is and what was negotiated, if it came over TLS.
    pub fn tls(&self) -> Option<TlsInfo> {
        self.underway.exchange.link.tls()
    }

    /// The user whose process asks, if it came over a Unix socket.
    pub fn unix_user(&self) -> Option<UnixUser> {
        self.underway.exchange.link.unix_user()
    }

    /// Receives the body; empty if there is none.
    ///
    /// Waits until at most [`Timeouts::handshake`](crate::Timeouts::handshake) after the first byte of the head.
    ///
    /// # Errors
    /// The body is longer than `limit` bytes, too slow, or broken. The connection ends after the answer;
    /// [`Response::from`] turns a [`BodyError`] into one.
    ///
    /// # Cancel safety
    /// Not safe: what has arrived is lost.
    pub async fn body(&mut self, limit: usize) -> Result<Bytes, BodyError> {
        let came = AtomicUsize::new(0);
        let body = tokio::select! {
            biased;
            body = receive(self.body.as_mut(), limit, &self.underway, &came) => body,
            () = late(&self.underway, &came) => Err(BodyError::Slow),
        };
        if body.is_ok() {
            self.body = None;
        } else {
            self.underway.holding(0);
            self.underway.exchange.end_after_answer();
        }
        body
    }
}

/// Waits until the deadline has passed and no more of the body is there: a process that was held up, or moved to another machine,
/// finds what arrived in time in its socket. `came`: how much of the body has arrived.
async fn late(underway: &Underway, came: &AtomicUsize) {
    let Some(deadline) = underway.deadline() else { return pending().await };
    sleep_until(deadline).await;
    // Relaxed: it is the same task that receives.
    let (mut before, mut looks) = (came.load(Ordering::Relaxed), 0);
    while looks < LOOKS {
        // Over HTTP/2 this is one of many tasks, and only the connection's own is woken.
        underway.exchange.link.tick.budget.relieved().await;
        underway.exchange.look();
        yield_now().await;
        let now = came.load(Ordering::Relaxed);
        looks = if now == before { looks + 1 } else { 0 };
        before = now;
    }
}

async fn receive(
    incoming: Option<&mut Incoming>,
    limit: usize,
    underway: &Underway,
    came: &AtomicUsize,
) -> Result<Bytes, BodyError> {
    let Some(incoming) = incoming else { return Ok(Bytes::new()) };
    let hint = incoming.size_hint();
    if hint.lower() > limit as u64 {
        return Err(BodyError::TooLong);
    }
    // No more arrives than was announced, and no more is held than twice what has arrived: the rest may never come.
    let most = hint.exact().map_or(limit, |announced| announced as usize);
    let mut body = Vec::new();
    while let Some(frame) = poll_fn(|cx| Pin::new(&mut *incoming).poll_frame(cx)).await {
        // Trailers are ignored: nobody asked for any.
        let Ok(bytes) = frame.map_err(|_| BodyError::Broken)?.into_data() else { continue };
        underway.exchange.taken(bytes.len());
        let length = body.len() + bytes.len();
        if length > limit {
            return Err(BodyError::TooLong);
        }
        if length > body.capacity() {
            body.reserve_exact(length.max(most.min(2 * body.capacity())) - body.len());
            underway.holding(body.capacity());
        }
        body.extend_from_slice(&bytes);
        came.store(length, Ordering::Relaxed);
    }
    Ok(body.into())
}

impl Drop for Request {
    /// Over HTTP/2, what the client still sends is discarded while it is answered: a client whose stream is reset may take
    /// that for the answer, as curl 7.88 does. Over HTTP/1.1 it would be taken for the next request, so this answer is the last.
    fn drop(&mut self) {
        let Some(body) = self.body.take().filter(|body| !body.is_end_stream()) else { return };
        let exchange = Arc::clone(&self.underway.exchange);
        if self.head.version < Version::HTTP_2 {
            return exchange.end_after_answer();
        }
        let end = Box::pin(sleep(exchange.link.listener.timeouts.linger));
        self.underway.leave_unread(Unread { body, left: UNWANTED_BYTES, end, exchange });
    }
}

/// The rest of a body that nobody wants.
pub(super) struct Unread {
    body: Incoming,
    left: usize,
    end: Pin<Box<Sleep>>,
    exchange: Arc<Exchange>,
}

impl Unread {
    /// Waits until the client has sent it, but only for a moment.
    pub(super) fn poll_over(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while self.left > 0 {
            if self.poll_pass(cx).is_pending() {
                return self.end.as_mut().poll(cx);
            }
        }
        Poll::Ready(())
    }

    /// Discards what comes next.
    fn poll_pass(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Some(Ok(frame)) = ready!(Pin::new(&mut self.body).poll_frame(cx)) {
            let bytes = frame.data_ref().map_or(0, Bytes::len);
            self.exchange.taken(bytes);
            self.left = self.left.saturating_sub(bytes);
        } else {
            self.left = 0;
        }
        Poll::Ready(())
    }
}

impl Drop for Unread {
    /// hyper discards what has arrived by now, at most a window.
    fn drop(&mut self) {
        let mut cx = Context::from_waker(Waker::noop());
        while self.left > 0 && self.poll_pass(&mut cx).is_ready() {}
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Parts { method, uri, .. } = &*self.head;
        f.debug_struct("Request").field("method", method).field("uri", uri).finish_non_exhaustive()
    }
}

/// Why a body was not received.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BodyError {
    /// It is longer than the limit.
    #[error("body is too long")]
    TooLong,
    /// It did not arrive in time.
    #[error("body took too long")]
    Slow,
    /// Its framing breaks the rules of HTTP, or the client left.
    #[error("body is broken")]
    Broken,
}

impl BodyError {
    /// The status that says so.
    pub fn status(self) -> StatusCode {
        match self {
            Self::TooLong => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Slow => StatusCode::REQUEST_TIMEOUT,
            Self::Broken => StatusCode::BAD_REQUEST,
        }
    }
}

impl From<BodyError> for Response {
    fn from(error: BodyError) -> Self {
        Self::plain(error.status(), &error.to_string())
    }
}
