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
pub(super) enum Input {
    Frame(Bytes),
    /// Of a person at a terminal: one, or what was pasted.
    Lines(Vec<Bytes>),
    /// The person at the terminal leaves.
    Interrupted,
    /// stdin could not be read.
    Broken(String),
}

/// Reads stdin to its end, whole lines of it or bytes as they come.
pub(super) fn read(verbatim: bool) -> io::Result<Receiver<Input>> {
    let (sender, receiver) = channel(PIECES);
    let read = move || {
        let result = if verbatim { pieces(&sender) } else { lines(&sender) };
        if let Err(error) = result {
            // Nobody is left to tell if the connection is over.
            let _ = sender.blocking_send(Input::Broken(error.to_string()));
        }
    };
    // Detached: a read cannot be interrupted, and ends with the process.
    drop(std::thread::Builder::new().name("stdin".to_owned()).spawn(read)?);
    Ok(receiver)
}

fn pieces(sender: &Sender<Input>) -> io::Result<()> {
    let (mut stdin, mut buffer) = (io::stdin().lock(), vec![0; READ_BYTES]);
    loop {
        match stdin.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(count) if sender.blocking_send(Input::Frame(Bytes::copy_from_slice(&buffer[..count]))).is_err() => {
                return Ok(());
            }
            Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
            _ => {}
        }
    }
}

fn lines(sender: &Sender<Input>) -> io::Result<()> {
    for line in io::stdin().lock().split(b'\n') {
        let mut line = line?;
        if line.ends_with(b"\r") {
            line.pop();
        }
        if sender.blocking_send(Input::Frame(line.into())).is_err() {
            return Ok(());
        }
    }
    Ok(())
}
