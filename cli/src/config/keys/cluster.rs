//! Keys of the nodes that share rooms, and of the nats-servers that have their log.

use super::{Form, Key, Kind, Shape, Table, key};
use switchboard::log::NATS_PROFILES;

pub(super) static FORM: Form = Form {
    name: "cluster",
    shape: Shape::One,
    head: "[cluster]",
    sample: "[cluster]",
    required: None,
    doc: "Nodes that share rooms, by the log that nats-servers keep (docs/cluster.md).",
};

const fn cluster(
    name: &'static str,
    setting: &'static str,
    kind: Kind,
    default: &'static str,
    doc: &'static str,
) -> Key {
    key(Table::Cluster, name, kind, default, doc).set_by(setting)
}

/// In the order in which they are shown.
pub(super) static KEYS: &[Key] = &[
    cluster(
        "servers",
        "cluster",
        Kind::List,
        "[]",
        "nats-servers by which rooms are those of several nodes: nats://HOST:PORT or tls://HOST:PORT; none: rooms are this node's",
    ),
    cluster(
        "profile",
        "cluster-profile",
        Kind::Word(&NATS_PROFILES),
        "\"memory\"",
        "what their log of rooms survives: memory, nothing; file, a restart; durable, the loss of one of three nats-servers",
    ),
    cluster(
        "credentials",
        "cluster-credentials",
        Kind::Text,
        "\"off\"",
        "file that shows them who this is: what nsc has made, or one line with USER:PASSWORD or a token",
    ),
    cluster(
        "ca",
        "cluster-ca",
        Kind::Text,
        "\"off\"",
        "PEM file of the authorities to believe them by, with which TLS is demanded; off: this machine's, for tls://",
    ),
    cluster(
        "json",
        "cluster-json",
        Kind::List,
        "[]",
        "globs of rooms whose messages programs that speak NATS read as JSON, on sb.json.ROOM; the same on all nodes",
    ),
    cluster(
        "publish-as",
        "cluster-publish-as",
        Kind::Text,
        "\"off\"",
        "name by which what such programs ask for on sb.publish.ROOM is published, with its rights; off: nothing is",
    ),
];
