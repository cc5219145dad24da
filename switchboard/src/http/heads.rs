//! What hyper does not report about a head: whether it gave the length of its body in two ways, or its target had a fragment.
//!
//! Follows what an HTTP/1.1 client sends from request to request, next to hyper, which takes the chunks and forgets the
//! other length. hyper refuses whatever is not a request; here it may mean anything, and is bounded.

use std::mem::take;

/// Bytes of a line that are examined: the names that matter and a number, with what may stand between them.
const LINE_BYTES: usize = 256;

/// Looked at together: two vectors of any x86-64 or ARM.
const CHUNK: usize = 32;

/// How far the requests of a connection are.
#[derive(Debug, Default)]
pub(super) struct Heads {
    at: At,
    /// The line of which a part has arrived.
    line: Vec<u8>,
    length: Option<u64>,
    is_chunked: bool,
    /// Its target has a fragment, which no client sends (RFC 9112 §3.2) and hyper removes.
    has_fragment: bool,
    /// Heads that are whole.
    seen: u32,
    /// Whose page asks, according to the latest head.
    origin: Option<Box<[u8]>>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum At {
    /// Before a request, which empty lines may precede (RFC 9112 §2.2).
    #[default]
    Between,
    Fields,
    /// This many bytes of a body follow.
    Body(u64),
    /// The size of a chunk.
    Size,
    /// This many bytes of a chunk follow, including the end of its line.
    Chunk(u64),
    Trailers,
}

impl Heads {
    /// Reads on. Returns the number of the first head, from 1 on, that gives two lengths or a fragment.
    pub(super) fn read(&mut self, mut bytes: &[u8]) -> Option<u32> {
        let mut doubtful = None;
        while !bytes.is_empty() {
            if let At::Body(left) | At::Chunk(left) = self.at {
                let passed = left.min(bytes.len() as u64);
                bytes = &bytes[passed as usize..];
                self.at = match (self.at, left - passed) {
                    (At::Body(_), 0) => At::Between,
                    (At::Body(_), left) => At::Body(left),
                    (_, 0) => At::Size,
                    (_, left) => At::Chunk(left),
                };
                continue;
            }
            let end = line_end(bytes);
            let (part, rest) = bytes.split_at(end.unwrap_or(bytes.len()));
            self.has_fragment |= self.at == At::Between && part.contains(&b'#');
            let room = LINE_BYTES.saturating_sub(self.line.len());
            let part = &part[..part.len().min(room)];
            if end.is_none() {
                self.line.extend_from_slice(part);
                break;
            }
            bytes = &rest[1..];
            let mut begun = take(&mut self.line);
            let line = if begun.is_empty() {
                // Mostly all of it has come together.
                part
            } else {
                begun.extend_from_slice(part);
                &begun
            };
            if self.end_line(line.strip_suffix(b"\r").unwrap_or(line)) {
                doubtful = doubtful.or(Some(self.seen));
            }
        }
        doubtful
    }

    /// Whether it was the end of a head with two lengths or a fragment.
    fn end_line(&mut self, line: &[u8]) -> bool {
        match (self.at, line.is_empty()) {
            (At::Between, false) => (self.at, self.origin) = (At::Fields, None),
            (At::Fields, false) => self.field(line),
            (At::Fields, true) => {
                self.seen = self.seen.saturating_add(1);
                let (length, is_chunked) = (take(&mut self.length), take(&mut self.is_chunked));
                self.at = match length {
                    _ if is_chunked => At::Size,
                    None | Some(0) => At::Between,
                    Some(length) => At::Body(length),
                };
                return take(&mut self.has_fragment) || (is_chunked && length.is_some());
            }
            (At::Size, _) => {
                let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
                let size = std::str::from_utf8(&line[..digits]).ok();
                let size = size.and_then(|size| u64::from_str_radix(size, 16).ok());
                self.at = match size {
                    None | Some(0) => At::Trailers,
                    Some(size) => At::Chunk(size.saturating_add(2)),
                };
            }
            (At::Trailers, true) => self.at = At::Between,
            (At::Between, true) | (At::Trailers, false) => {}
            (At::Body(_) | At::Chunk(_), _) => unreachable!("their bytes are passed over"),
        }
        false
    }

