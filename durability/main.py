"""The rounds: a server under load, its end, and whether what it had said holds."""

import argparse
import functools
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from durability import mutants
from durability.load import ROOMS, Load, Told
from durability.server import KEPT, SHORT, Failed, Server, check, exported

ROOT = Path(__file__).resolve().parents[1]


class Disk:
    """What is in the directory of one room, as if somebody were told of it at each end."""

    def __init__(self, room):
        self.room, self.last = room, 0

    def tell(self, messages, told):
        """Notes what is there now and was not before. What is there once is so for ever."""
        stay, first = f"disk-{self.room}", messages[0]
        if self.last == 0:
            epoch = first["id"].split("-")[0]
            told.note("join", stay=stay, room=self.room, last=f"{epoch}-{first['seq'] - 1}")
            self.last = first["seq"] - 1
        if first["seq"] > self.last + 1:
            told.note("told", stay=stay, from_seq=self.last + 1, lost=first["seq"] - self.last - 1)
        for message in messages:
            if message["seq"] > self.last:
                told.note("told", stay=stay, id=message["id"], text=message["text"])
        self.last = messages[-1]["seq"]

    def kept(self, messages):
        """All of it, as it is in the end: of one room the newest are kept."""
        numbers = [message["seq"] for message in messages]
        gone = numbers[0] - 1 if numbers and self.room == SHORT and numbers[-1] - numbers[0] >= KEPT - 1 else 0
        kept = [{"id": message["id"], "text": message["text"]} for message in messages]
        return json.dumps({"op": "final", "room": self.room, "gone": gone, "kept": kept})


class Rounds:
    """One directory through many ends, and all that its servers have said."""

    def __init__(self, program, folder, rng):
        self.program, self.folder, self.rng = program, folder, rng
        self.told = Told()
        self.disks = [Disk(room) for room in ROOMS]
        self.number = 0

    def judge(self):
        """Has what is on disk held against all that was said."""
        # Nothing is there before the first start got so far.
        if not (self.folder / "data" / "history.db").exists():
            return
        finals = []
        for disk in self.disks:
            messages = exported(self.program, self.folder, disk.room)
            if messages:
                disk.tell(messages, self.told)
            finals.append(disk.kept(messages))
        if self.told.errors:
            raise Failed("; ".join(self.told.errors[:5]))
        history = self.folder / "history.ndjson"
        history.write_text("\n".join([*self.told.lines, *finals]))
        judged = subprocess.run([judge(self.program), history], capture_output=True, text=True, timeout=120, check=False)
        if judged.returncode != 0:
            raise Failed("; ".join(judged.stdout.splitlines()[:5]) or judged.stderr)

    def kill(self):
        """Ends a server in the middle of its work."""
        self.number += 1
        server = Server(self.program, self.folder)
        if server.port is None:
            raise Failed(f"the server ended with {server.wait()} at its start")
        load = Load(server.port, f"k{self.number}", self.told)
        time.sleep(self.rng.uniform(0.05, 0.5))
        server.kill()
        load.stop()
        self.judge()

    def lose_power(self, library):
        """Takes the power away at a write or a sync, of which a second has a few thousand."""
        self.number += 1
        after = int(10 ** self.rng.uniform(0, 3.3))
        environment = {
            "LD_PRELOAD": str(library),
            "POWER_LOSS_DIR": str((self.folder / "data").resolve()),
            "POWER_LOSS_AFTER": str(after),
            "POWER_LOSS_SEED": str(self.rng.randrange(1, 2**32)),
        }
        server = Server(self.program, self.folder, environment=environment)
        load = Load(server.port, f"p{self.number}", self.told) if server.port else None
        code = server.wait(60)
        if load:
            load.stop()
        if code != -9:
            raise Failed(f"the server ended with {code}, before the power did ({after})")
        self.judge()

    def fail_sync(self):
        """Has a sync fail: nothing more is acknowledged, and the server ends by itself."""
        self.number += 1
        self.told.refusal = "unknown"
        server = Server(self.program, self.folder, wrapper=injected("fsync,fdatasync:error=EIO", self.rng.randrange(5, 60)))
        load = Load(server.port, f"s{self.number}", self.told) if server.port else None
        code = server.wait(60)
        if load:
            load.stop()
        if code != 1:
            raise Failed(f"the server ended with {code} after a sync failed")
        self.judge()

    def fill_disk(self):
        """Has the disk full for some writes: publishers are refused meanwhile, and then it goes on."""
        self.number += 1
        first = self.rng.randrange(50, 200)
        wrapper = injected("pwrite64:error=ENOSPC", f"{first}..{first + 2}")
        server = Server(self.program, self.folder, wrapper=wrapper)
        load, before = Load(server.port, f"f{self.number}", self.told), self.told.refused
        self.until(lambda: self.told.refused > before, "nobody was refused")
        known = self.told.acknowledged
        self.until(lambda: self.told.acknowledged > known + 20, "it did not go on")
        code = server.stop()
        load.stop()
        if code != 0:
            raise Failed(f"the server ended with {code}")
        self.judge()

    def until(self, holds, otherwise):
        end = time.monotonic() + 30
        while not holds():
            if time.monotonic() > end:
                raise Failed(otherwise)
            time.sleep(0.02)


