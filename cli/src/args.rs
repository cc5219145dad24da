//! What was typed. What it means, together with the environment and a file, is for `config` to say.
//!
//! Values stay text here: clap would report the first fault alone, and all are to be reported at once.

use crate::admin;
use crate::cluster::{ClusterAction, HELP as CLUSTER_HELP};
use crate::connect;
use crate::data::{DataAction, HELP as DATA_HELP};
use crate::policy::command::TokenAction;
use crate::top;
use clap::builder::StyledStr;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{ArgAction, Parser, Subcommand};
use std::path::PathBuf;
use switchboard::{Rights, RoomName};
use switchboard_load as load;

/// How other servers are told where to listen.
const ADDRESS_FLAGS: [&str; 6] = ["--address", "--bind", "--host", "--listen", "--port", "-p"];

/// Within 80 columns, or narrow terminals break the lists.
const SERVE_HELP: &str = "\
SERVICE is one of
  echo             answers each line, datagram or WebSocket message with a
                   prefix and the same text; not on HTTP
  rooms            passes each line on to everybody else in the same room; not
                   on ws:// and wss://, as http:// includes WebSockets
  proxy            passes each connection on to one of several upstreams, byte
                   for byte, or each datagram; on tcp://, tls://, unix:// and
                   udp://
  admin            shows how the server is: metrics, health, sums; on http://,
                   https:// and unix:///, which is for its owner alone

URL is one of
  tcp://HOST:PORT  port 0 picks a free one; IPv6 as in tcp://[::1]:8080
  tls://HOST:PORT  followed by ?cert=FILE&key=FILE (PEM), repeated for several
                   host names
  unix:///PATH
  udp://HOST:PORT
  http://…         a page for browsers, and for programs the requests and
                   WebSockets that /openapi.json describes
  https://…        the same, with certificates as for tls://
  ws://…           WebSockets only, on any path; wss:// over TLS

followed by options, percent-encoded, as in
'echo=tcp://127.0.0.1:8080?prefix=&idle=5m'

Options of every listener but unix://
  freebind=on|off  whether the address may not exist yet (off)
  proxy-from=LIST  networks of proxies, whose connections begin with a PROXY
                   header (none); not on UDP
  proxy-others=refuse|direct
                   what becomes of connections from elsewhere (refuse)

Options of http://, https://, ws:// and wss://
  forwarded-from=LIST
                   networks of proxies that say whose a request is (none)
  forwarded-by=HEADER
                   how: x-forwarded-for, forwarded or x-real-ip
                   (x-forwarded-for)

Options of tls://, https:// and wss://
  client-ca=FILE   the authority whose certificates clients are asked for (none)
  client-cert=required|optional
                   whether they have to have one (required)
  client-crl=FILE  its certificates that are revoked (none)

Options of unix://
  mode=MODE        of the socket's file, as 0660 (what the umask leaves; admin:
                   0600)
  group=GROUP      of the socket's file (that of the process)

Options of echo
  prefix=TEXT      put before each answer (`echo: `, on UDP `received: `;
                   empty: RFC 862)
  idle=DURATION    close a connection that sends nothing for this long (30s;
                   off); not on UDP
  origins=LIST     whose pages may connect to ws:// and wss://, as below

Options of rooms
  format=FORMAT    what members are sent: text, json, or raw payloads (text;
                   on HTTP json)
  room=ROOM        the room that new connections join (lobby)
  commands=on|off  whether lines that begin with / are commands (on)
  echo=on|off      whether senders get their own messages too (off)
  rate=N           lines a second read from one connection, and datagrams from
                   an address that has not joined (1000 on addresses open to
                   other machines; off)
  new-rooms=N      rooms that one address may make at once; after that, one a
                   second (1000 on addresses open to other machines; off)
  overflow=POLICY  for members that cannot keep up: disconnect, drop-oldest,
                   drop-newest, latest or conflate (disconnect)
  idle=DURATION    close a connection that sends nothing for this long (off;
                   5m on UDP)
  framing=FRAMING  lines, or length: a length of four bytes, then any bytes
                   (lines); not on HTTP or UDP
  auth=WHO         if the file has tokens: optional; required: nobody is served
                   without one; off: everybody may do everything, on loopback
                   and Unix sockets (optional); not on UDP
  as=NAME          the name that whoever connects here is known by, on loopback
                   and Unix sockets; not on UDP
  name-from=FIELD  the name in a client's certificate: san-dns, cn,
                   san-email:DOMAIN or san-uri:PREFIX (none)
  peers=login      on unix://, peers have the names of their users
  datagrams=signed
                   on udp://, only datagrams that are signed are looked at
  access-token=on|off
                   whether streams and WebSockets over HTTP may present a token
                   in their URL, which logs keep (off)
  health=on|off    whether /healthz and /readyz are answered here too, over
                   HTTP (off)
  origins=LIST     whose pages may use HTTP besides its own:
                   https://example.org,… or * for anyone's (none)

