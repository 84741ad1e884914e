"""A day of positions from bronze to silver on Spark: Citylake beside a plain PySpark script.

    python -m benchmarks.gps_spark [--rows 16000000] [--rounds 3] [--folder /tmp/citylake-gps]

Both read the same bronze table and type, check, keep the first of each key, find cell and district, and write silver and
quarantine with counts per check, in processes of their own, in turns. Their Spark is up before the clock starts. Outputs
are compared before any ratio is printed.
"""

import argparse
import importlib
import os
import shutil
import statistics
import time
from datetime import date
from pathlib import Path

from benchmarks.gps_night import DAY, facts, timed, town
from benchmarks.plain_spark import DELTA, EXTENSIONS, plain_spark


def ours(folder: Path) -> None:
    os.environ |= {
        "CITYLAKE_HOME": str(folder / "lake"),
        "CITYLAKE_CATALOG": str(folder / "catalog"),
        "CITYLAKE_ENGINE": "spark",
    }
    import jobs.clean  # noqa: F401 (imports aren't the work)
    from jobs.run import run
    from lakehouse.engine.spark import each, session
    from lakehouse.settings import Settings

    settings = Settings.from_environment()
    with session(settings):
        list(each(settings, importlib.import_module("benchmarks.gps_spark").warm, [1, 2]))  # here it is __main__
        started = time.monotonic()
        run("clean", date.fromisoformat(DAY), "transport", forced=True)
        print(time.monotonic() - started)


def warm(item: int) -> int:
    """What the first task of a worker pays: its imports."""
    import jobs.parts  # noqa: F401
    import lakehouse.geo.points  # noqa: F401

    return item


def plain(folder: Path) -> None:
    """What a good data engineer writes in an afternoon with PySpark, Delta and Sedona for this one table."""
    from pyspark.sql import Observation, Window
    from pyspark.sql import functions as F

    sedona = {
        EXTENSIONS: f"{DELTA},org.apache.sedona.sql.SedonaSqlExtensions",
        "spark.serializer": "org.apache.spark.serializer.KryoSerializer",
        "spark.kryo.registrator": "org.apache.sedona.core.serde.SedonaKryoRegistrator",
        "spark.databricks.delta.snapshotPartitions": "2",
    }
    spark = plain_spark(folder / "spill", sedona)
    spark.range(1).count()
    started = time.monotonic()
    layers = folder / "catalog/standards/layers/districts.geojson"
    districts = (
        spark.read.format("geojson")
        .option("multiLine", True)
        .load(str(layers))
        .selectExpr("explode(features) AS f")
        .selectExpr("f.properties.code AS _district", "f.geometry AS shape")
    )
    typed = (
        spark.read.format("delta")
        .load(str(folder / "lake/bronze/transport__gps"))
        .select(
            F.expr("nullif(trim(plate), '')").alias("plate"),
            F.try_to_timestamp("gps_at", F.lit("yyyy-MM-dd HH:mm:ss")).alias("wall"),
            F.col("lon").alias("lon_text"),
            F.col("lat").alias("lat_text"),
            F.expr("try_cast(lon AS DOUBLE)").alias("lon"),
            F.expr("try_cast(lat AS DOUBLE)").alias("lat"),
            F.col("gps_at").alias("gps_text"),
            *("_delivery_id", "_source_file", "_source_row", "_loaded_at", "_day"),
        )
        .withColumn("gps_at", F.col("wall") - F.expr("INTERVAL 8 HOURS"))
    )
    empty = [F.col(name).isNull() for name in ("plate", "gps_at", "lon", "lat")]
    sound = ~(empty[0] | empty[1] | empty[2] | empty[3])
    first = F.row_number().over(Window.partitionBy("plate", "gps_at", sound).orderBy("_source_row"))
    judged = typed.withColumn("repeats", sound & (first > 1)).select(
        "*",
        F.filter(
            F.array(
                *(
                    F.when(bad, F.lit(f"{n}.required"))
                    for n, bad in zip(("plate", "gps_at", "lon", "lat"), empty, strict=True)
                ),
                F.when(F.col("repeats"), F.lit("key.unique")),
            ),
            lambda name: name.isNotNull(),
        ).alias("_errors"),
        F.filter(
            F.array(
                F.when(~F.col("plate").rlike("^[京苏].{6,7}$"), F.lit("plate.pattern")),
                F.when(~F.col("lon").between(119.0, 122.5), F.lit("lon.between")),
                F.when(~F.col("lat").between(31.0, 33.0), F.lit("lat.between")),
            ),
            lambda name: name.isNotNull(),
        ).alias("_warnings"),
    )
    checks = ["plate.required", "gps_at.required", "lon.required", "lat.required", "key.unique"]
    counts = Observation("counts")
    counted = judged.observe(
        counts,
        F.count("*").alias("rows"),
        *(F.count_if(F.array_contains("_errors", name)).alias(name) for name in checks),
        *(
            F.count_if(F.array_contains("_warnings", name)).alias(name)
            for name in ("plate.pattern", "lon.between", "lat.between")
        ),
    )
    accepted = counted.where(F.size("_errors") == 0).withColumn(
        "_cell", F.expr("CAST(floor((lat + 90) * 256) * 131072 + floor((lon + 180) * 256) AS BIGINT)")
    )
    placed = accepted.join(F.broadcast(districts), F.expr("ST_Contains(shape, ST_Point(lon, lat))"), "left").drop(
        "shape", "wall", "lon_text", "lat_text", "gps_text", "repeats", "_errors"
    )
    silver = folder / "plain/silver"
    shutil.rmtree(folder / "plain", ignore_errors=True)
    placed.write.format("delta").partitionBy("_day").save(str(silver))
    rejected = judged.where(F.size("_errors") > 0).select(
        "plate", F.col("gps_text").alias("gps_at"), F.col("lon_text").alias("lon"), F.col("lat_text").alias("lat"),
        "_delivery_id", "_source_file", "_source_row", "_loaded_at", "_errors", "_day",
    )  # fmt: skip
    rejected.write.format("delta").partitionBy("_day").save(str(folder / "plain/quarantine"))
    print(counts.get)
    print(time.monotonic() - started)
    spark.stop()


