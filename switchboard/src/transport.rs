//! What a listener needs from a transport. Each transport is one file that implements these traits.

mod adopted;
pub(crate) mod configured;
pub(crate) mod in_memory;
pub(crate) mod memory;
pub(crate) mod names;
pub(crate) mod tcp;
#[cfg(feature = "tls")]
pub(crate) mod tls;
pub(crate) mod udp;
pub(crate) mod unix;

use crate::Limits;
use crate::link::{PeerAddr, Proxies, Sink, Source, Tuning};
use configured::{Configured, OwnSettings};
use names::NumericAddress;
use std::future::Future;
use std::io;
use std::task::{Context, Poll};
use switchboard_proto::{IpNetwork, Rate};

/// A transport of byte streams: [`Tcp`](crate::Tcp), [`Tls`](crate::Tls), [`Unix`](crate::Unix) or [`Memory`](crate::Memory).
#[allow(private_bounds, reason = "sealed: a transport needs access to the inside of connections")]
pub trait Transport: StreamTransport {
    /// Calls the listener `name` in logs and lists of connections ([`ConnectionInfo`](crate::ConnectionInfo)); without
    /// this they show its URL. [`Bound::urls`](crate::Bound::urls) is not affected.
    ///
    /// # Examples
    /// ```
    /// use switchboard::prelude::*;
    /// use switchboard::{Tcp, Transport as _};
    /// # async fn echo(_: Connection<Lines>) {}
    ///
    /// let strict = Limits { frame_bytes: 1024, connections_per_address: Some(4), ..Limits::default() };
    /// let server = Server::new()
    ///     .listen(Tcp::new("0.0.0.0:7000").named("public").limited(strict), echo)
    ///     .listen(Tcp::new("127.0.0.1:7001").named("inside"), echo);
    /// ```
    fn named(self, name: impl Into<String>) -> Configured<Self> {
        Configured::new(self).with_name(name.into())
    }

    /// Limits for this listener's connections, in addition to the server's.
    ///
    /// Frames, outboxes and handshakes are limited for each listener separately. So are connections, in total and from
    /// one address: they count here and among the server's, and are refused if either is full. If these limits set none
    /// for one address, the server's applies. Memory is limited for the whole server, so
    /// [`Limits::memory_bytes`](crate::Limits::memory_bytes) is ignored here.
    fn limited(self, limits: Limits) -> Configured<Self> {
        Configured::new(self).with_limits(limits)
    }

    /// Reads at most `rate` frames from each of this listener's connections. A peer that sends faster has to wait, as
    /// its own send buffer fills up, and loses nothing. What the protocol answers by itself, such as a WebSocket's
    /// ping, counts too; HTTP requests do not.
    ///
    /// A pause lasts at least a millisecond, so at more than 1,000 a second a few frames come at once.
    ///
    /// # Examples
    /// ```
    /// use switchboard::prelude::*;
    /// use switchboard::{Rate, Tcp, Transport as _};
    /// # async fn echo(_: Connection<Lines>) {}
    ///
    /// // 100 a second, of which a second's may come at once.
    /// let server = Server::new().listen(Tcp::new("0.0.0.0:7000").throttled(Rate::new(100, 100)), echo);
    /// ```
    fn throttled(self, rate: Rate) -> Configured<Self> {
        Configured::new(self).with_rate(rate)
    }

    /// Expects a PROXY header from proxies, which says whose each connection is, before anything else, TLS included.
    ///
    /// Limits for one address, on handshakes too, then count the client, and hold as for any listener that strangers can reach;
    /// connections that are the proxies' own count towards none.
    fn behind(self, proxies: impl Into<Option<Proxies>>) -> Configured<Self> {
        Configured::new(self).with_proxies(proxies.into())
    }

    /// Lets some settings be changed while the listener runs: each new connection gets those that `tuning` holds when it is accepted.
    fn tuned(self, tuning: &Tuning) -> Configured<Self> {
        Configured::new(self).with_tuning(tuning.clone())
    }

