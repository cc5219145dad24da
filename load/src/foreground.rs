//! Whether we have the terminal: a process in the background that sets its mode is stopped (SIGTTOU, termios(3)).

use nix::unistd::{getpgrp, tcgetpgrp};
use std::io;

/// Whether typed keys come to us. A terminal that is nobody's controlling terminal has no background.
pub fn is_ours() -> bool {
    tcgetpgrp(io::stdout()).map_or(true, |group| group == getpgrp())
}
