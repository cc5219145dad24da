//! Percent-encoding, as paths and queries of URLs have it (RFC 3986 §2.1). A `+` is a `+`.

use std::fmt::Write as _;

/// What `text` stands for, which need not be UTF-8.
pub fn percent_decoded(text: &str) -> Result<Vec<u8>, String> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        rest = after;
        if *first != b'%' {
            decoded.push(*first);
            continue;
        }
        let digits = rest.first_chunk::<2>().filter(|digits| digits.iter().all(u8::is_ascii_hexdigit));
        let byte = digits.and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok());
        decoded.push(byte.ok_or("a % needs two hexadecimal digits after it (%25 is a % itself)")?);
        rest = &rest[2..];
    }
    Ok(decoded)
}

/// `text` as it stands where nothing means itself but letters, digits, `-`, `.`, `_`, `~`, and what else is `plain` there.
pub fn percent_encoded(text: &str, plain: &[u8]) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) || plain.contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            // Writing to memory does not fail.
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_encoded_may_be_any_byte() {
        assert_eq!(percent_decoded("a%20b%ff+%c3%A9"), Ok(b"a b\xff+\xc3\xa9".to_vec()));
        for cut in ["%", "a%2", "%zz", "%+1", "% 1"] {
            assert!(percent_decoded(cut).is_err(), "{cut}");
        }
    }

    #[test]
    fn what_is_encoded_is_decoded_to_the_same() {
        let text = "Az09-._~/:+ %\u{e9}\n";
        assert_eq!(percent_encoded(text, b"/:"), "Az09-._~/:%2B%20%25%C3%A9%0A");
        assert_eq!(percent_decoded(&percent_encoded(text, b"")), Ok(text.as_bytes().to_vec()));
    }
}
