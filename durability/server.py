"""A server of its own on a data directory, and what is in that directory without one."""

import json
import os
import re
import select
import subprocess
import time

CONFIG = """
listen = ["rooms=http://127.0.0.1:0?rate=off&new-rooms=off"]
history-messages = 100000000
history-bytes = "64GiB"
[rooms.short]
history-messages = 50
"""
# The room of which the newest 50 messages are kept.
SHORT, KEPT = "short", 50
PATIENCE = 20


class Failed(Exception):
    """The server did not do what it has to."""


class Server:
    def __init__(self, program, folder, wrapper=(), environment=None):
        self.program, self.folder = program, folder
        file = folder / "config.toml"
        file.write_text(CONFIG)
        self.log = open(folder / "log", "ab")
        command = [*wrapper, program, "serve", "--config", file, "--data", folder / "data"]
        self.process = subprocess.Popen(
            [str(part) for part in command],
            stdout=subprocess.PIPE,
            stderr=self.log,
            stdin=subprocess.DEVNULL,
            env={**os.environ, **(environment or {})},
        )
        self.port = self._port()

    def _port(self):
        """None if it ends before it listens."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            if select.select([self.process.stdout], [], [], 1)[0]:
                line = self.process.stdout.readline()
                if not line:
                    return None
                found = re.search(rb"http://127\.0\.0\.1:(\d+)", line)
                if found:
                    return int(found[1])
        raise Failed("the server does not start")

    def kill(self):
        self.process.kill()
        self.wait()

    def stop(self):
        """Its exit code."""
        self.process.terminate()
        return self.wait(40)

    def wait(self, patience=PATIENCE):
        """Its exit code; negative: the signal that ended it."""
        try:
            return self.process.wait(patience)
        except subprocess.TimeoutExpired as error:
            self.process.kill()
            self.process.wait()
            raise Failed("the server does not end") from error
        finally:
            self.process.stdout.close()
            self.log.close()


def exported(program, folder, room):
    """The messages of a room as they are on disk; none if there is no such room."""
    command = [str(program), "data", "export", room, "--data", str(folder / "data")]
    result = subprocess.run(command, capture_output=True, timeout=60, check=False)
    # The tables are made by the first commit of all, and the format with them.
    if b"there is no room" in result.stderr or b"its first start did not get so far" in result.stderr:
        return []
    if result.returncode != 0:
        raise Failed(f"data export ended with {result.returncode}: {result.stderr.decode()}")
    return [json.loads(line) for line in result.stdout.splitlines()]


def check(program, folder):
    command = [str(program), "data", "check", "--data", str(folder / "data")]
    result = subprocess.run(command, capture_output=True, timeout=60, check=False)
    if result.returncode != 0:
        raise Failed(f"data check ended with {result.returncode}: {result.stderr.decode()}")
