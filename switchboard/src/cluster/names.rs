//! Whose a name is among all nodes: a record of each name that somebody has, put by the node that he is on.
//!
//! A record holds as long as its node's lease is in the [term](State::term) that it names. A node that could not renew its lease in time begins
//! another term, and puts its names anew; those that another node has taken meanwhile it has lost. While nothing can be put, no name is given.

use super::bus::{Bus, NodeId, NodeRecord, PutError, RecordsAway};
use super::freed::{Freed, FreedNames};
use super::together::together;
use crate::hub::log::answered;
use bytes::Bytes;
use parking_lot::Mutex;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;
use switchboard_proto::UserName;
use tokio::time::{Instant, sleep};

/// How long a lease holds that is not renewed, and how often it is.
pub(super) const LEASE: Duration = Duration::from_secs(15);
pub(super) const RENEW_EVERY: Duration = Duration::from_secs(5);

/// How long a node gives no name that it does not hold once its lease was lost: all may have been, as where records are in memory and their
/// server was restarted. Nodes come back within 2 s then.
const HOLD_BACK: Duration = Duration::from_secs(5);

/// How long the record of a name stays that nobody has any more.
const FREE_STAYS: Duration = Duration::from_mins(1);

/// How often a claim looks again before it gives up, and how long it waits before it does from the third time on.
const TRIES: usize = 8;
const BREATH: Duration = Duration::from_millis(20);

/// How often a claim waits for another one of the same name.
const WAITS: usize = 100;

/// For how long something may come to be put of which nobody has said that it is.
const DOUBT: Duration = Duration::from_secs(10);

/// How long it is remembered where a name is, and of how many.
const REMEMBERED: Duration = Duration::from_secs(1);
const MOST_REMEMBERED: usize = 4096;

/// Why a name is not this node's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unclaimed {
    /// Somebody on this node has it.
    Taken(NodeId),
    /// It is not known whether anybody has it.
    Unavailable,
}

/// What came of a renewal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LeaseRenewal {
    Kept,
    /// The lease was lost: names are to be put anew.
    Anew,
    Away,
}

pub(super) struct NameRecords {
    pub(super) own: NodeId,
    bus: Arc<dyn Bus>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Counts leases: one more each time that it was lost.
    term: u64,
    lease: u64,
    /// The highest revision that this node has put: one that is put later and is not higher shows that older records were put back.
    newest: u64,
    /// It was lost, and no other one is begun yet.
    is_lost: bool,
    /// Records may have been lost: until then the others have time to put theirs again, and no name is claimed.
    holds_back: Option<Instant>,
    /// Until when it holds, by this node's clock.
    until: Option<Instant>,
    held: HashMap<UserName, Held>,
    freed: FreedNames,
    /// Names that are being claimed.
    claiming: HashSet<UserName>,
    /// Names that are put in an earlier term.
    outdated: BTreeSet<UserName>,
    remembered: HashMap<UserName, (Instant, Option<NodeId>)>,
}

struct Held {
    revision: u64,
    /// Who is about to take it.
    guards: u32,
}

/// Who finds out what comes of a claim.
enum Begun {
    Known(Result<(), Unclaimed>),
    Here,
    /// Another claim of the same name, which is under way.
    Elsewhere,
}

impl State {
    fn is_leased(&self) -> bool {
        self.until.is_some_and(|until| Instant::now() < until)
    }

    /// The lease was lost: another term begins, in which all names are to be put anew. Says which.
    fn lose_lease(&mut self) -> u64 {
        self.term += 1;
        (self.lease, self.until, self.is_lost) = (0, None, true);
        self.outdated = self.held.keys().cloned().collect();
        self.term
    }
}

fn name_key(name: &UserName) -> String {
    format!("name.{}", name.as_str().to_ascii_lowercase().replace('.', "="))
}

pub(super) fn node_key(node: NodeId) -> String {
    format!("node.{node}")
}

pub(super) fn owned(node: NodeId, term: u64) -> Bytes {
    format!("{node} {term}").into()
}

/// Whose a record is, and in which term; nobody's if it is free, or nothing that a node puts.
fn owner(record: &NodeRecord) -> Option<(NodeId, u64)> {
    let (node, term) = std::str::from_utf8(&record.value).ok()?.split_once(' ')?;
    Some((NodeId(u64::from_str_radix(node, 16).ok()?), term.parse().ok()?))
}

