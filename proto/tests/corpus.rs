//! The fuzz targets' corpora, replayed: an input once found interesting, or failing, stays a test.

#[path = "../../fuzz/bodies/command.rs"]
pub(crate) mod command;
#[path = "../../fuzz/bodies/forwarded.rs"]
pub(crate) mod forwarded;
#[path = "../../fuzz/bodies/glob.rs"]
pub(crate) mod glob;
#[path = "../../fuzz/bodies/guarded.rs"]
pub(crate) mod guarded;
#[path = "../../fuzz/bodies/length.rs"]
pub(crate) mod length;
#[path = "../../fuzz/bodies/lines.rs"]
pub(crate) mod lines;
#[path = "../../fuzz/bodies/output.rs"]
pub(crate) mod output;
#[path = "../../fuzz/bodies/proxied.rs"]
pub(crate) mod proxied;
#[path = "../../fuzz/bodies/rights.rs"]
pub(crate) mod rights;
#[path = "../../fuzz/bodies/signed.rs"]
pub(crate) mod signed;
#[path = "../../fuzz/bodies/websocket.rs"]
pub(crate) mod websocket;

use crate::seeds;

#[test]
fn lines_hold_on_every_seed() {
    seeds::replay("lines", lines::run);
}

#[test]
fn guarded_lines_hold_on_every_seed() {
    seeds::replay("guarded", guarded::run);
}

#[test]
fn length_holds_on_every_seed() {
    seeds::replay("length", length::run);
}

#[test]
fn websocket_holds_on_every_seed() {
    seeds::replay("websocket", websocket::run);
}

#[test]
fn output_holds_on_every_seed() {
    seeds::replay("output", output::run);
}

#[test]
fn commands_hold_on_every_seed() {
    seeds::replay("command", command::run);
}

#[test]
fn globs_hold_on_every_seed() {
    seeds::replay("glob", glob::run);
}

#[test]
fn rights_hold_on_every_seed() {
    seeds::replay("rights", rights::run);
}

#[test]
fn proxy_headers_hold_on_every_seed() {
    seeds::replay("proxied", proxied::run);
}

#[test]
fn forwarded_requests_hold_on_every_seed() {
    seeds::replay("forwarded", forwarded::run);
}

#[test]
fn signed_datagrams_hold_on_every_seed() {
    seeds::replay("signed", signed::run);
}
