//! Groups of hosts by the program itself: servers, listeners and this test, each on a host of its own behind one switch.
//!
//! The test is the host 10.9.0.1; `s`, `t` and `u` are 10.9.0.2, .3 and .4. It is skipped where nobody may make such hosts.

mod lasting;

use crate::http::sockets::Socket as WebSocket;
use crate::http::{asked, asked_at};
use crate::process::{PATIENCE, Place, Program, command, installed, output, until};
use serde_json::Value;
use socket2::{Domain, InterfaceIndexOrAddress, Protocol, Socket, Type};
use std::any::type_name;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::process::Command;

/// Tells a test that it runs behind the switch.
const ALONE: &str = "SWITCHBOARD_TEST_ALONE";

/// The exit code of a test that cannot run on this machine, as automake has it.
const SKIPPED: i32 = 77;

const SWITCH: &str = "
    mount -t tmpfs tmpfs /run && ip link set lo up && ip link add br0 type bridge mcast_snooping 1 &&
    ip link set br0 addrgenmode none && ip addr add 10.9.0.1/24 brd + dev br0 && ip link set br0 up || exit 77
    number=2
    for name in s t u; do
        ip netns add $name && ip link add v$name type veth peer name eth0 netns $name &&
        ip link set v$name master br0 up && ip -n $name link set lo up &&
        ip -n $name addr add 10.9.0.$number/24 brd + dev eth0 && ip -n $name link set eth0 up || exit 77
        number=$((number + 1))
    done
    # A busy kernel says some time later that a cable is plugged in: what is sent before that is lost.
    plugged() { ip -n $1 -o link show eth0 | grep -q 'state UP' && ip -o link show v$1 | grep -q 'state UP'; }
    for name in s t u; do
        for _ in $(seq 1000); do plugged $name && break; sleep 0.01; done
        plugged $name || exit 1
    done";

const ONE: &str = "239.1.2.3:7000";
const TWO: &str = "239.1.2.4:7000";
const THREE: &str = "239.1.2.5:7000";

/// Runs `test`, which is the caller, once more behind a switch, and `body` there.
#[expect(clippy::print_stderr, reason = "a test that shows nothing says so")]
fn behind_a_switch<T: Fn()>(_: T, body: impl FnOnce()) {
    if std::env::var_os(ALONE).is_some() {
        return body();
    }
    let alone = |arguments: &[&str]| {
        let mut command = Command::new("unshare");
        command.arg("-Urnm").args(arguments);
        command
    };
    if !alone(&["true"]).output().is_ok_and(|output| output.status.success()) {
        return eprintln!("skipped: nobody may make a network here");
    }
    let (_, name) = type_name::<T>().split_once("::").expect("a function has a path");
    let script = format!("{SWITCH}; exec \"$0\" --exact {name} --nocapture");
    let mut command = alone(&["sh", "-c", &script]);
    command.arg(std::env::current_exe().expect("a test has a file")).env(ALONE, "1");
    // What it waits for has an end there.
    let ran = command.output().expect("it starts");
    let (told, errors) = (String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
    if ran.status.code() == Some(SKIPPED) {
        return eprintln!("skipped: {errors}");
    }
    // No test of that name would be a success too.
    assert!(ran.status.success() && told.contains(" 1 passed;"), "{}\n{told}\n{errors}", ran.status);
}

/// The same command on another host.
fn on(host: &str, command: &Command) -> Command {
    let mut there = Command::new("nsenter");
    there.arg(format!("--net=/run/netns/{host}")).arg(command.get_program()).args(command.get_args());
    there.env_clear().stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped());
    there.stderr(std::process::Stdio::piped());
    there
}

/// Does something to the network of a host.
fn network(host: &str, line: &str) {
    let mut shell = Command::new("sh");
    let ran = output(&mut on(host, shell.args(["-c", line])));
    assert!(ran.status.success(), "{line}: {ran:?}");
}

/// A server on a host.
fn serve(host: &str, arguments: &[&str]) -> Program {
    let arguments: Vec<_> = ["serve"].iter().chain(arguments).copied().collect();
    let expected = arguments.iter().filter(|argument| argument.contains("://")).count();
    Program::listening(on(host, &command(&arguments)), expected)
}

/// What connects to a group from a host.
fn connect(host: &str, arguments: &[&str]) -> Program {
    Program::spawn(on(host, &command(&[&["connect"], arguments].concat())))
}

/// A member of the room `r`, whose lines are objects, once so many groups are in it too.
fn member(program: &Program, groups: u64) -> BufReader<TcpStream> {
    let stream = program.tcp(0);
    let mut lines = BufReader::new(stream.try_clone().expect("it can be"));
    until(|| {
        (&stream).write_all(b"/leave r\n/join r\n").expect("it takes lines");
        let joined = std::iter::repeat_with(|| next(&mut lines)).find(|told| told["event"] == "you-joined");
        joined.is_some_and(|joined| joined["members"] == groups + 1)
    });
    lines
}

