//! What goes to all members of a room, and its bytes in each encoding, made once and shared by all.
//!
//! A codec, and what it makes frames of, may be the user's code. It is called here alone, and a panic of it is one of the outcomes:
//! it ends the members that would have got it.

use super::presence::Change;
use crate::error::{Panicked, contained};
use crate::link::Envelope;
use crate::sync::Mutex;
use bytes::Bytes;
use std::sync::Arc;
use switchboard_proto::{Codec, Format, Message, Notice, Output};

/// Shorter pieces are copied into an output, and are never a user's.
const SHARED_BYTES: usize = 1024;

/// How a member is written to: its format, and its connection's codec.
#[derive(Clone, Copy)]
pub(crate) struct Encoding {
    pub(crate) format: Format,
    /// Behind a reference, since every member has an encoding.
    codec: &'static Functions,
}

struct Functions {
    encode: fn(Bytes, &mut Output),
    carries: fn(&[u8]) -> bool,
    text_end: &'static [u8],
}

impl Encoding {
    pub(crate) fn of<C>(format: Format, envelope: Envelope) -> Self
    where
        C: Codec,
        C::Frame: From<Bytes>,
    {
        fn encode<C>(payload: Bytes, output: &mut Output)
        where
            C: Codec,
            C::Frame: From<Bytes>,
        {
            C::default().encode(payload.into(), output);
        }
        fn encode_chunk<C>(payload: Bytes, output: &mut Output)
        where
            C: Codec,
            C::Frame: From<Bytes>,
        {
            Envelope::Chunks.put(output, |output| encode::<C>(payload, output));
        }
        let codec: &Functions = match envelope {
            Envelope::Bare => const { &Functions { encode: encode::<C>, carries: C::carries, text_end: C::TEXT_END } },
            Envelope::Chunks => {
                const { &Functions { encode: encode_chunk::<C>, carries: C::carries, text_end: C::TEXT_END } }
            }
        };
        Self { format, codec }
    }

    /// Whether two members get the same bytes. Functions that are merged or doubled by the compiler only cost a second
    /// encoding.
    pub(crate) fn is(self, other: Self) -> bool {
        let is_same = std::ptr::eq(self.codec, other.codec);
        self.format == other.format && (is_same || std::ptr::fn_addr_eq(self.codec.encode, other.codec.encode))
    }

    /// Whether the transport carries this payload as one frame.
    pub(crate) fn carries(self, payload: &[u8]) -> Result<bool, Panicked> {
        contained(|| (self.codec.carries)(payload))
    }

    /// A frame with this payload.
    pub(crate) fn frame(self, payload: Bytes) -> Result<Bytes, Panicked> {
        // A second reference has a price, and a shorter payload is in no piece that is shared.
        let own = (payload.len() >= SHARED_BYTES).then(|| payload.clone());
        contained(|| {
            let mut output = Output::default();
            (self.codec.encode)(payload, &mut output);
            let is_one_piece = output.front().len() == output.len();
            let frame = output.into_bytes();
            // It may be a value of the user's, whose end is the user's code as well, and comes anywhere.
            let is_foreign =
                is_one_piece && frame.len() >= SHARED_BYTES && !own.is_some_and(|own| is_within(&frame, &own));
            if is_foreign { Bytes::copy_from_slice(&frame) } else { frame }
        })
    }

    /// A message's frame. What the transport cannot carry as one is a gap to whoever can be told of it.
    pub(crate) fn message(self, message: &Message) -> Encoded {
        let payload = if self.format == Format::Raw {
            message.payload.clone()
        } else {
            let mut text = Vec::new();
            self.format.message(message, &mut text);
            text.extend_from_slice(self.text_end());
            Bytes::from(text)
        };
        match self.carries(&payload) {
            Ok(true) => Encoded::of(self.frame(payload)),
            Ok(false) => self.notice(&Notice::Gap { room: message.room.clone(), lost: 1, from_seq: message.id.seq }),
            Err(Panicked) => Encoded::Panicked,
        }
    }

    pub(crate) fn notice(self, notice: &Notice) -> Encoded {
        let payload = self.format.notice(notice);
        payload.map_or(Encoded::Silent, |payload| Encoded::of(self.frame(self.ended(payload))))
    }

    /// An answer's or a notice's payload as this encoding's members get it.
    pub(crate) fn ended(self, payload: Bytes) -> Bytes {
        if self.text_end().is_empty() { payload } else { [&payload, self.text_end()].concat().into() }
    }

    fn text_end(self) -> &'static [u8] {
        if self.format == Format::Text { self.codec.text_end } else { b"" }
    }
}

fn is_within(piece: &[u8], whole: &[u8]) -> bool {
    let (piece, whole) = (piece.as_ptr_range(), whole.as_ptr_range());
    whole.start <= piece.start && piece.end <= whole.end
}

/// A posting in one encoding.
#[derive(Clone)]
pub(crate) enum Encoded {
    Frame(Bytes),
    /// The format has no such notices, or the transport cannot carry this payload and the format cannot tell of it.
    Silent,
    /// The user's code panicked: whoever would get it ends.
    Panicked,
}

impl Encoded {
    fn of(frame: Result<Bytes, Panicked>) -> Self {
        frame.map_or(Self::Panicked, Self::Frame)
    }
}

/// A message or a notice on its way to every member.
pub(crate) struct Posting {
    pub(crate) news: News,
    /// The membership that does not get it: the publisher's own, unless it wants its copy.
    pub(crate) except: Option<MembershipId>,
    encoded: Mutex<Vec<(Encoding, Encoded)>>,
}

pub(crate) enum News {
    Message(Arc<Message>),
    /// Of who came, went or took another name, and how many members there are then.
    Notice(Notice, usize),
}

/// What a posting is to a member.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Kind {
    /// A message, of this number.
    Message(u64),
    /// A notice of a change among the members.
    Notice(Change),
}

/// Identifies a membership among all of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct MembershipId(pub(crate) u64);

impl Posting {
    pub(crate) fn new(news: News, except: Option<MembershipId>) -> Arc<Self> {
        Arc::new(Self { news, except, encoded: Mutex::default() })
    }

    /// The number in the room's order, of a message.
    pub(crate) fn seq(&self) -> Option<u64> {
        match &self.news {
            News::Message(message) => Some(message.id.seq),
            News::Notice(..) => None,
        }
    }

    /// What it is to a member.
    pub(crate) fn kind(&self) -> Kind {
        match &self.news {
            News::Message(message) => Kind::Message(message.id.seq),
            News::Notice(notice, members) => Kind::Notice(Change::of(notice, *members)),
        }
    }

    /// Bytes that it keeps alive, about.
    pub(crate) fn bytes(&self) -> usize {
        match &self.news {
            News::Message(message) => message.payload.len() + size_of::<Message>(),
            News::Notice(..) => size_of::<Notice>(),
        }
    }

    /// Its bytes in this encoding: encoded by the first worker that asks.
    pub(crate) fn encoded(&self, encoding: Encoding) -> Encoded {
        let mut all = self.encoded.lock();
        if let Some((_, encoded)) = all.iter().find(|(known, _)| known.is(encoding)) {
            return encoded.clone();
        }
        let encoded = match &self.news {
            News::Message(message) => encoding.message(message),
            News::Notice(notice, _) => encoding.notice(notice),
        };
        all.push((encoding, encoded.clone()));
        encoded
    }
}
