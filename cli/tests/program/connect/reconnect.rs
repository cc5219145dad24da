//! `switchboard connect --reconnect`: what was missed comes, once, and everything goes on as before.

use super::terminal::Session;
use crate::process::{PATIENCE, Place, Program, command, until};
use crate::proxying::nowhere;
use crate::tls::Pair;
use nix::sys::signal::Signal;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::Stdio;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

/// A network between a client and a server, which lets through what it is told to, and can lose a connection.
struct Network {
    url: String,
    permits: Sender<()>,
    made: Receiver<[TcpStream; 2]>,
}

impl Network {
    /// Lets the first connection through.
    fn before(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("tcp://{}", listener.local_addr().unwrap());
        let ((permits, permitted), (sender, made)) = (channel(), channel());
        thread::spawn(move || {
            for client in listener.incoming() {
                if permitted.recv().is_err() {
                    return;
                }
                let (client, server) = (client.unwrap(), TcpStream::connect(server).unwrap());
                for [mut from, mut to] in [[&client, &server], [&server, &client]].map(|pair| pair.map(copy)) {
                    thread::spawn(move || {
                        // Either may be lost.
                        let _ = std::io::copy(&mut from, &mut to);
                        let _ = to.shutdown(Shutdown::Write);
                    });
                }
                if sender.send([client, server]).is_err() {
                    return;
                }
            }
        });
        permits.send(()).unwrap();
        Self { url, permits, made }
    }

