//! The file: read within bounds, and taken apart by the table of keys. What its values mean together is not known here.

use super::keys::{self, Key, Shape, Table};
use super::places::Places;
use super::values::{Reader, Value, Wrong};
use crate::policy::rules::At;
use std::io;
use std::path::Path;
use switchboard::files;
use switchboard_load::typed::{did_you_mean, nearest};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// The longest file: a device or a wrong path must not fill the memory. 10,000 tokens take 1 MiB.
const FILE_BYTES: u64 = 4 << 20;

/// Mistakes of one file that are told; of a file that is no TOML at all each line may be several.
const MOST_FAULTS: usize = 100;

/// Mistakes that are looked for, of which the first are told.
const COUNTED_FAULTS: usize = 1000;

/// Longer files are read as far as their first mistake against TOML: as many as there may be would take 400 times as much memory.
const RECOVERED_BYTES: usize = 256 << 10;

/// What stands in a file, and what is wrong with it.
#[derive(Debug, Default)]
pub(super) struct Content {
    pub(super) settings: Vec<Entry>,
    /// In the order of the file.
    pub(super) blocks: Vec<Block>,
    pub(super) faults: Vec<Wrong>,
}

impl Content {
    /// All tables of a kind, which are not there any more.
    pub(super) fn take(&mut self, table: Table) -> Vec<Block> {
        self.blocks.extract_if(.., |block| block.table == table).collect()
    }
}

/// A key and its value.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) key: &'static Key,
    /// Where the key stands.
    pub(super) at: At,
    pub(super) value: Value,
}

/// A table: its head, and what is in it.
#[derive(Debug)]
pub(super) struct Block {
    pub(super) table: Table,
    pub(super) at: At,
    /// Of a token, a group, rooms and so on; empty for tables that have none.
    pub(super) name: String,
    /// All that stands there, also what is wrong.
    keys: Vec<String>,
    pub(super) entries: Vec<Entry>,
}

impl Block {
    /// Whether there is such a key, be its value wrong.
    pub(super) fn has(&self, key: &str) -> bool {
        self.keys.iter().any(|known| known == key)
    }
}

/// The text of a file.
pub(super) fn read(path: &Path) -> io::Result<String> {
    let bytes = files::read(path, FILE_BYTES)?;
    if bytes.len() as u64 > FILE_BYTES {
        return Err(io::Error::other(format!("longer than {FILE_BYTES} bytes")));
    }
    String::from_utf8(bytes).map_err(|error| {
        let (before, bytes) = (error.utf8_error().valid_up_to(), error.into_bytes());
        let sound = std::str::from_utf8(&bytes[..before]).unwrap_or_default();
        io::Error::other(format!("not UTF-8 from {} on", Places::of(sound).at(before)))
    })
}

/// Takes a text apart.
pub(super) fn parse(text: &str) -> Content {
    let places = Places::of(text);
    let mut content = Content::default();
    // A file of other kinds than text would be a mistake in each byte.
    if let Some(byte) = memchr::memchr(0, text.as_bytes()) {
        content.faults.push((places.at(byte), "a NUL byte: this is not a text file".to_owned()));
        return content;
    }
    let (table, errors) = if text.len() > RECOVERED_BYTES {
        DeTable::parse(text).map_or_else(|error| (None, vec![error]), |table| (Some(table), Vec::new()))
    } else {
        let (table, errors) = DeTable::parse_recoverable(text);
        (Some(table), errors)
    };
    let reader = Reader { places: &places, text };
    let mut walk = Walk { content, reader };
    if let Some(table) = &table {
        walk.top(table.get_ref());
    }
    let mut content = walk.content;
    let mut wrong: Vec<Wrong> = errors.iter().map(|error| syntax(error, &places)).collect();
    wrong.sort();
    // The others of a line follow from the first.
    wrong.dedup_by_key(|(at, _)| at.line);
    // What is read of such a line is a guess.
    content.faults.retain(|(at, _)| wrong.binary_search_by_key(&at.line, |(wrong, _)| wrong.line).is_err());
    content.faults.extend(wrong);
    content.faults.sort();
    content.faults.dedup();
    if content.faults.len() > MOST_FAULTS {
        let (at, _) = content.faults[MOST_FAULTS];
        let more = content.faults.len() - MOST_FAULTS;
        content.faults.truncate(MOST_FAULTS);
        let more = if more + MOST_FAULTS < COUNTED_FAULTS { more.to_string() } else { format!("{more} or") };
        content.faults.push((at, format!("and {more} more mistakes from here on")));
    }
    content
}

/// A mistake against TOML itself.
fn syntax(error: &toml::de::Error, places: &Places<'_>) -> Wrong {
    let at = places.at(error.span().map_or(0, |span| span.start));
    (at, error.message().lines().collect::<Vec<_>>().join(" "))
}

