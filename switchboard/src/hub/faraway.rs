//! Members of other nodes, for those of this one: saying something to one of them alone, and who is in a room.

use super::door;
use super::elsewhere::{HubHere, NotTold};
use super::policy::NotAllowed;
use super::room::Room;
use super::session::{Session, TellError};
use bytes::Bytes;
use switchboard_proto::{Format, RoomName, UserName};

impl Session {
    /// As [`tell`](Self::tell), where whoever is named `to` may be on [another node](crate::HubBuilder::elsewhere).
    ///
    /// # Errors
    /// As there; or that node does not answer.
    ///
    /// # Cancel safety
    /// It may have been sent or not.
    pub async fn tell_anywhere(&self, to: &UserName, text: impl Into<Bytes>) -> Result<(), TellError> {
        let text = text.into();
        let told = self.tell(to, text.clone());
        let Some(elsewhere) = self.0.hub().elsewhere().filter(|_| matches!(told, Err(TellError::NoSuchMember(_))))
        else {
            return told;
        };
        elsewhere.tell(to.clone(), self.name(), text).await.map_err(|error| match error {
            NotTold::NoSuchMember => TellError::NoSuchMember(to.clone()),
            NotTold::Full => TellError::Full(to.clone()),
            NotTold::Uncarried => TellError::Uncarried(to.clone()),
            NotTold::Unavailable => TellError::Unavailable(to.clone()),
        })
    }

    /// As [`members`](Self::members), of all [nodes](crate::HubBuilder::elsewhere): one node's after the other's, in the same order whichever
    /// is asked. Those of a node that does not answer are left out, and of each but this one those behind the 512th.
    ///
    /// # Errors
    /// As there.
    ///
    /// # Cancel safety
    /// Safe.
    pub async fn members_anywhere(&self, room: &Room, skip: usize, limit: usize) -> Result<Vec<UserName>, NotAllowed> {
        let Some(elsewhere) = self.0.hub().elsewhere().filter(|_| room.0.is_abroad()) else {
            return self.members(room, skip, limit);
        };
        let most = skip.saturating_add(limit);
        let here = self.members(room, 0, most)?;
        let (before, behind) = elsewhere.who(room.name().clone(), most).await;
        Ok(before.into_iter().chain(here).chain(behind).skip(skip).take(limit).collect())
    }
}

impl HubHere {
    /// Says something to whoever has that name here; what came of it, in a word.
    pub(crate) fn tell(&self, to: &UserName, from: UserName, text: Bytes) -> Bytes {
        let Some(hub) = self.hub() else { return Bytes::from_static(b"nobody") };
        let session = Session::unlinked(hub, from, Format::Text);
        Bytes::from_static(match door::pass_on(&session.0, to, text) {
            Ok(()) => b"told",
            Err(TellError::Full(_)) => b"full",
            Err(TellError::Uncarried(_)) => b"uncarried",
            Err(_) => b"nobody",
        })
    }

    /// The names of at most `most` members.
    pub(crate) fn members(&self, room: &RoomName, most: usize) -> Vec<UserName> {
        self.room(room).filter(|room| room.0.is_abroad()).map(|room| room.members(0, most)).unwrap_or_default()
    }
}
