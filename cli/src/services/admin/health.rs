//! Whether it works, and whether it is to be sent connections: what balancers, containers and people ask.

use super::{TEXT, object, text};
use crate::policy::configured::FilePolicy;
use crate::running::Run;
use crate::services::Shared;
use crate::web::answer;
use bytes::Bytes;
use http::{Method, StatusCode};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use switchboard::{Handle, Hub};

/// A worker sweeps once a second. One that has not for so long is held by a handler.
const HELD: Duration = Duration::from_secs(5);

/// Above so many hundredths of a limit it is told that it is near.
const NEAR: u128 = 90;

/// Which workers are held up.
pub(crate) fn held(handle: &Handle) -> Vec<usize> {
    let workers = handle.workers();
    workers.iter().enumerate().filter(|(_, worker)| worker.swept > HELD).map(|(index, _)| index).collect()
}

/// Whether it is to be sent connections.
#[derive(Debug)]
pub(crate) struct Readiness {
    checks: [(&'static str, bool); 7],
    near: Vec<&'static str>,
    /// Sources of tokens that could not fetch any keys yet.
    without_keys: Vec<String>,
}

impl Readiness {
    pub(super) fn now(running: &Run, handle: &Handle, hub: &Hub, policy: Option<&FilePolicy>) -> Self {
        let without_keys = policy.map(FilePolicy::without_keys).unwrap_or_default();
        let (limits, rooms) = (running.limits(), hub.metrics());
        let near = [
            ("connections", handle.connections().len(), limits.connections),
            ("memory", handle.memory_bytes(), limits.memory_bytes),
            ("rooms", rooms.rooms, rooms.rooms_limit),
        ];
        let near = near.into_iter().filter(|(_, used, limit)| is_near(*used, *limit));
        Self {
            checks: [
                ("started", running.is_serving()),
                ("not-draining", !handle.is_draining()),
                ("not-put-aside", running.is_wanted()),
                ("workers", held(handle).is_empty()),
                ("keys", without_keys.is_empty()),
                ("data", running.kept().is_none_or(|log| log.cluster().is_some() || log.health().is_ok())),
                ("cluster", running.kept().is_none_or(|log| log.cluster().is_none() || log.health().is_ok())),
            ],
            near: near.map(|(name, ..)| name).collect(),
            without_keys,
        }
    }

    pub(super) fn is_ready(&self) -> bool {
        self.checks.iter().all(|(_, is_passed)| *is_passed)
    }

    /// So much is said of it, with a status for probes.
    pub(super) fn answer(&self, told: &Value) -> http::Response<Bytes> {
        let mut response = object(told);
        if !self.is_ready() {
            *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
        }
        response
    }

    /// For whoever asks why. A limit that is near makes nothing unready: who takes a full node out fills the next one.
    pub(super) fn told(&self) -> Value {
        let checks: serde_json::Map<_, _> =
            self.checks.iter().map(|(name, is_passed)| ((*name).to_owned(), json!(is_passed))).collect();
        json!({ "ready": self.is_ready(), "checks": checks, "near": self.near, "without-keys": self.without_keys })
    }
}

/// Whether no worker is held, for a probe.
pub(super) fn healthy(handle: &Handle) -> http::Response<Bytes> {
    let held = held(handle);
    let mut response = if held.is_empty() {
        text(answer::head(TEXT), "ok\n")
    } else {
        text(answer::head(TEXT), format!("held workers: {held:?}\n"))
    };
    if !held.is_empty() {
        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    }
    response
}

/// The same of a server, for listeners of other services: whether it works, and whether it wants connections; not why.
pub(crate) struct Health {
    running: Arc<Run>,
    handle: Handle,
    hub: Hub,
    policy: Option<Arc<FilePolicy>>,
}

impl Health {
    pub(crate) fn of(shared: &Shared, handle: Handle) -> Self {
        Self { running: Arc::clone(&shared.running), handle, hub: shared.hub.clone(), policy: shared.policy.clone() }
    }

    /// What a probe is told, if it is one.
    pub(crate) fn answer(&self, method: &Method, path: &str) -> Option<http::Response<Bytes>> {
        if ![Method::GET, Method::HEAD].contains(method) {
            return None;
        }
        match path {
            "/healthz" => Some(healthy(&self.handle)),
            "/readyz" => {
                let readiness = Readiness::now(&self.running, &self.handle, &self.hub, self.policy.as_deref());
                Some(readiness.answer(&json!({ "ready": readiness.is_ready() })))
            }
            _ => None,
        }
    }
}

/// Whether so much of a limit is used that it is told.
fn is_near(used: usize, limit: usize) -> bool {
    used as u128 * 100 > limit as u128 * NEAR
}

#[cfg(test)]
mod tests {
    use super::is_near;

    #[test]
    fn a_limit_is_near_above_nine_tenths_of_it_however_small_it_is() {
        for (used, limit, expected) in [
            (9, 10, false),
            (10, 10, true),
            (90, 100, false),
            (91, 100, true),
            (901, 1000, true),
            (4500, 5000, false),
            (4501, 5000, true),
            (0, 0, false),
            (usize::MAX / 2, usize::MAX, false),
            (usize::MAX, usize::MAX, true),
        ] {
            assert_eq!(is_near(used, limit), expected, "{used} of {limit}");
        }
    }
}
