//! The program `switchboard`: what was typed, what it means, and the exit code that comes of it.

mod address;
mod admin;
mod args;
mod cluster;
mod config;
mod connect;
mod data;
mod endpoint;
mod fetch;
mod live;
mod logging;
mod overflow;
mod policy;
mod printed;
mod proxies;
mod running;
#[cfg(test)]
#[path = "../../fuzz/bodies/seeds.rs"]
mod seeds;
mod serve;
mod services;
mod state;
mod steered;
mod systemd;
mod top;
mod web;

use anyhow::Context as _;
use args::{Args, CanArguments, ConfigAction, Settings, Verb};
use clap::Parser as _;
use config::{Config, Fault, SetBy};
use policy::check;
use policy::command::{TokenAction, read_token};
use policy::explain::explain;
use policy::keeper::fetch_missing;
use serve::NotStarted;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::SystemTime;
use switchboard::{Escaped, NameError, UserName};
use switchboard_load::{bench, print};

/// An address is taken, or the program failed.
const FAILED: u8 = 1;
/// The command line is wrong.
const USAGE: u8 = 2;
/// File, environment or limits are wrong (`EX_CONFIG` of sysexits.h).
const CONFIGURATION: u8 = 78;

/// Who shows no token. Nobody else is to be asked about under this name.
const ANONYMOUS: &str = "anonymous";

/// Runs the program with what was typed.
pub fn main() -> ExitCode {
    let args = match Args::try_parse().map_err(args::advised) {
        Ok(args) => args,
        Err(error) if error.use_stderr() => {
            // Nobody is left to tell if stderr is closed.
            let _ = error.print();
            return ExitCode::from(USAGE);
        }
        // Help, or the version. Coloured where that is wanted.
        Err(error) => {
            let printed = error.print().and_then(|()| io::stdout().flush());
            return unless_nobody_reads(printed).map_or_else(report, |()| ExitCode::SUCCESS);
        }
    };
    let result = match args.command {
        Verb::Serve(typed) => {
            let reload = typed.clone();
            load(typed).and_then(|config| {
                serve::serve(config, Arc::new(move |content| load(Settings { content, ..reload.clone() })))
            })
        }
        Verb::Bench(typed) => bench(*typed).map_err(NotStarted::from),
        Verb::Connect(typed) => return connect::connect(typed).unwrap_or_else(report),
        Verb::Admin(typed) => return admin::run(*typed).unwrap_or_else(report),
        Verb::Top(typed) => return top::run(typed).unwrap_or_else(report),
        Verb::Config { action: ConfigAction::Check(typed) } => load(typed).and_then(|config| check(&config)),
        Verb::Config { action: ConfigAction::Print { json, settings } } => {
            load(settings).and_then(|config| print(if json { config.print_json() } else { config.print() }))
        }
        Verb::Config { action: ConfigAction::Can(asked) } => return can(asked).unwrap_or_else(report),
        Verb::Token { action: TokenAction::Check { config } } => return check_token(config).unwrap_or_else(report),
        Verb::Cluster { action } => cluster::run(action),
        Verb::Data { action } => data::run(action),
        Verb::Token { action } => policy::command::run(&action).map_err(NotStarted::Start),
        Verb::Config { action: ConfigAction::Example } => print(config::example()),
        Verb::Config { action: ConfigAction::Schema } => print(config::schema()),
        Verb::Completions { shell } => print(printed::completions(shell)),
        Verb::Man { command } => {
            printed::manual(command.as_deref()).map_err(|error| NotStarted::Start(error.into())).and_then(print)
        }
    };
    result.map_or_else(report, |()| ExitCode::SUCCESS)
}

