//! Keys of a listener. They are the options of its URL too.

use super::{Key, Kind, OFF, Table, key};
use crate::overflow;

const fn listener(name: &'static str, kind: Kind, default: &'static str, doc: &'static str) -> Key {
    key(Table::Listener, name, kind, default, doc)
}

/// In the order in which they are shown.
pub(super) static KEYS: &[Key] = &[
    listener("url", Kind::Text, "", "SERVICE=URL without options, as rooms=tcp://127.0.0.1:8081; required")
        .sample("\"rooms=tls://0.0.0.0:8443\""),
    listener("cert", Kind::Texts, "", "PEM file of a certificate, or a list of them (TLS)")
        .live()
        .sample("\"/etc/switchboard/fullchain.pem\""),
    listener("key", Kind::Texts, "", "PEM file of its private key, or a list in the same order (TLS)")
        .live()
        .sample("\"/etc/switchboard/key.pem\""),
    listener("client-ca", Kind::Text, "", "PEM file of authorities whose certificates clients show (TLS)")
        .live()
        .sample("\"/etc/switchboard/clients-ca.pem\""),
    listener("client-crl", Kind::Text, "", "PEM file of lists of revoked certificates, one for each authority (TLS)")
        .live()
        .sample("\"/etc/switchboard/clients.crl\""),
    listener(
        "client-cert",
        Kind::Word(&["required", "optional"]),
        "\"required\"",
        "whether every client has to show a certificate, where there is a client-ca (TLS)",
    ),
    listener("freebind", Kind::Switch, "\"off\"", "whether the address may not exist yet (not on unix)"),
    listener("mode", Kind::Text, "", "mode of a Unix socket's file; admin: 0600, else what the umask leaves")
        .sample("\"0660\""),
    listener("group", Kind::Text, "", "group of a Unix socket's file; that of the process").sample("\"adm\""),
    listener(
        "plain-text",
        Kind::Word(&["accepted"]),
        "",
        "admin: accepted allows plain HTTP on addresses open to other machines, where anybody on the way reads along",
    )
    .sample("\"accepted\""),
    listener(
        "idle",
        Kind::Duration { or: OFF },
        "",
        "close a connection that sends nothing for this long; 30s on echo, 5m on rooms over UDP, else off; proxy: with nothing either way",
    ).live()
    .sample("\"off\""),
    listener("origins", Kind::List, "[]", "whose pages may use HTTP and WebSockets besides its own, or * for anyone's")
        .live(),
    listener("prefix", Kind::Text, "", "echo: put before each answer; \"echo: \", on UDP \"received: \"")
        .sample("\"echo: \""),
    listener("format", Kind::Word(&["text", "json", "raw"]), "", "rooms: what members are sent; text, on HTTP json")
        .sample("\"text\""),
    listener("room", Kind::Text, "\"lobby\"", "rooms: the room that new connections join"),
    listener("commands", Kind::Switch, "\"on\"", "rooms: whether lines that begin with / are commands"),
    listener("echo", Kind::Switch, "\"off\"", "rooms: whether senders get their own messages too"),
    listener(
        "rate",
        Kind::Count { least: 1, or: OFF },
        "",
        "rooms: lines a second read from one connection, of a group from one source; 1000 on addresses open to other machines, else off",
    )
    .live()
    .sample("\"off\""),
    listener(
        "new-rooms",
        Kind::Count { least: 1, or: OFF },
        "",
        "rooms: how many one address may make at once; 1000 on addresses open to other machines, else off",
    )
    .live()
    .sample("\"off\""),
    listener(
        "overflow",
        Kind::Word(&overflow::WORDS),
        "",
        "rooms: what happens to a member that cannot keep up; as its room says",
    )
    .sample("\"disconnect\""),
    listener(
        "framing",
        Kind::Word(&["lines", "length"]),
        "\"lines\"",
        "rooms: lines, or a length of four bytes before each payload (not on HTTP or UDP)",
    ),
    listener(
        "auth",
        Kind::Word(&["optional", "required", "off"]),
        "\"optional\"",
        "rooms: required: everybody has to present a token; off, on loopback and Unix sockets: everybody may do everything (not on UDP)",
    ).live(),
    listener(
        "as",
        Kind::Text,
        "",
        "rooms: the name that whoever connects here is known by, on loopback and Unix sockets (not on UDP)",
    )
    .sample("\"bridge\""),
    listener(
        "name-from",
        Kind::Text,
        "",
        "rooms: which part of a client's certificate is its name: san-dns, cn, san-email:DOMAIN or san-uri:PREFIX; without: none",
    )
    .sample("\"san-dns\""),
    listener(
        "peers",
        Kind::Word(&["login"]),
        "",
        "rooms: login: who connects to a Unix socket is known by its user (only on unix); without: by nothing",
    )
    .sample("\"login\""),
    listener(
        "access-token",
        Kind::Switch,
        "\"off\"",
        "rooms: whether streams and WebSockets over HTTP may present a token in their URL, as access_token=",
    ),
    listener(
        "health",
        Kind::Switch,
        "\"off\"",
        "rooms over HTTP: whether /healthz and /readyz are answered here too, to everybody",
    ),
    listener(
        "datagrams",
        Kind::Word(&["all", "signed"]),
        "\"all\"",
        "rooms over UDP: signed: nothing is looked at but datagrams that are signed",
    ),
    listener("interface", Kind::List, "", "rooms, of a group: the interfaces where it is; ? behind one that may be missing at the start; without: the only one")
        .sample("[\"eth0\"]"),
    listener("broadcast", Kind::Switch, "\"off\"", "rooms over UDP: whether the address is one that everybody in a subnet hears"),
    listener("ttl", Kind::Count { least: 0, or: &[] }, "1", "rooms, of a group: how far what is sent goes: 0 this machine, 1 this network"),
    listener("loop", Kind::Switch, "\"on\"", "rooms, of a group: whether other programs of this machine hear what is sent"),
    listener("source", Kind::List, "", "rooms, of a group: the addresses that are heard; without: all").sample("[\"10.0.0.5\"]"),
    listener("direction", Kind::Word(&["both", "in", "out"]), "\"both\"", "rooms, of a group: in: it is only heard; out: it is only sent to"),
    listener("name", Kind::Text, "", "rooms, of a group: the name of whoever sends to it; without: udp, and lan in lists").sample("\"studio\""),
    listener(
        "heartbeat",
        Kind::Duration { or: OFF },
        "",
        "rooms, of a group: after this silence it is told how far the room is; 1s with format=json, else off",
    )
    .sample("\"1s\""),
    listener("repair", Kind::Text, "", "rooms, of a group: the URL where what was lost is had, told by heartbeats; without: the first HTTP listener of rooms; or off")
        .sample("\"http://10.0.0.5:8082\""),
    listener("mtu", Kind::Count { least: 64, or: &[] }, "1400", "rooms, of a group: bytes of the longest datagram; a longer message is a gap"),
    listener("relay", Kind::Switch, "\"off\"", "rooms, of a group: whether it is sent what came from other groups"),
    listener(
        "proxy-from",
        Kind::List,
        "",
        "addresses and networks of proxies: a connection from there has to begin with a PROXY header (not on unix or UDP)",
    ).live()
    .sample("[\"10.0.0.2\"]"),
    listener(
        "proxy-others",
        Kind::Word(&["refuse", "direct"]),
        "\"refuse\"",
        "what becomes of connections from elsewhere, where there is proxy-from",
    ).live(),
    listener(
        "forwarded-from",
        Kind::List,
        "",
        "addresses and networks of proxies for HTTP and WebSockets, which are believed whose a request is",
    ).live()
    .sample("[\"127.0.0.1\"]"),
    listener(
        "forwarded-by",
        Kind::Word(&["x-forwarded-for", "forwarded", "x-real-ip"]),
        "\"x-forwarded-for\"",
        "the header by which they say so",
    ).live(),
    listener("to", Kind::List, "", "proxy: URLs of the upstreams that connections are passed on to, tcp, tls or unix, on udp udp; required there")
        .sample("[\"tcp://10.0.0.5:5432\"]"),
    listener(
        "balance",
        Kind::Word(&["least", "round", "hash:address"]),
        "\"least\"",
        "proxy: which upstream is next: the one with the fewest connections, each in turn, or the same one for an address",
    ),
    listener("weights", Kind::List, "", "proxy: numbers from 1 to 256, one for each upstream of `to`: how they share what comes")
        .sample("[\"3\"]"),
    listener("connect", Kind::Duration { or: &[] }, "\"3s\"", "proxy: the longest wait for one upstream, before the next one is tried"),
    listener(
        "check",
        Kind::Text,
        "\"off\"",
        "proxy: how upstreams are checked every 5 s: tcp: they accept; send=TEXT,expect=TEXT: they answer so; or off",
    )
    .sample("\"tcp\""),
    listener("half", Kind::Duration { or: OFF }, "\"60s\"", "proxy: end a pair in which one side has finished and the other says nothing for this long"),
    listener("max", Kind::Count { least: 1, or: OFF }, "\"off\"", "proxy: the most connections to each upstream"),
    listener("queue", Kind::Count { least: 1, or: &[] }, "128", "proxy: how many may wait for a place at an upstream"),
    listener("wait", Kind::Duration { or: &[] }, "\"1s\"", "proxy: how long they wait"),
    listener(
        "send-proxy",
        Kind::Word(&["off", "v1", "v2"]),
        "\"off\"",
        "proxy: the PROXY header that each connection to an upstream begins with, before TLS",
    ),
    listener("ca", Kind::Text, "", "proxy: PEM file of whom upstreams that speak TLS have to be; without: the system's authorities")
        .sample("\"/etc/switchboard/upstreams-ca.pem\""),
    listener("client", Kind::Text, "", "proxy: PEM file with the certificate and key that upstreams get which ask for one")
        .sample("\"/etc/switchboard/upstreams-client.pem\""),
];
