"""Maps: what is drawn where, in which colour, and what is said of it. Read from the document as a browser would."""

import html
import json
import math
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import geopandas
import numpy as np
import pyarrow as pa
import pytest
import shapely

from lakehouse.errors import UsageError
from lakehouse.report.keys import key_of
from lakehouse.report.map import Map, draw

TOWN = shapely.box(120, 31, 122, 33)


@pytest.fixture
def layers(tmp_path: Path) -> Path:
    """One district and two roads."""
    roads = [("trunk", [(120, 32), (122, 32)]), ("footway", [(121, 31), (121, 33)])]
    for name, features in {
        "districts": [({"code": "1", "zh": "通州<区>"}, TOWN)],
        "roads": [({"highway": rank}, shapely.LineString(line)) for rank, line in roads],
    }.items():
        collected = [{"properties": p, "geometry": json.loads(shapely.to_geojson(g))} for p, g in features]
        (tmp_path / f"{name}.geojson").write_text(json.dumps({"features": collected}), "utf-8")
    return tmp_path


def points(count: int = 3, **columns: object) -> pa.Table:
    return pa.table({"lon": np.linspace(120.5, 121.5, count), "lat": np.full(count, 32.0), **columns})


def rows_of(drawn: Map) -> list[tuple[str, str, str]]:
    """Classes, path and tooltip of every row."""
    part = drawn.html.partition('<g class="rows">')[2].partition("</g>")[0]
    found = re.findall(r'<path class="([^"]*)" d="([^"]*)"(?: data-told="([^"]*)")?/>', part)
    return [(classes, path, html.unescape(told)) for classes, path, told in found]


def start(path: str) -> tuple[int, int]:
    x, y = re.match(r"M(-?\d+) (-?\d+)", path).groups()  # type: ignore[union-attr]
    return int(x), int(y)


def test_points_lie_where_they_are_in_metres_and_north_is_up(layers: Path) -> None:
    rows = pa.table({"lon": [121.0, 121.1, 121.0], "lat": [32.0, 32.0, 32.1], "name": ["a", "b", "c"]})
    at = {told: start(path) for _, path, told in rows_of(draw(rows, layers))}
    a, b, c = (np.array(at[f"name: {name}"]) for name in "abc")
    east, north = 0.1 * 111_195 * math.cos(math.radians(32.05)), 0.1 * 111_195
    assert np.abs(b - a - (east, 0)).max() <= 1
    assert np.abs(c - a - (0, -north)).max() <= 1


def test_layers_lie_behind_and_what_isn_t_there_is_left_out(layers: Path, tmp_path: Path) -> None:
    shown = draw(points(), layers).html
    assert "通州&lt;区&gt;</text>" in shown
    assert shown.index('class="road r0"') < shown.index('class="road r3"') < shown.index('class="rows"')
    bare = draw(points(), tmp_path / "none").html
    assert 'class="road' not in bare and "</text>" not in bare and 'class="dot c0"' in bare


def test_values_can_t_become_markup(layers: Path) -> None:
    evil = "</svg><script>alert(1)</script>\" onload='x'"
    drawn = draw(points(1, name=[evil]), layers, "name")
    assert evil not in drawn.html and drawn.html.count("<script>") == 1
    assert rows_of(drawn)[0][2] == f"name: {evil}"
    frame = drawn._repr_html_()
    assert "<script" not in frame and 'sandbox="allow-scripts"' in frame
    assert html.unescape(frame.partition('srcdoc="')[2].partition('"')[0]) == drawn.html
    assert "http" not in re.sub(r"http-equiv", "", drawn.html)  # nothing from elsewhere


def test_lines_areas_and_holes(layers: Path) -> None:
    holed = shapely.box(120.5, 31.5, 121.5, 32.5) - shapely.box(120.9, 31.9, 121.1, 32.1)
    many = shapely.MultiLineString([[(120.5, 32), (121, 32)], [(121, 32.2), (121.2, 32.2)]])
    nested = shapely.GeometryCollection([shapely.MultiPoint([(121, 32), (121.1, 32)])])
    rows = pa.table({"shape": shapely.to_wkb([nested, many, holed]), "n": [1, 2, 3]})
    area, way, dot = rows_of(draw(rows, layers, "n", tooltip=["n"]))  # the large ones below
    assert (area[0], area[1].count("z"), area[2]) == ("area s5", 2, "n: 3")
    assert (way[0], way[1].count("M")) == ("way s2", 2)
    assert (dot[0], dot[1].count("h0")) == ("dot s0", 2)


def test_what_would_hardly_be_seen_has_a_dot_besides(layers: Path) -> None:
    shapes = [shapely.box(120.5, 31.5, 121.5, 32.5), shapely.Point(121, 32).buffer(0.001)]
    drawn = draw(pa.table({"shape": shapely.to_wkb(shapes), "n": [1, 2]}), layers, "n", tooltip=["n"])
    assert [(classes, told) for classes, _, told in rows_of(drawn)] == [
        ("area s5", "n: 2"),
        ("area s0", "n: 1"),
        ("dot s5", "n: 2"),
    ]
    assert drawn.says == "2 rows"


