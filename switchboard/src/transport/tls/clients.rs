//! Which clients a listener lets in, by the certificates that they show.

use super::trust::{Trust, Trusted, Verifier};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerifier as _};
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, Error, SignatureScheme};
use std::io;
use std::sync::Arc;

/// Whether a client has to show a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shown {
    Always,
    /// Who shows none is let in. One that is not believed is refused all the same.
    Perhaps,
}

/// Who is asked for a certificate, and whose is believed.
#[derive(Debug, Clone)]
pub(super) struct Clients {
    pub(super) trust: Trust,
    pub(super) shown: Shown,
}

impl Clients {
    pub(super) fn verifier(self) -> io::Result<Arc<dyn ClientCertVerifier>> {
        let Self { trust, shown } = self;
        let by_authority = match trust.roots() {
            None => None,
            Some(roots) => {
                let builder = WebPkiClientVerifier::builder_with_provider(roots, Arc::new(ring::default_provider()));
                Some(builder.build().map_err(io::Error::other)?)
            }
        };
        Ok(Arc::new(ClientVerifier { verifier: trust.verifier(), by_authority, shown }))
    }
}

#[derive(Debug)]
struct ClientVerifier {
    /// Signatures are a client's as they are a server's.
    verifier: Arc<Verifier>,
    /// None where anybody is believed.
    by_authority: Option<Arc<dyn ClientCertVerifier>>,
    shown: Shown,
}

impl ClientCertVerifier for ClientVerifier {
    fn client_auth_mandatory(&self) -> bool {
        self.shown == Shown::Always
    }

    /// So that whoever has several certificates shows one that counts.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.by_authority.as_ref().map_or(&[], |verifier| verifier.root_hint_subjects())
    }

    fn verify_client_cert(
        &self,
        certificate: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let Some(by_authority) = &self.by_authority else { return Ok(ClientCertVerified::assertion()) };
        match by_authority.verify_client_cert(certificate, chain, now) {
            // As for a server's: it is valid now, and was given to be trusted itself.
            Err(Error::InvalidCertificate(rustls::CertificateError::Other(_)))
                if self.verifier.trusted.is_own(certificate) =>
            {
                Ok(ClientCertVerified::assertion())
            }
            verdict => verdict,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verifier.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verifier.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.verifier.supported_verify_schemes()
    }
}

impl Trusted {
    /// Whether this very certificate was given.
    pub(super) fn is_own(&self, certificate: &CertificateDer<'_>) -> bool {
        matches!(self, Self::Authorities { own, .. } if own.iter().any(|trusted| trusted == certificate))
    }
}