    /// Exempts connections from these networks from limits per address: HTTP proxies are there, whose requests say whose they are.
    /// What a request says counts once the service passes it on ([`Request::forwarded_for`](crate::http::Request::forwarded_for)).
    #[cfg(feature = "http")]
    fn forwarded_from(self, networks: impl IntoIterator<Item = IpNetwork>) -> Configured<Self> {
        Configured::new(self).with_forwarders(networks.into_iter().collect())
    }
}

impl<T: StreamTransport> Transport for T {}

/// An address to listen on, not bound yet.
pub(crate) trait StreamTransport: Send + Sized + 'static {
    type Listener: StreamListener;

    /// The address as it was asked for: `tcp://127.0.0.1:0`.
    fn url(&self) -> String;

    /// What holds for this listener in place of the server's settings.
    fn own(&self) -> OwnSettings {
        OwnSettings::default()
    }

    /// The address, if other listeners may already have it.
    fn numeric_address(&self) -> Option<NumericAddress> {
        None
    }

    /// The protocols spoken on it, the preferred one first, where it can negotiate them and nobody has set others.
    fn speaks(&mut self, protocols: &[&str]) {
        let _ = protocols;
    }

    /// Leaves IPv4 to another listener.
    fn leave_ipv4(&mut self) {}

    /// Where it listens within the process, if it does.
    fn memory(&self) -> Option<memory::Memory> {
        None
    }

    /// Binds the address, or all addresses of a name, without accepting anybody.
    fn bind(self) -> impl Future<Output = io::Result<Self::Listener>> + Send;
}

/// A bound address.
pub(crate) trait StreamListener: Send + Sized + 'static {
    type Stream: Stream;

    const TRANSPORT: &'static str;

    /// Whether nobody on the way can read along.
    const IS_SECURE: bool = false;

    /// The transport's name, for lists and logs.
    fn transport(&self) -> &'static str {
        Self::TRANSPORT
    }

    /// Whether nobody on the way can read along.
    fn is_secure(&self) -> bool {
        Self::IS_SECURE
    }

    /// The address as it is: `tcp://127.0.0.1:49152`; of a name, the first.
    fn url(&self) -> String;

    /// All of them.
    fn urls(&self) -> Vec<String> {
        vec![self.url()]
    }

    /// Whether only this machine can connect: limits meant for other machines are off.
    fn is_local(&self) -> bool;

    /// Starts to queue connections, unless they are queued already. Called once, when all addresses are bound.
    fn listen(&mut self) -> io::Result<()> {
        Ok(())
    }

    /// Attaches the listener to the calling event loop, if it has a socket. Called once, before the first accept.
    fn attach(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<(Self::Stream, PeerAddr)>>;

    /// Accepts what waits in the kernel now, whether or not the event loop has reported it yet.
    fn accept_now(&mut self) -> io::Result<(Self::Stream, PeerAddr)>;
}

/// An accepted stream, attached to the accepting event loop.
pub(crate) trait Stream: Send + Sized + 'static {
    /// The stream on its way to another event loop.
    type Detached: Send + 'static;

    /// Whether something is agreed on before the handler runs: [`Source::poll_open`].
    const OPENS: bool = false;

    fn detach(self) -> io::Result<Self::Detached>;

    /// Waits until something has come, shows it to `look`, and takes as much of it as that says: the rest is still to come. Gives how
    /// much was shown; nothing is the end. Of transports that no proxy is in front of, nothing is ever taken.
    fn poll_take(&mut self, _: &mut Context<'_>, _: &mut dyn FnMut(&[u8]) -> usize) -> Poll<io::Result<usize>> {
        Poll::Ready(Err(io::ErrorKind::Unsupported.into()))
    }

    fn attach(detached: Self::Detached) -> io::Result<Self>;

    fn split(self) -> (Box<dyn Source>, Box<dyn Sink>);
}
