//! A policy has changed: everybody is checked again, a few at a time.
//!
//! Sessions that come in the meantime are let in by the new answers, since the door sees that a review has begun, and those that take
//! another name are checked then (`naming.rs`). So those that are missed here need no check.

use super::names::Reached;
use super::policy::Principal;
use super::room::RoomInner;
use super::session::SessionInner;
use super::{Hub, door};
use crate::turn::{CALL_BYTES, Turn};
use std::sync::Arc;
use switchboard_proto::RoomName;

/// Sessions or members taken from a list under one lock: 20 µs.
const TOGETHER: usize = 1024;

/// Rooms taken at once; each is locked then.
const ROOMS_TOGETHER: usize = 64;

impl Hub {
    /// Makes everybody follow what the [`Policy`](crate::policy::Policy) says now: call it when its answers have changed and its
    /// generation has grown. Sessions whose principal is no longer valid are closed ([`Revoked`](crate::CloseReason)); those whose
    /// name belongs to somebody else by now get another one; members that may no longer be in their rooms are removed. All of them are
    /// told, and so are the others in their rooms. What was published before still reaches them. It yields about every millisecond; a
    /// hub without a policy has nothing to review.
    ///
    /// Without it a change only affects what is done from then on: those who just listen would go on listening.
    ///
    /// # Cancel safety
    /// Safe, but those not checked yet stay as they are: call it again.
    pub async fn review(&self) {
        let Some(governance) = self.governance() else { return };
        governance.begin_review();
        let mut turn = Turn::default();
        let mut reached = Reached::default();
        loop {
            let sessions = self.0.names.lock().some(&mut reached, TOGETHER);
            if sessions.is_empty() {
                break;
            }
            for session in sessions {
                // Whoever is closed leaves by the name that it had.
                if look_at(&session, &mut turn).await {
                    self.check_name(&session);
                }
            }
        }
        let mut behind = None;
        loop {
            let rooms = self.some_rooms(behind.as_ref());
            let Some(last) = rooms.last() else { break };
            behind = Some(last.name.clone());
            for room in rooms {
                review_room(&room, &mut turn).await;
            }
        }
    }

    /// Has whoever is shown to be `principal`, by this very value, shown to be what it has become, under the same name; a connection ends when
    /// that one [expires](Principal::expires). If it has become nothing, its connections are closed ([`Revoked`](crate::CloseReason)).
    ///
    /// For what a single credential has come to, where a [`review`](Self::review) would look at everybody. It yields about every millisecond.
    ///
    /// # Cancel safety
    /// Safe, but those not reached yet stay as they are.
    pub async fn renew(&self, principal: &Arc<Principal>, renewed: Option<&Arc<Principal>>) {
        let Some(name) = principal.name() else { return };
        let sessions = self.0.names.lock().of(name);
        let mut turn = Turn::default();
        for session in sessions {
            match renewed {
                Some(renewed) => session.update(principal, renewed),
                None if session.is_shown_by(principal) => session.revoke(),
                None => {}
            }
            turn.spend(CALL_BYTES / 8).await;
        }
    }

    fn some_rooms(&self, behind: Option<&RoomName>) -> Vec<Arc<RoomInner>> {
        use std::ops::Bound::{Excluded, Unbounded};
        let rooms = self.0.rooms.lock();
        let range = rooms.range::<RoomName, _>((behind.map_or(Unbounded, Excluded), Unbounded));
        range.take(ROOMS_TOGETHER).map(|(_, room)| Arc::clone(room)).collect()
    }
}

/// Says whether it stands.
async fn look_at(session: &Arc<SessionInner>, turn: &mut Turn) -> bool {
    let stands = door::check_standing(session);
    turn.spend(CALL_BYTES / 8).await;
    stands
}

async fn review_room(room: &Arc<RoomInner>, turn: &mut Turn) {
    let mut behind = None;
    loop {
        let members = room.members_behind(behind, TOGETHER);
        turn.spend(CALL_BYTES + members.len() * size_of::<RoomName>()).await;
        let Some((last, _)) = members.last() else { break };
        behind = Some(*last);
        let mut known = None;
        for (member, principal) in members {
            door::review(room, member, principal, &mut known);
            turn.spend(CALL_BYTES).await;
        }
    }
}
