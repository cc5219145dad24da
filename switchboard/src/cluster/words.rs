//! What nodes say to each other, as text: a line that says what it is and of whom, and a line for each room.
//!
//! The second word of the first line is the format: a node passes over what it does not know. Whoever writes to the bus is trusted as a node
//! is; no text makes this node fail or keep more than its bounds.

use super::bus::NodeId;
use crate::hub::elsewhere::{Only, RoomNews};
use bytes::Bytes;
use std::fmt::Write as _;
use switchboard_proto::{RoomName, UserName};

/// The format that this version writes, and reads.
const FORMAT: &str = "1";

/// Bytes of one word: more than that is passed over, and lists are told in pieces.
pub(super) const WORD_BYTES: usize = 64 << 10;
/// A piece ends behind the line that goes beyond this.
const PIECE_BYTES: usize = 32 << 10;

/// Members that a node says a room to have: more are so many.
const MOST_MEMBERS: u32 = 100_000_000;

/// A room and its members; none is that the node has it no more.
pub(super) type RoomCount = (RoomName, Option<u32>);

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum NodeWord {
    /// The node is there; so many times it has told news, and this is what its rooms come to.
    Beat { node: NodeId, version: u64, digest: u64 },
    /// It is about to end.
    Bye { node: NodeId },
    /// What has changed since the version before.
    News { node: NodeId, version: u64, rooms: Vec<(RoomCount, RoomNews)> },
    /// All of its rooms behind one name, up to another; without a bound: from the first, to the last.
    Rooms { node: NodeId, version: u64, after: Option<RoomName>, until: Option<RoomName>, rooms: Vec<RoomCount> },
    /// This node wants to be told all rooms.
    Want { node: NodeId },
}

fn begin(kind: &str, node: NodeId) -> String {
    format!("{kind} {FORMAT} {node}")
}

pub(super) fn beat(node: NodeId, version: u64, digest: u64) -> Bytes {
    format!("{} {version} {digest:016x}\n", begin("beat", node)).into()
}

pub(super) fn bye(node: NodeId) -> Bytes {
    format!("{}\n", begin("bye", node)).into()
}

pub(super) fn want(node: NodeId) -> Bytes {
    format!("{}\n", begin("want", node)).into()
}

/// Pieces, each of the next version.
pub(super) fn news(node: NodeId, version: &mut u64, rooms: &[(RoomCount, RoomNews)]) -> Vec<Bytes> {
    let mut pieces = Vec::new();
    let mut rooms = rooms.iter().peekable();
    while rooms.peek().is_some() {
        *version += 1;
        let mut text = format!("{} {version}\n", begin("news", node));
        while text.len() < PIECE_BYTES
            && let Some(((room, members), news)) = rooms.next()
        {
            line(&mut text, room, *members);
            // Writing to memory does not fail.
            let _ = write!(text, " {} {} {}", news.joined, news.left, news.renamed);
            let _ = match &news.only {
                Some(Only::Joined(name)) => write!(text, " +{name}"),
                Some(Only::Left(name)) => write!(text, " -{name}"),
                Some(Only::Renamed(from, to)) => write!(text, " ={from} {to}"),
                None => Ok(()),
            };
            text.push('\n');
        }
        pieces.push(text.into());
    }
    pieces
}

/// Pieces that have all of `rooms`, which come in order.
pub(super) fn rooms(node: NodeId, version: u64, rooms: impl Iterator<Item = (RoomName, u32)>) -> Vec<Bytes> {
    let (mut pieces, mut rooms, mut after) = (Vec::new(), rooms.peekable(), None::<RoomName>);
    loop {
        let (mut lines, mut last) = (String::new(), None);
        while lines.len() < PIECE_BYTES
            && let Some((room, members)) = rooms.next()
        {
            line(&mut lines, &room, Some(members));
            lines.push('\n');
            last = Some(room);
        }
        let until = last.filter(|_| rooms.peek().is_some());
        let shown = |bound: &Option<RoomName>| bound.as_ref().map_or(NO_NAME.to_owned(), ToString::to_string);
        pieces.push(format!("{} {version} {} {}\n{lines}", begin("rooms", node), shown(&after), shown(&until)).into());
        if until.is_none() {
            return pieces;
        }
        after = until;
    }
}

/// What no room is called.
const NO_NAME: &str = "*";
/// Of a room that is gone.
const GONE: &str = "*";

fn line(text: &mut String, room: &RoomName, members: Option<u32>) {
    // Writing to memory does not fail.
    let _ = match members {
        Some(members) => write!(text, "{room} {members}"),
        None => write!(text, "{room} {GONE}"),
    };
}

/// What a word says; none if it is no word of this format.
pub(super) fn read(word: &[u8]) -> Option<NodeWord> {
    let text = std::str::from_utf8(word).ok().filter(|text| text.len() <= WORD_BYTES)?;
    let mut lines = text.lines();
    let mut head = lines.next()?.split(' ');
    let (kind, format) = (head.next()?, head.next()?);
    if format != FORMAT {
        return None;
    }
    let node = NodeId(u64::from_str_radix(head.next()?, 16).ok()?);
    let mut number = || head.next()?.parse().ok();
    Some(match kind {
        "beat" => NodeWord::Beat { node, version: number()?, digest: u64::from_str_radix(head.next()?, 16).ok()? },
        "bye" => NodeWord::Bye { node },
        "want" => NodeWord::Want { node },
        "news" => {
            let version = number()?;
            NodeWord::News { node, version, rooms: lines.map(changed).collect::<Option<_>>()? }
        }
        "rooms" => {
            let version = number()?;
            let mut bound = || match head.next()? {
                NO_NAME => Some(None),
                name => RoomName::parse(name).ok().map(Some),
            };
            let (after, until) = (bound()?, bound()?);
            let rooms = lines.map(|line| count(&mut line.split(' '))).collect::<Option<_>>()?;
            NodeWord::Rooms { node, version, after, until, rooms }
        }
        _ => return None,
    })
}

