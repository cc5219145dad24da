//! Keys of networks that nobody may come from.

use super::{Form, Key, Kind, Shape, Table, key};

/// `[[ban]]`.
pub(super) static FORM: Form = Form {
    name: "ban",
    shape: Shape::Listed,
    head: "[[ban]]",
    sample: "[[ban]]",
    required: Some("network"),
    doc: "A network that nobody may come from; one table for each. Whoever is connected from there is reset.",
};

const fn ban(name: &'static str, kind: Kind, doc: &'static str) -> Key {
    key(Table::Ban, name, kind, "", doc).live()
}

/// In the order in which they are shown.
pub(super) static KEYS: &[Key] = &[
    ban("network", Kind::Network, "an address or a network, of IPv4 up to /8 and of IPv6 up to /32; required")
        .sample("\"198.51.100.0/24\""),
    ban("until", Kind::Date, "when it ends, if it does").sample("2027-06-30"),
    ban("reason", Kind::Text, "for you: in the audit and in `config print`; no client is told").sample("\"scans\""),
];
