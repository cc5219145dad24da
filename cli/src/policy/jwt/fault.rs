//! Why a JWT is not taken, for whoever looks after the server. Whoever shows it is told less.

/// The first check that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum JwtFault {
    #[error("not three parts of base64url, as a signed JWT is")]
    Form,
    #[error("longer than 8 KiB")]
    TooLong,
    #[error("its header is not JSON that means one thing, or a part of it is of the wrong type")]
    Header,
    #[error("its header has `crit` or `b64`, extensions that nobody here understands")]
    Extension,
    #[error("its claims are not JSON that means one thing")]
    Claims,
    #[error("`iss` is missing, or that of no source")]
    Issuer,
    #[error("`typ` is not what the source wants")]
    Typ,
    #[error("`alg` is not one of the source's")]
    Algorithm,
    #[error("no key of the source is called by its `kid`, or has its `alg`")]
    Key,
    #[error("the signature is not by the source's key")]
    Signature,
    #[error("`exp` is missing, or `exp`, `nbf` or `iat` is not a number of seconds")]
    Time,
    #[error("it has expired")]
    Expired,
    #[error("it is not valid yet: `nbf` or `iat` is in the future")]
    Early,
    #[error("it is good for longer than the source's `max-age`")]
    TooLongLived,
    #[error("`aud` is missing, or has none of the source's audiences")]
    Audience,
    #[error("the claim with the name is missing, or is no name")]
    Name,
    #[error("the name is an address, and `email_verified` says that it may not be its holder's")]
    Unverified,
    #[error(
        "the name is none that the source may issue: by its `names`, or because it is a static token's or another source's"
    )]
    NotIssued,
    #[error("the claim with the rights is not what it has to be")]
    Rights,
    #[error("the source has no keys: they could not be fetched yet")]
    Unavailable,
}

impl JwtFault {
    /// For logs.
    pub(crate) fn code(self) -> &'static str {
        match self {
            Self::Form => "jwt-form",
            Self::TooLong => "jwt-too-long",
            Self::Header => "jwt-header",
            Self::Extension => "jwt-extension",
            Self::Claims => "jwt-claims",
            Self::Issuer => "jwt-issuer",
            Self::Typ => "jwt-typ",
            Self::Algorithm => "jwt-algorithm",
            Self::Key => "jwt-key",
            Self::Signature => "jwt-signature",
            Self::Time => "jwt-time",
            Self::Expired => "expired",
            Self::Early => "jwt-early",
            Self::TooLongLived => "jwt-too-long-lived",
            Self::Audience => "jwt-audience",
            Self::Name => "jwt-name",
            Self::Unverified => "jwt-unverified",
            Self::NotIssued => "jwt-not-issued",
            Self::Rights => "jwt-rights",
            Self::Unavailable => "jwt-unavailable",
        }
    }
}
