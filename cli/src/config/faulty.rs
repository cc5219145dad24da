//! Files that are wrong, and all that is said of each: every mistake at its line and column, all at once.

use super::{body, file, sections};
use crate::seeds;
use proptest::prelude::*;

/// What is wrong with a text.
fn wrong(text: &str) -> Vec<String> {
    let mut content = file::parse(text);
    sections::understand(&mut content);
    content.faults.iter().map(|(at, fault)| format!("{at}: {fault}")).collect()
}

/// Each fault of `text` begins as expected, `…` standing for any text, and there is no other one.
fn assert_wrong(text: &str, expected: &[&str]) {
    let told = wrong(text);
    assert_eq!(told.len(), expected.len(), "{text}\n{told:#?}");
    for (told, expected) in told.iter().zip(expected) {
        let mut rest = told.as_str();
        for (index, part) in expected.split('…').enumerate() {
            let found = rest.find(part).filter(|place| index > 0 || *place == 0);
            let Some(place) = found else { panic!("{text}\n{told}\nis not\n{expected}") };
            rest = &rest[place + part.len()..];
        }
    }
}

const HASH: &str = "sha256:00000000000000000000000000000000000000000000000000000000000000aa";

#[test]
fn a_file_that_is_right_has_no_faults() {
    let text = format!(
        "listen = [\"echo=tcp://127.0.0.1:0\"]\n[[listener]]\nurl = \"rooms=tcp://127.0.0.1:0\"\nrate = 5\ncommands = true\n\
         [tokens.alice]\nhash = \"{HASH}\"\ngroups = [\"Staff\"]\nexpires = 2027-06-30\nfrom = [\"10.0.0.0/8\", \"::1\"]\n\
         [groups.staff]\nrooms = {{ \"ops.**\" = [\"all\"], \"desk.{{name}}\" = [\"read\", \"publish\"] }}\ndirect = [\"*\"]\n\
         [anonymous]\n[rooms.lobby]\nanyone = [\"read\", \"write\"]\nkept = true\n\
         [rooms.\"board.*\"]\nonly = [\"@staff\", \"alice\"]\nhistory-messages = 0\noverflow = \"latest\"\npresence = \"off\"\n"
    );
    assert_eq!(wrong(&text), Vec::<String>::new());
}

#[test]
fn every_mistake_against_toml_is_told_with_its_place() {
    assert_wrong("workers = = 1\ngrace = \"5s\nlog = 'info'\n[rooms\n", &["1:11: ", "2:12: ", "4:7: "]);
    assert_wrong("workers = 1\nworkers = 2\n", &["2:1: duplicate key"]);
    assert_wrong("a = 1\u{0}\n", &["1:6: a NUL byte"]);
    assert_wrong(
        "\u{feff}wrokers = 1\r\n\r\ngrcae = \"1s\"\r\n",
        &["1:1: …did you mean `workers`?", "3:1: …did you mean `grace`?"],
    );
    assert_wrong("\tß = 1\n", &["1:2: "]);
    let deep = format!("a = {}{}\nwrokers = 1\n", "[".repeat(200), "]".repeat(200));
    assert!(wrong(&deep).iter().any(|fault| fault.starts_with("1:")), "{:?}", wrong(&deep));
}

#[test]
fn keys_that_are_none_are_told_with_what_was_meant() {
    assert_wrong("max_frame = 5\n", &["1:1: unknown key `max_frame`; known: …; did you mean `max-frame`?"]);
    assert_wrong("[token.alice]\n", &["1:2: unknown key `token`; …did you mean `tokens`?"]);
    assert_wrong(
        "[tokens.alice]\nhash = 1\nhahs = 2\n",
        &["2:8: hash: not the hash", "3:1: unknown key `hahs` of [tokens.NAME]; …did you mean `hash`?"],
    );
    assert_wrong(
        "[rooms.lobby]\nanynoe = []\n",
        &["2:1: unknown key `anynoe` of [rooms.\"GLOB\"]; known: anyone, …; did you mean `anyone`?"],
    );
    assert_wrong(
        "[groups.staff]\nhash = []\n",
        &["2:1: unknown key `hash` of [groups.NAME]; …; it belongs to [tokens.NAME]"],
    );
    assert_wrong("[anonymous]\nroms = {}\n", &["2:1: …did you mean `rooms`?"]);
    assert_wrong("[[listener]]\nurl = \"rooms=tcp://h:1\"\nrates = 1\n", &["3:1: …did you mean `rate`?"]);
    assert_wrong(
        "[rooms.sensors.boiler]\nanyone = []\n",
        &["1:16: unknown key `boiler`; a name with dots needs quotes: [rooms.\"sensors.boiler\"]"],
    );
    assert_wrong("verbose = true\n", &["1:1: …; for -v write log = \"debug\""]);
}

