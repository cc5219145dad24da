//! The token that is shown to a server, if it looks like one of ours: one without a slip of the finger.

use crate::policy::token::{StaticToken, TokenFault};
use switchboard_load::typed::Secret;

/// The same token, unless it is one of ours that is mistyped or cut off.
pub(super) fn checked(token: Secret) -> Result<Secret, String> {
    match StaticToken::parse(token.expose()) {
        Err(fault @ TokenFault::Mistyped) => Err(format!("the token is {fault}")),
        _ => Ok(token),
    }
}
