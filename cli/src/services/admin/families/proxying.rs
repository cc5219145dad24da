//! Metrics of proxies. Their labels are listeners and upstreams, which stand in the operator's file or command line.

use super::{Metric, Seen, counter, gauge};
use crate::services::admin::exposition::Samples;
use crate::services::proxy::{State, UpstreamFigures};

const UPSTREAM: &[&str] = &["listener", "upstream"];

impl Seen<'_> {
    fn by_upstream(&self, samples: &mut Samples<'_>, number: impl Fn(&UpstreamFigures) -> u64) {
        for pool in &self.pools {
            pool.upstreams.iter().for_each(|upstream| samples.add(&[&pool.name, &upstream.url], number(upstream)));
        }
    }
}

pub(super) static METRICS: &[Metric] = &[
    gauge("switchboard_upstream_up", UPSTREAM, "Whether it is in, and not failing: 1.", |seen, to| {
        seen.by_upstream(to, |upstream| u64::from(upstream.state == State::In));
    }),
    gauge(
        "switchboard_upstream_connections",
        UPSTREAM,
        "Connections to it, those that are being made included.",
        |seen, to| {
            seen.by_upstream(to, |upstream| upstream.open as u64);
        },
    ),
    counter("switchboard_upstream_connected_total", UPSTREAM, "Connections made to it.", |seen, to| {
        seen.by_upstream(to, |upstream| upstream.connections);
    }),
    counter(
        "switchboard_upstream_failures_total",
        UPSTREAM,
        "Connections that could not be made to it.",
        |seen, to| {
            seen.by_upstream(to, |upstream| upstream.failures);
        },
    ),
    counter("switchboard_upstream_sent_bytes_total", UPSTREAM, "Bytes passed on to it.", |seen, to| {
        seen.by_upstream(to, |upstream| upstream.bytes_to);
    }),
    counter("switchboard_upstream_received_bytes_total", UPSTREAM, "Bytes passed on from it.", |seen, to| {
        seen.by_upstream(to, |upstream| upstream.bytes_from);
    }),
    counter(
        "switchboard_upstream_checks_total",
        &["listener", "upstream", "result"],
        "Checks made of it.",
        |seen, to| {
            for pool in &seen.pools {
                for upstream in &pool.upstreams {
                    to.add(&[&pool.name, &upstream.url, "passed"], upstream.checks_passed);
                    to.add(&[&pool.name, &upstream.url, "failed"], upstream.checks_failed);
                }
            }
        },
    ),
    gauge("switchboard_proxy_waiting", &["listener"], "Clients that wait for a place at an upstream.", |seen, to| {
        seen.pools.iter().for_each(|pool| to.add(&[&pool.name], pool.waiting));
    }),
    counter(
        "switchboard_proxy_reset_total",
        &["listener", "reason"],
        "Clients that were passed on to nobody.",
        |seen, to| {
            for pool in &seen.pools {
                pool.unconnected.iter().for_each(|(reason, count)| to.add(&[&pool.name, reason], count));
            }
        },
    ),
];
