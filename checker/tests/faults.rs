//! A history in which nothing is wrong, and each way to spoil it: a checker that does not see a fault shows nothing.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::sync::Arc;
use switchboard_checker::{Event, Id, Promise, Recorder, Rule, judge, read};

/// One member that publishes, one that comes back, one connection that publishes, and whoever looks.
const HISTORY: &str = r#"
{"op":"join","stay":"ann","room":"ops","last":"k-0"}
{"op":"invoke","call":1,"client":"a","room":"ops","text":"one","stay":"ann"}
{"op":"ok","call":1,"id":"k-1"}
{"op":"invoke","call":2,"client":"b","room":"ops","text":"two"}
{"op":"told","stay":"ann","id":"k-2","text":"two"}
{"op":"ok","call":2,"id":"k-2"}
{"op":"invoke","call":3,"client":"b","room":"ops","text":"full"}
{"op":"fail","call":3}
{"op":"invoke","call":4,"client":"a","room":"ops","text":"three","stay":"ann"}
{"op":"ok","call":4,"id":"k-3"}
{"op":"invoke","call":5,"client":"b","room":"ops","text":"four"}
{"op":"invoke","call":6,"client":"b","room":"ops","text":"five"}
{"op":"unknown","call":5}
{"op":"told","stay":"ann","id":"k-4","text":"four"}
{"op":"told","stay":"ann","id":"k-5","text":"five"}
{"op":"ok","call":6,"id":"k-5"}
{"op":"join","stay":"bob","room":"ops","since":"k-1","last":"k-5"}
{"op":"told","stay":"bob","from_seq":2,"lost":2}
{"op":"told","stay":"bob","id":"k-4","text":"four"}
{"op":"told","stay":"bob","id":"k-5","text":"five"}
{"op":"join","stay":"eve","room":"ops","since":"j-9","last":"k-5"}
{"op":"told","stay":"eve","epoch":"k"}
{"op":"told","stay":"eve","id":"k-4","text":"four"}
{"op":"told","stay":"eve","id":"k-5","text":"five"}
{"op":"read","room":"ops","since":"k-3","told":[{"id":"k-4","text":"four"},{"id":"k-5","text":"five"}],"known":"k-5"}
{"op":"hold","name":"Ann","holder":"1"}
{"op":"hold","name":"bob","holder":"2"}
{"op":"release","name":"ann","holder":"1"}
{"op":"hold","name":"ann","holder":"3"}
{"op":"gone","name":"bob","at":1000}
{"op":"bounded","what":"memory","value":7,"most":7}
{"op":"listed","by":"n1","room":"ops","names":["ann","bob"],"at":30999}
{"op":"listed","by":"n2","room":"ops","names":["ann"],"at":31000}
{"op":"quiet"}
{"op":"leave","stay":"bob"}
{"op":"final","room":"ops","gone":1,"kept":[{"id":"k-2","text":"two"},{"id":"k-3","text":"three"},{"id":"k-4","text":"four"},{"id":"k-5","text":"five"}]}
"#;

fn faults(text: &str, promise: Promise) -> Vec<Rule> {
    judge(&read(text).unwrap(), promise).into_iter().map(|fault| fault.rule).collect()
}

#[test]
fn what_is_as_it_must_be_is_not_blamed() {
    for promise in [Promise::Durable, Promise::Volatile] {
        assert_eq!(judge(&read(HISTORY).unwrap(), promise), []);
    }
}

