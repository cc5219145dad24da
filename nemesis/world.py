"""The machines of a run: nats-servers and nodes, each in a network of its own where that can be made, and what can be done to them."""

import contextlib
import json
import os
import re
import select
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

# All that a run makes is in a network of its own, so that nothing of it can be reached from outside, or stays.
NETWORK = "10.77.0"
HERE = f"{NETWORK}.254"
PROFILES = ["memory", "file", "durable"]
PATIENCE = 30
FAKETIME = "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1"

CONFIG = """
listen = ["rooms=http://{address}:8082?rate=off&new-rooms=off", "rooms=tcp://{address}:8081?rate=off&new-rooms=off&echo={echo}"]
history-messages = 100000
history-bytes = "64MiB"
"""

SERVER = """
server_name: {name}
listen: "{address}:4222"
jetstream {{ store_dir: "{data}", max_mem: 2G, max_file: 4G, sync_interval: {sync} }}
"""

ROUTES = """
cluster {{ name: sb, listen: "{address}:6222", routes: [{routes}] }}
"""


class Failed(Exception):
    """Something did not do what it has to."""


def has_networks():
    """Whether this may make networks of its own, and cut them."""
    if os.geteuid() != 0 or not all(map(shutil.which, ["ip", "unshare", "nsenter", "nft"])):
        return False
    return subprocess.run(["unshare", "--net", "--pid", "--fork", "--mount-proc", "true"], capture_output=True, check=False).returncode == 0


class Host:
    """One machine: a network, and one program at a time."""

    def __init__(self, name, number, folder):
        self.name, self.folder = name, folder / name
        self.folder.mkdir()
        self.process = None
        self.log = self.folder / "log"
        self.address = f"{NETWORK}.{number}"
        holder = ["unshare", "--net", "sleep", "infinity"]
        self.holder = subprocess.Popen(holder, stdin=subprocess.DEVNULL)
        own = os.readlink("/proc/self/ns/net")
        while os.readlink(f"/proc/{self.holder.pid}/ns/net") == own:
            time.sleep(0.01)
        self.outer = link = f"v{number}"
        run("ip", "link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", str(self.holder.pid))
        run("ip", "link", "set", link, "master", "bridge", "up")
        inside = f"ip link set lo up && ip addr add {self.address}/24 dev eth0 && ip link set eth0 up"
        run(*self.within("sh", "-c", inside))

    def within(self, *command):
        """A command in its network. The program has the process that is started."""
        return ["nsenter", f"--net=/proc/{self.holder.pid}/ns/net", *command]

    def start(self, command, environment=None, **options):
        log = open(self.log, "ab")
        self.process = subprocess.Popen(
            self.within(*map(str, command)),
            stdin=subprocess.DEVNULL,
            stderr=log,
            env={**os.environ, **(environment or {})},
            **options,
        )
        log.close()

    def is_running(self):
        return self.process is not None and self.process.poll() is None

    def kill(self):
        if self.process is None:
            return
        self.process.kill()
        self.process.wait()
        if self.process.stdout:
            self.process.stdout.close()
        self.process = None

    def freeze(self):
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self):
        self.process.send_signal(signal.SIGCONT)

    def cut(self, others, directions):
        """Drops what comes from others, or goes there, or both."""
        rules = "table ip cut {\n"
        for direction, word in [("input", "saddr"), ("output", "daddr")]:
            if direction in directions:
                names = ", ".join(other.address for other in others if other is not self)
                rules += f"chain {direction} {{ type filter hook {direction} priority 0; ip {word} {{ {names} }} drop; }}\n"
        subprocess.run(self.within("nft", "-f", "-"), input=rules + "}\n", text=True, check=True)

    def link(self, state):
        run(*self.within("ip", "link", "set", "eth0", state))

    def heal(self):
        run(*self.within("nft", "flush", "ruleset"))

    def resident(self):
        """Bytes that it has in memory."""
        try:
            found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{self.process.pid}/status").read_text())
        except (OSError, AttributeError):
            # It has just been killed.
            return 0
        return int(found[1]) * 1024 if found else 0


def run(*command):
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)


class Nats(Host):
    """A nats-server."""

    def __init__(self, number, folder, program, addresses, sync):
        super().__init__(f"s{number}", 10 + number, folder)
        self.program, self.data = program, self.folder / "data"
        text = SERVER.format(name=self.name, address=self.address, data=self.data, sync=sync)
        if len(addresses) > 1:
            text += ROUTES.format(address=self.address, routes=", ".join(f'"nats://{address}:6222"' for address in addresses))
        self.config = self.folder / "config"
        self.config.write_text(text)

    def run(self):
        self.start([self.program, "-c", self.config], stdout=subprocess.DEVNULL)

    @contextlib.contextmanager
    def conversation(self, patience=2):
        """Something to ask JetStream with, again and again."""
        with socket.create_connection((self.address, 4222), timeout=patience) as connection:
            file = connection.makefile("rb")
            file.readline()
            connection.sendall(b'CONNECT {"verbose":false}\r\nSUB a 1\r\n')

            def ask(subject, payload):
                connection.sendall(b"PUB %s a %d\r\n%s\r\n" % (subject.encode(), len(payload), payload))
                while True:
                    line = file.readline()
                    if line.startswith(b"MSG "):
                        return json.loads(file.read(int(line.split()[-1]) + 2))
                    if line.startswith(b"PING"):
                        connection.sendall(b"PONG\r\n")
                    if not line:
                        raise OSError("closed")

            yield ask

    def ask(self, subject, payload=b"{}"):
        """What JetStream answers; None if nobody does."""
        try:
            with self.conversation() as ask:
                return ask(subject, payload)
        except (OSError, ValueError):
            return None


