//! One TLS connection: its socket, and records in and out of it through the thread's buffers.
//!
//! Plaintext counts as written when its ciphertext has left, so that limits and deadlines see what a slow peer owes.

use super::hello;
use super::records::{INCOMPLETE_BYTES, Records, Side};
use crate::error::BoxError;
use crate::link::{OpenError, Sink, Source, TlsInfo};
use bytes::Bytes;
use nix::sys::socket::{MsgFlags, recv};
use parking_lot::Mutex;
use rustls::AlertDescription;
use socket2::SockRef;
use std::cell::Cell;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// One read takes at most this, as from any socket.
const RECEIVED_BYTES: usize = 64 << 10;

/// Plaintext of one write: two full records. Ciphertext that the socket does not take is a copy that the connection keeps.
const PLAIN_BYTES: usize = 32 << 10;

/// Its records: 5 bytes of header and up to 40 of nonce and tag each, and the update of a key between them.
const SEALED_BYTES: usize = PLAIN_BYTES + 1024;

thread_local! {
    /// Memory for one call; nothing is remembered between calls.
    static SCRATCH: Cell<Option<Box<Scratch>>> = const { Cell::new(None) };
}

struct Scratch {
    received: Box<[u8]>,
    plain: Vec<u8>,
    sealed: Box<[u8]>,
}

impl Default for Box<Scratch> {
    fn default() -> Self {
        Self::new(Scratch {
            received: vec![0; RECEIVED_BYTES].into(),
            plain: Vec::with_capacity(PLAIN_BYTES),
            sealed: vec![0; SEALED_BYTES].into(),
        })
    }
}

/// Calls with the thread's scratch memory. If that unwinds, the next call makes another.
fn with_scratch<T>(call: impl FnOnce(&mut Scratch) -> T) -> T {
    let mut scratch = SCRATCH.take().unwrap_or_default();
    let result = call(&mut scratch);
    SCRATCH.set(Some(scratch));
    result
}

pub(super) struct TlsSession<S> {
    stream: TcpStream,
    records: Records<S>,
    /// Plaintext that came together with the end of the handshake.
    early: Vec<u8>,
    /// The host that the client asked for.
    server_name: Option<Box<str>>,
    /// Plaintext bytes in `outgoing` that do not count as written yet: at least one, while any of their ciphertext is left.
    sealed: usize,
    progress: Progress,
    /// The socket has reported a reset by the peer. It does so only once: next it reports the end of the stream.
    is_reset: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Progress {
    /// Nothing has arrived yet.
    Silent,
    /// Records go both ways.
    Speaking,
    /// We have announced our end.
    Ending,
    /// That has left, and the write side is shut down.
    Ended,
    /// What arrived was not TLS, not as agreed, or too late. What is read is discarded, and only an alert is written.
    Failed,
}

/// What went wrong with a read.
enum Failure {
    Socket(io::Error),
    /// The peer refuses our identity. In TLS 1.3 a client hears of that once its own handshake is over.
    Refused(BoxError),
    Tls(BoxError),
}

impl<S: Side> TlsSession<S> {
    pub(super) fn new(stream: TcpStream, tls: S) -> Self {
        let records = Records::new(tls);
        let progress = Progress::Silent;
        Self { stream, records, early: Vec::new(), server_name: None, sealed: 0, progress, is_reset: false }
    }

    /// The side that speaks first, and has asked for `name`.
    pub(super) fn greeting(stream: TcpStream, tls: S, name: Option<Box<str>>) -> Self {
        let mut session = Self { server_name: name, ..Self::new(stream, tls) };
        // Nothing has arrived, so nothing can be wrong with it; what is left to send is the ClientHello.
        let _ = session.records.take(&mut [], &mut |_| {});
        session
    }

