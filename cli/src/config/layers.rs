//! Where settings come from: flags, the environment, a TOML file. Texts with their origins; what they mean is not known here.

use crate::args::Settings;
use std::collections::HashMap;
use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};
use switchboard_load::typed::{Secret, did_you_mean, nearest};

/// Every setting by the name it has in the file; `--NAME` is its flag and `SWITCHBOARD_NAME` its variable, but for the
/// listeners, which are arguments, and `log`, which is -q, -v and -vv.
pub(super) const NAMES: [&str; 12] = [
    "listen",
    "workers",
    "max-connections",
    "max-connections-per-address",
    "max-handshakes-per-address",
    "max-frame",
    "max-outbox",
    "max-memory",
    "write-timeout",
    "grace",
    "log",
    "log-format",
];

/// How variables begin that are for us.
const PREFIX: &str = "SWITCHBOARD_";

const CONFIG: &str = "SWITCHBOARD_CONFIG";

/// What clients show to servers: no setting, and known here so that one environment can be for both.
const TOKEN: &str = Secret::VARIABLE;

/// And of those what others set: Kubernetes tells each container where a Service is that is called `switchboard`.
const ORCHESTRATORS: [&str; 3] = ["SERVICE_HOST", "SERVICE_PORT", "PORT"];

/// The longest configuration file: a device or a wrong path must not fill the memory.
const FILE_BYTES: u64 = 1 << 20;

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SetBy {
    /// A SERVICE=URL on the command line.
    Argument,
    Flag(String),
    /// An environment variable.
    Environment(String),
    File(PathBuf),
    Default,
    /// What the values mean together, or on this machine: of those that are sound by themselves, how many connections there may be.
    Limits,
    /// A file that an endpoint names.
    Named,
}

impl fmt::Display for SetBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Argument => f.write_str("argument"),
            Self::Flag(name) => write!(f, "flag {name}"),
            Self::Environment(name) => write!(f, "environment {name}"),
            Self::File(path) => write!(f, "file {}", path.display()),
            Self::Default => f.write_str("default"),
            Self::Limits => f.write_str("max-connections"),
            Self::Named => f.write_str("named"),
        }
    }
}

/// Something wrong with a setting, in one line.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) set_by: SetBy,
    pub(crate) text: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.set_by {
            // A SERVICE=URL says itself which it is, and so does what is said of a file.
            SetBy::Argument | SetBy::Named => f.write_str(&self.text),
            SetBy::Flag(name) => write!(f, "{name}: {}", self.text),
            set_by => write!(f, "{set_by}: {}", self.text),
        }
    }
}

/// A setting as one origin gives it; several texts for the listeners alone.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Given {
    pub(crate) name: &'static str,
    pub(crate) texts: Vec<String>,
    pub(crate) set_by: SetBy,
}

/// Everything that was given, the strongest origin first.
#[derive(Debug, Default)]
pub(crate) struct Layers {
    pub(crate) given: Vec<Given>,
    pub(crate) file: Option<(PathBuf, SetBy)>,
    pub(crate) faults: Vec<Fault>,
}

impl Layers {
    /// Collects what was given.
    pub(crate) fn collect(typed: Settings, environment: &HashMap<String, OsString>) -> Self {
        let mut layers = Self::default();
        let file = typed.config.clone().map(|path| (path, SetBy::Flag("--config".to_owned())));
        layers.add_typed(typed);
        for name in NAMES {
            layers.add_variable(name, environment);
        }
        layers.add_unknown(environment);
        layers.file = file.or_else(|| {
            let path = environment.get(CONFIG).filter(|path| !path.is_empty())?;
            Some((path.into(), SetBy::Environment(CONFIG.to_owned())))
        });
        if let Some((path, set_by)) = layers.file.clone() {
            match read(&path) {
                Ok(text) => layers.add_file(&text, &path),
                Err(error) => {
                    layers.faults.push(Fault { set_by: SetBy::File(path), text: format!("{error} (from {set_by})") });
                }
            }
        }
        layers
    }

    fn add_typed(&mut self, typed: Settings) {
        if !typed.listen.is_empty() {
            self.given.push(Given { name: "listen", texts: typed.listen, set_by: SetBy::Argument });
        }
        for (name, text) in [
            ("workers", typed.workers),
            ("max-connections", typed.max_connections),
            ("max-connections-per-address", typed.max_connections_per_address),
            ("max-handshakes-per-address", typed.max_handshakes_per_address),
            ("max-frame", typed.max_frame),
            ("max-outbox", typed.max_outbox),
            ("max-memory", typed.max_memory),
            ("write-timeout", typed.write_timeout),
            ("grace", typed.grace),
            ("log-format", typed.log_format),
        ] {
            let set_by = SetBy::Flag(format!("--{name}"));
            self.given.extend(text.map(|text| Given { name, texts: vec![text], set_by }));
        }
        let log = match typed.verbose {
            0 => typed.quiet.then_some(("warn", "-q")),
            1 => Some(("debug", "-v")),
            _ => Some(("trace", "-vv")),
        };
        if let Some((level, flag)) = log {
            let set_by = SetBy::Flag(flag.to_owned());
            self.given.push(Given { name: "log", texts: vec![level.to_owned()], set_by });
        }
    }

