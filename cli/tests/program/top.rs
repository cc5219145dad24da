//! `switchboard top` beside a server: as an object, and on a terminal that tmux keeps.

use crate::http::asked_at;
use crate::process::{Place, Program, installed, output, run, until};
use crate::tokens::made;
use serde_json::Value;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;

fn serve(socket: &Place) -> Program {
    Program::serve(&[&format!("admin=unix://{socket}"), "rooms=tcp://127.0.0.1:0"])
}

fn member(program: &Program, name: &str) -> TcpStream {
    let mut stream = program.tcp(1);
    stream.write_all(format!("/name {name}\n").as_bytes()).expect("it takes a line");
    stream
}

fn get(socket: &Path, path: &str) -> Value {
    serde_json::from_str(&asked_at(socket, "GET", path, &[], "").body).expect("it is JSON")
}

/// But for what changes from one moment to the next.
fn lasting(mut value: Value) -> Value {
    const PASSING: [&str; 8] =
        ["time", "uptime_seconds", "age_seconds", "quiet_seconds", "transports", "memory", "accepted", "closed"];
    match &mut value {
        Value::Object(fields) => {
            fields.retain(|name, _| !PASSING.contains(&name.as_str()));
            for field in fields.values_mut() {
                *field = lasting(field.take());
            }
        }
        // The one that asks has come and gone.
        Value::Array(list) => {
            list.retain(|row| row["transport"] != "http");
            for row in list {
                *row = lasting(row.take());
            }
        }
        _ => {}
    }
    value
}

#[test]
fn once_as_json_it_says_what_the_interface_says() {
    let socket = Place::new("top-once.sock");
    let program = serve(&socket);
    let _members = ["alice", "bob"].map(|name| member(&program, name));
    until(|| get(&socket, "/connections?name=bob")["connections"][0]["rooms"] == 1);
    let once = run(&["top", &format!("unix://{socket}"), "--once", "--json"]);
    assert_eq!((once.code, once.output.len()), (Some(0), 1), "{once:?}");
    let told: Value = serde_json::from_str(&once.output[0]).expect("it is JSON");
    for (name, path) in [
        ("stats", "/stats"),
        ("connections", "/connections?limit=200&sort=outbox"),
        ("rooms", "/rooms?limit=200&sort=members"),
    ] {
        assert_eq!(lasting(told[name].clone()), lasting(get(&socket, path)), "{name}");
    }
    assert!(told["closed"]["closed"].is_array(), "{told}");
    let text = run(&["top", &format!("unix://{socket}"), "--once"]).output.join("\n");
    assert!(text.contains("connections:\n  accepted: ") && text.contains("alice") && text.contains("OUTBOX"), "{text}");
    program.stop();
}

#[test]
fn without_a_token_it_says_totals_and_with_one_that_may_see_everything_everything() {
    let (token, hash) = made("watcher");
    let file = Place::new("top.toml");
    let text = format!("listen = [\"admin=http://127.0.0.1:0\"]\n[tokens.watcher]\n{hash}\nadmin = \"view\"\n");
    std::fs::write(&*file, text).expect("it is written");
    let program = Program::of_file(&file, 1);
    let url = &program.listeners[0].url;
    let told = |token: Option<&str>| {
        let mut top = crate::process::command(&["top", url, "--once", "--json"]);
        top.envs(token.map(|token| ("SWITCHBOARD_TOKEN", token)));
        let ran = output(&mut top);
        assert!(ran.status.success(), "{ran:?}");
        let told: Value = serde_json::from_slice(&ran.stdout).expect("it is JSON");
        told.as_object().expect("an object").keys().cloned().collect::<Vec<_>>()
    };
    assert_eq!(told(None), ["stats"]);
    let mut all = told(Some(&token));
    all.sort_unstable();
    assert_eq!(all, ["closed", "connections", "events", "rooms", "stats"]);
    program.stop();
}

