//! Which names a glob matches.

use crate::corpus::glob::check;
use proptest::prelude::*;
use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};
use switchboard_proto::{Glob, GlobError, UserName};

fn glob(text: &str) -> Glob {
    Glob::parse(text).unwrap()
}

fn name(text: &str) -> UserName {
    UserName::parse_any(text).unwrap()
}

#[test]
fn a_run_has_no_dot_and_may_be_empty() {
    for (text, matching, others) in [
        ("ops.*", &["ops.x", "ops.", "OPS.X"][..], &["ops", "ops.a.b", "xops.a", ""][..]),
        ("*", &["a", "lobby", ""], &["a.b", "."]),
        ("*.log", &["a.log", ".log"], &["a.b.log", "log"]),
        ("a*b", &["ab", "axb", "abb"], &["a.b", "abx", "xab"]),
        ("*.*", &[".", "a.b"], &["a", "a.b.c"]),
        ("*a*ab", &["aaab", "aab"], &["ab", "a.ab"]),
    ] {
        for room in matching {
            assert!(glob(text).matches(room, None), "{text} {room}");
        }
        for room in others {
            assert!(!glob(text).matches(room, None), "{text} {room}");
        }
    }
}

#[test]
fn two_stars_are_any_run() {
    for (text, matching, others) in [
        ("ops.**", &["ops.a.b", "ops.x", "ops."][..], &["ops", "xops.a"][..]),
        ("**", &["a", "a.b", "", "..."], &[]),
        ("a**b", &["ab", "a.b", "axb.b", "abab"], &["a", "b", "aba"]),
        ("**.*", &["a.b.c", "."], &["a"]),
        ("*.**.*c*", &["a..c", "a.b.b.abcab"], &["a.c", "a.b.c.d"]),
    ] {
        for room in matching {
            assert!(glob(text).matches(room, None), "{text} {room}");
        }
        for room in others {
            assert!(!glob(text).matches(room, None), "{text} {room}");
        }
    }
}

#[test]
fn a_glob_without_stars_is_itself_without_case() {
    assert!(glob("OPS.*").matches("ops.x", None));
    assert!(glob("ops").matches("Ops", None));
    assert!(!glob("ops").matches("ops.", None));
    assert!(!glob("ops").matches("xops", None));
}

/// Brokers that insert names as patterns gave whoever called itself `#` or `+` all there was.
#[test]
fn the_name_is_inserted_literally() {
    let ann = name("Ann");
    assert!(glob("{name}.*").matches("ann.x", Some(&ann)));
    assert!(!glob("{name}.*").matches("annx.x", Some(&ann)));
    assert!(!glob("{name}.*").matches("ab.x", Some(&name("a"))));
    assert!(glob("desk.{name}").matches("desk.a.b", Some(&name("a.b"))));
    assert!(glob("{name}.{name}").matches("ann.ANN", Some(&ann)));
    assert!(!glob("desk.{name}").matches("desk.ann", None));
    assert!(!glob("desk.{name}").matches("desk.", None));
}

#[test]
fn what_is_no_glob_says_why() {
    assert_eq!(Glob::parse(""), Err(GlobError::Empty));
    assert_eq!(Glob::parse(&"a".repeat(128)).map(|glob| glob.as_str().len()), Ok(128));
    assert_eq!(Glob::parse(&"a".repeat(129)), Err(GlobError::TooLong));
    for bad in ["***", "a***b", "****"] {
        assert_eq!(Glob::parse(bad), Err(GlobError::BadStars), "{bad}");
    }
    for bad in ["a/b", "a?", "[ab]", "a,b", "!a", "{user}", "{name", "name}", "{NAME}", "{na{name}me}", "é", "a b", "#"]
    {
        assert_eq!(Glob::parse(bad), Err(GlobError::BadCharacter), "{bad}");
    }
}

#[test]
fn globs_are_equal_and_hashed_without_case() {
    let hasher = RandomState::new();
    assert_eq!(glob("Ops.*"), glob("oPS.*"));
    assert_eq!(hasher.hash_one(glob("Ops.*")), hasher.hash_one(glob("oPS.*")));
    assert_eq!(HashSet::from([glob("a"), glob("A"), glob("a*"), glob("a**")]).len(), 3);
    assert!(glob("a") < glob("B"));
}

#[test]
fn a_glob_says_how_narrow_it_is() {
    assert_eq!((glob("lobby").is_exact(), glob("lobby").literals()), (true, 5));
    assert_eq!((glob("ops.**").is_exact(), glob("ops.**").literals()), (false, 4));
    assert_eq!((glob("a{name}b*").is_exact(), glob("a{name}b*").literals()), (false, 2));
    assert!(glob("a{name}").has_name() && !glob("a*").has_name());
}

/// With a matcher that goes back for each star these take longer than the sun has left.
#[test]
fn many_stars_cost_no_more_than_few() {
    let rooms = ["a".repeat(64), "a.".repeat(32)];
    for part in ["*a", "**a", "*a**a", "*.**a"] {
        let hostile = glob(&(part.repeat(127 / part.len()) + "b"));
        for room in &rooms {
            assert!(!hostile.matches(room, None), "{hostile}");
        }
    }
}

#[test]
fn a_text_longer_than_any_name_matches_nothing() {
    assert!(glob("**").matches(&"a".repeat(127), None));
    assert!(!glob("**").matches(&"a".repeat(128), None));
}

proptest! {
    #[test]
    fn a_glob_matches_what_the_rule_says(glob in "([ab.]|\\*|\\*\\*|\\{name\\}){1,12}", text in "[abA.]{0,12}", name in "[ab.]{1,3}") {
        check(&glob, &text, Some(&UserName::parse_any(&name).unwrap()));
        check(&glob, &text, None);
    }

    #[test]
    fn any_text_is_a_glob_or_is_refused(glob in "[a-c.*{}name]{0,140}|.{0,10}", text in any::<String>()) {
        check(&glob, &text, None);
    }
}
