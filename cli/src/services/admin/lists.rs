//! Lists of connections, rooms and names. They are copied a few at a time, and others run in between; of what is sorted, only as many
//! as are asked for are kept.

use super::Admin;
use super::families::shown;
use super::figures::seconds_of;
use super::pages::{ClosedPage, ConnectionOrder, ConnectionPage, RoomOrder, RoomPage};
use crate::policy::proof::Proof;
use crate::running::KeptIn;
use crate::services::proxy::Pool;
use serde_json::{Value, json};
use std::cmp::{Ordering, Reverse};
use std::collections::{BinaryHeap, HashMap, HashSet};
use std::fmt::Write as _;
use std::sync::Arc;
use switchboard::grammar::{ErrorCode, Failure};
use switchboard::policy::Principal;
use switchboard::{
    ClosedInfo, ConnectionId, ConnectionInfo, Glob, MemberAfter, NamedAfter, NamedConnection, RoomInfo, RoomName,
    UserName,
};

/// Copied in one step: below a millisecond.
const TOGETHER: usize = 512;

/// Written in one step, at about 5 µs each.
const WRITTEN: usize = 64;

/// Those of all that come with the greatest keys.
struct Greatest<T> {
    limit: usize,
    kept: BinaryHeap<Reverse<Ranked<T>>>,
}

/// By its key, and in the order in which they came among equals.
struct Ranked<T> {
    key: u64,
    place: Reverse<usize>,
    value: T,
}

impl<T> Greatest<T> {
    fn new(limit: usize) -> Self {
        Self { limit, kept: BinaryHeap::new() }
    }

    fn add(&mut self, key: u64, place: usize, value: T) {
        let place = Reverse(place);
        if self.kept.len() == self.limit {
            let Some(Reverse(least)) = self.kept.peek() else { return };
            if (key, place) <= (least.key, least.place) {
                return;
            }
            self.kept.pop();
        }
        self.kept.push(Reverse(Ranked { key, place, value }));
    }

    /// The greatest first.
    fn into_values(self) -> impl Iterator<Item = T> {
        self.kept.into_sorted_vec().into_iter().map(|Reverse(ranked)| ranked.value)
    }
}

impl<T> Ord for Ranked<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.key, self.place).cmp(&(other.key, other.place))
    }
}

impl<T> PartialOrd for Ranked<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> PartialEq for Ranked<T> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl<T> Eq for Ranked<T> {}

