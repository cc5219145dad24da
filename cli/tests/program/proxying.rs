//! A proxy in front of other servers: what each side sees, what becomes of upstreams that are not there, and a drain.

use crate::operating;
use crate::process::{PATIENCE, Place, Program, ask, exchange, run, until};
use crate::tls::{self, Pair};
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

/// An address of this machine where nobody listens, over TCP or UDP. Its port is below those that the kernel gives out, so that nobody else gets it meanwhile.
pub(crate) fn nowhere() -> String {
    static ASKED: AtomicU32 = AtomicU32::new(0);
    let ports = (0..12_000).map(|_| {
        let number = std::process::id().wrapping_mul(16).wrapping_add(ASKED.fetch_add(1, Ordering::Relaxed));
        20_000 + number % 12_000
    });
    let mut addresses = ports.map(|port| format!("127.0.0.1:{port}"));
    let is_free = |address: &String| TcpListener::bind(address).is_ok() && UdpSocket::bind(address).is_ok();
    addresses.find(is_free).expect("a free port")
}

pub(crate) fn url(program: &Program, listener: usize) -> &str {
    &program.listeners[listener].url
}

/// Whether a connection is reset before anything is answered.
pub(crate) fn is_reset(mut stream: TcpStream) -> bool {
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout can be set");
    stream.read(&mut [0]).is_err_and(|error| error.kind() == std::io::ErrorKind::ConnectionReset)
}

/// A server that answers with its number and with how many bytes came, once they have all come.
fn counting(number: usize) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("an address");
    // It ends with the test.
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            thread::spawn(move || count(stream, number));
        }
    });
    format!("tcp://{address}")
}

fn count(mut stream: TcpStream, number: usize) {
    let mut all = Vec::new();
    if stream.read_to_end(&mut all).is_ok() {
        let _ = write!(stream, "{number}: {} bytes", all.len());
    }
}

pub(crate) fn proxied(upstreams: &str, options: &str) -> Program {
    Program::serve(&["-v", &format!("proxy=tcp://127.0.0.1:0?to={upstreams}{options}")])
}

#[test]
fn all_bytes_and_both_ends_of_input_go_through_on_every_transport() {
    let (front, pair) = (Place::new("proxy-front"), Pair::new("proxy", "localhost"));
    let back = Program::serve(&["echo=tcp://127.0.0.1:0", &format!("echo=tls://localhost:0?{}", pair.query())]);
    let (plain, secure) = (counting(0), url(&back, 1));
    let program = Program::serve(&[
        &format!("proxy=tls://127.0.0.1:0?to={plain}&{}", pair.query()),
        &format!("proxy=unix://{front}?to={plain}"),
        &format!("proxy=tcp://127.0.0.1:0?to={plain}"),
        &format!("proxy=tcp://127.0.0.1:0?to={}&ca={}", secure.replace("127.0.0.1", "localhost"), pair.certificate),
    ]);
    let upload = vec![b'x'; 3 << 20];
    assert_eq!(exchange(program.tcp(2), &upload), b"0: 3145728 bytes");
    assert_eq!(exchange(UnixStream::connect(&*front).expect("it listens"), b"x"), b"0: 1 bytes");
    let mut stream = tls::connect(&program, "localhost", &[pair.der()]);
    stream.write_all(b"hello").expect("it takes everything");
    stream.conn.send_close_notify();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    assert_eq!(answer, b"0: 5 bytes");
    ask(&mut program.tcp(3), b"hi\n", b"echo: hi\n");
}

#[test]
fn an_upstream_is_told_whose_a_connection_is() {
    for version in ["v1", "v2"] {
        let mut back = Program::serve(&["-v", "echo=tcp://127.0.0.1:0?proxy-from=127.0.0.1"]);
        let front = proxied(
            &format!("{},{}", url(&back, 0), url(&back, 0).replace("127.0.0.1", "localhost")),
            &format!("&send-proxy={version}"),
        );
        let mut stream = front.tcp(0);
        ask(&mut stream, b"hi\n", b"echo: hi\n");
        let own = stream.local_addr().expect("an address");
        assert!(back.logged("connection opened").contains(&format!("peer.addr={own}")));
    }
}

