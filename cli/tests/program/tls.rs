//! TLS: certificates from files, checked before anything is bound, and reloaded.

use crate::process::{PATIENCE, Place, Program, ask, ran, run};
use nix::sys::signal::Signal;
use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair, date_time_ymd};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::sync::Arc;

/// A certificate and its key, in files of this test.
pub(crate) struct Pair {
    pub(crate) certificate: Place,
    pub(crate) key: Place,
}

impl Pair {
    pub(crate) fn new(test: &str, name: &str) -> Self {
        Self::with(test, name, |_| {})
    }

    /// As `openssl req -x509` makes it: the server's own, and an authority's.
    pub(crate) fn of_its_own_authority(test: &str, name: &str) -> Self {
        Self::with(test, name, |params| params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained))
    }

    fn with(test: &str, name: &str, change: impl FnOnce(&mut CertificateParams)) -> Self {
        let pair = Self {
            certificate: Place::new(&format!("{test}-{name}.cert")),
            key: Place::new(&format!("{test}-{name}.key")),
        };
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        fs::write(&*pair.certificate, params.self_signed(&key).unwrap().pem()).unwrap();
        fs::write(&*pair.key, key.serialize_pem()).unwrap();
        pair
    }

    pub(crate) fn query(&self) -> String {
        format!("cert={}&key={}", self.certificate, self.key)
    }

    pub(crate) fn der(&self) -> CertificateDer<'static> {
        CertificateDer::from_pem_file(&*self.certificate).unwrap()
    }

    fn copy_to(&self, other: &Self) {
        fs::copy(&*self.certificate, &*other.certificate).unwrap();
        fs::copy(&*self.key, &*other.key).unwrap();
    }
}

