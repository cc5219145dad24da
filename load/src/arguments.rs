//! What was typed behind `bench`. Texts: `options` says what they mean, and all that is wrong with them at once.

use std::path::PathBuf;

/// Lists are laid out within 80 columns; a paragraph is one line, which is wrapped to the terminal.
pub const HELP: &str = "\
SCENARIO is one of
  echo     each message is answered, as by a server of lines; the reply is
           compared byte for byte
  rooms    what publishers send reaches every member of their room, once and in
           order
  idle     connections that stay open and silent
  udp      echo with datagrams; those without an answer are counted

URL is one of
  tcp://HOST:PORT    ws://HOST:PORT/PATH     udp://HOST:PORT
  tls://HOST:PORT    wss://HOST:PORT/PATH    unix:///PATH
and HOST:PORT alone is tcp://HOST:PORT.

Over tls and wss the server's certificate is checked only against --ca. In the path of a ws or wss URL, \
{room} stands for a room's name.

Messages are due at a constant rate, whether or not the server keeps up, and latency counts from when a message was due: a server \
that stops for a second shows that second. With --rate max each connection waits for its answers, which finds the highest rate \
and hides such stops.

It is meant for servers that are yours: it sends as much as you ask for.

Exit codes: 0 done, 1 a --max-… is broken or the server was not reached, 2 command line.";

/// For completions; what they mean is `options`' business.
pub const SCENARIOS: [&str; 4] = ["echo", "rooms", "idle", "udp"];
pub const PROTOCOLS: [&str; 5] = ["lines", "nats", "resp", "mqtt", "ws"];

/// Everything that `bench` can be told, as typed.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// What to do: echo, rooms, idle or udp
    pub(crate) scenario: String,
    /// Where (see --help)
    pub(crate) url: String,
    /// Connections; in rooms, members that listen [default: echo 50, rooms 100, idle 1000, udp 16]
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    pub(crate) connections: Option<String>,
    /// Bytes in a message, without its framing [default: 64; rooms 128]
    #[arg(long, value_name = "SIZE", allow_hyphen_values = true)]
    pub(crate) size: Option<String>,
    /// Messages a second, of all senders together, or max [default: 1000; rooms 100]
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    pub(crate) rate: Option<String>,
    /// With --rate max: unanswered messages of a connection, or undelivered ones of a room [default: 1]
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    pub(crate) in_flight: Option<String>,
    /// How long to measure [default: 10s]
    #[arg(long, value_name = "DURATION", allow_hyphen_values = true)]
    pub(crate) duration: Option<String>,
    /// At the full rate before that, not measured [default: 1s]
    #[arg(long, value_name = "DURATION", allow_hyphen_values = true)]
    pub(crate) warmup: Option<String>,
    /// Over which the rate rises before that; with idle, over which connections are opened [default: 0]
    #[arg(long, value_name = "DURATION", allow_hyphen_values = true)]
    pub(crate) ramp: Option<String>,
    /// Connections that are closed and replaced, each second [default: 0]
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    pub(crate) churn: Option<String>,
    /// Connections that read 10 KiB a second at most; what they miss is not lost [default: 0]
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    pub(crate) slow_readers: Option<String>,
    /// In rooms: connections that publish, besides the members [default: as many as rooms]
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    pub(crate) publishers: Option<String>,
    /// In rooms: over how many rooms members and publishers are spread [default: 1]
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    pub(crate) rooms: Option<String>,
    /// In rooms: the room's name, which several rooms add -1, -2, … to; lines then join it [default: bench]
    #[arg(long, value_name = "ROOM", allow_hyphen_values = true)]
    pub(crate) room: Option<String>,
    /// In rooms: lines, nats, resp, mqtt or ws [default: lines, or ws by the URL]
    #[arg(long, value_name = "PROTOCOL", allow_hyphen_values = true)]
    pub(crate) protocol: Option<String>,
    /// Connect from so many addresses 127.1.x.y, as one has 28,232 ports by default [default: as many as needed]
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    pub(crate) source_addresses: Option<String>,
    /// What the order of senders and replacements follows from [default: 1]
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    pub(crate) seed: Option<String>,
    /// Threads that make the load [default: half of the cores, at most 4]
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    pub(crate) threads: Option<String>,
    /// Processes of the server, to tell its CPU time and memory; separated by commas
    #[arg(long, value_name = "PID", allow_hyphen_values = true)]
    pub(crate) server_pid: Option<String>,
    /// Certificates to check the server's against, PEM
    #[arg(long, value_name = "FILE")]
    pub(crate) ca: Option<PathBuf>,
    /// End with 1 if the 99th percentile is above this, as in 500us or 20ms
    #[arg(long, value_name = "DURATION", allow_hyphen_values = true)]
    pub(crate) max_p99: Option<String>,
    /// End with 1 if more messages than this are lost, or any is duplicated, reordered or corrupt
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    pub(crate) max_lost: Option<String>,
    /// End with 1 if more connections than this could not be opened, or were closed by the server [default: 0]
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    pub(crate) max_failed: Option<String>,
    /// Print the result as JSON (docs/bench.md) instead of text
    #[arg(long)]
    pub(crate) json: bool,
    /// Write the result to a file as a page with charts
    #[arg(long, value_name = "FILE")]
    pub(crate) html: Option<PathBuf>,
    /// A line a second instead of the live view
    #[arg(long)]
    pub(crate) no_tui: bool,
}
