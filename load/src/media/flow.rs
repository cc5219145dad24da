//! One source's packets as one receiver gets them: what is lost or out of order, how long they take, and how evenly they come.
//! Knows no sockets and no clock.

/// Ticks a second of what 48,000 samples a second are stamped with.
pub(crate) const TICKS: u64 = 48_000;

/// A header of RTP (RFC 3550 §5.1), and when the packet left, in nanoseconds.
pub(crate) const HEADER_BYTES: usize = 12;
pub(crate) const STAMPED_BYTES: usize = HEADER_BYTES + 8;

/// Opus has no number of its own; this one is usual.
const PAYLOAD_TYPE: u8 = 111;

/// What a packet says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Packet {
    pub(crate) source: u32,
    /// Wraps around.
    pub(crate) number: u16,
    pub(crate) timestamp: u32,
    pub(crate) left: u64,
}

impl Packet {
    pub(crate) fn write(self, packet: &mut [u8]) {
        // Version 2, no padding, extension or contributing sources.
        packet[..2].copy_from_slice(&[0x80, PAYLOAD_TYPE]);
        packet[2..4].copy_from_slice(&self.number.to_be_bytes());
        packet[4..8].copy_from_slice(&self.timestamp.to_be_bytes());
        packet[8..12].copy_from_slice(&self.source.to_be_bytes());
        packet[12..20].copy_from_slice(&self.left.to_be_bytes());
    }

    /// What was written, if it is one of these.
    pub(crate) fn read(packet: &[u8]) -> Option<Self> {
        let (header, _) = packet.split_first_chunk::<STAMPED_BYTES>()?;
        if header[..2] != [0x80, PAYLOAD_TYPE] {
            return None;
        }
        let [_, _, n0, n1, t0, t1, t2, t3, s0, s1, s2, s3, left @ ..] = *header;
        Some(Self {
            source: u32::from_be_bytes([s0, s1, s2, s3]),
            number: u16::from_be_bytes([n0, n1]),
            timestamp: u32::from_be_bytes([t0, t1, t2, t3]),
            left: u64::from_be_bytes(left),
        })
    }
}

/// What one receiver has of one source.
#[derive(Debug, Clone, Default)]
pub(crate) struct Flow {
    highest: Option<u64>,
    first: u64,
    pub(crate) received: u64,
    pub(crate) reordered: u64,
    /// As the timestamps have it: with what the sender does unevenly.
    pub(crate) by_timestamp: Jitter,
    /// As they left: what was added on the way.
    pub(crate) by_departure: Jitter,
}

/// The estimate of RFC 3550 §A.8, in nanoseconds. It forgets fast, so what it was behind each packet is kept in the mean.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Jitter {
    transit: Option<i64>,
    estimate: f64,
    sum: f64,
    count: u64,
    pub(crate) most: f64,
}

impl Jitter {
    fn take(&mut self, transit: i64) {
        if let Some(before) = self.transit.replace(transit) {
            let difference = (transit - before).unsigned_abs() as f64;
            self.estimate += (difference - self.estimate) / 16.0;
            self.sum += self.estimate;
            self.count += 1;
            self.most = self.most.max(self.estimate);
        }
    }

    /// Adds what another receiver has seen, or of another source.
    pub(crate) fn add(&mut self, other: &Self) {
        self.sum += other.sum;
        self.count += other.count;
        self.most = self.most.max(other.most);
    }

    /// Over all packets but the first of each source.
    pub(crate) fn mean(&self) -> f64 {
        self.sum / self.count.max(1) as f64
    }
}

impl Flow {
    /// Takes a packet that came at `now`.
    pub(crate) fn take(&mut self, packet: &Packet, now: u64) {
        let number = self.extended(packet.number);
        self.received += 1;
        match self.highest {
            None => (self.first, self.highest) = (number, Some(number)),
            Some(highest) if number < highest => self.reordered += 1,
            Some(_) => self.highest = Some(number),
        }
        let stamped = u64::from(packet.timestamp) * 1_000_000_000 / TICKS;
        self.by_timestamp.take(now.cast_signed() - stamped.cast_signed());
        self.by_departure.take(now.cast_signed() - packet.left.cast_signed());
    }

