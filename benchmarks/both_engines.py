"""The sample city's first night as it comes (`auto`), on Spark, and on a cluster: every table must have the same content.

    python -m benchmarks.both_engines [--day 2026-03-01] [--folder /tmp/citylake-engines] [--who auto spark cluster]

Prints the seconds of each night and one line per table that differs. Exit code 1 when any does.
"""

import argparse
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import duckdb
import pyarrow as pa

from benchmarks.cluster import cluster
from lakehouse.table import Table

NOW = "2026-03-01T22:00:00+08:00"
LAYERS = ("bronze", "silver", "quarantine", "gold")
BOOKS = ("results", "failing_keys", "deliveries", "scores", "releases")
OF_THE_RUN = ("at", "run_id", "tables")
"""Columns of books that name the run and the versions it wrote."""


def night(home: Path, engine: str, day: str) -> float:
    """Deliver the sample and run the night of `day`; seconds of the night. `cluster` is Spark with a master and two workers."""
    env = os.environ | {"CITYLAKE_HOME": str(home), "CITYLAKE_ENGINE": engine, "CITYLAKE_NOW": NOW}
    env["CITYLAKE_CONN_PSEUDONYMS"] = "key://:the-same-in-every-lake@"
    if engine == "cluster":
        work = home.with_name("cluster-work")
        work.mkdir()
        with cluster(work) as reached:
            return _night(env | reached | {"CITYLAKE_ENGINE": "spark"}, day)
    return _night(env, day)


def _night(env: dict[str, str], day: str) -> float:
    citylake = [str(Path(sys.executable).with_name("citylake"))]
    subprocess.run([*citylake, "init"], env=env, check=True, stdout=subprocess.DEVNULL)
    subprocess.run([*citylake, "sample", "deliver"], env=env, check=True, stdout=subprocess.DEVNULL)
    started = time.monotonic()
    subprocess.run([*citylake, "backfill", "--from", day, "--to", day], env=env, check=False)
    return time.monotonic() - started


def checksum(rows: pa.Table) -> tuple[int, int]:
    """Rows, and a sum over them that doesn't depend on their order."""
    names = ", ".join(f'"{name}"' for name in sorted(rows.schema.names))
    with duckdb.connect() as connection:
        connection.register("rows", rows)
        query = f"SELECT count(*), coalesce(sum(hash(CAST(({names}) AS VARCHAR))), 0) FROM rows"
        return connection.execute(query).fetchone()  # type: ignore[return-value]


def contents(home: Path) -> dict[str, tuple[int, int]]:
    """The checksum of every table of the lake."""
    found = {f"{path.parent.name}.{path.name}": path for layer in LAYERS for path in (home / layer).glob("*")}
    sums = {name: checksum(Table(path).read()) for name, path in sorted(found.items())}
    for book in BOOKS:
        rows = Table(home / "ops" / book).read()
        sums[f"ops.{book}"] = checksum(rows.drop_columns([n for n in OF_THE_RUN if n in rows.schema.names]))
    return sums


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--day", default="2026-03-01")
    parser.add_argument("--folder", type=Path, default=Path("/tmp/citylake-engines"))
    parser.add_argument("--who", nargs="+", choices=["auto", "spark", "cluster"], default=["auto", "spark"])
    asked = parser.parse_args()
    shutil.rmtree(asked.folder, ignore_errors=True)
    sums = {}
    for engine in asked.who:
        seconds = night(asked.folder / engine, engine, asked.day)
        sums[engine] = contents(asked.folder / engine)
        print(
            f"{engine}: {seconds:.0f} s, {sum(rows for rows, _ in sums[engine].values()):,} rows in {len(sums[engine])} tables"
        )
    differing = sorted(
        {name for of in sums.values() for name in of if len({other.get(name) for other in sums.values()}) > 1}
    )
    for name in differing:
        print(name, *(f"{engine}: {of.get(name)}" for engine, of in sums.items()))
    print("every table is equal" if not differing else f"{len(differing)} tables differ")
    return bool(differing)


if __name__ == "__main__":
    sys.exit(main())
