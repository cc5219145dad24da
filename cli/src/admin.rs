//! `switchboard admin`: asks a server that runs how it is, over its admin service, and tells it what to do.

mod actions;
mod asking;
pub(crate) mod shown;

use crate::config::{SENT, SetBy};
use crate::fetch::Bounds;
use crate::serve::{self, NotStarted};
use actions::{Action, AdminRequest, ListFilter};
use anyhow::Context as _;
pub(crate) use asking::AdminRemote;
use clap::Args;
use http::StatusCode;
use serde_json::{Value, json};
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;
use switchboard::Escaped;
use switchboard_load::print;

/// Lists are laid out within 80 columns; a paragraph is one line, which is wrapped to the terminal.
pub(crate) const HELP: &str = "\
The server has to have an admin service, as in
  switchboard serve admin=unix:///run/switchboard/admin.sock
and whoever can open its socket may do everything. Over http:// and https://, a token may do what the file says (admin = \"view\" or \"act\"); \
of these commands only `health` answers without one. http:// is for this machine alone, since it is not encrypted.

Exit codes: 0 done; 1 the server cannot be reached, is not healthy, or refused; 2 a mistake in the command line; 78 in SWITCHBOARD_TOKEN.";

/// A thousand connections are some hundred KiB. A reload may ask an issuer for keys.
pub(crate) const BOUNDS: Bounds = Bounds { body_bytes: 16 << 20, time: Duration::from_mins(1) };

/// Between two looks for more events.
const AGAIN: Duration = Duration::from_millis(500);

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

/// Asks what was typed.
pub(crate) fn run(typed: Arguments) -> Result<ExitCode, NotStarted> {
    let Arguments { url, json, token_file, ca, action } = typed;
    let by = SetBy::Flag("--url".to_owned());
    let server = AdminRemote::new(url, &by, token_file.as_deref(), ca.as_deref()).map_err(NotStarted::Faults)?;
    let runtime = serve::runtime().map_err(NotStarted::Start)?;
    if let Action::Health { ready } = action {
        return runtime.block_on(server.health(ready, json)).map_err(NotStarted::Start);
    }
    if let Action::Events { follow: true, filters } = &action {
        return runtime.block_on(server.follow(filters, json)).map_err(NotStarted::Start);
    }
    let asked = action.asked();
    runtime.block_on(server.answer(asked, json)).map_err(NotStarted::Start)
}

impl AdminRemote {
    /// Asks, and shows what is answered.
    async fn answer(&self, asked: AdminRequest, json: bool) -> anyhow::Result<ExitCode> {
        let AdminRequest { method, path, body, sent, shown } = asked;
        let fetched = self.ask(method, &path, body, BOUNDS).await.map_err(|error| self.unreached(&error))?;
        let body = self.body(&fetched)?;
        if let Some(faults) = body["faults"].as_array().filter(|_| fetched.status == StatusCode::UNPROCESSABLE_ENTITY) {
            complain(faults.iter().filter_map(Value::as_str).map(|fault| of_file(fault, sent.as_deref())));
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

    /// Shows events, and what comes, until nobody reads on or the server is gone.
    async fn follow(&self, filters: &[ListFilter], json: bool) -> anyhow::Result<ExitCode> {
        let mut filters = filters.to_vec();
        loop {
            let AdminRequest { method, path, .. } = AdminRequest::list("/events", &filters, shown::EVENTS);
            let fetched = self.ask(method, &path, None, BOUNDS).await.map_err(|error| self.unreached(&error))?;
            let body = self.body(&fetched)?;
            if !fetched.status.is_success() {
                return Err(self.refused(fetched.status, &body));
            }
            let events = body["events"].as_array().map(Vec::as_slice).unwrap_or_default();
            let line = |event: &Value| if json { shown::line(event) } else { shown::event(event) };
            let text: String = events.iter().map(line).collect();
            if print::write(text.as_bytes()).is_err() {
                return Ok(ExitCode::SUCCESS);
            }
            if let Some(last) = body["last"].as_u64() {
                filters.retain(|ListFilter(key, _)| !["since", "limit"].contains(&key.as_str()));
                filters.push(ListFilter("since".to_owned(), last.to_string()));
                filters.push(ListFilter("limit".to_owned(), "1000".to_owned()));
            }
            if events.is_empty() {
                tokio::time::sleep(AGAIN).await;
            }
        }
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
        complain(&reasons);
        Ok(if reasons.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

/// Prints what was answered, for a program or a person.
fn print(json: bool, body: &Value, text: impl FnOnce() -> String) -> anyhow::Result<()> {
    let text = if json { shown::line(body) } else { text() };
    print::unless_nobody_reads(print::write(text.as_bytes())).context("cannot print")
}

/// A fault of the file that was sent, by the name that it has here.
fn of_file(fault: &str, name: Option<&str>) -> String {
    let behind = fault.strip_prefix("file ").and_then(|file| file.strip_prefix(SENT));
    match behind.filter(|behind| behind.starts_with(':')).zip(name) {
        Some((behind, name)) => format!("file {name}{behind}"),
        None => fault.to_owned(),
    }
}

/// Says what is wrong, a line each.
fn complain(faults: impl IntoIterator<Item = impl AsRef<str>>) {
    for fault in faults {
        // Nobody is left to tell if stderr is closed.
        let _ = writeln!(io::stderr(), "error: {}", Escaped(fault.as_ref().as_bytes()));
    }
}
