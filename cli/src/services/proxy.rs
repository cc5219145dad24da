//! Proxy: passes each connection on to one of several upstreams, byte for byte; and over UDP what each source sends.
//!
//! Options: `to` (URLs of upstreams, with commas between them), `weights` (1 each), `balance` (`least`), `connect` (3 s for each attempt), `check` (`off`),
//! `idle` (`off`), `half` (60 s), `max` (`off`), `queue` (128) and `wait` (1 s), `send-proxy` (`off`), and for upstreams that speak TLS `ca` and `client`. On UDP: `to`, `weights`, `balance` and `idle` (30 s).

mod check;
mod choice;
mod counts;
mod loops;
mod names;
mod pair;
mod pool;
mod upstream;

use super::rooms::group::is_group;
use super::{Add, NamedService, Offer};
use crate::address::{DatagramListener, StreamListener};
use crate::endpoint::Options;
use crate::live::{Idle, Replaceable};
use bytes::Bytes;
use check::Check;
use choice::Balance;
pub(crate) use counts::{PoolFigures, State, UpstreamFigures};
pub(crate) use loops::Loops;
use loops::{EndsHash, OwnEnd};
use pair::{Pair, Passing};
pub(crate) use pool::Pool;
use pool::{Taken, Unconnected};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use switchboard::prelude::*;
use switchboard::{Certificates, Datagrams, Handle, ProxyVersion, Trust, Validation};
use switchboard_load::typed::{Place, Scheme, Url, parse_count, parse_duration, parse_limit, parse_timeout};
use tracing::debug;
use upstream::Upstream;

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

/// Of an upstream, beside the others.
const WEIGHTS: std::ops::RangeInclusive<u32> = 1..=256;

/// Who waits for a place at an upstream, and how long.
const QUEUE: usize = 128;
const WAIT: Duration = Duration::from_secs(1);

/// What is read of a client that waits to be connected, with one read more.
const EARLY_BYTES: usize = 32 << 10;

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
    loops: Arc<Loops>,
}

fn streams(streams: StreamListener, options: &mut Options) -> Add {
    let upstreams = upstreams(options, streams.place());
    let weights = weights(options, upstreams.len());
    let balance = options.value("balance", parse_balance).unwrap_or_default();
    let connect = options.value("connect", parse_duration).unwrap_or(CONNECT);
    let check = options.value("check", Check::parse).unwrap_or(Check::Off);
    let idle = Replaceable::new(options.value("idle", parse_timeout).flatten());
    let half = options.value("half", parse_timeout).unwrap_or(Some(HALF));
    let most = options.value("max", |text| parse_limit(text, usize::MAX)).flatten().unwrap_or(usize::MAX);
    let queue = options.value("queue", |text| parse_count(text, usize::MAX)).unwrap_or(QUEUE);
    let wait = options.value("wait", parse_duration).unwrap_or(WAIT);
    let announce = options.value("send-proxy", parse_version).flatten();
    if matches!(check, Check::Answers { .. }) && upstreams.iter().any(Upstream::is_secure) {
        options.refuse("check", "sends a text without TLS, which none that speaks TLS answers: it is tcp with them");
    }
    // Its pairs have it, and not its connections.
    options.live.idle = Some(Idle(None));
    options.live.idle_pairs = Some(idle.clone());
    let live = options.live.clone();
    let pool = Pool::new(upstreams, &weights, (balance, most), (queue, wait));
    Box::new(move |server, shared| {
        let (timeouts, loops) = (Timeouts { idle: None, ..shared.timeouts }, Arc::clone(&shared.loops));
        let client = server.handle().client().timeouts(Timeouts { handshake: Some(connect), ..timeouts });
        check.begin(&pool, &server.handle());
        names::keep_looking(&pool, &server.handle());
        shared.running.passes_on(Arc::clone(&pool));
        let proxy = Arc::new(Proxy { pool, client, announce, idle, half, loops });
        let streams = streams.timeouts(live.timeouts(shared.timeouts));
        streams.listen(server, move |conn| Passing::new(paired(conn, Arc::clone(&proxy))))
    })
}

/// The upstreams of `to`, and whom those that speak TLS have to be.
fn upstreams(options: &mut Options, own: &Place) -> Vec<Upstream> {
    let urls = urls(options, STREAMS, own);
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
    let trust = identity(options, is_secure || urls.is_empty(), trust);
    urls.into_iter().map(|url| Upstream::new(url, trust.as_ref())).collect()
}

