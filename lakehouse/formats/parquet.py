"""Parquet as text, a row group at a time."""

import json
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from lakehouse.contract import Contract
from lakehouse.errors import DeliveryUnreadable
from lakehouse.formats.reading import Reading, checked, over_limit, with_rows

_AT_ONCE = 100_000


def read(path: Path, contract: Contract) -> Reading:
    """A Parquet file. Instants are ISO 8601 (with offset where the column has a zone), decimals plain, booleans true or
    false, binary hexadecimal, nested values JSON; null stays null. Rows are numbered from 1.

    Raises DeliveryUnreadable when the file is damaged or no Parquet.
    """
    where = f"{contract.name} {path.name}"
    try:
        file = pq.ParquetFile(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise _damaged(error, where) from error
    if file.metadata.num_rows > contract.limits.rows:
        raise over_limit("rows", file.metadata.num_rows, contract.limits.rows, where)
    reading = Reading(checked(file.schema_arrow.names, contract, where), where, contract.limits)
    reading.batches = _batches(reading, file)
    return reading


def _damaged(error: Exception, where: str) -> DeliveryUnreadable:
    what = str(error).splitlines()[0] if str(error) else "damaged"
    return DeliveryUnreadable(
        f"not readable as Parquet: {what}", where=where, hint="ask the department to deliver again"
    )


def _batches(reading: Reading, file: pq.ParquetFile) -> Iterator[pa.RecordBatch]:
    reading.count(file.metadata.num_rows)
    row = 1
    try:
        for batch in file.iter_batches(_AT_ONCE):
            numbers = pa.array(range(row, row + len(batch)), pa.int64())
            columns = [text(column) for column in batch.columns]
            reading.measure(columns)
            yield with_rows(columns, reading.names, numbers)
            row += len(batch)
        if row - 1 != file.metadata.num_rows:
            raise pa.ArrowInvalid(f"{row - 1} rows found, {file.metadata.num_rows} announced")
    except (pa.ArrowException, OSError) as error:
        raise _damaged(error, reading.where) from error


def text(column: pa.Array) -> pa.Array:
    """An Arrow column of any type as text."""
    kind = column.type
    if pa.types.is_dictionary(kind):
        return text(column.dictionary_decode())
    if pa.types.is_timestamp(kind) or pa.types.is_time(kind):
        return _without_empty_fraction(column.cast(pa.string()))
    if pa.types.is_decimal(kind):
        return pa.array([None if value is None else f"{value:f}" for value in column.to_pylist()], pa.string())
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind):
        return pa.array([None if value is None else value.hex() for value in column.to_pylist()], pa.string())
    if pa.types.is_nested(kind):
        return pa.array([None if value is None else _json(value) for value in column.to_pylist()], pa.string())
    try:
        return column.cast(pa.string())
    except pa.ArrowNotImplementedError:
        return pa.array([None if value is None else str(value) for value in column.to_pylist()], pa.string())


def _without_empty_fraction(instants: pa.Array) -> pa.Array:
    """Fractions of a second without the zeros that only show the column's unit."""
    shorter = pc.replace_substring_regex(instants, r"(\.\d*?)0+(Z|[+-]\d{4})?$", r"\1\2")
    return pc.replace_substring_regex(shorter, r"\.(Z|[+-]\d{4})?$", r"\1")


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=str)
