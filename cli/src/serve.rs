//! Serving: bind everything, say where, wait for signals, drain.

use crate::config::{Config, Fault, Origin};
use crate::endpoint::{Address, Endpoint};
use crate::logging::Log;
use anyhow::Context as _;
use std::io::Write as _;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use switchboard::{BindError, Drained, Handle, Server};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::{info, warn};

/// Why nothing was served.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Settings are wrong.
    Faults(Vec<Fault>),
    /// Addresses cannot be listened on.
    Bind(BindError),
    /// The machine lacks something.
    Start(anyhow::Error),
}

/// Serves until a signal and the drain after it.
pub(crate) fn serve(config: Config) -> Result<(), Failure> {
    let runtime = runtime().map_err(Failure::Start)?;
    let log = Log::start(&config.log.value, config.log_format.value);
    let result = runtime.block_on(run(config));
    log.finish();
    result
}

/// Says what is wrong with the limits on this machine.
pub(crate) fn check(config: &Config) -> Result<(), Failure> {
    let runtime = runtime().map_err(Failure::Start)?;
    // A server without listeners and workers checks its limits and does nothing else.
    let checked = runtime.block_on(Server::new().workers(0).limits(config.limits()).bind());
    checked.map(drop).map_err(|error| {
        let fault = |text| Fault { origin: Origin::Limits, text };
        Failure::Faults(error.faults.into_iter().map(fault).collect())
    })
}

fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().context("cannot start an event loop")
}

async fn run(config: Config) -> Result<(), Failure> {
    // Signals that come while addresses are bound drain as well.
    let signals = Signals::install().context("cannot handle signals").map_err(Failure::Start)?;
    let mut server = Server::new().limits(config.limits()).grace(config.grace.value).workers(config.workers.value);
    let timeouts = config.timeouts();
    let mut places = Vec::new();
    for Endpoint { service, address, add, .. } in config.listen.value {
        places.push((service.name, address));
        server = add(server, timeouts);
    }
    let bound = server.bind().await.map_err(Failure::Bind)?;
    announce(&places, &bound.urls());
    let handle = bound.handle();
    let drained = tokio::select! {
        // It ends by itself once the other has asked the handle for it.
        drained = bound.serve_until(std::future::pending()) => drained,
        never = stop(signals, &handle, config.grace.value) => match never {},
    };
    let Drained { finished, aborted, elapsed } = drained;
    info!("drained: {finished} finished, {aborted} aborted in {:.1} s", elapsed.as_secs_f64());
    Ok(())
}

/// One line for each listener, with a command that tries it.
fn announce(places: &[(&str, Address)], urls: &[String]) {
    let names = places.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    let width = urls.iter().map(String::len).max().unwrap_or(0);
    let mut output = std::io::stdout().lock();
    for ((name, address), url) in places.iter().zip(urls) {
        // Whoever read the lines may be gone: `switchboard serve | head -1`. The server is not there for them.
        let _ = writeln!(output, "{name:names$}  {url:width$}  try: {}", command(address, url));
    }
    let _ = output.flush();
}

/// What to type to try a listener on this machine.
fn command(address: &Address, url: &str) -> String {
    let netcat = match address {
        Address::Unix(path) => return format!("nc -U {}", quoted(path)),
        Address::Tcp(_) => "nc",
        Address::Udp(_) => "nc -u",
    };
    let place = url.split_once("://").map_or(url, |(_, place)| place);
    let Ok(mut place) = place.parse::<SocketAddr>() else { return format!("{netcat} {}", place.replace(':', " ")) };
    if place.ip().is_unspecified() {
        place.set_ip(if place.is_ipv4() { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() });
    }
    format!("{netcat} {} {}", place.ip(), place.port())
}

/// A path as a shell takes it.
fn quoted(path: &Path) -> String {
    let path = path.display().to_string();
    let plain = path.chars().all(|character| character.is_alphanumeric() || "/._-+@%:,=".contains(character));
    if plain { path } else { format!("'{}'", path.replace('\'', r"'\''")) }
}

/// The signals that stop the program.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
}

impl Signals {
    fn install() -> std::io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// Waits for the next one and says its name.
    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.hangup.recv() => "SIGHUP",
        }
    }
}

/// Drains at the first signal and aborts at the second. Never returns: the server does.
async fn stop(mut signals: Signals, handle: &Handle, grace: std::time::Duration) -> std::convert::Infallible {
    // With nothing to reload, SIGHUP drains too: a terminal that was closed.
    let signal = signals.next().await;
    let connections = handle.connections().len();
    info!(signal, connections, at_most = ?grace, "draining; a second signal ends it now");
    handle.drain();
    while signals.next().await == "SIGHUP" {}
    warn!("second signal: ending now");
    handle.abort();
    std::future::pending().await
}
