//! `switchboard admin`: asks a server that runs how it is, over its admin service, and tells it what to do.

mod asking;
pub(crate) mod shown;

use crate::config::SetBy;
use crate::fetch::Bounds;
use crate::serve::{self, NotStarted};
use anyhow::Context as _;
pub(crate) use asking::AdminRemote;
use clap::{Args, Subcommand};
use http::{Method, StatusCode};
use serde_json::{Value, json};
use shown::Shown;
use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;
use switchboard::{Escaped, UserName};
use switchboard_load::print;
use switchboard_load::typed::{parse_duration, percent_encoded};

/// Lists are laid out within 80 columns; a paragraph is one line, which is wrapped to the terminal.
pub(crate) const HELP: &str = "\
The server has to have an admin service, as in
  switchboard serve admin=unix:///run/switchboard/admin.sock
and whoever can open its socket may do everything. Over http:// and https://, a token may do what the file says (admin = \"view\" or \"act\"); \
without one only `health` answers. http:// is for this machine alone, since it is not encrypted.

Exit codes: 0 done; 1 the server cannot be reached, is not healthy, or refused; 2 a mistake in the command line; 78 in SWITCHBOARD_TOKEN.";

const CONNECTION_FILTERS: &str = "\
FILTER is one of
  sort=ORDER         age, outbox, lost, quiet, in or out: the most first (age)
  transport=NAME     tcp, tls, unix, udp, http, https, ws or wss
  listener=URL       as `status` shows it
  address=NETWORK    as in 10.0.0.0/8
  name=GLOB          as in 'boiler-*'
  limit=N            at most 1000 (100)
  after=ID           those that came after this one";

const CLOSED_FILTERS: &str = "\
FILTER is one of
  reason=REASON      as in write-timeout
  address=NETWORK    as in 10.0.0.0/8
  limit=N            at most 1000 (100)";

const ROOM_FILTERS: &str = "\
FILTER is one of
  sort=ORDER         name, members, history or publications: the most first
                     (name)
  glob=GLOB          as in 'board.*'
  limit=N            at most 1000 (100)
  after=ROOM         those that come after this one";

/// A thousand connections are some hundred KiB. A reload may ask an issuer for keys.
pub(crate) const BOUNDS: Bounds = Bounds { body_bytes: 16 << 20, time: Duration::from_mins(1) };

/// A server that is well answers at once.
const HEALTH_BOUNDS: Bounds = Bounds { body_bytes: 64 << 10, time: Duration::from_secs(5) };

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[arg(
        long,
        global = true,
        value_name = "URL",
        help = "Where its admin service is [default: unix:///run/switchboard/admin.sock if that is there, else http://127.0.0.1:8083]"
    )]
    url: Option<String>,
    /// Print what the server answers, as JSON
    #[arg(long, global = true)]
    json: bool,
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        help = "Present the token in this file [default: the one in SWITCHBOARD_TOKEN]"
    )]
    token_file: Option<PathBuf>,
    /// Trust the certificates in this file instead of the system's
    #[arg(long, global = true, value_name = "FILE")]
    ca: Option<PathBuf>,
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
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
        filters: Vec<Filter>,
    },
    /// List those that have ended lately, and why
    #[command(after_long_help = CLOSED_FILTERS)]
    Closed {
        #[arg(value_name = "FILTER", value_parser = filter, help = "Which, as in reason=write-timeout (see --help)")]
        filters: Vec<Filter>,
    },
    /// List rooms
    #[command(after_long_help = ROOM_FILTERS)]
    Rooms {
        #[arg(value_name = "FILTER", value_parser = filter, help = "Which, and in what order, as in sort=members (see --help)")]
        filters: Vec<Filter>,
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
    /// Log other events for a while, or show what is logged
    Log {
        /// A level, or a filter such as warn,switchboard=debug [default: change nothing]
        filter: Option<String>,
        /// For how long, at most 24h; then it is what the file says again
        #[arg(long = "for", value_name = "DURATION", default_value = "10m", requires = "filter", value_parser = parse_time)]
        time: String,
    },
    /// Have the server read its file again, as SIGHUP does; exit code 1, and nothing changes, if anything is wrong with it
    Reload,
    /// Say whether load balancers are to send connections; whoever is connected notices nothing
    Ready {
        #[arg(value_parser = ["on", "off"], help = "Whether they are")]
        wanted: String,
    },
    /// Have the server drain and end, as SIGTERM does
    Drain,
}

