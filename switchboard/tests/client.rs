//! A client's connections, over memory under a paused clock and over real sockets.

use crate::harness::patience::patiently;
use crate::harness::served::{Served, echo, nowhere};
use crate::harness::tls_peer::Pair;
use rcgen::{BasicConstraints, IsCa};
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use rustls::server::WebPkiClientVerifier;
use rustls::version::TLS13;
use std::error::Error as _;
use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;
use switchboard::http::Request;
use switchboard::prelude::*;
use switchboard::{ConnectError, ConnectionError, Memory, Trust};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UdpSocket};
use tokio_rustls::TlsAcceptor;

/// Serves on this runtime until the test is over, and says at which address.
async fn serve(server: Server) -> String {
    let served = Served::start(server.workers(0)).await;
    served.urls[0].split_once("://").map_or(String::new(), |(_, address)| address.to_owned())
}

/// An address in memory at which `handler` serves.
async fn in_memory<C, F>(handler: impl Fn(Connection<C>) -> F + Send + Sync + 'static) -> Memory
where
    C: Codec,
    F: Future<Output = Result> + Send + 'static,
{
    let memory = Memory::new();
    serve(Server::new().memory(&memory, handler)).await;
    memory
}

async fn said(mut conn: Connection<Lines>, text: &str) -> String {
    conn.send(text).await.unwrap();
    conn.recv().await.unwrap().unwrap().to_string()
}

#[tokio::test]
async fn every_transport_carries_frames_both_ways() {
    let (client, memory, pair) = (Client::new(), Memory::new(), Pair::new(&["localhost"]));
    let path = std::env::temp_dir().join(format!("switchboard-client-{}", std::process::id()));
    let tcp = serve(Server::new().tcp("127.0.0.1:0", echo)).await;
    let tls = serve(Server::new().tls("127.0.0.1:0", &pair.certificates(), echo)).await;
    serve(Server::new().unix(&path, echo)).await;
    serve(Server::new().memory(&memory, echo)).await;
    let tls = tls.replace("127.0.0.1", "localhost");
    let trust = Trust::pem(&pair.certificate).unwrap();

    assert_eq!(said(client.tcp(tcp).await.unwrap(), "over tcp").await, "over tcp");
    assert_eq!(said(client.tls(tls, &trust).await.unwrap(), "over tls").await, "over tls");
    assert_eq!(said(client.unix(&path).await.unwrap(), "over unix").await, "over unix");
    assert_eq!(said(client.memory(&memory).await.unwrap(), "over memory").await, "over memory");
    assert_eq!(client.drain().await.aborted, 0);
}

#[tokio::test(start_paused = true)]
async fn what_is_queued_when_the_connection_is_dropped_arrives() {
    let (told, mut heard) = tokio::sync::mpsc::channel(1);
    let memory = in_memory(move |mut conn: Connection<Lines>| {
        let told = told.clone();
        async move {
            let mut bytes = 0;
            while let Some(line) = conn.recv().await? {
                bytes += line.len();
            }
            told.send(bytes).await?;
            Ok(())
        }
    })
    .await;
    let client = Client::new();
    let mut conn: Connection<Lines> = client.memory(&memory).await.unwrap();
    for _ in 0..100 {
        // Ten times what the pipe holds.
        conn.send("x".repeat(6400)).await.unwrap();
    }
    conn.close();
    let drained = client.drain().await;
    assert_eq!((drained.finished, drained.aborted), (1, 0));
    assert_eq!(heard.recv().await, Some(640_000));
}

#[test]
fn a_client_works_on_when_its_first_runtime_has_ended() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let served = runtime();
    let bound = served.block_on(Server::new().workers(1).tcp("127.0.0.1:0", echo).bind()).unwrap();
    let (address, handle) = (bound.urls()[0].replace("tcp://", ""), bound.handle());
    let serving = std::thread::spawn(move || served.block_on(bound.serve_until(std::future::pending())));
    let client = Client::new();
    for text in ["first", "second"] {
        let asked = async { said(client.tcp(&address).await.unwrap(), text).await };
        let heard = runtime().block_on(async { patiently(asked).await });
        assert_eq!(heard, text);
    }
    handle.abort();
    serving.join().unwrap();
}

