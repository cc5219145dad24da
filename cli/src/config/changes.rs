//! What another reading of the file changes: by a reload, or only by a restart.

use super::keys::{self, Live, Table};
use super::show::{ShownTable, tables};
use super::{Bans, Config, Rooms};
use crate::endpoint::Endpoint;
use crate::live::LiveOptions;
use crate::policy::rules::Rules;
use crate::proxies::InFront;
use crate::web::access::Detail;
use ring::digest;
use std::path::PathBuf;
use std::time::Duration;
use switchboard::{Certificates, ClientTrust, Limits, Timeouts};
use switchboard_load::typed::percent_decoded;

/// What a running server can be compared by, and what a reload puts in its place.
#[derive(Debug)]
pub(crate) struct InForce {
    settings: Vec<(&'static str, String)>,
    /// As `config print --json` tells it, and when each setting changes.
    pub(crate) told: serde_json::Value,
    pub(crate) listeners: Vec<InForceListener>,
    /// Who may do what, and what is set of rooms.
    pub(crate) tables: Vec<ShownTable>,
    pub(crate) log: String,
    pub(crate) grace: Duration,
    pub(crate) limits: Limits,
    pub(crate) timeouts: Timeouts,
    pub(crate) audit: Option<PathBuf>,
    pub(crate) access: (Detail, Option<PathBuf>),
    pub(crate) rules: Rules,
    pub(crate) rooms: Rooms,
    pub(crate) bans: Bans,
}

/// One listener of it.
#[derive(Debug)]
pub(crate) struct InForceListener {
    /// Service, scheme and place: another one is another listener.
    pub(crate) place: String,
    options: Vec<(String, Vec<u8>)>,
    pub(crate) certificates: Option<Certificates>,
    pub(crate) clients: Option<ClientTrust>,
    pub(crate) live: LiveOptions,
    pub(crate) in_front: InFront,
}

/// By their names.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Changes {
    pub(crate) live: Vec<String>,
    pub(crate) restart: Vec<String>,
}

impl InForce {
    pub(crate) fn of(config: &Config) -> Self {
        Self {
            settings: config.assignments().into_iter().map(|(name, value, _)| (name, value)).collect(),
            told: config.told(),
            listeners: config.listen.value.iter().map(InForceListener::of).collect(),
            tables: tables(&config.rules, &config.rooms),
            log: config.log.value.clone(),
            grace: config.grace.value,
            limits: config.limits(),
            timeouts: config.timeouts(),
            audit: config.audit.value.clone(),
            access: (config.access_log.value, config.access_log_file.value.clone()),
            rules: config.rules.clone(),
            rooms: config.rooms.clone(),
            bans: config.bans.clone(),
        }
    }

    /// What stands for all of it: 48 bits, which a metric takes exactly.
    pub(crate) fn hash(&self) -> u64 {
        // Without its secrets: whoever sees it could try those that are short.
        let tables: String = self.tables.iter().map(ShownTable::print).collect();
        let bans: Vec<_> = self.bans.values().collect();
        let listeners: Vec<_> = self.listeners.iter().map(|listener| (&listener.place, &listener.options)).collect();
        let all = format!("{:?}{listeners:?}{tables}{bans:?}", self.settings);
        let digest = digest::digest(&digest::SHA256, all.as_bytes());
        digest.as_ref().iter().take(6).fold(0, |hash, byte| hash << 8 | u64::from(*byte))
    }

    /// What is other in `next`.
    pub(crate) fn changes(&self, next: &Self) -> Changes {
        let mut changes = Changes::default();
        for key in keys::settings().filter(|key| key.name != "listen") {
            if self.setting(key.setting) != next.setting(key.setting) {
                changes.note(key.live, key.path());
            }
        }
        // A hub has a policy from the start, or everybody may do everything in its rooms.
        if self.rules.is_empty() != next.rules.is_empty() {
            changes.restart.push("whether there are any tokens or rights".to_owned());
        }
        let others = next.in_places(self.listeners.iter().map(|listener| listener.place.as_str()));
        for (listener, other) in self.listeners.iter().zip(&others) {
            match other {
                None => changes.restart.push(format!("{} (removed)", listener.place)),
                Some(other) => listener.compare(other, &mut changes),
            }
        }
        let is_new =
            |listener: &&InForceListener| !others.iter().flatten().any(|other| std::ptr::eq(*other, *listener));
        changes
            .restart
            .extend(next.listeners.iter().filter(is_new).map(|listener| format!("{} (added)", listener.place)));
        for (one, other) in [(self, next), (next, self)] {
            let changed = one.tables.iter().filter(|table| !other.tables.contains(table)).map(|table| &table.path);
            for path in changed {
                if !changes.live.contains(path) {
                    changes.live.push(path.clone());
                }
            }
        }
        let networks = self.bans.keys().chain(next.bans.keys().filter(|network| !self.bans.contains_key(network)));
        let changed = networks.filter(|network| self.bans.get(network) != next.bans.get(network));
        changes.live.extend(changed.map(|network| format!("ban {network}")));
        changes
    }

    fn setting(&self, name: &str) -> Option<&str> {
        self.settings.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_str())
    }

    /// For each of these places the listener that is in it, if there is one; each listener once.
    pub(crate) fn in_places<'a>(&self, places: impl Iterator<Item = &'a str>) -> Vec<Option<&InForceListener>> {
        let mut left: Vec<_> = self.listeners.iter().collect();
        let in_place = |place| left.iter().position(|listener| listener.place == place).map(|index| left.remove(index));
        places.map(in_place).collect()
    }
}

impl Changes {
    fn note(&mut self, live: Live, name: String) {
        match live {
            Live::Reload => self.live.push(name),
            Live::Restart => self.restart.push(name),
        }
    }
}

impl InForceListener {
    fn of(endpoint: &Endpoint) -> Self {
        let (place, query) = endpoint.typed.split_once('?').unwrap_or((&endpoint.typed, ""));
        let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        let pairs = pairs.map(|(name, value)| (name.to_owned(), percent_decoded(value).unwrap_or_default()));
        let mut options: Vec<_> = pairs.collect();
        // Certificates and their keys stay in their order.
        options.sort_by(|(one, _), (other, _)| one.cmp(other));
        let certificates = endpoint.address.certificates.clone();
        let in_front = endpoint.address.in_front.clone();
        let clients = endpoint.address.clients.as_ref().map(|clients| clients.trust.clone());
        Self { place: place.to_owned(), options, certificates, clients, live: endpoint.live.clone(), in_front }
    }

    /// Whether it was typed so.
    pub(crate) fn is(&self, typed: &str) -> bool {
        typed.split('?').next() == Some(&self.place)
    }

    /// What is set for an option, in its order.
    fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        self.options.iter().filter(move |(option, _)| option == name).map(|(_, value)| value.as_slice())
    }

    fn compare(&self, other: &Self, changes: &mut Changes) {
        for key in Table::Listener.keys() {
            if !self.values(key.name).eq(other.values(key.name)) {
                let live = match key.name {
                    // Over UDP the transport has it too.
                    "rate" if self.live.rate.is_none() => Live::Restart,
                    _ => key.live,
                };
                changes.note(live, format!("{} ({})", self.place, key.name));
            }
        }
    }
}
