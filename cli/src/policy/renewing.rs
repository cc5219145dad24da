//! Whom a callout has named is asked about again when its answer ends, so that a connection goes on for as long as the operator's program says.
//!
//! What becomes of the connections is the hub's business. Nobody is asked about whom no connection is shown to be any more.

use super::audit::Refused;
use super::configured::FilePolicy;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Arc, Weak};
use std::time::{Duration, SystemTime};
use switchboard::Hub;
use switchboard::grammar::Token;
use switchboard::policy::{Claimant, Principal};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

/// How much longer than its answer says a connection lives, so that there is time to ask again: as much as the clocks of a JWT may differ.
pub(crate) const GRACE: Duration = Duration::from_secs(30);

/// How long after a question it is asked again, if there was no answer, or one that is good for less.
const APART: Duration = Duration::from_secs(5);

/// Asked at once: half of what the callout takes, since others come at the same time.
const AT_ONCE: usize = 32;

/// Where nothing is due, it looks again after a while: it is woken by whoever is to be asked about sooner.
const LONG: Duration = Duration::from_hours(1);

/// Fewer are not looked through for those that are gone.
const FEW: usize = 1024;

/// Whom to ask about, and when.
#[derive(Debug, Default)]
pub(super) struct Renewals {
    queue: Mutex<Queue>,
    /// There is one that comes first.
    sooner: Notify,
}

#[derive(Debug, Default)]
struct Queue {
    /// In order; a number tells apart those of one time.
    due: BTreeMap<(Instant, u64), Renewal>,
    next: u64,
    /// So many were left when it was last looked through.
    living: usize,
}

/// One answer of the callout's. Tokens stay in memory for this, of no others than these.
#[derive(Debug)]
struct Renewal {
    principal: Weak<Principal>,
    token: Token,
    claimant: Claimant,
}

impl Renewals {
    fn insert(&self, due: Instant, renewal: Renewal) {
        let mut queue = self.queue.lock();
        // Most requests are over long before their answer ends.
        if queue.due.len() >= 2 * queue.living.max(FEW) {
            queue.due.retain(|_, renewal| renewal.principal.strong_count() > 0);
            queue.living = queue.due.len();
        }
        let key = (due, queue.next);
        queue.next += 1;
        queue.due.insert(key, renewal);
        if queue.due.first_key_value().is_some_and(|(first, _)| *first == key) {
            self.sooner.notify_one();
        }
    }

    /// One that is due at `now`, or else when there will be one.
    fn take(&self, now: Instant) -> Result<Renewal, Instant> {
        let mut queue = self.queue.lock();
        match queue.due.first_entry() {
            Some(first) if first.key().0 <= now => Ok(first.remove()),
            Some(first) => Err(first.key().0),
            None => Err(now + LONG),
        }
    }
}

impl FilePolicy {
    /// Has the callout asked again when its answer ends, of which `principal` is what it has come to.
    pub(super) fn note_end(&self, principal: &Arc<Principal>, token: &Token, claimant: &Claimant) {
        let Some(end) = principal.expires() else { return };
        let left = end.duration_since(SystemTime::now()).unwrap_or_default().saturating_sub(GRACE);
        // There is time for that, as all live longer than their answers say.
        let left = left.max(APART);
        // What ends in a hundred years does not.
        let Some(due) = Instant::now().checked_add(left) else { return };
        let (token, claimant) = (token.clone(), claimant.clone());
        self.renewals.insert(due, Renewal { principal: Arc::downgrade(principal), token, claimant });
    }

    /// Asks about those whose time has come, for as long as it is polled.
    ///
    /// # Cancel safety
    /// Not safe: whom it asks about at that moment ends when the answer does.
    pub(crate) async fn keep_asking(self: Arc<Self>, hub: &Hub) -> Infallible {
        let mut under_way = JoinSet::new();
        loop {
            let now = Instant::now();
            let mut wait_until = now + LONG;
            while under_way.len() < AT_ONCE {
                match self.renewals.take(now) {
                    Ok(renewal) => _ = under_way.spawn(Arc::clone(&self).renew(hub.clone(), renewal)),
                    Err(due) => {
                        wait_until = due;
                        break;
                    }
                }
            }
            tokio::select! {
                () = sleep_until(wait_until) => {}
                () = self.renewals.sooner.notified() => {}
                Some(_) = under_way.join_next() => {}
            }
        }
    }

    async fn renew(self: Arc<Self>, hub: Hub, renewal: Renewal) {
        let Renewal { principal, token, claimant } = &renewal;
        let (Some(before), Some(callout)) = (principal.upgrade(), self.callout()) else { return };
        let (answer, _) = self.answered(&callout, token.reveal(), claimant).await;
        match answer {
            Ok(renewed) if renewed.name() == before.name() => {
                let renewed = Arc::new(renewed);
                self.audit.authenticated(&renewed, claimant);
                self.note_end(&renewed, token, claimant);
                hub.renew(&before, Some(&renewed)).await;
            }
            Err(Refused::Unanswered) => {
                drop(before);
                self.renewals.insert(Instant::now() + APART, renewal);
            }
            // Yes, and over by now.
            Err(Refused::Expired) => {
                let over = Principal::clone(&before).until(SystemTime::now());
                hub.renew(&before, Some(&Arc::new(over))).await;
            }
            Ok(_) | Err(_) => {
                self.audit.unrenewed(&before, claimant);
                hub.renew(&before, None).await;
            }
        }
    }
}

#[cfg(test)]
mod tests;
