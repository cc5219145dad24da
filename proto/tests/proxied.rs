//! What a PROXY header says, and what is none.

use crate::corpus::proxied::run;
use proptest::prelude::*;
use std::net::{IpAddr, SocketAddr};
use switchboard_proto::{ProxyHeader, ProxyHeaderError, ProxyVersion};

const BINARY: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// Of version 2, with what follows its length.
fn binary(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
    [BINARY, &[command, family], &length, rest].concat()
}

fn addresses(source: SocketAddr) -> (u8, Vec<u8>) {
    let port = source.port().to_be_bytes();
    match source.ip() {
        IpAddr::V4(address) => (0x11, [&address.octets()[..], &[127, 0, 0, 1], &port, &[0, 80]].concat()),
        IpAddr::V6(address) => (0x21, [&address.octets()[..], &[9; 16], &port, &[0, 80]].concat()),
    }
}

fn client(header: &[u8]) -> Result<Option<SocketAddr>, ProxyHeaderError> {
    let parsed = ProxyHeader::parse(header)?.unwrap();
    assert_eq!(parsed.length, header.len());
    Ok(parsed.client)
}

#[test]
fn text_says_whose_a_connection_is() {
    for (line, found) in [
        ("TCP4 192.0.2.1 198.51.100.2 12345 443", Some("192.0.2.1:12345")),
        ("TCP4 255.255.255.255 255.255.255.255 65535 65535", Some("255.255.255.255:65535")),
        ("TCP6 2001:db8::1 ::1 0 443", Some("[2001:db8::1]:0")),
        ("TCP6 ::ffff:192.0.2.1 ::1 1 2", Some("192.0.2.1:1")),
        ("UNKNOWN", None),
        ("UNKNOWN ffff::1 ffff::2 65535 65535", None),
    ] {
        let found = found.map(|found| found.parse().unwrap());
        assert_eq!(client(format!("PROXY {line}\r\n").as_bytes()), Ok(found), "{line}");
    }
}

#[test]
fn text_that_is_written_otherwise_is_none() {
    for line in [
        "",
        "TCP4",
        "TCP5 1.1.1.1 1.1.1.1 1 1",
        "tcp4 1.1.1.1 1.1.1.1 1 1",
        "UNKNOWNX",
        "TCP4 999.1.1.1 1.1.1.1 1 1",
        "TCP4 1.1.1.1 1.1.1.1 1",
        "TCP4 1.1.1.1 1.1.1.1 1 1 1",
        "TCP4 1.1.1.1  1.1.1.1 1 1",
        "TCP4 1.1.1.1 1.1.1.1 1 1 ",
        "TCP4 ::1 1.1.1.1 1 1",
        "TCP4 1.1.1.1 ::1 1 1",
        "TCP6 1.1.1.1 ::1 1 1",
        "TCP4 1.1.1.1 1.1.1.1 65536 1",
        "TCP4 1.1.1.1 1.1.1.1 +1 1",
        "TCP4 1.1.1.1 1.1.1.1 01 1",
        "TCP4 1.1.1.1 1.1.1.1 1 -1",
        "TCP4 01.1.1.1 1.1.1.1 1 1",
        "TCP4 1.1.1.1 1.1.1.1 1 1\t",
        "TCP6 fe80::1%1 ::1 1 1",
        "TCP4 \u{661}.1.1.1 1.1.1.1 1 1",
    ] {
        let header = format!("PROXY {line}\r\n");
        assert_eq!(ProxyHeader::parse(header.as_bytes()), Err(ProxyHeaderError::Malformed), "{line}");
    }
    for end in ["\n", "\r\r\n", "\rx", "\0\r\n"] {
        let header = format!("PROXY TCP4 1.1.1.1 1.1.1.1 1 1{end}");
        assert_eq!(ProxyHeader::parse(header.as_bytes()), Err(ProxyHeaderError::Malformed), "{end:?}");
    }
}

#[test]
fn text_has_107_bytes_at_most() {
    let line = |length: usize| format!("{:<1$}\r\n", "PROXY UNKNOWN", length - 2);
    assert_eq!(client(line(107).as_bytes()), Ok(None));
    assert_eq!(ProxyHeader::parse(line(108).as_bytes()), Err(ProxyHeaderError::TooLong));
    assert_eq!(
        ProxyHeader::parse(&line(108).as_bytes()[..107]),
        Err(ProxyHeaderError::TooLong),
        "before its end comes"
    );
    assert_eq!(ProxyHeader::parse(&[b"PROXY ", &[b'a'; 1000][..]].concat()), Err(ProxyHeaderError::TooLong));
}

#[test]
fn version_2_says_whose_a_connection_is_or_that_it_is_the_proxys_own() {
    for source in ["192.0.2.1:12345", "[2001:db8::1]:0"] {
        let source = source.parse().unwrap();
        let (family, addresses) = addresses(source);
        assert_eq!(client(&binary(0x21, family, &addresses)), Ok(Some(source)));
        let with_more = [&addresses[..], b"\x02\x00\x05a.org", b"\x20\xff\xff\0"].concat();
        assert_eq!(client(&binary(0x21, family, &with_more)), Ok(Some(source)), "TLVs, and one that is broken");
        assert_eq!(client(&binary(0x20, family, &addresses)), Ok(None), "LOCAL");
        assert_eq!(client(&binary(0x21, 0, &addresses)), Ok(None), "no family");
    }
    assert_eq!(client(&binary(0x20, 0, b"")), Ok(None));
}

