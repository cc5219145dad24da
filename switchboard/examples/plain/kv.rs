// Keys, values and subscriptions on tokio alone, with the guarantees that README.md lists: to compare, and not to copy.
use Resp::{Array, Error, Nil, Number, Status, Word};
use bytes::{Buf, Bytes, BytesMut};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::future::Future;
use std::io::{self, ErrorKind::InvalidData};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

/// At most so many values are stored, each no longer than a frame.
const VALUES: usize = 10_000;
const CHANNELS: usize = 100_000;
const CHANNELS_OF_ONE: usize = 128;
const FRAME_BYTES: usize = 64 << 10;
const CONNECTIONS: usize = 10_000;
/// Answers and messages that wait for one connection. A subscriber for whom there are more is disconnected.
const OUTBOX: usize = 256;
const TO_WRITE: Duration = Duration::from_secs(10);
const LINGER: Duration = Duration::from_secs(2);
const GRACE: Duration = Duration::from_secs(30);

/// RESP 2: a command is an array of words, and an answer any of these.
enum Resp {
    Status(&'static str),
    Error(String),
    Number(usize),
    Nil,
    Word(Bytes),
    Array(Vec<Resp>),
}

/// Takes `*3\r\n` or `$5\r\n` off `input`.
fn length(input: &mut &[u8], kind: u8, most: usize) -> io::Result<Option<usize>> {
    let Some(end) = input.iter().take(12).position(|byte| *byte == b'\n') else {
        return if input.len() < 12 { Ok(None) } else { Err(InvalidData.into()) };
    };
    let digits = input[..end].strip_prefix(&[kind]).and_then(|line| line.strip_suffix(b"\r"));
    let length = digits.and_then(|digits| str::from_utf8(digits).ok()?.parse().ok());
    *input = &input[end + 1..];
    length.filter(|length| *length <= most).map(Some).ok_or(InvalidData.into())
}

/// Takes a command off `input`, once all of it is there.
fn decode(input: &mut BytesMut) -> io::Result<Option<Vec<Bytes>>> {
    let (mut rest, mut words, mut left) = (&input[..], Vec::new(), FRAME_BYTES);
    let Some(count) = length(&mut rest, b'*', 64)? else { return Ok(None) };
    while words.len() < count {
        let Some(length) = length(&mut rest, b'$', left)? else { return Ok(None) };
        left -= length;
        let Some((word, behind)) = rest.split_at_checked(length + 2) else { return Ok(None) };
        // Copied, as what is stored would keep all that was read with it.
        words.push(Bytes::copy_from_slice(word.strip_suffix(b"\r\n").ok_or(InvalidData)?));
        rest = behind;
    }
    let unread = rest.len();
    input.advance(input.len() - unread);
    Ok(Some(words))
}

fn encode(value: &Resp, output: &mut Vec<u8>) {
    match value {
        Status(text) => output.extend(format!("+{text}\r\n").as_bytes()),
        Error(text) => output.extend(format!("-ERR {text}\r\n").as_bytes()),
        Number(number) => output.extend(format!(":{number}\r\n").as_bytes()),
        Nil => output.extend(b"$-1\r\n"),
        Word(word) => output.extend([format!("${}\r\n", word.len()).as_bytes(), word, b"\r\n"].concat()),
        Array(values) => {
            output.extend(format!("*{}\r\n", values.len()).as_bytes());
            for value in values {
                encode(value, output);
            }
        }
    }
}

fn encoded(value: &Resp) -> Bytes {
    let mut output = Vec::new();
    encode(value, &mut output);
    output.into()
}

#[derive(Clone)]
struct Subscriber {
    outbox: Sender<Bytes>,
    stop: CancellationToken,
}

#[derive(Default)]
struct Shared {
    store: Mutex<HashMap<Bytes, Bytes>>,
    next: Mutex<u64>,
    /// Who has subscribed, by the numbers of their connections.
    channels: Mutex<HashMap<Bytes, HashMap<u64, Subscriber>>>,
}

impl Shared {
    /// Says to how many it goes.
    fn publish(&self, channel: &Bytes, payload: &Bytes) -> usize {
        let channels = self.channels.lock();
        let Some(subscribers) = channels.get(channel) else { return 0 };
        // Once for all.
        let push = encoded(&Array(vec![Word("message".into()), Word(channel.clone()), Word(payload.clone())]));
        for Subscriber { outbox, stop } in subscribers.values() {
            if outbox.try_send(push.clone()).is_err() {
                stop.cancel();
            }
        }
        subscribers.len()
    }

    fn leave(&self, number: u64, channel: &Bytes) {
        let mut channels = self.channels.lock();
        let Some(subscribers) = channels.get_mut(channel) else { return };
        subscribers.remove(&number);
        if subscribers.is_empty() {
            channels.remove(channel);
        }
    }
}

/// A connection's subscriptions, which end however it does.
struct Seats {
    shared: Arc<Shared>,
    number: u64,
    own: Subscriber,
    channels: Vec<Bytes>,
}

impl Seats {
    fn subscribe(&mut self, channel: &Bytes) -> Result<(), &'static str> {
        if self.channels.contains(channel) {
            return Ok(());
        }
        let mut channels = self.shared.channels.lock();
        if self.channels.len() >= CHANNELS_OF_ONE || channels.len() >= CHANNELS && !channels.contains_key(channel) {
            return Err("there are too many channels");
        }
        channels.entry(channel.clone()).or_default().insert(self.number, self.own.clone());
        self.channels.push(channel.clone());
        Ok(())
    }

