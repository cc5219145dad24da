"""What must not notice an attack: a connection that asks every 20 ms, and strangers that come for one answer.

They run in a process of their own, ahead of the attackers, with which they share a core.
"""

import multiprocessing
import os
import socket
import time
from contextlib import suppress
from dataclasses import dataclass

from . import world

PAUSE_S = 0.02
# An answer that takes longer counts as this.
PATIENCE_S = 5.0
SOURCE = "10.77.0.1"


@dataclass(frozen=True)
class Seen:
    """Seconds that each answer took."""

    pings: list[float]
    strangers: list[float]

    def describe(self) -> str:
        return f"pings p99 {percentile(self.pings, 99) * 1e3:.1f} ms, strangers at worst {max(self.strangers) * 1e3:.1f} ms"


def percentile(values: list[float], percent: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]


class Control:
    """Runs from its start to its end."""

    def __init__(self, port: int, host: str = world.PUBLIC) -> None:
        self.result, there = multiprocessing.Pipe(duplex=False)
        self.stop = multiprocessing.Event()
        self.process = multiprocessing.Process(target=_run, args=(port, host, self.stop, there), daemon=True)
        self.process.start()

    def end(self) -> Seen:
        self.stop.set()
        if not self.result.poll(3 * PATIENCE_S):
            self.process.kill()
            return Seen([PATIENCE_S], [PATIENCE_S])
        pings, strangers = self.result.recv()
        self.process.join(2)
        return Seen(pings, strangers)


def _run(port: int, host: str, stop, result) -> None:
    # Ahead of the attackers on its core, or it would measure how long it waits for that.
    with suppress(OSError):
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
    pings: list[float] = []
    strangers: list[float] = []
    known = None
    while not stop.is_set():
        try:
            known = known or world.connect(port, SOURCE, host, PATIENCE_S)
            pings.append(_asked(known))
        except OSError:
            pings.append(PATIENCE_S)
            known = None
        began = time.monotonic()
        try:
            with world.connect(port, SOURCE, host, PATIENCE_S) as stranger:
                _asked(stranger)
            strangers.append(time.monotonic() - began)
        except OSError:
            strangers.append(PATIENCE_S)
        stop.wait(PAUSE_S)
    result.send((pings or [PATIENCE_S], strangers or [PATIENCE_S]))


def _asked(connection: socket.socket) -> float:
    began = time.monotonic()
    connection.sendall(b"x\n")
    if not connection.recv(100):
        raise OSError("closed")
    return time.monotonic() - began
