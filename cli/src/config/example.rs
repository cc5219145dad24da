//! The table of keys as a file with every default, and as a JSON schema.

use super::keys::{Key, Kind, Live, Shape, Table};
use serde_json::{Map, Value, json};

/// A file that sets nothing: each setting has its default, and every other table is a comment.
pub(crate) fn example() -> String {
    let mut text = "\
# Every key of switchboard's file, with its default. A flag or a variable wins over what stands here.
# Check it: switchboard config check --config FILE. Keys marked (restart) are in force after a restart, all others after SIGHUP.

"
    .to_owned();
    let set = |table: Table| table.keys().map(|key| format!("# {}\n{} = {}\n", comment(key), key.name, key.default));
    text.extend(set(Table::Top));
    let tables = Table::UNDER.into_iter().filter(|table| table.keys().next().is_some());
    let (of_settings, tables): (Vec<_>, Vec<_>) =
        tables.partition(|table| table.keys().all(|key| !key.setting.is_empty()));
    for table in of_settings {
        text.extend([format!("\n# {}\n{}\n", table.form().doc, table.head())]);
        text.extend(set(table));
    }
    text.extend(tables.into_iter().flat_map(of_table));
    text
}

/// A table as a comment.
fn of_table(table: Table) -> Vec<String> {
    let keys = table.keys().map(|key| format!("#{} = {}  # {}\n", key.name, key.shown(), comment(key)));
    let form = table.form();
    [format!("\n# {}\n#{}\n", form.doc, form.sample)].into_iter().chain(keys).collect()
}

fn comment(key: &Key) -> String {
    if key.live == Live::Restart { format!("{} (restart)", key.doc) } else { key.doc.to_owned() }
}

/// A JSON schema (draft 2020-12) of the file, for editors that know TOML.
pub(crate) fn schema() -> String {
    let mut properties = of_keys(Table::Top);
    for table in Table::UNDER.into_iter().filter(|table| table.keys().next().is_some()) {
        let mut one = json!({ "type": "object", "additionalProperties": false, "properties": of_keys(table) });
        if let Some(required) = table.form().required {
            one["required"] = json!([required]);
        }
        let many = match table.form().shape {
            Shape::Listed => json!({ "type": "array", "items": one }),
            Shape::One => one,
            Shape::Named => json!({ "type": "object", "additionalProperties": one }),
        };
        properties.insert(table.name().to_owned(), many);
    }
    let schema = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "switchboard",
        "type": "object",
        "additionalProperties": false,
        "properties": properties,
    });
    format!("{schema:#}\n")
}

fn of_keys(table: Table) -> Map<String, Value> {
    let described = |key: &Key| {
        let mut value = of_kind(key.kind, key.is_typed());
        value["description"] = comment(key).into();
        (key.name.to_owned(), value)
    };
    table.keys().map(described).collect()
}

const NAME: &str = "^[A-Za-z0-9._-]{1,64}$";
const GLOB: &str = r"^([A-Za-z0-9._*-]|\{name\})+$";
const NETWORK: &str = "^[0-9A-Fa-f.:]+(/[0-9]+)?$";
const HASH: &str = "^sha256:[0-9A-Fa-f]{64}$";

fn of_kind(kind: Kind, is_typed: bool) -> Value {
    let words = |or: &[&str]| or.iter().map(|word| json!({ "const": word })).collect::<Vec<_>>();
    let either = |mut forms: Vec<Value>, or: &[&str]| {
        forms.extend(words(or));
        json!({ "anyOf": forms })
    };
    let texts = |pattern: &str| json!({ "type": "array", "items": { "type": "string", "pattern": pattern } });
    match kind {
        Kind::Count { least, or } => {
            let mut forms = vec![json!({ "type": "integer", "minimum": least })];
            // As it would be typed.
            forms.extend(is_typed.then(|| json!({ "type": "string", "pattern": "^[0-9]+$" })));
            either(forms, or)
        }
        Kind::Size { or } => {
            let text = json!({ "type": "string", "pattern": "^[0-9]+(B|KiB|MiB|GiB)?$" });
            either(vec![text, json!({ "type": "integer", "minimum": 1 })], or)
        }
        Kind::Duration { or } => {
            let text = json!({ "type": "string", "pattern": "^[0-9]+(ms|s|m|h)?$" });
            either(vec![text, json!({ "type": "integer", "minimum": 0 })], or)
        }
        Kind::Word(words) => json!({ "enum": words }),
        Kind::Switch => json!({ "enum": ["on", "off", true, false] }),
        Kind::Text => json!({ "type": ["string", "integer"] }),
        Kind::Texts | Kind::List => {
            json!({ "anyOf": [{ "type": "string" }, { "type": "array", "items": { "type": "string" } }] })
        }
        Kind::Endpoints => texts("^[a-z]+=[a-z]+://"),
        Kind::Hashes => {
            let hash = json!({ "type": "string", "pattern": HASH });
            json!({ "anyOf": [hash, { "type": "array", "items": hash, "minItems": 1, "maxItems": 2 }] })
        }
        Kind::Name => json!({ "type": "string", "pattern": NAME }),
        Kind::Groups => texts(NAME),
        Kind::Names => texts(GLOB),
        Kind::People => texts("^@?[A-Za-z0-9._-]{1,64}$"),
        Kind::Networks => texts(NETWORK),
        Kind::Network => json!({ "type": "string", "pattern": NETWORK }),
        Kind::Rights => of_rights(),
        Kind::Grants => json!({
            "type": "object", "propertyNames": { "pattern": GLOB }, "additionalProperties": of_rights(),
        }),
        // A date of TOML is no type of JSON: tools that read TOML give it as a text.
        Kind::Date => json!({ "type": "string", "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}" }),
    }
}

