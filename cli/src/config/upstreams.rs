//! What `[upstreams.NAME]` stands for: the options of a proxy, at each listener whose `to` is the name.

use super::file::Block;
use super::layers::{Text, option, texts_of};
use super::values::Wrong;
use crate::endpoint::Endpoint;
use crate::policy::rules::At;
use std::collections::BTreeMap;
use switchboard_load::typed::{did_you_mean, percent_decoded};

/// All sets of a file, by name.
#[derive(Debug, Default)]
pub(super) struct UpstreamSets(BTreeMap<String, Set>);

/// One of them.
#[derive(Debug)]
struct Set {
    at: At,
    /// As options are typed, and where each is in the file.
    query: String,
    options: Vec<(&'static str, At)>,
    is_used: bool,
}

impl UpstreamSets {
    /// Reads the tables, and notes what is wrong with them alone.
    pub(super) fn of(blocks: Vec<Block>, faults: &mut Vec<Wrong>) -> Self {
        let mut sets = BTreeMap::new();
        for block in blocks {
            let (name, at) = (block.name.clone(), block.at);
            if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte)) {
                faults.push((at, format!("upstreams.\"{name}\": not letters, digits, `-`, `_` and `.` alone")));
                continue;
            }
            if !block.has("to") {
                faults.push((at, format!("[upstreams.{name}] has no `to`, such as to = [\"tcp://10.0.0.5:5432\"]")));
                continue;
            }
            let mut set = Set { at, query: String::new(), options: Vec::new(), is_used: false };
            for entry in block.entries {
                let key = entry.key;
                let (at, texts) = texts_of(entry);
                set.options.push((key.name, at));
                set.query += &option(key, &texts);
            }
            sets.insert(name, set);
        }
        Self(sets)
    }

    /// Puts the options of a set in the place of its name, if that is what `to` of a listener is.
    pub(super) fn expand(&mut self, text: &mut Text) -> Result<(), String> {
        let Some((place, query)) = text.typed.split_once('?') else { return Ok(()) };
        let is_to = |pair: &&str| pair.starts_with("to=");
        let Some(to) = query.split('&').find(is_to) else { return Ok(()) };
        let decoded = percent_decoded(&to[3..]).ok().and_then(|name| String::from_utf8(name).ok());
        let Some(name) = decoded.filter(|name| !name.contains(':') && !self.0.is_empty()) else { return Ok(()) };
        let Some(set) = self.0.get_mut(&name) else {
            let meant = did_you_mean(&name, self.0.keys().map(String::as_str));
            return Err(format!("{place}: there is no [upstreams.{name}]{meant}"));
        };
        set.is_used = true;
        let others: Vec<_> = query.split('&').filter(|pair| !is_to(pair)).collect();
        let typed = format!("{place}?{}{}", others.join("&"), set.query);
        if let Some(options) = &mut text.options {
            options.retain(|(option, _)| *option != "to");
            options.extend(&set.options);
        }
        text.typed = typed.replacen("?&", "?", 1);
        Ok(())
    }

    /// What is wrong with sets that no listener names: nobody else looks at what stands there.
    pub(super) fn unused_faults(&self) -> Vec<Wrong> {
        let unused = self.0.values().filter(|set| !set.is_used);
        let faults = unused.flat_map(|set| {
            let scheme = if set.query.contains("&to=udp:") { "udp" } else { "tcp" };
            let typed = format!("proxy={scheme}://127.0.0.1:0?{}", &set.query[1..]);
            let faults = Endpoint::parse(&typed).err().unwrap_or_default();
            faults.typed.into_iter().map(|fault| {
                let place = set.options.iter().find(|(option, _)| Some(*option) == fault.option.as_deref());
                (place.map_or(set.at, |(_, at)| *at), fault.text)
            })
        });
        faults.collect()
    }
}
