//! `switchboard bench media`: a conference in a room that passes on datagrams, and in one that loses them.

use super::measure;
use crate::process::{PATIENCE, Program, joined, run};
use std::net::UdpSocket;
use std::thread;

#[test]
fn everybody_hears_all_packets_of_the_others_and_the_report_says_how_evenly_and_beside_what() {
    let server = Program::serve(&["rooms=udp://127.0.0.1:0?room=r&format=raw&commands=off&rate=off"]);
    let process = server.id().to_string();
    let options = ["--room", "r", "--speakers", "4", "--listeners", "3", "--server-pid", &process, "--max-lost", "0"];
    let report = measure("media", &server.listeners[0].url, &options);
    let count = |field: &str| report[field].as_u64().expect(field);
    // A packet each 20 ms of a second; three of the four hear themselves not.
    assert_eq!(["sent", "received", "lost", "reordered"].map(count), [200, 450, 0, 0], "{report}");
    for jitter in ["jitter_ms", "added_jitter_ms"] {
        let [mean, most] = ["mean", "max"].map(|which| report[jitter][which].as_f64().expect(which));
        assert!(0.0 < mean && mean <= most, "{jitter}: {report}");
    }
    for share in [&report["machine_busy_share"], &report["generator"]["busiest_share"], &report["server"]["cpu_share"]]
    {
        assert!(share.as_f64().is_some_and(|share| 0.0 < share && share <= 1.0), "{report}");
    }
}

#[test]
fn a_room_that_passes_nothing_on_loses_all_of_it() {
    let room = UdpSocket::bind("127.0.0.1:0").expect("a port is free");
    room.set_read_timeout(Some(PATIENCE)).expect("it can be");
    let url = format!("udp://{}", room.local_addr().expect("it is bound"));
    let swallows = thread::spawn(move || {
        let (mut bytes, mut members) = ([0; 2048], 2);
        while members > 0 {
            let (length, source) = room.recv_from(&mut bytes).expect("something comes");
            match &bytes[..length] {
                b"/join r" => drop(room.send_to(b"* [r] you joined at 0", source).expect("it is sent")),
                b"/leave" => members -= 1,
                _ => {}
            }
        }
    });
    let options = ["--warmup", "0", "--duration", "100ms", "--room", "r", "--speakers", "2", "--max-lost", "0"];
    let end = run(&[&["bench", "media", &url], &options[..]].concat());
    joined(swallows);
    assert_eq!(end.code, Some(1));
    assert!(end.output.iter().any(|line| line.contains("10 sent, 0 received, 10 lost, 0 out of order")), "{end:?}");
    assert!(end.log.iter().any(|line| line.ends_with("10 packets were lost, and 0 may be")), "{end:?}");
}
