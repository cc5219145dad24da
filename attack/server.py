"""A `switchboard serve` that runs for one attack."""

import os
import re
import resource
import signal
import subprocess
import tempfile
import threading
from pathlib import Path

# As the unit in docs/operations.md has it: without it glibc keeps what it was once asked for.
TUNABLES = {"GLIBC_TUNABLES": "glibc.malloc.mmap_threshold=131072"}
# The core of the server; what attacks it has the last one.
CORE = min(os.sched_getaffinity(0))
LINE = re.compile(r"^(\w+)\s+(\w+)://(\S+)")


class Server:
    """The program, its real ports, what it logs and how much memory it holds."""

    def __init__(
        self, program: Path, listeners: tuple[str, ...], options: tuple[str, ...] = (), files: int = 0, log: str = ""
    ) -> None:
        self.folder = tempfile.TemporaryDirectory(prefix="attack-")
        self.log = Path(log or f"{self.folder.name}/log")
        arguments = ["serve", "--workers", "1", *options]
        arguments += [listener.replace("{folder}", self.folder.name) for listener in listeners]

        def prepare() -> None:
            if files:
                resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))
            os.sched_setaffinity(0, {CORE})

        self.process = subprocess.Popen(
            [program, *arguments],
            stdout=subprocess.PIPE,
            stderr=self.log.open("wb"),
            text=True,
            env={**os.environ, **TUNABLES},
            preexec_fn=prepare,
        )
        self.ports: dict[str, list[int]] = {}
        assert self.process.stdout
        for _ in listeners:
            line = self.process.stdout.readline()
            match = LINE.match(line)
            if not match:
                raise RuntimeError(f"the server did not start: {line}{self.log.read_text()}")
            service, scheme, place = match.groups()
            port = place.split("?")[0].rsplit(":", 1)[-1]
            self.ports.setdefault(f"{service}={scheme}", []).append(int(port) if port.isdigit() else 0)
        self.before = self.resident()
        self.peak = self.before
        self.ended = threading.Event()
        self.watcher = threading.Thread(target=self._watch, daemon=True)
        self.watcher.start()

    def port(self, listener: str, which: int = 0) -> int:
        return self.ports[listener][which]

    def resident(self) -> int:
        """Bytes of memory that the server holds, shared libraries and all."""
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS"):
                return int(line.split()[1]) << 10
        return 0

    def cpu_seconds(self) -> float:
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def logged(self) -> bytes:
        return self.log.read_bytes()

    def runs(self) -> bool:
        return self.process.poll() is None

    def _watch(self) -> None:
        while not self.ended.wait(0.02):
            try:
                self.peak = max(self.peak, self.resident())
            except OSError:
                return

    def stop(self) -> int | None:
        """Ends it, politely at first, and says with which code; none if it had to be killed."""
        self.ended.set()
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            # Connections that attackers still hold have the grace period; nobody waits for it here.
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            return None
        finally:
            self.folder.cleanup()
