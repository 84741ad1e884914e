"""`make chaos`: seeds one after the other, a line each; goes on where it stopped, for what has been tried stands in a file.

`python -m tests.chaos --plan ...` repeats one plan, as a failing seed prints it.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from lakehouse.runs import code_version
from tests.chaos.faults import SMALL_BYTES
from tests.chaos.plan import FOUND, Plan, drawn
from tests.chaos.race import lost
from tests.chaos.seeds import Stage, Verdict, tried
from tests.chaos.story import ON_SPARK

ROUNDS = 1_000
_HISTORY = Path(".chaos")


def main() -> int:
    """Runs what is asked for; returns 0 when every promise held in every seed that was ever tried from this base."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, default=200, help="how many; every fifth with Spark")
    parser.add_argument("--base", type=int, default=1, help="the first seed; another base is another history")
    parser.add_argument("--plan", type=Plan.of, help="only this one")
    asked = parser.parse_args()
    os.environ["CITYLAKE_LOG_LEVEL"] = "CRITICAL"
    if asked.plan:
        engine = "spark" if asked.plan.act == ON_SPARK else "embedded"
        with disk(engine) as root:
            return _said("", tried(Stage(root, engine), asked.plan))
    _HISTORY.mkdir(exist_ok=True)
    history = _HISTORY / f"{asked.base}.jsonl"
    on_spark = asked.seeds // 5
    _go_on(history, "embedded", FOUND)
    _go_on(history, "embedded", range(asked.base, asked.base + asked.seeds - on_spark))
    _go_on(history, "spark", range(asked.base, asked.base + on_spark))
    _race(history)
    return _summed_up(history)


def _race(history: Path) -> None:
    """Two writers on one table, as often as it says, once a history."""
    if any(row["engine"] == "race" for row in _told(history)):
        return
    with disk() as root, history.open("a") as file:
        begun, gone = time.monotonic(), lost(root, ROUNDS)
        verdict = Verdict(
            Plan("race", "two writers"),
            [f"{len(gone)} commits are lost"] if gone else [],
            True,
            [],
            time.monotonic() - begun,
        )
        _said(f"{ROUNDS} rounds", verdict)
        _keep(file, "race", 0, verdict)


def _keep(file: IO[str], engine: str, seed: int | str, verdict: Verdict) -> None:
    row = {"engine": engine, "seed": seed, "plan": str(verdict.plan), "hit": verdict.hit}
    row |= {"broken": verdict.broken, "seconds": round(verdict.seconds, 1), "code": code_version()}
    file.write(json.dumps(row, ensure_ascii=False) + "\n")
    file.flush()


def _go_on(history: Path, engine: str, seeds: Sequence[int | str]) -> None:
    """Try the seeds, or the plans, that haven't held yet."""
    done = {(row["engine"], row["seed"]) for row in _told(history) if not row["broken"]}
    if not (left := [seed for seed in seeds if (engine, seed) not in done]):
        return
    with disk(engine) as root, history.open("a") as file:
        stage = Stage(root, engine)
        for seed in left:
            plan = Plan.of(seed) if isinstance(seed, str) else drawn(seed, stage.points(), engine)
            verdict = tried(stage, plan)
            _said("found before" if isinstance(seed, str) else f"{engine} {seed}", verdict)
            _keep(file, engine, seed, verdict)


@contextmanager
def disk(engine: str = "embedded") -> Iterator[Path]:
    """A folder for towns: on a small disk of its own where one can be mounted, so that it can be filled up. Spark needs more."""
    root = Path(tempfile.mkdtemp(prefix="citylake-chaos-"))
    if engine == "spark":
        yield root
        shutil.rmtree(root, ignore_errors=True)
        return
    size = f"size={SMALL_BYTES >> 20}m"
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", size, "tmpfs", str(root)], capture_output=True, check=False)
    try:
        yield root
    finally:
        if mounted.returncode == 0:
            subprocess.run(["umount", "--lazy", str(root)], check=False)
        shutil.rmtree(root, ignore_errors=True)


def _said(which: str, verdict: Verdict) -> int:
    state = "BROKEN" if verdict.broken else "held" if verdict.hit else "held (its moment didn't come)"
    print(f"{which:<13} {verdict.seconds:5.1f} s  {state}  {verdict.plan}", flush=True)
    for line in verdict.broken:
        print(f"    {line[:300]}")
    if verdict.broken:
        print(f"    again: {sys.executable} -m tests.chaos --plan '{verdict.plan}'", flush=True)
    return int(bool(verdict.broken))


def _told(history: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in history.read_text().splitlines()] if history.exists() else []


def _summed_up(history: Path) -> int:
    last = {(row["engine"], row["seed"]): row for row in _told(history)}.values()
    kinds = [":".join(str(row["plan"]).split(":")[:2]) for row in last]
    tries, hits = Counter(kinds), Counter(kind for kind, row in zip(kinds, last, strict=True) if row["hit"])
    broken = Counter(kind for kind, row in zip(kinds, last, strict=True) if row["broken"])
    print(f"\n{'act and fault':<28} seeds   hit  broken")
    for kind in sorted(tries):
        print(f"{kind:<28} {tries[kind]:5} {hits[kind]:5} {broken[kind]:7}")
    print(f"{'all':<28} {len(kinds):5} {sum(hits.values()):5} {sum(broken.values()):7}")
    return int(bool(broken))


if __name__ == "__main__":
    sys.exit(main())
