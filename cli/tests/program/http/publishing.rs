//! Requests that publish, read and list.

use super::{Client, HTTP, ask, get, id, post, request};
use crate::process::{Program, run};
use crate::rooms::{Peer, ROOMS};

#[test]
fn a_request_publishes_to_whoever_is_in_the_room() {
    let program = Program::serve(&[HTTP, ROOMS]);
    let mut tcp = Peer::enter(&program, 1);
    let answer = post(&program, "/rooms/lobby", "hi");
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/json")));
    let expected =
        format!("{{\"event\":\"published\",\"room\":\"lobby\",\"seq\":1,\"id\":\"{}\",\"time\":\"", id(&answer.body));
    assert!(answer.body.starts_with(&expected) && answer.body.ends_with("Z\"}\n"), "{}", answer.body);
    tcp.expect("[lobby] http: hi");
    assert_eq!(post(&program, "/rooms/LOBBY?name=alice", "/quit").status, 200);
    tcp.expect("[lobby] alice: /quit");
    // Nothing at all is a message too, as an empty line is.
    assert_eq!(post(&program, "/rooms/lobby", "").status, 200);
    tcp.expect("[lobby] http: ");
}

#[test]
fn its_line_says_how_to_try_it() {
    let program = Program::serve(&[HTTP, &format!("{HTTP}?commands=off")]);
    let [place, without_commands] = [0, 1].map(|index| program.listeners[index].address());
    assert_eq!(program.listeners[0].command, format!("open http://{place}/ or curl -d hi {place}/rooms/lobby"));
    // The page could not join, and what it says would be published.
    assert_eq!(get(&program, "/").status, 200);
    let mut client = Client::connect(&program, 1);
    client.send(request("GET", "/", &[], ""));
    let refused = client.answer();
    assert_eq!(refused.status, 403);
    assert!(refused.body.contains("commands-off"), "{}", refused.body);
    assert_eq!(program.listeners[1].command, format!("curl -d hi {without_commands}/rooms/lobby"));
}

#[test]
fn it_is_among_the_listeners_that_need_not_be_typed() {
    let printed = run(&["config", "print"]);
    assert!(printed.output.join("\n").contains("rooms=http://127.0.0.1:8082"));
}

#[test]
fn a_room_is_made_by_what_is_published_to_it_and_by_nothing_that_only_reads() {
    let program = Program::serve(&[HTTP]);
    for path in ["/rooms/ops/messages", "/rooms/ops/members"] {
        let answer = get(&program, path);
        assert_eq!(answer.status, 404);
        assert_eq!(
            answer.body,
            "{\"error\":\"no-such-room\",\"text\":\"there is no room ops; publishing creates it\"}\n"
        );
    }
    // Not even by a request for a WebSocket that is none.
    assert_eq!(get(&program, "/rooms/ops/ws").status, 426);
    assert_eq!(ask(&program, "OPTIONS", "/rooms/ops", &[], "").status, 204);
    let rooms = "{\"event\":\"rooms\",\"rooms\":[{\"room\":\"lobby\",\"members\":0}],\"total\":1}\n";
    assert_eq!(get(&program, "/rooms").body, rooms);
    assert_eq!(post(&program, "/rooms/ops", "hi").status, 200);
    assert_eq!(get(&program, "/rooms/ops/messages").lines().len(), 1);
}

#[test]
fn a_name_that_somebody_has_is_not_for_others() {
    let program = Program::serve(&[HTTP, ROOMS]);
    let mut alice = Peer::named(&program, 1, "alice");
    let answer = post(&program, "/rooms/lobby?name=ALICE", "I am not");
    assert_eq!(answer.status, 409);
    assert_eq!(answer.body, "{\"error\":\"name-taken\",\"text\":\"name ALICE is taken\"}\n");
    for name in ["http", "guest-1", "server", "", "a%20b"] {
        let answer = post(&program, &format!("/rooms/lobby?name={name}"), "I am not");
        assert!(answer.status == 400 && answer.body.starts_with("{\"error\":\"bad-name\""), "{name}: {}", answer.body);
    }
    alice.expect_nothing();
}

