//! Whose a token is, by the file that `serve` would read: `switchboard token check`. Of one that is refused, which check failed.

use super::audit::Refused;
use super::jwt::claims::at_most_written;
use super::proof::{Proof, ProofKind};
use super::rules::{AdminRight, Direct, Grant, Rules};
use std::fmt::Write as _;
use switchboard::policy::Principal;
use switchboard::{Rights, UserName};

/// What is told of whom a token shows.
pub(crate) fn told(rules: &Rules, principal: &Principal, admin: Option<AdminRight>) -> String {
    let mut told = String::new();
    let name = principal.name().map_or("", UserName::as_str);
    let is_vouched = ProofKind::of(principal).is_some_and(ProofKind::is_vouched);
    let source = Proof::of(principal).filter(|_| is_vouched).map(Proof::source);
    // A text takes whatever is written.
    let _ = match &source {
        Some(source) => writeln!(told, "{name}, by {source}"),
        None => writeln!(told, "{name}, by tokens.{name}"),
    };
    let _ = match principal.expires() {
        Some(end) => writeln!(told, "until {}", humantime::format_rfc3339_seconds(at_most_written(end))),
        None => writeln!(told, "does not expire"),
    };
    let token = rules.tokens.iter().filter(|_| source.is_none()).find(|token| Some(&token.name) == principal.name());
    if let Some(token) = token.filter(|token| !token.from.is_empty()) {
        let from: Vec<_> = token.from.iter().map(ToString::to_string).collect();
        let _ = writeln!(told, "from {}", from.join(", "));
    }
    let groups: Vec<_> = principal.in_groups().collect();
    if !groups.is_empty() {
        let _ = writeln!(told, "in {}", groups.join(", "));
    }
    may(&mut told, principal.grants().iter().map(|(rooms, rights)| (rooms.as_str(), rights)), "its claim");
    write_to(&mut told, principal.direct().iter().map(switchboard::Glob::as_str), "its claim");
    if let Some(token) = token {
        given(&mut told, &token.grants, &token.direct, &format!("tokens.{name}"));
    }
    for group in rules.groups.iter().filter(|group| groups.contains(&group.name.as_str())) {
        given(&mut told, &group.grants, &group.direct, &format!("groups.{}", group.name));
    }
    if let Some(anonymous) = &rules.anonymous {
        given(&mut told, &anonymous.grants, &anonymous.direct, "anonymous");
    }
    for section in &rules.sections {
        let rooms = section.rooms.as_str();
        for (key, rights) in [("anyone", section.anyone), ("named", section.named)] {
            may(&mut told, rights.map(|(_, rights)| (rooms, rights)).into_iter(), &format!("rooms.\"{rooms}\".{key}"));
        }
        if section.only.is_some() {
            let _ = writeln!(told, "in \"{rooms}\" nobody else than rooms.\"{rooms}\".only says");
        }
    }
    if let Some(admin) = admin {
        let _ = writeln!(told, "may {} at the admin service", admin.word());
    }
    told
}

/// What is told of a token that is not taken.
pub(crate) fn refused(refused: Refused) -> String {
    match refused {
        Refused::Jwt(fault) => format!("refused: {fault}\n"),
        Refused::Unknown => "refused: it is nobody's: no [tokens.NAME] has its hash\n".to_owned(),
        Refused::Mistyped => "refused: it is mistyped or cut off\n".to_owned(),
        Refused::Expired => "refused: it has expired\n".to_owned(),
        Refused::Throttled | Refused::Signature => "refused: it was not looked at\n".to_owned(),
        Refused::Network => "refused: it may not come from here\n".to_owned(),
        Refused::Denied => "refused: the callout says no\n".to_owned(),
        Refused::NotIssued => "refused: the callout gives a name that it may not give, or too many rights\n".to_owned(),
        Refused::Unnamed(unnamed) => format!("refused: {}\n", unnamed.code()),
        Refused::Revoked(_) => "refused: an operator has revoked it\n".to_owned(),
        Refused::Unanswered => "refused for now: the callout does not answer\n".to_owned(),
    }
}

fn given(told: &mut String, grants: &[Grant], direct: &[Direct], by: &str) {
    may(told, grants.iter().map(|grant| (grant.rooms.as_str(), grant.rights)), by);
    write_to(told, direct.iter().map(|direct| direct.names.as_str()), by);
}

fn may<'a>(told: &mut String, grants: impl Iterator<Item = (&'a str, Rights)>, by: &str) {
    for (rooms, rights) in grants {
        let _ = writeln!(told, "may {rights} in \"{rooms}\" ({by})");
    }
}

fn write_to<'a>(told: &mut String, direct: impl Iterator<Item = &'a str>, by: &str) {
    for names in direct {
        let _ = writeln!(told, "may write to \"{names}\" ({by})");
    }
}
