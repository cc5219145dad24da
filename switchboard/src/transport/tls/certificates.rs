//! Certificates with their keys: read and checked together, chosen by name, and replaced while connections use them.

use super::hello;
use crate::files;
use parking_lot::RwLock;
use rustls::client::ResolvesClientCert;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{ClientHello, NoServerSessionStorage, ProducesTickets, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::version::{TLS12, TLS13};
use rustls::{Error, InconsistentKeys, ServerConfig, SignatureScheme};
use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;
use x509_cert::certificate::{CertificateInner, Raw};
use x509_cert::der::{DateTime, Decode as _};
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;

/// The longest file: a device or a wrong path must not fill the memory.
const FILE_BYTES: u64 = 1 << 20;

/// Certificates and their private keys, from PEM. Clones share them: a reload by one is seen by all.
///
/// A peer that names the host it wants (SNI, RFC 6066 §3) gets the first certificate for that name (wildcards included)
/// whose key type it supports; any other peer gets the first certificate.
///
/// # Examples
/// ```no_run
/// # use switchboard::prelude::*;
/// # use switchboard::Certificates;
/// # fn serve(echo: fn(Connection<Lines>) -> std::future::Ready<Result>) -> Result<Server> {
/// let certificates = Certificates::from_files([("cert.pem", "key.pem")])?;
/// Ok(Server::new().tls("0.0.0.0:7443", &certificates, echo))
/// # }
/// ```
#[derive(Clone)]
pub struct Certificates(Arc<Inner>);

struct Inner {
    files: Vec<(PathBuf, PathBuf)>,
    current: RwLock<Arc<Generation>>,
}

/// What is in force from one reload to the next.
struct Generation {
    /// In the order they were given; at least one.
    all: Vec<Arc<CertifiedKey>>,
    /// When they are valid, in the same order.
    validity: Vec<Validity>,
    /// By the names in them, in lower case.
    named: HashMap<String, Vec<Arc<CertifiedKey>>>,
    /// For peers that come back. Replaced as well, so that they see the new certificate after a reload.
    tickets: Arc<dyn ProducesTickets>,
}

/// When a certificate is valid.
struct Validity {
    /// Where it came from.
    name: String,
    from: DateTime,
    until: DateTime,
}

impl Validity {
    fn fault(&self, now: SystemTime) -> Option<String> {
        let Self { name, from, until } = self;
        if now > until.to_system_time() {
            return Some(format!("{name}: the certificate expired at {until}"));
        }
        (now < from.to_system_time()).then(|| format!("{name}: the certificate is not valid before {from}"))
    }
}

/// Everything that is wrong with certificates and keys.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct CertificateError {
    /// One sentence for each fault, beginning with the file.
    pub faults: Vec<String>,
}

impl fmt::Display for CertificateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.faults.join("\n"))
    }
}

impl std::error::Error for CertificateError {}

impl Certificates {
    /// Reads pairs of files: a certificate followed by its intermediates, and its private key.
    ///
    /// # Errors
    /// A file cannot be read, is longer than 1 MiB, or has no certificate; a key does not match, is encrypted, or is of
    /// a kind that cannot sign. A certificate that has expired or is not valid yet is accepted: the clock may be wrong,
    /// and may be corrected later. See [`invalid_at`](Self::invalid_at).
    pub fn from_files<C, K>(pairs: impl IntoIterator<Item = (C, K)>) -> Result<Self, CertificateError>
    where
        C: Into<PathBuf>,
        K: Into<PathBuf>,
    {
        let files: Vec<_> = pairs.into_iter().map(|(certificate, key)| (certificate.into(), key.into())).collect();
        let generation = read(&files)?;
        Ok(Self(Arc::new(Inner { files, current: RwLock::new(Arc::new(generation)) })))
    }

