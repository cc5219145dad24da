//! `switchboard token …`: making a token, and the hash that a file has of one.
//!
//! A token comes on stdin and never as an argument, which everybody on the machine can read (`ps`).

use super::token::StaticToken;
use anyhow::{Context as _, anyhow};
use clap::Subcommand;
use ring::rand::SystemRandom;
use std::io::{self, IsTerminal as _, Write as _};
use std::time::{Duration, SystemTime};
use switchboard::UserName;
use switchboard_load::print;
use switchboard_load::typed::{Secret, parse_duration};

const DAY: Duration = Duration::from_hours(24);

#[derive(Debug, Subcommand)]
pub(crate) enum TokenAction {
    /// Make a token: it is printed once, and the lines for the file on stderr
    New {
        /// The name that whoever presents it is known by
        #[arg(value_parser = parse_name)]
        name: UserName,
        /// How long it is good for, such as 90d or 12h [default: for ever]
        #[arg(long, value_name = "DURATION", value_parser = parse_life)]
        expires: Option<Duration>,
    },
    /// Read a token from stdin, and print the hash that stands for it in the file
    Hash,
}

/// Does what was asked for.
pub(crate) fn run(action: &TokenAction) -> anyhow::Result<()> {
    match action {
        TokenAction::New { name, expires } => {
            let expires = expires.map(|life| SystemTime::now() + life);
            let token = StaticToken::make(&SystemRandom::new()).ok().context("the system has no random bytes")?;
            // The token last: whoever sees it on a terminal has read already what to do with its hash.
            let lines = lines_for_file(name, &token, expires);
            io::stderr().write_all(lines.as_bytes()).context("cannot print the lines for the file")?;
            say(&format!("{}\n", token.secret().expose()))
        }
        TokenAction::Hash => {
            let token = read_token()?;
            let token = StaticToken::parse(token.expose())?;
            say(&format!("{}\n", token.hash()))
        }
    }
}

/// Writes to stdout. Nobody who asked for it had enough before it came.
fn say(text: &str) -> anyhow::Result<()> {
    print::write(text.as_bytes()).context("cannot print")
}

/// What to add to the file, so that whoever shows the token is `name`.
fn lines_for_file(name: &UserName, token: &StaticToken, expires: Option<SystemTime>) -> String {
    // A dot would part tables.
    let key = if name.as_str().contains('.') { format!("\"{name}\"") } else { name.to_string() };
    let expires = expires.map(|time| format!("expires = {}\n", humantime::format_rfc3339_seconds(time)));
    let (id, hash) = (token.id(), token.hash());
    format!("[tokens.{key}]  # sb_{id}_…\nhash = \"{hash}\"\n{}", expires.unwrap_or_default())
}

/// A token from stdin, with or without the end of its line.
fn read_token() -> anyhow::Result<Secret> {
    if io::stdin().is_terminal() {
        // Nobody is left to tell if stderr is closed.
        let _ = writeln!(io::stderr(), "Paste the token and press Enter, then Ctrl-D:");
    }
    Secret::of_stdin().map_err(|fault| anyhow!(fault))
}

fn parse_name(text: &str) -> Result<UserName, String> {
    UserName::parse(text).map_err(|error| error.to_string())
}

/// A duration, of days too.
fn parse_life(text: &str) -> Result<Duration, String> {
    let days = text.strip_suffix('d').and_then(|days| days.parse::<u32>().ok());
    let life = days.map_or_else(|| parse_duration(text), |days| Ok(DAY * days));
    // A date has four digits of a year, in the file too.
    let most = DAY * 365 * 1000;
    life.ok()
        .filter(|life| !life.is_zero() && *life <= most)
        .ok_or_else(|| "not a duration such as 90d or 12h, at most 1,000 years".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lines_for_the_file_are_toml() {
        let token = StaticToken::make(&SystemRandom::new()).expect("there is randomness");
        let end = SystemTime::UNIX_EPOCH + DAY * 20_000;
        for (name, expires) in [("alice", None), ("Boiler-7_x", Some(end)), ("alice.2", Some(end)), ("7", None)] {
            let name = UserName::parse(name).expect("it is a name");
            let lines = lines_for_file(&name, &token, expires);
            let table: toml::Table = lines.parse().expect("it is TOML");
            let own = &table["tokens"][name.as_str()];
            assert_eq!(own["hash"].as_str(), Some(&*token.hash().to_string()));
            assert_eq!(own.get("expires").map(ToString::to_string), expires.map(|_| "2024-10-04T00:00:00Z".to_owned()));
        }
    }

    #[test]
    fn a_token_lives_for_days_or_less() {
        assert_eq!(parse_life("90d"), Ok(DAY * 90));
        assert_eq!(parse_life("12h"), Ok(DAY / 2));
        for text in ["", "0d", "d", "-1d", "1.5d", "4000000000d", "soon"] {
            assert!(parse_life(text).is_err(), "{text}");
        }
    }
}
