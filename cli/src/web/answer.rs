//! What a request is answered with: heads, and the objects that the format `json` writes.

use super::assets::Asset;
use bytes::Bytes;
use http::header::{
    ACCEPT, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_SECURITY_POLICY,
    CONTENT_TYPE, ETAG, IF_NONE_MATCH, LINK, LOCATION, REFERRER_POLICY, RETRY_AFTER, SEC_WEBSOCKET_VERSION, UPGRADE,
    VARY, WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use std::time::Duration;
use switchboard::Format;
use switchboard::grammar::{ErrorCode, Failure, Reply};

/// What our own page may do: load our own files, and talk to us. Nobody else may show it in a frame.
const PAGE_POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
     base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
);

/// What any other answer may do, should somebody take it for a page.
const POLICY: HeaderValue = HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'");

const RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");
const OPENER_POLICY: HeaderName = HeaderName::from_static("cross-origin-opener-policy");
/// What pages of other origins may send beside what CORS always allows: libraries for events send all but the last.
const ALLOWED_HEADERS: HeaderValue =
    HeaderValue::from_static("authorization, cache-control, content-type, last-event-id");
/// What they may read of an answer beside what CORS always shows.
const EXPOSED_HEADERS: HeaderValue = HeaderValue::from_static("allow, etag, link, retry-after");

/// Asks a proxy in front (nginx) to pass on what comes, as it comes.
const BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

const PAGE: &str = "text/html; charset=utf-8";
pub(crate) const OBJECT: &str = "application/json";
pub(crate) const OBJECTS: &str = "application/x-ndjson";
pub(crate) const EVENTS: &str = "text/event-stream";

/// The status that goes with a code.
pub(crate) fn status(code: ErrorCode) -> StatusCode {
    match code {
        ErrorCode::NoSuchPath | ErrorCode::NoSuchRoom | ErrorCode::NoSuchMember => StatusCode::NOT_FOUND,
        ErrorCode::BadMethod => StatusCode::METHOD_NOT_ALLOWED,
        ErrorCode::ForbiddenOrigin
        | ErrorCode::CommandsOff
        | ErrorCode::NotAllowed
        | ErrorCode::NameReserved
        | ErrorCode::Banned => StatusCode::FORBIDDEN,
        ErrorCode::NotAuthorized | ErrorCode::TokenExpired => StatusCode::UNAUTHORIZED,
        ErrorCode::NameTaken | ErrorCode::NotAMember | ErrorCode::NoRoom => StatusCode::CONFLICT,
        ErrorCode::FrameTooLong => StatusCode::PAYLOAD_TOO_LARGE,
        ErrorCode::RateLimited => StatusCode::TOO_MANY_REQUESTS,
        ErrorCode::TooManyRooms | ErrorCode::RoomFull | ErrorCode::AuthUnavailable | ErrorCode::Unavailable => {
            StatusCode::SERVICE_UNAVAILABLE
        }
        ErrorCode::UpgradeRequired => StatusCode::UPGRADE_REQUIRED,
        ErrorCode::TooSlow => StatusCode::REQUEST_TIMEOUT,
        // Unknown commands, bad arguments and names, and what is not said over HTTP.
        _ => StatusCode::BAD_REQUEST,
    }
}

/// An answer of this type, of which nobody keeps a copy.
pub(crate) fn head(content_type: &'static str) -> Response<()> {
    let mut head = Response::new(());
    let headers = head.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    head
}

/// The head of an answer that comes bit by bit.
pub(crate) fn stream(content_type: &'static str) -> Response<()> {
    let mut head = head(content_type);
    head.headers_mut().insert(BUFFERING, HeaderValue::from_static("no"));
    head
}

/// The head of one without an end. Who compresses it on the way would hold back what has come.
pub(crate) fn endless(content_type: &'static str) -> Response<()> {
    let mut head = stream(content_type);
    head.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-cache, no-transform"));
    head
}

/// A head, for who asks for no more.
pub(crate) fn bodiless(head: Response<()>) -> switchboard::http::Response {
    head.map(|()| Bytes::new()).into()
}

/// One object, on a line.
pub(crate) fn reply(reply: &Reply) -> Response<Bytes> {
    lines(OBJECT, &Format::Json.reply(reply))
}

