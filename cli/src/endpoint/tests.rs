use super::*;

fn faults(typed: &str) -> Vec<String> {
    Endpoint::parse(typed).expect_err("it is faulty").sentences(typed)
}

fn assert_is(typed: &str, scheme: Scheme, place: &str) {
    let address = Endpoint::parse(typed).expect("it is sound").address;
    let found = match &address.place {
        Place::Host(host) => host.to_string(),
        Place::File(path) => path.display().to_string(),
    };
    assert_eq!((address.scheme, found.as_str()), (scheme, place), "{typed}");
}

#[test]
fn a_url_names_transport_and_place() {
    assert_is("echo=tcp://127.0.0.1:9000", Scheme::Tcp, "127.0.0.1:9000");
    assert_is("echo=tcp://LocalHost:0/", Scheme::Tcp, "localhost:0");
    assert_is("echo=udp://[::1]:0", Scheme::Udp, "[::1]:0");
    assert_is("echo=udp://[FE80::1%Eth0.5]:7", Scheme::Udp, "[fe80::1%Eth0.5]:7");
    assert_is("echo=udp://[fe80::1%25eth0]:7", Scheme::Udp, "[fe80::1%25eth0]:7");
    assert_is("echo=unix:///run/x.sock", Scheme::Unix, "/run/x.sock");
    assert_is("echo=unix:///run/a%3Fb%20c?prefix=", Scheme::Unix, "/run/a?b c");
}

#[test]
fn each_fault_is_named() {
    for (typed, fault) in [
        ("echo", "not SERVICE=URL, as in echo=tcp://127.0.0.1:8080"),
        ("rooms", "not SERVICE=URL, as in rooms=tcp://127.0.0.1:8081"),
        ("rooms=8081", "not SERVICE=URL, as in rooms=tcp://127.0.0.1:8081"),
        ("tcp://127.0.0.1:1", "missing service, as in echo=tcp://127.0.0.1:1"),
        ("tcp://127.0.0.1:1?prefix=x", "missing service, as in echo=tcp://127.0.0.1:1?prefix=x"),
        ("http://127.0.0.1:1", "missing service, as in rooms=http://127.0.0.1:1"),
        ("echo:tcp://127.0.0.1:1", "not SERVICE=URL, as in echo=tcp://127.0.0.1:8080"),
        ("echo=sctp://127.0.0.1:1", "unknown scheme `sctp`; known: tcp, tls, unix, udp, ws, wss"),
        ("echo=tpc://127.0.0.1:1", "unknown scheme `tpc`; known: tcp, tls, unix, udp, ws, wss; did you mean `tcp`?"),
        ("echo=https://127.0.0.1:1", "echo is not served over `https`, but over tcp, tls, unix, udp, ws, wss"),
        (
            "rooms=ws://127.0.0.1:1",
            "rooms is not served over `ws`, but over tcp, tls, unix, udp, http, https; http and https have WebSockets",
        ),
        ("echo=tcp://127.0.0.1", "missing port, as in 127.0.0.1:8080 (0 picks a free one)"),
        ("echo=tcp://[::1]", "missing port, as in [::1]:8080 (0 picks a free one)"),
        ("echo=tcp://127.0.0.1:", "missing port, as in 127.0.0.1:8080 (0 picks a free one)"),
        ("echo=tcp://127.0.0.1:70000", "bad port `70000`: not from 0 to 65535"),
        ("echo=tcp://127.0.0.1:+80", "bad port `+80`: not from 0 to 65535"),
        ("echo=tcp://127.0.0.256:1", "bad host `127.0.0.256`: not an IPv4 address"),
        ("echo=tcp://[::g]:1", "bad host `[::g]`: not an IPv6 address"),
        ("echo=tcp://a..b:1", "bad host `a..b`: not a name or an address"),
        ("echo=tcp://me@host:1", "bad host `me@host`: not a name or an address"),
        ("echo=tcp://:80", "missing host: 127.0.0.1 is this machine only, 0.0.0.0 and [::] are open to all"),
        ("echo=tcp://*:80", "missing host: 127.0.0.1 is this machine only, 0.0.0.0 and [::] are open to all"),
        ("echo=tcp://[fe80::1%]:80", "bad host `[fe80::1%]`: not an IPv6 address"),
        ("echo=tcp://[fe80::1%a b]:80", "bad host `[fe80::1%a b]`: not an IPv6 address"),
        ("echo=tcp://127.0.0.1%lo:80", "bad host `127.0.0.1%lo`: not a name or an address"),
        ("echo=tcp://::1:80", "IPv6 addresses go in brackets, as in [::1]:8080"),
        ("echo=tcp://127.0.0.1:1/path", "no path may follow the port"),
        ("echo=unix://x.sock", "not a path, as in unix:///run/switchboard.sock or unix://./switchboard.sock"),
        ("echo=unix:///a%00", "a path cannot contain NUL"),
        ("echo=unix:///a%0", "a % needs two hexadecimal digits after it (%25 is a % itself)"),
    ] {
        assert_eq!(faults(typed), [format!("{typed}: {fault}")]);
    }
    assert_eq!(faults(""), ["'': not SERVICE=URL, as in echo=tcp://127.0.0.1:8080"]);
    assert!(
        faults("chat=tcp://127.0.0.1:1")[0].starts_with("chat=tcp://127.0.0.1:1: unknown service `chat`; known: echo")
    );
    assert!(
        faults(&format!("echo=unix:///{}", "x".repeat(107)))[0].contains("at most 107 bytes, and this one has 108")
    );
}

