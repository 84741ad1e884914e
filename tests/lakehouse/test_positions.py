"""Questions about where and when: the same answers as testing every row, from a few of the row groups."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import shapely

from lakehouse.errors import UsageError
from lakehouse.geo import curve
from lakehouse.geo.cells import cells
from lakehouse.lake import Lake, Release
from lakehouse.privacy import masked
from lakehouse.settings import Settings
from lakehouse.stream import in_runs
from lakehouse.table import Commit, Table

DAY = date(2026, 3, 2)
MIDNIGHT = datetime(2026, 3, 1, 16, tzinfo=UTC)
CONTRACT = """
title: fixes
kind: sensing
sharing: unconditional
source: {type: file, uri: "{inbox}/x/{day}/*.csv"}
load: append
columns: {plate: {type: string, class: sensitive}, gps_at: {type: timestamp}, lon: {type: double}, lat: {type: double}}
point: {x: lon, y: lat}
describes: {fix: {vehicle: plate, at: gps_at, point: point}}
"""
US = pa.timestamp("us", "UTC")
WHO = "苏F00007"


def fixes(count: int, seed: int, by: str | None) -> pa.Table:
    """Fixes of 40 vehicles over a city and a day in order of time, some without a position, some far off."""
    random = np.random.default_rng(seed)
    lon, lat = random.uniform(120, 121.5, count), random.uniform(31.5, 32.7, count)
    lon[:6], lat[:6] = [0, 179.99, -180, 180, 32, 120.5], [0, 90, -90, 0, 120, 32]
    at = [MIDNIGHT + timedelta(microseconds=int(n) * 86_400_000_000 // count) for n in range(count)]
    known = (random.random(count) < 0.99) & (np.abs(lat) <= 90)
    position = {"_lon": pa.array(lon, mask=~known), "_lat": pa.array(lat, mask=~known)}
    cell = pa.array(cells(lon, lat), mask=~known)
    columns: dict[str, Any] = {
        "plate": pa.array([f"苏F{n:05d}" if n else None for n in random.integers(0, 40, count)]),
        "gps_at": pa.array(at, US),
        **position,
        "_district": pa.array(["320613"] * count),
        "_source_row": pa.array(range(count)),
    }
    match by:
        case "space":
            columns["_space"] = curve.space(cell)
        case "space_time":
            columns["_space_time"] = curve.space_time(cell, columns["gps_at"])
        case "track":
            columns["_track"] = curve.track(columns["plate"], columns["gps_at"])
    columns["_day"] = pa.array([DAY] * count)
    return pa.table(columns)


def write(home: Path, rows: pa.Table, name: str = "silver/transport__fixes") -> None:
    by = [c for c in rows.column_names if c in ("_space", "_space_time", "_track")]
    batches = in_runs(rows.to_batches(), by) if by else iter(rows.to_batches())
    Table(home / name).append_once(rows.schema, batches, Commit("test"))


def opened(home: Path, *names: str) -> Lake:
    settings = Settings(home=home, catalog=home / "catalog", inbox=home)
    tables = {name.replace("/", "."): Table(home / name).version() for name in names or ("silver/transport__fixes",)}
    return Lake(settings, Release(DAY, 1, MIDNIGHT, tables, ()))  # type: ignore[arg-type]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setitem(__import__("lakehouse.table").table._ALONG, "max_row_group_size", 500)
    folder = tmp_path / "catalog" / "contracts" / "transport"
    folder.mkdir(parents=True)
    (folder / "fixes.yml").write_text(CONTRACT, "utf-8")
    (folder / "buses.yml").write_text(CONTRACT, "utf-8")
    layers = Path(__file__).parents[2] / "expectations" / "standards"
    (tmp_path / "catalog" / "standards").symlink_to(layers)
    return tmp_path


POLYGONS = [
    shapely.Point(120.8, 32.1).buffer(0.1),
    shapely.Polygon([(120.5, 32.0), (121.0, 32.05), (120.6, 32.5)], [[(120.6, 32.1), (120.7, 32.1), (120.65, 32.2)]]),
    shapely.MultiPolygon([shapely.box(120.1, 31.6, 120.2, 31.7), shapely.box(121, 32, 121.1, 32.1)]),
    shapely.box(120.8, 32.1, 120.800001, 32.100001),
    shapely.box(-1, -1, 1, 1),
    shapely.box(10, 10, 11, 11),
    shapely.box(179.9, -1, 180, 90).intersection(shapely.box(179, 80, 180, 90)),
    shapely.MultiPolygon([shapely.box(179, -0.5, 180, 0.5), shapely.box(-180, -0.5, -179, 0.5)]),
]


@pytest.mark.parametrize("by", ["space", "space_time", "track", None])
def test_within_is_what_testing_every_row_says(home: Path, by: str | None) -> None:
    rows = pa.concat_tables([fixes(3000, 1, by), fixes(3000, 2, by).slice(0, 0)])
    write(home, rows)
    write(home, fixes(3000, 3, by))
    everything = pa.concat_tables([rows, fixes(3000, 3, by)])
    lon, lat = (everything[name].to_numpy() for name in ("_lon", "_lat"))
    at = np.array(everything["gps_at"].to_pylist())
    spans = [(None, None), (MIDNIGHT + timedelta(hours=3), MIDNIGHT + timedelta(hours=4, minutes=10)), (at[5], None)]
    for polygon in POLYGONS if by is None else POLYGONS[:6]:  # the last ones draw a million cells
        held = shapely.intersects_xy(polygon, lon, lat)
        for start, end in spans:
            expected = held & (at >= (start or at[0])) & (at < (end or datetime.max.replace(tzinfo=UTC)))
            found = opened(home).within("silver.transport__fixes", polygon, start, end, masked=False).to_arrow()
            key = [(name, "ascending") for name in ("_source_row", "_lon", "plate")]
            assert found.sort_by(key) == everything.filter(pa.array(expected)).cast(found.schema).sort_by(key)


@pytest.mark.parametrize("by", ["space_time", "space"])
def test_a_polygon_and_an_hour_read_a_few_of_the_row_groups(home: Path, by: str) -> None:
    for seed in range(4):
        write(home, fixes(20_000, seed, by))
    box, hour = shapely.box(120.5, 32.0, 120.6, 32.1), MIDNIGHT + timedelta(hours=5)
    read = opened(home).within("silver.transport__fixes", box, hour, hour + timedelta(hours=1)).read
    assert read.of_files == 4 and read.of_bytes == sum(f.stat().st_size for f in home.rglob("_day*/*.parquet"))
    assert 0 < read.bytes < read.of_bytes * 0.08 and 4 <= read.row_groups <= 12
    nowhere = opened(home).within("silver.transport__fixes", shapely.box(10, 10, 11, 11)).read
    assert nowhere.row_groups <= 4  # those that hold what lies far off


def test_a_track_reads_the_row_groups_of_its_vehicle(home: Path) -> None:
    for seed in range(2):
        write(home, fixes(20_000, seed, "track"))
    write(home, fixes(2_000, 5, None), "silver/transport__buses")
    write(home, fixes(100, 6, None).drop_columns("plate"), "silver/transport__stops")
    lake = opened(home, "silver/transport__fixes", "silver/transport__buses", "silver/transport__stops")
    start, end = MIDNIGHT + timedelta(hours=3), MIDNIGHT + timedelta(hours=9)
    found = lake.track(WHO, "2026-03-02T03:00", end, masked=False)
    expected = []
    for name, parts in (
        ("transport.fixes", [fixes(20_000, n, "track") for n in range(2)]),
        ("transport.buses", [fixes(2_000, 5, None)]),
    ):
        for row in (row for part in parts for row in part.to_pylist()):
            if row["plate"] == WHO and start <= row["gps_at"] < end:
                expected.append((row["gps_at"], name, row["_lon"], row["_lat"]))
    told = [(row["at"], row["dataset"], row["lon"], row["lat"]) for row in found.to_arrow().to_pylist()]
    assert told == sorted(told, key=lambda r: r[:2]) and sorted(map(str, told)) == sorted(map(str, expected))
    assert set(found.to_arrow()["vehicle"].to_pylist()) == {WHO}
    assert found.read.row_groups <= 5 and found.read.bytes < 0.12 * found.read.of_bytes
    assert len(lake.track("苏F99999").to_arrow()) == 0 == len(lake.track(WHO, end, start).to_arrow())


def test_what_is_sensitive_is_masked_unless_asked(home: Path) -> None:
    write(home, fixes(2000, 1, "track"))
    lake, box = opened(home), shapely.box(120, 31, 122, 33)
    assert set(lake.track(WHO).to_arrow()["vehicle"].to_pylist()) == {masked(WHO)}
    found = lake.within("silver.transport__fixes", box).to_arrow()
    assert masked(WHO) in found["plate"].to_pylist() and WHO not in found["plate"].to_pylist()
    told = lake.table("silver.transport__fixes").to_arrow()
    for rows in (found, told):  # a hash of few plates is a plate
        assert all(value is None or "*" in value for value in rows["_track"].to_pylist())


def test_files_older_than_the_index_or_of_another_one_are_read_as_well(home: Path) -> None:
    box, rows = shapely.box(120.5, 32, 120.8, 32.3), []
    for seed, by in enumerate((None, "space", "track", "space_time")):
        rows.append(fixes(2000, seed, by))
        old = Table(home / "silver/transport__fixes")
        if by:
            old.replace_slice(
                DAY + timedelta(seed), rows[-1].schema, in_runs(shifted(rows[-1], seed), [f"_{by}"]), Commit("t")
            )
        else:
            old.replace_slice(DAY, rows[-1].schema, rows[-1].to_batches(), Commit("t"))
    held = sum(int(shapely.intersects_xy(box, r["_lon"].to_numpy(), r["_lat"].to_numpy()).sum()) for r in rows)
    found = opened(home).within("silver.transport__fixes", box).to_arrow()
    assert len(found) == held and set(found["_day"].to_pylist()) == {DAY + timedelta(n) for n in range(4)}
    assert len(opened(home).track(WHO).to_arrow()) == sum(r["plate"].to_pylist().count(WHO) for r in rows)


def shifted(rows: pa.Table, days: int) -> list[pa.RecordBatch]:
    day = pa.array([DAY + timedelta(days)] * len(rows))
    return rows.set_column(rows.column_names.index("_day"), "_day", day).to_batches()


def test_an_empty_table_a_district_and_rows_that_were_deleted(home: Path) -> None:
    rows = fixes(400, 1, None)
    op = pa.array(["D" if n % 2 else "U" for n in range(400)])
    write(home, rows.append_column("_op", op))
    found = opened(home).within("silver.transport__fixes", "320613", "2026-03-02", "2026-03-03").to_arrow()
    assert len(found) > 5 and set(found["_op"].to_pylist()) == {"U"}
    write(home, fixes(6, 1, "space").slice(0, 0), "silver/transport__buses")
    lake = opened(home, "silver/transport__buses")
    assert len(lake.within("silver.transport__buses", "320613", DAY).to_arrow()) == 0 == len(lake.track(WHO).to_arrow())


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (("nowhere",), "no district 'nowhere' on 2026-03-02"),
        ((shapely.Point(120, 32),), "a Point is no region"),
        ((shapely.box(32, 120, 33, 121),), "longitude comes first"),
        ((shapely.Polygon([(120, 32), (121, 33), (121, 32), (120, 33)]),), "Self-intersection"),
        ((shapely.box(-170, -80, 170, 80),), "more than a city has"),
        (({"type": "Polygon"},), "'coordinates' is missing"),
        ((None,), "not a polygon"),
        (("320613", "yesterday"), "'yesterday' is no instant"),
    ],
)
def test_what_can_not_be_answered_is_said(home: Path, asked: tuple[Any, ...], said: str) -> None:
    write(home, fixes(10, 1, None))
    with pytest.raises(UsageError, match=said):
        opened(home).within("silver.transport__fixes", *asked)


def test_tables_without_positions_or_instants_say_so(home: Path) -> None:
    write(home, fixes(10, 1, None), "silver/transport__stops")
    write(home, fixes(10, 1, None).drop_columns(["_lon"]), "silver/transport__fixes")
    lake = opened(home, "silver/transport__stops", "silver/transport__fixes")
    assert len(lake.within("silver.transport__stops", POLYGONS[0], DAY, at="gps_at").to_arrow()) == 0
    with pytest.raises(UsageError, match="describes no fix with an instant"):
        lake.within("silver.transport__stops", POLYGONS[0], DAY)
    with pytest.raises(UsageError, match="no column 'when'"):
        lake.within("silver.transport__stops", POLYGONS[0], DAY, at="when")
    for name in ("silver.transport__fixes", "ops.runs"):
        with pytest.raises(UsageError, match="no positions"):
            lake.within(name, POLYGONS[0])


def test_the_nearest_rows_of_every_point_and_no_point_lost(home: Path) -> None:
    rows = fixes(3000, 1, "space")
    write(home, rows)
    points = {
        "name": list("abcdef"),
        "lon": [120.7, 120.71, 10.0, None, 32.0, 179.995],
        "lat": [32.1, 32.1, 10.0, 32, 120, 90],
    }
    found = opened(home).nearest("silver.transport__fixes", points, k=2, radius_m=5000.0)
    told = found.to_arrow().to_pylist()
    assert [row["name"] for row in told] == ["a", "a", "b", "b", "c", "d", "e", "f"]
    assert [row["distance_m"] is None for row in told] == [False] * 4 + [True] * 3 + [False]
    assert told[0]["distance_m"] <= told[1]["distance_m"] and told[7]["near__lat"] == 90
    assert all("*" in row["near_plate"] for row in told[:4] if row["near_plate"])
    few = opened(home).nearest("silver.transport__fixes", pa.table({"lon": [120.7], "lat": [32.1]}), 2, 5000.0)
    assert few.to_arrow()["distance_m"].to_pylist() == [row["distance_m"] for row in told[:2]]
    assert few.read.bytes < found.read.bytes
    none = opened(home).nearest("silver.transport__fixes", pa.table({"lon": [10], "lat": [10]}).to_pandas())
    assert none.to_arrow().select(["lon", "distance_m"]).to_pylist() == [{"lon": 10.0, "distance_m": None}]


@pytest.mark.parametrize(
    ("points", "k", "radius"),
    [({"lon": [1.0]}, 1, 5.0), (5, 1, 5.0), ({"lon": ["x"], "lat": [1]}, 1, 5.0), ({"lon": [1], "lat": [1]}, 0, 5.0),
     ({"lon": [1], "lat": [1]}, 1, float("nan")), ({"lon": [1], "lat": [1]}, 1, -1.0)],
)  # fmt: skip
def test_points_or_distances_that_are_none_are_refused(home: Path, points: Any, k: int, radius: float) -> None:
    write(home, fixes(10, 1, None))
    with pytest.raises(UsageError):
        opened(home).nearest("silver.transport__fixes", points, k, radius)
