//! What was typed behind `switchboard connect`, and what it means.

use super::credential::{drawn, is_shown_by};
use super::greeting::Greeting;
use super::standing::StandingOptions;
use super::{credential, room_socket};
use crate::config::{Fault, SetBy};
use bytes::Bytes;
use http::HeaderMap;
use std::path::PathBuf;
use std::time::Duration;
use switchboard::{CertificateError, Certificates, RoomName, Trust, UserName};
use switchboard_load::typed::{Secret, Url, parse_duration};
use tokio::time::Instant;

/// Lists are laid out within 80 columns; a paragraph is one line, which is wrapped to the terminal.
pub(crate) const HELP: &str = "\
URL is one of
  tcp://HOST:PORT    ws://HOST:PORT/PATH     udp://HOST:PORT
  tls://HOST:PORT    wss://HOST:PORT/PATH    unix:///PATH
and HOST:PORT alone is tcp://HOST:PORT.

In a pipe, stdin goes to the server and what comes back goes to stdout, byte for byte, until both have ended; over UDP and \
WebSocket each line is a datagram or message. On a terminal there is a line editor with history, and nothing that the server sends can control the \
terminal. Ctrl-D finishes and waits for the last answers; Ctrl-C leaves.

Over UDP the server answers a join with a cookie, which is returned for you; the join is repeated every 20 s, since a silent member loses its seat.

A multicast address, as in udp://239.1.2.3:7000?interface=eth0, or with ?broadcast=on a subnet's, is a group of hosts: it is joined, what anybody sends to it is \
shown, and lines go to all of it. Options: interface, source, ttl and loop. Where it speaks json, losses are noticed; with --repair http://HOST:PORT they are got from there.

With --reconnect a lost connection is made again, after up to 1 s at first and up to 30 s later, until the end of input, Ctrl-C or /quit. Name, \
rooms and format are restored, and rooms send what was missed. Lines typed in the meantime are sent afterwards; none is sent twice.

Exit codes: 0 done; 1 the server cannot be reached, is not trusted, or the connection broke; 2 a mistake in the command line; \
78 in a file; 130 left by Ctrl-C, 129 and 143 by SIGHUP and SIGTERM.";

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Where the server is (see --help)
    #[arg(long_help = "Where the server is, as in tcp://127.0.0.1:8081")]
    pub(super) url: String,
    /// Take a name in rooms
    #[arg(long, value_name = "NAME")]
    pub(super) name: Option<String>,
    /// Join a room
    #[arg(long, value_name = "ROOM")]
    pub(super) room: Option<String>,
    #[arg(
        long,
        value_name = "FILE",
        help = "Present the token in this file before anything else [default: the one in SWITCHBOARD_TOKEN]"
    )]
    pub(super) token_file: Option<PathBuf>,
    /// How long to wait without an answer after the end of input [default: 1s on UDP, else until the server ends]
    #[arg(long, value_name = "DURATION", allow_hyphen_values = true)]
    pub(super) wait: Option<String>,
    /// Reconnect when the connection is lost, and get what was said in the meantime
    #[arg(long)]
    pub(super) reconnect: bool,
    /// Keep listening after the end of input [default: with --reconnect, if there was no input]
    #[arg(long)]
    pub(super) listen: bool,
    /// Ask a listener of rooms over HTTP for what a group of hosts has lost
    #[arg(long, value_name = "URL")]
    pub(super) repair: Option<String>,
    /// Trust the certificates in this file, an authority's or the server's own, instead of the system's
    #[arg(long, value_name = "FILE", conflicts_with = "insecure")]
    pub(super) ca: Option<PathBuf>,
    /// Certificate to show to the server
    #[arg(long, value_name = "FILE")]
    pub(super) cert: Option<PathBuf>,
    /// Private key of --cert [default: in the same file]
    #[arg(long, value_name = "FILE", requires = "cert")]
    pub(super) key: Option<PathBuf>,
    /// Accept any certificate: anyone in between can read and change what is said
    #[arg(long)]
    pub(super) insecure: bool,
}

