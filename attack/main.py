"""`scripts/attack`: which attacks run, how each is judged, what is printed."""

import argparse
import multiprocessing
import os
import sys
import tempfile
import time
from pathlib import Path

from . import world
from .attacks import ALL, Attack
from .attacks.sockets import make_certificate
from .control import Control, Seen, percentile
from .server import Server

# What the control connections may notice.
PING_P99_S = 0.05
STRANGER_S = 0.1
# An attack that has not ended this long after it should have is ended.
PATIENCE_S = 40


def main() -> int:
    options = arguments()
    chosen = [one for one in ALL if not options.names or any(part in one.name for part in options.names)]
    if options.list:
        for one in chosen:
            print(f"{one.name}: {one.what}")
        return 0
    world.enter()
    world.build()
    program = Path(options.program).resolve()
    if not program.exists():
        print(f"{options.program} is not there: cargo build --release, or --program FILE", file=sys.stderr)
        return 2
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    passed = 0
    with tempfile.TemporaryDirectory(prefix="attack-") as folder:
        certificate, key = make_certificate(folder)
        for one in chosen:
            wrong, told = run(one, program, options.patience, certificate, key)
            print(f"{'FAILED' if wrong else 'ok':6} {one.name}: {told}", flush=True)
            for sentence in wrong:
                print(f"       {sentence}", flush=True)
            passed += not wrong
    print(f"{passed} passed, {len(chosen) - passed} failed")
    return 0 if passed == len(chosen) else 1


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/attack", description=__doc__)
    target = os.environ.get("CARGO_TARGET_DIR", str(Path(__file__).resolve().parents[1] / "target"))
    parser.add_argument("names", nargs="*", metavar="NAME", help="only attacks with this in their name")
    parser.add_argument("--list", action="store_true", help="say what there is, and attack nothing")
    parser.add_argument("--program", default=f"{target}/release/switchboard", metavar="FILE", help="what is attacked")
    parser.add_argument(
        "--patience", type=float, default=1, metavar="N", help="allow N times the delays, on a machine that has other work"
    )
    return parser.parse_args()


def run(one: Attack, program: Path, patience: float, certificate: str, key: str) -> tuple[list[str], str]:
    """Says what was wrong, and what was measured."""
    listeners = tuple(each.replace("{certificate}", certificate).replace("{key}", key) for each in one.listeners)
    server = Server(program, listeners, one.options, one.files, one.log)
    control = Control(server.port("echo=tcp"))
    time.sleep(0.3)
    wrong = attacked(one, server)
    seen = control.end()
    runs = server.runs()
    if one.settled:
        time.sleep(1)
    growth, settled = server.peak - server.before, (server.resident() - server.before if runs else 0)
    code = server.stop()
    if not runs:
        wrong.append(f"the server ended by itself, with {code}")
    if not one.excused:
        wrong += judged(seen, patience)
    if one.memory and growth > one.memory:
        wrong.append(f"memory grew by {growth / 2**20:.0f} MiB, and may by {one.memory / 2**20:.0f}")
    if one.settled and settled > one.settled:
        wrong.append(f"{settled / 2**20:.0f} MiB were left, and {one.settled / 2**20:.0f} may be")
    return wrong, f"{seen.describe()}, memory +{growth / 2**20:.1f} MiB"


def attacked(one: Attack, server: Server) -> list[str]:
    """What the attack itself has to say. It runs in a process of its own, so that it does not hold up the control."""
    result, there = multiprocessing.Pipe(duplex=False)

    def act() -> None:
        try:
            there.send(one.act(server, time.monotonic() + one.seconds))
        except Exception as error:  # noqa: BLE001  (an attack that cannot go on is told as such)
            there.send([f"the attack broke off: {error!r}"])

    process = multiprocessing.get_context("fork").Process(target=act, daemon=True)
    process.start()
    told = result.recv() if result.poll(one.seconds + PATIENCE_S) else ["the attack never ended"]
    process.kill()
    process.join()
    return told


def judged(seen: Seen, patience: float) -> list[str]:
    wrong = []
    if percentile(seen.pings, 99) > PING_P99_S * patience:
        wrong.append(f"pings took {percentile(seen.pings, 99) * 1e3:.0f} ms (p99)")
    if max(seen.strangers) > STRANGER_S * patience:
        wrong.append(f"a stranger waited {max(seen.strangers) * 1e3:.0f} ms")
    return wrong
