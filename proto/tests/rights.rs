//! Rights, and the rule that says who has which.

use crate::corpus::rights::{Line, check};
use proptest::prelude::*;
use std::sync::Arc;
use switchboard_proto::{
    Clause, Glob, Grants, Group, NameError, Person, Rights, RightsError, RoomName, Rule, Section, UserName, Who,
};

fn room(text: &str) -> RoomName {
    RoomName::parse(text).unwrap()
}

fn glob(text: &str) -> Glob {
    Glob::parse(text).unwrap()
}

fn grants(all: &[(&str, Rights)]) -> Grants {
    all.iter().map(|(text, rights)| (glob(text), *rights)).collect()
}

#[test]
fn a_word_is_a_right_or_several() {
    for (word, right) in Rights::WORDS {
        assert_eq!(word.parse(), Ok(right));
        assert_eq!(right.to_string(), word);
    }
    assert_eq!("read".parse(), Ok(Rights::JOIN | Rights::HISTORY | Rights::PRESENCE));
    assert_eq!("write".parse(), Ok(Rights::PUBLISH | Rights::CREATE));
    assert_eq!("all".parse(), Ok(Rights::READ | Rights::WRITE));
    assert!(!Rights::ALL.contains(Rights::MODERATE), "who moderates is named");
    for bad in ["", "Join", "READ", "join,publish", " join", "admin", "*"] {
        assert_eq!(bad.parse::<Rights>(), Err(RightsError), "{bad:?}");
    }
}

#[test]
fn rights_are_printed_word_by_word() {
    assert_eq!(Rights::NONE.to_string(), "nothing");
    assert_eq!(Rights::ALL.to_string(), "join, publish, history, presence, create");
    assert_eq!(format!("{:?}", Rights::READ), "Rights(join, history, presence)");
    assert_eq!(Rights::WRITE.words().collect::<Vec<_>>(), ["publish", "create"]);
}

#[test]
fn rights_are_one_byte_and_come_back_from_it() {
    assert_eq!(size_of::<Rights>(), 1);
    for bits in 0..=u8::MAX {
        let rights = Rights::from_bits(bits);
        assert_eq!(Rights::from_bits(rights.bits()), rights);
        assert_eq!(rights.words().map(|word| word.parse::<Rights>().unwrap()).collect::<Rights>(), rights);
        assert!(rights.contains(Rights::NONE) && rights.is_empty() == (rights == Rights::NONE));
        assert_eq!(rights.without(Rights::ALL), rights & Rights::MODERATE);
    }
}

#[test]
fn whom_a_room_is_kept_for_is_a_name_or_a_group() {
    for text in ["alice", "@staff", "@guest-1"] {
        assert_eq!(text.parse::<Who>().unwrap().to_string(), text);
    }
    assert_eq!("guest-1".parse::<Who>(), Err(NameError::Reserved));
    assert_eq!("@".parse::<Who>(), Err(NameError::Empty));
    assert_eq!("@@a".parse::<Who>(), Err(NameError::BadCharacter));
}

