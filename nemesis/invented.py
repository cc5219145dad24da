"""A node that somebody makes up on the bus, with very many rooms, and how long those at a true node wait while it comes and goes."""

import contextlib
import json
import threading
import time

from nemesis.figures import Line, bare, joined
from nemesis.scenes import Person, must

A_WORD = 2500
LISTS = 2000


def words(rooms):
    """What it says of its rooms."""
    for version, first in enumerate(range(0, rooms, A_WORD), 1):
        lines = "".join(f"f{number:07} 1 0 0 0\n" for number in range(first, min(first + A_WORD, rooms)))
        yield f"news 1 00aa {version}\n{lines}".encode()


def known(node):
    """Rooms that a node knows, those of other nodes too."""
    from nemesis.main import asked

    status, body = asked(node, "GET", "/rooms?limit=1")
    return json.loads(body)["total"] if status == 200 else 0


class Asking:
    """Somebody at a node who asks again and again, and how long each answer takes."""

    def __init__(self, node, question, answer):
        self.node, self.question, self.answer, self.times = node, question, answer, []
        self.stopping, self.thread = threading.Event(), threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        with contextlib.closing(joined(self.node, [b"asking"])) as line:
            while not self.stopping.wait(0.02):
                began = time.perf_counter()
                line.say(self.question)
                line.until(self.answer)
                self.times.append(time.perf_counter() - began)

    def stop(self):
        self.stopping.set()
        self.thread.join(60)
        return self.times


class Coming(Asking):
    """The same of strangers, who connect, and join."""

    def __init__(self, node):
        super().__init__(node, b"/format json\n/join asking\n", b'"you-joined","room":"asking"')

    def run(self):
        while not self.stopping.wait(0.02):
            began = time.perf_counter()
            with contextlib.closing(Line(self.node.address, 8081, self.question)) as line:
                line.until(self.answer)
            self.times.append(time.perf_counter() - began)


def comes_and_goes(world, rooms):
    """How long answers of the first node take meanwhile, and its memory with these rooms. The second one does not count it as gone."""
    node, other = world.nodes[:2]
    here, there = (Person(one, "/join beating") for one in (node, other))
    for person in (here, there):
        person.told('"you-joined","room":"beating"')
    there.asks_until("/who beating", '"who"', lambda told: b'"total":2' in told)
    said, bus = list(words(rooms)), bare(world.servers[0])

    def say(word):
        bus.say(b"PUB sb.beat %d\r\n%s\r\n" % (len(word), word))

    asking = {"/join": Coming(node), "/rooms": Asking(node, b"/rooms\n", b'"rooms"'), "/ping": Asking(node, b"/ping\n", b"pong")}
    for place, word in enumerate(said):
        say(word)
        # What waits to be heard is bounded, and dropped beyond that.
        if place % 50 == 49 or place == len(said) - 1:
            least = min((place + 1) * A_WORD, rooms)
            world.until(lambda least=least: all(known(one) >= least for one in (node, other)), "rooms of another node are not known")
    most = node.resident()
    for _ in range(LISTS):
        say(b"rooms 1 00ab 1 * *\n")
    say(b"rooms 1 00aa %d * *\n" % (len(said) + 1))
    world.until(lambda: all(known(one) < rooms // 2 for one in (node, other)), "rooms that are gone are known still", 60)
    say(b"bye 1 00aa\n"), say(b"bye 1 00ab\n")
    world.until(lambda: all(known(one) < A_WORD for one in (node, other)), "rooms that are gone are known still", 60)
    times = {what: one.stop() for what, one in asking.items()}
    there.say("/who beating")
    told = there.told('"who"')
    gone = [line for line in there.seen if b'"room":"beating"' in line and b'"left"' in line and b'"left":0' not in line]
    must(b'"total":2' in told and not gone, f"a node was counted as gone meanwhile: {gone} {told!r}")
    bus.close()
    return times, most
