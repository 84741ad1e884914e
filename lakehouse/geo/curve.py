"""One integer by which rows lie near what they are asked for together: by place, by hour and place, or by vehicle and time.

Places follow the curve of Hilbert over the cells of the lake (D. Hilbert, "Ueber die stetige Abbildung einer Linie auf ein
Flächenstück", 1891): neighbours on it are neighbours in the city, so that rows sorted by it lie in files and row groups of
compact areas, and a region is a few hundred stretches of it.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from lakehouse.geo.cells import NONE, ROW
from lakehouse.geo.kernels import Ints, IntsIn, helper, kernel
from lakehouse.rowhash import row_hashes

BITS = 17
"""Of a column or row of the grid: the curve runs through 2^17 times 2^17 cells."""

_SECOND_BITS = 32
_LAST_SECOND = (1 << _SECOND_BITS) - 1  # instants before 1970 and after 2106 fall on either end
_SECOND_US = 1_000_000
_HOUR_US = 3600 * _SECOND_US
_EARLIEST, _LATEST = -(1 << 28), 1 << 28  # hours: what 62 bits hold with the curve
_MOST_HOURS = 24 * 366  # asked for at once: beyond them ranges are told by their hours alone


@dataclass(frozen=True)
class Ranges:
    """Stretches of a curve, both ends included, in order and apart from one another."""

    first: Ints
    last: Ints

    def meet(self, low: NDArray[np.int64], high: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Whether any stretch has something between each `low` and `high`, both included."""
        place = np.searchsorted(self.last, low)
        return (place < len(self.last)) & (np.append(self.first, np.iinfo(np.int64).max)[place] <= high)


def space(cell: pa.Int64Array) -> pa.Int64Array:
    """How far along the curve each cell lies; null for null."""
    found = np.empty(len(cell), np.int64)
    _along(_known(cell, NONE), found)
    return pa.array(found, mask=found == NONE)


def space_time(cell: pa.Int64Array, at: pa.TimestampArray) -> pa.Int64Array:
    """The hour since 1970 (UTC) of each row, and in it how far along the curve the cell lies; null where either is."""
    hour = pa.array(_since_1970(at) // _HOUR_US << 2 * BITS, mask=np.asarray(at.is_null()))
    return pc.add(hour, space(cell))


def track(vehicle: pa.Array, at: pa.TimestampArray) -> pa.Int64Array:
    """31 bits of the hash of each vehicle's name, and behind them the second since 1970 (UTC); null where either is."""
    seconds = np.clip(_since_1970(at) // _SECOND_US, 0, _LAST_SECOND)
    absent = np.asarray(vehicle.is_null()) | np.asarray(at.is_null())
    return pa.array((_hashed(vehicle) << _SECOND_BITS) + seconds, mask=absent)


def of_cells(cells: Ints) -> Ranges:
    """The stretches of `space` that run through these cells."""
    along = np.empty(len(cells), np.int64)
    _along(np.ascontiguousarray(cells), along)
    along = np.unique(along)
    ends = np.flatnonzero(np.diff(along) != 1)
    return Ranges(along[np.append(0, ends + 1)] if len(along) else along, along[np.append(ends, len(along) - 1)])


def of_hours(stretches: Ranges, start: datetime | None, end: datetime | None) -> Ranges:
    """The stretches of `space_time` for those of `space`, from `start` until before `end`."""
    first = _EARLIEST if start is None else _us(start) // _HOUR_US
    last = _LATEST if end is None else (_us(end) - 1) // _HOUR_US
    if last - first >= _MOST_HOURS:
        return Ranges(*(np.array([hour << 2 * BITS], np.int64) for hour in (first, last + 1)))
    hours = np.arange(first, last + 1, dtype=np.int64)[:, None] << 2 * BITS
    return Ranges((hours + stretches.first).ravel(), (hours + stretches.last).ravel())


def of_vehicle(vehicle: str, start: datetime | None, end: datetime | None) -> Ranges:
    """The stretch of `track` for one vehicle from `start` until before `end`."""
    name = int(_hashed(pa.array([vehicle]))[0]) << _SECOND_BITS
    first = 0 if start is None else _us(start) // _SECOND_US
    last = _LAST_SECOND if end is None else (_us(end) - 1) // _SECOND_US
    seconds = (np.array([min(max(second, 0), _LAST_SECOND)], np.int64) for second in (first, last))
    return Ranges(*(name + second for second in seconds))


def _us(moment: datetime) -> int:
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


def _hashed(names: pa.Array) -> Ints:
    return (np.asarray(row_hashes([names.cast(pa.string())])) >> 33) & 0x7FFF_FFFF


def _since_1970(at: pa.TimestampArray) -> Ints:
    """Microseconds, 0 for null."""
    return _known(at.cast(pa.timestamp("us", at.type.tz)).view(pa.int64()), 0)


def _known(column: pa.Array, otherwise: int) -> Ints:
    return (pc.fill_null(column, otherwise) if column.null_count else column).to_numpy(zero_copy_only=True)


@helper
def _distance(column: int, row: int) -> int:
    """The classic walk from the largest square to the smallest: in each the quadrant, turned as the curve turns there."""
    found = 0
    side = 1 << (BITS - 1)
    while side > 0:
        right = 1 if column & side else 0
        upper = 1 if row & side else 0
        found += side * side * ((3 * right) ^ upper)
        if upper == 0:
            if right == 1:
                column, row = side - 1 - (column & (side - 1)), side - 1 - (row & (side - 1))
            column, row = row, column
        side >>= 1
    return found


@kernel
def _along(cell: IntsIn, found: Ints) -> None:
    last, there = NONE, NONE
    for i in range(len(cell)):
        if cell[i] != last:  # neighbours in a track mostly share their cell
            last = cell[i]
            there = NONE if last == NONE else _distance(last % ROW, last // ROW)
        found[i] = there
