//! A codec that panics wherever it is called, and what it makes.

use super::Dear;
use crate::harness::patience::{secs, until};
use crate::harness::served::{Served, echo};
use bytes::{Bytes, BytesMut};
use switchboard::prelude::*;
use switchboard::testing::Peer;
use switchboard::{Aside, FrameError, Memory, Output};

const DEFAULT: u8 = 0;
const DECODE: u8 = 1;
const DECODE_END: u8 = 2;
const ENCODE: u8 = 3;
const HELD_BYTES: u8 = 4;
const ASIDE: u8 = 5;
const FAREWELL: u8 = 6;
const DROP: u8 = 7;
const FRAME_DROP: u8 = 8;
const ENCODER: u8 = 9;

/// Lines, with a panic in one place.
struct Planted<const AT: u8>(Lines);

struct Word<const AT: u8>(Option<Line>);

fn reach<const AT: u8>(at: u8) {
    assert!(AT != at || std::thread::panicking(), "as planted");
}

impl<const AT: u8> Default for Planted<AT> {
    fn default() -> Self {
        reach::<AT>(DEFAULT);
        Self(Lines::default())
    }
}

impl<const AT: u8> Drop for Planted<AT> {
    fn drop(&mut self) {
        reach::<AT>(DROP);
    }
}

impl<const AT: u8> Drop for Word<AT> {
    fn drop(&mut self) {
        reach::<AT>(FRAME_DROP);
    }
}

impl<const AT: u8> Codec for Planted<AT> {
    type Frame = Word<AT>;

    fn decode(&mut self, input: &mut BytesMut, limit: usize) -> std::result::Result<Option<Word<AT>>, FrameError> {
        reach::<AT>(DECODE);
        Ok(self.0.decode(input, limit)?.map(|line| Word(Some(line))))
    }

    fn decode_end(&mut self, input: &mut BytesMut, limit: usize) -> std::result::Result<Option<Word<AT>>, FrameError> {
        reach::<AT>(DECODE_END);
        Ok(self.0.decode_end(input, limit)?.map(|line| Word(Some(line))))
    }

    fn aside(&mut self) -> Option<Aside> {
        reach::<AT>(ASIDE);
        None
    }

    fn farewell(&mut self, _: CloseReason, _: Option<u16>, _: &str) -> Option<Bytes> {
        reach::<AT>(FAREWELL);
        None
    }

    fn held_bytes(&self) -> usize {
        reach::<AT>(HELD_BYTES);
        0
    }

    fn encode(&mut self, mut word: Word<AT>, output: &mut Output) {
        reach::<AT>(ENCODE);
        self.0.encode(word.0.take().unwrap(), output);
    }

    fn encoder(&mut self) -> Self {
        reach::<AT>(ENCODER);
        Self(self.0.encoder())
    }
}

async fn repeat<const AT: u8>(mut conn: Connection<Planted<AT>>) -> Result {
    let _sender = conn.sender();
    while let Some(word) = conn.recv().await? {
        conn.send(word).await?;
    }
    Ok(())
}

/// Whether the plant is reached depends on what is said and done: it must be by one of these.
async fn it_ends_alone<const AT: u8>() {
    let (planted, plain) = (Memory::new(), Memory::new());
    let server = Server::new().memory(&planted, repeat::<AT>).memory(&plain, echo);
    let served = Served::over(&plain, server).await;
    let mut bystander = served.connect();
    for input in ["", "half", "whole\n", "whole\nhalf"] {
        let mut peer = Peer::connect(&planted);
        peer.send(input).await;
        tokio::time::sleep(secs(2)).await;
        peer.finish();
        peer.closed().await;
        until(|| served.handle.connections().len() == 1).await;
    }
    bystander.send("fine\n").await;
    assert_eq!(bystander.line().await, "fine\n");
    bystander.finish();
    let metrics = served.handle.metrics();
    // One that has no last word has said all the same what there was to say.
    assert_eq!(metrics.closed(CloseReason::HandlerPanic) > 0, AT != FAREWELL, "{AT}");
    let drained = served.stop().await;
    assert_eq!((drained.aborted, drained.elapsed < secs(3)), (0, true));
}

