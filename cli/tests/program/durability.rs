//! Rooms that are kept in a data directory: over restarts, and where the directory cannot be served.

use crate::http::sockets::Socket;
use crate::http::{Client, asked};
use crate::operating;
use crate::process::{End, Place, Program, command, installed, until};
use crate::rooms::datagrams::Mote;
use crate::rooms::{Peer, ROOMS};
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, Stdio};

const HTTP: &str = "rooms=http://127.0.0.1:0";

/// A server that keeps its rooms in `place`.
fn serve(place: &Place) -> Program {
    Program::serve(&[HTTP, "admin=http://127.0.0.1:0", "--data", &place.within("data")])
}

fn get(program: &Program, listener: usize, path: &str) -> (u16, String) {
    let answer = asked(program.tcp(listener), "GET", path, &[], "");
    (answer.status, answer.body)
}

fn publish(program: &Program, text: &str) -> String {
    let answer = asked(program.tcp(0), "POST", "/rooms/ops", &[], text);
    assert_eq!(answer.status, 200, "{}", answer.body);
    let object: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
    object["id"].as_str().unwrap().to_owned()
}

/// `switchboard data` with an action, on a directory.
fn data(action: &[&str], place: &Place, input: &str) -> End {
    let mut command = command(&["data"]);
    command.args(action).args(["--data", &place.within("data")]).stdin(Stdio::piped());
    let mut program = Program::spawn(command);
    program.types(input);
    program.finish();
    program.end()
}

#[test]
fn a_server_that_was_killed_goes_on_where_it_was() {
    let place = Place::folder("durable");
    let program = serve(&place);
    let (first, second) = (publish(&program, "one"), publish(&program, "two"));
    program.signal(nix::sys::signal::Signal::SIGKILL);
    assert_eq!(program.end().code, None);
    let program = serve(&place);
    let (_, missed) = get(&program, 0, &format!("/rooms/ops/messages?since={first}"));
    assert!(missed.lines().count() == 1 && missed.contains("\"two\"") && missed.contains(&second), "{missed}");
    let third = publish(&program, "three");
    let epoch = |id: &str| id.split('-').next().unwrap().to_owned();
    assert_eq!((epoch(&third), third.ends_with("-3")), (epoch(&first), true));
    let (status, ready) = get(&program, 1, "/readyz");
    assert!(status == 200 && ready.contains("\"data\":true"), "{ready}");
    assert!(get(&program, 1, "/metrics").1.contains("\nswitchboard_data_messages_total 1\n"));
    let end = program.stop();
    assert_eq!(end.code, Some(0), "{:?}", end.log);
}

/// Memory has the last 256.
#[test]
fn what_memory_does_not_have_is_read_from_the_directory() {
    let place = Place::folder("deep");
    let program = Program::serve(&[HTTP, ROOMS, "--data", &place.within("data"), "--history-messages", "1000"]);
    let first = publish(&program, "1");
    (2..=300).for_each(|number: u32| _ = publish(&program, &number.to_string()));
    let texts = |query: &str| -> Vec<String> {
        let (_, messages) = get(&program, 0, &format!("/rooms/ops/messages{query}"));
        let text = |line| serde_json::from_str::<serde_json::Value>(line).unwrap()["text"].as_str().unwrap().to_owned();
        messages.lines().map(text).collect()
    };
    let numbers = |range: std::ops::RangeInclusive<u32>| range.map(|number| number.to_string()).collect::<Vec<_>>();
    assert_eq!(texts(&format!("?since={first}")), numbers(2..=300));
    assert_eq!(texts(&format!("?since={first}&limit=3")), numbers(2..=4));
    let nth = |number: u32| first.replace("-1", &format!("-{number}"));
    let before = |number, rest: &str| texts(&format!("?before={}{rest}", nth(number)));
    assert_eq!(before(20, "&limit=3"), numbers(17..=19));
    assert_eq!(before(3, "&limit=9"), numbers(1..=2));
    assert_eq!(before(299, "&limit=9"), numbers(290..=298));
    assert_eq!(before(280, ""), numbers(24..=279));
    assert_eq!(before(20, &format!("&since={}&limit=4", nth(9))), numbers(10..=13));
    assert_eq!(before(12, &format!("&since={}", nth(9))), numbers(10..=11));
    assert_eq!(texts("?limit=280"), numbers(21..=300));
    assert_eq!(texts("?limit=3"), numbers(298..=300));
    assert_eq!(texts(""), numbers(45..=300));
    // By the command as well.
    let mut peer = Peer::enter(&program, 1);
    peer.say("/join ops\n/history 280");
    assert!(peer.next().starts_with("* [ops] you joined"));
    peer.expect("* [ops] 280 messages of history");
    let told: Vec<_> = (0..280).map(|_| peer.next()).collect();
    assert_eq!(told, (21..=300).map(|number| format!("[ops] http: {number}")).collect::<Vec<_>>());
    // And followed: from there on, with no word of what nobody asked for.
    let mut follower = Client::connect(&program, 0);
    follower.send("GET /rooms/ops/messages?follow=1&limit=280 HTTP/1.1\r\nhost: localhost\r\n\r\n");
    assert_eq!(follower.head().status, 200);
    let told = follower.streamed("\"text\":\"300\"}");
    let seqs = told.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["seq"].as_u64());
    assert_eq!(seqs.collect::<Vec<_>>(), (21..=300).collect::<Vec<_>>(), "{told:.200}");
    assert!(!told.contains("\"gap\""));
    publish(&program, "301");
    follower.streamed("\"text\":\"301\"}");
}

