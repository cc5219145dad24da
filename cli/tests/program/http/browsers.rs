//! What browsers may do here for the pages that are open in them, and what they are told.

use super::{HTTP, ask, get};
use crate::process::{Program, run};

/// The answer's status to a page of `origin`.
fn from_page(program: &Program, method: &str, path: &str, origin: &str) -> u16 {
    ask(program, method, path, &[&format!("origin: {origin}")], "").status
}

#[test]
fn a_page_of_another_origin_may_neither_act_nor_read() {
    let program = Program::serve(&[HTTP]);
    let upgrade = ["connection: upgrade", "upgrade: websocket", "origin: https://evil.example"];
    assert_eq!(ask(&program, "GET", "/ws", &upgrade, "").status, 403);
    for (method, path) in [
        ("POST", "/rooms/lobby"),
        ("GET", "/rooms/lobby/messages"),
        ("GET", "/rooms/lobby/events"),
        ("OPTIONS", "/rooms/lobby"),
    ] {
        assert_eq!(from_page(&program, method, path, "https://evil.example"), 403, "{method} {path}");
        let hidden = ask(&program, method, path, &["sec-fetch-site: cross-site", "sec-fetch-mode: no-cors"], "");
        assert_eq!((hidden.status, hidden.header("access-control-allow-origin")), (403, None), "{method} {path}");
        assert!(hidden.body.starts_with("{\"error\":\"forbidden-origin\""), "{}", hidden.body);
    }
    assert_eq!(get(&program, "/rooms/lobby/messages").body, "");
    assert_eq!(from_page(&program, "POST", "/rooms/lobby", "http://localhost"), 200);
}

#[test]
fn what_a_page_of_others_loads_in_passing_makes_no_room_and_no_member() {
    let program = Program::serve(&[HTTP]);
    let browser = "user-agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0";
    for path in ["/rooms/pwned/events", "/rooms/pwned/messages?follow=1", "/rooms/pwned/events?since=0-0"] {
        // As to an address without TLS, where browsers say nothing of sites.
        for headers in [
            &[browser, "accept: image/avif,image/webp,*/*;q=0.8", "referer: http://evil.example/"][..],
            &[browser, "accept: image/avif,image/webp,*/*;q=0.8"],
            &[browser, "accept: */*"],
            &[browser, "accept: text/event-stream", "cache-control: no-cache"],
            &["accept: */*", "referer: http://evil.example/"],
        ] {
            let answer = ask(&program, "GET", path, headers, "");
            assert_eq!(answer.status, 403, "{path} {headers:?}");
            assert!(answer.body.starts_with("{\"error\":\"forbidden-origin\""), "{}", answer.body);
        }
    }
    assert!(!get(&program, "/rooms").body.contains("pwned"));
    // A page of ours may, and so may a program.
    for headers in [&[browser, "referer: http://localhost/board"][..], &["accept: */*", "user-agent: curl/8.5.0"]] {
        let mut client = super::Client::connect(&program, 0);
        client.send(super::request("GET", "/rooms/ops/events", headers, ""));
        assert_eq!(client.head().status, 200, "{headers:?}");
    }
}

#[test]
fn a_proxy_may_pass_on_the_name_with_or_without_its_port() {
    let program = Program::serve(&[&format!("{HTTP}?origins=https://chat.test:8444,https://talk.test"), "-v"]);
    let asked = |host: &str, headers: &str| {
        let mut client = super::Client::connect(&program, 0);
        client.send(format!("GET /rooms HTTP/1.1\r\nhost: {host}\r\n{headers}\r\n"));
        client.answer()
    };
    for (host, origin) in [
        ("chat.test", "https://chat.test:8444"),
        ("chat.test:8444", "https://chat.test:8444"),
        ("CHAT.test.", "https://chat.test:8444"),
        ("talk.test:443", "https://talk.test"),
        ("talk.test", "https://talk.test:443"),
    ] {
        assert_eq!(asked(host, &format!("origin: {origin}\r\n")).status, 200, "{host} {origin}");
        assert_eq!(asked(host, "").status, 200, "{host}");
    }
    let refused = asked("chat.test:8082", "accept: text/html,*/*;q=0.8\r\n");
    assert_eq!((refused.status, refused.header("content-type")), (403, Some("text/html; charset=utf-8")));
    assert!(refused.body.contains("not known as chat.test:8082"), "{}", refused.body);
    assert_eq!(refused.header("content-security-policy"), Some("default-src 'none'; frame-ancestors 'none'"));
    let mut program = program;
    let line = program.logged("request refused");
    assert!(line.contains("not known as chat.test:8082"), "{line}");
}

