"""The rounds: a server under load, its end, and whether what it had said holds."""

import argparse
import random
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from durability.load import ROOMS, Load, Told
from durability.server import KEPT, SHORT, Failed, Server, check, exported

ROOT = Path(__file__).resolve().parents[1]


class Rounds:
    """One directory through many ends, and all that its servers have said."""

    def __init__(self, program, folder, rng):
        self.program, self.folder, self.rng = program, folder, rng
        self.told = Told()
        self.epochs = {}
        self.number = 0

    def judge(self):
        """What is wrong with what is on disk, as against what was said."""
        # Nothing is there before the first start got so far.
        if not (self.folder / "data" / "history.db").exists():
            return
        wrong = self.told.errors[:]
        for room in ROOMS:
            messages = exported(self.program, self.folder, room)
            wrong += self.judge_room(room, messages)
        if wrong:
            raise Failed("; ".join(wrong[:5]))

    def judge_room(self, room, messages):
        numbers = [message["seq"] for message in messages]
        known = {**self.told.shown[room], **self.told.acknowledged[room]}
        if not messages:
            return [f"{room}: {len(known)} messages are gone"] if known else []
        wrong = []
        if numbers != list(range(numbers[0], numbers[0] + len(numbers))):
            wrong.append(f"{room}: numbers have holes")
        if room != SHORT and numbers[0] != 1:
            wrong.append(f"{room}: it begins with {numbers[0]}")
        epochs = {message["id"].split("-")[0] for message in messages}
        if epochs != {self.epochs.setdefault(room, messages[0]["id"].split("-")[0])}:
            wrong.append(f"{room}: it has another epoch: {epochs}")
        there = {message["id"]: message["text"] for message in messages}
        if len(set(there.values())) != len(there):
            wrong.append(f"{room}: a message is there twice")
        for message_id, text in known.items():
            number = int(message_id.split("-")[1])
            is_kept = room != SHORT or number > numbers[-1] - KEPT
            if is_kept and there.get(message_id) != text:
                kind = "acknowledged" if message_id in self.told.acknowledged[room] else "shown"
                wrong.append(f"{room} {message_id}: {text[:20]!r} was {kind}, and {there.get(message_id)!r} is there")
        # What is there now is so for ever.
        for message_id, text in there.items():
            self.told.note(self.told.shown, room, message_id, text)
        return wrong

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
        known = sum(map(len, self.told.acknowledged.values()))
        self.until(lambda: sum(map(len, self.told.acknowledged.values())) > known + 20, "it did not go on")
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


def run(options, folder):
    rng = random.Random(options.seed)
    faults = options.faults if shutil.which("strace") else 0
    counts = [("kill", options.kills), ("power", options.losses), ("sync", faults), ("full", faults)]
    for name, count in counts:
        place = folder / name
        place.mkdir()
        rounds = Rounds(options.program, place, rng)
        built = library(folder) if count and name == "power" else None
        acts = {"kill": rounds.kill, "power": lambda: rounds.lose_power(built), "sync": rounds.fail_sync}
        act = acts.get(name, rounds.fill_disk)
        for _ in range(count):
            try:
                act()
            except Failed as failed:
                shutil.copytree(place, options.keep, dirs_exist_ok=True)
                print(f"FAILED {name} {rounds.number}: {failed}\nthe directory is kept at {options.keep}", file=sys.stderr)
                return 1
        if count:
            check(options.program, place)
            said = sum(len(room) for room in rounds.told.acknowledged.values())
            print(f"{name}: {count} ends, {said} messages acknowledged, all of them there")
    return 0


def main():
    parser = argparse.ArgumentParser(prog="scripts/durability", description=__doc__)
    parser.add_argument("--program", type=Path, default=ROOT / "target" / "release" / "switchboard")
    parser.add_argument("--kills", type=int, default=100, help="how often a server is killed [100]")
    parser.add_argument("--losses", type=int, default=200, help="how often it loses power [200]")
    parser.add_argument("--faults", type=int, default=10, help="how often a sync fails, and the disk is full, by strace [10]")
    parser.add_argument("--seed", type=int, default=random.randrange(2**32))
    parser.add_argument("--keep", type=Path, default=Path(tempfile.gettempdir()) / "switchboard-durability")
    options = parser.parse_args()
    print(f"seed {options.seed}")
    with tempfile.TemporaryDirectory(prefix="switchboard-") as folder:
        code = run(options, Path(folder))
    if code == 0:
        ran = sum(count > 0 for count in (options.kills, options.losses, options.faults, options.faults))
        skipped = 2 * int(options.faults > 0 and not shutil.which("strace"))
        print(f"{ran - skipped} passed, 0 failed, {skipped} skipped")
    return code
