//! The admin service: what it shows of a server that is used, to whom, and what its Unix socket may do.

#![allow(clippy::float_cmp, reason = "they are whole numbers")]

use crate::http::{Client, request};
use crate::process::{Place, Program, ask as say, installed, ran, run, until};
use crate::tokens::made;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Stdio};

const ADMIN: &str = "admin=http://127.0.0.1:0";

/// An answer's status and body.
fn exchange(stream: impl Read + Write, request: &str) -> (u16, String) {
    let mut client = Client::over(stream);
    client.send(request);
    let answer = client.answer();
    (answer.status, answer.body)
}

fn get(program: &Program, path: &str) -> (u16, String) {
    exchange(program.tcp(0), &request("GET", path, &[], ""))
}

fn at(socket: &Path, method: &str, path: &str, headers: &[&str], body: &str) -> (u16, String) {
    exchange(UnixStream::connect(socket).expect("it listens"), &request(method, path, headers, body))
}

const JSON: &str = "content-type: application/json";

/// Each sample's number, by its name and labels.
fn samples(text: &str) -> BTreeMap<String, f64> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| line.rsplit_once(' ').expect("a number"))
        .map(|(name, number)| (name.to_owned(), number.parse().expect("a number")))
        .collect()
}

fn metrics(program: &Program) -> BTreeMap<String, f64> {
    let (status, text) = get(program, "/metrics");
    assert_eq!(status, 200);
    samples(&text)
}

#[test]
fn metrics_add_up_to_what_clients_did_and_never_fall() {
    let program = Program::serve(&[ADMIN, "echo=tcp://127.0.0.1:0", "rooms=tcp://127.0.0.1:0?format=raw&commands=off"]);
    let mut seen = metrics(&program);
    let echo = |program: &Program| {
        let mut stream = program.tcp(1);
        say(&mut stream, b"hello\n", b"echo: hello\n");
        stream
    };
    let streams: Vec<TcpStream> = (0..3).map(|_| echo(&program)).collect();
    let mut members: Vec<TcpStream> = (0..2).map(|_| program.tcp(2)).collect();
    until(|| metrics(&program)["switchboard_memberships"] == 2.0);
    let (one, other) = members.split_at_mut(1);
    for _ in 0..4 {
        one[0].write_all(b"to all\n").expect("it takes a line");
        other[0].read_exact(&mut [0; 7]).expect("it is delivered");
    }
    let url = &program.listeners[1].url;
    // What was written is counted a moment after the peer has it.
    until(|| metrics(&program)["switchboard_sent_bytes_total{transport=\"tcp\"}"] == 3.0 * 12.0 + 4.0 * 7.0);
    until(|| metrics(&program)["switchboard_deliveries_total"] == 4.0);
    let now = metrics(&program);
    let counters = |name: &&String| name.contains("_total") || name.contains("_bucket") || name.contains("_count");
    for name in seen.keys().filter(counters) {
        assert!(now[name] >= seen[name], "{name}");
    }
    let number = |name: &str| now.get(name).copied().unwrap_or_else(|| panic!("{name} is not in {now:#?}"));
    assert_eq!(number(&format!("switchboard_connections_accepted_total{{listener=\"{url}\"}}")), 3.0);
    assert_eq!(number(&format!("switchboard_connections{{listener=\"{url}\",transport=\"tcp\"}}")), 3.0);
    assert_eq!(number("switchboard_received_bytes_total{transport=\"tcp\"}"), 3.0 * 6.0 + 4.0 * 7.0);
    assert_eq!(number("switchboard_sent_bytes_total{transport=\"tcp\"}"), 3.0 * 12.0 + 4.0 * 7.0);
    assert_eq!(number("switchboard_publications_total{class=\"\"}"), 4.0);
    assert_eq!(number("switchboard_deliveries_total"), 4.0);
    for overflow in ["disconnect", "drop-oldest", "drop-newest", "latest", "conflate"] {
        assert_eq!(number(&format!("switchboard_deliveries_lost_total{{overflow=\"{overflow}\"}}")), 0.0);
    }
    drop(streams);
    until(|| {
        metrics(&program)["switchboard_connections_closed_total{transport=\"tcp\",reason=\"peer-closed\"}"] == 3.0
    });
    seen = metrics(&program);
    assert_eq!(seen["switchboard_connection_duration_seconds_count{transport=\"tcp\"}"], 3.0);
    program.stop();
}

