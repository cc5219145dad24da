//! `switchboard admin`: what an operator types, and what a server that runs answers.

use crate::process::{End, Place, Program, ask as say, command, run, until};
use crate::tokens::made;
use serde_json::Value;
use std::io::Write as _;
use std::path::Path;

/// Asks at a socket.
pub(crate) fn admin(socket: &Place, arguments: &[&str]) -> End {
    let url = format!("unix://{socket}");
    run(&[&["admin", "--url", &url], arguments].concat())
}

/// What it prints if all is well.
#[track_caller]
pub(crate) fn done(end: End) -> String {
    assert_eq!((end.code, end.log.len()), (Some(0), 0), "{end:?}");
    end.output.join("\n")
}

/// What it says if not, in one line.
#[track_caller]
pub(crate) fn refused(end: &End) -> &str {
    assert_eq!((end.code, end.log.len(), end.output.len()), (Some(1), 1, 0), "{end:?}");
    &end.log[0]
}

/// What an audit tells of what operators did at a socket: actions with their arguments.
pub(crate) fn acts(audit: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(audit).unwrap_or_default();
    let events = text.lines().map(|line| serde_json::from_str::<Value>(line).expect("an object"));
    let of_operators = events.filter(|event| event["event"] == "admin");
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    of_operators
        .inspect(|event| assert!(text(&event["source"]).starts_with("unix/"), "{event}"))
        .map(|event| format!("{} {}", text(&event["action"]), text(&event["reason"])).trim_end().to_owned())
        .collect()
}

#[test]
fn a_server_is_seen_in_lines_and_tables_and_as_it_answers() {
    let place = Place::new("seen.sock");
    let program =
        Program::serve(&[&format!("admin=unix://{place}"), "rooms=tcp://127.0.0.1:0", "echo=tcp://127.0.0.1:0"]);
    let status = done(admin(&place, &["status"]));
    assert!(status.contains(&format!("\npid: {}\n", program.id())), "{status}");
    assert!(status.contains("\nSERVICE  URL ") && status.contains(&program.listeners[1].url), "{status}");
    let mut alice = program.tcp(1);
    alice.write_all(b"/name alice\n/join ops\n").expect("it takes lines");
    until(|| admin(&place, &["who", "alice"]).code == Some(0));
    let mut echo = program.tcp(2);
    say(&mut echo, b"hello\n", b"echo: hello\n");

    let who = done(admin(&place, &["who", "alice"]));
    assert!(who.contains("\nname: alice\n"), "{who}");
    let object: Value = serde_json::from_str(&done(admin(&place, &["who", "alice", "--json"]))).expect("it is JSON");
    assert_eq!(object["name"], "alice");
    let listed = admin(&place, &["connections", "name=al*", "transport=tcp"]);
    assert_eq!((listed.code, listed.output.len()), (Some(0), 2), "{listed:?}");
    assert!(listed.output[1].contains(" alice ") && listed.output[0].contains("  NAME "), "{listed:?}");
    assert_eq!(listed.log, ["1 of 3 open connections"]);
    let rooms = done(admin(&place, &["rooms", "sort=members"]));
    assert!(rooms.starts_with("ROOM ") && rooms.contains("\nops "), "{rooms}");
    drop(echo);
    until(|| admin(&place, &["closed", "reason=peer-closed"]).output.iter().any(|line| line.contains("peer-closed")));
    program.stop();
}