/// Which connection.
#[derive(Debug, Clone)]
enum Closing {
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
struct Filter(String, String);

fn filter(text: &str) -> Result<Filter, String> {
    let (key, value) = text.split_once('=').ok_or("not KEY=VALUE (see --help)")?;
    Ok(Filter(key.to_owned(), value.to_owned()))
}

fn parse_name(text: &str) -> Result<UserName, String> {
    UserName::parse_any(text).map_err(|error| error.to_string())
}

/// What is asked of a server, and how the answer is shown.
struct Asked {
    method: Method,
    path: String,
    body: Option<Value>,
    shown: Shown,
}

/// Asks what was typed.
pub(crate) fn run(typed: Arguments) -> Result<ExitCode, NotStarted> {
    let Arguments { url, json, token_file, ca, action } = typed;
    let by = SetBy::Flag("--url".to_owned());
    let server = AdminRemote::new(url, &by, token_file.as_deref(), ca.as_deref()).map_err(NotStarted::Faults)?;
    let runtime = serve::runtime().map_err(NotStarted::Start)?;
    let asked = match action {
        Action::Health { ready } => {
            return runtime.block_on(server.health(ready, json)).map_err(NotStarted::Start);
        }
        Action::Status => Asked::get("/server".to_owned(), Shown::Server),
        Action::Connections { filters } => Asked::list("/connections", &filters, shown::CONNECTIONS),
        Action::Closed { filters } => Asked::list("/closed", &filters, shown::CLOSED),
        Action::Rooms { filters } => Asked::list("/rooms", &filters, shown::ROOMS),
        Action::Who { name } => Asked::get(named(&name), Shown::Fields),
        Action::Close { target: Closing::Id(id) } => Asked::act(Method::DELETE, &format!("/connections/{id}"), None),
        Action::Close { target: Closing::Name(name) } => Asked::act(Method::DELETE, &named(&name), None),
        Action::Log { filter: None, .. } => Asked::get("/log".to_owned(), Shown::Fields),
        Action::Log { filter: Some(filter), time } => {
            Asked::act(Method::PUT, "/log", Some(json!({ "filter": filter, "for": time })))
        }
        Action::Reload => Asked::act(Method::POST, "/config/reload", Some(json!({}))),
        Action::Ready { wanted } => Asked::act(Method::PUT, "/ready", Some(json!({ "ready": wanted == "on" }))),
        Action::Drain => Asked::act(Method::POST, "/drain", Some(json!({}))),
    };
    runtime.block_on(server.answer(asked, json)).map_err(NotStarted::Start)
}

impl Asked {
    fn get(path: String, shown: Shown) -> Self {
        Self { method: Method::GET, path, body: None, shown }
    }

    fn act(method: Method, path: &str, body: Option<Value>) -> Self {
        Self { method, path: path.to_owned(), body, shown: Shown::Fields }
    }

    fn list(path: &str, filters: &[Filter], columns: shown::Listing) -> Self {
        let mut path = path.to_owned();
        for (index, Filter(key, value)) in filters.iter().enumerate() {
            let sign = if index == 0 { '?' } else { '&' };
            // Writing to memory does not fail.
            let _ = write!(path, "{sign}{}={}", encoded(key), encoded(value));
        }
        Self::get(path, Shown::Columns(columns))
    }
}

impl AdminRemote {
    /// Asks, and shows what is answered.
    async fn answer(&self, asked: Asked, json: bool) -> anyhow::Result<ExitCode> {
        let Asked { method, path, body, shown } = asked;
        let fetched = self.ask(method, &path, body.as_ref(), BOUNDS).await.map_err(|error| self.unreached(&error))?;
        let body = self.body(&fetched)?;
        if let Some(faults) = body["faults"].as_array().filter(|_| fetched.status == StatusCode::UNPROCESSABLE_ENTITY) {
            complain(faults.iter().filter_map(Value::as_str));
            return Ok(ExitCode::FAILURE);
        }
        if !fetched.status.is_success() {
            return Err(self.refused(fetched.status, &body));
        }
        print(json, &body, || shown.text(&body))?;
        if let Some(note) = shown.note(&body) {
            // Nobody is left to tell if stderr is closed.
            let _ = writeln!(io::stderr(), "{note}");
        }
        Ok(ExitCode::SUCCESS)
    }

    /// Says whether the server works. One that wants nobody now is not to be started again for that.
    async fn health(&self, has_to_be_ready: bool, json: bool) -> anyhow::Result<ExitCode> {
        let ask = async |path| self.ask_openly(path, HEALTH_BOUNDS).await.map_err(|error| self.unreached(&error));
        let (healthy, ready) = (ask("/healthz").await?, ask("/readyz").await?);
        let mut body = self.body(&ready)?;
        if body["ready"].as_bool().is_none() {
            return Err(self.refused(ready.status, &body));
        }
        let is_healthy = healthy.status.is_success();
        let said = std::str::from_utf8(&healthy.body).unwrap_or_default();
        body["healthy"] = json!(is_healthy);
        let unready = shown::unready(&body);
        print(json, &body, || shown::health(&body, &unready))?;
        let mut reasons = Vec::new();
        if !is_healthy {
            reasons.push(format!("the server is not healthy: {}", said.trim_end()));
        }
        if has_to_be_ready && !unready.is_empty() {
            reasons.push(format!("the server wants no connections: {}", unready.join(", ")));
        }
        complain(reasons.iter().map(String::as_str));
        Ok(if reasons.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

/// Prints what was answered, for a program or a person.
fn print(json: bool, body: &Value, text: impl FnOnce() -> String) -> anyhow::Result<()> {
    let text = if json { format!("{body}\n") } else { text() };
    print::unless_nobody_reads(print::write(text.as_bytes())).context("cannot print")
}

/// Says what is wrong, a line each.
fn complain<'a>(faults: impl Iterator<Item = &'a str>) {
    for fault in faults {
        // Nobody is left to tell if stderr is closed.
        let _ = writeln!(io::stderr(), "error: {}", Escaped(fault.as_bytes()));
    }
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
        let asked = Asked::list("/connections", &filters, shown::CONNECTIONS);
        assert_eq!(asked.path, "/connections?name=a%26b%2A&address=10.0.0.0%2F8&x=%C3%A9%3D");
        assert!(filter("outbox").is_err());
    }
}
