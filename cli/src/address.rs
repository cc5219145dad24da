//! Where to listen, and the listener that is made of that: here alone an address's scheme decides which one.

use crate::endpoint::Options;
use crate::proxies::InFront;
use crate::systemd::sockets::{BoundAt, Handed};
use http::HeaderMap;
use http::request::Parts;
use std::net::SocketAddr;
use std::path::PathBuf;
use switchboard::http::Service;
use switchboard::{
    Certificates, ClientTrust, Codec, Configured, Handler, HostGroup, Server, Tcp, Timeouts, Tls, Transport, Udp, Unix,
};
use switchboard_load::typed::{HostPort, Place, Scheme};

/// A listener's own part of its URL.
#[derive(Debug, Clone)]
pub(crate) struct Address {
    pub(crate) scheme: Scheme,
    pub(crate) place: Place,
    /// Whether the address may come up later.
    pub(crate) freebind: bool,
    /// What a listener there shows its peers, if it speaks TLS.
    pub(crate) certificates: Option<Certificates>,
    /// Who may connect to a Unix socket.
    pub(crate) file: FileRights,
    /// Who stands between clients and it.
    pub(crate) in_front: InFront,
    /// Whose certificates its clients show, if it asks them.
    pub(crate) clients: Option<AskedClients>,
    /// Its socket, if that was open before the program was started.
    pub(crate) handed: Handed,
}

/// Clients that are asked for a certificate.
#[derive(Debug, Clone)]
pub(crate) struct AskedClients {
    pub(crate) trust: ClientTrust,
    /// Whether whoever shows none is refused.
    pub(crate) is_required: bool,
}

/// Mode and group of a socket's file: whoever may write to it may connect.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct FileRights {
    mode: Option<u32>,
    group: Option<u32>,
}

impl FileRights {
    /// Reads `mode` and `group`. What is private is its owner's alone, if nothing is said.
    pub(crate) fn parse(options: &mut Options, is_private: bool) -> Self {
        let mode = options.value("mode", |text| {
            let digits = (3..=4).contains(&text.len()) && text.bytes().all(|byte| (b'0'..=b'7').contains(&byte));
            let mode = u32::from_str_radix(text, 8).ok().filter(|mode| digits && *mode <= 0o777);
            mode.ok_or_else(|| "not a mode, as in 0660".to_owned())
        });
        let group = options.value("group", |text| match nix::unistd::Group::from_name(text) {
            Ok(Some(group)) => Ok(group.gid.as_raw()),
            _ => text.parse().map_err(|_| "not a group of this machine".to_owned()),
        });
        Self { mode: mode.or(is_private.then_some(0o600)), group }
    }

    /// What is wrong with a file that somebody else has made, and that has these.
    pub(crate) fn unlike(self, mode: u32, group: u32) -> Option<String> {
        let other_mode = self.mode.filter(|wanted| *wanted != mode);
        let of_mode = other_mode.map(|wanted| {
            format!("its file has mode {mode:04o}, and its listener {wanted:04o}: set SocketMode={wanted:04o} in the socket's unit")
        });
        let other_group = self.group.filter(|wanted| *wanted != group);
        let of_group = || {
            other_group
                .map(|_| "its file is not of its listener's group: set SocketGroup= in the socket's unit".to_owned())
        };
        of_mode.or_else(of_group)
    }
}

