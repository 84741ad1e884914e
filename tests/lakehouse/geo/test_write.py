"""Rows as GeoParquet, GeoJSON and GeoPackage, read back by geopandas and GDAL, which know nothing of how they were written."""

import json
from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import geopandas
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import shapely

from lakehouse.errors import UsageError
from lakehouse.geo.write import Written, write

AT = datetime(2026, 3, 2, 0, 30, tzinfo=UTC)
PLACES = pa.table(
    {
        "name": ["一号", 'quo"te\n<b>', None, "empty"],
        "lon": [120.8, 121.5, None, float("nan")],
        "lat": [32.0, 32.5, 31.0, 32.0],
        "at": pa.array([AT, None, AT, AT], pa.timestamp("us", "UTC")),
        "day": [date(2026, 3, 2), None, None, None],
        "cell": [2**60 + 1, 2, None, 4],
        "price": [Decimal("1.50"), None, None, None],
        "warnings": [["a", "b"], [], None, None],
        "speed": [1.5, float("nan"), None, 0.0],
        "fid": ["x", "x", "y", None],
        "bbox": ["theirs", None, None, None],
    }
)
SQUARE, HOLED = shapely.box(120, 31, 121, 32), shapely.box(120, 31, 121, 32) - shapely.box(120.2, 31.2, 120.4, 31.4)
LINE, MANY = shapely.LineString([(120, 31), (121, 33)]), shapely.MultiPolygon([SQUARE, shapely.box(122, 31, 123, 32)])
SHAPES = pa.table({"code": list("abcdef"), "area": shapely.to_wkb([SQUARE, HOLED, LINE, MANY, None, shapely.Point()])})


def exported(rows: pa.Table, path: Path, geometry: str | None = None) -> Written:
    return write(rows.to_reader(max_chunksize=2), path, geometry)  # several batches


def read(path: Path) -> geopandas.GeoDataFrame:
    return geopandas.read_parquet(path) if path.suffix == ".parquet" else geopandas.read_file(path)


@pytest.fixture(params=[".parquet", ".geojson", ".gpkg"])
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / f"地点{request.param}"
    assert not list(tmp_path.glob(".part-*"))


def test_points_are_where_they_were_with_every_value_beside_them(path: Path) -> None:
    done = exported(PLACES, path)
    assert (done.rows, done.nowhere, done.kinds, done.bounds) == (4, 2, {"Point"}, (120.8, 32.0, 121.5, 32.5))
    found = read(path)
    assert found.crs is not None and found.crs.to_epsg() in (4326, None) and found.crs.is_geographic
    assert [None if p is None else (p.x, p.y) for p in found.geometry] == [(120.8, 32.0), (121.5, 32.5), None, None]
    assert [None if v != v else v for v in found["name"]] == PLACES["name"].to_pylist()
    assert int(found["cell"][0]) in (2**60 + 1, 2**60)  # pandas: a float where one is missing
    assert float(found["price"][0]) == 1.5 and found["speed"].isna().tolist() == [False, True, True, False]
    assert found["at"][0].tz_convert("UTC").to_pydatetime() == AT
    assert found["day"].astype(str)[0].startswith("2026-03-02")
    assert found["fid"].tolist()[:3] == ["x", "x", "y"] and found["bbox"][0] == "theirs"
    kept = found["warnings"][0]
    assert (json.loads(kept) if isinstance(kept, str) else list(kept)) == ["a", "b"]


def test_polygons_lines_nothing_and_empty_shapes(path: Path) -> None:
    done = exported(SHAPES, path)
    assert (done.rows, done.nowhere) == (6, 2)
    assert done.kinds == {"Polygon", "LineString", "MultiPolygon"}
    found = read(path).geometry
    assert [bool(got.equals(given)) for got, given in zip(found, [SQUARE, HOLED, LINE, MANY], strict=False)] == [
        True
    ] * 4
    assert found[4] is None and found[5] is None


def test_a_table_without_rows(path: Path) -> None:
    assert exported(PLACES.slice(0, 0), path) == Written()
    assert len(read(path)) == 0


