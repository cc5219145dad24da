//! The log on stderr: which events, in which form, through a bounded writer that never makes a worker wait.
//!
//! Here every value is escaped, whoever it came from: nothing that is logged drives a terminal or forges a line.

pub(crate) mod file;
pub(crate) mod writer;

use std::fmt;
use std::io::{self, IsTerminal as _};
use std::sync::Arc;
use switchboard::Escaped;
use tracing::field::Field;
use tracing_subscriber::field::MakeExt as _;
use tracing_subscriber::filter::{LevelFilter, ParseError, Targets};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::{Writer, debug_fn};
use tracing_subscriber::fmt::time::{FormatTime as _, SystemTime};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Registry, reload};
use writer::LineQueue;

/// How lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum LogFormat {
    #[default]
    Text,
    Json,
}

impl LogFormat {
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
        .all(|part| is_directive(part) || (!part.is_empty() && part.parse::<LevelFilter>().is_ok()));
    if plausible && targets(text).is_ok() {
        return Ok(text.to_owned());
    }
    Err("neither a level (error, warn, info, debug, trace) nor a filter such as warn,switchboard=debug".to_owned())
}

/// `TARGET=LEVEL`, perhaps with `[{FIELD}]` behind the target; of spans, which we have none of, nothing can be asked.
fn is_directive(part: &str) -> bool {
    part.split_once('=')
        .is_some_and(|(target, level)| target.contains("[{") == target.contains('[') && !level.is_empty())
}

fn targets(filter: &str) -> Result<Targets, ParseError> {
    let directives = directives(filter);
    directives.split(',').map(str::trim).collect::<Vec<_>>().join(",").parse()
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
    lines: Arc<LineQueue>,
    filter: Filter,
}

/// Which events are logged; cloning shares it.
#[derive(Debug, Clone)]
pub(crate) struct Filter(reload::Handle<Targets, Registry>);

impl Filter {
    /// Has other events logged from now on. `filter` has passed [`check_filter`].
    pub(crate) fn set(&self, filter: &str) {
        if let Ok(targets) = targets(filter) {
            // Only a log that is gone could not take it.
            let _ = self.0.reload(targets);
        }
    }
}

/// How many lines stderr did not take; cloning shares it.
#[derive(Debug, Clone, Default)]
pub(crate) struct LostLines(Option<Arc<LineQueue>>);

impl LostLines {
    pub(crate) fn count(&self) -> u64 {
        self.0.as_ref().map_or(0, |lines| lines.lost_ever())
    }
}

impl Log {
    /// Starts to log. `filter` has passed [`check_filter`].
    pub(crate) fn start(filter: &str, format: LogFormat) -> io::Result<Self> {
        let told = match format {
            LogFormat::Text => lost_text,
            LogFormat::Json => lost_json,
        };
        let lines = LineQueue::start("log", io::stderr(), told)?;
        // no-color.org: set to anything but nothing.
        let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let colours = !plain && io::stderr().is_terminal();
        let layer = tracing_subscriber::fmt::layer();
        let targets = targets(filter).map_err(io::Error::other)?;
        let (targets, filter) = reload::Layer::new(targets);
        let registry = tracing_subscriber::registry().with(targets);
        match format {
            LogFormat::Text => {
                let layer = layer.with_ansi(colours).with_target(false).compact();
                let layer = layer.fmt_fields(debug_fn(field).delimited(" "));
                registry.with(layer.with_writer(Arc::clone(&lines))).init();
            }
            LogFormat::Json => {
                let layer = layer.json().flatten_event(true);
                registry.with(layer.with_writer(Objects(Arc::clone(&lines)))).init();
            }
        }
        Ok(Self { lines, filter: Filter(filter) })
    }

    pub(crate) fn lost_lines(&self) -> LostLines {
        LostLines(Some(Arc::clone(&self.lines)))
    }

    pub(crate) fn filter(&self) -> Filter {
        self.filter.clone()
    }

    /// Writes what waits.
    pub(crate) fn finish(self) {
        // Lines that nobody could be told of were refused by stderr, which would refuse to say so as well.
        let _ = self.lines.finish();
    }
}

/// A field as text.
fn field(writer: &mut Writer<'_>, field: &Field, value: &dyn fmt::Debug) -> fmt::Result {
    let value = format!("{value:?}");
    let value = if field.name() == "message" { value } else { quoted(value) };
    let value = Escaped(value.as_bytes());
    match field.name() {
        "message" => write!(writer, "{value}"),
        name if writer.has_ansi_escapes() => write!(writer, "\u{1b}[3m{name}\u{1b}[0m\u{1b}[2m=\u{1b}[0m{value}"),
        name => write!(writer, "{name}={value}"),
    }
}

/// What would end at its first space for whoever reads `name=value`, in quotes, as a text is that comes as one.
fn quoted(value: String) -> String {
    if value.contains(' ') && !value.starts_with('"') { format!("{value:?}") } else { value }
}

/// Lines that are objects.
struct Objects(Arc<LineQueue>);

impl<'a> MakeWriter<'a> for Objects {
    type Writer = Object<'a>;

