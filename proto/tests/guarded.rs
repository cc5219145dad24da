//! Lines of people, whose connections may begin with what is no line of theirs.

use crate::corpus::guarded::{self as body, Outcome};
use proptest::prelude::*;
use switchboard_proto::{FrameError, GuardedLines, Line};

impl Outcome {
    fn texts(&self) -> Vec<&[u8]> {
        self.lines.iter().map(Line::as_bytes).collect()
    }
}

fn read<'a>(codec: GuardedLines, pieces: impl IntoIterator<Item = &'a [u8]>) -> Outcome {
    body::read(codec, pieces, 1 << 16)
}

fn whole(stream: &[u8]) -> Outcome {
    read(GuardedLines::default(), [stream])
}

fn bytes() -> GuardedLines {
    let mut codec = GuardedLines::default();
    codec.carry_bytes();
    codec
}

fn refused(stream: &[u8]) -> Option<&'static str> {
    let outcome = whole(stream);
    assert!(outcome.texts().iter().all(|line| line.is_empty()), "{outcome:?}");
    match outcome.error {
        Some(FrameError::Foreign { protocol }) => Some(protocol),
        _ => None,
    }
}

/// Bytes that meet the rules more often than chance would have them.
fn arriving() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        Just(b"\xff".to_vec()),
        (240_u8..=255, 0_u8..4).prop_map(|(verb, option)| vec![255, verb, option]),
        Just(b"\xff\xfa\x18\x00xterm\xff\xff\xff\xf0".to_vec()),
        Just(b"\r\n".to_vec()),
        Just(b"\r\0".to_vec()),
        Just(b"GET / HTTP/1.1".to_vec()),
        Just(b"\x16\x03".to_vec()),
        prop::collection::vec(any::<u8>(), 0..4),
        Just(b"hi\n".to_vec()),
    ];
    prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

proptest! {
    // What is compared with what is in the body; its input's layout is in `stream`.
    #[test]
    fn any_split_means_the_same(
        frame_bytes: u8,
        sizes in prop::collection::vec(0_u8..6, 0..20),
        stream in arriving(),
    ) {
        body::run(&[&[frame_bytes, sizes.len() as u8], &sizes[..], &stream].concat());
    }

    #[test]
    fn what_a_browser_sends_is_never_a_line(
        method in "[!#$%&'*+.^_`|~0-9A-Za-z-]{1,12}",
        target in "/[!-~]{0,30}|\\*|[a-z]{1,9}:[0-9]{1,5}|https?://[!-~]{1,20}",
        version in prop::sample::select(&["1.0", "1.1", "2.0"][..]),
        body in "[ -~\n]{0,40}",
    ) {
        let request = format!("{method} {target} HTTP/{version}\r\nHost: 127.0.0.1:8081\r\n\r\n{body}");
        prop_assert_eq!(refused(request.as_bytes()), Some("HTTP"));
    }

    #[test]
    fn a_stream_that_begins_otherwise_is_untouched(stream in "[a-z][ -~\r\n\0]{0,60}") {
        prop_assume!(!stream.contains(" HTTP/"));
        let outcome = whole(stream.as_bytes());
        let lines: Vec<_> = stream.split_inclusive('\n').map(|line| {
            line.strip_suffix("\r\n").or(line.strip_suffix('\n')).unwrap_or(line).as_bytes()
        }).collect();
        prop_assert_eq!((outcome.texts(), outcome.error), (lines, None));
    }
}

