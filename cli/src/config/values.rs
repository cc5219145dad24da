//! What a value of the file is, by the kind of its key; or all that is wrong with it, each fault at its place.

use super::keys::{Key, Kind};
use super::places::Places;
use crate::policy::rules::{At, Direct, Grant};
use crate::policy::token::{HashFault, TokenHash};
use std::time::{Duration, SystemTime};
use switchboard::rule::Who;
use switchboard::{Glob, GroupName, IpNetwork, IpNetworkError, Rights, UserName};
use switchboard_load::typed::{nearest, parse_duration, parse_size, without_passwords};
use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue};
use toml::value::{Datetime, Offset};

/// A value that was understood.
#[derive(Debug)]
pub(super) enum Value {
    /// As they would be typed: what they mean is known elsewhere.
    Texts(Vec<(At, String)>),
    Number(usize),
    Duration(Duration),
    /// The word that stands for no such thing: `off`.
    None,
    Name(GroupName),
    Word(String),
    Switch(bool),
    Hashes(Vec<TokenHash>),
    Groups(Vec<(At, GroupName)>),
    Grants(Vec<Grant>),
    Names(Vec<Direct>),
    Time(SystemTime),
    Networks(Vec<IpNetwork>),
    Network(IpNetwork),
    People(Vec<(At, Who)>),
    Rights(Rights),
}

/// A mistake and its place.
pub(super) type Wrong = (At, String);

/// Reads values of one text.
pub(super) struct Reader<'a> {
    pub(super) places: &'a Places<'a>,
    pub(super) text: &'a str,
}

/// Longest part of a value that is shown.
const SHOWN_CHARACTERS: usize = 60;

/// Hashes that one token may have: the one in use, and the next or the last.
const HASHES: usize = 2;

