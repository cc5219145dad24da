//! What the tables of a file mean together: who may do what, and what is set of which rooms.

use super::bans::{self, Bans};
use super::callout;
use super::file::{Block, Content, Entry};
use super::jwt;
use super::keys::Table;
use super::rooms::{FOREVER, MOST_RATE, RoomSettings, Rooms, presence};
use super::values::{Value, Wrong};
use crate::overflow;
use crate::policy::datagrams::KeyFault;
use crate::policy::rules::{
    AdminRight, AnonymousSection, At, Direct, Grant, GroupSection, NameSection, RoomSection, Rules, TokenSection,
};
use crate::policy::token::TokenHash;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::SystemTime;
use switchboard::rule::Who;
use switchboard::{Glob, GroupName, IpNetwork, RoomClass, UserName};
use switchboard_load::typed::did_you_mean;

/// Lines of rights that one person may have, its groups' among them: each is tried when it joins a room.
const MOST_GRANTS: usize = 64;

/// Sections of rooms: each is tried when somebody joins one.
const MOST_SECTIONS: usize = 1024;

/// Puts the tables together, and notes what is wrong with them.
pub(super) fn understand(content: &mut Content) -> (Rules, Rooms, Bans) {
    let mut sections = Sections { faults: Vec::new() };
    let groups = sections.groups(content.take(Table::Group));
    let known: BTreeMap<GroupName, usize> =
        groups.iter().map(|group| (group.name.clone(), group.grants.len())).collect();
    let tokens = sections.tokens(content.take(Table::Token), &known);
    let anonymous = content.take(Table::Anonymous).pop().map(|block| {
        let Granted { grants, direct, names, .. } = Granted::of(block.entries);
        let names: Vec<_> = names.into_iter().map(|Direct { at, names }| (at, names)).collect();
        for token in &tokens {
            if let Some((at, glob)) = names.iter().find(|(_, glob)| glob.matches(token.name.as_str(), None)) {
                let text =
                    format!("names: `{glob}` lets anybody be called {}, whose name is that of a token", token.name);
                sections.faults.push((*at, text));
            }
        }
        AnonymousSection { at: block.at, grants, direct, names: names.into_iter().map(|(_, glob)| glob).collect() }
    });
    let (sections_of_rooms, settings) = sections.rooms(content.take(Table::Room), &known);
    let jwt = jwt::sources(content.take(Table::Jwt), &mut sections.faults);
    let callout = callout::section(content.take(Table::Callout).pop(), &mut sections.faults);
    let bans = bans::understand(content.take(Table::Ban), &mut sections.faults);
    let names = sections.names(content.take(Table::Name), &known);
    let rules =
        Rules { tokens, groups, anonymous, sections: sections_of_rooms, jwt, callout, names, ..Rules::default() };
    content.faults.append(&mut sections.faults);
    content.faults.sort();
    (rules, Rooms::of(settings), bans)
}

struct Sections {
    faults: Vec<Wrong>,
}

/// What a token, a group and everybody may be given.
#[derive(Default)]
struct Granted {
    grants: Vec<Grant>,
    direct: Vec<Direct>,
    names: Vec<Direct>,
    hashes: Vec<TokenHash>,
    groups: Vec<(At, GroupName)>,
    expires: Option<SystemTime>,
    from: Vec<IpNetwork>,
    datagram_key: Option<(At, String)>,
    admin: Option<AdminRight>,
    uid: Option<(At, usize)>,
}

impl Granted {
    fn of(entries: Vec<Entry>) -> Self {
        let mut granted = Self::default();
        for entry in entries {
            match entry.value {
                Value::Grants(grants) => granted.grants = grants,
                Value::Names(names) if entry.key.name == "names" => granted.names = names,
                Value::Names(direct) => granted.direct = direct,
                Value::Hashes(hashes) => granted.hashes = hashes,
                Value::Groups(groups) => granted.groups = groups,
                Value::Time(expires) => granted.expires = Some(expires),
                Value::Networks(from) => granted.from = from,
                // The one text that there is of these tables.
                Value::Texts(mut texts) => granted.datagram_key = texts.pop(),
                // The only number of these tables, and the only word.
                Value::Number(number) => granted.uid = Some((entry.at, number)),
                Value::Word(word) => granted.admin = AdminRight::parse(&word),
                other => unreachable!("no key of these tables is {other:?}"),
            }
        }
        granted
    }
}

impl Sections {
    fn groups(&mut self, blocks: Vec<Block>) -> Vec<GroupSection> {
        let mut groups: Vec<GroupSection> = Vec::new();
        for block in blocks {
            let parsed = GroupName::parse(&block.name).map_err(|fault| fault.to_string());
            let Some(name) =
                self.name(Table::Group, &block, parsed, |name| groups.iter().any(|other| other.name == *name))
            else {
                continue;
            };
            let Granted { grants, direct, admin, .. } = Granted::of(block.entries);
            self.bound(block.at, grants.len());
            groups.push(GroupSection { at: block.at, name, grants, direct, admin });
        }
        groups
    }

