"""The roads: one net that every vehicle can leave and reach, kept to its layer's form, with few ways over the river."""

import json

import numpy as np
import pytest
import shapely

from samples import layers, roads


@pytest.fixture(scope="module")
def net() -> tuple[roads.Road, ...]:
    return roads.read(layers.FOLDER / "roads.geojson")


def test_the_layer_is_small_and_has_exactly_the_declared_properties() -> None:
    path = layers.FOLDER / "roads.geojson"
    assert path.stat().st_size < 1_000_000
    for feature in json.loads(path.read_text("utf-8"))["features"]:
        assert list(feature["properties"]) == ["id", "highway", "oneway", "maxspeed_kmh", "name"]
        assert feature["geometry"]["type"] == "LineString"


def test_roads_meet_only_at_their_ends_and_lie_in_the_city(net: tuple[roads.Road, ...]) -> None:
    lines = [shapely.LineString(road.line) for road in net]
    inner = layers.city().buffer(-0.01)
    shapely.prepare(inner)
    assert shapely.contains(inner, lines).all()
    one, other = shapely.STRtree(lines).query(lines, predicate="crosses")
    assert [(net[a].id, net[b].id) for a, b in zip(one, other, strict=True)] == []
    assert len({road.id for road in net}) == len(net)


def test_every_junction_can_be_reached_and_left_one_way_streets_kept(net: tuple[roads.Road, ...]) -> None:
    numbers: dict[tuple[float, ...], int] = {}
    forth: list[tuple[int, int]] = []
    for road in net:
        start, end = (numbers.setdefault(tuple(point), len(numbers)) for point in road.line[[0, -1]])
        forth += [(start, end)] if road.oneway else [(start, end), (end, start)]
    for arcs in (forth, [(end, start) for start, end in forth]):
        after: list[list[tuple[int, float]]] = [[] for _ in numbers]
        for start, end in arcs:
            after[start].append((end, 1.0))
        assert np.isfinite(roads.shortest(0, after)[0]).all()
    assert sum(road.oneway for road in net) > 100


def test_few_bridges_cross_the_river_and_trunk_roads_do(net: tuple[roads.Road, ...]) -> None:
    river = shapely.LineString(roads.RIVER)
    bridges = [road for road in net if river.intersects(shapely.LineString(road.line))]
    assert 5 <= len(bridges) <= roads.BRIDGES
    assert any(road.highway == "trunk" for road in bridges)
