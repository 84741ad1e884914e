"""Which coordinate system positions are in, told by the city's boundaries and roads.

Boundaries tell swapped axes from right ones. They can't tell WGS-84 from GCJ-02, which lies some 500 m beside it, or from
BD-09: roads can, for whatever moves along them or has an address at them. Each system is tried in turn; a position is
telling between two when it lies at a road in one of them and not in the other.
"""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from lakehouse.geo.crs import Crs, to_wgs84
from lakehouse.geo.kernels import Floats, FloatsIn, Ints, kernel
from lakehouse.geo.regions import NOWHERE, Regions
from lakehouse.geo.roads import Roads

Datum = Literal["wgs84", "gcj02", "bd09"]
DATUMS: tuple[Datum, ...] = ("wgs84", "gcj02", "bd09")
"""What is told apart; CGCS2000 is WGS-84 here, see `lakehouse.geo.crs`."""

AT_ROAD_M = 40.0
"""How near to a road's middle line a position lies at it: a dual carriageway, a front yard and a receiver's error."""
ENOUGH = 0.7
"""The least confidence that is told. Positions without a road anywhere near are as likely to lie at one by chance in any."""
_MOST_OUTSIDE = 0.5
_WILSON_Z = 1.96  # two-sided 95 %
_LEAST = 20  # positions in the city

SIZE = 2_000
"""How many positions are looked at."""
_PER_DEGREE = 8192  # 14 m by 12 m at 32° N: vehicles that stand count once
_BITS = 22  # of 180 * 8192, with its sign


class Sample:
    """Up to `SIZE` different positions of many, the same ones however those are cut and ordered (a bottom-k sketch).

    Positions are kept as cells of 1/8192 degree, those whose mark (a mix of the cell's bits) is least.
    """

    def __init__(self) -> None:
        self._marks, self._cells = np.empty(0, np.int64), np.empty(0, np.int64)

    def add(self, x: FloatsIn, y: FloatsIn) -> None:
        """Take in positions as they were sent. What isn't finite, off the globe, or 0, 0 is none."""
        most = int(self._marks[-1]) if len(self._marks) == SIZE else np.iinfo(np.int64).max
        marks, cells, count = np.empty(len(x), np.int64), np.empty(len(x), np.int64), np.zeros(1, np.int64)
        _draw(x, y, most, marks, cells, count)
        self._keep(marks[: count[0]], cells[: count[0]])

    def absorb(self, other: "Sample") -> None:
        """Take in what another sample has drawn."""
        self._keep(other._marks, other._cells)

    def positions(self) -> tuple[Floats, Floats]:
        """The middles of the cells, as `x` and `y`."""
        low = (1 << _BITS) - 1
        row, column = self._cells >> _BITS, self._cells & low
        x, y = ((part - (1 << (_BITS - 1)) + 0.5) / _PER_DEGREE for part in (row, column))
        return x, y

    def _keep(self, marks: Ints, cells: Ints) -> None:
        if len(marks):
            every = np.concatenate([self._marks, marks]), np.concatenate([self._cells, cells])
            self._marks, first = np.unique(every[0], return_index=True)
            self._marks, self._cells = self._marks[:SIZE].copy(), every[1][first[:SIZE]]


@dataclass(frozen=True)
class Inference:
    """What positions seem to be in: `crs` (None: can't be told) and whether x is the latitude (`swapped`).

    `confidence` is the least share, with 95 % certainty, that those telling the two likeliest systems apart have in favour
    of `crs`. `positions` different ones were looked at; `why` says in words what speaks for it, or what is lacking.
    """

    crs: Datum | None
    swapped: bool
    confidence: float
    positions: int
    why: str

    @property
    def named(self) -> str:
        """In short: `gcj02 (0.97)`, `gcj02, latitude first (0.97)`, `an unknown system`."""
        axes = ", latitude first" if self.swapped else ""
        return f"{self.crs or 'an unknown system'}{axes}" + (f" ({self.confidence:.2f})" if self.crs else "")

    def contradicts(self, declared: Crs) -> bool:
        """Whether the evidence speaks against a declared system, in the order longitude, latitude."""
        return self.swapped or self.crs not in (None, "wgs84" if declared == "cgcs2000" else declared)


