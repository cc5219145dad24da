//! The log on stderr: which events, in which form, through a bounded writer that never makes a worker wait.

mod writer;

use std::io::{IsTerminal as _, Write as _};
use std::sync::Arc;
use tracing_subscriber::filter::{EnvFilter, LevelFilter};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use writer::Lines;

/// How lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    Text,
    Json,
}

impl Format {
    pub(crate) fn parse(name: &str) -> Result<Self, String> {
        match name {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err("neither text nor json".to_owned()),
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Json => "json",
        }
    }
}

/// Passes on a filter that makes sense: a level, or directives such as `warn,switchboard=trace`.
pub(crate) fn check_filter(text: &str) -> Result<String, String> {
    // A word alone would be taken for a module of that name, and a misspelt level would log nothing.
    let plausible = text
        .split(',')
        .map(str::trim)
        .all(|part| part.contains('=') || (!part.is_empty() && part.parse::<LevelFilter>().is_ok()));
    if plausible && EnvFilter::try_new(directives(text)).is_ok() {
        return Ok(text.to_owned());
    }
    Err("neither a level (error, warn, info, debug, trace) nor a filter such as warn,switchboard=debug".to_owned())
}

/// A level alone is one for our own events; what libraries say below a warning helps nobody.
fn directives(text: &str) -> String {
    match text.parse::<LevelFilter>() {
        Ok(level) => format!("{},switchboard={level}", level.min(LevelFilter::WARN)),
        Err(_) => text.to_owned(),
    }
}

/// The running log; [`finish`](Self::finish) it, or the last lines are lost.
pub(crate) struct Log {
    lines: Arc<Lines>,
}

impl Log {
    /// Starts to log. `filter` has passed [`check_filter`].
    pub(crate) fn start(filter: &str, format: Format) -> std::io::Result<Self> {
        let lines = Lines::start(std::io::stderr())?;
        // no-color.org: set to anything but nothing.
        let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let colours = !plain && std::io::stderr().is_terminal();
        let layer = tracing_subscriber::fmt::layer().with_writer(Arc::clone(&lines));
        let registry = tracing_subscriber::registry().with(EnvFilter::new(directives(filter)));
        match format {
            Format::Text => registry.with(layer.with_ansi(colours).with_target(false).compact()).init(),
            Format::Json => registry.with(layer.json().flatten_event(true)).init(),
        }
        Ok(Self { lines })
    }

    /// Writes what waits, and says how much was never written.
    pub(crate) fn finish(self) {
        if let Some(dropped @ 1..) = self.lines.finish() {
            // Nobody is left to tell if stderr is closed.
            let _ = writeln!(std::io::stderr(), "{dropped} log lines were dropped: stderr did not take them in time");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_is_a_level_or_directives() {
        for text in ["info", "WARN", "off", "warn,switchboard=trace", "switchboard::hub=debug"] {
            assert_eq!(check_filter(text).as_deref(), Ok(text));
        }
        for text in ["", "loud", "info,loud", "switchboard=loud"] {
            assert!(check_filter(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_level_is_for_our_own_events() {
        assert_eq!(directives("debug"), "warn,switchboard=debug");
        assert_eq!(directives("error"), "error,switchboard=error");
    }
}
