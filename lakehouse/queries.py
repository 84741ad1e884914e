"""One SELECT over named tables at named versions, in DuckDB, with nothing else of the machine in reach.

Sensitive columns come masked: those the contract calls sensitive and, as nobody has said otherwise, those no contract
declares. Masking keeps identifiers off screens and out of notebooks; it doesn't keep them from who may read the files.
"""

import json
import re
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import duckdb
import pyarrow as pa
from deltalake import DeltaTable

from lakehouse import staging
from lakehouse.document import read_document
from lakehouse.errors import LakeError, UsageError
from lakehouse.merging import NOT_DELETED
from lakehouse.ops import Ops
from lakehouse.settings import Settings
from lakehouse.table import Table

RAW_LAYERS = ("bronze", "silver", "quarantine")
"""Only these layers hold what has to be masked."""

_TECHNICAL = re.compile(r"_(?!raw$|extra$|track$)")
"""Names of the columns Citylake adds. `_raw` and `_extra` hold delivered text, `_track` a hash of a plate: they are masked."""

_OPEN = ("public", "internal")
"""Classes of columns that are shown as they are."""

_UNPARSABLE = frozenset({"department", "dataset", "reason"})
"""What may be shown of `bronze.unparsable`, which has no contract."""


def tables_of(query: str) -> tuple[str, ...]:
    """The `layer.table` names a query reads. Raises UsageError for anything but SELECT."""
    with duckdb.connect() as connection:
        row = connection.execute("SELECT json_serialize_sql($query)", {"query": query}).fetchone()
    parsed = json.loads(row[0]) if row else {}
    if parsed.get("error"):
        raise UsageError(f"not a SELECT one can read ({parsed['error_message']})", hint="the lake answers nothing else")
    found = {
        f"{n['schema_name']}.{n['table_name']}"
        for n in _nodes(parsed)
        if n.get("type") == "BASE_TABLE" and n["schema_name"]
    }
    return tuple(sorted(found))


@contextmanager
def session(
    settings: Settings, versions: Mapping[str, int | None], *, masked: bool
) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection that reads the tables `versions` names (the books have no version) and nothing else.

    Raises UsageError for what DuckDB refuses, LakeError for files that are gone.
    """
    try:
        with connected(settings) as connection:
            connection.execute("SET TimeZone = 'UTC'")
            files = [
                file
                for name, version in versions.items()
                for file in _view(connection, settings, name, version, masked)
            ]
            connection.execute("SET allowed_paths = $files", {"files": files})
            connection.execute("SET python_enable_replacements = false; SET enable_external_access = false")
            connection.execute("SET lock_configuration = true")
            yield connection
    except (duckdb.IOException, duckdb.OutOfMemoryException) as error:
        hint = "run `citylake doctor`; for a question that needs more memory set CITYLAKE_MEMORY_MB"
        raise LakeError(_first_line(error), where=str(settings.home), hint=hint) from error
    except duckdb.Error as error:
        raise UsageError(_first_line(error), hint="mend the SELECT; tables are written `layer.table`") from error


@contextmanager
def connected(settings: Settings) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection that keeps to the memory budget and spills into a folder of its own; whoever may only read the lake
    goes without spilling."""
    limits: dict[str, Any] = {"memory_limit": f"{settings.memory_mb}MB", "threads": settings.threads}
    name = uuid.uuid4().hex
    try:
        spill = str(staging.claim(settings.home, "spill", name))
    except LakeError:
        spill = ""
    try:
        with duckdb.connect(config={**limits, "temp_directory": spill}) as connection:
            yield connection
    finally:
        staging.release(settings.home, "spill", name)


def masking(column: str) -> str:
    """The SQL of `lakehouse.privacy.masked` for a quoted column."""
    text = f"CAST({column} AS VARCHAR)"
    shown = f"CASE WHEN length({text}) < 2 THEN 0 WHEN length({text}) < 6 THEN 1 ELSE 2 END"
    tail = f"CASE WHEN length({text}) < 6 THEN 0 ELSE 2 END"
    stars = f"repeat('*', least(length({text}) - {shown} - {tail}, 8))"
    return f"left({text}, {shown}) || {stars} || right({text}, {tail})"


