//! What was typed after `bench`, as texts: `options` says what they mean, and everything that is wrong with them at once.

use std::path::PathBuf;

/// Lists are laid out within 80 columns; a paragraph is one line, which is wrapped to the terminal.
pub const HELP: &str = "\
SCENARIO is one of
  echo     every message is answered, as by a line server; replies are
           compared byte for byte
  rooms    what publishers send reaches every member of their room, once and in
           order
  idle     connections that stay open and silent
  udp      echo with datagrams; unanswered ones are counted
  media    a conference in a room over UDP: speakers send a packet of RTP each
           20 ms; losses, order, one-way delay and jitter (RFC 3550)

URL is one of
  tcp://HOST:PORT    ws://HOST:PORT/PATH     udp://HOST:PORT
  tls://HOST:PORT    wss://HOST:PORT/PATH    unix:///PATH
and HOST:PORT alone is tcp://HOST:PORT.

Over tls and wss the server's certificate is checked only against --ca. In the path of a ws or wss URL, \
{room} stands for a room's name.

Messages are due at a constant rate, whether or not the server keeps up, and latency counts from when a message was due, so if a server \
stops for a second, that second shows. With --rate max each connection waits for its answers, which finds the highest rate \
but hides such stops.

Use it on servers that are yours: it sends as much as you ask for.

Exit codes: 0 done; 1 a --max-… limit was exceeded or the server could not be reached; 2 a mistake in the command line.";

/// For completions; `options` knows what they mean.
pub const SCENARIOS: [&str; 5] = ["echo", "rooms", "idle", "udp", "media"];
pub const PROTOCOLS: [&str; 5] = ["lines", "nats", "resp", "mqtt", "ws"];

/// Everything that can be typed after `bench`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The scenario: echo, rooms, idle, udp or media
    #[arg(value_parser = scenario)]
    pub(crate) scenario: String,
    /// The server (see --help)
    #[arg(long_help = "The server, as in tcp://127.0.0.1:8080")]
    pub(crate) url: String,
    /// Connections; in rooms, members that listen [default: echo 50, rooms 100, idle 1000, udp 16]
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    pub(crate) connections: Option<String>,
    /// Bytes in a message, without its framing [default: 64; rooms 128; media 160]
    #[arg(long, value_name = "SIZE", allow_hyphen_values = true)]
    pub(crate) size: Option<String>,
    /// Messages a second from all senders together, or max; in media from each [default: 1000; rooms 100; media 50]
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    pub(crate) rate: Option<String>,
    /// With --rate max: messages in flight, per connection or, in rooms, per room [default: 1]
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    pub(crate) in_flight: Option<String>,
    /// How long to measure [default: 10s]
    #[arg(long, value_name = "DURATION", allow_hyphen_values = true)]
    pub(crate) duration: Option<String>,
    /// How long to run at the full rate before measuring [default: 1s]
    #[arg(long, value_name = "DURATION", allow_hyphen_values = true)]
    pub(crate) warmup: Option<String>,
    /// How long the rate rises before that; with idle, how long opening the connections takes [default: 0]
    #[arg(long, value_name = "DURATION", allow_hyphen_values = true)]
    pub(crate) ramp: Option<String>,
    /// Connections to close and replace each second [default: 0]
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    pub(crate) churn: Option<String>,
    /// Connections that read at most 10 KiB a second; what they miss does not count as lost [default: 0]
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    pub(crate) slow_readers: Option<String>,
    /// In rooms: connections that publish, besides the members [default: as many as rooms]
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    pub(crate) publishers: Option<String>,
    /// In rooms: the number of rooms that members and publishers are spread over [default: 1]
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    pub(crate) rooms: Option<String>,
    /// In rooms: the room's name, with -1, -2, … added if there are several; with lines, the room to join [default: bench]
    #[arg(long, value_name = "ROOM", allow_hyphen_values = true)]
    pub(crate) room: Option<String>,
    /// In media: members that send packets, each --rate a second [default: 20]
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    pub(crate) speakers: Option<String>,
    /// In media: members that receive them; the first are the speakers themselves [default: as many]
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    pub(crate) listeners: Option<String>,
    /// In rooms: lines, nats, resp, mqtt or ws [default: lines, or ws by the URL]
    #[arg(long, value_name = "PROTOCOL", allow_hyphen_values = true)]
    pub(crate) protocol: Option<String>,
    /// Number of addresses 127.1.x.y to connect from, since each has 28,232 ports by default [default: as many as needed]
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    pub(crate) source_addresses: Option<String>,
    /// Seed for the order of senders and replacements [default: 1]
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    pub(crate) seed: Option<String>,
    /// Threads that generate the load [default: half the cores, at most 4]
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    pub(crate) threads: Option<String>,
    /// Process ids of the server, separated by commas, to report its CPU time and memory
    #[arg(long, value_name = "PID", allow_hyphen_values = true)]
    pub(crate) server_pid: Option<String>,
    /// Certificates, in PEM, to check the server's against
    #[arg(long, value_name = "FILE")]
    pub(crate) ca: Option<PathBuf>,
    #[arg(
        long,
        value_name = "FILE",
        help = "Present the token in this file to a server of lines or WebSockets [default: the one in SWITCHBOARD_TOKEN]"
    )]
    pub(crate) token_file: Option<PathBuf>,
    /// Exit with 1 if the 99th percentile is above this, as in 500us or 20ms
    #[arg(long, value_name = "DURATION", allow_hyphen_values = true)]
    pub(crate) max_p99: Option<String>,
    /// Exit with 1 if more messages than this are lost, or any is duplicated, reordered or corrupt
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    pub(crate) max_lost: Option<String>,
    /// Exit with 1 if more connections than this could not be opened or were closed by the server [default: 0]
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    pub(crate) max_failed: Option<String>,
    /// Print the result as JSON (docs/bench.md) instead of text
    #[arg(long)]
    pub(crate) json: bool,
    /// Write the result to a file, as a page with charts
    #[arg(long, value_name = "FILE")]
    pub(crate) html: Option<PathBuf>,
    /// Print a line a second instead of the live view
    #[arg(long)]
    pub(crate) no_tui: bool,
}

/// Whether it exists is checked with everything else; a URL in its place gets advice.
fn scenario(text: &str) -> Result<String, String> {
    if text.contains("://") {
        return Err("this is a URL: the scenario comes before it, as in `bench echo URL`".to_owned());
    }
    Ok(text.to_owned())
}
