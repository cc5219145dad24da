//! What the log shows, and that nobody waits for it.

use crate::process::{PATIENCE, Program, ask, command, exchange, joined};
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

const BOTH: [&str; 2] = ["echo=tcp://127.0.0.1:0", "echo=udp://127.0.0.1:0"];

/// Serves, sends a line and a datagram, stops. Says what was logged and the peers' addresses.
fn logged(arguments: &[&str], variables: &[(&str, &str)]) -> (Vec<String>, SocketAddr, SocketAddr) {
    let mut command = command(&[&["serve"], &BOTH[..], arguments].concat());
    command.envs(variables.iter().copied());
    let program = Program::listening(command, 2);
    let stream = program.tcp(0);
    let peer = stream.local_addr().expect("it is connected");
    assert_eq!(exchange(stream, b"h\xc3\xa9llo\x1b\n"), b"echo: h\xc3\xa9llo\x1b\n");
    let socket = program.udp(1);
    socket.send(b"hi\n").expect("it is sent");
    socket.recv(&mut [0; 64]).expect("it is answered");
    let source = socket.local_addr().expect("it is bound");
    (program.stop().log, peer, source)
}

fn count(log: &[String], part: &str) -> usize {
    log.iter().filter(|line| line.contains(part)).count()
}

#[test]
fn by_default_it_tells_of_its_own_life_only() {
    let (log, ..) = logged(&[], &[]);
    assert_eq!(log.len(), 3, "{log:?}");
    assert!(log[0].contains(&format!("INFO serving version=\"{}", env!("CARGO_PKG_VERSION"))), "{log:?}");
    assert!(
        log[0].contains("listeners=\"echo=tcp://127.0.0.1:") && log[0].contains(" echo=udp://127.0.0.1:"),
        "{log:?}"
    );
    assert!(log[1].contains("INFO draining") && log[1].contains("a second signal ends it now"), "{log:?}");
    assert!(log[1].contains("signal=\"SIGTERM\"") && log[1].contains("grace_ms=30000"), "{log:?}");
    // The connection may still have been closing when the drain began.
    assert!(log[2].contains("INFO drained finished=") && log[2].contains(" aborted=0 elapsed_ms="), "{log:?}");
}

#[test]
fn quiet_is_silent_while_nothing_is_wrong() {
    assert_eq!(logged(&["-q"], &[]).0, [""; 0]);
}

#[test]
fn verbose_tells_who_comes_and_goes_and_why() {
    let (log, peer, _) = logged(&["-v"], &[]);
    let opened = log.iter().find(|line| line.contains("connection opened")).expect("it is logged");
    assert!(opened.contains("DEBUG") && opened.contains(&format!("peer.addr={peer}")), "{opened}");
    let closed = log.iter().find(|line| line.contains("connection closed")).expect("it is logged");
    for field in [&format!("peer.addr={peer}"), "close.reason=peer-closed", "age_us=", "bytes_in=8", "bytes_out=14"] {
        assert!(closed.contains(field), "{field} is missing in {closed}");
    }
    assert_eq!(count(&log, "Received from"), 0, "{log:?}");
}

#[test]
fn very_verbose_shows_each_frame_with_its_sender_escaped() {
    let (log, peer, source) = logged(&["-vv"], &[]);
    let frame = format!("TRACE Received from {peer}: h\u{e9}llo\\u{{1b}}");
    assert_eq!(log.iter().filter(|line| line.ends_with(&frame)).count(), 1, "{log:?}");
    let datagram = format!("TRACE Received from {source}: hi\\n");
    assert_eq!(log.iter().filter(|line| line.ends_with(&datagram)).count(), 1, "{log:?}");
}

#[test]
fn a_filter_comes_from_the_environment() {
    let (log, ..) = logged(&[], &[("SWITCHBOARD_LOG", "off,switchboard_program::services=trace")]);
    assert!(log.len() == 1 && log[0].contains("Received from"), "{log:?}");
    let (log, ..) = logged(&["-q"], &[("SWITCHBOARD_LOG", "debug")]);
    assert_eq!(log, [""; 0]);
}

#[test]
fn json_is_an_object_a_line() {
    for (arguments, variables) in
        [(&["-v", "--log-format", "json"][..], &[][..]), (&["-v"], &[("SWITCHBOARD_LOG_FORMAT", "json")])]
    {
        let (log, peer, _) = logged(arguments, variables);
        assert!(log.iter().all(|line| line.starts_with('{') && line.ends_with('}')), "{log:?}");
        let closed = log.iter().find(|line| line.contains("\"message\":\"connection closed\"")).expect("it is logged");
        for field in [
            &format!("\"peer.addr\":\"{peer}\""),
            "\"level\":\"DEBUG\"",
            "\"conn.id\":1,",
            "\"bytes_in\":8",
            "\"timestamp\":",
        ] {
            assert!(closed.contains(field), "{field} is missing in {closed}");
        }
    }
}

