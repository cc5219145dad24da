//! The grammar: what a frame from a peer means.
//!
//! A frame that begins with `/` is a command, everything else is text for the current room; `//` escapes a slash. Knows
//! nothing of rooms or rights: the caller carries out the commands. `docs/protocol.md` is written from this file.

use crate::format::is_forbidden;
use crate::{Cookie, ErrorCode, Failure, Format, MessageId, NameError, NameSecret, RoomName, UserName};
use bytes::{Buf, Bytes};
use std::fmt;

/// What one frame asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// Text to publish to the current room, with any escape removed.
    Text(Bytes),
    /// To obey.
    Command(Command),
}

/// Every command and its arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Join a room and make it the current one.
    Join {
        /// The room.
        room: RoomName,
        /// Replay what was published after this message.
        since: Option<MessageId>,
        /// The answer to a challenge.
        cookie: Option<Cookie>,
    },
    /// Leave a room, or the current one.
    Leave {
        /// The room.
        room: Option<RoomName>,
    },
    /// Publish to one room, current or not.
    Pub {
        /// The room.
        room: RoomName,
        /// What to publish.
        text: Bytes,
    },
    /// Take a name.
    Name {
        /// The name.
        name: UserName,
        /// What shows that it was this one's on its last connection, or will show that on its next.
        secret: Option<NameSecret>,
    },
    /// List the members of a room, or of the current one.
    Who {
        /// The room.
        room: Option<RoomName>,
    },
    /// List the rooms.
    Rooms,
    /// Send to one person alone.
    Msg {
        /// Who gets it.
        to: UserName,
        /// What to send.
        text: Bytes,
    },
    /// Replay the current room's last messages.
    History {
        /// How many; all, if not given.
        count: Option<usize>,
    },
    /// Choose the format of everything from now on.
    Format(Format),
    /// Prove to be allowed.
    Auth(Token),
    /// Ask who one is.
    Whoami,
    /// Ask what the server's clock says.
    Clock,
    /// Ask for a sign of life.
    Ping,
    /// Ask what can be typed.
    Help,
    /// End the connection.
    Quit,
}

impl Command {
    /// How each command is written, and what it does, as shown by `/help`.
    pub const HELP: [(&str, &str); 15] = [
        ("/join ROOM [since=ID] [cookie=HEX]", "join a room and make it the current one"),
        ("/leave [ROOM]", "leave a room, or the current one"),
        ("/pub ROOM TEXT", "publish to a room, current or not"),
        ("/name NAME [secret=HEX]", "take a name"),
        ("/who [ROOM]", "list the members of a room, or of the current one"),
        ("/rooms", "list the rooms"),
        ("/msg NAME TEXT", "send to one person only"),
        ("/history [N]", "repeat the current room's last messages"),
        ("/format text|json|raw", "choose the format of what you receive"),
        ("/auth TOKEN", "authorize yourself with a token"),
        ("/whoami", "say who you are"),
        ("/clock", "tell the server's time in milliseconds since 1970"),
        ("/ping", "check that the server answers"),
        ("/help", "show this help"),
        ("/quit", "end the connection"),
    ];
}

/// Parses a frame's payload.
///
/// Command names ignore case. Arguments are separated by spaces or tabs; a TEXT begins after exactly one of them and is
/// the rest of the frame, whatever its bytes. Only names are copied.
///
/// # Errors
/// There is no such command, or its arguments are wrong.
pub fn parse(mut frame: Bytes) -> Result<Input, Failure> {
    match frame.as_ref() {
        [b'/', b'/', ..] => {
            frame.advance(1);
            Ok(Input::Text(frame))
        }
        [b'/', ..] => command(&frame).map(Input::Command),
        _ => Ok(Input::Text(frame)),
    }
}

fn command(frame: &Bytes) -> Result<Command, Failure> {
    let end = frame.iter().position(|byte| is_blank(*byte)).unwrap_or(frame.len());
    let (name, rest) = frame.split_at(end);
    let Some((usage, _)) = Command::HELP.iter().find(|(usage, _)| verb(usage).eq_ignore_ascii_case(name)) else {
        return Err(Failure::new(ErrorCode::UnknownCommand, "no such command; /help lists them"));
    };
    let mut arguments = Arguments { rest, usage };
    let command = match verb(usage) {
        b"/join" => join(&mut arguments)?,
        b"/leave" => Command::Leave { room: arguments.optional()?.map(room).transpose()? },
        b"/pub" => {
            let room = room(arguments.required()?)?;
            Command::Pub { room, text: frame.slice_ref(arguments.text()?) }
        }
        b"/name" => named(&mut arguments)?,
        b"/who" => Command::Who { room: arguments.optional()?.map(room).transpose()? },
        b"/rooms" => Command::Rooms,
        b"/msg" => {
            let to = UserName::parse_any(arguments.required()?).map_err(bad_name)?;
            Command::Msg { to, text: frame.slice_ref(arguments.text()?) }
        }
        b"/history" => Command::History { count: arguments.optional()?.map(count).transpose()? },
        b"/format" => Command::Format(arguments.required()?.parse().map_err(bad_argument)?),
        b"/auth" => Command::Auth(Token(arguments.required()?.into())),
        b"/whoami" => Command::Whoami,
        b"/clock" => Command::Clock,
        b"/ping" => Command::Ping,
        b"/help" => Command::Help,
        b"/quit" => Command::Quit,
        _ => unreachable!("every command of the help is parsed"),
    };
    arguments.end()?;
    Ok(command)
}

