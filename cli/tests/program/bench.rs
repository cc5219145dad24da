//! `switchboard bench` against servers that are right, wrong, stopped or not there.

mod cost;
mod faulty;
mod gate;
mod media;

use crate::connect::terminal::Session;
use crate::process::{Place, Program, command, joined, run};
use crate::proxying::nowhere;
use crate::tls::Pair;
use faulty::{Chat, Echo};
use nix::sys::resource::{Resource, getrlimit};
use nix::sys::signal::Signal;
use serde_json::Value;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::thread;

/// Runs a load on a server, and reads its JSON. It must end well.
fn measure(scenario: &str, url: &str, options: &[&str]) -> Value {
    let end = run(&arguments(scenario, url, options));
    assert_eq!(end.code, Some(0), "{:?}", end.log);
    serde_json::from_str(&end.output.join("\n")).expect("JSON")
}

fn arguments<'a>(scenario: &'a str, url: &'a str, options: &[&'a str]) -> Vec<&'a str> {
    ["bench", scenario, url, "--json", "--duration", "1s", "--warmup", "0"].iter().chain(options).copied().collect()
}

/// `lost`, `duplicated`, `reordered`, `corrupt`.
fn verified(report: &Value) -> [u64; 4] {
    ["lost", "duplicated", "reordered", "corrupt"].map(|field| report["verified"][field].as_u64().expect(field))
}

fn count(report: &Value, field: &str) -> u64 {
    report[field].as_u64().expect(field)
}

/// Whether others had the machine: then less is sent than was due, and the report says why.
fn is_starved(report: &Value) -> bool {
    report["warnings"].to_string().contains("did not get the CPU in time")
}

#[test]
fn every_reply_comes_back_right_at_a_constant_rate() {
    let server = Program::serve(&["echo=tcp://127.0.0.1:0"]);
    let url = &server.listeners[0].url;
    for threads in ["1", "2"] {
        let report = measure("echo", url, &["--rate", "200", "--connections", "7", "--threads", threads]);
        assert_eq!(verified(&report), [0; 4]);
        assert_eq!((report["schema"].as_u64(), report["options"]["rate"].as_u64()), (Some(1), Some(200)));
        // Each thread looks at the clock by itself: a message that is due at a cut is on either side of it.
        let least = if is_starved(&report) { 1 } else { 190 };
        assert!((least..=210).contains(&count(&report, "sent")), "{report}");
        assert_eq!(report["connections"]["opened"], 7);
        assert!(report["latency_us"]["p50"].as_f64() > Some(0.0));
    }
}

#[test]
fn a_closed_loop_sends_as_fast_as_it_is_answered() {
    let server = Program::serve(&["echo=tcp://127.0.0.1:0"]);
    let options = ["--rate", "max", "--in-flight", "8", "--connections", "3", "--size", "1KiB"];
    let report = measure("echo", &server.listeners[0].url, &options);
    assert_eq!(verified(&report), [0; 4]);
    assert!(count(&report, "received") > 100, "{report}");
    assert_eq!(report["options"]["rate"], Value::Null);
}

/// What its speed comes from: neither side has a system call for each message.
#[test]
fn all_that_is_in_flight_on_a_connection_takes_one_write() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let url = format!("tcp://{}", listener.local_addr().expect("it is bound"));
    let server = thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a connection");
        let (mut buffer, mut lines) = (vec![0; 64 << 10], Vec::new());
        while let Ok(read @ 1..) = stream.read(&mut buffer) {
            lines.push(memchr::memchr_iter(b'\n', &buffer[..read]).count());
            stream.write_all(&buffer[..read]).expect("it is read");
        }
        lines
    });
    let report = measure("echo", &url, &["--rate", "max", "--in-flight", "16", "--connections", "1"]);
    assert_eq!(verified(&report), [0; 4]);
    let lines = joined(server);
    // The first line finds out what stands before a reply.
    assert_eq!(lines[0], 1);
    assert!(lines.len() > 10 && lines[1..].iter().all(|lines| *lines == 16), "{lines:?}");
}

