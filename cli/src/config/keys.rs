//! Every key that the file may have: what it takes, what holds without it, what it is for, and whether a reload can change it.
//!
//! The one definition. The parser, `config print`, `config example`, `config schema` and the table in docs/operations.md are made of
//! it.

mod ban;
mod callout;
mod cluster;
mod jwt;
mod listener;
mod rights;
mod rooms;
mod server;
mod upstreams;

use std::fmt;

/// One key of the file.
#[derive(Debug)]
pub(super) struct Key {
    pub(super) table: Table,
    pub(super) name: &'static str,
    /// What flags and variables call it; empty: only a file can set it.
    pub(super) setting: &'static str,
    pub(super) kind: Kind,
    /// As TOML; empty: nothing, and what that means is in `doc`.
    pub(super) default: &'static str,
    /// What an example shows, if that is not the default.
    pub(super) sample: &'static str,
    pub(super) doc: &'static str,
    pub(super) live: Live,
    /// Its value is shown to nobody, not even in what is said of a mistake in it.
    pub(super) secret: bool,
}

/// Where in the file a key stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Table {
    Top,
    Cluster,
    Listener,
    Token,
    Group,
    Anonymous,
    Room,
    Jwt,
    Callout,
    Name,
    Ban,
    Upstreams,
}

/// How many tables of a kind there can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// `[anonymous]`: one.
    One,
    /// `[tokens.NAME]`: one for each name.
    Named,
    /// `[[listener]]`: a list of them.
    Listed,
}

/// How tables of a kind are written, and what they are for.
#[derive(Debug)]
pub(super) struct Form {
    /// The key of the top that they are under.
    pub(super) name: &'static str,
    pub(super) shape: Shape,
    /// As a head is written.
    pub(super) head: &'static str,
    /// The same with names in place of those that are to be chosen.
    pub(super) sample: &'static str,
    /// Without it a table makes no sense.
    pub(super) required: Option<&'static str>,
    pub(super) doc: &'static str,
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
    /// The same, as one value of which commas part the texts where it is typed.
    List,
    /// A list of `SERVICE=URL`.
    Endpoints,
    /// One hash of a token, or two.
    Hashes,
    /// A name, as that of a group.
    Name,
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
    /// One of them, and no larger than an operator can mean.
    Network,
    /// Names, and groups as `@GROUP`.
    People,
    /// Words for rights.
    Rights,
}

const AUTO: &[&str] = &["auto"];
const AUTO_OFF: &[&str] = &["auto", "off"];
const OFF: &[&str] = &["off"];

const fn key(table: Table, name: &'static str, kind: Kind, default: &'static str, doc: &'static str) -> Key {
    Key { table, name, setting: "", kind, default, sample: "", doc, live: Live::Restart, secret: false }
}

impl Key {
    /// Whether its value is what would be typed as a flag, or as an option of a URL.
    pub(super) fn is_typed(&self) -> bool {
        matches!(self.table, Table::Top | Table::Cluster | Table::Listener | Table::Upstreams)
    }

    /// Where it is in the file, on one line.
    pub(super) fn path(&self) -> String {
        if self.table == Table::Top { self.name.to_owned() } else { format!("{}.{}", self.table.name(), self.name) }
    }

    const fn set_by(self, setting: &'static str) -> Self {
        Self { setting, ..self }
    }

    const fn live(self) -> Self {
        Self { live: Live::Reload, ..self }
    }

    const fn secret(self) -> Self {
        Self { secret: true, ..self }
    }

    const fn sample(self, sample: &'static str) -> Self {
        Self { sample, ..self }
    }

    /// A value to show.
    pub(super) fn shown(&self) -> &'static str {
        if self.sample.is_empty() { self.default } else { self.sample }
    }
}

/// All of them, in the order in which they are shown.
pub(super) fn all() -> impl Iterator<Item = &'static Key> + Clone {
    let of_tables = [listener::KEYS, rights::KEYS, rooms::KEYS, jwt::KEYS, callout::KEYS, ban::KEYS, upstreams::KEYS];
    settings().chain(of_tables.into_iter().flatten())
}

