"""Reads of a table only the row groups that can hold what is sought, by the least and greatest values their files note.

A file is left out by the statistics in the table's log where it has them (Delta keeps them for the first 32 columns), a row
group by those in the file's own footer. Both only ever leave out what can't match: the rows read are tested one by one.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple, dataclass, field
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any
from urllib.parse import unquote

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from lakehouse.geo.curve import Ranges
from lakehouse.table import Table, added


@dataclass(frozen=True)
class Sought:
    """What every row sought has: values within `bounds` (both ends included, None for open), and in each column of `ranges`
    a value in one of the stretches."""

    bounds: Mapping[str, tuple[Any, Any]] = field(default_factory=dict)
    ranges: Mapping[str, Ranges] = field(default_factory=dict)


@dataclass(frozen=True)
class Read:
    """How much was read, of how much there is."""

    files: int = 0
    of_files: int = 0
    row_groups: int = 0
    bytes: int = 0
    of_bytes: int = 0

    def __add__(self, other: "Read") -> "Read":
        return Read(*(ours + theirs for ours, theirs in zip(astuple(self), astuple(other), strict=True)))


def read(
    table: Table,
    version: int | None,
    sought: Sought,
    test: Callable[[pa.Table], NDArray[np.bool_]],
    tested: Iterable[str],
    *,
    columns: Sequence[str] = (),
    threads: int = 1,
) -> tuple[pa.Table, Read]:
    """The rows for which `test` holds, with these columns (all without), and what was read for them.

    The columns `tested` are read first, the others only of row groups that have such rows.
    """
    delta = table.open(version)
    known = delta.to_pyarrow_dataset().schema
    schema = pa.schema([known.field(name) for name in columns or known.names])
    first = pa.schema([field for field in known if field.name in set(tested)])
    rest = pa.schema([field for field in schema if field.name not in first.names])
    files = added(delta)
    wanted = {str(table.path / unquote(file["path"])): file for file in files if _can_hold(file, sought)}

    def of_file(path: str) -> tuple[pa.Table, Read]:
        partition, groups = {"_day": wanted[path].get("partition._day")}, _groups(path, sought)
        some = _rows(path, groups, first, partition)
        holds = test(some)
        sizes = np.array([_footer(path).row_group(int(group)).num_rows for group in groups], np.int64)
        hit = np.bincount(np.repeat(np.arange(len(groups)), sizes), holds, len(groups)) > 0
        others = _rows(path, groups[hit], rest, partition).filter(pa.array(holds[np.repeat(hit, sizes)]))
        kept = some.filter(pa.array(holds))
        columns = [(kept if name in first.names else others)[name] for name in schema.names]
        size = _bytes(path, groups, first.names) + _bytes(path, groups[hit], rest.names)
        return pa.Table.from_arrays(columns, schema=schema), Read(int(len(groups) > 0), 0, len(groups), size)

    with ThreadPoolExecutor(threads) as pool:
        found = list(pool.map(of_file, table.here(wanted)))
    whole = Read(of_files=len(files), of_bytes=sum(file["size_bytes"] for file in files))
    return pa.concat_tables([schema.empty_table(), *(some for some, _ in found)]), sum(
        (cost for _, cost in found), whole
    )


def _can_hold(file: Mapping[str, Any], sought: Sought) -> bool:
    """Whether the log's statistics of a file leave it possible that rows sought are in it."""
    for name, (low, high) in sought.bounds.items():
        least, most = file.get(f"min.{name}"), _at_most(file.get(f"max.{name}"))
        if _apart(least, most, low, high):
            return False
    for name, ranges in sought.ranges.items():
        least, most = file.get(f"min.{name}"), file.get(f"max.{name}")
        if least is not None and most is not None and not ranges.meet(np.array([least]), np.array([most]))[0]:
            return False
    return True


def _at_most(most: Any) -> Any:
    """What a greatest value of the log may have been: it keeps instants to the millisecond, and the beginning of a text."""
    match most:
        case datetime():
            return most + timedelta(milliseconds=1)
        case str():
            return most + "\U0010ffff"
        case _:
            return most


def _apart(least: Any, most: Any, low: Any, high: Any) -> bool:
    """Whether nothing from `least` to `most` lies from `low` to `high`; None is open."""
    above = least is not None and high is not None and least > high
    return bool(above or (most is not None and low is not None and most < low))


@lru_cache(maxsize=1024)
def _footer(path: str) -> pq.FileMetaData:
    return pq.read_metadata(path)  # files never change


@lru_cache(maxsize=16384)
def _span(path: str, name: str) -> tuple[tuple[Any, Any, bool], ...] | None:
    """Of each row group the least and greatest value of a column, None where its file doesn't say, and whether all are null.

    None for a file without the column.
    """
    found = _footer(path)
    if name not in found.schema.names:
        return None
    at = found.schema.names.index(name)
    spans = []
    for i in range(found.num_row_groups):
        chunk = found.row_group(i).column(at)
        facts = chunk.statistics
        known = facts is not None and facts.has_min_max
        empty = facts is not None and facts.has_null_count and facts.null_count == found.row_group(i).num_rows
        spans.append((facts.min if known else None, facts.max if known else None, empty))
    return tuple(spans)


def _groups(path: str, sought: Sought) -> NDArray[np.int64]:
    """The row groups that can hold what is sought."""
    kept = np.ones(_footer(path).num_row_groups, np.bool_)
    for name, (low, high) in sought.bounds.items():
        for i, (least, most, empty) in enumerate(_span(path, name) or ()):
            kept[i] &= not (empty or _apart(least, most, low, high))
    for name, ranges in sought.ranges.items():
        spans = _span(path, name)
        if spans:
            known = np.array([least is not None for least, _, _ in spans])
            low, high = (np.array([span[end] or 0 for span in spans], np.int64) for end in (0, 1))
            kept &= ~known | ranges.meet(low, high)  # a file sorted otherwise may have the column, all null
    return np.flatnonzero(kept)


def _bytes(path: str, groups: NDArray[np.int64], names: Sequence[str]) -> int:
    """What the chunks of these columns take in these row groups."""
    read = (_footer(path).row_group(int(group)) for group in groups)
    chunks = (group.column(i) for group in read for i in range(group.num_columns))
    return sum(c.total_compressed_size for c in chunks if c.path_in_schema.partition(".")[0] in names)


def _rows(path: str, groups: NDArray[np.int64], schema: pa.Schema, partition: Mapping[str, Any]) -> pa.Table:
    """These row groups with the columns of the schema, null where the file is older than a column."""
    there = set(_footer(path).schema.to_arrow_schema().names)
    with pq.ParquetFile(path, metadata=_footer(path), pre_buffer=True) as file:
        stored = file.read_row_groups(groups.tolist(), [n for n in schema.names if n in there], use_threads=False)
    count, arrays = sum(_footer(path).row_group(int(group)).num_rows for group in groups), []
    for wanted in schema:
        if wanted.name in there:
            arrays.append(stored.column(wanted.name).cast(wanted.type))
        else:
            value = pa.scalar(partition.get(wanted.name), wanted.type)
            arrays.append(pa.chunked_array([pa.repeat(value, count)]))
    return pa.Table.from_arrays(arrays, schema=schema)
