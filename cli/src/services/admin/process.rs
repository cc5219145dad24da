//! What the kernel says of this process (proc(5)).

use std::os::linux::fs::MetadataExt as _;
use std::time::{Duration, SystemTime};

/// Descriptors that are counted one by one, where the kernel does not tell how many there are: it takes a microsecond for each.
const COUNTED: u64 = 4096;

/// As Prometheus calls it. What cannot be found out is left out.
#[derive(Debug, Default)]
pub(super) struct Process {
    pub(super) cpu: Option<Duration>,
    pub(super) resident_bytes: Option<u64>,
    pub(super) open_descriptors: Option<u64>,
    pub(super) most_descriptors: Option<u64>,
}

impl Process {
    pub(super) fn now() -> Self {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let field = |name: &str| {
            let value = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
            value.split_whitespace().next()?.parse::<u64>().ok()
        };
        let limits = nix::sys::resource::getrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE);
        Self {
            cpu: cpu(),
            resident_bytes: field("VmRSS").map(|kilobytes| kilobytes * 1024),
            open_descriptors: open_descriptors(field("FDSize")),
            most_descriptors: limits.ok().map(|(soft, _)| soft),
        }
    }
}

/// How long its threads have run.
fn cpu() -> Option<Duration> {
    let usage = nix::sys::resource::getrusage(nix::sys::resource::UsageWho::RUSAGE_SELF).ok()?;
    let [user, system] = [usage.user_time(), usage.system_time()]
        .map(|time| Duration::from_micros(u64::try_from(time.tv_sec() * 1_000_000 + time.tv_usec()).unwrap_or(0)));
    Some(user + system)
}

/// From Linux 6.2 on the size of the folder is their number; before, it is none, and they are counted if there are not too many.
fn open_descriptors(places: Option<u64>) -> Option<u64> {
    let size = std::fs::metadata("/proc/self/fd").ok()?.st_size();
    if size > 0 {
        return Some(size);
    }
    places.filter(|places| *places <= COUNTED)?;
    // The one that counts is open too.
    Some((std::fs::read_dir("/proc/self/fd").ok()?.count() as u64).saturating_sub(1))
}

/// Seconds since 1970.
pub(super) fn seconds(time: SystemTime) -> f64 {
    time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_says_what_this_process_uses() {
        let Process { cpu, resident_bytes, open_descriptors, most_descriptors } = Process::now();
        assert!(cpu.is_some() && resident_bytes.is_some_and(|bytes| bytes > 1 << 20));
        assert!(open_descriptors.is_some_and(|open| open >= 3 && most_descriptors.is_some_and(|most| open <= most)));
    }
}
