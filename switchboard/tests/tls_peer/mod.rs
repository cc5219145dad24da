//! Certificates made for one test, and a client of TLS that trusts them.

#![allow(dead_code, reason = "no test needs all of it")]

use rcgen::{CertificateParams, KeyPair, date_time_ymd};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};
use std::net::SocketAddr;
use std::sync::Arc;
use switchboard::Certificates;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

pub(crate) type TlsPeer = TlsStream<TcpStream>;

/// A certificate that signs itself, and its key, as PEM.
#[derive(Clone)]
pub(crate) struct Pair {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

impl Pair {
    pub(crate) fn new(names: &[&str]) -> Self {
        Self::with(names, |_| {})
    }

    pub(crate) fn of_the_past() -> Self {
        Self::with(&["localhost"], |params| params.not_after = date_time_ymd(2001, 2, 3))
    }

    pub(crate) fn of_the_future() -> Self {
        Self::with(&["localhost"], |params| params.not_before = date_time_ymd(3001, 2, 3))
    }

    fn with(names: &[&str], change: impl FnOnce(&mut CertificateParams)) -> Self {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let mut params = CertificateParams::new(names).unwrap();
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        Self { certificate: params.self_signed(&key).unwrap().pem(), key: key.serialize_pem() }
    }

    pub(crate) fn certificates(&self) -> Certificates {
        Certificates::from_pem([(&self.certificate, &self.key)]).unwrap()
    }

    pub(crate) fn der(&self) -> CertificateDer<'static> {
        CertificateDer::from_pem_slice(self.certificate.as_bytes()).unwrap()
    }
}

/// A client that trusts these certificates and no others.
pub(crate) fn client(trusted: &[&Pair], versions: &[&'static SupportedProtocolVersion]) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    for pair in trusted {
        roots.add(pair.der()).unwrap();
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_protocol_versions(versions).unwrap();
    builder.with_root_certificates(roots).with_no_client_auth()
}

/// Connects, and asks for the host `name`.
pub(crate) async fn connect(address: SocketAddr, name: &str, config: ClientConfig) -> std::io::Result<TlsPeer> {
    over(TcpStream::connect(address).await?, name, config).await
}

pub(crate) async fn over(stream: TcpStream, name: &str, config: ClientConfig) -> std::io::Result<TlsPeer> {
    let name = ServerName::try_from(name.to_owned()).unwrap();
    TlsConnector::from(Arc::new(config)).connect(name, stream).await
}

/// The certificate that the server showed.
pub(crate) fn shown(peer: &TlsPeer) -> CertificateDer<'static> {
    peer.get_ref().1.peer_certificates().unwrap()[0].clone()
}