/// Over a socket, which knows its event loop, and over memory, which does not.
#[test]
fn a_connection_says_so_when_its_runtime_has_ended() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (served, memory) = (runtime(), Memory::new());
    let server = Server::new().workers(1).tcp("127.0.0.1:0", echo).memory(&memory, echo);
    let bound = served.block_on(server.bind()).unwrap();
    let (address, handle) = (bound.urls()[0].replace("tcp://", ""), bound.handle());
    let serving = std::thread::spawn(move || served.block_on(bound.serve_until(std::future::pending())));
    let client = Client::new();
    let connections: [Connection<Lines>; 2] =
        runtime().block_on(async { [client.tcp(&address).await.unwrap(), client.memory(&memory).await.unwrap()] });
    runtime().block_on(async {
        for mut conn in connections {
            let ended = ConnectionError::Closed(CloseReason::Aborted);
            assert_eq!(conn.send("hi").await.unwrap_err(), ended);
            let received = tokio::time::timeout(Duration::from_secs(10), conn.recv()).await;
            assert_eq!(received.unwrap().unwrap_err(), ended);
        }
        assert_eq!(
            said(client.memory(&memory).await.unwrap(), "and the client goes on").await,
            "and the client goes on"
        );
        assert_eq!(client.drain().await.aborted, 0);
    });
    handle.abort();
    serving.join().unwrap();
}

#[test]
fn a_client_works_on_several_runtimes_at_once() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (served, memory) = (runtime(), Memory::new());
    let bound = served.block_on(Server::new().workers(1).memory(&memory, echo).bind()).unwrap();
    let handle = bound.handle();
    let serving = std::thread::spawn(move || served.block_on(bound.serve_until(std::future::pending())));
    let (client, first, second) = (Client::new(), runtime(), runtime());
    let one: Connection<Lines> = first.block_on(client.memory(&memory)).unwrap();
    let other: Connection<Lines> = second.block_on(client.memory(&memory)).unwrap();
    drop((one, first));
    let heard =
        second.block_on(async { tokio::time::timeout(Duration::from_secs(10), said(other, "still here")).await });
    assert_eq!(heard.unwrap(), "still here");
    handle.abort();
    serving.join().unwrap();
}

#[tokio::test]
async fn handlers_on_many_workers_may_share_a_client() {
    let (far, near, client) = (Memory::new(), Memory::new(), Arc::new(Client::new()));
    serve(Server::new().memory(&far, echo)).await;
    let relay = {
        let (far, client) = (far.clone(), Arc::clone(&client));
        move |mut conn: Connection<Lines>| {
            let (far, client) = (far.clone(), Arc::clone(&client));
            async move {
                let mut beyond: Connection<Lines> = client.memory(&far).await?;
                while let Some(line) = conn.recv().await? {
                    beyond.send(line).await?;
                    let Some(answer) = beyond.recv().await? else { break };
                    let thread = std::thread::current().name().unwrap_or_default().to_owned();
                    conn.send(format!("{thread}: {answer}")).await?;
                }
                Ok::<_, switchboard::BoxError>(())
            }
        }
    };
    let bound = Server::new().workers(3).memory(&near, relay).bind().await.unwrap();
    let handle = bound.handle();
    let drained = tokio::spawn(bound.serve_until(std::future::pending()));
    let mut heard = Vec::new();
    let mut peers: Vec<_> = (0..9).map(|_| switchboard::testing::Peer::connect(&near)).collect();
    for peer in &mut peers {
        peer.send("hi\n").await;
        heard.push(peer.line().await);
    }
    heard.sort();
    heard.dedup();
    assert_eq!(heard, ["worker-0: hi\n", "worker-1: hi\n", "worker-2: hi\n"]);
    drop(peers);
    handle.drain();
    assert_eq!(drained.await.unwrap().aborted, 0);
    // Their runtimes have ended, and it goes on here.
    assert_eq!(said(client.memory(&far).await.unwrap(), "hi").await, "hi");
}

