//! Examples on switchboard and on tokio alone do the same for their peers, and are as long as their README says.

#![allow(missing_docs, dead_code, unreachable_pub, reason = "the examples are programs")]

use super::harness::patience::patiently;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

mod proxy {
    include!("../examples/proxy.rs");

    pub(super) async fn run(listener: super::TcpListener, upstream: String, drain: super::CancellationToken) {
        let (listener, client) = (switchboard::Tcp::from_std(listener.into_std().unwrap()), Arc::new(Client::new()));
        let server = Server::new().workers(1).listen(listener, ((client, upstream), proxy));
        server.serve_until(drain.cancelled_owned()).await.unwrap();
    }
}

mod plain_proxy {
    include!("../examples/plain/proxy.rs");

    pub(super) async fn run(listener: TcpListener, upstream: String, drain: super::CancellationToken) {
        serve(listener, upstream, drain.cancelled_owned()).await;
    }
}

mod lobby {
    include!("../examples/lobby.rs");

    pub(super) async fn run(listener: super::TcpListener, _: String, drain: super::CancellationToken) {
        let listener = switchboard::Tcp::from_std(listener.into_std().unwrap());
        let server = Server::new().workers(1).listen(listener, ((Hub::new(), Lobby::default()), play));
        server.serve_until(drain.cancelled_owned()).await.unwrap();
    }
}

mod plain_lobby {
    include!("../examples/plain/lobby.rs");

    pub(super) async fn run(listener: TcpListener, _: String, drain: CancellationToken) {
        serve(listener, drain.cancelled_owned()).await;
    }
}

/// A server until `drain`, in front of `upstream` if it is a proxy.
struct Running {
    address: SocketAddr,
    upstream: Arc<TcpListener>,
    drain: CancellationToken,
    ended: JoinHandle<()>,
}

impl Running {
    async fn start<F>(serve: impl FnOnce(TcpListener, String, CancellationToken) -> F) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let [listener, upstream] = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0"));
        let (listener, upstream) = (listener.await.unwrap(), upstream.await.unwrap());
        let (address, drain) = (listener.local_addr().unwrap(), CancellationToken::new());
        let ended = tokio::spawn(serve(listener, upstream.local_addr().unwrap().to_string(), drain.clone()));
        Self { address, upstream: Arc::new(upstream), drain, ended }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Drains, and waits until nobody listens any more.
    async fn drain(&self) {
        self.drain.cancel();
        // Those that it accepts until then have to end as well.
        let upstream = Arc::clone(&self.upstream);
        tokio::spawn(async move { while upstream.accept().await.is_ok() {} });
        patiently(async { while TcpStream::connect(self.address).await.is_ok() {} }).await;
    }
}

async fn passes_on_each_end_of_input_also_in_a_drain(running: Running) {
    let (mut client, mut server) = (running.connect().await, running.upstream.accept().await.unwrap().0);
    running.drain().await;
    let question = vec![b'?'; 3 << 20];
    let asking = async {
        client.write_all(&question).await.unwrap();
        client.shutdown().await.unwrap();
    };
    let mut asked = Vec::new();
    let (result, ()) = patiently(async { tokio::join!(server.read_to_end(&mut asked), asking) }).await;
    assert_eq!((result.unwrap(), asked == question), (question.len(), true));
    server.write_all(b"answer").await.unwrap();
    drop(server);
    let mut answer = String::new();
    patiently(client.read_to_string(&mut answer)).await.unwrap();
    assert_eq!(answer, "answer");
    patiently(running.ended).await.unwrap();
}

async fn passes_on_a_reset(running: Running) {
    let (mut client, mut server) = (running.connect().await, running.upstream.accept().await.unwrap().0);
    client.write_all(b"half").await.unwrap();
    let mut half = [0; 4];
    patiently(server.read_exact(&mut half)).await.unwrap();
    socket2::SockRef::from(&client).set_linger(Some(std::time::Duration::ZERO)).unwrap();
    drop(client);
    let error = patiently(server.read(&mut half)).await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
}

async fn resets_whom_nobody_answers_for(running: Running) {
    let Running { address, upstream, drain, ended } = running;
    drop(upstream);
    let mut client = TcpStream::connect(address).await.unwrap();
    assert_eq!(patiently(client.read(&mut [0])).await.unwrap_err().kind(), std::io::ErrorKind::ConnectionReset);
    drain.cancel();
    patiently(ended).await.unwrap();
}

async fn players_see_each_other_and_are_told_whole_states(running: Running) {
    let mut players = [running.connect().await, running.connect().await];
    for (player, other) in [(0, 1), (1, 0)] {
        players[player].write_all(&[0, 0, 0, 2, 1, 255]).await.unwrap();
        let (mut frame, mut moved) = ([0; 12], 0);
        while moved <= player {
            // A frame of when one was there alone is shorter.
            let length = patiently(players[other].read_u32()).await.unwrap() as usize;
            patiently(players[other].read_exact(&mut frame[..length])).await.unwrap();
            moved = frame[..length].chunks(4).filter(|place| **place == [0, 1, 255, 255]).count();
        }
    }
    running.drain().await;
    for mut player in players {
        let mut rest = Vec::new();
        patiently(player.read_to_end(&mut rest)).await.unwrap();
        while let Some((length, behind)) = rest.split_at_checked(4) {
            let length = u32::from_be_bytes(length.try_into().unwrap()) as usize;
            rest = behind[length..].to_vec();
        }
        assert_eq!(rest, Vec::<u8>::new());
    }
    patiently(running.ended).await.unwrap();
}

async fn what_is_no_step_ends_the_connection(running: Running) {
    let mut player = running.connect().await;
    player.write_all(&[0, 0, 0, 1, 7]).await.unwrap();
    player.shutdown().await.unwrap();
    patiently(player.read_to_end(&mut Vec::new())).await.unwrap();
}

macro_rules! on_both {
    ($($test:ident: $switchboard:path, $tokio:path;)*) => {$(
        mod $test {
            #[tokio::test]
            async fn on_switchboard() {
                super::$test(super::Running::start($switchboard).await).await;
            }

            #[tokio::test]
            async fn on_tokio_alone() {
                super::$test(super::Running::start($tokio).await).await;
            }
        }
    )*};
}

on_both! {
    passes_on_each_end_of_input_also_in_a_drain: crate::plain::proxy::run, crate::plain::plain_proxy::run;
    passes_on_a_reset: crate::plain::proxy::run, crate::plain::plain_proxy::run;
    resets_whom_nobody_answers_for: crate::plain::proxy::run, crate::plain::plain_proxy::run;
    players_see_each_other_and_are_told_whole_states: crate::plain::lobby::run, crate::plain::plain_lobby::run;
    what_is_no_step_ends_the_connection: crate::plain::lobby::run, crate::plain::plain_lobby::run;
}

#[test]
fn examples_are_as_long_as_their_readme_says() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let table = std::fs::read_to_string(folder.join("README.md")).unwrap();
    for part in ["", "plain/"] {
        for entry in std::fs::read_dir(folder.join(part)).unwrap() {
            let path = entry.unwrap().path();
            let Some(name) = path.file_name().and_then(|name| name.to_str()?.strip_suffix(".rs")) else { continue };
            let text = std::fs::read_to_string(&path).unwrap();
            let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with("//")).count();
            let told = match part {
                "" => format!("| [{name}]({name}.rs) | {lines} |"),
                _ => format!("[{lines}]({part}{name}.rs)"),
            };
            assert!(table.contains(&told), "{told}");
        }
    }
}
