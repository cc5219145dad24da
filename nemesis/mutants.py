"""Ways to spoil a node, each of which the runs have to find out; see durability/mutants.py."""

import random
import tempfile
from pathlib import Path

from durability.mutants import spoilt, survey

REPLICA = "switchboard/src/log/replica.rs"
CHAIN = "switchboard/src/log/replica/chain.rs"
SERVING = "switchboard/src/log/replica/serving.rs"

# Of each: what is spoilt, how a run goes, and in which file which text becomes which.
MUTANTS = {
    "expectation": (
        "an append does not say what is before it",
        {"profile": "durable", "losses": False},
        [(
            "switchboard/src/log/nats/engine.rs",
            'let headers = format!("{}: {}\\r\\n", api::EXPECTED, after.0);',
            'let headers = if @ { String::new() } else { format!("{}: {}\\r\\n", api::EXPECTED, after.0) };',
        )],
    ),
    "early": (
        "it is shown before the log has it",
        {"profile": "durable", "losses": False},
        [
            (REPLICA, "        #[cfg(test)]\n        if self.shows_early {\n", "        if @ {\n"),
            (REPLICA, "        #[cfg(test)]\n        if self.shows_early && envelope", "        if @ && envelope"),
        ],
    ),
    "tail": (
        "nothing looks where the log ends",
        {"profile": "durable", "losses": False},
        [
            (SERVING, "(0..CHECKS_AT_ONCE).for_each(", "(0..if @ { 0 } else { CHECKS_AT_ONCE }).for_each("),
            (SERVING, "                if let Ok(tail) = Tail::parse(&tail) {\n", "                if let Ok(tail) = Tail::parse(&tail) && !@ {\n"),
        ],
    ),
    "prev": (
        "an envelope may follow any other",
        {"profile": "file", "losses": True},
        [(CHAIN, "let follows = envelope.prev == Some(at.token);", "let follows = @ || envelope.prev == Some(at.token);")],
    ),
}

# Runs after which a mutant that is not found out yet lives.
RUNS = 5
# What the simulation of replicas finds out (`replica::simulation`), and a run hardly ever does.
HARD = {"prev"}


def found_out(options, ways, runs):
    """After how many runs, and how; None if it is not."""
    from nemesis.main import Run

    rng = random.Random(options.seed)
    for name, value in ways.items():
        setattr(options, name, value)
    for number in range(runs):
        with tempfile.TemporaryDirectory(prefix="switchboard-cluster-") as folder:
            wrong = Run(options, rng.randrange(2**32), Path(folder)).run()
        if wrong:
            return f"run {number + 1}: {wrong}"
    return None


def build(options):
    options.program = spoilt(MUTANTS)


def run(options):
    unspoilt = ({"profile": "durable", "losses": False}, 1)
    return survey(MUTANTS, lambda ways, runs: found_out(options, ways, runs), unspoilt, RUNS, HARD)
