// Keys, values and subscriptions for Redis' clients: `cargo run -p switchboard --example kv`, then `redis-cli -p 7007`.
use Resp::{Array, Error, Nil, Number, Status, Word};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use switchboard::bytes::{Buf, Bytes, BytesMut};
use switchboard::grammar::Message;
use switchboard::prelude::*;

/// At most so many values are stored, each no longer than a frame.
const VALUES: usize = 10_000;

/// RESP 2: a command is an array of words, and an answer any of these.
enum Resp {
    Status(&'static str),
    Error(String),
    Number(usize),
    Nil,
    Word(Bytes),
    Array(Vec<Resp>),
}

#[derive(Default)]
struct RespCodec;

/// Takes `*3\r\n` or `$5\r\n` off `input`.
fn length(input: &mut &[u8], kind: u8) -> Result<Option<usize>, FrameError> {
    let Some(end) = input.iter().take(12).position(|byte| *byte == b'\n') else {
        return if input.len() < 12 { Ok(None) } else { Err(FrameError::Malformed("a length has no end")) };
    };
    let digits = input[..end].strip_prefix(&[kind]).and_then(|line| line.strip_suffix(b"\r"));
    let length = digits.and_then(|digits| str::from_utf8(digits).ok()?.parse().ok());
    *input = &input[end + 1..];
    length.map(Some).ok_or(FrameError::Malformed("no length"))
}

impl Codec for RespCodec {
    type Frame = Resp;

    fn decode(&mut self, input: &mut BytesMut, frame_bytes: usize) -> Result<Option<Resp>, FrameError> {
        let (mut rest, mut words, mut bytes) = (&input[..], Vec::new(), 0_usize);
        let Some(count) = length(&mut rest, b'*')? else { return Ok(None) };
        FrameError::if_longer(count, 64)?;
        while words.len() < count {
            let Some(length) = length(&mut rest, b'$')? else { return Ok(None) };
            bytes = bytes.saturating_add(length);
            FrameError::if_longer(bytes, frame_bytes)?;
            let Some((word, behind)) = rest.split_at_checked(length + 2) else { return Ok(None) };
            words.push(word.strip_suffix(b"\r\n").ok_or(FrameError::Malformed("a word has no end"))?);
            rest = behind;
        }
        // Copied, as what is stored would keep all that was read with it.
        let words = words.into_iter().map(|word| Word(Bytes::copy_from_slice(word))).collect();
        let unread = rest.len();
        input.advance(input.len() - unread);
        Ok(Some(Array(words)))
    }

    fn encode(&mut self, value: Resp, output: &mut Output) {
        match value {
            Status(text) => output.put(format!("+{text}\r\n").as_bytes()),
            Error(text) => output.put(format!("-ERR {text}\r\n").as_bytes()),
            Number(number) => output.put(format!(":{number}\r\n").as_bytes()),
            Nil => output.put(b"$-1\r\n"),
            Word(word) => {
                output.put(format!("${}\r\n", word.len()).as_bytes());
                output.share(word);
                output.put(b"\r\n");
            }
            Array(values) => {
                output.put(format!("*{}\r\n", values.len()).as_bytes());
                for value in values {
                    self.encode(value, output);
                }
            }
        }
    }
}

/// What a subscriber to this channel is told.
#[derive(PartialEq)]
struct Push(Bytes);

impl Encoding<RespCodec> for Push {
    fn message(&self, message: &Message) -> Option<Resp> {
        Some(Array(vec![Word("message".into()), Word(self.0.clone()), Word(message.payload.clone())]))
    }
}

type Store = Arc<Mutex<HashMap<Bytes, Bytes>>>;

async fn serve(mut conn: Connection<RespCodec>, (hub, store): (Hub, Store)) -> Result {
    let mut seats = HashMap::new();
    while let Some(command) = conn.recv().await? {
        let Array(words) = command else { continue };
        let answer = answer(&mut conn, &words, &mut seats, &hub, &store).await;
        conn.send(answer.unwrap_or_else(|error| Error(error.to_string()))).await?;
    }
    Ok(())
}

async fn answer(
    conn: &mut Connection<RespCodec>,
    words: &[Resp],
    seats: &mut HashMap<Bytes, Membership>,
    hub: &Hub,
    store: &Store,
) -> Result<Resp> {
    let [Word(command), words @ ..] = words else { return Err("there is no command".into()) };
    let room = |channel| hub.room(&String::from_utf8_lossy(channel));
    Ok(match (&command.to_ascii_uppercase()[..], words) {
        (b"PING", []) => Status("PONG"),
        (b"GET", [Word(key)]) => store.lock().get(key).cloned().map_or(Nil, Word),
        (b"SET", [Word(key), Word(value)]) => {
            let mut store = store.lock();
            if store.len() >= VALUES && !store.contains_key(key) {
                return Err("there are too many values".into());
            }
            store.insert(key.clone(), value.clone());
            Status("OK")
        }
        (b"DEL", keys) => {
            let mut store = store.lock();
            Number(keys.iter().filter(|key| matches!(key, Word(key) if store.remove(key).is_some())).count())
        }
        (b"PUBLISH", [Word(channel), Word(payload)]) => {
            let room = room(channel)?;
            room.publish(payload);
            // Who publishes faster than this reaches others is read more slowly.
            room.ready().await;
            Number(room.member_count())
        }
        (b"SUBSCRIBE", [Word(channel)]) => {
            seats.insert(channel.clone(), conn.join_as(&room(channel)?, Push(channel.clone()), Join::default())?);
            Array(vec![Word("subscribe".into()), Word(channel.clone()), Number(seats.len())])
        }
        (b"UNSUBSCRIBE", [Word(channel)]) => {
            seats.remove(channel);
            Array(vec![Word("unsubscribe".into()), Word(channel.clone()), Number(seats.len())])
        }
        _ => return Err(format!("no such command: {}", String::from_utf8_lossy(command)).into()),
    })
}

#[tokio::main]
async fn main() -> Result {
    let state = (Hub::new(), Store::default());
    Server::new().tcp("127.0.0.1:7007", (state, serve)).serve_until(ctrl_c()).await?;
    Ok(())
}
