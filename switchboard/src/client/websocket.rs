//! From a connected stream to a WebSocket: the client's side of the opening handshake (RFC 6455 §4.1).

use crate::error::ConnectError;
use crate::link::{Sink, Source};
use crate::transport::Stream;
use bytes::{Buf as _, Bytes, BytesMut};
use http::header::{CONNECTION, HOST, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, Uri};
use hyper::body::{Body as _, Incoming};
use hyper::client::conn::http1;
use hyper::rt::{Read, ReadBufCursor, Write};
use std::convert::Infallible;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use switchboard_proto::WebSocket;
use tokio::io::ReadBuf;

/// One read takes at most this: a TLS record and what is incomplete before it has to fit.
const READ_BYTES: usize = 64 << 10;

/// How a server of TLS answers whoever does not speak TLS: with an alert (RFC 8446 §5.1).
const TLS_ALERT: &[u8] = b"\x15\x03";
const WANTS_TLS: &str = "the server wants TLS";

/// Of what a server says of a refusal.
const SAID_BYTES: usize = 1 << 10;

/// Where a WebSocket is.
#[derive(Debug)]
pub(super) struct WebSocketUrl {
    /// As a header names it.
    authority: HeaderValue,
    /// `HOST:PORT`.
    pub(super) address: String,
    path: Uri,
}

impl WebSocketUrl {
    /// Takes a URL apart whose scheme is `scheme`.
    pub(super) fn parse(url: &str, scheme: &str, default_port: u16) -> io::Result<Self> {
        let invalid = |text: &str| io::Error::new(io::ErrorKind::InvalidInput, format!("{url}: {text}"));
        // A zone is this machine's own business: no server's name has one, and no URL of an HTTP request.
        let (named, zone) = without_zone(url);
        let uri: Uri = named.parse().map_err(|_| invalid("not a URL"))?;
        if uri.scheme_str() != Some(scheme) {
            return Err(invalid(&format!("does not begin with {scheme}://")));
        }
        let (Some(host), Some(authority)) = (uri.host(), uri.authority()) else {
            return Err(invalid("without a host"));
        };
        let (port, host) = (uri.port_u16().unwrap_or(default_port), host.strip_suffix(']').unwrap_or(host));
        let end = if host.starts_with('[') { "]" } else { "" };
        let address = format!("{host}{zone}{end}:{port}");
        // Names and passwords belong to no server's name.
        let authority = authority.as_str().rsplit_once('@').map_or(authority.as_str(), |(_, authority)| authority);
        let authority = HeaderValue::from_str(authority).map_err(|_| invalid("not a host"))?;
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        let path = path.parse().map_err(|_| invalid("not a path"))?;
        Ok(Self { authority, address, path })
    }
}

/// Asks for a WebSocket, and gives the stream back with what has come behind the answer.
pub(super) async fn upgrade(
    source: Box<dyn Source>,
    sink: Box<dyn Sink>,
    url: &WebSocketUrl,
    (key, headers): (&str, &HeaderMap),
) -> Result<(Box<dyn Source>, Box<dyn Sink>, BytesMut), ConnectError> {
    let wire = Halves { source, sink, surplus: BytesMut::new(), has_read: false };
    let (mut sender, connection) = http1::handshake(wire).await.map_err(broken)?;
    let asked = async {
        let mut response = sender.send_request(request(url, key, headers)).await.map_err(broken)?;
        check(&mut response, key).await?;
        hyper::upgrade::on(response).await.map_err(broken)
    };
    let upgraded = tokio::select! {
        upgraded = asked => upgraded?,
        // It ends with the upgrade, which the other one then has; or with an error, which it has too unless the server spoke before it was
        // asked.
        error = async {
            match connection.with_upgrades().await {
                Ok(()) => std::future::pending().await,
                Err(error) => error,
            }
        } => return Err(broken(error)),
    };
    let Ok(parts) = upgraded.downcast::<Halves>() else { unreachable!("it is what was given") };
    let mut input = BytesMut::from(&parts.read_buf[..]);
    input.extend_from_slice(&parts.io.surplus);
    Ok((parts.io.source, parts.io.sink, input))
}

/// A URL without the zone of the IPv6 address that it names, and that zone, `%` included.
fn without_zone(url: &str) -> (String, &str) {
    let zone = url.find("://[").and_then(|start| {
        let end = start + url[start..].find(']')?;
        Some(start + url[start..end].find('%')?..end)
    });
    match zone {
        Some(zone) => ([&url[..zone.start], &url[zone.end..]].concat(), &url[zone]),
        None => (url.to_owned(), ""),
    }
}

