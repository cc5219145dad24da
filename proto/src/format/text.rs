//! Lines for people. A peer's bytes can neither drive a terminal nor forge a second line.
//!
//! The first character tells what a line is: `[` a message, `@` a message to you alone, `*` a notice or an answer,
//! `!` an error.

use super::runs::Table;
use super::time;
use crate::{Authenticated, Command, Failure, GroupName, Message, Notice, Reply, RoomName};
use bytes::Bytes;
use std::fmt::Display;
use std::time::SystemTime;

pub(super) fn message(message: &Message, out: &mut Vec<u8>) {
    let from = message.from.as_ref().map_or("", |from| from.as_str());
    // The most there is beside names and payload: `[] : `.
    out.reserve(message.room.as_str().len() + from.len() + message.payload.len() + 5);
    out.push(b'[');
    out.extend_from_slice(message.room.as_str().as_bytes());
    out.extend_from_slice(b"] ");
    if !from.is_empty() {
        out.extend_from_slice(from.as_bytes());
        out.extend_from_slice(b": ");
    }
    clean(&message.payload, out);
}

pub(super) fn notice(notice: &Notice) -> Bytes {
    let line = match notice {
        Notice::Joined { room, name } => format!("* [{room}] {name} joined"),
        Notice::Left { room, name } => format!("* [{room}] {name} left"),
        Notice::Presence { room, joined, left, renamed, members } => {
            let renamed = if *renamed > 0 { format!(", {renamed} renamed") } else { String::new() };
            format!("* [{room}] {joined} joined, {left} left{renamed}: {}", counted(*members, "member"))
        }
        Notice::Renamed { room, from, to } => format!("* [{room}] {from} is now {to}"),
        Notice::Gap { room, lost, from_seq } => {
            format!("* [{room}] lost {}, from {from_seq}", counted(*lost, "message"))
        }
        Notice::Reset { room, epoch } => format!("* [{room}] started over as {epoch}: earlier messages are gone"),
        Notice::Removed { room } => format!("* [{room}] you were removed: not allowed"),
        Notice::Head { room, id, repair } => {
            let repair = repair.as_ref().map_or_else(String::new, |url| format!("; what is lost is at {url}"));
            format!("* [{room}] is at {id}{repair}")
        }
        Notice::Announcement { text } => return [b"* announcement: ", &text[..]].concat().into(),
        Notice::Expiring { seconds } => format!("* your authorization ends in {seconds} s"),
        Notice::Named { name } => format!("* you are {name}"),
        Notice::Closed { reason } => format!("* closed: {reason}"),
    };
    line.into()
}

/// Everything but help, which is several lines.
pub(super) fn reply(reply: &Reply) -> Bytes {
    let line = match reply {
        Reply::Welcome { name, room } => {
            format!("* you are {name} in {}; /help lists the commands", or_no_room(room.as_ref()))
        }
        Reply::Joined { room, members, id, may: _ } => {
            format!("* [{room}] you joined at {id}: {}", counted(*members, "member"))
        }
        Reply::Left { room, current } => format!("* [{room}] you left; now in {}", or_no_room(current.as_ref())),
        Reply::Named { name } => format!("* you are {name}"),
        Reply::Who { room, members, total } => {
            format!("* [{room}] {}{}", counted(*total, "member"), listed(members, *total))
        }
        Reply::Rooms { rooms, total } => {
            let rooms: Vec<_> = rooms.iter().map(|room| format!("{} ({})", room.name, room.members)).collect();
            format!("* {}{}", counted(*total, "room"), listed(&rooms, *total))
        }
        Reply::Direct { from, text } => {
            let mut line = format!("@{from}: ").into_bytes();
            clean(text, &mut line);
            return line.into();
        }
        Reply::History { room, count } => format!("* [{room}] {} of history", counted(*count, "message")),
        Reply::Published { room, id, .. } => format!("* [{room}] published as {id}"),
        Reply::Formatted { format } => format!("* format is {format}"),
        Reply::Authorized { name, expires } => {
            let name = name.as_ref().map_or_else(String::new, |name| format!(" as {name}"));
            format!("* authorized{name}{}", until(" until ", *expires))
        }
        Reply::You { name, authenticated: None } => format!("* you are {name}, not authenticated"),
        Reply::You { name, authenticated: Some(Authenticated { groups, expires }) } => {
            let groups: Vec<_> = groups.iter().map(GroupName::as_str).collect();
            let groups = if groups.is_empty() { "no group".to_owned() } else { groups.join(" and ") };
            format!("* you are {name}, in {groups}{}", until(", until ", *expires))
        }
        Reply::Ticket { ticket, expires } => {
            format!("* ticket {}{}", ticket.reveal(), until(" until ", Some(*expires)))
        }
        Reply::Clock { milliseconds } => format!("* clock {milliseconds}"),
        Reply::Challenge { cookie } => format!("cookie={cookie}"),
        Reply::Pong => "* pong".to_owned(),
        Reply::Help => "* /help".to_owned(),
        Reply::Bye => "* bye".to_owned(),
    };
    line.into()
}

pub(super) fn help() -> Vec<Bytes> {
    let commands = Command::HELP.iter().map(|(usage, what)| format!("* {usage:<35} {what}").into());
    let rest = ["* Anything else is published to the current room; to begin with one /, type //."];
    commands.chain(rest.map(|line| Bytes::from_static(line.as_bytes()))).collect()
}

pub(super) fn failure(failure: &Failure) -> Bytes {
    let mut line = format!("! {}: ", failure.code).into_bytes();
    clean(failure.text.as_bytes(), &mut line);
    line.into()
}

/// What a peer's text may not hold.
const CLEANED: Table = Table::new(b"");

/// Appends a peer's bytes as text: U+FFFD for what is not UTF-8, a space for each forbidden character.
fn clean(bytes: &[u8], out: &mut Vec<u8>) {
    // A replacement has three bytes, and stands for one or more.
    out.reserve(if str::from_utf8(bytes).is_ok() { bytes.len() } else { bytes.len() * 3 });
    for chunk in bytes.utf8_chunks() {
        CLEANED.split(chunk.valid(), |run, special| {
            out.extend_from_slice(run);
            if !special.is_empty() {
                out.push(b' ');
            }
        });
        if !chunk.invalid().is_empty() {
            out.extend_from_slice("\u{fffd}".as_bytes());
        }
    }
}

fn until(before: &str, expires: Option<SystemTime>) -> String {
    expires.map_or_else(String::new, |time| format!("{before}{}", time::with_seconds(time)))
}

fn counted(count: impl Display + PartialEq + From<u8>, noun: &str) -> String {
    let plural = if count == 1.into() { "" } else { "s" };
    format!("{count} {noun}{plural}")
}

/// What is shown of `total` things, behind their number.
fn listed(shown: &[impl Display], total: usize) -> String {
    let mut list = String::new();
    for (index, item) in shown.iter().enumerate() {
        list += if index == 0 { ": " } else { ", " };
        list += &item.to_string();
    }
    let more = total.saturating_sub(shown.len());
    if more > 0 && !shown.is_empty() {
        list += ", and ";
        list += &more.to_string();
        list += " more";
    }
    list
}

fn or_no_room(room: Option<&RoomName>) -> &str {
    room.map_or("no room", RoomName::as_str)
}
