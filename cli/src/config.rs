//! What is in force: each setting's value and where it came from, flag before environment before file before default.
//!
//! Everything given is checked, also what a stronger origin overrides, and all faults are reported at once.

mod asked;
mod bans;
mod callout;
mod changes;
mod cluster;
mod example;
mod file;
mod history;
mod jwt;
mod key_files;
mod keys;
mod layers;
mod listeners;
mod places;
mod printed;
mod rooms;
mod sections;
mod show;
mod upstreams;
mod values;

pub(crate) use bans::Bans;
pub(crate) use changes::{Changes, InForce};
pub(crate) use cluster::Nodes;
pub(crate) use example::{example, schema};
pub(crate) use layers::{Fault, SENT, SetBy};
pub(crate) use rooms::{Classes, Rooms};
pub(crate) use values::banned;

use crate::args::Settings;
use crate::endpoint::Endpoint;
use crate::logging::{LogFormat, check_filter};
use crate::policy::failures::PER_MINUTE;
use crate::policy::rules::Rules;
use crate::services::group;
use crate::systemd::admin_socket;
use crate::web::access::Detail;
use history::History;
use layers::{Given, Layers};
use std::collections::HashMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};
use switchboard::{Limits, Timeouts};
use switchboard_load::typed::{parse_count, parse_duration, parse_limit, parse_size, parse_timeout};

/// Without any listener given.
const DEFAULT_LISTEN: [&str; 6] = [
    "echo=tcp://127.0.0.1:8080",
    "echo=udp://127.0.0.1:8080",
    "rooms=tcp://127.0.0.1:8081",
    "rooms=udp://127.0.0.1:8081",
    "rooms=http://127.0.0.1:8082",
    "admin=http://127.0.0.1:8083",
];

/// By default no more workers than this, nor than cores: the program mostly makes system calls.
const DEFAULT_MOST_WORKERS: usize = 4;

/// More threads than this are a slip of the finger.
const MOST_WORKERS: usize = 1024;

/// Handshakes a second that the library can count.
const MOST_HANDSHAKES: usize = u32::MAX as usize;

/// A value in force and where it came from.
#[derive(Debug)]
pub(crate) struct Setting<T> {
    pub(crate) value: T,
    pub(crate) set_by: SetBy,
}

/// Everything `serve` needs to know.
#[derive(Debug)]
pub(crate) struct Config {
    pub(crate) file: Option<(PathBuf, SetBy)>,
    pub(crate) listen: Setting<Vec<Endpoint>>,
    pub(crate) workers: Setting<OfMachine>,
    pub(crate) connections: Setting<OfMachine>,
    pub(crate) connections_per_address: Setting<PerAddress>,
    pub(crate) handshakes_per_address: Setting<PerAddress>,
    pub(crate) frame_bytes: Setting<usize>,
    pub(crate) outbox_bytes: Setting<usize>,
    pub(crate) memory_bytes: Setting<OfMachine>,
    pub(crate) write_timeout: Setting<Option<Duration>>,
    pub(crate) grace: Setting<Duration>,
    /// Wrong tokens from one address in a minute.
    pub(crate) auth_failures: Setting<Option<u32>>,
    pub(crate) log: Setting<String>,
    /// Where an audit is written, if that is not the log.
    pub(crate) audit: Setting<Option<PathBuf>>,
    /// How much is told of requests over HTTP, and where, if that is not the log.
    pub(crate) access_log: Setting<Detail>,
    pub(crate) access_log_file: Setting<Option<PathBuf>>,
    pub(crate) log_format: Setting<LogFormat>,
    /// Where things are kept over a restart.
    pub(crate) state_directory: Setting<StateDirectory>,
    /// What is kept of rooms, and where.
    pub(crate) history: History,
    /// Which other nodes rooms are shared with, and how.
    pub(crate) cluster: Nodes,
    /// Who may do what; of a file alone.
    pub(crate) rules: Rules,
    /// What is set of rooms by their names, and of all of them.
    pub(crate) rooms: Rooms,
    /// Networks that nobody may come from; of a file alone.
    pub(crate) bans: Bans,
}