#[tokio::test(start_paused = true)]
async fn a_codec_that_panics_anywhere_ends_its_connection_alone() {
    it_ends_alone::<DEFAULT>().await;
    it_ends_alone::<DECODE>().await;
    it_ends_alone::<DECODE_END>().await;
    it_ends_alone::<ENCODE>().await;
    it_ends_alone::<HELD_BYTES>().await;
    it_ends_alone::<ASIDE>().await;
    it_ends_alone::<FAREWELL>().await;
    it_ends_alone::<DROP>().await;
    it_ends_alone::<FRAME_DROP>().await;
    it_ends_alone::<ENCODER>().await;
}

/// Frames that are values of the user's, and cannot be dropped.
#[derive(Default)]
struct Sharing(Lines);

impl Codec for Sharing {
    type Frame = Line;

    fn decode(&mut self, input: &mut BytesMut, limit: usize) -> std::result::Result<Option<Line>, FrameError> {
        self.0.decode(input, limit)
    }

    fn encode(&mut self, line: Line, output: &mut Output) {
        let text = [&Bytes::from(line)[..], b"\n"].concat();
        output.share(Bytes::from_owner(Dear(text)));
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_codec_makes_of_a_rooms_message_may_panic_when_it_is_dropped() {
    let (hub, sharing, plain) = (Hub::new(), Memory::new(), Memory::new());
    let room = hub.room("r").unwrap();
    let server =
        Server::new().memory(&sharing, super::member::<Sharing>(&room)).memory(&plain, super::member::<Lines>(&room));
    let served = Served::over(&plain, server).await;
    let (mut peer, mut victim) = (served.connect(), Peer::connect(&sharing));
    until(|| room.member_count() == 2).await;
    for length in [1, 1000, 5000] {
        room.publish("x".repeat(length));
        assert_eq!(peer.line().await.len(), length + 1);
    }
    victim.finish();
    victim.closed().await;
    until(|| served.handle.connections().len() == 1).await;
    room.publish("after");
    assert_eq!(peer.line().await, "after\n");
    peer.finish();
    assert_eq!(served.stop().await.aborted, 0);
}

/// Takes what comes before a zero, however long that is.
#[derive(Default)]
struct Endless;

impl Codec for Endless {
    type Frame = Bytes;

    fn decode(&mut self, input: &mut BytesMut, _: usize) -> std::result::Result<Option<Bytes>, FrameError> {
        let end = input.iter().position(|byte| *byte == 0);
        Ok(end.map(|end| input.split_to(end + 1).freeze()))
    }

    fn encode(&mut self, frame: Bytes, output: &mut Output) {
        output.share(frame);
    }
}

#[tokio::test(start_paused = true)]
async fn a_codec_that_looks_at_no_limit_is_held_to_one() {
    let served =
        Served::in_memory(Server::new().limits(Limits { frame_bytes: 1000, ..Limits::default() }), |server, memory| {
            server.memory(&memory, async |mut conn: Connection<Endless>| -> Result {
                while let Some(frame) = conn.recv().await? {
                    conn.send(frame).await?;
                }
                Ok(())
            })
        });
    let mut peer = served.connect();
    let within = [vec![b'x'; 3000], vec![0]].concat();
    for piece in within.chunks(1000) {
        peer.send(piece).await;
    }
    assert_eq!(peer.bytes(within.len()).await, within);
    for _ in 0..9 {
        peer.send(vec![b'x'; 1000]).await;
        tokio::time::sleep(secs(1)).await;
    }
    assert_eq!(peer.closed().await, CloseReason::FrameTooLong);
}
