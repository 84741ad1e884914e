"""Rows merged into a table that keeps the newest row of every key: which of two is newer, and what a batch says anew."""

import re
from collections.abc import Sequence

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

NOT_DELETED = "coalesce(_op, '') <> 'D'"
"""SQL: the row of a table kept by changes isn't what is remembered of a deleted one. Readers of silver see no others."""


def same(key: Sequence[str]) -> str:
    """SQL: the rows `s` and `t` have the same key. Names are quoted for the engine."""
    return " AND ".join(f"t.{name} = s.{name}" for name in key)


def newer(rank: Sequence[str]) -> str:
    """SQL: the row `s` is newer than `t`, by the first of these columns in which they differ; a null is oldest."""
    name, *rest = rank
    greater = f"s.{name} > t.{name} OR (t.{name} IS NULL AND s.{name} IS NOT NULL)"
    if not rest:
        return greater
    equal = f"(s.{name} = t.{name} OR (s.{name} IS NULL AND t.{name} IS NULL))"
    return f"{greater} OR ({equal} AND ({newer(rest)}))"


def newest(rows: pa.Table, key: Sequence[str], rank: Sequence[str]) -> pa.Table:
    """One row per `key`: the newest by `rank`, the later row where they are equal."""
    order = ", ".join(f"{name} DESC NULLS LAST" for name in (*quoted(rank), "_source_row"))
    number = f"row_number() OVER (PARTITION BY {', '.join(quoted(key))} ORDER BY {order})"
    with duckdb.connect() as connection:  # the process's default connection isn't for several threads
        connection.register("rows", _placed(rows, [*key, *rank, "_source_row"]))
        places = connection.sql(f"SELECT place FROM rows QUALIFY {number} = 1").fetchnumpy()["place"]
    wanted = np.zeros(len(rows), np.bool_)
    wanted[places] = True
    return rows.filter(pa.array(wanted))


def changing(
    rows: pa.Table, files: Sequence[str], key: Sequence[str], rank: Sequence[str]
) -> tuple[pa.Table, pa.Table]:
    """Those of `rows` (one per `key`) whose key the Parquet `files` don't have, and those newer than the row they have of it."""
    if not files:
        return rows, rows.slice(0, 0)
    with duckdb.connect() as connection:
        connection.register("s", _placed(rows, [*key, *rank]))
        connection.read_parquet(list(files), union_by_name=True).create_view("t")
        met = connection.sql(
            f"SELECT s.place, ({newer(quoted(rank))}) IS TRUE AS newer FROM t JOIN s ON {same(quoted(key))}"
        ).fetchnumpy()
    unknown: NDArray[np.bool_] = np.ones(len(rows), np.bool_)
    unknown[met["place"]] = False
    replacing: NDArray[np.bool_] = np.zeros(len(rows), np.bool_)
    replacing[met["place"]] = met["newer"]
    return rows.filter(pa.array(unknown)), rows.filter(pa.array(replacing))


_PLAIN = re.compile(r"[\w .:/-]*")


def within(name: str, values: pa.ChunkedArray) -> str:
    """SQL: the column `name` of `t` is between the least and the greatest of `values`, so that files without them are left
    alone. True for values that can't be told as a plain number or text."""
    least, most = pc.min_max(values).as_py().values()
    if isinstance(least, int) and not isinstance(least, bool):
        return f"t.{name} BETWEEN {least:d} AND {most:d}"
    if isinstance(least, str) and _PLAIN.fullmatch(least) and _PLAIN.fullmatch(most):
        return f"t.{name} BETWEEN '{least}' AND '{most}'"
    return "TRUE"


def quoted(names: Sequence[str]) -> list[str]:
    """The names as DuckDB and delta-rs quote them."""
    return [f'"{name}"' for name in names]


def _placed(rows: pa.Table, columns: Sequence[str]) -> pa.Table:
    wanted = rows.select(list(dict.fromkeys(columns)))
    return wanted.append_column("place", pa.array(np.arange(len(rows))))