def rejected(path: Path) -> list[tuple[int, str]]:
    """How many rows were rejected, by their errors."""
    import duckdb
    from deltalake import DeltaTable

    query = "SELECT count(*), array_to_string(list_sort(_errors), ' ') AS e FROM read_parquet($f) GROUP BY e ORDER BY e"
    return duckdb.execute(query, {"f": DeltaTable(str(path)).file_uris()}).fetchall()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=16_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path, default=Path("/tmp/citylake-gps"))
    parser.add_argument("--only", nargs=2, metavar=("WHO", "STEP"))
    asked = parser.parse_args()
    if asked.only:
        {"ours": ours, "plain": plain}[asked.only[0]](asked.folder)
        return
    town(asked.folder, asked.rows)
    for layer in ("landing", "bronze", "silver", "quarantine", "ops", "staging"):
        shutil.rmtree(asked.folder / "lake" / layer, ignore_errors=True)
    timed("benchmarks.gps_night", asked.folder, "ours", "bring")
    found: dict[str, list[tuple[float, float]]] = {"ours": [], "plain": []}
    for _ in range(asked.rounds):
        for who in found:
            if who == "ours":
                for layer in ("silver", "quarantine"):
                    shutil.rmtree(asked.folder / "lake" / layer, ignore_errors=True)
            found[who].append(timed("benchmarks.gps_spark", asked.folder, who, "clean"))
            print(f"  {who}: {found[who][-1][0]:.1f} s, {found[who][-1][1]:.0f} MB", flush=True)
    for layer, look in (("silver", facts), ("quarantine", rejected)):
        mine, theirs = look(asked.folder / f"lake/{layer}/transport__gps"), look(asked.folder / f"plain/{layer}")
        print(f"{layer} equal: {mine == theirs} {mine} {theirs}")
    a, b = (statistics.median(seconds for seconds, _ in found[who]) for who in ("ours", "plain"))
    print(f"ours {a:.1f} s = {asked.rows / a / 1e6:.2f} M rows/s, plain {b:.1f} s, ratio {b / a:.2f}")


if __name__ == "__main__":
    main()
