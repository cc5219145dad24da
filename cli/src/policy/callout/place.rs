//! Where a question is put: declared here, and done by whoever can speak HTTP.

use bytes::Bytes;
use http::StatusCode;
use std::pin::Pin;
use switchboard_load::typed::Secret;

/// What is answered, whatever it says, or why nothing is.
pub(crate) type Answering<'a> = Pin<Box<dyn Future<Output = Result<(StatusCode, Bytes), String>> + Send + 'a>>;

/// Puts a question, with what proves who asks; an answer is in bounds of [`ANSWER_TIME`](super::ANSWER_TIME) and
/// [`ANSWER_BYTES`](super::ANSWER_BYTES).
pub(crate) trait PutQuestion: Send + Sync {
    fn put<'a>(&'a self, question: Bytes, secret: Option<&'a Secret>) -> Answering<'a>;
}
