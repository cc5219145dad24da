//! The rules, and the walk through a history that decides each of them.

use crate::history::{Event, Id, Kept, Told};
use crate::people::People;
use crate::stays::{self, Own, Stay, Stays};
use std::collections::{BTreeMap, HashMap};
use std::fmt;

/// What must hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Rule {
    /// C1: an id means one text, for everybody.
    Agreement,
    /// C2: what was acknowledged, or shown to anybody, is kept.
    Kept,
    /// C3: what was acknowledged before another publication began stands before it.
    RealTime,
    /// C4: a member is told rising numbers, and of each hole once, with its place and its size.
    Holes,
    /// C5: nothing is told that nobody published, that was refused, or twice.
    Invented,
    /// C6: what one connection publishes stands in the order in which it did.
    ConnectionOrder,
    /// C7: behind `since` comes the next, or a word about what is gone.
    Since,
    /// C8: once nothing is under way, everybody has been told all.
    Tail,
    /// C9: a name has one holder at a time.
    Names,
    /// C10: what is bounded stays within its bound.
    Bounds,
    /// C11: whoever has gone is in no list any more, 30 seconds later.
    Ghosts,
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "C{}", *self as u8 + 1)
    }
}

/// What a room promises to those who publish there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Promise {
    /// What is acknowledged or shown is there for good: no incarnation excuses that it is gone.
    Durable,
    /// It is there as long as the room's incarnation.
    Volatile,
}

/// A rule that does not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    pub rule: Rule,
    /// The number of the event that shows it, from 1.
    pub at: usize,
    pub what: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {}: {}", self.rule, self.at, self.what)
    }
}

/// Says what of a history must not be.
pub fn judge(events: &[Event], promise: Promise) -> Vec<Fault> {
    let mut judge = Judge::new(promise);
    judge.learn(events);
    judge.walk(events);
    judge.faults.sort_by_key(|fault| (fault.at, fault.rule));
    judge.faults
}

/// A publication.
struct Call<'a> {
    text: &'a str,
    room: &'a str,
    client: &'a str,
    stay: Option<&'a str>,
    at: usize,
    is_refused: bool,
    id: Option<Id>,
    /// The last message of each incarnation that was acknowledged in its room before it began.
    behind: BTreeMap<String, u64>,
}

pub(crate) struct Judge<'a> {
    promise: Promise,
    pub(crate) faults: Vec<Fault>,
    calls: HashMap<u64, Call<'a>>,
    by_text: HashMap<&'a str, u64>,
    /// What each id means, as whoever saw it first did.
    texts: HashMap<(&'a str, Id), (&'a str, usize)>,
}

impl<'a> Judge<'a> {
    fn new(promise: Promise) -> Self {
        Self { promise, faults: Vec::new(), calls: HashMap::new(), by_text: HashMap::new(), texts: HashMap::new() }
    }

    pub(crate) fn fault(&mut self, rule: Rule, at: usize, what: String) {
        self.faults.push(Fault { rule, at: at + 1, what });
    }

    /// Finds out what each id means and which publication is which message: C1 and C5.
    fn learn(&mut self, events: &'a [Event]) {
        let rooms = rooms_of_stays(events);
        for (at, event) in events.iter().enumerate() {
            match event {
                Event::Invoke { call, client, room, text, stay } => {
                    let (stay, behind) = (stay.as_deref(), BTreeMap::new());
                    let known = Call { text, room, client, stay, at, is_refused: false, id: None, behind };
                    if self.calls.insert(*call, known).is_some() || self.by_text.insert(text, *call).is_some() {
                        self.fault(Rule::Invented, at, format!("the test published {text:?} twice, or as call {call}"));
                    }
                }
                Event::Fail { call } => {
                    if let Some(call) = self.calls.get_mut(call) {
                        call.is_refused = true;
                    }
                }
                _ => {}
            }
        }
        for (at, event) in events.iter().enumerate() {
            match event {
                Event::Ok { call, id } => match self.calls.get(call).map(|call| (call.room, call.text)) {
                    Some((room, text)) => self.means(at, room, id, text),
                    None => self.fault(Rule::Invented, at, format!("call {call} was never made")),
                },
                Event::Told { stay, told: Told::Message { id, text } } => {
                    let room = rooms.get(&**stay).copied().unwrap_or_default();
                    self.means(at, room, id, text);
                }
                Event::Read { room, told, .. } => {
                    for told in told {
                        if let Told::Message { id, text } = told {
                            self.means(at, room, id, text);
                        }
                    }
                }
                Event::Final { room, kept, .. } => {
                    for Kept { id, text } in kept {
                        self.means(at, room, id, text);
                    }
                }
                _ => {}
            }
        }
    }

    /// Somebody saw that `id` is `text`.
    fn means(&mut self, at: usize, room: &'a str, id: &Id, text: &'a str) {
        let (first, _) = *self.texts.entry((room, id.clone())).or_insert((text, at));
        if first != text {
            self.fault(Rule::Agreement, at, format!("{room} {id} is {first:?} and {text:?}"));
        }
        let Some(call) = self.by_text.get(text).and_then(|call| self.calls.get_mut(call)) else {
            return self.fault(Rule::Invented, at, format!("{room} {id}: nobody published {text:?}"));
        };
        let wrong = match &call.id {
            _ if call.room != room => format!("was published in {}", call.room),
            _ if call.is_refused => "was refused".to_owned(),
            _ if at < call.at => "was not published yet".to_owned(),
            Some(other) if other != id => format!("is {other} as well"),
            _ => {
                call.id = Some(id.clone());
                return;
            }
        };
        self.fault(Rule::Invented, at, format!("{room} {id}: {text:?} {wrong}"));
    }