    /// Takes pairs of PEM texts: a certificate followed by its intermediates, and its private key.
    ///
    /// # Errors
    /// As [`from_files`](Self::from_files).
    pub fn from_pem<C, K>(pairs: impl IntoIterator<Item = (C, K)>) -> Result<Self, CertificateError>
    where
        C: AsRef<[u8]>,
        K: AsRef<[u8]>,
    {
        let pair = |(number, (certificate, key)): (usize, (C, K))| {
            let number = number + 1;
            let certificate = Text { name: format!("certificate {number}"), pem: Ok(certificate.as_ref().to_vec()) };
            (certificate, Text { name: format!("key {number}"), pem: Ok(key.as_ref().to_vec()) })
        };
        let generation = Generation::new(pairs.into_iter().enumerate().map(pair))?;
        Ok(Self(Arc::new(Inner { files: Vec::new(), current: RwLock::new(Arc::new(generation)) })))
    }

    /// Reads the files again. Open connections are not affected; new ones get what was read. Certificates that did not
    /// come from files stay.
    ///
    /// # Errors
    /// As [`from_files`](Self::from_files); the certificates stay as they were.
    pub fn reload(&self) -> Result<(), CertificateError> {
        if !self.0.files.is_empty() {
            let generation = Arc::new(read(&self.0.files)?);
            *self.0.current.write() = generation;
        }
        Ok(())
    }

    /// Shows what `with` shows now, in place of its own: for a program that read others, and checked all that it read, before any of it
    /// takes effect. The files that [`reload`](Self::reload) reads stay its own.
    pub fn replace(&self, with: &Self) {
        let generation = with.0.current();
        *self.0.current.write() = generation;
    }

    /// The certificates that are not valid at `now`, one sentence for each, beginning with the file. They are still
    /// served; clients refuse them if their clocks agree.
    pub fn invalid_at(&self, now: SystemTime) -> Vec<String> {
        self.0.current().validity.iter().filter_map(|validity| validity.fault(now)).collect()
    }

    /// Until when each certificate is valid, in their order.
    pub fn ends(&self) -> Vec<SystemTime> {
        self.0.current().validity.iter().map(|validity| validity.until.to_system_time()).collect()
    }

    /// The files that [`reload`](Self::reload) reads: certificates and their keys.
    pub fn files(&self) -> &[(PathBuf, PathBuf)] {
        &self.0.files
    }

    /// What rustls needs to present them to servers.
    pub(super) fn resolver(&self) -> Arc<dyn ResolvesClientCert> {
        Arc::clone(&self.0) as Arc<dyn ResolvesClientCert>
    }

    /// What rustls needs to serve them, offering `protocols` by ALPN.
    /// Where `clients` have to show who they are, nobody comes back by a ticket: it would stand for a certificate that has expired
    /// since, or for none, of another listener with these certificates that asks for none.
    pub(super) fn config(
        &self,
        protocols: Vec<Vec<u8>>,
        clients: Option<Arc<dyn ClientCertVerifier>>,
    ) -> Result<Arc<ServerConfig>, Error> {
        let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let builder = builder.with_protocol_versions(&[&TLS13, &TLS12])?;
        let asks = clients.is_some();
        let builder = match clients {
            Some(clients) => builder.with_client_cert_verifier(clients),
            None => builder.with_no_client_auth(),
        };
        let mut config = builder.with_cert_resolver(Arc::clone(&self.0) as Arc<dyn ResolvesServerCert>);
        config.alpn_protocols = protocols;
        // Who comes back brings a ticket: nothing is remembered here.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        if !asks {
            config.ticketer = Arc::clone(&self.0) as Arc<dyn ProducesTickets>;
        }
        Ok(Arc::new(config))
    }
}

impl fmt::Debug for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificates").field("files", &self.0.files).finish_non_exhaustive()
    }
}

impl Inner {
    fn current(&self) -> Arc<Generation> {
        Arc::clone(&self.current.read())
    }
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificates").field("files", &self.files).finish_non_exhaustive()
    }
}

impl ResolvesServerCert for Inner {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        hello::note(hello.server_name());
        self.current().choose(hello.server_name(), |key| key.key.choose_scheme(hello.signature_schemes()).is_some())
    }
}