Options of rooms for a group of hosts, which is one member of a room: at a
multicast address, as in 'rooms=udp://239.1.2.3:7000?room=R', or that of a
subnet. Of the options above there are room, format, rate (1000), overflow
(drop-oldest; for raw conflate) and idle (off)
  broadcast=on|off whether the address is one that everybody in a subnet hears
                   (off)
  interface=LIST   where the group is (the only one that can); ? behind a name:
                   it may come up later
  ttl=N            0: heard on this machine, 1: on its network (1)
  loop=on|off      whether other programs of this machine hear it (on)
  source=LIST      who is heard (everybody)
  direction=in|out|both
                   whether it is heard, sent to, or both (both)
  name=NAME        of whoever sends to it (udp; in lists lan)
  heartbeat=DURATION
                   after this silence it is told how far the room is (1s for
                   json, else off), and a URL to get what was lost from:
  repair=URL       (the first http:// listener of rooms; off)
  mtu=BYTES        the longest datagram; a longer message is a gap (1400)
  relay=on|off     whether what came from other groups goes there too (off)

Options of proxy
  to=LIST          URLs of the upstreams: tcp://HOST:PORT, tls://HOST:PORT or
                   unix:///PATH; on udp://, udp://HOST:PORT. There, of these
                   options only balance, weights and idle (30s). Or the NAME of
                   an [upstreams.NAME] in the file
  balance=least|round|hash:address
                   which is next: the one with the fewest connections, each in
                   turn, or the same one for each address (least)
  weights=LIST     how they share what comes: a number from 1 to 256 for each
                   (1)
  connect=DURATION the longest wait for one, before the next is tried (3s)
  check=tcp|send=TEXT,expect=TEXT
                   what each is asked every 5 s, besides being taken out after
                   3 failures to connect in a row (off)
  idle=DURATION    end a pair with nothing either way for this long (off)
  half=DURATION    the same once one side has finished (60s; off)
  max=N            connections to each upstream (off)
  queue=N          how many wait for a place there (128)
  wait=DURATION    and how long (1s)
  send-proxy=v1|v2 begin with a PROXY header, which says whose it is (off)
  ca=FILE          whom upstreams that speak TLS have to be (the system's
                   authorities)
  client=FILE      the certificate and key that they get if they ask for one

Options of admin
  plain-text=accepted
                   allow plain http:// on addresses open to other machines
  origins=LIST     as above

Without any: echo=tcp://127.0.0.1:8080 echo=udp://127.0.0.1:8080
             rooms=tcp://127.0.0.1:8081 rooms=udp://127.0.0.1:8081
             rooms=http://127.0.0.1:8082 admin=http://127.0.0.1:8083

The first SIGINT or SIGTERM lets connections finish; a second ends them now.
SIGHUP reads the file and certificates again; it drops nobody whom they still
let in, and if anything is wrong, or needs a restart, nothing changes. If the
terminal hangs up, and there is no file, connections may finish too.";

const SETTINGS_HELP: &str = "\
Each setting can be a flag (--max-frame 1MiB), an environment variable
(SWITCHBOARD_MAX_FRAME=1MiB) or a line in the file (max-frame = \"1MiB\"); the
first of these wins. Listeners: SWITCHBOARD_LISTEN, separated by spaces, or
listen = [\"…\"], or [[listener]] with the URL and its options as keys.
`switchboard config example` prints a file with every key; `config print` shows
the values in force and where each came from.

Exit codes: 0 done; 1 an address is taken, no nats-server answers, or the
program or its data directory failed; 2 a mistake in the command line; 78 in the
file, a certificate, the environment, a limit, or what the data directory or a
nats-server has.";

/// Holds many connections in one process and passes messages between them.
#[derive(Debug, Parser)]
#[command(name = "switchboard", version = load::VERSION, max_term_width = 120, arg_required_else_help = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Verb,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Run the server until it gets a signal
    #[command(after_long_help = format!("{SERVE_HELP}\n\n{SETTINGS_HELP}"))]
    Serve(Settings),
    /// Connect to a server, from a terminal or in a pipe
    #[command(after_long_help = connect::HELP)]
    Connect(connect::Arguments),
    /// Load a server and measure how it keeps up
    #[command(after_long_help = load::HELP)]
    Bench(Box<load::Arguments>),
    /// Ask a server that runs how it is, and tell it what to do
    #[command(after_long_help = admin::HELP)]
    Admin(Box<admin::Arguments>),
    /// Watch a server that runs: totals, slow connections, rooms
    #[command(after_long_help = top::HELP)]
    Top(top::Arguments),
    /// Show what `serve` would do with the same arguments
    Config {
        #[command(subcommand)]
        action: ConfigAction,
    },
    /// Make tokens, and find out whose one is
    Token {
        #[command(subcommand)]
        action: TokenAction,
    },
    /// Look at what a data directory has, take it out, put it in
    #[command(after_long_help = DATA_HELP)]
    Data {
        #[command(subcommand)]
        action: DataAction,
    },
    /// Look at the log that several nodes share, or give its rooms new epochs
    #[command(after_long_help = CLUSTER_HELP)]
    Cluster {
        #[command(subcommand)]
        action: ClusterAction,
    },
    /// Print a completion script for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Print a manual page
    Man {
        /// For one command
        #[arg(value_parser = crate::printed::PAGES)]
        command: Option<String>,
    },
}

/// The same error; with what to type instead, where others have a flag.
pub(crate) fn advised(mut error: clap::Error) -> clap::Error {
    if error.kind() != ErrorKind::UnknownArgument {
        return error;
    }
    let shown = |kind| error.get(kind).map(ToString::to_string).unwrap_or_default();
    let (flag, serves) = (shown(ContextKind::InvalidArg), shown(ContextKind::Usage).contains("SERVICE=URL"));
    let is_address = ADDRESS_FLAGS.contains(&flag.as_str());
    let tip = match flag.as_str() {
        _ if is_address && serves => "put the address in the listener, as in 'rooms=tcp://127.0.0.1:8081'",
        _ if is_address => "put the address in the URL, as in tcp://127.0.0.1:8081",
        "--tls" | "--cert" | "--key" if serves => {
            "put the certificate in the listener, as in 'rooms=tls://127.0.0.1:8443?cert=FILE&key=FILE'"
        }
        "--tls" => "put TLS in the URL, as in tls://127.0.0.1:8443",
        // clap's own tip is to pass the flag as a value, and no value begins so.
        _ => {
            error.remove(ContextKind::Suggested);
            return error;
        }
    };
    error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![StyledStr::from(tip)]));
    error
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigAction {
    /// Report everything that is wrong, or ok, without listening
    #[command(after_long_help = SETTINGS_HELP)]
    Check(Settings),
    /// Show every value in force and where it came from, as a file to start from
    #[command(after_long_help = SETTINGS_HELP)]
    Print {
        /// As one object: the settings, and where each came from
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        settings: Settings,
    },
    /// Say whether somebody may do something in a room, and which lines of the file say so
    Can(CanArguments),
    /// Print a file with every key, its default and what it is for
    Example,
    /// Print a JSON schema of the file, for editors
    Schema,
}

/// What is asked of the file.
#[derive(Debug, clap::Args)]
pub(crate) struct CanArguments {
    /// A name, or anonymous for whoever presents no token
    pub(crate) who: String,
    /// A right: join, publish, history, presence, create, moderate; read, write or all
    pub(crate) action: Rights,
    /// The room
    pub(crate) room: RoomName,
    /// The file
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
}

/// Every setting, as typed.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct Settings {
    /// What to serve, and where (see serve --help)
    #[arg(value_name = "SERVICE=URL", long_help = "What to serve, and where, as in rooms=tcp://127.0.0.1:8081")]
    pub(crate) listen: Vec<String>,
    /// Read settings from a TOML file
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// What stands in that file, where it is not to be read.
    #[arg(skip)]
    pub(crate) content: Option<String>,
    /// Threads that serve connections [default: one per core, at most 4]
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    pub(crate) workers: Option<String>,
    /// Most open connections [default: what the descriptor limit allows]
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    pub(crate) max_connections: Option<String>,
    /// Most open connections from one address, or off [default: 1024 where other machines can connect]
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    pub(crate) max_connections_per_address: Option<String>,
    /// Most TLS handshakes a second from one address, or off [default: 100 where other machines can connect]
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    pub(crate) max_handshakes_per_address: Option<String>,
    /// Most bytes in one line or datagram [default: 64KiB]
    #[arg(long, value_name = "SIZE", allow_hyphen_values = true)]
    pub(crate) max_frame: Option<String>,
    /// Most bytes queued for one connection [default: 1MiB]
    #[arg(long, value_name = "SIZE", allow_hyphen_values = true)]
    pub(crate) max_outbox: Option<String>,
    /// Most bytes held for all messages together [default: a quarter of the machine's memory]
    #[arg(long, value_name = "SIZE", allow_hyphen_values = true)]
    pub(crate) max_memory: Option<String>,
    /// How long a peer may read nothing before it is closed, or off [default: 10s]
    #[arg(long, value_name = "DURATION", allow_hyphen_values = true)]
    pub(crate) write_timeout: Option<String>,
    /// How long connections may take to finish after a signal [default: 30s]
    #[arg(long, value_name = "DURATION", allow_hyphen_values = true)]
    pub(crate) grace: Option<String>,
    /// File that tells who was let in, refused or denied, as JSON lines [default: the log does]
    #[arg(long, value_name = "FILE", allow_hyphen_values = true)]
    pub(crate) audit: Option<String>,
    /// Tell of each request over HTTP: off, on, or full [default: off]
    #[arg(long, value_name = "DETAIL", allow_hyphen_values = true)]
    pub(crate) access_log: Option<String>,
    /// File that tells of them, in the format of the log [default: the log does]
    #[arg(long, value_name = "FILE", allow_hyphen_values = true)]
    pub(crate) access_log_file: Option<String>,
    /// Most wrong tokens from one address in a minute, or off [default: 10]
    #[arg(long, value_name = "COUNT", allow_hyphen_values = true)]
    pub(crate) auth_failures: Option<String>,
    /// Format of the log on stderr: text or json [default: text]
    #[arg(long, value_name = "FORMAT", allow_hyphen_values = true)]
    pub(crate) log_format: Option<String>,
    /// Directory for what is kept over a restart, or off [default: what systemd gives]
    #[arg(long, value_name = "DIR", allow_hyphen_values = true)]
    pub(crate) state_directory: Option<String>,
    /// Directory in which rooms are kept over a restart, or off [default: off]
    #[arg(long, value_name = "DIR", allow_hyphen_values = true)]
    pub(crate) data: Option<String>,
    /// Most bytes that the messages of all rooms take there [default: 16GiB]
    #[arg(long, value_name = "SIZE", allow_hyphen_values = true)]
    pub(crate) max_data: Option<String>,
    /// nats-servers by which rooms are those of several nodes, nats://HOST:PORT,… or off [default: off]
    #[arg(long, value_name = "URL,…", allow_hyphen_values = true)]
    pub(crate) cluster: Option<String>,
    /// What their log of rooms survives: memory, file or durable [default: memory]
    #[arg(long, value_name = "PROFILE", allow_hyphen_values = true)]
    pub(crate) cluster_profile: Option<String>,
    /// File that shows them who this is, or off [default: off]
    #[arg(long, value_name = "FILE", allow_hyphen_values = true)]
    pub(crate) cluster_credentials: Option<String>,
    /// PEM file of the authorities to believe them by, or off [default: off]
    #[arg(long, value_name = "FILE", allow_hyphen_values = true)]
    pub(crate) cluster_ca: Option<String>,
    /// Rooms whose messages programs that speak NATS read as JSON, GLOB,… or off [default: off]
    #[arg(long, value_name = "GLOB,…", allow_hyphen_values = true)]
    pub(crate) cluster_json: Option<String>,
    /// Name by which what they ask for is published, or off [default: off]
    #[arg(long, value_name = "NAME", allow_hyphen_values = true)]
    pub(crate) cluster_publish_as: Option<String>,
    /// Whether rooms are kept in the data directory, or are those of several nodes, on or off [default: on]
    #[arg(long, value_name = "SWITCH", allow_hyphen_values = true)]
    pub(crate) durable: Option<String>,
    /// Most messages that a room keeps [default: 256]
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    pub(crate) history_messages: Option<String>,
    /// Most bytes that a room keeps [default: 256KiB]
    #[arg(long, value_name = "SIZE", allow_hyphen_values = true)]
    pub(crate) history_bytes: Option<String>,
    /// How long a room keeps a message at most, or off [default: off]
    #[arg(long, value_name = "DURATION", allow_hyphen_values = true)]
    pub(crate) history_age: Option<String>,
    /// Log who comes and goes and why; twice: each frame as well
    #[arg(short, long, action = ArgAction::Count, conflicts_with = "quiet")]
    pub(crate) verbose: u8,
    /// Log only what is wrong
    #[arg(short, long)]
    pub(crate) quiet: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flag_of_other_programs_is_told_what_there_is_in_its_place() {
        for (typed, tip) in [
            ("serve --port 8081", "put the address in the listener, as in 'rooms=tcp://127.0.0.1:8081'"),
            ("config check --tls", "put the certificate in the listener"),
            ("connect --port 8081 localhost", "put the address in the URL, as in tcp://127.0.0.1:8081"),
            ("connect --tls localhost:8081", "put TLS in the URL"),
            ("connect --rooms x h:1", "a similar argument exists: '--room'"),
        ] {
            let error = Args::try_parse_from(["switchboard"].into_iter().chain(typed.split(' '))).unwrap_err();
            let told = advised(error).to_string();
            assert!(told.contains(&format!("tip: {tip}")), "{typed}: {told}");
        }
        let told = advised(Args::try_parse_from(["switchboard", "serve", "--daemon"]).unwrap_err()).to_string();
        assert!(!told.contains("tip:"), "{told}");
    }
}
