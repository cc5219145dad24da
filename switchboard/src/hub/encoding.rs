//! How what a room says is written for a member, in frames of the member's codec.
//!
//! Encodings and codecs may be user code. They are called only here, and a panic in one is one of the outcomes: it ends
//! the members that would have got the frame. Members with the same encoding share a writer, and so the bytes.

mod events;
mod sharing;

pub use events::PlainEvents;
pub(crate) use sharing::Encodings;

use super::posting::Encoded;
use crate::error::{Panicked, contained};
use crate::link::Envelope;
use bytes::Bytes;
use std::any::Any;
use std::marker::PhantomData;
use std::sync::{Arc, LazyLock};
use switchboard_proto::{Codec, Datagrams, Format, Message, Notice, Output, Reply, Rights, UserName};

/// Shorter pieces are copied into an output, and are never a user's.
const SHARED_BYTES: usize = 1024;

/// How what a room says is written, in frames of the codec `C`.
///
/// [`Format`] is an encoding for every codec whose frames are made of bytes. An encoding of your own delivers rooms to
/// peers of any protocol. It is called once per message, however many members have an equal one, and not from their
/// handlers. It should be quick, since their worker waits for it. A panic in it ends only the members that would have
/// got the frame ([`HandlerPanic`](crate::CloseReason)).
///
/// # Examples
/// Messages as MQTT-like pushes, with a length prefix:
/// ```
/// use switchboard::bytes::{BufMut, Bytes, BytesMut};
/// use switchboard::grammar::{Message, Notice};
/// use switchboard::prelude::*;
/// use switchboard::{Encoding, Join, Overflow};
///
/// #[derive(PartialEq)]
/// struct Push;
///
/// impl Encoding<Length> for Push {
///     fn message(&self, message: &Message) -> Option<Bytes> {
///         let mut frame = BytesMut::from(&b"M"[..]);
///         frame.put_u64(message.id.seq);
///         frame.put_slice(&message.payload);
///         Some(frame.freeze())
///     }
///
///     fn notice(&self, notice: &Notice) -> Option<Bytes> {
///         let Notice::Gap { lost, .. } = notice else { return None };
///         Some(Bytes::copy_from_slice(&[b"G", &lost.to_be_bytes()[..]].concat()))
///     }
/// }
///
/// async fn follow(mut conn: Connection<Length>, prices: Room) -> Result {
///     let join = Join { overflow: Some(Overflow::Latest), ..Join::default() };
///     let _seat = conn.join_as(&prices, Push, join)?;
///     while conn.recv().await?.is_some() {}
///     Ok(())
/// }
/// ```
pub trait Encoding<C: Codec>: PartialEq + Send + Sync + 'static {
    /// A message's frame; `None` if the protocol cannot carry it, which counts as a gap of one.
    fn message(&self, message: &Message) -> Option<C::Frame>;

    /// A notice's frame; `None` if members are not told of this kind, which is the default.
    ///
    /// If there is a frame for [`Notice::Gap`], messages may be dropped for a slow member. If not, a slow member is
    /// disconnected, whatever its [`Overflow`](crate::Overflow) except `Conflate`. If there is none for
    /// [`Notice::Reset`], a member cannot resume in a room that has started over
    /// ([`JoinError::Gone`](crate::JoinError)).
    fn notice(&self, notice: &Notice) -> Option<C::Frame> {
        let _ = notice;
        None
    }

    /// The frame of a private message ([`Session::tell`](crate::Session::tell)); `None` if members cannot get any,
    /// which is the default.
    fn direct(&self, from: &UserName, text: &Bytes) -> Option<C::Frame> {
        let _ = (from, text);
        None
    }
}

impl<C> Encoding<C> for Format
where
    C: Codec,
    C::Frame: From<Bytes>,
{
    fn message(&self, message: &Message) -> Option<C::Frame> {
        let payload = self.payload::<C>(message);
        C::carries(&payload).then(|| payload.into())
    }

    fn notice(&self, notice: &Notice) -> Option<C::Frame> {
        Format::notice(*self, notice).map(|payload| ended::<C>(*self, payload).into())
    }

    fn direct(&self, from: &UserName, text: &Bytes) -> Option<C::Frame> {
        let payload = self.reply(&Reply::Direct { from: from.clone(), text: text.clone() }).pop()?;
        let payload = ended::<C>(*self, payload);
        C::carries(&payload).then(|| payload.into())
    }
}

