//! How fast frames are taken where a listener has a rate: a few are let through at once, so that the clock is not asked for each.

use std::future::Future as _;
use std::pin::Pin;
use std::task::Context;
use switchboard_proto::{Bucket, Rate};
use tokio::time::{Instant, Sleep, sleep};

#[derive(Default)]
pub(super) struct Pace {
    bucket: Bucket,
    /// Until the next frame is due. Without one, which is nearly always, it takes no memory.
    pause: Option<Pin<Box<Sleep>>>,
}

impl Pace {
    /// How many of the next `most` frames may be taken now, on a connection that opened at `opened`. None: the task is woken once
    /// one is due.
    pub(super) fn poll_take(&mut self, cx: &mut Context<'_>, rate: Rate, opened: Instant, most: u8) -> u8 {
        loop {
            if let Some(pause) = &mut self.pause {
                if pause.as_mut().poll(cx).is_pending() {
                    return 0;
                }
                self.pause = None;
            }
            let now = opened.elapsed();
            let taken = (0..most).take_while(|_| self.bucket.take(now, rate).is_ok()).count() as u8;
            if taken > 0 {
                return taken;
            }
            let wait = self.bucket.take(now, rate).err().unwrap_or_default();
            self.pause = Some(Box::pin(sleep(wait)));
        }
    }

    /// Takes back what was let through and did not come.
    pub(super) fn give_back(&mut self, rate: Rate, untaken: u8) {
        self.bucket.give_back(rate, u64::from(untaken));
    }

    /// More came than was let through: so many frames in one.
    #[cold]
    pub(super) fn owe(&mut self, rate: Rate, opened: Instant, frames: usize) {
        self.bucket.owe(opened.elapsed(), rate, frames as u64);
    }
}
