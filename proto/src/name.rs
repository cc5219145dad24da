//! Names of rooms, people and groups, parsed once at the edge.
//!
//! Knows the form of a name; whether it is taken is the hub's business.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;
use std::sync::Arc;

/// The longest name, in characters, which are bytes too.
const NAME_BYTES: usize = 64;

/// The name of an unnamed connection, before its number. Nobody may take a name that begins like this.
const GUEST: &str = "guest-";

/// Names of parts of the server, which nobody may take.
const UDP: &str = "udp";
const HTTP: &str = "http";
const SERVER: &str = "server";

/// Why a text is not a name, or not one that may be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NameError {
    /// There is no character.
    #[error("a name has at least one character")]
    Empty,
    /// There are more than 64 characters.
    #[error("a name has at most {NAME_BYTES} characters")]
    TooLong,
    /// Not an ASCII letter, a digit, `-`, `_` or `.`.
    #[error("a name has only ASCII letters, digits, '-', '_' and '.'")]
    BadCharacter,
    /// One of the server's own: `guest-*`, `udp`, `http`, `server`.
    #[error("this name is reserved")]
    Reserved,
}

/// The one form of all names.
#[derive(Clone)]
struct Name(Arc<str>);

impl Name {
    fn parse(text: &str) -> Result<Self, NameError> {
        if text.is_empty() {
            return Err(NameError::Empty);
        }
        if !text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.')) {
            return Err(NameError::BadCharacter);
        }
        if text.len() > NAME_BYTES {
            return Err(NameError::TooLong);
        }
        Ok(Self(text.into()))
    }

    fn folded(&self) -> impl Iterator<Item = u8> {
        self.0.bytes().map(|byte| byte.to_ascii_lowercase())
    }
}

impl PartialEq for Name {
    fn eq(&self, other: &Self) -> bool {
        // Mostly one is a copy of the other.
        Arc::ptr_eq(&self.0, &other.0) || self.0.eq_ignore_ascii_case(&other.0)
    }
}

impl Eq for Name {}

impl Hash for Name {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let mut folded = [0; NAME_BYTES];
        let folded = &mut folded[..self.0.len()];
        folded.copy_from_slice(self.0.as_bytes());
        folded.make_ascii_lowercase();
        // One write for the name, with its length as slices have it.
        folded.hash(state);
    }
}

impl PartialOrd for Name {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Name {
    fn cmp(&self, other: &Self) -> Ordering {
        self.folded().cmp(other.folded())
    }
}

/// A newtype of [`Name`] with what all of them have; its `parse` is its own.
macro_rules! name_type {
    ($(#[$doc:meta])* $type:ident) => {
        $(#[$doc])*
        ///
        /// 1–64 ASCII letters, digits, `-`, `_` and `.`. It keeps its case, but is compared, hashed and ordered without
        /// it. Cheap to clone.
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $type(Name);

        impl $type {
            /// The name as it was written.
            pub fn as_str(&self) -> &str {
                &self.0.0
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($type), self.as_str())
            }
        }

        impl FromStr for $type {
            type Err = NameError;

            fn from_str(text: &str) -> Result<Self, NameError> {
                Self::parse(text)
            }
        }
    };
}

name_type! {
    /// The name of a room.
    RoomName
}

name_type! {
    /// The name of somebody in a room.
    UserName
}

name_type! {
    /// The name of a group of people that a policy gives the same rights.
    GroupName
}

impl RoomName {
    /// Parses a room's name.
    ///
    /// # Errors
    /// The text is empty, too long, or holds another character than names have.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        Name::parse(text).map(Self)
    }

    /// Of a room that nobody can name: no text parses as `~n`.
    pub fn unnamed(n: u64) -> Self {
        Self(Name(format!("~{n}").into()))
    }
}

impl GroupName {
    /// Parses a group's name.
    ///
    /// # Errors
    /// The text is empty, too long, or holds another character than names have.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        Name::parse(text).map(Self)
    }
}

impl UserName {
    /// Parses a name that somebody wants to take.
    ///
    /// # Errors
    /// As [`parse_any`](Self::parse_any), and [`NameError::Reserved`] for `guest-*`, `udp`, `http` and `server`.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let name = Self::parse_any(text)?;
        if name.is_reserved() { Err(NameError::Reserved) } else { Ok(name) }
    }

    /// Parses a name that somebody else may have, reserved ones included, since a guest can be written to.
    ///
    /// # Errors
    /// The text is empty, too long, or holds another character than names have.
    pub fn parse_any(text: &str) -> Result<Self, NameError> {
        Name::parse(text).map(Self)
    }

    /// The name of connection `n` until it takes another: `guest-n`.
    pub fn guest(n: u64) -> Self {
        Self(Name(format!("{GUEST}{n}").into()))
    }

    /// The number of whom [`guest`](Self::guest) calls so.
    pub fn guest_number(&self) -> Option<u64> {
        let (guest, number) = self.as_str().split_at_checked(GUEST.len())?;
        // `guest-07` is nobody's name, and not that of number 7.
        let is_one = guest.eq_ignore_ascii_case(GUEST) && number.bytes().all(|byte| byte.is_ascii_digit());
        let number = Some(number).filter(|number| is_one && (*number == "0" || !number.starts_with('0')));
        number?.parse().ok()
    }

    /// What another connection of whoever is called this is called: `alice.2`. None if that were too long for a name.
    pub fn numbered(&self, n: u64) -> Option<Self> {
        Self::parse_any(&format!("{self}.{n}")).ok()
    }

    /// Whose [`numbered`](Self::numbered) name this is, and which, if it is one.
    pub fn owner_and_number(&self) -> Option<(Self, u64)> {
        let (owner, number) = self.as_str().rsplit_once('.')?;
        // `alice.07` is a name, and not that of number 7.
        let is_one = number.bytes().all(|byte| byte.is_ascii_digit()) && !number.starts_with('0');
        let number = number.parse().ok().filter(|_| is_one)?;
        Some((Self::parse_any(owner).ok()?, number))
    }

    /// Whether this is one of the names of whoever is called `owner`: that name, or anything behind it and a dot.
    pub fn is_of(&self, owner: &Self) -> bool {
        let (name, owner) = (self.as_str(), owner.as_str());
        let (Some(start), Some(rest)) = (name.get(..owner.len()), name.get(owner.len()..)) else { return false };
        start.eq_ignore_ascii_case(owner) && (rest.is_empty() || rest.starts_with('.'))
    }

    /// The publisher of a datagram that did not come from a member.
    pub fn udp() -> Self {
        Self(Name(UDP.into()))
    }

    /// The publisher of an HTTP request that gave no name.
    pub fn http() -> Self {
        Self(Name(HTTP.into()))
    }

    /// The server itself.
    pub fn server() -> Self {
        Self(Name(SERVER.into()))
    }

    /// Whether this name is reserved for the server.
    pub fn is_reserved(&self) -> bool {
        let name = self.as_str();
        let is_guest = name.get(..GUEST.len()).is_some_and(|start| start.eq_ignore_ascii_case(GUEST));
        is_guest || [UDP, HTTP, SERVER].iter().any(|reserved| name.eq_ignore_ascii_case(reserved))
    }
}
