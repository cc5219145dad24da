// The proxy on tokio alone, with the guarantees that README.md lists: to compare, and not to copy.
use socket2::SockRef;
use std::future::Future;
use std::io;
use std::pin::pin;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

const CONNECTIONS: usize = 10_000;
const TO_CONNECT: Duration = Duration::from_secs(10);
const TO_WRITE: Duration = Duration::from_secs(10);
const GRACE: Duration = Duration::from_secs(30);

/// Passes on what comes one way, and its end. Reads no more than is written.
async fn pass(mut from: ReadHalf<'_>, mut to: WriteHalf<'_>) -> io::Result<()> {
    let mut buffer = vec![0; 16 << 10];
    loop {
        let count = from.read(&mut buffer).await?;
        if count == 0 {
            return to.shutdown().await;
        }
        let mut rest = &buffer[..count];
        while !rest.is_empty() {
            // For each piece: a slow peer that still reads is not a lost one.
            let written = timeout(TO_WRITE, to.write(rest)).await??;
            rest = &rest[written..];
        }
    }
}

async fn proxy(mut client: TcpStream, upstream: String) -> io::Result<()> {
    // However this ends, by a panic or the end of the grace period too, it is a reset until both ways have come to their end.
    SockRef::from(&client).set_linger(Some(Duration::ZERO))?;
    client.set_nodelay(true)?;
    let mut upstream = timeout(TO_CONNECT, TcpStream::connect(upstream)).await??;
    SockRef::from(&upstream).set_linger(Some(Duration::ZERO))?;
    upstream.set_nodelay(true)?;
    let ((client_in, client_out), (upstream_in, upstream_out)) = (client.split(), upstream.split());
    tokio::try_join!(pass(client_in, upstream_out), pass(upstream_in, client_out))?;
    SockRef::from(&client).set_linger(None)?;
    SockRef::from(&upstream).set_linger(None)
}

async fn serve(listener: TcpListener, upstream: String, drain: impl Future<Output = ()>) {
    let (mut connections, mut drain) = (JoinSet::new(), pin!(drain));
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            // Those that have finished are forgotten.
            Some(_) = connections.join_next() => continue,
            () = &mut drain => break,
        };
        match accepted {
            Ok((client, _)) if connections.len() < CONNECTIONS => {
                connections.spawn(proxy(client, upstream.clone()));
            }
            Ok(refused) => drop(refused),
            // Without descriptors it would fail again at once.
            Err(_) => sleep(Duration::from_millis(100)).await,
        }
    }
    drop(listener);
    if timeout(GRACE, async { while connections.join_next().await.is_some() {} }).await.is_err() {
        connections.shutdown().await;
    }
}

#[tokio::main]
async fn main() -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:7005").await?;
    serve(listener, "127.0.0.1:7000".to_owned(), switchboard::ctrl_c()).await;
    Ok(())
}