#[test]
fn a_link_on_another_site_leads_to_the_page_and_nowhere_else() {
    let program = Program::serve(&[HTTP]);
    let link = ["sec-fetch-site: cross-site", "sec-fetch-mode: navigate"];
    assert_eq!(ask(&program, "GET", "/", &link, "").status, 200);
    assert_eq!(ask(&program, "GET", "/rooms/lobby/events", &link, "").status, 403);
    assert_eq!(ask(&program, "POST", "/rooms/lobby", &link, "").status, 403);
}

#[test]
fn a_person_who_opens_the_path_of_a_room_gets_the_page_in_that_room() {
    let program = Program::serve(&[HTTP, &format!("{HTTP}?commands=off")]);
    let person = "accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";
    for headers in [&[person][..], &[person, "sec-fetch-site: cross-site", "sec-fetch-mode: navigate"]] {
        let answer = ask(&program, "GET", "/rooms/Ops.1", headers, "");
        assert_eq!((answer.status, answer.header("location")), (303, Some("../#Ops.1")), "{headers:?}");
    }
    assert!(!get(&program, "/rooms").body.contains("Ops.1"), "nobody has joined it yet");
    // Programs, and whoever asks for what there is no page of, are told what the path takes.
    for (headers, path) in [(&["accept: */*"][..], "/rooms/ops"), (&[person], "/rooms/not%20a%20name")] {
        let answer = ask(&program, "GET", path, headers, "");
        assert_eq!((answer.status, answer.header("allow")), (405, Some("POST, OPTIONS")), "{path}");
    }
    let mut without_page = super::Client::connect(&program, 1);
    without_page.send(super::request("GET", "/rooms/ops", &[person], ""));
    assert_eq!(without_page.head().status, 405);
}

#[test]
fn origins_that_are_named_may_ask_and_are_told_so() {
    let program = Program::serve(&[&format!("{HTTP}?origins=https://example.org,https://example.com:8443")]);
    let answer = ask(&program, "GET", "/rooms", &["origin: https://example.org"], "");
    assert_eq!(answer.header("access-control-allow-origin"), Some("https://example.org"));
    assert_eq!(answer.header("vary"), Some("Origin"));
    let preflight = ["origin: https://example.com:8443", "access-control-request-method: POST"];
    let answer = ask(&program, "OPTIONS", "/rooms/lobby", &preflight, "");
    assert_eq!((answer.status, answer.header("access-control-allow-methods")), (204, Some("POST, OPTIONS")));
    let headers = answer.header("access-control-allow-headers").expect("it says which").split(", ");
    assert_eq!(headers.collect::<Vec<_>>(), ["authorization", "cache-control", "content-type", "last-event-id"]);
    // What goes wrong is told to them too.
    for (method, path, status) in [
        ("GET", "/rooms?limit=0", 400),
        ("GET", "/rooms/nothing/messages", 404),
        ("GET", "/nowhere", 404),
        ("PUT", "/rooms/lobby", 405),
        ("GET", "/ws", 426),
    ] {
        let answer = ask(&program, method, path, &["origin: https://example.org"], "");
        assert_eq!(
            (answer.status, answer.header("access-control-allow-origin")),
            (status, Some("https://example.org"))
        );
        assert_eq!(answer.header("access-control-expose-headers"), Some("allow, etag, link, retry-after"));
    }
    let answer = ask(&program, "GET", "/rooms", &["origin: https://example.net"], "");
    assert_eq!((answer.status, answer.header("access-control-allow-origin")), (403, None));
    let any = Program::serve(&[&format!("{HTTP}?origins=*")]);
    assert_eq!(from_page(&any, "POST", "/rooms/lobby", "https://example.net"), 200);
}

