"""What is asked of one table, what comes back as batches of text, and what to say when it doesn't."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Literal
from urllib.parse import urlsplit

import pyarrow as pa

from lakehouse.errors import (
    CitylakeError,
    ContractError,
    DeliveryUnreadable,
    EnvironmentFault,
    SourceRefused,
    SourceUnavailable,
)
from lakehouse.formats.reading import over_limit
from lakehouse.settings import connection_uri
from lakehouse.source import DriverSource, Since, TableSource
from lakehouse.sources.received import Asked

Value = int | date | datetime

CONNECT_S = 10
"""How long a server may take to answer the log-in."""

_BATCH_BYTES = 16 << 20
_BATCH_ROWS = 20_000


@dataclass(frozen=True)
class Condition:
    """`column sign value`, true for a null as well where `or_null`."""

    column: str
    sign: Literal[">", ">=", "<"]
    value: Value
    or_null: bool = False


@dataclass(frozen=True)
class Query:
    """What is asked of one table: the rows that meet all `conditions`. `uri` is a secret."""

    asked: Asked
    source: TableSource
    uri: str = field(repr=False)
    conditions: Sequence[Condition]
    until: float

    @property
    def seconds(self) -> int:
        return self.asked.contract.limits.seconds

    @property
    def where(self) -> str:
        return f"{self.asked.contract.name} {self.source.name}"

    def checked(self, columns: list[str]) -> list[str]:
        """The table's columns, if they are as the contract needs them. Raises SourceRefused, DeliveryUnreadable."""
        if not columns:
            raise self.failed("table")
        if len(columns) > (most := self.asked.contract.limits.columns):
            raise over_limit("columns", len(columns), most, self.where)
        source, contract = self.source, self.asked.contract
        asked = {"day_column": source.day_column, "since": source.since.column if source.since else None}
        if source.changes:
            asked |= {
                "key": next((name for name in map(contract.sent_name, contract.key) if name not in columns), None)
            }
        for key, name in asked.items():
            if name and name not in columns:
                hint = f"check '{key}' in the contract"
                raise SourceRefused(f"the table has no column '{name}'", where=self.where, hint=hint)
        return columns

    def select(self, columns: Iterable[str], quoted: Callable[[str], str], compared: Callable[[Condition], str]) -> str:
        """The query, made of expressions for the columns; `compared` writes a condition with a place for its value."""

        def clause(condition: Condition) -> str:
            said = compared(condition)
            return f"({said} OR {quoted(condition.column)} IS NULL)" if condition.or_null else said

        where = " AND ".join(map(clause, self.conditions))
        return f"SELECT {', '.join(columns)} FROM {self.table(quoted)}" + (f" WHERE {where}" if where else "")

    def escaped(self, columns: Iterable[str], quoted: Callable[[str], str]) -> str:
        """The query with its values, in the escapes that every driver of ODBC and JDBC translates. Only numbers, days and
        moments of ours are written so; a moment without its offset, as the session's clock showed it."""

        def compared(condition: Condition) -> str:
            match condition.value:
                case datetime() as moment:
                    said = f"{{ts '{moment.replace(tzinfo=None).isoformat(sep=' ')}'}}"
                case date() as day:
                    said = f"{{d '{day.isoformat()}'}}"
                case number:
                    said = str(number)
            return f"{quoted(condition.column)} {condition.sign} {said}"

        return self.select(map(quoted, columns), quoted, compared)

    def table(self, quoted: Callable[[str], str]) -> str:
        """The table's whole name."""
        return ".".join(map(quoted, self.source.path))

    @property
    def is_late(self) -> bool:
        return time.monotonic() > self.until

    def broken_off(self) -> CitylakeError:
        """What to say of a query that ended before its last row and doesn't say why."""
        return self.failed("slow" if self.is_late else "broken")

    def failed(self, trouble: "Trouble", detail: str = "") -> CitylakeError:
        """The error of ours. Nothing of the server's own words is passed on: they may show values and parts of the address."""
        kind, what, hint = _TROUBLES[trouble]
        limits = self.asked.contract.limits
        words = {
            "table": self.source.name,
            "seconds": limits.seconds,
            "row_bytes": limits.row_bytes,
            "detail": detail,
        }
        return kind(what.format(**words), where=self.where, hint=hint)


def quoted(name: str) -> str:
    """A name by the SQL standard's rule."""
    return '"' + name.replace('"', '""') + '"'


def quoting(source: DriverSource) -> Callable[[str], str]:
    """How names are quoted in a database of which only its quotation mark is known."""
    mark = source.quote
    return lambda name: mark + name.replace(mark, mark * 2) + mark


