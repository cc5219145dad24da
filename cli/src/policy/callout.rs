//! Asks a program of the operator's whose a token is, about tokens that no other source knows: once for each, within bounds.
//!
//! Whatever is not a clear yes or no is neither. What an answer is worth here, and which names it may give, is for the policy to say.

mod answer;
pub(crate) mod place;

pub(crate) use answer::{Attested, CalloutAnswer};

use super::rules::At;
use super::token::TokenHash;
use bytes::Bytes;
use parking_lot::Mutex;
use place::PutQuestion;
use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use switchboard::policy::Claimant;
use switchboard::{Durations, Glob, Histogram, UserName};
use switchboard_load::typed::Secret;
use tokio::sync::{OnceCell, Semaphore};
use tokio::time::{Instant, timeout};

const BOUNDS: &[Duration] = &[
    Duration::from_millis(1),
    Duration::from_millis(10),
    Duration::from_millis(100),
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(2),
];

/// Questions that are asked at once.
const AT_ONCE: usize = 64;

/// Questions beyond those that wait for their turn.
const WAITING: usize = 1024;

/// How long one waits for it. With the answer it is no longer than a connection may take to show who it is.
const TURN: Duration = Duration::from_secs(7);

/// How long its answer may take.
pub(crate) const ANSWER_TIME: Duration = Duration::from_secs(2);

/// Most bytes of it.
pub(crate) const ANSWER_BYTES: usize = 64 << 10;

/// Answers that are kept. When there is no place, the one that is over soonest makes some.
const KEPT: usize = 4096;

/// `[callout]` of the file.
#[derive(Clone)]
pub(crate) struct CalloutSection {
    pub(crate) at: At,
    pub(crate) url: String,
    /// By which it knows who asks.
    pub(crate) secret: Option<Secret>,
    /// Whose word is taken that it is there; without, of those that the machine trusts.
    pub(crate) ca: Option<String>,
    /// Whom it may speak for.
    pub(crate) names: Vec<Glob>,
    /// Its place, once the URL is taken apart and the file is read.
    pub(crate) place: Option<Arc<dyn PutQuestion>>,
    /// What stands for that file.
    pub(crate) mark: Option<String>,
}

impl CalloutSection {
    /// Whether it may speak for whoever is called so, as far as it alone is concerned.
    pub(crate) fn issues(&self, name: &UserName) -> bool {
        self.names.iter().any(|glob| glob.matches(name.as_str(), None))
    }

    fn parts(&self) -> (At, &str, Option<&str>, [&Option<String>; 2], &[Glob]) {
        let Self { at, url, secret, ca, names, place: _, mark } = self;
        (*at, url, secret.as_ref().map(Secret::expose), [ca, mark], names)
    }
}

impl PartialEq for CalloutSection {
    fn eq(&self, other: &Self) -> bool {
        self.parts() == other.parts()
    }
}

impl Eq for CalloutSection {}

impl fmt::Debug for CalloutSection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CalloutSection").field("url", &self.url).finish_non_exhaustive()
    }
}

/// Who is asked, and what is being asked.
#[derive(Debug)]
pub(crate) struct Callout {
    pub(crate) section: CalloutSection,
    /// Those that are asked or wait; after a reload those of before count too.
    admitted: Arc<Semaphore>,
    turns: Arc<Semaphore>,
    /// How long answers took, also of those before.
    times: Arc<Histogram>,
    underway: Mutex<HashMap<Question, Arc<Asking>>>,
    kept: Mutex<HashMap<Question, Kept>>,
}

/// Which questions are equal: the same answer is for whoever shows this token from there, in this way.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Question {
    token: TokenHash,
    address: Option<IpAddr>,
    via: Option<IpAddr>,
    transport: Option<&'static str>,
    listener: Option<Box<str>>,
}

impl Question {
    fn new(token: &str, claimant: &Claimant) -> Self {
        Self {
            token: TokenHash::of(token),
            address: claimant.address.ip().map(|address| address.ip()),
            via: claimant.via.map(|via| via.ip()),
            transport: claimant.transport,
            listener: claimant.listener().map(Into::into),
        }
    }
}

/// An answer that is on its way. The first that waits for it asks; if that one goes away, the next does.
type Asking = OnceCell<Result<CalloutAnswer, NoAnswer>>;

/// An answer, and until when it is used again.
#[derive(Debug)]
struct Kept {
    answer: CalloutAnswer,
    until: Instant,
}

/// Why nobody can say whose a token is: for the log, since whoever shows it learns no more than that.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NoAnswer {
    #[error("too many questions wait for it")]
    Full,
    #[error("it has no time for another question")]
    Busy,
    #[error("{0}")]
    Failed(Box<str>),
}

