"""A city's day of sensor readings, 75 units' files, from CSV to checked silver: Citylake beside hand-written scripts.

    python -m benchmarks.sensor_day [--rows 34000000] [--rounds 1] [--folder /tmp/citylake-sensors]
                                    [--who ours duckdb on_spark pyspark]

`duckdb` is a script with DuckDB and delta-rs, `pyspark` one with Spark and Delta; both do the same checks (required, types,
pattern, lists, bounds, the first of each key), keep what fails aside, and write a Delta table. They have no landing, no
bronze, no books. `on_spark` is Citylake with engine spark. Each runs in a process of its own, in turns; outputs are compared
before any ratio is printed. Memory is the summed proportional set size of the process tree.
"""

import argparse
import os
import shutil
import statistics
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.gps_night import timed
from benchmarks.plain_spark import plain_spark
from lakehouse.table import Table

WHO = ("ours", "duckdb", "on_spark", "pyspark")


def ours(folder: Path, engine: str) -> None:
    os.environ |= {
        "CITYLAKE_HOME": str(folder / "lake"),
        "CITYLAKE_CATALOG": str(folder / "lake/catalog"),
        "CITYLAKE_ENGINE": engine,
    }
    import jobs.clean
    import jobs.pull  # noqa: F401 (imports aren't the work)
    from jobs.run import run
    from lakehouse.engine.server import end_started
    from samples.full import DAY

    started = time.monotonic()
    for step in ("bring", "clean"):
        begun = time.monotonic()
        run(step, DAY, "sensing")
        print(f"  {step} {time.monotonic() - begun:.1f} s", file=sys.stderr, flush=True)
    print(time.monotonic() - started)
    end_started()


def duckdb(folder: Path) -> None:
    """What a good data engineer writes in an afternoon."""
    import duckdb
    from deltalake import write_deltalake

    started = time.monotonic()
    out = folder / "duckdb"
    shutil.rmtree(out, ignore_errors=True)
    connection = duckdb.connect(
        config={
            "threads": 2,
            "memory_limit": "6GB",
            "temp_directory": str(folder / "spill"),
            "preserve_insertion_order": False,
        }
    )
    connection.execute("SET TimeZone = 'UTC'")
    kinds = [f"kind_{number:03d}" for number in range(100)]
    connection.execute(
        """CREATE TABLE judged AS
           WITH typed AS (
             SELECT trim(sensor) AS sensor, trim(kind) AS kind, trim(unit) AS unit,
                    try_strptime(read_at, '%Y-%m-%d %H:%M:%S') - INTERVAL 8 HOUR AS read_at,
                    try_cast(value AS DOUBLE) AS value, try_cast(battery AS BIGINT) AS battery, trim(state) AS state,
                    filename AS file
             FROM read_csv($files, all_varchar = true, header = true, filename = true)),
           ruled AS (
             SELECT *, sensor <> '' AND kind <> '' AND unit <> '' AND read_at IS NOT NULL AND value IS NOT NULL AS sound,
                    list_filter([
                      CASE WHEN NOT regexp_full_match(sensor, '[0-9]{2}-[0-9]{6}') THEN 'sensor' END,
                      CASE WHEN NOT list_contains($kinds, kind) THEN 'kind' END,
                      CASE WHEN NOT regexp_full_match(unit, 'unit_[0-9]{2}') THEN 'unit' END,
                      CASE WHEN NOT (value BETWEEN -50 AND 1000) THEN 'value' END,
                      CASE WHEN NOT (battery BETWEEN 0 AND 100) THEN 'battery' END,
                      CASE WHEN state NOT IN ('ok', 'low', 'fault') THEN 'state' END], x -> x IS NOT NULL) AS warnings
             FROM typed)
           SELECT *, row_number() OVER (PARTITION BY sensor, read_at) = 1 AS first FROM ruled""",
        {"files": str(folder / "lake/inbox/sensing/readings/*/*.csv"), "kinds": kinds},
    )
    day = ", DATE '2026-03-02' AS _day"
    for table, chosen in (("silver", "sound AND first"), ("quarantine", "NOT (sound AND first)")):
        rows = connection.execute(f"SELECT * EXCLUDE (sound, first){day} FROM judged WHERE {chosen}")
        write_deltalake(str(out / table), rows.to_arrow_reader(122_880), partition_by=["_day"], mode="append")
    print(time.monotonic() - started)


