//! How a replica forgets what its room was told: by an envelope without messages, which has its place in the order as all others have.
//!
//! Every node that comes to it forgets what is before it, and so knows the same. The node that appended it then has the log drop what is there.

use super::envelope::{LogEnvelope, Position};
use super::pending::{self, Handed};
use super::{Replica, ReplicaAction};
use std::time::Duration;
use switchboard_proto::MessageId;

impl Replica {
    /// Has all be forgotten that was shown so far, and what the log takes until that is in it: [`ReplicaAction::Purge`], or [`ReplicaAction::Unpurged`].
    pub fn purge(&mut self, now: Duration) {
        self.purges_since.get_or_insert(now);
        self.go_on(now);
    }

    pub(super) fn purge_due(&self) -> Option<Duration> {
        self.purges_since.map(|since| since + pending::PATIENCE)
    }

    /// Nobody waits for it any more. It may be in the log, or come to be.
    pub(super) fn give_up_purging(&mut self, now: Duration) {
        if self.purge_due().is_some_and(|due| due <= now) {
            self.purges_since = None;
            // One that is not answered yet stays until it is.
            self.flight.take_if(|flight| flight.envelope.purges() && flight.sent != Handed::Asked);
            self.actions.push_back(ReplicaAction::Unpurged);
        }
    }

    pub(super) fn send_purge(&mut self) {
        let Some(at) = self.chain.at() else { return };
        // Two in a row have the same number: once the first is dropped, the second would be taken for one of another log.
        if at.seq == 0 || at.is_purged {
            self.purged(MessageId { epoch: at.epoch, seq: at.seq }, at.position, true);
        } else {
            self.send(Vec::new());
        }
    }

    /// An envelope was passed.
    pub(super) fn purge_by(&mut self, envelope: &LogEnvelope, position: Position, is_own: bool) {
        if envelope.purges() {
            self.purged(MessageId { epoch: envelope.epoch, seq: envelope.last() }, position, is_own);
        }
    }

    fn purged(&mut self, upto: MessageId, before: Position, is_own: bool) {
        if is_own {
            self.purges_since = None;
        }
        self.actions.push_back(ReplicaAction::Purge { upto, before, is_own });
    }
}
