"""Which region a position lies in: decided by its cell, and exactly where a border runs through the cell.

The regions are drawn once onto the grid of `lakehouse.geo.cells`. A cell wholly inside one region answers at once; in a
border cell the position is tested against the few edges of the candidate regions that reach its row.

A position on a border belongs to the region as one inside does; where several hold it, the first in the file owns it.
So every position has one owner or none, the one exact geometry gives: the first region for which `ST_Intersects` holds.

Regions change: a feature may say from which day (`valid_from`) to which (`valid_to`, included) it is a region.
"""

from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lakehouse.errors import ContractError
from lakehouse.geo import raster
from lakehouse.geo.cells import ROW
from lakehouse.geo.kernels import FloatsIn, Grid, Indexes, Ints
from lakehouse.geo.layer import Feature, read_layer

NOWHERE = raster.OUTSIDE
"""The index of a position in no region."""

_MOST_CELLS = 1 << 26  # 32 degrees square (256 MB as drawn): a layer beyond it is no city's


@dataclass(frozen=True)
class _Edges:
    """The edges of all regions, each region's together, and which of them reach each grid row of their region.

    `ends` holds `ax ay bx by` from the lower end to the upper. Region `r` has `ends[first[r]:first[r + 1]]`; its grid
    row `rows[r] + i` has the edges `listed[starts[b]:starts[b + 1]]` with `b = buckets[r] + i`.
    """

    ends: NDArray[np.float64]
    first: Ints
    rows: Ints
    buckets: Ints
    starts: Ints
    listed: Indexes


@dataclass(frozen=True)
class _Drawing:
    """The cells of the layer's extent from (`row`, `column`) on, and the candidate regions of border cells.

    See `raster.find`, which reads it.
    """

    row: int
    column: int
    cells: Grid
    starts: Ints
    candidates: Indexes


class Regions:
    """The regions of one layer: `codes` and `geometries` (GeoJSON text), in the order of the file."""

    def __init__(self, features: tuple[Feature, ...], where: str = "") -> None:
        self.codes = tuple(feature.code for feature in features)
        self.geometries = tuple(feature.geometry for feature in features)
        self._edges = _edges(features)
        self._drawing = _drawing(self._edges, where)

    @classmethod
    def load(cls, path: Path, day: date | None = None) -> "Regions":
        """The regions of a GeoJSON file; with `day` those that were regions then.

        Raises ContractError when it is not a layer or has none then.
        """
        features = tuple(feature for feature in read_layer(path) if day is None or feature.valid(day))
        if not features:
            hint = "correct 'valid_from' and 'valid_to' of its features"
            raise ContractError(f"has no region that is valid on {day}", where=str(path), hint=hint)
        return cls(features, str(path))

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """The least and greatest longitude and latitude: west, south, east, north."""
        lon, lat = self._edges.ends[:, 0::2], self._edges.ends[:, 1::2]
        return float(lon.min()), float(lat.min()), float(lon.max()), float(lat.max())

    def locate(self, lon: FloatsIn, lat: FloatsIn) -> Indexes:
        """The index of the region of each WGS-84 position, `NOWHERE` (-1) in none and for NaN."""
        found = np.empty(len(lon), np.int32)
        edges, drawn = self._edges, self._drawing
        raster.find(
            lon, lat, drawn.row, drawn.column, drawn.cells, drawn.starts, drawn.candidates,
            edges.ends, edges.listed, edges.starts, edges.buckets, edges.rows, found,
        )  # fmt: skip
        return found

    def cells(self) -> tuple[Ints, Indexes]:
        """Every grid cell the regions reach, and the region that owns all of it; `NOWHERE` if a border runs through."""
        drawn = self._drawing
        row, column = np.nonzero(drawn.cells != raster.OUTSIDE)
        owner = drawn.cells[row, column]
        return (row + drawn.row) * ROW + column + drawn.column, np.maximum(owner, NOWHERE)


