import json
import math
from pathlib import Path

import numpy as np
import pytest

from lakehouse.errors import ContractError
from lakehouse.geo.lines import NOTHING
from lakehouse.geo.roads import AT_THE_LIMIT, NOT_DRIVEN, SPEEDS_KMH, Roads
from tests.lakehouse.geo.road_layer import FUTIAN, feature, futian, layer

A, B, C = [120.0, 32.0], [120.001, 32.0], [120.001, 32.001]


def test_ends_that_agree_to_a_centimetre_are_one_node(tmp_path: Path):
    roads = Roads.load(layer(tmp_path, [feature([A, B]), feature([[120.00100001, 32.0], C], oneway=True)]))
    assert (len(roads.lon), len(roads.targets)) == (3, 3)
    middle = roads.ends[0, 1]
    assert roads.ends[1, 0] == middle
    assert sorted(roads.targets[roads.starts[middle] : roads.starts[middle + 1]]) == sorted(
        [roads.ends[0, 0], roads.ends[1, 1]]
    )


def test_speeds_are_the_limit_s_share_or_the_class_s(tmp_path: Path):
    roads = Roads.load(
        layer(
            tmp_path,
            [
                feature([A, B], limit=60),
                feature([B, C], highway="residential"),
                feature([A, C], highway="trunk", limit=0),
                feature([C, [120.0, 32.002]], highway="['service', 'residential']", limit=-3.5),
            ],
        )
    )
    assert roads.kmh.tolist() == [
        60 * AT_THE_LIMIT,
        SPEEDS_KMH["residential"],
        SPEEDS_KMH["trunk"],
        SPEEDS_KMH["service"],
    ]
    assert roads.left_out == {"its limit is no speed: that of its class is taken": 2}


def test_what_cannot_be_driven_is_left_out_and_counted(tmp_path: Path):
    features = [
        feature([A, B]), feature([A, A]), feature([A]), feature([]), feature([B, A]), feature([A, B], oneway=True),
        feature([A, C], highway="steps"), feature([A, C], highway="canal"), feature([A, [0, 0]]),
        feature([A, [120.9, 32.0]]),
    ]  # fmt: skip
    roads = Roads.load(layer(tmp_path, features))
    assert len(roads.roads) == 1
    assert roads.left_out == {
        "has no length": 3, "stands there twice": 2, "is not driven": 1, "is of the unknown class 'canal'": 1,
        "passes 0,0": 1, "has a straight piece of more than 50 km": 1,
    }  # fmt: skip


def test_a_road_that_crosses_itself_is_driven_as_it_runs(tmp_path: Path):
    loop = [A, [120.002, 32.002], [120.002, 32.0], [120.0, 32.002], A]
    roads = Roads.load(layer(tmp_path, [feature(loop)]))
    assert roads.ends.tolist() == [[0, 0]] and roads.targets.tolist() == [0, 0]


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        ({"oneway": "yes"}, "'oneway' must be true or false"),
        ({"limit": "60"}, "'maxspeed_kmh' must be a number or null"),
        ({"highway": 7}, "'highway' must be a class of road"),
    ],
)
def test_properties_of_another_kind_are_refused(tmp_path: Path, broken: dict, said: str):
    with pytest.raises(ContractError, match=said):
        Roads.load(layer(tmp_path, [feature([A, B]), feature([A, C], **broken)]))


def test_swapped_axes_and_nan_are_refused_with_the_first_features(tmp_path: Path):
    with pytest.raises(ContractError, match=r"feature 1: position 32, 120 is not on the globe.*and 4 more"):
        Roads.load(layer(tmp_path, [feature([[32.0, 120.0], [32.0, 120.1]])] * 9))
    with pytest.raises(ContractError, match="not on the globe"):
        Roads.load(layer(tmp_path, [feature([A, [math.nan, 32.0]])]))


def test_what_is_no_layer_is_refused(tmp_path: Path):
    path = tmp_path / "roads.geojson"
    for content in ("{", "[]", json.dumps({"features": [{"properties": {}, "geometry": None}]})):
        path.write_text(content)
        with pytest.raises(ContractError, match=r"roads\.geojson"):
            Roads.load(path)


def test_a_fix_is_on_the_road_it_heads_along(tmp_path: Path):
    roads = Roads.load(layer(tmp_path, [feature([A, B]), feature([[120.0005, 31.999], [120.0005, 32.001]])]))
    lon, lat = np.array([120.0004, 120.0004, math.nan, 0.0]), np.array([32.00002, 32.00002, 32.0, 0.0])
    on = roads.locate(lon, lat, np.array([90.0, 180.0, 90.0, 90.0]))
    assert on.road.tolist() == [0, 1, NOTHING, NOTHING]
    assert on.distance_m[:2] == pytest.approx([2.2, 9.4], abs=0.1)
    assert on.along_m[:2] == pytest.approx([37.7, 113.4], abs=0.1)
    assert (on.lon[0], on.lat[0]) == pytest.approx((120.0004, 32.0)) and math.isnan(on.lon[2])


def test_no_roads_are_roads_on_which_nothing_is(tmp_path: Path):
    roads = Roads.load(layer(tmp_path, []))
    assert roads.locate(np.array([120.0]), np.array([32.0])).road.tolist() == [NOTHING]


@pytest.mark.skipif(not FUTIAN.exists(), reason="the real road graph is not here")
def test_a_real_district_keeps_every_road_that_is_driven(tmp_path: Path):
    features = futian()
    roads = Roads.load(layer(tmp_path, features))
    assert len(roads.roads) + sum(roads.left_out.values()) == len(features) == 4009
    assert not [reason for reason in roads.left_out if "unknown" in reason]
    osmnx = sum(f["length"] for f in features if f["properties"]["oneway"] and not _on_foot(f["properties"]["highway"]))
    assert roads.pieces.line_m[roads.oneway].sum() == pytest.approx(osmnx, rel=1e-3)


def _on_foot(highway: str) -> bool:
    return any(highway.startswith((kind, f"['{kind}")) for kind in NOT_DRIVEN)
