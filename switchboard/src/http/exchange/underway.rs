//! One request and its answer.

use super::{Exchange, Next, Stage, State};
use crate::http::request::Unread;
use crate::hub::policy::Claimant;
use crate::link::{PeerAddr, Provenance};
use parking_lot::Mutex;
use std::net::{IpAddr, SocketAddr};
use std::ops::Deref;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};
use switchboard_proto::CloseReason;
use tokio::task::AbortHandle;
use tokio::time::Instant;

/// A request and its answer, shared by all who work on them.
pub(in crate::http) struct Underway {
    pub(in crate::http) exchange: Arc<Exchange>,
    began: Instant,
    /// Whose it is, if proxies have said so.
    client: OnceLock<PeerAddr>,
    /// Bytes of its head, and of the service's future that answers it.
    head: AtomicUsize,
    /// Bytes of its body, or of its answer.
    held: AtomicUsize,
    /// Over HTTP/2: pieces of the answer that hyper has taken.
    pieces: AtomicUsize,
    /// hyper has a piece that the client has not made room for.
    is_owed: AtomicBool,
    is_answered: AtomicBool,
    task: Mutex<Option<AbortHandle>>,
    /// Bytes of that.
    tasked: AtomicUsize,
    /// The rest of its body, once nobody wants it any more.
    unread: Mutex<Option<Unread>>,
}

impl Underway {
    pub(super) fn new(exchange: &Arc<Exchange>, began: Instant) -> Arc<Self> {
        Arc::new(Self {
            exchange: Arc::clone(exchange),
            began,
            client: OnceLock::new(),
            head: AtomicUsize::new(0),
            held: AtomicUsize::new(0),
            pieces: AtomicUsize::new(0),
            is_owed: AtomicBool::new(false),
            is_answered: AtomicBool::new(false),
            task: Mutex::new(None),
            tasked: AtomicUsize::new(0),
            unread: Mutex::new(None),
        })
    }

    pub(in crate::http) fn forwarded_for(&self, client: IpAddr) {
        // The first call counts. There is no port.
        let _ = self.client.set(PeerAddr::Ip(SocketAddr::new(client, 0)));
    }

    /// Whose it is.
    pub(in crate::http) fn client(&self) -> &PeerAddr {
        self.client.get().unwrap_or_else(|| self.exchange.link.client())
    }

    /// Who sends it.
    pub(in crate::http) fn claimant(&self) -> Claimant {
        let Provenance { address, via, .. } = self.origin();
        Claimant::on(&self.exchange.link, address, via)
    }

    /// What a connection that is made of it comes from.
    pub(super) fn origin(&self) -> Provenance {
        let link = &self.exchange.link;
        let proxy = || self.client.get().and_then(|_| link.client().ip());
        Provenance { address: self.client().clone(), via: link.via().or_else(proxy), accepted: None }
    }

    /// Makes the connection its client's, if proxies have said whose it is and that one has not too many.
    pub(super) fn hand_to_client(&self) -> Result<(), CloseReason> {
        let Some(client) = self.client.get() else { return Ok(()) };
        let Exchange { link, site, .. } = &*self.exchange;
        link.is_for(client.clone(), Box::new(site.node.admit_again(client, &link.listener)?));
        Ok(())
    }

    /// When the request has to be complete.
    pub(in crate::http) fn deadline(&self) -> Option<Instant> {
        self.exchange.link.listener.timeouts.handshake.map(|timeout| self.began + timeout)
    }

    /// Notes that its head and what answers it take this many bytes together.
    pub(in crate::http) fn heading(&self, bytes: usize) {
        let before = self.head.swap(bytes, Ordering::Relaxed);
        self.exchange.held(before, bytes);
    }

    /// Notes that this many bytes of its body, or of its answer, are held.
    pub(in crate::http) fn holding(&self, bytes: usize) {
        // Relaxed: one task after the other has it.
        let before = self.held.swap(bytes, Ordering::Relaxed);
        self.exchange.held(before, bytes);
    }

    /// How many pieces of the answer hyper has taken, if the client has yet to make room for the last one.
    pub(in crate::http) fn owed(&self) -> Option<usize> {
        self.is_owed.load(Ordering::Relaxed).then(|| self.pieces.load(Ordering::Relaxed))
    }

    /// It is `task`, of so many bytes, that writes to the client from now on.
    pub(in crate::http) fn written_by(&self, task: AbortHandle, bytes: usize) {
        *self.task.lock() = Some(task);
        self.tasked(bytes);
    }

    fn tasked(&self, bytes: usize) {
        let before = self.tasked.swap(bytes, Ordering::Relaxed);
        self.exchange.held(before, bytes);
    }

    pub(in crate::http) fn leave_unread(&self, unread: Unread) {
        *self.unread.lock() = Some(unread);
    }

    pub(in crate::http) fn has_unread(&self) -> bool {
        self.unread.lock().is_some()
    }

    /// Waits until what nobody wants has arrived, but only for a moment.
    pub(in crate::http) fn poll_unread(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut unread = self.unread.lock();
        if let Some(rest) = &mut *unread {
            ready!(rest.poll_over(cx));
            *unread = None;
        }
        Poll::Ready(())
    }

    /// Ends the stream, whatever is left to send.
    pub(in crate::http) fn abort(&self) {
        if let Some(task) = self.task.lock().take() {
            task.abort();
        }
    }
}

/// A request, until hyper has all of the answer.
pub(in crate::http) struct Unfinished(pub(super) Arc<Underway>);

impl Unfinished {
    /// hyper asks for the body, so it has written the head.
    pub(in crate::http) fn hand_over(&self, next: Next) {
        self.0.exchange.become_next(next);
    }

    /// The service has answered, or never will.
    pub(super) fn answered(&self, state: &mut State) {
        // Relaxed: the lock is held.
        if state.stage == Stage::Streams && !self.0.is_answered.swap(true, Ordering::Relaxed) {
            state.unanswered -= 1;
        }
    }

    /// hyper has a piece of the answer, or waits for one.
    pub(in crate::http) fn gave(&self, is_piece: bool) {
        // Relaxed: the task that writes to the client is the one that asks.
        self.0.pieces.fetch_add(usize::from(is_piece), Ordering::Relaxed);
        self.0.is_owed.store(is_piece, Ordering::Relaxed);
    }
}

impl Deref for Unfinished {
    type Target = Arc<Underway>;

    fn deref(&self) -> &Arc<Underway> {
        &self.0
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        let exchange = &self.0.exchange;
        let mut state = exchange.state.lock();
        if state.stage != Stage::Streams {
            state.stage = Stage::Answered;
            return;
        }
        let before = state.held_bytes();
        self.answered(&mut state);
        state.open -= 1;
        if state.open == 0 {
            exchange.link.idle();
        }
        exchange.count(&state, before);
        drop(state);
        self.0.holding(0);
        self.0.heading(0);
        self.0.tasked(0);
    }
}
