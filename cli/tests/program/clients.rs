//! The members that docs/clients.md shows, each as a process: they say and hear, and miss and repeat nothing when a connection is
//! lost. Where what one needs is not installed, its test says so and shows nothing.

use crate::process::{PATIENCE, Place, Program, installed};
use crate::rooms::Peer;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::thread;

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../clients");

/// What a room keeps.
const KEPT: usize = 256;

/// A network between a client and a server, which can be cut.
struct Network {
    address: SocketAddr,
    is_cut: Arc<AtomicBool>,
    made: Receiver<[TcpStream; 2]>,
    /// Both ends of what was made.
    ends: Vec<TcpStream>,
}

impl Network {
    fn before(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let address = listener.local_addr().expect("it is bound");
        let ((sender, made), is_cut) = (channel(), Arc::new(AtomicBool::new(false)));
        let network = Self { address, is_cut: Arc::clone(&is_cut), made, ends: Vec::new() };
        thread::spawn(move || {
            for client in listener.incoming() {
                let client = client.expect("it accepts");
                // The server may be away.
                let server = TcpStream::connect(server);
                let (false, Ok(server)) = (is_cut.load(Ordering::SeqCst), server) else { continue };
                for [from, to] in [[&client, &server], [&server, &client]] {
                    pass(from, to);
                }
                if sender.send([client, server]).is_err() {
                    return;
                }
            }
        });
        network
    }

    fn cut(&mut self) {
        self.is_cut.store(true, Ordering::SeqCst);
        self.ends.extend(self.made.try_iter().flatten());
        for end in self.ends.drain(..) {
            // It may have ended before.
            let _ = end.shutdown(Shutdown::Both);
        }
    }

    /// Lets connections through again, and waits for one.
    fn mend(&mut self) {
        self.is_cut.store(false, Ordering::SeqCst);
        self.ends.extend(self.made.recv_timeout(PATIENCE).expect("it comes back"));
    }
}

fn pass(from: &TcpStream, to: &TcpStream) {
    let [mut from, mut to] = [from, to].map(|stream| stream.try_clone().expect("there are descriptors"));
    thread::spawn(move || {
        // Either may be lost.
        let _ = std::io::copy(&mut from, &mut to);
        let _ = to.shutdown(Shutdown::Write);
    });
}

/// What alice was told that bob said, in her order: he numbers all that he says.
fn numbers(lines: &[String]) -> Vec<usize> {
    let number = |line: &String| line.split_once('#')?.1.split_once('.')?.0.parse().ok();
    lines.iter().filter_map(number).collect()
}

fn says(bob: &mut Peer, numbers: impl IntoIterator<Item = usize>) {
    for number in numbers {
        bob.say(&format!("#{number}."));
    }
    bob.say("/ping");
    bob.expect("* pong");
}

/// Starts a client for the HTTP listener, and has it live through what networks and servers do.
fn is_a_member(start: impl FnOnce(SocketAddr) -> Command) {
    let serve = |tcp: &str, http: &str| {
        Program::serve(&["--grace", "1s", &format!("rooms=tcp://{tcp}"), &format!("rooms=http://{http}")])
    };
    let server = serve("127.0.0.1:0", "127.0.0.1:0");
    let [tcp, http] = [0, 1].map(|listener| server.listeners[listener].address());
    let mut network = Network::before(http);
    let mut command = start(network.address);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut alice = Program::spawn(command);
    let mut bob = Peer::named(&server, 0, "bob");
    says(&mut bob, 1..=50);
    alice.printed("#50.");
    alice.types("mine, \"so\" to say\n");
    bob.expect("[lobby] alice: mine, \"so\" to say");

    // Some is said while she is away, and some while she comes back.
    network.cut();
    says(&mut bob, 51..=100);
    network.mend();
    says(&mut bob, 101..=200);
    alice.printed("#200.");
    alice.types("back\n");
    bob.expect("[lobby] alice: back");

    network.cut();
    says(&mut bob, 201..=500);
    network.mend();
    alice.printed("gap");
    alice.printed("#500.");

    assert_eq!(server.stop().code, Some(0));
    let server = serve(&tcp.to_string(), &http.to_string());
    let mut bob = Peer::named(&server, 0, "bob");
    says(&mut bob, [501]);
    alice.printed("reset");
    alice.printed("#501.");
    alice.types("to the end\n");
    bob.expect("[lobby] alice: to the end");
    says(&mut bob, [502]);
    alice.printed("#502.");
    alice.finish();
    let mut told = alice.seen().to_vec();
    let end = alice.end();
    assert_eq!(end.code, Some(0), "{end:?}");
    told.extend(end.output);
    let expected: Vec<_> = (1..=200).chain(501 - KEPT..=502).collect();
    assert_eq!(numbers(&told), expected, "{told:#?}");
}

