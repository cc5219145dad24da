//! Finds connections that lead back to the proxy that made them: each would make another one, until there are no more to be had.
//!
//! A connection of this program's to this machine is known by both its ends, of which the listener sees the other way round. One end is not
//! enough: the kernel gives one port to connections to different servers.

use parking_lot::Mutex;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use switchboard::{Codec, Connection};

/// Through which proxies a connection has come, each by a number of its own.
type Way = Arc<[usize]>;

/// The end of who has connected, and that of who was connected to.
type Ends = (SocketAddr, SocketAddr);

/// Connections to this machine itself, of all proxies of the process.
#[derive(Debug, Default)]
pub(crate) struct Loops(Mutex<HashMap<Ends, Way>>);

/// One of them, for as long as it lasts.
pub(super) struct OwnEnd {
    loops: Arc<Loops>,
    ends: Ends,
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
        let ends = ends(upstream.local_addr()?, there);
        // The kernel's own end of what goes to 127.0.0.2 is 127.0.0.1.
        if ends.0.ip() != ends.1.ip() && !ends.1.ip().is_loopback() {
            return None;
        }
        let before = self.way(conn);
        let way = before.iter().flat_map(|way| way.iter().copied()).chain([proxy]).collect();
        self.0.lock().insert(ends, way);
        Some(Box::new(OwnEnd { loops: Arc::clone(self), ends }))
    }

    fn way<C: Codec>(&self, conn: &Connection<C>) -> Option<Way> {
        // Where nothing goes to this machine there is nothing to look for, and whose it is need not be asked.
        if self.0.lock().is_empty() {
            return None;
        }
        // With a PROXY header the peer is somebody else.
        let end = conn.info().via.or_else(|| conn.peer().ip())?;
        let ends = ends(end, conn.local_addr()?);
        self.0.lock().get(&ends).cloned()
    }
}

/// An address of IPv4 is the same on a socket for both families.
fn ends(from: SocketAddr, to: SocketAddr) -> Ends {
    let plain = |end: SocketAddr| SocketAddr::new(end.ip().to_canonical(), end.port());
    (plain(from), plain(to))
}

impl Drop for OwnEnd {
    fn drop(&mut self) {
        self.loops.0.lock().remove(&self.ends);
    }
}
