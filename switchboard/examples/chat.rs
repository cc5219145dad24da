// A chat room: `cargo run -p switchboard --example chat`, then `nc 127.0.0.1 7002` in two terminals.
use switchboard::prelude::*;

async fn chat(mut conn: Connection<Lines>, lobby: Room) -> Result {
    conn.send("your name?").await?;
    let Some(name) = conn.recv().await? else { return Ok(()) };
    let seat = conn.join(&lobby)?.will(format!("* {name} left"));
    seat.publish(format!("* {name} joined"))?;
    while let Some(line) = conn.recv().await? {
        seat.publish(format!("{name}: {line}"))?;
    }
    Ok(())
}

fn server(lobby: Room) -> Server {
    Server::new().tcp("127.0.0.1:7002", (lobby, chat))
}

#[tokio::main]
async fn main() -> Result {
    server(Hub::new().room("lobby")?).serve_until(ctrl_c()).await?;
    Ok(())
}
