//! A minimal WebSocket server on tokio-tungstenite, with a task for each connection. One thread; no limits and no deadlines.
//!
//! With `echo` each message is answered with itself; with `fanout` it goes to all others, through one broadcast channel, and what
//! waits in it for a connection is flushed at once. BUFFER is the read buffer of each connection, in bytes.
//!
//!     websocket ADDRESS echo|fanout BUFFER

use futures_util::{SinkExt, StreamExt};
use std::error::Error;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::broadcast::{self, error::TryRecvError};
use tokio_tungstenite::accept_async_with_config;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

/// Messages that wait in the channel. Who lags further behind is closed.
const WAITING: usize = 4096;

type Everyone = broadcast::Sender<(usize, Message)>;
type Outcome = Result<(), Box<dyn Error + Send + Sync>>;

fn main() -> Outcome {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [address, mode, buffer] = &words[..] else {
        return Err("websocket ADDRESS echo|fanout BUFFER".into());
    };
    let config = WebSocketConfig::default().read_buffer_size(buffer.parse()?);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(serve(address, mode == "fanout", config))
}

async fn serve(address: &str, fans_out: bool, config: WebSocketConfig) -> Outcome {
    let listener = TcpListener::bind(address).await?;
    let everyone = broadcast::channel(WAITING).0;
    for number in 0.. {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        if fans_out {
            tokio::spawn(fan_out(stream, config, number, everyone.clone()));
        } else {
            tokio::spawn(echo(stream, config));
        }
    }
    Ok(())
}

async fn echo(stream: TcpStream, config: WebSocketConfig) -> Outcome {
    let mut socket = accept_async_with_config(stream, Some(config)).await?;
    while let Some(message) = socket.next().await.transpose()? {
        if message.is_text() || message.is_binary() {
            socket.send(message).await?;
        }
    }
    Ok(())
}

async fn fan_out(stream: TcpStream, config: WebSocketConfig, own: usize, everyone: Everyone) -> Outcome {
    let mut socket = accept_async_with_config(stream, Some(config)).await?;
    let mut others = everyone.subscribe();
    loop {
        tokio::select! {
            message = socket.next() => {
                let Some(message) = message.transpose()? else { return Ok(()) };
                if message.is_text() || message.is_binary() {
                    everyone.send((own, message))?;
                }
            }
            heard = others.recv() => {
                let (mut from, mut message) = heard?;
                loop {
                    if from != own {
                        socket.feed(message).await?;
                    }
                    (from, message) = match others.try_recv() {
                        Ok(next) => next,
                        Err(TryRecvError::Empty) => break,
                        Err(lost) => return Err(lost.into()),
                    };
                }
                socket.flush().await?;
            }
        }
    }
}
