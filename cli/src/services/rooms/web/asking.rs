//! Who asks, and whether it may, in the order in which a request is refused: what it shows, its name, its rights, and only then
//! whether there is such a room. So a room that one may not join looks the same whether it is there or not.
//!
//! The hub's doors ask the policy as well, whatever is asked here.

use super::super::commands::misnamed;
use super::{Listener, Web};
use crate::web::credential::Presented;
use std::sync::Arc;
use std::time::Duration;
use switchboard::grammar::{Authenticated, ErrorCode, Failure, Reply};
use switchboard::policy::{Claimant, Credentials, Principal, Refusal};
use switchboard::{Format, PeerAddr, Rights, RoomName, Session, UserName};

/// How long a policy may take to find out whose a token is.
const PATIENCE: Duration = Duration::from_secs(10);

impl Web {
    /// Whom a request shows to ask: nobody in particular, where there is no policy or nothing is shown.
    pub(super) async fn authenticate(&self, presented: Presented, peer: &PeerAddr) -> Result<Arc<Principal>, Failure> {
        let Some(policy) = self.listener.hub.policy() else { return Ok(Arc::default()) };
        let token = match presented {
            Presented::Nothing => return Ok(Arc::default()),
            Presented::Unusable => return Err(refused(Refusal::Wrong)),
            Presented::Token(token) => token,
        };
        let shown = policy.authenticate(Credentials::Token(token), Claimant::new(peer.clone()));
        let shown = tokio::time::timeout(PATIENCE, shown).await.unwrap_or(Err(Refusal::Unavailable));
        shown.map_err(refused)
    }

    /// Whether somebody may do this in a room, whether or not it is there.
    pub(super) fn may(&self, who: &Principal, room: &RoomName, right: Rights) -> Result<(), Failure> {
        let Some(policy) = self.listener.hub.policy() else { return Ok(()) };
        if policy.stands(who) && policy.rights(who, room).contains(right) { Ok(()) } else { Err(not_allowed()) }
    }

    /// What somebody is told that it may do in a room, under a policy.
    pub(super) fn told_rights(&self, who: &Principal, room: &RoomName) -> Option<Rights> {
        self.listener.hub.policy().map(|policy| policy.rights(who, room))
    }

    /// Whoever asks, without a connection in the hub.
    pub(super) fn session(&self, who: &Arc<Principal>, name: Option<UserName>) -> Result<Session, Failure> {
        let hub = &self.listener.hub;
        if who.is_anonymous() {
            return hub.session(name.unwrap_or_else(UserName::http), Format::Json).map_err(misnamed);
        }
        let session = hub.session(UserName::http(), Format::Json).map_err(misnamed)?;
        // Beside its own connections, which may have the name.
        session.authorize(Arc::clone(who));
        if let Some(name) = name {
            session.rename(name).map_err(misnamed)?;
        }
        Ok(session)
    }
}

/// Whether somebody may call itself so.
pub(super) fn may_be_called(listener: &Listener, who: &Principal, name: Option<&UserName>) -> Result<(), Failure> {
    let (Some(policy), Some(name)) = (listener.hub.policy(), name) else { return Ok(()) };
    if policy.may_be_called(who, name) {
        return Ok(());
    }
    Err(Failure::new(ErrorCode::NameReserved, format!("the name {name} belongs to somebody, who has to show a token")))
}

/// The answer to who one is.
pub(super) fn you(who: &Principal) -> Reply {
    let name = who.name().cloned().unwrap_or_else(UserName::http);
    let groups = who.in_groups().filter_map(|group| group.parse().ok()).collect();
    let authenticated = (!who.is_anonymous()).then(|| Authenticated { groups, expires: who.expires() });
    Reply::You { name, authenticated }
}

/// What is told of a token that is nobody's.
pub(in crate::services::rooms) fn refused(refusal: Refusal) -> Failure {
    let code = match refusal {
        Refusal::Expired => ErrorCode::TokenExpired,
        Refusal::Unavailable => ErrorCode::AuthUnavailable,
        _ => ErrorCode::NotAuthorized,
    };
    Failure::new(code, refusal.to_string())
}

fn not_allowed() -> Failure {
    Failure::new(ErrorCode::NotAllowed, "not allowed")
}

/// What whoever showed nothing is told: that showing something might help.
pub(super) fn for_nobody(failure: Failure) -> Failure {
    match failure.code {
        ErrorCode::NotAllowed => Failure::new(ErrorCode::NotAuthorized, "a token is needed for this"),
        _ => failure,
    }
}
