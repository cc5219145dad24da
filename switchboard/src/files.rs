//! Files that an operator names: a device does not fill the memory, a pipe that nobody writes to is refused, and one that says nothing is not
//! waited for without an end.

use nix::fcntl::OFlag;
use std::cell::Cell;
use std::fs::OpenOptions;
use std::io::{self, ErrorKind, Read as _};
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::time::{Duration, Instant};

/// What comes through a pipe comes within this time, or is not waited for.
const PIPE_WAIT: Duration = Duration::from_secs(5);

/// Who has waited in vain does not wait again so soon: a thousand pipes take as long as one.
const IMPATIENT: Duration = Duration::from_mins(1);

thread_local! {
    /// When this thread last waited in vain.
    static WAITED: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// What is in a file, or one byte more than `most` of it: such a file is too long. Waits for what a pipe or a terminal has to say, so it
/// is not for a thread that serves anybody.
///
/// # Errors
/// It cannot be read, it is a pipe that nobody writes to, or nothing comes.
#[expect(
    clippy::disallowed_methods,
    reason = "a pipe is waited for before anything is served, or on a thread of its own"
)]
pub fn read(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    // Whoever opens a pipe that nobody writes to would wait for ever.
    let flags = OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
    let file = OpenOptions::new().read(true).custom_flags(flags.bits()).open(path)?;
    let is_pipe = file.metadata()?.file_type().is_fifo();
    let (mut bytes, mut file) = (Vec::new(), file.take(most.saturating_add(1)));
    let began = Instant::now();
    let is_patient = WAITED.get().is_none_or(|waited| began.duration_since(waited) > IMPATIENT);
    loop {
        match file.read_to_end(&mut bytes) {
            // Whoever waits to be read counts as a writer (fifo(7)): nobody does, or has said anything.
            Ok(0) if is_pipe && bytes.is_empty() => {
                return Err(io::Error::other("this is a pipe that nobody writes to"));
            }
            Ok(_) => return Ok(bytes),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
        if !is_patient || began.elapsed() > PIPE_WAIT {
            if is_patient {
                WAITED.set(Some(Instant::now()));
            }
            return Err(io::Error::other(format!("nothing came through this pipe for {} s", PIPE_WAIT.as_secs())));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::stat::Mode;
    use nix::unistd::mkfifo;
    use std::io::Write as _;

    #[test]
    #[expect(clippy::disallowed_methods, reason = "pipes are waited for by the clock of the machine")]
    fn devices_end_and_pipes_with_a_writer_are_waited_for_once() {
        assert_eq!(read(Path::new("/dev/zero"), 1000).expect("it is read").len(), 1001);
        let path = std::env::temp_dir().join(format!("switchboard-{}-pipe", std::process::id()));
        mkfifo(&path, Mode::S_IRWXU).expect("a pipe");
        let refused = |why: &str| assert_eq!(read(&path, 9).expect_err("nothing comes").to_string(), why);
        let began = Instant::now();
        refused("this is a pipe that nobody writes to");
        assert!(began.elapsed() < PIPE_WAIT);
        // For both, opening does not wait.
        let open = || OpenOptions::new().read(true).write(true).open(&path).expect("it is there");
        let mut writer = open();
        let writing = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(50));
            writer.write_all(b"late").expect("it takes it");
        });
        assert_eq!(read(&path, 9).expect("it is read"), b"late");
        writing.join().expect("it has written");
        let _silent = open();
        let began = Instant::now();
        (0..100).for_each(|_| refused("nothing came through this pipe for 5 s"));
        let took = began.elapsed();
        assert!(took > PIPE_WAIT && took < 10 * PIPE_WAIT, "{took:?}");
        std::fs::remove_file(path).expect("it is there");
    }
}
