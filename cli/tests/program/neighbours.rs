//! What one peer does to others: to their time, and to the memory that all have.

#![allow(clippy::disallowed_methods, reason = "how long others wait in truth is what is measured")]

use crate::process::{Place, Program, ask, joined};
use crate::rooms::{Peer, ROOMS};
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// As long as a frame may be, of what has to be escaped byte by byte.
fn hard_to_encode() -> String {
    "\u{1}".repeat(64 << 10) + "\n"
}

#[test]
fn who_publishes_without_end_what_is_hard_to_encode_holds_nobody_up() {
    let json = format!("{ROOMS}?format=json&rate=1000&overflow=drop-oldest");
    let program = Program::serve(&["echo=tcp://127.0.0.1:0", &json, "--workers", "1"]);
    let mut publisher = program.tcp(1);
    let mut reader = program.tcp(1);
    let over = Arc::new(AtomicBool::new(false));
    let publishing = thread::spawn({
        let over = Arc::clone(&over);
        move || {
            let line = hard_to_encode();
            while !over.load(Ordering::Relaxed) && publisher.write_all(line.as_bytes()).is_ok() {}
        }
    });
    let reading = thread::spawn(move || {
        let (mut buffer, mut bytes) = (vec![0; 1 << 20], 0);
        while let Ok(count @ 1..) = reader.read(&mut buffer) {
            bytes += count;
        }
        bytes
    });
    let mut waits: Vec<Duration> = (0..100)
        .map(|_| {
            let asked = Instant::now();
            ask(&mut program.tcp(0), b"x\n", b"echo: x\n");
            asked.elapsed()
        })
        .collect();
    over.store(true, Ordering::Relaxed);
    drop(program);
    joined(publishing);
    assert!(joined(reading) > 1 << 20, "nothing was published");
    waits.sort_unstable();
    // Below 10 ms where the program is optimised and the machine does nothing else; it was 6 s.
    assert!(waits[90] < Duration::from_millis(200), "{:?}, {:?}, {:?}", waits[50], waits[90], waits[99]);
}

#[test]
fn what_slow_readers_ask_for_again_is_not_held_for_them() {
    // Sockets that hold little, so that it is the program that does.
    let place = Place::new("neighbours");
    let program = Program::serve(&[ROOMS, &format!("rooms=unix://{place}"), "--max-memory", "16MiB"]);
    let mut publisher = Peer::enter(&program, 0);
    publisher.say("/join past");
    let mut readers: Vec<_> = (0..50).map(|_| UnixStream::connect(&*place).expect("it accepts")).collect();
    // All that the room keeps.
    let past = ("x".repeat(60 << 10) + "\n").repeat(4);
    for _ in 0..9 {
        for reader in &mut readers {
            publisher.say(&past);
            publisher.say("/ping");
            while !publisher.next().contains("pong") {}
            // It may have been reset for what it holds.
            let _ = reader.write_all(b"/join past since=0-0\n/leave past\n");
        }
    }
    let mut last = Peer::enter(&program, 0);
    last.say("/ping");
    while !last.next().contains("pong") {}
    // 50 readers held 9 pasts of 240 KiB each, whatever the budget.
    let resident = program.resident_kilobytes();
    assert!(resident < 64 << 10, "{resident} KiB are resident");
}
