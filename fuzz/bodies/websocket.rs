//! WebSocket: a client's stream in any pieces gives the messages, answers and end that its frames mean, and what a client
//! writes a server reads.

use crate::stream::Arrival;
use bytes::{Bytes, BytesMut};
use switchboard_proto::{
    Aside, Codec, FrameError, Output, WebSocket, WebSocketBatch, WebSocketClient, WebSocketKind, WebSocketMessage,
};

/// Empty fragments in one message; one more is an error.
const EMPTY_FRAGMENTS: usize = 1024;

/// What a stream comes to, in order.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Message(WebSocketKind, Vec<u8>),
    Answer(Vec<u8>),
    Finished(u16),
}

/// Panics if the codecs break their contract on `data`, an [`Arrival`].
pub(crate) fn run(data: &[u8]) {
    let Some(arrival) = Arrival::parse(data) else { return };
    let found = read::<WebSocket>(arrival.pieces.iter().copied(), arrival.frame_bytes);
    assert_eq!(found, meant(arrival.stream, arrival.frame_bytes), "{arrival:?}");
    let together = read::<Batches>(arrival.pieces.iter().copied(), arrival.frame_bytes);
    assert_eq!(together, found, "in batches: {arrival:?}");

    let messages = || found.0.iter().filter(|outcome| matches!(outcome, Outcome::Message(..)));
    let from_client = write::<WebSocketClient>(messages());
    let from_server = write::<WebSocket>(messages());
    let sizes: Vec<_> = arrival.pieces.iter().map(|piece| piece.len()).collect();
    let at_server = read::<WebSocket>(cut(&from_client, &sizes), arrival.frame_bytes);
    let at_client = read::<WebSocketClient>(cut(&from_server, &sizes), arrival.frame_bytes);
    assert_eq!((at_server.0.iter().collect(), at_server.1), (messages().collect::<Vec<_>>(), None), "{arrival:?}");
    // A server says that it finishes, and this one has not.
    let cut_off = Some(FrameError::Unannounced);
    assert_eq!((at_client.0.iter().collect(), at_client.1), (messages().collect::<Vec<_>>(), cut_off), "{arrival:?}");
}

/// Messages as they come together, and as they are answered together.
#[derive(Default)]
pub(crate) struct Batches(WebSocket);

impl Codec for Batches {
    type Frame = WebSocketBatch;

    fn decode(&mut self, input: &mut BytesMut, frame_bytes: usize) -> Result<Option<WebSocketBatch>, FrameError> {
        self.0.decode_batch(input, frame_bytes)
    }

    fn decode_end(&mut self, input: &mut BytesMut, frame_bytes: usize) -> Result<Option<WebSocketBatch>, FrameError> {
        Ok(self.0.decode_end(input, frame_bytes)?.map(WebSocketBatch::from))
    }

    fn encode(&mut self, messages: WebSocketBatch, output: &mut Output) {
        self.0.encode_batch(None, messages, output);
    }

    fn aside(&mut self) -> Option<Aside> {
        self.0.aside()
    }

    fn held_bytes(&self) -> usize {
        self.0.held_bytes()
    }
}

/// One or more messages.
pub(crate) trait Messages {
    fn outcomes(&self) -> Vec<Outcome>;
}

impl Messages for WebSocketMessage {
    fn outcomes(&self) -> Vec<Outcome> {
        vec![Outcome::Message(self.kind(), self.to_vec())]
    }
}

impl Messages for WebSocketBatch {
    fn outcomes(&self) -> Vec<Outcome> {
        let all: Vec<_> = self.iter().map(|(kind, payload)| Outcome::Message(kind, payload.to_vec())).collect();
        assert!((1..=64).contains(&all.len()) && all.len() == self.len(), "{self:?}");
        // They are sent as each of them is.
        let mut output = Output::default();
        Batches::default().encode(self.clone(), &mut output);
        assert_eq!(output.into_bytes(), write::<WebSocket>(all.iter()));
        all
    }
}

