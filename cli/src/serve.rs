//! Serving: bind everything, say where, wait for signals, drain.

pub(crate) mod keeping;
mod reload;

pub(crate) use reload::Load;

use crate::address::Address;
use crate::config::{Config, Fault, InForce, SetBy};
use crate::endpoint::Endpoint;
use crate::live::Replaceable;
use crate::logging::{Log, file};
use crate::policy::audit::Audit;
use crate::policy::configured::FilePolicy;
use crate::policy::keeper::keep_fresh;
use crate::print;
use crate::running::{FileTold, FileWish, Listening, Run};
use crate::services::Shared;
use crate::steered::Steered;
use crate::systemd::{HandedOver, Supervisor};
use crate::web::access::AccessLog;
use anyhow::{Context as _, anyhow};
use reload::Reloads;
use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use switchboard::log::{NatsError, SqliteError};
use switchboard::{BindError, Drained, Escaped, Handle, Hub, Limits, Server, UserName};
use switchboard_load::BenchError;
use switchboard_load::typed::{self, Scheme};
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tracing::{info, warn};

/// Why nothing was served.
#[derive(Debug)]
pub(crate) enum NotStarted {
    /// Settings are wrong.
    Faults(Vec<Fault>),
    /// Addresses cannot be listened on.
    Bind(BindError),
    /// What is in the data directory cannot be served.
    Data(SqliteError),
    /// The log that several nodes share cannot be used.
    Cluster(NatsError),
    /// The machine lacks something.
    Start(anyhow::Error),
}

impl From<BenchError> for NotStarted {
    fn from(error: BenchError) -> Self {
        match error {
            BenchError::Typed(faults) => {
                Self::Faults(faults.into_iter().map(|text| Fault::new(SetBy::Argument, text)).collect())
            }
            BenchError::Failed(error) => Self::Start(error),
        }
    }
}

/// Serves until a signal and the drain after it; `load` puts the settings together again.
pub(crate) fn serve(config: Config, load: Load) -> Result<(), NotStarted> {
    // The log has a thread.
    HandedOver::take().give(&config.listen.value).map_err(NotStarted::Faults)?;
    // The keys of cookies, and the numbers by which nodes are told apart, are drawn as they are needed: there is no going on without.
    let random =
        getrandom::u64().context("the system gives no random numbers, neither by getrandom(2) nor from /dev/urandom");
    random.map_err(NotStarted::Start)?;
    let runtime = runtime().map_err(NotStarted::Start)?;
    let log = Log::start(&config.log.value, config.log_format.value).context("cannot start logging");
    let log = log.map_err(NotStarted::Start)?;
    let result = runtime.block_on(run(config, load, &log));
    log.finish();
    result
}

/// What is wrong with limits on this machine, a sentence each.
pub(crate) fn limit_faults(limits: Limits) -> Vec<String> {
    let Ok(runtime) = runtime() else { return Vec::new() };
    // A server without listeners and workers checks its limits and does nothing else.
    let checked = runtime.block_on(Server::new().workers(0).limits(limits).bind());
    checked.map_or_else(|error| error.faults, |_| Vec::new())
}

pub(crate) fn runtime() -> anyhow::Result<Runtime> {
    Builder::new_current_thread().enable_all().build().context("cannot start an event loop")
}

