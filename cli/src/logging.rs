//! The log on stderr: which events, in which form, through a bounded writer that never makes a worker wait.

use std::io::{IsTerminal as _, Write as _};
use tracing_appender::non_blocking::{ErrorCounter, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::filter::{EnvFilter, LevelFilter};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

/// Lines that wait to be written; what comes on top is dropped and counted. Lines of connections are about 200 B long,
/// those of frames (-vv) some KB at most.
const WAITING_LINES: usize = 8192;

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
    let filter = EnvFilter::try_new(directives(text));
    filter
        .map(|_| text.to_owned())
        .map_err(|_| "neither a level (error, warn, info, debug, trace) nor a filter".to_owned())
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
    writer: WorkerGuard,
    dropped: ErrorCounter,
}

impl Log {
    /// Starts to log. `filter` has passed [`check_filter`].
    pub(crate) fn start(filter: &str, format: Format) -> Self {
        let (lines, writer) = NonBlockingBuilder::default()
            .lossy(true)
            .buffered_lines_limit(WAITING_LINES)
            .thread_name("log")
            .finish(std::io::stderr());
        let dropped = lines.error_counter();
        // no-color.org: set to anything but nothing.
        let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let colours = !plain && std::io::stderr().is_terminal();
        let layer = tracing_subscriber::fmt::layer().with_writer(lines);
        let registry = tracing_subscriber::registry().with(EnvFilter::new(directives(filter)));
        match format {
            Format::Text => registry.with(layer.with_ansi(colours).with_target(false).compact()).init(),
            Format::Json => registry.with(layer.json().flatten_event(true)).init(),
        }
        Self { writer, dropped }
    }

    /// Writes what waits, and says how much was never written.
    pub(crate) fn finish(self) {
        drop(self.writer);
        let dropped = self.dropped.dropped_lines();
        if dropped > 0 {
            // Nobody is left to tell if stderr is closed.
            let _ = writeln!(std::io::stderr(), "{dropped} log lines were dropped: stderr took them too slowly");
        }
    }
}
