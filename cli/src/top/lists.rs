//! What can be listed, in which orders, by what columns; and what a filter stands for.

use crate::admin::shown;
use serde_json::Value;
use std::fmt::Write as _;
use switchboard_load::typed::percent_encoded;

/// Rows that are asked for each second.
const ROWS: usize = 200;

/// And if only some of them are shown: as many as a server lists.
const SEARCHED: usize = 1000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum List {
    Connections,
    Rooms,
    Closed,
    Events,
    /// Where connections are passed on.
    Upstreams,
}

/// A list in one of its orders.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sorted {
    pub(super) list: List,
    pub(super) order: Order,
}

/// What comes first, and by which key it is chosen.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Choice {
    pub(super) key: char,
    /// As the server has it; empty where there is but one.
    name: &'static str,
    pub(super) told: &'static str,
}

pub(super) type Order = &'static Choice;

/// What of each row is shown.
pub(super) struct Column {
    pub(super) title: &'static str,
    pub(super) field: &'static str,
    /// Where not all fit: the lowest are shown.
    pub(super) rank: u8,
}

const fn choice(key: char, name: &'static str, told: &'static str) -> Choice {
    Choice { key, name, told }
}

const fn column(title: &'static str, field: &'static str, rank: u8) -> Column {
    Column { title, field, rank }
}

static CONNECTION_ORDERS: &[Choice] = &[
    choice('o', "outbox", "largest outbox first"),
    choice('l', "lost", "most lost first"),
    choice('q', "quiet", "longest quiet first"),
    choice('a', "age", "oldest first"),
    choice('i', "in", "most received first"),
];

static ROOM_ORDERS: &[Choice] = &[
    choice('m', "members", "most members first"),
    choice('p', "publications", "most messages first"),
    choice('h', "history", "largest history first"),
    choice('n', "name", "by name"),
];

static CLOSED_ORDERS: &[Choice] = &[choice('x', "", "latest first")];

static EVENT_ORDERS: &[Choice] = &[choice('e', "", "latest first")];

static UPSTREAM_ORDERS: &[Choice] = &[choice('u', "", "as they are given")];

static CONNECTION_COLUMNS: &[Column] = &[
    column("ID", "id", 0),
    column("NAME", "name", 1),
    column("PEER", "peer", 4),
    column("VIA", "transport", 8),
    column("OUTBOX", "outbox_bytes", 2),
    column("BLOCKED", "blocked_seconds", 3),
    column("LOST", "lost", 5),
    column("QUIET", "quiet_seconds", 6),
    column("AGE", "age_seconds", 7),
    column("IN", "bytes_in", 9),
    column("OUT", "bytes_out", 10),
    column("ROOMS", "rooms", 11),
];

static ROOM_COLUMNS: &[Column] = &[
    column("ROOM", "room", 0),
    column("MEMBERS", "members", 1),
    column("MESSAGES", "publications", 2),
    column("KEPT", "history_messages", 3),
    column("HISTORY", "history_bytes", 4),
];

static CLOSED_COLUMNS: &[Column] = &[
    column("TIME", "time", 3),
    column("REASON", "reason", 0),
    column("ID", "id", 2),
    column("PEER", "peer", 1),
    column("VIA", "transport", 5),
    column("AGE", "age_seconds", 4),
    column("IN", "bytes_in", 8),
    column("OUT", "bytes_out", 9),
    column("LOST", "lost", 6),
    column("UNWRITTEN", "unwritten", 7),
];

static EVENT_COLUMNS: &[Column] = &[
    column("TIME", "time", 2),
    column("EVENT", "event", 0),
    column("WHO", "principal", 1),
    column("ADDRESS", "address", 3),
    column("ACTION", "action", 4),
    column("REASON", "reason", 5),
    column("SOURCE", "source", 6),
];

static UPSTREAM_COLUMNS: &[Column] = &[
    column("UPSTREAM", "upstream", 0),
    column("STATE", "state", 1),
    column("OPEN", "open", 2),
    column("WAITING", "waiting", 4),
    column("PASSED ON", "connections", 5),
    column("FAILURES", "failures", 3),
    column("TO", "bytes_to", 6),
    column("FROM", "bytes_from", 7),
    column("PROXY", "listener", 8),
];

impl List {
    pub(super) const ALL: [Self; 5] = [Self::Connections, Self::Rooms, Self::Closed, Self::Events, Self::Upstreams];

    pub(super) fn key(self) -> char {
        match self {
            Self::Connections => 'c',
            Self::Rooms => 'r',
            Self::Closed => 'x',
            Self::Events => 'e',
            Self::Upstreams => 'u',
        }
    }

