//! What is kept of rooms and where: the settings for all of them, which a `[rooms."GLOB"]` may say otherwise of its own.

use super::{Choice, SetBy, Setting, parse_path, quoted, show_path};
use std::path::PathBuf;
use std::time::Duration;
use switchboard::{HubLimits, RoomOptions};
use switchboard_load::typed::{parse_count, parse_size, parse_timeout, show_size, show_timeout};

/// Without a directory nothing is kept.
const NOWHERE: &str = "off";

/// What the messages of all rooms may take on disk, unless something else is said.
const MOST_BYTES: usize = 16 << 30;

/// What is said of the history of rooms.
#[derive(Debug)]
pub(crate) struct History {
    /// Where rooms are kept over a restart, if anywhere.
    pub(crate) data: Setting<Option<PathBuf>>,
    /// Bytes that the messages of all rooms may take there.
    pub(crate) most_bytes: Setting<usize>,
    durable: Setting<bool>,
    messages: Setting<usize>,
    bytes: Setting<usize>,
    age: Setting<Option<Duration>>,
}

impl History {
    pub(super) fn choose(choice: &mut Choice) -> Self {
        let limits = HubLimits::default();
        Self {
            data: choice.one("data", None, |text| parse_path(text, "a directory", NOWHERE)),
            most_bytes: choice.one("max-data", MOST_BYTES, parse_size),
            durable: choice.one("durable", true, parse_switch),
            messages: choice.one("history-messages", limits.history_messages, parse_messages),
            bytes: choice.one("history-bytes", limits.history_bytes, parse_size),
            age: choice.one("history-age", None, parse_timeout),
        }
    }

    /// What holds for rooms whose sections say nothing of it.
    pub(super) fn of_rooms(&self) -> RoomOptions {
        RoomOptions {
            durable: self.durable.value,
            history_messages: Some(self.messages.value),
            history_bytes: Some(self.bytes.value),
            history_age: self.age.value,
            ..RoomOptions::default()
        }
    }

    /// Each setting as TOML, and where it came from.
    pub(super) fn assignments(&self) -> [(&'static str, String, &SetBy); 6] {
        [
            ("data", quoted(&show_path(self.data.value.as_deref(), NOWHERE)), &self.data.set_by),
            ("max-data", quoted(&show_size(self.most_bytes.value)), &self.most_bytes.set_by),
            ("durable", quoted(if self.durable.value { "on" } else { "off" }), &self.durable.set_by),
            ("history-messages", self.messages.value.to_string(), &self.messages.set_by),
            ("history-bytes", quoted(&show_size(self.bytes.value)), &self.bytes.set_by),
            ("history-age", quoted(&show_timeout(self.age.value)), &self.age.set_by),
        ]
    }
}

/// None are a number too.
fn parse_messages(text: &str) -> Result<usize, String> {
    if text == "0" { Ok(0) } else { parse_count(text, usize::MAX).map_err(|_| "not a number".to_owned()) }
}

fn parse_switch(text: &str) -> Result<bool, String> {
    match text {
        "on" | "true" => Ok(true),
        "off" | "false" => Ok(false),
        _ => Err("neither on nor off".to_owned()),
    }
}
