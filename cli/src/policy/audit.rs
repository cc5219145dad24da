//! Who was let in, who was not, and what was denied: events for whoever looks after the server, and no secret in them.
//!
//! What anybody can cause without end is told at most ten times a second, and then how often it was not.

mod event;
mod recent;
mod repeats;

pub(crate) use recent::Recorded;

use super::callout::NoAnswer;
use super::jwt::fault::JwtFault;
use super::peers::Unnamed;
use super::tally::Tally;
use crate::logging::file::LineFile;
use crate::web::access;
use event::AuditEvent;
use parking_lot::{Mutex, RwLock};
use recent::Recent;
use repeats::Repeats;
use std::fs::File;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};
use switchboard::policy::{Claimant, Principal, Refusal};
use switchboard::{Ban, Bucket, PeerAddr, Rate, RoomName, UserName};
use tokio::sync::watch;
use tokio::time::Instant;
use tracing::warn;

/// Of all events, whatever file writes them.
pub(crate) const TARGET: &str = "switchboard::audit";

/// Events of one kind a second, and at once.
const MOST: (u32, u32) = (10, 10);

/// What is told, and how much of it lately.
#[derive(Debug)]
pub(crate) struct Audit {
    started: Instant,
    /// The number of the next event: a gap in them is one in the file.
    next: AtomicU64,
    authenticated: Mutex<Withheld>,
    repeats: Mutex<Repeats>,
    refused: Mutex<Withheld>,
    denied: Mutex<Withheld>,
    expired: Mutex<Withheld>,
    banned: Mutex<Withheld>,
    /// Without one it is told in the log.
    file: RwLock<Option<LineFile>>,
    unanswered: Mutex<Withheld>,
    recent: Recent,
    /// How often each was, told or not.
    pub(crate) tally: Tally,
}

/// Why a token was not taken. Whoever shows it is told no more than it has to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    Unknown,
    Mistyped,
    /// It is somebody's, and may not come from there.
    Network,
    Expired,
    /// It was not looked at.
    Throttled,
    /// A datagram was not signed by whom it names, or is not new.
    Signature,
    Jwt(JwtFault),
    /// By whoever was asked.
    Denied,
    /// Whoever was asked gave a name that is not its to give, or more rights than one may have.
    NotIssued,
    /// Nobody can say.
    Unanswered,
    /// A certificate that names nobody here.
    Unnamed(Unnamed),
    /// An operator has revoked what was shown, by this method.
    Revoked(&'static str),
}

impl Refused {
    pub(crate) fn code(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Mistyped => "mistyped",
            Self::Network => "network",
            Self::Expired => "expired",
            Self::Throttled => "throttled",
            Self::Signature => "signature",
            Self::Jwt(fault) => fault.code(),
            Self::Denied => "callout",
            Self::NotIssued => "callout-name",
            Self::Unanswered => "callout-unavailable",
            Self::Unnamed(unnamed) => unnamed.code(),
            Self::Revoked(_) => "revoked",
        }
    }

    /// Of what it was refused.
    pub(super) fn method(self) -> &'static str {
        match self {
            Self::Unknown | Self::Mistyped | Self::Network | Self::Expired | Self::Throttled => "token",
            Self::Signature => "datagram",
            Self::Jwt(_) => "jwt",
            Self::Denied | Self::NotIssued | Self::Unanswered => "callout",
            Self::Unnamed(_) => "certificate",
            Self::Revoked(method) => method,
        }
    }

    pub(crate) fn refusal(self) -> Refusal {
        match self {
            Self::Expired | Self::Jwt(JwtFault::Expired) => Refusal::Expired,
            Self::Throttled => Refusal::Throttled,
            Self::Jwt(JwtFault::Unavailable) | Self::Unanswered => Refusal::Unavailable,
            _ => Refusal::Wrong,
        }
    }
}

/// Events that were not told since the last one.
#[derive(Debug, Default)]
struct Withheld {
    bucket: Bucket,
    count: u64,
}

