//! The host that a client asks for, on its way from its greeting to its session: rustls tells it to whoever chooses the certificate, and
//! only in the thread that takes the greeting.

use std::cell::Cell;

thread_local! {
    static ASKED: Cell<Option<Box<str>>> = const { Cell::new(None) };
}

/// The greeting that is being taken asks for `name`.
pub(super) fn note(name: Option<&str>) {
    ASKED.set(name.map(|name| name.to_ascii_lowercase().into()));
}

/// What the greeting has asked for that was just taken, if one was.
pub(super) fn noted() -> Option<Box<str>> {
    ASKED.take()
}