/// What the design has and this version does not do must not look as if it did.
#[test]
fn a_callout_that_makes_no_sense_is_told_and_its_secret_is_not() {
    assert_wrong("[callout]\nsecret = \"a b\"\n", &["1:2: [callout] has no `url`", "2:1: `secret` is no secret: "]);
    assert_wrong(
        "[callout]\nurl = \"http://127.0.0.1/\"\nsecret = [\"hush\"]\n",
        &["3:10: `secret` is neither a string nor a whole number"],
    );
    assert_wrong("[callout]\nurl = 5\nnames = [\"{name}\"]\n", &["3:1: names has {name}"]);
    assert_wrong("[callout.shop]\n", &["1:2: [callout] has no `url`", "1:10: unknown key `shop` of [callout]"]);
}

#[test]
fn a_ban_has_a_network_that_is_not_too_large_and_is_there_once() {
    assert_wrong(
        "[[ban]]\nreason = \"scans\"\nuntil = \"2027-01-01\"\n",
        &["1:1: [[ban]] has no `network`, such as ", "3:9: `until` is a string; write a date without quotes"],
    );
    let ban = |network: &str| format!("[[ban]]\nnetwork = {network}\n");
    assert_wrong(&ban("5"), &["2:11: `network` is 5, not a network such as \"198.51.100.0/24\""]);
    assert_wrong(&ban("\"home\""), &["2:11: network: `home` is …neither an address nor a network"]);
    assert_wrong(&ban("\"10.1.0.0/8\""), &["2:11: network: …did you mean 10.0.0.0/8?"]);
    assert_wrong(&ban("\"0.0.0.0/0\""), &["2:11: network: `0.0.0.0/0` is too large: up to /8 can be banned"]);
    assert_wrong(&ban("\"2000::/31\""), &["2:11: network: `2000::/31` is too large: up to /32 can be banned"]);
    assert_wrong(&(ban("\"10.0.0.1\"") + &ban("\"10.0.0.1/32\"")), &["4:1: network: 10.0.0.1 is banned already"]);
    assert_wrong(&(ban("\"10.0.0.0/8\"") + "to = 2027-01-01\n"), &["3:1: unknown key `to` of [[ban]]"]);
    assert_wrong("[ban]\n", &["1:2: `ban` is a single table; write [[ban]]"]);
    let many: String = (0..10_001).map(|number| ban(&format!("\"10.0.{}.{}\"", number / 256, number % 256))).collect();
    assert_wrong(&many, &["20001:1: more than 10000 bans"]);
    assert_wrong(&(ban("\"2001:db8::/32\"") + "until = 2027-01-01\nreason = \"scans\"\n"), &[]);
}

#[test]
fn the_page_about_jwt_shows_sources_that_are_right() {
    let page = include_str!("../../../docs/jwt.md");
    let blocks: Vec<_> = page.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert!(blocks.len() >= 5);
    for block in blocks {
        assert_wrong(block, &[]);
    }
}