#[test]
fn a_name_that_was_made_to_lead_here_is_not_answered() {
    let program = Program::serve(&[HTTP]);
    for (host, status) in [("evil.example", 403), ("evil.example:8082", 403), ("127.0.0.1:1", 200), ("[::1]", 200)] {
        let mut client = super::Client::connect(&program, 0);
        client.send(format!("GET /rooms HTTP/1.1\r\nhost: {host}\r\n\r\n"));
        assert_eq!(client.answer().status, status, "{host}");
    }
    let mut client = super::Client::connect(&program, 0);
    client.send("GET /rooms HTTP/1.1\r\n\r\n");
    assert_eq!(client.answer().status, 400);
    let mut client = super::Client::connect(&program, 0);
    client.send("GET /rooms HTTP/1.0\r\n\r\n");
    assert_eq!(client.answer().status, 200);
}

#[test]
fn the_page_loads_nothing_from_elsewhere_and_stands_in_no_frame() {
    let program = Program::serve(&[HTTP]);
    let page = get(&program, "/");
    assert_eq!((page.status, page.header("content-type")), (200, Some("text/html; charset=utf-8")));
    let policy = page.header("content-security-policy").expect("it has a policy");
    for part in ["default-src 'none'", "script-src 'self'", "frame-ancestors 'none'", "base-uri 'none'"] {
        assert!(policy.contains(part), "{policy}");
    }
    assert!(!policy.contains("unsafe") && !policy.contains("http"), "{policy}");
    assert_eq!(page.header("x-content-type-options"), Some("nosniff"));
    assert_eq!(page.header("referrer-policy"), Some("same-origin"));
    assert_eq!(page.header("cross-origin-resource-policy"), Some("same-origin"));
    let tag = page.header("etag").expect("it has a tag");
    let again = ask(&program, "GET", "/", &[&format!("if-none-match: {tag}")], "");
    assert_eq!((again.status, &*again.body), (304, ""));
    let object = get(&program, "/rooms");
    assert_eq!(object.header("x-content-type-options"), Some("nosniff"));
    assert_eq!(object.header("content-security-policy"), Some("default-src 'none'; frame-ancestors 'none'"));
}

#[test]
fn options_of_the_listener_are_checked() {
    let end = run(&["serve", &format!("{HTTP}?origins=example.org&framing=lines")]);
    assert_eq!(end.code, Some(2));
    let log = end.log.join("\n");
    assert!(
        log.contains("option `origins`: `example.org` is not a list of origins, as in https://example.org, nor *"),
        "{log}"
    );
    assert!(log.contains("option `framing`: is for tcp, tls and unix"), "{log}");
}

/// A page that may ask can read why it was not understood, and nobody takes the answer for something else.
#[test]
fn what_the_library_answers_is_protected_as_well() {
    let program = Program::serve(&[&format!("{HTTP}?origins=https://example.org")]);
    let long = format!("x-long: {}", "x".repeat(18_000));
    let longer = format!("x-long: {}", "x".repeat(40_000));
    for (status, headers) in [
        (431, ["origin: https://example.org", &long]),
        (431, ["x-none: none", &longer]),
        (431, ["origin: https://example.org", &longer]),
        (400, ["origin: https://example.org", "no colon"]),
        (501, ["origin: https://example.org", "transfer-encoding: gzip, chunked"]),
        (400, ["x-none: none", "no colon"]),
    ] {
        let answer = ask(&program, "GET", "/rooms", &headers, "");
        assert_eq!(answer.status, status, "{headers:.99?}");
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{headers:.99?}");
        let allowed = headers[0].strip_prefix("origin: ");
        assert_eq!(answer.header("access-control-allow-origin"), allowed, "{headers:.99?}");
    }
}

/// It may come later than the answer, on a connection that stays.
#[test]
fn a_body_that_nobody_reads_is_not_taken_for_the_next_request() {
    let program = Program::serve(&[HTTP]);
    for (method, path, body, closes) in [
        ("PUT", "/rooms/a", "x", Some("close")),
        ("GET", "/rooms", "x", Some("close")),
        ("POST", "/nowhere", "x", Some("close")),
        ("PUT", "/rooms/a", "", None),
        ("POST", "/rooms/a", "x", None),
    ] {
        let answer = ask(&program, method, path, &[], body);
        assert_eq!(answer.header("connection"), closes, "{method} {path} {body}");
    }
}
