//! SIGHUP of a server that was started with a file: all of it takes effect, or nothing, and nobody is dropped.

use crate::process::{Place, Program, ask, exchange, until};
use crate::tokens::made;
use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::sys::signal::Signal;
use std::io::{BufRead, BufReader, Read as _, Write as _};
use std::path::Path;
use std::time::{Duration, SystemTime};

const TCP: &str = "listen = [\"echo=tcp://127.0.0.1:0\", \"rooms=tcp://127.0.0.1:0\"]\n";

/// A file, in a name that is replaced as a whole.
struct File(Place);

impl File {
    fn new(test: &str, text: &str) -> Self {
        let file = Self(Place::new(test));
        file.write(text);
        file
    }

    fn write(&self, text: &str) {
        let path: &Path = &self.0;
        let beside = path.with_extension("next");
        std::fs::write(&beside, text).expect("the temporary folder takes a file");
        std::fs::rename(beside, path).expect("it takes the other's place");
    }

    fn serve(&self) -> Program {
        Program::of_file(&self.0, 2)
    }
}

fn reload(program: &mut Program, told: &str) -> String {
    program.signal(Signal::SIGHUP);
    program.logged(told)
}

const REFUSED: &str = "the file was not reloaded, and nothing changed";

#[test]
fn the_same_file_changes_nothing_and_drops_nobody() {
    let file = File::new("same.toml", TCP);
    let mut program = file.serve();
    let mut stream = program.tcp(0);
    ask(&mut stream, b"a\n", b"echo: a\n");
    for _ in 0..3 {
        reload(&mut program, "the file was reloaded: nothing changed");
    }
    file.write(&format!("# A comment moves everything.\n\n{TCP}workers = \"auto\"\n"));
    reload(&mut program, "the file was reloaded: nothing changed");
    ask(&mut stream, b"b\n", b"echo: b\n");
    drop(stream);
    assert_eq!(program.stop().code, Some(0));
}

#[test]
fn rooms_and_the_log_follow_the_file() {
    let rooms = |messages: usize| format!("{TCP}[rooms.\"*\"]\nhistory-messages = {messages}\n");
    let file = File::new("follow.toml", &rooms(2));
    let mut program = file.serve();
    let kept = |program: &Program, sent: &[u8]| {
        let told = exchange(program.tcp(1), &[sent, b"/history 9\n"].concat());
        String::from_utf8_lossy(&told).matches("number").count()
    };
    assert_eq!(kept(&program, b"number 1\nnumber 2\nnumber 3\n"), 2);
    file.write(&format!("log = \"debug\"\n{}", rooms(1)));
    let line = reload(&mut program, "the file was reloaded");
    assert!(line.contains("log") && line.contains("rooms.\\\"*\\\""), "{line}");
    assert_eq!(kept(&program, b""), 1);
    program.logged("connection closed");
    file.write(TCP);
    reload(&mut program, "the file was reloaded");
    assert_eq!(kept(&program, b"number 4\nnumber 5\nnumber 6\n"), 4);
}

#[test]
fn the_grace_period_follows_the_file() {
    let file = File::new("grace.toml", &format!("grace = \"1h\"\n{TCP}"));
    let mut program = file.serve();
    // A peer that reads nothing and does not go.
    let _stream = program.tcp(1);
    file.write(&format!("grace = \"100ms\"\n{TCP}"));
    assert!(reload(&mut program, "the file was reloaded").contains("grace"));
    program.signal(Signal::SIGTERM);
    assert!(program.logged("draining").contains("grace_ms=100"));
    assert_eq!(program.end().code, Some(0));
}

