//! Which requests came and what they were answered: a line for each, in the log or in a file, if that is wanted.
//!
//! No token gets in: no header but three, and of a query only the parameters that are known to be none. Nobody waits for a line; those that
//! do not fit are lost and counted. What is no HTTP, or is answered before any service sees it, has no line.

use crate::logging::LogFormat;
use crate::logging::file::LineFile;
use http::HeaderMap;
use http::header::{HOST, HeaderName, ORIGIN, USER_AGENT};
use parking_lot::{Mutex, RwLock};
use std::fmt::Write as _;
use std::fs::File;
use std::io;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::SystemTime;
use switchboard::http::Request;
use switchboard::{Escaped, UserName};
use tokio::time::Instant;
use tracing::info;

/// Of all lines, where no file takes them.
const TARGET: &str = "switchboard::access";

/// What of a request's URL or of a header is told at most: a client may send 16 KiB.
const TOLD_BYTES: usize = 512;

/// Parameters whose values are shown. Of all others not even the name is: it may be a secret that is in the wrong place.
const SHOWN: [&str; 16] = [
    "address",
    "after",
    "echo",
    "event",
    "follow",
    "format",
    "glob",
    "limit",
    "listener",
    "name",
    "reason",
    "room",
    "since",
    "skip",
    "sort",
    "transport",
];

/// What ties a request to those that it was made for, by other programs (W3C Trace Context).
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// How much is told of each request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Detail {
    #[default]
    Off,
    On,
    /// Parameters and headers as well.
    Full,
}

impl Detail {
    const WORDS: [(&'static str, Self); 3] = [("off", Self::Off), ("on", Self::On), ("full", Self::Full)];

    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let found = Self::WORDS.into_iter().find(|(word, _)| *word == text);
        found.map(|(_, detail)| detail).ok_or_else(|| "neither off, on nor full".to_owned())
    }

    pub(crate) fn word(self) -> &'static str {
        Self::WORDS.into_iter().find(|(_, detail)| *detail == self).map_or("", |(word, _)| word)
    }
}

/// Where lines go. All listeners share it.
#[derive(Debug, Default)]
pub(crate) struct AccessLog {
    /// A `Detail`, in the order of its words: looked at by every request.
    detail: AtomicU8,
    /// Without one they are in the log.
    file: RwLock<Option<LineFile>>,
    format: LogFormat,
}

impl AccessLog {
    pub(crate) fn new(format: LogFormat) -> Self {
        Self { format, ..Self::default() }
    }

    /// From now on so much is told, in `file` or in the log.
    pub(crate) fn replace(&self, detail: Detail, file: Option<File>) -> io::Result<()> {
        LineFile::replace(&self.file, "access", file)?;
        // Relaxed: a request more or less.
        self.detail.store(detail as u8, Ordering::Relaxed);
        Ok(())
    }

    /// Writes what waits.
    pub(crate) fn finish(&self) {
        self.file.read().iter().for_each(LineFile::finish);
    }

    /// What a request is, if that is told.
    pub(super) fn begin(&self, request: &Request) -> Option<Begun> {
        // Relaxed: as above.
        let detail = self.detail.load(Ordering::Relaxed);
        if detail == Detail::Off as u8 {
            return None;
        }
        let (uri, headers) = (request.uri(), request.headers());
        let header = |name| headers.get(name).map(|value| told(value.as_bytes()));
        let mut more = Vec::new();
        if detail == Detail::Full as u8 {
            let query = uri.query().map(shown);
            let fields =
                [("query", query), ("host", header(HOST)), ("agent", header(USER_AGENT)), ("origin", header(ORIGIN))];
            more.extend(fields.into_iter().filter_map(|(name, value)| Some((name, value?))));
        }
        Some(Begun {
            since: Instant::now(),
            connection: request.id().into(),
            address: request.peer().to_string(),
            method: told(request.method().as_str().as_bytes()),
            path: told(uri.path().as_bytes()),
            more,
        })
    }

    /// Tells what it was answered, and whose it was.
    pub(super) fn tell(&self, begun: Begun, status: u16, noted: &Noted) {
        let took_us = begun.since.elapsed().as_micros() as u64;
        let name = noted.name.lock();
        let (principal, trace) = (name.as_ref().map(UserName::as_str), noted.trace.as_deref());
        let file = self.file.read();
        let Some(file) = &*file else {
            let Begun { connection, address, method, path, more, .. } = begun;
            let of = |name: &str| more.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_str());
            info!(
                target: TARGET, method, path, conn.id = connection, peer.addr = address, principal, status, took_us, trace,
                query = of("query"), host = of("host"), agent = of("agent"), origin = of("origin"), "request answered"
            );
            return;
        };
        file.append(&begun.line(self.format, SystemTime::now(), (status, took_us), (principal, trace)));
    }
}

