// An HTTP gateway: what is below /users goes to port 7013, and everything else to port 7014. `cargo run -p switchboard --example gateway`,
// then `curl 127.0.0.1:7012/users/7`. Each request has a connection of its own; see docs/proxy.md for what balances and checks.
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1::handshake;
use hyper_util::rt::TokioIo;
use std::pin::pin;
use std::time::Duration;
use switchboard::bytes::Bytes;
use switchboard::http::{BodyError, Request, Response, StatusCode, types};
use switchboard::prelude::*;

/// Bytes of a body.
const LIMIT: usize = 1 << 20;

/// What is between two neighbours and goes no further (RFC 9110 §7.6.1).
const HOP: [&str; 6] = ["connection", "content-length", "keep-alive", "te", "transfer-encoding", "upgrade"];

/// Where a path leads.
#[derive(Clone)]
struct Routes(Vec<(&'static str, String)>);

impl Routes {
    fn find(&self, path: &str) -> Option<&str> {
        let (_, address) = self.0.iter().find(|(prefix, _)| path.starts_with(prefix))?;
        Some(address)
    }
}

async fn gateway(mut request: Request, routes: Routes) -> Result<Response, StatusCode> {
    let address = routes.find(request.uri().path()).ok_or(StatusCode::NOT_FOUND)?.to_owned();
    let body = request.body(LIMIT).await.map_err(BodyError::status)?;
    let passed_on = tokio::time::timeout(Duration::from_secs(10), pass_on(&request, body, &address)).await;
    let answer = passed_on.map_err(|_| StatusCode::GATEWAY_TIMEOUT)?.map_err(|_| StatusCode::BAD_GATEWAY)?;
    Ok(answer.into())
}

async fn pass_on(request: &Request, body: Bytes, address: &str) -> Result<types::Response<Bytes>> {
    let stream = tokio::net::TcpStream::connect(address).await?;
    let (mut sender, connection) = handshake(TokioIo::new(stream)).await?;
    let target = request.uri().path_and_query().map_or("/", |target| target.as_str());
    let mut onward = types::Request::builder().method(request.method()).uri(target).header("via", "1.1 gateway");
    for (name, value) in request.headers().iter().filter(|(name, _)| !HOP.contains(&name.as_str())) {
        onward = onward.header(name, value);
    }
    let exchange = async {
        let (mut head, body) = sender.send_request(onward.body(Full::new(body))?).await?.into_parts();
        for name in HOP {
            head.headers.remove(name);
        }
        Ok(types::Response::from_parts(head, Limited::new(body, LIMIT).collect().await?.to_bytes()))
    };
    let mut exchange = pin!(exchange);
    // The end of the connection may come before the answer that it brought was read.
    tokio::select! { answer = &mut exchange => answer, _ = connection => exchange.await }
}

#[tokio::main]
async fn main() -> Result {
    let routes = [("/users", "127.0.0.1:7013".to_owned()), ("/", "127.0.0.1:7014".to_owned())];
    Server::new().http("127.0.0.1:7012", (Routes(routes.into()), gateway)).serve_until(ctrl_c()).await?;
    Ok(())
}
