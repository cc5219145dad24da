//! The client protocol of nats-server: lines, and payloads whose length a line gives.

use super::{Step, shown, split_line};
use std::io::Write as _;

/// `verbose` would have each publication answered.
const CONNECT: &[u8] = b"CONNECT {\"verbose\":false,\"pedantic\":false,\"lang\":\"rust\",\"version\":\"0\"}\r\n";

pub(super) fn hello(room: Option<&str>) -> Vec<u8> {
    let mut hello = CONNECT.to_vec();
    if let Some(room) = room {
        hello.extend_from_slice(format!("SUB {room} 1\r\n").as_bytes());
    }
    hello
}

pub(super) fn publish(room: &str, size: usize, output: &mut Vec<u8>) {
    // Writing to memory does not fail.
    let _ = write!(output, "PUB {room} {size}\r\n");
}

pub(super) fn step(input: &[u8]) -> Step<'_> {
    let Some((line, used)) = split_line(input) else { return Step::Incomplete };
    if line.starts_with(b"MSG ") {
        let size =
            line.rsplit(|byte| *byte == b' ').next().and_then(|size| std::str::from_utf8(size).ok()?.parse().ok());
        let Some(size) = size.filter(|size: &usize| *size <= super::FRAME_BYTES) else {
            return Step::Complaint { text: shown(line), used };
        };
        return match input.get(used..used + size + 2) {
            Some(payload) => Step::Message { text: &payload[..size], used: used + size + 2 },
            None => Step::Incomplete,
        };
    }
    match line {
        b"PING" => Step::Answer { answer: b"PONG\r\n".to_vec(), used },
        b"PONG" | b"+OK" => Step::Other { used },
        _ if line.starts_with(b"INFO ") => Step::Other { used },
        _ => Step::Complaint { text: shown(line), used },
    }
}
