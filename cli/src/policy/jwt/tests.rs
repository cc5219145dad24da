//! Tokens of a test's own issuer against the checks, one at a time. The same checks with another library's signatures, and RSA, are in
//! `tests/program/jwt.rs`.

use super::algorithm::Algorithm;
use super::fault::JwtFault;
use super::json::Object;
use super::keys::KeySet;
use super::place::Fetch;
use super::section::{Audience, JwtSection, KeysFrom};
use super::sign::Signer;
use crate::policy::proof::Proof;
use crate::policy::rules::{AdminRight, AnonymousSection, At, Direct, Grant, GroupSection, Rules, TokenSection};
use crate::policy::snapshot::Snapshot;
use crate::policy::token::TokenHash;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use proptest::prelude::*;
use ring::rand::SystemRandom;
use ring::signature::{EcdsaKeyPair, Ed25519KeyPair, KeyPair as _};
use serde_json::{Value, json};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use switchboard::policy::Principal;
use switchboard::{Glob, GroupName, Rights, RoomName, UserName};

const AT: At = At { line: 1, column: 1 };
pub(in crate::policy) const NOW: u64 = 1_800_000_000;
const ISSUER: &str = "https://id.example.org/";

/// An issuer: its private key, and the JWKS that it publishes.
pub(in crate::policy) struct Issuer {
    pub(in crate::policy) signer: Signer,
    pub(in crate::policy) jwk: Value,
}

impl Issuer {
    pub(in crate::policy) fn new(algorithm: Algorithm) -> Self {
        let random = SystemRandom::new();
        let text = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let (pkcs8, jwk) = match algorithm {
            Algorithm::EdDsa => {
                let pkcs8 = Ed25519KeyPair::generate_pkcs8(&random).unwrap();
                let pair = Ed25519KeyPair::from_pkcs8(pkcs8.as_ref()).unwrap();
                (pkcs8, json!({"kty": "OKP", "crv": "Ed25519", "x": text(pair.public_key().as_ref())}))
            }
            Algorithm::Es256 | Algorithm::Es384 => {
                let (signing, curve, length) = if algorithm == Algorithm::Es256 {
                    (&ring::signature::ECDSA_P256_SHA256_FIXED_SIGNING, "P-256", 32)
                } else {
                    (&ring::signature::ECDSA_P384_SHA384_FIXED_SIGNING, "P-384", 48)
                };
                let pkcs8 = EcdsaKeyPair::generate_pkcs8(signing, &random).unwrap();
                let pair = EcdsaKeyPair::from_pkcs8(signing, pkcs8.as_ref(), &random).unwrap();
                let point = pair.public_key().as_ref().to_vec();
                let (x, y) = point[1..].split_at(length);
                (pkcs8, json!({"kty": "EC", "crv": curve, "x": text(x), "y": text(y)}))
            }
            other => panic!("{other} is tried elsewhere"),
        };
        let pem =
            format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", STANDARD.encode(pkcs8.as_ref()));
        Self { signer: Signer::read(pem.as_bytes(), None, &random).unwrap(), jwk }
    }

    pub(in crate::policy) fn keys(&self, kid: Option<&str>) -> Value {
        let mut jwk = self.jwk.clone();
        if let Some(kid) = kid {
            jwk["kid"] = kid.into();
        }
        json!({ "keys": [jwk] })
    }

    pub(in crate::policy) fn token(&self, header: Value, claims: Value) -> String {
        let (Value::Object(header), Value::Object(claims)) = (header, claims) else { panic!("not objects") };
        self.signer.sign(header, &claims, &SystemRandom::new()).unwrap()
    }

    /// A token with these claims in place of good ones.
    fn with(&self, changes: Value) -> String {
        self.token(json!({}), Self::claims(changes))
    }

    /// Good claims with these in place of some; "absent" takes one away.
    pub(in crate::policy) fn claims(changes: Value) -> Value {
        let mut claims = good();
        for (name, value) in changes.as_object().unwrap() {
            claims.insert(name.clone(), value.clone());
        }
        claims.retain(|_, value| *value != json!("absent"));
        claims.into()
    }
}