#[test]
fn a_source_of_tokens_says_all_that_is_checked_and_shares_nothing() {
    let source = |name: &str, more: &str| {
        format!(
            "[jwt.{name}]\nissuer = \"{name}\"\naudience = \"a\"\nalgorithms = [\"ES256\"]\nkeys = \"http://127.0.0.1:1/\"\n{more}"
        )
    };
    assert_wrong(
        "[jwt.a]\n",
        &["1:6: jwt.a: it has no `algorithms`", "1:6: …`audience`", "1:6: …`issuer`", "1:6: …`keys`"],
    );
    assert_wrong(
        &source("a", "leeway = \"11m\"\nmax-age = \"soon\"\n"),
        &["6:1: jwt.a: `leeway` is longer than 10m", "7:11: max-age"],
    );
    assert_wrong(
        &source("a", "names = [\"{name}\"]\nadmin = \"root\"\n"),
        &["6:1: …what they are to say", "7:9: `admin` is \"root\", not one of view, act"],
    );
    assert_wrong(
        &(source("a", "") + &source("b", "") + &source("c", "names = [\"c-*\"]\nissuer = \"a\"\n"))
            .replace("issuer = \"c\"\n", ""),
        &["6:6: jwt.b: `names` has \"*\", as jwt.a has", "11:6: jwt.c: jwt.a has the same `issuer`"],
    );
    for (text, fault) in [
        ("algorithms = [\"ES256\", \"HS256\"]\nkeys = [\"/k\"]", "1:6: jwt.x: `algorithms` has HS256 beside others"),
        ("algorithms = [\"es256\"]\nkeys = [\"/k\"]", "4:15: jwt.x: algorithms: …did you mean `ES256`?"),
        ("algorithms = [\"ES256\", \"ES256\"]\nkeys = [\"/k\"]", "4:24: jwt.x: …ES256 twice"),
        ("algorithms = []\nkeys = [\"/k\"]", "4:1: jwt.x: `algorithms` is an empty list"),
        (
            "algorithms = [\"ES256\"]\nkeys = [\"https://a.test/\", \"/k\"]",
            "5:9: jwt.x: `keys` has a URL beside others",
        ),
        ("algorithms = [\"ES256\"]\nkeys = \"ftp://a.test/\"", "5:8: jwt.x: `keys` is a URL of another kind"),
        ("algorithms = [\"HS256\"]\nkeys = \"https://a.test/\"", "1:6: jwt.x: `keys` is a URL, and HS256 has a secret"),
        (
            "algorithms = [\"ES256\"]\nkeys = [\"/k\"]\nkeys-ca = \"/b\"",
            "1:6: jwt.x: `keys-ca` is for `keys` that are a URL",
        ),
    ] {
        assert_wrong(&format!("[jwt.x]\nissuer = \"x\"\naudience = \"any\"\n{text}\n"), &[fault]);
    }
}

#[test]
fn tables_that_are_written_otherwise_are_told_how() {
    assert_wrong("[listener]\nurl = \"x\"\n", &["1:2: `listener` is a single table; write [[listener]]"]);
    assert_wrong("listener = [5]\n", &["1:13: 5 is not a table; write [[listener]]"]);
    assert_wrong("[[tokens]]\n", &["1:3: `tokens` is …; write [tokens.NAME]"]);
    assert_wrong("tokens = \"x\"\n", &["1:1: `tokens` is \"x\"; write [tokens.NAME]"]);
    assert_wrong("[tokens]\nalice = \"x\"\n", &["2:1: `alice` is \"x\", not a table; write [tokens.NAME]"]);
    assert_wrong("anonymous = true\n", &["1:1: `anonymous` is true; write [anonymous]"]);
    assert_wrong("[[listener]]\n[[listener]]\nurl = true\n", &["3:7: `url` is true, neither"]);
}

