"""Attacks that ask for much with little, and peers that stop, drip or vanish."""

import array
import os
import signal
import socket
import ssl
import subprocess
import time
from contextlib import suppress

from ..server import Server
from ..world import PUBLIC, connect
from . import ECHO, HTTP, HTTP2_BYTES, MIB, TCP, attack, http2, promised, until
from .edges import sealed
from .http import HOST, fill, get
from .rooms import SMALL, drain, member
from .sockets import CERTIFICATE
from .udp import UDP, join, udp


@attack(
    "echo=tcp://10.99.0.1:0", options=("--max-memory", "16MiB"), seconds=6, memory=promised(16, 1500), settled=promised(16, 0),
)  # fmt: skip
def short_lines_that_nobody_reads(server: Server, end: float) -> list[str]:
    """1,500 connections that send 16,000 lines of one byte at a time to echo and read nothing."""
    held = [connect(server.port("echo=tcp", 1), f"10.20.{count // 250}.{count % 250 + 1}") for count in range(1500)]
    for connection in held:
        connection.setblocking(False)

    def send() -> None:
        for connection in held:
            with suppress(OSError):
                connection.send(b"x\n" * 16_000)
        time.sleep(0.05)

    until(end, send)
    for connection in held:
        connection.close()
    return []


@attack(TCP, HTTP, seconds=6, excused=True)
def a_process_that_is_frozen_again_and_again(server: Server, end: float) -> list[str]:
    """The server stands still for a second, three times, with members, a stream and a head under way: nobody is closed for it."""
    members = [member(server, f"/name one{count}", "/join hot") for count in range(20)]
    stream = connect(server.port("rooms=http"))
    stream.sendall(get("/rooms/hot/events"))
    heads = [connect(server.port("rooms=http")) for _ in range(20)]
    for one in heads:
        one.sendall(b"POST /rooms/hot HTTP/1.1\r\n" + HOST + b"Content-Length: 2\r\n")
    for _ in range(3):
        os.kill(server.process.pid, signal.SIGSTOP)
        time.sleep(1)
        os.kill(server.process.pid, signal.SIGCONT)
        time.sleep(0.3)
    for one in heads:
        one.sendall(b"\r\nhi")
    answered = sum(one.recv(100).startswith(b"HTTP/1.1 200") for one in heads)
    wrong = [] if answered == len(heads) else [f"{answered} of {len(heads)} requests were answered"]
    for one in members:
        one.sendall(b"/quit\n")
    ended = sum(b"* bye" in everything(one) for one in members)
    wrong += [] if ended == len(members) else [f"{ended} of {len(members)} members were still there"]
    stream.settimeout(1)
    return wrong + ([] if b"hi" in everything(stream) else ["the stream was not told"])


def everything(connection: socket.socket) -> bytes:
    """What comes until the end, or until nothing does."""
    heard = b""
    with suppress(OSError):
        while part := connection.recv(MIB):
            heard += part
    return heard