fn good() -> Object {
    let claims = json!({"iss": ISSUER, "aud": "switchboard", "sub": "alice", "iat": NOW, "exp": NOW + 3600});
    claims.as_object().unwrap().clone()
}

pub(in crate::policy) fn section(issuer: &Issuer) -> JwtSection {
    let algorithms = vec![issuer.signer.algorithm()];
    JwtSection {
        at: AT,
        name: "corp".to_owned(),
        issuer: ISSUER.to_owned(),
        audience: Audience::OneOf(vec!["switchboard".to_owned()]),
        keys: KeysFrom::Files(Vec::new()),
        keys_ca: None,
        mark: None,
        fetched: None,
        fetch: Fetch::default(),
        read: KeySet::read(issuer.keys(None).to_string().as_bytes(), &algorithms).unwrap(),
        algorithms,
        name_claim: "sub".to_owned(),
        strip_domain: None,
        names: vec![Glob::parse("*").unwrap()],
        groups_claim: Some("groups".to_owned()),
        rights_claim: Some("switchboard".to_owned()),
        admin: None,
        typ: None,
        max_age: Some(Duration::from_hours(24)),
        leeway: Duration::from_secs(30),
    }
}

fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds)
}

fn snapshot(sources: Vec<JwtSection>) -> Snapshot {
    Snapshot::of(&rules(sources), &[UserName::parse("bridge").unwrap()])
}

fn rules(sources: Vec<JwtSection>) -> Rules {
    let grant = |rooms: &str, rights| Grant { at: AT, rooms: Glob::parse(rooms).unwrap(), rights };
    let staff = GroupSection {
        at: AT,
        name: GroupName::parse("staff").unwrap(),
        grants: vec![grant("ops.**", Rights::ALL)],
        direct: vec![Direct { at: AT, names: Glob::parse("boss").unwrap() }],
        admin: Some(AdminRight::Act),
    };
    let bob = TokenSection::of("bob", &["bobs"]);
    Rules { tokens: vec![bob], groups: vec![staff], jwt: sources, ..Rules::default() }
}

fn fault(snapshot: &Snapshot, token: &str) -> Option<JwtFault> {
    snapshot.vouched(token, at(NOW)).err()
}

#[test]
fn a_good_token_shows_its_holder() {
    for algorithm in [Algorithm::EdDsa, Algorithm::Es256, Algorithm::Es384] {
        let issuer = Issuer::new(algorithm);
        let snapshot = snapshot(vec![section(&issuer)]);
        let claims = json!({
            "groups": ["staff", "others", "/no name"],
            "switchboard": {"rooms": {"desk.{name}": ["read", "publish"]}, "direct": ["help*"]},
        });
        let alice = snapshot.vouched(&issuer.with(claims), at(NOW)).unwrap();
        assert_eq!(alice.name().map(UserName::as_str), Some("alice"));
        assert_eq!(alice.expires(), Some(at(NOW + 3630)));
        assert_eq!(alice.in_groups().collect::<Vec<_>>(), ["staff"]);
        let room = |text: &str| RoomName::parse(text).unwrap();
        assert_eq!(snapshot.rights(&alice, &room("ops.east")), Rights::ALL);
        assert_eq!(snapshot.rights(&alice, &room("desk.alice")), Rights::READ | Rights::PUBLISH);
        assert_eq!(snapshot.rights(&alice, &room("desk.bob")), Rights::NONE);
        let may_tell = |to: &str| snapshot.may_tell(&alice, &UserName::parse(to).unwrap());
        assert!(may_tell("boss") && may_tell("helpdesk") && !may_tell("bob"));
    }
}

