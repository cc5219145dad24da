//! The audit of the program: what is told of whom, in a file of its own, and that no secret gets anywhere.

use crate::process::{Place, Program, command, exchange, run, until};
use nix::sys::signal::Signal;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Stdio;

/// A token, and the lines of a file that make it alice's.
fn alice() -> (String, String) {
    let made = run(&["token", "new", "alice"]);
    let [token] = &made.output[..] else { panic!("{made:?}") };
    (token.clone(), made.log.join("\n"))
}

const LISTEN: &str = "listen = [\"rooms=tcp://127.0.0.1:0\", \"rooms=http://127.0.0.1:0?access-token=on\"]\n";

struct Served {
    program: Program,
    file: Place,
    audit: Place,
    token: String,
    lines: String,
}

impl Served {
    fn start(test: &str, arguments: &[&str]) -> Self {
        let (file, audit) = (Place::new(&format!("{test}.toml")), Place::new(&format!("{test}.jsonl")));
        let (token, lines) = alice();
        std::fs::write(
            &file as &Path,
            format!("audit = \"{audit}\"\n{LISTEN}{lines}\n[rooms.lobby]\nnamed = [\"all\"]\n"),
        )
        .expect("the temporary folder takes a file");
        let path = file.to_string();
        let arguments: Vec<_> = ["serve", "--config", &path].iter().chain(arguments).copied().collect();
        Self { program: Program::listening(command(&arguments), 2), file, audit, token, lines }
    }

    /// Events of the audit: their names, in their order.
    fn told(&self) -> Vec<serde_json::Value> {
        let text = std::fs::read_to_string(&self.audit as &Path).unwrap_or_default();
        text.lines().map(|line| serde_json::from_str(line).expect("a line is an object")).collect()
    }

    fn events(&self) -> Vec<String> {
        self.told().iter().map(|object| object["event"].as_str().expect("it has a name").to_owned()).collect()
    }

    fn lines(&self, lines: &str) -> String {
        String::from_utf8_lossy(&exchange(self.program.tcp(0), lines.as_bytes())).into_owned()
    }

    fn request(&self, head: &str) -> String {
        let mut stream = self.program.tcp(1);
        stream
            .write_all(format!("{head}\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n").as_bytes())
            .expect("it takes it");
        let mut answer = vec![0; 4096];
        let length = stream.read(&mut answer).expect("it answers");
        String::from_utf8_lossy(&answer[..length]).into_owned()
    }

    fn reload(&mut self, told: &str) {
        self.program.signal(Signal::SIGHUP);
        self.program.logged(told);
    }
}

