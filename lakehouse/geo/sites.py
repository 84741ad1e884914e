"""Sites: places where vehicles stay again and again, found from the stays of many nights.

Stays are counted by spot, a square of 1/8192 degree (13.6 m by 11.5 m at 32° N; a fix is no more exact). Two steps make
sites of spots:

1. Patches, by density: DBSCAN (Ester et al. 1996) over the spots, each weighing its stays.
2. Sites, by visitors: patches near one another are one site where enough of the vehicles that stay at the one also stay at
   the other, as at the gates and yards of one plant. Shops side by side stay apart, each with its own visitors: with
   density alone a radius fit for the yard would join the shops.

Neither depends on the order of stays. What a night changes reaches no further than the sites `affected` names: finding
those again gives what finding all again would.
"""

import math
from dataclasses import dataclass
from datetime import date

import numpy as np
import shapely
from numpy.typing import NDArray
from pydantic import Field

from lakehouse.declared import Record
from lakehouse.geo.kernels import Grid, Indexes, IndexesIn, Ints, IntsIn, helper, kernel
from lakehouse.geo.lines import METRES

PER_DEGREE = 8192
"""Spots along one degree: a power of two, so that every engine that computes a spot rounds alike."""

ROW = 1 << 22
"""Spots from one row to the next: the first power of two above the 360 * 8192 + 1 of a row."""

NO_SPOT = -1
"""The spot of what is no position: NaN, off the globe, and 0,0, which stands for an unknown one."""

NO_SITE = -1

_STEP_M = METRES / PER_DEGREE


class Rule(Record):
    """What makes a site. The shape of a catalogue's `sites.yml`.

    `radius_m` and `least_stays` are DBSCAN's eps and minPts. Patches within `merge_m` of one another are one site when at
    least `shared_vehicles` vehicles, and the share `shared_share` of the visitors of the one that has fewer, stay at both
    (the overlap coefficient of Szymkiewicz and Simpson). Sites stand on the stays of the last `window_days` days.
    """

    radius_m: float = Field(40.0, gt=0, le=500)
    least_stays: int = Field(5, ge=1)
    merge_m: float = Field(150.0, gt=0, le=1000)
    shared_vehicles: int = Field(2, ge=1)
    shared_share: float = Field(0.5, gt=0, le=1)
    window_days: int = Field(90, ge=1)


@dataclass(frozen=True)
class Visits:
    """How often which vehicle stayed at which spot: sorted by `spot`, `vehicle`, each pair once. `digest` changes with the stays."""

    spot: Ints
    vehicle: Ints
    stays: Ints
    digest: Ints

    def at(self, spots: Ints) -> "Visits":
        """Those at some spots (sorted)."""
        kept = among(self.spot, spots)
        return Visits(self.spot[kept], self.vehicle[kept], self.stays[kept], self.digest[kept])

    def by_spot(self) -> tuple[Ints, Ints, Ints]:
        """The spots, the stays at each, and a digest of them."""
        first = np.flatnonzero(np.diff(self.spot, prepend=NO_SPOT))
        if not len(first):
            return (np.empty(0, np.int64),) * 3
        return self.spot[first], np.add.reduceat(self.stays, first), np.bitwise_xor.reduceat(self.digest, first)


@dataclass(frozen=True)
class State:
    """The sites of one night: every spot where somebody stayed (sorted), the `digest` of its stays, and its `site`, a place in
    `names`, or `NO_SITE`."""

    spot: Ints
    digest: Ints
    site: Ints
    names: tuple[str, ...]


NOTHING_BEFORE = State(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.int64), ())


def advanced(before: State, visits: Visits, rule: Rule, day: date, *, afresh: bool = False) -> tuple[State, Ints]:
    """The sites of a night after those of the night before, and which of them were looked at again (places in `names`).

    Looks only at what the changes since then can reach; the answer is the one that `afresh`, looking at everything, gives.
    """
    spot, stays, digest = visits.by_spot()
    every = np.union1d(spot, before.spot)
    now, then = np.searchsorted(every, spot), np.searchsorted(every, before.spot)
    is_now, old = np.zeros(len(every), bool), np.full(len(every), NO_SITE, np.int64)
    is_now[now], old[then] = True, before.site
    changed = np.ones(len(every), bool)
    both = among(before.spot, spot)
    changed[then[both]] = before.digest[both] != digest[among(spot, before.spot)]
    again = np.ones(len(every), bool) if afresh else affected(every, changed, old, rule)
    asked = again & is_now
    around = _within(every, asked, rule.radius_m) & is_now
    near, number = found(visits.at(every[around]), rule, every[asked])
    is_asked = among(near, every[asked])
    names = named(near[is_asked], number[is_asked], stays[asked[now]], old[asked], before.names, day)
    site = np.where(again, NO_SITE, old)
    site[asked] = np.where(number[is_asked] == NO_SITE, NO_SITE, number[is_asked] + len(before.names))
    all_names = np.array([*before.names, *names], object)
    held = np.unique(site[site != NO_SITE])
    place = np.full(len(all_names) + 1, NO_SITE, np.int64)  # the last for spots in no site
    place[held] = np.arange(len(held))
    return State(spot, digest, place[site[now]], tuple(all_names[held])), place[held[held >= len(before.names)]]


