//! What is typed behind `switchboard admin`, and what of the server's interface it is: a method, a path, and what is sent.

use super::shown::{self, Shown};
use crate::fetch::JSON;
use bytes::Bytes;
use clap::Subcommand;
use http::Method;
use serde_json::{Value, json};
use std::fmt::Write as _;
use switchboard::{RoomName, UserName};
use switchboard_load::typed::{parse_duration, percent_encoded};

const CONNECTION_FILTERS: &str = "\
FILTER is one of
  sort=ORDER         age, outbox, lost, quiet, in or out: the most first (age)
  transport=NAME     tcp, tls, unix, udp, http, https, ws or wss
  listener=URL       as `status` shows it
  address=NETWORK    as in 10.0.0.0/8
  name=GLOB          as in 'boiler-*'
  room=ROOM          members of this room
  source=SOURCE      as they are known by: token, jwt.NAME, callout,
                     certificate, unix, as or auth=off
  limit=N            at most 1000 (100)
  after=ID           those that came after this one";

const UPSTREAM_COLUMNS: &str = "\
STATE is one of
  in                 gets connections
  failing            would be taken out, but is the last one of its proxy
  out                taken out for a while, after failures to connect
  down               taken out until it passes its check

OPEN and LIMIT     connections now, and at most; WAITING of all clients
CONNECTIONS        those that were made so far; FAILURES those that were not
CHECKS             checks that it passed, and CHECKS FAILED those it did not
BYTES TO, FROM     what was passed on to it, and what came back";

const CLOSED_FILTERS: &str = "\
FILTER is one of
  reason=REASON      as in slow-consumer
  address=NETWORK    as in 10.0.0.0/8
  name=GLOB          as in 'boiler-*'
  limit=N            at most 1000 (100)
  after=ID           those that ended before this one";

const EVENT_FILTERS: &str = "\
FILTER is one of
  event=EVENT        as in refused, denied, admin or revoked
  since=SEQ          those behind this number
  limit=N            at most 1000 (100)";

const ROOM_FILTERS: &str = "\
FILTER is one of
  sort=ORDER         name, members, history or publications: the most first
                     (name)
  glob=GLOB          as in 'board.*'
  limit=N            at most 1000 (100)
  after=ROOM         those that come after this one";

const REVOCATION_FILTERS: &str = "\
FILTER is one of
  limit=N            at most 1000 (100)
  after=ID           those that come after this one";

