//! Metrics of who was let in and who was not, of requests, and of what an operator sets.

use super::{Metric, Seen, counter, gauge, histogram, seconds};
use crate::policy::configured::FilePolicy;
use crate::policy::jwt::source::JwtSource;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};
use switchboard::Durations;

impl Seen<'_> {
    /// Sources whose keys are at a URL, by name.
    fn fetching(&self) -> Vec<Arc<JwtSource>> {
        self.policy.map(FilePolicy::fetching_sources).unwrap_or_default()
    }
}

fn since_the_epoch(time: SystemTime) -> f64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

pub(super) static METRICS: &[Metric] = &[
    gauge("switchboard_ready", &[], "Whether it wants connections, as /readyz says: 1.", |seen, to| {
        to.add(&[], u8::from(seen.is_ready));
    }),
    counter("switchboard_authentications_total", &["method"], "Credentials taken.", |seen, to| {
        seen.audit.tally.authentications().for_each(|(method, count)| to.add(&[method], count));
    }),
    counter("switchboard_authentication_failures_total", &["method", "reason"], "Credentials refused.", |seen, to| {
        let refusals = seen.audit.tally.refusals();
        for ((method, reason), count) in &refusals {
            to.add(&[method, reason], count);
        }
    }),
    counter(
        "switchboard_datagram_signatures_rejected_total",
        &["reason"],
        "Signed datagrams that did not count.",
        |seen, to| {
            seen.audit.tally.unsigned_datagrams().for_each(|(reason, count)| to.add(&[reason], count));
        },
    ),
    counter(
        "switchboard_authorization_denials_total",
        &["action"],
        "What was asked for and not allowed.",
        |seen, to| {
            seen.audit.tally.denials().for_each(|(action, count)| to.add(&[action], count));
        },
    ),
    histogram("switchboard_auth_callout_duration_seconds", &[], "How long the callout took to answer.", |seen, to| {
        let callout = seen.policy.and_then(FilePolicy::callout);
        if let Some(callout) = callout {
            to.add_durations(&[], &callout.times());
        }
    }),
    gauge("switchboard_auth_callouts", &[], "Questions to the callout that are asked or wait.", |seen, to| {
        let callout = seen.policy.and_then(FilePolicy::callout);
        if let Some(callout) = callout {
            to.add(&[], callout.under_way());
        }
    }),
    gauge("switchboard_jwks_keys", &["source"], "Keys that a source has.", |seen, to| {
        let sources = seen.policy.map(FilePolicy::jwt_sources).unwrap_or_default();
        for source in &sources {
            to.add(&[&source.section.name], source.key_count());
        }
    }),
    gauge(
        "switchboard_jwks_last_success_timestamp_seconds",
        &["source"],
        "When keys at a URL were fetched last.",
        |seen, to| {
            for source in seen.fetching() {
                source.fetched().iter().for_each(|time| to.add(&[&source.section.name], since_the_epoch(*time)));
            }
        },
    ),
    counter("switchboard_jwks_refresh_failures_total", &["source"], "Fetches of keys that failed.", |seen, to| {
        for source in seen.fetching() {
            to.add(&[&source.section.name], seen.audit.tally.fetches_in_vain(&source.section.name));
        }
    }),
    gauge(
        "switchboard_certificate_expiry_timestamp_seconds",
        &["listener", "certificate"],
        "Until when a certificate is valid, by its place.",
        |seen, to| {
            for (listener, certificates) in seen.running.certificates() {
                for (place, end) in certificates.ends().into_iter().enumerate() {
                    to.add(&[&listener, &place.to_string()], since_the_epoch(end));
                }
            }
        },
    ),
    gauge("switchboard_bans", &[], "Networks that nobody may come from.", |seen, to| {
        to.add(&[], seen.handle.ban_count());
    }),
    gauge("switchboard_revocations", &[], "Names, tokens and JWTs that operators have revoked.", |seen, to| {
        to.add(&[], seen.running.steered().revocations().len());
    }),
    gauge(
        "switchboard_config_last_reload_successful",
        &[],
        "Whether the last reload was taken; 1 before the first.",
        |seen, to| to.add(&[], u8::from(seen.running.reloads().is_good)),
    ),
    gauge(
        "switchboard_config_last_reload_success_timestamp_seconds",
        &[],
        "When what is in force was read.",
        |seen, to| to.add(&[], seconds(seen.running.reloads().since)),
    ),
    counter("switchboard_config_reloads_total", &[], "Reloads asked for.", |seen, to| {
        to.add(&[], seen.running.reloads().count);
    }),
    counter("switchboard_config_reload_failures_total", &[], "Reloads refused.", |seen, to| {
        to.add(&[], seen.running.reloads().failures);
    }),
    counter("switchboard_log_lines_dropped_total", &[], "Log lines that stderr did not take.", |seen, to| {
        to.add(&[], seen.running.lost_lines());
    }),
    gauge(
        "switchboard_config_hash",
        &[],
        "What stands for the settings in force, secrets aside: equal where they are.",
        |seen, to| to.add(&[], seen.running.reloads().hash),
    ),
    counter(
        "switchboard_http_requests_total",
        &["listener", "route", "code"],
        "Requests answered, by the template of their path.",
        |seen, to| {
            for counts in seen.running.requests() {
                for (listener, route, code, count) in counts.requests() {
                    to.add(&[listener, route, &code.to_string()], count);
                }
            }
        },
    ),
    histogram(
        "switchboard_http_request_duration_seconds",
        &["route"],
        "From a request until its answer was made, or the head of a stream.",
        |seen, to| {
            let mut all: BTreeMap<&str, Durations> = BTreeMap::new();
            for (route, times) in seen.running.requests().iter().flat_map(|counts| counts.times()) {
                all.entry(route).and_modify(|known| known.add(&times)).or_insert(times);
            }
            for (route, times) in &all {
                to.add_durations(&[route], times);
            }
        },
    ),
    counter(
        "switchboard_audit_lines_dropped_total",
        &[],
        "Lines that the file of the audit did not take.",
        |seen, to| {
            to.add(&[], seen.audit.lost_lines());
        },
    ),
];
