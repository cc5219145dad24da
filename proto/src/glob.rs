//! Globs: which rooms, or names, a line of a policy is about.
//!
//! Dots separate the parts of a name, as slashes do in a path. `*` matches any run without a dot, `**` any run, `{name}` literally
//! the name of whoever asks, and everything else itself, ignoring case. It is written here because no crate has these rules: those for
//! files know `/`.

use crate::UserName;
use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;
use std::sync::Arc;

/// What stands for the name of whoever asks.
const NAME: &str = "{name}";

/// Why a text is not a glob.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GlobError {
    /// There is no character.
    #[error("a glob has at least one character")]
    Empty,
    /// There are more than 128 characters.
    #[error("a glob has at most {} characters", Glob::BYTES)]
    TooLong,
    /// A character that is not allowed in names, nor part of `*` or `{name}`.
    #[error("a glob has ASCII letters, digits, '-', '_', '.', '*', '**' and '{NAME}'")]
    BadCharacter,
    /// Three or more stars in a row.
    #[error("a glob has '*', any run without a dot, and '**', any run: not '***'")]
    BadStars,
}

/// A pattern for names of rooms, or of people.
///
/// It keeps its case; matching, equality, hashing and order ignore it. Cheap to clone.
///
/// # Examples
/// ```
/// use switchboard_proto::{Glob, UserName};
///
/// let glob = Glob::parse("desk.{name}.*").unwrap();
/// let ann = UserName::parse("ann").unwrap();
/// assert!(glob.matches("desk.Ann.notes", Some(&ann)));
/// assert!(!glob.matches("desk.ann.notes.old", Some(&ann)));
/// assert!(!glob.matches("desk.ann.notes", None));
/// ```
#[derive(Clone)]
pub struct Glob(Arc<str>);

/// What one part of a glob matches.
#[derive(Clone, Copy)]
enum Part<'a> {
    /// This, ignoring case.
    Literal(&'a [u8]),
    /// A run without a dot, which may be empty.
    Run,
    /// A run, which may be empty.
    All,
    /// The name of whoever asks.
    Name,
}

/// The parts of a glob, in order.
struct Parts<'a>(&'a [u8]);

impl<'a> Iterator for Parts<'a> {
    type Item = Part<'a>;

    fn next(&mut self) -> Option<Part<'a>> {
        let (part, length) = match self.0 {
            [] => return None,
            [b'*', b'*', ..] => (Part::All, 2),
            [b'*', ..] => (Part::Run, 1),
            [b'{', ..] => (Part::Name, NAME.len()),
            literal => {
                let length = literal.iter().position(|byte| matches!(byte, b'*' | b'{')).unwrap_or(literal.len());
                (Part::Literal(&literal[..length]), length)
            }
        };
        self.0 = &self.0[length..];
        Some(part)
    }
}

/// A set of places between the bytes of a text, the first of which is 0: a bit for each.
///
/// A glob is matched part by part, carrying along the set of places that can have been reached. So no part is tried twice at one place,
/// however many stars there are: at most 128 parts by 65 places by the length of a literal.
#[derive(Clone, Copy)]
struct Places(u128);

impl Places {
    /// The longest text whose places fit. Names are half as long.
    const TEXT_BYTES: usize = u128::BITS as usize - 1;

    fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The places after `literal`, where it occurs at one of these.
    fn behind(mut self, literal: &[u8], text: &[u8]) -> Self {
        let mut behind = 0;
        while self.0 != 0 {
            let at = self.0.trailing_zeros() as usize;
            self.0 &= self.0 - 1;
            let end = at + literal.len();
            if text.get(at..end).is_some_and(|found| found.eq_ignore_ascii_case(literal)) {
                behind |= 1 << end;
            }
        }
        Self(behind)
    }

    /// These, and all that follow without a dot in between.
    fn up_to_dots(self, text: &[u8]) -> Self {
        let mut places = self.0;
        for (at, byte) in text.iter().enumerate().skip(places.trailing_zeros() as usize) {
            if *byte != b'.' {
                places |= (places & 1 << at) << 1;
            }
        }
        Self(places)
    }

    /// The first of these, and all that follow.
    fn onward(self, text: &[u8]) -> Self {
        let behind = Self::TEXT_BYTES - text.len();
        Self(u128::MAX << self.0.trailing_zeros() & u128::MAX >> behind)
    }
}

impl Glob {
    /// The longest glob, in characters, which are bytes too.
    pub const BYTES: usize = 128;

    /// Parses a glob.
    ///
    /// # Errors
    /// The text is empty or too long, has more than two stars in a row, or a character that globs do not have.
    pub fn parse(text: &str) -> Result<Self, GlobError> {
        if text.is_empty() {
            return Err(GlobError::Empty);
        }
        let is_literal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'*');
        if !text.replace(NAME, "").bytes().all(is_literal) {
            return Err(GlobError::BadCharacter);
        }
        if text.contains("***") {
            return Err(GlobError::BadStars);
        }
        if text.len() > Self::BYTES {
            return Err(GlobError::TooLong);
        }
        Ok(Self(text.into()))
    }

    /// Whether this matches a text when `name` asks. Without a name, a glob with `{name}` matches nothing.
    ///
    /// A text longer than any name, of more than 127 bytes, matches nothing.
    pub fn matches(&self, text: &str, name: Option<&UserName>) -> bool {
        let text = text.as_bytes();
        if text.len() > Places::TEXT_BYTES {
            return false;
        }
        let mut places = Places(1);
        for part in Parts(self.0.as_bytes()) {
            places = match part {
                Part::Literal(literal) => places.behind(literal, text),
                Part::Run => places.up_to_dots(text),
                Part::All => places.onward(text),
                Part::Name => match name {
                    Some(name) => places.behind(name.as_str().as_bytes(), text),
                    None => return false,
                },
            };
            if places.is_empty() {
                return false;
            }
        }
        places.0 >> text.len() & 1 == 1
    }

    /// The glob as it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it has `{name}`, so that what it matches depends on who asks.
    pub fn has_name(&self) -> bool {
        self.0.contains('{')
    }

    /// Whether it matches only its own text.
    pub fn is_exact(&self) -> bool {
        self.literals() == self.0.len()
    }

    /// How many of its characters stand for themselves.
    pub fn literals(&self) -> usize {
        let literals = Parts(self.0.as_bytes()).map(|part| match part {
            Part::Literal(literal) => literal.len(),
            Part::Run | Part::All | Part::Name => 0,
        });
        literals.sum()
    }

    fn folded(&self) -> impl Iterator<Item = u8> {
        self.0.bytes().map(|byte| byte.to_ascii_lowercase())
    }
}

impl PartialEq for Glob {
    fn eq(&self, other: &Self) -> bool {
        self.0.eq_ignore_ascii_case(&other.0)
    }
}

impl Eq for Glob {}

impl Hash for Glob {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.folded().for_each(|byte| state.write_u8(byte));
        // Terminated, as a text is: so that two texts in a row differ from one.
        state.write_u8(0xff);
    }
}

impl PartialOrd for Glob {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Glob {
    fn cmp(&self, other: &Self) -> Ordering {
        self.folded().cmp(other.folded())
    }
}

impl fmt::Display for Glob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for Glob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Glob({self})")
    }
}

impl FromStr for Glob {
    type Err = GlobError;

    fn from_str(text: &str) -> Result<Self, GlobError> {
        Self::parse(text)
    }
}
