//! A group of hosts as a member of one room: what anybody sends to the group is published, and what is published goes to the group once.
//!
//! There are no commands and never an answer. Options: `room` (required), `interface` (the only one), `ttl` (1), `loop` (on),
//! `source` (everybody), `direction` (both), `broadcast` (off), `format` (text), `name` (`udp`; `lan` in lists), `heartbeat` (1 s in
//! `json`), `repair` (the first HTTP listener of rooms), `rate` (1,000 of each source), `overflow` (drop-oldest), `idle` (off),
//! `mtu` (1,400) and `relay` (off).

pub(crate) mod counts;
mod encoding;
mod options;
pub(crate) mod relayed;
mod serving;

pub(crate) use options::{MOST_BYTES, address, is_group, parse_hops, parse_interfaces, parse_sources, told};

use crate::address::DatagramListener;
use crate::endpoint::Options;
use crate::services::received;
use crate::services::{Add, Shared};
use counts::GroupCounts;
use encoding::ForGroup;
use options::{GroupOptions, Repair};
use relayed::{Relays, Seen};
use std::sync::Arc;
use switchboard::{Connection, Datagrams, Format, Hub, Room, RoomOptions, Session, UserName};

/// What the connections of one group have in common.
struct GroupListener {
    hub: Hub,
    room: Room,
    options: GroupOptions,
    encoding: ForGroup,
    relays: Arc<Relays>,
    seen: Arc<Seen>,
    counts: Arc<GroupCounts>,
    /// Whoever sends to the group.
    stranger: Session,
    /// The address of who serves history, once it is known.
    repair: Repair,
}

/// Adds a group to a server.
pub(super) fn offer(datagrams: DatagramListener, options: &mut Options) -> Add {
    let settings = GroupOptions::parse(&datagrams, options);
    let live = options.live.clone();
    Box::new(move |server, shared| {
        // There are no faults: it was parsed, and all of them are told before anything is added.
        let Some(settings) = settings else { return server };
        let group = settings.group(datagrams, live.timeouts(shared.timeouts));
        let listener = Arc::new(GroupListener::new(settings, shared));
        server.group(group, move |conn: Connection<Datagrams>| serving::serve(conn, Arc::clone(&listener)))
    })
}

impl GroupListener {
    #[expect(
        clippy::disallowed_methods,
        reason = "a listener's room is the operator's, and made by the program itself"
    )]
    fn new(options: GroupOptions, shared: &Shared) -> Self {
        let hub = shared.hub.clone();
        let Ok(room) = hub.room_with(&options.room, RoomOptions::default()) else {
            unreachable!("there are fewer listeners than there may be rooms")
        };
        let Ok(stranger) = hub.session(UserName::udp(), Format::Text) else {
            unreachable!("nobody can take that name")
        };
        let seen = shared.relays.seen(&room);
        let encoding = ForGroup {
            format: options.format,
            datagram_bytes: options.datagram_bytes,
            relayed: (options.relays && options.format == Format::Json).then(|| Arc::clone(&seen)),
            is_deaf: options.direction == switchboard::Direction::In,
        };
        let repair = options.repair.of(&shared.running);
        let (relays, counts) = (Arc::clone(&shared.relays), shared.running.group_counts());
        Self { hub, room, options, encoding, relays, seen, counts, stranger, repair }
    }
}

#[cfg(test)]
mod tests;
