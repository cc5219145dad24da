//! The parameters of one request. One that is unknown, given twice or malformed is an error, so that a slip of the finger is
//! not obeyed in part.

use std::str::FromStr;
use switchboard::grammar::{ErrorCode, Failure};
use switchboard_load::typed::percent_decoded;

/// Entries of a list, if the request does not say.
const LISTED: usize = 100;

/// The most that one answer lists: with the longest names, below 128 KiB.
const MOST_LISTED: usize = 1000;

/// More than any path takes.
const MOST_PARAMETERS: usize = 16;

/// The longest name of a parameter that an answer repeats.
const MOST_REPEATED: usize = 32;

/// They are taken one by one.
pub(crate) struct Query(Vec<(String, String)>);

impl Query {
    pub(crate) fn parse(query: Option<&str>) -> Result<Self, Failure> {
        let mut given: Vec<(String, String)> = Vec::new();
        for pair in query.into_iter().flat_map(|query| query.split('&')).filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            let key = decoded(key)?;
            if key.contains('=') {
                // Encoded once too often: what is behind it may be a secret, and is not repeated.
                return Err(Failure::new(ErrorCode::BadArgument, "the name of a parameter has no = in it"));
            }
            // Each is compared with all before it.
            if given.len() == MOST_PARAMETERS {
                return Err(Failure::new(ErrorCode::BadArgument, "too many parameters"));
            }
            if given.iter().any(|(known, _)| *known == key) {
                let name = repeatable(&key).unwrap_or("a parameter");
                return Err(Failure::new(ErrorCode::BadArgument, format!("{name}: given twice")));
            }
            given.push((key, decoded(value)?));
        }
        Ok(Self(given))
    }

    /// Takes one, which `parse` understands.
    pub(crate) fn take<T>(
        &mut self,
        key: &'static str,
        parse: impl FnOnce(&str) -> Result<T, Failure>,
    ) -> Result<Option<T>, Failure> {
        let Some(place) = self.0.iter().position(|(given, _)| given == key) else { return Ok(None) };
        let (_, value) = self.0.swap_remove(place);
        parse(&value).map(Some).map_err(|Failure { code, text }| Failure::new(code, format!("{key}: {text}")))
    }

    /// How many entries of a list are wanted.
    pub(crate) fn page(&mut self) -> Result<usize, Failure> {
        Ok(self.take("limit", |text| number(text, 1, MOST_LISTED))?.unwrap_or(LISTED))
    }

    /// Whether what comes is wanted too.
    pub(crate) fn follow(&mut self) -> Result<bool, Failure> {
        Ok(self.take("follow", |text| one_of(text, [("1", true), ("0", false)]))?.unwrap_or(false))
    }

    /// Nothing is left.
    pub(crate) fn end(self) -> Result<(), Failure> {
        match self.0.first() {
            None => Ok(()),
            Some((key, _)) => {
                let name = repeatable(key).unwrap_or("of that name");
                let text = format!("no parameter {name} here; /openapi.json lists them");
                Err(Failure::new(ErrorCode::BadArgument, text))
            }
        }
    }
}

/// A parameter's name in an answer, if it has the signs and the length of one of ours: others are a client's own words.
fn repeatable(key: &str) -> Option<&str> {
    let is_plain = key.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
    (is_plain && key.len() <= MOST_REPEATED).then_some(key)
}

/// What percent-encoded text says.
pub(crate) fn decoded(text: &str) -> Result<String, Failure> {
    let bytes = percent_decoded(text).map_err(|fault| Failure::new(ErrorCode::BadArgument, fault))?;
    String::from_utf8(bytes).map_err(|_| Failure::new(ErrorCode::BadArgument, "percent-encoded bytes are not UTF-8"))
}

/// What has one form.
pub(crate) fn parsed<T: FromStr<Err: ToString>>(text: &str) -> Result<T, Failure> {
    text.parse().map_err(|error: T::Err| Failure::new(ErrorCode::BadArgument, error.to_string()))
}

/// In decimal digits alone.
pub(crate) fn number(text: &str, least: usize, most: usize) -> Result<usize, Failure> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let number = text.parse().ok().filter(|number| digits && (least..=most).contains(number));
    number.ok_or_else(|| Failure::new(ErrorCode::BadArgument, format!("not a number from {least} to {most}")))
}

pub(crate) fn one_of<T, const N: usize>(text: &str, values: [(&'static str, T); N]) -> Result<T, Failure> {
    let names = values.each_ref().map(|(name, _)| *name).join(" or ");
    let found = values.into_iter().find(|(name, _)| *name == text);
    found.map(|(_, value)| value).ok_or_else(|| Failure::new(ErrorCode::BadArgument, format!("not {names}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_has_sixteen_parameters_at_most_and_each_once() {
        let parameters = |count: usize| (0..count).map(|number| format!("p{number}=1")).collect::<Vec<_>>().join("&");
        let parse = |text: &str| Query::parse(Some(text)).map(|query| query.0.len()).map_err(|failure| failure.text);
        assert_eq!(parse(&parameters(16)), Ok(16));
        assert_eq!(parse(&parameters(17)), Err("too many parameters".into()));
        assert_eq!(parse("a=1&b=2&%61=3"), Err("a: given twice".into()));
        assert_eq!(parse("&&a&&"), Ok(1));
        assert_eq!(parse("a%1b[2J=1&a%1b[2J=2"), Err("a parameter: given twice".into()));
    }

    #[test]
    fn a_parameter_that_is_none_is_repeated_only_if_it_could_be_one() {
        let end = |text: &str| Query::parse(Some(text)).and_then(Query::end).map_err(|failure| failure.text);
        assert_eq!(end("forrmat=raw"), Err("no parameter forrmat here; /openapi.json lists them".into()));
        for other in ["f%1b[2Jormat", "%e2%80%ae", "a%0d%0ab", "<b>", &"x".repeat(1000)] {
            let told = "no parameter of that name here; /openapi.json lists them";
            assert_eq!(end(&format!("{other}=raw")), Err(told.into()), "{other}");
        }
    }
}
