//! Every metric: its name, its type, its labels, and where its numbers are.
//!
//! Those of who may do what, of requests and of the file are in `families/steering.rs`, those of proxies in `families/proxying.rs`, those of the log that nodes share in `families/sharing.rs`. Labels are bounded by this program or by the operator's file: no room, no person and no address is ever one.

mod proxying;
mod sharing;
mod steering;

use super::exposition::{Exposition, MetricKind, Samples};
use super::health::Readiness;
use super::process::{Process, seconds};
use crate::policy::audit::Audit;
use crate::policy::configured::FilePolicy;
use crate::policy::jwt::claims::at_most_written;
use crate::running::{KeptIn, Run};
use crate::services::proxy::PoolFigures;
use std::time::SystemTime;
use switchboard::cluster::{Cluster, ClusterMetrics};
use switchboard::log::{NatsEngine, NatsMetrics, RoomLog as _, SqliteLog, SqliteMetrics};
use switchboard::{
    Carried, ClassMetrics, CloseReason, Closures, Handle, Hub, HubMetrics, ListenerMetrics, WorkerMetrics,
};

/// Metrics that are written before others may run: 30 µs or so.
const TOGETHER: usize = 8;

/// A metric, as it is documented and as it is read.
pub(super) struct Metric {
    pub(super) name: &'static str,
    pub(super) kind: MetricKind,
    pub(super) labels: &'static [&'static str],
    pub(super) help: &'static str,
    read: fn(&Seen<'_>, &mut Samples<'_>),
}

/// All that is looked at once for one answer.
struct Seen<'a> {
    running: &'a Run,
    policy: Option<&'a FilePolicy>,
    audit: &'a Audit,
    handle: &'a Handle,
    listeners: Vec<ListenerMetrics>,
    carried: Carried,
    closures: Vec<Closures>,
    hub: HubMetrics,
    workers: Vec<WorkerMetrics>,
    process: Process,
    /// What is kept in a data directory, if there is one.
    kept: Option<SqliteMetrics>,
    /// What is shared with other nodes, if anything is.
    shared: Option<NatsMetrics>,
    nodes: Option<ClusterMetrics>,
    /// Of each proxy.
    pools: Vec<PoolFigures>,
    is_ready: bool,
}

/// All of them, in the order in which they are shown.
pub(super) fn all() -> impl Iterator<Item = &'static Metric> {
    METRICS.iter().chain(sharing::METRICS).chain(steering::METRICS).chain(proxying::METRICS)
}

/// Everything that is counted, as text. Others run in between, as ten scrapes a second would else be one answer in a hundred that is late.
pub(super) async fn exposition(
    running: &Run,
    handle: &Handle,
    hub: &Hub,
    policy: Option<&FilePolicy>,
    audit: &Audit,
) -> String {
    let metrics = handle.metrics();
    let seen = Seen {
        running,
        policy,
        audit,
        is_ready: Readiness::now(running, handle, hub, policy).is_ready(),
        handle,
        listeners: metrics.listeners(),
        carried: metrics.carried(),
        closures: metrics.closures(),
        hub: hub.metrics(),
        workers: handle.workers(),
        process: Process::now(),
        kept: running.kept().and_then(KeptIn::data).map(SqliteLog::metrics),
        shared: running.kept().and_then(KeptIn::cluster).map(NatsEngine::metrics),
        nodes: running.kept().and_then(KeptIn::nodes).map(Cluster::metrics),
        pools: running.pools().iter().map(|pool| pool.figures()).collect(),
    };
    let mut exposition = Exposition::default();
    for (index, metric) in all().enumerate() {
        if index % TOGETHER == 0 {
            tokio::task::yield_now().await;
        }
        (metric.read)(&seen, &mut exposition.metric(metric.name, metric.kind, metric.help, metric.labels));
    }
    exposition.into_text()
}