def spots(lon: NDArray[np.float64], lat: NDArray[np.float64]) -> Ints:
    """The spot of each WGS-84 position."""
    known = (np.abs(lon) <= 180) & (np.abs(lat) <= 90) & ((lon != 0) | (lat != 0))
    row, column = ((np.where(known, v, 0.0) + half) * PER_DEGREE for v, half in ((lat, 90.0), (lon, 180.0)))
    return np.where(known, row.astype(np.int64) * ROW + column.astype(np.int64), NO_SPOT)


def among(values: Ints, listed: Ints) -> NDArray[np.bool_]:
    """Which values are in a sorted list."""
    if not len(listed):
        return np.zeros(len(values), bool)
    place = np.minimum(np.searchsorted(listed, values), len(listed) - 1)
    return np.asarray(listed[place] == values)


def found(visits: Visits, rule: Rule, only: Ints | None = None) -> tuple[Ints, Ints]:
    """Every spot of the visits, and the number of its site, `NO_SITE` for none; sites are numbered by their first spot.

    With `only` (sorted spots) the others are but neighbours: they are counted around the spots asked about and are in no
    site themselves.
    """
    spot, stays, _ = visits.by_spot()
    asked = np.ones(len(spot), np.int32) if only is None else among(spot, only).astype(np.int32)
    patch = np.empty(len(spot), np.int64)
    _patches(spot, stays, asked, rule.radius_m, rule.least_stays, patch)
    one, other = _neighbours(spot, patch, rule.merge_m)
    shared, fewer = _visitors(visits, spot, patch, one, other)
    same = (shared >= rule.shared_vehicles) & (shared >= rule.shared_share * fewer)
    root = np.arange(len(spot))
    _unite(one[same], other[same], root)
    site = np.where(patch == NO_SITE, NO_SITE, root[patch])
    inside = site != NO_SITE
    _, first, number = np.unique(site[inside], return_index=True, return_inverse=True)
    site[inside] = np.argsort(np.argsort(first))[number]
    return spot, site


def affected(spot: Ints, changed: NDArray[np.bool_], site: Ints, rule: Rule) -> NDArray[np.bool_]:
    """Which spots have to be looked at again when the stays at some changed; `site` is where each belonged before.

    `spot` (sorted) are those of before and now together. A change reaches three radii by density: whether a spot is dense,
    which dense spots join, whom a spot at the edge belongs to. So every site with a spot that near may change its shape
    or visitors, and with these whom it belongs together with: every site within `merge_m` of those.
    """
    near = _within(spot, changed, 3 * rule.radius_m)
    shapes = near | _of_same_site(site, near)
    return near | _of_same_site(site, _within(spot, shapes, rule.merge_m))


def named(spot: Ints, site: Ints, stays: Ints, old: Ints, old_names: tuple[str, ...], day: date) -> list[str]:
    """The name of each site, by number. `old` is the site each spot belonged to before, a place in `old_names`.

    A site keeps the name of the one before with which it shares the most stays (of equals the older name); so the larger
    part of one that split keeps its name, and of several that merged the one with most stays. Others are new: the day and
    their first spot name them.
    """
    inside = site != NO_SITE
    numbers, first = np.unique(site[inside], return_index=True)
    births = spot[inside][first].tolist()
    both = inside & (old != NO_SITE)
    pairs, which = np.unique(np.stack([site[both], old[both]], axis=1), axis=0, return_inverse=True)
    shared = np.bincount(which.ravel(), stays[both], len(pairs)).astype(np.int64)
    kept: dict[int, str] = {}
    taken: set[str] = set()
    claims = (
        (-count, old_names[name], births[number], number)
        for (number, name), count in zip(pairs.tolist(), shared.tolist(), strict=True)
    )
    for _, name, _, number in sorted(claims):
        if number not in kept and name not in taken:
            kept[number] = name
            taken.add(name)
    return [kept.get(number, f"{day:%Y%m%d}-{births[number]:x}") for number in range(len(numbers))]


