//! What operators do to a server that runs, by `switchboard admin`, and what those who are there notice.

use crate::http::{asked, asked_at};
use crate::operating;
use crate::process::{End, Place, Program, ask, command, until};
use crate::tokens::made;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;

/// A server with an admin socket, and a file and folders that are gone at the end.
struct Served {
    program: Program,
    socket: Place,
    audit: Place,
    state: Place,
    listen: &'static str,
}

impl Served {
    fn start(test: &str, listen: &'static str) -> Self {
        let socket = Place::new(&format!("{test}.sock"));
        let (audit, state) = (Place::new(&format!("{test}.jsonl")), Place::folder(&format!("{test}.state")));
        let program = start(&socket, &audit, &state, listen);
        Self { program, socket, audit, state, listen }
    }

    fn restart(self) -> Self {
        let Self { program, socket, audit, state, listen } = self;
        assert_eq!(program.stop().code, Some(0));
        let program = start(&socket, &audit, &state, listen);
        Self { program, socket, audit, state, listen }
    }

    fn admin(&self, arguments: &[&str]) -> End {
        operating::admin(&self.socket, arguments)
    }

    /// What it prints if all is well.
    #[track_caller]
    fn done(&self, arguments: &[&str]) -> String {
        operating::done(self.admin(arguments))
    }

    /// What it says if not.
    #[track_caller]
    fn refused(&self, arguments: &[&str]) -> String {
        operating::refused(&self.admin(arguments)).to_owned()
    }

    /// What the audit tells of what operators did: actions with their arguments.
    fn acts(&self) -> Vec<String> {
        operating::acts(&self.audit)
    }

    /// Comes from an address of this machine.
    fn come_from(&self, address: [u8; 4]) -> TcpStream {
        self.program.tcp_from(address, 1)
    }

    fn is_let_in(&self, address: [u8; 4]) -> bool {
        let mut stream = self.come_from(address);
        let _ = stream.write_all(b"x\n");
        stream.read(&mut [0; 16]).is_ok_and(|count| count > 0)
    }
}

fn start(socket: &Place, audit: &Place, state: &Place, listen: &str) -> Program {
    let (admin, audit, state) = (format!("admin=unix://{socket}"), audit.to_string(), state.to_string());
    let arguments = ["serve", &admin, listen, "--audit", &audit, "--state-directory", &state];
    Program::listening(command(&arguments), 2)
}

#[test]
fn a_ban_resets_whoever_is_there_refuses_whoever_comes_and_ends_or_outlasts_a_restart() {
    let served = Served::start("ban", "echo=tcp://127.0.0.1:0");
    let mut one = served.come_from([127, 0, 0, 2]);
    ask(&mut one, b"1\n", b"echo: 1\n");
    let told = served.done(&["ban", "127.0.0.2", "--for", "2s", "--reason", "scans"]);
    assert!(told.contains("reset: 1\n") && told.contains("kept: yes"), "{told}");
    let error = one.read(&mut [0]).expect_err("it is reset");
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    assert!(!served.is_let_in([127, 0, 0, 2]) && served.is_let_in([127, 0, 0, 1]));
    let listed = served.done(&["bans"]);
    assert!(listed.contains("127.0.0.2") && listed.contains("operator") && listed.contains("scans"), "{listed}");
    until(|| served.is_let_in([127, 0, 0, 2]));
    served.done(&["ban", "127.0.0.3/32"]);
    let served = served.restart();
    assert!(!served.is_let_in([127, 0, 0, 3]) && served.is_let_in([127, 0, 0, 2]));
    served.done(&["unban", "127.0.0.3"]);
    assert!(served.is_let_in([127, 0, 0, 3]));
    let served = served.restart();
    assert!(served.is_let_in([127, 0, 0, 3]));
    assert!(served.refused(&["unban", "127.0.0.3"]).contains("there is no ban of 127.0.0.3"));
    for wrong in [&["ban", "everybody"][..], &["ban", "192.0.2.1/24"], &["ban", "192.0.2.1", "--for", "99999999h"]] {
        served.refused(wrong);
    }
    // Nor everybody, by a slip of the finger.
    for large in ["0.0.0.0/0", "126.0.0.0/7", "::/0", "::ffff:0.0.0.0/96", "2000::/31"] {
        assert!(served.refused(&["ban", large]).contains("of IPv4 up to /8 and of IPv6 up to /32"), "{large}");
    }
    let acts = served.acts();
    assert!(acts[0].starts_with("ban 127.0.0.2 until 20") && acts[0].ends_with("Z: scans"), "{acts:?}");
    assert_eq!(acts[1..], ["ban 127.0.0.3 for good", "unban 127.0.0.3"]);
    served.program.stop();
}

