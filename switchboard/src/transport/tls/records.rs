//! What rustls makes of bytes: records to plaintext and back. Knows no socket.

use rustls::CommonState;
use rustls::client::{ClientConnectionData, UnbufferedClientConnection};
use rustls::server::{ServerConnectionData, UnbufferedServerConnection};
use rustls::unbuffered::{ConnectionState, EncodeError, EncodeTlsData, EncryptError, UnbufferedStatus, WriteTraffic};
use std::io;

/// Bytes of incomplete records: the longest TLS 1.2 record has 18,437 (RFC 5246 §6.2.3), and a `ClientHello` is far shorter.
/// Bounds what a peer costs that never finishes one.
pub(super) const INCOMPLETE_BYTES: usize = 24 << 10;

/// What a peer can make us queue before it reads: alerts, and the handshake, which is as long as our certificates.
const ANSWER_BYTES: usize = 256 << 10;

const ALERT_RECORD: u8 = 21;
const HANDSHAKE_RECORD: u8 = 22;

/// One side of a session: rustls has a separate type for each, and no common trait.
pub(super) trait Side: Send {
    type Data;

    /// The first byte from a peer that speaks TLS: the type of a record (RFC 8446 §5.1).
    const FIRST_BYTES: &'static [u8];

    /// What to report about a peer that began with another byte.
    const NOT_TLS: &'static str;

    /// And what to tell it.
    const NOT_TLS_ANSWER: &'static [u8];

    fn process<'c, 'i>(&'c mut self, received: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Data>;

    fn state(&self) -> &CommonState;
}

impl Side for UnbufferedServerConnection {
    type Data = ServerConnectionData;

    const FIRST_BYTES: &'static [u8] = &[HANDSHAKE_RECORD];

    const NOT_TLS: &'static str = "not TLS: plain text on a TLS port";

    /// A fatal alert, `unexpected_message`, which some clients can explain: without it they would only see the connection close.
    const NOT_TLS_ANSWER: &'static [u8] = &[ALERT_RECORD, 3, 1, 0, 2, 2, 10];

    fn process<'c, 'i>(&'c mut self, received: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Data> {
        self.process_tls_records(received)
    }

    fn state(&self) -> &CommonState {
        self
    }
}

impl Side for UnbufferedClientConnection {
    type Data = ClientConnectionData;

    const FIRST_BYTES: &'static [u8] = &[HANDSHAKE_RECORD, ALERT_RECORD];

    const NOT_TLS: &'static str = "the server does not speak TLS";

    const NOT_TLS_ANSWER: &'static [u8] = &[];

    fn process<'c, 'i>(&'c mut self, received: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Data> {
        self.process_tls_records(received)
    }

    fn state(&self) -> &CommonState {
        self
    }
}

pub(super) struct Records<S> {
    tls: S,
    /// Received, and part of a record; or of a message that spans several, in which case rustls knows places in it.
    incomplete: Vec<u8>,
    /// Ciphertext to send.
    pub(super) outgoing: Vec<u8>,
    peer_closed: bool,
}

impl<S: Side> Records<S> {
    pub(super) fn new(tls: S) -> Self {
        Self { tls, incomplete: Vec::new(), outgoing: Vec::new(), peer_closed: false }
    }

    pub(super) fn is_handshaking(&self) -> bool {
        self.state().is_handshaking()
    }

    pub(super) fn state(&self) -> &CommonState {
        self.tls.state()
    }

    /// Whether the peer has announced its end.
    pub(super) fn is_peer_closed(&self) -> bool {
        self.peer_closed
    }

    /// Bytes that are part of a record.
    pub(super) fn incomplete_bytes(&self) -> usize {
        self.incomplete.len()
    }

    /// Copies what belongs before the next bytes, and returns how much that is; it is less than [`INCOMPLETE_BYTES`].
    pub(super) fn resume(&self, received: &mut [u8]) -> usize {
        received[..self.incomplete.len()].copy_from_slice(&self.incomplete);
        self.incomplete.len()
    }