/// A message's payload in a format, as `C` carries it.
trait Payload {
    fn payload<C: Codec>(self, message: &Message) -> Bytes;
}

impl Payload for Format {
    fn payload<C: Codec>(self, message: &Message) -> Bytes {
        if self == Self::Raw {
            return message.payload.clone();
        }
        let mut text = Vec::new();
        self.message(message, &mut text);
        text.extend_from_slice(text_end::<C>(self));
        text.into()
    }
}

/// An answer's or a notice's payload as members get it.
fn ended<C: Codec>(format: Format, payload: Bytes) -> Bytes {
    let end = text_end::<C>(format);
    if end.is_empty() { payload } else { [&payload, end].concat().into() }
}

fn text_end<C: Codec>(format: Format) -> &'static [u8] {
    if format == Format::Text { C::TEXT_END } else { b"" }
}

/// What of a room a member is told, and what writes it in frames of the member's codec.
#[derive(Clone)]
pub(crate) struct MemberEncoding {
    /// None is an encoding of the user's own.
    format: Option<Format>,
    /// It is not told who comes and goes.
    is_deaf: bool,
    /// Thin, since every member has one.
    writer: Arc<Writer>,
}

/// What writes for all members whose codec and its settings are the same, in a format of each one's own or in one encoding.
struct Writer {
    frames: Box<dyn Frames>,
    /// What an encoding that is no format has words for.
    tells: Tells,
}

/// What a member can be told of beside messages: what its encoding has words for.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Tells {
    /// That it lost messages.
    pub(crate) gaps: bool,
    /// That its room has started over.
    pub(crate) resets: bool,
}

trait Frames: Any + Send + Sync {
    fn message(&self, format: Option<Format>, message: &Message) -> Option<Bytes>;
    fn notice(&self, format: Option<Format>, notice: &Notice) -> Option<Bytes>;
    fn direct(&self, format: Option<Format>, from: &UserName, text: &Bytes) -> Option<Bytes>;
    /// Whether the transport carries this payload as one frame, in raw.
    fn carries(&self, payload: &[u8]) -> bool;
}

impl MemberEncoding {
    /// Of one to whom nothing is delivered. All have the same, since every request that publishes has one.
    pub(super) fn unlinked(format: Format) -> Self {
        static NOWHERE: LazyLock<Arc<Writer>> = LazyLock::new(|| {
            let by = ByCodec { settings: 0, envelope: Envelope::Bare, codec: PhantomData::<fn() -> Datagrams> };
            Arc::new(Writer { frames: Box::new(by), tells: Tells::default() })
        });
        Self { format: Some(format), is_deaf: false, writer: Arc::clone(&NOWHERE) }
    }

    /// Whether both get the same.
    pub(crate) fn is(&self, other: &Self) -> bool {
        self.is_alike(other) && self.is_deaf == other.is_deaf
    }

    /// Whether both are written to alike, whatever they are told of.
    pub(super) fn is_alike(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.writer, &other.writer) && self.format == other.format
    }

    /// Whether it is told who comes and goes.
    pub(super) fn is_deaf(&self) -> bool {
        self.is_deaf
    }

    /// Is told who comes and goes if that is among its `rights`.
    pub(super) fn hear(&mut self, rights: Rights) {
        self.is_deaf = !rights.contains(Rights::PRESENCE);
    }

    /// The format; that of payloads alone stands for an encoding of the user's own.
    pub(crate) fn format(&self) -> Format {
        self.format.unwrap_or(Format::Raw)
    }

    /// Goes over to another format, if it is one that it has now.
    pub(crate) fn set_format(&mut self, format: Format) {
        self.format = self.format.map(|_| format);
    }

    pub(crate) fn tells(&self) -> Tells {
        self.format.map_or(self.writer.tells, |format| {
            let has_words = format != Format::Raw;
            Tells { gaps: has_words, resets: has_words }
        })
    }

    /// Whether the transport carries this payload as one frame; of an encoding of the user's own that is not known before.
    pub(crate) fn carries(&self, payload: &[u8]) -> Result<bool, Panicked> {
        contained(|| self.format.is_none() || self.writer.frames.carries(payload))
    }

    /// A message's frame. What the transport cannot carry as one is a gap to whoever can be told of it.
    pub(crate) fn message(&self, message: &Message) -> Encoded {
        match contained(|| self.writer.frames.message(self.format, message)) {
            Ok(Some(frame)) => Encoded::Frame(frame),
            Ok(None) => self.notice(&Notice::Gap { room: message.room.clone(), lost: 1, from_seq: message.id.seq }),
            Err(Panicked) => Encoded::Panicked,
        }
    }

    pub(crate) fn notice(&self, notice: &Notice) -> Encoded {
        Encoded::of(contained(|| self.writer.frames.notice(self.format, notice)))
    }

    /// The frame of what `from` sends to this one alone.
    pub(crate) fn direct(&self, from: &UserName, text: &Bytes) -> Encoded {
        Encoded::of(contained(|| self.writer.frames.direct(self.format, from, text)))
    }
}

