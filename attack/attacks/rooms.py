"""Attacks by lines: what one member of rooms can do to the others."""

import itertools
import socket
import threading
import time

from ..server import Server
from ..world import PUBLIC, connect
from . import HTTP, MIB, TCP, attack, until

SMALL = 4096


def member(server: Server, *commands: str, receives: int = 0, listener: str = "rooms=tcp", source: str = "") -> socket.socket:
    connection = connect(server.port(listener), source, receives=receives)
    for command in commands:
        connection.sendall(command.encode() + b"\n")
    return connection


def drain(connection: socket.socket) -> None:
    """Reads, and forgets, what comes, until the end."""

    def read() -> None:
        try:
            while connection.recv(MIB):
                pass
        except OSError:
            pass

    threading.Thread(target=read, daemon=True).start()


def followed(server: Server, room: str) -> None:
    follower = connect(server.port("rooms=http"))
    follower.sendall(b"GET /rooms/%s/messages?follow=1 HTTP/1.1\r\nHost: %s\r\n\r\n" % (room.encode(), PUBLIC.encode()))
    drain(follower)


def _publish(server: Server, end: float, line: bytes, publishers: int = 1) -> None:
    rooms = [member(server, "/join hot") for _ in range(publishers)]
    followed(server, "hot")
    for publisher in rooms:
        drain(publisher)
    until(end, *(lambda publisher=publisher: publisher.sendall(line) for publisher in rooms))


@attack(TCP, HTTP, options=("--max-memory", "64MiB"), seconds=6, memory=96 * MIB)
def lines_that_are_dear_to_encode(server: Server, end: float) -> list[str]:
    """64 KiB lines of control characters, as fast as they are taken, into a room that is told as JSON."""
    _publish(server, end, b"\x01" * 65000 + b"\n")
    return []


@attack(TCP, HTTP, options=("--max-memory", "64MiB"), seconds=6, memory=96 * MIB)
def long_lines(server: Server, end: float) -> list[str]:
    """64 KiB lines of letters from four publishers, into a room that is told as JSON."""
    _publish(server, end, b"a" * 65000 + b"\n", publishers=4)
    return []


@attack(TCP, HTTP, options=("--max-memory", "64MiB"), seconds=4, memory=96 * MIB)
def quotes_for_every_format(server: Server, end: float) -> list[str]:
    """Lines of quotes into a room with members that are told as text, JSON and raw."""
    for format in ("text", "json", "raw"):
        drain(member(server, "/join hot", f"/format {format}"))
    _publish(server, end, b'"\\' * 32000 + b"\n", publishers=2)
    return []


@attack(TCP + "?rate=off", seconds=4, memory=64 * MIB)
def empty_lines(server: Server, end: float) -> list[str]:
    """Line ends alone, 64 Ki a write, into a room with 200 members."""
    for _ in range(200):
        drain(member(server, "/join hot"))
    publisher = member(server, "/join hot")
    drain(publisher)
    until(end, lambda: publisher.sendall(b"\n" * 65536))
    return []


@attack(TCP, seconds=5, memory=64 * MIB)
def lists_of_thousands(server: Server, end: float) -> list[str]:
    """`/who`, `/rooms` and `/help` without pause, in a room of 900 members beside 5,000 rooms, whose answers nobody reads."""
    held = [member(server, "/join crowd", *(f"/join r{count * 5 + room}" for room in range(5))) for count in range(900)]
    for one in held:
        drain(one)
    askers = [member(server, "/join crowd", receives=SMALL) for _ in range(10)]
    until(end, *(lambda asker=asker: asker.sendall(b"/who\n/rooms\n/help\n" * 200) for asker in askers))
    return []


@attack(TCP, options=("--max-memory", "16MiB"), seconds=6, memory=40 * MIB)
def replays_that_nobody_reads(server: Server, end: float) -> list[str]:
    """100 members that ask again and again for a whole history, which the room turns over, and read nothing."""
    publisher = member(server, "/join hot")
    drain(publisher)
    slow = [member(server, "/join hot", receives=SMALL) for _ in range(100)]

    def ask() -> None:
        for one in slow:
            one.sendall(b"/leave hot\n/join hot since=0-0\n")
        publisher.sendall((b"x" * 1000 + b"\n") * 256)
        time.sleep(0.05)

    for one in slow:
        one.settimeout(0.2)
    until(end, ask)
    return []


@attack(TCP + "?rate=off&overflow=drop-newest", options=("--max-memory", "32MiB"), seconds=8, memory=64 * MIB)
def pasts_behind_one_that_nobody_reads(server: Server, end: float) -> list[str]:
    """Members that ask for ten rooms' histories, read nothing, and leave the rooms to turn them over."""
    rooms = [f"r{count}" for count in range(10)]
    publishers = [member(server, f"/join {room}", source=f"10.4.9.{count + 1}") for count, room in enumerate(rooms)]
    for publisher in publishers:
        drain(publisher)
    # As JSON, so that ten are more than a socket takes.
    asks = b"/format json\n" + b"".join(b"/join %s since=0-0\n/leave %s\n" % (room.encode(), room.encode()) for room in rooms)
    held = []
    while time.monotonic() < end and len(held) < 250:
        for publisher in publishers:
            publisher.sendall((b"\x01" * 1000 + b"\n") * 260)
        held.append(member(server, receives=SMALL))
        held[-1].sendall(asks)
        time.sleep(0.02)
    return []


