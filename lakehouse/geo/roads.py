"""The city's roads: read from their layer, joined into a graph, and asked for the road a fix was on."""

import ast
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lakehouse.errors import ContractError
from lakehouse.geo.cells import cells
from lakehouse.geo.kernels import Floats, FloatsIn, Indexes, Ints
from lakehouse.geo.layer import read_features
from lakehouse.geo.lines import GPS_ERROR_M, HEADING_ERROR_DEG, NOTHING, SEARCH_M, Pieces, lengths

SPEEDS_KMH = {
    "motorway": 90, "motorway_link": 45, "trunk": 85, "trunk_link": 40, "primary": 65, "primary_link": 30,
    "secondary": 55, "secondary_link": 25, "tertiary": 40, "tertiary_link": 20, "unclassified": 25, "residential": 25,
    "living_street": 10, "service": 15,
}  # fmt: skip
"""How fast roads of an OpenStreetMap class are driven where no limit is known: the car profile of OSRM (profiles/car.lua)."""

AT_THE_LIMIT = 0.8
"""The share of a known limit that is driven on the whole: `speed_reduction` of the same profile."""

NOT_DRIVEN = frozenset({
    "bridleway", "bus_guideway", "busway", "construction", "corridor", "crossing", "cycleway", "elevator", "footway",
    "path", "pedestrian", "platform", "proposed", "raceway", "rest_area", "services", "steps", "track",
})  # fmt: skip
"""Classes of OpenStreetMap that lorries don't use, or not yet."""

_LONGEST_PIECE_M = 50_000.0  # a straight piece beyond it is a wrong position, not a road
_FASTEST_KMH = 200.0
_NODES_PER_DEGREE = 1e7  # end points that agree in OpenStreetMap's last digit (1 cm) are one node
_TOLD = 5
_HINT = (
    "roads are a FeatureCollection of LineString features (WGS-84, longitude first) with the properties "
    "id, highway, oneway (true or false), maxspeed_kmh (a number or null) and name"
)


@dataclass(frozen=True)
class Road:
    """One road from junction to junction: its line (n, 2) of longitudes and latitudes, and the limit, None if unknown."""

    id: str
    highway: str
    oneway: bool
    maxspeed_kmh: float | None
    name: str
    line: NDArray[np.float64]


@dataclass(frozen=True)
class OnRoad:
    """Per fix: the `road`, the `distance_m` to it, the nearest point `lon`, `lat`, and `along_m` to there from its first point.

    `NOTHING`, infinity and NaN where no road lies within the radius, and for NaN.
    """

    road: Indexes
    distance_m: Floats
    lon: Floats
    lat: Floats
    along_m: Floats


class Roads:
    """Roads that can be driven, and the graph they make: nodes are end points, arcs the ways along a road.

    The arcs from node `n` are `starts[n]:starts[n + 1]` of `targets`, `seconds`, `arc_road` and `arc_ahead` (1 along the
    road's line, 0 against it). `left_out` says how many roads of the layer aren't among them, or were mended, and why.
    """

    def __init__(self, roads: Iterable[Road]) -> None:
        self.left_out: Counter[str] = Counter()
        self.roads = tuple(self._drivable(roads))
        self.pieces = Pieces([road.line for road in self.roads])
        self.oneway = np.array([road.oneway for road in self.roads], bool)
        self.kmh = np.array([self._kmh(road) for road in self.roads], np.float64)
        ends = np.array([road.line[[0, -1]] for road in self.roads]).reshape(-1, 2)
        marks = np.round(ends * _NODES_PER_DEGREE).astype(np.int64)
        nodes, node = np.unique(marks, axis=0, return_inverse=True)
        lon, lat = np.ascontiguousarray((nodes / _NODES_PER_DEGREE).T)
        by_place = np.lexsort((lon, lat, cells(lon, lat)))  # a search then stays within few pages of memory
        self.lon, self.lat = lon[by_place], lat[by_place]
        self.ends: Indexes = np.argsort(by_place)[node].reshape(-1, 2).astype(np.int32)
        self._join()

    @classmethod
    def load(cls, path: Path) -> "Roads":
        """The roads of a GeoJSON file. Raises ContractError when it is not such a layer."""
        return cls(read_roads(path))

    def locate(
        self,
        lon: FloatsIn,
        lat: FloatsIn,
        heading: FloatsIn | None = None,
        *,
        radius_m: float = SEARCH_M,
        error_m: float = GPS_ERROR_M,
        heading_error_deg: float = HEADING_ERROR_DEG,
    ) -> OnRoad:
        """The road each fix was on, by distance and, where a heading is given (degrees, clockwise from north; NaN: none),
        by direction; see `Pieces.nearest`. A heading below walking pace tells nothing: give NaN."""
        errors = {"error_m": error_m, "heading_error_deg": heading_error_deg}
        found = self.pieces.nearest(lon, lat, radius_m=radius_m, heading=heading, both_ways=~self.oneway, **errors)
        there = found.piece != NOTHING
        piece = found.piece[there]
        road, along = np.full(len(lon), NOTHING, np.int32), np.full(len(lon), math.nan)
        road[there] = self.pieces.line[piece]
        along[there] = self.pieces.from_m[piece] + found.fraction[there] * self.pieces.length_m[piece]
        return OnRoad(road, found.distance_m, *self.pieces.at(found), along)

    def _drivable(self, roads: Iterable[Road]) -> Iterable[Road]:
        seen: set[bytes] = set()
        for road in roads:
            if reason := _unfit(road):
                self.left_out[reason] += 1
                continue
            ahead, back = road.line.tobytes(), road.line[::-1].tobytes()
            if ahead in seen or (back in seen and not road.oneway):
                self.left_out["stands there twice"] += 1
                continue
            seen |= {ahead} if road.oneway else {ahead, back}
            yield road

    def _kmh(self, road: Road) -> float:
        limit = road.maxspeed_kmh
        if limit is None:
            return float(SPEEDS_KMH[road.highway])
        if not 0 < limit <= _FASTEST_KMH:
            self.left_out["its limit is no speed: that of its class is taken"] += 1
            return float(SPEEDS_KMH[road.highway])
        return limit * AT_THE_LIMIT

    def _join(self) -> None:
        """Make the arcs, by the node they leave."""
        both = np.flatnonzero(~self.oneway)
        road = np.concatenate([np.arange(len(self.roads)), both])
        ahead = np.arange(len(road)) < len(self.roads)
        first, last = self.ends[road, 0], self.ends[road, 1]
        source, target = np.where(ahead, first, last), np.where(ahead, last, first)
        order = np.argsort(source, kind="stable")
        self.starts: Ints = np.searchsorted(source[order], np.arange(len(self.lon) + 1)).astype(np.int64)
        self.targets: Indexes = target[order].astype(np.int32)
        self.arc_road: Indexes = road[order].astype(np.int32)
        self.arc_ahead = ahead[order]
        self.seconds = (self.pieces.line_m / (self.kmh / 3.6))[self.arc_road]


