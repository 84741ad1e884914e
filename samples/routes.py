"""Ways between places over the roads of the sample city, one-way streets kept."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
import shapely

from samples.roads import EAST, METRES, Road, shortest

_UNKNOWN_KMH, _YARD_KMH = 45, 15
_FAR_S = 1_000.0
"""How far the ways from a place are looked for at first: most lie within."""


@dataclass(frozen=True)
class Route:
    """The positions a way leads over, and the seconds to each from the one before, at the speed limit; to the first, 0."""

    line: np.ndarray
    seconds: np.ndarray

    @cached_property
    def lasts_s(self) -> float:
        """The seconds from beginning to end."""
        return float(self.seconds.sum())

    def then(self, *others: "Route") -> "Route":
        """This way and others, each from the end of the one before."""
        ways = (self, *others)
        return Route(np.concatenate([way.line for way in ways]), np.concatenate([way.seconds for way in ways]))

    def back(self) -> "Route":
        """The same way in the other direction."""
        return Route(self.line[::-1], np.append(0.0, self.seconds[:0:-1]))


class Routes:
    """The fastest ways between hubs, positions (WGS-84 degrees) beside the roads, each reached from the nearest point of one."""

    def __init__(self, roads: Sequence[Road], hubs: np.ndarray) -> None:
        self._hubs = hubs
        self._pieces: dict[tuple[int, int], Route] = {}
        self._arcs: list[list[tuple[int, float]]] = [[] for _ in hubs]
        self._trees: dict[int, tuple[float, list[int]]] = {}
        self._known: dict[tuple[int, int], Route] = {}
        junctions: dict[tuple[float, ...], int] = {}
        at = _nearest(roads, hubs)
        for number, road in enumerate(roads):
            start, end = (self._junction(junctions, tuple(position)) for position in road.line[[0, -1]].tolist())
            along = np.append(0.0, np.cumsum(_metres(road.line)))
            stops = [(0.0, start), *sorted(at[number]), (float(along[-1]), end)]
            for (first, one), (last, other) in pairwise(stops):
                self._join(one, other, _between(road.line, along, first, last), road)

    def between(self, start: int, end: int) -> Route:
        """The fastest way from one hub to another."""
        if (start, end) not in self._known:
            before = self._before(start, end)
            nodes = [end]
            while nodes[-1] != start:
                nodes.append(before[nodes[-1]])
            pieces = [self._pieces[pair] for pair in zip(nodes[:0:-1], nodes[-2::-1], strict=True)]
            leaving = _timed(np.stack([self._hubs[start], pieces[0].line[0]]), _YARD_KMH)
            arriving = _timed(np.stack([pieces[-1].line[-1], self._hubs[end]]), _YARD_KMH)
            self._known[start, end] = leaving.then(*pieces, arriving)
        return self._known[start, end]

    def _before(self, start: int, end: int) -> list[int]:
        """For every node no further from a hub than `end` the one before it on the fastest way; -1 for others."""
        most, before = self._trees.get(start, (0.0, [-1] * (end + 1)))
        while before[end] < 0:
            most = most * 4 or _FAR_S
            before = shortest(start, self._arcs, most)[1]
            self._trees[start] = most, before
        return before

    def _junction(self, known: dict[tuple[float, ...], int], position: tuple[float, ...]) -> int:
        if position not in known:
            known[position] = len(self._arcs)
            self._arcs.append([])
        return known[position]

    def _join(self, start: int, end: int, line: np.ndarray, road: Road) -> None:
        way = _timed(line, road.speed_kmh or _UNKNOWN_KMH)
        for one, other, piece in ((start, end, way),) if road.oneway else ((start, end, way), (end, start, way.back())):
            self._arcs[one].append((other, way.lasts_s))
            self._pieces[one, other] = piece


def _timed(line: np.ndarray, kmh: float) -> Route:
    return Route(line, np.append(0.0, _metres(line) / kmh * 3.6))


def _metres(line: np.ndarray) -> np.ndarray:
    """The length of each piece of a line."""
    found: np.ndarray = np.hypot(*(np.diff(line, axis=0) * (EAST, 1)).T) * METRES
    return found


def _nearest(roads: Sequence[Road], hubs: np.ndarray) -> dict[int, list[tuple[float, int]]]:
    """By road the hubs at it, each with how many metres from the road's beginning."""
    lines = np.array([shapely.LineString(road.line * (EAST, 1)) for road in roads])
    points = shapely.points(hubs * (EAST, 1))
    found: dict[int, list[tuple[float, int]]] = defaultdict(list)
    for hub, number in enumerate(shapely.STRtree(lines).nearest(points).tolist()):
        along = shapely.line_locate_point(lines[number], points[hub]) * METRES
        found[number].append((float(along), hub))
    return found


def _between(line: np.ndarray, along: np.ndarray, begin: float, end: float) -> np.ndarray:
    """The part of a line between two distances from its beginning."""
    inner = line[(along > begin) & (along < end)]
    ends = np.stack([np.interp([begin, end], along, column) for column in line.T], axis=1)
    return np.concatenate([ends[:1], inner, ends[1:]])
