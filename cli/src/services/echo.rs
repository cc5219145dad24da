//! Echo: answers each line, each datagram, or each message of a WebSocket with a prefix and what it received.
//!
//! Options: `prefix` (`echo: ` on streams, `received: ` on UDP; empty is RFC 862), on streams `idle` (30 s), and over WebSocket
//! `origins` (none).

use super::rooms::group::is_group;
use super::{Add, NamedService, Offer, guard, received};
use crate::address::{DatagramListener, StreamListener};
use crate::endpoint::Options;
use crate::live::Idle;
use crate::policy::bans::Banned;
use crate::web::answer::refusal;
use crate::web::guard::{Asker, Guard, forbidden_page};
use bytes::{Bytes, BytesMut};
use memchr::memmem::{self, Finder};
use std::future::ready;
use std::sync::Arc;
use std::time::Duration;
use switchboard::http::{Request, Response};
use switchboard::prelude::*;
use switchboard::{
    Aside, ConnectionError, DatagramLimits, FrameError, GuardedLines, LineBatch, Output, Rate, RepliesPerSource,
    WebSocketBatch,
};
use switchboard_load::typed::{Scheme, parse_timeout};
use tracing::{Level, debug, enabled};

pub(super) const SERVICE: NamedService = NamedService {
    name: "echo",
    is_private: false,
    offers: &[
        Offer::Streams(&[Scheme::Tcp, Scheme::Tls, Scheme::Unix], lines),
        Offer::Datagrams(&[Scheme::Udp], datagrams),
        Offer::Streams(&[Scheme::Ws, Scheme::Wss], messages),
    ],
};

const STREAM_PREFIX: &[u8] = b"echo: ";
const DATAGRAM_PREFIX: &[u8] = b"received: ";

/// A prefix that is as long is not found by chance.
const TELLING_PREFIX: usize = 4;

/// What is looked for further on in what may have gone round, and in how many places.
const HEAD: usize = 16;
const MOST_ROUNDS: usize = 16;

/// Without input; with the default 30 s a forgotten `nc` does not hold a descriptor for ever.
const IDLE: Duration = Duration::from_secs(30);

/// Replies a second, and at once, to one source of datagrams when nothing marks a reply as one.
const UNMARKED_REPLIES: (u32, u32) = (10, 100);

fn lines(streams: StreamListener, options: &mut Options) -> Add {
    let prefix = stream(options);
    let live = options.live.clone();
    Box::new(move |server, shared| {
        let streams = streams.timeouts(live.timeouts(shared.timeouts));
        streams.listen(server, move |conn| echo(conn, &prefix))
    })
}

fn messages(streams: StreamListener, options: &mut Options) -> Add {
    let guard = guard(options, &streams);
    let prefix = stream(options);
    let live = options.live.clone();
    // A prefix that is no text makes what it is put before none.
    let prefix = Arc::new(WebSocketMessage::from(Bytes::copy_from_slice(&prefix)));
    Box::new(move |server, shared| {
        let streams = streams.timeouts(live.timeouts(shared.timeouts));
        let banned = shared.banned(&server);
        streams.listen_upgrades(server, move |request| ready(upgrade(request, (&banned, &guard.now()), &prefix)))
    })
}

fn datagrams(datagrams: DatagramListener, options: &mut Options) -> Add {
    if is_group(datagrams.host(), options) {
        options
            .fault("an echo to a group of hosts would answer each datagram to all of them; rooms=udp://… has groups");
        options.forbid("broadcast", "is for rooms");
    }
    let prefix = options.bytes("prefix").unwrap_or_else(|| DATAGRAM_PREFIX.to_vec());
    if prefix.starts_with(b"/") {
        options.refuse("prefix", "over UDP it cannot begin with `/`: rooms would take it for a command");
    }
    let limits = DatagramLimits { replies: replies(&prefix), ..DatagramLimits::default() };
    let prefix = Finder::new(&prefix).into_owned();
    Box::new(move |server, shared| {
        server.datagrams(datagrams.udp(shared.timeouts).limits(limits), move |datagram, reply| {
            answer(&prefix, datagram, reply);
        })
    })
}

