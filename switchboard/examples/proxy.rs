// A TCP proxy in front of whatever listens on port 7000: `cargo run -p switchboard --example proxy`, then `nc -N 127.0.0.1 7005`.
use std::sync::Arc;
use switchboard::prelude::*;

/// Ends of input are passed on each way, resets too; what one side takes slowly is read slowly, and a drain cuts nothing short.
async fn proxy(conn: Connection<Raw>, (client, upstream): (Arc<Client>, String)) {
    match client.tcp::<Raw>(upstream).await {
        Ok(upstream) => _ = relay(conn, upstream).await,
        // So that it is seen at once.
        Err(_) => conn.reset(),
    }
}

#[tokio::main]
async fn main() -> Result {
    let state = (Arc::new(Client::new()), "127.0.0.1:7000".to_owned());
    Server::new().tcp("127.0.0.1:7005", (state, proxy)).serve_until(ctrl_c()).await?;
    Ok(())
}
