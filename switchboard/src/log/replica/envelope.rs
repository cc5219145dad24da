//! What nodes write into the log of a room that they share: the messages that one node publishes together, as one entry.
//!
//! An envelope says where in the room's order it belongs, and which envelope it follows, by that one's token: so two different logs cannot be
//! taken for one. Bytes in, values out; what an envelope means to a room is in `replica.rs`.
//!
//! All numbers are big-endian. A text is its length in one byte, then its bytes.
//!
//! ```text
//! format u8 = 1 · epoch u32 · first u64 · count u16 · token u64 · prev u64 · origin u64 · back u64 · room text
//! count × { membership u64 · time u64 (ms since 1970) · from text · user text · length u32 · payload }
//! ```

use bytes::{BufMut, Bytes, BytesMut};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use switchboard_proto::{Epoch, RoomName, UserName};

/// The format that is written. Nodes that are upgraded one by one write the lowest that all of them read.
pub const FORMAT: u8 = 1;

/// Messages in one envelope. What is published beyond it waits for the next one.
pub const ENVELOPE_ENTRIES: usize = 1_000;

/// Bytes of one envelope. What is published beyond it waits for the next one; what never fits is refused when it is published.
pub const ENVELOPE_BYTES: usize = 256 << 10;

/// What an envelope takes before its room's name, the length of that included.
const HEAD_BYTES: usize = 1 + 4 + 8 + 2 + 4 * 8 + 1;

/// What an entry takes beside its names and its payload.
const ENTRY_BYTES: usize = 8 + 8 + 1 + 1 + 4;

/// The longest name, and the longest head.
const NAME_BYTES: usize = 64;
const MOST_HEAD_BYTES: usize = HEAD_BYTES + NAME_BYTES;

/// The highest number that a message may have. No room comes so far; beyond it, counting on would come to an end.
const HIGHEST: u64 = 1 << 62;

/// The longest payload that fits into an envelope, whoever publishes it and wherever.
pub const ENVELOPE_PAYLOAD: usize = ENVELOPE_BYTES - MOST_HEAD_BYTES - ENTRY_BYTES - 2 * NAME_BYTES;

/// An envelope's name, drawn at random by whoever writes it. None is zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct EnvelopeToken(pub u64);

/// A node that writes envelopes: drawn at random at each start, so that nobody takes what an earlier run wrote for its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Incarnation(pub u64);

/// Where the log has an envelope: rises from one to the next of a room, with holes. 0 is before the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Position(pub u64);

/// Messages that one node published together, and where they belong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogEnvelope {
    /// The room, as it was first written.
    pub room: RoomName,
    /// The incarnation of the room that its numbers are of.
    pub epoch: Epoch,
    /// The number of its first message. Without messages, of the next one: such an envelope makes a room, or begins an epoch.
    pub first: u64,
    /// Its own name.
    pub token: EnvelopeToken,
    /// The token of the envelope before it, unless it begins an epoch that knows of none.
    pub prev: Option<EnvelopeToken>,
    /// The node that wrote it.
    pub origin: Incarnation,
    /// The oldest envelope that a history of the room needs; 0 if that is this one.
    pub back: Position,
    /// Its messages.
    pub entries: Vec<LogEntry>,
}

/// A message in an envelope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogEntry {
    /// The membership, on the node that wrote it, that does not get it; 0 if all do.
    pub membership: u64,
    /// When it was published, by that node's clock.
    pub time: SystemTime,
    /// Who published it, as [`Message::from`](switchboard_proto::Message::from).
    pub from: Option<UserName>,
    /// Its proven identity, as [`Message::user`](switchboard_proto::Message::user).
    pub user: Option<UserName>,
    /// What was published.
    pub payload: Bytes,
}

/// Why bytes are not an envelope, or a tail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EnvelopeError {
    /// Another version wrote it.
    #[error("it has format {format}, and this version reads format {FORMAT}")]
    Format {
        /// That one's.
        format: u8,
    },
    /// It ends too early, or goes on behind its end.
    #[error("its length is not that of what it holds")]
    Length,
    /// It has more messages than fit, or numbers that no room has.
    #[error("it holds what no envelope has")]
    Bounds,
    /// What stands for a name is none.
    #[error("it holds a name that is none")]
    Name,
    /// It stands in the log of a room that it does not name.
    #[error("it is of another room")]
    Elsewhere,
}