#[test]
fn names_and_addresses_of_peers_never_become_labels() {
    let program = Program::serve(&[ADMIN, "rooms=tcp://127.0.0.1:0"]);
    let mut member = program.tcp(1);
    member.write_all(b"/name mallory\n/join evil-room\n").expect("it takes lines");
    until(|| metrics(&program)["switchboard_rooms"] == 2.0);
    let (_, text) = get(&program, "/metrics");
    let port = member.local_addr().expect("it is connected").port().to_string();
    for hidden in ["mallory", "evil-room", port.as_str()] {
        assert!(!text.contains(hidden), "{hidden}");
    }
    program.stop();
}

#[test]
fn credentials_requests_and_settings_are_counted_by_words_of_the_program_alone() {
    let (token, hash) = made("alice");
    let file = Place::new("counted.toml");
    let write = |more: &str| {
        let listen = format!("listen = [\"{ADMIN}\", \"rooms=http://127.0.0.1:0\", \"rooms=tcp://127.0.0.1:0\"]\n");
        std::fs::write(&*file, format!("{listen}[tokens.alice]\n{hash}\n[rooms.lobby]\nnamed = [\"all\"]\n{more}"))
            .expect("it is written");
    };
    write("");
    let mut program = Program::of_file(&file, 3);
    let before = metrics(&program);
    let bearer = format!("authorization: Bearer {token}");
    let post = |path: &str, header: &str| exchange(program.tcp(1), &request("POST", path, &[header], "hi")).0;
    assert_eq!((post("/rooms/lobby", &bearer), post("/rooms/lobby", "x: y")), (200, 401));
    assert_eq!(post("/rooms/lobby", "authorization: Bearer sb_evil"), 401);
    assert_eq!((post("/rooms/mallory", &bearer), post("/mallory/x", &bearer)), (403, 404));
    let mut member = program.tcp(2);
    member.write_all(b"/auth mallory\n/join mallory\n/ping\n").expect("it takes lines");
    until(|| {
        metrics(&program)["switchboard_authentication_failures_total{method=\"token\",reason=\"unknown\"}"] == 2.0
    });
    until(|| metrics(&program)["switchboard_authorization_denials_total{action=\"join\"}"] == 1.0);
    let now = metrics(&program);
    assert_eq!(now["switchboard_authentications_total{method=\"token\"}"], 2.0);
    assert_eq!(now["switchboard_authorization_denials_total{action=\"publish\"}"], 2.0);
    let url = &program.listeners[1].url;
    let requests = |route: &str, code: u16| {
        let name = format!("switchboard_http_requests_total{{listener=\"{url}\",route=\"{route}\",code=\"{code}\"}}");
        now.get(&name).copied().unwrap_or_default()
    };
    let rooms = "/rooms/{room}";
    assert_eq!(
        [requests(rooms, 200), requests(rooms, 401), requests(rooms, 403), requests("", 404)],
        [1.0, 2.0, 1.0, 1.0]
    );
    assert_eq!(now[&format!("switchboard_http_request_duration_seconds_count{{route=\"{rooms}\"}}")], 4.0);
    assert_eq!((now["switchboard_ready"], now["switchboard_bans"]), (1.0, 0.0));
    let (_, text) = get(&program, "/metrics");
    assert!(!text.contains("mallory") && !text.contains("evil"), "{text}");
    write("[[ban]]\nnetwork = \"192.0.2.0/24\"\n");
    program.signal(nix::sys::signal::Signal::SIGHUP);
    program.logged("the file was reloaded");
    until(|| metrics(&program)["switchboard_bans"] == 1.0);
    assert_ne!(metrics(&program)["switchboard_config_hash"], before["switchboard_config_hash"]);
    write("");
    program.signal(nix::sys::signal::Signal::SIGHUP);
    until(|| metrics(&program)["switchboard_config_hash"] == before["switchboard_config_hash"]);
    program.stop();
}

