"""What sharing rooms costs, and what others notice of a node that ends, and of nats-servers that are away: one run for all, so that ratios hold."""

import http.client
import json
import os
import socket
import statistics
import tempfile
import threading
import time
from pathlib import Path

from nemesis.world import World

ROUNDS = 2000
ROOMS = 50
AWAY = 60


def lines_of(connection):
    rest = b""
    while True:
        read = connection.recv(65536)
        if not read:
            return
        *whole, rest = (rest + read).split(b"\n")
        yield from whole


def joined(node, room):
    """A member there who has joined, and what it is told."""
    connection = socket.create_connection((node.address, 8081), timeout=20)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.sendall(f"/format json\n/join {room}\n".encode())
    told = lines_of(connection)
    for line in told:
        if b'"you-joined"' in line and b'"%s"' % room.encode() in line:
            return connection, told
    raise OSError("it has ended")


def told_in(sender, say, told, marks):
    """Seconds from each text to when it is told."""
    times = []
    for number in range(marks):
        text = f"mark-{number}-".encode()
        before = time.perf_counter()
        sender.sendall(say(text))
        for line in told:
            if text in line:
                break
        times.append(time.perf_counter() - before)
    return times


def hop(server):
    """Publish and subscribe at a bare nats-server: by core NATS, without any history."""
    ends = []
    for words in [b"SUB a.b 1\r\n", b""]:
        connection = socket.create_connection((server.address, 4222), timeout=20)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.sendall(b'CONNECT {"verbose":false}\r\n' + words + b"PING\r\n")
        told = lines_of(connection)
        for line in told:
            if b"PONG" in line:
                break
        ends.append((connection, told))
    (subscriber, told), (publisher, _) = ends
    times = told_in(publisher, lambda text: b"PUB a.b %d\r\n%s\r\n" % (len(text), text), told, ROUNDS)
    subscriber.close(), publisher.close()
    return times


def across(world):
    """From a member of one node to one of another."""
    sender, _ = joined(world.nodes[0], "figures")
    member, told = joined(world.nodes[1], "figures")
    times = told_in(sender, lambda text: text + b"\n", told, ROUNDS)
    sender.close(), member.close()
    return times


def milliseconds(times):
    times = sorted(times)
    return f"p50 {statistics.median(times) * 1e3:.2f} ms, p99 {times[len(times) * 99 // 100] * 1e3:.2f} ms, worst {times[-1] * 1e3:.1f} ms"


def rate(world, seconds=10):
    """Messages a second from one node to another, in many rooms at once."""
    counted, stopping = [0] * ROOMS, threading.Event()

    def count(place, told):
        try:
            for line in told:
                counted[place] += b'"text"' in line
        except OSError:
            pass

    members = [joined(world.nodes[1], f"rate-{place}") for place in range(ROOMS)]
    senders = [joined(world.nodes[0], f"rate-{place}") for place in range(ROOMS)]
    for place, (_, told) in enumerate(members):
        threading.Thread(target=count, args=(place, told), daemon=True).start()
    burst = b"".join(b"x%099d\n" % number for number in range(50))

    def send(connection):
        try:
            while not stopping.is_set():
                connection.sendall(burst)
        except OSError:
            pass

    for connection, _ in senders:
        threading.Thread(target=send, args=(connection,), daemon=True).start()
    time.sleep(2)
    before = sum(counted)
    time.sleep(seconds)
    after = sum(counted)
    stopping.set()
    for connection, _ in [*members, *senders]:
        connection.close()
    return (after - before) / seconds


def killed(world):
    """What is told from one node to another, before a third one is killed, and while it is."""
    sender, _ = joined(world.nodes[0], "killed")
    member, told = joined(world.nodes[1], "killed")
    third, _ = joined(world.nodes[2], "killed")
    say = lambda text: text + b"\n"  # noqa: E731
    before = told_in(sender, say, told, ROUNDS)
    threading.Timer(0.2, world.nodes[2].kill).start()
    after = told_in(sender, say, told, ROUNDS)
    for connection in [sender, member, third]:
        connection.close()
    return before, after


def away(world):
    """Memory of a node that is published to as fast as it takes it, while no nats-server is there."""
    node, stopping, told = world.nodes[0], threading.Event(), {"acknowledged": [], 503: 0}

    def flood(number):
        connection = socket.create_connection((node.address, 8081), timeout=20)
        threading.Thread(target=lambda: [None for _ in lines_of(connection)], daemon=True).start()
        connection.sendall(f"/join away-{number}\n".encode())
        try:
            while not stopping.is_set():
                connection.sendall(b"x" * 1000 + b"\n")
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
    from nemesis import stream

    kept = stream.kept(world)
    there = {(room, id): text for room, messages in kept.items() if room.startswith("posted") for id, text in messages}
    lost = [one for one in told["acknowledged"] if there.get(one[:2]) != one[2]]
    return before, most, len(told["acknowledged"]), len(lost), told[503]


def run(options):
    with tempfile.TemporaryDirectory(prefix="switchboard-cluster-") as folder:
        world = World(Path(folder), (options.program, options.nats), options.profile or "memory", 1, options.sync, "off")
        try:
            world.start()
            print(f"load {os.getloadavg()[0]:.0f}, {options.profile or 'memory'}")
            one, two = hop(world.servers[0]), across(world)
            print(f"a hop of core NATS: {milliseconds(one)}")
            print(f"from node to node: {milliseconds(two)}; p50 {statistics.median(two) / statistics.median(one):.2f} x")
            print(f"from node to node, {ROOMS} rooms, 100 bytes: {rate(world):.0f} messages a second", flush=True)
            before, after = killed(world)
            print(f"before a third node is killed: {milliseconds(before)}")
            print(f"while it is: {milliseconds(after)}", flush=True)
        finally:
            world.stop()
    with tempfile.TemporaryDirectory(prefix="switchboard-cluster-") as folder:
        world = World(Path(folder), (options.program, options.nats), "file", 1, options.sync, "off")
        try:
            world.start()
            before, most, acknowledged, lost, refused = away(world)
            print(f"nats-server away for {AWAY} s: {before >> 20} MiB before, at most {most >> 20} MiB; {acknowledged} acknowledged, {lost} of them lost; {refused} told 503")
        finally:
            world.stop()
    return 0
