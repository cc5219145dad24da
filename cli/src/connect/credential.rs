//! The token that is shown to a server, if it looks like one of ours: one without a slip of the finger.

use crate::config::{Fault, SetBy};
use crate::policy::token::{StaticToken, TokenFault};
use bytes::Bytes;
use http::header::AUTHORIZATION;
use http::{HeaderName, HeaderValue};
use ring::rand::{SecureRandom as _, SystemRandom};
use std::path::Path;
use switchboard::grammar::{Command, Input, parse};
use switchboard_load::typed::Secret;

/// The token in `file`, or else in the environment, if there is one.
pub(crate) fn given(file: Option<&Path>) -> Result<Option<Secret>, Fault> {
    if let Some(file) = file {
        let token = Secret::of_file(file).and_then(checked);
        return token.map(Some).map_err(|text| Fault::new(SetBy::Flag("--token-file".to_owned()), text));
    }
    let Some(value) = std::env::var_os(Secret::VARIABLE).filter(|value| !value.is_empty()) else { return Ok(None) };
    let token = Secret::of_variable(&value).and_then(checked);
    token.map(Some).map_err(|text| Fault::new(SetBy::Environment(Secret::VARIABLE.to_owned()), text))
}

/// The same token, unless it is one of ours that is mistyped or cut off.
fn checked(token: Secret) -> Result<Secret, String> {
    match StaticToken::parse(token.expose()) {
        Err(fault @ TokenFault::Mistyped) => Err(format!("the token is {fault}")),
        _ => Ok(token),
    }
}

/// How a WebSocket is asked for by whoever has it.
pub(super) fn header(token: &Secret) -> Result<(HeaderName, HeaderValue), String> {
    let value = HeaderValue::from_str(&format!("Bearer {}", token.expose()));
    let mut value = value.map_err(|_| "the token is none that a header can hold".to_owned())?;
    value.set_sensitive(true);
    Ok((AUTHORIZATION, value))
}

/// Whether a command shows a token.
pub(super) fn is_shown_by(command: &Bytes) -> bool {
    matches!(parse(command.clone()), Ok(Input::Command(Command::Auth(_))))
}

/// A secret to keep a name by; none where the system has no randomness.
pub(super) fn drawn() -> Option<u128> {
    let mut bytes = [0; 16];
    SystemRandom::new().fill(&mut bytes).ok()?;
    Some(u128::from_be_bytes(bytes))
}
