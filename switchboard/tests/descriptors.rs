//! Out of descriptors, accepting waits. Alone in its process, whose limit it lowers.

use crate::harness::alone::in_a_process_of_its_own;
use crate::harness::served::{Served, echo};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use std::fs::File;
use switchboard::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpSocket;

#[test]
fn without_descriptors_accepting_waits_and_goes_on_when_there_are_some() {
    in_a_process_of_its_own(without_descriptors_accepting_waits_and_goes_on_when_there_are_some, async {
        setrlimit(Resource::RLIMIT_NOFILE, 256, 256).unwrap();
        let limits = Limits { connections: 100, ..Limits::default() };
        let served = Served::start(Server::new().workers(1).limits(limits).tcp("127.0.0.1:0", echo)).await;
        assert_eq!(getrlimit(Resource::RLIMIT_NOFILE).unwrap().0, 256);

        let socket = TcpSocket::new_v4().unwrap();
        let hog: Vec<File> = std::iter::from_fn(|| File::open("/dev/null").ok()).collect();
        let mut peer = socket.connect(served.address()).await.unwrap();
        peer.write_all(b"still served\n").await.unwrap();
        served.until(|handle| handle.metrics().accept_waits.get() >= 2).await;
        assert!(served.handle.metrics().accept_waits.get() < 100, "it does not spin");
        drop(hog);
        let mut answer = [0; 13];
        peer.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"still served\n");
        drop(peer);
        assert_eq!(served.stop().await.aborted, 0);
    });
}