    /// A number without its wrapping around: the nearest to the highest so far.
    fn extended(&self, number: u16) -> u64 {
        let Some(highest) = self.highest else { return (1 << 16) + u64::from(number) };
        let ahead = number.wrapping_sub(highest as u16).cast_signed();
        highest.saturating_add_signed(i64::from(ahead))
    }

    /// How many of those numbers are missing that were seen, or that a source of `sent` packets has sent since the first seen.
    pub(crate) fn lost(&self) -> u64 {
        self.highest.map_or(0, |highest| (highest - self.first + 1).saturating_sub(self.received))
    }
}

#[cfg(test)]
mod tests {
    use super::{Flow, Jitter, Packet, STAMPED_BYTES};

    fn packet(number: u16, left: u64) -> Packet {
        Packet { source: 7, number, timestamp: u32::from(number) * 960, left }
    }

    #[test]
    fn a_packet_is_read_as_it_was_written() {
        let mut bytes = [0; 160];
        packet(3, 99).write(&mut bytes);
        assert_eq!(bytes[..12], [0x80, 111, 0, 3, 0, 0, 0x0b, 0x40, 0, 0, 0, 7]);
        assert_eq!(Packet::read(&bytes), Some(packet(3, 99)));
        assert_eq!(Packet::read(&bytes[..STAMPED_BYTES - 1]), None);
        assert_eq!(Packet::read(b"* bob joined, and whatever else is said"), None);
    }

    #[test]
    fn losses_and_packets_out_of_order_are_counted_over_the_wrapping() {
        let mut flow = Flow::default();
        for number in [65_533, 65_534, 0, 65_535, 2] {
            flow.take(&packet(number, 0), 0);
        }
        assert_eq!((flow.received, flow.reordered, flow.lost()), (5, 1, 1));
    }

    #[test]
    fn what_comes_as_evenly_as_it_left_has_no_jitter_and_what_does_not_has_a_sixteenth_of_the_difference() {
        let mut flow = Flow::default();
        for number in 0..100 {
            flow.take(&packet(number, u64::from(number) * 20_000_000), u64::from(number) * 20_000_000 + 5);
        }
        assert!(flow.by_timestamp.most.max(flow.by_departure.most) < 1e-6);
        flow.take(&packet(100, 2_000_000_000), 2_000_000_000 + 5 + 1600);
        assert!((flow.by_departure.most - 100.0).abs() < 1e-6, "{:?}", flow.by_departure);
    }

    #[test]
    fn jitter_is_the_mean_of_what_it_was_behind_each_packet_of_each_source() {
        let (mut late, mut all) = (Flow::default(), Jitter::default());
        // One comes late, at the beginning, which the estimate itself has forgotten at the end.
        for number in 0..201 {
            let left = u64::from(number) * 20_000_000;
            late.take(&packet(number, left), left + if number == 1 { 1600 } else { 0 });
        }
        // A sixteenth of 1600, and of the way back to what is left; then fifteen sixteenths of it each time.
        let expected: f64 = 100.0 + (0..199).map(|number| 193.75 * 0.9375_f64.powi(number)).sum::<f64>();
        assert!(late.by_departure.estimate < 0.01);
        assert!((late.by_departure.mean() - expected / 200.0).abs() < 1e-6, "{:?}", late.by_departure);
        let mut even = Flow::default();
        for number in 0..201 {
            even.take(&packet(number, 0), 7);
        }
        all.add(&late.by_departure);
        all.add(&even.by_departure);
        assert!((all.mean() - expected / 400.0).abs() < 1e-6 && (all.most - 193.75).abs() < 1e-6, "{all:?}");
    }
}
