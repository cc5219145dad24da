//! The policy that the file describes: whose a token is, and what is allowed, by the snapshot that is in force.
//!
//! A reload replaces the snapshot as a whole. Whoever is known keeps its name, and what it may do is what the new one says.

use super::audit::{Audit, Refused};
use super::callout::Callout;
use super::datagrams::{Sent, SignatureFault};
use super::failures::Failures;
use super::jwt::cache::VerifiedTokens;
use super::jwt::compact::Compact;
use super::jwt::fault::JwtFault;
use super::jwt::keys::KeySet;
use super::jwt::source::JwtSource;
use super::proof::{Proof, ProofKind};
use super::renewing::Renewals;
use super::revocations::RevocationList;
use super::rules::{AdminRight, Rules};
use super::snapshot::{Holder, Snapshot};
use super::tally;
use super::token::{StaticToken, TokenFault, TokenHash};
use parking_lot::{Mutex, RwLock};
use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use switchboard::grammar::Signed;
use switchboard::policy::{
    Authenticating, Claimant, Credentials, Policy, PolicyGeneration, Principal, Refusal, Rights,
};
use switchboard::{PeerAddr, RoomName, UserName};
use tokio::sync::Notify;
use tokio::time::Instant;
use tracing::warn;

/// What the file says, and what is asked of it.
#[derive(Debug)]
pub(crate) struct FilePolicy {
    current: RwLock<Arc<Snapshot>>,
    generation: PolicyGeneration,
    /// Whom listeners say that everybody is there.
    named: Vec<UserName>,
    verified: Mutex<VerifiedTokens>,
    /// What stands for certificates of clients that their authorities have revoked.
    pub(super) revoked: RwLock<HashSet<String>>,
    /// What operators have revoked.
    revocations: Arc<RevocationList>,
    /// Keys of a source are to be fetched now.
    wanted: Notify,
    /// Wrong tokens of each address.
    failures: Failures,
    /// Signed datagrams that have counted.
    sent: Sent,
    /// Whom to ask about again.
    pub(super) renewals: Renewals,
    pub(crate) audit: Arc<Audit>,
}

impl FilePolicy {
    /// What `rules` say, where some listeners say who everybody is: `named`.
    pub(crate) fn new(rules: &Rules, named: Vec<UserName>) -> Self {
        let current = RwLock::new(Arc::new(Snapshot::of(rules, &named)));
        tell_notes(rules);
        let (generation, verified, revoked, revocations, wanted, failures, sent, renewals, audit) = Default::default();
        Self { current, generation, named, verified, revoked, revocations, wanted, failures, sent, renewals, audit }
    }

    /// So many wrong tokens may come from an address in a minute.
    pub(crate) fn failing(self, per_minute: Option<u32>) -> Self {
        Self { failures: Failures::new(per_minute), ..self }
    }

    /// After how long an address that was wrong too often may show another token.
    pub(crate) fn failures_apart(&self) -> Option<Duration> {
        self.failures.apart()
    }

    /// The same, which tells `audit` what happens.
    pub(crate) fn audited(self, audit: Arc<Audit>) -> Self {
        Self { audit, ..self }
    }

    /// The same, which takes nothing of what operators have revoked.
    pub(crate) fn without(self, revocations: Arc<RevocationList>) -> Self {
        Self { revocations, ..self }
    }

    /// Puts other rules in force. Whoever asks from now on is told what these say; who is a member is for the hub to review.
    pub(crate) fn replace(&self, rules: &Rules) {
        let mut current = self.current.write();
        let new = Arc::new(Snapshot::behind(rules, &self.named, Some(&current)));
        let old = std::mem::replace(&mut *current, Arc::clone(&new));
        drop(current);
        tell_notes(rules);
        self.wanted.notify_one();
        self.has_changed();
        for (name, hash) in old.tokens().filter(|(_, hash)| new.holder(hash).is_none()) {
            self.audit.revoked(name, &hash.id());
        }
    }

