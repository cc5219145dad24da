//! What to do, from what was typed: every value is checked, and all faults are reported at once.

use crate::arguments::Arguments;
use crate::payload::{ECHO_HEAD, ROOM_HEAD};
use crate::protocol::Protocol;
use crate::schedule::{Phases, nanoseconds};
use crate::target::{self, Address, Scheme, Url};
use crate::typed::{Secret, parse_count, parse_duration, parse_latency, parse_number, parse_size};
use std::fs::OpenOptions;
use std::path::PathBuf;
use std::time::Duration;
use switchboard::RoomName;

/// More threads than this are a typing mistake.
const MOST_THREADS: usize = 64;

/// By default no more threads than this: a server under test wants cores as well.
const DEFAULT_MOST_THREADS: usize = 4;

/// As long as a frame of switchboard may be by default.
const MOST_BYTES: usize = 64 << 10;

/// As long as a datagram can be.
const MOST_DATAGRAM_BYTES: usize = 65_507 - 64;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scenario {
    Echo,
    Rooms,
    Idle,
    Udp,
}

impl Scenario {
    const NAMES: [(&'static str, Self); 4] =
        [("echo", Self::Echo), ("rooms", Self::Rooms), ("idle", Self::Idle), ("udp", Self::Udp)];

    pub(crate) fn name(self) -> &'static str {
        Self::NAMES.iter().find(|(_, scenario)| *scenario == self).map_or("", |(name, _)| name)
    }
}

/// When a message is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Load {
    /// At a constant rate, whatever comes back.
    Open { rate: u64 },
    /// As soon as fewer than this many are unanswered.
    Closed { in_flight: u32 },
}

/// Everything about a run.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) scenario: Scenario,
    pub(crate) url: Url,
    pub(crate) address: Address,
    pub(crate) protocol: Protocol,
    pub(crate) connections: usize,
    pub(crate) size: usize,
    pub(crate) load: Load,
    pub(crate) phases: Phases,
    /// The time over which idle connections are opened.
    pub(crate) opening: u64,
    pub(crate) churn: u64,
    pub(crate) slow_readers: usize,
    pub(crate) publishers: usize,
    pub(crate) rooms: usize,
    pub(crate) room: String,
    /// Whether clients of lines join a room by its name; otherwise they do so if the server says that it knows the command.
    pub(crate) join: bool,
    pub(crate) sources: usize,
    pub(crate) seed: u64,
    pub(crate) threads: usize,
    pub(crate) server: Vec<u32>,
    pub(crate) ca: Option<PathBuf>,
    /// The token that is presented to the server first.
    pub(crate) token: Option<Secret>,
    pub(crate) max_p99: Option<Duration>,
    pub(crate) max_lost: Option<u64>,
    pub(crate) max_failed: u64,
    pub(crate) json: bool,
    pub(crate) html: Option<PathBuf>,
    pub(crate) tui: bool,
}

impl Plan {
    /// Connections of all kinds.
    pub(crate) fn all_connections(&self) -> usize {
        self.connections + self.publishers
    }

    /// Connections that send messages.
    pub(crate) fn senders(&self) -> usize {
        match self.scenario {
            Scenario::Rooms => self.publishers,
            Scenario::Echo | Scenario::Udp => self.connections,
            Scenario::Idle => 0,
        }
    }

    /// Messages a second, where they are due at a rate.
    pub(crate) fn rate(&self) -> Option<u64> {
        match self.load {
            Load::Open { rate } => Some(rate),
            Load::Closed { .. } => None,
        }
    }

    /// The name of room number `index`.
    pub(crate) fn room_name(&self, index: usize) -> String {
        if self.rooms == 1 { self.room.clone() } else { format!("{}-{}", self.room, index + 1) }
    }

    pub(crate) fn parse(typed: Arguments) -> Result<Self, Vec<String>> {
        let mut faults = Faults::default();
        let known = Scenario::NAMES.iter().find(|(name, _)| *name == typed.scenario);
        let scenario = known.map(|(_, scenario)| *scenario);
        if scenario.is_none() {
            let names = Scenario::NAMES.map(|(name, _)| name).join(", ");
            faults.argument(format!("unknown scenario `{}`; known: {names}", typed.scenario));
        }
        let place = Url::with_scheme(&typed.url);
        let url = Url::parse(&place).map_err(|fault| faults.argument(format!("{place}: {fault}"))).ok();
        let address = url
            .as_ref()
            .and_then(|url| url.resolve().map_err(|fault| faults.argument(format!("{}: {fault}", url.typed))).ok());
        // What cannot be known stands for the most common, so that the other options are checked all the same.
        let kind = scenario.unwrap_or(Scenario::Echo);
        let scheme = url.as_ref().map_or(Scheme::Tcp, |url| url.scheme);
        let numbers = Numbers::take(&typed, kind, scheme, &mut faults);
        numbers.check(url.as_ref(), address.as_ref(), &typed, &mut faults);
        match (url, address) {
            (Some(url), Some(address)) if faults.0.is_empty() => Ok(numbers.plan(kind, url, address, typed)),
            _ => Err(faults.0),
        }
    }
}

