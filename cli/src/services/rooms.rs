//! Rooms: what one connection sends, all others in its room receive.
//!
//! Options: `format` (text), `room` (lobby), `commands` (on), `echo` (off), `rate` (1,000 where other machines can
//! connect), `new-rooms` (1,000 there), `overflow` (disconnect), `idle` (off; 5 minutes on UDP), on streams `framing` (lines), and over HTTP `origins`
//! (none), `auth` (optional), `access-token` (off) and `health` (off). All listeners of the process share one hub.

mod asked;
mod commands;
mod confirming;
pub(crate) mod credentials;
pub(crate) mod group;
mod listing;
pub(super) mod makers;
mod member;
mod repeating;
pub(crate) mod requested;
mod seats;
mod serving;
mod strangers;
mod web;

use super::admin::Health;
use super::{Add, NamedService, Offer, Shared, guard};
use crate::address::{DatagramListener, StreamListener};
use crate::endpoint::Options;
use crate::live::{Idle, Pace, Replaceable};
use crate::overflow;
use crate::policy::configured::FilePolicy;
use crate::policy::peers::{KnownBy, NameRule};
use crate::running::Run;
use crate::web::work::Work;
use bytes::Bytes;
use commands::unmade;
use credentials::{Admission, arrive};
use makers::{AT_ONCE, Makers, Share};
use member::Member;
use serving::Serving;
use std::sync::Arc;
use std::time::Duration;
use switchboard::grammar::{Failure, Notice, Reply};
use switchboard::{
    Codec, Connection, Cookies, DatagramLimits, Format, GuardedLines, Hub, Length, Overflow, PeerAddr, Rights, Room,
    RoomName, RoomOptions, Session, UserName,
};
use switchboard_load::typed::{Scheme, parse_limit, parse_switch, parse_timeout};
use tokio::time::Instant;
use web::{Access, Web};

pub(super) const SERVICE: NamedService = NamedService {
    name: "rooms",
    is_private: false,
    offers: &[
        Offer::Streams(&[Scheme::Tcp, Scheme::Tls, Scheme::Unix], frames),
        Offer::Datagrams(&[Scheme::Udp], datagrams),
        Offer::Streams(&[Scheme::Http, Scheme::Https], requests),
    ],
};

/// Where new connections are, unless the listener has another room for them.
const LOBBY: &str = "lobby";

/// Frames a second from one connection that may come from another machine.
const STRANGERS_RATE: u32 = 1000;

/// A datagram peer never says that it has gone.
const DATAGRAM_IDLE: Duration = Duration::from_mins(5);

/// How frames are told apart on a stream.
#[derive(Debug, Clone, Copy)]
enum Framing {
    Lines,
    Length,
}

/// Which datagrams a listener looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Heard {
    All,
    /// Those that are signed, each by itself; also those of members.
    Signed,
}

/// What was typed for one listener.
#[derive(Debug)]
struct Settings {
    format: Format,
    room: Option<RoomName>,
    commands: bool,
    echo: bool,
    rate: Pace,
    new_rooms: Replaceable<Option<Share>>,
    overflow: Option<Overflow>,
    admission: Replaceable<Admission>,
    known_by: KnownBy,
}

/// What a listener has unless something else was typed.
struct Defaults {
    format: Format,
    /// Frames a second.
    rate: Option<u32>,
    idle: Option<Duration>,
}

/// What a connection is told, and what it may do.
#[derive(Debug, Clone, Copy)]
struct MemberOptions {
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
    options: MemberOptions,
    rate: Pace,
    /// What each address may make of rooms that are not there yet.
    new_rooms: Replaceable<Option<Share>>,
    makers: Arc<Makers>,
    overflow: Option<Overflow>,
    admission: Replaceable<Admission>,
    /// How it knows whoever shows no token.
    known_by: KnownBy,
    /// Who is told what was denied.
    policy: Option<Arc<FilePolicy>>,
    /// Where what operators tell everybody is.
    running: Option<Arc<Run>>,
    /// What each address may have listed, where there is a rate.
    work: Work,
    /// Where frames are datagrams: for those who want to join.
    cookies: Option<Cookies>,
    /// Which datagrams are looked at.
    datagrams: Heard,
    /// Whoever sends datagrams and is no member.
    stranger: Session,
    started: Instant,
}

