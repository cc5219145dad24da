//! Connecting to a name that has several addresses (RFC 8305): one attempt after the other, each a moment after the one before
//! and at once if that fails, and all at the same time. So an address that says nothing costs a moment and not the deadline.

use crate::error::ConnectError;
use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// Between the beginnings of two attempts (RFC 8305 §5).
const DELAY: Duration = Duration::from_millis(250);

/// Takes the first attempt that succeeds; the others are dropped. With a deadline, all begin in its first half.
///
/// # Errors
/// The one of the attempt that came furthest, once all have failed.
pub(super) async fn first<T, F: Future<Output = Result<T, ConnectError>>>(
    addresses: Vec<SocketAddr>,
    deadline: Option<Duration>,
    attempt: impl Fn(SocketAddr) -> F,
) -> Result<T, ConnectError> {
    let share = deadline.map(|deadline| deadline / 2 / u32::try_from(addresses.len().max(1)).unwrap_or(u32::MAX));
    let delay = share.map_or(DELAY, |share| share.min(DELAY));
    let mut waiting = VecDeque::from(in_turns(addresses));
    let mut running = Vec::new();
    let mut failed: Option<ConnectError> = None;
    let mut next = pin!(sleep(delay));
    let mut is_turn = true;
    poll_fn(|cx| {
        loop {
            let mut index = 0;
            while index < running.len() {
                let one: &mut std::pin::Pin<Box<F>> = &mut running[index];
                match one.as_mut().poll(cx) {
                    Poll::Ready(Ok(done)) => return Poll::Ready(Ok(done)),
                    Poll::Ready(Err(error)) => {
                        drop(running.swap_remove(index));
                        if failed.as_ref().is_none_or(|before| progress(&error) > progress(before)) {
                            failed = Some(error);
                        }
                        is_turn = true;
                    }
                    Poll::Pending => index += 1,
                }
            }
            // The timer is not asked, and so costs nothing, where nobody waits for it.
            is_turn = is_turn || !waiting.is_empty() && next.as_mut().poll(cx).is_ready();
            match waiting.pop_front() {
                Some(address) if is_turn => {
                    running.push(Box::pin(attempt(address)));
                    next.as_mut().reset(Instant::now() + delay);
                    is_turn = false;
                }
                Some(address) => {
                    waiting.push_front(address);
                    return Poll::Pending;
                }
                None if running.is_empty() => {
                    return Poll::Ready(Err(failed.take().unwrap_or_else(nowhere)));
                }
                None => return Poll::Pending,
            }
        }
    })
    .await
}

/// In the order of the system's, but with one of each family in turn, as long as there are some of both (RFC 8305 §4).
pub(crate) fn in_turns(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let is_v6 = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (mut preferred, mut others): (VecDeque<_>, VecDeque<_>) =
        addresses.into_iter().partition(|address| address.is_ipv6() == is_v6);
    let mut turns = Vec::new();
    while !preferred.is_empty() || !others.is_empty() {
        turns.extend(preferred.pop_front());
        turns.extend(others.pop_front());
    }
    turns
}

/// How far an attempt came that ended so.
fn progress(error: &ConnectError) -> u8 {
    match error {
        ConnectError::Unreachable { error, .. } if error.kind() == io::ErrorKind::ConnectionRefused => 1,
        ConnectError::Unreachable { .. } => 0,
        _ => 2,
    }
}

fn nowhere() -> ConnectError {
    ConnectError::unreachable(io::Error::new(io::ErrorKind::NotFound, "no address for this name"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::pending;

    fn addresses(list: &str) -> Vec<SocketAddr> {
        list.split(' ').map(|address| address.parse().unwrap()).collect()
    }

    fn refused() -> ConnectError {
        ConnectError::unreachable(io::ErrorKind::ConnectionRefused.into())
    }

    async fn after(millis: u64, port: u16) -> Result<u16, ConnectError> {
        sleep(Duration::from_millis(millis)).await;
        Ok(port)
    }

    const THREE: &str = "[::1]:1 127.0.0.1:2 [::2]:3";

    #[test]
    fn families_take_turns() {
        let turns = in_turns(addresses("[::1]:1 [::2]:2 [::3]:3 127.0.0.1:4 127.0.0.2:5"));
        assert_eq!(turns.iter().map(SocketAddr::port).collect::<Vec<_>>(), [1, 4, 2, 5, 3]);
        assert!(in_turns(Vec::new()).is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_attempt_begins_at_once() {
        let began = Instant::now();
        let found = first(addresses("127.0.0.1:1 127.0.0.1:2"), None, async |address| Ok(address.port()));
        assert_eq!((found.await.unwrap(), began.elapsed()), (1, Duration::ZERO));
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_that_says_nothing_costs_a_quarter_of_a_second() {
        let began = Instant::now();
        let found = first(addresses(THREE), None, async |address| match address.port() {
            1 => pending().await,
            port => after(0, port).await,
        });
        assert_eq!((found.await.unwrap(), began.elapsed().as_millis() / 10), (2, 25));
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_fails_costs_nothing_and_a_slow_one_may_still_be_first() {
        let began = Instant::now();
        let found = first(addresses(THREE), None, async |address| match address.port() {
            1 => Err(refused()),
            2 => after(300, 2).await,
            _ => after(100, 3).await,
        });
        // The third begins at 250 ms.
        assert_eq!((found.await.unwrap(), began.elapsed().as_millis() / 10), (2, 30));
    }

    #[tokio::test(start_paused = true)]
    async fn all_have_their_turn_in_half_of_the_deadline() {
        let many: Vec<_> = (1..=100).map(|port| SocketAddr::from(([127, 0, 0, 1], port))).collect();
        let began = Instant::now();
        let found = first(many, Some(Duration::from_secs(10)), async |address| match address.port() {
            100 => Ok(()),
            _ => pending().await,
        });
        found.await.unwrap();
        assert!(began.elapsed() <= Duration::from_secs(6), "{:?}", began.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn the_error_of_the_attempt_that_came_furthest_is_told() {
        let failed = first(addresses(THREE), None, async |address| match address.port() {
            1 => Err::<(), _>(ConnectError::unreachable(io::ErrorKind::NetworkUnreachable.into())),
            2 => Err(ConnectError::Untrusted(io::ErrorKind::Other.into())),
            _ => Err(refused()),
        });
        assert!(matches!(failed.await, Err(ConnectError::Untrusted(_))));
        assert!(matches!(first(Vec::new(), None, async |_| Ok(())).await, Err(ConnectError::Unreachable { .. })));
    }
}