#[test]
fn a_body_may_be_as_long_as_a_frame() {
    let program = Program::serve(&[HTTP, "--max-frame", "8"]);
    assert_eq!(post(&program, "/rooms/lobby", "12345678").status, 200);
    let long = post(&program, "/rooms/lobby", "123456789");
    assert_eq!(
        (long.status, &*long.body),
        (413, "{\"error\":\"frame-too-long\",\"text\":\"body is longer than 8 bytes\"}\n")
    );
    // One that does not say how long it is.
    let mut client = Client::connect(&program, 0);
    client.send("POST /rooms/lobby HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n");
    client.send("5\r\n12345\r\n5\r\n67890\r\n");
    assert_eq!(client.answer().status, 413);
    assert_eq!(get(&program, "/rooms/lobby/messages").lines().len(), 1);
}

#[test]
fn an_address_publishes_at_most_so_much() {
    let program = Program::serve(&[&format!("{HTTP}?rate=3")]);
    let mut client = Client::connect(&program, 0);
    // All at once, so that a slow machine takes no second for it.
    client.send(request("POST", "/rooms/lobby", &[], "hi").repeat(9));
    let answers: Vec<_> = (0..9).map(|_| client.answer()).collect();
    assert!(answers[..3].iter().all(|answer| answer.status == 200), "{answers:?}");
    let refused = answers.iter().find(|answer| answer.status == 429).expect("it was too much");
    assert_eq!(refused.header("retry-after"), Some("1"));
    assert!(refused.body.starts_with("{\"error\":\"rate-limited\""), "{}", refused.body);
}

#[test]
fn an_address_makes_so_many_rooms_by_whatever_means_together() {
    let share = "new-rooms=3";
    let program = Program::serve(&[&format!("{HTTP}?{share}"), &format!("{ROOMS}?{share}")]);
    let mut client = Client::connect(&program, 0);
    // All at once, so that a slow machine takes few seconds for it, each of which allows one more.
    client.send((0..60).map(|number| request("POST", &format!("/rooms/post-{number}"), &[], "hi")).collect::<String>());
    let answers: Vec<_> = (0..60).map(|_| client.answer()).collect();
    assert!(answers[..3].iter().all(|answer| answer.status == 200), "{answers:?}");
    let refused = answers.iter().find(|answer| answer.status == 429).expect("it was too much");
    let text = "too many new rooms from this address: 3 at once, then one a second";
    assert_eq!(refused.body, format!("{{\"error\":\"rate-limited\",\"text\":\"{text}\"}}\n"));
    assert_eq!(refused.header("retry-after"), Some("1"));
    let mut peer = Peer::enter(&program, 1);
    (0..15).for_each(|number| peer.say(&format!("/join join-{number}")));
    let refusal = format!("! rate-limited: {text}");
    assert!((0..15).any(|_| peer.next() == refusal), "by /join too");
    for path in ["/rooms/ROOM/events", "/rooms/ROOM/messages?follow=1"] {
        let asked = |number: usize| {
            let mut client = Client::connect(&program, 0);
            client.send(request("GET", &path.replace("ROOM", &format!("get-{number}")), &[], ""));
            client.head().status
        };
        assert!((0..30).any(|number| asked(number) == 429), "by {path} too");
    }
    // Rooms that are there take everybody.
    assert_eq!(post(&program, "/rooms/post-0", "hi").status, 200);
    peer.say("/join post-0");
    assert!(std::iter::repeat_with(|| peer.next()).any(|line| line.starts_with("* [post-0] you joined")));
}

