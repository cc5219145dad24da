//! Proxy: passes each connection on to one of several upstreams, byte for byte; and over UDP what each source sends.
//!
//! Options: `to` (URLs of upstreams, with commas between them), `balance` (`least`), `connect` (3 s for each attempt), `check` (`off`),
//! `idle` (`off`), `half` (60 s), `max` (`off`), `queue` (128) and `wait` (1 s), `send-proxy` (`off`), and for upstreams that speak TLS `ca`. On UDP: `to`, `balance` and `idle` (30 s).

mod check;
mod choice;
mod counts;
mod pool;
mod upstream;

use super::{Add, NamedService, Offer};
use crate::address::{DatagramListener, StreamListener};
use crate::endpoint::Options;
use crate::live::{Idle, Replaceable};
use check::Check;
use choice::Balance;
pub(crate) use counts::{PoolFigures, State, UpstreamFigures};
pub(crate) use pool::{Paired, Pool};
use pool::{Taken, Unconnected};
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use switchboard::prelude::*;
use switchboard::{Datagrams, ProxyVersion, Relay, RelayEnd, Relayed, Trust, Validation};
use switchboard_load::typed::{Scheme, Url, parse_count, parse_duration, parse_limit, parse_timeout};
use tokio::time::Instant;
use tracing::{Level, debug, enabled};
use upstream::{Passed, Upstream};

pub(super) const SERVICE: NamedService = NamedService {
    name: "proxy",
    is_private: false,
    offers: &[Offer::Streams(STREAMS, streams), Offer::Datagrams(&[Scheme::Udp], datagrams)],
};

const STREAMS: &[Scheme] = &[Scheme::Tcp, Scheme::Tls, Scheme::Unix];

/// For one attempt to connect.
const CONNECT: Duration = Duration::from_secs(3);

/// Without a byte once one side has finished.
const HALF: Duration = Duration::from_mins(1);

/// Who waits for a place at an upstream, and how long.
const QUEUE: usize = 128;
const WAIT: Duration = Duration::from_secs(1);

/// Without a datagram either way.
const IDLE: Duration = Duration::from_secs(30);

/// Sources of datagrams, in all and of one address: anybody can make up more.
const SOURCES: usize = 10_000;
const SOURCES_PER_ADDRESS: usize = 64;

/// One in so many connections may be a source. Each has another one to its upstream, and the rest is for those who cannot be made up.
const SOURCES_SHARE: usize = 4;

/// What all connections of one listener have.
struct Proxy {
    pool: Arc<Pool>,
    client: Client,
    announce: Option<ProxyVersion>,
    idle: Replaceable<Option<Duration>>,
    half: Option<Duration>,
}

fn streams(streams: StreamListener, options: &mut Options) -> Add {
    let upstreams = upstreams(options);
    let balance = options.value("balance", parse_balance).unwrap_or_default();
    let connect = options.value("connect", parse_duration).unwrap_or(CONNECT);
    let check = options.value("check", Check::parse).unwrap_or(Check::Off);
    let idle = Replaceable::new(options.value("idle", parse_timeout).flatten());
    let half = options.value("half", parse_timeout).unwrap_or(Some(HALF));
    let most = options.value("max", |text| parse_limit(text, usize::MAX)).flatten().unwrap_or(usize::MAX);
    let queue = options.value("queue", |text| parse_count(text, usize::MAX)).unwrap_or(QUEUE);
    let wait = options.value("wait", parse_duration).unwrap_or(WAIT);
    let announce = options.value("send-proxy", parse_version).flatten();
    if announce.is_some() && upstreams.iter().any(Upstream::is_secure) {
        options.refuse("send-proxy", "comes before TLS, which is not supported: upstreams are tcp or unix with it");
    }
    if matches!(check, Check::Answers { .. }) && upstreams.iter().any(Upstream::is_secure) {
        options.refuse("check", "sends a text without TLS, which none that speaks TLS answers: it is tcp with them");
    }
    // Its pairs have it, and not its connections.
    options.live.idle = Some(Idle(None));
    options.live.idle_pairs = Some(idle.clone());
    let live = options.live.clone();
    let pool = Pool::new(upstreams, (balance, most), (queue, wait));
    Box::new(move |server, shared| {
        let timeouts = Timeouts { idle: None, ..shared.timeouts };
        let client = server.handle().client().timeouts(Timeouts { handshake: Some(connect), ..timeouts });
        check.begin(&pool, &server.handle());
        shared.running.passes_on(Arc::clone(&pool));
        let proxy = Arc::new(Proxy { pool, client, announce, idle, half });
        let streams = streams.timeouts(live.timeouts(shared.timeouts));
        streams.listen(server, move |conn| pass(conn, Arc::clone(&proxy)))
    })
}

/// The upstreams of `to`, and whom those that speak TLS have to be.
fn upstreams(options: &mut Options) -> Vec<Upstream> {
    let urls = urls(options, STREAMS);
    let is_secure = urls.iter().any(|url| url.scheme == Scheme::Tls);
    let file = options.value("ca", |path| Ok(path.to_owned()));
    let trust = match file {
        Some(_) if !is_secure => {
            if !urls.is_empty() {
                options.refuse("ca", "is for upstreams that speak TLS, of which there is none");
            }
            None
        }
        Some(path) => Trust::file(path).map_err(|error| options.refuse("ca", &error.to_string())).ok(),
        None if is_secure => {
            Trust::system().map_err(|error| options.refuse("ca", &format!("is missing: {error}"))).ok()
        }
        None => None,
    };
    urls.into_iter().map(|url| Upstream::new(url, trust.as_ref())).collect()
}

