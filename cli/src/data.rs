//! `switchboard data …`: looking at a data directory, taking messages out, putting them in, and beginning all epochs anew.

mod line;

use crate::args::Settings;
use crate::serve::NotStarted;
use crate::{CONFIGURATION, FAILED, load};
use anyhow::{Context as _, anyhow};
use clap::Subcommand;
use std::io::{self, BufRead as _, Write as _};
use std::path::PathBuf;
use switchboard::log::{ImportError, Renewed, SqliteError, SqliteLog, SqliteReport};
use switchboard::{Escaped, Format, RoomName};
use switchboard_load::print;

pub(crate) const HELP: &str = "\
The directory is that of `serve`: --data, SWITCHBOARD_DATA, or `data` in the
file. A server may run while it is checked or messages are taken out of it; for
import and new-epochs it has to be stopped. SQLite's own tools back it up while
it runs: see docs/durability.md.";

/// Longest line of what is put in: the longest payload that a server can take, in base64, and what is around it.
const LINE_BYTES: u64 = 128 << 20;

#[derive(Debug, Subcommand)]
pub(crate) enum DataAction {
    /// Look at every page and every number, and say what is there, or what is damaged
    Check {
        #[command(flatten)]
        place: DataPlace,
    },
    /// Print the messages of a room, oldest first, a JSON object for each
    Export {
        /// The room
        room: RoomName,
        #[command(flatten)]
        place: DataPlace,
    },
    /// Read such lines on stdin, and put them in with their ids: all or none, into rooms that are not there
    Import {
        #[command(flatten)]
        place: DataPlace,
    },
    /// Give every room a new epoch, so that no id is used twice: after a backup was restored; of what is damaged, keep what can be read
    NewEpochs {
        #[command(flatten)]
        place: DataPlace,
    },
}

/// Which directory.
#[derive(Debug, clap::Args)]
pub(crate) struct DataPlace {
    /// The data directory
    #[arg(long, value_name = "DIR")]
    data: Option<String>,
    /// The file that names it
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl DataPlace {
    fn directory(self) -> Result<PathBuf, NotStarted> {
        let config = load(Settings { config: self.config, data: self.data, ..Settings::default() })?;
        let directory = config.history.data.value;
        directory.ok_or_else(|| NotStarted::Start(anyhow!("there is no data directory: name one with --data DIR")))
    }
}

/// Does what was asked for.
pub(crate) fn run(action: DataAction) -> Result<(), NotStarted> {
    match action {
        DataAction::Check { place } => {
            let SqliteReport { rooms, messages, payload_bytes, .. } =
                SqliteLog::check(&place.directory()?).map_err(NotStarted::Data)?;
            crate::print(format!(
                "ok: {}, {}, {} of payloads\n",
                so_many(rooms as u64, "room"),
                so_many(messages, "message"),
                so_many(payload_bytes, "byte")
            ))
        }
        DataAction::Export { room, place } => export(&place.directory()?, &room),
        DataAction::Import { place } => import(&place.directory()?),
        DataAction::NewEpochs { place } => {
            let Renewed { rooms, aside, .. } = SqliteLog::new_epochs(&place.directory()?).map_err(NotStarted::Data)?;
            let kept = aside.map(|path| {
                use std::os::unix::ffi::OsStrExt as _;
                let path = Escaped(path.as_os_str().as_bytes()).to_string();
                format!("what could be read of them was kept; the damaged database is {path} now\n")
            });
            crate::print(format!(
                "{} {} a new epoch\n{}",
                so_many(rooms as u64, "room"),
                if rooms == 1 { "has" } else { "have" },
                kept.unwrap_or_default()
            ))
        }
    }
}

fn export(directory: &std::path::Path, room: &RoomName) -> Result<(), NotStarted> {
    let mut out = io::BufWriter::new(io::stdout().lock());
    let (mut line, mut written) = (Vec::new(), Ok(()));
    let exported = SqliteLog::export(directory, room, |message| {
        line.clear();
        Format::Json.message(message, &mut line);
        line.push(b'\n');
        written = out.write_all(&line);
        written.is_ok()
    });
    let is_there = exported.map_err(NotStarted::Data)?;
    let written = written.and_then(|()| out.flush());
    print::unless_nobody_reads(written).context("cannot print").map_err(NotStarted::Start)?;
    if is_there { Ok(()) } else { Err(NotStarted::Start(anyhow!("there is no room {room}"))) }
}

fn import(directory: &std::path::Path) -> Result<(), NotStarted> {
    let mut input = io::stdin().lock();
    let mut number = 0_u64;
    let messages = std::iter::from_fn(|| {
        loop {
            let mut line = Vec::new();
            let read = io::Read::take(&mut input, LINE_BYTES).read_until(b'\n', &mut line);
            number += 1;
            match read {
                Ok(0) => return None,
                Ok(_) if line.trim_ascii().is_empty() => {}
                Ok(_) => {
                    let wrong =
                        |fault: String| io::Error::new(io::ErrorKind::InvalidData, format!("line {number}: {fault}"));
                    return Some(line::message(&line).map_err(wrong));
                }
                Err(error) => return Some(Err(error)),
            }
        }
    });
    let count = SqliteLog::import(directory, messages).map_err(|error| match error {
        ImportError::Log(error) => NotStarted::Data(error),
        error => NotStarted::Start(anyhow!("nothing was put in: {error}")),
    })?;
    crate::print(format!("{}\n", so_many(count, "message")))
}

/// So many of something.
fn so_many(number: u64, one: &str) -> String {
    format!("{number} {one}{}", if number == 1 { "" } else { "s" })
}

/// What is said of a directory that cannot be used, and the exit code.
pub(crate) fn unusable(error: &SqliteError) -> (u8, Vec<String>) {
    let mut lines = vec![
        std::iter::successors(Some(error as &dyn std::error::Error), |error| error.source())
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join(": "),
    ];
    let code = match error {
        SqliteError::Damaged { .. } => {
            lines.push(
                "two ways out: restore a copy of the directory and run `switchboard data new-epochs`, or run that alone, which keeps what \
                 can still be read"
                    .to_owned(),
            );
            CONFIGURATION
        }
        SqliteError::Format { .. } => CONFIGURATION,
        _ => FAILED,
    };
    (code, lines)
}
