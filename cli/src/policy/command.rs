//! `switchboard token …`: making a token, the hash that a file has of one, whose one is, and signing one by hand.
//!
//! A token comes on stdin and never as an argument, which everybody on the machine can read (`ps`).

use super::datagrams::DatagramKey;
use super::jwt::algorithm::Algorithm;
use super::jwt::json::Object;
use super::jwt::sign::Signer;
use super::token::StaticToken;
use anyhow::{Context as _, anyhow};
use clap::{Args, Subcommand};
use ring::rand::SystemRandom;
use std::fs;
use std::io::{self, IsTerminal as _, Write as _};
use std::path::PathBuf;
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
        /// Also print the key by which its datagrams are signed, and how a shell signs one
        #[arg(long)]
        datagrams: bool,
    },
    /// Read a token from stdin, and print the hash that stands for it in the file
    Hash,
    /// Read a token on stdin, and say whose it is and what it may do, or why it is refused
    Check {
        /// The file that says whose tokens are taken
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
    },
    /// Sign a JSON Web Token, to try a source out (docs/jwt.md)
    Sign(SignArguments),
}

#[derive(Debug, Args)]
pub(crate) struct SignArguments {
    /// The private key (PEM, BEGIN PRIVATE KEY), or the secret of HS256
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// What to sign by, where a key leaves a choice: PS256, or HS256 for a secret
    #[arg(long, value_name = "NAME")]
    algorithm: Option<Algorithm>,
    /// What the key is called (`kid`)
    #[arg(long, value_name = "ID")]
    kid: Option<String>,
    /// Whose it is
    #[arg(long, value_name = "NAME")]
    sub: String,
    /// Who issues it
    #[arg(long, value_name = "ISSUER")]
    iss: Option<String>,
    /// For whom it is
    #[arg(long, value_name = "AUDIENCE")]
    aud: Option<String>,
    /// How long it is good for
    #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = parse_life)]
    expires: Duration,
    /// Another claim: JSON, or else a text; once for each
    #[arg(long, value_name = "NAME=VALUE")]
    claim: Vec<String>,
}

/// Does what was asked for.
pub(crate) fn run(action: &TokenAction) -> anyhow::Result<()> {
    match action {
        TokenAction::New { name, expires, datagrams } => {
            let expires = expires.map(|life| SystemTime::now() + life);
            let token = StaticToken::make(&SystemRandom::new()).ok().context("the system has no random bytes")?;
            // The token last: whoever sees it on a terminal has read already what to do with its hash.
            let lines = lines_for_file(name, &token, expires);
            let lines = if *datagrams { lines + &lines_for_datagrams(name, &token) } else { lines };
            io::stderr().write_all(lines.as_bytes()).context("cannot print the lines for the file")?;
            say(&format!("{}\n", token.secret().expose()))
        }
        TokenAction::Hash => {
            let token = read_token()?;
            let token = StaticToken::parse(token.expose())?;
            say(&format!("{}\n", token.hash()))
        }
        TokenAction::Check { .. } => unreachable!("it is asked with the file that it names"),
        TokenAction::Sign(arguments) => sign(arguments),
    }
}

/// The line for the file by which datagrams are signed, and what a shell types to sign one.
fn lines_for_datagrams(name: &UserName, token: &StaticToken) -> String {
    let key = DatagramKey::of_token(token.secret().expose()).reveal();
    format!(
        "datagram-key = \"{key}\"\n\n# A sensor signs with this key, not with the token:\n\
         # KEY={key}; C='/pub ROOM 21.5'; N=$(date +%s%3N)\n\
         # M=$(printf 'switchboard-datagram-1\\n{name}\\n%s\\n%s' \"$N\" \"$C\" | openssl dgst -sha256 -mac HMAC -macopt hexkey:$KEY -r | cut -c1-32)\n\
         # printf '/by {name} %s %s %s' \"$N\" \"$M\" \"$C\" | nc -u -w1 127.0.0.1 8081\n"
    )
}

/// Signs what was typed.
fn sign(typed: &SignArguments) -> anyhow::Result<()> {
    let random = SystemRandom::new();
    let key = fs::read(&typed.key).context("--key")?;
    let signer = Signer::read(&key, typed.algorithm, &random).context("--key")?;
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let mut claims = Object::new();
    claims.insert("sub".to_owned(), typed.sub.clone().into());
    claims.insert("iat".to_owned(), now.as_secs().into());
    claims.insert("exp".to_owned(), (now + typed.expires).as_secs().into());
    let (issuer, audience) = (typed.iss.clone(), typed.aud.clone());
    claims.extend(issuer.map(|issuer| ("iss".to_owned(), issuer.into())));
    claims.extend(audience.map(|audience| ("aud".to_owned(), audience.into())));
    for claim in &typed.claim {
        let (name, text) = claim.split_once('=').with_context(|| format!("`{claim}` is not NAME=VALUE"))?;
        claims.insert(name.to_owned(), text.parse().unwrap_or_else(|_| text.into()));
    }
    let mut header = Object::new();
    header.insert("typ".to_owned(), "JWT".into());
    header.extend(typed.kid.clone().map(|kid| ("kid".to_owned(), kid.into())));
    say(&format!("{}\n", signer.sign(header, &claims, &random)?))
}

/// Writes to stdout. Nobody who asked for it had enough before it came.
fn say(text: &str) -> anyhow::Result<()> {
    print::write(text.as_bytes()).context("cannot print")
}

/// What to add to the file, so that whoever presents the token is `name`.
fn lines_for_file(name: &UserName, token: &StaticToken, expires: Option<SystemTime>) -> String {
    // A dot would part tables.
    let key = if name.as_str().contains('.') { format!("\"{name}\"") } else { name.to_string() };
    let expires = expires.map(|time| format!("expires = {}\n", humantime::format_rfc3339_seconds(time)));
    let (id, hash) = (token.id(), token.hash());
    format!("[tokens.{key}]  # sb_{id}_…\nhash = \"{hash}\"\n{}", expires.unwrap_or_default())
}

/// A token from stdin, with or without the end of its line.
pub(crate) fn read_token() -> anyhow::Result<Secret> {
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
