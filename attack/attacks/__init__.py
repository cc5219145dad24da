"""The attacks, by what they attack. Each is a function that attacks until a moment, and says what went wrong beside the delay and
the memory, which are measured for all of them alike.
"""

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from ..server import Server

# What every server here has beside what is attacked, for the control connections.
ECHO = "echo=tcp://10.99.0.1:0"
TCP = "rooms=tcp://10.99.0.1:0"
HTTP = "rooms=http://10.99.0.1:0"
MIB = 1 << 20

# Of each connection, as docs/operations.md says.
CONNECTION_BYTES = 1400
HTTP2_BYTES = 22 << 10
# Of the program itself, which is mapped as it is used.
PROGRAM_BYTES = 4 << 20

Act = Callable[[Server, float], list[str]]


@dataclass(frozen=True)
class Attack:
    name: str
    # What it does, and what it must not come to.
    what: str
    act: Act
    listeners: tuple[str, ...]
    options: tuple[str, ...]
    seconds: float
    # By how much resident memory may grow; nothing is asked where it is 0.
    memory: int
    # The same for what is left a second later.
    settled: int
    # The server's limit of descriptors, if not this machine's.
    files: int
    # Where the server logs to, if not to a file that the attack may read.
    log: str
    # Whether strangers must wait, as when the server is frozen or has no descriptor left.
    excused: bool


ALL: list[Attack] = []


def promised(memory_mib: int, connections: int, each: int = CONNECTION_BYTES) -> int:
    """What a server may grow by with so much for `--max-memory`, as docs/operations.md says: as much again as half of it is the allocator's."""
    return memory_mib * MIB * 3 // 2 + connections * each + PROGRAM_BYTES


def attack(
    *listeners: str, options: tuple[str, ...] = (), seconds: float = 4, memory: int = 0, settled: int = 0, files: int = 0,
    log: str = "", excused: bool = False,
) -> Callable[[Act], Act]:
    """Lists a function as an attack on a server with these listeners. Its name and its first sentence are what is shown."""

    def listed(act: Act) -> Act:
        what = " ".join((act.__doc__ or "").split())
        name = act.__name__.replace("_", " ")
        ALL.append(Attack(name, what, act, (ECHO, *listeners), options, seconds, memory, settled, files, log, excused))
        return act

    return listed


def until(end: float, *acts: Callable[[], None]) -> None:
    """Repeats each of `acts` on a thread of its own until `end`; one that fails, as when it is shut out, begins again."""

    def repeat(act: Callable[[], None]) -> None:
        while time.monotonic() < end:
            with suppress(OSError):
                act()
                continue
            time.sleep(0.01)

    threads = [threading.Thread(target=repeat, args=(act,), daemon=True) for act in acts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, end - time.monotonic()) + 0.5)


from . import credentials, edges, http, little, rooms, sockets, udp  # noqa: E402, F401  (they list themselves)
