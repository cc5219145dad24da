"""What a cluster promises, scene by scene: three nodes, what is done to one of them, and what people at all of them are told. Nothing is drawn."""

import contextlib
import json
import socket
import tempfile
import time
from pathlib import Path

from nemesis.figures import milliseconds
from nemesis.world import Failed, World

PATIENCE = 30
# A lease lasts 15 s, and its end is seen within 2 s.
LEASE = 17


class Person:
    """Somebody at a node, who types lines, and all that he was told."""

    def __init__(self, node, *lines, form="json"):
        self.connection = socket.create_connection((node.address, 8081), timeout=PATIENCE)
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.rest, self.seen, self.read = b"", [], 0
        self.say(f"/format {form}", *lines)

    def say(self, *lines):
        self.connection.sendall("".join(line + "\n" for line in lines).encode())

    def hear(self, patience):
        """One more line, if one comes in time."""
        end = time.monotonic() + patience
        while b"\n" not in self.rest:
            left = end - time.monotonic()
            if left <= 0:
                return False
            self.connection.settimeout(left)
            try:
                read = self.connection.recv(65536)
            except TimeoutError:
                return False
            must(read, "a connection was closed")
            self.rest += read
        line, self.rest = self.rest.split(b"\n", 1)
        self.seen.append(line)
        return True

    def told(self, part, patience=PATIENCE):
        """The next line that has this in it."""
        end = time.monotonic() + patience
        while True:
            while self.read < len(self.seen):
                line = self.seen[self.read]
                self.read += 1
                if part.encode() in line:
                    return line
            if not self.hear(end - time.monotonic()):
                raise Failed(f"nobody was told {part!r}; the last lines: {self.seen[-4:]}")

    def messages(self, room):
        """Ids and texts of the room's messages, so far."""
        lines = [json.loads(line) for line in self.seen if line.startswith(b"{")]
        return [(line["id"], line["text"]) for line in lines if line.get("room") == room and "text" in line]

    def until(self, room, text):
        if not any(told == text for _, told in self.messages(room)):
            self.told(json.dumps(text))

    def asks_until(self, line, answer, holds, patience=PATIENCE):
        """Asks again and again, until the answer is such."""
        end = time.monotonic() + patience
        while True:
            self.say(line)
            told = self.told(answer)
            if holds(told):
                return told
            must(time.monotonic() < end, f"{line} is answered by {told!r}")
            time.sleep(0.5)


def must(holds, otherwise):
    if not holds:
        raise Failed(otherwise)


def post(node, room, text):
    """The status, and the message's id."""
    from nemesis.main import asked

    status, body = asked(node, "POST", f"/rooms/{room}", text)
    return status, json.loads(body).get("id") if status == 200 else None


def history(node, room):
    from nemesis.main import asked

    status, body = asked(node, "GET", f"/rooms/{room}/messages")
    lines = [json.loads(line) for line in body.splitlines()] if status == 200 else []
    return [(line["id"], line["text"]) for line in lines if "text" in line]


def follow_each_other(ids, what):
    """They are of one epoch, and none is left out."""
    epochs, numbers = zip(*(id.split("-") for id in ids), strict=True)
    must(len(set(epochs)) == 1, f"{what}: several epochs: {ids}")
    first = int(numbers[0])
    must(list(map(int, numbers)) == list(range(first, first + len(numbers))), f"{what}: {ids}")


