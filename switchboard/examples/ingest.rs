// Readings of devices over TLS and UDP, asked for over HTTP. `openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=localhost -keyout
// key.pem -out cert.pem` makes a certificate; then `cargo run -p switchboard --example ingest`, `curl -N 127.0.0.1:7010/live`, and
// `printf '\0\0\0\7\100\65\200\0\0\0\0\0' | nc -u -w1 127.0.0.1 7009`: device 7 reads 21.5. `curl 127.0.0.1:7010` has the last of each.
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use switchboard::bytes::Buf;
use switchboard::http::{HeaderValue, Request, Response, StatusCode, header::CONTENT_TYPE, types};
use switchboard::prelude::*;
use switchboard::{Certificates, EventStream, PlainEvents};

/// Beyond so many devices new ones are refused.
const DEVICES: usize = 10_000;

#[derive(Clone)]
struct Readings {
    last: Arc<Mutex<BTreeMap<u32, f64>>>,
    live: Room,
}

impl Readings {
    /// Takes a device's number and what it has measured, 12 bytes. Says whether that is what it was.
    fn take(&self, mut reading: &[u8]) -> bool {
        let (Ok(device), Ok(value)) = (reading.try_get_u32(), reading.try_get_f64()) else { return false };
        let mut last = self.last.lock();
        let is_right = reading.is_empty() && value.is_finite() && (last.len() < DEVICES || last.contains_key(&device));
        if is_right {
            last.insert(device, value);
            self.live.publish(format!(r#"{{"{device}":{value}}}"#));
        }
        is_right
    }
}

async fn device(mut conn: Connection<Length>, readings: Readings) -> Result {
    while let Some(reading) = conn.recv().await? {
        if !readings.take(&reading) {
            return Err(CloseReason::BadFrame.into());
        }
        readings.live.ready().await;
    }
    Ok(())
}

async fn answer(request: Request, readings: Readings) -> Result<Response, StatusCode> {
    Ok(match request.uri().path() {
        "/" => {
            let last = readings.last.lock();
            let last: Vec<_> = last.iter().map(|(device, value)| format!(r#""{device}":{value}"#)).collect();
            let mut answer = types::Response::new(format!("{{{}}}\n", last.join(",")));
            answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            answer.into()
        }
        "/live" => Response::stream(types::Response::new(()), |conn| watch(conn, readings.live)),
        _ => return Err(StatusCode::NOT_FOUND),
    })
}

async fn watch(mut conn: Connection<EventStream>, live: Room) -> Result {
    let _seat = conn.join_as(&live, PlainEvents, Join::default())?;
    while conn.recv().await?.is_some() {}
    Ok(())
}

fn server(readings: Readings, certificates: &Certificates) -> Server {
    let datagrams = readings.clone();
    Server::new()
        .tls("127.0.0.1:7009", certificates, (readings.clone(), device))
        .udp("127.0.0.1:7009", move |datagram, _| _ = datagrams.take(datagram.payload))
        .http("127.0.0.1:7010", (readings, answer))
}

#[tokio::main]
async fn main() -> Result {
    let certificates = Certificates::from_files([("cert.pem", "key.pem")])?;
    let readings = Readings { last: Arc::default(), live: Hub::new().room("live")? };
    server(readings, &certificates).serve_until(ctrl_c()).await?;
    Ok(())
}