def injected(fault, when):
    """Runs a program with a system call that fails, the so-manieth time that one of its threads makes it."""
    return ["strace", "-D", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={fault.split(':')[0]}", "-e", f"inject={fault}:when={when}"]


def library(folder):
    built = folder / "power_loss.so"
    source = ROOT / "durability" / "power_loss.c"
    flags = ["-O1", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC"]
    subprocess.run(["cc", *flags, "-o", built, source, "-ldl"], check=True)
    return built


@functools.cache
def judge(program):
    """The program that judges, of checker/, beside the server and built as that was."""
    release = [] if program.parent.name == "debug" else ["--release"]
    command = ["cargo", "build", "--quiet", "--package", "switchboard-checker", *release]
    subprocess.run(command, check=True, cwd=ROOT, env={**os.environ, "CARGO_TARGET_DIR": str(program.parent.parent)})
    return program.parent / "judge"


def rounds_of(name, program, place, rng):
    """What ends a server by that name, and all that its servers say."""
    place.mkdir()
    rounds = Rounds(program, place, rng)
    if name == "power":
        built = library(place)
        return rounds, lambda: rounds.lose_power(built)
    return rounds, {"kill": rounds.kill, "sync": rounds.fail_sync, "full": rounds.fill_disk}[name]


def run(options, folder):
    rng = random.Random(options.seed)
    faults = options.faults if shutil.which("strace") else 0
    for name, count in [("kill", options.kills), ("power", options.losses), ("sync", faults), ("full", faults)]:
        if not count:
            continue
        place = folder / name
        rounds, act = rounds_of(name, options.program, place, rng)
        for _ in range(count):
            try:
                act()
            except Failed as failed:
                shutil.copytree(place, options.keep, dirs_exist_ok=True)
                print(f"FAILED {name} {rounds.number}: {failed}\nthe directory is kept at {options.keep}", file=sys.stderr)
                return 1
        check(options.program, place)
        print(f"{name}: {count} ends, {rounds.told.acknowledged} messages acknowledged, all of them there")
    return 0


def main():
    parser = argparse.ArgumentParser(prog="scripts/durability", description=__doc__)
    parser.add_argument("--program", type=Path, default=ROOT / "target" / "release" / "switchboard")
    parser.add_argument("--kills", type=int, default=100, help="how often a server is killed [100]")
    parser.add_argument("--losses", type=int, default=200, help="how often it loses power [200]")
    parser.add_argument("--faults", type=int, default=10, help="how often a sync fails, and the disk is full, by strace [10]")
    parser.add_argument("--seed", type=int, default=random.randrange(2**32))
    parser.add_argument("--keep", type=Path, default=Path(tempfile.gettempdir()) / "switchboard-durability")
    parser.add_argument("--mutants", action="store_true", help="spoil the server in each known way instead, and see that it is found out")
    options = parser.parse_args()
    options.program = options.program.resolve()
    print(f"seed {options.seed}")
    if options.mutants:
        return mutants.run(options.seed)
    with tempfile.TemporaryDirectory(prefix="switchboard-") as folder:
        code = run(options, Path(folder))
    if code == 0:
        ran = sum(count > 0 for count in (options.kills, options.losses, options.faults, options.faults))
        skipped = 2 * int(options.faults > 0 and not shutil.which("strace"))
        print(f"{ran - skipped} passed, 0 failed, {skipped} skipped")
    return code