/// The settings of a stream listener.
fn stream(options: &mut Options) -> Arc<[u8]> {
    let prefix = options.bytes("prefix").unwrap_or_else(|| STREAM_PREFIX.to_vec()).into();
    options.live.idle = Some(Idle(options.value("idle", parse_timeout).unwrap_or(Some(IDLE))));
    prefix
}

fn echo(mut conn: Connection<PrefixedLines>, prefix: &Arc<[u8]>) -> impl Future<Output = Result> + use<> {
    let codec = conn.codec_mut();
    codec.prefix = Arc::clone(prefix);
    // What is no text comes back as it came.
    codec.lines.carry_bytes();
    async move {
        loop {
            let received = conn.recv().await;
            let Some(sending) = reply(&mut conn, received)? else { return Ok(()) };
            sending.await?;
        }
    }
}

/// Apart, since a future keeps room for all that is looked at in it, and there are thousands that wait.
fn reply(
    conn: &mut Connection<PrefixedLines>,
    received: Result<Option<LineBatch>, ConnectionError>,
) -> Result<Option<impl Future<Output = Result<(), ConnectionError>>>, ConnectionError> {
    let lines = match received {
        Ok(Some(lines)) => lines,
        Ok(None) => return Ok(None),
        Err(error) => {
            if let ConnectionError::Frame(FrameError::Foreign { .. }) = error {
                conn.codec_mut().prefix = Arc::default();
                conn.last_word(Line::from(format!("! {}: {error}", CloseReason::WrongProtocol)));
            }
            return Err(error);
        }
    };
    if enabled!(Level::TRACE) {
        lines.texts().for_each(|text| received::log(conn.peer(), text));
    }
    Ok(Some(conn.send(lines)))
}

/// Begins a WebSocket, unless somebody asks for it who is banned, or a page that may not.
fn upgrade(request: Request, (banned, guard): (&Banned, &Guard), prefix: &Arc<WebSocketMessage>) -> Response {
    let refused = match banned.admit(request.peer()).and_then(|()| guard.admit(request.head())) {
        Ok(Asker::Own | Asker::Allowed(_)) => {
            let prefix = Arc::clone(prefix);
            return request.upgrade_to(&[], move |conn| echo_messages(conn, prefix));
        }
        Ok(Asker::Visitor) => forbidden_page(),
        Err(failure) => failure,
    };
    debug!(conn.id = u64::from(request.id()), peer.addr = %request.peer(), error = %refused, "request refused");
    refusal(&refused, None).into()
}

fn echo_messages(
    mut conn: Connection<PrefixedMessages>,
    prefix: Arc<WebSocketMessage>,
) -> impl Future<Output = Result> + use<> {
    conn.codec_mut().prefix = Some(prefix);
    async move {
        loop {
            let received = conn.recv().await;
            let Some(sending) = reply_to_message(&mut conn, received)? else { return Ok(()) };
            sending.await?;
        }
    }
}

/// As [`reply`].
fn reply_to_message(
    conn: &mut Connection<PrefixedMessages>,
    received: Result<Option<WebSocketBatch>, ConnectionError>,
) -> Result<Option<impl Future<Output = Result<(), ConnectionError>>>, ConnectionError> {
    let Some(messages) = received? else { return Ok(None) };
    if enabled!(Level::TRACE) {
        messages.iter().for_each(|(_, payload)| received::log(conn.peer(), payload));
    }
    Ok(Some(conn.send(messages)))
}

/// Messages that are sent behind a prefix. In the codec as [`PrefixedLines`] are, and answered together as well.
#[derive(Default)]
struct PrefixedMessages {
    socket: WebSocket,
    prefix: Option<Arc<WebSocketMessage>>,
}

