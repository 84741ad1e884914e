"""Positions of a record batch: WGS-84, cell and district in one call, on Arrow columns."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from lakehouse.geo.cells import NONE, cells
from lakehouse.geo.crs import Crs, to_wgs84
from lakehouse.geo.regions import NOWHERE, Regions


@dataclass(frozen=True)
class Placed:
    """Columns as long as the input: `lon`, `lat` (double, WGS-84 degrees), `cell` (int64), `district` (codes).

    All are null where the input has no position; `cell` also off the globe, `district` outside every region.
    """

    lon: pa.DoubleArray
    lat: pa.DoubleArray
    cell: pa.Int64Array
    district: pa.DictionaryArray


def place(x: pa.Array, y: pa.Array, crs: Crs, regions: Regions | None) -> Placed:
    """Where the positions (`x`, `y`) in `crs` are. A position is missing where `x` or `y` is null or not finite."""
    lon, lat = to_wgs84(crs, floats(x), floats(y))
    known = np.isfinite(lon)
    cell = cells(lon, lat)
    district = np.full(len(lon), NOWHERE, np.int32) if regions is None else regions.locate(lon, lat)
    codes = pa.array([] if regions is None else regions.codes, pa.string())
    return Placed(
        _array(pa.float64(), lon, known),
        _array(pa.float64(), lat, known),
        _array(pa.int64(), cell, cell != NONE),
        pa.DictionaryArray.from_arrays(_array(pa.int32(), district, district != NOWHERE), codes),
    )


def floats(column: pa.Array) -> NDArray[np.float64]:
    """A column as numbers: its own memory where nothing is null, else a copy with NaN for null."""
    numbers = column.cast(pa.float64())
    if numbers.null_count:
        numbers = pc.fill_null(numbers, np.nan)
    return numbers.to_numpy(zero_copy_only=True)


def _array(kind: pa.DataType, values: NDArray[np.generic], valid: NDArray[np.bool_]) -> pa.Array:
    """The values' own memory as an Arrow column, null where not `valid`."""
    bitmap = None if valid.all() else pa.py_buffer(np.packbits(valid, bitorder="little"))
    return pa.Array.from_buffers(kind, len(values), [bitmap, pa.py_buffer(values)])
