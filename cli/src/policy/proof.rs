//! By what somebody is known, in the one text that its principal has of it: it is logged, and holds no secret.
//!
//! Whether that still counts, and what it allows, is for the policy to say.

use super::rules::AdminRight;
use std::fmt;
use switchboard::policy::Principal;

/// What the texts begin with, or are. What a token is called by in logs has none of these signs.
const LISTENER: &str = "as";
const OPEN: &str = "auth=off";
const JWT: &str = "jwt.";
const CALLOUT: &str = "callout/";
const CERTIFICATE: &str = "certificate/";
const USER: &str = "unix/";

/// Parts of a JWT's that it may have.
const ISSUED: &str = "iat";
const JTI: &str = "jti";

/// What a principal is proven by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Proof<'a> {
    /// Its listener, which says who everybody is there.
    Listener,
    /// Its listener, which asks nobody.
    Open,
    /// A token of the file, by what it is called in logs.
    Token(&'a str),
    /// A JWT: its source, the stamp of what it was judged by, and what it is called in logs.
    /// With what it may do with the server, by itself; and by what else it can be revoked: when it was issued, in seconds since 1970,
    /// and what stands for its `jti`.
    Jwt {
        source: &'a str,
        stamp: &'a str,
        token: &'a str,
        admin: Option<AdminRight>,
        issued: Option<u64>,
        jti: Option<&'a str>,
    },
    /// A token whose holder a callout has named.
    Callout { token: &'a str },
    /// A certificate, by what stands for it.
    Certificate(&'a str),
    /// The user of this machine with that number.
    User(u32),
}

impl<'a> Proof<'a> {
    /// Of whoever is proven to be somebody, or may do everything without.
    pub(crate) fn of(principal: &'a Principal) -> Option<Self> {
        principal.credential().map(Self::read)
    }

    fn read(credential: &'a str) -> Self {
        let jwt = || {
            let (source, rest) = credential.strip_prefix(JWT)?.split_once('/')?;
            let (stamp, rest) = rest.split_once('/')?;
            let mut parts = rest.split('/');
            let (token, mut admin, mut issued, mut jti) = (parts.next()?, None, None, None);
            for part in parts {
                match part.split_once('=') {
                    Some((ISSUED, seconds)) => issued = seconds.parse().ok(),
                    Some((JTI, mark)) => jti = Some(mark),
                    _ => admin = AdminRight::parse(part),
                }
            }
            Some(Self::Jwt { source, stamp, token, admin, issued, jti })
        };
        let read = match ProofKind::read(credential) {
            ProofKind::Listener => Some(Self::Listener),
            ProofKind::Open => Some(Self::Open),
            ProofKind::Jwt => jwt(),
            ProofKind::Callout => credential.strip_prefix(CALLOUT).map(|token| Self::Callout { token }),
            ProofKind::Certificate => credential.strip_prefix(CERTIFICATE).map(Self::Certificate),
            ProofKind::User => credential.strip_prefix(USER).and_then(|uid| uid.parse().ok()).map(Self::User),
            ProofKind::Token => None,
        };
        read.unwrap_or(Self::Token(credential))
    }

    /// What vouches for it, as audits say it.
    pub(crate) fn source(self) -> String {
        match self {
            Self::Jwt { source, .. } => format!("{JWT}{source}"),
            Self::Listener => LISTENER.to_owned(),
            Self::Open => OPEN.to_owned(),
            Self::Token(_) => "token".to_owned(),
            Self::Callout { .. } => "callout".to_owned(),
            Self::Certificate(_) => "certificate".to_owned(),
            Self::User(_) => "unix".to_owned(),
        }
    }

    /// What its token, or its certificate, is called there.
    pub(crate) fn called(self) -> Option<&'a str> {
        match self {
            Self::Token(token) | Self::Jwt { token, .. } | Self::Callout { token } => Some(token),
            Self::Certificate(certificate) => Some(certificate),
            Self::Listener | Self::Open | Self::User(_) => None,
        }
    }
}

/// Which of them it is, by what its text begins with. This is what is asked for each act: to read all of the text would cost a request by a JWT
/// 7,000 instructions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ProofKind {
    Listener,
    Open,
    Token,
    Jwt,
    Callout,
    Certificate,
    User,
}

impl ProofKind {
    pub(crate) fn of(principal: &Principal) -> Option<Self> {
        principal.credential().map(Self::read)
    }

