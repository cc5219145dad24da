//! `switchboard connect --cert`, against servers that want to know who it is.

use super::pipe;
use crate::process::Place;
use crate::tls::Pair;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::server::WebPkiClientVerifier;
use rustls::version::{TLS12, TLS13};
use rustls::{RootCertStore, ServerConfig, ServerConnection, StreamOwned, SupportedProtocolVersion};
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::Arc;
use std::thread;

/// Gives back all that comes, on one connection after the other, to whoever shows this certificate.
fn serve(own: &Pair, trusted: &Pair, version: &'static SupportedProtocolVersion) -> String {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.der()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider)).build().unwrap();
    let builder = ServerConfig::builder_with_provider(provider).with_protocol_versions(&[version]).unwrap();
    let key = PrivateKeyDer::from_pem_file(&*own.key).unwrap();
    let config = builder.with_client_cert_verifier(verifier).with_single_cert(vec![own.der()], key).unwrap();
    let (config, listener) = (Arc::new(config), TcpListener::bind("127.0.0.1:0").unwrap());
    let url = format!("tls://localhost:{}", listener.local_addr().unwrap().port());
    thread::spawn(move || {
        for stream in listener.incoming() {
            let session = ServerConnection::new(Arc::clone(&config)).unwrap();
            let mut stream = StreamOwned::new(session, stream.unwrap());
            let mut bytes = Vec::new();
            // Whoever does not show it is told by an alert, and waits for that.
            if stream.read_to_end(&mut bytes).is_ok() {
                stream.write_all(&bytes).unwrap();
                stream.conn.send_close_notify();
                stream.flush().unwrap();
            }
        }
    });
    url
}

#[test]
fn a_server_that_asks_is_shown_a_certificate_or_told_why_not() {
    let (server, own) = (Pair::new("identity-server", "localhost"), Pair::new("identity", "me"));
    let both = Place::new("identity.pem");
    fs::write(&*both, [&own.certificate, &own.key].map(|part| fs::read(&**part).unwrap()).concat()).unwrap();
    let [ca, certificate, key, both] = [&server.certificate, &own.certificate, &own.key, &both].map(Place::to_string);
    for (version, refusal) in [
        (&TLS12, "TLS handshake failed: the peer refused: CertificateRequired"),
        (&TLS13, "connection closed: handshake-failed (the server may want a certificate: --cert FILE)"),
    ] {
        let url = serve(&server, &own, version);
        for shown in [vec!["--cert", certificate.as_str(), "--key", key.as_str()], vec!["--cert", both.as_str()]] {
            let ran = pipe(&[&[url.as_str(), "--ca", &ca], &shown[..]].concat(), b"hello");
            assert_eq!((ran.code, ran.output().as_str(), ran.errors.as_str()), (Some(0), "hello", ""));
        }
        let ran = pipe(&[&url, "--ca", &ca], b"");
        assert_eq!((ran.code, ran.errors), (Some(1), format!("error: {url}: {refusal}\n")));
    }
}
