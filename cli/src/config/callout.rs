//! What `[callout]` means. Its URL is taken apart elsewhere (`asked.rs`).

use super::file::Block;
use super::values::{Value, Wrong};
use crate::policy::callout::CalloutSection;
use switchboard::Glob;
use switchboard_load::typed::Secret;

/// As a header can have it.
const SECRET_BYTES: usize = 1024;

/// What the table says, and what is wrong with it.
pub(super) fn section(block: Option<Block>, faults: &mut Vec<Wrong>) -> Option<CalloutSection> {
    let block = block?;
    let at = block.at;
    let mut section = CalloutSection {
        at,
        url: String::new(),
        secret: None,
        ca: None,
        names: Glob::parse("*").into_iter().collect(),
        place: None,
        mark: None,
    };
    if !block.has("url") {
        faults.push((at, "[callout] has no `url`, such as url = \"http://127.0.0.1:9000/\"".to_owned()));
    }
    for entry in block.entries {
        match (entry.key.name, entry.value) {
            ("names", Value::Names(names)) => {
                section.names = names.into_iter().map(|direct| direct.names).collect();
                if section.names.iter().any(Glob::has_name) {
                    faults.push((entry.at, "names has {name}, which is what they are to say".to_owned()));
                }
            }
            (key, Value::Texts(texts)) => {
                let text = texts.into_iter().next().map(|(_, text)| text).unwrap_or_default();
                match key {
                    "url" => section.url = text,
                    "ca" => section.ca = Some(text),
                    _ if is_secret(&text) => section.secret = Some(Secret::new(text)),
                    _ => faults.push((entry.at, format!("`{key}` is no secret: {SECRET_RULE}"))),
                }
            }
            (key, value) => unreachable!("no {key} of this table is {value:?}"),
        }
    }
    Some(section)
}

const SECRET_RULE: &str = "up to 1024 letters, digits and signs of ASCII, without a space";

fn is_secret(text: &str) -> bool {
    (1..=SECRET_BYTES).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}
