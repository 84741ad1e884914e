"""Geographic files, written by GDAL or by hand, and compared with readers that aren't GDAL."""

import io
import json
import sqlite3
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pyogrio
import pytest
import shapely

from lakehouse.errors import DeliveryUnreadable
from tests.lakehouse.formats.conftest import contract_of, outcome

Reads = Callable[..., object]
SHAPES = ["POINT (120.9 31.98)", None, "POINT (121.123456789012 32)"]
NAMES = ["崇川", "通州", None]
COUNTS = [1, 9007199254740993, -5]
SHARES = [0.1, 2.0, None]
ROWS = [("崇川", "1", "0.1", SHAPES[0]), ("通州", "9007199254740993", "2", None), (None, "-5", None, SHAPES[2])]


def written(path: Path, driver: str, shapes: list[str | None] = SHAPES, crs: str = "EPSG:4490", **how: object) -> Path:
    fields = [np.array(NAMES, object), np.array(COUNTS), np.array([np.nan if s is None else s for s in SHARES])]
    geometry = shapely.to_wkb(shapely.from_wkt(np.array(shapes, object)))
    pyogrio.raw.write(
        path, geometry, fields, ["名称", "n", "share"], geometry_type="Point", crs=crs, driver=driver, **how
    )
    return path


def zipped(folder: Path, *without: str) -> bytes:
    with zipfile.ZipFile(packed := io.BytesIO(), "w") as package:
        for part in folder.iterdir():
            if part.suffix not in without:
                package.write(part, f"资料/{part.name}")
    return packed.getvalue()


@pytest.fixture(scope="module")
def shapefile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shape")
    written(folder / "区划.shp", "ESRI Shapefile", encoding="GBK")
    return folder


COLUMNS = ("名称", "n", "share", "geometry")


@pytest.mark.parametrize(
    ("without", "how"), [((), {}), ((".cpg",), {"encoding": "gbk"}), ((".cpg", ".prj"), {"encoding": "gbk"})]
)
def test_a_zipped_shapefile(reads: Reads, shapefile: Path, without: tuple[str, ...], how: dict[str, str]):
    got = reads(zipped(shapefile, *without), "x.zip", columns=COLUMNS, **how)
    assert (got.names, got.rows, got.numbers) == ([*COLUMNS], ROWS, [1, 2, 3])


def test_a_shapefile_beside_its_parts_and_its_dbf_alone(shapefile: Path, reads: Reads):
    assert outcome(shapefile / "区划.shp", contract_of(COLUMNS)).rows == ROWS
    alone = reads((shapefile / "区划.dbf").read_bytes(), "x.dbf", columns=COLUMNS, encoding="gb18030")
    assert (alone.names, alone.rows) == (["名称", "n", "share"], [row[:3] for row in ROWS])


def test_a_shapefile_that_misses_something(reads: Reads, shapefile: Path, tmp_path: Path):
    for suffix in (".dbf", ".shx"):
        with pytest.raises(DeliveryUnreadable, match=rf"the shapefile's \{suffix} is missing"):
            reads(zipped(shapefile, suffix), "x.zip", columns=COLUMNS)
    with pytest.raises(DeliveryUnreadable, match="the names of its columns are not utf-8; set the 'encoding'"):
        reads(zipped(shapefile, ".cpg"), "x.zip", columns=COLUMNS)
    (folder := tmp_path / "two").mkdir()
    for name in ("a", "b"):
        written(folder / f"{name}.shp", "ESRI Shapefile", encoding="UTF-8")
    with pytest.raises(DeliveryUnreadable, match="2 shapefiles lie in it"):
        reads(zipped(folder), "x.zip", columns=COLUMNS)
    assert reads(zipped(folder), "x.zip", columns=COLUMNS, sheet="b").rows == ROWS


def test_a_record_in_another_encoding_costs_only_itself(reads: Reads, shapefile: Path):
    data = bytearray((shapefile / "区划.dbf").read_bytes())
    at = data.index("崇川".encode("gbk"))
    data[at : at + 4] = b"\xff\xff\xff\xff"
    got = reads(bytes(data), "x.dbf", columns=COLUMNS, encoding="gbk")
    assert (got.rows, got.numbers) == ([row[:3] for row in ROWS[1:]], [2, 3])
    assert [(u.source_row, u.reason, u.raw) for u in got.unparsable] == [
        (1, "bytes not valid gb18030", "\\xff\\xff\\xff\\xff\t1\t0.1")
    ]


