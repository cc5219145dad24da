//! Who may ask: pages of this server's own origin, programs that are no browsers, and origins that the operator names.
//!
//! A browser sends requests for any page that is open in it. Three things are kept from such pages: to act or read here
//! in its name (`Origin` and `Sec-Fetch-Site` say for whom it asks; WebSockets know no other protection), to take part by
//! what a page loads in passing, and to reach a loopback listener under a name of their own that resolves to this machine
//! (DNS rebinding; `Host` says the name).

mod origin;

use http::header::{ACCEPT, HOST, ORIGIN, REFERER, USER_AGENT};
use http::request::Parts;
use http::{HeaderName, HeaderValue, Version};
use origin::{Origin, Site};
use switchboard::grammar::{ErrorCode, Failure};

const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");
const FETCH_DEST: HeaderName = HeaderName::from_static("sec-fetch-dest");

/// Other origins whose pages may ask.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Origins {
    Some(Vec<NamedOrigin>),
    Any,
}

/// One that the operator has named.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct NamedOrigin(Origin);

impl Default for Origins {
    fn default() -> Self {
        Self::Some(Vec::new())
    }
}

impl Origins {
    /// Reads `https://example.org,https://example.com:8443`, or `*`.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        if text == "*" {
            return Ok(Self::Any);
        }
        let origins: Option<Vec<_>> = text.split(',').map(|text| Origin::parse(text).map(NamedOrigin)).collect();
        let wrong = || "not a list of origins, as in https://example.org, nor *".to_owned();
        origins.map(Self::Some).ok_or_else(wrong)
    }

    fn any(&self, is: impl Fn(&Origin) -> bool) -> bool {
        match self {
            Self::Any => true,
            Self::Some(origins) => origins.iter().any(|NamedOrigin(origin)| is(origin)),
        }
    }

    fn name(&self, origin: &Origin) -> bool {
        self.any(|named| named.is(origin))
    }
}

/// For whom a request is made.
#[derive(Debug, PartialEq)]
pub(crate) enum Asker {
    /// A page of ours, or no page at all.
    Own,
    /// A page of this origin, which is allowed to.
    Allowed(HeaderValue),
    /// Somebody who follows a link on another site.
    Visitor,
}

impl Asker {
    /// Of whose page a browser is told that it may read the answer.
    pub(crate) fn page(&self) -> Option<&HeaderValue> {
        match self {
            Self::Allowed(origin) => Some(origin),
            Self::Own | Self::Visitor => None,
        }
    }
}

/// The rules of one listener.
#[derive(Debug, Clone)]
pub(crate) struct Guard {
    pub(crate) origins: Origins,
    /// Whether only this machine can connect.
    pub(crate) loopback: bool,
    /// Whether it speaks TLS.
    pub(crate) secure: bool,
}

impl Guard {
    /// Whether a request is answered at all.
    pub(crate) fn admit(&self, head: &Parts) -> Result<Asker, Failure> {
        let host = host(head)?;
        if !self.knows(&host) {
            return Err(forbidden(format!(
                "this server is not known as {host}: on a loopback address it answers to the names of this machine, and \
                 to the hosts of ?origins=, as in ?origins=https://{host}"
            )));
        }
        let (origin, site) = (head.headers.get(ORIGIN), head.headers.get(FETCH_SITE).map(HeaderValue::as_bytes));
        match (origin, site) {
            (Some(origin), _) => match parsed(origin) {
                Some(parsed) if self.is_own(&parsed, &host) => Ok(Asker::Own),
                _ if self.allows(origin) => Ok(Asker::Allowed(origin.clone())),
                Some(parsed) if parsed.may_be_at(&host) => Err(misnamed(&parsed, &host)),
                Some(parsed) => {
                    Err(forbidden(format!("pages from {parsed} are not allowed; ?origins={parsed} allows them")))
                }
                None => Err(forbidden_page()),
            },
            (None, None | Some(b"same-origin" | b"none")) => Ok(Asker::Own),
            (None, Some(_)) if self.origins == Origins::Any => Ok(Asker::Own),
            (None, Some(_)) if head.headers.get(FETCH_MODE).is_some_and(|mode| mode == "navigate") => {
                Ok(Asker::Visitor)
            }
            _ => Err(forbidden_page()),
        }
    }

    /// The origin of the page that asks, if it may: it is told what goes wrong too, whatever that is.
    pub(crate) fn allowed(&self, head: &Parts) -> Option<HeaderValue> {
        head.headers.get(ORIGIN).filter(|origin| self.allows(origin)).cloned()
    }

