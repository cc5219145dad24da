//! `judge [--volatile] [FILE]`: reads a history, one event a line, and says what of it must not be. Ends with 1 if there is something.

use std::io::{self, Read as _, Write as _};
use std::process::ExitCode;
use switchboard_checker::{Promise, judge, read};

/// Faults that are told: one often has many.
const TOLD: usize = 20;

fn main() -> io::Result<ExitCode> {
    let mut promise = Promise::Durable;
    let mut text = String::new();
    let mut is_read = false;
    for argument in std::env::args().skip(1) {
        if argument == "--volatile" {
            promise = Promise::Volatile;
        } else {
            text += &std::fs::read_to_string(argument)?;
            is_read = true;
        }
    }
    if !is_read {
        io::stdin().read_to_string(&mut text)?;
    }
    let mut out = io::stdout().lock();
    let events = match read(&text) {
        Ok(events) => events,
        Err(error) => {
            writeln!(out, "{error}")?;
            return Ok(ExitCode::from(2));
        }
    };
    let faults = judge(&events, promise);
    for fault in faults.iter().take(TOLD) {
        writeln!(out, "{fault}")?;
    }
    writeln!(out, "{} events, {} faults", events.len(), faults.len())?;
    Ok(if faults.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
