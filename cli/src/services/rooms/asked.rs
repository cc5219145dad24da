//! What a frame asked for that was refused, in an audit's words.

use switchboard::RoomName;
use switchboard::grammar::Command;

/// What a text asks for.
const PUBLISH: &str = "publish";

/// Commands that begin with a room.
const OF_ROOMS: [&str; 4] = ["/join", "/leave", "/pub", "/who"];

/// Its command.
pub(super) fn action(frame: &[u8]) -> &'static str {
    let verb = frame.split(|byte| matches!(byte, b' ' | b'\t')).next().unwrap_or_default();
    let named = |usage: &&str| usage.split(' ').next().is_some_and(|known| known.as_bytes().eq_ignore_ascii_case(verb));
    let usage = Command::HELP.iter().map(|(usage, _)| *usage).find(named);
    usage.and_then(|usage| usage.split(' ').next()).unwrap_or(PUBLISH)
}

/// The room that it names, if it does.
pub(super) fn room(frame: &[u8]) -> Option<RoomName> {
    let mut words = str::from_utf8(frame).ok()?.split_ascii_whitespace();
    let verb = words.next()?;
    OF_ROOMS.iter().find(|known| known.eq_ignore_ascii_case(verb))?;
    RoomName::parse(words.next()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_told_by_its_command_and_its_room() {
        for (frame, said, named) in [
            (&b"/join ops since=1-2"[..], "/join", Some("ops")),
            (b"/PUB ops hello", "/pub", Some("ops")),
            (b"/who", "/who", None),
            (b"/who #", "/who", None),
            (b"/name ops", "/name", None),
            (b"hello ops", "publish", None),
            (b"\xff ops", "publish", None),
            (b"", "publish", None),
        ] {
            let found = (action(frame), room(frame).map(|room| room.to_string()));
            assert_eq!(found, (said, named.map(str::to_owned)), "{}", frame.escape_ascii());
        }
    }
}
