//! Whether a server of lines was shown the token, on one connection.

use crate::protocol::auth;
use crate::typed::Secret;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Showing {
    #[default]
    Unshown,
    Shown,
}

impl Showing {
    /// Whether there is something to show yet.
    pub(super) fn is_due(self, token: Option<&Secret>) -> bool {
        self == Self::Unshown && token.is_some()
    }

    /// What shows it, once.
    pub(super) fn show(&mut self, token: Option<&Secret>) -> Vec<u8> {
        match std::mem::replace(self, Self::Shown) {
            Self::Shown => Vec::new(),
            Self::Unshown => auth(token),
        }
    }
}
