"""The kernels behind `lakehouse.geo.regions`: drawing polygons onto the grid, and asking the drawing and the edges.

An edge runs from its lower end `a` to its upper end `b` (west to east when level), whichever way its ring turns: both
polygons along a shared border therefore do the same arithmetic. Whether a position lies left of an edge is decided
exactly (J. R. Shewchuk, "Adaptive Precision Floating-Point Arithmetic and Fast Robust Geometric Predicates", 1997).
"""

import math

import numpy as np

from lakehouse.geo.cells import PER_DEGREE
from lakehouse.geo.kernels import EdgesIn, FloatsIn, Grid, GridIn, Indexes, IndexesIn, Ints, IntsIn, helper, kernel

EMPTY, INSIDE, BORDER = 0, 1, 2
"""What a cell is to one region, in `draw`."""

OUTSIDE = -1
"""In a drawing: a cell of no region. Lower values are border cells, `-2 - k` the k-th."""

Edge = tuple[float, float, float, float]

_SLACK = 1e-9  # degrees: an edge this near a cell makes it a border cell, so that rounding on the way never matters
_FILTER = 3.3306690738754716e-16  # (3 + 16 u) u with u = 2^-53: Shewchuk's bound for the error of the plain determinant
_SPLIT = 134217729.0  # 2^27 + 1, Dekker's constant: halves the digits of a double


@helper
def _row(lat: float) -> int:
    return int((lat + 90.0) * PER_DEGREE)


@helper
def _column(lon: float) -> int:
    return int((lon + 180.0) * PER_DEGREE)


@kernel
def grid(lon: FloatsIn, lat: FloatsIn, columns: Ints, rows: Ints) -> None:
    """Grid column and row of each position, which must be on the globe."""
    for i in range(len(lon)):
        columns[i], rows[i] = _column(lon[i]), _row(lat[i])


@kernel
def count_rows(edges: EdgesIn, first_bucket: IntsIn, counts: Ints) -> None:
    """How many edges reach each bucket: edge `i` reaches `first_bucket[i]` and those of the rows up to its end."""
    for i in range(len(edges)):
        for bucket in range(_row(edges[i, 3]) - _row(edges[i, 1]) + 1):
            counts[first_bucket[i] + bucket] += 1


@kernel
def list_rows(edges: EdgesIn, first_bucket: IntsIn, ends: Ints, listed: Indexes) -> None:
    """Write the edges of each bucket in `listed`; `ends` moves from each bucket's start to its end."""
    for i in range(len(edges)):
        for bucket in range(_row(edges[i, 3]) - _row(edges[i, 1]) + 1):
            listed[ends[first_bucket[i] + bucket]] = i
            ends[first_bucket[i] + bucket] += 1


@helper
def _mark(edge: Edge, row0: int, column0: int, states: Grid) -> None:
    """Make every cell the edge touches a border cell."""
    ax, ay, bx, by = edge
    west, east = min(ax, bx), max(ax, bx)
    for row in range(_row(ay), _row(by) + 1):
        left, right = west, east
        if ay < by:
            slope = (bx - ax) / (by - ay)
            x0 = ax + (max(ay, row / PER_DEGREE - 90.0) - ay) * slope
            x1 = ax + (min(by, (row + 1) / PER_DEGREE - 90.0) - ay) * slope
            left, right = max(west, min(x0, x1)), min(east, max(x0, x1))
        first = max(_column(left - _SLACK) - column0, 0)
        last = min(_column(right + _SLACK) - column0, states.shape[1] - 1)
        states[row - row0, first : last + 1] = BORDER


@helper
def _fill(edges: EdgesIn, listed: IndexesIn, row: int, column0: int, states: Indexes) -> None:
    """Make the cells of one row inside whose centre is: between the first crossing and the second, and so on."""
    y = (row + 0.5) / PER_DEGREE - 90.0
    crossings = np.empty(len(listed))
    found = 0
    for i in listed:
        ax, ay, bx, by = edges[i]
        if ay <= y < by:
            crossings[found] = ax + (y - ay) * (bx - ax) / (by - ay)
            found += 1
    crossings = np.sort(crossings[:found])
    for pair in range(0, found - 1, 2):
        first = math.ceil((crossings[pair] + 180.0) * PER_DEGREE - 0.5) - column0
        last = math.floor((crossings[pair + 1] + 180.0) * PER_DEGREE - 0.5) - column0
        for column in range(max(first, 0), min(last, len(states) - 1) + 1):
            if states[column] == EMPTY:
                states[column] = INSIDE


