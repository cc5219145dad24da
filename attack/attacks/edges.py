"""Attacks at the edge of the memory budget, by transports and parts of protocols that keep something beside messages."""

import os
import re
import socket
import ssl
import time
from contextlib import suppress

from ..server import Server
from ..world import PUBLIC, connect
from . import HTTP, HTTP2_BYTES, MIB, TCP, attack, http2, until
from .http import HOST, crowd
from .rooms import SMALL, drain, member
from .sockets import CERTIFICATE
from .udp import UDP, join

# Of each connection by TLS, as docs/operations.md says.
TLS_BYTES = 5 << 10


def sealed(server: Server, listener: str, source: str) -> ssl.SSLSocket:
    """A connection by TLS, whose socket takes little more before it is read."""
    # Not the default one, which reads all that the machine trusts.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    connection = context.wrap_socket(connect(server.port(listener), source))
    # Not before the handshake, which would take a second.
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL)
    connection.setblocking(False)
    return connection


def send_on(held: list[socket.socket], sent: bytes, end: float) -> None:
    """Sends it on all of them, over and over, as much as each takes."""

    def send() -> None:
        for connection in held:
            with suppress(OSError):
                connection.send(sent)
        time.sleep(0.02)

    until(end, send)


@attack(
    "echo=tls://10.99.0.1:0?" + CERTIFICATE, options=("--max-memory", "16MiB", "--max-handshakes-per-address", "off"), seconds=6,
    memory=32 * MIB + 300 * TLS_BYTES,
)  # fmt: skip
def sealed_echoes_that_nobody_reads(server: Server, end: float) -> list[str]:
    """300 connections by TLS that send to echo and read nothing: ciphertext that waits is in the budget too."""
    held = [sealed(server, "echo=tls", f"10.8.1.{count % 250 + 1}") for count in range(300)]
    send_on(held, b"e" * 15_000 + b"\n", end)
    return []


@attack(
    "echo=tls://10.99.0.1:0?" + CERTIFICATE, options=("--max-memory", "16MiB", "--max-handshakes-per-address", "off"), seconds=6,
    memory=32 * MIB + 600 * TLS_BYTES,
)  # fmt: skip
def records_that_never_end(server: Server, end: float) -> list[str]:
    """600 connections by TLS that announce the longest record and send all but its last byte."""
    held = []
    for count in range(600):
        connection = sealed(server, "echo=tls", f"10.8.{count // 200}.{count % 200 + 1}")
        with suppress(OSError):
            # Past TLS: what its library would write is whole.
            os.write(connection.fileno(), b"\x17\x03\x03\x40\x00" + b"z" * 16383)
        held.append(connection)
    time.sleep(max(0.0, end - time.monotonic()))
    return []


def websocket(server: Server, source: str) -> socket.socket:
    connection = connect(server.port("echo=ws"), source, receives=SMALL)
    connection.sendall(
        b"GET / HTTP/1.1\r\n" + HOST + b"Upgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    connection.recv(1000)
    connection.setblocking(False)
    return connection


@attack("echo=ws://10.99.0.1:0", options=("--max-memory", "16MiB"), seconds=6, memory=32 * MIB)
def websockets_that_nobody_reads(server: Server, end: float) -> list[str]:
    """400 WebSockets, of which half send messages to echo and read nothing, and half never end a message of fragments."""
    held = [websocket(server, f"10.8.4.{count % 250 + 1}") for count in range(400)]
    # A mask of zeros leaves a payload as it is.
    for connection in held[200:]:
        with suppress(OSError):
            connection.send(b"\x02\xfe\x7d\x00\0\0\0\0" + b"f" * 32_000 + b"\x00\xfe\x7d\x00\0\0\0\0" + b"f" * 32_000)
    send_on(held[:200], b"\x82\xfe\x7d\x00\0\0\0\0" + b"e" * 32_000, end)
    return []


@attack(UDP, TCP + "?rate=off", options=("--max-memory", "32MiB"), seconds=8, memory=64 * MIB)
def datagrams_of_members_that_are_not_read(server: Server, end: float) -> list[str]:
    """300 members by UDP that send more than their rate, while members by TCP that read nothing use up the memory."""
    place = (PUBLIC, server.port("rooms=udp"))
    members = [join(server, f"10.8.{8 + count // 250}.{count % 250 + 1}", "hot") for count in range(300)]
    slow = [member(server, "/join hot", receives=SMALL) for _ in range(50)]
    publisher = member(server, "/join hot")
    drain(publisher)

    def flood() -> None:
        for peer in members:
            for _ in range(20):
                with suppress(OSError):
                    peer.sendto(b"u" * 1200, place)

    until(end, flood, lambda: publisher.sendall(b"y" * 1000 + b"\n"))
    # To the end, or they would not be slow.
    del slow
    return []


@attack(TCP + "?rate=off", options=("--max-memory", "32MiB"), seconds=8, memory=64 * MIB)
def histories_asked_for_by_strangers(server: Server, end: float) -> list[str]:
    """Histories fill what they may of the memory, and 900 connections that are in no room ask for them and read nothing."""
    for count in range(80):
        publisher = member(server, f"/join r{count}", source=f"10.8.12.{count + 1}")
        drain(publisher)
        publisher.sendall((b"\x02" * 900 + b"\n") * 256)
    held = [member(server, "/format json", "/leave lobby", receives=SMALL) for _ in range(900)]
    numbers = iter(range(1 << 30))

    def ask() -> None:
        for connection in held:
            with suppress(OSError):
                connection.setblocking(False)
                connection.send(b"/history r%d 256\n" % (next(numbers) % 80))
        time.sleep(0.05)

    until(end, ask)
    return []


@attack(HTTP, options=("--max-memory", "32MiB"), seconds=6, memory=128 * MIB)
def trailers_without_their_ends(server: Server, end: float) -> list[str]:
    """2,000 connections with a short body in chunks, and behind it trailers that go on and on."""
    head = b"POST /rooms/hot HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n"
    crowd(server, end, 130, head + b"x: " + b"t" * 12_000, head + b"x: y\r\n" * 90 + b"z: " + b"t" * 10_000)
    return []


@attack(HTTP, options=("--max-memory", "32MiB"), seconds=6, memory=32 * MIB + 2000 * HTTP2_BYTES)
def half_a_head_of_http2(server: Server, end: float) -> list[str]:
    """2,000 HTTP/2 connections whose heads have not come to their ends, and frames of no known kind that lack a byte."""
    fields = http2.head("/") + b"".join(http2.field(f"x{count}", "y" * 20) for count in range(300))
    half = http2.hello() + http2.frame(http2.HEADERS, 0, 1, fields[:16_000])
    unknown = http2.hello() + http2.frame(0x42, 0, 1, b"u" * 16_000)[:-1]
    crowd(server, end, 180, half, unknown)
    return []
