//! How other protocols begin. As narrow as they allow: what people say passes, also if it begins with `GET`.

/// What tells a request without a version (RFC 9110 §9.3, RFC 5789).
const METHODS: [&[u8]; 8] = [b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"OPTIONS", b"TRACE", b"PATCH"];

/// The protocol whose first bytes these are, if they tell it without a line end.
///
/// TLS is a record of type 22 and version 3 (RFC 8446 §5.1). What begins with NUL is a length: of STUN and TURN, which pages
/// can have a browser send, of databases, and behind empty lines of PROXY's second version. UTF-16 is what Windows makes of
/// commands in a file: half of each would be text.
pub(super) fn foreign_bytes(bytes: &[u8], is_text: bool) -> Option<&'static str> {
    match bytes {
        [0x16, 0x03, ..] => Some("TLS"),
        [0, ..] if is_text => Some("a binary protocol"),
        [0xFF, 0xFE, _, 0, ..] | [0xFE, 0xFF, 0, ..] if is_text => Some("UTF-16"),
        _ => None,
    }
}

/// The protocol of which this is a first line.
pub(super) fn foreign_line(line: &[u8]) -> Option<&'static str> {
    if line.starts_with(b"SSH-2.0-") || line.starts_with(b"SSH-1.") {
        return Some("SSH");
    }
    if line.starts_with(b"PROXY TCP") || line.starts_with(b"PROXY UNKNOWN") {
        return Some("PROXY");
    }
    message(line).or_else(|| mail(line).then_some("SMTP"))
}

/// A request or status line: `GET / HTTP/1.1`, `PRI * HTTP/2.0`, `CONNECT host:443 HTTP/1.1`, `OPTIONS rtsp://host RTSP/1.0`,
/// `HTTP/1.1 200 OK` (RFC 9112 §3 and §4), and `GET /` as before there were versions, or `HEAD /` as one types it. Every client
/// ends a request with the version, and its target has no space. Servers take other blanks for spaces, and more than one.
fn message(line: &[u8]) -> Option<&'static str> {
    let mut words = line.split(|byte| b" \t\r\x0b\x0c".contains(byte)).filter(|word| !word.is_empty());
    let first = words.next()?;
    if let Some(protocol) = version(first) {
        return Some(protocol);
    }
    let target = words.next()?;
    let is_target = target.starts_with(b"/") || target == b"*" || target.contains(&b':');
    if !is_target || !first.iter().all(|byte| is_token(*byte)) {
        return None;
    }
    match (words.next(), words.next()) {
        (Some(last), None) => version(last),
        (None, _) if METHODS.contains(&first) && target.starts_with(b"/") => Some("HTTP"),
        _ => None,
    }
}

/// The protocol of `HTTP/1.1` and its like.
fn version(word: &[u8]) -> Option<&'static str> {
    let protocols: [(&[u8], _); 4] = [(b"HTTP/", "HTTP"), (b"RTSP/", "RTSP"), (b"SIP/", "SIP"), (b"ICAP/", "ICAP")];
    protocols.into_iter().find_map(|(prefix, protocol)| {
        let number = word.strip_prefix(prefix)?;
        let is_number = number.first().is_some_and(u8::is_ascii_digit)
            && number.iter().all(|byte| byte.is_ascii_digit() || *byte == b'.');
        is_number.then_some(protocol)
    })
}

/// A character of a method (RFC 9110 §5.6.2).
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// `EHLO mail.example.org` of a client, with a domain or an address (RFC 5321 §4.1.1.1), or a server's `220 … ESMTP …`. `EHLO` is
/// no word, so that any name may be behind it; `HELO` may be one.
fn mail(line: &[u8]) -> bool {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    if let Some(domain) = line.strip_prefix(b"EHLO ") {
        return !domain.contains(&b' ');
    }
    if let Some(domain) = line.strip_prefix(b"HELO ") {
        let is_domain = domain == b"localhost" || domain.starts_with(b"[") || domain.contains(&b'.');
        return is_domain && !domain.contains(&b' ');
    }
    let mut words = line.split(|byte| *byte == b' ');
    let greets = words.next().is_some_and(|code| code == b"220" || code.starts_with(b"220-"));
    greets && words.any(|word| word == b"ESMTP" || word == b"SMTP")
}