@attack("echo=tls://10.99.0.1:0?" + CERTIFICATE, seconds=5, memory=32 * MIB)
def keys_that_change_without_end(server: Server, end: float) -> list[str]:
    """TLS connections that ask for new keys over and over, and for the other side's too (RFC 8446 §4.6.3)."""
    place = f"{PUBLIC}:{server.port('echo=tls')}"
    askers = [
        subprocess.Popen(["openssl", "s_client", "-connect", place], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for _ in range(4)
    ]

    def ask(asker: subprocess.Popen) -> None:
        assert asker.stdin
        asker.stdin.write(b"K\n" * 50)
        asker.stdin.flush()
        time.sleep(0.005)

    until(end, *(lambda asker=asker: ask(asker) for asker in askers))
    for asker in askers:
        asker.kill()
    return []


@attack(TCP + "?rate=off", HTTP, options=("--max-memory", "32MiB"), seconds=6, memory=promised(32, 50, HTTP2_BYTES))
def windows_of_a_byte(server: Server, end: float) -> list[str]:
    """HTTP/2 clients that ask for a hundred answers, give each window for a byte at a time, and leave; one after the other."""
    fill(server, "big")

    def take() -> None:
        with connect(server.port("rooms=http"), "10.21.0.1", timeout=2) as connection:
            http2.begin(connection, window=0)
            drain(connection)
            streams = range(1, 201, 2)
            connection.sendall(b"".join(http2.request(stream, "/rooms/big/messages") for stream in streams))
            byte = b"".join(http2.update(stream, 1) for stream in streams) * 4
            for _ in range(500):
                connection.sendall(byte)

    until(end, *[take] * 4)
    return []


@attack(HTTP, seconds=5, memory=64 * MIB)
def streams_that_the_server_resets(server: Server, end: float) -> list[str]:
    """HTTP/2 requests followed by a frame for which the server has to reset them (CVE-2025-8671)."""

    def reset() -> None:
        with connect(server.port("rooms=http"), "10.21.1.1", timeout=2) as connection:
            http2.begin(connection)
            drain(connection)
            for stream in range(1, 4001, 2):
                connection.sendall(http2.request(stream, "/rooms/lobby/messages") + http2.update(stream, 0))

    until(end, *[reset] * 4)
    return []


@attack(HTTP, seconds=5, memory=64 * MIB)
def chunks_that_are_all_extension(server: Server, end: float) -> list[str]:
    """Bodies in chunks of one byte, each with a kilobyte of extensions that mean nothing (CVE-2023-39326)."""

    def send() -> None:
        with connect(server.port("rooms=http"), "10.21.2.1", timeout=2) as connection:
            drain(connection)
            connection.sendall(b"POST /rooms/hot HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n")
            for _ in range(200):
                connection.sendall((b"1;" + b"e" * 1000 + b"\r\nu\r\n") * 60)

    until(end, *[send] * 4)
    return []


@attack(HTTP, seconds=5, memory=64 * MIB)
def streams_that_are_left_at_once(server: Server, end: float) -> list[str]:
    """Event streams and WebSockets that are opened and reset as soon as they begin."""
    upgrade = b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"

    def leave(asked: bytes) -> None:
        connection = connect(server.port("rooms=http"), "10.21.3.1", timeout=2)
        connection.sendall(asked)
        connection.recv(1)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        connection.close()

    asked = (get("/rooms/hot/events"), get("/rooms/hot/ws")[:-2] + upgrade, get("/rooms/hot/messages?follow=1"))
    until(end, *(lambda one=one: leave(one) for one in asked))
    return []


@attack(UDP, TCP, seconds=6, memory=32 * MIB)
def a_room_of_datagrams_that_is_loud(server: Server, end: float) -> list[str]:
    """Two members speak as much as they may in a room of 300 members by UDP, who do not read."""
    members = [join(server, f"10.22.{count // 250}.{count % 250 + 1}", "hot") for count in range(300)]
    speakers = [member(server, "/join hot") for _ in range(2)]
    for speaker in speakers:
        drain(speaker)
    until(end, *(lambda speaker=speaker: speaker.sendall(b"loud\n" * 100) for speaker in speakers))
    del members
    return []


@attack(TCP, options=("--max-memory", "64MiB"), seconds=6, memory=96 * MIB)
def a_room_that_is_loud(server: Server, end: float) -> list[str]:
    """Ten members speak as much as they may in a room of 900 who read."""
    for _ in range(900):
        drain(member(server, "/join hot"))
    speakers = [member(server, "/join hot") for _ in range(10)]
    for speaker in speakers:
        drain(speaker)
    until(end, *(lambda speaker=speaker: speaker.sendall(b"loud\n" * 100) for speaker in speakers))
    return []


@attack("rooms=unix://{folder}/socket", seconds=3, memory=16 * MIB)
def descriptors_that_are_passed_along(server: Server, end: float) -> list[str]:
    """A Unix client passes descriptors beside its lines: the server keeps none of them."""
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(f"{server.folder.name}/socket")
    drain(connection)
    time.sleep(0.2)
    before = len(os.listdir(f"/proc/{server.process.pid}/fd"))
    passed = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [connection.fileno()] * 50))]
    for _ in range(100):
        connection.sendmsg([b"hello\n"], passed)
    time.sleep(0.5)
    after = len(os.listdir(f"/proc/{server.process.pid}/fd"))
    # The control connections come and go.
    return [] if after <= before + 5 else [f"{after - before} descriptors were kept"]


@attack(ECHO, TCP, HTTP, "rooms=tls://10.99.0.1:0?" + CERTIFICATE, "echo=ws://10.99.0.1:0", seconds=6, memory=64 * MIB)
def noise(server: Server, end: float) -> list[str]:
    """Random bytes, and halves of every protocol's beginning with random bytes behind them, at every listener."""
    beginnings = (
        b"", b"\x16\x03\x01", b"GET / HTTP/1.1\r\n", http2.PREFACE, http2.hello(), b"/join ", b"\xff\xfd", b"\0\0\0\5", b"\xef\xbb\xbf",
        get("/rooms/hot/ws")[:-2] + b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n",
    )  # fmt: skip
    ports = [server.port("echo=tcp", 1), *(server.port(name) for name in ("rooms=tcp", "rooms=http", "rooms=tls", "echo=ws"))]

    def send(port: int) -> None:
        for beginning in beginnings:
            with connect(port, "10.23.0.1", timeout=1) as connection:
                connection.sendall(beginning + os.urandom(2000))

    until(end, *(lambda port=port: send(port) for port in ports))
    logged = server.logged()
    return ["something panicked"] if b"panicked" in logged else []


@attack("echo=tls://10.99.0.1:0?" + CERTIFICATE, "echo=ws://10.99.0.1:0", options=("--max-memory", "16MiB"), seconds=6, memory=32 * MIB)
def readers_that_drip(server: Server, end: float) -> list[str]:
    """Peers of echo that have much to get and take a byte now and then, so that there is always progress."""
    held = [connect(server.port("echo=tcp"), f"10.24.0.{count + 1}", receives=SMALL) for count in range(200)]
    held += [sealed(server, "echo=tls", f"10.24.1.{count + 1}") for count in range(50)]
    for connection in held:
        connection.setblocking(False)

    def drip() -> None:
        for connection in held:
            with suppress(OSError, ssl.SSLError):
                connection.send(b"d" * 4000 + b"\n")
            with suppress(OSError, ssl.SSLError):
                connection.recv(1)
        time.sleep(0.02)

    until(end, drip)
    return []


@attack(TCP, seconds=4, log="/dev/full", memory=32 * MIB)
def a_log_that_is_full(server: Server, end: float) -> list[str]:
    """The disk of the log is full, while there is much to log: nobody waits for it."""

    def come() -> None:
        # Each is ended, and logged.
        with connect(server.port("rooms=tcp"), "10.25.0.1", timeout=2) as connection:
            connection.sendall(b"GET / HTTP/1.1\r\n\r\n")
            everything(connection)

    until(end, come, come)
    return []
