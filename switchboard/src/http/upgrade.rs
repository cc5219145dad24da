//! From a request to a WebSocket: the opening handshake (RFC 6455 §4.2).

use super::response::{Response, ResponseKind};
use super::{Request, begin};
use crate::connection::{Connection, HandlerOutput};
use http::header::{
    ALLOW, AsHeaderName, CONNECTION, HeaderMap, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY,
    SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use http::{Method, StatusCode, Version};
use hyper::body::Body as _;
use std::future::Future;
use switchboard_proto::{Codec, WebSocket};

impl Request {
    /// Whether the client asks for a WebSocket, correctly or not.
    pub fn is_websocket(&self) -> bool {
        self.tunnel.is_some()
            || self.head.version == Version::HTTP_11 && has_token(&self.head.headers, UPGRADE, "websocket")
    }

    /// The first subprotocol offered by the client that is among `supported`.
    ///
    /// RFC 6455 §1.9.
    pub fn subprotocol<'a>(&self, supported: &[&'a str]) -> Option<&'a str> {
        tokens(&self.head.headers, SEC_WEBSOCKET_PROTOCOL)
            .find_map(|offered| supported.iter().copied().find(|known| *known == offered))
    }

    /// Turns the connection into a WebSocket, handled by `handler` and closed after it. Otherwise it answers as RFC
    /// 6455 §4.2 says: 426 if the client did not ask for a WebSocket, or for another version, and 400 if it asked
    /// incorrectly. Over HTTP/2 the WebSocket is a separate connection beside the client's (RFC 8441), and the answer
    /// is 200 instead of 101.
    ///
    /// It accepts the one of `subprotocols` that [`subprotocol`](Self::subprotocol) returns, if any, and no extensions.
    /// The caller must check beforehand who may open one: browsers send cookies from any page, and an `Origin`.
    pub fn upgrade<F>(
        self,
        subprotocols: &[&str],
        handler: impl FnOnce(Connection<WebSocket>) -> F + Send + 'static,
    ) -> Response
    where
        F: Future<Output: HandlerOutput> + Send + 'static,
    {
        self.upgrade_to(subprotocols, handler)
    }

    /// Like [`upgrade`](Self::upgrade), with a codec of your own that wraps a [`WebSocket`] and makes something else of
    /// its messages; on the wire, its frames must be a WebSocket's.
    pub fn upgrade_to<C, F>(
        mut self,
        subprotocols: &[&str],
        handler: impl FnOnce(Connection<C>) -> F + Send + 'static,
    ) -> Response
    where
        C: Codec,
        F: Future<Output: HandlerOutput> + Send + 'static,
    {
        let accept = match self.accept() {
            Ok(accept) => accept,
            Err(refusal) => {
                // What follows may be WebSocket frames, if the client believes that it has a WebSocket.
                self.underway.exchange.end_after_answer();
                return refusal.into();
            }
        };
        let mut head = http::Response::new(());
        *head.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        let headers = head.headers_mut();
        if let Some(accept) = accept {
            headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
            headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
            headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
        }
        if let Some(agreed) = self.subprotocol(subprotocols)
            && let Ok(agreed) = HeaderValue::from_str(agreed)
        {
            headers.insert(SEC_WEBSOCKET_PROTOCOL, agreed);
        }
        Response(ResponseKind::Upgrade(head, begin(handler), self.tunnel.take()))
    }

    /// The value of `Sec-WebSocket-Accept` (none over HTTP/2), or what is wrong.
    fn accept(&self) -> Result<Option<HeaderValue>, Refusal> {
        let headers = &self.head.headers;
        if self.head.method != Method::GET {
            return Err(Refusal::Method);
        }
        if !self.is_websocket() {
            return Err(Refusal::Wanted("this is a WebSocket"));
        }
        let is_tunnel = self.tunnel.is_some();
        if !is_tunnel && !has_token(headers, CONNECTION, "upgrade") {
            return Err(Refusal::Bad("Connection header lacks upgrade"));
        }
        if only(headers, SEC_WEBSOCKET_VERSION) != Some(WebSocket::VERSION.as_bytes()) {
            return Err(Refusal::Wanted("unsupported WebSocket version"));
        }
        if self.body.as_ref().is_some_and(|body| !body.is_end_stream()) {
            return Err(Refusal::Bad("a WebSocket handshake has no body"));
        }
        if is_tunnel {
            return Ok(None);
        }
        let accept = only(headers, SEC_WEBSOCKET_KEY).and_then(WebSocket::accept);
        let accept = accept.and_then(|accept| HeaderValue::from_str(&accept).ok());
        accept.map(Some).ok_or(Refusal::Bad("Sec-WebSocket-Key is not 16 bytes in base64"))
    }
}

/// Why a request becomes no WebSocket.
enum Refusal {
    Method,
    /// What should have been asked for instead (RFC 9110 §15.5.22, RFC 6455 §4.4).
    Wanted(&'static str),
    Bad(&'static str),
}

impl From<Refusal> for Response {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Method => {
                let mut response = Self::plain(StatusCode::METHOD_NOT_ALLOWED, "a WebSocket is opened with GET");
                response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET"));
                response
            }
            Refusal::Wanted(text) => {
                let mut response = Self::plain(StatusCode::UPGRADE_REQUIRED, text);
                let headers = response.headers_mut();
                headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
                headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
                headers.insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static(WebSocket::VERSION));
                response
            }
            Refusal::Bad(text) => Self::plain(StatusCode::BAD_REQUEST, text),
        }
    }
}

/// The value of a header that may occur only once.
fn only(headers: &HeaderMap, name: impl AsHeaderName) -> Option<&[u8]> {
    let mut values = headers.get_all(name).iter();
    let first = values.next()?;
    values.next().is_none().then(|| first.as_bytes())
}

/// The elements of a header that is a list (RFC 9110 §5.6.1).
fn tokens(headers: &HeaderMap, name: impl AsHeaderName) -> impl Iterator<Item = &str> {
    let values = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(str::trim).filter(|token| !token.is_empty())
}

fn has_token(headers: &HeaderMap, name: impl AsHeaderName, token: &str) -> bool {
    tokens(headers, name).any(|found| found.eq_ignore_ascii_case(token))
}
