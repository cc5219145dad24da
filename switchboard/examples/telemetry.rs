// Telemetry: sensors send datagrams, and who connects watches. `cargo run -p switchboard --example telemetry`, then
// `nc 127.0.0.1 7003`, and from another terminal `printf 'kitchen 21.5' | nc -u -w1 127.0.0.1 7003`.
use switchboard::prelude::*;

/// Sensors are not asked who they are, and not answered.
fn measured(reading: Datagram<'_>, readings: &Room) {
    readings.publish(reading.payload.trim_ascii_end());
}

/// Who comes is told each reading from then on; what it says itself is nobody's concern.
async fn watch(mut conn: Connection<Lines>, readings: Room) -> Result {
    let _seat = conn.join(&readings)?;
    while conn.recv().await?.is_some() {}
    Ok(())
}

fn server(readings: Room) -> Server {
    Server::new()
        .tcp("127.0.0.1:7003", (readings.clone(), watch))
        .udp("127.0.0.1:7003", move |reading, _| measured(reading, &readings))
}

#[tokio::main]
async fn main() -> Result {
    server(Hub::new().room("readings")?).serve_until(ctrl_c()).await?;
    Ok(())
}
