//! Where the logs of rooms end: asked for so many rooms at a time, and which log that is once for all that were answered meanwhile.
//!
//! After an engine has lost what it had, all rooms of a node ask at once, perhaps 100,000. Decides, and asks nobody: `serving.rs` does.

use super::Stored;
use super::shared::Key;
use std::collections::VecDeque;
use switchboard_proto::RoomName;

/// Rooms that are asked for at a time: a nats-server drops all that is asked of it once 10,000 such questions wait.
const AT_ONCE: usize = 512;

/// A room's last envelope, if it has any.
pub(super) type RoomEnd = (RoomName, Key, Option<Stored>);

#[derive(Default)]
pub(super) struct RoomEnds {
    waiting: VecDeque<(RoomName, Key)>,
    under_way: usize,
    /// Which log they are in is to be asked.
    known: Vec<RoomEnd>,
    is_identifying: bool,
}

impl RoomEnds {
    pub(super) fn want(&mut self, room: RoomName, key: Key) {
        self.waiting.push_back((room, key));
    }

    /// The next room whose last envelope is to be asked for, if one is.
    pub(super) fn next(&mut self) -> Option<(RoomName, Key)> {
        if self.under_way == AT_ONCE {
            return None;
        }
        let next = self.waiting.pop_front()?;
        self.under_way += 1;
        Some(next)
    }

    /// A room's last envelope was asked for, and this is it, if that is known.
    pub(super) fn answered(&mut self, end: Option<RoomEnd>) {
        self.under_way -= 1;
        self.known.extend(end);
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
        let mut ends = RoomEnds::default();
        for key in 0..100_000 {
            ends.want(room.clone(), key);
        }
        let mut asked: Vec<_> = std::iter::from_fn(|| ends.next()).collect();
        assert_eq!(asked.len(), AT_ONCE);
        let (mut told, mut identified, mut under_way) = (0, 0, None::<Vec<RoomEnd>>);
        while let Some((room, key)) = asked.pop() {
            ends.answered((key % 2 == 0).then_some((room, key, None)));
            asked.extend(ends.next());
            assert!(asked.len() <= AT_ONCE);
            under_way = under_way.or_else(|| ends.identify());
            // As if the log answered that much slower.
            if key % 100 == 0 {
                told += under_way.take().map_or(0, |ends| ends.len());
                identified += 1;
                ends.identified();
            }
        }
        told += under_way.or_else(|| ends.identify()).map_or(0, |ends| ends.len());
        assert!(told == 50_000 && identified <= 1000, "{told} of which {identified}");
        assert!(ends.next().is_none() && ends.identify().is_none());
    }
}
