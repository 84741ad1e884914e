"""Stays and trips of vehicles from their fixes, a piece at a time: the anchor method of Li et al. (2008) on Arrow columns.

A stay begins with a fix, its anchor, and goes on while fixes are nearer to it than the radius; it counts when it has lasted
long enough. The first fix outside is the next anchor. A silence longer than the gap ends what there is. Drift doesn't cut a
stay: jitter is far below the radius, and a stay soon after another and near its mean is the same one.

`advance` takes the fixes of some vehicles from where an earlier call left them. Its states go into the next call, or, where
nothing follows yet, into `finished`. Any cut of the fixes gives the same numbers, to the last bit.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from lakehouse.contract import Movement
from lakehouse.geo import tracks
from lakehouse.geo.kernels import Floats, Indexes, Ints, IntsIn, Rows

DAY_US = 86_400_000_000
ZONE_US = 8 * 3_600_000_000
"""Business days begin at midnight in Asia/Shanghai, which has been 8 hours ahead of UTC since 1991."""

STATE = tracks.NOISE + tracks.STATE
"""Numbers in the state of a vehicle."""

REASONS = tracks.REASONS
_MINUTE_US = 60_000_000.0


def days(at: IntsIn) -> Ints:
    """The business days of instants (microseconds UTC), as days since 1970."""
    return (at + ZONE_US) // DAY_US


@dataclass(frozen=True)
class Fixes:
    """Fixes sorted by vehicle, then instant: `vehicle` counts from 0, `at` is microseconds UTC, `lon` and `lat` WGS-84 degrees."""

    vehicle: Indexes
    at: Ints
    lon: Floats
    lat: Floats

    @classmethod
    def sorted(cls, vehicle: Indexes, at: Ints, lon: Floats, lat: Floats) -> "Fixes":
        """Fixes in any order. Of those at one instant the one farthest west, then south, comes first."""
        fixes = cls(vehicle, at, lon, lat)
        ahead = (vehicle[1:] > vehicle[:-1]) | ((vehicle[1:] == vehicle[:-1]) & (at[1:] >= at[:-1]))
        if not ahead.all():
            fixes = fixes.take(_order(vehicle, at))
        again = (fixes.vehicle[1:] == fixes.vehicle[:-1]) & (fixes.at[1:] == fixes.at[:-1])
        if not again.any():
            return fixes
        among = np.flatnonzero(np.append(False, again) | np.append(again, False))
        some = fixes.take(among)
        some = some.take(np.lexsort((some.lat, some.lon, some.at, some.vehicle)))
        lon, lat = fixes.lon.copy(), fixes.lat.copy()
        lon[among], lat[among] = some.lon, some.lat
        return cls(fixes.vehicle, fixes.at, lon, lat)

    def take(self, order: NDArray[np.integer] | NDArray[np.bool_]) -> "Fixes":
        """The fixes at these places, or where this holds."""
        return Fixes(self.vehicle[order], self.at[order], self.lon[order], self.lat[order])

    def __len__(self) -> int:
        return len(self.at)


@dataclass(frozen=True)
class Events:
    """Stays, and trips between them, of the vehicles in `vehicle`; instants are microseconds UTC.

    `stays` holds `vehicle began ended lon lat fixes`, `trips` holds `vehicle began ended metres from to`: the instants at
    which the stays on either side began, NaN for none. `open_stays`, `open_trips`: the vehicle's last fix is part of it.
    """

    stays: Rows
    trips: Rows
    open_stays: NDArray[np.bool_]
    open_trips: NDArray[np.bool_]


@dataclass(frozen=True)
class Advanced:
    """What `advance` found, and the rows it went by: `vehicle` and `day` of each, the state at its end, the last instant
    (`last`, of any fix), and `counts`, how many fixes were used and dropped for each of the `REASONS`."""

    events: Events
    vehicle: Indexes
    day: Ints
    last: Ints
    states: Rows
    counts: NDArray[np.int64]

    @cached_property
    def final(self) -> NDArray[np.bool_]:
        """Which rows are the last of their vehicle."""
        return np.append(self.vehicle[1:] != self.vehicle[:-1], True)[: len(self.vehicle)]


def unknown(vehicles: int) -> Rows:
    """The states of vehicles nothing is known of."""
    states = np.full((vehicles, STATE), np.nan)
    states[:, tracks.NOISE - 1] = 0.0
    return states


def advance(fixes: Fixes, before: Rows, movement: Movement) -> Advanced:
    """Go on with each vehicle from its state in `before` (a row a vehicle)."""
    rules, day = _rules(movement), days(fixes.at)
    changes = (fixes.vehicle[1:] != fixes.vehicle[:-1]) | (day[1:] != day[:-1])
    starts = np.concatenate(([0], np.flatnonzero(changes) + 1, [len(fixes)]))[0 if len(fixes) else 1 :]
    vehicle, last = fixes.vehicle[starts[:-1]], fixes.at[starts[1:] - 1]
    states = before[vehicle]
    noise, moved = np.ascontiguousarray(states[:, : tracks.NOISE]), np.ascontiguousarray(states[:, tracks.NOISE :])
    marks = np.empty(len(fixes), np.int32)
    tracks.mark_noise(fixes.at, fixes.lon, fixes.lat, vehicle, starts, rules, noise, marks)
    count = np.diff(starts)
    kinds = 2 + len(REASONS)
    told = np.bincount(np.repeat(np.arange(len(vehicle)) * kinds, count) + marks, minlength=len(vehicle) * kinds)
    counts = told.reshape(len(vehicle), kinds)
    span = last - fixes.at[starts[:-1]]
    most_stays = int((np.minimum(count, span // max(int(rules[tracks.R_SHORTEST]), 1)) + 2).sum())
    gaps = np.minimum(count, span // max(int(rules[tracks.R_TRIP_GAP]), 1)) + 1
    most_trips = most_stays + int(gaps.sum() + counts[:, tracks.ANEW].sum())
    stays, trips, written = np.empty((most_stays, 6)), np.empty((most_trips, 6)), np.zeros(2, np.int64)
    tracks.find_stays(
        fixes.at, fixes.lon, fixes.lat, marks, vehicle, starts, rules, moved, stays, trips, written
    )  # fmt: skip
    stays, trips = stays[: written[0]].copy(), trips[: written[1]].copy()
    events = Events(_of(stays, vehicle), _of(trips, vehicle), *(np.zeros(n, bool) for n in written))
    used = counts[:, : tracks.ANEW + 1].sum(axis=1, keepdims=True)
    counts = np.hstack([used, counts[:, tracks.ANEW + 1 :]])
    return Advanced(events, vehicle, day[starts[:-1]], last, np.hstack([noise, moved]), counts)


def finished(states: Rows, movement: Movement) -> Events:
    """What becomes of vehicles with these states where nothing is known after them; `vehicle` is the row in `states`."""
    most = 2 * len(states)
    stays, trips, written = np.empty((most, 6)), np.empty((most, 6)), np.zeros(2, np.int64)
    open_stays, open_trips = np.zeros(most, np.int32), np.zeros(most, np.int32)
    moved = np.array(states[:, tracks.NOISE :], order="C")
    tracks.finish(_rules(movement), moved, stays, trips, open_stays, open_trips, written)
    there, gone = written
    return Events(stays[:there], trips[:gone], open_stays[:there] > 0, open_trips[:gone] > 0)


def pending(states: Rows) -> tuple[Floats, Floats, Floats]:
    """When the stay began that vehicles with these states hold, the one at their anchor, and their trip; NaN for none.

    What `finished` says of a state begins with one of the three.
    """
    moved = states[:, tracks.NOISE :]
    return moved[:, tracks.HELD_BEGAN], moved[:, tracks.ANCHOR_AT], moved[:, tracks.TRIP_BEGAN]


def floors(states: Rows) -> tuple[Floats, Floats]:
    """From when on stays, and trips, of vehicles with these states aren't final: all that began earlier is."""
    held, anchor, trip = pending(states)
    return np.where(np.isnan(held), anchor, held), trip


