"""A run: nodes under load, faults that a seed draws, an end, and whether all that was said and shown holds."""

import argparse
import http.client
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from durability.load import Told, told_of
from durability.main import judge
from nemesis import figures, mutants, scenes, stream
from nemesis.faults import LOSSES, OF_THREE, SAFE, Nemesis
from nemesis.load import ROOMS, Load, milliseconds
from nemesis.world import PROFILES, Failed, World, has_networks

ROOT = Path(__file__).resolve().parents[1]
# Of one node: what it has when it starts, all that may wait (64 MiB), be in flight (24 MiB) and come (64 MiB), and histories.
RESIDENT = 320 << 20
# Whoever has gone is in no list after so many seconds.
GHOSTS = 30


class Run:
    def __init__(self, options, seed, folder):
        self.options, self.seed, self.folder = options, seed, folder
        self.rng = random.Random(seed)
        self.profile = options.profile or self.rng.choice(["durable", "durable", "file", "memory"])
        self.has_losses = self.rng.random() < 0.4 if options.losses is None else options.losses
        self.is_volatile = self.has_losses or self.profile == "memory"
        servers = 3 if self.profile == "durable" else self.rng.choice([1, 3])
        self.told = Told()
        self.world = World(folder, (options.program, options.nats), self.profile, servers, options.sync, "on" if self.is_volatile else "off")
        self.began = time.monotonic()
        self.lines = [f"{self.profile}, {servers} nats-server{'s' if servers > 1 else ''}, {'with' if self.has_losses else 'without'} losses"]

    def say(self, line):
        self.lines.append(f"{time.monotonic() - self.began:6.1f} s: {line}")
        if self.options.verbose:
            print(self.lines[-1], flush=True)

    def run(self):
        """What is wrong; None if nothing is."""
        load = None
        try:
            self.world.start()
            load = Load(self.world, self.told, self.rng.random(), self.is_volatile)
            nemesis = Nemesis(self.world, load, self.rng, self.say)
            schedule = nemesis.schedule(self.options.faults, self.has_losses, self.options.only)
            self.say("load")
            load.start()
            stop = threading.Event()
            watching = threading.Thread(target=self.watch, args=[stop], daemon=True)
            watching.start()
            time.sleep(2)
            nemesis.run(schedule)
            stop.set()
            watching.join()
            self.end(load)
            return self.judged(load, nemesis)
        except Failed as failed:
            return str(failed)
        finally:
            # The next run has the same addresses: nobody of this one is to publish there.
            if load:
                load.quiet.set(), load.stopping.set()
            self.world.stop()
            for thread in load.threads if load else []:
                if thread.is_alive():
                    thread.join(20)

    def watch(self, stop):
        """C10."""
        while not stop.wait(0.5):
            for node in self.world.nodes:
                self.told.note("bounded", what=f"memory of {node.name}", value=node.resident(), most=RESIDENT)

    def end(self, load):
        """One node is cut off while the others publish the last that there is. Then nothing is wrong any more."""
        node = self.rng.choice(self.world.nodes)
        self.say(f"cut-node {node.name} until all is quiet")
        load.lapse([node])
        node.cut(self.world.servers, ["input", "output"])
        time.sleep(2.5)
        load.quiet.set()
        # It gives up its connection, and so misses something. What is under way elsewhere gets its answer.
        time.sleep(7)
        node.heal()
        if self.is_volatile:
            # Within 10 s each node has seen that the log has lost something, and begun anew, and in 2 s more it is sure.
            time.sleep(12)
        self.say("quiet")
        for room in ROOMS:
            # Where an epoch may have ended and nobody has published since, members are told of it, and of nothing in it.
            load.closing[room] = self.last(room) if self.is_volatile else stream.last(self.world, room)
        until(lambda: not load.behind(), 15)
        self.told.note("quiet")
        load.stopping.set()
        ended = time.monotonic()
        for thread in load.threads:
            thread.join(20)
        self.say("listing")
        while True:
            listed = [(node, room, members(node, room)) for node in self.world.nodes for room in ROOMS]
            ghosts = any(load.gone.intersection(names) for _, _, names in listed)
            if not ghosts or time.monotonic() > ended + GHOSTS + 1:
                break
            time.sleep(0.5)
        for node, room, names in listed:
            self.told.note("listed", room=room, by=node.name, names=names, at=milliseconds())

    def last(self, room):
        """The id of a message that is published last."""
        for number in range(30):
            call = next(self.told.calls)
            text = f"last-{call}"
            self.told.note("invoke", call=call, client=f"last-{call}", room=room, text=text)
            status, body = asked(self.world.nodes[number % 3], "POST", f"/rooms/{room}", text)
            if status == 200:
                id = json.loads(body)["id"]
                self.told.note("ok", call=call, id=id)
                return id
            time.sleep(1)
        raise Failed(f"nothing can be published in {room} any more: {status} {body!r}")

    def judged(self, load, nemesis):
        """A node that has seen nothing says what there is, and so does the stream; then all is judged."""
        self.world.late.run()
        self.world.late.until_ready()
        kept, finals = stream.kept(self.world), []
        for room in ROOMS:
            known = load.closing[room]
            epoch, number = known.split("-")
            since = f"{epoch}-{max(int(number) - 20, 0)}"
            self.told.note("read", room=room, since=since, told=page(self.world.late, room, since), known=known)
            # Behind what was lost all begins anew: what was before it is no more what the room has.
            last = [{"id": id, "text": text} for id, text in kept.get(room, []) if id.split("-")[0] == epoch]
            gone = int(last[0]["id"].split("-")[1]) - 1 if last and nemesis.has_purged else 0
            finals.append(json.dumps({"op": "final", "room": room, "gone": gone, "kept": last}))
        if self.told.errors:
            return "; ".join(self.told.errors[:5])
        history = self.folder / "history.ndjson"
        history.write_text("\n".join([*self.told.lines, *finals]))
        promise = ["--volatile"] if self.is_volatile else []
        judged = subprocess.run([judge(self.options.program), *promise, history], capture_output=True, text=True, timeout=120, check=False)
        if judged.returncode != 0:
            return "; ".join(judged.stdout.splitlines()[:8]) or judged.stderr
        return None


