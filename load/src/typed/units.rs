//! Durations and sizes as people write them: `30s`, `5m`, `500ms`, `64KiB`.
//!
//! What is printed can be read back.

use std::time::Duration;

const DURATIONS: &[(&str, u64)] = &[("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000)];
const LATENCIES: &[(&str, u64)] = &[("us", 1), ("ms", 1000), ("s", 1_000_000)];
const SIZES: &[(&str, u64)] = &[("B", 1), ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30)];

/// Other spellings of our units, in lower case.
const OTHER_SIZES: &[(&str, &str)] = &[
    ("b", "B"),
    ("k", "KiB"),
    ("kb", "KiB"),
    ("kib", "KiB"),
    ("m", "MiB"),
    ("mb", "MiB"),
    ("mib", "MiB"),
    ("g", "GiB"),
    ("gb", "GiB"),
    ("gib", "GiB"),
];
const OTHER_DURATIONS: &[(&str, &str)] = &[
    ("msec", "ms"),
    ("sec", "s"),
    ("secs", "s"),
    ("seconds", "s"),
    ("min", "m"),
    ("mins", "m"),
    ("minutes", "m"),
    ("hour", "h"),
    ("hours", "h"),
];

/// The end of a sentence on a number whose unit is not ours.
fn meant(text: &str, others: &[(&str, &str)]) -> String {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let unit = unit.trim_start().to_ascii_lowercase();
    let unit = others.iter().find(|(other, _)| *other == unit).filter(|_| digits > 0);
    unit.map(|(_, unit)| format!("; did you mean {number}{unit}?")).unwrap_or_default()
}

/// Reads a number and `ms`, `s`, `m` or `h`; a number alone is seconds.
///
/// Exact to the millisecond. Deadlines of connections count whole seconds, and the library rounds them up.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let milliseconds = scaled(text, DURATIONS, 1000)
        .ok_or_else(|| format!("not a duration such as 500ms, 30s, 5m or 1h{}", meant(text, OTHER_DURATIONS)))?;
    Ok(Duration::from_millis(milliseconds))
}

/// Reads a duration after which something ends; `off` and zero: never.
pub fn parse_timeout(text: &str) -> Result<Option<Duration>, String> {
    if text == "off" {
        return Ok(None);
    }
    let timeout = parse_duration(text).map_err(|fault| format!("{fault}, nor off"))?;
    Ok((!timeout.is_zero()).then_some(timeout))
}

/// Reads a number of bytes, at least 1: alone, or with `B`, `KiB`, `MiB` or `GiB`.
pub fn parse_size(text: &str) -> Result<usize, String> {
    let bytes = scaled(text, SIZES, 1).and_then(|bytes| usize::try_from(bytes).ok());
    bytes
        .filter(|bytes| *bytes > 0)
        .ok_or_else(|| format!("not a size such as 512, 64KiB, 1MiB or 2GiB{}", meant(text, OTHER_SIZES)))
}

/// Reads a number from 1 to `most`.
pub fn parse_count(text: &str, most: usize) -> Result<usize, String> {
    let count = text.parse().ok().filter(|count| (1..=most).contains(count));
    count.ok_or_else(|| {
        if most == usize::MAX { "not a number of 1 or more".into() } else { format!("not a number from 1 to {most}") }
    })
}

/// Reads a number from 1 to `most` that limits something; `off`: nothing does.
pub fn parse_limit(text: &str, most: usize) -> Result<Option<usize>, String> {
    if text == "off" {
        return Ok(None);
    }
    parse_count(text, most).map(Some).map_err(|fault| format!("{fault}, nor off"))
}

/// Reads a number from 0 up.
pub fn parse_number(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| "not a number of 0 or more".to_owned())
}

/// Reads a number and `us`, `ms` or `s`: a time too short for deadlines.
pub fn parse_latency(text: &str) -> Result<Duration, String> {
    let has_unit = text.ends_with('s');
    let microseconds = scaled(text, LATENCIES, 1).filter(|_| has_unit);
    microseconds.map(Duration::from_micros).ok_or_else(|| "not a time such as 500us, 20ms or 1s".to_owned())
}

/// Reads `on` or `off`.
pub fn parse_switch(text: &str) -> Result<bool, String> {
    match text {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => Err("not on or off".to_owned()),
    }
}

/// A duration as it can be typed.
pub fn show_duration(duration: Duration) -> String {
    show(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX), DURATIONS)
}

/// A duration as it can be typed, or `off`.
pub fn show_timeout(timeout: Option<Duration>) -> String {
    timeout.map_or_else(|| "off".to_owned(), show_duration)
}

/// A number of bytes as it can be typed.
pub fn show_size(bytes: usize) -> String {
    show(bytes as u64, SIZES)
}

fn scaled(text: &str, units: &[(&str, u64)], alone: u64) -> Option<u64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let scale = if unit.is_empty() { alone } else { units.iter().find(|(name, _)| *name == unit)?.1 };
    number.parse::<u64>().ok()?.checked_mul(scale)
}

/// The number in the largest unit that needs no fraction.
fn show(number: u64, units: &[(&str, u64)]) -> String {
    let whole = units.iter().rev().find(|(_, scale)| number != 0 && number.is_multiple_of(*scale));
    let (unit, scale) = whole.unwrap_or(&units[0]);
    format!("{}{unit}", number / scale)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_a_number_and_a_unit() {
        let read = [("500ms", 500), ("30s", 30_000), ("30", 30_000), ("5m", 300_000), ("1h", 3_600_000), ("0", 0)];
        for (text, milliseconds) in read {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(milliseconds)), "{text}");
        }
        for text in ["", "s", "1.5s", "-1s", "1 s", "1d", "99999999999999999999s", "9999999999999999999h", "off"] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_timeout_may_be_off() {
        assert_eq!(parse_timeout("off"), Ok(None));
        assert_eq!(parse_timeout("0"), Ok(None));
        assert_eq!(parse_timeout("1s"), Ok(Some(Duration::from_secs(1))));
        assert!(parse_timeout("never").is_err());
    }

    #[test]
    fn latencies_have_a_unit_down_to_microseconds() {
        for (text, microseconds) in [("500us", 500), ("20ms", 20_000), ("1s", 1_000_000), ("0us", 0)] {
            assert_eq!(parse_latency(text), Ok(Duration::from_micros(microseconds)), "{text}");
        }
        for text in ["", "5", "us", "1m", "1.5ms", "-1us"] {
            assert!(parse_latency(text).is_err(), "{text}");
        }
        assert_eq!((parse_number("0"), parse_number("x").is_err()), (Ok(0), true));
    }

    #[test]
    fn sizes_are_a_number_and_a_binary_unit() {
        for (text, bytes) in [("512", 512), ("512B", 512), ("64KiB", 65536), ("1MiB", 1 << 20), ("2GiB", 2 << 30)] {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
        }
        for text in ["", "0", "KiB", "64K", "64kb", "1.5MiB", "-1", "99999999999GiB"] {
            assert!(parse_size(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_shown_can_be_read_back() {
        for milliseconds in [0, 1, 999, 1000, 90_000, 3_600_000] {
            let duration = Duration::from_millis(milliseconds);
            assert_eq!(parse_duration(&show_duration(duration)), Ok(duration));
        }
        for bytes in [1, 1023, 1024, 65536, 3 << 20, (1 << 30) + 1] {
            assert_eq!(parse_size(&show_size(bytes)), Ok(bytes));
        }
        assert_eq!((show_size(65536), show_timeout(None)), ("64KiB".to_owned(), "off".to_owned()));
    }
}