#[test]
fn an_upstream_that_speaks_tls_is_told_before_tls_begins() {
    let pair = Pair::new("proxy-header", "localhost");
    let listener = format!("echo=tls://127.0.0.1:0?proxy-from=127.0.0.1&{}", pair.query());
    for version in ["v1", "v2"] {
        let mut back = Program::serve(&["-v", &listener]);
        // A name is looked up, and then known.
        for _ in 0..2 {
            let to = url(&back, 0).replace("127.0.0.1", "localhost");
            let front = proxied(&to, &format!("&ca={}&send-proxy={version}", pair.certificate));
            let mut stream = front.tcp(0);
            ask(&mut stream, b"hi\n", b"echo: hi\n");
            let own = stream.local_addr().expect("an address");
            assert!(back.logged("connection opened").contains(&format!("peer.addr={own}")));
        }
    }
}

#[test]
fn an_upstream_that_is_not_there_is_taken_out_and_comes_back() {
    let place = Place::new("proxy-back");
    let gone = format!("unix://{place}");
    let mut program = proxied(&format!("{gone},{}", counting(1)), "&balance=round");
    for _ in 0..10 {
        assert_eq!(exchange(program.tcp(0), b"x"), b"1: 1 bytes");
    }
    let told = program.logged("upstream taken out");
    assert!(told.contains(&gone) && told.contains("seconds=5"), "{told}");
    assert!(told.contains(&format!("listener=\"{}\"", url(&program, 0))), "{told}");
    let _back = Program::serve(&[&place.echo()]);
    until(|| exchange(program.tcp(0), b"x") == b"echo: x");
    assert!(program.logged("upstream is back").contains(&gone));
}

#[test]
fn without_an_upstream_a_client_is_reset_at_once() {
    let mut program = proxied(&format!("tcp://{},tcp://{}", nowhere(), nowhere()), "");
    for _ in 0..5 {
        assert!(is_reset(program.tcp(0)));
    }
    assert!(program.logged("clients are reset").contains("no upstream answers"));
    let log = program.stop().log;
    let told = log.iter().filter(|line| line.contains("clients are reset")).count();
    assert_eq!(told, 1, "once for many");
}

#[test]
fn an_upstream_has_no_more_connections_than_it_may_and_others_wait() {
    let back = Program::serve(&["echo=tcp://127.0.0.1:0"]);
    let mut program = proxied(url(&back, 0), "&max=1&queue=1&wait=10s");
    let mut first = program.tcp(0);
    ask(&mut first, b"one\n", b"echo: one\n");
    let waiting = program.tcp(0);
    let (mut refused, mut waits) = (0, vec![waiting]);
    while refused == 0 {
        let stream = program.tcp(0);
        stream.set_nonblocking(false).expect("it can be set");
        waits.push(stream);
        refused = waits
            .iter()
            .filter(|stream| {
                stream.set_nonblocking(true).expect("it can be set");
                stream.peek(&mut [0]).is_err_and(|error| error.kind() == std::io::ErrorKind::ConnectionReset)
            })
            .count();
    }
    assert!(program.logged("not passed on").contains("wait already"));
    drop(first);
    // Whoever waited has the place now.
    until(|| {
        waits.iter_mut().any(|stream| {
            stream.set_nonblocking(true).expect("it can be set");
            let _ = stream.write(b"two\n");
            let mut answer = [0; 10];
            stream.read(&mut answer).is_ok_and(|length| answer[..length].starts_with(b"echo: two"))
        })
    });
}

