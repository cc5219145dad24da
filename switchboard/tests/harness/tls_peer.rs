//! Certificates made for one test, and a client of TLS that trusts them.

use parking_lot::Mutex;
use rcgen::{CertificateParams, KeyPair, date_time_ymd};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use switchboard::Certificates;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
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

    pub(crate) fn with(names: &[&str], change: impl FnOnce(&mut CertificateParams)) -> Self {
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
pub(crate) async fn connect(address: SocketAddr, name: &str, config: ClientConfig) -> io::Result<TlsPeer> {
    over(TcpStream::connect(address).await?, name, config).await
}

pub(crate) async fn over<S>(stream: S, name: &str, config: ClientConfig) -> io::Result<TlsStream<S>>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let name = ServerName::try_from(name.to_owned()).unwrap();
    TlsConnector::from(Arc::new(config)).connect(name, stream).await
}

/// The certificate that the server showed.
pub(crate) fn shown(peer: &TlsPeer) -> CertificateDer<'static> {
    peer.get_ref().1.peer_certificates().unwrap()[0].clone()
}

/// A stream whose input is noted.
pub(crate) struct Tapped {
    stream: TcpStream,
    input: Records,
}

/// TLS records, as they came.
#[derive(Clone, Default)]
pub(crate) struct Records(Arc<Mutex<Vec<u8>>>);

impl Records {
    /// The length of each, without its head of five bytes.
    pub(crate) fn lengths(&self) -> Vec<usize> {
        let input = self.0.lock();
        let (mut rest, mut lengths) = (&input[..], Vec::new());
        while let [_, _, _, high, low, after @ ..] = rest {
            let length = usize::from(u16::from_be_bytes([*high, *low]));
            lengths.push(length);
            rest = &after[length..];
        }
        lengths
    }
}

impl Tapped {
    pub(crate) fn new(stream: TcpStream) -> (Self, Records) {
        let input = Records::default();
        (Self { stream, input: input.clone() }, input)
    }
}

impl AsyncRead for Tapped {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buffer))?;
        self.input.0.lock().extend_from_slice(&buffer.filled()[before..]);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Tapped {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
