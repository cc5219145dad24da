//! TLS over a non-blocking socket, by rustls.

use super::{Progress, connected};
use mio::net::TcpStream;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    CertificateError, ClientConfig, ClientConnection, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
};
use std::io::{self, Read as _, Write as _};
use std::path::Path;
use std::sync::Arc;

/// What clients agree to. The server's certificate is checked against those in a file, authorities' or its own, or not at all:
/// no system's own certificates are read, and servers under test have one that nobody else knows.
///
/// # Errors
/// The file holds no certificates.
pub(crate) fn client_config(ca: Option<&Path>) -> Result<Arc<ClientConfig>, String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions();
    let builder = builder.map_err(|error| error.to_string())?;
    let trusted = match ca {
        Some(path) => given(path, &provider).map_err(|fault| format!("{}: {fault}", path.display()))?,
        None => Trusted::Anybody,
    };
    let verifier = Arc::new(Verifier { provider, trusted });
    Ok(Arc::new(builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth()))
}

fn given(path: &Path, provider: &Arc<CryptoProvider>) -> Result<Trusted, String> {
    let certificates = CertificateDer::pem_file_iter(path).map_err(|error| error.to_string())?;
    let own: Vec<_> = certificates.collect::<Result<_, _>>().map_err(|error| error.to_string())?;
    if own.is_empty() {
        return Err("no certificates in it".to_owned());
    }
    let mut roots = RootCertStore::empty();
    for certificate in &own {
        roots.add(certificate.clone()).map_err(|error| error.to_string())?;
    }
    let web = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider)).build();
    Ok(Trusted::Given { web: web.map_err(|error| error.to_string())?, own })
}

#[derive(Debug)]
pub(crate) struct Tls {
    socket: TcpStream,
    session: ClientConnection,
    connected: bool,
}

impl Tls {
    /// `host` is with its port, as in a URL.
    pub(super) fn new(socket: TcpStream, config: Arc<ClientConfig>, host: &str) -> io::Result<Self> {
        let name = host.rsplit_once(':').map_or(host, |(name, _)| name).trim_matches(['[', ']']);
        let name = ServerName::try_from(name.to_owned()).map_err(io::Error::other)?;
        let session = ClientConnection::new(config, name).map_err(io::Error::other)?;
        Ok(Self { socket, session, connected: false })
    }

    pub(super) fn socket(&mut self) -> &mut TcpStream {
        &mut self.socket
    }

    pub(super) fn progress(&mut self) -> io::Result<Progress> {
        if !self.connected {
            if connected(&self.socket)? == Progress::Pending {
                return Ok(Progress::Pending);
            }
            self.connected = true;
        }
        self.flush()?;
        while self.session.is_handshaking() {
            match self.take_records() {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(_) => self.flush()?,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Progress::Pending),
                Err(error) => return Err(error),
            }
        }
        Ok(Progress::Open)
    }

    pub(super) fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.session.reader().read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                // A server that ends without saying so in TLS has ended nevertheless.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(0),
                read => return read,
            }
            self.take_records()?;
            self.flush()?;
        }
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.flush()?;
        if self.session.wants_write() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let taken = self.session.writer().write(bytes)?;
        self.flush()?;
        Ok(taken)
    }

    /// Sends records until the socket takes no more; the rest is for the next time.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        while self.session.wants_write() {
            match self.session.write_tls(&mut self.socket) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn take_records(&mut self) -> io::Result<usize> {
        let read = self.session.read_tls(&mut self.socket)?;
        if let Err(error) = self.session.process_new_packets() {
            // The peer is told why, if it still listens.
            let _ = self.session.write_tls(&mut self.socket);
            return Err(match error {
                Error::InvalidMessage(_) if self.session.is_handshaking() => {
                    io::Error::other("the server does not speak TLS")
                }
                error => io::Error::other(error),
            });
        }
        Ok(read)
    }
}

/// Checks that the server has the key of its certificate, and whose that is.
#[derive(Debug)]
struct Verifier {
    provider: Arc<CryptoProvider>,
    trusted: Trusted,
}

#[derive(Debug)]
enum Trusted {
    Anybody,
    Given {
        web: Arc<WebPkiServerVerifier>,
        /// What `openssl req -x509` makes for a server calls itself an authority, which no server's certificate may to others.
        own: Vec<CertificateDer<'static>>,
    },
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let Trusted::Given { web, own } = &self.trusted else { return Ok(ServerCertVerified::assertion()) };
        match web.verify_server_cert(certificate, chain, name, ocsp, now) {
            // It is valid now, and all that speaks against it is that it calls itself an authority.
            Err(Error::InvalidCertificate(CertificateError::Other(_))) if own.iter().any(|one| one == certificate) => {
                verify_server_name(&ParsedCertificate::try_from(certificate)?, name)?;
                Ok(ServerCertVerified::assertion())
            }
            verdict => verdict,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