#[test]
fn datagrams_are_answered() {
    let server = Program::serve(&["echo=udp://127.0.0.1:0"]);
    for options in [&["--rate", "100"][..], &["--rate", "max", "--in-flight", "4", "--source-addresses", "3"]] {
        let report = measure("udp", &server.listeners[0].url, options);
        assert_eq!(verified(&report)[1..], [0; 3]);
        assert!(count(&report, "received") > 50, "{report}");
    }
}

#[test]
fn members_of_rooms_hear_all_publishers_in_order() {
    let urls = ["rooms=tcp://127.0.0.1:0", "rooms=tcp://127.0.0.1:0?format=raw&commands=off&room=raw"];
    let server = Program::serve(&urls);
    let few = ["--connections", "6", "--publishers", "3", "--rate", "60"];
    for (listener, options) in
        [(0, &few[..]), (1, &few), (0, &["--connections", "6", "--publishers", "4", "--rooms", "3"])]
    {
        let report = measure("rooms", &server.listeners[listener].url, options);
        assert_eq!(verified(&report), [0; 4], "{report}");
        assert!(count(&report, "received") > 50, "{report}");
    }
    // Each message goes to 6 members and 2 other publishers.
    let report = measure("rooms", &server.listeners[1].url, &few);
    assert_eq!(count(&report, "received") / count(&report, "sent"), 8, "{report}");
    let closed = ["--connections", "5", "--rate", "max", "--in-flight", "3", "--threads", "2", "--publishers", "2"];
    let report = measure("rooms", &server.listeners[0].url, &closed);
    assert_eq!(verified(&report), [0; 4], "{report}");
    assert!(count(&report, "received") > 500, "{report}");
}

#[test]
fn websockets_echo_and_have_rooms() {
    let server = Program::serve(&["echo=ws://127.0.0.1:0", "rooms=http://127.0.0.1:0"]);
    let report = measure("echo", &server.listeners[0].url, &["--connections", "5", "--rate", "100"]);
    assert_eq!(verified(&report), [0; 4]);
    assert!(count(&report, "received") > 50, "{report}");
    let address = server.listeners[1].address();
    for format in ["raw", "json"] {
        let url = format!("ws://{address}/rooms/{{room}}/ws?format={format}");
        let options = ["--connections", "6", "--publishers", "3", "--rooms", "3", "--rate", "60", "--churn", "10"];
        let report = measure("rooms", &url, &options);
        assert_eq!(verified(&report), [0; 4], "{report}");
        assert!(count(&report, "received") > 50, "{report}");
    }
    let end = run(&arguments("rooms", &format!("ws://{address}/nowhere"), &[]));
    assert_eq!(end.code, Some(1));
    assert!(end.log[0].contains("WebSocket refused: HTTP/1.1 404"), "{:?}", end.log);
}

#[test]
fn connections_come_from_as_many_addresses_as_are_asked_for() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let url = format!("tcp://{}", listener.local_addr().expect("it is bound"));
    // They stay open until the run is over.
    let server = thread::spawn(move || listener.incoming().take(7).collect::<Result<Vec<_>, _>>());
    let options = ["--connections", "7", "--source-addresses", "3", "--duration", "1s"];
    assert_eq!(run(&[&["bench", "idle", &url][..], &options].concat()).code, Some(0));
    let streams = joined(server).expect("connections");
    let sources: Vec<_> =
        streams.iter().map(|stream| stream.peer_addr().expect("it was connected").ip().to_string()).collect();
    let counts =
        ["127.1.0.1", "127.1.0.2", "127.1.0.3"].map(|source| sources.iter().filter(|one| *one == source).count());
    assert_eq!(counts, [3, 2, 2], "{sources:?}");
}

