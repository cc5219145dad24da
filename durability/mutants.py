"""Ways to spoil the server, each of which the rounds have to find out: a round that finds nothing shows nothing.

They are put into a copy of the sources, and chosen by a variable of the environment: nothing of them is in the program.
"""

import os
import random
import re
import subprocess
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

HOOK = 'std::env::var("MUTANT").is_ok_and(|mutant| mutant == "{}")'

# Of each: what is spoilt, what ends it, and in which file which text becomes which.
MUTANTS = {
    "synchronous": (
        "commits are not synced",
        ["power"],
        [(
            "switchboard/src/log/sqlite/file.rs",
            'connection.pragma_update(None, "synchronous", "FULL")?;',
            'connection.pragma_update(None, "synchronous", if @ { "OFF" } else { "FULL" })?;',
        )],
    ),
    "acknowledged": (
        "it is acknowledged before the commit",
        ["kill", "power"],
        [
            ("switchboard/src/hub/durable.rs", "    underway: Vec<Unconfirmed>,", "    pub(super) underway: Vec<Unconfirmed>,"),
            (
                "switchboard/src/hub/room/keeping.rs",
                "        let mut handed = Handed(",
                """        if @ {
            let state = self.state.lock();
            for one in state.durable.iter().flat_map(|durable| &durable.underway) {
                let published = Published { id: one.message.id, time: one.message.time };
                one.confirmation.settle(Ok(published));
            }
        }
        let mut handed = Handed(""",
            ),
        ],
    ),
    "delivered": (
        "it is shown before the commit",
        ["kill", "power"],
        [
            (
                "switchboard/src/hub/room/keeping.rs",
                "        let mut handed = Handed(",
                """        if @ {
            let mut state = self.state.lock();
            for message in &messages {
                self.show(&mut state, Arc::clone(message), Except::Nobody);
            }
        }
        let mut handed = Handed(""",
            ),
            (
                "switchboard/src/hub/room/keeping.rs",
                "        if kept.is_ok() && shown.is_none() {\n",
                "        if kept.is_ok() && shown.is_none() && !@ {\n",
            ),
        ],
    ),
    "epochs": (
        "rooms have another epoch at each start",
        ["kill"],
        [(
            "switchboard/src/log/sqlite.rs",
            "        let found = file::found(&connection)",
            """        if @ {
            _ = connection.execute("UPDATE rooms SET epoch = 100000 + abs(random() % 900000)", []);
        }
        let found = file::found(&connection)""",
        )],
    ),
}

# Ends after which a mutant that is not found out yet lives.
ENDS = 40


def spoilt(mutants):
    """A server that can be spoilt in each of these ways."""
    place = ROOT / "target" / "mutants"
    sources = place / "sources"
    names = subprocess.run(["git", "ls-files", "-zco", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    texts = {}
    for _, _, changes in mutants.values():
        for name, _, _ in changes:
            texts[name] = (ROOT / name).read_text()
    for mutant, (_, _, changes) in mutants.items():
        for name, old, new in changes:
            if texts[name].count(old) != 1:
                raise SystemExit(f"mutant {mutant}: {name} has not once {old!r}; the mutant has to follow it")
            texts[name] = texts[name].replace(old, new.replace("@", HOOK.format(mutant)))
    for name in filter(None, names.split("\0")):
        text = texts.get(name, None)
        content = (ROOT / name).read_bytes() if text is None else text.encode()
        copy = sources / name
        # What has not changed keeps its time, so that it is not built again.
        if not copy.exists() or copy.read_bytes() != content:
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(content)
    environment = {**os.environ, "CARGO_TARGET_DIR": str(place / "target"), "CARGO_PROFILE_DEV_DEBUG": "0"}
    packages = ["--package", "switchboard-cli", "--package", "switchboard-checker"]
    subprocess.run(["cargo", "build", "--quiet", "--bins", *packages], cwd=sources, env=environment, check=True)
    return place / "target" / "debug" / "switchboard"


def found_out(program, kinds, rng, ends):
    """After how many ends, and how; None if it is not."""
    from durability.main import rounds_of
    from durability.server import Failed

    with tempfile.TemporaryDirectory(prefix="switchboard-") as folder:
        acts = [(kind, rounds_of(kind, program, Path(folder) / kind, rng)[1]) for kind in kinds]
        for number in range(ends):
            kind, act = acts[number % len(acts)]
            try:
                act()
            except Failed as failed:
                return f"{kind} {number // len(acts) + 1}: {failed}"
    return None


def survey(mutants, found_out, unspoilt, patience, hard=()):
    """Fails if what is not spoilt is blamed by `found_out(*unspoilt)`, or a mutant that is not hard to find out lives for so long: the exit code."""
    os.environ.pop("MUTANT", None)
    blamed = found_out(*unspoilt)
    if blamed:
        print(f"FAILED: nothing is spoilt, and it is blamed: {blamed}")
        return 1
    living = []
    for mutant, (what, ways, _) in mutants.items():
        os.environ["MUTANT"] = mutant
        blamed = found_out(ways, patience)
        print(f"{what}: {re.sub('x{9,}', 'x…', blamed)[:300] if blamed else 'NOT FOUND OUT'}", flush=True)
        living += [] if blamed or mutant in hard else [mutant]
    print(f"{1 + len(mutants) - len(living)} passed, {len(living)} failed, 0 skipped")
    return 1 if living else 0


def run(seed):
    program, rng = spoilt(MUTANTS), random.Random(seed)
    return survey(MUTANTS, lambda kinds, ends: found_out(program, kinds, rng, ends), (["kill", "power"], 6), ENDS)
