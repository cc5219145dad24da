//! Keys of tokens, groups and whoever has no credential, and what a room says of them.

use super::{Key, Kind, Table, key};
use crate::policy::rules::AdminRight;

pub(super) const ADMIN: [&str; 2] = [AdminRight::View.word(), AdminRight::Act.word()];

const fn policy(table: Table, name: &'static str, kind: Kind, doc: &'static str) -> Key {
    key(table, name, kind, "", doc).live()
}

/// In the order in which they are shown.
pub(super) static KEYS: &[Key] = &[
    policy(
        Table::Token,
        "hash",
        Kind::Hashes,
        "sha256:… of the token, or a list of two while it is being changed; required",
    )
    .secret()
    .sample("\"sha256:0000000000000000000000000000000000000000000000000000000000000000\""),
    policy(Table::Token, "groups", Kind::Groups, "groups whose rights it has too").sample("[\"staff\"]"),
    policy(Table::Token, "rooms", Kind::Grants, "its own rights: { \"glob\" = [\"read\"] }")
        .sample("{ \"ops.**\" = [\"all\"], \"desk.{name}\" = [\"read\", \"write\"] }"),
    policy(Table::Token, "direct", Kind::Names, "globs of names that it may send private messages to")
        .sample("[\"*\"]"),
    policy(Table::Token, "expires", Kind::Date, "when it expires: a date (at 00:00 UTC), or a time with an offset")
        .sample("2027-06-30"),
    policy(Table::Token, "from", Kind::Networks, "addresses and networks that it may come from; by default any")
        .sample("[\"10.0.0.0/8\"]"),
    policy(
        Table::Token,
        "datagram-key",
        Kind::Text,
        "key by which its datagrams are signed, or file:PATH of it; `switchboard token new NAME --datagrams` prints it",
    )
    .secret()
    .sample("\"0000000000000000000000000000000000000000000000000000000000000000\""),
    policy(
        Table::Token,
        "admin",
        Kind::Word(&ADMIN),
        "what it may do with the server: view sees everything of the admin service, act may change it too",
    )
    .sample("\"view\""),
    policy(Table::Group, "rooms", Kind::Grants, "rights of its members: { \"glob\" = [\"all\"] }")
        .sample("{ \"ops.**\" = [\"all\"], \"desk.{name}\" = [\"read\", \"write\"] }"),
    policy(Table::Group, "direct", Kind::Names, "globs of names that its members may send private messages to")
        .sample("[\"*\"]"),
    policy(Table::Group, "admin", Kind::Word(&ADMIN), "what its members may do with the server: view or act")
        .sample("\"view\""),
    policy(Table::Name, "groups", Kind::Groups, "groups whose rights it has too").sample("[\"staff\"]"),
    policy(Table::Name, "rooms", Kind::Grants, "its own rights: { \"glob\" = [\"read\"] }")
        .sample("{ \"sensors.{name}\" = [\"write\"] }"),
    policy(Table::Name, "direct", Kind::Names, "globs of names that it may write to directly").sample("[\"*\"]"),
    policy(
        Table::Name,
        "uid",
        Kind::Count { least: 0, or: &[] },
        "number of the Unix user who is this one on a listener with `peers = \"login\"`; only for a name, not for a glob",
    )
    .sample("1000"),
    policy(Table::Anonymous, "rooms", Kind::Grants, "what everybody may do, even without a credential")
        .sample("{ \"ops.**\" = [\"all\"], \"desk.{name}\" = [\"read\", \"write\"] }"),
    policy(Table::Anonymous, "direct", Kind::Names, "globs of names that everybody may send private messages to")
        .sample("[\"*\"]"),
    policy(
        Table::Anonymous,
        "names",
        Kind::Names,
        "globs of names that anybody without a credential may choose, and which no source issues",
    )
    .sample("[\"visitor-*\"]"),
    policy(Table::Room, "anyone", Kind::Rights, "rights of everybody, even without a credential").sample("[\"join\"]"),
    policy(Table::Room, "named", Kind::Rights, "rights of everybody with a credential").sample("[\"all\"]"),
    policy(
        Table::Room,
        "only",
        Kind::People,
        "closes the room to all others, whatever else grants them: names, and groups as @GROUP",
    )
    .sample("[\"@staff\", \"alice\"]"),
];