/// Everything a codec makes of `pieces`, up to their end or the first error.
pub(crate) fn read<'a, C: Codec<Frame: Messages>>(
    pieces: impl IntoIterator<Item = &'a [u8]>,
    frame_bytes: usize,
) -> (Vec<Outcome>, Option<FrameError>) {
    let mut outcomes = Vec::new();
    let error = read_into::<C>(&mut outcomes, pieces, frame_bytes).err();
    (outcomes, error)
}

fn read_into<'a, C: Codec<Frame: Messages>>(
    outcomes: &mut Vec<Outcome>,
    pieces: impl IntoIterator<Item = &'a [u8]>,
    frame_bytes: usize,
) -> Result<(), FrameError> {
    let mut codec = C::default();
    let mut input = BytesMut::new();
    for piece in pieces {
        input.extend_from_slice(piece);
        loop {
            let frame = codec.decode(&mut input, frame_bytes)?;
            match (frame, codec.aside()) {
                (Some(messages), None) => outcomes.extend(messages.outcomes()),
                (None, Some(Aside::Answer(answer))) => outcomes.push(Outcome::Answer(answer.to_vec())),
                (None, Some(Aside::Finished { code })) => outcomes.push(Outcome::Finished(code)),
                (None, None) => break,
                (_, both) => panic!("a frame came with something beside it: {both:?}"),
            }
        }
        assert!(codec.held_bytes() <= frame_bytes, "more is held than a message may have");
    }
    assert!(codec.decode_end(&mut input, frame_bytes)?.is_none(), "a message needs no end of input");
    assert!(input.is_empty(), "bytes were left behind without an error");
    Ok(())
}

fn write<'a, C>(messages: impl Iterator<Item = &'a Outcome>) -> Vec<u8>
where
    C: Codec<Frame = WebSocketMessage>,
{
    let mut codec = C::default();
    let mut output = Output::default();
    for message in messages {
        let message = match message {
            Outcome::Message(WebSocketKind::Text, text) => Bytes::from(text.clone()).into(),
            Outcome::Message(WebSocketKind::Binary, bytes) => WebSocketMessage::binary(bytes.clone()),
            _ => continue,
        };
        codec.encode(message, &mut output);
    }
    output.into_bytes().to_vec()
}

/// `stream` in pieces of `sizes`, taken over and over again.
fn cut<'a>(mut stream: &'a [u8], sizes: &[usize]) -> Vec<&'a [u8]> {
    let mut pieces = Vec::new();
    let mut sizes = sizes.iter().cycle();
    while !stream.is_empty() {
        let (piece, rest) = stream.split_at(stream.len().min(*sizes.next().unwrap_or(&1)));
        pieces.push(piece);
        stream = rest;
    }
    pieces
}

/// What a client's stream means, frame by frame as RFC 6455 §5 has them. It sees the whole stream at once.
fn meant(mut stream: &[u8], frame_bytes: usize) -> (Vec<Outcome>, Option<FrameError>) {
    let mut outcomes = Vec::new();
    let mut begun = None;
    while !stream.is_empty() {
        match frame(&mut stream, frame_bytes, &mut begun) {
            Ok(None) => {}
            Ok(Some(outcome)) => {
                let is_end = matches!(outcome, Outcome::Finished(_));
                outcomes.push(outcome);
                if is_end {
                    return (outcomes, None);
                }
            }
            Err(error) => return (outcomes, Some(error)),
        }
    }
    (outcomes, begun.map(|_| FrameError::Truncated))
}

/// A message's kind, its payload until now, and how many of its fragments were empty.
type Begun = Option<(WebSocketKind, Vec<u8>, usize)>;

