"""An upsert of few rows into a large table sorted by key: `Table.merge` beside textbook MERGEs of delta-rs and of Spark.

    python -m benchmarks.upsert [--rows 50000000] [--changed 50000] [--new 5000] [--keys random] [--rounds 1]
                                [--folder /tmp/citylake-upsert] [--who ours delta_rs spark]

Changed keys are drawn from the whole table (`random`) or are its last ones (`recent`). Everybody works on a copy of the same
table (hard links) in a process of its own. Outputs are compared before any ratio is printed; ours is given the same batch a
second time, which must write no file.
"""

import argparse
import os
import shutil
import statistics
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from deltalake import write_deltalake

from benchmarks.gps_night import timed
from benchmarks.plain_spark import plain_spark
from lakehouse.table import PROPERTIES, Commit, Table, writing

BLOCK = 1_000_000
WHO = ("ours", "delta_rs", "spark")
RANK = ("changed_at",)


def rows_of(keys: np.ndarray, at: datetime, rng: np.random.Generator) -> pa.Table:
    """A register's rows: a key, a name, a state, an amount, when it was changed, and where the row came from."""
    names = pa.array([f"Firm {number}" for number in range(10_000)])
    states = pa.array(["open", "closed", "moved", "suspended"])
    count = len(keys)
    return pa.table(
        {
            "licence_no": pc.binary_join_element_wise("L", pc.utf8_lpad(pa.array(keys).cast(pa.string()), 10, "0"), ""),
            "name": names.take(pa.array(rng.integers(0, 10_000, count))),
            "state": states.take(pa.array(rng.integers(0, 4, count))),
            "amount": np.round(rng.uniform(0, 1e6, count), 2),
            "changed_at": pa.repeat(pa.scalar(at, pa.timestamp("us", "UTC")), count),
            "_delivery_id": pa.repeat(f"{int(at.timestamp()):032x}", count),
            "_source_row": np.arange(count) + 2,
        }
    )


def build(folder: Path, rows: int) -> None:
    rng, at = np.random.default_rng(7), datetime(2026, 3, 1, tzinfo=UTC)
    blocks = (rows_of(np.arange(first, min(first + BLOCK, rows)), at, rng) for first in range(0, rows, BLOCK))
    for block in blocks:
        write_deltalake(
            str(folder / "base"),
            block,
            mode="append",
            description="engine=embedded",
            configuration=PROPERTIES,
            writer_properties=writing(None),
        )


def batch(rows: int, changed: int, new: int, keys: str) -> pa.Table:
    rng = np.random.default_rng(8)
    old = rng.choice(rows, changed, replace=False) if keys == "random" else np.arange(rows - changed, rows)
    return rows_of(np.concatenate([old, np.arange(rows, rows + new)]), datetime(2026, 3, 2, tzinfo=UTC), rng)


def ours(path: Path, rows: pa.Table) -> None:
    table = Table(path)
    started = time.monotonic()
    table.merge(rows, Commit("upsert"), key=("licence_no",), rank=RANK)
    print(time.monotonic() - started)


def delta_rs(path: Path, rows: pa.Table) -> None:
    from deltalake import DeltaTable

    started = time.monotonic()
    merger = DeltaTable(str(path)).merge(rows, "t.licence_no = s.licence_no", source_alias="s", target_alias="t")
    merger.when_matched_update_all("s.changed_at > t.changed_at").when_not_matched_insert_all().execute()
    print(time.monotonic() - started)


def spark(path: Path, rows: pa.Table) -> None:
    import pyarrow.parquet as pq

    given = path.with_name("batch.parquet")
    pq.write_table(rows, given)
    session = plain_spark(path.parent / "spill")
    session.read.format("delta").load(str(path)).limit(1).collect()  # its start isn't the work
    started = time.monotonic()
    session.read.parquet(str(given)).createOrReplaceTempView("s")
    session.sql(
        f"MERGE INTO delta.`{path}` AS t USING s ON t.licence_no = s.licence_no"
        " WHEN MATCHED AND s.changed_at > t.changed_at THEN UPDATE SET * WHEN NOT MATCHED THEN INSERT *"
    ).collect()
    print(time.monotonic() - started)
    session.stop()


def facts(path: Path) -> tuple[Any, ...]:
    import duckdb

    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        rows = connection.read_parquet(Table(path).files(), hive_partitioning=False)
        return (
            rows.aggregate(
                "count(*), count(DISTINCT licence_no), sum(hash(licence_no)), sum(hash(name, state)), sum(round(amount * 100)::HUGEINT),"
                "sum(epoch_us(changed_at)::HUGEINT), sum(hash(_delivery_id)), sum(_source_row)"
            ).fetchone()
            or ()
        )


def copied(folder: Path, who: str) -> Path:
    path = folder / who / "table"
    shutil.rmtree(path.parent, ignore_errors=True)
    shutil.copytree(folder / "base", path, copy_function=os.link)
    return path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=50_000_000)
    parser.add_argument("--changed", type=int, default=50_000)
    parser.add_argument("--new", type=int, default=5_000)
    parser.add_argument("--keys", choices=["random", "recent"], default="random")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--folder", type=Path, default=Path("/tmp/citylake-upsert"))
    parser.add_argument("--who", nargs="+", choices=WHO, default=list(WHO))
    parser.add_argument("--only", nargs=2, metavar=("WHO", "STEP"))
    asked = parser.parse_args()
    if asked.only:
        who, shape = asked.only
        rows, changed, new, keys = shape.split(",")
        {"ours": ours, "delta_rs": delta_rs, "spark": spark}[who](
            asked.folder / who / "table", batch(int(rows), int(changed), int(new), keys)
        )
        return
    stamp = asked.folder / f"rows-{asked.rows}"
    if not stamp.exists():
        shutil.rmtree(asked.folder, ignore_errors=True)
        build(asked.folder, asked.rows)
        stamp.touch()
    print(f"{asked.changed:,} changed and {asked.new:,} new keys ({asked.keys}) into {asked.rows:,} rows", flush=True)
    shape = f"{asked.rows},{asked.changed},{asked.new},{asked.keys}"
    found: dict[str, list[tuple[float, float]]] = {}
    outputs = {}
    for _ in range(asked.rounds):
        for who in asked.who:
            path = copied(asked.folder, who)
            found.setdefault(who, []).append(timed("benchmarks.upsert", asked.folder, who, shape))
            outputs[who] = facts(path)
            print(f"{who}: {found[who][-1][0]:.1f} s, {found[who][-1][1]:.0f} MB", flush=True)
    print("outputs equal:", len(set(outputs.values())) == 1, outputs)
    if "ours" in asked.who:
        version = Table(asked.folder / "ours/table").version()
        seconds, _ = timed("benchmarks.upsert", asked.folder, "ours", shape)
        same = Table(asked.folder / "ours/table").version() == version
        print(f"the same batch again: {seconds:.1f} s, {'no file' if same else 'FILES'} written")
        if not same:
            sys.exit(1)
    first = statistics.median(seconds for seconds, _ in found[asked.who[0]])
    for who, rounds in found.items():
        seconds, peak = statistics.median(s for s, _ in rounds), max(memory for _, memory in rounds)
        print(f"{who}: {seconds:.1f} s, {seconds / first:.2f} x {asked.who[0]}, peak {peak:.0f} MB")


if __name__ == "__main__":
    main()
