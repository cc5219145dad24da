"""Runs switchboard beside what a user would pick instead, and writes what came of it into the documents.

    scripts/compare                    measures everything, then writes
    scripts/compare echo rooms         measures these, then writes what there is
    scripts/compare --write            only writes, from what was measured before
    scripts/compare --list             says what can be measured, and with which peers
    scripts/compare --before FILE      measures this build beside an earlier one, in turns, and prints the ratios

Servers take turns, round by round, each alone on one core, with the load on another. What counts is the server's CPU for each
message (or its memory for each connection), as `switchboard bench --server-pid` tells it. A peer that is not installed is
skipped, with a line that says how to get it. Results are kept in target/compare; the tables of docs/performance.md and docs/bench.md,
their plots and the README's one number are written from them.
"""

import argparse
import json
import os
import platform
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

from . import figures, measure, plots, tables
from .servers import REPOSITORY, SWITCHBOARD, TARGET, Trouble, build, missing, version
from .workloads import WORKLOADS, Server, Workload

RESULTS = TARGET / "compare"
BENCH = REPOSITORY / "docs" / "bench.md"
PLOTS = REPOSITORY / "docs" / "performance"
README = REPOSITORY / "README.md"
# The README's one number.
HEADLINE = ("rooms", "1,000, 16")
PLACES = {"port": "PORT", "pid": "PID", "behind": "BEHIND"}
# Of these it is shown what they cost who makes the load.
COSTS = ("echo", "datagrams", "rooms", "tls")


def main() -> int:
    parser = argparse.ArgumentParser(prog="compare", description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("workload", nargs="*", metavar="WORKLOAD", help=", ".join(one.name for one in WORKLOADS))
    parser.add_argument("--row", action="append", help="only this row of the tables, as it is titled; others stay as they were")
    parser.add_argument("--rounds", type=int, help="instead of each workload's own number")
    parser.add_argument("--write", action="store_true", help="measure nothing")
    parser.add_argument("--no-write", action="store_true", help="only measure")
    parser.add_argument("--list", action="store_true", help="say what can be measured")
    parser.add_argument("--before", type=Path, metavar="FILE", help="an earlier build to measure beside, and nothing else")
    parser.add_argument("--bench", type=Path, default=SWITCHBOARD, help="another build to make the load with")
    typed = parser.parse_args()
    unknown = set(typed.workload) - {one.name for one in WORKLOADS}
    if unknown:
        parser.error(f"unknown workload {', '.join(sorted(unknown))}; known: {', '.join(one.name for one in WORKLOADS)}")
    chosen = [one for one in WORKLOADS if not typed.workload or one.name in typed.workload]
    if typed.row:
        chosen = [replace(one, rows=tuple(row for row in one.rows if row.title in typed.row)) for one in chosen]
        chosen = [one for one in chosen if one.rows]
    try:
        if typed.list:
            listed()
        elif typed.before:
            beside_before(chosen, typed.rounds, typed.bench, typed.before.resolve())
        else:
            if not typed.write:
                measured(chosen, typed.rounds, typed.bench)
            if not typed.no_write:
                written()
    except Trouble as trouble:
        print(f"compare: {trouble}", file=sys.stderr)
        return 1
    return 0


def listed() -> None:
    for one in WORKLOADS:
        print(f"{one.name}: {one.title}; {one.heading}: {'; '.join(row.title for row in one.rows)}")
        for server in one.servers[1:]:
            print(f"  {missing(server) or server.title}")


def measured(chosen: list[Workload], rounds: int | None, bench: Path) -> None:
    present = {server.title: server for one in chosen for server in one.servers}
    for server in present.values():
        if why := missing(server):
            print(why, file=sys.stderr)
    there = [server for server in present.values() if not missing(server)]
    build({server.needs for server in there})
    RESULTS.mkdir(parents=True, exist_ok=True)
    versions = {server.title: version(server.needs) for server in there if server.needs}
    for number, one in enumerate(chosen, 1):
        print(f"{number} of {len(chosen)}: {one.title}", file=sys.stderr, flush=True)
        results = measure.workload(one, rounds or one.rounds, bench)
        path = RESULTS / f"{one.name}.json"
        before = json.loads(path.read_text()) if path.exists() else {}
        kept = {"machine": machine(), "commit": commit(), "versions": versions}
        # Rows of another commit or machine are not shown as if they were of this one.
        same = all(before.get(key) == kept[key] for key in ("machine", "commit"))
        rows = {**(before["rows"] if same else {}), **results}
        path.write_text(json.dumps({**kept, "rows": rows}))


def beside_before(chosen: list[Workload], rounds: int | None, bench: Path, before: Path) -> None:
    """Prints what this build costs beside an earlier one. Nothing is kept: documents show one build."""
    build(set())
    for one in (against(one, before) for one in chosen if "{switchboard}" in one.servers[0].command):
        results = measure.workload(one, rounds or one.rounds, bench)
        rows = {row.title: figures.compared(results[row.of or row.title], one.figure_of(row)) for row in one.rows}
        print(f"{one.name}\n{tables.table(one, rows)}\n", flush=True)


def against(one: Workload, before: Path) -> Workload:
    """The workload with an earlier build of ours in the place of its peers."""
    ours = one.servers[0]
    command = tuple(str(before) if word == "{switchboard}" else word for word in ours.command)
    rows = tuple(replace(row, aims={}) for row in one.rows)
    return replace(one, servers=(ours, replace(ours, title="before", command=command)), rows=rows, ratios=True)


def machine() -> str:
    """What it was measured on, in one line."""
    models = [line.partition(":")[2].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line]
    memory = int(Path("/proc/meminfo").read_text().split()[1]) / (1 << 20)
    kernel = ".".join(platform.release().split(".")[:2])
    model = models[0] if models else platform.machine()
    return f"{os.cpu_count()} cores of {model}, {memory:.0f} GiB, Linux {kernel}, {version('rustc')}"


def commit() -> str:
    """The commit that was measured; with a `+` if files were changed."""
    name = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=REPOSITORY, capture_output=True, text=True)
    changed = subprocess.run(
        ["git", "status", "--porcelain", "--untracked-files=no"], cwd=REPOSITORY, capture_output=True, text=True
    )
    return name.stdout.strip() + ("+" if changed.stdout.strip() else "")


