//! Echo over UDP, and servers aimed at each other (CVE-2024-2169).

use crate::process::Program;
use std::cell::Cell;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, UdpSocket};
use std::time::Duration;

const UDP: &str = "echo=udp://127.0.0.1:0";

fn ask(socket: &UdpSocket, payload: &[u8]) -> Vec<u8> {
    socket.send(payload).expect("it is sent");
    let mut buffer = vec![0; 65536];
    let length = socket.recv(&mut buffer).expect("it is answered");
    buffer.truncate(length);
    buffer
}

#[test]
fn each_datagram_is_answered() {
    for workers in ["1", "4"] {
        let program = Program::serve(&[UDP, "--workers", workers]);
        assert_eq!(ask(&program.udp(0), b"hi\n"), b"received: hi\n");
        assert_eq!(ask(&program.udp(0), b"\xff\x00"), b"received: \xff\x00");
        assert_eq!(ask(&program.udp(0), b""), b"received: ");
        assert_eq!(program.stop().code, Some(0));
    }
}

#[test]
fn ipv6_is_spoken() {
    let program = Program::serve(&["echo=udp://[::1]:0"]);
    let port = program.listeners[0].address().port();
    assert_eq!(program.listeners[0].command, format!("nc -u ::1 {port}"));
    assert_eq!(ask(&program.udp(0), b"hi"), b"received: hi");
}

#[test]
fn the_prefix_can_be_changed() {
    let program = Program::serve(&[&format!("{UDP}?prefix=got%20"), &format!("{UDP}?prefix=")]);
    assert_eq!(ask(&program.udp(0), b"hi"), b"got hi");
    assert_eq!(ask(&program.udp(1), b"hi"), b"hi");
    assert_eq!(ask(&program.udp(1), b""), b"");
}

#[test]
fn a_datagram_above_the_limit_is_not_answered() {
    let program = Program::serve(&[UDP, "--max-frame", "4", "--workers", "1"]);
    let relay = Relay::new(&program);
    assert_eq!(relay.answer(0, b"1234").expect("it is answered"), b"received: 1234");
    assert_eq!(relay.answer(0, b"12345"), None);
}

#[test]
fn servers_with_the_same_prefix_fall_silent_at_once() {
    let program = Program::serve(&[UDP, UDP, "--workers", "1"]);
    assert_eq!(Relay::new(&program).exchanges(b"hi"), 1);
}

#[test]
fn servers_without_a_prefix_fall_silent_at_their_limit() {
    let plain = format!("{UDP}?prefix=");
    let program = Program::serve(&[&plain, &plain, "--workers", "1"]);
    let exchanges = Relay::new(&program).exchanges(b"hi");
    // 100 answers at once from each, 10 a second while the test takes its time, and a few less where an address that the
    // relay asks from shares the bucket.
    assert!((150..1000).contains(&exchanges), "{exchanges} exchanges");
}

#[test]
fn servers_with_any_prefixes_fall_silent() {
    // Short and long, one within the other, and bytes that are no text: two of them, or more in a circle.
    let long = "b".to_owned() + &"a".repeat(100);
    let circles: [&[&str]; 10] = [
        &["a", "b"],
        &["a", "banana"],
        &["aa", "ba"],
        &["a", &long],
        &["got%20", "heard%20"],
        &["received:%20", "a"],
        &["%ff", "%00%ff"],
        &["a", "b", "c"],
        &["received:%20", "", "got%20"],
        &["one%20", "two%20", "three%20", "four%20"],
    ];
    for circle in circles {
        let listeners: Vec<_> = circle.iter().map(|prefix| format!("{UDP}?prefix={prefix}")).collect();
        let listeners: Vec<_> = listeners.iter().map(String::as_str).chain(["--workers", "1"]).collect();
        let exchanges = Relay::new(&Program::serve(&listeners)).exchanges(b"?");
        // As many as it takes until what they say begins alike, and ten from each.
        assert!(exchanges <= 100, "{exchanges} exchanges in {circle:?}");
    }
}

#[test]
fn a_server_with_a_prefix_silences_one_without() {
    let program = Program::serve(&[UDP, &format!("{UDP}?prefix="), "--workers", "1"]);
    assert_eq!(Relay::new(&program).exchanges(b"hi"), 2);
}

/// Stands between two listeners and hands what one answers to the other, as a forged source would make them do.
struct Relay<'a> {
    program: &'a Program,
    sockets: Vec<UdpSocket>,
    /// The next address that has not asked yet.
    elsewhere: Cell<u32>,
}

impl<'a> Relay<'a> {
    fn new(program: &'a Program) -> Self {
        let sockets = (0..program.listeners.len()).map(|listener| program.udp(listener)).collect();
        Self { program, sockets, elsewhere: Cell::new(Ipv4Addr::new(127, 1, 0, 1).to_bits()) }
    }

    /// Starts with `payload`, and counts the answers until none comes.
    fn exchanges(&self, payload: &[u8]) -> usize {
        let mut payload = payload.to_vec();
        for count in 0..10_000 {
            match self.answer(count % self.sockets.len(), &payload) {
                Some(answer) => payload = answer,
                None => return count,
            }
        }
        panic!("they never fall silent");
    }

    /// The answer to one datagram, if there is any.
    ///
    /// That there is none is known, and not guessed from time passing: one worker answers in the order of arrival, so
    /// once a question that came later is answered, this one will not be.
    fn answer(&self, listener: usize, payload: &[u8]) -> Option<Vec<u8>> {
        let socket = &self.sockets[listener];
        socket.send(payload).expect("it is sent");
        self.ask_from_elsewhere(listener);
        let mut buffer = vec![0; 65536];
        socket.set_nonblocking(true).expect("a socket");
        let received = socket.recv(&mut buffer);
        socket.set_nonblocking(false).expect("a socket");
        match received {
            Ok(length) => {
                buffer.truncate(length);
                Some(buffer)
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => None,
            Err(error) => panic!("{error}"),
        }
    }

    /// Asks from addresses that have not asked yet, until one is answered.
    fn ask_from_elsewhere(&self, listener: usize) {
        let target = self.program.listeners[listener].address();
        // A few, since an address may share its bucket with a silenced one.
        for _ in 0..10 {
            let number = self.elsewhere.get();
            self.elsewhere.set(number + 1);
            // All of 127/8 is this machine.
            let socket = UdpSocket::bind((Ipv4Addr::from_bits(number), 0)).expect("a port is free");
            socket.set_read_timeout(Some(Duration::from_secs(1))).expect("a timeout can be set");
            socket.send_to(b"?", target).expect("it is sent");
            if socket.recv(&mut [0; 64]).is_ok() {
                return;
            }
        }
        panic!("nobody is answered");
    }
}
