//! Log lines on their way to stderr.
//!
//! Whoever logs appends and goes on; a thread writes, many lines at once when there are many. Bounded in bytes: lines
//! that do not fit are dropped and counted. Knows nothing of events or formats.

use parking_lot::{Condvar, Mutex};
use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;

/// Bytes that may wait, and as many more that are being written.
const WAITING_BYTES: usize = 1 << 20;

/// What a buffer keeps after a burst.
const KEPT_BYTES: usize = 16 << 10;

/// For stderr to take the last lines: a pipe that nobody reads must not keep the program from ending.
const LAST_LINES_TIME: Duration = Duration::from_secs(1);

/// The queue of lines. Each write is one line.
#[derive(Debug, Default)]
pub(super) struct Lines {
    waiting: Mutex<Waiting>,
    news: Condvar,
    written: Condvar,
}

#[derive(Debug, Default)]
struct Waiting {
    text: Vec<u8>,
    dropped: usize,
    /// No more lines will come.
    ended: bool,
    /// The thread has written what it could.
    done: bool,
}

impl Lines {
    /// Starts the thread that writes to `output`.
    pub(super) fn start(output: impl Write + Send + 'static) -> io::Result<Arc<Self>> {
        let lines = Arc::new(Self::default());
        let writer = Arc::clone(&lines);
        std::thread::Builder::new().name("log".to_owned()).spawn(move || writer.run(output))?;
        Ok(lines)
    }

    /// Waits a moment until all is written. Says how many lines were dropped, or nothing if the output is stuck.
    pub(super) fn finish(&self) -> Option<usize> {
        let mut waiting = self.waiting.lock();
        waiting.ended = true;
        self.news.notify_one();
        self.written.wait_while_for(&mut waiting, |waiting| !waiting.done, LAST_LINES_TIME);
        waiting.done.then_some(waiting.dropped)
    }

    fn run(&self, mut output: impl Write) {
        let mut text = Vec::new();
        loop {
            let mut waiting = self.waiting.lock();
            self.news.wait_while(&mut waiting, |waiting| waiting.text.is_empty() && !waiting.ended);
            if waiting.text.is_empty() {
                waiting.done = true;
                self.written.notify_one();
                return;
            }
            std::mem::swap(&mut waiting.text, &mut text);
            drop(waiting);
            if output.write_all(&text).and_then(|()| output.flush()).is_err() {
                // Closed, or full and set not to block: later lines may do better.
                self.waiting.lock().dropped += String::from_utf8_lossy(&text).lines().count();
            }
            text.clear();
            text.shrink_to(KEPT_BYTES);
        }
    }
}

impl Write for &Lines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut waiting = self.waiting.lock();
        if waiting.text.len() + line.len() > WAITING_BYTES {
            waiting.dropped += 1;
        } else {
            let asleep = waiting.text.is_empty();
            waiting.text.extend_from_slice(line);
            if asleep {
                self.news.notify_one();
            }
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::{Receiver, Sender, channel};

    /// An output that takes each batch only when told to.
    struct Gate(Receiver<()>, Sender<Vec<u8>>);

    impl Write for Gate {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.recv().map_err(io::Error::other)?;
            self.1.send(bytes.to_vec()).map_err(io::Error::other)?;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn lines_above_the_bound_are_dropped_and_counted() {
        let (open, gate) = channel();
        let (sender, written) = channel();
        let lines = Lines::start(Gate(gate, sender)).expect("a thread starts");
        let line = [b"x".repeat(1023), b"\n".to_vec()].concat();
        // One bound waits, at most another is held by the thread, and the rest has nowhere to be.
        for _ in 0..3 * WAITING_BYTES / 1024 {
            (&*lines).write_all(&line).expect("it never fails");
        }
        for _ in 0..3 {
            open.send(()).expect("the thread waits");
        }
        let dropped = lines.finish().expect("the output takes everything");
        let written: usize = written.try_iter().map(|batch| batch.len() / 1024).sum();
        assert!(dropped >= WAITING_BYTES / 1024, "{dropped} dropped");
        assert_eq!(written + dropped, 3 * WAITING_BYTES / 1024);
    }

    #[test]
    fn a_broken_output_counts_as_dropped() {
        let (open, gate) = channel();
        let lines = Lines::start(Gate(gate, channel().0)).expect("a thread starts");
        (&*lines).write_all(b"one\n").expect("it never fails");
        drop(open);
        assert_eq!(lines.finish(), Some(1));
    }
}