#[derive(Debug, Subcommand)]
pub(super) enum Action {
    /// Show what runs, since when, where it listens, and how near its limits are
    Status,
    /// Say whether the server works, and whether it wants connections; exit code 1 if it does not work
    Health {
        /// Exit code 1 also if it wants no connections now
        #[arg(long)]
        ready: bool,
    },
    /// List open connections
    #[command(after_long_help = CONNECTION_FILTERS)]
    Connections {
        /// Which, and in what order (see --help)
        #[arg(value_name = "FILTER", value_parser = filter, help = "Which, and in what order, as in sort=outbox (see --help)")]
        filters: Vec<ListFilter>,
    },
    /// List those that have ended lately, and why
    #[command(after_long_help = CLOSED_FILTERS)]
    Closed {
        #[arg(value_name = "FILTER", value_parser = filter, help = "Which, as in reason=slow-consumer (see --help)")]
        filters: Vec<ListFilter>,
    },
    /// List the upstreams of proxies: which are taken out, what they have, and what failed
    #[command(after_long_help = UPSTREAM_COLUMNS)]
    Upstreams,
    /// List rooms
    #[command(after_long_help = ROOM_FILTERS)]
    Rooms {
        #[arg(value_name = "FILTER", value_parser = filter, help = "Which, and in what order, as in sort=members (see --help)")]
        filters: Vec<ListFilter>,
    },
    /// Show the connection that has a name
    Who {
        /// The name
        #[arg(value_parser = parse_name)]
        name: UserName,
    },
    /// Close a connection politely
    Close {
        /// Its number, as `connections` shows it, or its name; what is all digits is a number
        #[arg(value_name = "ID|NAME", value_parser = parse_closing)]
        target: Closing,
    },
    /// Show what the audit has told lately: who was let in, refused and denied, and what operators did
    #[command(after_long_help = EVENT_FILTERS)]
    Events {
        /// Go on with what comes
        #[arg(short, long)]
        follow: bool,
        #[arg(value_name = "FILTER", value_parser = filter, help = "Which, as in event=refused (see --help)")]
        filters: Vec<ListFilter>,
    },
    /// Show each setting in force, where it came from, and whether a reload or a restart changes it
    Config,
    /// Say whether somebody may do something in a room, and which lines of the file say so
    Can {
        /// A name, or anonymous for whoever presents no token
        who: String,
        /// A right: join, publish, history, presence, create, moderate; read, write or all
        action: String,
        #[arg(value_parser = parse_room)]
        room: RoomName,
    },
    /// Tell all members of every room something, in nobody's name
    Announce {
        text: String,
        /// Which room alone
        #[arg(long, value_name = "ROOM", value_parser = parse_room)]
        room: Option<RoomName>,
    },
    /// Tell everybody who comes a line behind the welcome, or show what they are told
    Motd {
        /// One line [default: change nothing]
        text: Option<String>,
        /// Tell them nothing any more
        #[arg(long, conflicts_with = "text")]
        clear: bool,
    },
    /// Remove somebody from a room, who stays connected, and may come back if it may join
    Remove {
        /// The name
        #[arg(value_parser = parse_name)]
        name: UserName,
        /// From which room
        #[arg(long, value_name = "ROOM", value_parser = parse_room)]
        room: RoomName,
    },
    /// Show one room: its members and its history, what the file says of it, and whether its messages survive a restart
    Room {
        /// Which
        #[arg(value_parser = parse_room)]
        room: RoomName,
    },
    /// Forget what was published in a room so far, on disk too; whoever resumes from there is told of a gap
    Purge {
        /// Which
        #[arg(value_parser = parse_room)]
        room: RoomName,
    },
    /// List networks that nobody may come from
    Bans,
    /// Let nobody in from a network, and reset whoever is there from it
    Ban {
        /// An address or a network, as in 198.51.100.0/24
        network: String,
        /// For how long, as in 1h [default: until it is lifted]
        #[arg(long = "for", value_name = "DURATION", value_parser = parse_time)]
        time: Option<String>,
        /// Why, for you: no client is told
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
    },
    /// Let a network in again
    Unban {
        /// As `bans` shows it
        network: String,
    },
    /// List names, tokens and JWTs that operators have revoked
    #[command(after_long_help = REVOCATION_FILTERS)]
    Revocations {
        #[arg(value_name = "FILTER", value_parser = filter, help = "Which, as in limit=1000 (see --help)")]
        filters: Vec<ListFilter>,
    },
    /// Take a name, a token or a JWT no more, and close whoever is there by it
    #[command(group = clap::ArgGroup::new("revoked").required(true).args(["name", "token", "jti"]))]
    Revoke {
        /// Whatever shows somebody to be called so
        #[arg(value_parser = parse_owned_name)]
        name: Option<UserName>,
        /// Of the name, JWTs alone that were issued before, as in 2026-01-02T03:04:05Z
        #[arg(long, value_name = "TIME", requires = "name", value_parser = parse_instant)]
        issued_before: Option<String>,
        /// One token, as lists and the audit call it
        #[arg(long, value_name = "ID", conflicts_with_all = ["name", "jti"])]
        token: Option<String>,
        /// JWTs with this `jti`
        #[arg(long, value_name = "ID", conflicts_with = "name")]
        jti: Option<String>,
        /// For how long, as in 24h [default: until it is taken back; of JWTs, until none can be valid any more]
        #[arg(long = "for", value_name = "DURATION", value_parser = parse_time)]
        time: Option<String>,
        /// Why, for you: no client is told
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
    },
    /// Take again what was revoked
    Unrevoke {
        /// As `revocations` shows it
        id: String,
    },
    /// Log other events for a while, or show what is logged
    Log {
        /// A level, or a filter such as warn,switchboard=debug [default: change nothing]
        filter: Option<String>,
        /// For how long, at most 24h; then it is what the file says again
        #[arg(long = "for", value_name = "DURATION", default_value = "10m", requires = "filter", value_parser = parse_time)]
        time: String,
    },
    /// Say what another file would change if the server read it; exit code 1 if anything is wrong with it
    Check {
        /// The file; - is stdin
        #[arg(value_name = "FILE", value_parser = parse_content, value_hint = clap::ValueHint::FilePath)]
        file: SentFile,
    },
    /// Have the server read its file again, as SIGHUP does; exit code 1, and nothing changes, if anything is wrong with it
    Reload,
    /// Say whether load balancers are to send connections; whoever is connected notices nothing
    Ready {
        #[arg(value_parser = ["on", "off"], help = "Whether they are")]
        wanted: String,
    },
    /// Have the server drain and end, as SIGTERM does
    Drain {
        /// How long connections may take to finish [default: what the file says]
        #[arg(long, value_name = "DURATION", value_parser = parse_time)]
        grace: Option<String>,
    },
}

