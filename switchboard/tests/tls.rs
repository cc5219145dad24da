//! TLS over the kernel's sockets, with a client of rustls'.

use crate::harness::patience::patiently;
use crate::harness::served::{Served, address, echo, line, with_1_and_4_workers};
use crate::harness::tls_peer::{Pair, Tapped, TlsPeer, client, connect, over, shown};
use rustls::version::{TLS12, TLS13};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use switchboard::prelude::*;
use switchboard::{BoxError, Certificates, Format, Join, Overflow, Proxies, Tls, Transport as _};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

async fn serve(pair: &Pair) -> Served {
    Served::start(Server::new().workers(0).tls("127.0.0.1:0", &pair.certificates(), echo)).await
}

async fn says(peer: &mut TlsPeer, text: &str) {
    peer.write_all(text.as_bytes()).await.unwrap();
    peer.flush().await.unwrap();
}

/// A peer whose server has answered once.
async fn greeted(served: &Served, pair: &Pair) -> TlsPeer {
    let mut peer = connect(served.address(), "localhost", client(&[pair], &[&TLS13])).await.unwrap();
    says(&mut peer, "hello\n").await;
    assert_eq!(line(&mut peer).await, "hello\n");
    peer
}

with_1_and_4_workers! {
    both_versions_are_spoken => versions;
    megabytes_arrive_whole_through_full_sockets => megabytes;
    tcp_and_tls_share_a_room => one_room;
    all_that_was_queued_arrives_and_then_the_end => queued_at_the_end;
}

async fn versions(workers: usize) {
    let pair = Pair::new(&["localhost"]);
    let served = Served::start(Server::new().workers(workers).tls("127.0.0.1:0", &pair.certificates(), echo)).await;
    for version in [&TLS12, &TLS13] {
        let mut peer = connect(served.address(), "localhost", client(&[&pair], &[version])).await.unwrap();
        assert_eq!(peer.get_ref().1.protocol_version(), Some(version.version));
        for round in 0..10 {
            let text = format!("round {round}\n");
            says(&mut peer, &text).await;
            assert_eq!(line(&mut peer).await, text);
        }
        peer.shutdown().await.unwrap();
        assert_eq!(peer.read(&mut [0; 8]).await.unwrap(), 0);
    }
    served.until(|handle| handle.metrics().closed(CloseReason::PeerClosed) == 2).await;
    assert_eq!(served.stop().await.aborted, 0);
}

async fn megabytes(workers: usize) {
    let pair = Pair::new(&["localhost"]);
    let served = Served::start(Server::new().workers(workers).tls("127.0.0.1:0", &pair.certificates(), echo)).await;
    let peer = connect(served.address(), "localhost", client(&[&pair], &[&TLS13])).await.unwrap();
    let lines: Vec<u8> = (0..200_u32).flat_map(|number| format!("{number:0>40000}\n").into_bytes()).collect();
    let (mut reader, mut writer) = tokio::io::split(peer);
    let sent = lines.clone();
    let sending = tokio::spawn(async move {
        writer.write_all(&sent).await.unwrap();
        writer.shutdown().await.unwrap();
        writer
    });
    let mut received = Vec::new();
    reader.read_to_end(&mut received).await.unwrap();
    assert!(received == lines, "{} bytes of {} came back, or others", received.len(), lines.len());
    drop(sending.await.unwrap());
    assert_eq!(served.stop().await.aborted, 0);
}