#[test]
fn whose_pages_may_ask_follows_the_file_with_everything_else_or_not_at_all() {
    let text = |origins: &str, workers: &str| {
        let listener = |url: &str| format!("[[listener]]\nurl = \"{url}\"\norigins = [{origins}]\n");
        let (rooms, echo) = (listener("rooms=http://127.0.0.1:0"), listener("echo=ws://127.0.0.1:0"));
        format!("listen = []\nworkers = {workers}\n{rooms}{echo}")
    };
    let file = File::new("origins.toml", &text("\"https://none.example\"", "1"));
    let mut program = file.serve();
    let asks = |program: &Program, origin: &str| {
        let upgrade = "Connection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                       Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==";
        [(0, "/rooms", "Connection: close"), (1, "/", upgrade)].map(|(listener, path, headers)| {
            let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nOrigin: {origin}\r\n{headers}\r\n\r\n");
            let mut stream = program.tcp(listener);
            stream.write_all(request.as_bytes()).expect("it takes it");
            let mut line = String::new();
            BufReader::new(stream).read_line(&mut line).expect("it answers");
            line.split(' ').nth(1).expect("a status").to_owned()
        })
    };
    let (one, other) = ("https://one.example", "https://other.example");
    assert_eq!(asks(&program, one), ["403", "403"]);
    file.write(&text("\"https://one.example\"", "1"));
    let line = reload(&mut program, "the file was reloaded");
    assert!(line.contains("rooms=http://127.0.0.1:0 (origins), echo=ws://127.0.0.1:0 (origins)"), "{line}");
    assert_eq!(asks(&program, one), ["200", "101"]);
    file.write(&text("\"https://other.example\"", "2"));
    assert!(reload(&mut program, REFUSED).contains("needs_restart=\"workers\""));
    assert_eq!(
        (asks(&program, one), asks(&program, other)),
        (["200", "101"].map(str::to_owned), ["403", "403"].map(str::to_owned))
    );
    file.write(&text("\"https://other.example\"", "1"));
    reload(&mut program, "the file was reloaded");
    assert_eq!(
        (asks(&program, one), asks(&program, other)),
        (["403", "403"].map(str::to_owned), ["200", "101"].map(str::to_owned))
    );
}

#[test]
fn how_many_rooms_an_address_makes_follows_the_file_for_those_who_are_connected_too() {
    let text = |share: &str| {
        format!(
            "listen = [\"echo=tcp://127.0.0.1:0\"]\n[[listener]]\nurl = \"rooms=tcp://127.0.0.1:0\"\nnew-rooms = {share}\n"
        )
    };
    let file = File::new("new-rooms.toml", &text("1"));
    let mut program = file.serve();
    let mut reader = BufReader::new(program.tcp(1));
    let mut joins = |rooms: [&str; 2]| {
        let commands = rooms.map(|room| format!("/join {room}\n")).concat();
        reader.get_mut().write_all(format!("{commands}/ping\n").as_bytes()).expect("it takes it");
        told(&mut reader, "* pong").iter().filter(|line| line.contains("you joined")).count()
    };
    assert_eq!(joins(["a", "b"]), 1);
    file.write(&text("\"off\""));
    assert!(reload(&mut program, "the file was reloaded").contains("rooms=tcp://127.0.0.1:0 (new-rooms)"));
    assert_eq!(joins(["c", "d"]), 2);
}

#[test]
fn a_rate_follows_the_file_but_for_datagrams() {
    let text = |rate: &str, datagrams: &str| {
        format!(
            "listen = [\"rooms=udp://127.0.0.1:0?rate={datagrams}\"]\n[[listener]]\nurl = \"rooms=tcp://127.0.0.1:0\"\n\
             rate = {rate}\n[[listener]]\nurl = \"rooms=http://127.0.0.1:0\"\nrate = {rate}\n"
        )
    };
    let file = File::new("rate.toml", &text("\"off\"", "off"));
    let mut program = Program::of_file(&file.0, 3);
    let posts = |program: &Program| {
        let posted = (0..3).map(|_| {
            let request =
                "POST /rooms/lobby HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nConnection: close\r\n\r\nx";
            let told = exchange(program.tcp(2), request.as_bytes());
            String::from_utf8_lossy(&told).split(' ').nth(1).expect("a status").to_owned()
        });
        posted.filter(|status| status == "429").count()
    };
    assert_eq!(posts(&program), 0);
    file.write(&text("1", "off"));
    assert!(reload(&mut program, "the file was reloaded").contains("rooms=tcp://127.0.0.1:0 (rate)"));
    assert!(posts(&program) > 0);
    file.write(&text("\"off\"", "off"));
    reload(&mut program, "the file was reloaded");
    assert_eq!(posts(&program), 0);
    file.write(&text("\"off\"", "7"));
    assert!(reload(&mut program, REFUSED).contains("rooms=udp://127.0.0.1:0 (rate)"));
}

