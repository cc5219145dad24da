//! What a build is told by a load's exit code: a server that died, or a report that nobody got, has not passed.

use super::{arguments, count, verified};
use crate::process::{Program, command, run};
use nix::sys::signal::Signal;
use serde_json::Value;
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::thread;

const STRICT: [&str; 4] = ["--max-lost", "0", "--max-p99", "10s"];

/// Of connections that say nothing.
fn idle<'a>(url: &'a str, options: &[&'a str]) -> Vec<&'a str> {
    [&["bench", "idle", url, "--duration", "1s"], options].concat()
}

fn report(end: &crate::process::End) -> Value {
    serde_json::from_str(&end.output.join("\n")).expect("JSON")
}

fn broken(report: &Value) -> String {
    report["broken"].to_string()
}

/// Accepts connections and does something with each, its number and itself, until the test's process ends.
fn listen(accept: impl Fn(usize, TcpStream) + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let url = format!("tcp://{}", listener.local_addr().expect("it is bound"));
    let incoming = move || listener.incoming().map_while(Result::ok).enumerate().for_each(|(at, one)| accept(at, one));
    thread::spawn(incoming);
    url
}

#[test]
fn a_server_that_is_killed_half_way_has_lost_what_was_due_from_then_on() {
    let server = Program::serve(&[
        "echo=tcp://127.0.0.1:0",
        "rooms=tcp://127.0.0.1:0",
        "rooms=http://127.0.0.1:0",
        "echo=udp://127.0.0.1:0",
    ]);
    let urls: Vec<_> = server.listeners.iter().map(|listener| listener.url.clone()).collect();
    let room = format!("{}/rooms/ws/ws", urls[2].replace("http", "ws"));
    let churn = ["--connections", "5", "--churn", "10"];
    let few = ["--connections", "5"];
    let loads = [
        ("echo", &urls[0], &few[..], 1),
        ("echo", &urls[0], &churn, 1),
        ("rooms", &urls[1], &churn, 5),
        ("rooms", &room, &few, 5),
        ("udp", &urls[3], &few, 1),
    ];
    let mut running: Vec<_> = loads
        .iter()
        .map(|(scenario, url, options, _)| {
            let time = ["--json", "--rate", "200", "--duration", "2s", "--warmup", "0"];
            Program::spawn(command(&[&["bench", scenario, url], &time[..], &STRICT, options].concat()))
        })
        .collect();
    for load in &mut running {
        load.logged("1 s");
    }
    server.signal(Signal::SIGKILL);
    for (load, (scenario, url, _, hearers)) in running.into_iter().zip(loads) {
        let end = load.end();
        let report = report(&end);
        assert_eq!(end.code, Some(1), "{scenario} {url}: {report}");
        // All that was due in two seconds is there, or lost; but for what a member misses that is being replaced.
        let least = if scenario == "rooms" { 350 } else { 390 };
        let all = count(&report, "received") + count(&report["verified"], "lost");
        assert!((least * hearers..=410 * hearers).contains(&all), "{scenario} {url}: {all}, {report}");
        assert!(broken(&report).contains("never arrived"), "{scenario} {url}: {report}");
    }
}

#[test]
fn a_server_that_stops_answering_has_lost_what_was_due_from_then_on() {
    let url = listen(|_, mut stream| {
        let mut buffer = [0; 4096];
        let _ = stream.read(&mut buffer).and_then(|read| stream.write_all(&buffer[..read]));
        // It stays open, and takes nothing.
        std::mem::forget(stream);
    });
    for options in [&["--rate", "200"][..], &["--rate", "max", "--in-flight", "3"]] {
        let end = run(&arguments("echo", &url, &[&STRICT[..], &["--connections", "2"], options].concat()));
        let report = report(&end);
        assert_eq!(end.code, Some(1), "{report}");
        let expected = if options.len() == 2 { 200 } else { 6 };
        assert_eq!((verified(&report)[0], count(&report, "unanswered")), (expected, expected), "{report}");
    }
}

#[test]
fn connections_that_fail_or_are_closed_are_too_many_unless_they_are_allowed() {
    // Every other one is closed, with a word: data and end come together.
    let url = listen(|number, mut stream| {
        if number % 2 == 0 {
            stream.write_all(b"bye\n").expect("it is taken");
        } else {
            std::mem::forget(stream);
        }
    });
    let options = ["--connections", "10", "--max-failed"];
    let end = run(&idle(&url, &[&options[..2], &["--json"]].concat()));
    let closed = "--max-failed 0: 0 of 10 connections failed, the server closed 5";
    assert_eq!((end.code, end.log.last().expect("an error")), (Some(1), &format!("error: {closed}")));
    assert_eq!(report(&end)["passed"], false);
    let end = run(&idle(&url, &[&options[..], &["5", "--json"]].concat()));
    let report = report(&end);
    assert_eq!(report["connections"]["closed_by_server"], 5);
    assert_eq!((&report["passed"], &report["limits"]["failed"]), (&true.into(), &5.into()));
}

#[test]
fn a_report_that_could_not_be_written_is_a_failure() {
    let url = listen(|_, stream| std::mem::forget(stream));
    for options in [&["--connections", "1"][..], &["--connections", "1", "--json"]] {
        let arguments = idle(&url, options);
        let mut full = command(&arguments);
        full.stdout(File::options().write(true).open("/dev/full").expect("it is there"));
        let end = Program::spawn(full).end();
        let error = "error: cannot print the report: No space left on device (os error 28)";
        assert_eq!((end.code, end.log.last().map(String::as_str)), (Some(1), Some(error)));
        let mut closed = command(&arguments);
        closed.stdout(std::io::pipe().expect("a pipe").1);
        let end = Program::spawn(closed).end();
        let error = "error: cannot print the report: Broken pipe (os error 32)";
        assert_eq!((end.code, end.log.last().map(String::as_str)), (Some(1), Some(error)));
    }
}
