//! When a connection has waited long enough.

use proptest::prelude::*;
use std::time::Duration;
use switchboard_proto::{CloseReason, Second, Stamps, Timeouts, passed};

const SECOND: Duration = Duration::from_secs(1);

/// The stamp of a moment since the server started.
fn second(moment: Duration) -> Second {
    moment.as_secs() as Second
}

/// A moment, at any offset within its second; the offsets next to a whole second more often than chance has them.
fn moment(seconds: std::ops::Range<u64>) -> impl Strategy<Value = Duration> {
    let nanos = prop_oneof![0..1_000_000_000_u32, Just(0), Just(1), Just(999_999_999)];
    (seconds, nanos).prop_map(|(seconds, nanos)| Duration::new(seconds, nanos))
}

fn stamped(reading: Option<Second>, writing: Option<Second>) -> Stamps {
    Stamps { reading, writing, ..Stamps::default() }
}

proptest! {
    #[test]
    fn a_deadline_is_never_early(since in moment(0..1000), timeout in moment(0..100), looked in moment(0..110)) {
        let now = since + looked;
        if passed(Some(second(since)), second(now), Some(timeout)) {
            prop_assert!(now >= since + timeout);
        }
    }

    #[test]
    fn a_deadline_is_at_most_a_second_late(
        since in moment(0..1000),
        timeout in moment(0..100),
        looked in moment(0..110),
    ) {
        let now = since + looked;
        // A timeout is rounded up to whole seconds.
        let deadline = since + Duration::from_secs(timeout.as_secs() + u64::from(timeout.subsec_nanos() > 0));
        if !passed(Some(second(since)), second(now), Some(timeout)) {
            prop_assert!(now < deadline + SECOND);
        }
    }

    #[test]
    fn a_passed_deadline_stays_passed(
        since: Second,
        now: Second,
        later: Second,
        timeout in moment(0..u64::from(u32::MAX)),
    ) {
        let (now, later) = (now.min(later), now.max(later));
        if passed(Some(since), now, Some(timeout)) {
            prop_assert!(passed(Some(since), later, Some(timeout)));
        }
    }

    #[test]
    fn what_has_no_timeout_waits_for_ever(reading: Second, writing: Second, now: Second) {
        let timeouts = Timeouts { idle: None, write: None, handshake: None, ..Timeouts::default() };
        let stamps = Stamps { opening: Some(reading), ..stamped(Some(reading), Some(writing)) };
        prop_assert_eq!(stamps.expired(now, &timeouts), None);
    }

    #[test]
    fn what_does_not_wait_never_expires(now: Second) {
        let zero = Some(Duration::ZERO);
        let timeouts = Timeouts { idle: zero, write: zero, ping: zero, handshake: zero, linger: Duration::ZERO };
        prop_assert_eq!(Stamps::default().expired(now, &timeouts), None);
    }
}

#[test]
fn a_peer_that_sends_nothing_is_idle() {
    let timeouts = Timeouts { idle: Some(30 * SECOND), ..Timeouts::default() };
    assert_eq!(stamped(Some(100), None).expired(130, &timeouts), None);
    assert_eq!(stamped(Some(100), None).expired(131, &timeouts), Some(CloseReason::Idle));
}

#[test]
fn a_peer_that_does_not_finish_its_handshake_has_its_time() {
    let timeouts = Timeouts { handshake: Some(10 * SECOND), ..Timeouts::default() };
    let stamps = Stamps { opening: Some(100), ..Stamps::default() };
    assert_eq!(stamps.expired(110, &timeouts), None);
    assert_eq!(stamps.expired(111, &timeouts), Some(CloseReason::HandshakeTimeout));
}

#[test]
fn a_peer_that_takes_nothing_is_a_slow_consumer() {
    let timeouts = Timeouts { write: Some(10 * SECOND), ..Timeouts::default() };
    assert_eq!(stamped(None, Some(100)).expired(110, &timeouts), None);
    assert_eq!(stamped(None, Some(100)).expired(111, &timeouts), Some(CloseReason::SlowConsumer));
}

#[test]
fn a_peer_that_neither_sends_nor_takes_is_a_slow_consumer() {
    let timeouts = Timeouts { idle: Some(SECOND), write: Some(SECOND), ..Timeouts::default() };
    assert_eq!(stamped(Some(0), Some(0)).expired(60, &timeouts), Some(CloseReason::SlowConsumer));
}

#[test]
fn a_timeout_of_a_part_of_a_second_is_rounded_up() {
    let timeout = Some(Duration::from_millis(1));
    assert!(!passed(Some(7), 8, timeout));
    assert!(passed(Some(7), 9, timeout));
}

#[test]
fn the_longest_timeout_there_is_does_not_overflow() {
    assert!(!passed(Some(0), Second::MAX, Some(Duration::MAX)));
}

#[test]
fn a_stamp_from_the_future_has_not_passed() {
    assert!(!passed(Some(9), 3, Some(Duration::ZERO)));
}

#[test]
fn by_default_only_writing_and_lingering_are_limited() {
    let timeouts = Timeouts::default();
    assert_eq!((timeouts.idle, timeouts.write, timeouts.linger), (None, Some(10 * SECOND), 2 * SECOND));
}
