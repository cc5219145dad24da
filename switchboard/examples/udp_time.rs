// The time, by datagram (RFC 868): four bytes of seconds since 1900. `cargo run -p switchboard --example udp_time`, then
// `echo | nc -u -w1 127.0.0.1 7037 | xxd`.
use std::time::{SystemTime, UNIX_EPOCH};
use switchboard::prelude::*;

/// Seconds from 1900 to 1970 (RFC 868).
const UNIX_EPOCH_SINCE_1900: u64 = 2_208_988_800;

fn time(_: Datagram<'_>, reply: &mut DatagramReply<'_>) {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    // The protocol's 32 bits wrap in 2036.
    reply.write((since_1970 + UNIX_EPOCH_SINCE_1900).to_be_bytes()[4..].as_ref());
}

#[tokio::main]
async fn main() -> Result {
    Server::new().udp("127.0.0.1:7037", time).serve_until(ctrl_c()).await?;
    Ok(())
}
