//! Percent-encoding, as paths and queries of URLs have it (RFC 3986 §2.1). A `+` is a `+`.

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
}
