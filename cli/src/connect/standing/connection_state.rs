//! How it is with one connection, as far as it matters to what we are on a server.

use super::{StandingOptions, Step};
use crate::connect::beat::Beat;
use bytes::Bytes;
use std::collections::VecDeque;
use std::time::Duration;
use switchboard::UserName;
use switchboard::grammar::Reply;
use tokio::time::Instant;

/// Whether the server asked for our token before its greeting, and was told it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TokenAsked {
    No,
    Told,
}

/// What is so on this connection.
#[derive(Debug)]
pub(super) struct ConnectionState {
    /// Until then a greeting is waited for.
    pub(super) greeted_by: Instant,
    pub(super) has_greeted: bool,
    pub(super) token: TokenAsked,
    /// We are again what we were before, if we were anything.
    pub(super) is_settled: bool,
    /// Commands that nobody has typed, one after the other, and the one that is not answered.
    pub(super) todo: VecDeque<Bytes>,
    pub(super) asked: Option<(Bytes, Instant)>,
    pub(super) not_before: Option<Instant>,
    pub(super) beat: Beat,
    /// The last join with a cookie, and when it was sent.
    pub(super) proof: Option<(Bytes, Instant)>,
    /// It is over: a datagram's end comes in words.
    pub(super) end: Option<Step>,
    /// When to ask for our name again.
    pub(super) claim: Option<Instant>,
    pub(super) is_claiming: bool,
}

impl ConnectionState {
    pub(super) fn new(now: Instant, patience: Duration) -> Self {
        Self {
            greeted_by: now + patience,
            has_greeted: false,
            token: TokenAsked::No,
            is_settled: true,
            todo: VecDeque::new(),
            asked: None,
            not_before: None,
            beat: Beat::new(now),
            proof: None,
            end: None,
            claim: None,
            is_claiming: false,
        }
    }

    pub(super) fn is_taking_up(&self) -> bool {
        self.asked.is_some() || !self.todo.is_empty()
    }
}

/// Whether an answer is one to this command.
pub(super) fn answers(reply: &Reply, command: &[u8]) -> bool {
    let name: &[u8] = match reply {
        Reply::Joined { .. } => b"/join ",
        Reply::Left { .. } => b"/leave ",
        Reply::Named { .. } => b"/name ",
        Reply::Formatted { .. } => b"/format ",
        Reply::Authorized { .. } => b"/auth ",
        _ => return false,
    };
    command.starts_with(name)
}

impl StandingOptions {
    /// Asks for a name, and has it kept for the next connection.
    pub(super) fn naming(self, name: &UserName) -> String {
        let secret = self.secret.map(|secret| format!(" secret={secret:032x}"));
        format!("/name {name}{}", secret.unwrap_or_default())
    }
}
