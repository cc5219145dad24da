//! What those who come back are told, and what a room keeps for them.

use super::{numbered, publish_numbers};
use crate::harness::node::{Node, heard, shown, told};
use crate::harness::patience::secs;
use std::collections::BTreeSet;
use std::sync::Arc;
use switchboard::grammar::{Epoch, Message, Notice};
use switchboard::prelude::*;
use switchboard::{Format, HubLimits, Join, JoinError, MessageId, Page, UserName};

// Coming back.

#[tokio::test(start_paused = true)]
async fn since_brings_what_was_missed_and_then_what_comes() {
    for (since, first) in [(0, 1), (3, 4), (5, 6)] {
        let mut node = Node::start().await;
        let lobby = node.quiet("lobby");
        let last = publish_numbers(&lobby, 5);
        let since = Some(MessageId { seq: since, ..last });
        let mut member = node.join(&lobby, Format::Text, Join { since, ..Join::default() }).await;
        lobby.publish("6");
        assert_eq!(member.seat.joined_at(), last);
        assert_eq!(member.heard().await, numbered(first..=6), "since {since:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn since_within_a_tick_brings_nothing_twice() {
    let mut node = Node::start().await;
    let lobby = node.quiet("lobby");
    let other = node.member("lobby").await;
    let (mut peer, conn) = node.connect().await;
    let me = node.hub.enter(&conn, Format::Text);
    let first = shown(lobby.publish("1"));
    lobby.publish("2");
    let seat = me.join(&lobby, Join { since: Some(first), ..Join::default() }).unwrap();
    lobby.publish("3");
    assert_eq!(heard(&mut peer).await, numbered(2..=3));
    drop((seat, other));
}

#[tokio::test(start_paused = true)]
async fn a_gap_that_the_history_does_not_fill_is_told_first() {
    let mut node = Node::limited(HubLimits { history_messages: 3, ..HubLimits::default() }).await;
    let lobby = node.quiet("lobby");
    let last = publish_numbers(&lobby, 10);
    let join = |seq| Join { since: Some(MessageId { seq, ..last }), ..Join::default() };
    let mut member = node.join(&lobby, Format::Text, join(4)).await;
    let mut expected = vec!["* [lobby] lost 3 messages, from 5".to_owned()];
    expected.extend(numbered(8..=10));
    assert_eq!(member.heard().await, expected);
    let mut member = node.join(&lobby, Format::Json, join(6)).await;
    let objects = told(&mut member.peer).await;
    assert_eq!(
        (&objects[0]["event"], &objects[0]["lost"], &objects[0]["from_seq"]),
        (&"gap".into(), &1.into(), &7.into())
    );
    assert_eq!(objects[1..].iter().map(|object| object["seq"].as_u64().unwrap()).collect::<Vec<_>>(), [8, 9, 10]);
    let mut exactly = node.join(&lobby, Format::Text, join(7)).await;
    assert_eq!(exactly.heard().await, numbered(8..=10), "nothing is lost");
}

#[tokio::test(start_paused = true)]
async fn without_a_history_all_that_was_missed_is_a_gap() {
    let mut node = Node::limited(HubLimits { history_messages: 0, ..HubLimits::default() }).await;
    let lobby = node.quiet("lobby");
    let first = shown(lobby.publish("1"));
    lobby.publish("2");
    let mut member = node.join(&lobby, Format::Text, Join { since: Some(first), ..Join::default() }).await;
    lobby.publish("3");
    assert_eq!(member.heard().await, ["* [lobby] lost 1 message, from 2", "[lobby] 3"]);
    assert!(lobby.history(9).is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_id_of_another_epoch_is_a_reset_and_brings_what_there_is() {
    let mut node = Node::start().await;
    let lobby = node.quiet("lobby");
    lobby.publish("1");
    let last = shown(lobby.publish("2"));
    let reset = format!("* [lobby] started over as {}: earlier messages are gone", last.epoch);
    let strange = [MessageId { epoch: Epoch::new(1), seq: 1 }, MessageId { epoch: Epoch::new(1), seq: u64::MAX }];
    for since in strange {
        let mut member = node.join(&lobby, Format::Text, Join { since: Some(since), ..Join::default() }).await;
        assert_eq!(member.heard().await, [reset.as_str(), "[lobby] 1", "[lobby] 2"], "since {since}");
    }
}

#[tokio::test(start_paused = true)]
async fn behind_an_id_that_was_not_given_out_yet_there_is_nothing() {
    let mut node = Node::start().await;
    let lobby = node.quiet("lobby");
    lobby.publish("1");
    for seq in [2, 3, u64::MAX] {
        let last = lobby.last_id();
        for format in [Format::Text, Format::Raw] {
            let since = Some(MessageId { seq: seq.max(last.seq + 1), ..last });
            let mut member = node.join(&lobby, format, Join { since, ..Join::default() }).await;
            assert_eq!(member.seat.joined_at(), lobby.last_id());
            assert_eq!(member.heard().await, [""; 0], "since {since:?}");
            lobby.publish("next");
            assert!(member.heard().await[0].ends_with("next"));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_raw_member_comes_back_to_all_that_it_missed_or_not_at_all() {
    let mut node = Node::limited(HubLimits { history_messages: 3, ..HubLimits::default() }).await;
    let lobby = node.quiet("lobby");
    let last = publish_numbers(&lobby, 5);
    let (_peer, conn) = node.connect().await;
    let me = node.hub.enter(&conn, Format::Raw);
    let gone = [
        MessageId { seq: 1, ..last },
        MessageId { epoch: Epoch::new(1), seq: 1 },
        MessageId { epoch: Epoch::new(1), seq: u64::MAX },
    ];
    for since in gone {
        let joined = me.join(&lobby, Join { since: Some(since), ..Join::default() });
        assert_eq!(joined.unwrap_err(), JoinError::Gone { since });
        assert_eq!(lobby.member_count(), 0);
    }
    let mut member =
        node.join(&lobby, Format::Raw, Join { since: Some(MessageId { seq: 2, ..last }), ..Join::default() }).await;
    assert_eq!(member.heard().await, ["3", "4", "5"]);
    // Where it is it stays, and where a gap can be told it comes back.
    let first = gone[0];
    assert_eq!(member.seat.resume(first), Err(JoinError::Gone { since: first }));
    member.me.set_format(Format::Text);
    member.seat.set_format(Format::Text);
    assert_eq!(member.seat.resume(first), Ok(last));
    assert_eq!(member.heard().await, ["* [lobby] lost 1 message, from 2", "[lobby] 3", "[lobby] 4", "[lobby] 5"]);
}

#[tokio::test(start_paused = true)]
async fn a_raw_member_that_knows_nothing_gets_all_there_is() {
    let mut node = Node::limited(HubLimits { history_messages: 3, ..HubLimits::default() }).await;
    let lobby = node.quiet("lobby");
    let last = publish_numbers(&lobby, 5);
    for epoch in [last.epoch, Epoch::new(0)] {
        let since = Some(MessageId { epoch, seq: 0 });
        let mut member = node.join(&lobby, Format::Raw, Join { since, ..Join::default() }).await;
        assert_eq!(member.heard().await, ["3", "4", "5"]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_member_resumes_where_it_is() {
    let mut node = Node::limited(HubLimits { history_messages: 2, ..HubLimits::default() }).await;
    let lobby = node.quiet("lobby");
    let mut member = node.member("lobby").await;
    let first = shown(lobby.publish("1"));
    for number in 2..=4 {
        lobby.publish(number.to_string());
    }
    assert_eq!(member.heard().await, numbered(1..=4));
    assert_eq!(member.seat.resume(first), Ok(lobby.last_id()));
    lobby.publish("5");
    assert_eq!(member.heard().await, ["* [lobby] lost 1 message, from 2", "[lobby] 3", "[lobby] 4", "[lobby] 5"]);
}

// The history.

#[tokio::test(start_paused = true)]
async fn a_history_keeps_the_last_messages() {
    let hub = Hub::with_limits(HubLimits { history_messages: 3, ..HubLimits::default() });
    let lobby = hub.room("lobby").unwrap();
    let http = hub.session(UserName::http(), Format::Json).unwrap();
    for number in 1..=5 {
        http.publish(&lobby, number.to_string()).unwrap();
    }
    let kept = |count| lobby.history(count).iter().map(|message| message.id.seq).collect::<Vec<_>>();
    assert_eq!(kept(99), [3, 4, 5]);
    assert_eq!(kept(2), [4, 5]);
    assert_eq!(kept(0), [0; 0]);
    let last = &lobby.history(1)[0];
    assert_eq!(
        (last.room.as_str(), &last.payload[..], last.from.clone()),
        ("lobby", &b"5"[..], Some(UserName::http()))
    );
}

#[tokio::test(start_paused = true)]
async fn a_replay_keeps_nothing_alive_and_what_was_turned_over_meanwhile_is_a_gap() {
    let mut node = Node::limited(HubLimits { history_messages: 4, ..HubLimits::default() }).await;
    let lobby = node.quiet("lobby");
    // More than a pipe takes: the reader has the first, and the rest waits.
    let publish = |round: u64| (0..4).for_each(|number| _ = lobby.publish(format!("{round}{number}").repeat(20_000)));
    publish(1);
    let since = Some(lobby.before_last(4));
    let mut slow = node.join(&lobby, Format::Text, Join { since, ..Join::default() }).await;
    let raw = node.join(&lobby, Format::Raw, Join { since, ..Join::default() }).await;
    tokio::time::sleep(secs(1)).await;
    let last = Arc::downgrade(&lobby.history(1)[0]);
    drop(slow.seat);
    publish(2);
    assert!(last.upgrade().is_none(), "the past is kept alive by whoever does not read it");
    let heard = heard(&mut slow.peer).await;
    let shown: Vec<_> = heard.iter().map(|line| &line[..line.len().min(34)]).collect();
    let got = shown.iter().filter(|line| line.starts_with("[lobby] 1")).count();
    assert_eq!(
        shown[got..],
        [format!("* [lobby] lost {} message{}, from {}", 4 - got, if got == 3 { "" } else { "s" }, got + 1)]
    );
    // Payloads alone leave no place to tell of that.
    let mut peer = raw.peer;
    peer.rest().await.unwrap_err();
    assert_eq!(node.handle.metrics().closed(CloseReason::SlowConsumer), 1);
}

#[tokio::test(start_paused = true)]
async fn a_replay_behind_one_that_nobody_reads_keeps_nothing_alive_either() {
    let mut node = Node::limited(HubLimits { history_messages: 1, ..HubLimits::default() }).await;
    let (lobby, other) = (node.quiet("lobby"), node.quiet("other"));
    // More than a pipe takes.
    lobby.publish("x".repeat(100_000));
    other.publish("past");
    let behind = |room: &Room| Join { since: Some(room.before_last(1)), ..Join::default() };
    let mut slow = node.join(&lobby, Format::Text, behind(&lobby)).await;
    let _other = slow.me.join(&other, behind(&other)).unwrap();
    tokio::time::sleep(secs(1)).await;
    let past = Arc::downgrade(&other.history(1)[0]);
    other.publish("present");
    assert!(past.upgrade().is_none());
    assert_eq!(slow.heard().await[1..], ["* [other] lost 1 message, from 1", "[other] present"]);
}

#[tokio::test(start_paused = true)]
async fn a_past_by_pages_is_the_past() {
    let node = Node::limited(HubLimits { history_messages: 6, ..HubLimits::default() }).await;
    let lobby = node.quiet("lobby");
    assert_eq!(lobby.before_last(9), lobby.last_id());
    assert!(lobby.page(lobby.last_id(), 9).messages.is_empty());
    let last = publish_numbers(&lobby, 10);
    let numbers = |page: &[Arc<Message>]| page.iter().map(|message| message.id.seq).collect::<Vec<_>>();
    assert_eq!([0, 1, 6, 7, usize::MAX].map(|count| lobby.before_last(count).seq), [10, 9, 4, 4, 4]);
    let Page { notice: gap, messages: page, .. } = lobby.page(MessageId { seq: 2, ..last }, 3);
    assert_eq!(
        (gap, numbers(&page)),
        (Some(Notice::Gap { room: lobby.name().clone(), lost: 2, from_seq: 3 }), vec![5, 6, 7])
    );
    let Page { notice: gap, messages: page, .. } = lobby.page(page[2].id, 9);
    assert_eq!((gap, numbers(&page)), (None, vec![8, 9, 10]));
    let rest = lobby.page(last, 9);
    assert_eq!((rest.notice, rest.messages), (None, Vec::new()));
    let Page { notice: reset, messages: page, .. } = lobby.page(MessageId { epoch: Epoch::new(1), seq: 11 }, 2);
    assert_eq!(
        (reset, numbers(&page)),
        (Some(Notice::Reset { room: lobby.name().clone(), epoch: last.epoch }), vec![5, 6])
    );
}

// What docs/protocol.md says of what may come twice.

#[tokio::test(start_paused = true)]
async fn a_member_that_resumes_is_told_again_and_then_each_message_once() {
    let mut node = Node::start().await;
    let mut member = node.member("lobby").await;
    let lobby = node.quiet("lobby");
    let first = shown(lobby.publish("1"));
    lobby.publish("2");
    assert_eq!(member.heard().await, numbered(1..=2));
    lobby.publish("3");
    // Before the tick that tells 3 to it.
    let at = member.seat.resume(first).unwrap();
    lobby.publish("4");
    assert_eq!(at.seq, 3);
    assert_eq!(member.heard().await, numbered(2..=4));
}

/// Whoever answers behind `resume` says where the past begins: nothing of the room comes between.
#[tokio::test(start_paused = true)]
async fn behind_the_answer_to_a_resume_comes_the_past_and_then_what_follows() {
    // More than the tick delivers in one turn.
    const LAST: u32 = 400;
    for (rooms, leaves) in [(1, false), (1, true), (2, false)] {
        let mut early = BTreeSet::new();
        for moment in 0..8 {
            let mut node =
                Node::limited(HubLimits { history_messages: 500, history_bytes: 4 << 20, ..HubLimits::default() })
                    .await;
            let lobby = node.quiet("lobby");
            let others = [node.member("lobby").await, node.member("lobby").await];
            let mut member = node.member("lobby").await;
            let other = (rooms == 2).then(|| member.me.join(&node.quiet("other"), Join::default()).unwrap());
            let first = shown(lobby.publish("first"));
            member.heard().await;
            (2..LAST).for_each(|number| _ = lobby.publish(format!("{number} {}", "x".repeat(1500))));
            for _ in 0..moment {
                tokio::task::yield_now().await;
            }
            if leaves {
                drop(member.seat);
                member.seat = member.me.join(&lobby, Join { since: Some(first), ..Join::default() }).unwrap();
            } else {
                member.seat.resume(first).unwrap();
            }
            member.conn.send("joined").await.unwrap();
            lobby.publish(LAST.to_string());
            let heard = member.heard().await;
            let joined = heard.iter().position(|line| line == "joined").unwrap();
            early.insert(joined);
            let numbers = heard[joined + 1..].iter().map(|line| line.split(' ').nth(1).unwrap().parse().unwrap());
            assert_eq!(numbers.collect::<Vec<u32>>(), (2..=LAST).collect::<Vec<_>>(), "{rooms}, {leaves}, {moment}");
            drop((others, other));
        }
        assert!(early.len() > 2, "never in the middle of a tick: {early:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_resume_repeats_is_told_and_counted_once() {
    let mut node = Node::limited(HubLimits { history_messages: 2, ..HubLimits::default() }).await;
    let lobby = node.quiet("lobby");
    let mut raw = node.join(&lobby, Format::Raw, Join::default()).await;
    let mut member = node.member("lobby").await;
    let first = shown(lobby.publish("1"));
    assert_eq!((raw.heard().await, member.heard().await), (vec!["1".to_owned()], numbered(1..=1)));
    // A line cannot carry the first of them.
    lobby.publish("2\n2");
    lobby.publish("3");
    raw.seat.resume(first).unwrap();
    member.seat.resume(first).unwrap();
    assert_eq!(
        (raw.heard().await, member.heard().await),
        (vec!["3".to_owned()], vec!["[lobby] 2 2".to_owned(), "[lobby] 3".to_owned()])
    );
    raw.seat.set_format(Format::Text);
    assert_eq!(raw.heard().await, ["* [lobby] lost 1 message, from 2"]);
    // Once more than one is on its way, each is told.
    member.seat.resume(lobby.before_last(1)).unwrap();
    lobby.publish("4");
    member.seat.resume(lobby.before_last(1)).unwrap();
    lobby.publish("5");
    assert_eq!(member.heard().await, numbered(3..=5));
}

#[tokio::test(start_paused = true)]
async fn a_replay_holds_ones_own_messages_though_they_do_not_come_back_live() {
    let mut node = Node::start().await;
    let mut alice = node.member("lobby").await;
    let first = shown(alice.seat.publish("1").unwrap());
    alice.seat.publish("2").unwrap();
    assert_eq!(alice.heard().await, [""; 0]);
    alice.seat.resume(MessageId { seq: 0, ..first }).unwrap();
    assert_eq!(alice.heard().await, ["[lobby] guest-1: 1", "[lobby] guest-1: 2"]);
}

/// Nobody knows how many messages another incarnation had; of this one the first number tells.
#[tokio::test(start_paused = true)]
async fn behind_a_reset_comes_all_that_is_kept_and_no_gap() {
    let mut node = Node::limited(HubLimits { history_messages: 2, ..HubLimits::default() }).await;
    let lobby = node.quiet("lobby");
    let last = publish_numbers(&lobby, 5);
    let join = Join { since: Some(MessageId { epoch: Epoch::new(0), seq: 3 }), ..Join::default() };
    let mut member = node.join(&lobby, Format::Text, join).await;
    let reset = format!("* [lobby] started over as {}: earlier messages are gone", last.epoch);
    assert_eq!(member.heard().await, [vec![reset], numbered(4..=5)].concat());
}
