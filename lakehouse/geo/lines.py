"""Lines as straight pieces on a fine grid of integers, and the piece nearest to a position.

Distances are measured on the plane that touches the Earth's sphere at the position asked about: at 300 m that is exact
to a millimetre, at 30 km to some metres.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lakehouse.geo.kernels import EdgesIn, Floats, FloatsIn, Indexes, IndexesIn, Ints, IntsIn, helper, kernel

METRES = math.radians(6_371_008.8)
"""Metres along one degree of latitude: on the sphere of the Earth's mean radius (IUGG)."""

GPS_ERROR_M = 50.0
SEARCH_M = 300.0
"""Standard error of a fix, and how far from it roads are looked for: what the map matcher FMM ships (Yang & Gidofalvi 2018)."""
HEADING_ERROR_DEG = 10.0
"""Standard error of a heading: what the map matcher Barefoot ships."""

NOTHING = -1
"""The piece or road of a position that has none near."""

_PER_DEGREE = 1024  # cells along one degree, a power of two as in `cells`: 109 m by 92 m at 32° N
_ROW = 1 << 19  # cells from one row to the next: the first power of two above the 360 * 1024 + 1 of a row
_FIRST_LOOK_M = 100.0  # most fixes lie nearer to a road than this; then few cells are asked


@dataclass(frozen=True)
class Nearest:
    """Per position: the `piece`, `distance_m` to it, and the `fraction` of the piece up to the nearest point.

    `NOTHING`, infinity and 0 where nothing lies within the radius, and for NaN.
    """

    piece: Indexes
    distance_m: Floats
    fraction: Floats


class Pieces:
    """Straight pieces of lines: `ends` is (n, 4), from lon lat to lon lat; `line` names the line of each piece.

    Piece `i` begins `from_m[i]` metres along its line, is `length_m[i]` long and heads to `bearing[i]` (degrees, clockwise
    from north). Pieces without length are left out; a line that has no other has no piece.
    """

    def __init__(self, lines: Sequence[NDArray[np.float64]]) -> None:
        counts = np.array([max(len(line) - 1, 0) for line in lines], np.int64)
        ends = np.concatenate([np.empty((0, 4)), *(np.hstack([line[:-1], line[1:]]) for line in lines)])
        length = lengths(ends)
        solid = length > 0
        before = np.concatenate([[0.0], np.cumsum(length)])
        first = np.concatenate([[0], np.cumsum(counts)])
        line = np.repeat(np.arange(len(lines)), counts)
        self.ends = np.ascontiguousarray(ends[solid])
        self.line = line[solid].astype(np.int32)
        self.from_m = (before[:-1] - before[first[line]])[solid]
        self.length_m = length[solid]
        self.line_m = before[first[1:]] - before[first[:-1]]
        east, north = _steps(self.ends)
        self.bearing = np.degrees(np.arctan2(east, north)) % 360.0
        self._keys, self._starts, self._listed = _grid(self.ends)

    def nearest(
        self,
        lon: FloatsIn,
        lat: FloatsIn,
        *,
        radius_m: float = SEARCH_M,
        heading: FloatsIn | None = None,
        both_ways: NDArray[np.bool_] | None = None,
        error_m: float = GPS_ERROR_M,
        heading_error_deg: float = HEADING_ERROR_DEG,
    ) -> Nearest:
        """The likeliest piece within the radius of each WGS-84 position.

        Without a heading (None, or NaN) the nearest. With one, distance and turn count by their standard errors, as in
        map matchers: the least `(distance / error_m)^2 + (turn / heading_error_deg)^2`. Pieces of lines that are
        `both_ways` may be followed against their direction. Of equals the piece that stands first.
        """
        found = Nearest(np.empty(len(lon), np.int32), np.empty(len(lon)), np.empty(len(lon)))
        headings = np.full(len(lon), math.nan) if heading is None else heading
        either = np.zeros(len(self.ends), np.int32)
        if both_ways is not None:
            either[:] = both_ways[self.line]
        _nearest(
            lon, lat, headings, radius_m, error_m, heading_error_deg, self.ends, self.bearing, either,
            self._keys, self._starts, self._listed, found.piece, found.distance_m, found.fraction,
        )  # fmt: skip
        return found

    def at(self, found: Nearest) -> tuple[Floats, Floats]:
        """Longitude and latitude of the nearest points; NaN where there is none."""
        there = found.piece != NOTHING
        ends = self.ends[found.piece] if len(self.ends) else np.zeros((len(there), 4))
        lon = ends[:, 0] + found.fraction * (ends[:, 2] - ends[:, 0])
        lat = ends[:, 1] + found.fraction * (ends[:, 3] - ends[:, 1])
        return np.where(there, lon, math.nan), np.where(there, lat, math.nan)

    def between(self, line: Ints, from_m: FloatsIn, to_m: FloatsIn) -> tuple[NDArray[np.float64], Ints]:
        """Parts of lines from one distance along them to another: straight pieces (n, 4), and the part each belongs to.

        A part without length has no piece.
        """
        first = np.searchsorted(self.line, line)
        counts = np.searchsorted(self.line, line, side="right") - first
        part = np.repeat(np.arange(len(line)), counts)
        piece = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts - first, counts)
        start, length = self.from_m[piece], self.length_m[piece]
        low = np.clip((from_m[part] - start) / length, 0.0, 1.0)
        high = np.clip((to_m[part] - start) / length, 0.0, 1.0)
        kept = high > low
        ends, low, high = self.ends[piece[kept]], low[kept, None], high[kept, None]
        step = ends[:, 2:] - ends[:, :2]
        end = np.where(high < 1.0, ends[:, :2] + high * step, ends[:, 2:])
        return np.hstack([ends[:, :2] + low * step, end]), part[kept]


