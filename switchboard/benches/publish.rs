//! What rights cost a member that publishes: `publish open|policy MESSAGES`, to be run under callgrind (docs/performance.md).
//!
//! Measures nothing by itself: two runs with different numbers of messages, subtracted, are what the messages took. `policy` has one that
//! gives ten grants, and a generation as the program's has.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use switchboard::policy::{Authenticating, Claimant, Credentials, Policy, Principal, Refusal, Rights};
use switchboard::prelude::*;
use switchboard::testing::Peer;
use switchboard::{BoxError, Format, Grants, HubLimits, Join, Memory, RoomName, UserName};

const PAYLOAD: &[u8] = &[b'x'; 64];

/// Publications until the worker delivers them.
const AT_ONCE: usize = 16;

struct TenGrants(AtomicU64);

impl Policy for TenGrants {
    fn authenticate(&self, _: Credentials, _: Claimant) -> Authenticating<'_> {
        Box::pin(async { Err(Refusal::Wrong) })
    }

    fn rights(&self, who: &Principal, room: &RoomName) -> Rights {
        who.grants().rights(room, who.name())
    }

    fn generation(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

fn principal() -> Result<Principal> {
    let mut grants = Grants::new();
    for number in 0..9 {
        grants.grant(format!("ops.{number}.*").parse()?, Rights::ALL);
    }
    grants.grant("lobby".parse()?, Rights::ALL);
    Ok(Principal::named(UserName::parse("alice")?).granting(grants, Vec::new()))
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let (is_open, messages) = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["open", messages] => (true, messages.parse()?),
        ["policy", messages] => (false, messages.parse()?),
        _ => return Err(BoxError::from("usage: publish open|policy MESSAGES")),
    };
    let policy = || Hub::with_policy(HubLimits::default(), Arc::new(TenGrants(AtomicU64::new(1))));
    let hub = if is_open { Hub::new() } else { policy() };
    let memory = Memory::new();
    let server = Server::new().workers(0).memory(&memory, move |conn: Connection<Lines>| {
        let hub = hub.clone();
        async move { publish(&hub, &conn, is_open, messages).await }
    });
    let bound = server.bind().await?;
    let mut peer = Peer::connect(&memory);
    bound.serve_until(async { _ = peer.rest().await }).await;
    Ok(())
}

async fn publish(hub: &Hub, conn: &Connection<Lines>, is_open: bool, messages: usize) -> Result {
    let me = hub.enter(conn, Format::Text);
    if is_open {
        me.rename(UserName::parse("alice")?)?;
    } else {
        me.authorize(Arc::new(principal()?));
    }
    let room = me.room(&RoomName::parse("lobby")?)?;
    let seat = me.join(&room, Join::default())?;
    for message in 0..messages {
        seat.publish(PAYLOAD)?;
        if message % AT_ONCE == 0 {
            tokio::task::yield_now().await;
        }
    }
    Ok(())
}
