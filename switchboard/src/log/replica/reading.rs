//! How a replica reads: opening a room, fetching what it has missed, asking what the log really has, and what it does if that is another log.
//!
//! One question is under way at a time.

use super::chain::Fit;
use super::envelope::{EnvelopeToken, LogEnvelope, Position};
use super::pending::Handed;
use super::{EngineError, EnvelopeError, Replica, ReplicaAction, Stored};
use std::time::Duration;
use switchboard_proto::Epoch;

/// How long after a room was opened the log is asked where it ends: interest spreads late.
const LOOKS: [Duration; 2] = [Duration::from_millis(250), Duration::from_secs(2)];

/// A copy that is behind is asked again after so long, and the log itself after so many times.
const COPY_AGAIN: Duration = Duration::from_millis(20);
const COPY_TIMES: u32 = 25;

/// What the log has of a room: which log, and the room's last envelope, if it has any.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogEnd {
    /// Which log.
    pub log: u128,
    /// The last envelope.
    pub last: Option<Stored>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Question {
    Follow,
    Last,
    Fetch,
}

/// Whether this is the log that was followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Confidence {
    #[default]
    Whole,
    /// Something does not fit: the log itself is to be asked before anything else is appended.
    Doubtful,
    /// What was read does not fit: if the log stands by it, it is another one.
    Lost,
    /// The log has gone back: also if it has what is known here, an incarnation is to begin.
    GoneBack,
}

/// What is being read, and what is still to be.
#[derive(Default)]
pub(super) struct LogReading {
    asked: Option<Question>,
    /// Where it was then.
    asked_at: Position,
    /// Not before then, after a failure.
    again_at: Option<Duration>,
    is_following: bool,
    /// It has heard that the log goes as far as this.
    target: Position,
    /// Where a history begins that is entered, and of which incarnation.
    base: Position,
    entered: Option<Epoch>,
    confidence: Confidence,
    /// When the incarnation that it is in was entered.
    entered_at: Option<Duration>,
    /// The log is to be asked where it ends, though nothing is wrong.
    is_look_due: bool,
    /// Somebody waits until that is shown.
    is_awaited: bool,
    looks_at: Vec<Duration>,
    /// The log that was read last.
    log: Option<u128>,
    /// Where an incarnation was to begin: behind this one. Whoever did it first has done it for all.
    broken_at: Option<EnvelopeToken>,
    /// Fetches that have brought nothing.
    fruitless: u32,
    /// Why an envelope cannot be read, once that was told.
    unreadable: Option<EnvelopeError>,
}

impl LogReading {
    pub(super) fn reach(&mut self, position: Position) {
        self.target = self.target.max(position);
    }

    pub(super) fn doubt(&mut self) {
        if self.confidence == Confidence::Whole {
            self.confidence = Confidence::Doubtful;
        }
    }

    pub(super) fn is_doubtful(&self) -> bool {
        self.confidence != Confidence::Whole
    }

    pub(super) fn is_behind(&self, position: Position) -> bool {
        self.target > position
    }

    /// An incarnation was entered.
    pub(super) fn entered(&mut self, now: Duration) {
        self.entered_at = Some(now);
    }

    /// An envelope was applied.
    pub(super) fn stepped(&mut self, position: Position) {
        self.fruitless = 0;
        self.unreadable = None;
        if self.broken_at.take().is_some() {
            self.confidence = Confidence::Whole;
            self.target = position;
        }
    }

    /// Whether this was asked for; then it is not any more.
    fn is_answer(&mut self, question: Question) -> bool {
        self.asked.take_if(|asked| *asked == question).is_some()
    }

    pub(super) fn due(&self) -> Option<Duration> {
        [self.again_at.filter(|_| self.asked.is_none()), self.looks_at.first().copied()].into_iter().flatten().min()
    }
}

impl Replica {
    /// Opens the room: has its history read, and what others append followed. Is said first.
    pub fn open(&mut self, now: Duration) {
        self.go_on(now);
    }

    /// Has the log asked where the room ends: [`ReplicaAction::Current`] once all of it is shown that it has now.
    pub fn look(&mut self, now: Duration) {
        (self.reading.is_look_due, self.reading.is_awaited) = (true, true);
        self.go_on(now);
    }

    /// The log's last envelope of the room was read beside others': as by a check of many rooms.
    pub fn checked(&mut self, stored: &Stored, now: Duration) {
        let token = self.read(stored).ok().map(|envelope| envelope.token);
        let at = self.chain.at();
        if stored.position > self.position() {
            self.reading.reach(stored.position);
        } else if at.is_none_or(|at| at.position != stored.position || Some(at.token) != token) {
            self.reading.doubt();
        }
        self.go_on(now);
    }