@attack(TCP + "?rate=off", options=("--max-memory", "32MiB"), seconds=8, memory=64 * MIB)
def histories_of_small_messages(server: Server, end: float) -> list[str]:
    """Short messages into as many rooms as can be made: their histories are in the budget, with all that they cost."""
    makers = [member(server) for _ in range(20)]
    for maker in makers:
        drain(maker)
    numbers = itertools.count()

    def fill(maker: socket.socket) -> None:
        room = f"h{next(numbers)}"
        maker.sendall(f"/join {room}\n".encode() + f"/pub {room} x\n".encode() * 256 + f"/leave {room}\n".encode())

    until(end, *(lambda maker=maker: fill(maker) for maker in makers))
    return []


@attack(TCP, options=("--max-memory", "16MiB"), seconds=5, memory=16 * MIB + 4000 * 1300 + 8 * MIB)
def a_byte_behind_whole_lines(server: Server, end: float) -> list[str]:
    """4,000 connections that send two long lines and one byte, and say nothing more: each may keep that byte."""
    held = []
    for count in range(4000):
        connection = connect(server.port("rooms=tcp"), f"10.1.{count % 200}.{count % 250 + 1}")
        connection.sendall((b"/auth " + b"x" * 32700 + b"\n") * 2 + b"z")
        held.append(connection)
    time.sleep(max(0.0, end - time.monotonic()))
    return []


@attack(TCP + "?overflow=drop-oldest", seconds=5, memory=64 * MIB)
def private_messages_without_end(server: Server, end: float) -> list[str]:
    """Private messages of 32 KiB to a member that reads 2 MB/s and is to be kept: it stays."""
    reader = member(server, "/name reader", receives=65536)
    reader.settimeout(1)
    lost = []

    def read() -> None:
        try:
            if not reader.recv(100_000):
                raise OSError("closed")
            time.sleep(0.05)
        except TimeoutError:
            pass
        except OSError as error:
            lost.append(str(error))
            raise

    senders = [member(server, f"/name sender{count}") for count in range(4)]
    for sender in senders:
        drain(sender)
    line = b"/msg reader " + b"m" * 32000 + b"\n"
    until(end, read, *(lambda sender=sender: sender.sendall(line) for sender in senders))
    return [f"the member that was to be kept was ended: {lost[0]}"] if lost else []


@attack(TCP, seconds=5, memory=96 * MIB)
def names_that_change(server: Server, end: float) -> list[str]:
    """100 members of a room of 900 who change their names, join and leave as fast as they may."""
    crowd = [member(server, "/join crowd") for _ in range(900)]
    for one in crowd:
        drain(one)
    counts = [0] * 100

    def change(which: int) -> None:
        counts[which] += 1
        crowd[which].sendall(b"/name n%d-%d\n/leave crowd\n/join crowd\n" % (which, counts[which]))
        time.sleep(0.2)

    until(end, *(lambda which=which: change(which) for which in range(100)))
    return []


@attack(TCP + "?rate=off", options=("--max-memory", "32MiB"), seconds=4, memory=64 * MIB)
def members_that_vanish_together(server: Server, end: float) -> list[str]:
    """900 members that read nothing are reset at once, in the middle of a storm of messages."""
    publisher = member(server, "/join hot")
    drain(publisher)
    crowd = [member(server, "/join hot", receives=SMALL) for _ in range(900)]
    half = time.monotonic() + (end - time.monotonic()) / 2
    until(half, lambda: publisher.sendall(b"y" * 200 + b"\n"))
    for one in crowd:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        one.close()
    until(end, lambda: publisher.sendall(b"y" * 200 + b"\n"))
    return []


@attack(TCP, seconds=3)
def a_web_page_that_posts(server: Server, end: float) -> list[str]:
    """Requests as a browser makes them for a foreign page: nothing of them may reach a room or a person."""
    watcher = member(server, "/name watcher", "/join lobby")
    watcher.settimeout(0.5)
    heads = (
        "POST / HTTP/1.1", "GET /?/name%20admin HTTP/1.1", "OPTIONS * HTTP/1.1", "PUT /x HTTP/1.0", "PRI * HTTP/2.0",
        "PATCH http://10.99.0.1/ HTTP/1.1", "post / HTTP/1.1", "FOO / HTTP/1.1",
    )  # fmt: skip
    for head in heads:
        page = member(server)
        page.sendall(f"{head}\r\nHost: 10.99.0.1\r\nCookie: secret=1\r\n\r\n/msg watcher psst\nfrom a page\n".encode())
    for greeting in (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"SSH-2.0-OpenSSH_9.2\r\n", b"EHLO mail.example.org\r\n"):
        page = member(server)
        page.sendall(greeting + b"\nfrom a page\n")
    heard = b""
    try:
        while part := watcher.recv(MIB):
            heard += part
    except TimeoutError:
        pass
    told = [word for word in (b"psst", b"from a page", b"Cookie", b"HTTP/", b"SSH-", b"EHLO") if word in heard]
    return [f"a page was heard: {b', '.join(told).decode()}"] if told else []
