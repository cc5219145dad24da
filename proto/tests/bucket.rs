//! Token buckets.

use proptest::prelude::*;
use std::time::Duration;
use switchboard_proto::{Bucket, Buckets, Rate};

/// Any number of events a second, from one to more than there are nanoseconds.
fn per_second() -> impl Strategy<Value = u32> {
    prop_oneof![1..10_u32, 1..100_000_u32, any::<u32>()]
}

/// How long until the next event if they come evenly, and no sooner than `per_second` allows.
fn even(per_second: u32) -> Duration {
    Duration::from_nanos(1_000_000_000_u64.div_ceil(u64::from(per_second.max(1))))
}

proptest! {
    #[test]
    fn a_full_bucket_gives_its_burst_at_once_and_no_more(
        per_second in per_second(),
        burst in 1_u32..300,
        now in (0_u64..1 << 40).prop_map(Duration::from_micros),
    ) {
        let mut bucket = Bucket::default();
        let rate = Rate::new(per_second, burst);
        for _ in 0..burst {
            prop_assert_eq!(bucket.take(now, rate), Ok(()));
        }
        prop_assert!(bucket.take(now, rate).is_err());
    }

    #[test]
    fn no_more_is_given_than_the_burst_and_the_rate(
        per_second in per_second(),
        burst in 1_u32..20,
        // How long each asks after the one before, in 1/8 of the even interval.
        waits in prop::collection::vec(0_u32..16, 1..200),
    ) {
        let mut bucket = Bucket::default();
        let (mut now, mut given) = (Duration::ZERO, 0);
        for wait in waits {
            now += even(per_second) * wait / 8;
            given += u128::from(bucket.take(now, Rate::new(per_second, burst)).is_ok());
            let due = now.as_nanos() * u128::from(per_second.max(1)) / 1_000_000_000;
            prop_assert!(given <= u128::from(burst) + due, "{given} were given by {now:?}");
        }
    }

    #[test]
    fn a_source_that_keeps_to_the_rate_is_never_refused(
        per_second in per_second(),
        burst in 1_u32..20,
        pauses in prop::collection::vec(0_u64..2_000_000_000, 1..200),
    ) {
        let mut bucket = Bucket::default();
        let mut now = Duration::ZERO;
        for pause in pauses {
            prop_assert_eq!(bucket.take(now, Rate::new(per_second, burst)), Ok(()));
            now += even(per_second) + Duration::from_nanos(pause);
        }
    }

    #[test]
    fn a_source_that_asks_all_the_time_gets_the_rate(per_second in 1_u32..2000) {
        let rate = Rate::new(per_second, 1);
        let mut bucket = Bucket::default();
        let (mut now, mut given) = (Duration::ZERO, 0_u32);
        while now < Duration::from_secs(2) {
            match bucket.take(now, rate) {
                Ok(()) => given += 1,
                Err(wait) => now += wait,
            }
        }
        // The interval is rounded up to a nanosecond: that costs at most one event here.
        prop_assert!((2 * per_second - 1..=2 * per_second).contains(&given), "{given} were given");
    }

    #[test]
    fn the_wait_is_exact(
        per_second in per_second(),
        burst in 1_u32..20,
        now in (0_u64..1 << 40).prop_map(Duration::from_micros),
    ) {
        let rate = Rate::new(per_second, burst);
        let mut bucket = Bucket::default();
        for _ in 0..burst {
            prop_assert_eq!(bucket.take(now, rate), Ok(()));
        }
        let ready = now + bucket.take(now, rate).unwrap_err();
        prop_assert!(bucket.take(ready.saturating_sub(Duration::from_nanos(1)), rate).is_err());
        prop_assert_eq!(bucket.take(ready, rate), Ok(()));
    }

    #[test]
    fn a_clock_that_jumps_is_no_panic(
        per_second: u32,
        burst: u32,
        moments in prop::collection::vec(
            prop_oneof![any::<Duration>(), Just(Duration::ZERO), Just(Duration::MAX)],
            0..50,
        ),
    ) {
        let mut bucket = Bucket::default();
        for now in moments {
            let _ = bucket.take(now, Rate::new(per_second, burst));
        }
    }

    #[test]
    fn however_many_sources_there_are_a_table_gives_no_more_than_its_buckets_hold(
        buckets in 1_usize..20,
        burst in 1_u32..5,
        hashes in prop::collection::vec(any::<u64>(), 0..400),
    ) {
        let mut table = Buckets::new(buckets, Rate::new(1, burst));
        let given = hashes.into_iter().filter(|hash| table.take(*hash, Duration::ZERO)).count();
        prop_assert!(given <= buckets * burst as usize);
    }
}

#[test]
fn a_refused_event_takes_nothing() {
    let rate = Rate::new(1, 1);
    let mut bucket = Bucket::default();
    assert_eq!(bucket.take(Duration::ZERO, rate), Ok(()));
    for _ in 0..100 {
        assert_eq!(bucket.take(Duration::ZERO, rate), Err(Duration::from_secs(1)));
    }
}

#[test]
fn after_a_long_silence_a_bucket_is_full_and_no_fuller() {
    let rate = Rate::new(10, 3);
    let mut bucket = Bucket::default();
    let given = |bucket: &mut Bucket, now| (0..10).filter(|_| bucket.take(now, rate).is_ok()).count();
    assert_eq!(given(&mut bucket, Duration::ZERO), 3);
    assert_eq!(given(&mut bucket, Duration::from_hours(1)), 3);
}

#[test]
fn after_a_jump_backwards_a_bucket_gives_nothing_until_the_clock_catches_up() {
    let rate = Rate::new(1, 1);
    let mut bucket = Bucket::default();
    assert_eq!(bucket.take(Duration::from_secs(100), rate), Ok(()));
    assert_eq!(bucket.take(Duration::from_secs(40), rate), Err(Duration::from_secs(61)));
    assert_eq!(bucket.take(Duration::from_secs(101), rate), Ok(()));
}

#[test]
fn zero_counts_as_one() {
    assert_eq!(Rate::new(0, 0), Rate::new(1, 1));
}

#[test]
fn a_rate_of_more_than_one_a_nanosecond_is_still_a_limit() {
    let mut bucket = Bucket::default();
    let rate = Rate::new(u32::MAX, 1);
    assert_eq!(bucket.take(Duration::ZERO, rate), Ok(()));
    assert_eq!(bucket.take(Duration::ZERO, rate), Err(Duration::from_nanos(1)));
}

#[test]
fn sources_in_different_buckets_do_not_take_from_each_other() {
    let mut table = Buckets::new(8, Rate::new(1, 1));
    assert!((0..8).all(|hash| table.take(hash, Duration::ZERO)));
}

#[test]
fn sources_that_hash_alike_share_a_bucket() {
    let mut table = Buckets::new(8, Rate::new(1, 1));
    assert!(table.take(3, Duration::ZERO));
    assert!(!table.take(8 + 3, Duration::ZERO));
}

#[test]
fn a_bucket_is_eight_bytes() {
    assert_eq!(size_of::<Bucket>(), 8);
}

#[test]
#[should_panic(expected = "at least one bucket")]
fn a_table_without_buckets_is_refused() {
    Buckets::new(0, Rate::new(1, 1));
}
