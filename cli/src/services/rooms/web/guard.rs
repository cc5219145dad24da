//! Who may ask: pages of this server's own origin, programs that are no browsers, and origins that the operator names.
//!
//! A browser sends requests for any page that is open in it. Two things are kept from such pages: to act or read here
//! in its name (`Origin` and `Sec-Fetch-Site` say for whom it asks; WebSockets know no other protection), and to reach
//! a loopback listener under a name of their own that resolves to this machine (DNS rebinding; `Host` says the name).

use http::header::{HOST, ORIGIN};
use http::request::Parts;
use http::uri::Authority;
use http::{HeaderName, HeaderValue, Version};
use std::net::IpAddr;
use switchboard::grammar::{ErrorCode, Failure};

const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");

/// Other origins whose pages may ask.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::services::rooms) enum Origins {
    /// These, in small letters: `https://example.org`.
    Some(Vec<String>),
    Any,
}

impl Default for Origins {
    fn default() -> Self {
        Self::Some(Vec::new())
    }
}

impl Origins {
    /// Reads `https://example.org,https://example.com:8443`, or `*`.
    pub(in crate::services::rooms) fn parse(text: &str) -> Result<Self, String> {
        if text == "*" {
            return Ok(Self::Any);
        }
        let origins = text.split(',').map(|origin| {
            let (scheme, place) = origin.split_once("://").unwrap_or_default();
            let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:[]".contains(&byte);
            let sound = !scheme.is_empty() && !place.is_empty() && place.bytes().all(allowed);
            if sound { Ok(origin.to_ascii_lowercase()) } else { Err(()) }
        });
        let origins: Result<Vec<_>, ()> = origins.collect();
        origins.map(Self::Some).map_err(|()| "not a list of origins, as in https://example.org, nor *".to_owned())
    }
}

/// For whom a request is made.
#[derive(Debug, PartialEq)]
pub(super) enum Asker {
    /// A page of ours, or no page at all.
    Own,
    /// A page of this origin, which is allowed to.
    Allowed(HeaderValue),
    /// Somebody who follows a link on another site.
    Visitor,
}

/// The rules of one listener.
#[derive(Debug)]
pub(in crate::services::rooms) struct Guard {
    pub(in crate::services::rooms) origins: Origins,
    /// Whether only this machine can connect.
    pub(in crate::services::rooms) loopback: bool,
    /// Whether it speaks TLS.
    pub(in crate::services::rooms) secure: bool,
}

impl Guard {
    /// Whether a request is answered at all.
    pub(super) fn admit(&self, head: &Parts) -> Result<Asker, Failure> {
        let host = host(head)?;
        if !self.knows(&host) {
            return Err(forbidden("this server is not asked for by that name; ?origins= can allow it"));
        }
        match (head.headers.get(ORIGIN), head.headers.get(FETCH_SITE).map(HeaderValue::as_bytes)) {
            (Some(origin), _) if self.is_own(origin, &host) => Ok(Asker::Own),
            (Some(origin), _) if self.allows(origin) => Ok(Asker::Allowed(origin.clone())),
            (None, None | Some(b"same-origin" | b"none")) => Ok(Asker::Own),
            (None, Some(_)) if self.origins == Origins::Any => Ok(Asker::Own),
            (None, Some(_)) if head.headers.get(FETCH_MODE).is_some_and(|mode| mode == "navigate") => {
                Ok(Asker::Visitor)
            }
            _ => Err(forbidden_page()),
        }
    }

    /// Whether this name leads here without a trick.
    fn knows(&self, host: &str) -> bool {
        // The name ends before the port, and an IPv6 address with its bracket.
        let name = match host.rfind(']') {
            Some(end) => &host[..=end],
            None => host.split_once(':').map_or(host, |(name, _)| name),
        };
        let address = name.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
        let is_local = name.is_empty() || name == "localhost" || name.ends_with(".localhost");
        let is_local = is_local || address.is_ok_and(|address| address.is_loopback());
        let is_allowed = match &self.origins {
            Origins::Any => true,
            // The name that a proxy in front passes on.
            Origins::Some(origins) => {
                origins.iter().any(|origin| origin.split_once("://").is_some_and(|(_, place)| place == host))
            }
        };
        !self.loopback || is_local || is_allowed
    }

