"""What sharing rooms costs, and what others notice of a node that ends, and of nats-servers that are away: one run for all, so that ratios hold."""

import http.client
import json
import os
import re
import select
import socket
import statistics
import tempfile
import threading
import time
from pathlib import Path

from nemesis.world import World

# How often the ways of a message are measured, in turn, and how often each.
TURNS = 20
ROUNDS = 100
ROOMS = 1000
# A connection may join so many rooms at once.
PER_CONNECTION = 20
MANY_ROOMS = 100_000
AWAY = 60
A_MILLION = 1_000_000

# What was measured, and what came of it.
ROWS = []


def tell(what, figure):
    print(f"{what}: {figure}", flush=True)
    ROWS.append((what, figure))


def table():
    """All of it, as documents have it."""
    return "\n".join(["| | |", "|---|---|", *(f"| {what} | {figure} |" for what, figure in ROWS)])


class Line:
    """A connection on which lines come."""

    def __init__(self, address, port, head):
        self.connection = socket.create_connection((address, port), timeout=60)
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.rest = b""
        self.say(head)

    def say(self, said):
        self.connection.sendall(said)

    def until(self, part):
        """Reads as far as the next line that has this in it, and gives that. What comes behind it is kept."""
        while True:
            at = self.rest.find(part)
            end = self.rest.find(b"\n", at) if at >= 0 else -1
            if end >= 0:
                line = self.rest[self.rest.rfind(b"\n", 0, at) + 1 : end]
                self.rest = self.rest[end + 1 :]
                return line
            # Of what was looked through only the last line may go on.
            self.rest = self.rest[self.rest.rfind(b"\n") + 1 :]
            read = self.connection.recv(65536)
            if not read:
                raise OSError("it has ended")
            self.rest += read

    def close(self):
        self.connection.close()


def bare(server, *words):
    """A client of a nats-server."""
    line = Line(server.address, 4222, b'CONNECT {"verbose":false,"headers":true}\r\n' + b"".join(word + b"\r\n" for word in words) + b"PING\r\n")
    line.until(b"PONG")
    return line


def joined(node, rooms, form=b"json"):
    """A member there of all these rooms."""
    line = Line(node.address, 8081, b"/format %s\n" % form + b"".join(b"/join %s\n" % room for room in rooms) + b"/ping\n")
    line.until(b"pong")
    return line


class Crowd:
    """Members of a thousand rooms at one node, a few connections in all."""

    def __init__(self, node, rooms):
        self.rooms = rooms
        self.lines = [joined(node, rooms[at : at + PER_CONNECTION]) for at in range(0, len(rooms), PER_CONNECTION)]

    def close(self):
        for line in self.lines:
            line.close()


