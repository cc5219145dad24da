//! What a listener does with its connections: a file for each service, and a line in [`SERVICES`].

pub(crate) mod admin;
mod echo;
mod proxy;
mod received;
mod rooms;

use crate::address::{DatagramListener, StreamListener};
use crate::endpoint::Options;
use crate::live::Replaceable;
use crate::policy::audit::Audit;
use crate::policy::bans::Banned;
use crate::policy::configured::FilePolicy;
use crate::running::Run;
use crate::web::access::AccessLog;
use crate::web::guard::{Guard, Origins};
pub(crate) use proxy::Pool;
pub(crate) use rooms::credentials::Admission;
pub(crate) use rooms::group;
pub(crate) use rooms::group::counts::GroupCounts;
pub(crate) use rooms::makers::Share;
pub(crate) use rooms::requested::publish_as;
use std::sync::Arc;
use switchboard::{Hub, Server, Timeouts};
use switchboard_load::typed::Scheme;

/// Every service there is.
pub(crate) const SERVICES: &[NamedService] = &[echo::SERVICE, rooms::SERVICE, proxy::SERVICE, admin::SERVICE];

/// One kind of service.
#[derive(Debug)]
pub(crate) struct NamedService {
    /// As typed in front of a URL.
    pub(crate) name: &'static str,
    pub(crate) offers: &'static [Offer],
    /// Its Unix sockets are for nobody else, unless it is said for whom.
    pub(crate) is_private: bool,
}

/// By which schemes a service can be offered, and how it takes what comes to a listener there: each reads the options of one.
/// What is wrong with them, `Options` remembers.
#[derive(Debug)]
pub(crate) enum Offer {
    /// Connections of frames, or requests.
    Streams(&'static [Scheme], fn(StreamListener, &mut Options) -> Add),
    Datagrams(&'static [Scheme], fn(DatagramListener, &mut Options) -> Add),
}

impl NamedService {
    /// Where it can be offered.
    pub(crate) fn schemes(&self) -> impl Iterator<Item = Scheme> {
        self.offers.iter().flat_map(|offer| offer.schemes().iter().copied())
    }

    /// What it offers there.
    pub(crate) fn offer(&self, scheme: Scheme) -> Option<&Offer> {
        self.offers.iter().find(|offer| offer.schemes().contains(&scheme))
    }
}

impl Offer {
    fn schemes(&self) -> &'static [Scheme] {
        match self {
            Self::Streams(schemes, _) | Self::Datagrams(schemes, _) => schemes,
        }
    }
}

/// What all listeners of the process share.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    /// Set for all; a listener may have others.
    pub(crate) timeouts: Timeouts,
    /// The longest frame.
    pub(crate) frame_bytes: Replaceable<usize>,
    /// Every room there is, whichever listener its members came to.
    pub(crate) hub: Hub,
    /// What the file says of who may do what, which the hub asks too.
    pub(crate) policy: Option<Arc<FilePolicy>>,
    /// The server itself, for its operators.
    pub(crate) running: Arc<Run>,
    /// Who is told what was refused.
    pub(crate) audit: Arc<Audit>,
    /// Who is told of requests over HTTP.
    pub(crate) access: Arc<AccessLog>,
    /// Who has made some of them lately.
    pub(crate) makers: Arc<rooms::makers::Makers>,
    /// What proxies have connected to this machine itself.
    pub(crate) loops: Arc<proxy::Loops>,
    /// What came to rooms from groups of hosts.
    pub(crate) relays: Arc<rooms::group::relayed::Relays>,
}

impl Shared {
    /// Whom a service of this server does not answer.
    fn banned(&self, server: &Server) -> Banned {
        Banned::new(server.handle(), Arc::clone(&self.audit))
    }
}

/// Adds a listener to a server.
pub(crate) type Add = Box<dyn FnOnce(Server, &Shared) -> Server>;

/// Whom a listener for HTTP answers.
fn guard(options: &mut Options, streams: &StreamListener) -> Replaceable<Arc<Guard>> {
    let origins = options.value("origins", Origins::parse).unwrap_or_default();
    let guard = Guard { origins, loopback: streams.is_loopback(), secure: streams.is_secure() };
    options.live.guard.insert(Replaceable::new(Arc::new(guard))).clone()
}
