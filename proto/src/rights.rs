//! What may be done in a room: one byte of rights, and the words for them.
//!
//! The [rule](crate::Rule) says who has which; the hub asks.

use std::fmt;
use std::ops::{BitAnd, BitOr, BitOrAssign};
use std::str::FromStr;

/// A word is not one for rights.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a right is join, publish, history, presence, create or moderate; read, write and all stand for several")]
pub struct RightsError;

/// What somebody may do in one room: any of six rights. One byte.
///
/// # Examples
/// ```
/// use switchboard_proto::Rights;
///
/// let rights = Rights::JOIN | "write".parse().unwrap();
/// assert!(rights.contains(Rights::PUBLISH) && !rights.contains(Rights::HISTORY));
/// assert_eq!(rights.to_string(), "join, publish, create");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Rights(u8);

impl Rights {
    /// Nothing.
    pub const NONE: Self = Self(0);
    /// Be a member and get what is published; see the room in a list.
    pub const JOIN: Self = Self(1);
    /// Publish.
    pub const PUBLISH: Self = Self(1 << 1);
    /// Get what was published before. A member that resumes without it is told of a gap.
    pub const HISTORY: Self = Self(1 << 2);
    /// See who is there, and who comes and goes.
    pub const PRESENCE: Self = Self(1 << 3);
    /// Make the room, if it does not exist, by joining or publishing.
    pub const CREATE: Self = Self(1 << 4);
    /// End somebody else's membership, purge the history, announce.
    pub const MODERATE: Self = Self(1 << 5);
    /// `join`, `history` and `presence`.
    pub const READ: Self = Self(Self::JOIN.0 | Self::HISTORY.0 | Self::PRESENCE.0);
    /// `publish` and `create`.
    pub const WRITE: Self = Self(Self::PUBLISH.0 | Self::CREATE.0);
    /// `read` and `write`: all but `moderate`, which is always given by name.
    pub const ALL: Self = Self(Self::READ.0 | Self::WRITE.0);

    /// The word for each single right, in the order in which they are printed.
    pub const WORDS: [(&'static str, Self); 6] = [
        ("join", Self::JOIN),
        ("publish", Self::PUBLISH),
        ("history", Self::HISTORY),
        ("presence", Self::PRESENCE),
        ("create", Self::CREATE),
        ("moderate", Self::MODERATE),
    ];

    /// The words for several rights.
    const SHORT: [(&'static str, Self); 3] = [("read", Self::READ), ("write", Self::WRITE), ("all", Self::ALL)];

    /// Whether these include all of `rights`.
    pub const fn contains(self, rights: Self) -> bool {
        self.0 & rights.0 == rights.0
    }

    /// Whether there are none.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// These without those.
    #[must_use]
    pub const fn without(self, rights: Self) -> Self {
        Self(self.0 & !rights.0)
    }

    /// The word for each of them; never a word for several.
    pub fn words(self) -> impl Iterator<Item = &'static str> {
        Self::WORDS.into_iter().filter(move |(_, right)| self.contains(*right)).map(|(word, _)| word)
    }

    /// As a byte, for where an atomic is needed.
    pub const fn bits(self) -> u8 {
        self.0
    }

    /// The inverse of [`bits`](Self::bits); bits that are not rights are dropped.
    pub const fn from_bits(bits: u8) -> Self {
        Self(bits & (Self::ALL.0 | Self::MODERATE.0))
    }
}

impl BitOr for Rights {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitOrAssign for Rights {
    fn bitor_assign(&mut self, other: Self) {
        self.0 |= other.0;
    }
}

impl BitAnd for Rights {
    type Output = Self;

    fn bitand(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
}

impl FromIterator<Rights> for Rights {
    fn from_iter<I: IntoIterator<Item = Rights>>(rights: I) -> Self {
        rights.into_iter().fold(Self::NONE, Self::bitor)
    }
}

impl FromStr for Rights {
    type Err = RightsError;

    /// Parses one word, not a list.
    fn from_str(word: &str) -> Result<Self, RightsError> {
        let mut words = Self::WORDS.iter().chain(&Self::SHORT);
        words.find(|(known, _)| *known == word).map(|(_, rights)| *rights).ok_or(RightsError)
    }
}

impl fmt::Display for Rights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return f.write_str("nothing");
        }
        for (index, word) in self.words().enumerate() {
            f.write_str(if index == 0 { "" } else { ", " })?;
            f.write_str(word)?;
        }
        Ok(())
    }
}

impl fmt::Debug for Rights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Rights({self})")
    }
}
