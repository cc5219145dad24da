//! Keys at the top of the file: what the whole server does.

use super::{AUTO, AUTO_OFF, Key, Kind, OFF, Table, key};

const fn top(name: &'static str, kind: Kind, default: &'static str, doc: &'static str) -> Key {
    key(Table::Top, name, kind, default, doc).set_by(name)
}

/// In the order in which they are shown.
pub(super) static KEYS: &[Key] = &[
    top(
        "listen",
        Kind::Endpoints,
        "[\"echo=tcp://127.0.0.1:8080\", \"echo=udp://127.0.0.1:8080\", \"rooms=tcp://127.0.0.1:8081\", \
         \"rooms=udp://127.0.0.1:8081\", \"rooms=http://127.0.0.1:8082\", \
         \"admin=http://127.0.0.1:8083\"]",
        "what to serve, and where: SERVICE=URL?options; [[listener]] tables are served as well",
    ),
    top(
        "workers",
        Kind::Count { least: 1, or: AUTO },
        "\"auto\"",
        "threads that serve connections; auto: one per core, at most 4",
    ),
    top(
        "max-connections",
        Kind::Count { least: 1, or: AUTO },
        "\"auto\"",
        "most open connections; auto: what the descriptor limit allows",
    )
    .live(),
    top(
        "max-connections-per-address",
        Kind::Count { least: 1, or: AUTO_OFF },
        "\"auto\"",
        "most open connections from one address; auto: 1024 where other machines can connect",
    )
    .live(),
    top(
        "max-handshakes-per-address",
        Kind::Count { least: 1, or: AUTO_OFF },
        "\"auto\"",
        "most TLS handshakes a second from one address; auto: 100 where other machines can connect",
    )
    .live(),
    top("max-frame", Kind::Size { or: &[] }, "\"64KiB\"", "most bytes in one line or datagram").live(),
    top("max-outbox", Kind::Size { or: &[] }, "\"1MiB\"", "most bytes queued for one connection").live(),
    top(
        "max-memory",
        Kind::Size { or: AUTO },
        "\"auto\"",
        "most bytes held for all messages together; auto: a quarter of the machine's memory",
    )
    .live(),
    top("write-timeout", Kind::Duration { or: OFF }, "\"10s\"", "how long a peer may read nothing before it is closed")
        .live(),
    top("grace", Kind::Duration { or: &[] }, "\"30s\"", "how long connections may take to finish after a signal")
        .live(),
    top(
        "auth-failures",
        Kind::Count { least: 1, or: OFF },
        "10",
        "most wrong tokens from one address in a minute; beyond that it is told to wait",
    ),
    top("log", Kind::Text, "\"info\"", "what is logged: a level, or a filter such as warn,switchboard=debug").live(),
    top(
        "audit",
        Kind::Text,
        "\"log\"",
        "the file that tells who was let in, refused or denied, a JSON object for each line; log: the log does",
    )
    .live(),
    top(
        "access-log",
        Kind::Word(&["off", "on", "full"]),
        "\"off\"",
        "whether each request over HTTP is told of; full: with its parameters, host, origin and user agent",
    )
    .live(),
    top(
        "access-log-file",
        Kind::Text,
        "\"log\"",
        "the file that tells of them, in the format of the log; log: the log does",
    )
    .live(),
    top("log-format", Kind::Word(&["text", "json"]), "\"text\"", "format of the log on stderr"),
    top(
        "state-directory",
        Kind::Text,
        "\"auto\"",
        "directory for what is kept over a restart: keys that were fetched, what operators have said; auto: what systemd gives (StateDirectory=), else off",
    ),
    top(
        "data",
        Kind::Text,
        "\"off\"",
        "directory in which rooms are kept over a restart: what is published is on disk before it is acknowledged or shown",
    ),
    top(
        "max-data",
        Kind::Size { or: &[] },
        "\"16GiB\"",
        "most bytes that the messages of all rooms take there; beyond it the room that has most gives up its oldest",
    ),
    top(
        "durable",
        Kind::Switch,
        "\"on\"",
        "whether rooms are kept in the data directory, or are those of several nodes, where [rooms.\"GLOB\"] says nothing else",
    )
    .live(),
    top(
        "history-messages",
        Kind::Count { least: 0, or: &[] },
        "256",
        "most messages that a room keeps, where [rooms.\"GLOB\"] says nothing else",
    )
    .live(),
    top(
        "history-bytes",
        Kind::Size { or: &[] },
        "\"256KiB\"",
        "most bytes that a room keeps, where [rooms.\"GLOB\"] says nothing else",
    )
    .live(),
    top(
        "history-age",
        Kind::Duration { or: OFF },
        "\"off\"",
        "how long a room keeps a message at most, where [rooms.\"GLOB\"] says nothing else",
    )
    .live(),
];