    /// What somebody may do with the server, by the token that it has shown.
    pub(crate) fn admin(&self, principal: &Principal) -> Option<AdminRight> {
        self.snapshot().admin(principal, SystemTime::now())
    }

    /// Whoever comes to a listener that says who that is.
    pub(crate) fn by_listener(name: UserName) -> Principal {
        Principal::named(name).by(Proof::Listener.to_string())
    }

    /// Whoever comes to a listener that asks nobody.
    pub(crate) fn unasked() -> Principal {
        Principal::anonymous().by(Proof::Open.to_string())
    }

    /// Answers are others from now on. Who is a member is for the hub to review.
    pub(crate) fn has_changed(&self) {
        // Behind what has changed.
        self.generation.grow();
    }

    pub(super) fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(&self.current.read())
    }

    /// Whose a token is; from wherever it comes, unless that is told.
    pub(crate) fn shown(&self, token: &str, claimant: Option<&Claimant>) -> Result<Arc<Principal>, Refused> {
        let principal = self.found(token, claimant)?;
        self.unrevoked(&principal, SystemTime::now())?;
        Ok(principal)
    }

    /// Nothing that shows who somebody is has been revoked by an operator.
    pub(super) fn unrevoked(&self, principal: &Principal, now: SystemTime) -> Result<(), Refused> {
        match tally::method(principal) {
            Some(method) if self.revocations.covers(principal, now) => Err(Refused::Revoked(method)),
            _ => Ok(()),
        }
    }

    fn found(&self, token: &str, claimant: Option<&Claimant>) -> Result<Arc<Principal>, Refused> {
        let hash = TokenHash::of(token);
        // Read first: what is found by older rules is noted as such.
        let (generation, snapshot) = (self.generation.number(), self.snapshot());
        let Some(Holder { record, principal }) = snapshot.holder(&hash) else {
            if !snapshot.sources().is_empty() {
                // Before the token is looked at, since whoever publishes by requests shows it in each.
                let now = SystemTime::now();
                if let Some(known) = self.verified.lock().get(generation, &hash, now) {
                    return Ok(known);
                }
                if Compact::is_one(token) {
                    self.may_fail(claimant)?;
                    let principal = Arc::new(snapshot.vouched(token, now).map_err(Refused::Jwt)?);
                    self.verified.lock().insert(generation, hash, Arc::clone(&principal));
                    return Ok(principal);
                }
            }
            self.may_fail(claimant)?;
            let is_mistyped = matches!(StaticToken::parse(token), Err(TokenFault::Mistyped));
            return Err(if is_mistyped { Refused::Mistyped } else { Refused::Unknown });
        };
        if claimant.is_some_and(|claimant| !record.comes_from(&claimant.address)) {
            return Err(Refused::Network);
        }
        if record.has_expired(SystemTime::now()) {
            return Err(Refused::Expired);
        }
        Ok(Arc::clone(principal))
    }
}

/// Keys that are at a URL.
impl FilePolicy {
    pub(crate) fn fetching_sources(&self) -> Vec<Arc<JwtSource>> {
        self.snapshot().sources().iter().filter(|source| source.asking().is_some()).cloned().collect()
    }

    /// Waits until somebody wants keys to be fetched.
    ///
    /// # Cancel safety
    /// Safe: what was wanted stays so.
    pub(crate) async fn keys_wanted(&self) {
        self.wanted.notified().await;
    }

    /// Has all of them fetched now.
    pub(crate) fn refresh_keys(&self) {
        for source in self.fetching_sources() {
            source.asking().inspect(|asking| asking.refresh(Instant::now()));
        }
        self.wanted.notify_one();
    }

    /// Puts fetched keys in force, unless the file has another source by now. Says whether they are others; then everybody is to be looked
    /// at again.
    pub(crate) fn take_keys(&self, fetched_for: &JwtSource, keys: KeySet) -> bool {
        let snapshot = self.snapshot();
        let is_for = |source: &&Arc<JwtSource>| {
            source.section.name == fetched_for.section.name && source.section.fetches_as(&fetched_for.section)
        };
        let is_other =
            snapshot.sources().iter().find(is_for).is_some_and(|source| source.take_keys(keys, SystemTime::now()));
        if is_other {
            self.has_changed();
        }
        is_other
    }

