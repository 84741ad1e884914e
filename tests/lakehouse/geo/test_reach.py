import math
from pathlib import Path

import networkx as nx
import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from lakehouse.errors import UsageError
from lakehouse.geo.reach import BESIDE_M, Reach
from lakehouse.geo.roads import Road, Roads
from tests.lakehouse.geo.road_layer import FUTIAN, feature, futian, layer, streets


def as_networkx(roads: Roads) -> nx.MultiDiGraph:
    graph = nx.MultiDiGraph()
    graph.add_nodes_from(range(len(roads.lon)))
    graph.add_edges_from((a, b, {"s": s}) for (a, b), s in zip(pairs(roads), roads.seconds, strict=True))
    return graph


@pytest.fixture(scope="module")
def city(tmp_path_factory: pytest.TempPathFactory) -> tuple[Roads, Reach, nx.MultiDiGraph]:
    roads = Roads.load(layer(tmp_path_factory.mktemp("city"), streets(20)))
    return roads, Reach(roads), as_networkx(roads)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 399), st.floats(0.1, 200))
def test_reached_nodes_and_times_are_networkx_s_whatever_was_asked_before(city, start: int, seconds: float):
    roads, reach, graph = city
    start = start % len(roads.lon)
    nodes, times = reach.nodes(np.array([start], np.int32), np.zeros(1), seconds)
    expected = nx.single_source_dijkstra_path_length(graph, start, cutoff=seconds, weight="s")
    assert dict(zip(nodes.tolist(), times.tolist(), strict=True)) == pytest.approx(expected)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(*[st.integers(0, 11)] * 2, st.sampled_from([0.01, 0.3, 1.0, 7.0, 50.0])), max_size=60))
def test_arcs_of_any_length_and_several_seeds_are_searched_right(arcs: list[tuple[int, int, float]]):
    place = np.stack([120 + np.arange(12) * 1e-3, np.full(12, 32.0)], axis=1)
    roads = Roads(Road("", "service", True, None, "", place[[a, b]]) for a, b, _ in arcs if a != b)
    lengths = {(a, b): s for a, b, s in reversed(arcs) if a != b}
    roads.seconds = np.array(
        [lengths[round((roads.lon[a] - 120) * 1e3), round((roads.lon[b] - 120) * 1e3)] for a, b in pairs(roads)]
    )
    if len(roads.lon) < 2:
        return
    graph = as_networkx(roads)
    graph.add_edge("from", 0, s=2.0)
    graph.add_edge("from", 1, s=0.5)
    nodes, times = Reach(roads).nodes(np.array([0, 1], np.int32), np.array([2.0, 0.5]), 60.0)
    expected = nx.single_source_dijkstra_path_length(graph, "from", cutoff=60.0, weight="s")
    expected.pop("from")
    assert dict(zip(nodes.tolist(), times.tolist(), strict=True)) == pytest.approx(expected)


def pairs(roads: Roads) -> list[tuple[int, int]]:
    source = np.repeat(np.arange(len(roads.lon)), np.diff(roads.starts))
    return list(zip(source.tolist(), roads.targets.tolist(), strict=True))


@pytest.mark.skipif(not FUTIAN.exists(), reason="the real road graph is not here")
def test_a_real_district_is_reached_as_networkx_says(tmp_path: Path):
    roads = Roads.load(layer(tmp_path, futian()))
    reach, graph = Reach(roads), as_networkx(roads)
    for start in range(0, len(roads.lon), 200):
        nodes, times = reach.nodes(np.array([start], np.int32), np.zeros(1), 120.0)
        expected = nx.single_source_dijkstra_path_length(graph, start, cutoff=120.0, weight="s")
        assert dict(zip(nodes.tolist(), times.tolist(), strict=True)) == pytest.approx(expected)
    area = reach.area(114.0397861, 22.5444302, 5)
    assert area.polygon.is_valid and len(area.nodes) > 500
    assert area.holds(roads.lon[area.nodes], roads.lat[area.nodes]).all()


