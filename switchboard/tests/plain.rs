//! Examples with and without switchboard do the same for their peers, and are as long as their README says.

#![allow(missing_docs, dead_code, unreachable_pub, reason = "the examples are programs")]

use super::harness::patience::patiently;
use parking_lot::Mutex;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

mod ingest;

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

mod kv {
    include!("../examples/kv.rs");

    pub(super) async fn run(listener: super::TcpListener, _: String, drain: super::CancellationToken) {
        let listener = switchboard::Tcp::from_std(listener.into_std().unwrap());
        let server = Server::new().workers(1).listen(listener, ((Hub::new(), Store::default()), serve));
        server.serve_until(drain.cancelled_owned()).await.unwrap();
    }
}

mod plain_kv {
    include!("../examples/plain/kv.rs");

    pub(super) async fn run(listener: TcpListener, _: String, drain: CancellationToken) {
        serve(listener, drain.cancelled_owned()).await;
    }
}

mod login {
    include!("../examples/login.rs");

    pub(super) async fn run(listener: super::TcpListener, place: String, drain: super::CancellationToken) {
        let (listener, hub) = (switchboard::Tcp::from_std(listener.into_std().unwrap()), Hub::new());
        let lobby = hub.room("lobby").unwrap();
        let server = Server::new().workers(1).listen(listener, ((hub.clone(), lobby.clone(), false), chat));
        let server = server.unix(super::operators(&place), ((hub, lobby, true), chat));
        server.serve_until(drain.cancelled_owned()).await.unwrap();
    }
}

mod plain_login {
    include!("../examples/plain/login.rs");

    pub(super) async fn run(listener: TcpListener, place: String, drain: CancellationToken) {
        let path = super::operators(&place);
        let operators = UnixListener::bind(&path).unwrap();
        serve(listener, operators, drain.cancelled_owned()).await;
        std::fs::remove_file(path).unwrap();
    }
}

mod pipeline {
    include!("../examples/pipeline.rs");

    pub(super) async fn run(address: super::SocketAddr, requests: Receiver<String>) -> Vec<String> {
        let (client, mut told) = (Client::new(), Vec::new());
        pipeline(
            async || Ok(client.tcp(address).await?),
            requests,
            |request, answer| {
                told.push(format!("{request}: {}", answer.map_or("?".to_owned(), |answer| answer.to_string())));
            },
        )
        .await;
        told
    }
}

mod plain_pipeline {
    include!("../examples/plain/pipeline.rs");

    pub(super) async fn run(address: super::SocketAddr, requests: Receiver<String>) -> Vec<String> {
        let mut told = Vec::new();
        pipeline(
            async || TcpStream::connect(address).await,
            requests,
            |request, answer| told.push(format!("{request}: {}", answer.unwrap_or("?".to_owned()))),
        )
        .await;
        told
    }
}