/// Over UDP nobody says that nothing more will come.
const UDP_WAIT: Duration = Duration::from_secs(1);

/// Whence a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TokenFrom {
    /// It is to be shown, whatever the server is.
    File,
    /// It is for whoever greets as rooms do, and for nobody else.
    Environment,
}

/// What to do.
pub(super) struct Plan {
    pub(super) url: Url,
    pub(super) trust: Option<Trust>,
    /// Whether it shows who we are.
    pub(super) has_identity: bool,
    /// Commands that are sent before anything else.
    pub(super) greeting: Vec<Bytes>,
    /// Whence the token is that the first of them shows, if it does.
    pub(super) token_from: TokenFrom,
    /// What a WebSocket is asked for with.
    pub(super) headers: HeaderMap,
    pub(super) wait: Option<Duration>,
    /// Whether a lost connection is made again.
    pub(super) reconnect: bool,
    /// Whether the end of input ends nothing.
    pub(super) listen: bool,
}

impl Plan {
    /// What is to be taken up again, and how.
    pub(super) fn standing(&self, is_datagrams: bool, is_for_people: bool) -> StandingOptions {
        let secret = self.reconnect.then(drawn).flatten();
        StandingOptions { resumes: self.reconnect, is_datagrams, is_for_people, secret }
    }

    /// What is asked of the server before anything that is typed.
    pub(super) fn greeting(&self, is_datagrams: bool, now: Instant) -> Greeting {
        let is_optional = self.token_from == TokenFrom::Environment && self.greeting.first().is_some_and(is_shown_by);
        Greeting::new(self.greeting.iter().cloned(), is_datagrams, now).optional(is_optional, now)
    }

    /// Reads all that was typed, or says everything that is wrong with it.
    pub(super) fn parse(typed: Arguments) -> Result<Self, Vec<Fault>> {
        let mut faults = Faults::default();
        let place = Url::with_scheme(&typed.url);
        let url = faults.check(SetBy::Argument, Url::parse(&place).map_err(|fault| format!("{place}: {fault}")));
        let name = typed.name.as_ref().map(|name| UserName::parse(name).map_err(|error| format!("`{name}`: {error}")));
        let name = name.and_then(|name| faults.flag("--name", name));
        let room = typed.room.as_ref().map(|room| RoomName::parse(room).map_err(|error| format!("`{room}`: {error}")));
        let room = room.and_then(|room| faults.flag("--room", room));
        let wait = typed.wait.as_ref().map(|wait| parse_duration(wait).map_err(|fault| format!("`{wait}` is {fault}")));
        let wait = wait.and_then(|wait| faults.flag("--wait", wait));
        let is_tls = url.as_ref().is_some_and(|url| url.scheme.is_tls());
        let flags = [("--ca", typed.ca.is_some()), ("--cert", typed.cert.is_some()), ("--insecure", typed.insecure)];
        for (flag, _) in flags.into_iter().filter(|(_, given)| *given && url.is_some() && !is_tls) {
            faults.flag::<()>(flag, Err("is for tls:// and wss:// only".to_owned()));
        }
        let trust = if is_tls { faults.trust(&typed) } else { None };
        if typed.repair.is_some() {
            faults.flag::<()>("--repair", Err("is for groups of hosts, as in udp://239.1.2.3:7000".to_owned()));
        }
        let token = faults.token(&typed);
        let (url, mut wanted) = match url.map(|url| greeting(url, room, name, &mut faults)) {
            Some((url, wanted)) => (Some(url), wanted),
            None => (None, Vec::new()),
        };
        let mut headers = HeaderMap::new();
        if let Some((token, url)) = token.zip(url.as_ref())
            && faults.takes_token(url, &typed)
        {
            match room_socket::room(url) {
                Some(_) => headers.extend(faults.flag("--token-file", credential::header(&token))),
                None => wanted.insert(0, format!("/auth {}", token.expose()).into()),
            }
        }
        let token_from = if typed.token_file.is_some() { TokenFrom::File } else { TokenFrom::Environment };
        let Faults(faults) = faults;
        let (Some(url), true) = (url, faults.is_empty()) else { return Err(faults) };
        let wait = wait.or_else(|| (url.is_datagrams() && !typed.listen).then_some(UDP_WAIT));
        let Arguments { reconnect, listen, .. } = typed;
        Ok(Self {
            url,
            trust,
            has_identity: typed.cert.is_some(),
            greeting: wanted,
            token_from,
            headers,
            wait,
            reconnect,
            listen,
        })
    }
}