#[test]
fn colours_are_for_terminals_that_want_them() {
    let (log, ..) = logged(&["-v"], &[]);
    assert_eq!(count(&log, "\u{1b}"), 0, "{log:?}");
    for (variables, coloured) in [(&[][..], true), (&[("NO_COLOR", "1")], false)] {
        let terminal = nix::pty::openpty(None, None).expect("a terminal");
        let mut command = command(&["serve", BOTH[0]]);
        command.stderr(terminal.slave).envs(variables.iter().copied());
        let program = Program::listening(command, 1);
        assert_eq!(program.stop().code, Some(0));
        let shown = joined(std::thread::spawn(move || {
            let mut shown = Vec::new();
            // A terminal that nobody writes to any more has no end, but an error (EIO).
            let _ = std::fs::File::from(terminal.master).read_to_end(&mut shown);
            String::from_utf8_lossy(&shown).into_owned()
        }));
        assert!(shown.contains("draining"), "{shown}");
        assert_eq!(shown.contains('\u{1b}'), coloured, "{shown}");
    }
}

/// Sends lines that fill the log's buffers many times, and receives every answer.
fn flood(mut stream: TcpStream) {
    let line = [b"x".repeat(999), b"\n".to_vec()].concat();
    let mut answers = vec![0; 100 * (6 + line.len())];
    for _ in 0..50 {
        stream.write_all(&line.repeat(100)).expect("it takes lines");
        stream.read_exact(&mut answers).expect("it answers");
    }
}

#[test]
fn a_log_that_nobody_reads_holds_up_nobody() {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    let mut command = command(&["serve", BOTH[0], "-vv"]);
    command.stderr(writer);
    let program = Program::listening(command, 1);
    flood(program.tcp(0));
    ask(&mut program.tcp(0), b"still here\n", b"echo: still here\n");
    assert_eq!(program.stop().code, Some(0));
    drop(reader);
}

#[test]
fn lines_that_were_lost_are_counted_in_the_form_of_the_others() {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    let mut command = command(&["serve", BOTH[0], "-vv", "--log-format", "json"]);
    command.stderr(writer);
    let program = Program::listening(command, 1);
    flood(program.tcp(0));
    let (sender, log) = std::sync::mpsc::channel();
    std::thread::spawn(move || sender.send(std::io::read_to_string(reader)));
    assert_eq!(program.stop().code, Some(0));
    let log = log.recv_timeout(PATIENCE).expect("it ends").expect("it is UTF-8");
    let lines: Vec<serde_json::Value> =
        log.lines().map(|line| serde_json::from_str(line).expect("each line is an object")).collect();
    let lost: u64 = lines.iter().filter_map(|line| line["lost"].as_u64()).sum();
    assert!((1000..5000).contains(&lost), "{lost}");
    let frames = lines.iter().filter(|line| line["level"] == "TRACE").count() as u64;
    assert!(frames <= 5000 && frames + lost >= 5000, "{frames} and {lost}");
}

/// A Unix client may bind any path, and a balancer connects and resets all day.
#[test]
fn a_peer_neither_forges_a_line_nor_drives_a_terminal_by_its_path() {
    let place = crate::process::Place::new("forging");
    std::fs::create_dir_all(&*place).expect("a folder");
    let (socket, path) = (place.join("s"), place.join("a\n2026 ERROR forged\u{1b}]0;x\u{7}\u{202e}"));
    for format in ["text", "json"] {
        let mut program = Program::serve(&[&format!("echo=unix://{}", socket.display()), "-v", "--log-format", format]);
        let client = socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None).expect("a socket");
        client.bind(&socket2::SockAddr::unix(&path).expect("a path")).expect("it is free");
        client.connect(&socket2::SockAddr::unix(&socket).expect("a path")).expect("it accepts");
        drop(client);
        std::fs::remove_file(&path).expect("it was bound");
        let line = program.logged("forged");
        let log = [vec![line], program.stop().log].concat();
        assert!(log.iter().all(|line| !line.contains(['\u{1b}', '\u{7}', '\u{202e}'])), "{log:?}");
        assert!(log.iter().all(|line| line.starts_with("20") || line.starts_with("{\"timestamp")), "{log:?}");
        assert!(log.iter().all(|line| !line.starts_with("2026 ERROR")), "{log:?}");
    }
    std::fs::remove_dir_all(&*place).expect("it is empty");
}

#[test]
fn whoever_connects_and_resets_is_not_worth_a_line() {
    let mut program = Program::serve(&[BOTH[0]]);
    let probe = program.tcp(0);
    socket2::SockRef::from(&probe).set_linger(Some(std::time::Duration::ZERO)).expect("it resets");
    drop(probe);
    let mut talker = program.tcp(0);
    ask(&mut talker, b"hi\n", b"echo: hi\n");
    socket2::SockRef::from(&talker).set_linger(Some(std::time::Duration::ZERO)).expect("it resets");
    drop(talker);
    let line = program.logged("connection closed");
    assert!(line.contains("close.reason=peer-reset") && line.contains("bytes_in=3"), "{line}");
}
