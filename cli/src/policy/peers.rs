//! Who a peer is by what its transport says of it: a certificate that names it, or the user whose process it is.
//!
//! Whether such a name is anybody here, and what it may do, is for the snapshot to say.

use super::token::TokenHash;
use std::collections::HashMap;
use std::fmt::Write as _;
use switchboard::{CertificateId, NameFrom, Subject, SubjectError, UserName};

/// The longest file of users.
pub(crate) const PASSWD_BYTES: u64 = 1 << 20;

/// How a listener knows its peers without a token.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) enum KnownBy {
    #[default]
    Nothing,
    Certificate(NameRule),
    /// A Unix socket: the user whose process has connected.
    User,
}

/// Which part of a certificate is a name, and what is left out of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NameRule {
    from: NameFrom,
    before: String,
    behind: String,
}

impl NameRule {
    /// `san-dns`, `cn`, `san-email:DOMAIN` or `san-uri:PREFIX`.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let rule = |from, before: &str, behind: String| Ok(Self { from, before: before.to_owned(), behind });
        match text.split_once(':') {
            None if text == "san-dns" => rule(NameFrom::SanDns, "", String::new()),
            None if text == "cn" => rule(NameFrom::CommonName, "", String::new()),
            Some(("san-email", domain)) if !domain.is_empty() => rule(NameFrom::SanEmail, "", format!("@{domain}")),
            Some(("san-uri", prefix)) if !prefix.is_empty() => rule(NameFrom::SanUri, prefix, String::new()),
            _ => Err("not san-dns, cn, san-email:DOMAIN or san-uri:PREFIX".to_owned()),
        }
    }

    /// The name in a certificate: all of the one value, but for what is to be left out, which has to be there.
    pub(crate) fn name(&self, certificate: &[u8]) -> Result<(UserName, Subject), Unnamed> {
        let subject = Subject::of(certificate, self.from).map_err(Unnamed::Subject)?;
        let name = subject.name.strip_prefix(&self.before).and_then(|name| name.strip_suffix(&self.behind));
        let name = name.and_then(|name| UserName::parse(name).ok()).ok_or(Unnamed::NoName)?;
        Ok((name, subject))
    }
}

/// Why a certificate names nobody.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unnamed {
    Subject(SubjectError),
    /// What stands there is no name, or another domain's.
    NoName,
    /// It is nobody here: no `[names."GLOB"]` has it, or somebody else does.
    Unlisted,
    Revoked,
}

impl Unnamed {
    pub(crate) fn code(self) -> &'static str {
        match self {
            Self::Subject(SubjectError::None) => "certificate-without-name",
            Self::Subject(SubjectError::Several) => "certificate-with-names",
            Self::Subject(_) => "certificate-malformed",
            Self::NoName => "certificate-name",
            Self::Unlisted => "certificate-unlisted",
            Self::Revoked => "certificate-revoked",
        }
    }
}

/// What stands for a certificate: its number, by which its authority knows it, and eight digits for that one.
pub(crate) fn of_certificate(id: &CertificateId) -> String {
    let mut text = String::new();
    for byte in &id.serial {
        // Writing to a text cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text + "/" + &TokenHash::of_bytes(&id.issuer).id()
}

/// Who the users of this machine are, as `/etc/passwd` has them (passwd(5)). What is no name here is nobody's.
pub(crate) fn logins(passwd: &str) -> HashMap<u32, UserName> {
    let login = |line: &str| {
        let mut fields = line.split(':');
        let (name, uid) = (fields.next()?, fields.nth(1)?);
        Some((uid.parse().ok()?, UserName::parse(name).ok()?))
    };
    // Of two with one number, the first counts, as it does elsewhere.
    let lines: Vec<_> = passwd.lines().filter_map(login).collect();
    lines.into_iter().rev().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, DnType, KeyPair, SanType};

    fn certificate(names: &[SanType], common: &str) -> Vec<u8> {
        let mut params = CertificateParams::default();
        params.subject_alt_names = names.to_vec();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, common);
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
    }

    fn named(rule: &str, certificate: &[u8]) -> Result<String, Unnamed> {
        NameRule::parse(rule).unwrap().name(certificate).map(|(name, _)| name.to_string())
    }

    #[test]
    fn a_name_is_all_of_one_value_but_for_what_is_to_be_left_out() {
        let dns = |name: &str| SanType::DnsName(name.try_into().unwrap());
        let email = |name: &str| SanType::Rfc822Name(name.try_into().unwrap());
        let uri = |name: &str| SanType::URI(name.try_into().unwrap());
        let ann = certificate(&[dns("ann"), email("ann@example.org"), uri("spiffe://x/ann")], "ann");
        for rule in ["san-dns", "cn", "san-email:example.org", "san-uri:spiffe://x/"] {
            assert_eq!(named(rule, &ann).as_deref(), Ok("ann"), "{rule}");
        }
        for rule in ["san-email:example.com", "san-email:ample.org", "san-uri:spiffe://y/", "san-uri:spiffe://x"] {
            assert_eq!(named(rule, &ann), Err(Unnamed::NoName), "{rule}");
        }
        let others = certificate(&[dns("*.example.org"), email("ann@evil@example.org")], "guest-1");
        for rule in ["san-dns", "cn", "san-email:example.org"] {
            assert_eq!(named(rule, &others), Err(Unnamed::NoName), "{rule}");
        }
        assert_eq!(named("san-uri:x", &others), Err(Unnamed::Subject(SubjectError::None)));
        for wrong in ["", "san", "san-email", "san-email:", "san-uri", "san-uri:", "san-dns:x", "cn:x", "CN"] {
            assert!(NameRule::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_certificate_is_told_apart_by_its_number_and_its_authority() {
        let (_, subject) = NameRule::parse("cn").unwrap().name(&certificate(&[], "ann")).unwrap();
        let text = of_certificate(&subject.id);
        let (number, authority) = text.split_once('/').unwrap();
        assert_eq!((number.len(), authority.len()), (2 * subject.id.serial.len(), 8), "{text}");
        assert!([number, authority].concat().bytes().all(|digit| digit.is_ascii_hexdigit()), "{text}");
    }

    #[test]
    fn users_are_those_of_the_file() {
        let passwd =
            "root:x:0:0::/root:/bin/sh\nann:x:1000:1000:Ann,,,:/:/bin/sh\nbob:x:1000:1:::\nudp:x:7:7:::\nx\n:x:9:\n";
        let logins = logins(passwd);
        assert_eq!(logins.get(&1000).map(UserName::as_str), Some("ann"));
        assert_eq!((logins.len(), logins.contains_key(&7)), (2, false), "{logins:?}");
    }
}
