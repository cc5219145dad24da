//! The bound on all memory held for messages.
//!
//! Connections charge what they hold. What is about to be written counts in whole steps only, so that steady traffic of small
//! frames never touches the shared counter; what is kept until the peer does something counts to the last byte. What waits in
//! workers' inboxes is charged as it comes. Histories count themselves, and are asked only when there is not much left. Over the limit, no connection is read from that holds anything
//! until somebody has given way: who, is decided by whoever waits for [`Budget::pressure`].

use super::Link;
use super::delivery::Reclaim;
use super::figure::Sum;
use super::held_up::{HeldUp, Waiter};
use crate::sync::Mutex;
use crate::turn::{CALL_BYTES, Turn};
use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::sync::Notify;

/// What passes is charged in whole steps of this. While memory is short, one connection is read from as long as it holds less.
pub(crate) const STEP_BYTES: usize = 4096;

/// Charges are in units of this: about what the allocator and `bytes` need beside a small piece.
const UNIT_BYTES: usize = 256;

/// What is kept is charged in parts of the next power of two, so that what grows by a little each time seldom touches the counter.
const PARTS: usize = 32;

/// Below this share of the limit there cannot be too much in total, whatever histories and inboxes hold.
const EASE: usize = 4;

/// The part of the limit that must be free before everybody is read from again. If it were small, the first few waiters
/// would use it up, and the others would wait for further connections to be closed.
const SLACK_PART: usize = 8;

/// What a newcomer holds at most once its first bytes were read: half of the slack is for newcomers.
const NEWCOMER_BYTES: usize = 64 << 10;

/// Histories grow without telling the budget, so it looks by itself now and then.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// How long closed connections have to give back what they held, before the next ones are closed.
const RELIEF_WAIT: Duration = Duration::from_millis(10);

/// The sum of bytes held, and its limit.
pub(crate) struct Budget {
    /// More than the limit is held, or was a moment ago: connections that hold any of it are not read from.
    is_exceeded: AtomicBool,
    held: AtomicUsize,
    limit: AtomicUsize,
    /// The part of it held by connections that were closed for it.
    written_off: AtomicUsize,
    pressure: Notify,
    /// There is slack again.
    relief: Notify,
    /// How many newcomers may still be read from, though others have used up the memory.
    newcomers: AtomicUsize,
    /// Who waits for that.
    held_up: Mutex<HeldUp>,
    /// What counts itself.
    kept: Mutex<Vec<Weak<dyn Reclaim>>>,
    /// What that keeps.
    sum: Arc<Sum>,
}

/// What one connection is charged with in one direction.
#[derive(Debug, Default)]
pub(crate) struct Charge {
    units: u32,
}