#[test]
fn pages_of_the_past_lead_to_its_beginning() {
    let place = Place::folder("backwards");
    let program = Program::serve(&[HTTP, "--data", &place.within("data"), "--history-messages", "290"]);
    let first = publish(&program, "1");
    (2..=300).for_each(|number: u32| _ = publish(&program, &number.to_string()));
    let mut path = Some(format!("/rooms/ops/messages?before={}&limit=70", first.replace("-1", "-999")));
    let mut counts = Vec::new();
    let mut next = 300;
    while let Some(asked_for) = path {
        let answer = asked(program.tcp(0), "GET", &asked_for, &[], "");
        let numbers = answer.body.lines().map(|line| {
            let message: serde_json::Value = serde_json::from_str(line).unwrap();
            message["seq"].as_u64().unwrap()
        });
        let numbers: Vec<_> = numbers.collect();
        assert!(numbers.is_sorted() && numbers.last().is_none_or(|last| *last == next), "{numbers:?}");
        next -= numbers.len() as u64;
        counts.push(numbers.len());
        let link = answer.header("link").and_then(|link| link.strip_prefix('<')?.strip_suffix(">; rel=\"prev\""));
        path = link.map(str::to_owned);
    }
    assert_eq!((counts, next), (vec![70, 70, 70, 70, 10, 0], 10));
    // What nobody keeps is told to whoever asks behind it, as far as it was asked for.
    let since = |query: &str| get(&program, 0, &format!("/rooms/ops/messages?since={first}{query}")).1;
    assert!(since("&limit=1").starts_with("{\"event\":\"gap\",\"room\":\"ops\",\"lost\":9,\"from_seq\":2}\n"));
    let before = format!("&before={}", first.replace("-1", "-5"));
    assert_eq!(since(&before), "{\"event\":\"gap\",\"room\":\"ops\",\"lost\":3,\"from_seq\":2}\n");
    // Of another incarnation there is nothing.
    let (status, told) = get(&program, 0, "/rooms/ops/messages?before=0-7&limit=3");
    assert!(status == 200 && told.lines().count() == 1 && told.contains("\"reset\""), "{told}");
}

#[test]
fn whoever_comes_back_after_a_restart_is_told_what_it_missed_on_each_transport() {
    let place = Place::folder("resumed");
    let start = || Program::serve(&[HTTP, ROOMS, "rooms=udp://127.0.0.1:0", "--data", &place.within("data")]);
    let program = start();
    let first = publish(&program, "1");
    (2..=4).for_each(|number: u32| _ = publish(&program, &number.to_string()));
    program.signal(nix::sys::signal::Signal::SIGKILL);
    program.end();
    let program = start();
    publish(&program, "5");
    let is_next = |told: &str, number: u32| assert!(told.ends_with(&format!("\"text\":\"{number}\"}}")), "{told}");
    let mut socket = Socket::open(&program, &format!("/rooms/ops/ws?since={first}"));
    assert!(socket.next().contains("\"you-joined\""));
    (2..=5).for_each(|number| is_next(&socket.next(), number));
    let mut events = Client::connect(&program, 0);
    events.send(format!("GET /rooms/ops/events HTTP/1.1\r\nhost: localhost\r\nlast-event-id: {first}\r\n\r\n"));
    assert_eq!(events.head().status, 200);
    let told = events.streamed("\"text\":\"5\"}");
    let data: Vec<_> = told.lines().filter(|line| line.starts_with("data: {\"room\"")).collect();
    assert!(data.len() == 4 && !told.contains("reset") && !told.contains("gap"), "{told}");
    (2..=5).zip(data).for_each(|(number, line)| is_next(line, number));
    let mut peer = Peer::enter(&program, 1);
    peer.say(&format!("/join ops since={first}"));
    assert!(peer.next().starts_with("* [ops] you joined"));
    (2..=5).for_each(|number| peer.expect(&format!("[ops] http: {number}")));
    let mote = Mote::new(&program, 2);
    let cookie = mote.ask("/join ops");
    assert!(mote.ask(format!("/join ops {cookie} since={first}")).starts_with("* you are guest-"));
    assert!(mote.next().starts_with("* [ops] you joined"));
    (2..=5).for_each(|number| assert_eq!(mote.next(), format!("[ops] http: {number}")));
}

