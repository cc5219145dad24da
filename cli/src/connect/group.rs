//! A group of hosts, as who joins it hears it: what anybody sends to it is shown, and lines go to all of it. What gets lost is had from a
//! listener of rooms over HTTP, if there is one.

mod missing;

use super::arguments::Arguments;
use super::input::{self, StdinKind, Typed};
use super::output::Display;
use super::told;
use crate::config::{Fault, SetBy};
use crate::endpoint::Options;
use crate::fetch::{Bounds, FetchError, Remote};
use crate::services::group::{self, is_group, parse_hops, parse_interfaces, parse_sources};
use anyhow::{Context as _, anyhow};
use bytes::Bytes;
use http::StatusCode;
use missing::Missing;
use parking_lot::Mutex;
use std::future::pending;
use std::hash::{BuildHasher as _, RandomState};
use std::io::{self, IsTerminal as _, Write as _};
use std::net::IpAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use switchboard::{Connection, Datagrams, Escaped, Format, HostGroup, Lines, Server, Udp};
use switchboard_load::typed::{Place, Scheme, parse_duration, parse_switch};
use tokio::sync::mpsc::Receiver;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep_until};

/// What an answer about lost messages may be long, and take.
const BOUNDS: Bounds = Bounds { body_bytes: 64 << 20, time: Duration::from_secs(10) };

/// After the end of input, and the last datagram.
const WAIT: Duration = Duration::from_secs(1);

/// What to do.
pub(super) struct GroupPlan {
    typed: String,
    group: HostGroup,
    repair: Option<Remote>,
    /// Whether the end of input ends nothing.
    listen: bool,
    wait: Duration,
}

impl GroupPlan {
    /// Reads what was typed, if it is a group.
    pub(super) fn parse(typed: &Arguments) -> Option<Result<Self, Vec<Fault>>> {
        let (place, query) =
            typed.url.split_once('?').map_or((&*typed.url, None), |(place, query)| (place, Some(query)));
        let Ok(Place::Host(host)) = Place::of_listener(place.strip_prefix("udp://")?, Scheme::Udp) else { return None };
        let mut options = Options::parse(query);
        if !is_group(&host, &options) {
            return None;
        }
        let is_broadcast = options.value("broadcast", parse_switch).unwrap_or(false);
        let address = group::address(&host);
        let mut group = Udp::group(&host).received(None, None).datagram_bytes(group::MOST_BYTES);
        for (name, _) in options.value("interface", parse_interfaces).unwrap_or_default() {
            group = group.interface(name);
        }
        let sources: Vec<IpAddr> = options.value("source", |text| parse_sources(text, address)).unwrap_or_default();
        group = sources.into_iter().fold(group, HostGroup::source);
        group = if is_broadcast { group.broadcast() } else { group };
        if let Some(hops) = options.value("ttl", parse_hops) {
            group = group.hops(hops);
        }
        if options.value("loop", parse_switch) == Some(false) {
            group = group.without_loop();
        }
        let told = |fault: String| Fault::new(SetBy::Argument, format!("{}: {fault}", typed.url));
        let mut faults: Vec<_> = options.finish().into_iter().map(|fault| told(fault.text)).collect();
        let flag = |name: &str, text: String| Fault::new(SetBy::Flag(name.to_owned()), text);
        let others = [
            ("--name", typed.name.is_some()),
            ("--room", typed.room.is_some()),
            ("--token-file", typed.token_file.is_some()),
            ("--reconnect", typed.reconnect),
            ("--ca", typed.ca.is_some()),
            ("--cert", typed.cert.is_some()),
            ("--insecure", typed.insecure),
        ];
        let not = others.into_iter().filter(|(_, is_given)| *is_given);
        faults.extend(not.map(|(name, _)| flag(name, "not for a group of hosts, which has no server".to_owned())));
        let repair = typed.repair.as_ref().map(|url| Remote::open(url)).transpose();
        let repair = repair.map_err(|texts| faults.extend(texts.into_iter().map(|text| flag("--repair", text))));
        let wait = typed.wait.as_ref().map(|wait| parse_duration(wait)).transpose();
        let wait = wait.map_err(|fault| faults.push(flag("--wait", fault)));
        let (Ok(repair), Ok(wait), true) = (repair, wait, faults.is_empty()) else { return Some(Err(faults)) };
        let wait = wait.unwrap_or(WAIT);
        Some(Ok(Self { typed: typed.url.clone(), group, repair, listen: typed.listen, wait }))
    }
}