impl Codec for PrefixedMessages {
    type Frame = WebSocketBatch;

    #[inline]
    fn decode(&mut self, input: &mut BytesMut, frame_bytes: usize) -> Result<Option<WebSocketBatch>, FrameError> {
        self.socket.decode_batch(input, frame_bytes)
    }

    fn decode_end(&mut self, input: &mut BytesMut, frame_bytes: usize) -> Result<Option<WebSocketBatch>, FrameError> {
        Ok(self.socket.decode_end(input, frame_bytes)?.map(WebSocketBatch::from))
    }

    #[inline]
    fn count(messages: &WebSocketBatch) -> usize {
        messages.len()
    }

    fn aside(&mut self) -> Option<Aside> {
        self.socket.aside()
    }

    fn farewell(&mut self, reason: CloseReason, code: Option<u16>, text: &str) -> Option<Bytes> {
        self.socket.farewell(reason, code, text)
    }

    fn held_bytes(&self) -> usize {
        self.socket.held_bytes()
    }

    #[inline]
    fn encode(&mut self, messages: WebSocketBatch, output: &mut Output) {
        self.socket.encode_batch(self.prefix.as_deref(), messages, output);
    }
}

/// Lines that are sent behind a prefix, but none that a browser was made to send, which would be shown what a page has put
/// into it. In the codec, so that no reply is put together in memory of its own first, and what came together is answered together:
/// by itself a line would cost three times as much.
#[derive(Default)]
struct PrefixedLines {
    lines: GuardedLines,
    prefix: Arc<[u8]>,
}

impl Codec for PrefixedLines {
    type Frame = LineBatch;

    #[inline]
    fn decode(&mut self, input: &mut BytesMut, frame_bytes: usize) -> Result<Option<LineBatch>, FrameError> {
        self.lines.decode_batch(input, frame_bytes)
    }

    fn decode_end(&mut self, input: &mut BytesMut, frame_bytes: usize) -> Result<Option<LineBatch>, FrameError> {
        Ok(self.lines.decode_end(input, frame_bytes)?.map(LineBatch::from))
    }

    #[inline]
    fn count(lines: &LineBatch) -> usize {
        lines.len()
    }

    #[inline]
    fn encode(&mut self, lines: LineBatch, output: &mut Output) {
        if self.prefix.is_empty() || lines.len() == 1 {
            output.put(&self.prefix);
            return output.share(lines.into_bytes());
        }
        for line in lines.iter() {
            output.put(&self.prefix);
            output.put(line);
        }
    }
}

/// Another server's answer to us begins with a prefix like ours, and is not answered. Where its prefix is another, or somebody
/// stands between who has one, ours is further in: few of those are answered, so that two or more servers that are aimed at
/// each other fall silent.
fn answer(prefix: &Finder<'_>, datagram: Datagram<'_>, reply: &mut DatagramReply<'_>) {
    let Datagram { payload, .. } = datagram;
    let needle = prefix.needle();
    match prefix.find(payload).filter(|_| !needle.is_empty()) {
        Some(0) => return,
        Some(_) if needle.len() >= TELLING_PREFIX || goes_round(needle, payload) => reply.seldom(),
        _ => {}
    }
    reply.write(needle);
    reply.write(payload);
}

/// Whether it begins with something twice that ends with our prefix, as what has gone round does. A short prefix is found in
/// much that has not.
fn goes_round(prefix: &[u8], payload: &[u8]) -> bool {
    let head = &payload[..payload.len().min(HEAD)];
    let mut round = 0;
    for _ in 0..MOST_ROUNDS {
        let Some(place) = payload.get(round + 1..).and_then(|rest| memmem::find(rest, head)) else { return false };
        round += 1 + place;
        if payload[..round].ends_with(prefix) && payload[round..].starts_with(&payload[..round]) {
            return true;
        }
    }
    false
}

