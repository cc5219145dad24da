// The pipelining client on tokio alone, with the guarantees that README.md lists: to compare, and not to copy.
use std::collections::VecDeque;
use std::io;
use std::time::Duration;
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedWriteHalf;
use tokio::sync::mpsc::{Receiver, channel};
use tokio::time::timeout;

/// Requests without an answer. Beyond that none is taken.
const IN_FLIGHT: usize = 1024;
const PAUSE: Duration = Duration::from_millis(100);
const LINE_BYTES: usize = 64 << 10;
const TO_CONNECT: Duration = Duration::from_secs(10);
const TO_WRITE: Duration = Duration::from_secs(10);
/// A server that says nothing for so long is taken for lost.
const IDLE: Duration = Duration::from_secs(30);

/// Writes what comes, within a time that counts from the last progress.
async fn write(mut to: OwnedWriteHalf, mut lines: Receiver<String>) -> io::Result<()> {
    let mut waiting = Vec::new();
    while lines.recv_many(&mut waiting, IN_FLIGHT).await > 0 {
        let bytes = waiting.concat().into_bytes();
        waiting.clear();
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            let written = timeout(TO_WRITE, to.write(rest)).await??;
            rest = &rest[written..];
        }
    }
    to.shutdown().await
}

/// Takes one more piece of an answer, which stays in `line` if this is dropped. Says whether it is whole.
async fn hear(from: &mut (impl AsyncBufRead + Unpin), line: &mut Vec<u8>) -> io::Result<bool> {
    let left = (LINE_BYTES + 2).saturating_sub(line.len());
    let input = timeout(IDLE, from.fill_buf()).await??;
    if input.is_empty() || left == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let end = input.iter().position(|byte| *byte == b'\n').map_or(input.len(), |end| end + 1).min(left);
    line.extend_from_slice(&input[..end]);
    from.consume(end);
    Ok(line.ends_with(b"\n"))
}

/// Sends all `requests`, and tells of each what was answered, in their order; or nothing, if it may have been done before the
/// connection was lost, and must not be done twice.
async fn pipeline(
    connect: impl AsyncFn() -> io::Result<TcpStream>,
    mut requests: Receiver<String>,
    mut tell: impl FnMut(String, Option<String>),
) {
    let (mut waiting, mut has_ended, mut pause) = (VecDeque::<String>::new(), false, PAUSE);
    loop {
        if waiting.is_empty() {
            let Some(request) = requests.recv().await else { return };
            waiting.push_back(request);
        }
        // How many of those that wait were sent on this connection.
        let mut sent = 0;
        if let Ok(Ok(stream)) = timeout(TO_CONNECT, connect()).await {
            _ = stream.set_nodelay(true);
            let (from, to) = stream.into_split();
            let (mut from, mut line) = (BufReader::new(from), Vec::new());
            let (outbox, lines) = channel(IN_FLIGHT);
            // By itself: the other side may wait for its answers to be taken.
            let mut writing = tokio::spawn(write(to, lines));
            loop {
                while let Some(request) = waiting.get(sent)
                    && outbox.try_send(format!("{request}\n")).is_ok()
                {
                    sent += 1;
                }
                tokio::select! {
                    heard = hear(&mut from, &mut line) => match heard {
                        Ok(false) => {}
                        Ok(true) if sent > 0 => {
                            let text = String::from_utf8_lossy(&line);
                            let answer = text.trim_end_matches('\n').trim_end_matches('\r').to_owned();
                            tell(waiting.pop_front().unwrap_or_default(), Some(answer));
                            line.clear();
                            (sent, pause) = (sent - 1, PAUSE);
                        }
                        _ => break,
                    },
                    // It could not be written.
                    _ = &mut writing => break,
                    request = requests.recv(), if !has_ended && waiting.len() < IN_FLIGHT => match request {
                        Some(request) => waiting.push_back(request),
                        None => has_ended = true,
                    },
                }
                if has_ended && waiting.is_empty() {
                    drop(outbox);
                    _ = writing.await;
                    _ = timeout(PAUSE, from.read_to_end(&mut line)).await;
                    return;
                }
            }
            writing.abort();
        }
        for request in waiting.split_off(0).into_iter().enumerate() {
            match request {
                (place, request) if place < sent && request.starts_with('!') => tell(request, None),
                (_, request) => waiting.push_back(request),
            }
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_secs(5));
    }
}

#[expect(clippy::print_stdout, reason = "it prints the answers")]
#[tokio::main]
async fn main() {
    let (typed, requests) = channel(16);
    // A thread of its own, because reading a terminal blocks.
    std::thread::spawn(move || {
        let typed = |line: String| typed.blocking_send(line).is_ok();
        std::io::stdin().lines().map_while(std::io::Result::ok).all(typed)
    });
    let connect = async || TcpStream::connect("127.0.0.1:7000").await;
    pipeline(connect, requests, |request, answer| match answer {
        Some(answer) => println!("{request}: {answer}"),
        None => println!("{request}: not known whether it was done"),
    })
    .await;
}
