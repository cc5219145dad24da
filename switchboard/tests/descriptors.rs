//! Out of descriptors, accepting waits. Alone in its file, because it lowers the limit of its process.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::disallowed_methods,
    clippy::items_after_statements,
    reason = "tests"
)]

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use std::fs::File;
use std::net::SocketAddr;
use std::time::Duration;
use switchboard::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpSocket;

async fn echo(mut conn: Connection<Lines>) -> Result {
    while let Some(line) = conn.recv().await? {
        conn.send(line).await?;
    }
    Ok(())
}

#[tokio::test]
async fn without_descriptors_accepting_waits_and_goes_on_when_there_are_some() {
    setrlimit(Resource::RLIMIT_NOFILE, 256, 256).unwrap();
    let limits = Limits { connections: 100, ..Limits::default() };
    let bound = Server::new().workers(1).limits(limits).tcp("127.0.0.1:0", echo).bind().await.unwrap();
    assert_eq!(getrlimit(Resource::RLIMIT_NOFILE).unwrap().0, 256);
    let (handle, address) = (bound.handle(), bound.urls()[0].replace("tcp://", ""));
    let address: SocketAddr = address.parse().unwrap();
    let drained = tokio::spawn(bound.serve_until(std::future::pending()));

    let socket = TcpSocket::new_v4().unwrap();
    let hog: Vec<File> = std::iter::from_fn(|| File::open("/dev/null").ok()).collect();
    let mut peer = socket.connect(address).await.unwrap();
    peer.write_all(b"still served\n").await.unwrap();
    let waits = &handle.metrics().accept_waits;
    while waits.get() < 2 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert!(waits.get() < 100, "it does not spin");
    drop(hog);
    let mut answer = [0; 13];
    peer.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"still served\n");
    drop(peer);
    handle.drain();
    assert_eq!(drained.await.unwrap().aborted, 0);
}
