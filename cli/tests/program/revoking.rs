//! What an operator revokes: whoever is there by it is closed, whoever comes with it is refused, also after a restart.

use crate::http::{Client, asked, asked_at};
use crate::operating;
use crate::process::{Deadline, PATIENCE, Place, Program, command, run, until};
use crate::rooms::Peer;
use crate::tokens::made;
use std::fs;
use std::time::Duration;

/// A server of people with tokens, and of an issuer of JWTs.
struct Served {
    program: Program,
    folder: Place,
    socket: Place,
    tokens: Vec<String>,
}

const SECRET: &str = "0123456789abcdef0123456789abcdef";

impl Served {
    fn start(test: &str) -> Self {
        let (folder, socket) = (Place::folder(test), Place::new(&format!("{test}.sock")));
        let made: Vec<_> = ["alice", "bob"].map(made).into();
        fs::write(folder.within("secret"), SECRET).expect("it can be written");
        let sections = ["alice", "bob"].iter().zip(&made).map(|(name, (_, hash))| format!("[tokens.{name}]\n{hash}\n"));
        let text = format!(
            "listen = [\"admin=unix://{socket}\", \"rooms=tcp://127.0.0.1:0\", \"rooms=http://127.0.0.1:0\"]\n\
             state-directory = \"{}\"\n{}[jwt.x]\nissuer = \"x\"\naudience = \"any\"\nalgorithms = [\"HS256\"]\nkeys = \"{}\"\n\
             names = [\"carol\"]\n[rooms.lobby]\nnamed = [\"all\"]\nclass = \"halls\"\n",
            folder.display(),
            sections.collect::<String>(),
            folder.within("secret")
        );
        fs::write(folder.within("settings.toml"), text).expect("it can be written");
        let program = serve(&folder);
        Self { program, folder, socket, tokens: made.into_iter().map(|(token, _)| token).collect() }
    }

    fn restart(self) -> Self {
        let Self { program, folder, socket, tokens } = self;
        assert_eq!(program.stop().code, Some(0));
        Self { program: serve(&folder), folder, socket, tokens }
    }

    /// Somebody who has shown a token.
    fn known(&self, token: &str, name: &str) -> Peer {
        let mut peer = Peer::enter(&self.program, 1);
        peer.say(&format!("/auth {token}"));
        let told = peer.next();
        assert!(told.starts_with(&format!("* authorized as {name}")), "{told}");
        peer
    }

    /// Whether a request with a token is answered.
    fn takes(&self, token: &str) -> bool {
        let bearer = format!("authorization: Bearer {token}");
        match asked(self.program.tcp(2), "GET", "/me", &[&bearer], "").status {
            200 => true,
            401 => false,
            other => panic!("{other}"),
        }
    }

    fn jwt(&self, claims: &[&str]) -> String {
        let key = self.folder.within("secret");
        let own = ["token", "sign", "--key", &key, "--algorithm", "HS256", "--iss", "x", "--sub", "carol"];
        let end = run(&[&own[..], claims].concat());
        assert_eq!(end.code, Some(0), "{end:?}");
        end.output.concat()
    }

    /// Soon its metrics say so.
    fn counts(&self, lines: [&str; 2]) {
        let metrics = || asked_at(&self.socket, "GET", "/metrics", &[], "").body;
        until(|| lines.iter().all(|line| metrics().lines().any(|told| told == *line)));
    }

    #[track_caller]
    fn done(&self, arguments: &[&str]) -> String {
        operating::done(operating::admin(&self.socket, arguments))
    }

    #[track_caller]
    fn refused(&self, arguments: &[&str]) -> String {
        operating::refused(&operating::admin(&self.socket, arguments)).to_owned()
    }
}

fn serve(folder: &Place) -> Program {
    Program::listening(command(&["serve", "--config", &folder.within("settings.toml")]), 3)
}

/// Its connection is closed, for that reason.
fn revoked(mut peer: Peer) {
    while peer.next() != "* closed: revoked" {}
}

#[test]
fn a_name_is_closed_and_refused_until_it_is_taken_back_and_over_a_restart() {
    let served = Served::start("revoke-name");
    let (alice, mut bob) = (served.known(&served.tokens[0], "alice"), served.known(&served.tokens[1], "bob"));
    served.counts(["switchboard_connections_authenticated 2", "switchboard_class_memberships{class=\"halls\"} 2"]);
    let told = served.done(&["revoke", "ALICE", "--reason", "left"]);
    assert!(told.contains("id: name:alice\n") && told.contains("kept: yes"), "{told}");
    revoked(alice);
    assert!(!served.takes(&served.tokens[0]) && served.takes(&served.tokens[1]));
    served.counts(["switchboard_connections_authenticated 1", "switchboard_class_memberships{class=\"halls\"} 1"]);
    served.counts(["switchboard_revocations 1", "switchboard_class_rooms{class=\"halls\"} 1"]);
    bob.say("still here");
    bob.say("/ping");
    while bob.next() != "* pong" {}
    let served = served.restart();
    assert!(!served.takes(&served.tokens[0]) && served.takes(&served.tokens[1]));
    let listed = served.done(&["revocations"]);
    assert!(listed.contains("name:alice") && listed.contains("left"), "{listed}");
    served.done(&["unrevoke", "name:alice"]);
    assert!(served.takes(&served.tokens[0]));
    let served = served.restart();
    assert!(served.takes(&served.tokens[0]));
    assert!(served.refused(&["unrevoke", "name:alice"]).contains("there is no revocation name:alice"));
    let told = served.refused(&["unrevoke", "alice"]);
    assert!(told.contains("no revocation alice; ids are as revocations are listed, as in name:alice"), "{told}");
    served.program.stop();
}

