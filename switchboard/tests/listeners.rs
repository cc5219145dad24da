//! Listeners with a name, and limits, of their own.

use super::harness::served::{Served, echo};
use switchboard::prelude::*;
use switchboard::testing::Peer;
use switchboard::{Memory, Transport};

fn frames(frame_bytes: usize) -> Limits {
    Limits { frame_bytes, ..Limits::default() }
}

#[tokio::test(start_paused = true)]
async fn a_listener_goes_by_its_name_in_lists() {
    let (public, plain) = (Memory::new(), Memory::new());
    let server = Server::new().listen(public.clone().named("public"), echo).memory(&plain, echo);
    let served = Served::over(&public, server).await;
    let _peers = [Peer::connect(&public), Peer::connect(&plain)];
    served.left(2).await;
    let mut names: Vec<_> =
        served.handle.connections().list(None, 2).into_iter().map(|connection| connection.listener).collect();
    names.sort();
    assert_eq!(names, ["memory", "public"]);
    assert_eq!(served.urls, ["memory", "memory"]);
}

#[tokio::test(start_paused = true)]
async fn a_listener_has_limits_of_its_own_beside_those_of_its_server() {
    let (strict, usual) = (Memory::new(), Memory::new());
    let server = Server::new().limits(frames(100)).listen(strict.clone().limited(frames(4)), echo).memory(&usual, echo);
    let served = Served::over(&usual, server).await;
    let (mut short, mut long) = (Peer::connect(&strict), Peer::connect(&usual));
    short.send("12345\n").await;
    long.send("12345\n").await;
    assert_eq!(short.closed().await, CloseReason::FrameTooLong);
    assert_eq!(long.line().await, "12345\n");
    drop(served);
}

#[tokio::test(start_paused = true)]
async fn a_listener_of_http_keeps_name_and_limits() {
    let limits = Limits { connections: 1, ..Limits::default() };
    let whose = async |request: switchboard::http::Request| http::Response::new(request.uri().to_string());
    let served = Served::in_memory(Server::new(), |server, memory| {
        server.listen_http(memory.limited(limits).named("web"), whose)
    });
    let _first = served.connect();
    served.left(1).await;
    assert_eq!(served.handle.connections().list(None, 1)[0].listener, "web");
    assert!(served.connect().rest().await.is_ok_and(|said| said.is_empty()));
    served.closed(CloseReason::TooManyConnections).await;
}

#[tokio::test]
async fn what_is_wrong_with_limits_of_a_listener_is_said_with_its_address() {
    let server = Server::new().listen(Memory::new().limited(frames(0)), echo);
    let error = server.workers(0).bind().await.unwrap_err();
    assert_eq!(error.faults, ["memory: limit frame_bytes is zero"]);
}