fn frames(streams: StreamListener, options: &mut Options) -> Add {
    let defaults = Defaults { format: Format::Text, rate: default_rate(streams.is_local()), idle: None };
    let settings = Settings::parse(options, defaults);
    let framing = options.value("framing", parse_framing).unwrap_or(Framing::Lines);
    let admission = Admission::parse(options, streams.is_local());
    let settings = Settings { admission, known_by: known_by(options, &streams), ..settings };
    let live = options.live.clone();
    Box::new(move |server, shared| {
        let streams = streams.timeouts(live.timeouts(shared.timeouts));
        let listener = Arc::new(Listener::of(settings, shared));
        match framing {
            Framing::Lines => streams.listen(server, move |mut conn: Connection<GuardedLines>| {
                if listener.is_relay() {
                    conn.codec_mut().carry_bytes();
                }
                serve(conn, &listener)
            }),
            Framing::Length => streams.listen(server, move |conn| serve::<Length>(conn, &listener)),
        }
    })
}

fn requests(streams: StreamListener, options: &mut Options) -> Add {
    let defaults = Defaults { format: Format::Json, rate: default_rate(streams.is_local()), idle: None };
    options.forbid("framing", "is for tcp, tls and unix; over HTTP messages and bodies are frames");
    let settings = Settings::parse(options, defaults);
    let settings = Settings { admission: Admission::parse(options, streams.is_local()), ..settings };
    let guard = guard(options, &streams);
    let settings = Settings { known_by: known_by(options, &streams), ..settings };
    let access = Access { is_in_urls: options.value("access-token", parse_switch).unwrap_or(false) };
    let live = options.live.clone();
    let is_probed = options.value("health", parse_switch).unwrap_or(false);
    Box::new(move |server, shared| {
        let streams = streams.timeouts(live.timeouts(shared.timeouts));
        let listener = Arc::new(Listener::of(settings, shared));
        let health = is_probed.then(|| Health::of(shared, server.handle()));
        let web = Arc::new(
            Web::new(listener, guard, shared.frame_bytes.clone(), access)
                .counted(&shared.running)
                .probed(health)
                .but(shared.banned(&server), Arc::clone(&shared.access)),
        );
        let unasked = Arc::clone(&web);
        let service = move |request| Arc::clone(&web).serve(request);
        streams.listen_http(server, service, move |head, headers| unasked.unasked(head, headers))
    })
}

fn datagrams(datagrams: DatagramListener, options: &mut Options) -> Add {
    if group::is_group(datagrams.host(), options) {
        return group::offer(datagrams, options);
    }
    // It is off.
    let _ = options.value("broadcast", parse_switch);
    let rate = default_rate(datagrams.is_local());
    options.forbid("framing", "is for tcp, tls and unix; over UDP each datagram is a frame");
    let heard = options.value("datagrams", parse_heard).unwrap_or(Heard::All);
    let settings = Settings::parse(options, Defaults { format: Format::Text, rate, idle: Some(DATAGRAM_IDLE) });
    // The transport has it too.
    options.live.rate = None;
    if heard == Heard::Signed && !settings.commands {
        options.refuse("datagrams", "what is signed is a command, and there are none here");
    }
    let live = options.live.clone();
    Box::new(move |server, shared| {
        let limits = DatagramLimits { received: settings.rate.now(), ..DatagramLimits::default() };
        let udp = datagrams.udp(live.timeouts(shared.timeouts)).limits(limits);
        let cookies = Some(Cookies::default());
        let listener = Listener { cookies, datagrams: heard, ..Listener::of(settings, shared) };
        let listener = Arc::new(listener);
        let to_strangers = Arc::clone(&listener);
        server.udp_peers(
            udp,
            move |datagram, reply| to_strangers.handle_stranger(datagram, reply),
            move |conn: Connection<switchboard::Datagrams>| {
                Box::new(Member::enter(conn, Arc::clone(&listener), listener.options)).serve()
            },
        )
    })
}

