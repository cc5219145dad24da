//! Groups of hosts: multicast and broadcast, as one connection. Each test has a network of its own: this host on `e0`, the others on `e1`,
//! which is the other end of the same cable.

use crate::harness::alone::in_a_network_of_its_own;
use crate::harness::patience::until;
use crate::harness::served::Served;
use socket2::{Domain, InterfaceIndexOrAddress, Socket, Type};
use std::net::{IpAddr, SocketAddr, SocketAddrV6};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use switchboard::prelude::*;
use switchboard::{Datagrams, Direction, Format, HostGroup, Join, Overflow, Rate, Udp};
use tokio::net::UdpSocket;

/// What the other end sends comes from an address of this machine, which the kernel would take for forged.
pub(crate) const CABLE: &str = "
    for what in accept_local route_localnet; do echo 1 > /proc/sys/net/ipv4/conf/all/$what; done
    echo 0 > /proc/sys/net/ipv4/conf/all/rp_filter; echo 0 > /proc/sys/net/ipv4/conf/default/rp_filter
    ip link set lo up && ip link add e0 type veth peer name e1 &&
    ip link set e0 addrgenmode none && ip link set e1 addrgenmode none &&
    ip addr add 10.9.0.1/24 brd + dev e0 && ip addr add 10.9.0.2/24 brd + dev e1 && ip addr add 10.9.0.3/24 brd + dev e1 &&
    ip addr add fe80::1/64 dev e0 nodad && ip addr add fe80::2/64 dev e1 nodad &&
    ip addr add fe80::3/64 dev e1 nodad &&
    ip link set e0 up && ip link set e1 up && {
        # A busy kernel says some time later that the cable is plugged in: what is sent before that is lost.
        plugged() { ip -o link show $1 | grep -q 'state UP'; }
        for _ in $(seq 1000); do plugged e0 && plugged e1 && break; sleep 0.01; done
        plugged e0 && plugged e1
    }";

const GROUP: &str = "239.1.2.3:7000";

/// The other end's socket: it has joined a group, and sends to it.
pub(crate) struct Host {
    socket: UdpSocket,
    group: SocketAddr,
}

fn index(name: &str) -> u32 {
    nix::net::if_::if_nametoindex(name).unwrap()
}

impl Host {
    pub(crate) fn at(group: &str) -> Self {
        Self::from(group, "10.9.0.2")
    }

    /// Joined on `e1`, and sends from there.
    fn from(group: &str, source: &str) -> Self {
        let group: SocketAddr = group.parse().unwrap();
        let socket = Socket::new(Domain::for_address(group), Type::DGRAM.nonblocking(), None).unwrap();
        socket.set_reuse_address(true).unwrap();
        match (group.ip(), source.parse().unwrap()) {
            (IpAddr::V4(ip), IpAddr::V4(source)) => {
                if ip.is_multicast() {
                    socket.set_multicast_all_v4(false).unwrap();
                    socket.join_multicast_v4_n(&ip, &InterfaceIndexOrAddress::Index(index("e1"))).unwrap();
                    socket.set_multicast_if_v4(&source).unwrap();
                }
                socket.set_broadcast(true).unwrap();
            }
            (IpAddr::V6(ip), _) => {
                socket.bind_device(Some(b"e1")).unwrap();
                socket.join_multicast_v6(&ip, index("e1")).unwrap();
                socket.set_multicast_if_v6(index("e1")).unwrap();
            }
            _ => unreachable!("both are of one family"),
        }
        socket.bind(&group.into()).unwrap();
        Self { socket: UdpSocket::from_std(socket.into()).unwrap(), group }
    }

