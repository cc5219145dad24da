//! Every key that the file may have: what it takes, what holds without it, what it is for, and whether a reload can change it.
//!
//! The one definition. The parser, `config print`, `config example`, `config schema` and the table in docs/operations.md are made of
//! it.

use crate::overflow;
use std::fmt;

/// One key of the file.
#[derive(Debug)]
pub(super) struct Key {
    pub(super) table: Table,
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    /// As TOML; empty: nothing, and what that means is in `doc`.
    pub(super) default: &'static str,
    pub(super) doc: &'static str,
    pub(super) live: Live,
    /// Its value is shown to nobody, not even in what is said of a mistake in it.
    pub(super) secret: bool,
}

/// Where in the file a key stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Table {
    Top,
    Listener,
    Token,
    Group,
    Anonymous,
    Room,
}

/// When a changed value is in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Live {
    /// After a reload.
    Reload,
    /// After a restart.
    Restart,
}

/// What a key takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A number from `least`, or one of the words.
    Count {
        least: usize,
        or: &'static [&'static str],
    },
    /// Bytes, as `64KiB`.
    Size {
        or: &'static [&'static str],
    },
    /// As `30s`.
    Duration {
        or: &'static [&'static str],
    },
    Word(&'static [&'static str]),
    /// `on` and `off`, or `true` and `false`.
    Switch,
    /// Any text.
    Text,
    /// A text, or a list of them.
    Texts,
    /// A list of `SERVICE=URL`.
    Endpoints,
    /// One hash of a token, or two.
    Hashes,
    /// Names of groups.
    Groups,
    /// Rights by rooms.
    Grants,
    /// Globs of names.
    Names,
    /// A date, or a time with its offset.
    Date,
    /// Addresses and networks.
    Networks,
    /// Names, and groups as `@GROUP`.
    People,
    /// Words for rights.
    Rights,
}

const AUTO: &[&str] = &["auto"];
const AUTO_OFF: &[&str] = &["auto", "off"];
const OFF: &[&str] = &["off"];

const fn key(table: Table, name: &'static str, kind: Kind, default: &'static str, doc: &'static str) -> Key {
    Key { table, name, kind, default, doc, live: Live::Restart, secret: false }
}

impl Key {
    /// Whether its value is what would be typed as a flag, or as an option of a URL.
    pub(super) fn is_typed(&self) -> bool {
        matches!(self.table, Table::Top | Table::Listener)
    }

    const fn live(self) -> Self {
        Self { live: Live::Reload, ..self }
    }

    const fn secret(self) -> Self {
        Self { secret: true, ..self }
    }
}

const fn top(name: &'static str, kind: Kind, default: &'static str, doc: &'static str) -> Key {
    key(Table::Top, name, kind, default, doc)
}

const fn listener(name: &'static str, kind: Kind, default: &'static str, doc: &'static str) -> Key {
    key(Table::Listener, name, kind, default, doc)
}

const fn policy(table: Table, name: &'static str, kind: Kind, doc: &'static str) -> Key {
    key(table, name, kind, "", doc).live()
}

const fn room(name: &'static str, kind: Kind, default: &'static str, doc: &'static str) -> Key {
    key(Table::Room, name, kind, default, doc).live()
}

