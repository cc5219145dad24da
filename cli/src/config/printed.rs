//! What is in force, printed: as a file that would set it, and as JSON, each with where it came from.

use super::keys::{self, Key, Table};
use super::show::{self, ShownTable};
use super::{Config, IN_LOG, SetBy, quoted, show_path, show_per_address};
use crate::admin::shown;
use switchboard_load::typed::{show_duration, show_size, show_timeout};

impl Config {
    /// Each setting, as flags call it, its value as TOML, and where it came from; those of `[cluster]` come last.
    pub(super) fn assignments(&self) -> Vec<(&'static str, String, &SetBy)> {
        let endpoints = self.listen.value.iter().map(|endpoint| quoted(&endpoint.typed));
        let assignments = [
            ("listen", format!("[{}]", endpoints.collect::<Vec<_>>().join(", ")), &self.listen.set_by),
            ("workers", self.workers.value.show(|number| number.to_string()), &self.workers.set_by),
            ("max-connections", self.connections.value.show(|number| number.to_string()), &self.connections.set_by),
            (
                "max-connections-per-address",
                show_per_address(self.connections_per_address.value),
                &self.connections_per_address.set_by,
            ),
            (
                "max-handshakes-per-address",
                show_per_address(self.handshakes_per_address.value),
                &self.handshakes_per_address.set_by,
            ),
            ("max-frame", quoted(&show_size(self.frame_bytes.value)), &self.frame_bytes.set_by),
            ("max-outbox", quoted(&show_size(self.outbox_bytes.value)), &self.outbox_bytes.set_by),
            ("max-memory", self.memory_bytes.value.show(|bytes| quoted(&show_size(bytes))), &self.memory_bytes.set_by),
            ("write-timeout", quoted(&show_timeout(self.write_timeout.value)), &self.write_timeout.set_by),
            ("grace", quoted(&show_duration(self.grace.value)), &self.grace.set_by),
            (
                "auth-failures",
                self.auth_failures.value.map_or_else(|| quoted("off"), |count| count.to_string()),
                &self.auth_failures.set_by,
            ),
            ("log", quoted(&self.log.value), &self.log.set_by),
            ("audit", quoted(&show_path(self.audit.value.as_deref(), IN_LOG)), &self.audit.set_by),
            ("access-log", quoted(self.access_log.value.word()), &self.access_log.set_by),
            (
                "access-log-file",
                quoted(&show_path(self.access_log_file.value.as_deref(), IN_LOG)),
                &self.access_log_file.set_by,
            ),
            ("log-format", quoted(self.log_format.value.name()), &self.log_format.set_by),
            ("state-directory", quoted(&self.state_directory.value.typed), &self.state_directory.set_by),
        ];
        assignments.into_iter().chain(self.history.assignments()).chain(self.cluster.assignments()).collect()
    }

    /// The same as [`print`](Self::print) as one object: `settings` as in the file, and `from` where each came from.
    pub(crate) fn print_json(&self) -> String {
        format!("{:#}\n", self.object())
    }

    fn object(&self) -> serde_json::Value {
        // It was made by us, and is read back in tests.
        let settings = self.print().parse::<toml::Table>().map(|table| show::json(toml::Value::Table(table)));
        let from: serde_json::Map<_, _> =
            self.assignments().iter().map(|(name, _, set_by)| (key(name).path(), set_by.to_string().into())).collect();
        serde_json::json!({ "settings": settings.unwrap_or_default(), "from": from })
    }

    /// The same, and for each setting whether a reload changes it, or a restart.
    pub(super) fn told(&self) -> serde_json::Value {
        let mut told = self.object();
        let word = |live| if live == keys::Live::Reload { "reload" } else { "restart" };
        let changes = keys::settings().map(|key| (key.path(), word(key.live).into()));
        told["changed_by"] = serde_json::Value::Object(changes.collect());
        told
    }

    /// Each value and where it came from, as a file that would set them; secrets are left out.
    pub(crate) fn print(&self) -> String {
        let lines = self.assignments();
        let assignments: Vec<_> =
            lines.iter().map(|(name, value, _)| format!("{} = {value}", key(name).name)).collect();
        // The listeners' line is often much longer than the others, which align without it.
        let width = assignments[1..].iter().map(String::len).max().unwrap_or(0);
        let file = self.file.iter();
        let file = file.map(|(path, set_by)| format!("# {} (from {set_by})\n", path.display()));
        let here = |name: &str| match name {
            "workers" => self.workers.value.here(|number| number.to_string()),
            "max-connections" => self.connections.value.here(|number| number.to_string()),
            "max-memory" => self.memory_bytes.value.here(|bytes| shown::size(bytes as u64)),
            _ => String::new(),
        };
        let lines = assignments.iter().zip(&lines);
        let mut table = Table::Top;
        let lines = lines.map(|(assignment, (name, _, set_by))| {
            let line = format!("{assignment:width$}  # {set_by}{}\n", here(name));
            let before = std::mem::replace(&mut table, key(name).table);
            if before == table { line } else { format!("\n{}\n{line}", table.head()) }
        });
        let mut tables = show::tables(&self.rules, &self.rooms);
        tables.extend(self.bans.values().map(ShownTable::of_ban));
        file.chain(lines).chain(tables.iter().map(ShownTable::print)).collect()
    }
}

/// What the table of keys says of a setting.
fn key(setting: &str) -> &'static Key {
    let Some(key) = keys::named(setting) else { unreachable!("each setting is a key") };
    key
}
