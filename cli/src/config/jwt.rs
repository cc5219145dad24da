//! What a `[jwt.NAME]` means. Its keys are read elsewhere (`key_files.rs`).

use super::file::Block;
use super::values::{Value, Wrong};
use crate::policy::jwt::algorithm::Algorithm;
use crate::policy::jwt::keys::KeySet;
use crate::policy::jwt::place::Fetch;
use crate::policy::jwt::section::{Audience, JwtSection, KeysFrom};
use crate::policy::rules::{AdminRight, At};
use std::time::Duration;
use switchboard::{Glob, GroupName};

/// Sources, each of which is asked about each token and each name.
const MOST_SOURCES: usize = 64;

/// As words in a log; `iss` and `aud` may be URLs.
const TEXT_BYTES: usize = 1024;

const MAX_AGE: Duration = Duration::from_hours(24);
const LEEWAY: Duration = Duration::from_secs(30);

/// Longer than clocks differ; a token that has expired is good for so long.
const MOST_LEEWAY: Duration = Duration::from_mins(10);

/// What the tables say, and what is wrong with them.
pub(super) fn sources(blocks: Vec<Block>, faults: &mut Vec<Wrong>) -> Vec<JwtSection> {
    let mut sources: Vec<JwtSection> = Vec::new();
    if let Some(block) = blocks.get(MOST_SOURCES) {
        faults.push((block.at, format!("more than {MOST_SOURCES} sources of JWTs")));
    }
    for block in blocks {
        let mut source = Source { at: block.at, called: format!("jwt.{}", block.name), faults };
        let Some(section) = source.section(block) else { continue };
        for other in &sources {
            let mut fault = |text: String| faults.push((section.at, format!("jwt.{}: {text}", section.name)));
            if other.issuer == section.issuer {
                fault(format!("jwt.{} has the same `issuer`, by which a token's source is found", other.name));
            }
            if let Some(glob) = section.names.iter().find(|glob| other.names.contains(glob)) {
                fault(format!("`names` has \"{glob}\", as jwt.{} has: a name is one source's", other.name));
            }
        }
        sources.push(section);
    }
    sources
}

/// One table, while it is understood.
struct Source<'a> {
    at: At,
    called: String,
    faults: &'a mut Vec<Wrong>,
}

