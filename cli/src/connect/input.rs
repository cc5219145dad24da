//! What comes from stdin, in a thread of its own: reading a file or terminal blocks.

use bytes::Bytes;
use std::io::{self, BufRead as _, Read as _};
use tokio::sync::mpsc::{Receiver, Sender, channel};

/// Pieces that were read and not sent yet: with those a slow server stops the reading.
pub(super) const PIECES: usize = 16;

/// One read of a pipe that holds as much.
const READ_BYTES: usize = 64 << 10;

/// A piece of input, or how it ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Typed {
    Frame(Bytes),
    /// Of a person at a terminal: one, or what was pasted.
    Lines(Vec<Bytes>),
    /// The person at the terminal leaves.
    Interrupted,
    /// stdin could not be read.
    Broken(String),
}

/// U+FEFF, by which some editors and shells say that a text is UTF-8.
const MARK: &[u8] = "\u{feff}".as_bytes();

/// What stdin is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StdinKind {
    /// Bytes as they come: for whoever is there to know what begins them.
    Bytes,
    /// The same, of which the server gets something else first: so it cannot know that a mark begins a text.
    TextBehind,
    /// Whole lines.
    Lines,
}

/// Reads stdin to its end.
pub(super) fn read(kind: StdinKind) -> io::Result<Receiver<Typed>> {
    let (sender, receiver) = channel(PIECES);
    let read = move || {
        let result = if kind == StdinKind::Lines { lines(&sender) } else { pieces(&sender, kind) };
        if let Err(error) = result {
            // Nobody is left to tell if the connection is over.
            let _ = sender.blocking_send(Typed::Broken(error.to_string()));
        }
    };
    // Detached: a read cannot be interrupted, and ends with the process.
    drop(std::thread::Builder::new().name("stdin".to_owned()).spawn(read)?);
    Ok(receiver)
}

fn pieces(sender: &Sender<Typed>, kind: StdinKind) -> io::Result<()> {
    let (mut stdin, mut buffer) = (io::stdin().lock(), vec![0; READ_BYTES]);
    if kind == StdinKind::TextBehind {
        skip_mark(&mut stdin)?;
    }
    loop {
        match stdin.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(count) if sender.blocking_send(Typed::Frame(Bytes::copy_from_slice(&buffer[..count]))).is_err() => {
                return Ok(());
            }
            Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
            _ => {}
        }
    }
}

fn lines(sender: &Sender<Typed>) -> io::Result<()> {
    let mut stdin = io::stdin().lock();
    skip_mark(&mut stdin)?;
    for line in stdin.split(b'\n') {
        let mut line = line?;
        if line.ends_with(b"\r") {
            line.pop();
        }
        if sender.blocking_send(Typed::Frame(line.into())).is_err() {
            return Ok(());
        }
    }
    Ok(())
}

fn skip_mark(stdin: &mut impl io::BufRead) -> io::Result<()> {
    loop {
        match stdin.fill_buf().map(|begin| begin.starts_with(MARK)) {
            Ok(true) => {
                stdin.consume(MARK.len());
                return Ok(());
            }
            Ok(false) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
