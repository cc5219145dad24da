//! What a server may hold, and for how long. Plain settings with their defaults; each says who enforces it.

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tracing::warn;

pub use switchboard_proto::Timeouts;

/// Descriptors kept for listeners, logs and the like.
const RESERVED_DESCRIPTORS: usize = 64;

/// More connections than this are not attempted unless asked for, whatever the descriptor limit says.
const MOST_CONNECTIONS: usize = 1_000_000;

/// How long connections may take to finish once a server or client drains.
pub(crate) const GRACE: Duration = Duration::from_secs(30);

/// Upper bounds on what is held. Worst case memory is [`memory_bytes`](Self::memory_bytes) plus about 1 KB per connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Open connections. At the limit new ones are refused ([`TooManyConnections`](crate::CloseReason)).
    /// Default: the hard descriptor limit less 64, at most 1,000,000.
    pub connections: usize,
    /// Open connections from one IPv4 address or IPv6 /64. At the limit new ones are refused
    /// ([`TooManyFromAddress`](crate::CloseReason)). Default: 1,024 on listeners open to other machines, else unlimited.
    pub connections_per_address: Option<usize>,
    /// TLS handshakes under way on one listener. At the limit, accepting waits: when many clients reconnect at once,
    /// they queue in the kernel. Default 4,096, of up to 40 KiB each.
    pub handshakes: usize,
    /// TLS handshakes per second from one IPv4 address or IPv6 /64; as many may come at once. More are refused
    /// ([`TooManyHandshakes`](crate::CloseReason)). Default: 100 on listeners open to other machines, else unlimited.
    pub handshakes_per_address: Option<u32>,
    /// Payload of one frame, excluding its terminator or header. At the limit: [`FrameTooLong`](crate::CloseReason).
    /// Default 64 KiB.
    pub frame_bytes: usize,
    /// Outbound bytes that one connection may have queued. At the limit [`send`](crate::Connection::send) waits.
    /// Default 1 MiB.
    pub outbox_bytes: usize,
    /// Outbound frames that one connection may have queued. At the limit [`send`](crate::Connection::send) waits.
    /// Default 4,096.
    pub outbox_frames: usize,
    /// All bytes held for messages, in both directions. Above the limit the connection that holds most is closed
    /// ([`OutOfMemory`](crate::CloseReason)). Default: a quarter of the machine's memory, or of the cgroup's limit.
    pub memory_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: hard_descriptor_limit().saturating_sub(RESERVED_DESCRIPTORS).clamp(1, MOST_CONNECTIONS),
            connections_per_address: None,
            handshakes: 4096,
            handshakes_per_address: None,
            frame_bytes: 64 << 10,
            outbox_bytes: 1 << 20,
            outbox_frames: 4096,
            memory_bytes: machine_memory() / 4,
        }
    }
}

impl Limits {
    /// What is wrong with these settings, one sentence for each fault; [`Server::bind`](crate::Server::bind) checks
    /// this first.
    pub fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        let available = hard_descriptor_limit().saturating_sub(RESERVED_DESCRIPTORS);
        if self.connections > available {
            faults.push(format!(
                "limit of {} connections is above the {available} that the hard descriptor limit allows: raise that \
                 (`ulimit -Hn`; systemd: LimitNOFILE=), or lower this",
                self.connections
            ));
        }
        let positive = [
            ("connections", self.connections),
            ("connections_per_address", self.connections_per_address.unwrap_or(1)),
            ("handshakes", self.handshakes),
            ("handshakes_per_address", self.handshakes_per_address.map_or(1, |limit| limit as usize)),
            ("frame_bytes", self.frame_bytes),
            ("outbox_bytes", self.outbox_bytes),
            ("outbox_frames", self.outbox_frames),
            ("memory_bytes", self.memory_bytes),
        ];
        for (name, _) in positive.iter().filter(|(_, value)| *value == 0) {
            faults.push(format!("limit {name} is zero"));
        }
        faults
    }
}

/// Raises the soft descriptor limit to the hard one: the soft one is a default for programs that use `select`.
pub(crate) fn raise_descriptor_limit() {
    let raised = getrlimit(Resource::RLIMIT_NOFILE)
        .and_then(|(soft, hard)| if soft < hard { setrlimit(Resource::RLIMIT_NOFILE, hard, hard) } else { Ok(()) });
    if let Err(error) = raised {
        warn!(error = %error, "descriptor limit was not raised");
    }
}

fn hard_descriptor_limit() -> usize {
    let hard = getrlimit(Resource::RLIMIT_NOFILE).map_or(1024, |(_, hard)| hard);
    usize::try_from(hard).unwrap_or(usize::MAX)
}

/// Bytes of memory this process may use: the cgroup's limit where one is set, else the machine's.
fn machine_memory() -> usize {
    let limit = |path: PathBuf| std::fs::read_to_string(path).ok()?.trim().parse::<usize>().ok();
    let machine = std::fs::read_to_string("/proc/meminfo").ok().and_then(|text| {
        let kilobytes = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
        Some(kilobytes.trim().strip_suffix(" kB")?.parse::<usize>().ok()? << 10)
    });
    // 1 GiB where nothing can be read: too careful is a clear close reason, too bold is the kernel's killer.
    let machine = machine.unwrap_or(1 << 30);
    // Version 2 of cgroups: each group above ours limits us too. A container sees its own as the root.
    let ours = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let ours = ours.lines().find_map(|line| line.strip_prefix("0::/")).unwrap_or_default();
    let groups = Path::new("/sys/fs/cgroup").join(ours);
    let version_2 = groups.ancestors().filter_map(|group| limit(group.join("memory.max"))).min();
    let version_1 = limit("/sys/fs/cgroup/memory/memory.limit_in_bytes".into());
    version_2.or(version_1).map_or(machine, |limit| limit.min(machine))
}
