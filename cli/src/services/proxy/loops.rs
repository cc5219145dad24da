//! Finds connections that lead back to the proxy that made them: each would make another one, until there are no more to be had.
//!
//! A connection of this program's to this machine is known by its own end, which is whom the listener sees at the other.

use parking_lot::Mutex;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use switchboard::{Codec, Connection};

/// Through which proxies a connection has come, each by a number of its own.
type Way = Arc<[usize]>;

/// Connections to this machine itself, of all proxies of the process.
#[derive(Debug, Default)]
pub(crate) struct Loops(Mutex<HashMap<SocketAddr, Way>>);

/// One of them, for as long as it lasts.
pub(super) struct OwnEnd {
    loops: Arc<Loops>,
    end: SocketAddr,
}

impl Loops {
    /// Whether a connection has come through a proxy already.
    pub(super) fn leads_back<C: Codec>(&self, conn: &Connection<C>, proxy: usize) -> bool {
        self.way(conn).is_some_and(|way| way.contains(&proxy))
    }

    /// A proxy passes one connection on to another one. Nothing to remember, unless that is to this machine.
    pub(super) fn enter<C: Codec>(
        self: &Arc<Self>,
        conn: &Connection<C>,
        upstream: &Connection<C>,
        proxy: usize,
    ) -> Option<Box<OwnEnd>> {
        let there = upstream.peer().ip()?;
        let end = upstream.local_addr().filter(|end| end.ip() == there.ip())?;
        let before = self.way(conn);
        let way = before.iter().flat_map(|way| way.iter().copied()).chain([proxy]).collect();
        self.0.lock().insert(end, way);
        Some(Box::new(OwnEnd { loops: Arc::clone(self), end }))
    }

    fn way<C: Codec>(&self, conn: &Connection<C>) -> Option<Way> {
        // Where nothing goes to this machine there is nothing to look for, and whose it is need not be asked.
        if self.0.lock().is_empty() {
            return None;
        }
        // With a PROXY header the peer is somebody else.
        let end = conn.info().via.or_else(|| conn.peer().ip())?;
        self.0.lock().get(&end).cloned()
    }
}

impl Drop for OwnEnd {
    fn drop(&mut self) {
        self.loops.0.lock().remove(&self.end);
    }
}
