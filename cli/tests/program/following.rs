//! What of listeners and limits follows the file when it is read again: those who come then have it, and nobody is dropped.

use crate::process::{Place, Program, ask, exchange, until};
use crate::tokens::made;
use nix::sys::signal::Signal;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;

/// A server and its file.
struct Served {
    file: Place,
    program: Program,
}

impl Served {
    fn new(test: &str, text: &str, listeners: usize) -> Self {
        let file = Place::new(test);
        std::fs::write(&file as &Path, text).expect("the temporary folder takes a file");
        let program = Program::of_file(&file, listeners);
        Self { file, program }
    }

    /// Reads another text, and says what is logged of that.
    fn reload(&mut self, text: &str) -> String {
        std::fs::write(&self.file as &Path, text).expect("the temporary folder takes a file");
        self.program.signal(Signal::SIGHUP);
        self.program.logged("the file was")
    }

    /// What a new connection is told for what it sends.
    fn told(&self, listener: usize, sent: &str) -> String {
        String::from_utf8_lossy(&exchange(self.program.tcp(listener), sent.as_bytes())).into_owned()
    }
}

/// The next line, empty at the end.
fn line(stream: &TcpStream) -> String {
    let mut line = String::new();
    // A reset is an end as well.
    _ = BufReader::new(stream).read_line(&mut line);
    line
}

#[test]
fn limits_hold_for_those_who_come_and_the_most_connections_at_once() {
    let text = |limits: &str| {
        format!("{limits}\nlisten = [\"rooms=tcp://127.0.0.1:0?echo=on\", \"rooms=http://127.0.0.1:0\"]\n")
    };
    let mut served = Served::new("limits.toml", &text("max-connections = 2"), 2);
    let mut first = served.program.tcp(0);
    let second = served.program.tcp(0);
    assert!(line(&first).contains("you are") && line(&second).contains("you are"));
    assert_eq!(line(&served.program.tcp(0)), "", "one too many");
    let changed =
        served.reload(&text("max-connections = 4\nmax-frame = 16\nmax-memory = \"1MiB\"\nwrite-timeout = \"9s\""));
    for name in ["max-connections", "max-frame", "max-memory", "write-timeout"] {
        assert!(changed.contains("changed") && changed.contains(name), "{changed}");
    }
    let long = "more than sixteen bytes\n";
    assert!(served.told(0, long).contains("! frame-too-long"), "of one that came behind the change");
    first.write_all(long.as_bytes()).expect("it takes it");
    assert!(line(&first).contains("more than sixteen"), "one that was there keeps what it had");
    let body = "POST /rooms/lobby HTTP/1.1\r\nHost: localhost\r\nContent-Length: 17\r\n\r\n12345678901234567";
    assert!(served.told(1, body).starts_with("HTTP/1.1 413"), "the longest body follows");
    served.reload(&text("max-connections = 1"));
    assert_eq!(line(&served.program.tcp(0)), "", "nobody comes while there are too many");
    first.write_all(b"still there\n").expect("it takes it");
    assert!(line(&first).contains("still there"), "and nobody goes for it");
}

#[test]
fn idle_holds_for_those_who_come() {
    let text = |idle: &str| format!("listen = [\"echo=tcp://127.0.0.1:0?idle={idle}\"]\n");
    let mut served = Served::new("idle.toml", &text("1h"), 1);
    let mut before = served.program.tcp(0);
    // A connection is one of those who were there once it is answered.
    ask(&mut before, b"there\n", b"echo: there\n");
    assert!(served.reload(&text("1s")).contains("(idle)"));
    let mut rest = Vec::new();
    // It ends, long before the other would.
    served.program.tcp(0).read_to_end(&mut rest).expect("it is closed");
    before.write_all(b"a\n").expect("it takes it");
    assert_eq!(line(&before), "echo: a\n");
}

