//! Which requests over HTTP came, as the log or a file of its own tells it.

use crate::process::{Place, Program, until};
use crate::tokens::made;
use nix::sys::signal::Signal;
use serde_json::Value;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;

const TRACE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

/// Sends a request, and gives its status.
fn asked(program: &Program, line: &str, headers: &str) -> String {
    let mut stream = program.tcp(0);
    let head = format!("{line} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n{headers}\r\n");
    stream.write_all(head.as_bytes()).expect("it takes it");
    let mut answer = vec![0; 12];
    stream.read_exact(&mut answer).expect("it answers");
    String::from_utf8_lossy(&answer[9..]).into_owned()
}

fn objects(file: &Place) -> Vec<Value> {
    let text = std::fs::read_to_string(&**file).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).expect("a line is an object")).collect()
}

#[test]
fn each_request_has_a_line_in_its_file_without_a_secret_and_a_reload_opens_that_again() {
    let [file, lines, audit, old] = ["access.toml", "access.jsonl", "access.audit", "access.old"].map(Place::new);
    let (token, hash) = made("alice");
    let write = |detail: &str| {
        let settings = format!(
            "access-log = \"{detail}\"\naccess-log-file = \"{lines}\"\naudit = \"{audit}\"\nlog-format = \"json\"\n"
        );
        let listen = "listen = [\"rooms=http://127.0.0.1:0?access-token=on\"]\n";
        std::fs::write(
            &*file,
            format!("{settings}{listen}[tokens.alice]\n{hash}\n[rooms.lobby]\nnamed = [\"read\"]\n"),
        )
        .expect("it is written");
    };
    write("full");
    let mut program = Program::of_file(&file, 1);
    let mode = std::fs::metadata(&*lines).expect("it is there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let bearer = format!("Authorization: Bearer {token}\r\nUser-Agent: a test\r\n");
    assert_eq!(asked(&program, "GET /rooms?limit=5", &bearer), "200");
    let post = format!("{bearer}traceparent: {TRACE}\r\nContent-Length: 2\r\n\r\nhi");
    assert_eq!(asked(&program, "POST /rooms/lobby", &post), "403");
    assert_eq!(asked(&program, &format!("GET /rooms/lobby/events?access_token={token}&since=0-0"), ""), "200");
    assert_eq!(asked(&program, &format!("GET /nothing?{token}"), ""), "404");
    until(|| objects(&lines).len() == 4);
    let told = objects(&lines);
    let of = |index: usize, name: &str| told[index][name].as_str().map(str::to_owned);
    assert_eq!(
        [of(0, "principal"), of(0, "method"), of(0, "path")],
        ["alice", "GET", "/rooms"].map(|text| Some(text.into()))
    );
    assert_eq!(
        [of(0, "query"), of(0, "agent"), of(0, "host")],
        ["limit=5", "a test", "127.0.0.1"].map(|text| Some(text.into()))
    );
    assert_eq!((told[1]["status"].as_u64(), of(1, "trace")), (Some(403), Some(TRACE.to_owned())));
    assert_eq!((told[2]["status"].as_u64(), of(2, "query")), (Some(200), Some("hidden&since=0-0".to_owned())));
    assert_eq!(
        (told[3]["status"].as_u64(), of(3, "query"), of(3, "principal")),
        (Some(404), Some("hidden".to_owned()), None)
    );
    assert!(told.iter().all(|line| line["took_us"].is_u64() && line["conn"].is_u64()), "{told:?}");
    // The same request in the audit.
    let denied = objects(&audit).into_iter().find(|event| event["event"] == "denied").expect("it was denied");
    assert_eq!(denied["trace"], TRACE);
    for file in [&lines, &audit] {
        let text = std::fs::read_to_string(&**file).expect("it is there");
        assert!(!text.contains(&token[12..]), "{text}");
    }
    // As logrotate does.
    std::fs::rename(&*lines, &*old).expect("it can be moved");
    program.signal(Signal::SIGHUP);
    program.logged("the file was reloaded: nothing changed");
    assert_eq!(asked(&program, "GET /rooms", &bearer), "200");
    until(|| objects(&lines).len() == 1);
    write("off");
    program.signal(Signal::SIGHUP);
    program.logged("access-log");
    assert_eq!(asked(&program, "GET /rooms", &bearer), "200");
    program.stop();
    assert_eq!((objects(&lines).len(), objects(&old).len()), (1, 4));
}

#[test]
fn without_a_file_requests_are_told_in_the_log() {
    let listen = "rooms=http://127.0.0.1:0";
    let program = Program::serve(&[listen, "--access-log", "on"]);
    assert_eq!(asked(&program, "GET /rooms?limit=5", "User-Agent: a test\r\n"), "200");
    let log = program.stop().log;
    let line = log.iter().find(|line| line.contains("request answered")).expect("it is told");
    assert!(line.contains("method=\"GET\" path=\"/rooms\"") && line.contains("status=200"), "{line}");
    assert!(!line.contains("limit") && !line.contains("a test"), "{line}");
    let program = Program::serve(&[listen]);
    assert_eq!(asked(&program, "GET /rooms", ""), "200");
    assert!(!program.stop().log.iter().any(|line| line.contains("request answered")));
}

#[test]
fn nobody_waits_for_a_file_that_takes_no_lines() {
    let program =
        Program::serve(&["rooms=http://127.0.0.1:0", "--access-log", "full", "--access-log-file", "/dev/full"]);
    for _ in 0..100 {
        assert_eq!(asked(&program, "GET /rooms", ""), "200");
    }
    assert_eq!(program.stop().code, Some(0));
}
