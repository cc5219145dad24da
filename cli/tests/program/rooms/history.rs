//! What was said before, what was lost, and the end.

use super::{Peer, ROOMS};
use crate::process::Program;
use nix::sys::signal::Signal;

/// The id that a room is at: the last message before `peer` joined it, or asked.
fn id(peer: &mut Peer, command: &str) -> (String, u64) {
    peer.say(command);
    let answer = peer.next();
    let id = answer.split_once(" you joined at ").and_then(|(_, rest)| rest.split(':').next());
    let (epoch, seq) = id.and_then(|id| id.split_once('-')).unwrap_or_else(|| panic!("no id in {answer}"));
    (epoch.to_owned(), seq.parse().expect("a number"))
}

#[test]
fn history_is_told_again_to_whoever_asks_alone() {
    let program = Program::serve(&[ROOMS, &format!("{ROOMS}?format=json")]);
    let (mut peer, mut other) = (Peer::named(&program, 0, "alice"), Peer::enter(&program, 0));
    for text in ["one", "two", "three"] {
        peer.say(text);
        other.expect(&format!("[lobby] alice: {text}"));
    }
    let mut late = Peer::enter(&program, 0);
    late.expect_nothing();
    late.ask("/history", "* [lobby] 3 messages of history");
    assert_eq!(
        [late.next(), late.next(), late.next()],
        ["one", "two", "three"].map(|text| format!("[lobby] alice: {text}"))
    );
    late.ask("/history 1", "* [lobby] 1 message of history");
    late.expect("[lobby] alice: three");
    late.ask("/history 0", "* [lobby] 0 messages of history");
    late.expect_nothing();
    other.expect_nothing();
    let mut json = Peer::enter(&program, 1);
    json.ask("/history 2", r#"{"event":"history","room":"lobby","count":2}"#);
    assert!(json.next().contains(r#""seq":2,"#));
    assert!(json.next().contains(r#""seq":3,"#));
    json.expect_nothing();
}

#[test]
fn what_cannot_be_resumed_from_is_told() {
    let program = Program::serve(&[ROOMS]);
    let (mut peer, mut reader) = (Peer::named(&program, 0, "alice"), Peer::enter(&program, 0));
    let (epoch, _) = id(&mut peer, "/join ops");
    for number in 1..=258 {
        peer.say(&number.to_string());
    }
    peer.ask("/ping", "* pong");
    // There is nothing behind an id to come, and the answer says where we are.
    let at = id(&mut reader, &format!("/join ops since={epoch}-999"));
    assert_eq!(at, (epoch.clone(), 258));
    reader.expect_nothing();
    reader.ask("/format raw", "* format is raw");
    let gone = format!("! gone: some messages after {epoch}-1 are gone, and raw payloads cannot say so");
    for _ in 0..2 {
        reader.ask(&format!("/join ops since={epoch}-1"), &gone);
        // In or out, it is where it was.
        reader.ask("/leave ops", "* [ops] you left; now in lobby");
        reader.ask(&format!("/join ops since={epoch}-1"), &gone);
        reader.ask("/leave ops", "! not-a-member: you are not in ops; /join ops first");
        let at = id(&mut reader, &format!("/join ops since={epoch}-257"));
        assert_eq!(at, (epoch.clone(), 258));
        reader.expect("258");
    }
}

#[test]
fn since_resumes_behind_a_message() {
    for workers in ["1", "4"] {
        let program = Program::serve(&[ROOMS, "--workers", workers]);
        let (mut peer, mut reader) = (Peer::named(&program, 0, "alice"), Peer::enter(&program, 0));
        let (epoch, seq) = id(&mut reader, "/join lobby");
        assert_eq!(seq, 0);
        for number in 1..=5 {
            peer.say(&number.to_string());
            reader.expect(&format!("[lobby] alice: {number}"));
        }
        // The lobby is where everybody is already; what was missed is asked for all the same.
        let mut back = Peer::enter(&program, 0);
        let at = id(&mut back, &format!("/join lobby since={epoch}-3"));
        assert_eq!(at, (epoch.clone(), 5));
        back.expect("[lobby] alice: 4");
        back.expect("[lobby] alice: 5");
        peer.say("6");
        back.expect("[lobby] alice: 6");
        reader.expect("[lobby] alice: 6");
        assert_eq!(id(&mut back, &format!("/join lobby since={epoch}-6")).1, 6);
        back.expect_nothing();
        // Of another room's history it is the same, on the way in.
        peer.say("/join ops");
        peer.next();
        peer.say("a");
        peer.say("b");
        peer.expect_nothing();
        let (epoch, seq) = id(&mut reader, "/join ops");
        assert_eq!(seq, 2);
        id(&mut back, &format!("/join ops since={epoch}-1"));
        back.expect("[ops] alice: b");
        back.expect_nothing();
    }
}

#[test]
fn what_history_no_longer_has_is_told_as_a_gap() {
    let program = Program::serve(&[ROOMS]);
    let (mut peer, mut reader) = (Peer::named(&program, 0, "alice"), Peer::enter(&program, 0));
    let (epoch, _) = id(&mut reader, "/join lobby");
    for number in 1..=300 {
        peer.say(&number.to_string());
    }
    for number in 1..=300 {
        reader.expect(&format!("[lobby] alice: {number}"));
    }
    // 256 are kept: 45 to 300.
    let mut back = Peer::enter(&program, 0);
    assert_eq!(id(&mut back, &format!("/join lobby since={epoch}-10")).1, 300);
    back.expect("* [lobby] lost 34 messages, from 11");
    for number in 45..=300 {
        back.expect(&format!("[lobby] alice: {number}"));
    }
    back.expect_nothing();
}

#[test]
fn an_id_of_another_incarnation_is_told() {
    let program = Program::serve(&[ROOMS]);
    let (mut peer, mut reader) = (Peer::named(&program, 0, "alice"), Peer::enter(&program, 0));
    let (epoch, _) = id(&mut reader, "/join lobby");
    peer.say("one");
    reader.expect("[lobby] alice: one");
    id(&mut reader, "/join lobby since=0-1");
    reader.expect(&format!("* [lobby] started over as {epoch}: earlier messages are gone"));
    reader.expect("[lobby] alice: one");
}

/// Has somebody say more than an outbox holds to a reader that does not read, then a last word. Gives what the reader is
/// told in the end.
fn overflow(overflow: &str) -> (Vec<String>, usize) {
    const LINES: usize = 400;
    let options = format!("{ROOMS}?overflow={overflow}");
    // On one worker whoever came last hears it last.
    let program = Program::serve(&[&options, "--max-outbox", "128KiB", "--workers", "1"]);
    let (mut speaker, mut slow) = (Peer::named(&program, 0, "alice"), Peer::enter(&program, 0));
    let mut reader = Peer::enter(&program, 0);
    let filling = "x".repeat(60 << 10);
    // More than the kernel's buffers take as well, which is about 6 MiB on a large machine.
    for number in 0..LINES {
        speaker.say(&format!("{number} {filling}"));
        assert!(reader.next().starts_with(&format!("[lobby] alice: {number} ")));
    }
    // Behind all of it.
    slow.say("/ping");
    (slow.until("* pong"), LINES)
}

#[test]
fn a_slow_member_of_conflated_states_gets_the_newest_and_hears_of_no_gap() {
    let (lines, said) = overflow("conflate");
    assert!(lines.iter().all(|line| line.starts_with("[lobby] alice: ")), "{lines:?}");
    assert!(lines.len() < said, "the reader was not slow enough");
    let newest = format!("[lobby] alice: {} ", said - 1);
    assert!(lines.last().is_some_and(|line| line.starts_with(&newest)), "{:?}", lines.last());
}

#[test]
fn a_slow_member_is_told_how_many_it_lost() {
    for policy in ["drop-oldest", "drop-newest", "latest"] {
        let (lines, said) = overflow(policy);
        let (mut heard, mut lost, mut next) = (0, 0, 0);
        for line in lines {
            if let Some(gap) = line.strip_prefix("* [lobby] lost ") {
                let words: Vec<_> = gap.split([' ', ',']).collect();
                let (number, from): (usize, usize) =
                    (words[0].parse().expect("a number"), words[4].parse().expect("a number"));
                // Messages count from 1.
                assert_eq!(from, next + 1, "{policy}: {gap}");
                lost += number;
                next += number;
            } else {
                let number = line.strip_prefix("[lobby] alice: ").and_then(|text| text.split(' ').next());
                assert_eq!(number, Some(&*next.to_string()), "{policy}");
                heard += 1;
                next += 1;
            }
        }
        assert!(lost > 0, "{policy}: the reader was not slow enough");
        assert_eq!(heard + lost, said, "{policy}");
    }
}

#[test]
fn a_slow_member_is_disconnected_by_default_and_the_others_hear_all() {
    let mut program = Program::serve(&[ROOMS, "--max-outbox", "128KiB"]);
    let (mut speaker, slow) = (Peer::named(&program, 0, "alice"), Peer::enter(&program, 0));
    let mut reader = Peer::enter(&program, 0);
    let filling = "x".repeat(60 << 10);
    for number in 0..400 {
        speaker.say(&format!("{number} {filling}"));
        assert!(reader.next().starts_with(&format!("[lobby] alice: {number} ")));
    }
    program.logged("close.reason=slow-consumer");
    drop(slow);
}

#[test]
fn a_drain_says_goodbye_and_nobody_left() {
    for workers in ["1", "4"] {
        let mut program = Program::serve(&[
            ROOMS,
            &format!("{ROOMS}?format=json"),
            &format!("{ROOMS}?format=raw"),
            "--workers",
            workers,
        ]);
        let mut peers =
            [Peer::enter(&program, 0), Peer::enter(&program, 0), Peer::enter(&program, 1), Peer::silent(&program, 2)];
        peers[0].wait_for_members("lobby", 4);
        // Whatever is told of those who came is told before.
        for peer in &mut peers[..2] {
            peer.say("/leave");
            peer.until("* [lobby] you left; now in no room");
            peer.say("/join quiet");
            peer.next();
        }
        program.signal(Signal::SIGTERM);
        program.logged("draining");
        let json = r#"{"event":"closed","reason":"drained"}"#;
        let goodbyes = [Some("* closed: drained"), Some("* closed: drained"), Some(json), None];
        for (mut peer, goodbye) in peers.into_iter().zip(goodbyes) {
            let lines: Vec<_> = std::iter::from_fn(|| peer.line()).collect();
            let lines: Vec<_> = lines.iter().map(|line| String::from_utf8_lossy(line)).collect();
            assert!(!lines.iter().any(|line| line.contains("[quiet]") && line.contains("left")), "{lines:?}");
            assert_eq!(lines.last().map(|line| &**line), goodbye);
        }
        let end = program.end();
        assert_eq!(end.code, Some(0));
        assert!(end.log.last().is_some_and(|line| line.contains("drained finished=4 aborted=0")), "{:?}", end.log);
    }
}
