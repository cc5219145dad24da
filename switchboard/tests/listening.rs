//! What an address that is listened on stands for: names with several, both families on one port, zones.

use crate::harness::alone::in_a_network_of_its_own;
use crate::harness::mote::stranger_of;
use crate::harness::served::{Served, address, echo, line};
use std::collections::HashSet;
use std::net::SocketAddr;
use switchboard::prelude::*;
use switchboard::{Client, Datagrams, Udp, Validation};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

fn repeat(datagram: Datagram<'_>, reply: &mut DatagramReply<'_>) {
    reply.write(datagram.payload);
}

fn repeat_to_strangers(datagram: Datagram<'_>, reply: &mut DatagramReply<'_>) -> Validation {
    repeat(datagram, reply);
    Validation::Missing
}

async fn nothing(_: Connection<Datagrams>) -> Result {
    Ok(())
}

async fn unheard(_: Connection<WebSocket>) -> Result {
    Ok(())
}

async fn greet(mut conn: Connection<WebSocket>) -> Result {
    conn.send("hi").await?;
    Ok(())
}

async fn answers(url: &str) {
    match url.split_once("://").unwrap().0 {
        "tcp" => {
            let mut stream = TcpStream::connect(address(url)).await.unwrap();
            stream.write_all(b"hi\n").await.unwrap();
            assert_eq!(line(&mut stream).await, "hi\n", "{url}");
        }
        "udp" => assert_eq!(stranger_of(address(url)).await.ask("hi").await, "hi", "{url}"),
        _ => drop(TcpStream::connect(address(url)).await.unwrap()),
    }
}

#[test]
fn all_addresses_of_a_name_are_listened_on() {
    // One of them is another machine's.
    let set_up = "ip link set lo up && mount -t tmpfs none /mnt && \
        printf '127.0.0.1 many\n127.0.0.2 many\n::1 many\n192.0.2.1 many\n' > /mnt/hosts && mount --bind /mnt/hosts /etc/hosts";
    in_a_network_of_its_own(all_addresses_of_a_name_are_listened_on, set_up, async {
        for workers in [0, 2] {
            listen_on_all("many:0", workers, &["127.0.0.1", "127.0.0.2", "::1"]).await;
        }
    });
}

async fn listen_on_all(name: &str, workers: usize, hosts: &[&str]) {
    let server = Server::new().workers(workers).tcp(name, echo).udp(name, repeat).websocket(name, unheard);
    let server = server.udp_peers(Udp::new(name), repeat_to_strangers, nothing);
    let bound = server.bind().await.unwrap();
    let (listeners, urls, handle) = (bound.listeners(), bound.urls(), bound.handle());
    assert_eq!(listeners.concat(), urls);
    let drained = tokio::spawn(bound.serve_until(std::future::pending()));
    for listener in listeners {
        let places: Vec<_> = listener.iter().map(|url| address(url)).collect();
        let found: HashSet<_> = places.iter().map(|place| place.ip().to_string()).collect();
        assert_eq!(found, hosts.iter().map(|host| (*host).to_owned()).collect(), "{listener:?}");
        assert_eq!(places.iter().map(SocketAddr::port).collect::<HashSet<_>>().len(), 1, "{listener:?}");
        for url in listener.iter().chain(&listener) {
            answers(url).await;
        }
    }
    handle.abort();
    drained.await.unwrap();
}

/// Whatever the kernel would do by itself.
#[test]
fn all_addresses_of_both_families_are_one_listener_or_two() {
    let set_up = "ip link set lo up && echo $NEITHER > /proc/sys/net/ipv6/bindv6only";
    for only in ["0", "1"] {
        in_a_network_of_its_own(
            all_addresses_of_both_families_are_one_listener_or_two,
            &set_up.replace("$NEITHER", only),
            async {
                let all = |server: Server, address: &str, port: u16| {
                    let server = server.tcp(format!("{address}:{port}"), echo).udp(format!("{address}:{port}"), repeat);
                    let server = server.websocket(format!("{address}:{}", port + 1), unheard);
                    server.udp_peers(Udp::new(format!("{address}:{}", port + 1)), repeat_to_strangers, nothing)
                };
                let hosts = |port: u16| {
                    let place = move |host| move |(scheme, more)| format!("{scheme}://{host}:{}", port + more);
                    let schemes = [("tcp", 0), ("udp", 0), ("ws", 1), ("udp", 1)];
                    ["127.0.0.1", "[::1]"].into_iter().flat_map(move |host| schemes.map(place(host)))
                };
                for addresses in [&["[::]"][..], &["[::]", "0.0.0.0"], &["0.0.0.0", "[::]"]] {
                    let server =
                        addresses.iter().fold(Server::new().workers(1), |server, address| all(server, address, 7000));
                    let served = Served::start(server).await;
                    for url in hosts(7000) {
                        answers(&url).await;
                    }
                    served.handle.abort();
                    served.drained.await.unwrap();
                }
            },
        );
    }
}

#[test]
fn a_zone_may_be_an_interfaces_name() {
    let set_up = "ip link set lo up && \
        ip addr add fe80::1/64 dev lo nodad && until ip -6 route get fe80::1 oif lo > /dev/null; do sleep 0.01; done";
    in_a_network_of_its_own(a_zone_may_be_an_interfaces_name, set_up, async {
        let client = Client::new();
        for host in ["[fe80::1%lo]", "[fe80::1%25lo]"] {
            let server = Server::new().workers(1).tcp(format!("{host}:0"), echo).udp(format!("{host}:0"), repeat);
            let served = Served::start(server).await;
            for url in &served.urls {
                let (_, port) = url.split_once("://[fe80::1%lo]:").unwrap();
                let place = format!("{host}:{port}");
                let said = if url.starts_with("udp") {
                    let mut connection: Connection<Datagrams> = client.udp(place).await.unwrap();
                    connection.send(&b"hi"[..]).await.unwrap();
                    connection.recv().await.unwrap().map(|frame| frame.to_vec())
                } else {
                    let mut connection: Connection<Lines> = client.tcp(place).await.unwrap();
                    connection.send("hi").await.unwrap();
                    connection.recv().await.unwrap().map(|line| line.to_vec())
                };
                assert_eq!(said.as_deref(), Some(&b"hi"[..]), "{url}");
            }
            served.handle.abort();
            served.drained.await.unwrap();

            let served = Served::start(Server::new().workers(1).websocket(format!("{host}:0"), greet)).await;
            let (_, port) = served.urls[0].split_once("ws://[fe80::1%lo]:").unwrap();
            let mut connection = client.websocket(format!("ws://{host}:{port}/")).await.unwrap();
            assert_eq!(connection.recv().await.unwrap().unwrap(), "hi".into());
            served.handle.abort();
            served.drained.await.unwrap();
        }
    });
}

#[test]
fn a_listener_of_the_same_server_that_is_in_the_way_is_named() {
    in_a_network_of_its_own(a_listener_of_the_same_server_that_is_in_the_way_is_named, "ip link set lo up", async {
        let server = Server::new().workers(1).tcp("0.0.0.0:7000", echo).websocket("127.0.0.1:7000", unheard);
        let told = server.bind().await.map(drop).unwrap_err().to_string();
        assert_eq!(told, "cannot listen on ws://127.0.0.1:7000: its port is taken by tcp://0.0.0.0:7000");
        let server = Server::new().workers(2).udp("127.0.0.1:7000", repeat).udp("[::]:7000", repeat);
        let told = server.bind().await.map(drop).unwrap_err().to_string();
        assert_eq!(told, "cannot listen on udp://[::]:7000: its port is taken by udp://127.0.0.1:7000");
    });
}
