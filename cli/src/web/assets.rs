//! Files that are served as they are. A browser asks again each time, and is told by the tag that nothing has changed.

/// One file.
#[derive(Debug, PartialEq)]
pub(crate) struct Asset {
    pub(crate) name: &'static str,
    pub(crate) content_type: &'static str,
    pub(crate) body: &'static [u8],
    /// In quotes, as headers have it.
    tag: [u8; 18],
}

impl Asset {
    pub(crate) fn tag(&'static self) -> &'static str {
        str::from_utf8(&self.tag).unwrap_or_default()
    }
}

/// A file of the program.
pub(crate) const fn asset(name: &'static str, body: &'static [u8]) -> Asset {
    Asset { name, content_type: content_type(name.as_bytes()), body, tag: tag(body) }
}

const fn content_type(name: &[u8]) -> &'static str {
    match name {
        [.., b'.', b'h', b't', b'm', b'l'] => "text/html; charset=utf-8",
        [.., b'.', b'c', b's', b's'] => "text/css; charset=utf-8",
        [.., b'.', b'j', b's'] => "text/javascript; charset=utf-8",
        [.., b'.', b'j', b's', b'o', b'n'] => "application/json",
        [.., b'.', b's', b'v', b'g'] => "image/svg+xml",
        [.., b'.', b'p', b'n', b'g'] => "image/png",
        _ => panic!("files of this kind have no content type yet"),
    }
}

/// A hash in quotes: FNV-1a, which only has to tell one version of a file from another.
const fn tag(body: &[u8]) -> [u8; 18] {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    let mut index = 0;
    while index < body.len() {
        hash = (hash ^ body[index] as u64).wrapping_mul(0x0100_0000_01b3);
        index += 1;
    }
    let mut tag = [b'"'; 18];
    let mut digit = 0;
    while digit < 16 {
        tag[digit + 1] = b"0123456789abcdef"[(hash >> (60 - 4 * digit)) as usize & 15];
        digit += 1;
    }
    tag
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_tells_files_apart() {
        assert_eq!(&tag(b""), b"\"cbf29ce484222325\"");
        assert_eq!(&tag(b"a"), b"\"af63dc4c8601ec8c\"");
    }
}
