//! Each right over each transport, given and not: an act, and what came of it as somebody else sees it.

use crate::http::asked;
use crate::process::{PATIENCE, Place, Program, command, ran, until};
use crate::tls::{Pair, connect};
use crate::tokens::made;
use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::{TcpStream, UdpSocket};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::process::Stdio;

const RIGHTS: [&str; 6] = ["join", "publish", "history", "presence", "create", "moderate"];

/// How somebody comes. Each has rooms of its own: `RIGHT.WAY.yes` and `RIGHT.WAY.no`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Way {
    Tcp,
    Tls,
    Unix,
    /// `/ws`, which speaks the grammar.
    Socket,
    /// `/rooms/ROOM/ws`.
    RoomSocket,
    /// Requests, and a stream of events.
    Requests,
    /// A stream of events alone, with all that was there before.
    Events,
    /// Messages that are followed.
    Follow,
    /// What is typed into `switchboard connect`.
    Connect,
    /// As nobody in particular.
    Datagrams,
}

const WAYS: [Way; 10] = [
    Way::Tcp,
    Way::Tls,
    Way::Unix,
    Way::Socket,
    Way::RoomSocket,
    Way::Requests,
    Way::Events,
    Way::Follow,
    Way::Connect,
    Way::Datagrams,
];

impl Way {
    fn word(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Tls => "tls",
            Self::Unix => "unix",
            Self::Socket => "ws",
            Self::RoomSocket => "roomws",
            Self::Requests => "http",
            Self::Events => "events",
            Self::Follow => "follow",
            Self::Connect => "connect",
            Self::Datagrams => "udp",
        }
    }
}

/// A server, and what it takes to come to it.
struct Scene {
    program: Program,
    pair: Pair,
    path: Place,
    pat: String,
    root: String,
}

// As they are in the file, behind the one for TLS.
const TCP: usize = 1;
const HTTP: usize = 3;
const UDP: usize = 4;