    fn make_writer(&'a self) -> Object<'a> {
        Object(&self.0)
    }
}

/// A line that is an object. JSON has only the first 32 control characters escaped.
struct Object<'a>(&'a LineQueue);

impl io::Write for Object<'_> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if line.iter().all(|byte| (b' '..=b'~').contains(byte) || *byte == b'\n') {
            return self.0.write(line);
        }
        let count = line.len();
        let (line, end) = line.strip_suffix(b"\n").map_or((line, ""), |line| (line, "\n"));
        let escaped = escaped_object(&String::from_utf8_lossy(line));
        self.0.write_all((escaped + end).as_bytes()).map(|()| count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The same JSON without a character that is escaped for a log. Such ones stand within its strings alone.
pub(crate) fn escaped_object(object: &str) -> String {
    let mut escaped = String::with_capacity(object.len() + 16);
    let (mut bytes, mut units) = ([0; 4], [0; 2]);
    for character in object.chars() {
        let text = &*character.encode_utf8(&mut bytes);
        if character.is_ascii_graphic() || character == ' ' || Escaped(text.as_bytes()).to_string() == text {
            escaped.push(character);
        } else {
            let units = character.encode_utf16(&mut units).iter();
            escaped.extend(units.map(|unit| format!("\\u{unit:04x}")));
        }
    }
    escaped
}

const LOST: &str = "log lines were lost: stderr did not take them in time";

fn lost_text(lost: usize) -> String {
    format!("{}  WARN {LOST} lost={lost}\n", now())
}

fn lost_json(lost: usize) -> String {
    let target = module_path!();
    format!(
        "{{\"timestamp\":\"{}\",\"level\":\"WARN\",\"message\":\"{LOST}\",\"lost\":{lost},\"target\":\"{target}\"}}\n",
        now()
    )
}

/// The time as events have it.
fn now() -> String {
    let mut text = String::new();
    // Into memory.
    let _ = SystemTime.format_time(&mut Writer::new(&mut text));
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use tracing::Level;

    #[test]
    fn a_filter_is_a_level_or_directives() {
        for text in
            ["info", "WARN", "off", "warn,switchboard=trace", "warn, hyper=off", "switchboard::hub[{peer}]=debug"]
        {
            assert_eq!(check_filter(text).as_deref(), Ok(text));
        }
        for text in
            ["", "loud", "info,loud", "switchboard=loud", "switchboard=", "a=b=info", "[span]=info", "a[span{x}]=info"]
        {
            let refused =
                "neither a level (error, warn, info, debug, trace) nor a filter such as warn,switchboard=debug";
            assert_eq!(check_filter(text).as_deref(), Err(&refused.to_owned()), "{text}");
        }
    }

    #[test]
    fn a_filter_passes_what_it_names() {
        let passes = |filter, target, level| targets(filter).is_ok_and(|targets| targets.would_enable(target, &level));
        assert!(passes("debug", "switchboard::hub", Level::DEBUG));
        assert!(!passes("debug", "hyper", Level::INFO));
        assert!(!passes("off", "switchboard", Level::ERROR));
        assert!(passes("warn, switchboard::hub=trace", "switchboard::hub::room", Level::TRACE));
        assert!(!passes("warn, switchboard::hub=trace", "switchboard::node", Level::INFO));
        assert!(passes("warn, switchboard::hub=trace", "hyper", Level::WARN));
    }

    #[test]
    fn an_object_drives_no_terminal() {
        let object = "{\"a\":\"é\u{7f}\u{9b}\u{202e}\u{2066}\u{2028}\u{1f600}\\n\"}";
        let escaped = escaped_object(object);
        assert_eq!(escaped, "{\"a\":\"é\\u007f\\u009b\\u202e\\u2066\\u2028\u{1f600}\\n\"}");
        let parsed = |text| serde_json::from_str::<serde_json::Value>(text).expect("it is an object");
        assert_eq!(parsed(&escaped), parsed(&object.replace('\u{7f}', "\\u007f")));
    }

    #[test]
    fn a_value_with_a_space_is_quoted_once() {
        for (value, written) in [
            ("drained", "drained"),
            ("127.0.0.1:80", "127.0.0.1:80"),
            ("\"as it came\"", "\"as it came\""),
            ("not TLS: a=b", "\"not TLS: a=b\""),
            ("a \"b", "\"a \\\"b\""),
        ] {
            assert_eq!(quoted(value.to_owned()), written);
        }
    }

    #[test]
    fn lost_lines_are_told_as_others_are() {
        let object: serde_json::Value = serde_json::from_str(&lost_json(7)).expect("it is an object");
        assert_eq!((&object["lost"], &object["level"], &object["message"]), (&7.into(), &"WARN".into(), &LOST.into()));
        assert!(lost_text(7).ends_with(&format!("Z  WARN {LOST} lost=7\n")), "{}", lost_text(7));
    }

    #[test]
    fn a_level_is_for_our_own_events() {
        assert_eq!(directives("debug"), "warn,switchboard=debug");
        assert_eq!(directives("error"), "error,switchboard=error");
    }
}
