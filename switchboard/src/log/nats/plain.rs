//! Rooms for programs that speak NATS and are no nodes: what is published, as JSON on `sb.json.ROOM`, and requests to publish, on
//! `sb.publish.ROOM`.
//!
//! Neither is there unless it is asked for. What is told is told once, by the node that has published it, to whoever listens then; a request goes
//! to one node. Who may publish, and what, is for whoever takes the requests.

use super::shared::Shared;
use super::stream::MESSAGE_BYTES;
use super::wire::Received;
use super::{NatsEngine, subjects};
use bytes::Bytes;
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::sync::Arc;
use switchboard_proto::{ErrorCode, Failure, Format, Message, Notice, RoomName};
use tokio::sync::Notify;

/// Bytes of requests that are not answered yet, with what each takes beside its payload. More are refused.
const REQUESTED_BYTES: usize = 16 << 20;
const BESIDE: usize = 256;

/// What is told of requests that come too late.
const STOPPING: &str = "this node is stopping";

/// The requests that have come and are not answered.
#[derive(Default)]
pub(super) struct Requests {
    queue: Mutex<RequestQueue>,
    said: Notify,
}

#[derive(Default)]
struct RequestQueue {
    waiting: VecDeque<Request>,
    bytes: usize,
}

struct Request {
    room: RoomName,
    payload: Bytes,
    reply: Option<Bytes>,
}

impl Request {
    fn bytes(&self) -> usize {
        self.payload.len() + BESIDE
    }
}

impl Requests {
    fn push(&self, request: Request) -> Result<(), Request> {
        let mut queue = self.queue.lock();
        if queue.bytes + request.bytes() > REQUESTED_BYTES {
            return Err(request);
        }
        queue.bytes += request.bytes();
        queue.waiting.push_back(request);
        drop(queue);
        self.said.notify_one();
        Ok(())
    }
}

/// What programs that are no nodes ask to be published, while this is there.
pub struct NatsRequests {
    shared: Arc<Shared>,
    requests: Arc<Requests>,
}

/// One of them. Its answer is the last that is heard of it; none is given where it is dropped, or where none was wanted.
pub struct NatsRequest {
    shared: Arc<Shared>,
    requests: Arc<Requests>,
    request: Request,
}

impl NatsRequests {
    /// The next one, in the order in which they came.
    ///
    /// # Cancel safety
    /// Safe.
    pub async fn next(&self) -> NatsRequest {
        loop {
            let request = self.requests.queue.lock().waiting.pop_front();
            if let Some(request) = request {
                let (shared, requests) = (Arc::clone(&self.shared), Arc::clone(&self.requests));
                return NatsRequest { shared, requests, request };
            }
            self.requests.said.notified().await;
        }
    }
}

impl Drop for NatsRequests {
    /// The others get what comes from now on; what has come already is refused.
    fn drop(&mut self) {
        self.shared.take_requests(None);
        let waiting = std::mem::take(&mut self.requests.queue.lock().waiting);
        for request in waiting {
            self.shared.refuse_request(request.reply.as_ref(), STOPPING);
        }
    }
}

impl NatsRequest {
    /// Where it is to be published.
    pub fn room(&self) -> &RoomName {
        &self.request.room
    }

    /// What.
    pub fn payload(&self) -> &Bytes {
        &self.request.payload
    }

    /// Answers it.
    pub fn answer(self, answer: &[u8]) {
        if let Some(reply) = &self.request.reply {
            self.shared.answer(reply, answer);
        }
    }
}

impl Drop for NatsRequest {
    fn drop(&mut self) {
        self.requests.queue.lock().bytes -= self.request.bytes();
    }
}

impl NatsEngine {
    /// Takes requests to publish, beside other nodes that do: each goes to one of them. Called again only once what it gave is dropped.
    pub fn requests(&self) -> NatsRequests {
        let requests = Arc::<Requests>::default();
        self.shared.take_requests(Some(Arc::clone(&requests)));
        NatsRequests { shared: Arc::clone(&self.shared), requests }
    }
}

impl Shared {
    /// A message that this node has published is shown: tells programs that are no nodes, if the room is one for them.
    pub(super) fn tell_plainly(&self, message: &Message) {
        if !self.options.plain_rooms.iter().any(|rooms| rooms.matches(message.room.as_str(), None)) {
            return;
        }
        let mut object = Vec::new();
        Format::Json.message(message, &mut object);
        if object.len() as u64 > MESSAGE_BYTES {
            let gap = Notice::Gap { room: message.room.clone(), lost: 1, from_seq: message.id.seq };
            object = Format::Json.notice(&gap).map(Vec::from).unwrap_or_default();
        }
        self.say(&subjects::plain(&message.room), "", &object);
    }

    /// A request to publish has come.
    pub(super) fn requested(&self, requests: Option<&Requests>, mut asked: Received) {
        asked.reply = asked.reply.filter(|reply| subjects::takes_answers(reply));
        let Some(requests) = requests else { return self.refuse_request(asked.reply.as_ref(), STOPPING) };
        let Some(room) = subjects::requested(&asked.subject) else {
            return self.refuse_as(
                asked.reply.as_ref(),
                ErrorCode::BadName,
                "behind sb.publish. there is no room's name",
            );
        };
        if let Err(request) = requests.push(Request { room, payload: asked.payload, reply: asked.reply }) {
            self.refuse_request(request.reply.as_ref(), "too many requests are not answered yet");
        }
    }