/// Reads lines until one has `part` in it.
#[track_caller]
fn told(stream: &mut impl std::io::BufRead, part: &str) -> String {
    loop {
        let mut line = String::new();
        assert!(stream.read_line(&mut line).expect("it is told something") > 0, "{part} is not told");
        if line.contains(part) {
            return line;
        }
    }
}

/// A connection, which waits for what it is told, and not for ever.
fn member(program: &Program, listener: usize, lines: &str) -> std::io::BufReader<TcpStream> {
    let mut stream = program.tcp(listener);
    stream.write_all(lines.as_bytes()).expect("it takes lines");
    std::io::BufReader::new(stream)
}

#[test]
fn a_room_is_told_something_in_nobodys_name() {
    let served = Served::start("announce", "rooms=tcp://127.0.0.1:0");
    let mut member = member(&served.program, 1, "/join ops\n/format json\n");
    told(&mut member, "\"format\"");
    let answer = served.done(&["announce", "--room", "ops", "back at \"noon\""]);
    let line = told(&mut member, "noon");
    assert!(line.contains("\"from\":null") && line.contains("\"text\":\"back at \\\"noon\\\"\""), "{line}");
    let id = answer.lines().find_map(|line| line.strip_prefix("id: ")).expect("an id");
    assert!(line.contains(id), "{line}");
    assert!(served.refused(&["announce", "--room", "none", "x"]).contains("there is no room none"));
    assert!(served.refused(&["announce", "--room", "ops", ""]).contains("text: "));
    assert_eq!(served.acts(), ["announce ops: back at \\\"noon\\\"".replace("\\\"", "\"")]);
    served.program.stop();
}

#[test]
fn every_room_is_told_something_in_nobodys_name() {
    let served = Served::start("announce-all", "rooms=tcp://127.0.0.1:0");
    let mut members: Vec<_> =
        (0..70).map(|number| member(&served.program, 1, &format!("/join r{number}\n/format json\n"))).collect();
    for member in &mut members {
        told(member, "\"format\"");
    }
    let answer = served.done(&["announce", "back at noon"]);
    assert!(answer.contains("failed: 0"), "{answer}");
    for (number, member) in members.iter_mut().enumerate() {
        // They are in the lobby too.
        let line = told(member, &format!("{{\"room\":\"r{number}\",\"seq\""));
        assert!(line.contains("\"from\":null") && line.contains("back at noon"), "{line}");
    }
    assert!(served.refused(&["announce", ""]).contains("text: "));
    assert_eq!(served.acts(), ["announce all rooms: back at noon"]);
    served.program.stop();
}

#[test]
fn somebody_is_removed_from_a_room_stays_connected_and_may_come_back() {
    let served = Served::start("remove", "rooms=tcp://127.0.0.1:0");
    let mut bob = member(&served.program, 1, "/name bob\n/join ops\n");
    told(&mut bob, "[ops] you joined");
    let mut alice = member(&served.program, 1, "/name alice\n/join ops\n");
    told(&mut alice, "[ops] you joined");
    let answer = served.done(&["remove", "alice", "--room", "ops"]);
    assert!(answer.contains("removed: alice"), "{answer}");
    told(&mut alice, "* [ops] you were removed");
    told(&mut bob, " left");
    // What it says goes nowhere, and what is said there does not reach it.
    alice.get_mut().write_all(b"psst\n").expect("it takes lines");
    told(&mut alice, "not-allowed");
    assert!(served.refused(&["remove", "alice", "--room", "ops"]).contains("alice is not in ops"));
    assert!(served.refused(&["remove", "alice", "--room", "none"]).contains("there is no room none"));
    bob.get_mut().write_all(b"is it gone?\n").expect("it takes lines");
    bob.get_mut().write_all(b"/ping\n").expect("it takes lines");
    told(&mut bob, "pong");
    alice.get_mut().write_all(b"/join ops\nback\n").expect("it takes lines");
    loop {
        let line = told(&mut alice, "");
        assert!(!line.contains("is it gone?"), "{line}");
        if line.contains("[ops] you joined") {
            break;
        }
    }
    loop {
        let line = told(&mut bob, "");
        assert!(!line.contains("psst"), "{line}");
        if line.contains("alice: back") {
            break;
        }
    }
    assert_eq!(served.acts(), ["remove ops: alice"]);
    served.program.stop();
}

