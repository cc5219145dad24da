//! Requests to a server without sockets, and WebSockets.

use super::running::{Running, is};
use super::{HttpAnswer, WebSocketPeer};
use crate::transport::memory::Memory;
use bytes::Bytes;
use http::{Method, Request, Uri};

/// Where HTTP is spoken: needs feature `http`.
impl Running {
    /// Opens a WebSocket: at a URL, or at a path of the first listener that speaks HTTP or WebSocket.
    ///
    /// # Panics
    /// If the server refuses, with its answer. To test a refusal, use [`get`](Self::get).
    pub async fn websocket(&self, url: &str) -> WebSocketPeer {
        let (address, host, path) = self.place(url);
        let opened = self.client.websocket_over(self.open(address), &format!("ws://{host}{path}")).await;
        WebSocketPeer::of(opened.unwrap_or_else(|error| panic!("{url}: {error}")))
    }

    /// Gets a URL, or a path of the first listener that speaks HTTP.
    pub async fn get(&self, url: &str) -> HttpAnswer {
        self.request(request(Method::GET, url, Bytes::new())).await
    }

    /// Posts `body` to a URL, or to a path of the first listener that speaks HTTP.
    pub async fn post(&self, url: &str, body: impl Into<Bytes>) -> HttpAnswer {
        self.request(request(Method::POST, url, body.into())).await
    }

    /// Sends a request over a connection of its own, and waits for the head of the answer.
    ///
    /// # Panics
    /// If the server closes the connection without an answer.
    pub async fn request<B: Into<Bytes>>(&self, request: Request<B>) -> HttpAnswer {
        let (address, host, path) = self.place(&request.uri().to_string());
        HttpAnswer::to(request.map(Into::into), self.open(address), &host, &path).await
    }

    /// Where HTTP is spoken, the name of the host, and the path.
    fn place(&self, url: &str) -> ((&Memory, &str), String, String) {
        let Ok(uri) = url.parse::<Uri>() else { panic!("{url} is not a URL") };
        let path = uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
        let Some(authority) = uri.authority() else {
            return (self.streams(speaks_http, url), "localhost".to_owned(), path);
        };
        let is_it =
            |other: &str| speaks_http(other) && is_secure(other) == is_secure(url) && is(other, authority.as_str());
        (self.streams(is_it, url), authority.to_string(), path)
    }
}

fn request(method: Method, url: &str, body: Bytes) -> Request<Bytes> {
    let Ok(uri) = url.parse() else { panic!("{url} is not a URL") };
    let mut request = Request::new(body);
    (*request.method_mut(), *request.uri_mut()) = (method, uri);
    request
}

fn scheme(url: &str) -> &str {
    url.split_once(':').map_or(url, |(scheme, _)| scheme)
}

fn speaks_http(url: &str) -> bool {
    let scheme = scheme(url);
    matches!(scheme.split_once('+').map_or(scheme, |(spoken, _)| spoken), "http" | "https" | "ws" | "wss")
}

fn is_secure(url: &str) -> bool {
    matches!(scheme(url), "https" | "wss")
}