impl NameRecords {
    pub(super) fn new(own: NodeId, bus: Arc<dyn Bus>) -> Self {
        Self { own, bus, state: Mutex::new(State { term: 1, ..State::default() }) }
    }

    pub(super) async fn put(
        &self,
        key: &str,
        expected: u64,
        value: Bytes,
        lives: Option<Duration>,
    ) -> Result<u64, PutError> {
        let (done, told) = answered();
        self.bus.put(key, expected, value, lives, done);
        let put = told.await.unwrap_or_else(|_| Err(PutError::Unknown("the bus is closed".into())));
        if let Ok(revision) = put {
            let newest = &mut self.state.lock().newest;
            *newest = revision.max(*newest);
        }
        put
    }

    /// Records may have been lost, or older ones put back: no name is claimed until the lease was looked at.
    pub(super) fn doubt(&self) {
        self.state.lock().until = None;
    }

    pub(super) async fn record(&self, key: &str) -> Result<Option<NodeRecord>, RecordsAway> {
        let (done, told) = answered();
        self.bus.record(key, done);
        told.await.unwrap_or_else(|_| Err(RecordsAway("the bus is closed".into())))
    }

    /// Whether a name is this node's to give.
    pub(super) fn holds(&self, name: &UserName) -> bool {
        self.state.lock().held.contains_key(name)
    }

    pub(super) fn is_leased(&self) -> bool {
        self.state.lock().is_leased()
    }

    pub(super) fn count(&self) -> usize {
        self.state.lock().held.len()
    }

    /// Makes a name this node's. It is until [`unguard`](Self::unguard) and [`release`](Self::release) are called for it.
    ///
    /// # Cancel safety
    /// It is to be awaited to its end: what it has put would stay.
    pub(super) async fn claim(&self, name: &UserName) -> Result<(), Unclaimed> {
        for _ in 0..WAITS {
            match self.begin_claim(name) {
                Begun::Known(known) => return known,
                Begun::Here => {
                    let claimed = self.put_first(name).await;
                    self.state.lock().claiming.remove(name);
                    return claimed;
                }
                // One at a time: what one has put is never what another of this node gives back.
                Begun::Elsewhere => sleep(BREATH).await,
            }
        }
        Err(Unclaimed::Unavailable)
    }

    fn begin_claim(&self, name: &UserName) -> Begun {
        let mut state = self.state.lock();
        if let Some(held) = state.held.get_mut(name) {
            held.guards += 1;
            return Begun::Known(Ok(()));
        }
        let holds_back = state.holds_back.is_some_and(|until| Instant::now() < until);
        // What is put without an answer is to be given back: where that is too much, nothing is put.
        if !state.is_leased() || holds_back || state.freed.is_full() {
            return Begun::Known(Err(Unclaimed::Unavailable));
        }
        if state.claiming.insert(name.clone()) { Begun::Here } else { Begun::Elsewhere }
    }

    async fn put_first(&self, name: &UserName) -> Result<(), Unclaimed> {
        let (key, mut expected) = (name_key(name), 0);
        for attempt in 0..TRIES {
            if attempt > 2 {
                sleep(BREATH).await;
            }
            let Some(term) = self.leased_term() else { break };
            match self.put(&key, expected, owned(self.own, term), None).await {
                Ok(revision) => {
                    let mut state = self.state.lock();
                    if state.term == term {
                        state.held.insert(name.clone(), Held { revision, guards: 1 });
                        return Ok(());
                    }
                    // The lease was lost meanwhile.
                    expected = revision;
                }
                Err(PutError::Stale) => {
                    let free = self.free_at(&key).await;
                    if free == Err(Unclaimed::Unavailable) {
                        self.is_doubtful(name);
                    }
                    expected = free?;
                }
                Err(PutError::Unknown(_)) => break,
            }
        }
        self.is_doubtful(name);
        Err(Unclaimed::Unavailable)
    }

    /// A name may be put, now or later, and nobody here has it.
    pub(super) fn is_doubtful(&self, name: &UserName) {
        self.state.lock().freed.add(name.clone(), Freed::Doubtful(Instant::now() + DOUBT));
    }