def same(one: Rows, other: Rows) -> NDArray[np.bool_]:
    """Which states are equal to the last bit."""
    equal: NDArray[np.bool_] = (one.view(np.int64) == other.view(np.int64)).all(axis=1)
    return equal


def checksums(fixes: Fixes, vehicles: int) -> Ints:
    """64 bits a vehicle that change with its fixes, not with their order."""
    sums = np.zeros(vehicles, np.int64)
    tracks.checksum(fixes.at, fixes.lon, fixes.lat, fixes.vehicle, sums)
    return sums


def stays(vehicle: pa.Array, at: pa.Array, lon: pa.Array, lat: pa.Array, movement: Movement | None = None) -> pa.Table:
    """All stays of some vehicles whose fixes stand in these columns, in any order, by vehicle and beginning.

    Gives `vehicle began_at ended_at lon lat fixes is_open`: the mean position (WGS-84 degrees) of the stay's fixes, how
    many they are, and whether the vehicle's last fix is one of them. Fixes without vehicle, instant or position don't count.
    """
    movement = movement or Movement()
    known = pc.and_(pc.is_valid(vehicle), pc.is_valid(at))
    coded = vehicle.filter(known).dictionary_encode()
    instants = at.filter(known).cast(pa.timestamp("us", "UTC")).cast(pa.int64())
    places = (pc.fill_null(each.filter(known).cast(pa.float64()), np.nan).to_numpy() for each in (lon, lat))
    fixes = Fixes.sorted(coded.indices.to_numpy(), instants.to_numpy(), *places)
    found = advance(fixes, unknown(len(coded.dictionary)), movement)
    last = finished(found.states[found.final], movement)
    ends = last.stays.copy()
    ends[:, 0] = found.vehicle[found.final][ends[:, 0].astype(np.int64)]
    rows = np.vstack([found.events.stays, ends])
    open_ = np.concatenate([found.events.open_stays, last.open_stays])
    order = np.lexsort((rows[:, 1], rows[:, 0]))
    rows, instant = rows[order], pa.timestamp("us", "UTC")
    return pa.table(
        {
            "vehicle": coded.dictionary.take(pa.array(rows[:, 0].astype(np.int32))),
            "began_at": pa.array(rows[:, 1].astype(np.int64)).cast(instant),
            "ended_at": pa.array(rows[:, 2].astype(np.int64)).cast(instant),
            "lon": rows[:, 3],
            "lat": rows[:, 4],
            "fixes": rows[:, 5].astype(np.int64),
            "is_open": open_[order],
        }
    )


