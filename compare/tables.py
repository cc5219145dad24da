"""What came of it as Markdown, and where it goes: between `<!-- compare NAME -->` and `<!-- /compare NAME -->`."""

import re

from . import figures
from .figures import Compared, short
from .workloads import Figure, Workload

# Less than this is no difference that a second run would show again.
EQUAL = 0.02


def table(workload: Workload, rows: dict[str, list[Compared]]) -> str:
    """One line for each load: switchboard's figure, then for each peer the ratio to it and its figure."""
    titles = [server.title for server in workload.servers]
    to = "to " if workload.ratios else ""
    lines = [
        f"| {workload.heading} | switchboard | " + " | ".join(f"{to}{title}" for title in titles[1:]) + " |",
        "|---" * (len(titles) + 1) + "|",
    ]
    for row in (row for row in workload.rows if row.title in rows):
        found = {one.title: one for one in rows[row.title]}
        figure = workload.figure_of(row)
        cells = [own(found.get(title), figure, row.aims.get(title)) for title in titles]
        if workload.ratios:
            cells[1:] = [cell(found.get(title), figure, row.aims.get(title)) for title in titles[1:]]
        lines.append(f"| {row.title} | " + " | ".join(cells) + " |")
    loads = {row.title for row in workload.rows if not row.of}
    notes = [note(title, one) for title, row in rows.items() if title in loads for one in row if one.wrong]
    return "\n".join(lines + [""] * bool(notes) + notes)


def own(one: Compared | None, figure: Figure, aim: float | None) -> str:
    """`1,418 B`, and what is aimed at."""
    if one is None:
        return "not run"
    if one.figure is None:
        return "failed"
    aimed = "" if aim is None else f" ({aim_of(one.figure, aim, figure.rises)})"
    return f"{short(one.figure)} {figure.unit}{aimed}"


def cell(one: Compared | None, figure: Figure, aim: float | None = None) -> str:
    """`0.63 (0.373 µs)`, and what is aimed at; bold where switchboard is behind."""
    if one is None:
        return "not run"
    if one.figure is None:
        return "failed"
    ratio = short(one.ratio)
    behind = one.ratio < 1 - EQUAL if figure.rises else one.ratio > 1 + EQUAL
    ratio = f"**{ratio}**" if behind and one.ratio != float("inf") else ratio
    aimed = f"; {aim_of(one.ratio, aim, figure.rises)}" if aim else ""
    return f"{ratio} ({short(one.figure)} {figure.unit}{aimed})"


def aim_of(value: float, aim: float, rises: bool) -> str:
    """What is aimed at, and whether it is missed, as far as the digits that are shown."""
    # 1.148 is shown as 1.15, and so is what it is compared with.
    shown = float(short(value).replace(",", "")) if value != float("inf") else value
    missed = shown < aim if rises else shown > aim
    return f"aim {'≥' if rises else '≤'} {aim:,.12g}{', missed' * missed}"


def costs(kept: dict[str, dict]) -> str:
    """What a message costs `switchboard bench`, as a multiple of what it costs the server. `kept` holds the results of workloads."""
    found = [
        (f"{name}: {row}", {title: cost for title in rounds[0] if (cost := figures.cost(rounds, title))})
        for name, each in kept.items()
        for row, rounds in each["rows"].items()
        if rounds
    ]
    titles = list(dict.fromkeys(title for _, row in found for title in row))
    lines = ["| load | " + " | ".join(titles) + " |", "|---" * (len(titles) + 1) + "|"]
    for name, row in found:
        cells = [f"{short(row[title][0])} ({short(row[title][1])} µs)" if title in row else "" for title in titles]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def note(row: str, one: Compared) -> str:
    """What a server did wrong."""
    words = ", ".join(f"{count:,} {name.replace('_', ' ')}" for name, count in one.wrong.items())
    return f"- {one.title}, {row}: {words}."


def sentence(rows: list[Compared]) -> str:
    """The README's one number: what a delivery costs, as a multiple of what it costs the others."""
    times = [f"{short(one.ratio)} times {one.title}" for one in rows[1:] if one.ratios]
    return (
        f"A message to the 1,000 members of a room costs {short(rows[0].figure)} µs of CPU for each of them, with 16 in flight:\n"
        f"{', '.join(times[:-1])} and {times[-1]}."
    )


def replaced(document: str, name: str, text: str) -> str:
    """The document with another text in a place that is marked."""
    begin, end = f"<!-- compare {name} -->", f"<!-- /compare {name} -->"
    pattern = re.compile(re.escape(begin) + ".*?" + re.escape(end), re.DOTALL)
    if not pattern.search(document):
        raise ValueError(f"no place {begin}")
    return pattern.sub(lambda _: f"{begin}\n{text}\n{end}", document, count=1)
