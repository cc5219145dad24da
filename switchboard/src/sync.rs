//! The locks and flags by which threads meet, so that a test can decide which of them goes on.
//!
//! They are `parking_lot`'s and the standard library's own. In this crate's unit tests they are shuttle's, which stops
//! at each and picks the next thread: `interleavings.rs` runs connections, ticks and publishers in many thousand orders.
//! So a unit test in this crate that touches one must run inside shuttle; the tests in `tests/` see the library as shipped.
//!
//! Counters and stamps that announce nothing stay the standard library's, as statics do: each step of theirs would be one
//! more place to stop, and no order of them can be wrong.

#[cfg(not(test))]
pub(crate) use parking_lot::{Mutex, MutexGuard};
#[cfg(not(test))]
pub(crate) use std::sync::atomic::{AtomicU16, AtomicU32, AtomicU64, AtomicUsize};
#[cfg(not(test))]
pub(crate) use std::thread_local;

#[cfg(test)]
pub(crate) use shuttle::sync::MutexGuard;
#[cfg(test)]
pub(crate) use shuttle::sync::atomic::{AtomicU16, AtomicU32, AtomicU64, AtomicUsize};
#[cfg(test)]
pub(crate) use shuttle::thread_local;
#[cfg(test)]
pub(crate) use switched::Mutex;

#[cfg(test)]
mod switched {
    use shuttle::sync::MutexGuard;
    use std::sync::PoisonError;

    /// Shuttle's, with what the library uses of `parking_lot`'s.
    #[derive(Debug, Default)]
    pub(crate) struct Mutex<T>(shuttle::sync::Mutex<T>);

    impl<T> Mutex<T> {
        pub(crate) fn new(value: T) -> Self {
            Self(shuttle::sync::Mutex::new(value))
        }

        pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
            self.0.lock().unwrap_or_else(PoisonError::into_inner)
        }

        pub(crate) fn get_mut(&mut self) -> &mut T {
            self.0.get_mut().unwrap_or_else(PoisonError::into_inner)
        }
    }
}
