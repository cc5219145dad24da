//! What operators see of a server in trouble: many that have left, some that do not read, and a worker that is held up.

use crate::http::{asked, asked_at, request};
use crate::process::{Place, Program, command, python_with, until};
use serde_json::{Value, json};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

fn read(socket: &Path, path: &str) -> Value {
    let answer = asked_at(socket, "GET", path, &[], "");
    assert_eq!(answer.status, 200, "{}", answer.body);
    serde_json::from_str(&answer.body).expect("it is JSON")
}

#[test]
fn of_those_who_have_left_the_last_thousand_are_known_the_newest_first_and_so_is_who_was_cut_off() {
    let socket = Place::new("seen-closed.sock");
    let program = Program::serve(&[&format!("admin=unix://{socket}"), "rooms=tcp://127.0.0.1:0", "--workers", "2"]);
    let cut = program.tcp(1);
    let cut_off = cut.local_addr().expect("it has one").to_string();
    socket2::SockRef::from(&cut).set_linger(Some(std::time::Duration::ZERO)).expect("it can be");
    drop(cut);
    let mut peers = Vec::new();
    for number in 0..1500 {
        let mut stream = program.tcp(1);
        peers.push(stream.local_addr().expect("it has one").to_string());
        // One says that it leaves, another one just goes.
        if number % 2 == 0 {
            stream.write_all(b"/quit\n").expect("it takes a line");
        }
        stream.shutdown(std::net::Shutdown::Write).expect("it is open");
        // Until it is closed, so that they end one behind the other.
        stream.read_to_end(&mut Vec::new()).expect("it ends in order");
    }
    let closed = || read(&socket, "/closed?limit=1000")["closed"].as_array().expect("a list").clone();
    // Whoever asked just now has left too.
    let of_rooms =
        |closed: &[Value]| closed.iter().filter(|one| one["transport"] == "tcp").cloned().collect::<Vec<_>>();
    until(|| of_rooms(&closed()).first().is_some_and(|one| one["peer"] == peers[1499].as_str()));
    let closed = closed();
    assert_eq!(closed.len(), 1000);
    let told: Vec<_> = of_rooms(&closed).iter().map(|one| (one["peer"].clone(), one["reason"].clone())).collect();
    let caused = peers.iter().enumerate().rev();
    let caused =
        caused.map(|(number, peer)| (json!(peer), json!(if number % 2 == 0 { "finished" } else { "peer-closed" })));
    assert_eq!(told, caused.take(told.len()).collect::<Vec<_>>());
    let cut = &read(&socket, "/closed?reason=peer-reset")["closed"];
    assert_eq!(cut[0]["peer"], cut_off.as_str(), "{cut}");
    assert_eq!(read(&socket, "/closed?reason=idle")["closed"].as_array().map(Vec::len), Some(0));
    program.stop();
}

#[test]
fn those_who_do_not_read_are_on_top_and_since_when() {
    let socket = Place::new("seen-slow.sock");
    let rooms = "rooms=tcp://127.0.0.1:0?rate=off&overflow=drop-oldest";
    let program = Program::serve(&[&format!("admin=unix://{socket}"), rooms]);
    let join = |name: &str| {
        let mut stream = program.tcp(1);
        stream.write_all(format!("/name {name}\n").as_bytes()).expect("it takes a line");
        stream
    };
    let _sloths: Vec<TcpStream> = ["sloth-1", "sloth-2", "sloth-3"].map(join).into();
    // They read all that comes, and are told of nothing else.
    let readers = ["hare-1", "hare-2", "hare-3"].map(|name| {
        let mut stream = join(name);
        std::thread::spawn(move || while stream.read(&mut [0; 8 << 10]).is_ok_and(|count| count > 0) {})
    });
    until(|| read(&socket, "/rooms/lobby")["members"] == 6);
    let mut publisher = join("owl");
    let line = format!("{}\n", "x".repeat(4000));
    let slow = || {
        let listed = read(&socket, "/connections?sort=outbox&limit=3");
        let rows = listed["connections"].as_array().expect("a list").clone();
        let are_slow = rows.iter().all(|row| row["blocked_seconds"].is_u64() && row["outbox_bytes"].as_u64() > Some(0));
        let mut names: Vec<_> = rows.iter().filter_map(|row| row["name"].as_str().map(str::to_owned)).collect();
        names.sort_unstable();
        (are_slow, names)
    };
    until(|| {
        for _ in 0..200 {
            publisher.write_all(line.as_bytes()).expect("it takes lines");
        }
        slow() == (true, ["sloth-1", "sloth-2", "sloth-3"].map(str::to_owned).into())
    });
    drop(publisher);
    program.stop();
    for reader in readers {
        reader.join().expect("it ends with the server");
    }
}

