"""The embedded engine: DuckDB in the process. Casting rules, and running compiled queries over Arrow and Parquet.

Text is cast only when it is written as its type is written; DuckDB alone would make '12.7' an integer 13 and '1_000' a number.
"""

import threading
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import date
from functools import reduce
from typing import Any, TypeVar

import duckdb
import ibis
import ibis.expr.types as ir
import numpy as np
import pyarrow as pa
from ibis.common.exceptions import IbisError
from numpy.typing import NDArray

from lakehouse.contract import Column
from lakehouse.instants import alternatives, translated
from lakehouse.merging import NOT_DELETED
from lakehouse.settings import ZONE, Settings
from lakehouse.staging import claim

ibis.options.sql.fuse_selects = False  # fused, every check would cast its column again

BATCH_ROWS = 122_880
"""Rows of one Arrow batch: DuckDB's row group."""

Item = TypeVar("Item")
Result = TypeVar("Result")

FAULTS = (duckdb.Error, IbisError)
"""What compiling and running a query may raise."""

_builtin = ibis.udf.scalar.builtin
_strptime = _builtin(lambda text, form: None, name="try_strptime", signature=(("string", "string"), "timestamp"))
_matches = _builtin(
    lambda text, expression: None, name="regexp_full_match", signature=(("string", "string"), "boolean")
)
_at_zone = _builtin(lambda zone, moment: None, name="timezone", signature=(("string", "timestamp"), "timestamp('UTC')"))
_from_zone = _builtin(
    lambda zone, moment: None, name="timezone", signature=(("string", "timestamp('UTC')"), "timestamp")
)
_epoch = _builtin(lambda ms: None, name="epoch_ms", signature=(("int64",), "timestamp"))
_finite = _builtin(lambda number: None, name="isfinite", signature=(("float64",), "boolean"))
_strip = _builtin(lambda text, characters: None, name="trim", signature=(("string", "string"), "string"))

SPACES = " \t\r\n\f\v\u00a0\u3000\ufeff"
"""What doesn't count at either end of a cell: ASCII white space, no-break space, ideographic space, byte order mark."""

_CHINA_FIXED_OFFSET = ibis.timestamp("1991-09-15 01:00:00")
"""Asia/Shanghai has been UTC+8 all year since this wall-clock time (IANA tz database)."""


def text(raw: ir.StringValue, nulls: Sequence[str] = ()) -> ir.StringValue:
    """The cell without outer white space; null where nothing is left or what is left stands for nothing."""
    # most cells have none: looking for it first costs a third of what DuckDB takes to strip by such a set of characters
    stripped = raw.re_search(f"^[{SPACES}]|[{SPACES}]$").ifelse(_strip(raw, SPACES), raw)
    return stripped.isin(["", *nulls]).ifelse(ibis.null("string"), stripped)


def double(raw: ir.StringValue) -> ir.FloatingValue:
    """Digits with an optional sign, decimal point and exponent; null for anything else, infinities and NaN included."""
    return _trimmed(raw, _double)


def integer(raw: ir.StringValue) -> ir.IntegerValue:
    """An optional sign and at most 18 digits."""
    return _trimmed(raw, _integer)


def decimal(raw: ir.StringValue) -> ir.DecimalValue:
    """An optional sign, digits and at most 10 decimals, exactly: DECIMAL(38, 10)."""
    return _trimmed(raw, _decimal)


def boolean(raw: ir.StringValue) -> ir.BooleanValue:
    """true, false, 1, 0, 是, 否 in any case."""
    word = text(raw).lower()
    return ibis.cases(
        (word.isin(["true", "1", "是"]), True), (word.isin(["false", "0", "否"]), False), else_=ibis.null("boolean")
    )


def day(raw: ir.StringValue, form: str) -> ir.DateValue:
    """A date written in one of the formats; epochs count as the date in Asia/Shanghai."""
    return _trimmed(raw, lambda cell: ibis.coalesce(*(_day(cell, one) for one in alternatives(form))))


def instant(raw: ir.StringValue, form: str, zone: str) -> ir.TimestampValue:
    """An instant as UTC without zone: wall-clock time in `zone` unless the text itself has an offset.

    A wall-clock time that occurred twice is the later one, one that was skipped counts as if it had not been.
    """
    return _trimmed(raw, lambda cell: ibis.coalesce(*(_instant(cell, one, zone) for one in alternatives(form))))


def quick(raw: ir.StringValue, column: Column) -> ir.Value | None:
    """A first try at the column's type, right for nearly every cell and null for the others; None for types without one.

    It stands in a layer of its own below `cast`: a cell is looked at once, and twice only when the first look fails.
    """
    match column.type:
        case "double":
            return _double(raw)
        case "integer":
            return _integer(raw)
        case "decimal":
            return _short_decimal(raw)
        case "date" | "timestamp":
            wall = _wall_clock(raw, alternatives(column.format or "iso")[0])
            return wall.date() if column.type == "date" and not (column.format or "").startswith("epoch") else wall
        case _:
            return None


