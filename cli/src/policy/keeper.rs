//! Keeps the keys fresh that sources of JWTs have at a URL: asks for them in time, puts what comes in force, and keeps it for a restart.
//!
//! An issuer that is down, or answers something else, changes nothing: the last good keys stay.

use super::configured::FilePolicy;
use super::jwt::asking::Attempt;
use super::jwt::keys::KeySet;
use super::jwt::source::JwtSource;
use super::kept;
use ring::rand::{SecureRandom as _, SystemRandom};
use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use switchboard::Hub;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};
use tracing::{error, info, warn};

/// Where nothing is due, it looks again after a while: it is woken by whatever makes something due.
const LONG: Duration = Duration::from_hours(1);

/// Keys that are older than this may not be those of today any more.
const OLD: Duration = Duration::from_hours(24);

/// What was fetched for a source.
struct Fetched {
    source: Arc<JwtSource>,
    /// The bytes, and the keys in them.
    keys: Result<(bytes::Bytes, KeySet), String>,
}

/// Fetches keys for as long as it is polled.
///
/// # Cancel safety
/// Safe: what is under way is dropped.
pub(crate) async fn keep_fresh(policy: &FilePolicy, hub: &Hub, state: Option<PathBuf>) -> Infallible {
    let mut under_way = JoinSet::new();
    loop {
        let sources = policy.fetching_sources();
        let now = Instant::now();
        for source in &sources {
            if source.asking().is_some_and(|asking| asking.begins(now)) {
                under_way.spawn(fetch(Arc::clone(source)));
            }
        }
        let due = sources.iter().filter_map(|source| source.asking()?.due()).min().unwrap_or(now + LONG);
        tokio::select! {
            () = sleep_until(due) => {}
            () = policy.keys_wanted() => {}
            Some(Ok(fetched)) = under_way.join_next() => take(policy, hub, state.clone(), fetched).await,
        }
    }
}

/// Fetches the keys of each source that has none, once, for whoever does not serve.
pub(crate) async fn fetch_missing(policy: &FilePolicy) {
    for source in policy.fetching_sources() {
        if source.has_keys() {
            continue;
        }
        match fetch(source).await {
            Fetched { source, keys: Ok((_, keys)) } => _ = policy.take_keys(&source, keys),
            Fetched { source, keys: Err(error) } => {
                error!(source = source.called(), error, "keys were not fetched");
            }
        }
    }
}

async fn fetch(source: Arc<JwtSource>) -> Fetched {
    let fetched = match &source.section.fetch.0 {
        Some(fetch) => fetch.fetch().await,
        None => Err("nothing to fetch".to_owned()),
    };
    let keys = fetched.and_then(|bytes| {
        let keys = KeySet::read(&bytes, &source.section.algorithms)?;
        Ok((bytes, keys))
    });
    Fetched { source, keys }
}

/// Puts what came in force, and everybody by it.
async fn take(policy: &FilePolicy, hub: &Hub, state: Option<PathBuf>, fetched: Fetched) {
    let Fetched { source, keys } = fetched;
    let (attempt, is_other) = match keys {
        Ok((bytes, keys)) => {
            let (count, notes) = (keys.len(), keys.notes.clone());
            let is_other = policy.take_keys(&source, keys);
            if is_other {
                info!(source = source.called(), keys = count, "keys were fetched");
                for note in notes {
                    warn!(source = source.called(), note, "a key is left out");
                }
                store(state, &source, bytes).await;
            }
            (Attempt::Answered, is_other)
        }
        Err(error) => {
            policy.audit.tally.unfetched(&source.section.name);
            let age = source.keys_age(SystemTime::now());
            let age_s = age.map(|age| age.as_secs());
            warn!(source = source.called(), error, age_s, "keys were not fetched");
            if age.is_some_and(|age| age > OLD) {
                error!(source = source.called(), age_s, "keys are older than a day");
            }
            (if source.has_keys() { Attempt::Failed } else { Attempt::FailedWithout }, false)
        }
    };
    if let Some(asking) = source.asking() {
        // Behind the keys: whoever waits for this looks for them.
        asking.ends(Instant::now(), attempt, random());
    }
    if is_other {
        hub.review().await;
    }
}

async fn store(state: Option<PathBuf>, source: &JwtSource, bytes: bytes::Bytes) {
    let (Some(folder), Some(url)) = (state, source.section.url().map(str::to_owned)) else { return };
    let name = source.section.name.clone();
    let stored =
        tokio::task::spawn_blocking(move || kept::store(&folder, &name, &url, &bytes, SystemTime::now())).await;
    if let Ok(Err(error)) = stored {
        warn!(source = source.called(), error = error.to_string(), "keys were not kept for a restart");
    }
}

/// Anything, if the system gives nothing.
fn random() -> u8 {
    let mut byte = [128];
    // Then all ask at the same distance.
    let _ = SystemRandom::new().fill(&mut byte);
    byte[0]
}

#[cfg(test)]
mod tests;
