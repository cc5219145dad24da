//! What is drawn of what a server says, at any size, and what keys do.

use super::keys::{Deed, Mode, Screen};
use super::lists::List;
use super::*;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use serde_json::json;

fn sums(deliveries: u64) -> Value {
    json!({
        "uptime_seconds": 90061,
        "connections": { "open": 12345, "limit": 50000, "blocked": 3, "refused": 0, "closed": { "idle": 7 } },
        "transports": { "tcp": { "bytes_in": deliveries * 10, "bytes_out": deliveries * 2048, "frames_in": 1, "frames_out": 2 } },
        "rooms": { "count": 1203, "limit": 100_000, "memberships": 30000 },
        "publications": 5, "deliveries": deliveries, "deliveries_lost": 0,
        "history": { "messages": 2, "bytes": 2048 }, "memory": { "bytes": 1_572_864, "limit": 1_073_741_824 },
        "draining": false,
    })
}

fn connection(id: u64, name: &str) -> Value {
    json!({
        "id": id, "name": name, "user": null, "peer": format!("192.0.2.1:{id}"), "transport": "tcp", "listener": "tcp://127.0.0.1:1",
        "age_seconds": 3.5, "quiet_seconds": 60, "bytes_in": 10, "bytes_out": 1_048_576, "frames_in": 1, "frames_out": 2,
        "outbox_bytes": 4096 * id, "outbox_frames": 3, "blocked_seconds": (id == 9).then_some(4), "lost": 0, "rooms": 2,
    })
}

fn listed(connections: &[Value]) -> Looked {
    let list = json!({ "connections": connections, "open": 12345 });
    Looked { sums: Told::Object(sums(100)), list: Some(Told::Object(list)), has_upstreams: None }
}

fn screen(connections: &[Value]) -> Screen {
    let mut screen = Screen::new("unix:///run/admin.sock".to_owned());
    screen.take(listed(&[]), Duration::ZERO);
    screen.take(Looked { sums: Told::Object(sums(300)), ..listed(connections) }, Duration::from_secs(1));
    screen
}

/// What a terminal shows.
fn drawn(screen: &mut Screen, width: u16, height: u16) -> Vec<String> {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| draw::draw(frame, screen, true)).unwrap();
    let buffer = terminal.backend().buffer();
    let line = |y| (0..width).map(|x| buffer[(x, y)].symbol()).collect::<String>().trim_end().to_owned();
    (0..height).map(line).collect()
}

fn press(screen: &mut Screen, keys: &str) -> Deed {
    keys.chars().fold(Deed::Nothing, |_, key| {
        let code = match key {
            '\r' => KeyCode::Enter,
            '\u{1b}' => KeyCode::Esc,
            '\u{8}' => KeyCode::Backspace,
            '↓' => KeyCode::Down,
            other => KeyCode::Char(other),
        };
        screen.press(KeyEvent::new(code, KeyModifiers::NONE))
    })
}

