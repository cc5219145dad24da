//! What a hub asks of the other nodes, answered from the table, from records, or by those nodes.

use super::asking::{MOST_NAMES, NodeQuestion, read_names};
use super::bus::{AskError, NodeId};
use super::guests::block_of;
use super::names::Unclaimed;
use super::{Elsewhere, FromElsewhere, NameProof, NamesElsewhere, NotClaimed, PeopleElsewhere, Shared};
use crate::hub::elsewhere::{NotTold, Unanswered};
use crate::hub::log::answered;
use bytes::Bytes;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use switchboard_proto::{RoomName, RoomSummary, UserName};
use tokio::sync::oneshot;
use tokio::time::sleep;

/// How long another node has to say that somebody was told, or has given up a name; and who is in a room.
const PATIENCE: Duration = Duration::from_secs(2);
const WHO_PATIENCE: Duration = Duration::from_millis(500);

/// Names that are claimed at a time, on behalf of whoever waits.
const MOST_CLAIMS: usize = 1024;

/// How often a name is claimed again that was given up for it, and how soon.
const CLAIMS: usize = 4;
const BREATH: Duration = Duration::from_millis(50);

impl Elsewhere for Shared {
    fn members(&self, room: &RoomName) -> Option<usize> {
        self.table.lock().members(room)
    }

    fn rooms(&self, after: Option<&RoomName>, limit: usize) -> Vec<RoomSummary> {
        self.table.lock().behind(after, limit)
    }

    fn count(&self) -> usize {
        self.table.lock().only_there()
    }

    fn changed(&self, room: &RoomName) {
        let mut changed = self.changed.lock();
        changed.push(room.clone());
        if changed.len() == 1 {
            drop(changed);
            self.heard.said.notify_one();
        }
    }
}

impl NamesElsewhere for Shared {
    fn next_guest(&self) -> u64 {
        let (number, is_last) = self.guests.next(self.own);
        if is_last {
            self.kept.notify_one();
        }
        number
    }

    fn holds(&self, name: &UserName) -> bool {
        self.names.holds(name)
    }

    fn unguard(&self, name: &UserName) {
        self.names.unguard(name);
    }

    fn release(&self, name: &UserName) {
        if self.names.release(name) {
            self.kept.notify_one();
        }
    }

    fn claim(&self, name: UserName, proof: Option<NameProof>) -> FromElsewhere<Result<(), NotClaimed>> {
        let (Some(shared), Some((hub, runtime))) = (self.me.upgrade(), self.serves.get()) else {
            return Box::pin(async { Err(NotClaimed::Unavailable) });
        };
        if self.claims.len() >= MOST_CLAIMS {
            return Box::pin(async { Err(NotClaimed::Unavailable) });
        }
        let (done, told) = oneshot::channel();
        let hub = hub.clone();
        // On a task of its own: whoever waits may go away, and then it is given back.
        self.claims.spawn_on(
            async move {
                let claimed = shared.claim_by(&name, proof).await;
                if done.send(claimed).is_err() && claimed.is_ok() {
                    shared.names.unguard(&name);
                    hub.give_up(&name);
                }
            },
            runtime,
        );
        Box::pin(async move { told.await.unwrap_or(Err(NotClaimed::Unavailable)) })
    }

    fn has(&self, name: UserName) -> FromElsewhere<Result<bool, Unanswered>> {
        let Some(shared) = self.me.upgrade() else { return Box::pin(async { Err(Unanswered) }) };
        Box::pin(async move {
            let node = shared.names.find(&name, None).await;
            node.map(|node| node.is_some()).map_err(|_| Unanswered)
        })
    }
}

impl PeopleElsewhere for Shared {
    fn tell(&self, to: UserName, from: UserName, text: Bytes) -> FromElsewhere<Result<(), NotTold>> {
        let Some(shared) = self.me.upgrade() else { return Box::pin(async { Err(NotTold::Unavailable) }) };
        Box::pin(async move {
            let found = shared.names.find(&to, to.guest_number().map(block_of)).await;
            let node = found.map_err(|_| NotTold::Unavailable)?.ok_or(NotTold::NoSuchMember)?;
            let answer = shared.ask(node, &NodeQuestion::Tell { to, from, text }, PATIENCE).await;
            match answer.as_deref() {
                Ok(b"told") => Ok(()),
                Ok(b"full") => Err(NotTold::Full),
                Ok(b"uncarried") => Err(NotTold::Uncarried),
                Ok(_) | Err(AskError::NobodyThere) => Err(NotTold::NoSuchMember),
                Err(AskError::Unanswered) => Err(NotTold::Unavailable),
            }
        })
    }

    fn who(&self, room: RoomName, most: usize) -> FromElsewhere<(Vec<UserName>, Vec<UserName>)> {
        let Some(shared) = self.me.upgrade() else { return Box::pin(async { Default::default() }) };
        Box::pin(async move {
            let nodes = shared.table.lock().nodes_of(&room);
            let question = NodeQuestion::Who { room, most: most.min(MOST_NAMES) };
            // All are asked at once.
            let asked: Vec<_> =
                nodes.into_iter().map(|node| (node, shared.asking(node, &question, WHO_PATIENCE))).collect();
            let (mut before, mut behind) = (Vec::new(), Vec::new());
            for (node, told) in asked {
                if let Ok(Ok(names)) = told.await {
                    let side = if node < shared.own { &mut before } else { &mut behind };
                    side.extend(read_names(&names));
                }
            }
            (before, behind)
        })
    }
}

impl Shared {
    fn asking(
        &self,
        node: NodeId,
        question: &NodeQuestion,
        time: Duration,
    ) -> oneshot::Receiver<Result<Bytes, AskError>> {
        let (done, told) = answered();
        self.bus.ask(node, question.written(self.own), time, done);
        told
    }

    async fn ask(&self, node: NodeId, question: &NodeQuestion, time: Duration) -> Result<Bytes, AskError> {
        self.asking(node, question, time).await.unwrap_or(Err(AskError::Unanswered))
    }

    /// Claims a name, if need be from another node where somebody has it who is the same.
    async fn claim_by(self: &Arc<Self>, name: &UserName, proof: Option<NameProof>) -> Result<(), NotClaimed> {
        let mut is_given_up = false;
        for _ in 0..CLAIMS {
            let node = match self.names.claim(name).await {
                Ok(()) => return Ok(()),
                Err(Unclaimed::Unavailable) => return Err(NotClaimed::Unavailable),
                Err(Unclaimed::Taken(node)) => node,
            };
            let Some(proof) = &proof else { return Err(NotClaimed::Taken) };
            if !is_given_up {
                let question = NodeQuestion::Yield { name: name.clone(), proof: proof.clone() };
                match self.ask(node, &question, PATIENCE).await.as_deref() {
                    Ok(b"yes") => is_given_up = true,
                    Ok(_) => return Err(NotClaimed::Taken),
                    // One that is gone has a lease for a while.
                    Err(_) => return Err(NotClaimed::Unavailable),
                }
            }
            // The record may be under way.
            sleep(BREATH).await;
        }
        Err(NotClaimed::Taken)
    }

    /// Whether records may be gone, which is told once.
    pub(super) fn is_anew(&self) -> bool {
        // Relaxed: it guards no other memory.
        self.is_anew.swap(false, Ordering::Relaxed)
    }
}
