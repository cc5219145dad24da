//! Names that nobody on this node has any more, until their records say so.
//!
//! Each is there once, whatever happens to it meanwhile: while records are away, the same name may be asked for again and again. Once there are
//! [`MOST_FREED`], no other name is claimed, so there are no more than these and those that the node has had.

use std::collections::VecDeque;
use std::collections::hash_map::{Entry, HashMap};
use switchboard_proto::UserName;
use tokio::time::Instant;

/// Names that wait to be given back while others are claimed: about 20 MB.
pub(super) const MOST_FREED: usize = 1 << 17;

/// What is known of a name that is to be given back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Freed {
    /// As which it was put.
    At(u64),
    /// It may come to be put until then.
    Doubtful(Instant),
}

#[derive(Default)]
pub(super) struct FreedNames {
    order: VecDeque<UserName>,
    known: HashMap<UserName, Freed>,
}

impl FreedNames {
    pub(super) fn add(&mut self, name: UserName, freed: Freed) {
        match self.known.entry(name) {
            Entry::Vacant(vacant) => {
                self.order.push_back(vacant.key().clone());
                vacant.insert(freed);
            }
            Entry::Occupied(mut known) => {
                let both = match (*known.get(), freed) {
                    (Freed::Doubtful(one), Freed::Doubtful(other)) => Freed::Doubtful(one.max(other)),
                    // Its record is looked at, whichever it is.
                    (doubt @ Freed::Doubtful(_), Freed::At(_)) | (Freed::At(_), doubt @ Freed::Doubtful(_)) => doubt,
                    (Freed::At(one), Freed::At(other)) if one == other => freed,
                    (Freed::At(_), Freed::At(_)) => Freed::Doubtful(Instant::now()),
                };
                known.insert(both);
            }
        }
    }

    /// The first ones, which are to be added again if they are not given back.
    pub(super) fn take(&mut self, limit: usize) -> Vec<(UserName, Freed)> {
        let some = self.order.drain(..limit.min(self.order.len()));
        some.filter_map(|name| self.known.remove_entry(&name)).collect()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    pub(super) fn is_full(&self) -> bool {
        self.order.len() >= MOST_FREED
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_name_is_there_once_and_what_is_least_known_of_it_counts() {
        let name = |text| UserName::parse(text).expect("a name");
        let (now, later) = (Instant::now(), Instant::now() + Duration::from_secs(9));
        let mut freed = FreedNames::default();
        for (text, known) in [
            ("ann", Freed::At(3)),
            ("bob", Freed::Doubtful(later)),
            ("Ann", Freed::At(3)),
            ("eve", Freed::At(1)),
            ("BOB", Freed::At(7)),
            ("bob", Freed::Doubtful(now)),
            ("eve", Freed::At(2)),
        ] {
            freed.add(name(text), known);
        }
        assert_eq!(freed.take(2), [(name("ann"), Freed::At(3)), (name("bob"), Freed::Doubtful(later))]);
        freed.add(name("ann"), Freed::At(4));
        let rest = freed.take(9);
        assert!(matches!(rest[..], [(_, Freed::Doubtful(_)), (_, Freed::At(4))]), "{rest:?}");
        assert!(freed.is_empty() && freed.known.is_empty());
    }
}
