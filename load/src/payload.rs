//! What messages contain, so that each can be verified: who sent it, its number, when it was due, and a filler.
//!
//! A fixed number of hexadecimal digits and then letters, which every protocol here carries unchanged. Neighbouring numbers have
//! different fillers, so that halves of two messages do not make one.

/// Digits of connection and number, before the filler of an echo.
pub(crate) const ECHO_HEAD: usize = 16;

/// What precedes the filler in a room: `@`, publisher, number, and the time due, which takes two numbers.
pub(crate) const ROOM_HEAD: usize = 33;

/// Begins a payload in a room. It occurs in no name of a room or a person, nor in what servers put before a payload.
pub(crate) const MARK: u8 = b'@';

/// The number of different places at which fillers begin.
const SHIFTS: usize = 61;

/// What a message in a room says about itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp {
    pub(crate) publisher: u32,
    /// From 1; 0 before the run begins.
    pub(crate) number: u32,
    pub(crate) due: u64,
}

/// Payloads of one size.
#[derive(Debug)]
pub(crate) struct Payloads {
    size: usize,
    filler: Vec<u8>,
}

impl Payloads {
    pub(crate) fn new(size: usize) -> Self {
        // 7 and 26 have no common factor, and a step after each round keeps the period above the number of shifts.
        let filler = (0..size + SHIFTS).map(|index| b'a' + ((index * 7 + index / 26) % 26) as u8);
        Self { size, filler: filler.collect() }
    }

    pub(crate) fn size(&self) -> usize {
        self.size
    }

    pub(crate) fn put_echo(&self, connection: u32, number: u32, output: &mut Vec<u8>) {
        output.extend_from_slice(&digits(connection));
        output.extend_from_slice(&digits(number));
        output.extend_from_slice(self.filler(number, ECHO_HEAD));
    }

    /// Whether these bytes, as many as a payload has, are the payload with that number.
    pub(crate) fn is_echo(&self, payload: &[u8], connection: u32, number: u32) -> bool {
        payload.len() == self.size
            && payload[..8] == digits(connection)
            && payload[8..ECHO_HEAD] == digits(number)
            && payload[ECHO_HEAD..] == *self.filler(number, ECHO_HEAD)
    }

    /// The number of a payload of this connection, if it is one.
    pub(crate) fn echo_number(&self, payload: &[u8], connection: u32) -> Option<u32> {
        let number = value(payload.get(8..ECHO_HEAD)?)?;
        self.is_echo(payload, connection, number).then_some(number)
    }

    pub(crate) fn put_stamped(&self, stamp: Stamp, output: &mut Vec<u8>) {
        output.push(MARK);
        output.extend_from_slice(&digits(stamp.publisher));
        output.extend_from_slice(&digits(stamp.number));
        output.extend_from_slice(&digits((stamp.due >> 32) as u32));
        output.extend_from_slice(&digits(stamp.due as u32));
        output.extend_from_slice(self.filler(stamp.number, ROOM_HEAD));
    }

    /// Finds the payload in a message and reads its stamp; `None` unless every byte is as it was sent.
    pub(crate) fn stamp(&self, message: &[u8]) -> Option<Stamp> {
        let start = if message.first() == Some(&MARK) { 0 } else { memchr::memchr(MARK, message)? };
        let payload = message.get(start..start + self.size)?;
        let stamp = Stamp {
            publisher: value(&payload[1..9])?,
            number: value(&payload[9..17])?,
            due: u64::from(value(&payload[17..25])?) << 32 | u64::from(value(&payload[25..ROOM_HEAD])?),
        };
        (payload[ROOM_HEAD..] == *self.filler(stamp.number, ROOM_HEAD)).then_some(stamp)
    }

    fn filler(&self, number: u32, head: usize) -> &[u8] {
        let shift = number as usize % SHIFTS;
        &self.filler[shift..shift + self.size - head]
    }
}

/// Eight hexadecimal digits, all at once: a byte for each nibble, and 39 more where it is a letter.
fn digits(value: u32) -> [u8; 8] {
    let value = u64::from(value);
    let pairs = (value << 16 | value) & 0x0000_ffff_0000_ffff;
    let bytes = (pairs << 8 | pairs) & 0x00ff_00ff_00ff_00ff;
    let nibbles = (bytes << 4 | bytes) & 0x0f0f_0f0f_0f0f_0f0f;
    let letters = (nibbles + 0x0606_0606_0606_0606) >> 4 & 0x0101_0101_0101_0101;
    (nibbles + 0x3030_3030_3030_3030 + letters * 39).to_be_bytes()
}

/// The value of eight such digits.
fn value(text: &[u8]) -> Option<u32> {
    let text: [u8; 8] = text.try_into().ok()?;
    let all = u64::from_be_bytes(text);
    let letters = all >> 6 & 0x0101_0101_0101_0101;
    let nibbles = (all & 0x0f0f_0f0f_0f0f_0f0f).wrapping_add(letters * 9);
    let bytes = (nibbles | nibbles >> 4) & 0x00ff_00ff_00ff_00ff;
    let pairs = (bytes | bytes >> 8) & 0x0000_ffff_0000_ffff;
    let value = (pairs | pairs >> 16) as u32;
    // What is not a digit gave a value that would be written differently.
    (digits(value) == text).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_hexadecimal() {
        for number in [0, 1, 9, 10, 15, 16, 0x1234_5678, 0x9abc_def0, 0xa0a0_0f0f, u32::MAX] {
            assert_eq!(digits(number), *format!("{number:08x}").as_bytes());
            assert_eq!(value(&digits(number)), Some(number));
        }
        for text in ["0000000g", "0000000A", "1234 678", "/0000000", ":0000000", "\u{0}0000000", "1234567", ""] {
            assert_eq!(value(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn an_echo_is_its_own_alone() {
        let payloads = Payloads::new(40);
        let mut payload = Vec::new();
        payloads.put_echo(3, 70, &mut payload);
        assert_eq!(payload.len(), 40);
        assert_eq!(payloads.echo_number(&payload, 3), Some(70));
        assert_eq!(payloads.echo_number(&payload, 4), None);
        assert!(!payloads.is_echo(&payload, 3, 71));
        for index in 0..payload.len() {
            let mut changed = payload.clone();
            changed[index] ^= 1;
            assert_ne!(payloads.echo_number(&changed, 3), Some(70), "byte {index}");
        }
    }

    #[test]
    fn a_stamp_is_read_wherever_the_payload_stands() {
        let payloads = Payloads::new(64);
        let stamp = Stamp { publisher: 7, number: 123_456, due: 0x1_2345_6789_abcd };
        let mut message = b"[lobby] guest-7: ".to_vec();
        payloads.put_stamped(stamp, &mut message);
        assert_eq!(payloads.stamp(&message), Some(stamp));
        assert_eq!(payloads.stamp(&message[17..]), Some(stamp));
        assert_eq!(payloads.stamp(&message[..80]), None);
        message.extend_from_slice(b"\"}");
        assert_eq!(payloads.stamp(&message), Some(stamp));
        let filler = message.len() - 5;
        message[filler] ^= 2;
        assert_eq!(payloads.stamp(&message), None);
    }

    #[test]
    fn neighbours_have_other_fillers() {
        let payloads = Payloads::new(ROOM_HEAD + 20);
        for number in 0..200 {
            assert_ne!(payloads.filler(number, ROOM_HEAD), payloads.filler(number + 1, ROOM_HEAD));
        }
    }
}