fn of_rights() -> Value {
    let single = switchboard::Rights::WORDS.iter().map(|(word, _)| *word);
    let words: Vec<_> = single.chain(["read", "write", "all"]).collect();
    json!({ "type": "array", "items": { "enum": words } })
}

#[cfg(test)]
mod tests {
    use super::super::Config;
    use super::super::file;
    use super::super::keys::all;
    use super::*;
    use clap::CommandFactory as _;
    use std::collections::HashMap;

    /// What is printed of a configuration, without where it came from.
    fn values(printed: &str) -> toml::Table {
        printed.parse().expect("it is TOML")
    }

    #[test]
    fn the_example_says_what_holds_without_it() {
        let defaults = Config::load(crate::args::Settings::default(), &HashMap::new(), |_| Vec::new()).expect("sound");
        let (example, defaults) = (values(&example()), values(&defaults.print()));
        assert_eq!(example, defaults);
    }

    /// Whoever takes the comment signs away has a file that is right.
    #[test]
    fn the_tables_of_the_example_are_right() {
        let example = example();
        let lines = example.lines().map(|line| match line.strip_prefix('#') {
            Some(rest) if !rest.starts_with(' ') => rest,
            _ => line,
        });
        // A glob cannot be kept, and echo takes no options of rooms.
        let text = lines.collect::<Vec<_>>().join("\n");
        let content = file::parse(&text);
        assert!(content.faults.is_empty(), "{:?}", content.faults);
        let entries = content.blocks.iter().map(|block| block.entries.len());
        assert_eq!(content.settings.len() + entries.sum::<usize>(), all().count());
    }

    fn path(key: &Key) -> String {
        if key.table == Table::Top { key.name.to_owned() } else { format!("{} {}", key.table.head(), key.name) }
    }

    /// The table of the operator's page is this one.
    #[test]
    fn the_page_for_operators_lists_every_key() {
        let page = include_str!("../../../docs/operations.md");
        let mut table = "| key | default | what it is | changed by |\n|---|---|---|---|\n".to_owned();
        for key in all() {
            let (path, default) =
                (path(key), if key.default.is_empty() { String::new() } else { format!("`{}`", key.default) });
            // The listeners are shown in full above it.
            let default = if key.name == "listen" { "echo and rooms on loopback".to_owned() } else { default };
            table.extend([format!("| `{path}` | {default} | {} | {} |\n", key.doc, key.live)]);
        }
        assert!(page.contains(&table), "docs/operations.md should have:\n{table}");
    }

    #[test]
    fn the_schema_has_every_key() {
        let schema: Value = serde_json::from_str(&schema()).expect("it is JSON");
        for key in all() {
            let top = &schema["properties"];
            let table = &top[key.table.name()];
            let place = match key.table.form().shape {
                _ if key.table == Table::Top => top,
                Shape::Listed => &table["items"]["properties"],
                Shape::One => &table["properties"],
                Shape::Named => &table["additionalProperties"]["properties"],
            };
            assert!(place[key.name]["description"].is_string(), "{}", path(key));
        }
    }

    /// Each is told to whoever types it, with its values; those of certificates where URLs are.
    #[test]
    fn the_help_of_serve_has_every_option_of_a_listener() {
        let command = crate::args::Args::command();
        let help = command.find_subcommand("serve").and_then(clap::Command::get_after_long_help).expect("it has");
        let help = help.to_string();
        let is_missing = |name: &&str| match *name {
            "url" => false,
            "cert" | "key" => !help.contains("?cert=FILE&key=FILE"),
            name => !help.contains(&format!("\n  {name}=")),
        };
        let missing: Vec<_> = Table::Listener.keys().map(|key| key.name).filter(is_missing).collect();
        assert_eq!(missing, [""; 0]);
    }

    /// What a service reads of a URL is a key of its table, and the other way round.
    #[test]
    fn the_options_of_listeners_are_keys() {
        let known = |typed: &str| {
            let faults = crate::endpoint::Endpoint::parse(typed).expect_err("there is no such option").sentences(typed);
            let (_, known) = faults[0].split_once("known here: ").expect("it says which there are");
            known.split(';').next().unwrap_or_default().split(", ").map(str::to_owned).collect::<Vec<_>>()
        };
        // Those beside the URL need files of certificates.
        let with_files = ["url", "cert", "key", "client-ca", "client-crl", "client-cert", "name-from"];
        let mut options = with_files.map(str::to_owned).to_vec();
        for typed in [
            "echo=tcp://h:1?zzzz=",
            "echo=ws://h:1?zzzz=",
            "echo=unix:///h?zzzz=",
            "rooms=tcp://h:1?zzzz=",
            "rooms=udp://h:1?zzzz=",
            "rooms=udp://239.1.2.3:1?room=r&zzzz=",
            "rooms=unix:///h?zzzz=",
            "rooms=http://h:1?zzzz=",
            "proxy=tcp://h:1?to=tcp://h:2&zzzz=",
            "admin=http://localhost:1?zzzz=",
        ] {
            options.extend(known(typed));
        }
        options.sort();
        options.dedup();
        let mut keys: Vec<_> = Table::Listener.keys().map(|key| key.name.to_owned()).collect();
        keys.sort();
        assert_eq!(options, keys);
    }
}