/// Serves a connection, once it has presented a token where that has to come first. The future holds nothing but the member's box, since
/// there are many that wait.
fn serve<C>(conn: Connection<C>, listener: &Arc<Listener>) -> impl Future<Output = switchboard::Result> + use<C>
where
    C: Codec,
    C::Frame: From<Bytes> + Into<Bytes>,
{
    if listener.admission.now() == Admission::Required || listener.hub.is_shared() {
        // Boxed, since it is over soon, and the member stays.
        return Serving::Arriving { arriving: Box::pin(arrive(conn, Arc::clone(listener))), serve: Member::serve };
    }
    let mut member = Box::new(Member::enter(conn, Arc::clone(listener), listener.options));
    if member.be_admitted().is_ok() {
        member.take_first_seat();
    }
    Serving::There { serving: member.serve() }
}

/// How a listener knows its peers by their transport.
fn known_by(options: &mut Options, streams: &StreamListener) -> KnownBy {
    if !streams.asks_clients() {
        options.forbid("name-from", "needs a client-ca=FILE, whose certificates are asked for");
    }
    if !streams.is_unix() {
        options.forbid("peers", "is for Unix sockets, whose peers the system knows");
    }
    let rule = streams.asks_clients().then(|| options.value("name-from", NameRule::parse)).flatten();
    let login = |text: &str| if text == "login" { Ok(()) } else { Err("not login".to_owned()) };
    let is_by_user = streams.is_unix().then(|| options.value("peers", login)).flatten();
    match (rule, is_by_user) {
        (Some(rule), _) => KnownBy::Certificate(rule),
        (None, Some(())) => KnownBy::User,
        (None, None) => KnownBy::Nothing,
    }
}

/// Where other machines can connect.
fn default_rate(is_local: bool) -> Option<u32> {
    (!is_local).then_some(STRANGERS_RATE)
}

impl Settings {
    fn parse(options: &mut Options, defaults: Defaults) -> Self {
        let format = options.value("format", |text| text.parse().map_err(|_| "not text, json or raw".to_owned()));
        let format = format.unwrap_or(defaults.format);
        let room = options.value("room", |text| RoomName::parse(text).map_err(|error| format!("not a room: {error}")));
        let commands = options.value("commands", parse_switch).unwrap_or(true);
        let echo = options.value("echo", parse_switch).unwrap_or(false);
        let rate = options.value("rate", parse_rate).unwrap_or(defaults.rate);
        let rate = options.live.rate.insert(Pace::new(rate.unwrap_or(0))).clone();
        // As the rate, where others can connect.
        let share = defaults.rate.map(|_| Share::new(AT_ONCE));
        let new_rooms = options.value("new-rooms", parse_share).unwrap_or(share);
        let new_rooms = options.live.new_rooms.insert(Replaceable::new(new_rooms)).clone();
        let overflow = options.value("overflow", |text| parse_overflow(text, format));
        options.live.idle = Some(Idle(options.value("idle", parse_timeout).unwrap_or(defaults.idle)));
        let (admission, known_by) = Default::default();
        Self { format, room, commands, echo, rate, new_rooms, overflow, admission, known_by }
    }
}

fn parse_rate(text: &str) -> Result<Option<u32>, String> {
    let count = parse_limit(text, 1_000_000_000)?;
    Ok(count.map(|count| u32::try_from(count).unwrap_or(u32::MAX)))
}

fn parse_share(text: &str) -> Result<Option<Share>, String> {
    let count = parse_limit(text, 1_000_000)?;
    Ok(count.map(|count| Share::new(u32::try_from(count).unwrap_or(u32::MAX))))
}

