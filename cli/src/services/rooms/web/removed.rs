//! What becomes of streams and WebSockets whose right to be in their room is taken away, in memory.

use super::guarded::{say, socket_of};
use super::served::{client_with, frame, paragraph};
use super::*;
use switchboard::policy::{Authenticating, Claimant, Credentials, Policy, PolicyGeneration, Refusal};
use switchboard::testing::Peer;
use switchboard::{Hub, HubLimits, Rights};

/// In generation 0 everybody may do everything, and nothing later.
#[derive(Default)]
struct Changing(PolicyGeneration);

impl Policy for Changing {
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

#[tokio::test(start_paused = true)]
async fn what_is_for_one_room_alone_ends_behind_its_removal() {
    let policy = Arc::new(Changing::default());
    let hub = Hub::with_policy(HubLimits::default(), Arc::clone(&policy) as Arc<dyn Policy>);
    let client = || client_with(hub.clone(), Access::default());
    let mut streams = Vec::new();
    for path in ["/rooms/ops/events", "/rooms/ops/messages?follow=1"] {
        let mut peer = client();
        peer.send(format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nx-nothing: shown\r\n\r\n")).await;
        assert!(paragraph(&mut peer).await.starts_with("HTTP/1.1 200 "), "{path}");
        streams.push(peer);
    }
    let (_, mut of_room) = socket_of(client(), "/rooms/ops/ws", "x-nothing: shown").await;
    let (_, mut of_any) = socket_of(client(), "/ws?room=ops", "x-nothing: shown").await;
    frame(&mut of_room).await;
    frame(&mut of_any).await;
    tokio::time::sleep(std::time::Duration::from_secs(3)).await;
    policy.0.grow();
    hub.review().await;
    let removed = "{\"event\":\"removed\",\"room\":\"ops\",\"reason\":\"not-allowed\"}";
    for mut peer in streams {
        // Less than it takes to be told that the stream lives.
        let rest = tokio::time::timeout(std::time::Duration::from_secs(1), peer.rest()).await;
        let rest = String::from_utf8(rest.expect("it ends at once").expect("in order")).unwrap();
        assert!(rest.contains(removed) && rest.ends_with("\r\n0\r\n\r\n"), "{rest}");
    }
    let told = async |peer: &mut Peer| loop {
        let told = frame(peer).await;
        if told.1 == removed.as_bytes() {
            return;
        }
        assert!(told.1.starts_with(b"{"), "{told:?}");
    };
    told(&mut of_room).await;
    assert_eq!(frame(&mut of_room).await.1, b"{\"event\":\"closed\",\"reason\":\"closed\"}");
    assert_eq!(frame(&mut of_room).await, (0x88, [&1008_u16.to_be_bytes()[..], b"closed"].concat()));
    told(&mut of_any).await;
    say(&mut of_any, "/ping").await;
    assert_eq!(frame(&mut of_any).await.1, b"{\"event\":\"pong\"}", "which can go elsewhere");
}
