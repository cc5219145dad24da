//! What services over HTTP share, whatever they serve: whom a listener answers and how much it does for one address, the
//! parameters of requests, and how answers, files and refusals look to programs and to browsers.
//!
//! Knows no rooms. A service says what a request is answered with; [`Front`] does what stands around that.

pub(crate) mod access;
pub(crate) mod answer;
pub(crate) mod assets;
pub(crate) mod counts;
pub(crate) mod credential;
pub(crate) mod guard;
pub(crate) mod query;
pub(crate) mod work;

use crate::live::Replaceable;
use crate::policy::bans::Banned;
use access::{AccessLog, Noted};
use bytes::Bytes;
use counts::RequestCounts;
use guard::{Asker, Guard};
use http::request::Parts;
use http::{HeaderMap, StatusCode};
use std::sync::Arc;
use switchboard::grammar::{ErrorCode, Failure};
use switchboard::http::{BodyError, Request, Response};
use tokio::time::Instant;
use tracing::debug;
use work::Work;

/// What one listener does around its service.
pub(crate) struct Front {
    guard: Replaceable<Arc<Guard>>,
    /// From where nothing is answered.
    banned: Option<Banned>,
    work: Work,
    /// Where its requests are told of.
    access: Arc<AccessLog>,
    /// The methods that a path takes, if there is something.
    allowed: fn(&str) -> Option<&'static str>,
    counts: Option<Arc<RequestCounts>>,
}

impl Front {
    pub(crate) fn new(guard: Replaceable<Arc<Guard>>, work: Work, allowed: fn(&str) -> Option<&'static str>) -> Self {
        Self { guard, banned: None, work, access: Arc::default(), allowed, counts: None }
    }

    /// Answers nobody who is banned.
    pub(crate) fn but(self, banned: Banned) -> Self {
        Self { banned: Some(banned), ..self }
    }

    /// Tells of its requests.
    pub(crate) fn told_in(self, access: Arc<AccessLog>) -> Self {
        Self { access, ..self }
    }

    /// Counts what it answers.
    pub(crate) fn counted(self, counts: Arc<RequestCounts>) -> Self {
        Self { counts: Some(counts), ..self }
    }

    /// Whom it answers now.
    pub(crate) fn guard(&self) -> Arc<Guard> {
        self.guard.now()
    }

    pub(crate) fn work(&self) -> &Work {
        &self.work
    }

    /// Answers a request as `respond` does, if it may ask and its address may have more done, and tells of it.
    pub(crate) async fn answer<F>(&self, request: Request, respond: impl FnOnce(Asker, Request) -> F) -> Response
    where
        F: Future<Output = Result<Response, Failure>>,
    {
        let begun = self.access.begin(&request);
        let noted = Noted::of(request.headers());
        let (noted, response) = noted.during(self.answered(request, respond)).await;
        if let Some(begun) = begun {
            self.access.tell(begun, response.status().as_u16(), &noted);
        }
        response
    }

    async fn answered<F>(&self, request: Request, respond: impl FnOnce(Asker, Request) -> F) -> Response
    where
        F: Future<Output = Result<Response, Failure>>,
    {
        let (id, peer) = (request.id(), request.peer().clone());
        let counted = self.counts.as_ref().map(|counts| (counts, request.claimant(), Instant::now()));
        let (uri, is_for_people) = (request.uri().clone(), answer::is_for_people(request.headers()));
        let guard = self.guard();
        let banned = self.banned.as_ref().map_or(Ok(()), |banned| banned.admit(&peer));
        let admitted = banned.and_then(|()| guard.admit(request.head()));
        let page = match &admitted {
            Ok(asker) => asker.page().cloned(),
            Err(_) => guard.allowed(request.head()),
        };
        let answered = match (self.work.account(&peer).begin().await, admitted) {
            (Ok(()), Ok(asker)) => respond(asker, request).await,
            (Err(failure), _) | (_, Err(failure)) => Err(failure),
        };
        let mut response = answered.unwrap_or_else(|failure| {
            debug!(conn.id = u64::from(id), peer.addr = %peer, error = %failure, "request refused");
            match failure.code {
                ErrorCode::ForbiddenOrigin if is_for_people => answer::refusal_to_people(&failure).into(),
                _ => answer::refusal(&failure, (self.allowed)(uri.path())).into(),
            }
        });
        if let Some((counts, claimant, began)) = counted {
            counts.add(claimant.listener(), uri.path(), response.status(), began.elapsed());
        }
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            answer::protect(response.headers_mut(), page);
        }
        response
    }

    /// What is said to browsers where the library answers without asking.
    pub(crate) fn unasked(&self, head: Option<&Parts>, headers: &mut HeaderMap) {
        answer::protect(headers, head.and_then(|head| self.guard().allowed(head)));
    }
}

/// Receives a request's body, or says why not.
pub(crate) async fn body(request: &mut Request, limit: usize) -> Result<Bytes, Failure> {
    request.body(limit).await.map_err(|error| match error {
        BodyError::TooLong => Failure::new(ErrorCode::FrameTooLong, format!("body is longer than {limit} bytes")),
        BodyError::Slow => Failure::new(ErrorCode::TooSlow, error.to_string()),
        _ => Failure::new(ErrorCode::BadArgument, error.to_string()),
    })
}
