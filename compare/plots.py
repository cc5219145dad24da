"""Ratios as SVG: one line for each load, one mark for each server, on an axis of powers. And how a figure grows: one curve for
each server.

Self-contained, and readable on light and dark pages: it follows what the reader's system prefers, and brings its own
background in case the page does not. Each server has a shape as well as a colour.
"""

from html import escape
from math import ceil, floor, log10

from .figures import Compared, short
from .workloads import Workload

WIDTH, LEFT, RIGHT, TOP, LINE, BOTTOM = 760, 210, 30, 70, 34, 40
GROWTH = 260
# Okabe and Ito's, of those that show on white and on black.
COLOURS = ("#d55e00", "#0072b2", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#999999")
STYLE = """
  text { font: 13px system-ui, sans-serif; fill: #1f2328 }
  .small { font-size: 11px } .title { font-weight: 600; font-size: 14px }
  .page { fill: #ffffff } .grid { stroke: #d0d7de } .one { stroke: #57606a; stroke-dasharray: 4 3 }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 } .page { fill: #0d1117 } .grid { stroke: #3d444d } .one { stroke: #9198a1 }
  }
"""


def shape(kind: int, x: float, y: float, colour: str) -> str:
    """A mark of about ten pixels."""
    if kind == 0:
        return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="6" fill="{colour}"/>'
    corners = (
        ((-5, -5), (5, -5), (5, 5), (-5, 5)),
        ((0, -6), (6, 5), (-6, 5)),
        ((0, -7), (7, 0), (0, 7), (-7, 0)),
        ((-6, -5), (6, -5), (0, 6)),
        ((-2, -6), (2, -6), (2, -2), (6, -2), (6, 2), (2, 2), (2, 6), (-2, 6), (-2, 2), (-6, 2), (-6, -2), (-2, -2)),
    )[(kind - 1) % 5]
    points = " ".join(f"{x + dx:.1f},{y + dy:.1f}" for dx, dy in corners)
    return f'<polygon points="{points}" fill="{colour}"/>'


def ticks(least: float, most: float) -> list[float]:
    """1, 2 and 5 times powers of ten, from below the least to above the most."""
    steps = [digit * 10.0**power for power in range(floor(log10(least)) - 1, ceil(log10(most)) + 1) for digit in (1, 2, 5)]
    begin = max(step for step in steps if step <= least)
    end = min(step for step in steps if step >= most)
    return [step for step in steps if begin <= step <= end]


def plot(workload: Workload, rows: dict[str, list[Compared]]) -> str:
    """What each server's figure is, in times of switchboard's, which is the first of each row."""
    title, unit = workload.title, workload.figure.unit
    titles = list(dict.fromkeys(one.title for row in rows.values() for one in row))
    points = {name: [(one, 1 / one.ratio) for one in row if one.ratio not in (0, float("inf"))] for name, row in rows.items()}
    values = [value for row in points.values() for _, value in row] or [1]
    axis = ticks(min(*values, 1) * 0.97, max(*values, 1) * 1.03)
    bottom = TOP + LINE * len(rows)

    def place(value: float) -> float:
        low, high = log10(axis[0]), log10(axis[-1])
        return LEFT + (log10(value) - low) / (high - low) * (WIDTH - LEFT - RIGHT)

    parts = legend(title, titles)
    for step in axis:
        name = "one" if step == 1 else "grid"
        parts.append(f'<line class="{name}" x1="{place(step):.1f}" x2="{place(step):.1f}" y1="{TOP - 6}" y2="{bottom}"/>')
        parts.append(f'<text class="small" text-anchor="middle" x="{place(step):.1f}" y="{bottom + 15}">{step:g} ×</text>')
    for index, (name, row) in enumerate(points.items()):
        y = TOP + LINE * index + LINE / 2
        parts.append(f'<text x="{LEFT - 14}" y="{y + 4:.1f}" text-anchor="end">{escape(name)}</text>')
        # Ours last, and so on top.
        for one, value in reversed(row):
            kind = titles.index(one.title)
            mark = shape(kind, place(value), y, COLOURS[kind % len(COLOURS)])
            said = escape(f"{one.title}, {name}: {short(one.figure)} {unit}")
            parts.append(f"<g><title>{said}</title>{mark}</g>")
    parts.append(f'<text class="small" x="{LEFT - 14}" y="{TOP + 2}" text-anchor="end">{escape(workload.heading)}</text>')
    caption = f"{workload.figure.what}, as a multiple of switchboard's: shorter is less"
    parts.append(f'<text class="small" text-anchor="middle" x="{(LEFT + WIDTH - RIGHT) / 2:.0f}" y="{bottom + 32}">{caption}</text>')
    return document(title, bottom + BOTTOM, parts)


def growth(workload: Workload, rows: dict[str, list[Compared]]) -> str:
    """Each server's figure over the number that the rows are titled with, both on axes of powers."""
    title, unit = workload.title, workload.figure.unit
    titles = list(dict.fromkeys(one.title for row in rows.values() for one in row))
    curves = {
        name: [(number(row), one.figure) for row, found in rows.items() for one in found if one.title == name and one.figure]
        for name in titles
    }
    values = [value for curve in curves.values() for _, value in curve] or [1]
    across = [number(row) for row in rows] or [1]
    axis = ticks(min(values) * 0.97, max(values) * 1.03)
    bottom, left = TOP + GROWTH, 70

    def x_of(count: float) -> float:
        low, high = log10(min(across)), log10(max(across)) or 1
        return left + 14 + (log10(count) - low) / max(high - low, 1e-9) * (WIDTH - left - 2 * RIGHT - 14)

    def y_of(value: float) -> float:
        low, high = log10(axis[0]), log10(axis[-1])
        return bottom - (log10(value) - low) / (high - low) * GROWTH

    parts = legend(title, titles)
    for step in axis:
        y = y_of(step)
        parts.append(f'<line class="grid" x1="{left}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text class="small" x="{left - 8}" y="{y + 4:.1f}" text-anchor="end">{step:,g} {unit}</text>')
    for row in rows:
        parts.append(f'<text class="small" x="{x_of(number(row)):.1f}" y="{bottom + 15}" text-anchor="middle">{escape(row)}</text>')
    # Ours last, and so on top.
    for kind, (name, curve) in reversed(list(enumerate(curves.items()))):
        colour = COLOURS[kind % len(COLOURS)]
        points = " ".join(f"{x_of(count):.1f},{y_of(value):.1f}" for count, value in curve)
        parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>')
        for count, value in curve:
            said = escape(f"{name}, {count:,.0f}: {short(value)} {unit}")
            parts.append(f"<g><title>{said}</title>{shape(kind, x_of(count), y_of(value), colour)}</g>")
    caption = f"{workload.figure.what}, over {workload.heading}"
    parts.append(f'<text class="small" text-anchor="middle" x="{(left + WIDTH - RIGHT) / 2:.0f}" y="{bottom + 32}">{caption}</text>')
    return document(title, bottom + BOTTOM, parts)


def number(title: str) -> int:
    return int(title.replace(",", ""))


def legend(title: str, names: list[str]) -> list[str]:
    parts = [f'<text class="title" x="12" y="22">{escape(title)}</text>']
    x = 12.0
    for kind, name in enumerate(names):
        parts.append(shape(kind, x + 6, 42, COLOURS[kind % len(COLOURS)]))
        parts.append(f'<text x="{x + 18:.0f}" y="46">{escape(name)}</text>')
        x += 40 + 7.2 * len(name)
    return parts


def document(title: str, height: int, parts: list[str]) -> str:
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{escape(title)}">'
    page = f'<rect class="page" width="{WIDTH}" height="{height}" rx="6"/>'
    return f"{head}\n<style>{STYLE}</style>\n{page}\n" + "\n".join(parts) + "\n</svg>\n"