def outlines(spot: Ints, site: Ints) -> NDArray[np.object_]:
    """The polygon of each site, by number: the convex hull of its spots, so that every stay lies in it."""
    inside = site != NO_SITE
    order = np.argsort(site[inside], kind="stable")
    spot, site = spot[inside][order], site[inside][order]
    row, column = np.divmod(spot, ROW)
    corners = [(column + right, row + up) for right, up in ((0, 0), (1, 0), (1, 1), (0, 1))]
    lon, lat = (np.stack(each, axis=1).ravel() / PER_DEGREE for each in zip(*corners, strict=True))
    corners_of = np.repeat(site, 4)
    points = shapely.multipoints(np.stack([lon - 180.0, lat - 90.0], axis=1), indices=corners_of)
    return np.asarray(shapely.convex_hull(points))


def _neighbours(spot: Ints, patch: Ints, reach_m: float) -> tuple[Ints, Ints]:
    """Every two patches that come within reach of each other, once, by the spots that stand for them."""
    inside = patch != NO_SITE
    spot, patch = spot[inside], patch[inside]
    pairs, count = np.empty((4 * len(spot) + 64, 2), np.int32), np.zeros(1, np.int64)
    _pairs(spot, patch, reach_m, pairs, count)
    if count[0] > len(pairs):
        pairs = np.empty((int(count[0]), 2), np.int32)
        _pairs(spot, patch, reach_m, pairs, count)
    one, other = np.unique(pairs[: count[0]], axis=0).T.astype(np.int64, order="C")
    return one, other


def _visitors(visits: Visits, spot: Ints, patch: Ints, one: Ints, other: Ints) -> tuple[Ints, Ints]:
    """For each two patches how many vehicles stay at both, and how many at the one that has fewer."""
    _, vehicle = np.unique(visits.vehicle, return_inverse=True)
    of = patch[np.searchsorted(spot, visits.spot)]
    pairs = np.unique(np.stack([of, vehicle], axis=1)[of != NO_SITE], axis=0)
    starts = np.searchsorted(pairs[:, 0], np.arange(len(spot) + 1))
    counts, shared = np.diff(starts), np.zeros(len(one), np.int64)
    _shared(starts, np.ascontiguousarray(pairs[:, 1]), one, other, shared)
    return shared, np.minimum(counts[one], counts[other])


def _within(spot: Ints, asked: NDArray[np.bool_], radius_m: float) -> NDArray[np.bool_]:
    """Which spots (sorted) lie within a radius of those asked about, which do."""
    near = np.zeros(len(spot), np.int32)
    _mark(spot, asked.astype(np.int32), radius_m, near)
    return near.astype(bool)


