//! Where settings come from: flags, the environment, a TOML file. Texts with their origins; what they mean is not known here.

use super::file::{self, Block, Content, Entry};
use super::keys::{self, Key, Kind, Table};
use super::upstreams::UpstreamSets;
use super::values::Value;
use crate::args::Settings;
use crate::policy::rules::At;
use std::collections::HashMap;
use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};
use switchboard_load::typed::{Secret, nearest, percent_encoded, without_passwords};

/// Every setting; `--NAME` is its flag and `SWITCHBOARD_NAME` its variable, but for the listeners, which are arguments, and `log`, which is
/// -q, -v and -vv.
fn names() -> impl Iterator<Item = &'static str> + Clone {
    keys::settings().map(|key| key.setting)
}

/// How variables begin that are for us.
const PREFIX: &str = "SWITCHBOARD_";

const CONFIG: &str = "SWITCHBOARD_CONFIG";

/// What a file is called that was sent to be checked, where none is in force.
pub(crate) const SENT: &str = "sent";

/// What clients show to servers: no setting, and known here so that one environment can be for both.
const TOKEN: &str = Secret::VARIABLE;

/// And of those what others set: Kubernetes tells each container where a Service is that is called `switchboard`.
const ORCHESTRATORS: [&str; 3] = ["SERVICE_HOST", "SERVICE_PORT", "PORT"];

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
    /// Where in the file.
    pub(crate) at: Option<At>,
    pub(crate) text: String,
}

impl Fault {
    /// Faults repeat what was typed, and go to logs and to whoever asks.
    pub(crate) fn new(set_by: SetBy, text: String) -> Self {
        Self { set_by, at: None, text: without_passwords(&text) }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.set_by {
            // A SERVICE=URL says itself which it is, and so does what is said of a file.
            SetBy::Argument | SetBy::Named => f.write_str(&self.text),
            SetBy::Flag(name) => write!(f, "{name}: {}", self.text),
            SetBy::File(path) => {
                write!(f, "file {}", path.display())?;
                self.at.map_or(Ok(()), |at| write!(f, ":{at}"))?;
                write!(f, ": {}", self.text)
            }
            set_by => write!(f, "{set_by}: {}", self.text),
        }
    }
}

/// A setting as one origin gives it; several texts for the listeners alone.
#[derive(Debug)]
pub(super) struct Given {
    /// As flags and variables call it.
    pub(super) name: &'static str,
    pub(super) texts: Vec<Text>,
    pub(super) set_by: SetBy,
}

/// What was typed, and where in the file.
#[derive(Debug, Default)]
pub(super) struct Text {
    pub(super) typed: String,
    pub(super) at: Option<At>,
    /// Of a table of the file, whose keys are options: where each of them is.
    pub(super) options: Option<Vec<(&'static str, At)>>,
}

impl From<String> for Text {
    fn from(text: String) -> Self {
        Self { typed: text, ..Self::default() }
    }
}

impl From<(At, String)> for Text {
    fn from((at, text): (At, String)) -> Self {
        Self { typed: text, at: Some(at), options: None }
    }
}

/// Everything that was given, the strongest origin first.
#[derive(Debug, Default)]
pub(super) struct Layers {
    pub(super) given: Vec<Given>,
    pub(super) file: Option<(PathBuf, SetBy)>,
    /// What else the file says.
    pub(super) content: Content,
    upstreams: UpstreamSets,
    pub(super) faults: Vec<Fault>,
}

impl Layers {
    /// Collects what was given.
    pub(super) fn collect(mut typed: Settings, environment: &HashMap<String, OsString>) -> Self {
        let mut layers = Self::default();
        let content = typed.content.take();
        let file = typed.config.clone().map(|path| (path, SetBy::Flag("--config".to_owned())));
        layers.add_typed(typed);
        for name in names() {
            layers.add_variable(name, environment);
        }
        layers.add_unknown(environment);
        layers.file = file.or_else(|| {
            let path = environment.get(CONFIG).filter(|path| !path.is_empty())?;
            Some((path.into(), SetBy::Environment(CONFIG.to_owned())))
        });
        // Whatever the file is called that would be read.
        if content.is_some() {
            layers.file = Some((SENT.into(), SetBy::Argument));
        }
        if let Some((path, set_by)) = layers.file.clone() {
            match content.map_or_else(|| file::read(&path), Ok) {
                Ok(text) => layers.add_file(&text, &path),
                Err(error) => {
                    layers.faults.push(Fault::new(SetBy::File(path), format!("{error} (from {set_by})")));
                }
            }
        }
        layers.expand_upstreams();
        layers
    }

