//! The terminal: whether we have it, and may draw on it, since a process in the background that sets its mode is stopped (SIGTTOU,
//! termios(3)); taking it, and giving it back.

use nix::unistd::{getpgrp, tcgetpgrp};
use ratatui::DefaultTerminal;
use std::io::{self, IsTerminal as _};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// The terminal, while we draw on it: it is restored however that ends.
#[derive(Debug)]
pub struct Canvas {
    /// Where to draw.
    pub terminal: DefaultTerminal,
    /// Off where the environment says so (no-color.org).
    pub has_colours: bool,
}

impl Canvas {
    /// Takes the terminal over. A panic restores it too, by a hook that this sets.
    ///
    /// # Errors
    /// There is none to draw on.
    pub fn take() -> io::Result<Self> {
        let terminal = ratatui::try_init()?;
        Ok(Self { terminal, has_colours: std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()) })
    }
}

impl Drop for Canvas {
    fn drop(&mut self) {
        ratatui::restore();
    }
}

/// The signals that end a program which has the terminal, so that it restores that first.
#[derive(Debug)]
pub struct Ends([Signal; 3]);

impl Ends {
    /// From now on they do no more than to be told here.
    ///
    /// # Errors
    /// A handler cannot be installed.
    pub fn install() -> io::Result<Self> {
        let kinds = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()];
        let [interrupt, terminate, hangup] = kinds.map(signal);
        Ok(Self([interrupt?, terminate?, hangup?]))
    }

    /// Waits for one.
    ///
    /// # Cancel safety
    /// Safe: a signal that came is kept.
    pub async fn told(&mut self) {
        let Self([interrupt, terminate, hangup]) = self;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
    }
}

/// Whether typed keys come to us. A terminal that is nobody's controlling terminal has no background.
pub fn is_ours() -> bool {
    tcgetpgrp(io::stdout()).map_or(true, |group| group == getpgrp())
}

/// Whether there is a terminal to draw on, and we are in its foreground: drawing sets its mode.
pub fn is_to_draw_on() -> bool {
    let is_dumb = std::env::var_os("TERM").is_none_or(|kind| kind.is_empty() || kind == "dumb");
    io::stdout().is_terminal() && io::stdin().is_terminal() && !is_dumb && is_ours()
}
