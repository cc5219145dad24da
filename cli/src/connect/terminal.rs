//! A line editor on the terminal: what is typed stays whole while lines come in above it.

use super::input::{PIECES, Typed};
use anyhow::Context as _;
use nix::sys::signal::{Signal, raise};
use nix::sys::termios::{SetArg, Termios, tcgetattr, tcsetattr};
use rustyline::error::ReadlineError;
use rustyline::{ColorMode, Config, DefaultEditor, ExternalPrinter};
use std::io::{self, IsTerminal as _, Write as _};
use std::thread::JoinHandle;
use std::time::Duration;
use switchboard_load::foreground;
use tokio::signal::unix::{Signal as Listener, SignalKind, signal};
use tokio::sync::mpsc::{Receiver, Sender, channel};

const PROMPT: &str = "> ";

/// Lines that the up arrow brings back. They are kept in memory alone: some hold tokens.
const HISTORY: usize = 1000;

/// Those that no line editor can use, as Emacs's shells are: they edit their lines themselves.
const PLAIN: [&str; 3] = ["dumb", "cons25", "emacs"];

/// Ends the mode in which the terminal marks what is pasted, and clears the line of the prompt.
const CLEAR: &str = "\x1b[?2004l\r\x1b[K";

/// Moves up and down again: a line that shows nothing.
const NOTHING: &str = "\x1b[A";

/// Times that the editor is asked to end, and how long it has each time: a moment between two lines hides one.
const REQUESTS: usize = 200;
const REQUEST: Duration = Duration::from_millis(5);

/// The terminal while the editor has it. Dropped, it is as it was found, whatever the editor is doing.
pub(super) struct Terminal {
    found: Termios,
    printer: Box<dyn ExternalPrinter + Send>,
    editor: JoinHandle<()>,
}

impl Terminal {
    /// Whether somebody is at one that lines can be edited on.
    pub(super) fn is_there() -> bool {
        let is_plain = std::env::var("TERM").is_ok_and(|kind| PLAIN.contains(&kind.as_str()));
        io::stdin().is_terminal() && io::stdout().is_terminal() && !is_plain
    }

    /// Starts to edit lines, in a thread of its own.
    pub(super) fn open() -> anyhow::Result<(Self, Receiver<Typed>, impl Future<Output = Signal>)> {
        let found = tcgetattr(io::stdin()).context("cannot use the terminal")?;
        // So this is what the editor puts back behind each line: the default ends the process.
        let signals = Signals::listen()?;
        let config =
            Config::builder().auto_add_history(true).max_history_size(HISTORY)?.color_mode(ColorMode::Disabled);
        let mut editor = DefaultEditor::with_config(config.build())?;
        let printer = Box::new(editor.create_external_printer()?);
        let ended = signals.ended(editor.create_external_printer()?);
        let (sender, receiver) = channel(PIECES);
        let edit = move || edit(&mut editor, &sender);
        let editor = std::thread::Builder::new().name("editor".to_owned()).spawn(edit)?;
        Ok((Self { found, printer, editor }, receiver, ended))
    }

    /// Prints a line above the one that is being typed, or below all if none is.
    pub(super) fn print(&mut self, mut line: String) -> io::Result<()> {
        line.push('\n');
        self.printer.print(line).map_err(io::Error::other)
    }

    /// Ends the editor, when it has shown all that was printed.
    pub(super) async fn leave(&mut self) {
        if !self.editor.is_finished() {
            // It takes one line at a time: once this one is its to take, it has taken those before. What it shows of this
            // one is nothing.
            let _ = self.print(NOTHING.to_owned());
        }
        for _ in 0..REQUESTS {
            if self.editor.is_finished() {
                return;
            }
            // It handles this one signal while it waits for a key, and shows first what it has taken.
            let _ = raise(Signal::SIGINT);
            tokio::time::sleep(REQUEST).await;
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // Nobody is left to tell if the terminal is gone.
        let _ = tcsetattr(io::stdin(), SetArg::TCSADRAIN, &self.found);
        let _ = io::stdout().write_all(CLEAR.as_bytes()).and_then(|()| io::stdout().flush());
    }
}

/// What the terminal has to be put right for. Listened to before the editor has it: a signal that came earlier would end the process, and leave the
/// terminal as the editor has it.
pub(super) struct Signals {
    interrupt: Listener,
    terminate: Listener,
    hangup: Listener,
    continued: Listener,
}

impl Signals {
    fn listen() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: signal(SignalKind::hangup())?,
            continued: signal(SignalKind::from_raw(Signal::SIGCONT as i32))?,
        })
    }

    /// Waits for one that ends the program, so that the terminal is put back before. Until then takes it again each time that a shell has had it, while
    /// the program was stopped: the shell has put its own mode back, and the editor believes that it is in its own.
    pub(super) async fn ended(mut self, mut printer: impl ExternalPrinter) -> Signal {
        loop {
            tokio::select! {
                _ = self.interrupt.recv() => return Signal::SIGINT,
                _ = self.terminate.recv() => return Signal::SIGTERM,
                _ = self.hangup.recv() => return Signal::SIGHUP,
                _ = self.continued.recv() => {}
            }
            if let (true, Ok(mode)) = (foreground::is_ours(), tcgetattr(io::stdin())) {
                // Nobody is left to tell if the terminal is gone. The editor draws its line again below what it prints.
                let _ = tcsetattr(io::stdin(), SetArg::TCSADRAIN, &raw(mode));
                let _ = printer.print(NOTHING.to_owned() + "\n");
            }
        }
    }
}

/// As the editor has it: keys come one by one, and none is a signal.
fn raw(mut mode: Termios) -> Termios {
    use nix::sys::termios::{ControlFlags, InputFlags, LocalFlags, SpecialCharacterIndices};
    mode.input_flags &=
        !(InputFlags::BRKINT | InputFlags::ICRNL | InputFlags::INPCK | InputFlags::ISTRIP | InputFlags::IXON);
    mode.control_flags |= ControlFlags::CS8;
    mode.local_flags &= !(LocalFlags::ECHO | LocalFlags::ICANON | LocalFlags::IEXTEN | LocalFlags::ISIG);
    mode.control_chars[SpecialCharacterIndices::VMIN as usize] = 1;
    mode.control_chars[SpecialCharacterIndices::VTIME as usize] = 0;
    mode
}

fn edit(editor: &mut DefaultEditor, sender: &Sender<Typed>) {
    loop {
        let input = match editor.readline(PROMPT) {
            Ok(lines) => {
                // What was pasted may be several: all at once, since nothing is shown while this waits for its turn, and
                // whoever takes it may wait for that.
                let lines = lines.split('\n').map(|line| line.to_owned().into()).collect();
                if sender.blocking_send(Typed::Lines(lines)).is_err() {
                    return;
                }
                continue;
            }
            Err(ReadlineError::Eof) => return,
            Err(ReadlineError::Interrupted | ReadlineError::Signal(_)) => Typed::Interrupted,
            Err(error) => Typed::Broken(error.to_string()),
        };
        // Nobody is left to tell if the connection is over.
        let _ = sender.blocking_send(input);
        return;
    }
}
