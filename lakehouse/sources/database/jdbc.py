"""A table or view of any database with a JDBC driver, read by Spark in parts side by side and written into landing by Spark.

The connection is `jdbc://user:password@/?url=jdbc:...&driver=...`; further pairs are properties of the driver. Where its
JAR goes: docs/databases.md.
"""

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Timer
from urllib.parse import parse_qsl, unquote, urlsplit

import pyarrow.parquet as pq
from pyspark.errors import PySparkException
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql import types as T

from lakehouse.engine.spark import session
from lakehouse.errors import CitylakeError, EnvironmentFault, LakeError, SourceRefused
from lakehouse.formats.reading import over_limit
from lakehouse.source import JdbcSource
from lakehouse.sources.database.ordered import delivered, numbered
from lakehouse.sources.database.query import Query, Trouble, asking, quoting
from lakehouse.sources.database.tables import within
from lakehouse.sources.received import Asked, Received

_FETCHED_ROWS = 10_000
"""Rows a driver holds at a time: without it some hold the whole table."""

_WORDS: tuple[tuple[Trouble, tuple[str, ...]], ...] = (
    (
        "login",
        ("FATAL:", "authentication failed", "Access denied for user", "ORA-01017", "Login failed", "Invalid password"),
    ),
    (
        "down",
        ("refused", "UnknownHost", "Communications link failure", "connect timed out", "connection attempt failed"),
    ),
    (
        "slow",
        ("statement timeout", "canceling statement", "query timeout", "ORA-01013", "OPERATION_CANCELED", "cancelled"),
    ),
    ("right", ("permission denied", "command denied", "ORA-01031", "SELECT permission")),
    ("table", ("does not exist", "doesn't exist", "ORA-00942", "Invalid object name")),
)
"""What drivers and Spark say, the first that fits: a driver's SQLSTATE doesn't come through."""


def fetch(asked: Asked, source: JdbcSource) -> Iterator[Received]:
    """The day's rows, as `tables.fetch`: every value as the driver gives it as text, bytes hexadecimal.

    Raises LakeError too, when Spark or its files can't be reached.
    """
    query = asking(asked, source, ("jdbc",))
    spool = asked.into / "unordered"
    (columns,) = within(query, _written(query, source, spool))
    _limited(query, spool)
    yield from delivered(asked, source, spool, columns)
    shutil.rmtree(spool)


def _written(query: Query, source: JdbcSource, spool: Path) -> Iterator[list[str]]:
    """Lets Spark write the rows; then, once, the table's columns."""
    with session(query.asked.settings) as spark, _refusals(query), _until(spark, query):
        table = _Table(spark, query, source)
        columns = query.checked(table.read(query.table(table.quoted)).columns)
        table.rows(columns).write.parquet(str(spool), compression="zstd")
    yield columns


class _Table:
    """The table as Spark reads it."""

    def __init__(self, spark: SparkSession, query: Query, source: JdbcSource) -> None:
        self._spark, self._query, self._source = spark, query, source
        self.quoted = quoting(source)
        address = urlsplit(query.uri)
        log_in = {"user": unquote(address.username or ""), "password": unquote(address.password or "")}
        self._options = {
            **{name: value for name, value in log_in.items() if value},
            "fetchsize": str(_FETCHED_ROWS),
            "queryTimeout": str(query.seconds),
            **dict(parse_qsl(address.query)),
        }
        if not self._options.get("url", "").startswith("jdbc:"):
            hint = "give it as jdbc://user:password@/?url=jdbc:... (docs/databases.md)"
            raise EnvironmentFault(
                f"connection '{source.connection}' has no JDBC address", where=query.where, hint=hint
            )

    def read(self, table: str, more: Mapping[str, str] | None = None) -> DataFrame:
        """A table or a query in brackets."""
        return self._spark.read.format("jdbc").options(**self._options, dbtable=table, **(more or {})).load()

    def rows(self, columns: list[str]) -> DataFrame:
        """The rows that are asked for, as text in columns `numbered`. Raises DeliveryUnreadable when there are too many."""
        asked = f"({self._query.escaped(columns, self.quoted)}) asked"
        kinds = {field.name: field.dataType for field in self.read(asked).schema}
        part = self._source.part_by
        if part and not isinstance(kinds.get(part), T.IntegralType | T.DecimalType):
            raise SourceRefused(
                f"'{part}' is no column of whole numbers", where=self._query.where, hint="check 'part_by' in 'source'"
            )
        kept = {name for name, kind in kinds.items() if isinstance(kind, T.BinaryType | T.BooleanType) or name == part}
        as_text = {"customSchema": ", ".join(f"{_named(name)} STRING" for name in kinds if name not in kept)}
        frame = self.read(asked, as_text | self._parts(asked, part))
        names = zip(columns, numbered(len(columns)), strict=True)
        return frame.select(*(_text(F.col(_named(name)), kinds[name]).alias(number) for name, number in names))

    def _parts(self, asked: str, part: str | None) -> dict[str, str]:
        """How the rows are cut. They are counted first: what Spark writes can't be watched on the way."""
        bounds = f", min({self.quoted(part)}), max({self.quoted(part)})" if part else ""
        counted = f"(SELECT count(*){bounds} FROM {asked}) counted"
        rows, *ends = self.read(counted).collect()[0]
        if int(rows) > (most := self._query.asked.contract.limits.rows):
            raise over_limit("rows", int(rows), most, self._query.where)
        if part is None or ends[0] is None:
            return {}
        lower, upper = (str(int(end)) for end in ends)
        return {
            "partitionColumn": part,
            "lowerBound": lower,
            "upperBound": upper,
            "numPartitions": str(self._source.parts),
        }


def _text(column: Column, kind: T.DataType) -> Column:
    return F.lower(F.hex(column)) if isinstance(kind, T.BinaryType) else column.cast("string")


def _named(name: str) -> str:
    return "`" + name.replace("`", "``") + "`"


def _limited(query: Query, spool: Path) -> None:
    files = sorted(spool.glob("*.parquet"))
    if not files:
        hint = "Spark must write where this process reads: run it on this machine, or share the lake's staging folder"
        raise LakeError("what Spark has written isn't here", where=str(spool), hint=hint)
    limits = query.asked.contract.limits
    for limit, spent in (
        ("rows", sum(pq.read_metadata(file).num_rows for file in files)),
        ("bytes", sum(file.stat().st_size for file in files)),
    ):
        if spent > (allowed := getattr(limits, limit)):
            raise over_limit(limit, spent, allowed, query.where)


@contextmanager
def _until(spark: SparkSession, query: Query) -> Iterator[None]:
    """Ends the session's work once it takes too long: drivers may not."""

    def end() -> None:
        with suppress(PySparkException):  # without Connect only the driver keeps time
            spark.interruptAll()

    timer = Timer(query.seconds + 1, end)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


@contextmanager
def _refusals(query: Query) -> Iterator[None]:
    try:
        yield
    except PySparkException as error:
        raise _judged(query, str(error)) from None


def _judged(query: Query, said: str) -> CitylakeError:
    if "ClassNotFoundException" in said or "No suitable driver" in said:
        hint = "put its JAR into the folder of drivers, or correct 'driver' in the connection (docs/databases.md)"
        return EnvironmentFault("the JDBC driver isn't there", where=query.where, hint=hint)
    if query.is_late:
        return query.failed("slow")
    fits = (trouble for trouble, words in _WORDS if any(word in said for word in words))
    return query.failed(next(fits, "query"), "see the log of Spark: citylake engine logs")