/// Another process that has the database for itself, so that no commit succeeds.
struct Blocked(std::process::Child);

impl Blocked {
    fn new(place: &Place) -> Option<Self> {
        let python = installed("python3", "python3")?;
        let text = "import sqlite3, sys\nother = sqlite3.connect(sys.argv[1], isolation_level=None)\n\
            other.execute('BEGIN IMMEDIATE')\nprint('held', flush=True)\nsys.stdin.read()";
        let mut command = Command::new(python);
        command.args(["-c", text, &place.within("data/history.db")]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "held\n");
        Some(Self(child))
    }

    fn end(mut self) {
        drop(self.0.stdin.take());
        assert!(self.0.wait().unwrap().success());
    }
}

#[test]
fn while_no_commit_succeeds_publishers_are_told_so_on_each_transport_and_then_it_goes_on() {
    let place = Place::folder("blocked");
    let urls = [HTTP, "rooms=tcp://127.0.0.1:0?room=ops", "rooms=udp://127.0.0.1:0", "admin=http://127.0.0.1:0"];
    let program = Program::serve(&[&urls[..], &["--data", &place.within("data")]].concat());
    let first = publish(&program, "first");
    let mut peer = Peer::enter(&program, 1);
    let mut socket = Socket::open(&program, "/rooms/ops/ws");
    assert!(socket.next().contains("\"you-joined\""));
    let mote = Mote::member(&program, 2, "ops");
    let Some(blocked) = Blocked::new(&place) else { return };
    let post = || asked(program.tcp(0), "POST", "/rooms/ops", &[], "lost");
    let refused = post();
    assert_eq!((refused.status, refused.header("retry-after")), (503, Some("1")), "{}", refused.body);
    assert!(refused.body.starts_with("{\"error\":\"unavailable\""), "{}", refused.body);
    peer.say("lost");
    assert!(peer.next().starts_with("! unavailable: "));
    socket.say("lost");
    assert!(socket.next().starts_with("{\"error\":\"unavailable\""));
    assert!(mote.ask("/pub ops lost").starts_with("! unavailable"));
    assert!(Mote::new(&program, 2).ask("/pub ops lost").starts_with("! unavailable"), "nobody in particular");
    assert_eq!(get(&program, 3, "/readyz").0, 503);
    // What was published before is read meanwhile.
    assert!(get(&program, 0, "/rooms/ops/messages").1.ends_with("\"text\":\"first\"}\n"));
    blocked.end();
    until(|| post().status == 200);
    // Nothing of what was refused has come, and nothing is missing.
    peer.expect("[ops] http: lost");
    assert!(socket.next().contains("\"from\":\"http\"") && mote.next() == "[ops] http: lost");
    let (_, kept) = get(&program, 0, "/rooms/ops/messages");
    assert!(kept.lines().count() == 2 && kept.contains(&first) && kept.contains("\"seq\":2"), "{kept}");
}

#[test]
fn a_purge_that_does_not_reach_the_disk_is_told_as_failed_and_forgets_nothing() {
    let place = Place::folder("unpurged");
    let (socket, audit) = (Place::new("unpurged.sock"), Place::new("unpurged.jsonl"));
    let admin = format!("admin=unix://{socket}");
    let program =
        Program::serve(&[HTTP, &admin, "--data", &place.within("data"), "--audit", audit.to_str().expect("UTF-8")]);
    publish(&program, "first");
    let Some(blocked) = Blocked::new(&place) else { return };
    let purge = || operating::admin(&socket, &["purge", "ops"]);
    let refused = purge();
    assert!(operating::refused(&refused).contains("unavailable"), "{refused:?}");
    let acts = operating::acts(&audit);
    assert!(acts.len() == 2 && acts[0] == "purge ops" && acts[1].starts_with("purge ops: failed: "), "{acts:?}");
    assert!(get(&program, 0, "/rooms/ops/messages").1.ends_with("\"text\":\"first\"}\n"));
    blocked.end();
    until(|| purge().code == Some(0));
    assert_eq!(get(&program, 0, "/rooms/ops/messages"), (200, String::new()));
}