    /// Sends from another socket, as most programs do.
    pub(crate) async fn say(&self, source: &str, text: &str) {
        let source: IpAddr = source.parse().unwrap();
        let socket = Socket::new(Domain::for_address(self.group), Type::DGRAM.nonblocking(), None).unwrap();
        match source {
            IpAddr::V4(source) => {
                socket.set_multicast_if_v4(&source).unwrap();
                socket.set_broadcast(true).unwrap();
                socket.bind(&SocketAddr::from((source, 0)).into()).unwrap();
            }
            IpAddr::V6(source) => {
                socket.set_multicast_if_v6(index("e1")).unwrap();
                socket.bind(&SocketAddrV6::new(source, 0, 0, index("e1")).into()).unwrap();
            }
        }
        let socket = UdpSocket::from_std(socket.into()).unwrap();
        socket.send_to(text.as_bytes(), self.group).await.unwrap();
    }

    /// The next datagram that was not sent from `e1`, and where it came from.
    async fn next(&self) -> (String, SocketAddr) {
        let mut bytes = vec![0; 65_536];
        loop {
            let (length, source) = self.socket.recv_from(&mut bytes).await.unwrap();
            let is_own = ["10.9.0.2", "10.9.0.3", "fe80::2", "fe80::3"].contains(&&*source.ip().to_string());
            if !is_own {
                return (String::from_utf8_lossy(&bytes[..length]).into_owned(), source);
            }
        }
    }

    pub(crate) async fn hears(&self, text: &str) {
        assert_eq!(self.next().await.0, text);
    }
}

/// A group on `e0`.
fn group(address: &str) -> HostGroup {
    Udp::group(address).interface("e0")
}

/// Publishes in `room` what comes from the group, and has the group be sent what is said there.
async fn bridge(mut conn: Connection<Datagrams>, room: Room) -> Result {
    let join = Join { overflow: Some(Overflow::Conflate), ..Join::default() };
    let seat = conn.join_as(&room, Format::Raw, join)?;
    while let Some(datagram) = conn.recv().await? {
        seat.publish(datagram)?;
    }
    Ok(())
}

async fn serve(workers: usize, groups: impl IntoIterator<Item = HostGroup>, room: &Room) -> Served {
    let groups = groups.into_iter().collect::<Vec<_>>();
    let (count, before) = (groups.len(), room.member_count());
    let server = groups.into_iter().fold(Server::new().workers(workers), |server, group| {
        let room = room.clone();
        server.group(group, move |conn| bridge(conn, room.clone()))
    });
    let served = Served::start(server).await;
    until(|| room.member_count() == before + count).await;
    served
}

fn said(room: &Room) -> Vec<String> {
    room.history(1000).iter().map(|message| String::from_utf8_lossy(&message.payload).into_owned()).collect()
}

#[test]
fn what_a_host_says_is_published_once_however_many_workers_there_are() {
    in_a_network_of_its_own(what_a_host_says_is_published_once_however_many_workers_there_are, CABLE, async {
        for workers in [1, 4] {
            let room = Hub::new().room("r").unwrap();
            let served = serve(workers, [group(GROUP)], &room).await;
            let host = Host::at(GROUP);
            let expected: Vec<_> = (0..100).map(|number| number.to_string()).collect();
            for text in &expected {
                host.say("10.9.0.2", text).await;
            }
            until(|| room.last_id().seq >= 100).await;
            assert_eq!(said(&room), expected);
            assert_eq!(served.stop().await.aborted, 0);
        }
    });
}

#[test]
fn what_is_published_is_sent_once_from_the_interfaces_address_and_does_not_come_back() {
    in_a_network_of_its_own(
        what_is_published_is_sent_once_from_the_interfaces_address_and_does_not_come_back,
        CABLE,
        async {
            let room = Hub::new().room("r").unwrap();
            let served = serve(2, [group(GROUP)], &room).await;
            let (host, other) = (Host::at(GROUP), Host::from(GROUP, "10.9.0.3"));
            for number in 0..100 {
                room.publish(number.to_string());
            }
            for number in 0..100 {
                let (text, source) = host.next().await;
                assert_eq!((text, source.ip().to_string()), (number.to_string(), "10.9.0.1".to_owned()));
                other.hears(&number.to_string()).await;
            }
            // It comes behind all that may have come back.
            host.say("10.9.0.2", "last").await;
            until(|| room.last_id().seq == 101).await;
            let counts = || (served.handle.metrics().datagrams_in.get(), served.handle.metrics().datagrams_out.get());
            until(|| counts() == (1, 100)).await;
            assert_eq!(served.stop().await.aborted, 0);
        },
    );
}

