//! What systemd sees of the program as a service: how far it is, sockets that were open before it, the admin socket.

use crate::process::{
    Deadline, PATIENCE, Place, Program, ask, command, exchange, installed, joined, output as ran, run, until,
};
use nix::sys::signal::Signal;
use std::io::Read as _;
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

/// What a service manager hears.
struct Heard {
    socket: UnixDatagram,
    place: Place,
    seen: Vec<String>,
}

impl Heard {
    fn new(test: &str) -> Self {
        let place = Place::new(test);
        let socket = UnixDatagram::bind(&*place).expect("it is free");
        Self { socket, place, seen: Vec::new() }
    }

    /// Waits for a message with this line, and gives it whole.
    fn hears(&mut self, line: &str) -> String {
        let deadline = Deadline::new();
        let mut bytes = [0; 1024];
        loop {
            self.socket.set_read_timeout(Some(deadline.left().max(PATIENCE / 1000))).expect("a timeout can be set");
            let count = self.socket.recv(&mut bytes).unwrap_or_else(|_| panic!("no {line} after {:?}", self.seen));
            let message = String::from_utf8_lossy(&bytes[..count]).into_owned();
            self.seen.push(message.clone());
            if message.lines().any(|one| one.starts_with(line)) {
                return message;
            }
        }
    }
}

/// How `serve` is called with sockets that are open: three can be handed over, at the places of its input, output and log.
fn handing(sockets: impl IntoIterator<Item = OwnedFd>, output: &Place, arguments: &[&str]) -> Command {
    let mut sockets = sockets.into_iter();
    let given = [sockets.next(), sockets.next(), sockets.next()];
    let count = given.iter().flatten().count();
    let script = format!(
        "exec 3<&0 4<&1 5<&2 0</dev/null 1>>'{output}' 2>&1; export LISTEN_FDS={count} LISTEN_PID=$$; exec \"$0\" serve \"$@\""
    );
    let mut command = Command::new("/bin/sh");
    command.args(["-c", &script, env!("CARGO_BIN_EXE_switchboard")]).args(arguments).env_clear();
    let [input, out, log] = given.map(|socket| socket.map_or_else(Stdio::null, Stdio::from));
    command.stdin(input).stdout(out).stderr(log);
    command
}

#[test]
fn a_service_says_that_it_is_ready_alive_reloading_and_stopping() {
    let (file, mut heard) = (Place::new("notify.toml"), Heard::new("notify.sock"));
    let write = |more: &str| {
        std::fs::write(&*file, format!("listen = [\"echo=tcp://127.0.0.1:0\"]\n{more}")).expect("it is written");
    };
    write("");
    let mut started = command(&["serve", "--config", &file.to_string()]);
    started.env("NOTIFY_SOCKET", &*heard.place).env("WATCHDOG_USEC", "100000");
    let program = Program::listening(started, 1);
    heard.hears("READY=1");
    heard.hears("WATCHDOG=1");
    let mut peer = program.tcp(0);
    ask(&mut peer, b"hi\n", b"echo: hi\n");
    heard.hears("STATUS=1 connections, 0 rooms");

    program.signal(Signal::SIGHUP);
    let reloading = heard.hears("RELOADING=1");
    let time = reloading.lines().find_map(|line| line.strip_prefix("MONOTONIC_USEC=")?.parse::<u64>().ok());
    assert!(time.is_some_and(|time| time > 0), "{reloading}");
    heard.hears("READY=1");
    write("nonsense = 1\n");
    program.signal(Signal::SIGHUP);
    heard.hears("RELOADING=1");
    heard.hears("READY=1");
    heard.hears("STATUS=1 connections, 0 rooms; the last reload was refused");

    program.signal(Signal::SIGTERM);
    let stopping = heard.hears("STOPPING=1");
    assert!(stopping.contains("EXTEND_TIMEOUT_USEC="), "{stopping}");
    drop(peer);
    assert_eq!(program.end().code, Some(0));
}

