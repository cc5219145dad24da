//! A text that is shown nowhere: not in a log, not in an error, not in what is printed of settings.

use std::fmt;

/// Who has it may act in somebody's name. It has no `Display`, its `Debug` hides it, and it is read by `expose` alone.
#[derive(Clone)]
pub(crate) struct Secret(Box<str>);

impl Secret {
    pub(crate) fn new(text: impl Into<Box<str>>) -> Self {
        Self(text.into())
    }

    /// The text, for whoever hashes, sends or hands it over.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}
