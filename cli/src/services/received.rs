//! The log line of a frame that was received.

use std::fmt;
use switchboard::{Escaped, PeerAddr};
use tracing::trace;

/// Bytes of a frame that are logged: a log line has to end somewhere.
const LOGGED_BYTES: usize = 1024;

/// Logs a frame with its sender, escaped, at `-vv`.
#[inline]
pub(super) fn log(peer: &PeerAddr, frame: &[u8]) {
    trace!("Received from {peer}: {}", Logged(frame));
}

/// A frame for the log.
struct Logged<'a>(&'a [u8]);

impl fmt::Display for Logged<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(command) = secretive(self.0) {
            return write!(f, "{command} …");
        }
        let logged = &self.0[..self.0.len().min(LOGGED_BYTES)];
        Escaped(logged).fmt(f)?;
        match self.0.len() - logged.len() {
            0 => Ok(()),
            more => write!(f, "… and {more} more bytes"),
        }
    }
}

/// The command of a frame, if what stands behind it is nobody else's business. A mark of UTF-8 may stand before it.
fn secretive(frame: &[u8]) -> Option<&'static str> {
    let frame = frame.strip_prefix("\u{feff}".as_bytes()).unwrap_or(frame);
    let is =
        |command: &str| frame.get(..command.len()).is_some_and(|verb| verb.eq_ignore_ascii_case(command.as_bytes()));
    let keeps_name = || is("/name") && frame.windows(7).any(|part| part.eq_ignore_ascii_case(b"secret="));
    if is("/by ") {
        return Some("/by");
    }
    if is("/auth") { Some("/auth") } else { keeps_name().then_some("/name") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_frame_is_logged_in_part_and_a_token_never() {
        assert_eq!(Logged(b"a\tb").to_string(), "a\\tb");
        for frame in ["/auth mysecret", "/AUTH\tmysecret", "\u{feff}/auth mysecret", "/authmysecret"] {
            assert_eq!(Logged(frame.as_bytes()).to_string(), "/auth …");
        }
        assert_eq!(Logged(b"/Name bob secret=0123").to_string(), "/name …");
        assert_eq!(Logged(b"/name bob").to_string(), "/name bob");
        let logged = Logged(&[b'x'; LOGGED_BYTES + 5]).to_string();
        assert!(logged.ends_with("x… and 5 more bytes"), "{logged}");
    }
}
