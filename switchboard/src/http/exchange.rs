//! What the parts of one HTTP connection share: how far it is with the current request, and what comes after it.

use super::Begin;
use super::response::{Answer, Body, Response};
use crate::hub::peer::Peer;
use crate::transport::memory::End;
use bytes::Bytes;
use http::StatusCode;
use http::header::{CONNECTION, HeaderValue};
use parking_lot::Mutex;
use std::sync::Arc;
use switchboard_proto::CloseReason;
use tokio::time::Instant;

/// Bytes of a streamed answer that hyper has not taken yet; the stream's own outbox comes before them.
const PIPE_BYTES: usize = 16 << 10;

/// Opens a connection beside another, for a streamed answer.
pub(crate) trait Opener: Send + Sync {
    /// Serves `end` by `begin`, on the worker and the listener of `beside`; or says why not.
    fn open(&self, beside: &Arc<Peer>, end: End, begin: Begin) -> Result<(), CloseReason>;
}

pub(super) struct Exchange {
    pub(super) peer: Arc<Peer>,
    opener: Arc<dyn Opener>,
    state: Mutex<State>,
}

struct State {
    stage: Stage,
    /// When the first byte of the current request came.
    began: Instant,
    /// Behind the current answer nothing more is read.
    is_last: bool,
    /// What the connection becomes once it has been answered.
    next: Option<Begin>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Nothing of a request has come.
    Waiting,
    /// Something of its head has.
    Head,
    /// The service has it, or the client is being answered.
    Answering,
}

impl Exchange {
    pub(super) fn new(peer: Arc<Peer>, opener: Arc<dyn Opener>) -> Arc<Self> {
        let state = State { stage: Stage::Waiting, began: Instant::now(), is_last: false, next: None };
        Arc::new(Self { peer, opener, state: Mutex::new(state) })
    }

    /// Whether no request is whole.
    pub(super) fn is_waiting(&self) -> bool {
        self.state.lock().stage != Stage::Answering
    }

    pub(super) fn is_reading_head(&self) -> bool {
        self.state.lock().stage == Stage::Head
    }

    /// Bytes came. The first ones of a request start its deadline.
    pub(super) fn received(&self, bytes: usize) {
        self.peer.received(bytes);
        let mut state = self.state.lock();
        if state.stage == Stage::Waiting {
            (state.stage, state.began) = (Stage::Head, Instant::now());
            self.peer.opening();
        }
    }

    /// The head is whole; the deadline of what is missing yet is kept by who waits for it.
    pub(super) fn begin(self: &Arc<Self>) -> Answering {
        let mut state = self.state.lock();
        if state.stage == Stage::Waiting {
            // It came together with the one before it.
            state.began = Instant::now();
        }
        state.stage = Stage::Answering;
        drop(state);
        self.peer.opened();
        self.peer.handling();
        Answering(Arc::clone(self))
    }

    /// When the current request has to be whole.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.peer.listener.timeouts.handshake.map(|timeout| self.state.lock().began + timeout)
    }

    /// Reads nothing behind the current answer: where the next request begins is not known.
    pub(super) fn end_after_answer(&self) {
        self.state.lock().is_last = true;
    }

    /// Takes what the service has answered, as hyper sends it.
    pub(super) fn answer(&self, response: Response, answering: Answering) -> http::Response<Body> {
        let mut sent = match response.0 {
            Answer::Whole(response) => response.map(|bytes| Body::whole(bytes, answering)),
            Answer::Upgrade(..) | Answer::Stream(..) if self.peer.is_draining() => refusal(answering),
            Answer::Upgrade(head, begin) => {
                self.state.lock().next = Some(begin);
                head.map(|()| Body::whole(Bytes::new(), answering))
            }
            Answer::Stream(head, begin) => {
                let (here, there) = End::pair(PIPE_BYTES);
                match self.opener.open(&self.peer, there, begin) {
                    Ok(()) => head.map(|()| Body::stream(here, answering)),
                    Err(_) => refusal(answering),
                }
            }
        };
        if self.state.lock().is_last {
            sent.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        sent
    }

    pub(super) fn take_next(&self) -> Option<Begin> {
        self.state.lock().next.take()
    }
}

/// No more connections, of whatever kind.
fn refusal(answering: Answering) -> http::Response<Body> {
    let mut response = http::Response::new(Body::whole(Bytes::new(), answering));
    *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    response
}

/// A request that is not answered yet, until it is dropped.
pub(super) struct Answering(Arc<Exchange>);

impl Drop for Answering {
    fn drop(&mut self) {
        self.0.state.lock().stage = Stage::Waiting;
        self.0.peer.holding_input(0);
        // hyper may have looked for the next request already, and then does not look again before it comes.
        self.0.peer.idle();
    }
}
