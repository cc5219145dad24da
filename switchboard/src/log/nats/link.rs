//! The connection to one of the servers: made, kept, and made again. One task reads, writes and watches the time.
//!
//! What is asked and answered is `shared.rs`; this file moves bytes.

use super::servers::NatsServer;
use super::shared::{NatsStanding, Shared};
use super::wire::{self, ServerLine};
use super::{NatsError, NatsOptions};
use crate::Trust;
use bytes::BytesMut;
use rustls::pki_types::ServerName;
use serde_json::{Value, json};
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadHalf, WriteHalf};
use tokio::net::TcpStream;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use tokio_rustls::TlsConnector;
use tracing::{info, warn};

/// How long it may take until a server has let a node in.
const CONNECT_TIME: Duration = Duration::from_secs(5);

/// Between two attempts: the first, and the longest; each is drawn between half of it and all of it, so that nodes do not come all at once.
const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(2);

/// A server is asked whether it is there, and given up where two of these are not answered.
const PING_INTERVAL: Duration = Duration::from_secs(2);
const MOST_PINGS: usize = 2;

/// How often deadlines are looked at.
const TICK: Duration = Duration::from_millis(100);

const READ_BYTES: usize = 64 << 10;

trait Wire: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Wire for T {}

type Stream = Box<dyn Wire>;

/// A connection that a server has let in.
struct Admitted {
    stream: Stream,
    input: BytesMut,
}

/// Keeps a connection to one of the servers until `shared` is closed.
pub(super) async fn run(shared: Arc<Shared>) {
    let servers = &shared.options.servers;
    // Nodes begin with different ones.
    let mut next = random() as usize % servers.len();
    let mut wait = FIRST_WAIT;
    while !shared.is_closed() {
        let server = &servers[next];
        next = (next + 1) % servers.len();
        let admitted = meanwhile(&shared, timeout(CONNECT_TIME, admitted(server, &shared))).await;
        let reason = match admitted.unwrap_or(Err(NatsError::Silent)) {
            Ok(admitted) => {
                wait = FIRST_WAIT;
                let reason = serve(&shared, admitted).await;
                if shared.is_closed() {
                    break;
                }
                warn!(server = %server, error = %reason, "lost the connection to the nats-server");
                reason
            }
            Err(error) => {
                let reason = error.chain();
                shared.not_admitted(server, error);
                reason
            }
        };
        shared.lost(&reason.into());
        // Half of it at least, and all of it at most.
        let drawn = wait / 2 + wait.mul_f64(f64::from(random()) / f64::from(u32::MAX) / 2.0);
        // What ends the wait early is what ends the loop.
        let _ = meanwhile(&shared, timeout(drawn, shared.closed.cancelled())).await;
        wait = (wait * 2).min(LONGEST_WAIT);
    }
    shared.lost(&"the server is stopping".into());
}

/// Waits for `work`, and tells whoever asks meanwhile that there is no connection.
async fn meanwhile<T>(shared: &Shared, work: impl Future<Output = T>) -> T {
    let mut work = pin!(work);
    loop {
        tokio::select! {
            done = &mut work => return done,
            () = shared.wake.notified() => shared.refuse(),
        }
    }
}

fn random() -> u32 {
    // Without randomness all nodes come at once, which is not worth an end.
    getrandom::u32().unwrap_or_default()
}

