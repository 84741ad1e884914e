"""What changed between two versions of a table."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import duckdb

from lakehouse.errors import LakeError, UsageError
from lakehouse.merging import NOT_DELETED
from lakehouse.privacy import masked
from lakehouse.queries import RAW_LAYERS, connected, quoted, shown_columns
from lakehouse.settings import Settings
from lakehouse.table import Table


@dataclass(frozen=True)
class Example:
    """One row that is `added`, `removed` or `changed` (then as `old -> new` where a value differs); sensitive values masked."""

    kind: str
    row: dict[str, Any]


@dataclass(frozen=True)
class Difference:
    """How many rows were added, removed, changed, and are the same by `key`; without a key whole rows are compared."""

    key: tuple[str, ...]
    added: int
    removed: int
    changed: int
    same: int
    examples: tuple[Example, ...]


def compare(settings: Settings, table: Table, before: int, after: int, key: Sequence[str], limit: int) -> Difference:
    """Compare two versions in the columns of the contract, technical ones left out. `limit` examples of each kind.

    A table that keeps every day has a row of a key on each: there the day is part of the key. Where rows share one all the
    same (bronze holds every delivery), whole rows are compared.
    Raises UsageError for versions that don't exist, LakeError for files that are gone.
    """
    try:
        with connected(settings) as connection:
            connection.register("before", _opened(table, before))
            connection.register("after", _opened(table, after))
            of_days = {"_day"} & set(table.open(after).metadata().partition_columns)
            columns = _aligned(connection, table, {"_extra", "_errors", *of_days})
            by = (*key, *of_days) if key and _tells_apart(connection, [*key, *of_days], columns) else ()
            _pair(connection, by, columns)
            found = dict(connection.execute("SELECT kind, count(*) FROM paired GROUP BY kind").fetchall())
            same = _rows(connection) - found.get("added", 0) - found.get("changed", 0)
            counts = (found.get("added", 0), found.get("removed", 0), found.get("changed", 0), same)
            raw = table.layer in RAW_LAYERS
            shown = shown_columns(settings, table.path.name) | {"_day", "_errors"} if raw else frozenset(columns)
            return Difference(by, *counts, tuple(_examples(connection, columns, shown, limit)))
    except (duckdb.Error, OSError) as error:
        said = str(error).strip().splitlines()[0][:200]
        raise LakeError(f"can't be compared ({said})", where=table.where, hint="run `citylake doctor`") from error


def _opened(table: Table, version: int) -> Any:
    newest = table.version()
    if newest is None or version > newest:
        raise UsageError(f"no version {version}", where=table.where, hint="`citylake history` lists them")
    return table.dataset(version)


def _aligned(connection: duckdb.DuckDBPyConnection, table: Table, kept: set[str]) -> list[str]:
    """Makes the views `old` and `new` with the same columns as text, null where a version hasn't one; gives the columns.

    Of the technical ones only those `kept`, which say something of the row itself.
    """
    there = {name: connection.table(name).columns for name in ("before", "after")}
    technical = table.layer not in ("gold", "ops")
    columns = [
        c for c in dict.fromkeys([*there["before"], *there["after"]]) if c in kept or not (technical and c[0] == "_")
    ]
    for view, name in (("old", "before"), ("new", "after")):
        values = {c: f"CAST({quoted(c)} AS VARCHAR)" if c in there[name] else "CAST(NULL AS VARCHAR)" for c in columns}
        listed = ", ".join(f"{value} AS {quoted(c)}" for c, value in values.items())
        there_is = f" WHERE {NOT_DELETED}" if table.layer == "silver" and "_op" in there[name] else ""
        connection.execute(f"CREATE TEMP VIEW {view} AS SELECT {listed} FROM {name}{there_is}")
    return columns


def _rows(connection: duckdb.DuckDBPyConnection) -> int:
    return int(connection.execute("SELECT count(*) FROM new").fetchall()[0][0])


def _tells_apart(connection: duckdb.DuckDBPyConnection, key: Sequence[str], columns: Sequence[str]) -> bool:
    """Whether no two rows of a version share a key."""
    if not set(key) <= set(columns):
        return False
    listed = ", ".join(map(quoted, key))
    repeated = f"GROUP BY {listed} HAVING count(*) > 1 LIMIT 1"
    return not any(connection.execute(f"SELECT 1 FROM {view} {repeated}").fetchall() for view in ("old", "new"))


def _pair(connection: duckdb.DuckDBPyConnection, key: Sequence[str], columns: Sequence[str]) -> None:
    """Makes the view `paired`: rows that differ, their `kind`, every column of old and new side by side."""
    old = ", ".join(f"o.{quoted(c)} AS {quoted(f'old {c}')}" for c in columns)
    new = ", ".join(f"n.{quoted(c)} AS {quoted(f'new {c}')}" for c in columns)
    if key:
        on = " AND ".join(f"o.{quoted(c)} IS NOT DISTINCT FROM n.{quoted(c)}" for c in key)
        differs = " OR ".join(f"o.{quoted(c)} IS DISTINCT FROM n.{quoted(c)}" for c in columns)
        kind = "CASE WHEN o._there IS NULL THEN 'added' WHEN n._there IS NULL THEN 'removed' ELSE 'changed' END"
        query = (
            f"SELECT {kind} AS kind, {old}, {new} FROM (SELECT 1 AS _there, * FROM old) o"
            f" FULL JOIN (SELECT 1 AS _there, * FROM new) n ON {on} WHERE o._there IS NULL OR n._there IS NULL OR {differs}"
        )
    else:
        query = (
            f"SELECT 'added' AS kind, {_nulls('old', columns)}, {new} FROM (FROM new EXCEPT ALL FROM old) n"
            f" UNION ALL SELECT 'removed', {old}, {_nulls('new', columns)} FROM (FROM old EXCEPT ALL FROM new) o"
        )
    connection.execute(f"CREATE TEMP VIEW paired AS {query}")


def _nulls(side: str, columns: Sequence[str]) -> str:
    return ", ".join(f"CAST(NULL AS VARCHAR) AS {quoted(f'{side} {c}')}" for c in columns)


def _examples(
    connection: duckdb.DuckDBPyConnection, columns: Sequence[str], shown: frozenset[str], limit: int
) -> Iterator[Example]:
    for kind in ("added", "removed", "changed"):
        asked = connection.execute(
            "SELECT * EXCLUDE (kind) FROM paired WHERE kind = $kind ORDER BY ALL LIMIT $limit",
            {"kind": kind, "limit": limit},
        )
        for row in asked.fetchall():
            old, new = (dict(zip(columns, side, strict=True)) for side in (row[: len(columns)], row[len(columns) :]))
            yield Example(kind, {c: _value(kind, old[c], new[c], hidden=c not in shown) for c in columns})


def _value(kind: str, old: str | None, new: str | None, *, hidden: bool) -> str | None:
    one, other = (masked(each) if hidden and each is not None else each for each in (old, new))
    if kind == "changed" and old != new:
        return f"{'-' if one is None else one} -> {'-' if other is None else other}"
    return one if kind == "removed" else other
