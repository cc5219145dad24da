//! Tokens that were verified: whoever publishes 1,000 times a second by requests pays for one signature.
//!
//! Bounded, and of one generation of the policy: what was shown by other keys or rules is forgotten.

use crate::policy::token::TokenHash;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::SystemTime;
use switchboard::policy::Principal;

/// Of each of two halves. Together they take at most 2 MiB.
const HALF: usize = 2048;

/// Whom tokens show, by their SHA-256.
#[derive(Debug, Default)]
pub(crate) struct VerifiedTokens {
    generation: u64,
    /// What was asked for lately; when it is full it becomes the other half, whose rest nobody has asked for meanwhile.
    recent: HashMap<TokenHash, Arc<Principal>>,
    before: HashMap<TokenHash, Arc<Principal>>,
}

impl VerifiedTokens {
    /// Whom a token shows, if it was verified in this generation and is good at `now`.
    pub(crate) fn get(&mut self, generation: u64, hash: &TokenHash, now: SystemTime) -> Option<Arc<Principal>> {
        self.turn_to(generation);
        let known = self.recent.get(hash).cloned();
        let known = known.or_else(|| {
            let known = self.before.remove(hash)?;
            self.insert(generation, *hash, Arc::clone(&known));
            Some(known)
        })?;
        known.expires().is_some_and(|end| now < end).then_some(known)
    }

    /// Notes a token that was verified by what `generation` said, or an earlier one.
    pub(crate) fn insert(&mut self, generation: u64, hash: TokenHash, principal: Arc<Principal>) {
        self.turn_to(generation);
        if generation != self.generation {
            return;
        }
        if self.recent.len() == HALF {
            self.before = std::mem::take(&mut self.recent);
        }
        self.recent.insert(hash, principal);
    }

    fn turn_to(&mut self, generation: u64) {
        if generation > self.generation {
            *self = Self { generation, ..Self::default() };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use switchboard::UserName;

    fn at(second: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(second)
    }

    fn somebody(number: usize) -> (TokenHash, Arc<Principal>) {
        let name = UserName::parse(&format!("p{number}")).unwrap();
        (TokenHash::of(name.as_str()), Arc::new(Principal::named(name).until(at(100))))
    }

    #[test]
    fn what_is_known_is_bounded_and_what_is_asked_for_stays() {
        let mut tokens = VerifiedTokens::default();
        let (first, principal) = somebody(0);
        tokens.insert(1, first, principal);
        for number in 1..20_000 {
            let (hash, principal) = somebody(number);
            tokens.insert(1, hash, principal);
            assert!(tokens.get(1, &first, at(99)).is_some(), "{number}");
            assert!(tokens.recent.len() + tokens.before.len() <= 2 * HALF);
        }
        assert!(tokens.get(1, &somebody(7).0, at(0)).is_none());
        assert!(tokens.get(1, &somebody(19_000).0, at(0)).is_some());
    }

    #[test]
    fn a_token_is_known_until_it_ends_and_in_its_generation_alone() {
        let mut tokens = VerifiedTokens::default();
        let (hash, principal) = somebody(0);
        tokens.insert(1, hash, Arc::clone(&principal));
        assert!(tokens.get(1, &hash, at(99)).is_some() && tokens.get(1, &hash, at(100)).is_none());
        assert!(tokens.get(2, &hash, at(0)).is_none());
        // Verified by what was in force before.
        tokens.insert(1, hash, principal);
        assert!(tokens.get(2, &hash, at(0)).is_none() && tokens.get(1, &hash, at(0)).is_none());
    }
}
