//! What operators have revoked: whoever has shown it is known by it no more, whatever the file or an issuer says.
//!
//! Whoever adds to the list has live connections reviewed and the list kept (`steered.rs`); this only says what is on it.

use super::proof::Proof;
use super::token::TokenHash;
use parking_lot::RwLock;
use std::collections::BTreeMap;
use std::ops::Bound::{Excluded, Unbounded};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use switchboard::UserName;
use switchboard::policy::Principal;

/// At once: each is compared with whoever comes, and kept in one file.
const MOST: usize = 10_000;

/// Of a `jti`, in bytes. All revocations with the longest ones, each sign of which is written as six, are read again at the next start.
pub(crate) const JTI_BYTES: usize = 256;

/// What is not taken any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Revoked {
    /// Whatever shows somebody to be called so.
    Name(UserName),
    /// JWTs that do, and were issued before this second since 1970, or do not say when.
    IssuedBefore(UserName, u64),
    /// A token or a certificate, by what audits call it.
    Token(String),
    /// JWTs with this `jti`.
    Jti(String),
}

impl Revoked {
    /// By which it is found, and taken back. There is one for each.
    pub(crate) fn id(&self) -> String {
        match self {
            Self::Name(name) => id_of("name", &folded(name)),
            Self::IssuedBefore(name, _) => id_of("before", &folded(name)),
            Self::Token(token) => id_of("token", token),
            Self::Jti(jti) => id_of("jti", &mark_of_jti(jti)),
        }
    }

    /// A token by its number in audits: eight digits, also from the whole hash as the file has it; or a certificate's.
    pub(crate) fn token(text: &str) -> Option<Self> {
        let number = match text.parse::<TokenHash>() {
            Ok(hash) => hash.id(),
            Err(_) => text.to_owned(),
        };
        let is_number = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
        let (first, last) = number.split_once('/').unwrap_or(("", &number));
        (last.len() == 8 && is_number(last) && first.len() <= 64 && is_number(first)).then_some(Self::Token(number))
    }
}

fn id_of(kind: &str, what: &str) -> String {
    format!("{kind}:{what}")
}

/// Names are equal without case.
fn folded(name: &UserName) -> String {
    name.as_str().to_ascii_lowercase()
}

/// What stands for a `jti`, which may be long: 64 bits of its hash, so that nobody finds another one by chance.
pub(crate) fn mark_of_jti(jti: &str) -> String {
    TokenHash::of(jti).to_string().trim_start_matches("sha256:").chars().take(16).collect()
}

/// One act of an operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Revocation {
    pub(crate) revoked: Revoked,
    /// Until then; without, until it is taken back.
    pub(crate) until: Option<SystemTime>,
    pub(crate) reason: String,
}

impl Revocation {
    fn is_over(&self, now: SystemTime) -> bool {
        self.until.is_some_and(|until| until <= now)
    }
}

/// There are too many.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("there are {MOST} revocations already; take some back, or give them an end")]
pub(crate) struct TooManyRevocations;

/// All of them, by their ids.
#[derive(Debug, Default)]
pub(crate) struct RevocationList(RwLock<BTreeMap<String, Revocation>>);

impl RevocationList {
    /// Adds one, in the place of the one with its id.
    pub(crate) fn add(&self, revocation: Revocation, now: SystemTime) -> Result<(), TooManyRevocations> {
        let mut all = self.0.write();
        all.retain(|_, revocation| !revocation.is_over(now));
        let id = revocation.revoked.id();
        if all.len() >= MOST && !all.contains_key(&id) {
            return Err(TooManyRevocations);
        }
        all.insert(id, revocation);
        Ok(())
    }

    /// Takes one back.
    pub(crate) fn remove(&self, id: &str) -> Option<Revocation> {
        self.0.write().remove(id)
    }

    /// At most `limit` behind the one with an id, in their order.
    pub(crate) fn list(&self, after: Option<&str>, limit: usize, now: SystemTime) -> Vec<Revocation> {
        let all = self.0.read();
        let behind = all.range::<str, _>((after.map_or(Unbounded, Excluded), Unbounded));
        behind.filter(|(_, revocation)| !revocation.is_over(now)).take(limit).map(|(_, one)| one.clone()).collect()
    }

    /// How many there are; of those that are over, some may count.
    pub(crate) fn len(&self) -> usize {
        self.0.read().len()
    }

    /// Whether whatever shows who somebody is has been revoked. A listener that says who everybody is there shows nothing.
    pub(crate) fn covers(&self, principal: &Principal, now: SystemTime) -> bool {
        let all = self.0.read();
        if all.is_empty() {
            return false;
        }
        let Some(name) = principal.name().map(folded) else { return false };
        let proof = Proof::of(principal);
        if proof == Some(Proof::Listener) {
            return false;
        }
        let found = |kind: &str, what: &str| all.get(&id_of(kind, what)).filter(|revocation| !revocation.is_over(now));
        if found("name", &name).is_some()
            || proof.and_then(Proof::called).is_some_and(|id| found("token", id).is_some())
        {
            return true;
        }
        let Some(Proof::Jwt { issued, jti, .. }) = proof else { return false };
        let before = match found("before", &name).map(|revocation| &revocation.revoked) {
            Some(Revoked::IssuedBefore(_, second)) => Some(*second),
            _ => None,
        };
        before.is_some_and(|second| issued.is_none_or(|issued| issued < second))
            || jti.is_some_and(|mark| found("jti", mark).is_some())
    }
}