#[test]
fn a_watchdog_that_is_somebody_elses_is_not_told_anything() {
    let mut heard = Heard::new("watchdog.sock");
    let mut started = command(&["serve", "echo=tcp://127.0.0.1:0"]);
    started.env("NOTIFY_SOCKET", &*heard.place).envs([("WATCHDOG_USEC", "1000"), ("WATCHDOG_PID", "1")]);
    let program = Program::listening(started, 1);
    heard.hears("STATUS=");
    program.signal(Signal::SIGTERM);
    heard.hears("STOPPING=1");
    assert!(!heard.seen.iter().any(|message| message.contains("WATCHDOG")), "{:?}", heard.seen);
}

#[test]
fn sockets_that_were_open_before_serve_the_listeners_with_their_addresses() {
    let (output, path, mut heard) = (Place::new("handed.txt"), Place::new("handed.sock"), Heard::new("handed.notify"));
    let tcp = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let udp = UdpSocket::bind("127.0.0.1:0").expect("a port is free");
    let unix = UnixListener::bind(&*path).expect("it is free");
    let address = |at: std::io::Result<std::net::SocketAddr>| at.expect("it is bound").to_string();
    let (streams, datagrams) = (address(tcp.local_addr()), address(udp.local_addr()));
    // Whoever connects before it has started waits.
    let early = TcpStream::connect(&streams).expect("the kernel takes it");
    let arguments = [format!("echo=udp://{datagrams}"), format!("echo=tcp://{streams}"), format!("echo=unix://{path}")];
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    let sockets = [OwnedFd::from(tcp.try_clone().expect("it can be copied")), udp.into(), unix.into()];
    let mut started = handing(sockets, &output, &arguments);
    started.env("NOTIFY_SOCKET", &*heard.place);
    let program = Program::spawn(started);
    heard.hears("READY=1");
    assert_eq!(exchange(early, b"early\n"), b"echo: early\n");
    let mut unix = UnixStream::connect(&*path).expect("it listens");
    ask(&mut unix, b"unix\n", b"echo: unix\n");
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a port is free");
    socket.set_read_timeout(Some(PATIENCE)).expect("a timeout can be set");
    socket.send_to(b"hi", &datagrams).expect("it is sent");
    let mut answer = [0; 64];
    let count = socket.recv(&mut answer).expect("it is answered");
    assert_eq!(&answer[..count], b"received: hi");
    drop(unix);
    assert_eq!(program.stop().code, Some(0));
    // What was not its own it leaves alone.
    assert!(path.exists());
    TcpStream::connect(&streams).expect("the socket is still open");
}

#[test]
fn a_socket_that_no_listener_has_is_a_fault() {
    let (output, path) = (Place::new("astray.txt"), Place::new("astray.sock"));
    let tcp = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let unix = UnixListener::bind(&*path).expect("it is free");
    std::fs::set_permissions(&*path, std::fs::Permissions::from_mode(0o666)).expect("it is ours");
    let datagrams = UnixDatagram::unbound().expect("there is a socket");
    let admin = format!("admin=unix://{path}");
    let address = tcp.local_addr().expect("it is bound");
    let end = Program::spawn(handing([tcp.into(), unix.into(), datagrams.into()], &output, &[&admin])).end();
    let told = std::fs::read_to_string(&*output).expect("it is written");
    assert_eq!(end.code, Some(78), "{told}");
    let faults = [
        "socket 2: not one for TCP, UDP or Unix streams".to_owned(),
        format!("tcp://{address}: no listener has this address; there are {admin}"),
        format!("unix://{path}: its file has mode 0666, and its listener 0600: set SocketMode=0600"),
    ];
    for fault in faults {
        assert!(told.contains(&format!("error: environment LISTEN_FDS: {fault}")), "{told}");
    }
    assert_eq!(told.lines().count(), 3, "{told}");
}

