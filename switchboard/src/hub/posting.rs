//! What goes to all members of a room, and its bytes in each encoding, made once and shared by all.

use super::encoding::MemberEncoding;
use super::presence::Change;
use crate::error::Panicked;
use crate::sync::Mutex;
use bytes::Bytes;
use std::sync::Arc;
use switchboard_proto::{Message, Notice};

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
    pub(super) fn of(frame: Result<Option<Bytes>, Panicked>) -> Self {
        frame.map_or(Self::Panicked, |frame| frame.map_or(Self::Silent, Self::Frame))
    }
}

/// A message or a notice on its way to every member.
pub(crate) struct Posting {
    pub(crate) news: News,
    /// The membership that does not get it: the publisher's own, unless it wants its copy.
    pub(crate) except: Option<MembershipId>,
    encoded: Mutex<Vec<(MemberEncoding, Encoded)>>,
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

impl Kind {
    #[inline]
    pub(crate) fn is_message(self) -> bool {
        matches!(self, Self::Message(_))
    }
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
    pub(crate) fn encoded(&self, encoding: &MemberEncoding) -> Encoded {
        if encoding.is_deaf() && matches!(self.news, News::Notice(..)) {
            return Encoded::Silent;
        }
        let mut all = self.encoded.lock();
        if let Some((_, encoded)) = all.iter().find(|(known, _)| known.is_alike(encoding)) {
            return encoded.clone();
        }
        let encoded = match &self.news {
            News::Message(message) => encoding.message(message),
            News::Notice(notice, _) => encoding.notice(notice),
        };
        all.push((encoding.clone(), encoded.clone()));
        encoded
    }
}