    /// Whom it asks about tokens that nothing else knows.
    pub(crate) fn callout(&self) -> Option<Arc<Callout>> {
        self.snapshot().callout().cloned()
    }

    /// All that it is configured to believe tokens of.
    pub(crate) fn jwt_sources(&self) -> Vec<Arc<JwtSource>> {
        self.snapshot().sources().to_vec()
    }

    /// Sources that could not fetch any keys yet.
    pub(crate) fn without_keys(&self) -> Vec<String> {
        self.snapshot().sources().iter().filter(|source| !source.has_keys()).map(|source| source.called()).collect()
    }

    /// Waits for keys that may be those of a token, if its source may ask for them now.
    async fn await_keys(&self, token: &str) -> bool {
        let wanted = self.snapshot().source_named_by(token).and_then(|source| source.asking()?.want(Instant::now()));
        let Some(mut ended) = wanted else { return false };
        self.wanted.notify_one();
        ended.changed().await.is_ok()
    }

    /// As [`shown`](Self::shown), and once more behind a fetch, if it lacks the key.
    async fn shown_by_fresh_keys(&self, token: &str, claimant: &Claimant) -> Result<Arc<Principal>, Refused> {
        let shown = self.shown(token, Some(claimant));
        match shown {
            Err(Refused::Jwt(JwtFault::Key | JwtFault::Unavailable)) if self.await_keys(token).await => {
                self.shown(token, Some(claimant))
            }
            shown => shown,
        }
    }
}

impl FilePolicy {
    /// Whether what costs more than a look may be done for somebody: it is asked for whatever has not been found right by then.
    fn may_fail(&self, claimant: Option<&Claimant>) -> Result<(), Refused> {
        let may = claimant.is_none_or(|claimant| self.failures.may_fail(&claimant.address));
        if may { Ok(()) } else { Err(Refused::Throttled) }
    }

    /// Whether a datagram is signed by whom it names, whether or not it counts.
    pub(crate) fn is_signed(&self, signed: &Signed) -> bool {
        self.snapshot().sender(&signed.name).is_some_and(|(_, key)| key.has_signed(signed))
    }

    /// Who has sent a datagram, if whoever it names has signed it, and it counts.
    pub(crate) fn sender(&self, signed: &Signed, address: &PeerAddr) -> Option<Arc<Principal>> {
        let snapshot = self.snapshot();
        let sender = snapshot.sender(&signed.name).ok_or(SignatureFault::Unknown);
        let sender = sender.and_then(|(holder, key)| self.sent.take(signed, key).map(|()| holder));
        let Holder { record, principal } = match sender {
            Ok(holder) => holder,
            Err(fault) => {
                self.audit.tally.unsigned(fault);
                self.audit.refused(Refused::Signature, None, &Claimant::new(address.clone()));
                return None;
            }
        };
        let refused = if record.has_expired(SystemTime::now()) {
            Refused::Expired
        } else if !record.comes_from(address) {
            Refused::Network
        } else if self.revocations.covers(principal, SystemTime::now()) {
            Refused::Revoked("datagram")
        } else {
            self.audit.tally.signed();
            return Some(Arc::clone(principal));
        };
        self.audit.refused(refused, principal.credential(), &Claimant::new(address.clone()));
        None
    }

    /// Whether it does by what is in force.
    fn still_stands(&self, principal: &Principal, name: &UserName, now: SystemTime) -> bool {
        if self.unrevoked(principal, now).is_err() {
            return false;
        }
        let snapshot = self.snapshot();
        let is_in_time = || principal.expires().is_some_and(|end| now < end);
        match Proof::of(principal) {
            Some(Proof::Listener) => true,
            Some(Proof::Token(token)) => {
                snapshot.person(name).is_some_and(|record| !record.has_expired(now) && record.has_token(token))
            }
            Some(Proof::Jwt { source, stamp, .. }) => is_in_time() && snapshot.still_vouches(source, stamp, name),
            Some(Proof::Callout { .. }) => {
                (principal.expires().is_none() || is_in_time()) && snapshot.callout_issues(name)
            }
            Some(Proof::Certificate(certificate)) => {
                is_in_time() && !self.revoked.read().contains(certificate) && snapshot.is_listed(name)
            }
            Some(Proof::User(uid)) => snapshot.login(uid) == Some(name),
            Some(Proof::Open) | None => false,
        }
    }