    /// Whether who was admitted may take part by `GET`, which a page of another origin can have a browser do in passing:
    /// as a picture, a script, a frame, or a request whose answer it does not see.
    ///
    /// Browsers send no `Origin` then, and to an address without TLS that is not this machine's no `Sec-Fetch-Site`. A page
    /// can hide where it is (`Referer`) and say what it likes to get (`Accept`), but not that a browser asks.
    pub(crate) fn may_join(&self, head: &Parts) -> Result<(), Failure> {
        let value = |name: HeaderName| head.headers.get(name).and_then(|value| value.to_str().ok());
        if self.origins == Origins::Any || head.headers.contains_key(ORIGIN) {
            return Ok(());
        }
        // What is fetched by a script has none, and what was typed is a document.
        if value(FETCH_DEST).is_some_and(|dest| !["empty", "document", "websocket"].contains(&dest))
            || value(ACCEPT).is_some_and(wants_a_part_of_a_page)
        {
            return Err(forbidden("pages may not embed this"));
        }
        if head.headers.contains_key(FETCH_SITE) {
            return Ok(());
        }
        match value(REFERER) {
            Some(referer) => match page(referer) {
                Some(page) if self.is_own(&page, &host(head)?) || self.origins.name(&page) => Ok(()),
                _ => Err(forbidden_page()),
            },
            None if value(USER_AGENT).is_some_and(is_browser) => Err(forbidden(
                "a browser asks and does not say for which page, as they do without TLS: take part from the page at /, \
                 by https, or by a program",
            )),
            None => Ok(()),
        }
    }

    /// Whether this name leads here without a trick.
    fn knows(&self, host: &Site) -> bool {
        // The name that a proxy in front passes on. With another port it could be somebody else's page.
        !self.loopback || host.host.is_local() || self.origins.any(|origin| origin.may_be_at(host))
    }

    /// Whether a page of `origin` came from here. Without TLS of our own its scheme may be that of a proxy in front.
    fn is_own(&self, origin: &Origin, host: &Site) -> bool {
        let is_ours = match origin.scheme.as_str() {
            "https" => true,
            "http" => !self.secure,
            _ => false,
        };
        // By a name that only `?origins=` makes one of ours, the origins are those that it names.
        let is_ours = is_ours && (!self.loopback || host.host.is_local() || self.origins.name(origin));
        is_ours && origin.is_at(host)
    }

    fn allows(&self, origin: &HeaderValue) -> bool {
        match parsed(origin) {
            Some(origin) => self.origins.name(&origin),
            None => self.origins == Origins::Any,
        }
    }
}

fn parsed(origin: &HeaderValue) -> Option<Origin> {
    origin.to_str().ok().and_then(Origin::parse)
}

/// Where the page is from that a `Referer` tells of.
fn page(referer: &str) -> Option<Origin> {
    let (scheme, rest) = referer.split_once("://")?;
    let place = rest.split(['/', '?', '#']).next()?;
    Origin::parse(&format!("{scheme}://{place}"))
}

/// Whether what is wanted is what pages are made of.
fn wants_a_part_of_a_page(accept: &str) -> bool {
    let kinds = ["image/", "audio/", "video/", "font/", "text/css"];
    accept.split(',').any(|range| kinds.iter().any(|kind| range.trim_start().starts_with(kind)))
}

/// All browsers begin like that. So does PowerShell, in which no pages are open.
fn is_browser(user_agent: &str) -> bool {
    user_agent.starts_with("Mozilla/") && !user_agent.contains("PowerShell/")
}

/// By which name and port the server is asked for.
fn host(head: &Parts) -> Result<Site, Failure> {
    let mut hosts = head.headers.get_all(HOST).iter();
    let host = match (head.uri.authority(), hosts.next(), hosts.next()) {
        (Some(authority), ..) => Some(authority.as_str()),
        (None, Some(host), None) => host.to_str().ok(),
        // The first version of HTTP had no names; browsers speak later ones.
        (None, None, None) if head.version == Version::HTTP_10 => Some(""),
        _ => None,
    };
    host.and_then(Site::parse).ok_or_else(|| {
        Failure::new(ErrorCode::BadArgument, "a request needs one Host: a name or an address, with or without a port")
    })
}

/// What a page of another origin is told.
pub(crate) fn forbidden_page() -> Failure {
    forbidden("pages from other origins are not allowed; ?origins= can allow them")
}

