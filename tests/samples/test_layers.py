"""The districts: they tile the city without gap or overlap, and the committed layers are what the code makes."""

import json
from itertools import combinations
from pathlib import Path

import numpy as np
import shapely
from shapely.geometry import shape

from samples import datum, layers


def test_districts_tile_the_city() -> None:
    districts = layers.districts()
    assert len(districts) == 8
    assert all(polygon.is_valid and len(polygon.exterior.coords) > 200 for polygon in districts.values())
    assert all(one.intersection(other).area < 1e-12 for one, other in combinations(districts.values(), 2))
    assert abs(layers.city().area - sum(polygon.area for polygon in districts.values())) < 1e-12
    assert layers.city().geom_type == "Polygon"


def test_the_development_zone_fills_the_hole_of_chongchuan() -> None:
    districts = layers.districts()
    (hole,) = districts["320613"].interiors
    assert shapely.equals(shapely.polygons(hole), districts["320671"])


def test_committed_layers_are_the_generated_ones(tmp_path: Path) -> None:
    layers.write(tmp_path)
    for name in ("districts.geojson", "city.geojson", "roads.geojson"):
        assert (tmp_path / name).read_bytes() == (layers.FOLDER / name).read_bytes()
    features = json.loads((tmp_path / "districts.geojson").read_text("utf-8"))["features"]
    assert {f["properties"]["code"]: shape(f["geometry"]) for f in features} == layers.districts()


def test_offsets_are_some_hundred_metres() -> None:
    lon, lat = np.array([120.9]), np.array([32.0])
    for offset, low, high in ((datum.gcj02, 0.002, 0.008), (datum.bd09, 0.006, 0.018)):
        x, y = offset(lon, lat)
        assert low < np.hypot(x - lon, y - lat)[0] < high