def lengths(ends: NDArray[np.float64]) -> Floats:
    """Metres of straight pieces (n, 4)."""
    return np.hypot(*_steps(ends))


def _steps(ends: NDArray[np.float64]) -> tuple[Floats, Floats]:
    """Metres to the east and to the north of each piece."""
    shrunk = np.cos(np.radians((ends[:, 1] + ends[:, 3]) / 2))
    return (ends[:, 2] - ends[:, 0]) * shrunk * METRES, (ends[:, 3] - ends[:, 1]) * METRES


def _grid(ends: NDArray[np.float64]) -> tuple[Ints, Ints, Indexes]:
    """The grid cells that pieces run through, sorted, and which: cell `keys[k]` has `listed[starts[k]:starts[k + 1]]`."""
    x, y = (ends[:, 0::2] + 180.0) * _PER_DEGREE, (ends[:, 1::2] + 90.0) * _PER_DEGREE
    rows = np.floor(y).astype(np.int64)
    piece, row = _spread(rows.min(axis=1), rows.max(axis=1))
    x, y = x[piece], y[piece]
    rise = y[:, 1] - y[:, 0]
    with np.errstate(divide="ignore", invalid="ignore"):
        slope = np.where(rise == 0.0, 0.0, (x[:, 1] - x[:, 0]) / rise)
    inside = np.clip(np.stack([row, row + 1], axis=1), y.min(axis=1)[:, None], y.max(axis=1)[:, None])
    at = np.where(rise[:, None] == 0.0, x, x[:, :1] + (inside - y[:, :1]) * slope[:, None])
    at = np.clip(at, x.min(axis=1)[:, None], x.max(axis=1)[:, None])
    columns = np.floor(at + [-1e-6, 1e-6] * np.where(at[:, :1] > at[:, 1:], -1, 1)).astype(
        np.int64
    )  # never short by rounding
    entry, column = _spread(columns.min(axis=1), columns.max(axis=1))
    cell, piece = row[entry] * _ROW + column, piece[entry]
    order = np.argsort(cell, kind="stable")
    keys, starts = np.unique(cell[order], return_index=True)
    return keys, np.append(starts, len(cell)).astype(np.int64), piece[order].astype(np.int32)