def infer(sample: Sample, regions: Regions, roads: Roads | None) -> Inference:
    """The likeliest system of positions that are mostly in the regions. Without roads only the axes can be told."""
    x, y = sample.positions()
    straight, crossed = _placed(x, y, regions), _placed(y, x, regions)
    swapped = _most(crossed) > _most(straight)
    placed = crossed if swapped else straight
    if _most(placed) < max(_LEAST, _MOST_OUTSIDE * len(x)):
        few = f"{_most(placed):,} of {len(x):,} different positions lie in the city"
        return Inference(None, False, 0.0, len(x), few)
    if roads is None:
        return Inference(None, swapped, 0.0, len(x), _said(swapped, "no roads to tell by"))
    near = {datum: _at_road(*held, roads) for datum, held in placed.items()}
    best = max(DATUMS, key=lambda datum: int(near[datum].sum()))
    confidence, rival = min((_certain(near[best], near[other]), other) for other in DATUMS if other != best)
    crs = best if confidence >= ENOUGH else None
    share = {datum: f"{held.mean():.0%}" for datum, held in near.items()}
    told = f"{share[best]} of {len(x):,} different positions lie at a road in {best}, {share[rival]} in {rival}"
    return Inference(crs, swapped, confidence, len(x), _said(swapped, told if crs else f"too little to tell: {told}"))


_Placed = dict[Datum, tuple[Floats, Floats, NDArray[np.bool_]]]
"""By system the WGS-84 longitudes and latitudes of positions in it, and which of them are in the city."""


def _placed(x: Floats, y: Floats, regions: Regions) -> _Placed:
    found: _Placed = {}
    for datum in DATUMS:
        lon, lat = to_wgs84(datum, x, y)
        found[datum] = lon, lat, regions.locate(lon, lat) != NOWHERE
    return found


def _most(placed: _Placed) -> int:
    return max(int(inside.sum()) for _, _, inside in placed.values())


def _at_road(lon: Floats, lat: Floats, inside: NDArray[np.bool_], roads: Roads) -> NDArray[np.bool_]:
    return inside & np.isfinite(roads.locate(lon, lat, radius_m=AT_ROAD_M).distance_m)


def _certain(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    """Of the positions that tell two systems apart the share in favour of one, at least: the lower end of Wilson's interval.

    Wilson, E. B. (1927), Probable inference, the law of succession, and statistical inference. 0 where none tells.
    """
    telling = int((one != other).sum())
    if not telling:
        return 0.0
    share, weight = int((one & ~other).sum()) / telling, _WILSON_Z**2 / telling
    margin = math.sqrt(weight * (share * (1 - share) + weight / 4))
    return (share + weight / 2 - margin) / (1 + weight)


def _said(swapped: bool, why: str) -> str:
    return f"latitude before longitude; {why}" if swapped else why


@kernel
def _draw(x: FloatsIn, y: FloatsIn, most: int, marks: Ints, cells: Ints, count: Ints) -> None:
    """The cells of the positions whose mark is below `most`, and how many they are."""
    found = 0
    for i in range(len(x)):
        if not (abs(x[i]) <= 180.0 and abs(y[i]) <= 180.0) or (abs(x[i]) < 0.001 and abs(y[i]) < 0.001):
            continue
        row = math.floor(x[i] * _PER_DEGREE) + (1 << (_BITS - 1))
        column = math.floor(y[i] * _PER_DEGREE) + (1 << (_BITS - 1))
        cell = (row << _BITS) | column
        # the mixer of SplitMix64 (Steele, Lea & Flood 2014), of which one bit is dropped
        mark = np.uint64(cell)
        mark = (mark ^ (mark >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        mark = (mark ^ (mark >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        mark = (mark ^ (mark >> np.uint64(31))) >> np.uint64(1)
        if np.int64(mark) < most:
            marks[found] = np.int64(mark)
            cells[found] = cell
            found += 1
    count[0] = found