    /// As which a record was put that nobody living has, or 0.
    async fn free_at(&self, key: &str) -> Result<u64, Unclaimed> {
        let record = self.record(key).await.map_err(|_| Unclaimed::Unavailable)?;
        let Some(record) = record else { return Ok(0) };
        match owner(&record) {
            Some((node, term)) if node != self.own && self.lives(node, term).await? => Err(Unclaimed::Taken(node)),
            // Nobody's; one whose lease is over; or this node's, of which nobody here knows: it is put again, so that what is under way for it fails.
            _ => Ok(record.revision),
        }
    }

    /// Whether a node's lease is in that term.
    async fn lives(&self, node: NodeId, term: u64) -> Result<bool, Unclaimed> {
        let lease = self.record(&node_key(node)).await.map_err(|_| Unclaimed::Unavailable)?;
        Ok(lease.and_then(|lease| owner(&lease)) == Some((node, term)))
    }

    /// Whoever was about to take a name has it, or not.
    pub(super) fn unguard(&self, name: &UserName) {
        if let Some(held) = self.state.lock().held.get_mut(name) {
            held.guards -= 1;
        }
    }

    /// Nobody here has the name. It is given back, unless somebody is about to take it.
    pub(super) fn release(&self, name: &UserName) -> bool {
        let mut state = self.state.lock();
        if state.held.get(name).is_none_or(|held| held.guards > 0) {
            return false;
        }
        state.outdated.remove(name);
        if let Some(held) = state.held.remove(name) {
            state.freed.add(name.clone(), Freed::At(held.revision));
        }
        true
    }

    /// Gives back what is nobody's any more, a few side by side. Says whether there may be more to do at once.
    pub(super) async fn give_back(&self, limit: usize) -> bool {
        let some = self.state.lock().freed.take(limit);
        let given = together(some.iter().map(|(name, freed)| self.give_one_back(name, *freed))).await;
        let mut is_away = false;
        let mut later = Vec::new();
        for ((name, _), given) in some.into_iter().zip(given) {
            match given {
                Ok(None) => {}
                Ok(Some(freed)) => later.push((name, freed)),
                Err(freed) => {
                    is_away = true;
                    later.push((name, freed));
                }
            }
        }
        let mut state = self.state.lock();
        let is_more = !is_away && !state.freed.is_empty();
        for (name, freed) in later {
            state.freed.add(name, freed);
        }
        is_more
    }

    /// Gives one back; or says what is to be done about it later, and whether that is because nothing can be put.
    async fn give_one_back(&self, name: &UserName, freed: Freed) -> Result<Option<Freed>, Freed> {
        let key = name_key(name);
        let (revision, left) = match freed {
            Freed::At(revision) => (revision, None),
            Freed::Doubtful(until) => {
                let Ok(record) = self.record(&key).await else { return Err(freed) };
                let state = self.state.lock();
                if state.held.contains_key(name) {
                    return Ok(None);
                }
                let left = (Instant::now() < until).then_some(freed);
                let own = record.filter(|record| owner(record).is_some_and(|(node, _)| node == self.own));
                match own {
                    _ if state.claiming.contains(name) => return Ok(Some(freed)),
                    None => return Ok(left),
                    Some(record) => (record.revision, left),
                }
            }
        };
        match self.put(&key, revision, Bytes::new(), Some(FREE_STAYS)).await {
            // One that is another one's by now is not given back.
            Ok(_) | Err(PutError::Stale) => Ok(left),
            Err(PutError::Unknown(_)) => Err(freed),
        }
    }

    /// Renews the lease, or begins another one where it was lost.
    pub(super) async fn renew(&self) -> LeaseRenewal {
        let (mut term, lease, mut newest) = {
            let state = self.state.lock();
            (state.term, state.lease, state.newest)
        };
        let (key, is_first, mut expected) = (node_key(self.own), lease == 0, lease);
        for _ in 0..TRIES {
            let sent = Instant::now();
            match self.put(&key, expected, owned(self.own, term), Some(LEASE)).await {
                Ok(revision) if revision <= newest => {
                    (expected, newest) = (revision, 0);
                    term = self.state.lock().lose_lease();
                }
                Ok(revision) => {
                    let mut state = self.state.lock();
                    (state.lease, state.until) = (revision, Some(sent + LEASE));
                    let was_lost = std::mem::take(&mut state.is_lost);
                    if was_lost {
                        state.newest = revision;
                        state.holds_back = Some(Instant::now() + HOLD_BACK);
                    }
                    return if was_lost { LeaseRenewal::Anew } else { LeaseRenewal::Kept };
                }
                Err(PutError::Stale) => {
                    let Ok(record) = self.record(&key).await else { return LeaseRenewal::Away };
                    expected = record.as_ref().map_or(0, |record| record.revision);
                    // What was put without an answer is the lease all the same; one before it is an older copy's.
                    let holds = expected >= lease && record.as_ref().and_then(owner) == Some((self.own, term));
                    let mut state = self.state.lock();
                    if !holds && !is_first && !state.is_lost {
                        newest = 0;
                        term = state.lose_lease();
                    }
                }
                Err(PutError::Unknown(_)) => return LeaseRenewal::Away,
            }
        }
        LeaseRenewal::Away
    }

