//! Which other nodes rooms are shared with: the nats-servers that have their log, and how they are spoken to.

use super::history::History;
use super::layers::NONE;
use super::show::list;
use super::{Choice, Fault, SetBy, Setting, parse_path, quoted, show_path};
use std::path::PathBuf;
use switchboard::log::replica::ENVELOPE_PAYLOAD;
use switchboard::log::{NatsProfile, NatsServer};
use switchboard::{Glob, UserName};

/// The servers are tried in turn: more are a slip of the finger.
const MOST_SERVERS: usize = 64;

/// Each is tried with what this node publishes.
const MOST_GLOBS: usize = 64;

/// What is said of the cluster.
#[derive(Debug)]
pub(crate) struct Nodes {
    /// One of them at a time; none where there is no cluster.
    pub(crate) servers: Setting<Vec<NatsServer>>,
    pub(crate) profile: Setting<NatsProfile>,
    pub(crate) credentials: Setting<Option<PathBuf>>,
    pub(crate) ca: Setting<Option<PathBuf>>,
    /// Rooms that programs which are no nodes read.
    pub(crate) json: Setting<Vec<Glob>>,
    /// In whose name they publish, if they may.
    pub(crate) publish_as: Setting<Option<UserName>>,
}

impl Nodes {
    pub(super) fn choose(choice: &mut Choice) -> Self {
        let profile = |text: &str| text.parse().map_err(|_| "neither memory, nor file, nor durable".to_owned());
        Self {
            servers: choice.one("cluster", Vec::new(), parse_servers),
            profile: choice.one("cluster-profile", NatsProfile::default(), profile),
            credentials: choice.one("cluster-credentials", None, |text| parse_path(text, "a file", NONE)),
            ca: choice.one("cluster-ca", None, |text| parse_path(text, "a file", NONE)),
            json: choice.one("cluster-json", Vec::new(), parse_globs),
            publish_as: choice.one("cluster-publish-as", None, parse_publisher),
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
    pub(super) fn assignments(&self) -> [(&'static str, String, &SetBy); 6] {
        let path = |path: &Option<PathBuf>| quoted(&show_path(path.as_deref(), NONE));
        [
            ("cluster", list(self.servers.value.iter().map(ToString::to_string)), &self.servers.set_by),
            ("cluster-profile", quoted(&self.profile.value.to_string()), &self.profile.set_by),
            ("cluster-credentials", path(&self.credentials.value), &self.credentials.set_by),
            ("cluster-ca", path(&self.ca.value), &self.ca.set_by),
            ("cluster-json", list(self.json.value.iter().map(ToString::to_string)), &self.json.set_by),
            (
                "cluster-publish-as",
                quoted(self.publish_as.value.as_ref().map_or(NONE, UserName::as_str)),
                &self.publish_as.set_by,
            ),
        ]
    }
}

fn parse_globs(text: &str) -> Result<Vec<Glob>, String> {
    if text == NONE {
        return Ok(Vec::new());
    }
    let globs: Vec<_> = text.split(',').map(str::trim).collect();
    if globs.len() > MOST_GLOBS {
        return Err(format!("more than {MOST_GLOBS} globs"));
    }
    let parse = |glob: &str| match Glob::parse(glob) {
        Ok(glob) if glob.has_name() => {
            Err(format!("no list of globs of rooms: `{{name}}` in `{glob}` is nobody's name"))
        }
        Ok(glob) => Ok(glob),
        Err(error) => Err(format!("no list of globs of rooms: {error}")),
    };
    globs.into_iter().map(parse).collect()
}

fn parse_publisher(text: &str) -> Result<Option<UserName>, String> {
    match text {
        NONE => Ok(None),
        name => UserName::parse(name).map(Some).map_err(|error| format!("not a name, nor {NONE}: {error}")),
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
