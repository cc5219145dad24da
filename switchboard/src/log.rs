//! What keeps the messages of rooms beyond the process: the contract is [`RoomLog`].

pub mod replica;
#[cfg(feature = "sqlite")]
mod sqlite;

#[cfg(feature = "sqlite")]
pub(crate) use crate::hub::log::BESIDE;
pub use crate::hub::log::{Cursor, Done, LogError, PageLimit, Retention, RoomLog, StoredRoom};
#[cfg(feature = "sqlite")]
pub use sqlite::{ImportError, Renewed, SqliteError, SqliteLog, SqliteMetrics, SqliteOptions, SqliteReport};
