//! What members of rooms were to hear and have not heard, sent or not.

use super::Rooms;
use crate::options::Load;
use crate::tally::{Count, first};
use crate::worker::Moment;
use std::sync::atomic::Ordering;

// Counts that guard no other memory: Relaxed is enough.
impl Rooms {
    /// The publishers that a connection hears, each with the stream of what it sends.
    fn heard(&self, connection: usize) -> impl Iterator<Item = (usize, usize)> {
        let one = &self.connections[connection];
        let own = one.publisher.as_ref().map(|publisher| publisher.number);
        let heard = if self.hears(connection) && !one.is_slow { self.plan.publishers } else { 0 };
        let publishers = (one.room..heard).step_by(self.plan.rooms).filter(move |publisher| Some(*publisher) != own);
        publishers.map(|publisher| (publisher, one.streams + publisher / self.plan.rooms))
    }

    /// Messages that a connection should have heard and has not, of each publisher in its room.
    pub(super) fn outstanding(&self, connection: usize) -> impl Iterator<Item = u32> {
        self.heard(connection).map(|(publisher, stream)| {
            self.sequences.outstanding(stream, self.shared.published[publisher].load(Ordering::Relaxed))
        })
    }

    /// When a message of a publisher is due, at a rate.
    pub(super) fn due_at(&self, publisher: usize, number: u32) -> u64 {
        self.pace.due(u64::from(number - 1) * self.plan.publishers as u64 + self.places[publisher])
    }

    /// Counts what a connection was to hear and never will, whether or not it was sent.
    pub(super) fn count_missed(&self, connection: usize, moment: &mut Moment<'_>) {
        let (one, measured_from) = (&self.connections[connection], moment.tally.measured_from());
        for (publisher, stream) in self.heard(connection) {
            let [sent, owed] =
                [&self.shared.published, &self.shared.owed].map(|counts| counts[publisher].load(Ordering::Relaxed));
            let due = |number| match self.plan.load {
                Load::Open { .. } => self.due_at(publisher, number),
                Load::Closed { .. } => measured_from,
            };
            let next = match self.sequences.next(stream) {
                // It came anew, and has heard nothing since.
                0 => first(1..owed + 1, |number| due(number) >= one.hears_from),
                next => next,
            };
            moment.tally.missed(Count::Unanswered, next..sent + 1, due);
            moment.tally.missed(Count::Unsent, next.max(sent + 1)..owed + 1, due);
        }
    }
}
