//! Connections of proxies, from accepting them until they have said whose they are.
//!
//! Until then there is no link, and nothing but a task and its socket. They have places among the handshakes: whoever says nothing
//! gives way to those who come later.

use super::accept::Inside;
use crate::link::{ListenerSettings, PeerAddr};
use crate::node::{Counted, refuse};
use crate::transport::Stream;
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use switchboard_proto::{CloseReason, ProxyHeader};
use tokio::sync::{Notify, OwnedSemaphorePermit};
use tokio::time::{Instant, sleep};
use tracing::debug;

/// A proxy sends its header right behind the handshake of TCP; a packet may have to be sent three times.
const PATIENCE: Duration = Duration::from_secs(5);

/// Who is waited for, in the order in which they came.
#[derive(Debug, Default)]
pub(super) struct Awaited(Mutex<VecDeque<Arc<Notify>>>);

/// One of them, until it is dropped.
pub(super) struct Arrival {
    all: Arc<Awaited>,
    dismissed: Arc<Notify>,
}

impl Awaited {
    /// Somebody is waited for, from before its task first runs on: whoever comes next may find no other place.
    pub(super) fn enter(self: &Arc<Self>) -> Arrival {
        let dismissed = Arc::new(Notify::new());
        self.0.lock().push_back(Arc::clone(&dismissed));
        Arrival { all: Arc::clone(self), dismissed }
    }

    /// Waits no longer for whoever has been waited for longest.
    pub(super) fn dismiss_oldest(&self) {
        if let Some(oldest) = self.0.lock().pop_front() {
            oldest.notify_one();
        }
    }
}

impl Drop for Arrival {
    fn drop(&mut self) {
        let mut all = self.all.0.lock();
        // One of the first, as a rule: proxies do not make anybody wait.
        if let Some(place) = all.iter().position(|other| Arc::ptr_eq(other, &self.dismissed)) {
            all.remove(place);
        }
    }
}

/// Why a connection is not let in.
enum Unsaid {
    /// It left or broke before it had said anything, as one does that only looks whether somebody listens.
    Left,
    Refused(CloseReason),
}

/// Lets a connection in once its proxy has said whose it is.
pub(super) async fn arrive<S: Stream>(
    mut stream: S,
    proxy: PeerAddr,
    place: OwnedSemaphorePermit,
    (counted, settings, inside, arrival): (Counted, Arc<ListenerSettings>, Arc<Inside>, Arrival),
) {
    let accepted = Instant::now();
    let patience = settings.timeouts.handshake.map_or(PATIENCE, |handshake| handshake.min(PATIENCE));
    let client = tokio::select! {
        biased;
        // As with a handshake, nothing was heard yet.
        () = inside.serving.node.stop.drain.cancelled() => Err(Unsaid::Left),
        client = client(&mut stream) => client,
        () = arrival.dismissed.notified() => Err(Unsaid::Refused(CloseReason::TooManyHandshakes)),
        () = sleep(patience) => Err(Unsaid::Refused(CloseReason::BadProxyHeader)),
    };
    drop(arrival);
    match client {
        Ok(client) => inside.let_in(stream, place, (proxy, client, accepted), (counted, &settings)),
        Err(Unsaid::Refused(reason)) => refuse(&proxy, reason, &settings),
        Err(Unsaid::Left) => {
            debug!(listener = settings.name, peer.addr = %proxy, "connection lost before it said whose it is");
        }
    }
}

/// Reads the header, and nothing that comes behind it.
async fn client<S: Stream>(stream: &mut S) -> Result<Option<SocketAddr>, Unsaid> {
    // Most wait without having said anything, and hold no memory for it.
    let mut header = Vec::new();
    loop {
        let mut parsed = Ok(None);
        let mut take = |bytes: &[u8]| {
            let length = header.len();
            let fitting = bytes.len().min(ProxyHeader::BYTES - length);
            header.extend_from_slice(&bytes[..fitting]);
            parsed = ProxyHeader::parse(&header);
            let taken = parsed.map_or(0, |header| header.map_or(fitting, |header| header.length - length));
            header.truncate(length + taken);
            taken
        };
        let shown: io::Result<usize> = poll_fn(|cx| stream.poll_take(cx, &mut take)).await;
        match (shown, parsed) {
            (Ok(1..), Ok(None)) => {}
            (Ok(1..), Ok(Some(header))) => return Ok(header.client),
            (Ok(0) | Err(_), _) if header.is_empty() => return Err(Unsaid::Left),
            _ => return Err(Unsaid::Refused(CloseReason::BadProxyHeader)),
        }
    }
}