#[test]
fn each_fault_is_seen() {
    use Rule::{Agreement, Bounds, ConnectionOrder, Ghosts, Holes, Invented, Kept, Names, RealTime, Since, Tail};
    let told =
        |stay: &str, seq: u64, text: &str| format!(r#"{{"op":"told","stay":"{stay}","id":"k-{seq}","text":"{text}"}}"#);
    let line = |line: &str| format!("{line}\n");
    let (ann2, ann4, ann5) = (told("ann", 2, "two"), told("ann", 4, "four"), told("ann", 5, "five"));
    let (bob4, bob5) = (told("bob", 4, "four"), told("bob", 5, "five"));
    let gap = r#"{"op":"told","stay":"bob","from_seq":2,"lost":2}"#;
    let gap_of = |from: u64, lost: u64| format!(r#"{{"op":"told","stay":"bob","from_seq":{from},"lost":{lost}}}"#);
    let four = r#"{"op":"invoke","call":5,"client":"b","room":"ops","text":"four"}"#;
    let five = r#"{"op":"invoke","call":6,"client":"b","room":"ops","text":"five"}"#;
    let mutants: Vec<(Rule, &str, String, String)> = vec![
        (Agreement, "two texts under one id", bob4.clone(), told("bob", 4, "five")),
        (Agreement, "acknowledged under another's id", line(r#"{"op":"ok","call":6,"id":"k-5"}"#), line(r#"{"op":"ok","call":6,"id":"k-4"}"#)),
        (Kept, "acknowledged and gone", r#",{"id":"k-5","text":"five"}]}"#.into(), "]}".into()),
        (Kept, "shown and gone, though nobody knows whether it was taken", r#",{"id":"k-4","text":"four"},{"id":"k-5","text":"five"}]}"#.into(), "]}".into()),
        (Kept, "a hole in what is kept", r#"{"id":"k-3","text":"three"},{"id":"k-4""#.into(), r#"{"id":"k-4""#.into()),
        (Kept, "more is gone than may be", r#""gone":1"#.into(), r#""gone":0"#.into()),
        (Kept, "all is kept in another incarnation", r#""kept":[{"id":"k-2","text":"two"},{"id":"k-3","text":"three"},{"id":"k-4","text":"four"},{"id":"k-5","text":"five"}]"#.into(), r#""kept":[]"#.into()),
        (RealTime, "a later one stands before an acknowledged one", line(r#"{"op":"ok","call":2,"id":"k-2"}"#), line(r#"{"op":"ok","call":2,"id":"k-6"}"#)),
        (Holes, "a message is left out in silence", line(&ann4), String::new()),
        (Holes, "backwards", format!("{ann4}\n{ann5}"), format!("{ann5}\n{ann4}")),
        (Holes, "twice", line(&ann2), format!("{ann2}\n{ann2}\n")),
        (Holes, "an incarnation that nobody was told of", ann5.clone(), ann5.replace("k-5", "x-5")),
        (Holes, "told to whoever has left", r#"{"op":"quiet"}"#.into(), format!("{{\"op\":\"leave\",\"stay\":\"ann\"}}\n{ann5}")),
        (Holes, "a hole of nothing", bob5.clone(), format!("{}\n{bob5}", gap_of(5, 0))),
        (Holes, "a word about a hole that is none", bob5.clone(), format!("{}\n{bob5}", gap_of(5, 1))),
        (Holes, "an own message that does not come is not a hole", r#","stay":"ann"}"#.into(), "}".into()),
        (Invented, "what nobody published", ann4.clone(), ann4.replace("four", "zero")),
        (Invented, "what was refused", ann4.clone(), told("ann", 4, "full")),
        (Invented, "one publication, two messages", line(&ann5), format!("{ann5}\n{}\n", told("ann", 6, "five"))),
        (Invented, "shown before it was published", line(r#"{"op":"ok","call":1,"id":"k-1"}"#), format!("{}\n{}\n", r#"{"op":"ok","call":1,"id":"k-1"}"#, told("ann", 2, "two"))),
        (Invented, "in another room", r#""call":5,"client":"b","room":"ops""#.into(), r#""call":5,"client":"b","room":"lobby""#.into()),
        (Invented, "an answer to nothing", r#"{"op":"quiet"}"#.into(), r#"{"op":"ok","call":99,"id":"k-9"}"#.into()),
        (ConnectionOrder, "one connection's in another order", format!("{four}\n{five}"), format!("{five}\n{four}")),
        (Since, "behind `since` something is left out in silence", line(gap), String::new()),
        (Since, "the hole behind `since` begins elsewhere", gap.into(), gap_of(3, 1)),
        (Since, "an incarnation is gone in silence", line(r#"{"op":"told","stay":"eve","epoch":"k"}"#), String::new()),
        (Since, "all begins anew for whoever knows this incarnation", gap.into(), r#"{"op":"told","stay":"bob","epoch":"k"}"#.into()),
        (Since, "a page leaves something out", r#""told":[{"id":"k-4","text":"four"},"#.into(), r#""told":["#.into()),
        (Since, "a page ends before what was there", r#",{"id":"k-5","text":"five"}],"known""#.into(), r#"],"known""#.into()),
        (Tail, "the last message never came", line(&bob5), String::new()),
        (Names, "a second holder", line(r#"{"op":"release","name":"ann","holder":"1"}"#), String::new()),
        (Names, "what another one releases is held still", r#""name":"ann","holder":"1"}"#.into(), r#""name":"ann","holder":"2"}"#.into()),
        (Bounds, "more than may be", r#""value":7"#.into(), r#""value":8"#.into()),
        (Ghosts, "a ghost, on another node", r#""names":["ann"],"at":31000"#.into(), r#""names":["ann","bob"],"at":31000"#.into()),
        (Ghosts, "a ghost that stays", r#""at":30999"#.into(), r#""at":31000"#.into()),
        (Holes, "the size of a hole", gap.into(), gap_of(2, 1)),
    ];
    for (rule, what, from, to) in mutants {
        assert_eq!(HISTORY.matches(&*from).count().min(1), 1, "{what}: nothing to spoil");
        let spoilt = HISTORY.replace(&*from, &to);
        let seen = faults(&spoilt, Promise::Durable);
        assert!(seen.contains(&rule), "{what}: {seen:?}");
    }
}

#[test]
fn an_incarnation_that_ended_excuses_what_was_volatile() {
    let restarted = HISTORY.replace(
        r#"{"op":"final","room":"ops","gone":1,"kept":[{"id":"k-2","text":"two"},{"id":"k-3","text":"three"},{"id":"k-4","text":"four"},{"id":"k-5","text":"five"}]}"#,
        r#"{"op":"invoke","call":7,"client":"b","room":"ops","text":"six"}
{"op":"ok","call":7,"id":"m-1"}
{"op":"told","stay":"ann","epoch":"m"}
{"op":"told","stay":"ann","id":"m-1","text":"six"}
{"op":"final","room":"ops","gone":0,"kept":[{"id":"m-1","text":"six"}]}"#,
    );
    assert_eq!(faults(&restarted, Promise::Volatile), []);
    let lost = faults(&restarted, Promise::Durable);
    assert!(lost.len() == 5 && lost.iter().all(|rule| *rule == Rule::Kept), "{lost:?}");
}

#[test]
fn what_is_written_is_read_again() {
    let recorder = Arc::new(Recorder::default());
    for event in read(HISTORY).unwrap() {
        recorder.note(event);
    }
    recorder.note(Event::Read { room: "ops".into(), since: Some(Id::new("k", 5)), told: Vec::new(), known: None });
    assert_eq!(read(&recorder.to_ndjson()).unwrap(), recorder.events());
    assert_eq!(read("{\"op\":\"ok\",\"call\":1,\"id\":\"k\"}").unwrap_err(), "line 1: no id: k");
}
