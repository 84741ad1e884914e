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
from lakehouse.formats.reading import Reading, checked, like_a_bomb, over_limit

_AT_ONCE, _BYTES_AT_ONCE = 100_000, 64 << 20
_DAMAGE = (pa.ArrowException, OSError, ValueError)
"""What damaged files raise, UnicodeDecodeError for names among it."""
_CRS84 = {"id": {"authority": "OGC", "code": "CRS84"}}


def read(path: Path, contract: Contract) -> Reading:
    """A Parquet file. Instants are ISO 8601 (with offset where the column has a zone), decimals plain, booleans true or
    false, binary hexadecimal, durations whole numbers of the column's unit, nested values JSON (where all of that is text,
    but numbers); null stays null. Geometry of GeoParquet is what `geometry.columns` says. Rows are numbered from 1.

    Raises DeliveryUnreadable when the file is damaged or no Parquet.
    """
    where = f"{contract.name} {path.name}"
    try:
        # INT96 as nanoseconds would make other years of those before 1678 and after 2261.
        file = pq.ParquetFile(path, coerce_int96_timestamp_unit="us")
    except _DAMAGE as error:
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
    reading.batches = _batches(reading, file, path, places, contract)
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
    reading: Reading, file: pq.ParquetFile, path: Path, places: dict[str, str | None], contract: Contract
) -> Iterator[pa.RecordBatch]:
    reading.count(file.metadata.num_rows)
    row = 1
    try:
        for batch in _pieces(file, path, reading.where):
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
    except _DAMAGE as error:
        raise _damaged(error, reading.where) from error


def _pieces(file: pq.ParquetFile, path: Path, where: str) -> Iterator[pa.RecordBatch]:
    """The file in batches that stay small: a text that stands once in a file may stand in each of its rows."""
    about = file.metadata
    texts = [
        about.schema.column(at).path
        for at in range(about.num_columns)
        if file.schema.column(at).physical_type == "BYTE_ARRAY"
    ]
    shared = pq.ParquetFile(path, metadata=about, read_dictionary=texts, buffer_size=1 << 16)
    for group in range(about.num_row_groups):
        if rows := about.row_group(group).num_rows:
            first = next(shared.iter_batches(1, row_groups=[group]), None)
            if first is None:
                raise pa.ArrowInvalid(f"a part of it has none of the {rows} rows announced")
            size = _size(about.row_group(group), dict(zip(first.schema.names, first.columns, strict=True)), where)
            yield from file.iter_batches(max(min(_BYTES_AT_ONCE * rows // size, _AT_ONCE), 1), row_groups=[group])


def _size(group: pq.RowGroupMetaData, first: dict[str, pa.Array], where: str) -> int:
    """Bytes of a row group in memory at most, the texts its rows share written out. Raises DeliveryUnreadable for a bomb."""
    chunks = [group.column(position) for position in range(group.num_columns)]
    packed, size = (
        sum(chunk.total_compressed_size for chunk in chunks),
        sum(chunk.total_uncompressed_size for chunk in chunks),
    )
    if like_a_bomb(size, packed):
        raise DeliveryUnreadable(f"a row group unpacks to {size} bytes", where=where, hint="deliver it as CSV")
    longest = {name: max(map(_longest, _dictionaries(column)), default=0) for name, column in first.items()}
    for chunk in chunks:
        of = chunk.path_in_schema if chunk.path_in_schema in longest else chunk.path_in_schema.partition(".")[0]
        size += chunk.num_values * (8 + longest.get(of, max(longest.values())) * chunk.has_dictionary_page)
    return size


def _dictionaries(column: pa.Array) -> Iterator[pa.Array]:
    """The texts that the rows of a column share, wherever in its values they are."""
    kind = column.type
    if pa.types.is_dictionary(kind):
        yield column.dictionary
    elif pa.types.is_struct(kind):
        for position in range(kind.num_fields):
            yield from _dictionaries(column.field(position))
    elif pa.types.is_nested(kind):  # lists and maps
        yield from _dictionaries(column.values)


def _longest(texts: pa.Array) -> int:
    return pc.max(pc.binary_length(texts)).as_py() or 0


def text(column: pa.Array) -> pa.Array:
    """An Arrow column of any type as text."""
    kind = column.type
    if isinstance(kind, pa.UuidType):
        return pa.array([value and str(value) for value in column.to_pylist()], pa.string())
    if isinstance(kind, pa.BaseExtensionType):
        return text(column.storage)
    if pa.types.is_dictionary(kind):
        return text(column.dictionary_decode())
    if pa.types.is_timestamp(kind) or pa.types.is_time(kind):
        return _without_empty_fraction(column.cast(pa.string()))
    if pa.types.is_decimal(kind):
        return pa.array([None if value is None else f"{value:f}" for value in column.to_pylist()], pa.string())
    if any(of(kind) for of in _BINARY):
        return pa.array([None if value is None else value.hex() for value in column.to_pylist()], pa.string())
    if pa.types.is_nested(kind):
        return pa.array([None if value is None else _json(value) for value in column.to_pylist()], pa.string())
    try:
        return column.cast(pa.string())
    except pa.ArrowNotImplementedError:
        return pa.array([None if value is None else str(value) for value in column.to_pylist()], pa.string())


_BINARY = (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_fixed_size_binary, pa.types.is_binary_view)


def _without_empty_fraction(instants: pa.Array) -> pa.Array:
    """Fractions of a second without the zeros that only show the column's unit."""
    shorter = pc.replace_substring_regex(instants, r"(\.\d*?)0+(Z|[+-]\d{4})?$", r"\1\2")
    return pc.replace_substring_regex(shorter, r"\.(Z|[+-]\d{4})?$", r"\1")


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=_plain)


def _plain(value: object) -> str:
    return value.hex() if isinstance(value, bytes) else str(value)
