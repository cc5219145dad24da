//! The token that is shown to a server: from a file or the environment, never as an argument, which everybody can read (`ps`).

use crate::policy::secret::Secret;
use crate::policy::token::{StaticToken, TokenFault};
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

/// Where it may stand beside a file. Not clap's to read, whose help would show it.
pub(super) const VARIABLE: &str = "SWITCHBOARD_TOKEN";

/// No credential is longer, and a wrong path must not fill the memory.
const MOST_BYTES: u64 = 8 * 1024;

/// What a file holds, without the end of its line.
pub(super) fn of_file(path: &Path) -> Result<Secret, String> {
    let told = |error: io::Error| format!("{}: {error}", path.display());
    let mut text = String::new();
    File::open(path).and_then(|file| file.take(MOST_BYTES + 1).read_to_string(&mut text)).map_err(told)?;
    checked(&text).map_err(|fault| format!("{}: {fault}", path.display()))
}

pub(super) fn of_variable(value: &OsStr) -> Result<Secret, String> {
    checked(value.to_str().ok_or("not UTF-8")?)
}

/// One word, which is what `/auth` takes; and if it looks like one of ours, one without a slip of the finger.
fn checked(text: &str) -> Result<Secret, String> {
    let token = text.trim_ascii();
    if token.is_empty() || token.len() as u64 > MOST_BYTES || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err("not a token: one word of at most 8 KiB".to_owned());
    }
    if token.starts_with("sb_")
        && let Err(fault @ TokenFault::Mistyped) = StaticToken::parse(token)
    {
        return Err(format!("the token is {fault}"));
    }
    Ok(Secret::new(token))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_one_word_and_no_fault_repeats_it() {
        assert_eq!(checked(" eyJ.x.y\r\n").map(|token| token.expose().to_owned()), Ok("eyJ.x.y".to_owned()));
        for text in ["", "\n", "two words", "zwei\u{e4}", "a\0b", &"x".repeat(9000), "sb_12345678_mysecret_123456"] {
            let fault = checked(text).map(drop).expect_err(text);
            assert!(!fault.contains("mysecret") && !fault.contains("words b"), "{fault}");
        }
    }
}
