//! Tickets: what stands for a token in the URL of a stream or a WebSocket, where a browser has no header to put one in.
//!
//! Each opens one of them within half a minute, and is worth nothing from then on: URLs end up in logs and histories. What it opens
//! is what its owner may do by then. A listener knows its own, and forgets them at its end.

use super::Web;
use crate::policy::audit::Refused;
use crate::web::answer;
use http::StatusCode;
use ring::rand::{SecureRandom as _, SystemRandom};
use std::collections::{HashMap, VecDeque};
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use switchboard::PeerAddr;
use switchboard::grammar::{ErrorCode, Failure, Reply, Token};
use switchboard::http::Response;
use switchboard::policy::{Claimant, Principal};
use tokio::time::Instant;

/// How long one may be used.
const LIFE: Duration = Duration::from_secs(30);

/// Those of a listener that nobody has used: about 1 MiB. Whoever asks for another is told to come back.
const MOST: usize = 10_000;

/// 128 bits, which nobody can guess.
type Key = [u8; 16];

/// Those that were given and not used.
#[derive(Default)]
pub(super) struct Tickets {
    owners: HashMap<Key, Arc<Principal>>,
    /// When each is over, in the order in which they were given; those that were used too.
    order: VecDeque<(Instant, Key)>,
}

/// There are as many as may be.
#[derive(Debug, PartialEq)]
struct Full;

impl Tickets {
    fn give(&mut self, key: Key, owner: Arc<Principal>, now: Instant) -> Result<(), Full> {
        self.forget(now);
        if self.owners.len() == MOST {
            return Err(Full);
        }
        if self.order.len() == 2 * MOST {
            // At least half of them were used.
            self.order.retain(|(_, key)| self.owners.contains_key(key));
        }
        self.owners.insert(key, owner);
        self.order.push_back((now + LIFE, key));
        Ok(())
    }

    /// Whose it is, once.
    fn take(&mut self, key: &Key, now: Instant) -> Option<Arc<Principal>> {
        self.forget(now);
        self.owners.remove(key)
    }

    /// Forgets what is over.
    fn forget(&mut self, now: Instant) {
        while let Some((_, key)) = self.order.pop_front_if(|(end, _)| *end <= now) {
            self.owners.remove(&key);
        }
    }
}

impl Web {
    /// Gives one to whoever has shown a token.
    pub(super) fn ticket(&self, who: &Arc<Principal>, peer: &PeerAddr) -> Result<Response, Failure> {
        self.take(peer)?;
        let mut key = Key::default();
        let unavailable = || Failure::new(ErrorCode::AuthUnavailable, "no ticket can be given right now");
        SystemRandom::new().fill(&mut key).map_err(|_| unavailable())?;
        self.tickets.lock().give(key, Arc::clone(who), Instant::now()).map_err(|Full| unavailable())?;
        let end = SystemTime::now() + LIFE;
        let expires = who.expires().map_or(end, |own| own.min(end));
        let mut answer = answer::reply(&Reply::Ticket { ticket: written(&key), expires });
        *answer.status_mut() = StatusCode::CREATED;
        Ok(answer.into())
    }

    /// Whose a ticket is, if that one would still be let in.
    pub(super) fn redeem(&self, ticket: &Token, claimant: &Claimant) -> Result<Arc<Principal>, Failure> {
        let owner = read(ticket).and_then(|key| self.tickets.lock().take(&key, Instant::now()));
        let hub = self.listener.hub.policy().zip(owner);
        let owner =
            hub.filter(|(policy, owner)| policy.stands(owner) && policy.may_come_from(owner, &claimant.address));
        let owner = owner.map(|(policy, owner)| policy.updated(&owner).unwrap_or(owner));
        let audit = self.listener.policy.as_ref().map(|policy| &policy.audit);
        match (&owner, audit) {
            (Some(owner), Some(audit)) => audit.authenticated(owner, claimant),
            (None, Some(audit)) => audit.refused(Refused::Unknown, None, claimant),
            (_, None) => {}
        }
        let text = "this ticket is unknown, was used or is over: POST /tickets gives another";
        owner.ok_or_else(|| Failure::new(ErrorCode::NotAuthorized, text))
    }
}

fn written(key: &Key) -> Token {
    let digits = key.iter().fold(String::with_capacity(32), |mut digits, byte| {
        let _ = write!(digits, "{byte:02x}");
        digits
    });
    Token::new(&digits)
}

fn read(ticket: &Token) -> Option<Key> {
    let digits = ticket.reveal();
    let is_one = digits.len() == 32 && digits.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'));
    let number = u128::from_str_radix(digits, 16).ok().filter(|_| is_one);
    number.map(u128::to_be_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use switchboard::UserName;
    use tokio::time::advance;

    fn owner(name: &str) -> Arc<Principal> {
        Arc::new(Principal::named(UserName::parse(name).expect("a name")))
    }

    fn key(number: usize) -> Key {
        (number as u128).to_be_bytes()
    }

    #[tokio::test(start_paused = true)]
    async fn a_ticket_is_its_owners_once_and_for_half_a_minute() {
        let mut tickets = Tickets::default();
        for (number, name) in [(1, "alice"), (2, "bob"), (3, "carol")] {
            assert_eq!(tickets.give(key(number), owner(name), Instant::now()), Ok(()));
        }
        assert_eq!(tickets.take(&key(1), Instant::now()), Some(owner("alice")));
        assert_eq!(tickets.take(&key(1), Instant::now()), None, "it was used");
        assert_eq!(tickets.take(&key(4), Instant::now()), None);
        advance(Duration::from_millis(29_999)).await;
        assert_eq!(tickets.take(&key(2), Instant::now()), Some(owner("bob")));
        advance(Duration::from_millis(1)).await;
        assert_eq!(tickets.take(&key(3), Instant::now()), None, "it is over");
    }

    #[tokio::test(start_paused = true)]
    async fn there_are_so_many_tickets_and_those_that_are_used_or_over_make_room() {
        let (mut tickets, owner) = (Tickets::default(), owner("alice"));
        let give = |tickets: &mut Tickets, number| tickets.give(key(number), Arc::clone(&owner), Instant::now());
        for number in 0..MOST {
            assert_eq!(give(&mut tickets, number), Ok(()));
        }
        assert_eq!(give(&mut tickets, MOST), Err(Full));
        for number in 1..3 * MOST {
            assert!(tickets.take(&key(number), Instant::now()).is_some());
            assert_eq!(give(&mut tickets, MOST + number - 1), Ok(()));
            assert!(tickets.order.len() <= 2 * MOST);
        }
        advance(LIFE).await;
        assert_eq!(give(&mut tickets, 0), Ok(()));
        assert_eq!((tickets.owners.len(), tickets.order.len()), (1, 1));
    }

    #[test]
    fn a_ticket_is_read_as_it_is_written_and_in_no_other_way() {
        for key in [Key::default(), [0xa5; 16], key(7)] {
            assert_eq!(read(&written(&key)), Some(key));
        }
        for text in ["", "a5", &"A5".repeat(16), &"a5".repeat(17), &format!("+{}", "a".repeat(31))] {
            assert_eq!(read(&Token::new(text)), None, "{text}");
        }
    }
}
