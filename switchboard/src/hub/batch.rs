//! Postings that stand behind each other, joined for members of one encoding: who gets all of it gets it in one write.

use super::encoding::MemberEncoding;
use super::posting::{Encoded, Except, Kind, MembershipId, Posting};
use super::waiting::Frame;
use bytes::Bytes;
use std::sync::Arc;

/// Bytes of a batch: what a socket takes at once, and all that one partial write can leave undivided.
const BATCH_BYTES: usize = 64 << 10;

/// Postings in one encoding, as one piece of memory.
pub(super) struct Batch {
    pub(super) encoding: MemberEncoding,
    pub(super) bytes: Bytes,
    pub(super) frames: Vec<Frame>,
    /// How many of those are messages.
    pub(super) messages: u64,
    /// The same frames one by one: what waits for a slow member keeps no more than itself alive.
    pieces: Vec<Bytes>,
    /// How many postings it covers, those without a frame included.
    pub(super) postings: usize,
    /// Whose own messages are in it.
    excepted: Vec<MembershipId>,
    /// Something in it is for no group that relays nothing.
    is_split: bool,
    /// What is behind it could not be encoded, and ends those who would get it.
    pub(super) panicked: Option<Arc<Posting>>,
    /// The numbers of messages that have no frame, and who would not get them.
    pub(super) unsaid: Vec<(u64, Except)>,
}

impl Batch {
    /// Joins as many of `postings` as fit, at least one.
    pub(super) fn new<'a>(encoding: MemberEncoding, postings: impl Iterator<Item = &'a Arc<Posting>>) -> Self {
        let (bytes, frames, pieces, (excepted, is_split), (panicked, unsaid)) = Default::default();
        let mut batch =
            Self { encoding, bytes, frames, messages: 0, pieces, postings: 0, excepted, is_split, panicked, unsaid };
        let mut length = 0;
        for posting in postings {
            match posting.encoded(&batch.encoding) {
                Encoded::Frame(piece) => {
                    if !batch.pieces.is_empty() && length + piece.len() > BATCH_BYTES {
                        break;
                    }
                    let frame = Frame {
                        start: length,
                        end: length + piece.len(),
                        kind: posting.kind(),
                        except: posting.except,
                    };
                    length = frame.end;
                    batch.messages += u64::from(frame.kind.is_message());
                    batch.frames.push(frame);
                    batch.pieces.push(piece);
                }
                Encoded::Panicked => {
                    batch.postings += 1;
                    batch.panicked = Some(Arc::clone(posting));
                    break;
                }
                Encoded::Silent => batch.unsaid.extend(posting.seq().map(|seq| (seq, posting.except))),
            }
            batch.postings += 1;
            match posting.except {
                Except::Nobody => {}
                Except::Member(own) => batch.excepted.push(own),
                Except::Groups(own) => {
                    batch.excepted.push(own);
                    batch.is_split = true;
                }
            }
        }
        batch.excepted.sort_unstable();
        batch.excepted.dedup();
        batch.bytes = if let [piece] = &batch.pieces[..] { piece.clone() } else { batch.pieces.concat().into() };
        batch
    }

    /// What it took to make, as a turn counts it.
    pub(super) fn work(&self) -> usize {
        self.bytes.len() + self.postings * size_of::<Posting>()
    }

    /// Whether `member` gets all of it.
    pub(super) fn is_whole_for(&self, member: MembershipId) -> bool {
        self.excepted.binary_search(&member).is_err() && !(self.is_split && member.is_split())
    }

    /// What a member gets of it, from byte `written` on, as single frames.
    pub(super) fn frames_for(&self, member: MembershipId, written: usize) -> impl Iterator<Item = (Kind, Bytes)> {
        let frames = self.frames.iter().zip(&self.pieces);
        frames
            .filter(move |(frame, _)| !frame.except.holds(member) && frame.start >= written)
            .map(|(frame, piece)| (frame.kind, piece.clone()))
    }
}
