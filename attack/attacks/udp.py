"""Attacks by datagram: forged sources, loops between services, answers that are longer than what was asked."""

import random
import re
import socket
import time
from contextlib import suppress

from ..server import Server
from ..world import PUBLIC
from . import MIB, attack, until

UDP = "rooms=udp://10.99.0.1:0"


def udp(source: str = "") -> socket.socket:
    peer = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    peer.settimeout(0.3)
    if source:
        peer.bind((source, 0))
    return peer


def join(server: Server, source: str, room: str) -> socket.socket:
    """A member by UDP, unless its datagrams are lost too often."""
    place, peer = (PUBLIC, server.port("rooms=udp")), udp(source)
    for _ in range(3):
        with suppress(TimeoutError):
            peer.sendto(b"/join " + room.encode(), place)
            cookie = re.search(rb"cookie=(\w+)", peer.recv(2000))
            if cookie:
                peer.sendto(b"/join " + room.encode() + b" cookie=" + cookie[1], place)
                break
    return peer


@attack(UDP, "rooms=tcp://10.99.0.1:0", seconds=8, memory=32 * MIB)
def forged_sources(server: Server, end: float) -> list[str]:
    """Datagrams from as many sources as one core can forge: strangers that return their cookie still join."""
    place = (PUBLIC, server.port("rooms=udp"))

    def forge() -> None:
        for _ in range(50):
            with udp(f"10.{random.randrange(100, 200)}.{random.randrange(256)}.{random.randrange(1, 255)}") as peer:
                for _ in range(20):
                    peer.sendto(b"/join lobby", place)

    joined = 0

    def join() -> None:
        nonlocal joined
        for count in range(60):
            with udp(f"10.5.{count}.1") as peer:
                for _ in range(4):
                    try:
                        peer.sendto(b"/join lobby", place)
                        cookie = re.search(rb"cookie=(\w+)", peer.recv(2000))
                        if cookie:
                            peer.sendto(b"/join lobby cookie=" + cookie[1], place)
                            peer.recv(2000)
                            joined += 1
                            break
                    except TimeoutError:
                        pass
        time.sleep(max(0.0, end - time.monotonic()))

    until(end, forge, join)
    return [] if joined >= 58 else [f"{joined} of 60 strangers joined"]


@attack(UDP, seconds=3)
def answers_to_a_forged_source(server: Server, end: float) -> list[str]:
    """What an address gets that has shown nothing: never above three times what came from it, nor 64 bytes."""
    wrong = []
    for asked in (b"/join lobby", b"/ping", b"/help", b"/who", b"/rooms", b"/join x cookie=00", b"x", b"/", b"/join " + b"y" * 900):
        with udp("10.6.0.1") as peer:
            peer.sendto(asked, (PUBLIC, server.port("rooms=udp")))
            answered = 0
            try:
                while True:
                    answered += len(peer.recv(70_000))
            except TimeoutError:
                pass
            if answered > min(64, 3 * len(asked)):
                wrong.append(f"{answered} bytes for {asked[:20]!r}")
    return wrong


@attack("echo=udp://127.0.0.1:0?prefix=one%20", "echo=udp://127.0.0.1:0?prefix=two%20", seconds=3)
def two_services_that_answer_each_other(server: Server, end: float) -> list[str]:
    """One datagram that seems to come from the other of two services on loopback: they fall silent."""
    from_port, to_port = (server.port("echo=udp", which) for which in range(2))
    raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_UDP)
    payload = b"hello"
    packet = b"".join(number.to_bytes(2, "big") for number in (from_port, to_port, 8 + len(payload), 0)) + payload
    before = _datagrams()
    raw.sendto(packet, ("127.0.0.1", 0))
    time.sleep(2)
    exchanged = _datagrams() - before
    return [] if exchanged < 1000 else [f"{exchanged} datagrams came of one"]


def _datagrams() -> int:
    """Datagrams that were received in this namespace."""
    lines = [line.split() for line in open("/proc/net/snmp", encoding="ascii") if line.startswith("Udp:")]
    return int(lines[1][lines[0].index("InDatagrams")])
