//! Which strangers are heard and answered.
//!
//! All that is kept of one is its share of fixed tables of buckets, which all sockets of a listener share: a source may come to
//! each of them, from different ports.

use super::{Datagram, DatagramReply};
use crate::node::{Bans, network};
use parking_lot::Mutex;
use std::hash::{BuildHasher, Hash, RandomState};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use switchboard_proto::{Buckets, Rate};
use tokio::time::Instant;

/// Sources below this port are services; none of them asked us anything.
const FIRST_CLIENT_PORT: u16 = 1024;

/// Buckets for sources; a table has 512 KiB, of which only used parts are touched. With ten answers a second each, a flood from
/// forged sources of all addresses has to exceed 650,000 datagrams a second before it empties a bucket that it shares with somebody.
const BUCKETS: usize = 1 << 16;

/// Answers a second, and at once, to one address and port, if they may be answers to an answer.
const SELDOM: (u32, u32) = (1, 10);

/// Which strangers are heard and answered.
pub(crate) struct Gate {
    frame_bytes: Arc<AtomicUsize>,
    bans: Arc<Bans>,
    received: Option<Mutex<Buckets>>,
    answered: Option<Mutex<Buckets>>,
    /// Made when it is first needed.
    seldom: Mutex<Option<Buckets>>,
    key: RandomState,
    started: Instant,
}

impl Gate {
    pub(crate) fn new(
        (received, replies): (Option<Rate>, Option<Rate>),
        frame_bytes: Arc<AtomicUsize>,
        bans: Arc<Bans>,
    ) -> Self {
        let buckets = |rate| Mutex::new(Buckets::new(BUCKETS, rate));
        let (received, answered) = (received.map(buckets), replies.map(buckets));
        let (seldom, key, started) = (Mutex::default(), RandomState::new(), Instant::now());
        Self { frame_bytes, bans, received, answered, seldom, key, started }
    }

    /// Whether a datagram may be looked at.
    pub(super) fn hears(&self, datagram: &Datagram<'_>) -> bool {
        let Datagram { payload, source } = datagram;
        source.port() >= FIRST_CLIENT_PORT
            && payload.len() <= self.frame_bytes.load(Ordering::Relaxed)
            && !self.bans.hold(source.ip())
            && self.take(self.received.as_ref(), *source)
    }

    /// Whether it may be answered.
    pub(super) fn answers(&self, source: SocketAddr) -> bool {
        self.take(self.answered.as_ref(), source)
    }

    /// Whether this may be sent, if it is an answer of the seldom kind.
    pub(super) fn lets_out(&self, reply: &DatagramReply<'_>, source: SocketAddr) -> bool {
        if !reply.seldom {
            return true;
        }
        let hash = self.hash((network(source.ip()), source.port()));
        let mut buckets = self.seldom.lock();
        let buckets = buckets.get_or_insert_with(|| Buckets::new(BUCKETS, Rate::new(SELDOM.0, SELDOM.1)));
        buckets.take(hash, self.started.elapsed())
    }

    fn take(&self, buckets: Option<&Mutex<Buckets>>, source: SocketAddr) -> bool {
        let Some(buckets) = buckets else { return true };
        let hash = self.hash(network(source.ip()));
        buckets.lock().take(hash, self.started.elapsed())
    }

    /// By a secret key, so that nobody can choose whose bucket to empty.
    fn hash(&self, source: impl Hash) -> u64 {
        self.key.hash_one(source)
    }
}

#[cfg(test)]
mod tests {
    use super::{Gate, Rate};
    use std::net::{IpAddr, Ipv4Addr, SocketAddr};
    use std::sync::Arc;
    use std::sync::atomic::AtomicUsize;
    use std::time::Duration;

    /// A hundred thousand a second, each with a source of its own, for ten seconds: whoever comes then is answered.
    #[tokio::test(start_paused = true)]
    async fn a_flood_from_forged_sources_takes_nobodys_answers() {
        let gate = Gate::new((None, Some(Rate::new(10, 100))), Arc::new(AtomicUsize::new(1024)), Arc::default());
        let source = |number: u32| SocketAddr::new(IpAddr::V4(Ipv4Addr::from_bits(number)), 40_000);
        let mut flood = 0..u32::MAX;
        for _ in 0..10 {
            tokio::time::advance(Duration::from_secs(1)).await;
            flood.by_ref().take(100_000).for_each(|number| _ = gate.answers(source(number)));
        }
        let answered = (0..1000).filter(|number| gate.answers(source(u32::MAX - number))).count();
        assert_eq!(answered, 1000);
    }
}