fn frame(stream: &mut &[u8], frame_bytes: usize, begun: &mut Begun) -> Result<Option<Outcome>, FrameError> {
    let [first, second, ..] = **stream else { return Err(FrameError::Truncated) };
    let (is_last, opcode, length) = (first >> 7 == 1, first & 15, second & 127);
    if first & 0x70 != 0 {
        return Err(FrameError::Malformed("reserved bit is set"));
    }
    if !matches!(opcode, 0..=2 | 8..=10) {
        return Err(FrameError::Malformed("reserved opcode"));
    }
    if second >> 7 == 0 {
        return Err(FrameError::Malformed("masked by the wrong side"));
    }
    if opcode >= 8 && (!is_last || length > 125) {
        return Err(FrameError::Malformed("control frame in fragments, or of more than 125 bytes"));
    }
    let wide = match length {
        126 => 2,
        127 => 8,
        _ => 0,
    };
    let length_bytes = stream.get(2..2 + wide).ok_or(FrameError::Truncated)?;
    let long = length_bytes.iter().fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte));
    let length = if wide == 0 { length.into() } else { long };
    if length >> 63 == 1 {
        return Err(FrameError::Malformed("length with its top bit set"));
    }
    if (wide == 2 && length < 126) || (wide == 8 && length < 65_536) {
        return Err(FrameError::Malformed("length in more bytes than it needs"));
    }
    let key: [u8; 4] =
        stream.get(2 + wide..6 + wide).and_then(|key| key.try_into().ok()).ok_or(FrameError::Truncated)?;
    let rest = &stream[6 + wide..];
    let here = usize::try_from(length).unwrap_or(usize::MAX).min(rest.len());
    let is_whole = here as u64 == length;
    let unmasked = rest[..here].iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key).collect::<Vec<_>>();
    *stream = &rest[here..];
    if opcode >= 8 {
        return if is_whole { control(opcode, &unmasked) } else { Err(FrameError::Truncated) };
    }
    let (kind, mut payload, empty) = match (opcode, begun.take()) {
        (0, None) => return Err(FrameError::Malformed("continuation of nothing")),
        (0, Some(begun)) => begun,
        (_, Some(_)) => return Err(FrameError::Malformed("message inside another")),
        (1, None) => (WebSocketKind::Text, Vec::new(), 0),
        _ => (WebSocketKind::Binary, Vec::new(), 0),
    };
    if payload.len() as u64 + length > frame_bytes as u64 {
        return Err(FrameError::TooLong { limit: frame_bytes });
    }
    payload.extend(unmasked);
    let cut = kind == WebSocketKind::Text
        && match std::str::from_utf8(&payload) {
            Ok(_) => false,
            Err(error) if error.error_len().is_some() => return Err(FrameError::NotUtf8),
            Err(_) => true,
        };
    if !is_whole {
        return Err(FrameError::Truncated);
    }
    let empty = empty + usize::from(length == 0);
    if empty > EMPTY_FRAGMENTS {
        return Err(FrameError::Malformed("too many empty fragments"));
    }
    if !is_last {
        *begun = Some((kind, payload, empty));
        return Ok(None);
    }
    if cut { Err(FrameError::NotUtf8) } else { Ok(Some(Outcome::Message(kind, payload))) }
}

fn control(opcode: u8, payload: &[u8]) -> Result<Option<Outcome>, FrameError> {
    match opcode {
        9 => Ok(Some(Outcome::Answer([&[0x8a, payload.len() as u8], payload].concat()))),
        10 => Ok(None),
        _ => match payload {
            [] => Ok(Some(Outcome::Finished(1005))),
            [_] => Err(FrameError::Malformed("half a close code")),
            [high, low, text @ ..] => {
                let code = u16::from_be_bytes([*high, *low]);
                let known = (1000..1004).contains(&code) || (1007..1015).contains(&code);
                if !known && !(3000..5000).contains(&code) {
                    return Err(FrameError::Malformed("bad close code"));
                }
                std::str::from_utf8(text).map_err(|_| FrameError::NotUtf8)?;
                Ok(Some(Outcome::Finished(code)))
            }
        },
    }
}
