//! Which clients a listener accepts, by their certificates.

use super::certificates::{CertificateError, Text};
use super::trust::{Trust, Trusted, Verifier};
use parking_lot::RwLock;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerifier as _};
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, Error, SignatureScheme};
use std::collections::HashSet;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use x509_cert::certificate::Raw;
use x509_cert::crl::CertificateList;
use x509_cert::der::{Decode as _, Encode as _};

/// The longest file of revocation lists: one with 100,000 certificates has 4 MB.
const LIST_BYTES: u64 = 32 << 20;

/// Which certificates a listener accepts from its clients: those that its authorities issued and have not revoked. Clones share
/// it: what is replaced in one is replaced in all, and holds for everyone who connects from then on.
///
/// # Examples
/// ```no_run
/// # use switchboard::prelude::*;
/// # use switchboard::{Certificates, ClientTrust, Tls};
/// # fn serve(echo: fn(Connection<Lines>) -> std::future::Ready<Result>) -> Result<Server> {
/// let certificates = Certificates::from_files([("cert.pem", "key.pem")])?;
/// let clients = ClientTrust::from_files("clients-ca.pem", ["revoked.pem"])?;
/// let listener = Tls::new("0.0.0.0:7443", &certificates).require_clients(&clients);
/// Ok(Server::new().listen(listener, echo))
/// # }
/// ```
#[derive(Clone)]
pub struct ClientTrust(Arc<Shared>);

struct Shared {
    authorities: PathBuf,
    lists: Vec<PathBuf>,
    current: RwLock<Arc<Accepted>>,
    /// Grows with each replacement.
    version: AtomicU64,
}

/// What is in force until it is replaced.
struct Accepted {
    trust: Trust,
    by_authority: Arc<dyn ClientCertVerifier>,
    revoked: HashSet<CertificateId>,
}

/// Identifies a certificate: an authority uses no serial number twice.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct CertificateId {
    /// The issuer's name, as DER.
    pub issuer: Vec<u8>,
    /// The serial number, without superfluous leading zeros.
    pub serial: Vec<u8>,
}

impl CertificateId {
    pub(super) fn new(issuer: Vec<u8>, serial: &[u8]) -> Self {
        let zeros = serial.iter().take_while(|byte| **byte == 0).count();
        Self { issuer, serial: serial[zeros.min(serial.len().saturating_sub(1))..].to_vec() }
    }
}

impl ClientTrust {
    /// Reads the certificates of authorities, and their revocation lists (PEM, `BEGIN X509 CRL`). If there is any list, every
    /// authority needs one: a client whose certificate might be revoked is refused.
    ///
    /// # Errors
    /// A file cannot be read, is too long (1 MiB; 32 MiB for lists), or contains something else.
    pub fn from_files<L: Into<PathBuf>>(
        authorities: impl Into<PathBuf>,
        lists: impl IntoIterator<Item = L>,
    ) -> Result<Self, CertificateError> {
        let (authorities, lists) = (authorities.into(), lists.into_iter().map(Into::into).collect());
        let current = RwLock::new(Arc::new(read(&authorities, &lists)?));
        Ok(Self(Arc::new(Shared { authorities, lists, current, version: AtomicU64::new(0) })))
    }

    /// Reads its files again. Open connections are not affected: [`Connections::review_certificates`](crate::Connections::review_certificates)
    /// ends those that it does not [take](Self::takes) any more.
    ///
    /// # Errors
    /// As [`from_files`](Self::from_files); everything stays as it was.
    pub fn reload(&self) -> Result<(), CertificateError> {
        self.put(Arc::new(read(&self.0.authorities, &self.0.lists)?));
        Ok(())
    }

    /// From now on trusts what `with` trusts at this moment. [`reload`](Self::reload) still reads its own files.
    pub fn replace(&self, with: &Self) {
        self.put(with.0.current());
    }

    /// Whether it takes now what a client has shown: its certificate, followed by its intermediates, as DER.
    pub fn takes(&self, certificates: &[impl AsRef<[u8]>]) -> bool {
        let ders: Vec<_> = certificates.iter().map(|der| CertificateDer::from_slice(der.as_ref())).collect();
        let Some((own, chain)) = ders.split_first() else { return false };
        self.0.current().verifier(Shown::Always).verify_client_cert(own, chain, UnixTime::now()).is_ok()
    }

    /// Whether this certificate was revoked by its authority.
    pub fn has_revoked(&self, certificate: &CertificateId) -> bool {
        self.0.current().revoked.contains(certificate)
    }

    /// Everything its authorities have revoked.
    pub fn revoked(&self) -> Vec<CertificateId> {
        self.0.current().revoked.iter().cloned().collect()
    }

    fn put(&self, accepted: Arc<Accepted>) {
        *self.0.current.write() = accepted;
        // Release: whoever sees the number sees what is in force with it.
        self.0.version.fetch_add(1, Ordering::Release);
    }
}