#[test]
fn the_rate_rises_before_it_is_measured() {
    let server = Program::serve(&["echo=tcp://127.0.0.1:0"]);
    let url = &server.listeners[0].url;
    let end = run(&["bench", "echo", url, "--json", "--duration", "1s", "--rate", "200", "--ramp", "1s"]);
    let report: Value = serde_json::from_str(&end.output.join("\n")).expect("JSON");
    let intervals = report["intervals"].as_array().expect("a list");
    let sent: Vec<_> =
        intervals.iter().map(|interval| (interval["measured"] == true, count(interval, "sent"))).collect();
    assert_eq!(sent.iter().map(|(measured, _)| *measured).collect::<Vec<_>>(), [false, false, true]);
    if !is_starved(&report) {
        assert!((90..=110).contains(&sent[0].1) && (190..=210).contains(&sent[1].1), "{sent:?}");
    }
}

#[test]
fn on_a_terminal_there_is_a_live_view_or_a_line_a_second() {
    let server = Program::serve(&["echo=tcp://127.0.0.1:0"]);
    let arguments = ["bench", "echo", &server.listeners[0].url, "--duration", "1s", "--warmup", "0"];
    let mut live = Session::open(&arguments, &[]);
    live.shows("measuring: 0 of 1 s");
    // The screen is given back before the summary comes.
    live.shows("\x1b[?1049l");
    live.shows("0 lost, 0 duplicated");
    assert_eq!(live.code(), Some(0));
    let mut plain = Session::open(&[&arguments[..], &["--no-tui"]].concat(), &[]);
    plain.shows("    1 s  ");
    plain.shows("0 lost, 0 duplicated");
    assert_eq!((plain.code(), plain.seen.contains('\x1b')), (Some(0), false), "{:?}", plain.seen);
}

#[test]
fn a_terminal_that_cannot_be_drawn_on_gets_lines() {
    let server = Program::serve(&["echo=tcp://127.0.0.1:0"]);
    let arguments = ["bench", "echo", &server.listeners[0].url, "--duration", "1s", "--warmup", "0"];
    let mut plain = Session::open(&arguments, &[("TERM", "dumb")]);
    plain.shows("    1 s  ");
    plain.shows("verdict      passed");
    assert_eq!((plain.code(), plain.seen.contains('\x1b')), (Some(0), false), "{:?}", plain.seen);
}

#[test]
fn a_terminal_that_goes_ends_a_run_with_what_was_seen() {
    let server = Program::serve(&["echo=tcp://127.0.0.1:0"]);
    let arguments = ["bench", "echo", &server.listeners[0].url, "--duration", "1h", "--warmup", "0"];
    let mut live = Session::open(&arguments, &[]);
    live.shows("measuring: 0 of 3600 s");
    live.signal(Signal::SIGHUP);
    live.shows("stopped early");
    assert_eq!((live.code(), live.is_as_found()), (Some(0), true));
}

#[test]
fn a_key_ends_a_run_early_with_what_was_seen() {
    let server = Program::serve(&["echo=tcp://127.0.0.1:0"]);
    let url = &server.listeners[0].url;
    let mut live = Session::open(&["bench", "echo", url, "--duration", "1h", "--warmup", "0"], &[]);
    live.shows("measuring: 0 of 3600 s");
    live.press("q");
    live.shows("0 lost, 0 duplicated");
    live.shows("stopped early");
    assert_eq!(live.code(), Some(0));
}

#[test]
fn more_connections_than_descriptors_are_too_many() {
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE).expect("a limit");
    let connections = most.min(5_000_000).to_string();
    let end = run(&["bench", "idle", "tcp://127.0.0.1:1", "--connections", &connections, "--source-addresses", "1"]);
    let needed = most + 64;
    let error = format!("error: {needed} descriptors are needed, and the limit is {most}: ulimit -n");
    assert_eq!((end.code, end.log), (Some(1), vec![error]));
}