#[test]
fn two_servers_of_one_host_hear_each_other_and_not_themselves() {
    in_a_network_of_its_own(two_servers_of_one_host_hear_each_other_and_not_themselves, CABLE, async {
        let rooms = [Hub::new().room("r").unwrap(), Hub::new().room("r").unwrap()];
        let servers = [serve(1, [group(GROUP)], &rooms[0]).await, serve(1, [group(GROUP)], &rooms[1]).await];
        for number in 0..10 {
            rooms[number % 2].publish(number.to_string());
        }
        for room in &rooms {
            until(|| room.last_id().seq == 10).await;
        }
        // Anything that goes round would have by then.
        Host::at(GROUP).say("10.9.0.2", "last").await;
        for room in &rooms {
            until(|| said(room).last().is_some_and(|last| last == "last")).await;
            assert_eq!(room.last_id().seq, 11, "{:?}", said(room));
        }
        for served in servers {
            served.stop().await;
        }
    });
}

#[test]
fn what_came_from_a_group_goes_to_no_other_that_does_not_relay() {
    in_a_network_of_its_own(what_came_from_a_group_goes_to_no_other_that_does_not_relay, CABLE, async {
        let room = Hub::new().room("r").unwrap();
        let (first, second, third) = (GROUP, "239.1.2.4:7000", "239.1.2.5:7000");
        let groups = [group(first), group(second), group(third).relays()];
        let served = serve(2, groups, &room).await;
        let (from, silent, relayed) = (Host::at(first), Host::at(second), Host::at(third));
        from.say("10.9.0.2", "one").await;
        relayed.hears("one").await;
        relayed.say("10.9.0.2", "two").await;
        until(|| room.last_id().seq == 2).await;
        room.publish("three");
        silent.hears("three").await;
        from.hears("three").await;
        relayed.hears("three").await;
        assert_eq!(served.stop().await.aborted, 0);
    });
}

#[test]
fn only_the_sources_that_are_named_are_heard() {
    in_a_network_of_its_own(only_the_sources_that_are_named_are_heard, CABLE, async {
        let room = Hub::new().room("r").unwrap();
        let source: IpAddr = "10.9.0.3".parse().unwrap();
        let served = serve(1, [group("232.1.2.3:7000").source(source)], &room).await;
        let host = Host::at("232.1.2.3:7000");
        host.say("10.9.0.2", "no").await;
        host.say("10.9.0.3", "yes").await;
        until(|| room.last_id().seq > 0).await;
        assert_eq!(said(&room), ["yes"]);
        let filter = std::fs::read_to_string("/proc/net/mcfilter").unwrap();
        assert!(filter.lines().any(|line| line.contains("e0") && line.contains("0x0a090003")), "{filter}");
        served.stop().await;
    });
}

#[test]
fn a_group_of_a_link_has_its_zone() {
    in_a_network_of_its_own(a_group_of_a_link_has_its_zone, CABLE, async {
        let room = Hub::new().room("r").unwrap();
        let address = "[ff02::4242]:7000";
        let source: IpAddr = "fe80::2".parse().unwrap();
        let served = serve(1, [group(address).source(source)], &room).await;
        let host = Host::from(address, "fe80::2");
        host.say("fe80::3", "not from there").await;
        host.say("fe80::2", "in").await;
        until(|| room.last_id().seq == 1).await;
        assert_eq!(said(&room), ["in"]);
        room.publish("out");
        let (text, from) = host.next().await;
        assert_eq!((text.as_str(), from.ip().to_string().as_str()), ("out", "fe80::1"));
        served.stop().await;
        let by_zone = serve(1, [Udp::group("[ff02::4242%e0]:7000")], &room).await;
        host.say("fe80::2", "by zone").await;
        until(|| room.last_id().seq == 3).await;
        by_zone.stop().await;
    });
}