#[tokio::test(start_paused = true)]
async fn limits_and_timeouts_may_be_set_once_there_are_connections() {
    let memory = in_memory(echo).await;
    let client = Client::new();
    let first: Connection<Lines> = client.memory(&memory).await.unwrap();
    let client = client
        .limits(Limits { connections: 2, memory_bytes: 1 << 20, outbox_bytes: 8 << 20, ..Limits::default() })
        .timeouts(Timeouts { idle: Some(Duration::from_secs(5)), ..Timeouts::default() });
    let mut second: Connection<Lines> = client.memory(&memory).await.unwrap();
    let refused = client.memory::<Lines>(&memory).await.map(drop).unwrap_err();
    assert!(matches!(refused, ConnectError::TooManyConnections { limit: 2 }), "{refused}");
    assert_eq!(second.recv().await.unwrap_err(), ConnectionError::Closed(CloseReason::Idle));
    drop(second);
    // The first one has no idle timeout, and is one of the client's all the same.
    assert_eq!(said(first, "I was first").await, "I was first");
    let mut greedy: Connection<Lines> = client.memory(&memory).await.unwrap();
    let ended = loop {
        if let Err(error) = greedy.send("x".repeat(60_000)).await {
            break error;
        }
    };
    assert_eq!(ended, ConnectionError::Closed(CloseReason::OutOfMemory));
    drop(greedy);
    let drained = client.drain().await;
    assert_eq!(drained.aborted, 0);
}

#[tokio::test(start_paused = true)]
async fn a_connection_outlives_its_client() {
    let memory = in_memory(echo).await;
    let conn = Client::new().memory(&memory).await.unwrap();
    tokio::time::advance(Duration::from_secs(5)).await;
    assert_eq!(said(conn, "still here").await, "still here");
}

#[tokio::test(start_paused = true)]
async fn a_finished_connection_still_receives() {
    let memory = in_memory(|mut conn: Connection<Lines>| async move {
        let mut count = 0;
        while conn.recv().await?.is_some() {
            count += 1;
        }
        conn.send(format!("{count} lines")).await?;
        Ok(())
    })
    .await;
    let mut conn: Connection<Lines> = Client::new().memory(&memory).await.unwrap();
    for _ in 0..3 {
        conn.send("line").await.unwrap();
    }
    let mut conn = conn.finish();
    assert_eq!(conn.recv().await.unwrap().unwrap(), "3 lines");
    assert_eq!(conn.recv().await.unwrap(), None);
}

#[tokio::test]
async fn a_finished_connection_still_receives_over_sockets() {
    async fn count(mut conn: Connection<Lines>) -> Result {
        let mut bytes = 0;
        while let Some(line) = conn.recv().await? {
            bytes += line.len();
        }
        conn.send(bytes.to_string()).await?;
        Ok(())
    }
    let pair = Pair::new(&["127.0.0.1"]);
    let trust = Trust::pem(&pair.certificate).unwrap();
    let tcp = serve(Server::new().tcp("127.0.0.1:0", count)).await;
    let tls = serve(Server::new().tls("127.0.0.1:0", &pair.certificates(), count)).await;
    let client = Client::new();
    for mut conn in [client.tcp::<Lines>(tcp).await.unwrap(), client.tls(tls, &trust).await.unwrap()] {
        for _ in 0..200 {
            // More than the sockets hold: the end has to wait for its turn.
            conn.send("x".repeat(60_000)).await.unwrap();
        }
        assert_eq!(conn.finish().recv().await.unwrap().unwrap(), "12000000");
    }
}

