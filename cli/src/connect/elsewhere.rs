//! Which URL to type instead, where a server does not speak what the one that was typed says.

use switchboard_load::typed::{Scheme, Url};

/// What the same server speaks, if it wants TLS.
pub(super) fn with_tls(url: &Url) -> Option<String> {
    match url.scheme {
        Scheme::Tcp => Some(url.typed.replacen("tcp", "tls", 1)),
        Scheme::Ws => Some(url.typed.replacen("ws", "wss", 1)),
        _ => None,
    }
}

/// If it does not speak TLS.
pub(super) fn without_tls(url: &Url) -> Option<String> {
    match url.scheme {
        Scheme::Tls => Some(url.typed.replacen("tls", "tcp", 1)),
        Scheme::Wss => Some(url.typed.replacen("wss", "ws", 1)),
        _ => None,
    }
}

/// If it speaks HTTP: where rooms have their WebSocket.
pub(super) fn over_http(url: &Url) -> Option<String> {
    match url.scheme {
        Scheme::Tcp => Some(format!("ws://{}/ws", url.host())),
        Scheme::Tls => Some(format!("wss://{}/ws", url.host())),
        _ => None,
    }
}

/// If it does not speak HTTP.
pub(super) fn in_lines(url: &Url) -> Option<String> {
    match url.scheme {
        Scheme::Ws => Some(format!("tcp://{}", url.host())),
        Scheme::Wss => Some(format!("tls://{}", url.host())),
        _ => None,
    }
}

/// What to say of a server that says nothing at all.
pub(super) fn of_silence(url: &Url) -> String {
    let tls = with_tls(url).map(|tls| format!("; if it wants TLS, type {tls}")).unwrap_or_default();
    let http = over_http(url).map(|http| format!("; if it speaks HTTP, type {http}")).unwrap_or_default();
    tls + &http
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_url_to_type_instead_is_of_the_same_server() {
        let url = |typed: &str| Url::parse(typed).unwrap();
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(with_tls(&url("tcp://h:1")), some("tls://h:1"));
        assert_eq!(with_tls(&url("ws://ws.test:1/ws?name=bob")), some("wss://ws.test:1/ws?name=bob"));
        assert_eq!(without_tls(&url("wss://h:1/ws")), some("ws://h:1/ws"));
        assert_eq!(over_http(&url("tls://[::1]:1")), some("wss://[::1]:1/ws"));
        assert_eq!(in_lines(&url("ws://h:1/rooms/a/ws")), some("tcp://h:1"));
        for elsewhere in [with_tls, without_tls, over_http, in_lines] {
            assert_eq!(elsewhere(&url("unix:///run/x.sock")), None);
            assert_eq!(elsewhere(&url("udp://h:1")), None);
        }
        assert_eq!(of_silence(&url("tls://h:1")), "; if it speaks HTTP, type wss://h:1/ws");
        assert_eq!(of_silence(&url("unix:///run/x.sock")), "");
    }
}
