"""Parquet as text, a row group at a time."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from lakehouse.contract import Contract
from lakehouse.errors import DeliveryUnreadable
from lakehouse.formats import geometry
from lakehouse.formats.reading import Reading, checked, over_limit

_AT_ONCE = 100_000
_CRS84 = {"id": {"authority": "OGC", "code": "CRS84"}}


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
    places = _places(file, contract, where)
    names = [
        name
        for sent in file.schema_arrow.names
        for name in (geometry.columns(contract, sent) if sent in places else [sent])
    ]
    reading = Reading(checked(names, contract, where), where, contract.limits)
    reading.batches = _batches(reading, file, places, contract)
    return reading


def _places(file: pq.ParquetFile, contract: Contract, where: str) -> dict[str, str | None]:
    """The geometry columns of a GeoParquet file and their coordinate systems; without one it is WGS-84, says the standard."""
    try:
        said = json.loads((file.schema_arrow.metadata or {}).get(b"geo", b"{}"))
        columns = {name: about for name, about in said.get("columns", {}).items() if about.get("encoding") == "WKB"}
        places = {name: _crs(about.get("crs", _CRS84)) for name, about in columns.items()}
    except (ValueError, AttributeError, KeyError, TypeError) as error:
        raise _damaged(Exception("its 'geo' metadata are not GeoParquet's"), where) from error
    for name, crs in places.items():
        geometry.refuse_other_crs(crs, contract, where, name)
    return places


def _crs(said: Any) -> str | None:
    """A code like EPSG:4490 of a PROJJSON definition, else its name; None where the file says it doesn't know."""
    code = said and said.get("id")
    return f"{code['authority']}:{code['code']}" if code else said and str(said["name"])


def _damaged(error: Exception, where: str) -> DeliveryUnreadable:
    what = str(error).splitlines()[0] if str(error) else "damaged"
    return DeliveryUnreadable(
        f"not readable as Parquet: {what}", where=where, hint="ask the department to deliver again"
    )


def _batches(
    reading: Reading, file: pq.ParquetFile, places: dict[str, str | None], contract: Contract
) -> Iterator[pa.RecordBatch]:
    reading.count(file.metadata.num_rows)
    row = 1
    try:
        for batch in file.iter_batches(_AT_ONCE):
            columns: list[pa.Array] = []
            faults: dict[int, str] = {}
            for name, column in zip(batch.schema.names, batch.columns, strict=True):
                if name in places:
                    shapes = geometry.parsed(column, faults)
                    columns += geometry.texts(shapes, places[name], geometry.columns(contract, name))
                else:
                    columns.append(text(column))
            yield reading.given(columns, row, faults, batch)
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
