//! What a member is told: messages, notices, answers and errors, before any wire form.
//!
//! [`Format`](crate::Format) writes them; the hub makes them.

use crate::{CloseReason, Cookie, Failure, Format, GroupName, Rights, RoomName, Token, UserName};
use bytes::Bytes;
use std::fmt;
use std::str::FromStr;
use std::time::SystemTime;

const DIGITS: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";

/// The text is not a message id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a message id such as k3f9-7 (0-0 is before all that is kept)")]
pub struct IdError;

/// One incarnation of a room: its messages are numbered from 1, and its history holds only its own.
///
/// Displays in base 36: `k3f9`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Epoch(u32);

impl Epoch {
    /// An incarnation named by a random number, so that two incarnations of a room differ.
    pub fn new(random: u32) -> Self {
        Self(random)
    }

    /// The number that names it.
    pub fn number(self) -> u32 {
        self.0
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // 7 digits hold any u32: 36⁷ > 2³².
        let mut digits = ['0'; 7];
        let (mut first, mut left) = (digits.len(), self.0);
        loop {
            first -= 1;
            digits[first] = char::from(DIGITS[(left % 36) as usize]);
            left /= 36;
            if left == 0 {
                break;
            }
        }
        digits[first..].iter().try_for_each(|digit| fmt::Write::write_char(f, *digit))
    }
}

impl FromStr for Epoch {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        if !text.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return Err(IdError);
        }
        u32::from_str_radix(text, 36).map(Self).map_err(|_| IdError)
    }
}

/// Identifies one message of a room permanently: the room's incarnation, and the number in it.
///
/// Displays as `k3f9-7`. Number 0 is the point before the first message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct MessageId {
    /// The room's incarnation.
    pub epoch: Epoch,
    /// The place in the room's order, from 1.
    pub seq: u64,
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.epoch, self.seq)
    }
}

impl FromStr for MessageId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let (epoch, seq) = text.split_once('-').ok_or(IdError)?;
        if !seq.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(IdError);
        }
        Ok(Self { epoch: epoch.parse()?, seq: seq.parse().map_err(|_| IdError)? })
    }
}

/// One published message, as every member of its room gets it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Where it was published.
    pub room: RoomName,
    /// Its place in the room's order.
    pub id: MessageId,
    /// When it was published.
    pub time: SystemTime,
    /// Who published it; `None` if the program itself did.
    pub from: Option<UserName>,
    /// The publisher's proven identity, under a policy. `from` is what it called itself.
    pub user: Option<UserName>,
    /// What was published: any bytes.
    pub payload: Bytes,
}

/// What a member is told without asking. The format `raw` has no notices.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// Another member came.
    Joined {
        /// Where.
        room: RoomName,
        /// Who.
        name: UserName,
    },
    /// Another member went.
    Left {
        /// Where.
        room: RoomName,
        /// Who.
        name: UserName,
    },
    /// Several members joined, left or changed names at once, or a few did in a room with many members.
    Presence {
        /// Where.
        room: RoomName,
        /// How many joined since the last such notice.
        joined: usize,
        /// How many left since the last such notice.
        left: usize,
        /// How many changed names without a notice of their own.
        renamed: usize,
        /// How many there are now.
        members: usize,
    },
    /// A member changed its name.
    Renamed {
        /// Where.
        room: RoomName,
        /// The name until now.
        from: UserName,
        /// The name from now on.
        to: UserName,
    },
    /// This member lost messages.
    Gap {
        /// Where.
        room: RoomName,
        /// How many.
        lost: u64,
        /// The number of the first.
        from_seq: u64,
    },
    /// The id to resume from belongs to another incarnation of the room: how many messages were lost is unknown.
    Reset {
        /// Where.
        room: RoomName,
        /// The incarnation that the room is in now.
        epoch: Epoch,
    },
    /// This member may no longer be in the room, and is not.
    Removed {
        /// Where.
        room: RoomName,
    },
    /// How far a room is, for those who are told what is published but cannot ask: a group of hosts.
    Head {
        /// Where.
        room: RoomName,
        /// The last message, or the point before the first.
        id: MessageId,
        /// The URL of an HTTP listener where what was lost can be had.
        repair: Option<String>,
    },
    /// What the operators of the server tell everybody who comes, behind the welcome.
    Announcement {
        /// One line.
        text: Bytes,
    },
    /// What this connection has shown itself by ends soon.
    Expiring {
        /// In how many seconds.
        seconds: u32,
    },
    /// Another connection has taken this one's name over, by showing that it is the same one's.
    Named {
        /// The name from now on.
        name: UserName,
    },
    /// This connection ends.
    Closed {
        /// Why.
        reason: CloseReason,
    },
}

