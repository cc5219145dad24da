//! What whoever started the program as a service is told (`sd_notify(3)`): ready, reloading, stopping, alive, and in a few words how it is.
//!
//! Messages are small datagrams to a socket that is named in the environment. What cannot be sent is not sent: nobody
//! here waits for a service manager.

use crate::running::Run;
use crate::services::admin::held;
use nix::time::{ClockId, clock_gettime};
use std::convert::Infallible;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::pin::pin;
use std::time::Duration;
use switchboard::{Handle, Hub};
use tokio::time::{MissedTickBehavior, interval};

/// How often it is told how the server is, if that has changed.
const STATUS_INTERVAL: Duration = Duration::from_secs(5);

/// While connections finish, which takes as long as the operator says, it is told again and again that the end is not overdue.
const STOPPING: &str = "STOPPING=1\nSTATUS=draining\nEXTEND_TIMEOUT_USEC=15000000";

/// Whoever started the program and wants to know how it is; often nobody.
#[derive(Debug, Default)]
pub(crate) struct Supervisor {
    socket: Option<UnixDatagram>,
    /// It ends a service that says nothing for so long.
    watchdog: Option<Duration>,
}

impl Supervisor {
    /// The one that the environment names.
    pub(crate) fn find() -> Self {
        let variable = |name| std::env::var(name).ok();
        let socket = variable("NOTIFY_SOCKET").and_then(|address| connected(&address));
        let is_ours = variable("WATCHDOG_PID").is_none_or(|id| id == std::process::id().to_string());
        let watchdog = variable("WATCHDOG_USEC").and_then(|time| time.parse().ok()).filter(|time| is_ours && *time > 0);
        Self { watchdog: watchdog.map(Duration::from_micros).filter(|_| socket.is_some()), socket }
    }

    fn tell(&self, state: &str) {
        if let Some(socket) = &self.socket {
            // See the head of this file.
            let _ = socket.send(state.as_bytes());
        }
    }

    /// It serves.
    pub(crate) fn ready(&self) {
        self.tell("READY=1");
    }

    /// The file is read again. The time is asked for by `Type=notify-reload` (systemd.service(5)).
    pub(crate) fn reloading(&self) {
        let now = clock_gettime(ClockId::CLOCK_MONOTONIC).map_or(Duration::ZERO, Duration::from);
        self.tell(&format!("RELOADING=1\nMONOTONIC_USEC={}", now.as_micros()));
    }

    /// Connections finish, or there is none.
    pub(crate) fn stopping(&self) {
        self.tell(STOPPING);
    }

    /// Tells that the server lives, and how it is, for as long as it does.
    pub(crate) async fn keep_told(&self, running: &Run, handle: &Handle, hub: &Hub) -> Infallible {
        if self.socket.is_none() {
            return std::future::pending().await;
        }
        // Twice as often as is asked for, as `sd_watchdog_enabled(3)` advises.
        let mut ticks = interval(self.watchdog.map_or(STATUS_INTERVAL, |time| STATUS_INTERVAL.min(time / 2)));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut told = String::new();
        let mut drain = pin!(handle.draining());
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                () = &mut drain, if !handle.is_draining() => {}
            }
            // As `/healthz` says it: a handler holds a worker.
            if self.watchdog.is_some() && held(handle).is_empty() {
                self.tell("WATCHDOG=1");
            }
            if handle.is_draining() {
                self.stopping();
                continue;
            }
            let status = status(handle.connections().len(), hub.metrics().rooms, running.reloads().is_good);
            if status != told {
                self.tell(&format!("STATUS={status}"));
                told = status;
            }
        }
    }
}

fn status(connections: usize, rooms: usize, is_reloaded: bool) -> String {
    let refused = if is_reloaded { "" } else { "; the last reload was refused" };
    format!("{connections} connections, {rooms} rooms{refused}")
}

/// A socket to a path, or to a name behind an `@`. Other kinds of addresses are for virtual machines.
fn connected(address: &str) -> Option<UnixDatagram> {
    let address = match address.strip_prefix('@') {
        Some(name) => SocketAddr::from_abstract_name(name).ok()?,
        None if address.starts_with('/') => SocketAddr::from_pathname(address).ok()?,
        None => return None,
    };
    let socket = UnixDatagram::unbound().ok()?;
    socket.set_nonblocking(true).ok()?;
    socket.connect_addr(&address).ok()?;
    Some(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_is_a_few_words() {
        assert_eq!(status(12_345, 1_203, true), "12345 connections, 1203 rooms");
        assert_eq!(status(0, 1, false), "0 connections, 1 rooms; the last reload was refused");
    }

    #[test]
    fn an_address_is_a_path_or_a_name_and_nothing_else() {
        let name = format!("switchboard-notify-{}", std::process::id());
        let there = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        connected(&format!("@{name}")).expect("it is there").send(b"x").unwrap();
        assert_eq!(there.recv(&mut [0; 4]).unwrap(), 1);
        for address in ["", "@", "vsock:2:1234", "relative", "/nobody/is/there"] {
            assert!(connected(address).is_none(), "{address}");
        }
    }
}
