//! A server on the kernel's sockets.

use super::patience::{patiently, until};
use std::net::SocketAddr;
use switchboard::Handle;
use switchboard::prelude::*;
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
    /// Of the first listener.
    pub(crate) address: SocketAddr,
    pub(crate) handle: Handle,
    pub(crate) drained: JoinHandle<Drained>,
}

impl Served {
    pub(crate) async fn start(server: Server) -> Self {
        let bound = server.bind().await.unwrap();
        let (urls, handle) = (bound.urls(), bound.handle());
        let address = address(&urls[0]);
        Self { urls, address, handle, drained: tokio::spawn(bound.serve_until(std::future::pending())) }
    }

    /// Waits for a condition that comes true by work in other threads.
    #[track_caller]
    pub(crate) fn until(&self, condition: impl Fn(&Handle) -> bool) -> impl Future<Output = ()> {
        until(move || condition(&self.handle))
    }

    /// Waits until the only connection has ended, and says for which reason.
    pub(crate) async fn closed(&self, reason: CloseReason) {
        self.until(|handle| handle.metrics().closed(reason) == 1).await;
    }

    pub(crate) async fn stop(self) -> Drained {
        self.handle.drain();
        self.drained.await.unwrap()
    }
}

pub(crate) fn address(url: &str) -> SocketAddr {
    url.split_once("://").unwrap().1.parse().unwrap()
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