async fn run(mut config: Config, load: Load, log: &Log) -> Result<(), NotStarted> {
    let supervisor = Supervisor::find();
    // Signals that come while addresses are bound drain as well.
    let signals = Signals::install().context("cannot handle signals").map_err(NotStarted::Start)?;
    let mut server =
        Server::new().limits(config.limits()).grace(config.grace.value).workers(config.workers.value.number);
    let (timeouts, frame_bytes) = (config.timeouts(), Replaceable::new(config.frame_bytes.value));
    let in_force = InForce::of(&config);
    let (audit, access) = (Arc::new(Audit::default()), Arc::new(AccessLog::new(config.log_format.value)));
    open_files(&audit, &access, &in_force).map_err(|fault| NotStarted::Start(anyhow!(fault)))?;
    let steered = steered(&config).map_err(NotStarted::Start)?;
    let told = |policy: FilePolicy| policy.audited(Arc::clone(&audit)).without(Arc::clone(steered.revocations()));
    let policy = policy(&config).map(told).map(Arc::new);
    let kept = keeping::open(&config).await?;
    let hub = keeping::hub(&config, policy.clone(), kept.as_ref())?;
    let running = Run::new(config.limits(), config.workers.value.number, log.lost_lines());
    let running = Arc::new(running.steered_by(steered).keeping(kept.clone()));
    running.logs(log.filter(), &config.log.value);
    let shared = Shared {
        timeouts,
        frame_bytes,
        hub,
        policy: policy.clone(),
        running: Arc::clone(&running),
        audit: Arc::clone(&audit),
        access: Arc::clone(&access),
        ..Shared::default()
    };
    server = server.hub(&shared.hub);
    let mut reloads = Reloads::new(in_force, load, config.file.is_some(), &shared, server.handle());
    let (open, expiring) = (config.open(), config.rules.expiring(SystemTime::now()));
    leave_out_taken(&mut config);
    let mut places = Vec::new();
    for endpoint in config.listen.value {
        places.push(ListenerLine::of(&endpoint));
        server = (endpoint.add)(server, &shared);
    }
    let bound = keeping::bound(server, &shared).await?;
    // A name may have several addresses.
    let urls = places.iter().zip(bound.listeners());
    let listening: Vec<_> = urls.flat_map(|(place, urls)| urls.into_iter().map(move |url| (place, url))).collect();
    announce(&listening).context("cannot print the listeners").map_err(NotStarted::Start)?;
    name_pools(&running, &places, &bound.listeners());
    reloads.bound(places.iter().map(|place| place.typed.as_str()).zip(bound.listeners()));
    log_listeners(&listening, config.workers.value.number);
    for told in open.into_iter().chain(expiring) {
        warn!("{told}");
    }
    let services = listening.iter().map(|(place, url)| Listening { service: place.service, url: url.clone() });
    reloads.running().serves(services.collect());
    supervisor.ready();
    let handle = bound.handle();
    let drained = tokio::select! {
        // It ends by itself once the other has asked the handle for it.
        drained = bound.serve_until(std::future::pending()) => drained,
        never = stop(signals, &handle, &mut reloads, &supervisor) => match never {},
        never = supervisor.keep_told(&running, &handle, &shared.hub) => match never {},
        never = keep_vouched(policy.as_ref(), &shared.hub, config.state_directory.value.path) => match never {},
        never = keeping::keep_on(config.cluster.publish_as.value, &shared, &handle) => match never {},
    };
    // It may all have been over at once.
    supervisor.stopping();
    let Drained { finished, aborted, elapsed } = drained;
    info!(finished, aborted, elapsed_ms = elapsed.as_millis() as u64, "drained");
    audit.drained(&format!("{finished} finished, {aborted} aborted"));
    audit.finish();
    access.finish();
    keeping::ended(kept.as_ref(), &shared.hub, config.grace.value.saturating_sub(elapsed)).await
}

/// Tells upstreams which listener passes connections on to them: proxies are added in the order of their listeners.
fn name_pools(running: &Run, places: &[ListenerLine], bound: &[Vec<String>]) {
    let proxies = places.iter().zip(bound).filter(|(place, _)| place.service == "proxy");
    running.pools().iter().zip(proxies).for_each(|(pool, (_, urls))| pool.serves(urls.join(", ")));
}

/// Keeps the keys fresh that are fetched, and asks again whom a callout has vouched for.
async fn keep_vouched(policy: Option<&Arc<FilePolicy>>, hub: &Hub, state: Option<PathBuf>) -> Infallible {
    let Some(policy) = policy else { return std::future::pending().await };
    tokio::select! {
        never = keep_fresh(policy, hub, state) => never,
        never = Arc::clone(policy).keep_asking(hub) => never,
    }
}

/// Nobody has asked for the admin listener of the defaults: what already listens on its port is no reason not to start.
fn leave_out_taken(config: &mut Config) {
    if config.listen.set_by != SetBy::Default {
        return;
    }
    config.listen.value.retain(|endpoint| {
        let typed::Place::Host(host) = &endpoint.address.place else { return true };
        let is_open = endpoint.address.handed.is_there();
        let is_taken =
            endpoint.service.name == "admin" && !is_open && std::net::TcpListener::bind(host.to_string()).is_err();
        if is_taken {
            warn!(listener = endpoint.typed, "the address is taken: there is no admin listener");
        }
        !is_taken
    });
}

