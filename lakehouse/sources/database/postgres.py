"""A PostgreSQL table or view, by ADBC. Every value as PostgreSQL prints it, instants in Asia/Shanghai with offset, bytes
hexadecimal."""

from collections.abc import Iterator
from contextlib import contextmanager

import pyarrow as pa
from adbc_driver_manager import dbapi as adbc
from adbc_driver_postgresql import dbapi

from lakehouse.settings import ZONE
from lakehouse.source import TableSource
from lakehouse.sources.database import tables
from lakehouse.sources.database.query import CONNECT_S, Condition, Query, Trouble, empty, quoted
from lakehouse.sources.received import Asked, Received

_COLUMNS = """
SELECT attname::text, CASE WHEN typbasetype = 0 THEN format_type(atttypid, NULL) ELSE format_type(typbasetype, NULL) END
FROM pg_attribute JOIN pg_type ON pg_type.oid = atttypid
WHERE attrelid = to_regclass($1) AND attnum > 0 AND NOT attisdropped ORDER BY attnum
"""
_REFUSING = ("FATAL", "致命错误", "no password supplied", "connection info string", "invalid connection")
_PASSING = ("starting up", "shutting down", "too many", "reserved for", "recovery")
"""Words of refusals that pass: SQLSTATE isn't given for a connection that fails."""
_PASSING_STATES = ("08", "53", "57", "40", "55P03")
"""SQLSTATE classes of PostgreSQL's appendix A: connection, resources, operator's intervention, rollback; lock."""


def fetch(asked: Asked, source: TableSource) -> Iterator[Received]:
    """The day's rows, as `tables.fetch`."""
    yield from tables.fetch(asked, source, _read, ("postgresql", "postgres"))


def _read(query: Query) -> Iterator[pa.RecordBatch]:
    with _refusals(query), _cursor(query) as cursor:
        cursor.execute(_COLUMNS, (query.table(quoted),))
        kinds = dict(cursor.fetchall())
        columns = query.checked(list(kinds))
        # bound as settings of the transaction: a query with parameters of its own would not stream
        for number, condition in enumerate(query.conditions):
            cursor.execute(f"SELECT set_config('citylake.value{number}', $1, true)", (str(condition.value),))
            cursor.fetchall()

        def compared(condition: Condition) -> str:
            value = f"current_setting('citylake.value{query.conditions.index(condition)}')::{kinds[condition.column]}"
            return f"{quoted(condition.column)} {condition.sign} {value}"

        cursor.execute(query.select((_text(name, kinds[name]) for name in columns), quoted, compared))
        yield empty(columns)
        try:
            yield from cursor.fetch_record_batch()
        except (OSError, pa.ArrowException) as error:  # without SQLSTATE, when it goes wrong on the way
            raise (query.failed("text") if '"UTF8"' in str(error) else query.broken_off()) from None


def _text(name: str, kind: str) -> str:
    column = quoted(name)
    return f"encode({column}, 'hex') AS {column}" if kind == "bytea" else f"{column}::text AS {column}"


@contextmanager
def _cursor(query: Query) -> Iterator[adbc.Cursor]:
    # Airflow writes postgres://, libpq reads both; anything else is passed on and refused there
    uri, separator = query.uri, "&" if "?" in query.uri else "?"
    bounded = uri if "connect_timeout=" in uri else f"{uri}{separator}connect_timeout={CONNECT_S}"
    settings = (
        "TRANSACTION READ ONLY",
        "client_encoding = 'UTF8'",
        f"TIME ZONE '{ZONE.key}'",
        "datestyle = 'ISO, YMD'",
        "intervalstyle = 'iso_8601'",
        "extra_float_digits = 1",  # the shortest text that is read as the same number again
        f"statement_timeout = '{query.seconds}s'",
    )
    with dbapi.connect(bounded) as connection, connection.cursor() as cursor:
        for setting in settings:
            cursor.execute(f"SET {setting}")
        yield cursor


@contextmanager
def _refusals(query: Query) -> Iterator[None]:
    try:
        yield
    except adbc.Error as error:
        state = error.sqlstate or ""
        raise query.failed(_trouble(state, str(error)), f"SQLSTATE {state}") from None


def _trouble(state: str, text: str) -> Trouble:
    if state == "57014":
        return "slow"
    if state == "42501":
        return "right"
    if state:
        return "busy" if state.startswith(_PASSING_STATES) else "query"
    refused = any(word in text for word in _REFUSING) and not any(word in text for word in _PASSING)
    return "login" if refused else "down"