    /// Goes through it in order: C2, C3, C4, and C7 to C11.
    fn walk(&mut self, events: &'a [Event]) {
        let (mut stays, mut people) = (Stays::new(self.own()), People::default());
        // The last acknowledged of each room and incarnation, and the last of all that anybody has seen.
        let mut acknowledged: HashMap<&str, BTreeMap<String, u64>> = HashMap::new();
        for (at, event) in events.iter().enumerate() {
            match event {
                Event::Invoke { call, room, .. } => {
                    let behind = acknowledged.get(&**room).cloned().unwrap_or_default();
                    if let Some(call) = self.calls.get_mut(call) {
                        call.behind = behind;
                    }
                }
                Event::Ok { call, id } => {
                    let Some(room) = self.calls.get(call).map(|call| call.room) else { continue };
                    let last = acknowledged.entry(room).or_default().entry(id.epoch.clone()).or_default();
                    *last = id.seq.max(*last);
                    stays.seen(room, id);
                }
                Event::Final { room, gone, kept } => self.is_kept(at, room, *gone, kept),
                Event::Quiet => stays.quiet(at, self),
                Event::Join { stay, room, since, last } => {
                    stays.seen(room, last);
                    stays.join(stay, Stay::new(room, since.as_ref(), last));
                }
                Event::Leave { stay } => stays.leave(stay),
                Event::Told { stay, told } => stays.told(at, stay, told, self),
                Event::Read { room, since, told, known } => {
                    stays::read(at, room, (since.as_ref(), told), known.as_ref(), self);
                }
                Event::Hold { name, holder } => people.hold(at, name, holder, self),
                Event::Release { name, holder } => people.release(name, holder),
                Event::Gone { name, at: time } => people.gone(name, *time),
                Event::Listed { by, room, names, at: time } => people.listed(at, (by, room), names, *time, self),
                Event::Bounded { what, value, most } if value > most => {
                    self.fault(Rule::Bounds, at, format!("{what} is {value}, and may be {most}"));
                }
                Event::Bounded { .. } | Event::Fail { .. } | Event::Unknown { .. } => {}
            }
        }
        self.orders();
    }

    /// What members published that do not get their own messages.
    fn own(&self) -> Own<'a> {
        let mut own = Own::new();
        for call in self.calls.values() {
            if let (Some(stay), Some(id)) = (call.stay, &call.id) {
                own.entry(stay).or_default().entry(id.epoch.clone()).or_default().insert(id.seq);
            }
        }
        own
    }

    /// C3 and C6: where publications stand.
    fn orders(&mut self) {
        let mut calls: Vec<_> = self.calls.values().filter_map(|call| Some((call, call.id.as_ref()?))).collect();
        calls.sort_by_key(|(call, _)| call.at);
        let mut faults = Vec::new();
        let mut connections: HashMap<(&str, &str, &str), u64> = HashMap::new();
        for (call, id) in calls {
            if let Some(behind) = call.behind.get(&id.epoch).filter(|behind| **behind >= id.seq) {
                faults.push((Rule::RealTime, call.at, format!("{} {id} began behind {behind}", call.room)));
            }
            let last = connections.entry((call.client, call.room, &*id.epoch)).or_default();
            if *last >= id.seq {
                faults.push((
                    Rule::ConnectionOrder,
                    call.at,
                    format!("{} {id} of {} behind {last}", call.room, call.client),
                ));
            }
            *last = id.seq.max(*last);
        }
        for (rule, at, what) in faults {
            self.fault(rule, at, what);
        }
    }

    /// C2: `kept` is all that anybody was told, but for what is gone by the room's own rules.
    fn is_kept(&mut self, at: usize, room: &str, gone: u64, kept: &[Kept]) {
        let mut next = kept.first().map_or(gone + 1, |first| first.id.seq);
        if next > gone + 1 {
            self.fault(Rule::Kept, at, format!("{room} begins with {next}, and {gone} may be gone"));
        }
        for Kept { id, .. } in kept {
            if id.seq != next || id.epoch != kept[0].id.epoch {
                self.fault(Rule::Kept, at, format!("{room}: {id} is kept in the place of {next}"));
            }
            next = id.seq + 1;
        }
        let there: HashMap<&Id, &str> = kept.iter().map(|Kept { id, text }| (id, &**text)).collect();
        let excused = |id: &Id| {
            let is_other = kept.first().is_none_or(|first| first.id.epoch != id.epoch);
            self.promise == Promise::Volatile && is_other
        };
        let lost: Vec<_> = self
            .texts
            .iter()
            .filter(|((other, id), (_, seen))| {
                *other == room && *seen < at && id.seq > gone && !there.contains_key(id) && !excused(id)
            })
            .map(|((_, id), (text, _))| format!("{room} {id}: {text:?} was acknowledged or shown, and is not kept"))
            .collect();
        for what in lost {
            self.fault(Rule::Kept, at, what);
        }
    }
}

fn rooms_of_stays(events: &[Event]) -> HashMap<&str, &str> {
    let mut rooms = HashMap::new();
    for event in events {
        if let Event::Join { stay, room, .. } = event {
            rooms.insert(&**stay, &**room);
        }
    }
    rooms
}