/// What the file says of who may do what; without a word of it everybody may do everything.
pub(crate) fn policy(config: &Config) -> Option<FilePolicy> {
    let named = config.listen.value.iter().filter_map(|endpoint| UserName::parse(&endpoint.option("as")?).ok());
    let named = named.chain(config.cluster.publish_as.value.clone());
    let policy = || FilePolicy::new(&config.rules, named.collect()).failing(config.auth_failures.value);
    (!config.rules.is_empty()).then(policy)
}

/// Opens the files of the audit and of the access log; when the file is read again anew, also under the same name: whoever rotates files
/// has moved the others away.
fn open_files(audit: &Audit, access: &AccessLog, in_force: &InForce) -> Result<(), String> {
    let opened = |what: &str, path: &Option<PathBuf>| {
        let Some(path) = path else { return Ok(None) };
        let shown = Escaped(path.as_os_str().as_bytes());
        file::open(path).map(Some).map_err(|error| format!("cannot write {what} {shown}: {error}"))
    };
    let (detail, access_path) = &in_force.access;
    let (audit_file, access_file) = (opened("the audit", &in_force.audit)?, opened("the access log", access_path)?);
    let replaced = audit.replace(audit_file).and_then(|()| access.replace(*detail, access_file));
    replaced.map_err(|error| format!("cannot start a thread for the audit or the access log: {error}"))
}

/// What operators have said before the last end.
fn steered(config: &Config) -> anyhow::Result<Steered> {
    let folder = config.state_directory.value.path.clone();
    let shown = folder.clone().unwrap_or_default();
    Steered::load(folder).with_context(|| format!("cannot read what operators have said, in {}", shown.display()))
}

/// Prints a line for each address that is listened on, with a command that tries it.
fn announce(listening: &[(&ListenerLine, String)]) -> std::io::Result<()> {
    let names = listening.iter().map(|(place, _)| place.service.len()).max().unwrap_or(0);
    let width = listening.iter().map(|(_, url)| url.len()).max().unwrap_or(0);
    let mut lines = String::new();
    for (place, url) in listening {
        let line = format!("{:names$}  {url:width$}  try: {}", place.service, place.command(url));
        lines.push_str(&Escaped(line.as_bytes()).to_string());
        lines.push('\n');
    }
    // The server is not there for whoever reads them.
    print::unless_nobody_reads(print::write(lines.as_bytes()))
}

/// Says in the log what begins.
fn log_listeners(listening: &[(&ListenerLine, String)], workers: usize) {
    let listeners = listening.iter().map(|(place, url)| format!("{}={url}", place.service));
    let listeners = listeners.collect::<Vec<_>>().join(" ");
    info!(version = switchboard_load::VERSION, workers, listeners, "serving");
}

/// What a listener's line says of it.
struct ListenerLine {
    typed: String,
    service: &'static str,
    address: Address,
    /// Where new connections are, in rooms.
    room: String,
    /// Of a group of hosts: where it is heard.
    interface: Option<String>,
    /// Whether it is heard by everybody in a subnet.
    is_broadcast: bool,
    /// Whether what `nc` sends is a frame. With a length before each it is not.
    takes_lines: bool,
    takes_commands: bool,
}

impl ListenerLine {
    fn of(endpoint: &Endpoint) -> Self {
        Self {
            typed: endpoint.typed.clone(),
            service: endpoint.service.name,
            address: endpoint.address.clone(),
            room: endpoint.option("room").unwrap_or_else(|| "lobby".to_owned()),
            interface: endpoint.option("interface").map(|names| names_to_try(&names)),
            is_broadcast: endpoint.option("broadcast").as_deref() == Some("on"),
            takes_lines: endpoint.option("framing").is_none_or(|framing| framing == "lines"),
            takes_commands: endpoint.option("commands").is_none_or(|commands| commands == "on"),
        }
    }