fn next(lines: &mut impl BufRead) -> Value {
    let mut line = String::new();
    lines.read_line(&mut line).expect("there is one more");
    serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"))
}

/// The text of the next message that somebody has said.
fn said(lines: &mut impl BufRead) -> String {
    loop {
        if let Some(text) = next(lines)["text"].as_str() {
            return text.to_owned();
        }
    }
}

fn say(member: &BufReader<TcpStream>, text: &str) {
    member.get_ref().write_all(format!("{text}\n").as_bytes()).expect("it takes a line");
}

/// Of this host, joined to groups and sending from its own address.
fn host(groups: &[&str]) -> UdpSocket {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, None).expect("a socket");
    socket.set_reuse_address(true).expect("it can be");
    let address: SocketAddr = groups[0].parse().expect("an address");
    for group in groups {
        let SocketAddr::V4(group) = group.parse().expect("an address") else { panic!("IPv4") };
        let own = InterfaceIndexOrAddress::Address(Ipv4Addr::new(10, 9, 0, 1));
        socket.join_multicast_v4_n(group.ip(), &own).expect("it can be joined");
    }
    socket.set_multicast_if_v4(&Ipv4Addr::new(10, 9, 0, 1)).expect("it is of this host");
    socket.set_multicast_loop_v4(false).expect("it can be");
    let any = if groups.len() == 1 { address } else { SocketAddr::from(([0, 0, 0, 0], address.port())) };
    socket.bind(&any.into()).expect("it is free");
    socket.set_read_timeout(Some(PATIENCE)).expect("it can be");
    socket.into()
}

fn heard(socket: &UdpSocket) -> String {
    let mut bytes = vec![0; 65_536];
    let length = socket.recv(&mut bytes).expect("something comes");
    String::from_utf8_lossy(&bytes[..length]).into_owned()
}

/// A number among a server's metrics, of all its listeners of groups together.
fn metric(socket: &Place, name: &str) -> u64 {
    metric_of(socket, name, "udp://")
}

/// The same where a label is so.
fn metric_of(socket: &Place, name: &str, label: &str) -> u64 {
    let metrics = asked_at(socket, "GET", "/metrics", &[], "").body;
    let lines = metrics.lines().filter(|line| line.starts_with(name) && line.contains(label));
    lines.map(|line| line.rsplit_once(' ').and_then(|(_, value)| value.parse::<u64>().ok()).expect("a number")).sum()
}

/// A listener of rooms over TCP on the host 10.9.0.`number`.
fn tcp(number: u8) -> String {
    format!("rooms=tcp://10.9.0.{number}:0?format=json&echo=on")
}

#[test]
fn what_a_host_says_reaches_every_member_in_order_and_what_members_say_is_on_the_wire_once() {
    behind_a_switch(what_a_host_says_reaches_every_member_in_order_and_what_members_say_is_on_the_wire_once, || {
        for workers in ["1", "4"] {
            let group = format!("rooms=udp://{ONE}?room=r&format=raw&rate=100000");
            let program = serve("s", &[&tcp(2), "rooms=http://10.9.0.2:0", &group, "--workers", workers]);
            let (mut lines, host) = (member(&program, 1), host(&[ONE]));
            let mut browser = WebSocket::at(&program, 1, "/rooms/r/ws");
            host.send_to(b"first", ONE).expect("it is sent");
            let mut said_there = || {
                let mut told =
                    std::iter::repeat_with(|| serde_json::from_str::<Value>(&browser.next()).expect("an object"));
                told.find_map(|told| Some(told["text"].as_str()?.to_owned())).expect("there is one more")
            };
            assert_eq!((said(&mut lines), said_there()), ("first".to_owned(), "first".to_owned()));
            for number in 0..1000 {
                host.send_to(number.to_string().as_bytes(), ONE).expect("it is sent");
            }
            for number in 0..1000 {
                assert_eq!((said(&mut lines), said_there()), (number.to_string(), number.to_string()));
            }
            let history = asked(program.tcp(1), "GET", "/rooms/r/messages?limit=1000", &[], "").body;
            assert!(history.contains(r#""from":"udp""#), "{history}");
            wire(&lines, &host);
        }
    });
}

/// Says much in a room, and sees what is on the wire of it: with its headers, whoever it is for.
fn wire(member: &BufReader<TcpStream>, host: &UdpSocket) {
    let wire = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::UDP)).expect("a socket");
    wire.set_read_timeout(Some(PATIENCE)).expect("it can be");
    let mut bytes = [0; 2048];
    for number in 0..1000 {
        say(member, &number.to_string());
        assert_eq!(heard(host), number.to_string());
        let length = (&wire).read(&mut bytes).expect("it is there");
        let (source, ttl, text) = (&bytes[12..16], bytes[8], String::from_utf8_lossy(&bytes[28..length]));
        assert_eq!((source, ttl, &*text), (&[10, 9, 0, 2][..], 1, &*number.to_string()));
    }
    wire.set_nonblocking(true).expect("it can be");
    assert_eq!((&wire).read(&mut bytes).map_err(|error| error.kind()), Err(ErrorKind::WouldBlock));
}

