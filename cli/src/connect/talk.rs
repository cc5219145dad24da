//! What goes to and fro, on one connection or on one after the other.
//!
//! What is typed waits while the server does not take it, and what comes is taken meanwhile, so that neither side can hold
//! up the other for ever.

mod again;
mod leaving;

use super::arguments::Plan;
use super::cookie::Joining;
use super::farewell::Farewell;
use super::greeting::{Greeting, GreetingStep};
use super::input::{self, StdinKind, Typed};
use super::output::Display;
use super::paint::Colours;
use super::plain::PlainCodec;
use super::standing::{Standing, Step};
use super::terminal::Terminal;
use super::waits::Waits;
use anyhow::bail;
use bytes::Bytes;
use nix::sys::signal::Signal;
use std::collections::VecDeque;
use std::error::Error;
use std::fmt;
use std::io::{self, IsTerminal as _, Write as _};
use switchboard::grammar::MessageId;
use switchboard::{ConnectError, Connection, ConnectionError, Escaped, FrameError};
use tokio::sync::mpsc::Receiver;
use tokio::time::{Instant, sleep_until};

/// What a stranger is told over UDP whose lines are not taken.
const REFUSALS: [&[u8]; 2] = [b"! no-room", b"! commands-off"];

/// How a conversation came to its end.
pub(super) enum Over {
    /// Both sides have finished.
    Finished,
    /// The server has, before we had.
    Left,
    Interrupted,
    /// By another signal, at a terminal that has to be put back first.
    Signalled(Signal),
}

/// The connection is of no use any more.
#[derive(Debug)]
struct Lost(String);

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for Lost {}

/// How far the end of input has led.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Ending {
    No,
    Ended,
    /// Over UDP the server was asked whether it has heard all.
    Asked,
    /// We have finished sending: what is lost now comes by no other connection.
    Finished,
}

/// What to do on a connection.
enum Next {
    Send(Bytes),
    Typed(Bytes),
    /// The end of input.
    Finish,
    /// Nothing has come for long enough after it.
    Quiet,
    /// There may be something else to do.
    Again,
    Interrupted,
    Broken(String),
    Left,
    Lost(&'static str),
    /// What is asked before anything is typed.
    Refused(String),
}

pub(super) struct Talk<'a> {
    plan: &'a Plan,
    /// What is sent before anything that is typed.
    waiting: VecDeque<Bytes>,
    input: Receiver<Typed>,
    output: Display,
    joining: Joining,
    greeting: Greeting,
    standing: Standing,
    farewell: Farewell,
    /// What a stranger was told over UDP.
    refusal: Option<Vec<u8>>,
    waits: Waits,
    /// There is somebody at a terminal.
    is_interactive: bool,
    /// Something was typed.
    has_typed: bool,
    /// How far its end is.
    ending: Ending,
    /// When the last frame was shown.
    shown: Instant,
}

/// Talks on a connection, and on another one when it is lost, if that is wanted.
pub(super) async fn talk<C: PlainCodec>(
    plan: &Plan,
    connect: impl AsyncFn(Option<MessageId>) -> Result<Connection<C>, ConnectError>,
) -> anyhow::Result<Over> {
    let conn = connect(None).await?;
    let is_interactive = Terminal::is_there();
    let (output, input, ended) = if is_interactive {
        let (terminal, input, ended) = Terminal::open()?;
        (Display::Screen(Colours::from_environment(), Some(terminal)), input, Some(ended))
    } else {
        let kind = match (C::IS_VERBATIM, plan.greeting.is_empty()) {
            (true, true) => StdinKind::Bytes,
            (true, false) => StdinKind::TextBehind,
            (false, _) => StdinKind::Lines,
        };
        (Display::choose::<C>(), input::read(kind)?, None)
    };
    let ended = async {
        match ended {
            Some(ended) => ended.await,
            // The signal ends the process, as it does any other in a pipe.
            None => std::future::pending().await,
        }
    };
    let options = plan.standing(C::TAKES_COOKIES, matches!(output, Display::Screen(..)));
    let now = Instant::now();
    let mut talk = Talk {
        plan,
        waiting: VecDeque::new(),
        input,
        output,
        joining: Joining::default(),
        greeting: plan.greeting(C::TAKES_COOKIES, now),
        standing: Standing::new(options, now),
        farewell: Farewell::default(),
        refusal: None,
        waits: Waits::default(),
        is_interactive,
        has_typed: false,
        ending: Ending::No,
        shown: now,
    };
    talk.output.status(&format!("connected to {}", plan.url.typed))?;
    let over = tokio::select! {
        over = talk.keep(conn, connect) => quiet(over),
        signal = ended => Ok(Over::Signalled(signal)),
    };
    talk.output.leave().await;
    if matches!(over, Ok(Over::Left)) {
        talk.output.status(&format!("the server closed the connection{}", talk.farewell.advice(&plan.url)))?;
    }
    over
}