impl Scene {
    fn start() -> Self {
        let (pair, path, file) =
            (Pair::new("rights", "localhost"), Place::new("rights.sock"), Place::new("rights.toml"));
        let (pat, pats) = made("pat");
        let (root, roots) = made("root");
        let mut grants = r#""*.WAY.yes" = ["all", "moderate"]"#.to_owned();
        for right in RIGHTS {
            let others: Vec<_> = RIGHTS.iter().filter(|other| **other != right).collect();
            write!(grants, r#", "{right}.WAY.no" = {others:?}"#).unwrap();
        }
        let text = format!(
            "listen = [\"rooms=tls://127.0.0.1:0?{}\", \"rooms=tcp://127.0.0.1:0\", \"rooms=unix://{path}\", \
             \"rooms=http://127.0.0.1:0\", \"rooms=udp://127.0.0.1:0\"]\nworkers = 1\n\
             [tokens.pat]\n{pats}\nrooms = {{ lobby = [\"join\"], {} }}\n\
             [tokens.root]\n{roots}\nrooms = {{ \"**\" = [\"all\"] }}\n\
             [anonymous]\nrooms = {{ {} }}\n",
            pair.query(),
            grants.replace("WAY", "*"),
            grants.replace("WAY", "udp"),
        );
        std::fs::write(&*file, text).unwrap();
        let program = Program::of_file(&file, 5);
        let scene = Self { program, pair, path, pat, root };
        for (right, way) in RIGHTS.iter().flat_map(|right| WAYS.map(|way| (right, way))) {
            for end in ["yes", "no"].iter().filter(|_| *right != "create") {
                let (status, _) = scene.observes("POST", &format!("/rooms/{right}.{}.{end}", way.word()), "before");
                assert_eq!(status, 200);
            }
        }
        scene
    }

    /// A request, and its status and body.
    fn asks(&self, method: &str, path: &str, token: &str, body: &str) -> (u16, String) {
        let bearer = format!("authorization: Bearer {token}");
        let answer = asked(self.program.tcp(HTTP), method, path, &[&bearer], body);
        (answer.status, answer.body)
    }

    /// The same by somebody who may do everything.
    fn observes(&self, method: &str, path: &str, body: &str) -> (u16, String) {
        self.asks(method, path, &self.root, body)
    }

    fn has(&self, room: &str) -> bool {
        self.observes("GET", "/rooms?limit=1000", "").1.contains(&format!("\"room\":\"{room}\""))
    }

    fn keeps(&self, room: &str, text: &str) -> bool {
        self.observes("GET", &format!("/rooms/{room}/messages"), "").1.contains(&format!("\"text\":\"{text}\""))
    }

    fn members(&self, room: &str) -> usize {
        let told = self.observes("GET", &format!("/rooms/{room}/members"), "").1;
        told.trim_end().trim_end_matches('}').rsplit(':').next().and_then(|total| total.parse().ok()).unwrap()
    }

    /// Somebody who has shown its token, where one can, and has asked to be in a room. Gives what was answered, too.
    fn enters(&self, way: Way, room: &str) -> (Peer, String) {
        let mut peer = Peer::new(match way {
            Way::Tcp => Wire::Stream(Box::new(self.program.tcp(TCP))),
            Way::Tls => Wire::Stream(Box::new(connect(&self.program, "localhost", &[self.pair.der()]))),
            Way::Unix => {
                let stream = UnixStream::connect(&*self.path).unwrap();
                stream.set_read_timeout(Some(PATIENCE)).unwrap();
                Wire::Stream(Box::new(stream))
            }
            Way::Socket => Wire::Socket(self.upgrade("/ws?format=text")),
            Way::RoomSocket => Wire::Socket(self.upgrade(&format!("/rooms/{room}/ws?since=0-0"))),
            Way::Requests => self.streams(&format!("/rooms/{room}/events"), ""),
            Way::Events => self.streams(&format!("/rooms/{room}/events"), "last-event-id: 0-0\r\n"),
            Way::Follow => self.streams(&format!("/rooms/{room}/messages?follow=1&since=0-0"), ""),
            Way::Connect => unreachable!("it is a program of its own"),
            Way::Datagrams => Wire::Datagrams(self.program.udp(UDP)),
        });
        let answer = match way {
            Way::Datagrams => {
                peer.says(&format!("/join {room}"));
                peer.hears("cookie=");
                let cookie = peer.heard.split_whitespace().last().unwrap().to_owned();
                peer.heard.clear();
                peer.says(&format!("/join {room} {cookie}"));
                peer.hears_any(&["you joined", "! "])
            }
            Way::Requests | Way::Events | Way::Follow | Way::RoomSocket => {
                peer.hears_any(&["\"event\":\"you-joined\"", "\"error\":"])
            }
            Way::Socket => peer.asks(&format!("/join {room}")),
            _ => {
                let told = peer.asks(&format!("/auth {}", self.pat));
                assert!(told.contains("authorized as pat"), "{way:?}: {told}");
                peer.asks(&format!("/join {room}"))
            }
        };
        (peer, answer)
    }

    /// An answer that does not end.
    fn streams(&self, path: &str, headers: &str) -> Wire {
        let mut stream = self.program.tcp(HTTP);
        let token = &self.pat;
        write!(stream, "GET {path} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {token}\r\n{headers}\r\n")
            .unwrap();
        Wire::Stream(Box::new(stream))
    }

    /// What `switchboard connect` prints for these lines, with the token in a file.
    fn types(&self, lines: &str) -> String {
        let file = Place::new("rights.token");
        std::fs::write(&*file, &self.pat).unwrap();
        std::fs::set_permissions(&*file, std::fs::Permissions::from_mode(0o600)).unwrap();
        let url = &self.program.listeners[TCP].url;
        let mut command = command(&["connect", url, "--token-file", &file.to_string()]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(format!("{lines}/quit\n").as_bytes()).unwrap();
        let output = ran(child);
        String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
    }

    fn upgrade(&self, path: &str) -> TcpStream {
        let mut stream = self.program.tcp(HTTP);
        let upgrade = "connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==";
        let offers = format!("sec-websocket-protocol: switchboard, switchboard.bearer.{}", self.pat);
        write!(stream, "GET {path} HTTP/1.1\r\nhost: localhost\r\n{upgrade}\r\n{offers}\r\n\r\n").unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            head.push(byte[0]);
        }
        assert!(head.starts_with(b"HTTP/1.1 101 "), "{}", head.escape_ascii());
        stream
    }
}

trait Stream: Read + Write {}
impl<S: Read + Write> Stream for S {}

enum Wire {
    Stream(Box<dyn Stream>),
    Socket(TcpStream),
    Datagrams(UdpSocket),
}

struct Peer {
    wire: Wire,
    /// Of a WebSocket, what is no whole frame yet.
    partial: Vec<u8>,
    heard: String,
}

impl Peer {
    fn new(wire: Wire) -> Self {
        Self { wire, partial: Vec::new(), heard: String::new() }
    }

    fn says(&mut self, text: &str) {
        match &mut self.wire {
            Wire::Stream(stream) => stream.write_all(format!("{text}\n").as_bytes()).unwrap(),
            Wire::Datagrams(socket) => _ = socket.send(text.as_bytes()).unwrap(),
            Wire::Socket(stream) => {
                let length = u8::try_from(text.len()).unwrap();
                let head = if length < 126 { vec![0x81, 0x80 | length] } else { vec![0x81, 0xFE, 0, length] };
                stream.write_all(&[&head, &[0; 4][..], text.as_bytes()].concat()).unwrap();
            }
        }
    }

