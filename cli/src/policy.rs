//! Who somebody is, and what it may do: what an operator's file says of it.

pub(crate) mod audit;
pub(crate) mod bans;
pub(crate) mod callout;
pub(crate) mod check;
pub(crate) mod command;
pub(crate) mod configured;
pub(crate) mod datagrams;
pub(crate) mod explain;
pub(crate) mod failures;
pub(crate) mod jwt;
pub(crate) mod keeper;
pub(crate) mod kept;
pub(crate) mod peers;
pub(crate) mod proof;
mod renewing;
pub(crate) mod revocations;
pub(crate) mod rules;
pub(crate) mod snapshot;
pub(crate) mod tally;
pub(crate) mod token;
mod vouching;
