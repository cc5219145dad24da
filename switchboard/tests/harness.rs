//! What the tests share: servers that run, peers that speak to them, accounts of what is to come, chance, and a place to be alone.

pub(crate) mod account;
pub(crate) mod alone;
pub(crate) mod batches;
pub(crate) mod http2_client;
pub(crate) mod http2_frames;
pub(crate) mod http_peer;
pub(crate) mod model_log;
pub(crate) mod mote;
#[cfg(feature = "nats")]
pub(crate) mod nats_server;
pub(crate) mod node;
pub(crate) mod paced_log;
pub(crate) mod patience;
pub(crate) mod random;
pub(crate) mod seat;
pub(crate) mod served;
pub(crate) mod tls_peer;
