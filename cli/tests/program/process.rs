//! One run of the program: its arguments, its output as it comes, its end.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fmt;
use std::io::{BufRead as _, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream, UdpSocket};
use std::ops::Deref;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// For anything expected to happen; only a failing test waits so long.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// How much of that is left, for what comes in pieces: each of them in time is not all of it in time.
pub(crate) struct Deadline(Instant);

impl Deadline {
    #[expect(clippy::disallowed_methods, reason = "another process's time is real")]
    pub(crate) fn new() -> Self {
        Self(Instant::now())
    }

    pub(crate) fn left(&self) -> Duration {
        PATIENCE.saturating_sub(self.0.elapsed())
    }
}

/// Asks again until `condition` holds.
#[track_caller]
pub(crate) fn until(condition: impl FnMut() -> bool) {
    assert!(comes(condition), "what was waited for never came");
}

/// Asks again until `condition` holds, and says whether it did in time.
#[expect(clippy::disallowed_methods, reason = "another process's time is real")]
fn comes(mut condition: impl FnMut() -> bool) -> bool {
    let deadline = Deadline::new();
    loop {
        if condition() {
            return true;
        }
        if deadline.left().is_zero() {
            return false;
        }
        thread::sleep(Duration::from_millis(1));
    }
}

/// Waits for the end of a program. One that does not end is killed, and with it what waits for it.
#[track_caller]
pub(crate) fn ended(child: &mut Child) -> ExitStatus {
    let mut status = None;
    let is_over = comes(|| {
        status = child.try_wait().expect("it can be waited for");
        status.is_some()
    });
    if !is_over {
        child.kill().expect("it runs");
        child.wait().expect("it was killed");
    }
    status.expect("it ends by itself")
}

/// Waits for the end of a program, and says what it has written.
#[track_caller]
pub(crate) fn ran(mut child: Child) -> Output {
    drop(child.stdin.take());
    let (stdout, stderr) = (child.stdout.take().map(all), child.stderr.take().map(all));
    let status = ended(&mut child);
    Output { status, stdout: stdout.map(joined).unwrap_or_default(), stderr: stderr.map(joined).unwrap_or_default() }
}

/// Runs another program to its end, and says what it has written. It has nothing to read.
#[track_caller]
pub(crate) fn output(command: &mut Command) -> Output {
    let command = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    ran(command.spawn().expect("it is installed"))
}

/// Where a program is installed.
#[expect(clippy::print_stderr, reason = "a test that shows nothing says so")]
pub(crate) fn installed(name: &str, package: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    // Servers are where users do not look for programs.
    let folders = std::env::split_paths(&path).chain(["/usr/sbin", "/usr/local/sbin"].map(PathBuf::from));
    let found = folders.map(|folder| folder.join(name)).find(|file| file.is_file());
    if found.is_none() {
        eprintln!("skipped: {name} is not installed, which Debian has in {package}");
    }
    found
}

/// Where Python is installed, if it has a module.
#[expect(clippy::print_stderr, reason = "a test that shows nothing says so")]
pub(crate) fn python_with(module: &str) -> Option<PathBuf> {
    let python = installed("python3", "python3")?;
    let has_module = output(Command::new(&python).args(["-c", &format!("import {module}")])).status.success();
    if !has_module {
        eprintln!("skipped: Python has no {module}, which Debian has in python3-{module}");
    }
    has_module.then_some(python)
}

fn all(mut pipe: impl Read + Send + 'static) -> JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        pipe.read_to_end(&mut bytes).expect("a pipe can be read");
        bytes
    })
}

/// Waits for the end of a thread.
#[track_caller]
pub(crate) fn joined<T>(thread: JoinHandle<T>) -> T {
    until(|| thread.is_finished());
    thread.join().expect("it does not panic")
}

/// A running `switchboard`, killed when the test is over.
pub(crate) struct Program {
    child: Child,
    output: Lines,
    log: Lines,
    /// What it listens on, in the order of its arguments.
    pub(crate) listeners: Vec<Listener>,
}

/// A line of its output: `echo  tcp://127.0.0.1:8080  try: nc 127.0.0.1 8080`.
#[derive(Debug, Clone)]
pub(crate) struct Listener {
    /// The whole line.
    pub(crate) line: String,
    pub(crate) url: String,
    pub(crate) command: String,
}

/// How it ended.
#[derive(Debug)]
pub(crate) struct End {
    pub(crate) code: Option<i32>,
    /// What it wrote to stdout, without the listeners' lines.
    pub(crate) output: Vec<String>,
    /// All that it wrote to stderr.
    pub(crate) log: Vec<String>,
}