def _view(
    connection: duckdb.DuckDBPyConnection, settings: Settings, name: str, version: int | None, masked: bool
) -> list[str]:
    """Make one table readable under its name; gives its files."""
    layer, _, table = name.partition(".")
    files: list[str] = []
    if layer == "ops":
        rows = connection.from_arrow(Ops(settings.home).read(table))
    else:
        stored = Table(settings.home / layer / table)
        files = stored.files(version=version)
        rows = _rows(connection, stored.open(version), files)
        if layer == "silver" and "_op" in rows.columns:
            rows = rows.filter(NOT_DELETED)
    if masked and layer in RAW_LAYERS:
        rows = _masked(settings, table, rows)
    connection.register(f"{name} of the release", rows)
    connection.execute(f"CREATE SCHEMA IF NOT EXISTS {quoted(layer)}")
    connection.execute(f"CREATE VIEW {quoted(layer)}.{quoted(table)} AS FROM {quoted(f'{name} of the release')}")
    return files


def _masked(settings: Settings, table: str, rows: duckdb.DuckDBPyRelation) -> duckdb.DuckDBPyRelation:
    shown = shown_columns(settings, table)
    open_ = {c: c in shown or _TECHNICAL.match(c) for c in rows.columns}
    return rows.project(", ".join(quoted(c) if o else f"{masking(quoted(c))} AS {quoted(c)}" for c, o in open_.items()))


def masked(settings: Settings, name: str, rows: pa.Table) -> pa.Table:
    """Rows of the table `layer.name` as they may be shown."""
    layer, _, table = name.partition(".")
    if layer not in RAW_LAYERS:
        return rows
    with duckdb.connect(config={"threads": settings.threads}) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        return _masked(settings, table, connection.from_arrow(rows)).to_arrow_table()


def _rows(connection: duckdb.DuckDBPyConnection, delta: DeltaTable, files: list[str]) -> duckdb.DuckDBPyRelation:
    """The rows of a table's files, with its columns in their order.

    A file written before a column was added has null there; partition columns come from the path.
    """
    like = connection.from_arrow(delta.to_pyarrow_dataset().schema.empty_table())
    if not files:
        return like
    parted = bool(delta.metadata().partition_columns)
    rows = connection.read_parquet(files, union_by_name=True, hive_partitioning=parted)
    there = {c: quoted(c) if c in rows.columns else "NULL" for c in like.columns}
    kinds = zip(like.columns, like.types, strict=True)
    return rows.project(", ".join(f"CAST({there[c]} AS {kind}) AS {quoted(c)}" for c, kind in kinds))


def shown_columns(settings: Settings, table: str) -> frozenset[str]:
    """The columns that needn't be masked. Without a contract that can be read, none."""
    if table == "unparsable":
        return _UNPARSABLE
    department, _, dataset = table.partition("__")
    contract = read_document(settings.catalog / "contracts" / department / f"{dataset}.yml", [])
    try:
        columns = contract.content["columns"] if contract else {}
        return frozenset(name for name, declared in columns.items() if _class(settings, declared) in _OPEN)
    except (LookupError, TypeError, AttributeError):
        return frozenset()


def _class(settings: Settings, column: Mapping[str, Any]) -> str | None:
    """The column's own class, else that of its standard: a plate is sensitive wherever it stands."""
    name = column.get("standard")
    if "class" in column or name is None:
        return str(column.get("class", "internal"))
    standard = read_document(settings.catalog / "standards" / f"{name}.yml", [])
    return str(standard.content.get("class", "internal")) if standard else None


def _nodes(tree: Any) -> Iterator[dict[str, Any]]:
    if isinstance(tree, dict):
        yield tree
    inner: Iterable[Any] = tree.values() if isinstance(tree, dict) else tree if isinstance(tree, list) else ()
    for branch in inner:
        yield from _nodes(branch)


def quoted(name: str) -> str:
    """A name as SQL takes it."""
    return '"' + name.replace('"', '""') + '"'


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0][:300]