#[test]
fn promtool_has_nothing_to_say() {
    let Some(promtool) = installed("promtool", "prometheus") else { return };
    let program =
        Program::serve(&[ADMIN, "echo=tcp://127.0.0.1:0", "echo=udp://127.0.0.1:0", "rooms=http://127.0.0.1:0"]);
    drop(program.tcp(1));
    until(|| {
        metrics(&program).get("switchboard_connections_closed_total{transport=\"tcp\",reason=\"peer-closed\"}")
            == Some(&1.0)
    });
    let (_, text) = get(&program, "/metrics");
    let mut promtool = Command::new(promtool);
    promtool.args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut promtool = promtool.spawn().expect("it is installed");
    promtool.stdin.as_mut().expect("it is piped").write_all(text.as_bytes()).expect("it takes everything");
    let output = ran(promtool);
    assert!(output.status.success() && output.stdout.is_empty() && output.stderr.is_empty(), "{output:?}");
    program.stop();
}

#[test]
fn sums_are_for_everybody_and_the_rest_for_who_can_open_the_socket() {
    let place = Place::new("admin.sock");
    let program = Program::serve(&[ADMIN, &format!("admin=unix://{place}")]);
    for path in ["/", "/openapi.json", "/metrics", "/healthz", "/readyz", "/stats"] {
        assert_eq!(get(&program, path).0, 200, "{path}");
    }
    assert_eq!(get(&program, "/server").0, 401);
    let put = |body: &str| exchange(program.tcp(0), &request("PUT", "/ready", &[JSON], body)).0;
    assert_eq!(put("{\"ready\":false}"), 401);
    let (status, server) = at(&place, "GET", "/server", &[], "");
    let server: Value = serde_json::from_str(&server).expect("it is JSON");
    assert_eq!((status, server["listeners"][0]["url"].as_str()), (200, Some(program.listeners[0].url.as_str())));
    assert_eq!(at(&place, "PUT", "/ready", &["content-type: text/plain"], "{\"ready\":false}").0, 415);
    assert_eq!(at(&place, "PUT", "/ready", &[JSON], "{\"ready\":1}").0, 400);
    assert_eq!(at(&place, "GET", "/server?x=1", &[], "").0, 400);
    let evil = "GET /metrics HTTP/1.1\r\nhost: evil.example\r\nconnection: close\r\n\r\n";
    assert_eq!(exchange(program.tcp(0), evil).0, 403);
    let foreign = request("GET", "/stats", &["origin: https://evil.example"], "");
    assert_eq!(exchange(program.tcp(0), &foreign).0, 403);
    program.stop();
    assert!(!place.exists(), "its file is gone");
}

#[test]
fn the_socket_is_its_owners_alone_unless_it_is_said_for_whom() {
    let places = ["private.sock", "shared.sock", "rooms.sock"].map(Place::new);
    let [private, shared, rooms] = &places;
    let mut command = Command::new("/bin/sh");
    let script = "umask 000; exec \"$0\" serve \"$@\"";
    command.args(["-c", script, env!("CARGO_BIN_EXE_switchboard")]);
    command.args([format!("admin=unix://{private}"), format!("admin=unix://{shared}?mode=0660")]);
    command.arg(format!("rooms=unix://{rooms}"));
    command.env_clear().stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let program = Program::listening(command, 3);
    let mode = |place: &Place| std::fs::metadata(&**place).expect("it is there").permissions().mode() & 0o777;
    // Who may open another's is for the umask.
    assert_eq!(places.each_ref().map(mode), [0o600, 0o660, 0o777]);
    program.stop();
}

#[test]
fn readiness_follows_the_operator_and_the_drain() {
    let place = Place::new("ready.sock");
    let mut program = Program::serve(&[ADMIN, &format!("admin=unix://{place}"), "echo=tcp://127.0.0.1:0"]);
    let ready = || {
        let (status, body) = get(&program, "/readyz");
        let body: Value = serde_json::from_str(&body).expect("it is JSON");
        (status, body["checks"]["not-put-aside"].as_bool())
    };
    assert_eq!(ready(), (200, Some(true)));
    assert_eq!(at(&place, "PUT", "/ready", &[JSON], "{\"ready\":false}").0, 200);
    assert_eq!(ready(), (503, Some(false)));
    assert_eq!(get(&program, "/healthz").0, 200);
    assert_eq!(at(&place, "PUT", "/ready", &[JSON], "{\"ready\":true}").0, 200);
    assert_eq!(ready(), (200, Some(true)));
    assert_eq!(at(&place, "POST", "/drain", &[JSON], "{}").0, 202);
    program.logged("drained");
    let end = program.end();
    assert_eq!(end.code, Some(0), "{end:?}");
}

