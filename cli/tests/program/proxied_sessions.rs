//! Sessions of other people's clients and servers through a proxy, neither of which knows of it: a database, and a shell far away.

use crate::process::{Place, installed, joined, output, ran, until};
use crate::proxied_others::{Other, port};
use crate::proxying::proxied;
use std::io::Write as _;
use std::net::TcpStream;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;

/// `nobody`, and its group.
const NOBODY: u32 = 65_534;

/// The folder of `PostgreSQL`'s own programs, of whichever version.
#[expect(clippy::print_stderr, reason = "a test that shows nothing says so")]
fn postgres() -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let found = versions.map(|version| version.path().join("bin")).find(|folder| folder.join("initdb").is_file());
    if found.is_none() {
        eprintln!("skipped: no server of PostgreSQL is installed, which Debian has in postgresql");
    }
    found
}

/// A program of `PostgreSQL`, whose server refuses to run as root.
fn unprivileged(program: &Path) -> Command {
    if !nix::unistd::geteuid().is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "--"]).arg(program).current_dir("/");
    command
}

#[test]
fn a_database_is_used_through_a_proxy_to_its_unix_socket() {
    let (Some(psql), Some(programs)) = (installed("psql", "postgresql-client"), postgres()) else { return };
    let folder = Place::folder("proxy-postgres");
    if nix::unistd::geteuid().is_root() {
        chown(&*folder, Some(NOBODY), Some(NOBODY)).unwrap();
    }
    let data = folder.within("data");
    let made =
        output(unprivileged(&programs.join("initdb")).args(["--no-sync", "-A", "trust", "-U", "test", "-D", &data]));
    assert!(made.status.success(), "{made:?}");
    let sockets = folder.to_string();
    let options = ["-F", "-D", &data, "-k", &sockets, "-p", "5432", "-c", "listen_addresses="];
    let _server = Other::start(unprivileged(&programs.join("postgres")).args(options));
    let front = proxied(&format!("unix://{folder}/.s.PGSQL.5432"), "");
    let front = front.listeners[0].address().port().to_string();
    let at = ["-h", "127.0.0.1", "-p", &front, "-U", "test"];
    let asked = |what: &str| output(Command::new(&psql).args(at).args(["-d", "postgres", "-Atc", what]));
    until(|| asked("select 1").status.success());
    let sum = asked("select sum(n) from generate_series(1, 100000) n");
    assert_eq!(String::from_utf8_lossy(&sum.stdout), "5000050000\n", "{sum:?}");
    let large = asked("select repeat('x', 8000000)");
    assert!(large.stdout.len() == 8_000_001 && large.stdout[..8_000_000].iter().all(|byte| *byte == b'x'));
    for work in [&["-i", "-q"][..], &["-n", "-c", "8", "-t", "25"]] {
        let ran = output(Command::new(programs.join("pgbench")).args(at).args(work).arg("postgres"));
        assert!(ran.status.success(), "{ran:?}");
    }
}

#[test]
fn a_shell_far_away_is_used_through_a_proxy() {
    let (Some(server), Some(client), Some(keys)) = (
        installed("sshd", "openssh-server"),
        installed("ssh", "openssh-client"),
        installed("ssh-keygen", "openssh-client"),
    ) else {
        return;
    };
    if nix::unistd::geteuid().is_root() {
        // As its unit makes it.
        std::fs::create_dir_all("/run/sshd").unwrap();
    }
    let (folder, at) = (Place::folder("proxy-ssh"), port());
    for name in ["host", "own"] {
        let made = output(Command::new(&keys).args(["-q", "-t", "ed25519", "-N", "", "-f", &folder.within(name)]));
        assert!(made.status.success(), "{made:?}");
    }
    let config = format!(
        "ListenAddress 127.0.0.1\nPort {at}\nHostKey {folder}/host\nAuthorizedKeysFile {folder}/own.pub\n\
         PidFile none\nUsePAM no\nStrictModes no\nPermitRootLogin yes\n"
    );
    std::fs::write(folder.join("config"), config).unwrap();
    let _server = Other::start(Command::new(server).args(["-D", "-f", &folder.within("config")]));
    until(|| TcpStream::connect(("127.0.0.1", at)).is_ok());
    let front = proxied(&format!("tcp://127.0.0.1:{at}"), "");
    let front = front.listeners[0].address().port().to_string();
    let known = format!("UserKnownHostsFile={}", folder.within("known"));
    let mut command = Command::new(client);
    command.args(["-F", "none", "-p", &front, "-i", &folder.within("own"), "-o", &known, "-o", "BatchMode=yes"]);
    command.args([
        "-o",
        "IdentitiesOnly=yes",
        "-o",
        "StrictHostKeyChecking=accept-new",
        "127.0.0.1",
        "cat; echo bye; exit 7",
    ]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let sent: Vec<u8> = (0..8 << 20).map(|number: u32| (number ^ (number >> 8)) as u8).collect();
    let (mut input, typed) = (child.stdin.take().unwrap(), sent.clone());
    let types = thread::spawn(move || input.write_all(&typed).expect("it takes everything"));
    let ran = ran(child);
    joined(types);
    assert_eq!(ran.status.code(), Some(7), "{}", String::from_utf8_lossy(&ran.stderr));
    assert!(ran.stdout == [&*sent, b"bye\n"].concat(), "{} bytes came back", ran.stdout.len());
}
