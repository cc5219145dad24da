//! Which servers a client trusts, and how it identifies itself.

use super::certificates::{CertificateError, Certificates, Text};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use std::fmt;
use std::path::Path;
use std::sync::Arc;

/// Whom a TLS client trusts, or a listener that [asks](crate::Tls::require_client_certificates) its clients for
/// certificates. Cloning is cheap, and connections made with clones can resume each other's sessions.
///
/// # Examples
/// ```no_run
/// use switchboard::{Client, Connection, Lines, Trust};
///
/// # async fn connect() -> switchboard::Result {
/// let mut conn: Connection<Lines> = Client::new().tls("example.com:7443", &Trust::system()?).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Trust {
    verifier: Arc<Verifier>,
    config: Arc<ClientConfig>,
}

impl Trust {
    /// Trusts the authorities that this machine trusts, or those that `SSL_CERT_FILE` and `SSL_CERT_DIR` name.
    ///
    /// Reads about 200 KB of files, so keep it rather than making one for each connection.
    ///
    /// # Errors
    /// This machine has none.
    pub fn system() -> Result<Self, CertificateError> {
        let found = rustls_native_certs::load_native_certs();
        let mut roots = RootCertStore::empty();
        // Some systems keep certificates that no server uses any more and that cannot be read.
        let _ = roots.add_parsable_certificates(found.certs);
        if roots.is_empty() {
            let faults = found.errors.iter().map(|error| format!("the system's CA certificates: {error}"));
            let none = "this machine has no CA certificates".to_owned();
            return Err(CertificateError { faults: std::iter::once(none).chain(faults).collect() });
        }
        Self::authorities(roots, Vec::new()).map_err(|fault| CertificateError { faults: vec![fault] })
    }

    /// Trusts only the certificates in a PEM file: authorities', or a server's own.
    ///
    /// # Errors
    /// The file cannot be read, is longer than 1 MiB, has no certificate, or contains something else.
    pub fn file(path: impl AsRef<Path>) -> Result<Self, CertificateError> {
        Self::text(&Text::read(path.as_ref()))
    }

    /// Trusts only the certificates in a PEM text: authorities', or a server's own.
    ///
    /// # Errors
    /// The text has no certificate, or contains something else.
    pub fn pem(text: impl AsRef<[u8]>) -> Result<Self, CertificateError> {
        Self::text(&Text { name: "certificates".to_owned(), pem: Ok(text.as_ref().to_vec()) })
    }

    /// Trusts whoever answers. Anyone in between can read and change what is sent: for tests only.
    pub fn anybody() -> Self {
        Self::new(Arc::new(Verifier { signatures: ring::default_provider(), trusted: Trusted::Anybody }))
    }

    /// Presents one of `certificates` to servers that ask for a client certificate.
    pub fn identity(self, certificates: &Certificates) -> Self {
        let mut config = (*self.config).clone();
        config.client_auth_cert_resolver = certificates.resolver();
        Self { config: Arc::new(config), ..self }
    }

    fn text(text: &Text) -> Result<Self, CertificateError> {
        let given = text.certificates().map_err(|fault| CertificateError { faults: vec![fault] })?;
        let mut roots = RootCertStore::empty();
        let faults = given.iter().filter_map(|certificate| roots.add(certificate.clone()).err());
        let faults: Vec<_> = faults.map(|error| text.fault(error)).collect();
        if !faults.is_empty() {
            return Err(CertificateError { faults });
        }
        Self::authorities(roots, given).map_err(|fault| CertificateError { faults: vec![text.fault(fault)] })
    }

    fn authorities(roots: RootCertStore, own: Vec<CertificateDer<'static>>) -> Result<Self, String> {
        let provider = Arc::new(ring::default_provider());
        let roots = Arc::new(roots);
        let web = WebPkiServerVerifier::builder_with_provider(Arc::clone(&roots), provider).build();
        let web = web.map_err(|error| error.to_string())?;
        let trusted = Trusted::Authorities { roots, web, own };
        Ok(Self::new(Arc::new(Verifier { signatures: ring::default_provider(), trusted })))
    }

    fn new(verifier: Arc<Verifier>) -> Self {
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let Ok(builder) = builder.with_protocol_versions(&[&TLS13, &TLS12]) else {
            unreachable!("the provider has suites for both versions")
        };
        let dangerous = builder.dangerous();
        let config = dangerous.with_custom_certificate_verifier(Arc::clone(&verifier) as Arc<dyn ServerCertVerifier>);
        Self { verifier, config: Arc::new(config.with_no_client_auth()) }
    }

    pub(super) fn verifier(&self) -> Arc<Verifier> {
        Arc::clone(&self.verifier)
    }

    /// None where anybody is believed.
    pub(super) fn roots(&self) -> Option<Arc<RootCertStore>> {
        match &self.verifier.trusted {
            Trusted::Anybody => None,
            Trusted::Authorities { roots, .. } => Some(Arc::clone(roots)),
        }
    }

    /// As rustls takes it, for the load generator, which has its own event loop. Not part of the API, which has no
    /// types of dependencies.
    #[doc(hidden)]
    pub fn config(&self) -> Arc<ClientConfig> {
        Arc::clone(&self.config)
    }
}

impl fmt::Debug for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trust").field("verifier", &self.verifier).finish_non_exhaustive()
    }
}

#[derive(Debug)]
pub(super) struct Verifier {
    pub(super) signatures: CryptoProvider,
    pub(super) trusted: Trusted,
}

#[derive(Debug)]
pub(super) enum Trusted {
    Anybody,
    Authorities {
        roots: Arc<RootCertStore>,
        web: Arc<WebPkiServerVerifier>,
        /// Certificates that were given one by one: trusted as a server's own too, which an authority's never is. What
        /// `openssl req -x509` makes for a server calls itself an authority.
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
        match &self.trusted {
            Trusted::Anybody => Ok(ServerCertVerified::assertion()),
            Trusted::Authorities { web, .. } => match web.verify_server_cert(certificate, chain, name, ocsp, now) {
                // It is valid now. The only objection to it as a server's is that it calls itself an authority.
                Err(Error::InvalidCertificate(rustls::CertificateError::Other(_))) => {
                    if !self.trusted.is_own(certificate) {
                        return Err(rustls::CertificateError::UnknownIssuer.into());
                    }
                    verify_server_name(&ParsedCertificate::try_from(certificate)?, name)?;
                    Ok(ServerCertVerified::assertion())
                }
                verdict => verdict,
            },
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.signatures.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.signatures.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.signatures.signature_verification_algorithms.supported_schemes()
    }
}