impl LogEntry {
    /// Bytes that it takes in an envelope.
    pub fn bytes(&self) -> usize {
        let name = |name: &Option<UserName>| name.as_ref().map_or(0, |name| name.as_str().len());
        ENTRY_BYTES + name(&self.from) + name(&self.user) + self.payload.len()
    }

    /// Whether an envelope can carry it at all.
    pub fn fits(&self) -> bool {
        MOST_HEAD_BYTES + self.bytes() <= ENVELOPE_BYTES
    }

    fn write(&self, to: &mut BytesMut) {
        to.put_u64(self.membership);
        to.put_u64(millis(self.time));
        for name in [&self.from, &self.user] {
            write_text(name.as_ref().map_or("", UserName::as_str), to);
        }
        to.put_u32(u32::try_from(self.payload.len()).unwrap_or(u32::MAX));
        to.put_slice(&self.payload);
    }

    fn read(from: &mut &[u8]) -> Result<Self, EnvelopeError> {
        let (membership, time) = (take_u64(from)?, take_u64(from)?);
        let time = UNIX_EPOCH.checked_add(Duration::from_millis(time)).ok_or(EnvelopeError::Bounds)?;
        let (name, user) = (user_name(from)?, user_name(from)?);
        let length = u32::from_be_bytes(take(from)?) as usize;
        let (payload, rest) = from.split_at_checked(length).ok_or(EnvelopeError::Length)?;
        *from = rest;
        // A copy: a history that keeps one message must not keep all of them.
        Ok(Self { membership, time, from: name, user, payload: Bytes::copy_from_slice(payload) })
    }
}

impl LogEnvelope {
    /// How many of `entries`, from the first, go into one envelope.
    pub fn capacity<'a>(entries: impl IntoIterator<Item = &'a LogEntry>) -> usize {
        let mut bytes = MOST_HEAD_BYTES;
        let fits = |entry: &&LogEntry| {
            bytes += entry.bytes();
            bytes <= ENVELOPE_BYTES
        };
        entries.into_iter().take(ENVELOPE_ENTRIES).take_while(fits).count()
    }

    /// The number of its last message; of the one before the first if it has none.
    pub fn last(&self) -> u64 {
        self.first + self.entries.len() as u64 - 1
    }

    /// Whether it makes a room, or begins an incarnation.
    pub fn begins_epoch(&self) -> bool {
        self.first == 1 && self.entries.is_empty()
    }

    /// Whether it says that all messages before it are forgotten: it has none itself, and its incarnation had some.
    pub fn purges(&self) -> bool {
        self.first > 1 && self.entries.is_empty()
    }

    /// Its bytes.
    pub fn encode(&self) -> Bytes {
        let length: usize = self.entries.iter().map(LogEntry::bytes).sum();
        let mut to = BytesMut::with_capacity(MOST_HEAD_BYTES + length);
        to.put_u8(FORMAT);
        to.put_u32(self.epoch.number());
        to.put_u64(self.first);
        to.put_u16(u16::try_from(self.entries.len()).unwrap_or(u16::MAX));
        to.put_u64(self.token.0);
        to.put_u64(self.prev.map_or(0, |prev| prev.0));
        to.put_u64(self.origin.0);
        to.put_u64(self.back.0);
        write_text(self.room.as_str(), &mut to);
        for entry in &self.entries {
            entry.write(&mut to);
        }
        to.freeze()
    }

    /// Reads one.
    ///
    /// # Errors
    /// The bytes are none of this format.
    pub fn parse(bytes: &[u8]) -> Result<Self, EnvelopeError> {
        let mut from = bytes;
        read_format(&mut from)?;
        if bytes.len() > ENVELOPE_BYTES {
            return Err(EnvelopeError::Length);
        }
        let epoch = Epoch::new(u32::from_be_bytes(take(&mut from)?));
        let first = take_u64(&mut from)?;
        let count = usize::from(u16::from_be_bytes(take(&mut from)?));
        let (token, prev) = (take_u64(&mut from)?, take_u64(&mut from)?);
        let (origin, back) = (take_u64(&mut from)?, take_u64(&mut from)?);
        let room = RoomName::parse(text(&mut from)?).map_err(|_| EnvelopeError::Name)?;
        if count > ENVELOPE_ENTRIES || first == 0 || first > HIGHEST - count as u64 || token == 0 {
            return Err(EnvelopeError::Bounds);
        }
        let entries = (0..count).map(|_| LogEntry::read(&mut from)).collect::<Result<Vec<_>, _>>()?;
        if !from.is_empty() {
            return Err(EnvelopeError::Length);
        }
        let (token, prev) = (EnvelopeToken(token), (prev != 0).then_some(EnvelopeToken(prev)));
        let (origin, back) = (Incarnation(origin), Position(back));
        Ok(Self { room, epoch, first, token, prev, origin, back, entries })
    }
}

