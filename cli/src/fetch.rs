//! Asks a server over HTTP: for keys, whose a token is, or what its operator wants to know.
//!
//! Each question has a connection of its own, and an answer within bounds of bytes and of time. Follows no redirect and
//! knows no proxy: the operator says where to ask, and nothing else does. What an answer means is not known here.

mod place;
mod wire;

use bytes::{Bytes, BytesMut};
use http::header::{ACCEPT, AUTHORIZATION, CONNECTION, CONTENT_TYPE, HOST, USER_AGENT};
use http::{HeaderValue, Method, Request, StatusCode, Uri};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::client::conn::http1;
use place::Asked;
use std::convert::Infallible;
use std::fmt;
use std::future::poll_fn;
use std::io;
use std::path::Path;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;
use switchboard_load::typed::Secret;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;
use wire::Wire;

/// What the head of an answer may be long, so that one without end fills no memory; hyper takes no less than 8 KiB.
const HEAD_BYTES: usize = 16 << 10;

const HEADERS: usize = 64;

/// What most of what is sent is.
pub(crate) const JSON: &str = "application/json";

/// What a server calls this program.
const PROGRAM: &str = concat!("switchboard/", env!("CARGO_PKG_VERSION"));

/// Where to ask, and whom to believe that it is there.
pub(crate) struct Remote {
    typed: String,
    asked: Asked,
    /// For whoever is asked: the host of the URL, and its port.
    authority: HeaderValue,
    /// The path and the query.
    target: Uri,
}

/// What an answer may take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    /// Of its body. A longer one is an error, and is not read on.
    pub(crate) body_bytes: usize,
    /// From looking up the host to the last byte.
    pub(crate) time: Duration,
}