async fn one_room(workers: usize) {
    let pair = Pair::new(&["localhost"]);
    let lobby = Hub::new().room("lobby").unwrap();
    let member = move |mut conn: Connection<Lines>| {
        let lobby = lobby.clone();
        async move {
            let seat = conn.join(&lobby)?;
            conn.send("in").await?;
            while let Some(line) = conn.recv().await? {
                seat.publish(line).unwrap();
            }
            Result::<(), switchboard::BoxError>::Ok(())
        }
    };
    let server = Server::new().workers(workers).tls("127.0.0.1:0", &pair.certificates(), member.clone());
    let served = Served::start(server.tcp("127.0.0.1:0", member)).await;
    let mut ann = connect(served.address(), "localhost", client(&[&pair], &[&TLS13])).await.unwrap();
    assert_eq!(line(&mut ann).await, "in\n");
    let mut bob = TcpStream::connect(address(&served.urls[1])).await.unwrap();
    assert_eq!(line(&mut bob).await, "in\n");
    for round in 0..100 {
        says(&mut ann, &format!("from ann {round}\n")).await;
        assert_eq!(line(&mut bob).await, format!("from ann {round}\n"));
        bob.write_all(format!("from bob {round}\n").as_bytes()).await.unwrap();
        assert_eq!(line(&mut ann).await, format!("from bob {round}\n"));
    }
    assert_eq!(served.stop().await.aborted, 0);
}

/// A member of a room, with what overflows its outbox.
async fn seated(overflow: Overflow, limits: Limits) -> (Served, Room, TlsPeer) {
    let pair = Pair::new(&["localhost"]);
    let hub = Hub::new();
    let lobby = hub.room("lobby").unwrap();
    let room = lobby.clone();
    let member = move |mut conn: Connection<Lines>| {
        let me = hub.enter(&conn, Format::Text);
        let lobby = lobby.clone();
        async move {
            let _seat = me.join(&lobby, Join { overflow: Some(overflow), ..Join::default() })?;
            conn.send("in").await?;
            assert!(conn.recv().await?.is_none());
            Result::<(), switchboard::BoxError>::Ok(())
        }
    };
    let server = Server::new().workers(0).limits(limits).tls("127.0.0.1:0", &pair.certificates(), member);
    let served = Served::start(server).await;
    let mut peer = connect(served.address(), "localhost", client(&[&pair], &[&TLS13])).await.unwrap();
    while line(&mut peer).await != "in\n" {}
    (served, room, peer)
}

#[tokio::test]
async fn a_member_that_reads_gets_all_that_one_tick_brings() {
    for overflow in [Overflow::Disconnect, Overflow::DropOldest, Overflow::DropNewest, Overflow::Latest] {
        let limits = Limits { outbox_frames: 16, outbox_bytes: 10_000, ..Limits::default() };
        let (served, lobby, mut peer) = seated(overflow, limits).await;
        // Nobody else runs meanwhile, so that all of it is one tick's: more frames, and more bytes, than an outbox holds.
        let texts: Vec<String> = (0..500).map(|number| format!("{number:0>200}")).collect();
        for text in &texts {
            lobby.publish(text);
        }
        for text in &texts {
            assert_eq!(line(&mut peer).await, format!("[lobby] {text}\n"), "{overflow:?}");
        }
        drop(peer);
        served.stop().await;
    }
}

/// What was sealed for a socket that then took no more is not dropped, and what is behind it is in whole lines.
#[tokio::test]
async fn a_member_that_does_not_read_loses_whole_messages() {
    let limits = Limits { outbox_frames: 16, outbox_bytes: 100_000, ..Limits::default() };
    let (served, lobby, mut peer) = seated(Overflow::DropNewest, limits).await;
    for round in 0..3 {
        let first = round * 1000 + 1;
        for number in first..first + 1000 {
            lobby.publish(format!("{number} {}", "x".repeat(number * 37 % 20_000)));
            if number % 10 == 0 {
                tokio::task::yield_now().await;
            }
        }
        let (mut next, mut lost) = (first, 0);
        while next < first + 1000 {
            let line = line(&mut peer).await;
            if let Some(gap) = line.strip_prefix("* [lobby] lost ") {
                let (count, from) = gap.trim_end().split_once(" messages, from ").unwrap();
                assert_eq!(from, next.to_string());
                lost += count.parse::<usize>().unwrap();
                next += count.parse::<usize>().unwrap();
            } else {
                assert_eq!(line, format!("[lobby] {next} {}\n", "x".repeat(next * 37 % 20_000)));
                next += 1;
            }
        }
        assert!(lost > 0, "the sockets took all of it");
    }
    drop(peer);
    served.stop().await;
}