    /// Has each listener have the options of the upstreams that it names, wherever the listener comes from.
    fn expand_upstreams(&mut self) {
        for given in self.given.iter_mut().filter(|given| given.name == "listen") {
            let set_by = &given.set_by;
            given.texts.retain_mut(|text| match self.upstreams.expand(text) {
                Ok(()) => true,
                Err(fault) => {
                    self.faults.push(Fault { at: text.at, ..Fault::new(set_by.clone(), fault) });
                    false
                }
            });
        }
        // That of which nothing is left was not empty.
        self.given.retain(|given| given.name != "listen" || !given.texts.is_empty() || self.faults.is_empty());
        self.content.faults.extend(self.upstreams.unused_faults());
    }

    fn add_typed(&mut self, typed: Settings) {
        if !typed.listen.is_empty() {
            self.given.push(Given {
                name: "listen",
                texts: typed.listen.into_iter().map(Text::from).collect(),
                set_by: SetBy::Argument,
            });
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
            ("audit", typed.audit),
            ("access-log", typed.access_log),
            ("access-log-file", typed.access_log_file),
            ("auth-failures", typed.auth_failures),
            ("log-format", typed.log_format),
            ("state-directory", typed.state_directory),
            ("data", typed.data),
            ("max-data", typed.max_data),
            ("cluster", typed.cluster),
            ("cluster-profile", typed.cluster_profile),
            ("cluster-credentials", typed.cluster_credentials),
            ("cluster-ca", typed.cluster_ca),
            ("cluster-json", typed.cluster_json),
            ("cluster-publish-as", typed.cluster_publish_as),
            ("durable", typed.durable),
            ("history-messages", typed.history_messages),
            ("history-bytes", typed.history_bytes),
            ("history-age", typed.history_age),
        ] {
            let set_by = SetBy::Flag(format!("--{name}"));
            self.given.extend(text.map(|text| Given { name, texts: vec![text.into()], set_by }));
        }
        let log = match typed.verbose {
            0 => typed.quiet.then_some(("warn", "-q")),
            1 => Some(("debug", "-v")),
            _ => Some(("trace", "-vv")),
        };
        if let Some((level, flag)) = log {
            let set_by = SetBy::Flag(flag.to_owned());
            self.given.push(Given { name: "log", texts: vec![level.to_owned().into()], set_by });
        }
    }

    fn add_variable(&mut self, name: &'static str, environment: &HashMap<String, OsString>) {
        let variable = variable(name);
        // An empty variable is how a script unsets one.
        let Some(text) = environment.get(&variable).filter(|text| !text.is_empty()) else { return };
        let set_by = SetBy::Environment(variable);
        let Some(text) = text.to_str() else {
            return self.faults.push(Fault::new(set_by, "not UTF-8".to_owned()));
        };
        if name == "listen" && has_commas(text) {
            let text = format!("separate listeners with spaces, not commas: {}", text.replace(',', " "));
            return self.faults.push(Fault::new(set_by, text));
        }
        let texts = match name {
            "listen" => text.split_whitespace().map(|text| text.to_owned().into()).collect(),
            _ => vec![text.to_owned().into()],
        };
        self.given.push(Given { name, texts, set_by });
    }

    /// Finds variables that are meant for us and say nothing: whoever mistyped one would never know.
    fn add_unknown(&mut self, environment: &HashMap<String, OsString>) {
        let known: Vec<_> = names().map(variable).chain([CONFIG, TOKEN].map(str::to_owned)).collect();
        let mut unknown: Vec<_> = environment
            .iter()
            .filter(|(name, value)| name.starts_with(PREFIX) && !known.contains(name) && !value.is_empty())
            .map(|(name, _)| name)
            .filter(|name| !ORCHESTRATORS.iter().any(|prefix| name[PREFIX.len()..].starts_with(prefix)))
            .collect();
        unknown.sort();
        for name in unknown {
            let names = names().chain(["config"]);
            let meant = nearest(&name[PREFIX.len()..], names);
            let meant = meant.map(|name| format!("; did you mean `{}`?", variable(name))).unwrap_or_default();
            let set_by = SetBy::Environment(name.clone());
            self.faults.push(Fault::new(set_by, format!("no such setting{meant}")));
        }
    }