def test_from_the_middle_of_a_road_both_ways_count(tmp_path: Path):
    line = [[120.0, 32.0], [120.01, 32.0]]  # 943 m at 25 km/h: 68 s from the middle to either end
    both = Reach(Roads.load(layer(tmp_path, [feature(line, highway="residential")]))).area(120.005, 32.0, 2)
    assert both.node_seconds == pytest.approx([67.9, 67.9], abs=0.1)
    ahead = Reach(Roads.load(layer(tmp_path, [feature(line, highway="residential", oneway=True)])))
    area = ahead.area(120.005, 32.0, 2)
    assert area.nodes.tolist() == [1]
    assert area.holds(np.array([120.009, 120.0035]), np.full(2, 32.0)).tolist() == [True, False]


def test_the_area_ends_where_the_time_does_and_a_hundred_metres_beside_the_road(tmp_path: Path):
    reach = Reach(Roads.load(layer(tmp_path, [feature([[120.0, 32.0], [120.05, 32.0]], highway="residential")])))
    area = reach.area(120.02, 32.0, 1)  # 417 m each way
    west, south, east, north = area.polygon.bounds
    half, up = (417 + BESIDE_M) / (111_195 * math.cos(math.radians(32))), BESIDE_M / 111_195
    assert (west, east) == pytest.approx((120.02 - half, 120.02 + half), abs=2e-5)
    assert (south, north) == pytest.approx((32 - up, 32 + up), abs=1e-5)
    assert area.nodes.tolist() == []


def test_the_way_to_the_road_takes_its_time(tmp_path: Path):
    reach = Reach(Roads.load(layer(tmp_path, [feature([[120.0, 32.0], [120.01, 32.0]], limit=50)])))
    near, off = reach.area(120.0, 32.0, 5), reach.area(120.0, 32.0018, 5)  # 200 m: 144 s on foot
    assert off.off_road_m == pytest.approx(200.2, abs=0.1)
    assert min(off.node_seconds) == pytest.approx(144.1, abs=0.1)
    assert max(off.node_seconds) - max(near.node_seconds) == pytest.approx(144.1, abs=0.1)
    assert min(reach.area(120.0, 32.0018, 5, off_road_kmh=20).node_seconds) == pytest.approx(36.0, abs=0.1)


@settings(max_examples=30, deadline=None)
@given(st.floats(119.999, 120.021), st.floats(31.999, 32.021), st.floats(0.2, 4))
def test_the_polygon_is_valid_and_holds_what_is_reached(city, lon: float, lat: float, minutes: float):
    roads, reach, _ = city
    area = reach.area(lon, lat, minutes)
    if area.polygon is None:
        assert math.isinf(area.off_road_m) and not len(area.nodes)
        return
    assert area.polygon.is_valid and not area.polygon.is_empty
    assert area.polygon.intersects(shapely.Point(lon, lat))
    assert area.holds(roads.lon[area.nodes], roads.lat[area.nodes]).all()
    assert (area.node_seconds <= minutes * 60 + 1e-6).all()


def test_what_no_way_leads_to_is_not_reached(tmp_path: Path):
    apart = [feature([[120.0, 32.0], [120.001, 32.0]]), feature([[120.003, 32.0], [120.004, 32.0]])]
    area = Reach(Roads.load(layer(tmp_path, apart))).area(120.0, 32.0, 5)
    assert len(area.nodes) == 2
    assert area.holds(np.array([120.0005, 120.0038]), np.full(2, 32.0)).tolist() == [True, False]


def test_without_roads_or_far_from_all_nothing_is_reached(tmp_path: Path):
    empty = Reach(Roads.load(layer(tmp_path, []))).area(120.0, 32.0, 5)
    far = Reach(Roads.load(layer(tmp_path, [feature([[120.0, 32.0], [120.001, 32.0]])]))).area(120.0, 32.01, 5)
    for area in (empty, far):
        assert area.polygon is None and math.isinf(area.off_road_m) and not len(area.nodes)
        assert area.holds(np.array([120.0]), np.array([32.0])).tolist() == [False]


@pytest.mark.parametrize(
    "asked", [(math.nan, 32.0, 5), (32.0, 121.0, 5), (120.0, 32.0, 0), (120.0, 32.0, math.nan), (120.0, 32.0, 1e9)]
)
def test_no_position_and_no_time_are_refused(city, asked: tuple[float, float, float]):
    with pytest.raises(UsageError):
        city[1].area(*asked)