    /// A check behind a new connection has found nothing of the room. Retention took it; whether others were shown more before, nobody can say.
    pub fn absent(&mut self, now: Duration) {
        if self.chain.at().is_some() {
            self.chain.lacks_numbers = true;
            if !self.chain.is_emptied {
                self.reading.doubt();
            }
        }
        self.go_on(now);
    }

    /// The log has lost something since then, or is another one: it is asked. Also where it has all that is known here, others may have been shown
    /// more; so an incarnation is to begin, unless one has begun since.
    pub fn suspect(&mut self, since: Duration, now: Duration) {
        if self.reading.entered_at.is_none_or(|at| at <= since) {
            self.reading.confidence = Confidence::GoneBack;
        } else {
            self.reading.doubt();
        }
        self.go_on(now);
    }

    /// Whether the engine tells of the room's envelopes now.
    pub fn followed(&mut self, result: Result<(), EngineError>, now: Duration) {
        if !self.reading.is_answer(Question::Follow) {
            return;
        }
        self.reading.is_following = result.is_ok();
        self.retry_unless(result.is_ok(), now);
        self.go_on(now);
    }

    /// What the log has.
    pub fn ended(&mut self, result: Result<LogEnd, EngineError>, now: Duration) {
        if !self.reading.is_answer(Question::Last) {
            return;
        }
        self.retry_unless(result.is_ok(), now);
        match result {
            Ok(LogEnd { log, last }) => {
                let is_other = self.reading.log.replace(log).is_some_and(|known| known != log);
                match last {
                    // It was asked before what is known now was appended.
                    None if self.position() != self.reading.asked_at => self.reading.doubt(),
                    None => self.nothing_there(is_other, now),
                    Some(last) => self.compare(&last, is_other, now),
                }
            }
            Err(_) => self.reading.is_look_due = true,
        }
        self.go_on(now);
    }

    /// The log has nothing of the room: retention took it, or it is another log, or there never was anything.
    fn nothing_there(&mut self, is_other: bool, now: Duration) {
        if self.is_beginning() {
            return self.again(now);
        }
        let has_gone_back = self.reading.confidence == Confidence::GoneBack;
        if self.chain.at().is_none() || is_other || has_gone_back || self.reading.broken_at.is_some() {
            self.replace_flight();
            self.begin_behind(None);
        } else {
            self.chain.is_emptied = true;
            self.chain.lacks_numbers |= self.reading.is_behind(self.position());
            self.reading.confidence = Confidence::Whole;
            self.reading.target = self.position();
            // What found nothing to be behind is appended behind nothing.
            if let Some(flight) = self.flight.take_if(|flight| flight.sent == Handed::Passed) {
                self.pending.take_back(flight.items);
            }
        }
    }

    /// The log ends with this envelope.
    fn compare(&mut self, last: &Stored, is_other: bool, now: Duration) {
        let envelope = match self.read(last) {
            Ok(envelope) => envelope,
            Err(error) => {
                self.stops_before(error);
                let pause = self.pause();
                self.reading.again_at = Some(now + pause);
                return;
            }
        };
        if self.flight.as_ref().is_some_and(|flight| flight.envelope.token == envelope.token) {
            return self.heard(last.position, envelope, now);
        }
        let Some(at) = self.chain.at() else {
            if self.chain.has_been_in(envelope.epoch) {
                return self.begin_behind(Some((last.position, envelope.token)));
            }
            return self.enter(last.position, &envelope);
        };
        let confidence = self.reading.confidence;
        let (is_lost, has_gone_back) = (confidence == Confidence::Lost, confidence == Confidence::GoneBack);
        if at.position == last.position && at.token == envelope.token && !has_gone_back {
            self.reading.target = at.position;
            self.chain.lacks_numbers = false;
            // The log was put right.
            self.flight.take_if(|flight| flight.envelope.begins_epoch() && flight.sent == Handed::Passed);
            self.again(now);
        } else if at.position > self.reading.asked_at && self.chain.has_passed(envelope.token) {
            // It was asked before what is known now was appended: a doubt is as it was.
        } else if last.position > at.position && !is_lost && !is_other && !has_gone_back {
            self.reading.confidence = Confidence::Whole;
            self.reading.target = last.position;
        } else {
            self.part(last.position, &envelope, is_other, now);
        }
    }

