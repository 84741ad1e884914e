"""Running a plan over the view `bronze`: the same pass for a night's slice, a part of one, and a file on somebody's desk."""

from collections.abc import Callable
from datetime import date
from functools import cache, partial
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
from numpy.typing import NDArray

from expectations.plan import ROW_ID, Plan
from lakehouse.engine import embedded as engine


def prepare(connection: duckdb.DuckDBPyConnection, catalog: Path, plan: Plan) -> None:
    """Provide the closed lists of codes that the plan looks up. `catalog` is its folder."""
    for standard in set(plan.code_lists.values()):
        listed = catalog / "standards" / str(plan.standards[standard].codes)
        connection.register(f"codes_{standard}", codes(listed, plan.day))


@cache
def codes(path: Path, day: date) -> pa.Table:
    """The codes of a closed list, those valid on `day` where it has `valid_from` or `valid_to`: column `code`."""
    kinds = {"code": pa.string(), "valid_from": pa.date32(), "valid_to": pa.date32()}
    table = pa.csv.read_csv(path, convert_options=pa.csv.ConvertOptions(column_types=kinds, strings_can_be_null=True))
    today = pa.scalar(day, pa.date32())
    for name, late in (("valid_from", pc.greater), ("valid_to", pc.less)):
        if name in table.column_names:
            table = table.filter(pc.invert(pc.fill_null(late(table[name], today), False)))
    return table.group_by("code").aggregate([]).select(["code"])


def measured(connection: duckdb.DuckDBPyConnection, plan: Plan) -> dict[int, dict[str, Any]]:
    """Counts of the table rules by their place in the plan, in one query; a rule that can't be computed is left out."""
    queries = plan.tables()
    try:
        rows = engine.run(connection, plan.together(queries)).read_all().to_pylist() if queries else []
    except engine.FAULTS:
        rows = [row for query in queries for row in _alone(connection, plan.together([query]))]
    return {row["rule"]: row for row in rows}


def _alone(connection: duckdb.DuckDBPyConnection, query: str) -> list[dict[str, Any]]:
    try:
        return engine.run(connection, query).read_all().to_pylist()
    except engine.FAULTS:
        return []


def judged(connection: duckdb.DuckDBPyConnection, plan: Plan) -> pa.RecordBatchReader:
    """The slice's rows, typed and judged, as a stream."""
    return rows(connection, plan, _repeated(connection, plan))


def unsound(connection: duckdb.DuckDBPyConnection, plan: Plan) -> pa.RecordBatchReader:
    """The slice's rows that aren't sound, judged, in file order: all that a tally needs to see."""
    known = _known(connection, _repeated(connection, plan))
    return engine.gathered(connection, plan.unsound(repeats=known), ROW_ID[1:])


def _repeated(connection: duckdb.DuckDBPyConnection, plan: Plan) -> pa.Table | None:
    def read_candidates(columns: tuple[str, ...], keys: NDArray[np.uint64]) -> None:
        connection.register("candidates", candidates(connection, plan, columns, keys))

    return repeated(connection, plan, partial(hashes, connection, plan), read_candidates)


def repeated(
    connection: duckdb.DuckDBPyConnection,
    plan: Plan,
    hashes: Callable[[tuple[str, ...]], NDArray[np.uint64]],
    read_candidates: Callable[[tuple[str, ...], NDArray[np.uint64]], None],
) -> pa.Table | None:
    """Row ids and `bits` of all rows that repeat an earlier one; None where there are none.

    `hashes` gives those of some columns, `read_candidates` makes the rows with such a hash readable as the view `candidates`.
    """
    found = []
    for bit, columns in plan.unique_sets:
        keys = engine.repeated_values(hashes(columns))
        if len(keys):
            read_candidates(columns, keys)
            found.append(_later(connection, plan, bit, columns))
    tables = [table for table in found if table.num_rows]
    if not tables:
        return None
    ids = list(ROW_ID)
    return pa.concat_tables(tables).group_by(ids).aggregate([("bit", "sum")]).rename_columns([*ids, "bits"])


def hashes(connection: duckdb.DuckDBPyConnection, plan: Plan, columns: tuple[str, ...]) -> NDArray[np.uint64]:
    """A hash of `columns` per row; equal values have equal hashes."""
    chunks = [np.asarray(batch.column(0)) for batch in engine.run(connection, plan.hashes(columns))]
    return np.concatenate(chunks) if chunks else np.empty(0, np.uint64)


def candidates(
    connection: duckdb.DuckDBPyConnection, plan: Plan, columns: tuple[str, ...], keys: NDArray[np.uint64]
) -> duckdb.DuckDBPyRelation:
    """The rows of bronze whose hash of `columns` is among `keys`."""
    connection.register("repeats", pa.table({"h": keys}))
    return connection.sql(plan.candidates(columns))


def _later(connection: duckdb.DuckDBPyConnection, plan: Plan, bit: int, columns: tuple[str, ...]) -> pa.Table:
    """The rows of the view `candidates` that repeat an earlier one: row ids and `bit`."""
    plain = pa.schema([*((name, pa.string()) for name in ROW_ID[:2]), (ROW_ID[2], pa.int64()), ("bit", pa.int64())])
    return engine.run(connection, plan.repeated(bit, columns)).read_all().select(plain.names).cast(plain)


def rows(connection: duckdb.DuckDBPyConnection, plan: Plan, repeats: pa.Table | None) -> pa.RecordBatchReader:
    """The rows of the view `bronze`, typed and judged; `repeats` as `repeated` gives it."""
    return engine.run(connection, plan.rows(repeats=_known(connection, repeats)))


def _known(connection: duckdb.DuckDBPyConnection, repeats: pa.Table | None) -> bool:
    """Make repeated rows readable as the view `repeated`; whether there are any."""
    if repeats is not None:
        connection.register("repeated", repeats)
    return repeats is not None