#[test]
fn messages_are_read_from_where_the_reader_was() {
    let program = Program::serve(&[HTTP]);
    let ids: Vec<_> = (1..=5).map(|number| post(&program, "/rooms/lobby", &number.to_string()).body).collect();
    let read = |query: &str| {
        let answer = get(&program, &format!("/rooms/lobby/messages{query}"));
        assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/x-ndjson")));
        let texts = answer.body.lines().map(|line| line.rsplit('"').nth(1).unwrap_or(line).to_owned());
        texts.collect::<Vec<_>>().join(" ")
    };
    assert_eq!(read(""), "1 2 3 4 5");
    assert_eq!(read("?limit=2"), "4 5");
    assert_eq!(read("?limit=0"), "");
    assert_eq!(read(&format!("?since={}", id(&ids[1]))), "3 4 5");
    assert_eq!(read(&format!("?since={}&limit=2", id(&ids[1]))), "3 4");
    assert_eq!(read(&format!("?since={}", id(&ids[4]))), "");
    assert_eq!(read(&format!("?before={}", id(&ids[3]))), "1 2 3");
    assert_eq!(read(&format!("?before={}&limit=2", id(&ids[3]))), "2 3");
    assert_eq!(read(&format!("?before={}&limit=2", id(&ids[0]))), "");
    assert_eq!(read(&format!("?since={}&before={}", id(&ids[1]), id(&ids[4]))), "3 4");
    let far = id(&ids[0]).replace("-1", &format!("-{}", u64::MAX));
    for query in [format!("?since={far}&before={}", id(&ids[4])), format!("?since={far}&before={far}&limit=0")] {
        assert_eq!(read(&query), "");
        assert_eq!(get(&program, &format!("/rooms/lobby/messages{query}")).header("link"), None);
    }
    // Where to go on is told, also by an answer that holds nothing yet.
    let next = |path: &str| {
        let link = get(&program, path).header("link").expect("it says where to go on").to_owned();
        let path = link.strip_prefix('<').and_then(|link| link.strip_suffix(">; rel=\"next\""));
        path.unwrap_or_else(|| panic!("{link}")).to_owned()
    };
    assert_eq!(next("/rooms/lobby/messages"), format!("/rooms/lobby/messages?since={}", id(&ids[4])));
    assert_eq!(next("/rooms/lobby/messages?limit=0"), format!("/rooms/lobby/messages?since={}", id(&ids[4])));
    let page = format!("/rooms/lobby/messages?since={}&limit=2", id(&ids[0]));
    assert_eq!(next(&page), format!("/rooms/lobby/messages?since={}&limit=2", id(&ids[2])));
    let at_the_end = format!("/rooms/lobby/messages?since={}", id(&ids[4]));
    assert_eq!(next(&at_the_end), at_the_end);
    let mut client = Client::connect(&program, 0);
    client.send(request("HEAD", &at_the_end, &[], ""));
    assert_eq!(client.head().header("link"), Some(&*format!("<{at_the_end}>; rel=\"next\"")));
    // Of another incarnation: all there is, and a word about it.
    let answer = get(&program, "/rooms/lobby/messages?since=0-9");
    assert!(answer.lines()[0].starts_with("{\"event\":\"reset\",\"room\":\"lobby\""), "{}", answer.body);
    assert_eq!(answer.lines().len(), 6);
}

#[test]
fn what_is_no_longer_kept_is_told() {
    let program = Program::serve(&[HTTP]);
    let first = post(&program, "/rooms/lobby", "1").body;
    let mut client = Client::connect(&program, 0);
    client.send(request("POST", "/rooms/lobby", &[], "more").repeat(300));
    for _ in 0..300 {
        assert_eq!(client.answer().status, 200);
    }
    let answer = get(&program, &format!("/rooms/lobby/messages?since={}", id(&first)));
    assert_eq!(answer.lines()[0], "{\"event\":\"gap\",\"room\":\"lobby\",\"lost\":44,\"from_seq\":2}");
    assert_eq!(answer.lines().len(), 257);
}

#[test]
fn lists_come_in_pages() {
    let program = Program::serve(&[HTTP, ROOMS]);
    let _members: Vec<_> = (0..3).map(|_| Peer::enter(&program, 1)).collect();
    for room in ["b", "a", "C"] {
        post(&program, &format!("/rooms/{room}"), "hi");
    }
    let page = get(&program, "/rooms?limit=2");
    let rooms =
        "{\"event\":\"rooms\",\"rooms\":[{\"room\":\"a\",\"members\":0},{\"room\":\"b\",\"members\":0}],\"total\":4}\n";
    assert_eq!((&*page.body, page.header("link")), (rooms, Some("</rooms?after=b&limit=2>; rel=\"next\"")));
    let page = get(&program, "/rooms?after=b&limit=3");
    let rooms = "{\"event\":\"rooms\",\"rooms\":[{\"room\":\"C\",\"members\":0},{\"room\":\"lobby\",\"members\":3}],\"total\":4}\n";
    assert_eq!((&*page.body, page.header("link")), (rooms, None));
    let page = get(&program, "/rooms/lobby/members?limit=2");
    let who = "{\"event\":\"who\",\"room\":\"lobby\",\"members\":[\"guest-1\",\"guest-2\"],\"total\":3}\n";
    let next = "</rooms/lobby/members?skip=2&limit=2>; rel=\"next\"";
    assert_eq!((&*page.body, page.header("link")), (who, Some(next)));
    let page = get(&program, "/rooms/lobby/members?skip=2&limit=2");
    let who = "{\"event\":\"who\",\"room\":\"lobby\",\"members\":[\"guest-3\"],\"total\":3}\n";
    assert_eq!((&*page.body, page.header("link")), (who, None));
    let who = "{\"event\":\"who\",\"room\":\"lobby\",\"members\":[],\"total\":3}\n";
    assert_eq!(get(&program, "/rooms/lobby/members?skip=4000000000").body, who);
}

