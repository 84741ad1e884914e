"""What can be reached on the roads within some minutes: nodes with their seconds, and the area as a polygon."""

import math
from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray

from lakehouse.errors import UsageError
from lakehouse.geo.kernels import Floats, FloatsIn, Indexes, IndexesIn, Ints, IntsIn, helper, kernel
from lakehouse.geo.lines import METRES, NOTHING
from lakehouse.geo.roads import Roads

WALKING_KMH = 5.0
"""How fast the way to the road goes where nothing else is said: the walking speed of OSRM's profile foot.lua."""

BESIDE_M = 100.0
"""How far from a reached road the area goes: about half a city block, so that what stands along the road is in it."""

_SHORT = 0.1  # a bucket of the queue is as wide as the arc than which this share of all is shorter
_MOST_BUCKETS = 100_000
_NONE, _UNQUEUED = -1, -2

_PER_QUARTER = 3  # corners with which the buffer rounds a quarter of a circle: 3.4 m off at 100 m


@dataclass(frozen=True)
class Area:
    """What is reached from `lon`, `lat` in `seconds`: `nodes` of the graph, in no order, and their `node_seconds`.

    The polygon (WGS-84) holds all within `BESIDE_M` of the stretches of road that are reached. It is None, and nothing is
    reached, where no road lies as near as one gets in that time; `off_road_m` is then infinite. `seconds` to the road
    are part of the time.
    """

    lon: float
    lat: float
    seconds: float
    off_road_m: float
    road: int
    nodes: Indexes
    node_seconds: Floats
    polygon: shapely.Polygon | shapely.MultiPolygon | None

    def holds(self, lon: FloatsIn, lat: FloatsIn) -> NDArray[np.bool_]:
        """Which of the positions lie in the area."""
        if self.polygon is None:
            return np.zeros(len(lon), bool)
        shapely.prepare(self.polygon)
        return np.asarray(shapely.intersects_xy(self.polygon, lon, lat))


class Reach:
    """Searches over one graph. Keeps its work arrays from one search to the next: not for several threads at once."""

    def __init__(self, roads: Roads) -> None:
        self._roads = roads
        nodes = len(roads.lon)
        self._bucket_s = float(np.quantile(roads.seconds, _SHORT)) if len(roads.seconds) else math.inf
        self._best, self._reached = np.full(nodes, math.inf), np.empty(nodes, np.int32)
        self._after, self._before = np.empty(nodes, np.int32), np.full(nodes, _UNQUEUED, np.int32)
        self._heads = self._tails = np.empty(0, np.int32)
        self._count = np.zeros(1, np.int64)

    def nodes(self, seeds: IndexesIn, seed_seconds: FloatsIn, seconds: float) -> tuple[Indexes, Floats]:
        """The nodes within `seconds` of seeds that are themselves some seconds away, in no order, and the time to each.

        Dijkstra's search with a queue of buckets (Dial 1969; Denardo & Fox 1979): on a city's roads twice as fast as a heap.
        """
        roads = self._roads
        rate = 1.0 / max(self._bucket_s, seconds / _MOST_BUCKETS)
        if len(self._heads) <= seconds * rate:
            self._heads, self._tails = np.full((2, int(seconds * rate) + 1), _NONE, np.int32)
        _search(
            roads.starts, roads.targets, roads.seconds, seeds, seed_seconds, seconds, rate,
            self._best, self._heads, self._tails, self._after, self._before, self._reached, self._count,
        )  # fmt: skip
        nodes = self._reached[: self._count[0]].copy()
        times = self._best[nodes]
        self._best[nodes] = math.inf
        return nodes, times

    def area(self, lon: float, lat: float, minutes: float, *, off_road_kmh: float = WALKING_KMH) -> Area:
        """What is reached from a WGS-84 position. Raises UsageError for what is no position or no time."""
        if not (math.isfinite(lon) and abs(lon) <= 180 and math.isfinite(lat) and abs(lat) <= 90):
            raise UsageError(f"{lon:g}, {lat:g} is not on the globe", hint="write longitude, latitude: 121.05,32.08")
        if not (0 < minutes <= 24 * 60 and off_road_kmh > 0):
            raise UsageError(f"{minutes:g} minutes are no time to travel", hint="give more than 0 and at most 1440")
        seconds, pace = minutes * 60.0, off_road_kmh / 3.6
        roads, x, y = self._roads, np.array([lon]), np.array([lat])
        on = roads.locate(x, y, radius_m=seconds * pace)
        road, away, along = int(on.road[0]), float(on.distance_m[0]), float(on.along_m[0])
        if road == NOTHING:
            none = np.empty(0, np.int32), np.empty(0)
            return Area(lon, lat, seconds, math.inf, NOTHING, *none, None)
        left = seconds - away / pace
        speed, length = roads.kmh[road] / 3.6, roads.pieces.line_m[road]
        first, last = roads.ends[road]
        seeds = [(last, (length - along) / speed)] + ([] if roads.oneway[road] else [(first, along / speed)])
        near = [(node, spent) for node, spent in seeds if spent <= left]
        nodes, times = self.nodes(
            np.array([node for node, _ in near], np.int32), np.array([spent for _, spent in near], np.float64), left
        )
        back_m = 0.0 if roads.oneway[road] else left * speed
        stretches = self._stretches(nodes, times, left)
        stretches.append((np.array([road]), np.array([along - back_m]), np.array([along + left * speed])))
        pieces, stretch = roads.pieces.between(*(np.concatenate(each) for each in zip(*stretches, strict=True)))
        foot = [lon, lat, on.lon[0], on.lat[0]]
        polygon = _beside(np.vstack([foot, pieces]), np.append(-1, stretch))
        return Area(lon, lat, seconds, away, road, nodes, times + away / pace, polygon)

    def _stretches(self, nodes: Indexes, times: Floats, seconds: float) -> list[tuple[Ints, Floats, Floats]]:
        """What is driven of the roads that leave the nodes: road, from and to in metres along it; each stretch once."""
        roads = self._roads
        counts = roads.starts[nodes + 1] - roads.starts[nodes]
        arc = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts - roads.starts[nodes], counts)
        road, ahead = roads.arc_road[arc].astype(np.int64), roads.arc_ahead[arc]
        driven = np.repeat(seconds - times, counts) * roads.kmh[road] / 3.6
        length = roads.pieces.line_m[road]
        from_start, from_end = np.zeros(len(roads.roads)), np.zeros(len(roads.roads))
        from_start[road[ahead]] = np.minimum(driven, length)[ahead]
        from_end[road[~ahead]] = np.minimum(driven, length)[~ahead]
        found = np.unique(road)
        length = roads.pieces.line_m[found]
        whole = from_start[found] + from_end[found] >= length
        some, rest = found[~whole], length[~whole]
        return [
            (found[whole], np.zeros(whole.sum()), length[whole]),
            (some, np.zeros(len(some)), from_start[some]),
            (some, rest - from_end[some], rest),
        ]