    fn unsubscribe(&mut self, channel: &Bytes) {
        self.channels.retain(|other| other != channel);
        self.shared.leave(self.number, channel);
    }
}

impl Drop for Seats {
    fn drop(&mut self) {
        for channel in &self.channels {
            self.shared.leave(self.number, channel);
        }
    }
}

fn answer(words: &[Bytes], seats: &mut Seats) -> Result<Resp, String> {
    let [command, words @ ..] = words else { return Err("there is no command".into()) };
    let shared = Arc::clone(&seats.shared);
    Ok(match (&command.to_ascii_uppercase()[..], words) {
        (b"PING", []) => Status("PONG"),
        (b"GET", [key]) => shared.store.lock().get(key).cloned().map_or(Nil, Word),
        (b"SET", [key, value]) => {
            let mut store = shared.store.lock();
            if store.len() >= VALUES && !store.contains_key(key) {
                return Err("there are too many values".into());
            }
            store.insert(key.clone(), value.clone());
            Status("OK")
        }
        (b"DEL", keys) => {
            let mut store = shared.store.lock();
            Number(keys.iter().filter(|key| store.remove(*key).is_some()).count())
        }
        (b"PUBLISH", [channel, payload]) => Number(shared.publish(channel, payload)),
        (b"SUBSCRIBE", [channel]) => {
            seats.subscribe(channel)?;
            Array(vec![Word("subscribe".into()), Word(channel.clone()), Number(seats.channels.len())])
        }
        (b"UNSUBSCRIBE", [channel]) => {
            seats.unsubscribe(channel);
            Array(vec![Word("unsubscribe".into()), Word(channel.clone()), Number(seats.channels.len())])
        }
        _ => return Err(format!("no such command: {}", String::from_utf8_lossy(command))),
    })
}

/// Takes commands until the end of input.
async fn hear(from: &mut OwnedReadHalf, mut seats: Seats) -> io::Result<()> {
    let mut input = BytesMut::new();
    loop {
        while let Some(words) = decode(&mut input)? {
            let answer = answer(&words, &mut seats).unwrap_or_else(Error);
            // Whoever does not take answers is not read from.
            seats.own.outbox.send(encoded(&answer)).await.map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))?;
        }
        if from.read_buf(&mut input).await? == 0 {
            return if input.is_empty() { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) };
        }
    }
}

/// Writes what is queued until nobody can queue more, within a time that counts from the last progress.
async fn write(to: &mut OwnedWriteHalf, mut outbox: Receiver<Bytes>) -> io::Result<()> {
    let mut frames = Vec::new();
    while outbox.recv_many(&mut frames, OUTBOX).await > 0 {
        let bytes = frames.concat();
        frames.clear();
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            let written = timeout(TO_WRITE, to.write(rest)).await??;
            rest = &rest[written..];
        }
    }
    to.shutdown().await
}

async fn connection(stream: TcpStream, shared: Arc<Shared>, stop: CancellationToken) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let (mut from, mut to) = stream.into_split();
    let (outbox, queued) = channel(OUTBOX);
    let number = {
        let mut next = shared.next.lock();
        *next += 1;
        *next
    };
    let seats = Seats { shared, number, own: Subscriber { outbox, stop: stop.clone() }, channels: Vec::new() };
    let hearing = async { stop.run_until_cancelled(hear(&mut from, seats)).await.unwrap_or(Ok(())) };
    let writing = async {
        let written = write(&mut to, queued).await;
        stop.cancel();
        written
    };
    let (heard, written) = tokio::join!(hearing, writing);
    // What is on its way would be lost if the socket were closed while something in it is unread.
    _ = timeout(LINGER, tokio::io::copy(&mut from, &mut tokio::io::sink())).await;
    heard.and(written)
}

async fn serve(listener: TcpListener, drain: impl Future<Output = ()>) {
    let (shared, draining) = (Arc::<Shared>::default(), CancellationToken::new());
    let (mut connections, mut drain) = (JoinSet::new(), pin!(drain));
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            // Those that have finished are forgotten.
            Some(_) = connections.join_next() => continue,
            () = &mut drain => break,
        };
        match accepted {
            Ok((stream, _)) if connections.len() < CONNECTIONS => {
                connections.spawn(connection(stream, Arc::clone(&shared), draining.child_token()));
            }
            Ok(refused) => drop(refused),
            // Without descriptors it would fail again at once.
            Err(_) => sleep(Duration::from_millis(100)).await,
        }
    }
    drop(listener);
    draining.cancel();
    if timeout(GRACE, async { while connections.join_next().await.is_some() {} }).await.is_err() {
        connections.shutdown().await;
    }
}

#[tokio::main]
async fn main() -> io::Result<()> {
    serve(TcpListener::bind("127.0.0.1:7007").await?, switchboard::ctrl_c()).await;
    Ok(())
}