impl Withheld {
    /// How many were withheld before this one; none if this one is too.
    fn take(&mut self, now: Duration) -> Option<u64> {
        let (per_second, burst) = MOST;
        if self.bucket.take(now, Rate::new(per_second, burst)).is_err() {
            self.count += 1;
            return None;
        }
        Some(std::mem::take(&mut self.count))
    }
}

impl Default for Audit {
    fn default() -> Self {
        let (next, authenticated, repeats, refused, denied, expired) = Default::default();
        let (banned, unanswered, file, recent, tally) = Default::default();
        Self {
            started: Instant::now(),
            next,
            authenticated,
            repeats,
            refused,
            denied,
            expired,
            banned,
            unanswered,
            file,
            recent,
            tally,
        }
    }
}

impl Audit {
    /// From now on what happens is written to `file`, or told in the log.
    pub(crate) fn replace(&self, file: Option<File>) -> io::Result<()> {
        LineFile::replace(&self.file, "audit", file)
    }

    /// At most `limit` of the latest events from number `from` on, the oldest first.
    pub(crate) fn events_from(&self, from: u64, limit: usize, takes: impl Fn(&Recorded) -> bool) -> Vec<Recorded> {
        self.recent.from(from, limit, takes)
    }

    /// The newest `limit` events, the oldest first.
    pub(crate) fn newest_events(&self, limit: usize, takes: impl Fn(&Recorded) -> bool) -> Vec<Recorded> {
        self.recent.newest(limit, takes)
    }

    /// The number of the next event, now and whenever there is one more.
    pub(crate) fn follow(&self) -> watch::Receiver<u64> {
        self.recent.follow()
    }

    /// Lines that its file did not take.
    pub(crate) fn lost_lines(&self) -> u64 {
        self.file.read().as_ref().map(LineFile::lost_lines).unwrap_or_default()
    }

    /// Writes what waits.
    pub(crate) fn finish(&self) {
        if let Some(file) = &*self.file.read() {
            file.finish();
        }
    }

    fn tell(&self, event: AuditEvent<'_>) {
        let trace = access::trace();
        let event = AuditEvent { trace: trace.as_deref(), ..event };
        let file = self.file.read();
        // A number alone: it guards nothing.
        let seq = self.next.fetch_add(1, Ordering::Relaxed);
        let mut line = event.line(seq, SystemTime::now());
        match &*file {
            Some(file) => file.append(&line),
            None => event.log(seq),
        }
        line.pop();
        self.recent.add(Recorded { seq, event: event.event, line });
    }

