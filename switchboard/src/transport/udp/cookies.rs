//! Cookies with a clock and with keys from the operating system.

use parking_lot::Mutex;
use std::net::SocketAddr;
use std::time::Duration;
use switchboard_proto::{Cookie, CookieKey, RoomName};
use tokio::time::Instant;

/// As long as it takes to type a cookie by hand, twice over.
const PERIOD: Duration = Duration::from_mins(1);

/// What datagram peers return to prove that they receive at the address they send from. The server keeps nothing per
/// peer.
///
/// A cookie is bound to an address, a port and a room, and is valid for between one and two periods.
#[derive(Debug)]
pub struct Cookies {
    cookies: Mutex<switchboard_proto::CookieKeys>,
    started: Instant,
}

impl Cookies {
    /// Cookies whose keys change every `period`.
    ///
    /// # Panics
    /// If `period` is zero, or the operating system cannot provide randomness.
    pub fn new(period: Duration) -> Self {
        Self { cookies: Mutex::new(switchboard_proto::CookieKeys::new(period, fresh)), started: Instant::now() }
    }

    /// The cookie that `source` must return when it joins `room`.
    pub fn cookie(&self, source: SocketAddr, room: &RoomName) -> Cookie {
        self.cookies.lock().cookie(source, room, self.started.elapsed(), fresh)
    }

    /// Whether `source` was given `cookie` for `room`, not too long ago.
    pub fn knows(&self, cookie: Cookie, source: SocketAddr, room: &RoomName) -> bool {
        self.cookies.lock().knows(cookie, source, room, self.started.elapsed(), fresh)
    }
}

impl Default for Cookies {
    /// With keys that change each minute.
    fn default() -> Self {
        Self::new(PERIOD)
    }
}

fn fresh() -> CookieKey {
    let mut key = CookieKey::default();
    // getrandom(2) fails for want of the system call alone, and a key that can be guessed is none.
    let Ok(()) = getrandom::fill(&mut key) else { panic!("the operating system has no randomness") };
    key
}