#[test]
fn whoever_comes_is_told_a_line_behind_the_welcome_also_after_a_restart() {
    let served = Served::start("motd", "rooms=tcp://127.0.0.1:0");
    let first = |lines: &str, served: &Served| {
        let mut came = member(&served.program, 1, lines);
        told(&mut came, "you are guest");
        let mut line = String::new();
        std::io::BufRead::read_line(&mut came, &mut line).expect("it is told something");
        line
    };
    assert_eq!(first("/ping\n", &served), "* pong\n");
    let answer = served.done(&["motd", "back at \"noon\""]);
    assert!(answer.contains("kept: yes"), "{answer}");
    assert!(served.done(&["motd"]).contains("back at \"noon\""));
    assert_eq!(first("/ping\n", &served), "* announcement: back at \"noon\"\n");
    for wrong in ["", "two\nlines", &"x".repeat(1025)] {
        assert!(served.refused(&["motd", wrong]).contains("text: "));
    }
    let served = served.restart();
    assert_eq!(first("/ping\n", &served), "* announcement: back at \"noon\"\n");
    served.done(&["motd", "--clear"]);
    assert_eq!(first("/ping\n", &served), "* pong\n");
    let served = served.restart();
    assert_eq!(first("/ping\n", &served), "* pong\n");
    assert_eq!(served.acts(), ["motd back at \"noon\"", "motd"]);
    served.program.stop();
}

#[test]
fn who_moderates_a_room_acts_in_that_room_alone() {
    let (token, hash) = made("eve");
    let file = Place::new("moderates.toml");
    let text = format!(
        "listen = [\"admin=http://127.0.0.1:0\"]\n[tokens.eve]\n{hash}\nrooms = {{ \"ops\" = [\"moderate\"] }}\n[rooms.ops]\nkept = true\n[rooms.lobby]\nkept = true\n"
    );
    std::fs::write(&*file, text).expect("it is written");
    let program = Program::of_file(&file, 1);
    let bearer = format!("authorization: Bearer {token}");
    let post = |path: &str| {
        let headers = [bearer.as_str(), "content-type: application/json"];
        asked(program.tcp(0), "POST", path, &headers, "{\"text\":\"hi\"}").status
    };
    assert_eq!(post("/rooms/ops/announcements"), 200);
    assert_eq!(post("/rooms/lobby/announcements"), 403);
    let remove = |path: &str| asked(program.tcp(0), "DELETE", path, &[bearer.as_str()], "").status;
    assert_eq!((remove("/rooms/ops/members/bob"), remove("/rooms/lobby/members/bob")), (404, 403));
    assert_eq!((post("/bans"), post("/drain"), post("/announcements")), (403, 403, 403));
    program.stop();
}

#[test]
fn events_of_the_audit_are_listed_and_followed() {
    let served = Served::start("events", "rooms=tcp://127.0.0.1:0");
    served.done(&["ready", "off"]);
    served.done(&["ban", "192.0.2.1"]);
    let listed = served.done(&["events", "event=admin"]);
    let lines: Vec<_> = listed.lines().collect();
    assert!(lines[0].starts_with("TIME ") && lines.len() == 3, "{listed}");
    assert!(lines[1].contains(" ready ") && lines[2].contains(" ban ") && lines[2].contains("192.0.2.1"), "{listed}");
    let behind = served.done(&["events", "since=0"]);
    assert!(behind.contains(" ban ") && !behind.contains(" ready "), "{behind}");
    assert!(served.refused(&["events", "since=x"]).contains("since: "));

    let mut stream = std::os::unix::net::UnixStream::connect(&served.socket as &Path).expect("it listens");
    stream
        .write_all(b"GET /events?follow=1&since=0&event=admin HTTP/1.1\r\nhost: localhost\r\n\r\n")
        .expect("it takes a request");
    stream.set_read_timeout(Some(crate::process::PATIENCE)).expect("a timeout can be set");
    let mut stream = std::io::BufReader::new(stream);
    told(&mut stream, "\"action\":\"ban\"");
    served.done(&["unban", "192.0.2.1"]);
    let line = told(&mut stream, "\"event\":\"admin\"");
    assert!(line.contains("\"action\":\"unban\",\"reason\":\"192.0.2.1\""), "{line}");
    drop(stream);

    let url = format!("unix://{}", served.socket);
    let mut following = Program::spawn(command(&["admin", "--url", &url, "events", "-f"]));
    following.printed("unban");
    served.done(&["ready", "on"]);
    following.printed("ready  on");
    following.signal(nix::sys::signal::Signal::SIGKILL);
    following.end();
    served.program.stop();
}

