//! A group of hosts: multicast, or everybody in a subnet. A server hears it and speaks to it as to one peer.
//!
//! One socket receives, on one worker: each socket that has joined a group gets a copy of each datagram (ip(7)), and several would
//! publish it several times. For each interface another one sends, from a port of its own, by which our own datagrams are told
//! apart from others' when they come back.

mod ends;
mod receiving;
mod sockets;

pub(crate) use ends::{GroupEnds, Opened, Surroundings};
pub(crate) use receiving::serve;
use sockets::GroupSockets;

use super::super::configured::OwnSettings;
use super::super::names;
use super::interfaces::{self, Interface};
use crate::link::{Horizon, Tuning};
use crate::{Limits, Timeouts};
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use switchboard_proto::Rate;
use tokio::time::sleep;

/// What fits into a packet of Ethernet behind the headers of IPv6 and of a tunnel or two; what is longer is taken apart on the way, and
/// lost with the first of its pieces.
const DATAGRAM_BYTES: usize = 1400;

/// Until an address of IPv6 that was just added may be used, a second passes or two (RFC 4862 §5.4), for which a start waits.
const TENTATIVE_LOOKS: u32 = 30;
const TENTATIVE_INTERVAL: Duration = Duration::from_millis(100);

/// Datagrams a second from one source, and from all.
const FROM_ONE: u32 = 1000;
const FROM_ALL: u32 = 10_000;

/// A group of hosts to hear and to speak to: multicast (RFC 1112, RFC 4291 §2.7), or everybody in a subnet (RFC 919).
///
/// [`Server::group`](crate::Server::group) handles it as one connection, whose peer is the group's address: each datagram that anybody
/// sends to the group is a frame, and each frame is sent to the group once, by each interface. The connection is opened when the
/// server starts, and again a second after it has ended for whatever reason. It is one member of the rooms that it joins, and what it
/// publishes goes to no other group, unless that [relays](Self::relays): so servers that have groups in common cannot send in circles.
///
/// Anybody on the link can hear what is sent to a group, send to it, and forge who sends. Nothing arrives for certain.
///
/// # Limits
/// Of each source 1,000 datagrams a second are heard, and 10,000 of all ([`received`](Self::received)); the rest is dropped and counted,
/// and so are datagrams above [`Limits::frame_bytes`]. What a connection has not read waits, 256 KiB at most. A frame of more than 1,400
/// bytes ([`datagram_bytes`](Self::datagram_bytes)) is not sent.
///
/// # Examples
/// ```no_run
/// use switchboard::prelude::*;
/// use switchboard::{Datagrams, HostGroup, Udp};
///
/// async fn sensors(mut conn: Connection<Datagrams>, room: Room) -> Result {
///     let seat = conn.join(&room)?;
///     while let Some(datagram) = conn.recv().await? {
///         seat.publish(datagram)?;
///     }
///     Ok(())
/// }
///
/// # async fn serve() -> Result {
/// let room = Hub::new().room("sensors")?;
/// let group: HostGroup = Udp::group("239.1.2.3:7000").interface("eth0");
/// Server::new().group(group, move |conn| sensors(conn, room.clone())).serve_until(std::future::pending()).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct HostGroup {
    address: String,
    interfaces: Vec<Named>,
    pub(super) rules: Rules,
    own: OwnSettings,
}

/// An interface, by its name.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Named {
    name: String,
    /// Whether it may be missing at the start.
    is_optional: bool,
}

/// What holds for a group's datagrams.
#[derive(Debug, Clone)]
pub(super) struct Rules {
    pub(super) hops: u8,
    pub(super) loops: bool,
    /// Who is heard; nobody in particular if it is empty.
    pub(super) sources: Vec<IpAddr>,
    pub(super) direction: Direction,
    pub(super) is_broadcast: bool,
    pub(super) datagram_bytes: usize,
    /// Of one source, and of all.
    pub(super) received: (Option<Rate>, Option<Rate>),
}

/// Which way datagrams go between a server and a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Direction {
    /// Both ways.
    #[default]
    Both,
    /// The group is heard; what would be sent to it is thrown away.
    In,
    /// The group is sent to, and not heard: it is not joined.
    Out,
}

impl super::Udp {
    /// A group of hosts at `address`: `239.1.2.3:7000`, `[ff02::4242]:7000`, `[ff02::4242%eth0]:7000`, or with
    /// [`broadcast`](HostGroup::broadcast) that of a subnet.
    pub fn group(address: impl ToString) -> HostGroup {
        HostGroup::new(address)
    }
}