#[test]
fn servers_with_two_groups_in_common_show_each_message_once() {
    behind_a_switch(servers_with_two_groups_in_common_show_each_message_once, || {
        let groups = [ONE, TWO].map(|group| format!("rooms=udp://{group}?room=r&format=json&heartbeat=off"));
        let places = ["groups-s", "groups-t"].map(Place::new);
        let programs = [("s", 2, &places[0]), ("t", 3, &places[1])].map(|(host, number, place)| {
            serve(host, &[&tcp(number), &groups[0], &groups[1], &format!("admin=unix://{place}")])
        });
        let mut members = [member(&programs[0], 2), member(&programs[1], 2)];
        heard_everywhere(&mut members, 20);
        for place in &places {
            assert_eq!(metric(place, "switchboard_datagrams_sent_total"), 42, "each of 21, to both groups, once");
            let came = |kind: &str| metric_of(place, "switchboard_group_datagrams_total", &format!("kind=\"{kind}\""));
            assert_eq!(["new", "again", "unreadable"].map(came), [21, 21, 0]);
        }
    });
}

#[test]
fn a_ring_of_groups_that_relay_shows_each_message_once_and_falls_silent() {
    behind_a_switch(a_ring_of_groups_that_relay_shows_each_message_once_and_falls_silent, || {
        let places = ["groups-ring-s", "groups-ring-t", "groups-ring-u"].map(Place::new);
        let ring = [("s", 2, [ONE, TWO]), ("t", 3, [TWO, THREE]), ("u", 4, [THREE, ONE])];
        let programs = ring.iter().zip(&places).map(|((host, number, groups), place)| {
            let [one, two] =
                groups.map(|group| format!("rooms=udp://{group}?room=r&format=json&heartbeat=off&relay=on"));
            serve(host, &[&tcp(*number), &one, &two, &format!("admin=unix://{place}")])
        });
        let programs: Vec<_> = programs.collect();
        let mut members: Vec<_> = programs.iter().map(|program| member(program, 2)).collect();
        heard_everywhere(&mut members, 20);
        let sent: u64 = places.iter().map(|place| metric(place, "switchboard_datagrams_sent_total")).sum();
        // Of each message at most one to each group of each server.
        assert!(sent <= 63 * 6, "{sent} datagrams");
    });
}

/// Says so many messages in each server's room, and one more at the end, and hears all of them once from each.
fn heard_everywhere(members: &mut [BufReader<TcpStream>], count: usize) {
    let servers = members.len();
    let mut expected = Vec::new();
    for number in 0..count * servers {
        say(&members[number % servers], &format!("{number:03}"));
        expected.push(format!("{number:03}"));
    }
    let mut heard: Vec<_> =
        members.iter_mut().map(|member| (0..expected.len()).map(|_| told(member)).collect::<Vec<_>>()).collect();
    for heard in &mut heard {
        heard.sort();
        assert_eq!(*heard, expected);
    }
    // What comes once more would come before these.
    for number in 0..servers {
        say(&members[number], &format!("last {number}"));
        for member in &mut *members {
            assert_eq!(told(member), format!("last {number}"));
        }
    }
}

/// What the next message says, whether it came as it is or in another server's object.
fn told(member: &mut impl BufRead) -> String {
    let text = said(member);
    let object = serde_json::from_str::<Value>(&text).ok();
    object.and_then(|object| Some(object["text"].as_str()?.to_owned())).unwrap_or(text)
}

#[test]
fn a_listener_gets_what_it_lost_and_what_no_datagram_could_carry() {
    if installed("nft", "nftables").is_none() {
        return;
    }
    behind_a_switch(a_listener_gets_what_it_lost_and_what_no_datagram_could_carry, || {
        let group = format!("rooms=udp://{ONE}?room=r&format=json");
        let program = serve("s", &[&tcp(2), "rooms=http://10.9.0.2:0", &group, "--history-messages", "2000"]);
        let lines = member(&program, 1);
        let (to, repair) = (format!("udp://{ONE}"), &program.listeners[1].url);
        let mut listener = connect("t", &[&to, "--repair", repair, "--listen"]);
        until(|| {
            say(&lines, "hello");
            !listener.is_silent()
        });
        network(
            "t",
            "nft add table t && nft add chain t c '{ type filter hook input priority 0; }' &&
             nft add rule t c udp dport 7000 numgen random mod 10 \\< 1 drop",
        );
        let long = "x".repeat(2000);
        for number in 0..1000 {
            say(&lines, &if number == 500 { long.clone() } else { format!("{number:03}") });
        }
        for number in 0..1000 {
            let expected = if number == 500 { &long } else { &format!("{number:03}") };
            let mut line = listener.printed("\"text\"");
            while line.contains("\"hello\"") {
                line = listener.printed("\"text\"");
            }
            assert!(line.contains(&format!("\"text\":\"{expected}\"")), "{number}: {line}");
        }
    });
}

