//! HTTP/2 on a connection: hyper, the tasks of its streams, and what a client may ask of both.
//!
//! Each request has its own task. A WebSocket or a streamed answer is a connection beside this one, whose bytes go through
//! it. All of them end with it.

use super::Service;
use super::exchange::{Exchange, Underway};
use super::task::{HyperService, MOST_HEAD_BYTES, Speaking, Spoken};
use super::wire::Wire;
use crate::error::panic_text;
use crate::link::Link;
use crate::{BoxError, ConnectionError};
use http::header::{HOST, HeaderValue};
use http::{Method, Version};
use hyper::ext::Protocol;
use hyper::rt::Executor;
use hyper::server::conn::http2;
use hyper::upgrade::OnUpgrade;
use parking_lot::Mutex;
use pin_project_lite::pin_project;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};
use switchboard_proto::CloseReason;
use tokio::task::JoinSet;
use tokio::time::{Sleep, sleep};
use tracing::error;

/// What a client says first (RFC 9113 §3.4).
pub(super) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Requests at a time: as many as browsers and RFC 9113 §5.1.2 ask for.
const STREAMS: u32 = 100;

/// Bytes of a body, or of a WebSocket, that may arrive before anybody has asked for them. hyper holds them.
const STREAM_WINDOW: u32 = 64 << 10;

/// The same for all streams together. Also twice the total by which h2 lets waiting frames fall short of 256 bytes each before
/// it takes them for a flood: a WebSocket whose window is full of the smallest frames, six bytes with their masks, gets that far.
const CONNECTION_WINDOW: u32 = STREAM_WINDOW / 6 * (256 - 6) * 2;

/// Bytes of an answer that hyper takes before the client has made room.
const SEND_BYTES: usize = 64 << 10;

/// Requests that a client cancelled before they were looked at, or that were answered with a reset, before the connection
/// ends (CVE-2023-44487, RUSTSEC-2024-0003). h2's own defaults are 20 and 1,024.
const RESETS: usize = 20;
const ERROR_RESETS: usize = 100;

/// A clock that is this late has stood still.
const STOPPED: Duration = Duration::from_secs(1);

/// Serves requests on a connection whose client has sent the preface.
pub(super) fn serve<S: Service>(mut wire: Wire, service: HyperService<S>) -> Speaking {
    let exchange = Arc::clone(&service.exchange);
    wire.multiplex();
    let tasks = Tasks { shared: Arc::new((Arc::clone(&exchange), Mutex::default())), underway: None };
    let mut builder = http2::Builder::new(tasks.clone());
    builder
        .enable_connect_protocol()
        .max_concurrent_streams(STREAMS)
        .max_header_list_size(MOST_HEAD_BYTES as u32)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buf_size(SEND_BYTES)
        .max_pending_accept_reset_streams(RESETS)
        .max_local_error_reset_streams(ERROR_RESETS);
    if let Some(ping) = exchange.link.listener.timeouts.ping {
        builder.timer(Timer).keep_alive_interval(ping).keep_alive_timeout(ping);
    }
    let hyper = Box::pin(builder.serve_connection(wire, service));
    Box::pin(Streams { exchange, hyper, tasks, is_draining: false, end: None })
}

/// hyper, until the connection closes.
struct Streams<S: Service> {
    exchange: Arc<Exchange>,
    hyper: Pin<Box<http2::Connection<Wire, HyperService<S>, Tasks>>>,
    tasks: Tasks,
    is_draining: bool,
    /// The client has until then to confirm that it sends no more requests.
    end: Option<Pin<Box<Sleep>>>,
}

impl<S: Service> Future for Streams<S> {
    type Output = Spoken;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Spoken> {
        let this = &mut *self;
        let link = &this.exchange.link;
        if let Some(reason) = link.closing() {
            return Poll::Ready(Spoken::Closed(Err(ConnectionError::Closed(reason).into())));
        }
        if link.is_draining() && !this.is_draining {
            this.is_draining = true;
            this.hyper.as_mut().graceful_shutdown();
        }
        this.tasks.poll_ended(cx);
        if let Poll::Ready(result) = this.hyper.as_mut().poll(cx) {
            return Poll::Ready(Spoken::Closed(result.or_else(|error| judged(link, error))));
        }
        this.exchange.settle();
        if this.is_draining && this.exchange.open() == 0 {
            let linger = link.listener.timeouts.linger;
            let end = this.end.get_or_insert_with(|| Box::pin(sleep(linger)));
            ready!(end.as_mut().poll(cx));
            return Poll::Ready(Spoken::Closed(Ok(())));
        }
        Poll::Pending
    }
}

impl<S: Service> Drop for Streams<S> {
    fn drop(&mut self) {
        self.tasks.shared.1.lock().abort_all();
    }
}

