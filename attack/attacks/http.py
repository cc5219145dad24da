"""Attacks by HTTP: answers that nobody takes, requests that never end, streams that are opened to be closed."""

import itertools
import socket
import time
from contextlib import suppress

from ..server import Server
from ..world import PUBLIC, connect
from . import HTTP, HTTP2_BYTES, MIB, TCP, attack, http2, promised, until
from .rooms import drain, member

HOST = b"Host: " + PUBLIC.encode() + b"\r\n"


def get(path: str) -> bytes:
    return b"GET " + path.encode() + b" HTTP/1.1\r\n" + HOST + b"\r\n"


def fill(server: Server, room: str, messages: int = 256, size: int = 900) -> None:
    """A room with a history."""
    publisher = member(server, f"/join {room}")
    drain(publisher)
    publisher.sendall((b"\x02" * size + b"\n") * messages)
    time.sleep(1)


def crowd(server: Server, end: float, network: int, *sent: bytes, count: int = 2000) -> None:
    """So many connections, 50 of an address, that say one thing each and stay."""
    held = []
    for number in range(count):
        if time.monotonic() > end:
            break
        held.append(connect(server.port("rooms=http"), f"10.4.{network + number // 50}.{number % 50 + 1}"))
        # One that is shed is no failure.
        with suppress(OSError):
            held[-1].sendall(sent[number % len(sent)])
    time.sleep(max(0.0, end - time.monotonic()))


@attack(TCP + "?rate=off", HTTP, options=("--max-memory", "64MiB"), seconds=6, memory=96 * MIB)
def histories_over_and_over(server: Server, end: float) -> list[str]:
    """Ten clients that ask for a whole history again as soon as they have it."""
    fill(server, "big")
    clients = [connect(server.port("rooms=http"), f"10.4.0.{count + 1}") for count in range(10)]
    for client in clients:
        drain(client)
    until(end, *(lambda client=client: client.sendall(get("/rooms/big/messages")) for client in clients))
    return []


@attack(TCP + "?rate=off", HTTP, options=("--max-memory", "64MiB"), seconds=6, memory=96 * MIB)
def histories_that_nobody_reads(server: Server, end: float) -> list[str]:
    """100 clients that ask 50 times for a whole history, and read nothing."""
    fill(server, "big")
    clients = [connect(server.port("rooms=http"), f"10.4.1.{count + 1}", receives=4096) for count in range(100)]
    for client in clients:
        client.sendall(get("/rooms/big/messages") * 50)
    time.sleep(max(0.0, end - time.monotonic()))
    return []


@attack(TCP + "?rate=off", HTTP, options=("--max-memory", "64MiB"), seconds=8, memory=96 * MIB)
def closed_windows(server: Server, end: float) -> list[str]:
    """Ten HTTP/2 connections that ask 100 times each for a history, and take not a byte of it."""
    fill(server, "big")
    held = []
    for count in range(10):
        connection = connect(server.port("rooms=http"), f"10.4.2.{count + 1}")
        http2.begin(connection, window=0)
        connection.sendall(b"".join(http2.request(1 + 2 * stream, "/rooms/big/messages") for stream in range(100)))
        held.append(connection)
    time.sleep(max(0.0, end - time.monotonic()))
    return []


@attack(TCP + "?rate=off", HTTP, options=("--max-memory", "32MiB"), seconds=8, memory=64 * MIB)
def tails_that_are_withheld(server: Server, end: float) -> list[str]:
    """HTTP/2 answers of which all but the last few bytes are taken: what is kept of them is that tail."""
    fill(server, "big")
    held = []
    for count in range(4):
        connection = connect(server.port("rooms=http"), f"10.4.3.{count + 1}")
        http2.begin(connection, window=0)
        drain(connection)
        for stream in range(1, 200, 2):
            connection.sendall(http2.request(stream, "/rooms/big/messages"))
            connection.sendall(http2.update(stream, 240_000) + http2.update(0, 240_000))
            time.sleep(0.002)
        held.append(connection)
    time.sleep(max(0.0, end - time.monotonic()))
    return []