impl HostGroup {
    fn new(address: impl ToString) -> Self {
        let rules = Rules {
            hops: 1,
            loops: true,
            sources: Vec::new(),
            direction: Direction::Both,
            is_broadcast: false,
            datagram_bytes: DATAGRAM_BYTES,
            received: (Some(Rate::new(FROM_ONE, FROM_ONE)), Some(Rate::new(FROM_ALL, FROM_ALL))),
        };
        let own = OwnSettings { horizon: Horizon::Split, ..OwnSettings::default() };
        Self { address: address.to_string(), interfaces: Vec::new(), rules, own }
    }

    /// Hears and speaks on this interface, by its name; also on those that were named before. It has to be there when the server
    /// is [bound](crate::Server::bind); if it goes away and comes back, within five seconds it is joined again. Without any, the one
    /// interface that is up, can do it and is not loopback; more or less than one is an error that names them.
    pub fn interface(mut self, name: impl Into<String>) -> Self {
        self.interfaces.push(Named { name: name.into(), is_optional: false });
        self
    }

    /// The same, and the interface may also come up after the server.
    pub fn interface_later(mut self, name: impl Into<String>) -> Self {
        self.interfaces.push(Named { name: name.into(), is_optional: true });
        self
    }

    /// How far what is sent goes: 0 is this machine, 1 the network that it is on, and each router takes one (RFC 1112 §6.1). Default 1.
    pub fn hops(mut self, hops: u8) -> Self {
        self.rules.hops = hops;
        self
    }

    /// Sends multicast so that other programs of this machine do not hear it (`IP_MULTICAST_LOOP`, ip(7)).
    pub fn without_loop(mut self) -> Self {
        self.rules.loops = false;
        self
    }

    /// Hears only this source, and those that were named before. Over IPv4 the kernel joins the group for it alone (RFC 4607); over IPv6
    /// what others send comes to this machine and is dropped. It keeps out accidents, not those who forge a source.
    pub fn source(mut self, source: impl Into<IpAddr>) -> Self {
        self.rules.sources.push(source.into());
        self
    }

    /// Only hears, or only sends.
    pub fn direction(mut self, direction: Direction) -> Self {
        self.rules.direction = direction;
        self
    }

    /// The address is one that everybody in a subnet hears, such as 192.168.1.255, or 255.255.255.255.
    pub fn broadcast(mut self) -> Self {
        self.rules.is_broadcast = true;
        self
    }

    /// Bytes of the longest datagram that is sent; longer frames are lost, and counted. Default 1,400: what the network has to take
    /// apart is lost with the first of its pieces.
    pub fn datagram_bytes(mut self, datagram_bytes: usize) -> Self {
        self.rules.datagram_bytes = datagram_bytes;
        self
    }

    /// How many datagrams are heard: of one source, and of all together. Default: 1,000 and 10,000 a second, a second's worth at once.
    pub fn received(mut self, from_one: Option<Rate>, from_all: Option<Rate>) -> Self {
        self.rules.received = (from_one, from_all);
        self
    }

    /// Sends what came from other groups, too. Who joins groups this way has to see to it that nothing goes in circles.
    pub fn relays(mut self) -> Self {
        self.own.horizon = Horizon::Relay;
        self
    }

    /// Has new connections have the timeouts that `tuning` says by then.
    pub fn tuned(mut self, tuning: &Tuning) -> Self {
        self.own.tuning = Some(tuning.clone());
        self
    }

    /// Deadlines for its connection, in place of the server's.
    pub fn timeouts(mut self, timeouts: Timeouts) -> Self {
        self.own.timeouts = Some(timeouts);
        self
    }

    /// Limits for its connection, beside the server's, as [`Transport::limited`](crate::Transport::limited) sets them.
    pub fn limited(mut self, limits: Limits) -> Self {
        self.own.limits = Some(Arc::new(limits));
        self
    }

