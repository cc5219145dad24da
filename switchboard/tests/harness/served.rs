//! A server that runs until the test is over: on the kernel's sockets, or in memory.

use super::patience::{patiently, until};
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::pin::pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll, Waker};
use switchboard::prelude::*;
use switchboard::testing::Peer;
use switchboard::{Bound, Handle, Memory};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::task::JoinHandle;

/// Each test runs on one worker, on four, and on the runtime of the test.
macro_rules! with_1_and_4_workers {
    ($($name:ident => $test:ident;)*) => {$(
        mod $name {
            #[tokio::test]
            async fn with_1_worker() {
                super::$test(1).await;
            }

            #[tokio::test]
            async fn with_4_workers() {
                super::$test(4).await;
            }

            #[tokio::test]
            async fn on_the_callers_runtime() {
                super::$test(0).await;
            }
        }
    )*};
}
pub(crate) use with_1_and_4_workers;

pub(crate) async fn echo(mut conn: Connection<Lines>) -> Result {
    while let Some(line) = conn.recv().await? {
        conn.send(line).await?;
    }
    Ok(())
}

pub(crate) struct Served {
    pub(crate) urls: Vec<String>,
    /// Where it listens in memory, if it does.
    pub(crate) memory: Memory,
    pub(crate) handle: Handle,
    pub(crate) drained: JoinHandle<Drained>,
}

impl Served {
    pub(crate) async fn start(server: Server) -> Self {
        Self::serve(server.bind().await.unwrap(), Memory::new())
    }

    /// On the test's runtime, listening in `memory`.
    pub(crate) async fn over(memory: &Memory, server: Server) -> Self {
        Self::serve(server.workers(0).bind().await.unwrap(), memory.clone())
    }

    /// As [`over`](Self::over), and at once.
    pub(crate) fn in_memory(server: Server, listen: impl FnOnce(Server, Memory) -> Server) -> Self {
        let memory = Memory::new();
        let starting = pin!(Self::over(&memory, listen(server, memory.clone())));
        let Poll::Ready(served) = starting.poll(&mut Context::from_waker(Waker::noop())) else {
            panic!("memory is bound at once")
        };
        served
    }

    fn serve(bound: Bound, memory: Memory) -> Self {
        let (urls, handle) = (bound.urls(), bound.handle());
        Self { urls, memory, handle, drained: tokio::spawn(bound.serve_until(std::future::pending())) }
    }

    /// Of the first listener.
    pub(crate) fn address(&self) -> SocketAddr {
        address(&self.urls[0])
    }

    /// In memory.
    pub(crate) fn connect(&self) -> Peer {
        Peer::connect(&self.memory)
    }

    /// Waits for a condition that comes true by work in other threads.
    #[track_caller]
    pub(crate) fn until(&self, condition: impl Fn(&Handle) -> bool) -> impl Future<Output = ()> {
        until(move || condition(&self.handle))
    }

    /// Waits until `count` connections are left.
    #[track_caller]
    pub(crate) fn left(&self, count: usize) -> impl Future<Output = ()> {
        self.until(move |handle| handle.connections().len() == count)
    }

    /// Waits until the only connection has ended, and says for which reason.
    pub(crate) async fn closed(&self, reason: CloseReason) {
        self.until(|handle| handle.metrics().closed(reason) == 1).await;
    }

    pub(crate) async fn stop(self) -> Drained {
        self.handle.drain();
        patiently(self.drained).await.unwrap()
    }
}

pub(crate) fn address(url: &str) -> SocketAddr {
    url.split_once("://").unwrap().1.parse().unwrap()
}

/// An address of this machine where nobody listens, over TCP or UDP. Its port is below those that the kernel gives out, so that nobody else gets it
/// meanwhile.
pub(crate) fn nowhere() -> SocketAddr {
    static ASKED: AtomicU32 = AtomicU32::new(0);
    let mut addresses = (0..12_000).map(|_| {
        let number = std::process::id().wrapping_mul(16).wrapping_add(ASKED.fetch_add(1, Ordering::Relaxed));
        SocketAddr::from(([127, 0, 0, 1], 20_000 + (number % 12_000) as u16))
    });
    let is_free = |address: &SocketAddr| TcpListener::bind(address).is_ok() && UdpSocket::bind(address).is_ok();
    addresses.find(is_free).expect("a free port")
}

/// Reads until what came ends as it should.
pub(crate) async fn read_until(stream: &mut (impl AsyncRead + Unpin), end: &[u8]) -> String {
    let mut received = Vec::new();
    patiently(async {
        while !received.ends_with(end) {
            received.push(stream.read_u8().await.unwrap());
        }
    })
    .await;
    String::from_utf8_lossy(&received).into_owned()
}

pub(crate) async fn line(stream: &mut (impl AsyncRead + Unpin)) -> String {
    read_until(stream, b"\n").await
}
