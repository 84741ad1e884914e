"""The Spark engine: a session with Delta and Sedona, reading tables at a version and replacing slices."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from tempfile import TemporaryDirectory

from delta.tables import DeltaTable
from pyspark import SparkContext
from pyspark.sql import DataFrame, SparkSession

from lakehouse.engine.jvm import Jvm
from lakehouse.errors import LakeError
from lakehouse.settings import Settings
from lakehouse.table import PROPERTIES, Commit, Table


@contextmanager
def session(settings: Settings) -> Iterator[SparkSession]:
    """A Spark session on this machine, whose JVM ends with the block. Inside another `session` block it is that one's.

    SQL knows Sedona's functions; times are UTC. Temporary files are kept under the lake's `staging`, what the JVM says
    in `logs/spark.log`. Raises EnvironmentFault when Java or the JARs are missing or the JVM doesn't start.
    """
    if SparkContext._active_spark_context is not None:
        yield SparkSession.builder.getOrCreate()
        return
    staging = settings.home / "staging"
    staging.mkdir(parents=True, exist_ok=True, mode=0o700)
    with TemporaryDirectory(dir=staging, prefix="spark-", ignore_cleanup_errors=True) as scratch:
        jvm = Jvm.start(settings, staging / scratch)
        try:
            yield SparkSession(jvm.context)
        finally:
            jvm.end()


def read(spark: SparkSession, table: Table, version: int) -> DataFrame:
    """The rows of `table` at `version`."""
    return spark.read.format("delta").option("versionAsOf", version).load(str(table.path))


def replace_slice(frame: DataFrame, table: Table, day: date, commit: Commit) -> int:
    """Make the frame the only content of `_day = day`, in one commit; returns its version.

    Raises WrongEngine when the table isn't Spark's, LakeError when another run wrote the slice meanwhile.
    """
    with table.lock():
        table.claim("spark")
        if not table.exists():
            _create(frame, table)
        slice_ = f"{table.path.parent.name}.{table.path.name}:{day}"
        attempt = (table.open().transaction_version(slice_) or 0) + 1
        (
            frame.write.format("delta")
            .mode("overwrite")
            .option("replaceWhere", f"_day = '{day.isoformat()}'")
            .option("txnAppId", slice_)
            .option("txnVersion", attempt)  # a write whose number has been used is left out: that of a run come late
            .option("userMetadata", json.dumps({"run_id": commit.run_id, **dict(commit.facts)}))
            .save(str(table.path))
        )
    for entry in table.history():
        if json.loads(entry.get("userMetadata") or "{}").get("run_id") == commit.run_id:
            return int(entry["version"])
    raise LakeError("another run wrote this slice meanwhile", where=str(table.path), hint="run the same command again")


def _create(frame: DataFrame, table: Table) -> None:
    builder = DeltaTable.createIfNotExists(frame.sparkSession).location(str(table.path)).comment("engine=spark")
    for name, value in PROPERTIES.items():
        builder = builder.property(name, value)
    builder.addColumns(frame.schema).partitionedBy("_day").execute()
