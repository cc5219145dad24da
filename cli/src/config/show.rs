//! What was understood, as TOML again: for whoever reads `config print`, and to see what a reload changes.

use super::keys::{Shape, Table};
use super::rooms::{FOREVER, PRESENCE, RoomSettings};
use super::{Rooms, quoted};
use crate::overflow;
use crate::policy::callout::CalloutSection;
use crate::policy::jwt::section::{Audience, JwtSection, KeysFrom};
use crate::policy::rules::{Direct, Grant, GroupSection, RoomSection, Rules};
use switchboard::rule::Who;
use switchboard::{Ban, Rights};
use switchboard_load::typed::{show_duration, show_size, show_timeout};

/// What stands for a secret.
const HIDDEN: &str = "\"hidden\"";

/// A table of the file, its secrets among its values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ShownTable {
    table: Table,
    /// As it is named by those who speak of it: `tokens.alice`.
    pub(crate) path: String,
    values: Vec<(&'static str, String)>,
    /// What stands for files that it names: whether they are others is seen, and they are not shown.
    beside: Vec<String>,
}

impl ShownTable {
    /// As it would stand in a file, but for its secrets.
    pub(super) fn print(&self) -> String {
        let is_secret = |name: &str| self.table.keys().any(|key| key.secret && key.name == name);
        let shown = |(name, value): &(&'static str, String)| {
            format!("{name} = {}\n", if is_secret(name) { HIDDEN } else { value })
        };
        let is_listed = self.table.form().shape == Shape::Listed;
        let head = if is_listed { self.table.head().to_owned() } else { format!("[{}]", self.path) };
        format!("\n{head}\n{}", self.values.iter().map(shown).collect::<String>())
    }
}

impl ShownTable {
    pub(super) fn of_ban(ban: &Ban) -> Self {
        let mut values = vec![("network", quoted(&ban.network.to_string()))];
        values.extend(ban.until.map(|end| ("until", humantime::format_rfc3339_seconds(end).to_string())));
        values.extend((!ban.reason.is_empty()).then(|| ("reason", quoted(&ban.reason))));
        Self { table: Table::Ban, path: format!("ban {}", ban.network), values, beside: Vec::new() }
    }
}

/// All tables of who may do what and of rooms.
pub(super) fn tables(rules: &Rules, rooms: &Rooms) -> Vec<ShownTable> {
    let named = |table: Table, name: &str, values| ShownTable {
        table,
        path: format!("{}.{}", table.name(), key(name)),
        values,
        beside: Vec::new(),
    };
    let tokens = rules.tokens.iter().map(|token| {
        let mut values = vec![("hash", list(token.hashes.iter().map(ToString::to_string)))];
        values.extend(some("groups", list(token.groups.iter().map(|group| group.as_str().to_owned()))));
        values.extend(granted(&token.grants, &token.direct));
        values.extend(token.admin.map(|right| ("admin", quoted(right.word()))));
        values.extend(token.expires.map(|time| ("expires", humantime::format_rfc3339_seconds(time).to_string())));
        values.extend(some("from", list(token.from.iter().map(ToString::to_string))));
        // Never shown, and compared by a reload.
        values.extend(token.datagram_key.as_ref().map(|key| ("datagram-key", key.reveal())));
        named(Table::Token, token.name.as_str(), values)
    });
    let groups = rules.groups.iter().map(|group| named(Table::Group, group.name.as_str(), of_group(group)));
    let anonymous = rules.anonymous.iter().map(|anonymous| ShownTable {
        table: Table::Anonymous,
        path: Table::Anonymous.name().to_owned(),
        values: granted(&anonymous.grants, &anonymous.direct)
            .into_iter()
            .chain(some("names", list(anonymous.names.iter().map(ToString::to_string))))
            .collect(),
        beside: Vec::new(),
    });
    let rooms = rooms.sections().iter().map(|settings| {
        let section = rules.sections.iter().find(|section| section.rooms == settings.glob);
        let mut values = section.map(of_room).unwrap_or_default();
        values.extend(set(settings));
        named(Table::Room, settings.glob.as_str(), values)
    });
    let sources = rules.jwt.iter().map(|section| ShownTable {
        // What was kept of a URL is no word of the file.
        beside: section.read.marks().filter(|_| section.url().is_none()).chain(section.mark.clone()).collect(),
        ..named(Table::Jwt, &section.name, of_jwt(section))
    });
    let names = rules.names.iter().map(|section| {
        let mut values = Vec::new();
        values.extend(some("groups", list(section.groups.iter().map(|group| group.as_str().to_owned()))));
        values.extend(granted(&section.grants, &section.direct));
        values.extend(section.uid.map(|uid| ("uid", uid.to_string())));
        let users = rules.logins.iter().filter(|(_, name)| section.names.matches(name.as_str(), None));
        let beside = users.map(|(uid, name)| format!("{uid} {name}")).collect();
        ShownTable { beside, ..named(Table::Name, section.names.as_str(), values) }
    });
    let callout = rules.callout.iter().map(|section| ShownTable {
        table: Table::Callout,
        path: Table::Callout.name().to_owned(),
        values: of_callout(section),
        beside: section.mark.iter().cloned().collect(),
    });
    tokens.chain(groups).chain(anonymous).chain(rooms).chain(sources).chain(callout).chain(names).collect()
}

fn of_group(group: &GroupSection) -> Vec<(&'static str, String)> {
    let mut values = granted(&group.grants, &group.direct);
    values.extend(group.admin.map(|right| ("admin", quoted(right.word()))));
    values
}