/// Where operators connect, of a server whose `upstream` nobody else has.
fn operators(upstream: &str) -> PathBuf {
    let port = upstream.rsplit_once(':').unwrap().1;
    std::env::temp_dir().join(format!("switchboard-operators-{}-{port}", std::process::id()))
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
    // It may be as early as when we hear that we are connected.
    let reset = patiently(async { TcpStream::connect(address).await?.read(&mut [0]).await }).await.unwrap_err();
    assert_eq!(reset.kind(), std::io::ErrorKind::ConnectionReset);
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

async fn says(stream: &mut (impl AsyncWrite + Unpin), text: &str) {
    patiently(stream.write_all(text.as_bytes())).await.unwrap();
}

/// Receives exactly this text.
async fn hears(stream: &mut (impl AsyncRead + Unpin), text: &str) {
    let mut heard = vec![0; text.len()];
    patiently(stream.read_exact(&mut heard)).await.unwrap();
    assert_eq!(String::from_utf8_lossy(&heard), text);
}

async fn values_are_kept_and_subscribers_told_until_a_drain(running: Running) {
    let (mut ann, mut bob) = (running.connect().await, running.connect().await);
    says(&mut ann, "*3\r\n$3\r\nset\r\n$1\r\nk\r\n$2\r\n\r\n\r\n*2\r\n$3\r\nGET\r\n$1\r\nk\r\n*1\r\n$1\r\n?\r\n").await;
    hears(&mut ann, "+OK\r\n$2\r\n\r\n\r\n-ERR no such command: ?\r\n").await;
    says(&mut ann, "*2\r\n$9\r\nSUBSCRIBE\r\n$4\r\nnews\r\n").await;
    hears(&mut ann, "*3\r\n$9\r\nsubscribe\r\n$4\r\nnews\r\n:1\r\n").await;
    says(&mut bob, "*3\r\n$7\r\nPUBLISH\r\n$4\r\nnews\r\n$2\r\nhi\r\n*2\r\n$3\r\nDEL\r\n$1\r\nk\r\n").await;
    hears(&mut bob, ":1\r\n:1\r\n").await;
    hears(&mut ann, "*3\r\n$7\r\nmessage\r\n$4\r\nnews\r\n$2\r\nhi\r\n").await;
    running.drain().await;
    for mut stream in [ann, bob] {
        assert_eq!(patiently(stream.read(&mut [0])).await.unwrap(), 0);
    }
    patiently(running.ended).await.unwrap();
}

async fn what_is_no_command_ends_the_connection(running: Running) {
    for bad in ["GET k\r\n", "*1\r\n$1\r\nkk\r\n", "*1\r\n$999999\r\n", "*0000000000000"] {
        let mut stream = running.connect().await;
        says(&mut stream, bad).await;
        stream.shutdown().await.unwrap();
        assert_eq!(patiently(stream.read_to_end(&mut Vec::new())).await.unwrap(), 0, "{bad}");
    }
}

async fn who_logs_in_is_heard_and_can_be_kicked(running: Running) {
    let place = operators(&running.upstream.local_addr().unwrap().to_string());
    let [mut ann, mut bob, mut other] = [running.connect().await, running.connect().await, running.connect().await];
    let mut op = patiently(async {
        loop {
            if let Ok(stream) = tokio::net::UnixStream::connect(&place).await {
                return stream;
            }
            tokio::task::yield_now().await;
        }
    })
    .await;
    hears(&mut ann, "your name?\n").await;
    says(&mut ann, "ann\nhi\n").await;
    hears(&mut bob, "your name?\n").await;
    // By then ann is in.
    says(&mut ann, "/kick ann\n").await;
    hears(&mut ann, "! only operators kick\n").await;
    says(&mut bob, "bob\n").await;
    hears(&mut ann, "* [lobby] bob joined\n").await;
    says(&mut bob, "hi\u{1b}\r\n").await;
    hears(&mut ann, "[lobby] bob: hi \n").await;
    hears(&mut other, "your name?\n").await;
    says(&mut other, "ANN\n").await;
    hears(&mut other, "! name ANN is taken\n").await;
    assert_eq!(patiently(other.read(&mut [0])).await.unwrap(), 0);
    hears(&mut op, "your name?\n").await;
    says(&mut op, "op\n/kick nobody\n/kick Ann\n").await;
    hears(&mut op, "! no one is named nobody\n").await;
    let mut rest = String::new();
    patiently(ann.read_to_string(&mut rest)).await.unwrap();
    assert!(rest.contains("@server: an operator kicked you\n"), "{rest}");
    drop(ann);
    running.drain().await;
    let mut rest = String::new();
    patiently(bob.read_to_string(&mut rest)).await.unwrap();
    assert!(rest.contains("[lobby] op: kicked Ann\n"), "{rest}");
    patiently(bob.shutdown()).await.unwrap();
    drop(op);
    patiently(running.ended).await.unwrap();
    assert!(!place.exists());
}

/// Answers lines, but resets the first connection when it has six, of which three were answered.
async fn answers_but_once(listener: TcpListener, heard: Arc<Mutex<Vec<String>>>) {
    for connection in 0.. {
        let (stream, _) = listener.accept().await.unwrap();
        let mut stream = BufReader::new(stream);
        let (mut line, mut count) = (String::new(), 0);
        while stream.read_line(&mut line).await.is_ok_and(|read| read > 0) {
            count += 1;
            heard.lock().push(line.trim_end().to_owned());
            if connection > 0 || count <= 3 {
                stream.write_all(format!("{}, yes\n", line.trim_end()).as_bytes()).await.unwrap();
            } else if count == 6 {
                break;
            }
            line.clear();
        }
    }
}

async fn only_what_has_no_answer_is_repeated<F>(run: impl FnOnce(SocketAddr, mpsc::Receiver<String>) -> F)
where
    F: Future<Output = Vec<String>>,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, heard) = (listener.local_addr().unwrap(), Arc::new(Mutex::new(Vec::new())));
    let answering = tokio::spawn(answers_but_once(listener, Arc::clone(&heard)));
    let (typed, requests) = mpsc::channel(16);
    for request in ["1", "2", "3", "4", "!5", "6"] {
        typed.send(request.to_owned()).await.unwrap();
    }
    drop(typed);
    let told = patiently(run(address, requests)).await;
    assert_eq!(told, ["1: 1, yes", "2: 2, yes", "3: 3, yes", "!5: ?", "4: 4, yes", "6: 6, yes"]);
    assert_eq!(*heard.lock(), ["1", "2", "3", "4", "!5", "6", "4", "6"]);
    answering.abort();
}