/// Encodes by a codec with these settings.
struct ByCodec<C> {
    settings: u64,
    envelope: Envelope,
    codec: PhantomData<fn() -> C>,
}

impl<C: Codec> ByCodec<C> {
    fn frame(&self, frame: C::Frame, shared: Option<&Bytes>) -> Bytes {
        let mut output = Output::default();
        self.envelope.put(&mut output, |output| C::with_settings(self.settings).encode(frame, output));
        let is_one_piece = output.front().len() == output.len();
        let frame = output.into_bytes();
        // It may be a value of the user's, whose end is the user's code as well, and comes anywhere.
        let is_foreign =
            is_one_piece && frame.len() >= SHARED_BYTES && !shared.is_some_and(|shared| is_within(&frame, shared));
        if is_foreign { Bytes::copy_from_slice(&frame) } else { frame }
    }
}

impl<C> ByCodec<C>
where
    C: Codec,
    C::Frame: From<Bytes>,
{
    fn payload(&self, payload: Bytes) -> Bytes {
        // A second reference has a price, and a shorter payload is in no piece that is shared.
        let shared = (payload.len() >= SHARED_BYTES).then(|| payload.clone());
        self.frame(payload.into(), shared.as_ref())
    }
}

fn is_within(piece: &[u8], whole: &[u8]) -> bool {
    let (piece, whole) = (piece.as_ptr_range(), whole.as_ptr_range());
    whole.start <= piece.start && piece.end <= whole.end
}

/// The formats, by a codec.
impl<C> Frames for ByCodec<C>
where
    C: Codec,
    C::Frame: From<Bytes>,
{
    fn message(&self, format: Option<Format>, message: &Message) -> Option<Bytes> {
        let payload = format?.payload::<C>(message);
        C::carries(&payload).then(|| self.payload(payload))
    }

    fn notice(&self, format: Option<Format>, notice: &Notice) -> Option<Bytes> {
        let format = format?;
        Some(self.payload(ended::<C>(format, format.notice(notice)?)))
    }

    fn direct(&self, format: Option<Format>, from: &UserName, text: &Bytes) -> Option<Bytes> {
        Encoding::<C>::direct(&format?, from, text).map(|frame| self.frame(frame, Some(text)))
    }

    fn carries(&self, payload: &[u8]) -> bool {
        C::carries(payload)
    }
}

/// An encoding of the user's own, by a codec.
struct Own<C, E> {
    /// There until it is dropped.
    encoding: Option<E>,
    by: ByCodec<C>,
}

impl<C, E> Own<C, E> {
    fn encoding(&self) -> &E {
        let Some(encoding) = &self.encoding else { unreachable!("it is there until it is dropped") };
        encoding
    }
}

impl<C, E> Drop for Own<C, E> {
    /// By a worker's tick perhaps, which serves others.
    fn drop(&mut self) {
        let encoding = self.encoding.take();
        // It was told by the panic's hook.
        let _ = contained(|| drop(encoding));
    }
}

impl<C: Codec, E: Encoding<C>> Frames for Own<C, E> {
    fn message(&self, _: Option<Format>, message: &Message) -> Option<Bytes> {
        self.encoding().message(message).map(|frame| self.by.frame(frame, Some(&message.payload)))
    }

    fn notice(&self, _: Option<Format>, notice: &Notice) -> Option<Bytes> {
        self.encoding().notice(notice).map(|frame| self.by.frame(frame, None))
    }

    fn direct(&self, _: Option<Format>, from: &UserName, text: &Bytes) -> Option<Bytes> {
        self.encoding().direct(from, text).map(|frame| self.by.frame(frame, Some(text)))
    }

    fn carries(&self, _: &[u8]) -> bool {
        true
    }
}
