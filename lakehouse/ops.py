"""The books of the lake: append-only tables about deliveries, runs, results, releases and scores.

Readers take the newest row per key by `at`; nothing is ever changed or deleted, so every old scorecard can be recomputed.
"""

import threading
from collections import defaultdict
from collections.abc import Iterator, Mapping
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from lakehouse import merging
from lakehouse.errors import LakeError
from lakehouse.table import Commit, Table, added

_TEXT, _COUNT, _INSTANT, _DAY = pa.string(), pa.int64(), pa.timestamp("us", "UTC"), pa.date32()
_WHERE = [("at", _INSTANT), ("run_id", _TEXT), ("department", _TEXT), ("dataset", _TEXT), ("day", _DAY)]

SCHEMAS: dict[str, pa.Schema] = {
    "deliveries": pa.schema([
        *_WHERE, ("delivery_id", _TEXT), ("event", _TEXT), ("received_at", _INSTANT), ("name", _TEXT), ("bytes", _COUNT),
        ("sha256", _TEXT), ("content_hash", _TEXT), ("rows_in", _COUNT), ("loaded", _COUNT), ("unparsable", _COUNT),
        ("accepted", _COUNT), ("quarantined", _COUNT), ("undeclared", pa.list_(_TEXT)), ("missing", pa.list_(_TEXT)),
        ("reason", _TEXT),
    ]),
    "runs": pa.schema([
        ("at", _INSTANT), ("run_id", _TEXT), ("step", _TEXT), *_WHERE[2:], ("status", _TEXT), ("seconds", pa.float64()),
        ("rows_in", _COUNT), ("accepted", _COUNT), ("quarantined", _COUNT), ("unparsable", _COUNT), ("fingerprint", _TEXT),
        ("reads", _TEXT), ("writes", _TEXT), ("contract", _TEXT), ("code", _TEXT), ("error", _TEXT),
    ]),
    "results": pa.schema([
        *_WHERE, ("check_id", _TEXT), ("check", _TEXT), ("column", _TEXT), ("dimension", _TEXT), ("indicator", _TEXT),
        ("level", _TEXT), ("status", _TEXT), ("evaluated", _COUNT), ("passed", _COUNT), ("threshold", pa.float64()),
        ("observed", _TEXT), ("message", _TEXT), ("contract", _TEXT),
    ]),
    "failing_keys": pa.schema([
        *_WHERE, ("check_id", _TEXT), ("delivery_id", _TEXT), ("source_file", _TEXT), ("source_row", _COUNT), ("key", _TEXT),
    ]),
    "releases": pa.schema([
        ("at", _INSTANT), ("run_id", _TEXT), ("day", _DAY), ("revision", _COUNT), ("tables", _TEXT), ("departments", _COUNT),
        ("failed", _TEXT),
    ]),
    "scores": pa.schema([
        ("at", _INSTANT), ("run_id", _TEXT), ("day", _DAY), ("revision", _COUNT), ("department", _TEXT), ("dataset", _TEXT),
        ("dimension", _TEXT), ("score", pa.float64()), ("coverage", pa.float64()), ("floor", pa.float64()),
        ("ceiling", pa.float64()), ("passed", pa.float64()), ("evaluated", pa.float64()), ("weights", _TEXT),
    ]),
}  # fmt: skip
"""Columns of every ops table, as `docs/architecture.md` explains them."""


