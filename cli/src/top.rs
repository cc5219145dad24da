//! `switchboard top`: a running server on a terminal, as it is from second to second.
//!
//! Asks its admin service like `switchboard admin` does; what the answers look like is for `lists` and `draw`.

mod draw;
mod keys;
mod lists;
mod sums;
mod watch;

use crate::admin::{AdminRemote, BOUNDS, shown};
use crate::config::{Fault, SetBy};
use crate::serve::{self, NotStarted};
use anyhow::{Context as _, anyhow};
use clap::Args;
use http::Method;
use lists::List;
use serde_json::{Map, Value};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;
use switchboard_load::{foreground, print};

/// A paragraph is one line, which is wrapped to the terminal; lists are laid out within 80 columns.
pub(crate) const HELP: &str = "\
The server has to have an admin service, as for `switchboard admin`. Without a token, http:// shows totals alone.

Keys
  c r x e u          connections, rooms, those that have been closed, events
                     of the audit, and upstreams where there are some
  o l q a i          connections: the largest outbox first, the most lost, the
                     longest quiet, the oldest, the most received
  m p h n            rooms: the most members first, messages, history; by name
  arrows, Page keys, Home, End
                     choose a row
  Enter, Esc         show all of it, and go back
  /                  filter: rows that have these words, or what the server
                     filters by (see switchboard admin connections --help), as
                     in name=boiler-* or address=10.0.0.0/8 or reason=idle
  k                  close the connection, after a question
  Q, Ctrl-C          quit

Exit codes: 0 done; 1 the server cannot be reached or refused; 2 a mistake in the command line; 78 in SWITCHBOARD_TOKEN.";

/// How long a server is waited for before it counts as gone.
const PATIENCE: Duration = Duration::from_secs(5);

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[arg(
        value_name = "URL",
        help = "Where its admin service is [default: unix:///run/switchboard/admin.sock if that is there, else http://127.0.0.1:8083]"
    )]
    url: Option<String>,
    #[arg(long, value_name = "FILE", help = "Present the token in this file [default: the one in SWITCHBOARD_TOKEN]")]
    token_file: Option<PathBuf>,
    /// Trust the certificates in this file instead of the system's
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// Print how it is now, and end
    #[arg(long)]
    once: bool,
    /// As one object, with what the server answers at /stats, /connections, /rooms, /closed, /events and /upstreams
    #[arg(long, requires = "once")]
    json: bool,
}

/// Shows what was asked for.
pub(crate) fn run(typed: Arguments) -> Result<ExitCode, NotStarted> {
    let Arguments { url, token_file, ca, once, json } = typed;
    let server = AdminRemote::new(url, &SetBy::Argument, token_file.as_deref(), ca.as_deref());
    let server = server.map_err(NotStarted::Faults)?;
    let runtime = serve::runtime().map_err(NotStarted::Start)?;
    if once {
        runtime.block_on(server.print(json)).map_err(NotStarted::Start)?;
        return Ok(ExitCode::SUCCESS);
    }
    if !foreground::is_to_draw_on() {
        let fault = "there is no terminal to draw on; --once prints how the server is, and --json with it as an object";
        return Err(NotStarted::Faults(vec![Fault::new(SetBy::Argument, fault.to_owned())]));
    }
    runtime.block_on(watch::watch(&server)).map_err(NotStarted::Start)?;
    Ok(ExitCode::SUCCESS)
}

/// What a server answers, or why it does not.
enum Told {
    Object(Value),
    /// It is there, and does not say.
    Refused(String),
    /// It is not there.
    Gone(String),
}

/// How a server is: its sums, and the list that is shown.
struct Looked {
    sums: Told,
    list: Option<Told>,
    /// Whether it passes connections on, if that was asked.
    has_upstreams: Option<bool>,
}

impl AdminRemote {
    async fn told(&self, method: Method, path: &str) -> Told {
        let bounds = crate::fetch::Bounds { time: PATIENCE, ..BOUNDS };
        let fetched = match self.ask(method, path, None, bounds).await {
            Ok(fetched) => fetched,
            Err(error) => return Told::Gone(format!("{:#}", self.unreached(&error))),
        };
        match self.body(&fetched) {
            Ok(object) if fetched.status.is_success() => Told::Object(object),
            Ok(object) => Told::Refused(self.refused(fetched.status, &object).to_string()),
            Err(error) => Told::Gone(error.to_string()),
        }
    }

    /// Prints how it is: all that it tells us, or its sums and which connections are slow.
    async fn print(&self, json: bool) -> anyhow::Result<()> {
        let sums = match self.told(Method::GET, "/stats").await {
            Told::Object(sums) => sums,
            Told::Refused(why) | Told::Gone(why) => return Err(anyhow!(why)),
        };
        let mut all = Map::from_iter([("stats".to_owned(), sums)]);
        for list in List::ALL {
            // What is not for whoever asks is left out; that the server ends meanwhile is an error.
            match self.told(Method::GET, &list.first().path("")).await {
                Told::Object(rows) if list == List::Upstreams && !has_upstreams(&rows) => {}
                Told::Object(rows) => drop(all.insert(list.name().to_owned(), rows)),
                Told::Refused(_) => {}
                Told::Gone(why) => return Err(anyhow!(why)),
            }
        }
        let text = if json {
            shown::line(&Value::Object(all))
        } else {
            let slow = all.get("connections").map(|rows| format!("\n{}", shown::CONNECTIONS.text(rows)));
            format!("{}{}", shown::fields(&all["stats"]), slow.unwrap_or_default())
        };
        print::unless_nobody_reads(print::write(text.as_bytes())).context("cannot print")
    }
}

fn has_upstreams(answer: &Value) -> bool {
    answer["upstreams"].as_array().is_some_and(|rows| !rows.is_empty())
}

#[cfg(test)]
mod tests;