#[test]
fn who_leaves_while_it_waits_gives_up_its_place_and_what_others_have_sent_arrives() {
    let back = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let mut program = proxied(&format!("tcp://{}", back.local_addr().expect("an address")), "&max=1&queue=1&wait=30s");
    let first = program.tcp(0);
    // Only now has it the place: who comes later may have been taken up earlier.
    let taken = back.accept().expect("it is passed on");
    drop(program.tcp(0));
    program.logged("left before it was passed on");
    // There is one place in the queue.
    let mut next = program.tcp(0);
    next.write_all(b"asked").expect("it takes everything");
    next.shutdown(std::net::Shutdown::Write).expect("it can be shut down");
    program.logged("connection opened");
    drop((first, taken));
    count(back.accept().expect("it is passed on").0, 5);
    let mut answer = Vec::new();
    next.read_to_end(&mut answer).expect("it is answered");
    assert_eq!(answer, b"5: 5 bytes");
    let told = program.logged("forth=5");
    assert!(told.contains("passed on") && told.contains("back=10"), "{told}");
}

#[test]
fn connections_that_lead_back_to_their_proxy_are_reset() {
    let (one, other) = (nowhere(), nowhere());
    let mut program = Program::serve(&[
        "-v",
        "--workers=2",
        &format!("proxy=tcp://{one}?to=tcp://{other}"),
        &format!("proxy=tcp://{other}?to=tcp://{one}"),
    ]);
    for _ in 0..20 {
        assert!(is_reset(program.tcp(0)));
    }
    assert!(program.logged("clients are reset").contains("it leads back to this proxy"));
    // Nor does it help to call this machine something else.
    let (one, other) = (one.replace("127.0.0.1", "127.0.0.2"), other.replace("127.0.0.1", "127.0.0.3"));
    for scheme in ["tcp", "udp"] {
        let mut program = Program::serve(&[
            "-v",
            &format!("proxy={scheme}://{one}?to={scheme}://{other}"),
            &format!("proxy={scheme}://{other}?to={scheme}://{one}"),
        ]);
        if scheme == "tcp" {
            assert!(is_reset(program.tcp(0)));
        } else {
            let socket = UdpSocket::bind("127.0.0.1:0").expect("a free port");
            socket.send_to(b"x", &one).expect("it is sent");
        }
        assert!(program.logged("it leads back to this proxy").contains("leads back"), "{scheme}");
    }
    let one = one.replace("127.0.0.2", "127.0.0.1");
    // One behind another is none of that.
    let last = proxied(&format!("tcp://{one}"), "");
    assert!(is_reset(last.tcp(0)));
    let chain = Program::serve(&["echo=tcp://127.0.0.1:0"]);
    let inner = proxied(url(&chain, 0), "");
    ask(&mut proxied(url(&inner, 0), "").tcp(0), b"hi\n", b"echo: hi\n");
}

#[test]
fn a_client_whose_port_a_connection_to_an_upstream_has_too_is_nobody_else() {
    let back = Program::serve(&["echo=tcp://127.0.0.1:0"]);
    let program = proxied(url(&back, 0), "");
    // The kernel chooses the ports of both from the same few thousand, as their servers differ: some are the same.
    let mut streams: Vec<_> = (0..700).map(|_| program.tcp(0)).collect();
    for stream in &mut streams {
        ask(stream, b"hi\n", b"echo: hi\n");
    }
}

#[test]
fn one_client_comes_to_the_same_upstream_each_time() {
    let upstreams: Vec<_> = (0..4).map(counting).collect();
    let program = proxied(&upstreams.join(","), "&balance=hash:address");
    let first = exchange(program.tcp(0), b"x");
    for _ in 0..8 {
        assert_eq!(exchange(program.tcp(0), b"x"), first);
    }
}

#[test]
fn listeners_name_upstreams_of_the_file_wherever_they_are_given_themselves() {
    let (socket, file) = (Place::new("proxy-named"), Place::new("proxy-named.toml"));
    let listener = format!("[[listener]]\nurl = \"proxy=unix://{socket}\"\nto = \"back\"\n");
    std::fs::write(&*file, format!("[upstreams.back]\nto = \"{}\"\nbalance = \"round\"\n{listener}", counting(8)))
        .expect("it is written");
    let program = Program::of_file(&file, 1);
    assert_eq!(exchange(UnixStream::connect(&*socket).expect("it listens"), b"x"), b"8: 1 bytes");
    drop(program);
    let typed = format!("--config={file}");
    let program = Program::serve(&[&typed, "proxy=tcp://127.0.0.1:0?to=back"]);
    assert_eq!(exchange(program.tcp(0), b"x"), b"8: 1 bytes");
}