class Ops:
    """Reads the books under `home`, and collects rows until `flush` writes them: one commit a table."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._pending: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
        self._lock = threading.Lock()

    def table(self, name: str) -> Table:
        """The Delta table of book `name`."""
        return Table(self._home / "ops" / name)

    def note(self, book: str, /, **row: Any) -> None:
        """Remember a row for `flush`. Columns left out are null; an unknown column is a KeyError."""
        if unknown := row.keys() - set(SCHEMAS[book].names):
            raise KeyError(f"ops.{book} has no column {', '.join(sorted(unknown))}")
        with self._lock:
            self._pending[book].append(row)

    def flush(self, run_id: str) -> None:
        """Write what was noted, one commit a table, `runs` last: a run counts as done only when its books are.

        `at` never runs backwards: after a clock that was ahead, rows follow those it has left.
        """
        with self._lock:
            pending, self._pending = self._pending, defaultdict(list)
        newest = self._newest() if pending else None
        for name in sorted(pending, key=lambda book: (book == "runs", book)):
            noted = [{**row, "at": _after(newest, row.get("at"))} for row in pending[name]]
            rows = pa.Table.from_pylist(noted, schema=SCHEMAS[name])
            self.table(name).append_once(rows.schema, rows.to_batches(), Commit(run_id), partition_by="day")

    def take_up(self, name: str, folder: Path, run_id: str) -> int:
        """Add the rows of the Parquet files anywhere below `folder` that book `name` doesn't have; gives how many.

        For a book whose log was lost or cut short: its rows are never changed, so whatever its files hold was once in it,
        or was on the way into it. Files that can't be read are left out.
        """
        there = self.read(name)
        stranded = pa.concat_tables([there.slice(0, 0), *_readable(folder, SCHEMAS[name])])
        with duckdb.connect() as connection:
            connection.register("there", there)
            connection.register("stranded", stranded.append_column("place", pa.array(range(len(stranded)), pa.int64())))
            row = f"CAST(row({', '.join(merging.quoted(SCHEMAS[name].names))}) AS VARCHAR)"
            places = connection.sql(
                f"SELECT min(place) AS place FROM stranded WHERE {row} NOT IN (SELECT {row} FROM there) "
                f"GROUP BY {row} ORDER BY place"
            ).fetchnumpy()["place"]
        if len(places):
            rows = stranded.take(pa.array(places)).combine_chunks()
            self.table(name).append_once(rows.schema, rows.to_batches(), Commit(run_id), partition_by="day")
        return len(places)

    def _newest(self) -> datetime | None:
        """The last instant in the books, as the log of `runs` says it."""
        runs = self.table("runs")
        found = [file.get("max.at") for file in added(runs.open())] if runs.exists() else []
        return max((at for at in found if at), default=None)

    def read(self, name: str, *, day: date | None = None, since: date | None = None) -> pa.Table:
        """The rows of `day`, of `since` and later, or all, oldest first; empty before the first.

        Rows with the same `at` stand in the order in which their runs began, those of one run as noted. Raises LakeError
        when the book is damaged.
        """
        table = self.table(name)
        if not table.exists():
            return SCHEMAS[name].empty_table()
        field = pa.compute.field("day")
        condition = None
        if day is not None:
            condition = field == pa.scalar(day, _DAY)
        elif since is not None:
            condition = field >= pa.scalar(since, _DAY)
        try:
            rows = table.dataset().to_table(columns=SCHEMAS[name].names, filter=condition)
        except (OSError, pa.ArrowException) as error:
            raise LakeError("a file can't be read", where=table.name, hint="run `citylake doctor`") from error
        return rows.cast(SCHEMAS[name]).sort_by([("at", "ascending"), ("run_id", "ascending")])


def _readable(folder: Path, schema: pa.Schema) -> Iterator[pa.Table]:
    """The rows of a book's files; their day stands in the name of the folder they are in."""
    for file in sorted(folder.glob("day=*/*.parquet")):
        said = file.parent.name.removeprefix("day=")
        day = None if said.startswith("__") else date.fromisoformat(said)
        try:
            rows = pq.ParquetFile(file).read()
        except (OSError, pa.ArrowException):
            continue
        yield rows.append_column("day", pa.array([day] * len(rows), _DAY)).select(schema.names).cast(schema)


def _after(newest: datetime | None, at: datetime | None) -> datetime | None:
    return newest + timedelta(milliseconds=1) if newest and at and at < newest else at  # the log knows milliseconds
