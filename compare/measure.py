"""Runs the rounds of a workload, and keeps what came of them."""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from .figures import at, disturbed, order, short
from .probes import PROBES, Load
from .servers import REPOSITORY, SWITCHBOARD, TARGET, Running, Trouble, certificate, missing
from .workloads import Row, Server, Workload

# A run while others use the machine is made again, so many times at most.
TRIES = 4


def cores() -> tuple[int, int]:
    """One core for the server and another for the load."""
    ours = sorted(os.sched_getaffinity(0))
    if len(ours) < 2:
        raise Trouble("a comparison needs two cores: one for the server and one for the load")
    return ours[0], ours[1]


def workload(which: Workload, rounds: int, bench: Path) -> dict[str, list[dict[str, dict]]]:
    """For each row its rounds, in each of them the run of each server by its title."""
    if which.script:
        return scripted(which, rounds)
    servers = [server for server in which.servers if not missing(server)]
    results: dict[str, list[dict[str, dict]]] = {}
    # On the disk that the build is on: where there is none behind /tmp, a sync costs nothing.
    with tempfile.TemporaryDirectory(prefix="compare-", dir=TARGET) as folder:
        work = Path(folder)
        certificate(work)
        for row in (row for row in which.rows if not row.of):
            results[row.title] = []
            for number in range(rounds):
                runs = {
                    title: undisturbed(which, row, server, work, bench)
                    for title in order([server.title for server in servers], number)
                    for server in servers
                    if server.title == title
                }
                results[row.title].append({server.title: runs[server.title] for server in servers})
    return results


def scripted(which: Workload, rounds: int) -> dict[str, list[dict[str, dict]]]:
    """What a script has measured by itself."""
    places = {"switchboard": SWITCHBOARD, "rounds": rounds}
    ran = subprocess.run([word.format(**places) for word in which.script], cwd=REPOSITORY, capture_output=True, text=True)
    if ran.returncode != 0:
        raise Trouble(f"{which.name}: {' '.join(which.script)}\n{ran.stderr.strip()}")
    print(ran.stderr, end="", file=sys.stderr, flush=True)
    found = json.loads(ran.stdout)
    return {row.title: found[row.title] for row in which.rows}


def undisturbed(which: Workload, row: Row, server: Server, work: Path, bench: Path) -> dict:
    """A run that others left alone, or the last of several; nothing if all of them failed."""
    run = {}
    for _ in range(TRIES):
        try:
            run = once(which, row, server, work, bench)
        except Trouble as trouble:
            print(trouble, file=sys.stderr, flush=True)
            if server is which.servers[0]:
                continue
            # A peer that cannot do it once is not asked again.
            break
        others = disturbed(run, os.cpu_count() or 1)
        say(which, row, server, run, others)
        if not others:
            break
    return run


def once(which: Workload, row: Row, server: Server, work: Path, bench: Path) -> dict:
    """One run: the server on one core, the load on another."""
    server_core, load_core = cores()
    with Running(server, server_core, load_core, work) as running:
        command = [*server.load, *row.bench]
        if not server.load:
            # Media have a thread that sends and one that receives.
            threads = () if which.scenario == "media" else ("--threads", "1")
            fixed = (*threads, "--server-pid", "{pid}", "--json", "--no-tui")
            command = [str(bench), "bench", which.scenario, server.url, *which.bench, *row.bench, *server.bench, *fixed]
        load = Load([running.filled(word) for word in command], load_core, f"{server.title}, {row.title}")
        if not which.probe:
            began, ran = time.monotonic(), running.ran_behind_s()
            run = load.run()
            return {**run, "behind": {"cpu_share": (running.ran_behind_s() - ran) / (time.monotonic() - began)}}
        # The probe is beside the load.
        os.sched_setaffinity(0, {load_core})
        try:
            return PROBES[which.probe](running, load)
        finally:
            os.sched_setaffinity(0, {server_core, load_core})


def say(which: Workload, row: Row, server: Server, run: dict, others: float) -> None:
    """A line for each run, so that whoever waits sees how it goes."""
    figures = [which.figure_of(other) for other in which.rows if other is row or other.of == row.title]
    found = [(at(run, figure.path), figure.unit) for figure in figures]
    shown = ", ".join("no figure" if value is None else f"{short(value)} {unit}" for value, unit in found)
    # That the load has its core full is meant: it asks for all that the server has.
    warnings = [warning for warning in run.get("warnings", []) if "bottleneck" not in warning]
    if others:
        warnings.append(f"others used {others:.1f} cores meanwhile")
    shares = [at(run, path) or 0 for path in (("server", "cpu_share"), ("generator", "busiest_share"))]
    busy = "server {:.0f} %, load {:.0f} % of a core".format(*(100 * share for share in shares))
    print(f"{which.name}  {row.title}  {server.title}: {shown}", busy, *warnings, sep="  ", file=sys.stderr, flush=True)