impl Budget {
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            is_exceeded: AtomicBool::new(false),
            held: AtomicUsize::new(0),
            limit: AtomicUsize::new(limit),
            written_off: AtomicUsize::new(0),
            pressure: Notify::new(),
            relief: Notify::new(),
            newcomers: AtomicUsize::new(0),
            held_up: Mutex::default(),
            kept: Mutex::default(),
            sum: Arc::default(),
        }
    }

    pub(crate) fn limit(&self) -> usize {
        // Relaxed: a setting that guards no other memory.
        self.limit.load(Ordering::Relaxed)
    }

    /// Anything held above it from now on makes somebody give way.
    pub(crate) fn set_limit(&self, limit: usize) {
        self.limit.store(limit, Ordering::Relaxed);
        for one in self.kept() {
            one.follow(self.address(), limit);
        }
    }

    /// Counts what waits in a worker's inbox.
    pub(crate) fn post(&self, bytes: usize) {
        self.change(0, bytes);
    }

    /// Takes off what an inbox held no more.
    pub(crate) fn delivered(&self, bytes: usize) {
        self.change(bytes, 0);
    }

    fn held(&self) -> usize {
        // Relaxed: a sum to compare with a limit; it guards no other memory.
        self.held.load(Ordering::Relaxed)
    }

    /// Bytes held above the limit.
    pub(crate) fn excess(&self) -> usize {
        self.above(self.limit())
    }

    /// Bytes that must be freed before everybody is read from again.
    pub(crate) fn surplus(&self) -> usize {
        self.above(self.eased_limit())
    }

    fn eased_limit(&self) -> usize {
        self.limit() - self.limit() / SLACK_PART
    }

    fn above(&self, bound: usize) -> usize {
        self.total().saturating_sub(bound.saturating_add(self.written_off.load(Ordering::Relaxed)))
    }

    pub(crate) fn total(&self) -> usize {
        self.held() + self.sum.bytes()
    }

    /// Whether connections that hold something must not be read from.
    #[inline]
    pub(crate) fn is_exceeded(&self) -> bool {
        // Relaxed: a waiter looks again under a lock.
        self.is_exceeded.load(Ordering::Relaxed)
    }

    /// Lets a connection go on once there is memory again. Returns whether it has to wait.
    pub(super) fn wait(&self, link: &Arc<Link>) -> bool {
        let mut held_up = self.held_up.lock();
        // Under the lock that relief takes too: either it is seen here, or the waiter is seen there.
        let is_exceeded = self.is_exceeded();
        if is_exceeded {
            held_up.add(Waiter::connection(link));
        }
        is_exceeded
    }

    /// Waits, if memory is short, until there is some again, which others may use up at once. For tasks, however many belong to one
    /// connection.
    pub(crate) async fn relieved(&self) {
        let mut place = None;
        poll_fn(|cx| {
            // Lock before looking, as in `wait`.
            let mut held_up = self.held_up.lock();
            held_up.poll_in_task(&mut place, self.is_exceeded(), cx)
        })
        .await;
    }

    /// Lets everybody be read from again.
    pub(crate) async fn relieve(&self) {
        let mut held_up = {
            let mut held_up = self.held_up.lock();
            self.is_exceeded.store(false, Ordering::Relaxed);
            self.newcomers.store((self.limit() / SLACK_PART / 2 / NEWCOMER_BYTES).max(1), Ordering::Relaxed);
            GoingOn(held_up.take().into_iter())
        };
        let mut turn = Turn::default();
        for waiter in held_up.0.by_ref() {
            waiter.go_on();
            turn.spend(CALL_BYTES).await;
        }
    }

    /// Whether one more newcomer may be read from while memory is short.
    pub(super) fn takes_newcomer(&self) -> bool {
        // Relaxed: a count that guards no other memory.
        self.newcomers.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok()
    }

    /// Waits until there is slack again, but only for a moment.
    pub(crate) async fn relief(&self) {
        // Those that should give something back may be held up by others.
        let _ = tokio::time::timeout(RELIEF_WAIT, async {
            while self.surplus() > 0 {
                self.relief.notified().await;
            }
        })
        .await;
    }

    /// Waits until more than the limit is held. From then until [`relieve`](Self::relieve), connections that hold
    /// something are not read from.
    pub(crate) async fn pressure(&self) {
        loop {
            let surplus = self.total().saturating_sub(self.eased_limit());
            self.written_off.fetch_min(surplus, Ordering::Relaxed);
            // The charge that exceeded it may be gone by now.
            if self.is_exceeded() || self.excess() > 0 {
                return self.is_exceeded.store(true, Ordering::Relaxed);
            }
            let _ = tokio::time::timeout(LOOK_INTERVAL, self.pressure.notified()).await;
        }
    }

    /// Nobody is left to close for what is held above the limit, so that does not count until it is given back.
    pub(crate) fn write_off(&self) {
        self.written_off.fetch_add(self.surplus(), Ordering::Relaxed);
    }

    /// Of what was written off, what is still held by those who cannot be closed for it, where those who can hold `closable`. Others
    /// have taken the place of what was given back meanwhile.
    pub(crate) fn keep_written_off(&self, closable: usize) {
        self.written_off.fetch_min(self.total().saturating_sub(closable), Ordering::Relaxed);
    }

    pub(crate) fn has_written_off(&self) -> bool {
        self.written_off.load(Ordering::Relaxed) > 0
    }

    /// What tells it apart from all others, that are gone too, for as long as it was the last one that [counts](Self::count).
    pub(crate) fn address(&self) -> usize {
        Arc::as_ptr(&self.sum).addr()
    }

    /// Counts what `one` keeps from now on.
    pub(crate) fn count<R: Reclaim + 'static>(&self, one: &Arc<R>) {
        let mut kept = self.kept.lock();
        kept.retain(|known| known.strong_count() > 0 && !std::ptr::addr_eq(known.as_ptr(), Arc::as_ptr(one)));
        kept.push(Arc::downgrade(one) as Weak<dyn Reclaim>);
        drop(kept);
        one.figure().count_in(&self.sum);
    }

    fn kept(&self) -> Vec<Arc<dyn Reclaim>> {
        self.kept.lock().iter().filter_map(Weak::upgrade).collect()
    }

    /// Has what is kept give way to connections, the oldest first, as far as that helps.
    pub(crate) async fn reclaim(&self) {
        let mut turn = Turn::default();
        for one in self.kept() {
            // Each is asked twice at most before it halves what it keeps, and 16 times for all of it.
            let mut looks = 16 * one.pieces();
            while looks > 0 && self.surplus() > 0 && one.one_gives_way() {
                looks -= 1;
                turn.spend(CALL_BYTES).await;
            }
        }
    }

    fn change(&self, before: usize, after: usize) {
        // Relaxed: as in `held`.
        if after < before {
            self.held.fetch_sub(before - after, Ordering::Relaxed);
            if self.is_exceeded() && self.surplus() == 0 {
                self.relief.notify_one();
            }
        } else {
            let held = self.held.fetch_add(after - before, Ordering::Relaxed) + (after - before);
            if held > self.limit() / EASE && self.excess() > 0 {
                self.is_exceeded.store(true, Ordering::Relaxed);
                self.pressure.notify_one();
            }
        }
    }
}