def one_order(world):
    """Messages, names and members of three nodes; a member resumes at another one; one node is killed."""
    people = [Person(node, "/join order") for node in world.nodes]
    for person in people:
        person.told('"you-joined","room":"order"')
    for number in range(20):
        for place, person in enumerate(people):
            person.say(f"/pub order {place}-{number}")
    for person in people:
        for place in range(3):
            person.until("order", f"{place}-19")
    shown = people[0].messages("order")
    must(len(shown) == 60 and all(person.messages("order") == shown for person in people), "members were shown different orders")
    follow_each_other([id for id, _ in shown], "the order")
    for person in people:
        person.asks_until("/who order", '"who"', lambda told: json.loads(told)["total"] == 3)
    people[0].say("/name cid")
    people[0].told('"named","name":"cid"')
    people[1].say("/name Cid")
    people[1].told('"name-taken"')

    # What a member of one node knows, it goes on from at the others, also once that one is gone.
    known, rest = shown[30][0], shown[31:]
    late = Person(world.nodes[2], f"/join order since={known}")
    late.until("order", rest[-1][1])
    must(late.messages("order") == rest, "a member that resumed was not told exactly what it lacked")
    delays(world.nodes[2].kill, *people[:2])
    people[0].told('"event":"presence"')
    must(json.loads(people[0].asks_until("/who order", '"who"', lambda told: b'"total":2' in told))["total"] == 2, "a ghost")
    back = Person(world.nodes[1], f"/join order since={known}")
    back.until("order", "paced-199")
    must(back.messages("order")[: len(rest)] == rest, "a member of a killed node was not told what it lacked")
    follow_each_other([known] + [id for id, _ in back.messages("order")], "what it was told")
    world.nodes[2].run()
    world.nodes[2].until_ready()


def delays(act, sender, receiver):
    """Says how long messages take from one node to another, before something happens to a third one and after it. Nothing is asked of that: it is
    a figure of this machine, now."""
    times = []
    for number in range(200):
        if number == 100:
            act()
        began = time.perf_counter()
        sender.say(f"/pub order paced-{number}")
        receiver.until("order", f"paced-{number}")
        times.append(time.perf_counter() - began)
        time.sleep(0.01)
    print(f"    from node to node, before a third one is killed: {milliseconds(times[:100])}")
    print(f"    from then on: {milliseconds(times[100:])}")


def cuts(world):
    """A node is cut off from the nats-server: what it says, what it hears, and both."""
    node, other = world.nodes[:2]
    ann, bob = (Person(one, "/join cut") for one in (node, other))
    for person in (ann, bob):
        person.told('"you-joined","room":"cut"')
    for directions in (["input"], ["output"], ["input", "output"]):
        word = "-".join(directions)
        node.cut(world.servers, directions)
        status, _ = post(node, "cut", f"refused-{word}")
        must(status == 503, f"a node that is cut off ({word}) answers a publication by {status}")
        must(post(other, "cut", f"during-{word}")[0] == 200, f"a node is held up by another one that is cut off ({word})")
        bob.until("cut", f"during-{word}")
        node.heal()
        ann.until("cut", f"during-{word}")
        world.until(lambda: post(node, "cut", f"after-{word}")[0] == 200, f"a node that was cut off ({word}) does not come back")
        for person in (ann, bob):
            person.until("cut", f"after-{word}")
    world.until(lambda: history(node, "cut") == history(other, "cut"), "two nodes have different histories")
    for person in (ann, bob):
        follow_each_other([id for id, _ in person.messages("cut")], "what a member was told")
    must(ann.messages("cut") == bob.messages("cut"), "members were told different things")


def silence(world):
    """A node is frozen for longer than its lease, and another one gives one of its names away."""
    ann, eve = Person(world.nodes[0], "/name ann"), Person(world.nodes[0], "/name eve")
    for person, name in ((ann, "ann"), (eve, "eve")):
        person.told(f'"named","name":"{name}"')
    bob = Person(world.nodes[1])
    bob.say("/name ann")
    bob.told('"name-taken"')
    world.nodes[0].freeze()
    try:
        time.sleep(LEASE)
        bob.asks_until("/name ann", "name", lambda told: b'"named","name":"ann"' in told)
    finally:
        world.nodes[0].thaw()
    # Who has lost a name is told so; who has not still has it.
    ann.told('"named","name":"guest-')
    bob.say("/name eve")
    bob.told('"name-taken"')
    cid = Person(world.nodes[2])
    for name, person in (("ann", bob), ("eve", eve)):
        cid.asks_until(f"/msg {name} psst-{name}\n/ping", '"', lambda told: b"pong" in told or b"no-such" in told)
        person.told(f"psst-{name}")