    fn read(credential: &str) -> Self {
        // What a token is called by may begin with a or c as well.
        match credential.as_bytes().first() {
            Some(b'a') if credential == LISTENER => Self::Listener,
            Some(b'a') if credential == OPEN => Self::Open,
            Some(b'j') if credential.starts_with(JWT) => Self::Jwt,
            Some(b'c') if credential.starts_with(CALLOUT) => Self::Callout,
            Some(b'c') if credential.starts_with(CERTIFICATE) => Self::Certificate,
            Some(b'u') if credential.strip_prefix(USER).is_some_and(|uid| uid.parse::<u32>().is_ok()) => Self::User,
            _ => Self::Token,
        }
    }

    /// Whether somebody beyond the file has named it, and said what it may do.
    pub(crate) fn is_vouched(self) -> bool {
        matches!(self, Self::Jwt | Self::Callout)
    }

    /// Whether it is known by its transport.
    pub(crate) fn is_transported(self) -> bool {
        matches!(self, Self::Certificate | Self::User)
    }
}

/// As a principal has it.
impl fmt::Display for Proof<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Listener => f.write_str(LISTENER),
            Self::Open => f.write_str(OPEN),
            Self::Token(token) => f.write_str(token),
            Self::Jwt { source, stamp, token, admin, issued, jti } => {
                write!(f, "{JWT}{source}/{stamp}/{token}")?;
                admin.map_or(Ok(()), |admin| write!(f, "/{}", admin.word()))?;
                issued.map_or(Ok(()), |seconds| write!(f, "/{ISSUED}={seconds}"))?;
                jti.map_or(Ok(()), |mark| write!(f, "/{JTI}={mark}"))
            }
            Self::Callout { token } => write!(f, "{CALLOUT}{token}"),
            Self::Certificate(certificate) => write!(f, "{CERTIFICATE}{certificate}"),
            Self::User(uid) => write!(f, "{USER}{uid}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_proves_somebody_is_read_as_it_was_written() {
        let of_jwt = |admin, issued, jti| Proof::Jwt {
            source: "corp",
            stamp: "01234567",
            token: "89abcdef",
            admin,
            issued,
            jti,
        };
        let jwt = of_jwt(None, None, None);
        let operator = of_jwt(Some(AdminRight::Act), None, None);
        let whole = of_jwt(Some(AdminRight::View), Some(1_764_322_271), Some("fedcba9876543210"));
        for (proof, text, source, called) in [
            (Proof::Listener, "as", "as", None),
            (Proof::Open, "auth=off", "auth=off", None),
            (Proof::Token("01234567"), "01234567", "token", Some("01234567")),
            (jwt, "jwt.corp/01234567/89abcdef", "jwt.corp", Some("89abcdef")),
            (operator, "jwt.corp/01234567/89abcdef/act", "jwt.corp", Some("89abcdef")),
            (
                whole,
                "jwt.corp/01234567/89abcdef/view/iat=1764322271/jti=fedcba9876543210",
                "jwt.corp",
                Some("89abcdef"),
            ),
            (of_jwt(None, Some(0), None), "jwt.corp/01234567/89abcdef/iat=0", "jwt.corp", Some("89abcdef")),
            (Proof::Callout { token: "01234567" }, "callout/01234567", "callout", Some("01234567")),
            (Proof::Certificate("01ff/2d711642"), "certificate/01ff/2d711642", "certificate", Some("01ff/2d711642")),
            (Proof::User(1000), "unix/1000", "unix", None),
        ] {
            assert_eq!((proof.to_string().as_str(), Proof::read(text)), (text, proof));
            assert_eq!((proof.source().as_str(), proof.called()), (source, called));
        }
        for text in ["certificate/01ff/2d711642", "unix/1000"] {
            assert!(ProofKind::read(text).is_transported(), "{text}");
        }
        for text in ["jwt.x/y/z", "callout/1"] {
            assert!(ProofKind::read(text).is_vouched(), "{text}");
        }
        for other in ["", "as", "auth=off", "0123abcd", "unix/", "unix/x"] {
            let kind = ProofKind::read(other);
            assert!(!kind.is_transported() && !kind.is_vouched(), "{other}");
        }
        for other in ["", "jwt.corp", "jwt.corp/01234567", "0123abcd", "unix/", "unix/x"] {
            assert_eq!(Proof::read(other), Proof::Token(other));
        }
    }
}