    /// Puts names anew that are of an earlier term, a few side by side. Gives those that another node has taken, and whether there are more that
    /// can be put at once.
    pub(super) async fn put_anew(&self, limit: usize) -> (Vec<UserName>, bool) {
        let some: Vec<_> = self.state.lock().outdated.iter().take(limit).cloned().collect();
        let put = together(some.iter().map(|name| self.put_one_anew(name))).await;
        let is_away = put.contains(&Err(Unclaimed::Unavailable));
        let mut state = self.state.lock();
        let mut lost = Vec::new();
        for (name, put) in some.into_iter().zip(put) {
            if let Err(Unclaimed::Taken(_)) = put {
                state.outdated.remove(&name);
                state.held.remove(&name);
                lost.push(name);
            }
        }
        (lost, !is_away && !state.outdated.is_empty())
    }

    /// Whether nobody may rely on it that a name is this node's, since it is of an earlier term.
    #[cfg(test)]
    pub(super) fn is_outdated(&self, name: &UserName) -> bool {
        self.state.lock().outdated.contains(name)
    }

    fn leased_term(&self) -> Option<u64> {
        let state = self.state.lock();
        state.is_leased().then_some(state.term)
    }

    async fn put_one_anew(&self, name: &UserName) -> Result<(), Unclaimed> {
        let key = name_key(name);
        let held = self.state.lock().held.get(name).map(|held| held.revision);
        let Some(mut expected) = held else {
            self.state.lock().outdated.remove(name);
            return Ok(());
        };
        for _ in 0..TRIES {
            // What is put without a lease would count once there is another one in the same term.
            let Some(term) = self.leased_term() else { break };
            match self.put(&key, expected, owned(self.own, term), None).await {
                Ok(revision) => {
                    let mut state = self.state.lock();
                    if state.term != term {
                        break;
                    }
                    state.outdated.remove(name);
                    if let Some(held) = state.held.get_mut(name) {
                        // Lower than before where older records were put back.
                        held.revision = revision;
                    } else {
                        // It was given back meanwhile, by a revision that is over.
                        state.freed.add(name.clone(), Freed::At(revision));
                    }
                    return Ok(());
                }
                Err(PutError::Stale) => expected = self.free_at(&key).await?,
                Err(PutError::Unknown(_)) => break,
            }
        }
        Err(Unclaimed::Unavailable)
    }

    /// On which other node a name is, as far as records say. What is found is remembered for a second.
    pub(super) async fn find(&self, name: &UserName, block: Option<String>) -> Result<Option<NodeId>, RecordsAway> {
        let now = Instant::now();
        if let Some((at, node)) = self.state.lock().remembered.get(name).copied()
            && now.saturating_duration_since(at) < REMEMBERED
        {
            return Ok(node);
        }
        let is_guest = block.is_some();
        let record = self.record(&block.unwrap_or_else(|| name_key(name))).await?;
        let owner = record.as_ref().and_then(owner).filter(|(node, _)| *node != self.own);
        let node = match owner {
            Some((node, term)) if !is_guest => {
                let lives = self.lives(node, term).await.map_err(|_| RecordsAway("the lease is not known".into()))?;
                lives.then_some(node)
            }
            owner => owner.map(|(node, _)| node),
        };
        let mut state = self.state.lock();
        if state.remembered.len() >= MOST_REMEMBERED {
            state.remembered.clear();
        }
        state.remembered.insert(name.clone(), (now, node));
        Ok(node)
    }
}
