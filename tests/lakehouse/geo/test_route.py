import math

import numpy as np
import pytest
import shapely

from lakehouse.errors import UsageError
from lakehouse.geo.lines import METRES
from lakehouse.geo.route import distances, outside

ROUTE = np.array([(120.0, 32.0), (120.02, 32.0), (120.02, 32.02)])


def seconds(*at: float) -> np.ndarray:
    return (np.array(at) * 1e6).astype(np.int64)


def test_distance_is_to_the_nearest_point_of_the_line():
    lon, lat = np.array([120.01, 120.03, 119.99, 120.02, math.nan]), np.array([32.001, 32.01, 32.0, 32.0, 32.0])
    found = distances(ROUTE, lon, lat)
    assert found[:4] == pytest.approx([111.2, 942.9, 943.0, 0.0], abs=0.1)
    assert math.isnan(found[4])


def test_distance_agrees_with_shapely_also_far_away():
    random = np.random.default_rng(4)
    route = np.array([120, 32]) + np.cumsum(random.normal(0, 0.003, (200, 2)), axis=0)
    lon, lat = random.uniform(119.5, 120.5, 300), random.uniform(31.5, 32.5, 300)
    scale = [[METRES * math.cos(math.radians(y)), METRES] for y in lat]
    expected = [
        shapely.distance(shapely.LineString(route * s), shapely.Point(x * s[0], y * s[1]))
        for x, y, s in zip(lon, lat, scale, strict=True)
    ]
    assert distances(route, lon, lat) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize(
    "route", [[(120.0, 32.0)], [(120.0, 32.0)] * 2, [(120.0, math.nan), (120.1, 32.0)], [(32, 120), (32, 121)]]
)
def test_what_is_no_route_is_refused(route: list):
    with pytest.raises(UsageError, match="declared route"):
        distances(np.array(route, float), np.array([120.0]), np.array([32.0]))


def test_a_part_runs_from_half_way_out_to_half_way_back():
    parts = outside(seconds(0, 60, 120, 180, 240), np.array([10.0, 300, 500, 20, 30]), 200)
    assert parts["seconds"].to_pylist() == [120.0]
    assert [at.timestamp() for at in parts["began_at"].to_pylist() + parts["ended_at"].to_pylist()] == [30.0, 150.0]
    assert parts.select(["fixes", "furthest_m"]).to_pylist() == [{"fixes": 2, "furthest_m": 500.0}]


def test_gaps_cut_parts_and_count_for_nothing():
    parts = outside(seconds(0, 60, 7200, 7260), np.full(4, 900.0), 200, gap_s=600)
    assert parts["seconds"].to_pylist() == [60.0, 60.0]
    alone = outside(seconds(0), np.array([900.0]), 200)
    assert alone["seconds"].to_pylist() == [0.0] and alone["fixes"].to_pylist() == [1]


def test_order_and_fixes_without_position_make_no_difference():
    at, away = seconds(0, 60, 120, 180, 240, 300), np.array([10.0, 300, math.nan, 500, 20, 400])
    shuffled = np.random.default_rng(1).permutation(6)
    assert outside(at[shuffled], away[shuffled], 200).equals(outside(at, away, 200))


def test_nothing_is_outside_of_nothing():
    assert outside(seconds(), np.empty(0), 200).num_rows == 0
    assert outside(seconds(0, 10), np.array([200.0, 0.0]), 200).num_rows == 0