impl Seen<'_> {
    /// What has been spoken, or can be: each transport once.
    fn transports(&self) -> Vec<&'static str> {
        let mut all: Vec<_> =
            self.listeners.iter().flat_map(|listener| listener.open.iter().map(|(transport, _)| *transport)).collect();
        all.sort_unstable();
        all.dedup();
        all
    }

    /// Of each class that there has been.
    fn by_class(&self, samples: &mut Samples<'_>, number: impl Fn(&ClassMetrics) -> usize) {
        for (place, name) in self.running.classes().iter().enumerate() {
            let class = self.hub.classes.iter().find(|class| class.class.number() == place);
            samples.add(&[name], class.map_or(0, &number));
        }
    }

    fn datagram_listeners(&self) -> impl Iterator<Item = &ListenerMetrics> {
        self.listeners.iter().filter(|listener| listener.transport == "udp")
    }

    fn by_transport(&self, samples: &mut Samples<'_>, number: impl Fn(&switchboard::TransportTraffic) -> u64) {
        let transports = self.transports();
        let used = self.carried.transports.iter().filter(|(name, _)| transports.contains(name));
        used.for_each(|(name, traffic)| samples.add(&[name], number(traffic)));
    }

    fn by_listener(&self, samples: &mut Samples<'_>, number: impl Fn(&ListenerMetrics) -> u64) {
        self.listeners.iter().for_each(|listener| samples.add(&[&listener.name], number(listener)));
    }

    fn by_datagram_listener(&self, samples: &mut Samples<'_>, number: impl Fn(&ListenerMetrics) -> u64) {
        self.datagram_listeners().for_each(|listener| samples.add(&[&listener.name], number(listener)));
    }
}

const fn gauge(
    name: &'static str,
    labels: &'static [&'static str],
    help: &'static str,
    read: fn(&Seen<'_>, &mut Samples<'_>),
) -> Metric {
    Metric { name, kind: MetricKind::Gauge, labels, help, read }
}

const fn counter(
    name: &'static str,
    labels: &'static [&'static str],
    help: &'static str,
    read: fn(&Seen<'_>, &mut Samples<'_>),
) -> Metric {
    Metric { name, kind: MetricKind::Counter, labels, help, read }
}

const fn histogram(
    name: &'static str,
    labels: &'static [&'static str],
    help: &'static str,
    read: fn(&Seen<'_>, &mut Samples<'_>),
) -> Metric {
    Metric { name, kind: MetricKind::Histogram, labels, help, read }
}

