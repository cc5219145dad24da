//! What a signed datagram says, and when it is new.

use crate::corpus::signed::run;
use bytes::Bytes;
use proptest::prelude::*;
use switchboard_proto::{SentTimes, Signed};

const MAC: &str = "000102030405060708090a0b0c0d0eFF";

fn parse(frame: &str) -> Option<Signed> {
    Signed::parse(&Bytes::copy_from_slice(frame.as_bytes()))
}

#[test]
fn a_signed_datagram_says_who_when_and_what() {
    let signed = parse(&format!("/by boiler-7 1764322271123 {MAC} /pub sensors.boiler  21.5")).unwrap();
    assert_eq!((signed.name.as_str(), signed.time, signed.mac[15]), ("boiler-7", 1_764_322_271_123, 0xff));
    assert_eq!(signed.command, "/pub sensors.boiler  21.5");
    let mut content = Vec::new();
    assert!(signed.is_by(|pieces, mac| {
        content = pieces.concat();
        mac[1] == 1
    }));
    assert_eq!(content, b"switchboard-datagram-1\nboiler-7\n1764322271123\n/pub sensors.boiler  21.5");
    assert!(!signed.is_by(|_, _| false));
}

#[test]
fn what_is_written_otherwise_is_none() {
    let whole = format!("/by a 1 {MAC} x");
    assert!(parse(&whole).is_some() && parse(&format!("/BY A 1 {MAC} ")).is_some());
    for (before, after) in [
        ("/by", "by"),
        (" a ", "  a "),
        (" a ", " a b "),
        (" a ", " guest-1 "),
        (" a ", " é "),
        (" 1 ", " 01 "),
        (" 1 ", " 0 "),
        (" 1 ", " -1 "),
        (" 1 ", " +1 "),
        (" 1 ", " 99999999999999999999 "),
        (" 1 ", "  "),
        ("FF ", "F "),
        ("FF ", "FG "),
        ("FF ", "FF0 "),
        (" x", ""),
        (" 1 ", "\t1 "),
    ] {
        let other = whole.replacen(before, after, 1);
        assert_eq!(parse(&other), None, "{other}");
    }
    for end in 0..whole.len() - 1 {
        assert_eq!(parse(&whole[..end]), None, "{end} bytes of it");
    }
}

#[test]
fn a_time_counts_once_and_within_half_a_minute() {
    let mut times = SentTimes::since(100_000);
    assert!(!times.take(100_000, 100_000), "another process may have taken it");
    assert!(times.take(100_001, 100_000));
    assert!(!times.take(100_001, 100_000), "again");
    assert!(times.take(130_000, 100_000) && !times.take(130_001, 100_000));
    assert!(times.take(170_000, 200_000) && !times.take(169_999, 200_000));
}

#[test]
fn sixty_four_may_overtake_each_other_and_those_before_are_over() {
    let mut times = SentTimes::since(0);
    for time in (1..=64).rev() {
        assert!(times.take(1000 + time, 1000), "{time}");
    }
    assert!((1..=64).all(|time| !times.take(1000 + time, 1000)));
    assert!(times.take(1065, 1000), "the first of them makes place for it");
    assert!(!times.take(1001, 1000) && !times.take(1000, 1000));
    assert!((2..=65).all(|time| !times.take(1000 + time, 1000)));
}

proptest! {
    #[test]
    fn any_datagram_is_signed_as_it_is_written(
        head in "/[bB]y [a-z0-9.-]{1,5} [0-9]{1,14} [0-9a-fA-F]{31,33} ?", command in any::<Vec<u8>>()
    ) {
        run(&[head.as_bytes(), &command].concat());
    }

    #[test]
    fn no_time_counts_twice(steps in prop::collection::vec(any::<u8>(), 0..1000)) {
        run(&[&[0], &steps[..]].concat());
    }
}
