//! Who is written to alike: members of a hub's rooms share what writes for them, if their codecs, settings and encodings are the same.

use super::{ByCodec, Encoding, MemberEncoding, Own, Tells, Writer};
use crate::link::Envelope;
use bytes::Bytes;
use parking_lot::Mutex;
use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::marker::PhantomData;
use std::sync::{Arc, Weak};
use switchboard_proto::{Codec, Epoch, Format, Notice, RoomName};

/// Encodings of one type that are compared with a new one. Beyond that each has its own bytes.
const COMPARED: usize = 64;

/// Kinds of writers that are looked through for those that nobody has any more, at first.
const LOOKED_THROUGH: usize = 64;

/// What writes to the members of a hub's rooms: one for all that are written to alike.
#[derive(Default)]
pub(crate) struct Encodings(
    /// Not of `sync.rs`: nothing is waited for behind it.
    Mutex<Writers>,
);

#[derive(Default)]
struct Writers {
    /// By its type, which the codec's and the encoding's follow from, the codec's settings, and whether frames are chunks.
    all: HashMap<(TypeId, u64, bool), Vec<Weak<Writer>>>,
    /// How many there were when they were last looked through.
    left: usize,
}

impl Encodings {
    /// `encoding` in frames of `codec`, as others have it if they do.
    pub(crate) fn of<C: Codec, E: Encoding<C>>(&self, encoding: E, codec: &C, envelope: Envelope) -> MemberEncoding {
        let by = ByCodec { settings: codec.settings(), envelope, codec: PhantomData::<fn() -> C> };
        let key = (TypeId::of::<Own<C, E>>(), by.settings, envelope == Envelope::Chunks);
        let has_it = |writer: &Writer| {
            let frames: &dyn Any = &*writer.frames;
            frames.downcast_ref::<Own<C, E>>().is_some_and(|own| *own.encoding() == encoding)
        };
        // Compared without the lock, since that is the user's code.
        if let Some(writer) = self.known(key).into_iter().find(|writer| has_it(writer)) {
            return MemberEncoding { format: None, is_deaf: false, writer };
        }
        let Ok(room) = RoomName::parse("room") else { unreachable!("a name") };
        let gap = encoding.notice(&Notice::Gap { room: room.clone(), lost: 1, from_seq: 1 });
        let reset = encoding.notice(&Notice::Reset { room, epoch: Epoch::new(0) });
        let tells = Tells { gaps: gap.is_some(), resets: reset.is_some() };
        let writer = Arc::new(Writer { frames: Box::new(Own { encoding: Some(encoding), by }), tells });
        self.0.lock().add(key, &writer);
        MemberEncoding { format: None, is_deaf: false, writer }
    }

    /// `format` in frames of a codec with these settings.
    pub(crate) fn of_format<C>(&self, format: Format, settings: u64, envelope: Envelope) -> MemberEncoding
    where
        C: Codec,
        C::Frame: From<Bytes>,
    {
        let key = (TypeId::of::<ByCodec<C>>(), settings, envelope == Envelope::Chunks);
        let mut writers = self.0.lock();
        let known = writers.all.get(&key).and_then(|known| known.first()?.upgrade());
        let writer = known.unwrap_or_else(|| {
            let frames = Box::new(ByCodec { settings, envelope, codec: PhantomData::<fn() -> C> });
            let writer = Arc::new(Writer { frames, tells: Tells::default() });
            writers.all.remove(&key);
            writers.add(key, &writer);
            writer
        });
        MemberEncoding { format: Some(format), is_deaf: false, writer }
    }

    fn known(&self, key: (TypeId, u64, bool)) -> Vec<Arc<Writer>> {
        let writers = self.0.lock();
        let known = writers.all.get(&key).map_or(&[][..], |known| known);
        known.iter().rev().take(COMPARED).filter_map(Weak::upgrade).collect()
    }
}

impl Writers {
    fn add(&mut self, key: (TypeId, u64, bool), writer: &Arc<Writer>) {
        let known = self.all.entry(key).or_default();
        if known.len() >= COMPARED {
            known.retain(|known| known.strong_count() > 0);
            known.drain(..known.len().saturating_sub(COMPARED - 1));
        }
        known.push(Arc::downgrade(writer));
        // When they are twice as many as were left, so that each costs the same.
        if self.all.len() > 2 * self.left.max(LOOKED_THROUGH) {
            self.all.retain(|_, known| known.iter().any(|known| known.strong_count() > 0));
            self.left = self.all.len();
        }
    }
}
