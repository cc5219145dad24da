//! Connections within the process: for tests, and for programs that talk to themselves.
//!
//! A pipe behaves like a socket: it is bounded, can be half-closed, and can be reset.

use super::{Stream, StreamListener, StreamTransport};
use crate::error::contained;
use crate::link::{PeerAddr, Sink, Source};
use crate::sync::Mutex;
use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use switchboard_proto::CloseReason;
use tokio::io::ReadBuf;
use tokio::sync::mpsc;

/// Unread bytes in one direction of a connection, as many as a socket's buffers hold.
const PIPE_BYTES: usize = 64 << 10;

/// Connections that are made but not accepted yet.
const BACKLOG: usize = 65_535;

/// An address in memory: [`testing::Peer::connect`](crate::testing::Peer::connect) connects. Clones are the same address.
#[derive(Clone)]
pub struct Memory {
    connect: mpsc::Sender<Arriving>,
    accept: Arc<Mutex<Option<mpsc::Receiver<Arriving>>>>,
}

/// A connection that is not accepted yet, and where it comes from.
type Arriving = (End, PeerAddr);

impl Memory {
    /// A new address, different from all others.
    pub fn new() -> Self {
        let (connect, accept) = mpsc::channel(BACKLOG);
        Self { connect, accept: Arc::new(Mutex::new(Some(accept))) }
    }

    /// Connects. A server that listens here, or will, accepts it; one that has ended resets it.
    pub(crate) fn connect(&self) -> End {
        self.connect_from(PeerAddr::Memory)
    }

    /// The same, as if from `address`.
    pub(crate) fn connect_from(&self, address: PeerAddr) -> End {
        let (here, there) = End::pair(PIPE_BYTES);
        if let Err(refused) = self.connect.try_send((there, address)) {
            refused.into_inner().0.reset();
        }
        here
    }
}

impl Default for Memory {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Debug for Memory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Memory")
    }
}

impl StreamTransport for Memory {
    type Listener = mpsc::Receiver<Arriving>;

    fn url(&self) -> String {
        "memory".to_owned()
    }

    fn memory(&self) -> Option<Memory> {
        Some(self.clone())
    }

    async fn bind(self) -> io::Result<Self::Listener> {
        self.accept.lock().take().ok_or_else(|| io::ErrorKind::AddrInUse.into())
    }
}

impl StreamListener for mpsc::Receiver<Arriving> {
    type Stream = End;

    const TRANSPORT: &'static str = "memory";

    fn url(&self) -> String {
        "memory".to_owned()
    }

    fn is_local(&self) -> bool {
        true
    }

    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<(End, PeerAddr)>> {
        match ready!(self.poll_recv(cx)) {
            Some(arriving) => Poll::Ready(Ok(arriving)),
            // Nobody can connect any more.
            None => Poll::Pending,
        }
    }

    fn accept_now(&mut self) -> io::Result<(End, PeerAddr)> {
        self.try_recv().map_err(|_| io::ErrorKind::WouldBlock.into())
    }
}

impl Stream for End {
    type Detached = Self;

    fn detach(self) -> io::Result<Self> {
        Ok(self)
    }

    fn attach(detached: Self) -> io::Result<Self> {
        Ok(detached)
    }

    fn poll_take(&mut self, cx: &mut Context<'_>, look: &mut dyn FnMut(&[u8]) -> usize) -> Poll<io::Result<usize>> {
        self.reader.poll_take(cx, look)
    }

    fn split(self) -> (Box<dyn Source>, Box<dyn Sink>) {
        let Self { reader, writer } = self;
        (Box::new(reader), Box::new(writer))
    }
}

/// One end of a connection.
pub(crate) struct End {
    pub(crate) reader: Reader,
    pub(crate) writer: Writer,
}

impl End {
    pub(crate) fn pair(capacity: usize) -> (Self, Self) {
        let (here, there) = (Pipe::new(capacity), Pipe::new(capacity));
        let end = |from: &Arc<Pipe>, to: &Arc<Pipe>| Self {
            reader: Reader(Arc::clone(from)),
            writer: Writer(Arc::clone(to)),
        };
        (end(&here, &there), end(&there, &here))
    }

    /// Breaks both directions: what is in them is lost.
    pub(crate) fn reset(&mut self) {
        self.reader.0.reset();
        self.writer.0.reset();
    }
}

/// The receiving side of a pipe. Dropped, it breaks the pipe for the sender.
pub(crate) struct Reader(Arc<Pipe>);

/// The sending side of a pipe. Dropped, it ends the input of the receiver.
pub(crate) struct Writer(Arc<Pipe>);

struct Pipe(Mutex<PipeState>);

