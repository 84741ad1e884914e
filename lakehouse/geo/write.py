"""Rows with a geometry out to files of others: GeoParquet 1.1 (with the bounding box of every row), GeoJSON (RFC 7946) and
GeoPackage (OGC 12-128r19), all in WGS-84, longitude first."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import shapely

from lakehouse.errors import UsageError

POSITIONS = (("_lon", "_lat"), ("lon", "lat"))
"""Pairs of columns that are positions in WGS-84: as silver has them, and as gold has them."""

_POINT = np.dtype([("order", "u1"), ("kind", "<u4"), ("x", "<f8"), ("y", "<f8")])  # a point as well-known binary
_BEGUN = ".part-"
_AXES = ("xmin", "ymin", "xmax", "ymax")
_TEXT = msgspec.json.Encoder(enc_hook=str, decimal_format="number")

Geometries = npt.NDArray[np.object_]
Bounds = npt.NDArray[np.float64]


@dataclass
class Written:
    """What became of an export: its rows, those of them without a geometry, the kinds of geometry and their bounds."""

    rows: int = 0
    nowhere: int = 0
    kinds: set[str] = field(default_factory=set)
    bounds: tuple[float, float, float, float] | None = None

    def count(self, shapes: "Shapes") -> None:
        """Take in one more batch."""
        self.rows += len(shapes.wkb)
        self.nowhere += shapes.wkb.null_count
        self.kinds |= shapes.kinds
        seen = shapes.bounds[~np.isnan(shapes.bounds[:, 0])]
        if len(seen):
            low, high = seen[:, :2].min(axis=0), seen[:, 2:].max(axis=0)
            if self.bounds:
                low, high = np.minimum(low, self.bounds[:2]), np.maximum(high, self.bounds[2:])
            self.bounds = (float(low[0]), float(low[1]), float(high[0]), float(high[1]))


@dataclass(frozen=True)
class Shapes:
    """The geometries of a batch: as ISO well-known binary (null where there is none), their kinds as GeoParquet calls them,
    and `xmin ymin xmax ymax` of each, NaN where there is none. An empty geometry is none."""

    wkb: pa.Array
    kinds: frozenset[str]
    bounds: Bounds


def write(rows: pa.RecordBatchReader, path: Path, geometry: str | None = None) -> Written:
    """Writes the rows as what the path's suffix says: `.parquet`, `.geojson` or `.gpkg`; a file that is there is replaced
    once the new one is whole.

    The geometry is taken from the column `geometry` (well-known binary or text), else from where `columns_of` finds it, and
    stands in their stead. Raises UsageError where there is none, one can't be read or isn't in degrees, for another
    suffix, and for a folder that can't be written.
    """
    if path.suffix not in _FORMATS:
        raise UsageError(f"can't write '{path.name}'", hint=f"name a file that ends in {', '.join(_FORMATS)}")
    columns = columns_of(rows.schema, geometry)
    written = Written()

    def batches() -> Iterator[tuple[pa.RecordBatch, Shapes]]:
        for batch in rows:
            shapes = shapes_of(batch, columns)
            written.count(shapes)
            yield batch.drop_columns(list(columns)), shapes

    schema = pa.schema([column for column in rows.schema if column.name not in columns])
    begun = path.with_name(_BEGUN + path.name)
    try:
        _FORMATS[path.suffix](schema, batches(), begun, written)
        begun.replace(path)
    except (OSError, pa.ArrowException) as error:
        raise UsageError(f"'{path}' can't be written: {error}", hint="name a file in a folder you may write") from error
    finally:
        begun.unlink(missing_ok=True)
    return written


def columns_of(schema: pa.Schema, geometry: str | None = None) -> tuple[str, ...]:
    """The column of a geometry or the two of a position: the one named, else `_lon _lat`, the only binary column, a text
    called `geometry`, `lon lat`. Raises UsageError where there is none."""
    if geometry is not None:
        if geometry in schema.names and _is_shape(schema.field(geometry).type):
            return (geometry,)
        raise UsageError(f"'{geometry}' is no column of geometries", hint=f"the columns are {', '.join(schema.names)}")
    silver, gold = ((pair,) if set(pair) <= set(schema.names) else () for pair in POSITIONS)
    binary = [column.name for column in schema if _is_binary(column.type)]
    text = [column.name for column in schema if column.name == "geometry" and _is_shape(column.type)]
    for found in (*silver, *[(name,) for name in binary if len(binary) == 1], *[(name,) for name in text], *gold):
        return found
    hint = "select `lon` and `lat`, or name the column of well-known binary or text as `geometry`"
    raise UsageError(f"no geometry among the columns {', '.join(schema.names)}", hint=hint)


def shapes_of(batch: pa.RecordBatch, columns: tuple[str, ...]) -> Shapes:
    """The geometries of a batch. Raises UsageError for one that can't be read or isn't in degrees."""
    if len(columns) == 2:
        return _points(*(_floats(batch.column(name)) for name in columns))
    geometries = geometries_of(batch.column(columns[0]), columns[0])
    geometries[shapely.is_empty(geometries)] = None
    bounds = shapely.bounds(geometries).reshape(-1, 4)
    _refuse_other_than_degrees(bounds, columns[0])
    wkb = pa.array(shapely.to_wkb(geometries, byte_order=1, flavor="iso"), pa.binary())
    seen = geometries[~shapely.is_missing(geometries)]
    kinds = zip(shapely.get_type_id(seen).tolist(), shapely.has_z(seen).tolist(), strict=True)
    return Shapes(wkb, frozenset(f"{_KINDS[kind]}{' Z' * has_z}" for kind, has_z in kinds), bounds)


def geometries_of(stored: pa.Array, name: str) -> Geometries:
    """Geometries of a column of well-known binary or text. Raises UsageError where one can't be read."""
    values = np.array([*stored.to_pylist(), None], dtype=object)[:-1]  # the None keeps numpy from guessing a type
    read = shapely.from_wkb if _is_binary(stored.type) else shapely.from_wkt
    geometries: Geometries = read(values, on_invalid="ignore")
    lost = shapely.is_missing(geometries) & pc.is_valid(stored).to_numpy(zero_copy_only=False)
    if lost.any():
        said = f"{lost.sum():,} geometries of '{name}' can't be read, the first in row {int(np.argmax(lost)) + 1}"
        raise UsageError(said, hint=f"leave them out, or let `geometry` name another column than '{name}'")
    return geometries


