//! `switchboard connect` on a terminal: a real one, but for the person at it.

use crate::process::{Deadline, PATIENCE, Program, command, ended, joined};
use nix::pty::{Winsize, openpty};
use nix::sys::signal::{Signal, kill};
use nix::sys::termios::{InputFlags, LocalFlags, SetArg, tcgetattr, tcsetattr};
use nix::unistd::Pid;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Shutdown, TcpListener};
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;

/// A program on a terminal of 80 columns and 24 lines.
pub(crate) struct Session {
    child: Child,
    keys: File,
    coming: Receiver<Vec<u8>>,
    /// All that the terminal was sent.
    pub(crate) seen: String,
    /// How much of it was waited for.
    waited: usize,
}

impl Session {
    /// Of `switchboard connect`.
    pub(super) fn start(arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        Self::open(&[&["connect"], arguments].concat(), environment)
    }

    pub(crate) fn open(arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        let size = Winsize { ws_row: 24, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 };
        let terminal = openpty(&size, None).unwrap();
        let mut program = command(arguments);
        program.env("TERM", "xterm-256color").envs(environment.iter().copied());
        program.stdin(Stdio::from(terminal.slave.try_clone().unwrap())).stdout(terminal.slave);
        let child = program.spawn().unwrap();
        let (sender, coming) = channel();
        let mut screen = File::from(terminal.master.try_clone().unwrap());
        thread::spawn(move || {
            let mut buffer = [0; 4096];
            // It ends with an error, once nobody has the other side any more.
            while let Ok(count @ 1..) = screen.read(&mut buffer) {
                if sender.send(buffer[..count].to_vec()).is_err() {
                    return;
                }
            }
        });
        Self { child, keys: File::from(terminal.master), coming, seen: String::new(), waited: 0 }
    }

    pub(crate) fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).unwrap();
    }

    /// Waits until the editor waits for keys: between two lines the terminal is a shell's, and Ctrl-D and the like are nothing there.
    pub(super) fn prompts(&mut self) {
        self.shows("> ");
    }

    /// Waits until the terminal was sent `text`, behind what was waited for before.
    pub(crate) fn shows(&mut self, text: &str) {
        let deadline = Deadline::new();
        loop {
            if let Some(found) = self.seen[self.waited..].find(text) {
                self.waited += found + text.len();
                return;
            }
            let Ok(bytes) = self.coming.recv_timeout(deadline.left()) else {
                panic!("waited in vain for {text:?}, in {:?}", &self.seen[self.waited..]);
            };
            self.seen += &String::from_utf8_lossy(&bytes);
        }
    }

    /// What Ctrl-C does on a terminal that has no editor.
    pub(super) fn interrupt(&self) {
        self.signal(Signal::SIGINT);
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id().try_into().unwrap()), signal).unwrap();
    }

    /// Waits for the end, and says its code.
    pub(crate) fn code(&mut self) -> Option<i32> {
        ended(&mut self.child).code()
    }

    /// Whether the terminal echoes what is typed and gives it out in lines, as it does for a shell.
    pub(crate) fn is_as_found(&self) -> bool {
        let flags = tcgetattr(&self.keys).unwrap().local_flags;
        flags.contains(LocalFlags::ECHO | LocalFlags::ICANON)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // It may have ended before.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn what_is_typed_stays_whole_while_others_speak() {
    let program = Program::serve(&["rooms=tcp://127.0.0.1:0"]);
    let mut session = Session::start(&[&program.listeners[0].url, "--name", "alice"], &[]);
    session.shows(&format!("-- connected to {}", program.listeners[0].url));
    session.shows("* you are alice");
    session.press("half a li");
    session.shows("half a li");
    let mut bob = program.tcp(0);
    bob.write_all(b"/name bob\nhi alice\n").unwrap();
    session.shows("\x1b[2m[lobby]\x1b[0m ");
    session.shows("bob\x1b[0m: hi alice");
    // Drawn again below.
    session.shows("> half a li");
    session.press("ne\r");
    let mut heard = String::new();
    while !heard.contains("[lobby] alice: half a line\n") {
        let mut buffer = [0; 4096];
        let count = bob.read(&mut buffer).unwrap();
        heard += std::str::from_utf8(&buffer[..count]).unwrap();
    }
    // The line before, out of the history.
    session.press("\x1b[A");
    session.shows("half a line");
    session.press("\x15\x04");
    assert_eq!(session.code(), Some(0));
    assert!(session.is_as_found());
}

