"""Who drives where: the tankers and muck trucks of the sample city, their regular stops, and a few that aren't regular.

A day here is the day on which vehicles move, the one before it is delivered. Where a vehicle sleeps depends on the vehicle and
the day alone, so that every day can be made without the days before it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from functools import cache, cached_property

import numpy as np

from samples import layers, roads
from samples.city import HAZMAT_FIRMS, REFERABLE_TANKERS, STATIONS, TRUCK_STOPS, City
from samples.routes import Routes

TANKERS, TRUCKS = REFERABLE_TANKERS + 40, 400
"""Vehicles that deliver positions."""

YARDS, DUMPS = slice(HAZMAT_FIRMS + 40, HAZMAT_FIRMS + 52), slice(HAZMAT_FIRMS + 52, HAZMAT_FIRMS + 60)
"""The firms that keep muck trucks, and those that take what they bring, by their place in `City.firms`."""
_SITES = 40
_NEAR = 6
"""Among how many of the nearest places a vehicle's regular ones are chosen."""

_NEXT_DOOR_M = 300

_CREW, _REVISITORS = 6, 4
"""Tankers that go to the workshop nobody registered, and to the plant that was closed."""
_WORKSHOP_NEAR = (121.0, 32.0)
_WORKSHOP_AWAY_M = 700
"""How far the workshop lies from every address: nobody registered anything near it."""

_MINUTES = {
    "plant": (30, 80), "storage": (30, 80), "depot": (20, 40), "filling_station": (8, 16), "truck_stop": (25, 55),
    "workshop": (40, 90), "closed_plant": (35, 60), "construction_site": (14, 28), "dump": (12, 24),
}  # fmt: skip
"""How long vehicles stay, by the kind of place."""


@dataclass(frozen=True)
class Hubs:
    """Where vehicles stop: what it is called in the registers (a credit code, a site's number), its kind, WGS-84 degrees."""

    name: np.ndarray
    kind: np.ndarray
    at: np.ndarray

    @cached_property
    def routes(self) -> Routes:
        return Routes(roads.read(layers.FOLDER / "roads.geojson"), self.at)

    def of(self, *kinds: str) -> np.ndarray:
        """The numbers of the hubs of some kinds."""
        return np.flatnonzero(np.isin(self.kind, kinds))

    def nearest(self, hub: int, among: np.ndarray, n: int) -> np.ndarray:
        """The `n` nearest to a hub, the nearest first, none next door: a stay at each is two stays."""
        away = np.hypot(*((self.at[among] - self.at[hub]) * (roads.EAST, 1)).T) * roads.METRES
        nearest = np.argsort(away, kind="stable")
        return among[nearest[away[nearest] > _NEXT_DOOR_M][:n]]


@dataclass(frozen=True)
class Tour:
    """A vehicle's day: the hubs it stops at, the first and last where it sleeps, and minutes at those in between.

    `starts` is the minute of leaving, `pace` the part of the speed limit it drives at. On the way to stop `astray` it passes the
    hub `via` without stopping, where given.
    """

    stops: tuple[int, ...]
    minutes: tuple[float, ...]
    starts: float
    pace: float
    astray: int = 0
    via: int = -1


@cache
def hubs(city: City) -> Hubs:
    """The hubs of a city: its firms' first, in their order."""
    firms = DUMPS.stop
    place = city.firms.place[:firms]
    kind = np.resize(np.array(["plant", "depot", "storage", "plant"], object), firms)
    kind[:HAZMAT_FIRMS][city.firms.status[:HAZMAT_FIRMS] == "停业"] = "closed_plant"
    for part, what in (
        (STATIONS, "filling_station"), (TRUCK_STOPS, "truck_stop"), (YARDS, "depot"), (DUMPS, "dump"),
    ):  # fmt: skip
        kind[part] = what
    building = city.construction_sites[:_SITES]
    place = np.append(place, building)
    at = np.stack([city.places.lon[place], city.places.lat[place]], axis=1)
    names = [*city.firms.uscc[:firms], *(f"GD{k:06d}" for k in range(1, _SITES + 1)), "workshop"]
    kinds = np.concatenate([kind, np.repeat(np.array(["construction_site"], object), _SITES), ["workshop"]])
    return Hubs(np.array(names), kinds.astype(str), np.concatenate([at, [_workshop(city)]]))


def tanker_tours(city: City, day: date) -> list[Tour]:
    """The day of every tanker: plant, customer, rest, plant, customer, fuel, and back; every tenth stays at home."""
    rng, known = city.draw("habits of tankers", day), hubs(city)
    sleeps_before, sleeps = (tanker_nights(city, d) for d in (day.toordinal() - 1, day.toordinal()))
    odd = oddities(city)
    tours = []
    for v, habit in enumerate(_tanker_habits(city)):
        plant, first, second, third, station, rest = habit
        customers = (first, second) if rng.random() < 0.6 else (second, third)
        stops = [plant, customers[0], rest, plant, customers[1], station][: 5 + (v + day.day) % 2]
        if v in odd.crew and (v + day.day) % 3:
            stops.insert(4, odd.workshop)
        if v in odd.revisitors and (v + day.day) % 2:
            stops.append(odd.closed_plant)
        if sleeps_before[v] == sleeps[v] and (v + day.toordinal()) % 10 == 0 and v not in odd.crew:
            stops = []
        via = odd.via if (v, day.day) in odd.astray and stops else -1
        stays = [sleeps_before[v], *stops, sleeps[v]]
        tours.append(_tour(rng, known, stays, rng.uniform(5.2 * 60, 8.2 * 60), astray=2, via=via))
    return tours


