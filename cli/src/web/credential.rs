//! How a request shows who asks: by `Authorization`, as a subprotocol of a WebSocket, or in its URL, by a token or a ticket; by one of them, or by none.
//!
//! Pure. Whom a token shows is for a policy to say. No text that is made here holds any of it.

use http::HeaderMap;
use http::header::{AUTHORIZATION, SEC_WEBSOCKET_PROTOCOL};
use std::borrow::Cow;
use switchboard::grammar::{ErrorCode, Failure, Token};
use switchboard_load::typed::percent_decoded;

/// The longest token.
const TOKEN_BYTES: usize = 8 << 10;

/// What a browser offers beside `switchboard`, since its WebSockets have no other header to present a token in.
const SUBPROTOCOL: &str = "switchboard.bearer.";

/// The parameters of a URL.
const PARAMETER: &str = "access_token";
const TICKET: &str = "ticket";

/// Which bytes a token has (RFC 6750 §2.1). A JWT has hundreds of them, in each request: by comparisons it took 1 µs.
static FITS: [bool; 256] = {
    let mut fits = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        let known = byte as u8;
        fits[byte] = known.is_ascii_alphanumeric() || matches!(known, b'-' | b'.' | b'_' | b'~' | b'+' | b'/' | b'=');
        byte += 1;
    }
    fits
};

/// Whether a token may have these bytes; without a branch for each.
fn is_fit(text: &[u8]) -> bool {
    text.chunks(16).all(|chunk| chunk.iter().fold(true, |fits, byte| fits & FITS[usize::from(*byte)]))
}

/// What a request shows.
#[derive(Debug, PartialEq)]
pub(crate) enum Presented {
    Nothing,
    Token(Token),
    /// What was given for a token, and is in the URL in its place.
    Ticket(Token),
    /// Something by which nobody can be found: another scheme, or what is no token.
    Unusable,
}

impl Presented {
    fn token(text: &[u8]) -> Self {
        match str::from_utf8(text) {
            Ok(token) if (1..=TOKEN_BYTES).contains(&text.len()) && is_fit(text) => Self::Token(Token::new(token)),
            _ => Self::Unusable,
        }
    }
}

/// What the headers show, or the URL did. `is_handshake`: whether it asks for a WebSocket.
///
/// # Errors
/// It comes in two ways, or twice in one.
pub(crate) fn presented(
    headers: &HeaderMap,
    is_handshake: bool,
    in_url: Option<Presented>,
) -> Result<Presented, Failure> {
    let in_header = headers.get_all(AUTHORIZATION).iter().map(|value| bearer(value.as_bytes()));
    let offered = headers.get_all(SEC_WEBSOCKET_PROTOCOL).iter().filter(|_| is_handshake);
    let offered = offered.flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
    let offered = offered.filter_map(|name| name.trim_ascii().strip_prefix(SUBPROTOCOL.as_bytes()));
    let mut all = in_header.chain(offered.map(Presented::token)).chain(in_url);
    match (all.next(), all.next()) {
        (None, _) => Ok(Presented::Nothing),
        (Some(presented), None) => Ok(presented),
        (Some(_), Some(_)) => Err(Failure::new(ErrorCode::BadArgument, "a token is shown in one way, and once")),
    }
}

/// What is behind the scheme, of which the case does not matter.
fn bearer(value: &[u8]) -> Presented {
    let (scheme, rest) = value.split_at(value.iter().position(|byte| *byte == b' ').unwrap_or(value.len()));
    if scheme.eq_ignore_ascii_case(b"bearer") { Presented::token(rest.trim_ascii()) } else { Presented::Unusable }
}