#[test]
fn a_backup_that_is_made_while_it_runs_has_all_that_was_acknowledged_by_then() {
    let Some(python) = installed("python3", "python3") else { return };
    let (place, other) = (Place::folder("source"), Place::folder("backup"));
    let program = serve(&place);
    (0..50).for_each(|number: u32| _ = publish(&program, &number.to_string()));
    std::fs::create_dir(other.within("data")).unwrap();
    let text = "import sqlite3, sys\none, other = map(sqlite3.connect, sys.argv[1:])\none.backup(other, pages=1)";
    let mut command = Command::new(python);
    command.args(["-c", text, &place.within("data/history.db"), &other.within("data/history.db")]);
    let mut copying = command.spawn().unwrap();
    let mut number: u32 = 50;
    while copying.try_wait().unwrap().is_none() {
        publish(&program, &number.to_string());
        number += 1;
    }
    assert!(copying.wait().unwrap().success());
    assert!(data(&["check"], &other, "").output[0].starts_with("ok: 1 room, "));
    assert_eq!(data(&["new-epochs"], &other, "").code, Some(0));
    let restored = serve(&other);
    let (_, messages) = get(&restored, 0, "/rooms/ops/messages");
    let text = |line| serde_json::from_str::<serde_json::Value>(line).unwrap()["text"].as_str().unwrap().to_owned();
    let texts: Vec<_> = messages.lines().map(text).collect();
    assert!(texts.len() >= 50 && texts.len() <= number as usize, "{}", texts.len());
    assert!(texts.iter().zip(0..).all(|(text, number)| *text == number.to_string()), "{texts:?}");
    // And the source goes on.
    publish(&program, "on");
}

#[test]
fn a_directory_that_is_in_use_is_not_served_twice_but_looked_into() {
    let place = Place::folder("in-use");
    let program = serve(&place);
    publish(&program, "one");
    let second = Program::spawn(command(&["serve", HTTP, "--data", &place.within("data")])).end();
    assert_eq!(second.code, Some(1));
    assert!(second.log[0].ends_with(&format!("is in use by another process, {}", program.id())), "{:?}", second.log);
    assert_eq!(data(&["check"], &place, "").output, ["ok: 1 room, 1 message, 3 bytes of payloads"]);
    assert_eq!(data(&["new-epochs"], &place, "").code, Some(1));
    let exported = data(&["export", "OPS"], &place, "");
    assert!(exported.code == Some(0) && exported.output[0].contains("\"text\":\"one\""), "{exported:?}");
    assert_eq!(data(&["export", "nowhere"], &place, "").code, Some(1));
    // Into another directory it goes with its id.
    let other = Place::folder("imported");
    let lines = exported.output.join("\n") + "\n";
    assert_eq!(data(&["import"], &other, &lines).output, ["1 message"]);
    let twice = data(&["import"], &other, &lines);
    assert_eq!((twice.code, &*twice.log[0]), (Some(1), "error: nothing was put in: room ops is there"));
    let wrong = data(&["import"], &other, "{\"room\":\"a\"}\n");
    assert_eq!((wrong.code, &*wrong.log[0]), (Some(1), "error: nothing was put in: line 1: it has no `id`"));
    assert_eq!(data(&["export", "ops"], &other, "").output, exported.output);
}

#[test]
fn a_damaged_directory_is_not_served_and_both_ways_out_are_told() {
    let place = Place::folder("damaged");
    let program = serve(&place);
    let first = publish(&program, "one");
    program.stop();
    let database = place.within("data/history.db");
    let mut file = std::fs::File::options().write(true).open(&database).unwrap();
    file.write_all(b"no database at all").unwrap();
    drop(file);
    let refused = Program::spawn(command(&["serve", HTTP, "--data", &place.within("data")])).end();
    assert_eq!(refused.code, Some(78), "{:?}", refused.log);
    assert!(refused.log[0].contains(&format!("{database} is damaged: ")), "{:?}", refused.log);
    assert!(
        refused.log[1].contains("restore a copy") && refused.log[1].contains("data new-epochs"),
        "{:?}",
        refused.log
    );
    let renewed = data(&["new-epochs"], &place, "");
    assert_eq!(renewed.code, Some(0), "{:?}", renewed.log);
    assert!(renewed.output[1].contains("history.db.damaged-1"), "{:?}", renewed.output);
    let program = serve(&place);
    assert_ne!(publish(&program, "again").split('-').next(), first.split('-').next());
}

