"""Building, starting and stopping what is compared, each pinned to a core."""

import os
import resource
import shutil
import socket
import subprocess
import time
from pathlib import Path

from .workloads import Server

PATIENCE_S = 10
# For a server to settle, once it listens: Go and redis start threads.
SETTLING_S = 0.2

REPOSITORY = Path(__file__).resolve().parents[1]
PEERS = REPOSITORY / "compare" / "peers"
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", REPOSITORY / "target"))
# The profile that packages are built with.
PROFILE = "dist"
SWITCHBOARD = TARGET / PROFILE / "switchboard"
NAIVE = TARGET / PROFILE / "examples" / "naive"
BUILT = TARGET / "peers"


# How programs are asked for their version, other than by --version.
ASKED = {"go": "version", "mosquitto": "-h", "haproxy": "-v", "nginx": "-v"}


class Trouble(Exception):
    """What a person must know, in one sentence."""


def missing(server: Server) -> str | None:
    """Why a server cannot be compared with, if it cannot."""
    if server.needs and not runs(server.needs):
        return f"skipped: {server.title}: no {server.needs} ({server.hint})"
    return None


def runs(program: str) -> bool:
    """Whether a program is there and starts: a shim of a version manager may be neither."""
    path = shutil.which(program) or shutil.which(program, path="/usr/sbin")
    if not path:
        return False
    version = ASKED.get(program, "--version")
    return subprocess.run([path, version], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode in (0, 3)


def version(program: str) -> str:
    """The first line of what a program says of its version."""
    path = shutil.which(program) or shutil.which(program, path="/usr/sbin") or program
    said = subprocess.run([path, ASKED.get(program, "--version")], capture_output=True, text=True)
    output = said.stdout or said.stderr
    return output.splitlines()[0].strip() if output else program


def build(commands_of: set[str]) -> None:
    """Builds switchboard, and the peers whose programs are among those that are needed."""
    crates = ["-p", "switchboard-cli", "--bins", "-p", "switchboard-load", "--example", "naive"]
    run(["cargo", "build", "--profile", PROFILE, "--quiet", *crates], REPOSITORY)
    if "cc" in commands_of:
        (BUILT / "floor").mkdir(parents=True, exist_ok=True)
        for source in sorted((PEERS / "floor").glob("*.c")):
            run(["cc", "-O2", "-Wall", "-Wextra", "-o", str(BUILT / "floor" / source.stem), str(source)], PEERS)
    if "go" in commands_of:
        (BUILT / "go").mkdir(parents=True, exist_ok=True)
        run(["go", "build", "-o", f"{BUILT / 'go'}/", "./..."], PEERS / "go")
    if "c++" in commands_of:
        BUILT.mkdir(parents=True, exist_ok=True)
        run(["./build", str(BUILT / "uwebsockets")], PEERS / "uwebsockets")
    if "cargo" in commands_of:
        target = TARGET / "peers-cargo"
        BUILT.mkdir(parents=True, exist_ok=True)
        for name in ("tls_echo", "websocket"):
            run(["cargo", "build", "--release", "--quiet", "--target-dir", str(target)], PEERS / name)
            shutil.copy2(target / "release" / name, BUILT / name)


def run(command: list[str], folder: Path) -> None:
    if subprocess.run(command, cwd=folder).returncode != 0:
        raise Trouble(f"failed: {' '.join(command)}")


def certificate(work: Path) -> None:
    """Makes a certificate for localhost, and its key."""
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 1 -subj /CN=localhost"
    names = ["-addext", "subjectAltName=DNS:localhost", "-addext", "basicConstraints=critical,CA:FALSE"]
    files = ["-keyout", str(work / "key.pem"), "-out", str(work / "cert.pem")]
    done = subprocess.run([*command.split(), *names, *files], capture_output=True, text=True)
    if done.returncode != 0:
        raise Trouble(f"openssl made no certificate: {done.stderr.strip()}")


def free_port() -> int:
    """A port that is free for both TCP and UDP."""
    while True:
        with socket.socket() as stream, socket.socket(type=socket.SOCK_DGRAM) as datagrams:
            stream.bind(("127.0.0.1", 0))
            port = stream.getsockname()[1]
            try:
                datagrams.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue


def is_bound(table: str, port: int) -> bool:
    """Whether a table of sockets (/proc/net/tcp or udp) has a server at a port: state 0A listens, 07 is an open datagram socket."""
    for line in table.splitlines()[1:]:
        fields = line.split()
        if int(fields[1].rpartition(":")[2], 16) == port and fields[3] in ("0A", "07"):
            return True
    return False


def alone(core: int) -> None:
    """Before a program starts: on one core, with all the descriptors that there are."""
    os.sched_setaffinity(0, {core})
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


class Running:
    """A server that runs on one core, and what is behind it on another, until the end of a `with`."""

    def __init__(self, server: Server, core: int, other: int, work: Path):
        self.port, self.behind = free_port(), free_port()
        self.places = {"port": self.port, "behind": self.behind, "built": BUILT, "work": work, "switchboard": SWITCHBOARD, "naive": NAIVE}
        self.server = server
        (work / "config").write_text("".join(self.filled(line) + "\n" for line in server.config))
        self.log = open(work / "log", "w+b")
        self.last = self.started(server.behind, other, work) if server.behind else None
        self.process = self.started(server.command, core, work)
        self.places["pid"] = self.process.pid

    def started(self, command: tuple[str, ...], core: int, work: Path) -> subprocess.Popen:
        return subprocess.Popen(
            [self.filled(word) for word in command],
            cwd=work,
            stdin=subprocess.DEVNULL,
            stdout=self.log,
            stderr=self.log,
            env={**os.environ, "PATH": os.environ["PATH"] + ":/usr/sbin"},
            preexec_fn=lambda: alone(core),
        )

    def ran_behind_s(self) -> float:
        """For how long what is behind the server has run so far."""
        if not self.last:
            return 0.0
        tasks = Path(f"/proc/{self.last.pid}/task").iterdir()
        return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9

    def filled(self, text: str) -> str:
        for name, value in self.places.items():
            text = text.replace(f"{{{name}}}", str(value))
        return text

    def __enter__(self) -> "Running":
        tables = ["/proc/net/udp"] if self.server.url.startswith("udp") else ["/proc/net/tcp", "/proc/net/tcp6"]
        end = time.monotonic() + PATIENCE_S
        ports = [self.port, self.behind] if self.last else [self.port]
        while time.monotonic() < end and self.process.poll() is None:
            bound = [Path(table).read_text() for table in tables if Path(table).exists()]
            if all(any(is_bound(table, port) for table in bound) for port in ports):
                time.sleep(SETTLING_S)
                return self
            time.sleep(0.02)
        self.stop()
        self.log.seek(0)
        said = self.log.read().decode(errors="replace").strip()
        raise Trouble(f"{self.server.title} does not listen: {' '.join(self.server.command)}\n{said}")

    def __exit__(self, *_) -> None:
        self.stop()
        self.log.close()

    def stop(self) -> None:
        for process in filter(None, (self.process, self.last)):
            process.terminate()
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
