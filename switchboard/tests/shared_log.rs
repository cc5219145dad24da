//! A log that several nodes append to.

#[path = "../../fuzz/bodies/envelope.rs"]
mod body;

use crate::seeds;

#[test]
fn whatever_stands_in_a_shared_log_is_an_envelope_or_refused() {
    seeds::replay("envelope", body::run);
}