    /// Where a server has it, and what its answer calls it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Connections => "connections",
            Self::Rooms => "rooms",
            Self::Closed => "closed",
            Self::Events => "events",
            Self::Upstreams => "upstreams",
        }
    }

    pub(super) fn orders(self) -> &'static [Choice] {
        match self {
            Self::Connections => CONNECTION_ORDERS,
            Self::Rooms => ROOM_ORDERS,
            Self::Closed => CLOSED_ORDERS,
            Self::Events => EVENT_ORDERS,
            Self::Upstreams => UPSTREAM_ORDERS,
        }
    }

    /// As it comes unless another order is chosen.
    pub(super) fn first(self) -> Sorted {
        Sorted { list: self, order: &self.orders()[0] }
    }

    pub(super) fn columns(self) -> &'static [Column] {
        match self {
            Self::Connections => CONNECTION_COLUMNS,
            Self::Rooms => ROOM_COLUMNS,
            Self::Closed => CLOSED_COLUMNS,
            Self::Events => EVENT_COLUMNS,
            Self::Upstreams => UPSTREAM_COLUMNS,
        }
    }

    /// What tells a row from others.
    pub(super) fn identity(self, row: &Value) -> &Value {
        match self {
            Self::Rooms => &row["room"],
            Self::Connections | Self::Closed => &row["id"],
            Self::Events => &row["seq"],
            Self::Upstreams => &row["upstream"],
        }
    }
}

impl Sorted {
    /// What a server is asked for. Of a filter, it is told what has a `=`.
    pub(super) fn path(self, filter: &str) -> String {
        if self.list == List::Upstreams {
            // There are few of them, all in one answer.
            return "/upstreams".to_owned();
        }
        let limit = if words(filter).next().is_some() { SEARCHED } else { ROWS };
        let mut path = format!("/{}?limit={limit}", self.list.name());
        let asked = filter.split_whitespace().filter_map(|word| word.split_once('='));
        let order = Some(("sort", self.order.name)).filter(|(_, name)| !name.is_empty());
        for (key, value) in order.into_iter().chain(asked) {
            // Writing to memory does not fail.
            let _ = write!(path, "&{}={}", percent_encoded(key, b""), percent_encoded(value, b""));
        }
        path
    }

    /// The rows of an answer that have every other word of a filter.
    pub(super) fn rows(self, answer: &Value, filter: &str) -> Vec<Value> {
        let words: Vec<_> = words(filter).map(str::to_lowercase).collect();
        let rows = answer[self.list.name()].as_array().into_iter().flatten();
        let has_all = |row: &&Value| {
            let cells: Vec<_> = self.list.columns().iter().map(|column| column.cell(row).to_lowercase()).collect();
            words.iter().all(|word| cells.iter().any(|cell| cell.contains(word)))
        };
        let mut rows: Vec<_> = rows.filter(has_all).cloned().collect();
        if self.list == List::Events {
            // A server tells them in the order in which they came.
            rows.reverse();
        }
        rows
    }
}

/// What of a filter is looked for here.
fn words(filter: &str) -> impl Iterator<Item = &str> {
    filter.split_whitespace().filter(|word| !word.contains('='))
}

impl Column {
    /// Whether its cells stand to the right, even if there are none yet.
    pub(super) fn is_number(&self) -> bool {
        const TEXTS: [&str; 14] = [
            "action",
            "address",
            "event",
            "listener",
            "name",
            "peer",
            "principal",
            "reason",
            "room",
            "source",
            "state",
            "time",
            "transport",
            "upstream",
        ];
        !TEXTS.contains(&self.field)
    }

    /// What it shows, in which nothing can control a terminal.
    pub(super) fn cell(&self, row: &Value) -> String {
        match row[self.field].as_u64() {
            Some(bytes) if self.field.contains("bytes") => shown::size(bytes),
            _ => shown::value(self.field, &row[self.field]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_filter_is_asked_of_the_server_where_it_says_of_what_and_looked_for_here_where_not() {
        let sorted = List::Connections.first();
        assert_eq!(sorted.path(""), "/connections?limit=200&sort=outbox");
        assert_eq!(sorted.path("name=al*&x Boiler"), "/connections?limit=1000&sort=outbox&name=al%2A%26x");
        assert_eq!(List::Closed.first().path("reason=idle"), "/closed?limit=200&reason=idle");
        let answer = json!({ "connections": [
            { "id": 7, "name": "Boiler-1", "peer": "127.0.0.1:5" },
            { "id": 8, "name": "boiler-2", "peer": "192.0.2.1:5" },
            { "id": 9, "name": null, "peer": "127.0.0.1:6" },
        ] });
        let ids = |filter| {
            let rows = sorted.rows(&answer, filter);
            rows.iter().map(|row| row["id"].as_u64().unwrap()).collect::<Vec<_>>()
        };
        assert_eq!((ids(""), ids("BOILER"), ids("boiler 127")), (vec![7, 8, 9], vec![7, 8], vec![7]));
        assert_eq!(ids("name=x"), [7, 8, 9]);
    }

    #[test]
    fn no_key_stands_for_two_things() {
        let lists: Vec<_> = List::ALL.map(List::key).into();
        for list in List::ALL {
            let mut keys: Vec<_> =
                list.orders().iter().map(|order| order.key).filter(|key| *key != list.key()).collect();
            keys.extend(lists.iter().chain(&['k', '/', 'Q']));
            let count = keys.len();
            keys.sort_unstable();
            keys.dedup();
            assert_eq!(keys.len(), count, "{list:?}");
        }
    }
}