/// Makes an HTTP/2 request look like one of HTTP/1.1: with a `Host`, a path, and an upgrade for a WebSocket. Then its
/// stream becomes what is returned.
pub(super) fn as_http_1<B>(request: &mut http::Request<B>) -> Option<OnUpgrade> {
    if request.version() != Version::HTTP_2 {
        return None;
    }
    if let Some(authority) = request.uri().authority()
        && let Ok(host) = HeaderValue::from_str(authority.as_str())
        && request.headers().get(HOST) != Some(&host)
    {
        // A second one is a fault, as in HTTP/1.1.
        request.headers_mut().append(HOST, host);
    }
    if let Some(path) = request.uri().path_and_query() {
        *request.uri_mut() = path.clone().into();
    }
    let is_websocket = request.extensions().get::<Protocol>().is_some_and(|protocol| protocol.as_str() == "websocket");
    (*request.method() == Method::CONNECT && is_websocket).then(|| {
        *request.method_mut() = Method::GET;
        hyper::upgrade::on(request)
    })
}

/// What an error of hyper's says about the client.
fn judged(link: &Link, error: hyper::Error) -> Result<(), BoxError> {
    if let Some(reason) = link.closing() {
        return Err(ConnectionError::Closed(reason).into());
    }
    link.note(if error.is_timeout() { CloseReason::PeerLost } else { CloseReason::BadFrame });
    Ok(())
}

/// The tasks of a connection's streams.
struct Tasks {
    shared: Arc<(Arc<Exchange>, Mutex<JoinSet<()>>)>,
    /// In the clone that a stream has: whose they are.
    underway: Option<Arc<Underway>>,
}

/// hyper clones it for each stream, after it has given the request to the service and before it starts the task.
impl Clone for Tasks {
    fn clone(&self) -> Self {
        let underway = self.underway.clone().or_else(|| self.shared.0.latest());
        Self { shared: Arc::clone(&self.shared), underway }
    }
}

impl Tasks {
    fn poll_ended(&self, cx: &mut Context<'_>) {
        let (exchange, tasks) = &*self.shared;
        while let Poll::Ready(Some(ended)) = tasks.lock().poll_join_next(cx) {
            if let Err(error) = ended
                && let Ok(panic) = error.try_into_panic()
            {
                let (link, error) = (&exchange.link, panic_text(&*panic));
                error!(conn.id = link.id.0, peer.addr = %link.client(), error, "request handler panicked");
            }
        }
    }
}

impl<T: Future<Output = ()> + Send + 'static> Executor<T> for Tasks {
    fn execute(&self, stream: T) {
        let (exchange, tasks) = &*self.shared;
        let underway = self.underway.clone().or_else(|| exchange.latest());
        exchange.forget_latest();
        let Some(underway) = underway else { unreachable!("a request was begun before its task") };
        let write = exchange.link.listener.timeouts.write;
        let task = Task { stream, underway: Arc::clone(&underway), write, pieces: 0, end: None };
        underway.written_by(tasks.lock().spawn(task), size_of::<Task<T>>());
    }
}

pin_project! {
    /// hyper's task of a stream, for as long as the client goes on reading.
    struct Task<T> {
        #[pin]
        stream: T,
        underway: Arc<Underway>,
        write: Option<Duration>,
        // How many the client had made room for when `end` was set.
        pieces: usize,
        end: Option<Pin<Box<Sleep>>>,
    }
}

impl<T: Future<Output = ()>> Future for Task<T> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.project();
        if this.stream.poll(cx).is_ready() {
            return Poll::Ready(());
        }
        let (Some(pieces), Some(write)) = (this.underway.owed(), *this.write) else {
            *this.end = None;
            return Poll::Pending;
        };
        if *this.pieces != pieces {
            (*this.pieces, *this.end) = (pieces, None);
        }
        poll_awake(this.end.get_or_insert_with(|| Box::pin(sleep(write))), cx)
    }
}

/// Waits; a little longer if the end comes so late that this process must have been stopped, or moved to another machine: what
/// arrived in time is still in the socket, and is read first.
fn poll_awake(sleep: &mut Pin<Box<Sleep>>, cx: &mut Context<'_>) -> Poll<()> {
    loop {
        ready!(sleep.as_mut().poll(cx));
        let now = tokio::time::Instant::now();
        if now - sleep.deadline() < STOPPED {
            return Poll::Ready(());
        }
        sleep.as_mut().reset(now + STOPPED);
    }
}

/// tokio's clock, for hyper.
#[derive(Clone, Copy)]
struct Timer;

impl hyper::rt::Timer for Timer {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn hyper::rt::Sleep>> {
        Box::pin(Slept(Box::pin(sleep(duration))))
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn hyper::rt::Sleep>> {
        Box::pin(Slept(Box::pin(tokio::time::sleep_until(deadline.into()))))
    }

    fn now(&self) -> Instant {
        tokio::time::Instant::now().into_std()
    }
}

struct Slept(Pin<Box<Sleep>>);

impl Future for Slept {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        poll_awake(&mut self.0, cx)
    }
}

impl hyper::rt::Sleep for Slept {}
