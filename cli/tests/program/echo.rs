//! Echo over streams.

use crate::process::{PATIENCE, Place, Program, ask, exchange};
use std::io::Read as _;
use std::os::unix::net::UnixStream;

const TCP: &str = "echo=tcp://127.0.0.1:0";

#[test]
fn each_line_is_answered_with_the_terminator_it_came_with() {
    for workers in ["1", "4"] {
        let program = Program::serve(&[TCP, "--workers", workers]);
        assert_eq!(exchange(program.tcp(0), b"hi\n"), b"echo: hi\n");
        assert_eq!(exchange(program.tcp(0), b"hi\r\nyou\n\n"), b"echo: hi\r\necho: you\necho: \n");
        assert_eq!(program.stop().code, Some(0));
    }
}

#[test]
fn a_last_line_without_terminator_is_answered_without_one() {
    let program = Program::serve(&[TCP]);
    assert_eq!(exchange(program.tcp(0), b"one\ntwo"), b"echo: one\necho: two");
    assert_eq!(exchange(program.tcp(0), b""), b"");
}

#[test]
fn bytes_that_are_not_utf8_come_back_unharmed() {
    let program = Program::serve(&[TCP]);
    assert_eq!(exchange(program.tcp(0), b"\xff\x00\xc3\x28\r\r\n"), b"echo: \xff\x00\xc3\x28\r\r\n");
}

#[test]
fn a_line_is_answered_while_the_connection_stays_open() {
    let program = Program::serve(&[TCP]);
    let mut stream = program.tcp(0);
    ask(&mut stream, b"one\n", b"echo: one\n");
    ask(&mut stream, b"two\n", b"echo: two\n");
}

#[test]
fn many_connections_at_once_are_all_answered() {
    for workers in ["1", "4"] {
        let program = Program::serve(&[TCP, "--workers", workers]);
        let mut streams: Vec<_> = (0..50).map(|_| program.tcp(0)).collect();
        for (number, stream) in streams.iter_mut().enumerate() {
            ask(stream, format!("{number}\n").as_bytes(), format!("echo: {number}\n").as_bytes());
        }
    }
}

#[test]
fn the_prefix_can_be_changed() {
    let program = Program::serve(&[&format!("{TCP}?prefix=%3e%20%ff"), &format!("{TCP}?prefix=")]);
    assert_eq!(exchange(program.tcp(0), b"hi\n"), b"> \xffhi\n");
    assert_eq!(exchange(program.tcp(1), b"hi\r\nyou"), b"hi\r\nyou");
}

#[test]
fn a_unix_socket_is_a_transport_and_is_removed_at_the_end() {
    let socket = Place::new("echo.sock");
    let program = Program::serve(&[&socket.echo()]);
    assert_eq!(program.listeners[0].url, format!("unix://{socket}"));
    assert_eq!(program.listeners[0].command, format!("nc -U {socket}"));
    let stream = UnixStream::connect(&*socket).expect("it accepts");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout can be set");
    assert_eq!(exchange(stream, b"hi\nyou"), b"echo: hi\necho: you");
    program.stop();
    assert!(!socket.exists());
}

#[test]
fn ipv6_is_spoken() {
    let program = Program::serve(&["echo=tcp://[::1]:0"]);
    let port = program.listeners[0].address().port();
    assert_eq!(program.listeners[0].url, format!("tcp://[::1]:{port}"));
    assert_eq!(program.listeners[0].command, format!("nc ::1 {port}"));
    assert_eq!(exchange(program.tcp(0), b"hi\n"), b"echo: hi\n");
}

#[test]
fn a_silent_connection_is_closed_after_its_idle_time() {
    let mut program = Program::serve(&[&format!("{TCP}?idle=1s"), "-v"]);
    let mut stream = program.tcp(0);
    assert_eq!(stream.read(&mut [0; 1]).expect("it is closed in order"), 0);
    assert!(program.logged("connection closed").contains("close.reason=idle"));
}

#[test]
fn a_line_above_the_limit_ends_its_connection_and_no_other() {
    let mut program = Program::serve(&[TCP, "--max-frame", "16"]);
    let mut other = program.tcp(0);
    assert_eq!(exchange(program.tcp(0), b"0123456789abcdef\n"), b"echo: 0123456789abcdef\n");
    assert_eq!(exchange(program.tcp(0), b"hi\n0123456789abcdefg\nyou\n"), b"echo: hi\n");
    program.logged("close.reason=frame-too-long");
    ask(&mut other, b"still here\n", b"echo: still here\n");
}