    /// The handshake. Answers go first: nothing is read from a peer that reads none of them.
    fn poll_open(&mut self, cx: &mut Context<'_>, scratch: &mut Scratch) -> Poll<Result<(), OpenError>> {
        loop {
            let answered = ready!(self.poll_outgoing(cx));
            if !self.records.is_handshaking() {
                // A peer that leaves before it has its tickets may have said something before that.
                self.is_reset = answered.is_err_and(|error| error.kind() == io::ErrorKind::ConnectionReset);
                return Poll::Ready(Ok(()));
            }
            if let Err(error) = answered {
                return Poll::Ready(Err(OpenError::Broken(error)));
            }
            let mut early = std::mem::take(&mut self.early);
            let received = self.receive(
                &mut scratch.received,
                &mut |plaintext| early.extend_from_slice(plaintext),
                |stream, buffer| poll_receive(stream, cx, buffer),
            );
            self.early = early;
            self.server_name = hello::noted().or(self.server_name.take());
            match ready!(received) {
                Ok(0) if self.progress == Progress::Silent => return Poll::Ready(Err(OpenError::Left)),
                Ok(0) => return Poll::Ready(Err(OpenError::Failed("the peer left during the handshake".into()))),
                Ok(_) => {}
                Err(Failure::Socket(error)) => return Poll::Ready(Err(OpenError::Broken(error))),
                Err(Failure::Refused(error) | Failure::Tls(error)) => {
                    return Poll::Ready(Err(OpenError::Failed(error)));
                }
            }
        }
    }

    /// Who the peer is, and what was agreed on.
    fn info(&self) -> TlsInfo {
        let state = self.records.state();
        let certificates = state.peer_certificates().unwrap_or_default();
        TlsInfo {
            peer_certificates: certificates.iter().map(|certificate| Bytes::copy_from_slice(certificate)).collect(),
            server_name: self.server_name.as_deref().map(str::to_owned),
            protocol: state.alpn_protocol().and_then(|protocol| String::from_utf8(protocol.to_vec()).ok()),
        }
    }

    /// Reads once, and passes on the plaintext in what arrived. Returns how many bytes arrived; none is the end.
    fn receive(
        &mut self,
        received: &mut [u8],
        plaintext: &mut dyn FnMut(&[u8]),
        read: impl FnOnce(&mut TcpStream, &mut [u8]) -> Poll<io::Result<usize>>,
    ) -> Poll<Result<usize, Failure>> {
        let resumed = self.records.resume(received);
        let count = ready!(read(&mut self.stream, &mut received[resumed..])).map_err(Failure::Socket)?;
        if count == 0 {
            return Poll::Ready(Ok(0));
        }
        if self.progress == Progress::Silent && !S::FIRST_BYTES.contains(&received[0]) {
            self.records.outgoing.extend_from_slice(S::NOT_TLS_ANSWER);
            self.progress = Progress::Failed;
            return Poll::Ready(Err(Failure::Tls(S::NOT_TLS.into())));
        }
        if self.progress == Progress::Silent {
            self.progress = Progress::Speaking;
        }
        if let Err(error) = self.records.take(&mut received[..resumed + count], plaintext) {
            self.progress = Progress::Failed;
            return Poll::Ready(Err(explained(error)));
        }
        Poll::Ready(Ok(count))
    }

