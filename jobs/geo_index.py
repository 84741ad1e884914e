"""The night's positions by dataset, hour, cell and district: the step `geo_index`, on Spark with Sedona.

Every dataset that describes a `fix` or a `place` at a point takes part. Silver has decided the districts with the
embedded kernels already; here exact geometry decides again. How many positions differ is kept with the commit.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from pathlib import Path

import structlog
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from expectations.catalog import Catalog
from jobs.department import Outcome, last_success
from jobs.written import Seen, Silver
from lakehouse.contract import Contract
from lakehouse.engine import spark as engine
from lakehouse.geo.frames import code_of, text_of, with_region
from lakehouse.geo.regions import Regions
from lakehouse.runs import Run, code_version
from lakehouse.table import Commit, Table

_log = structlog.get_logger()

_ROLES = ("fix", "place")
_HOUR_S = 3600
_POSITION = ", ".join(
    (
        "source int",  # place in the list of sources: grouping by numbers is much faster than by texts
        "hour long",  # since 1970, null where the dataset has no time
        "vehicle long",  # 64 bits of its name's hash: enough to tell two apart, and no plate leaves silver
        "cell long",
        "lon double",
        "lat double",
        "stated string",  # the district in silver
    )
)
_DECIMALS = 6  # of a mean position in degrees: 0.1 m
_UNITS = 10_000_000  # of a degree: 1 cm


@dataclass(frozen=True)
class Source:
    """One dataset's silver slice as the day sees it, and its columns of instants and vehicles, if any."""

    contract: Contract
    silver: Table
    rows: Seen
    at: str | None
    vehicle: str | None


def geo_index(run: Run, catalog: Catalog) -> Outcome:
    """Index the day's positions. Does nothing, and starts no JVM, where nothing changed since the last success."""
    silver = Silver(run, catalog.contracts)
    sources = [source for contract in catalog.contracts if (source := _source(run, silver, contract))]
    gold = run.table("gold", "positions")
    if not (sources or run.day in gold.days()):
        return Outcome("unchanged")
    layer = catalog.layers / "districts.geojson"
    fingerprint = _fingerprint(sources, layer)
    if last_success(run, "gold.positions") == fingerprint and not run.forced:
        return Outcome("unchanged", fingerprint=fingerprint)
    regions = Regions.load(layer, run.day)
    names = tuple(source.contract.name for source in sources)
    with engine.session(run.settings) as spark:
        night = with_region(positions(spark, run, sources), regions)
        index = counted(night, names, regions, run).persist()
        fixes, differing = index.selectExpr("coalesce(sum(fixes), 0)", "coalesce(sum(differing), 0)").collect()[0]
        rows = index.drop("differing").repartition(1).sortWithinPartitions("dataset", "cell", "hour_at")
        facts = (("positions", str(fixes)), ("differing", str(differing)))
        version = engine.replace_slice(rows, gold, run.day, Commit(run.id, facts))
        index.unpersist()
    if differing:
        _log.warning("silver has other districts than exact geometry", day=str(run.day), positions=differing, of=fixes)
    return Outcome(
        "succeeded",
        rows_in=fixes,
        accepted=fixes,
        fingerprint=fingerprint,
        reads=json.dumps({f"silver.{source.contract.table}": source.rows.version for source in sources}),
        writes=json.dumps({"gold.positions": version}),
    )


def positions(spark: SparkSession, run: Run, sources: Sequence[Source]) -> DataFrame:
    """The rows of the day that have a cell, columns as in `_POSITION`."""
    none = spark.createDataFrame([], _POSITION)
    slices = [_slice(spark, run, source).select(F.lit(i).alias("source"), "*") for i, source in enumerate(sources)]
    return reduce(DataFrame.unionByName, slices, none)


def _slice(spark: SparkSession, run: Run, source: Source) -> DataFrame:
    at = F.lit(None) if source.at is None else F.unix_seconds(F.col(source.at))
    vehicle = F.lit(None) if source.vehicle is None else F.col(source.vehicle)
    rows = engine.read(spark, source.silver, source.rows.version)
    return rows.where((F.col("_day") == F.lit(run.day)) & F.col("_cell").isNotNull()).select(
        F.floor(at / _HOUR_S).alias("hour"),
        F.when(vehicle.isNotNull(), F.xxhash64(vehicle)).alias("vehicle"),
        F.col("_cell").alias("cell"),
        F.col("_lon").alias("lon"),
        F.col("_lat").alias("lat"),
        F.col("_district").alias("stated"),
    )


def counted(located: DataFrame, names: tuple[str, ...], regions: Regions, run: Run) -> DataFrame:
    """The rows of `gold.positions`, one per dataset, hour (its first instant), cell and district.

    `lon`, `lat` are the mean position, `fixes` the number of positions, `vehicles` that of different vehicles (null
    where the dataset names none); not for gold is `differing`, the number of positions that silver has elsewhere.
    """
    vehicles = F.count_distinct("vehicle")
    return (
        located.groupBy("source", "hour", "cell", "region")
        .agg(
            _mean("lon"),
            _mean("lat"),
            F.count("*").alias("fixes"),
            F.when(vehicles > 0, vehicles).alias("vehicles"),
            F.count_if(~code_of(regions, "region").eqNullSafe(F.col("stated"))).alias("differing"),
        )
        .select(
            text_of(names, "source").alias("dataset"),
            F.timestamp_seconds(F.col("hour") * _HOUR_S).alias("hour_at"),
            "cell",
            code_of(regions, "region").alias("district"),
            *("lon", "lat", "fixes", "vehicles", "differing"),
            F.lit(run.day).alias("_day"),
        )
    )


def _mean(degrees: str) -> Column:
    """The mean of a column, added up in whole units: the order in which Spark comes upon the rows doesn't show."""
    total = F.sum(F.round(F.col(degrees) * _UNITS).cast("long"))
    return F.round(total / F.count("*") / _UNITS, _DECIMALS).alias(degrees)


def _source(run: Run, silver: Silver, contract: Contract) -> Source | None:
    """The dataset's slice of the day, if it describes positions and has rows for the day."""
    described = [contract.describes.get(role, {}) for role in _ROLES]
    slots = next((slots for slots in described if "point" in slots), None)
    rows = silver.slice(contract) if slots is not None else None
    if slots is None or rows is None:
        return None
    return Source(contract, run.table("silver", contract.table), rows, slots.get("at"), slots.get("vehicle"))


def _fingerprint(sources: Sequence[Source], layer: Path) -> str:
    """Changes with the slices' rows, the columns read, the districts (loading them says when they are missing) and the code."""
    slices = [[source.contract.name, source.at, source.vehicle, source.rows.state] for source in sources]
    parts = [
        json.dumps(slices),
        hashlib.sha256(layer.read_bytes() if layer.exists() else b"").hexdigest(),
        code_version(),
    ]
    return hashlib.sha256("|".join(parts).encode()).hexdigest()[:32]