def _of_same_site(site: Ints, some: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Which spots belong to a site that some of them belong to."""
    return (site != NO_SITE) & among(site, np.unique(site[some & (site != NO_SITE)]))


@helper
def _width_m(row: int, other_row: int) -> float:
    """Metres from one column to the next, between two rows: seen from either the same."""
    return _STEP_M * math.cos(math.radians((row + other_row + 1) * 0.5 / PER_DEGREE - 90.0))


@helper
def _reach(row: int, up: int, radius_m: float) -> int:
    """How many columns a circle reaches to either side, `up` rows away."""
    rise = up * _STEP_M
    width = max(_width_m(row, row + up), 1e-6)
    return int(min(math.sqrt(max(radius_m * radius_m - rise * rise, 0.0)) / width, 1e6))


@helper
def _moved(spot: IntsIn, low: int, wanted: int) -> int:
    """The first place from `low` on with a spot that isn't before the wanted one."""
    while low < len(spot) and spot[low] < wanted:
        low += 1
    return low


@helper
def _root(root: Ints, i: int) -> int:
    while root[i] != i:
        root[i] = root[root[i]]
        i = root[i]
    return i


@kernel
def _patches(spot: IntsIn, stays: IntsIn, asked: IndexesIn, radius_m: float, least: int, patch: Ints) -> None:
    """The patch of each spot: the first of its dense spots stands for it. A spot that isn't dense belongs to the patch of the
    nearest dense spot within the radius (of equals the first), else to none.

    For every row within the radius two places move along with the spot, so that no neighbour is searched for.
    """
    count = len(spot)
    rows = int(radius_m / _STEP_M)
    dense = np.zeros(count, np.int32)
    weight = np.zeros(count, np.int64)
    root = np.arange(count)
    for up in range(-rows, rows + 1):
        low = 0
        for i in range(count):
            row = spot[i] // ROW
            reach = _reach(row, up, radius_m)
            low = _moved(spot, low, spot[i] + up * ROW - reach)
            if asked[i] == 0:
                continue
            k = low
            while k < count and spot[k] <= spot[i] + up * ROW + reach:
                weight[i] += stays[k]
                k += 1
    for i in range(count):
        dense[i] = 1 if asked[i] != 0 and weight[i] >= least else 0
    for up in range(rows + 1):
        low = 0
        for i in range(count):
            reach = _reach(spot[i] // ROW, up, radius_m)
            low = _moved(spot, low, spot[i] + up * ROW - reach)
            if dense[i] == 0:
                continue
            k = low
            while k < count and spot[k] <= spot[i] + up * ROW + reach:
                if dense[k] != 0:
                    a, b = _root(root, i), _root(root, k)
                    root[max(a, b)] = min(a, b)
                k += 1
    nearest = np.full(count, math.inf)
    for i in range(count):
        patch[i] = _root(root, i) if dense[i] != 0 else NO_SITE
    for up in range(-rows, rows + 1):
        low = 0
        for i in range(count):
            row = spot[i] // ROW
            reach = _reach(row, up, radius_m)
            low = _moved(spot, low, spot[i] + up * ROW - reach)
            if dense[i] != 0 or asked[i] == 0:
                continue
            k = low
            while k < count and spot[k] <= spot[i] + up * ROW + reach:
                if dense[k] != 0:
                    across = (spot[k] - spot[i] - up * ROW) * _width_m(row, row + up)
                    away = across * across + (up * _STEP_M) ** 2
                    if away < nearest[i]:
                        nearest[i] = away
                        patch[i] = _root(root, k)
                k += 1


@kernel
def _pairs(spot: IntsIn, patch: IntsIn, reach_m: float, pairs: Grid, count: Ints) -> None:
    """Write down two patches for spots of theirs within reach; more than fit are only counted."""
    done, total = len(pairs), 0
    for up in range(int(reach_m / _STEP_M) + 1):
        low = 0
        for i in range(len(spot)):
            reach = _reach(spot[i] // ROW, up, reach_m)
            low = _moved(spot, low, spot[i] + up * ROW - reach)
            k, last = low, patch[i]
            while k < len(spot) and spot[k] <= spot[i] + up * ROW + reach:
                if patch[k] != patch[i] and patch[k] != last:
                    last = patch[k]
                    if total < done:
                        pairs[total, 0], pairs[total, 1] = min(last, patch[i]), max(last, patch[i])
                    total += 1
                k += 1
    count[0] = total


@kernel
def _shared(starts: IntsIn, vehicle: IntsIn, one: IntsIn, other: IntsIn, shared: Ints) -> None:
    """How many vehicles two patches have in common; those of patch `p` are `vehicle[starts[p]:starts[p + 1]]`, sorted."""
    for i in range(len(one)):
        a, b = starts[one[i]], starts[other[i]]
        while a < starts[one[i] + 1] and b < starts[other[i] + 1]:
            if vehicle[a] == vehicle[b]:
                shared[i] += 1
                a += 1
                b += 1
            elif vehicle[a] < vehicle[b]:
                a += 1
            else:
                b += 1


@kernel
def _unite(one: IntsIn, other: IntsIn, root: Ints) -> None:
    """The first of all that belong together, directly or through others."""
    for i in range(len(one)):
        a, b = _root(root, one[i]), _root(root, other[i])
        root[max(a, b)] = min(a, b)
    for i in range(len(root)):
        root[i] = _root(root, i)


@kernel
def _mark(spot: IntsIn, asked: IndexesIn, radius_m: float, near: Indexes) -> None:
    rows = int(radius_m / _STEP_M)
    for up in range(-rows, rows + 1):
        low = 0
        for i in range(len(spot)):
            reach = _reach(spot[i] // ROW, up, radius_m)
            low = _moved(spot, low, spot[i] + up * ROW - reach)
            if asked[i] == 0:
                continue
            k = low
            while k < len(spot) and spot[k] <= spot[i] + up * ROW + reach:
                near[k] = 1
                k += 1
