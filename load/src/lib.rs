//! Load with honest latencies, for switchboard and for what it is compared with, behind `switchboard bench`.
//!
//! The main thread starts the threads that generate the load, shows how it goes, and puts the report together. It shares no code with
//! the servers: the protocols are written from their specifications. It decides whom to trust over TLS like any client of the library
//! (`switchboard::Trust`). The whole program reads command lines and writes to terminals by the same code ([`typed`],
//! [`print`](mod@print), [`foreground`]).

mod arguments;
mod clock;
mod echo;
pub mod foreground;
mod idle;
mod media;
mod options;
mod payload;
pub mod print;
mod process;
mod protocol;
mod random;
mod report;
mod rooms;
mod schedule;
mod sequence;
mod shared;
mod stream;
mod tally;
mod target;
pub mod typed;
mod view;
mod worker;

/// The version, and the commit if that is known: `0.1.0 (0123456789ab)`.
pub const VERSION: &str = env!("SWITCHBOARD_VERSION");

/// The commit that was built, or nothing.
pub const COMMIT: &str = env!("SWITCHBOARD_COMMIT");

pub use arguments::{Arguments, HELP, PROTOCOLS, SCENARIOS};
pub use report::text::number;

use anyhow::{Context as _, anyhow};
use clock::Clock;
use echo::Echo;
use idle::Idle;
use mio::Waker;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use options::{Plan, Scenario};
use process::Usage;
use report::{Finding, Gatherer, Report};
use rooms::Rooms;
use schedule::SECOND;
use shared::Shared;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;
use stream::Connector;
use tally::{Rest, Snapshot};
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, sleep, sleep_until};
use view::View;
use worker::{Pulse, Worker};

/// If no other connection becomes ready for this long, the rest never will.
const PATIENCE: Duration = Duration::from_secs(10);

/// How often to check how far the connections are.
const LOOK: Duration = Duration::from_millis(20);

/// How often the live view is drawn.
const FRAME: Duration = Duration::from_millis(200);

/// From everybody being ready to the start, so that all threads have heard of it.
const HEADWAY: u64 = SECOND / 50;

/// Snapshots on their way, for each thread.
const SNAPSHOTS: usize = 16;

/// Descriptors besides those of connections.
const OTHER_DESCRIPTORS: u64 = 64;

/// Why a run did not pass.
#[derive(Debug)]
pub enum BenchError {
    /// What was typed is wrong: one line for each fault.
    Typed(Vec<String>),
    /// The server was not reached, the machine lacks something, or a `--max-…` is broken.
    Failed(anyhow::Error),
}

/// Runs a load and shows the result.
pub fn bench(typed: Arguments) -> Result<(), BenchError> {
    if typed.scenario == "media" {
        return media::bench(&typed);
    }
    let plan = Arc::new(Plan::parse(typed).map_err(BenchError::Typed)?);
    shown(&plan).map_err(BenchError::Failed)
}

fn shown(plan: &Arc<Plan>) -> anyhow::Result<()> {
    let report = run(plan)?;
    if let Some(path) = &plan.html {
        std::fs::write(path, report.page()).with_context(|| path.display().to_string())?;
    }
    let shown = if plan.json { report.json() } else { report.summary() };
    // Nobody who reads half of it must take it for a run that has passed.
    print::write(shown.as_bytes()).context("cannot print the report")?;
    report.broken().map_or(Ok(()), |broken| Err(anyhow!(broken)))
}

fn run(plan: &Arc<Plan>) -> anyhow::Result<Report> {
    raise_descriptor_limit(plan.all_connections() as u64 + OTHER_DESCRIPTORS)?;
    let tls = plan.url.scheme.is_tls().then(|| stream::client_config(plan.ca.as_deref()));
    let connector = Connector {
        url: plan.url.clone(),
        address: plan.address.clone(),
        sources: plan.sources,
        tls: tls.transpose()?,
        datagrams: plan.scenario == Scenario::Udp,
    };
    let (pulses, wakers): (Vec<Pulse>, Vec<Waker>) =
        (0..plan.threads).map(|_| Pulse::new()).collect::<Result<Vec<_>, _>>()?.into_iter().unzip();
    let shared = Arc::new(Shared::new(Clock::start(), wakers, plan.rooms, plan.publishers));
    let before = Usage::now(&plan.server);
    let (sender, snapshots) = mpsc::channel(SNAPSHOTS * plan.threads);
    let threads: Vec<_> = pulses
        .into_iter()
        .enumerate()
        .map(|(number, pulse)| spawn(plan, &shared, number, (pulse, connector.clone()), sender.clone()))
        .collect::<Result<_, _>>()?;
    drop(sender);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let outcome = runtime.block_on(follow(plan, &shared, snapshots));
    // Whatever happened, they must end.
    shared.stop();
    let rests: Vec<_> = threads.into_iter().map(join).collect::<Result<_, _>>()?;
    let Followed { gathered, first, last, opening, stopped_early } = outcome?;
    let finding = Finding { gathered, rests, usage: [before, first, last], opening, stopped_early };
    Ok(Report::new(plan, finding))
}

type Thread = JoinHandle<std::io::Result<(Snapshot, Rest)>>;