/// A number, and whether it is what this machine has enough of: on another one it may be another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct OfMachine {
    pub(crate) number: usize,
    is_auto: bool,
}

impl OfMachine {
    /// As it can be typed anywhere.
    fn show(self, number: impl FnOnce(usize) -> String) -> String {
        if self.is_auto { quoted("auto") } else { number(self.number) }
    }

    /// What it comes to on this machine, if that was not typed.
    fn here(self, number: impl FnOnce(usize) -> String) -> String {
        if self.is_auto { format!(": {} here", number(self.number)) } else { String::new() }
    }
}

/// Where things are kept over a restart, if anywhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StateDirectory {
    typed: String,
    pub(crate) path: Option<PathBuf>,
}

/// The one that systemd gives to a service (`StateDirectory=`), if it does.
fn state_of(environment: &HashMap<String, OsString>) -> StateDirectory {
    let given = environment.get("STATE_DIRECTORY").and_then(|given| given.to_str()).filter(|given| !given.is_empty());
    // It may give several.
    let path = given.and_then(|given| given.split(':').next()).map(PathBuf::from);
    StateDirectory { typed: "auto".to_owned(), path }
}

/// How many connections one address may have, or how many handshakes a second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PerAddress {
    /// The library's choice, by where a listener can be reached from.
    Auto,
    Off,
    AtMost(usize),
}

impl PerAddress {
    fn limit(self) -> Option<usize> {
        match self {
            Self::Auto => None,
            Self::Off => Some(usize::MAX),
            Self::AtMost(limit) => Some(limit),
        }
    }
}

impl Config {
    /// Puts together what was typed, the environment and the file, or says everything that is wrong; what is with the
    /// limits is for `limit_faults` to say.
    pub(crate) fn load(
        typed: Settings,
        environment: &HashMap<String, OsString>,
        limit_faults: impl FnOnce(Limits) -> Vec<String>,
    ) -> Result<Self, Vec<Fault>> {
        let Layers { given, file, mut content, mut faults, .. } = Layers::collect(typed, environment);
        let (mut rules, rooms, bans) = sections::understand(&mut content);
        let mut choice = Choice { given, faults: Vec::new() };
        let state_directory =
            choice.one("state-directory", state_of(environment), |text| parse_directory(text, &state_of(environment)));
        content.faults.extend(key_files::read_keys(&mut rules, state_directory.value.path.as_deref()));
        content.faults.extend(asked::find_callout(&mut rules));
        rules.read_logins();
        content.faults.sort();
        if let Some((path, _)) = &file {
            let fault = |(at, text)| Fault { at: Some(at), ..Fault::new(SetBy::File(path.clone()), text) };
            faults.extend(content.faults.into_iter().map(fault));
        }
        choice.faults.splice(0..0, faults);
        let limits = Limits::default();
        let history = History::choose(&mut choice);
        let cluster = Nodes::choose(&mut choice);
        choice.faults.extend(cluster.beside(&history));
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let config = Self {
            file,
            listen: choice.listeners(admin_socket(environment).as_deref()),
            workers: choice
                .of_machine("workers", cores.min(DEFAULT_MOST_WORKERS), |text| parse_count(text, MOST_WORKERS)),
            connections: choice.of_machine("max-connections", limits.connections, |text| parse_count(text, usize::MAX)),
            connections_per_address: choice
                .one("max-connections-per-address", PerAddress::Auto, |text| parse_per_address(text, usize::MAX)),
            handshakes_per_address: choice
                .one("max-handshakes-per-address", PerAddress::Auto, |text| parse_per_address(text, MOST_HANDSHAKES)),
            frame_bytes: choice.one("max-frame", limits.frame_bytes, parse_size),
            outbox_bytes: choice.one("max-outbox", limits.outbox_bytes, parse_size),
            memory_bytes: choice.of_machine("max-memory", limits.memory_bytes, parse_size),
            write_timeout: choice.one("write-timeout", Timeouts::default().write, parse_timeout),
            grace: choice.one("grace", Duration::from_secs(30), parse_duration),
            auth_failures: choice.one("auth-failures", Some(PER_MINUTE), parse_failures),
            log: choice.one("log", "info".to_owned(), check_filter),
            audit: choice.one("audit", None, |text| parse_path(text, "a file", IN_LOG)),
            access_log: choice.one("access-log", Detail::Off, Detail::parse),
            access_log_file: choice.one("access-log-file", None, |text| parse_path(text, "a file", IN_LOG)),
            log_format: choice.one("log-format", LogFormat::Text, LogFormat::parse),
            state_directory,
            rules,
            rooms: rooms.with_defaults(history.of_rooms()),
            history,
            cluster,
            bans,
        };
        choice.faults.extend(config.cluster.carries(&config.frame_bytes));
        let beyond = limit_faults(config.limits()).into_iter();
        if config.rules.names.is_empty() {
            let nameless = config.listen.value.iter().filter_map(nameless);
            choice.faults.extend(nameless.map(|text| Fault::new(config.listen.set_by.clone(), text)));
        }
        choice.faults.extend(beyond.map(|text| Fault::new(SetBy::Limits, text)));
        if choice.faults.is_empty() { Ok(config) } else { Err(choice.faults) }
    }