#[test]
fn plain_http_that_others_can_reach_has_to_be_asked_for() {
    let refused = run(&["config", "check", "admin=http://0.0.0.0:0"]);
    assert_eq!(refused.code, Some(2), "{refused:?}");
    assert!(refused.log[0].contains("?plain-text=accepted"), "{refused:?}");
    assert_eq!(run(&["config", "check", "admin=http://0.0.0.0:0?plain-text=accepted"]).code, Some(0));
    let wrong = run(&["config", "check", "admin=unix:///tmp/x?mode=999&group=nobody-has-this"]);
    assert_eq!((wrong.code, wrong.log.len()), (Some(2), 2), "{wrong:?}");
}

fn object(answer: (u16, String)) -> Value {
    let (status, body) = answer;
    assert_eq!(status, 200, "{body}");
    serde_json::from_str(&body).expect("it is JSON")
}

#[test]
fn connections_rooms_and_those_who_have_left_are_listed_and_can_be_closed() {
    let place = Place::new("lists.sock");
    let program =
        Program::serve(&[&format!("admin=unix://{place}"), "rooms=tcp://127.0.0.1:0", "echo=tcp://127.0.0.1:0"]);
    let read = |path: &str| object(at(&place, "GET", path, &[], ""));
    let mut alice = program.tcp(1);
    alice.write_all(b"/name alice\n/join ops\n").expect("it takes lines");
    until(|| read("/rooms?glob=ops")["rooms"][0]["members"] == 1);
    let mut echo = program.tcp(2);
    say(&mut echo, b"hello\n", b"echo: hello\n");

    let listed = read("/connections?sort=in&transport=tcp&address=127.0.0.0/8");
    let listed = listed["connections"].as_array().expect("a list");
    assert_eq!((listed[0]["name"].as_str(), listed.len()), (Some("alice"), 2), "{listed:?}");
    assert_eq!((listed[0]["rooms"].as_u64(), listed[1]["name"].as_str()), (Some(2), None));
    assert_eq!(read("/connections?name=al*")["connections"][0]["id"], listed[0]["id"]);
    assert_eq!(read("/names/alice")["id"], listed[0]["id"]);
    assert_eq!(read("/connections?address=192.0.2.0/24")["connections"].as_array().map(Vec::len), Some(0));
    let of_room = |room: &str| at(&place, "GET", &format!("/connections?room={room}"), &[], "");
    let of_ops = object(of_room("ops"));
    assert_eq!(of_ops["connections"].as_array().map(Vec::len), Some(1), "{of_ops}");
    assert_eq!(of_ops["connections"][0]["id"], listed[0]["id"]);
    assert_eq!(object(of_room("ops&name=b*"))["connections"], json!([]));
    assert_eq!(of_room("nowhere").0, 404);
    let first = read("/connections?limit=1&transport=tcp");
    let first = &first["connections"][0]["id"];
    assert_ne!(read(&format!("/connections?limit=1&transport=tcp&after={first}"))["connections"][0]["id"], *first);
    for wrong in
        ["sort=size", "after=1&sort=out", "address=x", "limit=0", "limit=1001", "name=%5B", "room=a%20b", "nope=1"]
    {
        assert_eq!(at(&place, "GET", &format!("/connections?{wrong}"), &[], "").0, 400, "{wrong}");
    }

    assert_eq!(at(&place, "DELETE", &format!("/connections/{}", listed[1]["id"]), &[], "").0, 200);
    assert_eq!(echo.read(&mut [0; 16]).expect("it ends in order"), 0);
    drop(echo);
    assert_eq!(at(&place, "DELETE", "/names/alice", &[], "").0, 200);
    drop(alice);
    until(|| read("/closed?reason=closed")["closed"].as_array().is_some_and(|closed| closed.len() == 2));
    assert_eq!(read("/closed?address=127.0.0.1")["closed"][0]["transport"], "tcp");
    assert_eq!(at(&place, "GET", "/names/alice", &[], "").0, 404);
    assert_eq!(at(&place, "DELETE", "/connections/999999", &[], "").0, 404);
    program.stop();
}

