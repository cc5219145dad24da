//! What rooms are kept by: a data directory, or the log that several nodes share. Opened before anybody is served, and the end of the server if a
//! directory cannot be relied on any more.

use super::NotStarted;
use crate::cluster::NodeAccount;
use crate::config::{Classes, Config, Nodes};
use crate::policy::configured::FilePolicy;
use crate::running::{KeptIn, Run};
use crate::services::{Shared, publish_as};
use anyhow::anyhow;
use std::convert::Infallible;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use switchboard::log::replica::{HistoryBounds, ReplicatedLog, ReplicatedOptions};
use switchboard::log::{LogError, NatsCredentials, NatsEngine, NatsOptions, NatsRetention, SqliteLog, SqliteOptions};
use switchboard::{Bound, Handle as ServerHandle, Hub, Server, Trust, UserName};
use tokio::runtime::Handle;
use tracing::{error, info, warn};

/// Rooms that are looked at together, of those that are there from the start.
const ROOMS_AT_ONCE: usize = 100;

/// How long a start waits for names of its own to give.
const NAMES_PATIENCE: Duration = Duration::from_secs(5);

/// What rooms are kept in, if they are.
pub(super) async fn open(config: &Config) -> Result<Option<KeptIn>, NotStarted> {
    if !config.cluster.servers.value.is_empty() {
        let engine = NatsEngine::open(options(config)?).await.map_err(NotStarted::Cluster)?;
        let engine = Arc::new(engine);
        let history = HistoryBounds { messages: config.rooms.most_messages(), ..ReplicatedOptions::default().history };
        let log = ReplicatedLog::new(Arc::clone(&engine) as _, ReplicatedOptions { history }, engine.runtime());
        let nodes = Arc::new(switchboard::cluster::Cluster::new(Arc::clone(&engine) as _));
        info!(node = %nodes.id(), "joined the cluster");
        return Ok(Some(KeptIn::Cluster { engine, log: Arc::new(log), nodes }));
    }
    let Some(directory) = &config.history.data.value else { return Ok(None) };
    let options = SqliteOptions { bytes: config.history.most_bytes.value as u64 };
    let log = SqliteLog::open(directory, options).map_err(NotStarted::Data)?;
    Ok(Some(KeptIn::Data(Arc::new(log))))
}

/// How the nats-servers are spoken to, and what is made of a stream that is not there.
pub(crate) fn options(config: &Config) -> Result<NatsOptions, NotStarted> {
    let Nodes { servers, profile, credentials, ca, json, .. } = &config.cluster;
    let unusable = |what: &str, path: &Path, fault: String| {
        NotStarted::Start(anyhow!("{what}: {} {fault}", switchboard::Escaped(path.as_os_str().as_encoded_bytes())))
    };
    let credentials = match &credentials.value {
        Some(path) => {
            let read = NatsCredentials::file(path);
            read.map_err(|error| unusable("cluster-credentials", path, error.to_string()))?
        }
        None => NatsCredentials::None,
    };
    let trust = match &ca.value {
        Some(path) => Some(Trust::file(path).map_err(|error| unusable("cluster-ca", path, error.to_string()))?),
        None => None,
    };
    // Each envelope has a message at least, and the last one tells where the room is.
    let envelopes = config.rooms.most_messages().max(1) as u64;
    let retention = NatsRetention { envelopes, ..NatsRetention::default() };
    Ok(NatsOptions {
        credentials,
        trust,
        profile: profile.value,
        retention,
        plain_rooms: json.value.clone(),
        ..NatsOptions::new(servers.value.iter().cloned())
    })
}