def test_dates_beside_texts_in_gbk(reads: Reads, tmp_path: Path):
    fields = [np.array(["甲", None], object), np.array(["2026-03-01", "NaT"], "datetime64[D]")]
    names, shapes = ["名称", "day"], shapely.to_wkb(shapely.points([[1, 2], [3, 4]]))
    pyogrio.raw.write(tmp_path / "a.shp", shapes, fields, names, geometry_type="Point", crs="EPSG:4490", encoding="GBK")
    got = reads((tmp_path / "a.dbf").read_bytes(), "x.dbf", columns=("名称", "day"), encoding="gbk")
    assert got.rows == [("甲", "2026-03-01"), (None, None)]


def test_a_layer_of_a_geopackage_as_sqlite_has_it(tmp_path: Path):
    path = written(tmp_path / "x.gpkg", "GPKG", layer="点位")
    contract = contract_of(("fid", *COLUMNS))
    got = outcome(path, contract)
    assert got.rows == [(str(row), *cells) for row, cells in enumerate(ROWS, 1)]
    with sqlite3.connect(path) as database:
        stored = database.execute('SELECT fid, "名称", n, share, geom FROM 点位').fetchall()
    wkb = [blob and shapely.from_wkb(blob[8 + (32 if blob[3] & 2 else 0) :]).wkt for *_, blob in stored]
    assert [(int(fid), name) for fid, name, *_ in got.rows] == [(fid, name) for fid, name, *_ in stored]
    assert [geometry and shapely.from_wkt(geometry).wkt for *_, geometry in got.rows] == wkb
    written(path, "GPKG", layer="more", append=True)
    with pytest.raises(DeliveryUnreadable, match="2 layers, 'sheet' must say which: 点位, more"):
        outcome(path, contract)
    assert outcome(path, contract_of(COLUMNS, sheet=2)).names == ["fid", *COLUMNS]
    with pytest.raises(DeliveryUnreadable, match="no layer 'roads' among 点位, more"):
        outcome(path, contract_of(COLUMNS, sheet="roads"))


KML = """<?xml version="1.0" encoding="UTF-8"?><kml xmlns="http://www.opengis.net/kml/2.2"><Document><name>d</name>{}
<Folder><name>一</name><Placemark id="p"><name>甲</name><description><![CDATA[<b>x</b>]]></description>
<ExtendedData><Data name="code"><value>007</value></Data></ExtendedData>
<Point><coordinates>120.9,31.98</coordinates></Point></Placemark>
<Placemark><name>乙</name><LineString><coordinates>0,0 1,1</coordinates></LineString></Placemark></Folder></Document></kml>"""


def test_kml(reads: Reads):
    got = reads(KML.format("").encode(), "x.kml", columns=("Name", "geometry.x", "id"))
    assert got.names == ["id", "Name", "description", "code", "geometry", "geometry.x"]
    assert got.rows == [
        ("p", "甲", "<b>x</b>", "007", "POINT (120.9 31.98)", "120.9"),
        (None, "乙", None, None, "LINESTRING (0 0, 1 1)", None),
    ]


def test_what_kml_may_not_say(reads: Reads, tmp_path: Path):
    (tmp_path / "secret.csv").write_text("a,b\n1,2\n")
    layer = f"<OGRVRTLayer name='secret'><SrcDataSource>{tmp_path}/secret.csv</SrcDataSource></OGRVRTLayer>"
    foreign = f"<OGRVRTDataSource>{layer}</OGRVRTDataSource>"
    inside = reads(KML.format(foreign).encode(), "x.kml", columns=("a", "b"))
    assert [row[0] for row in inside.rows] == ["甲", "乙"]
    for data in (foreign, KML.replace("<kml", "<!DOCTYPE kml [<!ENTITY a 'b'>]><kml"), KML[:300]):
        with pytest.raises(DeliveryUnreadable):
            reads(data.encode(), "x.kml", columns=("a", "b"))


def geojson(*features: dict[str, object], **more: object) -> bytes:
    return json.dumps({"type": "FeatureCollection", **more, "features": features}, ensure_ascii=False).encode()


