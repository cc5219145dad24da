//! MQTT 3.1.1 at QoS 0, without keep-alive: CONNECT, SUBSCRIBE, PUBLISH.

use super::Step;

const CONNECT: u8 = 0x10;
const CONNACK: u8 = 0x20;
const PUBLISH: u8 = 0x30;
const SUBSCRIBE: u8 = 0x82;
const SUBACK: u8 = 0x90;

/// A subscription that a server refuses (MQTT 3.1.1 §3.9.3).
const REFUSED: u8 = 0x80;

pub(super) fn hello(connection: usize, room: Option<&str>) -> Vec<u8> {
    // Protocol level 4, a clean session, no keep-alive. The process number keeps two runs from ending each other's sessions.
    let client = format!("bench-{}-{connection}", std::process::id());
    let mut body = Vec::new();
    put_text("MQTT", &mut body);
    body.extend_from_slice(&[4, 2, 0, 0]);
    put_text(&client, &mut body);
    let mut hello = Vec::new();
    put_header(CONNECT, body.len(), &mut hello);
    hello.extend_from_slice(&body);
    if let Some(room) = room {
        put_header(SUBSCRIBE, 2 + 2 + room.len() + 1, &mut hello);
        hello.extend_from_slice(&[0, 1]);
        put_text(room, &mut hello);
        hello.push(0);
    }
    hello
}

pub(super) fn publish(room: &str, size: usize, output: &mut Vec<u8>) {
    put_header(PUBLISH, 2 + room.len() + size, output);
    put_text(room, output);
}

pub(super) fn step(input: &[u8]) -> Step<'_> {
    let Some((length, head)) = remaining_length(&input[1..]) else {
        // Four bytes hold any length; what comes then is no MQTT.
        let broken = input.len() > 4;
        let text = "not MQTT".to_owned();
        return if broken { Step::Complaint { text, used: input.len() } } else { Step::Incomplete };
    };
    let used = 1 + head + length;
    let Some(body) = input.get(1 + head..used) else { return Step::Incomplete };
    match (input[0] & 0xf0, body) {
        (PUBLISH, [high, low, rest @ ..]) => {
            let topic = usize::from(u16::from_be_bytes([*high, *low]));
            Step::Message { text: rest.get(topic..).unwrap_or(&[]), used }
        }
        (CONNACK, [_, code, ..]) if *code != 0 => {
            Step::Complaint { text: format!("connection refused, code {code}"), used }
        }
        (SUBACK, [_, _, codes @ ..]) if codes.contains(&REFUSED) => {
            Step::Complaint { text: "subscription refused".to_owned(), used }
        }
        _ => Step::Other { used },
    }
}

/// The length behind a packet's first byte, in groups of 7 bits, and how many bytes it takes.
fn remaining_length(input: &[u8]) -> Option<(usize, usize)> {
    let last = input.iter().take(4).position(|byte| byte & 0x80 == 0)?;
    let groups = input[..=last].iter().rev();
    Some((groups.fold(0, |length, byte| length << 7 | usize::from(byte & 0x7f)), last + 1))
}

fn put_header(kind: u8, mut length: usize, output: &mut Vec<u8>) {
    output.push(kind);
    while length > 0x7f {
        output.push((length & 0x7f) as u8 | 0x80);
        length >>= 7;
    }
    output.push(length as u8);
}

fn put_text(text: &str, output: &mut Vec<u8>) {
    output.extend_from_slice(&(text.len() as u16).to_be_bytes());
    output.extend_from_slice(text.as_bytes());
}
