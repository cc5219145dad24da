//! Whether we have the terminal: in a shell's background, whoever sets its mode is stopped (SIGTTOU, termios(3)).

use nix::unistd::{getpgrp, tcgetpgrp};
use std::io;

/// Whether keys that are typed come to us. A terminal that controls nobody has no background.
pub fn is_ours() -> bool {
    tcgetpgrp(io::stdout()).map_or(true, |group| group == getpgrp())
}