async fn queued_at_the_end(workers: usize) {
    let handler = async |mut conn: Connection<Lines>| -> Result {
        for _ in 0..1024 {
            conn.send("x".repeat(1023)).await?;
        }
        Ok(())
    };
    let pair = Pair::new(&["localhost"]);
    let served = Served::start(Server::new().workers(workers).tls("127.0.0.1:0", &pair.certificates(), handler)).await;
    let mut peer = connect(served.address(), "localhost", client(&[&pair], &[&TLS13])).await.unwrap();
    says(&mut peer, "never read\n").await;
    let mut received = Vec::new();
    // An end without close_notify would be an error.
    peer.read_to_end(&mut received).await.unwrap();
    assert_eq!(received.len(), 1 << 20);
    drop(peer);
    served.closed(CloseReason::Finished).await;
}

#[tokio::test]
async fn what_is_queued_together_leaves_in_full_records() {
    let handler = async |mut conn: Connection<Lines>| -> Result {
        for _ in 0..48 {
            conn.send("x".repeat(1023)).await?;
        }
        Ok(())
    };
    let pair = Pair::new(&["localhost"]);
    let served = Served::start(Server::new().workers(0).tls("127.0.0.1:0", &pair.certificates(), handler)).await;
    // 2^14 bytes of plaintext; a nonce of 8 and a tag of 16 (RFC 5246 §6.2.3.3), or a type and the tag (RFC 8446 §5.2).
    for (version, full) in [(&TLS12, 16_384 + 24), (&TLS13, 16_384 + 17)] {
        let (stream, records) = Tapped::new(TcpStream::connect(served.address()).await.unwrap());
        let mut peer = over(stream, "localhost", client(&[&pair], &[version])).await.unwrap();
        let mut received = Vec::new();
        peer.read_to_end(&mut received).await.unwrap();
        assert_eq!(received.len(), 48 << 10);
        let lengths = records.lengths();
        // Behind the handshake, and in front of close_notify.
        assert_eq!(lengths[lengths.len() - 4..][..3], [full; 3], "{lengths:?}");
        assert!(lengths[..lengths.len() - 4].iter().all(|length| *length < full), "{lengths:?}");
    }
}

