//! Who is known without a token: by a certificate of an authority, and as a user of this machine.

use crate::process::{Place, Program, output, ran, until};
use crate::tls::Pair;
use nix::sys::signal::Signal;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Stdio};

/// A folder with the authority of the documentation, and alice's certificate.
struct Folder(Place);

impl Folder {
    fn new(test: &str) -> Self {
        let folder = Self(Place::folder(test));
        folder.sh(&shown(0));
        for (name, extension) in [
            ("two", "subjectAltName=DNS:alice,DNS:bob"),
            ("none", "keyUsage=digitalSignature"),
            ("bob", "subjectAltName=DNS:bob"),
            ("carol", "subjectAltName=DNS:carol"),
        ] {
            let made = shown(0).lines().skip(1).take(3).collect::<Vec<_>>().join("\n");
            let made = made.replace("alice", name).replace(&format!("subjectAltName=DNS:{name}"), extension);
            folder.sh(&made);
        }
        folder
    }

    fn sh(&self, script: &str) {
        let made = output(Command::new("sh").args(["-ec", script]).current_dir(&*self.0));
        assert!(made.status.success(), "{script}\n{}", String::from_utf8_lossy(&made.stderr));
    }

    /// What `program` says when it shows this certificate, if any, and types a line; nothing if it is refused.
    fn s_client(&self, program: &Program, who: Option<&str>, typed: &str) -> String {
        let mut child = self.s_client_command(program, 0, who).spawn().expect("openssl is installed");
        let mut stdin = child.stdin.take().expect("a pipe");
        // It may be refused by now.
        let _ = stdin.write_all(typed.as_bytes());
        let said = ran(child);
        drop(stdin);
        String::from_utf8_lossy(&said.stdout).into_owned()
    }

    fn s_client_command(&self, program: &Program, listener: usize, who: Option<&str>) -> Command {
        let mut client = Command::new("openssl");
        client.args(["s_client", "-quiet", "-connect", &program.listeners[listener].address().to_string()]);
        if let Some(who) = who {
            client.args([
                "-cert",
                &self.0.within(&format!("{who}.pem")),
                "-key",
                &self.0.within(&format!("{who}.key")),
            ]);
        }
        client.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        client
    }

    fn curl(&self, program: &Program, listener: usize, who: Option<&str>, more: &[&str]) -> String {
        let mut curl = Command::new("curl");
        let url = format!("https://{}/me", program.listeners[listener].address());
        curl.args(["-sk", "-w", " %{http_code}", &url]).args(more);
        if let Some(who) = who {
            curl.args([
                "--cert",
                &self.0.within(&format!("{who}.pem")),
                "--key",
                &self.0.within(&format!("{who}.key")),
            ]);
        }
        String::from_utf8_lossy(&output(&mut curl).stdout).into_owned()
    }
}

/// A block of commands of the documentation.
fn shown(number: usize) -> String {
    let page = include_str!("../../../docs/vouching.md");
    let block = page.split("```sh\n").nth(number + 1).and_then(|rest| rest.split("```").next());
    block.expect("it is there").to_owned()
}

/// A file of the documentation that holds `word`.
fn settings(word: &str) -> String {
    let page = include_str!("../../../docs/vouching.md");
    let mut blocks = page.split("```toml\n").skip(1).filter_map(|part| part.split("```").next());
    blocks.find(|block| block.contains(word)).expect("it is there").to_owned()
}

fn start(folder: &Folder, server: &Pair, file: &Path) -> Program {
    let toml = settings("client-ca").replace("0.0.0.0:8443", "127.0.0.1:0");
    let toml = toml.replace("server.pem", &server.certificate.to_string());
    let toml = toml.replace("server.key", &server.key.to_string());
    let toml = toml.replace("\"ca.pem\"", &format!("{:?}", folder.0.within("ca.pem")));
    let toml = toml.replace("\"crl.pem\"", &format!("{:?}", folder.0.within("crl.pem")));
    let (listener, names) = toml.split_once("\n[names").expect("it has some");
    let web = listener.replace("rooms=tls", "rooms=https");
    let echo = listener.replace("rooms=tls", "echo=tls").replace("name-from", "# name-from");
    let text = format!(
        "{listener}\n{web}\n{web}client-cert = \"optional\"\n{echo}\n[names{names}\n\
         [tokens.bob]\nhash = \"sha256:{}\"\n",
        "0".repeat(64)
    );
    std::fs::write(file, text).expect("the temporary folder takes a file");
    Program::of_file(file, 4)
}

