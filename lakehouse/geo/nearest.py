"""Which positions of a set lie near others: the nearest few, or all within a radius.

The set is sorted into rows of latitude, in each row by longitude. From a position the search goes outwards, row by row and in
a row from meridian to meridian, and stops where nothing can be nearer any more: the distance to a parallel is that along the
meridian, the distance to a meridian asin(cos(lat) sin(difference)). Poles and the antimeridian are places like others.
"""

import math

import numpy as np
from numpy.typing import NDArray

from lakehouse.geo.cells import cells
from lakehouse.geo.kernels import Floats, FloatsIn, Indexes, IndexesIn, Ints, IntsIn, helper, kernel

EARTH_RADIUS_M = 6_371_008.7714
"""Mean radius R1 of the GRS 80 ellipsoid (H. Moritz, "Geodetic Reference System 1980", Journal of Geodesy 74, 2000)."""

NONE = -1
"""The index where there is no neighbour (any more)."""

_MOST_ROWS = 1 << 16
_SLACK = 1 + 1e-9  # bounds are computed with rounding; what they leave out must not lie within


class Near:
    """A set of WGS-84 positions to be found by others. What is NaN or off the globe is never found."""

    def __init__(self, lon: NDArray[np.float64], lat: NDArray[np.float64]) -> None:
        known = np.flatnonzero((np.abs(lon) <= 180) & (np.abs(lat) <= 90)).astype(np.int32)
        lon, lat = np.asarray(lon, np.float64)[known], np.asarray(lat, np.float64)[known]
        south, north = (float(lat.min()), float(lat.max())) if len(lat) else (0.0, 0.0)
        count = int(min(max(math.sqrt(len(lat) / 2), 1), _MOST_ROWS))
        height = max((north - south) / count, 1e-9)
        row = np.minimum(((lat - south) / height).astype(np.int64), count - 1)
        order = np.lexsort((lon, row))
        starts = np.searchsorted(row[order], np.arange(count + 1)).astype(np.int64)
        lon, lat = lon[order], lat[order]
        self._set = lon, lat, np.cos(np.radians(lat)), known[order], starts, south, height

    def nearest(self, lon: FloatsIn, lat: FloatsIn, k: int, radius_m: float) -> tuple[Indexes, Floats]:
        """Index and distance (m) of the `k` nearest within `radius_m` of each position, nearest first, of equally near ones
        the first of the set first: arrays of shape (positions, k), filled up with `NONE` and NaN."""
        order = np.argsort(cells(lon, lat))  # neighbours look at the same few places of the set, still in the cache
        index, distance = np.full(len(lon) * k, NONE, np.int32), np.full(len(lon) * k, np.nan)
        _nearest(lon[order], lat[order], *self._set, k, radius_m, index, distance)
        back = np.empty(len(lon), np.int64)
        back[order] = np.arange(len(lon))
        return index.reshape(-1, k)[back], distance.reshape(-1, k)[back]

    def within(self, lon: FloatsIn, lat: FloatsIn, radius_m: float) -> tuple[Ints, Indexes, Floats]:
        """All within `radius_m` of each position: those of position `i` stand in `index` and `distance` (m) from `starts[i]`
        until before `starts[i + 1]`, from south to north in strips, in each from west to east."""
        order = np.argsort(cells(lon, lat))
        lon, lat, ends = lon[order], lat[order], np.zeros(len(lon) + 1, np.int64)
        _within(lon, lat, *self._set, radius_m, ends, np.empty(0, np.int32), np.empty(0, np.float64))
        index, distance = np.empty(ends[-1], np.int32), np.empty(ends[-1], np.float64)
        _within(lon, lat, *self._set, radius_m, ends, index, distance)
        counts, starts = np.empty(len(lon), np.int64), np.zeros(len(lon) + 1, np.int64)
        counts[order] = np.diff(ends)
        np.cumsum(counts, out=starts[1:])
        there = np.empty(len(lon), np.int64)
        there[order] = ends[:-1]
        place = np.repeat(there - starts[:-1], counts) + np.arange(starts[-1])
        return starts, index[place], distance[place]


@helper
def _sine(angle: float) -> float:
    """By its series where five terms of it are all a double holds."""
    if abs(angle) < 0.01:
        square = angle * angle
        return angle * (1.0 - square / 6.0 * (1.0 - square / 20.0 * (1.0 - square / 42.0)))
    return math.sin(angle)


@helper
def _metres(lon: float, lat: float, cosine: float, other_lon: float, other_lat: float, other_cosine: float) -> float:
    """Haversine distance (R. W. Sinnott, "Virtues of the Haversine", Sky and Telescope 68, 1984), of cosines of latitudes."""
    up = _sine(math.radians(other_lat - lat) * 0.5)
    across = _sine(math.radians(other_lon - lon) * 0.5)
    square = up * up + cosine * other_cosine * across * across
    if square < 1e-6:  # 12 km
        return (
            2.0 * EARTH_RADIUS_M * math.sqrt(square) * (1.0 + square * (1 / 6 + square * (3 / 40 + square * 15 / 336)))
        )
    return 2.0 * EARTH_RADIUS_M * math.asin(min(1.0, math.sqrt(square)))


@helper
def _to_row(lat: float, south: float, height: float, row: int) -> float:
    """How far it is at least from a parallel to a row, in metres."""
    low = south + row * height
    away = max(low - lat, lat - low - height, 0.0)
    return math.radians(away) * EARTH_RADIUS_M / _SLACK