#[test]
fn version_2_of_another_kind_or_length_is_none() {
    let (_, addresses) = addresses("192.0.2.1:1".parse().unwrap());
    for (command, family, error) in [
        (0x21, 0x12, ProxyHeaderError::NotTcp),
        (0x21, 0x22, ProxyHeaderError::NotTcp),
        (0x21, 0x31, ProxyHeaderError::NotTcp),
        (0x21, 0x32, ProxyHeaderError::NotTcp),
        (0x21, 0x21, ProxyHeaderError::Malformed),
        (0x21, 0x41, ProxyHeaderError::Malformed),
        (0x22, 0x11, ProxyHeaderError::Malformed),
        (0x11, 0x11, ProxyHeaderError::Malformed),
        (0x31, 0x11, ProxyHeaderError::Malformed),
    ] {
        assert_eq!(client(&binary(command, family, &addresses)), Err(error), "{command:x} {family:x}");
    }
    assert_eq!(client(&binary(0x21, 0x11, &addresses[..11])), Err(ProxyHeaderError::Malformed));
    let filled = |length: usize| binary(0x21, 0x11, &[&addresses[..], &vec![0; length - 12]].concat());
    assert!(client(&filled(536)).is_ok_and(|client| client.is_some()));
    assert_eq!(
        ProxyHeader::parse(&filled(537)[..16]),
        Err(ProxyHeaderError::TooLong),
        "as soon as its length is there"
    );
    assert_eq!(ProxyHeader::parse(&filled(65_535)), Err(ProxyHeaderError::TooLong));
}

#[test]
fn a_broken_signature_shows_at_its_byte() {
    let (family, addresses) = addresses("192.0.2.1:1".parse().unwrap());
    for header in [binary(0x21, family, &addresses), b"PROXY TCP4 1.1.1.1 1.1.1.1 1 1\r\n".to_vec()] {
        let length = if header[0] == b'P' { 6 } else { 12 };
        for place in 0..length {
            let mut broken = header.clone();
            broken[place] ^= 1;
            assert_eq!(ProxyHeader::parse(&broken), Err(ProxyHeaderError::Missing), "{place}");
            assert_eq!(ProxyHeader::parse(&broken[..=place]), Err(ProxyHeaderError::Missing), "{place}, and no more");
        }
    }
    for other in [&b"GET / HTTP/1.1\r\n"[..], b"\x16\x03\x01", b"hi\n", b"proxy", b"\r\r"] {
        assert_eq!(ProxyHeader::parse(other), Err(ProxyHeaderError::Missing));
    }
}

proptest! {
    #[test]
    fn whatever_comes_is_read_as_others_read_it(
        words in prop::collection::vec("TCP4|TCP6|UNKNOWN|(([0-9]{1,3}[.]){3}[0-9]{1,3})|[0-9a-f:.]{2,20}|[+]?[0-9]{1,5}", 0..7),
        end in "\r\n|\n|\r|", rest in any::<Vec<u8>>(),
    ) {
        run(&[b"PROXY ", words.join(" ").as_bytes(), end.as_bytes(), &rest].concat());
    }

    #[test]
    fn version_2_is_read_as_others_read_it(
        command in prop_oneof![Just(0x20_u8), Just(0x21), any::<u8>()], family in prop_oneof![Just(0x11_u8), Just(0x21), any::<u8>()],
        length in prop_oneof![0_u16..600, any::<u16>()], rest in prop::collection::vec(any::<u8>(), 0..600),
    ) {
        run(&[BINARY, &[command, family], &length.to_be_bytes(), &rest].concat());
    }

    #[test]
    fn a_client_is_found_whoever_it_is(source in any::<SocketAddr>(), rest in any::<Vec<u8>>()) {
        let plain = SocketAddr::new(source.ip().to_canonical(), source.port());
        let (family, addresses) = addresses(source);
        prop_assert_eq!(client(&binary(0x21, family, &addresses)), Ok(Some(plain)));
        let destination = if source.is_ipv4() { "127.0.0.1" } else { "::1" };
        let (version, address) = (if source.is_ipv4() { 4 } else { 6 }, source.ip());
        let line = format!("PROXY TCP{version} {address} {destination} {} 80\r\n", source.port());
        prop_assert_eq!(client(line.as_bytes()), Ok(Some(plain)));
        run(&[line.as_bytes(), &rest].concat());
    }
}

#[test]
fn what_is_written_is_read_back() {
    let address = |text: &str| Some(text.parse::<SocketAddr>().expect("an address"));
    let (four, six) = (address("192.0.2.1:1024"), address("[2001:db8::1]:65535"));
    for version in [ProxyVersion::V1, ProxyVersion::V2] {
        for (from, to, client) in [
            (four, address("198.51.100.7:443"), four),
            (six, address("[2001:db8::2]:1"), six),
            (address("[::ffff:192.0.2.1]:1024"), address("198.51.100.7:443"), four),
            (four, six, None),
            (None, four, None),
            (six, None, None),
        ] {
            let header = version.header(from, to);
            let read = ProxyHeader { length: header.len(), client };
            assert_eq!(ProxyHeader::parse(&header), Ok(Some(read)), "{from:?} to {to:?}");
        }
    }
    let text = ProxyVersion::V1.header(four, address("198.51.100.7:443"));
    assert_eq!(text, b"PROXY TCP4 192.0.2.1 198.51.100.7 1024 443\r\n");
}