#[test]
fn a_stranger_is_never_answered_and_takes_no_more_than_its_share() {
    behind_a_switch(a_stranger_is_never_answered_and_takes_no_more_than_its_share, || {
        for host in ["all", "default", "eth0"] {
            network("s", &format!("echo 1 > /proc/sys/net/ipv4/conf/{host}/accept_local"));
            network("s", &format!("echo 0 > /proc/sys/net/ipv4/conf/{host}/rp_filter"));
        }
        let place = Place::new("groups-stranger");
        let group = format!("rooms=udp://{ONE}?room=r&rate=50");
        let program = serve("s", &[&tcp(2), &group, &format!("admin=unix://{place}")]);
        let mut lines = member(&program, 1);
        let (stranger, echo) = (host(&[ONE]), UdpSocket::bind("10.9.0.1:7").expect("it is free"));
        echo.set_read_timeout(Some(PATIENCE)).expect("it can be");
        let long = vec![b'x'; 65_507];
        for what in [&b"/join r"[..], b"/ping", b"/who", b"", &long] {
            for socket in [&stranger, &echo] {
                socket.send_to(what, ONE).expect("it is sent");
            }
        }
        say(&lines, "where it comes from");
        let mut bytes = [0; 2048];
        let own = loop {
            let (_, source) = stranger.recv_from(&mut bytes).expect("it is heard");
            if source.ip() == Ipv4Addr::new(10, 9, 0, 2) {
                break source;
            }
        };
        forge(own, "from its own address");
        for _ in 0..20_000 {
            stranger.send_to(b"flood", ONE).expect("it is sent");
        }
        let mut other = socket_of("u");
        other.types("not of the flood\n");
        let mut all = Vec::new();
        while all.last().is_none_or(|text| text != "not of the flood") {
            all.push(said(&mut lines));
        }
        let count = |what: &str| all.iter().filter(|text| *text == what).count();
        assert_eq!(["/join r", "/ping", "/who", "from its own address"].map(count), [2, 2, 2, 0], "{all:?}");
        assert!(count("flood") < 2000, "{}", count("flood"));
        assert!(metric(&place, "switchboard_datagrams_refused_total") > 10_000);
        // All that came to this host is what was said in the room.
        echo.set_nonblocking(true).expect("it can be");
        assert_eq!(echo.recv(&mut bytes).map_err(|error| error.kind()), Err(ErrorKind::WouldBlock));
        stranger.set_nonblocking(true).expect("it can be");
        while let Ok((length, source)) = stranger.recv_from(&mut bytes) {
            assert_ne!(source, own, "{}", bytes[..length].escape_ascii());
        }
    });
}

/// Somebody at the host, who speaks to the first group.
fn socket_of(host: &str) -> Program {
    connect(host, &[&format!("udp://{ONE}"), "--listen"])
}

/// Sends a datagram to the first group as if it came from there.
fn forge(from: SocketAddr, text: &str) {
    let SocketAddr::V4(from) = from else { panic!("IPv4") };
    let socket = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::from(255))).expect("a socket");
    socket.set_header_included_v4(true).expect("it can be");
    socket.set_multicast_loop_v4(false).expect("it can be");
    socket.set_multicast_if_v4(&Ipv4Addr::new(10, 9, 0, 1)).expect("it is of this host");
    let SocketAddr::V4(to) = ONE.parse().expect("an address") else { panic!("IPv4") };
    // The kernel fills in what is 0 here: lengths, the number and the sum of IP; UDP needs none.
    let mut packet = vec![0x45, 0, 0, 0, 0, 0, 0, 0, 1, 17, 0, 0];
    packet.extend(from.ip().octets().iter().chain(&to.ip().octets()));
    packet.extend(from.port().to_be_bytes().iter().chain(&to.port().to_be_bytes()));
    packet.extend((8 + text.len() as u16).to_be_bytes().iter().chain(&[0, 0]));
    packet.extend(text.as_bytes());
    socket.send_to(&packet, &SocketAddr::V4(to).into()).expect("it is sent");
}