/// Connects, and says who this is; returns once the server has let it in.
async fn admitted(server: &NatsServer, shared: &Shared) -> Result<Admitted, NatsError> {
    let NatsOptions { trust, credentials, .. } = &shared.options;
    let unreachable = |source| NatsError::Unreachable { server: server.to_string(), source: Arc::new(source) };
    let tcp = TcpStream::connect((server.host(), server.port())).await.map_err(unreachable)?;
    tcp.set_nodelay(true).map_err(unreachable)?;
    let mut stream: Stream = Box::new(tcp);
    let mut input = BytesMut::new();
    let told = loop {
        match next(&mut stream, &mut input).await.map_err(unreachable)? {
            ServerLine::Info(told) => break told,
            ServerLine::Error(reason) => return Err(NatsError::Refused { server: server.to_string(), reason }),
            _ => {}
        }
    };
    let told: Value = serde_json::from_slice(&told).unwrap_or_default();
    if server.is_tls() || trust.is_some() || told["tls_required"] == true {
        if told["tls_required"] != true && told["tls_available"] != true {
            return Err(NatsError::NoTls { server: server.to_string() });
        }
        // Anybody on the way may have put it there: it is not to be taken for what comes by TLS.
        if !input.is_empty() {
            let reason = "it said something before TLS began".to_owned();
            return Err(NatsError::Tls { server: server.to_string(), reason });
        }
        stream = secured(stream, server, trust.as_ref()).await?;
    }
    suitable(&told, server, shared)?;
    let mut output = b"CONNECT ".to_vec();
    let mut hello = json!({
        "verbose": false, "pedantic": false, "lang": "rust", "version": env!("CARGO_PKG_VERSION"), "name": "switchboard",
        "protocol": 1, "headers": true, "no_responders": true, "echo": true, "tls_required": false,
    });
    for (key, value) in credentials.shown(told["nonce"].as_str().unwrap_or_default()) {
        hello[key] = Value::String(value);
    }
    output.extend_from_slice(hello.to_string().as_bytes());
    output.extend_from_slice(b"\r\n");
    output.extend_from_slice(wire::PING);
    stream.write_all(&output).await.map_err(unreachable)?;
    stream.flush().await.map_err(unreachable)?;
    loop {
        match next(&mut stream, &mut input).await.map_err(unreachable)? {
            ServerLine::Pong => break,
            ServerLine::Ping => stream.write_all(wire::PONG).await.map_err(unreachable)?,
            ServerLine::Error(reason) => return Err(NatsError::Refused { server: server.to_string(), reason }),
            // What is told again meanwhile, and what is live already: it is found by looking behind.
            ServerLine::Info(_) | ServerLine::Message(_) | ServerLine::Ok => {}
        }
    }
    let version = told["version"].as_str().unwrap_or_default();
    info!(server = %server, version, "connected to the nats-server");
    shared.connected(NatsStanding { server: server.to_string(), version: version.to_owned() });
    Ok(Admitted { stream, input })
}

/// Whether what the server tells of itself is what is needed.
fn suitable(told: &Value, server: &NatsServer, shared: &Shared) -> Result<(), NatsError> {
    let version = told["version"].as_str().unwrap_or_default();
    let mut numbers = version.split(['.', '-']).map(|number| number.parse::<u64>().unwrap_or_default());
    let found = (numbers.next().unwrap_or_default(), numbers.next().unwrap_or_default());
    let oldest = shared.options.profile.oldest_server();
    if found < oldest {
        let (major, minor) = oldest;
        let (server, version, profile) = (server.to_string(), version.to_owned(), shared.options.profile);
        return Err(NatsError::Old { server, version, profile, oldest: format!("{major}.{minor}") });
    }
    if told["headers"] != true || told["jetstream"] != true {
        return Err(NatsError::NoJetStream { server: server.to_string() });
    }
    Ok(())
}

async fn secured(stream: Stream, server: &NatsServer, trust: Option<&Trust>) -> Result<Stream, NatsError> {
    let fault = |reason: String| NatsError::Tls { server: server.to_string(), reason };
    let trust = trust.cloned().map_or_else(Trust::system, Ok).map_err(|error| fault(error.to_string()))?;
    let name = ServerName::try_from(server.host().to_owned()).map_err(|error| fault(error.to_string()))?;
    let secured = TlsConnector::from(trust.config()).connect(name, stream).await;
    Ok(Box::new(secured.map_err(|error| fault(error.to_string()))?))
}

/// The next operation of a server that has not let this node in yet.
async fn next(stream: &mut Stream, input: &mut BytesMut) -> io::Result<ServerLine> {
    loop {
        if let Some(operation) = wire::decode(input).map_err(io::Error::other)? {
            return Ok(operation);
        }
        if stream.read_buf(input).await? == 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the server closed the connection"));
        }
    }
}

