//! Signed datagrams: what is signed is what is written, in one way only; and no time counts twice, whatever the order.
//!
//! An input is a datagram, or behind a byte of zero pairs of bytes: how much later than the one before something was sent, and how
//! much later it came.

use bytes::Bytes;
use std::collections::BTreeSet;
use switchboard_proto::{SentTimes, Signed};

/// Panics if a datagram means something else than it says, or a time counts twice.
pub(crate) fn run(data: &[u8]) {
    match data {
        [0, steps @ ..] => times(steps),
        frame => datagram(&Bytes::copy_from_slice(frame)),
    }
}

fn datagram(frame: &Bytes) {
    let Some(signed) = Signed::parse(frame) else { return };
    let mut content = Vec::new();
    assert!(signed.is_by(|pieces, mac| {
        content = pieces.concat();
        *mac == signed.mac
    }));
    let rest = content.strip_prefix(b"switchboard-datagram-1\n").unwrap();
    let lines: Vec<_> = rest.splitn(3, |byte| *byte == b'\n').collect();
    let mac = u128::from_be_bytes(signed.mac);
    let (name, time) = (str::from_utf8(lines[0]).unwrap(), str::from_utf8(lines[1]).unwrap());
    assert_eq!((name, time, lines[2]), (signed.name.as_str(), &*signed.time.to_string(), &*signed.command));
    let again = [format!("/by {name} {time} {mac:032x} ").as_bytes(), lines[2]].concat();
    assert!(again.eq_ignore_ascii_case(frame), "written in one way only");
}

/// Times with the simplest memory there is.
fn times(steps: &[u8]) {
    const STARTED: u64 = 1_000_000;
    let (mut sent, mut now) = (STARTED, STARTED);
    let mut times = SentTimes::since(STARTED);
    let (mut taken, mut last, mut floor) = (BTreeSet::new(), BTreeSet::new(), STARTED);
    for step in steps.chunks_exact(2) {
        // Back as well as on, by little and by much.
        sent = sent.saturating_add_signed(i64::from(step[0].cast_signed()).pow(3) / 64);
        now += u64::from(step[1]).pow(2);
        let expected = sent > floor && sent.abs_diff(now) <= 30_000 && !last.contains(&sent);
        assert_eq!(times.take(sent, now), expected);
        if expected {
            assert!(taken.insert(sent), "it counts twice");
            last.insert(sent);
            if last.len() > 64 {
                floor = last.pop_first().unwrap();
            }
        }
    }
}