#[test]
fn a_drain_lets_pairs_finish() {
    let mut program = proxied(&counting(7), "");
    let mut stream = program.tcp(0);
    stream.write_all(b"begun").expect("it takes everything");
    program.logged("connection opened");
    program.signal(nix::sys::signal::Signal::SIGTERM);
    program.logged("draining");
    assert_eq!(exchange(stream, b" and ended"), b"7: 15 bytes");
    let end = program.end();
    assert!(end.code == Some(0), "{:?}", end.log);
}

#[test]
fn upstreams_are_counted_and_a_pair_is_listed_and_logged_as_one() {
    let (socket, back, gone) = (Place::new("proxy-admin"), counting(3), format!("unix://{}", Place::new("proxy-none")));
    let (proxy, admin) = (format!("proxy=tcp://127.0.0.1:0?to={gone},{back}"), format!("admin=unix://{socket}"));
    let mut program = Program::serve(&["-v", &proxy, &admin]);
    let shown = |arguments: &[&str]| {
        let told = operating::admin(&socket, &[arguments, &["--json"]].concat());
        serde_json::from_str::<serde_json::Value>(&told.output.concat()).expect("it is JSON")
    };
    let mut stream = program.tcp(0);
    let own = format!("peer.addr={}", stream.local_addr().expect("an address"));
    stream.write_all(b"begun").expect("it takes everything");
    let upstream = || shown(&["upstreams"])["upstreams"][1].clone();
    until(|| upstream()["bytes_to"] == 5);
    let listed = shown(&["connections"]);
    let pairs: Vec<_> = listed["connections"].as_array().expect("a list").iter().map(|row| &row["upstream"]).collect();
    // The operator's own connection is none's.
    assert_eq!(pairs, [&serde_json::json!(back), &serde_json::Value::Null], "{listed}");
    assert_eq!(exchange(stream, b" and ended"), b"3: 15 bytes");
    let line = program.logged("passed on");
    assert!(line.contains(&format!("upstream={back}")) && line.contains("forth=15 back=11"), "{line}");
    until(|| upstream()["open"] == 0);
    let all = shown(&["upstreams"]);
    for (at, expected) in [
        (0, serde_json::json!({ "upstream": gone, "state": "in", "failures": 1, "connections": 0, "bytes_to": 0 })),
        (
            1,
            serde_json::json!({ "upstream": back, "state": "in", "failures": 0, "connections": 1, "bytes_to": 15, "bytes_from": 11 }),
        ),
    ] {
        let row = &all["upstreams"][at];
        assert_eq!(row["listener"], program.listeners[0].url, "{row}");
        for (key, value) in expected.as_object().expect("an object") {
            assert_eq!(row[key], *value, "{key}: {row}");
        }
    }
    let log = program.stop().log;
    let of_pair = |line: &&String| line.contains(&own) || line.contains(&format!("peer.addr={}", &back[6..]));
    let ends = log.iter().filter(|line| line.contains("connection closed") || line.contains("passed on"));
    assert_eq!(ends.filter(of_pair).count(), 1, "{log:?}");
}

