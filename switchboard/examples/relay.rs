// A media relay: what anybody sends to the group 239.1.2.4:5004 goes to each WebSocket at ws://127.0.0.1:7006, and what one of them sends to
// the group and to the others. `cargo run -p switchboard --example relay -- eth0`, with the interface that the group is on.
use switchboard::bytes::Bytes;
use switchboard::prelude::*;
use switchboard::{Format, Join, Overflow, Udp};

/// What is late is worth nothing: whoever is slow gets the newest.
async fn member<C: Codec<Frame: From<Bytes> + Into<Bytes>>>(mut conn: Connection<C>, call: Room) -> Result {
    let live = Join { overflow: Some(Overflow::Conflate), ..Join::default() };
    let seat = conn.join_as(&call, Format::Raw, live)?;
    while let Some(packet) = conn.recv().await? {
        seat.publish(packet.into())?;
    }
    Ok(())
}

fn server(interface: &str, call: Room) -> Server {
    let group = Udp::group("239.1.2.4:5004").interface(interface);
    Server::new().group(group, (call.clone(), member)).websocket("127.0.0.1:7006", (call, member))
}

#[tokio::main]
async fn main() -> Result {
    let interface = std::env::args().nth(1).ok_or("which interface?")?;
    server(&interface, Hub::new().room("call")?).serve_until(ctrl_c()).await?;
    Ok(())
}
