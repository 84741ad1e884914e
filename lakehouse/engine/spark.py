"""The Spark engine: a session with Delta and Sedona, reading tables at a version and replacing slices."""

import json
import pickle
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime
from functools import reduce
from typing import TypeVar

import pyarrow as pa
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame, SparkSession, Window
from pyspark.sql import functions as F
from pyspark.sql.utils import is_remote

from lakehouse import merging
from lakehouse.engine.connect import connected
from lakehouse.engine.server import log_of
from lakehouse.errors import CitylakeError, LakeError
from lakehouse.logs import run_id, traced
from lakehouse.merging import NOT_DELETED
from lakehouse.settings import Settings
from lakehouse.table import PROPERTIES, Commit, Table

Item = TypeVar("Item")
Result = TypeVar("Result")

_thread = threading.local()
_USER_METADATA = "spark.databricks.delta.commitInfo.userMetadata"


@contextmanager
def session(settings: Settings) -> Iterator[SparkSession]:
    """A Spark session of this thread's own with the lake's engine, which is started where none runs.

    Inside another `session` block of this thread it is that one, inside one of another thread it is with the same engine.
    SQL knows Sedona's functions; times are UTC. Raises EnvironmentFault when Java or JARs are missing, Spark doesn't
    start or the engine runs other code, LakeError when it doesn't answer, EngineLost when it ends during the block.
    """
    if (outer := getattr(_thread, "session", None)) is not None:
        yield outer
        return
    with connected(settings) as engine:
        spark = engine.session()
        _thread.session = spark
        if run := run_id():
            spark.addTag(run)  # its jobs are known, and can be ended, by the run they belong to
            _note(settings, f"run {run} begins")
        try:
            yield spark
        except Exception as error:
            if isinstance(error, CitylakeError) or engine.lives():
                raise
            raise engine.lost() from error
        finally:
            _thread.session = None
            if run:
                _note(settings, f"run {run} ends")
            if is_remote():
                spark.stop()  # frees what the engine keeps for it; without Connect it would stop Spark itself


def _note(settings: Settings, said: str) -> None:
    """A line between those of the JVM, so that Spark's log says which runs its lines belong to."""
    log = log_of(settings.home)
    log.parent.mkdir(exist_ok=True)
    with log.open("a") as file:
        file.write(f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ} INFO  citylake {said}\n")


def each(settings: Settings, work: Callable[[Item], Result], items: Sequence[Item]) -> Iterator[Result]:
    """The results of `work` for every item, in their order, side by side on Spark's Python workers, one task an item.

    `work` is a function of an importable module; items and results are small and can be pickled. An error of ours comes
    back as itself once all tasks have ended, another as its kind alone: its words may hold values, and Spark would log them.
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
            except Exception as error:
                print(traced(error), file=sys.stderr)
                answer = CitylakeError(
                    f"{type(error).__name__} on a worker of Spark", hint="see `citylake engine logs`"
                )
            yield pa.record_batch({"id": pa.array([number]), "answer": pa.array([pickle.dumps(answer)], pa.binary())})


def read(spark: SparkSession, table: Table, version: int) -> DataFrame:
    """The rows of `table`, of silver or gold, at `version`, without deleted ones."""
    table.files(version=version)
    return undeleted(spark.read.format("delta").option("versionAsOf", version).load(str(table.path)))


def undeleted(rows: DataFrame) -> DataFrame:
    """Rows of silver without those of deleted keys."""
    return rows.where(NOT_DELETED) if "_op" in rows.columns else rows


def replace_slice(frame: DataFrame, table: Table, day: date, commit: Commit) -> int:
    """Make the frame the only content of `_day = day`, in one commit; returns its version.

    Raises WrongEngine when the table isn't Spark's, LakeError when another run wrote the slice meanwhile.
    """
    with table.lock():
        table.claim("spark")
        if not table.exists():
            _create(frame, table, ["_day"])
        try:
            _save_slice(frame, table, day, commit)
        except PySparkException as error:
            if "ConcurrentTransactionException" not in str(error):
                raise
            _save_slice(frame, table, day, commit)  # what a client that was killed had begun has ended meanwhile
    for entry in table.history():
        if json.loads(entry.get("userMetadata") or "{}").get("run_id") == commit.run_id:
            return int(entry["version"])
    raise LakeError("another run wrote this slice meanwhile", where=str(table.path), hint="run the same command again")


def _save_slice(frame: DataFrame, table: Table, day: date, commit: Commit) -> None:
    slice_ = f"{table.name}:{day}"
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


def keep(spark: SparkSession, table: Table, commit: Commit, hours: int) -> None:
    """Join the small files of a table of Spark's and delete those no version of the last `hours` needs."""
    with table.lock(), _said(spark, commit):
        table.claim("spark")
        spark.sql(f"OPTIMIZE {_named(table)}").collect()
        spark.sql(f"VACUUM {_named(table)} RETAIN {hours:d} HOURS").collect()