    /// Whether a page of `origin` came from here. Without TLS of our own its scheme may be that of a proxy in front.
    fn is_own(&self, origin: &HeaderValue, host: &str) -> bool {
        let Some((scheme, place)) = origin.to_str().ok().and_then(|origin| origin.split_once("://")) else {
            return false;
        };
        // An origin leaves out the port that is its scheme's.
        let port = match scheme {
            "https" => ":443",
            "http" if !self.secure => ":80",
            _ => return false,
        };
        !place.is_empty() && place.eq_ignore_ascii_case(host.strip_suffix(port).unwrap_or(host))
    }

    fn allows(&self, origin: &HeaderValue) -> bool {
        match &self.origins {
            Origins::Any => true,
            Origins::Some(origins) => {
                origins.iter().any(|allowed| allowed.as_bytes().eq_ignore_ascii_case(origin.as_bytes()))
            }
        }
    }
}

/// By which name and port the server is asked for, in small letters.
fn host(head: &Parts) -> Result<String, Failure> {
    let mut hosts = head.headers.get_all(HOST).iter();
    let host = match (head.uri.authority(), hosts.next(), hosts.next()) {
        (Some(authority), ..) => Some(authority.as_str()),
        (None, Some(host), None) => host.to_str().ok(),
        // The first version of HTTP had no names; browsers speak later ones.
        (None, None, None) if head.version == Version::HTTP_10 => Some(""),
        _ => None,
    };
    host.filter(|host| is_place(host)).map(str::to_ascii_lowercase).ok_or_else(|| {
        Failure::new(ErrorCode::BadArgument, "a request has one Host: a name or an address, and perhaps a port")
    })
}

/// Whether it is what RFC 9110 §7.2 has as a Host, which may be empty but holds nobody's name and password.
fn is_place(host: &str) -> bool {
    host.is_empty() || (!host.contains('@') && host.parse::<Authority>().is_ok())
}

/// What a page of another origin is told.
pub(super) fn forbidden_page() -> Failure {
    forbidden("pages of another origin may not ask; ?origins= can allow it")
}

