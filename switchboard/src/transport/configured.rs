//! A listener with settings of its own besides its server's: its name, its connections' limits, and how fast they are
//! read.

use super::names::NumericAddress;
use super::{StreamTransport, Transport};
use crate::config::{Limits, Timeouts};
use crate::transport::memory::Memory;
use std::io;
use std::sync::Arc;
use switchboard_proto::Rate;

/// What a listener has in place of its server's settings.
#[derive(Debug, Clone, Default)]
pub(crate) struct OwnSettings {
    pub(crate) name: Option<String>,
    pub(crate) timeouts: Option<Timeouts>,
    pub(crate) limits: Option<Arc<Limits>>,
    /// Frames that are read of each connection.
    pub(crate) rate: Option<Rate>,
}

/// A transport whose listener has a [name](Transport::named), [limits](Transport::limited) of its own, or a
/// [rate](Transport::throttled) at which it is read.
#[derive(Debug, Clone)]
pub struct Configured<T> {
    transport: T,
    name: Option<String>,
    limits: Option<Arc<Limits>>,
    rate: Option<Rate>,
}

impl<T: Transport> Configured<T> {
    pub(super) fn new(transport: T) -> Self {
        Self { transport, name: None, limits: None, rate: None }
    }

    pub(super) fn with_name(self, name: String) -> Self {
        Self { name: Some(name), ..self }
    }

    pub(super) fn with_limits(self, limits: Limits) -> Self {
        Self { limits: Some(Arc::new(limits)), ..self }
    }

    pub(super) fn with_rate(self, rate: Rate) -> Self {
        Self { rate: Some(rate), ..self }
    }
}

impl<T: Transport> StreamTransport for Configured<T> {
    type Listener = T::Listener;

    fn url(&self) -> String {
        self.transport.url()
    }

    fn own(&self) -> OwnSettings {
        let own = self.transport.own();
        let (name, limits) = (self.name.clone().or(own.name), self.limits.clone().or(own.limits));
        OwnSettings { name, limits, timeouts: own.timeouts, rate: self.rate.or(own.rate) }
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