/// How long a JWT can be good that is taken now, if each source bounds that: then nothing has to be revoked for longer.
pub(crate) fn longest_life<'a>(sources: impl Iterator<Item = (Option<Duration>, Duration)> + 'a) -> Option<Duration> {
    let lives = sources.map(|(most, leeway)| most.map(|most| most.saturating_add(2 * leeway)));
    lives.collect::<Option<Vec<_>>>()?.into_iter().max()
}

/// A second of the clock.
pub(crate) fn second_of(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: SystemTime = UNIX_EPOCH;

    fn name(text: &str) -> UserName {
        UserName::parse(text).unwrap()
    }

    fn known(called: &str, proof: &str) -> Principal {
        Principal::named(name(called)).by(proof)
    }

    fn listing(revoked: Revoked) -> RevocationList {
        let list = RevocationList::default();
        list.add(Revocation { revoked, until: None, reason: String::new() }, NOW).unwrap();
        list
    }

    #[test]
    fn a_name_is_revoked_however_it_is_shown_and_nobody_else_is() {
        let list = listing(Revoked::Name(name("Alice")));
        for proof in ["01234567", "jwt.x/y/z", "callout/1", "certificate/01ff/2d711642", "unix/1000"] {
            assert!(list.covers(&known("alice", proof), NOW) && !list.covers(&known("bob", proof), NOW), "{proof}");
        }
        assert!(!list.covers(&known("alice", "as"), NOW), "its listener says so");
        assert!(!list.covers(&Principal::anonymous(), NOW));
    }

    #[test]
    fn a_token_is_revoked_and_its_holder_is_not() {
        let list = listing(Revoked::token("01234567").unwrap());
        for (proof, is_revoked) in
            [("01234567", true), ("jwt.x/y/01234567", true), ("callout/01234567", true), ("11234567", false)]
        {
            assert_eq!(list.covers(&known("alice", proof), NOW), is_revoked, "{proof}");
        }
        let hash = TokenHash::of("sb_x");
        assert_eq!(Revoked::token(&hash.to_string()), Some(Revoked::Token(hash.id())));
        assert!(Revoked::token("01ff/2d711642").is_some());
        for wrong in ["", "alice", "0123456", "012345678", "0123456G", "ABCDEF01", "x/01234567", "sha256:01"] {
            assert_eq!(Revoked::token(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn jwts_are_revoked_by_what_their_issuer_calls_them_and_by_when_they_were_issued() {
        let list = listing(Revoked::Jti("id-1".to_owned()));
        let of = |jti: &str| known("alice", &format!("jwt.x/y/z/iat=7/jti={}", mark_of_jti(jti)));
        assert!(list.covers(&of("id-1"), NOW) && !list.covers(&of("id-2"), NOW));
        let list = listing(Revoked::IssuedBefore(name("alice"), 100));
        for (proof, is_revoked) in
            [("/iat=99", true), ("/act/iat=99", true), ("", true), ("/iat=100", false), ("/iat=101", false)]
        {
            assert_eq!(list.covers(&known("alice", &format!("jwt.x/y/z{proof}")), NOW), is_revoked, "{proof}");
        }
        assert!(!list.covers(&known("alice", "01234567"), NOW), "it is no JWT");
        assert!(!list.covers(&known("bob", "jwt.x/y/z"), NOW));
    }

    #[test]
    fn what_is_over_or_taken_back_is_taken_again_and_there_is_an_end_to_them() {
        let (list, second) = (RevocationList::default(), Duration::from_secs(1));
        let one = |revoked, until| Revocation { revoked, until, reason: String::new() };
        list.add(one(Revoked::Name(name("alice")), Some(NOW + second)), NOW).unwrap();
        let alice = known("alice", "01234567");
        assert!(list.covers(&alice, NOW) && !list.covers(&alice, NOW + second));
        assert_eq!(list.list(None, 9, NOW + second), []);
        for number in 0..MOST - 1 {
            list.add(one(Revoked::Jti(number.to_string()), None), NOW).unwrap();
        }
        let other = one(Revoked::Name(name("bob")), None);
        assert_eq!(list.add(other.clone(), NOW), Err(TooManyRevocations));
        list.add(one(Revoked::Jti("7".to_owned()), None), NOW).expect("it is there");
        list.add(other, NOW + second).expect("one is over");
        assert_eq!(list.len(), MOST);
        assert!(list.remove("name:bob").is_some() && list.remove("name:bob").is_none());
        let page = list.list(None, 2, NOW);
        assert_eq!(page.len(), 2);
        let next = list.list(Some(&page[1].revoked.id()), 1, NOW);
        assert!(next[0].revoked.id() > page[1].revoked.id());
    }

    #[test]
    fn revocations_of_jwts_end_when_none_can_be_left() {
        let hour = Duration::from_hours(1);
        let life = |sources: &[(Option<Duration>, Duration)]| longest_life(sources.iter().copied());
        assert_eq!(life(&[(Some(hour), Duration::ZERO), (Some(2 * hour), hour)]), Some(4 * hour));
        assert_eq!(life(&[(Some(hour), Duration::ZERO), (None, hour)]), None);
        assert_eq!(life(&[]), None);
    }
}
