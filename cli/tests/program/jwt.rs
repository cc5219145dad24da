//! JSON Web Tokens that other libraries sign, against the program; live connections whose token, or whose key, ends; keys at a URL.

use crate::http::{asked, request};
use crate::process::{PATIENCE, Place, Program, command, exchange, joined, output, python_with, run};
use crate::rooms::Peer;
use nix::sys::signal::Signal;
use parking_lot::Mutex;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

fn write(folder: &Place, name: &str, text: &str) -> String {
    let path = folder.within(name);
    fs::write(&path, text).expect("it can be written");
    path
}

/// What a script of ours prints, which writes keys into the folder; none without the library that it signs by.
fn issued(script: &str, folder: &Place) -> Option<String> {
    let python = python_with("cryptography")?;
    let script = format!("{}/tests/program/jwt/{script}", env!("CARGO_MANIFEST_DIR"));
    let issued = output(Command::new(python).arg(script).arg(&**folder));
    assert!(issued.status.success(), "{}", String::from_utf8_lossy(&issued.stderr));
    Some(String::from_utf8(issued.stdout).expect("it is text"))
}

#[test]
fn tokens_signed_by_another_library_are_taken_or_refused_as_they_should_be() {
    let folder = Place::folder("jwt-python");
    let Some(cases) = issued("issue.py", &folder) else { return };
    let settings = folder.within("settings.toml");
    let mut wrong = Vec::new();
    for case in cases.lines() {
        let (expected, token) = case.split_once('\t').expect("what is expected, and a token");
        let told = check(&settings, token);
        if !told.lines().any(|line| line.starts_with(expected)) {
            wrong.push(format!("{expected:?} was expected, not {told:?}: {token:.200}"));
        }
    }
    assert!(cases.lines().count() > 200 && wrong.is_empty(), "{}", wrong.join("\n"));

    // Keys that are no good are refused before any token.
    for (keys, algorithms, fault) in [
        ("small.pem", "[\"RS256\"]", "an RSA key of 1024 bits"),
        ("rsa.pem", "[\"HS256\"]", "public keys, and not the secret"),
        ("rsa.pem", "[\"RS256\", \"PS256\"]", "list RS256 or PS256, not both"),
        ("rsa.pem", "[\"ES256\"]", "neither RS256 nor PS256"),
        ("secret", "[\"HS256\", \"ES256\"]", "HS256 beside others"),
        ("settings.toml", "[\"ES256\"]", "neither a JWKS nor PEM"),
        ("none", "[\"ES256\"]", "No such file"),
    ] {
        let text = format!(
            "[jwt.x]\nissuer = \"x\"\naudience = \"any\"\nalgorithms = {algorithms}\nkeys = \"{}\"\n",
            folder.within(keys)
        );
        let path = write(&folder, "wrong.toml", &text);
        let end = run(&["config", "check", "--config", &path]);
        assert!(end.code == Some(78) && end.log.iter().any(|line| line.contains(fault)), "{fault}: {end:?}");
    }
}

/// What `token check` says.
fn check(settings: &str, token: &str) -> String {
    let mut command = command(&["token", "check", "--config", settings]);
    command.stdin(std::process::Stdio::piped());
    let mut program = Program::spawn(command);
    program.types(token);
    program.finish();
    let end = program.end();
    format!("{}\n{}", end.output.join("\n"), end.log.join("\n"))
}

/// Who signs by a key of its own.
struct Signer {
    key: String,
    public: String,
}

impl Signer {
    fn new(folder: &Place, name: &str) -> Self {
        let key = folder.within(&format!("{name}.pem"));
        let openssl = |arguments: &[&str]| {
            let made = output(Command::new("openssl").args(arguments));
            assert!(made.status.success(), "{made:?}");
        };
        openssl(&["genpkey", "-algorithm", "ed25519", "-out", &key]);
        let public = folder.within(&format!("{name}.pub"));
        openssl(&["pkey", "-in", &key, "-pubout", "-out", &public]);
        Self { key, public }
    }

