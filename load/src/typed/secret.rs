//! A token that is shown to servers: from a file or the environment, never as an argument, which everybody can read (`ps`).
//!
//! It is shown nowhere else: not in a log, not in an error, not in what is printed of settings.

use std::ffi::OsStr;
use std::fmt;
use std::fs::File;
use std::io::{self, Read as _};
use std::ops::Range;
use std::path::Path;

/// No credential is longer, and a wrong path must not fill the memory.
const MOST_BYTES: u64 = 8 * 1024;

/// A text that lets its holder act in somebody's name. It has no `Display`, its `Debug` hides it, and it is read by `expose` alone.
#[derive(Clone)]
pub struct Secret(Box<str>);

impl Secret {
    /// Hides a text.
    pub fn new(text: impl Into<Box<str>>) -> Self {
        Self(text.into())
    }

    /// The text, for whoever hashes, sends or hands it over.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Where a token can be instead of in a file. Not clap's to read, whose help would show it.
    pub const VARIABLE: &str = "SWITCHBOARD_TOKEN";

    /// The token in a file, without the end of its line.
    ///
    /// # Errors
    /// The file cannot be read, or holds no token.
    pub fn of_file(path: &Path) -> Result<Self, String> {
        let told = |error: io::Error| format!("{}: {error}", path.display());
        let text = File::open(path).map_err(told).and_then(|file| read(file).map_err(told))?;
        Self::of_text(&text).map_err(|fault| format!("{}: {fault}", path.display()))
    }

    /// The token in a variable.
    ///
    /// # Errors
    /// It is not a token.
    pub fn of_variable(value: &OsStr) -> Result<Self, String> {
        Self::of_text(value.to_str().ok_or("not UTF-8")?)
    }

    /// The token on stdin.
    ///
    /// # Errors
    /// It cannot be read, or is not a token.
    pub fn of_stdin() -> Result<Self, String> {
        let text = read(io::stdin().lock()).map_err(|error| format!("cannot read stdin: {error}"))?;
        Self::of_text(&text)
    }

    /// One word, which is what `/auth` takes and a header may hold.
    fn of_text(text: &str) -> Result<Self, String> {
        let token = text.trim_ascii();
        if token.is_empty() || token.len() as u64 > MOST_BYTES || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err("not a token: one word of at most 8 KiB".to_owned());
        }
        Ok(Self::new(token))
    }
}

/// What somebody typed, as errors and logs repeat it: of each URL without the name and the password that stand before its host.
///
/// A password may hold any sign, so what is hidden ends with the last `@` before the next URL. Too much is hidden where what is said
/// behind a URL has one too.
pub fn without_passwords(text: &str) -> String {
    let (mut shown, mut rest) = (String::new(), text);
    while let Some(mark) = mark_of_url(rest) {
        let (before, behind) = rest.split_at(mark.end);
        let url = &behind[..mark_of_url(behind).map_or(behind.len(), |next| next.start)];
        let at = url.rfind('@').max(url.rfind("%40"));
        // A path has neither.
        let hidden = at.filter(|at| *at > 0 && !url.starts_with('/')).unwrap_or(0);
        shown += before;
        shown += if hidden > 0 { "…" } else { "" };
        rest = &behind[hidden..];
    }
    shown + rest
}

/// The next `://`, be it encoded, as in an option of another URL.
fn mark_of_url(text: &str) -> Option<Range<usize>> {
    let is_at = |from: usize, mark: &&str| {
        text.as_bytes().get(from..from + mark.len()).is_some_and(|bytes| bytes.eq_ignore_ascii_case(mark.as_bytes()))
    };
    let mark = |from: usize| {
        let mark = ["://", "%3A%2F%2F"].into_iter().find(|mark| is_at(from, mark))?;
        Some(from..from + mark.len())
    };
    (0..text.len()).find_map(mark)
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

/// All of it, or one byte more than any token has.
fn read(input: impl io::Read) -> io::Result<String> {
    let mut text = String::new();
    input.take(MOST_BYTES + 1).read_to_string(&mut text)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_one_word_and_no_fault_repeats_it() {
        let read = Secret::of_text(" eyJ.x.y\r\n").map(|token| token.expose().to_owned());
        assert_eq!(read, Ok("eyJ.x.y".to_owned()));
        for text in ["", "\n", "two mysecrets", "zwei\u{e4}", "a\0b", &"mysecret".repeat(1100)] {
            let fault = Secret::of_text(text).map(drop).expect_err(text);
            assert_eq!(fault, "not a token: one word of at most 8 KiB");
        }
        assert_eq!(format!("{:?}", Some(Secret::new("mysecret"))), "Some(…)");
    }

    #[test]
    fn what_was_typed_is_repeated_without_passwords() {
        for (typed, shown) in [
            ("nats://u:secret@h:4222", "nats://…@h:4222"),
            ("nats://secret@h", "nats://…@h"),
            ("`nats://a,tls://u:s/e?c@r#et@b` is no list", "`nats://a,tls://…@b` is no list"),
            ("`nats://u:se`c\nret@h` is no URL", "`nats://…@h` is no URL"),
            ("nats://u:secret@a,u:secret@b", "nats://…@b"),
            ("tcp://h:1?to=tcp://u:secret@h:2", "tcp://h:1?to=tcp://…@h:2"),
            ("tcp://h:1?to=tcp%3a%2F%2fu:s%20et%40h", "tcp://h:1?to=tcp%3a%2F%2f…%40h"),
            ("tcp://u:s\u{e9}cret@\u{e9}", "tcp://…@\u{e9}"),
            ("unix:///run/a@1.sock", "unix:///run/a@1.sock"),
            ("tcp://h:1, @ops", "tcp://…@ops"),
            ("tcp://@h", "tcp://@h"),
            ("://", "://"),
            ("a@b", "a@b"),
        ] {
            assert_eq!(without_passwords(typed), shown, "{typed}");
        }
    }
}