    /// An envelope cannot be read: of another version, perhaps. It is not gone past.
    fn stops_before(&mut self, error: EnvelopeError) {
        if self.reading.unreadable.replace(error).is_none() {
            self.actions.push_back(ReplicaAction::Unreadable(error));
        }
    }

    /// The log is not the one that was followed. Where it has begun an incarnation that is known to be newer, that one is entered; else this
    /// replica begins one. So no number is ever used for two messages.
    fn part(&mut self, position: Position, envelope: &LogEnvelope, is_other: bool, now: Duration) {
        let prev = envelope.prev;
        let is_behind_known = envelope.begins_epoch()
            && prev.is_some_and(|prev| self.chain.has_passed(prev) || self.reading.broken_at == Some(prev));
        let is_newer = is_behind_known || is_other || position > self.position();
        if is_newer && !self.chain.has_been_in(envelope.epoch) {
            return self.enter(position, envelope);
        }
        if !self.is_beginning() || self.reading.broken_at != Some(envelope.token) {
            self.replace_flight();
            self.begin_behind(Some((position, envelope.token)));
        } else {
            self.again(now);
        }
    }

    /// Reads the log's history, and goes on from there.
    fn enter(&mut self, last: Position, envelope: &LogEnvelope) {
        self.replace_flight();
        if self.chain.at().is_some() {
            // Of the log that was.
            self.reading.target = Position(0);
            self.ahead.clear();
        }
        self.chain.leave();
        self.reading.entered = Some(envelope.epoch);
        self.reading.base = if envelope.back > Position(0) { envelope.back.min(last) } else { last };
        self.reading.reach(last);
        (self.reading.confidence, self.reading.broken_at) = (Confidence::Whole, None);
    }

    pub(super) fn begin_behind(&mut self, last: Option<(Position, EnvelopeToken)>) {
        // Where a log has gone back, that was told of all rooms.
        let is_told = self.reading.confidence == Confidence::GoneBack;
        if self.chain.at().is_some() && !is_told {
            self.actions.push_back(ReplicaAction::Broken);
        }
        self.ahead.clear();
        self.reading.confidence = Confidence::Whole;
        self.reading.broken_at = Some(last.map_or(EnvelopeToken(0), |(_, token)| token));
        let (after, prev) = last.map_or((Position(0), None), |(position, token)| (position, Some(token)));
        self.begin_epoch(after, prev);
    }

    /// Whether it waits for an incarnation that it is beginning.
    pub(super) fn is_beginning(&self) -> bool {
        self.flight.as_ref().is_some_and(|flight| flight.envelope.begins_epoch() && flight.sent != Handed::Passed)
    }

    /// What is under way may be among what is gone.
    fn replace_flight(&mut self) {
        if let Some(flight) = self.flight.take() {
            self.give_up(flight);
        }
    }

    /// The log has what is known: what seemed to be passed is handed over again.
    fn again(&mut self, now: Duration) {
        self.reading.confidence = Confidence::Whole;
        let Some(flight) = self.flight.as_mut().filter(|flight| flight.sent == Handed::Passed) else { return };
        flight.sent = Handed::Again(now + COPY_AGAIN);
    }

    /// Envelopes of the room, the oldest first, none left out among them.
    pub fn fetched(&mut self, result: Result<Vec<Stored>, EngineError>, now: Duration) {
        if !self.reading.is_answer(Question::Fetch) {
            return;
        }
        self.retry_unless(result.is_ok(), now);
        if let Ok(envelopes) = result
            && !self.is_beginning()
        {
            let before = (self.position(), self.reading.base);
            self.walk(&envelopes, now);
            if (self.position(), self.reading.base) == before && !self.reading.is_doubtful() {
                self.reading.fruitless += 1;
                self.reading.again_at = Some(now + COPY_AGAIN);
                if self.reading.fruitless >= COPY_TIMES {
                    self.reading.fruitless = 0;
                    self.reading.doubt();
                }
            }
        }
        self.go_on(now);
    }

