//! A conference: everybody sends packets of RTP as a microphone does, and hears everybody else by a room that passes on datagrams.
//!
//! Members join over UDP, by the cookie that the server gives them. One thread sends when packets are due, another one receives.

mod flow;
mod outcome;

use crate::clock::{Clock, thread_time};
use crate::options::{Faults, parse_processes, parse_room};
use crate::process::Usage;
use crate::schedule::{SECOND, nanoseconds};
use crate::typed::{Scheme, Url, parse_count, parse_duration, parse_latency, parse_number, parse_size};
use crate::{Arguments, BenchError, print};
use anyhow::{Context as _, anyhow};
use flow::{Flow, Packet, STAMPED_BYTES, TICKS};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use outcome::{Outcome, Used};
use std::collections::HashMap;
use std::io::ErrorKind;
use std::net::UdpSocket;
use std::os::fd::AsFd as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;
use switchboard::Escaped;

/// Packets a second of one source: one each 20 ms.
const RATE: u32 = 50;

/// The longest wait for an answer to a join, and how often it is tried.
const ANSWER: Duration = Duration::from_millis(500);
const TRIES: usize = 10;

/// After the last packet, for those that are still on their way.
const TAIL: Duration = Duration::from_millis(500);

/// What a socket may hold: a burst of all sources at once, many times over.
const RECEIVE_BUFFER_BYTES: usize = 4 << 20;

/// What was typed.
struct Plan {
    url: Url,
    room: String,
    speakers: usize,
    listeners: usize,
    rate: u32,
    packet_bytes: usize,
    warmup: u64,
    duration: u64,
    server: Vec<u32>,
    max_lost: Option<u64>,
    max_p99: Option<Duration>,
    json: bool,
}

/// Runs it and shows the result.
pub(crate) fn bench(typed: &Arguments) -> Result<(), BenchError> {
    let plan = Plan::parse(typed).map_err(BenchError::Typed)?;
    run(&plan).map_err(BenchError::Failed)
}

impl Plan {
    fn parse(typed: &Arguments) -> Result<Self, Vec<String>> {
        let mut faults = Faults::default();
        let url = Url::parse(&typed.url).map_err(|fault| faults.argument(format!("{}: {fault}", typed.url))).ok();
        if url.as_ref().is_some_and(|url| url.scheme != Scheme::Udp) {
            faults.argument(format!("{}: media are datagrams: udp://HOST:PORT", typed.url));
        }
        let others = [
            ("--connections", &typed.connections),
            ("--in-flight", &typed.in_flight),
            ("--ramp", &typed.ramp),
            ("--churn", &typed.churn),
            ("--slow-readers", &typed.slow_readers),
            ("--publishers", &typed.publishers),
            ("--rooms", &typed.rooms),
            ("--protocol", &typed.protocol),
            ("--threads", &typed.threads),
        ];
        for (flag, _) in others.iter().filter(|(_, given)| given.is_some()) {
            faults.flag(flag, "not for media".to_owned());
        }
        let count = |text: &str| parse_count(text, 10_000);
        let time = |text: &str| parse_duration(text).map(nanoseconds);
        let speakers = faults.read("--speakers", typed.speakers.as_ref(), count).unwrap_or(20);
        let listeners = faults.read("--listeners", typed.listeners.as_ref(), count).unwrap_or(speakers);
        let rate = faults.read("--rate", typed.rate.as_ref(), count).map_or(RATE, |rate| rate as u32);
        let packet_bytes = faults.read("--size", typed.size.as_ref(), parse_size).unwrap_or(160);
        let warmup = faults.read("--warmup", typed.warmup.as_ref(), time).unwrap_or(SECOND);
        let duration = faults.read("--duration", typed.duration.as_ref(), time).unwrap_or(10 * SECOND);
        let max_lost = faults.read("--max-lost", typed.max_lost.as_ref(), parse_number);
        let max_p99 = faults.read("--max-p99", typed.max_p99.as_ref(), parse_latency);
        let room = faults.read("--room", typed.room.as_ref(), parse_room);
        let server = faults.read("--server-pid", typed.server_pid.as_ref(), parse_processes).unwrap_or_default();
        if !(STAMPED_BYTES..=1400).contains(&packet_bytes) {
            faults.flag("--size", format!("not from {STAMPED_BYTES} to 1400"));
        }
        let (Some(url), true) = (url, faults.0.is_empty()) else { return Err(faults.0) };
        Ok(Self {
            url,
            room: room.unwrap_or_else(|| "bench".to_owned()),
            speakers,
            listeners,
            rate,
            packet_bytes,
            warmup,
            duration,
            server,
            max_lost,
            max_p99,
            json: typed.json,
        })
    }

    fn members(&self) -> usize {
        self.speakers.max(self.listeners)
    }

    /// When a source's packet is due: sources do not all speak at once.
    fn due(&self, source: usize, number: u64) -> u64 {
        let interval = SECOND / u64::from(self.rate);
        number * interval + interval * source as u64 / self.speakers as u64
    }
}

fn run(plan: &Plan) -> anyhow::Result<()> {
    let sockets: Vec<_> = (0..plan.members()).map(|_| join(plan)).collect::<Result<_, _>>()?;
    let outcome = measure(plan, &sockets)?;
    for socket in &sockets {
        // Its place would be kept for minutes; nobody is left to tell.
        let _ = socket.send(b"/leave");
    }
    let shown = if plan.json { outcome.json(plan) } else { outcome.text(plan) };
    print::write(shown.as_bytes()).context("cannot print the report")?;
    outcome.broken(plan).map_or(Ok(()), |broken| Err(anyhow!(broken)))
}