    fn add_file(&mut self, text: &str, path: &Path) {
        let set_by = SetBy::File(path.to_owned());
        let mut content = file::parse(text);
        let mut listen = None;
        for entry in content.settings.drain(..) {
            let Value::Texts(texts) = entry.value else { unreachable!("it is as it would be typed") };
            let texts: Vec<_> = texts.into_iter().map(Text::from).collect();
            match entry.key.name {
                "listen" => listen = Some((entry.at, texts)),
                name => self.given.push(Given { name, texts, set_by: set_by.clone() }),
            }
        }
        for entry in content.take(Table::Cluster).into_iter().flat_map(|block| block.entries) {
            let (name, key) = (entry.key.setting, entry.key);
            let (at, texts) = texts_of(entry);
            // As it would be typed: what is a list there is one text.
            let typed = if key.kind == Kind::List { listed(&texts) } else { texts.concat() };
            self.given.push(Given { name, texts: vec![(at, typed).into()], set_by: set_by.clone() });
        }
        let mut tables = Vec::new();
        for block in content.take(Table::Listener) {
            match endpoint(block) {
                Ok(text) => tables.push(text),
                Err((at, text)) => content.faults.push((at, text)),
            }
        }
        match listen {
            Some((at, texts)) if texts.is_empty() && tables.is_empty() => {
                content.faults.push((at, NO_LISTENERS.to_owned()));
            }
            None if tables.is_empty() => {}
            listen => {
                let texts = listen.map(|(_, texts)| texts).into_iter().flatten().chain(tables).collect();
                self.given.push(Given { name: "listen", texts, set_by });
            }
        }
        self.upstreams = UpstreamSets::of(content.take(Table::Upstreams), &mut content.faults);
        self.content = content;
    }
}

/// A list as one value, whose empty one has a word.
fn listed(texts: &[String]) -> String {
    if texts.is_empty() { NONE.to_owned() } else { texts.join(",") }
}

/// What stands for an empty list where it is typed.
pub(super) const NONE: &str = "off";

/// What is said of a list without listeners.
pub(super) const NO_LISTENERS: &str = "no listeners";

/// A table of the file as it would be typed.
fn endpoint(block: Block) -> Result<Text, (At, String)> {
    let without_text = if block.has("url") { NO_TEXT } else { NO_URL };
    let mut url = None;
    let (mut query, mut options) = (String::new(), Vec::new());
    for entry in block.entries {
        let key = entry.key;
        let (at, texts) = texts_of(entry);
        options.push((key.name, at));
        match key.name {
            "url" => url = texts.into_iter().next(),
            // What it is anyway.
            _ if texts.is_empty() && key.default == "[]" => {}
            _ => query += &option(key, &texts),
        }
    }
    let url = url.ok_or_else(|| (block.at, without_text.to_owned()))?;
    let query = if url.contains('?') { query } else { query.replacen('&', "?", 1) };
    Ok(Text { typed: url + &query, at: Some(block.at), options: Some(options) })
}

const NO_URL: &str = "[[listener]] has no `url`, such as url = \"rooms=tcp://127.0.0.1:8081\"";
const NO_TEXT: &str = "[[listener]] is left out: its `url` is not a string";

/// Where a value is that is as it would be typed, and its texts.
pub(super) fn texts_of(entry: Entry) -> (At, Vec<String>) {
    let Value::Texts(texts) = entry.value else { unreachable!("it is as it would be typed") };
    (texts.first().map_or(entry.at, |(at, _)| *at), texts.into_iter().map(|(_, text)| text).collect())
}

/// An option of a URL, behind others: a list is one, and of any other key each text.
pub(super) fn option(key: &Key, texts: &[String]) -> String {
    let typed = |text: &str| format!("&{}={}", key.name, encoded(text));
    if key.kind == Kind::List { typed(&texts.join(",")) } else { texts.iter().map(|text| typed(text)).collect() }
}

/// A value of an option as it stands in a URL.
fn encoded(text: &str) -> String {
    percent_encoded(text, b"/:,*=@+")
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