    fn lose(&self) {
        for stream in self.made.recv_timeout(PATIENCE).unwrap() {
            // The end of one may have been passed on to the other already.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// Lets another connection through.
    fn permit(&self) {
        self.permits.send(()).unwrap();
    }
}

fn copy(stream: &TcpStream) -> TcpStream {
    stream.try_clone().unwrap()
}

/// In a pipe whose input stays open.
fn start(arguments: &[&str]) -> Program {
    let arguments: Vec<_> = ["connect", "--reconnect"].iter().chain(arguments).copied().collect();
    let mut command = command(&arguments);
    command.stdin(Stdio::piped());
    Program::spawn(command)
}

fn says(stream: &mut TcpStream, line: &str) {
    stream.write_all(format!("{line}\n").as_bytes()).unwrap();
}

/// Reads to the end of a line with `text`, and gives all that was read.
fn hears(stream: &mut TcpStream, text: &str) -> String {
    let (mut heard, mut line) = (String::new(), Vec::new());
    while !heard.ends_with('\n') || !String::from_utf8_lossy(&line).contains(text) {
        if heard.ends_with('\n') {
            line.clear();
        }
        let mut byte = [0];
        if let Err(error) = stream.read_exact(&mut byte) {
            panic!("waited in vain for {text:?}: {error}, after {heard:?}");
        }
        line.push(byte[0]);
        heard.push(byte[0].into());
    }
    heard
}

/// Waits until alice is in the current room, or is not.
fn waits_for_alice(stream: &mut TcpStream, is_there: bool) {
    until(|| {
        says(stream, "/who\n/ping");
        let heard = hears(stream, "* pong");
        let who = heard.lines().find(|line| line.contains("member: ") || line.contains("members: "));
        who.is_some_and(|line| line.contains(" alice") == is_there)
    });
}

/// A server that comes again, with nothing that it had but its addresses.
fn outlives_a_restart(service: &str, client: &[&str], connect: impl Fn(&str) -> String) {
    let server = Program::serve(&[service, "rooms=tcp://127.0.0.1:0"]);
    let (own, url) = (server.listeners[0].url.clone(), connect(&server.listeners[0].url));
    let arguments: Vec<_> = [url.as_str(), "--name", "alice", "--room", "ops"].iter().chain(client).copied().collect();
    let mut alice = start(&arguments);
    alice.printed("alice");
    assert_eq!(server.stop().code, Some(0));
    alice.logged("; reconnecting in ");
    alice.types("said while away\n");

    let (scheme, place) = own.split_once("://").unwrap();
    let options = service.split_once('?').map_or(String::new(), |(_, options)| format!("?{options}"));
    let server = Program::serve(&[&format!("rooms={scheme}://{place}{options}"), "rooms=tcp://127.0.0.1:0"]);
    let connected = alice.logged("-- reconnected as alice, in ops");
    assert!(scheme == "udp" || connected.ends_with("in ops, lobby"), "{connected}");
    let mut bob = server.tcp(1);
    says(&mut bob, "/name bob\n/join ops since=0-0");
    hears(&mut bob, "[ops] alice: said while away");
    says(&mut bob, "/who\nand now");
    assert_eq!(hears(&mut bob, " members: ").matches("said while away").count(), 0, "it came twice");
    alice.printed("and now");
    alice.finish();
    let end = alice.end();
    assert_eq!(end.code, Some(0), "{end:?}");
}

#[test]
fn on_tcp_it_outlives_a_restart_of_the_server() {
    outlives_a_restart("rooms=tcp://127.0.0.1:0", &[], str::to_owned);
}

#[test]
fn on_tls_it_outlives_a_restart_of_the_server() {
    let pair = Pair::new("reconnect", "localhost");
    let service = format!("rooms=tls://127.0.0.1:0?{}", pair.query());
    let certificate = pair.certificate.to_string();
    outlives_a_restart(&service, &["--ca", &certificate], |url| url.replace("127.0.0.1", "localhost"));
}

#[test]
fn on_a_unix_socket_it_outlives_a_restart_of_the_server() {
    let socket = Place::new("reconnect");
    outlives_a_restart(&format!("rooms=unix://{socket}"), &[], str::to_owned);
}

#[test]
fn on_udp_it_outlives_a_restart_of_the_server() {
    outlives_a_restart("rooms=udp://127.0.0.1:0", &[], str::to_owned);
}

#[test]
fn on_websocket_it_outlives_a_restart_of_the_server() {
    outlives_a_restart("rooms=http://127.0.0.1:0", &[], |url| url.replace("http", "ws") + "/ws");
    let ws = |url: &str| url.replace("http", "ws") + "/ws?format=text";
    outlives_a_restart("rooms=http://127.0.0.1:0", &[], ws);
}

#[test]
fn on_websocket_over_tls_it_outlives_a_restart_of_the_server() {
    let pair = Pair::new("reconnect-wss", "localhost");
    let service = format!("rooms=https://127.0.0.1:0?{}", pair.query());
    outlives_a_restart(&service, &["--insecure"], |url| url.replace("https", "wss") + "/ws");
}

#[test]
fn what_was_missed_comes_once_and_the_name_and_rooms_are_as_before() {
    let program = Program::serve(&["rooms=tcp://127.0.0.1:0"]);
    let network = Network::before(program.listeners[0].address());
    let mut alice = start(&[&network.url, "--name", "alice", "--room", "ops"]);
    alice.printed("* you are alice");
    let mut bob = program.tcp(0);
    says(&mut bob, "/name bob\n/join ops\n/pub ops one\n/pub lobby first");
    alice.printed("[lobby] bob: first");
    // It comes to others alone, and does not come back with what was missed either.
    alice.types("my own\n/leave lobby\n");
    hears(&mut bob, "[ops] alice: my own");
    alice.printed("* [lobby] you left; now in ops");

    network.lose();
    waits_for_alice(&mut bob, false);
    says(&mut bob, "/pub ops two\n/pub lobby second\n/pub ops three\n/ping");
    hears(&mut bob, "* pong");
    // What is typed before the loss is noticed may be lost with the connection.
    alice.logged("; reconnecting in ");
    alice.types("back\n");
    network.permit();
    alice.printed("[ops] bob: two");
    alice.printed("[ops] bob: three");
    let connected = alice.logged("-- reconnected");
    assert_eq!(connected, "-- reconnected as alice, in ops");
    hears(&mut bob, "[ops] alice: back");
    says(&mut bob, "/pub ops four");
    alice.printed("[ops] bob: four");
    alice.finish();
    let seen = [alice.seen(), &[]].concat().join("\n") + &alice.end().output.join("\n");
    for (line, count) in [("one", 1), ("two", 1), ("three", 1), ("four", 1), ("second", 0)] {
        assert_eq!(seen.matches(&format!(": {line}")).count(), count, "{line} in {seen}");
    }
    assert!(!seen.contains("my own"), "{seen}");
}

#[test]
fn what_is_no_longer_kept_is_told_as_a_gap() {
    let program = Program::serve(&["rooms=tcp://127.0.0.1:0"]);
    let network = Network::before(program.listeners[0].address());
    let mut alice = start(&[&network.url, "--name", "alice"]);
    alice.printed("* you are alice");
    let mut bob = program.tcp(0);
    says(&mut bob, "first");
    alice.printed(": first");
    network.lose();
    waits_for_alice(&mut bob, false);
    let many: Vec<_> = (2..=300).map(|number| number.to_string()).collect();
    says(&mut bob, &format!("{}\n/ping", many.join("\n")));
    hears(&mut bob, "* pong");
    network.permit();
    alice.printed("* [lobby] lost 43 messages, from 2");
    alice.printed(": 45");
    alice.printed(": 300");
}

#[test]
fn objects_stay_objects_and_a_chosen_format_stays_chosen() {
    let program = Program::serve(&["rooms=tcp://127.0.0.1:0?format=json"]);
    let network = Network::before(program.listeners[0].address());
    let mut alice = start(&[&network.url]);
    alice.printed(r#"{"event":"welcome","name":"guest-1","room":"lobby"}"#);
    alice.types("/format text\n/ping\n");
    alice.printed("* format is text");
    alice.printed("* pong");
    network.lose();
    network.permit();
    alice.logged("-- reconnected as guest-2, in lobby");
    let mut bob = program.tcp(0);
    says(&mut bob, "hi");
    alice.printed("[lobby] guest-3: hi");
    alice.types("/format json\n");
    alice.printed(r#"{"event":"format","format":"json"}"#);
    says(&mut bob, "hi");
    alice.printed(r#""text":"hi"}"#);
}

#[test]
fn a_room_that_takes_no_commands_goes_on_behind_its_last_message() {
    let program = Program::serve(&["rooms=http://127.0.0.1:0", "rooms=tcp://127.0.0.1:0"]);
    let network = Network::before(program.listeners[0].address());
    let mut alice = start(&[&format!("{}/rooms/ops/ws?name=alice", network.url.replace("tcp", "ws"))]);
    let mut bob = program.tcp(1);
    says(&mut bob, "/join ops");
    hears(&mut bob, "* [ops] you joined");
    waits_for_alice(&mut bob, true);
    says(&mut bob, "one");
    alice.printed(r#""text":"one""#);
    network.lose();
    waits_for_alice(&mut bob, false);
    says(&mut bob, "two\n/ping");
    hears(&mut bob, "* pong");
    network.permit();
    alice.printed(r#""text":"two""#);
    alice.types("back\n");
    hears(&mut bob, "[ops] alice: back");
}

#[test]
fn lines_that_wait_are_sent_to_a_server_of_any_kind_and_then_it_ends() {
    let program = Program::serve(&["echo=tcp://127.0.0.1:0"]);
    let network = Network::before(program.listeners[0].address());
    let mut client = start(&[&network.url]);
    client.types("one\n");
    client.printed("echo: one");
    network.lose();
    client.logged("; reconnecting in ");
    client.types("two\nthree");
    client.finish();
    network.permit();
    let end = client.end();
    assert_eq!((end.code, &end.output[..]), (Some(0), &["echo: two".to_owned(), "echo: three".to_owned()][..]));
}

#[test]
fn what_we_end_ourselves_stays_ended_and_what_never_was_is_not_tried_again() {
    let program = Program::serve(&["rooms=tcp://127.0.0.1:0", "rooms=udp://127.0.0.1:0"]);
    let mut client = start(&[&program.listeners[0].url]);
    client.types("/quit\n");
    client.printed("* bye");
    assert_eq!(client.end().code, Some(0));
    let mut client = start(&[&program.listeners[1].url, "--room", "ops"]);
    client.printed("you joined");
    client.types("/quit\n");
    client.printed("* bye");
    assert_eq!(client.end().code, Some(0));
    assert_eq!(start(&[&format!("tcp://{}", nowhere())]).end().code, Some(1));
}

#[test]
fn a_name_that_the_server_takes_for_alive_is_asked_for_and_told() {
    let program = Program::serve(&["rooms=tcp://127.0.0.1:0"]);
    let network = Network::before(program.listeners[0].address());
    let mut alice = start(&[&network.url, "--name", "alice"]);
    alice.printed("* you are alice");
    let mut other = program.tcp(0);
    hears(&mut other, "* you are guest-2");
    network.lose();
    waits_for_alice(&mut other, false);
    says(&mut other, "/name alice");
    hears(&mut other, "* you are alice");
    network.permit();
    alice.logged("-- alice is taken; will ask for it again");
    alice.logged("-- reconnected as guest-3, in lobby");
}

#[test]
fn at_a_terminal_what_is_typed_meanwhile_is_sent_afterwards() {
    let program = Program::serve(&["echo=tcp://127.0.0.1:0"]);
    let network = Network::before(program.listeners[0].address());
    let mut session = Session::start(&[&network.url, "--reconnect"], &[("NO_COLOR", "1")]);
    session.press("one\r");
    session.shows("echo: one");
    network.lose();
    session.shows("; reconnecting in ");
    session.press("two\r");
    session.press("half");
    session.shows("half");
    network.permit();
    session.shows("-- reconnected");
    session.shows("echo: two");
    session.shows("> half");
    session.press("\x15\x04");
    assert_eq!(session.code(), Some(0));
}

#[test]
fn at_a_terminal_a_queue_that_is_full_says_so_and_what_is_left_can_be_given_up() {
    let program = Program::serve(&["echo=tcp://127.0.0.1:0"]);
    let mut session = Session::start(&[&program.listeners[0].url, "--reconnect"], &[("NO_COLOR", "1")]);
    session.shows("-- connected to ");
    program.signal(Signal::SIGKILL);
    session.shows("; reconnecting in ");
    session.press(&"x\r".repeat(1001));
    session.shows("-- not kept: 1000 lines are already waiting for a connection");
    session.prompts();
    session.press("\x04");
    session.shows("-- lines waiting for a connection: 1000; Ctrl-C drops them");
    session.interrupt();
    assert_eq!(session.code(), Some(130));
}