def written() -> None:
    """Puts what was measured into the documents."""
    PLOTS.mkdir(exist_ok=True)
    every: dict[str, dict] = {}
    for one in WORKLOADS:
        path = RESULTS / f"{one.name}.json"
        if not path.exists():
            continue
        kept = every[one.name] = json.loads(path.read_text())
        runs = {row.title: kept["rows"].get(row.of or row.title) for row in one.rows}
        rows = {row.title: figures.compared(runs[row.title], one.figure_of(row)) for row in one.rows if runs[row.title]}
        put(REPOSITORY / one.document, one.name, section(one, kept, rows))
        if one.plotted:
            (PLOTS / f"{one.name}.svg").write_text((plots.growth if one.grows else plots.plot)(one, rows))
        if one.name == HEADLINE[0] and HEADLINE[1] in rows:
            put(README, "number", tables.sentence(rows[HEADLINE[1]]))
    if loads := {name: every[name] for name in COSTS if name in every}:
        commits = ", ".join(sorted({kept["commit"] for kept in loads.values()}))
        put(BENCH, "costs", f"Commit {commits}.\n\n{tables.costs(loads)}")


def put(document: Path, name: str, text: str) -> None:
    document.write_text(tables.replaced(document.read_text(), name, text))


def section(one: Workload, kept: dict, rows: dict) -> str:
    """A workload's part of the document: how it was measured, the table, and the plot."""
    rounds = max(len(each) for each in kept["rows"].values())
    used = [server for server in one.servers if any(found.title == server.title for row in rows.values() for found in row)]
    versions = {server.title: kept["versions"][server.title] for server in used if is_of_others(server)}
    said = "; ".join(f"{title}: {version}" for title, version in versions.items())
    lines = [
        f"{', '.join(f'`{load}`' for load in loads(one))}, {rounds} round{'s' * (rounds != 1)}, commit {kept['commit']}.",
        f"{kept['machine']}.",
        f"{said}." if said else "",
        "",
        tables.table(one, rows),
    ]
    if one.plotted:
        relative = os.path.relpath(PLOTS, (REPOSITORY / one.document).parent)
        lines += ["", f"![{one.title}]({relative}/{one.name}.svg)"]
    return "\n".join(line for index, line in enumerate(lines) if line or index > 2)


def is_of_others(server: Server) -> bool:
    """Whether it is a program with a version of its own: not this one, nor what is built here by the same compiler."""
    return bool(server.needs) and server.needs != "cargo" and server.title not in ("switchboard", "naive")


def loads(one: Workload) -> list[str]:
    """What makes the load, as it can be typed."""
    if one.script:
        return [" ".join(one.script).format(switchboard="PROGRAM", rounds="ROUNDS")]
    bench = " ".join(word.replace("{work}/", "") for word in one.bench)
    typed = [f"switchboard bench {one.scenario} URL {bench} …" if any(not server.load for server in one.servers) else ""]
    # What a row adds comes last.
    more = " …" if any(row.bench for row in one.rows) else ""
    others = [" ".join(server.load) + more for server in one.servers if server.load]
    named = (re.sub(r"{built}/floor/|127\.0\.0\.1:", "", other) for other in others)
    typed += [re.sub(r"{(\w+)}", lambda found: PLACES.get(found[1], found[1]), other) for other in named]
    return list(dict.fromkeys(filter(None, typed)))
