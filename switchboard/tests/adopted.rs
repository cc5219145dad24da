//! Sockets that are open already, as a process has them from systemd or from the one before it.

use crate::harness::mote::{Mote, stranger_of};
use crate::harness::served::{Served, address, echo, line, with_1_and_4_workers};
use crate::harness::tls_peer::Pair;
use std::fs::File;
use std::io::Write as _;
use std::net::{TcpListener, UdpSocket};
use std::os::fd::OwnedFd;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr as UnixAddr, UnixDatagram, UnixListener, UnixStream};
use switchboard::prelude::*;
use switchboard::{Datagrams, Tcp, Tls, Trust, Udp, Unix, Validation};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

with_1_and_4_workers! {
    listeners_that_are_open_are_served => streams;
    datagrams_to_a_socket_that_is_open_are_answered => datagrams;
    peers_of_a_socket_that_is_open_are_connections => datagram_peers;
}

fn repeat(datagram: Datagram<'_>, reply: &mut DatagramReply<'_>) {
    reply.write(datagram.payload);
}

async fn streams(workers: usize) {
    let path = std::env::temp_dir().join(format!("switchboard-adopted-{}-{workers}", std::process::id()));
    let tcp = || TcpListener::bind("127.0.0.1:0").unwrap();
    let (plain, secure, unix, pair) = (tcp(), tcp(), UnixListener::bind(&path).unwrap(), Pair::new(&["localhost"]));
    let places = [plain.local_addr().unwrap(), secure.local_addr().unwrap()];
    let server = Server::new()
        .workers(workers)
        .listen(Tcp::from_std(plain), echo)
        .listen(Tls::from_std(OwnedFd::from(secure), &pair.certificates()), echo)
        .listen(Unix::from_std(unix), echo);
    let served = Served::start(server).await;
    let urls = [format!("tcp://{}", places[0]), format!("tls://{}", places[1]), format!("unix://{}", path.display())];
    assert_eq!(served.urls, urls);

    let client = Client::new();
    let trust = Trust::pem(&pair.certificate).unwrap();
    for _ in 0..8 {
        let secure = client.tls(format!("localhost:{}", places[1].port()), &trust).await.unwrap();
        let connections = [client.tcp(places[0]).await.unwrap(), client.unix(&path).await.unwrap(), secure];
        for mut conn in connections {
            let conn: &mut Connection<Lines> = &mut conn;
            conn.send("hi").await.unwrap();
            assert_eq!(conn.recv().await.unwrap().unwrap(), "hi");
        }
    }
    assert_eq!(client.drain().await.aborted, 0);
    served.stop().await;
    assert!(path.exists(), "the file is for whoever made it to remove");
    std::fs::remove_file(path).unwrap();
}

async fn datagrams(workers: usize) {
    for place in ["127.0.0.1:0", "[::1]:0", "0.0.0.0:0"] {
        let socket = UdpSocket::bind(place).unwrap();
        let bound = socket.local_addr().unwrap();
        let served = Served::start(Server::new().workers(workers).datagrams(Udp::from_std(socket), repeat)).await;
        assert_eq!(served.urls, [format!("udp://{bound}")]);
        let to = if bound.ip().is_unspecified() { ([127, 0, 0, 1], bound.port()).into() } else { bound };
        for _ in 0..8 {
            assert_eq!(stranger_of(to).await.ask("hi").await, "hi");
        }
        served.stop().await;
    }
}

async fn datagram_peers(workers: usize) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let place = socket.local_addr().unwrap();
    let strangers = |_: Datagram<'_>, _: &mut DatagramReply<'_>| Validation::Given;
    let handler = async |mut conn: Connection<Datagrams>| -> Result {
        while let Some(frame) = conn.recv().await? {
            conn.send(frame).await?;
        }
        Ok(())
    };
    let served =
        Served::start(Server::new().workers(workers).udp_peers(Udp::from_std(socket), strangers, handler)).await;
    // All stay, so that none has the port of one before it; what a server of another test still sends to a client that had this port is none of them.
    let mut strangers = Vec::new();
    for _ in 0..8 {
        let stranger = stranger_of(place).await;
        assert_eq!(stranger.ask("hi").await, "hi");
        strangers.push(stranger);
        let peers: Vec<_> = served.handle.connections().list(None, 99).iter().map(|info| info.peer.ip()).collect();
        let is_there = |stranger: &Mote| peers.contains(&stranger.0.local_addr().ok());
        assert!(strangers.iter().all(is_there), "{} strangers and {peers:?}", strangers.len());
    }
    served.handle.abort();
    served.drained.await.unwrap();
}

