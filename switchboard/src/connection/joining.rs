//! How a connection enters rooms: as a member without a name, or by a session.

use super::Connection;
use crate::hub::Hub;
use crate::hub::door::{self, Participant};
use crate::hub::encoding::{Encoding, Encodings, MemberEncoding};
use crate::hub::membership::{Join, JoinError, Membership};
use crate::hub::room::Room;
use crate::hub::session::Session;
use bytes::Bytes;
use switchboard_proto::{Codec, Format};

impl<C: Codec> Connection<C> {
    /// Joins `room`: from now on, what is published there ([`Room::publish`]) is sent to the peer automatically, as the
    /// bare payload, if the codec can carry it.
    ///
    /// To have a name and a choice of formats, use [`Hub::enter`](crate::Hub::enter) first.
    ///
    /// # Errors
    /// The connection is already in the most rooms allowed, or a connection without a session may not join this one.
    pub fn join(&self, room: &Room) -> Result<Membership, JoinError>
    where
        C::Frame: From<Bytes>,
    {
        let encoding = self.in_format(Format::Raw, room.0.encodings());
        door::join(&Participant::Unnamed(&self.0.link, encoding), room, Join::default())
    }

    /// Like [`join`](Self::join), but with a format or an encoding of your own. If the encoding reports gaps
    /// ([`Encoding::notice`]), messages may be dropped for a slow member, as [`Join::overflow`] or the room's options
    /// say.
    ///
    /// # Errors
    /// The connection is already in the most rooms allowed; some messages after [`Join::since`] are gone and the
    /// encoding cannot say so; or a connection without a session may not join this room.
    pub fn join_as<E: Encoding<C>>(&self, room: &Room, encoding: E, join: Join) -> Result<Membership, JoinError> {
        let encoding = room.0.encodings().of(encoding, &self.0.codec, self.0.envelope);
        door::join(&Participant::Unnamed(&self.0.link, encoding), room, join)
    }

    fn in_format(&self, format: Format, encodings: &Encodings) -> MemberEncoding
    where
        C::Frame: From<Bytes>,
    {
        encodings.of_format::<C>(format, self.0.codec.settings(), self.0.envelope)
    }
}

impl Hub {
    /// Enters a connection under a name of its own, `guest-N`; everything it is told is written in `format`.
    pub fn enter<C>(&self, conn: &Connection<C>, format: Format) -> Session
    where
        C: Codec,
        C::Frame: From<Bytes>,
    {
        self.identify(&conn.0.link, conn.in_format(format, self.encodings()))
    }

    /// Like [`enter`](Self::enter), with an encoding of your own.
    pub fn enter_as<C: Codec, E: Encoding<C>>(&self, conn: &Connection<C>, encoding: E) -> Session {
        let encoding = self.encodings().of(encoding, &conn.0.codec, conn.0.envelope);
        self.identify(&conn.0.link, encoding)
    }
}
