//! Who asks to have a server changed, and that the audit tells of each such act.

use super::Clearance;
use crate::policy::audit::Audit;
use crate::policy::configured::FilePolicy;
use std::sync::Arc;
use switchboard::policy::{Claimant, Policy as _, Principal, Rights};
use switchboard::{PeerAddr, RoomName, UnixUser};

/// Whoever asks.
pub(super) struct Operator {
    pub(super) clearance: Clearance,
    /// Whom its token shows, if it has shown one.
    principal: Option<Arc<Principal>>,
    /// Whose process it is, over a Unix socket.
    user: Option<UnixUser>,
    peer: PeerAddr,
    audit: Arc<Audit>,
}

/// Somebody's token, which may be revoked while it is answered.
pub(super) struct Viewing {
    policy: Arc<FilePolicy>,
    principal: Arc<Principal>,
}

impl Viewing {
    /// Whether the token still lets its holder see.
    pub(super) fn may_view(&self) -> bool {
        self.policy.stands(&self.principal) && self.policy.admin(&self.principal).is_some()
    }
}

impl Operator {
    pub(super) fn of_socket(user: Option<UnixUser>, peer: PeerAddr, audit: &Arc<Audit>) -> Self {
        Self { clearance: Clearance::Act, principal: None, user, peer, audit: Arc::clone(audit) }
    }

    pub(super) fn unknown(peer: PeerAddr, audit: &Arc<Audit>) -> Self {
        Self { clearance: Clearance::Sums, principal: None, user: None, peer, audit: Arc::clone(audit) }
    }

    pub(super) fn shown(clearance: Clearance, principal: Arc<Principal>, peer: PeerAddr, audit: &Arc<Audit>) -> Self {
        Self { clearance, principal: Some(principal), user: None, peer, audit: Arc::clone(audit) }
    }

    /// What it takes to go on telling it, where a token gave it that.
    pub(super) fn viewing(&self, policy: Option<&Arc<FilePolicy>>) -> Option<Viewing> {
        let (policy, principal) = (Arc::clone(policy?), self.principal.clone()?);
        Some(Viewing { policy, principal })
    }

    pub(super) fn is_shown(&self) -> bool {
        self.principal.is_some()
    }

    /// Whether it looks after this room, though not after the server.
    pub(super) fn moderates(&self, policy: Option<&FilePolicy>, room: &RoomName) -> bool {
        let (Some(policy), Some(principal)) = (policy, &self.principal) else { return false };
        policy.rights(principal, room).contains(Rights::MODERATE)
    }

    /// It may not.
    pub(super) fn denied(&self) {
        if let Some(principal) = &self.principal {
            self.audit.denied(principal, &Claimant::new(self.peer.clone()), "admin", None);
        }
    }

    /// It has done something: what, and with what.
    pub(super) fn acted(&self, action: &str, arguments: &str) {
        let source = self.user.map(|user| format!("unix/{}", user.uid));
        self.audit.acted(self.principal.as_deref(), source, &self.peer, action, arguments);
    }
}