    fn refuse_request(&self, reply: Option<&Bytes>, why: &str) {
        self.refuse_as(reply, ErrorCode::Unavailable, why);
    }

    fn refuse_as(&self, reply: Option<&Bytes>, code: ErrorCode, why: &str) {
        let told = Format::Json.failure(&Failure::new(code, why));
        if let (Some(reply), Some(told)) = (reply, told) {
            self.answer(reply, &told);
        }
    }
}

impl std::fmt::Debug for NatsRequests {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NatsRequests").finish_non_exhaustive()
    }
}

impl std::fmt::Debug for NatsRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NatsRequest").field("room", &self.request.room).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::super::shared::{NatsStanding, REQUESTS};
    use super::super::{NatsOptions, wire};
    use super::*;
    use std::time::UNIX_EPOCH;
    use switchboard_proto::{Epoch, Glob, MessageId};

    fn connected(rooms: &str) -> Arc<Shared> {
        let server = "nats://127.0.0.1:1".parse().expect("an address");
        let plain_rooms = vec![Glob::parse(rooms).expect("a glob")];
        let shared = Shared::new(NatsOptions { plain_rooms, ..NatsOptions::new([server]) }).expect("random numbers");
        shared.connected(NatsStanding { server: String::new(), version: String::new() });
        shared.said();
        Arc::new(shared)
    }

    /// What is said now.
    fn said(shared: &Shared) -> String {
        String::from_utf8(shared.said()).expect("a text")
    }

    fn asked(payload: usize) -> Received {
        Received {
            subject: "sb.publish.ops".into(),
            subscription: 0,
            reply: Some("r".into()),
            headers: wire::Headers::default(),
            payload: vec![b'x'; payload].into(),
        }
    }

    fn taken(shared: &Arc<Shared>) -> NatsRequests {
        let requests = Arc::<Requests>::default();
        shared.take_requests(Some(Arc::clone(&requests)));
        NatsRequests { shared: Arc::clone(shared), requests }
    }

    #[tokio::test]
    async fn requests_that_are_not_answered_yet_are_bounded() {
        let shared = connected("**");
        let taken = taken(&shared);
        assert_eq!(said(&shared), format!("SUB sb.publish.> sb {REQUESTS}\r\n"));
        let ask = || shared.requested(Some(&taken.requests), asked(1 << 20));
        (0..15).for_each(|_| ask());
        assert_eq!(said(&shared), "");
        let first = taken.next().await;
        ask();
        let refused = said(&shared);
        assert!(refused.starts_with("PUB r ") && refused.contains(r#"{"error":"unavailable","#), "{refused}");
        first.answer(b"yes");
        assert_eq!(said(&shared), "PUB r 3\r\nyes\r\n");
        ask();
        assert_eq!(said(&shared), "", "there is room again");
        drop(taken);
        let ended = said(&shared);
        assert_eq!(
            (ended.matches("this node is stopping").count(), ended.starts_with(&format!("UNSUB {REQUESTS}"))),
            (15, true)
        );
        shared.requested(None, asked(1));
        assert!(said(&shared).contains("this node is stopping"), "one that was on its way");
    }

    #[tokio::test]
    async fn no_answer_is_written_where_only_nodes_may_write() {
        let shared = connected("**");
        let taken = taken(&shared);
        said(&shared);
        for reply in ["sb.r.514.ops", "sb.json.ops", "sb.log", "$JS.API.STREAM.PURGE.SB", "$KV.SBN.x"] {
            shared.requested(Some(&taken.requests), Received { reply: Some(reply.into()), ..asked(1) });
            taken.next().await.answer(b"yes");
            shared.requested(None, Received { reply: Some(reply.into()), ..asked(1) });
            assert_eq!(said(&shared), "", "{reply}");
        }
    }

    #[test]
    fn a_message_is_told_in_rooms_for_programs_and_as_a_gap_where_it_is_too_long() {
        let shared = connected("ops*");
        let tell = |room: &str, payload: Vec<u8>| {
            shared.tell_plainly(&Message {
                room: RoomName::parse(room).expect("a name"),
                id: MessageId { epoch: Epoch::new(7), seq: 9 },
                time: UNIX_EPOCH,
                from: None,
                user: None,
                payload: payload.into(),
            });
            said(&shared)
        };
        assert_eq!(tell("lobby", b"hi".into()), "");
        let told = tell("Ops", b"hi".into());
        assert!(told.starts_with("PUB sb.json.ops ") && told.ends_with("\"text\":\"hi\"}\r\n"), "{told}");
        let long = tell("ops-long", vec![1; 60_000]);
        assert!(long.contains(r#"{"event":"gap","room":"ops-long","lost":1,"from_seq":9}"#), "{long:.200}");
    }
}