    pub(crate) fn limits(&self) -> Limits {
        Limits {
            connections: self.connections.value.number,
            connections_per_address: self.connections_per_address.value.limit(),
            // Checked to be no more than the limit can say, but for `off`.
            handshakes_per_address: self
                .handshakes_per_address
                .value
                .limit()
                .map(|limit| u32::try_from(limit).unwrap_or(u32::MAX)),
            frame_bytes: self.frame_bytes.value,
            outbox_bytes: self.outbox_bytes.value,
            memory_bytes: self.memory_bytes.value.number,
            ..Limits::default()
        }
    }

    pub(crate) fn timeouts(&self) -> Timeouts {
        Timeouts { write: self.write_timeout.value, ..Timeouts::default() }
    }

    /// What is served all the same, and may not be meant, at `now`: certificates that are not valid, each once, and sections of rooms
    /// of which the alphabet chooses one.
    pub(crate) fn warnings(&self, now: SystemTime) -> Vec<String> {
        let certificates = self.listen.value.iter().filter_map(|endpoint| endpoint.address.certificates.as_ref());
        let mut warnings: Vec<_> = certificates.flat_map(|certificates| certificates.invalid_at(now)).collect();
        warnings.sort();
        warnings.dedup();
        warnings.extend(self.rooms.ties());
        warnings.extend(self.open());
        warnings.extend(self.rules.expiring(now));
        warnings.extend(bans::over(&self.bans, now));
        warnings.extend(self.rules.jwt.iter().flat_map(|section| section.warnings(self.rules.free_names())));
        warnings
    }

    /// Which listeners of rooms other machines can reach, where no file says who may do what; and which are groups, where none can.
    pub(crate) fn open(&self) -> Vec<String> {
        let rooms = self.listen.value.iter().filter(|endpoint| endpoint.service.name == "rooms");
        let open = |endpoint: &Endpoint| {
            let url = endpoint.place();
            if let Some(told) = group::told(endpoint) {
                return Some(format!("{url}: {told}"));
            }
            let is_open = self.rules.is_empty() && !endpoint.address.is_local();
            is_open.then(|| format!(
                "{url}: anyone who can reach it may do everything; to change that, add tokens to the file (switchboard token new NAME)"
            ))
        };
        rooms.filter_map(open).collect()
    }
}

/// What is given, and what was found wrong with it.
struct Choice {
    given: Vec<Given>,
    faults: Vec<Fault>,
}