fn request(url: &WebSocketUrl, key: &str, more: &HeaderMap) -> Request<Nothing> {
    let mut request = Request::new(Nothing);
    *request.uri_mut() = url.path.clone();
    *request.headers_mut() = more.clone();
    let headers = request.headers_mut();
    headers.insert(HOST, url.authority.clone());
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static(WebSocket::VERSION));
    let Ok(key) = HeaderValue::from_str(key) else { unreachable!("base64 is a header's text") };
    headers.insert(SEC_WEBSOCKET_KEY, key);
    request
}

/// Whether the server has understood (RFC 6455 §4.1): a server of another protocol would repeat anything.
async fn check(response: &mut Response<Incoming>, key: &str) -> Result<(), ConnectError> {
    let status = response.status();
    if status == StatusCode::SWITCHING_PROTOCOLS {
        let header = |name| response.headers().get(name).map(HeaderValue::as_bytes);
        let upgrade = header(UPGRADE).is_some_and(|value| value.eq_ignore_ascii_case(b"websocket"));
        let expected = WebSocket::accept(key.as_bytes());
        if upgrade && header(SEC_WEBSOCKET_ACCEPT) == expected.as_ref().map(String::as_bytes) {
            return Ok(());
        }
        return Err(ConnectError::NotUpgraded { status: status.as_u16(), said: Bytes::new() });
    }
    let mut said = Vec::new();
    while said.len() < SAID_BYTES
        && let Some(Ok(frame)) = poll_fn(|cx| Pin::new(response.body_mut()).poll_frame(cx)).await
    {
        said.extend_from_slice(frame.data_ref().map_or(&[], |data| &data[..]));
    }
    said.truncate(SAID_BYTES);
    Err(ConnectError::NotUpgraded { status: status.as_u16(), said: said.into() })
}

fn broken(error: hyper::Error) -> ConnectError {
    // It says so with what it answers, or with what it says before it is asked.
    let cause = std::error::Error::source(&error).map(ToString::to_string);
    if cause.as_deref() == Some(WANTS_TLS) {
        return ConnectError::unreachable(io::Error::new(io::ErrorKind::InvalidData, WANTS_TLS));
    }
    let spoke_first = [Some(error.to_string()), cause].iter().flatten().any(|text| text.contains("unexpected message"));
    if error.is_parse() || spoke_first {
        return ConnectError::unreachable(io::Error::new(io::ErrorKind::InvalidData, "the server does not speak HTTP"));
    }
    ConnectError::unreachable(io::Error::new(io::ErrorKind::InvalidData, error))
}

/// A body without anything in it.
struct Nothing;

impl hyper::body::Body for Nothing {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<hyper::body::Frame<Bytes>, Infallible>>> {
        Poll::Ready(None)
    }

    fn is_end_stream(&self) -> bool {
        true
    }

    fn size_hint(&self) -> hyper::body::SizeHint {
        hyper::body::SizeHint::with_exact(0)
    }
}

/// A stream as hyper reads and writes.
pub(crate) struct Halves {
    source: Box<dyn Source>,
    sink: Box<dyn Sink>,
    /// Read, and more than hyper wanted at the time.
    surplus: BytesMut,
    has_read: bool,
}

impl Halves {
    pub(crate) fn of(stream: impl Stream) -> Self {
        let (source, sink) = stream.split();
        Self { source, sink, surplus: BytesMut::new(), has_read: false }
    }
}

impl Read for Halves {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut wanted: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.surplus.is_empty() {
            this.surplus.resize(READ_BYTES, 0);
            let mut buffer = ReadBuf::new(&mut this.surplus);
            let read = this.source.poll_read(cx, &mut buffer);
            let count = buffer.filled().len();
            this.surplus.truncate(count);
            ready!(read)?;
            if !std::mem::replace(&mut this.has_read, true) && this.surplus.starts_with(TLS_ALERT) {
                return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, WANTS_TLS)));
            }
        }
        let count = wanted.remaining().min(this.surplus.len());
        wanted.put_slice(&this.surplus[..count]);
        this.surplus.advance(count);
        Poll::Ready(Ok(()))
    }
}

impl Write for Halves {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.sink.poll_write(cx, &[IoSlice::new(bytes)])
    }

    /// Done: nothing is held back.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.sink.poll_shutdown(cx)
    }
}
