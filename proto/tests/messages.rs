//! Ids of messages, and codes of errors.

use proptest::prelude::*;
use std::collections::HashSet;
use switchboard_proto::{Epoch, ErrorCode, Failure, IdError, MessageId};

proptest! {
    #[test]
    fn an_id_is_read_back_as_it_was_written(random in any::<u32>(), seq in any::<u64>()) {
        let id = MessageId { epoch: Epoch::new(random), seq };
        prop_assert_eq!(id.to_string().parse(), Ok(id));
        prop_assert_eq!(id.epoch.to_string().parse(), Ok(id.epoch));
    }

    #[test]
    fn any_text_is_an_id_or_is_refused(text in "[0-9a-zA-Z+ -]{0,12}|.{0,8}") {
        if let Ok(id) = text.parse::<MessageId>() {
            prop_assert_eq!(id.to_string().parse(), Ok(id));
        }
    }
}

#[test]
fn an_id_is_the_epoch_in_base_36_and_the_number() {
    let id = MessageId { epoch: "k3f9".parse().unwrap(), seq: 7 };
    assert_eq!(id.to_string(), "k3f9-7");
    assert_eq!("k3f9-7".parse(), Ok(id));
    assert_eq!(Epoch::new(0).to_string(), "0");
    assert_eq!(Epoch::new(35).to_string(), "z");
    assert_eq!(Epoch::new(36).to_string(), "10");
    assert_eq!(Epoch::new(u32::MAX).to_string(), "1z141z3");
}

#[test]
fn what_is_no_id_is_refused() {
    for bad in ["", "-", "7", "k3f9", "k3f9-", "-7", "+1-7", "1-+7", "1-7-7", "1- 7", "1-x", "1z141z4-1", "zzzzzzzz-1"]
    {
        assert_eq!(bad.parse::<MessageId>(), Err(IdError), "{bad:?}");
    }
    assert_eq!("1-18446744073709551616".parse::<MessageId>(), Err(IdError));
}

#[test]
fn codes_are_distinct_and_kebab_case() {
    let codes: HashSet<_> = ErrorCode::ALL.iter().map(|code| code.code()).collect();
    assert_eq!(codes.len(), ErrorCode::ALL.len());
    for code in codes {
        assert!(code.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-'), "{code}");
    }
}

#[test]
fn a_failure_displays_its_code_and_its_text() {
    let failure = Failure::new(ErrorCode::NameTaken, "alice is taken");
    assert_eq!(failure.to_string(), "name-taken: alice is taken");
}