/// What a page is told that came from here, by all that one can tell, past a proxy that does not say so.
fn misnamed(origin: &Origin, host: &Site) -> Failure {
    forbidden(format!(
        "a page of {origin} asks for {host}: have the proxy pass on the port, as nginx does by `proxy_set_header Host \
         $http_host`, or name the page's origin by ?origins={origin}"
    ))
}

fn forbidden(text: impl Into<String>) -> Failure {
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
            ("http://[::1]:8082", "[0:0::1]:8082"),
            ("http://localhost:8082", "localhost.:8082"),
            ("http://LOCALHOST", "localhost:"),
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
        for host in [
            "evil.example",
            "evil.example.",
            "evil.example:8082",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "chat.example.org.evil.example",
            "notchat.example.org",
            "192.0.2.1",
            // What some systems take for this machine, and pages of others are not kept from.
            "0.0.0.0:8082",
            "[::]:8082",
            "[::ffff:192.0.2.1]",
        ] {
            assert_eq!(refused(&guard, &[("host", host)]), ErrorCode::ForbiddenOrigin, "{host}");
            let open = super::Guard { loopback: false, origins: Origins::default(), secure: false };
            assert_eq!(admitted(&open, &[("host", host)]), Asker::Own, "{host}");
        }
    }

    #[test]
    fn the_name_of_a_proxy_is_the_same_however_it_is_passed_on() {
        for (origins, hosts, origin) in [
            (
                "https://chat.test:8444",
                &["chat.test", "chat.test:8444", "chat.test.", "CHAT.test", "chat.test.:8444", "Chat.Test:"][..],
                "https://chat.test:8444",
            ),
            ("https://chat.test", &["chat.test", "chat.test:443", "chat.test.:443"], "https://chat.test"),
            ("HTTPS://Chat.Test.:443", &["chat.test", "chat.test:443"], "https://chat.test"),
            ("http://[2001:DB8:0::1]:3000", &["[2001:db8::1]", "[2001:db8::0:1]:3000"], "http://[2001:db8::1]:3000"),
        ] {
            let guard = guard(origins);
            for host in hosts {
                assert_eq!(admitted(&guard, &[("host", host)]), Asker::Own, "{origins} {host}");
                let asked = guard.admit(&head(&[("host", host), ("origin", origin)]));
                assert!(matches!(asked, Ok(Asker::Own | Asker::Allowed(_))), "{origins} {host}: {asked:?}");
            }
        }
    }

    #[test]
    fn a_name_of_a_proxy_makes_nobody_else_one_of_ours() {
        let guard = guard("https://chat.test:8444");
        // A name server that lies has a page of its own at that name, but not by TLS, and not at that port.
        for host in ["chat.test:8082", "chat.test:80", "chat.test:443", "chat.test.evil.example:8444"] {
            assert_eq!(refused(&guard, &[("host", host)]), ErrorCode::ForbiddenOrigin, "{host}");
        }
        for origin in ["http://chat.test", "http://chat.test:8444", "https://chat.test", "https://chat.test:9999"] {
            for host in ["chat.test", "chat.test:8444"] {
                let asked = [("host", host), ("origin", origin)];
                assert_eq!(refused(&guard, &asked), ErrorCode::ForbiddenOrigin, "{host} {origin}");
            }
        }
    }

    #[test]
    fn who_is_refused_is_told_what_to_do() {
        let told =
            |guard: &Guard, headers: &[(&str, &str)]| guard.admit(&head(headers)).expect_err("it may not ask").text;
        let open = super::Guard { loopback: false, ..guard("") };
        let text = told(&open, &[("host", "Chat.test"), ("origin", "https://chat.test:8444")]);
        assert!(text.contains("Host $http_host") && text.contains("?origins=https://chat.test:8444"), "{text}");
        let text = told(&guard(""), &[("host", "chat.test:8444")]);
        assert!(
            text.contains("not known as chat.test:8444") && text.contains("?origins=https://chat.test:8444"),
            "{text}"
        );
        let text = told(&open, &[("host", "chat.test"), ("origin", "https://evil.example")]);
        assert_eq!(text, "pages from https://evil.example are not allowed; ?origins=https://evil.example allows them");
        // What is no origin is not repeated.
        assert_eq!(told(&open, &[("host", "chat.test"), ("origin", "https://<b>")]), forbidden_page().text);
    }

    const CHROME: (&str, &str) =
        ("user-agent", "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/140.0 Safari/537.36");
    const ANY: (&str, &str) = ("accept", "*/*");

    fn joins(guard: &Guard, headers: &[(&str, &str)]) -> bool {
        let head = head(&[&[("host", "192.0.2.1:8082")], headers].concat());
        guard.admit(&head).is_ok_and(|asker| asker != Asker::Visitor) && guard.may_join(&head).is_ok()
    }

    #[test]
    fn programs_and_our_own_pages_may_take_part_by_get() {
        let open = super::Guard { loopback: false, ..guard("https://example.org") };
        for headers in [
            &[][..],
            &[ANY, ("user-agent", "curl/8.5.0")],
            &[ANY, ("user-agent", "python-requests/2.32"), ("accept-encoding", "gzip, deflate")],
            &[ANY, ("user-agent", "node"), ("accept-language", "*"), ("sec-fetch-mode", "cors")],
            &[("user-agent", "Mozilla/5.0 (Windows NT 10.0; en-US) WindowsPowerShell/5.1.26100.1")],
            // A page of ours without TLS: the browser says nothing of sites.
            &[CHROME, ("accept", "text/event-stream"), ("referer", "http://192.0.2.1:8082/board?x")],
            &[CHROME, ("accept", "text/event-stream"), ("referer", "https://example.org/")],
            &[CHROME, ("accept", "text/event-stream"), ("origin", "https://example.org")],
            // On this machine, or by TLS.
            &[CHROME, ANY, ("sec-fetch-site", "same-origin"), ("sec-fetch-mode", "cors"), ("sec-fetch-dest", "empty")],
            &[CHROME, ("accept", "text/html"), ("sec-fetch-site", "none"), ("sec-fetch-dest", "document")],
        ] {
            assert!(joins(&open, headers), "{headers:?}");
        }
    }

    #[test]
    fn a_page_of_others_takes_no_part_by_what_it_loads_in_passing() {
        let open = super::Guard { loopback: false, ..guard("https://example.org") };
        let elsewhere = ("referer", "http://evil.example/");
        let image = ("accept", "image/avif,image/webp,image/apng,*/*;q=0.8");
        for headers in [
            // A picture, of a page that says where it is or does not.
            &[CHROME, image, elsewhere][..],
            &[CHROME, image],
            // In a letter: its reader need not be a browser.
            &[("user-agent", "Reader/1.0"), image],
            // A script, a sound, or a request whose answer the page does not see: it may name what it likes to get.
            &[CHROME, ANY, elsewhere],
            &[CHROME, ANY],
            &[CHROME, ("accept", "text/event-stream"), ("cache-control", "no-cache")],
            &[CHROME, ("accept", "text/event-stream"), elsewhere],
            &[("user-agent", "Reader/1.0"), ANY, elsewhere],
            &[CHROME, ("accept", "text/css,*/*;q=0.1")],
            // A frame, or a link that is followed.
            &[CHROME, ("accept", "text/html,application/xhtml+xml,*/*;q=0.8")],
            &[CHROME, ANY, ("referer", "http://192.0.2.1:8082.evil.example/")],
            &[CHROME, ANY, ("referer", "http://evil.example/http://192.0.2.1:8082/")],
            &[CHROME, ANY, ("referer", "http://192.0.2.1/")],
            // Where browsers say more.
            &[
                CHROME,
                ANY,
                ("sec-fetch-site", "cross-site"),
                ("sec-fetch-mode", "no-cors"),
                ("sec-fetch-dest", "script"),
            ],
            &[CHROME, ANY, ("sec-fetch-site", "same-site"), ("sec-fetch-mode", "no-cors"), ("sec-fetch-dest", "empty")],
            &[CHROME, ("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document")],
            // What is put into a page of ours.
            &[CHROME, image, ("sec-fetch-site", "same-origin"), ("sec-fetch-dest", "image")],
            &[CHROME, ANY, ("sec-fetch-site", "same-origin"), ("sec-fetch-dest", "iframe")],
        ] {
            assert!(!joins(&open, headers), "{headers:?}");
        }
        let any = super::Guard { origins: Origins::Any, ..open };
        assert!(joins(&any, &[CHROME, ANY, elsewhere]), "any page may");
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
        for host in
            ["localhost:80@evil.example", "evil.example@localhost", "local host", "a:1:2", "[::1", "a/b", "a:99999"]
        {
            assert_eq!(refused(&guard, &[("host", host)]), ErrorCode::BadArgument, "{host}");
        }
        let mut head = head(&[]);
        head.version = Version::HTTP_10;
        assert_eq!(guard.admit(&head).expect("it may ask"), Asker::Own);
        head.uri = "http://localhost/ws".parse().expect("a URI");
        assert_eq!(guard.admit(&head).expect("it may ask"), Asker::Own);
    }
}
