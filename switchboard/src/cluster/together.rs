//! Several futures that are awaited side by side, on the task of whoever awaits them.

use std::future::poll_fn;
use std::task::Poll;

/// What comes of all of them, in their order. Each is polled whenever one can go on, so they are to be a few.
///
/// # Cancel safety
/// As safe as they are: dropping it drops those that have not ended.
pub(super) async fn together<F: Future>(futures: impl IntoIterator<Item = F>) -> Vec<F::Output> {
    let mut left: Vec<_> = futures.into_iter().map(|future| (Box::pin(future), None)).collect();
    poll_fn(|context| {
        for (future, output) in left.iter_mut().filter(|(_, output)| output.is_none()) {
            if let Poll::Ready(ended) = future.as_mut().poll(context) {
                *output = Some(ended);
            }
        }
        if left.iter().all(|(_, output)| output.is_some()) { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    left.into_iter().filter_map(|(_, output)| output).collect()
}