#[test]
fn certificates_are_checked_against_those_that_are_given() {
    let (pair, other) = (Pair::new("bench", "127.0.0.1"), Pair::new("bench", "other.test"));
    let server = Program::serve(&[&format!("echo=tls://127.0.0.1:0?{}", pair.query())]);
    let url = server.listeners[0].url.clone();
    let certificate = pair.certificate.to_string();
    let few = ["--connections", "5", "--rate", "100"];
    let report = measure("echo", &url, &[&few[..], &["--ca", &certificate]].concat());
    assert_eq!(verified(&report), [0; 4], "{report}");
    assert!(!report["warnings"].to_string().contains("not checked"), "{report}");
    let report = measure("echo", &url, &few);
    assert!(report["warnings"].to_string().contains("not checked"), "{report}");
    let certificate = other.certificate.to_string();
    let end = run(&arguments("echo", &url, &["--ca", &certificate]));
    assert_eq!(end.code, Some(1));
    assert!(end.log[0].contains("invalid peer certificate"), "{:?}", end.log);
    let plain = Program::serve(&["echo=tcp://127.0.0.1:0"]);
    let url = plain.listeners[0].url.replace("tcp", "tls");
    let end = run(&arguments("echo", &url, &[]));
    assert_eq!(end.log, [format!("error: {url}: the server does not speak TLS")]);
}

#[test]
fn a_servers_own_certificate_is_trusted_as_connect_trusts_it() {
    let (pair, other) = ["127.0.0.1", "other.test"].map(|name| Pair::of_its_own_authority("bench-own", name)).into();
    let server = Program::serve(
        &[&pair, &other].map(|pair| format!("echo=tls://127.0.0.1:0?{}", pair.query())).each_ref().map(String::as_str),
    );
    let options = ["--connections", "2", "--rate", "100", "--ca"];
    let certificate = pair.certificate.to_string();
    measure("echo", &server.listeners[0].url, &[&options[..], &[&certificate]].concat());
    // It is not for another host, and nobody else's.
    let certificates = [other.certificate.to_string(), certificate];
    for certificate in &certificates {
        let end = run(&arguments("echo", &server.listeners[1].url, &[&options[..], &[certificate]].concat()));
        assert_eq!(end.code, Some(1));
        assert!(end.log[0].contains("invalid peer certificate"), "{:?}", end.log);
    }
}

#[test]
fn a_page_needs_nothing_else() {
    let server = Program::serve(&["echo=tcp://127.0.0.1:0"]);
    let place = Place::new("bench.html");
    measure("echo", &server.listeners[0].url, &["--html", &place.to_string()]);
    let page = std::fs::read_to_string(&*place).expect("it was written");
    for part in [
        "<!doctype html>",
        "<polyline",
        ">0.6 s<",
        "Latency by percentile",
        "prefers-color-scheme",
        "0 lost",
        "</html>",
    ] {
        assert!(page.contains(part), "{part} is missing in\n{page}");
    }
    // Nothing is loaded from anywhere.
    assert!(!page.contains("<script") && !page.contains("src=") && !page.contains("href="), "{page}");
}

#[test]
fn churn_and_slow_readers_cost_the_others_nothing() {
    let server = Program::serve(&["rooms=tcp://127.0.0.1:0", "echo=tcp://127.0.0.1:0"]);
    let options = ["--connections", "10", "--churn", "20", "--slow-readers", "1"];
    for (scenario, listener) in [("rooms", 0), ("echo", 1)] {
        let report = measure(scenario, &server.listeners[listener].url, &options);
        assert_eq!(verified(&report), [0; 4], "{report}");
        assert!(report["connections"]["replaced"].as_u64() > Some(10), "{report}");
        assert_eq!(report["errors"], serde_json::json!({}));
    }
}

#[test]
fn idle_connections_stay_open() {
    let server = Program::serve(&["echo=tcp://127.0.0.1:0"]);
    let end = run(&["bench", "idle", &server.listeners[0].url, "--connections", "50", "--duration", "1s", "--json"]);
    let report: Value = serde_json::from_str(&end.output.join("\n")).expect("JSON");
    assert_eq!((end.code, report["connections"]["opened"].as_u64()), (Some(0), Some(50)));
    assert_eq!(report["connections"]["closed_by_server"], 0);
}

