//! What a server answers: for people `key: value` lines and tables, for programs JSON. Nothing in it can control a terminal.

use crate::logging::escaped_object;
use serde_json::{Map, Value};
use std::fmt::Write as _;
use std::time::Duration;
use switchboard::Escaped;

/// How an answer is shown.
#[derive(Debug, Clone, Copy)]
pub(super) enum Shown {
    /// Each field on a line.
    Fields,
    /// So, and its listeners in a table.
    Server,
    Columns(Listing),
    /// Each of its settings on a line, with where it came from.
    Settings,
}

/// A list, and what of each entry stands in which column.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Listing {
    list: &'static str,
    /// Where the answer says how many there are, and what they are.
    total: Option<(&'static str, &'static str)>,
    columns: &'static [(&'static str, &'static str)],
}

pub(crate) const CONNECTIONS: Listing = Listing {
    list: "connections",
    total: Some(("open", "open connections")),
    columns: &[
        ("ID", "id"),
        ("NAME", "name"),
        ("PEER", "peer"),
        ("TRANSPORT", "transport"),
        ("AGE", "age_seconds"),
        ("QUIET", "quiet_seconds"),
        ("IN", "bytes_in"),
        ("OUT", "bytes_out"),
        ("OUTBOX", "outbox_bytes"),
        ("BLOCKED", "blocked_seconds"),
        ("LOST", "lost"),
        ("ROOMS", "rooms"),
    ],
};

pub(super) const CLOSED: Listing = Listing {
    list: "closed",
    total: None,
    columns: &[
        ("TIME", "time"),
        ("REASON", "reason"),
        ("ID", "id"),
        ("NAME", "name"),
        ("PEER", "peer"),
        ("TRANSPORT", "transport"),
        ("AGE", "age_seconds"),
        ("IN", "bytes_in"),
        ("OUT", "bytes_out"),
        ("LOST", "lost"),
        ("UNWRITTEN", "unwritten"),
    ],
};

pub(super) const ROOMS: Listing = Listing {
    list: "rooms",
    total: Some(("total", "rooms")),
    columns: &[
        ("ROOM", "room"),
        ("MEMBERS", "members"),
        ("PUBLICATIONS", "publications"),
        ("HISTORY", "history_messages"),
        ("HISTORY BYTES", "history_bytes"),
    ],
};

pub(super) const UPSTREAMS: Listing = Listing {
    list: "upstreams",
    total: None,
    columns: &[
        ("UPSTREAM", "upstream"),
        ("LISTENER", "listener"),
        ("STATE", "state"),
        ("OPEN", "open"),
        ("LIMIT", "limit"),
        ("WAITING", "waiting"),
        ("CONNECTIONS", "connections"),
        ("FAILURES", "failures"),
        ("CHECKS", "checks_passed"),
        ("CHECKS FAILED", "checks_failed"),
        ("BYTES TO", "bytes_to"),
        ("BYTES FROM", "bytes_from"),
    ],
};

pub(super) const BANS: Listing = Listing {
    list: "bans",
    total: None,
    columns: &[("NETWORK", "network"), ("UNTIL", "until"), ("BY", "by"), ("REASON", "reason")],
};

pub(super) const REVOCATIONS: Listing = Listing {
    list: "revocations",
    total: Some(("total", "revocations")),
    columns: &[("ID", "id"), ("ISSUED BEFORE", "issued-before"), ("UNTIL", "until"), ("REASON", "reason")],
};

pub(super) const EVENTS: Listing = Listing {
    list: "events",
    total: None,
    columns: &[
        ("TIME", "time"),
        ("SEQ", "seq"),
        ("EVENT", "event"),
        ("PRINCIPAL", "principal"),
        ("SOURCE", "source"),
        ("ADDRESS", "address"),
        ("ACTION", "action"),
        ("REASON", "reason"),
    ],
};

