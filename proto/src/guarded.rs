//! Lines on connections that may begin with something else: another protocol, or telnet.
//!
//! A browser can be made to send to any port, so a first line that belongs to another protocol ends the connection
//! before anybody sees it. Telnet negotiation is answered, and is not part of a line. Knows nothing of what lines mean.

mod foreign;
mod telnet;

use crate::{Aside, Codec, FrameError, Line, LineBatch, Lines, Output};
use bytes::BytesMut;
use foreign::{foreign_bytes, foreign_line};
use telnet::Telnet;

/// [`Lines`], for a connection whose peer may speak another protocol.
///
/// The first line that is not empty is refused ([`FrameError::Foreign`]) if HTTP, TLS, SSH, SMTP, RTSP, SIP or PROXY
/// begin like it, or if it begins with NUL. A connection that begins with a telnet command (RFC 854) is treated as
/// telnet to its end: commands are removed, and each option is refused. On any other connection no byte is changed.
#[derive(Debug, Default)]
pub struct GuardedLines {
    lines: Lines,
    stage: Stage,
}

#[derive(Debug, Default)]
enum Stage {
    /// Nothing has come yet.
    #[default]
    Begin,
    /// There was no line yet that says something.
    First,
    /// The same, where lines are any bytes.
    FirstOfBytes,
    /// Nothing is looked at any more.
    Passed,
    Telnet(Box<Telnet>),
}

impl GuardedLines {
    /// Lines may be any bytes, not only text: they may begin with NUL, or like telnet. Call it before anything is
    /// received.
    pub fn carry_bytes(&mut self) {
        self.stage = Stage::FirstOfBytes;
    }

    /// Like [`Codec::decode`], but also takes the lines after one that needed no check.
    ///
    /// # Errors
    /// As for `decode`.
    #[inline]
    pub fn decode_batch(&mut self, input: &mut BytesMut, frame_bytes: usize) -> Result<Option<LineBatch>, FrameError> {
        match self.stage {
            Stage::Passed => self.lines.decode_batch(input, frame_bytes),
            _ => Ok(self.open(input, frame_bytes)?.map(LineBatch::from)),
        }
    }

    /// As [`Codec::decode`], as long as there is something to look at.
    fn open(&mut self, input: &mut BytesMut, frame_bytes: usize) -> Result<Option<Line>, FrameError> {
        if matches!(self.stage, Stage::Begin) && !input.is_empty() {
            match Telnet::begins(input) {
                None => return Ok(None),
                Some(true) => self.stage = Stage::Telnet(Box::default()),
                Some(false) => self.stage = Stage::First,
            }
        }
        if let Stage::Telnet(telnet) = &mut self.stage {
            telnet.filter(input);
            if telnet.has_answer() {
                // Before anything else, so that it is not forgotten behind the last line.
                return Ok(None);
            }
        }
        // Not all of them ever send the end of a line.
        if self.is_first()
            && let Some(protocol) = foreign_bytes(input, self.is_text())
        {
            return Err(FrameError::Foreign { protocol });
        }
        let line = self.lines.decode(input, frame_bytes)?;
        if let Stage::Telnet(telnet) = &mut self.stage {
            telnet.decoded(input);
        }
        self.check(line)
    }

    /// Refuses a first line that is another protocol's.
    fn check(&mut self, line: Option<Line>) -> Result<Option<Line>, FrameError> {
        if self.is_first()
            && let Some(text) = line.as_deref()
            && !text.is_empty()
        {
            if let Some(protocol) = foreign_line(text).or_else(|| foreign_bytes(text, self.is_text())) {
                return Err(FrameError::Foreign { protocol });
            }
            match &mut self.stage {
                Stage::Telnet(telnet) => telnet.has_passed = true,
                stage => *stage = Stage::Passed,
            }
        }
        Ok(line)
    }

    fn is_first(&self) -> bool {
        match &self.stage {
            Stage::Begin | Stage::First | Stage::FirstOfBytes => true,
            Stage::Passed => false,
            Stage::Telnet(telnet) => !telnet.has_passed,
        }
    }

    fn is_text(&self) -> bool {
        !matches!(self.stage, Stage::FirstOfBytes)
    }
}

impl Codec for GuardedLines {
    type Frame = Line;

    #[inline]
    fn decode(&mut self, input: &mut BytesMut, frame_bytes: usize) -> Result<Option<Line>, FrameError> {
        match self.stage {
            Stage::Passed => self.lines.decode(input, frame_bytes),
            _ => self.open(input, frame_bytes),
        }
    }

    fn decode_end(&mut self, input: &mut BytesMut, frame_bytes: usize) -> Result<Option<Line>, FrameError> {
        let line = self.lines.decode_end(input, frame_bytes)?;
        self.check(line)
    }

    fn carries(payload: &[u8]) -> bool {
        Lines::carries(payload)
    }

    fn aside(&mut self) -> Option<Aside> {
        let Stage::Telnet(telnet) = &mut self.stage else { return None };
        telnet.has_answer().then(|| Aside::Answer(telnet.take_answer()))
    }

    #[inline]
    fn encode(&mut self, line: Line, output: &mut Output) {
        self.lines.encode(line, output);
    }
}
