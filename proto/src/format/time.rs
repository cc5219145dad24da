//! Times as RFC 3339 writes them, in UTC. What it cannot write becomes the nearest that it can.

use humantime::Rfc3339Timestamp;
use std::time::{Duration, SystemTime};

/// The last second that RFC 3339 can write: the end of the year 9999.
const LAST_SECOND: u64 = 253_402_300_799;

/// For programs.
pub(super) fn with_milliseconds(time: SystemTime) -> Rfc3339Timestamp {
    humantime::format_rfc3339_millis(writable(time))
}

/// For people.
pub(super) fn with_seconds(time: SystemTime) -> Rfc3339Timestamp {
    humantime::format_rfc3339_seconds(writable(time))
}

fn writable(time: SystemTime) -> SystemTime {
    let first = SystemTime::UNIX_EPOCH;
    time.clamp(first, first + Duration::from_secs(LAST_SECOND))
}
