//! Rooms: what one connection sends, all others in its room receive.
//!
//! Options: `format` (text), `room` (lobby), `commands` (on), `echo` (off), `rate` (1,000 where other machines can
//! connect), `overflow` (disconnect), `framing` (lines), `idle` (off). All listeners of the process share one hub.

mod commands;
mod member;
mod seats;

use super::{Add, Service, Shared};
use crate::endpoint::{Address, HostPort, Options, Scheme};
use crate::units::{parse_count, parse_switch, parse_timeout};
use bytes::Bytes;
use member::Member;
use std::sync::Arc;
use std::time::Duration;
use switchboard::{
    Codec, Connection, Format, Hub, Length, Lines, Overflow, Rate, Room, RoomName, RoomOptions, Server, Tcp, Timeouts,
    Tls, Transport, Unix,
};
use tokio::time::Instant;

pub(super) const SERVICE: Service =
    Service { name: "rooms", schemes: &[Scheme::Tcp, Scheme::Tls, Scheme::Unix], parse };

/// Where new connections are, unless the listener has another room for them.
const LOBBY: &str = "lobby";

/// Frames a second from one connection that may come from another machine.
const STRANGERS_RATE: u32 = 1000;

/// How frames are told apart on a stream.
#[derive(Debug, Clone, Copy)]
enum Framing {
    Lines,
    Length,
}

/// What was typed for one listener.
#[derive(Debug)]
struct Settings {
    format: Format,
    room: Option<RoomName>,
    commands: bool,
    echo: bool,
    rate: Option<Rate>,
    overflow: Option<Overflow>,
    framing: Framing,
    idle: Option<Duration>,
}

/// What a connection is told, and what it may do.
#[derive(Debug, Clone, Copy)]
struct Manner {
    /// How it is told, until it asks for another.
    format: Format,
    /// Whether a frame that begins with `/` is a command.
    commands: bool,
    /// Whether it gets its own messages too.
    echo: bool,
}

/// What all connections of one listener have in common.
struct Listener {
    hub: Hub,
    /// Where new connections are. Held, so that it is there without members too.
    room: Room,
    /// Held for the same reason, whoever may be elsewhere.
    _lobby: Room,
    manner: Manner,
    rate: Option<Rate>,
    overflow: Option<Overflow>,
    started: Instant,
}

fn parse(address: &Address, options: &mut Options) -> Add {
    match address.clone() {
        Address::Tcp(address) => {
            let settings = Settings::parse(options, default_rate(&address));
            Box::new(move |server, shared| {
                let tcp = Tcp::new(address).timeouts(Timeouts { idle: settings.idle, ..shared.timeouts });
                listen(server, tcp, settings, shared)
            })
        }
        Address::Tls(address, certificates) => {
            let settings = Settings::parse(options, default_rate(&address));
            Box::new(move |server, shared| {
                let timeouts = Timeouts { idle: settings.idle, ..shared.timeouts };
                listen(server, Tls::new(address, &certificates).timeouts(timeouts), settings, shared)
            })
        }
        Address::Unix(path) => {
            let settings = Settings::parse(options, None);
            Box::new(move |server, shared| {
                let unix = Unix::new(path).timeouts(Timeouts { idle: settings.idle, ..shared.timeouts });
                listen(server, unix, settings, shared)
            })
        }
        Address::Udp(_) => unreachable!("it is not among the schemes"),
    }
}

fn listen(server: Server, transport: impl Transport, settings: Settings, shared: &Shared) -> Server {
    let framing = settings.framing;
    let listener = Arc::new(Listener::new(settings, shared.hub.clone()));
    match framing {
        Framing::Lines => server.listen(transport, move |conn| serve::<Lines>(conn, &listener)),
        Framing::Length => server.listen(transport, move |conn| serve::<Length>(conn, &listener)),
    }
}

/// The future holds nothing but the member's box, since there are many that wait.
fn serve<C>(conn: Connection<C>, listener: &Arc<Listener>) -> impl Future<Output = switchboard::Result> + use<C>
where
    C: Codec,
    C::Frame: From<Bytes> + Into<Bytes>,
{
    let mut member = Box::new(Member::enter(conn, Arc::clone(listener), listener.manner));
    member.sit(&listener.room, None);
    member.serve()
}

/// For an address as it was typed: a name is taken for a public one, but for the usual name of this machine.
fn default_rate(address: &HostPort) -> Option<Rate> {
    (!address.is_loopback()).then(|| rate(STRANGERS_RATE))
}

/// A second's frames may come at once.
fn rate(per_second: u32) -> Rate {
    Rate::new(per_second, per_second)
}

impl Settings {
    fn parse(options: &mut Options, default_rate: Option<Rate>) -> Self {
        let format = options.value("format", |text| text.parse().map_err(|_| "not text, json or raw".to_owned()));
        let format = format.unwrap_or(Format::Text);
        let room = options.value("room", |text| RoomName::parse(text).map_err(|error| format!("not a room: {error}")));
        let commands = options.value("commands", parse_switch).unwrap_or(true);
        let echo = options.value("echo", parse_switch).unwrap_or(false);
        let rate = options.value("rate", parse_rate).unwrap_or(default_rate);
        let overflow = options.value("overflow", |text| parse_overflow(text, format));
        let framing = options.value("framing", parse_framing).unwrap_or(Framing::Lines);
        let idle = options.value("idle", parse_timeout).unwrap_or(None);
        Self { format, room, commands, echo, rate, overflow, framing, idle }
    }
}

fn parse_rate(text: &str) -> Result<Option<Rate>, String> {
    if text == "off" {
        return Ok(None);
    }
    let count = parse_count(text, 1_000_000_000).map_err(|fault| format!("{fault}, nor off"))?;
    Ok(Some(rate(u32::try_from(count).unwrap_or(u32::MAX))))
}

fn parse_overflow(text: &str, format: Format) -> Result<Overflow, String> {
    let overflow = match text {
        "disconnect" => Overflow::Disconnect,
        "drop-oldest" => Overflow::DropOldest,
        "drop-newest" => Overflow::DropNewest,
        "latest" => Overflow::Latest,
        _ => return Err("not disconnect, drop-oldest, drop-newest or latest".to_owned()),
    };
    if format == Format::Raw && overflow != Overflow::Disconnect {
        return Err("not for format=raw, which cannot tell of what is lost".to_owned());
    }
    Ok(overflow)
}

fn parse_framing(text: &str) -> Result<Framing, String> {
    match text {
        "lines" => Ok(Framing::Lines),
        "length" => Ok(Framing::Length),
        _ => Err("not lines or length".to_owned()),
    }
}

impl Listener {
    fn new(settings: Settings, hub: Hub) -> Self {
        let made = |name| hub.room_with(name, RoomOptions::default());
        let Ok(lobby_name) = RoomName::parse(LOBBY) else { unreachable!("it is a name") };
        let (Ok(lobby), Ok(room)) = (made(&lobby_name), made(settings.room.as_ref().unwrap_or(&lobby_name))) else {
            unreachable!("there are fewer listeners than there may be rooms")
        };
        let Settings { format, commands, echo, rate, overflow, .. } = settings;
        let manner = Manner { format, commands, echo };
        Self { hub, room, _lobby: lobby, manner, rate, overflow, started: Instant::now() }
    }
}

#[cfg(test)]
mod tests;