#[test]
fn whether_a_token_has_to_be_presented_follows_the_file_for_those_who_come() {
    let (token, hash) = made("alice");
    let text = |auth: &str| {
        let listeners: Vec<_> = ["tcp", "http"]
            .map(|scheme| format!("[[listener]]\nurl = \"rooms={scheme}://127.0.0.1:0\"\nauth = \"{auth}\"\n"))
            .into();
        format!(
            "listen = []\n{}[tokens.alice]\n{hash}\n[anonymous]\nrooms = {{ \"**\" = [\"all\"] }}\n",
            listeners.concat()
        )
    };
    let mut served = Served::new("auth.toml", &text("optional"), 2);
    let get = "GET /rooms HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    let mut before = served.program.tcp(0);
    assert!(line(&before).contains("you are guest-1 in lobby"));
    assert!(served.told(1, get).starts_with("HTTP/1.1 200"));
    let changed = served.reload(&text("required"));
    assert!(
        changed.contains("rooms=tcp://127.0.0.1:0 (auth)") && changed.contains("rooms=http://127.0.0.1:0 (auth)"),
        "{changed}"
    );
    assert!(served.told(0, "hi\n/who\n").starts_with("! not-authorized"), "a line");
    assert!(served.told(0, &format!("/auth {token}\n")).contains("you are alice in lobby"), "with a token");
    assert!(served.told(1, get).starts_with("HTTP/1.1 401"), "a request");
    before.write_all(b"/ping\n").expect("it takes it");
    assert_eq!(line(&before), "* pong\n", "one that was there stays");
    served.reload(&text("off"));
    assert!(served.told(0, "").contains("you are guest-"));
    assert!(served.told(1, get).starts_with("HTTP/1.1 200"));
}

#[test]
fn proxies_follow_the_file_for_those_who_come() {
    let text = |tcp: &str, http: &str| {
        let listener = |url: &str, more: &str| format!("[[listener]]\nurl = \"{url}\"\n{more}\n");
        let (tcp, http) = (listener("rooms=tcp://127.0.0.1:0", tcp), listener("rooms=http://127.0.0.1:0", http));
        format!("listen = []\n{tcp}{http}[[ban]]\nnetwork = \"198.51.100.0/24\"\n")
    };
    let mut served = Served::new("proxies.toml", &text("", ""), 2);
    let forwarded =
        "GET /rooms HTTP/1.1\r\nHost: localhost\r\nX-Forwarded-For: 198.51.100.7\r\nConnection: close\r\n\r\n";
    assert!(served.told(1, forwarded).starts_with("HTTP/1.1 200"), "nobody is believed");
    assert!(served.told(0, "").contains("you are"));
    let from = "[\"127.0.0.1\"]";
    let changed = served.reload(&text(&format!("proxy-from = {from}"), &format!("forwarded-from = {from}")));
    assert!(changed.contains("(proxy-from)") && changed.contains("(forwarded-from)"), "{changed}");
    // The very next one.
    let header = |client: &str| format!("PROXY TCP4 {client} 192.0.2.1 1000 80\r\n");
    assert!(served.told(0, &header("203.0.113.7")).contains("you are"), "with a header");
    assert!(!served.told(0, &header("198.51.100.7")).contains("you are"), "whose client is banned");
    let without = served.program.tcp(0);
    (&without).write_all(b"hi\n").expect("it takes it");
    assert_eq!(line(&without), "", "without one");
    assert!(served.told(1, forwarded).starts_with("HTTP/1.1 403"), "whom a trusted proxy names");
    served.reload(&text("proxy-from = [\"192.0.2.9\"]\nproxy-others = \"direct\"", ""));
    assert!(served.told(0, "").contains("you are"), "from elsewhere");
    assert!(served.told(1, forwarded).starts_with("HTTP/1.1 200"));
    until(|| served.told(0, "/who\n").contains("you are"));
}

#[test]
fn a_key_that_is_missing_and_a_certificate_that_is_none_change_nothing_and_are_all_told() {
    let good = "listen = [\"rooms=tcp://127.0.0.1:0\"]\n";
    let mut served = Served::new("keys.toml", good, 1);
    let none = Place::new("none.pem");
    std::fs::write(&none as &Path, "no certificate").expect("the temporary folder takes a file");
    let none = none.display();
    let text = format!(
        "{good}[[listener]]\nurl = \"rooms=tls://127.0.0.1:0\"\ncert = \"{none}\"\nkey = \"/nowhere/key.pem\"\n\
         [rooms.lobby]\nhistory-messages = 1\n[jwt.shop]\nissuer = \"i\"\naudience = \"a\"\nalgorithms = [\"ES256\"]\nkeys = \"/nowhere/keys.json\"\n"
    );
    assert!(served.reload(&text).contains("nothing changed"));
    let logged = served.program.seen().join("\n");
    for part in [":4:8", "key.pem", "keys.json"] {
        until(|| logged.contains(part) || served_has(&mut served, part));
    }
    let kept = served.told(0, "number 1\nnumber 2\n/history 9\n");
    assert_eq!(kept.matches("number").count(), 2, "nor what was right beside it: {kept}");
}

fn served_has(served: &mut Served, part: &str) -> bool {
    served.program.logged(part).contains(part)
}
