// Echo of lines and of messages: `cargo run -p switchboard --example websocket`, then `nc 127.0.0.1 7000`, and in a browser
// `new WebSocket("ws://127.0.0.1:7001")`.
use switchboard::bytes::Bytes;
use switchboard::prelude::*;

/// A line of TCP and a message of a WebSocket are both bytes.
async fn echo<C>(mut conn: Connection<C>) -> Result
where
    C: Codec,
    C::Frame: Into<Bytes> + From<Bytes>,
{
    while let Some(frame) = conn.recv().await? {
        let bytes: Bytes = frame.into();
        conn.send(bytes).await?;
    }
    Ok(())
}

#[tokio::main]
async fn main() -> Result {
    let server = Server::new().tcp("127.0.0.1:7000", echo::<Lines>);
    server.websocket("127.0.0.1:7001", echo::<WebSocket>).serve_until(ctrl_c()).await?;
    Ok(())
}