    /// Tells of what anybody can cause, if there was not too much of its `kind` lately. Nothing is made of what is not told.
    fn tell_some<'a>(&self, kind: &Mutex<Withheld>, event: impl FnOnce() -> AuditEvent<'a>) {
        let withheld = kind.lock().take(self.started.elapsed());
        if let Some(withheld) = withheld {
            self.tell(AuditEvent { withheld, ..event() });
        }
    }

    /// A token was taken: a connection's, or a request's, of which there may be many, so that those of one are told of once a minute.
    pub(crate) fn authenticated(&self, principal: &Principal, claimant: &Claimant) {
        self.tally.authenticated(principal);
        if self.repeats.lock().has(principal, claimant, self.started.elapsed()) {
            self.authenticated.lock().count += 1;
            return;
        }
        let event = || AuditEvent::of("authenticated", principal, &claimant.address).from(claimant);
        self.tell_some(&self.authenticated, event);
    }

    /// A token was not taken; `id` is what a well-formed one calls itself.
    pub(crate) fn refused(&self, refused: Refused, id: Option<&str>, claimant: &Claimant) {
        self.tally.refused(refused);
        let (event, reason) = ("refused", Some(refused.code()));
        let event = || AuditEvent { event, token: id, reason, ..AuditEvent::default() }.from(claimant);
        self.tell_some(&self.refused, event);
    }

    /// Whoever is asked whose tokens are did not say.
    pub(crate) fn unanswered(&self, why: &NoAnswer) {
        if let Some(withheld) = self.unanswered.lock().take(self.started.elapsed()) {
            warn!(error = why.to_string(), withheld, "the callout gave no answer");
        }
    }

    /// Something was asked for that its principal may not do.
    pub(crate) fn denied(&self, principal: &Principal, claimant: &Claimant, action: &str, room: Option<&RoomName>) {
        self.tally.denied(action);
        let event = || AuditEvent {
            action: Some(action),
            room: room.map(RoomName::as_str),
            ..AuditEvent::of("denied", principal, &claimant.address).from(claimant)
        };
        self.tell_some(&self.denied, event);
    }

    /// A connection is closed since its credential has expired.
    pub(crate) fn expired(&self, principal: &Principal, claimant: &Claimant) {
        let event = || AuditEvent::of("expired", principal, &claimant.address).from(claimant);
        self.tell_some(&self.expired, event);
    }

    /// A request was not answered, since nobody may come from there.
    pub(crate) fn banned(&self, ban: &Ban, address: &PeerAddr) {
        let reason = if ban.reason.is_empty() { String::new() } else { format!(": {}", ban.reason) };
        let reason = format!("{}{reason}", ban.network);
        let (event, address, reason) = ("banned", Some(address), Some(reason.as_str()));
        self.tell_some(&self.banned, || AuditEvent { event, address, reason, ..AuditEvent::default() });
    }

    /// An operator has done something to the server: by a token, or as the user of a Unix socket, which is its `source` then.
    pub(crate) fn acted(
        &self,
        by: Option<&Principal>,
        source: Option<String>,
        address: &PeerAddr,
        action: &str,
        arguments: &str,
    ) {
        let event = match by {
            Some(principal) => AuditEvent::of("admin", principal, address),
            None => AuditEvent { event: "admin", source, address: Some(address), ..AuditEvent::default() },
        };
        let reason = (!arguments.is_empty()).then_some(arguments);
        self.tell(AuditEvent { action: Some(action), reason, ..event });
    }

    /// Nobody may come from these networks from now on, and so many were there.
    pub(crate) fn bans(&self, networks: &str, reset: usize) {
        let reason = format!("{networks}; connections reset: {reset}");
        self.tell(AuditEvent { event: "banned", reason: Some(&reason), ..AuditEvent::default() });
    }

    /// A token is not in the file any more.
    pub(crate) fn revoked(&self, name: &UserName, token: &str) {
        let (principal, source) = (Some(name.as_str()), Some("token".to_owned()));
        self.tell(AuditEvent { event: "revoked", principal, source, token: Some(token), ..AuditEvent::default() });
    }

    /// Whoever has vouched for somebody does not any more.
    pub(crate) fn unrenewed(&self, principal: &Principal, claimant: &Claimant) {
        self.tell(AuditEvent::of("revoked", principal, &claimant.address).from(claimant));
    }

    /// The file was read again, and is in force: `changed` says what is other in it.
    pub(crate) fn reloaded(&self, changed: &str) {
        let reason = Some(if changed.is_empty() { "nothing changed" } else { changed });
        self.tell(AuditEvent { event: "reloaded", reason, ..AuditEvent::default() });
    }

    /// The file was read again, and is not in force.
    pub(crate) fn reload_refused(&self, reason: &str) {
        self.tell(AuditEvent { event: "reload-refused", reason: Some(reason), ..AuditEvent::default() });
    }

    /// The server has ended, having let its connections finish. The log says so already.
    pub(crate) fn drained(&self, told: &str) {
        if self.file.read().is_some() {
            self.tell(AuditEvent { event: "drained", reason: Some(told), ..AuditEvent::default() });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_without_end_is_told_ten_times_a_second() {
        let mut withheld = Withheld::default();
        let at = Duration::from_millis;
        let told = (0..1000).filter(|_| withheld.take(at(0)).is_some()).count();
        assert_eq!(told, 10);
        assert_eq!(withheld.take(at(100)), Some(990));
        assert_eq!(withheld.take(at(100)), None);
        assert_eq!(withheld.take(at(200)), Some(1));
    }
}
