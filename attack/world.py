"""A network namespace of the run's own, in which any address may be the server's or an attacker's.

Nothing leaves it: there is no other device than loopback. IPv4 addresses of 10.0.0.0/8 and IPv6 addresses of fd00:99::/32 are
all this machine, and none of them is a loopback address, so that a server that listens there has the limits of a public one.
"""

import os
import shutil
import socket
import subprocess
import sys

PUBLIC = "10.99.0.1"
PUBLIC_V6 = "fd00:99::1"
INSIDE = "ATTACK_INSIDE"
SKIPPED = 3
# linux/in6.h and linux/in.h; this Python may have no names for them.
IPV6_FREEBIND = 78
IP_BIND_ADDRESS_NO_PORT = 24


def enter() -> None:
    """Goes on in a namespace of its own. Ends with 3 where the machine may not make one."""
    if os.environ.get(INSIDE):
        return
    unshare = shutil.which("unshare")
    flags = ["--net"] if os.geteuid() == 0 else ["--map-root-user", "--net"]
    if not unshare or subprocess.run([unshare, *flags, "true"], capture_output=True).returncode:
        print("skipped: this machine makes no network namespaces for us")
        sys.exit(SKIPPED)
    os.execve(unshare, [unshare, *flags, sys.executable, *sys.argv], {**os.environ, INSIDE: "1"})


def build() -> None:
    """Brings loopback up, with public addresses."""
    for command in (
        "link set lo up",
        f"address add {PUBLIC}/8 dev lo",
        f"-6 address add {PUBLIC_V6}/128 dev lo",
        "-6 route add local fd00:99::/32 dev lo",
    ):
        subprocess.run(["ip", *command.split()], check=True, capture_output=True)


def connect(port: int, source: str = "", host: str = PUBLIC, timeout: float = 10, receives: int = 0) -> socket.socket:
    """A connection to the server, from an address of one's choice. `receives`: how little its socket takes before it is read."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    connection = socket.socket(family, socket.SOCK_STREAM)
    connection.settimeout(timeout)
    if receives:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receives)
    if source:
        if family == socket.AF_INET6:
            connection.setsockopt(socket.IPPROTO_IPV6, IPV6_FREEBIND, 1)
        connection.setsockopt(socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)
        connection.bind((source, 0))
    connection.connect((host, port))
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection
