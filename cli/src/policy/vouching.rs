//! Whose word is taken beyond the file's own tokens and issuers: that of a program that is asked.

use super::audit::Refused;
use super::callout::{Callout, CalloutAnswer};
use super::configured::FilePolicy;
use super::jwt::fault::JwtFault;
use super::token::{StaticToken, TokenHash};
use std::sync::Arc;
use std::time::SystemTime;
use switchboard::grammar::Token;
use switchboard::policy::{Claimant, Principal, Refusal};

impl FilePolicy {
    /// Who is asked about a token that was not taken: not where somebody here knows that it is wrong.
    pub(super) fn to_be_asked(&self, token: &str, refused: Refused) -> Option<Arc<Callout>> {
        let is_foreign = matches!(refused, Refused::Unknown | Refused::Jwt(JwtFault::Issuer));
        let is_own = token.starts_with(StaticToken::BEGINNING);
        self.snapshot().callout().filter(|_| is_foreign && !is_own).cloned()
    }

    /// Whom the callout names.
    pub(super) async fn ask(
        &self,
        callout: Arc<Callout>,
        token: &Token,
        claimant: Claimant,
    ) -> Result<Arc<Principal>, Refusal> {
        let (now, hash) = (SystemTime::now(), TokenHash::of(token.reveal()));
        let address = claimant.address.ip().map(|address| address.ip());
        let mut told = None;
        let shown = match callout.ask(token.reveal(), address, now).await {
            Ok(CalloutAnswer::Yes(attested)) => {
                let snapshot = self.snapshot();
                // One that is not in force any more has no say.
                let is_current = snapshot.callout().is_some_and(|current| Arc::ptr_eq(current, &callout));
                if is_current { snapshot.attested(*attested, &hash, now) } else { Err(Refused::Unanswered) }
            }
            Ok(CalloutAnswer::No(text)) => {
                told = text;
                Err(Refused::Denied)
            }
            Err(why) => {
                self.audit.unanswered(&why);
                Err(Refused::Unanswered)
            }
        };
        let shown = shown.map(Arc::new);
        self.note(&shown, &hash.id(), &claimant);
        shown.map_err(|refused| told.map_or_else(|| refused.refusal(), Refusal::Denied))
    }

    fn note(&self, shown: &Result<Arc<Principal>, Refused>, token: &str, claimant: &Claimant) {
        match shown {
            Ok(principal) => self.audit.authenticated(principal, &claimant.address),
            Err(refused) => self.audit.refused(*refused, Some(token), &claimant.address),
        }
    }
}