impl ResolvesClientCert for Inner {
    fn resolve(&self, _authorities: &[&[u8]], schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.current().choose(None, |key| key.key.choose_scheme(schemes).is_some())
    }

    fn has_certs(&self) -> bool {
        true
    }
}

impl ProducesTickets for Inner {
    fn enabled(&self) -> bool {
        self.current().tickets.enabled()
    }

    fn lifetime(&self) -> u32 {
        self.current().tickets.lifetime()
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        self.current().tickets.encrypt(plain)
    }

    fn decrypt(&self, cipher: &[u8]) -> Option<Vec<u8>> {
        self.current().tickets.decrypt(cipher)
    }
}

impl Generation {
    fn new(pairs: impl Iterator<Item = (Text, Text)>) -> Result<Self, CertificateError> {
        let provider = ring::default_provider();
        let mut faults = Vec::new();
        let (mut all, mut validity, mut named) = (Vec::new(), Vec::new(), HashMap::<String, Vec<_>>::new());
        for (certificate, key) in pairs {
            match pair(&certificate, &key, &provider) {
                Ok(Pair { key, names, valid }) => {
                    let key = Arc::new(key);
                    for name in names {
                        named.entry(name).or_default().push(Arc::clone(&key));
                    }
                    all.push(key);
                    validity.push(valid);
                }
                Err(more) => faults.extend(more),
            }
        }
        let tickets = ring::Ticketer::new();
        match tickets {
            Ok(tickets) if faults.is_empty() && !all.is_empty() => return Ok(Self { all, validity, named, tickets }),
            Err(error) => faults.push(format!("cannot make keys for tickets: {error}")),
            Ok(_) if faults.is_empty() => faults.push("no certificate given".to_owned()),
            Ok(_) => {}
        }
        // Of a file that holds both, what is wrong with it is said once.
        faults.dedup();
        Err(CertificateError { faults })
    }

    /// The certificate for `name` whose signature the peer can check; else the first that it can, else the first.
    fn choose(&self, name: Option<&str>, can_check: impl Fn(&CertifiedKey) -> bool) -> Option<Arc<CertifiedKey>> {
        let name = name.map(str::to_ascii_lowercase);
        let parent = name.as_deref().and_then(|name| name.split_once('.')).map(|(_, parent)| format!("*.{parent}"));
        let named = [name, parent].into_iter().flatten().filter_map(|name| self.named.get(&name)).flatten();
        let mut candidates = named.chain(&self.all);
        candidates.find(|key| can_check(key)).or(self.all.first()).cloned()
    }
}

/// Where a text came from, and the text, if it could be read.
pub(super) struct Text {
    pub(super) name: String,
    pub(super) pem: Result<Vec<u8>, String>,
}

fn read(files: &[(PathBuf, PathBuf)]) -> Result<Generation, CertificateError> {
    Generation::new(files.iter().map(|(certificate, key)| (Text::read(certificate), Text::read(key))))
}

impl Text {
    pub(super) fn read(path: &Path) -> Self {
        Self::read_up_to(path, FILE_BYTES)
    }

    pub(super) fn read_up_to(path: &Path, most: u64) -> Self {
        let pem = match files::read(path, most) {
            Ok(pem) if pem.len() as u64 > most => Err(format!("longer than {} MiB", most >> 20)),
            Ok(pem) => Ok(pem),
            Err(error) => Err(error.to_string()),
        };
        Self { name: path.display().to_string(), pem }
    }

    pub(super) fn fault(&self, what: impl fmt::Display) -> String {
        format!("{}: {what}", self.name)
    }

