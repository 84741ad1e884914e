"""The people, firms, vehicles and places of the sample city: fixed by the seed, the same on every day."""

import zlib
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cache, cached_property

import numpy as np
import shapely

from samples import identity, layers, roads
from samples.layers import WORDS

DAYS = tuple(date(2026, 3, 1) + timedelta(n) for n in range(7))
"""The sample's delivery days, Sunday to Saturday: two weekend days and five working days."""


FIRMS, REFERABLE_FIRMS, HAZMAT_FIRMS = 3_100, 2_800, 240
PEOPLE, REFERABLE_PEOPLE = 6_000, 5_000
CARS, REFERABLE_CARS, TANKERS, MUCK_TRUCKS = 8_000, 7_000, 900, 400
REFERABLE_TANKERS = TANKERS - 60
CARRIERS = np.arange(HAZMAT_FIRMS)[np.arange(HAZMAT_FIRMS) % 4 == 1]
"""Firms in the dangerous goods trade, by their place in `City.firms`."""
_REGIONS_OF_BIRTH = np.array(["320602", "320611", "320621", "320623", "320681", "320682", "320684"])
_SAFE_INSET_DEG = 0.03
_IN_STREETS = 4.0
"""How many times as many places lie along a town's streets as along a country road."""
STATIONS, TRUCK_STOPS = slice(HAZMAT_FIRMS, HAZMAT_FIRMS + 24), slice(HAZMAT_FIRMS + 24, HAZMAT_FIRMS + 40)
"""The firms that are filling stations and truck stops, by their place in `City.firms`."""


@dataclass(frozen=True)
class Firms:
    """One element per firm. Firms from `REFERABLE_FIRMS` on are never named by another department's rows."""

    uscc: np.ndarray
    name: np.ndarray
    trade: np.ndarray
    industry: np.ndarray
    status: np.ndarray
    person: np.ndarray
    phone: np.ndarray
    place: np.ndarray


@dataclass(frozen=True)
class People:
    """One element per resident. People from `REFERABLE_PEOPLE` on are never named by another department's rows."""

    id: np.ndarray
    name: np.ndarray
    phone: np.ndarray
    place: np.ndarray


@dataclass(frozen=True)
class Places:
    """One element per address, WGS-84, beside a road, at least 0.03 degrees inside the city."""

    address: np.ndarray
    street: np.ndarray
    community: np.ndarray
    division: np.ndarray
    postcode: np.ndarray
    lon: np.ndarray
    lat: np.ndarray


@dataclass(frozen=True, eq=False)
class City:
    """Everything that lasts. Whatever happens on a day is drawn with `draw(dataset, day)`."""

    seed: int
    places: Places
    firms: Firms
    people: People
    cars: np.ndarray
    tankers: np.ndarray
    muck_trucks: np.ndarray

    @cached_property
    def tanker_owners(self) -> np.ndarray:
        """The carrier of each tanker, by its place in `firms`."""
        return CARRIERS[np.arange(len(self.tankers)) % len(CARRIERS)]

    @cached_property
    def construction_sites(self) -> np.ndarray:
        """The places where something is being built."""
        return self.always("construction_sites").permutation(len(self.places.lon))[:450]

    def draw(self, subject: str, day: date) -> np.random.Generator:
        """The random numbers of one subject on one day, independent of every other."""
        return np.random.default_rng([self.seed, zlib.crc32(subject.encode()), day.toordinal()])

    def always(self, subject: str) -> np.random.Generator:
        """The random numbers of what doesn't change from day to day."""
        return self.draw(subject, date.min)


@cache
def build(seed: int = 7) -> City:
    """The city of a seed."""
    rng = np.random.default_rng([seed, 0])
    places = _places(rng, 6_000)
    people = _people(rng, places)
    cars = identity.plates(rng, CARS + TANKERS + MUCK_TRUCKS, electric=0.15)
    tankers, trucks = CARS + TANKERS, CARS + TANKERS + MUCK_TRUCKS
    firms = _firms(rng, places, people)
    return City(seed, places, firms, people, cars[:CARS], cars[CARS:tankers], cars[tankers:trucks])


