//! Who a certificate says that its holder is: by one value of one kind, as it stands there, or not at all.
//!
//! Patterns of whole names, of which some part fits, are how servers take one for another (CVE-2026-33248).

use super::clients::CertificateId;
use std::time::SystemTime;
use x509_cert::certificate::{CertificateInner, Raw};
use x509_cert::der::asn1::ObjectIdentifier;
use x509_cert::der::{Decode as _, Encode as _};
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::{DirectoryString, GeneralName};

/// `id-at-commonName`, RFC 5280 appendix A.1.
const COMMON_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.3");

/// Which values of a certificate are a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum NameFrom {
    /// A host among its subject's alternative names.
    SanDns,
    /// An address of e-mail among them.
    SanEmail,
    /// A URI among them.
    SanUri,
    /// The common name of its subject.
    CommonName,
}

/// Who the holder of a certificate is, and which certificate says so.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Subject {
    /// The one value of its kind.
    pub name: String,
    /// Which certificate it is.
    pub id: CertificateId,
    /// From then on it is expired.
    pub until: SystemTime,
}

/// Why a certificate names nobody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SubjectError {
    /// It cannot be read.
    #[error("the certificate cannot be read")]
    Malformed,
    /// It has no value of the kind.
    #[error("the certificate has no name of that kind")]
    None,
    /// It has several.
    #[error("the certificate has several names of that kind")]
    Several,
}

impl Subject {
    /// Whom a certificate (DER) names, which was verified: see [`TlsInfo::peer_certificates`](crate::TlsInfo::peer_certificates).
    ///
    /// # Errors
    /// It has no such value, or more than one: which one counts is then anybody's guess.
    pub fn of(certificate: &[u8], from: NameFrom) -> Result<Self, SubjectError> {
        let malformed = |_| SubjectError::Malformed;
        let parsed = CertificateInner::<Raw>::from_der(certificate).map_err(malformed)?;
        let parsed = parsed.tbs_certificate();
        let names = match from {
            NameFrom::CommonName => {
                let common = parsed.subject().iter().filter(|part| part.oid == COMMON_NAME);
                common.map(|part| DirectoryString::try_from(&part.value).map(text)).collect::<Result<_, _>>()
            }
            _ => parsed.get_extension::<SubjectAltName>().map(|found| {
                let all = found.map(|(_, names)| names.0).unwrap_or_default();
                all.into_iter().filter_map(|name| alternative(name, from)).map(Some).collect()
            }),
        };
        let names: Vec<Option<String>> = names.map_err(malformed)?;
        let name = match <[_; 1]>::try_from(names) {
            Ok([name]) => name.ok_or(SubjectError::Malformed)?,
            Err(names) if names.is_empty() => return Err(SubjectError::None),
            Err(_) => return Err(SubjectError::Several),
        };
        let issuer = parsed.issuer().to_der().map_err(malformed)?;
        let id = CertificateId::new(issuer, parsed.serial_number().as_bytes());
        Ok(Self { name, id, until: parsed.validity().not_after.to_system_time() })
    }
}

/// What it is in the two forms of text that RFC 5280 §4.1.2.4 wants; others can hold letters that are not what they look like.
fn text(value: DirectoryString) -> Option<String> {
    match value {
        DirectoryString::Utf8String(text) => Some(text),
        DirectoryString::PrintableString(text) => Some(text.as_str().to_owned()),
        _ => None,
    }
}

fn alternative(name: GeneralName, from: NameFrom) -> Option<String> {
    let (kind, text) = match &name {
        GeneralName::DnsName(text) => (NameFrom::SanDns, text),
        GeneralName::Rfc822Name(text) => (NameFrom::SanEmail, text),
        GeneralName::UniformResourceIdentifier(text) => (NameFrom::SanUri, text),
        _ => return None,
    };
    (kind == from).then(|| text.as_str().to_owned())
}
