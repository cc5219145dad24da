//! Admin: a server as its operators see it, over HTTP, on loopback or on a Unix socket that is theirs.
//!
//! Sums hold no name and no address, and are for everybody who can reach the listener. Whoever can open the Unix socket may do
//! everything: its mode is the right. A token may as far as its `admin` says.

mod acts;
mod assets;
mod bans;
mod events;
mod exposition;
mod families;
mod figures;
mod health;
mod lists;
mod moderation;
mod operator;
mod pages;
mod process;
mod revocations;
mod route;
mod settings;

use super::rooms::credentials::{authenticate, unshown};
use super::{Add, NamedService, Offer, Shared, guard};
use health::Readiness;
pub(crate) use health::{Health, held};

use crate::address::StreamListener;
use crate::endpoint::Options;
use crate::live::Replaceable;
use crate::policy::audit::Audit;
use crate::policy::configured::FilePolicy;
use crate::policy::rules::AdminRight;
use crate::running::Run;
use crate::web::Front;
use crate::web::access::note_name;
use crate::web::answer::{self, OBJECT, OBJECTS, bodiless};
use crate::web::assets::{Asset, asset};
use crate::web::credential::{self, Presented};
use crate::web::guard::Asker;
use crate::web::work::Work;
use bytes::Bytes;
use http::Method;
use operator::Operator;
use route::{Clearance, Wanted, route};
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;
use switchboard::grammar::{ErrorCode, Failure};
use switchboard::http::{Request, Response};
use switchboard::policy::Refusal;
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

const TEXT: &str = "text/plain; charset=utf-8";

const INDEX: &str = "switchboard admin: a page in a browser; for programs see /openapi.json. As a start: /metrics /healthz /readyz /stats /server /connections /closed /rooms\n";

/// One listener.
struct Admin {
    front: Front,
    running: Arc<Run>,
    handle: Handle,
    hub: Hub,
    policy: Option<Arc<FilePolicy>>,
    audit: Arc<Audit>,
    /// The longest text.
    frame_bytes: Replaceable<usize>,
}

