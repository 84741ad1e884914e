"""Five-minute reachable areas on a road graph: our search beside scipy's and networkx's on the same graph.

Node sets and times are compared first. networkx answers only some of the questions; its time is for as many as ours.
Run: python -m benchmarks.reach [nodes, default 100000] [questions, default 1000]     (about 1 minute)
"""

import math
import sys
import time
from collections.abc import Callable

import networkx as nx
import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import dijkstra

from lakehouse.geo.reach import Reach
from lakehouse.geo.roads import Road, Roads

SECONDS = 300.0
BY_NETWORKX = 50
WITH_POLYGON = 5
ROUNDS = 3


def streets(nodes: int) -> Roads:
    """A city of about as many crossings, blocks of 150 m, every third street a faster one, some one-way, some missing."""
    random, side = np.random.default_rng(3), math.isqrt(nodes)
    lon = 120 + np.arange(side) * 0.0016 + random.uniform(-3e-4, 3e-4, (side, side))
    lat = 31.5 + (np.arange(side) * 0.00135)[:, None] + random.uniform(-2e-4, 2e-4, (side, side))
    points = np.stack([lon, lat], axis=2)
    found = []
    for i in range(side):
        for j in range(side):
            for a, b in ((i + 1, j), (i, j + 1)):
                if a < side and b < side and random.random() < 0.93:
                    main = (j if a > i else i) % 3 == 0
                    line, oneway = points[[i, a], [j, b]], bool(random.random() < 0.1)
                    found.append(Road("", "secondary" if main else "residential", oneway, None, "", line))
    return Roads(found)


def by_scipy(graph: csr_array, start: int) -> tuple[np.ndarray, np.ndarray]:
    """Reached nodes and their seconds."""
    times = dijkstra(graph, indices=start, limit=SECONDS)
    nodes = np.flatnonzero(np.isfinite(times))
    return nodes, times[nodes]


def best(work: Callable[[], object]) -> float:
    """Seconds of this thread's processor time: the best of some rounds."""
    found = math.inf
    for _ in range(ROUNDS):
        begun = time.thread_time()
        work()
        found = min(found, time.thread_time() - begun)
    return found


def main(nodes: int, questions: int) -> None:
    begun = time.perf_counter()
    roads = streets(nodes)
    count = len(roads.lon)
    print(f"{count:,} nodes, {len(roads.targets):,} arcs, made in {time.perf_counter() - begun:.1f} s")
    sources = np.repeat(np.arange(count), np.diff(roads.starts))
    shortest = np.lexsort((roads.seconds, roads.targets, sources))  # scipy would add parallel arcs up
    first = np.ones(len(shortest), bool)
    first[1:] = (np.diff(sources[shortest]) != 0) | (np.diff(roads.targets[shortest]) != 0)
    kept = shortest[first]
    graph = csr_array((roads.seconds[kept], (sources[kept], roads.targets[kept])), shape=(count, count))
    directed = nx.DiGraph()
    directed.add_weighted_edges_from(
        zip(sources[kept].tolist(), roads.targets[kept].tolist(), roads.seconds[kept].tolist(), strict=True)
    )
    reach = Reach(roads)
    starts = np.random.default_rng(7).choice(count, questions, replace=False).astype(np.int32)

    def ours(start: int) -> tuple[np.ndarray, np.ndarray]:
        return reach.nodes(np.array([start], np.int32), np.zeros(1), SECONDS)

    differing, reached = 0, 0
    for number, start in enumerate(starts.tolist()):
        found, times = ours(start)
        order = np.argsort(found)
        theirs, their_times = by_scipy(graph, start)
        same = np.array_equal(found[order], theirs) and np.allclose(times[order], their_times, rtol=1e-12, atol=1e-9)
        if number < BY_NETWORKX:
            third = nx.single_source_dijkstra_path_length(directed, start, cutoff=SECONDS)
            same &= third.keys() == set(found.tolist()) and np.allclose([third[n] for n in found.tolist()], times)
        differing += not same
        reached += len(found)
    print(f"{questions:,} areas of {SECONDS:.0f} s, {reached / questions:,.0f} nodes each; differing {differing}")
    us = best(lambda: [ours(start) for start in starts])
    scipy_s = best(lambda: [by_scipy(graph, start) for start in starts])
    few = starts[:BY_NETWORKX].tolist()
    third_s = best(lambda: [nx.single_source_dijkstra_path_length(directed, s, cutoff=SECONDS) for s in few])
    third_s *= questions / len(few)
    places = [(roads.lon[s], roads.lat[s]) for s in starts[:WITH_POLYGON]]
    areas_s = best(lambda: [reach.area(lon, lat, SECONDS / 60) for lon, lat in places]) * questions / len(places)
    print(f"  ours      {us:8.2f} s")
    print(f"  scipy     {scipy_s:8.2f} s   {scipy_s / us:6.1f} x")
    print(f"  networkx  {third_s:8.2f} s   {third_s / us:6.1f} x   (from {len(few)} of them)")
    print(f"  ours, snapped to the road and with polygon {areas_s:8.2f} s   (from {len(places)} of them)")


if __name__ == "__main__":
    numbers = [int(float(given)) for given in sys.argv[1:]]
    main(*(numbers + [100_000, 1_000][len(numbers) :]))