/// A room in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoomSummary {
    /// Its name.
    pub name: RoomName,
    /// How many members it has.
    pub members: usize,
}

/// What somebody has shown itself to be, beside its name.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Authenticated {
    /// The groups that it is in.
    pub groups: Vec<GroupName>,
    /// Until when that holds.
    pub expires: Option<SystemTime>,
}

/// An answer to a command, or what a connection is told as itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// The first thing that a connection is told, if it may give commands.
    Welcome {
        /// What it is called.
        name: UserName,
        /// Where it is.
        room: Option<RoomName>,
    },
    /// It is a member of the room, which is now its current one.
    Joined {
        /// The room.
        room: RoomName,
        /// How many members the room has, including this one.
        members: usize,
        /// The last message before the join; it gets every one after it.
        id: MessageId,
        /// What it may do there, under a policy.
        may: Option<Rights>,
    },
    /// It is no longer a member of the room.
    Left {
        /// The room.
        room: RoomName,
        /// The current room from now on.
        current: Option<RoomName>,
    },
    /// Has another name.
    Named {
        /// The name from now on.
        name: UserName,
    },
    /// Who is in a room.
    Who {
        /// The room.
        room: RoomName,
        /// Some of its members, or all.
        members: Vec<UserName>,
        /// How many it has.
        total: usize,
    },
    /// Which rooms there are.
    Rooms {
        /// Some of them, or all.
        rooms: Vec<RoomSummary>,
        /// How many there are.
        total: usize,
    },
    /// A private message to this connection.
    Direct {
        /// Who.
        from: UserName,
        /// What: any bytes.
        text: Bytes,
    },
    /// How many messages of a room's history follow.
    History {
        /// The room.
        room: RoomName,
        /// How many.
        count: usize,
    },
    /// It gets everything in this format from now on.
    Formatted {
        /// The format.
        format: Format,
    },
    /// The message was published: the answer to an HTTP request.
    Published {
        /// Where.
        room: RoomName,
        /// Its name for ever.
        id: MessageId,
        /// When.
        time: SystemTime,
    },
    /// The token was right.
    Authorized {
        /// Whom it shows, under a policy.
        name: Option<UserName>,
        /// Until when.
        expires: Option<SystemTime>,
    },
    /// Who this connection, or whoever sent the request, is.
    You {
        /// What it is called.
        name: UserName,
        /// What it has shown itself to be; otherwise anybody may call itself so.
        authenticated: Option<Authenticated>,
    },
    /// What may stand in a URL once, in place of a token: the answer to an HTTP request.
    Ticket {
        /// The ticket.
        ticket: Token,
        /// Until when.
        expires: SystemTime,
    },
    /// What the server's clock says.
    Clock {
        /// Milliseconds since 1970.
        milliseconds: u64,
    },
    /// The join must be repeated with this cookie, to prove that its sender receives at its address.
    Challenge {
        /// What to repeat it with.
        cookie: Cookie,
    },
    /// The connection works.
    Pong,
    /// What can be typed.
    Help,
    /// The server ends the connection, as requested.
    Bye,
}

/// Anything that a member is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A publication.
    Message(Message),
    /// Something about its rooms.
    Notice(Notice),
    /// An answer.
    Reply(Reply),
    /// An error.
    Failure(Failure),
}