    /// What to type to try it on this machine.
    fn command(&self, url: &str) -> String {
        let (place, room) = (reachable(url), &self.room);
        let (host, port) = place.rsplit_once(':').unwrap_or((&place, ""));
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let typed = match (self.address.scheme, &self.address.place) {
            (_, typed::Place::File(path)) if self.service == "admin" => {
                format!("curl --unix-socket {} localhost/stats", quoted(path))
            }
            (Scheme::Http, _) if self.service == "admin" => format!("open http://{place}/ or curl {place}/metrics"),
            (Scheme::Https, _) if self.service == "admin" => {
                format!("open https://{place}/ or curl -k https://{place}/metrics")
            }
            (_, typed::Place::File(path)) => format!("nc -U {}", quoted(path)),
            (Scheme::Tls, _) => format!("openssl s_client -quiet -connect {place}"),
            (Scheme::Ws | Scheme::Wss, _) => format!("websocat {url}"),
            // The page lives by commands.
            (Scheme::Http, _) if !self.takes_commands => format!("curl -d hi {place}/rooms/{room}"),
            (Scheme::Http, _) => format!("open http://{place}/ or curl -d hi {place}/rooms/{room}"),
            // Its certificate need not be for an address of this machine.
            (Scheme::Https, _) if !self.takes_commands => format!("curl -kd hi https://{place}/rooms/{room}"),
            (Scheme::Https, _) => format!("open https://{place}/ or curl -kd hi https://{place}/rooms/{room}"),
            (Scheme::Tcp | Scheme::Unix, _) => format!("nc {host} {port}"),
            (Scheme::Udp, _) if self.is_broadcast || is_multicast(host) => {
                let interface = self.interface.as_ref().map(|name| format!("interface={name}"));
                let options: Vec<_> =
                    self.is_broadcast.then(|| "broadcast=on".to_owned()).into_iter().chain(interface).collect();
                let query = if options.is_empty() { String::new() } else { format!("?{}", options.join("&")) };
                format!("switchboard connect {}", quoted(Path::new(&format!("udp://{place}{query}"))))
            }
            // Whoever only types there is a stranger, and told nothing; and heard by nobody, without commands.
            (Scheme::Udp, _) if self.service == "rooms" && self.takes_commands => {
                format!("printf '/pub {room} hi' | nc -u -w1 {host} {port}")
            }
            (Scheme::Udp, _) if self.service == "rooms" => {
                format!("switchboard connect udp://{place} --room {room}")
            }
            (Scheme::Udp, _) => format!("nc -u {host} {port}"),
        };
        if self.takes_lines { typed } else { format!(r"printf '\0\0\0\2hi' | {typed}") }
    }
}

/// The address of a listener as it is reached from this machine.
fn reachable(url: &str) -> String {
    let place = url.split_once("://").map_or(url, |(_, place)| place);
    let Ok(mut address) = place.parse::<SocketAddr>() else { return place.to_owned() };
    if address.ip().is_unspecified() {
        address.set_ip(if address.is_ipv4() { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() });
    }
    address.to_string()
}

/// The interfaces of a group that have to be there; the first one if each of them may be missing.
fn names_to_try(names: &str) -> String {
    let needed: Vec<_> = names.split(',').filter(|name| !name.ends_with('?')).collect();
    let first = || names.split('?').next().unwrap_or_default().to_owned();
    if needed.is_empty() { first() } else { needed.join(",") }
}

/// Whether it is the address of a group of hosts.
fn is_multicast(host: &str) -> bool {
    let host = host.split_once('%').map_or(host, |(host, _)| host);
    host.parse::<IpAddr>().is_ok_and(|address| address.is_multicast())
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
    /// Unless the program was told to ignore it, by `nohup`.
    hangup: Option<Signal>,
    /// It was started on a terminal, whose end is a hangup.
    has_terminal: bool,
}

