//! `switchboard cluster …`: looking at the log that nodes share, and giving all its rooms new epochs.

use crate::admin::shown::time;
use crate::args::Settings;
use crate::running::{Listening, Run};
use crate::serve::{self, NotStarted, keeping};
use crate::{load, print};
use anyhow::anyhow;
use clap::Subcommand;
use serde_json::json;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;
use switchboard::bytes::Bytes;
use switchboard::log::{NatsEngine, NatsNode, NatsOptions, NatsStatus};
use switchboard::{Escaped, Handle, Hub};

pub(crate) const HELP: &str = "\
The nats-servers are those of `serve`: --cluster, SWITCHBOARD_CLUSTER, or
`cluster` in the file, with the credentials there. Whoever has those may do
this; no node is asked, and nodes may run meanwhile. See docs/cluster.md.";

#[derive(Debug, Subcommand)]
pub(crate) enum ClusterAction {
    /// Say what the log has, and which nodes share it
    Status {
        /// Print it as JSON
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        place: ClusterPlace,
    },
    /// Give every room a new epoch, so that no id is used twice: after an older copy of the log was put back while no node ran
    NewEpochs {
        #[command(flatten)]
        place: ClusterPlace,
    },
}

/// Which nats-servers, and who asks.
#[derive(Debug, clap::Args)]
pub(crate) struct ClusterPlace {
    /// The nats-servers
    #[arg(long, value_name = "URL,…")]
    cluster: Option<String>,
    /// Who this is
    #[arg(long, value_name = "FILE")]
    cluster_credentials: Option<String>,
    /// Trust the certificates in this file instead of the system's
    #[arg(long, value_name = "FILE")]
    cluster_ca: Option<String>,
    /// The file that names them
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl ClusterPlace {
    fn options(self) -> Result<NatsOptions, NotStarted> {
        let Self { cluster, cluster_credentials, cluster_ca, config } = self;
        let settings = Settings { config, cluster, cluster_credentials, cluster_ca, ..Settings::default() };
        let config = load(settings)?;
        if config.cluster.servers.value.is_empty() {
            return Err(NotStarted::Start(anyhow!("there is no cluster: name its nats-servers with --cluster URL")));
        }
        keeping::options(&config)
    }
}

/// Does what was asked for.
pub(crate) fn run(action: ClusterAction) -> Result<(), NotStarted> {
    let runtime = serve::runtime().map_err(NotStarted::Start)?;
    match action {
        ClusterAction::Status { json, place } => {
            let options = place.options()?;
            let asked = async { NatsEngine::attach(options).await?.status().await };
            let status = runtime.block_on(asked).map_err(NotStarted::Cluster)?;
            print(if json { object(&status) } else { text(&status) })
        }
        ClusterAction::NewEpochs { place } => {
            let options = place.options()?;
            let asked = async { NatsEngine::attach(options).await?.new_epochs().await };
            let rooms = runtime.block_on(asked).map_err(NotStarted::Cluster)?;
            print(format!("{rooms} {} a new epoch\n", if rooms == 1 { "room has" } else { "rooms have" }))
        }
    }
}

fn object(status: &NatsStatus) -> String {
    let log = status.log.as_ref().map(|log| {
        json!({
            "storage": log.storage, "copies": log.copies, "leader": log.leader, "rooms": log.rooms,
            "envelopes": log.envelopes, "bytes": log.bytes,
        })
    });
    let node = |node: &NatsNode| {
        let account = node.account.as_deref().and_then(NodeAccount::read);
        let mut told = account.map_or_else(|| json!({ "host": null }), |account| json!(account));
        told["node"] = node.id.clone().into();
        told
    };
    let nodes: Vec<_> = status.nodes.iter().map(node).collect();
    let told = json!({ "server": status.server, "version": status.version, "log": log, "nodes": nodes });
    format!("{told}\n")
}

fn text(status: &NatsStatus) -> String {
    // What a server says of itself goes to a terminal.
    let shown = |text: &str| Escaped(text.as_bytes()).to_string();
    let mut lines = vec![format!("server    {}, nats-server {}", status.server, shown(&status.version))];
    lines.push(match &status.log {
        Some(log) => {
            let copies = if log.copies == 1 { "1 copy".to_owned() } else { format!("{} copies", log.copies) };
            let leader = log.leader.as_deref().map(|leader| format!(", {} leads", shown(leader))).unwrap_or_default();
            format!("log       {}, {copies}{leader}", shown(&log.storage))
        }
        None => "log       none: the first node makes it".to_owned(),
    });
    if let Some(log) = &status.log {
        lines.push(format!("rooms     {} ({} envelopes, {} bytes)", log.rooms, log.envelopes, log.bytes));
    }
    lines.push(format!("nodes     {}", status.nodes.len()));
    lines.extend(status.nodes.iter().map(|node| format!("          {}", line(&node.id, node.account.as_deref()))));
    lines.join("\n") + "\n"
}

/// A node, as people see it.
fn line(id: &str, account: Option<&[u8]>) -> String {
    let account = account.and_then(NodeAccount::read);
    let told = account.map_or_else(|| "does not answer".to_owned(), |account| account.to_string());
    // What a node says of itself goes to a terminal.
    Escaped(format!("{id}  {told}").as_bytes()).to_string()
}

/// Listeners of a node that are told; there are seldom more.
const MOST_LISTENERS: usize = 64;

/// A node, as it tells of itself and as whoever looks at the cluster reads it.
#[derive(Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct NodeAccount {
    host: String,
    version: String,
    uptime_seconds: u64,
    connections: usize,
    rooms: usize,
    listeners: Vec<String>,
}

