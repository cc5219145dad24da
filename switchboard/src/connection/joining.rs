//! How a connection comes into rooms: as a member without a name, or by a session.

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
    /// Becomes a member of `room`: what is published there from now on reaches the peer by itself, as the payload alone, where
    /// the codec can carry it ([`Room::publish`]).
    ///
    /// [`Hub::enter`](crate::Hub::enter) gives the connection a name and a choice of formats first.
    ///
    /// # Errors
    /// The connection is in as many rooms as it may, or nobody in particular may join this one.
    pub fn join(&self, room: &Room) -> Result<Membership, JoinError>
    where
        C::Frame: From<Bytes>,
    {
        let encoding = self.in_format(Format::Raw, room.0.encodings());
        door::join(&Participant::Unnamed(&self.0.link, encoding), room, Join::default())
    }

    /// As [`join`](Self::join), in an encoding of its own or a format. If it tells of gaps ([`Encoding::notice`]), messages may be
    /// dropped for a member that is slow, as [`Join::overflow`] says, or the room's options.
    ///
    /// # Errors
    /// The connection is in as many rooms as it may, could not be told what is gone of that behind [`Join::since`], or nobody in particular
    /// may join this one.
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
    /// Enters a connection under a name of its own, `guest-N`, to be told things in `format`.
    pub fn enter<C>(&self, conn: &Connection<C>, format: Format) -> Session
    where
        C: Codec,
        C::Frame: From<Bytes>,
    {
        self.identify(&conn.0.link, conn.in_format(format, self.encodings()))
    }

    /// As [`enter`](Self::enter), to be told things in an encoding of its own.
    pub fn enter_as<C: Codec, E: Encoding<C>>(&self, conn: &Connection<C>, encoding: E) -> Session {
        let encoding = self.encodings().of(encoding, &conn.0.codec, conn.0.envelope);
        self.identify(&conn.0.link, encoding)
    }
}
