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
use switchboard::http::Request;
use switchboard::policy::{Principal, Refusal};
use switchboard::{Format, Session, UserName};

impl Web {
    /// Whom a request shows to ask: nobody in particular, where there is no policy or nothing is shown.
    pub(super) async fn authenticate(
        &self,
        presented: Presented,
        request: &Request,
    ) -> Result<Arc<Principal>, Failure> {
        let Some(policy) = self.listener.hub.policy() else { return Ok(Arc::default()) };
        let token = match presented {
            Presented::Nothing => return Ok(Arc::default()),
            Presented::Unusable => return Err(unshown(Refusal::Wrong)),
            Presented::Ticket(ticket) => return self.redeem(&ticket, &request.claimant()),
            Presented::Token(token) => token,
        };
        authenticate(&**policy, token, request.claimant()).await
    }

    /// Who asks, if that is not for what it shows to say: whoever the listener says that everybody is or, where nothing is shown, knows by
    /// the transport.
    pub(super) fn known(&self, presented: &Presented, request: &Request) -> Result<Option<Principal>, Failure> {
        if *presented == Presented::Nothing {
            return self.listener.known(|| request.tls(), || request.unix_user(), || request.claimant());
        }
        Ok(self.listener.everybody())
    }

    /// Whether somebody has to show a token before anything else.
    pub(super) fn needs_token(&self, who: &Principal) -> bool {
        self.listener.admission.now() == Admission::Required && who.is_anonymous()
    }

    /// As [`session`](Self::session), by a name that nobody has on another node.
    pub(super) async fn session_anywhere(
        &self,
        who: &Arc<Principal>,
        name: Option<UserName>,
    ) -> Result<Session, Failure> {
        let is_own = |name: &&UserName| who.name().is_some_and(|owner| name.is_of(owner));
        if let Some(name) = name.as_ref().filter(|name| !is_own(name)) {
            self.listener.hub.is_free_elsewhere(name).await.map_err(misnamed)?;
        }
        self.session(who, name)
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

/// What is told of a failure: whoever showed nothing, that showing something might help.
pub(super) fn told(failure: Failure, who: &Principal) -> Failure {
    if failure.code == ErrorCode::NotAllowed && is_nobody(who) {
        return Failure::new(ErrorCode::NotAuthorized, "a token is needed for this");
    }
    failure
}