/// A client that a program runs, for rooms over HTTP.
fn runs(program: &Path, file: &str, network: SocketAddr) -> Command {
    let mut command = Command::new(program);
    command.arg(format!("{FOLDER}/{file}")).args([&format!("http://{network}/rooms/lobby"), "alice"]);
    command
}

/// Where a compiler puts a program.
fn compiled(compiler: &Path, arguments: &[&str], file: &str) -> Place {
    let program = Place::new(file);
    // In seconds: Go's compiles its library first, where it never has.
    let mut command = Command::new("timeout");
    command.arg("300").arg(compiler).args(arguments).arg("-o").arg(&*program).arg(format!("{FOLDER}/{file}"));
    let made = command.output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    program
}

#[test]
fn the_one_in_python_is_a_member() {
    let Some(python) = installed("python3", "python3") else { return };
    is_a_member(|network| runs(&python, "member.py", network));
}

#[test]
fn the_one_in_node_is_a_member() {
    let Some(node) = installed("node", "nodejs") else { return };
    is_a_member(|network| runs(&node, "member.mjs", network));
}

#[test]
fn the_one_in_a_shell_is_a_member() {
    let (Some(bash), Some(_)) = (installed("bash", "bash"), installed("curl", "curl")) else { return };
    is_a_member(|network| runs(&bash, "member.sh", network));
}

#[test]
fn the_one_in_go_is_a_member() {
    let Some(go) = installed("go", "golang-go") else { return };
    let program = compiled(&go, &["build"], "member.go");
    is_a_member(|network| {
        let mut command = Command::new(&*program);
        command.args([&format!("http://{network}/rooms/lobby"), "alice"]);
        command
    });
}

#[test]
fn the_one_in_c_is_a_member() {
    let Some(cc) = installed("cc", "gcc") else { return };
    let program = compiled(&cc, &["-Wall", "-Wextra", "-Werror"], "member.c");
    is_a_member(|network| {
        let mut command = Command::new(&*program);
        command.args([&network.ip().to_string(), &network.port().to_string(), "lobby", "alice"]);
        command
    });
}

/// Of C without what it includes and says about itself.
#[test]
fn each_is_under_thirty_lines() {
    for file in std::fs::read_dir(FOLDER).unwrap() {
        let path = file.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        let is_c = path.extension().is_some_and(|extension| extension == "c");
        let counts =
            |line: &&str| !is_c || !(line.is_empty() || line.starts_with('#') || line.trim().starts_with("//"));
        let lines = text.lines().filter(counts).count();
        assert!(lines < 30, "{} has {lines}", path.display());
    }
}

#[test]
fn the_page_shows_them_as_they_are() {
    let page = include_str!("../../../docs/clients.md");
    for file in std::fs::read_dir(FOLDER).unwrap() {
        let path = file.unwrap().path();
        let language = match path.extension().and_then(|extension| extension.to_str()).unwrap() {
            "py" => "python",
            "mjs" => "js",
            other => other,
        };
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(page.contains(&format!("```{language}\n{text}```\n")), "{} is not shown as it is", path.display());
    }
}