#[test]
fn a_room_is_bounded_as_the_file_says_and_follows_it() {
    let bounded = |bounds: &str| format!("{TCP}[rooms.lobby]\n{bounds}\n");
    let file = File::new("bounded.toml", &bounded("members = 1\nframe = 3\nrate = 2"));
    let mut program = file.serve();
    let told = |program: &Program, sent: &[u8]| String::from_utf8(exchange(program.tcp(1), sent)).expect("text");
    let mut first = program.tcp(1);
    ask(&mut first, b"", b"* you are guest-1 in lobby; /help lists the commands\n");
    ask(&mut first, b"1\n2\n3\n", b"! rate-limited: more is published here than the room takes\n");
    ask(&mut first, b"four\n", b"! frame-too-long: longer than the 3 bytes that this room takes\n");
    assert!(told(&program, b"/join lobby\n").contains("! room-full: the room is full: it takes 1 member"));
    file.write(&bounded("members = 2\npresence = \"off\""));
    reload(&mut program, "the file was reloaded");
    assert!(!told(&program, b"/join lobby\nfour\n").contains('!'));
    ask(&mut first, b"", b"[lobby] guest-3: four\n");
}

#[test]
fn a_file_that_is_wrong_changes_nothing_of_what_is_right_in_it() {
    let file = File::new("wrong.toml", TCP);
    let mut program = file.serve();
    file.write(&format!("{TCP}log = \"debug\"\nwrokers = 1\n[rooms.lobby]\nhistory-messages = \"x\"\n"));
    let line = reload(&mut program, REFUSED);
    assert!(line.contains("ERROR") && line.contains(":3:1: unknown key") && line.contains("did you mean"), "{line}");
    assert!(program.logged(REFUSED).contains(":5:20: "));
    std::fs::remove_file(&file.0 as &Path).expect("it was there");
    assert!(reload(&mut program, REFUSED).contains("No such file"));
    file.write(TCP);
    // Nor of what was asked for meanwhile.
    reload(&mut program, "the file was reloaded: nothing changed");
}

#[test]
fn what_needs_a_restart_is_named_and_nothing_else_is_done() {
    let file = File::new("restart.toml", TCP);
    let mut program = file.serve();
    let echo = "listen = [\"echo=tcp://127.0.0.1:0\"]\n";
    let table = "[[listener]]\nurl = \"rooms=tcp://127.0.0.1:0\"\n";
    for (text, named) in [
        (format!("log = \"debug\"\nworkers = 1\n{TCP}"), "workers"),
        (echo.to_owned(), "rooms=tcp://127.0.0.1:0 (removed)"),
        (format!("{TCP}{table}"), "rooms=tcp://127.0.0.1:0 (added)"),
        (format!("{echo}{table}commands = \"off\"\n"), "rooms=tcp://127.0.0.1:0 (commands)"),
    ] {
        file.write(&text);
        let line = reload(&mut program, REFUSED);
        assert!(line.contains("needs_restart") && line.contains(named), "{line}");
    }
    // The same listener in the other form.
    file.write(&format!("{echo}{table}"));
    reload(&mut program, "the file was reloaded: nothing changed");
}

/// It may have been started by hand, for good.
#[test]
fn a_terminal_that_hangs_up_stops_none_that_has_a_file() {
    let file = File::new("terminal.toml", TCP);
    let terminal = nix::pty::openpty(None, None).expect("a terminal");
    // Or the program would hold its own terminal open.
    fcntl(&terminal.master, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC)).expect("it can be set");
    let mut command = std::process::Command::new("setsid");
    command.args(["--ctty", env!("CARGO_BIN_EXE_switchboard"), "serve", "--config"]).arg(&file.0 as &Path);
    command.stdin(terminal.slave).stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    let mut program = Program::listening(command, 2);
    drop(terminal.master);
    program.logged("the file was reloaded: nothing changed");
    ask(&mut program.tcp(0), b"a\n", b"echo: a\n");
    assert_eq!(program.stop().code, Some(0));
}

