//! HTTP: requests and their answers, and the WebSockets and streams that they become. Needs feature `http`.
//!
//! hyper speaks HTTP over the source and outbox of an ordinary connection, so limits, deadlines, lists and drains apply
//! as to any other. When a request becomes a WebSocket, or its answer a stream, hyper is dropped, and the same
//! connection goes on with a codec and a handler. Knows no rooms and no paths: the service decides what is answered.

mod body;
mod exchange;
mod frames;
mod heads;
mod http2;
mod listener;
mod request;
mod response;
mod service;
mod stream;
mod task;
mod tunnel;
mod upgrade;
mod wire;

pub(crate) use listener::{HttpScheme, HttpTransport};
pub use request::{BodyError, Request};
pub use response::Response;
pub use service::Service;

/// What heads are made of, from the crate `http`, version 1.
pub use ::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};

/// All of the crate `http`, version 1: an answer with a head of its own is a [`types::Response`](::http::Response).
pub use ::http as types;
pub(crate) use task::serve;

use crate::BoxError;
use crate::connection::{Connection, HandlerOutput};
use crate::link::{Envelope, Link, Source};
use crate::node::Node;
use bytes::BytesMut;
use http::request::Parts;
use pin_project_lite::pin_project;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use switchboard_proto::{Codec, EventStream};

/// A handler that runs.
pub(crate) type Handling = Pin<Box<dyn Future<Output = Result<(), BoxError>> + Send>>;

/// Starts a handler on a connection, of which some input may have been read already.
pub(crate) type Begin = Box<dyn FnOnce(Arc<Link>, Box<dyn Source>, BytesMut, Envelope) -> Handling + Send>;

/// Adds to the headers of an answer that no service gave; the request's head is there if it was whole, and else no more of it
/// than its `Origin`.
pub(crate) type Unasked = Box<dyn Fn(Option<&Parts>, &mut HeaderMap) + Send + Sync>;

/// What the connections of one listener share.
pub(crate) struct Site {
    pub(crate) node: Arc<Node>,
    pub(crate) unasked: Unasked,
}

/// Erases the types of a handler.
fn begin<C, F>(handler: impl FnOnce(Connection<C>) -> F + Send + 'static) -> Begin
where
    C: Codec,
    F: Future<Output: HandlerOutput> + Send + 'static,
{
    Box::new(|link, source, input, envelope| {
        if C::MEDIA_TYPE == EventStream::MEDIA_TYPE {
            link.streams_events(envelope);
        }
        Box::pin(Erased { running: handler(Connection::begun(link, source, input, envelope)) })
    })
}

pin_project! {
    /// By hand, because an async block would hold the handler's future twice.
    struct Erased<F> {
        #[pin]
        running: F,
    }
}

impl<F> Future for Erased<F>
where
    F: Future<Output: HandlerOutput>,
{
    type Output = Result<(), BoxError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.project().running.poll(cx).map(HandlerOutput::into_result)
    }
}
