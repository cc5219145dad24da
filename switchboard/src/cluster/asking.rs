//! What one node asks another: to give up a name, to say something to somebody, and who is in a room. And what whoever looks at the cluster asks each.
//!
//! The node that is asked believes the one that asks: whether somebody may is found out where he is.

use super::bus::NodeId;
use super::words::WORD_BYTES;
use crate::hub::elsewhere::NameProof;
use bytes::Bytes;
use std::fmt::Write as _;
use switchboard_proto::{RoomName, UserName};

const FORMAT: &str = "1";

/// Bytes of a question at most: what somebody is told, which is no longer than a frame that fits an envelope, and what it is told by.
pub(super) const QUESTION_BYTES: usize = 320 << 10;

/// Names in one answer.
pub(super) const MOST_NAMES: usize = 512;

#[derive(Debug, PartialEq, Eq)]
pub(super) enum NodeQuestion {
    Yield {
        name: UserName,
        proof: NameProof,
    },
    Tell {
        to: UserName,
        from: UserName,
        text: Bytes,
    },
    Who {
        room: RoomName,
        most: usize,
    },
    /// What it is, for whoever looks at the cluster.
    Account,
}

impl NodeQuestion {
    pub(super) fn written(&self, own: NodeId) -> Bytes {
        match self {
            Self::Yield { name, proof: NameProof::Principal(owner) } => {
                format!("yield {FORMAT} {own} {name} principal {owner}\n").into()
            }
            Self::Yield { name, proof: NameProof::Secret(secret) } => {
                format!("yield {FORMAT} {own} {name} secret {}\n", secret.digits()).into()
            }
            Self::Tell { to, from, text } => {
                let mut word = format!("tell {FORMAT} {own} {to} {from}\n").into_bytes();
                word.extend_from_slice(text);
                word.into()
            }
            Self::Who { room, most } => format!("who {FORMAT} {own} {room} {most}\n").into(),
            Self::Account => format!("account {FORMAT} {own}\n").into(),
        }
    }

    pub(super) fn read(word: &Bytes) -> Option<Self> {
        let end = word.iter().position(|byte| *byte == b'\n')?;
        let mut words = std::str::from_utf8(&word[..end]).ok()?.split(' ');
        let kind = words.next()?;
        if words.next()? != FORMAT {
            return None;
        }
        u64::from_str_radix(words.next()?, 16).ok()?;
        let user = |text: &str| UserName::parse_any(text).ok();
        Some(match kind {
            "yield" => {
                let name = user(words.next()?)?;
                let proof = match words.next()? {
                    "principal" => NameProof::Principal(user(words.next()?)?),
                    "secret" => NameProof::Secret(words.next()?.parse().ok()?),
                    _ => return None,
                };
                Self::Yield { name, proof }
            }
            "tell" => {
                let (to, from) = (user(words.next()?)?, user(words.next()?)?);
                // Copied: a slice would keep what it was read with for as long as it waits.
                Self::Tell { to, from, text: Bytes::copy_from_slice(&word[end + 1..]) }
            }
            "who" => {
                let room = RoomName::parse(words.next()?).ok()?;
                Self::Who { room, most: words.next()?.parse::<usize>().ok()?.min(MOST_NAMES) }
            }
            "account" => Self::Account,
            _ => return None,
        })
    }
}

/// Names, a line each.
pub(super) fn names(names: &[UserName]) -> Bytes {
    let mut text = String::new();
    for name in names.iter().take(MOST_NAMES) {
        // Writing to memory does not fail.
        let _ = writeln!(text, "{name}");
    }
    text.into()
}

/// As many of them as there are names.
pub(super) fn read_names(answer: &[u8]) -> Vec<UserName> {
    let text = std::str::from_utf8(answer).ok().filter(|text| text.len() <= WORD_BYTES).unwrap_or_default();
    text.lines().take(MOST_NAMES).map_while(|name| UserName::parse_any(name).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;

    fn name(text: &str) -> UserName {
        UserName::parse_any(text).expect("a name")
    }

    #[test]
    fn a_question_is_read_as_it_was_written() {
        let secret = "00112233445566778899aabbccddeeff".parse().expect("a secret");
        for question in [
            NodeQuestion::Yield { name: name("ann"), proof: NameProof::Principal(name("Ann.B")) },
            NodeQuestion::Yield { name: name("ann"), proof: NameProof::Secret(secret) },
            NodeQuestion::Tell { to: name("ann"), from: name("guest-7"), text: Bytes::from_static(b"a\n\xff\0 b") },
            NodeQuestion::Who { room: RoomName::parse("ops").expect("a name"), most: 9 },
            NodeQuestion::Account,
        ] {
            assert_eq!(NodeQuestion::read(&question.written(NodeId(7))), Some(question));
        }
    }

    #[test]
    fn names_come_as_they_were_and_no_more_than_so_many() {
        let many: Vec<_> = (0..1000).map(|number| name(&format!("{number:064}"))).collect();
        let read = read_names(&names(&many));
        assert_eq!(read, many[..MOST_NAMES]);
        assert_eq!(read_names(b"ann\n\x1b[2J\nbob\n"), [name("ann")]);
        assert_eq!(read_names(&vec![b'a'; WORD_BYTES + 1]), []);
    }

    proptest! {
        #[test]
        fn no_text_does_harm(kind in "(yield|tell|who|account) 1 ab", behind in vec("[ a-c0-9*\n-]{0,9}", 0..20)) {
            let _ = NodeQuestion::read(&format!("{kind}{}", behind.concat()).into());
        }
    }
}
