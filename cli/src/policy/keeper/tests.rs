//! An issuer of the test's, whose keys change, and which fails; the clock stands still but for what is waited for.

use super::super::jwt::algorithm::Algorithm;
use super::super::jwt::keys::KeySet;
use super::super::jwt::place::{Fetch, FetchKeys, Fetching};
use super::super::jwt::section::{JwtSection, KeysFrom};
use super::super::jwt::tests::{Issuer, section};
use super::super::rules::{At, Rules};
use super::*;
use parking_lot::Mutex;
use serde_json::json;
use switchboard::grammar::Token;
use switchboard::policy::{Claimant, Credentials, Policy as _, Refusal};
use switchboard::{HubLimits, PeerAddr};
use tokio::time::{advance, sleep};

/// What a URL answers, and how often it was asked.
#[derive(Default)]
struct Place {
    answer: Mutex<Option<String>>,
    asked: Mutex<usize>,
}

impl FetchKeys for Place {
    fn fetch(&self) -> Fetching<'_> {
        Box::pin(async {
            *self.asked.lock() += 1;
            // It takes a while, in which others come.
            sleep(Duration::from_millis(100)).await;
            self.answer.lock().clone().map(Into::into).ok_or_else(|| "it is down".to_owned())
        })
    }
}

struct Stage {
    place: Arc<Place>,
    policy: Arc<FilePolicy>,
    hub: Hub,
    section: JwtSection,
}

impl Stage {
    fn new() -> Self {
        let place = Arc::new(Place::default());
        let url = KeysFrom::Url(At { line: 1, column: 1 }, "https://id.example.org/keys".to_owned());
        let fetch = Fetch(Some(Arc::<Place>::clone(&place)));
        let one = section(&Issuer::new(Algorithm::Es256));
        let section = JwtSection { keys: url, read: KeySet::default(), fetch, ..one };
        let rules = Rules { jwt: vec![section.clone()], ..Rules::default() };
        let policy = Arc::new(FilePolicy::new(&rules, Vec::new()));
        let hub = Hub::with_policy(HubLimits::default(), Arc::<FilePolicy>::clone(&policy));
        Self { place, policy, hub, section }
    }

    fn publishes(&self, keys: &[(&Issuer, &str)]) {
        let keys = keys.iter().map(|(issuer, kid)| issuer.keys(Some(kid))["keys"][0].clone());
        *self.place.answer.lock() = Some(json!({ "keys": keys.collect::<Vec<_>>() }).to_string());
    }

    fn asked(&self) -> usize {
        *self.place.asked.lock()
    }

    async fn shows(&self, issuer: &Issuer, kid: &str) -> Result<(), Refusal> {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
        let token = issuer.token(json!({ "kid": kid }), Issuer::claims(json!({"iat": now, "exp": now + 600})));
        let claimant = Claimant::new(PeerAddr::Memory);
        self.policy.authenticate(Credentials::Token(Token::new(&token)), claimant).await.map(drop)
    }

    /// Has the keys kept fresh while `test` runs.
    async fn while_kept_fresh(&self, test: impl Future<Output = ()>) {
        tokio::select! {
            never = keep_fresh(&self.policy, &self.hub, None) => match never {},
            () = test => {}
        }
    }
}

const OLD_KEY: &str = "old";
const NEW_KEY: &str = "new";