#[test]
fn other_protocols_are_told_by_how_they_begin() {
    let streams: [(&[u8], _); 31] = [
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP"),
        (b"POST /rooms/lobby?x HTTP/1.1\r\n\r\n/name admin\n", "HTTP"),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "HTTP"),
        (b"OPTIONS * HTTP/1.1\n", "HTTP"),
        (b"CONNECT example.org:443 HTTP/1.1\r\n", "HTTP"),
        (b"HTTP/1.1 200 OK\r\n", "HTTP"),
        (b"GET /index.html\r\n", "HTTP"),
        (b"GET /\n", "HTTP"),
        (b"HEAD //\r\n", "HTTP"),
        (b"POST /rooms/lobby\r\nHost: x\r\n\r\nhi\n", "HTTP"),
        (b"DELETE  /x\n", "HTTP"),
        (b"GET\t/\tHTTP/1.1\r\n", "HTTP"),
        (b" GET  /  HTTP/1.1  \r\n", "HTTP"),
        (b"GET / HTTP/3.0\n", "HTTP"),
        (b"\r\n\nGET / HTTP/1.1\r\n", "HTTP"),
        (b"GET / HTTP/1.1", "HTTP"),
        (b"OPTIONS rtsp://example.org/media RTSP/1.0\r\n", "RTSP"),
        (b"INVITE sip:bob@example.org SIP/2.0\r\n", "SIP"),
        (b"\x16\x03\x01\x02\x00\x01\x00", "TLS"),
        (b"\x16\x03\n/name admin\n", "TLS"),
        (b"SSH-2.0-OpenSSH_9.6\r\n", "SSH"),
        (b"EHLO mail.example.org\r\n", "SMTP"),
        (b"EHLO page\r\n", "SMTP"),
        (b"HELO [192.0.2.1]\r\n", "SMTP"),
        (b"220 mail.example.org ESMTP ready\r\n", "SMTP"),
        (b"PROXY TCP4 192.0.2.1 192.0.2.2 40000 8081\r\nhi\n", "PROXY"),
        (b"PROXY UNKNOWN\r\n", "PROXY"),
        // PROXY, version 2, and STUN.
        (b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c", "a binary protocol"),
        (b"\0\x03\0\x08\x21\x12\xa4\x42\n/name admin\n", "a binary protocol"),
        (b"\xff\xfe/\0a\0u\0t\0h\0 \0s\0\r\0\n\0", "UTF-16"),
        (b"\xfe\xff\0/\0a\0u\0t\0h\0 \0s\0\r\0\n", "UTF-16"),
    ];
    for (stream, protocol) in streams {
        assert_eq!(refused(stream), Some(protocol), "{}", stream.escape_ascii());
    }
}

#[test]
fn what_people_say_passes() {
    let lines = [
        "GET well soon",
        "GET",
        "POST it to me",
        "I like HTTP/1.1",
        "We use HTTP/2",
        "HTTP/ is what they write",
        "look at https://example.org HTTP/1.1 there",
        "HELO world",
        "EHLO everybody out there",
        "220 volts",
        "PROXY or not",
        "SSH-2 is fine",
        "OPTIONS are good",
        "PUT /etc/hosts back",
        "HEAD over heels",
        "post /tmp",
        "/name bob",
        "\u{16}",
    ];
    for line in lines {
        let outcome = whole(format!("{line}\nnext\n").as_bytes());
        assert_eq!((outcome.texts(), outcome.error), (vec![line.as_bytes(), b"next"], None));
    }
}

#[test]
fn only_the_first_line_that_says_something_is_looked_at() {
    let outcome = whole(b"\nhi\nGET / HTTP/1.1\r\n\x16\x03\n\0\n\xff\xfb\x01\n");
    let lines: Vec<&[u8]> = vec![b"", b"hi", b"GET / HTTP/1.1", b"\x16\x03", b"\0", b"\xff\xfb\x01"];
    assert_eq!((outcome.texts(), outcome.error), (lines, None));
}

/// As a common client for Windows begins.
#[test]
fn telnet_options_are_refused_and_are_no_text() {
    let stream = b"\xff\xfb\x1f\xff\xfb\x20\xff\xfd\x01\xff\xfc\x02\xff\xfe\x03/msg bob psst\r\nhi\r\n";
    let outcome = whole(stream);
    assert_eq!(outcome.texts(), [&b"/msg bob psst"[..], b"hi"]);
    assert_eq!(outcome.answer, b"\xff\xfe\x1f\xff\xfe\x20\xff\xfc\x01");
}

#[test]
fn a_telnet_command_without_an_option_is_no_text_either() {
    // As Ctrl-C in a client that negotiates nothing.
    assert_eq!(whole(b"\xff\xf4\xff\xfd\x06/msg bob psst\r\n").texts(), [b"/msg bob psst"]);
}

#[test]
fn on_telnet_commands_are_no_text_later_either() {
    let stream = b"\xff\xfb\x1fone\r\ntw\xff\xf1o\r\0\xff\xfa\x18\0x\xff\xfft\xff\xf0three\0\xff\xff\n";
    assert_eq!(whole(stream).texts(), [&b"one"[..], b"two", b"three\xff"]);
}

#[test]
fn a_request_behind_telnet_commands_is_refused_too() {
    assert_eq!(refused(b"\xff\xfb\x1fGET / HTTP/1.1\r\n"), Some("HTTP"));
}

#[test]
fn where_lines_are_bytes_only_requests_are_refused() {
    let outcome = read(bytes(), [&b"\xff\xfb\x90\n"[..]]);
    assert_eq!((outcome.texts(), &outcome.answer[..], outcome.error), (vec![&b"\xff\xfb\x90"[..]], &b""[..], None));
    assert_eq!(read(bytes(), [&b"\0\x01\n"[..]]).texts(), [b"\0\x01"]);
    let outcome = read(bytes(), [&b"POST / HTTP/1.1\r\n"[..]]);
    assert_eq!(outcome.error, Some(FrameError::Foreign { protocol: "HTTP" }));
}