/// Joins the group until the input ends, or for good.
pub(super) fn listen(plan: GroupPlan) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("cannot start")?;
    let typed = plan.typed.clone();
    runtime.block_on(run(plan)).with_context(|| typed)?;
    Ok(ExitCode::SUCCESS)
}

async fn run(plan: GroupPlan) -> anyhow::Result<()> {
    let input = input::read(StdinKind::Lines).context("cannot read stdin")?;
    let (done, finished) = oneshot::channel();
    let group = plan.group.clone();
    let member = Arc::new(Mutex::new(Some((Member::new(plan, input), done))));
    let server = Server::new().workers(0).group(group, move |conn: Connection<Datagrams>| {
        let member = member.lock().take();
        async move {
            let Some((member, done)) = member else { return Ok(()) };
            // Nobody is left to tell if the program ends.
            let _ = done.send(member.take_part(conn).await);
            Ok::<_, switchboard::BoxError>(())
        }
    });
    let bound = server.bind().await.map_err(|error| match error.listeners.into_iter().next() {
        Some(listener) => anyhow!(listener.error),
        None => anyhow!(error.faults.join(", ")),
    })?;
    let mut result = Err(ended());
    let over = async { result = finished.await.unwrap_or_else(|_| Err(ended())) };
    bound.serve_until(over).await;
    result
}

/// Nobody said how it ended, so it was not in order.
fn ended() -> anyhow::Error {
    anyhow!("a fault of this program ended it")
}

/// One that hears a group and speaks to it.
struct Member {
    repair: Option<Remote>,
    missing: Missing,
    input: Receiver<Typed>,
    display: Display,
    random: RandomState,
    listen: bool,
    wait: Duration,
    /// Something was typed.
    has_spoken: bool,
    /// It was told why nothing is repaired.
    has_told_why: bool,
    /// Once the input has ended: since when nothing has come, neither from there nor from the group.
    quiet_since: Option<Instant>,
}

type Asked<'a> = std::pin::Pin<Box<dyn Future<Output = Result<Bytes, Unrepaired>> + Send + 'a>>;

enum Happened {
    Datagram(Result<Option<Bytes>, switchboard::ConnectionError>),
    Typed(Option<Typed>),
    Due,
    Answered(Result<Bytes, Unrepaired>),
    Over,
}

impl Member {
    fn new(GroupPlan { repair, listen, wait, .. }: GroupPlan, input: Receiver<Typed>) -> Self {
        let (missing, display) = (Missing::new(repair.is_some()), Display::choose::<Lines>());
        let (random, has_spoken, has_told_why, quiet_since) = (RandomState::new(), false, false, None);
        Self { repair, missing, input, display, random, listen, wait, has_spoken, has_told_why, quiet_since }
    }

