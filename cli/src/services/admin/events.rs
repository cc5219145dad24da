//! What the audit has told lately, and what it tells from now on.

use super::Admin;
use super::operator::{Operator, Viewing};
use super::pages::EventPage;
use crate::policy::audit::Recorded;
use crate::web::answer::{self, OBJECTS};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use switchboard::http::Response;
use switchboard::{Connection, Lines};
use tokio::time::interval;

/// Sent between two looks whether the client is still there.
const TOGETHER: usize = 256;

/// Between two looks whether it may still be told: a token that is revoked has nothing after a second.
const REVIEW_INTERVAL: Duration = Duration::from_millis(500);

impl Admin {
    pub(super) fn events(&self, page: &EventPage) -> Value {
        let events = match page.since {
            Some(since) => self.audit.events_from(since.saturating_add(1), page.limit, |event| page.takes(event)),
            None => self.audit.newest_events(page.limit, |event| page.takes(event)),
        };
        // Whoever asks again asks behind the last of these, or from here if nothing has come.
        let last = events.last().map(|event| event.seq).or(page.since);
        let told: Vec<Value> =
            events.iter().filter_map(|Recorded { line, .. }| serde_json::from_str(line).ok()).collect();
        json!({ "events": told, "last": last })
    }

    /// Those behind `since`, or only those that come; until the client or the server has had enough, or the client may not see them
    /// any more. One that does not read loses the oldest, which their numbers show.
    pub(super) fn follow_events(&self, page: EventPage, operator: &Operator) -> Response {
        let (audit, viewing) = (Arc::clone(&self.audit), operator.viewing(self.policy.as_ref()));
        Response::stream(answer::endless(OBJECTS), move |mut conn: Connection<Lines>| async move {
            let mut told = audit.follow();
            let mut from = page.since.map_or_else(|| *told.borrow_and_update(), |since| since.saturating_add(1));
            let mut reviews = interval(REVIEW_INTERVAL);
            while viewing.as_ref().is_none_or(Viewing::may_view) {
                let events = audit.events_from(from, TOGETHER, |_| true);
                if let Some(last) = events.last() {
                    from = last.seq + 1;
                    for event in events.iter().filter(|event| page.takes(event)) {
                        conn.send(event.line.clone()).await?;
                    }
                    continue;
                }
                tokio::select! {
                    changed = told.changed() => if changed.is_err() { return Ok(()) },
                    _ = reviews.tick() => {}
                    // It says nothing: this is its end.
                    _ = conn.recv() => return Ok(()),
                }
            }
            Ok::<_, switchboard::BoxError>(())
        })
    }
}
