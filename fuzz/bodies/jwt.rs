//! JSON Web Tokens: one is taken if its issuer has signed it, and never otherwise; claims and keys are right or refused.
//!
//! An input begins with its kind: `t` and a token, `c` and claims, `k` and a file of keys.
//!
//! Beside `cli/src/policy/`, which it is included with.

use crate::policy::jwt::algorithm::Algorithm;
use crate::policy::jwt::compact::Compact;
use crate::policy::jwt::fault::JwtFault;
use crate::policy::jwt::json;
use crate::policy::jwt::keys::KeySet;
use crate::policy::jwt::place::Fetch;
use crate::policy::jwt::section::{Audience, JwtSection, KeysFrom};
use crate::policy::jwt::source::JwtSource;
use crate::policy::rules::At;
use std::time::{Duration, SystemTime};
use switchboard::Glob;

/// The public key, whose other half nobody has kept, and the one token that it has signed.
const KEY: &str =
    r#"{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"1","x":"pX4WLxsX92cU1fz3A9LA0ZUy9kBmYccO39b8Ew7_i-s"}]}"#;
pub(crate) const TOKEN: &str = "eyJhbGciOiJFZERTQSIsImtpZCI6IjEifQ.eyJpc3MiOiJpIiwiYXVkIjoiYSIsInN1YiI6ImFubiIsImV4cCI6MjAwMH0.HUOF04l1VDNQqL6xaQbKrvzCSAP-i7ZO70xzTiUWAIE70BrZaA-4_33D9lkE40Quibsm2asTeTozI2ZMYuMNCw";

const LISTED: [Algorithm; 5] =
    [Algorithm::EdDsa, Algorithm::Es256, Algorithm::Es384, Algorithm::Rs256, Algorithm::Ps256];

/// Panics if a rule is broken on `data`.
pub(crate) fn run(data: &[u8]) {
    let Some((kind, rest)) = data.split_first() else { return };
    match kind {
        b't' => token(rest),
        b'c' => claims(rest),
        b'k' => keys(rest),
        _ => {}
    }
}

fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1000)
}

fn source() -> JwtSource {
    let Ok(read) = KeySet::read(KEY.as_bytes(), &LISTED) else { unreachable!("it is a key") };
    JwtSource::new(JwtSection {
        at: At { line: 1, column: 1 },
        name: "s".to_owned(),
        issuer: "i".to_owned(),
        audience: Audience::OneOf(vec!["a".to_owned()]),
        algorithms: LISTED.to_vec(),
        keys: KeysFrom::Files(Vec::new()),
        keys_ca: None,
        mark: None,
        fetched: None,
        fetch: Fetch::default(),
        read,
        name_claim: "sub".to_owned(),
        strip_domain: None,
        names: Glob::parse("**").into_iter().collect(),
        groups_claim: Some("g".to_owned()),
        admin: None,
        rights_claim: Some("r".to_owned()),
        typ: None,
        max_age: Some(Duration::from_secs(100_000)),
        leeway: Duration::from_secs(30),
    })
}

fn token(text: &[u8]) {
    let Ok(text) = std::str::from_utf8(text) else { return };
    let taken = Compact::parse(text).and_then(|token| source().verify(&token, now()));
    assert_eq!(taken.is_ok(), text == TOKEN, "{taken:?}");
}

fn claims(text: &[u8]) {
    let Some(claims) = json::object(text) else { return };
    let judged = source().section.judge(&claims, now());
    // What is taken is taken by whoever reads the same JSON.
    if let Ok(vouched) = judged {
        let said: serde_json::Value = serde_json::from_slice(text).unwrap_or_default();
        assert!(said["exp"].as_f64().is_some_and(|end| end + 30.0 > 1000.0), "{said}");
        assert!(vouched.ends > now());
        assert_eq!(said["sub"].as_str(), Some(vouched.name.as_str()));
        assert!(said["aud"] == "a" || said["aud"].as_array().is_some_and(|all| all.iter().any(|one| one == "a")));
    } else if let Err(fault) = judged {
        assert_ne!(fault, JwtFault::Signature, "nobody asks for one");
    }
}

fn keys(text: &[u8]) {
    for listed in [&LISTED[..], &LISTED[..4], &[Algorithm::Hs256]] {
        if let Ok(keys) = KeySet::read(text, listed) {
            assert!((1..=64).contains(&keys.len()));
        }
    }
}
