//! What `[[ban]]` means.

use super::file::Block;
use super::keys::Table;
use super::values::{Value, Wrong};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::time::SystemTime;
use switchboard::{Ban, IpNetwork};

/// The bans of a file.
pub(crate) type Bans = BTreeMap<IpNetwork, Ban>;

/// As many as a server holds.
const MOST: usize = 10_000;

/// What the tables say, and what is wrong with them.
pub(super) fn understand(blocks: Vec<Block>, faults: &mut Vec<Wrong>) -> Bans {
    let mut bans = Bans::new();
    if let Some(block) = blocks.get(MOST) {
        faults.push((block.at, format!("more than {MOST} bans")));
    }
    for block in blocks {
        let (at, head) = (block.at, Table::Ban.head());
        if !block.has("network") {
            faults.push((at, format!("{head} has no `network`, such as network = \"198.51.100.0/24\"")));
        }
        let (mut network, mut until, mut reason) = (None, None, String::new());
        for entry in block.entries {
            match entry.value {
                Value::Network(value) => network = Some((entry.at, value)),
                Value::Time(end) => until = Some(end),
                // The one text that there is.
                Value::Texts(texts) => reason = texts.into_iter().next().map(|(_, text)| text).unwrap_or_default(),
                other => unreachable!("no key of a ban is {other:?}"),
            }
        }
        // What is wrong with it has been said.
        let Some((at, network)) = network else { continue };
        let ban = Ban::of(network).because(reason);
        match bans.entry(network) {
            Entry::Vacant(vacant) => _ = vacant.insert(until.map_or(ban.clone(), |end| ban.until(end))),
            Entry::Occupied(_) => faults.push((at, format!("network: {network} is banned already"))),
        }
    }
    bans
}

/// Bans that hold nobody any more, in words.
pub(super) fn over(bans: &Bans, now: SystemTime) -> Vec<String> {
    let told = |ban: &Ban| {
        let until = ban.until.filter(|until| *until <= now)?;
        Some(format!("ban {}: it ended at {}", ban.network, humantime::format_rfc3339_seconds(until)))
    };
    bans.values().filter_map(told).collect()
}
