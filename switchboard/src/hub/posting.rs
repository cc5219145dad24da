//! What goes to all members of a room, and its bytes in each encoding, made once and shared by all.

use super::encoding::MemberEncoding;
use super::presence::Change;
use crate::error::Panicked;
use crate::link::{Horizon, Link};
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
    /// Who does not get it.
    pub(crate) except: Except,
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

/// Identifies a membership among all of a process. Its lowest bit says whether it is one that hears no other group, so that a delivery
/// need look nowhere else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct MembershipId(pub(crate) u64);

impl MembershipId {
    /// Numbers begin with 1.
    pub(crate) const NOBODYS: Self = Self(0);

    /// The `number`th.
    pub(crate) fn new(number: u64, horizon: Horizon) -> Self {
        Self(number << 1 | u64::from(horizon == Horizon::Split))
    }

    #[inline]
    pub(crate) fn is_split(self) -> bool {
        self.0 & 1 == 1
    }
}

/// Which memberships a posting does not go to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Except {
    #[default]
    Nobody,
    /// The publisher's own, unless it wants its copy.
    Member(MembershipId),
    /// What came from a group of hosts: its own, and those of all groups that relay nothing.
    Groups(MembershipId),
}

impl Except {
    /// Of what a member publishes.
    #[inline]
    pub(super) fn of(id: MembershipId, link: &Link, echo: bool) -> Self {
        match link.listener.horizon {
            Horizon::None if echo => Self::Nobody,
            Horizon::None => Self::Member(id),
            // A group has heard it.
            Horizon::Split | Horizon::Relay => Self::Groups(id),
        }
    }

    /// Of what somebody publishes who need not be a member.
    pub(super) fn without_membership(link: Option<&Arc<Link>>) -> Self {
        let is_group = link.is_some_and(|link| link.listener.horizon != Horizon::None);
        if is_group { Self::Groups(MembershipId::NOBODYS) } else { Self::Nobody }
    }

    #[inline]
    pub(crate) fn holds(self, member: MembershipId) -> bool {
        match self {
            Self::Nobody => false,
            Self::Member(own) => own == member,
            Self::Groups(own) => own == member || member.is_split(),
        }
    }

    /// The publisher's own, if that is left out.
    #[inline]
    pub(crate) fn own(self) -> Option<MembershipId> {
        match self {
            Self::Nobody => None,
            Self::Member(own) | Self::Groups(own) => Some(own),
        }
    }

    /// Whether groups are left out.
    #[inline]
    pub(crate) fn is_for_no_group(self) -> bool {
        matches!(self, Self::Groups(_))
    }
}

impl Posting {
    pub(crate) fn new(news: News, except: Except) -> Arc<Self> {
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