    fn tokens(&mut self, blocks: Vec<Block>, known: &BTreeMap<GroupName, usize>) -> Vec<TokenSection> {
        let mut names: BTreeMap<UserName, At> = BTreeMap::new();
        let mut hashes: HashMap<TokenHash, UserName> = HashMap::new();
        let mut tokens = Vec::new();
        for block in blocks {
            let parsed = UserName::parse(&block.name).map_err(|fault| fault.to_string());
            let Some(name) = self.name(Table::Token, &block, parsed, |name| names.contains_key(name)) else { continue };
            let at = block.at;
            names.insert(name.clone(), at);
            if !block.has("hash") {
                self.faults
                    .push((at, format!("tokens.{name} has no `hash`; `switchboard token new {name}` makes one")));
            }
            let Granted { grants, direct, hashes: own, groups, expires, from, datagram_key, admin, .. } =
                Granted::of(block.entries);
            let datagram_key = datagram_key.and_then(|(at, text)| {
                text.parse().map_err(|fault: KeyFault| self.faults.push((at, format!("datagram-key: {fault}")))).ok()
            });
            for hash in &own {
                if let Some(other) = hashes.insert(*hash, name.clone()) {
                    self.faults.push((at, format!("tokens.{name} has a hash that tokens.{other} has")));
                }
            }
            let of_groups = groups.iter().filter_map(|(_, group)| known.get(group)).sum::<usize>();
            self.bound(at, grants.len() + of_groups);
            let groups = groups.into_iter().filter_map(|(at, group)| self.known(known, at, group)).collect();
            tokens.push(TokenSection {
                at,
                name,
                hashes: own,
                groups,
                grants,
                direct,
                expires,
                from,
                datagram_key,
                admin,
            });
        }
        for (name, at) in &names {
            let dots = name.as_str().match_indices('.').map(|(dot, _)| &name.as_str()[..dot]);
            let owner = dots.filter_map(|owner| UserName::parse(owner).ok()).find(|owner| names.contains_key(owner));
            if let Some(owner) = owner {
                let text = format!(
                    "tokens.\"{name}\": the name belongs to `{owner}`, whose further connections are called `{owner}.2` and so on"
                );
                self.faults.push((*at, text));
            }
        }
        tokens
    }

    fn names(&mut self, blocks: Vec<Block>, known: &BTreeMap<GroupName, usize>) -> Vec<NameSection> {
        let mut names: Vec<NameSection> = Vec::new();
        let mut total = 0;
        for block in blocks {
            let parsed = Glob::parse(&block.name).map_err(|fault| fault.to_string());
            let Some(glob) =
                self.name(Table::Name, &block, parsed, |glob| names.iter().any(|other| other.names == *glob))
            else {
                continue;
            };
            let at = block.at;
            if glob.has_name() {
                self.faults.push((at, format!("names.\"{glob}\": {{name}} is what it is to say")));
            }
            let Granted { grants, direct, groups, uid, .. } = Granted::of(block.entries);
            let uid = uid.and_then(|(at, number)| match u32::try_from(number) {
                Ok(uid) if UserName::parse(glob.as_str()).is_ok() => {
                    if names.iter().any(|other| other.uid == Some(uid)) {
                        self.faults.push((at, format!("uid = {uid} is somebody else's already")));
                    }
                    Some(uid)
                }
                Ok(_) => {
                    self.faults.push((at, format!("uid: names.\"{glob}\" is many names; a user has one")));
                    None
                }
                Err(_) => {
                    self.faults.push((at, format!("uid = {number} is no number of a user")));
                    None
                }
            });
            let of_groups = groups.iter().filter_map(|(_, group)| known.get(group)).sum::<usize>();
            total += grants.len() + of_groups;
            // A name may be in all of them.
            self.bound(at, total);
            let groups = groups.into_iter().filter_map(|(at, group)| self.known(known, at, group)).collect();
            names.push(NameSection { at, names: glob, groups, grants, direct, uid });
        }
        names
    }

