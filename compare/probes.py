"""What a load alone does not show, and so a probe beside it does. Each is given a server that runs, and the load that is made.

What comes of one is what `switchboard bench` says of its run, with what the probe found as `probe`.
"""

import json
import os
import signal
import socket
import struct
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from .servers import Running, Trouble, alone

# One run, connecting included.
LONGEST_S = 120
# An answer that takes longer counts as this.
PATIENCE_S = 5
# What comes before half of the members vanish, and after.
BEFORE_S, AFTER_S = 0.5, 2
# Between two new connections.
PAUSE_S = 0.002
# What the socket of a member that does not read holds; the kernel doubles it.
SMALL_BUFFER = 4096
# Begins a message of `switchboard bench`, and is nowhere else.
PAYLOAD = b"@"


@dataclass(frozen=True)
class Spoken:
    """What a server is told on a connection of one's own, by the protocol of `switchboard bench`."""

    # Is answered.
    hello: bytes
    # Makes a member of the room `bench`.
    join: bytes


SPOKEN = {
    # The welcome is an answer without a question.
    "lines": Spoken(b"", b"/leave\n/join bench\n"),
    "nats": Spoken(b"", b"CONNECT {}\r\nSUB bench 1\r\n"),
    "resp": Spoken(b"PING\r\n", b"*2\r\n$9\r\nSUBSCRIBE\r\n$5\r\nbench\r\n"),
    "mqtt": Spoken(
        b"\x10\x11\0\4MQTT\4\2\0\0\0\5probe",
        b"\x10\x12\0\4MQTT\4\2\0\0\0\6unread\x82\x0a\0\1\0\5bench\0",
    ),
}


@dataclass(frozen=True)
class Load:
    """A program that loads a server from one core, and prints what came of it as JSON."""

    command: list[str]
    core: int
    # What it is for, to be told when it fails.
    title: str

    def start(self) -> subprocess.Popen:
        return subprocess.Popen(
            self.command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=lambda: alone(self.core)
        )

    def run(self) -> dict:
        process = self.start()
        try:
            said, complaints = process.communicate(timeout=LONGEST_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            raise Trouble(f"{self.title}: no end after {LONGEST_S} s: {' '.join(self.command)}") from None
        if process.returncode != 0 or not said.strip():
            raise Trouble(f"{self.title}: {' '.join(self.command)}\n{complaints.strip()}")
        return json.loads(said.strip().splitlines()[-1])

    @property
    def spoken(self) -> Spoken:
        options = dict(zip(self.command, self.command[1:]))
        return SPOKEN[options.get("--protocol", "lines")]


def vanishing(running: Running, load: Load) -> dict:
    """How long new connections wait for their first answer, before and while one of two loads is ended at once."""
    crowds = [load.start(), load.start()]
    try:
        wanted = 2 * int(load.command[load.command.index("--connections") + 1])
        descriptors = Path(f"/proc/{running.process.pid}/fd")
        end = time.monotonic() + LONGEST_S
        while len(os.listdir(descriptors)) < wanted:
            if time.monotonic() > end or any(crowd.poll() is not None for crowd in crowds):
                raise Trouble(f"{load.title}: not all are there: {len(os.listdir(descriptors))} descriptors")
            time.sleep(0.1)
        # For the last of them to join.
        time.sleep(1)
        waits = answers(running.port, load.spoken, BEFORE_S)
        os.kill(crowds[0].pid, signal.SIGKILL)
        waits += answers(running.port, load.spoken, AFTER_S)
        left = len(os.listdir(descriptors))
    finally:
        for crowd in crowds:
            crowd.kill()
            crowd.communicate()
    if left > 0.6 * wanted:
        raise Trouble(f"{load.title}: {left} descriptors are left of {wanted}")
    return {"probe": {"worst_ms": 1000 * max(waits), "connections": len(waits)}}


def answers(port: int, spoken: Spoken, seconds: float) -> list[float]:
    """For so long, one new connection after the other; how long each took from connecting to an answer."""
    waits = []
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        begun = time.monotonic()
        try:
            with socket.create_connection(("127.0.0.1", port), PATIENCE_S) as stream:
                stream.sendall(spoken.hello)
                said = stream.recv(4096)
                # Closed by a reset, or thousands of ports wait for nothing.
                stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        except OSError:
            said = b""
        waits.append(time.monotonic() - begun if said else PATIENCE_S)
        time.sleep(PAUSE_S)
    return waits


def unread(running: Running, load: Load) -> dict:
    """What one more member that never reads does to the others, and to the server's peak of memory."""
    before, peak_before = peaked(running, load)
    with socket.socket() as silent:
        silent.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL_BUFFER)
        silent.connect(("127.0.0.1", running.port))
        silent.sendall(load.spoken.join)
        run, peak = peaked(running, load)
        # Others keep more for it than was sent.
        if waiting(silent).count(PAYLOAD) >= run["sent"] and "{switchboard}" in running.server.command:
            raise Trouble(f"{load.title}: whoever did not read has lost nothing, so the load was too short")
    p99 = [each["latency_us"]["p99"] for each in (before, run)]
    return {**run, "probe": {"latency_ratio": p99[1] / p99[0], "growth_bytes": max(peak - peak_before, 0), "p99_us": p99}}


def waiting(silent: socket.socket) -> bytes:
    """What comes on a connection at last, until nothing does."""
    silent.settimeout(0.5)
    said = b""
    try:
        while more := silent.recv(1 << 20):
            said += more
    except OSError:
        pass
    return said


def peaked(running: Running, load: Load) -> tuple[dict, int]:
    """A run, and the most memory that the server had meanwhile."""
    process = Path(f"/proc/{running.process.pid}")
    # proc(5): the peak begins anew.
    (process / "clear_refs").write_text("5")
    run = load.run()
    lines = (process / "status").read_text().splitlines()
    return run, next(int(line.split()[1]) << 10 for line in lines if line.startswith("VmHWM"))


PROBES = {"vanishing": vanishing, "unread": unread}
