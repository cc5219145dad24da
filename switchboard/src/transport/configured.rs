//! A listener with settings of its own besides its server's: its name, its connections' limits, and how fast they are
//! read.

use super::names::NumericAddress;
use super::{StreamTransport, Transport};
use crate::config::{Limits, Timeouts};
use crate::link::{Horizon, Proxies, Tuning};
use crate::transport::memory::Memory;
use std::io;
use std::sync::Arc;
use switchboard_proto::{IpNetwork, Rate};

/// A listener's own settings, in place of its server's.
#[derive(Debug, Clone, Default)]
pub(crate) struct OwnSettings {
    pub(crate) name: Option<String>,
    pub(crate) timeouts: Option<Timeouts>,
    pub(crate) limits: Option<Arc<Limits>>,
    /// How many frames are read from each connection.
    pub(crate) rate: Option<Rate>,
    pub(crate) proxies: Option<Proxies>,
    /// Whose requests say whose they are; none, if nobody's.
    pub(crate) forwarders: Option<Arc<[IpNetwork]>>,
    /// Of a group.
    pub(crate) horizon: Horizon,
    /// What of this can be changed while it runs.
    pub(crate) tuning: Option<Tuning>,
}

/// A transport whose listener has a [name](Transport::named), [limits](Transport::limited) of its own, a
/// [rate](Transport::throttled) at which it is read, or [proxies](Transport::behind) in front of it.
#[derive(Debug, Clone)]
pub struct Configured<T> {
    transport: T,
    own: OwnSettings,
}

impl<T: Transport> Configured<T> {
    pub(super) fn new(transport: T) -> Self {
        Self { transport, own: OwnSettings::default() }
    }

    pub(super) fn with_name(self, name: String) -> Self {
        Self { own: OwnSettings { name: Some(name), ..self.own }, ..self }
    }

    pub(super) fn with_limits(self, limits: Limits) -> Self {
        Self { own: OwnSettings { limits: Some(Arc::new(limits)), ..self.own }, ..self }
    }

    pub(super) fn with_rate(self, rate: Rate) -> Self {
        Self { own: OwnSettings { rate: Some(rate), ..self.own }, ..self }
    }

    pub(super) fn with_proxies(self, proxies: Option<Proxies>) -> Self {
        Self { own: OwnSettings { proxies, ..self.own }, ..self }
    }

    pub(super) fn with_tuning(self, tuning: Tuning) -> Self {
        Self { own: OwnSettings { tuning: Some(tuning), ..self.own }, ..self }
    }

    #[cfg(feature = "http")]
    pub(super) fn with_forwarders(self, forwarders: Arc<[IpNetwork]>) -> Self {
        let forwarders = Some(forwarders).filter(|networks| !networks.is_empty());
        Self { own: OwnSettings { forwarders, ..self.own }, ..self }
    }
}

impl<T: Transport> StreamTransport for Configured<T> {
    type Listener = T::Listener;

    fn url(&self) -> String {
        self.transport.url()
    }

    fn own(&self) -> OwnSettings {
        let (own, inner) = (self.own.clone(), self.transport.own());
        OwnSettings {
            name: own.name.or(inner.name),
            timeouts: inner.timeouts,
            limits: own.limits.or(inner.limits),
            rate: own.rate.or(inner.rate),
            proxies: own.proxies.or(inner.proxies),
            forwarders: own.forwarders.or(inner.forwarders),
            horizon: inner.horizon,
            tuning: own.tuning.or(inner.tuning),
        }
    }

    fn numeric_address(&self) -> Option<NumericAddress> {
        self.transport.numeric_address()
    }

    fn leave_ipv4(&mut self) {
        self.transport.leave_ipv4();
    }

    fn speaks(&mut self, protocols: &[&str]) {
        self.transport.speaks(protocols);
    }

    fn memory(&self) -> Option<Memory> {
        self.transport.memory()
    }

    async fn bind(self) -> io::Result<T::Listener> {
        self.transport.bind().await
    }
}