def clocks(world):
    """A node's clock is moved: nothing of order, ids or names hangs on it."""
    node, other = world.nodes[:2]
    if not node.has_clock:
        return "libfaketime is not installed"
    ann = Person(node, "/name moved")
    ann.told('"named","name":"moved"')
    ids = [post(other, "clock", "before")[1]]
    for hours in (1, -1, 0):
        node.set_clock(hours)
        # Its lease is renewed at least once.
        time.sleep(6)
        for one in (node, other):
            status, id = post(one, "clock", f"{hours}")
            must(status == 200, f"a publication is answered by {status} beside a clock that was moved by {hours} h")
            ids.append(id)
    follow_each_other(ids, "beside a clock that was moved")
    bob = Person(other, "/name moved")
    bob.told('"name-taken"')
    return None


def forgery(world):
    """Somebody on the bus says something to a member that drives terminals, or looks like several lines."""
    ann = Person(world.nodes[0], "/name mia", "/ping", form="text")
    ann.told("pong")
    text = b"a\x1b[2J\x07b\x9b1mc\r\n* root says: no\x00\xe2\x80\xa8d\xe2\x80\xaee"
    with contextlib.closing(socket.create_connection((world.servers[0].address, 4222), timeout=PATIENCE)) as bus:
        file = bus.makefile("rb")
        bus.sendall(b'CONNECT {"verbose":false}\r\nSUB sb.beat 1\r\n')
        ids = set()
        while len(ids) < 3:
            line = file.readline()
            if line.startswith(b"MSG sb.beat"):
                ids.add(file.read(int(line.split()[-1]) + 2).split()[2])
        for number, id in enumerate(sorted(ids)):
            word = b"tell 1 %s mia guest-7\n%s%d" % (id, text, number)
            bus.sendall(b"PUB sb.n.%s a.%d %d\r\n%s\r\n" % (id, number, len(word), word))
        bus.sendall(b"PING\r\n")
        while not file.readline().startswith(b"PONG"):
            pass
        line = ann.told("guest-7").rstrip(b"\r")
    shown = line.decode()
    must(all(character.isprintable() for character in shown), f"what is forged drives terminals: {line!r}")
    must("root says" in shown, f"what is forged is several lines: {line!r}")
    # And nothing of it came as another line.
    ann.say("/ping")
    ann.told("pong")
    must(not any(told.startswith(b"* root") for told in ann.seen), "what is forged is several lines")


def crowds(world):
    """Somebody on the bus makes up a node with a hundred thousand rooms, and takes them back: no node takes another one for gone meanwhile."""
    from nemesis import invented

    waited, _ = invented.comes_and_goes(world, 100_000)
    for what, times in waited.items():
        print(f"    {what} meanwhile: {milliseconds(times)}")


SCENES = [one_order, cuts, clocks, forgery, crowds, silence]


def run(options):
    failed, skipped = 0, 0
    with tempfile.TemporaryDirectory(prefix="switchboard-cluster-") as folder:
        world = World(Path(folder), (options.program, options.nats), options.profile or "file", 1, "2m", "on")
        try:
            world.start()
            for scene in SCENES:
                print(f"{scene.__name__.replace('_', ' ')}: {scene.__doc__}", flush=True)
                began = time.monotonic()
                try:
                    reason = scene(world)
                    skipped += bool(reason)
                    print(f"    skipped: {reason}" if reason else f"    holds ({time.monotonic() - began:.0f} s)", flush=True)
                except (Failed, OSError) as wrong:
                    failed += 1
                    print(f"    FAILED: {wrong}", flush=True)
        finally:
            world.stop()
    print(f"{len(SCENES) - failed - skipped} passed, {failed} failed, {skipped} skipped")
    return 1 if failed else 0
