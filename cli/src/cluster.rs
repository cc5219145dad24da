//! `switchboard cluster …`: looking at the log that nodes share, and giving all its rooms new epochs.

use crate::args::Settings;
use crate::serve::{self, NotStarted, keeping};
use crate::{load, print};
use anyhow::anyhow;
use clap::Subcommand;
use serde_json::json;
use std::path::PathBuf;
use switchboard::Escaped;
use switchboard::log::{NatsEngine, NatsOptions, NatsStatus};

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
    let told = json!({ "server": status.server, "version": status.version, "log": log, "nodes": status.nodes });
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
    lines.extend(status.nodes.iter().map(|node| format!("          {}", shown(node))));
    lines.join("\n") + "\n"
}