    /// Calls the group `name` in logs and lists of connections, as [`Transport::named`](crate::Transport::named) does.
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.own.name = Some(name.into());
        self
    }

    pub(crate) fn url(&self) -> String {
        format!("udp://{}", self.address)
    }

    pub(crate) fn own(&self) -> &OwnSettings {
        &self.own
    }

    /// Opens its sockets.
    pub(crate) async fn bind(self) -> io::Result<Opened> {
        let address = names::lookup(&self.address).await?[0];
        self.check(address).map_err(|fault| io::Error::new(io::ErrorKind::InvalidInput, fault))?;
        let (interfaces, missing) = self.choose(address, &interfaces::all()?)?;
        let sockets = self.open(address, &interfaces).await?;
        Ok(Opened { group: self, address, sockets, missing })
    }

    /// Opens its sockets, and waits for addresses that are so new that they cannot be used yet.
    async fn open(&self, address: SocketAddr, interfaces: &[Interface]) -> io::Result<GroupSockets> {
        for _ in 0..TENTATIVE_LOOKS {
            match GroupSockets::open(address, &self.rules, interfaces) {
                Err(error) if error.kind() == io::ErrorKind::AddrNotAvailable && address.is_ipv6() => {}
                result => return result,
            }
            sleep(TENTATIVE_INTERVAL).await;
        }
        GroupSockets::open(address, &self.rules, interfaces)
    }

    /// What no such group can be, in a sentence.
    fn check(&self, address: SocketAddr) -> Result<(), String> {
        if address.port() == 0 {
            return Err("a group has a port".to_owned());
        }
        match (address.ip(), self.rules.is_broadcast) {
            (IpAddr::V4(ip), false) if ip.octets()[..3] == [224, 0, 0] => {
                Err(format!("{ip} is for the control of networks (RFC 5771); 239.0.0.0/8 is free"))
            }
            (ip, false) if !ip.is_multicast() => Err(format!("{ip} is no group of hosts; for a subnet's, say so")),
            (IpAddr::V4(ip), true) if !ip.is_multicast() && !ip.is_unspecified() => Ok(()),
            (ip, true) => Err(format!("{ip} is no broadcast address")),
            _ => Ok(()),
        }?;
        if let Some(source) = self.rules.sources.iter().find(|source| source.is_ipv4() != address.is_ipv4()) {
            return Err(format!("the source {source} is of another family than the group"));
        }
        Ok(())
    }

    /// What holds for its interfaces as well: a socket for a link's group belongs to one link.
    fn is_for_one(address: SocketAddr) -> bool {
        matches!(address.ip(), IpAddr::V6(ip) if interfaces::scope_of(ip) <= interfaces::LINK)
    }

    /// The interfaces that are used now, of those that there are; and the names of those that are awaited.
    fn choose(&self, address: SocketAddr, all: &[Interface]) -> io::Result<(Vec<Interface>, Vec<String>)> {
        let error = |text: String| io::Error::new(io::ErrorKind::NotFound, text);
        let by_zone = match address {
            SocketAddr::V6(address) => {
                all.iter().find(|one| address.scope_id() != 0 && one.index == address.scope_id())
            }
            SocketAddr::V4(_) => None,
        };
        if self.interfaces.is_empty() {
            let of_subnet = |one: &&Interface| matches!(address.ip(), IpAddr::V4(ip) if one.broadcasts.contains(&ip));
            let own = by_zone.or_else(|| all.iter().find(of_subnet).filter(|_| self.rules.is_broadcast));
            let likely = || all.iter().filter(|one| one.is_likely(address, self.rules.is_broadcast)).collect();
            let likely: Vec<_> = own.map_or_else(likely, |own| vec![own]);
            let names: Vec<_> = likely.iter().map(|one| one.name.as_str()).collect();
            return match (&likely[..], self.rules.is_broadcast && !is_everywhere(address)) {
                ([], _) => {
                    let what = if self.rules.is_broadcast { "broadcasts" } else { "multicast" };
                    Err(error(format!("no interface is up that carries {what}: name one")))
                }
                (_, true) if own.is_none() => {
                    Err(error("no interface has this broadcast address: name one".to_owned()))
                }
                ([one], _) => Ok((vec![(*one).clone()], Vec::new())),
                _ => Err(error(format!("there are several interfaces, {}: name one", names.join(", ")))),
            };
        }
        let (mut found, mut missing) = (Vec::new(), Vec::new());
        for Named { name, is_optional } in &self.interfaces {
            match all.iter().find(|one| one.name == *name) {
                Some(one) if one.address_for(address).is_some() => found.push(one.clone()),
                _ if *is_optional => missing.push(name.clone()),
                Some(_) => return Err(error(format!("the interface {name} has no address of the group's family"))),
                None => {
                    let names: Vec<_> = all.iter().map(|one| one.name.as_str()).collect();
                    return Err(error(format!("there is no interface {name}; there are {}", names.join(", "))));
                }
            }
        }
        if found.len() > 1 && Self::is_for_one(address) {
            let ip = address.ip();
            return Err(error(format!("{ip} is another group on each link: a listener for each interface")));
        }
        Ok((found, missing))
    }

    /// The same while it runs: what is missing is awaited.
    fn chosen_now(&self, address: SocketAddr) -> io::Result<(Vec<Interface>, Vec<String>)> {
        let lenient = |named: &Named| Named { is_optional: true, ..named.clone() };
        Self { interfaces: self.interfaces.iter().map(lenient).collect(), ..self.clone() }
            .choose(address, &interfaces::all()?)
    }

    /// Keeps to these from now on, by their names: the only interface stays that one, whatever comes later.
    fn keep_to(&mut self, interfaces: &[Interface]) {
        if self.interfaces.is_empty() {
            let named = |one: &Interface| Named { name: one.name.clone(), is_optional: true };
            self.interfaces = interfaces.iter().map(named).collect();
        }
    }
}

/// Whether everybody on any network hears it.
fn is_everywhere(address: SocketAddr) -> bool {
    address.ip() == IpAddr::V4(Ipv4Addr::BROADCAST)
}
