//! A stream transport on which HTTP is spoken: the same but for its name.

use crate::link::PeerAddr;
use crate::transport::configured::OwnSettings;
use crate::transport::memory::Memory;
use crate::transport::names::NumericAddress;
use crate::transport::{StreamListener, StreamTransport, Transport};
use std::io;
use std::task::{Context, Poll};

/// What TLS may agree on, the preferred one first: all that we speak. A client that offers none of it means another server (RFC
/// 7301 §3.2, and `https://alpaca-attack.com`).
const PROTOCOLS: &[&str] = &["h2", "http/1.1", "http/1.0"];

/// What a listener's URL begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HttpScheme {
    Http,
    WebSocket,
}

impl HttpScheme {
    /// `tcp://127.0.0.1:80` as `http://127.0.0.1:80`; a Unix socket's path stays a path.
    fn url(self, url: &str) -> String {
        let (plain, secure) = match self {
            Self::Http => ("http", "https"),
            Self::WebSocket => ("ws", "wss"),
        };
        match url.split_once("://") {
            Some(("tcp", rest)) => format!("{plain}://{rest}"),
            Some(("tls", rest)) => format!("{secure}://{rest}"),
            _ => format!("{plain}+{url}"),
        }
    }
}

pub(crate) struct HttpTransport<T> {
    transport: T,
    scheme: HttpScheme,
}

impl<T: Transport> HttpTransport<T> {
    pub(crate) fn new(mut transport: T, scheme: HttpScheme) -> Self {
        if scheme == HttpScheme::Http {
            transport.speaks(PROTOCOLS);
        }
        Self { transport, scheme }
    }
}

impl<T: Transport> StreamTransport for HttpTransport<T> {
    type Listener = Listener<T::Listener>;

    fn url(&self) -> String {
        self.scheme.url(&self.transport.url())
    }

    fn own(&self) -> OwnSettings {
        self.transport.own()
    }

    fn numeric_address(&self) -> Option<NumericAddress> {
        self.transport.numeric_address()
    }

    fn leave_ipv4(&mut self) {
        self.transport.leave_ipv4();
    }

    fn memory(&self) -> Option<Memory> {
        self.transport.memory()
    }

    async fn bind(self) -> io::Result<Self::Listener> {
        Ok(Listener { listener: self.transport.bind().await?, scheme: self.scheme })
    }
}

pub(crate) struct Listener<L> {
    listener: L,
    scheme: HttpScheme,
}

impl<L: StreamListener> StreamListener for Listener<L> {
    type Stream = L::Stream;

    const TRANSPORT: &'static str = if L::IS_SECURE { "https" } else { "http" };

    const IS_SECURE: bool = L::IS_SECURE;

    fn url(&self) -> String {
        self.scheme.url(&self.listener.url())
    }

    fn urls(&self) -> Vec<String> {
        self.listener.urls().iter().map(|url| self.scheme.url(url)).collect()
    }

    fn is_local(&self) -> bool {
        self.listener.is_local()
    }

    fn listen(&mut self) -> io::Result<()> {
        self.listener.listen()
    }

    fn attach(&mut self) -> io::Result<()> {
        self.listener.attach()
    }

    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<(Self::Stream, PeerAddr)>> {
        self.listener.poll_accept(cx)
    }

    fn accept_now(&mut self) -> io::Result<(Self::Stream, PeerAddr)> {
        self.listener.accept_now()
    }
}