impl Reader<'_> {
    pub(super) fn at<T>(&self, spanned: &Spanned<T>) -> At {
        self.places.at(spanned.span().start)
    }

    /// A value as it stands in the file, in one short line.
    pub(super) fn shown<T>(&self, value: &Spanned<T>) -> String {
        // Cut off first, a password might be left without the `@` behind it.
        let written = without_passwords(self.text.get(value.span()).unwrap_or_default());
        let line = written.lines().next().unwrap_or_default();
        let shown: String = line.chars().take(SHOWN_CHARACTERS).collect();
        if shown.len() < written.len() { format!("{shown}…") } else { shown }
    }

    /// What `value` is for `key`.
    pub(super) fn read(&self, key: &Key, value: &Spanned<DeValue<'_>>) -> Result<Value, Vec<Wrong>> {
        let name = key.name;
        let one = |text: String| vec![(self.at(value), text)];
        if key.is_typed() {
            return self.typed(key, value);
        }
        match key.kind {
            Kind::Hashes => self.hashes(value).map(Value::Hashes),
            Kind::Groups => {
                let group =
                    |text: &str| GroupName::parse(text).map_err(|fault| format!("`{text}` is not a group: {fault}"));
                self.list(key, value, group).map(Value::Groups)
            }
            Kind::Names => {
                let names = self.list(key, value, glob)?;
                Ok(Value::Names(names.into_iter().map(|(at, names)| Direct { at, names }).collect()))
            }
            Kind::People => self.list(key, value, who).map(Value::People),
            Kind::Networks => {
                let networks = self.list(key, value, network)?;
                Ok(Value::Networks(networks.into_iter().map(|(_, network)| network).collect()))
            }
            Kind::Rights => self.rights(key, value).map(Value::Rights),
            Kind::Grants => self.grants(key, value).map(Value::Grants),
            Kind::Date => match value.get_ref() {
                DeValue::Datetime(date) => time(date).map(Value::Time).map_err(one),
                DeValue::String(_) => {
                    Err(one(format!("`{name}` is a string; write a date without quotes, such as 2027-06-30")))
                }
                _ => Err(one(self.is_no(key, value, "a date such as 2027-06-30"))),
            },
            _ => self.single(key, value),
        }
    }

    /// What a value is that is one.
    fn single(&self, key: &Key, value: &Spanned<DeValue<'_>>) -> Result<Value, Vec<Wrong>> {
        let name = key.name;
        let one = |text: String| vec![(self.at(value), text)];
        match key.kind {
            Kind::Count { or, .. } | Kind::Size { or } | Kind::Duration { or }
                if value.get_ref().as_str().is_some_and(|word| or.contains(&word)) =>
            {
                Ok(Value::None)
            }
            Kind::Count { least, or } => {
                let number = integer(value).filter(|number| *number >= least);
                let what = nor(&format!("a number of {least} or more"), or);
                number.map(Value::Number).ok_or_else(|| one(self.is_no(key, value, &what)))
            }
            Kind::Size { or } => {
                let text =
                    string_or_number(value).ok_or_else(|| one(self.is_no(key, value, "a size such as \"64KiB\"")))?;
                let wrong = |fault: String| one(format!("{name} = `{text}` is {}", nor(&fault, or)));
                parse_size(&text).map(Value::Number).map_err(wrong)
            }
            Kind::Duration { or } => {
                let text =
                    string_or_number(value).ok_or_else(|| one(self.is_no(key, value, "a duration such as \"30s\"")))?;
                let wrong = |fault: String| one(format!("{name} = `{text}` is {}", nor(&fault, or)));
                parse_duration(&text).map(Value::Duration).map_err(wrong)
            }
            Kind::Name => {
                let text = value
                    .get_ref()
                    .as_str()
                    .ok_or_else(|| one(self.is_no(key, value, "a name such as \"sensors\"")))?;
                let wrong = |fault| one(format!("{name} = `{text}` is no name: {fault}"));
                GroupName::parse(text).map(Value::Name).map_err(wrong)
            }
            Kind::Network => {
                let text = value.get_ref().as_str();
                let text = text.ok_or_else(|| one(self.is_no(key, value, "a network such as \"198.51.100.0/24\"")))?;
                banned(text).map(Value::Network).map_err(|fault| one(format!("{name}: {fault}")))
            }
            Kind::Word(words) => match value.get_ref().as_str() {
                Some(word) if words.contains(&word) => Ok(Value::Word(word.to_owned())),
                word => {
                    let meant = word.and_then(|word| nearest(word, words.iter().copied()));
                    let meant = meant.map(|word| format!("; did you mean \"{word}\"?")).unwrap_or_default();
                    Err(one(self.is_no(key, value, &format!("one of {}{meant}", words.join(", ")))))
                }
            },
            Kind::Switch => match (value.get_ref().as_bool(), value.get_ref().as_str()) {
                (Some(is_on), _) => Ok(Value::Switch(is_on)),
                (_, Some("on")) => Ok(Value::Switch(true)),
                (_, Some("off")) => Ok(Value::Switch(false)),
                _ => Err(one(self.is_no(key, value, "on or off"))),
            },
            _ => self.typed(key, value),
        }
    }

    /// Says that a value is not what its key takes; without the value, if that is a secret.
    fn is_no(&self, key: &Key, value: &Spanned<DeValue<'_>>, what: &str) -> String {
        if key.secret {
            format!("`{}` is not {what}", key.name)
        } else {
            format!("`{}` is {}, not {what}", key.name, self.shown(value))
        }
    }

    /// What a flag or an option would be typed as.
    fn typed(&self, key: &Key, value: &Spanned<DeValue<'_>>) -> Result<Value, Vec<Wrong>> {
        let name = key.name;
        let text = |value: &Spanned<DeValue<'_>>| string_or_number(value).map(|text| (self.at(value), text));
        let shown = if key.secret { String::new() } else { format!("{}, ", self.shown(value)) };
        let fault = |what: &str| vec![(self.at(value), format!("`{name}` is {shown}{what}"))];
        match (key.kind, value.get_ref()) {
            // What is no text is no SERVICE=URL either, and whoever parses it says so.
            (Kind::Endpoints, DeValue::Array(values)) => {
                let text = |value| text(value).unwrap_or_else(|| (self.at(value), self.shown(value)));
                Ok(Value::Texts(values.iter().map(text).collect()))
            }
            (Kind::Endpoints, _) => {
                Err(vec![(self.at(value), format!("`{name}` is not a list such as [\"echo=tcp://127.0.0.1:8080\"]"))])
            }
            (Kind::Texts | Kind::List, DeValue::Array(values)) => {
                let texts: Option<Vec<_>> = values.iter().map(text).collect();
                texts.map(Value::Texts).ok_or_else(|| fault("not a list of strings"))
            }
            (Kind::Switch, DeValue::Boolean(is_on)) => {
                Ok(Value::Texts(vec![(self.at(value), if *is_on { "on" } else { "off" }.to_owned())]))
            }
            _ => text(value)
                .map(|text| Value::Texts(vec![text]))
                .ok_or_else(|| fault("neither a string nor a whole number")),
        }
    }

    /// A list of texts, each of which `parse` understands.
    fn list<T>(
        &self,
        key: &Key,
        value: &Spanned<DeValue<'_>>,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Result<Vec<(At, T)>, Vec<Wrong>> {
        let Some(values) = value.get_ref().as_array() else {
            return Err(vec![(self.at(value), self.is_no(key, value, "a list such as [\"…\"]"))]);
        };
        let mut faults = Vec::new();
        let mut list = Vec::new();
        for value in values {
            let at = self.at(value);
            match value.get_ref().as_str().map(&parse) {
                Some(Ok(parsed)) => list.push((at, parsed)),
                Some(Err(fault)) => faults.push((at, format!("{}: {fault}", key.name))),
                None => faults.push((at, format!("{}: {} is not a string", key.name, self.shown(value)))),
            }
        }
        if faults.is_empty() { Ok(list) } else { Err(faults) }
    }

    fn rights(&self, key: &Key, value: &Spanned<DeValue<'_>>) -> Result<Rights, Vec<Wrong>> {
        let words = self.list(key, value, right)?;
        Ok(words.into_iter().map(|(_, rights)| rights).collect())
    }

    fn grants(&self, key: &Key, value: &Spanned<DeValue<'_>>) -> Result<Vec<Grant>, Vec<Wrong>> {
        let DeValue::Table(table) = value.get_ref() else {
            return Err(vec![(self.at(value), self.is_no(key, value, "a table such as { \"ops.**\" = [\"read\"] }"))]);
        };
        let mut faults = Vec::new();
        let mut grants: Vec<Grant> = Vec::new();
        for (rooms, value) in table {
            let at = self.at(rooms);
            let rooms = glob(rooms.get_ref()).map_err(|fault| faults.push((at, format!("{}: {fault}", key.name)))).ok();
            let rights = self.rights(key, value).map_err(|more| faults.extend(more)).ok();
            if let (Some(rooms), Some(rights)) = (rooms, rights) {
                grants.push(Grant { at, rooms, rights });
            }
        }
        grants.sort_by_key(|grant| grant.at);
        if faults.is_empty() { Ok(grants) } else { Err(faults) }
    }

    /// What is wrong with a hash is told without it: it may be the token itself.
    fn hashes(&self, value: &Spanned<DeValue<'_>>) -> Result<Vec<TokenHash>, Vec<Wrong>> {
        let alone = DeArray::default();
        let values: Vec<&Spanned<DeValue<'_>>> = match value.get_ref() {
            DeValue::Array(values) => values.iter().collect(),
            _ => alone.iter().chain([value]).collect(),
        };
        if !(1..=HASHES).contains(&values.len()) {
            return Err(vec![(
                self.at(value),
                format!("`hash` is a list of {}; it takes one hash or two", values.len()),
            )]);
        }
        let mut faults = Vec::new();
        let mut hashes = Vec::new();
        for value in values {
            match value.get_ref().as_str().ok_or_else(|| HashFault.to_string()).and_then(hash) {
                Ok(hash) if hashes.contains(&hash) => {
                    faults.push((self.at(value), "hash: listed twice".to_owned()));
                }
                Ok(hash) => hashes.push(hash),
                Err(fault) => faults.push((self.at(value), format!("hash: {fault}"))),
            }
        }
        if faults.is_empty() { Ok(hashes) } else { Err(faults) }
    }

    /// Keys and values of a table, in the order of the file.
    pub(super) fn entries<'t, 'i>(&self, table: &'t DeTable<'i>) -> Vec<(At, &'t str, &'t Spanned<DeValue<'i>>)> {
        let mut entries: Vec<_> =
            table.iter().map(|(key, value)| (self.at(key), key.get_ref().as_ref(), value)).collect();
        entries.sort_by_key(|(at, ..)| *at);
        entries
    }
}