#[test]
fn options_belong_to_service_and_transport() {
    for (typed, fault) in [
        (
            "echo=tcp://h:1?color=red",
            "unknown option `color`; known here: freebind, proxy-from, proxy-others, prefix, idle",
        ),
        (
            "echo=udp://h:1?prefix=/ping",
            "option `prefix`: over UDP it cannot begin with `/`: rooms would take it for a command",
        ),
        (
            "rooms=udp://h:1?framing=length",
            "option `framing`: is for tcp, tls and unix; over UDP each datagram is a frame",
        ),
        (
            "rooms=http://h:1?framing=length",
            "option `framing`: is for tcp, tls and unix; over HTTP messages and bodies are frames",
        ),
        ("echo=udp://h:1?idle=5s", "unknown option `idle`; known here: freebind, prefix"),
        ("echo=tcp://h:1?idle=soon", "option `idle`: `soon` is not a duration such as 500ms, 30s, 5m or 1h, nor off"),
        ("echo=tcp://h:1?prefix", "option `prefix` has no value: prefix=…"),
        ("echo=tcp://h:1?prefix=a&prefix=b", "option `prefix` is given twice"),
        (
            "echo=tls://h:1?key=a&key=b&cert=c",
            "each cert=FILE needs its key=FILE: there are 1 of one and 2 of the other",
        ),
        ("echo=tls://h:1", "TLS needs a certificate: put ?cert=FILE&key=FILE after the port"),
        (
            "echo=tcp://h:1?cert=a",
            "unknown option `cert`; known here: freebind, proxy-from, proxy-others, prefix, idle",
        ),
        ("echo=tcp://h:1?prefix=%", "option `prefix`: a % needs two hexadecimal digits after it (%25 is a % itself)"),
    ] {
        assert_eq!(faults(typed), [format!("{typed}: {fault}")]);
    }
}

#[test]
fn all_faults_of_an_endpoint_come_at_once() {
    assert_eq!(faults("chat=gopher://x:1?a").len(), 3);
    assert_eq!(faults("echo=tcp://x:1?a=1&b=2&idle=c").len(), 3);
}

#[test]
fn files_that_are_not_there_are_told_apart_from_what_was_typed() {
    let faults = Endpoint::parse("echo=tls://h:1?cert=/no/a%20b&key=/no/key&idle=soon").expect_err("it is faulty");
    assert_eq!((faults.typed.len(), faults.files.len()), (1, 2), "{faults:?}");
    let missing = |file: &str| format!("{file}: No such file or directory (os error 2)");
    let faults = Endpoint::parse("echo=tls://h:1?cert=/no/a%20b&key=/no/key").expect_err("the files are not there");
    assert_eq!(faults, Faults { typed: Vec::new(), files: vec![missing("/no/a b"), missing("/no/key")] });
}

#[test]
fn only_a_fixed_address_collides() {
    let collide = |one, other| {
        let parsed = |typed| Endpoint::parse(typed).expect("it is sound").address;
        parsed(one).collides_with(&parsed(other))
    };
    assert!(collide("echo=tcp://localhost:1?prefix=a", "echo=tcp://LOCALHOST:1?prefix=b"));
    assert!(collide("echo=unix:///a", "echo=unix:///a"));
    assert!(!collide("echo=tcp://h:1", "echo=udp://h:1"));
    assert!(!collide("echo=tcp://h:0", "echo=tcp://h:0"));
}
