//! What services over HTTP share, whatever they serve: whom a listener answers and how much it does for one address, the
//! parameters of requests, and how answers, files and refusals look to programs and to browsers.
//!
//! Knows no rooms. A service says what a request is answered with; [`Front`] does what stands around that.

pub(crate) mod answer;
pub(crate) mod assets;
pub(crate) mod guard;
pub(crate) mod query;
pub(crate) mod work;

use guard::{Asker, Guard};
use http::header::{CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, StatusCode, Version};
use switchboard::grammar::{ErrorCode, Failure};
use switchboard::http::{Request, Response};
use tracing::debug;
use work::Work;

/// What one listener does around its service.
pub(crate) struct Front {
    guard: Guard,
    work: Work,
    /// The methods that a path takes, if there is something.
    allowed: fn(&str) -> Option<&'static str>,
}

impl Front {
    pub(crate) fn new(guard: Guard, work: Work, allowed: fn(&str) -> Option<&'static str>) -> Self {
        Self { guard, work, allowed }
    }

    pub(crate) fn guard(&self) -> &Guard {
        &self.guard
    }

    pub(crate) fn work(&self) -> &Work {
        &self.work
    }

    /// Answers a request as `respond` does, if it may ask and its address may have more done.
    pub(crate) async fn answer<F>(&self, request: Request, respond: impl FnOnce(Asker, Request) -> F) -> Response
    where
        F: Future<Output = Result<Response, Failure>>,
    {
        let (id, peer) = (request.id(), request.peer().clone());
        let (uri, is_for_people) = (request.uri().clone(), answer::is_for_people(request.headers()));
        let (has_body, is_post) = (has_body(request.head()), request.method() == Method::POST);
        let admitted = self.guard.admit(request.head());
        let page = match &admitted {
            Ok(asker) => asker.page().cloned(),
            Err(_) => self.guard.allowed(request.head()),
        };
        let answered = match (self.work.account(&peer).begin().await, admitted) {
            (Ok(()), Ok(asker)) => respond(asker, request).await,
            (Err(failure), _) | (_, Err(failure)) => Err(failure),
        };
        // A body that nobody reads must not be taken for the next request.
        // Who is to come back later may do so here: it has sent its body by then.
        let is_over = |failure: &Failure| failure.code != ErrorCode::RateLimited;
        let ends = has_body && (!is_post || answered.as_ref().err().is_some_and(is_over));
        let mut response = answered.unwrap_or_else(|failure| {
            debug!(conn.id = u64::from(id), peer.addr = %peer, error = %failure, "request refused");
            match failure.code {
                ErrorCode::ForbiddenOrigin if is_for_people => answer::refusal_to_people(&failure).into(),
                _ => answer::refusal(&failure, (self.allowed)(uri.path())).into(),
            }
        });
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            answer::protect(response.headers_mut(), page);
            if ends {
                response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            }
        }
        response
    }

    /// What is said to browsers where the library answers without asking.
    pub(crate) fn unasked(&self, head: Option<&Parts>, headers: &mut HeaderMap) {
        answer::protect(headers, head.and_then(|head| self.guard.allowed(head)));
    }
}

/// Whether a body follows the head, over HTTP/1: over HTTP/2 each has a stream of its own.
fn has_body(head: &Parts) -> bool {
    let is_long = head.headers.get(CONTENT_LENGTH).is_some_and(|length| length != "0");
    head.version < Version::HTTP_2 && (is_long || head.headers.contains_key(TRANSFER_ENCODING))
}
