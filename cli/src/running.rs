//! The server that runs, for those who watch and steer it: what it was started with, how far it is, and what its operators have said.
//!
//! Everybody shares one. Knows no request: `services/admin` answers those.

use crate::config::Rooms;
use crate::live::Replaceable;
use crate::logging::{Filter, LostLines};
use crate::policy::rules::Rules;
use crate::services::{GroupCounts, Pool};
use crate::steered::Steered;
use crate::web::counts::RequestCounts;
use parking_lot::Mutex;
use serde_json::Value;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};
use switchboard::cluster::Cluster;
use switchboard::log::replica::ReplicatedLog;
use switchboard::log::{LogError, NatsEngine, NatsProfile, RoomLog, SqliteLog};
use switchboard::{Certificates, Limits};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

/// What all services and the signals share of one run.
#[derive(Debug)]
pub(crate) struct Run {
    started: SystemTime,
    since: Instant,
    limits: Replaceable<Limits>,
    workers: usize,
    lost_lines: LostLines,
    /// It accepts connections.
    is_serving: AtomicBool,
    /// An operator has said that it wants none.
    is_put_aside: AtomicBool,
    listeners: Mutex<Vec<Listening>>,
    reloads: Mutex<Reloaded>,
    /// Whoever asks for a reload waits here for what comes of it.
    asking: mpsc::Sender<(FileWish, FileTold)>,
    asked: Mutex<Option<mpsc::Receiver<(FileWish, FileTold)>>>,
    log: Mutex<Logging>,
    /// Names of classes of rooms, at their numbers.
    classes: Mutex<Vec<String>>,
    steered: Steered,
    /// Where rooms are kept, if they are.
    kept: Option<KeptIn>,
    settings: Mutex<Arc<SettingsInForce>>,
    /// Of each listener that answers requests.
    requests: Mutex<Vec<Arc<RequestCounts>>>,
    /// Of each listener that speaks TLS, by its address.
    certificates: Mutex<Vec<(String, Certificates)>>,
    /// Of each proxy, in the order of the listeners.
    pools: Mutex<Vec<Arc<Pool>>>,
    /// Of each listener of a group of hosts.
    groups: Mutex<Vec<Arc<GroupCounts>>>,
}

/// What keeps rooms.
#[derive(Debug, Clone)]
pub(crate) enum KeptIn {
    /// A data directory.
    Data(Arc<SqliteLog>),
    /// The log that several nodes share.
    Cluster { engine: Arc<NatsEngine>, log: Arc<ReplicatedLog>, nodes: Arc<Cluster> },
}

impl KeptIn {
    pub(crate) fn log(&self) -> Arc<dyn RoomLog> {
        match self {
            Self::Data(log) => Arc::clone(log) as Arc<dyn RoomLog>,
            Self::Cluster { log, .. } => Arc::clone(log) as Arc<dyn RoomLog>,
        }
    }

    pub(crate) fn data(&self) -> Option<&SqliteLog> {
        match self {
            Self::Data(log) => Some(log),
            Self::Cluster { .. } => None,
        }
    }

    /// Whether what it keeps is there again after a restart of it.
    pub(crate) fn is_lasting(&self) -> bool {
        self.cluster().is_none_or(|engine| engine.profile() != NatsProfile::Memory)
    }

    pub(crate) fn cluster(&self) -> Option<&NatsEngine> {
        match self {
            Self::Data(_) => None,
            Self::Cluster { engine, .. } => Some(engine),
        }
    }

    /// The nodes that share the log, this one among them.
    pub(crate) fn nodes(&self) -> Option<&Cluster> {
        match self {
            Self::Data(_) => None,
            Self::Cluster { nodes, .. } => Some(nodes),
        }
    }

    /// Rooms that wait for the log that nodes share.
    pub(crate) fn waiting_rooms(&self) -> Option<usize> {
        match self {
            Self::Data(_) => None,
            Self::Cluster { log, .. } => Some(log.waiting_rooms()),
        }
    }

    pub(crate) fn health(&self) -> Result<(), LogError> {
        match self {
            Self::Data(log) => log.health(),
            Self::Cluster { log, .. } => log.health(),
        }
    }
}

/// Where a service can be reached.
#[derive(Debug, Clone)]
pub(crate) struct Listening {
    pub(crate) service: &'static str,
    pub(crate) url: String,
}

