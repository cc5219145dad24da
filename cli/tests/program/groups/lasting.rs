//! A group over time: where switches forget who has joined it, when its server drains, and when another one takes its place.

use super::{ONE, behind_a_switch, connect, heard, host, member, said, say, serve, tcp};
use crate::process::{joined, output, until};
use nix::sys::signal::Signal;
use serde_json::Value;
use std::io::{BufRead, BufReader, ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

#[test]
fn memberships_last_with_a_querier_and_without_one() {
    behind_a_switch(memberships_last_with_a_querier_and_without_one, || {
        // In hundredths of a second, the shortest that the kernel takes: a membership lasts for 2.5 s.
        let intervals = "mcast_query_interval 100 mcast_startup_query_interval 100 mcast_query_response_interval 50 mcast_membership_interval 250";
        switch(intervals);
        let program = serve("s", &[&tcp(2), &format!("rooms=udp://{ONE}?room=r&format=raw")]);
        let (mut lines, host) = (member(&program, 1), host(&[ONE]));
        host.set_read_timeout(Some(Duration::from_millis(10))).expect("it can be");
        let mut go_on = |numbers: std::ops::Range<u32>| {
            for number in numbers {
                host.send_to(number.to_string().as_bytes(), ONE).expect("it is sent");
                assert_eq!(said(&mut lines), number.to_string());
                // The switch's time is real.
                let _ = host.recv(&mut [0]);
            }
        };
        // This one sends it everywhere once it knows of nobody who asks, and what others do then is in docs/multicast.md.
        go_on(0..300);
        assert!(sent_to_another() >= 300, "the switch has a querier");
        // From now on what is not asked for is not sent, and when that begins an answer to its first question may be on its way still.
        switch("mcast_querier 1");
        until(|| asked_for("vs"));
        go_on(300..600);
        let at_last = sent_to_another();
        go_on(600..800);
        assert!(sent_to_another() - at_last < 100, "the switch does not send it where nobody wants it");
    });
}

/// Sets something of the switch.
fn switch(what: &str) {
    let ran = output(Command::new("sh").args(["-c", &format!("ip link set br0 type bridge {what}")]));
    assert!(ran.status.success(), "{what}: {ran:?}");
}

/// Whether the switch knows of somebody behind a cable who asks for the group.
fn asked_for(cable: &str) -> bool {
    let ran = output(Command::new("sh").args(["-c", "PATH=$PATH:/usr/sbin bridge mdb show dev br0"]));
    let group = ONE.split(':').next().expect("an address");
    String::from_utf8_lossy(&ran.stdout).lines().any(|line| line.contains(&format!("port {cable} grp {group} ")))
}

/// How many packets the switch has sent to a host that has joined nothing.
fn sent_to_another() -> u64 {
    let cables = std::fs::read_to_string("/proc/self/net/dev").expect("a list");
    let cable = cables.lines().find_map(|line| line.trim().strip_prefix("vt:")).expect("it is there");
    cable.split_whitespace().nth(9).and_then(|packets| packets.parse::<u64>().ok()).expect("a number")
}

#[test]
fn a_drain_tells_the_group_that_nothing_more_comes_and_nothing_does() {
    behind_a_switch(a_drain_tells_the_group_that_nothing_more_comes_and_nothing_does, || {
        let mut program =
            serve("s", &["rooms=tcp://10.9.0.2:0?format=json", &format!("rooms=udp://{ONE}?room=r&format=json")]);
        let (lines, host) = (member(&program, 1), host(&[ONE]));
        let mut speaker = lines.get_ref().try_clone().expect("it can be");
        speaker.set_read_timeout(Some(Duration::from_millis(1))).expect("it can be");
        let speaks = std::thread::spawn(move || {
            while speaker.write_all(b"on and on\n").is_ok() {
                // A few hundred a second.
                let _ = speaker.read(&mut [0]);
            }
        });
        heard(&host);
        program.signal(Signal::SIGTERM);
        program.logged("draining");
        while !heard(&host).contains("\"event\":\"closed\"") {}
        assert_eq!(program.end().code, Some(0));
        joined(speaks);
        host.set_nonblocking(true).expect("it can be");
        assert_eq!(host.recv(&mut [0]).map_err(|error| error.kind()), Err(ErrorKind::WouldBlock));
    });
}

#[test]
fn the_next_server_takes_a_group_over_while_it_goes_on() {
    behind_a_switch(the_next_server_takes_a_group_over_while_it_goes_on, || {
        let group = format!("rooms=udp://{ONE}?room=r&format=raw&rate=100000");
        let start = || serve("s", &["rooms=tcp://10.9.0.2:0?format=json", &group]);
        let old = start();
        let mut before = member(&old, 1);
        let (host, ears, over) = (host(&[ONE]), host(&[ONE]), Arc::new(AtomicBool::new(false)));
        let speaks = std::thread::spawn({
            let over = Arc::clone(&over);
            move || {
                host.set_read_timeout(Some(Duration::from_millis(1))).expect("it can be");
                // Relaxed: it is looked at again and again. A few hundred a second.
                for number in (0..).take_while(|_| !over.load(Ordering::Relaxed)) {
                    host.send_to(format!("number {number}").as_bytes(), ONE).expect("it is sent");
                    let _ = host.recv(&mut [0]);
                }
            }
        });
        let mut heard_before = vec![numbered(&mut before)];
        let new = start();
        let mut behind = member(&new, 1);
        let mut heard_behind = vec![numbered(&mut behind)];
        while heard_before.last() < heard_behind.last() {
            heard_before.push(numbered(&mut before));
        }
        // Both are in the group, so what is said in one room is heard in the other, as long as there are two.
        say(&before, "from the old one");
        while heard(&ears) != "from the old one" {}
        old.signal(Signal::SIGTERM);
        heard_before.extend(before.lines().map_while(Result::ok).filter_map(|line| number_of(&line)));
        assert_eq!(old.end().code, Some(0));
        let last = *heard_before.last().expect("one at least");
        while heard_behind.last() < Some(&(last + 50)) {
            heard_behind.push(numbered(&mut behind));
        }
        over.store(true, Ordering::Relaxed);
        joined(speaks);
        for heard in [&heard_before, &heard_behind] {
            assert!(heard.windows(2).all(|two| two[1] == two[0] + 1), "one is lost, or there twice: {heard:?}");
        }
        assert!(heard_behind[0] <= last, "{} is behind {last}", heard_behind[0]);
    });
}

/// The number that the next message has which has one.
fn numbered(lines: &mut impl BufRead) -> u32 {
    let mut line = String::new();
    loop {
        line.clear();
        assert!(lines.read_line(&mut line).expect("there is one more") > 0, "it has ended");
        if let Some(number) = number_of(&line) {
            return number;
        }
    }
}

fn number_of(line: &str) -> Option<u32> {
    let told: Value = serde_json::from_str(line).expect("an object");
    told["text"].as_str()?.strip_prefix("number ")?.parse().ok()
}

#[test]
fn a_listener_goes_on_with_the_room_when_its_server_has_started_again() {
    behind_a_switch(a_listener_goes_on_with_the_room_when_its_server_has_started_again, || {
        let group = format!("rooms=udp://{ONE}?room=r&format=json");
        let start = || serve("s", &[&tcp(2), "rooms=http://10.9.0.2:8082", &group]);
        let mut listener = connect("t", &[&format!("udp://{ONE}"), "--repair", "http://10.9.0.2:8082", "--listen"]);
        let program = start();
        let lines = member(&program, 1);
        until(|| {
            say(&lines, "hello");
            !listener.is_silent()
        });
        let mut talk = |lines: &BufReader<TcpStream>, text: &str| {
            for number in 0..10 {
                say(lines, &format!("{text} {number}"));
            }
            for number in 0..10 {
                listener.printed(&format!("\"text\":\"{text} {number}\""));
            }
        };
        talk(&lines, "before");
        assert_eq!(program.stop().code, Some(0));
        let program = start();
        talk(&member(&program, 1), "behind it");
        let resets = listener.seen().iter().filter(|line| line.contains("\"event\":\"reset\"")).count();
        assert_eq!(resets, 1, "{:?}", listener.seen());
    });
}
