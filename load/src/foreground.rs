//! Whether we have the terminal, and may draw on it: a process in the background that sets its mode is stopped (SIGTTOU, termios(3)).

use nix::unistd::{getpgrp, tcgetpgrp};
use std::io::{self, IsTerminal as _};

/// Whether typed keys come to us. A terminal that is nobody's controlling terminal has no background.
pub fn is_ours() -> bool {
    tcgetpgrp(io::stdout()).map_or(true, |group| group == getpgrp())
}

/// Whether there is a terminal to draw on, and we are in its foreground: drawing sets its mode.
pub fn is_to_draw_on() -> bool {
    let is_dumb = std::env::var_os("TERM").is_none_or(|kind| kind.is_empty() || kind == "dumb");
    io::stdout().is_terminal() && io::stdin().is_terminal() && !is_dumb && is_ours()
}