def _order(vehicle: Indexes, at: Ints) -> NDArray[np.intp]:
    """The order by vehicle and instant. Sorting one number takes advantage of stretches that are sorted already."""
    span = int(at.max()) - int(at.min()) + 1
    if span > np.iinfo(np.int64).max // (int(vehicle.max()) + 1):
        return np.lexsort((at, vehicle))
    return np.argsort(vehicle * np.int64(span) + (at - at.min()), kind="stable")


def _rules(movement: Movement) -> Floats:
    rules = np.empty(tracks.RULES)
    rules[tracks.R_RADIUS] = movement.radius_m
    rules[tracks.R_SHORTEST] = movement.minutes * _MINUTE_US
    rules[tracks.R_GAP] = movement.gap_minutes * _MINUTE_US
    rules[tracks.R_OUTSIDE] = movement.leave == "outside"
    rules[tracks.R_REJOIN] = movement.rejoin_minutes * _MINUTE_US if movement.rejoin_minutes else -1.0
    rules[tracks.R_TRIP_GAP] = movement.trip_gap_minutes * _MINUTE_US
    rules[tracks.R_SPEED] = np.inf if movement.max_speed_mps is None else movement.max_speed_mps / 1e6
    rules[tracks.R_WEST :] = movement.box
    return rules


def _of(events: Rows, vehicle: Indexes) -> Rows:
    """Events with their vehicle instead of their row."""
    events[:, 0] = vehicle[events[:, 0].astype(np.int64)]
    return events