#[test]
fn a_token_is_for_its_time() {
    let issuer = Issuer::new(Algorithm::EdDsa);
    let snapshot = snapshot(vec![section(&issuer)]);
    let day = 24 * 3600;
    for (changes, expected) in [
        (json!({"exp": NOW - 29}), None),
        (json!({"exp": NOW - 30}), Some(JwtFault::Expired)),
        (json!({"exp": NOW - 31}), Some(JwtFault::Expired)),
        (json!({"exp": 0}), Some(JwtFault::Expired)),
        (json!({"exp": NOW as f64 + 0.5}), None),
        (json!({"exp": (NOW + 60).to_string()}), Some(JwtFault::Time)),
        (json!({"exp": -1}), Some(JwtFault::Time)),
        (json!({"exp": 1e300}), Some(JwtFault::Time)),
        (json!({"exp": u64::MAX}), Some(JwtFault::Time)),
        (json!({"exp": null}), Some(JwtFault::Time)),
        (json!({"exp": []}), Some(JwtFault::Time)),
        (json!({"exp": true}), Some(JwtFault::Time)),
        (json!({"exp": "absent"}), Some(JwtFault::Time)),
        (json!({"nbf": NOW + 30}), None),
        (json!({"nbf": NOW + 31}), Some(JwtFault::Early)),
        (json!({"nbf": "0"}), Some(JwtFault::Time)),
        (json!({"nbf": null}), Some(JwtFault::Time)),
        (json!({"iat": NOW + 31}), Some(JwtFault::Early)),
        (json!({"iat": "0"}), Some(JwtFault::Time)),
        (json!({"iat": NOW - 10, "exp": NOW + day - 10}), None),
        (json!({"iat": NOW - 10, "exp": NOW + day - 9}), Some(JwtFault::TooLongLived)),
        (json!({"iat": "absent", "exp": NOW + day}), None),
        (json!({"iat": "absent", "exp": NOW + day + 1}), Some(JwtFault::TooLongLived)),
    ] {
        assert_eq!(fault(&snapshot, &issuer.with(changes.clone())), expected, "{changes}");
    }
}

#[test]
fn a_token_is_of_its_issuer_and_for_this_audience() {
    let issuer = Issuer::new(Algorithm::EdDsa);
    let snapshot = snapshot(vec![section(&issuer)]);
    for (changes, expected) in [
        (json!({"aud": ["other", "switchboard"]}), None),
        (json!({"aud": "other"}), Some(JwtFault::Audience)),
        (json!({"aud": ["other"]}), Some(JwtFault::Audience)),
        (json!({"aud": []}), Some(JwtFault::Audience)),
        (json!({"aud": 7}), Some(JwtFault::Audience)),
        (json!({"aud": ["switchboard", 7]}), Some(JwtFault::Audience)),
        (json!({"aud": "Switchboard"}), Some(JwtFault::Audience)),
        (json!({"aud": "absent"}), Some(JwtFault::Audience)),
        (json!({"iss": "https://id.example.org"}), Some(JwtFault::Issuer)),
        (json!({"iss": [ISSUER]}), Some(JwtFault::Issuer)),
        (json!({"iss": "absent"}), Some(JwtFault::Issuer)),
    ] {
        assert_eq!(fault(&snapshot, &issuer.with(changes.clone())), expected, "{changes}");
    }
    let any = snapshot_of(&issuer, |section| section.audience = Audience::Any);
    assert_eq!(fault(&any, &issuer.with(json!({"aud": "other"}))), None);
}

fn snapshot_of(issuer: &Issuer, change: impl FnOnce(&mut JwtSection)) -> Snapshot {
    let mut section = section(issuer);
    change(&mut section);
    snapshot(vec![section])
}