/// A request that is being answered.
#[derive(Debug)]
pub(super) struct Begun {
    since: Instant,
    connection: u64,
    address: String,
    method: String,
    path: String,
    more: Vec<(&'static str, String)>,
}

impl Begun {
    fn line(
        self,
        format: LogFormat,
        time: SystemTime,
        (status, took_us): (u16, u64),
        (principal, trace): (Option<&str>, Option<&str>),
    ) -> String {
        let time = humantime::format_rfc3339_millis(time);
        let (mut line, between) = match format {
            LogFormat::Json => (format!("{{\"time\":\"{time}\",\"conn\":{}", self.connection), ":"),
            LogFormat::Text => (format!("{time} conn={}", self.connection), "="),
        };
        let mut add = |name: &str, value: &str, is_number: bool| {
            // What a client has sent is escaped as in the log. A text takes whatever is written.
            let value = Escaped(value.as_bytes()).to_string();
            let is_plain =
                is_number || format == LogFormat::Text && !value.is_empty() && !value.contains([' ', '"', '=']);
            let value = if is_plain { value } else { serde_json::Value::from(value).to_string() };
            let _ = match format {
                LogFormat::Json => write!(line, ",\"{name}\"{between}{value}"),
                LogFormat::Text => write!(line, " {name}{between}{value}"),
            };
        };
        add("address", &self.address, false);
        if let Some(principal) = principal {
            add("principal", principal, false);
        }
        add("method", &self.method, false);
        add("path", &self.path, false);
        add("status", &status.to_string(), true);
        add("took_us", &took_us.to_string(), true);
        if let Some(trace) = trace {
            add("trace", trace, false);
        }
        for (name, value) in &self.more {
            add(name, value, false);
        }
        line + if format == LogFormat::Json { "}\n" } else { "\n" }
    }
}

tokio::task_local! {
    /// The request that is being answered by this task.
    #[allow(clippy::disallowed_types, reason = "tokio's own cell, which no await sees")]
    static REQUEST: Noted;
}

/// What is found out about a request while it is answered.
#[derive(Debug, Default)]
pub(crate) struct Noted {
    /// What its client calls it.
    trace: Option<String>,
    name: Mutex<Option<UserName>>,
}

impl Noted {
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let trace = headers.get(TRACEPARENT).and_then(|value| value.to_str().ok()).filter(|text| is_trace(text));
        Self { trace: trace.map(str::to_owned), name: Mutex::default() }
    }

    /// Answers a request, and gives back what was noted of it.
    pub(super) async fn during<T>(self, answering: impl Future<Output = T>) -> (Self, T) {
        let mut answering = std::pin::pin!(REQUEST.scope(self, answering));
        let answered = answering.as_mut().await;
        (answering.take_value().unwrap_or_default(), answered)
    }
}

/// Says whose the request is that this task answers.
pub(crate) fn note_name(name: Option<&UserName>) {
    // There is none, where no request is answered.
    let _ = REQUEST.try_with(|noted| *noted.name.lock() = name.cloned());
}

/// What its client calls the request that this task answers.
pub(crate) fn trace() -> Option<String> {
    REQUEST.try_with(|noted| noted.trace.clone()).ok().flatten()
}

/// Whether it is a `traceparent`: a version, two numbers that are not zero, and flags, in lower case.
fn is_trace(text: &str) -> bool {
    let parts: Vec<_> = text.split('-').collect();
    let [version, trace, parent, flags] = parts[..] else { return false };
    let is_hex = |part: &str, digits: usize| {
        part.len() == digits && part.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    };
    let is_set = |part: &str| part.bytes().any(|byte| byte != b'0');
    is_hex(version, 2) && is_hex(trace, 32) && is_hex(parent, 16) && is_hex(flags, 2) && is_set(trace) && is_set(parent)
}

/// As much of a client's text as is told.
fn told(text: &[u8]) -> String {
    let cut = &text[..text.len().min(TOLD_BYTES)];
    let more = if cut.len() < text.len() { "…" } else { "" };
    format!("{}{more}", Escaped(cut))
}

/// A query without what may be a secret.
fn shown(query: &str) -> String {
    let is_shown = |pair: &&str| pair.split_once('=').is_some_and(|(name, _)| SHOWN.contains(&name));
    let pairs: Vec<_> = query.split('&').map(|pair| if is_shown(&pair) { pair } else { "hidden" }).collect();
    told(pairs.join("&").as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn begun(path: &str) -> Begun {
        let (address, method) = ("192.0.2.1:9".to_owned(), "POST".to_owned());
        let more = vec![("query", shown("since=1-2&access_token=s3cret&ticket=s3cret&s3cret&%61ccess_token=s3cret"))];
        Begun { since: Instant::now(), connection: 7, address, method, path: told(path.as_bytes()), more }
    }

    #[test]
    fn a_line_is_an_object_or_words_and_has_no_secret_and_no_second_line() {
        let hostile = "/rooms/a\n\u{1b}[31m \"x\u{2028}";
        let at = SystemTime::UNIX_EPOCH;
        let line = begun(hostile).line(LogFormat::Json, at, (202, 1234), (Some("alice"), Some(TRACE)));
        let object: serde_json::Value = serde_json::from_str(&line).expect("an object");
        assert_eq!((object["status"].as_u64(), object["took_us"].as_u64()), (Some(202), Some(1234)));
        assert_eq!((object["principal"].as_str(), object["trace"].as_str()), (Some("alice"), Some(TRACE)));
        assert_eq!(object["query"], "since=1-2&hidden&hidden&hidden&hidden");
        let text = begun(hostile).line(LogFormat::Text, at, (202, 1234), (Some("alice"), None));
        assert!(
            text.starts_with("1970-01-01T00:00:00.000Z conn=7 address=192.0.2.1:9 principal=alice method=POST path=\""),
            "{text}"
        );
        for line in [line, text] {
            assert!(line.ends_with('\n') && line.matches('\n').count() == 1 && line.is_ascii(), "{line}");
            assert!(!line.contains("s3cret") && !line.contains('\u{1b}'), "{line}");
        }
    }

    #[test]
    fn what_a_client_sends_is_cut() {
        assert!(told(&[b'a'; 16 << 10]).len() < TOLD_BYTES + 8);
    }

    #[test]
    fn only_what_looks_like_a_traceparent_is_one() {
        assert!(is_trace(TRACE));
        for other in [
            "",
            "00-0AF7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
        ] {
            assert!(!is_trace(other), "{other}");
        }
    }
}
