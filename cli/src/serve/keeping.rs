//! The data directory of a server: opened before anybody is served, and the end of the server if it cannot be relied on any more.

use super::NotStarted;
use crate::config::{Classes, Config};
use crate::policy::configured::FilePolicy;
use anyhow::anyhow;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use switchboard::log::{LogError, SqliteLog, SqliteOptions};
use switchboard::{Handle, Hub};
use tracing::error;

/// What rooms are kept in, if they are.
pub(super) fn open(config: &Config) -> Result<Option<Arc<SqliteLog>>, NotStarted> {
    let Some(directory) = &config.history.data.value else { return Ok(None) };
    let options = SqliteOptions { bytes: config.history.most_bytes.value as u64 };
    SqliteLog::open(directory, options).map(|log| Some(Arc::new(log))).map_err(NotStarted::Data)
}

/// All rooms, with those that are kept there.
pub(super) fn hub(
    config: &Config,
    policy: Option<Arc<FilePolicy>>,
    log: Option<Arc<SqliteLog>>,
) -> Result<Hub, NotStarted> {
    let rooms = config.rooms.clone();
    let classes = Classes::default().with(&rooms).unwrap_or_default();
    let mut builder = Hub::builder().room_options(move |name| rooms.options(name, &classes));
    if let Some(policy) = policy {
        builder = builder.policy(policy);
    }
    if let Some(log) = log {
        builder = builder.log(log);
    }
    builder.build().map_err(|error: LogError| NotStarted::Start(anyhow!("cannot read the data directory: {error}")))
}

/// Has the server drain once what it keeps cannot be relied on any more. Never returns: the server does.
pub(super) async fn drain_once_broken(log: Option<&SqliteLog>, handle: &Handle) -> Infallible {
    if let Some(log) = log {
        let reason = log.broken().await;
        error!(error = %reason, "draining, as the data directory cannot be relied on any more");
        handle.drain();
    }
    std::future::pending().await
}

/// Whether the end was one that nothing is wrong with. What was received is kept before, within the time that is `left`.
pub(super) async fn ended(log: Option<&SqliteLog>, hub: &Hub, left: Duration) -> Result<(), NotStarted> {
    let _ = tokio::time::timeout(left, hub.settled()).await;
    let reason = log.and_then(SqliteLog::is_broken);
    reason.map_or(Ok(()), |reason| Err(NotStarted::Start(anyhow!("the data directory failed: {reason}"))))
}
