//! The proxies in front of a listener, as its options name them, and how they say whose a connection or a request is.
//!
//! Options: `proxy-from` and `proxy-others` (`refuse`) for the PROXY header, and over HTTP `forwarded-from` and `forwarded-by`
//! (`x-forwarded-for`).

use crate::endpoint::Options;
use crate::live::Replaceable;
use http::HeaderValue;
use std::net::IpAddr;
use std::sync::Arc;
use switchboard::http::{Request, Service};
use switchboard::{ForwardedBy, IpNetwork, Proxies, Timeouts, Tuned, Tuning};
use switchboard_load::typed::Scheme;

/// Who stands in front of one listener, as it was read; and as it is in force there, where clones are the same.
#[derive(Debug, Clone, Default)]
pub(crate) struct InFront {
    proxies: Option<Proxies>,
    forwarding: Forwarding,
    pub(crate) followed: Followed,
}

/// What a reload can change of who stands in front, and of timeouts.
#[derive(Debug, Clone, Default)]
pub(crate) struct Followed {
    pub(crate) tuning: Tuning,
    forwarding: Replaceable<Forwarding>,
}

/// Proxies for HTTP, and the header by which they say whose a request is.
#[derive(Debug, Clone, Default)]
pub(crate) struct Forwarding {
    from: Arc<[IpNetwork]>,
    by: ForwardedBy,
}

/// Who comes from elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Others {
    Refused,
    Direct,
}

impl InFront {
    /// Takes the options of a listener of this scheme.
    pub(crate) fn parse(options: &mut Options, scheme: Scheme) -> Self {
        if matches!(scheme, Scheme::Unix | Scheme::Udp) {
            return Self::default();
        }
        let from = options.value("proxy-from", networks);
        let others = options.value("proxy-others", |text| match text {
            "refuse" => Ok(Others::Refused),
            "direct" => Ok(Others::Direct),
            _ => Err("not refuse or direct".to_owned()),
        });
        if others.is_some() && from.is_none() {
            options.refuse("proxy-others", "says what becomes of who is not among proxy-from, which is missing");
        }
        let proxies = from.map(Proxies::new).map(|proxies| match others {
            Some(Others::Direct) => proxies.and_others(),
            Some(Others::Refused) | None => proxies,
        });
        let forwarding = if matches!(scheme, Scheme::Tcp | Scheme::Tls) {
            options.forbid("forwarded-from", "is for HTTP; by other schemes proxies send a header: proxy-from");
            options.forbid("forwarded-by", "is for HTTP");
            Forwarding::default()
        } else {
            Forwarding::parse(options)
        };
        Self { proxies, forwarding, followed: Followed::default() }
    }

    /// Has this be in force there, and `timeouts`.
    pub(crate) fn put_in_force(&self, at: &Followed, timeouts: Timeouts) {
        at.forwarding.set(self.forwarding.clone());
        let (proxies, forwarded_from) = (self.proxies.clone(), Arc::clone(&self.forwarding.from));
        at.tuning.set(Tuned { timeouts: Some(timeouts), proxies, forwarded_from });
    }

    /// Whether others come by them, be the listener reached by this machine alone.
    pub(crate) fn is_there(&self) -> bool {
        self.proxies.is_some() || !self.forwarding.from.is_empty()
    }
}

impl Followed {
    /// The same service, which takes each request for whose it is.
    pub(crate) fn before(self, service: impl Service) -> impl Service {
        move |mut request: Request| {
            self.forwarding.now().hand_on(&mut request);
            service.answer(request)
        }
    }
}

impl Forwarding {
    fn parse(options: &mut Options) -> Self {
        let from = options.value("forwarded-from", networks);
        let by = options.value("forwarded-by", |text| {
            let all = [ForwardedBy::XForwardedFor, ForwardedBy::Forwarded, ForwardedBy::XRealIp];
            let found = all.into_iter().find(|by| by.header() == text);
            found.ok_or_else(|| "not x-forwarded-for, forwarded or x-real-ip".to_owned())
        });
        if by.is_some() && from.is_none() {
            options.refuse("forwarded-by", "says what the proxies of forwarded-from send, which is missing");
        }
        Self { from: from.unwrap_or_default().into(), by: by.unwrap_or_default() }
    }

    /// Takes a request for whose it is, if it came by one of them.
    fn hand_on(&self, request: &mut Request) {
        let Some(nearest) = request.peer().ip().map(|address| address.ip()).filter(|address| self.trusts(*address))
        else {
            return;
        };
        let lines = request.headers().get_all(self.by.header()).iter().map(HeaderValue::as_bytes);
        let client = self.by.client(lines, nearest, |address| self.trusts(address));
        if client != nearest.to_canonical() {
            request.forwarded_for(client);
        }
    }

    fn trusts(&self, address: IpAddr) -> bool {
        self.from.iter().any(|network| network.contains(address))
    }
}

/// Networks with commas between them.
fn networks(text: &str) -> Result<Vec<IpNetwork>, String> {
    let network = |text: &str| {
        text.parse().map_err(|fault| format!("not networks such as 10.0.0.2,10.1.0.0/16: `{text}` is {fault}"))
    };
    text.split(',').map(network).collect()
}
