"""Which system positions are in: on the sample city's roads, and on a real district's."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from lakehouse.geo import infer as inferring
from lakehouse.geo.crs import Crs, from_wgs84
from lakehouse.geo.infer import DATUMS, Datum, Sample, infer
from lakehouse.geo.regions import Regions
from lakehouse.geo.roads import Roads
from samples.layers import FOLDER
from tests.lakehouse.geo.road_layer import FUTIAN, futian, layer

Points = tuple[np.ndarray, np.ndarray]


@pytest.fixture(scope="module")
def regions() -> Regions:
    return Regions.load(FOLDER / "districts.geojson")


@pytest.fixture(scope="module")
def roads() -> Roads:
    return Roads.load(FOLDER / "roads.geojson")


def sample_of(x: np.ndarray, y: np.ndarray) -> Sample:
    found = Sample()
    found.add(np.ascontiguousarray(x, float), np.ascontiguousarray(y, float))
    return found


def on_roads(roads: Roads, n: int, error_m: float = 5.0, seed: int = 1) -> Points:
    """WGS-84 positions somewhere on the roads, as receivers report them."""
    rng = np.random.default_rng(seed)
    piece = rng.integers(0, len(roads.pieces.ends), n)
    along = rng.uniform(0, 1, (n, 1))
    ends = roads.pieces.ends[piece]
    spot = ends[:, :2] + (ends[:, 2:] - ends[:, :2]) * along + rng.normal(0, error_m / 111_000, (n, 2))
    return spot[:, 0].copy(), spot[:, 1].copy()


@pytest.mark.parametrize("crs", DATUMS)
@pytest.mark.parametrize("swapped", [False, True])
@pytest.mark.parametrize("n", [60, 5_000])
def test_positions_on_roads_tell_their_system_and_axes(
    regions: Regions, roads: Roads, crs: Datum, swapped: bool, n: int
) -> None:
    x, y = from_wgs84(crs, *on_roads(roads, n))
    found = infer(sample_of(*((y, x) if swapped else (x, y))), regions, roads)
    assert (found.crs, found.swapped) == (crs, swapped), found.why
    assert found.confidence > 0.85
    declared: tuple[Crs, ...] = ("wgs84", "cgcs2000", "gcj02", "bd09")
    same = {"wgs84": {"wgs84", "cgcs2000"}}.get(crs, {crs})
    assert {other for other in declared if not found.contradicts(other)} == (set() if swapped else same)


def test_positions_without_roads_near_them_dont_tell(regions: Regions, roads: Roads) -> None:
    rng = np.random.default_rng(2)
    found = infer(sample_of(rng.uniform(120.5, 121.5, 20_000), rng.uniform(32.0, 32.4, 20_000)), regions, roads)
    assert found.crs is None
    assert not found.contradicts("gcj02")
    assert "too little to tell" in found.why


def test_too_few_elsewhere_or_broken_positions_dont_tell(regions: Regions, roads: Roads) -> None:
    nothing = np.empty(0)
    lon, lat = on_roads(roads, 15)
    broken = np.array([math.nan, math.inf, -math.inf, 1e300, 0.0, 0.0005])
    shanghai = np.linspace(121.40, 121.42, 500), np.linspace(31.20, 31.22, 500)
    for x, y in ((nothing, nothing), (lon, lat), (broken, broken), shanghai):
        found = infer(sample_of(x, y), regions, roads)
        assert (found.crs, found.swapped, found.confidence) == (None, False, 0.0)
        assert "lie in the city" in found.why


def test_without_roads_only_the_axes_are_told(regions: Regions, roads: Roads) -> None:
    lon, lat = on_roads(roads, 500)
    assert infer(sample_of(lon, lat), regions, None).contradicts("gcj02") is False
    swapped = infer(sample_of(lat, lon), regions, None)
    assert (swapped.crs, swapped.swapped) == (None, True)
    assert swapped.contradicts("wgs84")


def test_a_minority_of_wrong_rows_and_parked_vehicles_dont_decide(regions: Regions, roads: Roads) -> None:
    lon, lat = from_wgs84("gcj02", *on_roads(roads, 1_000))
    some = np.arange(1_000) % 5 == 0
    x, y = np.where(some, lat, lon), np.where(some, lon, lat)
    parked = np.full(50_000, lon[0]), np.full(50_000, lat[0])
    found = infer(sample_of(np.append(x, parked[0]), np.append(y, parked[1])), regions, roads)
    assert (found.crs, found.swapped) == ("gcj02", False)
    assert found.positions == 1_000


@pytest.mark.skipif(not FUTIAN.exists(), reason="the real road graph is not here")
def test_a_real_dense_net_tells_too(tmp_path: Path) -> None:
    """Futian, where 58 % of the positions in the wrong system lie at some road as well."""
    net = Roads.load(layer(tmp_path, futian()))
    around = shapely.box(*net.pieces.ends[:, :2].min(axis=0), *net.pieces.ends[:, :2].max(axis=0)).buffer(0.01)
    district = shapely.geometry.mapping(around)
    feature = {"type": "Feature", "properties": {"code": "440304"}, "geometry": district}
    path = tmp_path / "district.geojson"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": [feature]}))
    for crs in DATUMS:
        found = infer(sample_of(*from_wgs84(crs, *on_roads(net, 300, error_m=20))), Regions.load(path), net)
        assert (found.crs, found.swapped) == (crs, False), found.why


@given(st.lists(st.integers(0, 6_000), min_size=1, max_size=6))
@settings(max_examples=15, deadline=None)
def test_a_sample_is_the_same_however_its_rows_are_cut_and_ordered(sizes: list[int]) -> None:
    rng = np.random.default_rng(sum(sizes))
    x, y = rng.uniform(-180, 180, sum(sizes)), rng.uniform(-90, 90, sum(sizes))
    whole = sample_of(x, y)
    order = rng.permutation(len(x))
    parts = [sample_of(x[some], y[some]) for some in np.split(order, np.cumsum(sizes)[:-1])]
    together = Sample()
    for part in parts:
        together.absorb(part)
    for one, other in zip(whole.positions(), together.positions(), strict=True):
        assert np.array_equal(one, other)
        assert len(one) <= inferring.SIZE


def test_a_position_is_kept_to_a_few_metres() -> None:
    x, y = sample_of(np.array([120.123456, -179.99999]), np.array([31.98765, 90.0])).positions()
    order = np.argsort(x)[::-1]
    assert np.abs(x[order] - [120.123456, -179.99999]).max() < 1 / 8192
    assert np.abs(y[order] - [31.98765, 90.0]).max() < 1 / 8192