/// All of them, in the order in which they are shown.
pub(super) static KEYS: &[Key] = &[
    top(
        "listen",
        Kind::Endpoints,
        "[\"echo=tcp://127.0.0.1:8080\", \"echo=udp://127.0.0.1:8080\", \"rooms=tcp://127.0.0.1:8081\", \
         \"rooms=udp://127.0.0.1:8081\", \"rooms=http://127.0.0.1:8082\"]",
        "what to serve, and where: SERVICE=URL?options; adds up with [[listener]]",
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
    ),
    top(
        "max-connections-per-address",
        Kind::Count { least: 1, or: AUTO_OFF },
        "\"auto\"",
        "most open connections from one address; auto: 1024 where other machines can connect",
    ),
    top(
        "max-handshakes-per-address",
        Kind::Count { least: 1, or: AUTO_OFF },
        "\"auto\"",
        "most TLS handshakes a second from one address; auto: 100 where other machines can connect",
    ),
    top("max-frame", Kind::Size { or: &[] }, "\"64KiB\"", "most bytes in one line or datagram"),
    top("max-outbox", Kind::Size { or: &[] }, "\"1MiB\"", "most bytes queued for one connection"),
    top(
        "max-memory",
        Kind::Size { or: AUTO },
        "\"auto\"",
        "most bytes held for all messages together; auto: a quarter of the machine's memory",
    ),
    top("write-timeout", Kind::Duration { or: OFF }, "\"10s\"", "how long a peer may read nothing before it is closed"),
    top("grace", Kind::Duration { or: &[] }, "\"30s\"", "how long connections may take to finish after a signal"),
    top("log", Kind::Text, "\"info\"", "what is logged: a level, or a filter such as warn,switchboard=debug").live(),
    top("log-format", Kind::Word(&["text", "json"]), "\"text\"", "format of the log on stderr"),
    listener("url", Kind::Text, "", "SERVICE=URL without options, as rooms=tcp://127.0.0.1:8081; required"),
    listener("cert", Kind::Texts, "", "PEM file of a certificate, or a list of them (TLS)").live(),
    listener("key", Kind::Texts, "", "PEM file of its private key, or a list in the same order (TLS)").live(),
    listener("freebind", Kind::Switch, "\"off\"", "whether the address may not exist yet (not on unix)"),
    listener(
        "idle",
        Kind::Duration { or: OFF },
        "",
        "close a connection that sends nothing for so long; 30s on echo, 5m on rooms over UDP, else off",
    ),
    listener(
        "origins",
        Kind::Texts,
        "[]",
        "whose pages may use HTTP and WebSockets besides its own, or * for anyone's",
    ),
    listener("prefix", Kind::Text, "", "echo: put before each answer; \"echo: \", on UDP \"received: \""),
    listener("format", Kind::Word(&["text", "json", "raw"]), "", "rooms: what members are sent; text, on HTTP json"),
    listener("room", Kind::Text, "\"lobby\"", "rooms: the room that new connections join"),
    listener("commands", Kind::Switch, "\"on\"", "rooms: whether lines that begin with / are commands"),
    listener("echo", Kind::Switch, "\"off\"", "rooms: whether senders get their own messages too"),
    listener(
        "rate",
        Kind::Count { least: 1, or: OFF },
        "",
        "rooms: lines a second read from one connection; 1000 on addresses open to other machines, else off",
    ),
    listener(
        "new-rooms",
        Kind::Count { least: 1, or: OFF },
        "",
        "rooms: how many one address may make at once; 1000 on addresses open to other machines, else off",
    ),
    listener(
        "overflow",
        Kind::Word(&overflow::WORDS),
        "",
        "rooms: for members that do not keep up; as the room has it",
    ),
    listener(
        "framing",
        Kind::Word(&["lines", "length"]),
        "\"lines\"",
        "rooms: lines, or a length of four bytes before each payload (not on HTTP and UDP)",
    ),
    listener(
        "auth",
        Kind::Word(&["optional", "required", "off"]),
        "\"optional\"",
        "rooms: whether everybody has to show a token; off, on loopback and Unix sockets: everybody may do everything (not on UDP; off not on HTTP)",
    ),
    listener(
        "as",
        Kind::Text,
        "",
        "rooms: who everybody is that comes here, on loopback and Unix sockets (not on HTTP and UDP)",
    ),
    listener(
        "access-token",
        Kind::Switch,
        "\"off\"",
        "rooms: whether streams and WebSockets over HTTP may show a token in their URL, as access_token=",
    ),
    policy(Table::Token, "hash", Kind::Hashes, "sha256:… of the token, or two while it is changed; required").secret(),
    policy(Table::Token, "groups", Kind::Groups, "groups whose rights it has too"),
    policy(Table::Token, "rooms", Kind::Grants, "its own rights: { \"glob\" = [\"read\"] }"),
    policy(Table::Token, "direct", Kind::Names, "globs of names that it may write to directly"),
    policy(
        Table::Token,
        "expires",
        Kind::Date,
        "a date (its beginning in UTC), or a time with offset, from which on it is refused",
    ),
    policy(Table::Token, "from", Kind::Networks, "addresses and networks that it may come from; without: any"),
    policy(Table::Group, "rooms", Kind::Grants, "rights of its members: { \"glob\" = [\"all\"] }"),
    policy(Table::Group, "direct", Kind::Names, "globs of names that its members may write to directly"),
    policy(Table::Anonymous, "rooms", Kind::Grants, "what everybody may do, also without a credential"),
    policy(Table::Anonymous, "direct", Kind::Names, "globs of names that everybody may write to directly"),
    policy(Table::Room, "anyone", Kind::Rights, "rights of everybody, also without a credential"),
    policy(Table::Room, "named", Kind::Rights, "rights of everybody with a credential"),
    policy(
        Table::Room,
        "only",
        Kind::People,
        "closes the room to all others, whatever else grants them: names, and groups as @GROUP",
    ),
    room("history-messages", Kind::Count { least: 0, or: &[] }, "256", "most messages that it keeps"),
    room("history-bytes", Kind::Size { or: &[] }, "\"256KiB\"", "most bytes that it keeps"),
    room(
        "overflow",
        Kind::Word(&overflow::WORDS),
        "\"disconnect\"",
        "what happens to a member that does not keep up, unless its listener says otherwise",
    ),
    room("presence", Kind::Word(&["on", "off"]), "\"on\"", "whether members are told who comes and goes"),
    room("kept", Kind::Switch, "\"off\"", "whether it is there without members; only for a name, not for a glob"),
];

/// What has been designed and is not in force yet, so that it is not taken for a slip.
pub(super) static LATER: &[(Table, &str)] = &[
    (Table::Room, "history-age"),
    (Table::Room, "members"),
    (Table::Room, "rate"),
    (Table::Room, "frame"),
    (Table::Room, "class"),
    (Table::Token, "admin"),
    (Table::Token, "datagram-key"),
    (Table::Anonymous, "names"),
    (Table::Top, "audit"),
    (Table::Top, "jwt"),
    (Table::Top, "callout"),
    (Table::Top, "ban"),
];

impl Table {
    /// All but the top, which stand under a key of it.
    pub(super) const UNDER: [Self; 5] = [Self::Listener, Self::Token, Self::Group, Self::Anonymous, Self::Room];

    pub(super) fn keys(self) -> impl Iterator<Item = &'static Key> + Clone {
        KEYS.iter().filter(move |key| key.table == self)
    }

    /// The key of the top that it is under.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Top => "",
            Self::Listener => "listener",
            Self::Token => "tokens",
            Self::Group => "groups",
            Self::Anonymous => "anonymous",
            Self::Room => "rooms",
        }
    }

    /// As its head is written.
    pub(super) fn head(self) -> &'static str {
        match self {
            Self::Top => "",
            Self::Listener => "[[listener]]",
            Self::Token => "[tokens.NAME]",
            Self::Group => "[groups.NAME]",
            Self::Anonymous => "[anonymous]",
            Self::Room => "[rooms.\"GLOB\"]",
        }
    }
}

impl fmt::Display for Live {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Reload => "reload",
            Self::Restart => "restart",
        })
    }
}
