//! A client and its upstream, for as long as both are open. By hand, because an async fn keeps what it is given and what it awaits, in every
//! pair's memory.

use super::loops::OwnEnd;
use super::pool::Taken;
use super::upstream::Passed;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use switchboard::{Connection, ConnectionId, PeerAddr, Relay, RelayEnd, Relayed, relay};
use tokio::time::Instant;
use tracing::{Level, debug, enabled};

/// A client's way through a proxy.
#[expect(
    clippy::large_enum_variant,
    reason = "it is a pair for nearly all of its time, and a box would be one more allocation for each"
)]
pub(super) enum Passing<C: Passed> {
    /// Boxed: it is over soon. Nothing comes of it where nobody takes the client.
    Connecting(Pin<Box<dyn Future<Output = Option<Pair<C>>> + Send>>),
    Paired(Pair<C>),
}

impl<C: Passed> Passing<C> {
    pub(super) fn new(connecting: impl Future<Output = Option<Pair<C>>> + Send + 'static) -> Self {
        Self::Connecting(Box::pin(connecting))
    }
}

impl<C: Passed> Future for Passing<C> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            match &mut *self {
                Self::Connecting(connecting) => match ready!(connecting.as_mut().poll(cx)) {
                    Some(pair) => *self = Self::Paired(pair),
                    None => return Poll::Ready(()),
                },
                Self::Paired(pair) => return Pin::new(pair).poll(cx),
            }
        }
    }
}

/// Passes on what comes on either connection until the pair has ended, counts it meanwhile, and tells of it once.
pub(super) struct Pair<C: Passed> {
    relay: Relay<C, C>,
    taken: Taken,
    /// An idle pair keeps no text that nobody wants.
    told: Option<Box<Told>>,
    _end: Option<OwnEnd>,
}

/// What the log says of it.
struct Told {
    id: ConnectionId,
    peer: PeerAddr,
    began: Instant,
}

impl<C: Passed> Pair<C> {
    pub(super) fn new(
        (client, upstream): (Connection<C>, Connection<C>),
        mut taken: Taken,
        end: Option<OwnEnd>,
        limited: impl FnOnce(Relay<C, C>) -> Relay<C, C>,
    ) -> Self {
        taken.pairs(client.id());
        let told = || Box::new(Told { id: client.id(), peer: client.peer().clone(), began: Instant::now() });
        let told = enabled!(Level::DEBUG).then(told);
        Self { relay: limited(relay(client, upstream).logged_as_one()), taken, told, _end: end }
    }
}

impl<C: Passed> Future for Pair<C> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        let polled = Pin::new(&mut this.relay).poll(cx);
        this.taken.passed(this.relay.passed());
        let Relayed { forth, back, end, .. } = ready!(polled);
        let Some(told) = this.told.take() else { return Poll::Ready(()) };
        let Told { id, peer, began } = *told;
        let side = match end {
            RelayEnd::First(reason) => format!("client: {reason}"),
            RelayEnd::Second(reason) => format!("upstream: {reason}"),
            other => other.to_string(),
        };
        let (upstream, age_us) = (this.taken.upstream(), began.elapsed().as_micros() as u64);
        let forth = forth + this.taken.early();
        debug!(conn.id = u64::from(id), peer.addr = %peer, %upstream, age_us, forth, back, end = side, "passed on");
        Poll::Ready(())
    }
}
