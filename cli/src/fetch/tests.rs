use super::*;
use rcgen::{CertificateParams, KeyPair};
use std::path::PathBuf;
use std::sync::Arc;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UnixListener};
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

/// Long enough for a busy machine, where an answer is expected.
const SOON: Bounds = Bounds { body_bytes: 64 << 10, time: Duration::from_secs(20) };

/// Where none is.
const SHORT: Bounds = Bounds { body_bytes: 64 << 10, time: Duration::from_millis(300) };

/// What a server of the test's makes of a connection once the head of a request has come.
async fn asked(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut request = Vec::new();
    while !request.windows(4).any(|end| end == b"\r\n\r\n") {
        let mut bytes = [0; 1024];
        let count = stream.read(&mut bytes).await.expect("a request comes");
        assert!(count > 0, "it ended before its head did");
        request.extend_from_slice(&bytes[..count]);
    }
    String::from_utf8(request).expect("it is text")
}

/// Asks a server that deals with one connection by `serve`. It is dropped when there is an answer, or an error.
async fn ask<F: Future<Output = ()>>(
    bounds: Bounds,
    serve: impl FnOnce(TcpStream) -> F,
) -> Result<Fetched, FetchError> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let remote = Remote::new(&format!("http://{}/keys?a=b", listener.local_addr().unwrap()), None).unwrap();
    let server = async {
        serve(listener.accept().await.unwrap().0).await;
        std::future::pending::<()>().await;
    };
    tokio::select! {
        answer = remote.get(bounds) => answer,
        () = server => unreachable!("it is pending"),
    }
}

/// Asks a server that says `text` and ends.
async fn told(text: &str) -> Result<Fetched, FetchError> {
    ask(SOON, async |mut stream| {
        asked(&mut stream).await;
        stream.write_all(text.as_bytes()).await.unwrap();
    })
    .await
}

#[tokio::test]
async fn what_is_there_is_got() {
    let reply = ask(SOON, async |mut stream| {
        let request = asked(&mut stream).await;
        assert!(request.starts_with("GET /keys?a=b HTTP/1.1\r\nhost: 127.0.0.1:"), "{request}");
        for part in ["connection: close\r\n", "accept: application/json\r\n", "user-agent: switchboard/"] {
            assert!(request.contains(part), "{request}");
        }
        assert!(!request.contains("authorization"), "{request}");
        stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n").await.unwrap();
    });
    let reply = reply.await.unwrap();
    assert_eq!((reply.status, &reply.body[..]), (StatusCode::OK, &b"{}"[..]));
}

#[tokio::test]
async fn what_is_told_comes_with_its_secret_and_over_a_sockets_file_too() {
    let folder = std::env::temp_dir().join(format!("switchboard-fetch-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join("ask.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let remote = Remote::new(&format!("unix://{}", path.to_str().unwrap()), None).unwrap();
    let server = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = asked(&mut stream).await;
        while !request.ends_with("{\"version\":1}") {
            request.push(char::from(stream.read_u8().await.unwrap()));
        }
        assert!(request.starts_with("POST / HTTP/1.1\r\nhost: localhost\r\n"), "{request}");
        for part in ["authorization: Bearer s3cret\r\n", "content-length: 13\r\n", "application/json\r\n"] {
            assert!(request.contains(part), "{request}");
        }
        stream.write_all(b"HTTP/1.1 403 No\r\ncontent-length: 2\r\n\r\nno").await.unwrap();
    };
    let secret = Secret::new("s3cret");
    let (reply, ()) = tokio::join!(remote.post(Bytes::from_static(b"{\"version\":1}"), Some(&secret), SOON), server);
    std::fs::remove_dir_all(&folder).unwrap();
    let reply = reply.unwrap();
    assert_eq!((reply.status, &reply.body[..]), (StatusCode::FORBIDDEN, &b"no"[..]));
}

#[tokio::test]
async fn a_redirect_is_an_answer_like_any_other() {
    let elsewhere = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let to = elsewhere.local_addr().unwrap();
    let reply =
        told(&format!("HTTP/1.1 302 Found\r\nlocation: http://{to}/\r\ncontent-length: 0\r\n\r\n")).await.unwrap();
    assert_eq!(reply.status, StatusCode::FOUND);
    let followed = tokio::time::timeout(Duration::from_millis(50), elsewhere.accept()).await;
    assert!(followed.is_err(), "somebody came");
}

#[tokio::test]
async fn an_answer_has_its_bound_in_bytes() {
    let exact = format!("HTTP/1.1 200 OK\r\n\r\n{}", "x".repeat(64 << 10));
    // Up to the end of the connection, which this server does not make.
    let listener_ends = ask(SOON, async |mut stream| {
        asked(&mut stream).await;
        stream.write_all(exact.as_bytes()).await.unwrap();
        stream.shutdown().await.unwrap();
    });
    assert_eq!(listener_ends.await.unwrap().body.len(), 64 << 10);
    let endless = ask(SOON, async |mut stream| {
        asked(&mut stream).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1073741824\r\n\r\n").await.unwrap();
        let piece = vec![b'x'; 1 << 16];
        while stream.write_all(&piece).await.is_ok() {}
    });
    assert!(matches!(endless.await, Err(FetchError::TooLong { limit: 65_536 })));
    let head = ask(SOON, async |mut stream| {
        asked(&mut stream).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\nx: ").await.unwrap();
        let piece = vec![b'x'; 1 << 16];
        while stream.write_all(&piece).await.is_ok() {}
    });
    assert!(matches!(head.await, Err(FetchError::Http(_))));
    let many = "x: y\r\n".repeat(HEADERS + 1);
    assert!(matches!(told(&format!("HTTP/1.1 200 OK\r\n{many}\r\n")).await, Err(FetchError::Http(_))));
}

#[tokio::test]
async fn an_answer_has_its_bound_in_time() {
    let start = Instant::now();
    let hangs = ask(SHORT, async |_stream| std::future::pending::<()>().await);
    assert!(matches!(hangs.await, Err(FetchError::Late(_))));
    let dribbles = ask(SHORT, async |mut stream| {
        asked(&mut stream).await;
        for byte in b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}".iter().cycle() {
            tokio::time::sleep(Duration::from_millis(20)).await;
            if stream.write_all(&[*byte]).await.is_err() {
                return;
            }
        }
    });
    assert!(matches!(dribbles.await, Err(FetchError::Late(_))));
    let again = ask(SHORT, async |mut stream| {
        asked(&mut stream).await;
        while stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await.is_ok() {}
    });
    assert!(matches!(again.await, Err(FetchError::Late(_))));
    assert!(start.elapsed() < Duration::from_secs(10));
}