    fn add_variable(&mut self, name: &'static str, environment: &HashMap<String, OsString>) {
        let variable = variable(name);
        // An empty variable is how a script unsets one.
        let Some(text) = environment.get(&variable).filter(|text| !text.is_empty()) else { return };
        let set_by = SetBy::Environment(variable);
        let Some(text) = text.to_str() else {
            return self.faults.push(Fault { set_by, text: "not UTF-8".to_owned() });
        };
        if name == "listen" && has_commas(text) {
            let text = format!("separate listeners with spaces, not commas: {}", text.replace(',', " "));
            return self.faults.push(Fault { set_by, text });
        }
        let texts = match name {
            "listen" => text.split_whitespace().map(str::to_owned).collect(),
            _ => vec![text.to_owned()],
        };
        self.given.push(Given { name, texts, set_by });
    }

    /// Finds variables that are meant for us and say nothing: whoever mistyped one would never know.
    fn add_unknown(&mut self, environment: &HashMap<String, OsString>) {
        let known: Vec<_> = NAMES.iter().map(|name| variable(name)).chain([CONFIG, TOKEN].map(str::to_owned)).collect();
        let mut unknown: Vec<_> = environment
            .iter()
            .filter(|(name, value)| name.starts_with(PREFIX) && !known.contains(name) && !value.is_empty())
            .map(|(name, _)| name)
            .filter(|name| !ORCHESTRATORS.iter().any(|prefix| name[PREFIX.len()..].starts_with(prefix)))
            .collect();
        unknown.sort();
        for name in unknown {
            let names = NAMES.iter().copied().chain(["config"]);
            let meant = nearest(&name[PREFIX.len()..], names);
            let meant = meant.map(|name| format!("; did you mean `{}`?", variable(name))).unwrap_or_default();
            let set_by = SetBy::Environment(name.clone());
            self.faults.push(Fault { set_by, text: format!("no such setting{meant}") });
        }
    }

    fn add_file(&mut self, text: &str, path: &Path) {
        let set_by = SetBy::File(path.to_owned());
        let table = match text.parse::<toml::Table>() {
            Ok(table) => table,
            Err(error) => {
                let line = error.span().map_or(1, |span| text[..span.start.min(text.len())].lines().count().max(1));
                let text = format!("line {line}: {}", error.message().lines().collect::<Vec<_>>().join(" "));
                return self.faults.push(Fault { set_by, text });
            }
        };
        for (key, value) in table {
            let Some(name) = NAMES.iter().find(|name| **name == key) else {
                let meant = match key.as_str() {
                    // Flags, of which the file has what they stand for.
                    "verbose" => "; -v is log = \"debug\"".to_owned(),
                    "quiet" => "; -q is log = \"warn\"".to_owned(),
                    _ => did_you_mean(&key, NAMES),
                };
                let text = format!("unknown key `{key}`; known: {}{meant}", NAMES.join(", "));
                self.faults.push(Fault { set_by: set_by.clone(), text });
                continue;
            };
            match texts(name, value) {
                Ok(texts) => self.given.push(Given { name, texts, set_by: set_by.clone() }),
                Err(text) => self.faults.push(Fault { set_by: set_by.clone(), text }),
            }
        }
    }
}

/// The variable of a setting.
fn variable(name: &str) -> String {
    format!("{PREFIX}{}", name.to_ascii_uppercase().replace('-', "_"))
}

/// Whether listeners are put behind commas. Within a URL a comma may stand, as in `origins=https://a.test,https://b.test`.
fn has_commas(text: &str) -> bool {
    let mut behind = text.split(',').skip(1).map(str::trim_start);
    behind.any(|part| !text.contains("://") || part.split_once("://").is_some_and(|(before, _)| before.contains('=')))
}

fn read(path: &Path) -> std::io::Result<String> {
    use std::io::Read as _;
    let mut text = String::new();
    std::fs::File::open(path)?.take(FILE_BYTES + 1).read_to_string(&mut text)?;
    if text.len() as u64 > FILE_BYTES {
        return Err(std::io::Error::other(format!("longer than {FILE_BYTES} bytes")));
    }
    Ok(text)
}

/// A value of the file as it would be typed.
fn texts(name: &str, value: toml::Value) -> Result<Vec<String>, String> {
    use toml::Value::{Array, Integer, String};
    match value {
        // What is no text is no SERVICE=URL either, and whoever parses it says so.
        Array(values) if name == "listen" => {
            let text = |value| if let String(text) = value { text } else { value.to_string() };
            Ok(values.into_iter().map(text).collect())
        }
        _ if name == "listen" => Err(format!("`{name}` is not a list such as [\"echo=tcp://127.0.0.1:8080\"]")),
        String(text) => Ok(vec![text]),
        Integer(number) => Ok(vec![number.to_string()]),
        other => Err(format!("`{name}` is {other}, neither a string nor a whole number")),
    }
}
