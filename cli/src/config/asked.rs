//! Who is asked over HTTP, for keys or whose a token is: a URL taken apart, and the file of authorities that are believed there.

use super::values::Wrong;
use crate::fetch::{Bounds, Remote};
use crate::policy::callout::place::{Answering, PutQuestion};
use crate::policy::callout::{ANSWER_BYTES, ANSWER_TIME};
use crate::policy::rules::Rules;
use crate::policy::token::TokenHash;
use bytes::Bytes;
use std::path::Path;
use std::sync::Arc;
use switchboard::files;
use switchboard_load::typed::Secret;

/// As whoever reads it takes.
const CA_BYTES: u64 = 1 << 20;

/// What an answer of the callout may take.
const BOUNDS: Bounds = Bounds { body_bytes: ANSWER_BYTES, time: ANSWER_TIME };

/// Finds the callout of the rules.
pub(super) fn find_callout(rules: &mut Rules) -> Vec<Wrong> {
    let Some(section) = rules.callout.as_mut().filter(|section| !section.url.is_empty()) else { return Vec::new() };
    match find(&section.url, section.ca.as_deref()) {
        Ok((remote, mark)) => {
            section.place = Some(Arc::new(remote));
            section.mark = mark;
            Vec::new()
        }
        Err(faults) => faults.into_iter().map(|fault| (section.at, format!("callout: {fault}"))).collect(),
    }
}

impl PutQuestion for Remote {
    fn put<'a>(&'a self, question: Bytes, secret: Option<&'a Secret>) -> Answering<'a> {
        Box::pin(async move {
            let answer = self.post(question, secret, BOUNDS).await.map_err(|error| error.told())?;
            Ok((answer.status, answer.body))
        })
    }
}

/// Whom to ask at `url`, believing those in the file `ca`, and what stands for that file: with another one it is another table.
///
/// # Errors
/// What is wrong, in a sentence each.
pub(super) fn find(url: &str, ca: Option<&str>) -> Result<(Remote, Option<String>), Vec<String>> {
    let remote = Remote::new(url, ca.map(Path::new))?;
    Ok((remote, ca.map(mark)))
}

/// What stands for a file of authorities, which was read just now.
fn mark(ca: &str) -> String {
    // If it is gone by now, the next reload finds out.
    let bytes = files::read(Path::new(ca), CA_BYTES).unwrap_or_default();
    TokenHash::of_bytes(&bytes).to_string()
}