def feature(geometry: object, **properties: object) -> dict[str, object]:
    return {"type": "Feature", "properties": properties, "geometry": geometry}


def test_geojson_as_pythons_json_has_it(reads: Reads):
    ring = [[0, 0], [1, 0], [1, 1.5], [0, 0]]
    features = [
        feature({"type": "Point", "coordinates": [120.1, 31.123456789012345]}, a=1.10, d="2026/03/01", o={"x": 1}),
        feature({"type": "Polygon", "coordinates": [ring]}, a=123456789012345678901) | {"id": 7},
        feature(None, a="x"),
        {"type": "Feature", "geometry": None, "properties": None},
    ]
    got = reads(geojson(*features), "x.geojson", columns=("a", "o.x", "geometry", "geometry.x", "geometry.y"))
    assert got.names == ["a", "o.x", "geometry", "geometry.x", "geometry.y", "d", "id"]
    assert got.rows == [
        ("1.1", "1", "POINT (120.1 31.123456789012344)", "120.1", "31.123456789012344", "2026/03/01", None),
        ("123456789012345678901", None, "POLYGON ((0 0, 1 0, 1 1.5, 0 0))", None, None, None, "7"),
        ("x", *[None] * 6),
        (None,) * 7,
    ]
    shapes = [shapely.from_wkt(wkt) for _, _, wkt, *_ in got.rows[:2]]
    assert [shapely.geometry.mapping(shape)["type"] for shape in shapes] == ["Point", "Polygon"]
    assert (shapes[0].x, shapes[0].y) == (120.1, 31.123456789012345)


def test_features_that_are_none(reads: Reads):
    good = feature({"type": "Point", "coordinates": [1, 2]}, a="1")
    bad = [
        {"type": "Nope"}, feature({"type": "Blob", "coordinates": []}), feature({"type": "Point", "coordinates": ["x", 1]}),
        feature({"type": "Polygon", "coordinates": [[[0, 0], [1, 1]]]}), feature(None) | {"properties": {"geometry": "x"}}, 7,
    ]  # fmt: skip
    got = reads(geojson(good, *bad, good), "x.geojson", columns=("a", "geometry"))
    assert (got.rows, got.numbers) == ([("1", "POINT (1 2)")] * 2, [1, 8])
    assert [u.source_row for u in got.unparsable] == [2, 3, 4, 5, 6, 7]
    with pytest.raises(DeliveryUnreadable, match="no 'features'"):
        reads(b'{"type":"Point"}', "y.geojson")


def geoparquet(path: Path, crs: dict[str, object] | str | None = "absent", bad: bool = False) -> Path:
    wkb = [shape and shapely.to_wkb(shapely.from_wkt(shape)) for shape in SHAPES]
    if bad:
        wkb[0] = b"\x01\x02"
    about = {"encoding": "WKB", "geometry_types": []} | ({} if crs == "absent" else {"crs": crs})
    geo = {"version": "1.1.0", "primary_column": "place", "columns": {"place": about}}
    table = pa.table({"名称": NAMES, "place": pa.array(wkb, pa.binary())})
    pq.write_table(table.replace_schema_metadata({"geo": json.dumps(geo)}), path)
    return path


def test_geoparquet(tmp_path: Path):
    columns = ("名称", "place", "place.x", "place.y", "place.crs")
    code = {"type": "GeographicCRS", "name": "CGCS2000", "id": {"authority": "EPSG", "code": 4490}}
    got = outcome(geoparquet(tmp_path / "x.parquet", code), contract_of(columns))
    assert got.names == [*columns]
    assert got.rows[0] == ("崇川", SHAPES[0], "120.9", "31.98", "EPSG:4490")
    assert [row[1] for row in got.rows] == SHAPES
    broken = outcome(geoparquet(tmp_path / "y.parquet", bad=True), contract_of(columns))
    assert [row[4] for row in broken.rows] == ["OGC:CRS84"] * 2
    assert [(u.source_row, u.reason) for u in broken.unparsable] == [(1, "a geometry that can't be read")]


def placed(crs: str, *columns: str) -> object:
    """A contract whose position is taken from the geometry."""
    contract = contract_of(columns)
    point = {"x": next(c for c, d in contract.columns.items() if d.from_ == columns[-2]), "y": "c0", "crs": crs}
    return type(contract).model_validate(contract.model_dump(by_alias=True, exclude_none=True) | {"point": point})


