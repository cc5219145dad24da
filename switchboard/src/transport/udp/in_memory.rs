//! Datagrams without a socket, for tests: peers send within the process, and are answered there. As on a network, what finds a
//! full queue is lost.

use super::batch::{Fate, answered, handled};
use super::framed::{self, FramedSlices, HEADER_BYTES};
use super::peers::met;
use super::{Datagram, DatagramReply, Gate, Validation};
use crate::link::{Sink, Source};
use crate::metrics::{DatagramCounts, DatagramFate};
use crate::sync::Mutex;
use crate::transport::memory::{End, Reader, Writer};
use bytes::Bytes;
use std::collections::HashMap;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use switchboard_proto::CloseReason;
use tokio::io::ReadBuf;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Datagrams that wait for a listener, and for a peer that it answers.
const QUEUE: usize = 1024;

/// Bytes that wait for one peer's connection to read them, as for a peer on a network.
const INBOX_BYTES: usize = 256 << 10;

/// An address in memory that takes datagrams.
#[derive(Clone)]
pub(crate) struct Network {
    strangers: mpsc::Sender<Arriving>,
    waiting: Arc<Mutex<Option<mpsc::Receiver<Arriving>>>>,
    /// Those whose datagrams go to their connections.
    peers: Arc<Mutex<HashMap<SocketAddr, Arc<Inbox>>>>,
}

/// A datagram on its way, and where answers to it go.
pub(crate) struct Arriving {
    payload: Bytes,
    source: SocketAddr,
    answers: mpsc::Sender<Bytes>,
}

/// Both halves of a connection.
pub(crate) type SourceAndSink = (Box<dyn Source>, Box<dyn Sink>);

impl Network {
    pub(crate) fn new() -> Self {
        let (strangers, waiting) = mpsc::channel(QUEUE);
        Self { strangers, waiting: Arc::new(Mutex::new(Some(waiting))), peers: Arc::default() }
    }

    /// A peer at `address`.
    pub(crate) fn socket(&self, address: SocketAddr) -> Socket {
        let (answers, received) = mpsc::channel(QUEUE);
        Socket { network: self.clone(), address, answers, received }
    }

    /// What is waiting for the listener, which takes it once.
    pub(crate) fn bind(&self) -> io::Result<mpsc::Receiver<Arriving>> {
        self.waiting.lock().take().ok_or_else(|| io::ErrorKind::AddrInUse.into())
    }

    /// Puts a datagram into its sender's inbox, if it is a peer's.
    fn deliver(&self, payload: &[u8], source: SocketAddr) -> bool {
        let mut peers = self.peers.lock();
        let Some(inbox) = peers.get(&source) else { return false };
        let is_open = inbox.put(payload);
        if !is_open {
            peers.remove(&source);
        }
        is_open
    }

    fn enter(&self, Arriving { payload, source, answers }: &Arriving) -> SourceAndSink {
        let (mut there, here) = End::pair(INBOX_BYTES);
        let framing = Arc::new(AtomicUsize::new(0));
        // Answers do not go back by it.
        there.reader = End::pair(0).0.reader;
        let inbox = Arc::new(Inbox { writer: Mutex::new(there.writer), framing: Arc::clone(&framing) });
        inbox.put(payload);
        self.peers.lock().insert(*source, Arc::clone(&inbox));
        let reading = Reading { reader: here.reader, framing };
        (Box::new(reading), Box::new(Writing { answers: answers.clone(), inbox, framing_bytes: 0 }))
    }
}

/// What comes next until the `drain`, and then what is still waiting.
async fn next(waiting: &mut mpsc::Receiver<Arriving>, drain: &CancellationToken) -> Option<Arriving> {
    let before = drain.run_until_cancelled(waiting.recv()).await;
    before.unwrap_or_else(|| waiting.try_recv().ok())
}

/// Answers what comes until the `drain`, and what is waiting then.
pub(crate) async fn answer<H>(
    mut waiting: mpsc::Receiver<Arriving>,
    gate: Arc<Gate>,
    handler: Arc<H>,
    counts: DatagramCounts,
    drain: CancellationToken,
) where
    H: Fn(Datagram<'_>, &mut DatagramReply<'_>),
{
    while let Some(arriving) = next(&mut waiting, &drain).await {
        reply_to(&arriving, &counts, |datagram, reply| answered(&gate, &*handler, datagram, reply));
        tokio::task::coop::consume_budget().await;
    }
}

