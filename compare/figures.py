"""From the figures of runs to medians and ratios. Pure.

A run is the JSON of `switchboard bench`; a round is a run of each server, one after the other.
"""

from dataclasses import dataclass
from statistics import median

from .workloads import Figure

# CPU of others, in cores, that makes a run doubtful.
DISTURBED = 0.25

WRONG = (
    ("verified", "lost"),
    ("verified", "duplicated"),
    ("verified", "reordered"),
    ("verified", "corrupt"),
    ("connections", "failed"),
    ("connections", "closed_by_server"),
    ("connections", "silent"),
)


@dataclass(frozen=True)
class Compared:
    """What came of one server in one row."""

    title: str
    # The median over the rounds, or what else the figure takes of them; none if it failed in all.
    figure: float | None
    # switchboard's figure over this server's, in each round.
    ratios: tuple[float, ...]
    # How often what went wrong, over all rounds.
    wrong: dict[str, int]

    @property
    def ratio(self) -> float:
        return median(self.ratios) if self.ratios else float("inf")


def at(run: dict, path: tuple[str, ...]) -> float | None:
    """A value in nested JSON; none if it is not there."""
    for key in path:
        run = (run or {}).get(key)
    return run


def compared(rounds: list[dict[str, dict]], figure: Figure) -> list[Compared]:
    """What came of each server, switchboard first. Each round holds each server's run by its title."""
    first = next(iter(rounds[0]))
    rows = []
    for title in rounds[0]:
        pairs = [(at(round[first], figure.path), at(round[title], figure.path)) for round in rounds]
        pairs = [(ours, theirs) for ours, theirs in pairs if ours is not None and theirs is not None]
        if not pairs:
            rows.append(Compared(title, None, (), {}))
            continue
        # A floor that keeps nothing for a connection has no ratio.
        ratios = tuple(ours / theirs if theirs else float("inf") for ours, theirs in pairs)
        rows.append(Compared(title, figure.of_rounds([theirs for _, theirs in pairs]), ratios, wrong(rounds, title)))
    return rows


def cost(rounds: list[dict[str, dict]], title: str) -> tuple[float, float] | None:
    """What a message costs who makes the load for a server: as a multiple of what it costs that server, and in µs."""
    paths = (("generator", "cpu_us_per_message"), ("server", "cpu_us_per_message"))
    pairs = [[at(round.get(title, {}), path) for path in paths] for round in rounds]
    pairs = [(ours, theirs) for ours, theirs in pairs if ours and theirs]
    return (median(ours / theirs for ours, theirs in pairs), median(ours for ours, _ in pairs)) if pairs else None


def wrong(rounds: list[dict[str, dict]], title: str) -> dict[str, int]:
    """What a server lost, garbled or closed, over all rounds."""
    sums = {path[-1]: sum(at(round[title], path) or 0 for round in rounds) for path in WRONG}
    return {name: count for name, count in sums.items() if count}


def disturbed(run: dict, cores: int) -> float:
    """How many cores others had while it ran, if that is enough to doubt it; else zero."""
    busy = at(run, ("machine_busy_share",))
    if busy is None:
        return 0.0
    generator = (at(run, ("generator", "busiest_share")) or 0) * (at(run, ("generator", "threads")) or 1)
    # What is behind a server is no other.
    servers = sum(at(run, (which, "cpu_share")) or 0 for which in ("server", "behind"))
    others = busy * cores - servers - generator
    return others if others > DISTURBED else 0.0


def order(titles: list[str], round: int) -> list[str]:
    """Each round begins with another server, so that none is always the one behind a noisy neighbour."""
    turn = round % len(titles)
    return titles[turn:] + titles[:turn]


def short(value: float) -> str:
    """A number as a table shows it: three digits, or all of a count."""
    if isinstance(value, int):
        return f"{value:,}"
    if value == float("inf"):
        return "–"
    if value >= 1000:
        return f"{value:,.0f}"
    digits = 0 if value >= 100 else 1 if value >= 10 else 2 if value >= 1 else 3
    return f"{value:.{digits}f}"
