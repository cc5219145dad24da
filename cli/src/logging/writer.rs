//! Log lines on their way to stderr, and those of an audit to their file.
//!
//! Whoever logs appends and goes on; a thread writes, many lines at once when there are many. Bounded in bytes: lines
//! that do not fit, or that the output refuses, are lost, counted, and told of behind those that came before. Knows nothing of
//! events or formats.

use parking_lot::{Condvar, Mutex};
use std::io::{self, ErrorKind, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Bytes that may wait, and as many more that are being written.
const WAITING_BYTES: usize = 1 << 20;

/// What a buffer keeps after a burst.
const KEPT_BYTES: usize = 16 << 10;

/// What a pipe takes whole or not at all (`PIPE_BUF`, pipe(7)): so no line is cut by an end that comes between two writes.
const WRITE_BYTES: usize = 4096;

/// Until an output that would block is tried again.
const BLOCKED_TIME: Duration = Duration::from_millis(10);

/// For stderr to take the last lines: a pipe that nobody reads must not keep the program from ending.
const LAST_LINES_TIME: Duration = Duration::from_secs(1);

/// A line that tells how many were lost.
pub(crate) type Told = fn(usize) -> String;

/// The queue of lines. Each write is one line.
#[derive(Debug, Default)]
pub(crate) struct LineQueue {
    waiting: Mutex<Waiting>,
    news: Condvar,
    written: Condvar,
    /// Lines that were lost since the start.
    lost_ever: AtomicU64,
}

#[derive(Debug, Default)]
struct Waiting {
    text: Vec<u8>,
    /// Lines that were lost, and not told of yet.
    lost: usize,
    /// No more lines will come.
    ended: bool,
    /// The thread has written what it could.
    done: bool,
}

impl LineQueue {
    /// Starts the thread that writes to `output`.
    pub(crate) fn start(thread: &str, output: impl Write + Send + 'static, told: Told) -> io::Result<Arc<Self>> {
        let lines = Arc::new(Self::default());
        let writer = Arc::clone(&lines);
        let writing = move || writer.run(&mut Output { output, is_cut: false }, told);
        std::thread::Builder::new().name(thread.to_owned()).spawn(writing)?;
        Ok(lines)
    }

    /// Waits a moment until all is written. Says how many lines nobody was told of, or nothing if the output is stuck.
    pub(crate) fn finish(&self) -> Option<usize> {
        let mut waiting = self.waiting.lock();
        waiting.ended = true;
        self.news.notify_one();
        self.written.wait_while_for(&mut waiting, |waiting| !waiting.done, LAST_LINES_TIME);
        waiting.done.then_some(waiting.lost)
    }

    /// How many lines were lost since the start, those told of included.
    pub(crate) fn lost_ever(&self) -> u64 {
        // Relaxed: a statistic that guards nothing.
        self.lost_ever.load(Ordering::Relaxed)
    }

    fn run(&self, output: &mut Output<impl Write>, told: Told) {
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
            let mut rest = &text[..];
            while !rest.is_empty() {
                let (batch, behind) = rest.split_at(batch(rest));
                rest = behind;
                if self.write(output, batch).is_err() {
                    let lost = memchr::memchr_iter(b'\n', batch).count();
                    self.waiting.lock().lost += lost;
                    self.lost_ever.fetch_add(lost as u64, Ordering::Relaxed);
                }
            }
            text.clear();
            text.shrink_to(KEPT_BYTES);
            self.tell(output, told);
        }
    }

    /// Tells how many lines were lost since the last time, if the output takes it.
    fn tell(&self, output: &mut Output<impl Write>, told: Told) {
        let lost = self.waiting.lock().lost;
        if lost > 0 && self.write(output, told(lost).as_bytes()).is_ok() {
            self.waiting.lock().lost -= lost;
        }
    }

    /// Writes whole lines. An output that is set not to block is waited for: meanwhile the queue fills, and no further.
    fn write(&self, output: &mut Output<impl Write>, mut lines: &[u8]) -> io::Result<()> {
        let whole = lines.len();
        while !lines.is_empty() {
            match output.write(lines) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(count) => lines = &lines[count..],
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.written.wait_for(&mut self.waiting.lock(), BLOCKED_TIME);
                }
                Err(error) => {
                    output.is_cut |= lines.len() < whole;
                    return Err(error);
                }
            }
        }
        Ok(())
    }
}

/// Bytes of as many whole lines as are written together, of one at least.
fn batch(lines: &[u8]) -> usize {
    let fitting = &lines[..lines.len().min(WRITE_BYTES)];
    let end = memchr::memrchr(b'\n', fitting).or_else(|| memchr::memchr(b'\n', lines));
    end.map_or(lines.len(), |end| end + 1)
}

