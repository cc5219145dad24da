//! Keys of a set of upstreams: the options of a proxy, for all listeners that name the set.

use super::{Form, Key, Kind, OFF, Shape, Table, key};

pub(super) static FORM: Form = Form {
    name: "upstreams",
    shape: Shape::Named,
    head: "[upstreams.NAME]",
    sample: "[upstreams.db]",
    required: Some("to"),
    doc: "Servers that proxies pass connections on to, which listeners name: to = \"NAME\" (docs/proxy.md). Each listener counts by itself.",
};

const fn upstreams(name: &'static str, kind: Kind, default: &'static str, doc: &'static str) -> Key {
    key(Table::Upstreams, name, kind, default, doc)
}

/// In the order in which they are shown.
pub(super) static KEYS: &[Key] = &[
    upstreams("to", Kind::List, "", "URLs of the upstreams, as at a listener; required")
        .sample("[\"tcp://10.0.0.5:5432\"]"),
    upstreams(
        "balance",
        Kind::Word(&["least", "round", "hash:address"]),
        "\"least\"",
        "which upstream is next, as at a listener",
    ),
    upstreams("weights", Kind::List, "", "one for each upstream of `to`").sample("[\"3\"]"),
    upstreams("connect", Kind::Duration { or: &[] }, "\"3s\"", "the longest wait for one upstream"),
    upstreams("check", Kind::Text, "\"off\"", "how they are checked every 5 s").sample("\"tcp\""),
    upstreams(
        "idle",
        Kind::Duration { or: OFF },
        "",
        "end a pair with nothing either way for this long; off, on UDP 30s",
    )
    .sample("\"10m\""),
    upstreams("half", Kind::Duration { or: OFF }, "\"60s\"", "the same once one side has finished"),
    upstreams(
        "max",
        Kind::Count { least: 1, or: OFF },
        "\"off\"",
        "the most connections of one listener to each upstream",
    ),
    upstreams("queue", Kind::Count { least: 1, or: &[] }, "128", "how many may wait for a place"),
    upstreams("wait", Kind::Duration { or: &[] }, "\"1s\"", "how long they wait"),
    upstreams(
        "send-proxy",
        Kind::Word(&["off", "v1", "v2"]),
        "\"off\"",
        "the PROXY header that each connection begins with",
    ),
    upstreams("ca", Kind::Text, "", "PEM file of whom upstreams that speak TLS have to be")
        .sample("\"/etc/switchboard/upstreams-ca.pem\""),
    upstreams("client", Kind::Text, "", "PEM file with the certificate and key that upstreams get which ask for one")
        .sample("\"/etc/switchboard/upstreams-client.pem\""),
];
