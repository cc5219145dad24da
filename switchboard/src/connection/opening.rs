//! The time before a connection is open: the handshake of its transport, in the task that will run the handler.
//!
//! Only transports that have one come here, so that the task of the others is no larger for it.

use super::drive::Serve;
use crate::error::BoxError;
use crate::link::{Link, OpenError, Returned, Source, reason_of};
use crate::node::Entered;
use pin_project_lite::pin_project;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use switchboard_proto::CloseReason;

/// Opens the connection, then begins to serve it. `place` is held while it opens.
pub(crate) fn open<A, B, F, P>(entered: Entered<A>, source: Box<dyn Source>, place: P, begin: B) -> Open<A, B, F, P>
where
    B: FnOnce(Entered<A>, Box<dyn Source>) -> Serve<F, A>,
{
    entered.link.opening_since_accepted();
    Open::Opening { parts: Some((entered, source, begin)), _place: place }
}

pin_project! {
    /// The task of a connection that has a handshake.
    #[project = Stage]
    pub(crate) enum Open<A, B, F, P> {
        Opening {
            // Until it is open.
            parts: Option<(Entered<A>, Box<dyn Source>, B)>,
            _place: P,
        },
        Open {
            #[pin]
            serve: Serve<F, A>,
        },
    }
}

impl<A, B, F, P> Future for Open<A, B, F, P>
where
    B: FnOnce(Entered<A>, Box<dyn Source>) -> Serve<F, A>,
    Serve<F, A>: Future<Output = ()>,
{
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let parts = match self.as_mut().project() {
                Stage::Open { serve } => return serve.poll(cx),
                Stage::Opening { parts, .. } => parts,
            };
            let Some((entered, source, _)) = parts else { unreachable!("taken when it is open") };
            let opened = ready!(poll_open(&entered.link, &mut **source, cx));
            entered.link.opened();
            let Some((entered, source, begin)) = parts.take() else { unreachable!("looked at above") };
            let serve = match opened {
                Ok(()) => {
                    let link = &entered.link;
                    link.listener.counts.shook_hands(link.opened.elapsed());
                    begin(entered, source)
                }
                Err(Unopened { peer_left, error }) => {
                    entered.link.give_back(Returned { source, peer_finished: peer_left, farewell: None });
                    Serve::unopened(entered, error)
                }
            };
            self.set(Self::Open { serve });
        }
    }
}

/// A connection that ends before it was open, for the reason that was noted.
struct Unopened {
    peer_left: bool,
    error: Option<BoxError>,
}

fn poll_open(link: &Link, source: &mut dyn Source, cx: &mut Context<'_>) -> Poll<Result<(), Unopened>> {
    if link.poll_drive(cx).is_ready() || link.closing().is_some() {
        return Poll::Ready(Err(Unopened { peer_left: false, error: None }));
    }
    let opened = source.poll_open(cx);
    if opened.is_pending() && link.is_draining() {
        link.note(CloseReason::Drained);
        return Poll::Ready(Err(Unopened { peer_left: false, error: None }));
    }
    let (reason, peer_left, error) = match ready!(opened) {
        Ok(()) => return Poll::Ready(Ok(())),
        Err(OpenError::Left) => (CloseReason::PeerClosed, true, None),
        Err(OpenError::Broken(error)) => (reason_of(&error), true, None),
        Err(OpenError::Failed(error)) => (CloseReason::HandshakeFailed, false, Some(error)),
    };
    link.note(reason);
    Poll::Ready(Err(Unopened { peer_left, error }))
}