def truck_tours(city: City, day: date) -> list[Tour]:
    """The day of every muck truck: from its yard to a building site, and to and fro between it and a dump."""
    rng, known = city.draw("habits of trucks", day), hubs(city)
    tours = []
    for yard, site, dump in _truck_habits(city):
        stops = [yard, *[site, dump] * int(rng.integers(2, 5)), yard]
        tours.append(_tour(rng, known, stops, rng.uniform(5 * 60, 7 * 60)))
    return tours


def tanker_nights(city: City, ordinal: int) -> list[int]:
    """Where each tanker sleeps in the night after a day: at its depot; some, every third night, at a truck stop."""
    away = [v % 8 == 5 and (v + ordinal) % 3 == 0 for v in range(TANKERS)]
    depot = city.tanker_owners
    habits = _tanker_habits(city)
    return [habits[v][5] if away[v] else int(depot[v]) for v in range(TANKERS)]


def _tour(
    rng: np.random.Generator, known: Hubs, stops: Sequence[int], starts: float, astray: int = 0, via: int = -1
) -> Tour:
    minutes = [float(rng.uniform(*_MINUTES[known.kind[stop]])) for stop in stops[1:-1]]
    return Tour(tuple(stops), tuple(minutes), starts, float(rng.uniform(0.65, 0.9)), astray, via)


@cache
def _tanker_habits(city: City) -> list[tuple[int, ...]]:
    """Plant, three customers, filling station and truck stop of every tanker."""
    rng, known = city.always("habits of tankers"), hubs(city)
    plants, customers = known.of("storage", "plant"), known.of("plant")
    found = []
    for v in range(TANKERS):
        depot = int(city.tanker_owners[v])
        plant = int(rng.choice(known.nearest(depot, plants, _NEAR)))
        goals = rng.choice(known.nearest(plant, customers, 2 * _NEAR), 3, replace=False)
        station = known.nearest(depot, known.of("filling_station"), 1)[0]
        rest = known.nearest(plant, known.of("truck_stop"), 1)[0]
        found.append((plant, *map(int, goals), int(station), int(rest)))
    return found


@cache
def _truck_habits(city: City) -> list[tuple[int, int, int]]:
    """Yard, building site and dump of every muck truck."""
    rng, known = city.always("habits of trucks"), hubs(city)
    sites, dumps = known.of("construction_site"), known.of("dump")
    yards = np.arange(YARDS.start, YARDS.stop)
    found = []
    for v in range(TRUCKS):
        yard = int(yards[v % len(yards)])
        site = int(rng.choice(known.nearest(yard, sites, 5)))
        found.append((yard, site, int(known.nearest(site, dumps, 1)[0])))
    return found


@dataclass(frozen=True)
class Oddities:
    """What isn't regular: who goes to the workshop and the closed plant, and who goes astray on which day of the month."""

    workshop: int
    crew: frozenset[int]
    closed_plant: int
    revisitors: frozenset[int]
    astray: frozenset[tuple[int, int]]
    via: int


@cache
def oddities(city: City) -> Oddities:
    """What isn't regular in a city: near each other, and far from every address in the workshop's case."""
    known, habits = hubs(city), _tanker_habits(city)
    workshop = int(known.of("workshop")[0])
    closed = int(known.nearest(workshop, known.of("closed_plant"), 1)[0])
    crew, revisitors = (_nearest_fleet(city, goal, n) for goal, n in ((workshop, _CREW), (closed, _REVISITORS)))
    wanderers = [v for v in range(TANKERS) if v not in crew | revisitors and habits[v][4] != habits[0][4]][:3]
    via = int(known.nearest(workshop, known.of("truck_stop"), 5)[-1])
    return Oddities(workshop, crew, closed, revisitors, frozenset(zip(wanderers, (1, 2, 4), strict=True)), via)


def _nearest_fleet(city: City, goal: int, n: int) -> frozenset[int]:
    """Tankers of `n` firms whose regular plant is nearest to a hub."""
    known, habits = hubs(city), _tanker_habits(city)
    away = [float(np.hypot(*((known.at[habit[0]] - known.at[goal]) * (roads.EAST, 1)))) for habit in habits]
    found: dict[int, int] = {}
    for v in sorted(range(TANKERS), key=away.__getitem__):
        found.setdefault(int(city.tanker_owners[v]), v)
    return frozenset(list(found.values())[:n])


def _workshop(city: City) -> np.ndarray:
    """A spot beside a country road, far from every address."""
    addresses = np.stack([city.places.lon, city.places.lat], axis=1) * (roads.EAST, 1)
    best = np.zeros(2)
    near = np.inf
    for road in roads.read(layers.FOLDER / "roads.geojson"):
        middle = road.line[len(road.line) // 2]
        away = np.hypot(*((middle - _WORKSHOP_NEAR) * (roads.EAST, 1)))
        if road.highway == "unclassified" and away < near:
            gap = np.hypot(*(addresses - middle * (roads.EAST, 1)).T).min() * roads.METRES
            if gap > _WORKSHOP_AWAY_M:
                best, near = middle, away
    return (best + 0.00012).round(6)
