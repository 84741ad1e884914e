import json
from collections.abc import Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import shapely

from expectations.catalog import Catalog
from jobs import geo_index as step
from jobs.department import Outcome
from lakehouse.contract import Contract
from lakehouse.errors import ContractError
from lakehouse.geo.points import place
from lakehouse.geo.regions import Regions
from lakehouse.runs import Run
from lakehouse.settings import Settings
from lakehouse.table import Commit, Table

DAY, BEFORE = date(2024, 5, 2), date(2024, 5, 1)
WEST = [[120.0, 32.0], [120.21, 32.0], [120.24, 32.07], [120.2, 32.11], [120.0, 32.1], [120.0, 32.0]]
EAST = [[120.21, 32.0], [120.4, 32.0], [120.4, 32.1], [120.2, 32.11], [120.24, 32.07], [120.21, 32.0]]
BORDER = (120.225, 32.035)

ROWS = {"columns": {"x": {"type": "double"}, "y": {"type": "double"}}, "point": {"x": "x", "y": "y"}}
FIXES = {
    **ROWS,
    "columns": {**ROWS["columns"], "plate": {"type": "string"}, "gps_at": {"type": "timestamp"}},
    "describes": {"fix": {"vehicle": "plate", "at": "gps_at", "point": "point"}},
}
PLACES = {**ROWS, "describes": {"place": {"point": "point"}}}