#[test]
fn what_a_header_says_is_compared_and_never_followed() {
    let issuer = Issuer::new(Algorithm::Es256);
    let other = Issuer::new(Algorithm::Es256);
    let named = snapshot_of(&issuer, |section| {
        section.read = KeySet::read(issuer.keys(Some("k1")).to_string().as_bytes(), &section.algorithms).unwrap();
        section.typ = Some("at+jwt".to_owned());
    });
    let typed = |mut header: Value| {
        if header.get("typ").is_none() {
            header["typ"] = "at+JWT".into();
        }
        fault(&named, &issuer.token(header, good().into()))
    };
    assert_eq!(typed(json!({})), None);
    assert_eq!(
        typed(json!({"kid": "k1", "jku": "http://127.0.0.1:1/", "x5u": "http://127.0.0.1:1/", "x5c": ["AA"]})),
        None
    );
    assert_eq!(typed(json!({"typ": "application/at+jwt"})), None);
    for typ in ["JWT", "", "application/", "at+jwt "] {
        assert_eq!(typed(json!({"typ": typ})), Some(JwtFault::Typ), "{typ}");
    }
    for kid in ["k2", "K1", "../../etc/passwd", "' OR 1=1", "", &"k".repeat(5000)] {
        assert_eq!(typed(json!({"kid": kid})), Some(JwtFault::Key), "{kid}");
    }
    for header in [json!({"kid": 1}), json!({"kid": null}), json!({"typ": 1})] {
        assert_eq!(typed(header.clone()), Some(JwtFault::Header), "{header}");
    }
    for header in [json!({"crit": ["x"]}), json!({"crit": []}), json!({"crit": null}), json!({"b64": false})] {
        assert_eq!(typed(header.clone()), Some(JwtFault::Extension), "{header}");
    }
    // Signed by a key that it brings along.
    let brought = other.token(json!({"typ": "at+jwt", "jwk": other.jwk}), good().into());
    assert_eq!(fault(&named, &brought), Some(JwtFault::Signature));
}

