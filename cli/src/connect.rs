//! `switchboard connect`: talks to a server, from a terminal or in a pipe.

mod arguments;
mod beat;
mod cookie;
pub(crate) mod credential;
mod elsewhere;
mod farewell;
mod greeting;
mod group;
mod input;
mod output;
mod paint;
mod plain;
mod room_socket;
mod said;
mod seat;
mod standing;
mod talk;
mod terminal;
mod told;
mod waits;

pub(crate) use arguments::{Arguments, HELP};

use crate::serve::NotStarted;
use anyhow::{Context as _, anyhow};
use arguments::Plan;
use nix::sys::signal::Signal;
use plain::{PlainCodec, Verbatim};
use room_socket::behind;
use std::io::{self, IsTerminal as _};
use std::process::ExitCode;
use switchboard::grammar::Event;
use switchboard::{Client, CloseReason, ConnectError, Connection, ConnectionError, Escaped, Limits, Lines, Timeouts};
use switchboard_load::typed::{Place, Scheme};
use talk::{Over, talk};

/// Ended by a signal, as shells say it: 128 and its number.
const SIGNALLED: u8 = 128;

/// Left by Ctrl-C.
const INTERRUPTED: u8 = SIGNALLED + Signal::SIGINT as u8;

/// The longest line that is shown.
const LINE_BYTES: usize = 16 << 20;

/// Talks until both sides have finished.
pub(crate) fn connect(typed: Arguments) -> Result<ExitCode, NotStarted> {
    if let Some(group) = group::GroupPlan::parse(&typed) {
        return group::listen(group.map_err(NotStarted::Faults)?).map_err(NotStarted::Start);
    }
    let plan = Plan::parse(typed).map_err(NotStarted::Faults)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.context("cannot start").map_err(NotStarted::Start)?;
    match runtime.block_on(run(&plan)).map_err(|error| advised(named(error, &plan), &plan)) {
        Ok(Over::Interrupted) => Ok(ExitCode::from(INTERRUPTED)),
        Ok(Over::Signalled(signal)) => Ok(ExitCode::from(SIGNALLED + signal as u8)),
        Ok(Over::Finished | Over::Left) => Ok(ExitCode::SUCCESS),
        Err(error) => Err(NotStarted::Start(error)),
    }
}

/// Says where that was, unless the error does.
fn named(error: anyhow::Error, plan: &Plan) -> anyhow::Error {
    match error.downcast_ref() {
        Some(ConnectError::Unreachable { .. } | ConnectError::TimedOut { .. }) => error,
        _ => error.context(plan.url.typed.clone()),
    }
}

/// Says what to type, where that is known.
fn advised(error: anyhow::Error, plan: &Plan) -> anyhow::Error {
    if let Some(url) = error.downcast_ref().and_then(|error| elsewhere(error, plan)) {
        return anyhow!("{error:#} (type {url})");
    }
    let advice = match (error.downcast_ref(), error.downcast_ref()) {
        (Some(ConnectError::Untrusted(cause)), _) if cause.to_string().ends_with("UnknownIssuer") => {
            "--ca FILE names the certificates to trust"
        }
        (_, Some(ConnectionError::Closed(CloseReason::HandshakeFailed))) if !plan.has_identity => {
            "the server may want a certificate: --cert FILE"
        }
        (_, Some(ConnectionError::Closed(CloseReason::PeerReset))) if plan.url.scheme == Scheme::Udp => {
            "nothing listens there"
        }
        (Some(ConnectError::NotUpgraded { status: 200 | 404, .. }), _) => "rooms have their WebSocket at /ws",
        (Some(ConnectError::NotUpgraded { said, .. }), _) if !said.trim_ascii().is_empty() => {
            return anyhow!("{error:#}: {}", Escaped(&reason_in(said)));
        }
        _ => return error,
    };
    anyhow!("{error:#} ({advice})")
}

/// The URL of a server that does not speak what the one that was typed says.
fn elsewhere(error: &ConnectError, plan: &Plan) -> Option<String> {
    match error {
        ConnectError::Unreachable { error, .. } if error.to_string() == "the server wants TLS" => {
            elsewhere::with_tls(&plan.url)
        }
        ConnectError::Unreachable { error, .. } if error.to_string() == "the server does not speak HTTP" => {
            elsewhere::in_lines(&plan.url)
        }
        ConnectError::Tls(error) if error.to_string().ends_with("the server does not speak TLS") => {
            elsewhere::without_tls(&plan.url)
        }
        _ => None,
    }
}

/// What a server says of a refusal: an error as ours tells it, or the first line of anything else.
fn reason_in(said: &[u8]) -> Vec<u8> {
    let first = said.trim_ascii().split(|byte| *byte == b'\n').next().unwrap_or_default();
    match told::object(first) {
        Some(Event::Failure(failure)) => failure.to_string().into_bytes(),
        _ => first.to_vec(),
    }
}

async fn run(plan: &Plan) -> anyhow::Result<Over> {
    let limits = Limits { frame_bytes: LINE_BYTES, ..Limits::default() };
    // A server may take its time: whoever waits can leave.
    let client = Client::new()
        .websocket_headers(plan.headers.clone())
        .limits(limits)
        .timeouts(Timeouts { write: None, ..Timeouts::default() });
    // Lines are what is shown, what is not sent in part when a connection is lost, and what answers to commands are.
    let is_in_lines = io::stdout().is_terminal() || plan.reconnect || !plan.greeting.is_empty();
    let over = match (plan.url.scheme, &plan.trust) {
        (Scheme::Ws, _) => {
            Box::pin(talk(plan, async |since| Box::pin(client.websocket(behind(&plan.url, since))).await)).await
        }
        (Scheme::Wss, Some(trust)) => {
            talk(plan, async |since| Box::pin(client.websocket_tls(behind(&plan.url, since), trust)).await).await
        }
        (Scheme::Udp, _) => talk(plan, async |_| client.udp(plan.url.host()).await).await,
        _ if is_in_lines => talk(plan, async |_| stream::<Lines>(&client, plan).await).await,
        _ => talk(plan, async |_| stream::<Verbatim>(&client, plan).await).await,
    };
    // What was sent last leaves.
    client.drain().await;
    over
}

async fn stream<C: PlainCodec>(client: &Client, plan: &Plan) -> Result<Connection<C>, ConnectError> {
    match (&plan.url.place, &plan.trust) {
        (Place::File(path), _) => client.unix(path).await,
        (Place::Host(host), Some(trust)) => client.tls(host, trust).await,
        (Place::Host(host), None) => client.tcp(host).await,
    }
}