fn parse_overflow(text: &str, format: Format) -> Result<Overflow, String> {
    let Some(policy) = overflow::parse(text) else {
        return Err("not disconnect, drop-oldest, drop-newest, latest or conflate".to_owned());
    };
    if format == Format::Raw && !matches!(policy, Overflow::Disconnect | Overflow::Conflate) {
        return Err("not for format=raw, which cannot say what was lost".to_owned());
    }
    Ok(policy)
}

fn parse_heard(text: &str) -> Result<Heard, String> {
    match text {
        "all" => Ok(Heard::All),
        "signed" => Ok(Heard::Signed),
        _ => Err("not all or signed".to_owned()),
    }
}

fn parse_framing(text: &str) -> Result<Framing, String> {
    match text {
        "lines" => Ok(Framing::Lines),
        "length" => Ok(Framing::Length),
        _ => Err("not lines or length".to_owned()),
    }
}

impl Listener {
    /// One of the process, whose listeners count together who makes rooms.
    fn of(settings: Settings, shared: &Shared) -> Self {
        let (makers, policy) = (Arc::clone(&shared.makers), shared.policy.clone());
        Self { makers, policy, running: Some(Arc::clone(&shared.running)), ..Self::new(settings, shared.hub.clone()) }
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "a listener's rooms are the operator's, and made by the program itself"
    )]
    fn new(settings: Settings, hub: Hub) -> Self {
        let made = |name| hub.room_with(name, RoomOptions::default());
        let Ok(lobby_name) = RoomName::parse(LOBBY) else { unreachable!("it is a name") };
        let (Ok(lobby), Ok(room)) = (made(&lobby_name), made(settings.room.as_ref().unwrap_or(&lobby_name))) else {
            unreachable!("there are fewer listeners than there may be rooms")
        };
        let Ok(stranger) = hub.session(UserName::udp(), Format::Text) else {
            unreachable!("nobody can take that name")
        };
        let Settings { format, commands, echo, rate, new_rooms, overflow, admission, known_by, .. } = settings;
        Self {
            hub,
            room,
            _lobby: lobby,
            options: MemberOptions { format, commands, echo },
            work: Work::while_paced(rate.clone()),
            rate,
            new_rooms,
            makers: Arc::default(),
            overflow,
            admission,
            known_by,
            policy: None,
            running: None,
            cookies: None,
            datagrams: Heard::All,
            stranger,
            started: Instant::now(),
        }
    }

    /// What whoever comes is told first, in a room or in none; and what operators tell everybody, if they do.
    fn welcome(&self, session: &Session, room: Option<RoomName>) -> Vec<Bytes> {
        let format = session.format();
        let mut frames = format.reply(&Reply::Welcome { name: session.name(), room });
        let motd = self.running.as_ref().and_then(|running| running.steered().motd());
        frames.extend(motd.and_then(|text| format.notice(&Notice::Announcement { text: text.into() })));
        frames
    }

    /// The room of that name, which is made if there is none and `peer` may make one.
    fn make(&self, session: &Session, name: &RoomName, peer: &PeerAddr) -> Result<Room, Failure> {
        let makes = || self.may(&session.principal(), name, Rights::CREATE).is_ok() && session.find(name).is_none();
        if let Some(share) = self.new_rooms.now().filter(|_| makes()) {
            self.makers.make(peer, share)?;
        }
        session.room(name).map_err(unmade)
    }

    /// Whether a frame's line end is none of its text: `nc -u` sends one. A relay's payloads end as they like.
    fn trims(&self) -> bool {
        self.cookies.is_some() && !self.is_relay()
    }

    /// Whether payloads are all there is, to be passed on byte for byte.
    fn is_relay(&self) -> bool {
        self.options.format == Format::Raw && !self.options.commands
    }
}

#[cfg(test)]
mod governed;
#[cfg(test)]
mod tests;
