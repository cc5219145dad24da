//! The protocol of Redis, version 2. An array's elements are taken one by one: a payload tells itself by what is in it.

use super::{Step, shown, split_line};
use std::io::Write as _;

pub(super) fn subscribe(room: &str) -> Vec<u8> {
    format!("*2\r\n$9\r\nSUBSCRIBE\r\n${}\r\n{room}\r\n", room.len()).into_bytes()
}

pub(super) fn publish(room: &str, size: usize, output: &mut Vec<u8>) {
    // Writing to memory does not fail.
    let _ = write!(output, "*3\r\n$7\r\nPUBLISH\r\n${}\r\n{room}\r\n${size}\r\n", room.len());
}

pub(super) fn step(input: &[u8]) -> Step<'_> {
    let Some((line, used)) = split_line(input) else { return Step::Incomplete };
    match line.split_first() {
        Some((b'*' | b':' | b'+', _) | (b'$', b"-1")) => Step::Other { used },
        Some((b'$', size)) => {
            let size = std::str::from_utf8(size).ok().and_then(|size| size.parse::<usize>().ok());
            let Some(size) = size.filter(|size| *size <= super::FRAME_BYTES) else {
                return Step::Complaint { text: shown(line), used };
            };
            match input.get(used..used + size + 2) {
                Some(payload) => Step::Message { text: &payload[..size], used: used + size + 2 },
                None => Step::Incomplete,
            }
        }
        _ => Step::Complaint { text: shown(line), used },
    }
}
