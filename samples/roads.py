"""The sample city's roads: streets around eight town centres, country roads between them, and trunk roads from town to town.

Junctions are scattered, denser in the towns; neighbours are joined as in a Gabriel graph (Gabriel & Sokal 1969), whose lines
never cross. A river cuts the net in two but for a few bridges. `python -m samples.layers` writes the layer.
"""

import heapq
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import shapely

EAST = 0.85
"""Metres along a degree of longitude against one of latitude, at the city's 32° N."""
METRES = 111_200.0
"""Metres along a degree of latitude."""

_TOWNS = {
    "320613": (120.88, 32.02, 15), "320614": (121.17, 31.92, 11), "320612": (121.06, 32.09, 11),
    "320681": (121.62, 31.95, 11), "320623": (121.18, 32.36, 11), "320682": (120.56, 32.30, 11),
    "320685": (120.47, 32.50, 11), "320671": (120.80, 31.93, 7),
}  # fmt: skip
"""Longitude, latitude and streets each way of the town of each district."""
_BLOCK, _FIELD = 0.0042, 0.04
"""Degrees of longitude between junctions in a town and in the country."""
_ROUGH_TOWN, _ROUGH_FIELD = 0.14, 0.3
_TRUNKS = ("613-614", "613-612", "613-682", "614-681", "612-623", "682-685", "613-671", "623-685", "681-623")
RIVER = np.array([(120.0, 32.17), (120.6, 32.14), (121.0, 32.20), (121.4, 32.08), (121.7, 32.12), (122.0, 32.05)])
BRIDGES = 9
_BENDS = {"trunk": 2, "secondary": 0, "tertiary": 1, "residential": 0, "unclassified": 1}
_LETTERS = {"trunk": "G", "secondary": "S", "tertiary": "X", "residential": "里弄", "unclassified": "Y"}
"""How roads without a name are numbered: national, provincial, county and village roads."""
_SPEEDS = {"trunk": 80, "secondary": 60, "tertiary": 60, "residential": 40, "unclassified": None}


@dataclass(frozen=True)
class Road:
    """One line of the layer. `speed_kmh` is null where no limit is known; `oneway` in the direction of the line."""

    id: str
    highway: str
    oneway: bool
    speed_kmh: int | None
    name: str
    line: np.ndarray

    @property
    def metres(self) -> float:
        steps = np.diff(self.line, axis=0) * (EAST, 1)
        return float(np.hypot(*steps.T).sum() * METRES)


@cache
def read(path: Path) -> tuple[Road, ...]:
    """The roads of a layer, in the file's order."""
    return tuple(
        Road(
            p["id"],
            p["highway"],
            p["oneway"],
            p["maxspeed_kmh"],
            p["name"],
            np.array(feature["geometry"]["coordinates"]),
        )
        for feature in json.loads(path.read_text("utf-8"))["features"]
        for p in [feature["properties"]]
    )


@dataclass(frozen=True)
class _Junctions:
    """Where roads meet: points (n, 2) in degrees, the town of each (-1 in the country), its row and column there."""

    points: np.ndarray
    town: np.ndarray
    row: np.ndarray
    column: np.ndarray


def features(city: shapely.Geometry, streets: list[str], seed: int = 7) -> Iterator[dict[str, Any]]:
    """The roads within a city, at least a kilometre inside its border. `streets` are names to give to those in towns."""
    rng = np.random.default_rng([seed, 1])
    junctions = _junctions(rng, city.buffer(-0.012))
    ends = _joined(junctions.points, _dry(junctions.points, _neighbours(junctions.points)))
    trunk = _trunks(junctions.points, ends)
    kinds = [
        _highway(junctions, a, b, number) if number not in trunk else "trunk" for number, (a, b) in enumerate(ends)
    ]
    oneway = _one_ways(junctions, ends, kinds)
    for number, (a, b) in enumerate(ends):
        highway, name = kinds[number], _name(junctions, a, b, kinds[number], number, streets)
        line = _bent(rng, junctions.points[[a, b]], _BENDS[highway])
        properties = {"id": f"r{number + 1:04d}", "highway": highway, "oneway": number in oneway}
        properties |= {"maxspeed_kmh": _SPEEDS[highway], "name": name}
        yield {
            "type": "Feature",
            "properties": properties,
            "geometry": {"type": "LineString", "coordinates": line.tolist()},
        }


