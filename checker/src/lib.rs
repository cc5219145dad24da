//! Judges what rooms were seen to do, whatever kept them: one node or many, in memory or on disk.
//!
//! A test records what publishers and members see ([`Recorder`]), in the order in which they see it, and [`judge`] says what of that
//! must not be: see [`Rule`]. Since a room gives each message its place in one order, each rule is decided in one walk; nothing is
//! searched for. A history can also be written and read as NDJSON, one [`Event`] a line, and judged by the program `judge`.
//!
//! Knows nothing of how rooms are made or reached.

mod history;
mod judge;
mod people;
mod stays;

pub use history::{Event, Id, Kept, Recorder, Told, read};
pub use judge::{Fault, Promise, Rule, judge};
