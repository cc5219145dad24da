//! What the audit has told lately, and what it tells from now on.

use super::Admin;
use super::pages::EventPage;
use crate::policy::audit::Recorded;
use crate::web::answer::{self, OBJECTS};
use serde_json::{Value, json};
use std::sync::Arc;
use switchboard::http::Response;
use switchboard::{Connection, Lines};

/// Sent between two looks whether the client is still there.
const TOGETHER: usize = 256;

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

    /// Those behind `since`, or only those that come; until the client or the server has had enough. One that does not read loses the
    /// oldest, which their numbers show.
    pub(super) fn follow_events(&self, page: EventPage) -> Response {
        let audit = Arc::clone(&self.audit);
        Response::stream(answer::endless(OBJECTS), move |mut conn: Connection<Lines>| async move {
            let mut told = audit.follow();
            let mut from = page.since.map_or_else(|| *told.borrow_and_update(), |since| since.saturating_add(1));
            loop {
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
                    // It says nothing: this is its end.
                    _ = conn.recv() => return Ok::<_, switchboard::BoxError>(()),
                }
            }
        })
    }
}
