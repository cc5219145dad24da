//! The host that a client asks for, on its way from the `ClientHello` to the session: rustls reports it only to whoever chooses the
//! certificate, in the thread that reads the `ClientHello`.

use std::cell::Cell;

thread_local! {
    static ASKED: Cell<Option<Box<str>>> = const { Cell::new(None) };
}

/// The `ClientHello` being read asks for `name`.
pub(super) fn note(name: Option<&str>) {
    ASKED.set(name.map(|name| name.to_ascii_lowercase().into()));
}

/// What the `ClientHello` that was just read has asked for, if there was one.
pub(super) fn noted() -> Option<Box<str>> {
    ASKED.take()
}
