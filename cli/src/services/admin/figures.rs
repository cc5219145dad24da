//! What a person or a program sees at a glance, as objects: the sums, and what the server is.

use super::families::shown;
use crate::running::{KeptIn, Listening, Run};
use crate::services::proxy::{PoolFigures, UpstreamFigures};
use serde_json::{Map, Value, json};
use std::time::{Duration, SystemTime};
use switchboard::{CloseReason, Handle, Hub};

/// Sums of everything: with two of them one has rates.
pub(super) fn stats(running: &Run, handle: &Handle, hub: &Hub) -> Value {
    let (metrics, rooms) = (handle.metrics(), hub.metrics());
    let carried = metrics.carried();
    let moved =
        carried.transports.iter().filter(|(_, all)| all.bytes_in + all.bytes_out + all.frames_in + all.frames_out > 0);
    let transports: Map<_, _> = moved
        .map(|(transport, all)| {
            let told = json!({
                "bytes_in": all.bytes_in, "bytes_out": all.bytes_out,
                "frames_in": all.frames_in, "frames_out": all.frames_out,
            });
            ((*transport).to_owned(), told)
        })
        .collect();
    let closed: Map<_, _> = CloseReason::ALL
        .into_iter()
        .map(|reason| (reason, metrics.closed(reason)))
        .filter(|(_, count)| *count > 0)
        .map(|(reason, count)| (reason.code().to_owned(), json!(count)))
        .collect();
    let lost: u64 = carried.lost.iter().map(|(_, count)| count).sum();
    let mut told = json!({
        "time": shown(SystemTime::now()),
        "uptime_seconds": running.uptime().as_secs(),
        "connections": {
            "open": handle.connections().len(),
            "limit": running.limits().connections,
            "blocked": metrics.blocked(),
            "accepted": metrics.accepted.get(),
            "refused": metrics.refused.get(),
            "closed": closed,
        },
        "transports": transports,
        "datagrams": {
            "received": metrics.datagrams_in.get(), "sent": metrics.datagrams_out.get(),
            "refused": metrics.datagrams_refused.get(), "lost": metrics.datagrams_lost.get(),
            "dropped": metrics.datagrams_dropped.get(),
        },
        "rooms": { "count": rooms.rooms, "limit": rooms.rooms_limit, "memberships": rooms.memberships },
        "publications": rooms.publications,
        "deliveries": carried.deliveries,
        "deliveries_lost": lost,
        "history": { "messages": rooms.history_messages, "bytes": rooms.history_bytes },
        "memory": { "bytes": handle.memory_bytes(), "limit": running.limits().memory_bytes },
        "workers": handle.workers().iter()
            .map(|worker| json!({ "connections": worker.connections, "late_ticks": worker.late_ticks }))
            .collect::<Vec<_>>(),
        "draining": handle.is_draining(),
    });
    if let Some(kept) = running.kept().filter(|kept| kept.cluster().is_some()) {
        told["cluster"] = cluster(kept);
    }
    told
}

/// The log that nodes share, and the other nodes: sums, as all else of `/stats`.
fn cluster(kept: &KeptIn) -> Value {
    json!({
        "up": kept.health().is_ok(),
        "connected": kept.cluster().is_some_and(|engine| engine.metrics().standing.is_some()),
        "nodes": kept.nodes().map(|nodes| nodes.metrics().nodes),
        "rooms_waiting": kept.waiting_rooms(),
    })
}

/// Upstreams of proxies, and how they are.
pub(super) fn upstreams(running: &Run) -> Value {
    let pools: Vec<_> = running.pools().iter().map(|pool| pool.figures()).collect();
    let of_pool = |pool: &PoolFigures, upstream: &UpstreamFigures| {
        json!({
            "upstream": upstream.url, "listener": pool.name, "state": upstream.state.name(),
            "open": upstream.open, "limit": upstream.limit, "waiting": pool.waiting,
            "connections": upstream.connections, "failures": upstream.failures,
            "checks_passed": upstream.checks_passed, "checks_failed": upstream.checks_failed,
            "bytes_to": upstream.bytes_to, "bytes_from": upstream.bytes_from,
        })
    };
    let rows = pools.iter().flat_map(|pool| pool.upstreams.iter().map(move |upstream| of_pool(pool, upstream)));
    json!({ "upstreams": rows.collect::<Vec<_>>() })
}

/// With as much behind the point as tells moments apart.
pub(super) fn seconds_of(time: Duration) -> f64 {
    (time.as_secs_f64() * 1000.0).round() / 1000.0
}

/// What runs, where, and since when.
pub(super) fn server(running: &Run, handle: &Handle) -> Value {
    let listeners = handle.metrics().listeners();
    let listening = running.listeners().into_iter().map(|Listening { service, url }| {
        let counted = listeners.iter().find(|listener| listener.name == url);
        let open = counted.map(|counted| counted.open.iter().map(|(_, open)| open).sum::<u64>());
        json!({ "service": service, "url": url, "open": open, "accepted": counted.map(|counted| counted.accepted) })
    });
    let reloads = running.reloads();
    let mut told = json!({
        "version": env!("CARGO_PKG_VERSION"),
        "commit": switchboard_load::COMMIT,
        "pid": std::process::id(),
        "started": shown(running.started()),
        "uptime_seconds": running.uptime().as_secs(),
        "workers": running.workers(),
        "listeners": listening.collect::<Vec<_>>(),
        "connections": { "open": handle.connections().len(), "limit": running.limits().connections },
        "memory": { "bytes": handle.memory_bytes(), "limit": running.limits().memory_bytes },
        "ready": running.is_wanted(),
        "draining": handle.is_draining(),
        "config": { "read": shown(reloads.since), "reloads": reloads.count, "last_reload_taken": reloads.is_good },
    });
    if let Some((kept, nodes)) = running.kept().and_then(|kept| Some((kept, kept.nodes()?))) {
        let standing = kept.cluster().and_then(|engine| engine.metrics().standing);
        told["cluster"] = cluster(kept);
        told["cluster"]["node"] = nodes.id().to_string().into();
        told["cluster"]["server"] = standing.map(|standing| standing.server).into();
    }
    told
}