/// Those that flags and variables can set too, or that are at the top.
pub(super) fn settings() -> impl Iterator<Item = &'static Key> + Clone {
    [server::KEYS, cluster::KEYS].into_iter().flatten()
}

/// The one that flags and variables call so.
pub(super) fn named(setting: &str) -> Option<&'static Key> {
    settings().find(|key| key.setting == setting)
}

/// `[names."GLOB"]`.
static NAMES: Form = Form {
    name: "names",
    shape: Shape::Named,
    head: "[names.\"GLOB\"]",
    sample: "[names.\"sensor-*\"]",
    required: None,
    doc: "Who may be named by a client certificate or as a Unix user, and what it may do; all sections of a name add up (docs/vouching.md).",
};

impl Table {
    /// All but the top, which stand under a key of it.
    pub(super) const UNDER: [Self; 11] = [
        Self::Cluster,
        Self::Listener,
        Self::Token,
        Self::Group,
        Self::Anonymous,
        Self::Room,
        Self::Jwt,
        Self::Callout,
        Self::Name,
        Self::Ban,
        Self::Upstreams,
    ];

    pub(super) fn keys(self) -> impl Iterator<Item = &'static Key> + Clone {
        all().filter(move |key| key.table == self)
    }

    /// The key of the top that it is under.
    pub(super) fn name(self) -> &'static str {
        self.form().name
    }

    /// As its head is written.
    pub(super) fn head(self) -> &'static str {
        self.form().head
    }

    pub(super) fn form(self) -> &'static Form {
        match self {
            Self::Top => {
                &Form { name: "", shape: Shape::One, head: "", sample: "", required: None, doc: "the whole server" }
            }
            Self::Listener => &Form {
                name: "listener",
                shape: Shape::Listed,
                head: "[[listener]]",
                sample: "[[listener]]",
                required: Some("url"),
                doc: "A listener; one table for each. Its options can also be given in its URL.",
            },
            Self::Token => &Form {
                name: "tokens",
                shape: Shape::Named,
                head: "[tokens.NAME]",
                sample: "[tokens.alice]",
                required: Some("hash"),
                doc: "Whoever presents this token is called NAME; further connections at the same time are NAME.2 and so on. Make one: switchboard token new NAME",
            },
            Self::Group => &Form {
                name: "groups",
                shape: Shape::Named,
                head: "[groups.NAME]",
                sample: "[groups.staff]",
                required: None,
                doc: "Rights that several tokens share.",
            },
            Self::Anonymous => &Form {
                name: "anonymous",
                shape: Shape::One,
                head: "[anonymous]",
                sample: "[anonymous]",
                required: None,
                doc: "What everybody may do, even without a token.",
            },
            Self::Room => &Form {
                name: "rooms",
                shape: Shape::Named,
                head: "[rooms.\"GLOB\"]",
                sample: "[rooms.\"sensors.**\"]",
                required: None,
                doc: "Rooms by name or glob. One section applies to a room: the one with its name, else the glob with the most letters.",
            },
            Self::Jwt => &Form {
                name: "jwt",
                shape: Shape::Named,
                head: "[jwt.NAME]",
                sample: "[jwt.corp]",
                required: Some("issuer"),
                doc: "An issuer whose JSON Web Tokens are taken (docs/jwt.md).",
            },
            Self::Name => &NAMES,
            Self::Cluster => &cluster::FORM,
            Self::Ban => &ban::FORM,
            Self::Upstreams => &upstreams::FORM,
            Self::Callout => &Form {
                name: "callout",
                shape: Shape::One,
                head: "[callout]",
                sample: "[callout]",
                required: Some("url"),
                doc: "A program of yours that is asked whose a token is which nothing else in this file knows (docs/vouching.md).",
            },
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
