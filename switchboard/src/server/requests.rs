//! Listeners on which HTTP is spoken: requests and their answers, and WebSockets.

use super::{Server, Serving, accept};
use crate::connection::Handler;
use crate::http::{self, HttpScheme, HttpTransport, Request, Service, Site};
use crate::transport::Transport;
use crate::transport::tcp::Tcp;
#[cfg(feature = "tls")]
use crate::transport::tls::{Certificates, Tls};
use ::http::HeaderMap;
use ::http::request::Parts;
use std::sync::Arc;
use switchboard_proto::WebSocket;

impl Server {
    /// Answers HTTP requests to `address`; port 0 picks a free port. Needs feature `http`.
    ///
    /// A [`Service`] is an async function that takes a [`Request`], or `(state, function)`. It can also turn the connection into a
    /// WebSocket ([`Request::upgrade`]) or stream its answer ([`Response::stream`](crate::http::Response::stream)).
    ///
    /// # Examples
    /// Methods, headers and statuses are those of the crate `http`, version 1.
    ///
    /// ```no_run
    /// use switchboard::http::{Method, Request, Response, StatusCode, types};
    /// use switchboard::prelude::*;
    ///
    /// async fn repeat(mut request: Request) -> Result<Response, Response> {
    ///     if request.method() != Method::POST {
    ///         return Err(StatusCode::METHOD_NOT_ALLOWED.into());
    ///     }
    ///     Ok(types::Response::new(request.body(64 << 10).await?).into())
    /// }
    ///
    /// # async fn serve() -> Result {
    /// Server::new().http("127.0.0.1:7004", repeat).serve_until(ctrl_c()).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn http(self, address: impl ToString, service: impl Service) -> Self {
        self.listen_http(Tcp::new(address), service)
    }

    /// Answers HTTP requests over TLS, presenting one of `certificates`; port 0 picks a free port. Needs features `http` and `tls`.
    #[cfg(feature = "tls")]
    pub fn https(self, address: impl ToString, certificates: &Certificates, service: impl Service) -> Self {
        self.listen_http(Tls::new(address, certificates), service)
    }

    /// Answers HTTP requests on any stream transport, with settings of its own.
    pub fn listen_http(self, transport: impl Transport, service: impl Service) -> Self {
        self.listen_http_with(transport, service, |_, _| ())
    }

    /// As [`listen_http`](Self::listen_http), with headers for answers that the service is not asked for: to requests that cannot be
    /// understood, are too long or arrive too slowly. `unasked` gets the head of a request whose head is whole; of any other, a head with
    /// nothing but its `Origin`, if it had one.
    pub fn listen_http_with(
        self,
        transport: impl Transport,
        service: impl Service,
        unasked: impl Fn(Option<&Parts>, &mut HeaderMap) + Send + Sync + 'static,
    ) -> Self {
        self.requests(HttpTransport::new(transport, HttpScheme::Http), service, unasked)
    }

    /// Handles WebSockets to `address`, whatever their path; port 0 picks a free port. Needs feature `http`.
    ///
    /// Any website's page may open one in a browser. To decide which may, use [`listen_upgrades`](Self::listen_upgrades) and
    /// check `Origin`.
    pub fn websocket(self, address: impl ToString, handler: impl Handler<WebSocket>) -> Self {
        self.listen_websocket(Tcp::new(address), handler)
    }

    /// Handles WebSockets on any stream transport, with settings of its own.
    pub fn listen_websocket(self, transport: impl Transport, handler: impl Handler<WebSocket>) -> Self {
        let handler = Arc::new(handler);
        self.listen_upgrades(transport, move |request: Request| {
            let handler = Arc::clone(&handler);
            std::future::ready(request.upgrade(&[], move |conn| handler.handle(conn)))
        })
    }

    /// Answers requests for WebSockets on any stream transport, as [`listen_http`](Self::listen_http) does: for a service that
    /// checks each request before it calls [`Request::upgrade`].
    pub fn listen_upgrades(self, transport: impl Transport, service: impl Service) -> Self {
        self.requests(HttpTransport::new(transport, HttpScheme::WebSocket), service, |_, _| ())
    }

    fn requests(
        mut self,
        transport: impl Transport,
        service: impl Service,
        unasked: impl Fn(Option<&Parts>, &mut HeaderMap) + Send + Sync + 'static,
    ) -> Self {
        let service = Arc::new(service);
        self.entries.push(accept::entry(transport, move |serving: &Serving| {
            let site = Arc::new(Site { node: Arc::clone(&serving.node), unasked: Box::new(unasked) });
            move |link, source| http::serve(link, source, &service, &site)
        }));
        self
    }
}
