//! What processes have used, from /proc: the server's CPU time and memory, and how busy the machine is.

use std::fs;

/// At one moment.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Usage {
    /// Nanoseconds of all living threads of the server; `None` if the kernel does not say.
    pub(crate) cpu: Option<u64>,
    /// Resident bytes of the server.
    pub(crate) memory: u64,
    /// Ticks of all cores: busy, and in all.
    busy: u64,
    ticks: u64,
}

impl Usage {
    pub(crate) fn now(server: &[u32]) -> Self {
        let cpu = server.iter().map(|process| cpu(*process)).sum();
        let memory = server.iter().filter_map(|process| memory(*process)).sum();
        let (busy, ticks) = machine().unwrap_or_default();
        Self { cpu, memory, busy, ticks }
    }

    /// The share of all cores that was busy since an earlier moment, with anything.
    pub(crate) fn machine_since(&self, earlier: &Self) -> Option<f64> {
        let ticks = self.ticks.checked_sub(earlier.ticks).filter(|ticks| *ticks > 0)?;
        Some(self.busy.saturating_sub(earlier.busy) as f64 / ticks as f64)
    }
}

/// Nanoseconds on a CPU, which /proc/PID/stat has in ticks of 10 ms only.
fn cpu(process: u32) -> Option<u64> {
    let threads = fs::read_dir(format!("/proc/{process}/task")).ok()?;
    let time = |thread: fs::DirEntry| {
        let text = fs::read_to_string(thread.path().join("schedstat")).ok()?;
        text.split(' ').next()?.parse::<u64>().ok()
    };
    let times: Vec<_> = threads.map_while(Result::ok).filter_map(time).collect();
    (!times.is_empty()).then(|| times.iter().sum())
}

fn memory(process: u32) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.split_whitespace().next()?.parse::<u64>().ok()? * 1024)
}

/// Of the first line of /proc/stat (proc(5)): user, nice, system, idle, iowait, irq, softirq, steal.
fn machine() -> Option<(u64, u64)> {
    let text = fs::read_to_string("/proc/stat").ok()?;
    let ticks: Vec<u64> =
        text.lines().next()?.split_whitespace().skip(1).take(8).filter_map(|field| field.parse().ok()).collect();
    let [user, nice, system, idle, iowait, irq, softirq, steal] = ticks[..] else { return None };
    let busy = user + nice + system + irq + softirq + steal;
    Some((busy, busy + idle + iowait))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_uses_something() {
        let usage = Usage::now(&[std::process::id()]);
        assert!(usage.cpu.is_some_and(|cpu| cpu > 0) && usage.memory > 0 && usage.ticks > usage.busy);
        assert!(Usage::now(&[]).memory == 0);
    }
}
