//! What nodes know of each other: who is where, under which name.

use super::Nats;
use crate::http::asked;
use crate::process::{PATIENCE, Program, command, until};
use nix::sys::signal::Signal;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;
use std::thread;
use std::time::Duration;

/// Somebody who types lines.
struct Person(BufReader<TcpStream>);

impl Person {
    fn of(node: &Program) -> Self {
        let stream = node.tcp(0);
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Self(BufReader::new(stream))
    }

    fn types(&mut self, line: &str) {
        self.0.get_mut().write_all(format!("{line}\n").as_bytes()).unwrap();
    }

    /// The next line that has this in it.
    #[track_caller]
    fn told(&mut self, part: &str) -> String {
        loop {
            let mut line = String::new();
            assert!(self.0.read_line(&mut line).unwrap() > 0, "the end came before {part}");
            if line.contains(part) {
                return line.trim_end().to_owned();
            }
        }
    }

    /// Asks until the answer has this in it.
    #[track_caller]
    fn asks_until(&mut self, line: &str, answer: &str, part: &str) {
        until(|| {
            self.types(line);
            self.told(answer).contains(part)
        });
    }
}

impl Nats {
    fn lines(&self) -> Program {
        let arguments =
            ["serve", "rooms=tcp://127.0.0.1:0?format=json", "admin=http://127.0.0.1:0", "--cluster", &self.url()];
        Program::listening(command(&[&arguments[..], &["--cluster-profile", "file"]].concat()), 2)
    }
}