impl Talk<'_> {
    /// Talks on one connection after the other.
    async fn keep<C: PlainCodec>(
        &mut self,
        mut conn: Connection<C>,
        connect: impl AsyncFn(Option<MessageId>) -> Result<Connection<C>, ConnectError>,
    ) -> anyhow::Result<Over> {
        loop {
            let began = Instant::now();
            let over = self.hold(conn).await;
            let is_ours = !self.plan.reconnect || self.ending == Ending::Finished || self.standing.is_leaving();
            let why = match over {
                Ok(Over::Left) if !is_ours => "the server closed the connection".to_owned(),
                Err(error) if !is_ours && (error.is::<ConnectionError>() || error.is::<Lost>()) => error.to_string(),
                over => return over,
            };
            self.waits.lasted(began.elapsed());
            conn = match self.again(why, &connect).await? {
                Ok(conn) => conn,
                Err(over) => return Ok(over),
            };
            (self.joining, self.farewell) = (Joining::default(), Farewell::default());
            self.greeting.begin_again(Instant::now());
            if let Some(status) = self.standing.begin_again(Instant::now()) {
                self.say(&status)?;
            }
        }
    }

    /// Sends what is typed and shows what comes, until both sides have finished.
    async fn hold<C: PlainCodec>(&mut self, mut conn: Connection<C>) -> anyhow::Result<Over> {
        // Whoever has finished may still take what comes out of a pipe, as one does that only receives a file.
        let outlasts = C::HALF_CLOSES && !self.plan.reconnect && !io::stdin().is_terminal();
        let mut has_left = false;
        loop {
            let writable = conn.writable();
            tokio::select! {
                received = conn.recv(), if !has_left => {
                    let Some(frame) = announced(received)? else {
                        if let Some(fault) = self.farewell.meaning().fault().or_else(|| conn.codec_mut().fault()) {
                            return Err(Lost(fault).into());
                        }
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
                        self.ending = Ending::Finished;
                        return self.finish(conn.finish()).await;
                    }
                    Next::Quiet => {
                        self.leave(&mut conn).await;
                        return self.quiet();
                    }
                    Next::Again => {}
                    Next::Interrupted => {
                        self.leave(&mut conn).await;
                        return Ok(Over::Interrupted);
                    }
                    Next::Broken(error) => bail!("cannot read: {error}"),
                    Next::Left => return Ok(Over::Left),
                    Next::Lost(why) => return Err(Lost(why.to_owned()).into()),
                    Next::Refused(why) if self.is_interactive => {
                        self.greeting.give_up();
                        self.say(&why)?;
                    }
                    Next::Refused(why) => bail!(why),
                },
            }
        }
    }

    async fn send<C: PlainCodec>(&mut self, conn: &mut Connection<C>, frame: Bytes) -> Result<(), ConnectionError> {
        if C::TAKES_COOKIES {
            self.joining.sent(&frame, Instant::now());
        }
        self.farewell.sent(&frame);
        conn.send(C::frame(frame)).await
    }

    /// What to do next, beside receiving.
    ///
    /// # Cancel safety
    /// Safe: nothing is awaited once a line is taken.
    async fn next<C: PlainCodec>(&mut self) -> Next {
        loop {
            let look_again = match self.standing.step(Instant::now()) {
                Step::Send(command) => return Next::Send(C::command(command)),
                Step::Left => return Next::Left,
                Step::Lost(why) => return Next::Lost(why),
                Step::Wait(until) => match self.wait(until).await {
                    Some(next) => return next,
                    None => continue,
                },
                Step::Go(until) => until,
            };
            match self.greeting.step(Instant::now()) {
                GreetingStep::Send(ask) => return Next::Typed(C::command(ask)),
                GreetingStep::Refused(why) => return Next::Refused(why + &self.farewell.on_silence(&self.plan.url)),
                GreetingStep::Wait(until) => match self.wait(look_again.map_or(until, |at| at.min(until))).await {
                    Some(next) => return next,
                    None => continue,
                },
                GreetingStep::Through => {}
            }
            tokio::select! {
                next = self.typed::<C>() => return next,
                () = at(look_again) => {}
            }
        }
    }

    /// Waits, and keeps what is typed at a terminal meanwhile: its Ctrl-C is typed as well.
    ///
    /// # Cancel safety
    /// As of [`next`](Self::next).
    async fn wait(&mut self, until: Instant) -> Option<Next> {
        let typed = tokio::select! {
            () = sleep_until(until) => return None,
            typed = self.input.recv(), if self.is_interactive && self.ending == Ending::No => typed,
        };
        match typed {
            Some(Typed::Interrupted) => return Some(Next::Interrupted),
            Some(Typed::Broken(error)) => return Some(Next::Broken(error)),
            Some(Typed::Frame(line)) => self.waiting.push_back(line),
            Some(Typed::Lines(lines)) => self.waiting.extend(lines),
            None => (self.ending, self.shown) = (Ending::Ended, Instant::now()),
        }
        None
    }

    /// Whether the end of input ends nothing: it was asked for, or nobody has said anything whom a lost connection would matter to.
    fn listens(&self) -> bool {
        self.plan.listen || (self.plan.reconnect && !self.is_interactive && !self.has_typed)
    }

    /// What was typed, or the end of it.
    ///
    /// # Cancel safety
    /// As of [`next`](Self::next).
    async fn typed<C: PlainCodec>(&mut self) -> Next {
        loop {
            self.joining.answered().await;
            if let Some(line) = self.waiting.pop_front() {
                return Next::Typed(C::command(line));
            }
            if self.ending > Ending::No {
                break;
            }
            match self.input.recv().await {
                Some(Typed::Frame(line)) => {
                    self.has_typed = true;
                    return Next::Typed(line);
                }
                Some(Typed::Lines(lines)) => {
                    self.has_typed = true;
                    self.waiting.extend(lines);
                }
                Some(Typed::Interrupted) => return Next::Interrupted,
                Some(Typed::Broken(error)) => return Next::Broken(error),
                None => (self.ending, self.shown) = (Ending::Ended, Instant::now()),
            }
        }
        self.ended::<C>().await
    }

    /// What the end of input leads to.
    ///
    /// # Cancel safety
    /// Safe: nothing happens but waiting.
    async fn ended<C: PlainCodec>(&mut self) -> Next {
        if !C::TAKES_COOKIES && !self.listens() {
            return Next::Finish;
        }
        // What was said last has arrived if what is asked behind it is answered.
        if self.ending < Ending::Asked && !self.listens() {
            self.ending = Ending::Asked;
            self.standing.confirm(Instant::now());
            return Next::Again;
        }
        if self.standing.is_probing() && !self.listens() {
            return std::future::pending().await;
        }
        match self.plan.wait {
            Some(wait) => sleep_until(self.shown + wait).await,
            None => std::future::pending().await,
        }
        Next::Quiet
    }

    /// Shows a frame; or gives what to send in return for it.
    fn show<C: PlainCodec>(&mut self, frame: C::Frame) -> anyhow::Result<Option<Bytes>> {
        let payload = C::payload(frame);
        if let Some(fault) = self.farewell.foreign(&payload, &self.plan.url) {
            bail!(fault);
        }
        self.farewell.handle_frame(&payload, C::IS_VERBATIM);
        if !self.greeting.is_through() {
            self.greeting.handle_frame(&payload);
        }
        if C::TAKES_COOKIES {
            if !self.standing.has_seat() && REFUSALS.iter().any(|refusal| payload.starts_with(refusal)) {
                self.refusal = Some(payload.to_vec());
            }
            if self.standing.is_probing() {
                self.joining = Joining::default();
            } else if let Some(answer) = self.joining.answer(&payload) {
                self.standing.proved(answer.clone(), Instant::now());
                return Ok(Some(answer));
            }
        }
        let now = Instant::now();
        // Bytes of a pipe are passed on as they are.
        if !self.plan.reconnect && !C::TAKES_COOKIES && !matches!(self.output, Display::Screen(..)) {
            self.output.frame(&payload)?;
            return Ok(None);
        }
        let to_show = self.standing.handle_frame(payload, now);
        for frame in to_show.shown {
            self.shown = now;
            self.output.frame(&frame)?;
        }
        if let Some(status) = to_show.status {
            self.say(&status)?;
        }
        Ok(None)
    }

    /// Says how it is with the connection: on the terminal, or beside the pipe. Some of the words may be the server's.
    fn say(&mut self, text: &str) -> io::Result<()> {
        let text = &Escaped(text.as_bytes()).to_string();
        if !self.is_interactive {
            // Nobody listens if that fails.
            let _ = writeln!(io::stderr(), "-- {text}");
        }
        self.output.status(text)
    }
}

/// A WebSocket that ends without saying so was cut off.
fn announced<F>(received: Result<Option<F>, ConnectionError>) -> anyhow::Result<Option<F>> {
    received.map_err(|error| match error {
        ConnectionError::Frame(FrameError::Unannounced) => Lost("the connection was cut".to_owned()).into(),
        error => error.into(),
    })
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