/// Stops one thread of a process and lets the others run, until its input ends.
const HOLD: &str = "
import ctypes, os, sys
pid, name = sys.argv[1], sys.argv[2]
threads = [t for t in os.listdir(f'/proc/{pid}/task') if open(f'/proc/{pid}/task/{t}/comm').read().strip() == name]
libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.argtypes = [ctypes.c_long] * 4
SEIZE, INTERRUPT = 0x4206, 0x4207
for request in SEIZE, INTERRUPT:
    if libc.ptrace(request, int(threads[0]), 0, 0):
        sys.exit('skipped: ' + os.strerror(ctypes.get_errno()))
os.waitpid(int(threads[0]), 0x40000000)
print('held', flush=True)
sys.stdin.read()
";

#[test]
#[expect(clippy::print_stderr, reason = "a test that shows nothing says so")]
fn a_worker_that_is_held_up_is_not_healthy_and_its_watchdog_is_told_no_more() {
    let Some(python) = python_with("ctypes") else { return };
    let notify = Place::new("seen-held.sock");
    let heard = UnixDatagram::bind(&*notify).expect("it is free");
    heard.set_read_timeout(Some(Duration::from_millis(500))).expect("it is open");
    let mut started = command(&["serve", "admin=http://127.0.0.1:0", "--workers", "2"]);
    started.env("NOTIFY_SOCKET", &*notify).env("WATCHDOG_USEC", "100000");
    let program = Program::listening(started, 1);
    // Whether it says that it lives, ten times as long as it may be silent about that.
    let lives = || {
        let mut message = [0; 1024];
        std::iter::from_fn(|| heard.recv(&mut message).ok().map(|length| message[..length].starts_with(b"WATCHDOG=1")))
            .take(100)
            .any(|lives| lives)
    };
    let status = |path: &str| {
        // Whoever comes to the worker that is held up waits for ever, and asks again.
        let mut stream = program.tcp(0);
        stream.set_read_timeout(Some(Duration::from_millis(200))).expect("it is open");
        stream.write_all(request("GET", path, &["connection: close"], "").as_bytes()).expect("it takes a request");
        let mut told = String::new();
        let _ = stream.read_to_string(&mut told);
        told
    };
    assert!(status("/healthz").starts_with("HTTP/1.1 200"));
    let mut holding = Command::new(python);
    holding.args(["-c", HOLD, &program.id().to_string(), "worker-1"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut holding = holding.spawn().expect("it starts");
    let mut line = String::new();
    BufReader::new(holding.stdout.take().expect("it is piped")).read_line(&mut line).expect("it says a line");
    if line != "held\n" {
        assert!(holding.wait().is_ok_and(|status| !status.success()));
        eprintln!("skipped: no thread of another process may be stopped here");
        return;
    }
    until(|| status("/healthz").starts_with("HTTP/1.1 503"));
    until(|| status("/readyz").contains("\"workers\":false"));
    heard.set_nonblocking(true).expect("it is open");
    while heard.recv(&mut [0; 1024]).is_ok() {}
    heard.set_nonblocking(false).expect("it is open");
    assert!(!lives(), "its watchdog is told nothing");
    drop(holding.stdin.take());
    assert!(holding.wait().expect("it ends").success());
    until(|| status("/healthz").starts_with("HTTP/1.1 200"));
    assert!(lives());
    assert_eq!(asked(program.tcp(0), "GET", "/readyz", &[], "").status, 200);
    program.stop();
}
