//! What one listener has counted of its requests: by path and status, and how long answers took. A path is counted by its template, so
//! that no label is anything that a client has sent.

use http::StatusCode;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use switchboard::{Durations, Histogram};

/// What this program answers with; anything else counts as 0.
const CODES: [u16; 24] = [
    0, 101, 200, 201, 202, 204, 304, 400, 401, 403, 404, 405, 408, 409, 413, 415, 421, 422, 426, 429, 431, 500, 501,
    503,
];

const BOUNDS: &[Duration] = &[
    Duration::from_micros(100),
    Duration::from_millis(1),
    Duration::from_millis(10),
    Duration::from_millis(100),
    Duration::from_secs(1),
    Duration::from_secs(10),
];

/// What stands for a path that there is not.
const NONE: &str = "";

/// All counts since the start.
#[derive(Debug)]
pub(crate) struct RequestCounts {
    templates: &'static [&'static str],
    /// As it was bound, once somebody has asked.
    listener: OnceLock<String>,
    /// For each template, and for what is none.
    routes: Vec<RouteCounts>,
}

#[derive(Debug)]
struct RouteCounts {
    /// Bytes of its template before the first part that stands for any: most paths differ from most templates there.
    fixed: usize,
    codes: [AtomicU64; CODES.len()],
    times: Histogram,
}

impl RequestCounts {
    pub(crate) fn new(templates: &'static [&'static str]) -> Self {
        let route = |template: &&str| {
            let fixed = template.find('{').unwrap_or(template.len());
            RouteCounts { fixed, codes: Default::default(), times: Histogram::new(BOUNDS) }
        };
        Self { templates, listener: OnceLock::new(), routes: templates.iter().chain([&NONE]).map(route).collect() }
    }

    /// A request for `path` at this listener was answered so, after so long.
    pub(crate) fn add(&self, listener: Option<&str>, path: &str, status: StatusCode, time: Duration) {
        self.listener.get_or_init(|| listener.unwrap_or_default().to_owned());
        let is_its = |(template, route): (&&str, &RouteCounts)| {
            path.starts_with(&template[..route.fixed]) && is_of(path, template)
        };
        let route = self.templates.iter().zip(&self.routes).position(is_its).unwrap_or(self.templates.len());
        let code = CODES.iter().position(|code| *code == status.as_u16()).unwrap_or(0);
        // Relaxed: a statistic, which guards nothing.
        self.routes[route].codes[code].fetch_add(1, Ordering::Relaxed);
        self.routes[route].times.record(time);
    }

    /// Listener, path, status and how many, of each that there was.
    pub(crate) fn requests(&self) -> impl Iterator<Item = (&str, &'static str, u16, u64)> {
        let listener = self.listener.get().map(String::as_str).unwrap_or_default();
        self.named().flat_map(move |(name, route)| {
            let counts = CODES.into_iter().zip(route.codes.iter().map(|count| count.load(Ordering::Relaxed)));
            counts.filter(|(_, count)| *count > 0).map(move |(code, count)| (listener, name, code, count))
        })
    }

    /// How long answers took, of each path that somebody has asked for.
    pub(crate) fn times(&self) -> impl Iterator<Item = (&'static str, Durations)> {
        self.named().map(|(name, route)| (name, route.times.durations())).filter(|(_, times)| times.count > 0)
    }

    fn named(&self) -> impl Iterator<Item = (&'static str, &RouteCounts)> {
        self.templates.iter().copied().chain([NONE]).zip(&self.routes)
    }
}

/// Whether a path has the parts of a template: `/rooms/{room}` stands for any one.
fn is_of(path: &str, template: &str) -> bool {
    let (mut parts, mut expected) = (path.split('/'), template.split('/'));
    loop {
        match (parts.next(), expected.next()) {
            (None, None) => return true,
            (Some(part), Some(expected)) if part == expected => {}
            (Some(part), Some(expected)) if expected.starts_with('{') && !part.is_empty() => {}
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_clients_ask_for_is_counted_by_templates_alone() {
        let counts = RequestCounts::new(&["/", "/rooms", "/rooms/{room}"]);
        let add = |path: &str, status: u16| {
            let status = StatusCode::from_u16(status).expect("a status");
            counts.add(Some("http://127.0.0.1:80"), path, status, Duration::from_millis(5));
        };
        for (path, status) in
            [("/rooms/evil\"", 200), ("/rooms/other", 200), ("/rooms/", 404), ("/x/../y", 404), ("/", 418)]
        {
            add(path, status);
        }
        let url = "http://127.0.0.1:80";
        let expected = [(url, "/", 0, 1), (url, "/rooms/{room}", 200, 2), (url, "", 404, 2)];
        assert_eq!(counts.requests().collect::<Vec<_>>(), expected);
        let times: Vec<_> = counts.times().map(|(name, times)| (name, times.count)).collect();
        assert_eq!(times, [("/", 1), ("/rooms/{room}", 2), ("", 2)]);
    }
}
