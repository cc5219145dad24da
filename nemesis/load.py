"""Publishers, and members that come, go, and go on at another node, who take down what they do and are told, as checker/ reads it."""

import contextlib
import http.client
import json
import random
import socket
import threading
import time

from durability.load import told_of

ROOMS = ["one", "two", "three"]
PUBLISHERS = 6
FOLLOWERS = 2
MEMBERS = 2
# More of them than names, so that they are sought by several.
NAMES = ["ann", "bob", "eve"]
PATIENCE = 8


def milliseconds():
    return int(time.monotonic() * 1000)


class Load:
    def __init__(self, world, told, seed, has_echo):
        self.world, self.told = world, told
        # Where an epoch may be lost, nobody but its member may have seen a message of its own, and the log has it no more: there they come.
        self.has_echo = has_echo
        self.rng = random.Random(seed)
        self.stopping, self.quiet = threading.Event(), threading.Event()
        self.lock, self.holds = threading.Lock(), {}
        self.gone, self.unknown, self.numbers = set(), 0, 0
        # The last message of each room that is published on purpose, once nothing else is.
        self.closing = {}
        self.are_names_shared = False
        # Where each member is: its room, and the last that it was told.
        self.places = {}
        work = [self.publish] * PUBLISHERS
        work += [self.follow] * FOLLOWERS * len(ROOMS)
        work += [self.take_part] * MEMBERS * len(ROOMS)
        self.threads = []
        for number, act in enumerate(work):
            arguments = (number, ROOMS[number % len(ROOMS)], random.Random(self.rng.random()))
            self.threads.append(threading.Thread(target=act, args=arguments, daemon=True))

    def start(self):
        self.are_names_shared = self.names_are_shared()
        for thread in self.threads:
            thread.start()

    def number(self):
        with self.lock:
            self.numbers += 1
            return self.numbers

    def publish(self, number, _, rng):
        """Posts to all rooms in turn, at one node until that is gone or enough was said there."""
        while not self.quiet.is_set():
            name = f"p{number}-{self.number()}"
            connection = http.client.HTTPConnection(rng.choice(self.world.nodes).address, 8082, timeout=PATIENCE)
            try:
                for _ in range(rng.randrange(5, 100)):
                    if self.quiet.is_set() or not self.post(connection, name, rng.choice(ROOMS), rng):
                        break
                    time.sleep(rng.random() * 0.04)
            except (OSError, http.client.HTTPException, ValueError):
                # What has no outcome is unknown.
                self.unknown += 1
                time.sleep(0.2)
            finally:
                connection.close()

    def post(self, connection, name, room, rng):
        """Says whether it was acknowledged. What was refused may come yet: an answer of a nats-server may be missing."""
        call = next(self.told.calls)
        text = f"{name}-{call}" + "x" * rng.choice([0, 10, 400])
        self.told.note("invoke", call=call, client=name, room=room, text=text)
        connection.request("POST", f"/rooms/{room}", body=text.encode())
        answer = connection.getresponse()
        body = answer.read()
        if answer.status == 200:
            message = json.loads(body)
            self.told.note("ok", call=call, id=message["id"])
            return True
        if answer.status != 503:
            self.told.errors.append(f"a publication was answered by {answer.status}: {body!r}")
        self.told.note("unknown", call=call)
        self.unknown += 1
        time.sleep(0.1)
        return False

    def heard(self, stay, room, message, since):
        """Takes down what a member was told. Says the last id that it knows then."""
        event, shown = message.get("event"), told_of(message)
        if shown:
            self.told.note("told", stay=stay, **shown)
        if event == "you-joined":
            what = {"since": since} if since else {}
            self.told.note("join", stay=stay, room=room, last=message["id"], **what)
            since = since or message["id"]
        elif event == "reset":
            since = f"{message['epoch']}-0"
        elif event == "gap":
            since = f"{since.split('-')[0]}-{message['from_seq'] + message['lost'] - 1}"
        elif shown:
            since = message["id"]
        return since

    def follow(self, number, room, rng):
        """Reads what a room shows, at one node after the other, each time behind what it knows."""
        since = None
        while not self.stopping.is_set():
            stay = f"f{number}-{self.number()}"
            end = time.monotonic() + rng.uniform(0.5, 8)
            head = f"GET /rooms/{room}/messages?follow=1{'&since=' + since if since else ''} HTTP/1.0\r\n\r\n"
            has_joined = False
            with self.connected(rng.choice(self.world.nodes), 8082, head) as connection:
                for line in self.lines(connection, lambda: end):
                    if line.startswith(b"{"):
                        message = json.loads(line)
                        has_joined |= message.get("event") == "you-joined"
                        if has_joined:
                            since = self.heard(stay, room, message, since)
                            self.places[number] = (room, since)
            if has_joined:
                self.told.note("leave", stay=stay)

    @contextlib.contextmanager
    def connected(self, node, port, head):
        """A connection there, on which that is said. What breaks it ends what is done on it."""
        try:
            connection = socket.create_connection((node.address, port), timeout=PATIENCE)
            connection.sendall(head.encode())
            connection.settimeout(0.2)
        except OSError:
            time.sleep(0.1)
            yield None
            return
        with connection, contextlib.suppress(OSError):
            yield connection

    def lines(self, connection, end):
        """What is said there, until it is over or its time is, unless nothing happens any more: then whoever is there stays."""
        rest = b""
        while connection and not self.stopping.is_set() and (self.quiet.is_set() or time.monotonic() < end()):
            try:
                read = connection.recv(65536)
            except TimeoutError:
                yield b""
                continue
            if not read:
                return
            *whole, rest = (rest + read).split(b"\n")
            yield from whole

    def take_part(self, number, room, rng):
        """Joins by TCP, under a name, and publishes there, at one node after the other."""
        since = None
        while not self.stopping.is_set():
            number_of_stay = self.number()
            stay, node = f"m{number}-{number_of_stay}", rng.choice(self.world.nodes)
            name = rng.choice(NAMES) if rng.random() < 0.5 else f"x{number_of_stay}"
            end, lapses = time.monotonic() + rng.uniform(1, 10), node.lapses
            head = f"/format json\n/name {name}\n/join {room}{' since=' + since if since else ''}\n"
            has_joined, own = False, None
            with self.connected(node, 8081, head) as connection:
                try:
                    for line in self.lines(connection, lambda: end if node.lapses == lapses else 0):
                        message = json.loads(line) if line.startswith(b"{") else {}
                        if message.get("event") == "named":
                            own = self.hold(node, lapses, stay, own, message["name"])
                        if message.get("room") == room:
                            has_joined |= message.get("event") == "you-joined"
                            if has_joined:
                                since = self.heard(stay, room, message, since)
                                self.places[number] = (room, since)
                        if has_joined and not self.quiet.is_set() and rng.random() < 0.2:
                            self.say(connection, stay, room, rng)
                finally:
                    # Before it closes: then the name may be another's.
                    self.release(node, stay)
            if own and own.startswith("x"):
                own = own.split("@")[0]
                self.told.note("gone", name=own, at=milliseconds())
                self.gone.add(own)
            if has_joined:
                self.told.note("leave", stay=stay)

    def say(self, connection, stay, room, rng):
        call = next(self.told.calls)
        text = f"{stay}-{call}" + "y" * rng.choice([0, 300])
        self.told.note("invoke", call=call, client=stay, room=room, text=text, **({} if self.has_echo else {"stay": stay}))
        connection.sendall(f"/pub {room} {text}\n".encode())

    def names_are_shared(self):
        """Whether a name that one node has given is given by no other."""
        given = []
        with contextlib.ExitStack() as stack:
            for node in self.world.nodes[:2]:
                connection = stack.enter_context(self.connected(node, 8081, "/format json\n/name probe\n/ping\n"))
                for line in self.lines(connection, lambda: float("inf")):
                    given.append(b'"named"' in line)
                    if b'"pong"' in line:
                        break
        return sum(given) == 1

    def hold(self, node, lapses, stay, before, name):
        # Then it is of this node alone.
        name = name if self.are_names_shared else f"{name}@{node.name}"
        with self.lock:
            # What it was given before something happened to its node may be another's already.
            if node.lapses == lapses:
                if before:
                    self.told.note("release", name=before, holder=stay)
                self.holds[node, stay] = name
                self.told.note("hold", name=name, holder=stay)
        return name

    def release(self, node, stay):
        with self.lock:
            name = self.holds.pop((node, stay), None)
            if name:
                self.told.note("release", name=name, holder=stay)

    def lapse(self, nodes):
        """Something is about to happen to nodes: who is there may lose a name from now on."""
        with self.lock:
            for (node, stay), name in list(self.holds.items()):
                if node in nodes:
                    self.told.note("release", name=name, holder=stay)
                    del self.holds[node, stay]
            for node in nodes:
                node.lapses += 1

    def behind(self):
        """Who has not been told the last message of all."""
        return [place for place in list(self.places.values()) if self.closing.get(place[0]) != place[1]]
