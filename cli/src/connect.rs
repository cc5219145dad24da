//! `switchboard connect`: talks to a server, from a terminal or in a pipe.
//!
//! What is typed waits while the server does not take it, and what comes is taken meanwhile, so that neither side can hold
//! up the other for ever.

mod arguments;
mod cookie;
mod input;
mod output;
mod paint;
mod terminal;
mod wire;

pub(crate) use arguments::{Arguments, HELP};

use crate::serve::Failure;
use crate::url::{Place, Scheme};
use anyhow::{Context as _, anyhow, bail};
use arguments::Plan;
use bytes::Bytes;
use cookie::Joining;
use input::Input;
use output::Output;
use paint::Colours;
use std::collections::VecDeque;
use std::io::{self, IsTerminal as _};
use std::process::ExitCode;
use std::time::Duration;
use switchboard::{Client, ConnectError, Connection, Finished, Limits, Lines, Timeouts, ctrl_c};
use terminal::Terminal;
use tokio::sync::mpsc::Receiver;
use tokio::time::{Instant, timeout};
use wire::{Verbatim, Wire};

/// Left by Ctrl-C, as shells say it: 128 and the signal's number.
const INTERRUPTED: u8 = 130;

/// The longest line that is shown.
const LINE_BYTES: usize = 16 << 20;

/// Talks until both sides have finished.
pub(crate) fn connect(typed: Arguments) -> Result<ExitCode, Failure> {
    let plan = Plan::parse(typed).map_err(Failure::Faults)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.context("cannot start").map_err(Failure::Start)?;
    match runtime.block_on(run(&plan)).map_err(advised).with_context(|| plan.url.typed.clone()) {
        Ok(Over::Interrupted) => Ok(ExitCode::from(INTERRUPTED)),
        Ok(Over::Finished | Over::Left) => Ok(ExitCode::SUCCESS),
        Err(error) => Err(Failure::Start(error)),
    }
}

/// Says what to type, where that is known.
fn advised(error: anyhow::Error) -> anyhow::Error {
    match error.downcast_ref() {
        Some(ConnectError::Untrusted(_)) => anyhow!("{error:#} (--ca FILE says whom to trust)"),
        _ => error,
    }
}

/// How a conversation came to its end.
enum Over {
    /// Both sides have finished.
    Finished,
    /// The server has, before we had.
    Left,
    Interrupted,
}

async fn run(plan: &Plan) -> anyhow::Result<Over> {
    let limits = Limits { frame_bytes: LINE_BYTES, ..Limits::default() };
    // A server may take its time: whoever waits can leave.
    let client = Client::new().limits(limits).timeouts(Timeouts { write: None, ..Timeouts::default() });
    let over = match (plan.url.scheme, io::stdout().is_terminal()) {
        (Scheme::Ws, _) => Talk::begin(plan, client.websocket(&plan.url.typed).await?).await,
        (Scheme::Wss, _) => {
            let Some(trust) = &plan.trust else { unreachable!("a plan for TLS says whom it trusts") };
            Talk::begin(plan, client.websocket_tls(&plan.url.typed, trust).await?).await
        }
        (Scheme::Udp, _) => Talk::begin(plan, client.udp(plan.url.host()).await?).await,
        (_, true) => Talk::begin(plan, stream::<Lines>(&client, plan).await?).await,
        (_, false) => Talk::begin(plan, stream::<Verbatim>(&client, plan).await?).await,
    };
    // What was sent last leaves.
    client.drain().await;
    over
}

async fn stream<C: Wire>(client: &Client, plan: &Plan) -> Result<Connection<C>, ConnectError> {
    match (&plan.url.place, &plan.trust) {
        (Place::File(path), _) => client.unix(path).await,
        (Place::Host(host), Some(trust)) => client.tls(host, trust).await,
        (Place::Host(host), None) => client.tcp(host).await,
    }
}