    /// Reads until there is plaintext, or the end.
    fn poll_plaintext(
        &mut self,
        buffer: &mut ReadBuf<'_>,
        scratch: &mut Scratch,
        mut read: impl FnMut(&mut TcpStream, &mut [u8]) -> Poll<io::Result<usize>>,
    ) -> Poll<io::Result<()>> {
        if self.progress == Progress::Failed {
            let count = ready!(read(&mut self.stream, buffer.initialize_unfilled()))?;
            buffer.advance(count);
            return Poll::Ready(Ok(()));
        }
        if !self.early.is_empty() {
            buffer.put_slice(&std::mem::take(&mut self.early));
        }
        // Plaintext is shorter than its records.
        let limit = buffer.remaining().min(RECEIVED_BYTES);
        debug_assert!(!buffer.filled().is_empty() || limit > INCOMPLETE_BYTES, "what is incomplete goes in front");
        while buffer.filled().is_empty() && !self.records.is_peer_closed() {
            let received = &mut scratch.received[..limit];
            match ready!(self.receive(received, &mut |plaintext| buffer.put_slice(plaintext), &mut read)) {
                Ok(0) if self.is_reset => return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
                Ok(0) => return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into())),
                Ok(_) => {}
                Err(Failure::Socket(error)) => return Poll::Ready(Err(error)),
                Err(Failure::Refused(error)) => {
                    return Poll::Ready(Err(io::Error::new(io::ErrorKind::PermissionDenied, error)));
                }
                Err(Failure::Tls(error)) => {
                    return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, error)));
                }
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Sends what is kept; otherwise makes records of what there is and sends those, by `send`.
    fn write(
        &mut self,
        slices: &[IoSlice<'_>],
        scratch: &mut Scratch,
        mut send: impl FnMut(&mut TcpStream, &[u8]) -> Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        if self.progress != Progress::Speaking {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let counted = ready!(self.send_sealed(&mut send))?;
        if counted > 0 {
            return Poll::Ready(Ok(counted));
        }
        let plain = gathered(slices, &mut scratch.plain);
        let length = self.records.seal(plain, &mut scratch.sealed)?;
        let sent = match send(&mut self.stream, &scratch.sealed[..length]) {
            Poll::Ready(sent) => sent?,
            Poll::Pending => 0,
        };
        if sent == length {
            return Poll::Ready(Ok(plain.len()));
        }
        self.records.outgoing.extend_from_slice(&scratch.sealed[sent..length]);
        self.sealed = plain.len();
        match self.count(sent) {
            0 => self.send_sealed(&mut send),
            counted => Poll::Ready(Ok(counted)),
        }
    }

    /// Sends kept ciphertext, and returns how much plaintext counts as written by that; `None` if none is kept.
    fn send_sealed(
        &mut self,
        send: &mut impl FnMut(&mut TcpStream, &[u8]) -> Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        while !self.records.outgoing.is_empty() {
            let sent = ready!(send(&mut self.stream, &self.records.outgoing))?;
            if sent == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.records.outgoing.drain(..sent);
            let counted = self.count(sent);
            if self.records.outgoing.is_empty() {
                self.records.outgoing = Vec::new();
            }
            if counted > 0 {
                return Poll::Ready(Ok(counted));
            }
        }
        Poll::Ready(Ok(0))
    }

    /// Counts plaintext as written: in proportion to the ciphertext that was just sent, and the last byte with the last.
    fn count(&mut self, sent: usize) -> usize {
        let rest = self.records.outgoing.len();
        let counted = match rest {
            0 => self.sealed,
            _ => (self.sealed * sent / (sent + rest)).min(self.sealed.saturating_sub(1)),
        };
        self.sealed -= counted;
        counted
    }

    /// Sends all ciphertext that is kept.
    fn poll_outgoing(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.records.outgoing.is_empty() {
            ready!(self.send_sealed(&mut |stream, bytes| Pin::new(stream).poll_write(cx, bytes)))?;
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.progress == Progress::Ended {
            return Poll::Ready(Ok(()));
        }
        match self.progress {
            Progress::Silent | Progress::Speaking if self.records.is_handshaking() => self.progress = Progress::Failed,
            Progress::Speaking => {
                self.records.seal_end()?;
                self.progress = Progress::Ending;
            }
            _ => {}
        }
        ready!(self.poll_outgoing(cx))?;
        let result = ready!(Pin::new(&mut self.stream).poll_shutdown(cx));
        if self.progress == Progress::Ending {
            self.progress = Progress::Ended;
        }
        Poll::Ready(result)
    }
}

fn poll_receive(stream: &mut TcpStream, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
    let mut buffer = ReadBuf::new(buffer);
    ready!(Pin::new(stream).poll_read(cx, &mut buffer))?;
    Poll::Ready(Ok(buffer.filled().len()))
}

/// As much of `slices` as one write takes, in one piece.
fn gathered<'a>(slices: &'a [IoSlice<'_>], plain: &'a mut Vec<u8>) -> &'a [u8] {
    if let [slice] = slices {
        return &slice[..slice.len().min(PLAIN_BYTES)];
    }
    plain.clear();
    for slice in slices {
        let room = PLAIN_BYTES - plain.len();
        plain.extend_from_slice(&slice[..slice.len().min(room)]);
    }
    plain
}

/// What an error from rustls means to whoever reads the log.
fn explained(error: rustls::Error) -> Failure {
    use AlertDescription::{
        AccessDenied, BadCertificate, CertificateExpired, CertificateRequired, CertificateRevoked, CertificateUnknown,
        DecryptError, UnknownCA, UnsupportedCertificate,
    };
    let rustls::Error::AlertReceived(alert) = error else { return Failure::Tls(error.into()) };
    let explained = format!("the peer refused: {alert:?}").into();
    match alert {
        AccessDenied
        | BadCertificate
        | CertificateExpired
        | CertificateRequired
        | CertificateRevoked
        | CertificateUnknown
        | DecryptError
        | UnknownCA
        | UnsupportedCertificate => Failure::Refused(explained),
        _ => Failure::Tls(explained),
    }
}

/// The read side of a session.
pub(super) struct Reading<S>(pub(super) Arc<Mutex<TlsSession<S>>>);

/// The write side of a session.
pub(super) struct Writing<S>(pub(super) Arc<Mutex<TlsSession<S>>>);

impl<S: Side> Source for Reading<S> {
    fn poll_open(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), OpenError>> {
        with_scratch(|scratch| self.0.lock().poll_open(cx, scratch))
    }

    fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        with_scratch(|scratch| {
            self.0.lock().poll_plaintext(buffer, scratch, |stream, received| poll_receive(stream, cx, received))
        })
    }

    fn read_now(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut buffer = ReadBuf::new(buffer);
        let read = |stream: &mut TcpStream, received: &mut [u8]| {
            Poll::Ready(recv(stream.as_raw_fd(), received, MsgFlags::MSG_DONTWAIT).map_err(io::Error::from))
        };
        match with_scratch(|scratch| self.0.lock().poll_plaintext(&mut buffer, scratch, read)) {
            Poll::Ready(result) => result.map(|()| buffer.filled().len()),
            Poll::Pending => unreachable!("a read that does not wait"),
        }
    }

    fn socket_bytes(&self) -> usize {
        SockRef::from(&self.0.lock().stream).recv_buffer_size().unwrap_or(usize::MAX)
    }

    fn least_bytes(&self) -> usize {
        // What arrived with the handshake is handed over in one piece.
        if self.0.lock().early.is_empty() { INCOMPLETE_BYTES + 1 } else { RECEIVED_BYTES }
    }

    fn held_bytes(&self) -> usize {
        let session = self.0.lock();
        session.records.incomplete_bytes() + session.early.len()
    }
}