#[tokio::test(start_paused = true)]
async fn who_waits_to_be_writable_goes_on_receiving() {
    let memory = in_memory(echo).await;
    let client = Client::new().limits(Limits { outbox_bytes: 10_000, ..Limits::default() });
    let mut conn: Connection<Lines> = client.memory(&memory).await.unwrap();
    // Far more than both outboxes and pipes hold: the server reads no more until it is read from.
    let (mut sent, mut received) = (0, 0);
    while received < 10_000 {
        let writable = conn.writable();
        tokio::select! {
            line = conn.recv() => received += usize::from(line.unwrap().is_some()),
            () = writable, if sent < 10_000 => {
                conn.send("x".repeat(1000)).await.unwrap();
                sent += 1;
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_handler_can_finish_sending_too() {
    let memory = in_memory(|mut conn: Connection<Lines>| async move {
        conn.send("all I have to say").await?;
        let mut conn = conn.finish();
        while conn.recv().await?.is_some() {}
        Ok(())
    })
    .await;
    let mut conn: Connection<Lines> = Client::new().memory(&memory).await.unwrap();
    assert_eq!(conn.recv().await.unwrap().unwrap(), "all I have to say");
    assert_eq!(conn.recv().await.unwrap(), None);
    conn.send("but I go on").await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_client_that_receives_nothing_is_idle_and_says_so() {
    let memory = in_memory(|conn: Connection<Lines>| async move {
        conn.draining().await;
        Ok(())
    })
    .await;
    let timeouts = Timeouts { idle: Some(Duration::from_mins(1)), ..Timeouts::default() };
    let client = Client::new().timeouts(timeouts);
    let mut conn: Connection<Lines> = client.memory(&memory).await.unwrap();
    let before = tokio::time::Instant::now();
    assert_eq!(conn.recv().await.unwrap_err(), ConnectionError::Closed(CloseReason::Idle));
    assert_eq!(conn.send("too late").await.unwrap_err(), ConnectionError::Closed(CloseReason::Idle));
    assert!((60..=62).contains(&before.elapsed().as_secs()), "{:?}", before.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_server_that_does_not_read_makes_send_wait_and_then_ends_the_connection() {
    let memory = in_memory(|conn: Connection<Lines>| async move {
        conn.draining().await;
        Ok(())
    })
    .await;
    let client = Client::new().limits(Limits { outbox_bytes: 10_000, ..Limits::default() });
    let mut conn: Connection<Lines> = client.memory(&memory).await.unwrap();
    let mut sent = 0;
    let error = loop {
        match conn.send("x".repeat(1000)).await {
            Ok(()) => sent += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(error, ConnectionError::Closed(CloseReason::SlowConsumer));
    // The pipe holds 64 KiB.
    assert!((66..90).contains(&sent), "{sent}");
}

#[tokio::test(start_paused = true)]
async fn a_frame_above_the_limit_is_refused() {
    let memory = in_memory(|mut conn: Connection<Lines>| async move {
        conn.send("x".repeat(101)).await?;
        Ok(())
    })
    .await;
    let client = Client::new().limits(Limits { frame_bytes: 100, ..Limits::default() });
    let mut conn: Connection<Lines> = client.memory(&memory).await.unwrap();
    assert!(matches!(conn.recv().await.unwrap_err(), ConnectionError::Frame(_)));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_drains_hands_over_what_has_come() {
    let memory = in_memory(|mut conn: Connection<Lines>| async move {
        conn.send("one").await?;
        conn.send("two").await?;
        conn.draining().await;
        Ok(())
    })
    .await;
    let client = Client::new();
    let mut conn: Connection<Lines> = client.memory(&memory).await.unwrap();
    tokio::time::advance(Duration::from_secs(1)).await;
    let reading = tokio::spawn(async move {
        conn.draining().await;
        let mut received = 0;
        while conn.recv().await.unwrap().is_some() {
            received += 1;
        }
        (received, conn.is_draining())
    });
    let drained = client.drain().await;
    assert_eq!((drained.finished, drained.aborted), (1, 0));
    assert_eq!(reading.await.unwrap(), (2, true));
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_is_kept_is_aborted_after_the_grace_period() {
    let memory = in_memory(echo).await;
    let client = Client::new().grace(Duration::from_secs(3));
    let mut conn: Connection<Lines> = client.memory(&memory).await.unwrap();
    let drained = client.drain().await;
    assert_eq!((drained.finished, drained.aborted, drained.elapsed.as_secs()), (0, 1, 3));
    assert_eq!(conn.send("x").await.unwrap_err(), ConnectionError::Closed(CloseReason::Aborted));
}

#[tokio::test(start_paused = true)]
async fn limits_are_kept_and_checked() {
    let memory = in_memory(echo).await;
    let client = Client::new().limits(Limits { connections: 1, ..Limits::default() });
    let first: Connection<Lines> = client.memory(&memory).await.unwrap();
    let second = client.memory::<Lines>(&memory).await;
    assert!(matches!(second.err().unwrap(), ConnectError::TooManyConnections { limit: 1 }));
    drop(first);
    tokio::time::advance(Duration::from_secs(1)).await;
    assert!(client.memory::<Lines>(&memory).await.is_ok());

    let client = Client::new().limits(Limits { frame_bytes: 0, ..Limits::default() });
    let error = client.memory::<Lines>(&memory).await.err().unwrap();
    assert_eq!(error.to_string(), "limit frame_bytes is zero");
}

#[tokio::test]
async fn what_cannot_be_reached_says_why() {
    let client = Client::new();
    let unused = nowhere();
    let ConnectError::Unreachable { error, .. } = client.tcp::<Lines>(unused).await.err().unwrap() else { panic!() };
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    let error = client.unix::<Lines>("/nonexistent/socket").await.err().unwrap();
    assert_eq!(error.to_string(), "cannot connect to unix:///nonexistent/socket");
    assert_eq!(error.source().unwrap().downcast_ref::<std::io::Error>().unwrap().kind(), ErrorKind::NotFound);
    assert!(matches!(client.tcp::<Lines>("no port").await.err().unwrap(), ConnectError::Unreachable { .. }));
    let ConnectError::Unreachable { error, .. } = client.udp("127.0.0.1").await.err().unwrap() else { panic!() };
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
}

#[tokio::test]
async fn a_server_that_says_nothing_does_not_hold_a_handshake_for_ever() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let after = Duration::from_millis(20);
    let client = Client::new().timeouts(Timeouts { handshake: Some(after), ..Timeouts::default() });
    let error = client.tls::<Lines>(silent.local_addr().unwrap(), &Trust::anybody()).await.err().unwrap();
    assert!(matches!(error, ConnectError::TimedOut { after: waited, .. } if waited == after));
}

#[tokio::test]
async fn a_certificate_is_checked_for_its_authority_its_host_and_its_time() {
    let pair = Pair::new(&["localhost"]);
    let address = serve(Server::new().tls("127.0.0.1:0", &pair.certificates(), echo)).await;
    let named = address.replace("127.0.0.1", "localhost");
    let client = Client::new();
    let (trust, other) = (Trust::pem(&pair.certificate).unwrap(), Pair::new(&["localhost"]));
    let other = Trust::pem(&other.certificate).unwrap();
    let untrusted = |result: Result<Connection<Lines>, ConnectError>| match result.err() {
        Some(ConnectError::Untrusted(error)) => error.to_string(),
        other => panic!("{other:?}"),
    };

    assert!(client.tls::<Lines>(&named, &trust).await.is_ok());
    assert!(client.tls::<Lines>(&address, &Trust::anybody()).await.is_ok());
    assert!(untrusted(client.tls(&named, &other).await).starts_with("invalid peer certificate"));
    assert!(untrusted(client.tls(&address, &trust).await).contains("not valid for name"));
    let refused = client.tls::<Lines>("under_score:1", &trust).await.err().unwrap();
    assert!(matches!(refused, ConnectError::Unreachable { .. }), "{refused}");
}

#[tokio::test]
async fn a_servers_own_certificate_is_trusted_also_if_it_calls_itself_an_authority() {
    let pair = Pair::with(&["localhost"], |params| params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained));
    let address = serve(Server::new().tls("127.0.0.1:0", &pair.certificates(), echo)).await;
    let named = address.replace("127.0.0.1", "localhost");
    let (client, trust) = (Client::new(), Trust::pem(&pair.certificate).unwrap());
    assert_eq!(said(client.tls(&named, &trust).await.unwrap(), "hi").await, "hi");
    let other = Trust::pem(&Pair::new(&["localhost"]).certificate).unwrap();
    let error = client.tls::<Lines>(named, &other).await.err().unwrap().source().unwrap().to_string();
    assert_eq!(error, "invalid peer certificate: UnknownIssuer");
    // For its own names only.
    assert!(matches!(client.tls::<Lines>(address, &trust).await.err().unwrap(), ConnectError::Untrusted(_)));
}

#[tokio::test]
async fn a_server_that_asks_is_shown_a_certificate_and_says_if_it_takes_none() {
    let (pair, own) = (Pair::new(&["localhost"]), Pair::new(&["me"]));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut roots = rustls::RootCertStore::empty();
    roots.add(own.der()).unwrap();
    let asking = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider)).build().unwrap();
    let config = rustls::ServerConfig::builder_with_provider(provider).with_protocol_versions(&[&TLS13]).unwrap();
    let key = PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).unwrap();
    let config = config.with_client_cert_verifier(asking).with_single_cert(vec![pair.der()], key).unwrap();
    let (acceptor, listener) = (TlsAcceptor::from(Arc::new(config)), TcpListener::bind("127.0.0.1:0").await.unwrap());
    let address = format!("localhost:{}", listener.local_addr().unwrap().port());
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            if let Ok(mut stream) = acceptor.accept(stream).await {
                stream.write_all(b"hello\n").await.unwrap();
            }
        }
    });
    let client = Client::new();
    let trust = Trust::pem(&pair.certificate).unwrap();
    let mut stranger: Connection<Lines> = client.tls(&address, &trust).await.unwrap();
    // A client of TLS 1.3 is done before the server has looked at it.
    assert_eq!(stranger.recv().await.unwrap_err(), ConnectionError::Closed(CloseReason::HandshakeFailed));
    let trust = trust.identity(&own.certificates());
    let mut known: Connection<Lines> = client.tls(&address, &trust).await.unwrap();
    assert_eq!(known.recv().await.unwrap().unwrap(), "hello");
}

#[tokio::test]
async fn a_server_without_tls_is_told_from_one_that_is_not_trusted() {
    async fn greet(mut conn: Connection<Lines>) -> Result {
        conn.send("hello, who is there?").await?;
        conn.recv().await?;
        Ok(())
    }
    let address = serve(Server::new().tcp("127.0.0.1:0", greet)).await;
    let error = Client::new().tls::<Lines>(address, &Trust::anybody()).await.err().unwrap();
    let ConnectError::Tls(source) = error else { panic!("{error:?}") };
    assert_eq!(source.to_string(), "the server does not speak TLS");
}

#[test]
fn a_file_without_certificates_is_no_trust() {
    let error = Trust::file("/nonexistent.pem").unwrap_err();
    assert!(error.to_string().starts_with("/nonexistent.pem: "), "{error}");
    assert!(Trust::pem("nothing").unwrap_err().to_string().contains("has no certificate"));
}

#[tokio::test]
async fn each_datagram_is_a_frame() {
    let server = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let client = Client::new();
    let mut conn = client.udp(server.local_addr().unwrap()).await.unwrap();
    let sizes = [0, 1, 1000, 1023, 1024, 60_000, 0, 3];
    for size in sizes {
        conn.send(vec![b'x'; size]).await.unwrap();
    }
    let mut buffer = vec![0; 1 << 16];
    for size in sizes {
        let (received, source) = server.recv_from(&mut buffer).await.unwrap();
        assert_eq!(received, size);
        server.send_to(&buffer[..received], source).await.unwrap();
    }
    for size in sizes {
        assert_eq!(conn.recv().await.unwrap().unwrap().len(), size);
    }
    // It fits no datagram, and takes nothing along.
    conn.send(vec![0; 65_600]).await.unwrap();
    conn.send("behind it").await.unwrap();
    assert_eq!(server.recv(&mut buffer).await.unwrap(), 9);
    conn.close();
    assert!(client.drain().await.elapsed < Duration::from_secs(2), "nobody waits for an end that cannot come");
}

#[tokio::test]
async fn nobody_at_a_udp_port_ends_the_connection() {
    let mut conn = Client::new().udp(nowhere()).await.unwrap();
    conn.send("anybody?").await.unwrap();
    assert_eq!(conn.recv().await.unwrap_err(), ConnectionError::Closed(CloseReason::PeerReset));
}

#[tokio::test]
async fn the_end_of_a_server_is_the_end_of_input_and_a_reset_is_an_error() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = Client::new();
    let address = listener.local_addr().unwrap();
    let mut conn: Connection<Lines> = client.tcp(address).await.unwrap();
    let (mut peer, _) = listener.accept().await.unwrap();
    peer.write_all(b"bye\n").await.unwrap();
    drop(peer);
    assert_eq!(conn.recv().await.unwrap().unwrap(), "bye");
    assert_eq!(conn.recv().await.unwrap(), None);

    let mut conn: Connection<Lines> = client.tcp(address).await.unwrap();
    let (mut peer, _) = listener.accept().await.unwrap();
    conn.send("hello").await.unwrap();
    assert_eq!(peer.read_u8().await.unwrap(), b'h');
    // Closed over unread input.
    drop(peer);
    assert_eq!(conn.recv().await.unwrap_err(), ConnectionError::Closed(CloseReason::PeerReset));
}

async fn echo_messages(mut conn: Connection<WebSocket>) -> Result {
    while let Some(message) = conn.recv().await? {
        conn.send(message).await?;
    }
    Ok(())
}

#[tokio::test]
async fn websockets_are_opened_in_the_clear_and_by_tls() {
    let pair = Pair::new(&["localhost"]);
    let trust = Trust::pem(&pair.certificate).unwrap();
    let ws = serve(Server::new().websocket("127.0.0.1:0", echo_messages)).await;
    let upgrade = |request: Request| std::future::ready(request.upgrade(&[], echo_messages));
    let wss = serve(Server::new().https("127.0.0.1:0", &pair.certificates(), upgrade)).await;
    let wss = wss.replace("127.0.0.1", "localhost");
    let client = Client::new();
    let plain = client.websocket(format!("ws://{ws}/some/path?room=x")).await.unwrap();
    let secure = client.websocket_tls(format!("wss://{wss}"), &trust).await.unwrap();
    for mut conn in [plain, secure] {
        for text in [String::new(), "hello".to_owned(), "x".repeat(60_000)] {
            conn.send(text.as_str()).await.unwrap();
            assert_eq!(conn.recv().await.unwrap().unwrap(), text.as_str().into());
        }
        conn.send("the last").await.unwrap();
        let mut conn = conn.finish();
        assert_eq!(conn.recv().await.unwrap().unwrap(), "the last".into());
        assert_eq!(conn.recv().await.unwrap(), None);
    }
    assert_eq!(client.drain().await.aborted, 0);
}

#[tokio::test]
async fn what_comes_right_behind_the_handshake_is_not_lost() {
    async fn greet(mut conn: Connection<WebSocket>) -> Result {
        conn.send("first").await?;
        conn.recv().await?;
        Ok(())
    }
    let address = serve(Server::new().websocket("127.0.0.1:0", greet)).await;
    for _ in 0..20 {
        let mut conn = Client::new().websocket(format!("ws://{address}/")).await.unwrap();
        assert_eq!(conn.recv().await.unwrap().unwrap(), "first".into());
    }
}

#[tokio::test]
async fn a_server_without_a_websocket_there_says_its_status() {
    let missing = |_: Request| async {
        let mut response = http::Response::new(bytes::Bytes::from_static(b"nothing here"));
        *response.status_mut() = http::StatusCode::NOT_FOUND;
        response
    };
    let address = serve(Server::new().http("127.0.0.1:0", missing)).await;
    let client = Client::new();
    let error = client.websocket(format!("ws://{address}/")).await.err().unwrap();
    let ConnectError::NotUpgraded { status: 404, said } = error else { panic!("{error:?}") };
    assert_eq!(said, "nothing here");
    // A server that speaks something else.
    let lines = serve(Server::new().tcp("127.0.0.1:0", echo)).await;
    let error = client.websocket(format!("ws://{lines}/")).await.err().unwrap();
    let ConnectError::Unreachable { error, .. } = error else { panic!("{error:?}") };
    assert_eq!(error.to_string(), "the server does not speak HTTP");
    // And one that does so before it is asked.
    let greeter = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let place = greeter.local_addr().unwrap();
    let greeting = tokio::spawn(async move {
        let (mut stream, _) = greeter.accept().await.unwrap();
        stream.write_all(b"* you are guest-1\n").await.unwrap();
        let _ = stream.read(&mut [0; 1024]).await;
        stream
    });
    let error = client.websocket(format!("ws://{place}/")).await.err().unwrap();
    let ConnectError::Unreachable { error, .. } = error else { panic!("{error:?}") };
    assert_eq!(error.to_string(), "the server does not speak HTTP");
    drop(greeting);
    // And one that speaks TLS.
    let pair = Pair::new(&["localhost"]);
    let secure = serve(Server::new().tls("127.0.0.1:0", &pair.certificates(), echo)).await;
    let error = client.websocket(format!("ws://{secure}/")).await.err().unwrap();
    let ConnectError::Unreachable { error, .. } = error else { panic!("{error:?}") };
    assert_eq!(error.to_string(), "the server wants TLS");
    for wrong in ["http://localhost/", "ws:///", "not a url", "ws://localhost/ x"] {
        let ConnectError::Unreachable { error, .. } = client.websocket(wrong).await.err().unwrap() else {
            panic!("{wrong}")
        };
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{wrong}");
    }
}

/// A Unix socket whose queue is full says "try again" at once, where TCP waits.
#[tokio::test]
async fn a_unix_server_that_has_not_accepted_yet_is_waited_for() {
    let path = std::env::temp_dir().join(format!("switchboard-{}-queue", std::process::id()));
    let _ = std::fs::remove_file(&path);
    let socket = socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None).unwrap();
    socket.bind(&socket2::SockAddr::unix(&path).unwrap()).unwrap();
    socket.listen(0).unwrap();
    let client = Client::new();
    let first = client.unix::<Lines>(&path).await.unwrap();
    let mut second = Box::pin(client.unix::<Lines>(&path));
    assert!(tokio::time::timeout(Duration::from_millis(50), &mut second).await.is_err(), "it waits");
    drop(socket.accept().unwrap());
    second.await.unwrap();
    drop(first);
    std::fs::remove_file(&path).unwrap();
}
