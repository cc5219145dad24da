//! A connection that is held up, and its deadlines.

use super::stage::explore;
use crate::config::Limits;
use std::future::pending;
use std::task::{Context, Waker};

#[test]
fn time_in_which_a_peer_is_not_heard_counts_for_no_deadline() {
    explore(|stage| {
        let served = stage.serve(Limits::default(), |conn| async move {
            let _conn = conn;
            pending().await
        });
        let (link, tick) = (&served.link, &stage.worker.tick);
        // The head of a request has begun, and 10 s are for it.
        link.opening();
        tick.budget.set_limit(0);
        tick.budget.post(1);
        assert!(link.poll_relief(&Context::from_waker(Waker::noop())).is_pending());
        tick.set_now(60);
        assert!(!link.sweep(60));
        shuttle::future::block_on(tick.budget.relieve());
        assert!(!link.sweep(60), "it could say nothing in that minute");
        assert!(link.sweep(75), "but it can now");
    });
}