/// Connects and asks for the host `name`; only these certificates are trusted.
pub(crate) fn connect(
    program: &Program,
    name: &str,
    trusted: &[CertificateDer<'static>],
) -> StreamOwned<ClientConnection, TcpStream> {
    let mut roots = RootCertStore::empty();
    for certificate in trusted {
        roots.add(certificate.clone()).unwrap();
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = builder.with_root_certificates(roots).with_no_client_auth();
    let name = ServerName::try_from(name.to_owned()).unwrap();
    StreamOwned::new(ClientConnection::new(Arc::new(config), name).unwrap(), program.tcp(0))
}

#[test]
fn lines_are_echoed_and_the_output_says_how_to_try() {
    let pair = Pair::new("echo", "localhost");
    for workers in ["1", "4"] {
        let program = Program::serve(&[&format!("echo=tls://127.0.0.1:0?{}", pair.query()), "--workers", workers]);
        let listener = &program.listeners[0];
        assert_eq!(listener.command, format!("openssl s_client -quiet -connect {}", listener.address()));
        let mut peer = connect(&program, "localhost", &[pair.der()]);
        ask(&mut peer, b"hi\n", b"echo: hi\n");
        peer.conn.send_close_notify();
        let mut rest = Vec::new();
        // An end without close_notify would be an error.
        peer.read_to_end(&mut rest).expect("it closes in order");
        assert_eq!(rest, b"");
        assert_eq!(program.stop().code, Some(0));
    }
}

#[test]
fn a_room_has_members_over_tls_and_over_tcp() {
    let pair = Pair::new("rooms", "localhost");
    let program = Program::serve(&[&format!("rooms=tls://127.0.0.1:0?{}", pair.query()), "rooms=tcp://127.0.0.1:0"]);
    let mut ann = connect(&program, "localhost", &[pair.der()]);
    ask(&mut ann, b"", b"* you are guest-1 in lobby; /help lists the commands\n");
    let mut bob = program.tcp(1);
    ask(&mut bob, b"", b"* you are guest-2 in lobby; /help lists the commands\n");
    ask(&mut bob, b"/ping\n", b"* pong\n");
    bob.write_all(b"hello\n").unwrap();
    let mut heard = String::new();
    while !heard.contains("[lobby] guest-2: hello\n") {
        let mut bytes = [0; 256];
        let count = ann.read(&mut bytes).expect("it hears the other");
        heard.push_str(std::str::from_utf8(&bytes[..count]).unwrap());
    }
}

#[test]
fn a_host_name_chooses_among_several_certificates() {
    let (one, two) = (Pair::new("sni", "one.test"), Pair::new("sni", "two.test"));
    let program = Program::serve(&[&format!("echo=tls://127.0.0.1:0?{}&{}", one.query(), two.query())]);
    for (name, pair) in [("one.test", &one), ("two.test", &two)] {
        // Trusting one alone proves that it is the one.
        ask(&mut connect(&program, name, &[pair.der()]), b"hi\n", b"echo: hi\n");
    }
}

#[test]
fn all_that_is_wrong_with_the_files_is_said_before_anything_is_bound() {
    let good = Pair::new("faults", "good");
    let locked = Pair::new("faults", "locked");
    fs::write(
        &*locked.key,
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nbm90IG9uZQ==\n-----END ENCRYPTED PRIVATE KEY-----\n",
    )
    .unwrap();
    let other = Pair::new("faults", "other");
    let missing = Place::new("faults-missing");
    let urls = [
        format!("echo=tls://127.0.0.1:0?cert={missing}&key={}", good.key),
        format!("echo=tls://127.0.0.1:0?{}", locked.query()),
        format!("rooms=tls://127.0.0.1:0?cert={}&key={}", good.certificate, other.key),
        format!("rooms=tls://127.0.0.1:0?cert={}&key={}", good.key, good.key),
        // Said once, though two listeners name it.
        format!("rooms=tls://127.0.0.1:0?{}", locked.query()),
    ];
    let [missing_url, rest @ ..] = urls.each_ref().map(String::as_str);
    let end = run(&[&["serve", "echo=tcp://127.0.0.1:0", missing_url], &rest[..]].concat());
    assert_eq!((end.code, end.output), (Some(78), Vec::<String>::new()));
    let expected = [
        format!("error: {missing}: No such file or directory (os error 2)"),
        format!("error: {}: the private key is encrypted; store it without a passphrase", locked.key),
        format!("error: {}: not the key for the certificate in {}", other.key, good.certificate),
        format!("error: {}: has no certificate (BEGIN CERTIFICATE)", good.key),
    ];
    assert_eq!(end.log, expected);
    let end = run(&["config", "check", missing_url]);
    assert_eq!(end.code, Some(78));
    // What was typed counts more.
    let end = run(&["serve", missing_url, "echo=tls://127.0.0.1:0?cert=a"]);
    assert_eq!((end.code, end.log.len()), (Some(2), 2), "{:?}", end.log);
}

/// A machine whose clock is wrong at boot must come up.
#[test]
fn an_expired_certificate_is_served_and_complained_of() {
    let expired = Pair::with("expired", "localhost", |params| params.not_after = date_time_ymd(2001, 2, 3));
    let url = format!("echo=tls://127.0.0.1:0?{}", expired.query());
    let mut program = Program::serve(&[&url]);
    let line = program.logged("certificate is not valid now");
    let complaint = format!("{}: the certificate expired at 2001-02-03T00:00:00Z", expired.certificate);
    assert!(line.contains("ERROR") && line.contains(&complaint) && line.contains("tls://"), "{line}");
    program.signal(Signal::SIGHUP);
    program.logged("certificate is not valid now");
    assert_eq!(program.stop().code, Some(0));
    let end = run(&["config", "check", &url]);
    assert_eq!(
        (end.code, end.output, end.log),
        (Some(0), vec!["ok".to_owned()], vec![format!("warning: {complaint}")])
    );
}

#[test]
fn a_hangup_reloads_and_drops_nobody() {
    let (pair, next) = (Pair::new("reload", "localhost"), Pair::new("reload-next", "localhost"));
    let (old, new) = (pair.der(), next.der());
    let mut program = Program::serve(&[&format!("echo=tls://127.0.0.1:0?{}", pair.query())]);
    let mut early = connect(&program, "localhost", std::slice::from_ref(&old));
    ask(&mut early, b"before\n", b"echo: before\n");

    fs::write(&*pair.certificate, "").unwrap();
    program.signal(Signal::SIGHUP);
    let line = program.logged("certificates were not reloaded");
    assert!(line.contains("ERROR") && line.contains("has no certificate") && line.contains("tls://"), "{line}");
    ask(&mut connect(&program, "localhost", &[old]), b"still\n", b"echo: still\n");

    next.copy_to(&pair);
    program.signal(Signal::SIGHUP);
    program.logged("certificates were reloaded");
    ask(&mut connect(&program, "localhost", &[new]), b"after\n", b"echo: after\n");
    ask(&mut early, b"on\n", b"echo: on\n");
    drop(early);
    assert_eq!(program.stop().code, Some(0));
}

#[test]
fn plain_text_is_named_in_the_log() {
    let pair = Pair::new("plain", "localhost");
    let mut program = Program::serve(&[&format!("echo=tls://127.0.0.1:0?{}", pair.query())]);
    let mut peer = program.tcp(0);
    peer.set_read_timeout(Some(PATIENCE)).unwrap();
    peer.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    peer.read_to_end(&mut Vec::new()).expect("it closes in order");
    drop(peer);
    let line = program.logged("connection closed");
    assert!(line.contains("handshake-failed") && line.contains("not TLS: plain text on a TLS port"), "{line}");
}

#[test]
fn handshakes_of_one_address_are_limited_where_that_is_asked_for() {
    let pair = Pair::new("flood", "localhost");
    let url = format!("echo=tls://127.0.0.1:0?{}", pair.query());
    let mut program = Program::serve(&[&url, "--max-handshakes-per-address", "1"]);
    let _first = program.tcp(0);
    drop(program.tcp(0));
    let line = program.logged("connection refused");
    assert!(line.contains("too-many-handshakes"), "{line}");
}

#[test]
fn versions_before_1_2_are_refused() {
    let pair = Pair::new("versions", "localhost");
    let program = Program::serve(&[&format!("rooms=tls://127.0.0.1:0?{}", pair.query())]);
    let address = program.listeners[0].address().to_string();
    for (version, is_spoken) in [("-tls1", false), ("-tls1_1", false), ("-tls1_2", true), ("-tls1_3", true)] {
        let mut client = Command::new("openssl");
        // Without the last, openssl itself would not offer the first two.
        client.args(["s_client", "-quiet", "-connect", &address, version, "-cipher", "DEFAULT@SECLEVEL=0"]);
        client.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = client.spawn().expect("openssl is installed");
        let mut stdin = child.stdin.take().expect("a pipe");
        // It may be refused by now.
        let _ = stdin.write_all(b"/quit\n");
        let said = ran(child);
        drop(stdin);
        assert_eq!(String::from_utf8_lossy(&said.stdout).contains("you are guest-"), is_spoken, "{version}");
    }
}
