//! Requests to rooms over HTTP: what one asks for can be written in one plain way and then means the same, only POST
//! changes anything, and no page but our own and those that are named is answered.
//!
//! Beside `cli/src/services/rooms/web/`, whose parts it is included with.

use super::route::{Begin, Route, Socket, SocketKind, Span, allowed, route};
use crate::web::guard::{Asker, Guard, Origins};
use http::request::Parts;
use http::uri::Authority;
use http::{Method, Request, Uri};
use std::net::IpAddr;

/// Pages of these may ask, where any may.
const NAMED: &str = "https://example.org,http://[::1]:3000";

/// Panics if a rule is broken on `data`: text, of which a line each is the method, path and query, and, where it is not
/// empty, the value of `Host`, `Origin`, `Sec-Fetch-Site`, `Sec-Fetch-Mode`, `Referer` and `User-Agent`.
pub(crate) fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let mut lines = text.split('\n');
    let mut line = || lines.next().unwrap_or_default();
    let (Ok(method), target) = (line().parse::<Method>(), line()) else { return };
    understand(&method, target);
    let mut request = Request::builder().method(method).uri("/rooms");
    for name in ["host", "origin", "sec-fetch-site", "sec-fetch-mode", "referer", "user-agent"] {
        request = match line() {
            "" => request,
            value => request.header(name, value),
        };
    }
    let Ok(request) = request.body(()) else { return };
    let (head, ()) = request.into_parts();
    for (loopback, secure) in [(true, false), (true, true), (false, false), (false, true)] {
        for origins in [Origins::default(), Origins::parse(NAMED).expect("they are sound")] {
            admit(&Guard { origins, loopback, secure }, &head);
        }
    }
}

fn understand(method: &Method, target: &str) {
    let (path, query) = target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
    match route(method, path, query) {
        Ok(understood) => {
            assert_eq!(matches!(understood, Route::Publish { .. } | Route::Ticket), *method == Method::POST);
            let turned: Option<String> = query.map(|query| query.rsplit('&').collect::<Vec<_>>().join("&"));
            assert_eq!(route(method, path, turned.as_deref()).as_ref(), Ok(&understood), "parameters have no order");
            if let Some((path, query)) = written(&understood) {
                assert_eq!(route(method, &path, Some(&query)), Ok(understood), "{path}?{query}");
            }
        }
        Err(failure) => {
            // An explanation is short, and is none of the client's words.
            let is_ours = failure.text.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic());
            assert!(failure.text.len() < 120 && is_ours, "{failure}");
            assert!(allowed(path).is_none_or(|methods| methods.contains("OPTIONS")));
        }
    }
}

/// The plain way to write a route: each parameter, and each of its bytes percent-encoded.
fn written(route: &Route) -> Option<(String, String)> {
    let mut query = String::new();
    let mut put = |key: &str, value: Option<String>| {
        let Some(value) = value else { return };
        query.extend(["&", key, "="]);
        query.extend(value.bytes().map(|byte| format!("%{byte:02x}")));
    };
    let path = match route {
        Route::Asset(_) | Route::Options { .. } => return None,
        Route::Me => "/me".to_owned(),
        Route::Ticket => "/tickets".to_owned(),
        Route::Publish { room, name } => {
            put("name", name.as_ref().map(ToString::to_string));
            format!("/rooms/{room}")
        }
        Route::Socket(Socket { kind, name, since, format, echo }) => {
            put("name", name.as_ref().map(ToString::to_string));
            put("since", since.map(|id| id.to_string()));
            put("format", format.map(|format| format.to_string()));
            put("echo", echo.map(|echo| if echo { "on" } else { "off" }.to_owned()));
            match kind {
                SocketKind::Room(room) => format!("/rooms/{room}/ws"),
                SocketKind::Grammar(room) => {
                    put("room", room.as_ref().map(ToString::to_string));
                    "/ws".to_owned()
                }
            }
        }
        Route::Events { room, since } => {
            put("since", since.map(|id| id.to_string()));
            format!("/rooms/{room}/events")
        }
        Route::Messages { room, span: Span { since, before, limit } } => {
            put("since", since.map(|id| id.to_string()));
            put("before", before.map(|id| id.to_string()));
            put("limit", limit.map(|limit| limit.to_string()));
            format!("/rooms/{room}/messages")
        }
        Route::Follow { room, begin } => {
            put("follow", Some("1".to_owned()));
            match begin {
                Begin::Since(id) => put("since", Some(id.to_string())),
                Begin::Last(count) => put("limit", count.map(|count| count.to_string())),
            }
            format!("/rooms/{room}/messages")
        }
        Route::Rooms { after, limit } => {
            put("after", after.as_ref().map(ToString::to_string));
            put("limit", Some(limit.to_string()));
            "/rooms".to_owned()
        }
        Route::Members { room, skip, limit } => {
            put("skip", Some(skip.to_string()));
            put("limit", Some(limit.to_string()));
            format!("/rooms/{room}/members")
        }
    };
    Some((path, query))
}