/// What is in force, for whoever wants to see it.
#[derive(Debug, Default)]
pub(crate) struct SettingsInForce {
    /// Each value, where it came from, and when it changes; without secrets.
    pub(crate) told: Value,
    pub(crate) rules: Rules,
    pub(crate) rooms: Rooms,
}

/// How readings of the file have ended.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reloaded {
    /// The last one was taken.
    pub(crate) is_good: bool,
    /// When what is in force was read.
    pub(crate) since: SystemTime,
    pub(crate) count: u64,
    pub(crate) failures: u64,
    /// What stands for all settings that are in force.
    pub(crate) hash: u64,
}

/// What is to be done with the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum FileWish {
    Reload,
    /// This in its place is only looked at.
    Check(String),
}

/// Where to say what came of it: what has changed, or would; or what is wrong.
pub(crate) type FileTold = oneshot::Sender<Result<Vec<String>, Vec<String>>>;

/// Which events are logged.
#[derive(Debug, Default)]
struct Logging {
    filter: Option<Filter>,
    /// What the file says, or the flags.
    set: String,
    /// What an operator has said, and until when.
    for_now: Option<(String, SystemTime)>,
    /// How often that has been said.
    number: u64,
}

impl Default for Run {
    fn default() -> Self {
        Self::new(Limits::default(), 1, LostLines::default())
    }
}

impl Run {
    pub(crate) fn new(limits: Limits, workers: usize, lost_lines: LostLines) -> Self {
        let started = SystemTime::now();
        // More than one at a time is a mistake.
        let (asking, asked) = mpsc::channel(1);
        Self {
            started,
            since: Instant::now(),
            limits: Replaceable::new(limits),
            workers,
            lost_lines,
            is_serving: AtomicBool::new(false),
            is_put_aside: AtomicBool::new(false),
            listeners: Mutex::default(),
            asking,
            asked: Mutex::new(Some(asked)),
            log: Mutex::default(),
            reloads: Mutex::new(Reloaded { is_good: true, since: started, count: 0, failures: 0, hash: 0 }),
            classes: Mutex::default(),
            steered: Steered::default(),
            kept: None,
            settings: Mutex::default(),
            requests: Mutex::default(),
            certificates: Mutex::default(),
            pools: Mutex::default(),
            groups: Mutex::default(),
        }
    }

    /// The same, whose operators have said this before.
    pub(crate) fn steered_by(self, steered: Steered) -> Self {
        Self { steered, ..self }
    }

    /// What operators have said that holds for longer.
    pub(crate) fn steered(&self) -> &Steered {
        &self.steered
    }

    /// The same, whose rooms are kept there, if they are.
    pub(crate) fn keeping(self, kept: Option<KeptIn>) -> Self {
        Self { kept, ..self }
    }

    pub(crate) fn kept(&self) -> Option<&KeptIn> {
        self.kept.as_ref()
    }

    pub(crate) fn started(&self) -> SystemTime {
        self.started
    }

    pub(crate) fn uptime(&self) -> Duration {
        self.since.elapsed()
    }

    /// Those in force.
    pub(crate) fn limits(&self) -> Limits {
        self.limits.now()
    }

    /// These are in force from now on.
    pub(crate) fn set_limits(&self, limits: Limits) {
        self.limits.set(limits);
    }

    pub(crate) fn workers(&self) -> usize {
        self.workers
    }

    pub(crate) fn lost_lines(&self) -> u64 {
        self.lost_lines.count()
    }

