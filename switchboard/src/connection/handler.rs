//! What a listener does with its connections: a function, or state and a function.

use super::Connection;
use crate::error::BoxError;
use std::future::Future;
use switchboard_proto::Codec;

/// Handles the connections of a listener: an async function that takes a [`Connection`], or `(state, function)`, where
/// the function takes the connection and then a clone of the state.
///
/// The codec follows from the function's argument. The function returns `()` or a `Result<(), E>`. An error is logged,
/// and the [close reason](crate::CloseReason) is `HandlerError`; if the error is a close reason itself, the connection
/// is closed for it, as by [`Connection::close_as`]. A handler that does not finish in time is dropped: see
/// [`Timeouts::linger`](crate::Timeouts::linger).
///
/// A closure must name the type of its argument, `|mut conn: Connection<Lines>|`, unless it only calls a function with
/// it.
///
/// # Examples
/// ```
/// use std::sync::Arc;
/// use std::sync::atomic::{AtomicU64, Ordering};
/// use switchboard::prelude::*;
/// use switchboard::testing;
///
/// async fn number(mut conn: Connection<Lines>, visitors: Arc<AtomicU64>) -> Result {
///     let number = visitors.fetch_add(1, Ordering::Relaxed);
///     Ok(conn.send(format!("you are number {number}")).await?)
/// }
///
/// # tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap().block_on(async {
/// let visitors = Arc::new(AtomicU64::new(1));
/// let mut peer = testing::serve((visitors, number), Timeouts::default());
/// assert_eq!(peer.line().await, "you are number 1\n");
/// # });
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not handle connections",
    label = "neither `async fn(Connection<_>)` nor `(state, async fn(Connection<_>, state))`",
    note = "a handler returns `()` or `Result<(), E>`, and it, its state and its future are `Send` and `'static`"
)]
pub trait Handler<C: Codec>: Send + Sync + 'static {
    /// The future that handles the connection.
    type Future: Future<Output: HandlerOutput> + Send + 'static;

    /// Begins to handle a connection.
    fn handle(&self, connection: Connection<C>) -> Self::Future;
}

impl<C, H, F> Handler<C> for H
where
    C: Codec,
    H: Fn(Connection<C>) -> F + Send + Sync + 'static,
    F: Future<Output: HandlerOutput> + Send + 'static,
{
    type Future = F;

    fn handle(&self, connection: Connection<C>) -> F {
        self(connection)
    }
}

#[diagnostic::do_not_recommend]
impl<C, S, H, F> Handler<C> for (S, H)
where
    C: Codec,
    S: Clone + Send + Sync + 'static,
    H: Fn(Connection<C>, S) -> F + Send + Sync + 'static,
    F: Future<Output: HandlerOutput> + Send + 'static,
{
    type Future = F;

    fn handle(&self, connection: Connection<C>) -> F {
        let (state, function) = self;
        function(connection, state.clone())
    }
}

/// What a handler returns: nothing, or whether it succeeded.
#[diagnostic::on_unimplemented(
    message = "a handler returns `()` or `Result<(), E>`, not `{Self}`",
    note = "`E` is any error, a `String`, or a `switchboard::BoxError`; `switchboard::Result` has the latter"
)]
pub trait HandlerOutput {
    /// The error, if there is one.
    fn into_result(self) -> Result<(), BoxError>;
}

impl HandlerOutput for () {
    fn into_result(self) -> Result<(), BoxError> {
        Ok(())
    }
}

impl<E: Into<BoxError>> HandlerOutput for Result<(), E> {
    fn into_result(self) -> Result<(), BoxError> {
        self.map_err(Into::into)
    }
}