fn spawn(
    plan: &Arc<Plan>,
    shared: &Arc<Shared>,
    number: usize,
    means: (Pulse, Connector),
    snapshots: mpsc::Sender<(usize, Snapshot)>,
) -> std::io::Result<Thread> {
    let (plan, shared) = (Arc::clone(plan), Arc::clone(shared));
    let ending = Ending(Arc::clone(&shared));
    // Made in the thread: headers of datagram batches do not move between threads.
    let work = move || {
        let _ending = ending;
        match plan.scenario {
            Scenario::Echo | Scenario::Udp => {
                let script = Echo::new(&plan, number);
                Worker::new(script, plan, shared, number, means, snapshots).run()
            }
            Scenario::Rooms => {
                let script = Rooms::new(&plan, &shared, number);
                Worker::new(script, plan, shared, number, means, snapshots).run()
            }
            Scenario::Idle => {
                let script = Idle::new(&plan, number);
                Worker::new(script, plan, shared, number, means, snapshots).run()
            }
        }
    };
    thread::Builder::new().name(format!("bench-{number}")).spawn(work)
}

/// A thread that panics ends the run.
struct Ending(Arc<Shared>);

impl Drop for Ending {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.stop();
        }
    }
}

fn join(thread: Thread) -> anyhow::Result<(Snapshot, Rest)> {
    let result = thread.join().map_err(|_| anyhow!("a thread of the load panicked"))?;
    result.context("the event loop failed")
}

/// What the main thread has seen.
struct Followed {
    gathered: Gatherer,
    first: Usage,
    last: Usage,
    opening: u64,
    stopped_early: bool,
}

/// Waits until all connections are ready, lets the run begin, and gathers until its end.
async fn follow(
    plan: &Plan,
    shared: &Shared,
    mut snapshots: mpsc::Receiver<(usize, Snapshot)>,
) -> anyhow::Result<Followed> {
    let mut view = View::new(plan)?;
    wait_until_ready(plan, shared, &mut view).await?;
    let opening = shared.clock.now();
    shared.begin(opening + HEADWAY);
    let begins = Instant::now() + Duration::from_nanos(HEADWAY);
    let measured = plan.phases.measured();
    let [first_at, last_at] = [measured.start, measured.end].map(|at| begins + Duration::from_nanos(at));
    let (mut first, mut last, mut stopped_early) = (None, None, false);
    let mut ticks = tokio::time::interval(FRAME);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut gathered = Gatherer::new(plan);
    loop {
        let stopped = tokio::select! {
            told = snapshots.recv() => {
                let Some((thread, snapshot)) = told else { break };
                if let Some(interval) = gathered.take(thread, snapshot) {
                    view.interval(interval);
                }
                false
            }
            _ = ticks.tick() => view.tick(Some(shared.clock.now().saturating_sub(opening + HEADWAY)))?,
            () = sleep_until(first_at), if first.is_none() => {
                first = Some(Usage::now(&plan.server));
                false
            }
            () = sleep_until(last_at), if last.is_none() => {
                last = Some(Usage::now(&plan.server));
                false
            }
            () = view.asked_to_stop() => true,
        };
        if stopped {
            stopped_early = true;
            last = last.or_else(|| Some(Usage::now(&plan.server)));
            shared.stop();
        }
    }
    let last = last.unwrap_or_else(|| Usage::now(&plan.server));
    Ok(Followed { gathered, first: first.unwrap_or(last), last, opening, stopped_early })
}

/// Waits for the connections.
///
/// # Errors
/// No connection is ready, some never become ready, or somebody ends the run.
async fn wait_until_ready(plan: &Plan, shared: &Shared, view: &mut View) -> anyhow::Result<()> {
    let wanted = plan.all_connections();
    let (mut before, mut since) = ((0, 0), Instant::now());
    let spread = Duration::from_nanos(plan.opening) / wanted as u32;
    loop {
        let (ready, failed) = shared.ready();
        view.opening(ready, failed)?;
        if ready + failed >= wanted && ready > 0 {
            return Ok(());
        }
        let first_error = shared.first_error.lock().clone();
        if failed >= wanted {
            return Err(anyhow!("{}: {}", plan.url.typed, first_error.as_deref().unwrap_or("no connection")));
        }
        if (ready, failed) != before {
            (before, since) = ((ready, failed), Instant::now());
        }
        if since.elapsed() > PATIENCE + spread {
            let silent = wanted - ready - failed;
            let error = first_error.map_or(String::new(), |error| format!(": {error}"));
            return Err(anyhow!(
                "{}: {silent} of {wanted} connections {}{error}",
                plan.url.typed,
                unheard(plan.scenario)
            ));
        }
        let stopped = tokio::select! {
            () = sleep(LOOK) => view.tick(None)?,
            () = view.asked_to_stop() => true,
        };
        if stopped {
            return Err(anyhow!("stopped before all connections were ready"));
        }
    }
}

/// What a connection lacks that never becomes ready.
fn unheard(scenario: Scenario) -> &'static str {
    match scenario {
        Scenario::Echo | Scenario::Udp => "were not answered with what they had sent; is it an echo service?",
        Scenario::Rooms => "received nothing of what was published",
        Scenario::Idle => "were not established",
    }
}

/// Raises the soft descriptor limit as far as needed.
fn raise_descriptor_limit(needed: u64) -> anyhow::Result<()> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    if needed > hard {
        return Err(anyhow!("{needed} descriptors are needed, and the limit is {hard}: ulimit -n"));
    }
    if needed > soft {
        setrlimit(Resource::RLIMIT_NOFILE, needed, hard)?;
    }
    Ok(())
}