/// Who goes on, one after the other; or all at once, where the runtime that sees to it ends meanwhile: they may be on others.
struct GoingOn(std::vec::IntoIter<Waiter>);

impl Drop for GoingOn {
    fn drop(&mut self) {
        self.0.by_ref().for_each(Waiter::go_on);
    }
}

impl Charge {
    /// Charges `bytes` that pass in place of what was charged before: whole steps, and nothing for the last one, which is not.
    #[inline]
    pub(crate) fn set(&mut self, bytes: usize, budget: &Budget) {
        self.change(bytes / STEP_BYTES * STEP_BYTES, budget);
    }

    /// Charges `bytes` that are kept until the peer does something, which may be never: all of them, and at most a sixteenth more.
    pub(crate) fn keep(&mut self, bytes: usize, budget: &Budget) {
        let part = (bytes.next_power_of_two() / PARTS).max(UNIT_BYTES);
        self.change(bytes.next_multiple_of(part), budget);
    }

    #[inline]
    fn change(&mut self, bytes: usize, budget: &Budget) {
        let units = u32::try_from(bytes / UNIT_BYTES).unwrap_or(u32::MAX);
        if units != self.units {
            let before = self.bytes();
            self.units = units;
            budget.change(before, self.bytes());
        }
    }

    pub(crate) fn bytes(&self) -> usize {
        self.units as usize * UNIT_BYTES
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::task::{Context, Waker};

    struct Counting(AtomicUsize);

    impl std::task::Wake for Counting {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn whoever_waits_goes_on_though_relief_ends_half_way() {
        let scene = || {
            let (budget, woken) = (Budget::new(1 << 20), Arc::new(Counting(AtomicUsize::new(0))));
            budget.is_exceeded.store(true, Ordering::Relaxed);
            let waker = Waker::from(Arc::clone(&woken));
            let mut waiting: Vec<_> = (0..1000).map(|_| Box::pin(budget.relieved())).collect();
            // Twice: whoever is polled for something else waits once all the same.
            for _ in 0..2 {
                for waits in &mut waiting {
                    assert!(waits.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
                }
            }
            {
                let mut relief = Box::pin(budget.relieve());
                assert!(relief.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
            }
            assert_eq!(woken.0.load(Ordering::Relaxed), 1000);
        };
        shuttle::check_random(scene, 1);
    }

    #[test]
    fn what_was_written_off_is_no_more_than_those_hold_who_were_closed() {
        let scene = || {
            let budget = Budget::new(1 << 20);
            let (mut closed, mut open) = (Charge::default(), Charge::default());
            open.set(1 << 20, &budget);
            closed.set(512 << 10, &budget);
            budget.write_off();
            budget.keep_written_off(open.bytes());
            assert_eq!(budget.excess(), 0, "who was closed keeps it");
            closed.set(0, &budget);
            open.set(1536 << 10, &budget);
            budget.keep_written_off(open.bytes());
            assert_eq!(budget.excess(), 512 << 10, "others have taken its place");
        };
        shuttle::check_random(scene, 1);
    }

    #[test]
    fn what_is_kept_is_charged_to_the_last_byte_and_what_passes_is_not() {
        let scene = || {
            let (budget, mut charge) = (Budget::new(usize::MAX), Charge::default());
            for bytes in [1, 255, 4095, 4097, 100_000, 1 << 20] {
                charge.keep(bytes, &budget);
                let most = (bytes + bytes / 16).max(bytes + UNIT_BYTES);
                assert!((bytes..=most).contains(&charge.bytes()), "{} for {bytes}", charge.bytes());
                charge.set(bytes, &budget);
                assert!((bytes + 1).saturating_sub(STEP_BYTES) <= charge.bytes() && charge.bytes() <= bytes);
            }
            charge.keep(0, &budget);
            assert_eq!((charge.bytes(), budget.held()), (0, 0));
        };
        shuttle::check_random(scene, 1);
    }

    #[test]
    fn a_charge_looks_at_what_is_kept_without_a_lock() {
        let scene = || {
            let budget = Budget::new(1 << 20);
            let mut charge = Charge::default();
            let _held = budget.kept.lock();
            charge.set(512 << 10, &budget);
            assert!(!budget.is_exceeded());
        };
        shuttle::check_random(scene, 1);
    }
}