/// The same of a client that shows the certificate of `client` where it is asked for one.
fn identity(options: &mut Options, is_secure: bool, trust: Option<Trust>) -> Option<Trust> {
    let Some(path) = options.value("client", |path| Ok(path.to_owned())) else { return trust };
    if !is_secure {
        options.refuse("client", "is for upstreams that speak TLS, of which there is none");
        return None;
    }
    let identity = Certificates::from_files([(&path, &path)]);
    let identity = identity.map_err(|error| options.refuse("client", &error.to_string())).ok()?;
    trust.map(|trust| trust.identity(&identity))
}

fn urls(options: &mut Options, schemes: &[Scheme], own: &Place) -> Vec<Url> {
    if !options.has("to") {
        let name = schemes[0].name();
        let fault =
            format!("a proxy needs somebody to pass connections on to: put ?to={name}://HOST:PORT behind the port");
        options.fault(&fault);
    }
    let urls = options.value("to", |text| Upstream::parse_all(text, schemes)).unwrap_or_default();
    for url in urls.iter().filter(|url| Upstream::leads_to(url, own)) {
        options.refuse("to", &format!("{} is this listener: each connection would make another one", url.typed));
    }
    urls
}

/// How upstreams share what comes, in their order.
fn weights(options: &mut Options, count: usize) -> Vec<u32> {
    let parse = |text: &str| {
        let weights: Option<Vec<u32>> =
            text.split(',').map(|weight| weight.parse().ok().filter(|weight| WEIGHTS.contains(weight))).collect();
        weights.filter(|weights| weights.len() == count).ok_or_else(|| {
            format!("not one number from 1 to {} for each upstream, with commas between them", WEIGHTS.end())
        })
    };
    let weights = options.value("weights", parse);
    weights.unwrap_or_else(|| vec![1; count])
}

fn datagrams(datagrams: DatagramListener, options: &mut Options) -> Add {
    if is_group(datagrams.host(), options) {
        options.fault("a group of hosts has no one to be a proxy for; rooms=udp://… has groups");
        options.forbid("broadcast", "is for rooms");
    }
    let urls = urls(options, &[Scheme::Udp], datagrams.place());
    let upstreams: Vec<_> = urls.into_iter().map(|url| Upstream::new(url, None)).collect();
    let weights = weights(options, upstreams.len());
    let balance = options.value("balance", parse_balance).unwrap_or_default();
    options.live.idle = Some(Idle(options.value("idle", parse_timeout).unwrap_or(Some(IDLE))));
    let live = options.live.clone();
    let pool = Pool::new(upstreams, &weights, (balance, usize::MAX), (0, WAIT));
    Box::new(move |server, shared| {
        names::keep_looking(&pool, &server.handle());
        shared.running.passes_on(Arc::clone(&pool));
        let client = server.handle().client().timeouts(Timeouts { idle: None, ..shared.timeouts });
        let limits = Limits {
            connections: SOURCES.min((shared.running.limits().connections / SOURCES_SHARE).max(1)),
            connections_per_address: Some(SOURCES_PER_ADDRESS),
            ..shared.running.limits()
        };
        let state = Arc::new((pool, client, Arc::clone(&shared.loops)));
        let handler = move |conn| Passing::new(paired_source(conn, Arc::clone(&state)));
        // Whoever sends is passed on; but for sources of services, which no listener hears.
        let udp = datagrams.udp(live.timeouts(shared.timeouts)).limited(limits);
        server.udp_peers(udp, |_, _| Validation::Given, handler)
    })
}

/// Connects what one source sends. Nothing, if it is passed on to nobody.
async fn paired_source(
    conn: Connection<Datagrams>,
    state: Arc<(Arc<Pool>, Client, Arc<Loops>)>,
) -> Option<Pair<Datagrams>> {
    let (pool, client, loops) = &*state;
    let address = conn.peer().ip().map(|address| address.ip());
    let mut came = None;
    let connected = async {
        leads_on(loops, &conn, &mut came, pool)?;
        let (upstream, taken) = pool.connect::<Datagrams>(client, address, &Bytes::new()).await?;
        leads_on(loops, &conn, &mut came, pool)?;
        Ok((loops.enter((&conn, &mut came), &upstream, pool.number()), upstream, taken))
    };
    match connected.await {
        Ok((end, upstream, taken)) => Some(Pair::new((conn, upstream), taken, end, |pair| pair)),
        Err(error) => {
            unconnected(conn, &error);
            None
        }
    }
}