    fn token(&self, expires: &str) -> String {
        self.claiming(expires, &[])
    }

    /// With more claims.
    fn claiming(&self, expires: &str, claims: &[&str]) -> String {
        let own = [
            "token",
            "sign",
            "--key",
            &self.key,
            "--iss",
            "backend",
            "--aud",
            "switchboard",
            "--sub",
            "alice",
            "--kid",
            "k",
            "--expires",
            expires,
        ];
        let end = run(&[&own[..], claims].concat());
        assert_eq!(end.code, Some(0), "{end:?}");
        end.output.concat()
    }

    /// What it publishes: a public key of Ed25519 is the last 32 bytes of its DER.
    fn jwks(&self, kid: &str) -> String {
        let pem = fs::read_to_string(&self.public).expect("it is there");
        let encoded = pem.lines().find(|line| !line.starts_with('-')).expect("base64");
        // 44 bytes of DER: 12 that say what it is, which are 16 digits, and the key.
        let key = encoded[16..].trim_end_matches('=').replace('+', "-").replace('/', "_");
        format!(r#"{{"keys":[{{"kty":"OKP","crv":"Ed25519","x":"{key}","kid":"{kid}","use":"sig"}}]}}"#)
    }
}

fn settings(keys: &str) -> String {
    format!(
        "[jwt.backend]\nissuer = \"backend\"\naudience = \"switchboard\"\nalgorithms = [\"EdDSA\"]\nkeys = \"{keys}\"\nleeway = \"0s\"\n\
         [rooms.lobby]\nnamed = [\"all\"]\nanyone = [\"join\"]\n"
    )
}

fn serve(settings: &str, more: &[&str]) -> Program {
    let arguments = ["serve", "rooms=tcp://127.0.0.1:0", "admin=http://127.0.0.1:0", "--config", settings];
    Program::listening(command(&[&arguments[..], more].concat()), 2)
}

fn known(program: &Program, token: &str) -> Peer {
    let mut peer = Peer::enter(program, 0);
    peer.say(&format!("/auth {token}"));
    let told = peer.next();
    assert!(told.starts_with("* authorized as alice until 20"), "{told}");
    peer
}

#[test]
fn a_connection_lives_as_long_as_its_token_unless_it_shows_a_fresh_one() {
    let folder = Place::folder("jwt-live");
    let signer = Signer::new(&folder, "backend");
    let program = serve(&write(&folder, "settings.toml", &settings(&signer.public)), &[]);
    // Long enough for a busy machine to show them in time.
    let fresh = signer.token("1h");
    let mut renewed = known(&program, &signer.token("9s"));
    let mut stale = known(&program, &signer.token("9s"));
    let late = signer.token("4s");
    let mut ended = known(&program, &late);
    renewed.say(&format!("/auth {fresh}"));
    let mut warned = false;
    loop {
        let told = ended.next();
        warned |= told.contains("your authorization ends in");
        if told == "* closed: expired" {
            break;
        }
    }
    assert!(warned, "it was told before");
    stale.say(&format!("/auth {late}"));
    let told: Vec<_> =
        std::iter::from_fn(|| Some(stale.next())).take_while(|line| line != "* closed: expired").collect();
    assert!(told.iter().any(|line| line.starts_with("! token-expired")), "{told:?}");
    renewed.say("still here");
    while !renewed.next().contains("pong") {
        renewed.say("/ping");
    }
    let log = program.stop().log.join("\n");
    assert!(log.contains("source=\"jwt.backend\"") && !log.contains(&fresh[..40]), "{log}");
}

#[test]
fn a_token_ends_whoever_came_by_it_on_each_transport() {
    let folder = Place::folder("jwt-ends");
    let signer = Signer::new(&folder, "backend");
    let socket = folder.within("rooms.sock");
    let path = write(&folder, "settings.toml", &settings(&signer.public));
    let [unix, http] = [format!("rooms=unix://{socket}"), "rooms=http://127.0.0.1:0".to_owned()];
    let program =
        Program::listening(command(&["serve", "rooms=tcp://127.0.0.1:0", &unix, &http, "--config", &path]), 3);
    let token = signer.token("5s");
    let bearer = format!("authorization: Bearer {token}");
    let handshake = [&*bearer, "upgrade: websocket", "connection: Upgrade", "sec-websocket-version: 13", KEY];
    let ends = |mut stream: Box<dyn ReadAndWrite>, said: String, told: &'static str, closed: &'static [u8]| {
        stream.write_all(said.as_bytes()).expect("it is read");
        thread::spawn(move || {
            let mut all = Vec::new();
            stream.read_to_end(&mut all).expect("it is closed");
            let text = all.escape_ascii().to_string();
            assert!(text.contains(told), "{told}: {text}");
            assert!(all.windows(closed.len()).any(|part| part == closed), "{text}");
        })
    };
    let lines = format!("/auth {token}\n/join lobby\n");
    let unix = UnixStream::connect(&socket).expect("it listens");
    let ended = [
        ends(Box::new(program.tcp(0)), lines.clone(), "* your authorization ends in", b"* closed: expired\n"),
        ends(Box::new(unix), lines, "* your authorization ends in", b"* closed: expired\n"),
        ends(
            Box::new(program.tcp(2)),
            request("GET", "/ws?room=lobby", &handshake, ""),
            "expiring",
            // The code of a policy's violation, and the reason.
            b"\x88\x09\x03\xf0expired",
        ),
        ends(
            Box::new(program.tcp(2)),
            request("GET", "/rooms/lobby/events", &[&bearer], ""),
            "expiring",
            b"{\"event\":\"closed\",\"reason\":\"expired\"}",
        ),
    ];
    ended.into_iter().for_each(joined);
}

/// A stream of any transport.
trait ReadAndWrite: Read + Write + Send {}

impl<S: Read + Write + Send> ReadAndWrite for S {}

const KEY: &str = "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==";

#[test]
fn a_token_opens_the_admin_service_as_far_as_its_source_may_say() {
    let folder = Place::folder("jwt-admin");
    let signer = Signer::new(&folder, "backend");
    let source = |admin: &str| {
        settings(&signer.public).replacen("keys =", &format!("rights-claim = \"switchboard\"\n{admin}keys ="), 1)
    };
    let act = signer.claiming("1h", &["--claim", r#"switchboard={"admin":"act"}"#]);
    for (admin, seen, done) in [("", 403, 403), ("admin = \"view\"\n", 200, 403), ("admin = \"act\"\n", 200, 200)] {
        let path = write(&folder, "settings.toml", &source(admin));
        let program = serve(&path, &[]);
        let header = format!("authorization: Bearer {act}");
        let asked = |method: &str, path: &str, body: &str| {
            asked(program.tcp(1), method, path, &[&header, "content-type: application/json"], body).status
        };
        assert_eq!(asked("GET", "/server", ""), seen, "{admin}");
        assert_eq!(asked("PUT", "/ready", "{\"ready\":false}"), done, "{admin}");
        let told = check(&path, &act);
        assert_eq!(told.contains("may view at the admin service"), admin.contains("view"), "{told}");
    }
}

#[test]
fn a_key_that_is_taken_away_takes_its_connections_along_and_no_others() {
    let folder = Place::folder("jwt-keys");
    let (old, new) = (Signer::new(&folder, "old"), Signer::new(&folder, "new"));
    let keys = folder.within("keys.pub");
    fs::copy(&old.public, &keys).expect("it can be written");
    let mut program = serve(&write(&folder, "settings.toml", &settings(&keys)), &[]);
    let (mut alice, mut guest) = (known(&program, &old.token("1h")), Peer::enter(&program, 0));
    program.signal(Signal::SIGHUP);
    program.logged("nothing changed");
    alice.expect_nothing();
    // Half of what is new is wrong: nothing of it is taken.
    write(&folder, "keys.pub", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n");
    program.signal(Signal::SIGHUP);
    assert!(program.logged("the file was not reloaded").contains("not a public key"));
    alice.expect_nothing();
    fs::copy(&new.public, &keys).expect("it can be written");
    program.signal(Signal::SIGHUP);
    assert!(program.logged("the file was reloaded").contains("jwt.backend"));
    alice.expect("* closed: revoked");
    guest.expect_nothing();
    guest.say(&format!("/auth {}", old.token("1h")));
    assert!(guest.next().starts_with("! not-authorized"));
    known(&program, &new.token("1h"));
}

/// An issuer that answers what it is told to, and counts.
struct Issuer {
    url: String,
    answer: Arc<Mutex<String>>,
    asked: Arc<AtomicUsize>,
}

impl Issuer {
    fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let url = format!("http://{}/keys", listener.local_addr().expect("it is bound"));
        let (answer, asked) = (Arc::new(Mutex::new(String::new())), Arc::new(AtomicUsize::new(0)));
        let (answers, counted) = (Arc::clone(&answer), Arc::clone(&asked));
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.expect("it accepts");
                stream.set_read_timeout(Some(PATIENCE)).expect("a timeout can be set");
                let mut request = Vec::new();
                while !request.ends_with(b"\r\n\r\n") {
                    let mut byte = [0];
                    if stream.read_exact(&mut byte).is_err() {
                        break;
                    }
                    request.extend(byte);
                }
                counted.fetch_add(1, Ordering::SeqCst);
                let answer = answers.lock().clone();
                // It may be gone, if that is too long for it.
                let _ = stream.write_all(answer.as_bytes());
            }
        });
        Self { url, answer, asked }
    }