/// A line for each object.
pub(crate) fn lines(content_type: &'static str, objects: &[Bytes]) -> Response<Bytes> {
    let lines = objects.iter().flat_map(|object| [&object[..], b"\n"]);
    head(content_type).map(|()| lines.collect::<Vec<_>>().concat().into())
}

/// A list, and where its next part is.
pub(crate) fn paged(list: &Reply, next: Option<String>) -> Response<Bytes> {
    let mut response = reply(list);
    link(response.headers_mut(), "next", next);
    response
}

/// Says where to go on behind an answer, or before it.
pub(crate) fn link(headers: &mut HeaderMap, rel: &'static str, path: Option<String>) {
    if let Some(link) = path.and_then(|path| HeaderValue::try_from(format!("<{path}>; rel=\"{rel}\"")).ok()) {
        headers.insert(LINK, link);
    }
}

/// Why a request was not obeyed. `allow`: what the path takes instead, if that is why.
pub(crate) fn refusal(failure: &Failure, allow: Option<&'static str>) -> Response<Bytes> {
    let object: Vec<_> = Format::Json.failure(failure).into_iter().collect();
    let mut response = lines(OBJECT, &object);
    *response.status_mut() = status(failure.code);
    let (retry, allow) = match failure.code {
        ErrorCode::RateLimited | ErrorCode::Unavailable => (Some("1"), None),
        // Rooms go when they have been empty for ten minutes.
        ErrorCode::TooManyRooms => (Some("60"), None),
        ErrorCode::AuthUnavailable | ErrorCode::RoomFull => (Some("5"), None),
        ErrorCode::BadMethod => (None, allow),
        _ => (None, None),
    };
    if let Some(challenge) = challenge(failure.code) {
        response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
    }
    for (name, value) in [(RETRY_AFTER, retry), (ALLOW, allow)] {
        if let Some(value) = value {
            response.headers_mut().insert(name, HeaderValue::from_static(value));
        }
    }
    response
}

/// What tells whoever is refused how to show who it is (RFC 6750 §3), if that would help.
fn challenge(code: ErrorCode) -> Option<HeaderValue> {
    Some(HeaderValue::from_static(match code {
        ErrorCode::NotAuthorized => "Bearer realm=\"switchboard\"",
        ErrorCode::TokenExpired => {
            "Bearer realm=\"switchboard\", error=\"invalid_token\", error_description=\"expired\""
        }
        ErrorCode::NotAllowed => "Bearer realm=\"switchboard\", error=\"insufficient_scope\"",
        _ => return None,
    }))
}

/// Why what a request showed does not show who asks; `apart`: after how long an address that was wrong too often may show more.
pub(crate) fn unauthenticated(failure: &Failure, apart: Option<Duration>) -> Response<Bytes> {
    let mut response = refusal(failure, None);
    if failure.code == ErrorCode::NotAuthorized {
        let wrong = HeaderValue::from_static("Bearer realm=\"switchboard\", error=\"invalid_token\"");
        response.headers_mut().insert(WWW_AUTHENTICATE, wrong);
    }
    if let Some(apart) = apart.filter(|_| failure.code == ErrorCode::RateLimited) {
        // Whole seconds, and not too early.
        let seconds = apart.as_secs() + u64::from(apart.subsec_nanos() > 0);
        response.headers_mut().insert(RETRY_AFTER, seconds.into());
    }
    response
}

/// Whether a person reads the answer: browsers ask for pages by this alone.
pub(crate) fn is_for_people(request: &HeaderMap) -> bool {
    let accept = request.get(ACCEPT).and_then(|accept| accept.to_str().ok());
    accept.is_some_and(|accept| accept.split(',').any(|range| range.trim_start().starts_with("text/html")))
}

/// The same for a person, as a page.
pub(crate) fn refusal_to_people(failure: &Failure) -> Response<Bytes> {
    let text = failure.text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let page = format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<meta name=\"color-scheme\" content=\"light dark\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n<title>switchboard: not answered</title>\n\
         <h1>Not answered</h1>\n<p>{text}.</p>\n\
         <p>Whoever runs this server finds more in docs/operations.md, “Behind a proxy”.</p>\n</html>\n"
    );
    let mut response = head(PAGE).map(|()| page.into());
    *response.status_mut() = status(failure.code);
    response
}