    fn rooms(
        &mut self,
        blocks: Vec<Block>,
        known: &BTreeMap<GroupName, usize>,
    ) -> (Vec<RoomSection>, Vec<RoomSettings>) {
        let (mut sections, mut settings) = (Vec::<RoomSection>::new(), Vec::<RoomSettings>::new());
        if let Some(block) = blocks.get(MOST_SECTIONS) {
            self.faults.push((block.at, format!("more than {MOST_SECTIONS} sections for rooms")));
        }
        let mut seen = BTreeSet::new();
        let mut classes = BTreeSet::new();
        for block in blocks {
            let parsed = Glob::parse(&block.name).map_err(|fault| fault.to_string());
            let Some(glob) = self.name(Table::Room, &block, parsed, |glob| seen.contains(glob)) else { continue };
            seen.insert(glob.clone());
            let at = block.at;
            if glob.has_name() {
                let text = format!("rooms.\"{glob}\": `{{name}}` works only in the `rooms` of tokens and groups");
                self.faults.push((at, text));
                continue;
            }
            let mut section = RoomSection { at, rooms: glob.clone(), only: None, anyone: None, named: None };
            let mut own = RoomSettings::of(at, glob);
            for entry in block.entries {
                match (entry.key.name, entry.value) {
                    ("only", Value::People(people)) => section.only = Some((entry.at, self.people(known, people))),
                    ("anyone", Value::Rights(rights)) => section.anyone = Some((entry.at, rights)),
                    ("named", Value::Rights(rights)) => section.named = Some((entry.at, rights)),
                    ("kept", Value::Switch(is_kept)) => {
                        if is_kept && !own.glob.is_exact() {
                            let text = format!("kept: rooms.\"{}\" matches many rooms; name one", own.glob);
                            self.faults.push((entry.at, text));
                        }
                        own.kept = is_kept;
                    }
                    (key, value) => own.set(key, value).unwrap_or_else(|fault| self.faults.push((entry.at, fault))),
                }
            }
            if section.only.is_some() || section.anyone.is_some() || section.named.is_some() {
                sections.push(section);
            }
            if own.class.clone().is_some_and(|class| classes.insert(class) && classes.len() == RoomClass::MOST + 1) {
                self.faults.push((at, format!("more than {} classes of rooms", RoomClass::MOST)));
            }
            settings.push(own);
        }
        (sections, settings)
    }

    /// The name of a table, unless it is none, or one that is there already.
    fn name<T: std::fmt::Display>(
        &mut self,
        table: Table,
        block: &Block,
        parsed: Result<T, String>,
        is_taken: impl FnOnce(&T) -> bool,
    ) -> Option<T> {
        let shown = |fault: &str| format!("{}.\"{}\": {fault}", table.name(), block.name);
        match parsed {
            Ok(name) if is_taken(&name) => {
                self.faults.push((block.at, shown("it is there already (upper and lower case are the same)")));
                None
            }
            Ok(name) => Some(name),
            Err(fault) => {
                self.faults.push((block.at, shown(&fault)));
                None
            }
        }
    }

    /// A group, if it is one of the file.
    fn known(&mut self, known: &BTreeMap<GroupName, usize>, at: At, group: GroupName) -> Option<GroupName> {
        if known.contains_key(&group) {
            return Some(group);
        }
        let meant = did_you_mean(group.as_str(), known.keys().map(GroupName::as_str));
        self.faults.push((at, format!("there is no [groups.{group}]{meant}")));
        None
    }

    fn people(&mut self, known: &BTreeMap<GroupName, usize>, people: Vec<(At, Who)>) -> Vec<Who> {
        let people = people.into_iter().filter_map(|(at, who)| match who {
            Who::Group(group) => self.known(known, at, group).map(Who::Group),
            name @ Who::Name(_) => Some(name),
        });
        people.collect()
    }

    fn bound(&mut self, at: At, grants: usize) {
        if grants > MOST_GRANTS {
            let text = format!("{grants} lines of rights, including its groups'; at most {MOST_GRANTS} are allowed");
            self.faults.push((at, text));
        }
    }
}

impl RoomSettings {
    fn set(&mut self, key: &str, value: Value) -> Result<(), String> {
        match (key, value) {
            ("history-messages", Value::Number(messages)) => self.history_messages = Some(messages),
            ("history-bytes", Value::Number(bytes)) => self.history_bytes = Some(bytes),
            ("history-age", Value::Duration(age)) if age.is_zero() => {
                return Err("history-age: a room that keeps nothing has history-messages = 0".to_owned());
            }
            ("history-age", Value::Duration(age)) => self.history_age = Some(age),
            ("history-age", Value::None) => self.history_age = Some(FOREVER),
            ("durable", Value::Switch(is_durable)) => self.durable = Some(is_durable),
            ("overflow", Value::Word(word)) => self.overflow = overflow::parse(&word),
            ("presence", Value::Word(word)) => self.presence = presence(&word),
            ("members", Value::Number(members)) => self.members = Some(members),
            ("rate", Value::Number(rate)) => {
                let rate = u32::try_from(rate).ok().filter(|rate| *rate <= MOST_RATE);
                self.rate = Some(rate.ok_or_else(|| format!("rate: at most {MOST_RATE}, or off"))?);
            }
            ("frame", Value::Number(bytes)) => self.frame_bytes = Some(bytes),
            ("class", Value::Name(class)) => self.class = Some(class),
            // As without the key.
            (_, Value::None) => {}
            other => unreachable!("no key of a room's is {other:?}"),
        }
        Ok(())
    }
}