#[test]
fn an_audit_has_a_file_of_its_own_that_is_opened_again_at_a_reload() {
    let mut served = Served::start("audit", &[]);
    let path: &Path = &served.audit;
    let mode = std::fs::metadata(path).expect("it is there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    served.lines(&format!("/auth {}\n/join lobby\nhi\n", served.token));
    served.lines("/auth sb_00000000_no\n/join lobby\n");
    until(|| served.events() == ["authenticated", "refused", "denied"]);
    let told = served.told();
    assert_eq!((told[0]["principal"].as_str(), told[0]["source"].as_str()), (Some("alice"), Some("token")));
    assert!(served.lines.contains(told[0]["token"].as_str().expect("it is called by its hash")));
    assert_eq!((told[1]["reason"].as_str(), told[2]["action"].as_str()), (Some("unknown"), Some("/join")));
    for object in &told {
        let said = |name: &str| object[name].as_str().unwrap_or_default().to_owned();
        assert!(said("address").starts_with("127.") && said("listener").starts_with("tcp://127."), "{object}");
        assert_eq!(said("transport"), "tcp");
    }
    assert_eq!(told[2]["room"], "lobby");
    // As logrotate does.
    let old = Place::new("audit.old");
    std::fs::rename(path, &old as &Path).expect("it can be moved");
    served.reload("the file was reloaded: nothing changed");
    until(|| served.events() == ["reloaded"]);
    assert_eq!(served.told()[0]["reason"], "nothing changed");
    let text = std::fs::read_to_string(&served.file as &Path).expect("it is there");
    std::fs::write(&served.file as &Path, format!("wrokers = 1\n{text}")).expect("it is written");
    served.reload("the file was not reloaded");
    until(|| served.events().last().is_some_and(|event| event == "reload-refused"));
    std::fs::write(&served.file as &Path, text.replace(".jsonl", ".jsonl/none")).expect("it is written");
    served.reload("cannot write the audit");
    std::fs::write(
        &served.file as &Path,
        text.replace(
            &served.lines,
            "[tokens.bob]\nhash = \"sha256:00000000000000000000000000000000000000000000000000000000000000aa\"\n",
        ),
    )
    .expect("it is written");
    served.reload("the file was reloaded");
    until(|| served.events().ends_with(&["revoked".to_owned(), "reloaded".to_owned()]));
    let seqs: Vec<_> = served.told().iter().map(|object| object["seq"].as_u64().expect("a number")).collect();
    assert_eq!(seqs, (3..3 + seqs.len() as u64).collect::<Vec<_>>());
    let Served { program, audit, .. } = served;
    assert_eq!(program.stop().code, Some(0));
    assert!(std::fs::read_to_string(&audit as &Path).expect("it is there").contains("\"event\":\"drained\""));
}

#[test]
fn an_audit_that_cannot_be_written_is_said_before_anything_is_served() {
    let end = run(&["serve", "--audit", "/nonexistent/audit.jsonl", "echo=tcp://127.0.0.1:0"]);
    assert_eq!((end.code, &end.output[..]), (Some(1), &[][..]));
    assert!(end.log[0].contains("cannot write the audit /nonexistent/audit.jsonl: No such file"), "{end:?}");
}

#[test]
fn no_secret_gets_into_the_log_the_audit_what_is_printed_and_what_is_said_of_mistakes() {
    let mut served = Served::start("secrets", &["-vv"]);
    let (right, (wrong, _)) = (served.token.clone(), alice());
    for token in [&right, &wrong] {
        served.lines(&format!("/auth {token}\n/auth  {token} \n/AUTH {token}\n/join lobby\nhi\n"));
        served.lines(&format!("/auth {token}"));
        for (path, header) in [
            ("/rooms".to_owned(), format!("Authorization: Bearer {token}")),
            ("/rooms/lobby/messages".to_owned(), format!("authorization: bearer {token}")),
            (format!("/rooms/lobby/events?access_token={token}"), "Accept: text/event-stream".to_owned()),
            (format!("/nothing?x=1&access_token={token}"), "X: y".to_owned()),
            (
                "/rooms/lobby/ws".to_owned(),
                format!(
                    "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: switchboard, switchboard.bearer.{token}"
                ),
            ),
            ("/rooms".to_owned(), format!("Authorization: Bearer {token}\r\nAuthorization: Bearer {token}x")),
        ] {
            let answer = served.request(&format!("GET {path} HTTP/1.1\r\n{header}"));
            assert!(answer.starts_with("HTTP/1.1 "), "{answer}");
            assert!(!answer.contains(&token[12..55]), "{answer}");
        }
    }
    until(|| served.events().iter().filter(|event| *event == "refused").count() >= 3);
    let typed = std::fs::read(format!("/proc/{}/cmdline", served.program.id())).expect("it runs");
    let path = served.file.to_string();
    let printed = run(&["config", "print", "--config", &path]);
    assert_eq!(printed.code, Some(0), "{printed:?}");
    let hash = served.lines.split('"').nth(1).expect("a hash").to_owned();
    assert!(!printed.output.join("\n").contains(&hash), "{printed:?}");
    // Where a token may have been put by mistake.
    let mut said = Vec::new();
    for text in [
        format!("[tokens.alice]\nhash = \"{right}\"\n"),
        format!("[tokens.alice]\nhash = [\"{right}\", 5]\n"),
        format!("[tokens.alice]\nhash = '''\n{right}'''\n"),
    ] {
        std::fs::write(&served.file as &Path, text).expect("it is written");
        served.reload("the file was not reloaded");
        let checked = run(&["config", "check", "--config", &path]);
        assert_eq!(checked.code, Some(78), "{checked:?}");
        said.extend(checked.log);
    }
    for token in [&right, &wrong] {
        let mut check = command(&["token", "hash"]);
        check.stdin(Stdio::piped());
        let mut check = Program::spawn(check);
        check.types(&format!("{token}x"));
        check.finish();
        said.extend(check.end().log);
    }
    let audit = std::fs::read_to_string(&served.audit as &Path).expect("it is there");
    let log = served.program.stop().log;
    assert!(log.iter().any(|line| line.contains("/auth")), "frames are logged: {log:?}");
    let everything = [
        log.join("\n"),
        audit,
        printed.output.join("\n"),
        said.join("\n"),
        String::from_utf8_lossy(&typed).into_owned(),
    ];
    for secret in [&right[12..55], &wrong[12..55]] {
        for text in &everything {
            let line = text.lines().find(|line| line.contains(secret));
            assert!(line.is_none(), "{line:?}");
        }
    }
}