impl Choice {
    /// The strongest value given for `name`; all of them are checked.
    fn one<T>(&mut self, name: &str, default: T, parse: impl Fn(&str) -> Result<T, String>) -> Setting<T> {
        let mut chosen = None;
        for Given { texts, set_by, .. } in self.given.iter().filter(|given| given.name == name) {
            for text in texts {
                match parse(&text.typed) {
                    Ok(value) if chosen.is_none() => chosen = Some(Setting { value, set_by: set_by.clone() }),
                    Ok(_) => {}
                    Err(fault) => {
                        let in_file = || keys::named(name).map(|key| format!("{} = ", key.path()));
                        let key = matches!(set_by, SetBy::File(_)).then(in_file).flatten().unwrap_or_default();
                        let wrong = format!("{key}`{}` is {fault}", text.typed.escape_debug());
                        self.faults.push(Fault { at: text.at, ..Fault::new(set_by.clone(), wrong) });
                    }
                }
            }
        }
        chosen.unwrap_or(Setting { value: default, set_by: SetBy::Default })
    }

    /// A number that is left to the machine unless another one is given; `auto` leaves it so too.
    fn of_machine(
        &mut self,
        name: &str,
        default: usize,
        parse: impl Fn(&str) -> Result<usize, String>,
    ) -> Setting<OfMachine> {
        let auto = OfMachine { number: default, is_auto: true };
        self.one(name, auto, |text| match text {
            "auto" => Ok(auto),
            _ => parse(text).map(|number| OfMachine { number, is_auto: false }).map_err(|fault| auto_too(&fault)),
        })
    }
}

/// What is wrong with a listener that names its peers, where nobody has a name by it.
fn nameless(endpoint: &Endpoint) -> Option<String> {
    let option = ["name-from", "peers"].into_iter().find(|option| endpoint.option(option).is_some())?;
    let url = endpoint.place();
    Some(format!("{url}: option `{option}`: names nobody, as the file has no [names.\"GLOB\"]"))
}

/// A fault of a value that may be `auto` as well.
fn auto_too(fault: &str) -> String {
    let (fault, hint) =
        fault.split_once(';').map_or((fault, String::new()), |(fault, hint)| (fault, format!(";{hint}")));
    format!("{fault}, nor auto{hint}")
}

fn parse_directory(text: &str, auto: &StateDirectory) -> Result<StateDirectory, String> {
    match text {
        "auto" => Ok(auto.clone()),
        "off" => Ok(StateDirectory { typed: text.to_owned(), path: None }),
        _ if Path::new(text).is_dir() => Ok(StateDirectory { typed: text.to_owned(), path: Some(text.into()) }),
        _ => Err("not a directory that is there, nor auto, nor off".to_owned()),
    }
}

/// What is told is in the log, unless a file is named.
const IN_LOG: &str = "log";

/// The path of `what`, unless it is the word for none.
fn parse_path(text: &str, what: &str, none: &str) -> Result<Option<PathBuf>, String> {
    match text {
        "" => Err(format!("neither {what} nor {none}")),
        _ if text == none => Ok(None),
        path => Ok(Some(path.into())),
    }
}

fn show_path(path: Option<&Path>, none: &str) -> String {
    path.map_or_else(|| none.to_owned(), |path| path.display().to_string())
}

fn parse_failures(text: &str) -> Result<Option<u32>, String> {
    Ok(parse_limit(text, 1_000_000)?.map(|count| count as u32))
}

fn parse_per_address(text: &str, most: usize) -> Result<PerAddress, String> {
    match text {
        "auto" => Ok(PerAddress::Auto),
        "off" => Ok(PerAddress::Off),
        _ => parse_count(text, most).map(PerAddress::AtMost).map_err(|fault| format!("{fault}, nor auto, nor off")),
    }
}

fn show_per_address(limit: PerAddress) -> String {
    match limit {
        PerAddress::Auto => quoted("auto"),
        PerAddress::Off => quoted("off"),
        PerAddress::AtMost(limit) => limit.to_string(),
    }
}

/// A text as TOML.
fn quoted(text: &str) -> String {
    toml::Value::from(text).to_string()
}

#[cfg(test)]
mod additive;
#[cfg(test)]
#[path = "../../fuzz/bodies/config.rs"]
mod body;
#[cfg(test)]
mod faulty;
#[cfg(test)]
mod tests;