/// What goes to and fro on one connection.
struct Talk {
    /// What is sent before anything that is typed.
    greeting: VecDeque<Bytes>,
    input: Receiver<Input>,
    output: Output,
    joining: Joining,
    /// After the end of input, without an answer until it is over.
    wait: Option<Duration>,
}

impl Talk {
    async fn begin<C: Wire>(plan: &Plan, conn: Connection<C>) -> anyhow::Result<Over> {
        let is_interactive = io::stdin().is_terminal() && io::stdout().is_terminal();
        let (output, input) = if is_interactive {
            let (terminal, input) = Terminal::open()?;
            (Output::Screen(Colours::from_environment(), Some(terminal)), input)
        } else {
            (Output::choose::<C>(), input::read(C::IS_VERBATIM)?)
        };
        let mut talk = Self {
            greeting: plan.greeting.clone().into(),
            input,
            output,
            joining: Joining::default(),
            wait: plan.wait,
        };
        talk.output.status(&format!("connected to {}", plan.url.typed))?;
        let over = tokio::select! {
            over = talk.hold(conn) => quiet(over),
            // Else the signal ends the process, as it does any other in a pipe.
            () = ctrl_c(), if is_interactive => Ok(Over::Interrupted),
        };
        talk.output.leave().await;
        if matches!(over, Ok(Over::Left)) {
            talk.output.status("the server has finished")?;
        }
        over
    }

    /// Sends what is typed and shows what comes, until both sides have finished.
    async fn hold<C: Wire>(&mut self, mut conn: Connection<C>) -> anyhow::Result<Over> {
        loop {
            let writable = conn.writable();
            tokio::select! {
                received = conn.recv() => {
                    let Some(frame) = received? else { return Ok(Over::Left) };
                    if let Some(answer) = self.show::<C>(frame)? {
                        conn.send(C::frame(answer)).await?;
                    }
                }
                typed = async { writable.await; self.next::<C>().await } => match typed {
                    Some(Input::Frame(bytes)) => {
                        if C::TAKES_COOKIES {
                            self.joining.sent(&bytes, Instant::now());
                        }
                        conn.send(C::frame(bytes)).await?;
                    }
                    None => return self.finish(conn.finish()).await,
                    Some(Input::Interrupted) => return Ok(Over::Interrupted),
                    Some(Input::Broken(error)) => bail!("cannot read: {error}"),
                },
            }
        }
    }

    /// Shows what comes after the end of input.
    async fn finish<C: Wire>(&mut self, mut conn: Finished<C>) -> anyhow::Result<Over> {
        loop {
            let received = match self.wait {
                Some(wait) => timeout(wait, conn.recv()).await,
                None => Ok(conn.recv().await),
            };
            let Ok(received) = received else { return Ok(Over::Finished) };
            let Some(frame) = received? else { return Ok(Over::Finished) };
            self.show::<C>(frame)?;
        }
    }

    /// What to send next, or the end of input.
    ///
    /// # Cancel safety
    /// Safe.
    async fn next<C: Wire>(&mut self) -> Option<Input> {
        self.joining.answered().await;
        match self.greeting.pop_front() {
            Some(command) => Some(Input::Frame(C::command(command))),
            None => self.input.recv().await,
        }
    }

    /// Shows a frame; or gives what to send in return for it.
    fn show<C: Wire>(&mut self, frame: C::Frame) -> io::Result<Option<Bytes>> {
        let payload = C::payload(frame);
        let answer = if C::TAKES_COOKIES { self.joining.answer(&payload) } else { None };
        if answer.is_none() {
            self.output.frame(&payload)?;
        }
        Ok(answer)
    }
}

/// Whoever read our output has enough of it, as `head` has after ten lines.
fn quiet(over: anyhow::Result<Over>) -> anyhow::Result<Over> {
    match over {
        Err(error)
            if error.downcast_ref().is_some_and(|error: &io::Error| error.kind() == io::ErrorKind::BrokenPipe) =>
        {
            Ok(Over::Finished)
        }
        over => over,
    }
}