#[test]
fn nobody_is_refused_while_a_service_with_a_socket_of_its_own_is_restarted() {
    let (output, mut heard) = (Place::new("restarted.txt"), Heard::new("restarted.notify"));
    let socket = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = socket.local_addr().expect("it is bound");
    let url = format!("echo=tcp://{address}");
    let mut start = || {
        let mut started = handing([socket.try_clone().expect("it can be copied").into()], &output, &[&url]);
        started.env("NOTIFY_SOCKET", &*heard.place);
        let program = Program::spawn(started);
        heard.hears("READY=1");
        program
    };
    let mut program = start();
    let over = Arc::new(AtomicBool::new(false));
    let connecting = thread::spawn({
        let over = Arc::clone(&over);
        move || {
            let mut count = 0;
            while !over.load(Ordering::Relaxed) {
                let mut stream = TcpStream::connect(address).expect("nobody is refused");
                stream.set_read_timeout(Some(PATIENCE)).expect("a timeout can be set");
                ask(&mut stream, b"x\n", b"echo: x\n");
                stream.shutdown(std::net::Shutdown::Write).expect("it is open");
                stream.read_to_end(&mut Vec::new()).expect("it is closed politely");
                count += 1;
            }
            count
        }
    });
    for _ in 0..3 {
        assert_eq!(program.stop().code, Some(0));
        program = start();
    }
    over.store(true, Ordering::Relaxed);
    assert!(joined(connecting) > 3, "it connected all the time");
    program.stop();
}

#[test]
fn under_systemd_operators_reach_it_in_its_runtime_directory() {
    let folder = Place::folder("runtime");
    let socket = folder.within("admin.sock");
    let serve = |arguments: &[&str], expected| {
        let mut started = command(&[&["serve"], arguments].concat());
        started.env("RUNTIME_DIRECTORY", &*folder);
        Program::listening(started, expected)
    };
    let program = serve(&["echo=tcp://127.0.0.1:0", "--workers", "1"], 2);
    assert_eq!(program.listeners[1].url, format!("http+unix://{socket}"));
    let mode = std::fs::metadata(&socket).expect("it is there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let status = run(&["admin", "status", "--url", &format!("unix://{socket}")]);
    assert_eq!(status.code, Some(0), "{status:?}");
    program.stop();
    until(|| !std::path::Path::new(&socket).exists());
    // Whoever says who may connect there has said it.
    let program = serve(&[&format!("admin=unix://{socket}?mode=0660")], 1);
    let mode = std::fs::metadata(&socket).expect("it is there").permissions().mode();
    assert_eq!(mode & 0o777, 0o660);
    program.stop();
}

#[test]
fn the_units_are_sound_hardened_and_fit_the_file_beside_them() {
    let packaging = |name: &str| format!("{}/../packaging/{name}", env!("CARGO_MANIFEST_DIR"));
    let file = packaging("switchboard.toml");
    let checked = run(&["config", "check", "--config", &file]);
    assert_eq!((checked.code, &checked.output[..]), (Some(0), &["ok".to_owned()][..]), "{checked:?}");
    let listen = std::fs::read_to_string(&file).expect("it is there");
    let sockets = std::fs::read_to_string(packaging("switchboard.socket")).expect("it is there");
    for line in sockets.lines() {
        let Some((schemes, address)) = line.strip_prefix("Listen").and_then(|line| line.split_once('=')) else {
            continue;
        };
        let schemes: &[&str] = if schemes == "Datagram" { &["udp"] } else { &["tcp", "http"] };
        assert!(schemes.iter().any(|scheme| listen.contains(&format!("{scheme}://{address}\""))), "{line}");
    }
    let Some(analyze) = installed("systemd-analyze", "systemd") else { return };
    let folder = Place::folder("units");
    for (from, name) in [("systemd/", "switchboard.service"), ("", "switchboard.socket")] {
        let unit = std::fs::read_to_string(packaging(&format!("{from}{name}"))).expect("it is there");
        // Whether a program is there is looked at too.
        let unit = unit.replace("/usr/bin/switchboard", env!("CARGO_BIN_EXE_switchboard"));
        std::fs::write(folder.within(name), unit).expect("it is written");
    }
    let (service, socket) = (folder.within("switchboard.service"), folder.within("switchboard.socket"));
    let verified = ran(Command::new(&analyze).args(["verify", "--man=no", &service, &socket]));
    let told = String::from_utf8_lossy(&verified.stderr).into_owned();
    assert!(verified.status.success() && !told.contains("switchboard."), "{told}");
    // In tenths; a unit without any of it has 96.
    let secure = ran(Command::new(&analyze).args(["security", "--offline=true", "--threshold=20", &service]));
    assert!(secure.status.success(), "{}", String::from_utf8_lossy(&secure.stdout));
}