/// Where lines go.
struct Output<W> {
    output: W,
    /// A line was begun, and the output refused the rest of it.
    is_cut: bool,
}

impl<W: Write> Output<W> {
    fn write(&mut self, lines: &[u8]) -> io::Result<usize> {
        if self.is_cut {
            self.output.write_all(b"\n")?;
            self.is_cut = false;
        }
        let count = self.output.write(lines)?;
        self.output.flush()?;
        Ok(count)
    }
}

impl Write for &LineQueue {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut waiting = self.waiting.lock();
        if waiting.text.len() + line.len() > WAITING_BYTES {
            waiting.lost += 1;
            self.lost_ever.fetch_add(1, Ordering::Relaxed);
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
    use std::collections::VecDeque;
    use std::sync::mpsc::{Receiver, Sender, channel};

    fn told(lost: usize) -> String {
        format!("lost {lost}\n")
    }

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

    /// An output that does with each write what comes next, and takes all behind that.
    struct Script(VecDeque<io::Result<usize>>, Sender<Vec<u8>>);

    impl Write for Script {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let count = self.0.pop_front().unwrap_or(Ok(bytes.len()))?.min(bytes.len());
            self.1.send(bytes[..count].to_vec()).map_err(io::Error::other)?;
            Ok(count)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// What such an output has got of these lines.
    fn written(script: impl IntoIterator<Item = io::Result<usize>>, lines: &[&str]) -> String {
        let (sender, written) = channel();
        let log = LineQueue::start("log", Script(script.into_iter().collect(), sender), told).expect("a thread starts");
        // At once, as while the thread is busy.
        (&*log).write_all(lines.concat().as_bytes()).expect("it never fails");
        assert_eq!(log.finish(), Some(0));
        String::from_utf8(written.try_iter().flatten().collect()).expect("it is text")
    }

    #[test]
    fn lines_above_the_bound_are_lost_counted_and_told_of() {
        let (open, gate) = channel();
        let (sender, written) = channel();
        let lines = LineQueue::start("log", Gate(gate, sender), told).expect("a thread starts");
        let line = [b"x".repeat(1023), b"\n".to_vec()].concat();
        // One bound waits, at most another is held by the thread, and the rest has nowhere to be.
        for _ in 0..3 * WAITING_BYTES / 1024 {
            (&*lines).write_all(&line).expect("it never fails");
        }
        for _ in 0..3 * WAITING_BYTES / 1024 {
            open.send(()).expect("the thread waits");
        }
        assert_eq!(lines.finish(), Some(0));
        let written = String::from_utf8(written.try_iter().flatten().collect()).expect("it is text");
        let lost: Vec<usize> = written.lines().filter_map(|line| line.strip_prefix("lost ")?.parse().ok()).collect();
        let lost: usize = lost.iter().sum();
        assert!(lost >= WAITING_BYTES / 1024, "{lost} lost");
        assert_eq!(written.lines().filter(|line| line.starts_with('x')).count() + lost, 3 * WAITING_BYTES / 1024);
    }

    #[test]
    fn a_broken_output_loses_lines() {
        let (open, gate) = channel();
        let lines = LineQueue::start("log", Gate(gate, channel().0), told).expect("a thread starts");
        (&*lines).write_all(b"one\n").expect("it never fails");
        drop(open);
        assert_eq!(lines.finish(), Some(1));
    }

    #[test]
    fn an_output_that_would_block_gets_each_line_whole() {
        let blocked = || Err(ErrorKind::WouldBlock.into());
        assert_eq!(written([blocked(), Ok(2), blocked(), Ok(1)], &["one\n", "two\n"]), "one\ntwo\n");
    }

    #[test]
    fn what_a_full_disk_refused_is_told_of_on_a_line_of_its_own() {
        let full = || Err(ErrorKind::StorageFull.into());
        let long = format!("{}\n", "x".repeat(WRITE_BYTES));
        assert_eq!(written([full()], &["one\n", "two\n", &long]), format!("{long}lost 2\n"));
        assert_eq!(written([Ok(2), full()], &["one\n"]), "on\nlost 1\n");
    }

    #[test]
    fn lines_are_written_in_pieces_that_a_pipe_takes_whole() {
        let lines: Vec<u8> = [&b"x".repeat(3000)[..], b"\n"].concat().repeat(3);
        assert_eq!(batch(&lines), 3001);
        assert_eq!(batch(b"one\ntwo\n"), 8);
        assert_eq!(batch(&[&b"x".repeat(9000)[..], b"\ny\n"].concat()), 9001);
    }
}