/// A file that is sent as it is.
#[derive(Debug, Clone)]
pub(super) struct SentFile {
    name: String,
    content: String,
}

fn parse_content(path: &str) -> Result<SentFile, String> {
    let (name, read) = match path {
        "-" => ("stdin", std::io::read_to_string(std::io::stdin())),
        path => (path, std::fs::read_to_string(path)),
    };
    read.map(|content| SentFile { name: name.to_owned(), content }).map_err(|error| error.to_string())
}

/// A name that somebody can own.
fn parse_owned_name(text: &str) -> Result<UserName, String> {
    UserName::parse(text).map_err(|error| error.to_string())
}

/// As it was typed: the server understands it likewise.
fn parse_instant(text: &str) -> Result<String, String> {
    humantime::parse_rfc3339(text)
        .map(|_| text.to_owned())
        .map_err(|_| "not a time, as in 2026-01-02T03:04:05Z".to_owned())
}

/// Which connection.
#[derive(Debug, Clone)]
pub(super) enum Closing {
    Id(u64),
    Name(UserName),
}

fn parse_closing(text: &str) -> Result<Closing, String> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        return text.parse().map(Closing::Id).map_err(|_| "not a connection's number".to_owned());
    }
    parse_name(text).map(Closing::Name)
}

/// As it was typed: the server understands it likewise.
fn parse_time(text: &str) -> Result<String, String> {
    parse_duration(text).map(|_| text.to_owned())
}

/// `KEY=VALUE`, which the server understands.
#[derive(Debug, Clone)]
pub(super) struct ListFilter(pub(super) String, pub(super) String);

fn filter(text: &str) -> Result<ListFilter, String> {
    let (key, value) = text.split_once('=').ok_or("not KEY=VALUE (see --help)")?;
    Ok(ListFilter(key.to_owned(), value.to_owned()))
}

fn parse_room(text: &str) -> Result<RoomName, String> {
    RoomName::parse(text).map_err(|error| error.to_string())
}

fn parse_name(text: &str) -> Result<UserName, String> {
    UserName::parse_any(text).map_err(|error| error.to_string())
}