struct Walk<'a> {
    content: Content,
    reader: Reader<'a>,
}

impl Walk<'_> {
    fn top(&mut self, table: &DeTable<'_>) {
        for (at, name, value) in self.reader.entries(table) {
            match Table::UNDER.into_iter().find(|table| table.name() == name) {
                Some(table) => self.under(table, at, value),
                None => {
                    if let Some(entry) = self.entry(Table::Top, at, name, value) {
                        self.content.settings.push(entry);
                    }
                }
            }
        }
    }

    /// What stands under a key of the top that has tables.
    fn under(&mut self, table: Table, at: At, value: &Spanned<DeValue<'_>>) {
        let is_not = |shown: &str| (at, format!("`{}` is {shown}; write {}", table.name(), table.head()));
        match (table.form().shape, value.get_ref()) {
            (Shape::Listed, DeValue::Array(values)) => {
                for value in values {
                    let DeValue::Table(inner) = value.get_ref() else {
                        let text = format!("{} is not a table; write {}", self.reader.shown(value), table.head());
                        self.content.faults.push((self.reader.at(value), text));
                        continue;
                    };
                    self.section(table, self.reader.at(value), String::new(), inner);
                }
            }
            (Shape::Listed, DeValue::Table(_)) => {
                self.content.faults.push(is_not("a single table"));
            }
            (Shape::One, DeValue::Table(inner)) => self.section(table, at, String::new(), inner),
            (Shape::Named, DeValue::Table(named)) => {
                for (at, name, value) in self.reader.entries(named) {
                    let DeValue::Table(inner) = value.get_ref() else {
                        let text =
                            format!("`{name}` is {}, not a table; write {}", self.reader.shown(value), table.head());
                        self.content.faults.push((at, text));
                        continue;
                    };
                    self.section(table, at, name.to_owned(), inner);
                }
            }
            _ => self.content.faults.push(is_not(&self.reader.shown(value))),
        }
    }

    fn section(&mut self, table: Table, at: At, name: String, inner: &DeTable<'_>) {
        let keys = inner.iter().map(|(key, _)| key.get_ref().clone().into_owned()).collect();
        let entries = self.reader.entries(inner).into_iter();
        let entries = entries.filter_map(|(at, key, value)| {
            // `[rooms.sensors.boiler]` is a table within `sensors`, and `boiler` was to be a part of the name.
            if let (Shape::Named, DeValue::Table(_)) = (table.form().shape, value.get_ref())
                && table.keys().all(|known| known.name != key)
            {
                let meant = format!("[{}.\"{name}.{key}\"]", table.name());
                self.content.faults.push((at, format!("unknown key `{key}`; a name with dots needs quotes: {meant}")));
                return None;
            }
            self.entry(table, at, key, value)
        });
        let entries = entries.collect();
        self.content.blocks.push(Block { table, at, name, keys, entries });
    }

    fn entry(&mut self, table: Table, at: At, name: &str, value: &Spanned<DeValue<'_>>) -> Option<Entry> {
        if self.content.faults.len() >= COUNTED_FAULTS {
            return None;
        }
        let Some(key) = table.keys().find(|key| key.name == name) else {
            self.content.faults.push((at, unknown(table, name)));
            return None;
        };
        match self.reader.read(key, value) {
            Ok(value) => Some(Entry { key, at, value }),
            Err(faults) => {
                self.content.faults.extend(faults);
                None
            }
        }
    }
}

/// What is said of a key that is none.
fn unknown(table: Table, name: &str) -> String {
    let under = Table::UNDER.iter().map(|table| table.name()).filter(|_| table == Table::Top);
    let known: Vec<_> = table.keys().map(|key| key.name).chain(under).collect();
    let meant = match (table, name) {
        // Flags, of which the file has what they stand for.
        (Table::Top, "verbose") => "; for -v write log = \"debug\"".to_owned(),
        (Table::Top, "quiet") => "; for -q write log = \"warn\"".to_owned(),
        (Table::Top, flag) if let Some(key) = keys::named(flag) => {
            format!("; it is `{}` of {}", key.name, key.table.head())
        }
        _ => did_you_mean(name, known.iter().copied()),
    };
    // A key of elsewhere is more often misplaced than mistyped.
    let elsewhere = Table::UNDER.into_iter().find(|other| *other != table && other.keys().any(|key| key.name == name));
    let elsewhere = elsewhere.filter(|_| nearest(name, known.iter().copied()).is_none());
    let elsewhere = elsewhere.map(|table| format!("; it belongs to {}", table.head())).unwrap_or_default();
    let place = if table == Table::Top { String::new() } else { format!(" of {}", table.head()) };
    format!("unknown key `{name}`{place}; known: {}{meant}{elsewhere}", known.join(", "))
}