#[tokio::test(start_paused = true)]
async fn a_key_that_a_token_has_is_fetched_and_made_up_ones_are_not() {
    let (stage, old, new) = (Stage::new(), Issuer::new(Algorithm::Es256), Issuer::new(Algorithm::Es256));
    stage.publishes(&[(&old, OLD_KEY)]);
    stage
        .while_kept_fresh(async {
            assert_eq!(stage.shows(&old, OLD_KEY).await, Ok(()), "the first keys are waited for");
            assert_eq!(stage.asked(), 1);
            stage.publishes(&[(&old, OLD_KEY), (&new, NEW_KEY)]);
            assert_eq!(stage.shows(&new, NEW_KEY).await, Err(Refusal::Wrong), "it was asked a moment ago");
            advance(Duration::from_secs(31)).await;
            let generation = stage.policy.generation().number();
            assert_eq!(stage.shows(&new, NEW_KEY).await, Ok(()));
            assert!(stage.policy.generation().number() > generation, "what was said by other keys is asked again");
            for number in 0..1000 {
                assert_eq!(stage.shows(&new, &format!("made-up-{number}")).await, Err(Refusal::Wrong));
            }
            assert_eq!(stage.asked(), 2);
            advance(Duration::from_secs(31)).await;
            for number in 0..1000 {
                assert_eq!(stage.shows(&new, &format!("made-up-{number}")).await, Err(Refusal::Wrong));
            }
            assert_eq!((stage.asked(), stage.shows(&old, OLD_KEY).await), (3, Ok(())));
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn an_issuer_that_is_down_changes_nothing_and_is_asked_again() {
    let (stage, old, new) = (Stage::new(), Issuer::new(Algorithm::Es256), Issuer::new(Algorithm::Es256));
    stage
        .while_kept_fresh(async {
            assert_eq!(stage.shows(&old, OLD_KEY).await, Err(Refusal::Unavailable));
            stage.publishes(&[(&old, OLD_KEY)]);
            sleep(Duration::from_secs(40)).await;
            assert_eq!(stage.shows(&old, OLD_KEY).await, Ok(()));
            for answer in [None, Some("<html>"), Some("{\"keys\":[]}")] {
                *stage.place.answer.lock() = answer.map(str::to_owned);
                sleep(Duration::from_mins(12)).await;
                assert_eq!(stage.shows(&old, OLD_KEY).await, Ok(()), "{answer:?}");
            }
            // A key that is gone is gone.
            stage.publishes(&[(&new, NEW_KEY)]);
            sleep(Duration::from_mins(2)).await;
            assert_eq!(stage.shows(&old, OLD_KEY).await, Err(Refusal::Wrong));
            assert_eq!(stage.shows(&new, NEW_KEY).await, Ok(()));
            let asked = stage.asked();
            sleep(Duration::from_hours(1)).await;
            assert!((asked + 5..=asked + 7).contains(&stage.asked()), "{} and then {}", asked, stage.asked());
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_reload_keeps_what_was_fetched_and_asks_again() {
    let (stage, old, other) = (Stage::new(), Issuer::new(Algorithm::Es256), Issuer::new(Algorithm::Es256));
    stage.publishes(&[(&old, OLD_KEY)]);
    stage
        .while_kept_fresh(async {
            assert_eq!(stage.shows(&old, OLD_KEY).await, Ok(()));
            let changed = JwtSection { groups_claim: None, ..stage.section.clone() };
            *stage.place.answer.lock() = None;
            stage.policy.replace(&Rules { jwt: vec![changed], ..Rules::default() });
            assert_eq!(stage.shows(&old, OLD_KEY).await, Ok(()));
            stage.publishes(&[(&other, NEW_KEY)]);
            stage.policy.refresh_keys();
            sleep(Duration::from_secs(1)).await;
            assert_eq!((stage.shows(&old, OLD_KEY).await, stage.asked()), (Err(Refusal::Wrong), 2));
            assert_eq!(stage.shows(&other, NEW_KEY).await, Ok(()));
            // Elsewhere there may be others.
            let moved = KeysFrom::Url(At { line: 1, column: 1 }, "https://elsewhere.example.org/".to_owned());
            *stage.place.answer.lock() = None;
            let moved = JwtSection { keys: moved, ..stage.section.clone() };
            stage.policy.replace(&Rules { jwt: vec![moved], ..Rules::default() });
            assert_eq!(stage.shows(&other, NEW_KEY).await, Err(Refusal::Unavailable));
        })
        .await;
}

#[test]
fn a_kept_set_is_in_force_before_anything_was_fetched() {
    let issuer = Issuer::new(Algorithm::Es256);
    let at = |hours: u64| SystemTime::UNIX_EPOCH + Duration::from_hours(hours);
    let section = JwtSection { fetched: Some(at(1)), ..section(&issuer) };
    let source = JwtSource::new(JwtSection { keys: KeysFrom::Url(section.at, "https://x/".to_owned()), ..section });
    assert!(source.has_keys());
    assert_eq!(source.keys_age(at(30)), Some(Duration::from_hours(29)));
}
