//! Where the logs of rooms end: asked for so many rooms at a time, and which log that is once for all that were answered meanwhile.
//!
//! After an engine has lost what it had, all rooms of a node ask at once, perhaps 100,000. Decides, and asks nobody: `serving.rs` does.

use super::shared::Key;
use super::{CHECKED_ROOMS, Stored};
use std::collections::VecDeque;
use switchboard_proto::RoomName;

/// Questions about one room each that are under way: a nats-server drops all that is asked of it once 10,000 such questions wait.
const AT_ONCE: usize = 512;

/// Questions about many rooms that are under way: each is to be answered within the engine's deadline, and its answer may be large.
pub(super) const CHECKS_AT_ONCE: usize = 4;

/// A room's last envelope, if it has any.
pub(super) type RoomEnd = (RoomName, Key, Option<Stored>);

pub(super) struct RoomEnds {
    /// Rooms of one question, and questions under way.
    most: (usize, usize),
    waiting: VecDeque<(RoomName, Key)>,
    under_way: usize,
    /// Which log they are in is to be asked.
    known: Vec<RoomEnd>,
    is_identifying: bool,
}

impl RoomEnds {
    /// Of an engine whose checks read what the log has, or not.
    pub(super) fn new(checks_are_exact: bool) -> Self {
        let most = if checks_are_exact { (CHECKED_ROOMS, CHECKS_AT_ONCE) } else { (1, AT_ONCE) };
        Self { most, waiting: VecDeque::new(), under_way: 0, known: Vec::new(), is_identifying: false }
    }

    pub(super) fn want(&mut self, room: RoomName, key: Key) {
        self.waiting.push_back((room, key));
    }

    /// The next rooms whose last envelopes are to be asked for by one question, if any are.
    pub(super) fn next(&mut self) -> Option<Vec<(RoomName, Key)>> {
        let (rooms, questions) = self.most;
        let next = self.waiting.len().min(rooms);
        if next == 0 || self.under_way == questions {
            return None;
        }
        self.under_way += 1;
        Some(self.waiting.drain(..next).collect())
    }

    /// A question was answered, and these are known.
    pub(super) fn answered(&mut self, ends: Vec<RoomEnd>) {
        self.under_way -= 1;
        self.known.extend(ends);
    }

    /// Those of which it is to be asked now in which log they are.
    pub(super) fn identify(&mut self) -> Option<Vec<RoomEnd>> {
        if self.is_identifying || self.known.is_empty() {
            return None;
        }
        self.is_identifying = true;
        Some(std::mem::take(&mut self.known))
    }

    /// That was answered.
    pub(super) fn identified(&mut self) {
        self.is_identifying = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rooms_are_asked_for_within_bounds_and_the_log_once_for_all_that_were_answered() {
        let room = RoomName::parse("ops").expect("a name");
        for (is_exact, questions, most_identified) in [(false, AT_ONCE, 1000), (true, CHECKS_AT_ONCE, 100)] {
            let mut ends = RoomEnds::new(is_exact);
            for key in 0..100_000 {
                ends.want(room.clone(), key);
            }
            let mut asked: Vec<_> = std::iter::from_fn(|| ends.next()).collect();
            assert_eq!(asked.len(), questions);
            let (mut told, mut identified, mut under_way) = (0, 0, None::<Vec<RoomEnd>>);
            while let Some(rooms) = asked.pop() {
                let is_slow = rooms.len() > 1 || rooms[0].1 % 100 == 0;
                // As if half of them could not be read.
                let read = rooms.into_iter().filter(|(_, key)| key % 2 == 0);
                ends.answered(read.map(|(room, key)| (room, key, None)).collect());
                asked.extend(ends.next());
                assert!(asked.len() <= questions);
                under_way = under_way.or_else(|| ends.identify());
                // As if the log answered that much slower.
                if is_slow {
                    told += under_way.take().map_or(0, |ends| ends.len());
                    identified += 1;
                    ends.identified();
                }
            }
            told += under_way.or_else(|| ends.identify()).map_or(0, |ends| ends.len());
            assert!(told == 50_000 && identified <= most_identified, "{told} of which {identified}");
            assert!(ends.next().is_none() && ends.identify().is_none());
        }
    }
}
