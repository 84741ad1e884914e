"""The grid of the lake: one integer per cell of 1/256 degree.

A cell is about 435 m from south to north and 368 m from west to east at 32° N: fine enough that a district's border
touches a few per cent of its cells, coarse enough that a city fits into the processor's cache. Both factors are powers
of two, so that multiplying is exact and every engine that computes it rounds alike.
"""

import numpy as np
from numpy.typing import NDArray

from lakehouse.geo.kernels import FloatsIn, Ints, helper, kernel

PER_DEGREE = 256
"""Cells along one degree, both ways."""

ROW = 1 << 17
"""Cells from one row to the next: the first power of two above the 360 * 256 + 1 cells of a row."""

NONE = -1
"""What stands for no cell: a coordinate that is not a number or not on the globe."""


def cells(lon: NDArray[np.float64], lat: NDArray[np.float64]) -> NDArray[np.int64]:
    """The cell of each WGS-84 position; `NONE` where a coordinate is NaN or off the globe."""
    found = np.empty(len(lon), np.int64)
    _cells(lon, lat, found)
    return found


@helper
def _cell(lon: float, lat: float) -> int:
    if -180.0 <= lon <= 180.0 and -90.0 <= lat <= 90.0:
        return int((lat + 90.0) * PER_DEGREE) * ROW + int((lon + 180.0) * PER_DEGREE)
    return NONE


@kernel
def _cells(lon: FloatsIn, lat: FloatsIn, found: Ints) -> None:
    for i in range(len(lon)):
        found[i] = _cell(lon[i], lat[i])