def until(holds, patience):
    end = time.monotonic() + patience
    while not holds() and time.monotonic() < end:
        time.sleep(0.1)


def asked(node, method, target, body=None):
    connection = http.client.HTTPConnection(node.address, 8082, timeout=10)
    try:
        connection.request(method, target, body=body)
        answer = connection.getresponse()
        return answer.status, answer.read()
    except (OSError, http.client.HTTPException) as error:
        return 0, str(error)
    finally:
        connection.close()


def members(node, room):
    status, body = asked(node, "GET", f"/rooms/{room}/members?limit=1000")
    return json.loads(body)["members"] if status == 200 else []


def page(node, room, since):
    """What is told behind that message."""
    for _ in range(20):
        status, body = asked(node, "GET", f"/rooms/{room}/messages?since={since}")
        if status == 200:
            return [shown for shown in map(told_of, map(json.loads, body.splitlines())) if shown]
        time.sleep(0.5)
    raise Failed(f"{node.name} does not show {room}: {status} {body!r}")


def runs(options):
    rng, failed = random.Random(options.seed), 0
    for number in range(options.runs):
        seed = options.seed if options.runs == 1 else rng.randrange(2**32)
        with tempfile.TemporaryDirectory(prefix="switchboard-cluster-") as folder:
            run = Run(options, seed, Path(folder))
            wrong = run.run()
            told = run.told
            what = f"{number + 1}: seed {seed}, {run.lines[0]}: {told.acknowledged} acknowledged, {len(told.lines)} events"
            if wrong:
                failed += 1
                keep = options.keep / str(seed)
                shutil.copytree(folder, keep, dirs_exist_ok=True)
                print(f"FAILED {what}: {wrong}", *run.lines, f"kept at {keep}", sep="\n  ", flush=True)
            else:
                print(f"{what}: all of it holds", flush=True)
    print(f"{options.runs - failed} passed, {failed} failed, 0 skipped")
    return 1 if failed else 0


def main():
    parser = argparse.ArgumentParser(prog="scripts/cluster", description=__doc__)
    parser.add_argument("--program", type=Path, default=ROOT / "target" / "release" / "switchboard")
    parser.add_argument("--nats", type=Path, default=os.environ.get("NATS_SERVER"), help="nats-server; installed if none is named")
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("--faults", type=int, default=6, help="faults in each run [6]")
    parser.add_argument("--seed", type=int, default=random.randrange(2**32))
    parser.add_argument("--profile", choices=PROFILES, help="drawn for each run, unless it is said")
    parser.add_argument("--losses", action=argparse.BooleanOptionalAction, help="whether the log is made to lose something; drawn, unless it is said")
    parser.add_argument("--only", action="append", choices=[*SAFE, *OF_THREE, *LOSSES], help="draw from these faults alone; may be said again")
    parser.add_argument("--sync", default="always", help="sync_interval of nats-servers [always]")
    parser.add_argument("--keep", type=Path, default=Path(tempfile.gettempdir()) / "switchboard-cluster")
    parser.add_argument("--mutants", action="store_true", help="spoil the nodes in each known way instead, and see that it is found out")
    parser.add_argument("--scenes", action="store_true", help="play instead what a cluster promises, scene by scene; under two minutes")
    parser.add_argument("--figures", action="store_true", help="measure instead what sharing costs, and what is noticed of ends")
    parser.add_argument("--beside", type=Path, help="with --figures: another program, measured in turn with this one")
    parser.add_argument("--verbose", action="store_true", help="tell what goes wrong as it does")
    options = parser.parse_args()
    if not has_networks():
        print("skipped: networks of its own cannot be made here (that needs root, ip, unshare, nsenter and nft)")
        print("0 passed, 0 failed, 1 skipped")
        return 0
    if "NEMESIS_INSIDE" not in os.environ:
        if options.nats is None:
            options.nats = subprocess.run([ROOT / "scripts" / "nats-server"], capture_output=True, text=True, check=True).stdout.strip()
        if options.mutants:
            mutants.build(options)
        judge(options.program.resolve())
        # What it starts ends with it, whatever happens.
        inside = ["unshare", "--net", "--pid", "--fork", "--kill-child", "--mount-proc", "nice", sys.executable, *sys.argv]
        environment = {**os.environ, "NEMESIS_INSIDE": "1", "NATS_SERVER": str(options.nats)}
        print(f"seed {options.seed}", flush=True)
        return subprocess.run([*inside, "--seed", str(options.seed), "--program", options.program], env=environment, check=False).returncode
    options.program = options.program.resolve()
    if options.figures:
        return figures.run(options)
    if options.scenes:
        return scenes.run(options)
    return mutants.run(options) if options.mutants else runs(options)
