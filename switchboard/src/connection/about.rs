//! A connection's information about itself, and tasks spawned beside it.

use super::{Connection, RecvHalf, Sender};
use crate::link::{Link, Spawned};
use crate::node::{ConnectionInfo, info};
use std::future::Future;
use std::net::SocketAddr;
use switchboard_proto::Codec;

impl<C: Codec> Connection<C> {
    /// Where it came from, how old it is, and its traffic so far.
    pub fn info(&self) -> ConnectionInfo {
        info(&self.0.link)
    }

    /// The local address that the peer connected to; `None` for Unix sockets and memory, and once the connection is
    /// closed.
    ///
    /// Each call asks the kernel. For a datagram peer it is the listener's address, or the one of several that the peer
    /// sends to.
    pub fn local_addr(&self) -> Option<SocketAddr> {
        self.0.link.local_addr()
    }

    /// Limits frames received from now on to this many bytes, rounded up to whole KiB: for a peer that has not authenticated yet, for
    /// example. [`Limits::frame_bytes`](crate::Limits::frame_bytes) still applies; `usize::MAX` leaves it as the only limit.
    pub fn limit_frames(&mut self, bytes: usize) {
        self.0.frame_kib = u16::try_from(bytes.div_ceil(1 << 10).max(1)).unwrap_or_default();
    }

    /// Spawns a task on the connection's worker. The server (or client) owns it, so it may outlive the connection. A
    /// drain waits for it, at most for the grace period, and then aborts it. A panic in it is logged, and ends nothing
    /// else, not even this connection.
    ///
    /// A client's task ends once the [`Client`](crate::Client) and all of its connections are gone.
    ///
    /// # Examples
    /// ```
    /// # use switchboard::prelude::*;
    /// # use std::time::Duration;
    /// async fn clock(mut conn: Connection<Lines>) -> Result {
    ///     let sender = conn.sender();
    ///     conn.spawn(async move {
    ///         // Until the connection is closed.
    ///         while sender.send("tick").await.is_ok() {
    ///             tokio::time::sleep(Duration::from_secs(1)).await;
    ///         }
    ///     });
    ///     while conn.recv().await?.is_some() {}
    ///     Ok(())
    /// }
    /// ```
    pub fn spawn<F>(&self, task: F) -> Spawned<F::Output>
    where
        F: Future<Output: Send> + Send + 'static,
    {
        spawn(&self.0.link, task)
    }
}

impl<C: Codec> RecvHalf<C> {
    /// As [`Connection::info`].
    pub fn info(&self) -> ConnectionInfo {
        self.inner().info()
    }

    /// As [`Connection::local_addr`].
    pub fn local_addr(&self) -> Option<SocketAddr> {
        self.inner().local_addr()
    }

    /// As [`Connection::spawn`].
    pub fn spawn<F>(&self, task: F) -> Spawned<F::Output>
    where
        F: Future<Output: Send> + Send + 'static,
    {
        self.inner().spawn(task)
    }
}

impl<C: Codec> Sender<C> {
    /// As [`Connection::info`]; once the connection is closed, its final state.
    pub fn info(&self) -> ConnectionInfo {
        info(self.link())
    }

    /// As [`Connection::local_addr`].
    pub fn local_addr(&self) -> Option<SocketAddr> {
        self.link().local_addr()
    }

    /// As [`Connection::spawn`].
    pub fn spawn<F>(&self, task: F) -> Spawned<F::Output>
    where
        F: Future<Output: Send> + Send + 'static,
    {
        spawn(self.link(), task)
    }
}

fn spawn<F>(link: &Link, task: F) -> Spawned<F::Output>
where
    F: Future<Output: Send> + Send + 'static,
{
    link.tick.tasks.spawn(&link.tick.runtime, Some(link.id), task)
}