def shortest(start: int, arcs: list[list[tuple[int, float]]], most: float = np.inf) -> tuple[list[float], list[int]]:
    """Dijkstra: the cost from a junction to every other (infinite where no way leads) and each one's junction before.

    Nothing further than `most` is looked for.
    """
    cost, before = [np.inf] * len(arcs), [-1] * len(arcs)
    cost[start] = 0.0
    queue = [(0.0, start)]
    while queue:
        so_far, here = heapq.heappop(queue)
        if so_far > cost[here]:
            continue
        for there, more in arcs[here]:
            if (total := so_far + more) < cost[there] and total <= most:
                cost[there], before[there] = total, here
                heapq.heappush(queue, (total, there))
    return cost, before


def _junctions(rng: np.random.Generator, shape: shapely.Geometry) -> _Junctions:
    """Crossings of every town, and of the country around them."""
    points, town, row, column = [], [], [], []
    for number, (lon, lat, streets) in enumerate(_TOWNS.values()):
        j, i = np.divmod(np.arange(streets * streets), streets)
        where = np.stack([lon + (i - streets // 2) * _BLOCK, lat + (j - streets // 2) * _BLOCK * EAST], axis=1)
        points.append(where + rng.uniform(-_ROUGH_TOWN, _ROUGH_TOWN, where.shape) * _BLOCK)
        town.append(np.full(len(where), number))
        row.append(j)
        column.append(i)
    towns = shapely.union_all([shapely.box(*p.min(axis=0), *p.max(axis=0)).buffer(0.5 * _FIELD) for p in points])
    west, south, east, north = shape.bounds
    x, y = np.meshgrid(np.arange(west, east, _FIELD), np.arange(south, north, _FIELD * EAST))
    fields = np.stack([x.ravel(), y.ravel()], axis=1)
    fields += rng.uniform(-_ROUGH_FIELD, _ROUGH_FIELD, fields.shape) * _FIELD
    fields = fields[shapely.contains_xy(shape.difference(towns), fields)]
    nowhere = np.full(len(fields), -1)
    every = (
        np.concatenate([*found, more])
        for found, more in ((points, fields), (town, nowhere), (row, nowhere), (column, nowhere))
    )
    where, *rest = every
    inside = shapely.contains_xy(shape, where)
    return _Junctions(where[inside].round(5), *(values[inside] for values in rest))


def _neighbours(points: np.ndarray) -> np.ndarray:
    """Pairs between which no other point lies: inside the circle around their middle there is none."""
    flat = points * (EAST, 1)
    lines = shapely.delaunay_triangles(shapely.multipoints(flat), only_edges=True)
    ends = shapely.get_coordinates(shapely.get_parts(lines)).reshape(-1, 2, 2)
    index = {tuple(point): number for number, point in enumerate(flat.round(9).tolist())}
    pairs = np.array([[index[tuple(end)] for end in pair] for pair in ends.round(9).tolist()])
    radius = np.hypot(*(ends[:, 1] - ends[:, 0]).T) / 2
    tree = shapely.STRtree(shapely.points(flat))
    number, _ = tree.query(shapely.points(ends.mean(axis=1)), predicate="dwithin", distance=radius * 0.9999)
    return np.sort(np.delete(pairs, np.unique(number), axis=0), axis=1)


def _dry(points: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """The pairs that don't cross the river, and evenly spread bridges among those that do."""
    over = shapely.intersects(shapely.linestrings(points[pairs]), shapely.linestrings(RIVER))
    crossing = pairs[over][np.argsort(points[pairs[over], 0].mean(axis=1))]
    bridges = crossing[np.linspace(0, len(crossing) - 1, BRIDGES).astype(int)]
    kept = np.concatenate([pairs[~over], bridges])
    return kept[np.lexsort(kept.T)]


def _arcs(n: int, arcs: Iterable[tuple[int, int, float]]) -> list[list[tuple[int, float]]]:
    found: list[list[tuple[int, float]]] = [[] for _ in range(n)]
    for start, end, cost in arcs:
        found[start].append((end, cost))
    return found


def _both_ways(points: np.ndarray, pairs: np.ndarray) -> list[list[tuple[int, float]]]:
    lengths = np.hypot(*((points[pairs[:, 1]] - points[pairs[:, 0]]) * (EAST, 1)).T)
    ways = zip(pairs.tolist(), lengths.tolist(), strict=True)
    return _arcs(len(points), [arc for (a, b), length in ways for arc in ((a, b, length), (b, a, length))])


def _joined(points: np.ndarray, pairs: np.ndarray) -> list[tuple[int, int]]:
    """The pairs that can be reached from the first town."""
    cost, _ = shortest(0, _both_ways(points, pairs))
    return [(a, b) for a, b in pairs.tolist() if np.isfinite(cost[a])]


def _trunks(points: np.ndarray, ends: list[tuple[int, int]]) -> set[int]:
    """The numbers of the roads on the shortest ways between neighbouring towns."""
    centres = {
        code: int(np.hypot(*((points - (lon, lat)) * (EAST, 1)).T).argmin()) for code, (lon, lat, _) in _TOWNS.items()
    }
    number = {pair: k for k, (a, b) in enumerate(ends) for pair in ((a, b), (b, a))}
    arcs = _both_ways(points, np.array(ends))
    found = set()
    for one, other in (pair.split("-") for pair in _TRUNKS):
        _, before = shortest(centres[f"320{one}"], arcs)
        here = centres[f"320{other}"]
        while before[here] >= 0:
            found.add(number[before[here], here])
            here = before[here]
    return found


def _street(junctions: _Junctions, a: int, b: int) -> tuple[str, int] | None:
    """The street of a town that a road is a piece of, `("row", 3)`; None outside towns and askew in them."""
    if junctions.town[a] < 0 or junctions.town[a] != junctions.town[b]:
        return None
    for name in ("row", "column"):
        numbers = getattr(junctions, name)
        if numbers[a] == numbers[b]:
            return name, int(numbers[a])
    return None


def _highway(junctions: _Junctions, a: int, b: int, number: int) -> str:
    """Every fourth street of a town is a main street, a third of the country roads is small."""
    if street := _street(junctions, a, b):
        return "secondary" if street[1] % 4 == 1 else "residential"
    if junctions.town[a] >= 0 and junctions.town[a] == junctions.town[b]:
        return "residential"
    return "unclassified" if number % 3 == 0 else "tertiary"


def _name(junctions: _Junctions, a: int, b: int, highway: str, number: int, streets: list[str]) -> str:
    if street := _street(junctions, a, b):
        kind, place = street
        return streets[int(junctions.town[a] * 31 + place * 2 + (kind == "row")) % len(streets)]
    return f"{_LETTERS[highway]}{100 + number % 900}"


def _one_ways(junctions: _Junctions, ends: list[tuple[int, int]], kinds: list[str]) -> set[int]:
    """Every fourth row of a town is a one-way street, west to east and back in turns, unless it would be a trap.

    Turns the ends of those that lead west.
    """
    found = set()
    for number, (a, b) in enumerate(ends):
        street = _street(junctions, a, b)
        if kinds[number] == "residential" and street and street[0] == "row" and street[1] % 4 == 3:
            westward = junctions.points[a, 0] > junctions.points[b, 0]
            ends[number] = (b, a) if westward == (street[1] % 8 == 3) else (a, b)
            found.add(number)
    while traps := _traps(len(junctions.points), ends, found):
        found -= traps
    return found


def _traps(n: int, ends: list[tuple[int, int]], oneway: set[int]) -> set[int]:
    """One-way roads at a junction that can't be reached, or left, by all the others."""
    forth = [(a, b, 1.0) for a, b in ends] + [(b, a, 1.0) for k, (a, b) in enumerate(ends) if k not in oneway]
    reached, _ = shortest(ends[0][0], _arcs(n, forth))
    left, _ = shortest(ends[0][0], _arcs(n, [(b, a, cost) for a, b, cost in forth]))
    return {k for k in oneway if not all(np.isfinite(cost[end]) for cost in (reached, left) for end in ends[k])}


def _bent(rng: np.random.Generator, line: np.ndarray, bends: int) -> np.ndarray:
    """The line with its middle moved sideways, `bends` times over."""
    for _ in range(bends):
        pieces = np.diff(line, axis=0)
        middles = (
            line[:-1]
            + pieces / 2
            + np.stack([-pieces[:, 1], pieces[:, 0]], axis=1) * rng.uniform(-0.03, 0.03, (len(pieces), 1))
        )
        line = np.insert(line, np.arange(1, len(line)), middles, axis=0)
    return line.round(5)
