//! Which addresses the names of upstreams have: looked up now and again, beside the connections, so that none waits for it.
//!
//! The last good answer stays while there is no other.

use super::pool::Pool;
use super::until_drained;
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use switchboard::Handle;
use tokio::net::lookup_host;
use tokio::time::sleep;
use tracing::{debug, info};

/// Between two look-ups of a name that has been found, and of one that has not. Resolvers tell nobody how long an answer holds.
const AGAIN: Duration = Duration::from_secs(30);
const AGAIN_UNFOUND: Duration = Duration::from_secs(5);

/// The addresses of `HOST:PORT`.
pub(super) async fn look_up(address: &str) -> io::Result<Vec<SocketAddr>> {
    let found: Vec<_> = lookup_host(address).await?.collect();
    if found.is_empty() {
        return Err(io::Error::new(io::ErrorKind::NotFound, "no address for this name"));
    }
    Ok(found)
}

/// Looks up each name of upstreams until the server drains.
pub(super) fn keep_looking(pool: &Arc<Pool>, handle: &Handle) {
    let names =
        pool.upstreams().iter().enumerate().filter_map(|(at, upstream)| Some((at, upstream.name()?.to_owned())));
    for (at, name) in names {
        let pool = Arc::clone(pool);
        until_drained(handle, async move { look(&pool, at, &name).await });
    }
}

async fn look(pool: &Pool, at: usize, name: &str) -> Infallible {
    let upstream = &pool.upstreams()[at];
    loop {
        match look_up(name).await {
            Ok(found) => {
                if upstream.is_found_at(found.clone()) {
                    info!(%upstream, addresses = ?found, "upstream has other addresses");
                }
            }
            Err(error) => debug!(%upstream, %error, "upstream was not looked up"),
        }
        sleep(if upstream.found().is_empty() { AGAIN_UNFOUND } else { AGAIN }).await;
    }
}
