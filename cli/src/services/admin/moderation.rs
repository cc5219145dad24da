//! What an operator does in a room, or whoever moderates it; and what all rooms are told.

use super::acts::{Answered, Fields};
use super::lists::no_room;
use super::operator::Operator;
use super::{Admin, object};
use bytes::Bytes;
use serde_json::{Value, json};
use switchboard::grammar::{ErrorCode, Failure};
use switchboard::http::Request;
use switchboard::log::LogError;
use switchboard::{Room, RoomName, UserName};

/// Rooms that are told together, before others have their turn.
const TOGETHER: usize = 64;

/// Of what everybody is told who comes, in bytes: it fits into a datagram.
const MOTD_BYTES: usize = 1024;

impl Admin {
    pub(super) fn motd(&self) -> Value {
        json!({ "text": self.running.steered().motd() })
    }

    /// Has everybody told this from now on who comes and may use commands.
    pub(super) async fn set_motd(&self, request: Request, operator: &Operator) -> Answered {
        let mut body = Fields::of(request).await?;
        let is_line = |text: &str| (1..=MOTD_BYTES).contains(&text.len()) && !text.chars().any(char::is_control);
        let line = |value: &Value| value.as_str().filter(|text| is_line(text)).map(str::to_owned);
        let text = body.take("text", line, "a line of 1 to 1024 bytes")?;
        body.end()?;
        operator.acted("motd", &text);
        Ok(self.has_motd(Some(text)).await)
    }

    pub(super) async fn clear_motd(&self, operator: &Operator) -> Answered {
        operator.acted("motd", "");
        Ok(self.has_motd(None).await)
    }

    async fn has_motd(&self, text: Option<String>) -> http::Response<Bytes> {
        self.running.steered().set_motd(text.clone());
        object(&json!({ "text": text, "kept": self.keep().await }))
    }

    /// Publishes a message in every room that is from nobody. Of those that are kept on disk it waits for none.
    #[expect(clippy::disallowed_methods, reason = "an operator acts as the program, and in nobody's name")]
    pub(super) async fn announce(&self, request: Request, operator: &Operator) -> Answered {
        let mut body = Fields::of(request).await?;
        let text = self.announcement(&mut body)?;
        body.end()?;
        // First: whoever asks may be gone before every room is told.
        operator.acted("announce", &format!("all rooms: {text}"));
        let (mut told, mut failed, mut behind) = (0, 0, None);
        loop {
            let some = self.hub.rooms(behind.as_ref(), TOGETHER);
            for room in some.rooms.iter().filter_map(|summary| self.hub.find(&summary.name)) {
                match room.publish(&text).known() {
                    Some(Err(_)) => failed += 1,
                    _ => told += 1,
                }
            }
            let Some(last) = some.next else { break };
            behind = Some(last);
            tokio::task::yield_now().await;
        }
        Ok(object(&json!({ "rooms": told, "failed": failed })))
    }

    /// Publishes a message there that is from nobody.
    #[expect(clippy::disallowed_methods, reason = "an operator acts as the program, and in nobody's name")]
    pub(super) async fn announce_in(&self, name: &RoomName, request: Request, operator: &Operator) -> Answered {
        let mut body = Fields::of(request).await?;
        let text = self.announcement(&mut body)?;
        body.end()?;
        let room = self.room_called(name)?;
        let published = room.publish(&text).await;
        let id = published.map_err(|error| Failure::new(ErrorCode::Unavailable, error.to_string()))?.id;
        operator.acted("announce", &format!("{name}: {text}"));
        Ok(object(&json!({ "room": name.to_string(), "id": id.to_string() })))
    }

    /// Removes somebody from a room, who stays connected, and may come back if it may join.
    pub(super) fn remove(&self, name: &RoomName, member: &UserName, operator: &Operator) -> Answered {
        let room = self.room_called(name)?;
        if !self.hub.remove_member(&room, member) {
            return Err(Failure::new(ErrorCode::NoSuchMember, format!("{member} is not in {name}")));
        }
        operator.acted("remove", &format!("{name}: {member}"));
        Ok(object(&json!({ "room": name.to_string(), "removed": member.to_string() })))
    }

    /// Forgets what was published there so far.
    pub(super) async fn purge(&self, name: &RoomName, operator: &Operator) -> Answered {
        let purging = self.room_called(name)?.purge();
        // Before it is done: whoever asks may be gone by then.
        operator.acted("purge", name.as_str());
        let failed = |error: LogError| {
            operator.acted("purge", &format!("{name}: failed: {error}"));
            Failure::new(ErrorCode::Unavailable, error.to_string())
        };
        let last = purging.await.map_err(failed)?;
        Ok(object(&json!({ "room": name.to_string(), "purged": last.to_string() })))
    }

    /// A text of one line, no longer than any other.
    pub(super) fn announcement(&self, body: &mut Fields) -> Result<String, Failure> {
        let text = body.take("text", |value| value.as_str().map(str::to_owned), "a text")?;
        let limit = self.frame_bytes.now();
        if text.is_empty() || text.len() > limit {
            let text = format!("text: it has to have from 1 to {limit} bytes");
            return Err(Failure::new(ErrorCode::BadArgument, text));
        }
        Ok(text)
    }

    #[expect(clippy::disallowed_methods, reason = "an operator may see every room")]
    pub(super) fn room_called(&self, name: &RoomName) -> Result<Room, Failure> {
        self.hub.find(name).ok_or_else(|| no_room(name))
    }
}