fn urls(options: &mut Options, schemes: &[Scheme]) -> Vec<Url> {
    if !options.has("to") {
        let name = schemes[0].name();
        let fault =
            format!("a proxy needs somebody to pass connections on to: put ?to={name}://HOST:PORT behind the port");
        options.fault(&fault);
    }
    options.value("to", |text| Upstream::parse_all(text, schemes)).unwrap_or_default()
}

fn datagrams(datagrams: DatagramListener, options: &mut Options) -> Add {
    let upstreams = urls(options, &[Scheme::Udp]).into_iter().map(|url| Upstream::new(url, None)).collect();
    let balance = options.value("balance", parse_balance).unwrap_or_default();
    options.live.idle = Some(Idle(options.value("idle", parse_timeout).unwrap_or(Some(IDLE))));
    let live = options.live.clone();
    let pool = Pool::new(upstreams, (balance, usize::MAX), (0, WAIT));
    Box::new(move |server, shared| {
        shared.running.passes_on(Arc::clone(&pool));
        let client = server.handle().client().timeouts(Timeouts { idle: None, ..shared.timeouts });
        let limits = Limits {
            connections: SOURCES.min((shared.running.limits().connections / SOURCES_SHARE).max(1)),
            connections_per_address: Some(SOURCES_PER_ADDRESS),
            ..shared.running.limits()
        };
        let state = Arc::new((pool, client));
        let handler = move |conn| exchange(conn, Arc::clone(&state));
        // Whoever sends is passed on; but for sources of services, which no listener hears.
        let udp = datagrams.udp(live.timeouts(shared.timeouts)).limited(limits);
        server.udp_peers(udp, |_, _| Validation::Given, handler)
    })
}

/// Passes on what one source sends, and what is answered.
async fn exchange(conn: Connection<Datagrams>, state: Arc<(Arc<Pool>, Client)>) {
    let (pool, client) = &*state;
    let address = conn.peer().ip().map(|address| address.ip());
    match Box::pin(pool.connect::<Datagrams>(client, address)).await {
        Ok((upstream, taken)) => through(conn, upstream, taken, |pair| pair).await,
        Err(error) => unconnected(conn, &error),
    }
}

fn parse_balance(text: &str) -> Result<Balance, String> {
    match text {
        "least" => Ok(Balance::Least),
        "round" => Ok(Balance::Round),
        "hash:address" => Ok(Balance::Address),
        _ => Err("not least, round or hash:address".to_owned()),
    }
}

fn parse_version(text: &str) -> Result<Option<ProxyVersion>, String> {
    match text {
        "off" => Ok(None),
        "v1" => Ok(Some(ProxyVersion::V1)),
        "v2" => Ok(Some(ProxyVersion::V2)),
        _ => Err("not off, v1 or v2".to_owned()),
    }
}

/// Passes one connection on, until both sides have finished.
async fn pass(conn: Connection<Raw>, proxy: Arc<Proxy>) {
    let address = conn.peer().ip().map(|address| address.ip());
    // Boxed: it is over soon, and a future keeps room for all that is in it as long as the pair lives.
    let connected = Box::pin(proxy.pool.connect::<Raw>(&proxy.client, address)).await;
    let (mut upstream, taken) = match connected {
        Ok(connected) => connected,
        Err(error) => return unconnected(conn, &error),
    };
    if let Some(version) = proxy.announce {
        let header = version.header(conn.peer().ip(), conn.local_addr());
        if upstream.send(header).await.is_err() {
            return conn.reset();
        }
    }
    let limited = |mut pair: Relay<Raw, Raw>| {
        if let Some(limit) = proxy.idle.now() {
            pair = pair.idle(limit);
        }
        if let Some(limit) = proxy.half {
            pair = pair.half(limit);
        }
        pair
    };
    through(conn, upstream, taken, limited).await;
}

/// Passes on what comes on either connection until the pair has ended, counts it meanwhile, and tells of it once.
async fn through<C: Passed>(
    conn: Connection<C>,
    upstream: Connection<C>,
    mut taken: Taken,
    limited: impl FnOnce(Relay<C, C>) -> Relay<C, C>,
) {
    taken.pairs(conn.id(), upstream.id());
    // An idle pair keeps no text that nobody wants.
    let told = enabled!(Level::DEBUG).then(|| Box::new((conn.id(), conn.peer().clone(), Instant::now())));
    let mut pair = limited(relay(conn, upstream).logged_as_one());
    let Relayed { forth, back, end, .. } = poll_fn(|cx| {
        let polled = Pin::new(&mut pair).poll(cx);
        taken.passed(pair.passed());
        polled
    })
    .await;
    let Some(told) = told else { return };
    let (id, peer, began) = *told;
    let side = match end {
        RelayEnd::First(reason) => format!("client: {reason}"),
        RelayEnd::Second(reason) => format!("upstream: {reason}"),
        other => other.to_string(),
    };
    let (upstream, age_us) = (taken.upstream(), began.elapsed().as_micros() as u64);
    debug!(conn.id = u64::from(id), peer.addr = %peer, %upstream, age_us, forth, back, end = side, "passed on");
}

/// Nobody takes it: it is reset, so that its client sees it at once.
fn unconnected<C: Codec>(conn: Connection<C>, error: &Unconnected) {
    debug!(conn.id = u64::from(conn.id()), peer.addr = %conn.peer(), %error, "not passed on");
    conn.reset();
}