    fn answers(&self, status: &str, head: &str, body: &str) {
        let answer =
            format!("HTTP/1.1 {status}\r\n{head}Content-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len());
        *self.answer.lock() = answer;
    }
}

#[test]
fn keys_at_a_url_are_fetched_and_outlive_their_issuer() {
    let folder = Place::folder("jwt-url");
    let (old, new) = (Signer::new(&folder, "old"), Signer::new(&folder, "new"));
    let (issuer, elsewhere) = (Issuer::new(), Issuer::new());
    let path = write(&folder, "settings.toml", &settings(&issuer.url));
    let state = folder.within("");
    elsewhere.answers("200 OK", "", &old.jwks("k"));
    issuer.answers("500 Internal Server Error", "", &old.jwks("k"));
    let mut program = serve(&path, &["--state-directory", &state]);
    program.logged("keys were not fetched");
    let mut guest = Peer::enter(&program, 0);
    guest.say(&format!("/auth {}", old.token("1h")));
    assert!(guest.next().starts_with("! auth-unavailable"), "nobody can say whose it is");
    let ready = |program: &Program| {
        let request = b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
        String::from_utf8(exchange(program.tcp(1), request)).expect("it is text")
    };
    let told = ready(&program);
    assert!(told.starts_with("HTTP/1.1 503") && told.contains(r#""without-keys":["jwt.backend"]"#), "{told}");
    let fetch = |program: &mut Program, told: &str| {
        program.signal(Signal::SIGHUP);
        program.logged(told)
    };
    issuer.answers("200 OK", "", &old.jwks("k"));
    fetch(&mut program, "keys were fetched");
    assert!(ready(&program).starts_with("HTTP/1.1 200"));
    let mut alice = known(&program, &old.token("1h"));
    let large = "x".repeat(100_000);
    let location = format!("Location: {}\r\n", elsewhere.url);
    for (status, head, body, fault) in [
        ("500 Internal Server Error", "", "", "500"),
        ("302 Found", location.as_str(), "", "302"),
        ("200 OK", "", "<html>", "neither a JWKS"),
        ("200 OK", "", "{\"keys\":[]}", "no key of it can be used"),
        ("200 OK", "", large.as_str(), "longer than 65536 bytes"),
    ] {
        issuer.answers(status, head, body);
        let told = fetch(&mut program, "keys were not fetched");
        assert!(told.contains(fault), "{fault}: {told}");
        alice.expect_nothing();
    }
    assert_eq!(elsewhere.asked.load(Ordering::SeqCst), 0, "nobody goes where a redirect leads");
    program.stop();
    // Its issuer is down, and it was kept.
    let mut program = serve(&path, &["--state-directory", &state]);
    program.logged("keys were not fetched");
    let mut alice = known(&program, &old.token("1h"));
    issuer.answers("200 OK", "", &new.jwks("k"));
    fetch(&mut program, "keys were fetched");
    alice.expect("* closed: revoked");
    known(&program, &new.token("1h"));
    assert!(Path::new(&folder.within("jwt-backend.json")).exists());
    let told = check(&path, &new.token("1h"));
    assert!(told.starts_with("alice, by jwt.backend"), "{told}");
}

/// What docs/jwt.md says to write for an identity provider.
fn documented(provider: &str) -> &'static str {
    let page = include_str!("../../../docs/jwt.md");
    let begin = format!("```toml\n[jwt.{provider}]\n");
    let at = page.find(&begin).expect("it is documented") + "```toml\n".len();
    page[at..].split("```").next().expect("it ends")
}

#[test]
fn tokens_as_identity_providers_shape_them_are_taken_with_the_settings_of_the_documentation() {
    let folder = Place::folder("jwt-issuers");
    let Some(tokens) = issued("issuers.py", &folder) else { return };
    for provider in ["keycloak", "auth0", "dex"] {
        let issuer = Issuer::new();
        let keys = fs::read_to_string(folder.within(&format!("{provider}.json"))).expect("it is written");
        issuer.answers("200 OK", "Content-Type: application/json\r\n", &keys);
        let fetched = format!("keys = \"{}\"", issuer.url);
        // Where its keys are is all that differs.
        let lines = documented(provider).lines().map(|line| if line.starts_with("keys =") { &fetched } else { line });
        let section = lines.collect::<Vec<_>>().join("\n");
        let group = "[groups.staff]\nrooms = { \"ops.**\" = [\"all\"] }\n";
        let path = write(&folder, &format!("{provider}.toml"), &format!("{section}\n{group}"));
        let mut program = serve(&path, &[]);
        program.logged("keys were fetched");
        let mut accepted = 0;
        for line in tokens.lines() {
            let Some((what, token)) = line.strip_prefix(provider).and_then(|rest| rest.trim().split_once('\t')) else {
                continue;
            };
            let checked = check(&path, token);
            let fault = match (provider, what) {
                ("keycloak", "foreign" | "id") | ("auth0", "id") | ("dex", "foreign") => {
                    "`aud` is missing, or has none"
                }
                ("keycloak", "unknown") => "no key of the source",
                ("auth0", "nameless") | ("dex", "elsewhere") => "the claim with the name is missing",
                ("dex", "unverified") => "`email_verified` says",
                (_, "access") | ("dex", "id") => "",
                other => panic!("{other:?}"),
            };
            let mut peer = Peer::enter(&program, 0);
            peer.say(&format!("/auth {token}"));
            let told = peer.next();
            if fault.is_empty() {
                assert!(checked.starts_with(&format!("alice, by jwt.{provider}\n")), "{checked}");
                assert!(checked.contains("in staff"), "{provider}, {what}: {checked}");
                assert!(told.starts_with("* authorized as alice until 20"), "{provider}, {what}: {told}");
                peer.say("/whoami");
                let told = peer.next();
                assert!(told.starts_with("* you are alice, in staff"), "{provider}, {what}: {told}");
                peer.say("/join ops.east");
                let told = peer.next();
                assert!(told.contains("joined [ops.east]") || told.contains("[ops.east] you joined"), "{told}");
                accepted += 1;
            } else {
                assert!(checked.contains(fault), "{provider}, {what}: {checked}");
                assert!(told.starts_with("! not-authorized"), "{provider}, {what}: {told}");
            }
        }
        assert!(accepted > 0, "{provider}");
    }
}