impl Signals {
    fn install() -> std::io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: if is_ignored(SIGHUP) { None } else { Some(signal(SignalKind::hangup())?) },
            has_terminal: has_terminal(),
        })
    }

    /// Whether its terminal is gone: then a hangup is the end, and else somebody's `kill -HUP`.
    fn has_hung_up(&self) -> bool {
        self.has_terminal && !has_terminal()
    }

    /// Waits for the next one and says its name.
    ///
    /// # Cancel safety
    /// Safe: a signal that was not told stays for the next call.
    async fn next(&mut self) -> &'static str {
        let hangup = async {
            match &mut self.hangup {
                Some(hangup) => hangup.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.terminate.recv() => "SIGTERM",
            _ = hangup => "SIGHUP",
        }
    }

    /// As [`next`](Self::next), of those that are no hangup: they are told later, and as one.
    ///
    /// # Cancel safety
    /// Safe, as that.
    async fn next_to_stop(&mut self) -> &'static str {
        tokio::select! {
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.terminate.recv() => "SIGTERM",
        }
    }
}

const SIGHUP: u32 = 1;

/// Whether there is a controlling terminal (tty(4)); a process loses it when it hangs up.
fn has_terminal() -> bool {
    std::fs::File::open("/dev/tty").is_ok()
}

/// Whether the process was started with this signal ignored (see proc(5)); it should stay so.
fn is_ignored(signal: u32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| u64::from_str_radix(line.strip_prefix("SigIgn:")?.trim(), 16).ok());
    mask.is_some_and(|mask| mask & (1 << (signal - 1)) != 0)
}

/// Between two looks at certificates that may have expired.
const CHECK_INTERVAL: Duration = Duration::from_hours(1);

/// A signal that comes again so soon is the same one: `timeout` sends it to the program, and to the program's group.
const REPEATED: Duration = Duration::from_millis(100);

/// Drains at the first signal and aborts at the second. Never returns: the server does.
async fn stop(mut signals: Signals, handle: &Handle, reloads: &mut Reloads, supervisor: &Supervisor) -> Infallible {
    // The first one is now.
    let mut checks = tokio::time::interval(CHECK_INTERVAL);
    let mut asked = reloads.running().take_asked();
    let signal = loop {
        let signal = tokio::select! {
            signal = signals.next() => Some(signal),
            _ = checks.tick() => None,
            (wish, asking) = asked_for(&mut asked) => {
                tokio::select! {
                    // Whoever has asked may have had enough of waiting.
                    told = fulfil(wish, reloads, supervisor) => drop(asking.send(told)),
                    signal = signals.next_to_stop() => break signal,
                }
                None
            }
        };
        match signal {
            // One that was started with a file is a service, whatever terminal it was started from.
            Some("SIGHUP") if reloads.has_file() || !signals.has_hung_up() => {
                // What is read when it is told to stop has no effect any more.
                tokio::select! {
                    _ = reload(reloads, supervisor) => {}
                    signal = signals.next_to_stop() => break signal,
                }
            }
            Some(signal) => break signal,
            None => {}
        }
        handle.set_grace(reloads.grace());
        reloads.check();
    };
    let connections = handle.connections().len();
    let grace_ms = reloads.grace().as_millis() as u64;
    info!(signal, connections, grace_ms, "draining; a second signal ends it now");
    handle.drain();
    second(signal, async || signals.next().await).await;
    warn!("second signal: ending now");
    handle.abort();
    std::future::pending().await
}

async fn fulfil(wish: FileWish, reloads: &mut Reloads, supervisor: &Supervisor) -> Result<Vec<String>, Vec<String>> {
    match wish {
        FileWish::Reload => reload(reloads, supervisor).await,
        FileWish::Check(content) => reloads.judge(content).await,
    }
}

/// Reads the file again, and says meanwhile that it does.
async fn reload(reloads: &mut Reloads, supervisor: &Supervisor) -> Result<Vec<String>, Vec<String>> {
    supervisor.reloading();
    let reloaded = reloads.reload().await;
    supervisor.ready();
    reloaded
}

/// Waits until an operator asks for something that has to do with the file.
async fn asked_for(asked: &mut Option<mpsc::Receiver<(FileWish, FileTold)>>) -> (FileWish, FileTold) {
    match asked {
        // The server, which asks, goes on as long as this does.
        Some(asked) => match asked.recv().await {
            Some(asking) => asking,
            None => std::future::pending().await,
        },
        None => std::future::pending().await,
    }
}

