//! A connection that is held up, and its deadlines; and one that is ended for its memory.

use super::stage::explore;
use crate::config::Limits;
use shuttle::future::block_on;
use shuttle::thread;
use std::future::pending;
use std::sync::Arc;
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
        block_on(tick.budget.relieve());
        assert!(!link.sweep(60), "it could say nothing in that minute");
        assert!(link.sweep(75), "but it can now");
    });
}

/// A busy worker may take long to get to its task, and others would be ended for what it holds.
#[test]
fn what_is_queued_for_one_that_is_ended_for_memory_is_given_back_at_once() {
    explore(|stage| {
        let served = stage.serve(Limits::default(), |conn| async move {
            let _conn = conn;
            pending().await
        });
        let (link, budget) = (Arc::clone(&served.link), &stage.worker.tick.budget);
        // More than the pipe takes, and enough for a step of the budget.
        let sent = thread::spawn(move || {
            let mut noop = Context::from_waker(Waker::noop());
            assert!(link.poll_queue(&mut noop, 1, |output| output.put(&[b'x'; 8 << 10])).is_ready());
            assert!(link.charged_bytes() > 0);
            link.shed();
            link.charged_bytes()
        });
        let held = sent.join().unwrap();
        assert!(held <= 4 << 10, "{held} bytes, of which the pipe has some");
        budget.set_limit(0);
        block_on(served.task).unwrap();
        assert_eq!((served.link.charged_bytes(), budget.excess()), (0, 0));
        let closed = stage.worker.tick.closed.newest(1);
        assert!(closed[0].unwritten >= 4 << 10, "{} bytes", closed[0].unwritten);
    });
}
