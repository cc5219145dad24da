//! What runs on an HTTP connection: hyper, and then perhaps the handler of a WebSocket or a stream.

use super::body::Body;
use super::exchange::{Asked, Exchange, Next, Unfinished};
use super::http2;
use super::request::Request;
use super::response::Response;
use super::stream::Deaf;
use super::wire::Wire;
use super::{Handling, Service, Site};
use crate::link::{Envelope, Link, Protocol, Source};
use crate::{BoxError, ConnectionError};
use bytes::BytesMut;
use http::header::{HOST, TRANSFER_ENCODING};
use http::request::Parts;
use http::{Method, StatusCode, Version};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use pin_project_lite::pin_project;
use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use switchboard_proto::{CloseReason, FrameError};

/// The headers of a request: two or three times what browsers send.
const HEAD_BYTES: usize = 16 << 10;

/// How long a head hyper takes: one that is a little too long still gets an answer that tells browsers why.
pub(super) const MOST_HEAD_BYTES: usize = HEAD_BYTES + (8 << 10);

/// Where hyper reads to at first.
const READ_ROOM: usize = 8 << 10;

/// As many as hyper takes over HTTP/1.1 by itself, which is not told: it would make its list of them anew, 1,700 instructions for a request.
const HEADERS: usize = 100;

/// What a request costs beside its head, its body and its service, with hyper.
const REQUEST_BYTES: usize = 2 << 10;

/// The same of one of HTTP/2, with h2 and beside its task.
const STREAM_BYTES: usize = 4 << 10;

/// Serves requests on a connection.
pub(crate) fn serve<S: Service>(
    link: Arc<Link>,
    source: Box<dyn Source>,
    service: &Arc<S>,
    site: &Arc<Site>,
) -> HttpTask {
    link.speaks(Protocol::Http);
    // A client that connects has something to say.
    link.opening();
    let exchange = Exchange::new(link, Arc::clone(site));
    let wire = Wire::new(Arc::clone(&exchange), source);
    let service = HyperService { service: Arc::clone(service), exchange: Arc::clone(&exchange) };
    HttpTask::Requests(Box::pin(Greeting { spoken: Some((wire, service)), preface: http2::PREFACE }))
}

/// The first bytes of a request. Those of the first request say whether the client speaks HTTP/2, even if TLS has already agreed
/// on it. Until they arrive nothing is kept for hyper, whose buffer alone is six times the size of a connection.
struct Greeting<S> {
    spoken: Option<(Wire, HyperService<S>)>,
    /// What HTTP/2 begins with; nothing where HTTP/1.1 was spoken before.
    preface: &'static [u8],
}

impl<S: Service> Future for Greeting<S> {
    type Output = Spoken;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Spoken> {
        let preface = self.preface;
        let Some((wire, service)) = &mut self.spoken else { unreachable!("polled until it is ready") };
        if let Some(reason) = service.exchange.link.closing() {
            return Poll::Ready(Spoken::Closed(Err(ConnectionError::Closed(reason).into())));
        }
        let begins = match ready!(wire.poll_begins(cx, preface)) {
            Ok(begins) => begins,
            Err(error) => return Poll::Ready(Spoken::Closed(Err(error.into()))),
        };
        let Some((wire, service)) = self.spoken.take() else { unreachable!("looked at above") };
        Poll::Ready(Spoken::Began(if begins { http2::serve(wire, service) } else { requests(wire, service) }))
    }
}

fn requests<S: Service>(wire: Wire, service: HyperService<S>) -> Speaking {
    let exchange = Arc::clone(&service.exchange);
    let mut builder = http1::Builder::new();
    // Deadlines are ours.
    builder.header_read_timeout(None).max_buf_size(MOST_HEAD_BYTES);
    let hyper = builder.serve_connection(wire, service);
    exchange.reads_into(READ_ROOM);
    Box::pin(Requests { exchange, hyper: Some(hyper), is_draining: false })
}

/// hyper, by the protocol that it speaks.
pub(super) type Speaking = Pin<Box<dyn Future<Output = Spoken> + Send>>;

/// The future of an HTTP connection. What it waits for is boxed, so that a WebSocket reserves no space for hyper.
pub(crate) enum HttpTask {
    Requests(Speaking),
    /// Of a WebSocket or a streamed answer.
    Handler(Handling),
}

impl Future for HttpTask {
    type Output = Result<(), BoxError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        loop {
            match &mut *self {
                Self::Handler(handling) => return handling.as_mut().poll(cx),
                Self::Requests(requests) => match ready!(requests.as_mut().poll(cx)) {
                    Spoken::Closed(result) => return Poll::Ready(result),
                    Spoken::Began(speaking) => *requests = speaking,
                    Spoken::Upgraded(handling) => *self = Self::Handler(handling),
                },
            }
        }
    }
}

