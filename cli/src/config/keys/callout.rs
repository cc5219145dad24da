//! Keys of the program that is asked whose a token is.

use super::{Key, Kind, Table, key};

const fn callout(name: &'static str, kind: Kind, default: &'static str, doc: &'static str) -> Key {
    key(Table::Callout, name, kind, default, doc).live()
}

/// In the order in which they are shown.
pub(super) static KEYS: &[Key] = &[
    callout(
        "url",
        Kind::Text,
        "",
        "where it is asked: https://HOST/…, http://127.0.0.1:PORT/… or unix:///PATH; required",
    )
    .sample("\"http://127.0.0.1:9000/\""),
    callout("secret", Kind::Text, "", "sent to it as `Authorization: Bearer`, so that it knows who asks")
        .secret()
        .sample("\"a-long-random-word\""),
    callout("ca", Kind::Text, "", "PEM file of the authorities to believe, in place of this machine's (https)")
        .sample("\"/etc/switchboard/callout-ca.pem\""),
    callout(
        "names",
        Kind::Names,
        "[\"*\"]",
        "globs of names that it may give, and that nobody else may take; never those of tokens in this file",
    ),
];