#[test]
fn without_a_server_or_a_terminal_it_says_so() {
    let socket = Place::new("top-nobody.sock");
    let gone = run(&["top", &format!("unix://{socket}"), "--once"]);
    assert_eq!(gone.code, Some(1), "{gone:?}");
    assert!(gone.log[0].contains("no server answers at unix://"), "{gone:?}");
    let piped = run(&["top", &format!("unix://{socket}")]);
    assert_eq!(piped.code, Some(2), "{piped:?}");
    assert!(piped.log[0].contains("--once"), "{piped:?}");
}

/// A terminal of 80 columns and 24 lines, which can be read like a screen.
struct Tmux {
    tmux: PathBuf,
    socket: Place,
}

impl Tmux {
    fn start(tmux: PathBuf, script: &str) -> Self {
        let tmux = Self { tmux, socket: Place::new("top-tmux.sock") };
        tmux.say(&["-f", "/dev/null", "new-session", "-d", "-x", "80", "-y", "24", script]);
        tmux
    }

    fn say(&self, arguments: &[&str]) -> String {
        let ran =
            output(Command::new(&self.tmux).arg("-S").arg(&*self.socket).args(arguments).env("LC_ALL", "C.UTF-8"));
        assert!(ran.status.success(), "{arguments:?}: {ran:?}");
        String::from_utf8_lossy(&ran.stdout).into_owned()
    }

    fn press(&self, key: &str) {
        self.say(&["send-keys", key]);
    }

    fn until(&self, what: &str, is: impl Fn(&str) -> bool) {
        let mut screen = String::new();
        let is_so = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            until(|| {
                screen = self.say(&["capture-pane", "-p"]);
                is(&screen)
            });
        }));
        assert!(is_so.is_ok(), "{what} never came:\n{screen}");
    }

    fn shows(&self, text: &str) {
        self.until(text, |screen| screen.contains(text));
    }
}

impl Drop for Tmux {
    fn drop(&mut self) {
        // It may have ended before.
        let _ = Command::new(&self.tmux).arg("-S").arg(&*self.socket).arg("kill-server").status();
    }
}

#[test]
fn on_a_terminal_it_draws_filters_closes_waits_for_a_server_and_leaves_the_terminal_as_it_was() {
    let Some(tmux) = installed("tmux", "tmux") else { return };
    let socket = Place::new("top-drawn.sock");
    let program = serve(&socket);
    let [_alice, mut bob] = ["alice", "bob"].map(|name| member(&program, name));
    let top = format!(
        "{} top unix://{socket}; echo ended $?; stty | grep -c -e -icanon; exec cat",
        env!("CARGO_BIN_EXE_switchboard")
    );
    let terminal = Tmux::start(tmux, &top);
    terminal.shows("c connections");
    terminal.until("both", |screen| screen.contains("alice") && screen.contains("bob"));

    terminal.press("/");
    terminal.press("bob");
    terminal.shows("filter: bob");
    terminal.press("Enter");
    terminal.until("bob alone", |screen| screen.contains("bob") && !screen.contains("alice"));
    terminal.press("Enter");
    terminal.shows("outbox bytes: 0");
    terminal.press("k");
    terminal.shows("close connection");
    terminal.press("y");
    terminal.shows("is closed");
    bob.read_to_end(&mut Vec::new()).expect("it ends in order");
    terminal.press("x");
    terminal.until("why it ended", |screen| screen.contains("closed") && screen.contains("REASON"));
    terminal.press("e");
    terminal.until("who closed it", |screen| screen.contains("EVENT") && screen.contains("close"));
    terminal.press("r");
    terminal.shows("lobby");

    program.stop();
    terminal.shows("no server answers");
    let program = serve(&socket);
    terminal.until("the new one", |screen| screen.contains("up ") && !screen.contains("no server answers"));

    terminal.press("C-c");
    terminal.until("the shell", |screen| screen.contains("ended 0\n0") && !screen.contains("connections"));
    program.stop();
}