#[tokio::test]
async fn only_what_has_no_answer_is_repeated_on_switchboard() {
    only_what_has_no_answer_is_repeated(pipeline::run).await;
}

#[tokio::test]
async fn only_what_has_no_answer_is_repeated_on_tokio_alone() {
    only_what_has_no_answer_is_repeated(plain_pipeline::run).await;
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
    values_are_kept_and_subscribers_told_until_a_drain: crate::plain::kv::run, crate::plain::plain_kv::run;
    what_is_no_command_ends_the_connection: crate::plain::kv::run, crate::plain::plain_kv::run;
    who_logs_in_is_heard_and_can_be_kicked: crate::plain::login::run, crate::plain::plain_login::run;
    what_is_no_step_ends_the_connection: crate::plain::lobby::run, crate::plain::plain_lobby::run;
}

/// The lines of code of each program in a folder.
fn lengths(folder: &Path) -> Vec<(String, usize)> {
    let length = |path: PathBuf| {
        let name = path.file_name()?.to_str()?.strip_suffix(".rs")?.to_owned();
        let text = std::fs::read_to_string(&path).unwrap();
        Some((name, text.lines().filter(|line| !line.is_empty() && !line.starts_with("//")).count()))
    };
    std::fs::read_dir(folder).unwrap().filter_map(|entry| length(entry.unwrap().path())).collect()
}

#[test]
fn examples_are_as_long_as_their_readme_says_and_a_third_shorter_than_without_switchboard() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let table = std::fs::read_to_string(folder.join("README.md")).unwrap();
    let (ours, plain) = (lengths(&folder), lengths(&folder.join("plain")));
    assert_eq!(plain.len(), 6);
    for (name, lines) in &ours {
        assert!(table.contains(&format!("| [{name}]({name}.rs) | {lines} |")), "{name}: {lines}");
    }
    for (name, lines) in plain {
        assert!(table.contains(&format!("[{lines}](plain/{name}.rs)")), "plain {name}: {lines}");
        let (_, shorter) = ours.iter().find(|(ours, _)| *ours == name).unwrap();
        assert!(shorter * 3 <= lines * 2, "{name}: {shorter} and {lines}");
    }
}
