//! What a listener does with its connections: a file for each service, and a line in [`SERVICES`].

mod echo;
mod guard;
mod received;
mod rooms;

use crate::endpoint::{Address, HostPort, Options, Scheme};
use guard::{Guard, Origins};
use std::sync::Arc;
use switchboard::{Hub, Server, Timeouts};

/// Every service there is.
pub(crate) const SERVICES: &[Service] = &[echo::SERVICE, rooms::SERVICE];

/// One kind of service.
#[derive(Debug)]
pub(crate) struct Service {
    /// As typed in front of a URL.
    pub(crate) name: &'static str,
    /// Where it can be offered.
    pub(crate) schemes: &'static [Scheme],
    /// Reads the options of one listener. What is wrong with them, `options` remembers.
    pub(crate) parse: fn(&Address, &mut Options) -> Add,
}

/// What all listeners of the process share.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    /// Set for all; a listener may have others.
    pub(crate) timeouts: Timeouts,
    /// The longest frame.
    pub(crate) frame_bytes: usize,
    /// Every room there is, whichever listener its members came to.
    pub(crate) hub: Hub,
    /// Who has made some of them lately.
    pub(crate) makers: Arc<rooms::makers::Makers>,
}

/// Adds a listener to a server.
pub(crate) type Add = Box<dyn FnOnce(Server, &Shared) -> Server>;

/// Whom a listener for HTTP answers that does not speak TLS.
fn guard(options: &mut Options, address: &HostPort) -> Guard {
    let origins = options.value("origins", Origins::parse).unwrap_or_default();
    Guard { origins, loopback: address.is_loopback(), secure: false }
}
