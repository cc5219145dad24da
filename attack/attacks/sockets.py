"""Attacks below any protocol: connections, handshakes, descriptors, time."""

import os
import signal
import socket
import ssl
import subprocess
import time
from contextlib import suppress

from ..server import Server
from ..world import PUBLIC, PUBLIC_V6, connect
from . import ECHO, MIB, TCP, attack, until
from .rooms import member

CERTIFICATE = "cert={certificate}&key={key}"


@attack(TCP, seconds=4, memory=64 * MIB)
def connections_that_come_and_go(server: Server, end: float) -> list[str]:
    """Connections that are opened and reset without a word, as fast as one core makes them."""

    def come() -> None:
        connection = socket.socket()
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        connection.settimeout(2)
        connection.connect((PUBLIC, server.port("rooms=tcp")))
        connection.close()

    until(end, come, come)
    return []


@attack(TCP, seconds=5, files=600, excused=True)
def descriptors_run_out(server: Server, end: float) -> list[str]:
    """More connections than there are descriptors: known ones are served, and newcomers once there is room again."""
    known = member(server, "/ping")
    known.settimeout(2)
    held = []
    for _ in range(1000):
        try:
            held.append(connect(server.port("rooms=tcp"), timeout=0.2))
        except OSError:
            break
    known.sendall(b"/ping\n")
    wrong = [] if known.recv(1000) else ["a known connection was not served"]
    for connection in held:
        connection.close()
    time.sleep(1)
    try:
        newcomer = connect(server.port("rooms=tcp"), timeout=2)
        newcomer.sendall(b"/ping\n")
        if not newcomer.recv(1000):
            wrong.append("a newcomer was not served once there was room")
    except OSError as error:
        wrong.append(f"a newcomer was not served once there was room: {error}")
    return wrong


@attack(ECHO, "rooms=tls://[fd00:99::1]:0?" + CERTIFICATE, seconds=8, memory=128 * MIB)
def handshakes_of_one_network(server: Server, end: float) -> list[str]:
    """TLS handshakes that never end, from as many addresses of one IPv6 /48 as there are: strangers get theirs done."""
    port = server.port("rooms=tls")
    held = []
    for count in range(4200):
        source = f"fd00:99:1:{count % 65536:x}::{count + 1:x}"
        try:
            held.append(connect(port, source, PUBLIC_V6, timeout=0.2))
        except OSError:
            break
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    slowest = 0.0
    for count in range(10):
        began = time.monotonic()
        try:
            with context.wrap_socket(connect(port, f"fd00:99:{count + 2}::1", PUBLIC_V6, timeout=3)) as stranger:
                stranger.recv(100)
            slowest = max(slowest, time.monotonic() - began)
        except OSError:
            slowest = max(slowest, 5.0)
    return [f"a stranger's handshake took {slowest:.1f} s"] if slowest > 0.5 else []


@attack(TCP, seconds=5, excused=True)
def a_process_that_is_frozen(server: Server, end: float) -> list[str]:
    """The server stands still for longer than its deadlines, while what was asked lies in its sockets: all of it is answered."""
    asked = [connect(server.port("echo=tcp"), timeout=5) for _ in range(50)]
    time.sleep(0.2)
    os.kill(server.process.pid, signal.SIGSTOP)
    try:
        for connection in asked:
            connection.sendall(b"still here\n")
        time.sleep(3)
    finally:
        os.kill(server.process.pid, signal.SIGCONT)
    answered = 0
    for connection in asked:
        try:
            answered += connection.recv(100) == b"echo: still here\n"
        except OSError:
            pass
    return [] if answered == len(asked) else [f"{answered} of {len(asked)} were answered"]


