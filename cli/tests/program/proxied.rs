//! Listeners behind proxies: whose a connection and a request is, and who is refused.

use crate::http::asked;
use crate::process::{PATIENCE, Place, Program, ask, output, run, until};
use crate::tokens::made;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::Command;

const V1: &str = "PROXY TCP4 192.0.2.1 198.51.100.2 4711 443\r\n";

/// Asks for a path, and gives the status of the answer.
fn status(program: &Program, method: &str, path: &str, headers: &str) -> String {
    let mut stream = program.tcp(0);
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout can be set");
    let length = if method == "POST" { "content-length: 2\r\n" } else { "" };
    let body = if method == "POST" { "hi" } else { "" };
    let request =
        format!("{method} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n{headers}{length}\r\n{body}");
    stream.write_all(request.as_bytes()).expect("it takes everything");
    let mut answer = Vec::new();
    // One that is refused is reset.
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).split(' ').nth(1).unwrap_or_default().to_owned()
}

#[test]
fn who_comes_by_a_proxy_is_logged_as_whom_it_names_on_all_schemes() {
    let mut program = Program::serve(&[
        "-v",
        "echo=tcp://127.0.0.1:0?proxy-from=10.0.0.1,127.0.0.0/8",
        "rooms=http://127.0.0.1:0?proxy-from=127.0.0.1",
    ]);
    let mut stream = program.tcp(0);
    stream.write_all(V1.as_bytes()).expect("it takes everything");
    ask(&mut stream, b"hi\n", b"echo: hi\n");
    assert!(program.logged("connection opened").contains("peer.addr=192.0.2.1:4711"));
    // curl's header is of the address that it comes from itself.
    let url = format!("http://{}/rooms", program.listeners[1].address());
    let answer = output(Command::new("curl").args(["--silent", "--haproxy-protocol", &url]));
    assert!(answer.stdout.starts_with(b"{\"event\":\"rooms\""), "{answer:?}");
    let answer = output(Command::new("curl").args(["--silent", &url]));
    assert!(answer.stdout.is_empty() && !answer.status.success(), "{answer:?}");
    assert!(program.logged("connection refused").contains("close.reason=bad-proxy-header"));
}

#[test]
fn who_is_no_proxy_is_refused_or_is_let_in_as_itself() {
    let mut program = Program::serve(&[
        "echo=tcp://127.0.0.1:0?proxy-from=192.0.2.0/24",
        "echo=tcp://127.0.0.1:0?proxy-from=192.0.2.0/24&proxy-others=direct",
    ]);
    for bytes in [V1.as_bytes(), b"hi\n"] {
        let mut stream = program.tcp(0);
        let (_, mut answer) = (stream.write_all(bytes), Vec::new());
        let _ = stream.read_to_end(&mut answer);
        assert!(answer.is_empty());
        program.logged("close.reason=bad-proxy-header");
    }
    ask(&mut program.tcp(1), b"hi\n", b"echo: hi\n");
    let mut stream = program.tcp(1);
    stream.write_all(V1.as_bytes()).expect("it takes everything");
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer);
    assert!(!answer.contains("echo"), "a header that nobody asked for is another protocol's: {answer}");
}

#[test]
fn rates_count_the_client_that_trusted_proxies_name_and_no_other() {
    let program = Program::serve(&["rooms=http://127.0.0.1:0?rate=1&forwarded-from=127.0.0.1,10.0.0.0/8"]);
    let post = |headers: &str| status(&program, "POST", "/rooms/lobby", headers);
    assert_eq!(post("x-forwarded-for: 192.0.2.1\r\n"), "200");
    // What stands on the left is anybody's, and so is another header.
    for number in 0..20 {
        let forged = format!("x-forwarded-for: 198.51.100.{number}, 192.0.2.1, 10.0.0.{number}\r\n");
        assert_eq!(post(&forged), "429", "{forged}");
        let forged = format!("forwarded: for=198.51.100.{number}\r\nx-real-ip: 198.51.100.{number}\r\n");
        assert_eq!(post(&format!("{forged}x-forwarded-for: 192.0.2.1\r\n")), "429", "{forged}");
    }
    assert_eq!(post("x-forwarded-for: 192.0.2.2\r\n"), "200", "another client");
    assert_eq!(post("x-forwarded-for: 198.51.100.7, unknown\r\n"), "200", "the proxy itself");
    assert_eq!(post("x-forwarded-for: 198.51.100.8, _hidden\r\n"), "429", "the proxy itself");
}

