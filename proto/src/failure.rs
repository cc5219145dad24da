//! Why something that was asked for did not happen, before any wire form: a code for programs, a text for people.

use std::fmt;

/// Why something that was asked for did not happen. The connection goes on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {text}")]
pub struct Failure {
    /// For programs.
    pub code: ErrorCode,
    /// For people: one line, lower case.
    pub text: String,
}

impl Failure {
    /// A failure with its explanation.
    pub fn new(code: ErrorCode, text: impl Into<String>) -> Self {
        Self { code, text: text.into() }
    }
}

/// The kind of a [`Failure`]. Its code never changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorCode {
    /// There is no such command.
    UnknownCommand,
    /// A command's argument is missing, too many, or malformed.
    BadArgument,
    /// Not a name, or a reserved one.
    BadName,
    /// Somebody else has the name.
    NameTaken,
    /// It is not a member of that room.
    NotAMember,
    /// It is in no room, so there is none to publish to.
    NoRoom,
    /// There is no such room.
    NoSuchRoom,
    /// Nobody has that name.
    NoSuchMember,
    /// The connection is in as many rooms as it may, or there are as many rooms as there may be.
    TooManyRooms,
    /// The room has as many members as it takes.
    RoomFull,
    /// The text is longer than a frame may be, or than the room takes.
    FrameTooLong,
    /// Too much of this in a short time; later it works again.
    RateLimited,
    /// The token is wrong, or one is needed.
    NotAuthorized,
    /// The token was right once; another one is needed.
    TokenExpired,
    /// It is known who asks, and that it may not.
    NotAllowed,
    /// The name belongs to somebody who has to show that.
    NameReserved,
    /// Whoever knows tokens cannot be asked now.
    AuthUnavailable,
    /// Over HTTP: nobody may come from that address.
    Banned,
    /// This listener takes no commands.
    CommandsOff,
    /// Over HTTP: there is nothing at that path.
    NoSuchPath,
    /// Over HTTP: what is there is not for that method.
    BadMethod,
    /// Over HTTP: a page of another origin asks, or the server is asked for by a name that is not its own.
    ForbiddenOrigin,
    /// Over HTTP: what is there is a WebSocket, and no handshake of a version that is spoken asks for it.
    UpgradeRequired,
    /// Over HTTP: the body did not come in time.
    TooSlow,
    /// What came first was another protocol's; this one ends the connection.
    WrongProtocol,
    /// Some of what it would resume from is gone, which its format cannot tell.
    Gone,
    /// What keeps the room's messages cannot now.
    Unavailable,
}

impl ErrorCode {
    /// Every code.
    pub const ALL: [Self; 27] = [
        Self::UnknownCommand,
        Self::BadArgument,
        Self::BadName,
        Self::NameTaken,
        Self::NotAMember,
        Self::NoRoom,
        Self::NoSuchRoom,
        Self::NoSuchMember,
        Self::TooManyRooms,
        Self::RoomFull,
        Self::FrameTooLong,
        Self::RateLimited,
        Self::NotAuthorized,
        Self::TokenExpired,
        Self::NotAllowed,
        Self::NameReserved,
        Self::AuthUnavailable,
        Self::Banned,
        Self::CommandsOff,
        Self::NoSuchPath,
        Self::BadMethod,
        Self::ForbiddenOrigin,
        Self::UpgradeRequired,
        Self::TooSlow,
        Self::WrongProtocol,
        Self::Gone,
        Self::Unavailable,
    ];

    /// The stable code, as peers see it.
    pub fn code(self) -> &'static str {
        match self {
            Self::UnknownCommand => "unknown-command",
            Self::BadArgument => "bad-argument",
            Self::BadName => "bad-name",
            Self::NameTaken => "name-taken",
            Self::NotAMember => "not-a-member",
            Self::NoRoom => "no-room",
            Self::NoSuchRoom => "no-such-room",
            Self::NoSuchMember => "no-such-member",
            Self::TooManyRooms => "too-many-rooms",
            Self::RoomFull => "room-full",
            Self::FrameTooLong => "frame-too-long",
            Self::RateLimited => "rate-limited",
            Self::NotAuthorized => "not-authorized",
            Self::TokenExpired => "token-expired",
            Self::NotAllowed => "not-allowed",
            Self::NameReserved => "name-reserved",
            Self::AuthUnavailable => "auth-unavailable",
            Self::Banned => "banned",
            Self::CommandsOff => "commands-off",
            Self::NoSuchPath => "no-such-path",
            Self::BadMethod => "bad-method",
            Self::ForbiddenOrigin => "forbidden-origin",
            Self::UpgradeRequired => "upgrade-required",
            Self::TooSlow => "too-slow",
            Self::WrongProtocol => "wrong-protocol",
            Self::Gone => "gone",
            Self::Unavailable => "unavailable",
        }
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}