#[test]
fn what_is_pasted_is_sent_however_much_comes_meanwhile() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("tcp://{}", listener.local_addr().unwrap());
    let server = thread::spawn(move || {
        let stream = listener.accept().unwrap().0;
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let (mut flooded, mut lines) = (stream.try_clone().unwrap(), BufReader::new(&stream).lines());
        let flood = thread::spawn(move || while flooded.write_all(b"flood\n").is_ok() {});
        let heard: Vec<_> = lines.by_ref().map(Result::unwrap).take_while(|line| line != "last").collect();
        stream.shutdown(Shutdown::Both).unwrap();
        joined(flood);
        heard
    });
    let mut session = Session::start(&[&url], &[]);
    session.shows("flood");
    let lines: Vec<_> = (0..60).map(|number| number.to_string()).collect();
    // As a terminal marks what is pasted.
    session.press(&format!("\x1b[200~{}\x1b[201~\r", lines.join("\n")));
    session.shows("59");
    session.press("last\r");
    assert_eq!(joined(server), lines);
}

#[test]
fn a_terminal_without_an_editor_edits_its_lines_itself() {
    let program = Program::serve(&["rooms=tcp://127.0.0.1:0"]);
    let mut session = Session::start(&[&program.listeners[0].url], &[("TERM", "dumb")]);
    session.shows("* you are guest-1");
    session.press("/ping\n");
    session.shows("* pong");
    session.press("\x04");
    assert_eq!(session.code(), Some(0));
    assert!(!session.seen.contains('\x1b'), "{:?}", session.seen);
}

#[test]
fn nothing_that_comes_drives_the_terminal_and_without_colours_there_are_none() {
    let program = Program::serve(&["rooms=tcp://127.0.0.1:0?format=raw"]);
    let mut session = Session::start(&[&program.listeners[0].url], &[("NO_COLOR", "1")]);
    session.shows("-- connected to ");
    session.press("/ping\r");
    session.shows("* pong");
    program.tcp(0).write_all(b"\x1b]0;evil\x07 \x1b[2J \x9b2J\n").unwrap();
    session.shows("\\u{1b}]0;evil\\u{7} \\u{1b}[2J \\x9b2J");
    assert!(!session.seen.contains("\x1b[2m") && !session.seen.contains("\x1b[2J"), "{:?}", session.seen);
}

#[test]
fn ctrl_c_leaves_at_once_and_the_terminal_is_as_it_was_found() {
    let program = Program::serve(&["rooms=tcp://127.0.0.1:0"]);
    let mut session = Session::start(&[&program.listeners[0].url], &[]);
    session.shows("* you are guest-1");
    // Before that, it is the terminal that takes Ctrl-C for a signal.
    session.shows("> ");
    session.press("not sent\x03");
    assert_eq!(session.code(), Some(130));
    assert!(session.is_as_found());
}

#[test]
fn a_terminal_that_a_shell_has_had_meanwhile_is_taken_again() {
    let program = Program::serve(&["rooms=tcp://127.0.0.1:0"]);
    let mut session = Session::start(&[&program.listeners[0].url], &[]);
    session.shows("* you are guest-1");
    session.press("half");
    session.shows("half");
    session.signal(Signal::SIGSTOP);
    // As a shell does that shows its prompt.
    let mut mode = tcgetattr(&session.keys).unwrap();
    mode.local_flags.insert(LocalFlags::ECHO | LocalFlags::ICANON | LocalFlags::ISIG);
    mode.input_flags.insert(InputFlags::ICRNL);
    tcsetattr(&session.keys, SetArg::TCSANOW, &mode).unwrap();
    session.signal(Signal::SIGCONT);
    // The line is drawn again, and goes on.
    session.shows("half");
    assert!(!session.is_as_found());
    session.press("\x15/ping\r");
    session.shows("* pong");
    session.prompts();
    session.press("\x04");
    assert_eq!(session.code(), Some(0));
}

#[test]
fn whatever_signal_ends_it_the_terminal_is_as_it_was_found() {
    let program = Program::serve(&["rooms=tcp://127.0.0.1:0"]);
    for (signal, code) in [(Signal::SIGTERM, 143), (Signal::SIGHUP, 129)] {
        let mut session = Session::start(&[&program.listeners[0].url], &[]);
        session.shows("* you are guest-");
        session.shows("> ");
        session.signal(signal);
        assert_eq!(session.code(), Some(code));
        assert!(session.is_as_found());
    }
}

#[test]
fn the_end_of_the_server_is_told_and_the_terminal_is_as_it_was_found() {
    let program = Program::serve(&["rooms=tcp://127.0.0.1:0"]);
    let mut session = Session::start(&[&program.listeners[0].url], &[]);
    session.shows("* you are guest-1");
    program.stop();
    session.shows("* closed: drained");
    session.shows("-- the server closed the connection");
    assert_eq!(session.code(), Some(0));
    assert!(session.is_as_found());
}
