//! What the parts of one HTTP connection share: how far it is with the current request, and what comes after it.

use super::Begin;
use super::response::{Answer, Body, Response};
use crate::hub::Envelope;
use crate::hub::peer::Peer;
use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH, HeaderValue, TRANSFER_ENCODING};
use http::{StatusCode, Version};
use parking_lot::Mutex;
use std::sync::Arc;
use tokio::time::Instant;

pub(super) struct Exchange {
    pub(super) peer: Arc<Peer>,
    state: Mutex<State>,
}

struct State {
    stage: Stage,
    /// When the first byte of the current request came.
    began: Instant,
    /// Behind the current answer nothing more is read.
    is_last: bool,
    /// hyper has something to write that is not in the outbox.
    is_writing: bool,
    /// What the connection becomes once what hyper writes has left.
    next: Option<Next>,
}

/// What of a request decides how it is answered.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked {
    pub(super) version: Version,
    /// For the headers alone.
    pub(super) for_head: bool,
}

/// What follows the last request.
pub(super) enum Next {
    WebSocket(Begin),
    /// hyper has written the head of the answer; the body is the handler's.
    Stream(Begin, Envelope),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Nothing of a request has come.
    Waiting,
    /// Something of its head has.
    Head,
    /// The service has it, or is answering.
    Answering,
    /// hyper has all of the answer, and not all of that has left.
    Answered,
}

impl Exchange {
    pub(super) fn new(peer: Arc<Peer>) -> Arc<Self> {
        let (stage, began) = (Stage::Waiting, Instant::now());
        let state = State { stage, began, is_last: false, is_writing: false, next: None };
        Arc::new(Self { peer, state: Mutex::new(state) })
    }

    /// Whether no request is whole.
    pub(super) fn is_waiting(&self) -> bool {
        matches!(self.state.lock().stage, Stage::Waiting | Stage::Head)
    }

    /// Whether only the client can keep the current answer from its end.
    pub(super) fn is_answered(&self) -> bool {
        self.state.lock().stage == Stage::Answered
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
    pub(super) fn answer(&self, response: Response, asked: Asked, answering: Answering) -> http::Response<Body> {
        let mut sent = match response.0 {
            Answer::Whole(response) => {
                self.peer.holding(response.body().len());
                response.map(|bytes| Body::whole(bytes, answering))
            }
            Answer::Upgrade(..) | Answer::Stream(..) if self.peer.is_draining() => refusal(answering),
            Answer::Upgrade(head, begin) => {
                self.become_next(Next::WebSocket(begin));
                head.map(|()| Body::whole(Bytes::new(), answering))
            }
            Answer::Stream(head, _) if asked.for_head => head.map(|()| Body::whole(Bytes::new(), answering)),
            Answer::Stream(mut head, begin) => {
                self.end_after_answer();
                // hyper frames it as it does a body of unknown length, and so does what follows hyper.
                let envelope = if asked.version == Version::HTTP_11 { Envelope::Chunks } else { Envelope::Bare };
                head.headers_mut().remove(CONTENT_LENGTH);
                head.headers_mut().remove(TRANSFER_ENCODING);
                head.map(|()| Body::stream(Next::Stream(begin, envelope), answering))
            }
        };
        if self.state.lock().is_last {
            sent.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        sent
    }

    /// Goes on with `next` once what hyper has written has left.
    fn become_next(&self, next: Next) {
        let mut state = self.state.lock();
        (state.next, state.is_writing) = (Some(next), true);
    }

    /// All that hyper has written is in the outbox.
    pub(super) fn flushed(&self) {
        let mut state = self.state.lock();
        state.is_writing = false;
        if state.stage == Stage::Answered {
            state.stage = Stage::Waiting;
            self.peer.holding(0);
            // hyper may have looked for the next request already, and then does not look again before it comes.
            self.peer.idle();
        }
    }

    /// What follows, if it is time for it.
    pub(super) fn take_next(&self) -> Option<Next> {
        let mut state = self.state.lock();
        if state.is_writing { None } else { state.next.take() }
    }

    pub(super) fn has_next(&self) -> bool {
        self.state.lock().next.is_some()
    }
}

fn refusal(answering: Answering) -> http::Response<Body> {
    let mut response = http::Response::new(Body::whole(Bytes::new(), answering));
    *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    response
}

/// A request, until hyper has all of the answer.
pub(super) struct Answering(Arc<Exchange>);

impl Answering {
    /// hyper asks for the body, so it has written the head.
    pub(super) fn hand_over(&self, next: Next) {
        self.0.become_next(next);
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        self.0.state.lock().stage = Stage::Answered;
    }
}
