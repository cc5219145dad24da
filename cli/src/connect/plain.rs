//! What a frame is on each transport, and which bytes of it a person sees.

use bytes::{Bytes, BytesMut};
use switchboard::{Codec, Datagrams, FrameError, Line, Lines, Output, WebSocketClient, WebSocketMessage};

/// A codec whose frames are what was typed, and what is shown.
pub(super) trait PlainCodec: Codec {
    /// Whether a join is answered with a cookie.
    const TAKES_COOKIES: bool = false;

    /// Whether a side that has finished goes on hearing the other.
    const HALF_CLOSES: bool = false;

    /// Whether frames are bytes as they come, line ends among them.
    const IS_VERBATIM: bool = false;

    fn frame(text: Bytes) -> Self::Frame;

    /// What to send as a frame for a command.
    fn command(text: Bytes) -> Bytes {
        text
    }

    /// Without the end of a line.
    fn payload(frame: Self::Frame) -> Bytes;

    /// What was wrong, if the server has said so by how it has finished.
    fn fault(&self) -> Option<String> {
        None
    }
}

impl PlainCodec for Lines {
    const HALF_CLOSES: bool = true;

    fn frame(text: Bytes) -> Line {
        text.into()
    }

    fn payload(line: Line) -> Bytes {
        line.into()
    }
}

impl PlainCodec for Datagrams {
    const TAKES_COOKIES: bool = true;

    fn frame(text: Bytes) -> Bytes {
        text
    }

    fn payload(mut datagram: Bytes) -> Bytes {
        if datagram.ends_with(b"\n") {
            datagram.truncate(datagram.len() - 1);
        }
        datagram
    }
}

impl PlainCodec for WebSocketClient {
    fn frame(text: Bytes) -> WebSocketMessage {
        text.into()
    }

    fn payload(message: WebSocketMessage) -> Bytes {
        message.into()
    }

    /// Any code but those of an end in order: done, going away, none, restarting (RFC 6455 §7.4.1).
    fn fault(&self) -> Option<String> {
        let code = self.closed_with().filter(|code| ![1000, 1001, 1005, 1012].contains(code))?;
        Some(format!("the server closed the connection with code {code}"))
    }
}

/// Bytes as they come: what a pipe carries need not be lines.
#[derive(Debug, Default)]
pub(super) struct Verbatim;

impl Codec for Verbatim {
    type Frame = Bytes;

    fn decode(&mut self, input: &mut BytesMut, _: usize) -> Result<Option<Bytes>, FrameError> {
        Ok((!input.is_empty()).then(|| std::mem::take(input).freeze()))
    }

    fn encode(&mut self, bytes: Bytes, output: &mut Output) {
        output.share(bytes);
    }
}

impl PlainCodec for Verbatim {
    const HALF_CLOSES: bool = true;
    const IS_VERBATIM: bool = true;

    fn frame(bytes: Bytes) -> Bytes {
        bytes
    }

    fn command(text: Bytes) -> Bytes {
        [&text, b"\n".as_slice()].concat().into()
    }

    fn payload(bytes: Bytes) -> Bytes {
        bytes
    }
}
