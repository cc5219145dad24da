//! A listener with settings of its own beside its server's: what it is called, and what its connections hold.

use super::names::NumericAddress;
use super::{StreamTransport, Transport};
use crate::config::{Limits, Timeouts};
use crate::transport::memory::Memory;
use std::io;
use std::sync::Arc;

/// What a listener has in place of its server's settings.
#[derive(Debug, Clone, Default)]
pub(crate) struct OwnSettings {
    pub(crate) name: Option<String>,
    pub(crate) timeouts: Option<Timeouts>,
    pub(crate) limits: Option<Arc<Limits>>,
}

/// A transport whose listener is [called](Transport::named) something, or has [limits](Transport::limited) of its own.
#[derive(Debug, Clone)]
pub struct Configured<T> {
    transport: T,
    name: Option<String>,
    limits: Option<Arc<Limits>>,
}

impl<T: Transport> Configured<T> {
    pub(super) fn new(transport: T) -> Self {
        Self { transport, name: None, limits: None }
    }

    pub(super) fn with_name(self, name: String) -> Self {
        Self { name: Some(name), ..self }
    }

    pub(super) fn with_limits(self, limits: Limits) -> Self {
        Self { limits: Some(Arc::new(limits)), ..self }
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
        OwnSettings { name, limits, timeouts: own.timeouts }
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