    /// Takes what arrived, after what [`resume`](Self::resume) gave, and passes on the plaintext in it. Answers are in
    /// `outgoing` afterwards, as is an alert that says what was wrong; after an error nothing more can be taken.
    pub(super) fn take(&mut self, received: &mut [u8], plaintext: &mut dyn FnMut(&[u8])) -> Result<(), rustls::Error> {
        let mut taken = 0;
        loop {
            let UnbufferedStatus { mut discard, state } = self.tls.process(&mut received[taken..]);
            let goes_on = match state {
                Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                    while let Some(record) = traffic.next_record() {
                        let record = record?;
                        plaintext(record.payload);
                        discard += record.discard;
                    }
                    true
                }
                Ok(ConnectionState::EncodeTlsData(data)) => {
                    append(&mut self.outgoing, data);
                    self.outgoing.len() <= ANSWER_BYTES
                }
                Ok(ConnectionState::TransmitTlsData(data)) => {
                    // It is on its way, in order with all that follows.
                    data.done();
                    true
                }
                Ok(ConnectionState::PeerClosed) => {
                    self.peer_closed = true;
                    // What follows is not from the peer.
                    self.incomplete = Vec::new();
                    return Ok(());
                }
                Ok(_) => false,
                Err(error) => {
                    self.alert(&mut received[taken + discard..]);
                    return Err(error);
                }
            };
            taken += discard;
            if !goes_on {
                return self.keep(&received[taken..]);
            }
        }
    }

    /// Keeps what is part of a record until the rest of it comes.
    fn keep(&mut self, rest: &[u8]) -> Result<(), rustls::Error> {
        if rest.len() >= INCOMPLETE_BYTES || self.outgoing.len() > ANSWER_BYTES {
            return Err(rustls::Error::General("the peer's messages are too long".to_owned()));
        }
        if rest.is_empty() {
            // An idle connection owns no buffer.
            self.incomplete = Vec::new();
        } else {
            self.incomplete.clear();
            self.incomplete.extend_from_slice(rest);
        }
        Ok(())
    }

    /// Queues the alert that belongs to an error. Asks for nothing else: after an error rustls takes no more records.
    fn alert(&mut self, rest: &mut [u8]) {
        while self.tls.state().wants_write() {
            match self.tls.process(rest).state {
                Ok(ConnectionState::EncodeTlsData(data)) => append(&mut self.outgoing, data),
                _ => return,
            }
        }
    }

    /// Makes full records of `plaintext` in `sealed`, which has room for them, and returns their length.
    pub(super) fn seal(&mut self, plaintext: &[u8], sealed: &mut [u8]) -> io::Result<usize> {
        self.write(sealed, |traffic, sealed| traffic.encrypt(plaintext, sealed))
    }

    /// Queues `close_notify`, which shows that nobody has cut the stream off.
    #[expect(clippy::redundant_closure_for_method_calls, reason = "the method is not for any lifetime of its own")]
    pub(super) fn seal_end(&mut self) -> io::Result<()> {
        // An alert has 2 bytes, and what a record adds fits as well.
        let mut sealed = [0; 256];
        let length = self.write(&mut sealed, |traffic, sealed| traffic.queue_close_notify(sealed))?;
        self.outgoing.extend_from_slice(&sealed[..length]);
        Ok(())
    }

    fn write(
        &mut self,
        sealed: &mut [u8],
        write: impl FnOnce(&mut WriteTraffic<'_, S::Data>, &mut [u8]) -> Result<usize, EncryptError>,
    ) -> io::Result<usize> {
        let mut length = 0;
        loop {
            // Together with what is incomplete, because rustls may have positions in it.
            match self.tls.process(&mut self.incomplete).state {
                Ok(ConnectionState::WriteTraffic(mut traffic)) => {
                    return Ok(length + write(&mut traffic, &mut sealed[length..]).map_err(io::Error::other)?);
                }
                Ok(ConnectionState::EncodeTlsData(mut data)) => {
                    length += data.encode(&mut sealed[length..]).map_err(io::Error::other)?;
                }
                Ok(ConnectionState::TransmitTlsData(data)) => data.done(),
                _ => return Err(io::ErrorKind::BrokenPipe.into()),
            }
        }
    }
}

/// Appends an answer of rustls' own.
fn append<D>(outgoing: &mut Vec<u8>, mut data: EncodeTlsData<'_, D>) {
    let start = outgoing.len();
    if let Err(EncodeError::InsufficientSize(size)) = data.encode(&mut []) {
        outgoing.resize(start + size.required_size, 0);
        // It has room now.
        let _ = data.encode(&mut outgoing[start..]);
    }
}