@kernel
def draw(
    edges: EdgesIn,
    listed: IndexesIn,
    starts: IntsIn,
    first_edge: int,
    last_edge: int,
    row0: int,
    column0: int,
    states: Grid,
) -> None:
    """Draw one region: `edges[first_edge:last_edge]`, whose row `row0 + i` has the bucket `starts[i]:starts[i + 1]`."""
    for i in range(first_edge, last_edge):
        _mark((edges[i, 0], edges[i, 1], edges[i, 2], edges[i, 3]), row0, column0, states)
    for i in range(len(states)):
        _fill(edges, listed[starts[i] : starts[i + 1]], row0 + i, column0, states[i])


@helper
def _two_sum(a: float, b: float) -> tuple[float, float]:
    """The rounded sum and exactly what rounding lost."""
    total = a + b
    other = total - a
    return total, (a - (total - other)) + (b - other)


@helper
def _two_product(a: float, b: float) -> tuple[float, float]:
    """The rounded product and exactly what rounding lost."""
    product = a * b
    big = _SPLIT * a
    a_high = big - (big - a)
    a_low = a - a_high
    big = _SPLIT * b
    b_high = big - (big - b)
    b_low = b - b_high
    return product, a_low * b_low - (((product - a_high * b_high) - a_low * b_high) - a_high * b_low)


@helper
def _exact_side(ax: float, ay: float, bx: float, by: float, px: float, py: float) -> float:
    """The determinant of `_side` with nothing lost: its six products as a sum of doubles that don't overlap."""
    digits = np.zeros(12)
    length = 0
    for a, b in ((ax, by), (-ay, bx), (bx, py), (-by, px), (px, ay), (-py, ax)):
        product, rest = _two_product(a, b)
        for carry in (rest, product):
            for i in range(length):
                carry, digits[i] = _two_sum(carry, digits[i])
            digits[length] = carry
            length += 1
    for i in range(11, -1, -1):
        if digits[i] != 0.0:
            return digits[i]
    return 0.0


@helper
def _side(ax: float, ay: float, bx: float, by: float, px: float, py: float) -> float:
    """Positive when p is left of the way from a to b, negative when right, zero exactly when on the line."""
    left, right = (ax - px) * (by - py), (ay - py) * (bx - px)
    side = left - right
    if abs(side) > _FILTER * (abs(left) + abs(right)):
        return side
    return _exact_side(ax, ay, bx, by, px, py)


@helper
def _covers(edges: EdgesIn, listed: IndexesIn, px: float, py: float) -> bool:
    """Whether p lies in the polygon or on its border; `listed` are the edges of the polygon that reach p's row."""
    inside = False
    for i in listed:
        ax, ay, bx, by = edges[i, 0], edges[i, 1], edges[i, 2], edges[i, 3]
        if py < ay or py > by or (px > ax and px > bx):
            continue
        if ay == by:
            if px >= ax:
                return True
        elif px < ax and px < bx:
            inside ^= py < by
        else:
            side = _side(ax, ay, bx, by, px, py)
            if side == 0.0:
                return True
            inside ^= side > 0.0 and py < by
    return inside


@kernel
def find(
    lon: FloatsIn,
    lat: FloatsIn,
    row0: int,
    column0: int,
    raster: GridIn,
    border_starts: IntsIn,
    candidates: IndexesIn,
    edges: EdgesIn,
    listed: IndexesIn,
    starts: IntsIn,
    bases: IntsIn,
    first_rows: IntsIn,
    found: Indexes,
) -> None:
    """The region of each position, `OUTSIDE` for none and for NaN.

    The candidates of border cell `k` are `candidates[border_starts[k]:border_starts[k + 1]]`, a region as itself where
    its border runs through the cell and as `-1 - region` where it holds the whole cell. Row `first_rows[r] + i` of
    region `r` has the edges `listed[starts[b]:starts[b + 1]]` with `b = bases[r] + i`.
    """
    height, width = raster.shape
    for i in range(len(lon)):
        found[i] = OUTSIDE
        if not (-180.0 <= lon[i] <= 180.0 and -90.0 <= lat[i] <= 90.0):
            continue
        row, column = _row(lat[i]), _column(lon[i])
        if not (0 <= row - row0 < height and 0 <= column - column0 < width):
            continue
        cell = raster[row - row0, column - column0]
        if cell >= OUTSIDE:
            found[i] = cell
            continue
        for candidate in candidates[border_starts[-2 - cell] : border_starts[-1 - cell]]:
            if candidate < 0:
                found[i] = -1 - candidate
                break
            bucket = bases[candidate] + row - first_rows[candidate]
            if _covers(edges, listed[starts[bucket] : starts[bucket + 1]], lon[i], lat[i]):
                found[i] = candidate
                break