#[derive(Default)]
struct PipeState {
    bytes: VecDeque<u8>,
    capacity: usize,
    ended: bool,
    broken: bool,
    /// The writer is gone, and so is its connection.
    left: bool,
    reason: Option<CloseReason>,
    reader: Option<Waker>,
    writer: Option<Waker>,
    watcher: Option<Waker>,
}

impl PipeState {
    fn wake(&mut self) {
        for waker in [self.reader.take(), self.writer.take(), self.watcher.take()].into_iter().flatten() {
            let _ = contained(|| waker.wake());
        }
    }
}

impl Pipe {
    fn new(capacity: usize) -> Arc<Self> {
        Arc::new(Self(Mutex::new(PipeState { capacity, ..PipeState::default() })))
    }

    fn reset(&self) {
        let mut state = self.0.lock();
        state.bytes.clear();
        state.broken = true;
        state.wake();
    }
}

impl Reader {
    fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut state = self.0.0.lock();
        if state.bytes.is_empty() {
            return match (state.broken, state.ended) {
                (true, _) => Err(io::ErrorKind::ConnectionReset.into()),
                (_, true) => Ok(0),
                _ => Err(io::ErrorKind::WouldBlock.into()),
            };
        }
        let count = io::Read::read(&mut state.bytes, buffer)?;
        if state.bytes.is_empty() {
            // Idle, it owns no memory.
            state.bytes = VecDeque::new();
        }
        if let Some(waker) = state.writer.take() {
            let _ = contained(|| waker.wake());
        }
        Ok(count)
    }

    /// Shows what has come, and takes of it what `look` says.
    fn poll_take(&self, cx: &Context<'_>, look: &mut dyn FnMut(&[u8]) -> usize) -> Poll<io::Result<usize>> {
        let mut state = self.0.0.lock();
        match (state.bytes.is_empty(), state.broken, state.ended) {
            (false, ..) => {}
            (true, true, _) => return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
            (true, false, true) => return Poll::Ready(Ok(0)),
            (true, false, false) => {
                state.reader = Some(cx.waker().clone());
                return Poll::Pending;
            }
        }
        let bytes = state.bytes.make_contiguous();
        let (shown, taken) = (bytes.len(), look(bytes));
        state.bytes.drain(..taken);
        if let Some(waker) = state.writer.take() {
            let _ = contained(|| waker.wake());
        }
        Poll::Ready(Ok(shown))
    }

    /// Why the writer is about to go, or has gone, if it said so.
    pub(crate) fn reason(&self) -> Option<CloseReason> {
        self.0.0.lock().reason
    }

    /// Waits until the writer is gone, and says what reason it gave.
    pub(crate) fn poll_left(&self, cx: &Context<'_>) -> Poll<Option<CloseReason>> {
        let mut state = self.0.0.lock();
        if state.left || state.broken {
            return Poll::Ready(state.reason);
        }
        state.watcher = Some(cx.waker().clone());
        Poll::Pending
    }
}

impl Source for Reader {
    fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let budget = ready!(tokio::task::coop::poll_proceed(cx));
        let spare = buffer.initialize_unfilled();
        match self.read(spare) {
            Ok(count) => {
                budget.made_progress();
                buffer.advance(count);
                Poll::Ready(Ok(()))
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.0.0.lock().reader = Some(cx.waker().clone());
                // Bytes that arrived between the look and setting the waker.
                let state = self.0.0.lock();
                let ready = !state.bytes.is_empty() || state.ended || state.broken;
                drop(state);
                if ready { self.poll_read(cx, buffer) } else { Poll::Pending }
            }
            Err(error) => Poll::Ready(Err(error)),
        }
    }

    fn read_now(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.read(buffer)
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let mut state = self.0.0.lock();
        state.broken = state.broken || !state.left;
        state.bytes.clear();
        state.wake();
    }
}

impl Sink for Writer {
    fn try_write(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut state = self.0.0.lock();
        if state.broken || state.ended {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let mut written = 0;
        for slice in slices {
            let room = (state.capacity - state.bytes.len()).min(slice.len());
            state.bytes.extend(&slice[..room]);
            written += room;
        }
        if written == 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        if let Some(waker) = state.reader.take() {
            let _ = contained(|| waker.wake());
        }
        Ok(written)
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        self.0.0.lock().writer = Some(cx.waker().clone());
        match self.try_write(slices) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Poll::Pending,
            result => Poll::Ready(result),
        }
    }

    fn poll_shutdown(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut state = self.0.0.lock();
        state.ended = true;
        state.wake();
        Poll::Ready(Ok(()))
    }

    fn reason(&mut self, reason: CloseReason) {
        self.0.0.lock().reason = Some(reason);
    }

    fn held_bytes(&self) -> usize {
        self.0.0.lock().bytes.len()
    }

    fn reset(&mut self) {
        self.0.reset();
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        let mut state = self.0.0.lock();
        (state.ended, state.left) = (true, true);
        state.wake();
    }
}