def read_roads(path: Path) -> list[Road]:
    """Every road of a layer, in the file's order. Raises ContractError with the first features that are not as they should be."""
    mistakes: list[str] = []
    roads = []
    for number, feature in enumerate(read_features(path, _HINT), 1):
        try:
            roads.append(_road(feature))
        except (KeyError, TypeError, ValueError) as error:
            said = f"{error} is missing" if isinstance(error, KeyError) else str(error)
            mistakes.append(f"feature {number}: {said}")
    if mistakes:
        more = [f"and {len(mistakes) - _TOLD} more"] if len(mistakes) > _TOLD else []
        raise ContractError("; ".join(mistakes[:_TOLD] + more), where=str(path), hint=_HINT)
    return roads


def _road(feature: Mapping[str, Any]) -> Road:
    properties, geometry = feature["properties"], feature["geometry"]
    if not isinstance(geometry, dict) or geometry["type"] != "LineString":
        raise ValueError("is no LineString")
    oneway, limit = properties["oneway"], properties["maxspeed_kmh"]
    if not isinstance(oneway, bool):
        raise ValueError("'oneway' must be true or false")
    if limit is not None and (isinstance(limit, bool) or not isinstance(limit, int | float)):
        raise ValueError("'maxspeed_kmh' must be a number or null")
    line = _line(geometry["coordinates"])
    return Road(str(properties["id"]), _class(properties["highway"]), oneway, limit, properties["name"] or "", line)


def _class(highway: Any) -> str:
    """The class of a road; of a list, also one written as text as OSMnx exports it, the first."""
    if isinstance(highway, str) and highway.startswith("["):
        highway = ast.literal_eval(highway)
    first = highway[0] if isinstance(highway, list) and highway else highway
    if not isinstance(first, str):
        raise ValueError("'highway' must be a class of road")
    return first


def _line(positions: Sequence[Sequence[float]]) -> NDArray[np.float64]:
    line = np.array([position[:2] for position in positions], np.float64).reshape(-1, 2)
    wrong = ~((np.abs(line[:, 0]) <= 180) & (np.abs(line[:, 1]) <= 90))
    if wrong.any():
        lon, lat = line[np.argmax(wrong)]
        raise ValueError(f"position {lon:g}, {lat:g} is not on the globe")
    return line


def _unfit(road: Road) -> str | None:
    """Why a road can't be part of the graph."""
    if road.highway not in SPEEDS_KMH:
        return "is not driven" if road.highway in NOT_DRIVEN else f"is of the unknown class '{road.highway}'"
    if (road.line == 0).all(axis=1).any():
        return "passes 0,0"
    pieces = lengths(np.hstack([road.line[:-1], road.line[1:]])) if len(road.line) > 1 else np.zeros(1)
    if pieces.sum() == 0:
        return "has no length"
    return "has a straight piece of more than 50 km" if pieces.max() > _LONGEST_PIECE_M else None
