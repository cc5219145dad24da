//! Connections that no listener accepted: what is within another one, and what we opened ourselves.

use super::Connection;
use super::drive::{keep, serve};
use super::handler::HandlerOutput;
use crate::link::{Envelope, Link, Protocol, Provenance, Sink, Source};
use crate::node::{Node, Opening};
use bytes::BytesMut;
use std::future::Future;
use std::sync::Arc;
use switchboard_proto::{CloseReason, Codec};

/// Serves `source` and `sink` by `handler`, as a connection from `origin` on the listener and worker of `other`; or counts and
/// logs that there are too many, and says so. May be called from any thread.
pub(crate) fn serve_beside<F>(
    other: &Link,
    node: &Arc<Node>,
    origin: Provenance,
    (source, sink): (Box<dyn Source>, Box<dyn Sink>),
    protocol: Protocol,
    handler: impl FnOnce(Arc<Link>, Box<dyn Source>) -> F,
) -> Result<(), CloseReason>
where
    F: Future<Output: HandlerOutput> + Send + 'static,
{
    let opening = node.admit_beside(other, origin)?;
    let worker = Arc::clone(opening.worker());
    // Detached: the tracker counts it.
    drop(node.tasks.spawn_on(serve(opening.enter(sink, protocol), source, handler), &worker.handle));
    Ok(())
}

/// Hands over a connection in place of calling a handler with it, of which `input` was read already. Its task, on the worker that it
/// was admitted to, writes when a full socket takes more, and closes it once it is dropped.
pub(crate) fn hold<C: Codec>(
    opening: Opening,
    node: &Node,
    (source, sink): (Box<dyn Source>, Box<dyn Sink>),
    input: BytesMut,
) -> Connection<C> {
    let worker = Arc::clone(opening.worker());
    let entered = opening.enter(sink, Protocol::Frames);
    let connection = Connection::begun(Arc::clone(&entered.link), source, input, Envelope::Bare);
    // Detached: the tracker counts it.
    drop(node.tasks.spawn_on(keep(entered), &worker.handle));
    connection
}