impl Callout {
    /// In place of the one `before`, of whose answers none is used any more.
    pub(crate) fn new(section: CalloutSection, before: Option<&Self>) -> Self {
        let (underway, kept) = Default::default();
        let (admitted, turns, times) = if let Some(before) = before {
            (Arc::clone(&before.admitted), Arc::clone(&before.turns), Arc::clone(&before.times))
        } else {
            let (admitted, turns) = (Semaphore::new(AT_ONCE + WAITING), Semaphore::new(AT_ONCE));
            (Arc::new(admitted), Arc::new(turns), Arc::new(Histogram::new(BOUNDS)))
        };
        Self { section, admitted, turns, times, underway, kept }
    }

    /// How many questions are asked or wait now.
    pub(crate) fn under_way(&self) -> usize {
        AT_ONCE + WAITING - self.admitted.available_permits()
    }

    /// How long answers took.
    pub(crate) fn times(&self) -> Durations {
        self.times.durations()
    }

    /// Whose `token` is that `claimant` shows, at `now`.
    ///
    /// # Errors
    /// Nobody can say now.
    ///
    /// # Cancel safety
    /// Safe: whoever else waits for the same answer asks then.
    pub(crate) async fn ask(
        &self,
        token: &str,
        claimant: &Claimant,
        now: SystemTime,
    ) -> Result<CalloutAnswer, NoAnswer> {
        let question = Question::new(token, claimant);
        if let Some(answer) = self.known(&question, now) {
            return Ok(answer);
        }
        let asking = Arc::clone(self.underway.lock().entry(question.clone()).or_default());
        let leaving = Leaving { callout: self, question: &question, asking };
        let answer = leaving.asking.get_or_init(|| self.put(token, claimant)).await.clone();
        leaving.done();
        if let Ok(answer) = &answer {
            self.keep(&question, answer, now);
        }
        answer
    }

    async fn put(&self, token: &str, claimant: &Claimant) -> Result<CalloutAnswer, NoAnswer> {
        let _admitted = self.admitted.try_acquire().map_err(|_| NoAnswer::Full)?;
        let Ok(Ok(_turn)) = timeout(TURN, self.turns.acquire()).await else { return Err(NoAnswer::Busy) };
        let question = Bytes::from(answer::question(token, claimant));
        let Some(place) = &self.section.place else { return Err(NoAnswer::Failed("it has no place".into())) };
        let began = Instant::now();
        let answered = place.put(question, self.section.secret.as_ref()).await;
        self.times.record(began.elapsed());
        let read = answered.and_then(|(status, body)| answer::read(status, &body));
        read.map_err(|fault| NoAnswer::Failed(fault.into()))
    }

    fn known(&self, question: &Question, now: SystemTime) -> Option<CalloutAnswer> {
        let kept = self.kept.lock();
        let kept = kept.get(question).filter(|kept| Instant::now() < kept.until)?;
        // To the moment, as whoever asks because it is over sees it.
        let is_over = matches!(&kept.answer, CalloutAnswer::Yes(said) if said.expires.is_some_and(|end| end <= now));
        (!is_over).then(|| kept.answer.clone())
    }

    /// Keeps a yes for as long as it says, and not beyond its end.
    fn keep(&self, question: &Question, answer: &CalloutAnswer, now: SystemTime) {
        let CalloutAnswer::Yes(said) = answer else { return };
        let left = said.expires.map(|expires| expires.duration_since(now).unwrap_or_default());
        let life = left.map_or(said.cache, |left| left.min(said.cache));
        if life.is_zero() {
            return;
        }
        let mut kept = self.kept.lock();
        if kept.len() >= KEPT {
            let now = Instant::now();
            kept.retain(|_, kept| now < kept.until);
        }
        if kept.len() >= KEPT
            && let Some(soonest) = kept.iter().min_by_key(|(_, kept)| kept.until).map(|(question, _)| question.clone())
        {
            kept.remove(&soonest);
        }
        kept.insert(question.clone(), Kept { answer: answer.clone(), until: Instant::now() + life });
    }
}

/// Takes a question off the list of those underway: once it is answered, or when the last that waits for it goes away.
struct Leaving<'a> {
    callout: &'a Callout,
    question: &'a Question,
    asking: Arc<Asking>,
}

impl Leaving<'_> {
    /// It is answered: whoever comes from now on asks anew.
    fn done(&self) {
        let mut underway = self.callout.underway.lock();
        if underway.get(self.question).is_some_and(|asking| Arc::ptr_eq(asking, &self.asking)) {
            underway.remove(self.question);
        }
    }
}

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        let mut underway = self.callout.underway.lock();
        // The list's, and this one; nobody takes another one meanwhile, since that is under the lock.
        let is_last = Arc::strong_count(&self.asking) <= 2;
        if is_last && underway.get(self.question).is_some_and(|asking| Arc::ptr_eq(asking, &self.asking)) {
            underway.remove(self.question);
        }
    }
}

#[cfg(test)]
mod tests;
