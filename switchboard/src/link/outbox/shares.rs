//! Private messages that one connection has not been written yet: how many there may be, and how many of whom.
//!
//! One sender may have as much waiting as is still free. So one alone may have half, and however many there are, some is left
//! for whoever comes next.

use crate::link::ConnectionId;

/// What is said to one connection alone, as long as any of it waits.
#[derive(Default)]
pub(super) struct Private {
    pub(super) shares: Shares,
    /// Frames that are on their way through the tick.
    pub(super) under_way: usize,
}

/// Takes a frame of `from` off again.
pub(super) fn give_back(private: &mut Option<Box<Private>>, from: ConnectionId, length: usize) {
    if let Some(known) = private {
        known.shares.give_back(from, length);
        if known.shares.is_empty() {
            *private = None;
        }
    }
}

/// What waits, and whose it is.
#[derive(Default)]
pub(super) struct Shares {
    all: Share,
    senders: Vec<(ConnectionId, Share)>,
}

#[derive(Clone, Copy, Default)]
struct Share {
    bytes: usize,
    frames: usize,
}

impl Shares {
    /// Whether nothing waits.
    pub(super) fn is_empty(&self) -> bool {
        self.senders.is_empty()
    }

    /// Counts a frame, unless its sender has as much waiting as is free of `(bytes, frames)`. The last one may be too long.
    pub(super) fn take(&mut self, sender: ConnectionId, length: usize, (bytes, frames): (usize, usize)) -> bool {
        let place = self.senders.iter().position(|(known, _)| *known == sender);
        let own = place.map_or(Share::default(), |place| self.senders[place].1);
        let is_free =
            own.bytes < bytes.saturating_sub(self.all.bytes) && own.frames < frames.saturating_sub(self.all.frames);
        if is_free {
            let place = place.unwrap_or_else(|| {
                self.senders.push((sender, Share::default()));
                self.senders.len() - 1
            });
            for share in [&mut self.all, &mut self.senders[place].1] {
                share.bytes += length;
                share.frames += 1;
            }
        }
        is_free
    }

    /// Takes a frame off again that was counted.
    pub(super) fn give_back(&mut self, sender: ConnectionId, length: usize) {
        let Some(place) = self.senders.iter().position(|(known, _)| *known == sender) else { return };
        for share in [&mut self.all, &mut self.senders[place].1] {
            share.bytes -= length;
            share.frames -= 1;
        }
        if self.senders[place].1.frames == 0 {
            self.senders.swap_remove(place);
        }
    }
}