/// Takes a ticket out of a query, or a token if that may be there. Gives what is left of it, too.
///
/// # Errors
/// There are two.
pub(crate) fn from_query(query: &str, takes_tokens: bool) -> Result<(Option<Presented>, Cow<'_, str>), Failure> {
    let key = |pair: &str| match pair.split('=').next() {
        Some(TICKET) => Some(TICKET),
        Some(PARAMETER) if takes_tokens => Some(PARAMETER),
        _ => None,
    };
    let (shown, others): (Vec<_>, Vec<_>) = query.split('&').partition(|pair| key(pair).is_some());
    let [pair] = shown[..] else {
        return match shown.first().and_then(|pair| key(pair)) {
            None => Ok((None, Cow::Borrowed(query))),
            Some(key) => Err(Failure::new(ErrorCode::BadArgument, format!("{key}: more than one is given"))),
        };
    };
    let value = pair.split_once('=').map_or("", |(_, value)| value);
    let presented = percent_decoded(value).map_or(Presented::Unusable, |token| Presented::token(&token));
    let presented = match presented {
        Presented::Token(ticket) if key(pair) == Some(TICKET) => Presented::Ticket(ticket),
        presented => presented,
    };
    Ok((Some(presented), Cow::Owned(others.join("&"))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{HeaderName, HeaderValue};
    use proptest::prelude::*;

    fn headers(all: &[(HeaderName, &[u8])]) -> HeaderMap {
        let value = |bytes| HeaderValue::from_bytes(bytes).expect("a value");
        let mut headers = HeaderMap::new();
        for (name, bytes) in all {
            headers.append(name, value(bytes));
        }
        headers
    }

    fn by_header(value: &[u8]) -> Presented {
        presented(&headers(&[(AUTHORIZATION, value)]), false, None).expect("one way")
    }

    fn token(text: &str) -> Presented {
        Presented::Token(Token::new(text))
    }

    #[test]
    fn a_token_is_behind_its_scheme_whatever_the_case_of_that() {
        for value in ["Bearer a.b-c_d~+/=", "bearer a.b-c_d~+/=", "BEARER   a.b-c_d~+/= "] {
            assert_eq!(by_header(value.as_bytes()), token("a.b-c_d~+/="), "{value}");
        }
        assert_eq!(presented(&HeaderMap::new(), true, None), Ok(Presented::Nothing));
    }

    #[test]
    fn what_is_no_token_is_not_nothing() {
        let long = [b"Bearer ".as_slice(), &[b'a'; TOKEN_BYTES + 1]].concat();
        for value in [
            &b"Bearer"[..],
            b"Bearer ",
            b"",
            b"Bearera",
            b"Basic YTpi",
            b"Bearer a b",
            b"Bearer \xc3\xa4",
            b"Bearer a\"b",
            &long,
        ] {
            assert_eq!(by_header(value), Presented::Unusable, "{:.40}", value.escape_ascii());
        }
        assert_eq!(by_header(&long[..long.len() - 1]), token(&"a".repeat(TOKEN_BYTES)));
    }

    #[test]
    fn a_websocket_may_offer_its_token_as_a_subprotocol() {
        let offers = |value: &str, is_handshake| {
            presented(&headers(&[(SEC_WEBSOCKET_PROTOCOL, value.as_bytes())]), is_handshake, None)
        };
        assert_eq!(offers("switchboard, switchboard.bearer.sb_1", true), Ok(token("sb_1")));
        assert_eq!(offers("switchboard.bearer.sb_1,switchboard", true), Ok(token("sb_1")));
        assert_eq!(offers("switchboard", true), Ok(Presented::Nothing));
        assert_eq!(offers("switchboard.bearer.", true), Ok(Presented::Unusable));
        assert_eq!(offers("switchboard.bearer.sb_1", false), Ok(Presented::Nothing), "it is no handshake");
        assert_eq!(
            offers("switchboard.bearer.a, switchboard.bearer.a", true).unwrap_err().code,
            ErrorCode::BadArgument
        );
    }

    #[test]
    fn two_ways_are_one_too_many() {
        let both = [(AUTHORIZATION, &b"Bearer a"[..]), (SEC_WEBSOCKET_PROTOCOL, b"switchboard.bearer.a")];
        let twice = [(AUTHORIZATION, &b"Bearer a"[..]), (AUTHORIZATION, b"Bearer a")];
        for (all, in_url) in [(&both[..], None), (&twice, None), (&both[..1], Some(token("a")))] {
            let refused = presented(&headers(all), true, in_url).unwrap_err();
            assert_eq!(refused.code, ErrorCode::BadArgument);
        }
    }

    #[test]
    fn a_token_in_a_url_is_taken_out_of_it() {
        assert_eq!(
            from_query("since=0-0&access_token=sb%5f1&x=y", true),
            Ok((Some(token("sb_1")), "since=0-0&x=y".into()))
        );
        assert_eq!(from_query("access_token", true), Ok((Some(Presented::Unusable), "".into())));
        assert_eq!(from_query("access_token=%zz", true), Ok((Some(Presented::Unusable), "".into())));
        assert_eq!(from_query("access_tokens=a", true), Ok((None, "access_tokens=a".into())));
        assert_eq!(
            from_query("access_token=a", false),
            Ok((None, "access_token=a".into())),
            "it is no parameter there"
        );
        assert_eq!(from_query("access_token=a&access_token=a", true).unwrap_err().code, ErrorCode::BadArgument);
    }

    #[test]
    fn a_ticket_in_a_url_is_taken_out_of_it_wherever_tokens_may_not_be_there() {
        let ticket = || Some(Presented::Ticket(Token::new("0a1b")));
        for takes_tokens in [true, false] {
            assert_eq!(from_query("since=0-0&ticket=0a%31b", takes_tokens), Ok((ticket(), "since=0-0".into())));
            assert_eq!(from_query("ticket=", takes_tokens), Ok((Some(Presented::Unusable), "".into())));
            assert_eq!(from_query("ticket=a&ticket=a", takes_tokens).unwrap_err().code, ErrorCode::BadArgument);
        }
        assert_eq!(from_query("ticket=a&access_token=a", true).unwrap_err().code, ErrorCode::BadArgument);
        let refused = presented(&headers(&[(AUTHORIZATION, b"Bearer a")]), false, ticket()).unwrap_err();
        assert_eq!(refused.code, ErrorCode::BadArgument);
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]
        #[test]
        fn whatever_is_sent_shows_something_or_nothing_and_is_told_nobody(
            values in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..3),
            offer in "(switchboard([.]bearer[.][ -~]{0,5})?,? ?){0,3}",
            query in "([ -~]{0,5}|(access_token|ticket)=[ -~]{0,5}|&){0,4}",
        ) {
            let mut all: Vec<_> = values.iter().filter(|value| HeaderValue::from_bytes(value).is_ok())
                .map(|value| (AUTHORIZATION, value.as_slice())).collect();
            all.push((SEC_WEBSOCKET_PROTOCOL, offer.as_bytes()));
            let in_url = from_query(&query, true).map(|(in_url, _)| in_url).unwrap_or_default();
            let count = all.len() - 1 + offer.matches(SUBPROTOCOL).count() + usize::from(in_url.is_some());
            match presented(&headers(&all), true, in_url) {
                Ok(Presented::Nothing) => prop_assert!(count == 0 || !offer.is_empty()),
                Ok(shown) => {
                    let told = format!("{shown:?}");
                    prop_assert!(["Token(Token(…))", "Ticket(Token(…))", "Unusable"].contains(&told.as_str()), "{}", told);
                }
                Err(failure) => prop_assert!(failure.text.is_ascii() && failure.text.len() < 60),
            }
        }
    }
}