impl Admin {
    /// A page of connections; those that come first in its order, if it has one.
    pub(super) async fn connections(&self, page: ConnectionPage) -> Result<String, Failure> {
        let takes = |named: &NamedConnection| page.takes_named(named);
        let named = match &page.room {
            Some(room) => Some(self.members(room, takes).await?),
            None if page.is_of_named() => Some(self.names(takes).await),
            None => None,
        };
        let (mut after, mut place, mut greatest) = (page.after, 0, Greatest::new(page.limit));
        let (connections, pools) = (self.handle.connections(), self.running.pools());
        'all: loop {
            let some = connections.list(after, TOGETHER);
            let Some(last) = some.last() else { break };
            after = Some(last.id);
            for info in some {
                // A pair is shown as its client.
                if info.outgoing
                    || !page.takes(&info)
                    || named.as_ref().is_some_and(|named| !named.contains_key(&info.id))
                {
                    continue;
                }
                place += 1;
                greatest.add(key(page.order, &info), place, info);
                // In their own order there is nothing to look for any more.
                if page.order == ConnectionOrder::Age && place == page.limit {
                    break 'all;
                }
            }
            tokio::task::yield_now().await;
        }
        let connections: Vec<_> = greatest.into_values().collect();
        let named = if let Some(named) = named {
            named
        } else {
            let ids: HashSet<_> = connections.iter().map(|info| info.id).collect();
            self.names(|named| ids.contains(&named.id)).await
        };
        let told = connections.iter().map(|info| connection(info, named.get(&info.id), &pools));
        Ok(written("connections", told, Some(("open", self.handle.connections().len()))).await)
    }

    /// Those connections that have names and that `is_one` takes.
    async fn names(&self, is_one: impl Fn(&NamedConnection) -> bool) -> HashMap<ConnectionId, NamedConnection> {
        let mut after = NamedAfter::default();
        by_id(is_one, || self.hub.named(&mut after, TOGETHER)).await
    }

    /// Those of them that are in a room.
    async fn members(
        &self,
        room: &RoomName,
        is_one: impl Fn(&NamedConnection) -> bool,
    ) -> Result<HashMap<ConnectionId, NamedConnection>, Failure> {
        if self.hub.room_info(room).is_none() {
            return Err(no_room(room));
        }
        let mut after = MemberAfter::default();
        Ok(by_id(is_one, || self.hub.named_in(room, &mut after, TOGETHER)).await)
    }

    pub(super) async fn one_connection(&self, id: ConnectionId) -> Result<Value, Failure> {
        let info = self.handle.connections().get(id).ok_or_else(no_connection)?;
        let named = self.names(|named| named.id == id).await;
        Ok(connection(&info, named.get(&id), &self.running.pools()))
    }

    /// The connection that has a name.
    pub(super) fn called(&self, name: &UserName) -> Result<Value, Failure> {
        let named = self.hub.connection(name).ok_or_else(|| nobody(name))?;
        let info = self.handle.connections().get(named.id).ok_or_else(|| nobody(name))?;
        Ok(connection(&info, Some(&named), &self.running.pools()))
    }

    /// Those who have left lately.
    pub(super) async fn closed(&self, page: &ClosedPage) -> String {
        let closed = self.handle.connections().closed(ClosedPage::LOOKED_AT);
        let is_before = |closed: &&ClosedInfo| page.after.is_some_and(|after| closed.id != after);
        // Of one that is forgotten, all that ended before it are too.
        let behind = closed.iter().skip_while(is_before).skip(usize::from(page.after.is_some()));
        let taken = behind.filter(|closed| page.takes(closed)).take(page.limit);
        written("closed", taken.map(ended), None).await
    }

    pub(super) async fn rooms(&self, page: RoomPage) -> String {
        let (mut after, mut place, mut greatest) = (page.after, 0, Greatest::new(page.limit));
        'all: loop {
            let some = self.hub.room_infos(after.as_ref(), TOGETHER);
            let Some(last) = some.last() else { break };
            after = Some(last.name.clone());
            for info in some {
                if page.glob.as_ref().is_some_and(|glob| !glob.matches(info.name.as_str(), None)) {
                    continue;
                }
                let key = match page.order {
                    RoomOrder::Name => 0,
                    RoomOrder::Members => info.members as u64,
                    RoomOrder::History => info.history_bytes as u64,
                    RoomOrder::Publications => info.last.seq,
                };
                place += 1;
                greatest.add(key, place, info);
                if page.order == RoomOrder::Name && place == page.limit {
                    break 'all;
                }
            }
            tokio::task::yield_now().await;
        }
        let told = greatest.into_values().map(|info| room(&info));
        written("rooms", told, Some(("total", self.hub.metrics().rooms))).await
    }

    /// With what the file says of it, and whether it is kept on disk.
    pub(super) fn one_room(&self, name: &RoomName) -> Result<Value, Failure> {
        let info = self.hub.room_info(name).ok_or_else(|| no_room(name))?;
        let settings = self.running.settings();
        let sections = settings.rules.sections.iter().filter(|section| section.rooms.matches(name.as_str(), None));
        let called = |glob: &Glob| format!("rooms.\"{glob}\"");
        let classes = self.running.classes();
        let mut told = room(&info);
        told["durable"] = json!(info.is_durable && self.running.kept().is_none_or(KeptIn::is_lasting));
        told["class"] = json!(info.class.and_then(|class| classes.get(class.number())));
        told["settings"] = json!(settings.rooms.section(name).map(called));
        told["rights"] = sections.map(|section| called(&section.rooms)).collect();
        Ok(told)
    }
}

/// Of all that `next` gives, a few at a time, those that `is_one` takes.
async fn by_id(
    is_one: impl Fn(&NamedConnection) -> bool,
    mut next: impl FnMut() -> Vec<NamedConnection>,
) -> HashMap<ConnectionId, NamedConnection> {
    let mut all = HashMap::new();
    loop {
        let some = next();
        if some.is_empty() {
            return all;
        }
        all.extend(some.into_iter().filter(&is_one).map(|named| (named.id, named)));
        tokio::task::yield_now().await;
    }
}

pub(super) fn no_room(name: &RoomName) -> Failure {
    Failure::new(ErrorCode::NoSuchRoom, format!("there is no room {name}"))
}

/// An object with a list, and how many there are in all. Others run in between, however long it is.
async fn written(name: &str, rows: impl Iterator<Item = Value>, total: Option<(&str, usize)>) -> String {
    let mut text = format!("{{\"{name}\":[");
    for (index, row) in rows.enumerate() {
        if index > 0 {
            text.push(',');
        }
        // Writing to memory does not fail, here and below.
        let _ = write!(text, "{row}");
        if index % WRITTEN == WRITTEN - 1 {
            tokio::task::yield_now().await;
        }
    }
    text.push(']');
    if let Some((what, count)) = total {
        let _ = write!(text, ",\"{what}\":{count}");
    }
    text.push_str("}\n");
    text
}

