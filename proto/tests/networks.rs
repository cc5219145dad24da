//! Which addresses a network has.

use proptest::prelude::*;
use std::net::IpAddr;
use switchboard_proto::{IpNetwork, IpNetworkError};

fn network(text: &str) -> IpNetwork {
    text.parse().unwrap()
}

#[test]
fn a_network_has_the_addresses_that_begin_like_it() {
    for (text, inside, outside) in [
        (
            "10.0.0.0/8",
            &["10.0.0.0", "10.255.255.255", "::ffff:10.1.2.3"][..],
            &["11.0.0.0", "9.255.255.255", "a::"][..],
        ),
        ("::ffff:10.0.0.0/104", &["10.0.0.0", "::ffff:10.1.2.3"], &["11.0.0.0", "a::"]),
        ("192.0.2.1", &["192.0.2.1"], &["192.0.2.0", "192.0.2.2"]),
        ("0.0.0.0/0", &["0.0.0.0", "255.255.255.255"], &["::", "::1"]),
        ("2001:db8::/32", &["2001:db8::", "2001:db8:ffff::1"], &["2001:db9::", "32.1.13.184"]),
        ("::/0", &["::1", "ffff::"], &["10.0.0.1", "::ffff:10.0.0.1"]),
        ("::1/128", &["::1"], &["::2"]),
    ] {
        for address in inside {
            assert!(network(text).contains(address.parse().unwrap()), "{text} {address}");
        }
        for address in outside {
            assert!(!network(text).contains(address.parse().unwrap()), "{text} {address}");
        }
    }
}

#[test]
fn what_is_no_network_says_why() {
    for text in
        ["", "10", "10.0.0.0/", "10.0.0.0/33", "::/129", "10.0.0.0/+8", "10.0.0.0/8/8", "10.0.0.0/ 8", "localhost"]
    {
        assert_eq!(text.parse::<IpNetwork>(), Err(IpNetworkError::NoNetwork), "{text}");
    }
    for text in ["10.0.0.1/8", "::ffff:10.0.0.1/104"] {
        assert_eq!(text.parse::<IpNetwork>(), Err(IpNetworkError::BitsBehind(network("10.0.0.0/8"))), "{text}");
    }
    let told = "fe80::1/10".parse::<IpNetwork>().unwrap_err().to_string();
    assert_eq!(told, "has bits behind its prefix; did you mean fe80::/10?");
}

proptest! {
    #[test]
    fn an_address_is_in_every_network_around_it(address in any::<IpAddr>(), prefix in 0_u8..=128) {
        let address = address.to_canonical();
        if let Some(around) = IpNetwork::around(address, prefix) {
            prop_assert!(around.contains(address));
            prop_assert_eq!(around.to_string().parse(), Ok(around));
            prop_assert!(IpNetwork::around(address, prefix.saturating_sub(1)).unwrap().contains(around.address()));
        }
    }
}
