//! Whole batches of datagrams, received with one system call each.
//!
//! In a batch's headers the kernel overwrites how long an address and its report on a datagram may be with how long they were. So
//! headers are reused only for sockets with the same kind of report, and made anew if the kernel once reported less.

use super::batch::BATCH;
use super::ends::{Ends, Family, Local};
use nix::cmsg_space;
use nix::libc::{in_pktinfo, in6_pktinfo};
use nix::sys::socket::{
    ControlMessageOwned, MsgFlags, MultiHeaders, RecvMsg, SockaddrIn, SockaddrIn6, SockaddrLike, recvmmsg,
};
use std::io::{self, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;

/// The largest possible datagram and a little more, so that the buffers of a batch do not fall into the same sets of the cache.
const SLOT_BYTES: usize = (64 << 10) + 64;

/// Memory for one batch.
pub(super) struct Incoming {
    v4: Option<MultiHeaders<SockaddrIn>>,
    v6: Option<MultiHeaders<SockaddrIn6>>,
    any_v4: Option<MultiHeaders<SockaddrIn>>,
    any_v6: Option<MultiHeaders<SockaddrIn6>>,
    slots: Box<[u8]>,
    /// Length and ends of each datagram received.
    received: Vec<(usize, Ends)>,
}

impl Incoming {
    pub(super) fn new() -> Self {
        let (v4, v6, any_v4, any_v6) = (None, None, None, None);
        let (slots, received) = (vec![0; BATCH * SLOT_BYTES].into(), Vec::with_capacity(BATCH));
        Self { v4, v6, any_v4, any_v6, slots, received }
    }

    /// Receives a batch, in place of the last one. Returns how many datagrams there are.
    pub(super) fn receive(&mut self, socket: &UdpSocket, family: Family) -> io::Result<usize> {
        self.received.clear();
        let Self { v4, v6, any_v4, any_v6, slots, received } = self;
        match family {
            Family::V4 => receive(socket, v4, None, slots, received),
            Family::V6 => receive(socket, v6, None, slots, received),
            Family::AnyV4 => receive(socket, any_v4, Some(|| cmsg_space!(in_pktinfo)), slots, received),
            Family::AnyV6 => receive(socket, any_v6, Some(|| cmsg_space!(in6_pktinfo)), slots, received),
        }
    }

    /// The datagram with that number in the batch, and its ends.
    pub(super) fn datagram(&self, index: usize) -> (&[u8], Ends) {
        let (length, ends) = self.received[index];
        (&self.slots[index * SLOT_BYTES..][..length], ends)
    }
}

/// `room` holds the kernel's report on which address a datagram to this socket came to.
fn receive<S>(
    socket: &UdpSocket,
    headers: &mut Option<MultiHeaders<S>>,
    room: Option<fn() -> Vec<u8>>,
    slots: &mut [u8],
    received: &mut Vec<(usize, Ends)>,
) -> io::Result<usize>
where
    S: SockaddrLike + Copy + Into<SocketAddr>,
{
    let reused = headers.get_or_insert_with(|| MultiHeaders::preallocate(BATCH, room.map(|room| room())));
    let mut slices: Vec<[IoSliceMut<'_>; 1]> =
        slots.chunks_exact_mut(SLOT_BYTES).map(|slot| [IoSliceMut::new(slot)]).collect();
    let mut told_less = false;
    for message in recvmmsg(socket.as_raw_fd(), reused, slices.iter_mut(), MsgFlags::MSG_DONTWAIT, None)? {
        let told = room.and_then(|_| told(&message));
        told_less |= room.is_some() && told.is_none();
        let local = told.as_ref().and_then(Local::told);
        // A source without an address cannot be answered, nor a length that was not received.
        let peer = message.address.map_or(NO_SOURCE, Into::into);
        received.push((message.bytes.min(SLOT_BYTES), Ends { peer, local }));
    }
    if told_less {
        *headers = None;
    }
    Ok(received.len())
}

/// What the kernel reports about a datagram.
fn told<S>(message: &RecvMsg<'_, '_, S>) -> Option<ControlMessageOwned> {
    message.cmsgs().ok()?.next()
}

/// Port 0 is below every client's, so it gets no answer.
const NO_SOURCE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);