impl<S: Side> Sink for Writing<S> {
    fn try_write(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let send = |stream: &mut TcpStream, bytes: &[u8]| match stream.try_write(bytes) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Poll::Pending,
            sent => Poll::Ready(sent),
        };
        match with_scratch(|scratch| self.0.lock().write(slices, scratch, send)) {
            Poll::Ready(counted) => counted,
            Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
        }
    }

    /// Ciphertext cannot be taken back, unlike frames that wait after others.
    fn committed_bytes(&self) -> usize {
        self.0.lock().sealed
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let send = |stream: &mut TcpStream, bytes: &[u8]| Pin::new(stream).poll_write(cx, bytes);
        with_scratch(|scratch| self.0.lock().write(slices, scratch, send))
    }

    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.lock().poll_shutdown(cx)
    }

    /// Ciphertext: the plaintext is still queued, so that a slow peer is charged with both.
    fn held_bytes(&self) -> usize {
        self.0.lock().records.outgoing.len()
    }

    fn tls(&self) -> Option<TlsInfo> {
        Some(self.0.lock().info())
    }

    fn local_addr(&self) -> Option<SocketAddr> {
        self.0.lock().stream.local_addr().ok()
    }

    fn reset(&mut self) {
        // Best effort: if it fails the socket is closed the ordinary way.
        let _ = SockRef::from(&self.0.lock().stream).set_linger(Some(Duration::ZERO));
    }
}