impl Source<'_> {
    fn section(&mut self, block: Block) -> Option<JwtSection> {
        // It stands between slashes in what a principal is proven by.
        let is_name = GroupName::parse(&block.name).is_ok();
        if !is_name {
            self.fault(self.at, "not a name: letters, digits, '-', '_' and '.'");
        }
        for required in ["issuer", "audience", "algorithms", "keys"] {
            if !block.has(required) {
                self.fault(self.at, &format!("it has no `{required}`"));
            }
        }
        let mut section = JwtSection {
            at: block.at,
            name: block.name,
            issuer: String::new(),
            audience: Audience::OneOf(Vec::new()),
            algorithms: Vec::new(),
            keys: KeysFrom::Files(Vec::new()),
            keys_ca: None,
            mark: None,
            read: KeySet::default(),
            fetched: None,
            fetch: Fetch::default(),
            name_claim: "sub".to_owned(),
            strip_domain: None,
            names: Glob::parse("*").into_iter().collect(),
            groups_claim: None,
            rights_claim: None,
            admin: None,
            typ: None,
            max_age: Some(MAX_AGE),
            leeway: LEEWAY,
        };
        for entry in block.entries {
            self.take(&mut section, entry.key.name, entry.at, entry.value);
        }
        if section.algorithms.contains(&Algorithm::Hs256) && section.algorithms.len() > 1 {
            let text =
                "`algorithms` has HS256 beside others: whoever knows a public key could sign with it as a secret";
            self.fault(self.at, text);
        }
        if section.url().is_some() && section.algorithms.contains(&Algorithm::Hs256) {
            self.fault(self.at, "`keys` is a URL, and HS256 has a secret, which nobody publishes");
        }
        if section.url().is_none() && section.keys_ca.is_some() {
            self.fault(self.at, "`keys-ca` is for `keys` that are a URL");
        }
        is_name.then_some(section)
    }

    fn take(&mut self, section: &mut JwtSection, key: &str, at: At, value: Value) {
        let texts = match value {
            Value::Names(names) => {
                let names: Vec<_> = names.into_iter().map(|direct| direct.names).collect();
                if names.iter().any(Glob::has_name) {
                    self.fault(at, "`names` has {name}, which is what they are to say");
                }
                section.names = names;
                return;
            }
            Value::Duration(duration) => return self.take_duration(section, key, at, duration),
            // `max-age` alone may be off.
            Value::None => return section.max_age = None,
            Value::Word(word) => return section.admin = AdminRight::parse(&word),
            Value::Texts(texts) => texts,
            other => unreachable!("no key of these tables is {other:?}"),
        };
        if let Some((at, _)) = texts.iter().find(|(_, text)| text.is_empty() || text.len() > TEXT_BYTES) {
            return self.fault(*at, &format!("`{key}` is empty, or longer than {TEXT_BYTES} bytes"));
        }
        if texts.is_empty() {
            return self.fault(at, &format!("`{key}` is an empty list"));
        }
        let first = texts.first().map(|(_, text)| text.clone()).unwrap_or_default();
        match key {
            "issuer" => section.issuer = first,
            "audience" if first == "any" && texts.len() == 1 => section.audience = Audience::Any,
            "audience" => section.audience = Audience::OneOf(texts.into_iter().map(|(_, text)| text).collect()),
            "algorithms" => section.algorithms = self.algorithms(texts),
            "keys" => section.keys = self.keys(texts),
            "keys-ca" => section.keys_ca = Some(first),
            "name-claim" => section.name_claim = first,
            "strip-domain" => section.strip_domain = Some(first),
            "groups-claim" => section.groups_claim = Some(first),
            "rights-claim" => section.rights_claim = Some(first),
            "typ" => section.typ = Some(first),
            other => unreachable!("these tables have no {other}"),
        }
    }

    fn take_duration(&mut self, section: &mut JwtSection, key: &str, at: At, duration: Duration) {
        match key {
            "max-age" => section.max_age = Some(duration),
            _ if duration <= MOST_LEEWAY => section.leeway = duration,
            _ => self.fault(at, "`leeway` is longer than 10m: a token that has expired is good for so long"),
        }
    }

    /// One URL, or files.
    fn keys(&mut self, texts: Vec<(At, String)>) -> KeysFrom {
        let is_url = |text: &str| text.contains("://");
        match &texts[..] {
            [(at, text)] if is_url(text) => {
                // Over a socket of this machine one would have a file.
                if !text.starts_with("https://") && !text.starts_with("http://") {
                    self.fault(*at, "`keys` is a URL of another kind than https://, or http:// of this machine");
                }
                KeysFrom::Url(*at, text.clone())
            }
            _ => {
                if let Some((at, _)) = texts.iter().find(|(_, text)| is_url(text)) {
                    self.fault(*at, "`keys` has a URL beside others: it is one URL, or files");
                }
                KeysFrom::Files(texts)
            }
        }
    }

    fn algorithms(&mut self, texts: Vec<(At, String)>) -> Vec<Algorithm> {
        let mut algorithms = Vec::new();
        for (at, text) in texts {
            match text.parse() {
                Ok(algorithm) if !algorithms.contains(&algorithm) => algorithms.push(algorithm),
                Ok(_) => self.fault(at, &format!("`algorithms` has {text} twice")),
                Err(fault) => self.fault(at, &format!("algorithms: {fault}")),
            }
        }
        algorithms
    }

    fn fault(&mut self, at: At, text: &str) {
        self.faults.push((at, format!("{}: {text}", self.called)));
    }
}
