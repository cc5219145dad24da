//! What can be set of rooms.

use super::{Key, Kind, Table, key};
use crate::overflow;

const fn room(name: &'static str, kind: Kind, default: &'static str, doc: &'static str) -> Key {
    key(Table::Room, name, kind, default, doc).live()
}

/// In the order in which they are shown.
pub(super) static KEYS: &[Key] = &[
    room("history-messages", Kind::Count { least: 0, or: &[] }, "256", "most messages that it keeps"),
    room("history-bytes", Kind::Size { or: &[] }, "\"256KiB\"", "most bytes that it keeps"),
    room(
        "overflow",
        Kind::Word(&overflow::WORDS),
        "\"disconnect\"",
        "what happens to a member that cannot keep up, unless its listener says otherwise",
    ),
    room("presence", Kind::Word(&["on", "off"]), "\"on\"", "whether members are told who comes and goes"),
    room("kept", Kind::Switch, "\"off\"", "whether it exists without members; only for a name, not for a glob"),
];