def pyspark(folder: Path) -> None:
    """The same in plain PySpark."""
    from pyspark.sql import Window
    from pyspark.sql import functions as F

    out = folder / "pyspark"
    shutil.rmtree(out, ignore_errors=True)
    spark = plain_spark(folder / "spill")
    spark.range(1_000_000).selectExpr("sum(id)").collect()  # its start isn't the work
    started = time.monotonic()
    raw = spark.read.option("header", True).csv(str(folder / "lake/inbox/sensing/readings/*/*.csv"))
    typed = raw.select(
        *(F.trim(name).alias(name) for name in ("sensor", "kind", "unit", "state")),
        (F.try_to_timestamp("read_at", F.lit("yyyy-MM-dd HH:mm:ss")) - F.expr("INTERVAL 8 HOURS")).alias("read_at"),
        F.expr("try_cast(value AS DOUBLE)").alias("value"),
        F.expr("try_cast(battery AS BIGINT)").alias("battery"),
    )
    kinds = [f"kind_{number:03d}" for number in range(100)]
    rules = {
        "sensor": ~F.col("sensor").rlike("^[0-9]{2}-[0-9]{6}$"),
        "kind": ~F.col("kind").isin(kinds),
        "unit": ~F.col("unit").rlike("^unit_[0-9]{2}$"),
        "value": ~F.col("value").between(-50, 1000),
        "battery": ~F.col("battery").between(0, 100),
        "state": ~F.col("state").isin("ok", "low", "fault"),
    }
    sound = (F.col("sensor") != "") & (F.col("kind") != "") & (F.col("unit") != "")
    sound &= F.col("read_at").isNotNull() & F.col("value").isNotNull()
    first = F.row_number().over(Window.partitionBy("sensor", "read_at").orderBy(F.lit(1))) == 1
    judged = typed.withColumns(
        {
            "sound": sound,
            "first": first,
            "warnings": F.array_compact(F.array(*(F.when(broken, F.lit(name)) for name, broken in rules.items()))),
            "_day": F.lit("2026-03-02").cast("date"),
        }
    ).persist()
    good = F.col("sound") & F.col("first")
    for table, chosen in (("silver", good), ("quarantine", ~good)):
        rows = judged.where(chosen).drop("sound", "first")
        rows.write.format("delta").partitionBy("_day").save(str(out / table))
    print(time.monotonic() - started)
    spark.stop()


def facts(path: Path) -> tuple[Any, ...]:
    """What must be equal: rows, a sum over every column's values, rows with a warning."""
    import duckdb

    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        rows = connection.read_parquet(Table(path).files(), hive_partitioning=False)
        warnings = "_warnings" if "_warnings" in rows.columns else "warnings"
        hashed = [f"sum(hash({name}::VARCHAR))" for name in ("sensor", "kind", "unit", "battery", "state")]
        others = ["sum(epoch_us(read_at)::HUGEINT)", "sum(round(value * 100)::HUGEINT)"]
        counted = ["count(*)", f"count(*) FILTER (len({warnings}) > 0)"]
        return rows.aggregate(", ".join([*counted, *hashed, *others])).fetchone() or ()


SILVER = {
    "ours": "lake/silver/sensing__readings",
    "on_spark": "lake/silver/sensing__readings",
    "duckdb": "duckdb/silver",
    "pyspark": "pyspark/silver",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=34_000_000)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--folder", type=Path, default=Path("/tmp/citylake-sensors"))
    parser.add_argument("--who", nargs="+", choices=WHO, default=list(WHO))
    parser.add_argument("--only", nargs=2, metavar=("WHO", "STEP"))
    asked = parser.parse_args()
    if asked.only:
        match asked.only[0]:
            case "ours":
                ours(asked.folder, "embedded")
            case "on_spark":
                ours(asked.folder, "spark")
            case other:
                {"duckdb": duckdb, "pyspark": pyspark}[other](asked.folder)
        return
    stamp = asked.folder / f"rows-{asked.rows}"
    if not stamp.exists():
        from samples.full import deliver

        shutil.rmtree(asked.folder, ignore_errors=True)
        deliver(asked.folder / "lake", rows=0, readings=asked.rows)
        stamp.touch()
    size = sum(path.stat().st_size for path in (asked.folder / "lake/inbox").rglob("*.csv"))
    print(f"{asked.rows:,} rows, {size / 1e6:.0f} MB, 75 files; {asked.rounds} rounds in turns", flush=True)
    found: dict[str, list[tuple[float, float]]] = {}
    outputs: dict[str, Any] = {}
    for _ in range(asked.rounds):
        for who in asked.who:
            if who in ("ours", "on_spark"):
                for layer in ("landing", "bronze", "silver", "quarantine", "ops", "staging"):
                    shutil.rmtree(asked.folder / "lake" / layer, ignore_errors=True)
            found.setdefault(who, []).append(timed("benchmarks.sensor_day", asked.folder, who, "night"))
            outputs[who] = facts(asked.folder / SILVER[who])
            print(f"{who}: {found[who][-1][0]:.1f} s, {found[who][-1][1]:.0f} MB", flush=True)
    print("outputs equal:", len(set(outputs.values())) == 1, outputs)
    first = statistics.median(seconds for seconds, _ in found[asked.who[0]])
    for who, rounds in found.items():
        seconds, peak = statistics.median(s for s, _ in rounds), max(memory for _, memory in rounds)
        speed, ratio = asked.rows / seconds / 1e6, seconds / first
        print(f"{who}: {seconds:.1f} s = {speed:.2f} M rows/s, {ratio:.2f} x {asked.who[0]}, peak {peak:.0f} MB")


if __name__ == "__main__":
    main()
