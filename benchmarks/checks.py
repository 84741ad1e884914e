"""Checks alone: Citylake's pass here and on Spark, one hand-written aggregate on either, plain Great Expectations on Spark.

    python -m benchmarks.checks [--rows 5000000] [--checks 20 100] [--rounds 3] [--folder /tmp/citylake-checks]
                                [--who ours sql on_spark spark_sql gx]

All read the same Parquet of text, as bronze holds it, and answer the same questions: is a value there, is it written as
its type is, does it fit its bounds, list, expression or length. They run in turns, each in a process of its own, whose
start isn't counted (Spark's first query neither), on as many threads; counts are compared before any ratio is printed.
What a check needs for its rows to be found and kept (failing keys, routing) is part of ours alone.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

ROOT = Path(__file__).parent.parent
DAY = date(2026, 3, 2)
THREADS = 2
BATCH = 500_000
PER_SET = 20
"""Checks of one set of the columns below; a wider table has the set several times."""

COLUMNS: dict[str, dict[str, Any]] = {
    "plate": {"type": "string", "required": True, "pattern": "苏F[0-9]{5}", "length": [7, 7]},
    "at": {
        "type": "timestamp", "required": True, "format": "yyyy-MM-dd HH:mm:ss", "zone": "UTC",
        "between": ["2026-03-01 00:00:00", "2026-03-02 00:00:00"],
    },
    "lon": {"type": "double", "required": True, "between": [119.0, 122.5]},
    "lat": {"type": "double", "required": True, "between": [31.0, 33.0]},
    "speed": {"type": "double", "between": [0, 160]},
    "heading": {"type": "integer", "between": [0, 359]},
    "kind": {"type": "string", "required": True, "in": ["car", "bus", "truck"]},
    "firm": {"type": "string", "required": True, "length": [18, 18]},
}  # fmt: skip
LEVEL = "warn"
"""No row is rejected: what is measured is checking, not routing."""


def contract(sets: int) -> dict[str, Any]:
    columns = {f"{name}_{n}": {**column, "level": LEVEL} for n in range(sets) for name, column in COLUMNS.items()}
    source = {"type": "file", "uri": "x/*.parquet"}
    head = {"department": "town", "dataset": "checks", "title": "checks", "kind": "sensing", "sharing": "unconditional"}
    return {**head, "source": source, "load": "append", "columns": columns}


def generate(path: Path, rows: int, sets: int) -> None:
    """Text as delivered: about 1 value in 1,000 missing, 1 in 2,000 not of its type, 1 in 1,000 out of bounds."""
    rng = np.random.default_rng(11)
    technical = {"_extra": pa.string(), "_delivery_id": pa.string(), "_source_file": pa.string()}
    writer = None
    for first in range(0, rows, BATCH):
        count = min(BATCH, rows - first)
        table: dict[str, Any] = {name: pa.nulls(count, kind) for name, kind in technical.items()}
        table["_delivery_id"] = pa.repeat(pa.scalar("d"), count)
        table["_source_file"] = pa.repeat(pa.scalar("f"), count)
        table["_source_row"] = pa.array(np.arange(first + 2, first + count + 2))
        table["_loaded_at"] = pa.repeat(pa.scalar(datetime(2026, 3, 2, tzinfo=UTC), pa.timestamp("us", "UTC")), count)
        for n in range(sets):
            table |= {f"{name}_{n}": _spoilt(rng, values) for name, values in _values(rng, count).items()}
        batch = pa.table(table)
        writer = writer or pq.ParquetWriter(path, batch.schema, compression="zstd", compression_level=1)
        writer.write_table(batch)
    if writer:
        writer.close()


def _values(rng: np.random.Generator, count: int) -> dict[str, pa.Array]:
    number = pc.utf8_lpad(pa.array(rng.integers(0, 100_000, count)).cast(pa.string()), 5, "0")
    instants = np.datetime64("2026-03-01T00:00:00") + rng.integers(0, 86_500, count).astype("timedelta64[s]")
    return {
        "plate": pc.binary_join_element_wise("苏F", number, ""),
        "at": pc.strftime(pa.array(instants), format="%Y-%m-%d %H:%M:%S"),
        "lon": pa.array(rng.normal(121, 0.4, count).round(6)).cast(pa.string()),
        "lat": pa.array(rng.normal(32, 0.28, count).round(6)).cast(pa.string()),
        "speed": pa.array(rng.gamma(4, 14, count).round(1)).cast(pa.string()),
        "heading": pa.array(rng.integers(0, 361, count)).cast(pa.string()),
        "kind": pa.array(["car", "bus", "truck", "Car"]).take(_dice(rng, count, [0.6, 0.2, 0.199, 0.001])),
        "firm": pc.binary_join_element_wise(
            "91320600MA1", number, pa.array(["K5", "K55"]).take(_dice(rng, count, [0.999, 0.001])), ""
        ),
    }  # fmt: skip


def _dice(rng: np.random.Generator, count: int, chances: list[float]) -> pa.Array:
    return pa.array(rng.choice(len(chances), count, p=chances))


def _spoilt(rng: np.random.Generator, values: pa.Array) -> pa.Array:
    dice = rng.random(len(values))
    return pc.if_else(pa.array(dice < 0.001), None, pc.if_else(pa.array(dice > 0.9995), pa.scalar("x"), values))


# --- ours ---


def ours(file: Path, sets: int) -> tuple[float, dict[str, list[int]]]:
    """The pass as `citylake check` runs it: every count, and the first failing rows of each check; nothing is written."""
    from expectations.plan import Plan
    from jobs.judge import measured, prepare, unsound
    from jobs.tally import Tally, Verdict
    from lakehouse.contract import Contract
    from lakehouse.engine import embedded as engine
    from lakehouse.settings import Settings

    os.environ |= {"CITYLAKE_HOME": str(file.parent / "lake")}
    settings = Settings.from_environment().model_copy(update={"threads": THREADS})
    started = time.monotonic()
    plan = Plan(Contract.model_validate(contract(sets)), {}, DAY)
    with engine.session(settings) as connection:
        engine.read_slice(connection, "bronze", [str(file)], deliveries=["d"], names=["f"])
        prepare(connection, settings.catalog, plan)
        verdict = Verdict(plan, [], measured(connection, plan), file.parent)
        tally = Tally.of_unsound(plan, unsound(connection, plan), pq.read_metadata(file).num_rows)
    results = verdict.results(tally)
    seconds = time.monotonic() - started
    return seconds, {r.rule.id: [r.evaluated, r.evaluated - r.passed] for r in results if r.rule.id != "declared"}


# --- one hand-written aggregate ---

_CASTS = {
    "timestamp": "CASE WHEN regexp_full_match({t}, '\\d{{4}}-\\d\\d-\\d\\d \\d\\d:\\d\\d:\\d\\d') THEN try_cast({t} AS TIMESTAMP) END",
    "double": "try_cast({t} AS DOUBLE)",
    "integer": "CASE WHEN regexp_full_match({t}, '[+-]?\\d{{1,18}}') THEN try_cast({t} AS BIGINT) END",
}


def aggregate(sets: int) -> tuple[str, list[str]]:
    """SQL of one row with two counts (judged, broken) per check, and the checks in that order."""
    typed, counts, names = [], [], []
    for name, column in contract(sets)["columns"].items():
        text, kind = f"nullif(trim({name}), '')", column["type"]
        typed.append(f"{text} AS t_{name}")
        if kind != "string":
            typed.append(f"{_CASTS[kind].format(t=f't_{name}')} AS {name}")
        value = f"t_{name}" if kind == "string" else name
        for check, judged, passes in _conditions(column, f"t_{name}", value):
            names.append(f"{name}.{check}")
            counts += [f"count(*) FILTER ({judged})", f"count(*) FILTER ({judged} AND NOT ({passes}))"]
    return f"SELECT {', '.join(counts)} FROM (SELECT {', '.join(typed)} FROM read_parquet(?))", names


def _conditions(
    column: dict[str, Any], text: str, value: str, match: str = "regexp_matches"
) -> Iterator[tuple[str, str, str]]:
    if column.get("required"):
        yield "required", "true", f"{text} IS NOT NULL"
    if column["type"] != "string":
        yield "type", f"{text} IS NOT NULL", f"{value} IS NOT NULL"
    filled = f"{value} IS NOT NULL"
    if "length" in column:
        yield "length", filled, f"length({value}) BETWEEN {column['length'][0]} AND {column['length'][1]}"
    if "pattern" in column:
        yield "pattern", filled, f"{match}({value}, '^{column['pattern']}$')"
    if "in" in column:
        yield "in", filled, f"{value} IN ({', '.join(map(repr, column['in']))})"
    if "between" in column:
        low, high = (f"TIMESTAMP '{b}'" if isinstance(b, str) else str(b) for b in column["between"])
        yield "between", filled, f"{value} BETWEEN {low} AND {high}"


def sql(file: Path, sets: int) -> tuple[float, dict[str, list[int]]]:
    import duckdb

    started = time.monotonic()
    query, names = aggregate(sets)
    with duckdb.connect(config={"threads": THREADS}) as connection:
        row = connection.execute(query, [str(file)]).fetchone()
    assert row is not None
    return time.monotonic() - started, {name: list(row[2 * i : 2 * i + 2]) for i, name in enumerate(names)}


# --- plain Great Expectations on Spark ---

_SPARK_CASTS = {"timestamp": "try_to_timestamp({t}, 'yyyy-MM-dd HH:mm:ss')", "double": "try_cast({t} AS DOUBLE)",
                "integer": "try_cast({t} AS BIGINT)"}  # fmt: skip


def gx(file: Path, sets: int) -> tuple[float, dict[str, list[int]]]:
    """Its own suite on a DataFrame with each column as text and typed, default result format."""
    from great_expectations.core import ExpectationSuite
    from pyspark.sql import SparkSession

    from expectations.suite.run import validate

    settings = {"spark.driver.memory": "4g", "spark.sql.shuffle.partitions": str(THREADS), "spark.ui.enabled": "false"}
    builder = SparkSession.builder.master(f"local[{THREADS}]").config("spark.sql.session.timeZone", "UTC")
    spark = builder.config(map=settings).getOrCreate()
    columns = contract(sets)["columns"]
    texts = [f"nullif(trim({name}), '') AS t_{name}" for name in columns]
    typed = [
        (_SPARK_CASTS[c["type"]].format(t=f"t_{name}") if c["type"] != "string" else f"t_{name}") + f" AS {name}"
        for name, c in columns.items()
    ]
    frame = spark.read.parquet(str(file)).selectExpr(*texts).selectExpr("*", *typed)
    frame.limit(1).collect()
    spark.sparkContext.setJobGroup("gx", "gx")
    started = time.monotonic()
    asked = [entry for name, column in columns.items() for entry in _asked(name, column)]
    found = validate(frame, ExpectationSuite(name="checks", expectations=asked), {"result_format": "BASIC"})
    seconds = time.monotonic() - started
    print(f"spark jobs: {len(spark.sparkContext.statusTracker().getJobIdsForGroup('gx'))}", file=sys.stderr)
    spark.stop()
    counts = {}
    for each in found["results"]:
        said = each["result"]
        judged = said["element_count"] - (said.get("missing_count") or 0)
        counts[each["expectation_config"]["meta"]["id"]] = [judged, said["unexpected_count"]]
    return seconds, counts


def _asked(name: str, column: dict[str, Any]) -> Iterator[dict[str, Any]]:
    def entry(check: str, kind: str, **kwargs: Any) -> dict[str, Any]:
        return {"type": kind, "kwargs": kwargs, "meta": {"id": f"{name}.{check}"}}

    if column.get("required"):
        yield entry("required", "expect_column_values_to_not_be_null", column=f"t_{name}")
    if column["type"] != "string":
        sent = {"type": "nullity", "column": {"name": f"t_{name}"}, "is_null": False}
        yield entry("type", "expect_column_values_to_not_be_null", column=name, row_condition=sent)
    if "length" in column:
        low, high = column["length"]
        kind = "expect_column_value_lengths_to_be_between"
        yield entry("length", kind, column=name, min_value=low, max_value=high)
    if "pattern" in column:
        yield entry("pattern", "expect_column_values_to_match_regex", column=name, regex=f"^{column['pattern']}$")
    if "in" in column:
        yield entry("in", "expect_column_values_to_be_in_set", column=name, value_set=column["in"])
    if "between" in column:
        low, high = column["between"]
        yield entry("between", "expect_column_values_to_be_between", column=name, min_value=low, max_value=high)


# --- ours on Spark's workers, and one hand-written Spark aggregate ---


def on_spark(file: Path, sets: int) -> tuple[float, dict[str, list[int]]]:
    """The pass of `ours` in parts on Spark's workers; the engine is up and its workers have their imports."""
    from expectations.plan import Plan
    from jobs.parts import Pass, cut
    from jobs.tally import Tally, Verdict
    from lakehouse.contract import Contract
    from lakehouse.engine.spark import each, session
    from lakehouse.settings import Settings

    os.environ |= {"CITYLAKE_HOME": str(file.parent / "lake"), "CITYLAKE_THREADS": str(THREADS)}
    settings = Settings.from_environment()
    with session(settings):
        list(each(settings, warm, [1, 2]))
        started = time.monotonic()
        plan = Plan(Contract.model_validate(contract(sets)), {}, DAY)
        one = settings.model_copy(update={"threads": 1})
        whole = Pass(plan, ("d",), ("f",), one, file.parent, file.parent, "benchmark")
        tally = Tally()
        for part in each(settings, counted, cut(whole, [str(file)], BATCH)):
            tally.absorb(part)
        results = Verdict(plan, [], {}, file.parent).results(tally)
        seconds = time.monotonic() - started
    print("spark jobs: 1", file=sys.stderr)
    return seconds, {r.rule.id: [r.evaluated, r.evaluated - r.passed] for r in results if r.rule.id != "declared"}


