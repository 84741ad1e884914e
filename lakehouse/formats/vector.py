"""Geographic files that GDAL reads: shapefile, GeoPackage, KML and DBF, one layer, every attribute as text."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow as pa
import shapely

from lakehouse.contract import Contract
from lakehouse.errors import DeliveryUnreadable
from lakehouse.formats import apart, geometry, shapefile, xml
from lakehouse.formats.kind import refuse_foreign
from lakehouse.formats.parquet import text
from lakehouse.formats.reading import Reading, checked
from lakehouse.formats.shapefile import Present
from lakehouse.source import Dialect, Format

_OF_GOOGLE_EARTH = frozenset(
    {"id", "timestamp", "begin", "end", "altitudeMode", "tessellate", "extrude", "visibility", "drawOrder", "icon"}
)
"""What every placemark has, mostly without saying it: columns only where the contract declares them."""


@dataclass(frozen=True)
class _Layer:
    """What the program says of a layer: names of its columns as stored, which of them are text, where they lie."""

    names: list[bytes]
    texts: list[bool]
    crs: str | None
    fid: str | None
    geometry: bool


def read(path: Path, contract: Contract, source: Dialect, kind: Format) -> Reading:
    """The features of a layer, numbered from 1: attributes as text, the geometry as well-known text in `geometry`.

    `geometry.x`, `geometry.y` (of points) and `geometry.crs` are columns where the contract declares them. Raises
    DeliveryUnreadable when the file is damaged, not of its kind, has not that layer, or contradicts `point.crs`.
    """
    where = f"{contract.name} {path.name}"
    with TemporaryDirectory(prefix="citylake-") as folder:
        file, sheet = _file(path, Path(folder), contract, source, kind, where)
        old = kind in ("shapefile", "dbf")
        codec = shapefile.codec(file, source, where) if old else "utf-8"
        present = shapefile.present(file, where) if old else None
        stream = apart.run("layer.py", file, sheet, where=where)
    arrow = pa.ipc.open_stream(stream)
    about = json.loads(arrow.schema.metadata[b"layer"])
    layer = _Layer(**about | {"names": [bytes.fromhex(name) for name in about["names"]]})
    geometry.refuse_other_crs(layer.crs, contract, where)
    try:
        names = [name.decode(codec) for name in layer.names]
    except UnicodeDecodeError as error:
        hint = "set the 'encoding' it has in 'source'"
        raise DeliveryUnreadable(f"the names of its columns are not {codec}", where=where, hint=hint) from error
    own = [name for name in names if kind != "kml" or name not in _OF_GOOGLE_EARTH or name in contract.sent_names]
    placed = geometry.columns(contract) if layer.geometry else []
    reading = Reading(
        checked([*([layer.fid] if layer.fid else []), *own, *placed], contract, where), where, contract.limits
    )
    kept = [names.index(name) for name in own]
    reading.batches = _batches(reading, arrow, layer, kept, placed, codec, present)
    return reading


def _file(
    path: Path, folder: Path, contract: Contract, source: Dialect, kind: Format, where: str
) -> tuple[Path, str | int | None]:
    """The file that is read, under a name that says its kind, and which of its layers is asked for."""
    if kind == "shapefile":
        return shapefile.gather(path, folder, source, contract.limits, where), None
    refuse_foreign(path, where, {"geopackage": "an SQLite database or GeoPackage", "kml": "XML"}.get(kind))
    if kind == "kml":
        with path.open("rb") as stream:
            xml.require_plain(iter(lambda: stream.read(1 << 20), b""), where)
    suffix = {"geopackage": ".gpkg", "kml": ".kml", "dbf": ".dbf"}[kind]
    (file := folder / f"layer{suffix}").symlink_to(path.absolute())
    return file, source.sheet


def _batches(
    reading: Reading,
    arrow: pa.RecordBatchReader,
    layer: _Layer,
    kept: list[int],
    placed: list[str],
    codec: str,
    present: Present | None,
) -> Iterator[pa.RecordBatch]:
    row = 1
    for batch in arrow:
        reading.count(len(batch))
        faults: dict[int, str] = {}
        columns, first = ([text(batch.column(0))], 1) if layer.fid else ([], 0)
        for position in kept:
            column = batch.column(first + position)
            columns.append(_decoded(column, codec, faults) if layer.texts[position] else text(column))
        if placed:
            shapes = geometry.parsed(batch.columns[-1], faults)
            if present is not None:
                there = np.flatnonzero(present[row - 1 :][: len(batch)])
                lost = there[shapely.is_missing(shapes[there])]
                faults |= dict.fromkeys(lost.tolist(), geometry.UNREADABLE)
            columns += geometry.texts(shapes, layer.crs, placed)
        yield reading.given(columns, row, faults, batch)
        row += len(batch)
    if present is not None and row - 1 != len(present):
        what = f"{row - 1} records found, {len(present)} announced"
        raise DeliveryUnreadable(what, where=reading.where, hint="ask the department to deliver again")


def _decoded(column: pa.Array, codec: str, faults: dict[int, str]) -> pa.Array:
    """Stored bytes as text; a row where they aren't in that encoding is a fault."""
    if codec == "utf-8":
        try:
            return column.cast(pa.string())
        except pa.ArrowInvalid:
            pass
    found: list[str | None] = []
    for row, value in enumerate(column.to_pylist()):
        try:
            found.append(value and value.decode(codec))
        except UnicodeDecodeError:
            found.append(None)
            faults[row] = f"bytes not valid {codec}"
    return pa.array(found, pa.string())
