//! Connections that stay open and silent. What the server says is ignored, except for a WebSocket's pings.

use crate::options::Plan;
use crate::protocol::{Handshake, Protocol, Step, auth};
use crate::random::Random;
use crate::typed::Secret;
use crate::worker::{End, Moment, Script};

pub(crate) struct Idle {
    websocket: bool,
    connections: Vec<State>,
    random: Random,
    host: String,
    path: String,
    token: Option<Secret>,
    ready: usize,
}

enum State {
    Closed,
    Upgrading(Handshake),
    Open,
}

impl Idle {
    /// For thread `number` of the plan's.
    pub(crate) fn new(plan: &Plan, number: usize) -> Self {
        Self {
            websocket: plan.protocol == Protocol::Ws,
            connections: (number..plan.connections).step_by(plan.threads).map(|_| State::Closed).collect(),
            random: Random::new(plan.seed ^ number as u64),
            host: plan.url.http_host(),
            path: plan.url.path.clone(),
            token: plan.token.clone(),
            ready: 0,
        }
    }
}

impl Script for Idle {
    fn opened(&mut self, connection: usize, _: &mut Moment<'_>, output: &mut Vec<u8>) {
        if self.websocket {
            let handshake = Handshake::new(self.random.nonce());
            output.extend_from_slice(handshake.request(&self.host, &self.path, self.token.as_ref()).as_bytes());
            self.connections[connection] = State::Upgrading(handshake);
        } else {
            output.extend_from_slice(&auth(self.token.as_ref()));
            self.connections[connection] = State::Open;
            self.ready += 1;
        }
    }

    fn receive(
        &mut self,
        connection: usize,
        input: &[u8],
        _: &mut Moment<'_>,
        output: &mut Vec<u8>,
    ) -> Result<usize, String> {
        if !self.websocket {
            return Ok(input.len());
        }
        let mut used = 0;
        while used < input.len() {
            if let State::Upgrading(handshake) = &self.connections[connection] {
                let Some(length) = handshake.answered(&input[used..])? else { break };
                self.connections[connection] = State::Open;
                self.ready += 1;
                used += length;
                continue;
            }
            match Protocol::Ws.step(&input[used..]) {
                Step::Incomplete => break,
                Step::Message { used: length, .. } | Step::Other { used: length } => used += length,
                Step::Answer { answer, used: length } => {
                    output.extend_from_slice(&answer);
                    used += length;
                }
                Step::Complaint { text, .. } => return Err(text),
            }
        }
        Ok(used)
    }

    fn due(&mut self, _: usize) {}

    fn all_is_due(&mut self) {}

    fn has_sent_all(&self) -> bool {
        true
    }

    fn send(&mut self, _: usize, _: &mut Moment<'_>, _: &mut Vec<u8>) {}

    fn turn(&mut self, _: &mut Moment<'_>, _: &mut Vec<usize>) -> Option<u64> {
        None
    }

    fn closed(&mut self, connection: usize, _: End, _: &mut Moment<'_>) {
        if matches!(self.connections[connection], State::Open) {
            self.ready -= 1;
        }
        self.connections[connection] = State::Closed;
    }

    fn is_settled(&self, connection: usize) -> bool {
        matches!(self.connections[connection], State::Open)
    }

    fn ready(&self) -> usize {
        self.ready
    }

    fn is_complete(&self) -> bool {
        true
    }

    fn finish(&mut self, _: &mut Moment<'_>) -> u64 {
        0
    }
}
