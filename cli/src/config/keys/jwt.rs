//! Keys of a source of JWTs.

use super::rights::ADMIN;
use super::{Key, Kind, OFF, Table, key};

const fn jwt(name: &'static str, kind: Kind, default: &'static str, doc: &'static str) -> Key {
    key(Table::Jwt, name, kind, default, doc).live()
}

/// In the order in which they are shown.
pub(super) static KEYS: &[Key] = &[
    jwt("issuer", Kind::Text, "", "`iss` of its tokens, letter by letter; required")
        .sample("\"https://id.example.org/\""),
    jwt("audience", Kind::Texts, "", "what `aud` has to hold one of, or \"any\"; required").sample("\"switchboard\""),
    jwt(
        "algorithms",
        Kind::Texts,
        "",
        "how its tokens may be signed: EdDSA, ES256, ES384, RS256, PS256; HS256 alone; required",
    )
    .sample("[\"ES256\"]"),
    jwt(
        "keys",
        Kind::Texts,
        "",
        "files of its public keys (PEM or JWKS), or of its secret for HS256; or the https URL of its JWKS; required",
    )
    .sample("[\"/etc/switchboard/jwks.json\"]"),
    jwt(
        "keys-ca",
        Kind::Text,
        "",
        "PEM file of the authorities that are believed at that URL; without: those of this machine",
    )
    .sample("\"/etc/switchboard/id-ca.pem\""),
    jwt("name-claim", Kind::Text, "\"sub\"", "which claim is the name; a.b is b within a"),
    jwt("strip-domain", Kind::Text, "", "names are addresses of this domain, which is left out")
        .sample("\"example.org\""),
    jwt(
        "names",
        Kind::Names,
        "[\"*\"]",
        "globs of names that it may issue, and that nobody else may take; never those of tokens in this file",
    ),
    jwt("groups-claim", Kind::Text, "", "which claim lists groups; those that this file does not have are left out")
        .sample("\"groups\""),
    jwt(
        "rights-claim",
        Kind::Text,
        "",
        "which claim has rights of one's own: {\"rooms\":{\"GLOB\":[\"read\"]},\"direct\":[\"GLOB\"],\"admin\":\"view\"}",
    )
    .sample("\"switchboard\""),
    jwt(
        "admin",
        Kind::Word(&ADMIN),
        "",
        "the most that its tokens may do with the server, by that claim or by groups: view or act; without: nothing",
    )
    .sample("\"view\""),
    jwt("typ", Kind::Text, "", "what `typ` has to be, such as at+jwt; without: anything").sample("\"at+jwt\""),
    jwt(
        "max-age",
        Kind::Duration { or: OFF },
        "\"24h\"",
        "longest time from `iat` to `exp`; without `iat` from now on",
    ),
    jwt("leeway", Kind::Duration { or: &[] }, "\"30s\"", "how far its clock may differ from this one"),
];