pub(super) fn no_connection() -> Failure {
    Failure::new(
        ErrorCode::NoSuchMember,
        "there is no such connection; the list of those that are closed may say why it ended",
    )
}

pub(super) fn nobody(name: &UserName) -> Failure {
    Failure::new(ErrorCode::NoSuchMember, format!("nobody is called {name}"))
}

fn key(order: ConnectionOrder, info: &ConnectionInfo) -> u64 {
    match order {
        ConnectionOrder::Age => 0,
        ConnectionOrder::Outbox => info.outbox_bytes as u64,
        ConnectionOrder::Lost => info.lost,
        ConnectionOrder::Quiet => info.quiet.as_secs(),
        ConnectionOrder::In => info.bytes_in,
        ConnectionOrder::Out => info.bytes_out,
    }
}

fn connection(info: &ConnectionInfo, named: Option<&NamedConnection>, pools: &[Arc<Pool>]) -> Value {
    let principal = named.and_then(|named| named.principal.as_deref());
    let proof = principal.and_then(Proof::of);
    let mut told = json!({
        "id": u64::from(info.id),
        "name": named.map(|named| named.name.to_string()),
        "user": principal.and_then(Principal::name).map(ToString::to_string),
        "source": proof.map(Proof::source),
        "token": proof.and_then(Proof::called),
        "expires": principal.and_then(Principal::expires).map(shown),
        "peer": info.peer.to_string(),
        "via": info.via.map(|via| via.ip().to_string()),
        "transport": info.transport,
        "listener": info.listener,
        "age_seconds": seconds_of(info.age),
        "quiet_seconds": info.quiet.as_secs(),
        "bytes_in": info.bytes_in,
        "bytes_out": info.bytes_out,
        "frames_in": info.frames_in,
        "frames_out": info.frames_out,
        "outbox_bytes": info.outbox_bytes,
        "outbox_frames": info.outbox_frames,
        "blocked_seconds": info.blocked.map(|blocked| blocked.as_secs()),
        "lost": info.lost,
        "rooms": info.subscriptions,
    });
    if let Some(upstream) = pools.iter().find_map(|pool| pool.upstream_of(info.id)) {
        told["upstream"] = upstream.to_string().into();
    }
    told
}

fn ended(info: &ClosedInfo) -> Value {
    json!({
        "id": u64::from(info.id),
        "reason": info.reason.code(),
        "time": shown(info.time),
        "name": info.name,
        "user": info.user,
        "peer": info.peer.to_string(),
        "via": info.via.map(|via| via.ip().to_string()),
        "transport": info.transport,
        "listener": info.listener,
        "age_seconds": seconds_of(info.age),
        "bytes_in": info.bytes_in,
        "bytes_out": info.bytes_out,
        "frames_in": info.frames_in,
        "frames_out": info.frames_out,
        "lost": info.lost,
        "unwritten": info.unwritten,
    })
}

fn room(info: &RoomInfo) -> Value {
    json!({
        "room": info.name.to_string(),
        "members": info.members,
        "publications": info.last.seq,
        "epoch": info.last.epoch.to_string(),
        "history_messages": info.history_messages,
        "history_bytes": info.history_bytes,
    })
}

#[cfg(test)]
mod tests {
    use super::{Greatest, WRITTEN, written};
    use serde_json::{Value, json};

    #[tokio::test]
    async fn a_list_is_the_same_object_however_many_steps_it_takes() {
        for count in [0, 1, WRITTEN, WRITTEN + 1, 3 * WRITTEN] {
            let rows: Vec<_> = (0..count).map(|id| json!({ "id": id, "name": "a\"b" })).collect();
            let text = written("rows", rows.clone().into_iter(), Some(("total", 7))).await;
            let told: Value = serde_json::from_str(&text).expect("it is JSON");
            assert_eq!(told, json!({ "rows": rows, "total": 7 }));
        }
        assert_eq!(written("rows", [].into_iter(), None).await, "{\"rows\":[]}\n");
    }

    #[test]
    fn the_greatest_are_kept_and_equals_in_the_order_in_which_they_came() {
        let mut greatest = Greatest::new(3);
        for (place, key) in [5, 1, 9, 5, 5, 2, 9].into_iter().enumerate() {
            greatest.add(key, place, (key, place));
        }
        assert_eq!(greatest.into_values().collect::<Vec<_>>(), [(9, 2), (9, 6), (5, 0)]);
    }
}
