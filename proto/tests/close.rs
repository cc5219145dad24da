//! Why a connection ended.

use std::collections::HashSet;
use switchboard_proto::{CloseReason, Ending};

#[test]
fn all_is_in_the_order_of_the_numbers() {
    for (number, reason) in CloseReason::ALL.into_iter().enumerate() {
        assert_eq!(reason as usize, number, "{reason}");
    }
}

/// Counters are tables indexed by the reason: one that is missing from the end of `ALL` would be out of bounds.
#[test]
fn all_leaves_none_out() {
    // The compiler sees to it that every reason has a code, and each is one line of the source.
    let codes = include_str!("../src/close.rs").matches("=> \"").count();
    assert_eq!(CloseReason::ALL.len(), codes);
}

#[test]
fn codes_are_unique() {
    let codes: HashSet<_> = CloseReason::ALL.into_iter().map(CloseReason::code).collect();
    assert_eq!(codes.len(), CloseReason::ALL.len());
}

#[test]
fn codes_are_lower_case_words_with_hyphens_between() {
    for reason in CloseReason::ALL {
        let is_word = |word: &str| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase());
        assert!(reason.code().split('-').all(is_word), "{reason}");
    }
}

#[test]
fn a_reason_displays_as_its_code() {
    assert_eq!(CloseReason::FrameTooLong.to_string(), "frame-too-long");
}

#[test]
fn only_a_peer_that_is_gone_in_the_way_or_not_let_in_loses_what_is_queued() {
    let abrupt: Vec<_> = CloseReason::ALL.into_iter().filter(|reason| reason.ending() == Ending::Abrupt).collect();
    let expected = [
        CloseReason::PeerReset,
        CloseReason::PeerLost,
        CloseReason::SlowConsumer,
        CloseReason::Aborted,
        CloseReason::OutOfMemory,
        CloseReason::Reset,
        CloseReason::BadProxyHeader,
        CloseReason::Banned,
    ];
    assert_eq!(abrupt, expected);
}

#[test]
fn a_broken_rule_or_a_failure_is_not_ordinary() {
    let ordinary: Vec<_> = CloseReason::ALL.into_iter().filter(|reason| reason.is_ordinary()).collect();
    let expected = [
        CloseReason::PeerClosed,
        CloseReason::Finished,
        CloseReason::Idle,
        CloseReason::Closed,
        CloseReason::Drained,
        CloseReason::Reset,
        CloseReason::Expired,
        CloseReason::Revoked,
    ];
    assert_eq!(ordinary, expected);
}
