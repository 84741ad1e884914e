"""`citylake sites` and `citylake reach`."""

import json
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import shapely

from jobs.cli import call
from jobs.sites import SITES
from lakehouse.ops import Ops
from lakehouse.table import Commit, Table

DAY = date(2026, 3, 1)
KIOSKS = """
title: kiosks
kind: government
sharing: unconditional
source: {type: file, uri: "{inbox}/works/kiosks/{day}/*.csv"}
load: snapshot
columns: {title: {type: string}, lon: {type: double}, lat: {type: double}}
point: {x: lon, y: lat}
describes: {place: {name: title, point: point}}
"""


@pytest.fixture
def lake(home: Path, catalog: Path) -> Path:
    """A release of one day with two sites and three kiosks, and a catalogue with one road."""
    road = {"properties": {"id": "r1", "highway": "primary", "oneway": False, "maxspeed_kmh": 50, "name": "人民路"}}
    line = {"geometry": {"type": "LineString", "coordinates": [[120.0, 32.0], [120.01, 32.0]]}}
    (catalog / "standards/layers/roads.geojson").write_text(json.dumps({"features": [road | line]}), "utf-8")
    (catalog / "contracts/works/kiosks.yml").write_text(KIOSKS, "utf-8")
    shapes = [shapely.box(120.0, 32.0, 120.001, 32.001), shapely.box(120.2, 32.0, 120.201, 32.001)]
    rows = [
        {"site_id": f"20260301-{i}", "lon": shape.centroid.x, "lat": shape.centroid.y, "geometry": shapely.to_wkb(shape),
         "stays": 10 + i, "vehicles": 4, "first_at": datetime(2026, 3, 1, 2, tzinfo=UTC), "dwell_median_s": 900.0,
         "last_at": datetime(2026, 3, 1, 9, tzinfo=UTC), "night_share": 0.25, "district": None, "_day": DAY}
        | dict(zip(("xmin", "ymin", "xmax", "ymax"), shape.bounds, strict=True))
        for i, shape in enumerate(shapes)
    ]  # fmt: skip
    sites = pa.Table.from_pylist(rows, schema=SITES)
    Table(home / "gold" / "sites").replace_slice(DAY, SITES, sites.to_batches(), Commit("sites"))
    kiosks = pa.table({
        "title": ["near", "far", "lost"], "_lon": [120.005, 120.5, None], "_lat": [32.0005, 32.0, None],
        "_day": pa.array([DAY] * 3, pa.date32()),
    })  # fmt: skip
    Table(home / "silver" / "works__kiosks").replace_slice(DAY, kiosks.schema, kiosks.to_batches(), Commit("clean"))
    ops = Ops(home)
    tables = json.dumps({"gold.sites": 0, "silver.works__kiosks": 0})
    at = datetime(2026, 3, 2, tzinfo=UTC)
    ops.note("releases", at=at, run_id="r", day=DAY, revision=1, tables=tables, departments=1, failed="[]")
    ops.flush("r")
    return home


def test_sites_are_listed_by_stays_and_by_distance(
    lake: Path, told: Callable[..., Any], capsys: pytest.CaptureFixture[str]
) -> None:
    assert [site["site_id"] for site in told("sites")] == ["20260301-1", "20260301-0"]
    (near,) = told("sites", "--near", "120.002,32.0005", "--radius-m", "200")
    assert near["site_id"] == "20260301-0" and near["distance_m"] == pytest.approx(94.3, abs=0.1)
    assert call(["sites", "--geojson", "--limit", "1"]) == 0
    (feature,) = json.loads(capsys.readouterr().out)["features"]
    assert feature["geometry"]["type"] == "Polygon" and feature["properties"]["stays"] == 11
    assert call(["sites", "--near", "120.002,32.0005"]) == 0
    said = capsys.readouterr().out
    assert "20260301-0" in said and "15.0" in said and "94" in said
    assert call(["sites", "--near", "121.0,32.0"]) == 0
    assert "No sites there" in capsys.readouterr().out


def test_an_area_is_told_with_the_places_in_it(
    lake: Path, told: Callable[..., Any], capsys: pytest.CaptureFixture[str]
) -> None:
    found = told("reach", "120.0,32.0", "--minutes", "2")
    assert [unit["name"] for unit in found["units"]] == ["near"] and found["junctions"] == 2
    assert call(["reach", "120.0,32.0", "--minutes", "2", "--geojson"]) == 0
    kinds = [f["geometry"]["type"] for f in json.loads(capsys.readouterr().out)["features"]]
    assert kinds == ["Polygon", "Point"]
    assert call(["reach", "120.0,32.0"]) == 0
    said = capsys.readouterr().out
    assert "0 m off 人民路 (primary)" in said and "works.kiosks" in said and "1 places" not in said
    assert call(["reach", "120.0,32.5"]) == 0
    assert "No road within 417 m" in capsys.readouterr().out


def test_without_a_release_the_area_is_told_alone(catalog: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (catalog / "standards/layers/roads.geojson").write_text('{"features": []}', "utf-8")
    assert call(["reach", "120.0,32.0"]) == 0
    assert "no road that can be driven" in capsys.readouterr().out
    assert call(["sites"]) == 3


@pytest.mark.parametrize(
    "asked",
    [
        ["reach", "32.0,120.0"], ["reach", "here"], ["reach", "nan,32"], ["reach", "120,32", "--minutes", "0"],
        ["reach", "120,32", "--json", "--geojson"], ["sites", "--near", "120"], ["sites", "--json", "--geojson"],
    ],
)  # fmt: skip
def test_wrong_usage_is_said_in_a_line(lake: Path, asked: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert call(asked) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