def restore(spark: SparkSession, table: Table, version: int, commit: Commit) -> None:
    """Give a table of Spark's the content of an earlier version, in a new commit."""
    with table.lock(), _said(spark, commit):
        table.claim("spark")
        spark.sql(f"RESTORE TABLE {_named(table)} TO VERSION AS OF {version:d}").collect()


@contextmanager
def _said(spark: SparkSession, commit: Commit) -> Iterator[None]:
    """Commits of this block say who made them."""
    spark.conf.set(_USER_METADATA, json.dumps({"run_id": commit.run_id, **dict(commit.facts)}))
    try:
        yield
    finally:
        spark.conf.unset(_USER_METADATA)


def merge(
    settings: Settings,
    sources: Sequence[Table],
    table: Table,
    commit: Commit,
    *,
    key: Sequence[str],
    rank: Sequence[str],
) -> None:
    """Upsert the rows of `sources`, tables written aside: a row replaces another only when it is newer by the columns `rank`.

    Of several rows of one `key` the newest counts, the later row where they are equal. Without a row that is newer than
    the table's there is no commit. Raises WrongEngine when the table isn't Spark's, LakeError when its columns are others.
    """
    with session(settings) as spark, table.lock(), _said(spark, commit):
        table.claim("spark")
        rows = reduce(DataFrame.unionByName, [spark.read.format("delta").load(str(one.path)) for one in sources])
        if table.exists():
            table.refuse_unmergeable(table.open(), pa.schema(sources[0].open().schema().to_arrow()), rank)
        else:
            _create(rows, table, ())
        versions = Window.partitionBy(*key).orderBy(*map(F.desc_nulls_last, rank), F.desc("_source_row"))
        newest = rows.withColumn("_n", F.row_number().over(versions)).where("_n = 1").drop("_n")
        newest.createOrReplaceTempView("newest")
        same, newer = merging.same(list(map(_quoted, key))), merging.newer(list(map(_quoted, rank)))
        # MERGE alone would write every file again that has one of the keys, even where no row of it changes. It asks for
        # the newer row once more: what a client that was killed has begun may end meanwhile
        stale = f"LEFT ANTI JOIN {_named(table)} AS t ON {same} AND ({newer}) IS NOT TRUE"
        changing = spark.sql(f"SELECT s.* FROM newest AS s {stale}").persist()
        if not changing.isEmpty():
            changing.createOrReplaceTempView("changing")
            spark.sql(
                f"MERGE WITH SCHEMA EVOLUTION INTO {_named(table)} AS t USING changing AS s ON {same}"
                f" WHEN MATCHED AND ({newer}) THEN UPDATE SET * WHEN NOT MATCHED THEN INSERT *"
            )
            spark.catalog.dropTempView("changing")
        changing.unpersist()
        spark.catalog.dropTempView("newest")


def _create(frame: DataFrame, table: Table, partition_by: Sequence[str]) -> None:
    columns = ", ".join(f"{_quoted(field.name)} {field.dataType.simpleString()}" for field in frame.schema)
    by = f" PARTITIONED BY ({', '.join(map(_quoted, partition_by))})" if partition_by else ""
    properties = ", ".join(f"'{name}' = '{value}'" for name, value in PROPERTIES.items())
    frame.sparkSession.sql(
        f"CREATE TABLE IF NOT EXISTS {_named(table)} ({columns}) USING delta{by}"
        f" COMMENT 'engine=spark' TBLPROPERTIES ({properties})"
    )


def _named(table: Table) -> str:
    return f"delta.{_quoted(str(table.path))}"


def _quoted(name: str) -> str:
    return "`" + name.replace("`", "``") + "`"
