//! Under which subjects rooms are: what is appended to one, and where all nodes that follow it hear of that.

use siphasher::sip::SipHasher13;
use std::hash::Hasher as _;
use switchboard_proto::RoomName;

/// A node subscribes to buckets of rooms rather than to each of them. In the stream's metadata: all nodes divide rooms alike.
pub(super) const BUCKETS: u16 = 1024;

/// What the stream keeps, and what it tells of that.
pub(super) const KEPT: &str = "sb.r.>";
pub(super) const LIVE: &str = "sb.l.>";

/// By it nodes tell each other how far they know the log.
pub(super) const REPORTS: &str = "sb.log";

/// The room's bucket. Upper and lower case are the same.
pub(super) fn bucket(room: &RoomName) -> u16 {
    let mut hasher = SipHasher13::new_with_keys(0, 0);
    hasher.write(room.as_str().to_ascii_lowercase().as_bytes());
    (hasher.finish() % u64::from(BUCKETS)) as u16
}

/// What is appended to the room has this subject.
pub(super) fn kept(room: &RoomName) -> String {
    format!("sb.r.{}.{}", bucket(room), token(room))
}

/// What is appended to it comes to all nodes by this one.
pub(super) fn live(room: &RoomName) -> String {
    format!("sb.l.{}.{}", bucket(room), token(room))
}

/// What a node subscribes to that follows a room of the bucket.
pub(super) fn lives(bucket: u16) -> String {
    format!("sb.l.{bucket}.>")
}

/// The room of a subject of either kind.
pub(super) fn room(subject: &[u8]) -> Option<RoomName> {
    let token = std::str::from_utf8(subject).ok()?.splitn(4, '.').nth(3)?;
    RoomName::parse(&token.replace('=', ".")).ok()
}

/// What programs that are no nodes ask to be published comes by these.
pub(super) const REQUESTS: &str = "sb.publish.>";

/// Where programs that are no nodes read a room.
pub(super) fn plain(room: &RoomName) -> String {
    format!("sb.json.{}", parted(room))
}

/// Which room a request is for. Whoever asks may write a dot as it is, or `=`.
pub(super) fn requested(subject: &[u8]) -> Option<RoomName> {
    let room = std::str::from_utf8(subject).ok()?.splitn(3, '.').nth(2)?;
    RoomName::parse(&room.replace('=', ".")).ok()
}

/// Whether an answer may be told there. Whoever asks may be allowed no more than that, and a node everything: below these are the log itself, what
/// nodes tell each other and programs read, and the nats-server's own API.
pub(super) fn takes_answers(reply: &[u8]) -> bool {
    !reply.starts_with(b"sb.") && !reply.starts_with(b"$")
}

/// A room whose dots part the subject, so that `sensors.>` is all rooms below it. Those that would leave a part empty are written `=`.
fn parted(room: &RoomName) -> String {
    let name = room.as_str().to_ascii_lowercase();
    let is_part = |text: Option<&str>| text.is_some_and(|text| !text.is_empty() && !text.starts_with('.'));
    let dot = |(at, byte): (usize, char)| match byte {
        '.' if at == 0 || name[..at].ends_with('.') || !is_part(name.get(at + 1..)) => '=',
        byte => byte,
    };
    name.char_indices().map(dot).collect()
}

/// A dot parts subjects, and a name may begin or end with one.
fn token(room: &RoomName) -> String {
    room.as_str().to_ascii_lowercase().replace('.', "=")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_room_has_one_subject_and_a_subject_one_room() {
        let name = |text| RoomName::parse(text).expect("a name");
        assert_eq!(kept(&name("Ops.EU.")), kept(&name("ops.eu.")));
        assert!(kept(&name("Ops.EU.")).ends_with(".ops=eu="));
        for text in ["a", ".a", "a.b", "..", "x-_9"] {
            assert_eq!(room(kept(&name(text)).as_bytes()), Some(name(text)));
            assert_eq!(room(live(&name(text)).as_bytes()), Some(name(text)));
            assert!(live(&name(text)).starts_with(lives(bucket(&name(text))).trim_end_matches('>')));
        }
        for none in ["sb.r.1", "sb.r.1.", "sb.r.1.a.b", "sb.r.1.a*"] {
            // A dot within the last part is no room's, as it would be written `=`.
            assert!(room(none.as_bytes()).is_none_or(|room| none == "sb.r.1.a.b" && room.as_str() == "a.b"));
        }
    }

    #[test]
    fn a_room_is_read_and_written_by_subjects_without_empty_parts() {
        let name = |text| RoomName::parse(text).expect("a name");
        for (room, expected) in [
            ("Sensors.Boiler.7", "sensors.boiler.7"),
            ("ops", "ops"),
            (".a", "=a"),
            ("a.", "a="),
            ("a..b", "a==b"),
            ("a.b..c.d", "a.b==c.d"),
            ("..", "=="),
        ] {
            assert_eq!(plain(&name(room)), format!("sb.json.{expected}"), "{room}");
            assert_eq!(requested(format!("sb.publish.{expected}").as_bytes()), Some(name(room)), "{room}");
        }
        assert_eq!(requested(b"sb.publish.a.b"), Some(name("a.b")));
        for none in [&b"sb.publish"[..], b"sb.publish.", b"sb.publish.a b", b"sb.publish.\xff"] {
            assert_eq!(requested(none), None, "{}", none.escape_ascii());
        }
    }

    #[test]
    fn buckets_are_the_same_in_all_versions() {
        let bucket = |text| bucket(&RoomName::parse(text).expect("a name"));
        assert_eq!([bucket("lobby"), bucket("LOBBY"), bucket("a")], [bucket("lobby"), bucket("lobby"), bucket("a")]);
    }
}
