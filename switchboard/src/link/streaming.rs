//! Answers that go on: their clients say nothing, and what is quiet for long is taken for dead on the way.

use super::{CLOSING, Envelope, FINISHED, Link, OPENING, Protocol, State};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use switchboard_proto::{EventStream, Second, Timeouts, passed};

impl Link {
    /// Whether it is one answer, for as long as it goes on.
    pub(crate) fn is_streaming(&self) -> bool {
        [Protocol::Stream, Protocol::Events, Protocol::EventsInChunks].into_iter().any(|one| self.is_speaking(one))
    }

    /// An answer that is streamed is of events.
    pub(crate) fn streams_events(&self, envelope: Envelope) {
        if self.is_speaking(Protocol::Stream) {
            self.speaks(match envelope {
                Envelope::Bare => Protocol::Events,
                Envelope::Chunks => Protocol::EventsInChunks,
            });
        }
    }

    /// Queues a comment between events, if nothing was sent for so long.
    pub(super) fn keep_alive(self: &Arc<Self>, state: &mut State, now: Second, timeouts: &Timeouts) {
        let envelope = if self.is_speaking(Protocol::Events) {
            Envelope::Bare
        } else if self.is_speaking(Protocol::EventsInChunks) {
            Envelope::Chunks
        } else {
            return;
        };
        let is_quiet = state.outbox.is_empty() && state.outbox.blocked_since().is_none();
        // Relaxed: for this alone.
        let last = Some(self.last.load(Ordering::Relaxed));
        if is_quiet && !self.is(OPENING | CLOSING | FINISHED) && passed(last, now, timeouts.ping) {
            let event =
                |output: &mut _| switchboard_proto::Codec::encode(&mut EventStream, EventStream::KEEPALIVE, output);
            state.outbox.push(1, |output| envelope.put(output, event));
            self.queued(state);
        }
    }
}