def warm(item: int) -> int:
    import jobs.parts  # noqa: F401 (what the first task of a worker pays)

    return item


def counted(part: Any) -> Any:
    """On a worker: the tally of one part."""
    from jobs import judge
    from jobs.tally import Tally
    from lakehouse.engine import embedded as engine

    with engine.session(part.of.settings) as connection:
        part.of.read(connection, "bronze", part.files, part.rows)
        rows = connection.table("bronze").count("*").fetchone()[0]
        return Tally.of_unsound(part.of.plan, judge.unsound(connection, part.of.plan), rows)


def spark_sql(file: Path, sets: int) -> tuple[float, dict[str, list[int]]]:
    from pyspark.sql import SparkSession

    settings = {"spark.driver.memory": "4g", "spark.sql.shuffle.partitions": str(THREADS), "spark.ui.enabled": "false"}
    builder = SparkSession.builder.master(f"local[{THREADS}]").config("spark.sql.session.timeZone", "UTC")
    spark = builder.config(map=settings).getOrCreate()
    columns = contract(sets)["columns"]
    frame = spark.read.parquet(str(file)).selectExpr(*(f"nullif(trim({name}), '') AS t_{name}" for name in columns))
    typed = [
        f"{_SPARK_CASTS[c['type']].format(t=f't_{name}')} AS {name}"
        for name, c in columns.items()
        if c["type"] != "string"
    ]
    frame.limit(1).collect()
    started = time.monotonic()
    names, counts = [], []
    for name, column in columns.items():
        value = f"t_{name}" if column["type"] == "string" else name
        for check, judged, passes in _conditions(column, f"t_{name}", value, "regexp_like"):
            names.append(f"{name}.{check}")
            counts += [f"count_if({judged})", f"count_if({judged} AND NOT ({passes}))"]
    row = frame.selectExpr("*", *typed).selectExpr(*(f"{c} AS c{i}" for i, c in enumerate(counts))).collect()[0]
    seconds = time.monotonic() - started
    spark.stop()
    return seconds, {name: [row[2 * i], row[2 * i + 1]] for i, name in enumerate(names)}