def test_what_lies_nowhere_or_beyond_is_said(layers: Path) -> None:
    rows = pa.table({"lon": [121.0, 121.1, 0.0, None, 121.2], "lat": [32.0, 32.0, 0.0, 32.0, float("nan")]})
    assert draw(rows, layers).says == "2 rows, 2 without a position, 1 beyond the map"
    elsewhere = pa.table({"lon": [9.0, 9.1], "lat": [48.0, 48.1]})
    assert draw(elsewhere, layers).says == "2 rows"  # another city's
    with pytest.raises(UsageError, match="none of the rows has a position"):
        draw(rows.slice(3), layers)
    with pytest.raises(UsageError, match="no rows to draw"):
        draw(rows.slice(0, 0), layers)
    with pytest.raises(UsageError, match="no column 'speed'; the columns are lon, lat"):
        draw(rows, layers, "speed")


def test_more_rows_than_a_browser_likes_are_cells(layers: Path) -> None:
    count = 20_000
    names = pa.array(["one", "two", "two", None] * (count // 4)).dictionary_encode()
    rows = points(count, speed=np.arange(count) / 100, name=names)
    plain, speed, name = (draw(rows, layers, color) for color in (None, "speed", "name"))
    assert re.fullmatch(r"20,000 rows in cells of [\d,]+ m", plain.says)
    told = [told for *_, told in rows_of(plain)]
    assert sum(int(each.partition(" ")[0].replace(",", "")) for each in told) == count
    assert len(told) < 100 and len(plain.html) < 100_000
    means = [float(told.rpartition(" ")[2]) for *_, told in sorted(rows_of(speed), key=lambda r: start(r[1]))]
    assert means == sorted(means) and 0 <= means[0] < means[-1] <= count / 100
    assert {told.rpartition("\n")[2] for *_, told in rows_of(name)} == {"commonest name: two"}


def test_a_shape_with_very_many_vertices_is_simplified(layers: Path) -> None:
    turn = np.linspace(0, 2 * np.pi, 300_000, endpoint=False)
    circle = shapely.Polygon(np.column_stack([121 + np.cos(turn) / 2, 32 + np.sin(turn) / 2]))
    rows = pa.table({"shape": [circle.wkb]})
    assert len(draw(rows, layers).html) < 50_000


@pytest.mark.parametrize(
    ("values", "classes", "labels"),
    [
        (["b", "a", "b", None], ["c0", "c1", "c0", "none"], ["b", "a", "无值 · none"]),
        ([True, False, True], ["c0", "c1", "c0"], ["True", "False"]),
        ([3, 1, 1, None], ["s5", "s0", "s0", "none"], ["1", "3", "无值 · none"]),
        ([7.5], ["s0"], ["7.5"]),
        ([float("nan"), float("inf"), 1.0], ["none", "none", "s0"], ["1", "无值 · none"]),
        ([None, None], ["none", "none"], ["无值 · none"]),
        ([datetime(2026, 3, 1, tzinfo=UTC)], ["s0"], ["2026-03-01 00:00"]),
    ],
)
def test_colours_and_what_they_mean(values: list[object], classes: list[str], labels: list[str]) -> None:
    key = key_of(pa.array(values), "t")
    assert key.classes == classes
    assert [label for _, label, _ in key.entries] == labels
    assert sum(count for *_, count in key.entries) == len(values)


def test_many_values_share_colours() -> None:
    letters = key_of(pa.array([chr(97 + n) for n in range(20) for _ in range(n + 1)]), "t")
    assert [label for _, label, _ in letters.entries] == [*"tsrqpon", "其他 · others"]
    numbers = key_of(pa.array([float(n) for n in range(600)]), "t")
    assert numbers.entries[0][1] == "0 – 100" and len(numbers.entries) == 6
    assert {count for *_, count in numbers.entries} <= {99, 100, 101}
    skewed = key_of(pa.array([0.0] * 95 + [float(n) for n in range(1, 9)]), "t")
    assert skewed.entries[0][1] == "0"
    start = datetime(2026, 3, 1, tzinfo=UTC)
    instants = key_of(pa.array([start + timedelta(hours=n) for n in range(60)]), "t")
    assert instants.entries[0][1] == "2026-03-01 00:00 – 2026-03-01 10:00"


def test_a_page_of_its_own(layers: Path, tmp_path: Path) -> None:
    drawn = draw(points(), layers)
    drawn.save(tmp_path / "map.html")
    assert (tmp_path / "map.html").read_text("utf-8") == drawn.html
    with pytest.raises(UsageError, match="can't be written"):
        drawn.save(tmp_path / "none" / "map.html")


def test_a_lake_draws_whatever_a_notebook_has(home: Path, layers: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from lakehouse.lake import Lake, Release
    from lakehouse.settings import Settings

    catalog = home.parent / "catalog"
    (catalog / "standards").mkdir(parents=True)
    (catalog / "standards" / "layers").symlink_to(layers)
    monkeypatch.setenv("CITYLAKE_CATALOG", str(catalog))
    lake = Lake(Settings.from_environment(), Release(datetime.now(UTC).date(), 1, datetime.now(UTC), {}, ()))
    asked = lake.sql("SELECT 121.0 AS lon, 32.0 AS lat, 'x' AS name")
    frame = geopandas.GeoDataFrame({"name": ["x"]}, geometry=[shapely.Point(121, 32)], crs=4326)
    drawn = [lake.map(each, color="name") for each in (asked, asked.to_arrow(), asked.to_pandas(), frame.to_crs(3857))]
    assert {rows_of(each)[0][0] for each in drawn} == {"dot c0"}
    assert all("通州" in each.html for each in drawn)