impl fmt::Debug for ClientTrust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientTrust").field("authorities", &self.0.authorities).finish_non_exhaustive()
    }
}

impl Shared {
    fn current(&self) -> Arc<Accepted> {
        Arc::clone(&self.current.read())
    }
}

fn read(authorities: &Path, lists: &Vec<PathBuf>) -> Result<Accepted, CertificateError> {
    let mut faults = Vec::new();
    let trust = Trust::file(authorities).map_err(|error| faults.extend(error.faults)).ok();
    let (mut ders, mut revoked) = (Vec::new(), HashSet::new());
    for path in lists {
        let text = Text::read_up_to(path, LIST_BYTES);
        match listed(&text, &mut revoked) {
            Ok(more) => ders.extend(more),
            Err(fault) => faults.push(fault),
        }
    }
    let Some(trust) = trust.filter(|_| faults.is_empty()) else { return Err(CertificateError { faults }) };
    match by_authority(&trust, ders) {
        Ok(Some(by_authority)) => Ok(Accepted { trust, by_authority, revoked }),
        Ok(None) => unreachable!("a file of certificates trusts those"),
        Err(error) => Err(CertificateError { faults: vec![error] }),
    }
}

/// The revocation lists in a text; their entries go to `revoked`.
fn listed(
    text: &Text,
    revoked: &mut HashSet<CertificateId>,
) -> Result<Vec<CertificateRevocationListDer<'static>>, String> {
    let pem = text.pem.as_ref().map_err(|fault| text.fault(fault))?;
    let lists: Result<Vec<_>, _> = CertificateRevocationListDer::pem_slice_iter(pem).collect();
    let lists = lists.map_err(|error| text.fault(format!("not PEM: {error}")))?;
    if lists.is_empty() {
        return Err(text.fault("has no list of revoked certificates (BEGIN X509 CRL)"));
    }
    for list in &lists {
        let parsed = CertificateList::<Raw>::from_der(list);
        let parsed = parsed.map_err(|error| text.fault(format!("not a list of revoked certificates: {error}")))?;
        let issuer = parsed.tbs_cert_list.issuer.to_der().map_err(|error| text.fault(error))?;
        let serials = parsed.tbs_cert_list.revoked_certificates.iter().flatten();
        revoked.extend(serials.map(|one| CertificateId::new(issuer.clone(), one.serial_number.as_bytes())));
    }
    Ok(lists)
}

/// Who is believed by an authority; none where anybody is.
fn by_authority(
    trust: &Trust,
    lists: Vec<CertificateRevocationListDer<'static>>,
) -> Result<Option<Arc<dyn ClientCertVerifier>>, String> {
    let Some(roots) = trust.roots() else { return Ok(None) };
    let builder = WebPkiClientVerifier::builder_with_provider(roots, Arc::new(ring::default_provider()));
    // What an authority says of those that it has certified; of itself it says nothing.
    let builder = builder.with_crls(lists).only_check_end_entity_revocation();
    builder.build().map(Some).map_err(|error| error.to_string())
}

/// Whether a client has to show a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shown {
    Always,
    /// A client without one is let in. One whose certificate is not trusted is refused all the same.
    Perhaps,
}

/// Who is asked for a certificate, and whose is trusted.
#[derive(Debug, Clone)]
pub(super) struct Clients {
    pub(super) believed: Believed,
    pub(super) shown: Shown,
}

#[derive(Debug, Clone)]
pub(super) enum Believed {
    /// The same for good.
    By(Trust),
    /// What it is now.
    Now(ClientTrust),
}

impl Clients {
    /// Another one than before has another verifier.
    pub(super) fn version(&self) -> u64 {
        match &self.believed {
            Believed::By(_) => 0,
            Believed::Now(clients) => clients.0.version.load(Ordering::Acquire),
        }
    }

    pub(super) fn verifier(&self) -> Result<Arc<dyn ClientCertVerifier>, String> {
        let shown = self.shown;
        let (trust, by_authority) = match &self.believed {
            Believed::By(trust) => (trust, by_authority(trust, Vec::new())?),
            Believed::Now(clients) => {
                return Ok(Arc::new(clients.0.current().verifier(shown)));
            }
        };
        Ok(Arc::new(ClientVerifier { verifier: trust.verifier(), by_authority, shown }))
    }
}

impl Accepted {
    fn verifier(&self, shown: Shown) -> ClientVerifier {
        let by_authority = Some(Arc::clone(&self.by_authority));
        ClientVerifier { verifier: self.trust.verifier(), by_authority, shown }
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

    /// So that a client that has several certificates presents one that counts.
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
    /// Whether exactly this certificate was given.
    pub(super) fn is_own(&self, certificate: &CertificateDer<'_>) -> bool {
        matches!(self, Self::Authorities { own, .. } if own.iter().any(|trusted| trusted == certificate))
    }
}