@attack(HTTP, options=("--max-memory", "32MiB"), seconds=5, memory=64 * MIB)
def uploads_to_nowhere(server: Server, end: float) -> list[str]:
    """HTTP/2 requests with long bodies for paths that take none, as far as the windows allow."""

    def upload() -> None:
        with connect(server.port("rooms=http"), "10.4.4.1", timeout=2) as connection:
            http2.begin(connection)
            drain(connection)
            for stream in range(1, 40, 2):
                connection.sendall(http2.request(stream, "/rooms/x", "POST", ends=False))
                for _ in range(4):
                    connection.sendall(http2.frame(http2.DATA, 0, stream, b"u" * 16384))

    until(end, *[upload] * 4)
    return []


@attack(HTTP, seconds=5, memory=64 * MIB)
def streams_that_are_reset(server: Server, end: float) -> list[str]:
    """HTTP/2 streams that are opened and reset at once, without end (CVE-2023-44487)."""

    def reset() -> None:
        with connect(server.port("rooms=http"), "10.4.5.1", timeout=2) as connection:
            http2.begin(connection)
            drain(connection)
            for stream in range(1, 20_001, 2):
                stop = http2.frame(http2.RST_STREAM, 0, stream, b"\0\0\0\x08")
                connection.sendall(http2.request(stream, "/rooms/lobby/messages") + stop)

    until(end, *[reset] * 4)
    return []


@attack(HTTP, seconds=5, memory=64 * MIB)
def heads_without_end(server: Server, end: float) -> list[str]:
    """CONTINUATION frames without end, and pings and settings whose answers nobody reads."""

    def go_on() -> None:
        with connect(server.port("rooms=http"), "10.4.6.1", timeout=2, receives=4096) as connection:
            http2.begin(connection)
            connection.sendall(http2.frame(http2.HEADERS, 0, 1, http2.head("/")))
            for _ in range(2000):
                connection.sendall(http2.frame(http2.CONTINUATION, 0, 1, http2.field("x", "y" * 4000)))

    def ask() -> None:
        with connect(server.port("rooms=http"), "10.4.6.2", timeout=2, receives=4096) as connection:
            http2.begin(connection)
            for _ in range(2000):
                connection.sendall((http2.frame(http2.PING, 0, 0, b"12345678") + http2.frame(http2.SETTINGS, 0, 0)) * 50)

    until(end, go_on, go_on, ask, ask)
    return []


@attack(HTTP, seconds=5, memory=64 * MIB)
def queries_that_are_dear(server: Server, end: float) -> list[str]:
    """Requests with thousands of parameters, long paths and hundreds of fields."""
    queries = (
        "/rooms/x/messages?" + "&".join(f"p{count}=1" for count in range(2000)),
        "/rooms/x/messages?" + "&" * 13_000,
        "/rooms/" + "%41" * 4000,
        "/rooms/x/messages?" + "=" * 13_000,
    )
    fields = b"".join(b"x-%d: y\r\n" % count for count in range(90))
    clients = [connect(server.port("rooms=http"), f"10.4.7.{count + 1}") for count in range(8)]
    for client in clients:
        drain(client)
    asked = [b"GET " + query.encode() + b" HTTP/1.1\r\n" + HOST + fields + b"\r\n" for query in queries]

    def ask(which: int) -> None:
        try:
            clients[which].sendall(asked[which % len(asked)])
        except OSError:
            clients[which] = connect(server.port("rooms=http"), f"10.4.7.{which + 1}")
            drain(clients[which])

    until(end, *(lambda which=which: ask(which) for which in range(8)))
    return []


@attack(HTTP, options=("--max-memory", "32MiB"), seconds=6, memory=promised(32, 2000))
def requests_behind_requests(server: Server, end: float) -> list[str]:
    """2,000 connections with 800 requests in 52 KiB each, whose answers, six times as long, nobody reads."""
    crowd(server, end, 10, (b"POST /rooms/hot HTTP/1.1\r\n" + HOST + b"Content-Length: 2\r\n\r\nhi") * 800)
    return []


@attack(HTTP, options=("--max-memory", "32MiB"), seconds=6, memory=promised(32, 2000))
def bodies_without_their_ends(server: Server, end: float) -> list[str]:
    """2,000 connections with 59,000 bytes of a body of 60,000, or in chunks of one byte."""
    head = b"POST /rooms/hot HTTP/1.1\r\n" + HOST
    announced = head + b"Content-Length: 60000\r\n\r\n" + b"u" * 59_000
    chunked = head + b"Transfer-Encoding: chunked\r\n\r\n" + b"1\r\nu\r\n" * 9000
    crowd(server, end, 50, announced, chunked)
    return []


