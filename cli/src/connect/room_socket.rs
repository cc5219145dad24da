//! The WebSocket that one room has for itself, as its URL says: `/rooms/ROOM/ws`, behind a proxy's path too.

use std::borrow::Cow;
use switchboard::{MessageId, UserName};
use switchboard_load::typed::Url;

/// The room whose own WebSocket it is.
pub(super) fn room(url: &Url) -> Option<&str> {
    let path = url.path.split('?').next().filter(|_| url.scheme.is_websocket())?;
    let mut parts = path.rsplit('/');
    match (parts.next(), parts.next(), parts.next()) {
        (Some("ws"), Some(room), Some("rooms")) if !room.is_empty() => Some(room),
        _ => None,
    }
}

/// What was typed; of a room's own WebSocket, to go on behind a message.
pub(super) fn behind(url: &Url, since: Option<MessageId>) -> Cow<'_, str> {
    match since.filter(|_| room(url).is_some()) {
        Some(since) => Cow::Owned(with(url, "since", &since.to_string()).typed),
        None => Cow::Borrowed(&url.typed),
    }
}

/// A room's own WebSocket, for somebody of this name.
pub(super) fn named(url: &Url, name: &UserName) -> Result<Url, String> {
    match option(url, "name") {
        Some(other) if other != name.as_str() => Err(format!("`{name}`: the URL says `{other}`")),
        _ => Ok(with(url, "name", name.as_str())),
    }
}

fn option<'a>(url: &'a Url, name: &str) -> Option<&'a str> {
    let query = url.path.split_once('?')?.1;
    query.split('&').find_map(|part| part.strip_prefix(name)?.strip_prefix('='))
}

/// With an option of its query set.
fn with(url: &Url, name: &str, value: &str) -> Url {
    let (path, query) = url.path.split_once('?').unwrap_or((&url.path, ""));
    let is_other = |part: &&str| !part.is_empty() && part.split('=').next() != Some(name);
    let query: Vec<_> =
        query.split('&').filter(is_other).map(str::to_owned).chain([format!("{name}={value}")]).collect();
    let base = url.typed.strip_suffix(url.path.as_str()).unwrap_or(&url.typed);
    let path = format!("{path}?{}", query.join("&"));
    Url { typed: format!("{base}{path}"), path, ..url.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_websocket_of_one_room_goes_on_behind_a_message() {
        let since = Some("k3f9-7".parse().unwrap());
        for (typed, again) in [
            ("ws://h:1/rooms/ops/ws", "ws://h:1/rooms/ops/ws?since=k3f9-7"),
            ("ws://h:1/rooms/ops/ws?since=k3f9-2&name=a", "ws://h:1/rooms/ops/ws?name=a&since=k3f9-7"),
            ("ws://h:1/ws?room=ops", "ws://h:1/ws?room=ops"),
        ] {
            assert_eq!(behind(&Url::parse(typed).unwrap(), since), again);
            assert_eq!(behind(&Url::parse(typed).unwrap(), None), typed);
        }
    }

    #[test]
    fn the_websocket_of_one_room_is_told_a_name_by_its_url() {
        let name = UserName::parse("bob").unwrap();
        for (typed, named) in [
            ("ws://h:1/rooms/ops/ws", Ok("ws://h:1/rooms/ops/ws?name=bob")),
            ("wss://h/chat/rooms/ops/ws?format=raw", Ok("wss://h/chat/rooms/ops/ws?format=raw&name=bob")),
            ("ws://h:1/rooms/ops/ws?name=bob", Ok("ws://h:1/rooms/ops/ws?name=bob")),
            ("ws://h:1/rooms/ops/ws?name=eve", Err("`bob`: the URL says `eve`")),
        ] {
            let url = Url::parse(typed).unwrap();
            assert_eq!(room(&url), Some("ops"));
            assert_eq!(
                super::named(&url, &name).as_ref().map(|url| url.typed.as_str()),
                named.map_err(str::to_owned).as_ref().copied()
            );
        }
        for typed in
            ["ws://h:1/ws", "ws://h:1/rooms/ws", "ws://h:1/rooms//ws", "tcp://h:1", "ws://h:1/ws?x=/rooms/a/ws"]
        {
            assert_eq!(room(&Url::parse(typed).unwrap()), None, "{typed}");
        }
    }
}
