//! Finds connections that lead back to the proxy that made them: each would make another one, until there are no more to be had.
//!
//! A connection of this program's to this machine is known by both its ends, of which the listener sees the other way round. One end is not
//! enough: the kernel gives one port to connections to different servers.

use parking_lot::Mutex;
use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::iter::successors;
use std::net::SocketAddr;
use std::sync::Arc;
use switchboard::{Codec, Connection};

/// Through which proxies a connection has come, each by a number of its own: the last one, and how it came there.
#[derive(Debug)]
struct Way {
    proxy: usize,
    before: Option<Arc<Way>>,
}

/// The end of who has connected, and that of who was connected to.
type Ends = (SocketAddr, SocketAddr);

/// Connections to this machine itself, of all proxies of the process, by hashes of their ends: those of idle pairs would take 250 bytes each.
/// The hasher's key is secret, so that nobody can have two with one hash.
#[derive(Debug, Default)]
pub(crate) struct Loops {
    ways: Mutex<HashMap<u64, Arc<Way>>>,
    /// How what has come through one proxy alone has come, which most have.
    first: Mutex<HashMap<usize, Arc<Way>>>,
    hasher: RandomState,
}

/// The hash of a connection's ends: to have it takes a system call.
pub(super) struct EndsHash(u64);

/// One of them, for as long as it lasts.
pub(super) struct OwnEnd {
    loops: Arc<Loops>,
    hash: u64,
}

impl Loops {
    /// Whether a connection has come through a proxy already. `came` is for what is asked of it, which is done once.
    pub(super) fn leads_back<C: Codec>(&self, conn: &Connection<C>, came: &mut Option<EndsHash>, proxy: usize) -> bool {
        self.way(conn, came).is_some_and(|way| way.leads_through(proxy))
    }

    /// A proxy passes one connection on to another one. Nothing to remember, unless that is to this machine.
    pub(super) fn enter<C: Codec>(
        self: &Arc<Self>,
        (conn, came): (&Connection<C>, &mut Option<EndsHash>),
        upstream: &Connection<C>,
        proxy: usize,
    ) -> Option<OwnEnd> {
        let there = upstream.peer().ip()?;
        let ends = ends(upstream.local_addr()?, there);
        // The kernel's own end of what goes to 127.0.0.2 is 127.0.0.1.
        if ends.0.ip() != ends.1.ip() && !ends.1.ip().is_loopback() {
            return None;
        }
        let way = match self.way(conn, came) {
            Some(before) => Arc::new(Way { proxy, before: Some(before) }),
            None => self.only_through(proxy),
        };
        let hash = self.hasher.hash_one(ends);
        self.ways.lock().insert(hash, way);
        Some(OwnEnd { loops: Arc::clone(self), hash })
    }

    fn only_through(&self, proxy: usize) -> Arc<Way> {
        Arc::clone(self.first.lock().entry(proxy).or_insert_with(|| Arc::new(Way { proxy, before: None })))
    }

    fn way<C: Codec>(&self, conn: &Connection<C>, came: &mut Option<EndsHash>) -> Option<Arc<Way>> {
        // Where nothing goes to this machine there is nothing to look for, and whose it is need not be asked.
        if self.ways.lock().is_empty() {
            return None;
        }
        if came.is_none() {
            // With a PROXY header the peer is somebody else.
            let end = conn.info().via.or_else(|| conn.peer().ip())?;
            *came = Some(EndsHash(self.hasher.hash_one(ends(end, conn.local_addr()?))));
        }
        came.as_ref().and_then(|EndsHash(hash)| self.ways.lock().get(hash).map(Arc::clone))
    }
}

impl Way {
    fn leads_through(&self, proxy: usize) -> bool {
        successors(Some(self), |way| way.before.as_deref()).any(|way| way.proxy == proxy)
    }
}

/// An address of IPv4 is the same on a socket for both families.
fn ends(from: SocketAddr, to: SocketAddr) -> Ends {
    let plain = |end: SocketAddr| SocketAddr::new(end.ip().to_canonical(), end.port());
    (plain(from), plain(to))
}

impl Drop for OwnEnd {
    fn drop(&mut self) {
        self.loops.ways.lock().remove(&self.hash);
    }
}
