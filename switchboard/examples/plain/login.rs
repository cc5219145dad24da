// The chat with login and kicks on tokio alone, with the guarantees that README.md lists: to compare, and not to copy.
use parking_lot::Mutex;
use std::collections::HashMap;
use std::future::Future;
use std::io;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader, split};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

const CONNECTIONS: usize = 10_000;
const LINE_BYTES: usize = 64 << 10;
/// Lines that wait for one member. One for whom there are more is disconnected.
const OUTBOX: usize = 256;
const TO_LOG_IN: Duration = Duration::from_secs(30);
const TO_WRITE: Duration = Duration::from_secs(10);
const LINGER: Duration = Duration::from_secs(2);
const GRACE: Duration = Duration::from_secs(30);

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

struct Member {
    name: String,
    outbox: Sender<String>,
    stop: CancellationToken,
}

/// By their names in lower case.
#[derive(Clone, Default)]
struct Lobby(Arc<Mutex<HashMap<String, Member>>>);

impl Lobby {
    /// Says a line to all but one.
    fn tell(members: &HashMap<String, Member>, line: &str, except: &str) {
        for (key, member) in members {
            if key != except && member.outbox.try_send(format!("{line}\n")).is_err() {
                member.stop.cancel();
            }
        }
    }

    fn join(&self, name: &str, outbox: Sender<String>, stop: &CancellationToken) -> Result<Seat, String> {
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        if name.is_empty() || name.len() > 64 || !name.bytes().all(is_name) {
            return Err("a name is 1 to 64 letters, digits, '-', '_' and '.'".to_owned());
        }
        let key = name.to_ascii_lowercase();
        if key.starts_with("guest-") || matches!(&*key, "udp" | "http" | "server") {
            return Err(format!("name {name} is reserved"));
        }
        let mut members = self.0.lock();
        if members.contains_key(&key) {
            return Err(format!("name {name} is taken"));
        }
        Self::tell(&members, &format!("* [lobby] {name} joined"), &key);
        members.insert(key.clone(), Member { name: name.to_owned(), outbox, stop: stop.clone() });
        Ok(Seat { lobby: self.clone(), key, stop: stop.clone() })
    }

    /// Says whether there was one of that name.
    fn kick(&self, name: &str) -> bool {
        let members = self.0.lock();
        let Some(member) = members.get(&name.to_ascii_lowercase()) else { return false };
        _ = member.outbox.try_send("@server: an operator kicked you\n".to_owned());
        member.stop.cancel();
        true
    }
}

/// A place in the lobby, which is left however its connection ends.
struct Seat {
    lobby: Lobby,
    key: String,
    stop: CancellationToken,
}

impl Seat {
    fn publish(&self, line: &str) {
        let members = self.lobby.0.lock();
        let Some(member) = members.get(&self.key) else { return };
        Lobby::tell(&members, &format!("[lobby] {}: {line}", member.name), &self.key);
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.stop.cancel();
        let mut members = self.lobby.0.lock();
        if let Some(member) = members.remove(&self.key) {
            Lobby::tell(&members, &format!("* [lobby] {} left", member.name), &self.key);
        }
    }
}

/// A line, without what drives terminals or forges a second one; or none at the end.
async fn line(from: &mut (impl AsyncBufRead + Unpin)) -> io::Result<Option<String>> {
    let mut line = Vec::new();
    from.take(LINE_BYTES as u64 + 2).read_until(b'\n', &mut line).await?;
    if line.is_empty() {
        return Ok(None);
    }
    let text = line.strip_suffix(b"\n").unwrap_or(&line);
    let text = text.strip_suffix(b"\r").unwrap_or(text);
    if text.len() > LINE_BYTES {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let is_forbidden = |character: char| match character {
        '\t' => false,
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => true,
        _ => character.is_control(),
    };
    Ok(Some(String::from_utf8_lossy(text).replace(is_forbidden, " ")))
}

/// Writes what is said to a member until nobody can say more, within a time that counts from the last progress.
async fn write(mut to: impl AsyncWrite + Unpin, mut outbox: Receiver<String>) -> io::Result<()> {
    let mut lines = Vec::new();
    while outbox.recv_many(&mut lines, OUTBOX).await > 0 {
        let bytes = lines.concat().into_bytes();
        lines.clear();
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            let written = timeout(TO_WRITE, to.write(rest)).await??;
            rest = &rest[written..];
        }
    }
    to.shutdown().await
}

