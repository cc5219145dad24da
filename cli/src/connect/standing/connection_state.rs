//! How it is with one connection, as far as it matters to what we are on a server.

use super::Step;
use crate::connect::beat::Beat;
use bytes::Bytes;
use std::collections::VecDeque;
use std::time::Duration;
use tokio::time::Instant;

/// What is so on this connection.
#[derive(Debug)]
pub(super) struct ConnectionState {
    /// Until then a greeting is waited for.
    pub(super) greeted_by: Instant,
    pub(super) has_greeted: bool,
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