#[test]
fn members_of_all_nodes_are_counted_and_told_of_each_other() {
    let Some(nats) = Nats::start("counted") else { return };
    let (one, two) = (nats.lines(), nats.lines());
    let (mut ann, mut bob) = (Person::of(&one), Person::of(&two));
    ann.types("/join ops");
    ann.told(r#""event":"you-joined","room":"ops""#);
    bob.asks_until("/rooms", r#""event":"rooms""#, r#"{"room":"ops","members":1}"#);
    bob.types("/join ops");
    assert!(bob.told("you-joined").contains(r#""members":2"#));
    assert!(ann.told(r#""event":"joined","room":"ops""#).contains("guest-"));
    let metrics = asked(one.tcp(1), "GET", "/metrics", &[], "").body;
    assert!(metrics.contains("switchboard_cluster_nodes 1"), "{metrics}");
    bob.types("/quit");
    ann.told(r#""event":"left","room":"ops""#);
    let mut cid = Person::of(&two);
    cid.types("/join ops");
    ann.told(r#""event":"joined","room":"ops""#);
    // One that drains says so; of one that is killed it is found out.
    two.signal(Signal::SIGKILL);
    assert!(ann.told(r#""event":"presence","room":"ops""#).contains(r#""left":1,"members":1"#));
    ann.types("/join ops");
    assert!(ann.told("you-joined").contains(r#""members":1"#));
}

#[test]
#[expect(clippy::disallowed_methods, reason = "another process's time is real")]
fn a_name_is_one_nodes_and_whoever_has_it_is_found_from_all() {
    let Some(nats) = Nats::start("named") else { return };
    let (one, two) = (nats.lines(), nats.lines());
    let (mut ann, mut bob) = (Person::of(&one), Person::of(&two));
    let secret = "00112233445566778899aabbccddeeff";
    ann.types(&format!("/name ann secret={secret}"));
    ann.told(r#""event":"named","name":"ann""#);
    bob.types("/name Ann");
    bob.told(r#""error":"name-taken""#);
    bob.types("/name bob");
    bob.told(r#""event":"named","name":"bob""#);
    ann.types("/msg bob psst");
    assert_eq!(bob.told("psst"), r#"{"event":"direct","from":"ann","text":"psst"}"#);
    bob.types("/msg nobody hi");
    bob.told(r#""error":"no-such-member""#);
    // Guests have different numbers, and are found by them.
    let (mut cid, mut dan) = (Person::of(&one), Person::of(&two));
    let number = |person: &mut Person| {
        person.types("/whoami");
        let told = person.told("guest-");
        told.split("guest-").nth(1).unwrap().split('"').next().unwrap().to_owned()
    };
    let (of_cid, of_dan) = (number(&mut cid), number(&mut dan));
    assert_ne!(of_cid, of_dan);
    cid.types(&format!("/msg guest-{of_dan} hello"));
    dan.told(r#""text":"hello""#);
    // Whoever knows what a name is kept by takes it over, also on another node.
    cid.types(&format!("/msg guest-{of_dan} again"));
    dan.told(r#""text":"again""#);
    dan.types(&format!("/name ann secret={secret}"));
    dan.told(r#""event":"named","name":"ann""#);
    ann.told(r#""event":"named","name":"guest-"#);
    ann.types("/join ops");
    ann.told("you-joined");
    dan.types("/join ops");
    dan.told("you-joined");
    dan.asks_until("/who ops", r#""event":"who""#, "guest-");
    ann.asks_until("/who ops", r#""event":"who""#, r#""total":2"#);
    ann.asks_until("/who ops", r#""event":"who""#, "\"ann\"");
    // Of one that leaves it is free, and at the end of a lease those of a node that is killed.
    bob.types("/quit");
    cid.asks_until("/name bob", "name", r#""event":"named","name":"bob""#);
    two.signal(Signal::SIGKILL);
    until(|| {
        // No faster than names may be taken.
        thread::sleep(Duration::from_millis(300));
        ann.types("/name ann");
        ann.told("name").contains(r#""event":"named","name":"ann""#)
    });
}

/// What `switchboard cluster` prints of these servers.
fn cluster(nats: &Nats, action: &[&str]) -> String {
    let end = Program::spawn(command(&[&["cluster"], action, &["--cluster", &nats.url()]].concat())).end();
    assert_eq!(end.code, Some(0), "{:?}", end.log);
    end.output.join("\n")
}

#[test]
fn an_operator_looks_at_a_cluster_and_has_its_rooms_begin_anew() {
    let Some(nats) = Nats::start("looked-at") else { return };
    assert!(cluster(&nats, &["status"]).contains("none: the first node makes it"));
    let (one, two) = (nats.lines(), nats.lines());
    let mut ann = Person::of(&one);
    ann.types("/join ops");
    let joined = ann.told("you-joined");
    ann.types("hello");
    until(|| {
        let told: serde_json::Value = serde_json::from_str(&cluster(&nats, &["status", "--json"])).unwrap();
        let is_known = |node: &serde_json::Value| {
            node["host"].is_string() && node["listeners"].as_array().is_some_and(|listeners| listeners.len() == 2)
        };
        let nodes = told["nodes"].as_array().unwrap();
        nodes.len() == 2 && nodes.iter().all(is_known) && told["log"]["storage"] == "file"
    });
    let seen = r#""cluster":{"connected":true,"nodes":1,"rooms_waiting":0,"up":true}"#;
    until(|| asked(one.tcp(1), "GET", "/stats", &[], "").body.contains(seen));
    let shown = cluster(&nats, &["status"]);
    let of_one = shown.lines().find(|line| line.contains(&one.listeners[0].url)).expect("each node is a line");
    assert!(of_one.contains(", up ") && of_one.contains(" connection") && of_one.contains(" room"), "{of_one}");
    assert!(cluster(&nats, &["new-epochs"]).contains("a new epoch"));
    ann.told(r#""event":"reset","room":"ops""#);
    let epoch = |joined: &str| joined.split(r#""id":""#).nth(1).unwrap().split('-').next().unwrap().to_owned();
    let mut bob = Person::of(&two);
    bob.types("/join ops");
    assert_ne!(epoch(&bob.told(r#""event":"you-joined","room":"ops""#)), epoch(&joined));
}
