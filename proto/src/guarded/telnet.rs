//! Telnet (RFC 854): its commands are no text, and each option that is asked for is refused.

use bytes::{Bytes, BytesMut};

const SE: u8 = 240;
/// The first of the commands that may stand for themselves.
const NOP: u8 = 241;
const SB: u8 = 250;
const WILL: u8 = 251;
const WONT: u8 = 252;
const DO: u8 = 253;
const DONT: u8 = 254;
const IAC: u8 = 255;

/// A connection of telnet: how far its bytes have been looked at.
#[derive(Debug, Default)]
pub(super) struct Telnet {
    within: Within,
    /// Bytes at the front of the input that are text.
    text: usize,
    answer: Vec<u8>,
    /// There was a frame that says something.
    pub(super) has_passed: bool,
}

/// What the next byte belongs to.
#[derive(Debug, Default, Clone, Copy)]
enum Within {
    #[default]
    Text,
    /// Behind IAC.
    Command,
    /// Behind IAC and what is said of the option that follows.
    Option(u8),
    /// What an option has to say, until IAC SE.
    Parameters,
    /// Behind IAC in there.
    ParametersCommand,
}

impl Telnet {
    /// Whether a connection is telnet's that begins so, or `None` if that cannot be told yet.
    pub(super) fn begins(input: &[u8]) -> Option<bool> {
        match input {
            // What is UTF-16 begins with the bytes of IAC DONT, and a NUL is soon to follow.
            [IAC] | [IAC, DONT] | [IAC, DONT, _] => None,
            [IAC, DONT, _, 0, ..] => Some(false),
            [IAC, NOP..=DONT, ..] => Some(true),
            _ => Some(false),
        }
    }

    /// Takes the commands out of what has come since the last time.
    pub(super) fn filter(&mut self, input: &mut BytesMut) {
        for place in self.text..input.len() {
            if let Some(text) = self.see(input[place], input[..self.text].last().copied()) {
                input[self.text] = text;
                self.text += 1;
            }
        }
        input.truncate(self.text);
    }

    /// Takes note that frames were taken from the front of the input.
    pub(super) fn decoded(&mut self, input: &BytesMut) {
        self.text = input.len();
    }

    pub(super) fn has_answer(&self) -> bool {
        !self.answer.is_empty()
    }

    pub(super) fn take_answer(&mut self) -> Bytes {
        std::mem::take(&mut self.answer).into()
    }

    /// What a byte is as text, behind the text `before` it.
    fn see(&mut self, byte: u8, before: Option<u8>) -> Option<u8> {
        let (within, text) = match (self.within, byte) {
            (Within::Text, IAC) => (Within::Command, None),
            // RFC 1123 §3.3.1: CR NUL ends a line as CR LF does; elsewhere NUL says nothing.
            (Within::Text, 0) => (Within::Text, (before == Some(b'\r')).then_some(b'\n')),
            (Within::Text, _) | (Within::Command, IAC) => (Within::Text, Some(byte)),
            (Within::Command, WILL..=DONT) => (Within::Option(byte), None),
            (Within::Command, SB) => (Within::Parameters, None),
            (Within::Command, _) | (Within::ParametersCommand, SE) => (Within::Text, None),
            (Within::Option(asked), option) => {
                self.refuse(asked, option);
                (Within::Text, None)
            }
            (Within::Parameters, IAC) => (Within::ParametersCommand, None),
            (Within::Parameters | Within::ParametersCommand, _) => (Within::Parameters, None),
        };
        self.within = within;
        text
    }

    /// Answers what was asked of an option. That one is off already needs no answer, so nobody answers for ever.
    fn refuse(&mut self, asked: u8, option: u8) {
        let refusal = match asked {
            WILL => DONT,
            DO => WONT,
            _ => return,
        };
        self.answer.extend([IAC, refusal, option]);
    }
}