/// Who is admitted may be: the rules again, by way of another parser.
fn admit(guard: &Guard, head: &Parts) {
    let value = |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok());
    let Ok(asker) = guard.admit(head) else { return };
    let host = value("host").expect("without a Host nobody is admitted");
    let host = (!host.is_empty()).then(|| host.parse::<Authority>().expect("it is one")).map(|host| place(&host));
    let named: Vec<_> = if guard.origins == Origins::default() { Vec::new() } else { NAMED.split(',').collect() };
    let named: Vec<_> = named.into_iter().map(origin).collect();
    let is_local = host.as_ref().is_none_or(|(host, _)| is_local(host));
    if guard.loopback && !is_local {
        let (host, port) = host.clone().expect("no name is a local one");
        // The port may be left out.
        let is_at =
            |(_, own, own_port): &(String, String, u16)| *own == host && port.is_none_or(|port| port == *own_port);
        assert!(named.iter().any(is_at), "{host} is no name of this machine");
    }
    match (&asker, value("origin")) {
        (Asker::Own, Some(from)) => {
            let (scheme, name, port) = origin(from);
            assert!(scheme == "https" || (scheme == "http" && !guard.secure), "{from}");
            let (to, to_port) = host.expect("what an origin is like is a name");
            assert_eq!((name.as_str(), port), (to.as_str(), to_port.unwrap_or(own_port(&scheme))), "{from}");
            assert!(!guard.loopback || is_local || named.contains(&(scheme, name, port)), "{from} is not named");
        }
        (Asker::Allowed(allowed), Some(from)) => assert!(allowed == from && named.contains(&origin(from)), "{from}"),
        (Asker::Own, None) => {
            assert!(matches!(value("sec-fetch-site"), None | Some("same-origin" | "none")), "another site's page");
        }
        (Asker::Visitor, None) => assert_eq!(value("sec-fetch-mode"), Some("navigate")),
        (asker, origin) => panic!("{asker:?} of {origin:?}"),
    }
    if value("origin").is_none() && guard.may_join(head).is_ok() {
        let is_said = value("sec-fetch-site").is_some() || value("referer").is_some();
        assert!(is_said || !value("user-agent").is_some_and(|agent| agent.starts_with("Mozilla/5.0 (X")), "a browser");
    }
}

/// An origin's scheme, host and port.
fn origin(text: &str) -> (String, String, u16) {
    let origin: Uri = text.parse().expect("an origin is a URL");
    let (Some(scheme), Some(authority)) = (origin.scheme_str(), origin.authority()) else { panic!("{origin}") };
    let (host, port) = place(authority);
    (scheme.to_owned(), host, port.unwrap_or(own_port(scheme)))
}

/// A host in the form in which two are compared, and its port.
fn place(authority: &Authority) -> (String, Option<u16>) {
    let host = authority.host().to_ascii_lowercase();
    let host = host.strip_suffix('.').filter(|host| !host.is_empty()).unwrap_or(&host);
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    (address.map_or(host.to_owned(), |address| address.to_canonical().to_string()), authority.port_u16())
}

fn own_port(scheme: &str) -> u16 {
    if scheme == "https" { 443 } else { 80 }
}

fn is_local(name: &str) -> bool {
    let is_loopback = name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
    is_loopback || name.is_empty() || name == "localhost" || name.ends_with(".localhost")
}