    /// Waits until it has heard one of these. Gives all that it heard since the last look.
    fn hears_any(&mut self, parts: &[&str]) -> String {
        while !parts.iter().any(|part| self.heard.contains(part)) {
            let mut bytes = vec![0; 16 << 10];
            let count = match &mut self.wire {
                Wire::Stream(stream) => stream.read(&mut bytes),
                Wire::Socket(stream) => stream.read(&mut bytes),
                Wire::Datagrams(socket) => socket.recv(&mut bytes),
            };
            let count = count.unwrap_or_else(|error| panic!("{error}: {parts:?} did not come: {}", self.heard));
            assert!(count > 0, "it ended: {parts:?} did not come: {}", self.heard);
            self.partial.extend_from_slice(&bytes[..count]);
            match self.wire {
                Wire::Socket(_) => self.unframe(),
                _ => self.heard += &String::from_utf8_lossy(&std::mem::take(&mut self.partial)),
            }
        }
        std::mem::take(&mut self.heard)
    }

    fn hears(&mut self, part: &str) -> bool {
        let heard = self.hears_any(&[part]);
        self.heard = heard;
        true
    }

    fn unframe(&mut self) {
        while let [_, length, rest @ ..] = &self.partial[..] {
            let (length, rest) = match (length, rest) {
                (126, [high, low, rest @ ..]) => (usize::from(u16::from_be_bytes([*high, *low])), rest),
                (126, _) => return,
                (length, rest) => (usize::from(*length), rest),
            };
            let Some((payload, rest)) = rest.split_at_checked(length) else { return };
            self.heard += &String::from_utf8_lossy(payload);
            self.heard.push('\n');
            self.partial = rest.to_vec();
        }
    }