#[tokio::test]
async fn what_cannot_be_listened_on_is_told_all_at_once() {
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = tcp.local_addr().unwrap();
    let bound = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    bound.bind(&socket2::SockAddr::from(std::net::SocketAddr::from(([127, 0, 0, 1], 0)))).unwrap();
    let bound_to = bound.local_addr().unwrap().as_socket().unwrap();
    let connected = UdpSocket::bind("127.0.0.1:0").unwrap();
    connected.connect("127.0.0.1:9").unwrap();
    let connected_from = connected.local_addr().unwrap();
    let unbound = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::DGRAM, None).unwrap();
    let (stream, _other) = UnixStream::pair().unwrap();
    let (unix_datagram, file) = (UnixDatagram::unbound().unwrap(), File::open("/dev/null").unwrap());
    let server = Server::new()
        .workers(1)
        .listen(Tcp::from_std(UdpSocket::bind("127.0.0.1:0").unwrap()), echo)
        .listen(Tcp::from_std(bound), echo)
        .listen(Unix::from_std(tcp.try_clone().unwrap()), echo)
        .listen(Unix::from_std(stream), echo)
        .datagrams(Udp::from_std(tcp), repeat)
        .datagrams(Udp::from_std(connected), repeat)
        .datagrams(Udp::from_std(unbound), repeat)
        .datagrams(Udp::from_std(unix_datagram), repeat)
        .listen(Tcp::from_std(file), echo);
    let error = server.bind().await.map(drop).unwrap_err();
    let told: Vec<_> = error.listeners.iter().map(|failed| failed.error.to_string()).collect();
    let of_socket = |what: &str| format!("the socket passed in {what}");
    let expected = [
        of_socket("is for UDP, not for TCP"),
        of_socket("is not listening"),
        of_socket("is for TCP, not for Unix streams"),
        of_socket("is not listening"),
        of_socket("is for TCP, not for UDP"),
        of_socket("is connected to 127.0.0.1:9 and receives from nobody else"),
        of_socket("is not bound"),
        of_socket("is not for UDP"),
        "what was passed in is not a socket".to_owned(),
    ];
    assert_eq!(told, expected);
    let named: Vec<_> = error.listeners.iter().map(|failed| failed.listener.as_str()).collect();
    assert_eq!(named[1], format!("tcp://{bound_to}"));
    assert_eq!(named[4..6], [format!("udp://{address}"), format!("udp://{connected_from}")]);
    assert!(named[3].starts_with("unix://descriptor ") && named[8].starts_with("tcp://descriptor "), "{named:?}");
}

#[tokio::test]
async fn whoever_connects_between_two_servers_of_one_socket_is_served_by_the_second() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let first =
        Served::start(Server::new().workers(1).listen(Tcp::from_std(listener.try_clone().unwrap()), echo)).await;
    let mut before = TcpStream::connect(first.address()).await.unwrap();
    before.write_all(b"before\n").await.unwrap();
    assert_eq!(line(&mut before).await, "before\n");
    let place = first.address();
    first.stop().await;

    let mut between = TcpStream::connect(place).await.unwrap();
    between.write_all(b"between\n").await.unwrap();
    let second = Served::start(Server::new().workers(1).listen(Tcp::from_std(listener), echo)).await;
    assert_eq!(address(&second.urls[0]), place);
    assert_eq!(line(&mut between).await, "between\n");
    drop(between);
    second.stop().await;
}

#[tokio::test]
async fn a_unix_socket_may_have_a_name_without_a_file() {
    let name = UnixAddr::from_abstract_name(format!("switchboard-{}", std::process::id())).unwrap();
    let listener = UnixListener::bind_addr(&name).unwrap();
    let served = Server::new().workers(1).listen(Unix::from_std(listener), echo).bind().await.unwrap();
    assert_eq!(served.urls(), [format!("unix://@switchboard-{}", std::process::id())]);
    let handle = served.handle();
    let drained = tokio::spawn(served.serve_until(std::future::pending()));
    let answer = tokio::task::spawn_blocking(move || {
        let mut stream = UnixStream::connect_addr(&name).unwrap();
        stream.write_all(b"hi\n").unwrap();
        let mut answer = [0; 3];
        std::io::Read::read_exact(&mut stream, &mut answer).unwrap();
        answer
    });
    assert_eq!(&answer.await.unwrap(), b"hi\n");
    handle.drain();
    drained.await.unwrap();
}
