//! The examples do what their first lines say, and stay short.

#![allow(missing_docs, dead_code, unreachable_pub, reason = "the examples are programs")]

use switchboard::testing;

mod echo {
    include!("../examples/echo.rs");

    #[tokio::test(start_paused = true)]
    async fn answers_each_line() {
        let mut peer = super::testing::serve(echo, Timeouts::default());
        peer.send("hello\n").await;
        assert_eq!(peer.line().await, "hello\n");
    }
}

mod websocket {
    include!("../examples/websocket.rs");

    use switchboard::Memory;
    use switchboard::testing::Peer;

    #[tokio::test(start_paused = true)]
    async fn answers_lines_and_messages_alike() {
        let mut peer = super::testing::serve(echo::<Lines>, Timeouts::default());
        peer.send("hello\n").await;
        assert_eq!(peer.line().await, "hello\n");

        let memory = Memory::new();
        let server = Server::new().workers(0).listen_websocket(memory.clone(), echo::<WebSocket>);
        #[expect(clippy::disallowed_methods, reason = "the test's runtime owns the server")]
        drop(tokio::spawn(server.serve_until(std::future::pending())));
        let mut peer = Peer::connect(&memory);
        peer.send("GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n").await;
        peer.send("Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n").await;
        while peer.line().await != "\r\n" {}
        peer.send(b"\x81\x85\0\0\0\0hello").await;
        assert_eq!(peer.bytes(7).await, b"\x81\x05hello");
    }
}

mod custom_codec {
    include!("../examples/custom_codec.rs");

    #[tokio::test(start_paused = true)]
    async fn answers_netstrings_in_capitals() {
        let mut peer = super::testing::serve(shout, Timeouts::default());
        for part in ["5:hel", "lo,0", ":,2:,,,"] {
            peer.send(part).await;
            tokio::task::yield_now().await;
        }
        peer.finish();
        assert_eq!(peer.rest().await.unwrap(), b"5:HELLO,0:,2:,,,");
    }

    #[tokio::test(start_paused = true)]
    async fn refuses_what_is_no_netstring() {
        for bad in ["x", ":", "5:helloX", "0123456789:"] {
            let mut peer = super::testing::serve(shout, Timeouts::default());
            peer.send(bad).await;
            peer.finish();
            assert_eq!(peer.closed().await, CloseReason::BadFrame, "{bad}");
        }
    }
}

mod chat {
    include!("../examples/chat.rs");

    #[tokio::test(start_paused = true)]
    async fn members_hear_each_other_come_speak_and_leave() {
        use switchboard::{Memory, testing::Peer};
        let (lobby, memory) = (Hub::new().room("lobby").unwrap(), Memory::new());
        let bound = Server::new().workers(0).memory(&memory, (lobby, chat)).bind().await.unwrap();
        let talking = async {
            let (mut alice, mut bob) = (Peer::connect(&memory), Peer::connect(&memory));
            assert_eq!(alice.line().await, "your name?\n");
            assert_eq!(bob.line().await, "your name?\n");
            alice.send("alice\n").await;
            bob.send("bob\n").await;
            assert_eq!(alice.line().await, "* bob joined\n");
            bob.send("hi\n").await;
            assert_eq!(alice.line().await, "bob: hi\n");
            bob.finish();
            assert_eq!(bob.closed().await, CloseReason::PeerClosed);
            assert_eq!(alice.line().await, "* bob left\n");
            alice.finish();
        };
        assert_eq!(bound.serve_until(talking).await.aborted, 0);
    }
}

mod client {
    include!("../examples/client.rs");

    async fn answer(mut conn: Connection<Lines>) -> Result {
        while let Some(line) = conn.recv().await? {
            conn.send(format!("you said: {line}")).await?;
        }
        Ok(())
    }

    #[tokio::test(start_paused = true)]
    async fn hears_the_answers_to_all_that_it_said() {
        let memory = switchboard::Memory::new();
        let bound = Server::new().workers(0).memory(&memory, answer).bind().await.unwrap();
        let (typed, lines) = channel(16);
        typed.send("hi".to_owned()).await.unwrap();
        drop(typed);
        let mut printed = Vec::new();
        let talking = async {
            let conn = Client::new().memory(&memory).await.unwrap();
            talk(conn, "alice", lines, |line| printed.push(line.to_string())).await.unwrap();
        };
        assert_eq!(bound.serve_until(talking).await.aborted, 0);
        assert_eq!(printed, ["you said: alice", "you said: hi"]);
    }
}

mod udp_time {
    include!("../examples/udp_time.rs");

    #[tokio::test]
    async fn answers_with_the_time() {
        let bound = Server::new().workers(0).udp("127.0.0.1:0", time).bind().await.unwrap();
        let address = bound.urls()[0].replace("udp://", "");
        let asking = async move {
            let socket = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
            socket.send_to(b"", address).await.unwrap();
            let mut answer = [0; 5];
            assert_eq!(socket.recv(&mut answer).await.unwrap(), 4);
            let seconds = u64::from(u32::from_be_bytes(answer[..4].try_into().unwrap()));
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
            assert!(now + UNIX_EPOCH_SINCE_1900 - seconds <= 5);
        };
        assert_eq!(bound.serve_until(asking).await.aborted, 0);
    }
}

mod telemetry {
    include!("../examples/telemetry.rs");

    #[tokio::test]
    async fn a_reading_reaches_who_watches() {
        use tokio::io::AsyncReadExt;
        let readings = Hub::new().room("readings").unwrap();
        let (published, watched) = (readings.clone(), readings.clone());
        let server = Server::new().workers(0).udp("127.0.0.1:0", move |reading, _| measured(reading, &published));
        let bound = server.tcp("127.0.0.1:0", (watched, watch)).bind().await.unwrap();
        let [udp, tcp] = &bound.urls()[..] else { panic!("two listeners") };
        let (udp, tcp) = (udp.replace("udp://", ""), tcp.replace("tcp://", ""));
        let measuring = async move {
            let mut watcher = tokio::net::TcpStream::connect(tcp).await.unwrap();
            crate::harness::patience::until(|| readings.member_count() == 1).await;
            let sensor = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
            sensor.send_to(b"kitchen 21.5\n", udp).await.unwrap();
            let mut line = [0; 13];
            watcher.read_exact(&mut line).await.unwrap();
            assert_eq!(&line, b"kitchen 21.5\n");
        };
        assert_eq!(bound.serve_until(measuring).await.aborted, 0);
    }
}

#[test]
fn examples_stay_below_60_lines_and_echo_is_14() {
    for entry in std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/examples")).unwrap() {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        let lines = text.lines().filter(|line| !line.starts_with("//")).count();
        assert!(lines < 60, "{}: {lines}", path.display());
        if path.file_stem().unwrap() == "echo" {
            // The design counts the lines of code, blank ones not.
            let code = text.lines().filter(|line| !line.is_empty() && !line.starts_with("//")).count();
            assert!(code <= 14, "{code}");
        }
    }
}