def _places(rng: np.random.Generator, n: int) -> Places:
    """Places by district in proportion to a made-up population, beside its roads; every community lies anywhere."""
    safe = layers.city().buffer(-_SAFE_INSET_DEG)
    shapes = {code: shape.intersection(safe).buffer(-0.001) for code, shape in layers.districts().items()}
    codes = np.array(sorted(shapes))
    division = rng.choice(codes, n, p=[0.13, 0.30, 0.13, 0.10, 0.06, 0.10, 0.10, 0.08])
    lon, lat = np.empty(n), np.empty(n)
    net = roads.read(layers.FOLDER / "roads.geojson")
    lines = np.array([shapely.LineString(road.line) for road in net])
    streets = np.array([road.highway in ("residential", "secondary") for road in net])
    weight = np.where(streets, _IN_STREETS, 1.0) * shapely.length(lines)
    for code in codes:
        mine, here = division == code, shapely.contains(shapes[code], lines)
        lon[mine], lat[mine] = _beside(rng, int(mine.sum()), lines[here], weight[here])
    names = {code: name for code, (name, _) in layers.NAMES.items()}
    street, community = rng.choice(WORDS["streets"], n), rng.choice(WORDS["communities"], n)
    number = rng.permutation(n) + 1
    address = [f"江苏省南通市{names[d]}{s}{k}号" for d, s, k in zip(division, street, number, strict=True)]
    postcode = np.array([f"226{int(d) % 100:02d}{k % 10}" for d, k in zip(division, number, strict=True)])
    return Places(np.array(address), street, np.char.add(community, "社区"), division, postcode, lon, lat)


def _beside(rng: np.random.Generator, n: int, lines: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """`n` longitudes and latitudes with 6 decimals, 10 to 25 m beside roads, more where these weigh more."""
    chosen = lines[rng.choice(len(lines), n, p=weight / weight.sum())]
    along = rng.uniform(0.05, 0.95, n)
    here, ahead = (
        shapely.get_coordinates(shapely.line_interpolate_point(chosen, along + step, normalized=True)) * (roads.EAST, 1)
        for step in (0.0, 0.001)
    )
    away = rng.uniform(10, 25, n) * rng.choice([-1, 1], n) / roads.METRES
    direction = (ahead - here) / np.hypot(*(ahead - here).T)[:, None]
    spot = (here + np.stack([-direction[:, 1], direction[:, 0]], axis=1) * away[:, None]) / (roads.EAST, 1)
    return spot[:, 0].round(6), spot[:, 1].round(6)


def _people(rng: np.random.Generator, places: Places) -> People:
    names = np.char.add(rng.choice(WORDS["surnames"], PEOPLE), rng.choice(WORDS["given"], PEOPLE))
    ids = identity.resident_ids(rng, PEOPLE, _REGIONS_OF_BIRTH)
    return People(ids, names, identity.phones(rng, PEOPLE), rng.integers(0, len(places.lon), PEOPLE))


def _firms(rng: np.random.Generator, places: Places, people: People) -> Firms:
    place = rng.permutation(len(places.lon))[:FIRMS]
    trade = rng.integers(4, len(WORDS["trades"]) - 2, FIRMS)
    trade[:HAZMAT_FIRMS] = np.arange(HAZMAT_FIRMS) % 4
    trade[STATIONS], trade[TRUCK_STOPS] = len(WORDS["trades"]) - 2, len(WORDS["trades"]) - 1
    words, tails = np.meshgrid(WORDS["firm_words"], WORDS["firm_tails"])
    stems = np.resize(np.char.add(words, tails).ravel(), FIRMS)
    ordinals = np.where(np.arange(FIRMS) < words.size, "", [f"第{n}" for n in np.arange(FIRMS) // words.size])
    names = [
        f"南通{stem}{ordinal}{WORDS['trades'][t]['zh']}有限公司"
        for stem, ordinal, t in zip(stems, ordinals, trade, strict=True)
    ]
    status = rng.choice(["存续", "注销", "吊销", "停业"], FIRMS, p=[0.9, 0.05, 0.02, 0.03])
    status[STATIONS] = status[TRUCK_STOPS] = "存续"
    status[:HAZMAT_FIRMS] = np.where(np.arange(HAZMAT_FIRMS) % 20 == 19, "停业", "存续")
    return Firms(
        uscc=identity.usccs(rng, places.division[place]),
        name=np.array(names),
        trade=np.array([t["zh"] for t in WORDS["trades"]])[trade],
        industry=np.array([t["industry"] for t in WORDS["trades"]])[trade],
        status=status,
        person=rng.integers(0, REFERABLE_PEOPLE, FIRMS),
        phone=identity.phones(rng, FIRMS),
        place=place,
    )