/// The end of a room's log, as its last writer tells the others once a burst is over: whoever has less fetches the rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tail {
    /// Where its last envelope is.
    pub position: Position,
    /// The room's incarnation.
    pub epoch: Epoch,
    /// The number of its last message.
    pub last: u64,
    /// The last envelope's token.
    pub token: EnvelopeToken,
}

impl Tail {
    /// Its bytes: `format u8 = 1 · position u64 · epoch u32 · last u64 · token u64`.
    pub fn encode(&self) -> Bytes {
        let mut to = BytesMut::with_capacity(1 + 8 + 4 + 8 + 8);
        to.put_u8(FORMAT);
        to.put_u64(self.position.0);
        to.put_u32(self.epoch.number());
        to.put_u64(self.last);
        to.put_u64(self.token.0);
        to.freeze()
    }

    /// Reads one.
    ///
    /// # Errors
    /// The bytes are none of this format.
    pub fn parse(bytes: &[u8]) -> Result<Self, EnvelopeError> {
        let mut from = bytes;
        read_format(&mut from)?;
        let position = Position(take_u64(&mut from)?);
        let epoch = Epoch::new(u32::from_be_bytes(take(&mut from)?));
        let (last, token) = (take_u64(&mut from)?, EnvelopeToken(take_u64(&mut from)?));
        if from.is_empty() { Ok(Self { position, epoch, last, token }) } else { Err(EnvelopeError::Length) }
    }
}

fn read_format(from: &mut &[u8]) -> Result<(), EnvelopeError> {
    let [format] = take(from)?;
    if format == FORMAT { Ok(()) } else { Err(EnvelopeError::Format { format }) }
}

fn take<const N: usize>(from: &mut &[u8]) -> Result<[u8; N], EnvelopeError> {
    let (taken, rest) = from.split_first_chunk().ok_or(EnvelopeError::Length)?;
    *from = rest;
    Ok(*taken)
}

fn take_u64(from: &mut &[u8]) -> Result<u64, EnvelopeError> {
    take(from).map(u64::from_be_bytes)
}

fn text<'a>(from: &mut &'a [u8]) -> Result<&'a str, EnvelopeError> {
    let [length] = take(from)?;
    let (text, rest) = from.split_at_checked(usize::from(length)).ok_or(EnvelopeError::Length)?;
    *from = rest;
    std::str::from_utf8(text).map_err(|_| EnvelopeError::Name)
}

/// A name has no more than 64 bytes.
fn write_text(text: &str, to: &mut BytesMut) {
    to.put_u8(u8::try_from(text.len()).unwrap_or(u8::MAX));
    to.put_slice(text.as_bytes());
}

/// Nobody's is empty.
fn user_name(from: &mut &[u8]) -> Result<Option<UserName>, EnvelopeError> {
    match text(from)? {
        "" => Ok(None),
        name => UserName::parse_any(name).map(Some).map_err(|_| EnvelopeError::Name),
    }
}

