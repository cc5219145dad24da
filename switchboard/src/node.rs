//! What all connections of a server share: its workers, the list of who is connected, how many may be, and how it stops.
//!
//! Knows neither listeners nor handlers, nor what is spoken.

mod admission;
mod connections;
mod drain;
mod owners;
mod worker;

pub(crate) use admission::{Admission, Admitted};
pub use connections::{ConnectionInfo, Connections};
pub use drain::Drained;
pub(crate) use drain::{Stop, sleep_awake};
pub(crate) use owners::{Owners, Scope, network};
pub(crate) use worker::{Assigned, Worker, Workers, spawn_for_life};
