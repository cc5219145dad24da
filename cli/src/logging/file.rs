//! A file of lines beside the log, of an audit or of requests: opened for its owner alone, opened again at a reload, and written by a
//! thread of its own.

use super::writer::LineQueue;
use nix::fcntl::OFlag;
use parking_lot::{Mutex, RwLock};
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

/// Who made it reads it, and nobody else.
const MODE: u32 = 0o600;

/// Where lines go. Whoever says something appends, and waits for nothing.
#[derive(Debug)]
pub(crate) struct LineFile {
    lines: Arc<LineQueue>,
    /// What is written to from the next line on.
    next: Arc<Mutex<Option<File>>>,
}

/// A file to append to, which is made if there is none.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    // Whoever opens a pipe that nobody reads would wait for ever.
    let flags = OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
    OpenOptions::new().append(true).create(true).mode(MODE).custom_flags(flags.bits()).open(path)
}

impl LineFile {
    /// Has what comes from now on written to `file` in place of what is in `current`, or not by it; `name` is that of its thread.
    pub(crate) fn replace(current: &RwLock<Option<Self>>, name: &str, file: Option<File>) -> io::Result<()> {
        let mut current = current.write();
        match (file, &*current) {
            // The same thread goes on.
            (Some(file), Some(lines)) => *lines.next.lock() = Some(file),
            (file, _) => {
                let next = file.map(|file| Self::start(name, file)).transpose()?;
                if let Some(before) = std::mem::replace(&mut *current, next) {
                    before.finish();
                }
            }
        }
        Ok(())
    }

    fn start(name: &str, file: File) -> io::Result<Self> {
        let next = Arc::new(Mutex::new(None));
        let output = Reopened { file, next: Arc::clone(&next) };
        Ok(Self { lines: LineQueue::start(name, output, lost)?, next })
    }

    pub(crate) fn append(&self, line: &str) {
        // A line that does not fit is counted, and told of.
        let _ = (&*self.lines).write_all(line.as_bytes());
    }

    pub(crate) fn lost_lines(&self) -> u64 {
        self.lines.lost_ever()
    }

    /// Writes what waits.
    pub(crate) fn finish(&self) {
        // Nobody is left to tell.
        let _ = self.lines.finish();
    }
}

struct Reopened {
    file: File,
    next: Arc<Mutex<Option<File>>>,
}

impl Write for Reopened {
    fn write(&mut self, lines: &[u8]) -> io::Result<usize> {
        if let Some(next) = self.next.lock().take() {
            self.file = next;
        }
        self.file.write(lines)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What stands in place of lines that were lost: the disk was full, or too slow.
fn lost(lines: usize) -> String {
    let time = humantime::format_rfc3339_millis(SystemTime::now());
    format!("{{\"time\":\"{time}\",\"event\":\"lost\",\"lines\":{lines}}}\n")
}