const LISTENERS: Listing = Listing {
    list: "listeners",
    total: None,
    columns: &[("SERVICE", "service"), ("URL", "url"), ("OPEN", "open"), ("ACCEPTED", "accepted")],
};

impl Shown {
    pub(super) fn text(self, body: &Value) -> String {
        match self {
            Self::Fields => fields(body),
            Self::Server => format!("{}\n{}", fields(body), LISTENERS.text(body)),
            Self::Columns(table) => table.text(body),
            Self::Settings => settings(body),
        }
    }

    /// That a list is not all there is.
    pub(super) fn note(self, body: &Value) -> Option<String> {
        let Self::Columns(Listing { list, total: Some((total, what)), .. }) = self else { return None };
        let (listed, total) = (body[list].as_array()?.len() as u64, body[total].as_u64()?);
        (listed < total).then(|| format!("{listed} of {total} {what}"))
    }
}

impl Listing {
    /// Aligned: numbers to the right, everything else to the left.
    pub(crate) fn text(&self, body: &Value) -> String {
        let rows = body[self.list].as_array().map(Vec::as_slice).unwrap_or_default();
        let columns = self.columns.iter().map(|(head, key)| {
            let cells: Vec<_> = rows.iter().map(|row| value(key, &row[*key])).collect();
            let width = cells.iter().map(|cell| cell.chars().count()).fold(head.len(), usize::max);
            let is_number = rows.iter().any(|row| row[*key].is_number());
            let cells = std::iter::once((*head).to_owned()).chain(cells);
            let pad = |cell| if is_number { format!("{cell:>width$}") } else { format!("{cell:<width$}") };
            cells.map(pad).collect::<Vec<_>>()
        });
        let columns: Vec<_> = columns.collect();
        let mut text = String::new();
        for row in 0..=rows.len() {
            let cells: Vec<_> = columns.iter().map(|column| column[row].as_str()).collect();
            text.push_str(cells.join("  ").trim_end());
            text.push('\n');
        }
        text
    }
}

/// `key = value`, where it came from, and what changes it.
fn settings(body: &Value) -> String {
    let settings = body["from"].as_object().into_iter().flatten();
    settings.fold(String::new(), |mut text, (key, from)| {
        let shown = key.split('.').fold(&body["settings"], |settings, part| &settings[part]);
        let changed_by = &body["changed_by"][key];
        // Writing to memory does not fail.
        let _ = writeln!(
            text,
            "{} = {}  # {}; changed by a {}",
            name(key).replace(' ', "-"),
            Escaped(shown.to_string().as_bytes()),
            value("", from),
            value("", changed_by)
        );
        text
    })
}

/// As the server says it, on a line.
pub(crate) fn line(object: &Value) -> String {
    escaped_object(&object.to_string()) + "\n"
}

/// An event, on a line of its own.
pub(super) fn event(event: &Value) -> String {
    let fields = EVENTS.columns.iter().map(|(_, key)| &event[*key]).filter(|field| !field.is_null());
    fields.map(|field| value("", field)).collect::<Vec<_>>().join("  ") + "\n"
}

/// Each field on a line, but for lists of objects; of an object that holds others, each of its own below it.
pub(crate) fn fields(body: &Value) -> String {
    indented(body, "")
}

/// An answer is three objects deep at most.
fn indented(body: &Value, margin: &str) -> String {
    let fields = body.as_object().into_iter().flatten();
    fields.filter(|(_, field)| !is_table(field)).fold(String::new(), |mut text, (key, field)| {
        let name = name(key);
        // Writing to memory does not fail.
        let _ = if field.as_object().is_some_and(|fields| fields.values().any(Value::is_object)) {
            write!(text, "{margin}{name}:\n{}", indented(field, &format!("{margin}  ")))
        } else {
            writeln!(text, "{margin}{name}: {}", value(key, field))
        };
        text
    })
}

fn is_table(field: &Value) -> bool {
    field.as_array().is_some_and(|list| list.first().is_some_and(Value::is_object))
}

