//! A cookie is good for the address, port and room that it was made for, and for a while.

use proptest::prelude::*;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use switchboard_proto::{Cookie, CookieKey, CookieKeys, RoomName};

const PERIOD: Duration = Duration::from_mins(1);

/// Keys 1, 2, 3 …
struct Keys(u128);

impl Keys {
    fn next(&mut self) -> CookieKey {
        self.0 += 1;
        self.0.to_be_bytes()
    }
}

/// A jar, its keys and the time.
struct Jar {
    cookies: CookieKeys,
    keys: Keys,
    now: Duration,
}

impl Jar {
    fn new(first_key: u128, now: Duration) -> Self {
        let mut keys = Keys(first_key);
        Self { cookies: CookieKeys::new(PERIOD, || keys.next()), keys, now }
    }

    fn cookie(&mut self, source: SocketAddr, room: &str) -> Cookie {
        self.cookies.cookie(source, &RoomName::parse(room).unwrap(), self.now, || self.keys.next())
    }

    fn knows(&mut self, cookie: Cookie, source: SocketAddr, room: &str) -> bool {
        self.cookies.knows(cookie, source, &RoomName::parse(room).unwrap(), self.now, || self.keys.next())
    }
}

fn source() -> SocketAddr {
    "192.0.2.7:40000".parse().unwrap()
}

#[test]
fn a_returned_cookie_is_known_with_the_room_in_any_case() {
    let mut jar = Jar::new(0, Duration::ZERO);
    let cookie = jar.cookie(source(), "Lobby");
    assert!(jar.knows(cookie, source(), "lobby"));
    assert!(jar.knows(cookie.to_string().to_uppercase().parse().unwrap(), source(), "lobby"));
}

#[test]
fn another_address_port_or_room_needs_a_cookie_of_its_own() {
    let mut jar = Jar::new(0, Duration::ZERO);
    let cookie = jar.cookie(source(), "lobby");
    for other in ["192.0.2.8:40000", "192.0.2.7:40001", "[2001:db8::7]:40000", "[fe80::7%1]:40000"] {
        assert!(!jar.knows(cookie, other.parse().unwrap(), "lobby"), "{other}");
    }
    assert!(!jar.knows(cookie, source(), "lobby2"));
    let [link_1, link_2] = ["[fe80::7%1]:40000", "[fe80::7%2]:40000"].map(|text| text.parse().unwrap());
    let cookie = jar.cookie(link_1, "lobby");
    assert!(!jar.knows(cookie, link_2, "lobby"));
}

#[test]
fn an_address_is_one_in_both_of_its_forms() {
    let mut jar = Jar::new(0, Duration::ZERO);
    let cookie = jar.cookie(source(), "lobby");
    assert!(jar.knows(cookie, "[::ffff:192.0.2.7]:40000".parse().unwrap(), "lobby"));
}

#[test]
fn a_cookie_of_another_server_is_not_known() {
    let cookie = Jar::new(1000, Duration::ZERO).cookie(source(), "lobby");
    assert!(!Jar::new(0, Duration::ZERO).knows(cookie, source(), "lobby"));
}

#[test]
fn a_cookie_is_good_until_the_end_of_the_next_slot() {
    let mut jar = Jar::new(0, Duration::from_nanos(59_999_999_999));
    let last = jar.cookie(source(), "lobby");
    jar.now = PERIOD;
    let first = jar.cookie(source(), "lobby");
    assert_ne!(last, first);
    jar.now = Duration::from_nanos(119_999_999_999);
    assert!(jar.knows(last, source(), "lobby"));
    jar.now = 2 * PERIOD;
    assert!(!jar.knows(last, source(), "lobby"));
    assert!(jar.knows(first, source(), "lobby"));
    jar.now = 3 * PERIOD;
    assert!(!jar.knows(first, source(), "lobby"));
}

#[test]
fn after_long_silence_no_old_key_is_left() {
    let mut jar = Jar::new(0, Duration::ZERO);
    let cookie = jar.cookie(source(), "lobby");
    for periods in [2, 3, 100, 1_000_001] {
        jar.now = periods * PERIOD;
        assert!(!jar.knows(cookie, source(), "lobby"), "{periods} periods later");
    }
}

#[test]
fn a_clock_that_goes_back_brings_no_key_back() {
    let mut jar = Jar::new(0, Duration::ZERO);
    let old = jar.cookie(source(), "lobby");
    jar.now = 5 * PERIOD;
    let new = jar.cookie(source(), "lobby");
    jar.now = Duration::ZERO;
    assert!(!jar.knows(old, source(), "lobby"));
    assert!(jar.knows(new, source(), "lobby"));
}

#[test]
fn keys_are_not_in_the_debug_form() {
    let jar = Jar::new(0, Duration::ZERO);
    assert_eq!(format!("{:?}", jar.cookies), "CookieKeys { period: 60s, slot: 0, .. }");
}

fn address() -> impl Strategy<Value = SocketAddr> {
    (any::<IpAddr>(), any::<u16>()).prop_map(|(ip, port)| SocketAddr::new(ip, port))
}

proptest! {
    #[test]
    fn it_lives_for_one_to_two_periods(address in address(), room in "[a-zA-Z0-9_.-]{1,64}", made in 0..1000_u64, later in 0..200_u64) {
        let mut jar = Jar::new(0, Duration::from_secs(made));
        let cookie = jar.cookie(address, &room);
        jar.now += Duration::from_secs(later);
        let known = jar.knows(cookie, address, &room);
        prop_assert!(known || later >= PERIOD.as_secs() , "made at {made}, unknown after {later}");
        prop_assert!(!known || later < 2 * PERIOD.as_secs(), "made at {made}, known after {later}");
        prop_assert_eq!(known, (made + later) / 60 <= made / 60 + 1);
    }

    #[test]
    fn a_forged_one_is_not_known(address in address(), other in address(), bytes in any::<[u8; 7]>(), bit in 0..56_usize) {
        let mut jar = Jar::new(0, Duration::ZERO);
        let cookie = jar.cookie(address, "lobby");
        // Chance is one in 2^55.
        prop_assert!(!jar.knows(Cookie(bytes), address, "lobby"));
        let mut near = cookie.0;
        near[bit / 8] ^= 1 << (bit % 8);
        prop_assert!(!jar.knows(Cookie(near), address, "lobby"));
        let is_same = address.ip().to_canonical() == other.ip().to_canonical() && address.port() == other.port();
        prop_assert_eq!(jar.knows(cookie, other, "lobby"), is_same);
    }
}
