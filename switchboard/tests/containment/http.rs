//! What answers a request is a service, its future, pages, values and an error: each may panic, also when it is dropped.

use super::Dear;
use crate::harness::http_peer::ask;
use crate::harness::http2_client::{Client, get, whole};
use crate::harness::patience::{secs, until};
use crate::harness::served::Served;
use bytes::Bytes;
use std::pin::Pin;
use std::task::{Context, Poll};
use switchboard::http::{Request, Response};
use switchboard::prelude::*;

/// Ends badly.
struct Ending;

impl Drop for Ending {
    fn drop(&mut self) {
        assert!(std::thread::panicking(), "as planted");
    }
}

/// Never ready, and no end of it.
struct Endless(Ending);

impl Future for Endless {
    type Output = Response;

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Response> {
        Poll::Pending
    }
}

async fn serve(request: Request) -> Response {
    let head = || http::Response::new(());
    match request.uri().path() {
        "/pages" => Response::pages(head(), std::iter::repeat_with(|| panic!("as planted"))),
        "/pages/end" => {
            let end = Ending;
            Response::pages(head(), (0..1).map(move |_| (&end, Bytes::from_static(b"x")).1))
        }
        "/value" => http::Response::new(Bytes::from_owner(Dear(vec![b'x'; 100_000]))).into(),
        "/stream" => Response::stream(head(), async |_: Connection<Lines>| -> Result { panic!("as planted") }),
        "/endless" => Endless(Ending).await,
        _ => http::Response::new("fine").into(),
    }
}

const PATHS: [&str; 5] = ["/pages", "/pages/end", "/value", "/stream", "/endless"];

#[tokio::test(start_paused = true)]
async fn whatever_panics_of_an_answer_ends_its_connection_alone() {
    let server = Served::http(serve);
    let mut bystander = server.connect();
    for path in PATHS {
        let mut peer = server.connect();
        peer.send(format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n")).await;
        tokio::time::sleep(secs(1)).await;
        drop(peer);
        until(|| server.handle.connections().len() == 1).await;
    }
    assert_eq!(ask(&mut bystander, "GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.status, 200);
    bystander.finish();
    let drained = server.stop().await;
    assert_eq!((drained.aborted, drained.elapsed < secs(3)), (0, true));
}

#[tokio::test(start_paused = true)]
async fn whatever_panics_of_an_answer_of_http2_ends_its_connection_at_most() {
    let server = Served::http(serve);
    let mut bystander = Client::connect(&server).await;
    bystander.get("/").await;
    for path in PATHS {
        let client = Client::connect(&server).await;
        let answer = client.begin(get(path));
        tokio::time::sleep(secs(1)).await;
        answer.abort();
        drop(answer);
        drop(client);
        until(|| server.handle.connections().len() == 1).await;
    }
    assert_eq!(whole(bystander.get("/").await.into_body()).await, b"fine");
    drop(bystander);
    let drained = server.stop().await;
    assert_eq!((drained.aborted, drained.elapsed < secs(3)), (0, true));
}