fn join(arguments: &mut Arguments<'_>) -> Result<Command, Failure> {
    let room = room(arguments.required()?)?;
    let (mut since, mut cookie) = (None, None);
    while let Some(option) = arguments.optional()? {
        match option.split_once('=') {
            Some(("since", id)) if since.is_none() => since = Some(id.parse().map_err(bad_argument)?),
            Some(("cookie", hex)) if cookie.is_none() => cookie = Some(hex.parse().map_err(bad_argument)?),
            _ => return Err(arguments.misused()),
        }
    }
    Ok(Command::Join { room, since, cookie })
}

fn named(arguments: &mut Arguments<'_>) -> Result<Command, Failure> {
    let name = UserName::parse(arguments.required()?).map_err(bad_name)?;
    let secret = match arguments.optional()? {
        None => None,
        Some(option) => match option.split_once('=') {
            Some(("secret", hex)) => Some(hex.parse().map_err(bad_argument)?),
            _ => return Err(arguments.misused()),
        },
    };
    Ok(Command::Name { name, secret })
}

fn room(text: &str) -> Result<RoomName, Failure> {
    RoomName::parse(text).map_err(bad_name)
}

fn count(text: &str) -> Result<usize, Failure> {
    let count = if text.bytes().all(|byte| byte.is_ascii_digit()) { text.parse().ok() } else { None };
    count.ok_or_else(|| bad_argument("not a number, as in /history 20"))
}

fn bad_name(error: NameError) -> Failure {
    Failure::new(ErrorCode::BadName, error.to_string())
}

fn bad_argument(error: impl fmt::Display) -> Failure {
    Failure::new(ErrorCode::BadArgument, error.to_string())
}

/// The command's name in its usage, with the slash.
fn verb(usage: &str) -> &[u8] {
    usage.split(' ').next().unwrap_or(usage).as_bytes()
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

/// What stands behind a command's name, taken word by word. `rest` is empty or begins with a blank.
struct Arguments<'a> {
    rest: &'a [u8],
    usage: &'static str,
}

impl<'a> Arguments<'a> {
    fn optional(&mut self) -> Result<Option<&'a str>, Failure> {
        let Some(start) = self.rest.iter().position(|byte| !is_blank(*byte)) else {
            self.rest = &[];
            return Ok(None);
        };
        let rest = &self.rest[start..];
        let end = rest.iter().position(|byte| is_blank(*byte)).unwrap_or(rest.len());
        let (word, rest) = rest.split_at(end);
        self.rest = rest;
        let word = str::from_utf8(word).ok().filter(|word| !word.contains(is_forbidden));
        word.map(Some).ok_or_else(|| bad_argument("an argument has control characters or is not UTF-8"))
    }

    fn required(&mut self) -> Result<&'a str, Failure> {
        self.optional()?.ok_or_else(|| self.misused())
    }

    /// All that is left behind one blank.
    fn text(&mut self) -> Result<&'a [u8], Failure> {
        match std::mem::take(&mut self.rest) {
            [_, text @ ..] => Ok(text),
            [] => Err(self.misused()),
        }
    }

    fn end(&mut self) -> Result<(), Failure> {
        if self.optional()?.is_some() { Err(self.misused()) } else { Ok(()) }
    }

    fn misused(&self) -> Failure {
        Failure::new(ErrorCode::BadArgument, format!("usage: {}", self.usage))
    }
}

/// What `/auth` brings. Its debug form hides it, and comparing two takes as long wherever they differ.
#[derive(Clone)]
pub struct Token(Box<str>);

impl Token {
    /// A token to compare with.
    pub fn new(token: &str) -> Self {
        Self(token.into())
    }

    /// The token itself, to find out whose it is: not for a log, nor for an error.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl PartialEq for Token {
    fn eq(&self, other: &Self) -> bool {
        let differences = self.0.bytes().zip(other.0.bytes()).fold(0, |found, (own, other)| found | (own ^ other));
        self.0.len() == other.0.len() && differences == 0
    }
}

impl Eq for Token {}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}