/// A member of the room.
fn join(plan: &Plan) -> anyhow::Result<UdpSocket> {
    let host = plan.url.host();
    let socket = UdpSocket::bind(if host.starts_with('[') { "[::]:0" } else { "0.0.0.0:0" })?;
    // Best effort: the kernel grants up to `net.core.rmem_max`.
    let _ = socket2::SockRef::from(&socket).set_recv_buffer_size(RECEIVE_BUFFER_BYTES);
    socket.connect(&host).with_context(|| plan.url.typed.clone())?;
    socket.set_read_timeout(Some(ANSWER))?;
    let mut answer = [0; 2048];
    let mut said = format!("/join {}", plan.room);
    for _ in 0..TRIES {
        socket.send(said.as_bytes())?;
        let length = match socket.recv(&mut answer) {
            Ok(length) => length,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => continue,
            Err(error) => return Err(error).with_context(|| plan.url.typed.clone()),
        };
        let text = answer[..length].trim_ascii_end();
        let cookie = text.strip_prefix(b"cookie=").and_then(|cookie| str::from_utf8(cookie).ok());
        match cookie {
            Some(cookie) => said = format!("/join {} cookie={cookie}", plan.room),
            None if text.starts_with(b"!") => return Err(anyhow!("{}: {}", plan.url.typed, Escaped(text))),
            // It is told where it is, or hears the others already.
            None => {
                socket.set_nonblocking(true)?;
                return Ok(socket);
            }
        }
    }
    Err(anyhow!("{}: nobody lets it join {}; is it rooms over UDP?", plan.url.typed, plan.room))
}

fn measure(plan: &Plan, sockets: &[UdpSocket]) -> anyhow::Result<Outcome> {
    let (clock, over) = (Clock::start(), AtomicBool::new(false));
    let (began, before) = (clock.now(), Usage::now(&plan.server));
    let begins = began + SECOND / 50;
    let (sent, heard) = thread::scope(|scope| {
        let hearing = scope.spawn(|| timed(|| hear(plan, &sockets[..plan.listeners], (clock, begins), &over)));
        let (sent, speaking) = timed(|| speak(plan, &sockets[..plan.speakers], (clock, begins)));
        pause(TAIL);
        // Relaxed: it is looked at again and again.
        over.store(true, Ordering::Relaxed);
        (sent.map(|sent| (sent, speaking)), hearing.join())
    });
    let (after, time) = (Usage::now(&plan.server), clock.now() - began);
    let (heard, hearing) = heard.map_err(|_| anyhow!("the thread that receives panicked"))?;
    let (sent, speaking) = sent?;
    Ok(Outcome::new(plan, sent, heard?, &Used { time, busiest: speaking.max(hearing), before, after }))
}

/// With how long this thread had a CPU for it.
fn timed<T>(work: impl FnOnce() -> T) -> (T, u64) {
    let before = thread_time();
    let done = work();
    (done, thread_time().saturating_sub(before))
}

#[expect(clippy::disallowed_methods, reason = "a load is timed by the real clock, and this thread serves nobody")]
fn pause(time: Duration) {
    thread::sleep(time);
}

/// Sends each packet when it is due. Returns how many were sent after the warm-up.
fn speak(plan: &Plan, sockets: &[UdpSocket], (clock, begins): (Clock, u64)) -> anyhow::Result<u64> {
    let mut packet = vec![0; plan.packet_bytes];
    let mut sent = 0;
    for number in 0.. {
        for (source, socket) in sockets.iter().enumerate() {
            let due = plan.due(source, number);
            if due >= plan.warmup + plan.duration {
                return Ok(sent);
            }
            let early = (begins + due).saturating_sub(clock.now());
            if early > 0 {
                pause(Duration::from_nanos(early));
            }
            let timestamp = (number * TICKS / u64::from(plan.rate)) as u32;
            let left = clock.now();
            Packet { source: source as u32, number: number as u16, timestamp, left }.write(&mut packet);
            socket.send(&packet).with_context(|| plan.url.typed.clone())?;
            sent += u64::from(due >= plan.warmup);
        }
    }
    Ok(sent)
}

/// What all listeners have heard.
#[derive(Default)]
struct Heard {
    /// By listener and source.
    flows: HashMap<(usize, u32), Flow>,
    delays: Vec<u64>,
    /// Those of the warm-up, too.
    all: u64,
}

fn hear(plan: &Plan, sockets: &[UdpSocket], (clock, begins): (Clock, u64), over: &AtomicBool) -> anyhow::Result<Heard> {
    let mut heard = Heard::default();
    let mut bytes = [0; 2048];
    let mut ready: Vec<_> = sockets.iter().map(|socket| PollFd::new(socket.as_fd(), PollFlags::POLLIN)).collect();
    // Relaxed: see where it is set.
    while !over.load(Ordering::Relaxed) {
        poll(&mut ready, PollTimeout::from(100_u8))?;
        let readable = ready.iter().enumerate().filter(|(_, ready)| ready.any() == Some(true));
        for (listener, _) in readable {
            while let Ok(length) = sockets[listener].recv(&mut bytes) {
                let now = clock.now();
                let Some(packet) = Packet::read(&bytes[..length]) else { continue };
                heard.all += 1;
                if packet.left >= begins + plan.warmup {
                    heard.flows.entry((listener, packet.source)).or_default().take(&packet, now);
                    heard.delays.push(now.saturating_sub(packet.left));
                }
            }
        }
    }
    Ok(heard)
}