@helper
def _reach(lat: float, metres: float) -> float:
    """How many degrees of longitude at most lie between a position and another so far away."""
    angle = metres * _SLACK / EARTH_RADIUS_M
    if abs(math.radians(lat)) + angle >= math.pi / 2:
        return 180.0
    return min(180.0, math.degrees(math.asin(math.sin(angle) / math.cos(math.radians(lat)))) * _SLACK + 1e-12)


@helper
def _first(lon: FloatsIn, start: int, end: int, west: float) -> int:
    """The first from `start` until before `end` that isn't west of `west`."""
    while start < end:
        middle = (start + end) >> 1
        if lon[middle] < west:
            start = middle + 1
        else:
            end = middle
    return start


@kernel
def _within(
    lon: FloatsIn,
    lat: FloatsIn,
    set_lon: FloatsIn,
    set_lat: FloatsIn,
    set_cosine: FloatsIn,
    set_index: IndexesIn,
    starts: IntsIn,
    south: float,
    height: float,
    radius_m: float,
    ends: Ints,
    index: Indexes,
    distance: Floats,
) -> None:
    """Write the neighbours of position `i` until before `ends[i + 1]`; while `index` is empty only how many might be."""
    rows, found = len(starts) - 1, 0
    degrees = math.degrees(radius_m * _SLACK / EARTH_RADIUS_M)
    for i in range(len(lon)):
        if abs(lon[i]) <= 180.0 and abs(lat[i]) <= 90.0:
            reach, cosine = _reach(lat[i], radius_m), math.cos(math.radians(lat[i]))
            low = int(max((lat[i] - degrees - south) / height - 1.0, 0.0))
            high = int(min((lat[i] + degrees - south) / height + 1.0, rows - 1.0))
            for row in range(low, high + 1):
                for turn in range(-1, 2):  # once around the globe either way
                    west, east = lon[i] + 360.0 * turn - reach, lon[i] + 360.0 * turn + reach
                    if reach >= 180.0:
                        west, east = (-180.0, 180.0) if turn == 0 else (1.0, 0.0)
                    if west > 180.0 or east < -180.0 or west > east:
                        continue
                    j = _first(set_lon, starts[row], starts[row + 1], west)
                    while j < starts[row + 1] and set_lon[j] <= east:
                        if abs(set_lat[j] - lat[i]) <= degrees:
                            if len(index) == 0:
                                found += 1
                            else:
                                metres = _metres(lon[i], lat[i], cosine, set_lon[j], set_lat[j], set_cosine[j])
                                if metres <= radius_m:
                                    index[found], distance[found] = set_index[j], metres
                                    found += 1
                        j += 1
        ends[i + 1] = found


@kernel
def _nearest(
    lon: FloatsIn,
    lat: FloatsIn,
    set_lon: FloatsIn,
    set_lat: FloatsIn,
    set_cosine: FloatsIn,
    set_index: IndexesIn,
    starts: IntsIn,
    south: float,
    height: float,
    k: int,
    radius_m: float,
    index: Indexes,
    distance: Floats,
) -> None:
    """Write the neighbours of position `i` from `i * k` on."""
    rows = len(starts) - 1
    for i in range(len(lon)):
        if not (abs(lon[i]) <= 180.0 and abs(lat[i]) <= 90.0):
            continue
        base, found, limit = i * k, 0, radius_m
        reach, cosine = _reach(lat[i], limit), math.cos(math.radians(lat[i]))
        here = int(min(max((lat[i] - south) / height, 0.0), rows - 1.0))
        low, high = here, here + 1  # the next row to the south and to the north
        while True:
            below = _to_row(lat[i], south, height, low) if low >= 0 else math.inf
            above = _to_row(lat[i], south, height, high) if high < rows else math.inf
            if min(below, above) > limit or (low < 0 and high >= rows):
                break
            row = low if below <= above else high
            low, high = (low - 1, high) if below <= above else (low, high + 1)
            start, end = starts[row], starts[row + 1]
            if start == end:
                continue
            middle = _first(set_lon, start, end, lon[i])
            for side in range(2):
                for n in range(end - start):  # around the globe, as far as is needed
                    j = middle + n if side == 0 else middle - 1 - n
                    j = start + (j - start) % (end - start)
                    away = (set_lon[j] - lon[i]) % 360.0 if side == 0 else (lon[i] - set_lon[j]) % 360.0
                    if away > reach or away > 180.0 or (side == 1 and (away == 0.0 or away == 180.0)):
                        break  # too far, or met on the other side
                    metres = _metres(lon[i], lat[i], cosine, set_lon[j], set_lat[j], set_cosine[j])
                    if metres > limit or (found == k and metres == limit and set_index[j] > index[base + k - 1]):
                        continue
                    place = base + min(found, k - 1)
                    while place > base and (
                        distance[place - 1] > metres
                        or (distance[place - 1] == metres and index[place - 1] > set_index[j])
                    ):
                        index[place], distance[place] = index[place - 1], distance[place - 1]
                        place -= 1
                    index[place], distance[place] = set_index[j], metres
                    found = min(found + 1, k)
                    if found == k:
                        limit = distance[base + k - 1]
                        reach = _reach(lat[i], limit)