/// How the last request ended.
pub(crate) enum Spoken {
    Closed(Result<(), BoxError>),
    Upgraded(Handling),
    /// It continues as this: with another request, or with none any more.
    Began(Speaking),
}

/// Runs hyper until the connection closes or continues without it.
struct Requests<S: Service> {
    exchange: Arc<Exchange>,
    hyper: Option<http1::Connection<Wire, HyperService<S>>>,
    is_draining: bool,
}

impl<S: Service> Future for Requests<S> {
    type Output = Spoken;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Spoken> {
        let this = &mut *self;
        let Some(hyper) = &mut this.hyper else { unreachable!("polled until it is ready") };
        let link = &this.exchange.link;
        if let Some(reason) = link.closing() {
            return Poll::Ready(Spoken::Closed(Err(ConnectionError::Closed(reason).into())));
        }
        this.exchange.begin_turn();
        // It is ready before a WebSocket's handshake has left; polled again, it writes that first.
        let mut polled = Pin::new(&mut *hyper).poll(cx);
        if polled.is_pending() && link.is_draining() && !this.is_draining {
            // Only now: a request that is still in the socket was sent in time.
            this.is_draining = true;
            Pin::new(&mut *hyper).graceful_shutdown();
            polled = Pin::new(&mut *hyper).poll(cx);
        }
        if let Poll::Ready(Ok(())) = polled
            && this.exchange.has_next()
        {
            polled = Pin::new(&mut *hyper).poll(cx);
        }
        if let Poll::Ready(Err(error)) = polled {
            return Poll::Ready(Spoken::Closed(judged(link, error)));
        }
        let Some(next) = this.exchange.take_next() else {
            if polled.is_pending() && this.exchange.is_idle() {
                return Poll::Ready(Spoken::Began(this.rest()));
            }
            return polled.map(|_| Spoken::Closed(Ok(())));
        };
        let parts = this.hyper.take().map(http1::Connection::into_parts);
        let Some((source, input)) = parts.and_then(|parts| parts.io.into_source(&parts.read_buf)) else {
            unreachable!("the source leaves only here")
        };
        let link = Arc::clone(&this.exchange.link);
        Poll::Ready(Spoken::Upgraded(match next {
            Next::WebSocket(begin) => {
                link.speaks(Protocol::WebSocket);
                begin(link, source, input, Envelope::Bare)
            }
            Next::Stream(begin, envelope) => {
                link.speaks(Protocol::Stream);
                begin(link, Box::new(Deaf(source)), BytesMut::new(), envelope)
            }
        }))
    }
}

impl<S: Service> Requests<S> {
    /// Drops hyper until the next request begins, of which it may have read something.
    fn rest(&mut self) -> Speaking {
        let Some(hyper) = self.hyper.take() else { unreachable!("it was polled") };
        let http1::Parts { mut io, read_buf, service, .. } = hyper.into_parts();
        io.put_back(&read_buf);
        Box::pin(Greeting { spoken: Some((io, service)), preface: b"" })
    }
}

/// What an error from hyper says about the client: usually the client's fault, and hyper has answered it.
fn judged(link: &Link, error: hyper::Error) -> Result<(), BoxError> {
    if error.is_parse_too_large() {
        link.note(CloseReason::FrameTooLong);
    } else if error.is_parse() {
        link.note(CloseReason::BadFrame);
        return Err(ConnectionError::Frame(FrameError::Malformed(fault(&error))).into());
    } else if error.is_incomplete_message() && !link.is_draining() {
        // It left before it was answered.
        link.note(CloseReason::PeerClosed);
    } else if let Some(reason) = link.closing() {
        return Err(ConnectionError::Closed(reason).into());
    } else if !link.is_draining() {
        return Err(error.into());
    }
    Ok(())
}

/// What hyper says is wrong, in words that contain nothing from the peer.
fn fault(error: &hyper::Error) -> &'static str {
    const FAULTS: [&str; 6] = ["method", "URI", "version", "header", "status", "size"];
    let text = error.to_string();
    let found = FAULTS.iter().position(|fault| text.contains(fault));
    found.map_or("no request", |place| {
        ["its method", "what it asks for", "its version", "a header", "its status", "its size"][place]
    })
}

/// A service, as hyper calls one.
pub(super) struct HyperService<S> {
    service: Arc<S>,
    pub(super) exchange: Arc<Exchange>,
}

