//! Which other nodes rooms are shared with: the nats-servers that have their log, and how they are spoken to.

use super::history::History;
use super::layers::NONE;
use super::show::list;
use super::{Choice, Fault, SetBy, Setting, parse_path, quoted, show_path};
use std::path::PathBuf;
use switchboard::log::replica::ENVELOPE_PAYLOAD;
use switchboard::log::{NatsProfile, NatsServer};

/// The servers are tried in turn: more are a slip of the finger.
const MOST_SERVERS: usize = 64;

/// What is said of the cluster.
#[derive(Debug)]
pub(crate) struct Nodes {
    /// One of them at a time; none where there is no cluster.
    pub(crate) servers: Setting<Vec<NatsServer>>,
    pub(crate) profile: Setting<NatsProfile>,
    pub(crate) credentials: Setting<Option<PathBuf>>,
    pub(crate) ca: Setting<Option<PathBuf>>,
}

impl Nodes {
    pub(super) fn choose(choice: &mut Choice) -> Self {
        let profile = |text: &str| text.parse().map_err(|_| "neither memory, nor file, nor durable".to_owned());
        Self {
            servers: choice.one("cluster", Vec::new(), parse_servers),
            profile: choice.one("cluster-profile", NatsProfile::default(), profile),
            credentials: choice.one("cluster-credentials", None, |text| parse_path(text, "a file", NONE)),
            ca: choice.one("cluster-ca", None, |text| parse_path(text, "a file", NONE)),
        }
    }

    /// What is wrong with it where rooms are kept in a directory.
    pub(super) fn beside(&self, history: &History) -> Option<Fault> {
        let is_both = !self.servers.value.is_empty() && history.data.value.is_some();
        let text = "rooms of a cluster are kept by its nats-servers, so there can be no data directory beside it";
        is_both.then(|| Fault::new(self.servers.set_by.clone(), text.to_owned()))
    }

    /// What is wrong with it where frames may be as long as that: a message that fits no envelope could never be kept.
    pub(super) fn carries(&self, frame_bytes: &Setting<usize>) -> Option<Fault> {
        let is_too_long = !self.servers.value.is_empty() && frame_bytes.value > ENVELOPE_PAYLOAD;
        let text = format!("where there is a cluster, a message has at most {ENVELOPE_PAYLOAD} bytes");
        is_too_long.then(|| Fault::new(frame_bytes.set_by.clone(), text))
    }

    /// Each setting as TOML, and where it came from.
    pub(super) fn assignments(&self) -> [(&'static str, String, &SetBy); 4] {
        let path = |path: &Option<PathBuf>| quoted(&show_path(path.as_deref(), NONE));
        [
            ("cluster", list(self.servers.value.iter().map(ToString::to_string)), &self.servers.set_by),
            ("cluster-profile", quoted(&self.profile.value.to_string()), &self.profile.set_by),
            ("cluster-credentials", path(&self.credentials.value), &self.credentials.set_by),
            ("cluster-ca", path(&self.ca.value), &self.ca.set_by),
        ]
    }
}

fn parse_servers(text: &str) -> Result<Vec<NatsServer>, String> {
    if text == NONE {
        return Ok(Vec::new());
    }
    let servers: Result<Vec<NatsServer>, _> = text.split(',').map(|server| server.trim().parse()).collect();
    match servers {
        Ok(servers) if servers.len() > MOST_SERVERS => Err(format!("more than {MOST_SERVERS} servers")),
        Ok(servers) => Ok(servers),
        Err(error) => Err(format!("no list of nats-servers: {error}")),
    }
}
