"""A table or view of any database with an ODBC driver, by arrow-odbc in a process of its own.

The connection is `odbc://user:password@/?Driver=...&Server=...`: user and password become UID and PWD, every pair of the
query a pair of the driver's connection string. Drivers for databases without a module of their own: docs/databases.md.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import pyarrow as pa

from lakehouse.errors import CitylakeError, EnvironmentFault
from lakehouse.formats.parquet import text
from lakehouse.source import DriverSource
from lakehouse.sources.database.apart import apart
from lakehouse.sources.database.query import CONNECT_S, Query, Trouble, empty, quoting
from lakehouse.sources.received import Asked, Received

_BUFFER_BYTES = 128 << 20
_ROWS = 20_000

_NO_DRIVER = ("01000", "IM002", "IM003", "IM004")
_STATES: dict[str, Trouble] = {
    "28000": "login",
    "42S02": "table",
    "42501": "right",
    "HYT00": "slow",
    "HYT01": "down",
    "57014": "slow",
    "08S01": "broken",
    "40001": "busy",
}
"""https://learn.microsoft.com/en-us/sql/odbc/reference/appendixes/appendix-a-odbc-error-codes"""


def fetch(asked: Asked, source: DriverSource) -> Iterator[Received]:
    """The day's rows, as `tables.fetch`: whole numbers, decimals, days and times of day as the driver writes them, moments as
    ISO 8601, other numbers as the shortest text that is read as the same again, bytes hexadecimal."""
    from lakehouse.sources.database import tables  # drags in what the process of its own has no use for

    yield from tables.fetch(asked, source, lambda query: apart(partial(read, source=source), query), ("odbc",))


def read(query: Query, source: DriverSource) -> Iterator[pa.RecordBatch]:
    """The table's rows as batches of text, the first of them empty. A driver's crash ends the process."""
    quoted = quoting(source)
    with _refusals(query):
        probe = _opened(query, f"SELECT * FROM {query.table(quoted)} WHERE 1 = 0")
        columns = query.checked(probe.schema.names)
        yield empty(columns)
        for batch in _opened(query, query.escaped(columns, quoted)):
            yield pa.RecordBatch.from_arrays([text(column) for column in batch.columns], names=columns)


def _opened(query: Query, sql: str) -> Any:
    from arrow_odbc import connect

    address = urlsplit(query.uri)
    row_bytes = query.asked.contract.limits.row_bytes
    pairs = "".join(f"{key}={_braced(value)};" for key, value in parse_qsl(address.query))
    connection = connect(
        pairs,
        user=unquote(address.username or ""),
        password=unquote(address.password or ""),
        login_timeout_sec=CONNECT_S,
    )
    return connection.read_arrow_batches(
        sql,
        batch_size=_ROWS,
        max_bytes_per_batch=_BUFFER_BYTES,
        max_text_size=row_bytes,
        max_binary_size=row_bytes,
        query_timeout_sec=query.seconds,
        map_schema=lambda schema: pa.schema([(field.name, _kind(field.type)) for field in schema]),
    )


def _kind(kind: pa.DataType) -> pa.DataType:
    """As what a column is asked for: as text, where the driver's text is exact."""
    if pa.types.is_floating(kind) or (pa.types.is_timestamp(kind) and kind.unit != "ns"):
        return kind  # in nanoseconds there is no year 9999
    return pa.binary() if pa.types.is_binary(kind) or pa.types.is_fixed_size_binary(kind) else pa.string()


def _braced(value: str) -> str:
    return "{" + value.replace("}", "}}") + "}"


@contextmanager
def _refusals(query: Query) -> Iterator[None]:
    try:
        from arrow_odbc import Error
    except OSError:
        hint = "install unixODBC (Debian: unixodbc)"
        raise EnvironmentFault("there are no ODBC drivers here", where=query.where, hint=hint) from None
    try:
        yield
    except Error as error:
        raise _judged(query, str(error)) from None


def _judged(query: Query, said: str) -> CitylakeError:
    state = found[1] if (found := re.search(r"State: (\w{5})", said)) else ""
    connecting = "SQLDriverConnect" in said
    if connecting and state in _NO_DRIVER:
        hint = "install it, or correct 'Driver' in the connection (docs/databases.md)"
        return EnvironmentFault("the ODBC driver isn't there", where=query.where, hint=hint)
    if "without truncation" in said or "single row" in said:
        return query.failed("wide")
    if trouble := _STATES.get(state):
        return query.failed(trouble)
    if connecting:
        return query.failed("login" if state == "42000" else "down")
    return query.broken_off() if "SQLFetch" in said else query.failed("query", f"SQLSTATE {state}")