#[test]
fn whoever_has_a_certificate_is_whom_it_names_until_it_is_revoked() {
    let (folder, server) = (Folder::new("clients"), Pair::new("clients", "localhost"));
    let file = Place::new("clients.toml");
    let mut program = start(&folder, &server, &file);
    let said = folder.s_client(&program, Some("alice"), "/whoami\n/quit\n");
    assert!(said.contains("you are alice, in no group, until 20"), "{said}");
    assert_eq!(folder.s_client(&program, None, "/whoami\n/quit\n"), "");
    // Several names, or none, or that of somebody who has a token.
    for who in ["two", "none", "bob"] {
        let said = folder.s_client(&program, Some(who), "/whoami\n/quit\n");
        assert!(said.contains("! not-authorized: your certificate names nobody here"), "{who}: {said}");
        assert!(!said.contains("you are"), "{who}: {said}");
        for listener in [1, 2] {
            assert!(folder.curl(&program, listener, Some(who), &[]).ends_with(" 401"), "{who}");
        }
    }
    for listener in [1, 2] {
        let said = folder.curl(&program, listener, Some("alice"), &[]);
        assert!(said.contains("\"name\":\"alice\"") && said.ends_with(" 200"), "{said}");
        let evil = folder.curl(&program, listener, Some("alice"), &["-H", "Origin: https://evil"]);
        assert!(evil.ends_with(" 403"), "{evil}");
    }
    assert!(folder.curl(&program, 1, None, &[]).ends_with(" 000"));
    let said = folder.curl(&program, 2, None, &[]);
    assert!(said.contains("\"authenticated\":false") && said.ends_with(" 200"), "{said}");

    let connected = |listener: usize, who: &str, typed: &str, answer: &str| {
        let mut client = Program::spawn(folder.s_client_command(&program, listener, Some(who)));
        client.types(typed);
        client.printed(answer);
        client
    };
    let mut alice = connected(0, "alice", "/whoami\n", "you are alice");
    let [alices, mut carols] = ["alice", "carol"].map(|who| connected(3, who, "hello\n", "hello"));
    let mut carol = connected(0, "carol", "/whoami\n", "you are carol");
    folder.sh(&shown(1));
    program.signal(Signal::SIGHUP);
    program.logged("certificates were reloaded");
    alice.printed("revoked");
    // Though its input is open.
    alice.end();
    // Whatever it speaks there.
    alices.end();
    carols.types("still\n");
    carols.printed("still");
    assert_eq!(folder.s_client(&program, Some("alice"), "/whoami\n/quit\n"), "");
    assert!(folder.curl(&program, 2, Some("alice"), &[]).ends_with(" 000"));
    assert!(folder.s_client(&program, Some("carol"), "/whoami\n/quit\n").contains("you are carol"));

    // Another authority is believed, of which none of them has a certificate.
    folder.sh(&shown(0)
        .lines()
        .next()
        .expect("it makes one")
        .replace("ca.key", "new.key")
        .replace("ca.pem", "new.pem"));
    folder.sh("mv new.pem ca.pem && mv new.key ca.key && openssl ca -config ca.cnf -cert ca.pem -keyfile ca.key -gencrl -out crl.pem");
    program.signal(Signal::SIGHUP);
    carol.printed("revoked");
    carol.end();
    carols.end();
}

#[test]
fn a_proxy_passes_nobody_on_whose_certificate_no_authority_vouches_for() {
    let (folder, server) = (Folder::new("passed-on"), Pair::new("passed-on", "localhost"));
    let upstream = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let (to, ca) = (upstream.local_addr().expect("it is bound"), folder.0.within("ca.pem"));
    let program =
        Program::serve(&[&format!("proxy=tls://127.0.0.1:0?{}&client-ca={ca}&to=tcp://{to}", server.query())]);
    assert_eq!(folder.s_client(&program, None, "nobody\n"), "");
    let mut alice = Program::spawn(folder.s_client_command(&program, 0, Some("alice")));
    alice.types("hello\n");
    let (mut first, _) = upstream.accept().expect("somebody is passed on");
    let mut said = [0; 6];
    first.read_exact(&mut said).expect("it says something");
    assert_eq!(said, *b"hello\n");
}

#[test]
fn a_user_of_this_machine_is_whom_the_file_says_and_others_are_nobody() {
    let (socket, file) = (Place::new("users.sock"), Place::new("users.toml"));
    let uid = std::fs::metadata("/proc/self").expect("it is there").uid();
    let asked = |uid: u32| {
        let toml = settings("peers = ").replace("uid = 1000", &format!("uid = {uid}"));
        let toml = toml.replace("/run/switchboard/rooms.sock", &socket.to_string());
        std::fs::write(&*file, toml).expect("the temporary folder takes a file");
        let program = Program::of_file(&file, 1);
        let mut stream = UnixStream::connect(&*socket).expect("it accepts");
        stream.write_all(b"/whoami\n/join ops\n/quit\n").expect("it reads");
        let mut said = String::new();
        stream.read_to_string(&mut said).expect("it answers");
        assert_eq!(program.stop().code, Some(0));
        until(|| !socket.exists());
        said
    };
    let said = asked(uid);
    assert!(said.contains("* you are alice, in no group\n") && said.contains("[ops]"), "{said}");
    let said = asked(uid + 1);
    assert!(said.contains("you are guest-") && said.contains("! not-a"), "{said}");
}

#[test]
fn what_makes_no_sense_is_a_fault() {
    let told = |arguments: &[&str]| {
        let all: Vec<_> = ["serve"].iter().chain(arguments).copied().collect();
        let end = crate::process::run(&all);
        assert!(matches!(end.code, Some(2 | 78)), "{end:?}");
        end.log.join("\n")
    };
    assert!(told(&["rooms=tcp://127.0.0.1:0?peers=login"]).contains("`peers`: is for Unix sockets"));
    assert!(told(&["rooms=unix:///tmp/never.sock?peers=login"]).contains("`peers`: names nobody"));
    assert!(told(&["rooms=tcp://127.0.0.1:0?name-from=cn"]).contains("`name-from`: needs a client-ca"));
    assert!(told(&["rooms=tcp://127.0.0.1:0?client-ca=x"]).contains("unknown option `client-ca`"));
    let server = Pair::new("nonsense", "localhost");
    let tls = |more: &str| told(&[&format!("echo=tls://127.0.0.1:0?{}&{more}", server.query())]);
    assert!(tls("client-crl=x").contains("`client-crl`: needs a client-ca"));
    assert!(tls("client-cert=optional").contains("`client-cert`: needs a client-ca"));
    assert!(tls("client-ca=/nowhere.pem").contains("/nowhere.pem: No such file"));
    assert!(tls(&format!("client-ca={}&client-cert=perhaps", server.certificate)).contains("not required or optional"));
}
