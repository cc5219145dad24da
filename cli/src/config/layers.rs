//! Where settings come from: flags, the environment, a TOML file. Texts with their origins; what they mean is not known here.

use crate::args::Settings;
use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};

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

/// The longest configuration file: a device or a wrong path must not fill the memory.
const FILE_BYTES: u64 = 1 << 20;

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Origin {
    /// A SERVICE=URL on the command line.
    Argument,
    Flag(String),
    /// An environment variable.
    Environment(String),
    File(PathBuf),
    Default,
    /// What the values mean together, or on this machine.
    Limits,
    /// A file that an endpoint names.
    Named,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Argument => f.write_str("argument"),
            Self::Flag(name) => write!(f, "flag {name}"),
            Self::Environment(name) => write!(f, "environment {name}"),
            Self::File(path) => write!(f, "file {}", path.display()),
            Self::Default => f.write_str("default"),
            Self::Limits => f.write_str("limits"),
            Self::Named => f.write_str("named"),
        }
    }
}

/// Something wrong with a setting, in one line.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) origin: Origin,
    pub(crate) text: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.origin {
            // A SERVICE=URL says itself which it is, and so does what is said of a file.
            Origin::Argument | Origin::Named => f.write_str(&self.text),
            Origin::Flag(name) => write!(f, "{name}: {}", self.text),
            origin => write!(f, "{origin}: {}", self.text),
        }
    }
}

/// A setting as one origin gives it; several texts for the listeners alone.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Given {
    pub(crate) name: &'static str,
    pub(crate) texts: Vec<String>,
    pub(crate) origin: Origin,
}

/// Everything that was given, the strongest origin first.
#[derive(Debug, Default)]
pub(crate) struct Layers {
    pub(crate) given: Vec<Given>,
    pub(crate) file: Option<(PathBuf, Origin)>,
    pub(crate) faults: Vec<Fault>,
}

impl Layers {
    /// Collects what was given. `environment` looks up a variable.
    pub(crate) fn collect(typed: Settings, environment: impl Fn(&str) -> Option<OsString>) -> Self {
        let mut layers = Self::default();
        let file = typed.config.clone().map(|path| (path, Origin::Flag("--config".to_owned())));
        layers.add_typed(typed);
        for name in NAMES {
            layers.add_variable(name, &environment);
        }
        layers.file = file.or_else(|| {
            let variable = "SWITCHBOARD_CONFIG";
            let path = environment(variable).filter(|path| !path.is_empty())?;
            Some((path.into(), Origin::Environment(variable.to_owned())))
        });
        if let Some((path, origin)) = layers.file.clone() {
            match read(&path) {
                Ok(text) => layers.add_file(&text, &path),
                Err(error) => {
                    layers.faults.push(Fault { origin: Origin::File(path), text: format!("{error} (from {origin})") });
                }
            }
        }
        layers
    }

    fn add_typed(&mut self, typed: Settings) {
        if !typed.listen.is_empty() {
            self.given.push(Given { name: "listen", texts: typed.listen, origin: Origin::Argument });
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
            let origin = Origin::Flag(format!("--{name}"));
            self.given.extend(text.map(|text| Given { name, texts: vec![text], origin }));
        }
        let log = match typed.verbose {
            0 => typed.quiet.then_some(("warn", "-q")),
            1 => Some(("debug", "-v")),
            _ => Some(("trace", "-vv")),
        };
        if let Some((level, flag)) = log {
            let origin = Origin::Flag(flag.to_owned());
            self.given.push(Given { name: "log", texts: vec![level.to_owned()], origin });
        }
    }

    fn add_variable(&mut self, name: &'static str, environment: impl Fn(&str) -> Option<OsString>) {
        let variable = format!("SWITCHBOARD_{}", name.to_ascii_uppercase().replace('-', "_"));
        // An empty variable is how a script unsets one.
        let Some(text) = environment(&variable).filter(|text| !text.is_empty()) else { return };
        let origin = Origin::Environment(variable);
        let Ok(text) = text.into_string() else {
            return self.faults.push(Fault { origin, text: "not UTF-8".to_owned() });
        };
        let texts = if name == "listen" { text.split_whitespace().map(str::to_owned).collect() } else { vec![text] };
        self.given.push(Given { name, texts, origin });
    }

    fn add_file(&mut self, text: &str, path: &Path) {
        let origin = Origin::File(path.to_owned());
        let table = match text.parse::<toml::Table>() {
            Ok(table) => table,
            Err(error) => {
                let line = error.span().map_or(1, |span| text[..span.start.min(text.len())].lines().count().max(1));
                let text = format!("line {line}: {}", error.message().lines().collect::<Vec<_>>().join(" "));
                return self.faults.push(Fault { origin, text });
            }
        };
        for (key, value) in table {
            let Some(name) = NAMES.iter().find(|name| **name == key) else {
                let text = format!("unknown key `{key}`; known: {}", NAMES.join(", "));
                self.faults.push(Fault { origin: origin.clone(), text });
                continue;
            };
            match texts(name, value) {
                Ok(texts) => self.given.push(Given { name, texts, origin: origin.clone() }),
                Err(text) => self.faults.push(Fault { origin: origin.clone(), text }),
            }
        }
    }
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
        other => Err(format!("`{name}` is {other}, neither a text nor a whole number")),
    }
}
