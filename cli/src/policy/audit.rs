//! Who was let in, who was not, and what was denied: events for whoever looks after the server, and no secret in them.
//!
//! What anybody can cause without end is told at most ten times a second, and then how often it was not.

use super::jwt::fault::JwtFault;
use parking_lot::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use switchboard::policy::{Principal, Refusal};
use switchboard::{Bucket, PeerAddr, Rate, UserName};
use tokio::time::Instant;
use tracing::info;

/// Of all events, whatever file writes them.
pub(crate) const TARGET: &str = "switchboard::audit";

/// Events of one kind a second, and at once.
const MOST: (u32, u32) = (10, 10);

/// What is told, and how much of it lately.
#[derive(Debug)]
pub(crate) struct Audit {
    started: Instant,
    /// The number of the next event: a gap in them is one in the file.
    next: AtomicU64,
    authenticated: Mutex<Withheld>,
    refused: Mutex<Withheld>,
    denied: Mutex<Withheld>,
}

/// Why a token was not taken. Whoever shows it is told no more than it has to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    Unknown,
    Mistyped,
    /// It is somebody's, and may not come from there.
    Network,
    Expired,
    Jwt(JwtFault),
}

impl Refused {
    fn code(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Mistyped => "mistyped",
            Self::Network => "network",
            Self::Expired => "expired",
            Self::Jwt(fault) => fault.code(),
        }
    }

    pub(crate) fn refusal(self) -> Refusal {
        match self {
            Self::Expired | Self::Jwt(JwtFault::Expired) => Refusal::Expired,
            Self::Jwt(JwtFault::Unavailable) => Refusal::Unavailable,
            Self::Unknown | Self::Mistyped | Self::Network | Self::Jwt(_) => Refusal::Wrong,
        }
    }
}

/// Events that were not told since the last one.
#[derive(Debug, Default)]
struct Withheld {
    bucket: Bucket,
    count: u64,
}

impl Withheld {
    /// How many were withheld before this one; none if this one is too.
    fn take(&mut self, now: Duration) -> Option<u64> {
        let (per_second, burst) = MOST;
        if self.bucket.take(now, Rate::new(per_second, burst)).is_err() {
            self.count += 1;
            return None;
        }
        Some(std::mem::take(&mut self.count))
    }
}

impl Default for Audit {
    fn default() -> Self {
        let (next, authenticated, refused, denied) = Default::default();
        Self { started: Instant::now(), next, authenticated, refused, denied }
    }
}

impl Audit {
    fn seq(&self) -> u64 {
        // A number alone: it guards nothing.
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    /// A token was taken: a connection's, or a request's, of which there may be many.
    pub(crate) fn authenticated(&self, principal: &Principal, address: &PeerAddr) {
        if let Some(withheld) = self.authenticated.lock().take(self.started.elapsed()) {
            let (name, token) = (principal.name().map(UserName::as_str), principal.credential());
            info!(target: TARGET, seq = self.seq(), principal = name, token, peer.addr = %address, withheld, "authenticated");
        }
    }

    /// A token was not taken; `id` is what a well-formed one calls itself.
    pub(crate) fn refused(&self, refused: Refused, id: Option<&str>, address: &PeerAddr) {
        if let Some(withheld) = self.refused.lock().take(self.started.elapsed()) {
            info!(target: TARGET, seq = self.seq(), reason = refused.code(), token = id, peer.addr = %address, withheld, "refused");
        }
    }

    /// Something was asked for that its principal may not do.
    pub(crate) fn denied(&self, principal: &Principal, address: &PeerAddr, action: &str) {
        if let Some(withheld) = self.denied.lock().take(self.started.elapsed()) {
            let (name, token) = (principal.name().map(UserName::as_str), principal.credential());
            info!(target: TARGET, seq = self.seq(), principal = name, token, peer.addr = %address, action, withheld, "denied");
        }
    }

    /// A token is not in the file any more.
    pub(crate) fn revoked(&self, name: &UserName, token: &str) {
        info!(target: TARGET, seq = self.seq(), principal = name.as_str(), token, "revoked");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_without_end_is_told_ten_times_a_second() {
        let mut withheld = Withheld::default();
        let at = Duration::from_millis;
        let told = (0..1000).filter(|_| withheld.take(at(0)).is_some()).count();
        assert_eq!(told, 10);
        assert_eq!(withheld.take(at(100)), Some(990));
        assert_eq!(withheld.take(at(100)), None);
        assert_eq!(withheld.take(at(200)), Some(1));
    }
}