class Across:
    """From a member of one node to one of another, in one of a thousand rooms after the other."""

    def __init__(self, name, sender, receiver):
        rooms = [b"%s-%d" % (name.encode(), number) for number in range(ROOMS)]
        self.senders, self.receivers = Crowd(sender, rooms), Crowd(receiver, rooms)
        self.number = 0

    def once(self):
        place = self.number * 7 % ROOMS
        self.number += 1
        text = b"mark-%d-" % self.number
        sender, receiver = (crowd.lines[place // PER_CONNECTION] for crowd in (self.senders, self.receivers))
        began = time.perf_counter()
        sender.say(b"/pub %s %s\n" % (self.senders.rooms[place], text))
        receiver.until(text)
        return time.perf_counter() - began

    def close(self):
        self.senders.close(), self.receivers.close()


class Hop:
    """Publish and subscribe at a bare nats-server, without any history."""

    def __init__(self, server):
        self.subscriber, self.publisher, self.number = bare(server, b"SUB a.b 1"), bare(server), 0

    def publish(self, text):
        self.publisher.say(b"PUB a.b %d\r\n%s\r\n" % (len(text), text))

    def once(self):
        self.number += 1
        text = b"mark-%d-" % self.number
        began = time.perf_counter()
        self.publish(text)
        self.subscriber.until(text)
        return time.perf_counter() - began

    def close(self):
        self.subscriber.close(), self.publisher.close()


class Floor(Hop):
    """The same by a stream as that of rooms: each is kept behind the one before, and told from there. Less than this no node can take."""

    def __init__(self, server):
        config = {"name": "FLOOR", "subjects": ["f.r.>"], "storage": "memory", "max_msgs_per_subject": 256, "republish": {"src": "f.r.>", "dest": "f.l.>"}}
        server.ask("$JS.API.STREAM.CREATE.FLOOR", json.dumps(config).encode())
        self.subscriber, self.publisher, self.number, self.kept = bare(server, b"SUB f.l.> 1"), bare(server, b"SUB i 1"), 0, 0

    def publish(self, text):
        head = b"NATS/1.0\r\nNats-Expected-Last-Subject-Sequence: %d\r\n\r\n" % self.kept
        self.publisher.say(b"HPUB f.r.a i %d %d\r\n%s%s\r\n" % (len(head), len(head) + len(text), head, text))
        self.kept += 1


def milliseconds(times):
    times = sorted(times)
    return f"p50 {statistics.median(times) * 1e3:.2f} ms, p99 {times[len(times) * 99 // 100] * 1e3:.2f} ms, worst {times[-1] * 1e3:.1f} ms"


def latencies(world, beside):
    """By several ways in turn, so that what else the machine does meets all of them."""
    ways = {"a hop of core NATS": Hop(world.servers[0]), "a hop by a stream as that of rooms": Floor(world.servers[0])}
    ways[f"from node to node, {ROOMS} rooms"] = Across("here", *world.nodes[:2])
    if beside:
        ways["the same, of the other program"] = Across("beside", world.nodes[2], world.late)
    times = {name: [] for name in ways}
    for turn in range(TURNS):
        for name, way in ways.items():
            taken = [way.once() for _ in range(ROUNDS)]
            # The first turn warms up.
            times[name] += taken if turn else []
    hop = statistics.median(times["a hop of core NATS"])
    for name, taken in times.items():
        tell(name, f"{milliseconds(taken)}; p50 {statistics.median(taken) / hop:.1f} ×")
    for way in ways.values():
        way.close()


def flow(senders, receivers, bursts, mark, seconds=8):
    """Messages a second, as fast as they are taken."""
    counted, rest = 0, {}
    queues = {line.connection: (b"", burst) for line, burst in zip(senders, bursts, strict=True)}
    readers = [line.connection for line in receivers]
    for connection in [*queues, *readers]:
        connection.setblocking(False)
    began, before = time.monotonic(), None
    while True:
        now = time.monotonic()
        if before is None and now > began + 2:
            began, before = now, counted
        elif before is not None and now > began + seconds:
            return (counted - before) / (now - began)
        readable, writable, _ = select.select([*readers, *queues], list(queues), [], 0.1)
        for connection in readable:
            read = rest.get(connection, b"") + connection.recv(1 << 18)
            if connection in readers:
                *whole, last = read.split(b"\n")
                counted += sum(mark in line for line in whole)
                rest[connection] = last
        for connection in writable:
            left, burst = queues[connection]
            left = left or burst
            queues[connection] = left[connection.send(left) :], burst


def rates(world):
    text = b"x" * 100
    rooms = [b"rate-%d" % number for number in range(ROOMS)]
    senders, receivers = Crowd(world.nodes[0], rooms), Crowd(world.nodes[1], rooms)
    bursts = [b"".join(b"/pub %s %s\n" % (room, text) for room in rooms[at : at + PER_CONNECTION]) for at in range(0, ROOMS, PER_CONNECTION)]
    ours = flow(senders.lines, receivers.lines, bursts, b'"text"')
    senders.close(), receivers.close()
    subscriber, publisher = bare(world.servers[0], b"SUB core.> 1"), bare(world.servers[0])
    burst = b"".join(b"PUB core.%s %d\r\n%s\r\n" % (room, len(text), text) for room in rooms)
    core = flow([publisher], [subscriber], [burst], b"MSG core")
    subscriber.close(), publisher.close()
    tell(f"from node to node, {ROOMS} rooms, 100 bytes", f"{ours:.0f} messages a second")
    tell(f"core NATS, {ROOMS} subjects, without history, one publisher and one subscriber", f"{core:.0f} messages a second")


def killed(world):
    """From one node to another, before a third one is killed, and while it is."""
    sender, member, third = (joined(node, [b"killed"]) for node in world.nodes)
    times = []
    for number in range(4000):
        if number == 2000:
            threading.Timer(0.2, world.nodes[2].kill).start()
        text = b"mark-%d-" % number
        began = time.perf_counter()
        sender.say(b"/pub killed %s\n" % text)
        member.until(text)
        times.append(time.perf_counter() - began)
    for line in (sender, member, third):
        line.close()
    tell("from node to node, before a third node is killed", milliseconds(times[:2000]))
    tell("the same while it is", milliseconds(times[2000:]))


def crowded(world):
    """Two nodes, while somebody on the bus makes up a node with a million rooms, and takes them back."""
    from nemesis import invented

    world.nodes[2].kill()
    before = world.nodes[0].resident()
    times, most = invented.comes_and_goes(world, A_MILLION)
    for what, taken in times.items():
        tell(f"{what} at a node while another one with a million rooms comes and goes", milliseconds(taken))
    tell("memory of the node before, and with these rooms", f"{before >> 20} and {most >> 20} MiB")


def away(world):
    """Memory of a node that is published to as fast as it takes it, while no nats-server is there."""
    from nemesis import stream

    node, stopping, told = world.nodes[0], threading.Event(), {"acknowledged": [], 503: 0}

    def flood(number):
        line = Line(node.address, 8081, f"/join away-{number}\n".encode())
        line.connection.setblocking(False)
        try:
            while not stopping.is_set():
                readable, writable, _ = select.select([line.connection], [line.connection], [], 0.5)
                if readable:
                    line.connection.recv(1 << 16)
                if writable:
                    line.connection.send((b"x" * 1000 + b"\n") * 8)
        except OSError:
            pass

    def post(number):
        count = 0
        while not stopping.is_set():
            connection = http.client.HTTPConnection(node.address, 8082, timeout=20)
            try:
                while not stopping.is_set():
                    count += 1
                    text = f"p{number}-{count}"
                    connection.request("POST", f"/rooms/posted-{number}", body=text)
                    answer = connection.getresponse()
                    body = answer.read()
                    if answer.status == 200:
                        told["acknowledged"].append((f"posted-{number}", json.loads(body)["id"], text))
                    else:
                        told[503] += 1
            except (OSError, http.client.HTTPException):
                pass

    threads = [threading.Thread(target=flood, args=[number], daemon=True) for number in range(40)]
    threads += [threading.Thread(target=post, args=[number], daemon=True) for number in range(10)]
    for thread in threads:
        thread.start()
    time.sleep(5)
    before, most = node.resident(), 0
    for server in world.servers:
        server.kill()
    end = time.monotonic() + AWAY
    while time.monotonic() < end:
        most = max(most, node.resident())
        time.sleep(0.2)
    for server in world.servers:
        server.run()
    time.sleep(10)
    stopping.set()
    time.sleep(8)
    kept = stream.kept(world)
    there = {(room, id): text for room, messages in kept.items() if room.startswith("posted") for id, text in messages}
    acknowledged = told["acknowledged"]
    lost = sum(there.get(one[:2]) != one[2] for one in acknowledged)
    figure = f"{before >> 20} MiB before, at most {most >> 20} MiB; {len(acknowledged)} acknowledged, {lost} of them lost; {told[503]} told 503"
    tell(f"the nats-server ({world.profile}) away for {AWAY} s, 40 connections and 10 publishers by HTTP as fast as they can", figure)


def restarted(world):
    """How long a node with so many rooms takes until it knows what the log has of each, once the nats-server is there again."""
    node, answers = world.nodes[0], 0
    began = time.monotonic()
    connections = []
    for first in range(0, MANY_ROOMS - 10, 2500):
        connection = socket.create_connection((node.address, 8082), timeout=60)
        last = min(first + 2500, MANY_ROOMS - 10)
        posts = b"".join(b"POST /rooms/many-%d HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx" % number for number in range(first, last))
        threading.Thread(target=connection.sendall, args=[posts], daemon=True).start()
        connections.append(connection)
    statuses = dict.fromkeys(connections, b"")
    while answers < MANY_ROOMS - 10 and time.monotonic() < began + 300:
        for connection in select.select(connections, [], [], 1)[0]:
            read = statuses[connection] + connection.recv(1 << 18)
            answers += read.count(b"HTTP/1.1 200")
            statuses[connection] = read[-11:] if b"HTTP/1.1 200" not in read[-11:] else b""
    for connection in connections:
        connection.close()
    print(f"{answers} rooms were made in {time.monotonic() - began:.1f} s; {node.resident() >> 20} MiB", flush=True)
    # They have been looked at twice, and checked.
    time.sleep(12)
    said = node.log.stat().st_size
    world.servers[0].kill()
    time.sleep(3)
    world.servers[0].run()
    world.until(lambda: world.ask("$JS.API.INFO"), "the nats-server does not start")
    began = time.monotonic()
    find = re.compile(rb"rooms were checked.*|log is another one.*")
    found, begun = None, 0
    while time.monotonic() < began + 120:
        found = found or find.search(node.log.read_bytes()[said:])
        if found and b"another" not in found[0]:
            break
        # In memory each room begins anew.
        state = (world.ask("$JS.API.STREAM.INFO.SB") or {}).get("state", {})
        begun = state.get("num_subjects", 0)
        if found and begun >= answers:
            break
        time.sleep(0.05)
    took = time.monotonic() - began
    plain = re.sub(rb"\x1b\[[0-9;]*m", b"", found[0]).decode() if found else "nothing"
    print(f"the node says: {plain}", flush=True)
    what = f"{begun} of them have begun anew" if b"another" in (found[0] if found else b"") else "checked"
    tell(f"{answers} rooms, the nats-server ({world.profile}) restarted: {what}", f"{took:.1f} s behind its return")


def run(options):
    def measure(profile, *parts):
        with tempfile.TemporaryDirectory(prefix="switchboard-cluster-") as folder:
            world = World(Path(folder), (options.program, options.nats), profile, 1, options.sync, "off")
            try:
                if options.beside:
                    world.nodes[2].program = world.late.program = options.beside
                world.start()
                print(f"load {os.getloadavg()[0]:.0f}, {profile}", flush=True)
                for part in parts:
                    part(world)
            finally:
                world.stop()

    def ways(world):
        if options.beside:
            world.late.run()
            world.late.until_ready()
        latencies(world, options.beside)

    measure("memory", ways, rates, killed, crowded)
    for profile in ("file", "memory"):
        measure(profile, restarted)
    measure("file", away)
    print(f"\n{table()}", flush=True)
    return 0