/// What only one listener can have.
#[derive(Debug, PartialEq, Eq)]
enum Socket<'a> {
    Stream(&'a HostPort),
    Datagram(&'a HostPort),
    Path(&'a PathBuf),
}

impl Address {
    fn socket(&self) -> Socket<'_> {
        match &self.place {
            Place::Host(host) if self.scheme == Scheme::Udp => Socket::Datagram(host),
            Place::Host(host) => Socket::Stream(host),
            Place::File(path) => Socket::Path(path),
        }
    }

    /// Whether both cannot be bound for certain.
    pub(crate) fn collides_with(&self, other: &Self) -> bool {
        let socket = self.socket();
        let free = matches!(socket, Socket::Stream(host) | Socket::Datagram(host) if host.port() == 0);
        !free && socket == other.socket()
    }

    /// Whether a socket that is open already is this listener's. A name, and port 0, stand for no address.
    pub(crate) fn is_bound_at(&self, bound: &BoundAt) -> bool {
        let is = |host: &HostPort, bound: &SocketAddr| host.to_string().parse() == Ok(*bound);
        match (self.socket(), bound) {
            (Socket::Stream(host), BoundAt::Streams(address))
            | (Socket::Datagram(host), BoundAt::Datagrams(address)) => is(host, address),
            (Socket::Path(path), BoundAt::File(bound)) => path == bound,
            _ => false,
        }
    }

    /// Whether all that comes there is from this machine.
    pub(crate) fn is_local(&self) -> bool {
        self.place.is_local() && !self.in_front.is_there()
    }

    /// To listen there for connections that are streams, whatever they speak.
    pub(crate) fn streams(&self) -> StreamListener {
        StreamListener { address: self.clone() }
    }

    /// To listen there for datagrams.
    pub(crate) fn datagrams(&self) -> DatagramListener {
        DatagramListener { address: self.clone() }
    }
}

/// A listener for datagrams.
pub(crate) struct DatagramListener {
    address: Address,
}

impl DatagramListener {
    /// Where it listens.
    pub(crate) fn place(&self) -> &Place {
        &self.address.place
    }

    /// Whether only this machine can reach it.
    pub(crate) fn is_local(&self) -> bool {
        self.address.place.is_local()
    }

    /// Where it is.
    pub(crate) fn host(&self) -> &HostPort {
        let Place::Host(host) = &self.address.place else { unreachable!("only `unix` has a path") };
        host
    }

    /// Whether the address may come up later.
    pub(crate) fn is_freebind(&self) -> bool {
        self.address.freebind
    }

    /// The same as a group of hosts, whose connection has these timeouts, until a reload says otherwise.
    pub(crate) fn group(self, timeouts: Timeouts) -> HostGroup {
        let in_front = &self.address.in_front;
        in_front.put_in_force(&in_front.followed, timeouts);
        Udp::group(self.host()).tuned(&in_front.followed.tuning)
    }

    /// To be bound, or bound already.
    ///
    /// Its connections have these timeouts, until a reload says otherwise.
    pub(crate) fn udp(self, timeouts: Timeouts) -> Udp {
        let (host, in_front) = (self.host(), &self.address.in_front);
        in_front.put_in_force(&in_front.followed, timeouts);
        let udp = match self.address.handed.take() {
            Some(socket) => Udp::from_std(socket),
            None if self.address.freebind => Udp::new(host).freebind(),
            None => Udp::new(host),
        };
        udp.tuned(&in_front.followed.tuning)
    }
}

/// A listener for streams, of whichever transport.
pub(crate) struct StreamListener {
    address: Address,
}

enum Stream {
    Tcp(Configured<Tcp>),
    Tls(Configured<Tls>),
    Unix(Configured<Unix>),
}

impl StreamListener {
    /// Whether all that comes is from this machine.
    pub(crate) fn is_local(&self) -> bool {
        self.address.is_local()
    }

    /// Whether only this machine can connect, for itself or for others.
    pub(crate) fn is_loopback(&self) -> bool {
        self.address.place.is_local()
    }

    /// Whether it speaks TLS.
    pub(crate) fn is_secure(&self) -> bool {
        self.address.scheme.is_tls()
    }

    /// Whether its clients are asked for certificates.
    pub(crate) fn asks_clients(&self) -> bool {
        self.address.clients.is_some()
    }

    pub(crate) fn is_unix(&self) -> bool {
        matches!(self.address.place, Place::File(_))
    }

    /// Where it listens.
    pub(crate) fn place(&self) -> &Place {
        &self.address.place
    }

    /// Its connections have these, until a reload says otherwise.
    pub(crate) fn timeouts(self, timeouts: Timeouts) -> Self {
        let in_front = &self.address.in_front;
        in_front.put_in_force(&in_front.followed, timeouts);
        self
    }

    /// What it listens by, on the socket that is open already if there is one, tuned by what is in force.
    fn transport(&self) -> Stream {
        let address = &self.address;
        let (handed, tuning) = (address.handed.take(), &address.in_front.followed.tuning);
        match (&address.place, &address.certificates) {
            (Place::File(path), _) => {
                let FileRights { mode, group } = address.file;
                let unix = handed.map_or_else(|| Unix::new(path), Unix::from_std);
                let unix = if let Some(mode) = mode { unix.mode(mode) } else { unix };
                let unix = if let Some(group) = group { unix.group(group) } else { unix };
                Stream::Unix(unix.tuned(tuning))
            }
            (Place::Host(host), Some(certificates)) => {
                let tls = match handed {
                    Some(socket) => Tls::from_std(socket, certificates),
                    None if address.freebind => Tls::new(host, certificates).freebind(),
                    None => Tls::new(host, certificates),
                };
                let tls = match &address.clients {
                    None => tls,
                    Some(AskedClients { trust, is_required: true }) => tls.require_clients(trust),
                    Some(AskedClients { trust, is_required: false }) => tls.request_clients(trust),
                };
                Stream::Tls(tls.tuned(tuning))
            }
            (Place::Host(host), None) => {
                let tcp = match handed {
                    Some(socket) => Tcp::from_std(socket),
                    None if address.freebind => Tcp::new(host).freebind(),
                    None => Tcp::new(host),
                };
                Stream::Tcp(tcp.tuned(tuning))
            }
        }
    }

    /// Has `handler` handle each connection.
    pub(crate) fn listen<C: Codec>(self, server: Server, handler: impl Handler<C>) -> Server {
        match self.transport() {
            Stream::Tcp(tcp) => server.listen(tcp, handler),
            Stream::Tls(tls) => server.listen(tls, handler),
            Stream::Unix(unix) => server.listen(unix, handler),
        }
    }

    /// Has `service` answer requests, and `unasked` add to what is answered without it.
    pub(crate) fn listen_http(
        self,
        server: Server,
        service: impl Service,
        unasked: impl Fn(Option<&Parts>, &mut HeaderMap) + Send + Sync + 'static,
    ) -> Server {
        let transport = self.transport();
        let service = self.address.in_front.followed.before(service);
        match transport {
            Stream::Tcp(tcp) => server.listen_http_with(tcp, service, unasked),
            Stream::Tls(tls) => server.listen_http_with(tls, service, unasked),
            Stream::Unix(unix) => server.listen_http_with(unix, service, unasked),
        }
    }

    /// Has `service` answer requests, which are for WebSockets.
    pub(crate) fn listen_upgrades(self, server: Server, service: impl Service) -> Server {
        let transport = self.transport();
        let service = self.address.in_front.followed.before(service);
        match transport {
            Stream::Tcp(tcp) => server.listen_upgrades(tcp, service),
            Stream::Tls(tls) => server.listen_upgrades(tls, service),
            Stream::Unix(unix) => server.listen_upgrades(unix, service),
        }
    }
}
