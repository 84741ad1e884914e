"""The fleets that deliver their positions, and the truth about where their vehicles were."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from functools import lru_cache

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from samples import draw, movement
from samples.city import City
from samples.habits import Tour, hubs, tanker_tours, truck_tours
from samples.movement import DAY_S, Driven, Tracks


@dataclass(frozen=True)
class Late:
    """Fixes that a delivery lacks and the next one brings: of some vehicles, from one second of the day to another."""

    vehicles: tuple[int, ...]
    first_s: int
    last_s: int

    def are(self, tracks: Tracks) -> np.ndarray:
        """Which of the tracks are late."""
        mine = np.isin(tracks.vehicle, self.vehicles)
        return np.asarray(mine & (tracks.second >= self.first_s) & (tracks.second < self.last_s))


@dataclass(frozen=True, eq=False)
class Fleet:
    """Vehicles of one kind. `late` is by the day of moving."""

    dataset: str
    plates: Callable[[City], np.ndarray]
    tours: Callable[[City, date], list[Tour]]
    asleep_s: int
    late: Mapping[date, Late] = field(default_factory=dict)


TANKERS = Fleet(
    "transport.hazmat_gps", lambda city: city.tankers, tanker_tours, asleep_s=300,
    late={date(2026, 3, 1): Late((7, 111, 402), 14 * 3_600, 16 * 3_600 + 1_800)},
)  # fmt: skip
TRUCKS = Fleet("urban_management.muck_trucks", lambda city: city.muck_trucks, truck_tours, asleep_s=600)


def tracks(city: City, fleet: Fleet, day: date, *, fixes: int) -> Tracks:
    """What is delivered on `day`: the fixes of the day before, then those of the day before that which came late.

    `second` counts from midnight before the day before; of the late ones it is negative.
    """
    moved = day - timedelta(1)
    found = _tracks(city, fleet, moved, fixes)
    if moved in fleet.late:
        found = found.where(~fleet.late[moved].are(found))
    if late := fleet.late.get(moved - timedelta(1)):
        earlier = _tracks(city, fleet, moved - timedelta(1), fixes)
        found = found.then(earlier.where(late.are(earlier)), later_s=-DAY_S)
    return found


def stays(city: City, days: Sequence[date]) -> pa.Table:
    """Where every vehicle stayed on the days before `days`: `dataset vehicle began_at ended_at place`, by vehicle and time.

    True, whether its fixes were delivered or not. A stay over midnight is one where both days are asked for; what began
    before the first day or ends after the last is cut there.
    """
    rows = [
        (fleet.dataset, plate, began, ended, hubs(city).name[hub])
        for fleet in (TANKERS, TRUCKS)
        for plate, found in _stays(city, fleet, days)
        for began, ended, hub in found
    ]
    return _table(("dataset", "vehicle", "began_at", "ended_at", "place"), rows)


def detours(city: City, days: Sequence[date]) -> pa.Table:
    """The trips that led over somewhere off the fastest way: `dataset vehicle began_at ended_at origin destination`."""
    names = hubs(city).name
    rows = [
        (fleet.dataset, fleet.plates(city)[start.vehicle], midnight + start.ended_s, midnight + end.began_s,
         names[start.hub], names[end.hub])
        for fleet in (TANKERS, TRUCKS)
        for day in days
        for midnight in [draw.midnight(day)]
        for driven in _driven(city, fleet, day - timedelta(1))
        if driven.astray
        for start, end in [driven.stays[driven.astray - 1 : driven.astray + 1]]
    ]  # fmt: skip
    return _table(("dataset", "vehicle", "began_at", "ended_at", "origin", "destination"), rows)


def sites(city: City, stays: pa.Table) -> pa.Table:
    """The places of `stays`: `place kind lon lat visitors stays` (WGS-84), the most visited first.

    `kind` says what the place is, whatever registers say: a `workshop` is in none of them, a `closed_plant` is said to be
    closed there.
    """
    known = hubs(city)
    found = stays.group_by("place").aggregate([("vehicle", "count_distinct"), ("vehicle", "count")])
    found = found.sort_by(
        [("vehicle_count_distinct", "descending"), ("vehicle_count", "descending"), ("place", "ascending")]
    )
    number = {name: hub for hub, name in enumerate(known.name.tolist())}
    order = [number[name] for name in found["place"].to_pylist()]
    return pa.table({
        "place": found["place"],
        "kind": known.kind[order],
        "lon": known.at[order, 0],
        "lat": known.at[order, 1],
        "visitors": found["vehicle_count_distinct"],
        "stays": found["vehicle_count"],
    })  # fmt: skip


@lru_cache(maxsize=20)
def _driven(city: City, fleet: Fleet, moved: date) -> list[Driven]:
    rng = city.draw(f"drives {fleet.dataset}", moved)
    parking = movement.parking_places(city.always(f"parking {fleet.dataset}"), len(fleet.plates(city)))
    return movement.driven(rng, hubs(city), fleet.tours(city, moved), parking)


def _tracks(city: City, fleet: Fleet, moved: date, fixes: int) -> Tracks:
    rng = city.draw(f"fixes {fleet.dataset}", moved)
    return movement.tracks(rng, _driven(city, fleet, moved), fixes=fixes, asleep_s=fleet.asleep_s)


def _stays(city: City, fleet: Fleet, days: Sequence[date]) -> list[tuple[str, list[tuple[float, float, int]]]]:
    """By plate the stays of a vehicle: seconds since 1970 at which they began and ended, and the hub."""
    found: dict[int, list[tuple[float, float, int]]] = defaultdict(list)
    for day in sorted(days):
        midnight = draw.midnight(day)
        for driven in _driven(city, fleet, day - timedelta(1)):
            mine = found[driven.stays[0].vehicle]
            for stay in driven.stays:
                began, ended = midnight + stay.began_s, midnight + stay.ended_s
                if mine and mine[-1][1:] == (began, stay.hub):
                    began = mine.pop()[0]
                mine.append((began, ended, stay.hub))
    plates = fleet.plates(city)
    return [(str(plates[vehicle]), mine) for vehicle, mine in found.items()]


def _table(names: Sequence[str], rows: Sequence[Sequence[object]]) -> pa.Table:
    """The rows as columns; instants, to the second, as `2026-03-01 08:00:00+08:00`."""
    columns = {name: [row[place] for row in rows] for place, name in enumerate(names)}
    return pa.table({name: _said(values) if name.endswith("_at") else values for name, values in columns.items()})


def _said(instants: list[object]) -> pa.Array:
    local = pa.array(np.array(instants, float).round().astype("int64") + 8 * 3_600).cast(pa.timestamp("s"))
    return pc.binary_join_element_wise(local.cast(pa.string()), "+08:00", "")
