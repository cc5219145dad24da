//! Metrics of the log that several nodes share. They have no labels: the log is one.

use super::{Metric, counter, gauge, histogram};
use crate::running::KeptIn;

pub(super) static METRICS: &[Metric] = &[
    gauge("switchboard_cluster_up", &[], "Whether the log of the cluster takes messages: 1.", |seen, to| {
        let shared = seen.running.kept().filter(|kept| kept.cluster().is_some());
        shared.map(KeptIn::health).iter().for_each(|health| to.add(&[], u8::from(health.is_ok())));
    }),
    gauge("switchboard_cluster_connected", &[], "Whether a nats-server is connected to: 1.", |seen, to| {
        seen.shared.iter().for_each(|shared| to.add(&[], u8::from(shared.standing.is_some())));
    }),
    gauge("switchboard_cluster_rooms", &[], "Rooms that this node follows.", |seen, to| {
        seen.shared.iter().for_each(|shared| to.add(&[], shared.rooms));
    }),
    gauge("switchboard_cluster_rooms_waiting", &[], "Rooms that wait for the log of the cluster.", |seen, to| {
        if let Some(waiting) = seen.running.kept().and_then(KeptIn::waiting_rooms) {
            to.add(&[], waiting);
        }
    }),
    gauge("switchboard_cluster_in_flight_bytes", &[], "Bytes that are not answered yet.", |seen, to| {
        seen.shared.iter().for_each(|shared| to.add(&[], shared.in_flight_bytes));
    }),
    gauge("switchboard_cluster_nodes", &[], "Other nodes that are heard.", |seen, to| {
        seen.nodes.iter().for_each(|nodes| to.add(&[], nodes.nodes));
    }),
    gauge("switchboard_cluster_rooms_elsewhere", &[], "Rooms that only other nodes have.", |seen, to| {
        seen.nodes.iter().for_each(|nodes| to.add(&[], nodes.rooms_elsewhere));
    }),
    gauge("switchboard_cluster_names", &[], "Names that this node has claimed.", |seen, to| {
        seen.nodes.iter().for_each(|nodes| to.add(&[], nodes.names));
    }),
    gauge("switchboard_cluster_naming", &[], "Whether this node gives names: 1.", |seen, to| {
        seen.nodes.iter().for_each(|nodes| to.add(&[], u8::from(nodes.is_naming)));
    }),
    counter("switchboard_cluster_connections_total", &[], "Connections made to nats-servers.", |seen, to| {
        seen.shared.iter().for_each(|shared| to.add(&[], shared.connections));
    }),
    counter("switchboard_cluster_appends_total", &[], "Envelopes of messages appended by this node.", |seen, to| {
        seen.shared.iter().for_each(|shared| to.add(&[], shared.appended));
    }),
    counter("switchboard_cluster_conflicts_total", &[], "Envelopes that another node's came before.", |seen, to| {
        seen.shared.iter().for_each(|shared| to.add(&[], shared.conflicts));
    }),
    counter("switchboard_cluster_unanswered_total", &[], "Envelopes that were not answered in time.", |seen, to| {
        seen.shared.iter().for_each(|shared| to.add(&[], shared.unknown));
    }),
    histogram("switchboard_cluster_append_duration_seconds", &[], "How long appends took.", |seen, to| {
        seen.shared.iter().for_each(|shared| to.add_durations(&[], &shared.appends));
    }),
];
