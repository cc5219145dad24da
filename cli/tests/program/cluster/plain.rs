//! Programs that speak NATS and are no nodes: they read rooms as JSON, and ask for what is to be published.

use super::{ADMIN, HTTP, Nats};
use crate::http::asked;
use crate::process::{PATIENCE, Place, Program, command, until};
use serde_json::Value;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;

/// Speaks the protocol of nats-server, as little as is needed.
struct Plain(BufReader<TcpStream>);

/// Where answers come, and as which subscription.
const INBOX: &str = "plain.inbox";
const ANSWERS: u64 = 1;
const READ: u64 = 2;

impl Plain {
    /// One that asks.
    fn of(nats: &Nats) -> Self {
        Self::known(nats, r#""lang":"test""#).listening(&[(INBOX, ANSWERS)])
    }

    fn known(nats: &Nats, shown: &str) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", nats.port)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut plain = Self(BufReader::new(stream));
        plain.says(&format!(r#"CONNECT {{"verbose":false,"headers":true,"no_responders":true,{shown}}}"#));
        plain
    }

    fn listening(mut self, subjects: &[(&str, u64)]) -> Self {
        for (subject, number) in subjects {
            self.says(&format!("SUB {subject} {number}"));
        }
        self.is_heard();
        self
    }

    fn says(&mut self, line: &str) {
        self.0.get_mut().write_all(format!("{line}\r\n").as_bytes()).unwrap();
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        assert!(self.0.read_line(&mut line).unwrap() > 0, "the nats-server has closed it");
        line.trim_end().to_owned()
    }

    /// The server has understood all that was said.
    fn is_heard(&mut self) {
        self.says("PING");
        while self.line() != "PONG" {}
    }

    fn reads(subject: &str, nats: &Nats) -> Self {
        Self::known(nats, r#""lang":"test""#).listening(&[(subject, READ)])
    }

    /// The subject and the text of the next message; a text without one where nobody answers.
    #[track_caller]
    fn message(&mut self) -> (String, String) {
        loop {
            let line = self.line();
            let words: Vec<_> = line.split(' ').collect();
            match words[0] {
                "PING" => self.says("PONG"),
                "MSG" | "HMSG" => {
                    let mut body = vec![0; words[words.len() - 1].parse::<usize>().unwrap() + 2];
                    self.0.read_exact(&mut body).unwrap();
                    return (words[1].to_owned(), String::from_utf8(body).unwrap().trim_end().to_owned());
                }
                _ => {}
            }
        }
    }

    /// The next message of a room, as an object, behind its subject.
    #[track_caller]
    fn told(&mut self) -> (String, Value) {
        let (subject, text) = self.message();
        (subject, serde_json::from_str(&text).unwrap())
    }

    fn publishes(&mut self, room: &str, reply: &str, text: &str) {
        self.says(&format!("PUB sb.publish.{room}{reply} {}\r\n{text}", text.len()));
    }

    /// A node takes requests.
    #[track_caller]
    fn is_served(&mut self) {
        until(|| !self.asks("served", "hi").starts_with("NATS/1.0 503"));
    }

    /// What a request is answered.
    #[track_caller]
    fn asks(&mut self, room: &str, text: &str) -> String {
        self.publishes(room, &format!(" {INBOX}"), text);
        self.message().1
    }
}

fn node(nats: &Nats, more: &[&str]) -> Program {
    let arguments = ["serve", HTTP, ADMIN, "--cluster", &nats.url(), "--cluster-profile", "file"];
    Program::listening(command(&[&arguments[..], more].concat()), 2)
}

fn post(node: &Program, room: &str, text: &str) {
    assert_eq!(asked(node.tcp(0), "POST", &format!("/rooms/{room}"), &[], text).status, 200);
}

#[test]
fn what_is_published_anywhere_is_told_once_as_json_where_that_is_asked_for() {
    let Some(nats) = Nats::start("plain-read") else { return };
    let json = ["--cluster-json", "ops,sensors.**"];
    let (one, two, quiet) = (node(&nats, &json), node(&nats, &json), node(&nats, &[]));
    let mut reader = Plain::reads("sb.json.>", &nats);
    post(&one, "Ops", "one");
    let (subject, first) = reader.told();
    assert_eq!((subject.as_str(), &first["room"], &first["seq"]), ("sb.json.ops", &"Ops".into(), &1.into()));
    assert_eq!((&first["text"], &first["from"]), (&"one".into(), &"http".into()));
    post(&two, "ops", "two");
    assert_eq!(reader.told().1["seq"], 2);
    // Neither a room that no glob is about, nor what a node has published that tells nothing.
    post(&one, "private", "hidden");
    post(&quiet, "ops", "three");
    post(&two, "sensors.boiler.7", "21.5");
    let (subject, told) = reader.told();
    assert_eq!((subject.as_str(), &told["text"]), ("sb.json.sensors.boiler.7", &"21.5".into()));
    post(&one, "ops", "four");
    let last = reader.told().1;
    assert_eq!((&last["seq"], &last["text"]), (&4.into(), &"four".into()));
    // What was missed is had from any node, by the last id.
    let since = first["id"].as_str().unwrap();
    until(|| {
        let answer = asked(quiet.tcp(0), "GET", &format!("/rooms/ops/messages?since={since}"), &[], "");
        answer.body.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()).count() == 3
    });
}

#[test]
fn a_program_that_is_no_node_publishes_by_a_request_to_any_of_them() {
    let Some(nats) = Nats::start("plain-asked") else { return };
    let mut program = Plain::of(&nats);
    let alone = node(&nats, &[]);
    assert!(program.asks("ops", "hi").starts_with("NATS/1.0 503"), "nobody takes requests");
    let taking = ["--cluster-json", "**", "--cluster-publish-as", "bridge"];
    let (one, two) = (node(&nats, &taking), node(&nats, &taking));
    program.is_served();
    let mut reader = Plain::reads("sb.json.>", &nats);
    for seq in 1..=6 {
        let told: Value = serde_json::from_str(&program.asks("sensors.boiler", &format!("{seq}"))).unwrap();
        assert_eq!((&told["event"], &told["seq"]), (&"published".into(), &seq.into()), "{told}");
        let (_, read) = reader.told();
        assert_eq!((&read["id"], &read["from"], &read["user"]), (&told["id"], &"bridge".into(), &"bridge".into()));
    }
    // Nobody has to wait for an answer.
    program.publishes("sensors.boiler", "", "unasked");
    assert_eq!(reader.told().1["text"], "unasked");
    let history = asked(alone.tcp(0), "GET", "/rooms/sensors.boiler/messages", &[], "").body;
    assert_eq!(history.lines().count(), 7, "{history}");
    let refused =
        |answer: String, code: &str| assert!(answer.starts_with(&format!(r#"{{"error":"{code}""#)), "{answer}");
    refused(program.asks("a~b", "hi"), "bad-name");
    refused(program.asks("ops", &"x".repeat(70_000)), "frame-too-long");
    // One that drains takes no more of them, and the others do.
    assert_eq!(two.stop().code, Some(0));
    for _ in 0..3 {
        assert!(program.asks("ops", "hi").contains("published"));
    }
    drop(one);
}

#[test]
fn what_programs_may_publish_is_what_the_file_gives_their_name() {
    let Some(nats) = Nats::start("plain-rights") else { return };
    let place = Place::folder("plain-rights-file");
    let file = place.within("switchboard.toml");
    let text = format!(
        "[cluster]\nservers = \"{}\"\nprofile = \"file\"\npublish-as = \"bridge\"\n\
         [names.\"bridge\"]\nrooms = {{ \"sensors.**\" = [\"write\", \"create\"] }}\n",
        nats.url()
    );
    std::fs::write(&file, text).unwrap();
    let node = Program::listening(command(&["serve", HTTP, ADMIN, "--config", &file]), 2);
    let mut program = Plain::of(&nats);
    program.is_served();
    assert!(program.asks("sensors.boiler", "21.5").contains(r#""event":"published""#));
    let answer = program.asks("ops", "hi");
    assert!(answer.starts_with(r#"{"error":"not-allowed""#), "{answer}");
    let end = node.stop();
    let denied = end.log.iter().find(|line| line.contains("denied") && line.contains("room=\"ops\""));
    let denied = denied.expect("it is in the audit");
    assert!(denied.contains("principal=\"bridge\"") && denied.contains("action=\"publish\""), "{denied}");
}

#[test]
fn a_program_that_may_only_read_and_ask_on_the_nats_server_does_nothing_else() {
    let users = r#"authorization { users: [
        { user: node, password: n, permissions: { publish: ">", subscribe: ">" } }
        { user: program, password: p, permissions: { publish: "sb.publish.>", subscribe: ["sb.json.>", "plain.>"] } }
    ] }"#;
    let Some(nats) = Nats::configured("plain-users", users) else { return };
    let place = Place::folder("plain-users-file");
    let credentials = place.within("node");
    std::fs::write(&credentials, "node:n\n").unwrap();
    let of_node = ["--cluster-credentials", &credentials, "--cluster-json", "ops", "--cluster-publish-as", "bridge"];
    let _node = node(&nats, &of_node);
    let shown = r#""user":"program","pass":"p""#;
    let mut program = Plain::known(&nats, shown).listening(&[(INBOX, ANSWERS), ("sb.json.ops", READ)]);
    program.is_served();
    program.publishes("ops", "", "hi");
    assert_eq!(program.told().1["text"], "hi");
    for line in ["SUB sb.l.> 3", "PUB sb.beat 0\r\n"] {
        program.says(line);
        let told = program.line();
        assert!(told.starts_with("-ERR 'Permissions Violation"), "{line}: {told}");
    }
}
