//! Requests that proxies hand on from where nobody may come: their connection is the proxy's, which may.

use super::audit::Audit;
use std::sync::Arc;
use switchboard::grammar::{ErrorCode, Failure};
use switchboard::{Handle, PeerAddr};

/// The server's bans, for whoever answers requests.
#[derive(Debug, Clone)]
pub(crate) struct Banned {
    handle: Handle,
    audit: Arc<Audit>,
}

impl Banned {
    pub(crate) fn new(handle: Handle, audit: Arc<Audit>) -> Self {
        Self { handle, audit }
    }

    /// Whether a request from there is answered at all.
    pub(crate) fn admit(&self, client: &PeerAddr) -> Result<(), Failure> {
        let Some(ban) = client.ip().and_then(|address| self.handle.ban_of(address.ip())) else { return Ok(()) };
        self.audit.banned(&ban, client);
        Err(Failure::new(ErrorCode::Banned, "this server takes nothing from your address"))
    }
}