def cast(raw: ir.StringValue, tried: ir.Value | None, column: Column) -> ir.Value:
    """The column's value from its text and what `quick` made of it; null where the text isn't written as the type is."""
    form, zone = column.format or "iso", column.zone or str(ZONE)
    if tried is None:
        return boolean(raw)
    if column.type == "date":
        return day(raw, form) if form.startswith("epoch") else tried.notnull().ifelse(tried, day(raw, form))
    if column.type == "timestamp":
        if form.startswith("epoch") or zone not in ("UTC", str(ZONE)):
            return instant(raw, form, zone)
        utc = tried if zone == "UTC" else tried - ibis.interval(hours=8)
        return (tried >= _CHINA_FIXED_OFFSET).ifelse(utc, instant(raw, form, zone))
    careful = {"double": double, "integer": integer, "decimal": decimal}[column.type]
    return tried.notnull().ifelse(tried, careful(raw))


_DATE = r"[1-9]\d{3}-\d{2}-\d{2}"
_CLOCK = r"[ T]([01]\d|2[0-3]):[0-5]\d(:[0-5]\d(\.\d{1,6})?)?"
_OFFSET = r"(Z|[+-](0\d|1[0-4])(:?[0-5]\d)?)"
_LAST = ibis.timestamp("9999-12-31 23:59:59.999999")


def _trimmed(raw: ir.StringValue, cast: Callable[[ir.StringValue], Any]) -> Any:
    """The cell cast, without its outer white space where it can't be as it is: most cells have none to look for."""
    bare = cast(_strip(raw, SPACES))
    return ibis.coalesce(cast(raw), raw.notnull().ifelse(bare, ibis.null(bare.type())))  # only a CASE is left for later


def _double(raw: ir.StringValue) -> ir.FloatingValue:
    number = raw.try_cast("float64")
    return (_finite(number) & ~raw.contains("_") & ~raw.contains("+-")).ifelse(number, ibis.null("float64"))


def _integer(raw: ir.StringValue) -> ir.IntegerValue:
    return _where(raw, r"[+-]?\d{1,18}", raw.try_cast("int64"))


def _decimal(raw: ir.StringValue) -> ir.DecimalValue:
    return _where(raw, r"[+-]?\d{1,28}(\.\d{1,10})?", raw.try_cast("decimal(38, 10)"))


def _short_decimal(raw: ir.StringValue) -> ir.DecimalValue:
    """Decimals that fit 64 bits on their way: DuckDB reads those a hundred times as fast as wider ones."""
    return _where(raw, r"[+-]?\d{1,8}(\.\d{1,10})?", raw.try_cast("decimal(18, 10)").cast("decimal(38, 10)"))


def _day(raw: ir.StringValue, form: str) -> ir.DateValue:
    wall = _wall_clock(raw, form)
    return (_from_zone(str(ZONE), wall.cast("timestamp('UTC')")) if form.startswith("epoch") else wall).date()


def _instant(raw: ir.StringValue, form: str, zone: str) -> ir.TimestampValue:
    if form.startswith("epoch"):
        return _wall_clock(raw, form)
    local = _utc(_wall_clock(raw, form), zone)
    if form != "iso":
        return local
    seconds = raw.re_replace(r"^(.{13}:\d\d)([Z+-])", r"\1:00\2")  # DuckDB reads no offset after minutes
    abroad = _where(raw, _DATE + _CLOCK + _OFFSET, seconds.try_cast("timestamp('UTC')").cast("timestamp"))
    return ibis.coalesce(local, (abroad <= _LAST).ifelse(abroad, ibis.null("timestamp")))


def _wall_clock(raw: ir.StringValue, form: str) -> ir.TimestampValue:
    match form:
        case "iso":
            return _where(raw, f"{_DATE}({_CLOCK})?", raw.try_cast("timestamp"))
        case "epoch_s":
            return _epoch(_where(raw, r"-\d{1,10}|\d{1,11}", raw.try_cast("int64")) * 1000)
        case "epoch_ms":
            return _epoch(_where(raw, r"-\d{1,13}|\d{1,14}", raw.try_cast("int64")))
        case "excel" | "excel_1904":
            days = _where(raw, r"\d{1,6}(\.\d+)?", raw.try_cast("float64"))
            of_1970 = 25_569 if form == "excel" else 24_107
            return _epoch(((days - of_1970) * 86_400_000).round().cast("int64"))
        case _:
            expression, strptime = translated(form)
            iso = strptime.replace("T", " ") in (
                "%Y-%m-%d %H:%M:%S",
                "%Y-%m-%d %H:%M",
                "%Y-%m-%d",
            )  # cast at half the cost
            return _where(raw, expression[1:-1], raw.try_cast("timestamp") if iso else _strptime(raw, strptime))


def _utc(wall: ir.TimestampValue, zone: str) -> ir.TimestampValue:
    if zone == "UTC":
        return wall
    converted = _at_zone(zone, wall).cast("timestamp")
    if zone != str(ZONE):
        return converted
    return (wall >= _CHINA_FIXED_OFFSET).ifelse(wall - ibis.interval(hours=8), converted)


def key_hash(values: Sequence[str]) -> str:
    """A hash over several pieces of SQL, good for finding candidates within one query; not stable between versions."""
    return reduce(lambda seed, value: f"hash({seed}, {value})", values, "0::UBIGINT")