impl NodeAccount {
    pub(crate) fn of(running: &Run, hub: &Hub, handle: &Handle) -> Self {
        let listeners = running.listeners().into_iter().take(MOST_LISTENERS);
        Self {
            host: host(),
            version: switchboard_load::VERSION.to_owned(),
            uptime_seconds: running.uptime().as_secs(),
            connections: handle.connections().len(),
            rooms: hub.metrics().rooms,
            listeners: listeners.map(|Listening { service, url }| format!("{service}={url}")).collect(),
        }
    }

    pub(crate) fn written(&self) -> Bytes {
        // Numbers and texts can always be written.
        serde_json::to_vec(self).unwrap_or_default().into()
    }

    fn read(account: &[u8]) -> Option<Self> {
        serde_json::from_slice(account).ok()
    }
}

impl fmt::Display for NodeAccount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, version, uptime_seconds, connections, rooms, listeners } = self;
        let up = time(Duration::from_secs(*uptime_seconds));
        let counted = |count: usize, one: &str| format!("{count} {one}{}", if count == 1 { "" } else { "s" });
        let (connections, rooms) = (counted(*connections, "connection"), counted(*rooms, "room"));
        write!(f, "{host}, {version}, up {up}, {connections}, {rooms}, {}", listeners.join(" "))
    }
}

/// What this machine calls itself.
fn host() -> String {
    let name = nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok());
    name.unwrap_or_else(|| "unknown".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_a_line_that_says_what_it_has_and_controls_no_terminal() {
        let account = NodeAccount {
            host: "a\u{1b}[2J".to_owned(),
            version: "0.1.0".to_owned(),
            uptime_seconds: 3723,
            connections: 1,
            rooms: 12,
            listeners: vec!["rooms=tcp://0.0.0.0:8081".to_owned(), "admin=http://127.0.0.1:8083".to_owned()],
        };
        let written = account.written();
        assert_eq!(NodeAccount::read(&written), Some(account));
        assert_eq!(
            line("00ff", Some(&written)),
            "00ff  a\\u{1b}[2J, 0.1.0, up 1h 2m, 1 connection, 12 rooms, rooms=tcp://0.0.0.0:8081 admin=http://127.0.0.1:8083"
        );
        for silent in [None, Some(&b"{\"host\":1}"[..]), Some(b"\xff")] {
            assert_eq!(line("00ff", silent), "00ff  does not answer");
        }
    }
}