#[test]
fn sums_and_the_slow_ones_first_are_on_a_terminal_of_80_columns() {
    let shown = drawn(&mut screen(&[connection(9, "alice"), connection(7, "bob")]), 80, 24);
    let text = shown.join("\n");
    for part in [
        " unix:///run/admin.sock  up 1d 1h",
        " connections 12,345 of 50,000, 3 blocked, 0/s closed",
        " messages    0/s published, 200/s delivered, 0/s lost",
        " in          1.9 KiB/s, 0 frames/s",
        " out         400.0 KiB/s, 0 frames/s",
        " memory      1.5 MiB of 1.0 GiB",
        " rooms       1,203, 30,000 members, 2.0 KiB history",
        "  c connections  r rooms  x closed  e events   2 of 12,345, largest outbox first",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let row = shown.iter().position(|line| line.contains("alice")).expect("it is shown");
    assert!(
        shown[row].contains("36.0 KiB") && shown[row].contains("4s") && shown[row].contains("192.0.2.1:9"),
        "{text}"
    );
    assert!(shown[row + 1].contains("bob") && shown[row - 1].starts_with("ID NAME"), "{text}");
    assert!(shown[23].contains("Q quit  / filter"), "{text}");
}

#[test]
fn whoever_shares_rooms_sees_how_the_cluster_is() {
    let shown = |up: bool| {
        let mut screen = screen(&[connection(9, "alice")]);
        let mut sums = sums(500);
        sums["cluster"] = json!({ "up": up, "connected": up, "nodes": 2, "rooms_waiting": if up { 0 } else { 17 } });
        screen.take(Looked { sums: Told::Object(sums), ..listed(&[]) }, Duration::from_secs(2));
        drawn(&mut screen, 80, 24).join("\n")
    };
    assert!(shown(true).contains(" cluster     log up, 2 other nodes, 0 rooms wait"), "{}", shown(true));
    assert!(shown(false).contains(" cluster     log takes nothing, 2 other nodes, 17 rooms wait"), "{}", shown(false));
    assert!(!drawn(&mut screen(&[]), 80, 24).join("\n").contains("cluster"), "alone there is no line");
}

#[test]
fn what_does_not_fit_on_a_small_terminal_is_left_out() {
    let mut screen = screen(&[connection(9, "alice"), connection(7, "bob")]);
    let shown = drawn(&mut screen, 40, 10);
    let text = shown.join("\n");
    assert!(text.contains("12,345 of 50,000") && text.contains("alice") && text.contains("36.0 KiB"), "{text}");
    assert!(shown[9].starts_with(" Q quit") && !text.contains("memory"), "{text}");
    // Nor does anything smaller do harm.
    for (width, height) in [(1, 1), (3, 2), (20, 5), (500, 4), (12, 200)] {
        for keys in ["", "\r", "k", "\u{1b}/x", "\r"] {
            press(&mut screen, keys);
            drawn(&mut screen, width, height);
        }
    }
}

#[test]
fn hostile_names_stay_in_their_cells() {
    let evil =
        ["\u{1b}[2J\u{7}\n", "\u{202e}gnp.exe\u{2066}", "漢字の名前", "e\u{301}\u{301}\u{301}", &"x".repeat(500)];
    let rows: Vec<_> = (0..).zip(evil).map(|(id, name)| connection(id, name)).collect();
    let mut screen = screen(&rows);
    for (width, height) in [(80, 24), (40, 12)] {
        for keys in ["", "\r", "\u{1b}k", "n↓↓"] {
            press(&mut screen, keys);
            let text = drawn(&mut screen, width, height).join("");
            assert!(!text.contains(['\u{1b}', '\u{7}', '\u{202e}', '\u{2066}', '\n']), "{text:?}");
        }
    }
    screen.take(
        Looked {
            sums: Told::Gone("\u{1b}[31m\u{202e}gone".to_owned()),
            list: Some(Told::Refused("\u{9b}no".to_owned())),
            has_upstreams: None,
        },
        Duration::ZERO,
    );
    let text = drawn(&mut screen, 80, 24).join("");
    assert!(text.contains("gone") && !text.contains(['\u{1b}', '\u{202e}', '\u{9b}']), "{text:?}");
}

#[test]
fn a_connection_is_closed_after_a_yes_alone() {
    let mut screen = screen(&[connection(9, "alice"), connection(7, "bob")]);
    assert_eq!(press(&mut screen, "↓k"), Deed::Nothing);
    assert_eq!(screen.mode, Mode::Asking(7, "bob, 192.0.2.1:7".to_owned()));
    assert!(drawn(&mut screen, 80, 24)[23].contains("close connection 7 (bob, 192.0.2.1:7)? y closes it"));
    for no in ["n", "\r", "\u{1b}", "k", "Y"] {
        assert_eq!(press(&mut screen, no), Deed::Nothing, "{no:?}");
        assert_eq!(screen.mode, Mode::Listing, "{no:?}");
        press(&mut screen, "k");
    }
    // It is this one that is closed, wherever it has gone meanwhile.
    screen.take(listed(&[connection(1, "eve"), connection(2, "mallory")]), Duration::ZERO);
    assert_eq!(press(&mut screen, "y"), Deed::Close(7));
    screen.closed(7, &Told::Object(json!({ "closed": 7 })));
    assert!(drawn(&mut screen, 80, 24)[23].contains("connection 7 is closed"));
    // Rooms cannot be.
    press(&mut screen, "rk");
    assert_eq!(screen.mode, Mode::Listing);
}

#[test]
fn a_row_stays_chosen_wherever_it_goes() {
    let mut screen = screen(&[connection(9, "alice"), connection(7, "bob")]);
    press(&mut screen, "↓");
    screen.take(listed(&[connection(7, "bob"), connection(9, "alice"), connection(3, "carol")]), Duration::ZERO);
    assert_eq!(screen.chosen().unwrap()["id"], 7);
    press(&mut screen, "\r");
    let mut later = connection(7, "bob");
    later["lost"] = json!(99);
    screen.take(listed(&[connection(9, "alice"), later]), Duration::ZERO);
    assert!(drawn(&mut screen, 80, 24).iter().any(|line| line.contains("lost: 99")));
    // Once it is gone, what was known of it stays until somebody goes back.
    screen.take(listed(&[]), Duration::ZERO);
    assert!(drawn(&mut screen, 80, 24).iter().any(|line| line.contains("lost: 99")));
    press(&mut screen, "\u{1b}");
    assert!(screen.chosen().is_none());
    assert_eq!(press(&mut screen, "k"), Deed::Nothing);
}

#[test]
fn filters_and_orders_are_asked_for_at_once() {
    let mut screen = screen(&[connection(9, "alice")]);
    assert_eq!(press(&mut screen, "/qk"), Deed::Nothing);
    assert!(drawn(&mut screen, 80, 24)[23].contains("filter: qk"));
    assert_eq!(press(&mut screen, "\u{8}\u{8}name=al*\r"), Deed::Look);
    assert_eq!(screen.sorted.path(&screen.filter), "/connections?limit=200&sort=outbox&name=al%2A");
    assert_eq!(press(&mut screen, "/zzz\u{1b}"), Deed::Nothing);
    assert_eq!(screen.filter, "name=al*");
    assert_eq!(press(&mut screen, "q"), Deed::Look);
    assert_eq!(screen.sorted.path(""), "/connections?limit=200&sort=quiet");
    assert_eq!(press(&mut screen, "r"), Deed::Look);
    assert!(screen.filter.is_empty() && screen.rows.is_empty() && screen.sorted.list == List::Rooms);
    assert_eq!(press(&mut screen, "c"), Deed::Look);
    assert_eq!(screen.sorted.path(""), "/connections?limit=200&sort=quiet");
    assert_eq!((press(&mut screen, "z"), press(&mut screen, "Q")), (Deed::Nothing, Deed::Quit));
    let interrupt = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
    press(&mut screen, "/");
    assert_eq!(screen.press(interrupt), Deed::Quit);
}

#[test]
fn a_server_that_is_gone_leaves_what_it_said_and_one_that_comes_back_has_no_rates_from_before() {
    let mut screen = screen(&[connection(9, "alice")]);
    screen.take(
        Looked { sums: Told::Gone("no server answers at x".to_owned()), list: None, has_upstreams: None },
        Duration::ZERO,
    );
    let text = drawn(&mut screen, 80, 24).join("\n");
    assert!(text.contains("no server answers at x") && text.contains("alice"), "{text}");
    let mut new = sums(1);
    new["uptime_seconds"] = json!(1);
    screen.take(Looked { sums: Told::Object(new), ..listed(&[]) }, Duration::from_secs(9));
    let text = drawn(&mut screen, 80, 24).join("\n");
    assert!(text.contains("up 1s") && text.contains("-/s delivered"), "{text}");
    let refused = Looked {
        sums: Told::Object(sums(1)),
        list: Some(Told::Refused("use the Unix socket".to_owned())),
        has_upstreams: None,
    };
    screen.take(refused, Duration::ZERO);
    let text = drawn(&mut screen, 80, 24).join("\n");
    assert!(text.contains("use the Unix socket") && text.contains("12,345 of"), "{text}");
}

#[test]
fn upstreams_are_listed_where_there_are_some() {
    let mut without = screen(&[]);
    without.take(Looked { has_upstreams: Some(false), ..listed(&[]) }, Duration::from_secs(1));
    assert_eq!(press(&mut without, "u"), Deed::Nothing);
    assert!(!drawn(&mut without, 80, 24).join("\n").contains("upstreams"));
    let mut with = screen(&[]);
    with.take(Looked { has_upstreams: Some(true), ..listed(&[]) }, Duration::from_secs(1));
    assert_eq!(press(&mut with, "u"), Deed::Look);
    assert_eq!(with.sorted.path(""), "/upstreams");
    let list = json!({ "upstreams": [{ "upstream": "tcp://10.0.0.7:80", "listener": "tcp://[::]:80", "state": "down", "open": 3,
        "waiting": 0, "connections": 12, "failures": 2, "bytes_to": 2048, "bytes_from": 10 }] });
    with.take(Looked { list: Some(Told::Object(list)), ..listed(&[]) }, Duration::from_secs(1));
    let text = drawn(&mut with, 80, 24).join("\n");
    assert!(text.contains("u upstreams") && text.contains("tcp://10.0.0.7:80 down"), "{text}");
    with.take(Looked { sums: Told::Gone("gone".to_owned()), list: None, has_upstreams: None }, Duration::from_secs(1));
    assert_eq!(with.has_upstreams, None, "it is asked again who it is");
}
