"""A PostgreSQL table or view as one Parquet file of text, the same content in the same bytes."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from adbc_driver_manager import dbapi as adbc
from adbc_driver_postgresql import dbapi

from lakehouse.contract import Contract
from lakehouse.errors import CitylakeError, NotDelivered, SourceRefused, SourceUnavailable
from lakehouse.formats.reading import over_limit
from lakehouse.settings import ZONE, connection_uri
from lakehouse.source import PostgresSource
from lakehouse.sources.received import Asked, Ledger, Received, place, writing

_AGAIN = "it is asked again with the next run"
_COLUMNS = """
SELECT attname::text FROM pg_attribute
WHERE attrelid = to_regclass($1) AND attnum > 0 AND NOT attisdropped ORDER BY attnum
"""
_REFUSING = ("FATAL", "致命错误", "no password supplied", "connection info string", "invalid connection")
_PASSING = ("starting up", "shutting down", "too many", "reserved for", "recovery")
"""Words of refusals that pass: SQLSTATE isn't given for a connection that fails."""
_PASSING_STATES = ("08", "53", "57", "40", "55P03")
"""SQLSTATE classes of PostgreSQL's appendix A: connection, resources, operator's intervention, rollback; lock."""


def fetch(asked: Asked, source: PostgresSource) -> Iterator[Received]:
    """Every column as PostgreSQL prints it (instants in Asia/Shanghai with offset), rows ordered by the key, then by
    the other columns; with `day_column` only the day's rows.

    Raises NotDelivered when the day has no rows, SourceUnavailable for a closed port or an overloaded server,
    SourceRefused for wrong credentials or an unknown table.
    """
    contract, day = asked.contract, asked.day
    where = f"{contract.name} {source.table}"
    path = place(f"{source.table}.parquet", asked.into)
    with _cursor(source, contract, where) as cursor:
        columns = _columns(cursor, contract, source, where)
        rows = _copy(cursor, _query(columns, contract, source), day, path, contract, where)
    if source.day_column and not rows:
        raise NotDelivered(f"no rows of {day}", where=where, hint="it is looked for again with every run")
    ledger = Ledger(contract.limits.bytes, b'"', where)
    ledger.add(path)
    yield Received(path, path.name, ledger.size, ledger.sha256, None, True)


@contextmanager
def _cursor(source: PostgresSource, contract: Contract, where: str) -> Iterator[adbc.Cursor]:
    uri = connection_uri(source.connection)
    # Airflow writes postgres://, libpq reads both; anything else is passed on and refused there
    separator = "&" if "?" in uri else "?"
    bounded = uri if "connect_timeout=" in uri else f"{uri}{separator}connect_timeout=10"
    settings = (
        f"TIME ZONE '{ZONE.key}'",
        "datestyle = 'ISO, YMD'",
        f"statement_timeout = '{contract.limits.seconds}s'",
    )
    with _refusals(contract, where), dbapi.connect(bounded) as connection, connection.cursor() as cursor:
        for setting in settings:
            cursor.execute(f"SET {setting}")
        yield cursor


def _columns(cursor: adbc.Cursor, contract: Contract, source: PostgresSource, where: str) -> list[str]:
    """The table's columns in their order, declared or not: a column nobody declared must show."""
    cursor.execute(_COLUMNS, (_table(source),))
    columns = [row[0] for row in cursor.fetchall()]
    if not columns:
        raise SourceRefused(
            f"no table '{source.table}' that we may read",
            where=where,
            hint="check 'table' in 'source', or ask for access",
        )
    if len(columns) > contract.limits.columns:
        raise over_limit("columns", len(columns), contract.limits.columns, where)
    if source.day_column and source.day_column not in columns:
        raise SourceRefused(
            f"the table has no column '{source.day_column}'", where=where, hint="check 'day_column' in 'source'"
        )
    return columns


def _query(columns: list[str], contract: Contract, source: PostgresSource) -> str:
    selected = ", ".join(f"{_quoted(name)}::text AS {_quoted(name)}" for name in columns)
    key = [name for name in map(contract.sent_name, contract.key) if name in columns]
    order = ", ".join(f'{_quoted(name)}::text COLLATE "C"' for name in dict.fromkeys([*key, *columns]))
    query = f"SELECT {selected} FROM {_table(source)}"
    if source.day_column:
        column, day = _quoted(source.day_column), "current_setting('citylake.day')::date"
        query += f" WHERE {column} >= {day} AND {column} < {day} + 1"
    return f"{query} ORDER BY {order}"


def _table(source: PostgresSource) -> str:
    return ".".join(map(_quoted, source.table.split(".")))


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _copy(cursor: adbc.Cursor, query: str, day: date, path: Path, contract: Contract, where: str) -> int:
    """Streams the query into a Parquet file and counts its rows.

    The day is bound as a setting of the transaction: a query with parameters of its own would not stream.
    """
    cursor.execute("SELECT set_config('citylake.day', $1, true)", (day.isoformat(),))
    cursor.fetchall()
    start = time.monotonic()
    cursor.execute(query)
    batches = cursor.fetch_record_batch()
    rows = 0
    with writing(path):
        writer = pq.ParquetWriter(path, batches.schema.remove_metadata(), compression="zstd")
    with writer:
        for batch in _streamed(batches, start, contract, where):
            rows += len(batch)
            with writing(path):
                writer.write_batch(batch)
            for limit, spent in (("rows", rows), ("bytes", path.stat().st_size)):
                if spent > (allowed := getattr(contract.limits, limit)):
                    raise over_limit(limit, spent, allowed, where)
    return rows


def _streamed(batches: pa.RecordBatchReader, start: float, contract: Contract, where: str) -> Iterator[pa.RecordBatch]:
    """The batches of a query begun at `start`; what goes wrong on the way comes as an OSError without SQLSTATE."""
    try:
        yield from batches
    except OSError:
        if time.monotonic() - start >= contract.limits.seconds:
            raise _too_slow(contract, where) from None
        raise SourceUnavailable("the query broke off", where=where, hint=f"{_AGAIN}; does it run there?") from None


@contextmanager
def _refusals(contract: Contract, where: str) -> Iterator[None]:
    """Errors of the driver as ours. Their text isn't passed on: it may show values and parts of the address."""
    try:
        yield
    except adbc.Error as error:
        raise _judged(error, contract, where) from None


def _judged(error: adbc.Error, contract: Contract, where: str) -> CitylakeError:
    state, text = error.sqlstate or "", str(error)
    if state == "57014":
        return _too_slow(contract, where)
    if state == "42501":
        return SourceRefused("we may not read it", where=where, hint="ask the department for the right to select")
    if state and not state.startswith(_PASSING_STATES):
        return SourceRefused(f"the query failed (SQLSTATE {state})", where=where, hint="check 'table' in 'source'")
    if not state and any(word in text for word in _REFUSING) and not any(word in text for word in _PASSING):
        return SourceRefused(
            "the log-in was refused", where=where, hint="check the address and password of the connection"
        )
    what = "the server can't serve us just now" if state else "no connection to the server"
    return SourceUnavailable(what, where=where, hint=f"{_AGAIN}; is the department's database up?")


def _too_slow(contract: Contract, where: str) -> SourceUnavailable:
    what = f"the query takes longer than {contract.limits.seconds} s"
    return SourceUnavailable(what, where=where, hint="raise 'limits: {seconds: ...}' in the contract")
