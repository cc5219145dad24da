//! What is typed for a group, and which addresses are groups.

use super::super::{parse_overflow, parse_rate};
use crate::address::DatagramListener;
use crate::endpoint::{Endpoint, Options};
use crate::live::Idle;
use crate::running::Run;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use switchboard::{Direction, Format, HostGroup, Overflow, Rate, RoomName, Timeouts, UserName};
use switchboard_load::typed::{HostPort, Place, Scheme, parse_switch, parse_timeout};

/// After this silence a group is told how far its room is.
const HEARTBEAT: Duration = Duration::from_secs(1);

/// Datagrams a second from one source; ten times as many from all.
const RATE: u32 = 1000;

/// See [`HostGroup::datagram_bytes`].
const MTU: usize = 1400;

/// The longest payload over IPv4.
pub(crate) const MOST_BYTES: usize = 65_507;

/// What was typed for a group.
#[derive(Debug, Clone)]
pub(super) struct GroupOptions {
    pub(super) room: RoomName,
    pub(super) name: Option<UserName>,
    pub(super) format: Format,
    pub(super) direction: Direction,
    pub(super) overflow: Overflow,
    pub(super) heartbeat: Option<Duration>,
    pub(super) repair: TypedRepair,
    pub(super) datagram_bytes: usize,
    pub(super) relays: bool,
    interfaces: Vec<(String, bool)>,
    hops: u8,
    loops: bool,
    sources: Vec<IpAddr>,
    is_broadcast: bool,
    rate: Option<u32>,
}

/// Where what was lost can be had.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) enum TypedRepair {
    /// At the first listener of rooms over HTTP.
    #[default]
    Found,
    At(String),
    Off,
}

/// The same, once the server's listeners can be known.
pub(super) enum Repair {
    Found(Arc<Run>),
    At(Option<String>),
}

/// Whether a listener for datagrams is one for a group.
pub(crate) fn is_group(host: &HostPort, options: &Options) -> bool {
    options.is("broadcast", "on") || address(host).is_some_and(|address| address.ip().is_multicast())
}

pub(crate) fn address(host: &HostPort) -> Option<SocketAddr> {
    let text = host.to_string();
    // The zone is an interface's name, which is looked up when it is bound.
    let (before, after) = text.split_once('%').unwrap_or((&text, ""));
    let rest = after.split_once(']').map(|(_, rest)| format!("{before}]{rest}"));
    rest.as_deref().unwrap_or(before).parse().ok()
}

/// Who hears a group and publishes to it, if an endpoint is one.
pub(crate) fn told(endpoint: &Endpoint) -> Option<String> {
    let Place::Host(host) = &endpoint.address.place else { return None };
    let is_broadcast = endpoint.option("broadcast").as_deref() == Some("on");
    let address = address(host).filter(|_| endpoint.address.scheme == Scheme::Udp);
    let address = address.filter(|address| is_broadcast || address.ip().is_multicast())?;
    let place = endpoint.option("interface").map_or_else(|| "its network".to_owned(), |names| names.replace('?', ""));
    let does = match endpoint.option("direction").as_deref() {
        Some("in") => "publish",
        Some("out") => "hear it",
        _ => "hear it and publish",
    };
    let scope = scope(address.ip()).unwrap_or_default();
    Some(format!("a group of hosts ({scope}) on {place}: anyone there can {does}"))
}

/// How far a group's address reaches, or why it is none, for whoever checks what was typed.
fn scope(ip: IpAddr) -> Result<&'static str, &'static str> {
    match ip {
        IpAddr::V4(ip) => match ip.octets() {
            [224, 0, 0, _] => Err("is for the control of networks (RFC 5771); 239.0.0.0/8 is free"),
            [224..=231 | 233..=238, ..] => Ok("globally scoped"),
            [232, ..] => Ok("source-specific"),
            [239, ..] => Ok("administratively scoped"),
            [255, 255, 255, 255] => Ok("everybody on the network"),
            _ => Ok("everybody in a subnet"),
        },
        IpAddr::V6(ip) => match ip.segments()[0] & 0xf {
            1 => Ok("this machine"),
            2 if matches!(ip.segments()[7], 1 | 2 | 0x16) && ip.segments()[1..7] == [0; 6] => {
                Err("is for the control of networks (RFC 4291); try ff02::4242")
            }
            2 => Ok("one link"),
            4 => Ok("administratively scoped"),
            5 => Ok("one site"),
            8 => Ok("one organization"),
            _ => Ok("globally scoped"),
        },
    }
}