/// What is asked of it, and how the answer is shown.
pub(super) struct AdminRequest {
    pub(super) method: Method,
    pub(super) path: String,
    /// With what it is.
    pub(super) body: Option<(&'static str, Bytes)>,
    /// What the file is called that is sent, of which the server knows no name.
    pub(super) sent: Option<String>,
    pub(super) shown: Shown,
}

impl Action {
    /// What it asks, but for `health`, which asks twice.
    pub(super) fn asked(self) -> AdminRequest {
        match self {
            Self::Health { .. } => AdminRequest::get("/readyz".to_owned(), Shown::Fields),
            Self::Status => AdminRequest::get("/server".to_owned(), Shown::Server),
            Self::Upstreams => AdminRequest::get("/upstreams".to_owned(), Shown::Columns(shown::UPSTREAMS)),
            Self::Connections { filters } => AdminRequest::list("/connections", &filters, shown::CONNECTIONS),
            Self::Closed { filters } => AdminRequest::list("/closed", &filters, shown::CLOSED),
            Self::Rooms { filters } => AdminRequest::list("/rooms", &filters, shown::ROOMS),
            Self::Who { name } => AdminRequest::get(named(&name), Shown::Fields),
            Self::Close { target: Closing::Id(id) } => {
                AdminRequest::act(Method::DELETE, &format!("/connections/{id}"), None)
            }
            Self::Close { target: Closing::Name(name) } => AdminRequest::act(Method::DELETE, &named(&name), None),
            Self::Announce { text, room } => {
                let path = match room {
                    Some(room) => format!("/rooms/{}/announcements", encoded(room.as_str())),
                    None => "/announcements".to_owned(),
                };
                AdminRequest::act(Method::POST, &path, Some(json!({ "text": text })))
            }
            Self::Motd { clear: true, .. } => AdminRequest::act(Method::DELETE, "/motd", None),
            Self::Motd { text: Some(text), .. } => {
                AdminRequest::act(Method::PUT, "/motd", Some(json!({ "text": text })))
            }
            Self::Motd { .. } => AdminRequest::get("/motd".to_owned(), Shown::Fields),
            Self::Remove { name, room } => {
                let path = format!("/rooms/{}/members/{}", encoded(room.as_str()), encoded(name.as_str()));
                AdminRequest::act(Method::DELETE, &path, None)
            }
            Self::Room { room } => AdminRequest::get(format!("/rooms/{}", encoded(room.as_str())), Shown::Fields),
            Self::Purge { room } => {
                AdminRequest::act(Method::DELETE, &format!("/rooms/{}/history", encoded(room.as_str())), None)
            }
            Self::Bans => AdminRequest::get("/bans".to_owned(), Shown::Columns(shown::BANS)),
            Self::Ban { network, time, reason } => {
                let body = [("network", Some(network)), ("for", time), ("reason", reason)];
                AdminRequest::act(Method::POST, "/bans", Some(given(body)))
            }
            Self::Unban { network } => AdminRequest::act(Method::DELETE, &format!("/bans/{}", encoded(&network)), None),
            Self::Revocations { filters } => AdminRequest::list("/revocations", &filters, shown::REVOCATIONS),
            Self::Revoke { name, issued_before, token, jti, time, reason } => {
                let name = name.map(|name| name.to_string());
                let what = [("name", name), ("issued-before", issued_before), ("token", token), ("jti", jti)];
                let body = what.into_iter().chain([("for", time), ("reason", reason)]);
                AdminRequest::act(Method::POST, "/revocations", Some(given(body)))
            }
            Self::Unrevoke { id } => AdminRequest::act(Method::DELETE, &format!("/revocations/{}", encoded(&id)), None),
            Self::Log { filter: None, .. } => AdminRequest::get("/log".to_owned(), Shown::Fields),
            Self::Log { filter: Some(filter), time } => {
                AdminRequest::act(Method::PUT, "/log", Some(json!({ "filter": filter, "for": time })))
            }
            Self::Check { file: SentFile { name, content } } => {
                let body = Some(("application/toml", content.into()));
                AdminRequest { body, sent: Some(name), ..AdminRequest::act(Method::POST, "/config/check", None) }
            }
            Self::Reload => AdminRequest::act(Method::POST, "/config/reload", Some(json!({}))),
            Self::Ready { wanted } => {
                AdminRequest::act(Method::PUT, "/ready", Some(json!({ "ready": wanted == "on" })))
            }
            Self::Drain { grace } => AdminRequest::act(Method::POST, "/drain", Some(given([("grace", grace)]))),
            Self::Config => AdminRequest::get("/config".to_owned(), Shown::Settings),
            Self::Can { who, action, room } => {
                let body = json!({ "name": who, "action": action, "room": room.as_str() });
                AdminRequest::act(Method::POST, "/can", Some(body))
            }
            Self::Events { filters, .. } => AdminRequest::list("/events", &filters, shown::EVENTS),
        }
    }
}

impl AdminRequest {
    pub(super) fn get(path: String, shown: Shown) -> Self {
        Self { method: Method::GET, path, body: None, sent: None, shown }
    }

    fn act(method: Method, path: &str, body: Option<Value>) -> Self {
        let body = body.map(|body| (JSON, body.to_string().into()));
        Self { method, path: path.to_owned(), body, sent: None, shown: Shown::Fields }
    }

    pub(super) fn list(path: &str, filters: &[ListFilter], columns: shown::Listing) -> Self {
        let mut path = path.to_owned();
        for (index, ListFilter(key, value)) in filters.iter().enumerate() {
            let sign = if index == 0 { '?' } else { '&' };
            // Writing to memory does not fail.
            let _ = write!(path, "{sign}{}={}", encoded(key), encoded(value));
        }
        Self::get(path, Shown::Columns(columns))
    }
}

/// An object of what was typed.
fn given(fields: impl IntoIterator<Item = (&'static str, Option<String>)>) -> Value {
    fields.into_iter().filter_map(|(name, text)| Some((name.to_owned(), Value::from(text?)))).collect()
}

/// Where somebody's connection is.
fn named(name: &UserName) -> String {
    format!("/names/{}", encoded(name.as_str()))
}

/// As a part of a path or a query.
fn encoded(text: &str) -> String {
    percent_encoded(text, b"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_typed_stays_one_part_of_the_path() {
        let filters = ["name=a&b*", "address=10.0.0.0/8", "x=é="].map(|text| filter(text).unwrap());
        let asked = AdminRequest::list("/connections", &filters, shown::CONNECTIONS);
        assert_eq!(asked.path, "/connections?name=a%26b%2A&address=10.0.0.0%2F8&x=%C3%A9%3D");
        assert!(filter("outbox").is_err());
    }
}