fn requests(streams: StreamListener, options: &mut Options) -> Add {
    let guard = guard(options, &streams);
    let is_exposed = !streams.is_local() && !streams.is_secure();
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
    let work = if streams.is_local() { Work::unbounded() } else { Work::bounded() };
    Box::new(move |server, shared: &Shared| {
        let streams = streams.timeouts(shared.timeouts);
        let front = Front::new(guard, work, route::allowed)
            .counted(shared.running.requests_of(route::PATHS))
            .but(shared.banned(&server))
            .told_in(Arc::clone(&shared.access));
        let running = Arc::clone(&shared.running);
        let (handle, hub, policy) = (server.handle(), shared.hub.clone(), shared.policy.clone());
        let (audit, frame_bytes) = (Arc::clone(&shared.audit), shared.frame_bytes.clone());
        let admin = Arc::new(Admin { front, running, handle, hub, policy, audit, frame_bytes });
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
        let wanted = route(request.method(), uri.path(), uri.query())?;
        if asker == Asker::Visitor && wanted != Wanted::Index {
            return Err(crate::web::guard::forbidden_page());
        }
        let operator = match self.operator(&request, &wanted).await {
            Ok(operator) => operator,
            Err(failure) => {
                let apart = self.policy.as_ref().and_then(|policy| policy.failures_apart());
                return Ok(answer::unauthenticated(&failure, apart).into());
            }
        };
        if operator.clearance < wanted.needs()
            && !wanted.room_alone().is_some_and(|room| operator.moderates(self.policy.as_deref(), room))
        {
            operator.denied();
            return Err(if operator.is_shown() {
                Failure::new(ErrorCode::NotAllowed, "this token may not do that with the server")
            } else {
                Failure::new(ErrorCode::NotAuthorized, "use the Unix socket, or a token with `admin`")
            });
        }
        if let Some(expected) = wanted.body()
            && let Some(refusal) = acts::misdeclared(&request, expected)
        {
            return Ok(refusal);
        }
        self.answer(wanted, request, &operator).await
    }

    async fn answer(&self, wanted: Wanted, request: Request, operator: &Operator) -> Result<Response, Failure> {
        let response = match wanted {
            Wanted::Index if answer::is_for_people(request.headers()) => {
                return Ok(answer::asset(&assets::PAGE, request.headers()).into());
            }
            Wanted::Index => text(answer::head(TEXT), INDEX),
            Wanted::Part(part) => return Ok(answer::asset(part, request.headers()).into()),
            Wanted::OpenApi => return Ok(answer::asset(&DESCRIPTION, request.headers()).into()),
            Wanted::Options { allow } => return Ok(answer::options(allow).into()),
            Wanted::Metrics => {
                let (running, policy) = (&self.running, self.policy.as_deref());
                let told = families::exposition(running, &self.handle, &self.hub, policy, &self.audit).await;
                text(answer::head(exposition::CONTENT_TYPE), told)
            }
            Wanted::Healthy => health::healthy(&self.handle),
            Wanted::Ready => {
                let readiness = Readiness::now(&self.running, &self.handle, &self.hub, self.policy.as_deref());
                readiness.answer(&readiness.told())
            }
            Wanted::Stats { follow: true } | Wanted::Events(_, true) if request.method() == Method::HEAD => {
                return Ok(bodiless(answer::endless(OBJECTS)));
            }
            Wanted::Stats { follow: true } => return Ok(self.follow()),
            Wanted::Stats { follow: false } => object(&figures::stats(&self.running, &self.handle, &self.hub)),
            Wanted::Events(page, true) => return Ok(self.follow_events(page, operator)),
            Wanted::Events(page, false) => object(&self.events(&page)),
            Wanted::Server => object(&figures::server(&self.running, &self.handle)),
            Wanted::Upstreams => object(&figures::upstreams(&self.running)),
            Wanted::Connections(page) => text(answer::head(OBJECT), self.connections(page).await?),
            Wanted::Connection(id) => object(&self.one_connection(id).await?),
            Wanted::Closed(page) => text(answer::head(OBJECT), self.closed(&page).await),
            Wanted::Rooms(page) => text(answer::head(OBJECT), self.rooms(page).await),
            Wanted::Room(name) => object(&self.one_room(&name)?),
            Wanted::Name(name) => object(&self.called(&name)?),
            Wanted::Log => object(&self.log()),
            Wanted::Settings => object(&self.settings()),
            Wanted::Can => self.can(request).await?,
            Wanted::Revocations(page) => object(&self.revocations(&page)),
            Wanted::Revoke => self.revoke(request, operator).await?,
            Wanted::Reinstate(id) => self.reinstate(&id, operator).await?,
            Wanted::Bans => object(&self.bans()),
            Wanted::Ban => self.ban(request, operator).await?,
            Wanted::Motd => object(&self.motd()),
            Wanted::SetMotd => self.set_motd(request, operator).await?,
            Wanted::ClearMotd => self.clear_motd(operator).await?,
            Wanted::Announce => self.announce(request, operator).await?,
            Wanted::AnnounceIn(room) => self.announce_in(&room, request, operator).await?,
            Wanted::Purge(room) => self.purge(&room, operator).await?,
            Wanted::Remove(room, name) => self.remove(&room, &name, operator)?,
            Wanted::Unban(network) => self.unban(&network, operator).await?,
            Wanted::CloseConnection(id) => self.close_connection(id, operator)?,
            Wanted::CloseName(name) => self.close_name(&name, operator)?,
            Wanted::SetLog => self.set_log(request, operator).await?,
            Wanted::Check => self.check(request, operator).await?,
            Wanted::Reload => self.reload(request, operator).await?,
            Wanted::SetReady => self.set_ready(request, operator).await?,
            Wanted::Drain => self.drain(request, operator).await?,
        };
        Ok(response.into())
    }

    /// Who asks. Where anybody may, nobody is looked at.
    async fn operator(&self, request: &Request, wanted: &Wanted) -> Result<Operator, Failure> {
        let peer = request.peer().clone();
        // Whoever could open the socket was let in by its mode.
        if matches!(peer, PeerAddr::Unix(_)) {
            return Ok(Operator::of_socket(request.unix_user(), peer, &self.audit));
        }
        if wanted.needs() == Clearance::Sums {
            return Ok(Operator::unknown(peer, &self.audit));
        }
        let token = match credential::presented(request.headers(), false, None)? {
            Presented::Nothing => return Ok(Operator::unknown(peer, &self.audit)),
            Presented::Ticket(_) | Presented::Unusable => return Err(unshown(Refusal::Wrong)),
            Presented::Token(token) => token,
        };
        let Some(policy) = &self.policy else { return Err(unshown(Refusal::Wrong)) };
        let principal = authenticate(&**policy, token, request.claimant()).await?;
        note_name(principal.name());
        let clearance = match policy.admin(&principal) {
            None => Clearance::Sums,
            Some(AdminRight::View) => Clearance::View,
            Some(AdminRight::Act) => Clearance::Act,
        };
        Ok(Operator::shown(clearance, principal, peer, &self.audit))
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

fn text(head: http::Response<()>, body: impl Into<Bytes>) -> http::Response<Bytes> {
    let body = body.into();
    head.map(|()| body)
}

/// One object, on a line.
fn object(value: &Value) -> http::Response<Bytes> {
    text(answer::head(OBJECT), format!("{value}\n"))
}

#[cfg(test)]
mod tests;
