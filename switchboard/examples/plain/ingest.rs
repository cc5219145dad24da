// Readings over TLS and UDP, asked for over HTTP, on tokio and axum, with the guarantees that README.md lists: to compare, and not to copy.
use axum::extract::State;
use axum::response::sse::{Event, Sse};
use axum::{Json, Router, routing};
use bytes::Buf;
use futures_util::{Stream, StreamExt, stream};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::future::Future;
use std::io::{self, ErrorKind::InvalidData};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::broadcast::{Sender, channel, error::RecvError};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tokio_util::sync::CancellationToken;

/// Beyond so many devices new ones are refused.
const DEVICES: usize = 10_000;
const CONNECTIONS: usize = 10_000;
/// Events that wait for a watcher. One for whom there are more is disconnected.
const OUTBOX: usize = 256;
const TO_OPEN: Duration = Duration::from_secs(10);
const TO_WRITE: Duration = Duration::from_secs(10);
const LINGER: Duration = Duration::from_secs(2);
const GRACE: Duration = Duration::from_secs(30);

#[derive(Clone)]
struct Readings {
    last: Arc<Mutex<BTreeMap<u32, f64>>>,
    live: Sender<String>,
    draining: CancellationToken,
}

impl Readings {
    /// Takes a device's number and what it has measured, 12 bytes. Says whether that is what it was.
    fn take(&self, mut reading: &[u8]) -> bool {
        let (Ok(device), Ok(value)) = (reading.try_get_u32(), reading.try_get_f64()) else { return false };
        let mut last = self.last.lock();
        let is_right = reading.is_empty() && value.is_finite() && (last.len() < DEVICES || last.contains_key(&device));
        if is_right {
            last.insert(device, value);
            // Nobody may be watching.
            _ = self.live.send(format!(r#"{{"{device}":{value}}}"#));
        }
        is_right
    }
}

/// Takes readings, each 12 bytes with their length in front, until the end of input.
async fn hear(from: &mut TlsStream<TcpStream>, readings: &Readings) -> io::Result<()> {
    let mut frame = [0; 16];
    while from.read_exact(&mut frame).await? > 0 {
        let reading = frame.strip_prefix(&12_u32.to_be_bytes()).ok_or(InvalidData)?;
        if !readings.take(reading) {
            return Err(InvalidData.into());
        }
    }
    Ok(())
}

async fn device(stream: TcpStream, tls: TlsAcceptor, readings: Readings) -> io::Result<()> {
    let mut stream = timeout(TO_OPEN, tls.accept(stream)).await??;
    let heard = readings.draining.run_until_cancelled(hear(&mut stream, &readings)).await;
    timeout(TO_WRITE, stream.shutdown()).await??;
    // The end of TLS would be lost if the socket were closed while something in it is unread.
    _ = timeout(LINGER, tokio::io::copy(&mut stream, &mut tokio::io::sink())).await;
    heard.unwrap_or(Ok(()))
}

async fn last(State(readings): State<Readings>) -> Json<BTreeMap<u32, f64>> {
    Json(readings.last.lock().clone())
}

async fn live(State(readings): State<Readings>) -> Sse<impl Stream<Item = Result<Event, RecvError>>> {
    let events = stream::unfold(readings.live.subscribe(), async |mut watcher| {
        let event = watcher.recv().await.map(|reading| Event::default().data(reading));
        Some((event, watcher))
    });
    Sse::new(events.take_until(readings.draining.cancelled_owned()))
}

async fn http(stream: TcpStream, router: Router, draining: CancellationToken) -> hyper::Result<()> {
    let (stream, service) = (TokioIo::new(stream), TowerToHyperService::new(router));
    let mut http = http1::Builder::new();
    let mut connection = pin!(http.timer(TokioTimer::new()).header_read_timeout(TO_OPEN).serve_connection(stream, service));
    tokio::select! {
        ended = connection.as_mut() => return ended,
        () = draining.cancelled() => connection.as_mut().graceful_shutdown(),
    }
    connection.await
}

async fn serve(
    [devices, web]: [TcpListener; 2],
    datagrams: UdpSocket,
    tls: TlsAcceptor,
    drain: impl Future<Output = ()>,
) {
    let readings = Readings { last: Arc::default(), live: channel(OUTBOX).0, draining: CancellationToken::new() };
    let router = Router::new().route("/", routing::get(last)).route("/live", routing::get(live));
    let router = router.with_state(readings.clone());
    let (mut connections, mut drain, mut datagram) = (JoinSet::new(), pin!(drain), [0; 64]);
    loop {
        let accepted = tokio::select! {
            accepted = devices.accept() => accepted.map(|(stream, _)| (stream, true)),
            accepted = web.accept() => accepted.map(|(stream, _)| (stream, false)),
            received = datagrams.recv(&mut datagram) => {
                _ = received.map(|length| readings.take(&datagram[..length]));
                continue;
            }
            // Those that have finished are forgotten.
            Some(_) = connections.join_next() => continue,
            () = &mut drain => break,
        };
        match accepted {
            Ok((stream, is_device)) if connections.len() < CONNECTIONS => {
                // Also of whoever takes nothing of an answer, which hyper would wait for.
                _ = stream.set_nodelay(true);
                _ = socket2::SockRef::from(&stream).set_tcp_user_timeout(Some(TO_WRITE));
                if is_device {
                    let (tls, readings) = (tls.clone(), readings.clone());
                    connections.spawn(async { device(stream, tls, readings).await.is_ok() });
                } else {
                    let (router, draining) = (router.clone(), readings.draining.clone());
                    connections.spawn(async { http(stream, router, draining).await.is_ok() });
                }
            }
            Ok(refused) => drop(refused),
            // Without descriptors it would fail again at once.
            Err(_) => sleep(Duration::from_millis(100)).await,
        }
    }
    drop((devices, web, datagrams));
    readings.draining.cancel();
    if timeout(GRACE, async { while connections.join_next().await.is_some() {} }).await.is_err() {
        connections.shutdown().await;
    }
}

fn tls(certificates: Vec<CertificateDer<'static>>, key: PrivateKeyDer<'static>) -> io::Result<TlsAcceptor> {
    let config = ServerConfig::builder().with_no_client_auth().with_single_cert(certificates, key);
    Ok(Arc::new(config.map_err(io::Error::other)?).into())
}

#[tokio::main]
async fn main() -> io::Result<()> {
    let certificates = CertificateDer::pem_file_iter("cert.pem").and_then(Iterator::collect).map_err(io::Error::other)?;
    let tls = tls(certificates, PrivateKeyDer::from_pem_file("key.pem").map_err(io::Error::other)?)?;
    let listeners = [TcpListener::bind("127.0.0.1:7009").await?, TcpListener::bind("127.0.0.1:7010").await?];
    serve(listeners, UdpSocket::bind("127.0.0.1:7009").await?, tls, switchboard::ctrl_c()).await;
    Ok(())
}