/// How to call the program, with nothing of the test's own environment.
pub(crate) fn command(arguments: &[&str]) -> Command {
    // By way of coreutils' env: under nohup, where tests may run too, the program would ignore a hangup.
    let mut command = Command::new("/usr/bin/env");
    command.args(["--default-signal=HUP", env!("CARGO_BIN_EXE_switchboard")]);
    command.args(arguments).env_clear().stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Runs the program to its end.
pub(crate) fn run(arguments: &[&str]) -> End {
    Program::spawn(command(arguments)).end()
}

/// A path for a socket, file or folder of this test alone. What is there is removed when the test is over.
#[derive(Debug)]
pub(crate) struct Place(PathBuf);

impl Place {
    pub(crate) fn new(test: &str) -> Self {
        Self(std::env::temp_dir().join(format!("switchboard-{}-{test}", std::process::id())))
    }

    /// A folder, which is made.
    pub(crate) fn folder(test: &str) -> Self {
        let folder = Self::new(test);
        std::fs::create_dir_all(&folder.0).expect("the temporary folder takes one");
        folder
    }

    /// The path of a file in a folder.
    pub(crate) fn within(&self, name: &str) -> String {
        self.0.join(name).to_str().expect("the path is UTF-8").to_owned()
    }

    /// Echo on a Unix socket at this path.
    pub(crate) fn echo(&self) -> String {
        format!("echo=unix://{self}")
    }
}

impl Deref for Place {
    type Target = Path;

    fn deref(&self) -> &Path {
        &self.0
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.display().fmt(f)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // The program removes its sockets itself, unless the test killed it.
        let _ = if self.0.is_dir() { std::fs::remove_dir_all(&self.0) } else { std::fs::remove_file(&self.0) };
    }
}

impl Program {
    /// Starts `switchboard serve` and waits until it listens on every URL among the arguments.
    pub(crate) fn serve(arguments: &[&str]) -> Self {
        let arguments: Vec<_> = ["serve"].iter().chain(arguments).copied().collect();
        let expected = arguments.iter().filter(|argument| argument.contains("://")).count();
        Self::listening(command(&arguments), expected)
    }

    /// Starts `switchboard serve` with a file, and waits until it listens on so many URLs.
    pub(crate) fn of_file(file: &Path, expected: usize) -> Self {
        Self::listening(command(&["serve", "--config", file.to_str().expect("the path is UTF-8")]), expected)
    }

    /// Starts a command and waits until it has printed so many listeners.
    pub(crate) fn listening(command: Command, expected: usize) -> Self {
        let mut program = Self::spawn(command);
        for _ in 0..expected {
            match program.output.next(&Deadline::new()) {
                Some(line) => program.listeners.push(Listener::parse(&line)),
                None => panic!("it does not serve: {:?}", program.log.rest()),
            }
        }
        program
    }

    pub(crate) fn spawn(mut command: Command) -> Self {
        let mut child = command.spawn().expect("the program starts");
        let output = child.stdout.take().map(Lines::read).unwrap_or_default();
        let log = child.stderr.take().map(Lines::read).unwrap_or_default();
        Self { child, output, log, listeners: Vec::new() }
    }

    /// Waits for a line of the log that holds `part`.
    pub(crate) fn logged(&mut self, part: &str) -> String {
        let deadline = Deadline::new();
        loop {
            match self.log.next(&deadline) {
                Some(line) if line.contains(part) => return line,
                Some(_) => {}
                None => panic!("it ended without logging {part:?}: {:?}", self.log.seen),
            }
        }
    }

    /// Waits for a line of its output that holds `part`.
    pub(crate) fn printed(&mut self, part: &str) -> String {
        let deadline = Deadline::new();
        loop {
            match self.output.next(&deadline) {
                Some(line) if line.contains(part) => return line,
                Some(_) => {}
                None => panic!("it ended without printing {part:?}: {:?}, {:?}", self.output.seen, self.log.rest()),
            }
        }
    }

    /// Whether it has printed nothing that was not waited for.
    pub(crate) fn is_silent(&mut self) -> bool {
        let coming = self.output.coming.as_ref();
        coming.is_none_or(|coming| coming.recv_timeout(Duration::from_millis(100)).is_err())
    }

    /// All that was waited for of its output.
    pub(crate) fn seen(&self) -> &[String] {
        &self.output.seen
    }

    /// Types into its input, which is a pipe.
    pub(crate) fn types(&mut self, text: &str) {
        let input = self.child.stdin.as_mut().expect("a pipe that is open");
        input.write_all(text.as_bytes()).expect("it reads");
    }

    /// Closes its input.
    pub(crate) fn finish(&mut self) {
        drop(self.child.stdin.take());
    }

    /// Its process number.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let id = Pid::from_raw(self.child.id().try_into().expect("a process number"));
        kill(id, signal).expect("it runs");
    }

    /// How much memory it has.
    pub(crate) fn resident_kilobytes(&self) -> usize {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("it runs");
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB"));
        resident.and_then(|count| count.trim().parse().ok()).expect("a number")
    }

    /// Waits for its end.
    pub(crate) fn end(mut self) -> End {
        let output = self.output.rest();
        self.log.rest();
        let status = ended(&mut self.child);
        End { code: status.code(), output, log: std::mem::take(&mut self.log.seen) }
    }

    /// Stops it politely and waits for its end.
    pub(crate) fn stop(self) -> End {
        self.signal(Signal::SIGTERM);
        self.end()
    }

    /// A TCP connection to a listener.
    pub(crate) fn tcp(&self, listener: usize) -> TcpStream {
        let stream = TcpStream::connect(self.listeners[listener].address()).expect("it accepts");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout can be set");
        stream
    }

    /// A TCP connection to a listener, from an address of this machine.
    pub(crate) fn tcp_from(&self, address: [u8; 4], listener: usize) -> TcpStream {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("a socket");
        socket.bind(&SocketAddr::from((address, 0)).into()).expect("it is of this machine");
        let port = self.listeners[listener].address().port();
        socket.connect(&SocketAddr::from(([127, 0, 0, 1], port)).into()).expect("it listens");
        let stream = TcpStream::from(socket);
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout can be set");
        stream
    }

    /// A UDP socket that talks to a listener.
    pub(crate) fn udp(&self, listener: usize) -> UdpSocket {
        let target = self.listeners[listener].address();
        let source = if target.is_ipv4() { "127.0.0.1:0" } else { "[::1]:0" };
        let socket = UdpSocket::bind(source).expect("a port is free");
        socket.connect(target).expect("an address of the right family");
        socket.set_read_timeout(Some(PATIENCE)).expect("a timeout can be set");
        socket
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended before.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Listener {
    fn parse(line: &str) -> Self {
        let (place, command) = line.split_once("try: ").unwrap_or_else(|| panic!("not a listener: {line}"));
        let url = place.split_whitespace().nth(1).expect("a service and a URL");
        Self { line: line.to_owned(), url: url.to_owned(), command: command.to_owned() }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        let (_, place) = self.url.split_once("://").expect("a URL");
        place.parse().expect("an address and port")
    }
}

/// Lines as they come from a pipe.
#[derive(Default)]
struct Lines {
    coming: Option<Receiver<String>>,
    seen: Vec<String>,
}

impl Lines {
    fn read(pipe: impl Read + Send + 'static) -> Self {
        let (sender, coming) = channel();
        thread::spawn(move || {
            for line in BufReader::new(pipe).split(b'\n').map_while(Result::ok) {
                if sender.send(String::from_utf8_lossy(&line).into_owned()).is_err() {
                    return;
                }
            }
        });
        Self { coming: Some(coming), seen: Vec::new() }
    }

    /// The next line, or `None` at the end.
    fn next(&mut self, deadline: &Deadline) -> Option<String> {
        match self.coming.as_ref()?.recv_timeout(deadline.left()) {
            Ok(line) => {
                self.seen.push(line.clone());
                Some(line)
            }
            Err(RecvTimeoutError::Disconnected) => None,
            Err(RecvTimeoutError::Timeout) => panic!("waited in vain for a line after {:?}", self.seen),
        }
    }

    fn rest(&mut self) -> Vec<String> {
        let deadline = Deadline::new();
        std::iter::from_fn(|| self.next(&deadline)).collect()
    }
}

/// A stream that can finish sending while it still receives.
pub(crate) trait HalfClose: Read + Write {
    fn finish_sending(&self);
}

impl HalfClose for TcpStream {
    fn finish_sending(&self) {
        self.shutdown(Shutdown::Write).expect("it is connected");
    }
}

impl HalfClose for UnixStream {
    fn finish_sending(&self) {
        self.shutdown(Shutdown::Write).expect("it is connected");
    }
}

/// Sends all, finishes sending, and receives all: `printf … | nc -N`.
pub(crate) fn exchange(mut stream: impl HalfClose, bytes: &[u8]) -> Vec<u8> {
    stream.write_all(bytes).expect("it takes everything");
    stream.finish_sending();
    let mut received = Vec::new();
    stream.read_to_end(&mut received).expect("it answers and closes");
    received
}

/// Sends a line and receives so many bytes, while the connection stays open.
pub(crate) fn ask(stream: &mut (impl Read + Write), line: &[u8], answer: &[u8]) {
    stream.write_all(line).expect("it takes a line");
    let mut received = vec![0; answer.len()];
    stream.read_exact(&mut received).expect("it answers");
    assert_eq!(received.escape_ascii().to_string(), answer.escape_ascii().to_string());
}