/// The options' values, before they are checked together.
struct Numbers {
    connections: usize,
    size: usize,
    load: Load,
    duration: Duration,
    warmup: Duration,
    ramp: Duration,
    churn: u64,
    slow_readers: usize,
    publishers: usize,
    rooms: usize,
    room: Option<String>,
    protocol: Protocol,
    sources: Option<usize>,
    seed: u64,
    threads: usize,
    server: Vec<u32>,
    token: Option<Secret>,
    max_p99: Option<Duration>,
    max_lost: Option<u64>,
    max_failed: u64,
}

impl Numbers {
    fn take(typed: &Arguments, scenario: Scenario, scheme: Scheme, faults: &mut Faults) -> Self {
        use Scenario::{Echo, Idle, Rooms, Udp};
        let mut one = Taker { scenario, faults };
        let (connections, size, rate, least) = match scenario {
            Echo => (50, 64, 1000, ECHO_HEAD),
            Rooms => (100, 128, 100, ROOM_HEAD),
            Idle => (1000, 64, 1000, ECHO_HEAD),
            Udp => (16, 64, 1000, ECHO_HEAD),
        };
        let most = if scenario == Udp { MOST_DATAGRAM_BYTES } else { MOST_BYTES };
        let sending = [Echo, Rooms, Udp];
        let size_in_range = |text: &str| {
            parse_size(text).and_then(|size| {
                let fits = (least..=most).contains(&size);
                if fits { Ok(size) } else { Err(format!("not from {least} to {most} bytes")) }
            })
        };
        let any = |text: &str| parse_count(text, 10_000_000);
        let rate_typed = one.take("--rate", typed.rate.as_ref(), &sending, parse_rate).unwrap_or(Some(rate));
        let in_flight = one.take("--in-flight", typed.in_flight.as_ref(), &sending, |text| parse_count(text, 1 << 20));
        if in_flight.is_some() && rate_typed.is_some() {
            one.faults.flag("--in-flight", "needs --rate max: at a constant rate nothing waits for replies".to_owned());
        }
        let in_flight = in_flight.unwrap_or(1) as u32;
        let rooms = one.take("--rooms", typed.rooms.as_ref(), &[Rooms], any);
        let publishers = one.take("--publishers", typed.publishers.as_ref(), &[Rooms], any);
        let protocol = one.take("--protocol", typed.protocol.as_ref(), &[Rooms], parse_protocol);
        let default = match scenario {
            Udp => Protocol::Datagrams,
            _ if scheme.is_websocket() => Protocol::Ws,
            _ => Protocol::Lines,
        };
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let threads = |text: &str| parse_count(text, MOST_THREADS);
        let streams = [Echo, Rooms];
        Self {
            connections: one.take("--connections", typed.connections.as_ref(), &[], any).unwrap_or(connections),
            size: one.take("--size", typed.size.as_ref(), &sending, size_in_range).unwrap_or(size),
            load: rate_typed.map_or(Load::Closed { in_flight }, |rate| Load::Open { rate }),
            duration: one
                .take("--duration", typed.duration.as_ref(), &[], parse_duration)
                .unwrap_or(Duration::from_secs(10)),
            warmup: one.take("--warmup", typed.warmup.as_ref(), &sending, parse_duration).unwrap_or(match scenario {
                Idle => Duration::ZERO,
                _ => Duration::from_secs(1),
            }),
            ramp: one.take("--ramp", typed.ramp.as_ref(), &[], parse_duration).unwrap_or_default(),
            churn: one.take("--churn", typed.churn.as_ref(), &[Echo, Rooms, Idle], parse_number).unwrap_or(0),
            slow_readers: one.take("--slow-readers", typed.slow_readers.as_ref(), &streams, parse_number).unwrap_or(0)
                as usize,
            publishers: publishers.unwrap_or(if scenario == Rooms { rooms.unwrap_or(1) } else { 0 }),
            rooms: rooms.unwrap_or(1),
            room: one.take("--room", typed.room.as_ref(), &[Rooms], parse_room),
            protocol: protocol.unwrap_or(default),
            sources: one.take("--source-addresses", typed.source_addresses.as_ref(), &[], |text| {
                parse_count(text, target::MOST_SOURCES)
            }),
            seed: one.take("--seed", typed.seed.as_ref(), &[], parse_number).unwrap_or(1),
            threads: one
                .take("--threads", typed.threads.as_ref(), &[], threads)
                .unwrap_or((cores / 2).clamp(1, DEFAULT_MOST_THREADS)),
            server: one.take("--server-pid", typed.server_pid.as_ref(), &[], parse_processes).unwrap_or_default(),
            token: one.token(typed, protocol.unwrap_or(default)),
            max_p99: one.take("--max-p99", typed.max_p99.as_ref(), &sending, parse_latency),
            max_lost: one.take("--max-lost", typed.max_lost.as_ref(), &sending, parse_number),
            max_failed: one.take("--max-failed", typed.max_failed.as_ref(), &[], parse_number).unwrap_or(0),
        }
    }

