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

    #[tokio::test(start_paused = true)]
    async fn answers_lines_and_messages_alike() {
        let mut peer = super::testing::serve(echo::<Lines>, Timeouts::default());
        peer.send("hello\n").await;
        assert_eq!(peer.line().await, "hello\n");

        let app = super::testing::start(Server::new().websocket("127.0.0.1:7001", echo::<WebSocket>));
        let mut peer = app.websocket("/").await;
        peer.send("hello").await;
        assert_eq!(peer.text().await, "hello");
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
        let app = super::testing::start(server(Hub::new().room("lobby").unwrap()));
        let (mut alice, mut bob) = (app.connect("tcp"), app.connect("tcp"));
        for (peer, name) in [(&mut alice, "alice\n"), (&mut bob, "bob\n")] {
            assert_eq!(peer.line().await, "your name?\n");
            peer.send(name).await;
        }
        assert_eq!(alice.line().await, "* bob joined\n");
        bob.send("hi\n").await;
        assert_eq!(alice.line().await, "bob: hi\n");
        bob.finish();
        assert_eq!(bob.closed().await, CloseReason::PeerClosed);
        assert_eq!(alice.line().await, "* bob left\n");
        assert_eq!(app.drain().await.aborted, 0);
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

    #[tokio::test(start_paused = true)]
    async fn answers_with_the_time() {
        let app = super::testing::start(Server::new().udp("127.0.0.1:7037", time));
        let mut peer = app.udp("udp");
        peer.send("");
        let seconds = u64::from(u32::from_be_bytes(peer.recv().await[..].try_into().unwrap()));
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        assert!(now + UNIX_EPOCH_SINCE_1900 - seconds <= 5);
    }
}

mod telemetry {
    include!("../examples/telemetry.rs");

    #[tokio::test(start_paused = true)]
    async fn a_reading_reaches_who_watches() {
        let app = super::testing::start(server(Hub::new().room("readings").unwrap()));
        let (mut watcher, sensor) = (app.connect("tcp"), app.udp("udp"));
        tokio::task::yield_now().await;
        sensor.send("kitchen 21.5\n");
        assert_eq!(watcher.line().await, "kitchen 21.5\n");
    }
}

mod proxy {
    include!("../examples/proxy.rs");

    #[tokio::test]
    async fn passes_on_the_end_of_input_and_the_answer_to_it() {
        use crate::harness::served::Served;
        use switchboard::Tcp;
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let count = async |conn: Connection<Raw>| -> Result {
            let (mut stream, mut all) = (conn.into_io(), Vec::new());
            stream.read_to_end(&mut all).await?;
            Ok(stream.write_all(format!("{} bytes", all.len()).as_bytes()).await?)
        };
        let upstream = Served::start(Server::new().workers(0).tcp("127.0.0.1:0", count)).await;
        let state = (Arc::new(Client::new()), upstream.address().to_string());
        let proxied = Served::start(Server::new().workers(1).listen(Tcp::new("127.0.0.1:0"), (state, proxy))).await;
        let mut stream = tokio::net::TcpStream::connect(proxied.address()).await.unwrap();
        stream.write_all(&vec![b'x'; 3 << 20]).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert_eq!(answer, "3145728 bytes");
        assert_eq!(proxied.stop().await.aborted, 0);
    }
}

mod relay {
    include!("../examples/relay.rs");

    #[tokio::test(start_paused = true)]
    async fn passes_media_on_as_they_are() {
        let app = super::testing::start(server("eth0", Hub::new().room("call").unwrap()));
        let (mut one, mut other) = (app.websocket("/").await, app.websocket("/").await);
        // Whoever comes is there when it hears the next one.
        one.send("first").await;
        assert_eq!(other.text().await, "first");
        other.send("second").await;
        assert_eq!(one.text().await, "second");
    }

