//! Whose a request is that came through proxies.

use crate::corpus::forwarded::run;
use proptest::prelude::*;
use std::net::IpAddr;
use switchboard_proto::ForwardedBy::{self, Forwarded, XForwardedFor, XRealIp};

/// Whose a request is that came by 10.0.0.1, where all that begins with 10 or fd is trusted.
fn client(by: ForwardedBy, lines: &[&str]) -> String {
    let is_trusted = |address: IpAddr| match address {
        IpAddr::V4(address) => address.octets()[0] == 10,
        IpAddr::V6(address) => address.octets()[0] == 0xfd,
    };
    by.client(lines.iter().map(|line| line.as_bytes()), "10.0.0.1".parse().unwrap(), is_trusted).to_string()
}

#[test]
fn the_first_from_the_right_that_is_not_trusted_is_the_client() {
    for (lines, found) in [
        (&["192.0.2.1"][..], "192.0.2.1"),
        (&["6.6.6.6, 192.0.2.1"], "192.0.2.1"),
        (&["6.6.6.6, 192.0.2.1, 10.0.0.3,10.0.0.2"], "192.0.2.1"),
        (&["6.6.6.6, 192.0.2.1", "10.0.0.3", "10.0.0.2"], "192.0.2.1"),
        (&["192.0.2.1:4711"], "192.0.2.1"),
        (&["[2001:db8::1]:4711, [fd00::1], fd00::2"], "2001:db8::1"),
        (&["::ffff:192.0.2.1"], "192.0.2.1"),
        (&["127.0.0.1"], "127.0.0.1"),
        (&["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
        (&[], "10.0.0.1"),
    ] {
        assert_eq!(client(XForwardedFor, lines), found, "{lines:?}");
    }
}

#[test]
fn what_is_no_address_is_the_last_trusted_proxys() {
    let long = "a".repeat(10_000);
    for odd in [
        "unknown",
        "_hidden",
        "",
        " ",
        &long,
        "192.0.2.1:",
        "192.0.2.1:x",
        "192.0.2.1:123456",
        "[192.0.2.1]",
        "[::1",
        "[::1]x",
        "192.0.2.1 192.0.2.2",
        "fe80::1%eth0",
        "192.0.2",
        "1",
        "0x7f.1",
        "192.0.2.01",
    ] {
        assert_eq!(client(XForwardedFor, &[&format!("6.6.6.6, {odd}, 10.0.0.2")]), "10.0.0.2", "{odd:.20}");
        assert_eq!(client(XForwardedFor, &["6.6.6.6", odd]), "10.0.0.1", "{odd:.20}");
        assert_eq!(client(XRealIp, &[odd]), "10.0.0.1", "{odd:.20}");
    }
}

#[test]
fn thirty_two_hops_are_looked_at() {
    let behind = |hops: usize| client(XForwardedFor, &[&format!("192.0.2.1{}", ", 10.0.0.2".repeat(hops))]);
    assert_eq!((behind(31), behind(32)), ("192.0.2.1".to_owned(), "10.0.0.2".to_owned()));
}

#[test]
fn forwarded_is_read_as_rfc_7239_writes_it() {
    for (lines, found) in [
        (&["for=192.0.2.43"][..], "192.0.2.43"),
        (&["For=\"[2001:db8:cafe::17]:4711\""], "2001:db8:cafe::17"),
        (&["for=192.0.2.60;proto=http;by=203.0.113.43"], "192.0.2.60"),
        (&["for=6.6.6.6, for=192.0.2.43, for=10.0.0.2;host=a"], "192.0.2.43"),
        (&["for=6.6.6.6", "by=203.0.113.43 ; for=\"192.0.2.43:80\""], "192.0.2.43"),
        (&["for=192.0.2.43;host=\"a, for=6.6.6.6\""], "192.0.2.43"),
        // Whoever asks chooses the host, and must not choose the rest.
        (&["host=\"a;for=6.6.6.6;b\";for=192.0.2.43"], "192.0.2.43"),
        (&["host=\"a;for=6.6.6.6;b\""], "10.0.0.1"),
        (&["for=\"6.6.6.6, for=192.0.2.43"], "192.0.2.43"),
        (&["for=\", for=192.0.2.43"], "192.0.2.43"),
        (&["for=\"\\\"192.0.2.43\""], "10.0.0.1"),
        (&["for=192.0.2.43;for=192.0.2.44"], "10.0.0.1"),
        (&["for=_hidden, for=10.0.0.2"], "10.0.0.2"),
        (&["for=unknown"], "10.0.0.1"),
        (&["192.0.2.43"], "10.0.0.1"),
    ] {
        assert_eq!(client(Forwarded, lines), found, "{lines:?}");
    }
}

#[test]
fn a_real_ip_is_one_address() {
    assert_eq!(client(XRealIp, &["192.0.2.1"]), "192.0.2.1");
    assert_eq!(client(XRealIp, &[" [2001:db8::1]:80 "]), "2001:db8::1");
    assert_eq!(client(XRealIp, &["6.6.6.6", "192.0.2.1"]), "10.0.0.1", "who says which one counts?");
    assert_eq!(client(XRealIp, &["6.6.6.6, 192.0.2.1"]), "10.0.0.1");
    assert_eq!(client(XRealIp, &[]), "10.0.0.1");
}

proptest! {
    #[test]
    fn nothing_further_left_changes_who_it_is(
        choice in 0_u8..3,
        lines in prop::collection::vec(
            "((for=)?\"?(10[.]0[.]0[.][1-3]|192[.]0[.]2[.]1(:80)?|\\[?fd00::1\\]?|unknown|[;\"a=\\\\])\"?(, ?|;)?){0,6}", 0..4
        ),
    ) {
        run(&[&[choice], lines.join("\n").as_bytes()].concat());
    }
}
