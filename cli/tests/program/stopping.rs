//! Signals, drain, and the end.

use crate::process::{End, PATIENCE, Place, Program, ask, until};
use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::sys::signal::Signal;
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;

const TCP: &str = "echo=tcp://127.0.0.1:0";

#[test]
fn each_signal_drains_and_exits_0() {
    for (signal, name) in [(Signal::SIGINT, "SIGINT"), (Signal::SIGTERM, "SIGTERM")] {
        for workers in ["1", "4"] {
            let mut program = Program::serve(&[TCP, "--workers", workers, "--grace", "20s"]);
            let mut stream = program.tcp(0);
            ask(&mut stream, b"hi\n", b"echo: hi\n");
            program.signal(signal);
            let line = program.logged("draining");
            assert!(line.contains(name) && line.contains("grace_ms=20000") && line.contains("connections=1"), "{line}");
            assert_eq!(stream.read(&mut [0; 1]).expect("it is closed in order"), 0);
            drop(stream);
            let end = program.end();
            assert_eq!(end.code, Some(0));
            let last = end.log.last().expect("it says how it went");
            assert!(last.contains("drained finished=1 aborted=0 "), "{last}");
        }
    }
}

/// A unit's `ExecReload` must be no outage where there are no certificates.
#[test]
fn a_hangup_with_nothing_to_reload_stops_nothing() {
    let mut program = Program::serve(&[TCP]);
    program.signal(Signal::SIGHUP);
    program.logged("nothing to reload");
    ask(&mut program.tcp(0), b"hi\n", b"echo: hi\n");
    assert_eq!(program.stop().code, Some(0));
}

#[test]
fn a_terminal_that_hangs_up_drains() {
    let terminal = nix::pty::openpty(None, None).expect("a terminal");
    // Or the program would hold its own terminal open.
    fcntl(&terminal.master, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC)).expect("it can be set");
    let mut command = std::process::Command::new("setsid");
    command.args(["--ctty", env!("CARGO_BIN_EXE_switchboard"), "serve", TCP]).stdin(terminal.slave);
    command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    let mut program = Program::listening(command, 1);
    ask(&mut program.tcp(0), b"hi\n", b"echo: hi\n");
    program.signal(Signal::SIGHUP);
    program.logged("nothing to reload");
    drop(terminal.master);
    assert!(program.logged("draining").contains("SIGHUP"));
    assert_eq!(program.end().code, Some(0));
}

#[test]
fn a_hangup_stays_ignored_under_nohup() {
    let mut shell = std::process::Command::new("/bin/sh");
    let binary = env!("CARGO_BIN_EXE_switchboard");
    shell.args(["-c", "trap '' HUP; exec \"$@\"", "sh", binary, "serve", TCP]);
    shell.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    let mut program = Program::listening(shell, 1);
    program.signal(Signal::SIGHUP);
    ask(&mut program.tcp(0), b"hi\n", b"echo: hi\n");
    program.signal(Signal::SIGTERM);
    assert!(program.logged("draining").contains("SIGTERM"));
}

/// A server with a connection whose peer has sent much and reads nothing, so that it cannot finish.
fn stuck(test: &str, arguments: &[&str]) -> (Program, UnixStream, Place) {
    let socket = Place::new(test);
    let program = Program::serve(&[&[&*socket.echo(), "--write-timeout", "off"], arguments].concat());
    let mut stream = UnixStream::connect(&*socket).expect("it accepts");
    stream.set_write_timeout(Some(PATIENCE)).expect("a timeout can be set");
    // The kernel holds about 200 KiB each way: once all this is taken, more than that waits for the peer to read.
    let line = [b"x".repeat(1023), b"\n".to_vec()].concat();
    stream.write_all(&line.repeat(1024)).expect("it is taken");
    (program, stream, socket)
}

/// The write timeout is off and the peer does not read, so nothing but an abort can have ended it.
fn assert_ended_early(end: &End) {
    let last = end.log.last().expect("it says how it went");
    // The handler had finished or not; what is queued is lost either way.
    let expected = ["drained finished=0 aborted=1 ", "drained finished=1 aborted=0 "];
    assert!(expected.iter().any(|part| last.contains(part)), "{last}");
}

#[test]
fn the_second_signal_ends_it_now() {
    for (first, second) in [(Signal::SIGINT, Signal::SIGTERM), (Signal::SIGTERM, Signal::SIGINT)] {
        let (mut program, _peer, _) = stuck("second.sock", &["--grace", "1h"]);
        program.signal(first);
        program.logged("draining");
        program.signal(second);
        program.logged("second signal");
        let end = program.end();
        assert_eq!(end.code, Some(0));
        assert_ended_early(&end);
    }
}

#[test]
fn the_grace_period_ends_it() {
    let (program, _peer, socket) = stuck("grace.sock", &["--grace", "100ms"]);
    let end = program.stop();
    assert_eq!(end.code, Some(0));
    assert_ended_early(&end);
    assert!(!socket.exists());
}

#[test]
fn nobody_is_accepted_while_it_drains() {
    let (mut program, _peer, socket) = stuck("refused.sock", &[]);
    program.signal(Signal::SIGTERM);
    program.logged("draining");
    // The listener is closed a moment after the line; then its socket is gone.
    until(|| UnixStream::connect(&*socket).is_err());
    program.signal(Signal::SIGINT);
    assert_eq!(program.end().code, Some(0));
}
