//! The longer examples do what their first lines say, for peers in memory, and for other people's clients where those are installed.

#![allow(missing_docs, dead_code, unreachable_pub, reason = "the examples are programs")]

use super::harness::patience::{patiently, secs};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use switchboard::testing;
use tokio::task::spawn_blocking;

/// Where a program is installed.
#[expect(clippy::print_stderr, reason = "a test that shows nothing says so")]
fn installed(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.is_file());
    if found.is_none() {
        eprintln!("skipped: {name} is not installed");
    }
    found
}

/// What a program prints that reads `input`.
async fn printed(mut command: Command, input: impl Into<String>) -> String {
    let input = input.into();
    let running = spawn_blocking(move || {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        std::io::Write::write_all(&mut child.stdin.take().unwrap(), input.as_bytes()).unwrap();
        child.wait_with_output().unwrap()
    });
    String::from_utf8(patiently(running).await.unwrap().stdout).unwrap()
}

mod login {
    include!("../examples/login.rs");

    use super::testing::{Peer, Running, start};

    async fn named(app: &Running, listener: &str, name: &str) -> Peer {
        let mut peer = app.connect(listener);
        assert_eq!(peer.line().await, "your name?\n");
        peer.send(format!("{name}\n")).await;
        peer
    }

    #[tokio::test(start_paused = true)]
    async fn names_are_taken_once_and_who_leaves_is_told_of() {
        let app = start(server(Hub::new()).unwrap());
        let mut ann = named(&app, "tcp", "ann").await;
        for (name, refusal) in [("ANN", "! name ANN is taken\n"), ("a b", "! "), ("", "! ")] {
            let mut refused = named(&app, "tcp", name).await;
            let line = refused.line().await;
            assert!(line.starts_with(refusal), "{line}");
            assert_eq!(refused.closed().await, CloseReason::Finished);
        }
        let mut bob = named(&app, "tcp", "bob").await;
        assert_eq!(ann.line().await, "* [lobby] bob joined\n");
        bob.send("hi\n/kick ann\n").await;
        assert_eq!(ann.line().await, "[lobby] bob: hi\n");
        assert_eq!(bob.line().await, "! only operators kick\n");
        bob.finish();
        assert_eq!(ann.line().await, "* [lobby] bob left\n");
        assert_eq!(app.drain().await.aborted, 0);
    }

    #[tokio::test(start_paused = true)]
    async fn operators_close_connections_which_are_told_why() {
        let app = start(server(Hub::new()).unwrap());
        let mut ann = named(&app, "tcp", "ann").await;
        let mut op = named(&app, "unix", "op").await;
        assert_eq!(ann.line().await, "* [lobby] op joined\n");
        op.send("/kick nobody\n/kick Ann\n").await;
        assert_eq!(op.line().await, "! no one is named nobody\n");
        assert_eq!(ann.closed().await, CloseReason::Closed);
        let told = String::from_utf8(ann.rest().await.unwrap()).unwrap();
        assert!(told.ends_with("@server: an operator kicked you\n"), "{told}");
        assert_eq!(op.line().await, "* [lobby] ann left\n");
    }

    #[tokio::test(start_paused = true)]
    async fn who_says_no_name_is_closed_in_time() {
        let app = start(server(Hub::new()).unwrap());
        assert_eq!(app.connect("tcp").closed().await, CloseReason::HandshakeTimeout);
    }
}

mod kv {
    include!("../examples/kv.rs");

    use crate::harness::served::Served;

    fn state() -> (Hub, Store) {
        (Hub::new(), Store::default())
    }