#[tokio::test]
async fn what_is_no_whole_answer_is_an_error() {
    let reset = ask(SOON, async |mut stream| {
        asked(&mut stream).await;
        socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
        drop(stream);
    });
    assert!(matches!(reset.await, Err(FetchError::Http(_))));
    for text in ["", "hello\r\n\r\n", "HTTP/1.1 200 OK\r\n", "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n{}"] {
        let cut = ask(SOON, async |mut stream| {
            asked(&mut stream).await;
            stream.write_all(text.as_bytes()).await.unwrap();
            drop(stream);
        });
        assert!(matches!(cut.await, Err(FetchError::Http(_))), "{text}");
    }
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let remote = Remote::new(&format!("http://{nobody}/"), None).unwrap();
    let error = remote.get(SOON).await.unwrap_err();
    assert!(error.told().starts_with("cannot connect: Connection refused"), "{}", error.told());
}

/// A server's certificate for `host`, and the file of it.
fn certificate(host: &str, folder: &Path) -> (Arc<ServerConfig>, PathBuf) {
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new([host.to_owned()]).unwrap().self_signed(&key).unwrap();
    let file = folder.join(format!("{host}.pem"));
    std::fs::write(&file, certificate.pem()).unwrap();
    let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let builder = builder.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    (Arc::new(builder.with_single_cert(vec![certificate.der().clone()], key).unwrap()), file)
}

#[tokio::test]
async fn over_tls_a_server_is_believed_by_its_authority_and_name_alone() {
    let folder = std::env::temp_dir().join(format!("switchboard-fetch-tls-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let (config, ca) = certificate("localhost", &folder);
    let (_, other_ca) = certificate("localhost2", &folder);
    let (other_config, other_host) = certificate("elsewhere.example", &folder);
    let said = async |config: Arc<ServerConfig>, ca: Option<&Path>| {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://localhost:{}/keys", listener.local_addr().unwrap().port());
        let remote = Remote::new(&url, ca).unwrap();
        let server = async {
            let (stream, _) = listener.accept().await.unwrap();
            if let Ok(mut stream) = TlsAcceptor::from(config).accept(stream).await {
                asked(&mut stream).await;
                stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}").await.unwrap();
                stream.shutdown().await.unwrap();
            }
        };
        tokio::join!(remote.get(SOON), server).0
    };
    assert_eq!(said(Arc::clone(&config), Some(&ca)).await.unwrap().status, StatusCode::OK);
    for (config, ca) in [(config, &other_ca), (other_config, &other_host)] {
        let error = said(config, Some(ca)).await.unwrap_err();
        assert!(error.told().contains("certificate"), "{}", error.told());
    }
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn what_is_no_place_to_ask_is_said_in_a_sentence() {
    let fault = |typed: &str| Remote::new(typed, None).unwrap_err().join("; ");
    let ca = Path::new("/nowhere/ca.pem");
    for (typed, says) in [
        ("", "not a URL to ask"),
        ("ftp://localhost/", "not a URL to ask"),
        ("localhost:80", "not a URL to ask"),
        ("http://example.com/", "this machine alone"),
        ("http://127.0.0.1.example.com/", "this machine alone"),
        ("http://10.0.0.1/", "this machine alone"),
        ("http://[::2]/", "this machine alone"),
        ("http://0.0.0.0/", "this machine alone"),
        ("https://", "not a URL"),
        ("https:///x", "not a URL"),
        ("https://a b/", "not a URL"),
        ("https://name:pass@localhost/", "no name or password"),
        ("http://user@127.0.0.1/", "no name or password"),
        ("https://localhost:0/", "bad port"),
        ("https://localhost:70000/", "port"),
        ("https://localhost:/", "bad port"),
        ("https://1.2.3/", "not an IPv4 address"),
        ("https://localhost/#x", "no `#`"),
        ("unix://auth.sock", "not a path"),
    ] {
        let said = fault(typed);
        assert!(said.contains(says), "{typed}: {said}");
    }
    for typed in [
        "http://127.0.0.1:1",
        "http://LOCALHOST",
        "http://[::1]:1/x?y=z",
        "unix:///run/a.sock",
        "http+unix:///run/a.sock",
    ] {
        assert_eq!(Remote::new(typed, None).unwrap().to_string(), typed);
        assert!(Remote::new(typed, Some(ca)).unwrap_err().join("").contains("ca is for https://"), "{typed}");
    }
    assert!(Remote::new("https://localhost/", Some(ca)).unwrap_err().join("").contains("/nowhere/ca.pem"));
}