/// Says whether somebody may do something, by the file that `serve` would read.
fn can(asked: CanArguments) -> Result<ExitCode, NotStarted> {
    let CanArguments { who, action, room, config } = asked;
    let config = load(Settings { config, ..Settings::default() })?;
    let wrong = |error: NameError| {
        NotStarted::Faults(vec![Fault::new(SetBy::Argument, format!("`{}`: {error}", who.escape_debug()))])
    };
    let who = if who == ANONYMOUS { None } else { Some(UserName::parse(&who).map_err(wrong)?) };
    if config.rules.is_empty() {
        print("yes: the file has no tokens and rights, so that everybody may do everything\n")?;
        return Ok(ExitCode::SUCCESS);
    }
    let verdict = explain(&config.rules, who.as_ref(), action, &room);
    print(verdict.to_string())?;
    Ok(if verdict.is_yes() { ExitCode::SUCCESS } else { ExitCode::from(FAILED) })
}

/// Says whose a token is, by the file that `serve` would read.
fn check_token(config: Option<PathBuf>) -> Result<ExitCode, NotStarted> {
    let config = load(Settings { config, ..Settings::default() })?;
    let token = read_token().map_err(NotStarted::Start)?;
    let policy = serve::policy(&config);
    let runtime = serve::runtime().map_err(NotStarted::Start)?;
    let checked = async |policy| {
        fetch_missing(policy).await;
        (policy.checked(token.expose()).await, policy)
    };
    let shown = policy.as_ref().map(|policy| runtime.block_on(checked(policy)));
    let (told, is_taken) = match shown {
        Some((Ok(principal), policy)) => (check::told(&config.rules, &principal, policy.admin(&principal)), true),
        Some((Err(refused), _)) => (check::refused(refused), false),
        None => ("the file has no tokens and rights, so that everybody may do everything\n".to_owned(), false),
    };
    print(told)?;
    Ok(if is_taken { ExitCode::SUCCESS } else { ExitCode::from(FAILED) })
}

/// What is in force, if nothing is wrong with it.
fn load(typed: Settings) -> Result<Config, NotStarted> {
    let variables = std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value)));
    Config::load(typed, &variables.collect(), serve::limit_faults).map_err(NotStarted::Faults)
}

/// Says that nothing is wrong, and what may be.
fn check(config: &Config) -> Result<(), NotStarted> {
    for warning in config.warnings(SystemTime::now()) {
        // Nobody is left to tell if stderr is closed.
        let _ = writeln!(io::stderr(), "warning: {}", Escaped(warning.as_bytes()));
    }
    print("ok\n")
}

/// Writes to stdout.
fn print(text: impl AsRef<[u8]>) -> Result<(), NotStarted> {
    unless_nobody_reads(print::write(text.as_ref()))
}

/// As [`print::unless_nobody_reads`]; what is left is a failure of the program.
fn unless_nobody_reads(printed: io::Result<()>) -> Result<(), NotStarted> {
    print::unless_nobody_reads(printed).context("cannot print").map_err(NotStarted::Start)
}

/// Says what is wrong, one line each, and what code that is.
fn report(failure: NotStarted) -> ExitCode {
    let (code, lines) = match failure {
        NotStarted::Faults(faults) => {
            let typed = faults.iter().any(|fault| matches!(fault.set_by, SetBy::Argument | SetBy::Flag(_)));
            (if typed { USAGE } else { CONFIGURATION }, faults.iter().map(ToString::to_string).collect())
        }
        NotStarted::Bind(error) => {
            let code = if error.listeners.is_empty() { CONFIGURATION } else { FAILED };
            let listeners = error.listener_faults();
            (code, error.faults.iter().cloned().chain(listeners).collect())
        }
        NotStarted::Data(error) => data::unusable(&error),
        NotStarted::Cluster(error) => {
            let code = if error.is_lasting() { CONFIGURATION } else { FAILED };
            (code, vec![format!("cluster: {}", error.chain())])
        }
        NotStarted::Start(error) => (FAILED, vec![format!("{error:#}")]),
    };
    let mut errors = std::io::stderr().lock();
    let lines: Vec<String> = lines;
    for line in lines {
        // One line stays one, whatever was typed. Nobody is left to tell if stderr is closed.
        let _ = writeln!(errors, "error: {}", Escaped(line.as_bytes()));
    }
    ExitCode::from(code)
}