    /// The certificates in it, that of the server first.
    pub(super) fn certificates(&self) -> Result<Vec<CertificateDer<'static>>, String> {
        let pem = self.pem.as_ref().map_err(|fault| self.fault(fault))?;
        let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
        let certificates = certificates.map_err(|error| self.fault(format!("not PEM: {error}")))?;
        if certificates.is_empty() {
            return Err(self.fault("has no certificate (BEGIN CERTIFICATE)"));
        }
        Ok(certificates)
    }

    fn key(&self) -> Result<PrivateKeyDer<'static>, String> {
        let pem = self.pem.as_ref().map_err(|fault| self.fault(fault))?;
        PrivateKeyDer::from_pem_slice(pem).map_err(|error| {
            let encrypted = pem.windows(9).any(|word| word == b"ENCRYPTED");
            match error {
                _ if encrypted => self.fault("the private key is encrypted; store it without a passphrase"),
                rustls::pki_types::pem::Error::NoItemsFound => self.fault("has no private key (BEGIN PRIVATE KEY)"),
                error => self.fault(format!("not PEM: {error}")),
            }
        })
    }
}

/// A certificate with its key, and what it says about itself.
struct Pair {
    key: CertifiedKey,
    names: Vec<String>,
    valid: Validity,
}

/// A certificate with its key, or everything that is wrong with the two.
fn pair(certificate: &Text, key: &Text, provider: &CryptoProvider) -> Result<Pair, Vec<String>> {
    let chain = certificate.certificates().and_then(|chain| {
        let (names, [from, until]) = terms(&chain[0]).map_err(|fault| certificate.fault(fault))?;
        Ok((chain, names, Validity { name: certificate.name.clone(), from, until }))
    });
    let signing =
        key.key().and_then(|der| provider.key_provider.load_private_key(der).map_err(|error| key.fault(error)));
    match (chain, signing) {
        (Ok((chain, names, valid)), Ok(signing)) => {
            let certified = CertifiedKey::new(chain, signing);
            match certified.keys_match() {
                // Not every kind of key can tell; the first handshake does then.
                Ok(()) | Err(Error::InconsistentKeys(InconsistentKeys::Unknown)) => {
                    Ok(Pair { key: certified, names, valid })
                }
                Err(Error::InconsistentKeys(_)) => {
                    Err(vec![key.fault(format!("not the key for the certificate in {}", certificate.name))])
                }
                Err(error) => Err(vec![certificate.fault(error)]),
            }
        }
        (chain, signing) => Err([chain.err(), signing.err()].into_iter().flatten().collect()),
    }
}

/// The names that a certificate is for, in lower case, and from when until when it is valid.
fn terms(certificate: &CertificateDer<'_>) -> Result<(Vec<String>, [DateTime; 2]), String> {
    let parsed =
        CertificateInner::<Raw>::from_der(certificate).map_err(|error| format!("not a certificate: {error}"))?;
    let certificate = parsed.tbs_certificate();
    let validity = certificate.validity();
    let validity = [validity.not_before.to_date_time(), validity.not_after.to_date_time()];
    // Without the extension, or with an unreadable one, it is for no name, and is used for peers that ask for none.
    let names = certificate.get_extension::<SubjectAltName>().ok().flatten().map(|(_, names)| names.0);
    let names = names.unwrap_or_default().into_iter().filter_map(|name| match name {
        GeneralName::DnsName(name) => Some(name.as_str().to_ascii_lowercase()),
        _ => None,
    });
    Ok((names.collect(), validity))
}

#[cfg(test)]
mod tests {
    //! What a clock that rustls reads by itself would show after hours; the rest is in `tests/tls.rs`.

    use super::*;

    #[test]
    fn keys_for_tickets_are_used_for_6_hours_and_a_reload_makes_new_ones() {
        let pair = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let (certificate, key) = (pair.cert.pem(), pair.signing_key.serialize_pem());
        let certificates = Certificates::from_pem([(&certificate, &key)]).unwrap();
        // What is said of a ticket: as long again as its key is used, it can still be read.
        assert_eq!(certificates.0.lifetime(), 2 * 6 * 60 * 60);
        let ticket = certificates.0.encrypt(b"a session").unwrap();
        assert_eq!(certificates.0.decrypt(&ticket).as_deref(), Some(&b"a session"[..]));
        certificates.replace(&Certificates::from_pem([(&certificate, &key)]).unwrap());
        assert_eq!(certificates.0.decrypt(&ticket), None);
    }
}
