//! A program of the operator's that is asked whose tokens are: what it says is so, and what it does not say clearly is neither yes nor no.

use crate::http::request;
use crate::process::{PATIENCE, Place, Program, ask, command, exchange, until};
use crate::proxying::nowhere;
use crate::rooms::Peer;
use nix::sys::signal::Signal;
use parking_lot::Mutex;
use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

/// Answers each question by the token in it, and counts them.
struct Asked {
    address: SocketAddr,
    count: Arc<AtomicUsize>,
    now: Arc<AtomicUsize>,
    most: Arc<AtomicUsize>,
}

impl Asked {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let address = listener.local_addr().expect("it is bound");
        let [count, now, most] = [(); 3].map(|()| Arc::new(AtomicUsize::new(0)));
        let asked = Self { address, count, now, most };
        let [count, now, most] = [&asked.count, &asked.now, &asked.most].map(Arc::clone);
        let seen = Arc::new(Mutex::new(BTreeSet::new()));
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let [count, now, most] = [&count, &now, &most].map(Arc::clone);
                let seen = Arc::clone(&seen);
                thread::spawn(move || {
                    count.fetch_add(1, Ordering::SeqCst);
                    most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    answer(stream, &seen);
                    now.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        asked
    }

    fn count(&self) -> usize {
        self.count.load(Ordering::SeqCst)
    }

    fn file(&self, test: &str) -> (Place, Program) {
        let place = Place::new(test);
        let text = format!(
            "listen = [\"rooms=tcp://127.0.0.1:0\", \"rooms=http://127.0.0.1:0\", \"echo=tcp://127.0.0.1:0\"]\n\
             [callout]\nurl = \"http://{}/who\"\nsecret = \"s3cret\"\nnames = [\"al*\", \"bob\"]\n\
             [groups.staff]\nrooms = {{ \"staff\" = [\"all\"] }}\n\
             [tokens.bob]\nhash = \"{BOBS_HASH}\"\nrooms = {{ \"**\" = [\"all\"] }}\n\
             [anonymous]\nrooms = {{ \"lobby\" = [\"read\"] }}\n",
            self.address
        );
        std::fs::write(&*place, text).expect("the temporary folder takes a file");
        let program = Program::of_file(&place, 3);
        (place, program)
    }
}

const BOBS: &str = "sb_12345678_0000000000000000000000000000000000000000000_bob";
/// SHA-256 of that.
const BOBS_HASH: &str = "sha256:d52076adab0f9fa2e281a87f31e92615745a01be5fc7ddf806ea811c2e3ba96f";

#[expect(clippy::disallowed_methods, reason = "a server that takes its time")]
fn answer(mut stream: TcpStream, seen: &Mutex<BTreeSet<String>>) {
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout can be set");
    let (mut question, mut bytes) = (String::new(), [0; 1024]);
    while !question.ends_with('}') {
        match stream.read(&mut bytes) {
            Ok(0) | Err(_) => return,
            Ok(count) => question.push_str(&String::from_utf8_lossy(&bytes[..count])),
        }
    }
    assert!(question.contains("authorization: Bearer s3cret\r\n"), "{question}");
    let is_checked = question.contains("\"token\":\"checked");
    assert!(question.contains("\"version\":1") && (is_checked || tells_whence(&question)), "{question}");
    let token = question.split("\"token\":\"").nth(1).and_then(|rest| rest.split('"').next()).expect("a token");
    let http = |status: &str, body: &str| format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    let alice = r#"{"name":"alice","groups":["staff"],"rooms":{"desk.{name}":["all"]},"direct":["*"]}"#;
    let said = match token {
        "good" | "checked" => http("200 OK", alice),
        "ended" => http("200 OK", r#"{"name":"alice","expires":"2001-01-01T00:00:00Z"}"#),
        "bob" => http("200 OK", r#"{"name":"bob"}"#),
        "carol" => http("200 OK", r#"{"name":"carol"}"#),
        "briefly" | "briefly-alone" if is_asked_first(token, seen) => {
            http("200 OK", &alice_until(Duration::from_secs(4)))
        }
        "briefly" => http("200 OK", &alice_until(Duration::from_hours(1))),
        "briefly-alone" => http("401 No", ""),
        "no" => http("401 No", r#"{"text":"this account is locked"}"#),
        "500" => http("500 Oh", alice),
        "204" => http("204 No Content", ""),
        "garbage" => http("200 OK", "garbage"),
        "long" => http("200 OK", &format!("{alice}{}", " ".repeat(65 << 10))),
        "reset" => {
            socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)).expect("it can be reset");
            return;
        }
        "slow" => {
            let began = Instant::now();
            for byte in http("200 OK", alice).bytes() {
                thread::sleep(Duration::from_millis(100));
                if stream.write_all(&[byte]).is_err() || began.elapsed() > PATIENCE {
                    return;
                }
            }
            return;
        }
        _ if token.starts_with("second") => {
            thread::sleep(Duration::from_secs(1));
            http("200 OK", alice)
        }
        _ => {
            // Until it is given up.
            let _ = stream.read(&mut bytes);
            return;
        }
    };
    // It may be given up.
    let _ = stream.write_all(said.as_bytes());
}

fn is_asked_first(token: &str, seen: &Mutex<BTreeSet<String>>) -> bool {
    seen.lock().insert(token.to_owned())
}

fn alice_until(left: Duration) -> String {
    let until = humantime::format_rfc3339_millis(SystemTime::now() + left);
    format!(r#"{{"name":"alice","groups":["staff"],"expires":"{until}"}}"#)
}

/// Whether it says from where a token came, and how.
fn tells_whence(question: &str) -> bool {
    let by = |transport: &str| {
        let listener = format!("\"listener\":\"{transport}://127.0.0.1:");
        question.contains(&format!("\"transport\":\"{transport}\"")) && question.contains(&listener)
    };
    question.contains("\"address\":\"127.0.0.1\",\"connection\":") && (by("tcp") || by("http"))
}

fn authorized(program: &Program, token: &str) -> String {
    let told = exchange(program.tcp(0), format!("/auth {token}\n/whoami\n").as_bytes());
    String::from_utf8_lossy(&told).into_owned()
}

fn posted(program: &Program, token: &str, room: &str) -> String {
    let head = format!("POST /rooms/{room} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {token}\r\n");
    let told = exchange(program.tcp(1), format!("{head}content-length: 2\r\nconnection: close\r\n\r\nhi").as_bytes());
    String::from_utf8_lossy(&told).into_owned()
}

#[test]
fn what_it_says_is_so_and_what_it_does_not_say_clearly_is_neither_yes_nor_no() {
    let asked = Asked::start();
    let (file, program) = asked.file("callouts.toml");
    for (token, said) in [
        ("checked", "alice, by callout\ndoes not expire\nin staff\n"),
        ("checked-by-nobody", "refused for now: the callout does not answer"),
    ] {
        let mut command = command(&["token", "check", "--config", file.to_str().expect("it is UTF-8")]);
        command.stdin(Stdio::piped());
        let mut check = Program::spawn(command);
        check.types(token);
        check.finish();
        let told = check.end().output.join("\n");
        assert!(told.starts_with(said), "{told}");
    }
    let told = authorized(&program, "good");
    assert!(told.contains("* authorized as alice") && told.contains("you are alice, in staff"), "{told}");
    for (room, status) in [("staff", "200 OK"), ("desk.alice", "200 OK"), ("desk.bob", "403 "), ("lobby", "403 ")] {
        let told = posted(&program, "good", room);
        assert!(told.starts_with(&format!("HTTP/1.1 {status}")), "{room}: {told}");
    }
    let told = authorized(&program, "no");
    assert!(told.contains("! not-authorized: this account is locked"), "{told}");
    assert!(posted(&program, "no", "staff").starts_with("HTTP/1.1 401 "));
    assert!(authorized(&program, "ended").contains("! token-expired"));
    // Bob has a token of his own, and carol is none of its names.
    for token in ["bob", "carol"] {
        assert!(authorized(&program, token).contains("! not-authorized"), "{token}");
    }
    for token in ["500", "204", "garbage", "long", "reset", "slow", "hang"] {
        let told = authorized(&program, token);
        assert!(told.contains("! auth-unavailable") && !told.contains("authorized as"), "{token}: {told}");
    }
    let told = posted(&program, "500", "staff");
    assert!(told.starts_with("HTTP/1.1 503 ") && told.contains("retry-after: 5\r\n"), "{told}");
    // Nobody else takes its names.
    assert!(String::from_utf8_lossy(&exchange(program.tcp(0), b"/name alfred\n")).contains("! name-reserved"));
}

#[test]
fn it_is_not_asked_about_tokens_of_the_file_nor_for_what_is_done_by_one() {
    let asked = Asked::start();
    let (_file, program) = asked.file("callouts-own.toml");
    let lines = "/auth good\n/join staff\n".to_owned() + &"text\n".repeat(10_000);
    let told = exchange(program.tcp(0), lines.as_bytes());
    assert!(String::from_utf8_lossy(&told).contains("* authorized as alice"));
    assert_eq!(asked.count(), 1);
    assert!(authorized(&program, BOBS).contains("* authorized as bob"));
    assert!(authorized(&program, "sb_whatever").contains("! not-authorized"));
    assert_eq!(asked.count(), 1);
}

#[test]
fn whom_it_has_named_goes_once_nobody_is_asked_any_more() {
    let asked = Asked::start();
    let (file, mut program) = asked.file("callouts-gone.toml");
    let mut alice = program.tcp(0);
    alice.write_all(b"/auth good\n").expect("it is read");
    let text = std::fs::read_to_string(&*file).expect("it is there");
    // Asked elsewhere, it would be somebody else's word.
    let (before, rest) = text.split_once("[callout]").expect("it has one");
    let (_, behind) = rest.split_once("[groups").expect("it has some");
    let mut told = String::new();
    while !told.contains("authorized as alice") {
        let mut bytes = [0; 256];
        let count = alice.read(&mut bytes).expect("it is told");
        told.push_str(&String::from_utf8_lossy(&bytes[..count]));
    }
    program.signal(Signal::SIGHUP);
    program.logged("nothing changed");
    std::fs::write(&*file, format!("{before}[groups{behind}")).expect("it can be written");
    program.signal(Signal::SIGHUP);
    program.logged("the file was reloaded");
    let mut rest = Vec::new();
    alice.read_to_end(&mut rest).expect("it is closed");
    assert!(String::from_utf8_lossy(&rest).contains("revoked"), "{}", String::from_utf8_lossy(&rest));
    assert!(authorized(&program, "good").contains("! not-authorized"));
}

#[test]
fn whom_it_has_named_for_a_while_goes_on_or_goes_as_it_says_then() {
    let asked = Asked::start();
    let (_file, program) = asked.file("callouts-again.toml");
    let mut stays = Peer::enter(&program, 0);
    stays.say("/auth briefly");
    assert!(stays.next().starts_with("* authorized as alice until"));
    let mut stream = program.tcp(1);
    let bearer = "authorization: Bearer briefly-alone";
    stream.write_all(request("GET", "/rooms/staff/events", &[bearer], "").as_bytes()).expect("it is read");
    let mut told = String::new();
    stream.read_to_string(&mut told).expect("it is closed");
    assert!(told.starts_with("HTTP/1.1 200 ") && told.contains("revoked"), "{told}");
    until(|| asked.count() >= 4);
    stays.say("/whoami");
    while !stays.next().starts_with("* you are alice, in staff, until") {}
    assert_eq!(asked.count(), 4, "each twice");
}

#[test]
fn the_program_of_the_documentation_answers() {
    let page = include_str!("../../../docs/vouching.md");
    let python = page.split("```python\n").nth(1).and_then(|rest| rest.split("```").next()).expect("it is there");
    let toml = page.split("```toml\n").find(|part| part.starts_with("[callout]")).expect("it is there");
    let toml = toml.split("```").next().expect("it ends");
    let address = nowhere();
    let port = address.rsplit(':').next().expect("it has one");
    let (script, file) = (Place::new("whose.py"), Place::new("whose.toml"));
    std::fs::write(&*script, python).expect("the temporary folder takes a file");
    let listen = "listen = [\"rooms=tcp://127.0.0.1:0\"]\n";
    let toml = toml.replace(":9000/", &format!(":{port}/"));
    std::fs::write(&*file, format!("{listen}{toml}")).expect("the temporary folder takes a file");
    let mut python = Command::new("python3");
    python.arg(&*script).env("PORT", port).env("SECRET", "a-long-random-word");
    python.stdout(Stdio::null()).stderr(Stdio::null());
    let _python = Program::spawn(python);
    until(|| TcpStream::connect(&address).is_ok());
    let program = Program::of_file(&file, 1);
    let told = ["letmein", "other"].map(|token| authorized(&program, token));
    assert!(told[0].contains("you are alice, in staff"), "{told:?}");
    assert!(told[1].contains("! not-authorized: unknown token"), "{told:?}");
}

#[test]
#[expect(clippy::disallowed_methods, reason = "another process's time is real")]
fn a_thousand_that_come_at_once_hold_up_nobody_else_and_no_drain() {
    let asked = Asked::start();
    let (_file, program) = asked.file("callouts-many.toml");
    let mut echo = program.tcp(2);
    let streams: Vec<_> = (0..1000)
        .map(|number| {
            let mut stream = program.tcp(0);
            stream.write_all(format!("/auth second{}\n", number % 500).as_bytes()).expect("it is read");
            stream
        })
        .collect();
    let began = Instant::now();
    while asked.count() < 100 {
        let before = Instant::now();
        ask(&mut echo, b"a\n", b"echo: a\n");
        assert!(before.elapsed() < Duration::from_millis(500), "echo waits");
        assert!(began.elapsed() < PATIENCE, "nobody is asked");
    }
    let most = asked.most.load(Ordering::SeqCst);
    assert!(most <= 64, "{most} at once");
    program.signal(Signal::SIGTERM);
    let began = Instant::now();
    assert_eq!(program.end().code, Some(0));
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    drop(streams);
}
