"""Attacks on who may do what: tokens that are nobody's, names that are somebody's, and whoever comes and shows nothing."""

import socket
import threading
import time
from contextlib import suppress
from pathlib import Path

from ..server import Server
from ..world import PUBLIC, connect
from . import HTTP, MIB, TCP, attack, until
from .edges import TLS_BYTES, sealed
from .sockets import CERTIFICATE, still_open

FILE = str(Path(__file__).resolve().parents[1] / "credentials.toml")
RULES = ("--config", FILE)
ALICE = "attack-token-of-alice"
WAITING = 2_000
# Of those by TLS, which cost their client more than the server.
SEALED = 500
# The second in which they are closed, and the time to finish.
CLOSED_S = 10 + 2 + 1


def _told(connection: socket.socket, least: int = 1) -> bytes:
    told = b""
    while told.count(b"\n") < least and (more := connection.recv(MIB)):
        told += more
    return told


def _post(server: Server, path: str, headers: str) -> bytes:
    with connect(server.port("rooms=http")) as asking:
        asking.sendall(f"POST {path} HTTP/1.1\r\nHost: {PUBLIC}\r\nConnection: close\r\n{headers}Content-Length: 1\r\n\r\nx".encode("latin-1"))
        answer = b""
        with suppress(OSError):
            while more := asking.recv(MIB):
                answer += more
        return answer


@attack(TCP, HTTP, options=RULES, seconds=5, memory=32 * MIB)
def tokens_that_are_nobodys(server: Server, end: float) -> list[str]:
    """Wrong tokens by lines and by requests, as fast as they are refused: cut off, of odd bytes, two at once, and a megabyte of them in one write."""
    wrong: list[str] = []
    almost = [ALICE[:-1], ALICE + "x", ALICE.upper(), "", "x" * 9_000, "\x01", "%61", f"{ALICE} {ALICE}", "ä"]

    def by_lines() -> None:
        with connect(server.port("rooms=tcp")) as guest:
            guest.sendall("".join(f"/auth {token}\n" for token in almost * 10).encode("latin-1"))
            told = b""
            while more := guest.recv(MIB):
                told += more
            if b"authorized as" in told or b"* closed: auth-failed" not in told:
                wrong.append(f"lines were told {told[:200]!r}")

    def by_requests() -> None:
        for token in almost:
            for headers in (f"Authorization: Bearer {token}\r\n", f"Authorization: Bearer {ALICE}\r\nAuthorization: Bearer {token}\r\n"):
                answer = _post(server, "/rooms/ops.secret", headers)
                if b" 200 " in answer[:20] or b"published" in answer:
                    wrong.append(f"{headers[:60]!r} published")

    until(end, by_lines, by_requests)
    return wrong[:5]


@attack(TCP, HTTP, options=RULES, seconds=4, memory=32 * MIB)
def names_of_somebody(server: Server, end: float) -> list[str]:
    """Strangers ask for a name that is somebody's, in every form and by every way, while its owner comes and goes."""
    wrong: list[str] = []

    def comes_and_goes() -> None:
        with connect(server.port("rooms=tcp")) as alice:
            alice.sendall(f"/auth {ALICE}\n/join lobby\nmine\n".encode())
            _told(alice, 3)

    def by_lines() -> None:
        with connect(server.port("rooms=tcp")) as guest:
            _told(guest)
            for name in ("alice", "ALICE", "alice.2", "Alice.x", "alice."):
                guest.sendall(f"/name {name}\n/ping\n".encode())
                told = _told(guest, 2)
                while b"pong" not in told:
                    told += _told(guest)
                if b"! name-reserved" not in told:
                    wrong.append(f"/name {name}: {told[:100]!r}")

    def by_requests() -> None:
        for name in ("alice", "ALICE", "%61lice", "alice.2"):
            answer = _post(server, f"/rooms/lobby?name={name}", "")
            if b" 403 " not in answer[:20] and b" 429 " not in answer[:20]:
                wrong.append(f"?name={name}: {answer[:100]!r}")

    until(end, comes_and_goes, by_lines, by_requests)
    return wrong[:5]


@attack(TCP + "?auth=required", HTTP + "?auth=required", options=RULES, seconds=CLOSED_S + 1, memory=48 * MIB)
def whoever_shows_nothing(server: Server, end: float) -> list[str]:
    """2,000 connections where a token is needed: silent ones, an /auth that comes a byte a second, and all but the end of the longest frame."""
    began = time.monotonic()
    openings = [b"", b"/", b"x" * 8_191, b"/ping\n" * 7]
    waiting = [connect(server.port("rooms=tcp"), f"10.20.{number // 200}.1") for number in range(WAITING)]
    for number, connection in enumerate(waiting):
        connection.sendall(openings[number % len(openings)])

    def dribble() -> None:
        for letter in b"auth attack-token":
            time.sleep(1)
            for connection in waiting[1 :: len(openings)]:
                with suppress(OSError):
                    connection.send(bytes([letter]))

    threading.Thread(target=dribble, daemon=True).start()
    time.sleep(max(0.0, began + CLOSED_S - time.monotonic()))
    left = sum(still_open(connection) for connection in waiting)
    with connect(server.port("rooms=tcp")) as alice:
        alice.sendall(f"/auth {ALICE}\n/rooms\n/who lobby\n".encode())
        told = b""
        while b"members" not in told and b"member:" not in told and b"! " not in told.split(b"\n", 1)[-1]:
            told += _told(alice)
    wrong = [f"{left} of {WAITING} were still open after {CLOSED_S} s"] if left else []
    if b"1 member: alice" not in told:
        wrong.append(f"somebody had a place without a token: {told!r}")
    return wrong


@attack(
    "rooms=tls://10.99.0.1:0?auth=required&" + CERTIFICATE, options=(*RULES, "--max-handshakes-per-address", "off"), seconds=CLOSED_S + 1,
    memory=32 * MIB + SEALED * TLS_BYTES,
)  # fmt: skip
def whoever_shows_nothing_behind_tls(server: Server, end: float) -> list[str]:
    """500 connections that shake hands by TLS where a token is needed, and stop there."""
    waiting = [sealed(server, "rooms=tls", f"10.20.{number // 200}.2") for number in range(SEALED)]
    time.sleep(CLOSED_S)
    left = sum(still_open(connection) for connection in waiting)
    return [f"{left} of {SEALED} were still open after {CLOSED_S} s"] if left else []