impl GroupOptions {
    /// Reads them all; `None` if one that is needed is wrong, which `options` remembers.
    pub(super) fn parse(datagrams: &DatagramListener, options: &mut Options) -> Option<Self> {
        for (option, why) in [
            (
                "echo",
                "is for members that ask for it; a group would hear everything twice, and so would whoever hears it",
            ),
            ("commands", "is for single hosts: a group gives none, and `/` means nothing there"),
            ("framing", "is for tcp, tls and unix; over UDP each datagram is a frame"),
            ("datagrams", "is for single hosts: a group's datagrams are published as they are"),
            ("new-rooms", "is for single hosts: a group makes no rooms"),
            ("auth", "is for connections: whoever sends to a group shows no token"),
        ] {
            options.forbid(option, why);
        }
        if datagrams.is_freebind() {
            options.refuse("freebind", "is for addresses of this machine; put ? behind the interface's name");
        }
        let (address, is_broadcast) =
            (address(datagrams.host()), options.value("broadcast", parse_switch).unwrap_or(false));
        check(datagrams.host(), is_broadcast, options);
        let format = options.value("format", |text| text.parse().map_err(|_| "not text, json or raw".to_owned()));
        let format = format.unwrap_or(Format::Text);
        let room = options.value("room", |text| RoomName::parse(text).map_err(|error| format!("not a room: {error}")));
        if room.is_none() {
            options.refuse("room", "a group is a member of one room: put room=NAME");
        }
        let default = if format == Format::Raw { Overflow::Conflate } else { Overflow::DropOldest };
        let heartbeat = options.value("heartbeat", parse_timeout);
        if format != Format::Json && matches!(heartbeat, Some(Some(_))) {
            options.refuse("heartbeat", "is for format=json, which has words for it");
        }
        let sources = options.value("source", |text| parse_sources(text, address)).unwrap_or_default();
        let loops = options.value("loop", parse_switch);
        if is_broadcast && loops == Some(false) {
            options.refuse("loop", "is for multicast: what goes to a subnet is heard by this machine too");
        }
        options.live.idle = Some(Idle(options.value("idle", parse_timeout).unwrap_or(None)));
        Some(Self {
            name: options.value("name", |text| UserName::parse(text).map_err(|error| format!("not a name: {error}"))),
            direction: options.value("direction", parse_direction).unwrap_or_default(),
            overflow: options.value("overflow", |text| parse_overflow(text, format)).unwrap_or(default),
            heartbeat: heartbeat.unwrap_or(Some(HEARTBEAT)).filter(|_| format == Format::Json),
            repair: options.value("repair", parse_repair).unwrap_or_default(),
            datagram_bytes: options.value("mtu", parse_mtu).unwrap_or(MTU),
            relays: options.value("relay", parse_switch).unwrap_or(false),
            interfaces: options.value("interface", parse_interfaces).unwrap_or_default(),
            hops: options.value("ttl", parse_hops).unwrap_or(1),
            loops: loops.unwrap_or(true),
            rate: options.value("rate", parse_rate).unwrap_or(Some(RATE)),
            room: room?,
            format,
            sources,
            is_broadcast,
        })
    }

    /// The group to listen to and to speak to.
    pub(super) fn group(&self, datagrams: DatagramListener, timeouts: Timeouts) -> HostGroup {
        let per_second = |rate: u32| Rate::new(rate, rate);
        let (one, all) = (self.rate.map(per_second), self.rate.map(|rate| per_second(rate.saturating_mul(10))));
        let group = datagrams.group(timeouts).hops(self.hops).direction(self.direction);
        let mut group = group.datagram_bytes(self.datagram_bytes).received(one, all);
        for (name, is_optional) in &self.interfaces {
            group = if *is_optional { group.interface_later(name) } else { group.interface(name) };
        }
        group = self.sources.iter().fold(group, |group, source| group.source(*source));
        if !self.loops {
            group = group.without_loop();
        }
        if self.is_broadcast {
            group = group.broadcast();
        }
        if self.relays { group.relays() } else { group }
    }
}