/// Why a request opened no WebSocket. What its headers say is the library's, which knows why.
pub(crate) fn no_websocket(headers: &HeaderMap, status: StatusCode) -> Response<Bytes> {
    let failure = if status == StatusCode::UPGRADE_REQUIRED {
        Failure::new(ErrorCode::UpgradeRequired, "this path is a WebSocket (version 13)")
    } else {
        let text = "not a WebSocket handshake, which has `Connection: upgrade`, a key of 16 bytes and no body";
        Failure::new(ErrorCode::BadArgument, text)
    };
    let mut response = refusal(&failure, None);
    for name in [CONNECTION, UPGRADE, SEC_WEBSOCKET_VERSION] {
        if let Some(value) = headers.get(&name) {
            response.headers_mut().insert(name, value.clone());
        }
    }
    response
}

/// What is wanted is at another place.
pub(crate) fn elsewhere(place: &str) -> Response<Bytes> {
    let mut response = head(PAGE).map(|()| Bytes::new());
    *response.status_mut() = StatusCode::SEE_OTHER;
    let place = HeaderValue::try_from(place);
    response.headers_mut().extend(place.ok().map(|place| (LOCATION, place)));
    response
}

/// Which methods a path takes.
pub(crate) fn options(allow: &'static str) -> Response<Bytes> {
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = StatusCode::NO_CONTENT;
    response.headers_mut().insert(ALLOW, HeaderValue::from_static(allow));
    response
}

/// A file, unless the browser has it already.
pub(crate) fn asset(asset: &'static Asset, request: &HeaderMap) -> Response<Bytes> {
    let tags = request.get_all(IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    let mut tags = tags.flat_map(|value| value.split(',')).map(|tag| tag.trim().trim_start_matches("W/"));
    let is_known = tags.any(|tag| tag == asset.tag() || tag == "*");
    let mut response = head(asset.content_type).map(|()| Bytes::from_static(if is_known { b"" } else { asset.body }));
    if is_known {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
    }
    let headers = response.headers_mut();
    // It may be kept, and is asked for each time: the next version of the program may have another.
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(ETAG, HeaderValue::from_static(asset.tag()));
    headers.insert(CONTENT_SECURITY_POLICY, PAGE_POLICY);
    // To us alone: without TLS nothing else says that one of our pages asks.
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("same-origin"));
    headers.insert(OPENER_POLICY, HeaderValue::from_static("same-origin"));
    response
}

