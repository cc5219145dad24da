//! Waiting for what others do: for as long as it takes, but not for ever. Where the clock is paused, it takes no time.

use std::panic::Location;
use std::time::Duration;
use tokio::time::{sleep, timeout};

/// Only a test that fails waits so long.
const PATIENCE: Duration = Duration::from_secs(100);

pub(crate) const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Lets others run until `condition` holds.
#[track_caller]
pub(crate) fn until(condition: impl Fn() -> bool) -> impl Future<Output = ()> {
    patiently(async move {
        while !condition() {
            sleep(Duration::from_millis(1)).await;
        }
    })
}

/// What is wanted must come.
#[track_caller]
pub(crate) fn patiently<T>(wanted: impl Future<Output = T>) -> impl Future<Output = T> {
    let caller = Location::caller();
    async move {
        let Ok(wanted) = timeout(PATIENCE, wanted).await else { panic!("what {caller} waits for never came") };
        wanted
    }
}
