//! What a listener does with its connections: a file for each service, and a line in [`SERVICES`].

mod echo;

use crate::endpoint::{Address, Options, Scheme};
use switchboard::{Server, Timeouts};

/// Every service there is.
pub(crate) const SERVICES: &[Service] = &[echo::SERVICE];

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

/// Adds a listener to a server, with the timeouts that were set for all.
pub(crate) type Add = Box<dyn FnOnce(Server, Timeouts) -> Server>;