    async fn take_part(mut self, mut conn: Connection<Datagrams>) -> anyhow::Result<()> {
        let repair = self.repair.take();
        let mut asked: Option<Asked<'_>> = None;
        loop {
            let due = if asked.is_some() { None } else { self.missing.due() };
            let end = self.end();
            let happened = tokio::select! {
                received = conn.recv() => Happened::Datagram(received),
                typed = self.input.recv(), if self.quiet_since.is_none() => Happened::Typed(typed),
                () = at(due) => Happened::Due,
                answer = answer(&mut asked) => Happened::Answered(answer),
                () = at(end) => Happened::Over,
            };
            match happened {
                Happened::Datagram(Ok(Some(datagram))) => self.hear(datagram)?,
                Happened::Datagram(Ok(None)) | Happened::Over => return Ok(()),
                Happened::Datagram(Err(error)) => return Err(error.into()),
                Happened::Typed(Some(Typed::Frame(line))) => {
                    self.has_spoken = true;
                    conn.send(line).await?;
                }
                Happened::Typed(Some(Typed::Broken(fault))) => return Err(anyhow!("stdin: {fault}")),
                Happened::Typed(Some(_)) => {}
                Happened::Typed(None) => self.quiet_since = Some(Instant::now()),
                Happened::Due => {
                    let path = self.missing.ask(Instant::now());
                    asked =
                        repair.as_ref().zip(path).map(|(remote, path)| -> Asked<'_> { Box::pin(ask(remote, path)) });
                }
                Happened::Answered(answer) => {
                    asked = None;
                    self.repaired(answer)?;
                }
            }
        }
    }

    /// When it is over. Who only listens goes on.
    fn end(&self) -> Option<Instant> {
        self.quiet_since.filter(|_| self.has_spoken && !self.listen)?.checked_add(self.wait)
    }

    fn hear(&mut self, datagram: Bytes) -> io::Result<()> {
        let now = Instant::now();
        let random = self.random.hash_one(now);
        let shown = self.missing.take(datagram, now, random);
        if let Some(since) = &mut self.quiet_since {
            *since = now;
        }
        self.show(shown)
    }

    fn repaired(&mut self, answer: Result<Bytes, Unrepaired>) -> io::Result<()> {
        let now = Instant::now();
        let (shown, why) = match answer {
            Ok(answer) => {
                let shown = self.missing.answered(&answer, now);
                (shown, self.missing.is_asking_in_vain().then(|| "the answer has nothing of what was lost".to_owned()))
            }
            Err(why) if why.is_final() => (self.missing.refused(), Some(why.to_string())),
            Err(why) => (self.missing.unanswered(now), Some(why.to_string())),
        };
        if let Some(why) = why.as_ref().filter(|_| !self.has_told_why) {
            // There is no editor for it to be shown above, and nobody listens if this fails.
            let _ = writeln!(io::stderr(), "-- nothing was repaired: {}", Escaped(why.as_bytes()));
        }
        self.has_told_why = why.is_some();
        self.show(shown)
    }

    /// To people as text, where it is an object of rooms.
    fn show(&mut self, frames: Vec<Bytes>) -> io::Result<()> {
        let is_for_people = io::stdout().is_terminal();
        for frame in frames {
            match told::object(&frame).filter(|_| is_for_people) {
                Some(event) => {
                    for line in told::frames(&event, Format::Text) {
                        self.display.frame(&line)?;
                    }
                }
                None => self.display.frame(frame.strip_suffix(b"\n").unwrap_or(&frame))?,
            }
        }
        Ok(())
    }
}

async fn at(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => pending().await,
    }
}

async fn answer(asked: &mut Option<Asked<'_>>) -> Result<Bytes, Unrepaired> {
    match asked {
        Some(asked) => asked.await,
        None => pending().await,
    }
}

/// Why what was lost was not had.
#[derive(Debug, thiserror::Error)]
enum Unrepaired {
    #[error("the server answered {0}")]
    Status(StatusCode),
    #[error("{}", .0.told())]
    Failed(FetchError),
    #[error("{0}")]
    Path(String),
}

impl Unrepaired {
    /// Whether the same question will have the same answer.
    fn is_final(&self) -> bool {
        match self {
            Self::Status(StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS) | Self::Failed(_) => false,
            Self::Status(status) => !status.is_server_error(),
            Self::Path(_) => true,
        }
    }
}

/// What was lost.
async fn ask(remote: &Remote, path: String) -> Result<Bytes, Unrepaired> {
    let remote = remote.at(&path).map_err(Unrepaired::Path)?;
    let answer = remote.get(BOUNDS).await.map_err(Unrepaired::Failed)?;
    if answer.status.is_success() { Ok(answer.body) } else { Err(Unrepaired::Status(answer.status)) }
}