/// What a field is called.
fn name(key: &str) -> String {
    let name = key.trim_end_matches("_seconds").replace(['_', '-'], " ");
    Escaped(name.as_bytes()).to_string()
}

/// What it says.
pub(crate) fn value(key: &str, field: &Value) -> String {
    match field {
        Value::Null => "-".to_owned(),
        Value::Bool(is_so) => if *is_so { "yes" } else { "no" }.to_owned(),
        Value::Number(seconds) if key.ends_with("_seconds") => {
            // Nothing of a server lasts for longer than a `u64` has seconds.
            let seconds = Duration::try_from_secs_f64(seconds.as_f64().unwrap_or_default()).unwrap_or_default();
            time(seconds)
        }
        Value::Number(number) => number.to_string(),
        Value::String(text) => Escaped(text.as_bytes()).to_string(),
        Value::Array(list) if list.is_empty() => "-".to_owned(),
        Value::Array(list) => list.iter().map(|field| value("", field)).collect::<Vec<_>>().join(", "),
        Value::Object(fields) if fields.is_empty() => "-".to_owned(),
        Value::Object(fields) => object(fields),
    }
}

/// How much of a limit is used, or each field behind its name.
fn object(fields: &Map<String, Value>) -> String {
    let shown = |key: &str, number: &Value| match number.as_u64().filter(|_| key.starts_with("bytes")) {
        Some(bytes) => size(bytes),
        None => value(key, number),
    };
    let used = fields.iter().find(|(key, _)| *key != "limit");
    if let (2, Some(limit), Some((key, used))) = (fields.len(), fields.get("limit"), used) {
        return format!("{} of {}", shown(key, used), shown(key, limit));
    }
    let fields = fields.iter().map(|(key, field)| format!("{} {}", name(key), shown(key, field)));
    fields.collect::<Vec<_>>().join(", ")
}

/// In the largest unit of which there is one, with a tenth: `1.5 GiB`.
pub(crate) fn size(bytes: u64) -> String {
    let units = [(30, "GiB"), (20, "MiB"), (10, "KiB")];
    match units.into_iter().find(|(shift, _)| bytes >> shift > 0) {
        Some((shift, unit)) => {
            let tenths = (u128::from(bytes) * 10) >> shift;
            format!("{}.{} {unit}", tenths / 10, tenths % 10)
        }
        None => format!("{bytes} B"),
    }
}

/// Its two largest units: `3d 4h`.
pub(crate) fn time(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m {}s", seconds / 60, seconds % 60),
        3600..86400 => format!("{}h {}m", seconds / 3600, seconds / 60 % 60),
        _ => format!("{}d {}h", seconds / 86400, seconds / 3600 % 24),
    }
}

/// Why a server wants no connections now.
pub(super) fn unready(body: &Value) -> Vec<String> {
    let checks = body["checks"].as_object().into_iter().flatten();
    let failed = checks.filter(|(_, is_passed)| **is_passed == false).map(|(check, _)| match check.as_str() {
        "started" => "it is still starting".to_owned(),
        "not-draining" => "it drains".to_owned(),
        "not-put-aside" => "an operator has put it aside".to_owned(),
        "workers" => "a worker is held up".to_owned(),
        "data" => "the data directory takes no messages".to_owned(),
        "cluster" => "the log of the cluster takes no messages".to_owned(),
        "keys" => format!("no keys could be fetched for {}", value("", &body["without-keys"])),
        other => Escaped(other.as_bytes()).to_string(),
    });
    failed.collect()
}

