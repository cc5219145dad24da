//! Names of rooms and people.

use proptest::prelude::*;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use switchboard_proto::{NameError, RoomName, UserName};

fn hash(name: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    name.hash(&mut hasher);
    hasher.finish()
}

fn room(name: &str) -> RoomName {
    RoomName::parse(name).unwrap()
}

proptest! {
    #[test]
    fn a_name_keeps_its_case(text in "[A-Za-z0-9._-]{1,64}") {
        let name = room(&text);
        prop_assert_eq!(name.as_str(), &text);
        prop_assert_eq!(name.to_string(), text.clone());
        prop_assert_eq!(text.parse::<RoomName>(), Ok(name));
    }

    #[test]
    fn names_are_equal_and_hashed_alike_without_case(text in "[A-Za-z0-9._-]{1,64}") {
        let (name, upper, lower) = (room(&text), room(&text.to_ascii_uppercase()), room(&text.to_ascii_lowercase()));
        prop_assert_eq!(&name, &upper);
        prop_assert_eq!(&upper, &lower);
        prop_assert_eq!(hash(&name), hash(&upper));
        prop_assert_eq!(hash(&upper), hash(&lower));
        prop_assert!(name.cmp(&upper).is_eq());
    }

    #[test]
    fn names_are_ordered_as_their_lower_case(one in "[A-Za-z0-9._-]{1,8}", other in "[A-Za-z0-9._-]{1,8}") {
        let order = one.to_ascii_lowercase().cmp(&other.to_ascii_lowercase());
        prop_assert_eq!(room(&one).cmp(&room(&other)), order);
        prop_assert_eq!(room(&one) == room(&other), order.is_eq());
    }

    #[test]
    fn any_text_is_a_name_by_its_characters_and_length_alone(text in any::<String>()) {
        let allowed = text.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
        prop_assert_eq!(RoomName::parse(&text).is_ok(), allowed && (1..=64).contains(&text.len()));
    }
}

#[test]
fn a_text_that_is_no_name_says_why() {
    assert_eq!(RoomName::parse(""), Err(NameError::Empty));
    assert_eq!(RoomName::parse(&"a".repeat(64)).map(|name| name.as_str().len()), Ok(64));
    assert_eq!(RoomName::parse(&"a".repeat(65)), Err(NameError::TooLong));
    for bad in ["a b", "a/b", "#a", "é", "a\n", "a\0", "a,b", "\u{212a}"] {
        assert_eq!(RoomName::parse(bad), Err(NameError::BadCharacter), "{bad:?}");
    }
}

#[test]
fn nobody_takes_a_reserved_name() {
    for reserved in ["guest-1", "guest-", "GUEST-x", "Guest-7", "udp", "UDP", "http", "Http", "server", "SERVER"] {
        assert_eq!(UserName::parse(reserved), Err(NameError::Reserved), "{reserved}");
        assert_eq!(reserved.parse::<UserName>(), Err(NameError::Reserved), "{reserved}");
        assert_eq!(UserName::parse_any(reserved).map(|name| name.is_reserved()), Ok(true), "{reserved}");
    }
    for free in ["guest", "guest_1", "guests-1", "udp2", "https", "servers", "a"] {
        assert_eq!(UserName::parse(free).map(|name| name.is_reserved()), Ok(false), "{free}");
    }
}

#[test]
fn the_server_gives_the_reserved_names() {
    let names = [UserName::guest(7), UserName::udp(), UserName::http(), UserName::server()];
    for (name, text) in names.iter().zip(["guest-7", "udp", "http", "server"]) {
        assert_eq!(name.as_str(), text);
        assert!(name.is_reserved());
        assert_eq!(UserName::parse_any(text).as_ref(), Ok(name));
    }
    assert_eq!(UserName::guest(u64::MAX).as_str(), "guest-18446744073709551615");
    for number in [0, 7, 100, u64::MAX] {
        assert_eq!(UserName::guest(number).guest_number(), Some(number));
    }
    assert_eq!(UserName::parse_any("GUEST-7").unwrap().guest_number(), Some(7), "names have no case");
    for nobody in ["guest-07", "guest-00", "guest-", "guest-7a", "guest-18446744073709551616", "guest", "bob"] {
        assert_eq!(UserName::parse_any(nobody).unwrap().guest_number(), None, "{nobody}");
    }
}

#[test]
fn rooms_may_be_called_what_people_may_not() {
    assert_eq!(room("server").as_str(), "server");
    assert_eq!(format!("{:?} {:?}", room("Lobby"), UserName::guest(1)), "RoomName(Lobby) UserName(guest-1)");
    assert_eq!(format!("[{:>7}]", room("Lobby")), "[  Lobby]");
}

fn user(name: &str) -> UserName {
    UserName::parse_any(name).unwrap()
}

#[test]
fn a_principal_has_its_name_and_all_behind_it_and_a_dot() {
    let alice = user("alice");
    for own in ["alice", "ALICE", "Alice.2", "alice.phone", "alice.phone.2", "alice.", "alice..x", "aLiCe.999999"] {
        assert!(user(own).is_of(&alice), "{own}");
    }
    for other in ["alic", "alice2", "alice-2", "alice_2", "malice", "malice.2", "al.ice", "a", ".alice", "alice2.2"] {
        assert!(!user(other).is_of(&alice), "{other}");
    }
    assert!(user("ops.bot.7").is_of(&user("ops.bot")) && user("ops.bot").is_of(&user("OPS")));
}

#[test]
fn a_numbered_name_says_whose_it_is() {
    assert_eq!(user("alice").numbered(2), Some(user("alice.2")));
    assert_eq!(user("Alice.12").owner_and_number(), Some((user("alice"), 12)));
    assert_eq!(user("alice.2.3").owner_and_number(), Some((user("alice.2"), 3)));
    for none in ["alice", "alice.", "alice.02", "alice.0", "alice.x2", "alice.2x", ".2", "alice.99999999999999999999"] {
        assert_eq!(user(none).owner_and_number(), None, "{none}");
    }
    assert_eq!(user(&"a".repeat(62)).numbered(2).unwrap().as_str().len(), 64);
    assert_eq!(user(&"a".repeat(62)).numbered(10), None);
    assert_eq!(user(&"a".repeat(64)).numbered(2), None);
}
