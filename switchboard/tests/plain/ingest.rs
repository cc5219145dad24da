//! Ingest on switchboard, and on tokio with axum: the same for devices, for who watches, and for who asks.

use crate::harness::patience::patiently;
use crate::harness::tls_peer::{Pair, TlsPeer, client, connect};
use std::net::SocketAddr;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

mod example {
    include!("../../examples/ingest.rs");

    use super::{CancellationToken, Pair, TcpListener, UdpSocket};
    use switchboard::{Tcp, Tls, Udp};

    pub(super) async fn run(
        [devices, web]: [TcpListener; 2],
        datagrams: UdpSocket,
        pair: Pair,
        drain: CancellationToken,
    ) {
        let readings = Readings { last: Arc::default(), live: Hub::new().room("live").unwrap() };
        let taken = readings.clone();
        let tls = Tls::from_std(devices.into_std().unwrap(), &pair.certificates());
        let server = Server::new()
            .workers(1)
            .listen(tls, (readings.clone(), device))
            .datagrams(Udp::from_std(datagrams.into_std().unwrap()), move |datagram, _| {
                _ = taken.take(datagram.payload);
            })
            .listen_http(Tcp::from_std(web.into_std().unwrap()), (readings, answer));
        server.serve_until(drain.cancelled_owned()).await.unwrap();
    }
}

mod plain_example {
    include!("../../examples/plain/ingest.rs");

    use super::Pair;

    pub(super) async fn run(listeners: [TcpListener; 2], datagrams: UdpSocket, pair: Pair, drain: CancellationToken) {
        let key = PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).unwrap();
        serve(listeners, datagrams, tls(vec![pair.der()], key).unwrap(), drain.cancelled_owned()).await;
    }
}

/// A server until `drain`, and where it takes what.
struct Running {
    devices: SocketAddr,
    datagrams: SocketAddr,
    web: SocketAddr,
    pair: Pair,
    drain: CancellationToken,
    ended: JoinHandle<()>,
}

impl Running {
    async fn start<F>(serve: impl FnOnce([TcpListener; 2], UdpSocket, Pair, CancellationToken) -> F) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let [devices, web] = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0"));
        let (listeners, datagrams) = ([devices.await.unwrap(), web.await.unwrap()], UdpSocket::bind("127.0.0.1:0"));
        let (datagrams, pair, drain) = (datagrams.await.unwrap(), Pair::new(&["localhost"]), CancellationToken::new());
        let [devices, web] = listeners.each_ref().map(|listener| listener.local_addr().unwrap());
        let at = datagrams.local_addr().unwrap();
        let ended = tokio::spawn(serve(listeners, datagrams, pair.clone(), drain.clone()));
        Self { devices, datagrams: at, web, pair, drain, ended }
    }

    async fn device(&self) -> TlsPeer {
        let config = client(&[&self.pair], rustls::DEFAULT_VERSIONS);
        patiently(connect(self.devices, "localhost", config)).await.unwrap()
    }

    /// A connection that asks for `path`.
    async fn asks(&self, path: &str) -> BufReader<TcpStream> {
        let mut stream = TcpStream::connect(self.web).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        patiently(stream.write_all(request.as_bytes())).await.unwrap();
        BufReader::new(stream)
    }

    async fn answer(&self, path: &str) -> String {
        let mut answer = String::new();
        patiently(self.asks(path).await.read_to_string(&mut answer)).await.unwrap();
        answer
    }
}

fn reading(device: u32, value: f64) -> [u8; 16] {
    let mut frame = [0, 0, 0, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    frame[4..8].copy_from_slice(&device.to_be_bytes());
    frame[8..].copy_from_slice(&value.to_be_bytes());
    frame
}

/// Reads until the line of an event, or to the end.
async fn until_line(from: &mut BufReader<TcpStream>, wanted: &str) -> bool {
    let mut line = String::new();
    while patiently(from.read_line(&mut line)).await.unwrap() > 0 {
        if line.trim_end() == wanted {
            return true;
        }
        line.clear();
    }
    false
}

async fn readings_are_kept_and_streamed_until_a_drain(running: Running) {
    let mut live = running.asks("/live").await;
    assert!(until_line(&mut live, "").await);
    let mut device = running.device().await;
    // In pieces, as a network may bring it.
    let first = reading(8, 1.5);
    patiently(device.write_all(&first[..5])).await.unwrap();
    patiently(device.write_all(&[&first[5..], &reading(8, 2.5)].concat())).await.unwrap();
    assert!(until_line(&mut live, r#"data: {"8":1.5}"#).await);
    assert!(until_line(&mut live, r#"data: {"8":2.5}"#).await);
    let datagrams = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    datagrams.send_to(&reading(7, 21.5)[4..], running.datagrams).await.unwrap();
    assert!(until_line(&mut live, r#"data: {"7":21.5}"#).await);
    let all = running.answer("/").await;
    assert!(all.contains("application/json") && all.contains(r#"{"7":21.5,"8":2.5}"#), "{all}");
    assert!(running.answer("/none").await.starts_with("HTTP/1.1 404 "));
    running.drain.cancel();
    // TLS and the stream both say that this is the end.
    assert_eq!(patiently(device.read(&mut [0])).await.unwrap(), 0);
    assert!(until_line(&mut live, "0").await);
    device.shutdown().await.unwrap();
    drop((device, live));
    patiently(running.ended).await.unwrap();
}

async fn what_is_no_reading_ends_the_connection(running: Running) {
    let [mut long, mut short] = [reading(7, 1.0), reading(7, 2.0)];
    (long[3], short[3]) = (13, 11);
    for bad in [long, short, reading(7, f64::NAN), reading(7, f64::INFINITY)] {
        let mut device = running.device().await;
        patiently(device.write_all(&[&bad[..], &[0]].concat())).await.unwrap();
        // By a reset, or by the end of input.
        assert_eq!(patiently(device.read(&mut [0])).await.unwrap_or(0), 0);
    }
    assert!(running.answer("/").await.contains("{}"));
}

macro_rules! on_both {
    ($($test:ident)*) => {$(
        mod $test {
            #[tokio::test]
            async fn on_switchboard() {
                super::$test(super::Running::start(super::example::run).await).await;
            }

            #[tokio::test]
            async fn on_tokio_and_axum() {
                super::$test(super::Running::start(super::plain_example::run).await).await;
            }
        }
    )*};
}

on_both! {
    readings_are_kept_and_streamed_until_a_drain
    what_is_no_reading_ends_the_connection
}