#[tokio::test]
async fn ciphertext_that_a_peer_does_not_take_counts_as_memory() {
    let handler = async |mut conn: Connection<Lines>| -> Result {
        loop {
            conn.send("x".repeat(1023)).await?;
        }
    };
    let pair = Pair::new(&["localhost"]);
    const PEERS: usize = 8;
    const OUTBOX: usize = 64 << 10;
    // Plaintext alone would fit: each may hold an outbox of it, and what its handler sends within one poll (16 KiB).
    let memory_bytes = PEERS * (OUTBOX + (20 << 10));
    let limits = Limits { outbox_bytes: OUTBOX, memory_bytes, ..Limits::default() };
    let server = Server::new().workers(0).limits(limits).tls("127.0.0.1:0", &pair.certificates(), handler);
    let served = Served::start(server).await;
    let is_exceeded = || served.handle.metrics().closed(CloseReason::OutOfMemory) > 0;
    let exceed = async {
        while !is_exceeded() {
            // How much ciphertext is left over depends on where the kernel stopped taking it, so they all begin anew until it
            // is much for enough of them at a time.
            let mut peers = Vec::new();
            for _ in 0..PEERS {
                peers.push(connect(served.address(), "localhost", client(&[&pair], &[&TLS13])).await.unwrap());
            }
            for _ in 0..200 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
    };
    patiently(exceed).await;
}

#[tokio::test]
async fn a_peer_that_is_done_sending_gets_its_answers() {
    let pair = Pair::new(&["localhost"]);
    let served = serve(&pair).await;
    let mut peer = connect(served.address(), "localhost", client(&[&pair], &[&TLS13])).await.unwrap();
    says(&mut peer, "one\ntwo").await;
    peer.shutdown().await.unwrap();
    let mut rest = String::new();
    peer.read_to_string(&mut rest).await.unwrap();
    assert_eq!(rest, "one\ntwo");
    served.closed(CloseReason::PeerClosed).await;
}

/// Both run on one thread: the reset is there before the server has looked at anything of it, and its tickets find nobody.
#[tokio::test]
async fn what_was_said_before_a_reset_is_received() {
    for (version, said) in [(&TLS12, "one\ntwo\n"), (&TLS13, "one\ntwo\n"), (&TLS12, ""), (&TLS13, "")] {
        let (pair, heard) = (Pair::new(&["localhost"]), Arc::new(AtomicUsize::new(0)));
        let counting = Arc::clone(&heard);
        let handler = move |mut conn: Connection<Lines>| {
            let counting = Arc::clone(&counting);
            async move {
                while let Some(line) = conn.recv().await? {
                    counting.fetch_add(1, Ordering::Relaxed);
                    conn.send(line).await?;
                }
                Ok::<(), BoxError>(())
            }
        };
        let served = Served::start(Server::new().workers(0).tls("127.0.0.1:0", &pair.certificates(), handler)).await;
        let stream = TcpStream::connect(served.address()).await.unwrap();
        // Else the kernel keeps what is said until the handshake was acknowledged, and a reset throws it away.
        stream.set_nodelay(true).unwrap();
        let mut peer = over(stream, "localhost", client(&[&pair], &[version])).await.unwrap();
        says(&mut peer, said).await;
        socket2::SockRef::from(peer.get_ref().0).set_linger(Some(Duration::ZERO)).unwrap();
        drop(peer);
        served.closed(CloseReason::PeerReset).await;
        assert_eq!(heard.load(Ordering::Relaxed), said.lines().count(), "{version:?}");
    }
}

#[tokio::test]
async fn a_stream_that_was_cut_off_is_not_one_that_ended() {
    let pair = Pair::new(&["localhost"]);
    let served = serve(&pair).await;
    let mut peer = greeted(&served, &pair).await;
    says(&mut peer, "whole\ncut o").await;
    assert_eq!(line(&mut peer).await, "whole\n");
    // The end of TCP alone: somebody on the way could have made it.
    let (mut stream, _) = peer.into_inner();
    stream.shutdown().await.unwrap();
    served.closed(CloseReason::Truncated).await;
}

#[tokio::test]
async fn bytes_that_are_no_record_end_an_open_connection() {
    let pair = Pair::new(&["localhost"]);
    let served = serve(&pair).await;
    let (mut stream, _) = greeted(&served, &pair).await.into_inner();
    stream.write_all(b"\x17\x03\x03\x00\x20forged, and not by the same keys").await.unwrap();
    served.closed(CloseReason::BadFrame).await;
}

#[tokio::test]
async fn a_host_name_chooses_its_certificate() {
    let (first, exact, wild) = (Pair::new(&["localhost"]), Pair::new(&["a.b.test"]), Pair::new(&["*.b.test"]));
    let pairs = [&first, &exact, &wild];
    let certificates = Certificates::from_pem(pairs.map(|pair| (&pair.certificate, &pair.key))).unwrap();
    let served = Served::start(Server::new().workers(0).tls("127.0.0.1:0", &certificates, echo)).await;
    for (name, expected) in [("localhost", &first), ("a.b.test", &exact), ("A.B.TEST", &exact), ("c.b.test", &wild)] {
        let peer = connect(served.address(), name, client(&pairs, &[&TLS13])).await.unwrap();
        assert_eq!(shown(&peer), expected.der(), "{name}");
    }
    // A name that none of them has: the first, which the client then refuses.
    let error = connect(served.address(), "c.example", client(&pairs, &[&TLS13])).await.unwrap_err();
    assert!(error.to_string().contains("not valid for name"), "{error}");
    // The peer closes while we still speak, which may reset the connection before its alert is read.
    served
        .until(|handle| {
            let metrics = handle.metrics();
            metrics.closed(CloseReason::HandshakeFailed) + metrics.closed(CloseReason::PeerReset) == 1
        })
        .await;
}

#[tokio::test]
async fn a_reload_is_for_new_connections_alone() {
    let folder = folder("reload");
    let (old, new) = (Pair::new(&["localhost"]), Pair::new(&["localhost"]));
    let files = (folder.join("cert.pem"), folder.join("key.pem"));
    let store = |pair: &Pair| {
        std::fs::write(&files.0, &pair.certificate).unwrap();
        std::fs::write(&files.1, &pair.key).unwrap();
    };
    store(&old);
    let certificates = Certificates::from_files([files.clone()]).unwrap();
    let served = Served::start(Server::new().workers(0).tls("127.0.0.1:0", &certificates, echo)).await;
    // One client for all, which brings the ticket of an earlier session.
    let trusting = client(&[&old, &new], &[&TLS13]);
    let mut early = connect(served.address(), "localhost", trusting.clone()).await.unwrap();
    says(&mut early, "before\n").await;
    assert_eq!(line(&mut early).await, "before\n");

    std::fs::write(&files.1, &new.key).unwrap();
    let error = certificates.reload().unwrap_err();
    assert_eq!(error.faults.len(), 1, "{error}");
    assert!(error.faults[0].contains("key.pem: not the key for the certificate in"), "{error}");
    let meanwhile = connect(served.address(), "localhost", trusting.clone()).await.unwrap();
    assert_eq!(shown(&meanwhile), old.der());

    store(&new);
    certificates.reload().unwrap();
    let late = connect(served.address(), "localhost", trusting).await.unwrap();
    assert_eq!(shown(&late), new.der());
    says(&mut early, "after\n").await;
    assert_eq!(line(&mut early).await, "after\n");
    std::fs::remove_dir_all(folder).unwrap();
}

/// What came with the first flight of a session could be sent again by whoever has seen it (RFC 8446 §8).
#[tokio::test]
async fn no_session_lets_data_come_before_its_handshake() {
    let pair = Pair::new(&["localhost"]);
    let served = serve(&pair).await;
    let mut config = client(&[&pair], &[&TLS13]);
    config.enable_early_data = true;
    let mut peer = connect(served.address(), "localhost", config.clone()).await.unwrap();
    says(&mut peer, "hello\n").await;
    // Behind the tickets.
    assert_eq!(line(&mut peer).await, "hello\n");
    let next = connect(served.address(), "localhost", config.clone()).await.unwrap();
    assert_eq!(next.get_ref().1.handshake_kind(), Some(rustls::HandshakeKind::Resumed));
    let name = "localhost".try_into().unwrap();
    let mut third = rustls::ClientConnection::new(Arc::new(config), name).unwrap();
    assert!(third.early_data().is_none(), "its ticket allows none");
}

#[tokio::test]
async fn a_peer_that_comes_back_need_not_begin_anew() {
    let pair = Pair::new(&["localhost"]);
    let served = serve(&pair).await;
    let config = client(&[&pair], &[&TLS13]);
    for expected in [rustls::HandshakeKind::Full, rustls::HandshakeKind::Resumed] {
        let mut peer = connect(served.address(), "localhost", config.clone()).await.unwrap();
        // The tickets come in front of the answer.
        says(&mut peer, "hello\n").await;
        assert_eq!(line(&mut peer).await, "hello\n");
        assert_eq!(peer.get_ref().1.handshake_kind(), Some(expected));
    }
}

#[tokio::test]
async fn a_protocol_is_chosen_where_there_is_a_choice() {
    let pair = Pair::new(&["localhost"]);
    let tls = Tls::new("127.0.0.1:0", &pair.certificates()).protocols(&["h2", "http/1.1"]);
    let served = Served::start(Server::new().workers(0).listen(tls, echo)).await;
    let offer = |protocols: &[&str]| {
        let mut config = client(&[&pair], &[&TLS13]);
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
        connect(served.address(), "localhost", config)
    };
    let chosen = |peer: &TlsPeer| peer.get_ref().1.alpn_protocol().map(<[u8]>::to_vec);
    assert_eq!(chosen(&offer(&["http/1.1", "h2"]).await.unwrap()), Some(b"h2".to_vec()));
    assert_eq!(chosen(&offer(&[]).await.unwrap()), None);
    assert!(offer(&["smtp"]).await.is_err());
    // A listener without a choice takes whatever the peer offers for no choice either.
    let served = serve(&pair).await;
    let mut config = client(&[&pair], &[&TLS13]);
    config.alpn_protocols = vec![b"smtp".to_vec()];
    assert_eq!(chosen(&connect(served.address(), "localhost", config).await.unwrap()), None);
}

#[tokio::test]
async fn plain_text_is_turned_away() {
    let pair = Pair::new(&["localhost"]);
    let served = serve(&pair).await;
    let mut peer = TcpStream::connect(served.address()).await.unwrap();
    // Shorter than the head of a record, so that rustls would wait for the rest of it.
    peer.write_all(b"hi\n").await.unwrap();
    let mut told = Vec::new();
    peer.read_to_end(&mut told).await.unwrap();
    // A fatal alert, unexpected_message (RFC 8446 §6).
    assert_eq!(told, [21, 3, 1, 0, 2, 2, 10]);
    drop(peer);
    served.closed(CloseReason::HandshakeFailed).await;
    // Others are served meanwhile and after it.
    greeted(&served, &pair).await;
}

#[tokio::test]
async fn a_probe_of_the_port_is_an_ordinary_end() {
    let pair = Pair::new(&["localhost"]);
    let served = serve(&pair).await;
    drop(TcpStream::connect(served.address()).await.unwrap());
    served.closed(CloseReason::PeerClosed).await;
}

#[tokio::test]
async fn who_leaves_within_the_handshake_has_failed() {
    let pair = Pair::new(&["localhost"]);
    let served = serve(&pair).await;
    let mut peer = half_a_greeting(served.address()).await;
    peer.shutdown().await.unwrap();
    served.closed(CloseReason::HandshakeFailed).await;
}

#[tokio::test(start_paused = true)]
async fn half_a_handshake_has_ten_seconds() {
    let pair = Pair::new(&["localhost"]);
    let served = serve(&pair).await;
    let began = tokio::time::Instant::now();
    let mut peer = half_a_greeting(served.address()).await;
    // Time leaps while all wait for each other.
    assert_eq!(peer.read(&mut [0; 64]).await.unwrap(), 0);
    let elapsed = began.elapsed();
    assert!(elapsed >= Duration::from_secs(10) && elapsed <= Duration::from_secs(13), "{elapsed:?}");
    drop(peer);
    served.closed(CloseReason::HandshakeTimeout).await;
}

#[tokio::test(start_paused = true)]
async fn the_time_for_a_handshake_runs_from_before_a_proxy_has_said_whose_it_is() {
    let pair = Pair::new(&["localhost"]);
    let proxies = Proxies::new(["127.0.0.0/8".parse().unwrap()]);
    let listener = Tls::new("127.0.0.1:0", &pair.certificates()).behind(Some(proxies));
    let served = Served::start(Server::new().workers(0).listen(listener, echo)).await;
    let began = tokio::time::Instant::now();
    let mut peer = TcpStream::connect(served.address()).await.unwrap();
    tokio::time::sleep(Duration::from_secs(4)).await;
    peer.write_all(b"PROXY TCP4 192.0.2.1 198.51.100.2 4711 443\r\n\x16\x03\x01\x01\x00\x01").await.unwrap();
    assert_eq!(peer.read(&mut [0; 64]).await.unwrap(), 0);
    let elapsed = began.elapsed();
    assert!(elapsed >= Duration::from_secs(9) && elapsed < Duration::from_secs(13), "{elapsed:?}");
    drop(peer);
    served.closed(CloseReason::HandshakeTimeout).await;
}

#[tokio::test]
async fn a_drain_does_not_wait_for_handshakes() {
    let pair = Pair::new(&["localhost"]);
    let served = serve(&pair).await;
    let mut peer = half_a_greeting(served.address()).await;
    served.until(|handle| handle.connections().len() == 1).await;
    let handle = served.handle.clone();
    let stopped = tokio::spawn(served.stop());
    assert_eq!(peer.read(&mut [0; 64]).await.unwrap(), 0);
    drop(peer);
    let drained = stopped.await.unwrap();
    assert_eq!((drained.finished, drained.aborted), (1, 0));
    assert_eq!(handle.metrics().closed(CloseReason::Drained), 1);
}

#[tokio::test]
async fn a_drain_hands_over_what_was_sent_before_it() {
    let pair = Pair::new(&["localhost"]);
    let handler = async |mut conn: Connection<Lines>| -> Result {
        conn.send("open").await?;
        conn.draining().await;
        while let Some(line) = conn.recv().await? {
            conn.send(line).await?;
        }
        Ok(())
    };
    let served = Served::start(Server::new().workers(0).tls("127.0.0.1:0", &pair.certificates(), handler)).await;
    let mut peer = connect(served.address(), "localhost", client(&[&pair], &[&TLS13])).await.unwrap();
    assert_eq!(line(&mut peer).await, "open\n");
    says(&mut peer, "one\ntwo\n").await;
    let drained = tokio::spawn(served.stop());
    let mut rest = String::new();
    peer.read_to_string(&mut rest).await.unwrap();
    assert_eq!(rest, "one\ntwo\n");
    drop(peer);
    assert_eq!(drained.await.unwrap().aborted, 0);
}

#[tokio::test]
async fn connections_of_an_address_count_before_they_speak_tls() {
    let pair = Pair::new(&["localhost"]);
    let limits = Limits { connections_per_address: Some(2), ..Limits::default() };
    let server = Server::new().workers(0).limits(limits).tls("127.0.0.1:0", &pair.certificates(), echo);
    let served = Served::start(server).await;
    let held =
        [TcpStream::connect(served.address()).await.unwrap(), TcpStream::connect(served.address()).await.unwrap()];
    let mut third = TcpStream::connect(served.address()).await.unwrap();
    assert_eq!(third.read(&mut [0; 8]).await.unwrap(), 0);
    assert_eq!(served.handle.metrics().closed(CloseReason::TooManyFromAddress), 1);
    drop(held);
}

#[tokio::test]
async fn ten_thousand_handshakes_of_one_address_are_refused_but_for_100_a_second() {
    let pair = Pair::new(&["localhost"]);
    // Open to other machines, where the limit is on by default.
    let server = Server::new().workers(1).tls("0.0.0.0:0", &pair.certificates(), echo);
    let served = Served::start(server).await;
    let mut address = served.address();
    address.set_ip(std::net::Ipv4Addr::LOCALHOST.into());
    let began = std::time::Instant::now();
    for _ in 0..10_000 {
        // Refused ones may be reset before they are connected.
        drop(from("127.0.0.2", address).await);
    }
    let metrics = served.handle.metrics();
    served.until(|_| metrics.accepted.get() + metrics.refused.get() == 10_000).await;
    // 100 at once, and as many in each second.
    let most = 100 + (began.elapsed().as_secs() + 1) * 100;
    assert!(metrics.accepted.get() <= most, "{} were begun, of {most}", metrics.accepted.get());
    assert_eq!(metrics.closed(CloseReason::TooManyHandshakes), metrics.refused.get());
    let other = from("127.0.0.3", address).await.unwrap();
    let mut other = over(other, "localhost", client(&[&pair], &[&TLS13])).await.unwrap();
    says(&mut other, "still served\n").await;
    assert_eq!(line(&mut other).await, "still served\n");
}

#[tokio::test]
async fn handshakes_under_way_are_limited_and_the_next_waits() {
    let pair = Pair::new(&["localhost"]);
    let limits = Limits { handshakes: 1, ..Limits::default() };
    let server = Server::new().workers(0).limits(limits).tls("127.0.0.1:0", &pair.certificates(), echo);
    let served = Served::start(server).await;
    let first = half_a_greeting(served.address()).await;
    served.until(|handle| handle.metrics().accept_waits.get() == 1).await;
    let second = tokio::spawn(connect(served.address(), "localhost", client(&[&pair], &[&TLS13])));
    tokio::task::yield_now().await;
    assert_eq!(served.handle.metrics().accepted.get(), 1);
    drop(first);
    let mut second = second.await.unwrap().unwrap();
    says(&mut second, "my turn\n").await;
    assert_eq!(line(&mut second).await, "my turn\n");
}

#[test]
fn all_that_is_wrong_with_certificates_is_said_at_once() {
    let folder = folder("faults");
    let (good, other) = (Pair::new(&["localhost"]), Pair::new(&["localhost"]));
    let store = |name: &str, text: &str| std::fs::write(folder.join(name), text).unwrap();
    store("cert", &good.certificate);
    store("key", &good.key);
    store("other", &other.key);
    store("empty", "");
    store("broken", "-----BEGIN CERTIFICATE-----\nbm90IG9uZQ==\n-----END CERTIFICATE-----\n");
    store("locked", "-----BEGIN ENCRYPTED PRIVATE KEY-----\nbm90IG9uZQ==\n-----END ENCRYPTED PRIVATE KEY-----\n");
    let long = std::fs::File::create(folder.join("long")).unwrap();
    long.set_len((1 << 20) + 1).unwrap();
    let expected = [
        (("cert", "missing"), vec!["missing: No such file or directory"]),
        (("cert", "other"), vec!["other: not the key for the certificate in "]),
        (("missing", "missing"), vec!["missing: No such file or directory"]),
        (("key", "cert"), vec!["key: has no certificate", "cert: has no private key"]),
        (("empty", "locked"), vec!["empty: has no certificate", "locked: the private key is encrypted"]),
        (("broken", "long"), vec!["broken: not a certificate: ", "long: longer than 1 MiB"]),
    ];
    let pairs = expected.iter().map(|((certificate, key), _)| (folder.join(certificate), folder.join(key)));
    let error = Certificates::from_files(pairs).unwrap_err();
    let texts: Vec<&str> = expected.iter().flat_map(|(_, texts)| texts.clone()).collect();
    assert_eq!(error.faults.len(), texts.len(), "{error}");
    for (fault, text) in error.faults.iter().zip(texts) {
        let begin = folder.join(text);
        assert!(fault.starts_with(begin.to_str().unwrap()), "{fault}: not {text}");
    }
    let none: [(&str, &str); 0] = [];
    assert_eq!(Certificates::from_files(none).unwrap_err().faults, ["no certificate given"]);
    std::fs::remove_dir_all(folder).unwrap();
}

/// A machine whose clock is wrong at boot serves, and is right once its clock is.
#[tokio::test]
async fn a_certificate_that_is_not_valid_now_is_taken_and_told_of() {
    let pairs = [Pair::of_the_past(), Pair::of_the_future(), Pair::new(&["localhost"])];
    let certificates = Certificates::from_pem(pairs.iter().map(|pair| (&pair.certificate, &pair.key))).unwrap();
    let now = std::time::SystemTime::now();
    let faults = certificates.invalid_at(now);
    assert_eq!(faults[0], "certificate 1: the certificate expired at 2001-02-03T00:00:00Z");
    assert_eq!(faults[1..], ["certificate 2: the certificate is not valid before 3001-02-03T00:00:00Z"]);
    let then = std::time::SystemTime::UNIX_EPOCH + Duration::from_hours(262_800);
    assert!(certificates.invalid_at(then)[0].starts_with("certificate 2: "));
}

/// A peer that has sent the beginning of a greeting, and nothing more.
async fn half_a_greeting(address: SocketAddr) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(b"\x16\x03\x01\x01\x00\x01\x00\x00\xfc\x03\x03").await.unwrap();
    stream
}

/// Connects from an address of this machine.
async fn from(address: &str, to: SocketAddr) -> std::io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::new(address.parse().unwrap(), 0))?;
    socket.connect(to).await
}

/// A folder of its own, to be removed at the end.
fn folder(name: &str) -> std::path::PathBuf {
    let folder = std::env::temp_dir().join(format!("switchboard-tls-{name}-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    folder
}