fn count<'a>(words: &mut impl Iterator<Item = &'a str>) -> Option<RoomCount> {
    let room = RoomName::parse(words.next()?).ok()?;
    let members = match words.next()? {
        GONE => None,
        members => Some(members.parse::<u32>().ok()?.min(MOST_MEMBERS)),
    };
    Some((room, members))
}

fn changed(line: &str) -> Option<(RoomCount, RoomNews)> {
    let mut words = line.split(' ');
    let count = count(&mut words)?;
    let mut number = || Some(words.next()?.parse::<u32>().ok()?.min(MOST_MEMBERS) as usize);
    let (joined, left, renamed) = (number()?, number()?, number()?);
    let name = |text: &str| UserName::parse_any(text).ok();
    let only = match words.next() {
        None => None,
        Some(only) => Some(match only.split_at_checked(1)? {
            ("+", joined) => Only::Joined(name(joined)?),
            ("-", left) => Only::Left(name(left)?),
            ("=", from) => Only::Renamed(name(from)?, name(words.next()?)?),
            _ => return None,
        }),
    };
    let is_one = joined + left + renamed == 1;
    Some((count, RoomNews { joined, left, renamed, only: only.filter(|_| is_one) }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;

    const NODE: NodeId = NodeId(0xab);

    fn room(text: &str) -> RoomName {
        RoomName::parse(text).expect("a name")
    }

    #[test]
    fn what_is_written_is_read() {
        assert_eq!(read(&beat(NODE, 7, 9)), Some(NodeWord::Beat { node: NODE, version: 7, digest: 9 }));
        assert_eq!(read(&bye(NODE)), Some(NodeWord::Bye { node: NODE }));
        assert_eq!(read(&want(NODE)), Some(NodeWord::Want { node: NODE }));
        let name = |text| UserName::parse_any(text).expect("a name");
        let only = |joined, left, renamed, only| RoomNews { joined, left, renamed, only: Some(only) };
        let told = vec![
            ((room("a"), Some(3)), RoomNews { joined: 4, left: 5, renamed: 6, only: None }),
            ((room("b"), None), RoomNews::default()),
            ((room("c"), Some(0)), only(1, 0, 0, Only::Joined(name("guest-7")))),
            ((room("d"), Some(0)), only(0, 1, 0, Only::Left(name("ann")))),
            ((room("-"), Some(0)), only(0, 0, 1, Only::Renamed(name("ann"), name("bob")))),
        ];
        let pieces = news(NODE, &mut 4, &told);
        assert_eq!(read(&pieces[0]), Some(NodeWord::News { node: NODE, version: 5, rooms: told }));
    }

    #[test]
    fn lists_come_in_pieces_that_leave_no_hole() {
        let all: Vec<_> = (0..5000).map(|number| (room(&format!("room-{number:05}")), number)).collect();
        let (mut behind, mut got) = (None, Vec::new());
        let pieces = rooms(NODE, 1, all.iter().cloned());
        for (place, piece) in pieces.iter().enumerate() {
            let Some(NodeWord::Rooms { after, until, rooms, .. }) = read(piece) else { panic!("a piece") };
            assert_eq!((after, until.is_none()), (behind, place + 1 == pieces.len()));
            behind = until;
            got.extend(rooms.into_iter().map(|(room, members)| (room, members.expect("members"))));
        }
        assert!(pieces.len() > 2 && got == all);
        assert_eq!(rooms(NODE, 1, std::iter::empty()).len(), 1, "that there are none is told too");
    }

    #[test]
    fn what_is_no_word_is_passed_over() {
        for text in [
            "",
            "beat",
            "beat 2 ab 1 2",
            "beat 1 xyz 1 2",
            "beat 1 ab -1 2",
            "what 1 ab",
            "news 1 ab 1\na",
            "news 1 ab 1\na 1 1 0 0 x",
            "news 1 ab 1\n~1 1 0 0 0",
            "rooms 1 ab 1 *\n",
        ] {
            assert_eq!(read(text.as_bytes()), None, "{text}");
        }
        let long = format!("news 1 ab 1\n{}", "a 1 0 0 0\n".repeat(WORD_BYTES / 10));
        assert_eq!(read(long.as_bytes()), None);
    }

    #[test]
    fn numbers_of_a_lying_node_are_bounded() {
        let Some(NodeWord::News { rooms, .. }) = read(b"news 1 ab 1\na 4294967295 4294967295 4294967295 4294967295")
        else {
            panic!("a word")
        };
        let ((_, members), news) = &rooms[0];
        assert_eq!((*members, news.count()), (Some(MOST_MEMBERS), 3 * MOST_MEMBERS as usize));
    }

    proptest! {
        #[test]
        fn no_text_does_harm(kind in "(beat|bye|news|rooms|want) 1 ab 1", behind in vec("[ a-c0-9*+=\n-]{0,9}", 0..20)) {
            let _ = read(format!("{kind}{}", behind.concat()).as_bytes());
        }
    }
}
