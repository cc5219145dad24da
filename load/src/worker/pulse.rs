//! What an event loop waits on: sockets, a timer accurate to a microsecond, and a waker for other threads.

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token, Waker};
use nix::sys::time::{TimeSpec, TimeValLike as _};
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::time::Duration;

/// Numbers above those of connections.
const TIMER: Token = Token(usize::MAX);
const WAKER: Token = Token(usize::MAX - 1);

/// Events taken per call.
const EVENTS: usize = 1024;

/// The longest wait: whatever was missed is then found.
const LONGEST: u64 = 1_000_000_000;

#[derive(Debug)]
pub(crate) struct Pulse {
    pub(super) poll: Poll,
    pub(super) events: Events,
    /// `epoll_wait` counts in milliseconds, which would make everything up to one millisecond late.
    timer: TimerFd,
}

impl Pulse {
    pub(crate) fn new() -> io::Result<(Self, Waker)> {
        let poll = Poll::new()?;
        let timer = TimerFd::new(ClockId::CLOCK_MONOTONIC, TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC)?;
        poll.registry().register(&mut SourceFd(&timer.as_fd().as_raw_fd()), TIMER, Interest::READABLE)?;
        let waker = Waker::new(poll.registry(), WAKER)?;
        Ok((Self { poll, events: Events::with_capacity(EVENTS), timer }, waker))
    }

    /// Waits for events, for at most this many nanoseconds.
    pub(super) fn wait(&mut self, wait: Option<u64>) -> io::Result<()> {
        let wait = wait.unwrap_or(LONGEST).min(LONGEST);
        let timeout = if wait == 0 { Some(Duration::ZERO) } else { None };
        if wait > 0 {
            let wait = TimeSpec::nanoseconds(wait.cast_signed());
            // Setting it forgets an earlier expiry, so that it is never read.
            self.timer.set(Expiration::OneShot(wait), TimerSetTimeFlags::empty())?;
        }
        match self.poll.poll(&mut self.events, timeout) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                self.events.clear();
                Ok(())
            }
            result => result,
        }
    }
}

/// Connections that something happened to: which, and what.
pub(super) fn happened(events: &Events) -> impl Iterator<Item = (usize, Happened)> + '_ {
    let connections = events.iter().filter(|event| event.token() < WAKER);
    connections.map(|event| {
        let ended = event.is_read_closed() || event.is_error();
        let (readable, writable) = (event.is_readable() || ended, event.is_writable() || event.is_error());
        (event.token().0, Happened { readable, writable, ended })
    })
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Happened {
    pub(super) readable: bool,
    pub(super) writable: bool,
    /// Nothing follows what can be read, and no other event will say so.
    pub(super) ended: bool,
}
