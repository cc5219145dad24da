//! What can be set of rooms.

use super::{Key, Kind, OFF, Table, key};
use crate::overflow;

const fn room(name: &'static str, kind: Kind, default: &'static str, doc: &'static str) -> Key {
    key(Table::Room, name, kind, default, doc).live()
}

/// In the order in which they are shown.
pub(super) static KEYS: &[Key] = &[
    room("history-messages", Kind::Count { least: 0, or: &[] }, "256", "most messages that it keeps"),
    room("history-bytes", Kind::Size { or: &[] }, "\"256KiB\"", "most bytes that it keeps"),
    room("history-age", Kind::Duration { or: OFF }, "\"off\"", "how long it keeps a message at most"),
    room(
        "durable",
        Kind::Switch,
        "\"on\"",
        "whether it is kept in the data directory, if there is one, or is that of several nodes, if there are others; for rooms that are made from then on",
    ),
    room(
        "overflow",
        Kind::Word(&overflow::WORDS),
        "\"disconnect\"",
        "what happens to a member that cannot keep up, unless its listener says otherwise",
    ),
    room(
        "presence",
        Kind::Word(&["on", "counts", "off"]),
        "\"on\"",
        "whether members are told who comes and goes; counts: how many, and no names",
    ),
    room("members", Kind::Count { least: 1, or: OFF }, "\"off\"", "most members that it takes"),
    room(
        "rate",
        Kind::Count { least: 1, or: OFF },
        "\"off\"",
        "most messages a second that may be published to it, by all together; more are refused",
    ),
    room("frame", Kind::Size { or: &[] }, "", "most bytes of one message, if that is less than max-frame")
        .sample("\"64KiB\""),
    room("class", Kind::Name, "", "a name for the class that these rooms are of, of which there may be 32")
        .sample("\"sensors\""),
    room("kept", Kind::Switch, "\"off\"", "whether it exists without members; only for a name, not for a glob"),
];
