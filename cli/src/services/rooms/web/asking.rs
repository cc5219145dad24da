//! Who asks, and whether it may, in the order in which a request is refused: what it shows, its name, its rights, and only then
//! whether there is such a room. So a room that one may not join looks the same whether it is there or not.
//!
//! The hub's doors ask the policy as well, whatever is asked here.

use super::super::commands::misnamed;
use super::super::credentials::{self, Admission, authenticate, is_nobody, unshown};
use super::Web;
use crate::web::credential::Presented;
use std::sync::Arc;
use switchboard::grammar::{ErrorCode, Failure, Reply};
use switchboard::policy::{Principal, Refusal};
use switchboard::{Format, PeerAddr, Session, UserName};

impl Web {
    /// Whom a request shows to ask: nobody in particular, where there is no policy or nothing is shown.
    pub(super) async fn authenticate(&self, presented: Presented, peer: &PeerAddr) -> Result<Arc<Principal>, Failure> {
        let Some(policy) = self.listener.hub.policy() else { return Ok(Arc::default()) };
        let token = match presented {
            Presented::Nothing => return Ok(Arc::default()),
            Presented::Unusable => return Err(unshown(Refusal::Wrong)),
            Presented::Ticket(ticket) => return self.redeem(&ticket, peer),
            Presented::Token(token) => token,
        };
        authenticate(&**policy, token, peer).await
    }

    /// Whom a request is of: whoever the listener says that everybody is, or whom it shows.
    ///
    /// # Errors
    /// It shows a token where it is somebody already. Within: the token is nobody's.
    pub(super) async fn admit(
        &self,
        presented: Presented,
        peer: &PeerAddr,
    ) -> Result<Result<Arc<Principal>, Failure>, Failure> {
        let admission = &self.listener.admission;
        if let Admission::As(name) = admission
            && presented != Presented::Nothing
        {
            return Err(Failure::new(ErrorCode::BadArgument, format!("everybody is {name} here, without a token")));
        }
        match admission.principal(self.listener.hub.policy().is_some()) {
            Some(principal) => Ok(Ok(Arc::new(principal))),
            None => Ok(self.authenticate(presented, peer).await),
        }
    }

    /// Whether somebody has to show a token before anything else.
    pub(super) fn needs_token(&self, who: &Principal) -> bool {
        self.listener.admission == Admission::Required && who.is_anonymous()
    }

    /// Whoever asks, without a connection in the hub.
    pub(super) fn session(&self, who: &Arc<Principal>, name: Option<UserName>) -> Result<Session, Failure> {
        let hub = &self.listener.hub;
        if who.is_anonymous() {
            let session = hub.session(name.unwrap_or_else(UserName::http), Format::Json).map_err(misnamed)?;
            if !is_nobody(who) {
                session.authorize(Arc::clone(who));
            }
            return Ok(session);
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

/// The answer to who one is.
pub(super) fn you(who: &Principal) -> Reply {
    credentials::you(who.name().cloned().unwrap_or_else(UserName::http), who)
}

/// What whoever showed nothing is told: that showing something might help.
pub(super) fn for_nobody(failure: Failure) -> Failure {
    match failure.code {
        ErrorCode::NotAllowed => Failure::new(ErrorCode::NotAuthorized, "a token is needed for this"),
        _ => failure,
    }
}

/// What is told where nobody in particular is served.
pub(super) fn needed() -> Failure {
    Failure::new(ErrorCode::NotAuthorized, "a token is needed here")
}
