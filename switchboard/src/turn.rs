//! How long one piece of work may keep its worker from everybody else's.

use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::Instant;

/// A hundred of these in a row are still no delay that a person notices, and what starting another costs (a few µs) is little
/// beside one.
const TURN: Duration = Duration::from_millis(1);

/// How often the clock is read: 64 KiB take 30 to 100 µs to encode or to write, and a reading 25 ns.
const BYTES_PER_LOOK: usize = 64 << 10;

/// A turn is over when so much is done, whatever the clock says: one that stands still in a test must not make it endless.
const MOST_BYTES: usize = 1 << 20;

/// What a system call or a wake counts as, beside the bytes that it carries: it takes as long as encoding so many.
pub(crate) const CALL_BYTES: usize = 4 << 10;

/// One turn of a long piece of work on a thread that it shares with many others.
///
/// All connections of a worker take turns: while one of them runs between two `.await`s, the others wait. A handler
/// that lists, encodes or searches a lot counts its work here, and yields about every millisecond.
///
/// ```
/// # use switchboard::{Hub, Turn};
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// # let room = Hub::new().room("lobby").unwrap();
/// let (mut turn, mut payloads) = (Turn::default(), Vec::new());
/// for message in room.history(1000) {
///     payloads.extend_from_slice(&message.payload);
///     turn.spend(message.payload.len()).await;
/// }
/// # });
/// ```
#[derive(Debug, Default)]
pub struct Turn {
    /// Set at the first look: less than that much is no turn to speak of, and costs no look.
    began: Option<Instant>,
    looked_at: usize,
    bytes: usize,
}

impl Turn {
    /// Counts work on this many bytes, and lets everybody else run if the turn is over. For work that is not on bytes,
    /// use about 100 for each entry of a list.
    ///
    /// # Cancel safety
    /// Safe.
    pub async fn spend(&mut self, bytes: usize) {
        if self.is_over(bytes) {
            tokio::task::yield_now().await;
        }
    }

    /// Like [`spend`](Self::spend), within a `poll`: says whether the turn is over; if so, the poll should wake itself
    /// and return. The next turn begins with the next call.
    #[inline]
    pub fn is_over(&mut self, bytes: usize) -> bool {
        self.bytes += bytes;
        self.bytes - self.looked_at >= BYTES_PER_LOOK && self.look()
    }

    fn look(&mut self) -> bool {
        let now = Instant::now();
        let began = *self.began.get_or_insert(now);
        self.looked_at = self.bytes;
        let is_over = self.bytes >= MOST_BYTES || now - began >= TURN;
        if is_over {
            *self = Self::default();
        }
        is_over
    }
}

/// Takes steps of tokio's budget for what a poll has done, beside those that its waits take.
#[inline]
pub(crate) fn spend(cx: &mut Context<'_>, steps: usize) {
    if steps > 0 {
        spend_some(cx, steps);
    }
}

/// Apart: most frames are short.
#[cold]
fn spend_some(cx: &mut Context<'_>, steps: usize) {
    for _ in 0..steps {
        // If there is none left, what comes next waits.
        let Poll::Ready(budget) = tokio::task::coop::poll_proceed(cx) else { return };
        budget.made_progress();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_turn_is_over_when_its_millisecond_or_its_work_is() {
        let mut turn = Turn::default();
        for _ in 0..2 {
            // Where time stands still, at a fixed amount of work; and so is the next one.
            let mut bytes = 1000;
            while !turn.is_over(1000) {
                bytes += 1000;
            }
            assert!((MOST_BYTES..MOST_BYTES + 2 * BYTES_PER_LOOK).contains(&bytes), "{bytes}");
        }
        // Slow work: 0.5 ms for each 64 KiB.
        let mut looks = 1;
        while !turn.is_over(BYTES_PER_LOOK) {
            looks += 1;
            tokio::time::advance(TURN / 2).await;
        }
        assert_eq!(looks, 3);
    }
}
