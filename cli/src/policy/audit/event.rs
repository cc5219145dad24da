//! One event of an audit: what is said of it, as fields of the log or as a line of JSON.

use super::TARGET;
use crate::policy::proof::Proof;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::time::SystemTime;
use switchboard::policy::{Claimant, Principal};
use switchboard::{Escaped, PeerAddr, UserName};
use tracing::info;

/// What happened, to whom, and why. What is not known of it is left out.
#[derive(Debug, Default)]
pub(super) struct AuditEvent<'a> {
    pub(super) event: &'static str,
    pub(super) principal: Option<&'a str>,
    /// What vouches for it.
    pub(super) source: Option<String>,
    /// What a token or a certificate is called by, and never the token.
    pub(super) token: Option<&'a str>,
    pub(super) address: Option<&'a PeerAddr>,
    /// The proxy that it came by.
    pub(super) via: Option<SocketAddr>,
    pub(super) transport: Option<&'static str>,
    pub(super) listener: Option<&'a str>,
    /// Where that was asked for.
    pub(super) room: Option<&'a str>,
    /// What was asked for.
    pub(super) action: Option<&'a str>,
    pub(super) reason: Option<&'a str>,
    /// What the client calls its request, if it is one over HTTP.
    pub(super) trace: Option<&'a str>,
    /// Events of its kind that were not told before it.
    pub(super) withheld: u64,
}

impl<'a> AuditEvent<'a> {
    /// Of this one.
    pub(super) fn of(event: &'static str, principal: &'a Principal, address: &'a PeerAddr) -> Self {
        let proof = Proof::of(principal);
        let (source, token) = (proof.map(Proof::source), proof.and_then(Proof::called));
        let principal = principal.name().map(UserName::as_str);
        Self { event, principal, source, token, address: Some(address), ..Self::default() }
    }

    /// The same by this one, who came on a connection.
    pub(super) fn from(self, claimant: &'a Claimant) -> Self {
        let Claimant { ref address, via, transport, .. } = *claimant;
        Self { address: Some(address), via, transport, listener: claimant.listener(), ..self }
    }

    /// As an event of the log.
    pub(super) fn log(&self, seq: u64) {
        let Self { event, principal, source, token, address, via, transport, listener, action, .. } = self;
        let Self { room, reason, trace, withheld, .. } = self;
        let (source, withheld) = (source.as_deref(), (*withheld > 0).then_some(*withheld));
        let (address, via) = (address.map(tracing::field::display), via.map(tracing::field::display));
        info!(
            target: TARGET,
            seq, principal, source, token, peer.addr = address, via, transport, listener, action, room, reason, trace, withheld,
            "{event}"
        );
    }

    /// As a line of JSON.
    pub(super) fn line(&self, seq: u64, time: SystemTime) -> String {
        let Self { event, principal, source, token, address, via, transport, listener, action, .. } = self;
        let Self { room, reason, trace, withheld, .. } = self;
        let mut line = format!("{{\"time\":\"{}\",\"seq\":{seq}", humantime::format_rfc3339_millis(time));
        let (address, via) = (address.map(ToString::to_string), via.map(|via| via.to_string()));
        let fields = [
            ("event", Some(*event)),
            ("principal", *principal),
            ("source", source.as_deref()),
            ("token", *token),
            ("address", address.as_deref()),
            ("via", via.as_deref()),
            ("transport", *transport),
            ("listener", *listener),
            ("action", *action),
            ("room", *room),
            ("reason", *reason),
            ("trace", *trace),
        ];
        for (name, value) in fields.into_iter().filter_map(|(name, value)| Some((name, value?))) {
            // What a peer said is escaped as in the log; a text takes whatever is written.
            let value = serde_json::Value::from(Escaped(value.as_bytes()).to_string());
            let _ = write!(line, ",\"{name}\":{value}");
        }
        if *withheld > 0 {
            let _ = write!(line, ",\"withheld\":{withheld}");
        }
        line + "}\n"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_its_transport_names_has_shown_no_token() {
        let address = PeerAddr::Unix(None);
        for (proof, source, token) in [
            ("certificate/01ff/2d711642", "certificate", Some("01ff/2d711642")),
            ("unix/1000", "unix", None),
            ("as", "as", None),
            ("callout/01234567", "callout", Some("01234567")),
            ("jwt.corp/01234567/89abcdef", "jwt.corp", Some("89abcdef")),
        ] {
            let alice = Principal::named(UserName::parse("alice").unwrap()).by(proof);
            let event = AuditEvent::of("authenticated", &alice, &address);
            assert_eq!((event.source.as_deref(), event.token), (Some(source), token), "{proof}");
        }
    }

    #[test]
    fn a_record_is_one_line_of_json_whatever_stands_in_it() {
        let alice = Principal::named(UserName::parse("alice").unwrap()).by("01234567");
        let address = PeerAddr::Ip("192.0.2.1:9".parse().unwrap());
        let event = AuditEvent {
            action: Some("/join\n\u{1b}\"x\u{2028}"),
            withheld: 3,
            ..AuditEvent::of("denied", &alice, &address)
        };
        let line = event.line(7, SystemTime::UNIX_EPOCH);
        assert!(line.ends_with("}\n") && line.matches('\n').count() == 1 && line.is_ascii(), "{line}");
        let object: serde_json::Value = serde_json::from_str(&line).unwrap();
        let text = |name: &str| object[name].as_str().unwrap_or_default().to_owned();
        assert_eq!(text("time"), "1970-01-01T00:00:00.000Z");
        assert_eq!([text("event"), text("principal"), text("source")], ["denied", "alice", "token"]);
        assert_eq!([text("token"), text("address")], ["01234567", "192.0.2.1:9"]);
        assert_eq!((object["seq"].as_u64(), object["withheld"].as_u64()), (Some(7), Some(3)));
        assert!(object.get("reason").is_none());
    }
}