    fn walk(&mut self, envelopes: &[Stored], now: Duration) {
        // If the log still has the last one that is known, or one before it, all behind that is there, or it is another log.
        let mut is_anchored = false;
        for stored in envelopes {
            let envelope = match self.read(stored) {
                Ok(envelope) => envelope,
                Err(error) => return self.stops_before(error),
            };
            let position = stored.position;
            if self.chain.at().is_none() {
                if self.reading.entered != Some(envelope.epoch) {
                    // Of an incarnation before the last one: no history of this one.
                    self.reading.base = Position(position.0.saturating_add(1));
                    continue;
                }
                is_anchored = true;
                self.apply(position, envelope, now);
                continue;
            }
            match self.chain.fit(position, &envelope) {
                Fit::Known if self.chain.has_passed(envelope.token) => is_anchored = true,
                Fit::Next | Fit::Begins => {
                    is_anchored = true;
                    self.apply(position, envelope, now);
                }
                // Retention took what was between.
                Fit::Ahead if !is_anchored => {
                    is_anchored = true;
                    self.replace_flight();
                    self.apply(position, envelope, now);
                }
                Fit::Known | Fit::Ahead | Fit::Strange => return self.lose_confidence(),
            }
        }
    }

    fn lose_confidence(&mut self) {
        if self.reading.confidence != Confidence::GoneBack {
            self.reading.confidence = Confidence::Lost;
        }
    }

    /// Asks what is to be known next.
    pub(super) fn read_on(&mut self, now: Duration) {
        if self.reading.looks_at.first().is_some_and(|at| *at <= now) {
            self.reading.looks_at.remove(0);
            self.reading.is_look_due = true;
        }
        self.tell_progress(now);
        if self.reading.asked.is_some() || self.reading.again_at.is_some_and(|at| at > now) {
            return;
        }
        self.reading.again_at = None;
        let position = self.position();
        let is_known = self.chain.at().is_some();
        let question = if !self.reading.is_following {
            Question::Follow
        } else if self.reading.is_doubtful()
            || self.reading.is_look_due
            || !is_known && self.reading.base == Position(0) && !self.is_beginning()
        {
            self.reading.is_look_due = false;
            Question::Last
        } else if self.reading.target > position
            && (is_known || self.reading.base > Position(0))
            && !self.is_beginning()
        {
            Question::Fetch
        } else {
            return;
        };
        (self.reading.asked, self.reading.asked_at) = (Some(question), position);
        self.actions.push_back(match question {
            Question::Follow => ReplicaAction::Follow,
            Question::Last => ReplicaAction::AskLast,
            Question::Fetch if is_known => ReplicaAction::Fetch(self.chain.anchor()),
            Question::Fetch => ReplicaAction::Fetch(self.reading.base),
        });
    }

    /// Says if it is open now, or has shown what somebody waits for.
    fn tell_progress(&mut self, now: Duration) {
        if !self.is_current() {
            return;
        }
        if !self.is_open {
            self.is_open = true;
            self.reading.looks_at = LOOKS.iter().map(|after| now + *after).collect();
            self.actions.push_back(ReplicaAction::Opened);
        }
        if self.reading.is_awaited && !self.reading.is_look_due && self.reading.asked != Some(Question::Last) {
            self.reading.is_awaited = false;
            self.actions.push_back(ReplicaAction::Current);
        }
    }