    /// What the values mean together.
    fn check(&self, url: Option<&Url>, address: Option<&Address>, typed: &Arguments, faults: &mut Faults) {
        if self.duration.is_zero() {
            faults.flag("--duration", "must be longer than 0".to_owned());
        }
        if self.publishers < self.rooms && typed.scenario == "rooms" {
            faults
                .flag("--publishers", format!("{} for {} rooms: each needs at least one", self.publishers, self.rooms));
        }
        if self.connections < self.rooms {
            faults.flag(
                "--connections",
                format!("{} for {} rooms: each needs at least one", self.connections, self.rooms),
            );
        }
        if self.slow_readers > self.connections {
            faults.flag("--slow-readers", format!("{} of {} connections", self.slow_readers, self.connections));
        }
        let closed = matches!(self.load, Load::Closed { .. });
        if self.churn > 0 && closed && typed.scenario == "rooms" {
            faults.flag(
                "--churn",
                "in rooms it needs a rate: nothing can wait for members that have just joined".to_owned(),
            );
        }
        if closed && !self.ramp.is_zero() && typed.scenario != "idle" {
            faults.flag("--ramp", "needs a rate to ramp up to, and it is max".to_owned());
        }
        // Found out before the run, not after it; an existing file stays until then.
        if let Some(path) = &typed.html
            && let Err(error) = OpenOptions::new().append(true).create(true).open(path)
        {
            faults.flag("--html", format!("{}: {error}", path.display()));
        }
        if let Some(url) = url {
            self.check_url(url, typed, faults);
        }
        if let Some(address) = address {
            let sources = self.sources.unwrap_or(1);
            if sources > 1 && !address.is_loopback() {
                faults
                    .flag("--source-addresses", "only a server on 127.x.y.z can be reached from 127.1.x.y".to_owned());
            }
        }
    }

    fn check_url(&self, url: &Url, typed: &Arguments, faults: &mut Faults) {
        let datagrams = url.scheme == Scheme::Udp;
        if datagrams != (typed.scenario == "udp") && Scenario::NAMES.iter().any(|(name, _)| *name == typed.scenario) {
            let wanted = if datagrams { "udp:// goes with the scenario udp" } else { "the scenario udp needs udp://" };
            faults.argument(format!("{}: {wanted}", url.typed));
        }
        if url.scheme.is_websocket() != (self.protocol == Protocol::Ws) && typed.scenario == "rooms" {
            faults.flag("--protocol", format!("{} does not go with {}", self.protocol.name(), url.typed));
        }
        if url.scheme.is_websocket() && self.rooms > 1 && !url.path.contains("{room}") {
            faults.argument(format!("{}: {} rooms need {{room}} in the path", url.typed, self.rooms));
        }
        if typed.ca.is_some() && !url.scheme.is_tls() {
            faults.flag("--ca", format!("there are no certificates at {}", url.typed));
        }
    }