def _where(raw: ir.StringValue, expression: str, value: Any) -> Any:
    return _matches(raw, expression).ifelse(value, ibis.null(value.type()))


def sql(query: ir.Table) -> str:
    """The query as DuckDB reads it."""
    return str(ibis.to_sql(query, dialect="duckdb", pretty=False))


def fragment(value: ir.Value) -> str:
    """A value over the columns of the table `typed` as a piece of SQL that speaks of the row as `t0`."""
    query = sql(value.name("value").as_table())
    head, tail = "SELECT ", ' AS "value" FROM "typed" AS "t0"'
    if not (query.startswith(head) and query.endswith(tail)):
        raise ValueError(f"not an expression over one row: {query}")
    return f"({query[len(head) : -len(tail)]})"


_database: dict[str, duckdb.DuckDBPyConnection] = {}
_opening = threading.Lock()


@contextmanager
def session(settings: Settings) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection of its own to the process's one in-memory database, which keeps to the memory budget and spills into the lake."""
    with _opening:
        home = str(settings.home)
        if home not in _database:
            spill = str(claim(settings.home, "spill", uuid.uuid4().hex))  # processes must not share it
            _database[home] = duckdb.connect(
                config={
                    "memory_limit": f"{settings.memory_mb}MB",
                    "threads": settings.threads,
                    "temp_directory": spill,
                    "autoinstall_known_extensions": False,
                    "preserve_insertion_order": False,
                }
            )
    connection = _database[home].cursor()
    try:
        connection.execute("SET TimeZone = 'UTC'")
        yield connection
    finally:
        connection.close()


def each(settings: Settings, work: Callable[[Item], Result], items: Sequence[Item]) -> Iterator[Result]:
    """The results of `work` for every item, in their order, side by side on this process's threads."""
    with ThreadPoolExecutor(settings.threads) as pool:
        yield from pool.map(work, items)


def read_slice(
    connection: duckdb.DuckDBPyConnection,
    name: str,
    files: Sequence[str],
    *,
    columns: Sequence[str] = (),
    deliveries: Sequence[str],
    names: Sequence[str],
    rows: tuple[int, int] | None = None,
) -> None:
    """Make a slice of bronze readable as the view `name`: only rows of `deliveries`, whose ids and file `names` are coded, not copied.

    `columns` are those the contract declares, null where the files are older. `rows`: only those from the first to the last
    of these source rows.
    """
    slice_ = connection.read_parquet(list(files), hive_partitioning=False, union_by_name=True)
    coded = f"CAST(_delivery_id AS {_enumeration(deliveries)}) AS _delivery_id, CAST(_source_file AS {_enumeration(names)}) AS _source_file"
    ours = f"_delivery_id IN ({', '.join(map(_quoted, deliveries))})"
    if rows is not None:
        ours += f" AND _source_row BETWEEN {rows[0]} AND {rows[1]}"
    later = "".join(f', CAST(NULL AS VARCHAR) AS "{column}"' for column in columns if column not in slice_.columns)
    connection.register(name, slice_.filter(ours).project(f"* REPLACE ({coded}){later}"))


def read(connection: duckdb.DuckDBPyConnection, name: str, files: Sequence[str], day: date | None = None) -> None:
    """Make Parquet files of silver readable as the view `name`, without deleted rows; with `day` only rows of `_day = day`."""
    rows = connection.read_parquet(list(files), hive_partitioning=False, union_by_name=True)
    if "_op" in rows.columns:
        rows = rows.filter(NOT_DELETED)
    if day is not None:
        rows = rows.filter(f"_day = DATE '{day.isoformat()}'")
    connection.register(name, rows)


def everything(connection: duckdb.DuckDBPyConnection, name: str) -> pa.RecordBatchReader:
    """All rows of a view as a stream."""
    return connection.table(name).to_arrow_reader(BATCH_ROWS)


def run(connection: duckdb.DuckDBPyConnection, query: str | ir.Table) -> pa.RecordBatchReader:
    """The result as a stream of record batches; nothing is held that was not asked for."""
    return connection.execute(query if isinstance(query, str) else sql(query)).to_arrow_reader(BATCH_ROWS)


def gathered(connection: duckdb.DuckDBPyConnection, query: str, order: Sequence[str]) -> pa.RecordBatchReader:
    """The result in order, as a stream. It is gathered first, on all threads: worth it where few of many rows are wanted."""
    connection.execute(f"CREATE OR REPLACE TEMP TABLE gathered AS {query}")
    return run(connection, f"SELECT * FROM gathered ORDER BY {', '.join(order)}")


def repeated_values(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The values that occur more than once; sorts in place. Sorting 8 bytes a row beats a hash table of them."""
    values.sort()
    return np.unique(values[1:][values[1:] == values[:-1]])


def _enumeration(values: Sequence[str]) -> str:
    return f"ENUM ({', '.join(map(_quoted, values))})"


def _quoted(text: str) -> str:
    """A text as an SQL literal: type names and view definitions take no parameters."""
    return "'" + text.replace("'", "''") + "'"