def test_a_second_export_replaces_the_first_and_one_that_fails_does_not(path: Path) -> None:
    exported(PLACES, path)
    exported(PLACES.slice(0, 1), path)
    wrong = pa.table({"lon": [1.0] * 3, "lat": [1.0, 1.0, 95.0]})
    with pytest.raises(UsageError, match="isn't longitude and latitude in degrees: 1, 95"):
        exported(wrong, path)
    assert len(read(path)) == 1


def test_geoparquet_says_what_the_specification_asks_for(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    exported(SHAPES, path)
    schema = pq.read_schema(path)
    about = json.loads(schema.metadata[b"geo"])
    assert (about["version"], about["primary_column"]) == ("1.1.0", "geometry")
    (column,) = about["columns"].values()
    assert column["encoding"] == "WKB" and "crs" not in column  # which means OGC:CRS84
    assert column["geometry_types"] == ["LineString", "MultiPolygon", "Polygon"]
    assert column["bbox"] == [120, 31, 123, 33]
    for axis, (at, inner) in column["covering"]["bbox"].items():
        assert inner == axis and schema.field(at).type.field(axis).type == pa.float64()
    boxes = pq.read_table(path)["bbox"].to_pylist()
    assert boxes[3] == {"xmin": 120, "ymin": 31, "xmax": 123, "ymax": 32} and boxes[4:] == [None, None]
    # the bounding boxes are what readers choose rows by
    assert geopandas.read_parquet(path, bbox=(122, 31, 122.5, 31.5))["code"].tolist() == ["d"]


def test_geojson_winds_rings_as_rfc_7946_asks(tmp_path: Path) -> None:
    clockwise = shapely.Polygon([(0, 0), (0, 1), (1, 1), (1, 0)])
    exported(pa.table({"geometry": [clockwise.wkt, None]}), tmp_path / "x.geojson")
    document = json.loads((tmp_path / "x.geojson").read_text("utf-8"))
    assert shapely.from_geojson(json.dumps(document["features"][0]["geometry"])).exterior.is_ccw
    assert document["features"][1] == {"type": "Feature", "geometry": None, "properties": {}}


@pytest.mark.parametrize(
    ("columns", "kind"),
    [
        ({"_lon": [1.0], "_lat": [1.0], "geometry": ["LINESTRING (0 0, 1 1)"], "lon": [7.0], "lat": [7.0]}, "Point"),
        ({"shape": [SQUARE.wkb], "lon": [7.0], "lat": [7.0]}, "Polygon"),
        ({"geometry": ["LINESTRING Z (0 0 1, 1 1 1)"], "lon": [7.0], "lat": [7.0]}, "LineString Z"),
    ],
)
def test_where_a_geometry_is_found(tmp_path: Path, columns: dict[str, Any], kind: str) -> None:
    assert exported(pa.table(columns), tmp_path / "x.parquet").kinds == {kind}


@pytest.mark.parametrize(
    ("columns", "name", "geometry", "says"),
    [
        ({"a": [1]}, "x.gpkg", None, "no geometry among the columns a; select `lon` and `lat`"),
        ({"a": [b""], "b": [b""]}, "x.gpkg", None, "no geometry among the columns a, b"),
        ({"lon": [1], "lat": [1]}, "x.gpkg", "shape", "'shape' is no column of geometries; the columns are lon, lat"),
        ({"lon": [1], "lat": [1]}, "x.shp", None, "can't write 'x.shp'; name a file that ends in .parquet, .geojson"),
        ({"lon": [1], "lat": [1]}, "none/x.parquet", None, "can't be written: .*; name a file in a folder"),
        ({"lon": [1], "lat": [1]}, "none/x.geojson", None, "can't be written: .*; name a file in a folder"),
        ({"lon": [1], "lat": [1]}, "none/x.gpkg", None, "can't be written: .*; name a file in a folder"),
        ({"geometry": ["POINT (1 1)", "POINT ("]}, "x.gpkg", None, "1 geometries of 'geometry' can't be read, the first in row 2"),
        ({"geometry": ["POINT (1 1)", "POINT (500000 3500000)"]}, "x.geojson", None, "in degrees: 500000, 3.5e"),
    ],
)  # fmt: skip
def test_what_is_refused(tmp_path: Path, columns: dict[str, Any], name: str, geometry: str | None, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        exported(pa.table(columns), tmp_path / name, geometry)
    assert not list(tmp_path.iterdir())
