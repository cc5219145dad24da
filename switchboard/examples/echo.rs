// A safe echo server: `cargo run -p switchboard --example echo`, then `nc 127.0.0.1 7000`.
use switchboard::prelude::*;

async fn echo(mut conn: Connection<Lines>) -> Result {
    while let Some(line) = conn.recv().await? {
        conn.send(line).await?;
    }
    Ok(())
}

#[tokio::main]
async fn main() -> Result {
    Server::new().tcp("127.0.0.1:7000", echo).serve_until(ctrl_c()).await?;
    Ok(())
}