/// What every answer says to browsers, and to a page of another origin that may read it.
pub(crate) fn protect(headers: &mut HeaderMap, page: Option<HeaderValue>) {
    headers.entry(CONTENT_SECURITY_POLICY).or_insert(POLICY);
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(RESOURCE_POLICY, HeaderValue::from_static("same-origin"));
    headers.insert(VARY, HeaderValue::from_static("Origin"));
    let Some(origin) = page else { return };
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED_HEADERS);
    let Some(allow) = headers.get(ALLOW).cloned() else { return };
    headers.insert(ACCESS_CONTROL_ALLOW_METHODS, allow);
    headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, ALLOWED_HEADERS);
    // A day: what is allowed changes with a restart at most.
    headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("86400"));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::web::assets;

    #[test]
    fn each_code_has_its_status() {
        let expected = [
            ("unknown-command", 400),
            ("bad-argument", 400),
            ("bad-name", 400),
            ("name-taken", 409),
            ("not-a-member", 409),
            ("no-room", 409),
            ("no-such-room", 404),
            ("no-such-member", 404),
            ("too-many-rooms", 503),
            ("room-full", 503),
            ("frame-too-long", 413),
            ("rate-limited", 429),
            ("not-authorized", 401),
            ("token-expired", 401),
            ("not-allowed", 403),
            ("name-reserved", 403),
            ("auth-unavailable", 503),
            ("banned", 403),
            ("commands-off", 403),
            ("no-such-path", 404),
            ("bad-method", 405),
            ("forbidden-origin", 403),
            ("upgrade-required", 426),
            ("too-slow", 408),
            ("wrong-protocol", 400),
            ("gone", 400),
            ("unavailable", 503),
        ];
        let statuses = ErrorCode::ALL.map(|code| (code.code(), status(code).as_u16()));
        assert_eq!(statuses, expected);
    }

    #[test]
    fn a_refusal_is_an_object_and_says_when_to_come_back_or_how() {
        let response = refusal(&Failure::new(ErrorCode::RateLimited, "too much"), Some("POST"));
        assert_eq!(response.status(), 429);
        assert_eq!(response.headers()[CONTENT_TYPE], "application/json");
        assert_eq!(response.headers()[RETRY_AFTER], "1");
        assert_eq!(response.headers().get(ALLOW), None);
        assert_eq!(response.body(), "{\"error\":\"rate-limited\",\"text\":\"too much\"}\n");
        let response = refusal(&Failure::new(ErrorCode::BadMethod, "no"), Some("POST, OPTIONS"));
        assert_eq!(
            (response.status().as_u16(), &response.headers()[ALLOW]),
            (405, &HeaderValue::from_static("POST, OPTIONS"))
        );
    }

    #[test]
    fn who_was_wrong_too_often_is_told_when_to_come_back() {
        let told = |per_minute: Option<u32>| {
            let apart = per_minute.map(|count| Duration::from_mins(1) / count);
            let response = unauthenticated(&Failure::new(ErrorCode::RateLimited, "too much"), apart);
            response.headers()[RETRY_AFTER].to_str().map(str::to_owned).expect("a number")
        };
        assert_eq!([Some(10), Some(1), Some(7), Some(100), None].map(told), ["6", "60", "9", "1", "1"]);
        let wrong = unauthenticated(&Failure::new(ErrorCode::NotAuthorized, "no"), Some(Duration::from_secs(6)));
        assert_eq!(wrong.headers().get(RETRY_AFTER), None);
    }

    #[test]
    fn a_person_is_refused_by_a_page() {
        let asks = |accept: &str| {
            is_for_people(&[(ACCEPT, HeaderValue::from_str(accept).expect("a value"))].into_iter().collect())
        };
        assert!(asks("text/html,application/xhtml+xml,*/*;q=0.8") && asks("application/xml, text/html;q=0.9"));
        assert!(!asks("*/*") && !asks("application/json") && !is_for_people(&HeaderMap::new()));
        let response = refusal_to_people(&Failure::new(ErrorCode::ForbiddenOrigin, "not <you> & yours"));
        assert_eq!(
            (response.status().as_u16(), &response.headers()[CONTENT_TYPE]),
            (403, &HeaderValue::from_static(PAGE))
        );
        let page = String::from_utf8_lossy(response.body()).into_owned();
        assert!(page.contains("<p>not &lt;you&gt; &amp; yours.</p>"), "{page}");
    }

    #[test]
    fn a_file_that_the_browser_has_is_not_sent_again() {
        static FILE: Asset = assets::asset("page.html", b"<p>hi</p>");
        let page = &FILE;
        let get = |tag: Option<&str>| {
            let tags = tag.map(|tag| (IF_NONE_MATCH, HeaderValue::from_str(tag).expect("a value")));
            asset(page, &tags.into_iter().collect())
        };
        let whole = get(None);
        assert_eq!((whole.status().as_u16(), &whole.body()[..]), (200, page.body));
        assert_eq!(whole.headers()[CONTENT_TYPE], "text/html; charset=utf-8");
        for tag in [page.tag().to_owned(), format!("\"old\", W/{}", page.tag()), "*".to_owned()] {
            let known = get(Some(&tag));
            assert_eq!((known.status().as_u16(), known.body().len()), (304, 0), "{tag}");
            assert_eq!(known.headers()[ETAG], page.tag());
        }
        assert_eq!(get(Some("\"old\"")).status(), 200);
    }

    #[test]
    fn only_origins_that_are_allowed_are_told_so() {
        let mut response = options("POST, OPTIONS");
        protect(response.headers_mut(), None);
        assert_eq!(response.headers().get(ACCESS_CONTROL_ALLOW_ORIGIN), None);
        protect(response.headers_mut(), Some(HeaderValue::from_static("https://example.org")));
        assert_eq!(response.headers()[ACCESS_CONTROL_ALLOW_ORIGIN], "https://example.org");
        assert_eq!(response.headers()[ACCESS_CONTROL_ALLOW_METHODS], "POST, OPTIONS");
    }
}