/// That a connection does not come from the proxy that is to pass it on. It is looked for before connecting and after: whoever made the
/// connection may note that only after it has come, if it runs on another worker.
fn leads_on<C: Codec>(
    loops: &Loops,
    conn: &Connection<C>,
    came: &mut Option<EndsHash>,
    pool: &Arc<Pool>,
) -> Result<(), Unconnected> {
    if loops.leads_back(conn, came, pool.number()) {
        pool.turned_away(&Unconnected::Loop);
        return Err(Unconnected::Loop);
    }
    Ok(())
}

/// Does something beside the connections, until the server drains.
fn until_drained(handle: &Handle, work: impl Future<Output = Infallible> + Send + 'static) {
    let draining = handle.draining();
    handle.spawn(async move {
        tokio::select! {
            () = draining => {}
            never = work => match never {},
        }
    });
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

/// Connects a client. Nothing, if it is passed on to nobody.
async fn paired(mut conn: Connection<Raw>, proxy: Arc<Proxy>) -> Option<Pair<Raw>> {
    let mut early = Early::default();
    let (upstream, taken, end) = match connect(&mut conn, &proxy, &mut early).await {
        Ok(Some(connected)) => connected,
        Ok(None) => {
            debug!(conn.id = u64::from(conn.id()), peer.addr = %conn.peer(), "left before it was passed on");
            conn.reset();
            return None;
        }
        Err(error) => {
            unconnected(conn, &error);
            return None;
        }
    };
    Some(Pair::new((conn, upstream), taken, end, |mut pair| {
        if let Some(limit) = proxy.idle.now() {
            pair = pair.idle(limit);
        }
        if let Some(limit) = proxy.half {
            pair = pair.half(limit);
        }
        pair
    }))
}

/// What a client has sent before it was connected.
#[derive(Default)]
struct Early {
    frames: Vec<Bytes>,
    bytes: usize,
}

/// Connects a client, and sends what it has sent meanwhile; nothing, if it has left.
async fn connect(
    conn: &mut Connection<Raw>,
    proxy: &Proxy,
    early: &mut Early,
) -> Result<Option<(Connection<Raw>, Taken, Option<OwnEnd>)>, Unconnected> {
    let (pool, loops, mut came) = (&proxy.pool, &proxy.loops, None);
    leads_on(loops, conn, &mut came, pool)?;
    let address = conn.peer().ip().map(|address| address.ip());
    let first = proxy.announce.map(|version| version.header(conn.peer().ip(), conn.local_addr()));
    let first = first.map(Bytes::from).unwrap_or_default();
    let (mut upstream, mut taken) = tokio::select! {
        biased;
        connected = pool.connect::<Raw>(&proxy.client, address, &first) => connected?,
        () = left(conn, early) => return Ok(None),
    };
    leads_on(loops, conn, &mut came, pool)?;
    let end = loops.enter((conn, &mut came), &upstream, pool.number());
    for frame in early.frames.drain(..) {
        // If the upstream has gone already, whoever reads from it sees that.
        let _ = upstream.send(frame).await;
    }
    taken.sent_early(early.bytes as u64);
    Ok(Some((upstream, taken, end)))
}

/// Waits until a client has left: it is gone, or has finished and asked for nothing. One that has asked and finished waits for its
/// answer. What it sends meanwhile is kept.
///
/// # Cancel safety
/// Safe: what was received is in `early`.
async fn left(conn: &mut Connection<Raw>, early: &mut Early) {
    while early.bytes < EARLY_BYTES {
        match conn.recv().await {
            Ok(Some(frame)) => {
                early.bytes += frame.len();
                early.frames.push(frame);
            }
            Ok(None) if early.bytes > 0 || conn.is_draining() => break,
            Ok(None) | Err(_) => return,
        }
    }
    std::future::pending::<()>().await;
}

/// Nobody takes it: it is reset, so that its client sees it at once.
fn unconnected<C: Codec>(conn: Connection<C>, error: &Unconnected) {
    debug!(conn.id = u64::from(conn.id()), peer.addr = %conn.peer(), %error, "not passed on");
    conn.reset();
}