    /// Counts what was wrong, and tells of it.
    pub(super) fn failed(&self, refused: Refused, token: Option<&str>, claimant: &Claimant) {
        if matches!(refused.refusal(), Refusal::Wrong | Refusal::Expired) {
            self.failures.count(&claimant.address);
        }
        self.audit.refused(refused, token, claimant);
    }
}

/// Tells of keys that are there and are not taken.
fn tell_notes(rules: &Rules) {
    for section in &rules.jwt {
        for note in section.notes() {
            warn!(source = format!("jwt.{}", section.name), note, "a key is left out");
        }
    }
}

/// What a token that was refused is called by in logs: the ID of one of ours, and the first digits of a JWT's hash.
fn called(token: &str) -> Option<String> {
    let own = StaticToken::parse(token).ok().map(|token| token.id().to_owned());
    own.or_else(|| Compact::is_one(token).then(|| TokenHash::of(token).id()))
}

impl Policy for FilePolicy {
    fn authenticate(&self, credentials: Credentials, claimant: Claimant) -> Authenticating<'_> {
        Box::pin(async move {
            let Credentials::Token(token) = &credentials else { return Err(Refusal::Wrong) };
            let shown = self.shown_by_fresh_keys(token.reveal(), &claimant).await;
            let asked = shown.as_ref().err().and_then(|refused| self.to_be_asked(token.reveal(), *refused));
            if let Some(callout) = asked {
                return self.ask(callout, token, claimant).await;
            }
            match &shown {
                Ok(principal) => self.audit.authenticated(principal, &claimant),
                Err(refused) => self.failed(*refused, called(token.reveal()).as_deref(), &claimant),
            }
            shown.map_err(Refused::refusal)
        })
    }

    fn rights(&self, principal: &Principal, room: &RoomName) -> Rights {
        match ProofKind::of(principal) {
            Some(ProofKind::Open) => Rights::ALL,
            _ => self.snapshot().rights(principal, room),
        }
    }

    fn generation(&self) -> PolicyGeneration {
        self.generation.clone()
    }

    fn may_tell(&self, principal: &Principal, to: &UserName) -> bool {
        ProofKind::of(principal) == Some(ProofKind::Open) || self.snapshot().may_tell(principal, to)
    }

    fn may_be_called(&self, principal: &Principal, name: &UserName) -> bool {
        self.snapshot().may_be_called(principal, name)
    }

    fn stands(&self, principal: &Principal) -> bool {
        let Some(name) = principal.name() else { return true };
        // Read first: what is found by newer rules is noted as found by older ones.
        let (generation, now) = (self.generation.number() + 1, SystemTime::now());
        let is_over = principal.expires().is_some_and(|end| end <= now);
        if principal.mark() == generation && !is_over {
            return true;
        }
        let stands = self.still_stands(principal, name, now);
        // Of a token whose end is another one by now, only its line knows it.
        let is_lasting =
            || self.snapshot().shown(principal).is_none_or(|holder| holder.principal.expires() == principal.expires());
        if stands && is_lasting() {
            principal.set_mark(generation);
        }
        stands
    }
    fn may_come_from(&self, principal: &Principal, address: &PeerAddr) -> bool {
        let snapshot = self.snapshot();
        let record = principal.name().filter(|_| ProofKind::of(principal) != Some(ProofKind::Listener));
        let record = record.and_then(|name| snapshot.person(name));
        record.is_none_or(|record| record.comes_from(address))
    }

    fn updated(&self, principal: &Principal) -> Option<Arc<Principal>> {
        self.snapshot().shown(principal).map(|holder| Arc::clone(&holder.principal))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::rules::{At, Grant, TokenSection};
    use switchboard::Glob;
    use switchboard::grammar::Token;

    const AT: At = At { line: 1, column: 1 };

    fn token(name: &str, hashes: &[&str]) -> TokenSection {
        let grants = vec![Grant { at: AT, rooms: Glob::parse("ops").unwrap(), rights: Rights::ALL }];
        TokenSection { grants, ..TokenSection::of(name, hashes) }
    }

    fn rules(tokens: impl IntoIterator<Item = TokenSection>) -> Rules {
        Rules { tokens: tokens.into_iter().collect(), ..Rules::default() }
    }

    async fn shown(policy: &FilePolicy, token: &str, from: &str) -> Result<Arc<Principal>, Refusal> {
        let claimant = Claimant::new(PeerAddr::Ip(from.parse().unwrap()));
        policy.authenticate(Credentials::Token(Token::new(token)), claimant).await
    }

    const HERE: &str = "127.0.0.1:9";

    #[tokio::test]
    async fn a_token_shows_its_holder_in_its_time_and_from_its_networks() {
        let expired = SystemTime::now() - Duration::from_secs(1);
        let policy = FilePolicy::new(
            &rules([
                token("alice", &["old", "new"]),
                TokenSection { expires: Some(expired), ..token("bob", &["late"]) },
                TokenSection { from: vec!["10.0.0.0/8".parse().unwrap()], ..token("carol", &["there"]) },
            ]),
            Vec::new(),
        );
        let alice = shown(&policy, "new", HERE).await.unwrap();
        assert_eq!(alice.name().map(UserName::as_str), Some("alice"));
        assert_eq!(alice.credential(), Some(TokenHash::of("new").id().as_str()));
        assert!(policy.stands(&alice));
        assert_eq!(policy.rights(&alice, &RoomName::parse("ops").unwrap()), Rights::ALL);
        assert_eq!(shown(&policy, "late", HERE).await, Err(Refusal::Expired));
        assert_eq!(shown(&policy, "there", HERE).await, Err(Refusal::Wrong));
        assert!(shown(&policy, "there", "10.9.9.9:1").await.is_ok());
        for wrong in ["", "ol", "OLD", "old ", "sb_12345678_0_0"] {
            assert_eq!(shown(&policy, wrong, HERE).await, Err(Refusal::Wrong), "{wrong}");
        }
    }

    /// Tokens are known by the hash of all of them, and by nothing else: what is found for a part of one is what is found for none, by the same steps.
    #[tokio::test]
    async fn a_token_that_is_known_in_part_is_refused_as_one_that_is_not_known_at_all() {
        let random = ring::rand::SystemRandom::new();
        let [alices, others] = [(); 2].map(|()| StaticToken::make(&random).unwrap());
        let known = TokenSection { hashes: vec![alices.hash()], ..token("alice", &[]) };
        let policy = FilePolicy::new(&rules([known]), Vec::new()).failing(None);
        let claimant = Claimant::new(PeerAddr::Ip(HERE.parse().unwrap()));
        assert!(policy.found(alices.secret().expose(), Some(&claimant)).is_ok());
        // All but the first digit, all but the last, and nothing.
        for guess in [alices.guessed(0), alices.guessed(21), alices.guessed(42), others] {
            let token = guess.secret().expose();
            assert_eq!(policy.found(token, Some(&claimant)), Err(Refused::Unknown));
            assert_eq!(shown(&policy, token, HERE).await, Err(Refusal::Wrong));
            assert!(policy.snapshot().holder(&guess.hash()).is_none());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_was_wrong_too_often_is_not_looked_at_and_tokens_of_the_file_are_found_all_the_same() {
        let policy = FilePolicy::new(&rules([token("alice", &["hers"])]), Vec::new());
        for _ in 0..10 {
            assert_eq!(shown(&policy, "wrong", "192.0.2.1:1").await, Err(Refusal::Wrong));
        }
        for wrong in ["wrong", "other", "a.b.c"] {
            assert_eq!(shown(&policy, wrong, "192.0.2.1:2").await, Err(Refusal::Throttled));
        }
        assert!(shown(&policy, "hers", "192.0.2.1:3").await.is_ok());
        assert_eq!(shown(&policy, "wrong", "192.0.2.2:1").await, Err(Refusal::Wrong));
        tokio::time::advance(Duration::from_secs(6)).await;
        assert_eq!(shown(&policy, "wrong", "192.0.2.1:1").await, Err(Refusal::Wrong), "one more");
        assert_eq!(shown(&policy, "wrong", "192.0.2.1:1").await, Err(Refusal::Throttled));
        let never = FilePolicy::new(&rules([token("alice", &["hers"])]), Vec::new()).failing(None);
        for _ in 0..100 {
            assert_eq!(shown(&never, "wrong", "192.0.2.1:1").await, Err(Refusal::Wrong));
        }
    }

    #[tokio::test]
    async fn who_is_known_stands_as_long_as_its_token_is_in_the_file() {
        let policy = FilePolicy::new(&rules([token("alice", &["old", "new"]), token("bob", &["bobs"])]), Vec::new());
        let (old, new) = (shown(&policy, "old", HERE).await.unwrap(), shown(&policy, "new", HERE).await.unwrap());
        let bridge = FilePolicy::by_listener(UserName::parse("bridge").unwrap());
        let before = policy.generation.number();
        policy.replace(&rules([token("alice", &["new"])]));
        assert!(policy.generation.number() > before);
        assert!(!policy.stands(&old) && policy.stands(&new));
        assert!(policy.stands(&Principal::anonymous()) && policy.stands(&bridge));
        assert_eq!(shown(&policy, "old", HERE).await, Err(Refusal::Wrong));
        assert_eq!(shown(&policy, "bobs", HERE).await, Err(Refusal::Wrong));
        // Whoever takes a name over does not stand for the one before.
        policy.replace(&rules([token("alice", &["other"])]));
        assert!(!policy.stands(&new));
    }

    #[tokio::test]
    async fn who_is_known_follows_what_the_file_says_of_its_token() {
        let policy = FilePolicy::new(&rules([token("alice", &["hers"])]), Vec::new());
        let (alice, here) = (shown(&policy, "hers", HERE).await.unwrap(), PeerAddr::Ip(HERE.parse().unwrap()));
        assert_eq!(policy.updated(&alice), Some(Arc::clone(&alice)));
        assert!(policy.may_come_from(&alice, &here));
        let later = SystemTime::now() + Duration::from_mins(1);
        let from = vec!["10.0.0.0/8".parse().unwrap()];
        policy.replace(&rules([TokenSection { expires: Some(later), from, ..token("alice", &["hers"]) }]));
        assert_eq!(policy.updated(&alice).unwrap().expires(), Some(later));
        assert!(!policy.may_come_from(&alice, &here) && !policy.may_come_from(&alice, &PeerAddr::Unix(None)));
        assert!(policy.may_come_from(&Principal::anonymous(), &here));
        assert_eq!(policy.updated(&FilePolicy::by_listener(UserName::parse("alice").unwrap())), None);
    }

    #[test]
    fn whoever_comes_to_an_open_listener_may_do_everything_and_is_nobody() {
        let policy = FilePolicy::new(&rules([token("alice", &["old"])]), Vec::new());
        let (open, room) = (FilePolicy::unasked(), RoomName::parse("any").unwrap());
        assert!(open.is_anonymous() && policy.stands(&open));
        assert_eq!(policy.rights(&open, &room), Rights::ALL);
        assert_eq!(policy.rights(&Principal::anonymous(), &room), Rights::NONE);
        let alice = UserName::parse("alice").unwrap();
        assert!(policy.may_tell(&open, &alice) && !policy.may_tell(&Principal::anonymous(), &alice));
        assert!(!policy.may_be_called(&open, &alice));
    }
}