def _edges(features: tuple[Feature, ...]) -> _Edges:
    parts = [np.concatenate([_upward(np.array(ring)) for ring in feature.rings]) for feature in features]
    ends = np.concatenate(parts)
    first = np.cumsum([0, *(len(part) for part in parts)])
    low, high = _rows(ends[:, 0], ends[:, 1])[1], _rows(ends[:, 2], ends[:, 3])[1]
    rows = np.minimum.reduceat(low, first[:-1])
    heights = np.maximum.reduceat(high, first[:-1]) - rows + 1
    buckets = np.cumsum([0, *heights])
    region = np.repeat(np.arange(len(parts)), np.diff(first))
    bucket = buckets[region] + low - rows[region]
    counts = np.zeros(buckets[-1], np.int64)
    raster.count_rows(ends, bucket, counts)
    starts = np.concatenate([[0], np.cumsum(counts)])
    listed = np.empty(starts[-1], np.int32)
    raster.list_rows(ends, bucket, starts[:-1].copy(), listed)
    return _Edges(ends, first, rows, buckets[:-1], starts, listed)


def _upward(ring: NDArray[np.float64]) -> NDArray[np.float64]:
    """The edges of a ring from lower to upper end, level ones from west to east, without those of no length."""
    start, end = ring[:-1], ring[1:]
    down = (start[:, 1] > end[:, 1]) | ((start[:, 1] == end[:, 1]) & (start[:, 0] > end[:, 0]))
    edges = np.where(down[:, None], np.hstack([end, start]), np.hstack([start, end]))
    return edges[(start != end).any(axis=1)]


def _rows(lon: NDArray[np.float64], lat: NDArray[np.float64]) -> tuple[Ints, Ints]:
    columns, rows = np.empty(len(lon), np.int64), np.empty(len(lon), np.int64)
    raster.grid(np.ascontiguousarray(lon), np.ascontiguousarray(lat), columns, rows)
    return columns, rows


def _drawing(edges: _Edges, where: str) -> _Drawing:
    (west, south), (east, north) = _extent(edges.ends)
    height, width = north - south + 1, east - west + 1
    if height * width > _MOST_CELLS:
        raise ContractError(
            f"reaches over {height * width:,} cells, more than a city has",
            where=where,
            hint="are its coordinates longitude, latitude?",
        )
    cells, region, inside = _drawn_regions(edges, south, west, width)
    order = np.argsort(cells, kind="stable")
    cells, region, inside = cells[order], region[order], inside[order]
    begins = np.flatnonzero(np.diff(cells, prepend=-1))
    lengths = np.diff(begins, append=len(cells))
    is_border = ~inside[begins]
    drawn = np.full(height * width, raster.OUTSIDE, np.int32)
    drawn[cells[begins]] = np.where(is_border, -1 - np.cumsum(is_border), region[begins])
    listed = np.repeat(is_border, lengths)
    candidates = np.where(inside, -1 - region, region)[listed].astype(np.int32)
    starts = np.concatenate([[0], np.cumsum(lengths[is_border])])
    return _Drawing(south, west, drawn.reshape(height, width), starts, candidates)


def _extent(ends: NDArray[np.float64]) -> tuple[tuple[int, int], tuple[int, int]]:
    """First and last grid column and row of the edges."""
    lon, lat = ends[:, 0::2].ravel(), ends[:, 1::2].ravel()
    columns, rows = _rows(np.array([lon.min(), lon.max()]), np.array([lat.min(), lat.max()]))
    return (int(columns[0]), int(rows[0])), (int(columns[1]), int(rows[1]))


def _drawn_regions(edges: _Edges, south: int, west: int, width: int) -> tuple[Ints, Ints, NDArray[np.bool_]]:
    """Every cell (counted in the layer's extent) and region that meet, by region; whether it holds all of the cell."""
    found: list[tuple[Ints, Ints, NDArray[np.bool_]]] = []
    for region, (first, last) in enumerate(zip(edges.first[:-1], edges.first[1:], strict=True)):
        (left, low), (right, high) = _extent(edges.ends[first:last])
        states = np.zeros((high - low + 1, right - left + 1), np.int32)
        starts = edges.starts[edges.buckets[region] :][: len(states) + 1]
        raster.draw(edges.ends, edges.listed, starts, first, last, low, left, states)
        row, column = np.nonzero(states)
        cell = (row + low - south) * width + column + left - west
        found.append((cell, np.full(len(cell), region), states[row, column] == raster.INSIDE))
    cells, owners, inside = zip(*found, strict=True)
    return np.concatenate(cells), np.concatenate(owners), np.concatenate(inside)
