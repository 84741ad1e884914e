"""The Spark engine: a session with Delta and Sedona, reading tables at a version and replacing slices."""

import json
import pickle
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from functools import reduce
from typing import TypeVar

import pyarrow as pa
from delta.tables import DeltaTable
from pyspark import SparkContext
from pyspark.sql import DataFrame, SparkSession, Window
from pyspark.sql import functions as F

from lakehouse import staging
from lakehouse.engine.jvm import Jvm
from lakehouse.errors import CitylakeError, LakeError
from lakehouse.settings import Settings
from lakehouse.table import PROPERTIES, Commit, Table

Item = TypeVar("Item")
Result = TypeVar("Result")

_USER_METADATA = "spark.databricks.delta.commitInfo.userMetadata"


@contextmanager
def session(settings: Settings) -> Iterator[SparkSession]:
    """A Spark session on this machine, whose JVM ends with the block. Inside another `session` block it is that one's.

    SQL knows Sedona's functions; times are UTC. Temporary files are kept under the lake's `staging`, what the JVM says
    in `logs/spark.log`. Raises EnvironmentFault when Java or the JARs are missing or the JVM doesn't start.
    """
    if SparkContext._active_spark_context is not None:
        yield SparkSession.builder.getOrCreate()
        return
    name = uuid.uuid4().hex
    scratch = staging.claim(settings.home, "spark", name)
    try:
        jvm = Jvm.start(settings, scratch)
        try:
            yield SparkSession(jvm.context)
        finally:
            jvm.end()
    finally:
        staging.release(settings.home, "spark", name)


def each(settings: Settings, work: Callable[[Item], Result], items: Sequence[Item]) -> Iterator[Result]:
    """The results of `work` for every item, in their order, side by side on Spark's Python workers, one task an item.

    `work` is a function of an importable module; items and results are small and can be pickled. An error of ours comes
    back as itself once all tasks have ended.
    """
    if not items:
        return
    given = pickle.dumps((work, list(items)))

    def run(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        return _worked(given, batches)

    with session(settings) as spark:
        done = spark.range(len(items), numPartitions=len(items)).mapInArrow(run, "id long, answer binary").collect()
    for row in sorted(done, key=lambda row: row["id"]):
        answer = pickle.loads(row["answer"])
        if isinstance(answer, CitylakeError):
            raise answer
        yield answer


def _worked(given: bytes, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """On a worker: the answers for the items whose numbers stand in `id`, or the error of ours that ended one."""
    work, items = pickle.loads(given)
    for batch in batches:
        for number in batch.column("id").to_pylist():
            try:
                answer = work(items[number])
            except CitylakeError as error:
                answer = error
            yield pa.record_batch({"id": pa.array([number]), "answer": pa.array([pickle.dumps(answer)], pa.binary())})


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
            _create(frame, table, ["_day"])
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


def keep(spark: SparkSession, table: Table, commit: Commit, hours: int) -> None:
    """Join the small files of a table of Spark's and delete those no version of the last `hours` needs."""
    with table.lock(), _said(spark, commit):
        table.claim("spark")
        delta = DeltaTable.forPath(spark, str(table.path))
        delta.optimize().executeCompaction()
        delta.vacuum(hours)


def restore(spark: SparkSession, table: Table, version: int, commit: Commit) -> None:
    """Give a table of Spark's the content of an earlier version, in a new commit."""
    with table.lock(), _said(spark, commit):
        table.claim("spark")
        DeltaTable.forPath(spark, str(table.path)).restoreToVersion(version)


@contextmanager
def _said(spark: SparkSession, commit: Commit) -> Iterator[None]:
    """Commits of this block say who made them."""
    spark.conf.set(_USER_METADATA, json.dumps({"run_id": commit.run_id, **dict(commit.facts)}))
    try:
        yield
    finally:
        spark.conf.unset(_USER_METADATA)


def merge(
    settings: Settings, sources: Sequence[Table], table: Table, commit: Commit, *, key: Sequence[str], order: str
) -> None:
    """Upsert the rows of `sources`, tables written aside: a row replaces another only when its `order` is newer.

    Of several rows of one `key` the one with the greatest `order` counts, the later row where they are equal. Raises
    WrongEngine when the table isn't Spark's.
    """
    with session(settings) as spark, table.lock(), _said(spark, commit):
        table.claim("spark")
        rows = reduce(DataFrame.unionByName, [spark.read.format("delta").load(str(one.path)) for one in sources])
        if not table.exists():
            _create(rows, table, ())
        versions = Window.partitionBy(*key).orderBy(F.desc_nulls_last(order), F.desc("_source_row"))
        newest = rows.withColumn("_n", F.row_number().over(versions)).where("_n = 1").drop("_n")
        newest.createOrReplaceTempView("newest")
        same = " AND ".join(f"t.{_quoted(name)} = s.{_quoted(name)}" for name in key)
        at = _quoted(order)
        newer = f"s.{at} > t.{at} OR (t.{at} IS NULL AND s.{at} IS NOT NULL)"
        spark.sql(
            f"MERGE WITH SCHEMA EVOLUTION INTO delta.{_quoted(str(table.path))} AS t USING newest AS s ON {same}"
            f" WHEN MATCHED AND ({newer}) THEN UPDATE SET * WHEN NOT MATCHED THEN INSERT *"
        )
        spark.catalog.dropTempView("newest")


def _create(frame: DataFrame, table: Table, partition_by: Sequence[str]) -> None:
    columns = ", ".join(f"{_quoted(field.name)} {field.dataType.simpleString()}" for field in frame.schema)
    by = f" PARTITIONED BY ({', '.join(map(_quoted, partition_by))})" if partition_by else ""
    properties = ", ".join(f"'{name}' = '{value}'" for name, value in PROPERTIES.items())
    frame.sparkSession.sql(
        f"CREATE TABLE IF NOT EXISTS delta.{_quoted(str(table.path))} ({columns}) USING delta{by}"
        f" COMMENT 'engine=spark' TBLPROPERTIES ({properties})"
    )


def _quoted(name: str) -> str:
    return "`" + name.replace("`", "``") + "`"
