"""A table or view of an SQLite file, by Python's own module. The connection is its address: `sqlite:///srv/register.db`.

Not by ADBC: its driver takes a column's type from the first rows, fails when a later value differs, and can't be
interrupted (docs/decisions/databases.md).
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import datetime
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pyarrow as pa

from lakehouse.source import TableSource
from lakehouse.sources.database import tables
from lakehouse.sources.database.query import Condition, Query, Trouble, batches, quoted
from lakehouse.sources.received import Asked, Received

_STEPS = 100_000
"""Steps of SQLite's machine after which it looks at the clock: some milliseconds."""
_WAIT_S = 10
"""How long to wait for a program that is writing."""
_BEYOND = "1e9"
"""A Julian day above all others: what doesn't tell its time is new."""

_TROUBLES: dict[int, Trouble] = {
    sqlite3.SQLITE_CANTOPEN: "file",
    sqlite3.SQLITE_PERM: "file",
    sqlite3.SQLITE_BUSY: "busy",
    sqlite3.SQLITE_LOCKED: "busy",
    sqlite3.SQLITE_CORRUPT: "damaged",
    sqlite3.SQLITE_NOTADB: "damaged",
    sqlite3.SQLITE_INTERRUPT: "slow",
    sqlite3.SQLITE_TOOBIG: "wide",
    sqlite3.SQLITE_IOERR: "broken",
    sqlite3.SQLITE_FULL: "broken",
}
"""https://www.sqlite.org/rescode.html"""


def fetch(asked: Asked, source: TableSource) -> Iterator[Received]:
    """The day's rows, as `tables.fetch`: whole numbers and texts as they are, other numbers as the shortest text that is
    read as the same again, bytes hexadecimal, bytes of a text that aren't UTF-8 as \\xNN."""
    yield from tables.fetch(asked, source, _read, ("sqlite",))


def _read(query: Query) -> Iterator[pa.RecordBatch]:
    try:
        with _connection(query) as connection:
            described = connection.execute(f"SELECT * FROM {query.table(quoted)} LIMIT 0").description
            columns = query.checked([name for name, *_ in described])
            values = [c.value if isinstance(c.value, int) else c.value.isoformat() for c in query.conditions]
            rows = connection.execute(query.select(map(quoted, columns), quoted, _compared), values)
            yield from batches(columns, (list(map(_text, row)) for row in rows))
    except sqlite3.Error as error:
        raise query.failed(_trouble(error), getattr(error, "sqlite_errorname", "")) from None


@contextmanager
def _connection(query: Query) -> Iterator[sqlite3.Connection]:
    path = Path("/", unquote(urlsplit(query.uri).path).lstrip("/"))
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=_WAIT_S)) as connection:
        connection.text_factory = lambda raw: raw.decode(errors="backslashreplace")
        connection.set_progress_handler(lambda: query.is_late, _STEPS)
        connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, query.asked.contract.limits.row_bytes)
        connection.execute("PRAGMA trusted_schema = OFF")  # a view of theirs calls no function that does something
        yield connection


def _compared(condition: Condition) -> str:
    """Times by the calendar, however they are written; days as text, as they are written most."""
    name = quoted(condition.column)
    if isinstance(condition.value, datetime):
        return f"coalesce(julianday({name}), {_BEYOND}) {condition.sign} julianday(?)"
    return f"{name} {condition.sign} ?"


def _text(value: str | int | float | bytes | None) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return value.hex() if isinstance(value, bytes) else repr(value)


def _trouble(error: sqlite3.Error) -> Trouble:
    if str(error).startswith("no such table"):
        return "table"
    return _TROUBLES.get(getattr(error, "sqlite_errorcode", 0) & 0xFF, "query")  # the primary of an extended code
