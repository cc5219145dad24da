//! Datagrams in batches: many per system call on one socket.

use mio::net::UdpSocket;
use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, MultiHeaders, SockaddrStorage, recvmmsg, sendmmsg};
use std::fmt;
use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::AsRawFd as _;

/// Datagrams per system call.
const BATCH: usize = 64;

/// Memory for a batch, which one thread's sockets share.
pub(crate) struct Batch {
    receiving: MultiHeaders<SockaddrStorage>,
    sending: MultiHeaders<SockaddrStorage>,
    slots: Vec<u8>,
    slot_bytes: usize,
    lengths: Vec<usize>,
}

impl fmt::Debug for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batch").field("lengths", &self.lengths).finish_non_exhaustive()
    }
}

impl Batch {
    /// For datagrams of up to `slot_bytes`; a longer one loses its end, which shows, as no reply is so long.
    pub(crate) fn new(slot_bytes: usize) -> Self {
        Self {
            receiving: MultiHeaders::preallocate(BATCH, None),
            sending: MultiHeaders::preallocate(BATCH, None),
            slots: vec![0; slot_bytes * BATCH],
            slot_bytes,
            lengths: Vec::with_capacity(BATCH),
        }
    }

    /// Receives what is there, at most a batch. Returns whether there may be more.
    pub(crate) fn receive(&mut self, socket: &UdpSocket) -> io::Result<bool> {
        self.lengths.clear();
        let slots = self.slots.chunks_exact_mut(self.slot_bytes);
        let mut slices: Vec<[IoSliceMut<'_>; 1]> = slots.map(|slot| [IoSliceMut::new(slot)]).collect();
        let flags = MsgFlags::MSG_DONTWAIT;
        let received = recvmmsg(socket.as_raw_fd(), &mut self.receiving, slices.iter_mut(), flags, None)?;
        self.lengths.extend(received.map(|message| message.bytes));
        Ok(self.lengths.len() == BATCH)
    }

    /// The datagrams of the last batch.
    pub(crate) fn datagrams(&self) -> impl Iterator<Item = &[u8]> {
        let slots = self.slots.chunks_exact(self.slot_bytes);
        slots.zip(&self.lengths).map(|(slot, length)| &slot[..*length])
    }

    /// Sends datagrams of equal size that lie one after the other. Returns how many bytes were sent.
    pub(crate) fn send(&mut self, socket: &UdpSocket, bytes: &[u8], size: usize) -> io::Result<usize> {
        let mut sent = 0;
        while sent < bytes.len() {
            let slices: Vec<_> =
                bytes[sent..].chunks(size).take(BATCH).map(|datagram| [IoSlice::new(datagram)]).collect();
            let targets = vec![None::<SockaddrStorage>; slices.len()];
            match sendmmsg(socket.as_raw_fd(), &mut self.sending, &slices, &targets, [], MsgFlags::MSG_DONTWAIT) {
                Ok(results) => sent += results.count() * size,
                Err(Errno::EAGAIN) if sent > 0 => break,
                Err(error) => return Err(error.into()),
            }
        }
        Ok(sent)
    }
}