class Node(Host):
    """A switchboard."""

    def __init__(self, number, folder, program, servers, profile, clocks, echo):
        super().__init__(f"n{number}", 20 + number, folder)
        self.program, self.profile, self.has_clock = program, profile, clocks
        self.servers = ",".join(f"nats://{server.address}:4222" for server in servers)
        self.clock = self.folder / "clock"
        self.config = self.folder / "config.toml"
        self.config.write_text(CONFIG.format(address=self.address, echo=echo))
        # How often something has happened to it by which its names may be others' now.
        self.lapses = 0

    def run(self, hours=0):
        environment = {}
        if self.has_clock:
            self.set_clock(hours)
            environment = {
                "LD_PRELOAD": FAKETIME,
                "FAKETIME_TIMESTAMP_FILE": str(self.clock),
                "FAKETIME_CACHE_DURATION": "1",
                "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            }
        command = [self.program, "serve", "--config", self.config, "--cluster", self.servers, "--cluster-profile", self.profile]
        # Unbuffered: it is waited for with `select`.
        self.start(command, environment, stdout=subprocess.PIPE, bufsize=0)

    def set_clock(self, hours):
        self.clock.write_text(f"{hours:+d}h\n" if hours else "+0\n")

    def until_ready(self, patience=PATIENCE):
        """It listens. One that has no leader to ask yet ends, and is started again."""
        end = time.monotonic() + patience
        while time.monotonic() < end:
            if select.select([self.process.stdout], [], [], 0.5)[0]:
                line = self.process.stdout.readline()
                if b"tcp://" in line:
                    return
                if not line:
                    self.kill()
                    time.sleep(0.5)
                    self.run()
        raise Failed(f"{self.name} does not start")


class World:
    """All of them."""

    def __init__(self, folder, programs, profile, server_count, sync, echo):
        self.folder, self.profile = folder, profile
        switchboard, nats = programs
        run("ip", "link", "set", "lo", "up")
        run("ip", "link", "add", "bridge", "type", "bridge")
        run("ip", "addr", "add", f"{HERE}/24", "dev", "bridge")
        run("ip", "link", "set", "bridge", "up")
        addresses = [f"{NETWORK}.{10 + number}" for number in range(1, server_count + 1)]
        self.servers = [Nats(number, folder, nats, addresses, sync) for number in range(1, server_count + 1)]
        clocks = Path(FAKETIME).exists()
        # The last one is for the end: it has seen nothing.
        nodes = [Node(number, folder, switchboard, self.servers, profile, clocks, echo) for number in range(1, 5)]
        self.nodes, self.late = nodes[:3], nodes[3]

    def start(self):
        for server in self.servers:
            server.run()
        self.until(lambda: self.ask("$JS.API.INFO"), "the nats-servers do not start")
        self.nodes[0].run()
        self.nodes[0].until_ready()
        for node in self.nodes[1:]:
            node.run()
        for node in self.nodes[1:]:
            node.until_ready()

    def ask(self, subject, payload=b"{}"):
        """What the first that answers does, and where something is wrong with that, None."""
        for server in self.servers:
            answer = server.ask(subject, payload) if server.is_running() else None
            if answer and "error" not in answer:
                return answer
        return None

    def conversation(self):
        return next(server for server in self.servers if server.is_running()).conversation(10)

    def is_whole(self):
        """The stream has a leader, and its copies are all as far as that one."""
        info = self.ask("$JS.API.STREAM.INFO.SB")
        if not info:
            return False
        copies = (info.get("cluster") or {}).get("replicas") or []
        return all(copy.get("current") and not copy.get("offline") for copy in copies)

    def until(self, holds, otherwise, patience=PATIENCE):
        end = time.monotonic() + patience
        while not holds():
            if time.monotonic() > end:
                raise Failed(otherwise)
            time.sleep(0.1)

    def stop(self):
        for host in [*self.nodes, self.late, *self.servers]:
            host.kill()
            # At once: with its network it goes only when the kernel comes to that.
            run("ip", "link", "delete", host.outer)
            host.holder.kill()
            host.holder.wait()
        run("ip", "link", "delete", "bridge")