#[test]
fn a_token_may_as_far_as_its_line_says_and_no_further() {
    let tokens = ["view", "act", "none"].map(|admin| {
        let (token, hash) = made(admin);
        let admin_line = if admin == "none" { String::new() } else { format!("admin = \"{admin}\"\n") };
        (token, format!("[tokens.{admin}]\n{hash}\n{admin_line}"))
    });
    let file = Place::new("admin.toml");
    let tables: String = tokens.iter().map(|(_, table)| table.as_str()).collect();
    std::fs::write(&*file, format!("listen = [\"{ADMIN}\"]\n{tables}")).expect("it is written");
    let program = Program::of_file(&file, 1);
    let ask = |token: &str, method: &str, path: &str, body: &str| {
        let bearer = format!("authorization: Bearer {token}");
        exchange(program.tcp(0), &request(method, path, &[&bearer, JSON], body)).0
    };
    let [(view, _), (act, _), (none, _)] = &tokens;
    let (_, description) = get(&program, "/openapi.json");
    let description: Value = serde_json::from_str(&description).expect("it is JSON");
    let mut acts = 0;
    for (path, methods) in description["paths"].as_object().expect("paths") {
        let path = path.replace("{id}", "999999").replace("{network}", "192.0.2.1");
        let path = path.replace(['{', '}'], "");
        for (method, operation) in methods.as_object().expect("methods") {
            let told = operation["description"].as_str().unwrap_or_default();
            let (needs_view, needs_act) = (told.contains("Needs `view`"), told.contains("Needs `act`"));
            let method = method.to_uppercase();
            let body = if operation.get("requestBody").is_some() { "[]" } else { "" };
            let of = |token: &str| ask(token, &method, &path, body);
            let without = exchange(program.tcp(0), &request(&method, &path, &[JSON], body)).0;
            let is_refused = |status: u16| [401, 403].contains(&status);
            if !needs_view && !needs_act {
                assert!(!is_refused(without) && !is_refused(of(none)), "{method} {path}");
                continue;
            }
            acts += u32::from(needs_act);
            assert_eq!((without, of("sb_wrong"), of(none)), (401, 401, 403), "{method} {path}");
            assert_eq!(of(view) == 403, needs_act, "{method} {path}");
            // What is sent makes no sense, and nothing is there: it does nothing, and is let in.
            let done = of(act);
            // A file to check is none of JSON.
            let expected: &[u16] = if path == "/config/check" { &[415] } else { &[200, 400, 404] };
            assert!(expected.contains(&done), "{method} {path}: {done}");
        }
    }
    assert!(acts >= 8, "{acts}");
    assert_eq!(ask(none, "GET", "/metrics", ""), 200);
    program.stop();
}

#[test]
fn other_events_are_logged_for_a_while_and_the_file_is_read_again_on_demand() {
    let (place, file) = (Place::new("steer.sock"), Place::new("steer.toml"));
    let write = |more: &str| {
        let text = format!("listen = [\"admin=unix://{place}\", \"echo=tcp://127.0.0.1:0\"]\n{more}");
        std::fs::write(&*file, text).expect("it is written");
    };
    write("");
    let mut program = Program::of_file(&file, 2);
    let log = at(&place, "PUT", "/log", &[JSON], "{\"filter\":\"switchboard=debug\",\"for\":\"2s\"}");
    assert_eq!(log.0, 200, "{}", log.1);
    drop(program.tcp(1));
    program.logged("connection opened");
    until(|| object(at(&place, "GET", "/log", &[], ""))["until"].is_null());
    assert_eq!(object(at(&place, "GET", "/log", &[], ""))["filter"], "info");
    assert_eq!(at(&place, "PUT", "/log", &[JSON], "{\"filter\":\"loud\",\"for\":\"2s\"}").0, 400);
    assert_eq!(at(&place, "PUT", "/log", &[JSON], "{\"filter\":\"debug\",\"for\":\"48h\"}").0, 400);

    write("log = \"warn\"\n");
    let reload = || at(&place, "POST", "/config/reload", &[JSON], "{}");
    let (status, told) = reload();
    assert!(status == 200 && told.contains("\"log\""), "{told}");
    write("workers = 3\nnope = 1\n");
    let (status, told) = reload();
    assert!(status == 422 && told.contains("nope"), "{told}");
    let (_, text) = at(&place, "GET", "/metrics", &[], "");
    let samples = samples(&text);
    assert_eq!(samples["switchboard_config_last_reload_successful"], 0.0);
    assert_eq!(samples["switchboard_config_reload_failures_total"], 1.0);
    program.stop();
}
