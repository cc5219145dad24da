//! Options of groups, what is sent to one, and what is published of what comes.

use super::encoding::ForGroup;
use super::relayed::{Came, Relays};
use crate::endpoint::Endpoint;
use std::sync::Arc;
use std::time::SystemTime;
use switchboard::grammar::{Message, Notice};
use switchboard::{Encoding as _, Format, Hub, MessageId, Room, RoomName, UserName};

#[track_caller]
fn fault(typed: &str) -> String {
    let faults = Endpoint::parse(typed).expect_err("it is faulty").sentences(typed);
    let [fault] = &faults[..] else { panic!("{faults:?}") };
    fault.strip_prefix(&format!("{typed}: ")).unwrap().to_owned()
}

#[test]
fn every_option_of_a_group_is_understood() {
    for typed in [
        "rooms=udp://239.1.2.3:7000?room=r",
        "rooms=udp://239.1.2.3:7000?room=r&interface=eth0,eth1?&ttl=0&loop=off&source=10.0.0.1,10.0.0.2&direction=in",
        "rooms=udp://239.1.2.3:7000?room=r&format=json&heartbeat=2s&repair=off&rate=off&overflow=latest&mtu=1200&relay=on",
        "rooms=udp://239.1.2.3:7000?room=r&format=raw&overflow=disconnect&idle=1m&name=studio&repair=https://h:1",
        "rooms=udp://[ff02::4242]:7000?room=r&interface=eth0&source=fe80::1",
        "rooms=udp://[ff02::4242%eth0]:7000?room=r",
        "rooms=udp://[ff05::4242]:7000?room=r",
        "rooms=udp://192.168.1.255:7000?room=r&broadcast=on&direction=out&interface=eth0",
        "rooms=udp://255.255.255.255:7000?room=r&broadcast=on&interface=eth0",
        "rooms=udp://127.0.0.1:7000?broadcast=off",
    ] {
        Endpoint::parse(typed).map_err(|faults| faults.sentences(typed)).unwrap();
    }
}

#[test]
fn what_a_group_cannot_be_is_told_in_a_sentence() {
    for (typed, told) in [
        ("rooms=udp://239.1.2.3:7000", "option `room`: a group is a member of one room: put room=NAME"),
        ("rooms=udp://239.1.2.3:0?room=r", "a group has a port, which all its hosts know"),
        (
            "rooms=udp://224.0.0.251:5353?room=r",
            "224.0.0.251 is for the control of networks (RFC 5771); 239.0.0.0/8 is free",
        ),
        ("rooms=udp://239.1.2.3:1?room=r&broadcast=on", "239.1.2.3 is multicast, which needs no broadcast=on"),
        (
            "rooms=udp://[ff02::4242]:1?room=r",
            "option `interface`: a group of one link needs to know which: put interface=NAME",
        ),
        (
            "rooms=udp://239.1.2.3:1?room=r&echo=on",
            "option `echo`: is for members that ask for it; a group would hear everything twice, and so would whoever hears it",
        ),
        (
            "rooms=udp://239.1.2.3:1?room=r&commands=on",
            "option `commands`: is for single hosts: a group gives none, and `/` means nothing there",
        ),
        (
            "rooms=udp://239.1.2.3:1?room=r&source=fe80::1",
            "option `source`: `fe80::1` is of another family than the group",
        ),
        ("rooms=udp://239.1.2.3:1?room=r&ttl=256", "option `ttl`: `256` is not from 0 to 255"),
        ("rooms=udp://239.1.2.3:1?room=r&mtu=9", "option `mtu`: `9` is not from 64 to 65507"),
        ("rooms=udp://239.1.2.3:1?room=r&direction=up", "option `direction`: `up` is not both, in or out"),
        (
            "rooms=udp://239.1.2.3:1?room=r&heartbeat=1s",
            "option `heartbeat`: is for format=json, which has words for it",
        ),
        (
            "rooms=udp://239.1.2.3:1?room=r&interface=a/b",
            "option `interface`: `a/b` is not the name of an interface, or several with , between",
        ),
        (
            "rooms=udp://239.1.2.3:1?room=r&interface=lo,va,lo?",
            "option `interface`: `lo,va,lo?` is the same interface twice: lo",
        ),
        (
            "rooms=udp://239.1.2.3:1?room=r&format=json&repair=http://u:p@h/",
            "option `repair`: `http://u:p@h/` is a URL with a user or a password, which the whole group would be told",
        ),
        (
            "rooms=udp://10.0.0.255:1?room=r&broadcast=on&loop=off",
            "option `loop`: is for multicast: what goes to a subnet is heard by this machine too",
        ),
        (
            "echo=udp://239.1.2.3:7000",
            "an echo to a group of hosts would answer each datagram to all of them; rooms=udp://… has groups",
        ),
        (
            "proxy=udp://239.1.2.3:7000?to=udp://10.0.0.1:1",
            "a group of hosts has no one to be a proxy for; rooms=udp://… has groups",
        ),
    ] {
        assert_eq!(fault(typed), told, "{typed}");
    }
}

#[test]
fn groups_at_one_address_are_apart_on_other_interfaces() {
    let collide = |one: &str, other: &str| {
        let of = |options: &str| Endpoint::parse(&format!("rooms=udp://239.1.2.3:7000?room=r{options}")).unwrap();
        of(one).collides_with(&of(other))
    };
    assert!(!collide("&interface=va", "&interface=vb"));
    assert!(collide("&interface=va", "&interface=vb,va?"));
    assert!(collide("", "&interface=vb"));
}