/// A server whose disk takes a fifth of a second for each sync.
fn on_a_slow_disk(urls: &[&str], place: &Place) -> Option<Program> {
    let program = command(&[&["serve"][..], urls, &["--workers", "1", "--data", &place.within("data")]].concat());
    let mut command = Command::new(installed("strace", "strace")?);
    let syncs = ["-e", "trace=fsync,fdatasync", "-e", "inject=fsync,fdatasync:delay_enter=200000"];
    // As a grandchild, so that signals reach the program.
    command.args(["-D", "-f", "-qq", "-o", "/dev/null"]).args(syncs);
    command.arg(program.get_program()).args(program.get_args());
    command.env_clear().stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    Some(Program::listening(command, urls.len()))
}

#[test]
fn what_was_received_is_committed_before_the_end() {
    let place = Place::folder("drained");
    let urls = ["rooms=tcp://127.0.0.1:0?room=ops", "admin=http://127.0.0.1:0"];
    let Some(program) = on_a_slow_disk(&urls, &place) else { return };
    let mut peer = Peer::enter(&program, 0);
    // One goes to the disk, and those that came with it wait for that.
    let lines: Vec<_> = (1..=20).map(|number| number.to_string()).collect();
    peer.say(&lines.join("\n"));
    let counted = |name: &str, number: &str| get(&program, 1, "/metrics").1.contains(&format!("\n{name} {number}\n"));
    until(|| !counted("switchboard_data_waiting_messages", "0") || counted("switchboard_data_messages_total", "20"));
    let end = program.stop();
    assert_eq!(end.code, Some(0), "{:?}", end.log);
    let kept = data(&["export", "ops"], &place, "").output;
    let text =
        |line: &String| serde_json::from_str::<serde_json::Value>(line).unwrap()["text"].as_str().unwrap().to_owned();
    assert_eq!(kept.iter().map(text).collect::<Vec<_>>(), lines);
}

#[test]
fn a_directory_of_a_newer_version_is_not_served_and_keeps_what_it_has() {
    let Some(python) = installed("python3", "python3") else { return };
    let place = Place::folder("newer");
    let program = serve(&place);
    publish(&program, "one");
    program.stop();
    let database = place.within("data/history.db");
    let set_format = |format: &str| {
        let text = "import sqlite3, sys\nsqlite3.connect(sys.argv[1]).execute('PRAGMA user_version = ' + sys.argv[2])";
        let arguments = ["-c", text, &database, format];
        assert!(Command::new(&python).args(arguments).status().unwrap().success());
    };
    set_format("9");
    let before = std::fs::read(&database).unwrap();
    let refused = Program::spawn(command(&["serve", HTTP, "--data", &place.within("data")])).end();
    assert_eq!(refused.code, Some(78), "{:?}", refused.log);
    let said = "history.db has format 9; this version knows 2";
    assert!(refused.log[0].ends_with(said), "{:?}", refused.log);
    // What another version can serve is not damaged: nobody is told to give it up.
    assert!(!refused.log.iter().any(|line| line.contains("new-epochs")), "{:?}", refused.log);
    for action in [&["check"][..], &["export", "ops"], &["new-epochs"]] {
        let looked = data(action, &place, "");
        assert!(looked.code == Some(78) && looked.log[0].ends_with(said), "{action:?}: {looked:?}");
    }
    assert!(std::fs::read(&database).unwrap() == before, "what it has not made it has written to");
    set_format("2");
    assert_eq!(data(&["check"], &place, "").output, ["ok: 1 room, 1 message, 3 bytes of payloads"]);
}

#[test]
fn what_is_not_durable_is_not_kept() {
    let place = Place::folder("volatile");
    let file = place.within("volatile.toml");
    std::fs::write(&file, "listen = [\"rooms=http://127.0.0.1:0\"]\n[rooms.ops]\ndurable = false\n").unwrap();
    let start = || Program::listening(command(&["serve", "--config", &file, "--data", &place.within("data")]), 1);
    let program = start();
    publish(&program, "one");
    program.stop();
    let program = start();
    assert_eq!(get(&program, 0, "/rooms/ops/messages").0, 404);
    drop(program);
    assert_eq!(data(&["check"], &place, "").output, ["ok: 0 rooms, 0 messages, 0 bytes of payloads"]);
}