#[test]
fn what_is_not_understood_is_an_object_too() {
    let program = Program::serve(&[HTTP]);
    for (method, path, status, code) in [
        ("GET", "/nowhere", 404, "no-such-path"),
        ("GET", "/rooms/lobby", 405, "bad-method"),
        ("DELETE", "/rooms/lobby/messages", 405, "bad-method"),
        ("HEAD", "/ws", 405, ""),
        ("GET", "/rooms?limit=0", 400, "bad-argument"),
        ("GET", "/rooms/a%20b/messages", 400, "bad-name"),
    ] {
        let mut client = Client::connect(&program, 0);
        client.send(request(method, path, &[], ""));
        let answer = if method == "HEAD" { client.head() } else { client.answer() };
        assert_eq!(answer.status, status, "{method} {path}");
        assert_eq!(answer.header("content-type"), Some("application/json"), "{method} {path}");
        assert!(code.is_empty() || answer.body.starts_with(&format!("{{\"error\":\"{code}\"")), "{}", answer.body);
        assert_eq!(answer.header("allow").is_some(), status == 405, "{method} {path}");
    }
}

#[test]
fn whoever_reads_where_one_publishes_is_told_where_to_read() {
    let program = Program::serve(&[HTTP]);
    let answer = get(&program, "/rooms/lobby");
    assert!(answer.body.contains("at /rooms/ROOM/messages or /rooms/ROOM/events"), "{}", answer.body);
}

#[test]
fn balancers_ask_for_a_sign_of_life() {
    let program = Program::serve(&[HTTP, "echo=ws://127.0.0.1:0", "-v"]);
    let said = |listener: usize, request: &str| {
        let mut client = Client::connect(&program, listener);
        client.send(request);
        let answer = client.head();
        (answer.status, answer.header("allow").map(str::to_owned))
    };
    for request in ["HEAD / HTTP/1.0\r\n\r\n", "GET / HTTP/1.0\r\n\r\n", "HEAD / HTTP/1.1\r\nhost: localhost\r\n\r\n"] {
        assert_eq!(said(0, request), (200, None), "{request}");
    }
    let all = Some("GET, HEAD, POST, OPTIONS".to_owned());
    assert_eq!(said(0, "OPTIONS * HTTP/1.1\r\nhost: localhost\r\n\r\n"), (204, all));
    assert_eq!(said(0, "OPTIONS / HTTP/1.0\r\n\r\n"), (204, Some("GET, HEAD, OPTIONS".to_owned())));
    // Of a WebSocket the right answer is that it is one.
    assert_eq!(said(1, "GET / HTTP/1.0\r\n\r\n").0, 426);
    assert_eq!(said(1, "GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").0, 426);
    // One that only connects, and leaves politely or not.
    drop(program.tcp(0));
    drop(program.tcp(1));
    let log = program.stop().log;
    let noise: Vec<_> = log.iter().filter(|line| line.contains("refused") || line.contains("abnormal")).collect();
    assert!(noise.is_empty(), "{noise:?}");
}

#[test]
fn a_connection_is_kept_for_the_next_request() {
    let program = Program::serve(&[HTTP]);
    let mut client = Client::connect(&program, 0);
    for path in ["/rooms/lobby/messages", "/nowhere", "/rooms", "/openapi.json"] {
        client.send(request("GET", path, &[], ""));
        assert!([200, 404].contains(&client.answer().status), "{path}");
    }
    client.send(request("HEAD", "/rooms", &[], ""));
    assert_eq!(client.head().status, 200);
    client.send(request("GET", "/rooms", &["connection: close"], ""));
    assert_eq!(client.answer().status, 200);
    client.expect_end();
}