def contract(name: str, **declared: Any) -> Contract:
    department, _, dataset = name.partition(".")
    return Contract.model_validate(
        {
            "department": department,
            "dataset": dataset,
            "title": name,
            "kind": "sensing",
            "sharing": "unconditional",
            "source": {"type": "file", "uri": "{inbox}/x.csv"},
            "load": "append",
            **declared,
        }
    )


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    layers = tmp_path / "expectations" / "standards" / "layers"
    layers.mkdir(parents=True)
    features = [
        {"properties": {"code": code}, "geometry": {"type": "Polygon", "coordinates": [ring]}}
        for code, ring in (("west", WEST), ("east", EAST))
    ]
    (layers / "districts.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    contracts = (contract("a.fixes", **FIXES), contract("b.places", **PLACES), contract("c.plain", **ROWS))
    return Catalog(tmp_path / "expectations", (), contracts, {})


class Night:
    """A lake, and the step run in it as `jobs.run` does: with its record in the books."""

    def __init__(self, home: Path, catalog: Catalog) -> None:
        self.catalog = catalog
        self.regions = Regions.load(catalog.layers / "districts.geojson")
        self.settings = Settings(home=home, catalog=catalog.path, inbox=home)
        self.positions = Table(home / "gold" / "positions")
        self._runs = 0

    def deliver(self, name: str, rows: Sequence[tuple[Any, ...]], day: date = DAY, **stated: str) -> None:
        """Silver rows of (x, y) or (x, y, plate, instant)."""
        columns = list(zip(*rows, strict=True)) if rows else [[], []]
        x, y = (pa.array(column, pa.float64()) for column in columns[:2])
        placed = place(x, y, "wgs84", self.regions)
        district = placed.district.dictionary_decode()
        batch = {"_lon": placed.lon, "_lat": placed.lat, "_cell": placed.cell, "_district": district}
        if "district" in stated:
            batch["_district"] = pa.array([stated["district"]] * len(x), pa.string())
        if name == "a.fixes":
            given = columns[2:] or [[], []]
            batch["plate"] = pa.array(given[0], pa.string())
            batch["gps_at"] = pa.array(given[1], pa.timestamp("us", "UTC"))
        batch["_day"] = pa.array([day] * len(x), pa.date32())
        rows_ = pa.record_batch(batch)
        silver = Table(self.settings.home / "silver" / self.catalog.contract(name).table)
        silver.replace_slice(day, rows_.schema, [rows_] if len(x) else [], Commit("clean"))

    def run(self, day: date = DAY, *, forced: bool = False) -> Outcome:
        self._runs += 1
        now = datetime(2024, 5, 2, 1, self._runs, tzinfo=UTC)
        run = Run.start("geo_index", day, now, self.settings, forced=forced)
        outcome = step.geo_index(run, self.catalog)
        run.ops.note("runs", at=run.now, run_id=run.id, step=run.step, day=run.day, **vars(outcome))
        run.ops.flush(run.id)
        return outcome

    def index(self, day: date = DAY) -> list[dict[str, Any]]:
        rows = self.positions.read(day=day).to_pylist()
        return sorted(rows, key=lambda row: (row["dataset"], str(row["hour_at"]), row["cell"], str(row["district"])))


@pytest.fixture
def night(tmp_path: Path, catalog: Catalog) -> Night:
    return Night(tmp_path / "lake", catalog)


def at(hour: int, minute: int = 0) -> datetime:
    return datetime(2024, 5, 1, hour, minute, tzinfo=UTC)


def test_positions_are_counted_by_dataset_hour_cell_and_district(spark, night):
    fixes = [
        (120.1001, 32.0501, "苏F00001", at(3, 1)),
        (120.1003, 32.0503, "苏F00001", at(3, 59)),
        (120.1002, 32.0502, "苏F00002", at(3, 30)),
        (120.1002, 32.0502, "苏F00002", at(4, 0)),
        (120.1002, 32.0502, None, None),
        (None, 32.0502, "苏F00003", at(3)),
        (130.0, 32.0502, "苏F00003", at(3)),
    ]
    night.deliver("a.fixes", fixes)
    night.deliver("b.places", [(120.3, 32.05), (120.3, 32.05)])
    night.deliver("c.plain", [(120.3, 32.05)])
    outcome = night.run()
    assert (outcome.status, outcome.rows_in, outcome.accepted) == ("succeeded", 8, 8)
    assert json.loads(outcome.reads) == {"silver.a__fixes": 0, "silver.b__places": 0}
    assert json.loads(outcome.writes) == {"gold.positions": night.positions.version()}
    found = [
        (row["dataset"], row["hour_at"], row["district"], row["lon"], row["lat"], row["fixes"], row["vehicles"])
        for row in night.index()
    ]
    assert found == [
        ("a.fixes", at(3), "west", 120.1002, 32.0502, 3, 2),
        ("a.fixes", at(3), None, 130.0, 32.0502, 1, 1),
        ("a.fixes", at(4), "west", 120.1002, 32.0502, 1, 1),
        ("a.fixes", None, "west", 120.1002, 32.0502, 1, None),
        ("b.places", None, "east", 120.3, 32.05, 2, None),
    ]
    # no identifier leaves silver
    assert night.positions.read().column_names == [
        *("dataset", "hour_at", "cell", "district", "lon", "lat", "fixes", "vehicles", "_day")
    ]


def test_borders_are_decided_exactly_and_as_silver_does(spark, night):
    random = np.random.default_rng(4)
    lon = np.concatenate([random.uniform(120.19, 120.25, 3_000), [x for x, _ in WEST], [BORDER[0]] * 3])
    lat = np.concatenate([random.uniform(31.99, 32.12, 3_000), [y for _, y in WEST], [BORDER[1]] * 3])
    night.deliver("b.places", list(zip(lon.tolist(), lat.tolist(), strict=True)))
    night.run()
    points = shapely.points(lon, lat)
    west, east = (shapely.intersects(shapely.Polygon(ring), points) for ring in (WEST, EAST))
    counts = {code: sum(row["fixes"] for row in night.index() if row["district"] == code) for code in ("west", "east")}
    assert counts == {"west": west.sum(), "east": (east & ~west).sum()}
    assert sum(row["fixes"] for row in night.index()) == len(lon)
    assert json.loads(night.positions.history()[0]["userMetadata"])["differing"] == "0"


def test_positions_that_silver_has_elsewhere_are_counted(spark, night):
    night.deliver("b.places", [(120.1, 32.05), (120.1, 32.05), (120.3, 32.05)], district="east")
    night.run()
    facts = json.loads(night.positions.history()[0]["userMetadata"])
    assert (facts["positions"], facts["differing"]) == ("3", "2")
    assert [row["district"] for row in night.index()] == ["west", "east"]


def test_a_day_is_indexed_anew_only_when_its_slices_changed(spark, night, monkeypatch):
    night.deliver("b.places", [(120.1, 32.05)], BEFORE)
    night.run(BEFORE)
    before = night.index(BEFORE)
    night.deliver("b.places", [(120.1, 32.05)])
    assert night.run().status == "succeeded"
    assert [row["fixes"] for row in night.index()] == [1]

    version = night.positions.version()
    night.deliver("b.places", [(120.3, 32.05)], BEFORE)  # another version of the table, the same slice of the day
    with monkeypatch.context() as patch:
        patch.setattr(step.engine, "session", None)  # no JVM starts
        assert night.run().status == "unchanged"
    assert night.positions.version() == version
    assert night.run(forced=True).status == "succeeded"
    assert night.positions.version() > version

    night.deliver("b.places", [(120.1, 32.05), (120.1, 32.05)])
    assert night.run().status == "succeeded"
    assert [row["fixes"] for row in night.index()] == [2]

    night.deliver("b.places", [])  # its slice is no longer served
    assert night.run().status == "succeeded"
    assert night.index() == []
    assert night.index(BEFORE) == before and len(before) == 1


def test_without_positions_no_jvm_starts(night, monkeypatch):
    monkeypatch.setattr(step.engine, "session", None)
    night.deliver("c.plain", [(120.1, 32.05)])
    assert night.run().status == "unchanged"
    assert not night.positions.exists()


def test_a_catalogue_without_districts_fails_only_when_there_are_positions(night, catalog):
    (catalog.layers / "districts.geojson").unlink()
    night.deliver("c.plain", [(120.1, 32.05)])
    assert night.run().status == "unchanged"
    night.deliver("b.places", [(120.1, 32.05)])
    with pytest.raises(ContractError, match=r"districts\.geojson"):
        night.run()