    #[test]
    fn carries_packets_between_a_group_of_hosts_and_websockets() {
        use crate::groups::{CABLE, Host};
        use crate::harness::{alone::in_a_network_of_its_own, patience::until, served::Served};
        in_a_network_of_its_own(carries_packets_between_a_group_of_hosts_and_websockets, CABLE, async {
            let call = Hub::new().room("call").unwrap();
            let served = Served::start(server("e0", call.clone())).await;
            let mut browser = Client::new().websocket("ws://127.0.0.1:7006/").await.unwrap();
            until(|| call.member_count() == 2).await;
            let studio = Host::at("239.1.2.4:5004");
            studio.say("10.9.0.2", "packet").await;
            assert_eq!(browser.recv().await.unwrap().unwrap(), "packet".into());
            browser.send("answer").await.unwrap();
            studio.hears("answer").await;
            drop(browser);
            assert_eq!(served.stop().await.aborted, 0);
        });
    }
}

mod gateway {
    include!("../examples/gateway.rs");

    #[tokio::test]
    async fn routes_by_path_and_says_so_if_nobody_is_there() {
        use crate::harness::served::Served;
        use switchboard::Tcp;
        use switchboard::bytes::BytesMut;
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let back = async |name: &'static str| {
            let answer = async |mut request: Request, name: &'static str| {
                let target = request.uri().path_and_query().map(ToString::to_string).unwrap_or_default();
                let body = request.body(LIMIT).await.map_err(BodyError::status)?;
                Ok::<Response, StatusCode>(types::Response::new(format!("{name} {target} {}", body.len())).into())
            };
            Served::start(Server::new().workers(0).http("127.0.0.1:0", (name, answer))).await
        };
        let (users, others) = (back("users").await, back("others").await);
        let closes = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let routes = vec![
            ("/users", users.address().to_string()),
            ("/gone", "127.0.0.1:1".to_owned()),
            ("/closes", closes.local_addr().unwrap().to_string()),
            ("/other", others.address().to_string()),
        ];
        let server = Server::new().workers(1).listen_http(Tcp::new("127.0.0.1:0"), (Routes(routes), gateway));
        let served = Served::start(server).await;
        let ask = async |target: &str| {
            let body = Bytes::from_static(b"four");
            let request = types::Request::post(target).header("host", "h").body(Full::new(body)).unwrap();
            let stream = tokio::net::TcpStream::connect(served.address()).await.unwrap();
            let (mut sender, connection) = handshake(TokioIo::new(stream)).await.unwrap();
            let answered = async move {
                let (head, body) = sender.send_request(request).await.unwrap().into_parts();
                let body = body.collect().await.unwrap().to_bytes();
                (head.status.as_u16(), String::from_utf8_lossy(&body).into_owned())
            };
            let (answer, _) = tokio::join!(answered, connection);
            answer
        };
        assert_eq!(ask("/users/7?full=1").await, (200, "users /users/7?full=1 4".to_owned()));
        assert_eq!(ask("/other").await, (200, "others /other 4".to_owned()));
        let close = async {
            let (mut stream, _) = closes.accept().await.unwrap();
            let mut request = BytesMut::new();
            while !request.ends_with(b"four") {
                stream.read_buf(&mut request).await.unwrap();
            }
            stream.write_all(b"HTTP/1.0 200 OK\r\n\r\nto the end").await.unwrap();
        };
        let (answer, ()) = tokio::join!(ask("/closes"), close);
        assert_eq!(answer, (200, "to the end".to_owned()));
        assert_eq!(ask("/gone").await.0, 502);
        assert_eq!(ask("/").await.0, 404);
    }
}

#[test]
fn examples_stay_below_60_lines_an_echo_is_14_and_a_chat_25() {
    for entry in std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/examples")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "rs") {
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        // The design counts the lines of code, blank ones not.
        let code = text.lines().filter(|line| !line.is_empty() && !line.starts_with("//")).count();
        let most = match path.file_stem().unwrap().to_str() {
            Some("echo") => 14,
            Some("chat") => 25,
            // Of which 60 are its codec.
            Some("kv") => 135,
            Some("ingest" | "lobby" | "pipeline") => 75,
            _ => 60,
        };
        assert!(code <= most, "{}: {code}", path.display());
    }
}
