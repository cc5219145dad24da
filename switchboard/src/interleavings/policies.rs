//! A policy that changes while others come, publish and go.

use super::stage::{Served, explore, finish};
use crate::config::Limits;
use crate::hub::membership::{Join, Membership};
use crate::hub::policy::{Authenticating, Claimant, Credentials, Policy, PolicyGeneration, Principal, Refusal};
use crate::hub::session::Session;
use crate::hub::{Hub, HubLimits};
use shuttle::future::block_on;
use shuttle::thread;
use std::sync::Arc;
use switchboard_proto::{Format, Rights, RoomName};
use tokio::sync::oneshot;

/// Everything is allowed until it is closed, and nothing from then on.
#[derive(Default)]
struct Gate(PolicyGeneration);

impl Policy for Gate {
    fn authenticate(&self, _: Credentials, _: Claimant) -> Authenticating<'_> {
        Box::pin(async { Err(Refusal::Wrong) })
    }

    fn rights(&self, _: &Principal, _: &RoomName) -> Rights {
        if self.0.number() == 0 { Rights::ALL } else { Rights::NONE }
    }

    fn generation(&self) -> PolicyGeneration {
        self.0.clone()
    }
}

#[test]
fn behind_a_review_nobody_is_there_who_may_not_be() {
    explore(|stage| {
        let gate = Arc::new(Gate::default());
        let hub = Hub::with_policy(HubLimits::default(), Arc::clone(&gate) as Arc<dyn Policy>);
        let room = hub.room("r").unwrap();
        let (introduce, introduced) = oneshot::channel();
        let introduce = super::sync_slot(introduce);
        let Served { mut says, task, heard, .. } = stage.serve(Limits::default(), |mut conn| {
            introduce((hub.enter(&conn, Format::Raw), conn.join(&room).unwrap()));
            async move {
                while conn.recv().await?.is_some() {}
                Ok(())
            }
        });
        let (me, stranger): (Session, Membership) = block_on(introduced).unwrap();
        let comer = thread::spawn({
            let room = room.clone();
            move || {
                let mut published = 0;
                let seats: Vec<_> = (0..3)
                    .filter_map(|number| {
                        let seat = me.join(&room, Join::default()).ok()?;
                        // Who only listens does not ask again by itself. Some leave while they are looked at.
                        if number != 1 {
                            return Some(seat);
                        }
                        published += u64::from(seat.publish("x").is_ok());
                        None
                    })
                    .collect();
                (me, seats, published)
            }
        });
        gate.0.grow();
        block_on(hub.review());
        let last = room.last_id();
        assert_eq!(room.member_count(), 0);
        let (me, seats, published) = comer.join().unwrap();
        assert_eq!((room.member_count(), room.last_id(), published), (0, last, last.seq));
        assert!(seats.iter().all(Membership::is_removed) && stranger.is_removed());
        drop((me, seats, stranger, heard));
        assert_eq!(room.member_count(), 0);
        finish(&mut says);
        block_on(task).unwrap();
    });
}