def _spread(first: Ints, last: Ints) -> tuple[Ints, Ints]:
    """Every number of every span: the place of its span, and the number."""
    counts = last - first + 1
    span = np.repeat(np.arange(len(first)), counts)
    return span, np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts - first, counts)


@helper
def _first_at(keys: IntsIn, key: int) -> int:
    """The place of the first key that isn't lower."""
    low, high = 0, len(keys)
    while low < high:
        middle = (low + high) // 2
        if keys[middle] < key:
            low = middle + 1
        else:
            high = middle
    return low


@helper
def _along(ax: float, ay: float, bx: float, by: float) -> float:
    """The fraction of the way from a to b that is nearest to 0,0."""
    dx, dy = bx - ax, by - ay
    square = dx * dx + dy * dy
    return min(max(-(ax * dx + ay * dy) / square, 0.0), 1.0) if square > 0.0 else 0.0


@kernel
def _nearest(
    lon: FloatsIn,
    lat: FloatsIn,
    heading: FloatsIn,
    radius_m: float,
    error_m: float,
    heading_error_deg: float,
    ends: EdgesIn,
    bearing: FloatsIn,
    both_ways: IndexesIn,
    keys: IntsIn,
    starts: IntsIn,
    listed: IndexesIn,
    found: Indexes,
    distance: Floats,
    fraction: Floats,
) -> None:
    """What `Pieces.nearest` says. Looks in a small square first and in one four times as wide until nothing can be better."""
    for i in range(len(lon)):
        found[i], distance[i], fraction[i] = NOTHING, math.inf, 0.0
        if not (-180.0 <= lon[i] <= 180.0 and -90.0 <= lat[i] <= 90.0) or len(keys) == 0:
            continue
        east, north = METRES * math.cos(math.radians(lat[i])), METRES
        best = math.inf
        reach = min(radius_m, _FIRST_LOOK_M)
        while True:
            up, across = min(reach / north, 180.0), min(reach / max(east, 1e-9), 360.0)
            south, top = int(max((lat[i] - up + 90.0) * _PER_DEGREE, 0.0)), int((lat[i] + up + 90.0) * _PER_DEGREE)
            west = int(max((lon[i] - across + 180.0) * _PER_DEGREE, 0.0))
            right = int(min((lon[i] + across + 180.0) * _PER_DEGREE, _ROW - 1.0))
            everywhere = top - south >= len(keys)  # fewer cells than rows: ask them all
            for row in range(0 if everywhere else south, 1 if everywhere else top + 1):
                k = 0 if everywhere else _first_at(keys, row * _ROW + west)
                while k < len(keys) and (everywhere or keys[k] <= row * _ROW + right):
                    for piece in listed[starts[k] : starts[k + 1]]:
                        ax, ay = (ends[piece, 0] - lon[i]) * east, (ends[piece, 1] - lat[i]) * north
                        bx, by = (ends[piece, 2] - lon[i]) * east, (ends[piece, 3] - lat[i]) * north
                        part = _along(ax, ay, bx, by)
                        away = math.hypot(ax + part * (bx - ax), ay + part * (by - ay))
                        if away > radius_m:
                            continue
                        cost = (away / error_m) ** 2
                        if not math.isnan(heading[i]):
                            turn = abs((heading[i] - bearing[piece] + 180.0) % 360.0 - 180.0)
                            if both_ways[piece] != 0:
                                turn = min(turn, 180.0 - turn)
                            cost += (turn / heading_error_deg) ** 2
                        if cost < best or (cost == best and piece < found[i]):
                            best = cost
                            found[i], distance[i], fraction[i] = piece, away, part
                    k += 1
            if everywhere or reach >= radius_m or best <= (reach / error_m) ** 2:
                break
            reach = min(reach * 4.0, radius_m)
