//! How a run is shown while it goes on: a line a second.

use super::options::Plan;
use super::report::Interval;
use super::report::text;
use std::io::{self, Write as _};
use tokio::signal::unix::{Signal, SignalKind, signal};

pub(super) struct View {
    /// Whether stdout is for JSON alone.
    to_stderr: bool,
    interrupt: Signal,
    terminate: Signal,
}

impl View {
    pub(super) fn new(plan: &Plan) -> io::Result<Self> {
        let interrupt = signal(SignalKind::interrupt())?;
        let terminate = signal(SignalKind::terminate())?;
        Ok(Self { to_stderr: plan.json, interrupt, terminate })
    }

    /// How far the connections are.
    #[allow(clippy::unused_self, clippy::unnecessary_wraps, reason = "the live view will show it")]
    pub(super) fn opening(&mut self, _ready: usize, _failed: usize, _wanted: usize) -> io::Result<()> {
        Ok(())
    }

    #[allow(clippy::unnecessary_wraps, reason = "the live view will need it")]
    pub(super) fn interval(&mut self, interval: &Interval) -> io::Result<()> {
        let line = text::line(interval);
        // Nobody is left to tell if it is closed.
        let _ = if self.to_stderr { writeln!(io::stderr(), "{line}") } else { writeln!(io::stdout(), "{line}") };
        Ok(())
    }

    /// Waits for a signal.
    ///
    /// # Cancel safety
    /// Safe: a signal that came is kept.
    pub(super) async fn asked_to_stop(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }

    #[allow(clippy::unused_self, clippy::unnecessary_wraps, reason = "the live view will need it")]
    pub(super) fn close(&mut self) -> io::Result<()> {
        Ok(())
    }
}
