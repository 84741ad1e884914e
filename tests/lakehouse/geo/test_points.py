import json

import numpy as np
import pyarrow as pa
import pytest

from lakehouse.geo.crs import from_wgs84
from lakehouse.geo.points import place
from lakehouse.geo.regions import Regions


@pytest.fixture
def regions(tmp_path) -> Regions:
    ring = [[120.0, 32.0], [120.5, 32.0], [120.5, 32.5], [120.0, 32.5], [120.0, 32.0]]
    feature = {"properties": {"code": "320601"}, "geometry": {"type": "Polygon", "coordinates": [ring]}}
    path = tmp_path / "districts.geojson"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": [feature]}))
    return Regions.load(path)


def test_places_are_columns_of_the_same_length(regions):
    placed = place(pa.array([120.25, 121.0]), pa.array([32.25, 32.25]), "wgs84", regions)
    assert placed.lon.to_pylist() == [120.25, 121.0]
    assert placed.lat.to_pylist() == [32.25, 32.25]
    assert placed.cell.to_pylist() == [
        (122 * 256 + 64) * 131072 + 300 * 256 + 64,
        (122 * 256 + 64) * 131072 + 301 * 256,
    ]
    assert placed.district.to_pylist() == ["320601", None]
    assert [placed.lon.type, placed.cell.type] == [pa.float64(), pa.int64()]
    assert placed.district.type.value_type == pa.string()
    for column in (placed.lon, placed.lat, placed.cell, placed.district):
        column.validate(full=True)


def test_null_and_not_finite_are_null_everywhere(regions):
    x = pa.array([None, 120.1, float("nan"), float("inf"), 120.1])
    y = pa.array([32.1, None, 32.1, 32.1, 32.1])
    placed = place(x, y, "wgs84", regions)
    for column in (placed.lon, placed.lat, placed.cell, placed.district):
        assert column.is_valid().to_pylist() == [False, False, False, False, True]
        column.validate(full=True)


def test_off_the_globe_is_kept_without_cell_and_district(regions):
    placed = place(pa.array([1200.0]), pa.array([32.0]), "wgs84", regions)
    assert (placed.lon[0].as_py(), placed.cell[0].as_py(), placed.district[0].as_py()) == (1200.0, None, None)


@pytest.mark.parametrize("crs", ["cgcs2000", "gcj02", "bd09"])
def test_a_shifted_system_ends_in_the_same_cell_and_district(crs, regions):
    lon, lat = np.array([120.4999, 120.0001]), np.array([32.2501, 32.2501])
    x, y = from_wgs84(crs, lon, lat)
    placed = place(pa.array(x), pa.array(y), crs, regions)
    assert placed.lon.to_numpy() == pytest.approx(lon, abs=1e-7)
    assert placed.district.to_pylist() == ["320601", "320601"]
    assert placed.cell == place(pa.array(lon), pa.array(lat), "wgs84", regions).cell


def test_slices_of_a_column_and_other_numbers(regions):
    x, y = pa.array([0, 120, None, 121], pa.int32()).slice(1), pa.array([0.0, 32.25, 1.0, 32.25], pa.float32()).slice(1)
    assert place(x, y, "wgs84", regions).district.to_pylist() == ["320601", None, None]


def test_without_regions_there_is_no_district():
    placed = place(pa.array([120.1]), pa.array([32.1]), "wgs84", None)
    assert placed.district.to_pylist() == [None] and placed.cell.null_count == 0


def test_no_rows(regions):
    placed = place(pa.array([], pa.float64()), pa.array([], pa.float64()), "gcj02", regions)
    assert len(placed.lon) == len(placed.cell) == len(placed.district) == 0


def test_the_input_outlives_the_call_unchanged(regions):
    x, y = pa.array([120.1, 120.2]), pa.array([32.1, 32.2])
    place(x, y, "gcj02", regions)
    assert x.to_pylist() == [120.1, 120.2] and y.to_pylist() == [32.1, 32.2]