#[test]
fn everybody_in_a_subnet_hears_a_broadcast_and_is_heard() {
    in_a_network_of_its_own(everybody_in_a_subnet_hears_a_broadcast_and_is_heard, CABLE, async {
        // A host there would hear the loop of this one as well.
        for address in ["10.9.0.255:7000", "255.255.255.255:7000"] {
            let room = Hub::new().room("r").unwrap();
            let served = serve(1, [group(address).broadcast()], &room).await;
            let host = Host::at(address);
            host.say("10.9.0.2", "in").await;
            until(|| room.last_id().seq == 1).await;
            room.publish("out");
            host.hears("out").await;
            assert_eq!(served.handle.metrics().datagrams_in.get(), 1, "its own are not counted");
            served.stop().await;
        }
    });
}

#[test]
fn a_direction_that_is_left_out_carries_nothing() {
    in_a_network_of_its_own(a_direction_that_is_left_out_carries_nothing, CABLE, async {
        let room = Hub::new().room("r").unwrap();
        let (heard, spoken) = (GROUP, "239.1.2.4:7000");
        let groups = [group(heard).direction(Direction::In), group(spoken).direction(Direction::Out)];
        let served = serve(1, groups, &room).await;
        let (only_heard, only_spoken) = (Host::at(heard), Host::at(spoken));
        let joined = std::fs::read_to_string("/proc/net/igmp").unwrap();
        assert_eq!(joined.matches("030201EF").count(), 2, "e0 and e1: {joined}");
        assert_eq!(joined.matches("040201EF").count(), 1, "e1 alone: {joined}");
        only_spoken.say("10.9.0.2", "nobody hears this").await;
        only_heard.say("10.9.0.2", "in").await;
        until(|| room.last_id().seq == 1).await;
        room.publish("out");
        only_spoken.hears("out").await;
        assert_eq!(said(&room), ["in", "out"]);
        until(|| served.handle.metrics().datagrams_out.get() == 1).await;
        served.stop().await;
    });
}

#[test]
fn more_than_a_source_may_send_and_longer_than_a_datagram_may_be_is_dropped_and_counted() {
    in_a_network_of_its_own(
        more_than_a_source_may_send_and_longer_than_a_datagram_may_be_is_dropped_and_counted,
        CABLE,
        async {
            let room = Hub::new().room("r").unwrap();
            let few = Some(Rate::every(Duration::from_hours(1), 5));
            let limited = group(GROUP).received(few, None).datagram_bytes(10);
            let served = serve(1, [limited], &room).await;
            let host = Host::at(GROUP);
            for number in 0..20 {
                host.say("10.9.0.2", &number.to_string()).await;
            }
            host.say("10.9.0.3", "another").await;
            until(|| room.last_id().seq == 6).await;
            assert_eq!(said(&room), ["0", "1", "2", "3", "4", "another"]);
            room.publish("12345678901");
            room.publish("1234567890");
            host.hears("1234567890").await;
            let counts = || {
                let metrics = served.handle.metrics();
                [metrics.datagrams_refused.get(), metrics.datagrams_lost.get(), metrics.datagrams_out.get()]
            };
            until(|| counts() == [15, 1, 1]).await;
            served.stop().await;
        },
    );
}