fn granted(grants: &[Grant], direct: &[Direct]) -> Vec<(&'static str, String)> {
    let grants = grants
        .iter()
        .map(|Grant { rooms, rights: granted, .. }| format!("{} = {}", quoted(rooms.as_str()), rights(*granted)));
    let grants: Vec<_> = grants.collect();
    let rooms = (!grants.is_empty()).then(|| ("rooms", format!("{{ {} }}", grants.join(", "))));
    let direct = list(direct.iter().map(|direct| direct.names.as_str().to_owned()));
    rooms.into_iter().chain(some("direct", direct)).collect()
}

fn of_callout(section: &CalloutSection) -> Vec<(&'static str, String)> {
    let mut values = vec![("url", quoted(&section.url))];
    values.extend(section.secret.iter().map(|secret| ("secret", quoted(secret.expose()))));
    values.extend(section.ca.iter().map(|ca| ("ca", quoted(ca))));
    values.push(("names", list(section.names.iter().map(|glob| glob.as_str().to_owned()))));
    values
}

fn of_jwt(section: &JwtSection) -> Vec<(&'static str, String)> {
    let audience = match &section.audience {
        Audience::Any => quoted("any"),
        Audience::OneOf(audiences) => list(audiences.iter().cloned()),
    };
    let keys = match &section.keys {
        KeysFrom::Files(files) => list(files.iter().map(|(_, path)| path.clone())),
        KeysFrom::Url(_, url) => quoted(url),
    };
    let mut values = vec![
        ("issuer", quoted(&section.issuer)),
        ("audience", audience),
        ("algorithms", list(section.algorithms.iter().map(ToString::to_string))),
        ("keys", keys),
        ("name-claim", quoted(&section.name_claim)),
    ];
    let text = |name, text: &Option<String>| text.as_ref().map(|text| (name, quoted(text)));
    values.extend(text("keys-ca", &section.keys_ca));
    values.extend(text("strip-domain", &section.strip_domain));
    values.push(("names", list(section.names.iter().map(|glob| glob.as_str().to_owned()))));
    values.extend(text("groups-claim", &section.groups_claim));
    values.extend(text("rights-claim", &section.rights_claim));
    values.extend(section.admin.map(|right| ("admin", quoted(right.word()))));
    values.extend(text("typ", &section.typ));
    values.push(("max-age", quoted(&show_timeout(section.max_age))));
    values.push(("leeway", quoted(&show_duration(section.leeway))));
    values
}

fn of_room(section: &RoomSection) -> Vec<(&'static str, String)> {
    let mut values = Vec::new();
    values.extend(section.anyone.map(|(_, given)| ("anyone", rights(given))));
    values.extend(section.named.map(|(_, given)| ("named", rights(given))));
    let who = |who: &Who| match who {
        Who::Name(name) => name.to_string(),
        Who::Group(group) => format!("@{group}"),
    };
    values.extend(section.only.as_ref().map(|(_, people)| ("only", list(people.iter().map(who)))));
    values
}

fn set(settings: &RoomSettings) -> Vec<(&'static str, String)> {
    let mut values = Vec::new();
    values.extend(settings.history_messages.map(|messages| ("history-messages", messages.to_string())));
    values.extend(settings.history_bytes.map(|bytes| ("history-bytes", quoted(&show_size(bytes)))));
    let age = settings.history_age.map(|age| quoted(&show_timeout(Some(age).filter(|age| *age != FOREVER))));
    values.extend(age.map(|age| ("history-age", age)));
    values.extend(settings.durable.map(|is_durable| ("durable", is_durable.to_string())));
    values.extend(settings.overflow.map(|policy| ("overflow", quoted(overflow::word(policy)))));
    let presence = settings.presence.and_then(|presence| PRESENCE.into_iter().find(|(_, known)| *known == presence));
    values.extend(presence.map(|(word, _)| ("presence", quoted(word))));
    values.extend(settings.members.map(|members| ("members", members.to_string())));
    values.extend(settings.rate.map(|rate| ("rate", rate.to_string())));
    values.extend(settings.frame_bytes.map(|bytes| ("frame", quoted(&show_size(bytes)))));
    values.extend(settings.class.as_ref().map(|class| ("class", quoted(class.as_str()))));
    values.extend(settings.kept.then(|| ("kept", "true".to_owned())));
    values
}

fn rights(rights: Rights) -> String {
    list(rights.words().map(str::to_owned))
}

pub(super) fn list(texts: impl Iterator<Item = String>) -> String {
    format!("[{}]", texts.map(|text| quoted(&text)).collect::<Vec<_>>().join(", "))
}

/// A list, unless it is empty.
fn some(name: &'static str, list: String) -> Option<(&'static str, String)> {
    (list != "[]").then_some((name, list))
}

/// A key as TOML.
pub(super) fn key(name: &str) -> String {
    let is_bare = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
    if is_bare { name.to_owned() } else { quoted(name) }
}

/// A value of TOML as one of JSON; a date is a text.
pub(super) fn json(value: toml::Value) -> serde_json::Value {
    match value {
        toml::Value::Table(table) => table.into_iter().map(|(key, value)| (key, json(value))).collect(),
        toml::Value::Array(values) => values.into_iter().map(json).collect(),
        toml::Value::String(text) => text.into(),
        toml::Value::Integer(number) => number.into(),
        toml::Value::Float(number) => number.into(),
        toml::Value::Boolean(is_on) => is_on.into(),
        toml::Value::Datetime(date) => date.to_string().into(),
    }
}
