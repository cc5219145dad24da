//! What keeps the messages of rooms beyond the process: the contract is [`RoomLog`].

#[cfg(feature = "nats")]
mod nats;
pub mod replica;
#[cfg(feature = "sqlite")]
mod sqlite;

pub(crate) use crate::hub::log::BESIDE;
pub use crate::hub::log::{
    Cursor, Done, LogError, PageLimit, Retention, RoomLog, SharedLog, SharedMessage, SharedRoom, StoredRoom, Submission,
};
#[cfg(feature = "nats")]
pub use nats::{
    CredentialsError, NATS_PROFILES, NatsCredentials, NatsEngine, NatsError, NatsLogStatus, NatsMetrics, NatsNode,
    NatsOptions, NatsProfile, NatsProfileError, NatsRequest, NatsRequests, NatsRetention, NatsServer, NatsServerError,
    NatsStanding, NatsStatus,
};
#[cfg(feature = "sqlite")]
pub use sqlite::{ImportError, Renewed, SqliteError, SqliteLog, SqliteMetrics, SqliteOptions, SqliteReport};