def _points(lon: npt.NDArray[np.float64], lat: npt.NDArray[np.float64]) -> Shapes:
    nowhere = ~(np.isfinite(lon) & np.isfinite(lat))
    bounds = np.column_stack([lon, lat, lon, lat])
    bounds[nowhere] = np.nan
    _refuse_other_than_degrees(bounds, "lon, lat")
    stored = np.zeros(len(lon), _POINT)
    stored["order"], stored["kind"], stored["x"], stored["y"] = 1, shapely.GeometryType.POINT + 1, lon, lat
    offsets = pa.py_buffer(np.arange(len(lon) + 1, dtype=np.int32) * _POINT.itemsize)
    valid = pa.array(~nowhere).buffers()[1]
    wkb = pa.Array.from_buffers(pa.binary(), len(lon), [valid, offsets, pa.py_buffer(stored)], int(nowhere.sum()))
    return Shapes(wkb, frozenset() if nowhere.all() else frozenset({"Point"}), bounds)


def _floats(column: pa.Array) -> npt.NDArray[np.float64]:
    if pa.types.is_decimal(column.type):  # by its text: the direct way isn't the nearest number
        column = column.cast(pa.string())
    return column.cast(pa.float64()).to_numpy(zero_copy_only=False)


def _refuse_other_than_degrees(bounds: Bounds, name: str) -> None:
    wrong = (np.abs(bounds) > (180, 90, 180, 90)).any(axis=1)
    if wrong.any():
        x, y = bounds[int(np.argmax(wrong)), :2]
        hint = "is it projected, or are the axes swapped? the lake's own positions are `_lon` and `_lat`"
        raise UsageError(f"'{name}' isn't longitude and latitude in degrees: {x:g}, {y:g}", hint=hint)


