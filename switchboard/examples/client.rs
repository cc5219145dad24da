// The other end of the chat room: `cargo run -p switchboard --example client alice`. Says what it reads from stdin.
use switchboard::prelude::*;
use tokio::sync::mpsc::{Receiver, channel};

/// Says `name` and every line, and calls `print` with all that comes, until both sides have finished.
async fn talk(
    mut conn: Connection<Lines>,
    name: &str,
    mut lines: Receiver<String>,
    mut print: impl FnMut(Line),
) -> Result {
    conn.send(name).await?;
    loop {
        tokio::select! {
            received = conn.recv() => match received? {
                Some(line) => print(line),
                None => return Ok(()),
            },
            line = lines.recv() => match line {
                Some(line) => conn.send(line).await?,
                None => break,
            },
        }
    }
    // The end of our input is not the end of theirs: what is on its way still comes.
    let mut conn = conn.finish();
    while let Some(line) = conn.recv().await? {
        print(line);
    }
    Ok(())
}

#[expect(clippy::print_stdout, reason = "it prints what it hears")]
#[tokio::main]
async fn main() -> Result {
    let name = std::env::args().nth(1).unwrap_or("somebody".to_owned());
    let (typed, lines) = channel(16);
    // A thread of its own, because reading a terminal blocks.
    std::thread::spawn(move || {
        let typed = |line: String| typed.blocking_send(line).is_ok();
        std::io::stdin().lines().map_while(std::io::Result::ok).all(typed)
    });
    let conn = Client::new().tcp("127.0.0.1:7002").await?;
    talk(conn, &name, lines, |line| println!("{line}")).await
}
