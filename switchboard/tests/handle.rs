//! A server as whoever watches and stops it sees it: before it is bound, while it serves, and after its end.

use crate::harness::patience::patiently;
use crate::harness::served::{address, echo, line};
use std::time::Duration;
use switchboard::prelude::*;
use switchboard::{Handle, Memory, testing};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

fn has_nothing(handle: &Handle) -> bool {
    let connections = handle.connections();
    handle.urls().is_empty() && connections.is_empty() && connections.list(None, 10).is_empty()
}

#[tokio::test]
async fn connections_and_addresses_are_there_while_the_server_serves() {
    for workers in [0, 2] {
        let server = Server::new();
        let handle = server.handle();
        assert!(has_nothing(&handle) && handle.metrics().accepted.get() == 0);
        assert!(!handle.connections().close(1.into()));
        let bound = server.workers(workers).tcp("127.0.0.1:0", echo).memory(&Memory::new(), echo).bind().await.unwrap();
        let urls = bound.urls();
        assert_eq!(handle.urls(), urls);
        assert!(handle.connections().is_empty());

        let drained = tokio::spawn(bound.serve_until(std::future::pending()));
        let mut stream = TcpStream::connect(address(&urls[0])).await.unwrap();
        stream.write_all(b"hi\n").await.unwrap();
        assert_eq!(line(&mut stream).await, "hi\n");
        assert_eq!((handle.connections().len(), handle.urls().len()), (1, 2));
        assert_eq!(handle.connections().list(None, 10)[0].listener, urls[0]);

        handle.drain();
        drop(stream);
        patiently(drained).await.unwrap();
        assert!(has_nothing(&handle));
        assert_eq!(handle.metrics().accepted.get(), 1);
    }
}

#[tokio::test]
async fn a_server_that_is_dropped_has_nothing_either() {
    let server = Server::new().workers(1).tcp("127.0.0.1:0", echo);
    let handle = server.handle();
    let bound = server.bind().await.unwrap();
    assert_eq!(handle.urls().len(), 1);
    drop(bound);
    assert!(has_nothing(&handle));
    let server = Server::new();
    let handle = server.handle();
    drop(server);
    handle.abort();
    assert!(has_nothing(&handle));
}

#[tokio::test(start_paused = true)]
async fn a_service_may_have_the_handle_of_its_own_server() {
    let (memory, server) = (Memory::new(), Server::new());
    let handle = server.handle();
    let operator = move |mut conn: Connection<Lines>| {
        let handle = handle.clone();
        async move {
            while let Some(command) = conn.recv().await? {
                match &command[..] {
                    b"count" => conn.send(handle.connections().len().to_string()).await?,
                    _ => handle.drain(),
                }
            }
            Ok::<_, switchboard::BoxError>(())
        }
    };
    let drained = tokio::spawn(server.workers(0).memory(&memory, operator).serve_until(std::future::pending()));
    let (mut one, _other) = (testing::Peer::connect(&memory), testing::Peer::connect(&memory));
    one.send("count\n").await;
    assert_eq!(one.line().await, "2\n");
    one.send("drain\n").await;
    assert_eq!(drained.await.unwrap().unwrap().finished, 2);
}

#[tokio::test(start_paused = true)]
async fn what_is_set_after_the_handle_was_taken_counts() {
    let (memory, server) = (Memory::new(), Server::new());
    let handle = server.handle();
    let server = server
        .limits(Limits { connections: 1, ..Limits::default() })
        .timeouts(Timeouts { idle: Some(Duration::from_secs(5)), ..Timeouts::default() })
        .workers(0)
        .memory(&memory, echo);
    let drained = tokio::spawn(server.serve_until(std::future::pending()));
    let (mut one, other) = (testing::Peer::connect(&memory), testing::Peer::connect(&memory));
    assert_eq!(one.closed().await, CloseReason::Idle);
    assert_eq!((handle.metrics().refused.get(), handle.metrics().closed(CloseReason::TooManyConnections)), (1, 1));
    drop(other);
    handle.drain();
    drained.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_server_that_was_stopped_before_it_serves_ends_when_it_does() {
    for stop in [Handle::drain, Handle::abort] {
        let server = Server::new().workers(0).memory(&Memory::new(), echo);
        stop(&server.handle());
        let drained = server.serve_until(std::future::pending()).await.unwrap();
        assert_eq!((drained.finished, drained.aborted), (0, 0));
    }
}

#[test]
fn connections_end_with_the_runtime_that_they_are_on_and_are_counted() {
    let (memory, server) = (Memory::new(), Server::new());
    let handle = server.handle();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let peers = runtime.block_on(async {
        let bound = server.workers(0).memory(&memory, echo).bind().await.unwrap();
        drop(tokio::spawn(bound.serve_until(std::future::pending())));
        let peers = [testing::Peer::connect(&memory), testing::Peer::connect(&memory)];
        patiently(async {
            while handle.connections().len() < peers.len() {
                tokio::task::yield_now().await;
            }
        })
        .await;
        peers
    });
    drop(runtime);
    assert!(has_nothing(&handle));
    assert_eq!(handle.metrics().closed(CloseReason::Aborted), peers.len() as u64);
}

#[test]
fn a_server_without_threads_is_where_it_serves_and_not_where_it_was_bound() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let server = Server::new().workers(0).tcp("127.0.0.1:0", echo);
    let bound = runtime().block_on(server.bind()).unwrap();
    let (place, handle) = (address(&bound.urls()[0]), bound.handle());
    let drained = runtime().block_on(async {
        let asked = async {
            let mut stream = TcpStream::connect(place).await.unwrap();
            stream.write_all(b"hi\n").await.unwrap();
            assert_eq!(line(&mut stream).await, "hi\n");
            drop(stream);
            handle.drain();
        };
        patiently(async { tokio::join!(bound.serve_until(std::future::pending()), asked).0 }).await
    });
    assert_eq!(drained.aborted, 0);
}