/// Waits for a signal that means to end it now, after `first`.
async fn second(first: &str, mut next: impl AsyncFnMut() -> &'static str) {
    let told = Instant::now();
    loop {
        let signal = next().await;
        if signal != "SIGHUP" && (signal != first || told.elapsed() >= REPEATED) {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_signal_that_comes_again_at_once_is_the_same_one() {
        // After how many milliseconds each of them comes.
        let ended_by = async |signals: &[(u64, &'static str)]| {
            let mut coming = signals.iter();
            let mut seen = 0;
            let next = async || {
                let Some((wait, signal)) = coming.next() else { return std::future::pending().await };
                seen += 1;
                tokio::time::sleep(Duration::from_millis(*wait)).await;
                *signal
            };
            tokio::time::timeout(Duration::from_mins(1), second("SIGTERM", next)).await.ok()?;
            Some(seen)
        };
        assert_eq!(ended_by(&[(1, "SIGTERM")]).await, None);
        assert_eq!(ended_by(&[(1, "SIGTERM"), (98, "SIGTERM"), (1, "SIGTERM")]).await, Some(3));
        assert_eq!(ended_by(&[(1, "SIGINT")]).await, Some(1));
        assert_eq!(ended_by(&[(500, "SIGHUP"), (1, "SIGTERM")]).await, Some(2));
    }

    #[test]
    fn a_command_reaches_a_listener_from_this_machine() {
        let command = |typed: &str, url: &str| {
            let endpoint = Endpoint::parse(typed).expect("it is sound");
            ListenerLine::of(&endpoint).command(url)
        };
        assert_eq!(command("echo=tcp://0.0.0.0:0", "tcp://0.0.0.0:80"), "nc 127.0.0.1 80");
        assert_eq!(command("echo=udp://[::]:0", "udp://[::]:80"), "nc -u ::1 80");
        let publish = "printf '/pub lobby hi' | nc -u -w1 127.0.0.1 80";
        assert_eq!(command("rooms=udp://0.0.0.0:0", "udp://0.0.0.0:80"), publish);
        assert_eq!(command("echo=tcp://192.0.2.1:0", "tcp://192.0.2.1:80"), "nc 192.0.2.1 80");
        assert_eq!(
            command("rooms=http://0.0.0.0:0", "http://0.0.0.0:80"),
            "open http://127.0.0.1:80/ or curl -d hi 127.0.0.1:80/rooms/lobby"
        );
        let framed = command("rooms=tcp://127.0.0.1:0?framing=length", "tcp://127.0.0.1:80");
        assert_eq!(framed, r"printf '\0\0\0\2hi' | nc 127.0.0.1 80");
        let relay = command("rooms=udp://127.0.0.1:0?format=raw&commands=off&room=tv", "udp://127.0.0.1:80");
        assert_eq!(relay, "switchboard connect udp://127.0.0.1:80 --room tv");
        let other = command("rooms=udp://127.0.0.1:0?room=tv", "udp://127.0.0.1:80");
        assert_eq!(other, "printf '/pub tv hi' | nc -u -w1 127.0.0.1 80");
        let group = command("rooms=udp://239.1.2.3:7000?room=tv&interface=lo?", "udp://239.1.2.3:7000");
        assert_eq!(group, "switchboard connect 'udp://239.1.2.3:7000?interface=lo'");
        let group = command("rooms=udp://239.1.2.3:7000?room=r&interface=eth0?,va", "udp://239.1.2.3:7000");
        assert_eq!(group, "switchboard connect 'udp://239.1.2.3:7000?interface=va'");
        let group = command("rooms=udp://239.1.2.3:7000?room=r&interface=eth0?,va?", "udp://239.1.2.3:7000");
        assert_eq!(group, "switchboard connect 'udp://239.1.2.3:7000?interface=eth0'");
        let everybody = "rooms=udp://255.255.255.255:7000?room=tv&broadcast=on&interface=lo";
        let everybody = command(everybody, "udp://255.255.255.255:7000");
        assert_eq!(everybody, "switchboard connect 'udp://255.255.255.255:7000?broadcast=on&interface=lo'");
        assert_eq!(command("echo=unix:///a/b.sock", "unix:///a/b.sock"), "nc -U /a/b.sock");
        assert_eq!(command("echo=unix:///a%20'b", "unix:///a 'b"), r"nc -U '/a '\''b'");
    }
}