#[test]
fn datagrams_go_through_by_a_socket_for_each_source_and_nothing_to_well_known_ports() {
    let back = Program::serve(&["echo=udp://127.0.0.1:0?prefix=back%3A%20"]);
    let program = Program::serve(&[&format!("proxy=udp://127.0.0.1:0?to={}", url(&back, 0))]);
    let sources: Vec<_> = (0..20).map(|_| program.udp(0)).collect();
    for (number, source) in sources.iter().enumerate() {
        source.send(format!("{number}").as_bytes()).expect("it is sent");
    }
    for (number, source) in sources.iter().enumerate() {
        let mut answer = [0; 64];
        let length = source.recv(&mut answer).expect("it is answered");
        assert_eq!(String::from_utf8_lossy(&answer[..length]), format!("back: {number}"));
    }
    // An empty one is a datagram, too.
    sources[0].send(b"").expect("it is sent");
    assert_eq!(sources[0].recv(&mut [0; 64]).expect("it is answered"), "back: ".len());
}

#[test]
fn sources_of_datagrams_leave_half_of_all_connections_to_others() {
    let back = Program::serve(&["echo=udp://127.0.0.1:0"]);
    let to = format!("proxy=udp://127.0.0.1:0?to={}", url(&back, 0));
    let program = Program::serve(&[&to, "echo=tcp://127.0.0.1:0", "--max-connections", "16"]);
    let sources: Vec<_> = (0..16).map(|_| program.udp(0)).collect();
    for source in &sources {
        source.set_nonblocking(true).expect("it can be set");
        source.send(b"x").expect("it is sent");
    }
    let mut answered = 0;
    until(|| {
        answered += sources.iter().filter(|source| source.recv(&mut [0; 64]).is_ok()).count();
        answered >= 4
    });
    assert_eq!(answered, 4);
    assert_eq!(exchange(program.tcp(1), b"one more\n"), b"echo: one more\n");
}

#[test]
fn what_makes_no_proxy_is_said_before_anything_is_bound() {
    for (typed, said) in [
        ("proxy=tcp://127.0.0.1:0", "a proxy needs somebody to pass connections on to"),
        ("proxy=tcp://127.0.0.1:0?to=127.0.0.1:80", "not a URL, as in tcp://127.0.0.1:8081"),
        ("proxy=tcp://127.0.0.1:0?to=udp://127.0.0.1:80", "not URLs of tcp, tls, unix alone"),
        ("proxy=tcp://127.0.0.1:0?to=tcp://a:1,tcp://a:1", "not given once each"),
        ("proxy=tcp://127.0.0.1:0?to=tcp://a:1&balance=most", "not least, round or hash:address"),
        ("proxy=tcp://127.0.0.1:0?to=tcp://a:1&ca=/dev/null", "of which there is none"),
        ("proxy=tcp://127.0.0.1:7?to=tcp://localhost:7", "is this listener"),
        ("proxy=udp://0.0.0.0:7?to=udp://127.0.0.1:7", "is this listener"),
        ("proxy=tcp://127.0.0.1:0?to=tcp://a:1,tcp://b:1&weights=1", "not one number from 1 to 256 for each upstream"),
        ("proxy=tcp://127.0.0.1:0?to=tcp://a:1&weights=0", "not one number from 1 to 256 for each upstream"),
        ("proxy=tcp://127.0.0.1:0?to=tls://a:1&check=send=x,expect=y", "sends a text without TLS"),
        ("proxy=tcp://127.0.0.1:0?to=tcp://a:1&check=http", "not off, tcp or send=TEXT,expect=TEXT"),
        ("proxy=tcp://127.0.0.1:0?to=tcp://a:1&prefix=x", "unknown option `prefix`"),
        ("proxy=udp://127.0.0.1:0", "put ?to=udp://HOST:PORT"),
        ("proxy=udp://127.0.0.1:0?to=tcp://a:1", "not URLs of udp alone"),
        ("proxy=udp://127.0.0.1:0?to=udp://a:1&send-proxy=v2", "unknown option `send-proxy`"),
        ("proxy=http://127.0.0.1:0?to=tcp://a:1", "proxy is not served over `http`, but over tcp, tls, unix, udp"),
    ] {
        let end = run(&["serve", typed]);
        assert!(end.log.iter().any(|line| line.contains(said)), "{typed}: {:?}", end.log);
        assert_eq!(end.code, Some(2), "{typed}");
    }
}