#[test]
fn an_interface_that_comes_back_is_joined_again() {
    in_a_network_of_its_own(an_interface_that_comes_back_is_joined_again, CABLE, async {
        let room = Hub::new().room("r").unwrap();
        let served = serve(0, [group(GROUP), group("[ff02::4242]:7000")], &room).await;
        let ip = |line: &str| {
            let output = std::process::Command::new("sh").args(["-c", line]).output().unwrap();
            assert!(output.status.success(), "{line}: {output:?}");
        };
        ip("ip link del e0");
        look().await;
        ip(CABLE.trim_start().split_once("ip link set lo up &&").unwrap().1);
        look().await;
        let (host, of_link) = (Host::at(GROUP), Host::from("[ff02::4242]:7000", "fe80::2"));
        host.say("10.9.0.2", "again").await;
        of_link.say("fe80::2", "again").await;
        until(|| room.last_id().seq == 2).await;
        room.publish("out");
        host.hears("out").await;
        of_link.hears("out").await;
        ip("ip addr del 10.9.0.1/24 dev e0 && ip addr add 10.9.0.9/24 dev e0");
        look().await;
        room.publish("from another address");
        until(|| served.handle.metrics().datagrams_out.get() == 4).await;
        loop {
            let (text, source) = host.next().await;
            if text == "from another address" {
                break assert_eq!(source.ip().to_string(), "10.9.0.9");
            }
        }
        // The kernel keeps a membership meanwhile.
        ip("ip link set e0 down");
        look().await;
        ip("ip link set e0 up");
        look().await;
        let says = async {
            while room.last_id().seq == 4 {
                host.say("10.9.0.2", "down and up").await;
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), says).await.unwrap();
        served.stop().await;
    });
}

/// Lets the server look at its interfaces once.
async fn look() {
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(5)).await;
    tokio::time::resume();
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
}

#[test]
fn an_interface_has_to_be_named_unless_there_is_one() {
    in_a_network_of_its_own(an_interface_has_to_be_named_unless_there_is_one, CABLE, async {
        let fault = async |group: HostGroup| {
            let server = Server::new()
                .workers(0)
                .group(group, |_: Connection<Datagrams>| async { Ok::<_, switchboard::BoxError>(()) });
            server.bind().await.map(drop).unwrap_err().listeners[0].error.to_string()
        };
        assert_eq!(fault(Udp::group(GROUP)).await, "there are several interfaces, e0, e1: name one");
        assert_eq!(fault(Udp::group(GROUP).interface("e7")).await, "there is no interface e7; there are e0, e1, lo");
        assert_eq!(
            fault(group("[ff02::4242]:7000").interface("e1")).await,
            "ff02::4242 is another group on each link: a listener for each interface"
        );
        for (address, told) in [
            ("224.0.0.251:7000", "224.0.0.251 is for the control of networks (RFC 5771); 239.0.0.0/8 is free"),
            ("10.9.0.255:7000", "10.9.0.255 is no group of hosts; for a subnet's, say so"),
            ("239.1.2.3:0", "a group has a port"),
        ] {
            assert_eq!(fault(group(address)).await, told);
        }
        let room = Hub::new().room("r").unwrap();
        let served =
            serve(1, [group(GROUP).interface_later("e7"), Udp::group("10.9.0.255:7001").broadcast()], &room).await;
        served.stop().await;
    });
}

#[test]
fn a_connection_that_has_ended_is_opened_again() {
    in_a_network_of_its_own(a_connection_that_has_ended_is_opened_again, CABLE, async {
        let opened = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&opened);
        let server = Server::new().workers(0).group(group(GROUP), move |mut conn: Connection<Datagrams>| {
            let opened = Arc::clone(&counted);
            async move {
                opened.fetch_add(1, Ordering::Relaxed);
                conn.recv().await?;
                Ok::<_, switchboard::BoxError>(())
            }
        });
        let served = Served::start(server).await;
        let host = Host::at(GROUP);
        for times in 1..3 {
            until(|| opened.load(Ordering::Relaxed) == times).await;
            host.say("10.9.0.2", "end").await;
            until(|| served.handle.connections().is_empty()).await;
            tokio::time::pause();
            tokio::time::advance(Duration::from_secs(1)).await;
            tokio::time::resume();
        }
        until(|| opened.load(Ordering::Relaxed) == 3).await;
        assert_eq!(served.stop().await.aborted, 0);
    });
}