#[test]
fn what_is_set_and_what_it_comes_to_is_told_without_a_secret() {
    let (token, hash) = made("alice");
    let (file, socket) = (Place::new("settings.toml"), Place::new("settings.sock"));
    let text = format!(
        "listen = [\"admin=unix://{socket}\", \"rooms=http://127.0.0.1:0?health=on\"]\nmax-frame = \"8KiB\"\n[tokens.alice]\n{hash}\nrooms = {{ \"ops.*\" = [\"read\"] }}\n[rooms.\"board.**\"]\nonly = [\"bob\"]\n"
    );
    std::fs::write(&*file, text).expect("it is written");
    let program = Program::of_file(&file, 2);
    let admin = |arguments: &[&str]| operating::admin(&socket, arguments);
    let told = admin(&["config"]).output.join("\n");
    let line = told.lines().find(|line| line.starts_with("max-frame = ")).expect("it is there");
    assert!(line.starts_with("max-frame = \"8KiB\"  # ") && line.contains("settings.toml"), "{line}");
    assert!(line.ends_with("changed by a reload") && told.contains("changed by a restart"), "{told}");
    let object = admin(&["config", "--json"]).output.join("");
    assert!(object.contains("\"hidden\"") && !object.contains(hash.split('"').nth(1).expect("a hash")), "{object}");
    let can = |who: &str, action: &str, room: &str| admin(&["can", who, action, room]).output.join("\n");
    let may = can("alice", "history", "ops.east");
    assert!(may.contains("allowed: yes") && may.contains("tokens.alice.rooms.\"ops.*\" grants history"), "{may}");
    let closed = can("alice", "join", "board.x");
    assert!(closed.contains("allowed: no") && closed.contains("rooms.\"board.**\".only"), "{closed}");
    assert!(can("anonymous", "join", "ops.east").contains("because: no line grants it"));
    let by_token = |token: &str| {
        let body = format!("{{\"token\":\"{token}\",\"action\":\"read\",\"room\":\"ops.x\"}}");
        asked_at(&socket, "POST", "/can", &["content-type: application/json"], &body)
    };
    let answer = by_token(&token);
    assert!(answer.status == 200 && answer.body.contains("\"allowed\":true"), "{}", answer.body);
    assert!(answer.body.contains("\"name\":\"alice\"") && !answer.body.contains(&token[12..40]), "{}", answer.body);
    assert_eq!(by_token("sb_nobody").status, 400);

    let probe = |path: &str| asked(program.tcp(1), "GET", path, &[], "");
    assert_eq!((probe("/healthz").status, probe("/healthz").body), (200, "ok\n".to_owned()));
    assert_eq!((probe("/readyz").status, probe("/readyz").body), (200, "{\"ready\":true}\n".to_owned()));
    assert_eq!(admin(&["ready", "off"]).code, Some(0));
    assert_eq!(probe("/readyz").status, 503);
    assert_eq!(admin(&["drain", "--grace", "1s"]).code, Some(0));
    assert_eq!(program.end().code, Some(0));
}

#[test]
fn without_being_asked_for_a_rooms_listener_tells_no_probe() {
    let program = Program::serve(&["rooms=http://127.0.0.1:0"]);
    assert_eq!(asked(program.tcp(0), "GET", "/healthz", &[], "").status, 404);
    program.stop();
}

