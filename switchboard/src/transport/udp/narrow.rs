//! Hosts that joined datagrams do not reach: a network on the way takes only smaller packets than their parts, or a device
//! does not take them apart. A limited number is remembered, and for a while only, since the way there may change.

use std::collections::{HashSet, VecDeque};
use std::net::IpAddr;
use std::time::Duration;
use tokio::time::Instant;

/// As long as knowledge about a path stays good (RFC 1191 §6.3).
const REMEMBERED: Duration = Duration::from_mins(10);

/// Hosts that are remembered, 100 KiB. A forgotten one costs one more system call to find out again.
const MOST: usize = 1024;

#[derive(Default)]
pub(super) struct Narrow {
    hosts: HashSet<IpAddr>,
    /// When each is forgotten, the earliest first.
    until: VecDeque<(Instant, IpAddr)>,
}

impl Narrow {
    pub(super) fn has(&self, host: IpAddr) -> bool {
        !self.hosts.is_empty() && self.hosts.contains(&host)
    }

    pub(super) fn add(&mut self, host: IpAddr) {
        if !self.hosts.insert(host) {
            return;
        }
        if self.until.len() == MOST {
            self.forget_first();
        }
        self.until.push_back((Instant::now() + REMEMBERED, host));
    }

    /// Forgets those whose time is over. The clock is read only if there are any.
    pub(super) fn forget_old(&mut self) {
        if self.until.is_empty() {
            return;
        }
        let now = Instant::now();
        while self.until.front().is_some_and(|(until, _)| *until <= now) {
            self.forget_first();
        }
    }

    fn forget_first(&mut self) {
        if let Some((_, host)) = self.until.pop_front() {
            self.hosts.remove(&host);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{MOST, Narrow, REMEMBERED};
    use std::net::{IpAddr, Ipv4Addr};

    #[tokio::test(start_paused = true)]
    async fn a_host_is_remembered_for_a_while_and_so_many_at_most() {
        let host = |number: usize| IpAddr::V4(Ipv4Addr::from_bits(number as u32));
        let mut narrow = Narrow::default();
        for number in 0..=MOST {
            narrow.add(host(number));
        }
        assert!(!narrow.has(host(0)) && narrow.has(host(1)) && narrow.has(host(MOST)));
        tokio::time::advance(REMEMBERED / 2).await;
        narrow.add(host(0));
        narrow.add(host(MOST));
        tokio::time::advance(REMEMBERED / 2).await;
        narrow.forget_old();
        assert!(narrow.has(host(0)) && !narrow.has(host(2)) && !narrow.has(host(MOST)));
        assert_eq!(narrow.hosts.len(), 1);
    }
}