def test_a_coordinate_system_that_contradicts_the_contract(tmp_path: Path):
    axes = ("geometry.x", "geometry.y")
    path = written(tmp_path / "x.gpkg", "GPKG", crs="EPSG:4490")
    assert len(outcome(path, placed("cgcs2000", *axes)).rows) == 3
    with pytest.raises(DeliveryUnreadable, match="its positions are in EPSG:4490, the contract's are in wgs84"):
        outcome(path, placed("wgs84", *axes))
    metres = written(tmp_path / "m.gpkg", "GPKG", crs="EPSG:4549")
    for crs in ("wgs84", "gcj02"):
        with pytest.raises(DeliveryUnreadable, match="in EPSG:4549, the contract's are in"):
            outcome(metres, placed(crs, *axes))
    assert outcome(metres, contract_of(("geometry.crs",))).rows[0][-1] == "EPSG:4549"
    named = {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::4490"}}
    (old := tmp_path / "x.geojson").write_bytes(geojson(feature(None, a=1), crs=named))
    with pytest.raises(DeliveryUnreadable, match="in EPSG:4490"):
        outcome(old, placed("wgs84", *axes))
    (new := tmp_path / "y.geojson").write_bytes(geojson(feature(None, a=1)))
    assert outcome(new, placed("gcj02", *axes)).rows_in == 1
    with pytest.raises(DeliveryUnreadable, match=r"in OGC:CRS84, .*cgcs2000"):
        outcome(new, placed("cgcs2000", *axes))
    with pytest.raises(DeliveryUnreadable, match=r"in OGC:CRS84, .*cgcs2000"):
        outcome(geoparquet(tmp_path / "z.parquet"), placed("cgcs2000", "place.x", "place.y"))


@pytest.mark.parametrize("suffix", [".gpkg", ".dbf", ".kml", ".shp", ".geojson", ".geoparquet"])
def test_what_is_no_such_file(reads: Reads, suffix: str):
    for data in (
        b"",
        b"a,b\n1,2\n",
        b"SQLite format 3\0" + bytes(200),
        b"\x03\x7a\x01\x01\xff\xff\xff\x7f\x41\x00\xff\xff" + bytes(300),
    ):
        with pytest.raises(DeliveryUnreadable):
            reads(data, f"x{suffix}")


def test_a_damaged_geopackage_and_a_cut_off_shapefile_end_as_one_error(tmp_path: Path, shapefile: Path, reads: Reads):
    data = bytearray(written(tmp_path / "x.gpkg", "GPKG").read_bytes())
    data[-4096:] = bytes(4096)
    with pytest.raises(DeliveryUnreadable, match="the database is damaged"):
        reads(bytes(data), "y.gpkg")
    (folder := tmp_path / "cut").mkdir()
    for cut, message in (
        (".shp", "shorter than its .shx"),
        (".shx", "the .dbf has 3 records"),
        (".dbf", "shorter than its 3"),
    ):
        for part in shapefile.iterdir():
            (folder / part.name).write_bytes(part.read_bytes()[: -24 if part.suffix == cut else None])
        with pytest.raises(DeliveryUnreadable, match=message):
            reads(zipped(folder), "z.zip", columns=COLUMNS)


def test_deleted_records_are_none_and_a_broken_geometry_costs_only_its_record(tmp_path: Path, reads: Reads):
    path = written(
        tmp_path / "a.shp", "ESRI Shapefile", ["POINT (1 1)", "POINT (2 2)", "POINT (3 3)"], encoding="UTF-8"
    )
    table, shapes = bytearray(path.with_suffix(".dbf").read_bytes()), bytearray(path.read_bytes())
    table[int.from_bytes(table[8:10], "little")] = ord("*")
    shapes[100 + 28 + 8] = 99  # the second record's kind of geometry
    path.with_suffix(".dbf").write_bytes(table)
    path.write_bytes(shapes)
    got = outcome(path, contract_of(COLUMNS))
    assert (got.rows, got.numbers) == ([(None, "-5", None, "POINT (3 3)")], [2])
    assert [(u.source_row, u.reason, u.raw) for u in got.unparsable] == [
        (1, "a geometry that can't be read", "通州\t9007199254740993\t2.0\t")
    ]
