//! Rooms of several nodes: programs that share one nats-server, which each test starts. Without one they say so and pass.

mod nodes;
mod plain;

use crate::http::asked;
use crate::operating;
use crate::process::{Place, Program, command, until};
use nix::sys::signal::Signal;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

const HTTP: &str = "rooms=http://127.0.0.1:0";
const ADMIN: &str = "admin=http://127.0.0.1:0";

struct Nats {
    program: PathBuf,
    place: Place,
    port: u16,
    child: Child,
}

impl Nats {
    fn start(test: &str) -> Option<Self> {
        Self::configured(test, "")
    }

    /// With what its file says.
    #[expect(clippy::print_stderr, reason = "a test that shows nothing says so")]
    fn configured(test: &str, file: &str) -> Option<Self> {
        let named = std::env::var_os("NATS_SERVER").map(PathBuf::from);
        let installed = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/tools/nats-server/bin/nats-server");
        let Some(program) = named.into_iter().chain([installed]).find(|path| path.is_file()) else {
            eprintln!("skipped: nats-server is not installed (scripts/nats-server installs it)");
            return None;
        };
        let place = Place::folder(test);
        fs::write(place.within("nats.conf"), file).unwrap();
        let child = Self::run(&program, &place, "-1");
        let ports = place.within(&format!("nats-server_{}.ports", child.id()));
        until(|| fs::read_to_string(&ports).is_ok_and(|text| text.trim_end().ends_with('}')));
        let text = fs::read_to_string(&ports).unwrap();
        let digits = text.split("127.0.0.1:").nth(1).unwrap();
        let port = digits.split(|digit: char| !digit.is_ascii_digit()).next().unwrap().parse().unwrap();
        Some(Self { program, place, port, child })
    }

    fn run(program: &Path, place: &Place, port: &str) -> Child {
        let mut command = Command::new(program);
        command.args([
            "-c",
            &place.within("nats.conf"),
            "-a",
            "127.0.0.1",
            "-p",
            port,
            "-js",
            "-sd",
            &place.within("js"),
            "--ports_file_dir",
            &place.within("."),
        ]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    }

    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    fn resume(&mut self) {
        self.child = Self::run(&self.program, &self.place, &self.port.to_string());
    }

    fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// A node whose rooms survive a restart of the nats-server.
    fn node(&self) -> Program {
        Program::listening(command(&["serve", HTTP, ADMIN, "--cluster", &self.url(), "--cluster-profile", "file"]), 2)
    }
}

impl Drop for Nats {
    fn drop(&mut self) {
        // It may have been killed before.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The status, and the message's id.
fn publish(node: &Program, text: &str) -> Result<String, u16> {
    let answer = asked(node.tcp(0), "POST", "/rooms/ops", &[], text);
    if answer.status != 200 {
        return Err(answer.status);
    }
    let object: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
    Ok(object["id"].as_str().unwrap().to_owned())
}

/// Ids and texts.
fn messages(node: &Program, query: &str) -> Vec<(String, String)> {
    let answer = asked(node.tcp(0), "GET", &format!("/rooms/ops/messages{query}"), &[], "");
    let message = |line: &str| {
        let object: serde_json::Value = serde_json::from_str(line).unwrap();
        (object["id"].as_str().unwrap_or_default().to_owned(), object["text"].as_str().unwrap_or(line).to_owned())
    };
    answer.body.lines().map(message).collect()
}

#[test]
fn nodes_have_one_order_over_a_kill_of_one_and_of_the_nats_server() {
    let Some(mut nats) = Nats::start("cluster") else { return };
    let (one, two) = (nats.node(), nats.node());
    let first = publish(&one, "one").unwrap();
    let second = publish(&two, "two").unwrap();
    let both = [(first.clone(), "one".to_owned()), (second.clone(), "two".to_owned())];
    until(|| messages(&one, "") == both && messages(&two, "") == both);
    assert!(first.ends_with("-1") && second.ends_with("-2"), "{first} {second}");
    // Whoever knows the first from one node goes on with another.
    until(|| messages(&two, &format!("?since={first}")) == both[1..]);
    one.signal(Signal::SIGKILL);
    assert_eq!(one.end().code, None);
    let third = publish(&two, "three").unwrap();
    // A node that comes later has it all.
    let late = nats.node();
    until(|| messages(&late, "").iter().map(|(_, text)| text.as_str()).eq(["one", "two", "three"]));
    nats.kill();
    nats.resume();
    until(|| publish(&late, "four").is_ok());
    until(|| messages(&two, &format!("?since={third}")).iter().any(|(id, text)| text == "four" && id.ends_with("-4")));
    let ready = asked(two.tcp(1), "GET", "/readyz", &[], "");
    assert!(ready.body.contains("\"cluster\":true"), "{}", ready.body);
    let end = late.stop();
    assert_eq!(end.code, Some(0), "{:?}", end.log);
}

#[test]
fn a_room_is_durable_only_if_the_nats_server_has_it_in_a_file() {
    for (profile, told) in [("memory", "durable: no\n"), ("file", "durable: yes\n")] {
        let Some(nats) = Nats::start(&format!("durable-{profile}")) else { return };
        let socket = Place::new(&format!("durable-{profile}.sock"));
        let admin = format!("admin=unix://{socket}");
        let arguments = ["serve", HTTP, &admin, "--cluster", &nats.url(), "--cluster-profile", profile];
        let node = Program::listening(command(&arguments), 2);
        publish(&node, "one").unwrap();
        let room = operating::done(operating::admin(&socket, &["room", "ops"]));
        assert!(room.contains(told), "{profile}: {room}");
    }
}

#[test]
fn what_cannot_be_a_cluster_is_refused() {
    let refused = |arguments: &[&str]| {
        let end = Program::spawn(command(&[&["serve", HTTP], arguments].concat())).end();
        (end.code, end.log.join("\n"))
    };
    let (code, told) = refused(&["--cluster", "nats://127.0.0.1:1", "--data", "somewhere"]);
    assert!(code == Some(2) && told.contains("there can be no data directory beside it"), "{told}");
    let (code, told) = refused(&["--cluster", "127.0.0.1:4222"]);
    assert!(code == Some(2) && told.contains("begins with nats:// or tls://"), "{told}");
    let Some(nats) = Nats::start("refused-cluster") else { return };
    let _made = nats.node();
    let (code, told) = refused(&["--cluster", &nats.url(), "--cluster-profile", "memory"]);
    assert!(code == Some(78) && told.contains("its storage is \"file\", and not \"memory\""), "{told}");
}
