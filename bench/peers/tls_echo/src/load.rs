//! The load: lines that are numbered, and compared byte for byte when they come back.

use crate::Result;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use std::cell::Cell;
use std::fs;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::LocalSet;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Before anything is counted.
const WARM_UP: Duration = Duration::from_millis(500);

/// A server, and the process that it is.
#[derive(Clone)]
pub struct Target {
    address: String,
    connector: TlsConnector,
    pid: u32,
}

impl Target {
    pub fn new(address: &str, cert: &str, pid: u32) -> Result<Self> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(cert)?)?;
        let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        Ok(Self { address: address.to_owned(), connector: TlsConnector::from(Arc::new(config)), pid })
    }

    async fn connect(&self) -> Result<TlsStream<TcpStream>> {
        let stream = TcpStream::connect(&self.address).await?;
        stream.set_nodelay(true)?;
        Ok(self.connector.connect(ServerName::try_from("localhost")?, stream).await?)
    }

    /// Nanoseconds that its threads have run.
    fn cpu(&self) -> Result<u64> {
        let mut sum = 0;
        for task in fs::read_dir(format!("/proc/{}/task", self.pid))? {
            let text = fs::read_to_string(task?.path().join("schedstat"))?;
            sum += text.split(' ').next().unwrap_or_default().parse::<u64>()?;
        }
        Ok(sum)
    }

    fn resident_bytes(&self) -> Result<u64> {
        let text = fs::read_to_string(format!("/proc/{}/status", self.pid))?;
        let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
        Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? << 10)
    }
}

pub struct Load {
    pub connections: usize,
    pub in_flight: usize,
    pub size: usize,
    pub seconds: f64,
}

impl Load {
    pub async fn run(self, target: &Target) -> Result {
        let (replies, wrong) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
        let tasks = LocalSet::new();
        for _ in 0..self.connections {
            let stream = target.connect().await?;
            let (replies, wrong) = (Rc::clone(&replies), Rc::clone(&wrong));
            tasks.spawn_local(async move {
                // An end within the run is as wrong as another answer.
                let _ = lines(stream, self.in_flight, self.size, &replies).await;
                wrong.set(wrong.get() + 1);
            });
        }
        let measured = async {
            tokio::time::sleep(WARM_UP).await;
            let (began, before, cpu) = (Instant::now(), replies.get(), target.cpu()?);
            tokio::time::sleep(Duration::from_secs_f64(self.seconds)).await;
            let (count, cpu, elapsed) = (replies.get() - before, target.cpu()? - cpu, began.elapsed().as_secs_f64());
            let micros = cpu as f64 / 1000.0 / count as f64;
            let rate = count as f64 / elapsed;
            println!(
                "{{\"cpu_us_per_message\":{micros:.4},\"messages_per_s\":{rate:.0},\"connections_that_ended\":{}}}",
                wrong.get()
            );
            Ok(())
        };
        tasks.run_until(measured).await
    }
}

/// Keeps `in_flight` lines of `size` bytes on their way, and returns at the first that comes back otherwise.
async fn lines(mut stream: TlsStream<TcpStream>, in_flight: usize, size: usize, replies: &Cell<u64>) -> Result {
    let line = |number: u64| format!("{number:0>width$}\n", width = size - 1);
    let (mut sent, mut received) = (0, 0);
    let (mut input, mut output) = (Vec::with_capacity(64 << 10), String::new());
    loop {
        output.clear();
        while sent < received + in_flight as u64 {
            output.push_str(&line(sent));
            sent += 1;
        }
        stream.write_all(output.as_bytes()).await?;
        stream.flush().await?;
        if stream.read_buf(&mut input).await? == 0 {
            return Ok(());
        }
        let whole = input.len() / size * size;
        for reply in input[..whole].chunks(size) {
            if reply != line(received).as_bytes() {
                return Ok(());
            }
            received += 1;
            replies.set(replies.get() + 1);
        }
        input.drain(..whole);
    }
}

/// Opens connections, has a line echoed on each, and looks at what they cost once they are idle.
pub async fn idle(target: &Target, connections: usize) -> Result {
    let (before, cpu) = (target.resident_bytes()?, target.cpu()?);
    let mut streams = Vec::new();
    for _ in 0..connections {
        let mut stream = target.connect().await?;
        stream.write_all(b"hi\n").await?;
        stream.flush().await?;
        let mut reply = [0; 3];
        stream.read_exact(&mut reply).await?;
        streams.push(stream);
    }
    let micros = (target.cpu()? - cpu) as f64 / 1000.0 / connections as f64;
    tokio::time::sleep(Duration::from_secs(3)).await;
    let bytes = (target.resident_bytes()? - before) / connections as u64;
    println!("{{\"bytes_per_connection\":{bytes},\"cpu_us_per_handshake\":{micros:.1}}}");
    Ok(())
}