/// What the server does.
static METRICS: &[Metric] = &[
    gauge("switchboard_build_info", &["version", "commit"], "What runs: 1.", |_, to| {
        to.add(&[env!("CARGO_PKG_VERSION"), switchboard_load::COMMIT], 1);
    }),
    counter("process_cpu_seconds_total", &[], "CPU time of all threads.", |seen, to| {
        seen.process.cpu.iter().for_each(|cpu| to.add(&[], cpu.as_secs_f64()));
    }),
    gauge("process_resident_memory_bytes", &[], "Memory in use.", |seen, to| {
        seen.process.resident_bytes.iter().for_each(|bytes| to.add(&[], bytes));
    }),
    gauge("process_open_fds", &[], "Open descriptors.", |seen, to| {
        seen.process.open_descriptors.iter().for_each(|open| to.add(&[], open));
    }),
    gauge("process_max_fds", &[], "Descriptors that may be open.", |seen, to| {
        seen.process.most_descriptors.iter().for_each(|most| to.add(&[], most));
    }),
    gauge("process_start_time_seconds", &[], "When it was started.", |seen, to| {
        to.add(&[], seconds(seen.running.started()));
    }),
    gauge("switchboard_connections", &["listener", "transport"], "Open connections.", |seen, to| {
        for listener in &seen.listeners {
            listener.open.iter().for_each(|(transport, open)| to.add(&[&listener.name, transport], open));
        }
    }),
    gauge("switchboard_connections_limit", &[], "Connections that may be open.", |seen, to| {
        to.add(&[], seen.running.limits().connections);
    }),
    gauge("switchboard_connections_authenticated", &[], "Connections that have shown who they are.", |seen, to| {
        to.add(&[], seen.hub.authenticated);
    }),
    gauge("switchboard_connections_blocked", &[], "Connections whose socket takes no more now.", |seen, to| {
        to.add(&[], seen.handle.metrics().blocked());
    }),
    counter("switchboard_connections_accepted_total", &["listener"], "Connections accepted.", |seen, to| {
        seen.by_listener(to, |listener| listener.accepted);
    }),
    counter(
        "switchboard_connections_refused_total",
        &["listener", "reason"],
        "Connections closed unserved, because of a limit.",
        |seen, to| {
            for listener in &seen.listeners {
                for reason in CloseReason::ALL {
                    let refused =
                        listener.refused.iter().find(|(known, _)| *known == reason).map_or(0, |(_, count)| *count);
                    if refused > 0 || reason.is_refusal() {
                        to.add(&[&listener.name, reason.code()], refused);
                    }
                }
            }
        },
    ),
    counter(
        "switchboard_connections_closed_total",
        &["transport", "reason"],
        "Connections that ended, those refused included.",
        |seen, to| {
            for transport in seen.transports() {
                let ends = seen.closures.iter().find(|ends| ends.transport == transport);
                for reason in CloseReason::ALL {
                    let known = ends.and_then(|ends| ends.reasons.iter().find(|(known, _)| *known == reason));
                    to.add(&[transport, reason.code()], known.map_or(0, |(_, count)| *count));
                }
            }
        },
    ),
    histogram(
        "switchboard_connection_duration_seconds",
        &["transport"],
        "How long connections were open that have ended.",
        |seen, to| {
            seen.closures.iter().for_each(|ends| to.add_durations(&[ends.transport], &ends.lives));
        },
    ),
    gauge("switchboard_handshakes", &["listener"], "TLS handshakes under way.", |seen, to| {
        seen.by_listener(to, |listener| listener.handshakes);
    }),
    histogram(
        "switchboard_handshake_duration_seconds",
        &["listener"],
        "How long TLS handshakes took that ended well.",
        |seen, to| {
            let secure = seen.listeners.iter().filter(|listener| listener.handshake_time.count > 0);
            secure.for_each(|listener| to.add_durations(&[&listener.name], &listener.handshake_time));
        },
    ),
    counter(
        "switchboard_accept_waits_total",
        &["listener", "cause"],
        "How often accepting had to wait.",
        |seen, to| {
            for listener in &seen.listeners {
                to.add(&[&listener.name, "descriptors"], listener.waits_for_descriptors);
                to.add(&[&listener.name, "handshakes"], listener.waits_for_handshakes);
            }
        },
    ),
    counter("switchboard_received_bytes_total", &["transport"], "Bytes received on connections.", |seen, to| {
        seen.by_transport(to, |traffic| traffic.bytes_in);
    }),
    counter("switchboard_sent_bytes_total", &["transport"], "Bytes that sockets of connections took.", |seen, to| {
        seen.by_transport(to, |traffic| traffic.bytes_out);
    }),
    counter("switchboard_frames_received_total", &["transport"], "Frames received on connections.", |seen, to| {
        seen.by_transport(to, |traffic| traffic.frames_in);
    }),
    counter("switchboard_frames_sent_total", &["transport"], "Frames written or queued on connections.", |seen, to| {
        seen.by_transport(to, |traffic| traffic.frames_out);
    }),
    counter("switchboard_datagrams_received_total", &["listener"], "Datagrams received.", |seen, to| {
        seen.by_datagram_listener(to, |listener| listener.datagrams_in);
    }),
    counter("switchboard_datagrams_sent_total", &["listener"], "Datagrams sent.", |seen, to| {
        seen.by_datagram_listener(to, |listener| listener.datagrams_out);
    }),
    counter("switchboard_datagrams_refused_total", &["listener"], "Datagrams not answered on purpose.", |seen, to| {
        seen.by_datagram_listener(to, |listener| listener.datagrams_refused);
    }),
    counter(
        "switchboard_datagrams_lost_total",
        &["listener"],
        "Datagrams that the socket did not take.",
        |seen, to| {
            seen.by_datagram_listener(to, |listener| listener.datagrams_lost);
        },
    ),
    counter(
        "switchboard_datagrams_dropped_total",
        &["listener"],
        "Datagrams from peers that had not read earlier ones.",
        |seen, to| seen.by_datagram_listener(to, |listener| listener.datagrams_dropped),
    ),
    counter(
        "switchboard_group_datagrams_total",
        &["listener", "kind"],
        "Datagrams from a group in json.",
        |seen, to| {
            for group in seen.running.groups() {
                let Some((listener, kinds)) = group.now() else { continue };
                for (kind, count) in kinds {
                    to.add(&[listener, kind], count);
                }
            }
        },
    ),
    gauge("switchboard_rooms", &[], "Rooms.", |seen, to| to.add(&[], seen.hub.rooms)),
    gauge("switchboard_rooms_limit", &[], "Rooms that there may be.", |seen, to| to.add(&[], seen.hub.rooms_limit)),
    gauge("switchboard_memberships", &[], "Members of all rooms.", |seen, to| to.add(&[], seen.hub.memberships)),
    gauge("switchboard_class_rooms", &["class"], "Rooms of a class.", |seen, to| {
        seen.by_class(to, |class| class.rooms);
    }),
    gauge("switchboard_class_memberships", &["class"], "Members of the rooms of a class.", |seen, to| {
        seen.by_class(to, |class| class.memberships);
    }),
    counter("switchboard_publications_total", &["class"], "Messages published.", |seen, to| {
        let classes = seen.running.classes();
        for (class, count) in &seen.hub.publications_by_class {
            let name = class.map_or(Some(""), |class| classes.get(class.number()).map(String::as_str));
            if let Some(name) = name {
                to.add(&[name], count);
            }
        }
    }),
    counter("switchboard_publications_refused_total", &["reason"], "Publications refused.", |seen, to| {
        let HubMetrics { refused_not_allowed, refused_too_long, refused_too_often, refused_unavailable, .. } =
            &seen.hub;
        to.add(&["not-allowed"], refused_not_allowed);
        to.add(&["frame-too-long"], refused_too_long);
        to.add(&["rate-limited"], refused_too_often);
        to.add(&["unavailable"], refused_unavailable);
    }),
    counter("switchboard_deliveries_total", &[], "Messages given to members, once for each.", |seen, to| {
        to.add(&[], seen.carried.deliveries);
    }),
    counter("switchboard_deliveries_lost_total", &["overflow"], "Messages lost to slow members.", |seen, to| {
        // Whoever is disconnected counts as closed; what such a member loses to a worker that is held up, it is told of and stays.
        seen.carried.lost.iter().for_each(|(overflow, count)| to.add(&[overflow], count));
    }),
    gauge("switchboard_history_messages", &[], "Messages that rooms keep.", |seen, to| {
        to.add(&[], seen.hub.history_messages);
    }),
    gauge("switchboard_history_bytes", &[], "Bytes of those.", |seen, to| to.add(&[], seen.hub.history_bytes)),
    gauge("switchboard_data_up", &[], "Whether the data directory takes messages: 1.", |seen, to| {
        seen.running.kept().and_then(KeptIn::data).iter().for_each(|log| to.add(&[], u8::from(log.health().is_ok())));
    }),
    gauge("switchboard_data_rooms", &[], "Rooms in the data directory.", |seen, to| {
        seen.kept.iter().for_each(|kept| to.add(&[], kept.rooms));
    }),
    gauge("switchboard_data_bytes", &[], "Bytes of the messages there, 256 for each included.", |seen, to| {
        seen.kept.iter().for_each(|kept| to.add(&[], kept.bytes));
    }),
    gauge("switchboard_data_file_bytes", &[], "Bytes of the files there.", |seen, to| {
        seen.kept.iter().for_each(|kept| to.add(&[], kept.file_bytes));
    }),
    gauge("switchboard_data_waiting_messages", &[], "Messages that wait for their commit.", |seen, to| {
        seen.kept.iter().for_each(|kept| to.add(&[], kept.waiting));
    }),
    counter("switchboard_data_messages_total", &[], "Messages committed.", |seen, to| {
        seen.kept.iter().for_each(|kept| to.add(&[], kept.messages));
    }),
    counter("switchboard_data_commit_failures_total", &[], "Commits that failed.", |seen, to| {
        seen.kept.iter().for_each(|kept| to.add(&[], kept.failures));
    }),
    histogram("switchboard_data_commit_duration_seconds", &[], "How long commits took.", |seen, to| {
        seen.kept.iter().for_each(|kept| to.add_durations(&[], &kept.commits));
    }),
    histogram(
        "switchboard_fanout_delay_seconds",
        &[],
        "From the first publication of a tick until all were offered to the sockets.",
        |seen, to| to.add_durations(&[], &seen.carried.fanout_delay),
    ),
    gauge("switchboard_memory_bytes", &[], "Memory held for messages.", |seen, to| {
        to.add(&[], seen.handle.memory_bytes());
    }),
    gauge("switchboard_memory_limit_bytes", &[], "Memory that may be held for messages.", |seen, to| {
        to.add(&[], seen.running.limits().memory_bytes);
    }),
    gauge("switchboard_worker_connections", &["worker"], "Connections of each worker.", |seen, to| {
        for (index, worker) in seen.workers.iter().enumerate() {
            to.add(&[&index.to_string()], worker.connections);
        }
    }),
    counter(
        "switchboard_worker_late_ticks_total",
        &["worker"],
        "Ticks that came more than 100 ms late.",
        |seen, to| {
            for (index, worker) in seen.workers.iter().enumerate() {
                to.add(&[&index.to_string()], worker.late_ticks);
            }
        },
    ),
    gauge("switchboard_draining", &[], "Whether it drains: 1.", |seen, to| {
        to.add(&[], u8::from(seen.handle.is_draining()));
    }),
];

/// A time, as it is shown; one that cannot be written as the last that can.
pub(super) fn shown(time: SystemTime) -> String {
    humantime::format_rfc3339_millis(at_most_written(time)).to_string()
}