/// Passes on datagrams from strangers until the `drain`, and those that are waiting then; `open` makes a connection of one, if there is
/// room for it, and returns whether it did.
pub(crate) async fn receive<S, O>(
    network: Network,
    mut waiting: mpsc::Receiver<Arriving>,
    gate: Arc<Gate>,
    strangers: Arc<S>,
    counts: DatagramCounts,
    open: O,
    drain: CancellationToken,
) where
    S: Fn(Datagram<'_>, &mut DatagramReply<'_>) -> Validation,
    O: Fn(SocketAddr, &dyn Fn() -> SourceAndSink) -> bool,
{
    while let Some(arriving) = next(&mut waiting, &drain).await {
        // Its sender may have become a peer since.
        if !network.deliver(&arriving.payload, arriving.source) {
            let enter = || network.enter(&arriving);
            reply_to(&arriving, &counts, |datagram, reply| {
                met(&gate, &*strangers, datagram, reply, || open(arriving.source, &enter))
            });
        }
        tokio::task::yield_now().await;
    }
}

fn reply_to(
    Arriving { payload, source, answers }: &Arriving,
    counts: &DatagramCounts,
    handler: impl FnOnce(Datagram<'_>, &mut DatagramReply<'_>) -> Fate,
) {
    counts.add(DatagramFate::In, 1);
    let mut batch = Vec::new();
    let mut reply = DatagramReply::behind(&mut batch);
    let fate = handled(Datagram { payload, source: *source }, &mut reply, counts, handler);
    if fate == Fate::Taken && reply.wanted {
        let is_sent = !reply.is_too_long() && answers.try_send(batch.into()).is_ok();
        if is_sent { counts.add(DatagramFate::Out, 1) } else { counts.add(DatagramFate::Lost, 1) }
    }
}

/// A peer that sends datagrams to a listener.
pub(crate) struct Socket {
    network: Network,
    pub(crate) address: SocketAddr,
    answers: mpsc::Sender<Bytes>,
    received: mpsc::Receiver<Bytes>,
}

impl Socket {
    pub(crate) fn send(&self, payload: Bytes) {
        if !self.network.deliver(&payload, self.address) {
            let arriving = Arriving { payload, source: self.address, answers: self.answers.clone() };
            // As on a network: they are lost if nobody takes them.
            let _ = self.network.strangers.try_send(arriving);
        }
    }

    pub(crate) async fn recv(&mut self) -> Bytes {
        let Some(payload) = self.received.recv().await else { unreachable!("it can send to itself") };
        payload
    }
}

/// What a peer has sent and its connection has not read.
struct Inbox {
    writer: Mutex<Writer>,
    /// See [`Source::framing_bytes`].
    framing: Arc<AtomicUsize>,
}

impl Inbox {
    /// Queues one datagram, unless there are too many, or its connection is gone.
    fn put(&self, payload: &[u8]) -> bool {
        let mut writer = self.writer.lock();
        if writer.held_bytes() + HEADER_BYTES + payload.len() > INBOX_BYTES {
            return true;
        }
        let header = framed::header(payload.len());
        let is_open = writer.try_write(&[IoSlice::new(&header), IoSlice::new(payload)]).is_ok();
        // Relaxed: it is read after what was written.
        self.framing.fetch_add(HEADER_BYTES, Ordering::Relaxed);
        is_open
    }
}

/// The source of a peer's connection. Once it is dropped, the peer is a stranger again.
struct Reading {
    reader: Reader,
    framing: Arc<AtomicUsize>,
}

impl Source for Reading {
    fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.reader.poll_read(cx, buffer)
    }

    fn read_now(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.reader.read_now(buffer)
    }

    fn framing_bytes(&mut self, count: usize) -> usize {
        // Relaxed: only the count matters.
        let framing = self.framing.load(Ordering::Relaxed).min(count);
        self.framing.fetch_sub(framing, Ordering::Relaxed);
        framing
    }
}

/// The sink of a peer's connection.
struct Writing {
    answers: mpsc::Sender<Bytes>,
    inbox: Arc<Inbox>,
    /// See [`Sink::framing_bytes`].
    framing_bytes: usize,
}

impl Sink for Writing {
    fn try_write(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let (mut frames, mut taken) = (FramedSlices::new(slices), 0);
        loop {
            let mut payload = Vec::new();
            let Some(length) = frames.next(&mut payload) else { return Ok(taken) };
            // As on a network: a peer that does not read loses what finds a full queue.
            let _ = self.answers.try_send(payload.into());
            taken += HEADER_BYTES + length;
            self.framing_bytes += HEADER_BYTES;
        }
    }

    fn poll_write(&mut self, _: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        Poll::Ready(self.try_write(slices))
    }

    fn poll_shutdown(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn last_frame(&mut self, frame: &[u8]) {
        // A whole frame, or none.
        let _ = self.try_write(&[IoSlice::new(frame)]);
    }

    fn framing_bytes(&mut self) -> usize {
        std::mem::take(&mut self.framing_bytes)
    }

    /// No end comes from a network, so the connection's own is the input's.
    fn reason(&mut self, _: CloseReason) {
        let mut noop = Context::from_waker(std::task::Waker::noop());
        // A pipe shuts down at once.
        let _ = self.inbox.writer.lock().poll_shutdown(&mut noop);
    }

    /// What has left cannot be called back, and the peer is not told.
    fn reset(&mut self) {}
}
