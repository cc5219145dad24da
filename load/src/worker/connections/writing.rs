//! What a connection sends: what is due, in as few writes as the socket takes it.

use super::State;
use crate::stream::Stream;
use crate::tally::Count;
use crate::worker::{Moment, Script, Worker};
use std::io;

impl<S: Script> Worker<S> {
    /// An error on a datagram socket is about an earlier datagram; others may get through.
    pub(super) fn refused(&mut self, error: &io::Error) {
        self.shared.report(error.to_string());
        self.tally.error(&error.to_string());
    }

    /// Sends what the script has for a connection. `prompt` if nothing but this thread can have delayed it.
    pub(in crate::worker) fn send(&mut self, connection: usize, prompt: bool) {
        let now = self.now();
        loop {
            let one = &mut self.connections.all[connection];
            one.is_dirty = false;
            if !matches!(one.state, State::Open(_)) || !one.unsent.is_empty() || one.leaving {
                return;
            }
            self.output.clear();
            let moment = &mut Moment { now, phase: self.phase, prompt, tally: &mut self.tally };
            self.script.send(connection, moment, &mut self.output);
            if self.output.is_empty() {
                return;
            }
            self.write(connection);
        }
    }

    /// Writes the output; what the socket does not take stays.
    pub(super) fn write(&mut self, connection: usize) {
        if !self.connections.all[connection].unsent.is_empty() {
            self.connections.all[connection].unsent.extend_from_slice(&self.output);
            return;
        }
        let output = std::mem::take(&mut self.output);
        let sent = self.write_some(connection, &output);
        self.connections.all[connection].unsent.extend_from_slice(&output[sent..]);
        self.output = output;
    }

    /// The socket takes something again.
    pub(super) fn resume(&mut self, connection: usize) {
        let one = &mut self.connections.all[connection];
        if let State::Open(stream) = &mut one.state
            && let Err(error) = stream.flush()
        {
            return self.lose(connection, &error.to_string());
        }
        if one.unsent.is_empty() {
            return;
        }
        let mut unsent = std::mem::take(&mut one.unsent);
        let sent = self.write_some(connection, &unsent);
        unsent.drain(..sent);
        self.connections.all[connection].unsent = unsent;
        self.send(connection, false);
    }

    /// Writes until all is written or the socket takes no more. Returns how much is done with.
    fn write_some(&mut self, connection: usize, bytes: &[u8]) -> usize {
        let mut sent = 0;
        while sent < bytes.len() {
            let State::Open(stream) = &mut self.connections.all[connection].state else { return bytes.len() };
            let result = match stream {
                Stream::Udp(socket) => self.batch.send(socket, &bytes[sent..], self.plan.size),
                stream => stream.write(&bytes[sent..]),
            };
            match result {
                Ok(written) => sent += written,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if matches!(self.connections.all[connection].state, State::Open(Stream::Udp(_))) => {
                    // What was refused counts as sent, and is found to be lost.
                    self.refused(&error);
                    sent += self.plan.size;
                }
                Err(error) => {
                    self.lose(connection, &error.to_string());
                    return bytes.len();
                }
            }
        }
        self.tally.counts[Count::BytesSent] += sent as u64;
        sent
    }
}
