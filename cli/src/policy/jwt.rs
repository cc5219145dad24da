//! JSON Web Tokens: what another issuer signs, checked by its keys.
//!
//! [`compact`] takes a token apart, [`source`] checks it by a key, and [`claims`] holds what it says against what its source may say. We check
//! signatures by *ring* ourselves: docs/decisions/0006-jwt.md. Whose name is whose, and what it may do, is the snapshot's.

pub(crate) mod algorithm;
pub(crate) mod asking;
pub(crate) mod cache;
pub(crate) mod claims;
pub(crate) mod compact;
pub(crate) mod fault;
pub(crate) mod json;
mod key;
pub(crate) mod keys;
pub(crate) mod place;
pub(crate) mod section;
pub(crate) mod sign;
pub(crate) mod source;

#[cfg(test)]
#[path = "../../../fuzz/bodies/jwt.rs"]
mod body;
#[cfg(test)]
mod measured;
#[cfg(test)]
pub(crate) mod tests;
