//! Networks that the file bans: who is there from them is reset, who comes is refused, and no one else notices.

use crate::process::{Place, Program, ask, command};
use nix::sys::signal::Signal;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::time::Duration;

const LISTEN: &str = "listen = [\"echo=tcp://0.0.0.0:0\", \"echo=udp://0.0.0.0:0\", \"rooms=http://127.0.0.1:0?forwarded-from=127.0.0.1\"]\n";

struct Served {
    program: Program,
    file: Place,
    audit: Place,
}

impl Served {
    fn start(test: &str) -> Self {
        let (file, audit) = (Place::new(&format!("{test}.toml")), Place::new(&format!("{test}.jsonl")));
        std::fs::write(&*file, LISTEN).expect("it can be written");
        let arguments = ["serve", "--config", &file.to_string(), "--audit", &audit.to_string()];
        Self { program: Program::listening(command(&arguments), 3), file, audit }
    }

    fn reload(&mut self, bans: &str) {
        std::fs::write(&*self.file, format!("{LISTEN}{bans}")).expect("it can be written");
        self.program.signal(Signal::SIGHUP);
        let line = self.program.logged("the file was reloaded");
        assert!(line.contains("changed=\"ban "), "{line}");
    }

    /// Comes from an address of this machine.
    fn come_from(&self, address: [u8; 4]) -> TcpStream {
        self.program.tcp_from(address, 0)
    }

    /// Whether datagrams from an address of this machine are answered.
    fn answers(&self, address: [u8; 4]) -> bool {
        let socket = std::net::UdpSocket::bind((std::net::Ipv4Addr::from(address), 0)).expect("it is of this machine");
        socket.set_read_timeout(Some(Duration::from_millis(300))).expect("a timeout can be set");
        let port = self.program.listeners[1].address().port();
        socket.send_to(b"hi", ("127.0.0.1", port)).expect("it is sent");
        socket.recv(&mut [0; 64]).is_ok()
    }

    /// The answer to a request that the proxy hands on for `client`.
    fn answer_to(&self, client: &str) -> String {
        let mut stream = self.program.tcp(2);
        let request =
            format!("GET /me HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\nx-forwarded-for: {client}\r\n\r\n");
        stream.write_all(request.as_bytes()).expect("it takes everything");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("it answers");
        answer
    }
}

#[test]
fn a_ban_of_a_reload_holds_for_its_network_alone_until_a_reload_lifts_it() {
    let mut served = Served::start("bans");
    let (mut one, mut other) = (served.come_from([127, 0, 0, 2]), served.come_from([127, 0, 0, 1]));
    ask(&mut one, b"1\n", b"echo: 1\n");
    ask(&mut other, b"1\n", b"echo: 1\n");
    assert!(served.answers([127, 0, 0, 2]));
    served.reload("[[ban]]\nnetwork = \"127.0.0.2/32\"\nreason = \"scans\"\n");
    let error = one.read(&mut [0]).expect_err("it is reset");
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    let mut refused = served.come_from([127, 0, 0, 2]);
    let _ = refused.write_all(b"2\n");
    assert!(!refused.read(&mut [0]).is_ok_and(|count| count > 0));
    served.program.logged("close.reason=banned");
    assert!(!served.answers([127, 0, 0, 2]) && served.answers([127, 0, 0, 1]));
    ask(&mut other, b"2\n", b"echo: 2\n");
    ask(&mut served.come_from([127, 0, 0, 1]), b"2\n", b"echo: 2\n");
    served.reload("[[ban]]\nnetwork = \"192.0.2.0/24\"\nuntil = 9999-01-01\n");
    ask(&mut served.come_from([127, 0, 0, 2]), b"3\n", b"echo: 3\n");
    assert!(served.answers([127, 0, 0, 2]));
    let told = std::fs::read_to_string(&served.audit as &Path).expect("it is there");
    assert!(told.contains("\"event\":\"banned\",\"reason\":\"127.0.0.2; connections reset: 1\""), "{told}");
}

#[test]
fn a_request_that_a_proxy_hands_on_for_a_banned_client_is_refused() {
    let mut served = Served::start("bans-forwarded");
    served.reload("[[ban]]\nnetwork = \"192.0.2.0/24\"\nreason = \"scans\"\n");
    let answer = served.answer_to("192.0.2.77");
    assert!(answer.starts_with("HTTP/1.1 403 ") && answer.contains("\"error\":\"banned\""), "{answer}");
    assert!(!answer.contains("scans"), "the reason is for nobody else");
    assert!(served.answer_to("192.0.3.1").starts_with("HTTP/1.1 200 "));
    let Served { program, audit, file: _file } = served;
    program.stop();
    let told = std::fs::read_to_string(&audit as &Path).expect("it is there");
    let event = "\"event\":\"banned\",\"address\":\"192.0.2.77\",\"reason\":\"192.0.2.0/24: scans\"";
    assert!(told.contains(event) || told.contains(&event.replace(".77\"", ".77:0\"")), "{told}");
}

#[test]
fn a_proxy_passes_nobody_on_who_is_banned() {
    let (upstream, file) = (TcpListener::bind("127.0.0.1:0").expect("a port is free"), Place::new("bans-proxy.toml"));
    let to = upstream.local_addr().expect("it is bound");
    let ban = "[[ban]]\nnetwork = \"127.0.0.2/32\"\n";
    std::fs::write(&*file, format!("listen = [\"proxy=tcp://0.0.0.0:0?to=tcp://{to}\"]\n{ban}"))
        .expect("it can be written");
    let program = Program::of_file(&file, 1);
    assert!(!program.tcp_from([127, 0, 0, 2], 0).read(&mut [0]).is_ok_and(|count| count > 0));
    program.tcp_from([127, 0, 0, 1], 0).write_all(b"hi").expect("it takes everything");
    let (mut first, _) = upstream.accept().expect("somebody is passed on");
    let mut said = [0; 2];
    first.read_exact(&mut said).expect("it says something");
    assert_eq!(said, *b"hi");
}