#[test]
fn requests_over_http2_are_their_clients_each_by_itself() {
    let mut program = Program::serve(&["-v", "rooms=http://127.0.0.1:0?rate=1&forwarded-from=127.0.0.1"]);
    let url = format!("http://{}/rooms/lobby", program.listeners[0].address());
    for (client, status) in [("192.0.2.1", "200"), ("192.0.2.1", "429"), ("192.0.2.2", "200")] {
        let forwarded = format!("x-forwarded-for: 198.51.100.7, {client}");
        let mut curl = Command::new("curl");
        curl.args([
            "--silent",
            "--http2-prior-knowledge",
            "-d",
            "hi",
            "-o",
            "/dev/null",
            "-w",
            "%{http_version} %{http_code}",
        ]);
        let told = output(curl.args(["-H", &forwarded, &url])).stdout;
        assert_eq!(String::from_utf8_lossy(&told), format!("2 {status}"), "{client}");
    }
    assert!(program.logged("request refused").contains("peer.addr=192.0.2.1:0 "));
}

#[test]
fn nobody_is_believed_who_is_not_trusted() {
    let program = Program::serve(&["rooms=http://127.0.0.1:0?rate=1&forwarded-from=10.0.0.0/8"]);
    let post = |headers: &str| status(&program, "POST", "/rooms/lobby", headers);
    assert_eq!(post("x-forwarded-for: 192.0.2.1\r\n"), "200");
    assert_eq!(post("x-forwarded-for: 192.0.2.2\r\n"), "429");
    assert_eq!(post("forwarded: for=192.0.2.3\r\n"), "429");
}

#[test]
fn options_that_make_no_sense_say_what_would() {
    for (option, said) in [
        ("proxy-from=10.0.0.1/8", "did you mean 10.0.0.0/8?"),
        ("proxy-from=", "neither an address nor a network such as 10.0.0.0/8"),
        ("proxy-from=localhost", "neither an address nor a network"),
        ("proxy-others=direct", "proxy-from, which is missing"),
        ("proxy-from=::1&proxy-others=maybe", "not refuse or direct"),
        ("forwarded-from=10.0.0.1", "is for HTTP"),
    ] {
        let end = run(&["serve", &format!("echo=tcp://127.0.0.1:0?{option}")]);
        assert!(end.code == Some(2) && end.log.concat().contains(said), "{option}: {end:?}");
    }
    for option in ["forwarded-by=forwarded", "forwarded-from=10.0.0.1&forwarded-by=x-client-ip"] {
        let end = run(&["serve", &format!("rooms=http://127.0.0.1:0?{option}")]);
        assert!(end.code == Some(2) && end.log.concat().contains("forwarded-by"), "{option}: {end:?}");
    }
    let end = run(&["serve", "rooms=tcp://127.0.0.1:0?proxy-from=127.0.0.1&as=alice"]);
    assert!(end.code == Some(2) && end.log.concat().contains("for loopback and Unix sockets only"), "{end:?}");
}

/// Connections that say nothing leave those alone that come later.
#[test]
fn many_that_say_nothing_leave_newcomers_served() {
    let program = Program::serve(&["echo=tcp://127.0.0.1:0?proxy-from=127.0.0.1"]);
    let mut silent = Vec::new();
    let connect = || TcpStream::connect(program.listeners[0].address());
    while let Ok(stream) = connect() {
        silent.push(stream);
        if silent.len() == 5_000 {
            break;
        }
    }
    let mut stream = connect().expect("it accepts");
    stream.write_all(V1.as_bytes()).expect("it takes everything");
    ask(&mut stream, b"hi\n", b"echo: hi\n");
    // All of them are gone after five seconds.
    let mut last = silent.pop().expect("there is one");
    let mut byte = [0];
    until(|| matches!(last.read(&mut byte), Ok(0) | Err(_)));
}

#[test]
fn wrong_tokens_are_counted_by_client_and_then_not_looked_at() {
    let place = Place::new("throttled.toml");
    let (token, hash) = made("alice");
    let text = format!("[tokens.alice]\n{hash}\nrooms = {{ \"**\" = [\"all\"] }}\n");
    std::fs::write(&*place, text).expect("it can be written");
    let program =
        Program::serve(&["--config", &place.to_string(), "rooms=http://127.0.0.1:0?forwarded-from=127.0.0.1"]);
    let me = |token: &str, from: &str| {
        status(&program, "GET", "/me", &format!("authorization: Bearer {token}\r\nx-forwarded-for: {from}\r\n"))
    };
    for count in 0..10 {
        assert_eq!(me("sb_wrong", &format!("2001:db8::{count}")), "401");
    }
    assert_eq!(me("sb_wrong", "2001:db8::ffff"), "429", "of the same network");
    let headers = ["authorization: Bearer sb_wrong", "x-forwarded-for: 2001:db8::fffe"];
    let told = asked(program.tcp(0), "GET", "/me", &headers, "");
    // One more every six seconds.
    assert_eq!((told.status, told.header("retry-after")), (429, Some("6")), "{}", told.body);
    assert_eq!(me(&token, "2001:db8::ffff"), "200");
    assert_eq!(me("sb_wrong", "2001:db8:0:1::1"), "401", "of another");
}