#[test]
fn a_file_that_is_replaced_in_a_storm_of_signals_is_read_whole() {
    let text = |rooms: usize| {
        let sections: Vec<_> =
            (0..rooms).map(|room| format!("[rooms.r{room}]\nhistory-messages = {rooms}\n")).collect();
        format!("{TCP}{}", sections.concat())
    };
    let file = File::new("storm.toml", &text(1));
    let program = file.serve();
    let mut stream = program.tcp(0);
    for round in 0..200 {
        file.write(&text(1 + round % 50));
        program.signal(Signal::SIGHUP);
    }
    file.write(&format!("{}[rooms.last]\nkept = true\n", text(1)));
    program.signal(Signal::SIGHUP);
    until(|| String::from_utf8_lossy(&exchange(program.tcp(1), b"/rooms\n")).contains("last"));
    ask(&mut stream, b"a\n", b"echo: a\n");
    let end = program.stop();
    assert_eq!(end.code, Some(0));
    assert!(!end.log.iter().any(|line| line.contains(REFUSED)), "{:?}", end.log);
}

/// What has come until `last`.
fn told(reader: &mut impl BufRead, last: &str) -> Vec<String> {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        assert!(reader.read_line(&mut line).expect("it goes on") > 0, "it ended after {lines:?}");
        let is_last = line.trim_end().ends_with(last);
        lines.push(line.trim_end().to_owned());
        if is_last {
            return lines;
        }
    }
}

#[test]
fn a_reload_under_traffic_takes_from_whom_it_has_to_and_touches_nobody_else() {
    let tokens = ["alice", "bob", "carol"].map(made);
    let text = |some: &[(&str, usize, &str)]| {
        let token = |(name, number, rights): &(&str, usize, &str)| {
            format!("[tokens.{name}]\n{}\nrooms = {{ \"r\" = [{rights}] }}\n", tokens[*number].1)
        };
        let tokens: Vec<_> = some.iter().map(token).collect();
        format!("{TCP}{}[rooms.r]\npresence = \"off\"\n", tokens.concat())
    };
    let all = [("alice", 0, "\"all\""), ("bob", 1, "\"all\""), ("carol", 2, "\"all\"")];
    let file = File::new("traffic.toml", &text(&all));
    let mut program = file.serve();
    let connect = |program: &Program, number: usize| {
        let mut stream = program.tcp(1);
        stream.write_all(format!("/auth {}\n/join r\n/ping\n", tokens[number].0).as_bytes()).expect("it takes it");
        let mut reader = BufReader::new(stream);
        told(&mut reader, "* pong");
        reader
    };
    let mut alice: Vec<_> = (0..40).map(|_| connect(&program, 0)).collect();
    let mut bob: Vec<_> = (0..20).map(|_| connect(&program, 1)).collect();
    let mut carol = connect(&program, 2);
    // The same file again and again, while messages pass: nobody loses one, and nobody is told of anything else.
    let mut publisher = alice.pop().expect("there are some");
    for number in 0..60 {
        publisher.get_mut().write_all(format!("number {number}.\n").as_bytes()).expect("it takes it");
        if number % 20 == 10 {
            reload(&mut program, "the file was reloaded: nothing changed");
        }
    }
    for reader in alice.iter_mut().chain(&mut bob).chain([&mut carol]) {
        let told = told(reader, "number 59.");
        assert_eq!(told.len(), 60, "{told:?}");
        assert!(
            told.iter().enumerate().all(|(number, line)| line.ends_with(&format!(": number {number}."))),
            "{told:?}"
        );
    }
    // Bob's token goes, and carol may not be in the room any more.
    file.write(&text(&[all[0], ("carol", 2, "")]));
    let began = SystemTime::now();
    reload(&mut program, "the file was reloaded");
    for mut reader in bob {
        let mut rest = String::new();
        reader.read_to_string(&mut rest).expect("it is closed politely");
        assert!(rest.ends_with("* closed: revoked\n"), "{rest}");
    }
    let took = began.elapsed().expect("the clock of the day goes on");
    assert!(took < Duration::from_secs(1), "{took:?}");
    assert!(told(&mut carol, "not allowed").contains(&"* [r] you were removed: not allowed".to_owned()));
    carol.get_mut().write_all(b"/pub r x\n").expect("it takes it");
    let refused = told(&mut carol, "");
    assert!(refused[0].starts_with("! not-"), "{refused:?}");
    publisher.get_mut().write_all(b"the last.\n").expect("it takes it");
    for reader in &mut alice {
        // Bob's connections may have lost their names before they ended.
        let told = told(reader, "the last.");
        assert!(told.iter().all(|line| line.ends_with("the last.") || line.contains(" is now ")), "{told:?}");
    }
    assert_eq!(program.stop().code, Some(0));
}