fn forbidden(text: &str) -> Failure {
    Failure::new(ErrorCode::ForbiddenOrigin, text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Request;

    fn guard(origins: &str) -> Guard {
        let origins = if origins.is_empty() { Origins::default() } else { Origins::parse(origins).expect("sound") };
        Guard { origins, loopback: true, secure: false }
    }

    fn head(headers: &[(&str, &str)]) -> Parts {
        let mut request = Request::get("/ws");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).expect("it is sound").into_parts().0
    }

    #[track_caller]
    fn admitted(guard: &Guard, headers: &[(&str, &str)]) -> Asker {
        guard.admit(&head(headers)).expect("it may ask")
    }

    #[track_caller]
    fn refused(guard: &Guard, headers: &[(&str, &str)]) -> ErrorCode {
        guard.admit(&head(headers)).expect_err("it may not ask").code
    }

    #[test]
    fn programs_and_our_own_pages_may_ask() {
        let guard = guard("");
        assert_eq!(admitted(&guard, &[("host", "127.0.0.1:8082")]), Asker::Own);
        for (origin, host) in [
            ("http://127.0.0.1:8082", "127.0.0.1:8082"),
            ("http://localhost", "LOCALHOST:80"),
            ("https://localhost", "localhost:443"),
            ("https://localhost", "localhost"),
            ("http://[::1]:8082", "[::1]:8082"),
        ] {
            assert_eq!(admitted(&guard, &[("host", host), ("origin", origin)]), Asker::Own, "{origin}");
        }
        for site in ["same-origin", "none"] {
            assert_eq!(admitted(&guard, &[("host", "localhost"), ("sec-fetch-site", site)]), Asker::Own);
        }
    }

    #[test]
    fn pages_of_others_may_not() {
        let guard = guard("https://example.org");
        let host = ("host", "localhost:8082");
        for origin in [
            "http://evil.example",
            "http://localhost:8083",
            "http://localhost",
            "http://localhost:8082.evil.example",
            "http://evil.example/localhost:8082",
            "ftp://localhost:8082",
            "null",
            "",
            "https://example.org.evil.example",
            "http://example.org",
        ] {
            assert_eq!(refused(&guard, &[host, ("origin", origin)]), ErrorCode::ForbiddenOrigin, "{origin}");
        }
        assert_eq!(refused(&guard, &[("host", ":80"), ("origin", "http://")]), ErrorCode::ForbiddenOrigin);
        for site in ["cross-site", "same-site", "anything"] {
            assert_eq!(refused(&guard, &[host, ("sec-fetch-site", site)]), ErrorCode::ForbiddenOrigin);
        }
    }

    #[test]
    fn somebody_may_follow_a_link_to_us() {
        let headers = [("host", "localhost"), ("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate")];
        assert_eq!(admitted(&guard(""), &headers), Asker::Visitor);
    }

    #[test]
    fn origins_that_are_named_may_ask() {
        let guard = guard("https://Example.org,http://[::1]:3000");
        for origin in ["https://example.org", "http://[::1]:3000"] {
            let asker = admitted(&guard, &[("host", "localhost:8082"), ("origin", origin)]);
            assert_eq!(asker, Asker::Allowed(HeaderValue::from_static(origin)));
        }
        let any = super::Guard { origins: Origins::Any, ..guard };
        let asker = admitted(&any, &[("host", "evil.example"), ("origin", "null")]);
        assert_eq!(asker, Asker::Allowed(HeaderValue::from_static("null")));
    }

    #[test]
    fn what_is_no_origin_is_refused() {
        for text in ["", "example.org", "https://", "://a", "https://a/", "https://a,", "https://a b", "*,https://a"] {
            assert!(Origins::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_loopback_listener_answers_to_the_names_of_this_machine_alone() {
        let guard = guard("https://chat.example.org");
        for host in
            ["localhost", "localhost:1", "a.localhost:8082", "127.0.0.1", "127.1.2.3:8082", "[::1]:8082", "[::1]"]
        {
            assert_eq!(admitted(&guard, &[("host", host)]), Asker::Own, "{host}");
        }
        // As a proxy passes it on.
        let proxied = [("host", "chat.example.org"), ("origin", "https://chat.example.org")];
        assert_eq!(admitted(&guard, &proxied), Asker::Own);
        for host in
            ["evil.example", "evil.example:8082", "localhost.evil.example", "127.0.0.1.evil.example", "192.0.2.1"]
        {
            assert_eq!(refused(&guard, &[("host", host)]), ErrorCode::ForbiddenOrigin, "{host}");
            let open = super::Guard { loopback: false, origins: Origins::default(), secure: false };
            assert_eq!(admitted(&open, &[("host", host)]), Asker::Own, "{host}");
        }
    }

    #[test]
    fn with_tls_of_our_own_a_page_without_it_is_not_ours() {
        let guard = Guard { secure: true, ..guard("") };
        assert_eq!(admitted(&guard, &[("host", "localhost"), ("origin", "https://localhost")]), Asker::Own);
        let plain = [("host", "localhost"), ("origin", "http://localhost")];
        assert_eq!(refused(&guard, &plain), ErrorCode::ForbiddenOrigin);
    }

    #[test]
    fn a_request_has_one_host() {
        let guard = Guard { loopback: false, ..guard("") };
        assert_eq!(refused(&guard, &[]), ErrorCode::BadArgument);
        assert_eq!(refused(&guard, &[("host", "localhost"), ("host", "localhost")]), ErrorCode::BadArgument);
        for host in ["localhost:80@evil.example", "evil.example@localhost", "local host", "a:1:2", "[::1", "a/b"] {
            assert_eq!(refused(&guard, &[("host", host)]), ErrorCode::BadArgument, "{host}");
        }
        let mut head = head(&[]);
        head.version = Version::HTTP_10;
        assert_eq!(guard.admit(&head).expect("it may ask"), Asker::Own);
        head.uri = "http://localhost/ws".parse().expect("a URI");
        assert_eq!(guard.admit(&head).expect("it may ask"), Asker::Own);
    }
}