/// What was answered, whatever it says.
#[derive(Debug)]
pub(crate) struct Fetched {
    pub(crate) status: StatusCode,
    pub(crate) body: Bytes,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FetchError {
    #[error("there was no whole answer within {0:?}")]
    Late(Duration),
    #[error("the host cannot be looked up")]
    Lookup(#[source] io::Error),
    /// The name of this machine leads elsewhere.
    #[error("the host is not this machine, and http:// is not encrypted")]
    Elsewhere,
    #[error("cannot connect")]
    Connect(#[source] io::Error),
    #[error("TLS failed")]
    Tls(#[source] io::Error),
    #[error("the answer is not HTTP, or ended too soon")]
    Http(#[source] hyper::Error),
    #[error("the answer is longer than {limit} bytes")]
    TooLong { limit: usize },
}

impl FetchError {
    /// What went wrong, and what caused that, in one line.
    pub(crate) fn told(&self) -> String {
        let causes = std::iter::successors(std::error::Error::source(self), |cause| cause.source());
        causes.fold(self.to_string(), |told, cause| format!("{told}: {cause}"))
    }
}

impl Remote {
    /// `https://HOST…`, `http://…` of this machine, or `unix:///PATH`. Over TLS it believes what the machine trusts, or the
    /// authorities in the file `ca`. Reads files.
    ///
    /// # Errors
    /// What is wrong, in a sentence each.
    pub(crate) fn new(typed: &str, ca: Option<&Path>) -> Result<Self, Vec<String>> {
        let place::Parsed { asked, authority, target } = place::parse(typed, ca)?;
        Ok(Self { typed: typed.to_owned(), asked, authority, target })
    }

    /// The same, also over `http://` of other machines: nothing secret may be asked there.
    ///
    /// # Errors
    /// As there.
    pub(crate) fn open(typed: &str) -> Result<Self, Vec<String>> {
        let place::Parsed { asked, authority, target } = place::parse_open(typed)?;
        Ok(Self { typed: typed.to_owned(), asked, authority, target })
    }

    /// The same server, asked for what is at `path`, which begins with a slash and is encoded, below that of the URL.
    pub(crate) fn at(&self, path: &str) -> Result<Self, String> {
        let target = format!("{}{path}", self.target.path().trim_end_matches('/'));
        let target = target.parse().map_err(|error| format!("not a path: {error}"))?;
        let (typed, asked, authority) = (self.typed.clone(), self.asked.clone(), self.authority.clone());
        Ok(Self { typed, asked, authority, target })
    }

    /// Asks for what is there.
    pub(crate) async fn get(&self, bounds: Bounds) -> Result<Fetched, FetchError> {
        self.send(Method::GET, None, None, bounds).await
    }

    /// Tells it `json`, with `secret` as the proof of who asks.
    pub(crate) async fn post(
        &self,
        json: Bytes,
        secret: Option<&Secret>,
        bounds: Bounds,
    ) -> Result<Fetched, FetchError> {
        self.send(Method::POST, Some((JSON, json)), secret, bounds).await
    }

    /// Asks by any method, with what it has in its body and of what type that is, and with `secret` as the proof of who asks.
    pub(crate) async fn send(
        &self,
        method: Method,
        body: Option<(&'static str, Bytes)>,
        secret: Option<&Secret>,
        bounds: Bounds,
    ) -> Result<Fetched, FetchError> {
        let request = self.request(method, secret);
        let (request, body) = match body {
            Some((kind, body)) => (request.header(CONTENT_TYPE, kind), Some(body)),
            None => (request, None),
        };
        self.ask(request.body(Whole(body)), bounds).await
    }

    fn request(&self, method: Method, secret: Option<&Secret>) -> http::request::Builder {
        let request = Request::builder().method(method).uri(self.target.clone());
        let request = request
            .header(HOST, self.authority.clone())
            .header(ACCEPT, JSON)
            .header(CONNECTION, "close")
            .header(USER_AGENT, PROGRAM);
        let bearer = secret.and_then(|secret| HeaderValue::from_str(&format!("Bearer {}", secret.expose())).ok());
        match bearer {
            Some(mut bearer) => {
                bearer.set_sensitive(true);
                request.header(AUTHORIZATION, bearer)
            }
            None => request,
        }
    }

    async fn ask(&self, request: http::Result<Request<Whole>>, bounds: Bounds) -> Result<Fetched, FetchError> {
        let Ok(request) = request else { unreachable!("each of its parts was parsed before") };
        let asked = async {
            match &self.asked {
                Asked::Tls { host, port, name, config } => {
                    let stream = place::connect(host, *port).await?;
                    let stream = tokio_rustls::TlsConnector::from(config.clone()).connect(name.clone(), stream).await;
                    exchange(stream.map_err(FetchError::Tls)?, request, bounds.body_bytes).await
                }
                Asked::Plain { host, port } => {
                    exchange(place::connect_here(host, *port).await?, request, bounds.body_bytes).await
                }
                Asked::Open { host, port } => {
                    exchange(place::connect(host, *port).await?, request, bounds.body_bytes).await
                }
                Asked::Unix(path) => {
                    let stream = tokio::net::UnixStream::connect(path).await.map_err(FetchError::Connect)?;
                    exchange(stream, request, bounds.body_bytes).await
                }
            }
        };
        timeout(bounds.time, asked).await.unwrap_or(Err(FetchError::Late(bounds.time)))
    }
}

impl fmt::Debug for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Remote").field(&self.typed).finish()
    }
}

/// As it was typed.
impl fmt::Display for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.typed)
    }
}

/// Asks over a stream that is open, and reads the answer to its end.
async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    request: Request<Whole>,
    limit: usize,
) -> Result<Fetched, FetchError> {
    let mut builder = http1::Builder::new();
    builder.max_buf_size(HEAD_BYTES).max_headers(HEADERS);
    let (mut sender, connection) = builder.handshake(Wire(stream)).await.map_err(FetchError::Http)?;
    let answer = async {
        let (head, body) = sender.send_request(request).await.map_err(FetchError::Http)?.into_parts();
        Ok(Fetched { status: head.status, body: read(body, limit).await? })
    };
    let (mut answer, mut connection) = (pin!(answer), pin!(connection));
    let mut is_open = true;
    poll_fn(|cx| {
        // It moves the bytes of the other, which hears of its end too.
        is_open = is_open && connection.as_mut().poll(cx).is_pending();
        answer.as_mut().poll(cx)
    })
    .await
}

async fn read(mut body: Incoming, limit: usize) -> Result<Bytes, FetchError> {
    let mut read = BytesMut::new();
    while let Some(frame) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
        let Ok(data) = frame.map_err(FetchError::Http)?.into_data() else { continue };
        if read.len() + data.len() > limit {
            return Err(FetchError::TooLong { limit });
        }
        read.extend_from_slice(&data);
    }
    Ok(read.freeze())
}

/// A request's body, which is there already; none if there is nothing to send.
struct Whole(Option<Bytes>);

impl Body for Whole {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.take().map(|body| Ok(Frame::data(body))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.0.as_ref().map_or(0, Bytes::len) as u64)
    }
}

#[cfg(test)]
mod tests;
