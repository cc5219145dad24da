//! A stream transport without its socket, for tests: the listener keeps its URL and its settings, and peers connect within
//! the process.

use super::configured::OwnSettings;
use super::memory::Memory;
use super::{StreamListener, StreamTransport};
use crate::link::PeerAddr;
use std::io;
use std::task::{Context, Poll};

/// A transport that listens in memory in place of another.
pub(crate) struct InMemory {
    address: Memory,
    place: Replaced,
}

/// What is reported about the listener: the same as about the other one.
#[derive(Clone)]
struct Replaced {
    url: String,
    transport: &'static str,
    is_secure: bool,
    own: OwnSettings,
}

impl InMemory {
    /// Also returns the address to connect to.
    pub(crate) fn instead_of<T: StreamTransport>(transport: &T) -> (Self, Memory) {
        let address = transport.memory().unwrap_or_default();
        let place = Replaced {
            url: transport.url(),
            transport: T::Listener::TRANSPORT,
            is_secure: T::Listener::IS_SECURE,
            own: transport.own(),
        };
        (Self { address: address.clone(), place }, address)
    }
}

impl StreamTransport for InMemory {
    type Listener = Listener;

    fn url(&self) -> String {
        self.place.url.clone()
    }

    fn own(&self) -> OwnSettings {
        self.place.own.clone()
    }

    async fn bind(self) -> io::Result<Listener> {
        Ok(Listener { waiting: self.address.bind().await?, place: self.place })
    }
}

/// Accepts within the process.
pub(crate) struct Listener {
    waiting: <Memory as StreamTransport>::Listener,
    place: Replaced,
}

impl StreamListener for Listener {
    type Stream = <<Memory as StreamTransport>::Listener as StreamListener>::Stream;

    const TRANSPORT: &'static str = "memory";

    fn transport(&self) -> &'static str {
        self.place.transport
    }

    fn is_secure(&self) -> bool {
        self.place.is_secure
    }

    fn url(&self) -> String {
        self.place.url.clone()
    }

    fn is_local(&self) -> bool {
        true
    }

    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<(Self::Stream, PeerAddr)>> {
        self.waiting.poll_accept(cx)
    }

    fn accept_now(&mut self) -> io::Result<(Self::Stream, PeerAddr)> {
        self.waiting.accept_now()
    }
}