WHO = {"ours": ours, "sql": sql, "on_spark": on_spark, "spark_sql": spark_sql, "gx": gx}


def timed(who: str, file: Path, sets: int) -> tuple[float, dict[str, list[int]]]:
    """Seconds and counts of one run in a process of its own."""
    code = (
        "import json, sys; from pathlib import Path; from benchmarks.checks import WHO;"
        "print(json.dumps(WHO[sys.argv[1]](Path(sys.argv[2]), int(sys.argv[3]))))"
    )
    arguments = [sys.executable, "-c", code, who, str(file), str(sets)]
    done = subprocess.run(arguments, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{who} failed\n{done.stderr[-2000:]}")
    if "spark jobs" in done.stderr:
        print("  " + next(line for line in done.stderr.splitlines() if line.startswith("spark jobs")), flush=True)
    seconds, counts = json.loads(done.stdout.splitlines()[-1])
    return seconds, counts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=5_000_000)
    parser.add_argument("--checks", type=int, nargs="+", default=[20, 100])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path, default=Path("/tmp/citylake-checks"))
    parser.add_argument("--who", nargs="+", default=list(WHO), choices=list(WHO))
    asked = parser.parse_args()
    asked.folder.mkdir(parents=True, exist_ok=True)
    for checks in asked.checks:
        sets = checks // PER_SET
        file = asked.folder / f"{asked.rows}x{checks}.parquet"
        if not file.exists():
            generate(file, asked.rows, sets)
        print(
            f"{checks} checks, {asked.rows:,} rows, {file.stat().st_size / 1e6:.0f} MB; {asked.rounds} rounds in turns",
            flush=True,
        )
        seconds: dict[str, list[float]] = {who: [] for who in asked.who}
        counts: dict[str, dict[str, list[int]]] = {}
        for _ in range(asked.rounds):
            for who in asked.who:
                took, counts[who] = timed(who, file, sets)
                seconds[who].append(took)
                print(f"  {who}: {took:.2f} s", flush=True)
        first, *others = (counts[who] for who in asked.who)
        assert len(first) == checks, f"{len(first)} checks"
        for who, other in zip(asked.who[1:], others, strict=True):
            differing = {name: (first[name], other.get(name)) for name in first if first[name] != other.get(name)}
            assert not differing, f"{who} counts otherwise: {differing}"
        print(f"  counts equal: {sum(broken for _, broken in first.values()):,} broken in {len(first)} checks")
        median = {who: statistics.median(took) for who, took in seconds.items()}
        for who in asked.who:
            print(
                f"  {who}: median {median[who]:.2f} s"
                + (f", {median[who] / median['ours']:.2f} x ours" if "ours" in median else "")
            )


if __name__ == "__main__":
    main()