/// A fault of a value that may be one of these words as well.
fn nor(fault: &str, words: &[&str]) -> String {
    let (fault, hint) = fault.split_at(fault.find(';').unwrap_or(fault.len()));
    let words: Vec<_> = std::iter::once(fault).chain(words.iter().copied()).collect();
    words.join(", nor ") + hint
}

fn integer(value: &Spanned<DeValue<'_>>) -> Option<usize> {
    let number = value.get_ref().as_integer()?;
    usize::from_str_radix(number.as_str(), number.radix()).ok()
}

fn string_or_number(value: &Spanned<DeValue<'_>>) -> Option<String> {
    match value.get_ref() {
        DeValue::String(text) => Some(text.clone().into_owned()),
        // As it is, if it is too large for us: whoever reads it says so.
        DeValue::Integer(number) => {
            Some(integer(value).map_or_else(|| number.to_string(), |number| number.to_string()))
        }
        _ => None,
    }
}

fn glob(text: &str) -> Result<Glob, String> {
    Glob::parse(text).map_err(|fault| format!("`{text}` is not a glob: {fault}"))
}

fn right(word: &str) -> Result<Rights, String> {
    word.parse().map_err(|fault| {
        let words = Rights::WORDS.iter().map(|(word, _)| *word).chain(["read", "write", "all"]);
        let meant = nearest(word, words).map(|word| format!("; did you mean `{word}`?")).unwrap_or_default();
        format!("`{word}`: {fault}{meant}")
    })
}