    fn field(&mut self, line: &[u8]) {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { return };
        let (name, value) = (&line[..colon], &line[colon + 1..]);
        if name.eq_ignore_ascii_case(b"transfer-encoding") {
            self.is_chunked = true;
        } else if name.eq_ignore_ascii_case(b"content-length") {
            let number = std::str::from_utf8(value).ok().and_then(|value| value.trim().parse().ok());
            self.length = self.length.or(Some(number.unwrap_or(0)));
        } else if name.eq_ignore_ascii_case(b"origin") && line.len() < LINE_BYTES {
            self.origin = Some(value.trim_ascii().into());
        }
    }

    /// The `Origin` of the latest head, whole or not.
    pub(super) fn origin(&self) -> Option<&[u8]> {
        self.origin.as_deref()
    }

    /// The head has been handed to whoever answers.
    pub(super) fn forget_origin(&mut self) {
        self.origin = None;
    }
}

/// The place of the first LF: many bytes at a time, since the line with a credential is a few hundred long.
fn line_end(bytes: &[u8]) -> Option<usize> {
    let (chunks, _) = bytes.as_chunks::<CHUNK>();
    // Without a branch for each byte, so that the compiler compares vectors.
    let has_none = |chunk: &&[u8; CHUNK]| chunk.iter().fold(0, |found, byte| found | u8::from(*byte == b'\n')) == 0;
    let before = CHUNK * chunks.iter().take_while(has_none).count();
    bytes[before..].iter().position(|byte| *byte == b'\n').map(|place| before + place)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOTH: &str = "POST / HTTP/1.1\r\ncontent-length: 3\r\nTransfer-Encoding: chunked\r\n\r\n";

    /// In pieces of each size.
    #[track_caller]
    fn doubtful(text: &str, expected: Option<u32>) {
        for size in 1..=text.len() {
            let mut heads = Heads::default();
            let found = text.as_bytes().chunks(size).fold(None, |found, piece| found.or(heads.read(piece)));
            assert_eq!(found, expected, "{size}");
        }
    }

    #[test]
    fn two_lengths_are_found_wherever_the_request_stands() {
        doubtful(BOTH, Some(1));
        doubtful(&BOTH.replace("\r\n", "\n"), Some(1));
        doubtful(&format!("\r\n\r\nGET / HTTP/1.1\r\n\r\n{BOTH}"), Some(2));
        doubtful(&format!("POST / HTTP/1.1\r\nCONTENT-LENGTH:4\r\n\r\nabcd\r\n{BOTH}"), Some(2));
        let chunks = "5;a=b\r\nabcde\r\n1\r\n\n\r\n0\r\nTrailer: x\r\n\r\n";
        doubtful(&format!("POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n{chunks}{BOTH}"), Some(2));
    }

    #[test]
    fn a_fragment_is_found_in_what_is_asked_for_and_nowhere_else() {
        doubtful("GET /rooms#x HTTP/1.1\r\nA: b\r\n\r\n", Some(1));
        doubtful(&format!("GET /{}#x HTTP/1.1\r\n\r\n", "x".repeat(LINE_BYTES)), Some(1));
        let before = "POST /?a=%23 HTTP/1.1\r\nReferer: /#x\r\nContent-Length: 2\r\n\r\n#x";
        doubtful(&format!("{before}GET / HTTP/1.1\r\n\r\n"), None);
        doubtful(&format!("{before}GET /#x HTTP/1.1\r\n\r\n"), Some(2));
    }

    #[test]
    fn a_body_may_hold_whatever_it_likes() {
        doubtful(&format!("POST / HTTP/1.1\r\nContent-Length: {}\r\n\r\n{BOTH}", BOTH.len()), None);
        let chunk = format!("{:x}\r\n{BOTH}\r\n0\r\n\r\n", BOTH.len());
        doubtful(&format!("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n{chunk}GET / HTTP/1.1\r\n\r\n"), None);
    }

    #[test]
    fn whose_page_asks_is_known_before_the_head_is_whole() {
        let mut heads = Heads::default();
        heads.read(b"GET / HTTP/1.1\r\nORIGIN:  https://a.test \r\nX: ");
        assert_eq!(heads.origin(), Some(b"https://a.test".as_slice()));
        heads.read(b"y\r\n\r\nGET / HTTP/1.1\r\n");
        assert_eq!(heads.origin(), None, "the next request is another page's");
        heads.read(&[b"Origin: ".as_slice(), &[b'x'; 2 * LINE_BYTES], b"\r\n"].concat());
        assert_eq!(heads.origin(), None, "it was kept in part");
    }

    #[test]
    fn a_line_is_kept_in_part() {
        let mut heads = Heads::default();
        assert_eq!(heads.read(&vec![b'x'; 100_000]), None);
        assert!(heads.line.capacity() <= 2 * LINE_BYTES);
    }
}
