//! Lists of the rooms that somebody may join, which take long to make where there are many: a policy is asked about each.

use switchboard::{Hub, RoomList, RoomName, Session};

/// Pages of rooms, 256 each, that are looked at for one list.
const MOST_PAGES: usize = 8;

/// At most `limit` rooms behind `after`; lets others have their turn between two pages.
pub(super) async fn rooms(hub: &Hub, session: &Session, after: Option<&RoomName>, limit: usize) -> RoomList {
    if hub.policy().is_none() {
        return session.rooms(after, limit);
    }
    let mut list = session.rooms(after, usize::MAX);
    for _ in 1..MOST_PAGES {
        let Some(last) = list.next.take() else { break };
        tokio::task::yield_now().await;
        let more = session.rooms(Some(&last), usize::MAX);
        list.rooms.extend(more.rooms);
        list.total += more.total;
        list.next = more.next;
    }
    if list.rooms.len() > limit {
        list.rooms.truncate(limit);
        list.next = list.rooms.last().map(|room| room.name.clone());
    }
    list
}