/// Where to connect to, and what to ask for there. A room's own WebSocket takes no commands: its URL says who comes.
fn greeting(url: Url, room: Option<RoomName>, name: Option<UserName>, faults: &mut Faults) -> (Url, Vec<Bytes>) {
    if let Some(own) = room_socket::room(&url) {
        if let Some(other) = room.filter(|room| RoomName::parse(own).as_ref() != Ok(room)) {
            let fault = format!(
                "`{other}`: {} has only the room {own}; every room has its own URL, and /ws has them all",
                url.typed
            );
            faults.flag::<()>("--room", Err(fault));
        }
        let named = name.map_or_else(|| Ok(url.clone()), |name| room_socket::named(&url, &name));
        return (faults.flag("--name", named).unwrap_or(url), Vec::new());
    }
    if url.is_datagrams() && name.is_some() && room.is_none() {
        faults.flag::<()>("--name", Err("over UDP only members have names: join with --room ROOM".to_owned()));
    }
    // Over UDP a member alone may take a name.
    let join = room.map(|room| format!("/join {room}").into());
    (url, join.into_iter().chain(name.map(|name| format!("/name {name}").into())).collect())
}

#[derive(Default)]
struct Faults(Vec<Fault>);

impl Faults {
    fn check<T>(&mut self, set_by: SetBy, result: Result<T, String>) -> Option<T> {
        result.map_err(|text| self.0.push(Fault::new(set_by, text))).ok()
    }

    fn flag<T>(&mut self, flag: &str, result: Result<T, String>) -> Option<T> {
        self.check(SetBy::Flag(flag.to_owned()), result)
    }

    /// What is to be shown to the server, if anything.
    fn token(&mut self, typed: &Arguments) -> Option<Secret> {
        credential::given(typed.token_file.as_deref()).map_err(|fault| self.0.push(fault)).ok().flatten()
    }

    /// Whether a token can be shown there. One of the environment is for whoever asks for it.
    fn takes_token(&mut self, url: &Url, typed: &Arguments) -> bool {
        if !url.is_datagrams() {
            return true;
        }
        if typed.token_file.is_some() {
            self.flag::<()>("--token-file", Err("not over UDP, which takes no tokens".to_owned()));
        }
        false
    }

    fn trust(&mut self, typed: &Arguments) -> Option<Trust> {
        let trust = match &typed.ca {
            _ if typed.insecure => Ok(Trust::anybody()),
            Some(file) => Trust::file(file),
            None => Trust::system(),
        };
        let pair = typed.cert.as_ref().map(|cert| (cert, typed.key.as_ref().unwrap_or(cert)));
        let identity = pair.map(|pair| Certificates::from_files([pair]));
        let trust = self.files(trust);
        match identity {
            Some(identity) => self.files(identity).zip(trust).map(|(identity, trust)| trust.identity(&identity)),
            None => trust,
        }
    }

    fn files<T>(&mut self, result: Result<T, CertificateError>) -> Option<T> {
        let faults = |error: CertificateError| error.faults.into_iter().map(|text| Fault::new(SetBy::Named, text));
        result.map_err(|error| self.0.extend(faults(error))).ok()
    }
}