/// Without a prefix nothing tells an answer from a question, so that only a limit ends an exchange between servers.
fn replies(prefix: &[u8]) -> RepliesPerSource {
    let (per_second, burst) = UNMARKED_REPLIES;
    if prefix.is_empty() { RepliesPerSource::AtMost(Rate::new(per_second, burst)) } else { RepliesPerSource::default() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use switchboard::{Terminator, testing};

    #[test]
    fn a_reply_keeps_bytes_and_terminator() {
        let mut codec = PrefixedLines { prefix: (*b"echo: ").into(), ..PrefixedLines::default() };
        let mut output = Output::default();
        codec.encode(Line::from(vec![0xff, b'a']).with_terminator(Terminator::CrLf).into(), &mut output);
        assert_eq!(output.into_bytes(), &b"echo: \xffa\r\n"[..]);
    }

    #[tokio::test(start_paused = true)]
    async fn what_a_page_has_a_browser_send_is_not_shown_to_it() {
        let serve = || testing::serve(|conn| echo(conn, &(*b"echo: ").into()), Timeouts::default());
        let mut peer = serve();
        peer.send("POST / HTTP/1.1\r\nHost: localhost\r\n\r\n<script>alert(1)</script>\n").await;
        let rest = peer.rest().await.unwrap();
        assert_eq!(rest, b"! wrong-protocol: this looks like HTTP, which is not supported here\n");
        assert_eq!(peer.closed().await, CloseReason::WrongProtocol);

        let mut peer = serve();
        peer.send(b"\xff\xfb\x01\0\nGET well soon\nGET / HTTP/1.1\n").await;
        peer.finish();
        let expected = b"echo: \xff\xfb\x01\0\necho: GET well soon\necho: GET / HTTP/1.1\n";
        assert_eq!(peer.rest().await.unwrap(), expected);
    }

    #[test]
    fn a_message_keeps_its_kind() {
        let reply = |prefix: &'static [u8], message: WebSocketMessage| {
            let prefix = Some(Arc::new(Bytes::from_static(prefix).into()));
            let mut output = Output::default();
            PrefixedMessages { prefix, ..PrefixedMessages::default() }.encode(message.into(), &mut output);
            output.into_bytes()
        };
        let (text, binary) = (WebSocketMessage::from("hi"), WebSocketMessage::binary("hi"));
        assert_eq!(reply(b"echo: ", text.clone()), &b"\x81\x08echo: hi"[..]);
        assert_eq!(reply(b"echo: ", binary.clone()), &b"\x82\x08echo: hi"[..]);
        assert_eq!(reply(b"", text.clone()), &b"\x81\x02hi"[..]);
        assert_eq!(reply(b"", binary), &b"\x82\x02hi"[..]);
        assert_eq!(reply(b"\xff", text), &b"\x82\x03\xffhi"[..]);
    }

    #[test]
    fn what_has_gone_round_is_told_by_its_beginning() {
        let gone = |prefix: &str, payload: String| goes_round(prefix.as_bytes(), payload.as_bytes());
        for round in ["ba", "bananaa", "aba", "baaa", "xyxyxyxyxyxyxyxyxyxyqa", &("b".to_owned() + &"a".repeat(100))] {
            assert!(gone("a", round.repeat(20) + "?"), "{round}");
            assert!(!gone("c", round.repeat(20) + "?"), "{round}");
            assert!(!gone("a", round.to_owned() + "?"), "{round}");
        }
        for payload in ["", "a", "ba", "0000000100000001abcdefghijklmnopqrstuvwxyz", "a man, a plan, a canal"] {
            assert!(!gone("a", payload.to_owned()), "{payload}");
        }
        assert!(!gone("a", "b".repeat(65_507)));
    }

    #[test]
    fn only_replies_without_a_prefix_are_limited_everywhere() {
        assert_eq!(replies(b""), RepliesPerSource::AtMost(Rate::new(10, 100)));
        assert_eq!(replies(b"received: "), RepliesPerSource::Auto);
    }
}