#[test]
fn values_of_tokens_and_groups_are_told_one_by_one() {
    let token = |line: &str| format!("[tokens.alice]\nhash = \"{HASH}\"\n{line}\n");
    assert_wrong(&token("groups = \"staff\""), &["3:10: `groups` is \"staff\", not a list"]);
    assert_wrong(
        &token("groups = [\"staff\", 5, \"a b\"]\n[groups.stafff]"),
        &["3:20: groups: 5 is not a string", "3:23: groups: `a b` is not a group"],
    );
    assert_wrong(
        &token("groups = [\"staf\"]\n[groups.staff]"),
        &["3:11: there is no [groups.staf]; did you mean `staff`?"],
    );
    assert_wrong(&token("expires = \"2027-06-30\""), &["3:11: `expires` is a string; write a date without quotes"]);
    assert_wrong(&token("expires = 2027-06-30T00:00:00"), &["3:11: …has no offset; in UTC it is 2027-06-30T00:00:00Z"]);
    assert_wrong(&token("expires = 5"), &["3:11: `expires` is 5, not a date"]);
    assert_wrong(
        &token("from = [\"10.0.0.1/8\", \"home\"]"),
        &["3:9: …did you mean `10.0.0.0/8`?", "3:23: from: `home` is neither"],
    );
    assert_wrong(&token("direct = [\"a***\"]"), &["3:11: direct: `a***` is not a glob"]);
    assert_wrong(
        &token("rooms = { \"ops/*\" = [\"raed\"], \"x\" = \"all\" }"),
        &[
            "3:11: rooms: `ops/*` is not a glob",
            "3:22: rooms: `raed`: …did you mean `read`?",
            "3:37: `rooms` is \"all\", not a list",
        ],
    );
    assert_wrong(
        "[tokens.alice]\n[tokens.Alice]\nhash = []\n",
        &[
            "1:9: tokens.alice has no `hash`",
            "2:9: tokens.\"Alice\": it is there already",
            "3:8: `hash` is a list of 0",
        ],
    );
    assert_wrong(
        "[tokens.udp]\n[tokens.\"a b\"]\n[groups.\"\"]\n",
        &[
            "1:9: tokens.\"udp\": this name is reserved",
            "2:9: tokens.\"a b\": a name has only",
            "3:9: groups.\"\": a name has at least",
        ],
    );
    assert_wrong(
        &format!("[tokens.a]\nhash = \"{HASH}\"\n[tokens.b]\nhash = \"{HASH}\"\n"),
        &["3:9: tokens.b has a hash that tokens.a has"],
    );
    assert_wrong(&format!("[tokens.a]\nhash = [\"{HASH}\", \"{HASH}\"]\n"), &["2:84: hash: listed twice"]);
    let other = HASH.replace("aa", "ab");
    assert_wrong(
        &format!("[tokens.a]\nhash = \"{HASH}\"\n[tokens.\"a.x\"]\nhash = \"{other}\"\n"),
        &["3:9: tokens.\"a.x\": the name belongs to `a`"],
    );
    assert_wrong(
        &token("[anonymous]\nnames = [\"visitor-*\", \"al*\", \"a b\"]"),
        &["4:30: names: `a b` is not a glob"],
    );
    assert_wrong(
        &token("[anonymous]\nnames = [\"visitor-*\", \"al*\"]"),
        &["4:23: names: `al*` lets anybody be called alice"],
    );
    let grants: Vec<_> = (0..65).map(|number| format!("\"r{number}\" = []")).collect();
    assert_wrong(&format!("[groups.g]\nrooms = {{ {} }}\n", grants.join(", ")), &["1:9: 65 lines of rights"]);
}

/// Somebody may have put the token itself there.
#[test]
fn what_stands_in_the_place_of_a_hash_is_not_shown() {
    let token = "sb_01234567_0123456789012345678901234567890123456789012_012345";
    for value in
        [format!("\"{token}\""), format!("[\"{token}\"]"), format!("{{ {token} = 1 }}"), format!("[[\"{token}\"]]")]
    {
        let told = wrong(&format!("[tokens.alice]\nhash = {value}\n"));
        assert!(told.len() == 1 && told[0].starts_with("2:") && !told[0].contains("sb_0"), "{told:?}");
    }
    assert!(wrong(&format!("[tokens.alice]\nhash = \"{token}\"\n"))[0].contains("this is a token"));
}