    /// It accepts connections from now on, at these addresses.
    pub(crate) fn serves(&self, listeners: Vec<Listening>) {
        *self.listeners.lock() = listeners;
        // Relaxed: a flag to be told, which guards nothing.
        self.is_serving.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_serving(&self) -> bool {
        self.is_serving.load(Ordering::Relaxed)
    }

    /// Whether balancers are to send it connections, if nothing else is in the way.
    pub(crate) fn is_wanted(&self) -> bool {
        !self.is_put_aside.load(Ordering::Relaxed)
    }

    /// Says that it is ready, or that it is not; whoever is connected notices nothing.
    pub(crate) fn set_wanted(&self, is_wanted: bool) {
        self.is_put_aside.store(!is_wanted, Ordering::Relaxed);
    }

    pub(crate) fn listeners(&self) -> Vec<Listening> {
        self.listeners.lock().clone()
    }

    /// Has the file read again, or another one looked at, and waits for what comes of it; not while somebody else does.
    pub(crate) async fn has_file(&self, wish: FileWish) -> Option<Result<Vec<String>, Vec<String>>> {
        let (told, result) = oneshot::channel();
        self.asking.try_send((wish, told)).ok()?;
        result.await.ok()
    }

    /// Where that is asked for, for whoever does it.
    pub(crate) fn take_asked(&self) -> Option<mpsc::Receiver<(FileWish, FileTold)>> {
        self.asked.lock().take()
    }

    /// The log is this one, and `set` says what is logged.
    pub(crate) fn logs(&self, filter: Filter, set: &str) {
        let mut log = self.log.lock();
        (log.filter, log.set) = (Some(filter), set.to_owned());
    }

    /// What is logged unless an operator has something else logged for now.
    pub(crate) fn set_log(&self, set: &str) {
        let mut log = self.log.lock();
        set.clone_into(&mut log.set);
        if log.for_now.is_none() {
            log.filter.iter().for_each(|filter| filter.set(set));
        }
    }

    /// What is logged now, and until when if it is not for good.
    pub(crate) fn logging(&self) -> (String, Option<SystemTime>) {
        let log = self.log.lock();
        match &log.for_now {
            Some((filter, until)) => (filter.clone(), Some(*until)),
            None => (log.set.clone(), None),
        }
    }

    /// Has other events logged for a while. Gives the number by which [`log_as_set`](Self::log_as_set) is called then.
    pub(crate) fn log_for(&self, filter: &str, time: Duration) -> u64 {
        let mut log = self.log.lock();
        log.for_now = Some((filter.to_owned(), SystemTime::now() + time));
        log.filter.iter().for_each(|log| log.set(filter));
        log.number += 1;
        log.number
    }

    /// That is over, unless something else was said meanwhile.
    pub(crate) fn log_as_set(&self, number: u64) {
        let mut log = self.log.lock();
        if log.number == number {
            log.for_now = None;
            log.filter.iter().for_each(|filter| filter.set(&log.set));
        }
    }

    /// Where a listener counts its requests, whose paths have these templates.
    pub(crate) fn requests_of(&self, templates: &'static [&'static str]) -> Arc<RequestCounts> {
        let counts = Arc::new(RequestCounts::new(templates));
        self.requests.lock().push(Arc::clone(&counts));
        counts
    }

    pub(crate) fn requests(&self) -> Vec<Arc<RequestCounts>> {
        self.requests.lock().clone()
    }

    /// What listeners show to their clients.
    pub(crate) fn certificates(&self) -> Vec<(String, Certificates)> {
        self.certificates.lock().clone()
    }

    pub(crate) fn set_certificates(&self, certificates: Vec<(String, Certificates)>) {
        *self.certificates.lock() = certificates;
    }

    /// Upstreams of proxies, of one listener each, in their order.
    pub(crate) fn pools(&self) -> Vec<Arc<Pool>> {
        self.pools.lock().clone()
    }

    /// A listener passes connections on to these.
    pub(crate) fn passes_on(&self, pool: Arc<Pool>) {
        self.pools.lock().push(pool);
    }

    /// Where one more group of hosts counts what comes.
    pub(crate) fn group_counts(&self) -> Arc<GroupCounts> {
        let counts = Arc::<GroupCounts>::default();
        self.groups.lock().push(Arc::clone(&counts));
        counts
    }

    /// Of each group of hosts.
    pub(crate) fn groups(&self) -> Vec<Arc<GroupCounts>> {
        self.groups.lock().clone()
    }

    pub(crate) fn classes(&self) -> Vec<String> {
        self.classes.lock().clone()
    }

    /// What classes of rooms are called, at their numbers.
    pub(crate) fn set_classes(&self, names: Vec<String>) {
        *self.classes.lock() = names;
    }

    pub(crate) fn reloads(&self) -> Reloaded {
        *self.reloads.lock()
    }

    /// These are the settings in force.
    pub(crate) fn runs_by(&self, hash: u64, settings: SettingsInForce) {
        self.reloads.lock().hash = hash;
        *self.settings.lock() = Arc::new(settings);
    }

    pub(crate) fn settings(&self) -> Arc<SettingsInForce> {
        Arc::clone(&self.settings.lock())
    }

    /// What is in force was read again, or is what it was.
    pub(crate) fn reloaded(&self, is_good: bool) {
        let mut reloads = self.reloads.lock();
        reloads.count += 1;
        reloads.is_good = is_good;
        if is_good {
            reloads.since = SystemTime::now();
        } else {
            reloads.failures += 1;
        }
    }
}
