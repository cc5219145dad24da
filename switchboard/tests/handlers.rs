//! What handles connections and requests: functions, and state with a function.

use super::harness::http_peer::ask;
use super::harness::served::Served;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use switchboard::http::{Request, Response};
use switchboard::prelude::*;
use switchboard::{BoxError, testing};

#[tokio::test(start_paused = true)]
async fn a_function_is_given_a_clone_of_its_state_for_each_connection() {
    async fn number(mut conn: Connection<Lines>, visitors: Arc<AtomicUsize>) -> Result {
        conn.send(visitors.fetch_add(1, Ordering::Relaxed).to_string()).await?;
        Ok(())
    }
    let visitors = Arc::new(AtomicUsize::new(1));
    let server = Served::in_memory(Server::new(), |server, memory| server.memory(&memory, (visitors, number)));
    for number in 1..4 {
        assert_eq!(server.connect().line().await, format!("{number}\n"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_handler_lends_its_connection_to_what_it_awaits() {
    async fn admitted(conn: &Connection<Lines>) -> bool {
        tokio::task::yield_now().await;
        conn.peer().ip().is_none()
    }
    async fn greet(mut conn: Connection<Lines>) -> Result {
        let word = if admitted(&conn).await { "welcome" } else { "who are you?" };
        Ok(conn.send(word).await?)
    }
    assert_eq!(testing::serve(greet, Timeouts::default()).line().await, "welcome\n");
}

#[tokio::test(start_paused = true)]
async fn a_handler_gives_nothing_or_any_result() {
    async fn nothing(mut conn: Connection<Lines>) {
        conn.last_word("bye");
    }
    async fn text(_: Connection<Lines>) -> std::result::Result<(), &'static str> {
        Err("no luck")
    }
    async fn boxed(_: Connection<Lines>, error: &'static str) -> std::result::Result<(), BoxError> {
        Err(error.into())
    }
    let mut peer = testing::serve(nothing, Timeouts::default());
    assert_eq!(peer.line().await, "bye\n");
    assert_eq!(peer.closed().await, CloseReason::Finished);
    assert_eq!(testing::serve(text, Timeouts::default()).closed().await, CloseReason::HandlerError);
    assert_eq!(testing::serve(("no luck", boxed), Timeouts::default()).closed().await, CloseReason::HandlerError);
}

#[tokio::test(start_paused = true)]
async fn a_service_gives_what_becomes_a_response_and_gets_its_state() {
    type Pages = &'static [(&'static str, &'static str)];
    async fn find(
        request: Request,
        pages: Pages,
    ) -> std::result::Result<http::Response<&'static str>, http::StatusCode> {
        let page = pages.iter().find(|(path, _)| *path == request.uri().path());
        page.map(|(_, text)| http::Response::new(*text)).ok_or(http::StatusCode::NOT_FOUND)
    }
    let pages: Pages = &[("/home", "welcome")];
    let server = Served::http((pages, find));
    let found = ask(&mut server.connect(), "GET /home HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert_eq!((found.status, &*found.body), (200, "welcome"));
    assert_eq!(ask(&mut server.connect(), "GET /away HTTP/1.1\r\nHost: x\r\n\r\n").await.status, 404);
}

#[tokio::test(start_paused = true)]
async fn an_error_of_a_body_is_an_answer() {
    async fn repeat(mut request: Request) -> std::result::Result<Response, Response> {
        Ok(http::Response::new(request.body(4).await?).into())
    }
    let server = Served::http(repeat);
    let post = |body: &str| format!("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    assert_eq!(ask(&mut server.connect(), post("four")).await.body, "four");
    assert_eq!(ask(&mut server.connect(), post("and five")).await.status, 413);
}