#[test]
fn it_is_told_who_can_hear_and_publish() {
    let told = |typed: &str| super::told(&Endpoint::parse(typed).unwrap());
    assert_eq!(
        told("rooms=udp://239.1.2.3:7000?room=r&interface=eth0").unwrap(),
        "a group of hosts (administratively scoped) on eth0: anyone there can hear it and publish"
    );
    assert_eq!(
        told("rooms=udp://10.0.0.255:7000?room=r&broadcast=on&direction=out").unwrap(),
        "a group of hosts (everybody in a subnet) on its network: anyone there can hear it"
    );
    assert_eq!(told("rooms=udp://127.0.0.1:7000"), None);
}

#[expect(clippy::disallowed_methods, reason = "a test is the program itself, and makes rooms")]
fn room(name: &str) -> Room {
    Hub::default().room(name).unwrap()
}

#[test]
fn a_message_that_began_here_or_was_here_is_left_out_and_notices_are() {
    let (relays, ours) = (Relays::default(), room("r"));
    let seen = relays.seen(&ours);
    let message = |id: &str| format!(r#"{{"room":"far","seq":7,"id":"{id}","from":"ann","text":"hi"}}"#);
    let look = |datagram: &str| relays.look(datagram.as_bytes(), &seen);
    assert_eq!(look(&message("k3f9-7")), Came::New);
    assert_eq!(look(&message("k3f9-7")), Came::Again);
    assert_eq!(look(&message("k3f9-8")), Came::New);
    let own = MessageId { epoch: ours.last_id().epoch, seq: 99 };
    assert_eq!(look(&message(&own.to_string())), Came::Again);
    assert_eq!(look(r#"{"event":"head","room":"far","id":"k3f9-8"}"#), Came::Notice);
    for plain in ["21.5", r#"{"temperature":21.5}"#, r#"{"id":"k3f9-7"}"#, "[1]", ""] {
        assert_eq!(look(plain), Came::New, "{plain}");
    }
    for broken in ["{", r#"{"id":7,"room":"r"}"#] {
        assert_eq!(look(broken), Came::Unreadable, "{broken}");
    }
    assert!(seen.is_relayed(message("k3f9-7").as_bytes()));
    assert!(!seen.is_relayed(message("k3f9-9").as_bytes()));
    let beside = relays.seen(&room("other"));
    assert_eq!(relays.look(message("k3f9-7").as_bytes(), &beside), Came::New, "another room has not had it");
}

#[test]
fn as_many_ids_are_remembered_as_may_be() {
    let (relays, ours) = (Relays::default(), room("r"));
    let seen = relays.seen(&ours);
    let message = |seq: u32| format!(r#"{{"room":"far","id":"k3f9-{seq}"}}"#).into_bytes();
    for seq in 0..=4096 {
        assert_eq!(relays.look(&message(seq), &seen), Came::New);
    }
    assert_eq!(relays.look(&message(1), &seen), Came::Again);
    assert_eq!(relays.look(&message(0), &seen), Came::New, "it was the oldest");
}

fn message(payload: &[u8]) -> Message {
    let (room, id) = (RoomName::parse("r").unwrap(), "k3f9-7".parse().unwrap());
    let from = Some(UserName::udp());
    Message { room, id, time: SystemTime::UNIX_EPOCH, from, user: None, payload: payload.to_vec().into() }
}

fn encoding(format: Format) -> ForGroup {
    ForGroup { format, datagram_bytes: 1400, relayed: None, is_deaf: false }
}

#[test]
fn what_is_longer_than_a_datagram_may_be_is_a_gap_and_raw_has_none() {
    let gap = Notice::Gap { room: RoomName::parse("r").unwrap(), lost: 1, from_seq: 7 };
    let text = encoding(Format::Text);
    assert_eq!(text.message(&message(b"hi")).unwrap(), "[r] udp: hi\n");
    assert_eq!(text.message(&message(&[b'x'; 1400])), None);
    assert_eq!(text.notice(&gap).unwrap(), "* [r] lost 1 message, from 7\n");
    let raw = encoding(Format::Raw);
    assert_eq!(raw.message(&message(&[b'x'; 1400])).unwrap().len(), 1400);
    assert_eq!(raw.message(&message(&[b'x'; 1401])), None);
    assert_eq!(raw.notice(&gap), None);
    let json = encoding(Format::Json);
    assert_eq!(json.notice(&gap).unwrap(), r#"{"event":"gap","room":"r","lost":1,"from_seq":7}"#);
    let joined = Notice::Joined { room: RoomName::parse("r").unwrap(), name: UserName::udp() };
    assert_eq!(json.notice(&joined), None, "who comes and goes is nobody's there");
    assert_eq!(ForGroup { is_deaf: true, ..json }.message(&message(b"hi")), None);
}

#[test]
fn what_came_from_another_group_goes_on_with_the_id_it_had() {
    let (relays, ours) = (Relays::default(), room("r"));
    let seen = relays.seen(&ours);
    let theirs = br#"{"room":"far","seq":7,"id":"aaaa-7","from":"ann","text":"hi"}"#;
    assert_eq!(relays.look(theirs, &seen), Came::New);
    let json = ForGroup { relayed: Some(Arc::clone(&seen)), ..encoding(Format::Json) };
    assert_eq!(json.message(&message(theirs)).unwrap(), theirs[..]);
    let ours = json.message(&message(br#"{"room":"far","id":"aaaa-8"}"#)).unwrap();
    assert!(ours.starts_with(br#"{"room":"r","seq":7,"id":"k3f9-7""#), "nobody pretends that it came");
}