#[test]
fn a_planted_loss_duplicate_reorder_and_corruption_are_found() {
    let server = Echo::start();
    let options = ["--connections", "1", "--rate", "100"];
    let report = measure("echo", &server.url, &options);
    // What comes back corrupt is lost as well.
    assert_eq!(verified(&report), [2, 1, 1, 1], "{report}");
    let end = run(&arguments("echo", &server.url, &[&options[..], &["--max-lost", "2"]].concat()));
    assert_eq!(end.code, Some(1));
    assert_eq!(end.log.last().unwrap(), "error: --max-lost 2: 2 lost, 1 duplicated, 1 reordered, 1 corrupt");
}

#[test]
fn in_rooms_too_for_the_member_that_it_happens_to() {
    let server = Chat::start();
    let options = ["--connections", "4", "--rate", "100"];
    let report = measure("rooms", &server.url, &options);
    assert_eq!(verified(&report), [2, 1, 1, 1], "{report}");
    assert_eq!((count(&report["verified"], "gaps_announced"), count(&report["verified"], "lost_announced")), (1, 2));
}

#[test]
fn a_server_that_is_stopped_for_a_second_shows_that_second() {
    let stopped = |options: &[&str]| {
        let server = Program::serve(&["echo=tcp://127.0.0.1:0"]);
        let url = server.listeners[0].url.clone();
        let arguments = ["bench", "echo", &url, "--json", "--duration", "4s", "--warmup", "0"];
        let mut bench = Program::spawn(command(&[&arguments[..], options].concat()));
        // A line a second tells the time.
        bench.logged("1 s");
        server.signal(Signal::SIGSTOP);
        bench.logged("2 s");
        server.signal(Signal::SIGCONT);
        let end = bench.end();
        let report: Value = serde_json::from_str(&end.output.join("\n")).expect("JSON");
        report["latency_us"]["p99"].as_f64().expect("a latency")
    };
    let open = stopped(&["--rate", "100"]);
    assert!(open > 800_000.0, "{open} µs");
    // One answer in thousands is late there, whatever was not sent meanwhile.
    let closed = stopped(&["--rate", "max", "--connections", "1"]);
    assert!(closed < 500_000.0, "{closed} µs");
}

#[test]
fn a_latency_above_the_limit_ends_with_1() {
    let server = Program::serve(&["echo=tcp://127.0.0.1:0"]);
    let url = &server.listeners[0].url;
    let end = run(&arguments("echo", url, &["--max-p99", "1us"]));
    assert_eq!(end.code, Some(1));
    assert!(end.log.last().unwrap().starts_with("error: --max-p99 1.00 µs: it is "), "{:?}", end.log);
    let report: Value = serde_json::from_str(&end.output.join("\n")).expect("JSON");
    assert_eq!(report["broken"].as_array().map(Vec::len), Some(1));
    measure("echo", url, &["--max-p99", "10s", "--max-lost", "0"]);
}

#[test]
fn the_summary_and_the_servers_usage_are_for_people_too() {
    let server = Program::serve(&["echo=tcp://127.0.0.1:0"]);
    let process = server.id().to_string();
    let end = run(&[
        "bench",
        "echo",
        &server.listeners[0].url,
        "--duration",
        "1s",
        "--warmup",
        "0",
        "--server-pid",
        &process,
    ]);
    assert_eq!(end.code, Some(0));
    let text = end.output.join("\n");
    for row in [
        "1 s ",
        "command      switchboard bench echo",
        "made  ",
        "host  ",
        "verdict      passed: --max-failed 0",
        "connections",
        "latency",
        "verified     0 lost",
        "generator",
        "server ",
        "its memory",
    ] {
        assert!(text.contains(row), "{row} is missing in\n{text}");
    }
}

#[test]
fn a_server_that_is_not_there_is_one_error() {
    let url = format!("tcp://{}", nowhere());
    let end = run(&["bench", "echo", &url]);
    assert_eq!(end.code, Some(1));
    assert_eq!(end.log, [format!("error: {url}: Connection refused (os error 111)")]);
}