def _geoparquet(schema: pa.Schema, batches: "Batches", path: Path, written: Written) -> None:
    """https://geoparquet.org/releases/v1.1.0: no `crs` means OGC:CRS84."""
    name, box = _free("geometry", schema), _free("bbox", schema)
    corners = [pa.field(axis, pa.float64()) for axis in _AXES]
    schema = schema.append(pa.field(name, pa.binary())).append(pa.field(box, pa.struct(corners)))
    # with Arrow's own schema beside it, readers by Arrow would see no metadata that is added at the end
    with pq.ParquetWriter(path, schema, compression="zstd", store_schema=False) as file:
        for batch, shapes in batches:
            empty = np.isnan(shapes.bounds[:, 0])
            boxes = pa.StructArray.from_arrays(list(shapes.bounds.T.copy()), fields=corners, mask=pa.array(empty))
            file.write_batch(pa.RecordBatch.from_arrays([*batch.columns, shapes.wkb, boxes], schema=schema))
        column: dict[str, Any] = {"encoding": "WKB", "geometry_types": sorted(written.kinds)}
        column |= {"bbox": written.bounds} if written.bounds else {}
        column |= {"covering": {"bbox": {axis: [box, axis] for axis in _AXES}}}
        about = {"version": "1.1.0", "primary_column": name, "columns": {name: column}}
        file.add_key_value_metadata({"geo": json.dumps(about)})


def _geojson(schema: pa.Schema, batches: "Batches", path: Path, written: Written) -> None:
    with path.open("wb") as file:
        file.write(b'{"type":"FeatureCollection","features":[')
        before = b"\n"
        for batch, shapes in batches:
            geometries = shapely.orient_polygons(shapely.from_wkb(shapes.wkb.to_numpy(zero_copy_only=False)))
            for row, geometry in zip(batch.to_pylist(), shapely.to_geojson(geometries), strict=True):
                drawn = msgspec.Raw(geometry.encode() if geometry else b"null")
                file.write(before + _TEXT.encode({"type": "Feature", "geometry": drawn, "properties": row}))
                before = b",\n"
        file.write(b"\n]}\n")


def _geopackage(schema: pa.Schema, batches: "Batches", path: Path, written: Written) -> None:
    import pyogrio

    nested = [pa.types.is_nested(column.type) for column in schema]
    schema = pa.schema([pa.field(c.name, pa.string()) if text else c for c, text in zip(schema, nested, strict=True)])
    name = _free("geometry", schema)
    schema = schema.append(pa.field(name, pa.binary(), metadata={"ARROW:extension:name": "geoarrow.wkb"}))
    failed: list[Exception] = []

    def flat() -> Iterator[pa.RecordBatch]:
        try:
            for batch, shapes in batches:
                columns = [_as_text(c) if text else c for c, text in zip(batch.columns, nested, strict=True)]
                yield pa.RecordBatch.from_arrays([*columns, shapes.wkb], schema=schema)
        except Exception as error:
            failed.append(error)
            raise

    stream = pa.RecordBatchReader.from_batches(schema, flat())
    try:
        pyogrio.write_arrow(
            stream, path, layer=path.name.removeprefix(_BEGUN).removesuffix(path.suffix), driver="GPKG",
            geometry_name=name, geometry_type="Unknown", crs="EPSG:4326", layer_options={"FID": _free("fid", schema)},
        )  # fmt: skip
    except RuntimeError as error:  # GDAL passes on that its input failed, not how
        raise failed[0] if failed else OSError(str(error)) from error


def _as_text(column: pa.Array) -> pa.Array:
    return pa.array(
        [None if value is None else _TEXT.encode(value).decode() for value in column.to_pylist()], pa.string()
    )


def _free(name: str, schema: pa.Schema) -> str:
    """The name, or with underscores behind it one that no column has."""
    taken = {column.lower() for column in schema.names}
    while name in taken:
        name += "_"
    return name


def _is_binary(kind: pa.DataType) -> bool:
    return pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind)


def _is_shape(kind: pa.DataType) -> bool:
    return (
        _is_binary(kind) or pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
    )


_KINDS = {
    shapely.GeometryType.POINT: "Point", shapely.GeometryType.LINESTRING: "LineString",
    shapely.GeometryType.LINEARRING: "LineString", shapely.GeometryType.POLYGON: "Polygon",
    shapely.GeometryType.MULTIPOINT: "MultiPoint", shapely.GeometryType.MULTILINESTRING: "MultiLineString",
    shapely.GeometryType.MULTIPOLYGON: "MultiPolygon", shapely.GeometryType.GEOMETRYCOLLECTION: "GeometryCollection",
}  # fmt: skip

Batches = Iterator[tuple[pa.RecordBatch, Shapes]]
_FORMATS: dict[str, Callable[[pa.Schema, Batches, Path, Written], None]] = {
    ".parquet": _geoparquet, ".geojson": _geojson, ".gpkg": _geopackage,
}  # fmt: skip
