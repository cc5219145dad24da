//! What new connections of a listener have, as its settings and its server's limits are by now.

use super::Serving;
use crate::config::Timeouts;
use crate::link::{ListenerSettings, Tuning};
use crate::metrics::DatagramCounts;
use crate::node::Node;
use crate::transport::configured::OwnSettings;
use parking_lot::Mutex;
use std::sync::Arc;

/// How a listener is told apart in logs and counts, and who can reach it.
pub(super) struct Located {
    pub(super) url: String,
    pub(super) transport: &'static str,
    pub(super) is_secure: bool,
    /// Only this machine can connect.
    pub(super) is_local: bool,
}

/// The settings of one listener.
pub(super) struct Current {
    node: Arc<Node>,
    own: OwnSettings,
    timeouts: Timeouts,
    is_local: bool,
    latest: Mutex<(Version, Arc<ListenerSettings>)>,
}

/// Of its own settings, and of its server's limits.
type Version = (usize, usize);

/// That nothing has.
const NONE: Version = (usize::MAX, usize::MAX);

impl Current {
    pub(super) fn new(own: OwnSettings, located: Located, serving: &Serving) -> Self {
        let Located { url, transport, is_secure, is_local } = located;
        let node = Arc::clone(&serving.node);
        let (server, name) = (node.limits(), own.name.clone().unwrap_or(url));
        let first = ListenerSettings {
            counts: node.metrics.listener(&name, transport, is_secure),
            name,
            is_secure,
            is_local,
            timeouts: own.timeouts.unwrap_or(serving.timeouts),
            occupancy: own.limits.is_some().then(Arc::default),
            limits: own.limits.clone().unwrap_or_else(|| Arc::clone(&server)),
            server,
            rate: own.rate,
            proxies: own.proxies.clone(),
            forwarders: own.forwarders.clone(),
            horizon: own.horizon,
            metrics: Arc::clone(&node.metrics),
            drain: node.stop.drain.clone(),
            told: node.stop.told.clone(),
        };
        // Of no version: what can be changed is looked at when the first one comes.
        let latest = Mutex::new((NONE, Arc::new(first)));
        Self { node, own, timeouts: serving.timeouts, is_local, latest }
    }

    /// As they are now.
    pub(super) fn now(&self) -> Arc<ListenerSettings> {
        let version = version(&self.own, &self.node);
        let mut latest = self.latest.lock();
        if latest.0 != version {
            let renewed = self.renewed(&latest.1);
            *latest = (version, Arc::new(renewed));
        }
        Arc::clone(&latest.1)
    }

    /// Where its datagrams count.
    pub(super) fn datagram_counts(&self) -> DatagramCounts {
        let now = self.now();
        DatagramCounts { metrics: Arc::clone(&now.metrics), listener: Arc::clone(&now.counts) }
    }

    /// Whether connections may come to begin with a PROXY header, if they do not yet.
    pub(super) fn may_have_proxies(&self) -> bool {
        self.own.proxies.is_some() || self.own.tuning.is_some()
    }

    fn renewed(&self, latest: &ListenerSettings) -> ListenerSettings {
        let mut settings = latest.clone();
        settings.server = self.node.limits();
        settings.limits = self.own.limits.clone().unwrap_or_else(|| Arc::clone(&settings.server));
        if let Some(tuning) = &self.own.tuning {
            let tuned = tuning.now();
            settings.timeouts = tuned.timeouts.or(self.own.timeouts).unwrap_or(self.timeouts);
            settings.proxies = tuned.proxies;
            settings.forwarders = Some(tuned.forwarded_from).filter(|networks| !networks.is_empty());
        }
        settings.is_local = self.is_local && settings.proxies.is_none() && settings.forwarders.is_none();
        settings
    }
}

/// Read before what it is of: whatever changes meanwhile is looked at again.
fn version(own: &OwnSettings, node: &Node) -> Version {
    (own.tuning.as_ref().map_or(0, Tuning::version), node.limits_version())
}
