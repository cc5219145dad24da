//! What a request asks for: its method, path and query, parsed once into one enum; and what one has to be allowed for it.

use crate::web::query::{Query, one_of};
use http::Method;
use switchboard::grammar::{ErrorCode, Failure};

/// What a request asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    Index,
    OpenApi,
    Metrics,
    Healthy,
    Ready,
    Stats { follow: bool },
    Server,
    SetReady,
    Drain,
    Options { allow: &'static str },
}

/// What somebody may do with a server, the least first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Clearance {
    /// See sums, in which no name and no address is.
    Sums,
    /// See everything.
    View,
    /// And change it.
    Act,
}

impl Wanted {
    /// What it takes.
    pub(super) fn needs(self) -> Clearance {
        match self {
            Self::Server => Clearance::View,
            Self::SetReady | Self::Drain => Clearance::Act,
            _ => Clearance::Sums,
        }
    }
}

/// Every path, as it is described.
#[cfg(test)]
pub(super) const PATHS: &[&str] =
    &["/", "/openapi.json", "/metrics", "/healthz", "/readyz", "/stats", "/server", "/ready", "/drain"];

/// The methods that a path takes, if there is something.
pub(super) fn allowed(path: &str) -> Option<&'static str> {
    match path {
        "/" | "/openapi.json" | "/metrics" | "/healthz" | "/readyz" | "/stats" | "/server" => {
            Some("GET, HEAD, OPTIONS")
        }
        "/ready" => Some("PUT, OPTIONS"),
        "/drain" => Some("POST, OPTIONS"),
        "*" => Some("GET, HEAD, OPTIONS"),
        _ => None,
    }
}

pub(super) fn route(method: &Method, path: &str, query: Option<&str>) -> Result<Wanted, Failure> {
    let none = || Failure::new(ErrorCode::NoSuchPath, "there is nothing here; /openapi.json lists the paths");
    let allow = allowed(path).ok_or_else(none)?;
    if method == Method::OPTIONS {
        return Ok(Wanted::Options { allow });
    }
    if path == "*" || !allow.split(", ").any(|allowed| allowed == method.as_str()) {
        return Err(Failure::new(ErrorCode::BadMethod, format!("{path} takes {allow}")));
    }
    let mut query = Query::parse(query)?;
    let route = match path {
        "/" => Wanted::Index,
        "/openapi.json" => Wanted::OpenApi,
        "/metrics" => Wanted::Metrics,
        "/healthz" => Wanted::Healthy,
        "/readyz" => Wanted::Ready,
        "/stats" => {
            let follow = query.take("follow", |text| one_of(text, [("0", false), ("1", true)]))?;
            Wanted::Stats { follow: follow.unwrap_or(false) }
        }
        "/ready" => Wanted::SetReady,
        "/drain" => Wanted::Drain,
        _ => Wanted::Server,
    };
    // Probes may bring along anything.
    if !matches!(route, Wanted::Healthy | Wanted::Ready) {
        query.end()?;
    }
    Ok(route)
}