/// Takes lines until the end of input.
async fn hear(
    from: &mut (impl AsyncBufRead + Unpin),
    outbox: Sender<String>,
    lobby: &Lobby,
    may_kick: bool,
    stop: &CancellationToken,
) -> io::Result<()> {
    let say =
        async |line: String| outbox.send(line + "\n").await.map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe));
    say("your name?".to_owned()).await?;
    let Some(name) = timeout(TO_LOG_IN, line(from)).await?? else { return Ok(()) };
    let seat = match lobby.join(&name, outbox.clone(), stop) {
        Ok(seat) => seat,
        Err(refusal) => return say(format!("! {refusal}")).await,
    };
    while let Some(line) = line(from).await? {
        match line.strip_prefix("/kick ") {
            None => seat.publish(&line),
            Some(_) if !may_kick => say("! only operators kick".to_owned()).await?,
            Some(name) if lobby.kick(name) => seat.publish(&format!("kicked {name}")),
            Some(name) => say(format!("! no one is named {name}")).await?,
        }
    }
    Ok(())
}

async fn chat(stream: impl Stream, lobby: Lobby, may_kick: bool, stop: CancellationToken) -> io::Result<()> {
    let (from, to) = split(stream);
    let mut from = BufReader::new(from);
    let (outbox, said) = channel(OUTBOX);
    let hearing = async {
        let hearing = hear(&mut from, outbox, &lobby, may_kick, &stop);
        stop.run_until_cancelled(hearing).await.unwrap_or(Ok(()))
    };
    let writing = async {
        let written = write(to, said).await;
        stop.cancel();
        written
    };
    let (heard, written) = tokio::join!(hearing, writing);
    // What is on its way would be lost if the socket were closed while something in it is unread.
    _ = timeout(LINGER, tokio::io::copy(&mut from, &mut tokio::io::sink())).await;
    heard.and(written)
}

async fn serve(public: TcpListener, operators: UnixListener, drain: impl Future<Output = ()>) {
    let (lobby, draining) = (Lobby::default(), CancellationToken::new());
    let (mut connections, mut drain) = (JoinSet::new(), pin!(drain));
    loop {
        let accepted: io::Result<(Box<dyn Stream>, bool)> = tokio::select! {
            accepted = public.accept() => accepted.and_then(|(stream, _)| {
                stream.set_nodelay(true)?;
                Ok((Box::new(stream) as Box<dyn Stream>, false))
            }),
            accepted = operators.accept() => accepted.map(|(stream, _)| (Box::new(stream) as Box<dyn Stream>, true)),
            // Those that have finished are forgotten.
            Some(_) = connections.join_next() => continue,
            () = &mut drain => break,
        };
        match accepted {
            Ok((stream, may_kick)) if connections.len() < CONNECTIONS => {
                connections.spawn(chat(stream, lobby.clone(), may_kick, draining.child_token()));
            }
            Ok(refused) => drop(refused),
            // Without descriptors it would fail again at once.
            Err(_) => sleep(Duration::from_millis(100)).await,
        }
    }
    drop((public, operators));
    draining.cancel();
    if timeout(GRACE, async { while connections.join_next().await.is_some() {} }).await.is_err() {
        connections.shutdown().await;
    }
}

#[tokio::main]
async fn main() -> io::Result<()> {
    let path = PathBuf::from("operators.sock");
    _ = std::fs::remove_file(&path);
    let (public, operators) = (TcpListener::bind("127.0.0.1:7006").await?, UnixListener::bind(&path)?);
    serve(public, operators, switchboard::ctrl_c()).await;
    std::fs::remove_file(path)
}