Trouble = Literal[
    "login", "table", "right", "query", "down", "busy", "broken", "slow", "wide", "text", "file", "damaged"
]

_AGAIN = "it is asked again with the next run"
_TROUBLES: Mapping[Trouble, tuple[type[CitylakeError], str, str]] = {
    "login": (SourceRefused, "the log-in was refused", "check the address and password of the connection"),
    "table": (SourceRefused, "no table '{table}' that we may read", "check 'table' in 'source', or ask for access"),
    "right": (SourceRefused, "we may not read it", "ask the department for the right to select"),
    "query": (SourceRefused, "the query failed ({detail})", "check 'table' in 'source'; does the query run there?"),
    "wide": (
        DeliveryUnreadable,
        "a row is longer than the allowed {row_bytes} bytes",
        "ask the department, or raise 'limits: {row_bytes: ...}' in the contract",
    ),
    "text": (
        DeliveryUnreadable,
        "its text isn't UTF-8, and the server doesn't know what it is",
        "ask the department for a view that converts it",
    ),
    "file": (
        SourceUnavailable,
        "the database file can't be opened",
        "check the path of the connection, and our rights",
    ),
    "damaged": (DeliveryUnreadable, "the database file is damaged", "ask the department to deliver it again"),
    "down": (SourceUnavailable, "no connection to the server", f"{_AGAIN}; is the department's database up?"),
    "busy": (SourceUnavailable, "the server can't serve us just now", f"{_AGAIN}; is the department's database up?"),
    "broken": (SourceUnavailable, "the query broke off", f"{_AGAIN}; does it run there?"),
    "slow": (
        SourceUnavailable,
        "the query takes longer than {seconds} s",
        "raise 'limits: {seconds: ...}' in the contract",
    ),
}


def asking(asked: Asked, source: TableSource, schemes: Sequence[str]) -> Query:
    """What to ask the database, whose address has one of the schemes.

    Raises EnvironmentFault (connection not set, or for something else), ContractError (`overlap` of another kind).
    """
    uri = connection_uri(source.connection)
    if urlsplit(uri).scheme.partition("+")[0] not in schemes:  # some name the driver, too: mysql+pymysql
        address = f"an address that begins with {schemes[0]}://"
        raise EnvironmentFault(
            f"connection '{source.connection}' isn't {address}", where=asked.contract.name, hint="correct it"
        )
    conditions = []
    if source.day_column:
        conditions = [
            Condition(source.day_column, ">=", asked.day),
            Condition(source.day_column, "<", asked.day + timedelta(days=1)),
        ]
    mark = asked.marks.get(source.since.column) if source.since else None
    if source.since and mark and (above := _less(mark, source.since, asked.contract.name)) is not None:
        # a row that doesn't say when it changed is new every time
        conditions.append(Condition(source.since.column, ">", above, or_null=True))
    return Query(asked, source, uri, conditions, time.monotonic() + asked.contract.limits.seconds)


def _less(mark: str, since: Since, where: str) -> Value | None:
    """The mark less the overlap: a number, or a moment (of its own zone, if it has one); None for what is neither, left by
    another kind of source."""
    counts, overlap = mark.lstrip("-").isdigit(), since.overlap or None
    if counts and not isinstance(overlap, timedelta):
        return int(mark) - (overlap or 0)
    if not counts and not isinstance(overlap, int):
        try:
            return datetime.fromisoformat(mark) - (overlap or timedelta(0))
        except ValueError:
            return None
    wanted = "counts versions: its overlap is a number" if counts else "holds times: its overlap is one like 1h"
    raise ContractError(f"since: '{since.column}' {wanted}", where=where, hint="change 'overlap' in 'source'")


def empty(columns: Sequence[str]) -> pa.RecordBatch:
    """No rows of a table with these columns."""
    return _batch(columns, [])


def batches(columns: Sequence[str], rows: Iterable[Sequence[str | None]]) -> Iterator[pa.RecordBatch]:
    """Rows of text as batches of bounded size, the first of them empty."""
    yield empty(columns)
    held: list[Sequence[str | None]] = []
    size = 0
    for row in rows:
        held.append(row)
        size += sum(map(len, filter(None, row)))
        if len(held) >= _BATCH_ROWS or size >= _BATCH_BYTES:
            yield _batch(columns, held)
            held, size = [], 0
    if held:
        yield _batch(columns, held)


def _batch(columns: Sequence[str], rows: Sequence[Sequence[str | None]]) -> pa.RecordBatch:
    values = zip(*rows, strict=True) if rows else [()] * len(columns)
    schema = pa.schema([(name, pa.string()) for name in columns])
    return pa.RecordBatch.from_arrays([pa.array(column, pa.string()) for column in values], schema=schema)