pub(super) fn health(body: &Value, unready: &[String]) -> String {
    let ready = if unready.is_empty() { value("", &body["ready"]) } else { format!("no: {}", unready.join(", ")) };
    let near = &body["near"];
    let near = match near.as_array() {
        Some(near) if !near.is_empty() => format!("near its limit: {}\n", value("", &body["near"])),
        _ => String::new(),
    };
    format!("healthy: {}\nready: {ready}\n{near}", value("", &body["healthy"]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn columns_are_as_wide_as_what_is_in_them() {
        let rooms = json!({ "rooms": [
            { "room": "lobby", "members": 1200, "publications": 3, "history_messages": 0, "history_bytes": 10 },
            { "room": "a", "members": 7, "publications": 3, "history_messages": 0, "history_bytes": 10 },
        ], "total": 5 });
        assert_eq!(
            ROOMS.text(&rooms),
            "ROOM   MEMBERS  PUBLICATIONS  HISTORY  HISTORY BYTES\n\
             lobby     1200             3        0             10\n\
             a            7             3        0             10\n"
        );
        assert_eq!(Shown::Columns(ROOMS).note(&rooms), Some("2 of 5 rooms".to_owned()));
        assert_eq!(ROOMS.text(&json!({})), "ROOM  MEMBERS  PUBLICATIONS  HISTORY  HISTORY BYTES\n");
    }

    #[test]
    fn fields_are_lines_that_control_no_terminal() {
        let body = json!({
            "version": "1\u{1b}[2J\n", "uptime_seconds": 90061, "ready": true, "name": null,
            "memory": { "bytes": 7, "limit": 1_610_612_736_u64 }, "near": [], "listeners": [{ "url": "x" }],
            "config": { "reloads": 2, "last_reload_taken": false },
        });
        let text = fields(&body);
        assert!(!text.contains('\u{1b}') && text.lines().count() == 7, "{text}");
        for line in ["uptime: 1d 1h", "ready: yes", "name: -", "memory: 7 B of 1.5 GiB", "near: -"] {
            assert!(text.lines().any(|shown| shown == line), "{line}: {text}");
        }
        assert!(text.contains("last reload taken no") && text.contains("reloads 2"), "{text}");
        assert_eq!(value("blocked_seconds", &json!(-1e300)), "0s");
    }

    #[test]
    fn what_holds_objects_is_told_on_lines_below_its_name() {
        let body = json!({
            "connections": { "open": 2, "limit": 9, "closed": { "idle": 3 } }, "history": { "bytes": 2048, "messages": 1 },
            "transports": { "tcp": { "bytes_in": 3, "frames_in": 1 }, "ws": { "bytes_in": 4, "frames_in": 1 } }, "none": {},
        });
        let mut lines: Vec<_> =
            "connections:\n  closed: idle 3\n  limit: 9\n  open: 2\nhistory: bytes 2.0 KiB, messages 1\nnone: -\n\
            transports:\n  tcp: bytes in 3 B, frames in 1\n  ws: bytes in 4 B, frames in 1\n"
                .lines()
                .collect();
        let text = fields(&body);
        let mut told: Vec<_> = text.lines().collect();
        lines.sort_unstable();
        told.sort_unstable();
        assert_eq!(told, lines);
    }

    #[test]
    fn an_object_is_a_line_that_says_the_same_and_controls_no_terminal() {
        let body = json!({ "room": "\u{9b}2J\u{7f}\u{202e}é\n", "bytes": 7 });
        let text = line(&body);
        assert_eq!(text, "{\"bytes\":7,\"room\":\"\\u009b2J\\u007f\\u202eé\\n\"}\n");
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), body);
    }

    #[test]
    fn what_is_not_passed_is_said_in_words() {
        let body = json!({ "ready": false, "healthy": true, "near": ["rooms"], "without-keys": ["sso"],
            "checks": { "started": true, "not-put-aside": false, "keys": false, "new": false } });
        let unready = unready(&body);
        assert_eq!(unready.len(), 3);
        assert_eq!(
            health(&body, &["an operator has put it aside".to_owned()]),
            "healthy: yes\nready: no: an operator has put it aside\nnear its limit: rooms\n"
        );
        assert!(unready.contains(&"no keys could be fetched for sso".to_owned()), "{unready:?}");
    }
}
