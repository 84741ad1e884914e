"""Running a plan over the view `bronze`: the same pass for a night's slice and for a file on somebody's desk."""

from collections.abc import Sequence
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from expectations.plan import ROW_ID, Plan
from jobs.split import Header, Split
from lakehouse.engine import embedded as engine


def judged(
    connection: duckdb.DuckDBPyConnection, catalog: Path, plan: Plan, split: Split, headers: Sequence[Header]
) -> pa.RecordBatchReader:
    """Judge headers and table rules at once, and give the rows for `split` to judge. `catalog` is its folder."""
    for standard in set(plan.code_lists.values()):
        listed = catalog / "standards" / str(plan.standards[standard].codes)
        connection.register(f"codes_{standard}", codes(listed, plan.day))
    split.tables(_measured(connection, plan))
    split.header(headers)
    return engine.run(connection, plan.rows(repeats=_has_repeats(connection, plan)))


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


def _measured(connection: duckdb.DuckDBPyConnection, plan: Plan) -> dict[int, dict[str, Any]]:
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


def _has_repeats(connection: duckdb.DuckDBPyConnection, plan: Plan) -> bool:
    """Fill the view `repeated` with the rows that break a unique rule. Says whether there are any."""
    found: list[pa.Table] = []
    for bit, columns in plan.unique_sets:
        repeats = engine.repeated_values(engine.run(connection, plan.hashes(columns)))
        if len(repeats):
            connection.register("repeats", pa.table({"h": repeats}))
            found.append(engine.run(connection, plan.repeated(bit, columns)).read_all())
    if not any(table.num_rows for table in found):
        return False
    ids = list(ROW_ID)
    plain = pa.schema([*((name, pa.string()) for name in ids[:2]), (ids[2], pa.int64()), ("bit", pa.int64())])
    rows = pa.concat_tables([table.select(plain.names).cast(plain) for table in found])
    bits = rows.group_by(ids).aggregate([("bit", "sum")]).rename_columns([*ids, "bits"])
    connection.register("repeated", bits)
    return True
