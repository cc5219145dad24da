//! What answers the requests of a listener: a function, or state and a function.

use super::{Request, Response};
use std::future::Future;

/// Answers the requests of a listener: an async function that takes a [`Request`], or `(state, function)`, where the
/// function takes the request and then a clone of the state.
///
/// It returns a [`Response`] or something that becomes one: an [`http::Response`] whose body is bytes or text, a
/// status, or a `Result` of such things.
///
/// A closure must name the type of its argument, `|request: Request|`, unless it only calls a function with it.
///
/// # Examples
/// ```
/// use http::StatusCode;
/// use std::sync::Arc;
/// use switchboard::http::Request;
/// use switchboard::prelude::*;
///
/// async fn find(request: Request, pages: Arc<Vec<&'static str>>) -> Result<http::Response<&'static str>, StatusCode> {
///     let page = pages.iter().find(|page| **page == request.uri().path());
///     page.map(|page| http::Response::new(*page)).ok_or(StatusCode::NOT_FOUND)
/// }
///
/// let server = Server::new().http("127.0.0.1:7004", (Arc::new(vec!["/home"]), find));
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not answer requests",
    label = "neither `async fn(Request)` nor `(state, async fn(Request, state))`",
    note = "a service returns what becomes a `Response`, and it, its state and its future are `Send` and `'static`"
)]
pub trait Service: Send + Sync + 'static {
    /// The future that produces the answer.
    type Future: Future<Output: Into<Response>> + Send + 'static;

    /// Begins to answer a request.
    fn answer(&self, request: Request) -> Self::Future;
}

impl<S, F> Service for S
where
    S: Fn(Request) -> F + Send + Sync + 'static,
    F: Future<Output: Into<Response>> + Send + 'static,
{
    type Future = F;

    fn answer(&self, request: Request) -> F {
        self(request)
    }
}

#[diagnostic::do_not_recommend]
impl<T, S, F> Service for (T, S)
where
    T: Clone + Send + Sync + 'static,
    S: Fn(Request, T) -> F + Send + Sync + 'static,
    F: Future<Output: Into<Response>> + Send + 'static,
{
    type Future = F;

    fn answer(&self, request: Request) -> F {
        let (state, function) = self;
        function(request, state.clone())
    }
}

impl<T: Into<Self>, E: Into<Self>> From<Result<T, E>> for Response {
    fn from(result: Result<T, E>) -> Self {
        result.map_or_else(Into::into, Into::into)
    }
}