#[test]
fn who_has_left_is_found_by_name_and_page_by_page() {
    let served = Served::start("closed", "rooms=tcp://127.0.0.1:0");
    for number in 0..6 {
        let mut came = member(&served.program, 1, &format!("/name boiler-{number}\n/quit\n"));
        while std::io::BufRead::read_line(&mut came, &mut String::new()).is_ok_and(|count| count > 0) {}
    }
    drop(member(&served.program, 1, "/name alice\n"));
    let listed = |filters: &[&str]| -> Vec<(String, u64)> {
        let told: serde_json::Value =
            serde_json::from_str(&served.done(&[&["closed", "--json"], filters].concat())).expect("it is JSON");
        let ended = told["closed"].as_array().expect("a list").iter();
        ended
            .map(|one| (one["name"].as_str().unwrap_or_default().to_owned(), one["id"].as_u64().expect("one")))
            .collect()
    };
    until(|| listed(&[]).len() == 7);
    let boilers = listed(&["name=BOILER-*"]);
    let names: Vec<_> = boilers.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["boiler-5", "boiler-4", "boiler-3", "boiler-2", "boiler-1", "boiler-0"]);
    let after = format!("after={}", boilers[1].1);
    let next: Vec<_> = listed(&["name=boiler-*", &after, "limit=2"]).into_iter().map(|(name, _)| name).collect();
    assert_eq!(next, ["boiler-3", "boiler-2"]);
    assert_eq!(listed(&["after=99999"]), []);
    assert!(served.done(&["closed"]).lines().any(|line| line.contains(" boiler-0 ")));
    served.program.stop();
}

#[test]
fn what_a_room_was_told_is_purged_and_who_comes_back_is_told_of_a_gap() {
    let served = Served::start("purge", "rooms=tcp://127.0.0.1:0");
    let mut bob = member(&served.program, 1, "/format json\n/join ops\n");
    told(&mut bob, "\"you-joined\"");
    let mut alice = member(&served.program, 1, "/join ops\none\ntwo\n");
    told(&mut alice, "[ops] you joined");
    let first = told(&mut bob, "\"text\":\"one\"");
    told(&mut bob, "\"text\":\"two\"");
    let room = served.done(&["room", "ops"]);
    assert!(room.contains("history messages: 2\n") && room.contains("durable: no\n"), "{room}");
    let answer = served.done(&["purge", "ops"]);
    assert!(answer.contains("purged: ") && answer.contains("-2"), "{answer}");
    assert!(served.done(&["room", "ops"]).contains("history messages: 0\n"));
    let id = first.split("\"id\":\"").nth(1).and_then(|rest| rest.split('"').next()).expect("an id");
    let mut back = member(&served.program, 1, &format!("/format json\n/join ops since={id}\n"));
    let gap = told(&mut back, "\"gap\"");
    assert!(gap.contains("\"lost\":1"), "{gap}");
    alice.get_mut().write_all(b"three\n").expect("it takes lines");
    assert!(told(&mut back, "three").contains("\"seq\":3"), "numbers go on");
    assert!(served.refused(&["purge", "none"]).contains("there is no room none"));
    assert_eq!(served.acts(), ["purge ops"]);
    served.program.stop();
}

#[test]
fn another_file_is_judged_and_nothing_changes() {
    let (file, socket, other) = (Place::new("judged.toml"), Place::new("judged.sock"), Place::new("other.toml"));
    let listen = format!("listen = [\"admin=unix://{socket}\"]\n");
    std::fs::write(
        &*file,
        format!("{listen}[rooms.\"board.*\"]\nclass = \"boards\"\n[rooms.\"*.x\"]\nanyone = [\"join\"]\n"),
    )
    .expect("it is written");
    let program = Program::of_file(&file, 1);
    let check = |text: &str| {
        std::fs::write(&*other, text).expect("it is written");
        operating::admin(&socket, &["check", &other.to_string()])
    };
    assert_eq!(
        operating::done(check(&std::fs::read_to_string(&*file).expect("it is there"))),
        "changes: -\nsound: yes"
    );
    let told = operating::done(check(&format!("{listen}log = \"warn\"\nworkers = 3\n")));
    assert!(told.contains("log") && told.contains("workers (needs a restart)"), "{told}");
    let wrong = check(&format!("{listen}nope = 1\nworkers = \"many\"\n[rooms.ops]\nhistroy-messages = 1\n"));
    assert_eq!((wrong.code, wrong.log.len()), (Some(1), 3), "{wrong:?}");
    let place = format!("error: file {other}:2:1: ");
    assert!(wrong.log[0].starts_with(&place) && wrong.log.iter().any(|line| line.contains("histroy")), "{wrong:?}");
    let config = operating::done(operating::admin(&socket, &["config"]));
    assert!(!config.contains("\"warn\""), "{config}");
    let ask = |kind: &str| asked_at(&socket, "POST", "/config/check", &[kind], &listen).status;
    assert_eq!((ask("content-type: application/toml"), ask("content-type: text/plain")), (200, 415));
    program.stop();
}