def _beside(pieces: NDArray[np.float64], stretch: Ints) -> shapely.Polygon | shapely.MultiPolygon:
    """All within `BESIDE_M` of stretches of road, given as straight pieces (n, 4) in degrees.

    Each stretch is widened by itself and then all are united: widening them at once took GEOS 40 s for 1,200 stretches
    where this takes 0.1 s.
    """
    middle = (pieces[:, 1].min() + pieces[:, 3].max()) / 2
    scale = np.array([METRES * math.cos(math.radians(middle)), METRES])
    _, line = np.unique(stretch, return_inverse=True)
    lines = shapely.linestrings(pieces.reshape(-1, 2) * scale, indices=np.repeat(line, 2))
    area = shapely.union_all(shapely.buffer(lines, BESIDE_M, quad_segs=_PER_QUARTER))
    area = shapely.transform(area, lambda metres: metres / scale)
    return area if area.is_valid else shapely.make_valid(area)


@helper
def _append(
    node: int | np.uint32, bucket: int, heads: Indexes, tails: Indexes, after: Indexes, before: Indexes
) -> None:
    """Put a node at the end of a bucket's queue."""
    after[node] = _NONE
    if heads[bucket] == _NONE:
        heads[bucket], before[node] = node, _NONE
    else:
        after[tails[bucket]], before[node] = node, tails[bucket]
    tails[bucket] = node


@helper
def _remove(
    node: int | np.uint32, bucket: int, heads: Indexes, tails: Indexes, after: Indexes, before: Indexes
) -> None:
    """Take a node out of a bucket's queue."""
    ahead, behind = before[node], after[node]
    if ahead == _NONE:
        heads[bucket] = behind
    else:
        after[ahead] = behind
    if behind == _NONE:
        tails[bucket] = ahead
    else:
        before[behind] = ahead
    before[node] = _UNQUEUED


@kernel
def _search(
    starts: IntsIn,
    targets: IndexesIn,
    seconds: FloatsIn,
    seeds: IndexesIn,
    seed_seconds: FloatsIn,
    limit: float,
    buckets_a_second: float,
    best: Floats,
    heads: Indexes,
    tails: Indexes,
    after: Indexes,
    before: Indexes,
    reached: Indexes,
    count: Ints,
) -> None:
    """Find the time to every node within the limit, in `best`, which is infinite everywhere before; who reads it resets it.

    Nodes wait in buckets of time, each a queue that is emptied before the next. A node whose time still falls while its
    bucket is emptied (over an arc shorter than a bucket) is looked at again. Queues are empty before and after.
    """
    done = 0
    for s in range(len(seeds)):
        node, at = seeds[s], seed_seconds[s]
        if at > limit or at >= best[node]:
            continue
        if before[node] != _UNQUEUED:
            _remove(node, int(best[node] * buckets_a_second), heads, tails, after, before)
        else:
            reached[done] = node
            done += 1
        best[node] = at
        _append(node, int(at * buckets_a_second), heads, tails, after, before)
    for bucket in range(int(limit * buckets_a_second) + 1):
        while heads[bucket] != _NONE:
            place = np.uint32(heads[bucket])  # unsigned: numba then needn't ask whether an index counts from the end
            following = after[place]
            heads[bucket], before[place] = following, _UNQUEUED
            if following != _NONE:
                before[following] = _NONE
            now = best[place]
            for arc in range(np.uint64(starts[place]), np.uint64(starts[place + np.uint32(1)])):
                there, at = np.uint32(targets[arc]), now + seconds[arc]
                known = best[there]
                if at > limit or at >= known:
                    continue
                best[there] = at
                next_bucket = int(at * buckets_a_second)
                if before[there] != _UNQUEUED:
                    was = int(known * buckets_a_second)
                    if was == next_bucket:
                        continue
                    _remove(there, was, heads, tails, after, before)
                elif known == math.inf:
                    reached[done] = there
                    done += 1
                _append(there, next_bucket, heads, tails, after, before)
    count[0] = done
