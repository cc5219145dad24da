//! Whose word is taken beyond the file's own tokens and issuers: that of a program that is asked, of authorities that certify clients, and of this machine's users.

use super::audit::Refused;
use super::callout::{Callout, CalloutAnswer};
use super::configured::FilePolicy;
use super::jwt::fault::JwtFault;
use super::peers::{NameRule, Unnamed, of_certificate};
use super::proof::Proof;
use super::token::{StaticToken, TokenHash};
use std::collections::HashSet;
use std::sync::Arc;
use std::time::SystemTime;
use switchboard::grammar::Token;
use switchboard::policy::{Claimant, Principal, Refusal};
use switchboard::{ClientTrust, PeerAddr, UnixUser};

impl FilePolicy {
    /// Whose certificates are taken, and are no more: says whether that changes anything for those who have come by one.
    pub(crate) fn revoke(&self, clients: &[ClientTrust]) -> bool {
        let all = clients.iter().flat_map(ClientTrust::revoked);
        let new: HashSet<_> = all.map(|id| of_certificate(&id)).collect();
        let is_changed = *self.revoked.read() != new;
        if is_changed {
            *self.revoked.write() = new;
            self.has_changed();
        }
        is_changed
    }

    /// Who comes with this certificate, which was verified.
    pub(crate) fn by_certificate(&self, certificate: &[u8], rule: &NameRule) -> Result<Principal, Refused> {
        let (name, subject) = rule.name(certificate).map_err(Refused::Unnamed)?;
        if subject.until <= SystemTime::now() {
            return Err(Refused::Expired);
        }
        let certificate = of_certificate(&subject.id);
        if self.revoked.read().contains(&certificate) {
            return Err(Refused::Unnamed(Unnamed::Revoked));
        }
        let snapshot = self.snapshot();
        if !snapshot.is_listed(&name) {
            return Err(Refused::Unnamed(Unnamed::Unlisted));
        }
        let groups = snapshot.groups_by_name(&name);
        let principal = Principal::named(name).groups(groups).by(Proof::Certificate(&certificate).to_string());
        self.unrevoked(&principal, SystemTime::now())?;
        Ok(principal.until(subject.until))
    }

    /// Who comes as this user of this machine: nobody in particular, if that is nobody here.
    pub(crate) fn by_user(&self, user: UnixUser) -> Option<Principal> {
        let snapshot = self.snapshot();
        let name = snapshot.login(user.uid)?.clone();
        let groups = snapshot.groups_by_name(&name);
        let principal = Principal::named(name).groups(groups).by(Proof::User(user.uid).to_string());
        self.unrevoked(&principal, SystemTime::now()).ok()?;
        Some(principal)
    }

    /// Who is asked about a token that was not taken: not where somebody here knows that it is wrong.
    pub(super) fn to_be_asked(&self, token: &str, refused: Refused) -> Option<Arc<Callout>> {
        let is_foreign = matches!(refused, Refused::Unknown | Refused::Jwt(JwtFault::Issuer));
        let is_own = token.starts_with(StaticToken::BEGINNING);
        self.snapshot().callout().filter(|_| is_foreign && !is_own).cloned()
    }

    /// Whose a token is, for whoever checks one by hand: from nowhere, and by nobody's fault.
    pub(crate) async fn checked(&self, token: &str) -> Result<Arc<Principal>, Refused> {
        let shown = self.shown(token, None);
        let asked = shown.as_ref().err().and_then(|refused| self.to_be_asked(token, *refused));
        match asked {
            Some(callout) => self.answered(&callout, token, &Claimant::new(PeerAddr::Memory)).await.0.map(Arc::new),
            None => shown,
        }
    }

    /// Whom the callout names.
    pub(super) async fn ask(
        &self,
        callout: Arc<Callout>,
        token: &Token,
        claimant: Claimant,
    ) -> Result<Arc<Principal>, Refusal> {
        let (shown, told) = self.answered(&callout, token.reveal(), &claimant).await;
        let shown = shown.map(Arc::new);
        self.note(&shown, &TokenHash::of(token.reveal()).id(), &claimant);
        if let Ok(principal) = &shown {
            self.note_end(principal, token, &claimant);
        }
        shown.map_err(|refused| told.map_or_else(|| refused.refusal(), Refusal::Denied))
    }

    /// Whom the callout names, or what it has told with its no.
    pub(super) async fn answered(
        &self,
        callout: &Arc<Callout>,
        token: &str,
        claimant: &Claimant,
    ) -> (Result<Principal, Refused>, Option<Box<str>>) {
        let (now, hash) = (SystemTime::now(), TokenHash::of(token));
        let mut told = None;
        let shown = match callout.ask(token, claimant, now).await {
            Ok(CalloutAnswer::Yes(attested)) => {
                let snapshot = self.snapshot();
                // One that is not in force any more has no say.
                let is_current = snapshot.callout().is_some_and(|current| Arc::ptr_eq(current, callout));
                let shown =
                    if is_current { snapshot.attested(*attested, &hash, now) } else { Err(Refused::Unanswered) };
                shown.and_then(|principal| self.unrevoked(&principal, now).map(|()| principal))
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
        (shown, told)
    }

    fn note(&self, shown: &Result<Arc<Principal>, Refused>, token: &str, claimant: &Claimant) {
        match shown {
            Ok(principal) => self.audit.authenticated(principal, claimant),
            Err(refused) => self.failed(*refused, Some(token), claimant),
        }
    }
}