impl<S: Service> hyper::service::Service<http::Request<Incoming>> for HyperService<S> {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn call(&self, mut request: http::Request<Incoming>) -> Self::Future {
        let (exchange, answering) = (Arc::clone(&self.exchange), self.exchange.begin());
        let tunnel = http2::as_http_1(&mut request);
        let (head, body) = request.into_parts();
        let asked = Asked { version: head.version, for_head: head.method == Method::HEAD };
        if exchange.link.taking().is_some() || (exchange.link.is_unheard() && head.method.is_safe()) {
            // It wanted only an answer, which would be discarded.
            let unheard = Response::plain(StatusCode::SERVICE_UNAVAILABLE, "nobody hears the answer");
            return Box::pin(async move { Ok(exchange.answer(unheard, asked, answering)) });
        }
        // As RFC 9113 §6.5.2 counts them.
        let fields = head.headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 32);
        let target = head.uri.path_and_query().map_or(0, |target| target.as_str().len());
        let fields = fields.sum::<usize>() + target;
        let own = request_bytes(head.version);
        answering.heading(fields + own);
        if let Some(mut refusal) = refusal(&head, fields, exchange.is_doubtful()) {
            (exchange.site.unasked)(Some(&head), refusal.headers_mut());
            exchange.end_after_answer();
            if refusal.status() == StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE && head.version < Version::HTTP_2 {
                exchange.link.note(CloseReason::FrameTooLong);
            }
            return Box::pin(async move { Ok(exchange.answer(refusal, asked, answering)) });
        }
        answering.heading(fields + own + size_of::<Responding<S::Future>>());
        let head = Box::new(head);
        let service = self.service.answer(Request { head, body: Some(body), underway: Arc::clone(&answering), tunnel });
        let rests = exchange.rests();
        Box::pin(Responding { service, exchange, asked, answering: Some(answering), rests })
    }
}

pin_project! {
    /// The service, as it answers a request. By hand, because an async block would hold its future twice.
    struct Responding<F> {
        #[pin]
        service: F,
        exchange: Arc<Exchange>,
        asked: Asked,
        answering: Option<Unfinished>,
        // It is for the next turn.
        rests: bool,
    }
}

impl<F: Future<Output: Into<Response>>> Future for Responding<F> {
    type Output = Result<http::Response<Body>, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        if std::mem::take(this.rests) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let response = ready!(this.service.poll(cx));
        let Some(answering) = this.answering.take() else { unreachable!("polled until it is ready") };
        // hyper drops the rest of it.
        answering.heading(request_bytes(this.asked.version));
        Poll::Ready(Ok(this.exchange.answer(response.into(), *this.asked, answering)))
    }
}

/// What a request costs beside its head, its body and its service.
fn request_bytes(version: Version) -> usize {
    if version < Version::HTTP_2 { REQUEST_BYTES } else { STREAM_BYTES }
}

/// The answer to a request that never reaches a service.
fn refusal(head: &Parts, fields: usize, is_doubtful: bool) -> Option<Response> {
    if is_doubtful {
        // RFC 9112 §6.1: one of two programs in a row may take what follows for another request.
        return Some(Response::plain(StatusCode::BAD_REQUEST, "Content-Length and Transfer-Encoding, or a fragment"));
    }
    // RFC 9112 §3.2: a host alone is for CONNECT, and `*` for OPTIONS.
    let form = (head.uri.scheme().is_some(), head.uri.authority().is_some(), head.uri.path());
    let is_target = match form {
        (false, true, _) => head.method == Method::CONNECT,
        (false, false, "*") => head.method == Method::OPTIONS,
        _ => true,
    };
    if !is_target {
        return Some(Response::plain(StatusCode::BAD_REQUEST, "what is asked for begins with /"));
    }
    let codings = head.headers.get_all(TRANSFER_ENCODING);
    if head.version < Version::HTTP_2
        && codings.iter().any(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"chunked"))
    {
        // What we do not decode is not the body that was meant (RFC 9112 §6.1).
        return Some(Response::plain(StatusCode::NOT_IMPLEMENTED, "the only transfer coding is chunked"));
    }
    if codings.iter().count() > 1 {
        return Some(Response::plain(StatusCode::BAD_REQUEST, "chunked twice"));
    }
    // Behind a proxy, only the host tells two sites apart (RFC 9112 §3.2).
    if head.version >= Version::HTTP_11 && head.headers.get_all(HOST).iter().count() != 1 {
        return Some(Response::plain(StatusCode::BAD_REQUEST, "Host is missing or repeated"));
    }
    let is_large = head.headers.len() > HEADERS || fields > HEAD_BYTES;
    is_large.then(|| Response::plain(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "headers are too many or too long"))
}