#[test]
fn all_faults_of_a_load_come_at_once() {
    let end = run(&[
        "bench",
        "idle",
        "udp://127.0.0.1:1",
        "--rate=-1",
        "--size",
        "1GiB",
        "--duration",
        "0",
        "--rooms",
        "2",
        "--protocol",
        "smtp",
        "--max-p99",
        "5",
        "--server-pid",
        "x",
        "--html",
        "/nonexistent/page.html",
    ]);
    assert_eq!((end.code, end.output), (Some(2), Vec::new()));
    assert_eq!(
        end.log,
        [
            "error: --rate: is not for idle",
            "error: --rate: `-1` is not a number from 1 to 100000000, nor max",
            "error: --rooms: is not for idle",
            "error: --protocol: is not for idle",
            "error: --protocol: `smtp` is not one of lines, nats, resp, mqtt, ws",
            "error: --size: is not for idle",
            "error: --size: `1GiB` is not from 16 to 65536 bytes",
            "error: --server-pid: `x` is not a process number",
            "error: --max-p99: is not for idle",
            "error: --max-p99: `5` is not a time such as 500us, 20ms or 1s",
            "error: --duration: must be longer than 0",
            "error: --html: /nonexistent/page.html: No such file or directory (os error 2)",
            "error: udp://127.0.0.1:1: udp:// goes with the scenario udp",
        ]
    );
    let conference = ["bench", "media", "tcp://127.0.0.1:1", "--threads", "2", "--speakers", "0", "--size", "8"];
    let end = run(&[&conference[..], &["--max-p99", "5", "--room", "a b", "--server-pid", "x"]].concat());
    assert_eq!(
        end.log,
        [
            "error: tcp://127.0.0.1:1: media are datagrams: udp://HOST:PORT",
            "error: --threads: not for media",
            "error: --speakers: `0` is not a number from 1 to 10000",
            "error: --max-p99: `5` is not a time such as 500us, 20ms or 1s",
            "error: --room: `a b` is not a room: a name has only ASCII letters, digits, '-', '_' and '.'",
            "error: --server-pid: `x` is not a process number",
            "error: --size: not from 20 to 1400",
        ]
    );
    let end = run(&["bench", "tcp://127.0.0.1:1"]);
    assert!(
        end.log[0].ends_with("this is a URL: the scenario comes before it, as in `bench echo URL`"),
        "{:?}",
        end.log
    );
    let end = run(&["bench", "load", "ftp://x"]);
    assert_eq!(
        end.log,
        [
            "error: unknown scenario `load`; known: echo, rooms, idle, udp",
            "error: ftp://x: unknown scheme `ftp`; known: tcp, tls, unix, udp, ws, wss",
        ]
    );
}

#[test]
fn a_token_is_shown_to_rooms_and_never_printed() {
    let server = Program::serve(&["rooms=tcp://127.0.0.1:0", "-vv"]);
    let (url, file) = (server.listeners[0].url.clone(), Place::new("bench-token"));
    std::fs::write(&*file, "mysecret\n").expect("it can be written");
    let path = file.to_string();
    let options = ["--token-file", &path, "--room", "ops", "--connections", "2", "--rate", "50"];
    let end = run(&arguments("rooms", &url, &options));
    assert_eq!(end.code, Some(0), "{:?}", end.log);
    assert!(!format!("{end:?}").contains("mysecret"));
    let report: Value = serde_json::from_str(&end.output.join("\n")).expect("JSON");
    assert_eq!(verified(&report), [0; 4], "{report}");
    let log = server.stop().log;
    let shown = log.iter().filter(|line| line.ends_with(": /auth …")).count();
    assert_eq!(shown, 3, "by two members and a publisher");
    assert!(!log.concat().contains("mysecret"));
    let end = run(&arguments("echo", &url, &["--token-file", &path]));
    let fault = "error: --token-file: is for rooms and idle, over lines or WebSockets";
    assert_eq!((end.code, &end.log[..]), (Some(2), &[fault.to_owned()][..]));
}
