"""What came of it as Markdown, and where it goes: between `<!-- compare NAME -->` and `<!-- /compare NAME -->`."""

import re

from .figures import Compared, short
from .workloads import Workload

# Less than this is no difference that a second run would show again.
EQUAL = 0.02


def table(workload: Workload, rows: dict[str, list[Compared]]) -> str:
    """One line for each load: switchboard's figure, then for each peer the ratio to it and its figure."""
    titles = [server.title for server in workload.servers]
    lines = [
        f"| {workload.heading} | switchboard | " + " | ".join(f"to {title}" for title in titles[1:]) + " |",
        "|---" * (len(titles) + 1) + "|",
    ]
    for row in workload.rows:
        if row.title not in rows:
            continue
        found = {one.title: one for one in rows[row.title]}
        ours = f"{short(found[titles[0]].figure)} {workload.figure.unit}" if titles[0] in found else "–"
        cells = [cell(found.get(title), workload.figure.unit) for title in titles[1:]]
        lines.append(f"| {row.title} | {ours} | " + " | ".join(cells) + " |")
    notes = [note(title, one) for title, row in rows.items() for one in row if one.wrong]
    return "\n".join(lines + [""] * bool(notes) + notes)


def cell(one: Compared | None, unit: str) -> str:
    """`0.63 (0.373 µs)`; bold where switchboard is behind."""
    if one is None:
        return "not run"
    if one.figure is None:
        return "failed"
    ratio = short(one.ratio)
    ratio = f"**{ratio}**" if one.ratio > 1 + EQUAL and one.ratio != float("inf") else ratio
    return f"{ratio} ({short(one.figure)} {unit})"


def note(row: str, one: Compared) -> str:
    """What a server did wrong."""
    words = ", ".join(f"{count:,} {name.replace('_', ' ')}" for name, count in one.wrong.items())
    return f"- {one.title}, {row}: {words}."


def sentence(rows: list[Compared]) -> str:
    """The README's one number: what a delivery costs, in times of what it costs the others."""
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
