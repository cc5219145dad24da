//! Whatever is done to a hub, it holds what a simple model holds, and every member is told what it should be.
//!
//! The steps and the model are the fuzz target's, and so are the sequences that are replayed here: an input once found
//! interesting, or failing, stays a test.

#[path = "../../fuzz/bodies/hub.rs"]
mod body;

use crate::seeds;
use proptest::prelude::*;

#[test]
fn the_model_holds_on_every_seed() {
    seeds::replay("hub", body::run);
}

/// Steps that mostly do something: everybody connects and joins first, and most of what follows is talk.
fn steps() -> impl Strategy<Value = String> {
    let step = (prop::sample::select(b"cjjjslpppppppntfurrwxdky".as_slice()), 0..6_u8, b'0'..=b'o');
    prop::collection::vec(step, 0..120).prop_map(|steps| {
        steps.iter().fold("c00 c10 c20 c30 j00 j10 j21 j35".to_owned(), |text, (what, who, how)| {
            format!("{text} {}{who}{}", char::from(*what), char::from(*how))
        })
    })
}

proptest! {
    // A quarter of the usual number, since each is a hundred steps. What it finds goes to the corpus, by hand.
    #![proptest_config(ProptestConfig {
        cases: ProptestConfig::default().cases / 4,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]
    #[test]
    fn the_model_holds_whatever_is_done(steps in steps()) {
        body::run(steps.as_bytes());
    }
}