@attack("rooms=unix://{folder}/socket", seconds=3)
def a_path_that_forges_the_log(server: Server, end: float) -> list[str]:
    """A Unix client whose own path holds line ends and terminal sequences: the log shows neither."""
    for count, path in enumerate((b"a\n2026-01-01T00:00:00Z ERROR forged", b"\x1b]0;forged\x07", "\u202eforged".encode())):
        connection = socket.socket(socket.AF_UNIX)
        connection.bind(f"{server.folder.name}/".encode() + path)
        connection.connect(f"{server.folder.name}/socket")
        connection.settimeout(2)
        try:
            connection.sendall(b"x" * 70_000 + b"\n")
            while connection.recv(1000):
                pass
        except OSError:
            pass
    time.sleep(0.5)
    logged = server.logged()
    wrong = [line for line in logged.splitlines() if line.startswith(b"2026-01-01T00:00:00Z ERROR")]
    raw = [byte for byte in (b"\x1b]0;", b"\x07", "\u202e".encode()) if byte in logged]
    return [f"forged in the log: {wrong + raw}"] if wrong or raw else []


@attack(
    TCP, "rooms=tcp://10.99.0.1:0?framing=length", options=("--max-memory", "16MiB"), seconds=5, memory=40 * MIB, settled=32 * MIB
)
def frames_that_never_end(server: Server, end: float) -> list[str]:
    """1,000 connections that announce 64 KiB and send all but the last byte of it: the budget holds."""
    held = []
    for count in range(1000):
        connection = connect(server.port("rooms=tcp", 1), f"10.2.{count % 200}.{count % 250 + 1}", timeout=1)
        try:
            connection.sendall(b"\0\1\0\0" + b"z" * 65535)
        except OSError:
            pass
        held.append(connection)
    time.sleep(max(0.0, end - time.monotonic()))
    return []


@attack("echo=tcp://10.99.0.1:0", options=("--max-memory", "16MiB"), seconds=5, memory=40 * MIB, settled=32 * MIB)
def echoes_that_nobody_reads(server: Server, end: float) -> list[str]:
    """500 connections that send to echo and read nothing: what waits for them is in the budget, and others are served."""
    held = [connect(server.port("echo=tcp", 1), f"10.3.1.{count % 250 + 1}", receives=4096) for count in range(500)]
    for connection in held:
        connection.setblocking(False)

    def send() -> None:
        for connection in held:
            try:
                connection.send(b"e" * 60_000 + b"\n")
            except OSError:
                pass
        time.sleep(0.02)

    until(end, send)
    return []


def make_certificate(folder: str) -> tuple[str, str]:
    certificate, key = f"{folder}/cert.pem", f"{folder}/key.pem"
    command = (
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 1 -subj /CN=localhost "
        f"-addext subjectAltName=DNS:localhost -keyout {key} -out {certificate}"
    )
    subprocess.run(command.split(), check=True, capture_output=True)
    return certificate, key


@attack(
    "echo=tcp://10.99.0.1:0?proxy-from=10.20.0.0/16", seconds=8, memory=24 * MIB, settled=8 * MIB,
)  # fmt: skip
def proxies_that_do_not_say_whose_they_are(server: Server, end: float) -> list[str]:
    """5,000 connections from a proxy's network that say nothing, or a byte of their header at a time: who comes by the proxy is served meanwhile."""
    port, slowest = server.port("echo=tcp", 1), 0.0
    silent = [connect(port, f"10.20.{count // 250}.{count % 250 + 1}") for count in range(5000)]

    def come() -> None:
        nonlocal slowest
        began = time.monotonic()
        with connect(port, "10.20.200.1") as client:
            client.sendall(b"PROXY TCP4 192.0.2.1 10.99.0.1 4711 443\r\nhi\n")
            client.recv(100)
        slowest = max(slowest, time.monotonic() - began)
        for one in silent[::10]:
            with suppress(OSError):
                one.send(b"P")
        time.sleep(0.05)

    until(end, come)
    left = sum(still_open(one) for one in silent)
    for one in silent:
        one.close()
    faults = [f"a newcomer waited {slowest:.2f} s"] if slowest > 1 else []
    return [*faults, f"{left} are still there"] if left else faults


def still_open(connection: socket.socket) -> bool:
    """Whether the other side has not closed it, behind whatever it has sent."""
    connection.setblocking(False)
    try:
        while connection.recv(MIB):
            pass
        return False
    except (BlockingIOError, ssl.SSLWantReadError):
        return True
    except OSError:
        return False