@attack(HTTP, options=("--max-memory", "32MiB"), seconds=6, memory=promised(32, 2000, HTTP2_BYTES))
def requests_that_hold_their_places(server: Server, end: float) -> list[str]:
    """2,000 HTTP/2 connections with 100 requests each, of whose bodies a little comes."""
    requests = (
        http2.request(stream, "/rooms/hot", "POST", ends=False) + http2.frame(http2.DATA, 0, stream, b"u" * 500)
        for stream in range(1, 200, 2)
    )
    crowd(server, end, 90, http2.hello() + b"".join(requests))
    return []


@attack(HTTP, seconds=5, memory=64 * MIB)
def heads_that_come_slowly(server: Server, end: float) -> list[str]:
    """900 requests that grow by a byte at a time."""
    held = [connect(server.port("rooms=http"), f"10.4.8.{count % 250 + 1}") for count in range(900)]
    for connection in held:
        connection.sendall(b"GET / HTTP/1.1\r\n" + HOST)

    def grow() -> None:
        for connection in held:
            connection.sendall(b"x")
        time.sleep(0.1)

    until(end, grow)
    return []


@attack(HTTP, seconds=8, memory=96 * MIB)
def rooms_by_requests(server: Server, end: float) -> list[str]:
    """Requests of one address that make rooms without end: others can make theirs."""
    counts = itertools.count()

    def post() -> None:
        with connect(server.port("rooms=http"), "10.4.9.1", timeout=2) as connection:
            drain(connection)
            while time.monotonic() < end:
                room = f"/rooms/made-{next(counts)}"
                connection.sendall(b"POST " + room.encode() + b" HTTP/1.1\r\n" + HOST + b"Content-Length: 1\r\n\r\nx")

    until(end, post, post)
    with connect(server.port("rooms=http"), "10.4.10.1") as other:
        other.sendall(b"POST /rooms/of-another HTTP/1.1\r\n" + HOST + b"Content-Length: 1\r\nConnection: close\r\n\r\nx")
        answer = other.recv(1000)
    return [] if b" 200 " in answer[:16] else [f"another's room was not made: {answer[:200]!r}"]


@attack(HTTP, seconds=5, memory=64 * MIB)
def fragments_and_pings(server: Server, end: float) -> list[str]:
    """WebSocket messages in fragments of one byte, and pings whose pongs nobody reads."""

    def opened(count: int) -> socket.socket:
        connection = connect(server.port("rooms=http"), f"10.4.11.{count}", receives=4096)
        connection.sendall(
            b"GET /rooms/hot/ws HTTP/1.1\r\n" + HOST + b"Upgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        connection.recv(1000)
        return connection

    # A mask of zeros leaves a payload as it is.
    fragments = b"\x01\x81\0\0\0\0a" + b"\x00\x81\0\0\0\0a" * 2000
    pings = (b"\x89\xfd\0\0\0\0" + b"p" * 125) * 100
    for count, sent in enumerate((fragments, fragments, pings, pings)):
        connection = opened(count + 1)
        until_end = lambda connection=connection, sent=sent: connection.sendall(sent)  # noqa: E731
        until(time.monotonic() + (end - time.monotonic()) / (4 - count), until_end)
    return []


@attack(TCP, HTTP, seconds=4)
def requests_that_hide_another(server: Server, end: float) -> list[str]:
    """Requests whose length two readers may see differently: each is refused, and nothing behind it is served."""
    shapes = {
        "both lengths": b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "two lengths": b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        "a signed length": b"Content-Length: +1\r\n\r\na",
        "a coding that is no coding": b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        "a field that goes on": b"X: a\r\n b\r\nContent-Length: 1\r\n\r\na",
        "space before the colon": b"Content-Length : 1\r\n\r\na",
    }
    wrong = []
    for title, rest in shapes.items():
        with connect(server.port("rooms=http"), "10.4.12.1", timeout=2) as connection:
            connection.sendall(b"POST /rooms/x HTTP/1.1\r\n" + HOST + rest + get("/rooms/hidden/members"))
            answer = b""
            try:
                while part := connection.recv(10_000):
                    answer += part
            except OSError:
                pass
            if not answer.startswith(b"HTTP/1.1 400") or answer.count(b"HTTP/1.1 ") > 1:
                wrong.append(f"{title}: {answer[:12].decode()}, {answer.count(b'HTTP/1.1 ')} answers")
    return wrong
