//! Writing to stdout, completely or with an error: a report that is cut off, or lost, is not a success.

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd;
use std::io::{self, Write as _};
use std::os::fd::AsFd;

/// Writes all of it at once.
pub fn write(bytes: &[u8]) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.flush()?;
    write_to(&stdout, bytes)
}

/// The result of printing something that nobody needs to read to the end: the reader may have had enough, as `head` has after ten
/// lines.
pub fn unless_nobody_reads(printed: io::Result<()>) -> io::Result<()> {
    match printed {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        printed => printed,
    }
}

/// Waits for output even if it does not block: whoever shares a pipe or terminal with us may have set it so.
fn write_to(output: &impl AsFd, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match unistd::write(output, bytes) {
            Ok(count) => bytes = &bytes[count..],
            Err(Errno::EINTR) => {}
            Err(Errno::EAGAIN) => wait(output)?,
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

fn wait(output: &impl AsFd) -> io::Result<()> {
    match poll(&mut [PollFd::new(output.as_fd(), PollFlags::POLLOUT)], PollTimeout::NONE) {
        Ok(_) | Err(Errno::EINTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::fcntl::{FcntlArg, OFlag, fcntl};
    use std::io::Read as _;
    use std::thread;

    #[test]
    fn a_pipe_that_does_not_block_gets_all_of_it() {
        let (mut reader, writer) = io::pipe().unwrap();
        fcntl(&writer, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).unwrap();
        let text: Vec<_> = (0..1_000_000_u32).flat_map(u32::to_be_bytes).collect();
        let reading = thread::spawn(move || {
            let mut all = Vec::new();
            reader.read_to_end(&mut all).unwrap();
            all
        });
        write_to(&writer, &text).unwrap();
        drop(writer);
        assert!(reading.join().unwrap() == text);
    }

    #[test]
    fn what_nobody_reads_is_an_error() {
        let (reader, writer) = io::pipe().unwrap();
        drop(reader);
        assert_eq!(write_to(&writer, b"text").unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    }
}