    /// What comes of a command, up to the answer to a ping behind it.
    fn asks(&mut self, command: &str) -> String {
        self.says(command);
        self.says("/ping");
        self.hears_any(&["* pong", "{\"event\":\"pong\"}"])
    }
}

/// Does what a right is for, and says whether that came about. What comes of it is asserted where it is done.
fn act(scene: &Scene, right: &str, way: Way, room: &str) -> bool {
    match (right, way) {
        (_, Way::Connect) => typed(scene, right, room),
        ("join", _) => join(scene, way, room),
        ("create", Way::Requests) => {
            let (status, told) = scene.asks("POST", &format!("/rooms/{room}"), &scene.pat, "first");
            assert!(status == 200 || told.contains("no-such-room"), "{status}: {told}");
            scene.has(room)
        }
        ("create", _) => {
            let (_peer, answer) = scene.enters(way, room);
            assert_eq!(answer.contains("no-such-room"), !answer.contains("joined"), "{answer}");
            scene.has(room)
        }
        ("publish", Way::Requests) => {
            let (status, told) = scene.asks("POST", &format!("/rooms/{room}"), &scene.pat, "said");
            assert!(status == 200 || (status == 403 && told.contains("not-allowed")), "{status}: {told}");
            scene.keeps(room, "said")
        }
        ("publish", Way::RoomSocket) => {
            let (mut peer, _) = scene.enters(way, room);
            peer.says("said");
            // What was said, or the error, is behind what was there before.
            until(|| scene.keeps(room, "said") || peer_is_refused(&mut peer));
            scene.keeps(room, "said")
        }
        ("publish", _) => {
            let (mut peer, _) = scene.enters(way, room);
            let told = peer.asks(&format!("/pub {room} said"));
            assert_eq!(told.contains("! not-allowed"), !scene.keeps(room, "said"), "{told}");
            scene.keeps(room, "said")
        }
        ("history", Way::Requests) => {
            let (status, told) = scene.asks("GET", &format!("/rooms/{room}/messages"), &scene.pat, "");
            assert_eq!(status == 403, told.contains("not-allowed"), "{status}: {told}");
            told.contains("\"before\"")
        }
        ("history", Way::RoomSocket | Way::Events | Way::Follow) => {
            let (mut peer, answer) = scene.enters(way, room);
            assert_eq!(scene.observes("POST", &format!("/rooms/{room}"), "live").0, 200);
            (answer + &peer.hears_any(&["\"live\""])).contains("\"before\"")
        }
        ("history", _) => {
            let told = scene.enters(way, room).0.asks("/history");
            assert_ne!(told.contains("before"), told.contains("! not-allowed"), "{told}");
            told.contains("before")
        }
        ("presence", Way::Requests) => {
            let (status, told) = scene.asks("GET", &format!("/rooms/{room}/members"), &scene.pat, "");
            assert_eq!(status == 403, told.contains("not-allowed"), "{status}: {told}");
            status == 200
        }
        ("presence", Way::RoomSocket | Way::Events | Way::Follow) => notices(scene, way, room),
        ("presence", _) => {
            let told = scene.enters(way, room).0.asks("/who");
            assert_ne!(told.contains(&format!("* [{room}] 1 member")), told.contains("! not-allowed"), "{told}");
            !told.contains("! not-allowed")
        }
        ("moderate", Way::Requests | Way::Events | Way::Follow | Way::RoomSocket) => {
            scene.enters(way, room).1.contains("\"moderate\"")
        }
        ("moderate", _) => {
            let (mut peer, _) = scene.enters(way, room);
            peer.asks("/format json");
            let told = peer.asks(&format!("/join {room}"));
            assert!(told.contains("\"may\":["), "{told}");
            told.contains("\"moderate\"")
        }
        _ => unreachable!("there are six"),
    }
}

/// The same by what is typed into `switchboard connect`, which is then told what came of it.
fn typed(scene: &Scene, right: &str, room: &str) -> bool {
    let asks = |command: &str| scene.types(&format!("/join {room}\n{command}\n"));
    match right {
        "join" => asks("/ping").contains(&format!("[{room}] you joined")),
        "create" => {
            asks("/ping");
            scene.has(room)
        }
        "publish" => {
            let told = asks("said");
            assert_eq!(told.contains("not-allowed"), !scene.keeps(room, "said"), "{told}");
            scene.keeps(room, "said")
        }
        "history" => asks("/history").contains("before"),
        "presence" => asks("/who").contains(&format!("[{room}] 1 member")),
        "moderate" => scene.types(&format!("/format json\n/join {room}\n")).contains("\"moderate\""),
        _ => unreachable!("there are six"),
    }
}

fn join(scene: &Scene, way: Way, room: &str) -> bool {
    let (mut peer, answer) = scene.enters(way, room);
    let is_in = answer.contains("joined");
    assert_eq!(answer.contains("not-allowed"), !is_in, "{answer}");
    assert_eq!(scene.members(room) > 0, is_in, "{answer}");
    assert_eq!(scene.observes("POST", &format!("/rooms/{room}"), "live").0, 200);
    // Whoever is in hears it.
    is_in && peer.hears("live")
}

/// Whether it has been told that it may not.
fn peer_is_refused(peer: &mut Peer) -> bool {
    let Wire::Socket(stream) = &peer.wire else { unreachable!("only sockets are asked") };
    stream.set_nonblocking(true).unwrap();
    let mut bytes = [0; 4096];
    let count = (&*stream).read(&mut bytes).unwrap_or(0);
    stream.set_nonblocking(false).unwrap();
    peer.partial.extend_from_slice(&bytes[..count]);
    peer.unframe();
    peer.heard.contains("\"error\":\"not-allowed\"")
}

/// Whether a member without commands is told that somebody else comes.
fn notices(scene: &Scene, way: Way, room: &str) -> bool {
    let mut observer = Peer::new(Wire::Stream(Box::new(scene.program.tcp(TCP))));
    observer.asks(&format!("/auth {}", scene.root));
    observer.asks(&format!("/join {room}"));
    let (mut peer, _) = scene.enters(way, room);
    let mut comes = Peer::new(Wire::Stream(Box::new(scene.program.tcp(TCP))));
    comes.asks(&format!("/auth {}", scene.root));
    comes.asks(&format!("/join {room}"));
    // All on one worker are told before another thing happens.
    observer.hears_any(&["root.2 joined", ": 3 members"]);
    scene.observes("POST", &format!("/rooms/{room}"), "behind");
    let told = peer.hears_any(&["\"behind\""]);
    told.contains("\"name\":\"root.2\"") || told.contains("\"event\":\"presence\"")
}

#[test]
fn each_right_gives_what_it_is_for_on_every_transport_and_nothing_else_gives_it() {
    let scene = Scene::start();
    let mut cells = 0;
    for (right, way) in RIGHTS.iter().flat_map(|right| WAYS.map(|way| (right, way))) {
        // Nobody can say anything there.
        if right == &"publish" && matches!(way, Way::Events | Way::Follow) {
            continue;
        }
        for (end, is_given) in [("yes", true), ("no", false)] {
            let room = format!("{right}.{}.{end}", way.word());
            assert_eq!(act(&scene, right, way, &room), is_given, "{room}");
            cells += 1;
        }
    }
    assert_eq!(cells, 6 * 10 * 2 - 4);
}
