//! UTF-8 that comes in pieces, which may cut a character anywhere.

use crate::FrameError;

/// Whether all of it is UTF-8. Most is ASCII, and a look at that is vectors, where characters are looked at one by one.
#[inline]
pub(super) fn is_text(bytes: &[u8]) -> bool {
    bytes.is_ascii() || str::from_utf8(bytes).is_ok()
}

/// What has come of a character whose end has not: at most three bytes.
#[derive(Debug, Default)]
pub(super) struct Utf8 {
    begun: [u8; 3],
    len: u8,
}

impl Utf8 {
    /// Checks the next piece, of which may be known that it is ASCII. Fails at the first byte that no text can have there.
    #[inline]
    pub(super) fn check(&mut self, piece: &[u8], is_ascii: bool) -> Result<(), FrameError> {
        if self.len == 0 && is_ascii { Ok(()) } else { self.check_each(piece) }
    }

    fn check_each(&mut self, mut piece: &[u8]) -> Result<(), FrameError> {
        while self.len > 0 {
            let Some((next, rest)) = piece.split_first() else { return Ok(()) };
            piece = rest;
            let mut character = [0; 4];
            let begun = usize::from(self.len);
            character[..begun].copy_from_slice(&self.begun[..begun]);
            character[begun] = *next;
            self.keep(&character[..=begun])?;
        }
        self.keep(piece)
    }

    /// Checks that no character is left without its end, when the text ends.
    pub(super) fn finish(&self) -> Result<(), FrameError> {
        if self.len == 0 { Ok(()) } else { Err(FrameError::NotUtf8) }
    }

    /// Checks `bytes` from the beginning of a character on, and keeps the one that is cut by their end.
    fn keep(&mut self, bytes: &[u8]) -> Result<(), FrameError> {
        self.len = 0;
        let Err(error) = str::from_utf8(bytes) else { return Ok(()) };
        if error.error_len().is_some() {
            return Err(FrameError::NotUtf8);
        }
        let cut = &bytes[error.valid_up_to()..];
        self.begun[..cut.len()].copy_from_slice(cut);
        self.len = cut.len() as u8;
        Ok(())
    }
}
