//! Admin: a server as its operators see it, over HTTP, on loopback or on a Unix socket that is theirs.
//!
//! Sums hold no name and no address, and are for everybody who can reach the listener. Whoever can open the Unix socket may do
//! everything: its mode is the right.

mod acts;
mod exposition;
mod families;
mod figures;
mod health;
mod process;
mod route;

use super::{Add, NamedService, Offer, Shared, guard};
use crate::address::StreamListener;
use crate::endpoint::Options;
use crate::policy::configured::FilePolicy;
use crate::running::Run;
use crate::web::Front;
use crate::web::answer::{self, OBJECT, OBJECTS, bodiless};
use crate::web::assets::{Asset, asset};
use crate::web::guard::Asker;
use crate::web::work::Work;
use bytes::Bytes;
use http::{Method, StatusCode};
use route::{Clearance, Wanted, route};
use serde_json::Value;
use std::ops::Not as _;
use std::sync::Arc;
use std::time::Duration;
use switchboard::grammar::{ErrorCode, Failure};
use switchboard::http::{Request, Response};
use switchboard::{Connection, Handle, Hub, Lines, PeerAddr};
use switchboard_load::typed::Scheme;

pub(super) const SERVICE: NamedService = NamedService {
    name: "admin",
    is_private: true,
    offers: &[Offer::Streams(&[Scheme::Http, Scheme::Https, Scheme::Unix], requests)],
};

/// Between two objects of one who follows.
const FOLLOW_INTERVAL: Duration = Duration::from_secs(1);

static DESCRIPTION: Asset = asset("openapi.json", include_bytes!("admin/openapi.json"));

const INDEX: &str = "switchboard admin: see /openapi.json. As a start: /metrics /healthz /readyz /stats /server\n";

/// One listener.
struct Admin {
    front: Front,
    running: Arc<Run>,
    handle: Handle,
    hub: Hub,
    policy: Option<Arc<FilePolicy>>,
}

fn requests(streams: StreamListener, options: &mut Options) -> Add {
    let guard = guard(options, &streams);
    let is_exposed = !streams.is_local && !streams.is_secure;
    let accepts = options.value("plain-text", |text| match text {
        "accepted" => Ok(()),
        _ => Err("not accepted".to_owned()),
    });
    if is_exposed && accepts.is_none() {
        options.fault(
            "admin over plain HTTP is for loopback and Unix sockets: anybody on the way could read along; use https, or put \
             ?plain-text=accepted",
        );
    }
    let work = if streams.is_local { Work::unbounded() } else { Work::bounded() };
    Box::new(move |server, shared: &Shared| {
        let streams = streams.timeouts(shared.timeouts);
        let front = Front::new(guard, work, route::allowed);
        let running = Arc::clone(&shared.running);
        let (handle, hub, policy) = (server.handle(), shared.hub.clone(), shared.policy.clone());
        let admin = Arc::new(Admin { front, running, handle, hub, policy });
        let unasked = Arc::clone(&admin);
        let service = move |request| Arc::clone(&admin).serve(request);
        streams.listen_http(server, service, move |head, headers| unasked.front.unasked(head, headers))
    })
}

impl Admin {
    async fn serve(self: Arc<Self>, request: Request) -> Response {
        self.front.answer(request, |asker, request| self.respond(asker, request)).await
    }

    async fn respond(&self, asker: Asker, request: Request) -> Result<Response, Failure> {
        let uri = request.uri();
        let route = route(request.method(), uri.path(), uri.query())?;
        if asker == Asker::Visitor && route != Wanted::Index {
            return Err(crate::web::guard::forbidden_page());
        }
        if admission(request.peer()) < route.needs() {
            return Err(Failure::new(
                ErrorCode::NotAuthorized,
                "this takes more than reaching the server; use the Unix socket",
            ));
        }
        if let Some(refusal) = request.method().is_safe().not().then(|| acts::misdeclared(&request)).flatten() {
            return Ok(refusal);
        }
        let response = match route {
            Wanted::Index => text(answer::head("text/plain; charset=utf-8"), INDEX),
            Wanted::OpenApi => return Ok(answer::asset(&DESCRIPTION, request.headers()).into()),
            Wanted::Options { allow } => return Ok(answer::options(allow).into()),
            Wanted::Metrics => text(
                answer::head(exposition::CONTENT_TYPE),
                families::exposition(&self.running, &self.handle, &self.hub),
            ),
            Wanted::Healthy => self.health(),
            Wanted::Ready => self.readiness(),
            Wanted::Stats { follow: true } if request.method() == Method::HEAD => {
                return Ok(bodiless(answer::endless(OBJECTS)));
            }
            Wanted::Stats { follow: true } => return Ok(self.follow()),
            Wanted::Stats { follow: false } => object(&figures::stats(&self.running, &self.handle, &self.hub)),
            Wanted::SetReady => self.set_ready(request).await?,
            Wanted::Drain => self.drain(request).await?,
            Wanted::Server => object(&figures::server(&self.running, &self.handle)),
        };
        Ok(response.into())
    }

    fn health(&self) -> http::Response<Bytes> {
        healthy(&self.handle)
    }

    fn readiness(&self) -> http::Response<Bytes> {
        ready(&self.running, &self.handle, &self.hub, self.policy.as_deref())
    }

    /// The sums, every second, until the client or the server has had enough.
    fn follow(&self) -> Response {
        let (running, handle, hub) = (Arc::clone(&self.running), self.handle.clone(), self.hub.clone());
        Response::stream(answer::endless(OBJECTS), move |mut conn: Connection<Lines>| async move {
            let mut seconds = tokio::time::interval(FOLLOW_INTERVAL);
            loop {
                tokio::select! {
                    _ = seconds.tick() => {
                        conn.send(figures::stats(&running, &handle, &hub).to_string()).await?;
                    }
                    // It says nothing: this is its end.
                    _ = conn.recv() => return Ok::<_, switchboard::BoxError>(()),
                }
            }
        })
    }
}

/// What whoever asks may do.
fn admission(peer: &PeerAddr) -> Clearance {
    // Whoever could open the socket was let in by its mode.
    if matches!(peer, PeerAddr::Unix(_)) { Clearance::Act } else { Clearance::Sums }
}

fn text(head: http::Response<()>, body: impl Into<Bytes>) -> http::Response<Bytes> {
    let body = body.into();
    head.map(|()| body)
}

/// One object, on a line.
fn object(value: &Value) -> http::Response<Bytes> {
    text(answer::head(OBJECT), format!("{value}\n"))
}

/// Whether no worker is held, for a probe.
fn healthy(handle: &Handle) -> http::Response<Bytes> {
    let held = health::held(handle);
    let mut response = if held.is_empty() {
        text(answer::head("text/plain; charset=utf-8"), "ok\n")
    } else {
        text(answer::head("text/plain; charset=utf-8"), format!("held workers: {held:?}\n"))
    };
    if !held.is_empty() {
        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    }
    response
}

/// Whether it is to be sent connections, for a probe and for whoever wonders why not.
fn ready(running: &Run, handle: &Handle, hub: &Hub, policy: Option<&FilePolicy>) -> http::Response<Bytes> {
    let readiness = health::Readiness::now(running, handle, hub, policy);
    let mut response = object(&readiness.told());
    if !readiness.is_ready() {
        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    }
    response
}

#[cfg(test)]
mod tests;