/// All rooms, with those that are kept there.
pub(super) fn hub(config: &Config, policy: Option<Arc<FilePolicy>>, kept: Option<&KeptIn>) -> Result<Hub, NotStarted> {
    let rooms = config.rooms.clone();
    let classes = Classes::default().with(&rooms).unwrap_or_default();
    let mut builder = Hub::builder().room_options(move |name| rooms.options(name, &classes));
    if let Some(policy) = policy {
        builder = builder.policy(policy);
    }
    if let Some(kept) = kept {
        builder = builder.log(kept.log());
    }
    let nodes = kept.and_then(KeptIn::nodes);
    if let Some(nodes) = nodes {
        builder = builder.elsewhere(nodes.elsewhere());
    }
    let unread = |error: LogError| NotStarted::Start(anyhow!("cannot read the data directory: {error}"));
    let hub = builder.build().map_err(unread)?;
    if let Some(nodes) = nodes {
        nodes.serve(&hub, &Handle::current());
    }
    Ok(hub)
}

/// Listens, and waits for what other nodes have published in the rooms that are there from the start.
pub(super) async fn bound(server: Server, shared: &Shared) -> Result<Bound, NotStarted> {
    let bound = server.bind().await.map_err(NotStarted::Bind)?;
    introduce(&shared.running, &shared.hub, &bound.handle());
    names_are_given(shared.running.kept()).await;
    rooms_are_there(&shared.hub).await;
    Ok(bound)
}

/// Has this node say what it is to whoever looks at the cluster.
fn introduce(running: &Arc<Run>, hub: &Hub, handle: &ServerHandle) {
    let Some(nodes) = running.kept().and_then(KeptIn::nodes) else { return };
    // It has the nodes itself.
    let (running, hub, handle) = (Arc::downgrade(running), hub.clone(), handle.clone());
    nodes.introduce(move || {
        let account = running.upgrade().map(|running| NodeAccount::of(&running, &hub, &handle));
        account.map(|account| account.written()).unwrap_or_default()
    });
}

/// Waits until this node may give names, though not for long: without, guests have high numbers.
async fn names_are_given(kept: Option<&KeptIn>) {
    if let Some(nodes) = kept.and_then(KeptIn::nodes)
        && tokio::time::timeout(NAMES_PATIENCE, nodes.ready()).await.is_err()
    {
        warn!("names cannot be given yet: the nats-server does not keep them");
    }
}

#[expect(clippy::disallowed_methods, reason = "nobody asks: these rooms are the program's own")]
async fn rooms_are_there(hub: &Hub) {
    if !hub.is_shared() {
        return;
    }
    let mut behind = None;
    loop {
        let list = hub.rooms(behind.as_ref(), ROOMS_AT_ONCE);
        for room in list.rooms.iter().filter_map(|summary| hub.find(&summary.name)) {
            if let Err(error) = room.opened(None).await {
                warn!(room = %room.name(), error = %error, "a room is not there yet");
            }
        }
        behind = list.next;
        if behind.is_none() {
            return;
        }
    }
}

/// What goes on beside serving: what programs that are no nodes ask for is published, and the server drains once what it keeps cannot be relied on
/// any more. Never returns: the server does.
pub(super) async fn keep_on(name: Option<UserName>, shared: &Shared, handle: &ServerHandle) -> Infallible {
    tokio::select! {
        never = drain_once_broken(shared.running.kept(), handle) => never,
        never = publish_as(name, shared, handle) => never,
    }
}

async fn drain_once_broken(kept: Option<&KeptIn>, handle: &ServerHandle) -> Infallible {
    if let Some(log) = kept.and_then(KeptIn::data) {
        let reason = log.broken().await;
        error!(error = %reason, "draining, as the data directory cannot be relied on any more");
        handle.drain();
    }
    std::future::pending().await
}

/// Whether the end was one that nothing is wrong with. What was received is kept before, within the time that is `left`.
pub(super) async fn ended(kept: Option<&KeptIn>, hub: &Hub, left: Duration) -> Result<(), NotStarted> {
    let _ = tokio::time::timeout(left, hub.settled()).await;
    if let Some(nodes) = kept.and_then(KeptIn::nodes) {
        nodes.leave();
    }
    // What was said last is written, whoever has the engine still.
    kept.and_then(KeptIn::cluster).iter().for_each(|engine| engine.close());
    let reason = kept.and_then(KeptIn::data).and_then(SqliteLog::is_broken);
    reason.map_or(Ok(()), |reason| Err(NotStarted::Start(anyhow!("the data directory failed: {reason}"))))
}
