// A client with many requests in flight, which reconnects: `cargo run -p switchboard --example pipeline`. It sends lines of stdin to
// what answers each on port 7000, such as the example echo; stop and start that meanwhile. What begins with `!` is sent once at most.
use std::collections::VecDeque;
use std::time::Duration;
use switchboard::prelude::*;
use tokio::sync::mpsc::{Receiver, channel};

/// Requests without an answer. Beyond that none is taken.
const IN_FLIGHT: usize = 1024;
const PAUSE: Duration = Duration::from_millis(100);

/// Sends all `requests`, and tells of each what was answered, in their order; or nothing, if it may have been done before the
/// connection was lost, and must not be done twice.
async fn pipeline(
    connect: impl AsyncFn() -> Result<Connection<Lines>>,
    mut requests: Receiver<String>,
    mut tell: impl FnMut(String, Option<Line>),
) {
    let (mut waiting, mut has_ended, mut pause) = (VecDeque::new(), false, PAUSE);
    loop {
        if waiting.is_empty() {
            let Some(request) = requests.recv().await else { return };
            waiting.push_back(request);
        }
        // How many of those that wait were sent on this connection.
        let mut sent = 0;
        if let Ok(mut conn) = connect().await {
            let sender = conn.sender();
            loop {
                // Without waiting: the other side may wait for its answers to be taken.
                while let Some(request) = waiting.get(sent)
                    && sender.try_send(request.clone()).is_ok()
                {
                    sent += 1;
                }
                tokio::select! {
                    answer = conn.recv() => match answer {
                        Ok(Some(answer)) if sent > 0 => {
                            tell(waiting.pop_front().unwrap_or_default(), Some(answer));
                            (sent, pause) = (sent - 1, PAUSE);
                        }
                        _ => break,
                    },
                    request = requests.recv(), if !has_ended && waiting.len() < IN_FLIGHT => match request {
                        Some(request) => waiting.push_back(request),
                        None => has_ended = true,
                    },
                }
                if has_ended && waiting.is_empty() {
                    return conn.close();
                }
            }
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
    // A server that says nothing for so long is taken for lost.
    let client = Client::new().timeouts(Timeouts { idle: Some(Duration::from_secs(30)), ..Timeouts::default() });
    let connect = async || Ok(client.tcp("127.0.0.1:7000").await?);
    pipeline(connect, requests, |request, answer| match answer {
        Some(answer) => println!("{request}: {answer}"),
        None => println!("{request}: not known whether it was done"),
    })
    .await;
}