fn who(text: &str) -> Result<Who, String> {
    let no = |fault| format!("`{text}` is neither a name nor @GROUP: {fault}");
    match text.strip_prefix('@') {
        Some(group) => GroupName::parse(group).map(Who::Group).map_err(no),
        None => UserName::parse(text).map(Who::Name).map_err(no),
    }
}

/// An address alone is a network of one.
fn network(text: &str) -> Result<IpNetwork, String> {
    text.parse().map_err(|fault| match fault {
        IpNetworkError::BitsBehind(meant) => format!("`{text}` has bits set after its prefix; did you mean `{meant}`?"),
        _ => format!("`{text}` is neither an address nor a network such as 10.0.0.0/8"),
    })
}

/// What may be banned. A larger network is a slip of the finger.
pub(crate) fn banned(text: &str) -> Result<IpNetwork, String> {
    let network: IpNetwork = text.parse().map_err(|fault| format!("`{text}` is wrong: {fault}"))?;
    let least = if network.address().is_ipv4() { 8 } else { 32 };
    let is_small = network.prefix() >= least;
    is_small.then_some(network).ok_or_else(|| format!("`{text}` is too large: up to /{least} can be banned"))
}

fn hash(text: &str) -> Result<TokenHash, String> {
    if text.starts_with("sb_") {
        return Err(
            "this is a token, which is secret; write its hash here (`switchboard token hash` prints it)".to_owned()
        );
    }
    text.parse().map_err(|fault: HashFault| fault.to_string())
}

/// The end of the year 9999.
const LAST_SECOND: Duration = Duration::from_secs(253_402_300_799);

/// The moment that a date of the file is: a day begins in UTC, and a time has an offset.
fn time(date: &Datetime) -> Result<SystemTime, String> {
    let Some(day) = date.date else { return Err(format!("{date} is not a date such as 2027-06-30")) };
    let east_minutes = match (&date.time, date.offset) {
        (None, _) | (_, Some(Offset::Z)) => 0,
        (_, Some(Offset::Custom { minutes })) => minutes,
        (Some(_), None) => return Err(format!("{date} has no offset; in UTC it is {date}Z")),
    };
    let (hour, minute, second) = date.time.map_or((0, 0, 0), |time| (time.hour, time.minute, time.second.unwrap_or(0)));
    let local = format!("{:04}-{:02}-{:02}T{hour:02}:{minute:02}:{second:02}Z", day.year, day.month, day.day);
    let no_date = |_| format!("{date} is before 1970, or not a date");
    let local = humantime::parse_rfc3339(&local).map_err(no_date)?;
    let offset = Duration::from_mins(east_minutes.unsigned_abs().into());
    let moment = if east_minutes < 0 { local + offset } else { local - offset };
    // In UTC as well, in which it is shown.
    let last = SystemTime::UNIX_EPOCH + LAST_SECOND;
    let is_shown = (SystemTime::UNIX_EPOCH..=last).contains(&moment);
    is_shown.then_some(moment).ok_or_else(|| format!("{date} is before 1970, or after 9999"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_is_its_beginning_in_utc() {
        let seconds = |text: &str| {
            let moment = time(&text.parse().expect("a date")).map_err(|_| ())?;
            moment.duration_since(SystemTime::UNIX_EPOCH).map(|since| since.as_secs()).map_err(|_| ())
        };
        assert_eq!(seconds("1970-01-01"), Ok(0));
        assert_eq!(seconds("2000-03-01"), Ok(951_868_800));
        assert_eq!(seconds("2027-06-30"), Ok(1_814_313_600));
        assert_eq!(seconds("2027-06-30T02:00:00+02:00"), Ok(1_814_313_600));
        assert_eq!(seconds("2027-06-30T00:00:01Z"), Ok(1_814_313_601));
        for wrong in
            ["9999-12-31T23:59:59-00:01", "1970-01-01T00:00:00+00:01", "1969-12-31", "2027-06-30T00:00:00", "07:32:00"]
        {
            assert_eq!(seconds(wrong), Err(()), "{wrong}");
        }
    }

    #[test]
    fn a_network_has_nothing_behind_its_prefix() {
        assert_eq!(network("10.0.0.0/8").map(|network| network.to_string()), Ok("10.0.0.0/8".to_owned()));
        let alone = network("::1").map(|network| (network.address().to_string(), network.prefix()));
        assert_eq!(alone, Ok(("::1".to_owned(), 128)));
        assert_eq!(
            network("10.0.0.1/8"),
            Err("`10.0.0.1/8` has bits set after its prefix; did you mean `10.0.0.0/8`?".to_owned())
        );
        assert!(network("10.0.0.0/33").is_err() && network("home").is_err());
    }
}