#[test]
fn what_sections_groups_and_the_person_have_adds_up() {
    let sections = [
        Section { anyone: Rights::JOIN, ..Section::new(glob("ops.**")) },
        Section { named: Rights::HISTORY, ..Section::new(glob("**.east")) },
        Section { anyone: Rights::ALL, ..Section::new(glob("lobby")) },
    ];
    let anonymous = grants(&[("ops.*", Rights::PRESENCE)]);
    let rule = Rule { sections: &sections, anonymous: &anonymous };
    let alice = UserName::parse("alice").unwrap();
    let own = grants(&[("ops.*", Rights::PUBLISH), ("{name}.east", Rights::MODERATE)]);
    let staff = Arc::new(Group { name: "staff".parse().unwrap(), grants: grants(&[("ops.east", Rights::CREATE)]) });
    let groups = [staff.clone()];
    let person = Person { name: &alice, grants: &own, groups: &groups };

    let east = room("Ops.East");
    assert_eq!(rule.rights(None, &east), Rights::JOIN | Rights::PRESENCE);
    assert_eq!(rule.rights(Some(person), &east), Rights::ALL);
    assert_eq!(rule.rights(Some(person), &room("alice.east")), Rights::HISTORY | Rights::MODERATE);
    assert_eq!(rule.rights(Some(person), &room("elsewhere")), Rights::NONE);
    let clauses: Vec<_> = rule.clauses(Some(person), &east).collect();
    let expected = [
        (Clause::Anyone(&sections[0]), Rights::JOIN),
        (Clause::Named(&sections[1]), Rights::HISTORY),
        (Clause::Anonymous(&glob("ops.*")), Rights::PRESENCE),
        (Clause::Own(&glob("ops.*")), Rights::PUBLISH),
        (Clause::Group(&staff.name, &glob("ops.east")), Rights::CREATE),
    ];
    assert_eq!(clauses, expected);
}

#[test]
fn a_room_that_is_kept_for_some_is_closed_to_all_others() {
    let only = |who: &[&str]| Some(who.iter().map(|who| who.parse().unwrap()).collect());
    let sections = [
        Section { only: only(&["@staff", "bob"]), ..Section::new(glob("board.*")) },
        Section { only: only(&["ALICE", "carol"]), ..Section::new(glob("board.pay")) },
    ];
    let all = grants(&[("**", Rights::ALL)]);
    let rule = Rule { sections: &sections, anonymous: &all };
    let staff = [Arc::new(Group { name: "Staff".parse().unwrap(), grants: Grants::new() })];
    let none = Grants::new();
    let may = |name: &str, groups: &[Arc<Group>], text: &str| {
        let name = UserName::parse(name).unwrap();
        let person = Person { name: &name, grants: &none, groups };
        rule.rights(Some(person), &room(text)) == Rights::ALL
    };
    assert!(may("alice", &staff, "board.room") && may("bob", &[], "Board.Room"));
    assert!(!may("carol", &[], "board.room") && !may("staff", &[], "board.room"));
    assert!(may("alice", &staff, "board.pay"), "she is in both lists");
    assert!(!may("bob", &[], "board.pay") && !may("carol", &[], "board.pay"), "each is in one");
    assert!(may("carol", &[], "boards") && rule.rights(None, &room("board")) == Rights::ALL);
    assert_eq!(rule.rights(None, &room("board.room")), Rights::NONE);
    assert_eq!(rule.closed_by(None, &room("board.pay")), Some(&sections[0]));
}

#[test]
fn nobody_is_in_a_room_that_is_kept_for_nobody() {
    let sections = [Section { only: Some(Vec::new()), anyone: Rights::ALL, ..Section::new(glob("ops")) }];
    let rule = Rule { sections: &sections, anonymous: &Grants::new() };
    assert_eq!(rule.rights(None, &room("ops")), Rights::NONE);
}

/// A line of a policy, as the fuzz target reads them.
fn line() -> impl Strategy<Value = String> {
    let glob = "(ops|a|\\*|\\*\\*|[.]|\\{name\\}|x){1,4}";
    let kind = prop_oneof!["a", "n", "\\?", "p", "g (staff|board)"];
    let grant = (kind, glob, 0u8..64).prop_map(|(kind, glob, bits)| format!("{kind} {glob} {bits}"));
    let only = (glob, "( ann| bob| @staff| @board){0,3}").prop_map(|(glob, who)| format!("o {glob}{who}"));
    prop_oneof![6 => grant, 1 => only]
}

proptest! {
    #[test]
    fn order_never_matters_and_only_alone_takes_away(
        lines in prop::collection::vec(line(), 0..10),
        room in "(ops|a|[.]|x){1,4}",
    ) {
        let lines: Vec<_> = lines.iter().filter_map(|line| Line::parse(line)).collect();
        check(&RoomName::parse(&room).unwrap(), &lines);
    }
}
