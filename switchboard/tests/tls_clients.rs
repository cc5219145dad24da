//! Clients of TLS that show who they are, and what a connection knows of its peer.

use super::harness::patience::patiently;
use super::harness::served::Served;
use super::harness::tls_peer::{Pair, client, connect};
use bytes::Bytes;
use rustls::version::{TLS12, TLS13};
use switchboard::http::Request;
use switchboard::prelude::*;
use switchboard::{Tls, TlsInfo, Trust};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Says who the peer is: how many certificates it showed, for which host it asked, and what was agreed on.
async fn who(mut conn: Connection<Lines>) -> Result {
    let told = conn.tls().map_or("plain".to_owned(), |tls| told(&tls));
    Ok(conn.send(told).await?)
}

fn told(tls: &TlsInfo) -> String {
    let TlsInfo { peer_certificates, server_name, protocol, .. } = tls;
    format!("{} {server_name:?} {protocol:?}", peer_certificates.len())
}

fn trust(pair: &Pair) -> Trust {
    Trust::pem(&pair.certificate).unwrap()
}

async fn first_line(served: &Served, trust: &Trust) -> std::result::Result<String, CloseReason> {
    let address = format!("localhost:{}", served.address().port());
    let mut conn: Connection<Lines> =
        Client::new().tls(address, trust).await.map_err(|_| CloseReason::HandshakeFailed)?;
    // In TLS 1.3 a client that is refused hears so when its own handshake is over.
    match patiently(conn.recv()).await {
        Ok(Some(line)) => Ok(String::from_utf8_lossy(&line).into_owned()),
        _ => Err(conn.closed().await),
    }
}

#[tokio::test]
async fn a_required_certificate_is_verified_and_told() {
    let (server, ann, eve) = (Pair::new(&["localhost"]), Pair::new(&["ann"]), Pair::new(&["ann"]));
    let listener = Tls::new("127.0.0.1:0", &server.certificates()).require_client_certificates(&trust(&ann));
    let shown = Bytes::copy_from_slice(&ann.der());
    let handler = (shown, async |mut conn: Connection<Lines>, shown: Bytes| -> Result {
        let known = conn.tls().is_some_and(|tls| tls.peer_certificates == [shown]);
        conn.send(if known { "welcome, ann" } else { "who are you?" }).await?;
        Ok(())
    });
    let served = Served::start(Server::new().workers(0).listen(listener, handler)).await;
    let trusting = trust(&server);
    assert_eq!(first_line(&served, &trusting.clone().identity(&ann.certificates())).await.unwrap(), "welcome, ann");
    for stranger in [trusting.clone(), trusting.identity(&eve.certificates())] {
        assert_eq!(first_line(&served, &stranger).await.unwrap_err(), CloseReason::HandshakeFailed);
    }
    served.until(|handle| handle.metrics().closed(CloseReason::HandshakeFailed) == 2).await;
}

#[tokio::test]
async fn who_need_not_show_a_certificate_is_let_in_without_one_and_not_with_a_wrong_one() {
    let (server, ann, eve) = (Pair::new(&["localhost"]), Pair::new(&["ann"]), Pair::new(&["ann"]));
    let listener = Tls::new("127.0.0.1:0", &server.certificates()).request_client_certificates(&trust(&ann));
    let served = Served::start(Server::new().workers(0).listen(listener, who)).await;
    let trusting = trust(&server);
    assert_eq!(first_line(&served, &trusting).await.unwrap(), "0 Some(\"localhost\") None");
    assert!(first_line(&served, &trusting.clone().identity(&ann.certificates())).await.unwrap().starts_with("1 "));
    assert!(first_line(&served, &trusting.identity(&eve.certificates())).await.is_err());
}

/// A ticket stands for who got it: one of a listener that asks nobody must open none that asks everybody.
#[tokio::test]
async fn a_session_of_an_open_listener_is_not_resumed_where_certificates_are_required() {
    let (server, ann) = (Pair::new(&["localhost"]), Pair::new(&["ann"]));
    let certificates = server.certificates();
    let closed = Tls::new("127.0.0.1:0", &certificates).require_client_certificates(&trust(&ann));
    let served =
        Served::start(Server::new().workers(0).tls("127.0.0.1:0", &certificates, who).listen(closed, who)).await;
    let closed = super::harness::served::address(&served.urls[1]);
    for version in [&TLS12, &TLS13] {
        let config = client(&[&server], &[version]);
        let mut peer = connect(served.address(), "localhost", config.clone()).await.unwrap();
        peer.read_to_string(&mut String::new()).await.unwrap();
        let entered = async {
            let mut peer = connect(closed, "localhost", config).await?;
            peer.read_u8().await
        };
        patiently(entered).await.unwrap_err();
    }
    served.until(|handle| handle.metrics().closed(CloseReason::HandshakeFailed) == 2).await;
}

#[tokio::test]
async fn both_ends_know_host_and_protocol_and_a_plain_connection_knows_nothing() {
    let server = Pair::new(&["localhost"]);
    let listener = Tls::new("127.0.0.1:0", &server.certificates()).protocols(&["chat/2", "chat/1"]);
    let served = Served::start(Server::new().workers(0).listen(listener, who).tcp("127.0.0.1:0", who)).await;
    for version in [&TLS12, &TLS13] {
        let mut config = client(&[&server], &[version]);
        config.alpn_protocols = vec![b"chat/1".to_vec()];
        let mut peer = connect(served.address(), "LOCALHOST", config).await.unwrap();
        let mut said = String::new();
        peer.read_to_string(&mut said).await.unwrap();
        assert_eq!(said, "0 Some(\"localhost\") Some(\"chat/1\")\n");
    }
    let address = format!("localhost:{}", served.address().port());
    let conn: Connection<Lines> = Client::new().tls(address, &trust(&server)).await.unwrap();
    let tls = conn.tls().unwrap();
    assert_eq!(
        (&tls.peer_certificates[..], tls.server_name),
        (&[Bytes::copy_from_slice(&server.der())][..], Some("localhost".into()))
    );
    let plain = super::harness::served::address(&served.urls[1]);
    let mut plain: Connection<Lines> = Client::new().tcp(plain).await.unwrap();
    assert_eq!(plain.tls(), None);
    assert_eq!(plain.recv().await.unwrap().unwrap(), "plain");
}

#[tokio::test]
async fn a_request_knows_who_asks() {
    let (server, ann) = (Pair::new(&["localhost"]), Pair::new(&["ann"]));
    let listener = Tls::new("127.0.0.1:0", &server.certificates()).require_client_certificates(&trust(&ann));
    let answer = async |request: Request| http::Response::new(request.tls().map_or("plain".into(), |tls| told(&tls)));
    let served = Served::start(Server::new().workers(0).listen_http(listener, answer)).await;
    let identity = trust(&server).identity(&ann.certificates());
    let mut conn: Connection<Lines> =
        Client::new().tls(format!("localhost:{}", served.address().port()), &identity).await.unwrap();
    conn.send("GET / HTTP/1.0\r\n\r").await.unwrap();
    let mut last = String::new();
    while let Some(line) = patiently(conn.recv()).await.unwrap() {
        last = String::from_utf8_lossy(&line).into_owned();
    }
    assert_eq!(last, "1 Some(\"localhost\") None");
    drop(conn);
    let mut config = client(&[&server], &[&TLS13]);
    config.alpn_protocols = vec![b"ftp".to_vec()];
    let refused = async {
        let mut peer = connect(served.address(), "localhost", config).await?;
        peer.write_all(b"?").await
    };
    refused.await.unwrap_err();
}