#[test]
fn a_token_is_revoked_as_lists_call_it_and_comes_back_when_the_time_is_over() {
    let served = Served::start("revoke-token");
    let alice = served.known(&served.tokens[0], "alice");
    let who: serde_json::Value = serde_json::from_str(&served.done(&["who", "alice", "--json"])).expect("it is JSON");
    assert_eq!((&who["source"], &who["user"]), (&"token".into(), &"alice".into()), "{who}");
    let by_source =
        |source| operating::admin(&served.socket, &["connections", &format!("source={source}")]).output.join("\n");
    assert!(by_source("token").contains("alice") && !by_source("callout").contains("alice"));
    let token = who["token"].as_str().expect("it has shown one");
    served.done(&["revoke", "--token", token]);
    revoked(alice);
    assert!(!served.takes(&served.tokens[0]) && served.takes(&served.tokens[1]));
    // In the place of the one before, which had no end, as a slow machine is not done within two seconds.
    served.done(&["revoke", "--token", token, "--for", "2s"]);
    until(|| served.takes(&served.tokens[0]));
    for wrong in
        [&["revoke", "--token", "alice"][..], &["revoke", "--jti", ""], &["revoke", "alice", "--for", "99999999h"]]
    {
        served.refused(wrong);
    }
    for mistyped in [&["revoke"][..], &["revoke", "alice", "--jti", "x"], &["revoke", "--token", "1", "--jti", "x"]] {
        assert_eq!(operating::admin(&served.socket, mistyped).code, Some(2), "{mistyped:?}");
    }
    let told = operating::admin(&served.socket, &["revoke"]).log.concat();
    assert!(["NAME", "--token", "--jti"].iter().all(|way| told.contains(way)), "{told}");
    served.program.stop();
}

#[test]
fn jwts_are_revoked_by_their_id_and_by_when_they_were_issued() {
    let served = Served::start("revoke-jwt");
    let (one, other) = (served.jwt(&["--claim", "jti=one"]), served.jwt(&["--claim", "jti=other"]));
    let (first, second) = (served.known(&one, "carol"), served.known(&other, "carol"));
    let told = served.done(&["revoke", "--jti", "one"]);
    assert!(told.contains("until: 20"), "none lives longer: {told}");
    revoked(first);
    assert!(!served.takes(&one) && served.takes(&other));
    served.done(&["revoke", "carol", "--issued-before", "2999-01-01T00:00:00Z"]);
    revoked(second);
    assert!(!served.takes(&other) && served.takes(&served.tokens[0]));
    let served = served.restart();
    assert!(!served.takes(&one) && !served.takes(&other));
    served.done(&["unrevoke", "before:carol"]);
    assert!(!served.takes(&one) && served.takes(&other));
    served.done(&["revoke", "carol", "--issued-before", "2001-01-01T00:00:00Z"]);
    assert!(served.takes(&other), "it was issued since");
    served.program.stop();
}

#[test]
fn where_nobody_is_known_nothing_is_revoked() {
    let socket = Place::new("revoke-nobody.sock");
    let program = Program::serve(&[&format!("admin=unix://{socket}")]);
    let end = operating::admin(&socket, &["revoke", "alice"]);
    assert!(operating::refused(&end).contains("nobody is known here"), "{end:?}");
    program.stop();
}

#[test]
fn whoever_follows_events_is_told_none_once_its_token_is_revoked() {
    let (file, socket) = (Place::new("revoke-follower.toml"), Place::new("revoke-follower.sock"));
    let (token, hash) = made("viewer");
    let text = format!(
        "listen = [\"admin=unix://{socket}\", \"admin=http://127.0.0.1:0\"]\n[tokens.viewer]\n{hash}\nadmin = \"view\"\n"
    );
    fs::write(&*file, text).expect("it can be written");
    let program = Program::of_file(&file, 2);
    let mut follower = Client::connect(&program, 1);
    follower.send(format!(
        "GET /events?follow=1&since=0 HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {token}\r\n\r\n"
    ));
    assert_eq!(follower.head().status, 200);
    // It is told what comes.
    operating::admin(&socket, &["ban", "192.0.2.1"]);
    follower.streamed("192.0.2.1");
    let deadline = Deadline::new();
    operating::admin(&socket, &["revoke", "viewer"]);
    follower.rest();
    assert!(deadline.left() + Duration::from_secs(2) > PATIENCE, "the next look is half a second away");
}