    #[tokio::test(start_paused = true)]
    async fn commands_in_pieces_are_answered_in_order() {
        let mut peer = super::testing::serve((state(), serve), Timeouts::default());
        let commands = "*3\r\n$3\r\nset\r\n$1\r\nk\r\n$2\r\n\r\n\r\n*2\r\n$3\r\nGET\r\n$1\r\nk\r\n*2\r\n$3\r\nDEL\r\n$1\r\nk\r\n*1\r\n$1\r\n?\r\n";
        for byte in commands.bytes() {
            peer.send([byte]).await;
            tokio::task::yield_now().await;
        }
        peer.finish();
        let answers = String::from_utf8(peer.rest().await.unwrap()).unwrap();
        assert_eq!(answers, "+OK\r\n$2\r\n\r\n\r\n:1\r\n-ERR no such command: ?\r\n");
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_no_command_ends_the_connection() {
        for bad in [
            "GET k\r\n",
            "*1\n$1\r\nk\r\n",
            "*9999\r\n",
            "*1\r\n$1\r\nkk\r\n",
            "*1\r\n$999999\r\n",
            "*-1\r\n",
            "*0000000000000",
        ] {
            let mut peer = super::testing::serve((state(), serve), Timeouts::default());
            peer.send(bad).await;
            peer.finish();
            let reason = peer.closed().await;
            assert!(matches!(reason, CloseReason::BadFrame | CloseReason::FrameTooLong), "{bad}: {reason:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn subscribers_are_told_what_is_published_to_any_channel_of_theirs() {
        let app = super::testing::start(Server::new().tcp("127.0.0.1:7007", (state(), serve)));
        let (mut ann, mut bob) = (app.connect("tcp"), app.connect("tcp"));
        ann.send("*2\r\n$9\r\nSUBSCRIBE\r\n$4\r\nnews\r\n").await;
        let subscribed = "*3\r\n$9\r\nsubscribe\r\n$4\r\nnews\r\n:1\r\n";
        assert_eq!(ann.bytes(subscribed.len()).await, subscribed.as_bytes());
        bob.send("*3\r\n$7\r\nPUBLISH\r\n$4\r\nnews\r\n$2\r\nhi\r\n").await;
        assert_eq!(bob.line().await, ":1\r\n");
        let message = "*3\r\n$7\r\nmessage\r\n$4\r\nnews\r\n$2\r\nhi\r\n";
        assert_eq!(ann.bytes(message.len()).await, message.as_bytes());
        ann.send("*2\r\n$11\r\nUNSUBSCRIBE\r\n$4\r\nnews\r\n").await;
        let unsubscribed = "*3\r\n$11\r\nunsubscribe\r\n$4\r\nnews\r\n:0\r\n";
        assert_eq!(ann.bytes(unsubscribed.len()).await, unsubscribed.as_bytes());
        bob.send("*3\r\n$7\r\nPUBLISH\r\n$4\r\nnews\r\n$2\r\nhi\r\n").await;
        assert_eq!(bob.line().await, ":0\r\n");
    }

    #[tokio::test]
    async fn redis_cli_is_served() {
        let Some(client) = super::installed("redis-cli") else { return };
        let served = Served::start(Server::new().workers(1).tcp("127.0.0.1:0", (state(), serve))).await;
        let mut command = super::Command::new(client);
        command.args(["-p", &served.address().port().to_string()]);
        let answers = super::printed(command, "set a b\nget a\nget c\ndel a c\npublish news hi\n").await;
        assert_eq!(answers, "OK\nb\n\n1\n0\n");
    }
}

mod lobby {
    include!("../examples/lobby.rs");

    use super::testing::{Peer, Running, start};
    use super::{patiently, secs};

    fn app() -> Running {
        start(Server::new().tcp("127.0.0.1:7008", ((Hub::new(), Lobby::default()), play)))
    }

    /// The next frame.
    async fn frame(peer: &mut Peer) -> Vec<u8> {
        let header = peer.bytes(4).await;
        let length = header.try_into().map_or(0, u32::from_be_bytes);
        peer.bytes(length as usize).await
    }

    #[tokio::test(start_paused = true)]
    async fn four_play_together_and_see_each_other_move() {
        let app = app();
        let mut players: Vec<_> = (0..5).map(|_| app.connect("tcp")).collect();
        for player in &mut players {
            player.send([0, 0, 0, 2, 1, 255]).await;
        }
        for (player, others) in [(0, 4), (3, 4), (4, 1)] {
            let all = [0, 1, 255, 255].repeat(others);
            patiently(async { while frame(&mut players[player]).await != all {} }).await;
        }
        assert_eq!(app.drain().await.aborted, 0);
    }

    #[tokio::test(start_paused = true)]
    async fn who_does_not_read_for_a_moment_gets_the_newest_state() {
        let app = app();
        let mut player = app.connect("tcp");
        assert_eq!(frame(&mut player).await, [0; 4]);
        // 20 frames of 8 bytes a second fill the 64 KiB of a connection in memory in 410 seconds.
        tokio::time::sleep(secs(413)).await;
        player.send([0, 0, 0, 2, 7, 7]).await;
        tokio::time::sleep(secs(3)).await;
        let mut states = 0;
        let newest = loop {
            match frame(&mut player).await {
                state if state == [0; 4] => states += 1,
                state => break state,
            }
        };
        assert_eq!(newest, [0, 7, 0, 7], "and no other frame");
        assert!((8180..8200).contains(&states), "{states}");
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_no_step_ends_the_connection() {
        let mut player = app().connect("tcp");
        player.send([0, 0, 0, 1, 7]).await;
        assert_eq!(player.closed().await, CloseReason::BadFrame);
    }
}

mod pipeline {
    include!("../examples/pipeline.rs");

    use parking_lot::Mutex;
    use std::sync::Arc;

    type Heard = Arc<Mutex<Vec<String>>>;

    /// Answers, and resets the first connection before the answer to `4`, once everything was sent.
    async fn answer(mut conn: Connection<Lines>, heard: Heard) -> Result {
        while let Some(line) = conn.recv().await? {
            let count = heard.lock().len() + 1;
            heard.lock().push(line.to_string());
            if !(4..=6).contains(&count) {
                conn.send(format!("{line}, yes")).await?;
            } else if count == 6 {
                conn.close();
                break;
            }
        }
        Ok(())
    }

    #[tokio::test(start_paused = true)]
    async fn after_a_lost_connection_only_what_has_no_answer_is_repeated() {
        let (memory, heard) = (switchboard::Memory::new(), Heard::default());
        let bound = Server::new().workers(0).memory(&memory, (Arc::clone(&heard), answer)).bind().await.unwrap();
        let (typed, requests) = channel(16);
        for request in ["1", "2", "3", "4", "!5", "6"] {
            typed.send(request.to_owned()).await.unwrap();
        }
        drop(typed);
        let mut told = Vec::new();
        let client = Client::new();
        let asking = pipeline(
            async || Ok(client.memory(&memory).await?),
            requests,
            |request, answer| {
                told.push(format!("{request}: {}", answer.map_or("?".to_owned(), |answer| answer.to_string())));
            },
        );
        assert_eq!(bound.serve_until(asking).await.aborted, 0);
        assert_eq!(told, ["1: 1, yes", "2: 2, yes", "3: 3, yes", "!5: ?", "4: 4, yes", "6: 6, yes"]);
        assert_eq!(*heard.lock(), ["1", "2", "3", "4", "!5", "6", "4", "6"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_is_not_there_yet_is_waited_for() {
        let (typed, requests) = channel(16);
        typed.send("1".to_owned()).await.unwrap();
        drop(typed);
        let (memory, client, begun) = (switchboard::Memory::new(), Client::new(), tokio::time::Instant::now());
        let bound = Server::new().workers(0).memory(&memory, (Heard::default(), answer)).bind().await.unwrap();
        let connect = async || {
            if begun.elapsed() < super::secs(60) {
                return Err("nobody is there".into());
            }
            Ok(client.memory(&memory).await?)
        };
        let mut told = 0;
        bound.serve_until(pipeline(connect, requests, |_, answer| told += usize::from(answer.is_some()))).await;
        assert_eq!(told, 1);
    }
}

mod ingest {
    include!("../examples/ingest.rs");

    use crate::harness::served::{Served, address};
    use crate::harness::tls_peer::Pair;

    fn readings() -> Readings {
        Readings { last: Arc::default(), live: Hub::new().room("live").unwrap() }
    }

    fn reading(device: u32, value: f64) -> Vec<u8> {
        [&device.to_be_bytes()[..], &value.to_be_bytes()].concat()
    }

    fn framed(reading: Vec<u8>) -> Vec<u8> {
        [&(reading.len() as u32).to_be_bytes()[..], &reading].concat()
    }

    #[tokio::test(start_paused = true)]
    async fn what_comes_either_way_is_kept_and_streamed() {
        let app = super::testing::start(server(readings(), &Pair::new(&["localhost"]).certificates()));
        let mut live = app.get("/live").await;
        tokio::task::yield_now().await;
        let mut device = app.connect("tls");
        device.send(framed(reading(8, 1.5))).await;
        assert!(live.line().await.starts_with("id: "));
        assert_eq!(live.line().await, "data: {\"8\":1.5}\n");
        assert_eq!(live.line().await, "\n");
        app.udp("udp").send(reading(7, -2.0));
        assert!(live.line().await.starts_with("id: "));
        assert_eq!(live.line().await, "data: {\"7\":-2}\n");
        assert_eq!(app.get("/").await.text().await, "{\"7\":-2,\"8\":1.5}\n");
        assert_eq!(app.get("/none").await.status(), 404);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_no_reading_is_refused() {
        let app = super::testing::start(server(readings(), &Pair::new(&["localhost"]).certificates()));
        let long = [reading(7, 1.0), vec![0]].concat();
        for bad in [vec![], vec![1, 2, 3], long, reading(7, f64::NAN), reading(7, f64::INFINITY)] {
            app.udp("udp").send(bad.clone());
            let mut device = app.connect("tls");
            device.send(framed(bad)).await;
            assert_eq!(device.closed().await, CloseReason::BadFrame);
        }
        assert_eq!(app.get("/").await.text().await, "{}\n");
    }

    /// Sends two readings to a port, for whose certificate it looks in a file.
    const DEVICE: &str = "\
import socket, ssl, struct, sys
context = ssl.create_default_context(cadata=sys.stdin.read())
plain = socket.create_connection(('127.0.0.1', int(sys.argv[1])))
device = context.wrap_socket(plain, server_hostname='localhost')
for value in 1.5, 2.5: device.sendall(struct.pack('>IId', 12, 8, value))
device.unwrap()
print(device.version() is None)
";

    #[tokio::test]
    async fn pythons_tls_and_curl_are_served() {
        let (Some(python), Some(curl)) = (super::installed("python3"), super::installed("curl")) else { return };
        let (pair, readings) = (Pair::new(&["localhost"]), readings());
        let tls = Server::new().workers(1).tls("127.0.0.1:0", &pair.certificates(), (readings.clone(), device));
        let served = Served::start(tls.http("127.0.0.1:0", (readings, answer))).await;
        let mut command = super::Command::new(python);
        command.args(["-c", DEVICE, &served.address().port().to_string()]);
        assert_eq!(super::printed(command, pair.certificate).await, "True\n");
        let mut command = super::Command::new(curl);
        command.args(["-s", &format!("http://{}/", address(&served.urls[1]))]);
        assert_eq!(super::printed(command, String::new()).await, "{\"8\":2.5}\n");
    }
}