/// What is wrong with the address.
fn check(host: &HostPort, is_broadcast: bool, options: &mut Options) {
    // A name's is looked at when it is bound.
    let Some(address) = address(host) else { return };
    let ip = address.ip();
    if address.port() == 0 {
        options.fault("a group has a port, which all its hosts know");
    }
    if let Err(why) = scope(ip).and_then(|scope| {
        if is_broadcast && ip.is_multicast() { Err("is multicast, which needs no broadcast=on") } else { Ok(scope) }
    }) {
        options.fault(&format!("{ip} {why}"));
    }
    let needs_interface = matches!(ip, IpAddr::V6(ip) if ip.segments()[0] & 0xf == 2);
    if needs_interface && !options.has("interface") && !host.to_string().contains('%') {
        options.refuse("interface", "a group of one link needs to know which: put interface=NAME");
    }
}

pub(crate) fn parse_sources(text: &str, group: Option<SocketAddr>) -> Result<Vec<IpAddr>, String> {
    let sources = text
        .split(',')
        .map(|source| source.parse().map_err(|_| "not an address, or several with , between".to_owned()));
    let sources: Vec<IpAddr> = sources.collect::<Result<_, _>>()?;
    match group {
        Some(group) if sources.iter().any(|source| source.is_ipv4() != group.is_ipv4()) => {
            Err("of another family than the group".to_owned())
        }
        _ => Ok(sources),
    }
}

/// Names with `,` between them, and `?` behind each that may be missing at the start.
pub(crate) fn parse_interfaces(text: &str) -> Result<Vec<(String, bool)>, String> {
    let one = |text: &str| {
        let name = text.strip_suffix('?').unwrap_or(text);
        // As long as the kernel allows (IFNAMSIZ).
        let is_name = (1..16).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'/');
        if is_name {
            Ok((name.to_owned(), name.len() < text.len()))
        } else {
            Err("not the name of an interface, or several with , between".to_owned())
        }
    };
    let names: Vec<(String, bool)> = text.split(',').map(one).collect::<Result<_, _>>()?;
    let twice = names.iter().enumerate().find(|(at, (name, _))| names[..*at].iter().any(|(before, _)| before == name));
    match twice {
        Some((_, (name, _))) => Err(format!("the same interface twice: {name}")),
        None => Ok(names),
    }
}

pub(crate) fn parse_hops(text: &str) -> Result<u8, String> {
    text.parse().map_err(|_| "not from 0 to 255".to_owned())
}

fn parse_direction(text: &str) -> Result<Direction, String> {
    match text {
        "both" => Ok(Direction::Both),
        "in" => Ok(Direction::In),
        "out" => Ok(Direction::Out),
        _ => Err("not both, in or out".to_owned()),
    }
}

fn parse_mtu(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|bytes| (64..=MOST_BYTES).contains(bytes)).ok_or_else(|| "not from 64 to 65507".to_owned())
}

fn parse_repair(text: &str) -> Result<TypedRepair, String> {
    if text == "off" {
        return Ok(TypedRepair::Off);
    }
    let url = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"));
    let authority = url.and_then(|url| url.split(['/', '?', '#']).next());
    if authority.is_some_and(|authority| authority.contains('@')) {
        return Err("a URL with a user or a password, which the whole group would be told".to_owned());
    }
    if authority.is_some_and(|authority| !authority.is_empty()) && text.bytes().all(|byte| byte.is_ascii_graphic()) {
        Ok(TypedRepair::At(text.to_owned()))
    } else {
        Err("not a URL such as http://10.0.0.5:8082, or off".to_owned())
    }
}

impl TypedRepair {
    pub(super) fn of(&self, running: &Arc<Run>) -> Repair {
        match self {
            Self::Found => Repair::Found(Arc::clone(running)),
            Self::At(url) => Repair::At(Some(url.clone())),
            Self::Off => Repair::At(None),
        }
    }
}

impl Repair {
    /// The URL for those who hear a group that is sent to from the address `own`.
    pub(super) fn url(&self, own: impl FnOnce() -> Option<IpAddr>) -> Option<String> {
        let running = match self {
            Self::At(url) => return url.clone(),
            Self::Found(running) => running,
        };
        let is_http = |url: &&String| url.starts_with("http://") || url.starts_with("https://");
        let listeners = running.listeners();
        let url = listeners.iter().filter(|one| one.service == "rooms").map(|one| &one.url).find(is_http)?;
        let (scheme, place) = url.split_once("://")?;
        let mut address: SocketAddr = place.parse().ok()?;
        if address.ip().is_loopback() {
            // Nobody else reaches it.
            return None;
        }
        if address.ip().is_unspecified() {
            address.set_ip(own()?);
        }
        Some(format!("{scheme}://{address}"))
    }
}
