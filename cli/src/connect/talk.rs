//! What goes to and fro, on one connection or on one after the other.
//!
//! What is typed waits while the server does not take it, and what comes is taken meanwhile, so that neither side can hold
//! up the other for ever.

use super::arguments::Plan;
use super::cookie::Joining;
use super::input::{self, Input};
use super::output::Output;
use super::paint::Colours;
use super::standing::{Manner, Standing, Step};
use super::terminal::Terminal;
use super::waits::Waits;
use super::wire::Wire;
use anyhow::bail;
use bytes::Bytes;
use std::collections::VecDeque;
use std::error::Error;
use std::fmt;
use std::io::{self, IsTerminal as _, Write as _};
use switchboard::grammar::MessageId;
use switchboard::{ConnectError, Connection, ConnectionError, Finished, ctrl_c};
use tokio::sync::mpsc::Receiver;
use tokio::time::{Instant, sleep, sleep_until, timeout};

/// Lines that wait while there is no connection.
const MOST_WAITING: usize = 1000;

/// How a conversation came to its end.
pub(super) enum Over {
    /// Both sides have finished.
    Finished,
    /// The server has, before we had.
    Left,
    Interrupted,
}

/// The connection is of no use any more.
#[derive(Debug)]
struct Lost(&'static str);

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl Error for Lost {}

/// What to do on a connection.
enum Next {
    Send(Bytes),
    Typed(Bytes),
    /// The end of input.
    Finish,
    /// Nothing has come for long enough after it.
    Quiet,
    Interrupted,
    Broken(String),
    Left,
    Lost(&'static str),
}

pub(super) struct Talk<'a> {
    plan: &'a Plan,
    /// What is sent before anything that is typed.
    waiting: VecDeque<Bytes>,
    input: Receiver<Input>,
    output: Output,
    joining: Joining,
    standing: Standing,
    waits: Waits,
    /// There is somebody at a terminal.
    is_interactive: bool,
    /// Input has come to its end.
    has_ended: bool,
    /// We have finished sending: what is lost now comes by no other connection.
    has_finished: bool,
    /// When the last frame was shown.
    shown: Instant,
}

/// Talks on a connection, and on another one when it is lost, if that is wanted.
pub(super) async fn talk<C: Wire>(
    plan: &Plan,
    connect: impl AsyncFn(Option<MessageId>) -> Result<Connection<C>, ConnectError>,
) -> anyhow::Result<Over> {
    let conn = connect(None).await?;
    let is_interactive = Terminal::is_there();
    let (output, input) = if is_interactive {
        let (terminal, input) = Terminal::open()?;
        (Output::Screen(Colours::from_environment(), Some(terminal)), input)
    } else {
        (Output::choose::<C>(), input::read(C::IS_VERBATIM)?)
    };
    let manner = Manner {
        resumes: plan.reconnect,
        is_datagrams: C::TAKES_COOKIES,
        is_for_people: matches!(output, Output::Screen(..)),
    };
    let now = Instant::now();
    let mut talk = Talk {
        plan,
        waiting: plan.greeting.clone().into(),
        input,
        output,
        joining: Joining::default(),
        standing: Standing::new(manner, now),
        waits: Waits::default(),
        is_interactive,
        has_ended: false,
        has_finished: false,
        shown: now,
    };
    talk.output.status(&format!("connected to {}", plan.url.typed))?;
    let over = tokio::select! {
        over = talk.keep(conn, connect) => quiet(over),
        // Else the signal ends the process, as it does any other in a pipe.
        () = ctrl_c(), if is_interactive => Ok(Over::Interrupted),
    };
    talk.output.leave().await;
    if matches!(over, Ok(Over::Left)) {
        talk.output.status("the server has finished")?;
    }
    over
}

impl Talk<'_> {
    /// Talks on one connection after the other.
    async fn keep<C: Wire>(
        &mut self,
        mut conn: Connection<C>,
        connect: impl AsyncFn(Option<MessageId>) -> Result<Connection<C>, ConnectError>,
    ) -> anyhow::Result<Over> {
        loop {
            let began = Instant::now();
            let over = self.hold(conn).await;
            let is_ours = !self.plan.reconnect || self.has_finished || self.standing.is_leaving();
            let why = match over {
                Ok(Over::Left) if !is_ours => "the server has finished".to_owned(),
                Err(error) if !is_ours && (error.is::<ConnectionError>() || error.is::<Lost>()) => error.to_string(),
                over => return over,
            };
            self.waits.lasted(began.elapsed());
            conn = match self.again(why, &connect).await? {
                Ok(conn) => conn,
                Err(over) => return Ok(over),
            };
            self.joining = Joining::default();
            if let Some(status) = self.standing.begin_again(Instant::now()) {
                self.say(&status)?;
            }
        }
    }

    /// Connects until it succeeds, or whoever is at the terminal has enough of it.
    async fn again<C: Wire>(
        &mut self,
        mut why: String,
        connect: &impl AsyncFn(Option<MessageId>) -> Result<Connection<C>, ConnectError>,
    ) -> anyhow::Result<Result<Connection<C>, Over>> {
        loop {
            let wait = self.waits.next();
            self.say(&format!("{why}; connecting again in {:.1} s", wait.as_secs_f32()))?;
            let since = self.standing.followed();
            let attempt = async {
                sleep(wait).await;
                connect(since).await
            };
            match self.keep_typed(attempt).await? {
                Ok(Ok(conn)) => return Ok(Ok(conn)),
                Ok(Err(error)) => why = format!("{:#}", anyhow::Error::from(error)),
                Err(over) => return Ok(Err(over)),
            }
        }
    }

    /// Keeps what is typed at a terminal meanwhile. What is in a pipe can wait there.
    async fn keep_typed<T>(&mut self, work: impl Future<Output = T>) -> anyhow::Result<Result<T, Over>> {
        let mut work = std::pin::pin!(work);
        loop {
            let typed = tokio::select! {
                done = &mut work => return Ok(Ok(done)),
                typed = self.input.recv(), if self.is_interactive && !self.has_ended => typed,
            };
            match typed {
                Some(Input::Frame(line)) => self.keep_lines(vec![line])?,
                Some(Input::Lines(lines)) => self.keep_lines(lines)?,
                Some(Input::Interrupted) => return Ok(Err(Over::Interrupted)),
                Some(Input::Broken(error)) => bail!("cannot read: {error}"),
                None if self.waiting.is_empty() => return Ok(Err(Over::Finished)),
                None => {
                    self.has_ended = true;
                    let count = self.waiting.len();
                    self.say(&format!("lines that wait for a connection: {count}; Ctrl-C leaves without them"))?;
                }
            }
        }
    }

    fn keep_lines(&mut self, lines: Vec<Bytes>) -> io::Result<()> {
        let (count, room) = (lines.len(), MOST_WAITING.saturating_sub(self.waiting.len()));
        self.waiting.extend(lines.into_iter().take(room));
        if count > room {
            self.say(&format!("not kept: {MOST_WAITING} lines wait for a connection already"))?;
        }
        Ok(())
    }

    /// Sends what is typed and shows what comes, until both sides have finished.
    async fn hold<C: Wire>(&mut self, mut conn: Connection<C>) -> anyhow::Result<Over> {
        // Whoever has finished may still take what comes out of a pipe, as one does that only receives a file.
        let outlasts = C::HALF_CLOSES && !self.plan.reconnect && !io::stdin().is_terminal();
        let mut has_left = false;
        loop {
            let writable = conn.writable();
            tokio::select! {
                received = conn.recv(), if !has_left => {
                    let Some(frame) = received? else {
                        has_left = outlasts;
                        if has_left {
                            continue;
                        }
                        return Ok(Over::Left);
                    };
                    if let Some(answer) = self.show::<C>(frame)? {
                        conn.send(C::frame(answer)).await?;
                    }
                }
                next = async { writable.await; self.next::<C>().await } => match next {
                    Next::Typed(line) if self.standing.holds_back(Instant::now()) => self.waiting.push_front(line),
                    Next::Typed(line) => {
                        let sent = self.standing.typed(line.clone());
                        if let Err(error) = self.send(&mut conn, sent).await {
                            self.waiting.push_front(line);
                            return Err(error.into());
                        }
                    }
                    Next::Send(command) => self.send(&mut conn, command).await?,
                    Next::Finish => {
                        self.has_finished = true;
                        return self.finish(conn.finish()).await;
                    }
                    Next::Quiet => return Ok(Over::Finished),
                    Next::Interrupted => return Ok(Over::Interrupted),
                    Next::Broken(error) => bail!("cannot read: {error}"),
                    Next::Left => return Ok(Over::Left),
                    Next::Lost(why) => return Err(Lost(why).into()),
                },
            }
        }
    }

    async fn send<C: Wire>(&mut self, conn: &mut Connection<C>, frame: Bytes) -> Result<(), ConnectionError> {
        if C::TAKES_COOKIES {
            self.joining.sent(&frame, Instant::now());
        }
        conn.send(C::frame(frame)).await
    }

    /// Shows what comes after the end of input.
    async fn finish<C: Wire>(&mut self, mut conn: Finished<C>) -> anyhow::Result<Over> {
        loop {
            let received = match self.plan.wait {
                Some(wait) => timeout(wait, conn.recv()).await,
                None => Ok(conn.recv().await),
            };
            let Ok(received) = received else { return Ok(Over::Finished) };
            let Some(frame) = received? else { return Ok(Over::Finished) };
            self.show::<C>(frame)?;
        }
    }

    /// What to do next, beside receiving.
    ///
    /// # Cancel safety
    /// Safe: nothing is awaited once a line is taken.
    async fn next<C: Wire>(&mut self) -> Next {
        loop {
            let look_again = match self.standing.step(Instant::now()) {
                Step::Send(command) => return Next::Send(C::command(command)),
                Step::Left => return Next::Left,
                Step::Lost(why) => return Next::Lost(why),
                Step::Wait(until) => {
                    sleep_until(until).await;
                    continue;
                }
                Step::Go(until) => until,
            };
            tokio::select! {
                next = self.typed::<C>() => return next,
                () = at(look_again) => {}
            }
        }
    }

    /// What was typed, or the end of it.
    ///
    /// # Cancel safety
    /// As of [`next`](Self::next).
    async fn typed<C: Wire>(&mut self) -> Next {
        loop {
            self.joining.answered().await;
            if let Some(line) = self.waiting.pop_front() {
                return Next::Typed(C::command(line));
            }
            if self.has_ended {
                break;
            }
            match self.input.recv().await {
                Some(Input::Frame(line)) => return Next::Typed(line),
                Some(Input::Lines(lines)) => self.waiting.extend(lines),
                Some(Input::Interrupted) => return Next::Interrupted,
                Some(Input::Broken(error)) => return Next::Broken(error),
                None => (self.has_ended, self.shown) = (true, Instant::now()),
            }
        }
        let (true, Some(wait)) = (C::TAKES_COOKIES, self.plan.wait) else { return Next::Finish };
        sleep_until(self.shown + wait).await;
        Next::Quiet
    }

    /// Shows a frame; or gives what to send in return for it.
    fn show<C: Wire>(&mut self, frame: C::Frame) -> io::Result<Option<Bytes>> {
        let payload = C::payload(frame);
        if C::TAKES_COOKIES {
            if self.standing.is_probing() {
                self.joining = Joining::default();
            } else if let Some(answer) = self.joining.answer(&payload) {
                return Ok(Some(answer));
            }
        }
        let now = Instant::now();
        // Bytes of a pipe are passed on as they are.
        if !self.plan.reconnect && !C::TAKES_COOKIES && !matches!(self.output, Output::Screen(..)) {
            self.output.frame(&payload)?;
            return Ok(None);
        }
        let heard = self.standing.hear(payload, now);
        for frame in heard.shown {
            self.shown = now;
            self.output.frame(&frame)?;
        }
        if let Some(status) = heard.status {
            self.say(&status)?;
        }
        Ok(None)
    }

    /// Says how it is with the connection: on the terminal, or beside the pipe.
    fn say(&mut self, text: &str) -> io::Result<()> {
        if !self.is_interactive {
            // Nobody listens if that fails.
            let _ = writeln!(io::stderr(), "-- {text}");
        }
        self.output.status(text)
    }
}

async fn at(due: Option<Instant>) {
    match due {
        Some(due) => sleep_until(due).await,
        None => std::future::pending().await,
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
