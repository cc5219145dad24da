//! hyper's client of HTTP/2, to a server in memory.

use super::served::Served;
use bytes::Bytes;
use http::{Method, Request, Response};
use hyper::body::{Body as _, Frame, Incoming};
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper::ext::Protocol;
use hyper::rt::{Executor, Read, ReadBufCursor, Write};
use hyper::upgrade::Upgraded;
use std::convert::Infallible;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use switchboard::CloseReason;
use switchboard::testing::Peer;
use tokio::io::{
    AsyncRead as _, AsyncReadExt as _, AsyncWrite as _, AsyncWriteExt as _, DuplexStream, ReadBuf, duplex,
};
use tokio::task::JoinHandle;

pub(crate) struct Client {
    pub(crate) sender: SendRequest<Whole>,
    /// Why the server closed the connection.
    pub(crate) closed: JoinHandle<CloseReason>,
    /// What was said by hyper about the connection.
    pub(crate) connection: JoinHandle<hyper::Result<()>>,
}

impl Client {
    pub(crate) async fn connect(server: &Served) -> Self {
        Self::with(server, 1 << 20).await
    }

    /// With windows of so many bytes, for each answer and for all.
    pub(crate) async fn with(server: &Served, window: u32) -> Self {
        let (here, there) = duplex(64 << 10);
        let closed = spawn(pump(server.connect(), there));
        let mut builder = Builder::new(Tasks);
        builder.initial_stream_window_size(window).initial_connection_window_size(1 << 20);
        let (sender, connection) = builder.handshake(Io(here)).await.unwrap();
        Self { sender, closed, connection: spawn(connection) }
    }

    pub(crate) async fn send(&mut self, request: Request<Whole>) -> hyper::Result<Response<Incoming>> {
        self.sender.ready().await?;
        self.sender.send_request(request).await
    }

    /// Asks beside whatever else is asked.
    pub(crate) fn begin(&self, request: Request<Whole>) -> JoinHandle<hyper::Result<Response<Incoming>>> {
        let mut sender = self.sender.clone();
        spawn(async move { sender.send_request(request).await })
    }

    pub(crate) async fn get(&mut self, path: &str) -> Response<Incoming> {
        self.send(get(path)).await.unwrap()
    }

    /// Opens a WebSocket.
    pub(crate) async fn websocket(&mut self, path: &str) -> Result<WebSocket, u16> {
        // The server has to have said that it can.
        self.get("/").await;
        let response = self.send(connect(path)).await.unwrap();
        if response.status() != 200 {
            return Err(response.status().as_u16());
        }
        Ok(WebSocket { upgraded: hyper::upgrade::on(response).await.unwrap() })
    }
}

pub(crate) fn get(path: &str) -> Request<Whole> {
    Request::get(format!("http://x{path}")).body(Whole::default()).unwrap()
}

pub(crate) fn connect(path: &str) -> Request<Whole> {
    Request::builder()
        .method(Method::CONNECT)
        .uri(format!("http://x{path}"))
        .extension(Protocol::from_static("websocket"))
        .header("sec-websocket-version", "13")
        .header("sec-websocket-protocol", "chat, other")
        .body(Whole::default())
        .unwrap()
}

/// What comes next of a body; `None` at its end.
pub(crate) async fn piece(body: &mut Incoming) -> Option<hyper::Result<Bytes>> {
    loop {
        match poll_fn(|cx| Pin::new(&mut *body).poll_frame(cx)).await?.map(|frame| frame.into_data().unwrap()) {
            Ok(piece) if piece.is_empty() => {}
            piece => return Some(piece),
        }
    }
}

pub(crate) async fn whole(mut body: Incoming) -> Vec<u8> {
    let mut whole = Vec::new();
    while let Some(piece) = piece(&mut body).await {
        whole.extend(piece.unwrap());
    }
    whole
}

pub(crate) struct WebSocket {
    upgraded: Upgraded,
}

impl WebSocket {
    pub(crate) async fn send(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let count = poll_fn(|cx| Pin::new(&mut self.upgraded).poll_write(cx, bytes)).await.unwrap();
            bytes = &bytes[count..];
        }
    }

    /// At the end, and after a reset, fewer.
    pub(crate) async fn bytes(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        let mut buffer = hyper::rt::ReadBuf::new(&mut bytes);
        while buffer.filled().len() < count {
            let before = buffer.filled().len();
            let read = poll_fn(|cx| Pin::new(&mut self.upgraded).poll_read(cx, buffer.unfilled())).await;
            if read.is_err() || buffer.filled().len() == before {
                break;
            }
        }
        let count = buffer.filled().len();
        bytes.truncate(count);
        bytes
    }
}

/// A body in one piece.
#[derive(Default)]
pub(crate) struct Whole(pub(crate) Bytes);

impl hyper::body::Body for Whole {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let bytes = std::mem::take(&mut self.0);
        Poll::Ready((!bytes.is_empty()).then(|| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_empty()
    }
}

#[expect(clippy::disallowed_methods, reason = "the test's runtime owns the client")]
pub(crate) fn spawn<F: Future<Output: Send> + Send + 'static>(future: F) -> JoinHandle<F::Output> {
    tokio::spawn(future)
}

#[derive(Clone)]
struct Tasks;

impl<F: Future<Output: Send> + Send + 'static> Executor<F> for Tasks {
    fn execute(&self, future: F) {
        drop(spawn(future));
    }
}

/// Carries bytes to and fro until the server ends the connection, and says why it did.
pub(crate) async fn pump(mut peer: Peer, mut stream: DuplexStream) -> CloseReason {
    let mut bytes = vec![0; 16 << 10];
    let mut is_open = true;
    loop {
        tokio::select! {
            count = stream.read(&mut bytes), if is_open => {
                let count = count.unwrap_or(0);
                peer.send(&bytes[..count]).await;
                is_open = count > 0;
                if !is_open {
                    peer.finish();
                }
            }
            chunk = peer.chunk() => match chunk {
                // Nobody reads it any more.
                Ok(chunk) if !chunk.is_empty() => drop(stream.write_all(&chunk).await),
                _ => break,
            },
        }
    }
    drop(stream);
    peer.finish();
    peer.closed().await
}

struct Io(DuplexStream);

impl Read for Io {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut wanted: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let mut bytes = vec![0; wanted.remaining().min(16 << 10)];
        let mut buffer = ReadBuf::new(&mut bytes);
        ready!(Pin::new(&mut self.0).poll_read(cx, &mut buffer))?;
        wanted.put_slice(buffer.filled());
        Poll::Ready(Ok(()))
    }
}

impl Write for Io {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}