/// Reads and writes until the connection is over. Says why it is.
async fn serve(shared: &Shared, admitted: Admitted) -> String {
    let Admitted { stream, mut input } = admitted;
    let (mut reader, mut writer) = tokio::io::split(stream);
    let mut tick = interval(TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut output, mut pinged) = (Output::default(), Instant::now());
    loop {
        shared.refuse();
        if let Err(reason) = understand(shared, &mut input) {
            return reason;
        }
        output.refill(shared);
        if shared.is_closed() && output.is_written() {
            return "the server is stopping".to_owned();
        }
        tokio::select! {
            read = read(&mut reader, &mut input) => match read {
                Ok(0) => return "the server closed the connection".to_owned(),
                Ok(_) => {}
                Err(error) => return error.to_string(),
            },
            written = output.write(&mut writer), if !output.is_written() => {
                if let Err(error) = written {
                    return error.to_string();
                }
            }
            () = shared.wake.notified() => {}
            () = shared.closed.cancelled(), if output.is_written() => {}
            _ = tick.tick() => {
                let now = Instant::now();
                shared.expire(now);
                if now - pinged >= PING_INTERVAL {
                    pinged = now;
                    if shared.ping() > MOST_PINGS {
                        return "the server does not answer any more".to_owned();
                    }
                }
            }
        }
    }
}

/// # Cancel safety
/// Safe.
async fn read(reader: &mut ReadHalf<Stream>, input: &mut BytesMut) -> io::Result<usize> {
    input.reserve(READ_BYTES);
    reader.read_buf(input).await
}

fn understand(shared: &Shared, input: &mut BytesMut) -> Result<(), String> {
    loop {
        match wire::decode(input).map_err(|error| error.to_string())? {
            None => return Ok(()),
            Some(ServerLine::Message(delivery)) => shared.delivered(delivery),
            Some(ServerLine::Ping) if shared.pong() => {}
            Some(ServerLine::Ping) => return Err("the server does not read what it is answered".to_owned()),
            Some(ServerLine::Pong) => shared.ponged(),
            Some(ServerLine::Ok | ServerLine::Info(_)) => {}
            Some(ServerLine::Error(reason)) => {
                // What is not allowed ends nothing, and is told by what is not answered.
                if !reason.to_ascii_lowercase().starts_with("permissions violation") {
                    return Err(reason);
                }
                if shared.is_denied(&reason) {
                    warn!(error = %reason, "the nats-server does not allow it");
                }
            }
        }
    }
}

/// What is being written.
#[derive(Default)]
struct Output {
    bytes: Vec<u8>,
    written: usize,
    /// All of it is, but TLS may hold some.
    is_flushed: bool,
}

impl Output {
    fn refill(&mut self, shared: &Shared) {
        if self.written == self.bytes.len() {
            self.written = 0;
            self.bytes = shared.said();
            self.is_flushed &= self.bytes.is_empty();
        }
    }

    fn is_written(&self) -> bool {
        self.bytes.is_empty() && self.is_flushed
    }

    /// # Cancel safety
    /// Safe: what was written is noted before anything is waited for.
    async fn write(&mut self, writer: &mut WriteHalf<Stream>) -> io::Result<()> {
        while self.written < self.bytes.len() {
            self.written += writer.write(&self.bytes[self.written..]).await?;
        }
        writer.flush().await?;
        self.is_flushed = true;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpListener;

    /// Why a server that says this is not gone on with.
    async fn fault(says: &'static str) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let server: NatsServer = format!("nats://{address}").parse().expect("an address");
        let shared = Shared::new(NatsOptions::new([server.clone()])).expect("random numbers");
        let serves = async {
            let (mut peer, _) = listener.accept().await.expect("a connection");
            peer.write_all(says.as_bytes()).await.expect("it is open");
            // Until it is given up.
            let _ = peer.shutdown().await;
        };
        let (admitted, ()) = tokio::join!(admitted(&server, &shared), serves);
        let error = admitted.err().expect("it is given up").to_string();
        error.replace(&address.to_string(), "SERVER").replace("nats://SERVER", "SERVER")
    }

    #[tokio::test]
    async fn what_was_said_before_tls_began_is_not_taken_for_what_comes_by_it() {
        let told = fault("INFO {\"tls_required\":true}\r\nPING\r\n").await;
        assert_eq!(told, "TLS with SERVER: it said something before TLS began");
        let alone = fault("INFO {\"tls_required\":true}\r\n").await;
        assert!(alone.starts_with("TLS with SERVER: ") && !alone.ends_with("before TLS began"), "{alone}");
    }
}