    fn plan(self, scenario: Scenario, url: Url, address: Address, typed: Arguments) -> Plan {
        let idle = scenario == Scenario::Idle;
        let all = self.connections + self.publishers;
        let needed = if address.is_loopback() { target::sources_for(all) } else { 1 };
        Plan {
            scenario,
            url,
            address,
            protocol: self.protocol,
            connections: self.connections,
            size: self.size,
            load: self.load,
            phases: Phases {
                ramp: if idle { 0 } else { nanoseconds(self.ramp) },
                warmup: nanoseconds(self.warmup),
                duration: nanoseconds(self.duration),
            },
            opening: if idle { nanoseconds(self.ramp) } else { 0 },
            churn: self.churn,
            slow_readers: self.slow_readers,
            publishers: self.publishers,
            rooms: self.rooms,
            join: self.room.is_some(),
            room: self.room.unwrap_or_else(|| "bench".to_owned()),
            sources: self.sources.unwrap_or(needed),
            seed: self.seed,
            threads: self.threads.min(all),
            server: self.server,
            ca: typed.ca,
            token: self.token,
            max_p99: self.max_p99,
            max_lost: self.max_lost,
            max_failed: self.max_failed,
            json: typed.json,
            html: typed.html,
            tui: !typed.no_tui,
        }
    }
}

/// Takes options of one scenario.
struct Taker<'a> {
    scenario: Scenario,
    faults: &'a mut Faults,
}

impl Taker<'_> {
    /// The value of an option that only some scenarios have; none means all.
    fn take<T>(
        &mut self,
        flag: &'static str,
        typed: Option<&String>,
        scenarios: &[Scenario],
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        if typed.is_some() && !scenarios.is_empty() && !scenarios.contains(&self.scenario) {
            self.faults.flag(flag, format!("is not for {}", self.scenario.name()));
        }
        self.faults.read(flag, typed, parse)
    }

    /// The token for servers of lines and WebSockets. One from the environment is used only where a server takes it.
    fn token(&mut self, typed: &Arguments, protocol: Protocol) -> Option<Secret> {
        let takes = matches!(self.scenario, Scenario::Rooms | Scenario::Idle)
            && matches!(protocol, Protocol::Lines | Protocol::Ws);
        let Some(file) = &typed.token_file else {
            let value = std::env::var_os(Secret::VARIABLE).filter(|value| takes && !value.is_empty())?;
            let name = Secret::VARIABLE;
            return Secret::of_variable(&value).map_err(|fault| self.faults.flag(name, fault)).ok();
        };
        if !takes {
            self.faults.flag("--token-file", "is for rooms and idle, over lines or WebSockets".to_owned());
        }
        Secret::of_file(file).map_err(|fault| self.faults.flag("--token-file", fault)).ok()
    }
}

/// What is wrong, and with which option, one line each.
#[derive(Default)]
pub(crate) struct Faults(pub(crate) Vec<String>);

impl Faults {
    pub(crate) fn argument(&mut self, text: String) {
        self.0.push(text);
    }

    pub(crate) fn flag(&mut self, flag: &str, text: String) {
        self.0.push(format!("{flag}: {text}"));
    }

    /// The value of an option, if it is given and can be read.
    pub(crate) fn read<T>(
        &mut self,
        flag: &str,
        typed: Option<&String>,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        let text = typed?;
        parse(text).map_err(|fault| self.flag(flag, format!("`{}` is {fault}", text.escape_debug()))).ok()
    }
}

/// A number of messages a second; `None` for `max`.
fn parse_rate(text: &str) -> Result<Option<u64>, String> {
    if text == "max" {
        return Ok(None);
    }
    let rate = parse_count(text, 100_000_000).map_err(|fault| format!("{fault}, nor max"))?;
    Ok(Some(rate as u64))
}

fn parse_protocol(text: &str) -> Result<Protocol, String> {
    let found = Protocol::NAMES.iter().find(|(name, _)| *name == text);
    let names = || Protocol::NAMES.map(|(name, _)| name).join(", ");
    found.map(|(_, protocol)| *protocol).ok_or_else(|| format!("not one of {}", names()))
}

pub(crate) fn parse_room(text: &str) -> Result<String, String> {
    RoomName::parse(text).map(|_| text.to_owned()).map_err(|fault| format!("not a room: {fault}"))
}

pub(crate) fn parse_processes(text: &str) -> Result<Vec<u32>, String> {
    let process = |text: &str| {
        let process = text.parse().map_err(|_| "not a process number".to_owned())?;
        let exists = std::path::Path::new(&format!("/proc/{process}")).exists();
        if exists { Ok(process) } else { Err("no such process".to_owned()) }
    };
    text.split(',').map(process).collect()
}