#[test]
fn values_of_rooms_are_told_one_by_one() {
    let room = |line: &str| format!("[rooms.lobby]\n{line}\n");
    assert_wrong(
        &room("overflow = \"lastest\""),
        &["2:12: `overflow` is \"lastest\", not one of …; did you mean \"latest\"?"],
    );
    assert_wrong(&room("history-messages = -1"), &["2:20: `history-messages` is -1, not a number of 0 or more"]);
    assert_wrong(
        &room("history-bytes = \"1MB\""),
        &["2:17: history-bytes = `1MB` is not a size …; did you mean 1MiB?"],
    );
    assert_wrong(
        &room("presence = true\nkept = 1"),
        &["2:12: `presence` is true, not one of on, counts, off", "3:8: `kept` is 1, not on or off"],
    );
    assert_wrong(
        &room("history-age = \"2d\"\nmembers = 0\nrate = \"of\"\nframe = \"64KB\"\nclass = \"a b\""),
        &[
            "2:15: history-age = `2d` is not a duration such as 500ms, 30s, 5m or 1h, nor off",
            "3:11: `members` is 0, not a number of 1 or more, nor off",
            "4:8: `rate` is \"of\", not a number of 1 or more, nor off",
            "5:9: frame = `64KB` is not a size …; did you mean 64KiB?",
            "6:9: class = `a b` is no name: ",
        ],
    );
    assert_wrong(
        &room("history-age = 0\nrate = 9999999999\nclass = 5"),
        &[
            "2:1: history-age: a room that keeps nothing has history-messages = 0",
            "3:1: rate: at most 1000000000, or off",
            "4:9: `class` is 5, not a name",
        ],
    );
    let classes: Vec<_> = (0..33).map(|number| format!("[rooms.r{number}]\nclass = \"c{number}\"\n")).collect();
    assert_wrong(&classes.concat(), &["65:8: more than 32 classes of rooms"]);
    assert_wrong(
        &room("anyone = \"read\"\nnamed = [1]"),
        &["2:10: `anyone` is \"read\", not a list", "3:10: named: 1 is not a string"],
    );
    assert_wrong(&room("only = [\"@staf\", \"a b\"]"), &["2:18: only: `a b` is neither"]);
    assert_wrong(
        &room("only = [\"@staf\"]\n[groups.staff]"),
        &["2:9: there is no [groups.staf]; did you mean `staff`?"],
    );
    assert_wrong(
        "[rooms.\"desk.{name}\"]\n[rooms.\"a/b\"]\n",
        &["1:8: rooms.\"desk.{name}\": `{name}` works only", "2:8: rooms.\"a/b\": a glob has"],
    );
    assert_wrong(
        "[rooms.\"ops.*\"]\nkept = true\n[rooms.\"OPS.*\"]\n",
        &["2:1: kept: rooms.\"ops.*\" matches many rooms", "3:8: rooms.\"OPS.*\": it is there already"],
    );
}

/// However much of it is wrong, what is said stays readable, and in bounds.
#[test]
fn a_file_of_mistakes_is_not_repeated_for_ever() {
    for text in ["]".repeat(1 << 16), "=\n".repeat(1 << 14), "x = 1\n".repeat(1 << 14), "[".repeat(1 << 16)] {
        let told = wrong(&text);
        assert!((1..=101).contains(&told.len()), "{}", told.len());
    }
    let unknown: Vec<_> = (0..900).map(|number| format!("k{number} = 1")).collect();
    assert_eq!(wrong(&unknown.join("\n"))[100], "101:1: and 800 more mistakes from here on");
}

#[test]
fn files_mean_what_they_print_on_every_seed() {
    seeds::replay("config", body::run);
}

/// Files that are mostly right.
fn files() -> impl Strategy<Value = String> {
    let words = "(join|read|write|all|moderate|raed)";
    let line = prop::sample::select(vec![
        "[tokens.{n}]",
        "[groups.{n}]",
        "[anonymous]",
        "[rooms.{n}]",
        "[rooms.\"{n}.*\"]",
        "[rooms.\"**{n}\"]",
        "[[listener]]",
        "rooms = { \"{n}.*\" = [\"{w}\"], \"desk.{name}\" = [\"{w}\"] }",
        "direct = [\"{n}*\"]",
        "groups = [\"{n}\"]",
        "only = [\"@{n}\", \"{n}\"]",
        "anyone = [\"{w}\", \"{w}\"]",
        "named = [\"{w}\"]",
        "names = [\"{n}*\"]",
        "kept = true",
        "kept = \"off\"",
        "history-messages = 5",
        "history-bytes = \"5KiB\"",
        "overflow = \"latest\"",
        "presence = \"counts\"",
        "history-age = \"90s\"",
        "history-age = \"off\"",
        "members = 5",
        "rate = 5",
        "rate = \"off\"",
        "frame = \"5KiB\"",
        "class = \"{n}\"",
        "{n} = 1",
        "workers = 3",
    ]);
    let line = (line, "[abc]", words).prop_map(|(line, name, word)| line.replace("{n}", &name).replace("{w}", &word));
    prop::collection::vec(line, 0..12).prop_map(|lines| lines.join("\n"))
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn files_mean_what_they_print(text in files()) {
        body::run(text.as_bytes());
    }

    #[test]
    fn any_text_is_read_or_refused(text in "([a-z\\[\\]={}\"'.,#0-9éß \\n\\r]|\\[rooms|tokens|hash = ){0,60}") {
        body::run(text.as_bytes());
    }
}