#[test]
fn a_key_has_one_algorithm_and_a_token_says_which() {
    let issuer = Issuer::new(Algorithm::Es256);
    let both =
        snapshot_of(&issuer, |section| section.algorithms = vec![Algorithm::Es256, Algorithm::Hs256, Algorithm::EdDsa]);
    let [_, claims, signature] =
        issuer.with(json!({})).split('.').map(str::to_owned).collect::<Vec<_>>().try_into().unwrap();
    let said = |header: &str| {
        let header = URL_SAFE_NO_PAD.encode(header);
        fault(&both, &format!("{header}.{claims}.{signature}"))
    };
    for header in
        [r#"{"alg":"none"}"#, r#"{"alg":"None"}"#, r#"{"alg":""}"#, r#"{"alg":"es256"}"#, r#"{"alg":"RS512"}"#, "{}"]
    {
        assert_eq!(said(header), Some(JwtFault::Algorithm), "{header}");
    }
    assert_eq!(said(r#"{"alg":"RS256"}"#), Some(JwtFault::Algorithm));
    assert_eq!(said(r#"{"alg":"HS256"}"#), Some(JwtFault::Key));
    assert_eq!(said(r#"{"alg":"EdDSA"}"#), Some(JwtFault::Key));
    assert_eq!(said(r#"{"alg":"ES256","x":1}"#), Some(JwtFault::Signature));
    for header in [r#"{"alg":"ES256","alg":"ES256"}"#, r#"{"alg":1}"#, r#"{"alg":"ES256"}}"#, "[]", ""] {
        assert_eq!(said(header), Some(JwtFault::Header), "{header}");
    }
    let larger = Issuer::new(Algorithm::Es384);
    assert_eq!(fault(&both, &larger.with(json!({}))), Some(JwtFault::Algorithm));
    assert_eq!(fault(&both, &Issuer::new(Algorithm::Es256).with(json!({}))), Some(JwtFault::Signature));
}

#[test]
fn a_token_has_one_form() {
    let issuer = Issuer::new(Algorithm::EdDsa);
    let snapshot = snapshot(vec![section(&issuer)]);
    let token = issuer.with(json!({}));
    let (message, signature) = token.rsplit_once('.').unwrap();
    for form in [
        message.to_owned(),
        format!("{token}.e30"),
        format!("{token}.e30.e30"),
        format!("{token}="),
        format!(" {token}"),
        format!("{token}\n"),
        format!("{message}. {signature}"),
        token.replace('.', "="),
        String::new(),
        "..".to_owned(),
        format!("{message}."),
    ] {
        assert!(fault(&snapshot, &form).is_some(), "{form:?}");
    }
    let long = issuer.with(json!({"more": "x".repeat(6200)}));
    assert!(long.len() > 8192 && fault(&snapshot, &long) == Some(JwtFault::TooLong));
    for index in 0..signature.len() {
        let at = message.len() + 1 + index;
        let digit = if signature.as_bytes()[index] == b'A' { "B" } else { "A" };
        let changed = format!("{}{digit}{}", &token[..at], &token[at + 1..]);
        assert!(fault(&snapshot, &changed).is_some(), "{index}");
    }
    assert_eq!(fault(&snapshot, &token), None);
}

#[test]
fn a_source_speaks_for_its_own_names_alone() {
    let issuer = Issuer::new(Algorithm::EdDsa);
    let all = snapshot_of(&issuer, |section| section.names = vec![Glob::parse("**").unwrap()]);
    let named = |snapshot: &Snapshot, sub: &str| fault(snapshot, &issuer.with(json!({ "sub": sub })));
    for (sub, expected) in [
        ("carol", None),
        ("carol.smith", None),
        ("bob", Some(JwtFault::NotIssued)),
        ("BOB", Some(JwtFault::NotIssued)),
        ("bob.phone", Some(JwtFault::NotIssued)),
        ("bridge", Some(JwtFault::NotIssued)),
        ("carol.2", Some(JwtFault::NotIssued)),
        ("guest-1", Some(JwtFault::Name)),
        ("udp", Some(JwtFault::Name)),
        ("server", Some(JwtFault::Name)),
        ("auth0|1234", Some(JwtFault::Name)),
        ("a*", Some(JwtFault::Name)),
        ("{name}", Some(JwtFault::Name)),
        ("", Some(JwtFault::Name)),
    ] {
        assert_eq!(named(&all, sub), expected, "{sub}");
    }
    for sub in [json!(7), json!(["alice"]), json!(null), json!("absent")] {
        assert_eq!(fault(&all, &issuer.with(json!({ "sub": sub }))), Some(JwtFault::Name));
    }
    let parted = Issuer::new(Algorithm::EdDsa);
    let second = JwtSection {
        name: "second".to_owned(),
        issuer: "second".to_owned(),
        names: ["*", "x-*"].map(|names| Glob::parse(names).unwrap()).to_vec(),
        ..section(&parted)
    };
    let first = JwtSection { names: vec![Glob::parse("a*").unwrap()], ..section(&issuer) };
    let two = snapshot(vec![first, second]);
    let of_second = |sub: &str| fault(&two, &parted.with(json!({"iss": "second", "sub": sub})));
    assert_eq!(of_second("alice"), Some(JwtFault::NotIssued));
    assert_eq!(of_second("dave"), None);
    assert_eq!(named(&two, "alice"), None);
    assert_eq!(named(&two, "dave"), Some(JwtFault::NotIssued));
    // Each by its own key.
    assert_eq!(fault(&two, &issuer.with(json!({"iss": "second", "sub": "dave"}))), Some(JwtFault::Signature));
}

#[test]
fn names_that_a_source_may_issue_are_nobody_elses() {
    let issuer = Issuer::new(Algorithm::EdDsa);
    let snapshot = snapshot_of(&issuer, |section| {
        section.names = ["e-*", "e-*.*"].map(|names| Glob::parse(names).unwrap()).to_vec();
    });
    let name = |text: &str| UserName::parse(text).unwrap();
    let alice = snapshot.vouched(&issuer.with(json!({"sub": "e-alice"})), at(NOW)).unwrap();
    let may = |who: &Principal, wanted: &str| snapshot.may_be_called(who, &name(wanted));
    let nobody = Principal::anonymous();
    for wanted in ["e-alice", "E-Alice", "e-bob", "e-alice.2", "e-alice.x", "e-alice.x.y", "bob", "bridge"] {
        assert!(!may(&nobody, wanted), "{wanted}");
    }
    assert!(may(&nobody, "alice") && may(&nobody, "a.e-alice"));
    assert!(may(&alice, "e-alice") && may(&alice, "e-alice.2") && may(&alice, "e-alice.x.y"));
    // Which somebody else may be.
    assert!(!may(&alice, "e-alice.x") && !may(&alice, "e-bob") && !may(&alice, "alice") && !may(&alice, "bob"));
    let bob = snapshot.holder(&TokenHash::of("bobs")).unwrap();
    assert!(may(&bob.principal, "bob.2") && !may(&bob.principal, "e-alice"));
}

#[test]
fn names_of_those_without_a_credential_are_issued_by_no_source() {
    let issuer = Issuer::new(Algorithm::EdDsa);
    let every = JwtSection { names: vec![Glob::parse("**").unwrap()], ..section(&issuer) };
    let names = vec![Glob::parse("visitor-*").unwrap()];
    let anonymous = AnonymousSection { at: AT, grants: Vec::new(), direct: Vec::new(), names };
    let snapshot = Snapshot::of(&Rules { anonymous: Some(anonymous), ..rules(vec![every]) }, &[]);
    let vouched = |sub: &str| snapshot.vouched(&issuer.with(json!({ "sub": sub })), at(NOW));
    assert_eq!(vouched("visitor-7").err(), Some(JwtFault::NotIssued));
    let carol = vouched("carol").unwrap();
    let may = |who: &Principal, wanted: &str| snapshot.may_be_called(who, &UserName::parse(wanted).unwrap());
    let nobody = Principal::anonymous();
    assert!(
        may(&nobody, "visitor-7") && may(&nobody, "Visitor-x") && !may(&nobody, "carol") && !may(&nobody, "visitor")
    );
    assert!(!may(&carol, "visitor-7") && may(&carol, "carol") && !may(&nobody, "bob"));
}

#[test]
fn a_name_is_of_the_domain_that_is_left_out() {
    let issuer = Issuer::new(Algorithm::EdDsa);
    let snapshot = snapshot_of(&issuer, |section| {
        section.strip_domain = Some("example.org".to_owned());
        section.name_claim = "mail.primary".to_owned();
    });
    let named = |mail: Value| snapshot.vouched(&issuer.with(mail), at(NOW)).map(|who| who.name().unwrap().to_string());
    assert_eq!(named(json!({"mail": {"primary": "alice@Example.org"}})), Ok("alice".to_owned()));
    assert_eq!(named(json!({"mail.primary": "carol@example.org", "mail": 1})), Ok("carol".to_owned()));
    for mail in ["alice@evil.org", "alice", "@example.org", "alice@example.org@evil.org", "alice@evil.example.org"] {
        assert_eq!(named(json!({"mail": {"primary": mail}})), Err(JwtFault::Name), "{mail}");
    }
}

#[test]
fn an_address_that_nobody_has_verified_is_no_name() {
    let issuer = Issuer::new(Algorithm::EdDsa);
    let by = |claim: &str, strip: Option<&str>| {
        let (claim, strip) = (claim.to_owned(), strip.map(str::to_owned));
        snapshot_of(&issuer, |section| (section.name_claim, section.strip_domain) = (claim, strip))
    };
    let (address, plain) = (by("email", Some("example.org")), by("sub", None));
    for (verified, expected) in [
        (json!(true), None),
        (json!("true"), None),
        (json!("absent"), None),
        (json!(false), Some(JwtFault::Unverified)),
        (json!("false"), Some(JwtFault::Unverified)),
        (json!(null), Some(JwtFault::Unverified)),
        (json!(1), Some(JwtFault::Unverified)),
    ] {
        let token = issuer.with(json!({"email": "alice@example.org", "email_verified": verified}));
        assert_eq!(fault(&address, &token), expected, "{verified}");
        assert_eq!(fault(&plain, &token), None, "the name is another claim's");
    }
    let token = issuer.with(json!({"email": "alice", "upn": "alice@example.org", "email_verified": false}));
    assert_eq!(fault(&by("email", None), &token), Some(JwtFault::Unverified));
    assert_eq!(fault(&by("upn", Some("example.org")), &token), Some(JwtFault::Unverified));
}

#[test]
fn rights_in_a_token_are_right_or_it_is_refused() {
    let issuer = Issuer::new(Algorithm::EdDsa);
    let snapshot = snapshot(vec![section(&issuer)]);
    for (rights, expected) in [
        (json!({"switchboard": {}}), None),
        (json!({"switchboard": {"rooms": {"ops": ["all"]}, "more": 1}}), None),
        (json!({"switchboard": []}), Some(JwtFault::Rights)),
        (json!({"switchboard": {"rooms": {"ops": ["fly"]}}}), Some(JwtFault::Rights)),
        (json!({"switchboard": {"rooms": {"ops": "all"}}}), Some(JwtFault::Rights)),
        (json!({"switchboard": {"rooms": {"o ps": ["all"]}}}), Some(JwtFault::Rights)),
        (json!({"switchboard": {"direct": "*"}}), Some(JwtFault::Rights)),
        (json!({"switchboard": {"admin": "act"}}), None),
        (json!({"switchboard": {"admin": "root"}}), Some(JwtFault::Rights)),
        (json!({"switchboard": {"admin": ["act"]}}), Some(JwtFault::Rights)),
        (json!({"switchboard": {"admin": null}}), Some(JwtFault::Rights)),
        (json!({"groups": "staff other"}), None),
        (json!({"groups": {"staff": true}}), Some(JwtFault::Rights)),
        (json!({"groups": ["staff", 1]}), Some(JwtFault::Rights)),
    ] {
        assert_eq!(fault(&snapshot, &issuer.with(rights.clone())), expected, "{rights}");
    }
    let grants = |count: usize| {
        let rooms: Object = (0..count).map(|room| (format!("r{room}"), json!(["join"]))).collect();
        fault(&snapshot, &issuer.with(json!({"switchboard": {"rooms": rooms}, "groups": ["staff"]})))
    };
    assert_eq!((grants(63), grants(64)), (None, Some(JwtFault::Rights)), "with those of its groups");
}

#[test]
fn a_token_may_do_with_the_server_what_it_says_and_its_source_may_say() {
    use AdminRight::{Act, View};
    let issuer = Issuer::new(Algorithm::EdDsa);
    let (staff, view, act) = (
        json!({"groups": ["staff"]}),
        json!({"switchboard": {"admin": "view"}}),
        json!({"switchboard": {"admin": "act"}, "admin": "act"}),
    );
    for (most, claims, expected) in [
        (None, &act, None),
        (None, &staff, None),
        (Some(View), &act, Some(View)),
        (Some(View), &staff, Some(View)),
        (Some(Act), &view, Some(View)),
        (Some(Act), &act, Some(Act)),
        (Some(Act), &staff, Some(Act)),
        (Some(Act), &json!({"admin": "act", "groups": ["others"]}), None),
    ] {
        let snapshot = snapshot_of(&issuer, |section| section.admin = most);
        let alice = snapshot.vouched(&issuer.with(claims.clone()), at(NOW)).unwrap();
        assert_eq!(snapshot.admin(&alice, at(NOW)), expected, "{most:?} {claims}");
        let other = snapshot_of(&issuer, |section| {
            section.admin = most;
            section.audience = Audience::Any;
        });
        assert_eq!(other.admin(&alice, at(NOW)), None, "it is judged otherwise by now");
    }
}

#[test]
fn what_a_token_was_judged_by_is_known_afterwards() {
    let issuer = Issuer::new(Algorithm::EdDsa);
    let alice = snapshot(vec![section(&issuer)]).vouched(&issuer.with(json!({})), at(NOW)).unwrap();
    let name = alice.name().unwrap();
    let stands = |snapshot: &Snapshot| {
        let Some(Proof::Jwt { source, stamp, .. }) = Proof::of(&alice) else { panic!("{alice:?}") };
        snapshot.still_vouches(source, stamp, name)
    };
    assert!(stands(&snapshot(vec![section(&issuer)])));
    assert!(stands(&snapshot_of(&issuer, |section| section.names = vec![Glob::parse("a*").unwrap()])));
    assert!(!stands(&snapshot_of(&issuer, |section| section.names = vec![Glob::parse("b*").unwrap()])));
    assert!(!stands(&snapshot_of(&issuer, |section| section.audience = Audience::OneOf(vec!["other".to_owned()]))));
    assert!(!stands(&snapshot_of(&issuer, |section| section.name = "other".to_owned())));
    assert!(!stands(&snapshot(vec![section(&Issuer::new(Algorithm::EdDsa))])));
    assert!(!stands(&snapshot(Vec::new())));
}

#[test]
fn a_set_of_keys_keeps_what_it_can_and_says_what_it_cannot() {
    let (one, two) = (Issuer::new(Algorithm::Es256), Issuer::new(Algorithm::EdDsa));
    let listed = [Algorithm::Es256, Algorithm::EdDsa];
    let read = |keys: Vec<Value>| KeySet::read(json!({ "keys": keys }).to_string().as_bytes(), &listed);
    let key = |issuer: &Issuer, more: Value| {
        let mut key = issuer.jwk.clone();
        key.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        key
    };
    let set = read(vec![
        key(&one, json!({"kid": "a", "use": "sig", "alg": "ES256", "x5c": ["AA"]})),
        json!({"kty": "oct", "k": "AAAA", "kid": "secret"}),
        key(&one, json!({"kid": "b", "use": "enc"})),
        key(&one, json!({"kid": "c", "alg": "ES384"})),
        key(&two, json!({"kid": "a"})),
        key(&two, json!({"kid": "d", "key_ops": ["sign"]})),
        json!({"kty": "RSA", "n": "AQAB", "e": "AQAB", "kid": "e"}),
        json!({"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"}),
        json!({"kty": "OKP", "crv": "Ed448", "x": "AA", "kid": 7}),
        json!("x"),
        key(&two, json!({"kid": "z", "key_ops": ["verify"]})),
    ])
    .unwrap();
    assert_eq!((set.len(), set.notes.len()), (2, 9), "{:?}", set.notes);
    assert!(set.notes[0].contains("`secret` is left out") && set.notes[3].contains("called so"), "{:?}", set.notes);
    let many = (0..65).map(|number| key(&one, json!({"kid": number.to_string()}))).collect();
    let many = read(many).unwrap();
    assert_eq!((many.len(), many.notes.len()), (64, 1));
    for text in ["", "{}", r#"{"keys":{}}"#, r#"{"keys":[]}"#, r#"{"keys":[1]}"#, "<html>", r#"{"keys":[],"keys":[]}"#]
    {
        assert!(KeySet::read(text.as_bytes(), &listed).is_err(), "{text}");
    }
    assert!(KeySet::read(&vec![b'{'; 70_000], &listed).is_err());
}

#[test]
fn a_secret_is_long_and_is_no_public_key() {
    let read = |text: &str| KeySet::read(text.as_bytes(), &[Algorithm::Hs256]).map(|keys| keys.len());
    assert_eq!(read(&format!("{}\n", "s".repeat(32))), Ok(1));
    assert!(read(&"s".repeat(31)).unwrap_err().contains("31 bytes"));
    assert!(read("-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa=\n-----END PUBLIC KEY-----").is_err());
    assert!(read(&json!({"keys": [], "padding": "x".repeat(40)}).to_string()).is_err());
}

#[test]
fn what_once_was_found_stays_right() {
    crate::seeds::replay("jwt", super::body::run);
}

proptest! {
    #[test]
    fn no_input_breaks_a_rule(kind in "[tck]", rest in prop::collection::vec(any::<u8>(), 0..200)) {
        super::body::run(&[kind.as_bytes(), &rest].concat());
    }

    #[test]
    fn a_token_that_is_changed_in_one_place_is_another_one(place in 0..super::body::TOKEN.len(), byte in 0..128_u8) {
        let mut token = super::body::TOKEN.as_bytes().to_vec();
        token[place] = byte;
        super::body::run(&[b"t", &token[..]].concat());
    }
}
