//! What rights cost whoever publishes, delivers and joins: `rights publish|deliver|join open|GLOBS TIMES` (docs/performance.md);
//! and, `open`, what a publication, a delivery and an echo cost beside another commit.
//!
//! Tells how long each took; to be run under callgrind, too, where two runs with different numbers of times, subtracted, are what the times
//! took. `open` is without a policy; otherwise everybody has so many grants, and the policy a generation as the program's has.

#![expect(clippy::print_stdout, reason = "it tells what it has measured")]

use futures_util::future::{join, join_all};
use std::sync::Arc;
use switchboard::policy::{
    Authenticating, Claimant, Credentials, Policy, PolicyGeneration, Principal, Refusal, Rights,
};
use switchboard::prelude::*;
use switchboard::testing::Peer;
use switchboard::{BoxError, Format, Grants, HubLimits, Join, Memory, RoomName, UserName};
use tokio::time::Instant;

const PAYLOAD: &[u8] = &[b'x'; 64];

/// Publications until the worker delivers them, or joins until it notices them.
const AT_ONCE: usize = 16;

/// Who gets what is published, if that is delivered.
const MEMBERS: usize = 100;

struct Granted(PolicyGeneration);

impl Policy for Granted {
    fn authenticate(&self, _: Credentials, _: Claimant) -> Authenticating<'_> {
        Box::pin(async { Err(Refusal::Wrong) })
    }

    fn rights(&self, who: &Principal, room: &RoomName) -> Rights {
        who.grants().rights(room, who.name())
    }

    fn generation(&self) -> PolicyGeneration {
        self.0.clone()
    }
}

fn principal(globs: usize) -> Result<Principal> {
    let mut grants = Grants::new();
    for number in 1..globs {
        grants.grant(format!("ops.{number}.*.log.{{name}}.**").parse()?, Rights::ALL);
    }
    grants.grant("lobby.**".parse()?, Rights::ALL);
    Ok(Principal::named(UserName::parse("alice")?).granting(grants, Vec::new()))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Act {
    Publish,
    /// The same, to others.
    Deliver,
    /// And leaving, which asks nobody.
    Join,
    /// No room takes part.
    Echo,
}

#[derive(Clone)]
struct Course {
    hub: Hub,
    act: Act,
    globs: Option<usize>,
    times: usize,
}

impl Course {
    async fn serve(self, mut conn: Connection<Lines>) -> Result {
        if self.act == Act::Echo {
            while let Some(line) = conn.recv().await? {
                conn.send(line).await?;
            }
            return Ok(());
        }
        let me = self.hub.enter(&conn, Format::Text);
        // The same names either way.
        let owner = UserName::parse("alice")?;
        match self.globs {
            Some(globs) => _ = me.authorize(Arc::new(principal(globs)?)),
            None if me.rename(owner.clone()).is_ok() => {}
            None => {
                let all = (2..=MEMBERS + 1).filter_map(|number| format!("alice.{number}").parse().ok());
                _ = all.map(|name| me.rename(name)).find(std::result::Result::is_ok);
            }
        }
        let room = me.room(&RoomName::parse("lobby.main")?)?;
        let seat = me.join(&room, Join::default())?;
        if conn.recv().await?.is_some_and(|line| &*line == b"listen") {
            while conn.recv().await?.is_some() {}
            return Ok(());
        }
        let began = Instant::now();
        for time in 0..self.times {
            match self.act {
                Act::Publish | Act::Deliver => _ = seat.publish(PAYLOAD)?,
                Act::Join => drop(me.join(&room, Join::default())?),
                Act::Echo => break,
            }
            if time % AT_ONCE == 0 {
                tokio::task::yield_now().await;
            }
        }
        println!("{:.3} us each", began.elapsed().as_secs_f64() * 1e6 / self.times as f64);
        Ok(())
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result {
    let usage = || BoxError::from("usage: rights publish|deliver|join|echo open|GLOBS TIMES");
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let [act, globs, times] = &arguments[..] else { return Err(usage()) };
    let act = match &**act {
        "publish" => Act::Publish,
        "deliver" => Act::Deliver,
        "join" => Act::Join,
        "echo" => Act::Echo,
        _ => return Err(usage()),
    };
    let globs = if globs == "open" { None } else { Some(globs.parse()?) };
    let policy = || Hub::with_policy(HubLimits::default(), Arc::new(Granted(PolicyGeneration::default())));
    let hub = if globs.is_none() { Hub::new() } else { policy() };
    let times = times.parse()?;
    let course = Course { hub, act, globs, times };
    let memory = Memory::new();
    let server = Server::new().workers(0).memory(&memory, move |conn| course.clone().serve(conn));
    let bound = server.bind().await?;
    let members = if act == Act::Deliver { MEMBERS } else { 0 };
    let mut listening: Vec<_> = (0..members).map(|_| Peer::connect(&memory)).collect();
    let mut peer = Peer::connect(&memory);
    let listen = join_all(listening.iter_mut().map(async |other| {
        other.send("listen\n").await;
        other.rest().await.map(|rest| rest.len())
    }));
    let publish = async {
        if act == Act::Echo {
            for _ in 0..times / AT_ONCE {
                peer.send([PAYLOAD, b"\n"].concat().repeat(AT_ONCE)).await;
                peer.bytes(AT_ONCE * (PAYLOAD.len() + 1)).await;
            }
            return;
        }
        peer.send("go\n").await;
        _ = peer.rest().await;
    };
    let (_, heard) = join(bound.serve_until(publish), listen).await;
    if let Some(least) = heard.into_iter().map(std::io::Result::unwrap_or_default).min() {
        println!("{least} bytes each");
    }
    Ok(())
}
