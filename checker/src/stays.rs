//! What each member is told, from its join on: C4, C7 and C8.

use crate::history::{Id, Told};
use crate::judge::{Judge, Rule};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// What each member published itself and does not get, by incarnation.
pub(crate) type Own<'a> = HashMap<&'a str, BTreeMap<String, BTreeSet<u64>>>;

static NONE: BTreeSet<u64> = BTreeSet::new();

fn own_of<'a>(own: &'a Own<'_>, name: &str, epoch: Option<&String>) -> &'a BTreeSet<u64> {
    own.get(name).zip(epoch).and_then(|(own, epoch)| own.get(epoch)).unwrap_or(&NONE)
}

/// One member's stay in a room.
pub(crate) struct Stay<'a> {
    room: &'a str,
    /// None: it has to be told first which one it is in.
    epoch: Option<String>,
    /// The number that comes next; none: any, behind a word that all begins anew.
    next: Option<u64>,
    /// It has come back, and was told nothing yet.
    is_resuming: bool,
}

impl<'a> Stay<'a> {
    pub(crate) fn new(room: &'a str, since: Option<&Id>, last: &Id) -> Self {
        let from = since.unwrap_or(last);
        if from.epoch == last.epoch {
            return Self {
                room,
                epoch: Some(from.epoch.clone()),
                next: Some(from.seq + 1),
                is_resuming: since.is_some(),
            };
        }
        Self { room, epoch: None, next: None, is_resuming: true }
    }

    /// Goes past `others` messages of others, and past its own there.
    fn skip(&mut self, own: &BTreeSet<u64>, mut others: u64) {
        let Some(next) = &mut self.next else { return };
        loop {
            if !own.contains(next) {
                if others == 0 {
                    return;
                }
                others -= 1;
            }
            *next += 1;
        }
    }

    fn told(&mut self, told: &Told, own: &BTreeSet<u64>) -> Result<(), String> {
        let result = match told {
            Told::Reset { epoch } if self.epoch.as_ref() == Some(epoch) => {
                Err(format!("{epoch} begins anew in itself"))
            }
            Told::Reset { epoch } => {
                (self.epoch, self.next) = (Some(epoch.clone()), None);
                Ok(())
            }
            Told::Gap { lost: 0, .. } => Err("a hole of nothing".to_owned()),
            Told::Gap { from_seq, lost } => {
                self.skip(own, 0);
                let next = self.next.replace(*from_seq);
                self.skip(own, *lost);
                if self.epoch.is_none() || next.is_some_and(|next| next != *from_seq) {
                    Err(format!("a hole of {lost} from {from_seq} on, in the place of {}", place(next)))
                } else {
                    Ok(())
                }
            }
            Told::Message { id, .. } => {
                // Its own may come where it did not have to.
                while self.next.is_some_and(|next| next < id.seq && own.contains(&next)) {
                    self.next = self.next.map(|next| next + 1);
                }
                let next = self.next.replace(id.seq + 1);
                if self.epoch.as_ref() != Some(&id.epoch) {
                    Err(format!("{id} in the incarnation {:?}", self.epoch))
                } else if next.is_some_and(|next| next != id.seq) {
                    Err(format!("{id} in the place of {}", place(next)))
                } else {
                    Ok(())
                }
            }
        };
        if let (Err(_), Told::Message { id, .. }) = (&result, told) {
            // One fault is told once.
            self.epoch = Some(id.epoch.clone());
        }
        result
    }
}

fn place(next: Option<u64>) -> String {
    next.map_or_else(|| "any".to_owned(), |next| next.to_string())
}

/// All of them that there are now, and what is known of rooms.
pub(crate) struct Stays<'a> {
    open: HashMap<&'a str, Stay<'a>>,
    own: Own<'a>,
    /// The last message that anybody has seen of a room.
    last: HashMap<String, Id>,
}

impl<'a> Stays<'a> {
    pub(crate) fn new(own: Own<'a>) -> Self {
        Self { open: HashMap::new(), own, last: HashMap::new() }
    }

    pub(crate) fn join(&mut self, name: &'a str, stay: Stay<'a>) {
        self.open.insert(name, stay);
    }

    pub(crate) fn leave(&mut self, name: &str) {
        self.open.remove(name);
    }

    /// Somebody has seen a message of a room. Of a newer incarnation is what is seen later.
    pub(crate) fn seen(&mut self, room: &str, id: &Id) {
        match self.last.get_mut(room) {
            Some(last) if last.epoch == id.epoch && last.seq >= id.seq => {}
            Some(last) => *last = id.clone(),
            None => _ = self.last.insert(room.to_owned(), id.clone()),
        }
    }

    pub(crate) fn told(&mut self, at: usize, name: &str, told: &Told, judge: &mut Judge<'_>) {
        let Some(stay) = self.open.get_mut(name) else {
            return judge.fault(Rule::Holes, at, format!("{name} is told {told:?}, and is no member"));
        };
        let rule = if std::mem::take(&mut stay.is_resuming) { Rule::Since } else { Rule::Holes };
        let own = own_of(&self.own, name, stay.epoch.as_ref());
        if let Err(what) = stay.told(told, own) {
            judge.fault(rule, at, format!("{name} in {}: {what}", stay.room));
        }
        if let Told::Message { id, .. } = told {
            let room = stay.room;
            self.seen(room, id);
        }
    }

    /// C8.
    pub(crate) fn quiet(&mut self, at: usize, judge: &mut Judge<'_>) {
        let mut names: Vec<_> = self.open.keys().copied().collect();
        names.sort_unstable();
        for name in names {
            let Some(stay) = self.open.get_mut(name) else { continue };
            let Some(last) = self.last.get(stay.room) else { continue };
            let own = own_of(&self.own, name, stay.epoch.as_ref());
            stay.skip(own, 0);
            // Behind a word that all begins anew, its own may be all there is.
            let begun = if own.contains(&last.seq) { last.seq } else { 0 };
            let told = stay.next.map_or(begun, |next| next - 1);
            if stay.epoch.as_ref() != Some(&last.epoch) || told < last.seq {
                judge.fault(
                    Rule::Tail,
                    at,
                    format!("{name} in {} was told up to {told}, and {last} is there", stay.room),
                );
            }
        }
    }
}

/// A page, which nobody stays behind.
pub(crate) fn read(
    at: usize,
    room: &str,
    (since, told): (Option<&Id>, &[Told]),
    known: Option<&Id>,
    judge: &mut Judge<'_>,
) {
    let epoch = told.iter().find_map(|told| match told {
        Told::Message { id, .. } => Some(id.epoch.clone()),
        Told::Reset { epoch } => Some(epoch.clone()),
        Told::Gap { .. } => None,
    });
    let epoch = epoch.or_else(|| since.map(|since| since.epoch.clone())).unwrap_or_default();
    let mut stay = Stay::new(room, since, &Id::new(epoch.clone(), 0));
    if since.is_none() {
        stay.next = None;
    }
    for one in told {
        if let Err(what) = stay.told(one, &BTreeSet::new()) {
            judge.fault(Rule::Since, at, format!("a page of {room} behind {since:?}: {what}"));
        }
    }
    let reached = stay.next.map_or(0, |next| next - 1);
    if let Some(known) = known.filter(|known| known.epoch == epoch && reached < known.seq) {
        judge.fault(Rule::Since, at, format!("a page of {room} ends with {reached}, and {known} was there"));
    }
}