#[test]
fn what_cannot_be_told_is_said_in_one_line() {
    let place = Place::new("refused.sock");
    let program =
        Program::serve(&[&format!("admin=unix://{place}"), "admin=http://127.0.0.1:0", "rooms=http://127.0.0.1:0"]);
    let nobody = admin(&place, &["who", "nobody"]);
    assert_eq!(refused(&nobody), "error: nobody is called nobody");
    let wrong = admin(&place, &["connections", "sort=size"]);
    assert!(refused(&wrong).starts_with("error: sort: "), "{wrong:?}");
    let at = |listener: usize, arguments: &[&str]| {
        run(&[&["admin", "--url", &program.listeners[listener].url], arguments].concat())
    };
    assert!(refused(&at(1, &["status"])).contains("(--token-file)"));
    assert_eq!(at(1, &["health"]).code, Some(0));
    assert!(refused(&at(2, &["status"])).contains("is no admin service"));
    assert!(refused(&at(2, &["health"])).contains("is no admin service"));
    let typed = run(&["admin", "connections", "outbox"]);
    assert_eq!(typed.code, Some(2), "{typed:?}");
    let elsewhere = run(&["admin", "status", "--url", "http://192.0.2.1:8083", "--token-file", "/nowhere"]);
    assert_eq!((elsewhere.code, elsewhere.log.len()), (Some(2), 2), "{elsewhere:?}");
    program.stop();
    let gone = admin(&place, &["health"]);
    assert!(refused(&gone).contains("start one with `switchboard serve`"), "{gone:?}");
}

#[test]
fn a_token_of_a_file_or_the_environment_is_presented() {
    let (made, hash) = made("operator");
    let (file, token) = (Place::new("operating.toml"), Place::new("operating.token"));
    let text = format!("listen = [\"admin=http://127.0.0.1:0\"]\n[tokens.operator]\n{hash}\nadmin = \"view\"\n");
    std::fs::write(&*file, text).expect("it is written");
    std::fs::write(&*token, &made).expect("it is written");
    let program = Program::of_file(&file, 1);
    let arguments = ["admin", "connections", "--url", &program.listeners[0].url];
    done(run(&[&arguments[..], &["--token-file", &token.to_string()]].concat()));
    let mut with_variable = command(&arguments);
    with_variable.env("SWITCHBOARD_TOKEN", &made);
    done(Program::spawn(with_variable).end());
    program.stop();
}

#[test]
fn a_server_is_told_what_to_do_and_says_what_is_wrong() {
    let (place, file) = (Place::new("told.sock"), Place::new("told.toml"));
    let write = |more: &str| {
        let text = format!("listen = [\"admin=unix://{place}\", \"rooms=tcp://127.0.0.1:0\"]\n{more}");
        std::fs::write(&*file, text).expect("it is written");
    };
    write("");
    let mut program = Program::of_file(&file, 2);
    let mut alice = program.tcp(1);
    alice.write_all(b"/name alice\n").expect("it takes a line");
    until(|| admin(&place, &["who", "alice"]).code == Some(0));
    assert!(done(admin(&place, &["close", "alice"])).starts_with("closed: "));
    drop(alice);
    until(|| admin(&place, &["who", "alice"]).code == Some(1));
    assert!(refused(&admin(&place, &["close", "999999"])).starts_with("error: there is no such connection"));

    assert!(done(admin(&place, &["log", "switchboard=debug", "--for", "1m"])).contains("filter: switchboard=debug\n"));
    assert!(done(admin(&place, &["log"])).contains("filter: switchboard=debug\n"));
    assert_eq!(admin(&place, &["log", "info", "--for", "soon"]).code, Some(2));
    assert!(refused(&admin(&place, &["log", "info", "--for", "48h"])).starts_with("error: for: "));

    done(admin(&place, &["ready", "off"]));
    let health = done(admin(&place, &["health"]));
    assert_eq!(health, "healthy: yes\nready: no: an operator has put it aside");
    let unready = admin(&place, &["health", "--ready"]);
    assert_eq!(unready.code, Some(1), "{unready:?}");
    assert_eq!(unready.log, ["error: the server wants no connections: an operator has put it aside"]);
    done(admin(&place, &["ready", "on"]));
    done(admin(&place, &["health", "--ready"]));

    write("log = \"warn\"\n");
    assert!(done(admin(&place, &["reload"])).contains("log"));
    write("nope = 1\n");
    assert!(refused(&admin(&place, &["reload"])).contains("nope"));
    write("");
    done(admin(&place, &["reload"]));
    assert_eq!(done(admin(&place, &["drain"])), "draining: yes");
    program.logged("drained");
    assert_eq!(program.end().code, Some(0));
}