    fn retry_unless(&mut self, is_answered: bool, now: Duration) {
        if is_answered {
            self.failures = 0;
        } else {
            let pause = self.pause();
            self.reading.again_at = Some(now + pause);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{HistoryBounds, Incarnation, LogEntry, Ticket};
    use super::*;
    use bytes::Bytes;
    use std::time::SystemTime;
    use switchboard_proto::RoomName;

    const NOW: Duration = Duration::ZERO;

    fn replica() -> Replica {
        let bounds = HistoryBounds { messages: 9, bytes: 9 << 10 };
        let mut replica = Replica::new(RoomName::parse("ops").expect("a name"), Incarnation(1), bounds, 7);
        replica.open(NOW);
        replica.followed(Ok(()), NOW);
        replica
    }

    fn beginning(epoch: u32, back: u64) -> LogEnvelope {
        LogEnvelope {
            room: RoomName::parse("ops").expect("a name"),
            epoch: Epoch::new(epoch),
            first: 1,
            token: EnvelopeToken(u64::from(epoch)),
            prev: None,
            origin: Incarnation(2),
            back: Position(back),
            entries: Vec::new(),
        }
    }

    fn actions(replica: &mut Replica) -> Vec<ReplicaAction> {
        std::iter::from_fn(|| replica.action()).collect()
    }

    #[test]
    fn a_log_may_say_that_an_envelope_is_at_the_last_number_there_is() {
        let at_the_last = |envelope: LogEnvelope| Stored { position: Position(u64::MAX), envelope: envelope.encode() };
        let mut replica = replica();
        replica.ended(Ok(LogEnd { log: 1, last: Some(at_the_last(beginning(5, 1))) }), NOW);
        assert_eq!(actions(&mut replica).pop(), Some(ReplicaAction::Fetch(Position(1))));
        // Of an incarnation before that one: what is read next is behind it.
        replica.fetched(Ok(vec![at_the_last(beginning(4, 1))]), NOW);
        assert!(!replica.is_open());
    }

    /// One that has shown one message, behind which the log has nothing of the room.
    fn emptied(told: impl FnOnce(&mut Replica)) -> Replica {
        let mut replica = replica();
        let first = LogEnvelope { entries: vec![entry()], ..beginning(5, 0) };
        let first = Stored { position: Position(1), envelope: first.encode() };
        replica.ended(Ok(LogEnd { log: 1, last: Some(first.clone()) }), NOW);
        replica.fetched(Ok(vec![first]), NOW);
        assert!(replica.is_open());
        told(&mut replica);
        for number in 0.. {
            let now = NOW + COPY_AGAIN * number;
            replica.tick(now);
            match actions(&mut replica).pop() {
                Some(ReplicaAction::Fetch(_)) => replica.fetched(Ok(Vec::new()), now),
                Some(ReplicaAction::AskLast) => {
                    replica.ended(Ok(LogEnd { log: 1, last: None }), now);
                    return replica;
                }
                _ => {}
            }
        }
        unreachable!("it asks at last")
    }

    fn entry() -> LogEntry {
        LogEntry {
            membership: 0,
            time: SystemTime::UNIX_EPOCH,
            from: None,
            user: None,
            payload: Bytes::from_static(b"x"),
        }
    }

    /// The number of what it publishes next, and whether an incarnation begins before it.
    fn published(replica: &mut Replica) -> (u64, bool) {
        replica.publish(vec![(Ticket(1), entry())], NOW).expect("there is room");
        let appended = actions(replica).into_iter().find_map(|action| match action {
            ReplicaAction::Append { after, envelope, .. } => Some((after, LogEnvelope::parse(&envelope))),
            _ => None,
        });
        let (after, envelope) = appended.expect("something is appended");
        let envelope = envelope.expect("it can be read");
        assert_eq!(after, Position(0), "nothing is there");
        (envelope.first, envelope.begins_epoch())
    }

    #[test]
    fn numbers_that_may_have_been_given_before_retention_took_all_are_not_given_again() {
        // It was told that there was more.
        let more = Stored { position: Position(9), envelope: beginning(5, 0).encode() };
        assert_eq!(published(&mut emptied(|replica| replica.checked(&more, NOW))), (1, true));
        // It cannot know, as it was away.
        assert_eq!(published(&mut emptied(|replica| replica.absent(NOW))), (1, true));
        // Nothing was there that it has not shown.
        assert_eq!(published(&mut emptied(|replica| replica.look(NOW))), (2, false));
    }

    #[test]
    fn what_cannot_be_read_is_told_once_until_it_can() {
        let at = |position, envelope: Bytes| Stored { position: Position(position), envelope };
        let end = |stored: &Stored| Ok(LogEnd { log: 1, last: Some(stored.clone()) });
        let mut replica = replica();
        let foreign = at(1, Bytes::from_static(b"x"));
        let told = ReplicaAction::Unreadable(EnvelopeError::Format { format: b'x' });
        replica.ended(end(&foreign), NOW);
        assert!(actions(&mut replica).contains(&told));
        let later = replica.due().expect("it is asked again");
        replica.tick(later);
        assert_eq!(actions(&mut replica), [ReplicaAction::AskLast]);
        replica.ended(end(&foreign), later);
        assert_eq!(actions(&mut replica), [], "it was told");
        assert!(!replica.is_open());

        // An operator has taken it out; then another one comes.
        let later = replica.due().expect("it is asked again");
        replica.tick(later);
        let beginning = at(2, beginning(5, 0).encode());
        replica.ended(end(&beginning), later);
        replica.fetched(Ok(vec![beginning]), later);
        assert!(replica.is_open());
        actions(&mut replica);
        replica.live(&at(3, Bytes::from_static(b"y")), later);
        assert!(matches!(actions(&mut replica)[..], [ReplicaAction::Fetch(_)]));
        replica.fetched(Ok(vec![at(3, Bytes::from_static(b"y"))]), later);
        assert!(actions(&mut replica).contains(&ReplicaAction::Unreadable(EnvelopeError::Format { format: b'y' })));
    }
}