/// What an envelope keeps of a time: a clock before 1970 is at its beginning.
fn millis(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;

    fn name() -> impl Strategy<Value = String> {
        "[A-Za-z0-9._-]{1,64}"
    }

    fn entry() -> impl Strategy<Value = LogEntry> {
        let user = || proptest::option::of(name().prop_map(|name| UserName::parse_any(&name).unwrap()));
        (any::<u64>(), 0..1_u64 << 42, user(), user(), vec(any::<u8>(), 0..80)).prop_map(
            |(membership, time, from, user, payload)| LogEntry {
                membership,
                time: UNIX_EPOCH + Duration::from_millis(time),
                from,
                user,
                payload: payload.into(),
            },
        )
    }

    prop_compose! {
        fn envelope()(
            room in name(), epoch: u32, first in 1..=HIGHEST - 20, token in 1..u64::MAX, prev: u64, origin: u64, back: u64,
            entries in vec(entry(), 0..20),
        ) -> LogEnvelope {
            LogEnvelope {
                room: RoomName::parse(&room).unwrap(),
                epoch: Epoch::new(epoch),
                first,
                token: EnvelopeToken(token),
                prev: (prev != 0).then_some(EnvelopeToken(prev)),
                origin: Incarnation(origin),
                back: Position(back),
                entries,
            }
        }
    }

    proptest! {
        #[test]
        fn what_was_written_is_read(envelope in envelope()) {
            prop_assert_eq!(LogEnvelope::parse(&envelope.encode()), Ok(envelope));
        }

        #[test]
        fn what_is_read_is_written_alike(bytes in vec(any::<u8>(), 0..400)) {
            let bytes = [&[FORMAT][..], &bytes].concat();
            if let Ok(envelope) = LogEnvelope::parse(&bytes) {
                prop_assert_eq!(&envelope.encode()[..], &bytes[..]);
            }
        }

        #[test]
        fn what_was_cut_or_changed_is_refused_or_read(envelope in envelope(), cut: prop::sample::Index, flip: u8) {
            let mut bytes = envelope.encode().to_vec();
            prop_assert_eq!(LogEnvelope::parse(&bytes[..cut.index(bytes.len())]).is_err(), true);
            let place = cut.index(bytes.len());
            bytes[place] ^= flip;
            if let Ok(read) = LogEnvelope::parse(&bytes) {
                prop_assert_eq!(read.encode().len(), bytes.len());
            }
        }

        #[test]
        fn a_tail_is_read_as_it_was_written(position: u64, epoch: u32, last: u64, token: u64) {
            let (position, epoch, token) = (Position(position), Epoch::new(epoch), EnvelopeToken(token));
            let tail = Tail { position, epoch, last, token };
            prop_assert_eq!(Tail::parse(&tail.encode()), Ok(tail));
            prop_assert_eq!(Tail::parse(&tail.encode()[1..]).is_err(), true);
        }
    }

    #[test]
    fn numbers_that_no_room_has_are_refused() {
        let of = |first: u64, count: u16| {
            let mut to = BytesMut::new();
            to.put_u8(FORMAT);
            to.put_u32(7);
            to.put_u64(first);
            to.put_u16(count);
            for number in [1, 2, 3, 0] {
                to.put_u64(number);
            }
            write_text("ops", &mut to);
            LogEnvelope::parse(&to).map(|envelope| envelope.last())
        };
        assert_eq!(of(HIGHEST, 0), Ok(HIGHEST - 1));
        for (first, count) in [(0, 0), (HIGHEST + 1, 0), (HIGHEST, 1), (u64::MAX, 0), (u64::MAX, u16::MAX)] {
            assert_eq!(of(first, count), Err(EnvelopeError::Bounds), "{first} {count}");
        }
    }

    #[test]
    fn another_format_is_told() {
        let error = LogEnvelope::parse(&[7, 1, 2, 3]).unwrap_err();
        assert_eq!(error, EnvelopeError::Format { format: 7 });
        assert_eq!(error.to_string(), "it has format 7, and this version reads format 1");
        assert_eq!(Tail::parse(&[2]), Err(EnvelopeError::Format { format: 2 }));
    }

    #[test]
    fn no_envelope_is_longer_than_it_may_be() {
        let time = UNIX_EPOCH;
        let of = |length| LogEntry { membership: 0, time, from: None, user: None, payload: vec![b'x'; length].into() };
        let long = vec![of(100_000); 5];
        assert_eq!((LogEnvelope::capacity(&long), LogEnvelope::capacity(&vec![of(1); 3000])), (2, ENVELOPE_ENTRIES));
        let most = ENVELOPE_BYTES - MOST_HEAD_BYTES - ENTRY_BYTES;
        assert_eq!((of(most).fits(), of(most + 1).fits()), (true, false));
        let name = UserName::parse_any(&"n".repeat(NAME_BYTES)).ok();
        let named = |length| LogEntry { from: name.clone(), user: name.clone(), ..of(length) };
        assert_eq!((named(ENVELOPE_PAYLOAD).fits(), named(ENVELOPE_PAYLOAD + 1).fits()), (true, false));
    }
}
